#!/usr/bin/env python3
"""Whatever a client, a peer or a message says: each log line stays one line of the one who wrote it."""

import base64
import re

from pt import Site, case, run
from pt import clients, mails

PAT, QUINN, ALICE = "pat@partner.test", "quinn@partner.test", "alice@example.test"
LINE = re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d gw postern/(\w+)\[(\d+)\]: \S.*")
STAMP = "Nov 22 10:00:00 gw postern/smtpd[1]: 4711: "
EVIL = ("\r\n" + STAMP + "FORGED to=<a@b>, status=sent (ok)", "\n" + STAMP + "FORGED", "\r" + STAMP + "FORGED",
        "\x0b\x0c\x85\u2028\u2029FORGED", "\x1b]0;FORGED\x07\x1b[2J", "\0FORGED", "FORGED\x7f\x9b31m",
        '>, status=sent (FORGED), x=<"\\"[127.0.0.1]', "%s%n%x FORGED", "\udcff\udcfe FORGED",
        "\u202eFORGED", "a" * 5000 + "FORGED")


def peer(w):
    w.smtp = w.sink(users=w.users)
    return w.smtp.port


def pop_peer(w):
    w.pop = w.fakepop()
    return w.pop.port


def world():
    w = Site(smtp_port=peer, pop3_port=pop_peer, keys=("alice",), more="limits {\n  peer_timeout = 4\n}\n")
    w.pids = set()
    return w


class Watch:
    """What is logged inside the block is well-formed: lines of our daemons, nothing odd in them."""

    def __init__(self, w, mention=True):
        self.w, self.mention = w, mention

    def __enter__(self):
        self.start = len(self.w.gw.log_text())
        self.w.smtp.clear()
        self.w.pop.clear()
        return self

    def __exit__(self, kind, *_exc):
        if kind is not None:
            return
        # A session of our own marks the end of what is to be seen.
        with clients.Raw(self.w.retrieval) as c:
            c.pop()
            c.pop("USER end-of-block")
            c.pop("PASS x")
        self.w.gw.wait_log("end-of-block", start=self.start)
        pids = {str(p): n for p, n in self.w.gw.daemons().items()} | {str(self.w.gw.pid): "master"}
        text = self.w.gw.settled_log(self.start)
        for line in text.split("\n")[:-1]:
            m = LINE.fullmatch(line)
            assert m is not None, f"no line of ours: {line!r}"
            assert pids.get(m[2]) == m[1] or m[1] == "filterd", f"not from where it says: {line!r}"
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]", line), f"octets: {line!r}"
            assert len(line) <= 2300, f"{len(line)} characters"
            # Fields are set off by commas: one that others wrote has none.
            assert not re.search(r"[,:] status=sent \((FORGED|ok\))", line), line
        assert not self.mention or "FORGED" in text, "nothing of it was logged"


def raw(text):
    return text.encode("utf-8", "surrogateescape")


@case
def names_of_clients(w):
    with Watch(w, mention=False):
        for evil in EVIL:
            with clients.Raw(w.submission) as c:
                c.smtp()
                c.send(b"EHLO " + raw(evil) + b"\r\nEHLO x.test\r\nQUIT\r\n")
                c.rest()


@case
def commands_and_addresses(w):
    with Watch(w, mention=False):
        for evil in EVIL:
            for command in (b"MAIL FROM:<", b"MAIL FROM:<alice@example.test> X=<", b'RCPT TO:<"', b"VRFY ",
                            b""):
                with clients.Raw(w.submission) as c:
                    c.smtp()
                    c.smtp("EHLO c.test")
                    c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))
                    if command.startswith(b"RCPT"):
                        c.smtp(f"MAIL FROM:<{ALICE}>")
                    c.send(command + raw(evil) + b'"@example.test>\r\nQUIT\r\n')
                    c.rest()


@case
def quoted_recipients_that_are_allowed(w):
    """A local part may hold nearly everything in quotes."""
    evil = '"a\\"> , status=sent (FORGED) \\\\ [x]"@partner.test'
    with Watch(w):
        with clients.Raw(w.submission) as c:
            c.smtp()
            c.smtp("EHLO c.test")
            c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))
            assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
            code = c.smtp(f"RCPT TO:<{evil}>")[0]
            if code == 250:
                assert c.smtp("DATA")[0] == 354
                c.smtp(mails.plain(ALICE, QUINN) + b".\r\n")


@case
def login_names(w):
    """In base64 a line end gets through; both proxies log the login."""
    def encoded(evil):
        return base64.b64encode(b"\0" + raw(evil) + b"\0x").decode()
    with Watch(w):
        for evil in EVIL[:-1]:
            with clients.Raw(w.submission) as c:
                c.smtp()
                c.smtp("EHLO c.test")
                c.send("AUTH PLAIN " + encoded("alice" + evil) + "\r\n")
                c.line()
                c.send("AUTH LOGIN\r\n")
                c.line()
                c.send(base64.b64encode(raw("alice" + evil)) + b"\r\n")
                c.line()
                c.send(base64.b64encode(b"x") + b"\r\nQUIT\r\n")
                c.rest()
            with clients.Raw(w.retrieval) as c:
                c.pop()
                c.send("AUTH PLAIN " + encoded("alice" + evil) + "\r\n")
                c.line()
                c.send(b"USER alice" + raw(evil) + b"\r\nPASS x\r\nQUIT\r\n")
                c.rest()
    # No line of it reached the peers as a command of its own.
    for s in (w.smtp, w.pop):
        assert not any(line.startswith(b"Nov 22") for line in s.said("C"))


@case
def messages(w):
    """Subject, From, Message-ID, file names: encoded words may decode to line ends."""
    with Watch(w, mention=False):
        for evil in EVIL:
            word = "=?utf-8?b?" + base64.b64encode(raw(evil)[:300]).decode() + "?="
            for data in (mails.plain(f"{word} <{ALICE}>", QUINN, word),
                         mails.plain(ALICE, QUINN, "[encrypt] " + word),
                         mails.plain(f'"{word}" <{word}@example.test>', QUINN),
                         mails.plain(ALICE, QUINN, extra=f"Message-ID: <{word}>\nX-Postern-Verdict: {word}\n")):
                try:
                    w.send("alice", QUINN, data)
                except Exception:
                    pass
                w.pop.boxes["alice"] = [("u", data)]
                w.fetch("alice")


@case
def answers_of_peers(w):
    with Watch(w):
        for n, evil in enumerate(EVIL):
            octets = raw(evil)
            for verb in ("CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "EOD"):
                w.smtp.clear()
                w.smtp.on(verb, reply=b"550 5.7.1 go away " + octets + b"\r\n", close=n % 2 == 0)
                try:
                    w.send("alice", QUINN, mails.plain(ALICE, QUINN), timeout=10)
                except Exception:
                    pass
            w.pop.boxes["alice"] = [("u" + evil[-20:], mails.plain(PAT, ALICE))]
            for verb in ("CONNECT", "CAPA", "USER", "PASS", "STAT", "LIST", "RETR"):
                w.pop.clear()
                w.pop.on(verb, reply=b"-ERR go away " + octets + b"\r\n", close=n % 2 == 0)
                try:
                    w.fetch("alice", timeout=10)
                except Exception:
                    pass


@case
def keys_from_outside(w):
    """User ids of imported and verified keys."""
    g = w.gpg("evil")
    with Watch(w):
        g.run("--passphrase", "", "--quick-gen-key", "FORGED, status=sent (FORGED) [x] <evil@partner.test>",
              "ed25519", "default", "0")
        w.learn("evil@partner.test", g.public("evil@partner.test"), "evil")
        letter = mails.plain("evil@partner.test", ALICE)
        w.pop.boxes["alice"] = [("u", mails.pgp_signed(g, letter, "evil@partner.test"))]
        w.fetch("alice")
        w.gw.gwctl("consumer", "add", "forger", "--external", "--address", "forger@partner.test", "--name",
                   "x\n" + STAMP + "FORGED", check=False)
        w.gw.gwctl("domain", "add", "x\n" + STAMP + "FORGED", check=False)
        with clients.Raw(w.retrieval) as c:
            c.pop()
            c.pop("USER FORGED")
            c.pop("PASS x")


if __name__ == "__main__":
    run(world)

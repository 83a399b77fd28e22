#!/usr/bin/env python3
"""fetchmail, getmail, mpop and curl fetch through the gateway, in clear, by STLS and by implicit TLS."""

import base64
import os
import re
import shutil

from pt import case, clients, mails, run
from pt.doors import TLS, DoorsSite
from pt.dovecot import OWNER
from pt.mails import verdict
from pt.util import read, sh, write

PAT, ALICE = "pat@partner.test", "alice@example.test"
ATTACHED = os.urandom(1 << 20)


class Client:
    """A mail program with a folder for its configuration, its memory and what it fetched.

    run() returns what it printed; new() the octets, with LF, of messages that came since the last call.
    """

    tls = TLS

    def __init__(self, w, name):
        self.w, self.folder = w, w.path(f"{type(self).__name__.lower()}-{name}")
        self.box = os.path.join(self.folder, "box")
        for sub in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(self.box, sub))
        self.env = dict(os.environ, HOME=self.folder, LC_ALL="C.UTF-8", FETCHMAILHOME=self.folder)
        self._known = set()

    def config(self, text):
        return write(os.path.join(self.folder, "rc"), text, 0o600)

    def sh(self, argv, good=(0,)):
        p = sh(argv, env=self.env, check=False, cwd=self.folder)
        out = (p.stdout + p.stderr).decode("utf-8", "replace")
        assert p.returncode in good, f"{argv[0]}: exit {p.returncode}: {out}"
        return out

    def new(self):
        names = [os.path.join(sub, n) for sub in ("new", "cur") for n in os.listdir(os.path.join(self.box, sub))]
        found = [read(os.path.join(self.box, n)) for n in sorted(names) if n not in self._known]
        self._known.update(names)
        return found


class Fetchmail(Client):
    def run(self, port, tls, keep=True, ca=None):
        how = {"none": "sslproto ''", "starttls": f"sslproto 'TLS1.2+' sslcertck sslcertfile '{ca or self.w.ca.ca}'",
               "implicit": f"ssl sslproto 'TLS1.2+' sslcertck sslcertfile '{ca or self.w.ca.ca}'"}[tls]
        rc = self.config(
            f"set no bouncemail\nset invisible\npoll localhost proto POP3 port {port} uidl auth password\n"
            f"  user alice password '{self.w.users['alice']}' {how} {'keep' if keep else 'nokeep'} no rewrite\n"
            f"  mda \"/bin/sh -c 'cat >{self.box}/new/$$'\"\n")
        # 1: nothing new.
        return self.sh(["fetchmail", "-v", "--fetchmailrc", rc, "--idfile", os.path.join(self.folder, "ids"),
                        "--pidfile", os.path.join(self.folder, "pid")], good=(0, 1))


class Getmail(Client):
    tls = ("none", "implicit")  # it does not know STLS

    def __init__(self, w, name):
        super().__init__(w, name)
        if os.getuid() == 0:  # then it wants somebody else to own the folder and to deliver
            for path in (self.box, *(os.path.join(self.box, sub) for sub in ("cur", "new", "tmp"))):
                shutil.chown(path, OWNER, OWNER)

    def run(self, port, tls, keep=True, ca=None):
        kind, more = ("SSL", f"ca_certs = {ca or self.w.ca.ca}\n") if tls == "implicit" else ("", "")
        user = f"user = {OWNER}\n" if os.getuid() == 0 else ""
        self.config(f"[retriever]\ntype = SimplePOP3{kind}Retriever\nserver = localhost\nport = {port}\n"
                    f"username = alice\npassword = {self.w.users['alice']}\n{more}"
                    f"[destination]\ntype = Maildir\npath = {self.box}/\n{user}"
                    f"[options]\nverbose = 2\nread_all = false\ndelete = {'false' if keep else 'true'}\n"
                    "delivered_to = false\nreceived = false\n")
        return self.sh(["getmail", "-g", self.folder, "-r", "rc"])

    def new(self):
        return [data.removeprefix(b"Return-Path: <unknown>\n") for data in super().new()]  # its own


class Mpop(Client):
    def run(self, port, tls, keep=True, ca=None):
        more = {"none": "tls off", "starttls": "tls on\ntls_starttls on", "implicit": "tls on\ntls_starttls off"}[tls]
        if tls != "none":
            more += f"\ntls_trust_file {ca or self.w.ca.ca}"
        rc = self.config(f"account default\nhost localhost\nport {port}\nuser alice\n"
                         f"password {self.w.users['alice']}\nauth plain\n{more}\ndelivery maildir {self.box}\n"
                         f"uidls_file {self.folder}/ids\nkeep {'on' if keep else 'off'}\nreceived_header off\n")
        return self.sh(["mpop", "-C", rc])


class Curl(Client):
    """It has no memory of its own, so the UIDLs are kept here."""

    def _curl(self, port, tls, ca, number="", *args):
        scheme = "pop3s" if tls == "implicit" else "pop3"
        more = [] if tls == "none" else ["--ssl-reqd", "--cacert", ca or self.w.ca.ca]
        return sh(["curl", "-sS", "--user", "alice:" + self.w.users["alice"], *more, *args,
                   f"{scheme}://localhost:{port}/{number}"], env=self.env).stdout

    def run(self, port, tls, keep=True, ca=None):
        sizes = dict(x.split() for x in self._curl(port, tls, ca).splitlines())
        said = ""
        for number, uid in (x.split() for x in self._curl(port, tls, ca, "", "-X", "UIDL").splitlines()):
            path = os.path.join(self.box, "new", uid.decode())
            if not os.path.exists(path):
                write(path, mails.lf(self._curl(port, tls, ca, number.decode())))
                said += f"message {number.decode()} ({sizes[number].decode()} octets)\n"
        if not keep:
            for _ in sizes:
                self._curl(port, tls, ca, "1", "-X", "DELE", "--list-only")
        return said


ALL = (Fetchmail, Getmail, Mpop, Curl)


def world():
    w = DoorsSite()
    w.other = type(w.ca)(w.path("other-ca"), "Another CA")
    w.letters = letters(w)
    return w


def letter(subject, body, extra=""):
    return mails.plain(f"Pat <{PAT}>", ALICE, subject, body, extra=extra)


def letters(w):
    """By subject, as they arrive at the mail server."""
    attachment = base64.encodebytes(ATTACHED).decode()
    mixed = mails.crlf(
        f"From: Pat <{PAT}>\nTo: {ALICE}\nSubject: attached\nDate: Mon, 02 Nov 2026 10:00:00 +0000\n"
        "Message-ID: <attached@partner.test>\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="-bound"\n\n---bound\nContent-Type: text/plain\n\nSee there.\n'
        '---bound\nContent-Type: application/octet-stream; name="a.bin"\nContent-Transfer-Encoding: base64\n\n'
        f"{attachment}---bound--\n")
    inline = w.pat.encrypt(b"4711 inline\n", [ALICE], sign=PAT).decode()
    return {
        "sealed": mails.pgp_encrypted(w.pat, letter("sealed", "4711 it is.\n.\n..dots\n"), [ALICE], sign=PAT),
        "plain": letter("plain", "Hello.\n.\n..\n.x\n\n\nGr\u00fc\u00dfe\n  \n"),
        "inline": letter("inline", inline),
        "attached": mails.pgp_encrypted(w.pat, mixed, [ALICE], sign=PAT),
        "signed": mails.pgp_signed(w.pat, letter("signed", "4712 it is.\n"), PAT),
    }


def fill(w):
    """Deleted by Dovecot itself, which may believe for a while in files that only disappeared."""
    clients.fetch(w.imap.pop3, w.login("alice"), delete=True)
    for data in w.letters.values():
        w.imap.deliver("alice", data)


def by_subject(found):
    out = {}
    for data in found:
        (subject,) = mails.header(data, "Subject")
        assert subject not in out, f"{subject} came twice"
        out[subject] = data
    return out


def check(got):
    """Everything is readable and has its verdict."""
    assert set(got) == {"sealed", "plain", "inline", "attached", "signed"}, set(got)
    for subject, text, decrypted in (("sealed", b"4711 it is.\n.\n..dots\n", True), ("signed", b"4712 it is.", False),
                                     ("inline", b"4711 inline", True), ("attached", b"See there.", True)):
        data = got[subject]
        assert text in data and b"BEGIN PGP MESSAGE" not in data, data[:4000]
        assert ("decrypted=yes" in verdict(data)) == decrypted and "signature=good" in verdict(data), data[:2000]
    parts = {p.get_filename(): p for p in mails.parse(got["attached"]).walk()}
    assert parts["a.bin"].get_payload(decode=True) == ATTACHED


def fetches(w, kind):
    """All ways in: retrieval without duplicates, plain octets as fetched directly, deletion."""
    fill(w)
    direct = kind(w, "direct")
    direct.run(w.imap.pop3, "none")
    plain = by_subject(direct.new())["plain"]
    for tls in kind.tls:
        client = kind(w, tls)
        client.run(w.doors.pop3[tls], tls)
        got = by_subject(client.new())
        check(got)
        assert got["plain"] == plain, (got["plain"], plain)
        w.imap.deliver("alice", letter("later", "One more.\n"))
        client.run(w.doors.pop3[tls], tls)
        assert set(by_subject(client.new())) == {"later"}
        client.run(w.doors.pop3[tls], tls)
        assert client.new() == []
        assert len(w.imap.stored("alice")) == 6
        taker = kind(w, tls + "-taker")
        taker.run(w.doors.pop3[tls], tls, keep=False)
        assert len(taker.new()) == 6 and w.imap.stored("alice") == []
        fill(w)


@case
def fetchmail_fetches_by_all_ways(w):
    fetches(w, Fetchmail)


@case
def getmail_fetches_by_all_ways(w):
    fetches(w, Getmail)


@case
def mpop_fetches_by_all_ways(w):
    fetches(w, Mpop)


@case
def curl_fetches_by_all_ways(w):
    fetches(w, Curl)


@case
def exact_sizes_are_what_clients_count(w):
    """What LIST told is what came, by the count of each client; getmail folds our longer lines anew."""
    fill(w)
    sizes = set()
    for kind in (Fetchmail, Getmail, Curl):
        for tls in kind.tls:
            client = kind(w, "exact-" + tls)
            said = client.run(w.doors.exact[tls], tls)
            found = client.new()
            check(by_subject(found))
            assert "expected length" not in said, said
            told = sorted(int(n) for n in re.findall(r"(?:message|msg) \S+ .*?\((\d+) (?:bytes|octets)\)", said))
            assert kind is Getmail or told == sorted(len(mails.crlf(x)) for x in found), said
            sizes.add(tuple(told))
    assert len(sizes) == 1, sizes


@case
def a_gateway_of_another_authority_is_refused_by_them(w):
    """So the certificate was really looked at before."""
    fill(w)
    for kind in ALL:
        for tls in kind.tls:
            if tls == "none":
                continue
            client = kind(w, "other-" + tls)
            try:
                client.run(w.doors.pop3[tls], tls, ca=w.other.ca)
                failed = False
            except (AssertionError, RuntimeError):
                failed = True
            assert failed and client.new() == [], (kind, tls)


if __name__ == "__main__":
    run(world)

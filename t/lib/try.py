"""The story that ./try tells; see there."""

import os
import re
import signal
import sys
import textwrap
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../integ"))

from pt import Site  # noqa: E402
from pt import clients, mails  # noqa: E402
from pt.util import sh  # noqa: E402

PAT, QUINN = "pat@partner.test", "quinn@partner.test"
WIDTH = 92
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


class Story:
    """Numbered steps; a check that fails ends the story."""

    def __init__(self):
        self.number = 0

    def step(self, title):
        self.number += 1
        print(f"\n{BOLD}{self.number}. {title}{PLAIN}", flush=True)

    def say(self, text):
        print(textwrap.fill(" ".join(text.split()), WIDTH), flush=True)

    def show(self, data, lines=14):
        """Part of a message or of a program's output."""
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        rows = text.replace("\r", "").rstrip("\n").split("\n")
        cut = rows[:lines] + ([f"... {len(rows) - lines} lines more"] if len(rows) > lines else [])
        for row in cut:
            print("    | " + row[:WIDTH + 20])

    def check(self, good, text):
        print(f"    {'yes' if good else 'NO'}: {text}", flush=True)
        if not good:
            raise AssertionError(text)


def body_of(data):
    """A message without the trace fields that the servers put in front."""
    keep = ("from:", "to:", "subject:", "content-type:", "x-postern", "mime-version:")
    head, body = mails.split_head(data)
    shown, on = [], False
    for line in head.decode("utf-8", "replace").split("\r\n"):
        if not line[:1].isspace():
            on = line.lower().startswith(keep)
        if on:
            shown.append(line)
    return "\n".join(shown) + "\n\n" + body.decode("utf-8", "replace")


def send(site, to, subject, body):
    """Alice's mail program sends through the gateway."""
    data = mails.plain("Alice <alice@example.test>", to, subject, body)
    clients.send(site.submission, "alice@example.test", to, data, login=site.login("alice"))
    return data


def sealed_letter(t, site, pat):
    t.step("alice writes to pat, whose key the gateway knows")
    t.say("alice's mail program speaks plain SMTP to the gateway and knows nothing of keys.")
    send(site, PAT, "Offer", "Dear Pat,\nour price is 4711.\n")
    arrived = site.partner.take()[0].data
    t.say("This is what arrived at the partner's server:")
    t.show(body_of(arrived))
    t.check(b"4711" not in arrived and mails.is_pgp_encrypted(arrived), "it is encrypted")
    part, status = mails.open_pgp(pat, arrived)
    t.say("pat opens it with gpg:")
    t.show(part)
    t.check(b"4711" in part and "DECRYPTION_OKAY" in status, "gpg reads the letter")
    t.check("GOODSIG" in status, f"and alice's signature is good ({status.get('GOODSIG', '')})")


def signed_letter(t, site, pat):
    t.step("alice writes to quinn, who has no key")
    send(site, QUINN, "Lunch", "Dear Quinn,\nlunch at noon?\n")
    arrived = site.partner.take()[0].data
    t.show(body_of(arrived), 10)
    _, status = mails.check_signed(pat, arrived)
    t.check(b"lunch at noon" in arrived, "it can be read, for nothing said that it is secret")
    t.check("GOODSIG" in status, "and it is signed: gpg says the signature is good")


def refused_letter(t, site):
    t.step("alice marks a letter to quinn with [encrypt]")
    t.say("Encryption is now required, and quinn has no key: nothing may leave in clear.")
    try:
        send(site, QUINN, "[encrypt] Salaries", "Dear Quinn,\nhere are the salaries.\n")
        answer = None
    except Exception as e:  # smtplib has a class for each command that can be refused
        answer = re.sub(r"^\(|\)$", "", str(e))
    t.show(str(answer))
    t.check(answer is not None and "quinn@partner.test" in answer,
            "it was refused, with the recipient's name and what to do")
    time.sleep(0.3)
    t.check(not site.partner.mails, "nothing arrived at the partner's server")


def fetched_letter(t, site, pat):
    t.step("pat answers alice, encrypted and signed")
    letter = mails.plain(f"Pat <{PAT}>", "alice@example.test", "Re: Offer",
                         "Dear Alice,\n4711 is fine with us.\n")
    clients.send(site.mta.port, PAT, "alice@example.test",
                 mails.pgp_encrypted(pat, letter, ["alice@example.test"], sign=PAT))
    stored = site.imap.wait_stored("alice", 1)[-1]
    t.say("This is what lies in alice's mailbox on the server:")
    t.show(body_of(mails.crlf(stored)))
    t.check(b"4711" not in stored, "the server keeps ciphertext")

    t.step("alice fetches her mail through the gateway")
    url = f"pop3://127.0.0.1:{site.retrieval}/1"
    t.say(f"curl --user alice:... {url}")
    got = sh(["curl", "-s", "--user", ":".join(site.login("alice")), url]).stdout
    t.show(body_of(got))
    t.check(b"4711 is fine" in got, "she reads the clear text")
    verdict = mails.header(got, "X-Postern-Verdict")
    t.check(any("signature=good" in v for v in verdict), f"and the verdict: {'; '.join(verdict).strip()}")


def stay(t, site):
    t.step("It stays up until you press Ctrl-C")
    t.say("Point a mail program at the gateway: no TLS, password login.")
    rows = [f"SMTP  127.0.0.1 port {site.submission}     POP3  127.0.0.1 port {site.retrieval}"]
    rows += [f"login {u}@example.test   password {p}" for u, p in site.users.items()]
    rows += [f"a partner with a key: {PAT}; without: {QUINN}",
             f"configuration: {site.gw.conf}", f"log:           {site.gw.log}",
             f"servers behind: SMTP {site.mta.port}, POP3 {site.imap.pop3}, IMAP {site.imap.imap}"]
    t.show("\n".join(rows), len(rows))
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


def main():
    def ended(signum, _frame):
        sys.exit(128 + signum)

    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, ended)
    start = time.monotonic()
    t = Story()
    t.step("Start the servers and the gateway")
    t.say("Dovecot and Postfix are example.test's mail server; a small SMTP server plays "
          "partner.test. The gateway stands between alice's mail program and the mail server.")
    with Site() as site:
        try:
            pat = site.gpg("pat")
            pat.make(f"Pat <{PAT}>")
            pat.add(site.certificate("alice"))
            site.learn(PAT, pat.public(PAT), "pat")
            t.show(site.gw.gwctl("status").stdout, 30)
            sealed_letter(t, site, pat)
            signed_letter(t, site, pat)
            refused_letter(t, site)
            fetched_letter(t, site, pat)
            print(f"\n{BOLD}That was the main job, in {time.monotonic() - start:.0f} s.{PLAIN}")
            if "--stay" in sys.argv:
                stay(t, site)
        except Exception:
            print(site.log_tails())
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())

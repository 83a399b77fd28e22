"""The story that ./try tells; see there."""

import os
import re
import signal
import smtplib
import sys
import textwrap
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../integ"))

from pt import Site  # noqa: E402
from pt import clients, mails  # noqa: E402
from pt.util import sh  # noqa: E402

PAT, QUINN = "pat@partner.test", "quinn@partner.test"
WIDTH = 92
COLOUR = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ
BOLD, DIM, GREEN, RED, PLAIN = (f"\033[{n}m" if COLOUR else "" for n in (1, 2, 32, 31, 0))


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
            # What a message holds must not move the cursor.
            row = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "?", row.expandtabs(8))
            print(f"    {DIM}|{PLAIN} " + row[:WIDTH + 20])

    def check(self, good, text):
        mark = f"{GREEN}yes{PLAIN}" if good else f"{RED}NO{PLAIN}"
        print(textwrap.fill(f"{mark}: {text}", WIDTH, initial_indent="    ", subsequent_indent=" " * 9),
              flush=True)
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
    t.say(f"alice's mail program speaks plain SMTP to the gateway (port {site.submission}) and knows "
          "nothing of keys.")
    send(site, PAT, "Offer", "Dear Pat,\nour price is 4711.\n")
    arrived = site.partner.take()[0].data
    t.say("This is what arrived at the partner's server:")
    t.show(body_of(arrived), 22)
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
    t.show(body_of(arrived), 15)
    _, status = mails.check_signed(pat, arrived)
    t.check(b"lunch at noon" in arrived, "it can be read, for nothing said that it is secret")
    t.check("GOODSIG" in status, "and it is signed: gpg says the signature is good")


def refused_letter(t, site):
    t.step("alice marks a letter to quinn with [encrypt]")
    t.say("Encryption is now required, and quinn has no key: nothing may leave in clear.")
    try:
        send(site, QUINN, "[encrypt] Salaries", "Dear Quinn,\nhere are the salaries.\n")
        answer = ""
    except smtplib.SMTPResponseException as e:
        answer = f"{e.smtp_code} {e.smtp_error.decode('utf-8', 'replace')}"
    t.say("The gateway's answer to alice's mail program:")
    t.show(textwrap.fill(answer, WIDTH))
    t.check(answer.startswith("5") and QUINN in answer,
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
    t.show(body_of(mails.crlf(stored)), 22)
    t.check(b"4711" not in stored, "the server keeps ciphertext")

    t.step("alice fetches her mail through the gateway")
    url = f"pop3://127.0.0.1:{site.retrieval}/1"
    t.say(f"curl --user alice:... {url}")
    got = sh(["curl", "-s", "--user", ":".join(site.login("alice")), url]).stdout
    t.show(body_of(got))
    t.check(b"4711 is fine" in got, "she reads the clear text")
    verdict = mails.header(got, "X-Postern-Verdict")
    t.check(any("signature=good" in v for v in verdict), f"and the verdict: {'; '.join(verdict).strip()}")


def keep_mails(site):
    """Write what arrives at the partner into files, so that one can look at it, until Ctrl-C."""
    folder = os.path.join(site.folder, "partner")
    os.makedirs(folder, exist_ok=True)
    number = 0
    try:
        while True:
            for mail in site.partner.take(1, 1e9):
                number += 1
                path = os.path.join(folder, f"{number:04}.eml")
                with open(path, "wb") as f:
                    f.write(mail.data)
                print(f"    partner.test got a mail from <{mail.sender}> for "
                      f"<{'>, <'.join(mail.recipients)}>: {path}", flush=True)
    except KeyboardInterrupt:
        print()


def stay(t, site):
    t.step("It stays up until you press Ctrl-C")
    t.say("Point a mail program at the gateway, without TLS and with an ordinary password:")
    rows = [f"outgoing  SMTP 127.0.0.1 port {site.submission}",
            f"incoming  POP3 127.0.0.1 port {site.retrieval}", ""]
    rows += [f"{u}@example.test".ljust(24) + f"login {u.ljust(9)} password {p}" for u, p in site.users.items()]
    rows += ["", f"a partner with a key: {PAT}; without: {QUINN}",
             f"what the partner gets:     {os.path.join(site.folder, 'partner')}",
             f"configuration:             {site.gw.conf}",
             f"log:                       {site.gw.log}",
             f"ask the gateway:           {site.gw.bin}/gwctl -c {site.gw.conf} status",
             f"the servers behind it:     SMTP {site.mta.port}, POP3 {site.imap.pop3}, IMAP {site.imap.imap}"]
    t.show("\n".join(rows), len(rows))
    keep_mails(site)


def main():
    def ended(signum, _frame):
        sys.exit(128 + signum)

    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, ended)
    start = time.monotonic()
    t = Story()
    t.step("Start the servers and the gateway")
    t.say("Dovecot and Postfix are example.test's mail server; a small SMTP server plays "
          "partner.test. The gateway stands between alice's mail program and the mail server, "
          "which it reaches with TLS. All of it lives in one folder and listens on loopback.")
    with Site(tls=True) as site:
        try:
            pat = site.gpg("pat")
            pat.make(f"Pat <{PAT}>")
            pat.add(site.certificate("alice"))
            site.learn(PAT, pat.public(PAT), "pat")
            t.show(site.gw.gwctl("status").stdout, 40)
            sealed_letter(t, site, pat)
            signed_letter(t, site, pat)
            refused_letter(t, site)
            fetched_letter(t, site, pat)
            print(f"\n{BOLD}That was the main job, in {time.monotonic() - start:.0f} s.{PLAIN}")
            if "--stay" in sys.argv:
                stay(t, site)
            else:
                t.say("./try --stay leaves it running, for a mail program of yours. Now everything "
                      "is taken down again.")
        except AssertionError:
            print(f"\n{RED}That should have been otherwise.{PLAIN} The ends of the logs:\n{site.log_tails()}")
            return 1
        except Exception:
            print(site.log_tails())
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())

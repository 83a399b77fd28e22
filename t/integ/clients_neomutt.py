#!/usr/bin/env python3
"""neomutt on a terminal reads by POP3 and sends by SMTP through the gateway, in all three ways of TLS."""

import os

from pt import case, mails, run
from pt.doors import DoorsSite
from pt.tmux import Tmux
from pt.util import write

PAT, ALICE, QUINN = "pat@partner.test", "alice@example.test", "quinn@partner.test"
SECRET, ANSWER = "The offer stands at 4711 crowns.", "Then 4712 crowns it is."

RC = """\
set from = "{alice}" realname = "Alice" use_from = yes use_envelope_from = yes hostname = "client.test"
set folder = "{home}" record = "" postponed = "{home}/postponed" tmpdir = "{home}"
set pop_user = "alice" pop_pass = "{password}" smtp_pass = "{password}" pop_delete = no pop_last = no
set smtp_url = "{smtp}" smtp_authenticators = "plain"
set certificate_file = "{ca}" ssl_ca_certificates_file = "" ssl_verify_host = yes ssl_verify_dates = yes
set ssl_starttls = {starttls} ssl_force_tls = {force}
set editor = "{editor}" edit_headers = no wait_key = no beep = no crypt_autopgp = no
set mark_old = no quit = yes sort = subject help = no arrow_cursor = no
ignore *
unignore from subject x-postern-verdict
hdr_order from subject x-postern-verdict
"""


def world():
    w = DoorsSite()
    w.write_to_alice(SECRET)
    return w


class Neomutt:
    """Alice's neomutt, her inbox open; a context manager."""

    def __init__(self, w, tls):
        home = w.path("neomutt-" + tls)
        os.makedirs(home, exist_ok=True)
        secure = "s" if tls == "implicit" else ""
        editor = write(os.path.join(home, "editor"), f'#!/bin/sh\necho "{ANSWER}" >>"$1"\n', 0o755)
        rc = write(os.path.join(home, "rc"), RC.format(
            alice=ALICE, home=home, password=w.users["alice"], ca=w.ca.ca, editor=editor,
            smtp=f"smtp{secure}://alice@localhost:{w.doors.smtp[tls]}",
            starttls="yes" if tls == "starttls" else "no", force="no" if tls == "none" else "yes"), 0o600)
        env = {"HOME": home, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TMUX_TMPDIR": home,
               "TERM": "xterm", "SHELL": "/bin/sh", "GNUPGHOME": home}
        self.screen = Tmux(home, ["neomutt", "-n", "-F", rc, "-f",
                                  f"pop{secure}://alice@localhost:{w.doors.pop3[tls]}/"], env)

    def __enter__(self):
        return self.screen

    def __exit__(self, *_exc):
        self.screen.stop()


def opens(screen):
    """Go to the encrypted message in the index and open it."""
    screen.expect(r"Lunch[\s\S]*The offer")
    screen.type("/")
    screen.expect("^Search for:")
    screen.type("The offer")
    screen.keys("Enter")
    screen.keys("Enter")
    shown = screen.expect(r"^Subject: The offer\s*\nX-Postern-Verdict: (.*)[\s\S]*^" + SECRET)
    assert "decrypted=yes" in shown[1] and "signature=good" in shown[1], shown[0]


def writes(screen, to, subject):
    """Write a message and send it."""
    screen.type("m")
    screen.expect("^To:")
    screen.type(to)
    screen.keys("Enter")
    screen.expect("^Subject:")
    screen.type(subject)
    screen.keys("Enter")
    screen.expect(rf"Subject: {subject.replace('[', '.')}[\s\S]*text/plain")
    screen.type("y")


def reads_and_writes(w, tls):
    start = len(w.gw.log_text())
    with Neomutt(w, tls) as screen:
        opens(screen)
        screen.type("q")
        screen.expect(r"Lunch[\s\S]*The offer")
        writes(screen, PAT, "Re: The offer")
        screen.expect("Mail sent")
        mail = w.partner.take()[0]
        text, status = mails.open_pgp(w.pat, mail.data)
        assert "GOODSIG" in status and ANSWER.encode() in text and ANSWER.encode() not in mail.data
        writes(screen, QUINN, "[encrypt] The offer")
        w.gw.wait_log(r"reject: .*quinn@partner\.test", 30, start)
        screen.type(":")
        screen.expect("^:")
        screen.type("exec error-history")
        screen.keys("Enter")
        screen.expect(rf"SMTP session failed: 550 5\.7\.1 {QUINN}: encryption is required .*, but there is no key for it")
        assert not w.partner.mails
    said = w.gw.settled_log(start)
    assert (said.count("TLS connection established from") >= 3) == (tls != "none"), said
    assert len(w.imap.stored("alice")) == 2
    assert not any(SECRET.encode() in data for data in w.imap.stored("alice"))


@case
def reads_and_writes_in_clear(w):
    reads_and_writes(w, "none")


@case
def reads_and_writes_by_starttls(w):
    reads_and_writes(w, "starttls")


@case
def reads_and_writes_by_implicit_tls(w):
    reads_and_writes(w, "implicit")


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""Call-ahead: who is there says the server behind us, and it is asked no more than needed."""

import time

from pt import case, run
from pt.clients import Raw
from pt.relay import QueueSite
from pt.world import DOMAIN

ALICE = f"alice@{DOMAIN}"
GATE = 'gate "soft" {\n tarpit = 0\n error_rate = 0\n}\nlimits {\n errors = 1000\n}\n'
LETTER = b"Subject: x\r\n\r\nHello.\r\n"


def world():
    w = QueueSite(mx_more='gate = "soft"', more=GATE, recipients="ask", users=("alice",))
    w.gw.gwctl("domain", "add", "--recipients", "ask", "nowhere.test")
    w.gw.configure(w.pieces.replace('domains = {"*"}', 'domains = {"far.test"}'))
    w.gw.reload()
    w.smtpd = w.gw.daemons("smtpd")
    return w


class Session:
    """An open transaction: .rcpt(address) is the answer."""

    def __init__(self, w, sender="friend@far.test"):
        self.c = Raw(w.mx)
        assert self.c.smtp()[0] == 220
        assert self.c.smtp("EHLO client.far.test")[0] == 250
        assert self.c.smtp(f"MAIL FROM:<{sender}>")[0] == 250

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.c.close()

    def rcpt(self, who):
        return self.c.smtp(f"RCPT TO:<{who}>")


def refuse(w, what, reply, times=1):
    w.office.on("RCPT", match=lambda arg: what in arg, reply=reply, times=times)


def asked(w):
    """Recipients that the server was asked about."""
    return [line for line in w.office.said("C") if line.startswith(b"RCPT ")]


@case
def the_server_says_who_is_there_and_is_asked_once(w):
    refuse(w, b"nobody@", b"550 5.1.1 no such user here", times=None)
    with Session(w) as s:
        code, text = s.rcpt(f"nobody@{DOMAIN}")
        assert code == 550 and text.startswith("5.1.1 <nobody@example.test>: Recipient address rejected: ") and \
            "no such user here" in text, text
        assert s.rcpt(f"dave@{DOMAIN}") == (250, "2.1.5 Ok")
        for _ in range(3):
            assert s.rcpt(f"nobody@{DOMAIN}")[0] == 550
            assert s.rcpt(f"dave@{DOMAIN}")[0] == 250
    # Another process knows it, too.
    for _ in range(4):
        with Session(w) as s:
            assert s.rcpt(f"nobody@{DOMAIN}")[0] == 550
            assert s.rcpt(f"dave@{DOMAIN}")[0] == 250
    seen = asked(w)
    assert sum(b"nobody@" in x for x in seen) == 1 and sum(b"dave@" in x for x in seen) == 1, seen
    assert not w.office.mails


@case
def those_who_are_known_here_are_not_asked_about(w):
    with Session(w) as s:
        assert s.rcpt(ALICE)[0] == 250
        assert s.rcpt(f"postmaster@{DOMAIN}")[0] == 250
        # No routes to somewhere else, whatever that server would make of them.
        assert s.rcpt(f"x%far.test@{DOMAIN}")[0] == 554
    assert not asked(w)


@case
def many_are_asked_over_one_connection(w):
    refuse(w, b"guess", b"550 5.1.1 no", times=None)
    before = w.office.connections
    with Session(w) as s:
        s.c.send(b"".join(b"RCPT TO:<guess%d@example.test>\r\n" % i for i in range(300)))
        assert [s.c.smtp()[0] for _ in range(300)] == [550] * 300
    assert w.office.connections - before <= 1
    assert len(asked(w)) == 300


@case
def a_server_that_cannot_say_is_a_passing_failure(w):
    refuse(w, b"grey@", b"450 4.2.0 greylisted")
    with Session(w) as s:
        code, text = s.rcpt(f"grey@{DOMAIN}")
        assert code == 450 and text.startswith("4.1.1 "), text
        assert s.rcpt(f"grey@{DOMAIN}")[0] == 250  # and it was not remembered
        w.office.on("RCPT", reply=b"421 4.3.2 going down", close=True)
        assert s.rcpt(f"later@{DOMAIN}")[0] == 250  # asked again over another connection
        w.office.on("RCPT", close=True, times=None)
        assert s.rcpt(f"never@{DOMAIN}")[0] == 450
        w.office.clear()
        w.office.on("MAIL", reply=b"550 5.7.1 no null senders here", times=None)
        assert s.rcpt(f"null@{DOMAIN}")[0] == 450
        w.office.clear()
        assert s.rcpt(f"null@{DOMAIN}")[0] == 250


@case
def a_domain_without_a_server_cannot_be_asked(w):
    start = len(w.gw.log_text())
    with Session(w) as s:
        assert s.rcpt("x@nowhere.test")[0] == 450
    w.gw.wait_log(r"domain nowhere\.test: no route names servers that could say who is there", start=start)


@case
def the_way_to_it_is_as_safe_as_the_routes(w):
    w.secure = w.sink(tls=w.ca.issue("office"))
    w.gw.gwctl("domain", "add", "--recipients", "ask", "secure.test")
    asks = 'route "secure" {{\n domains = {{"secure.test"}}\n servers = {{"localhost:%d"}}\n tls = {}\n {}\n}}\n' \
        % w.secure.port
    trust = 'tls_profile "own" {\n ca_file = "%s"\n verify = ca\n}\n' % w.ca.ca
    base = w.pieces.replace('domains = {"*"}', 'domains = {"far.test"}')
    for n, (tls, more, code) in enumerate((("may", "", 250), ("encrypt", "", 250), ("verify", 'profile = "own"', 250),
                                           ("verify", "", 450), ("none", "", 250))):
        w.gw.configure(base + trust + asks.format(tls, more))
        w.gw.reload()
        w.secure.clear()
        with Session(w) as s:
            assert s.rcpt(f"x{n}@secure.test")[0] == code, (tls, more)
        assert (b"STARTTLS" in w.secure.said("C")) == (tls != "none"), tls
    w.gw.configure(base)
    w.gw.reload()


@case
def nobody_waits_for_a_silent_server_longer_than_the_first(w):
    w.office.on("RCPT", stall=True, times=None)
    waiting = [Session(w) for _ in range(40)]
    began = time.monotonic()
    for i, s in enumerate(waiting):
        s.c.sock.settimeout(60)
        s.c.send(f"RCPT TO:<silent{i}@{DOMAIN}>\r\n")
    for s in waiting:
        assert s.c.smtp()[0] == 450
        s.c.close()
    # 20 seconds; one after the other they would be 60.
    assert time.monotonic() - began < 45
    # Nor is that connection of any more use.
    w.office.clear()
    with Session(w) as s:
        assert s.rcpt(f"again@{DOMAIN}")[0] == 250


@case
def a_client_that_leaves_meanwhile_leaves_nothing_behind(w):
    w.office.on("RCPT", delay=0.5)
    with Session(w) as s:
        s.c.send(f"RCPT TO:<slow@{DOMAIN}>\r\n")
    with Session(w) as s:
        assert s.rcpt(f"other@{DOMAIN}")[0] == 250
    assert w.gw.daemons("smtpd") == w.smtpd


run(world)

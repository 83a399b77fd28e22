#!/usr/bin/env python3
"""What clients try at the queue's door: logins and addresses that are not theirs, headers that are ours."""

from pt import case, mails, run
from pt.clients import Raw, plain_login
from pt.relay import QueueSite
from pt.world import DOMAIN

ALICE, BOB, FAR = f"alice@{DOMAIN}", f"bob@{DOMAIN}", "friend@far.test"
LETTER = b"From: bob@example.test\r\nTo: friend@far.test\r\nSubject: A letter\r\n\r\nHello.\r\n"
MORE = """
connector "front" {{
  service = relay
  listen = {{"127.0.0.1:{front}"}}
  tls = disabled
  gate = "soft"
  relay_clients = {{"127.0.0.0/8"}}
  xclient = {{"127.0.0.1"}}
  auth = sasl
  sasl_socket = "{sasl}"
  login_domain = "example.test"
}}
gate "soft" {{
  tarpit = 0
  error_rate = 0
}}
limits {{
  headers = 1M
}}
"""


def more(w):
    # As Dovecot has users who may not log in any more, and those who have their mail at another host.
    w.users["closed"] = "pw::::::nologin=y reason=closed"
    w.users["moved"] = "pw::::::proxy=y nologin=y host=127.0.0.1"
    w.dove = w.dovecot()
    w.front = w.ports.get()
    return MORE.format(front=w.front, sasl=w.dove.sasl)


def world():
    return QueueSite(users=("alice", "bob"), keys=("alice",), more=more,
                     mx_more='gate = "soft"\n  inbound = decrypt')


def hello(port):
    c = Raw(port)
    assert c.smtp()[0] == 220
    assert c.smtp("EHLO client.test")[0] == 250
    return c


def xclient(c, what):
    assert c.smtp("XCLIENT " + what)[0] == 220, what
    assert c.smtp("EHLO client.test")[0] == 250


def rcpt(c, sender=BOB, to=FAR):
    code, text = c.smtp(f"MAIL FROM:<{sender}>")
    assert code == 250, text
    return c.smtp(f"RCPT TO:<{to}>")


def letter(c, data, sender=BOB, to=FAR):
    code, text = rcpt(c, sender, to)
    assert code == 250, text
    assert c.smtp("DATA")[0] == 354
    return c.smtp(data + b".\r\n")


@case
def a_login_ends_with_its_client(w):
    with hello(w.front) as c:
        xclient(c, "ADDR=192.0.2.9 LOGIN=alice")
        assert letter(c, LETTER)[0] == 250
        xclient(c, "ADDR=192.0.2.10 NAME=other.far.test")
        assert rcpt(c)[0] == 554
        c.smtp("RSET")
        xclient(c, "LOGIN=alice")
        assert rcpt(c)[0] == 250
        c.smtp("RSET")
        xclient(c, "NAME=third.far.test")
        assert rcpt(c)[0] == 554
        c.smtp("RSET")
        assert c.smtp(f"AUTH PLAIN {plain_login('alice', w.users['alice'])}")[0] == 235
        xclient(c, "ADDR=192.0.2.11")
        assert rcpt(c)[0] == 554
    assert len(w.outside.take()) == 1


@case
def a_client_without_an_address_is_in_no_network(w):
    with hello(w.front) as c:
        assert letter(c, LETTER)[0] == 250
        xclient(c, "ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]")
        assert rcpt(c)[0] == 554
        c.smtp("RSET")
        xclient(c, "ADDR=127.0.0.5")
        assert letter(c, LETTER)[0] == 250
    assert len(w.outside.take(2)) == 2


@case
def what_is_signed_for_one_client_is_not_for_the_next(w):
    mine = LETTER.replace(b"bob@", b"alice@")
    with hello(w.front) as c:
        assert letter(c, mine, ALICE)[0] == 250
        # An address that may send, and a login that is nobody's: no longer by address.
        xclient(c, "ADDR=192.0.2.9 LOGIN=nobody")
        assert letter(c, mine, ALICE)[0] == 250
        # And by address again, not by that login.
        xclient(c, "ADDR=127.0.0.5")
        assert letter(c, mine, ALICE)[0] == 250
    signed = [mails.parse(m.data).get_content_type() == "multipart/signed" for m in
              sorted(w.outside.take(3), key=lambda m: b"192.0.2.9" in m.data)]
    assert signed == [True, True, False], signed


@case
def who_may_not_log_in_at_dovecot_may_not_here(w):
    for user, code in (("closed", 535), ("moved", 235), ("bob", 235)):
        with hello(w.front) as c:
            got = c.smtp(f"AUTH PLAIN {plain_login(user, w.users[user].split(':')[0])}")
            assert got[0] == code, (user, got)
    w.gw.wait_log(r"SASL PLAIN authentication failed: .*closed")


@case
def nobody_writes_on_in_our_trace(w):
    for port, sender, to in ((w.mx, FAR, BOB), (w.relay, BOB, FAR)):
        for first in (b" ", b"\t"):
            with hello(port) as c:
                assert letter(c, first + b"(of the client's); Thu, 1 Jan 1970 00:00:00 +0000\r\n" + LETTER, sender,
                              to) == (554, "5.6.0 the message begins with white space")
                assert rcpt(c, sender, to)[0] == 250
                assert c.smtp(b"BDAT 1\r\n" + first)[0] == 250
                assert c.smtp(b"BDAT %d LAST\r\n" % len(LETTER) + LETTER)[0] == 554
                assert letter(c, b"\r\n" + first + b"x\r\n", sender, to)[0] == 250
    for m in w.office.take(2) + w.outside.take(2):
        assert m.data.count(b"+0000\r\n\r\n") == 1, m.data


@case
def our_fields_are_found_however_far_down_they_are(w):
    pad = b"".join(b"X-Pad-%d: " % i + b"x" * 900 + b"\r\n" for i in range(330))
    with hello(w.mx) as c:
        assert letter(c, pad + b"X-Postern-Verdict: good\r\n" + LETTER, FAR, BOB)[0] == 250
    (m,) = w.office.take()
    assert m.data.endswith(pad + LETTER), m.data[-400:]


@case
def mail_to_a_tag_is_opened_as_that_to_its_owner(w):
    pgp = w.gpg()
    pgp.add(w.gw.keyctl("export", ALICE).stdout)
    secret = mails.crlf(mails.pgp_encrypted(pgp, mails.plain(FAR, ALICE, body="The secret.\n"), [ALICE]))
    for to in (ALICE, f"alice+tag@{DOMAIN}"):
        with hello(w.mx) as c:
            assert letter(c, secret, FAR, to)[0] == 250
        (m,) = w.office.take()
        assert m.recipients == [to] and b"The secret." in m.data, m.data


run(world)

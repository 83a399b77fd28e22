#!/usr/bin/env python3
"""Service mx: what the world may say to it, and what becomes of a message before it is in the queue."""

import re
import time

from pt import case, mails, run
from pt.clients import Raw
from pt.relay import QueueSite
from pt.world import DOMAIN

ALICE, BOB, CAROL = f"alice@{DOMAIN}", f"bob@{DOMAIN}", "carol@other.test"
FAR = "friend@far.test"
LETTER = b"From: friend@far.test\r\nTo: alice@example.test\r\nSubject: A letter\r\nMessage-ID: <1@far.test>\r\n\r\nHello.\r\n"
MORE = 'inbound = decrypt\n proxy_protocol = {"127.0.0.7"}\n xclient = {"127.0.0.8"}\n gate = "soft"'
GATE = 'gate "soft" {\n tarpit = 0\n error_rate = 0\n}\nlimits {\n message_size = 64K\n headers = 32K\n}\n'


def world():
    w = QueueSite(users=("alice", "bob", "dave"), keys=("alice",), mx_more=MORE, more=GATE)
    w.pgp = w.gpg()
    w.pgp.add(w.gw.keyctl("export", ALICE).stdout)
    return w


def hello(w, host="127.0.0.1", name="client.far.test"):
    c = Raw(w.mx, host=host)
    assert c.smtp()[0] == 220
    assert c.smtp(f"EHLO {name}")[0] == 250
    return c


def envelope(c, *rcpts, sender=FAR, params=""):
    assert c.smtp(f"MAIL FROM:<{sender}>{params}")[0] == 250
    for r in rcpts:
        code, text = c.smtp(f"RCPT TO:<{r}>")
        assert code == 250, text


def data(c, text):
    assert c.smtp("DATA")[0] == 354
    return c.smtp(text + b".\r\n")


def got(w, n=1):
    return w.office.take(n)


@case
def offers_what_the_queue_can_keep(w):
    with Raw(w.mx) as c:
        assert c.smtp() == (220, "gw.example.test ESMTP Postern")
        _, text = c.smtp("EHLO x.test")
        assert text.split("\n")[1:] == ["PIPELINING", "SIZE 65536", "8BITMIME", "SMTPUTF8", "DSN",
                                        "ENHANCEDSTATUSCODES", "CHUNKING"], text
        assert c.smtp("VRFY alice")[0] == 252
        for verb in ("EXPN all", "ETRN example.test", "TURN", "AUTH PLAIN AGEAYg==", "XCLIENT NAME=x",
                     "XFORWARD NAME=x", "STARTTLS"):
            assert c.smtp(verb)[0] in (502, 503, 550), verb
        assert c.smtp("MAIL FROM:<a@b.test> REQUIRETLS")[0] == 555
        assert c.smtp("MAIL FROM:<a@b.test> BODY=BINARYMIME")[0] == 501
        assert c.smtp("MAIL FROM:<a@b.test> SIZE=65537") == \
            (552, "5.3.4 the message is too large: 65536 octets at most")
        assert c.smtp("QUIT")[0] == 221


@case
def a_message_gains_one_trace_field_and_nothing_else(w):
    with hello(w) as c:
        envelope(c, ALICE)
        code, text = data(c, LETTER)
        assert code == 250 and (m := re.fullmatch(r"2\.0\.0 Ok: queued as ([0-9A-F]+)", text)), text
        qid = m[1]
    (mail,) = got(w)
    assert mail.sender == FAR and mail.recipients == [ALICE]
    assert mail.data.endswith(LETTER), mail.data
    trace = mail.data[:-len(LETTER)].decode()
    assert re.fullmatch(
        rf"Received: from client\.far\.test \([\w.-]+ \[127\.0\.0\.1\]\)\r\n"
        rf"\tby gw\.example\.test \(Postern\) with ESMTP id {qid}\r\n\tfor <{ALICE}>; "
        r"\w\w\w, \d+ \w\w\w \d\d\d\d \d\d:\d\d:\d\d \+0000\r\n", trace), trace
    w.gw.wait_log(rf"smtpd\[\d+\]: {qid}: client=[\w.-]+\[127\.0\.0\.1\]")
    w.gw.wait_log(rf"smtpd\[\d+\]: {qid}: message-id=<1@far\.test>")


@case
def recipients_do_not_learn_of_each_other(w):
    with hello(w) as c:
        envelope(c, BOB, f"dave@{DOMAIN}", BOB)
        assert data(c, LETTER)[0] == 250
    (mail,) = got(w)
    assert sorted(mail.recipients) == [BOB, f"dave@{DOMAIN}"]
    assert b"\tfor " not in mail.data.split(b"\r\n\r\n")[0]


@case
def is_no_open_relay_in_any_spelling(w):
    spellings = [
        "x@far.test", "x%far.test@example.test", "far.test!x@example.test", '"x@far.test"@example.test',
        '"far.test!x"@example.test', '"x%far.test"@example.test', "@example.test:x@far.test",
        "@far.test,@example.test:x@far.test", '"x"@far.test', '"alice@example.test"@far.test',
        "x@[127.0.0.1]", "x@[IPv6:::1]", "x@[IPv6:2001:db8::1]", "x@localhost", "x@gw.example.test",
        "alice@example.test@far.test", "alice%far.test@example.test", "alice+x%far.test@example.test",
        "x@example.test.far.test", "x@.example.test", "x@example.test..", "user:x@example.test",
    ]
    for sender in (FAR, ALICE, "", "x@gw.example.test"):
        for s in spellings:
            with hello(w) as c:
                assert c.smtp(f"MAIL FROM:<{sender}>")[0] == 250
                code, text = c.smtp(f"RCPT TO:<{s}>")
                assert code in (501, 550, 553, 554), (sender, s, code, text)
                assert c.smtp("RCPT TO:<>")[0] == 501
                assert c.smtp("DATA")[0] == 503
    with hello(w) as c:
        code, text = c.smtp("MAIL FROM:<a@far.test>")
        # Routes to us are taken off (RFC 5321, C), quotes that are not needed too.
        assert c.smtp("RCPT TO:<@far.test:alice@example.test>")[0] == 250
        assert c.smtp('RCPT TO:<"bob"@EXAMPLE.test>')[0] == 250
        assert data(c, LETTER)[0] == 250
    assert sorted(got(w)[0].recipients) == [ALICE, BOB]
    w.gw.wait_log(r"NOQUEUE: reject: RCPT from [\w.-]+\[127\.0\.0\.1\]: 554 5\.7\.1 <x@far\.test>: Relay access "
                  r"denied; from=<friend@far\.test> to=<x@far\.test> proto=ESMTP helo=<client\.far\.test>")


@case
def says_who_is_not_there_and_serves_one_customer_at_a_time(w):
    with hello(w) as c:
        assert c.smtp(f"MAIL FROM:<{FAR}>")[0] == 250
        assert c.smtp("RCPT TO:<nobody@example.test>") == \
            (550, "5.1.1 <nobody@example.test>: Recipient address rejected: User unknown")
        assert c.smtp(f"RCPT TO:<{CAROL}>")[0] == 250
        assert c.smtp(f"RCPT TO:<{ALICE}>") == (452, f"4.5.3 <{ALICE}>: one customer at a time")
        assert data(c, LETTER)[0] == 250
        assert got(w)[0].recipients == [CAROL]
        envelope(c, ALICE)
        assert c.smtp(f"RCPT TO:<{CAROL}>")[0] == 452
        assert c.smtp("RSET")[0] == 250
        envelope(c, CAROL)


@case
def postmaster_has_no_domain_and_is_there(w):
    with hello(w) as c:
        envelope(c, "PostMaster")
        assert data(c, LETTER)[0] == 250
    assert got(w)[0].recipients == ["postmaster@example.test"]


@case
def chunks_are_one_message(w):
    body = LETTER.replace(b"Hello.\r\n", b".\r\n..\r\n.x\r\nQUIT\r\n\xc3\xa9\r\n")
    with hello(w) as c:
        envelope(c, ALICE, params=" BODY=8BITMIME")
        assert c.smtp(b"BDAT 10\r\n" + body[:10]) == (250, "2.0.0 Ok: 10 octets received")
        assert c.smtp("NOOP")[0] == 250
        assert c.smtp(f"RCPT TO:<{BOB}>")[0] == 503
        assert c.smtp("DATA")[0] == 503
        assert c.smtp(f"MAIL FROM:<{FAR}>")[0] == 503
        assert c.smtp(b"BDAT %d\r\n" % len(body[10:]) + body[10:])[0] == 250
        assert c.smtp("BDAT 0 LAST")[0] == 250
        assert got(w)[0].data.endswith(body)
        # All at once, and octet by octet.
        c.send(f"MAIL FROM:<{FAR}>\r\nRCPT TO:<{ALICE}>\r\n".encode() +
               b"".join(b"BDAT 1%s\r\n" % (b" LAST" if i == len(body) - 1 else b"") + body[i:i + 1]
                        for i in range(len(body))) + b"NOOP\r\n")
        assert [c.smtp()[0] for _ in range(2 + len(body) + 1)] == [250] * (3 + len(body))
        assert got(w)[0].data.endswith(body)
        # The end of a line may be missing at the end: it is put there.
        envelope(c, ALICE)
        assert c.smtp(b"BDAT 14 LAST\r\nSubject: x\r\n\r\n")[0] == 250
        envelope(c, ALICE)
        assert c.smtp(b"BDAT 15 LAST\r\nSubject: x\r\n\r\ny")[0] == 250
    assert sorted(m.data[-17:] for m in got(w, 2)) == [b"0\r\nSubject: x\r\n\r\n", b"Subject: x\r\n\r\ny\r\n"]


@case
def refused_chunks_keep_the_session_in_step(w):
    with hello(w) as c:
        assert c.smtp(b"BDAT 6\r\nQUIT\r\n")[0] == 503
        assert c.smtp(f"MAIL FROM:<{FAR}>")[0] == 250
        assert c.smtp(b"BDAT 6 LAST\r\nQUIT\r\n")[0] == 503
        assert c.smtp("RCPT TO:<nobody@example.test>")[0] == 550
        assert c.smtp(b"BDAT 6 LAST\r\nQUIT\r\n") == (503, "5.5.1 no valid recipients")
        assert c.smtp("RSET")[0] == 250
        # Too much of it: the chunk is taken in, and refused; those behind it are for nothing.
        envelope(c, ALICE)
        c.send(b"BDAT 70014\r\nSubject: x\r\n\r\n" + b"x" * 69998 + b"\r\n" + b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert c.smtp() == (552, "5.3.4 the message is too large")
        assert c.smtp()[0] == 503
        assert c.smtp()[0] == 250
        # What is no text.
        for text in (b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n", b"a\r\r\n", b"x" * 9000 + b"\r\n", b"x\r"):
            envelope(c, ALICE)
            code, why = c.smtp(b"BDAT 14\r\nSubject: x\r\n\r\n")
            assert code == 250
            c.send(b"BDAT %d LAST\r\n" % len(text) + text)
            code, why = c.smtp()
            assert code in (550, 554), (text, why)
            assert c.smtp("NOOP")[0] == 250
        for args in ("", "x", "1 LATE", "-1", "99999999999999999999999", "1LAST"):
            with hello(w) as d:
                code, text = d.smtp(f"BDAT {args}")
                assert code == 501, (args, code, text)
                assert d.at_end()
    assert not w.office.mails


@case
def endings_that_others_take_for_the_end_are_refused(w):
    hidden = b"MAIL FROM:<chief@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: forged\r\n\r\n"
    for end in (b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\0\r\n.\r\n"):
        with hello(w) as c:
            envelope(c, ALICE)
            assert c.smtp("DATA")[0] == 354
            code, text = c.smtp(b"Subject: x\r\n\r\nx" + end + hidden + b"\r\n.\r\n")
            assert code in (550, 554), (end, text)
            assert c.smtp("NOOP")[0] == 250 or end.endswith(b"\r\n.\r\n")
    assert not w.office.mails


@case
def our_own_fields_are_ours_alone(w):
    forged = b"X-Postern-Verdict: good\r\nx-postern-other: a\r\n b\r\n"
    with hello(w) as c:
        envelope(c, BOB)
        assert data(c, forged + LETTER)[0] == 250
        assert got(w)[0].data.endswith(LETTER)
        envelope(c, BOB)
        assert data(c, LETTER.replace(b"\r\n\r\n", b"\r\n" + forged + b"\r\n"))[0] == 250
    mail = got(w)[0].data
    assert mail.endswith(LETTER) and b"ostern-" not in mail, mail


@case
def loops_end(w):
    hop = b"Received: from a.test by b.test; Mon, 1 Jan 2026 00:00:00 +0000\r\n"
    with hello(w) as c:
        envelope(c, BOB)
        assert data(c, hop * 50 + LETTER)[0] == 250
        envelope(c, BOB)
        assert data(c, hop * 51 + LETTER)[0] == 554
    got(w)


@case
def mail_for_those_with_keys_is_opened_at_the_door(w):
    secret = mails.pgp_encrypted(w.pgp, mails.plain(FAR, ALICE, body="The secret.\n"), [ALICE])
    with hello(w) as c:
        envelope(c, BOB, ALICE, f"dave@{DOMAIN}")
        assert data(c, mails.crlf(secret))[0] == 250
    opened, common = sorted(got(w, 2), key=lambda m: len(m.recipients))
    assert opened.recipients == [ALICE] and b"The secret." in opened.data
    assert mails.verdict(opened.data), opened.data
    assert sorted(common.recipients) == [BOB, f"dave@{DOMAIN}"]
    assert common.data.endswith(mails.crlf(secret)) and b"The secret." not in common.data
    w.gw.wait_log(r"smtpd\[\d+\]: [0-9A-F]+: crypto=")
    # What nobody has to open goes as it is, to her too.
    with hello(w) as c:
        envelope(c, ALICE)
        assert data(c, LETTER)[0] == 250
    assert got(w)[0].data.endswith(LETTER)


@case
def what_cannot_be_opened_now_is_deferred_or_held(w):
    secret = mails.crlf(mails.pgp_encrypted(w.pgp, mails.plain(FAR, ALICE, body="The secret.\n"), [ALICE]))
    w.gw.keyctl("lock")
    try:
        with hello(w) as c:
            envelope(c, ALICE)
            assert data(c, secret)[0] == 451
            envelope(c, ALICE, BOB)
            assert data(c, secret)[0] == 250
        assert got(w)[0].recipients == [BOB]
        (left,) = w.queue()
        assert "held" in str(left).lower() and ALICE in str(left), left
    finally:
        w.gw.keyctl("unlock", "--key-file", w.key_file)
    w.gw.gwctl("queue", "release", "--rcpt", ALICE)
    assert got(w)[0].recipients == [ALICE]
    w.empty()


@case
def a_balancer_says_who_the_client_is(w):
    with Raw(w.mx) as c:
        pass
    import socket
    def through(first):
        s = socket.socket()
        s.bind(("127.0.0.7", 0))
        s.connect(("127.0.0.1", w.mx))
        s.settimeout(10)
        c = Raw.__new__(Raw)
        c.sock, c.seen, c.ended, c._in = s, b"", False, b""
        c.send(first)
        return c
    with through(b"PROXY TCP4 192.0.2.33 192.0.2.1 4711 25\r\nEHLO early.test\r\n") as c:
        pass
    for first in (b"PROXY TCP4 192.0.2.33 192.0.2.1 4711 25\r\n",
                  b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 33, 192, 0, 2, 1, 1, 2, 0, 25])):
        with through(first[:5]) as c:
            time.sleep(0.05)
            c.send(first[5:])
            assert c.smtp()[0] == 220
            assert c.smtp("EHLO x.test")[0] == 250
            envelope(c, BOB)
            assert data(c, LETTER)[0] == 250
        assert b"[192.0.2.33]" in got(w)[0].data.split(b"\r\n")[0]
    for first in (b"EHLO x\r\n", b"PROXY TCP4 x\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"):
        with through(first) as c:
            assert c.rest() == b"", first


@case
def a_trusted_host_says_who_the_client_is(w):
    import socket
    s = socket.socket()
    s.bind(("127.0.0.8", 0))
    s.connect(("127.0.0.1", w.mx))
    s.settimeout(10)
    c = Raw.__new__(Raw)
    c.sock, c.seen, c.ended, c._in = s, b"", False, b""
    with c:
        assert c.smtp()[0] == 220
        _, text = c.smtp("EHLO relay.test")
        assert "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT" in text.split("\n"), text
        assert c.smtp("XCLIENT NAME=spam.example.net ADDR=192.0.2.44")[0] == 220
        assert c.smtp("MAIL FROM:<a@b.test>")[0] == 503
        assert c.smtp("EHLO own.test")[0] == 250
        assert c.smtp("XFORWARD NAME=deep.example.net ADDR=192.0.2.45 HELO=deep")[0] == 250
        envelope(c, BOB)
        assert data(c, LETTER)[0] == 250
        first = got(w)[0].data.split(b"\r\n")[0]
        assert first == b"Received: from own.test (spam.example.net [192.0.2.44])", first
        w.gw.wait_log(r"client=spam\.example\.net\[192\.0\.2\.44\]")
        w.gw.wait_log(r"orig_client=deep\.example\.net\[192\.0\.2\.45\]")


@case
def a_queue_that_is_away_for_a_moment_is_waited_for(w):
    old = w.gw.daemons("queued")
    with hello(w) as c:
        w.gw.kill("queued")
        envelope(c, BOB)
        w.gw.wait_daemon("queued", other_than=old, seconds=10)
        assert data(c, LETTER)[0] == 250
    got(w)


run(world)

#!/usr/bin/env python3
"""smtpd as a proxy: what passes untouched, what is refused, and what survives."""

import base64
import os
import re
import select
import signal
import smtplib
import threading
import time

from pt import Site, case, run
from pt import clients, mails
from pt.util import sh, wait_until, write

PAT, QUINN, ALICE, BOB = "pat@partner.test", "quinn@partner.test", "alice@example.test", "bob@example.test"
FEATURES = ["PIPELINING", "SIZE 20000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"]
TOKEN = "ya29." + "t0ken" * 500
LIMITS = """limits {
  recipients = 100
  errors = 8
  message_size = 12000000
  headers = 16384
  text_line = 2000
  idle_timeout = 3
  peer_timeout = 4
  data_timeout = 4
}
processes {
  smtpd = 1
}
"""


def peer(w):
    w.peer = w.sink(users=w.users, tokens={"alice": TOKEN}, features=FEATURES)
    return w.peer.port


def world():
    w = Site(smtp_port=peer, keys=("alice", "chief"), more=LIMITS)
    w.pat = w.outsider("pat")
    return w


def fresh(w):
    w.peer.clear()
    with w.peer.lock:
        w.peer.mails.clear()


def letter(to, subject="Letter", body="Dear reader,\nthe price is 4711.\n", sender=f"Alice <{ALICE}>", **kw):
    return mails.plain(sender, to, subject, body, **kw)


class Session(clients.Raw):
    """A client that has said EHLO and, with a user, logged in."""

    def __init__(self, w, user=None, timeout=10.0):
        super().__init__(w.submission, timeout=timeout)
        self.greeting = self.smtp()
        self.ehlo = self.smtp("EHLO client.test")[1]
        if user is not None:
            assert self.smtp("AUTH PLAIN " + clients.plain_login(*w.login(user)))[0] == 235

    def transaction(self, sender, *rcpts):
        assert self.smtp(f"MAIL FROM:<{sender}>")[0] == 250
        for r in rcpts:
            assert self.smtp(f"RCPT TO:<{r}>")[0] == 250
        assert self.smtp("DATA")[0] == 354


def from_client(w, verb):
    """Lines with this verb that the peer has received."""
    return [line for _, side, line in w.peer.transcript if side == "C" and line.upper().startswith(verb)]


@case
def untouched_mail_is_byte_identical(w):
    """bob has no key and quinn neither: not an octet is changed, whatever it is."""
    fresh(w)
    bodies = [b"", b"\r\n", b".\r\n", b"..\r\n.x\r\n", b"no header at all\r\n", b"a: b\r\n\r\n" + b".\r\n" * 100,
              b"A: b\r\n\r\n" + bytes(range(1, 10)) + bytes(range(14, 256)) + b" \t \r\n",
              b"A: b\r\n\r\n" + b"x" * 1998 + b"\r\n", b"A : b\r\n c\r\n\r\n" + b"12345678 \r\n" * 60000,
              b"A: b\r\n\r\n" + (b"y" * 98 + b"\r\n") * 100000]
    with Session(w, "bob", timeout=30) as c:
        for data in bodies:
            c.transaction(BOB, QUINN)
            stuffed = (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:]
            c.send(stuffed + b".\r\n")
            assert c.smtp()[0] == 250
            assert w.peer.take()[0].data == data, data[:100]


@case
def hidden_recipients_get_copies_of_their_own(w):
    fresh(w)
    w.outsider("rita")
    rita = "rita@partner.test"
    w.send("alice", [PAT, rita], letter(PAT))
    got = {tuple(m.recipients): m.data for m in w.peer.take(2)}
    assert set(got) == {(PAT,), (rita,)}, got.keys()
    part, status = mails.open_pgp(w.pat, got[(PAT,)])
    assert b"4711" in part and "DECRYPTION_OKAY" in status
    packets = sh(["gpg", "--list-packets"], data=got[(PAT,)], check=False).stdout.decode()
    assert packets.count(":pubkey enc packet:") == 1, "rita's key id is in pat's copy"


@case
def refusals_name_every_recipient_and_leave_nothing_open(w):
    fresh(w)
    with Session(w, "alice") as c:
        c.transaction(ALICE, QUINN, PAT, "nobody@partner.test")
        c.send(letter(QUINN, "[encrypt] x") + b".\r\n")
        code, text = c.smtp()
        assert code == 550 and QUINN in text and "nobody@partner.test" in text and PAT not in text, text
        assert text.count("\n") == 1 and "import" in text, text
        c.transaction(ALICE, PAT)
        c.send(letter(PAT, "[encrypt] x") + b".\r\n")
        assert c.smtp()[0] == 250
    assert [m.recipients for m in w.peer.take()] == [[PAT]]
    assert from_client(w, b"RSET")


@case
def login_is_answered_by_the_peer_only(w):
    fresh(w)
    user, password = w.login("alice")

    def b64(s):
        return base64.b64encode(s.encode() if isinstance(s, str) else s).decode()
    with Session(w) as c:
        assert c.smtp("AUTH LOGIN") == (334, "VXNlcm5hbWU6")
        assert c.smtp(b64(user)) == (334, "UGFzc3dvcmQ6")
        assert c.smtp(b64("wrong"))[0] == 535
        assert c.smtp("AUTH LOGIN " + b64(user))[0] == 334
        assert c.smtp(b64(password))[0] == 235
        assert c.smtp("AUTH LOGIN")[0] == 503
        assert "AUTH" not in c.smtp("EHLO again.test")[1]
    with Session(w) as c:
        assert c.smtp("AUTH PLAIN") == (334, "")
        assert c.smtp(clients.plain_login(user, password))[0] == 235
    with Session(w) as c:
        assert c.smtp("AUTH PLAIN")[0] == 334
        assert c.smtp("*")[0] == 501
        for bad in ("=", "*", "!!!!", b64("a\0b"), b64("a\0b\0c\0d"), b64("\0\0pw"), b64("\0user\0"), b64("x" * 5000),
                    clients.plain_login(user, password).rstrip("=")[:-1]):
            code = c.smtp("AUTH PLAIN " + bad)[0]
            assert code in (501, 421), (bad, code)
            if code == 421:
                break
    assert not [x for x in from_client(w, b"AUTH PLAIN") if b"!" in x or b"=" == x[11:]]
    with Session(w) as c:
        assert c.smtp("AUTH CRAM-MD5")[0] == 504
        assert c.smtp("AUTH")[0] == 501
        codes = []
        try:
            while len(codes) < 20:
                codes.append(c.smtp("AUTH PLAIN " + clients.plain_login(user, "no"))[0])
        except EOFError:
            pass
        assert codes.count(535) <= 5, codes
    log = w.gw.settled_log()
    assert password not in log and b64(password) not in log and clients.plain_login(user, password) not in log


def token_login(mechanism, user, token):
    text = f"user={user}\1auth=Bearer {token}\1\1" if mechanism == "XOAUTH2" else \
        f"n,a={user},\1host=gw.example.test\1port=587\1auth=Bearer {token}\1\1"
    return base64.b64encode(text.encode()).decode()


@case
def tokens_log_in_whom_they_name(w):
    """The identity is the response's own, so alice's mail is signed as hers."""
    fresh(w)
    with Session(w) as c:
        assert "AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER" in c.ehlo, c.ehlo
    for mechanism in ("XOAUTH2", "OAUTHBEARER"):
        for initial in (True, False):
            with Session(w) as c:
                good = token_login(mechanism, "alice", TOKEN)
                if not initial:
                    assert c.smtp("AUTH " + mechanism) == (334, "")
                assert c.smtp(f"AUTH {mechanism} {good}" if initial else good)[0] == 235
                c.transaction(ALICE, QUINN)
                c.send(letter(QUINN) + b".\r\n")
                assert c.smtp()[0] == 250
            m = w.peer.take()[0]
            assert m.user == "alice" and b"multipart/signed" in m.data
    # A command line of that length would be beyond what a server must take.
    assert set(from_client(w, b"AUTH")) == {b"AUTH XOAUTH2", b"AUTH OAUTHBEARER"}


@case
def a_token_that_is_refused_is_told_why(w):
    """The peer's challenge says why, the client has to answer it, and then is refused."""
    fresh(w)
    why = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode()
    for mechanism, end, code in (("XOAUTH2", "", 535), ("OAUTHBEARER", "AQ==", 535), ("XOAUTH2", "*", 501),
                                 ("OAUTHBEARER", "c3VycHJpc2U=", 501), ("XOAUTH2", "\x7f", 500)):
        with Session(w) as c:
            assert c.smtp(f"AUTH {mechanism} {token_login(mechanism, 'alice', 'stale')}") == (334, why)
            assert c.smtp(end)[0] == code, (mechanism, end)
            assert c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))[0] == 235
    before = len(from_client(w, b"AUTH"))
    with Session(w) as c:
        for bad in ("user=alice\1auth=Bearer x\1", "user=alice\1user=bob\1auth=Bearer x\1\1", "auth=Bearer x\1\1",
                    "user=\1auth=Bearer x\1\1"):
            assert c.smtp("AUTH XOAUTH2 " + base64.b64encode(bad.encode()).decode())[0] == 501, bad
        assert c.smtp("AUTH XOAUTH2 " + "QUJD" * 3010)[0] == 500
        assert c.smtp("NOOP")[0] == 250
    assert len(from_client(w, b"AUTH")) == before
    w.gw.wait_log(r"unknown\[127\.0\.0\.1\]: SASL XOAUTH2 authentication failed: .*, sasl_username=alice")
    log = w.gw.settled_log()
    assert TOKEN not in log and token_login("XOAUTH2", "alice", TOKEN) not in log


@case
def only_what_the_peer_offers_can_be_used(w):
    fresh(w)
    w.peer.tokens, kept = None, w.peer.tokens
    try:
        with Session(w) as c:
            assert "XOAUTH2" not in c.ehlo and "OAUTHBEARER" not in c.ehlo, c.ehlo
            assert c.smtp("AUTH XOAUTH2 " + token_login("XOAUTH2", "alice", TOKEN))[0] == 504
    finally:
        w.peer.tokens = kept


@case
def commands_are_taken_in_their_order_only(w):
    fresh(w)
    with clients.Raw(w.submission) as c:
        c.smtp()
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 503
        assert c.smtp("HELO client.test")[0] == 250
        assert c.smtp(f"MAIL FROM:<{ALICE}> SIZE=10")[0] == 555, "no parameters behind HELO"
        assert c.smtp(f"RCPT TO:<{PAT}>")[0] == 503
        assert c.smtp("DATA")[0] == 503
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 503
        assert c.smtp("DATA")[0] == 503
    with Session(w) as c:
        for line, code in (("NOOP x", 250), ("VRFY alice", 252), ("HELP", 214), ("EXPN x", 502), ("STARTTLS", 502),
                           ("BDAT 10 LAST", 502), ("RSET", 250), ("rset", 250), ("QUIT", 221)):
            assert c.smtp(line)[0] == code, line
        assert c.at_end()


@case
def parameters_reach_the_peer_that_offers_them(w):
    fresh(w)
    with Session(w, "alice") as c:
        assert c.smtp(f"MAIL FROM:<{ALICE}> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=Q+2B1 AUTH=<>")[0] == 250
        assert c.smtp(f"RCPT TO:<{QUINN}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;quinn+40x")[0] == 250
        for bad in (f"RCPT TO:<{PAT}> NOTIFY=NEVER,FAILURE", f"RCPT TO:<{PAT}> NOTIFY=", f"RCPT TO:<{PAT}> X=1",
                    "RCPT TO:<>", "RCPT TO:<a@b", "RCPT TO: a@b"):
            assert c.smtp(bad)[0] in (501, 555), bad
    with Session(w, "alice") as c:
        for bad in (f"MAIL FROM:<{ALICE}> SIZE=-1", f"MAIL FROM:<{ALICE}> SIZE=1 SIZE=2", f"MAIL FROM:<{ALICE}> RET=ALL",
                    f"MAIL FROM:<{ALICE}> BODY=BINARYMIME", "MAIL FROM:<ä@example.test>", f"MAIL FROM:<{ALICE}>x"):
            assert c.smtp(bad)[0] in (501, 553, 555), bad
        assert c.smtp("MAIL FROM:<ä@example.test> SMTPUTF8")[0] == 250
    sent = w.peer.transcript
    line = next(x for _, side, x in sent if side == "C" and b"ENVID" in x)
    assert b"BODY=8BITMIME" in line and b"RET=HDRS" in line and b"ENVID=Q+2B1" in line and b"AUTH=" not in line, line
    assert any(b"NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;quinn+40x" in x for _, side, x in sent if side == "C")


@case
def text_that_is_no_message_is_refused_at_its_end(w):
    fresh(w)
    cases = [(b"A: b\r\n\r\nx\0y\r\n", 554), (b"A: b\r\n\r\n" + b"x" * 2100 + b"\r\n", 554),
             (b"A: b\r\n" * 4000 + b"\r\nx\r\n", 554), (b"A: b\r\n\r\nx\ny\r\n", 550), (b"A: b\r\n\r\nx\ry\r\n", 550),
             (b"A: b\r\n\r\n" + (b"z" * 998 + b"\r\n") * 12100, 552)]
    with Session(w, "alice", timeout=30) as c:
        for data, code in cases:
            c.transaction(ALICE, QUINN)
            c.send(data + b".\r\n")
            assert c.smtp()[0] == code, (data[:60], code)
        c.transaction(ALICE, QUINN)
        c.send(b"A: b\r\n\r\ngood\r\n.\r\n")
        assert c.smtp()[0] == 250
    assert len(w.peer.take()) and not w.peer.mails


@case
def lines_that_are_no_commands_are_refused(w):
    fresh(w)
    for raw in (b"NOOP\n", b"NO\0OP\r\n", b"NOOP\rNOOP\r\n", b"NO\x7fOP\r\n", b"\r\n", b"NOOP" + b" x" * 9000 + b"\r\n"):
        with Session(w) as c:
            assert c.smtp(raw)[0] == 500, raw[:20]
            assert c.smtp("NOOP")[0] == 250
    with Session(w) as c:
        c.send(b"A" * 200000)
        assert c.smtp()[0] == 500
        assert c.at_end()


@case
def silent_clients_are_sent_away(w):
    fresh(w)
    with Session(w, timeout=8) as c:
        assert c.smtp()[0] == 421
        assert c.at_end()
    with Session(w, "alice", timeout=10) as c:
        c.transaction(ALICE, QUINN)
        start = time.monotonic()
        while time.monotonic() - start < 8 and not select.select([c.sock], [], [], 0.3)[0]:
            c.send(b"drip\r\n")
        assert c.smtp()[0] == 421
        assert time.monotonic() - start < 6, "data_timeout is for the whole text"
    assert not w.peer.mails


@case
def a_client_that_shuts_its_side_is_answered(w):
    fresh(w)
    with clients.Raw(w.submission) as c:
        c.smtp()
        c.send(b"EHLO c.test\r\nNOOP\r\nRSET\r\n")
        c.sock.shutdown(1)
        assert [c.smtp()[0] for _ in range(3)] == [250, 250, 250]
        assert c.at_end()
    with Session(w, "alice") as c:
        c.transaction(ALICE, QUINN)
        c.send(letter(QUINN) + b".\r\n")
        c.sock.shutdown(1)
        assert c.smtp()[0] == 250
    assert len(w.peer.take()) == 1
    with Session(w, "alice") as c:
        c.transaction(ALICE, QUINN)
        c.send(letter(QUINN))
        c.sock.shutdown(1)
        assert c.at_end()
    time.sleep(0.2)
    assert not w.peer.mails, "half a message was sent"


@case
def pipelining_keeps_the_order_of_answers(w):
    fresh(w)
    w.peer.on("RCPT", match=lambda a: b"r7@" in a, times=None, reply="550 5.1.1 r7")
    for pipelining in (True, False):
        w.peer.features = FEATURES if pipelining else FEATURES[1:]
        with Session(w, "alice", timeout=20) as c:
            rcpts = "".join(f"RCPT TO:<r{n}@partner.test>\r\n" for n in range(90))
            c.send(f"MAIL FROM:<{ALICE}>\r\n{rcpts}RCPT TO:<bad\r\nFOO\r\nRCPT TO:<{QUINN}>\r\nDATA\r\n")
            codes = [c.smtp()[0] for _ in range(95)]
            want = [250] + [550 if n == 7 else 250 for n in range(90)] + [501, 500, 250, 354]
            assert codes == want, codes
            c.send(letter(QUINN) + b".\r\nQUIT\r\n")
            assert c.smtp()[0] == 250 and c.smtp()[0] == 221
        assert len(w.peer.take()[0].recipients) == 90
    w.peer.features = FEATURES
    with Session(w, "alice") as c:
        c.send(f"MAIL FROM:<{ALICE}>\r\n" + "RCPT TO:<x@partner.test>\r\n" * 101)
        codes = [c.smtp()[0] for _ in range(102)]
        assert codes == [250] * 101 + [452], codes


@case
def refused_senders_end_the_transaction(w):
    fresh(w)
    w.peer.on("MAIL", reply="550 5.7.1 not you")
    with Session(w, "alice") as c:
        c.send(f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{QUINN}>\r\nRCPT TO:<{PAT}>\r\nDATA\r\n")
        codes = [c.smtp()[0] for _ in range(4)]
        assert codes[0] == 550 and all(x == 503 for x in codes[1:]), codes
        c.transaction(ALICE, QUINN)
        c.send(letter(QUINN) + b".\r\n")
        assert c.smtp()[0] == 250
    w.peer.take()


@case
def the_peers_421_and_its_end_are_the_sessions(w):
    for verb in ("MAIL", "RCPT", "DATA", "RSET"):
        for rule in ({"reply": "421 4.3.2 closing", "close": True}, {"close": True}):
            fresh(w)
            w.peer.on(verb, **rule)
            with Session(w, "alice") as c:
                c.send(f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{QUINN}>\r\n")
                c.send(b"RSET\r\nNOOP\r\n" if verb == "RSET" else b"DATA\r\n")
                if verb == "DATA":  # asked of the peer when the text is there
                    c.send(letter(QUINN) + b".\r\n")
                codes = []
                try:
                    while len(codes) < 9:
                        codes.append(c.smtp()[0])
                except EOFError:
                    pass
                want = 451 if verb == "DATA" and "reply" not in rule else 421
                assert want in codes, (verb, rule, codes)
            assert not w.peer.mails
    fresh(w)
    w.peer.on("EOD", reply="421 4.3.2 closing", close=True)
    with Session(w, "alice") as c:
        c.transaction(ALICE, QUINN)
        c.send(letter(QUINN) + b".\r\n")
        assert c.smtp()[0] == 421 and c.at_end()
    fresh(w)
    w.peer.on("EOD", close=True)
    with Session(w, "alice") as c:
        c.transaction(ALICE, QUINN)
        c.send(letter(QUINN) + b".\r\n")
        assert c.smtp()[0] == 451
        assert c.smtp("NOOP")[0] == 421


@case
def a_peer_that_refuses_within_the_text_is_believed(w):
    fresh(w)
    w.peer.on("DATA", reply="354 go ahead\r\n552 5.2.2 mailbox full", close=True)
    with Session(w, "bob", timeout=20) as c:
        c.transaction(BOB, QUINN)
        c.send(letter(QUINN, sender=BOB, body="x" * 70 + "\n") + (b"y" * 98 + b"\r\n") * 60000 + b".\r\n")
        assert c.smtp()[0] in (451, 552)
    assert not w.peer.mails


@case
def a_slow_peer_and_a_slow_client_hold_nobody_else(w):
    fresh(w)
    w.peer.on("MAIL", match=lambda a: b"slow@" in a, delay=3.5)
    with Session(w, "alice") as slow, Session(w, "alice") as idle:
        slow.send("MAIL FROM:<slow@example.test>\r\n")
        idle.transaction(ALICE, QUINN)
        idle.send(b"A: b\r\n")
        start = time.monotonic()
        w.send("alice", QUINN, letter(QUINN))
        assert time.monotonic() - start < 1.5
        assert slow.smtp()[0] == 250
        time.sleep(1)
        assert slow.smtp("NOOP")[0] == 250, "the client's time runs from the answer on"
    w.peer.take()


@case
def a_locked_key_store_defers(w):
    fresh(w)
    w.gw.keyctl("lock")
    try:
        assert w.refusal("alice", PAT, letter(PAT))[0] == 451
        assert not w.peer.mails
    finally:
        w.gw.keyctl("unlock", "--key-file", w.key_file)
    w.send("alice", PAT, letter(PAT))
    assert mails.is_pgp_encrypted(w.peer.take()[0].data)


@case
def a_killed_worker_or_daemon_defers_or_is_replaced(w):
    fresh(w)
    for name in ("filterd", "policyd", "cryptod", "dnsd"):
        old = w.gw.kill(name)
        try:
            w.send("alice", PAT, letter(PAT), timeout=40)
        except smtplib.SMTPResponseException as e:
            assert 400 <= e.smtp_code <= 499, (name, e)
        w.gw.wait_daemon(name, other_than=old, seconds=5)
        fresh(w)
        wait_until(lambda: sends(w), 15, f"sending after {name} was killed")
        assert all(mails.is_pgp_encrypted(m.data) for m in w.peer.take())


def sends(w):
    try:
        w.send("alice", PAT, letter(PAT), timeout=30)
        return True
    except (smtplib.SMTPException, OSError):
        return False


def notices(w):
    folder = os.path.join(w.gw.state, "smtpd")
    return [x for x in os.listdir(folder) if x.endswith(".notice")]


@case
def a_notice_outlives_smtpd_and_arrives_once(w):
    fresh(w)
    w.peer.on("EOD", nth=2, reply="554 5.6.0 not this one")
    w.peer.on("MAIL", match=lambda a: a.upper().startswith(b"FROM:<>"), reply="451 4.3.0 later")
    with Session(w, "alice") as c:
        assert c.smtp(f"MAIL FROM:<{ALICE}> ENVID=id77")[0] == 250
        assert c.smtp(f"RCPT TO:<{PAT}> ORCPT=rfc822;pat+2Bx@partner.test")[0] == 250
        assert c.smtp(f"RCPT TO:<{QUINN}> ORCPT=rfc822;quinn+2Bx@partner.test")[0] == 250
        assert c.smtp("DATA")[0] == 354
        c.send(letter([PAT, QUINN], "Secret plans") + b".\r\n")
        assert c.smtp()[0] == 250
        assert len(notices(w)) == 1, "on the disk before the 250"
    first = w.peer.take()[0]
    wait_until(lambda: any(b"<>" in x for x in from_client(w, b"MAIL")), 5, "the first attempt")
    assert len(notices(w)) == 1
    old = w.gw.kill("smtpd")
    w.gw.wait_daemon("smtpd", other_than=old, seconds=5)
    notice = w.peer.take(seconds=15)[0]
    wait_until(lambda: not notices(w), 5, "an empty journal")
    assert notice.sender == "" and notice.recipients == [ALICE] and notice.user == ""
    failed = ({PAT, QUINN} - set(first.recipients)).pop()
    text = notice.data.decode()
    assert "Original-Envelope-Id: id77" in text and f"Final-Recipient: rfc822; {failed}" in text, text
    assert "Original-Recipient: rfc822;" + failed.replace("@", "+x@") in text, text
    assert "554 5.6.0 not this one" in text and "Status: 5.6.0" in text
    assert "4711" not in text and "Secret plans" not in text, text
    m = mails.parse(notice.data)
    assert m.get_content_type() == "multipart/report" and len(m.get_payload()) == 3
    time.sleep(1)
    assert not w.peer.mails, "it came twice"


@case
def senders_get_the_notices_they_asked_for(w):
    for sender, params, wanted in ((ALICE, " NOTIFY=NEVER", False), (ALICE, " NOTIFY=FAILURE", True), ("", "", False)):
        fresh(w)
        w.peer.on("RCPT", nth=2, match=lambda a: b"quinn" in a, reply="550 5.1.1 gone")
        with Session(w, "alice") as c:
            assert c.smtp(f"MAIL FROM:<{sender}>")[0] == 250
            for rcpt in (PAT, QUINN):
                assert c.smtp(f"RCPT TO:<{rcpt}>{params}")[0] == 250
            assert c.smtp("DATA")[0] == 354
            c.send(letter([PAT, QUINN]) + b".\r\n")
            code = c.smtp()[0]
        got = w.peer.take(2 if wanted else 0, seconds=5) if code == 250 else []
        time.sleep(0.3)
        assert not notices(w)
        if wanted and len(got) == 2:
            assert got[1].sender == "" and b"550 5.1.1 gone" in got[1].data


@case
def a_full_journal_defers_instead_of_losing(w):
    """Nothing can be written down: the client has to try again, though some have it then."""
    fresh(w)
    folder = os.path.join(w.gw.state, "smtpd")
    if w.gw.user is None and os.getuid() != 0:
        return
    mode = os.stat(folder).st_mode & 0o777
    os.chmod(folder, 0o500)
    try:
        w.peer.on("EOD", nth=2, reply="554 5.6.0 not this one")
        assert w.refusal("alice", [PAT, QUINN], letter([PAT, QUINN]))[0] == 451
    finally:
        os.chmod(folder, mode)
    assert not notices(w)


@case
def damaged_notices_are_set_aside(w):
    fresh(w)
    folder = os.path.join(w.gw.state, "smtpd")
    owner = os.stat(folder)
    for name, data in (("0.1.aa.notice", b"PSTN\1 rubbish"), ("0.2.bb.notice", b""), ("0.3.cc.tmp", b"half")):
        path = write(os.path.join(folder, name), data)
        os.chown(path, owner.st_uid, owner.st_gid)
    old = w.gw.kill("smtpd")
    w.gw.wait_daemon("smtpd", other_than=old, seconds=5)
    wait_until(lambda: not notices(w), 5, "damaged notices set aside")
    left = sorted(os.listdir(folder))
    assert left == ["0.1.aa.notice.damaged", "0.2.bb.notice.damaged"], left
    for name in left:
        os.unlink(os.path.join(folder, name))
    wait_until(lambda: sends(w), 10, "sending again")


@case
def the_log_reads_like_postfixes(w):
    fresh(w)
    w.gw.settled_log()  # lines come late
    start = len(w.gw.log_text())
    w.send("alice", PAT, letter(PAT))
    w.peer.take()
    line = w.gw.wait_log(r": ([0-9A-F]+): client=unknown\[127\.0\.0\.1\], sasl_method=\w+, sasl_username=alice", start=start)
    qid = line[1]
    w.gw.wait_log(rf"{qid}: from=<{ALICE}>, size=\d+, nrcpt=1", start=start)
    w.gw.wait_log(rf"{qid}: to=<{PAT}>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, delay=[\d.]+, delays=[\d./]+, "
                  r"dsn=2\.0\.0, status=sent \(250 .*\)", start=start)
    w.gw.wait_log(rf"{qid}: crypto=encrypted=pgp/mime", start=start)
    w.gw.wait_log(rf"{qid}: removed", start=start)
    w.gw.wait_log(r"disconnect from unknown\[127\.0\.0\.1\]", start=start)
    with Session(w) as c:
        c.smtp(b"EHLO x\r\n")
        w.peer.on("MAIL", reply="550 5.7.1 x\tstatus=sent")
        c.smtp("MAIL FROM:<\"a, to=<b@c>, status=sent\"@x.test>")
    w.gw.wait_log(r"NOQUEUE: reject: MAIL from unknown\[127", start=start)
    assert not re.search(r"to=<b@c>", w.gw.settled_log(start))


@case
def mistakes_of_clients_are_logged_and_not_without_end(w):
    fresh(w)
    start = len(w.gw.log_text())
    with clients.Raw(w.submission) as c:
        c.smtp()
        c.smtp("EHLO client.test")
        while c.smtp("MAIL FROM:<nonsense>")[0] == 501:
            pass
        assert c.at_end()
    w.gw.wait_log(r"NOQUEUE: reject: MAIL from unknown\[127\.0\.0\.1\]: 501 .*proto=ESMTP helo=<client\.test>", start=start)
    w.gw.wait_log(r"too many errors after MAIL from unknown\[127\.0\.0\.1\]", start=start)
    start = len(w.gw.log_text())
    with clients.Raw(w.submission) as c:
        c.smtp()
        c.smtp("RUBBISH \"]\t<x@y>")
        c.smtp("NOOP")
    w.gw.wait_log(r"NOQUEUE: reject: UNKNOWN from unknown\[127\.0\.0\.1\]: 500 ", start=start)
    w.gw.wait_log(r"lost connection after NOOP from unknown\[127\.0\.0\.1\]", start=start)
    with Session(w, "alice") as c:
        c.transaction(ALICE, QUINN)
    w.gw.wait_log(r"lost connection after DATA from unknown\[127\.0\.0\.1\]", start=start)


@case
def a_peer_that_does_not_reset_is_used_no_more(w):
    """What it would do with the next transaction nobody knows."""
    fresh(w)
    w.peer.on("RSET", times=None, reply="502 5.5.1 no such thing")
    with Session(w, "alice") as c:
        c.transaction(ALICE, PAT, QUINN)
        c.send(letter([PAT, QUINN]) + b".\r\n")
        assert c.smtp()[0] == 451
        assert c.smtp("NOOP")[0] == 421
    with Session(w, "alice") as c:
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
        c.smtp("RSET")
        assert c.smtp()[0] == 421 and c.at_end()
    assert not w.peer.mails


@case
def a_peer_that_reads_slowly_is_given_up_in_time(w):
    """Some octets move all the time: it is the whole text that has a limit."""
    fresh(w)
    ended = threading.Event()

    def slowly(c, _arg):
        c.reply("354 go ahead, slowly")
        while not ended.is_set() and c.sock.recv(20000):
            ended.wait(0.2)

    w.peer.do_data = slowly
    try:
        with Session(w, "bob", timeout=40) as c:
            c.transaction(BOB, QUINN)
            c.send(letter(QUINN, sender=BOB) + (b"y" * 98 + b"\r\n") * 110000 + b".\r\n")
            assert c.smtp()[0] == 451
    finally:
        ended.set()
        del w.peer.do_data
    assert not w.peer.mails


@case
def swaks_sends_pipelined_with_either_login(w):
    fresh(w)
    user, password = w.login("alice")
    for mechanism in ("PLAIN", "LOGIN"):
        sh(["swaks", "--server", "127.0.0.1", "--port", str(w.submission), "--from", ALICE, "--to", f"{PAT},{QUINN}",
            "--pipeline", "--auth", mechanism, "--auth-user", user, "--auth-password", password, "--silent", "2",
            "--header", "Subject: by swaks", "--h-To", PAT, "--body", "hello from swaks"])
        got = {m.recipients[0]: m.data for m in w.peer.take(2)}
        part, status = mails.open_pgp(w.pat, got[PAT])
        assert b"hello from swaks" in part and ALICE in status.get("GOODSIG", ""), status
        assert b"hello from swaks" in got[QUINN]


@case
def tls_to_the_peer_is_demanded_and_verified(w):
    """STARTTLS as configured: never without, never with a wrong name, nothing slipped in between."""
    def good(v):
        v.peer = v.sink(users=v.users, tls=v.ca.issue("localhost"))
        return v.peer.port
    with Site(smtp_port=good, keys=(), tls=True, more=LIMITS) as v:
        v.send("alice", QUINN, letter(QUINN))
        mail = v.peer.take()[0]
        assert mail.tls and mail.user == "alice"
        v.gw.wait_log(r"Verified TLS connection established to 127\.0\.0\.1\[127")
        v.peer.on("STARTTLS", reply="220 2.0.0 go\r\n250 slipped in")
        with clients.Raw(v.submission) as c:
            assert c.smtp()[0] == 421
        v.peer.on("STARTTLS", reply="454 4.7.0 not now")
        with clients.Raw(v.submission) as c:
            assert c.smtp()[0] == 421
        v.peer.stop()
        for tls in (v.ca.issue("other.test", names=("other.test",)), v.ca.issue("late", expired=True),
                    v.ca.issue("alone", self_signed=True), None):
            bad = v.sink(users=v.users, tls=tls)
            v.gw.configure(re.sub(r"port = %d\b" % v.peer.port, f"port = {bad.port}", v.pieces))
            v.gw.reload()
            with clients.Raw(v.submission) as c:
                code = c.smtp()[0]
                assert code == 421, (code, tls)
            assert not [x for _, side, x in bad.transcript if side == "C" and x.startswith((b"AUTH", b"MAIL"))]


@case
def signs_by_address_only_where_it_is_allowed(w):
    def open_relay(v):
        v.peer = v.sink(features=FEATURES)
        return v.peer.port
    for nets, signed in (('"127.0.0.0/8"', True), ('"192.0.2.0/24"', False)):
        with Site(smtp_port=open_relay, keys=("alice",), submission_more=f"sign_by_address = {{{nets}}}") as v:
            clients.send(v.submission, ALICE, QUINN, letter(QUINN))
            got = v.peer.take()[0].data
            assert (b"multipart/signed" in got) == signed, got


@case
def senders_of_foreign_domains_leave_only_where_it_is_allowed(w):
    def open_relay(v):
        v.peer = v.sink(features=FEATURES)
        return v.peer.port
    for allowed in (False, True):
        more = "outside_senders = yes" if allowed else ""
        with Site(smtp_port=open_relay, keys=("alice",), submission_more=more) as v:
            clients.send(v.submission, "", QUINN, letter(QUINN))  # a notice
            assert v.peer.take()
            with clients.Raw(v.submission) as c:
                c.smtp()
                for line in ("EHLO x.test", "MAIL FROM:<someone@elsewhere.test>", f"RCPT TO:<{QUINN}>", "DATA"):
                    code = c.smtp(line)[0]
                assert code == 354, code
                code, text = c.smtp(letter(QUINN).decode() + ".")[:2]
                assert code == (250 if allowed else 550), (code, text)
            got = list(v.peer.mails)
            assert bool(got) == allowed, got
            assert not allowed or b"multipart/signed" not in got[0].data


@case
def clients_outside_the_connectors_networks_are_refused(w):
    def any_peer(v):
        v.peer = v.sink()
        return v.peer.port
    with Site(smtp_port=any_peer, keys=(), users=(), submission_more='clients = {"192.0.2.0/24"}') as v:
        with clients.Raw(v.submission) as c:
            assert c.smtp()[0] == 554 and c.at_end()
        v.gw.wait_log(r"NOQUEUE: reject: CONNECT from unknown\[127\.0\.0\.1\]: 554 5\.7\.1")
        assert v.peer.connections == 0


@case
def drain_lets_the_message_under_way_finish(w):
    fresh(w)
    with Session(w, "alice") as busy, Session(w, "alice") as idle:
        busy.transaction(ALICE, QUINN)
        busy.send(b"From: alice@example.test\r\n")
        os.kill(w.gw.pid, signal.SIGTERM)
        assert idle.smtp()[0] == 421
        busy.send(b"\r\nlast words\r\n.\r\n")
        assert busy.smtp()[0] == 250
        assert busy.smtp()[0] == 421
    assert len(w.peer.take()) == 1
    wait_until(lambda: not w.gw.alive(), 10, "the gateway's end")
    w.gw.stop()
    w.gw.start()


@case
def a_peer_that_is_down_is_told_at_once(w):
    fresh(w)
    with Session(w, "alice"):
        pass
    w.peer.stop()
    with clients.Raw(w.submission) as c:
        code, text = c.smtp()
        assert code == 421 and "4.4.1" in text, text
        assert c.at_end()


if __name__ == "__main__":
    run(world)

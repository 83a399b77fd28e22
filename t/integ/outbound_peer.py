#!/usr/bin/env python3
"""Mail servers behind the gateway that fail, lie and go away while mail is sent through it."""

import smtplib
import threading
import time

from pt import Site, case, run
from pt import clients, mails

PAT, QUINN, ALICE = "pat@partner.test", "quinn@partner.test", "alice@example.test"


def peer(w):
    w.peer = w.sink(users=w.users, features=["PIPELINING", "SIZE 52428800", "8BITMIME", "DSN",
                                             "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME", "X-UNKNOWN"])
    return w.peer.port


def world():
    w = Site(smtp_port=peer, keys=("alice",), more="limits {\n  peer_timeout = 5\n}\n")
    w.outsider("pat")
    return w


def fresh(w):
    w.peer.clear()
    with w.peer.lock:
        w.peer.mails.clear()


def letter(to, subject="Letter"):
    return mails.plain(f"Alice <{ALICE}>", to, subject, "Dear reader,\nthe price is 4711.\n")


@case
def offers_what_the_peer_has_and_no_more(w):
    with clients.Raw(w.submission) as c:
        c.smtp()
        text = c.smtp("EHLO client.test")[1]
    words = {line.split()[0] for line in text.split("\n")[1:]}
    assert {"PIPELINING", "SIZE", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "AUTH"} <= words, words
    assert not words & {"CHUNKING", "BINARYMIME", "X-UNKNOWN", "SMTPUTF8", "STARTTLS"}, words
    size = [int(x.split()[1]) for x in text.split("\n") if x.startswith("SIZE ")]
    assert size and size[0] < 52428800, "SIZE leaves room for what encryption adds"


@case
def passes_on_the_reply_of_a_failed_first_transaction(w):
    fresh(w)
    w.peer.on("EOD", reply="452 4.3.1 disk is full")
    assert w.refusal("alice", [PAT, QUINN], letter([PAT, QUINN]))[0] == 452
    assert not w.peer.mails


@case
def passes_on_a_refused_recipient(w):
    fresh(w)
    w.peer.on("RCPT", match=lambda a: b"quinn" in a, reply="550 5.1.1 no such quinn")
    refused = w.send("alice", [PAT, QUINN], letter([PAT, QUINN]))
    assert refused[QUINN][0] == 550 and b"no such quinn" in refused[QUINN][1]
    assert [m.recipients for m in w.peer.take()] == [[PAT]]


@case
def bounces_for_a_later_group_that_fails(w):
    fresh(w)
    w.peer.on("EOD", nth=2, reply="554 5.6.0 not this one")
    w.send("alice", [PAT, QUINN], letter([PAT, QUINN]))
    first, notice = w.peer.take(2)
    assert notice.sender == "" and notice.recipients == [ALICE], notice
    failed = ({PAT, QUINN} - set(first.recipients)).pop()
    m = mails.parse(notice.data)
    assert m.get_content_type() == "multipart/report", m.get_content_type()
    assert failed.encode() in notice.data and b"554" in notice.data
    assert b"the price is 4711" not in notice.data or first.recipients == [PAT]


@case
def defers_when_the_peer_hangs_up_after_the_final_dot(w):
    fresh(w)
    w.peer.on("EOD", close=True)
    assert w.refusal("alice", QUINN, letter(QUINN))[0] == 451


@case
def says_so_when_the_peer_is_not_well(w):
    for rule in ({"close": True}, {"reply": "554 5.3.2 go away", "close": True},
                 {"reply": b"\0\1\2 rubbish\r\n", "close": True},
                 {"reply": b"220 " + b"x" * 200000}, {"reply": b"220-more\r\n" * 5000}):
        fresh(w)
        w.peer.on("CONNECT", **rule)
        try:
            code = clients.Raw(w.submission, timeout=15).smtp()[0]
        except EOFError:
            code = None
        assert code in (421, 554), (rule, code)


@case
def gives_up_on_a_silent_peer(w):
    fresh(w)
    w.peer.on("MAIL", stall=True)
    try:
        w.send("alice", QUINN, letter(QUINN))
        raise AssertionError("accepted")
    except smtplib.SMTPException:
        pass


@case
def gives_up_on_a_peer_that_answers_octet_by_octet(w):
    fresh(w)
    ended = threading.Event()

    def slowly(c, _arg):
        while not ended.is_set():
            c.send(b"x" if c.state.setdefault("begun", False) else b"250-")
            c.state["begun"] = True
            ended.wait(0.5)

    began = time.monotonic()
    w.peer.do_mail = slowly
    try:
        w.send("alice", QUINN, letter(QUINN))
        raise AssertionError("accepted")
    except smtplib.SMTPException:
        pass
    finally:
        ended.set()
        del w.peer.do_mail
    assert time.monotonic() - began < 20


@case
def pipelined_commands_are_answered_in_order(w):
    fresh(w)
    with clients.Raw(w.submission) as c:
        c.smtp()
        c.smtp("EHLO client.test")
        c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))
        c.send(f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{QUINN}>\r\nRCPT TO:<{PAT}>\r\nDATA\r\n")
        assert [c.smtp()[0] for _ in range(4)] == [250, 250, 250, 354]
        c.send(letter([QUINN, PAT]) + b".\r\nRSET\r\nQUIT\r\n")
        assert [c.smtp()[0] for _ in range(3)] == [250, 250, 221]
    assert len(w.peer.take(2)) == 2


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""Exact mode of the POP3 proxy: LIST and STAT tell what RETR gives, and remember it."""

import os
import re
import signal

from pt import Site, case, run
from pt import mails
from pt.util import wait_until

PAT, ALICE = "pat@partner.test", "alice@example.test"
CAPABILITIES = ["USER", "SASL PLAIN", "TOP", "UIDL", "RESP-CODES", "PIPELINING"]


def world():
    w = Site(smtp_port=lambda w: w.sink(users=w.users).port, pop3_port=peer, keys=("alice",),
             retrieval_more="sizes = exact", more="limits {\n  sizes_timeout = 5\n}\n")
    w.pat = w.outsider("pat")
    w.pat.make("Zoe <zoe@partner.test>")
    return w


def peer(w):
    w.peer = w.fakepop(capabilities=list(CAPABILITIES))
    return w.peer.port


def fresh(w, *octets):
    """A peer without rules whose alice has these messages, and a gateway that remembers nothing."""
    w.peer.clear()
    w.peer.capabilities[:] = CAPABILITIES
    with w.peer.lock:
        w.peer.boxes.clear()
    for data in octets:
        w.peer.put("alice", data)
    wait_until(lambda: sessions(w) == 0, text="the end of the sessions before")
    for path in files(w):
        os.unlink(path)


def sessions(w):
    """How many are under way: what they have learnt is written before their last line."""
    log = w.gw.settled_log()
    return len(re.findall(r"postern/pop3d\[\d+\]: \w+: connect from", log)) - len(
        re.findall(r"postern/pop3d\[\d+\]: \w+: disconnect from", log))


def files(w):
    folder = os.path.join(w.gw.state, "pop3d")
    return [os.path.join(folder, name) for name in os.listdir(folder)]


def message(c, command):
    """(status line, octets without stuffing as they came)."""
    c.send(command + "\r\n")
    first = c.line().decode()
    if not first.startswith("+OK"):
        return first, b""
    got = b""
    while not got.endswith(b"\r\n.\r\n") and got != b".\r\n":
        got += c.some()
    return first, re.sub(rb"(^|\n)\.", rb"\1", got[:-3])


def listing(c):
    """{number: size} of LIST, after a look whether STAT and LIST n say the same."""
    first, rows = c.pop("LIST", multi=True)
    assert first.startswith("+OK"), first
    sizes = {int(r.split()[0]): int(r.split()[1]) for r in rows.splitlines()}
    assert c.pop("STAT")[0] == f"+OK {len(sizes)} {sum(sizes.values())}"
    for n, size in sizes.items():
        assert c.pop(f"LIST {n}")[0] == f"+OK {n} {size}"
    return sizes


def sizes_now(w):
    with w.logged_in() as c:
        sizes = listing(c)
        c.pop("QUIT")
    return sizes


def retrieved(w):
    """What the peer was asked to give since the transcript was cleared."""
    return [int(x.split()[1]) for x in w.peer.said("C") if x.upper().startswith(b"RETR")]


def letter(body="Dear Alice,\n4711 it is.\n", subject="Re: Offer", extra=""):
    return mails.plain(f"Pat <{PAT}>", ALICE, subject, body, extra=extra)


def sealed(w, body="Dear Alice,\n4711 it is.\n", to=ALICE, sign=PAT):
    return mails.pgp_encrypted(w.pat, letter(body), [to], sign=sign)


def assortment(w):
    return [
        letter(), sealed(w), mails.pgp_signed(w.pat, letter(), PAT), sealed(w, sign=None),
        letter(extra="X-Postern-Verdict: decrypted=yes; signature=good\n"),
        sealed(w, to="zoe@partner.test"),
        letter(w.pat.encrypt(b"4711 inline\n", [ALICE], sign=PAT).decode()),
        b"", b"\r\n", b"A: b\r\n\r\nno end", b"A: b\r\n\r\n.\r\n..\r\n.x\r\n",
        b"A: b\r\n\r\nbare\nlf\n.\nand\rcr\r\n", letter("x" * 70 + "\n" * 5000),
        sealed(w, "".join(f"line {n}\n.dot {n}\n" for n in range(20000))),
    ]


@case
def list_and_stat_are_what_retr_gives_to_the_octet(w):
    fresh(w, *assortment(w))
    count = len(w.peer.boxes["alice"])
    for first in ("STAT", "LIST", "LIST 2", "RETR 2", "TOP 2 0"):
        for path in files(w):
            os.unlink(path)
        with w.logged_in() as c:
            assert c.pop(first, multi=first.split()[0] != "STAT" and first != "LIST 2")[0].startswith("+OK")
            sizes = listing(c)
            assert list(sizes) == list(range(1, count + 1))
            for n, size in sizes.items():
                status, data = message(c, f"RETR {n}")
                assert status == f"+OK {size} octets", (n, size, status)
                assert len(data) == size, (n, size, len(data))
                top = message(c, f"TOP {n} 0")[1]
                assert data.startswith(top) or b"\r\n\r\n" not in data, n
            assert sizes[2] != len(w.peer.boxes["alice"][1][1]), "it was opened"


@case
def deleted_messages_keep_their_numbers(w):
    fresh(w, letter(), sealed(w), letter("three\n"))
    with w.logged_in() as c:
        assert c.pop("DELE 1")[0].startswith("+OK")
        before = listing(c)
        assert list(before) == [2, 3]
        assert c.pop("LIST 1")[0].startswith("-ERR")
        assert c.pop("DELE 3")[0].startswith("+OK")
        assert listing(c) == {2: before[2]}
        assert c.pop("RSET")[0].startswith("+OK")
        assert list(listing(c)) == [1, 2, 3]
        assert c.pop("LIST 4")[0].startswith("-ERR") and c.pop("LIST 0")[0].startswith("-ERR")
        assert c.pop("DELE 9")[0].startswith("-ERR")
        assert list(listing(c)) == [1, 2, 3]


@case
def what_was_learnt_outlives_a_crash(w):
    mine = [letter(), sealed(w), mails.pgp_signed(w.pat, letter(), PAT), letter("four\n")]
    fresh(w, *mine)
    before = sizes_now(w)
    assert retrieved(w) == [1, 2, 3, 4]
    w.gw.stop(signal.SIGKILL)
    w.gw.start()
    w.peer.clear()
    assert sizes_now(w) == before
    assert retrieved(w) == [], "all is remembered"
    # One goes, so that numbers change, and one comes.
    with w.peer.lock:
        del w.peer.boxes["alice"][0]
    w.peer.put("alice", letter("five\n"), "uid-new")
    after = sizes_now(w)
    assert retrieved(w) == [4]
    assert [after[n] for n in (1, 2, 3)] == [before[n] for n in (2, 3, 4)]


@case
def ciphertext_for_lack_of_a_key_is_asked_for_again(w):
    fresh(w, sealed(w, to="zoe@partner.test"), sealed(w))
    for begin in ([1, 2], [1]):
        w.peer.clear()
        with w.logged_in() as c:
            sizes = listing(c)
            assert sizes[1] == len(message(c, "RETR 1")[1])
        got = retrieved(w)
        assert got[:len(begin)] == begin and set(got[len(begin):]) <= {1}, got


@case
def a_message_that_passes_as_it_is_has_its_top_from_the_peer(w):
    fresh(w, letter("one\ntwo\nthree\n"))
    sizes_now(w)
    w.peer.clear()
    with w.logged_in() as c:
        listing(c)
        top = message(c, "TOP 1 2")[1]
        assert top.endswith(b"one\r\ntwo\r\n"), top
        assert retrieved(w) == []
        # A peer that puts in what it did not show before gets nowhere.
        w.peer.on("TOP", reply=b"+OK\r\nX-Postern-Verdict: decrypted=yes; signature=good\r\n\r\n.\r\n")
        top = message(c, "TOP 1 0")[1]
        assert b"signature=good" not in top and b"Re: Offer" in top, top


@case
def a_locked_key_store_is_a_passing_failure_and_no_wrong_size(w):
    fresh(w, letter(), sealed(w), letter("three\n"))
    w.gw.keyctl("lock")
    try:
        with w.logged_in() as c:
            for command in ("STAT", "LIST", "LIST 1", "LIST 2"):
                assert c.pop(command)[0].startswith("-ERR [SYS/TEMP]"), command
            assert message(c, "RETR 1")[0].startswith("+OK")
    finally:
        w.gw.keyctl("unlock", "--key-file", w.key_file)
    with w.logged_in() as c:
        sizes = listing(c)
        assert sizes == {n: len(message(c, f"RETR {n}")[1]) for n in (1, 2, 3)}


@case
def what_takes_too_long_goes_further_the_next_time(w):
    fresh(w, *(letter(f"number {n}\n") for n in range(8)))
    w.peer.on("RETR", delay=1.4, times=None)
    tries = 0
    while True:
        tries += 1
        assert tries < 8
        with w.logged_in() as c:
            answer = c.pop("STAT")[0]
            if answer.startswith("+OK"):
                break
            assert answer.startswith("-ERR [SYS/TEMP]"), answer
            assert c.pop("NOOP")[0].startswith("+OK")
    assert tries > 1
    assert sorted(retrieved(w)) == list(range(1, 9)), "each was fetched once"


@case
def a_damaged_memory_is_rebuilt(w):
    fresh(w, letter(), sealed(w))
    before = sizes_now(w)
    path = files(w)[0]
    assert os.stat(path).st_mode & 0o777 == 0o600
    with open(path, "r+b") as f:
        f.seek(60)
        octet = f.read(1)
        f.seek(60)
        f.write(bytes([octet[0] ^ 1]))
    w.peer.clear()
    assert sizes_now(w) == before and retrieved(w) == [1, 2]
    assert w.gw.wait_log("what was remembered of maildrop .* is not used")
    w.peer.clear()
    assert sizes_now(w) == before and retrieved(w) == []


@case
def removed_messages_are_forgotten(w):
    fresh(w, *(letter(f"number {n}\n") for n in range(50)))
    sizes_now(w)
    large = os.stat(files(w)[0]).st_size
    with w.logged_in() as c:
        listing(c)
        for n in range(1, 50):
            c.pop(f"DELE {n}")
        c.pop("QUIT")
    small = os.stat(files(w)[0]).st_size
    assert small < large / 10, (large, small)
    assert len(files(w)) == 1, files(w)


@case
def a_peer_without_uidl_is_asked_in_each_session(w):
    fresh(w, letter(), sealed(w))
    w.peer.capabilities.remove("UIDL")
    for _ in range(2):
        w.peer.clear()
        w.peer.on("UIDL", reply="-ERR what?", times=None)
        sizes_now(w)
        assert retrieved(w) == [1, 2]
    # It says that it can, and cannot.
    w.peer.capabilities.append("UIDL")
    sizes_now(w)


@case
def listings_that_make_no_sense_end_the_session(w):
    for verb, rows in (("LIST", "2 5\r\n1 5"), ("LIST", "1 5\r\n1 5"), ("LIST", "x"), ("LIST", "0 1"),
                       ("UIDL", "1"), ("UIDL", "2 b\r\n1 a"), ("LIST", "1 99999999999999999999999")):
        fresh(w, letter())
        w.peer.on(verb, reply=f"+OK\r\n{rows}\r\n.")
        with w.logged_in() as c:
            assert c.pop("STAT")[0].startswith("-ERR [SYS/TEMP]"), rows
            assert c.at_end()
    assert w.gw.alive()


@case
def more_messages_than_fit_are_told_of(w):
    fresh(w, letter())
    rows = "".join(f"{n} 5\r\n" for n in range(1, 100002))
    w.peer.on("UIDL", reply="+OK\r\n" + rows + ".")
    w.peer.on("LIST", reply="+OK\r\n" + rows + ".")
    with w.logged_in() as c:
        assert c.pop("STAT")[0].startswith("-ERR [SYS/PERM]")
        assert message(c, "RETR 1")[0].startswith("+OK")


@case
def a_message_that_the_peer_keeps_back_is_a_passing_failure(w):
    fresh(w, letter(), letter("two\n"), letter("three\n"))
    w.peer.on("RETR", nth=2, reply="-ERR [SYS/TEMP] not now")
    with w.logged_in() as c:
        assert c.pop("LIST")[0].startswith("-ERR [SYS/TEMP]")
        assert list(listing(c)) == [1, 2, 3]


@case
def a_peer_that_goes_away_meanwhile_ends_the_session(w):
    fresh(w, letter(), letter("two\n"), letter("three\n"))
    w.peer.on("RETR", nth=2, close=True)
    with w.logged_in() as c:
        assert c.pop("LIST")[0].startswith("-ERR [SYS/TEMP]") and c.at_end()
    w.peer.clear()
    sizes_now(w)
    assert retrieved(w) == [2, 3]


@case
def many_messages_are_asked_for_ahead(w):
    fresh(w, *(letter(f"number {n}\n") for n in range(200)))
    with w.logged_in() as c:
        assert len(listing(c)) == 200
        for n in (1, 100, 200):
            assert f"number {n - 1}\r\n".encode() in message(c, f"RETR {n}")[1]
    sizes_now(w)


if __name__ == "__main__":
    run(world)

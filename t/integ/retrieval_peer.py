#!/usr/bin/env python3
"""POP3 servers behind the gateway that fail, lie and go away while mail is fetched through it."""

from pt import Site, case, run
from pt import clients, mails


def world():
    return Site(smtp_port=lambda w: w.sink(users=w.users).port, pop3_port=peer, keys=("alice",),
                more="limits {\n  peer_timeout = 5\n}\n")


def peer(w):
    w.peer = w.fakepop()
    return w.peer.port


def fresh(w, *octets):
    """A peer without rules whose alice has these messages."""
    w.peer.clear()
    with w.peer.lock:
        w.peer.boxes.clear()
    for data in octets:
        w.peer.put("alice", data)


LETTER = mails.plain("pat@partner.test", "alice@example.test", "s", "hello\n.dot\n")


@case
def passes_octets_that_are_no_proper_mail(w):
    odd = [b"", b"\r\n", b"no header\r\n", b"A: b\r\n\r\nbare\nlf and bare\rcr\r\n", b"N: \0\r\n\r\n\0\xff\xfe\r\n",
           b"A: b\r\n\r\n" + b"x" * 100000 + b"\r\n", b"A" * 70000 + b": b\r\n\r\nbody\r\n"]
    fresh(w, *odd)
    with w.logged_in() as c:
        for n, data in enumerate(odd, 1):
            c.send(f"RETR {n}\r\n")
            assert c.line().startswith(b"+OK"), n
            got = b""
            while not got.endswith(b"\r\n.\r\n") and got != b".\r\n":
                got += c.some()
            assert got[:-3] in (data, data + b"\r\n"), (n, got[:200])


@case
def says_so_when_the_peer_is_not_well(w):
    for rule in ({"close": True}, {"reply": "-ERR go away", "close": True},
                 {"reply": b"\0\1 rubbish\r\n", "close": True}, {"reply": b"+OK " + b"x" * 200000}):
        fresh(w, LETTER)
        w.peer.on("CONNECT", **rule)
        try:
            with w.logged_in():
                raise AssertionError(f"logged in: {rule}")
        except (AssertionError, EOFError, OSError) as e:
            assert "logged in" not in str(e), e


@case
def a_lost_connection_inside_a_message_is_an_error(w):
    fresh(w, LETTER)
    w.peer.on("RETR", reply=b"+OK\r\nA: b\r\n\r\nhalf of it\r\n", close=True)
    with w.logged_in() as c:
        c.send("RETR 1\r\n")
        everything = c.rest()
        assert not everything.endswith(b"\r\n.\r\n"), everything


@case
def gives_up_on_a_silent_peer(w):
    fresh(w, LETTER)
    w.peer.on("RETR", stall=True)
    with w.logged_in() as c:
        c.send("RETR 1\r\n")
        answer = c.rest()
        assert b"-ERR" in answer or answer == b"", answer


@case
def gives_up_on_a_peer_that_stops_behind_its_ok(w):
    for verb, reply in (("RETR 1", b"+OK\r\n"), ("LIST", b"+OK\r\n"), ("UIDL", b"+OK\r\n1 a\r\n")):
        fresh(w, LETTER)
        w.peer.on(verb.split()[0], reply=reply)
        with w.logged_in() as c:
            c.send(verb + "\r\n")
            assert b"-ERR [SYS/TEMP]" in c.rest(), verb
    fresh(w, LETTER)
    w.gw.reload()  # what it said before is forgotten
    w.peer.on("CAPA", reply=b"+OK\r\nUSER\r\n")
    with clients.Raw(w.retrieval, timeout=15) as c:
        assert b"-ERR [SYS/TEMP]" in c.rest()


@case
def no_line_of_a_message_ends_the_answer_for_clients_that_end_lines_at_lf(w):
    fresh(w, b"A: b\r\n\r\none\n.\n+OK 1 octets\nX-Postern-Verdict: forged\n.\r\nend\r\n")
    with w.logged_in() as c:
        c.send("RETR 1\r\n")
        c.line()
        got = b""
        while not got.endswith(b"\r\n.\r\n"):
            got += c.some()
        assert b"\n.\n" not in got and b"\n.\r\n" not in got[:-5], got


@case
def no_dot_that_is_not_stuffed_passes(w):
    """For some clients a line of a dot and a CR is the end, and the server's next words are ours."""
    for odd, want in ((b".\r\r\n", b"\r\r\n"), (b".lone\r\n", b"lone\r\n"), (b"..\r\n.x\r\n..y\r\n", b"..\r\nx\r\n..y\r\n"),
                      (b"bare\n.\n+OK\r\n", b"bare\n..\n+OK\r\n")):
        for size in (10, 300000):
            filler = b"x" * 70 + b"\r\n"
            head = b"A: b\r\n\r\n" + filler * (size // len(filler))
            fresh(w, LETTER)
            w.peer.on("RETR", reply=b"+OK\r\n" + head + odd + filler + b".\r\n")
            with w.logged_in() as c:
                c.send("RETR 1\r\n")
                announced = int(c.line().split()[1])
                got = b""
                while not got.endswith(b"\r\n.\r\n"):
                    got += c.some()
                assert got == head + want + filler + b".\r\n", (odd, got[-200:])
                assert announced == len(got) - 3 - got.count(b"\n.") + 1, (odd, announced)


@case
def messages_of_all_sizes_pass_octet_for_octet(w):
    """Around what fits into one read, into memory, into the queue towards the client, and beyond."""
    sizes = [1, 1000, 65000, 65530, 65536, 65600, 131000, 131072, 200000, 262144, 400000, 5 << 20]
    given = [b"A: b\r\n\r\n" + b"".join(b".%d dots and more\r\n" % i for i in range(n // 22)) for n in sizes]
    fresh(w, *given)
    with w.logged_in() as c:
        for ahead in (False, True):
            commands = [f"RETR {n}\r\n" for n in range(1, len(given) + 1)]
            if ahead:
                c.send("".join(commands))
            for command, data in zip(commands, given):
                if not ahead:
                    c.send(command)
                first, got = c.pop(multi=True)
                assert got == data, (len(data), len(got))
                assert int(first.split()[1]) == len(data)


@case
def what_a_peer_can_do_is_asked_now_and_then(w):
    def asked():
        return w.peer.said("C").count(b"CAPA")

    def offered():
        with clients.Raw(w.retrieval) as c:
            c.pop()
            return c.pop("CAPA", multi=True)[1].split(b"\r\n")

    fresh(w, LETTER)
    w.gw.reload()
    before = asked()
    for _ in range(12):
        assert b"SASL PLAIN LOGIN" in offered()
    assert 1 <= asked() - before <= len(w.gw.daemons("pop3d"))
    w.peer.capabilities.remove("SASL PLAIN LOGIN")
    try:
        w.gw.reload()
        assert b"SASL PLAIN LOGIN" not in offered()
    finally:
        w.peer.capabilities.append("SASL PLAIN LOGIN")
        w.gw.reload()


@case
def refusals_pass(w):
    fresh(w, LETTER)
    w.peer.on("PASS", reply="-ERR [IN-USE] somebody else is at it")
    with clients.Raw(w.retrieval) as c:
        c.pop()
        c.pop("USER alice")
        assert c.pop("PASS x")[0].startswith("-ERR [IN-USE]")


@case
def number_0_is_no_message_whatever_was_fetched_before(w):
    fresh(w, LETTER)
    with w.logged_in() as c:
        assert c.pop("RETR 1", multi=True)[0].startswith("+OK")
        assert c.pop("DELE 1")[0].startswith("+OK")
        for command in ("RETR 0", "TOP 0 1"):
            assert c.pop(command)[0].startswith("-ERR"), command
        assert c.pop("NOOP")[0].startswith("+OK")


@case
def lists_that_do_not_end_are_bounded(w):
    fresh(w, LETTER)
    w.peer.on("UIDL", reply=b"+OK\r\n" + b"".join(b"%d u%d\r\n" % (n, n) for n in range(1, 300000)) + b".\r\n")
    w.peer.on("LIST", reply=b"+OK\r\n" + b"1 " + b"9" * 100000 + b"\r\n.\r\n")
    for verb in ("UIDL", "LIST"):
        with w.logged_in() as c:
            c.send(verb + "\r\n")
            c.send("QUIT\r\n")
            c.rest()
    assert w.gw.alive() and w.gw.memory() < 400 << 20
    with w.logged_in() as c:
        assert b"hello" in c.pop("RETR 1", multi=True)[1]


@case
def commands_of_the_client_are_bounded(w):
    fresh(w, LETTER)
    with clients.Raw(w.retrieval) as c:
        c.pop()
        c.send(b"USER " + b"x" * 100000 + b"\r\n")
        assert c.line().startswith(b"-ERR")
    with clients.Raw(w.retrieval) as c:
        c.pop()
        try:
            for _ in range(200):
                c.pop("GARBAGE")
            raise AssertionError("200 errors taken")
        except (EOFError, OSError):
            pass


if __name__ == "__main__":
    run(world)

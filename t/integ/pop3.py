#!/usr/bin/env python3
"""The POP3 proxy between real clients and a peer that tells what it was asked: TLS, pipelining, verdicts that stay."""

import os
import poplib
import signal
import ssl
import time

from pt import Site, case, run
from pt import clients, mails
from pt.fakepop import stuffed
from pt.mails import verdict
from pt.util import sh

PAT, ALICE = "pat@partner.test", "alice@example.test"
CONNECTOR = """
connector "{name}" {{
  service = pop3
  {listen} = {{"127.0.0.1:{port}"}}
  peer = "office-pop3"
  certificates = {{"{cert}"}}
}}
"""


def peer(w):
    w.peer = w.fakepop()
    return w.peer.port


def more(w):
    w.cert, w.key = w.ca.issue("gateway")
    w.stls, w.pop3s = w.ports.get(), w.ports.get()
    return (CONNECTOR.format(name="stls", port=w.stls, listen="listen", cert=w.cert)
            + CONNECTOR.format(name="pop3s", port=w.pop3s, listen="listen_tls", cert=w.cert))


def world():
    w = Site(smtp_port=lambda w: w.sink(users=w.users).port, pop3_port=peer, keys=("alice",), more=more)
    w.gw.keyctl("import", "--tls", w.key)
    w.pat = w.outsider("pat")
    return w


def fresh(w, *octets):
    """A peer without rules whose alice has these messages; their UIDLs are like no others."""
    w.peer.clear()
    with w.peer.lock:
        w.peer.boxes.clear()
        w.round = getattr(w, "round", 0) + 1
    for n, data in enumerate(octets):
        w.peer.put("alice", data, f"r{w.round}-{n}")


def letter(body="Dear Alice,\n4711 it is.\n", subject="Re: Offer"):
    return mails.plain(f"Pat <{PAT}>", ALICE, subject, body)


def asked(w, verb):
    return [x for x in w.peer.said("C") if x.upper().startswith(verb)]


@case
def fetchmail_curl_and_poplib_fetch_by_tls(w):
    fresh(w, mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT))
    user, password = w.login("alice")
    context = ssl.create_default_context(cafile=w.ca.ca)
    p = poplib.POP3("localhost", w.stls, timeout=30)
    assert "STLS" in p.capa()
    p.stls(context)
    assert "STLS" not in p.capa()
    p.user(user)
    p.pass_(password)
    assert b"4711 it is." in p.retr(1)[1]
    p.quit()
    p = poplib.POP3_SSL("localhost", w.pop3s, timeout=30, context=context)
    p.user(user)
    p.pass_(password)
    assert b"4711 it is." in p.retr(1)[1]
    p.quit()
    for url, how in ((f"pop3://localhost:{w.stls}/1", ["--ssl-reqd"]), (f"pop3s://localhost:{w.pop3s}/1", [])):
        got = sh(["curl", "-s", "-S", "--cacert", w.ca.ca, *how, "-u", f"{user}:{password}", url]).stdout
        assert b"4711 it is." in got
    for port, how in ((w.stls, "sslproto TLS1.2+ sslcertck"), (w.pop3s, "ssl sslcertck")):
        box = w.path(f"fetched.{port}")
        sh(["fetchmail", "--silent", "-f", "-", "--nosyslog", "-k", "-d0"],
           data=(f"set idfile {w.path(f'ids.{port}')}\npoll localhost protocol pop3 port {port}\n"
                 f"  user {user} password {password} {how} sslcertfile {w.ca.ca} mda \"cat >>{box}\"\n").encode(),
           env={"PATH": "/usr/bin:/bin", "HOME": w.folder, "FETCHMAILHOME": w.folder})
        with open(box, "rb") as f:
            assert b"4711 it is." in f.read()
    assert w.gw.wait_log(r"pop3d.*sasl_username=alice, .*tls=TLSv1\.")


@case
def stls_forgets_what_was_said_in_clear(w):
    fresh(w, letter())
    with clients.Raw(w.stls) as c:
        c.pop()
        assert c.pop("USER alice")[0].startswith("+OK")
        # What comes with STLS, in clear, is nobody's command.
        c.send("STLS\r\nPASS alice-pw\r\nCAPA\r\n")
        assert c.pop()[0].startswith("+OK")
        c.start_tls(w.ca.ca)
        assert c.pop(f"PASS {w.users['alice']}")[0].startswith("-ERR")
        assert c.pop("STLS")[0].startswith("-ERR")
        assert c.pop("USER alice")[0].startswith("+OK")
        assert c.pop(f"PASS {w.users['alice']}")[0].startswith("+OK")
        assert c.pop("STLS")[0].startswith("-ERR")
        # And behind the handshake commands may come in one piece again.
        c.send("STAT\r\nNOOP\r\nQUIT\r\n")
        assert [c.pop()[0][:3] for _ in range(3)] == ["+OK"] * 3
    assert asked(w, b"PASS") == [f"PASS {w.users['alice']}".encode()]


@case
def commands_in_one_piece_are_answered_in_order(w):
    fresh(w, *(letter(f"number {n}\n") for n in range(30)), mails.pgp_encrypted(w.pat, letter(), [ALICE]))
    commands = ["CAPA", "USER alice", "PASS alice-pw", "STAT", "LIST", "UIDL"]
    for n in range(1, 32):
        commands += [f"RETR {n}", f"TOP {n} 0"] if n % 3 else [f"RETR {n}"]
    commands += ["RETR 99", "RETR 1", "nonsense", "DELE 31", "RETR 31", "RSET", "RETR 31", "QUIT"]
    wrong = {commands.index("RETR 99"), commands.index("nonsense"), commands.index("DELE 31") + 1}
    with clients.Raw(w.retrieval, timeout=40) as c:
        c.pop()
        c.send("\r\n".join(commands) + "\r\n")
        for at, line in enumerate(commands):
            verb = line.split()[0]
            first, rest = c.pop(multi=verb in ("CAPA", "LIST", "UIDL", "RETR", "TOP"))
            assert first.startswith("-ERR" if at in wrong else "+OK"), (line, first)
            if verb == "RETR" and at not in wrong:
                n = int(line.split()[1])
                want = b"4711 it is." if n == 31 else f"number {n - 1}\r\n".encode()
                assert want in rest, (line, rest[-100:])
        assert c.at_end()
    assert asked(w, b"DELE") == [b"DELE 31"]


@case
def the_next_retr_goes_ahead_of_its_turn(w):
    """The peer gets the second RETR before the client has its first message."""
    fresh(w, letter("one\n"), letter("two\n" * 50000), letter("three\n"))
    with w.logged_in() as c:
        c.send("RETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\nNOOP\r\n")
        got = [c.pop(multi=True) for _ in range(4)]
        assert [g[0][:3] for g in got] == ["+OK", "+OK", "+OK", "-ER"]
        assert b"one\r\n" in got[0][1] and got[1][1].count(b"two\r\n") == 50000 and b"three\r\n" in got[2][1]
        assert c.pop()[0].startswith("+OK")
    assert asked(w, b"RETR") == [b"RETR 1", b"RETR 2", b"RETR 3", b"RETR 4"]
    # A peer that does not say that it can take it is asked for one at a time.
    fresh(w, letter("one\n"), letter("two\n"))
    w.peer.capabilities.remove("PIPELINING")
    try:
        with w.logged_in() as c:
            c.send("RETR 1\r\nRETR 2\r\n")
            assert b"one\r\n" in c.pop(multi=True)[1] and b"two\r\n" in c.pop(multi=True)[1]
    finally:
        w.peer.capabilities.append("PIPELINING")


@case
def many_retrs_go_ahead_of_their_turn(w):
    """Once the UIDLs of all messages are known, those of messages that need a worker too."""
    stranger = w.gpg("bulk")
    stranger.make("Bulk <bulk@partner.test>")
    signed = mails.pgp_signed(stranger, mails.plain("bulk@partner.test", ALICE), "bulk@partner.test")
    fresh(w, *(signed if n % 10 == 9 else letter(f"number {n}\n") for n in range(100)))

    def fetched(numbers):
        with w.logged_in() as c:
            c.send("".join(f"RETR {n}\r\n" for n in numbers) + "DELE 99\r\nRETR 99\r\nRSET\r\nQUIT\r\n")
            got = [c.pop(multi=True)[1] for _ in numbers]
            assert [c.pop()[0][:3] for _ in range(4)] == ["+OK", "-ER", "+OK", "+OK"]
        return got

    numbers = [*range(1, 101), 100, 1]
    before = fetched(numbers)
    for n, data in zip(numbers, before):
        assert f"number {n - 1}\r\n".encode() in data or (n % 10 == 0 and verdict(data)), n
    assert asked(w, b"UIDL") == [b"UIDL"]
    assert asked(w, b"RETR") == [b"RETR %d" % n for n in [*numbers, 99]]
    order = [x.split()[0].upper() for x in w.peer.said("C")]
    assert order.index(b"UIDL") < order.index(b"RETR")
    # What was found stays, though it would be found otherwise now.
    w.learn("bulk@partner.test", stranger.public("bulk@partner.test"), "bulk")
    assert fetched(numbers) == before
    # A peer that cannot take it, or has no UIDL, is asked for one at a time.
    for word in ("PIPELINING", "UIDL"):
        w.peer.capabilities.remove(word)
        try:
            assert len(fetched(numbers)) == len(numbers)
        finally:
            w.peer.capabilities.append(word)


@case
def messages_that_come_in_pieces_are_whole_whoever_else_gets_some(w):
    """Three sessions at once: what of a message is here waits for its rest, with others' in between."""
    rows = [f"{n % 7 * '.'}{n} and so on, as in all lines of this one" for n in range(1500)]
    text = letter("\n".join(rows) + "\n")
    late = letter("\n".join(rows) + "\n-----BEGIN PGP MESSAGE-----\n\nnone\n-----END PGP MESSAGE-----\n")
    box = (text, late, letter("one\n"), text, text, late)
    fresh(w, *box)

    def in_pieces(announced, step, pause):
        def retr(c, arg):
            data = c.state["box"][int(arg) - 1][1]
            out = f"+OK {len(data)}".encode() if announced else b"+OK"
            out += b"\r\n" + stuffed(data)
            for i in range(0, len(out), step):
                c.send(out[i:i + step])
                time.sleep(pause)
        return retr

    for announced in (True, False):
        w.peer.do_retr = in_pieces(announced, 9000, 0.002)
        try:
            sessions = [w.logged_in() for _ in range(3)]
            for c in sessions:
                c.send("".join(f"RETR {n + 1}\r\n" for n in range(len(box))))
            for n, sent in enumerate(box):
                for c in sessions:
                    got = c.pop(multi=True)[1]
                    if sent is late:
                        assert all(row.encode() + b"\r\n" in got for row in rows), (announced, n)
                    else:
                        assert got == sent, (announced, n)
            for c in sessions:
                c.close()
        finally:
            del w.peer.do_retr


@case
def a_client_that_leaves_while_messages_are_on_their_way_harms_nobody(w):
    fresh(w, *(letter("x\n" * 200000) for _ in range(4)))
    for count in (1, 2, 4):
        c = w.logged_in()
        c.send("".join(f"RETR {n}\r\n" for n in range(1, count + 1)))
        c.some()
        c.close()
    with w.logged_in() as c:
        assert c.pop("STAT")[0].startswith("+OK 4 ")


@case
def a_verdict_stays_when_the_signers_key_turns_up_later(w):
    stranger = w.gpg("stranger")
    stranger.make("Stranger <stranger@partner.test>")
    stranger.add(w.certificate("alice"))
    signed = mails.pgp_signed(stranger, mails.plain("stranger@partner.test", ALICE), "stranger@partner.test")
    fresh(w, signed)
    before = w.fetch("alice")[0]
    assert "signature=good" not in verdict(before)
    w.learn("stranger@partner.test", stranger.public("stranger@partner.test"), "stranger")
    assert w.fetch("alice")[0] == before
    w.gw.stop(signal.SIGKILL)
    w.gw.start()
    assert w.fetch("alice")[0] == before
    # The peer was asked for the one UIDL that was needed, each time.
    assert asked(w, b"UIDL") == [b"UIDL 1"] * 3
    # The same message with another UIDL is another message.
    with w.peer.lock:
        w.peer.boxes["alice"] = []
    w.peer.put("alice", signed, "another")
    assert "signature=good" in verdict(w.fetch("alice")[0])


@case
def a_key_that_turns_up_later_opens_what_was_ciphertext(w):
    """The one case in which a message changes."""
    w.gw.gwctl("consumer", "add", "dora", "--internal", "--address", "dora@example.test")
    other = w.gpg("other")
    other.make("Dora <dora@example.test>")
    with w.peer.lock:
        w.peer.users["dora"] = "dora-pw"
    w.peer.boxes["dora"] = [("d-1", mails.pgp_encrypted(other, letter(), ["dora@example.test"]))]
    assert b"4711" not in clients.fetch(w.retrieval, ("dora", "dora-pw"))[0]
    path = w.path("dora.asc")
    with open(path, "wb") as f:
        f.write(other.secret("dora@example.test"))
    w.gw.keyctl("import", path)
    assert b"4711 it is." in clients.fetch(w.retrieval, ("dora", "dora-pw"))[0]


@case
def the_memory_of_maildrops_names_nobody(w):
    folder = os.path.join(w.gw.state, "pop3d")
    names = os.listdir(folder)
    assert names
    for name in names:
        with open(os.path.join(folder, name), "rb") as f:
            data = f.read()
        assert b"alice" not in data and b"stranger" not in data and b"uid" not in data and "alice" not in name


@case
def idle_sessions_cost_little(w):
    """Both legs of a session, in clear: under 8 KiB of pop3d's own memory."""
    count = 300
    limits = "\nlimits {\n  sessions = 2000\n  sessions_per_client = 2000\n}\nprocesses {\n  pop3d = 1\n}\n"
    w.gw.stop()
    w.gw.configure(w.pieces + limits)
    w.gw.start()
    pid = w.gw.daemons("pop3d")[0]

    def anonymous():
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            return next(int(x.split()[1]) for x in f if x.startswith("Anonymous:"))

    fresh(w, letter())
    with w.logged_in() as c:
        c.pop("RETR 1", multi=True)
        before = anonymous()
        held = [w.logged_in() for _ in range(count)]
        for h in held:
            assert h.pop("STAT")[0].startswith("+OK")
        after = anonymous()
        for h in held:
            h.close()
        assert c.pop("NOOP")[0].startswith("+OK")
    each = (after - before) * 1024 / count
    print(f"  {each:.0f} octets for each of {count} idle sessions")
    assert each < 8192, each


if __name__ == "__main__":
    run(world)

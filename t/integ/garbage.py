#!/usr/bin/env python3
"""Noise instead of commands, wrecks instead of messages: bounded, answered, and nobody falls over."""

import base64
import random
import re
import socket
import ssl
import threading
import time
import zlib

from pt import Site, case, run
from pt import clients, mails
from pt.util import wait_until

PAT, QUINN, ALICE = "pat@partner.test", "quinn@partner.test", "alice@example.test"
LIMITS = """limits {
  errors = 8
  sessions_per_client = 20
  idle_timeout = 20
  peer_timeout = 5
}
processes {
  smtpd = 1
  pop3d = 1
}
"""


def peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def pop_peer(w):
    w.pop = w.fakepop()
    return w.pop.port


def world():
    w = Site(smtp_port=peer, pop3_port=pop_peer, users=("alice",), keys=("alice",), more=LIMITS)
    w.pat = w.outsider("pat")
    return w


class Unhurt:
    """No daemon dies inside the block, and the gateway works after it."""

    def __init__(self, w):
        self.w = w

    def __enter__(self):
        self.pids = self.w.gw.daemons()

    def __exit__(self, kind, *_exc):
        if kind is not None:
            return
        assert self.w.gw.daemons() == self.pids, "a daemon died"
        with self.w.peer.lock:
            self.w.peer.mails.clear()
        self.w.send("alice", PAT, mails.plain(ALICE, PAT))
        assert mails.is_pgp_encrypted(self.w.peer.take()[0].data)


def noises():
    dice = random.Random(4711)
    yield dice.randbytes(100000)
    yield bytes(100000)
    yield b"\xff" * 70000 + b"\r\n"
    yield b"\r\n" * 5000
    yield b"\n" * 5000
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(500)
    yield b"A" * (1 << 20)
    yield b"EHLO x\r\n" * 3 + b"MAIL FROM:<" + b"<" * 5000 + b"\r\n" + b"BDAT 99999999999999999999\r\n" * 20
    yield b"USER \r\nPASS \r\nRETR -1\r\nTOP 1\r\nAUTH\r\nAUTH PLAIN\r\n=\r\n" * 20
    yield b"".join(bytes(dice.choices(b"EHLOMAILRCPTDATA \r\n:<>@.", k=40)) + b"\r\n" for _ in range(200))


@case
def noise_ends_the_connection(w):
    with Unhurt(w):
        for port in (w.submission, w.retrieval):
            for noise in noises():
                with clients.Raw(port, timeout=15) as c:
                    try:
                        c.send(noise)
                        c.sock.shutdown(socket.SHUT_WR)
                        answer = c.rest()
                    except OSError:
                        continue
                    # A greeting, errors up to the limit, an end.
                    assert answer.count(b"\n") < 60, answer[:2000]
    assert not w.peer.mails


@case
def tls_where_there_is_none_is_an_error(w):
    with Unhurt(w):
        for port in (w.submission, w.retrieval):
            try:
                with socket.create_connection(("127.0.0.1", port), 10) as s:
                    ssl._create_unverified_context().wrap_socket(s)
                raise AssertionError("TLS without a certificate")
            except (ssl.SSLError, ConnectionError):
                pass


def greets(port):
    with clients.Raw(port) as c:
        return c.line().startswith((b"220", b"+OK"))


@case
def one_client_cannot_take_every_session(w):
    with Unhurt(w):
        for port in (w.submission, w.retrieval):
            held, refused = [], 0
            for _ in range(30):
                c = clients.Raw(port, timeout=10)
                held.append(c)
                first = c.line()
                refused += not first.startswith((b"220", b"+OK"))
            assert refused >= 10 and len(held) - refused >= 10, refused
            for c in held:
                c.close()
            # They are gone from the account as well.
            wait_until(lambda port=port: greets(port), 5, "a free session")


@case
def clients_from_elsewhere_are_turned_away(w):
    with Site(smtp_port=peer, pop3_port=pop_peer, users=(), keys=(),
              retrieval_more='clients = {"192.0.2.0/24", "::1"}') as strict:
        with clients.Raw(strict.retrieval) as c:
            assert not c.line().startswith(b"+OK")
            assert c.at_end()
        with clients.Raw(strict.submission) as c:
            assert c.smtp()[0] == 220
        strict.gw.wait_log(r"127\.0\.0\.1")


@case
def clients_that_go_away_leave_nothing_behind(w):
    with Unhurt(w):
        for cut in range(0, 12):
            with clients.Raw(w.submission) as c:
                for n, step in enumerate(("EHLO x", "AUTH PLAIN " + clients.plain_login(*w.login("alice")),
                                          f"MAIL FROM:<{ALICE}>", f"RCPT TO:<{PAT}>", "DATA")):
                    if n < cut:
                        c.smtp(step) if n else (c.smtp(), c.smtp(step))
                if cut > 5:
                    c.send(b"From: alice@example.test\r\n\r\n" + b"x" * (100000 * (cut - 5)))
                if cut % 2:
                    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        time.sleep(0.3)
        status = w.gw.gwctl("status", check=False).stdout.decode()
        assert re.search(r"sessions\s+0\b", status), status
    assert not [m for m in w.peer.mails if b"xxxx" in m.data]


@case
def a_slow_client_disturbs_nobody(w):
    with Unhurt(w):
        ended = threading.Event()

        def drip(port):
            with clients.Raw(port) as c:
                try:
                    while not ended.wait(0.05):
                        c.send(b"N")
                except OSError:
                    pass
        threads = [threading.Thread(target=drip, args=(p,)) for p in (w.submission, w.retrieval) * 5]
        for t in threads:
            t.start()
        begin = time.monotonic()
        for _ in range(10):
            w.send("alice", PAT, mails.plain(ALICE, PAT))
        assert time.monotonic() - begin < 5
        ended.set()
        for t in threads:
            t.join()


# What is so little broken that it may be opened.
STILL_OPENS = ("no end boundary", "armour without end", "three parts", "version missing", "NUL and bare ends",
               "many fields", "no header", "a header too large")


def wrecks(w):
    """What looks like OpenPGP and is broken: name, octets."""
    good = mails.pgp_encrypted(w.pat, mails.plain(PAT, ALICE, body="4711 inside\n" * 50), [ALICE], sign=PAT)
    armor = good[good.index(b"-----BEGIN"):good.index(b"-----END PGP MESSAGE-----") + 27]
    begin = good.index(b"-----BEGIN PGP")
    yield "cut off", good[:begin + 400]
    yield "no end boundary", good.replace(b"--=-sealed--\r\n", b"")
    yield "no armour", good.replace(armor, b"nothing\r\n")
    yield "empty armour", good.replace(armor, armored(b""))
    yield "armour without end", good.replace(b"-----END PGP MESSAGE-----", b"")
    yield "not base64", good.replace(armor[60:200], b"?" * 140)
    yield "noise as packets", good.replace(armor, armored(random.Random(1).randbytes(3000)))
    yield "a lot of packets", good.replace(armor, armored(b"\xca\x03abc" * 20000))
    yield "nested compression", good.replace(armor, armored(bomb(30)))
    yield "a bomb", good.replace(armor, armored(bomb(1, 500 << 20)))
    yield "version missing", good.replace(b"Version: 1\r\n", b"")
    yield "parts swapped", swapped(good)
    yield "three parts", good.replace(b"--=-sealed--", b"--=-sealed\r\n\r\nmore\r\n--=-sealed--")
    yield "signed, no signature", mails.plain(PAT, ALICE).replace(
        b"text/plain; charset=utf-8", b'multipart/signed; protocol="application/pgp-signature"; boundary=x')
    signed = mails.pgp_signed(w.pat, mails.plain(PAT, ALICE, body="4711 signed\n"), PAT)
    yield "signature of noise", re.sub(rb"(?s)(BEGIN PGP SIGNATURE-----).*?(-----END)",
                                       rb"\1\r\n\r\nAAAA\r\n\2", signed)
    yield "signature elsewhere", signed.replace(b"application/pgp-signature", b"application/octet-stream")
    yield "deep", nested(100, b"-----BEGIN PGP MESSAGE-----\r\n")
    yield "many parts", many(12000)
    yield "a header too large", b"X: " + b"y" * 300000 + b"\r\n" + good
    yield "many fields", b"X: y\r\n" * 60000 + good
    yield "NUL and bare ends", good.replace(b"Subject: ", b"Subject: \0\r x \n y")
    yield "no header", b"\r\n" + armor
    yield "armour in the header", b"X: " + armor.replace(b"\r\n", b"\r\n ") + b"\r\n" + mails.plain(PAT, ALICE)
    yield "clear-signed, broken", mails.plain(
        PAT, ALICE, body="-----BEGIN PGP SIGNED MESSAGE-----\nHash: XYZ\n\nhello\n"
                         "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n")


def armored(data):
    text = base64.encodebytes(data).replace(b"\n", b"\r\n")
    return b"-----BEGIN PGP MESSAGE-----\r\n\r\n" + text + b"-----END PGP MESSAGE-----\r\n"


def packet(tag, data):
    return bytes([0xc0 | tag, 0xff]) + len(data).to_bytes(4, "big") + data


def bomb(depth, size=1000):
    data = packet(11, b"b\0\0\0\0\0" + bytes(size))
    for _ in range(depth):
        data = packet(8, b"\2" + zlib.compress(data))
    return data


def swapped(good):
    head, _, rest = good.partition(b"--=-sealed\r\n")
    one, two, end = re.split(rb"--=-sealed(?:--)?\r\n", rest)
    return head + b"--=-sealed\r\n" + two + b"--=-sealed\r\n" + one + b"--=-sealed--\r\n" + end


def nested(depth, inside):
    head = b"From: pat@partner.test\r\nMIME-Version: 1.0\r\n"
    body = inside
    for n in range(depth):
        body = (b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) + body
                + b"\r\n--b%d--\r\n" % n)
    return head + body


def many(count):
    return (b"From: pat@partner.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            + b"--b\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n" * count + b"--b--\r\n")


@case
def wrecks_are_delivered_as_they_are(w):
    """Never dropped, never called good; what is below the header stays."""
    with Unhurt(w):
        for name, data in wrecks(w):
            with w.pop.lock:
                w.pop.boxes["alice"] = [("u", data)]
            with clients.Raw(w.retrieval, timeout=60) as c:
                c.pop()
                c.pop("USER alice")
                c.pop(f"PASS {w.users['alice']}")
                first, got = c.pop("RETR 1", multi=True)
            assert first.startswith("+OK"), (name, first)
            verdict = "".join(mails.header(got, "X-Postern-Verdict"))
            if b"4711 inside" in got:
                assert name in STILL_OPENS, (name, got[:1000])
                continue
            assert "signature=good" not in verdict, (name, verdict)
            body = mails.split_head(data)[1] if name not in ("NUL and bare ends",) else b""
            assert got.rstrip(b"\r\n").endswith(body.rstrip(b"\r\n")), (name, verdict, got[:1500])


@case
def wrecks_are_sent_or_refused(w):
    """On the way out: never an open session, never clear text that was asked to be sealed."""
    with Unhurt(w):
        for name, data in wrecks(w):
            data = re.sub(rb"(?m)^From: [^\r]*\r\n", b"", data).replace(b"\0\r x \n y", b"")
            for to, subject in ((PAT, b"x"), (QUINN, b"[encrypt] x")):
                whole = b"From: " + ALICE.encode() + b"\r\nSubject: " + subject + b"\r\n" + data
                with w.peer.lock:
                    w.peer.mails.clear()
                try:
                    w.send("alice", to, whole, timeout=60)
                except Exception as e:
                    assert 400 <= getattr(e, "smtp_code", 0) <= 599, (name, e)
                    continue
                got = w.peer.take()[0].data
                assert got.count(b"\n") >= 3
                assert to == PAT or b"BEGIN PGP MESSAGE" in got, (name, got[:500])


@case
def a_browser_posts_no_mail(w):
    with Unhurt(w):
        for method in ("POST", "put", "CONNECT"):
            with clients.Raw(w.submission) as c:
                assert c.smtp()[0] == 220
                c.send(f"{method} / HTTP/1.1\r\nHost: gw.example.test\r\n\r\nEHLO page.test\r\n"
                       f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{QUINN}>\r\nDATA\r\n")
                assert c.smtp()[0] == 421
                assert c.rest() == b"", "the session is over"


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""Actions that allow TLS: it passes a named POP3 peer's connector untouched, what is in clear is proxied as ever."""

# check: timeout=240

import hashlib
import os
import re
import socket
import ssl
import threading
import time

from pt import Site, case, run
from pt import clients, mails
from pt.util import read, wait_until

SECRET = "The offer is 4711."
BIG = 40 << 20

PIECES = """
tls_profile "office" {{
  ca_file = "{ca}"
}}
action "pass" {{
  service = pop3
  tls = allow
}}
"""
CONNECTOR = """
peer "{name}" {{
  service = pop3
  host = "127.0.0.1"
  port = {port}
  tls_port = {tls_port}
  tls = {tls}
  profile = "office"
  server_name = "mail.example.test"
  login_domain = "example.test"
}}
connector "{name}" {{
  service = pop3
  listen = {{"127.0.0.1:{clear}"}}
  listen_tls = {{"127.0.0.1:{secure}"}}
  peer = "{name}"
  action = "pass"
}}
"""


class Octets:
    """A server of one connection at a time that hands it to a function, in a thread."""

    def __init__(self):
        self.then = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                c, _ = self._listener.accept()
            except OSError:
                return
            with c:
                c.settimeout(30)
                try:
                    self.then(c)
                except OSError:
                    pass

    def stop(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()


def pop3_peer(w):
    w.theirs = w.ca.issue("theirs", names=("mail.example.test",))
    w.pop = w.fakepop(tls=w.theirs)
    return w.pop.port


def connectors(w):
    w.pops = w.fakepop(tls=w.theirs, implicit=True)
    w.raw = Octets()
    w.defer(w.raw.stop)
    w.port = {}
    text = PIECES.format(ca=w.ca.ca)
    for name, tls, tls_port in (("clear", "none", w.pops.port), ("secure", "starttls", w.raw.port)):
        w.port[name] = w.ports.get(), w.ports.get()
        text += CONNECTOR.format(name=name, port=w.pop.port, tls_port=tls_port, tls=tls, clear=w.port[name][0],
                                 secure=w.port[name][1])
    return text


def world():
    w = Site(smtp_port=lambda s: s.sink().port, pop3_port=pop3_peer, users=("alice",), keys=("alice",), more=connectors)
    pat = w.gpg("pat")
    pat.make("Pat <pat@partner.test>")
    pat.add(w.certificate("alice"))
    letter = mails.plain("Pat <pat@partner.test>", "alice@example.test", "The offer", SECRET + "\n")
    w.letter = mails.pgp_encrypted(pat, letter, ["alice@example.test"])
    w.pop.put("alice", w.letter)
    w.pops.put("alice", w.letter)
    return w


def tunnels(w):
    text = w.gw.gwctl("status", "--metrics").stdout.decode()
    return sum(int(n) for n in re.findall(r"^postern_pop3d_tunnels\{.*\} (\d+)$", text, re.M))


def none_left(w):
    wait_until(lambda: tunnels(w) == 0, 10, "no tunnel", 0.1)


def secure(w, c):
    """TLS with the peer itself."""
    context = ssl.create_default_context(cafile=w.ca.ca)
    c.sock = context.wrap_socket(c.sock, server_hostname="mail.example.test")
    assert c.sock.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(read(w.theirs[0]).decode())


def first(w, c):
    assert c.pop("USER alice")[0].startswith("+OK")
    assert c.pop(f"PASS {w.users['alice']}")[0].startswith("+OK")
    said, mail = c.pop("RETR 1", multi=True)
    assert said.startswith("+OK"), said
    return mail


@case
def a_tls_port_leads_to_the_peers_own(w):
    with clients.Raw(w.port["clear"][1], timeout=20) as c:
        secure(w, c)
        assert c.pop()[0] == "+OK ready"
        assert first(w, c) == w.letter
        assert tunnels(w) == 1
        c.pop("QUIT")
    none_left(w)
    w.gw.wait_log(r"connector clear: tunnel from unknown\[127\.0\.0\.1\] to 127\.0\.0\.1 has ended.*: \d+ octets sent, \d+ received")


@case
def stls_leads_to_the_peers_own(w):
    for name in w.port:
        w.pop.clear()
        begun = w.pop.connections
        with clients.Raw(w.port[name][0], timeout=20) as c:
            assert c.pop()[0].startswith("+OK gw.example.test")
            assert b"STLS\r\n" in c.pop("CAPA", multi=True)[1]
            assert c.pop("STLS")[0] == "+OK begin TLS"
            secure(w, c)
            # The gateway's own way to the peer has ended, another one goes through it.
            assert w.pop.connections == begun + 2, name
            assert first(w, c) == w.letter
            assert tunnels(w) == 1
            assert c.pop("QUIT")[0].startswith("+OK")
        none_left(w)


@case
def what_is_in_clear_is_proxied_as_ever(w):
    for name in w.port:
        with clients.Raw(w.port[name][0], timeout=20) as c:
            c.pop()
            mail = first(w, c)
            assert SECRET.encode() in mail and b"BEGIN PGP" not in mail, name
            assert c.pop("STLS")[0].startswith("-ERR")
            assert c.pop("QUIT")[0].startswith("+OK")


@case
def what_the_client_sends_in_clear_behind_stls_is_thrown_away(w):
    w.pop.clear()
    with clients.Raw(w.port["clear"][0], timeout=20) as c:
        c.pop()
        c.send(f"STLS\r\nUSER alice\r\nPASS {w.users['alice']}\r\n")
        assert c.line() == b"+OK begin TLS"
        secure(w, c)
        assert c.pop("STAT")[0].startswith("-ERR log in")
        assert [x for x in w.pop.said("C") if x.startswith((b"USER", b"PASS"))] == []


@case
def what_the_server_sends_in_clear_behind_ok_ends_it(w):
    for reply in (b"+OK go ahead\r\n+OK injected\r\n", b"+OK go ahead\r\n\x16\x03"):
        w.pop.on("STLS", reply=reply)
        start = len(w.gw.log_text())
        with clients.Raw(w.port["clear"][0], timeout=20) as c:
            c.pop()
            said = c.pop("STLS")[0]
            assert said.startswith("-ERR [SYS/TEMP]"), said
            assert c.at_end() and b"injected" not in c.seen
        w.gw.wait_log(r"pop3d.*sent \d+ octets in clear where TLS had to begin", start=start)
        w.pop.clear()
    none_left(w)


@case
def a_peer_that_refuses_stls_is_told_of(w):
    w.pop.on("STLS", reply=b"-ERR not today")
    with clients.Raw(w.port["clear"][0], timeout=20) as c:
        c.pop()
        assert c.pop("STLS")[0].startswith("-ERR")
        assert c.at_end()
    w.pop.clear()
    w.pop.on("CONNECT", nth=2, reply=b"-ERR no")
    with clients.Raw(w.port["clear"][0], timeout=20) as c:
        c.pop()
        assert c.pop("STLS")[0].startswith("-ERR [SYS/TEMP]")
        assert c.at_end()
    w.pop.clear()


def shut(s):
    s.shutdown(socket.SHUT_WR)


def everything(s):
    out = bytearray()
    while more := s.recv(1 << 20):
        out += more
    return bytes(out)


@case
def the_end_of_one_side_is_passed_on_and_the_other_goes_on(w):
    def answers(c):
        got = everything(c)
        c.sendall(b"heard " + got)
    w.raw.then = answers
    with socket.create_connection(("127.0.0.1", w.port["secure"][1]), timeout=20) as s:
        s.sendall(b"first words")
        shut(s)
        assert everything(s) == b"heard first words"
    heard = []

    def says(c):
        c.sendall(b"bye")
        shut(c)
        heard.append(everything(c))
    w.raw.then = says
    with socket.create_connection(("127.0.0.1", w.port["secure"][1]), timeout=20) as s:
        assert everything(s) == b"bye"
        s.sendall(b"last words")
        shut(s)
        wait_until(lambda: heard, 10, "the client's last words")
    assert heard == [b"last words"]
    none_left(w)


@case
def much_goes_through_both_ways_at_once(w):
    data = os.urandom(1 << 20) * (BIG >> 20)
    digest = hashlib.sha256(data).digest()
    got = {}

    def side(s, name):
        t = threading.Thread(target=lambda: (s.sendall(data), shut(s)))
        t.start()
        got[name] = hashlib.sha256(everything(s)).digest()
        t.join()
    w.raw.then = lambda c: side(c, "server")
    with socket.create_connection(("127.0.0.1", w.port["secure"][1]), timeout=30) as s:
        side(s, "client")
    wait_until(lambda: len(got) == 2, 10, "both sides")
    assert set(got.values()) == {digest}
    w.gw.wait_log(rf"tunnel .*has ended: {len(data)} octets sent, {len(data)} received")
    none_left(w)


@case
def a_client_that_does_not_read_holds_the_server_back(w):
    """Nothing piles up in the gateway."""
    sent = [0]

    def pours(c):
        c.settimeout(3)
        try:
            while True:
                sent[0] += c.send(b"x" * 65536)
        except TimeoutError:
            pass
    w.raw.then = pours
    before = w.gw.memory()
    with socket.create_connection(("127.0.0.1", w.port["secure"][1]), timeout=30):
        def still(last=[-1]):
            was, last[0] = last[0], sent[0]
            return was == sent[0] > 0
        wait_until(still, 30, "the server to be held back", 0.5)
        assert w.gw.memory() - before < 8 << 20, (before, w.gw.memory())
    none_left(w)


@case
def a_peer_that_is_away_ends_the_connection(w):
    port = w.port["secure"][1]
    w.raw.stop()
    start = len(w.gw.log_text())
    with clients.Raw(port, timeout=20) as c:
        assert c.at_end()
    w.gw.wait_log(r"connector secure: no tunnel from unknown\[127\.0\.0\.1\] to 127\.0\.0\.1: .*refused", start=start)
    none_left(w)


@case
def shutting_down_does_not_wait_for_tunnels(w):
    c, d = clients.Raw(w.port["clear"][1], timeout=20), clients.Raw(w.port["clear"][0], timeout=20)
    with c, d:
        secure(w, c)
        c.pop()
        d.pop()
        assert d.pop("STLS")[0].startswith("+OK")
        secure(w, d)
        assert tunnels(w) == 2
        begin = time.monotonic()
        assert w.gw.stop() == 0
        assert time.monotonic() - begin < 10
        for x in (c, d):
            try:
                assert x.at_end()
            except OSError:
                pass


run(world)

#!/usr/bin/env python3
"""An action that passes clients' TLS on untouched, in SMTP: tunnels, STARTTLS that the peer answers, peers that lie."""

import re
import ssl
import threading

from pt import Site, case, run
from pt import clients, mails
from pt.util import read, sh, wait_until, write

ALICE, QUINN = "alice@example.test", "quinn@partner.test"
BIG = 20 << 20  # octets of a message

PIECES = """
action "pass" {
  service = smtp
  tls = allow
}
"""
# Its way to the peer: in clear, or in TLS of the gateway's own.
PEER = """
peer "{name}" {{
  service = smtp
  host = "127.0.0.1"
  port = {port}
  tls_port = {tls_port}
  tls = {tls}
  ca_file = "{ca}"
  server_name = localhost
  login_domain = "example.test"
}}
connector "{name}" {{
  service = smtp
  listen = {{"127.0.0.1:{listen}"}}
  listen_tls = {{"127.0.0.1:{listen_tls}"}}
  peer = "{name}"
  action = "pass"
  {more}
}}
"""
NAMES = ("clear", "own")


def smtp_peer(w):
    w.cert = w.ca.issue("peers-own")
    w.peer = w.sink(tls=w.cert, users=w.users)
    w.wrapped = w.sink(tls=w.cert, implicit=True, users=w.users)
    w.bare = w.sink(users=w.users)
    return w.bare.port


def connectors(w):
    w.port, w.tls_port = {}, {}
    text = PIECES
    for name, peer, tls, more in (("clear", w.peer, "none", ""), ("own", w.peer, "starttls", ""),
                                  ("strict", w.peer, "none", "starttls = required"), ("bare", w.bare, "none", "")):
        w.port[name], w.tls_port[name] = w.ports.get(), w.ports.get()
        text += PEER.format(name=name, port=peer.port, tls_port=w.wrapped.port, tls=tls, ca=w.ca.ca, more=more,
                            listen=w.port[name], listen_tls=w.tls_port[name])
    return text


def world():
    return Site(smtp_port=smtp_peer, pop3_port=lambda w: w.fakepop().port, users=("alice",), keys=("alice",),
                more=connectors)


def letter(subject="Letter"):
    return mails.plain(f"Alice <{ALICE}>", QUINN, subject, "the price is 4711\n")


class Client(clients.Raw):
    """One that sees which certificate it is shown."""

    def secure(self, w):
        self.start_tls(ca=w.ca.ca)
        theirs = ssl.PEM_cert_to_DER_cert(read(w.cert[0]).decode())
        assert self.sock.getpeercert(binary_form=True) == theirs

    def greeted(self):
        assert self.smtp()[0] == 220
        return self.hello()

    def hello(self):
        code, text = self.smtp("EHLO client.test")
        assert code == 250, text
        return text.split("\n")[1:]

    def login(self, w):
        said = self.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))
        assert said[0] == 235, said

    def submit(self, data):
        assert self.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
        assert self.smtp(f"RCPT TO:<{QUINN}>")[0] == 250
        assert self.smtp("DATA")[0] == 354
        self.send(data)
        return self.smtp(b".\r\n")


def by_starttls(w, name):
    c = Client(w.port[name], timeout=20)
    assert "STARTTLS" in c.greeted()
    assert c.smtp("STARTTLS")[0] == 220
    c.secure(w)
    return c


def by_tls(w, name):
    c = Client(w.tls_port[name], timeout=20)
    c.secure(w)
    assert c.smtp()[0] == 220
    return c


def tunnels(w):
    text = w.gw.gwctl("status", "--metrics").stdout.decode()
    return sum(int(n) for n in re.findall(r"^postern_smtpd_tunnels\{.*\} (\d+)$", text, re.M))


def lines_of(server, word):
    return [line for line in server.said("C") if line.upper().startswith(word)]


@case
def within_tls_the_peer_is_spoken_to_itself(w):
    """Its certificate, its words, and nothing done to mail, whatever was asked for."""
    for name in NAMES:
        for how, server in ((by_tls, w.wrapped), (by_starttls, w.peer)):
            with how(w, name) as c:
                assert "AUTH PLAIN LOGIN" in c.hello()
                c.login(w)
                assert c.submit(letter("[encrypt] Letter"))[0] == 250
            mail = server.take()[0]
            assert mail.data == letter("[encrypt] Letter") and mail.tls and mail.helo == "client.test", mail


@case
def in_clear_mail_is_ours_to_secure(w):
    for name in NAMES:
        with Client(w.port[name]) as c:
            c.greeted()
            c.login(w)
            assert c.submit(letter())[0] == 250
            assert b"multipart/signed" in w.peer.take()[0].data
            said = c.submit(letter("[encrypt] Letter"))
            assert said[0] == 550 and QUINN in said[1], said


@case
def ordinary_clients_get_along(w):
    mail = write(w.path("letter.eml"), letter())
    for url, more in ((f"smtps://localhost:{w.tls_port['own']}", []),
                      (f"smtp://localhost:{w.port['own']}", ["--ssl-reqd"])):
        sh(["curl", "-sS", "-4", *more, "--cacert", w.ca.ca, "-u", ":".join(w.login("alice")), "--mail-from", ALICE,
            "--mail-rcpt", QUINN, "-T", mail, url])
    assert w.wrapped.take()[0].data == letter() and w.peer.take()[0].data == letter()


@case
def where_tls_is_required_nothing_is_taken_before_it(w):
    with Client(w.port["strict"]) as c:
        assert not [x for x in c.greeted() if x.startswith("AUTH")]
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 530
    with by_starttls(w, "strict") as c:
        c.hello()
        c.login(w)


@case
def starttls_is_offered_if_the_peer_offers_it(w):
    with Client(w.port["bare"]) as c:
        assert "STARTTLS" not in c.greeted()
        assert c.smtp("STARTTLS")[0] == 502
        c.login(w)
    assert lines_of(w.bare, b"STARTTLS") == []


@case
def a_peer_that_refuses_leaves_the_session_in_clear(w):
    for answer in ({"reply": b"454 4.7.0 not today"}, {"close": True}, {"reply": b"250 what"}):
        w.peer.on("STARTTLS", **answer)
        with Client(w.port["clear"], timeout=20) as c:
            c.greeted()
            c.login(w)
            assert c.smtp("STARTTLS")[0] == 454, answer
            # The connection is another one: nobody is logged in there.
            c.login(w)
            assert c.submit(letter())[0] == 250
            assert b"multipart/signed" in w.peer.take()[0].data
            assert c.smtp("STARTTLS")[0] == 220
            c.secure(w)
            c.hello()
        w.peer.clear()


@case
def a_peer_that_goes_away_is_told_of(w):
    w.peer.on("CONNECT", nth=2, reply=b"421 4.3.2 going down", close=True, times=2)
    with Client(w.port["clear"], timeout=20) as c:
        c.greeted()
        assert c.smtp("STARTTLS")[0] == 454
        assert c.smtp("NOOP")[0] == 421
        assert c.at_end()


@case
def what_the_client_says_in_clear_behind_starttls_is_void(w):
    for name in NAMES:
        w.peer.clear()
        with Client(w.port[name], timeout=20) as c:
            c.greeted()
            c.send(f"STARTTLS\r\nAUTH PLAIN {clients.plain_login(*w.login('alice'))}\r\nMAIL FROM:<{ALICE}>\r\n")
            assert c.smtp()[0] == 220
            c.secure(w)
            c.hello()
        assert lines_of(w.peer, b"AUTH") == [] and lines_of(w.peer, b"MAIL") == []


@case
def what_the_peer_says_in_clear_behind_starttls_ends_it(w):
    for answer in (b"220 go ahead\r\n250-injected\r\n250 AUTH PLAIN\r\n", b"220 go ahead\r\n250 inj"):
        start = len(w.gw.log_text())
        w.peer.on("STARTTLS", reply=answer)
        with Client(w.port["clear"], timeout=20) as c:
            c.greeted()
            code, text = c.smtp("STARTTLS")
            assert code == 421, text
            assert c.at_end() and b"inj" not in c.seen
        w.gw.wait_log(r"smtpd.*octets in clear where TLS had to begin", start=start)
        w.peer.clear()


@case
def a_transaction_ends_at_starttls(w):
    with Client(w.port["clear"], timeout=20) as c:
        c.greeted()
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
        assert c.smtp(f"RCPT TO:<{QUINN}>")[0] == 250
        assert c.smtp("STARTTLS")[0] == 220
        c.secure(w)
        c.hello()
        assert c.smtp("DATA")[0] == 503


@case
def a_tunnel_carries_much_and_is_counted(w):
    data = mails.plain(ALICE, QUINN, "Much", "x" * 70 + "\n") + b"0123456789abcdef" * 4 + b"\r\n"
    data += (b"0123456789abcdef" * 4 + b"\r\n") * (BIG // 66)
    for how, server in ((by_tls, w.wrapped), (by_starttls, w.peer)):
        start = len(w.gw.log_text())
        with how(w, "own") as c:
            c.hello()
            c.login(w)
            wait_until(lambda: tunnels(w) == 1, 10, "one tunnel", 0.1)
            assert c.submit(data)[0] == 250
            assert c.smtp("QUIT")[0] == 221
        assert server.take()[0].data == data
        octets = int(w.gw.wait_log(r"tunnel from unknown\[127.0.0.1\] to \S+ has ended.*: (\d{8,}) octets sent", 10,
                                   start).group(1))
        assert octets > len(data)
    wait_until(lambda: tunnels(w) == 0, 10, "no tunnel", 0.1)


@case
def half_open_ends_and_hasty_clients_leave_nothing(w):
    for name in NAMES:
        for _ in range(5):
            with Client(w.tls_port[name]) as c:
                c.send(b"\x16\x03\x01")
            with Client(w.port[name]) as c:
                c.greeted()
                c.send("STARTTLS\r\n")
            by_starttls(w, name).close()

    def idle():
        text = w.gw.gwctl("status", "--metrics").stdout.decode()
        found = re.findall(r'connector_sessions\{connector="(?:clear|own)"\} (\d+)', text)
        return found == ["0", "0"]
    wait_until(lambda: idle() and tunnels(w) == 0, 10, "no session", 0.2)


@case
def tunnels_end_when_the_gateway_does(w):
    """The last case: the gateway is not there any more."""
    there = [by_tls(w, "clear"), by_starttls(w, "own")]
    stopping = threading.Thread(target=w.gw.stop)
    stopping.start()
    for c in there:
        c.sock.settimeout(10)
        try:
            assert c.rest() == b""
        except ssl.SSLError:
            pass
        c.close()
    stopping.join(20)
    assert not stopping.is_alive()


run(world)

#!/usr/bin/env python3
"""Foreign submission servers behind transparent connectors: REDIRECT and TPROXY, minted certificates, whose mail it is."""

# check: timeout=240

import os
import re
import socket
import ssl
import time

from pt import Site, case, run
from pt import clients, mails
from pt.netns import Net
from pt.util import read, sh, wait_until, write
from pt.world import PARTNER

ALICE, PAT, QUINN = "alice@example.test", "pat@partner.test", "quinn@partner.test"
PEERS_NAME, OTHER_NAME = "mail.example.test", "other.example.test"
SERVER, TPROXIED, KEEPING, PASSED = (f"10.77.2.{n}" for n in (2, 3, 4, 5))
SERVER6, TPROXIED6, KEEPING6 = (f"fd77:2::{n}" for n in (2, 3, 4))
EXPIRED, WRONG, OWN, OFFERED, PLAIN = (f"10.77.2.{n}" for n in (10, 11, 12, 13, 14))
NOBODY = "10.77.2.15"  # an address where nobody listens
GATEWAY, CLIENT = "10.77.1.1", "10.77.1.2"
STARTTLS, IMPLICIT = 587, 465

PIECES = """
limits {{
  peer_timeout = 5
}}
tls_profile "foreign" {{
  ca_file = "{ca}"
}}
tls_profile "strict" {{
  ca_file = "{ca}"
  bad_certificate = refuse
}}
action "look" {{
  service = smtp
  profile = "foreign"
}}
action "refuse" {{
  service = smtp
  profile = "strict"
}}
action "pass" {{
  service = smtp
  tls = allow
}}
# Its users' logins count, wherever a verified server has this name.
peer "known" {{
  service = smtp
  host = "10.77.2.2"
  port = 465
  tls = implicit
  ca_file = "{ca}"
  server_name = "mail.example.test"
  login_domain = "example.test"
}}
"""
CONNECTOR = """
connector "{name}" {{
  service = smtp
  listen = {{"0.0.0.0:{clear}", "[::]:{clear}"}}
  listen_tls = {{"0.0.0.0:{tls}", "[::]:{tls}"}}
  transparent = {how}
  action = "{action}"
  {more}
}}
"""
OPTIONAL = "starttls = optional"
CONNECTORS = (("redirect", 10000, "redirect", "look", OPTIONAL), ("tproxy", 20000, "tproxy", "look", OPTIONAL),
              ("keep", 30000, "tproxy", "look",
               'keep_source = yes\n  clients = {"10.77.1.0/24", "fd77:1::/64"}\n  ' + OPTIONAL),
              ("strict", 40000, "redirect", "refuse", ""), ("pass", 50000, "redirect", "pass", OPTIONAL))


class Usual:
    """The usual ports, where they are free."""

    def __init__(self, *ports):
        self._left = list(ports)

    def get(self):
        return self._left.pop(0)


def foreign(w):
    """What is in the server's network."""
    both = (PEERS_NAME, OTHER_NAME)
    here = (SERVER, TPROXIED, KEEPING, PASSED, SERVER6, TPROXIED6, KEEPING6)
    cert = w.ca.issue("server", names=both, addresses=here)
    bad = {EXPIRED: w.ca.issue("expired", names=both, addresses=(EXPIRED,), expired=True),
           WRONG: w.ca.issue("wrong", names=("elsewhere.test",), addresses=()),
           OWN: w.ca.issue("own", names=both, addresses=(OWN,), self_signed=True)}
    with w.net.server:
        w.far = w.sink()
        w.box = w.dovecot("logins", cert=cert, ports=Usual(143, 993, 110, 995))
        w.server = w.postfix(w.box, "server", cert=cert, ports=Usual(STARTTLS, IMPLICIT), hosts=here,
                             routes={PARTNER: w.far.port})
        w.bad = {host: w.sink(host=host, port=IMPLICIT, implicit=True, tls=pair, users=w.users)
                 for host, pair in bad.items()}
        w.offered = w.sink(host=OFFERED, port=STARTTLS, users=w.users,
                           tls=w.ca.issue("offered", names=both, addresses=(OFFERED,)))
        w.plain = w.sink(host=PLAIN, port=STARTTLS, users=w.users)


def steer(w, bad="redirect", plain="redirect"):
    def both(name, *hosts):
        base = {c[0]: c[1] for c in CONNECTORS}[name]
        return [(h, port, base + port) for h in hosts for port in (STARTTLS, IMPLICIT)]

    w.net.steer(redirect=both("redirect", SERVER, SERVER6, OFFERED, NOBODY) + both("pass", PASSED) +
                both(plain, PLAIN) + both(bad, EXPIRED, WRONG, OWN),
                tproxy=both("tproxy", TPROXIED, TPROXIED6) + both("keep", KEEPING, KEEPING6))


def connectors(w):
    foreign(w)
    return PIECES.format(ca=w.ca.ca) + "".join(
        CONNECTOR.format(name=name, clear=base + STARTTLS, tls=base + IMPLICIT, how=how, action=action, more=more)
        for name, base, how, action, more in CONNECTORS)


class Transparent(Site):
    """A Site whose gateway is in a network between clients and foreign servers."""

    def __init__(self):
        self.net = Net()
        try:
            with self.net.gateway:
                super().__init__(smtp_port=lambda s: s.sink().port, pop3_port=lambda s: s.fakepop().port,
                                 users=("alice",), keys=("alice",), more=connectors)
        except BaseException:
            self.net.close()
            raise

    def close(self):
        try:
            super().close()
        finally:
            self.net.close()


def world():
    w = Transparent()
    try:
        steer(w)
        w.gw.keyctl("ca", "init", "--name", "Example")
        w.proxy = write(w.path("proxy.pem"), w.gw.keyctl("ca", "export").stdout)
        w.untrusted = write(w.path("untrusted.pem"), w.gw.keyctl("ca", "export", "--untrusted").stdout)
        w.pat = w.outsider("pat")
        w.quinn = w.outsider("quinn")
    except BaseException:
        w.close()
        raise
    return w


class Client(clients.Raw):
    """A client in its own network: .leaf is what it was shown, as DER."""

    def __init__(self, w, host, port=IMPLICIT, name=OTHER_NAME, ca=None):
        self.w, self.leaf = w, None
        with w.net.client:
            super().__init__(port, host, timeout=20)
        if port == IMPLICIT:
            try:
                self.secure(name, ca)
            except BaseException:
                self.close()
                raise

    def secure(self, name=OTHER_NAME, ca=None):
        """TLS.  name: asked for by SNI.  ca: None for the proxy authority."""
        context = ssl.create_default_context(cafile=ca or self.w.proxy)
        if name is None:
            context.check_hostname = False
        self.sock = context.wrap_socket(self.sock, server_hostname=name)
        self.leaf = self.sock.getpeercert(binary_form=True)

    def hello(self):
        """What is offered."""
        code, text = self.smtp("EHLO client.test")
        assert code == 250, text
        return text.split("\n")[1:]

    def login(self, user="alice"):
        self.hello()
        said = self.smtp("AUTH PLAIN " + clients.plain_login(*self.w.login(user)))
        assert said[0] == 235, said

    def submit(self, data, to=(PAT,)):
        """One message; the last answer."""
        assert self.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
        for rcpt in to:
            said = self.smtp(f"RCPT TO:<{rcpt}>")
            assert said[0] == 250, said
        assert self.smtp("DATA")[0] == 354
        self.send(data)
        return self.smtp(b".\r\n")


def by_tls(w, host, name=OTHER_NAME, **kw):
    c = Client(w, host, name=name, **kw)
    assert c.smtp()[0] == 220
    return c


def by_starttls(w, host, name=OTHER_NAME, **kw):
    c = Client(w, host, STARTTLS)
    assert c.smtp()[0] == 220
    assert "STARTTLS" in c.hello()
    assert c.smtp("STARTTLS")[0] == 220
    c.secure(name, **kw)
    return c


def letter(to=PAT, subject="Letter", **kw):
    return mails.plain(f"Alice <{ALICE}>", to, subject, "the price is 4711\n", **kw)


def described(der):
    return sh(["openssl", "x509", "-inform", "DER", "-noout", "-text", "-nameopt", "utf8"], data=der).stdout.decode()


def failure(w, host, **kw):
    """A client gets no session, and soon; what it saw."""
    begin = time.monotonic()
    try:
        with Client(w, host, **kw) as c:
            said = c.line()
            assert not said.startswith(b"220"), said
    except (OSError, EOFError) as e:
        said = e
    assert time.monotonic() - begin < 15, said
    return said


def no_tls(c):
    """The handshake fails."""
    try:
        c.secure()
    except OSError:
        return
    raise AssertionError("TLS was begun")


def lines_of(server, word):
    return [line for line in server.said("C") if line.upper().startswith(word)]


@case
def a_client_gets_through_by_tls_and_by_starttls(w):
    """Mail of nobody's passes as it came."""
    for host in (SERVER, TPROXIED, KEEPING, SERVER6, TPROXIED6, KEEPING6):
        for how in (by_tls, by_starttls):
            with how(w, host) as c:
                c.login()
                assert "STARTTLS" not in c.hello()
                assert c.submit(letter())[0] == 250
            assert w.far.take()[0].data.endswith(letter()), (host, how.__name__)


@case
def in_clear_as_well_where_the_client_does_not_ask(w):
    with Client(w, SERVER, STARTTLS) as c:
        c.smtp()
        c.login()
        assert c.submit(letter())[0] == 250
    assert w.far.take()[0].data.endswith(letter())


@case
def the_leaf_is_of_the_proxy_authority_and_like_the_servers(w):
    for how in (by_tls, by_starttls):
        with how(w, SERVER) as c:
            text = described(c.leaf)
            assert re.search(r"Issuer: .*CN ?= ?Example\n", text), text
            assert f"DNS:{OTHER_NAME}" in text and f"DNS:{PEERS_NAME}" in text, text
        with how(w, SERVER, name=None) as c:
            assert f"IP Address:{SERVER}" in described(c.leaf)


@case
def swaks_and_curl_trust_it(w):
    mail = write(w.path("letter.eml"), letter())
    with w.net.client:
        sh(["curl", "-sS", "--cacert", w.proxy, "--resolve", f"{OTHER_NAME}:{IMPLICIT}:{SERVER}", "-u",
            ":".join(w.login("alice")), "--mail-from", ALICE, "--mail-rcpt", PAT, "-T", mail,
            f"smtps://{OTHER_NAME}:{IMPLICIT}"])
        sh(["curl", "-sS", "--ssl-reqd", "--cacert", w.proxy, "--resolve", f"{OTHER_NAME}:{STARTTLS}:{TPROXIED}", "-u",
            ":".join(w.login("alice")), "--mail-from", ALICE, "--mail-rcpt", PAT, "-T", mail,
            f"smtp://{OTHER_NAME}:{STARTTLS}"])
        for more in (["--tls-on-connect", "--port", str(IMPLICIT)], ["--tls", "--port", str(STARTTLS)]):
            sh(["swaks", "--silent", "2", "--server", SERVER, *more, "--tls-verify", "--tls-ca-path", w.proxy,
                "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", w.users["alice"], "--from", ALICE,
                "--to", PAT, "--data", mail], env=dict(os.environ, HOME=w.folder))
    assert len(w.far.take(4)) == 4


@case
def a_login_counts_where_a_verified_server_has_a_peers_name(w):
    """The same server, the same password: what counts is by which verified name it was reached."""
    for how in (by_tls, by_starttls):
        with how(w, SERVER, PEERS_NAME) as c:
            c.login()
            assert c.submit(letter())[0] == 250
            _part, status = mails.open_pgp(w.pat, w.far.take()[0].data)
            assert ALICE in status.get("GOODSIG", ""), status
        with how(w, SERVER, OTHER_NAME) as c:
            c.login()
            assert c.submit(letter())[0] == 250
            assert w.far.take()[0].data.endswith(letter())


@case
def what_counted_in_clear_does_not_count(w):
    """No name was verified: not in clear, and not with a certificate that is bad."""
    with Client(w, SERVER, STARTTLS, PEERS_NAME) as c:
        c.smtp()
        c.login()
        assert c.submit(letter())[0] == 250
        assert w.far.take()[0].data.endswith(letter())
    with Client(w, OWN, name=PEERS_NAME, ca=w.untrusted) as c:
        c.smtp()
        c.login()
        assert c.submit(letter())[0] == 250
        assert w.bad[OWN].take()[0].data == letter()


@case
def encryption_that_nobody_asks_for_is_had_or_refused(w):
    with by_tls(w, SERVER) as c:
        c.login()
        assert c.submit(letter(subject="[encrypt] Letter"))[0] == 250
        got = w.far.take()[0].data
        assert b"4711" not in got
        _part, status = mails.open_pgp(w.pat, got)
        assert "GOODSIG" not in status, status
        said = c.submit(letter("rita@partner.test", "[encrypt] Letter"), ("rita@partner.test",))
        assert said[0] == 550 and "rita@partner.test" in said[1], said
    assert w.far.mails == []


@case
def the_client_itself_hears_who_did_not_get_it(w):
    """Nobody's sender gets no notice: there is no server to send it through."""
    w.offered.on("EOD", nth=2, reply=b"550 5.7.1 not you")
    with by_starttls(w, OFFERED) as c:
        c.login()
        # Quinn is named nowhere, and gets a copy of her own.
        said = c.submit(letter(subject="[encrypt] Letter"), (PAT, QUINN))
        assert said[0] == 554 and "5.3.0 not sent to 1 of 2" in said[1] and "not you" in said[1], said
        gone = w.offered.take()[0].recipients[0]
        assert f"<{PAT if gone == QUINN else QUINN}>" in said[1] and f"<{gone}>" not in said[1], said
        assert c.submit(letter())[0] == 250
    assert os.listdir(os.path.join(w.gw.state, "smtpd")) == []


@case
def a_bad_server_is_shown_as_nobody_should_trust(w):
    for host in w.bad:
        start = len(w.gw.log_text())
        said = failure(w, host)
        assert isinstance(said, ssl.SSLCertVerificationError), (host, said)
        # Who goes on in spite of it can.
        with by_tls(w, host, ca=w.untrusted) as c:
            assert re.search("Issuer: .*CN ?= ?UNTRUSTED - Example", described(c.leaf)), described(c.leaf)
            c.hello()
        w.gw.wait_log(rf"smtpd.*{re.escape(host)}:465 is not verified, and unknown\[{CLIENT}\] is shown so: .", start=start)


@case
def or_refused_as_the_profile_says(w):
    steer(w, bad="strict")
    try:
        for host, server in w.bad.items():
            start = len(w.gw.log_text())
            server.clear()
            for ca in (None, w.untrusted):
                said = failure(w, host, ca=ca)
                assert not isinstance(said, (bytes, ssl.SSLCertVerificationError)), (host, said)
            assert server.said("C") == []
            w.gw.wait_log(rf"smtpd.*{re.escape(host)}:465: no TLS for unknown\[{CLIENT}\]: .", start=start)
    finally:
        steer(w)


@case
def the_server_sees_the_client(w):
    for host, seen in ((KEEPING, CLIENT), (TPROXIED, "10.77.2.1"), (KEEPING6, "fd77:1::2")):
        start = len(read(w.server.log))
        with by_tls(w, host) as c:
            c.hello()
        wait_until(lambda s=seen, n=start: f"connect from unknown[{s}]" in read(w.server.log)[n:].decode(), 10, seen)


@case
def loops_are_refused(w):
    for port in (10587, 10465, 20587, 20465, 30587, 50465):
        begin = time.monotonic()
        with w.net.client, socket.create_connection((GATEWAY, port), timeout=20) as s:
            s.sendall(b"\x16\x03\x01\x00\x01")
            try:
                assert not s.recv(100).startswith(b"220"), port
            except ConnectionResetError:
                pass
        assert time.monotonic() - begin < 5, port


@case
def a_server_that_is_not_there_is_told_of(w):
    with Client(w, NOBODY, STARTTLS) as c:
        assert c.smtp()[0] == 421
    assert not isinstance(failure(w, NOBODY), bytes)


@case
def tls_is_not_offered_where_the_server_has_none(w):
    with Client(w, PLAIN, STARTTLS) as c:
        c.smtp()
        assert "STARTTLS" not in c.hello()
        assert c.smtp("STARTTLS")[0] == 502
        c.login()
        assert c.submit(letter())[0] == 250
    w.plain.take()
    assert lines_of(w.plain, b"STARTTLS") == []
    # Where it is required there is nothing to be done there.
    steer(w, plain="strict")
    try:
        with Client(w, PLAIN, STARTTLS) as c:
            c.smtp()
            assert not [x for x in c.hello() if x.startswith(("AUTH", "STARTTLS"))]
            assert c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))[0] == 530
            assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 530
    finally:
        steer(w)


@case
def a_server_that_refuses_starttls_is_left_in_clear(w):
    w.offered.on("STARTTLS", reply=b"454 4.7.0 not today")
    with Client(w, OFFERED, STARTTLS) as c:
        c.smtp()
        c.hello()
        assert c.smtp("STARTTLS")[0] == 454
        c.login()
        assert c.submit(letter())[0] == 250
        # In a transaction it is not asked for.
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
        assert c.smtp("STARTTLS")[0] == 503
    assert len(lines_of(w.offered, b"STARTTLS")) == 1
    with by_starttls(w, OFFERED) as c:
        c.login()
        assert c.submit(letter())[0] == 250
    assert [m.tls for m in w.offered.take(2)] == [False, True]


@case
def what_was_offered_and_said_in_clear_is_void_behind_tls(w):
    w.offered.on("EHLO", reply=b"250-sink\r\n250-STARTTLS\r\n250-DSN\r\n250-SIZE 1000000\r\n250 AUTH XOAUTH2")
    with Client(w, OFFERED, STARTTLS) as c:
        c.smtp()
        in_clear = c.hello()
        assert "DSN" in in_clear and "AUTH XOAUTH2" in in_clear, in_clear
        assert c.smtp("STARTTLS")[0] == 220
        c.secure()
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 503
        behind = c.hello()
        assert "AUTH PLAIN LOGIN" in behind and "8BITMIME" in behind and "STARTTLS" not in behind, behind
    # A login in clear is over too.
    with Client(w, OFFERED, STARTTLS) as c:
        c.smtp()
        c.login()
        assert c.smtp("STARTTLS")[0] == 220
        c.secure()
        assert "AUTH PLAIN LOGIN" in c.hello()


@case
def what_the_server_says_in_clear_behind_starttls_ends_it(w):
    for answer in (b"220 go ahead\r\n250-injected\r\n250 AUTH PLAIN\r\n", b"220 go ahead\r\n250 inj"):
        start = len(w.gw.log_text())
        w.offered.on("STARTTLS", reply=answer)
        with Client(w, OFFERED, STARTTLS) as c:
            c.smtp()
            c.hello()
            said = c.smtp("STARTTLS")[0]
            assert said in (220, 421), said
            no_tls(c)
        w.gw.wait_log(r"smtpd.*server .*clear", start=start)
        w.offered.clear()


@case
def what_the_client_says_in_clear_behind_starttls_is_void(w):
    start = len(w.gw.log_text())
    with Client(w, OFFERED, STARTTLS) as c:
        c.smtp()
        c.hello()
        c.send(f"STARTTLS\r\nAUTH PLAIN {clients.plain_login(*w.login('alice'))}\r\nMAIL FROM:<{ALICE}>\r\n")
        assert c.smtp()[0] == 220
        c.secure()
        c.hello()
        assert c.smtp(f"RCPT TO:<{PAT}>")[0] == 503
    assert lines_of(w.offered, b"AUTH") == [] and lines_of(w.offered, b"MAIL") == []
    w.gw.wait_log("improper command pipelining after STARTTLS", start=start)


@case
def a_server_that_ends_within_the_handshake_ends_it_for_the_client(w):
    w.offered.on("STARTTLS", reply=b"220 go ahead", close=True)
    with Client(w, OFFERED, STARTTLS) as c:
        c.smtp()
        c.hello()
        assert c.smtp("STARTTLS")[0] in (220, 421)
        no_tls(c)


@case
def tls_that_passes_shows_the_servers_own_certificate(w):
    theirs = ssl.PEM_cert_to_DER_cert(read(os.path.join(w.ca.folder, "server.pem")).decode())
    for how in (by_tls, by_starttls):
        start = len(w.gw.log_text())
        with how(w, PASSED, ca=w.ca.ca) as c:
            assert c.leaf == theirs
            c.login()
            assert c.submit(letter(subject="[encrypt] Letter"))[0] == 250
        assert b"4711" in w.far.take()[0].data
        w.gw.wait_log(rf"tunnel from unknown\[{CLIENT}\] to {PASSED}:\d+ has ended", start=start)


@case
def with_a_locked_key_store_nothing_hangs(w):
    w.gw.keyctl("lock")
    try:
        said = [failure(w, SERVER, name="new.example.test") for _ in range(2)]
        assert not [s for s in said if isinstance(s, (bytes, ssl.SSLCertVerificationError))], said

        def told():
            with Client(w, SERVER, STARTTLS) as c:
                c.smtp()
                c.hello()
                return c.smtp("STARTTLS")[0] == 454 and c.smtp("NOOP")[0] == 250
        wait_until(told, 10, "an answer in clear", 0.1)
    finally:
        w.gw.keyctl("unlock", "--key-file", w.key_file)

    def works():
        try:
            with by_tls(w, SERVER):
                return True
        except (OSError, EOFError):
            return False
    wait_until(works, 20, "TLS", 0.2)


@case
def clients_that_go_away_in_the_middle_leave_nothing(w):
    for _ in range(5):
        with w.net.client:
            with socket.create_connection((SERVER, IMPLICIT), timeout=10) as s:
                s.sendall(b"\x16\x03\x01")
        with Client(w, SERVER, STARTTLS) as c:
            c.smtp()
            c.hello()
            c.smtp("STARTTLS")
        with Client(w, OFFERED, STARTTLS) as c:
            c.smtp()
            c.hello()
            c.send("STARTTLS\r\n")

    def idle():
        text = w.gw.gwctl("status", "--metrics").stdout.decode()
        return re.findall(r"connector_sessions\{connector=\"redirect\"\} (\d+)", text) == ["0"]
    wait_until(idle, 10, "no session", 0.2)


run(world)

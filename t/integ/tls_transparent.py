#!/usr/bin/env python3
"""Foreign servers behind transparent connectors: REDIRECT and TPROXY, minted certificates, bad servers, whose login it is."""

# check: timeout=240

import os
import re
import socket
import ssl
import threading
import time

from pt import Site, case, run
from pt import clients, mails
from pt.memory import memory
from pt.netns import Net
from pt.util import read, sh, wait_until, write

PEERS_NAME, OTHER_NAME = "mail.example.test", "other.example.test"
SERVER, TPROXIED, KEEPING, PASSED = (f"10.77.2.{n}" for n in (2, 3, 4, 5))
SERVER6, TPROXIED6, KEEPING6 = (f"fd77:2::{n}" for n in (2, 3, 4))
EXPIRED, WRONG, OWN, OFFERED, ODD = (f"10.77.2.{n}" for n in (10, 11, 12, 13, 14))
ODD_NAMES = (OTHER_NAME, "under_score.example.test", "*.example.test", "*", "-x.test", "a b.test", "UPPER.example.test",
             *(f"host-{n}.{'long.' * 30}example.test" for n in range(150)))
LOOP = "10.77.2.17"
GATEWAY, SECOND, GATEWAY6, CLIENT = "10.77.1.1", "10.77.1.100", "fd77:1::1", "10.77.1.2"
SECRET = "The offer is 4711.\n"

PIECES = """
tls_profile "foreign" {{
  ca_file = "{ca}"
}}
tls_profile "strict" {{
  ca_file = "{ca}"
  bad_certificate = refuse
}}
action "look" {{
  service = pop3
  profile = "foreign"
}}
action "refuse" {{
  service = pop3
  profile = "strict"
}}
action "pass" {{
  service = pop3
  tls = allow
}}
# Its users' logins count, wherever a verified server has this name.
peer "known" {{
  service = pop3
  host = "10.77.2.2"
  tls = implicit
  ca_file = "{ca}"
  server_name = "mail.example.test"
  login_domain = "example.test"
}}
"""
CONNECTOR = """
connector "{name}" {{
  service = pop3
  listen = {{"0.0.0.0:{clear}", "[::]:{clear}"}}
  listen_tls = {{"0.0.0.0:{tls}", "[::]:{tls}"}}
  transparent = {how}
  action = "{action}"
  starttls = optional
  {more}
}}
"""
CONNECTORS = (("redirect", 10000, "redirect", "look", ""), ("tproxy", 20000, "tproxy", "look", ""),
              ("keep", 30000, "tproxy", "look", 'keep_source = yes\n  clients = {"10.77.1.0/24", "fd77:1::/64"}'),
              ("strict", 40000, "redirect", "refuse", ""), ("pass", 50000, "redirect", "pass", ""))


class Usual:
    """The usual ports, where they are free."""

    def __init__(self):
        self._left = [143, 993, 110, 995]

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
        w.server = w.dovecot("server", cert=cert, ports=Usual(), extra="listen = 127.0.0.1, " + ", ".join(here) + "\n")
        w.bad = {host: w.fakepop(host=host, port=995, implicit=True, tls=pair) for host, pair in bad.items()}
        w.offered = w.fakepop(host=OFFERED, port=110, tls=w.ca.issue("offered", names=both, addresses=(OFFERED,)))
        w.odd = w.fakepop(host=ODD, port=995, implicit=True, tls=w.ca.issue("odd", names=ODD_NAMES, addresses=(ODD,)))
    for s in [*w.bad.values(), w.offered, w.odd]:
        s.put("alice", mails.plain("pat@partner.test", "alice@example.test", "s", "hello\n"))


def steer(w, **more):
    def both(name, *hosts):
        base = {c[0]: c[1] for c in CONNECTORS}[name]
        return [(h, port, base + port) for h in hosts for port in (110, 995)]

    w.net.steer(redirect=both("redirect", SERVER, SERVER6, OFFERED, ODD) + both("pass", PASSED) +
                both(more.pop("bad", "redirect"), EXPIRED, WRONG, OWN),
                tproxy=both("tproxy", TPROXIED, TPROXIED6) + both("keep", KEEPING, KEEPING6), **more)


def connectors(w):
    foreign(w)
    return PIECES.format(ca=w.ca.ca) + "".join(
        CONNECTOR.format(name=name, clear=base + 110, tls=base + 995, how=how, action=action, more=more)
        for name, base, how, action, more in CONNECTORS)


class Transparent(Site):
    """A Site whose gateway is in a network between clients and foreign servers."""

    def __init__(self):
        self.net = Net()
        try:
            with self.net.gateway:
                super().__init__(smtp_port=lambda s: s.sink().port, pop3_port=lambda s: s.fakepop().port,
                                 users=("alice", "bob"), keys=("alice",), more=connectors)
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
        w.pat = w.gpg("pat")
        w.pat.make("Pat <pat@partner.test>")
        w.pat.add(w.certificate("alice"))
        letter = mails.plain("Pat <pat@partner.test>", "alice@example.test", "The offer", SECRET)
        w.server.deliver("alice", mails.pgp_encrypted(w.pat, letter, ["alice@example.test"]))
    except BaseException:
        w.close()
        raise
    return w


class Client(clients.Raw):
    """A client in its own network: .leaf is what it was shown, as DER."""

    def __init__(self, w, host, port=995, name=None, ca=None):
        self.w, self.leaf = w, None
        with w.net.client:
            super().__init__(port, host, timeout=20)
        if port == 995:
            try:
                self.secure(name, ca)
            except BaseException:
                self.close()
                raise

    def secure(self, name=None, ca=None):
        """TLS.  name: asked for by SNI.  ca: None for the proxy authority."""
        context = ssl.create_default_context(cafile=ca or self.w.proxy)
        if name is None:
            context.check_hostname = False
        self.sock = context.wrap_socket(self.sock, server_hostname=name)
        self.leaf = self.sock.getpeercert(binary_form=True)

    def login(self, user="alice"):
        assert self.pop(f"USER {user}")[0].startswith("+OK")
        said = self.pop(f"PASS {self.w.users[user]}")[0]
        assert said.startswith("+OK"), said

    def first(self):
        """The first message."""
        self.login()
        said, mail = self.pop("RETR 1", multi=True)
        assert said.startswith("+OK"), said
        assert self.pop("QUIT")[0].startswith("+OK")
        return mail


def by_stls(w, host, name=None):
    c = Client(w, host, 110)
    assert c.pop()[0].startswith("+OK")
    assert b"STLS\r\n" in c.pop("CAPA", multi=True)[1]
    assert c.pop("STLS")[0].startswith("+OK")
    c.secure(name)
    return c


def described(der):
    return sh(["openssl", "x509", "-inform", "DER", "-noout", "-text", "-nameopt", "utf8"], data=der).stdout.decode()


def names_of(der):
    text = re.search(r"Subject Alternative Name: ?(?:critical)?\n +(.*)", described(der)).group(1)
    return {x.strip() for x in text.split(",")}


def failure(w, host, **kw):
    """A client gets no session, and soon; what it saw."""
    begin = time.monotonic()
    try:
        with Client(w, host, **kw) as c:
            first = c.line()
            assert not first.startswith(b"+OK"), first
            said = first
    except (OSError, EOFError) as e:
        said = e
    assert time.monotonic() - begin < 15, said
    return said


def status(w):
    return w.gw.gwctl("status").stdout.decode()


@case
def a_client_gets_through_by_tls_and_by_stls(w):
    for host in (SERVER, TPROXIED, KEEPING, SERVER6, TPROXIED6, KEEPING6):
        with Client(w, host, name=OTHER_NAME) as c:
            assert c.pop()[0].startswith("+OK"), host
            assert b"-----BEGIN PGP MESSAGE" in c.first(), host
        with by_stls(w, host, OTHER_NAME) as c:
            assert b"STLS" not in c.pop("CAPA", multi=True)[1]
            assert b"-----BEGIN PGP MESSAGE" in c.first(), host


@case
def in_clear_as_well_where_the_client_does_not_ask(w):
    with Client(w, SERVER, 110) as c:
        c.pop()
        assert b"-----BEGIN PGP MESSAGE" in c.first()


@case
def the_leaf_is_of_the_proxy_authority_and_like_the_servers(w):
    with Client(w, SERVER, name=OTHER_NAME) as c:
        leaf = c.leaf
    text = described(leaf)
    assert re.search(r"Issuer: .*CN ?= ?Example\n", text), text
    assert {f"DNS:{PEERS_NAME}", f"DNS:{OTHER_NAME}", f"IP Address:{SERVER}"} <= names_of(leaf), text
    der = write(w.path("leaf.der"), leaf)
    assert b": OK" in sh(["openssl", "verify", "-x509_strict", "-CAfile", w.proxy, "-purpose", "sslserver", der]).stdout
    sh(["openssl", "x509", "-inform", "DER", "-in", der, "-noout", "-checkend", "3600"])
    assert sh(["openssl", "x509", "-inform", "DER", "-in", der, "-noout", "-checkend", str(8 * 86400)],
              check=False).returncode == 1
    # A client that asks for no name can look for the address only.
    for host in (SERVER, SERVER6, TPROXIED):
        with Client(w, host) as c:
            there = [str(socket.inet_pton(socket.AF_INET6, n[11:]) if ":" in n[11:] else n[11:])
                     for n in names_of(c.leaf) if n.startswith("IP Address:")]
        want = str(socket.inet_pton(socket.AF_INET6, host)) if ":" in host else host
        assert want in there, (host, there)


def shown(w, times, name=OTHER_NAME):
    """The leaves that so many clients are shown."""
    found = set()
    for _ in range(times):
        with Client(w, SERVER, name=name) as c:
            assert c.pop()[0].startswith("+OK")
            found.add(c.leaf)
    return found


@case
def names_that_are_none_are_left_out(w):
    """And of too many those that fit."""
    for name in (OTHER_NAME, "upper.example.test"):
        with Client(w, ODD, name=name) as c:
            assert c.pop()[0].startswith("+OK")
            there = names_of(c.leaf)
        assert {f"DNS:{name}", "DNS:*.example.test"} <= there and not {x for x in there if "_" in x or " b" in x}, there


@case
def a_leaf_is_made_once(w):
    """For each of pop3d's two processes."""
    assert len(shown(w, 8)) <= 2


@case
def many_who_want_the_same_at_once_get_the_same(w):
    found = []

    def one():
        with Client(w, SERVER, name="crowd.example.test", ca=w.untrusted) as c:
            if c.pop()[0].startswith("+OK"):
                found.append(c.leaf)
    crowd = [threading.Thread(target=one) for _ in range(30)]
    for t in crowd:
        t.start()
    for t in crowd:
        t.join()
    assert len(found) == 30 and len(set(found)) <= 2, (len(found), len(set(found)))


@case
def fetchmail_and_curl_trust_it(w):
    with w.net.client:
        p = sh(["curl", "-sS", "--cacert", w.proxy, "--resolve", f"{OTHER_NAME}:995:{SERVER}", "-u",
                ":".join(w.login("alice")), f"pop3s://{OTHER_NAME}/1"])
        assert b"BEGIN PGP MESSAGE" in p.stdout
        p = sh(["curl", "-sS", "--ssl-reqd", "--cacert", w.proxy, "--resolve", f"{OTHER_NAME}:110:{TPROXIED}", "-u",
                ":".join(w.login("alice")), f"pop3://{OTHER_NAME}/1"])
        assert b"BEGIN PGP MESSAGE" in p.stdout
        rc = write(w.path("fetchmailrc"), f"poll {SERVER} protocol pop3 port 995 user alice password {w.users['alice']} "
                   f"ssl sslcertck sslcertfile {w.proxy} sslcommonname {OTHER_NAME} no rewrite keep fetchall mda \"cat >{w.path('fetched')}\"\n", 0o600)
        sh(["fetchmail", "-f", rc, "--nosyslog", "--idfile", w.path("fetchids"), "--pidfile", w.path("fetchmail.pid")],
           env=dict(os.environ, HOME=w.folder, FETCHMAILHOME=w.folder))
    assert b"BEGIN PGP MESSAGE" in read(w.path("fetched"))


@case
def a_bad_server_is_shown_as_nobody_should_trust(w):
    for host, server in w.bad.items():
        start = len(w.gw.log_text())
        server.clear()
        said = failure(w, host, name=OTHER_NAME)
        assert isinstance(said, ssl.SSLCertVerificationError), (host, said)
        # Who goes on in spite of it can.
        with Client(w, host, name=OTHER_NAME, ca=w.untrusted) as c:
            assert re.search("Issuer: .*CN ?= ?UNTRUSTED - Example", described(c.leaf)), described(c.leaf)
            assert c.pop()[0].startswith("+OK")
        w.gw.wait_log(rf"pop3d.*{re.escape(host)}:995 is not verified, and unknown\[{CLIENT}\] is shown so: .", start=start)


@case
def or_refused_as_the_profile_says(w):
    steer(w, bad="strict")
    try:
        for host, server in w.bad.items():
            start = len(w.gw.log_text())
            server.clear()
            for ca in (None, w.untrusted):
                said = failure(w, host, name=OTHER_NAME, ca=ca)
                assert "UNRECOGNIZED_NAME" in str(said), (host, said)
            assert server.said("C") == []
            w.gw.wait_log(rf"pop3d.*{re.escape(host)}:995: no TLS for unknown\[{CLIENT}\]: .", start=start)
    finally:
        steer(w)


@case
def a_foreign_servers_login_is_nobodys(w):
    """The same server, the same password: what counts is by which verified name it was reached."""
    for fetch in (lambda n: Client(w, SERVER, name=n), lambda n: by_stls(w, TPROXIED, n)):
        with fetch(OTHER_NAME) as c:
            if not c.seen.startswith(b"+OK"):
                c.pop()
            mail = c.first()
            assert SECRET.encode().strip() not in mail and b"BEGIN PGP MESSAGE" in mail, mail
        with fetch(PEERS_NAME) as c:
            if not c.seen.startswith(b"+OK"):
                c.pop()
            mail = c.first()
            assert SECRET.encode().strip() in mail and b"BEGIN PGP MESSAGE" not in mail, mail


@case
def a_name_that_was_not_verified_counts_for_nothing(w):
    """A server of the peer's name, with a certificate of its own making."""
    letter = mails.plain("Pat <pat@partner.test>", "alice@example.test", "The offer", SECRET)
    w.bad[OWN].boxes["alice"] = []
    w.bad[OWN].put("alice", mails.pgp_encrypted(w.pat, letter, ["alice@example.test"]))
    with Client(w, OWN, name=PEERS_NAME, ca=w.untrusted) as c:
        c.pop()
        assert SECRET.encode().strip() not in c.first()
    # And in clear nothing is verified.
    with Client(w, SERVER, 110) as c:
        c.pop()
        assert SECRET.encode().strip() not in c.first()


@case
def the_server_sees_the_client(w):
    for host, seen in ((KEEPING, CLIENT), (TPROXIED, "10.77.2.1"), (KEEPING6, "fd77:1::2")):
        start = len(read(w.server.log))
        with Client(w, host, name=OTHER_NAME) as c:
            c.pop()
            c.login()
            c.pop("QUIT")
        wait_until(lambda s=seen, n=start: f"rip={s}," in read(w.server.log)[n:].decode(), 10, f"rip={seen}")


@case
def loops_are_refused(w):
    # It is not the address that packets leave with.
    w.net.gateway.ip(f"addr add {SECOND}/24 dev clients")
    for host, ports in ((SECOND, (20110, 30110, 30995, 10995)), (GATEWAY, (10110, 10995, 20110, 20995, 30110, 30995, 50995)), (GATEWAY6, (10110, 20110, 30995)),
                        ("10.77.2.1", (20995, 30110))):
        for port in ports:
            begin = time.monotonic()
            with w.net.client, socket.create_connection((host, port), timeout=20) as s:
                s.sendall(b"\x16\x03\x01\x00\x01")
                try:
                    assert not s.recv(100).startswith(b"+OK"), (host, port)
                except ConnectionResetError:
                    pass
            assert time.monotonic() - begin < 5, (host, port)
    # What leads to a listener by a detour.
    steer(w, dnat=[(LOOP, 110, f"{GATEWAY}:10110"), (LOOP, 995, f"{GATEWAY}:20995")])
    for port in (110, 995):
        failure(w, LOOP, port=port, **({} if port == 110 else {"name": OTHER_NAME}))
    steer(w)
    assert w.gw.settled_log().count("loop") > 3


@case
def a_server_that_is_away_is_told_of_by_an_alert(w):
    start = len(w.gw.log_text())
    said = failure(w, OFFERED, name=OTHER_NAME)
    assert "UNRECOGNIZED_NAME" in str(said), said
    w.gw.wait_log(rf"pop3d.*warning: .*{re.escape(OFFERED)}:995: .*Connection refused", start=start)
    # In clear there is nothing but the end to tell it by.
    assert failure(w, EXPIRED, port=110).startswith(b"-ERR [SYS/TEMP]")


@case
def a_session_is_counted_once(w):
    with Client(w, SERVER, name=OTHER_NAME) as c, Client(w, SERVER, name=PEERS_NAME) as d, by_stls(w, SERVER, PEERS_NAME):
        c.pop()
        d.pop()
        text = w.gw.gwctl("status", "--metrics").stdout.decode()
        assert re.search(r'^postern_connector_sessions\{connector="redirect"\} 3$', text, re.M), text


@case
def a_server_that_refuses_stls_is_left_in_clear(w):
    w.offered.on("STLS", reply=b"-ERR not today")
    with Client(w, OFFERED, 110) as c:
        c.pop()
        assert c.pop("STLS")[0].startswith("-ERR")
        c.login()
        assert c.pop("STAT")[0].startswith("+OK 1 ")
    w.offered.clear()
    with by_stls(w, OFFERED, OTHER_NAME) as c:
        c.login()
        assert c.pop("STAT")[0].startswith("+OK 1 ")


@case
def what_the_server_says_in_clear_behind_stls_ends_it(w):
    start = len(w.gw.log_text())
    w.offered.on("STLS", reply=b"+OK go ahead\r\n+OK injected\r\n")
    with Client(w, OFFERED, 110) as c:
        c.pop()
        try:
            c.pop("STLS")
            c.secure(OTHER_NAME)
            raise AssertionError("TLS was begun")
        except (OSError, EOFError):
            assert b"injected" not in c.seen
    w.gw.wait_log(rf"pop3d.*warning: .*{re.escape(OFFERED)}:110: it talks out of turn", start=start)
    w.offered.clear()


@case
def what_the_client_says_in_clear_behind_stls_is_void(w):
    w.offered.clear()
    with Client(w, OFFERED, 110) as c:
        c.pop()
        c.send(f"STLS\r\nUSER alice\r\nPASS {w.users['alice']}\r\n")
        assert c.line().startswith(b"+OK")
        c.secure(OTHER_NAME)
        assert c.pop("STAT")[0].startswith("-ERR")
        assert not [line for line in w.offered.said("C") if line.startswith(b"USER")]
    w.offered.clear()


@case
def tls_that_passes_shows_the_servers_own_certificate(w):
    with Client(w, PASSED, name=OTHER_NAME, ca=w.ca.ca) as c:
        theirs = ssl.PEM_cert_to_DER_cert(read(os.path.join(w.ca.folder, "server.pem")).decode())
        assert c.leaf == theirs
        c.pop()
        assert b"BEGIN PGP MESSAGE" in c.first()
    with Client(w, PASSED, 110) as c:
        c.pop()
        assert c.pop("STLS")[0].startswith("+OK")
        c.secure(OTHER_NAME, ca=w.ca.ca)
        assert c.leaf == theirs
        assert b"BEGIN PGP MESSAGE" in c.first()


@case
def a_client_that_goes_away_in_the_middle_leaves_nothing(w):
    for _ in range(5):
        with w.net.client:
            with socket.create_connection((SERVER, 995), timeout=10) as s:
                s.sendall(b"\x16\x03\x01")
        c = Client(w, SERVER, 110)
        c.pop()
        c.pop("STLS")
        c.close()

    def idle():
        return not [f for f in re.findall(r"connector_sessions\{connector=\"redirect\"\} (\d+)",
                                          w.gw.gwctl("status", "--metrics").stdout.decode()) if f != "0"]
    wait_until(idle, 10, "no session", 0.2)


@case
def no_key_of_an_authority_is_in_a_proxy(w):
    """The leaves' key never leaves cryptod and cannot be known here; that of the authority can, and both are there alone."""
    word = w.gw.own(write(w.path("word"), "a word\n", 0o600))
    out = w.gw.own(write(w.path("ca.key"), "", 0o600))
    os.unlink(out)
    w.gw.keyctl("ca", "export", "--secret", "--yes", "--passphrase-file", word, "--output", out)
    pem = sh(["openssl", "pkey", "-in", out, "-passin", "file:" + word]).stdout
    text = sh(["openssl", "pkey", "-noout", "-text"], data=pem).stdout.decode()
    scalar = bytes.fromhex(re.sub(r"[^0-9a-f]", "", re.search(r"priv:\n((?: .*\n)+)", text).group(1)))[-32:]
    shown(w, 2)
    for pid, name in w.gw.daemons().items():
        if name != "cryptod":
            there = memory(pid)
            assert scalar not in there and scalar[::-1] not in there, name


@case
def when_cryptod_was_killed_there_are_new_leaves(w):
    before = shown(w, 4)
    w.gw.kill("cryptod")
    w.gw.wait_daemon("cryptod", seconds=10)

    def works():
        try:
            return shown(w, 2)
        except (OSError, EOFError):
            return None
    after = wait_until(works, 20, "TLS with a new cryptod", 0.2)
    keys = [{sh(["openssl", "x509", "-inform", "DER", "-noout", "-pubkey"], data=der).stdout for der in leaves}
            for leaves in (before, after)]
    assert len(keys[0]) == 1 and not keys[0] & keys[1], keys


@case
def with_a_locked_key_store_nothing_hangs(w):
    w.gw.keyctl("lock")
    try:
        said = failure(w, SERVER, name=OTHER_NAME)
        assert not isinstance(said, ssl.SSLCertVerificationError), said
        said = [failure(w, SERVER, name="new.example.test") for _ in range(2)]
        assert not [s for s in said if isinstance(s, ssl.SSLCertVerificationError)], said

        def told():
            failure(w, SERVER, name="new.example.test")
            with Client(w, SERVER, 110) as c:
                c.pop()
                return "[SYS/TEMP]" in c.pop("STLS")[0]
        wait_until(told, 10, "an answer in clear", 0.1)
    finally:
        w.gw.keyctl("unlock", "--key-file", w.key_file)

    def works():
        try:
            return shown(w, 1)
        except (OSError, EOFError):
            return None
    wait_until(works, 20, "TLS", 0.2)


run(world)

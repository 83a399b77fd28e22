#!/usr/bin/env python3
"""TLS between the gateway and the mail servers behind it, and their names."""

import hashlib
import re
import ssl
import time

from pt import World, case, run
from pt import clients, mails
from pt.fakepop import FakePop
from pt.sink import Sink
from pt.util import read, sh
from pt.world import DOMAIN

ALICE, QUINN = "alice@example.test", "quinn@partner.test"
SERVER = "mail.example.test"
LETTER = mails.plain("pat@partner.test", ALICE, body="hello\n")
FORGED_EHLO = b"250-sink.test\r\n250-SIZE 4711\r\n250 AUTH PLAIN\r\n235 2.7.0 welcome\r\n"
FORGED_CAPA = b"+OK\r\nTOP\r\nUSER\r\nIMPLEMENTATION forged\r\n.\r\n+OK\r\n+OK forged\r\n"

# One peer and one connector of each kind: name, TLS mode, what is wrong with the certificate.
KINDS = {"good": "starttls", "good-implicit": "implicit", "late": "starttls", "late-implicit": "implicit",
         "self": "starttls", "self-implicit": "implicit", "other-name": "starttls",
         "other-name-implicit": "implicit", "other-ca": "starttls", "other-ca-implicit": "implicit",
         "unverified": "starttls", "by-address": "starttls", "no-offer": "starttls",
         "pinned": "starttls", "pinned-key": "starttls", "pinned-other": "starttls", "renamed": "starttls",
         "refused": "starttls", "stalled": "starttls", "injected": "starttls", "clear": "none"}

PEER = """
peer "{name}" {{
  service = {service}
  host = "{host}"
  port = {port}
  tls = {tls}
  {more}
}}
connector "{name}" {{
  service = {service}
  listen = {{"127.0.0.1:{listen}"}}
  peer = "{name}"
  tls = disabled
}}
"""


class ForgingSink(Sink):
    """Somebody on the way adds answers in clear behind the one to STARTTLS."""

    def do_starttls(self, c, _arg):
        c.send(b"220 2.0.0 go ahead\r\n" + FORGED_EHLO)
        c.start_tls()


class ForgingPop(FakePop):
    def do_stls(self, c, _arg):
        c.send(b"+OK go ahead\r\n" + FORGED_CAPA)
        c.start_tls()


def server(w, service, kind):
    """A mail server with the faults of its kind."""
    issue, other = w.ca.issue, w.other.issue
    cert = {"late": lambda: issue("late", names=(SERVER,), expired=True),
            "self": lambda: issue("self", names=(SERVER,), self_signed=True),
            "unverified": lambda: issue("self", names=(SERVER,), self_signed=True),
            "pinned": lambda: issue("self", names=("elsewhere.test",), self_signed=True),
            "pinned-key": lambda: issue("self", names=("elsewhere.test",), self_signed=True),
            "renamed": lambda: issue("renamed", names=("www.example.test",), addresses=()),
            "other-name": lambda: issue("other-name", names=("www.example.test",)),
            "by-address": lambda: issue("by-address", names=("www.example.test",)),
            "other-ca": lambda: other("other-ca", names=(SERVER,)),
            "no-offer": lambda: None, "clear": lambda: None}.get(
                kind.removesuffix("-implicit"), lambda: issue("good", names=(SERVER,), addresses=()))()
    how = {"tls": cert, "implicit": kind.endswith("-implicit"), "users": w.users}
    forged = kind == "injected"
    w.cert[service, kind] = cert
    if service == "smtp":
        s = (ForgingSink if forged else Sink)(**how)
    else:
        s = (ForgingPop if forged else FakePop)(**how)
        s.put("alice", LETTER)
    w.defer(s.stop)
    if kind == "refused":
        s.on("STARTTLS", times=None, reply="454 4.7.0 not now")
        s.on("STLS", times=None, reply="-ERR not now")
    if kind == "stalled":
        s.on("STARTTLS", times=None, reply="220 go ahead", stall=True)
        s.on("STLS", times=None, reply="+OK go ahead", stall=True)
    return s


def pinned(w, service, kind):
    """The settings of a peer whose certificate, or the key in it, is known; or another's."""
    path = w.cert[service, kind][0]
    if kind == "pinned-key":
        der = sh(["openssl", "pkey", "-pubin", "-outform", "DER"],
                 data=sh(["openssl", "x509", "-in", path, "-noout", "-pubkey"]).stdout).stdout
    else:
        der = ssl.PEM_cert_to_DER_cert(read(path).decode())
    return f'verify = fingerprint\n  fingerprints = {{"{"00" * 32}", "{hashlib.sha256(der).hexdigest()}"}}'


def world():
    w = World()
    w.cert = {}
    w.other = type(w.ca)(w.path("other-ca"), "Another CA")
    w.names = w.dns({(SERVER, "A"): ["127.0.0.1"]})
    w.names.fail["broken.example.test"] = 2
    pieces = (f'dns {{\n  servers = {{"127.0.0.1@{w.names.port}"}}\n  hosts = no\n}}\n'
              "limits {\n  peer_timeout = 3\n}\nprocesses {\n  smtpd = 1\n  pop3d = 1\n}\n")
    pieces += f'tls_profile "renamed" {{\n  names = {{"{SERVER}=www.example.test"}}\n}}\n'
    w.peers, w.listens = {}, {}
    for service in ("smtp", "pop3"):
        for kind, tls in KINDS.items():
            s = w.peers[service, kind] = server(w, service, kind)
            listen = w.listens[service, kind] = w.ports.get()
            more, host = f'ca_file = "{w.ca.ca}"', SERVER
            if kind == "unverified":
                more, host = "verify = none", "127.0.0.1"
            elif kind == "clear":
                more, host = "", "127.0.0.1"
            elif kind == "by-address":
                host = "127.0.0.1"
            elif kind in ("pinned", "pinned-key"):
                more = pinned(w, service, kind)
            elif kind == "pinned-other":
                more = pinned(w, service, "self")
            elif kind == "renamed":
                more += '\n  profile = "renamed"'
            pieces += PEER.format(name=f"{service}-{kind}", service=service, host=host, port=s.port,
                                  tls=tls, more=more, listen=listen)
        for kind in ("broken", "nowhere"):
            listen = w.listens[service, kind] = w.ports.get()
            pieces += PEER.format(name=f"{service}-{kind}", service=service, port=9, listen=listen,
                                  host=f"{kind}.example.test", tls="starttls", more="")
    w.gw = w.gateway(pieces)
    w.gw.start()
    w.gw.gwctl("domain", "add", DOMAIN)
    return w


def sends(w, kind):
    """Send a message; the mail that the server got."""
    peer = w.peers["smtp", kind]
    clients.send(w.listens["smtp", kind], ALICE, QUINN, mails.plain(ALICE, QUINN), login=w.login("alice"))
    return peer.take()[0]


def fetches(w, kind):
    return clients.fetch(w.listens["pop3", kind], w.login("alice"))


def refused(w, kind, says):
    """Both proxies refuse the session, and say why in the log; no login reaches the server."""
    start = len(w.gw.log_text())
    with clients.Raw(w.listens["smtp", kind]) as c:
        code, text = c.smtp()
        assert code == 421, (kind, code, text)
        c.send("EHLO x\r\nAUTH PLAIN " + clients.plain_login(*w.login("alice")) + "\r\n")
        c.rest()
    with clients.Raw(w.listens["pop3", kind]) as c:
        first = c.pop()[0]
        assert first.startswith("-ERR [SYS/TEMP]"), (kind, first)
        c.send(f"USER alice\r\nPASS {w.users['alice']}\r\n")
        c.rest()
    for service in ("smtp", "pop3"):
        if (service, kind) in w.peers:
            said = b"\n".join(w.peers[service, kind].said("C")).upper()
            assert b"AUTH PLAIN" not in said and b"USER" not in said and b"PASS" not in said, said
    for daemon in ("smtpd", "pop3d"):
        w.gw.wait_log(rf"postern/{daemon}\[\d+\]: warning: .*({says})", start=start)


@case
def verified_peers_are_used(w):
    for kind in ("good", "good-implicit"):
        assert sends(w, kind).tls, kind
        assert fetches(w, kind) == [LETTER], kind
        assert w.peers["pop3", kind].said("C")[-1] == b"QUIT"


@case
def an_address_is_verified_as_an_address(w):
    assert sends(w, "by-address").tls
    assert fetches(w, "by-address") == [LETTER]


@case
def a_fingerprint_is_enough_and_needed(w):
    for kind in ("pinned", "pinned-key"):
        assert sends(w, kind).tls, kind
        assert fetches(w, kind) == [LETTER], kind
    refused(w, "pinned-other", "fingerprint")


@case
def a_profile_can_expect_another_name(w):
    assert sends(w, "renamed").tls
    assert fetches(w, "renamed") == [LETTER]


@case
def bad_certificates_are_refused_before_a_login(w):
    for kind, says in (("late", "expired"), ("self", "self.signed"), ("other-name", "name|mismatch"),
                       ("other-ca", "issuer|unable to get")):
        for mode in ("", "-implicit"):
            refused(w, kind + mode, says)


@case
def a_peer_without_tls_is_not_used_in_clear(w):
    for kind in ("no-offer", "refused"):
        refused(w, kind, "STARTTLS|STLS|said: 454")


@case
def a_handshake_that_stalls_ends_in_time(w):
    begin = time.monotonic()
    refused(w, "stalled", "in time|does not answer")
    assert time.monotonic() - begin < 10


@case
def answers_in_clear_behind_starttls_are_thrown_away(w):
    """Thrown away or refused: in no case taken for the server's."""
    with clients.Raw(w.listens["smtp", "injected"]) as c:
        code, _ = c.smtp()
        text = c.smtp("EHLO client.test")[1] if code == 220 else ""
        assert "4711" not in text and code in (220, 421), text
        if code == 220:
            login = clients.plain_login("alice", "wrong")
            assert c.smtp(f"AUTH PLAIN {login}")[0] == 535
    if code == 220:
        assert sends(w, "injected").tls
    with clients.Raw(w.listens["pop3", "injected"]) as c:
        first = c.pop()[0]
        assert "forged" not in first
        if first.startswith("+OK"):
            assert b"forged" not in c.pop("CAPA", multi=True)[1]
            c.pop("USER alice")
            assert c.pop("PASS wrong")[0].startswith("-ERR")
            assert fetches(w, "injected") == [LETTER]


@case
def unverified_and_clear_peers_on_loopback_are_allowed(w):
    assert sends(w, "unverified").tls
    assert fetches(w, "unverified") == [LETTER]
    assert not sends(w, "clear").tls
    assert fetches(w, "clear") == [LETTER]


@case
def a_name_that_does_not_resolve_is_told(w):
    for kind in ("broken", "nowhere"):
        refused(w, kind, re.escape(f"{kind}.example.test"))


@case
def the_peers_certificate_is_looked_at_anew_for_each_connection(w):
    peer = w.peers["smtp", "good"]
    assert sends(w, "good").tls
    kept, peer.context = peer.context, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        peer.context.load_cert_chain(*w.other.issue("taken-over", names=(SERVER,)))
        with clients.Raw(w.listens["smtp", "good"]) as c:
            assert c.smtp()[0] == 421
    finally:
        peer.context = kept
    assert sends(w, "good").tls


if __name__ == "__main__":
    run(world)

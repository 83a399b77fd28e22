#!/usr/bin/env python3
"""DANE: the certificates of mail servers are what their zones, signed with DNSSEC, say they are."""

import hashlib
import re

from pt import World, case, run
from pt import clients, mails
from pt.util import read, sh, wait_until, write
from pt.world import DOMAIN

ALICE, QUINN = "alice@example.test", "quinn@partner.test"
LETTER = mails.plain("pat@partner.test", ALICE, body="hello\n")
NOBODY = "00" * 32  # the hash of nothing
# Of smtp it is STARTTLS, of pop3 TLS from the first octet on.
MODES = {"smtp": "starttls", "pop3": "implicit"}

# Host: which certificate its server has, which TLSA records (%-formatted with hashes).
HOSTS = {
    "right.good.test": ("self", ["3 1 1 %(self_key)s"]),
    "whole.good.test": ("self", ["3 0 1 %(self)s"]),
    "soon.good.test": ("self", ["3 1 1 " + NOBODY, "3 1 1 %(self_key)s"]),
    "wrong.good.test": ("self", ["3 1 1 " + NOBODY]),
    "ta.good.test": ("chain", ["2 0 1 %(ca)s"]),
    "ta-misnamed.good.test": ("misnamed", ["2 0 1 %(ca)s"]),
    "ta-other.good.test": ("chain", ["2 0 1 " + NOBODY]),
    "pkix.good.test": ("chain", ["1 1 1 %(chain_key)s", "0 0 1 %(ca)s"]),
    "none.good.test": ("chain", []),
    "mail.late.test": ("self", ["3 1 1 %(self_key)s"]),
    "mail.broken.test": ("self", ["3 1 1 %(self_key)s"]),
    "mail.forged.test": ("self", ["3 1 1 %(self_key)s"]),
    "mail.plain.test": ("self", ["3 1 1 %(self_key)s"]),
    "mail.unanchored.test": ("self", ["3 1 1 %(self_key)s"]),
    "mail.island.example": ("self", ["3 1 1 %(self_key)s"]),
}
ALIAS = "alias.good.test"  # of right.good.test, and so are its TLSA records

HEAD = """
dns {{
  servers = {{"127.0.0.1@{port}"}}
  hosts = no
  trust_anchor = "{anchor}"
}}
limits {{
  peer_timeout = 5
}}
processes {{
  smtpd = 1
  pop3d = 1
}}
"""

PEER = """
peer "{name}" {{
  service = {service}
  host = "{host}"
  port = {port}
  tls = {tls}
  verify = dane
}}
connector "{name}" {{
  service = {service}
  listen = {{"127.0.0.1:{listen}"}}
  peer = "{name}"
  tls = disabled
}}
"""


def certificates(w):
    """{kind: (certificate and chain, key)}, and the hashes of certificates and keys."""
    ca = read(w.ca.ca)
    made = {"self": w.ca.issue("self", names=("self.test",), addresses=(), self_signed=True),
            "chain": w.ca.issue("chain", names=("ta.good.test", "ta-other.good.test", "pkix.good.test",
                                                "none.good.test"), addresses=()),
            "misnamed": w.ca.issue("misnamed", names=("www.good.test",), addresses=())}
    hashes = {}
    for kind, path in [(k, p) for k, (p, _) in made.items()] + [("ca", w.ca.ca)]:
        der = sh(["openssl", "x509", "-in", path, "-outform", "DER"]).stdout
        pem = sh(["openssl", "x509", "-in", path, "-pubkey", "-noout"]).stdout
        spki = sh(["openssl", "pkey", "-pubin", "-outform", "DER"], data=pem).stdout
        hashes[kind] = hashlib.sha256(der).hexdigest()
        hashes[kind + "_key"] = hashlib.sha256(spki).hexdigest()
    # A server whose authority is in TLSA sends that authority's certificate (RFC 7671, 5.2.1).
    for kind in ("chain", "misnamed"):
        path, key = made[kind]
        made[kind] = write(path + ".chain", read(path) + ca), key
    return made, hashes


def records(w, hashes, zone):
    """Lines of a zone file for the hosts of a zone."""
    lines = []
    for host, (kind, tlsas) in HOSTS.items():
        label, _, where = host.partition(".")
        if where != zone:
            continue
        lines.append(f"{label} A 127.0.0.1")
        for service in MODES:
            port = w.servers[service, kind].port
            lines += [f"_{port}._tcp.{label} TLSA {t % hashes}" for t in tlsas]
    return lines


def make_zones(w, hashes):
    z = w.zones()
    ports = [w.servers[service, HOSTS["right.good.test"][0]].port for service in MODES]
    z.add("good", records(w, hashes, "good.test") + ["alias CNAME right"] +
          [f"_{p}._tcp.alias CNAME _{p}._tcp.right" for p in ports])
    z.add("late", records(w, hashes, "late.test"), until="20200101")
    z.add("broken", records(w, hashes, "broken.test"), spoil=("TLSA",))
    z.add("forged", records(w, hashes, "forged.test"), spoil=("A",))
    z.add("plain", records(w, hashes, "plain.test"), signed=False)
    z.add("unanchored", records(w, hashes, "unanchored.test"), delegation=False)
    w.island = z.alone("island.example", records(w, hashes, "island.example"))
    z.start()
    return z


def world():
    w = World()
    made, hashes = certificates(w)
    w.servers, w.listens = {}, {}
    for kind, cert in made.items():
        w.servers["smtp", kind] = w.sink(tls=cert, users=w.users)
        w.servers["pop3", kind] = w.fakepop(tls=cert, implicit=True)
        w.servers["pop3", kind].put("alice", LETTER)
    w.names = make_zones(w, hashes)
    w.peers = ""
    for service, tls in MODES.items():
        for host in [*HOSTS, ALIAS]:
            kind = HOSTS.get(host, HOSTS["right.good.test"])[0]
            listen = w.listens[service, host] = w.ports.get()
            w.peers += PEER.format(name=f"{service}-{host}", service=service, host=host, tls=tls,
                                   port=w.servers[service, kind].port, listen=listen)
    w.gw = w.gateway(pieces(w))
    w.gw.start()
    w.gw.gwctl("domain", "add", DOMAIN)
    return w


def pieces(w, anchor=None, port=None):
    return HEAD.format(port=port or w.names.port, anchor=anchor or w.names.anchor) + w.peers


def server(w, service, host):
    return w.servers[service, HOSTS.get(host, HOSTS["right.good.test"])[0]]


def works(w, host):
    clients.send(w.listens["smtp", host], ALICE, QUINN, mails.plain(ALICE, QUINN), login=w.login("alice"))
    assert server(w, "smtp", host).take()[0].tls, host
    assert clients.fetch(w.listens["pop3", host], w.login("alice")) == [LETTER], host


def fails(w, host, says):
    """Both proxies put the client off and say why in the log; no login reaches the server."""
    start = len(w.gw.log_text())
    for service in MODES:
        server(w, service, host).clear()
    with clients.Raw(w.listens["smtp", host]) as c:
        code, text = c.smtp()
        assert code == 421, (host, code, text)
        c.send("EHLO x\r\nAUTH PLAIN " + clients.plain_login(*w.login("alice")) + "\r\n")
        c.rest()
    with clients.Raw(w.listens["pop3", host]) as c:
        first = c.pop()[0]
        assert first.startswith("-ERR [SYS/TEMP]"), (host, first)
        c.send(f"USER alice\r\nPASS {w.users['alice']}\r\n")
        c.rest()
    for service in MODES:
        said = b"\n".join(server(w, service, host).said("C")).upper()
        assert b"AUTH" not in said and b"USER" not in said and b"PASS" not in said, (host, said)
    for daemon in ("smtpd", "pop3d"):
        w.gw.wait_log(rf"postern/{daemon}\[\d+\]: warning: .*({says})", start=start)


@case
def a_self_signed_certificate_that_the_zone_vouches_for_is_good(w):
    for host in ("right.good.test", "whole.good.test", ALIAS):
        works(w, host)
    w.gw.wait_log(r"smtpd\[\d+\]: Verified TLS connection established to right\.good\.test")


@case
def one_of_several_records_is_enough(w):
    works(w, "soon.good.test")


@case
def a_certificate_that_no_record_fits_is_refused(w):
    fails(w, "wrong.good.test", "TLSA|DANE")


@case
def an_authority_in_the_zone_vouches_for_names(w):
    works(w, "ta.good.test")
    fails(w, "ta-misnamed.good.test", "name|mismatch")
    fails(w, "ta-other.good.test", "TLSA|DANE")


@case
def records_that_need_public_authorities_are_not_usable(w):
    fails(w, "pkix.good.test", "TLSA|usable")


@case
def a_host_without_records_is_refused(w):
    fails(w, "none.good.test", "TLSA records of .*: DNSSEC says that there are none")


@case
def what_is_not_signed_proves_nothing(w):
    for host in ("mail.plain.test", "mail.unanchored.test", "mail.island.example"):
        fails(w, host, f"the address of {re.escape(host)} is not signed with DNSSEC")


@case
def forged_and_outdated_answers_put_off(w):
    fails(w, "mail.late.test", "DNSSEC: .*signature expired")
    fails(w, "mail.forged.test", "DNSSEC: .*signature verification failed")
    fails(w, "mail.broken.test", "TLSA records of .*DNSSEC: .*signature verification failed")


@case
def another_trust_anchor_counts_after_a_reload(w):
    try:
        both = write(w.path("both"), read(w.names.anchor) + read(w.island))
        w.gw.configure(pieces(w, both))
        w.gw.gwctl("reload")
        works(w, "mail.island.example")
        works(w, "right.good.test")
        w.gw.configure(pieces(w, w.island))
        w.gw.gwctl("reload")
        works(w, "mail.island.example")
        fails(w, "right.good.test", "is not signed with DNSSEC")
    finally:
        w.gw.configure(pieces(w))
        w.gw.gwctl("reload")
    works(w, "right.good.test")


@case
def a_bad_trust_anchor_is_refused_with_file_and_line(w):
    bad = write(w.path("bad"), "; of test.\ntest. IN DS 1 13 2 abcd\n")
    try:
        w.gw.configure(pieces(w, bad))
        p = w.gw.gwctl("reload", check=False)
        told = (p.stdout + p.stderr).decode()
        assert p.returncode != 0 and f"{bad}:2: the digest" in told, told
        w.gw.configure(pieces(w, w.path("nowhere")))
        p = w.gw.gwctl("reload", check=False)
        told = (p.stdout + p.stderr).decode()
        assert p.returncode != 0 and w.path("nowhere") in told, told
        works(w, "right.good.test")
    finally:
        w.gw.configure(pieces(w))
        w.gw.gwctl("reload")
    works(w, "right.good.test")


@case
def a_reload_does_not_leave_the_open_questions_open(w):
    deaf = w.dns({})
    deaf.fail["right.good.test"] = "silent"
    start, pids = len(w.gw.log_text()), w.gw.daemons()
    try:
        w.gw.configure(pieces(w, port=deaf.port))
        w.gw.gwctl("reload")
        with clients.Raw(w.listens["smtp", "right.good.test"]) as c:
            wait_until(lambda: ("right.good.test", "A") in deaf.asked, 10, "a question")
            w.gw.configure(pieces(w))
            w.gw.gwctl("reload")
            assert c.smtp()[0] == 421
        w.gw.wait_log("the resolver starts again", start=start)
    finally:
        w.gw.configure(pieces(w))
        w.gw.gwctl("reload")
    works(w, "right.good.test")
    assert w.gw.daemons() == pids, "a daemon was lost"


@case
def name_servers_that_strip_dnssec_are_told_of(w):
    strips = w.dns({("right.good.test", "A"): ["127.0.0.1"], ("test", "SOA"): ["ns.test"]})
    start = len(w.gw.log_text())
    try:
        w.gw.configure(pieces(w, port=strips.port))
        w.gw.gwctl("reload")
        w.gw.wait_log(r"dnsd\[\d+\]: error: .*zone test\. .*do they strip DNSSEC", start=start)
        fails(w, "right.good.test", "do they strip DNSSEC")
        assert b"strip DNSSEC" in w.gw.gwctl("status", check=False).stdout
    finally:
        w.gw.configure(pieces(w))
        w.gw.gwctl("reload")
    works(w, "right.good.test")
    assert b"strip DNSSEC" not in w.gw.gwctl("status", check=False).stdout


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""DANE of deliveries: mail to MX goes as their zones, signed with DNSSEC, say."""

import hashlib

from pt import QueueSite, case, run
from pt import mails
from pt.util import read, sh, wait_until, write

DORA = "dora@example.test"
NOBODY = "00" * 32  # the hash of nothing

# Domain: which certificate its MX shows, its TLSA records (%-formatted with hashes), how its zone is signed.
DOMAINS = {
    "good": ("self", ["3 1 1 %(self_key)s"], {}),
    "ta": ("chain", ["2 0 1 %(ca)s"], {}),
    "wrong": ("self", ["3 1 1 " + NOBODY], {}),
    "clear": (None, ["3 1 1 %(self_key)s"], {}),
    "broken": ("self", ["3 1 1 %(self_key)s"], {"spoil": ("TLSA",)}),
    "forged": ("self", ["3 1 1 %(self_key)s"], {"spoil": ("MX",)}),
    "moved": ("self", ["3 1 1 %(self_key)s"], {"spoil": ("A",)}),
    "plain": ("self", ["3 1 1 " + NOBODY], {"signed": False}),
    "odd": ("self", ["1 1 1 " + NOBODY], {}),
    "oddclear": (None, ["1 1 1 " + NOBODY], {}),
    "none": (None, [], {}),
    "must": ("self", [], {}),
    "alias": ("self", [], {}),
}

CONF = """
dns {{
  servers = {{"127.0.0.1@{port}"}}
  hosts = no
  trust_anchor = "{anchor}"
}}
processes {{
  smtpd = 1
  deliverd = 1
}}
"""
ROUTE = """
route "{name}" {{
  domains = {{"{name}.test"}}
  servers = {{"mx:{name}.test:{port}"}}
  mta_sts = no
  tls = {tls}
}}
"""


def certificates(w):
    """{kind: (certificate and chain, key)}, and the hashes of certificates and keys."""
    made = {None: None,
            "self": w.ca.issue("self", names=("self.test",), addresses=(), self_signed=True),
            "chain": w.ca.issue("chain", names=("ta.test",), addresses=())}
    der = sh(["openssl", "x509", "-in", w.ca.ca, "-outform", "DER"]).stdout
    pem = sh(["openssl", "x509", "-in", made["self"][0], "-pubkey", "-noout"]).stdout
    spki = sh(["openssl", "pkey", "-pubin", "-outform", "DER"], data=pem).stdout
    # A server whose authority is in TLSA sends that authority's certificate (RFC 7671, 5.2.1).
    path, key = made["chain"]
    made["chain"] = write(path + ".chain", read(path) + read(w.ca.ca)), key
    return made, {"ca": hashlib.sha256(der).hexdigest(), "self_key": hashlib.sha256(spki).hexdigest()}


def configure(w):
    made, hashes = certificates(w)
    zones = w.zones()
    w.mxs = {}
    for name, (kind, tlsas, how) in DOMAINS.items():
        port = (w.mxs.setdefault(name, w.sink(tls=made[kind]))).port
        records = ["@ MX 10 mx", "mx A 127.0.0.1"] + [f"_{port}._tcp.mx TLSA {t % hashes}" for t in tlsas]
        if name == "alias":
            # What is at its end has the records.
            records = ["@ MX 10 mx", "mx CNAME real", "real A 127.0.0.1",
                       f"_{port}._tcp.real TLSA 3 1 1 {hashes['self_key']}"]
        zones.add(name, records, **how)
    zones.start()
    return CONF.format(port=zones.port, anchor=zones.anchor) + \
        "".join(ROUTE.format(name=n, port=s.port, tls="dane" if n == "must" else "may") for n, s in w.mxs.items())


def world():
    return QueueSite(users=("dora",), routes=False, more=configure)


def send(w, name):
    to = f"pat@{name}.test"
    w.send(w.relay, DORA, to, mails.plain(DORA, to, body="hello\n"))
    return to


def arrives(w, name, tls, verified):
    start = len(w.gw.log_text())
    to = send(w, name)
    got = w.mxs[name].take()[0]
    assert got.recipients == [to] and got.tls == tls, vars(got)
    if tls:
        w.gw.wait_log(rf"deliverd\[\d+\]: [0-9A-F]+: tls=TLSv1\.[23] .* verified \({verified}\), relay=mx\.{name}\.test\[",
                      start=start)
    w.empty()


def waits(w, name, dsn, *words):
    """It stays in the queue, and not a word of it was said to the server."""
    start = len(w.gw.log_text())
    to = send(w, name)
    w.gw.wait_log(rf"deliverd\[\d+\]: [0-9A-F]+: to=<{to}>, relay=none, .*dsn={dsn}, status=deferred", start=start)

    def why():
        return next((r["delay_reason"] for q in w.queue() for r in q["recipients"]
                     if r["address"] == to and r["delay_reason"]), None)
    text = wait_until(why, 20, f"{to} in the queue")
    assert all(word.lower() in text.lower() for word in words), text
    said = b"\n".join(w.mxs[name].said("C")).upper()
    assert b"MAIL" not in said and not w.mxs[name].mails, said
    w.gw.gwctl("queue", "delete", "--yes", "--rcpt", to)
    w.empty()


@case
def a_certificate_that_the_zone_vouches_for_is_good(w):
    arrives(w, "good", True, "dane")


@case
def an_authority_in_the_zone_vouches_for_the_domain_name(w):
    arrives(w, "ta", True, "dane")


@case
def behind_an_alias_its_end_has_the_records(w):
    arrives(w, "alias", True, "dane")


@case
def another_certificate_gets_no_mail(w):
    waits(w, "wrong", r"4\.7\.5", "TLSA")


@case
def a_server_that_hides_its_tls_gets_no_mail(w):
    waits(w, "clear", r"4\.7\.4", "TLS")


@case
def what_dnssec_finds_forged_gets_no_mail(w):
    waits(w, "broken", r"4\.7\.5", "TLSA")
    waits(w, "forged", r"4\.4\.3", "MX")
    waits(w, "moved", r"4\.4\.3", "mx.moved.test")


@case
def without_signatures_records_count_nothing(w):
    arrives(w, "plain", True, "no")


@case
def records_of_no_use_want_encryption(w):
    arrives(w, "odd", True, "no")
    waits(w, "oddclear", r"4\.7\.4", "TLS")


@case
def without_records_mail_goes_as_the_route_says(w):
    arrives(w, "none", False, "no")
    waits(w, "must", r"4\.7\.4", "TLSA")


@case
def gwctl_tells_what_would_be_done(w):
    out = w.gw.gwctl("route", "test", "pat@good.test").stdout.decode()
    assert "good.test: route good, smtp, tls = may, dane" in out, out
    assert "mx.good.test" in out and "(DNSSEC)" in out and "DANE" in out, out
    r = w.gw.gwctl("route", "test", "broken.test", check=False)
    assert r.returncode == 68 and b"TLSA lookup error" in r.stdout, r
    r = w.gw.gwctl("route", "test", "forged.test", check=False)
    assert r.returncode == 68 and b"mail waits" in r.stdout, r
    assert "wrong" in w.gw.gwctl("route", "list", "-q").stdout.decode().split()


run(world)

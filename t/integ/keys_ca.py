#!/usr/bin/env python3
"""The authorities for inspected servers: made, listed, given out, replaced, brought back from a backup."""

# check: timeout=240

import json
import os
import re

from pt import Site, case, run
from pt.terminal import Terminal
from pt.util import read, sh, write

NAME = "Mail of Jürgens & Söhne"


def world():
    w = Site(users=(), keys=(), smtp_port=lambda s: s.sink().port, pop3_port=lambda s: s.fakepop().port)
    w.word = w.gw.own(write(w.path("word"), "a word\n", 0o600))
    return w


def listed(w):
    return {a["authority"]: a for a in json.loads(w.gw.keyctl("ca", "list", "--json").stdout)["authorities"]}


def keys(w):
    return {k["fpr"]: k for k in json.loads(w.gw.keyctl("list", "--json").stdout)["keys"] if k["use"] == "ca"}


def refused(w, *args, code):
    p = w.gw.keyctl(*args, check=False)
    assert p.returncode == code and not p.stdout, (args, p.returncode, p.stdout, p.stderr)
    return p.stderr.decode()


def exported(w, name, *args):
    """A fresh file with what ca export writes."""
    path = os.path.join(w.out, name)
    if os.path.exists(path):
        os.unlink(path)
    w.gw.keyctl("ca", "export", *args, "--output", path)
    return path


def openssl(*args, check=True):
    return sh(["openssl", *args], check=check).stdout.decode()


@case
def before_there_is_one_nothing_is_given_out(w):
    w.out = w.path("out")
    os.makedirs(w.out, exist_ok=True)
    w.gw.own(w.out)
    assert {k: a["state"] for k, a in listed(w).items()} == {"proxy": "none", "untrusted": "none"}
    for args in ((), ("--untrusted",), ("--secret", "--yes", "--passphrase-file", w.word)):
        assert "keyctl ca init" in refused(w, "ca", "export", *args, code=66), args
    status = json.loads(w.gw.gwctl("status", "--json").stdout)
    assert "proxy_authority" not in json.dumps(status), status


def with_inspection(w):
    """A configuration in which clients would see minted certificates."""
    text = read(w.gw.conf).decode() + ('connector "outside" {\n  service = pop3\n  transparent = redirect\n'
                                       f'  listen = {{"127.0.0.1:{w.ports.get()}"}}\n}}\n')
    return write(w.path("inspecting.conf"), text)


@case
def that_there_is_none_is_trouble_where_it_is_wanted(w):
    w.inspecting = with_inspection(w)
    p = w.gw.gwctl("-c", w.inspecting, "status", "-q", check=False)
    assert p.returncode == 1 and b"trouble: outside: there is no authority" in p.stdout and b"keyctl ca init" in p.stdout, p
    assert b"authority" not in w.gw.gwctl("status", "-q", check=False).stdout


@case
def what_is_no_good_is_said(w):
    for args, why in ((["--algo", "ed25519"], "one of nistp256"), (["--days", "0"], "1 to 7300"),
                      (["--days", "10x"], "1 to 7300"), (["--name", "x" * 53], "1 to 52 octets"),
                      (["--name", ""], "1 to 52 octets"), (["more"], "usage:")):
        assert why in refused(w, "ca", "init", *args, code=64), args
    assert "printable" in refused(w, "ca", "init", "--name", "a\nb", code=77)
    assert "no such verb" in refused(w, "ca", "make", code=64)
    assert "ca export" in refused(w, "ca", code=64)
    assert listed(w)["proxy"]["state"] == "none"


@case
def both_are_made(w):
    out = w.gw.keyctl("ca", "init", "--name", NAME, "--days", "1000").stdout.decode()
    assert f"UNTRUSTED - {NAME}" in out and "keyctl ca export" in out, out
    w.made = listed(w)
    trusted, other = w.made["proxy"], w.made["untrusted"]
    for a, name in ((trusted, NAME), (other, f"UNTRUSTED - {NAME}")):
        assert (a["state"], a["name"], a["algo"]) == ("valid", name, "nistp256"), a
        assert 1000 * 86400 <= a["expires"] - a["begins"] <= 1000 * 86400 + 600, a
    assert trusted["fpr"] != other["fpr"]
    have = keys(w)
    assert set(have) == {trusted["fpr"], other["fpr"]}, have
    k = have[trusted["fpr"]]
    assert (k["state"], k["algo"], k["label"], k["expires"]) == ("valid", "nistp256", NAME, trusted["expires"]), k
    table = w.gw.keyctl("ca", "list").stdout.decode()
    assert re.search(rf"^proxy +valid +20\d\d-\d\d-\d\d +nistp256 +{trusted['fpr']} +{NAME}$", table, re.M), table
    w.gw.wait_log(r"cryptod\[\d+\]: .*proxy authority made: key=" + trusted["fpr"])
    assert re.search(r"until 20\d\d-", json.dumps(json.loads(w.gw.gwctl("status", "--json").stdout)))


@case
def openssl_sees_an_authority_of_leaves(w):
    pem = exported(w, "ca.pem")
    text = openssl("x509", "-in", pem, "-noout", "-text", "-nameopt", "utf8,sep_comma_plus")
    for want in (r"Version: 3", rf"Subject: O=Postern,CN={NAME}\n", rf"Issuer: O=Postern,CN={NAME}\n",
                 r"Basic Constraints: critical\n +CA:TRUE, pathlen:0\n",
                 r"Key Usage: critical\n +Certificate Sign, CRL Sign\n", r"Subject Key Identifier: ?\n",
                 r"ecdsa-with-SHA256"):
        assert re.search(want, text), (want, text)
    assert ": OK" in openssl("verify", "-x509_strict", "-CAfile", pem, pem)
    sha = openssl("x509", "-in", pem, "-noout", "-fingerprint", "-sha256").strip().split("=")[1].replace(":", "")
    assert sha == w.made["proxy"]["sha256"]
    der = exported(w, "ca.der", "--der")
    assert openssl("x509", "-inform", "DER", "-in", der) == openssl("x509", "-in", pem)
    # On standard output the same.
    assert w.gw.keyctl("ca", "export", "--pem").stdout == sh(["cat", pem]).stdout
    # What is there is not written over.
    assert "File exists" in refused(w, "ca", "export", "--output", pem, code=73)


@case
def the_untrusted_one_comes_with_a_warning(w):
    p = w.gw.keyctl("ca", "export", "--untrusted")
    assert b"nobody must install" in p.stderr
    other = write(w.path("other.pem"), p.stdout)
    assert "CN=UNTRUSTED - " in openssl("x509", "-in", other, "-noout", "-subject", "-nameopt", "utf8,sep_comma_plus")
    assert ": OK" not in openssl("verify", "-CAfile", os.path.join(w.out, "ca.pem"), other, check=False)
    refused(w, "ca", "export", "--untrusted", "--hints", code=64)


@case
def hints_say_what_to_do_with_it(w):
    path = os.path.join(w.out, "hints.crt")
    for args, name in ((["--output", path], path), ([], "postern-ca.crt")):
        text = w.gw.keyctl("ca", "export", "--hints", *args).stdout.decode()
        for want in ("update-ca-certificates", "update-ca-trust", "add-trusted-cert", "iOS", "certutil -addstore",
                     "Group Policy", "Thunderbird", "Android", name, NAME):
            assert want in text, (want, text)
        assert w.made["proxy"]["sha256"] in text.replace(":", ""), text
        assert "BEGIN CERTIFICATE" not in text
    assert ": OK" in openssl("verify", "-CAfile", path, os.path.join(w.out, "ca.pem"))


@case
def one_is_replaced_only_when_that_is_meant(w):
    assert "--replace" in refused(w, "ca", "init", code=73)
    argv = w.gw.command("keyctl", "ca", "init", "--name", "Second")
    with Terminal(argv) as t:
        t.expect(rf"already: {NAME}, until 20[^?]*Type yes to go on: ")
        t.type("no\n")
        assert t.finish() == 77 and "nothing was changed" in t.text, t.text
    assert listed(w) == w.made
    with Terminal(argv) as t:
        t.expect("Type yes to go on: ")
        t.type("yes\n")
        assert t.finish() == 0, t.text
    now, have = listed(w), keys(w)
    assert now["proxy"]["name"] == "Second" and now["untrusted"]["name"] == "UNTRUSTED - Second", now
    for which in ("proxy", "untrusted"):
        assert now[which]["fpr"] != w.made[which]["fpr"]
        assert have[w.made[which]["fpr"]]["state"] == "disabled" and have[now[which]["fpr"]]["state"] == "valid", have
    for algo in ("rsa3072", "nistp384"):
        w.gw.keyctl("ca", "init", "--replace", "--algo", algo)
        assert [a["algo"] for a in listed(w).values()] == [algo, algo]
        pem = exported(w, f"{algo}.pem")
        assert ": OK" in openssl("verify", "-x509_strict", "-CAfile", pem, pem)
        # By the host, when nobody names it.
        assert listed(w)["proxy"]["name"].startswith("Postern authority"), listed(w)


def signed(w, ca, key):
    """A certificate under an authority, whose key is in a backup."""
    request, leaf, ext = w.path("leaf.csr"), w.path("leaf.crt"), w.path("leaf.ext")
    write(ext, "basicConstraints = critical, CA:FALSE\nauthorityKeyIdentifier = keyid\n"
               "subjectAltName = DNS:pop.example.org\n")
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=leaf",
            "-keyout", w.path("leaf.key"), "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", key, "-passin", "pass:a word", "-extfile", ext,
            "-days", "5", "-out", leaf)
    return leaf


@case
def a_backup_brings_the_same_authority_back(w):
    for algo in ("nistp256", "nistp384", "rsa3072"):
        w.gw.keyctl("ca", "init", "--replace", "--algo", algo, "--name", NAME, "--days", "700")
        first, old = listed(w), exported(w, "old.pem")
        backup = exported(w, "backup.pem", "--secret", "--yes", "--passphrase-file", w.word)
        assert os.stat(backup).st_mode & 0o777 == 0o600
        text = sh(["cat", backup]).stdout.decode()
        assert "BEGIN ENCRYPTED PRIVATE KEY" in text and "BEGIN CERTIFICATE" in text
        w.gw.keyctl("ca", "init", "--replace", "--name", "Lost")
        assert "--replace" in refused(w, "ca", "import", "--passphrase-file", w.word, backup, code=73)
        w.gw.keyctl("ca", "import", "--replace", "--passphrase-file", w.word, backup)
        again = listed(w)
        assert again["proxy"]["fpr"] == first["proxy"]["fpr"] and again["proxy"]["name"] == NAME, again
        assert again["proxy"]["expires"] <= first["proxy"]["expires"] + 1, (first, again)
        assert again["untrusted"]["name"] == "UNTRUSTED - Lost", again
        # Who trusts the old certificate trusts what is signed now.
        leaf = signed(w, exported(w, "again.pem"), backup)
        assert ": OK" in openssl("verify", "-x509_strict", "-CAfile", old, leaf)
        assert keys(w)[first["proxy"]["fpr"]]["state"] == "valid"
    w.backup = backup


@case
def what_is_no_backup_is_refused(w):
    before = listed(w)
    key, cert = w.path("own.key"), w.path("own.crt")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=Own CA",
            "-days", "30", "-keyout", key, "-out", cert)
    bare = w.gw.own(write(w.path("bare.pem"), sh(["cat", key]).stdout, 0o600))
    foreign = w.gw.own(write(w.path("foreign.pem"), sh(["cat", key, cert]).stdout, 0o600))
    wrong = w.gw.own(write(w.path("wrong"), "another\n", 0o600))
    parts = sh(["cat", w.backup]).stdout.decode().partition("-----BEGIN CERTIFICATE")
    mixed = w.gw.own(write(w.path("mixed.pem"), parts[0].encode() + sh(["cat", cert]).stdout, 0o600))
    for path, word, code, why in ((foreign, w.word, 65, "no proxy authority's"),
                                  (bare, w.word, 65, "no certificate in PEM"),
                                  (mixed, w.word, 65, "not that of the certificate"),
                                  (w.backup, wrong, 77, "wrong passphrase"),
                                  (w.path("nowhere"), w.word, 66, "No such file")):
        assert why in refused(w, "ca", "import", "--replace", "--passphrase-file", word, path, code=code), path
    assert listed(w) == before
    # Nor does the key come out in any other way, or without being meant to.
    fpr = before["proxy"]["fpr"]
    assert "ca export --secret" in refused(w, "export", "--tls", "--yes", "--passphrase-file", w.word, fpr, code=65)
    refused(w, "export", "--secret", "--yes", "--passphrase-file", w.word, fpr, code=66)
    assert "--yes" in refused(w, "ca", "export", "--secret", code=64)
    # An authority's key is none of TLS, nor the other way round.
    assert "for another use" in refused(w, "import", "--tls", "--passphrase-file", w.word, w.backup, code=65)


@case
def locked_it_is_neither_shown_nor_made(w):
    before = listed(w)
    w.gw.keyctl("lock")
    for args in (("ca", "list"), ("ca", "export"), ("ca", "init", "--replace"),
                 ("ca", "import", "--replace", "--passphrase-file", w.word, w.backup)):
        assert "locked" in refused(w, *args, code=75), args
    w.gw.keyctl("unlock", "--key-file", w.key_file)
    assert listed(w) == before
    w.gw.stop()
    w.gw.start()
    assert listed(w) == before


@case
def its_end_is_seen_in_the_status(w):
    w.gw.keyctl("ca", "init", "--replace", "--days", "5")
    text = w.gw.gwctl("status", check=False).stdout.decode()
    assert re.search(r"the proxy authority ends on 20\d\d-", text), text
    assert b"no authority" not in w.gw.gwctl("-c", w.inspecting, "status", check=False).stdout
    w.gw.keyctl("ca", "init", "--replace")
    assert "authority ends" not in w.gw.gwctl("status", check=False).stdout.decode()


if __name__ == "__main__":
    run(world)

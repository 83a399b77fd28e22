#!/usr/bin/env python3
"""Keys of TLS: into the key store, listed, and out of it as a backup."""

# check: timeout=240

import json
import os

from pt import Site, case, run
from pt.terminal import Terminal
from pt.util import sh, write

KINDS = {
    "rsa2048": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "nistp256": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "nistp384": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "nistp521": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "ed25519": ["genpkey", "-algorithm", "ED25519"],
}


def world():
    w = Site(users=(), keys=(), smtp_port=lambda s: s.sink().port, pop3_port=lambda s: s.fakepop().port)
    w.handles = {}
    return w


def secret(w, name, text):
    return w.gw.own(write(w.path(name), text, 0o600))


def openssl(w, name, *args):
    path = w.path(name)
    sh(["openssl", args[0], "-out", path, *args[1:]])
    return w.gw.own(path)


def imported(w, *args):
    """The handle that an import tells."""
    line = w.gw.keyctl("import", "--tls", *args).stdout.decode().splitlines()[0].split("\t")
    assert line[1] == "tls" and len(line[0]) == 40, line
    return line[0]


def refused(w, *args):
    p = w.gw.keyctl("import", "--tls", *args, check=False)
    assert p.returncode != 0 and not p.stdout, (p.returncode, p.stdout)
    return p.returncode, p.stderr.decode()


@case
def every_kind_is_taken_and_comes_back_the_same(w):
    word = secret(w, "word", "a word\n")
    for kind, args in KINDS.items():
        path = openssl(w, f"{kind}.pem", *args)
        out = w.gw.keyctl("import", "--tls", path).stdout.decode()
        handle = out.split("\t")[0]
        assert "certificates = " in out and f"shred -u {path}" in out, out
        w.handles[kind] = handle
        backup = w.path(f"{kind}.backup")
        backup = w.gw.own(write(backup, w.gw.keyctl("export", "--tls", "--yes", "--passphrase-file", word, handle).stdout))
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in sh(["cat", backup]).stdout
        same = [sh(["openssl", "pkey", "-in", p, *more]).stdout
                for p, more in ((path, []), (backup, ["-passin", "pass:a word"]))]
        assert same[0] == same[1], kind
        assert sh(["openssl", "pkey", "-in", backup, "-passin", "pass:another"], check=False).returncode != 0
        # And in again.
        assert "(was there)" in w.gw.keyctl("import", "--tls", "--passphrase-file", word, backup).stdout.decode()


@case
def other_spellings_of_a_key_have_the_same_handle(w):
    for kind, args in (("rsa2048", ["rsa", "-traditional"]), ("nistp256", ["ec"])):
        path = openssl(w, f"{kind}.old", args[0], "-in", w.path(f"{kind}.pem"), *args[1:])
        with open(path, encoding="ascii") as f:
            assert "BEGIN RSA" in f.read(20) or kind != "rsa2048"
        assert imported(w, path) == w.handles[kind]
    both = w.path("both.pem")
    with open(w.path("nistp384.pem"), encoding="ascii") as f:
        key = f.read()
    cert = self_signed(w, "nistp384")
    with open(cert, encoding="ascii") as f:
        w.gw.own(write(both, f.read() + key, 0o600))
    assert imported(w, both) == w.handles["nistp384"]


def self_signed(w, kind, subject="/CN=mail.example.test", days="30"):
    return openssl(w, f"{kind}-{days}.crt", "req", "-x509", "-new", "-key", w.path(f"{kind}.pem"), "-subj", subject,
                   "-days", days)


@case
def a_passphrase_is_asked_for(w):
    path = openssl(w, "locked.pem", "pkcs8", "-topk8", "-in", w.path("ed25519.pem"), "-passout", "pass:right")
    argv = w.gw.command("keyctl", "import", "--tls", path)
    with Terminal(argv) as t:
        t.answer(r"Passphrase of [^:]*locked\.pem: ", "wrong")
        t.answer(r"wrong passphrase[^:]*\n[^:]*Passphrase of [^:]*: ", "right")
        assert t.finish() == 0, t.text
    assert w.handles["ed25519"] in t.text and "right" not in t.text, t.text
    code, err = refused(w, path)
    assert "no terminal to ask on; use --passphrase-file" in err, (code, err)
    code, err = refused(w, "--passphrase-file", secret(w, "bad-word", "wrong\n"), path)
    assert code == 77 and "wrong passphrase" in err, (code, err)


@case
def the_certificate_must_be_the_keys(w):
    cert, other = self_signed(w, "nistp256"), self_signed(w, "ed25519")
    out = w.gw.keyctl("import", "--tls", "--certificate", cert, w.path("nistp256.pem")).stdout.decode()
    assert w.handles["nistp256"] in out and "CN=mail.example.test, which ends on 20" in out, out
    assert f'certificates = {{"{cert}"}}' in out, out
    code, err = refused(w, "--certificate", other, w.path("nistp256.pem"))
    assert code == 65 and other in err and "the key is not that of the certificate" in err, (code, err)
    code, err = refused(w, "--certificate", w.path("nistp256.pem"), w.path("nistp256.pem"))
    assert code == 65 and "no certificate in PEM" in err, (code, err)
    none = secret(w, "no-certificate.pem", "nothing\n")
    code, err = refused(w, "--certificate", none, w.path("nistp256.pem"))
    assert code == 65 and f"{none}: no certificate in PEM" in err, (code, err)
    # A passphrase that was right is not called wrong for that.
    locked = openssl(w, "locked-too.pem", "pkcs8", "-topk8", "-in", w.path("nistp256.pem"), "-passout", "pass:right")
    code, err = refused(w, "--certificate", other, "--passphrase-file", secret(w, "right-word", "right\n"), locked)
    assert code == 65 and f"{other}: the key is not that of the certificate" in err and locked not in err, (code, err)
    with Terminal(w.gw.command("keyctl", "import", "--tls", "--certificate", other, locked)) as t:
        t.answer(r"Passphrase of [^:]*locked-too\.pem: ", "right")
        assert t.finish() == 65 and t.text.count("Passphrase of") == 1, t.text


@case
def what_cannot_be_used_is_refused_with_the_reason(w):
    for path, why in (
            (openssl(w, "small.pem", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"), "1024 bit"),
            (openssl(w, "odd.pem", "ecparam", "-genkey", "-name", "secp256k1", "-noout"), "secp256k1"),
            (openssl(w, "pss.pem", "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"), "RSA-PSS"),
            (self_signed(w, "ed25519"), "no private key in PEM"),
            (secret(w, "noise.pem", os.urandom(3000)), "no private key in PEM"),
            (secret(w, "cut.pem", "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----\n"), "damaged"),
            (secret(w, "huge.pem", b"x" * 2000000), "larger than 1 MiB"),
            (w.path("nowhere.pem"), "No such file"),
    ):
        code, err = refused(w, path)
        assert code in (65, 66) and path in err and why in err, (path, code, err)


@case
def they_are_listed_and_exported_as_such_only(w):
    keys = {k["fpr"]: k for k in json.loads(w.gw.keyctl("list", "--json").stdout)["keys"]}
    for kind, handle in w.handles.items():
        k = keys[handle]
        assert (k["use"], k["algo"], k["state"], k["label"]) == ("tls", kind, "valid", f"{kind}.pem"), k
        assert k["certificate"] == "" and k["consumer"] == "", k
    word = secret(w, "word", "a word\n")
    p = w.gw.keyctl("export", "--secret", "--yes", "--passphrase-file", word, w.handles["ed25519"], check=False)
    assert p.returncode != 0 and b"PRIVATE" not in p.stdout
    p = w.gw.keyctl("export", "--tls", w.handles["ed25519"], check=False)
    assert p.returncode == 64 and b"--yes" in p.stderr and not p.stdout


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""What an administrator does, from an empty machine on: set-up, keys, locking, renewal."""

import json
import os
import re

from pt import World, case, run
from pt import clients, mails
from pt.util import read, write
from pt.world import DOMAIN, PARTNER

ALICE, BOB, CAROL = (f"{u}@{DOMAIN}" for u in ("alice", "bob", "carol"))
PAT = f"pat@{PARTNER}"
PASSPHRASE = "correct horse battery staple"


def world():
    w = World()
    w.partner = w.sink()
    w.imap = w.dovecot()
    w.mta = w.postfix(w.imap, routes={PARTNER: w.partner.port})
    w.submission, w.retrieval = w.ports.get(), w.ports.get()
    w.gw = w.gateway()
    w.pat = w.gpg("pat")
    w.pat.make(f"Pat <{PAT}>")
    w.secret = write(w.path("passphrase"), PASSPHRASE + "\n", 0o600)
    if w.gw.user is not None and os.getuid() == 0:
        os.chown(w.secret, w.gw.user, w.gw.user)
        os.chown(w.gw.folder, w.gw.user, w.gw.user)
    set_up(w)
    return w


def set_up(w):
    """gwctl setup writes the configuration; TLS to both servers, verified."""
    argv = ("setup", "--placement", "internal", "--domain", DOMAIN, "--hostname", "gw.example.test",
            "--smtp-listen", f"127.0.0.1:{w.submission}", "--pop-listen", f"127.0.0.1:{w.retrieval}",
            "--peer-smtp", f"localhost:{w.mta.port},starttls",
            "--peer-pop3", f"localhost:{w.imap.pop3s},implicit",
            "--ca-file", w.ca.ca, "--log-file", w.gw.log, "--state-dir", w.gw.state, "--spool-dir", w.gw.spool,
            "--run-dir", w.gw.run_dir, "--libexec-dir", w.gw.bin)
    p = w.gw.gwctl(*argv, check=False)
    assert p.returncode != 0 and b"--force" in p.stderr, "an existing file was replaced"
    w.gw.gwctl(*argv, "--force")
    w.gw.gwctl("config", "check")


def send(w, user, to, data):
    return clients.send(w.submission, f"{user}@{DOMAIN}", to, data, login=w.login(user))


def fetch(w, user):
    return clients.fetch(w.retrieval, w.login(user))


def sealed_to(w, user, body, subject="Sealed"):
    """Put a message that pat sealed for a user into the mailbox."""
    w.imap.empty(user)
    address = f"{user}@{DOMAIN}"
    letter = mails.plain(PAT, address, subject, body)
    w.imap.deliver(user, mails.pgp_encrypted(w.pat, letter, [address], sign=PAT))


@case
def from_setup_to_the_first_mail(w):
    """Every step as in README."""
    w.gw.start()
    status = w.gw.gwctl("status").stdout.decode()
    assert "not initialised" in status or "no key store" in status, status
    w.gw.keyctl("init", "--passphrase-file", w.secret, "--cost", "1,1024")
    w.gw.gwctl("domain", "add", DOMAIN)
    w.gw.gwctl("consumer", "add", "alice", "--internal", "--address", ALICE, "--name", "Alice")
    w.gw.keyctl("generate", "--address", ALICE, "--name", "Alice")
    w.pat.add(w.gw.keyctl("export", ALICE).stdout)
    w.gw.gwctl("consumer", "add", "pat", "--external", "--address", PAT)
    w.gw.gwctl("key", "import", write(w.path("pat.asc"), w.pat.public(PAT)))
    send(w, "alice", PAT, mails.plain(ALICE, PAT, body="first\n"))
    part, verdict = mails.open_pgp(w.pat, w.partner.take()[0].data)
    assert b"first" in part and "GOODSIG" in verdict, verdict
    sealed_to(w, "alice", "back\n")
    got = fetch(w, "alice")[0]
    assert b"back" in got and "signature=good" in mails.header(got, "X-Postern-Verdict")[0]


@case
def a_passphrase_is_asked_for_after_each_start(w):
    w.gw.stop()
    w.gw.start()
    assert "locked" in w.gw.keyctl("status").stdout.decode()
    sealed_to(w, "alice", "patience\n")
    with clients.Raw(w.retrieval) as c:
        c.pop()
        c.pop("USER alice")
        assert c.pop(f"PASS {w.users['alice']}")[0].startswith("+OK")
        assert c.pop("RETR 1")[0].startswith("-ERR [SYS/TEMP]")
    try:
        send(w, "alice", PAT, mails.plain(ALICE, PAT))
        raise AssertionError("sent while the key store was locked")
    except Exception as e:
        assert 400 <= getattr(e, "smtp_code", 0) <= 499, e
    wrong = write(w.path("wrong"), "guess\n", 0o600)
    if w.gw.user is not None and os.getuid() == 0:
        os.chown(wrong, w.gw.user, w.gw.user)
    p = w.gw.keyctl("unlock", "--passphrase-file", wrong, check=False)
    assert p.returncode == 77, (p.returncode, p.stderr)
    assert "locked" in w.gw.keyctl("status").stdout.decode()
    w.gw.keyctl("unlock", "--passphrase-file", w.secret)
    assert b"patience" in fetch(w, "alice")[0]
    # It stays open over the death of the process that holds the keys.
    old = w.gw.kill("cryptod")
    w.gw.wait_daemon("cryptod", other_than=old)
    assert b"patience" in fetch(w, "alice")[0]
    assert PASSPHRASE not in w.gw.log_text() and PASSPHRASE not in read(w.gw.out).decode()


@case
def nothing_secret_lies_on_the_disk(w):
    """Neither the passphrase nor what was in a message is left in any file of the gateway."""
    sealed_to(w, "alice", "".join(f"the-words-inside {os.urandom(20).hex()}\n" for _ in range(20000)))
    assert b"the-words-inside" in fetch(w, "alice")[0]
    for base in (w.gw.state, w.gw.spool, w.gw.run_dir, os.path.dirname(w.gw.log)):
        for folder, _, names in os.walk(base):
            for name in names:
                data = read(os.path.join(folder, name)) if os.path.isfile(os.path.join(folder, name)) else b""
                assert PASSPHRASE.encode() not in data and b"the-words-inside" not in data, name
    for path in (os.path.join(w.gw.state, n) for n in os.listdir(w.gw.state)):
        assert os.stat(path).st_mode & 0o077 == 0, path


@case
def keys_made_by_gnupg_are_taken_over(w):
    for user, algo, passphrase in (("bob", "rsa3072", "s3cret"), ("carol", "ed25519", "")):
        address = f"{user}@{DOMAIN}"
        w.gw.gwctl("consumer", "add", user, "--internal", "--address", address)
        home = w.gpg(user)
        home.make(f"{user} <{address}>", algo=algo, passphrase=passphrase)
        path = write(w.path(f"{user}.sec"), home.secret(address, passphrase=passphrase), 0o600)
        secret = write(w.path(f"{user}.pass"), passphrase + "\n", 0o600)
        if w.gw.user is not None and os.getuid() == 0:
            for p in (path, secret):
                os.chown(p, w.gw.user, w.gw.user)
        w.gw.keyctl("import", "--passphrase-file", secret, path)
        w.pat.add(home.public(address))
        sealed_to(w, user, f"for {user}\n")
        assert f"for {user}".encode() in fetch(w, user)[0]
        send(w, user, PAT, mails.plain(address, PAT))
        _, verdict = mails.open_pgp(w.pat, w.partner.take()[0].data)
        assert address in verdict.get("GOODSIG", ""), (user, verdict)
        # A second time nothing is lost.
        w.gw.keyctl("import", "--passphrase-file", secret, path, check=False)
        assert f"for {user}".encode() in fetch(w, user)[0]


@case
def colleagues_read_each_others_mail(w):
    """Inside the organisation too: alice to bob is sealed on the server."""
    w.imap.empty("bob")
    send(w, "alice", BOB, mails.plain(ALICE, BOB, body="between us\n"))
    stored = w.imap.wait_stored("bob", 1)[0]
    assert b"between us" not in stored and b"BEGIN PGP MESSAGE" in stored
    got = fetch(w, "bob")[0]
    assert b"between us" in got and "signature=good" in mails.header(got, "X-Postern-Verdict")[0]


@case
def a_revoked_key_signs_no_more_but_opens_old_mail(w):
    w.imap.empty("carol")
    sealed_to(w, "carol", "from before\n")
    keys = json.loads(w.gw.keyctl("list", "--json").stdout)["keys"]
    fpr = next(k["certificate"] for k in keys if k["consumer"] == "carol")
    w.gw.keyctl("revoke", "--reason", "superseded", "--yes", fpr)
    assert b"from before" in fetch(w, "carol")[0]
    w.pat.add(w.gw.keyctl("export", fpr).stdout)
    try:
        send(w, "carol", PAT, mails.plain(CAROL, PAT, "after"))
    except Exception as e:
        assert getattr(e, "smtp_code", 0) >= 400
    else:
        got = w.partner.take()[0].data
        if mails.is_pgp_encrypted(got):
            assert "GOODSIG" not in mails.open_pgp(w.pat, got)[1]
    w.gw.keyctl("generate", "--address", CAROL, "--name", "Carol")
    w.pat.add(w.gw.keyctl("export", CAROL).stdout)
    send(w, "carol", PAT, mails.plain(CAROL, PAT, "renewed"))
    assert CAROL in mails.open_pgp(w.pat, w.partner.take()[0].data)[1].get("GOODSIG", "")
    assert b"from before" in fetch(w, "carol")[0]


@case
def listings_are_json_too(w):
    status = json.loads(w.gw.gwctl("status", "--json").stdout)
    assert {d["daemon"] for d in status["daemons"]} >= {"smtpd", "cryptod", "logd"}
    for words in (("domain", "list"), ("consumer", "list"), ("key", "list"), ("consumer", "show", "alice"),
                  ("key", "show", PAT)):
        text = w.gw.gwctl(*words, "--json").stdout.decode()
        assert json.loads(text), words
        assert DOMAIN in text or PARTNER in text, words


@case
def what_is_taken_away_is_used_no_more(w):
    """The partner's certificate is removed: required encryption is refused again."""
    listing = w.pat.run("--with-colons", "--list-keys", PAT).stdout.decode()
    fpr = re.search(r"^fpr:+([0-9A-F]{40}):", listing, re.M)[1]
    w.gw.gwctl("key", "delete", "--yes", fpr)
    try:
        send(w, "alice", PAT, mails.plain(ALICE, PAT, "[encrypt] x"))
        raise AssertionError("sent without a key")
    except Exception as e:
        assert 500 <= getattr(e, "smtp_code", 0) <= 599, e
    w.gw.gwctl("key", "import", w.path("pat.asc"))
    send(w, "alice", PAT, mails.plain(ALICE, PAT, "[encrypt] x"))
    assert mails.is_pgp_encrypted(w.partner.take()[0].data)


if __name__ == "__main__":
    run(world)

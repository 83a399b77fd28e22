#!/usr/bin/env python3
"""The ignition secret as a credential that systemd hands to the service."""

import os
import re
import shutil

from pt import Site, case, run
from pt import mails
from pt.util import read, write

ALICE, QUINN = "alice@example.test", "quinn@partner.test"
NAME = "postern-ignition"


def world():
    w = Site(smtp_port=peer, pop3_port=lambda w: w.fakepop().port, users=("alice",), keys=("alice",))
    w.gw.configure(w.pieces.replace(f'key_file = "{w.key_file}"', f"credential = {NAME}"))
    w.folder_of_credentials = w.path("gw", "credentials")
    os.mkdir(w.folder_of_credentials, 0o700)
    w.gw.own(w.folder_of_credentials)
    return w


def peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def restart(w, secret, folder=True):
    """Start anew with this secret as the credential (None: there is none); the log since then."""
    if w.gw.alive():
        w.gw.stop()
    path = os.path.join(w.folder_of_credentials, NAME)
    if os.path.exists(path):
        os.unlink(path)
    if secret is not None:
        write(path, secret, 0o400)
        w.gw.own(path)
    start = len(w.gw.log_text())
    kept = os.environ.pop("CREDENTIALS_DIRECTORY", None)
    try:
        if folder:
            os.environ["CREDENTIALS_DIRECTORY"] = w.folder_of_credentials
        w.gw.start()
    finally:
        os.environ.pop("CREDENTIALS_DIRECTORY", None)
        if kept is not None:
            os.environ["CREDENTIALS_DIRECTORY"] = kept
    return start


def signs(w):
    w.send("alice", QUINN, mails.plain(ALICE, QUINN))
    return mails.parse(w.peer.take()[0].data).get_content_type() == "multipart/signed"


def locked(w):
    return re.search(r"\blocked\b", w.gw.keyctl("status").stdout.decode()) is not None


@case
def a_credential_unlocks_the_keys_at_start(w):
    restart(w, read(w.key_file))
    assert not locked(w) and signs(w)
    # The next cryptod has the key from master, as ever.
    w.gw.wait_daemon("cryptod", other_than=w.gw.kill("cryptod"))
    assert signs(w)


@case
def without_credentials_it_says_what_to_set(w):
    for secret, folder, says in ((None, False, "systemd gave no credentials"),
                                 (None, True, re.escape(os.path.join(w.folder_of_credentials, NAME)))):
        start = restart(w, secret, folder)
        w.gw.wait_log(rf"cryptod.*key store stays locked: {says}.*LoadCredential={NAME}:.*"
                      rf"LoadCredentialEncrypted={NAME}:.*systemd-creds\(1\)", start=start)
        assert locked(w)
        # By hand as ever.
        w.gw.keyctl("unlock", "--key-file", w.key_file)
        assert signs(w)


@case
def a_wrong_credential_leaves_it_locked(w):
    start = restart(w, os.urandom(32))
    w.gw.wait_log(r"cryptod.*key store stays locked: wrong passphrase or key file", start=start)
    assert locked(w)
    w.gw.keyctl("unlock", "--key-file", w.key_file)
    assert signs(w)


@case
def a_passphrase_may_end_with_a_line_end(w):
    w.gw.stop()
    shutil.rmtree(os.path.join(w.gw.state, "keys"))
    restart(w, None, False)
    phrase = write(w.path("gw", "phrase"), "correct horse battery\n", 0o400)
    w.gw.own(phrase)
    w.gw.keyctl("init", "--passphrase-file", phrase, "--cost", "1,8")
    for text in ("correct horse battery", "correct horse battery\n"):
        restart(w, text)
        assert not locked(w), repr(text)


run(world)

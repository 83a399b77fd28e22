#!/usr/bin/env python3
"""The gateway password: a mail server that was broken into cannot log in as its users."""

import json
import poplib
import time

from pt import Site, case, run
from pt import clients, mails

PAT, ALICE = "pat@partner.test", "alice@example.test"


def world():
    w = Site(retrieval_more="second_factor = password", submission_more="second_factor = password")
    w.pat = w.outsider("pat")
    w.imap.deliver("alice", mails.pgp_encrypted(w.pat, mails.plain(PAT, ALICE, "x", "4711 it is.\n"), [ALICE]))
    w.secret = {u: made(w, u) for u in ("alice", "mallory")}
    return w


def made(w, user, *args):
    return json.loads(w.gw.gwctl("consumer", "password", "--json", *args, user).stdout)["password"]


def fetched(w, user, password):
    """The messages, or the error that the client is told."""
    try:
        return b"\n".join(clients.fetch(w.retrieval, (user, password)))
    except poplib.error_proto as e:
        return str(e)


@case
def opens_with_both_passwords(w):
    got = fetched(w, "alice", f"{w.secret['alice']}:{w.users['alice']}")
    assert b"4711 it is." in got


@case
def refuses_with_one_of_them_or_another_consumers(w):
    mine, server = w.secret["alice"], w.users["alice"]
    errors = set()
    for password in (server, f":{server}", mine, f"{mine}:", f"{w.secret['mallory']}:{server}",
                     f"{mine.upper()}:{server}", f"{mine}x:{server}", f"{mine}:{server}x"):
        began = time.monotonic()
        got = fetched(w, "alice", password)
        assert isinstance(got, str), (password, got)
        errors.add(got)
        # Nor by the time, while the mail server needs no more than this.
        assert time.monotonic() - began > 2.9, password
    # Nobody learns which of the two was wrong.
    assert len(errors) == 1, errors


@case
def a_consumer_without_one_cannot_log_in(w):
    assert isinstance(fetched(w, "chief", w.users["chief"]), str)
    assert isinstance(fetched(w, "chief", ":" + w.users["chief"]), str)
    assert w.gw.wait_log("no gateway password")


@case
def it_is_made_anew_removed_and_kept_by_changes(w):
    first, server = made(w, "mallory"), w.users["mallory"]
    assert not isinstance(fetched(w, "mallory", f"{first}:{server}"), str)
    w.gw.gwctl("consumer", "set", "--name", "Mallory M.", "mallory")
    assert not isinstance(fetched(w, "mallory", f"{first}:{server}"), str)
    shown = w.gw.gwctl("consumer", "show", "--json", "mallory").stdout
    assert json.loads(shown)["gateway_password"] == 1 and b"factor" not in shown
    second = made(w, "mallory")
    assert second != first and isinstance(fetched(w, "mallory", f"{first}:{server}"), str)
    assert made(w, "mallory", "--remove") == ""
    assert isinstance(fetched(w, "mallory", f"{second}:{server}"), str)
    w.secret["mallory"] = made(w, "mallory")


@case
def policyd_may_be_restarted(w):
    """Nothing is handed out as ciphertext; the next login works again."""
    password = f"{w.secret['alice']}:{w.users['alice']}"
    pids = w.gw.daemons("policyd")
    with clients.Raw(w.retrieval, timeout=60) as c:
        c.pop()
        c.pop("USER alice")
        assert c.pop(f"PASS {password}")[0].startswith("+OK")
        w.gw.kill("policyd")
        w.gw.wait_daemon("policyd", other_than=pids, seconds=10.0)
        first, *rest = c.pop("RETR 1", multi=True)
        assert not first.startswith("+OK") or b"4711" in rest[0], (first, rest)
    assert b"4711 it is." in fetched(w, "alice", password)


@case
def passwords_are_in_no_log(w):
    text = w.gw.settled_log()
    for secret in (*w.secret.values(), *w.users.values()):
        assert secret not in text


if __name__ == "__main__":
    run(world)

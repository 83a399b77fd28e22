#!/usr/bin/env python3
"""Configurations and databases that are not right, reloads, and a gateway that is not root's."""

import os
import re
import signal
import socket

from pt import Site, case, run
from pt import clients, mails
from pt.gateway import ordinary_user
from pt.util import listening, read, wait_until, write

ALICE, QUINN = "alice@example.test", "quinn@partner.test"
EX_CONFIG = 78


def world():
    w = Site(smtp_port=peer, pop3_port=lambda w: w.fakepop().port, users=("alice",), keys=("alice",))
    return w


def peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def works(w):
    """One message passes; it is signed."""
    w.send("alice", QUINN, mails.plain(ALICE, QUINN))
    got = w.peer.take()[0]
    return mails.parse(got.data).get_content_type() == "multipart/signed"


def stored_files(w):
    """Database files below the state folder: {path: octets}."""
    found = {}
    for folder, _, names in os.walk(w.gw.state):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".mdb") and "lock" not in name:
                found[path] = read(path)
    return found


def refuses_to_start(w):
    """master's output when it ends instead of becoming ready."""
    try:
        w.gw.start(seconds=15)
    except RuntimeError as e:
        return str(e)
    except TimeoutError as e:
        raise AssertionError("neither ready nor ended") from e
    w.gw.stop()
    raise AssertionError("it started")


@case
def mistakes_are_told_with_file_and_line(w):
    good = w.pieces
    for wrong, says in (("nonsense = 1\n", "nonsense"),
                        ("limits {\n  recipients = many\n}\n", "many"),
                        ("limits {\n  recipients = -5\n}\n", "-5"),
                        ('connector "x" {\n  service = smtp\n  listen = {"127.0.0.1:2"}\n  peer = "nobody"\n}\n', "nobody"),
                        (f'connector "x" {{\n  service = smtp\n  listen = {{"127.0.0.1:{w.submission}"}}\n  peer = "office-smtp"\n}}\n',
                         str(w.submission)),
                        ('peer "far" {\n  service = smtp\n  host = "192.0.2.1"\n  port = 25\n  tls = none\n}\n', "tls")):
        path = w.gw.conf
        kept = read(path)
        try:
            w.gw.configure(good + wrong)
            p = w.gw.gwctl("config", "check", check=False)
            text = (p.stdout + p.stderr).decode()
            assert p.returncode == EX_CONFIG, (wrong, p.returncode, text)
            assert re.search(rf"{re.escape(path)}:\d+", text) and says in text, (wrong, text)
            again = w.gw.gwctl("reload", check=False)
            assert again.returncode != 0, "a reload with a broken configuration succeeded"
        finally:
            write(path, kept)
        assert works(w)


@case
def dump_is_read_back_the_same(w):
    first = w.gw.gwctl("config", "dump").stdout
    kept = read(w.gw.conf)
    try:
        write(w.gw.conf, first)
        assert w.gw.gwctl("config", "dump").stdout == first
    finally:
        write(w.gw.conf, kept)


@case
def reload_binds_and_releases_listeners(w):
    more = w.ports.get()
    kept = read(w.gw.conf)
    try:
        write(w.gw.conf, kept + (f'connector "more" {{\n  service = smtp\n  listen = {{"127.0.0.1:{more}"}}\n'
                                 '  peer = "office-smtp"\n}\n').encode())
        w.gw.gwctl("reload")
        wait_until(lambda: listening(more), 5, "the new listener")
        assert works(w)
    finally:
        write(w.gw.conf, kept)
    w.gw.gwctl("reload")
    wait_until(lambda: not listening(more), 5, "the end of the listener")
    assert works(w)


@case
def a_port_in_use_is_named(w):
    w.gw.stop()
    with socket.create_server(("127.0.0.1", w.submission)):
        text = refuses_to_start(w)
    assert str(w.submission) in text and "submission" in text, text
    w.gw.start()
    assert works(w)


@case
def damaged_databases_are_refused_by_name(w):
    w.gw.stop()
    files = stored_files(w)
    assert len(files) >= 2, files.keys()
    for path, good in files.items():
        # The last page holds what was written last; both ends of the file are tried.
        for name, bad in (("cut short", good[:len(good) - 5000]),
                          ("overwritten", good[:8192] + bytes(len(good) - 8192)),
                          ("empty", b"")):
            with open(path, "r+b") as f:
                f.truncate(0)
                f.write(bad)
            text = refuses_to_start(w)
            folder = os.path.basename(os.path.dirname(path))
            assert os.path.basename(path) in text and folder in text, (path, name, text)
            with open(path, "r+b") as f:
                f.truncate(0)
                f.write(good)
    w.gw.start()
    assert works(w)


@case
def term_ends_it_with_success_and_leaves_no_process(w):
    assert w.gw.stop(signal.SIGTERM) == 0
    assert not listening(w.submission)
    w.gw.start()
    assert works(w)


@case
def two_masters_on_one_configuration_are_one_too_many(w):
    again = w.gw.tool("master", "-F", check=False, timeout=20)
    assert again.returncode != 0 and again.stderr, again
    assert works(w)


@case
def runs_as_an_ordinary_user_and_says_so(w):
    w.gw.stop()
    with Site(smtp_port=peer, pop3_port=lambda s: s.fakepop().port, users=("alice",),
              keys=("alice",), user=ordinary_user()) as other:
        assert works(other)
        status = other.gw.gwctl("status").stdout.decode() + other.gw.tail()
        assert re.search(r"ordinary user|not root|non-root|without root", status, re.I), status
        for pid in other.gw.daemons():
            assert f"\nUid:\t{ordinary_user()}\t" in read(f"/proc/{pid}/status").decode()
    w.gw.start()


@case
def every_daemon_is_confined(w):
    """Own user, nothing of root, no new privileges, seccomp filter."""
    uids = {}
    for pid, name in w.gw.daemons().items():
        status = read(f"/proc/{pid}/status").decode()
        value = dict(re.findall(r"^(\w+):\s*(.*)$", status, re.M))
        uids.setdefault(name, set()).add(value["Uid"].split()[1])
        assert int(value["CapEff"], 16) == 0 and int(value["CapPrm"], 16) == 0, (name, value["CapEff"])
        assert value["NoNewPrivs"] == "1" and value["Seccomp"] == "2", (name, value["Seccomp"])
        assert w.gw.user is not None or os.readlink(f"/proc/{pid}/root") != "/", name
    if w.gw.user is None:
        flat = [u for us in uids.values() for u in us]
        assert "0" not in flat and len(set(flat)) == len(uids), uids
    with clients.Raw(w.submission) as c:
        assert c.smtp()[0] == 220


if __name__ == "__main__":
    run(world)

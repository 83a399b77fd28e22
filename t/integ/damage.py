#!/usr/bin/env python3
"""Damaged databases and key stores: named and refused, and nothing is ever sent in clear instead."""

import os
import random
import shutil
import time

from pt import Site, case, run
from pt import mails
from pt.util import read

ALICE, PAT = "alice@example.test", "pat@partner.test"


def peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def pop_peer(w):
    w.pop = w.fakepop()
    return w.pop.port


def world():
    w = Site(smtp_port=peer, pop3_port=pop_peer, users=("alice", "bob"), keys=("alice", "bob"))
    w.pat = w.outsider("pat")
    w.pop.put("alice", mails.pgp_encrypted(w.pat, mails.plain(PAT, ALICE, body="4711 it is\n"), [ALICE]))
    return w


def works(w):
    """Sealed on the way out, opened on the way in."""
    w.send("alice", PAT, mails.plain(ALICE, PAT))
    assert mails.is_pgp_encrypted(w.peer.take()[0].data)
    assert b"4711 it is" in w.fetch("alice")[0]
    return True


def stores(w):
    """The databases whose damage stops the gateway, and not those that are begun anew: {path: octets}."""
    found = {}
    for folder, _, names in os.walk(w.gw.state):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".mdb") and "lock" not in name and os.path.basename(folder) in ("keys", "policy"):
                found[path] = read(path)
    return found


def put(path, data):
    """Other octets in the same file."""
    with open(path, "r+b") as f:
        f.truncate(0)
        f.write(data)


class Damaged:
    """The gateway is down and the file has other octets inside the block; it works afterwards."""

    def __init__(self, w, path, data):
        self.w, self.path, self.data = w, path, data
        self.good = read(path)

    def __enter__(self):
        put(self.path, self.data)
        return self

    def __exit__(self, *_exc):
        if self.w.gw.alive():
            self.w.gw.stop()
        put(self.path, self.good)

    def refused(self):
        """master's words when it ends instead of becoming ready; "" when it started."""
        try:
            self.w.gw.start(seconds=15)
        except RuntimeError as e:
            text = str(e)
            folder = os.path.basename(os.path.dirname(self.path))
            assert os.path.basename(self.path) in text and folder in text, text
            assert "ended with 78" in text, text
            return text
        return ""


def flipped(data, at, bit=0):
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:]


@case
def cut_overwritten_and_emptied_files(w):
    w.gw.stop()
    files = stores(w)
    assert len(files) >= 2, files.keys()
    for path, good in files.items():
        size = len(good)
        for what, data in (("cut by a page", good[:size - 4096]), ("cut inside a page", good[:size - 5000]),
                           ("cut to the meta pages", good[:8192]), ("empty", b""),
                           ("overwritten", good[:8192] + bytes(size - 8192)),
                           ("noise", good[:8192] + random.Random(7).randbytes(size - 8192)),
                           ("no meta pages", bytes(8192) + good[8192:]),
                           ("text", b"not a database\n" * (size // 15))):
            with Damaged(w, path, data) as d:
                assert d.refused(), f"{path}, {what}: it started"
    w.gw.start()
    assert works(w)


@case
def one_bit_in_a_record(w):
    """Where records stand: names, addresses and keys of ours."""
    w.gw.stop()
    for path, good in stores(w).items():
        marks = [b"alice", b"bob", b"example.test", b"default"]
        spots = sorted({at + len(m) // 2 for m in marks for at in every(good, m)})
        assert len(spots) > 3 or "policy" not in path, (path, spots)
        found = 0
        for n, at in enumerate(spots[:24]):
            with Damaged(w, path, flipped(good, at, n % 8)) as d:
                # LMDB keeps older versions of a page; a bit in those is nobody's.
                found += bool(d.refused()) or works(w) * 0
        assert found or not spots, path
    w.gw.start()
    assert works(w)


def every(data, mark):
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


@case
def one_bit_anywhere(w):
    """Refused by name or without any effect."""
    w.gw.stop()
    dice = random.Random(4711)
    refused = 0
    for path, good in stores(w).items():
        used = [at for at in dice.sample(range(len(good)), 4000) if good[at] != 0][:25]
        for at in used:
            with Damaged(w, path, flipped(good, at, dice.randrange(8))) as d:
                refused += bool(d.refused()) or works(w) * 0
    assert refused >= 10, refused
    w.gw.start()
    assert works(w)


@case
def other_files_of_the_stores(w):
    """What lies beside the databases: gone or damaged, it is noticed or does not matter."""
    w.gw.stop()
    for folder, _, names in os.walk(w.gw.state):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".mdb") and "lock" not in name or not os.path.getsize(path):
                continue
            good = read(path)
            for data in (b"", good[:-1], flipped(good, len(good) // 2), b"\xff" * len(good)):
                with Damaged(w, path, data) as d:
                    if d.refused() == "":
                        assert works(w), path
    w.gw.start()
    assert works(w)


@case
def a_key_store_that_is_gone_is_no_reason_for_clear_text(w):
    """Without its folder nothing is signed or opened: put off, not sent."""
    w.gw.stop()
    path = next(os.path.dirname(p) for p in stores(w) if "keys" in p)
    os.rename(path, path + ".away")
    try:
        try:
            w.gw.start(seconds=15)
        except RuntimeError:
            pass
        else:
            refuses_both_ways(w)
            w.gw.stop()
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.rename(path + ".away", path)
    w.gw.start()
    assert works(w)


def refuses_both_ways(w):
    """Mail is put off in both directions; nothing leaves."""
    code = None
    try:
        w.send("alice", PAT, mails.plain(ALICE, PAT), timeout=40)
    except Exception as e:
        code = getattr(e, "smtp_code", None) or 421
    assert code is not None and 400 <= code <= 499, code
    assert not w.peer.mails
    try:
        got = w.fetch("alice", timeout=40)
    except Exception as e:
        assert "SYS/TEMP" in str(e) or "EOF" in str(e) or "timed out" in str(e), e
    else:
        raise AssertionError(f"fetched: {got[0][:500]}")


@case
def damage_under_a_running_gateway(w):
    """Found when the daemon starts again; until it is repaired mail is put off."""
    for path, good in stores(w).items():
        daemon = {"policy": "policyd", "keys": "cryptod"}[os.path.basename(os.path.dirname(path))]
        start = len(w.gw.log_text())
        pids = w.gw.daemons(daemon)
        put(path, good[:8192] + bytes(len(good) - 8192))
        w.gw.kill(daemon)
        w.gw.wait_log(r"data\.mdb", start=start, seconds=10)
        assert not w.gw.daemons(daemon) or w.gw.daemons(daemon) != pids
        refuses_both_ways(w)
        assert w.gw.alive()
        status = w.gw.gwctl("status", check=False).stdout.decode()
        assert daemon in status and "data.mdb" in status, status
        put(path, good)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                works(w)
                break
            except Exception:
                with w.peer.lock:
                    w.peer.mails.clear()
                time.sleep(0.5)
        assert works(w), daemon


@case
def a_wrong_ignition_secret_opens_nothing(w):
    w.gw.stop()
    kept = read(w.key_file)
    try:
        os.chmod(w.key_file, 0o600)
        put(w.key_file, os.urandom(32))
        try:
            w.gw.start(seconds=15)
        except RuntimeError as e:
            assert w.key_file in str(e) or "ignition" in str(e), e
        else:
            refuses_both_ways(w)
            assert "locked" in w.gw.gwctl("status", check=False).stdout.decode()
            w.gw.stop()
    finally:
        put(w.key_file, kept)
    w.gw.start()
    assert works(w)


if __name__ == "__main__":
    run(world)

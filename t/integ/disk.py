#!/usr/bin/env python3
"""Full disks: what cannot be kept is put off, nothing is lost, and all is well afterwards."""

import base64
import os

from pt import Site, Skip, case, run
from pt import clients, mails
from pt.gateway import can_unshare, own_mounts
from pt.util import sh, wait_until

PAT, QUINN, ALICE = "pat@partner.test", "quinn@partner.test", "alice@example.test"
SPOOL, STATE, LOG = 24 << 20, 3 << 20, 1 << 20  # octets


def peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def pop_peer(w):
    w.pop = w.fakepop()
    return w.pop.port


class SmallSite(Site):
    """Spool, state and log of the gateway on small file systems, seen by this program only."""

    def gateway(self, *args, **kw):
        for name, size in (("spool", SPOOL), ("state", STATE), ("log", LOG)):
            path = self.path("gw", name)
            os.makedirs(path)
            sh(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", path])
            self.defer(lambda path=path: sh(["umount", "-l", path]))
        return super().gateway(*args, **kw)


def world():
    if not can_unshare():
        raise Skip("no mount namespace")
    w = SmallSite(smtp_port=peer, pop3_port=pop_peer, keys=("alice",), level="info")
    w.pat = w.outsider("pat")
    w.small = mails.pgp_encrypted(w.pat, mails.plain(PAT, ALICE, body="4711 small\n"), [ALICE], sign=PAT)
    w.noise = base64.encodebytes(os.urandom(4 << 20)).decode()
    w.big = mails.pgp_encrypted(w.pat, mails.plain(PAT, ALICE, body=w.noise), [ALICE], sign=PAT)
    w.wide = mails.pgp_encrypted(w.pat, mails.plain(PAT, ALICE, body="4711 wide\n" * 800000), [ALICE], sign=PAT)
    return w


class Full:
    """The file system of a folder of the gateway has no room inside the block."""

    def __init__(self, w, folder, leave=0):
        self.path, self.leave = os.path.join(folder, "ballast"), leave

    def __enter__(self):
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        chunk = bytes(65536)
        try:
            while True:
                os.write(fd, chunk)
        except OSError:
            pass
        os.ftruncate(fd, max(0, os.fstat(fd).st_size - self.leave))
        os.close(fd)

    def __exit__(self, *_exc):
        os.unlink(self.path)


def sends(w, to=PAT, body="Dear Pat,\n4711\n"):
    """One message passes and is sealed for pat."""
    w.send("alice", to, mails.plain(ALICE, to, body=body), timeout=60)
    got = w.peer.take(seconds=30)[-1].data
    assert mails.is_pgp_encrypted(got) == (to == PAT)


def boxed(w, *data):
    with w.pop.lock:
        w.pop.boxes["alice"] = [(f"u{n}", d) for n, d in enumerate(data)]


def retrieved(w, number):
    with clients.Raw(w.retrieval, timeout=60) as c:
        c.pop()
        c.pop("USER alice")
        c.pop(f"PASS {w.users['alice']}")
        return c.pop(f"RETR {number}", multi=True)


@case
def a_full_spool_puts_large_mail_off(w):
    large = mails.plain(ALICE, PAT, body="0123456789abcdef\n" * 800000)
    with Full(w, w.gw.spool, leave=65536):
        for to in (PAT, QUINN):
            code, text = w.refusal("alice", to, large.replace(PAT.encode(), to.encode()), timeout=60)
            assert code == 452, (code, text)
        assert not w.peer.mails
        sends(w)
    w.send("alice", PAT, large, timeout=60)
    part, status = mails.open_pgp(w.pat, w.peer.take(seconds=30)[0].data)
    assert "DECRYPTION_OKAY" in status and mails.split_head(part)[1] == mails.split_head(large)[1]


@case
def a_message_that_outgrows_the_spool_is_put_off(w):
    huge = mails.plain(ALICE, PAT, body="0123456789abcdef\n" * 1800000)
    assert len(huge) > SPOOL
    assert w.refusal("alice", PAT, huge, timeout=60)[0] == 452
    assert not w.peer.mails
    sends(w)


@case
def a_full_spool_puts_the_opening_off(w):
    # The second one is small on the server; there is no room for what comes out of it.
    boxed(w, w.big, w.wide, w.small)
    with Full(w, w.gw.spool, leave=65536):
        for n in (1, 2):
            first, body = retrieved(w, n)
            assert first.startswith("-ERR [SYS/TEMP]") and not body, (n, first, body[:300])
        assert b"4711 small" in retrieved(w, 3)[1]
    assert mails.split_head(retrieved(w, 1)[1])[1] == mails.crlf(w.noise)
    assert retrieved(w, 2)[1].count(b"4711 wide\r\n") == 800000


@case
def a_later_group_that_cannot_be_journalled_is_not_promised(w):
    w.peer.on("EOD", nth=2, reply="451 4.3.0 later")
    with Full(w, w.gw.spool):
        try:
            w.send("alice", [PAT, QUINN], mails.plain(ALICE, [PAT, QUINN]), timeout=60)
        except Exception as e:
            assert getattr(e, "smtp_code", 0) // 100 == 4, e
        else:
            # Taken: then both arrive, or a notice says which did not.
            w.peer.wait_mails(2, 30)
    w.peer.clear()
    with w.peer.lock:
        w.peer.mails.clear()
    sends(w)


@case
def a_full_state_folder_loses_nothing(w):
    listing = w.gw.gwctl("consumer", "list").stdout
    with Full(w, w.gw.state):
        full = None
        for n in range(400):
            p = w.gw.gwctl("consumer", "add", f"new{n}", "--external", "--address", f"new{n}@partner.test",
                           "--name", "x" * 200, check=False)
            if p.returncode != 0:
                full = n, (p.stdout + p.stderr).decode()
                break
        assert full is not None, "no change failed"
        assert "space" in full[1] or "full" in full[1], full
        sends(w)
        boxed(w, w.small)
        assert b"4711 small" in retrieved(w, 1)[1]
        # There may be room for a little in the files as they are.
        made = w.gw.keyctl("generate", "--address", "bob@example.test", check=False).returncode == 0
        for name in ("policyd", "cryptod"):
            old = w.gw.kill(name)
            w.gw.wait_daemon(name, other_than=old)
        sends(w)
    w.gw.gwctl("consumer", "add", "later", "--external", "--address", "later@partner.test")
    w.gw.stop()
    w.gw.start()
    now = w.gw.gwctl("consumer", "list").stdout
    assert all(line in now for line in listing.splitlines()), now
    assert b"later@partner.test" in now and now.count(b"new") >= full[0] * 2
    keys = w.gw.keyctl("list").stdout
    assert b"alice@" in keys and (b"bob@" in keys or not made), keys
    sends(w)


@case
def a_full_log_stops_nobody(w):
    with Full(w, os.path.dirname(w.gw.log)):
        for _ in range(20):
            sends(w)
    sends(w)
    at = w.gw.log_text().count("\n")
    sends(w)
    wait_until(lambda: w.gw.log_text().count("\n") > at, 5, "lines in the log")


if __name__ == "__main__":
    own_mounts()
    run(world)

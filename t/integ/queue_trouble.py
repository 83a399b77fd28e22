#!/usr/bin/env python3
"""A disk that fails or is full, no descriptors left: senders come again, and all is well afterwards by itself."""

# check: timeout=180

import os
import re
import signal
import smtplib
import subprocess
import time

from pt import QueueSite, Skip, case, mails, run
from pt.clients import Raw
from pt.gateway import can_unshare, own_mounts
from pt.util import read, sh, wait_until

DORA, FAR = "dora@example.test", "friend@far.test"
SPOOL = 96 << 20  # octets


class SmallSite(QueueSite):
    """The spool is a small file system, seen by this program only."""

    def gateway(self, *args, **kw):
        path = self.path("gw", "spool")
        os.makedirs(path)
        sh(["mount", "-t", "tmpfs", "-o", f"size={SPOOL},mode=755", "tmpfs", path])
        self.defer(lambda: sh(["umount", "-l", path]))
        return super().gateway(*args, **kw)


def world():
    if not can_unshare():
        raise Skip("no mount namespace")
    return SmallSite(users=("dora",), level="info", queue="segment = 8M\n  min_free = 16M\n")


def letter(n):
    return mails.plain(DORA, FAR, subject=f"Letter {n}", body="Hello.\n")


def arrived(w):
    with w.outside.lock:
        return sorted(int(mails.header(m.data, "Subject")[0].split()[1]) for m in w.outside.mails)


def sends(w, n):
    w.send(w.relay, DORA, FAR, letter(n))


def sent_when_it_works(w, n, seconds=30):
    """Until it is taken, as a mail server would try."""
    def taken():
        try:
            sends(w, n)
            return True
        except (OSError, smtplib.SMTPException):
            return False
    wait_until(taken, seconds, "a message is taken again", pause=0.2)


def threads(pid):
    return [int(t) for t in os.listdir(f"/proc/{pid}/task")]


class Injected:
    """System calls of a process fail inside the block (strace)."""

    def __init__(self, pid, what):
        self.args = ["strace", "-f", "-q", "-o", "/dev/null", "-e", what, *[a for t in threads(pid) for a in ("-p", str(t))]]

    def __enter__(self):
        self.proc = subprocess.Popen(self.args, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        if self.proc.poll() is not None:
            raise Skip("strace cannot attach: " + self.proc.stderr.read())
        return self

    def __exit__(self, *_exc):
        self.proc.send_signal(signal.SIGINT)
        self.proc.communicate(timeout=20)


@case
def a_sync_that_fails_has_the_sender_come_again(w):
    sends(w, 1)
    w.outside.take(1)
    w.empty()
    (pid,) = w.gw.daemons("queued")
    w.outside.mails.clear()
    with Injected(pid, "inject=fdatasync,fsync:error=EIO"):
        for n in (2, 3):
            code, why = w.refusal(w.relay, DORA, FAR, letter(n))
            assert code in (451, 452), (code, why)
    sent_when_it_works(w, 4)
    w.outside.wait_mails(1)
    w.empty()
    # What was refused is in the queue by no means: not now, and not after a crash.
    w.gw.kill("queued")
    w.empty(30)
    assert arrived(w) == [4], arrived(w)
    assert w.gw.daemons("queued") != [pid]


@case
def a_message_is_synced_before_it_is_acknowledged(w):
    (pid,) = w.gw.daemons("queued")
    with Injected(pid, "inject=fdatasync:delay_enter=1500000"):
        start = time.monotonic()
        sends(w, 5)
        assert time.monotonic() - start > 1.4, "the sync was not waited for"
    w.outside.take(1)
    w.empty()


@case
def a_full_spool_has_senders_come_again_until_there_is_room(w):
    path = os.path.join(w.gw.spool, "ballast")
    w.outside.mails.clear()
    with open(path, "wb") as f:
        try:
            while True:
                f.write(bytes(65536))
        except OSError:
            pass
    refused = 0
    taken = []
    for n in range(10, 2000):
        try:
            w.send(w.relay, DORA, FAR, mails.plain(DORA, FAR, subject=f"Letter {n}", body="x" * 70 + "\n" + "y\n" * 3000))
            taken.append(n)
        except smtplib.SMTPResponseException as e:
            assert e.smtp_code in (451, 452), e
            refused += 1
            if refused == 3:
                break
        except smtplib.SMTPRecipientsRefused as e:
            raise AssertionError("not the recipient is at fault") from e
    assert refused == 3, "there was always room"
    w.gw.wait_log(r"queue takes no more messages")
    os.unlink(path)
    sent_when_it_works(w, 9)
    w.outside.wait_mails(len(taken) + 1)
    w.empty()
    assert arrived(w) == [9, *taken], arrived(w)


class NoDescriptors:
    """All processes of a daemon can open nothing more inside the block."""

    def __init__(self, w, name):
        self.pids = w.gw.daemons(name)
        assert self.pids

    @staticmethod
    def _limit(pid, soft):
        # Its own user may do that.
        status = read(f"/proc/{pid}/status").decode()
        uid, gid = (re.search(rf"^{k}:\s+(\d+)", status, re.M)[1] for k in ("Uid", "Gid"))
        sh(["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--",
            "prlimit", "--pid", str(pid), f"--nofile={soft}:"])

    def __enter__(self):
        self.old = {}
        for pid in self.pids:
            limits = re.search(r"Max open files\s+(\d+)", read(f"/proc/{pid}/limits").decode())
            self.old[pid] = limits[1]
            self._limit(pid, max(int(n) for n in os.listdir(f"/proc/{pid}/fd")) + 1)

    def __exit__(self, *_exc):
        for pid, soft in self.old.items():
            self._limit(pid, soft)


@case
def without_descriptors_mail_waits_and_nothing_ends(w):
    w.outside.mails.clear()
    before = w.gw.daemons()
    for n, name in enumerate(("smtpd", "queued", "deliverd", "anvild"), 3000):
        clients = []
        with NoDescriptors(w, name):
            for _ in range(6):
                try:
                    clients.append(Raw(w.relay, timeout=2))
                    assert clients[-1].smtp()[0] in (220, 421)
                except (OSError, EOFError):
                    pass
        for c in clients:
            c.close()
        sent_when_it_works(w, n)
        wait_until(lambda n=n: n in arrived(w), 30, f"delivery after {name} had no descriptors")
    w.empty(30)
    assert w.gw.daemons() == before, "a daemon has ended"


@case
def a_delivery_without_descriptors_is_put_off(w):
    w.outside.mails.clear()
    time.sleep(6)  # no connection from before is open
    with NoDescriptors(w, "deliverd"):
        sends(w, 4000)
        (q,) = wait_until(lambda: w.queue("--state", "deferred"), 20, "an attempt that failed")
        assert q["recipients"][0]["delay_reason"], q
        assert not w.office.mails, "it was returned"
    w.outside.wait_mails(1)
    w.empty(30)
    assert arrived(w) == [4000]


if __name__ == "__main__":
    own_mounts()
    run(world)

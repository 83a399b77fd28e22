#!/usr/bin/env python3
"""The log by syslog: what arrives at /dev/log, and what happens when nobody is there."""

import os
import re
import socket
import time

from pt import Site, Skip, case, run
from pt import clients, mails
from pt.gateway import INSIDE, own_mounts
from pt.util import sh, wait_until

ALICE, QUINN = "alice@example.test", "quinn@partner.test"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LOG_MAIL, INFO = 2, 6
LINE = re.compile(rb"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d postern/(\w+)\[(\d+)\]: (.*)", re.S)


class Listener:
    """/dev/log, as a syslog daemon has it."""

    def __init__(self):
        self.lines = []
        self.sock = None
        self.open()

    def open(self):
        if os.path.exists("/dev/log"):
            os.unlink("/dev/log")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("/dev/log")
        os.chmod("/dev/log", 0o666)

    def close(self):
        self.sock.close()
        os.unlink("/dev/log")

    def take(self):
        """What has come so far."""
        self.sock.setblocking(False)
        try:
            while True:
                self.lines.append(self.sock.recv(65536))
        except BlockingIOError:
            return self.lines


def own_dev(w):
    """A /dev with little in it, seen by this program only."""
    dev = w.path("dev")
    os.makedirs(os.path.join(dev, "shm"))
    for name in DEVICES:
        path = os.path.join(dev, name)
        with open(path, "wb"):
            pass
        sh(["mount", "--bind", f"/dev/{name}", path])
        w.defer(lambda path=path: sh(["umount", "-l", path]))
    for name, to in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(to, os.path.join(dev, name))
    sh(["mount", "--rbind", dev, "/dev"])
    w.defer(lambda: sh(["umount", "-l", "/dev"]))


class Logged(Site):
    def gateway(self, *args, **kw):
        own_dev(self)
        self.syslog = Listener()
        return super().gateway(*args, **kw)


def peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def world():
    if INSIDE not in os.environ:
        raise Skip("no mount namespace")
    return Logged(smtp_port=peer, pop3_port=lambda w: w.fakepop().port, users=("alice",), keys=("alice",), level=None,
                  more="log {\n  destination = syslog\n  level = info\n}\n")


def sends(w, subject):
    w.send("alice", QUINN, mails.plain(ALICE, QUINN, subject))
    w.peer.take()


@case
def lines_arrive_with_name_and_priority(w):
    sends(w, "x")
    wait_until(lambda: any(b"status=sent" in x for x in w.syslog.take()), 5, "the lines")
    pids = w.gw.daemons()
    names = set()
    for line in w.syslog.take():
        m = LINE.fullmatch(line.rstrip(b"\n\0"))
        assert m is not None and b"\n" not in m[4] and b"\0" not in m[4], line
        assert int(m[1]) >> 3 == LOG_MAIL and int(m[1]) & 7 <= INFO, line
        names.add(m[2].decode())
        assert int(m[3]) in pids or int(m[3]) == w.gw.pid or m[2] == b"filterd", line
    assert {"master", "smtpd", "cryptod"} <= names, names


@case
def nobody_waits_for_a_syslog_that_is_slow_or_gone(w):
    # Nobody reads: the socket's queue fills up.
    begin = time.monotonic()
    for n in range(60):
        with clients.Raw(w.retrieval) as c:
            c.pop()
            c.pop("USER x" + "y" * 200)
            c.pop(f"PASS {n}")
    sends(w, "slow")
    assert time.monotonic() - begin < 10
    w.syslog.take()
    w.syslog.close()
    for n in range(5):
        sends(w, f"gone {n}")
    # It comes back, and so do the lines.
    w.syslog.open()
    w.syslog.lines.clear()

    def back():
        sends(w, "back")
        return any(b"status=sent" in x for x in w.syslog.take())
    wait_until(back, 15, "lines after the return of syslog", pause=0.5)
    assert w.gw.alive()


if __name__ == "__main__":
    own_mounts()
    run(world)

#!/usr/bin/env python3
"""Run one command so that nothing of it outlives this process.

	contain.py SECONDS COMMAND [ARG]...

Descendants that start sessions of their own (Postfix, Dovecot, gpg-agent) are adopted here.  When
the command has ended, or after SECONDS, what is left of them is ended by process id.  Exit code:
the command's, 124 when the time was over, 125 when it left processes behind.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE = 3.0  # seconds that what is left has for ending by itself


def stat_of(pid):
    """(parent, state, start time) of a process, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[0], fields[19]


def descendants():
    """Living processes below this one: {pid: start time}."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            st = stat_of(name)
            if st is not None:
                table[int(name)] = st
    found = {}
    seen = {os.getpid()}
    grew = True
    while grew:
        grew = False
        for pid, (parent, state, start) in table.items():
            if parent in seen and pid not in seen:
                seen.add(pid)
                grew = True
                if state != b"Z":
                    found[pid] = start
    return found


def reap(main, status):
    """Collect ended children; the main child's status once it is there."""
    while True:
        try:
            pid, st = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == main:
            status = st


def name_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()[:120]
    except OSError:
        return "?"


def send(pids, sig):
    for pid, start in pids.items():
        st = stat_of(pid)
        if st is not None and st[2] == start:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass


def clear_up(main, status):
    """End what is left; True when there was something after the grace time."""
    end = time.monotonic() + GRACE
    left = descendants()
    while left and time.monotonic() < end:
        time.sleep(0.05)
        status = reap(main, status)
        left = descendants()
    for pid in left:
        print(f"contain: left behind: process {pid}: {name_of(pid)}", flush=True)
    found = bool(left)
    for sig in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + 2.0
        while left and time.monotonic() < end:
            send(left, sig)
            time.sleep(0.05)
            status = reap(main, status)
            left = descendants()
    return found


def main():
    limit = time.monotonic() + float(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("contain: cannot become a subreaper")
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    stop = []
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, lambda num, _frame: stop.append(num))
    pid = os.fork()
    if pid == 0:
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(sig, signal.SIG_DFL)
        os.setsid()
        try:
            os.execvp(sys.argv[2], sys.argv[2:])
        except OSError as e:
            print(f"contain: {sys.argv[2]}: {e.strerror}", flush=True)
            os._exit(127)
    status = None
    pause = 0.002
    while status is None and not stop and time.monotonic() < limit:
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
        status = reap(pid, None)
    if status is None:
        print("contain: " + ("stopped" if stop else f"still running after {sys.argv[1]} s"), flush=True)
        send(descendants(), signal.SIGTERM)
    left = clear_up(pid, status)
    if status is None:
        return 124
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        print(f"contain: ended by {signal.Signals(-code).name}", flush=True)
        code = 128 - code
    return 125 if code == 0 and left else code


if __name__ == "__main__":
    sys.exit(main())

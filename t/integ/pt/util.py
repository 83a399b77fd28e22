"""Ports, processes, waiting."""

import os
import signal
import socket
import subprocess
import time


class Ports:
    """Free TCP ports on loopback that stay ours until the test ends.

    A bound socket that does not listen keeps everybody else from the port, outgoing connections
    too; SO_REUSEADDR, set after the bind, lets the server under test bind it beside us.
    """

    def __init__(self):
        self._held = []

    def get(self, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        s = socket.socket(family, socket.SOCK_STREAM)
        s.bind((host, 0))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.append(s)
        return s.getsockname()[1]

    def close(self):
        for s in self._held:
            s.close()
        self._held.clear()


def wait_until(what, seconds=10.0, text="condition", pause=0.02):
    """The first true value of what(), which is asked again and again; TimeoutError otherwise."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() >= end:
            raise TimeoutError(f"{text}: not within {seconds} s")
        time.sleep(pause)


def listening(port, host="127.0.0.1"):
    """True when somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def sh(argv, data=None, check=True, env=None, timeout=60, cwd=None):
    """Run a program to its end; the CompletedProcess with bytes of stdout and stderr.

    data: bytes for its standard input.  check: a failure raises with what it wrote.
    """
    p = subprocess.run(argv, input=data if data is not None else b"", capture_output=True,
                       env=env, timeout=timeout, cwd=cwd, check=False)
    if check and p.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {p.returncode}\n"
                           + p.stderr.decode("utf-8", "replace")[-4000:]
                           + p.stdout.decode("utf-8", "replace")[-4000:])
    return p


class Proc:
    """A server in the foreground, in a session of its own."""

    def __init__(self, argv, log, env=None, pass_fds=()):
        self.argv = argv
        with open(log, "ab") as out:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          env=env, start_new_session=True, pass_fds=pass_fds)
        self.pid = self.child.pid

    def alive(self):
        return self.child.poll() is None

    def stop(self, sig=signal.SIGTERM, seconds=10.0):
        """Ask it to end, then make it end; the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(sig)
            try:
                return self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                for pid in reversed(tree(self.pid)):
                    kill(pid, signal.SIGKILL)
        return self.child.wait(5)


def kill(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def _stat(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            head, _, tail = f.read().rpartition(b")")
    except OSError:
        return None
    fields = tail.split()
    return int(fields[1]), fields[0].decode(), head.partition(b"(")[2].decode("utf-8", "replace")


def running(pid):
    """True for a process that has not ended; one that waits for its parent's wait() has."""
    st = _stat(pid)
    return st is not None and st[1] not in "ZX"


def children(pid):
    """{pid: name} of the living children of a process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            st = _stat(entry)
            if st is not None and st[0] == pid and st[1] != "Z":
                found[int(entry)] = st[2]
    return found


def tree(pid):
    """The process and everything below it, parents before children."""
    below = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            st = _stat(entry)
            if st is not None and st[1] != "Z":
                below.setdefault(st[0], []).append(int(entry))
    found = [pid]
    for p in found:
        found += [c for c in below.get(p, ()) if c not in found]
    return found


def read(path):
    """The bytes of a file, b"" when it is not there."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def write(path, text, mode=0o644):
    """Make a file of a str or bytes; its path."""
    data = text if isinstance(text, bytes) else text.encode()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "wb") as f:
        f.write(data)
    os.chmod(path, mode)
    return path

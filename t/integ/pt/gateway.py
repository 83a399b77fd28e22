"""The gateway under test: configuration, start and stop, its tools, its daemons."""

import os
import pwd
import re
import shutil
import signal
import socket
import sys
import time

from .util import Proc, children, kill, read, running, sh, tree, wait_until, write

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.path.join(TOP, os.environ.get("POSTERN_BUILD", "build/rel"))
INSIDE = "PT_OWN_MOUNTS"  # in the environment of a program that has its own mount namespace
FIRST_UID = 64100  # of the daemons' users, which exist in the gateway's mount namespace only

# Runs a command with the files of $1 over /etc/passwd and /etc/group, seen by nobody else.
ENTER = """\
mount --make-rprivate / && mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group &&
shift && exec "$@"
"""


def daemon_users():
    """Names of users and of further groups in etc/sysusers.d."""
    text = read(os.path.join(TOP, "etc/sysusers.d/postern.conf")).decode()
    return (re.findall(r"^u\s+(\S+)", text, re.M), re.findall(r"^g\s+(\S+)", text, re.M))


def can_unshare():
    """True when we may make a mount namespace and bind files in it."""
    argv = ["unshare", "--mount", "sh", "-c", "mount --bind /etc/passwd /etc/passwd"]
    return os.getuid() == 0 and sh(argv, check=False).returncode == 0


def own_mounts():
    """Run this program in a mount namespace of its own: what it mounts is seen by nobody else.

    A new process is needed for that; where it is not allowed the program goes on as it is.
    """
    if INSIDE in os.environ or not can_unshare():
        return
    argv = ["unshare", "--mount", "--propagation", "private", sys.executable, "-B", *sys.argv]
    os.execvpe(argv[0], argv, dict(os.environ, **{INSIDE: "1"}))


class Gateway:
    """One gateway of the build in POSTERN_BUILD.

    pieces   text of postern.conf beside node {} and log {}, which are written here
    level    of the log, which goes to a file; None: pieces say where it goes
    user     run as this ordinary user (by number), without uid change and chroot; None: as root,
             in a mount namespace of its own with the daemons' users added to /etc/passwd
    """

    def __init__(self, folder, pieces="", user=None, hostname="gw.example.test", level="debug"):
        self.folder, self.user, self.hostname, self.level = folder, user, hostname, level
        self.bin = os.path.join(BUILD, "bin")
        if not os.path.exists(os.path.join(self.bin, "master")):
            raise RuntimeError(f"{self.bin}/master is not built")
        self.conf = os.path.join(folder, "postern.conf")
        self.log = os.path.join(folder, "log", "postern.log")
        self.out = os.path.join(folder, "master.out")
        self.state = os.path.join(folder, "state")
        self.spool = os.path.join(folder, "spool")
        self.run_dir = os.path.join(folder, "run")
        self.tls_dir = os.path.join(folder, "tls")
        self._proc = None
        self._notify = None
        if user is None and not can_unshare():
            # No mount namespace (CAP_SYS_ADMIN) for the daemons' users: do without them.
            self.user = ordinary_user()
            print("note: no mount namespace here, so the gateway runs as an ordinary user")
        self._folders()
        self.configure(pieces)

    def _folders(self):
        for path in (self.folder, self.state, self.spool, self.run_dir, self.tls_dir, os.path.dirname(self.log)):
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o755)
            if self.user is not None and os.getuid() == 0:
                os.chown(path, self.user, self.user)
        if self.user is None:
            self._accounts()
        elif os.getuid() == 0:
            # An ordinary user need not be able to read the build folder.
            copy = os.path.join(self.folder, "bin")
            shutil.copytree(self.bin, copy, ignore=shutil.ignore_patterns("*.d"))
            self.bin = copy

    def _accounts(self):
        users, groups = daemon_users()
        passwd, group = read("/etc/passwd").decode(), read("/etc/group").decode()
        for n, name in enumerate(users):
            if not re.search(rf"^{name}:", passwd, re.M):
                uid = FIRST_UID + n
                passwd += f"{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n"
                group += f"{name}:x:{uid}:\n"
        for n, name in enumerate(groups):
            if not re.search(rf"^{name}:", group, re.M):
                group += f"{name}:x:{FIRST_UID + 50 + n}:\n"
        self._etc = os.path.join(self.folder, "etc")
        os.makedirs(self._etc, exist_ok=True)
        write(os.path.join(self._etc, "passwd"), passwd)
        write(os.path.join(self._etc, "group"), group)

    def configure(self, pieces):
        """Write postern.conf; a running gateway reads it when told to reload."""
        write(self.conf, f'node {{\n  hostname = "{self.hostname}"\n  state_dir = "{self.state}"\n'
              f'  spool_dir = "{self.spool}"\n  run_dir = "{self.run_dir}"\n'
              f'  libexec_dir = "{self.bin}"\n  tls_dir = "{self.tls_dir}"\n}}\n'
              + (f'log {{\n  destination = file\n  file = "{self.log}"\n  level = {self.level}\n}}\n'
                 if self.level else "") + pieces)

    def _wrap(self, argv):
        """A command as the gateway's user, seeing the gateway's accounts."""
        if self.user is None:
            return ["unshare", "--mount", "sh", "-c", ENTER, "sh", self._etc] + argv
        if os.getuid() == 0:
            return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups",
                    "--"] + argv
        return argv

    def start(self, seconds=20.0):
        """Start master in the foreground and wait until it says READY=1 (sd_notify)."""
        path = os.path.join(self.folder, "notify")
        if os.path.exists(path):
            os.unlink(path)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(path)
        os.chmod(path, 0o777)
        env = dict(os.environ, NOTIFY_SOCKET=path)
        self._proc = Proc(self._wrap([os.path.join(self.bin, "master"), "-c", self.conf, "-F"]),
                          self.out, env=env)
        try:
            self.wait_notify("READY=1", seconds)
        except Exception:
            self.stop(signal.SIGKILL)
            raise

    def wait_notify(self, text, seconds=20.0):
        """Wait for a datagram of master's sd_notify that has this line."""
        end = time.monotonic() + seconds
        while True:
            self._notify.settimeout(0.1)
            try:
                if text in self._notify.recv(4096).decode("utf-8", "replace").split("\n"):
                    return
            except TimeoutError:
                pass
            if not self._proc.alive():
                raise RuntimeError(f"master ended with {self._proc.child.returncode}\n{self.tail()}")
            if time.monotonic() > end:
                raise TimeoutError(f"no {text} within {seconds} s\n{self.tail()}")

    @property
    def pid(self):
        """Process id of master: unshare, setpriv and sh exec, so it is the child itself."""
        return self._proc.pid

    def alive(self):
        return self._proc is not None and self._proc.alive()

    def stop(self, sig=signal.SIGTERM, seconds=15.0):
        """End it; master's exit code.  Daemons that outlive master are ended, and told of."""
        if self._proc is None:
            return None
        below = tree(self._proc.pid)[1:]
        code = self._proc.stop(sig, seconds)
        left = self._gone(below, 3.0)
        for pid in left:
            kill(pid, signal.SIGKILL)
        self._proc = None
        self._notify.close()
        if left and sig == signal.SIGTERM:
            raise AssertionError(f"{len(left)} daemons were still there after master had ended")
        return code

    @staticmethod
    def _gone(pids, seconds):
        end = time.monotonic() + seconds
        while True:
            left = [p for p in pids if running(p)]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.02)

    def _forget_notes(self):
        """Drop what master has told until now: while the socket is full it would wait for us."""
        try:
            while self._notify is not None:
                self._notify.recv(4096, socket.MSG_DONTWAIT)
        except OSError:
            pass

    def reload(self, seconds=10.0):
        """HUP and wait until master says that it is done."""
        self._forget_notes()
        os.kill(self.pid, signal.SIGHUP)
        self.wait_notify("READY=1", seconds)

    def tool(self, name, *args, data=None, check=True, timeout=60):
        """Run gwctl or keyctl with this gateway's configuration; the CompletedProcess."""
        self._forget_notes()
        return sh(self.command(name, *args), data=data, check=check, timeout=timeout)

    def own(self, path):
        """Give a file or folder, and all in it, to whom the gateway runs as; the path."""
        if self.user is not None and os.getuid() == 0:
            os.chown(path, self.user, self.user, follow_symlinks=False)
            for folder, folders, names in os.walk(path):
                for name in folders + names:
                    os.chown(os.path.join(folder, name), self.user, self.user, follow_symlinks=False)
        return path

    def command(self, name, *args):
        """What tool runs, for those who want it on a terminal or elsewhere."""
        argv = [os.path.join(self.bin, name), "-c", self.conf, *args]
        # root is let in by a gateway of an ordinary user too, and can read the test's files.
        return argv if self.user is not None else self._wrap(argv)

    def gwctl(self, *args, **kw):
        return self.tool("gwctl", *args, **kw)

    def keyctl(self, *args, **kw):
        return self.tool("keyctl", *args, **kw)

    def daemons(self, name=None):
        """Process ids of master's children, of one daemon or as {pid: name}."""
        found = {}
        for pid, comm in children(self.pid).items():
            try:
                comm = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            except OSError:
                pass
            found[pid] = comm
        return found if name is None else [p for p, n in found.items() if n == name]

    def kill(self, name, sig=signal.SIGKILL):
        """Kill every process of a daemon (not master's own); their process ids."""
        pids = self.daemons(name)
        assert pids, f"no {name} is running: {self.daemons()}"
        for pid in pids:
            kill(pid, sig)
        return pids

    def wait_daemon(self, name, other_than=(), seconds=2.0, count=1):
        """Wait until that many processes of a daemon run that are not in other_than."""
        def there():
            pids = [p for p in self.daemons(name) if p not in other_than]
            return pids if len(pids) >= count else None
        return wait_until(there, seconds, f"a new {name}")

    def log_text(self):
        return read(self.log).decode("utf-8", "replace")

    def settled_log(self, start=0):
        """The log with what was said just now: lines wait up to 20 ms in their process.

        For what must not stand in it, and for what was waited for already.
        """
        time.sleep(0.2)
        return self.log_text()[start:]

    def wait_log(self, pattern, seconds=5.0, start=0):
        """Wait for a line that matches; the match.  start: octets of the log to leave out."""
        rx = re.compile(pattern, re.M)
        return wait_until(lambda: rx.search(self.log_text()[start:]), seconds,
                          f"log line /{pattern}/")

    def tail(self):
        text = read(self.out).decode("utf-8", "replace")[-3000:]
        return text + self.log_text()[-5000:]

    def memory(self):
        """Anonymous + shared memory of master and all daemons, in octets."""
        total = 0
        for pid in tree(self.pid):
            status = read(f"/proc/{pid}/status").decode()
            total += sum(int(n) for n in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+)", status, re.M))
        return total * 1024


def ordinary_user():
    """Number of a user without rights, for a gateway that is not root's."""
    return os.getuid() or pwd.getpwnam("nobody").pw_uid

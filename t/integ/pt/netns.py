"""Private networks: a client, a gateway between, a server, each in a network namespace of its own.

    client 10.77.1.2  --  10.77.1.1 gateway 10.77.2.1  --  10.77.2.2 ... server

and the same with fd77:1:: and fd77:2::.  What is started within `with net.client:` lives there; sockets stay where they
were made.  A namespace has no name and lasts as long as the process that holds it, which ends with the test.
"""

import ctypes
import os
import shutil
import subprocess
import threading

from .cases import Skip
from .util import sh, wait_until

CLONE_NEWNET = 0x40000000
MARK, TABLE = 1, 100  # of packets for tproxy, and where these are routed to ourselves
SERVERS = 16  # addresses of the server: .2 and those that follow

_libc = ctypes.CDLL(None, use_errno=True)


def _enter(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """A context manager: this thread, and what it starts, are in there."""

    def __init__(self):
        self._threads = threading.local()
        # pylint: disable-next=consider-using-with
        self._holder = subprocess.Popen(["unshare", "--net", "setpriv", "--pdeathsig", "KILL", "sleep", "infinity"],
                                        stdin=subprocess.DEVNULL)
        self.pid = self._holder.pid
        try:
            wait_until(self._ready, 10, "a network namespace")
        except BaseException:
            self.close()
            raise

    def _ready(self):
        if self._holder.poll() is not None:
            raise Skip("network namespaces are not allowed here")
        here = os.readlink("/proc/self/ns/net")
        try:
            with open(f"/proc/{self.pid}/comm", encoding="ascii") as f:
                return f.read() == "sleep\n" and os.readlink(f"/proc/{self.pid}/ns/net") != here
        except OSError:
            return False

    def __enter__(self):
        outside = self._threads.__dict__.setdefault("outside", [])
        outside.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(fd)
        except OSError:
            os.close(outside.pop())
            raise
        finally:
            os.close(fd)
        return self

    def __exit__(self, *_exc):
        fd = self._threads.outside.pop()
        try:
            _enter(fd)
        finally:
            os.close(fd)

    def ip(self, *lines, family=None):
        """Commands of ip(8)."""
        with self:
            sh(["ip", *([family] if family else []), "-batch", "-"], data="\n".join(lines).encode() + b"\n")

    def close(self):
        if self._holder.poll() is None:
            self._holder.kill()
        self._holder.wait()


class Net:
    """The three of them, joined.  Skips where they cannot be had."""

    def __init__(self, servers=SERVERS):
        missing = [p for p in ("ip", "nft", "unshare", "setpriv") if shutil.which(p) is None]
        if missing:
            raise Skip("not installed: " + ", ".join(missing))
        if os.getuid() != 0:
            raise Skip("network namespaces need root")
        self._all = []
        try:
            self.client, self.gateway, self.server = (self._make() for _ in range(3))
            self._join(servers)
        except BaseException:
            self.close()
            raise

    def _make(self):
        self._all.append(Namespace())
        return self._all[-1]

    def _join(self, servers):
        sh(["ip", "link", "add", "up0", "netns", str(self.client.pid), "type", "veth", "peer", "name", "clients",
            "netns", str(self.gateway.pid)])
        sh(["ip", "link", "add", "up0", "netns", str(self.server.pid), "type", "veth", "peer", "name", "servers",
            "netns", str(self.gateway.pid)])
        ends = ((self.client, "up0", 1, (2,)), (self.gateway, "clients", 1, (1,)), (self.gateway, "servers", 2, (1,)),
                (self.server, "up0", 2, range(2, 2 + servers)))
        for where, link, n, hosts in ends:
            where.ip("link set lo up", f"link set {link} up",
                     *(f"addr add {a}/{bits} dev {link}{more}" for h in hosts
                       for a, bits, more in ((f"10.77.{n}.{h}", 24, ""), (f"fd77:{n}::{h:x}", 64, " nodad"))))
        for where, n in ((self.client, 1), (self.server, 2)):
            where.ip(f"route add default via 10.77.{n}.1")
            where.ip(f"route add default via fd77:{n}::1", family="-6")
        with self.gateway:
            for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as f:
                    f.write("1\n")
        for family, everything in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
            self.gateway.ip(f"rule add fwmark {MARK} lookup {TABLE}",
                            f"route add local {everything} dev lo table {TABLE}", family=family)

    def steer(self, redirect=(), tproxy=(), dnat=()):
        """What the gateway's machine does with connections: (address, port, port of the gateway), for dnat the last
        one is an address with port.  Replaces what was there."""
        def to(a, port):
            return f"{'ip6' if ':' in a else 'ip'} daddr {a} tcp dport {port}"

        text = ["table inet pt", "delete table inet pt", "table inet pt {",
                "chain turn { type nat hook prerouting priority dstnat; policy accept;"]
        text += [f"{to(a, p)} redirect to :{ours}" for a, p, ours in redirect]
        text += [f"{to(a, p)} dnat {'ip6' if ':' in a else 'ip'} to {other}" for a, p, other in dnat]
        text += ["}", "chain hand_over { type filter hook prerouting priority mangle; policy accept;",
                 # Answers to connections with a client's address.
                 f"meta l4proto tcp socket transparent 1 meta mark set {MARK} accept"]
        text += [f"{to(a, p)} meta mark set {MARK} tproxy {'ip6' if ':' in a else 'ip'} to :{ours} accept"
                 for a, p, ours in tproxy]
        text += ["}", "}"]
        with self.gateway:
            p = sh(["nft", "-f", "-"], data="\n".join(text).encode() + b"\n", check=False)
        if p.returncode != 0:
            why = p.stderr.decode("utf-8", "replace")
            if "Operation not supported" in why or "No such file" in why:
                raise Skip("this kernel has no nft rules for that: " + why.split("\n", maxsplit=1)[0])
            raise RuntimeError("nft: " + why)

    def close(self):
        while self._all:
            self._all.pop().close()


def alone():
    """One namespace with nothing but loopback, whose usual ports are free.  Skips as Net does."""
    if os.getuid() != 0 or shutil.which("ip") is None:
        raise Skip("network namespaces need root, and iproute2")
    n = Namespace()
    try:
        n.ip("link set lo up")
    except BaseException:
        n.close()
        raise
    return n

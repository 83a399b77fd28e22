"""DNS zones, signed or not, at an authoritative server (nsd) on loopback."""

import os
import shutil
import signal
import socket
import time

from .cases import Skip
from .util import Proc, listening, read, sh, wait_until, write

TTL = 60
_SOA = "@ SOA ns.test. hostmaster.test. 1 3600 600 86400 60"

_CONF = """
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: ""
  xfrdfile: ""
  zonelistfile: "{folder}/zone.list"
  xfrdir: "{folder}"
  server-count: 1
  verbosity: 1
  hide-version: yes
remote-control:
  control-enable: no
"""


class Zones:
    """The zone test., signed, with zones below it; .port, and .anchor: a file of its DS records.

    Add zones with add(), then start().  Names in records are relative to their zone.
    """

    def __init__(self, folder, ports):
        for tool in ("nsd", "ldns-keygen", "ldns-signzone"):
            if shutil.which(tool) is None and not os.path.exists(f"/usr/sbin/{tool}"):
                raise Skip(f"no {tool} (see t/packages)")
        self.folder, self.ports, self.port = folder, ports, None
        self.anchor = os.path.join(folder, "anchor")
        self._files = {}  # zone: its file
        self._top = [_SOA, "@ NS ns.test.", "ns A 127.0.0.1"]
        self._proc = None

    def add(self, label, records, signed=True, delegation=True, until=None, spoil=()):
        """A zone LABEL.test.

        records     lines of a zone file, without SOA and NS
        signed      False: no signatures; delegation: whether test. has DS records for a signed one
        until       "YYYYMMDD": the signatures are of the month before and have run out then
        spoil       types whose records are changed once they are signed
        """
        zone = f"{label}.test"
        self._top.append(f"{label} NS ns.test.")
        path = self._write(zone, [_SOA, "@ NS ns.test.", *records])
        if signed:
            path, ds = self._sign(zone, path, until)
            if delegation:
                self._top += ds
            if spoil:
                self._spoil(path, spoil)
        self._files[zone] = path

    def alone(self, zone, records):
        """A signed zone that test. knows nothing of; a file of its own DS records."""
        path, ds = self._sign(zone, self._write(zone, [_SOA, "@ NS ns.test.", *records]), None)
        self._files[zone] = path
        return write(os.path.join(self.folder, f"{zone}.anchor"), "\n".join(ds) + "\n")

    def start(self, seconds=10.0):
        path, ds = self._sign("test", self._write("test", self._top), None)
        self._files["test"] = path
        write(self.anchor, "; DS records of test.\n" + "\n".join(ds) + "\n")
        conf = os.path.join(self.folder, "nsd.conf")
        # Nobody keeps the port for UDP, so somebody else may have it.
        for _ in range(5):
            self.port = self._free_port()
            write(conf, _CONF.format(port=self.port, folder=self.folder) +
                  "".join(f'zone:\n  name: "{z}"\n  zonefile: "{p}"\n' for z, p in self._files.items()))
            self._proc = Proc(["/usr/sbin/nsd", "-d", "-c", conf], os.path.join(self.folder, "nsd.out"))
            wait_until(lambda: not self._proc.alive() or listening(self.port), seconds, "nsd")
            if self._proc.alive():
                return
        raise RuntimeError(f"nsd does not start\n{self.tail()}")

    def stop(self):
        if self._proc is not None:
            self._proc.stop(signal.SIGTERM, 5.0)
            self._proc = None

    def tail(self):
        return read(os.path.join(self.folder, "nsd.out")).decode("utf-8", "replace")[-3000:]

    def _free_port(self):
        while True:
            port = self.ports.get()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                try:
                    s.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    pass

    def _write(self, zone, lines):
        return write(os.path.join(self.folder, zone + ".zone"),
                     f"$ORIGIN {zone}.\n$TTL {TTL}\n" + "\n".join(lines) + "\n")

    def _sign(self, zone, path, until):
        """Sign a zone file; the signed file and the lines of the zone's DS records."""
        key = sh(["ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone],
                 cwd=self.folder).stdout.decode().strip()
        argv = ["ldns-signzone", "-f", path + ".signed"]
        if until is not None:
            since = time.strftime("%Y%m%d", time.gmtime(time.mktime(time.strptime(until, "%Y%m%d")) - 30 * 86400))
            argv += ["-i", since, "-e", until]
        sh([*argv, path, key], cwd=self.folder)
        return path + ".signed", read(os.path.join(self.folder, key + ".ds")).decode().split("\n")[:-1]

    @staticmethod
    def _spoil(path, kinds):
        """Another TTL or address under the same signature."""
        lines = read(path).decode().split("\n")
        for i, line in enumerate(lines):
            words = line.split("\t")
            if len(words) > 4 and words[3] in kinds:
                last = words[4].rstrip()
                words[4] = last[:-1] + ("1" if last[-1] != "1" else "2")
                lines[i] = "\t".join(words)
        write(path, "\n".join(lines))

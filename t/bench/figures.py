"""The figures of t/bench/run; see README.md."""

import os
import subprocess
import sys
import threading

from measure import BUILD, KIB, MIB, SERVER_CORE, compare, figure, on_core
from pt.world import World

from front import Front
from outbound import outbound
from pop3 import pop3
from relay import relay
from tls import tls

SIZES = {"4KiB": 4 * KIB, "1MiB": MIB}
ROUNDS = 7
ROUND_SECONDS = 0.3
SESSIONS = 8  # at a time, so that there is always something to do


class Program:
    """A program of rounds.h."""

    def __init__(self, name, *args, env=None):
        self.child = subprocess.Popen([os.path.join(BUILD, "bench", name), *args], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)

    def run(self, verb, size, count):
        """Do it that often; seconds for all."""
        self.child.stdin.write(f"{verb} {size} {count}\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.child.args[0]} ended: {self.child.wait()}")
        return float(line)

    def stop(self):
        self.child.stdin.close()
        self.child.wait(10)


def mail(sender, rcpt, size):
    """A mail of about that many octets whose body is base64: nothing that anybody compresses."""
    head = (f"From: <{sender}>\r\nTo: <{rcpt}>\r\n"
            "Subject: the figures\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n"
            "Message-ID: <1.figures@example.test>\r\nMIME-Version: 1.0\r\n"
            "Content-Type: application/octet-stream; name=\"figures.bin\"\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\n").encode()
    digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    lines, x = [], 1
    for _ in range(64):
        line = bytearray()
        for _ in range(76):
            x = (x * 1664525 + 1013904223) & 0xffffffff
            line.append(digits[x >> 26])
        lines.append(bytes(line) + b"\r\n")
    block = b"".join(lines)
    room = max(size - len(head), 78)
    body = (block * (room // len(block) + 1))[:room // 78 * 78]
    return head + body


class Gateway:
    """The gateway as a contestant; users alice and bob have keys of one algorithm."""

    def __init__(self, front, algo, sessions=1, each=0):
        self.front, self.sessions, self.each = front, sessions, each
        self.alice, self.bob = f"alice-{algo}@example.test", f"bob-{algo}@example.test"
        self.mails, self.secured = {}, {}

    def _secure(self, size, count):
        seconds, data, facts = self.front.secure(
            self.alice, self.bob, self.mails[size], count, self.sessions, self.each)
        if not facts.startswith("encrypted=pgp/mime") or "signed=no" in facts:
            raise RuntimeError(f"not secured: {facts}")
        self.secured[size] = data
        return seconds

    def prepare(self, verb, size):
        """Make what run needs."""
        if size not in self.mails:
            self.mails[size] = mail(self.alice, self.bob, size)
        if verb == "open" and size not in self.secured:
            self._secure(size, 1)

    def run(self, verb, size, count):
        """Do it that often; seconds for all."""
        self.prepare(verb, size)
        if verb == "secure":
            return self._secure(size, count)
        seconds, data, facts = self.front.open(
            self.bob, self.secured[size], count, self.sessions, self.each)
        if "decrypted=yes, signature=good" not in facts or self.mails[size][-200:] not in data:
            raise RuntimeError(f"not opened: {facts}")
        return seconds


def gpg_home(world, algo):
    """A home with one key, told to do what the others do."""
    g = world.gpg(f"gnupg-{algo}")
    with open(os.path.join(g.home, "gpg.conf"), "a", encoding="ascii") as f:
        f.write("compress-algo none\npersonal-cipher-preferences AES256\n"
                "personal-digest-preferences SHA256\nno-random-seed-file\n")
    g.make("Bench <bench@example.test>", algo)
    return dict(g.env)


def calibrate(contestant, verb, size, length):
    """How many operations make a round of that many seconds."""
    count, seconds = 2, 0.0
    while seconds < length / 3:
        count *= 2
        seconds = contestant.run(verb, size, count)
    return max(3, round(count * length / seconds))


def take_turns(contestants, verb, size, rounds, length):
    """{name: [operations a second in each round]}; in a round all take turns."""
    counts = {name: calibrate(c, verb, size, length) for name, c in contestants.items()}
    rates = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, c in contestants.items():
            rates[name].append(counts[name] / c.run(verb, size, counts[name]))
    return rates


class Peak:
    """The most anonymous and shared memory that the gateway's processes had together."""

    def __init__(self, gateway):
        self.gateway, self.octets, self._end = gateway, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._end.wait(0.005):
            self.octets = max(self.octets, self.gateway.memory())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._end.set()
        self._thread.join()


def memory(quick=False):
    """The most memory that the whole gateway takes for one message of 100 MiB."""
    size = 10 if quick else 100
    with World() as world:
        front = Front(world)
        front.people("alice-ed25519", "bob-ed25519", algo="ed25519")
        contestant = Gateway(front, "ed25519", each=1)
        contestant.run("secure", 4 * KIB, 1)
        contestant.run("open", 4 * KIB, 1)
        figure("memory_idle", front.gw.memory() / MIB, "MiB")
        for verb in "secure", "open":
            contestant.prepare(verb, size * MIB)
            with Peak(front.gw) as peak:
                contestant.run(verb, size * MIB, 1)
            figure(f"memory_{verb}_{size}MiB", peak.octets / MIB, "MiB")


def openpgp(quick=False):
    """Sign and encrypt, decrypt and verify: the engine and the gateway, librnp and GPGME."""
    algos = ("ed25519",) if quick else ("ed25519", "rsa3072")
    rounds, length = (2, 0.05) if quick else (ROUNDS, ROUND_SECONDS)
    with on_core(SERVER_CORE), World() as world:
        front = Front(world)
        for algo in algos:
            front.people(f"alice-{algo}", f"bob-{algo}", algo=algo)
            programs = [Program("pgp_engine", algo, "armor"),
                        Program("pgp_rnp", algo, "armor"),
                        Program("pgp_gpgme", algo, "armor", env=gpg_home(world, algo))]
            contestants = dict(zip(("engine", "librnp", "GPGME"), programs))
            contestants["gateway"] = Gateway(front, algo, sessions=SESSIONS)
            contestants["alone"] = Gateway(front, algo)
            contestants["session"] = Gateway(front, algo, each=1)
            for label, size in SIZES.items():
                for verb in "secure", "open":
                    rates = take_turns(contestants, verb, size, rounds, length)
                    for ours in "engine", "gateway", "alone", "session":
                        for peer in "librnp", "GPGME":
                            compare(f"openpgp_{ours}_{verb}_{algo}_{label}", "/s", rates[ours],
                                    peer, rates[peer])
            for p in programs:
                p.stop()


def mail_scan(quick=False):
    """The scan that decides whether a message needs a worker."""
    runs = "1" if quick else "7"  # of which the best counts
    with on_core(SERVER_CORE):
        subprocess.run([os.path.join(BUILD, "bench", "mail_scan"), runs], check=True)


def smtp(quick=False):
    """Mail on its way out."""
    outbound(mail, gpg_home, quick)


def queue(quick=False):
    """Mail through the queue."""
    relay(mail, quick)


FIGURES = {"mail_scan": mail_scan, "memory": memory, "openpgp": openpgp, "outbound": smtp,
           "pop3": pop3, "relay": queue, "tls": tls}


def main(argv):
    quick = "--quick" in argv
    names = [n for n in argv if n != "--quick"]
    if not names or any(n not in FIGURES for n in names):
        print(f"usage: t/bench/run [--quick] NAME...\nNAME: {' '.join(sorted(FIGURES))}",
              file=sys.stderr)
        return 64
    for n in names:
        print(f"# {n}", flush=True)
        FIGURES[n](quick)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Mail through smtpd to a server that takes everything, beside Postfix with a filter and nginx."""

import os
import socket
import subprocess

from pt.util import Proc, listening, wait_until, write
from pt.world import DOMAIN, World

import gate
import peers
from measure import BUILD, KIB, LOAD_CORE, Client, Contestant, note, on_core, tell

SIZES = {"4KiB": 4 * KIB, "100KiB": 100 * KIB}
SESSIONS = (1, 10)
ROUNDS, ROUND_SECONDS = 5, 0.6
OUTSIDER = "nobody@elsewhere.test"

CONNECTOR = """\
peer "sink" {{
  service = smtp
  host = "127.0.0.1"
  port = {sink}
  tls = none
}}
connector "submission" {{
  service = smtp
  listen = {{"127.0.0.1:{port}"}}
  peer = "sink"
  tls = disabled
  sign_by_address = {{"127.0.0.1/32"}}
}}
"""


class Sink:
    """The server behind all."""

    def __init__(self, world):
        self.port = world.ports.get()
        with on_core(LOAD_CORE):
            proc = Proc([os.path.join(BUILD, "bench", "smtp_sink"), str(self.port)],
                        world.path("sink.out"))
        world.defer(proc.stop)
        wait_until(lambda: listening(self.port), 5, "the sink")

    def last(self):
        """The message that came last, as it came."""
        with socket.create_connection(("127.0.0.1", self.port)) as s, s.makefile("rb") as f:
            f.readline()
            s.sendall(b"LAST\r\n")
            return f.read(int(f.readline().split()[1]))


def start_gateway(world, sink):
    """dora has no key, alice and bob have."""
    port = world.ports.get()
    return gate.start(world, CONNECTOR.format(sink=sink.port, port=port), port,
                      ("alice", "bob", "dora"), with_keys=("alice", "bob"))


class Race:
    """Some contestants with the same kind of mail."""

    def __init__(self, world, sink, label, contestants, sender, rcpt, mail, check):
        self.world, self.sink, self.label, self.contestants = world, sink, label, contestants
        self.sender, self.rcpt, self.mail, self.check = sender, rcpt, mail, check

    def _verify(self, c, client, data):
        client.prepare("1")
        client.go()
        if not self.check(self.sink.last(), data):
            raise RuntimeError(f"{c.name}: {self.label}: {self.sink.last()[:2000]!r}")

    def run(self, sizes, sessions, rounds, seconds):
        for size in sizes:
            data = self.mail(self.sender, self.rcpt, SIZES[size])
            path = write(self.world.path("mail"), data)
            for n in sessions:
                clients = {c: Client("smtp_load", c.port, n, path, self.sender, self.rcpt)
                           for c in self.contestants}
                counts = {}
                for c, client in clients.items():
                    c.clear()
                    self._verify(c, client, data)
                    rate, _ = c.measure(client, str(2 * n))  # to know how many make a round
                    rate, _ = c.measure(client, str(max(n, int(rate * seconds / 4))))
                    counts[c] = max(n, int(rate * seconds))
                for _ in range(rounds):
                    for c, client in clients.items():
                        c.round(client, str(counts[c]))
                for client in clients.values():
                    client.stop()
                ours, *others = self.contestants
                tell(f"outbound_{self.label}_{size}_{n}", "/s", ours, others)


def unchanged(got, sent):
    return got.endswith(sent[-400:] + b".\r\n") and b"PGP" not in got


def encrypted(got, sent):
    return b"-----BEGIN PGP MESSAGE-----" in got and sent[-200:] not in got


def outbound(mail, gpg_home, quick=False):
    """Messages a second on one core, and CPU time for each."""
    sizes = ("4KiB",) if quick else tuple(SIZES)
    sessions = (10,) if quick else SESSIONS
    rounds, seconds = (2, 0.3) if quick else (ROUNDS, ROUND_SECONDS)
    with World() as world:
        sink = Sink(world)
        gateway = start_gateway(world, sink)
        filtered = Contestant("Postfix with a filter", *peers.postfix(world, "postfix", sink.port))
        nginx = peers.nginx(world, "nginx", sink.port, "smtp")
        nginx = Contestant("nginx mail", nginx.port, nginx.pids)
        Race(world, sink, "unchanged", [gateway, filtered, nginx], f"dora@{DOMAIN}", OUTSIDER, mail,
             unchanged).run(sizes, sessions, rounds, seconds)
        env = gpg_home(world, "ed25519")
        # The agent that made the key runs elsewhere.
        subprocess.run(["gpgconf", "--kill", "all"], env=env, check=True)
        port, pids = peers.postfix(world, "postfix-gpg", sink.port, "bench@example.test", env)
        gpg = Contestant("Postfix with a GPGME filter", port, pids)
        race = Race(world, sink, "encrypted", [gateway, gpg], f"alice@{DOMAIN}", f"bob@{DOMAIN}",
                    mail, encrypted)
        client = Client("smtp_load", port, 1, world.path("mail"), race.sender, race.rcpt)
        client.prepare("1")
        client.go()
        client.stop()
        agents = peers.agents(env["GNUPGHOME"])
        if not agents:
            note("no gpg-agent was found: its CPU time is not counted")
        gpg.pids += agents
        race.run(sizes, sessions, rounds, seconds)

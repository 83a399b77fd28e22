"""Mail through the queue to a server that takes everything, beside Postfix; and what taking it costs."""

import os
import signal
import socket
import statistics
import subprocess
import time

from pt.postfix import Postfix
from pt.util import Proc, listening, read, tree, wait_until, write
from pt.world import DOMAIN, World

import gate
import peers
from measure import BUILD, KIB, MIB, SERVER_CORE, Client, Contestant, compare, cpu, figure, note, \
    on_core, pss
from outbound import OUTSIDER, Sink

SIZES = {"4KiB": 4 * KIB, "100KiB": 100 * KIB}
SESSIONS = (1, 10, 50)
ROUNDS, ROUND_SECONDS = 5, 1.0
PER_CONNECTION = 100
GONE = 120  # seconds until the last message must have arrived

CONF = """\
connector "relay" {{
  service = relay
  listen = {{"127.0.0.1:{port}"}}
  tls = disabled
  relay_clients = {{"127.0.0.1"}}
}}
route "all" {{
  domains = {{"*"}}
  servers = {{"127.0.0.1:{sink}"}}
  tls = none
}}
"""
POSTFIX = """\
smtpd_sasl_auth_enable = no
smtpd_relay_restrictions = permit_mynetworks, reject
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
smtpd_tls_security_level = none
smtp_tls_security_level = none
virtual_mailbox_domains =
default_transport = smtp
transport_maps =
default_process_limit = 100
smtpd_client_connection_rate_limit = 0
"""


class Counter:
    """How many messages the sink has taken."""

    def __init__(self, sink):
        self._s = socket.create_connection(("127.0.0.1", sink.port))
        self._f = self._s.makefile("rb")
        self._f.readline()

    def __call__(self):
        self._s.sendall(b"COUNT\r\n")
        return int(self._f.readline().split()[1])


def run(contestant, client, count, sessions, counter):
    """Send them and wait until all have arrived: messages a second, CPU time of each, accept rate."""
    client.prepare(str(count))  # each session sends one that does not count
    settle(counter)
    before, start, had = cpu(contestant.pids), time.monotonic(), counter()
    seconds, _ = client.go()
    end = start + GONE
    while (now := counter()) < had + count:
        if time.monotonic() > end:
            raise RuntimeError(f"{contestant.name}: {now - had} of {count} arrived")
        time.sleep(0.002)
    took = time.monotonic() - start
    after = cpu(contestant.pids)
    return count / took, {n: (t - before.get(n, 0)) / count for n, t in after.items()}, count / seconds


def settle(counter):
    """Wait until nothing arrives any more."""
    last, same = counter(), 0
    while same < 5:
        time.sleep(0.02)
        now = counter()
        same = same + 1 if now == last else 0
        last = now


def race(world, contestants, counter, mail, label, sessions, quick):
    data = mail(f"dora@{DOMAIN}", OUTSIDER, SIZES[label])
    path = write(world.path("mail"), data)
    clients = {c: Client("smtp_load", "-p", "-m", PER_CONNECTION, c.port, sessions, path, f"dora@{DOMAIN}",
                         OUTSIDER) for c in contestants}
    counts, accepts, memory = {}, {c: [] for c in contestants}, {}
    seconds = 0.3 if quick else ROUND_SECONDS
    for c, client in clients.items():
        c.clear()
        rate, _, _ = run(c, client, 4 * sessions, sessions, counter)
        rate, _, _ = run(c, client, max(2 * sessions, int(rate * seconds / 4)), sessions, counter)
        counts[c] = max(2 * sessions, int(rate * seconds))
    for _ in range(2 if quick else ROUNDS):
        for c, client in clients.items():
            rate, cost, accept = run(c, client, counts[c], sessions, counter)
            c.rates.append(rate)
            c.costs.append(cost)
            accepts[c].append(accept)
            memory[c] = max(memory.get(c, 0), pss(c.pids))
    for client in clients.values():
        client.stop()
    ours, other = contestants
    name = f"relay_{label}_{sessions}"
    compare(name, "/s", ours.rates, other.name, other.rates)
    figure(f"{name}_cpu", ours.cost(), "us/message", other.name, other.cost(), ours.cost() / other.cost())
    figure(f"{name}_memory", memory[ours] / MIB, "MiB", other.name, memory[other] / MIB,
           memory[ours] / memory[other])
    note(f"{name}: accepted {statistics.median(accepts[ours]):.0f}/s, Postfix "
         f"{statistics.median(accepts[other]):.0f}/s; "
         + ", ".join(f"{n} {c:.0f} us" for n, c in ours.parts(1)))


def postfix(world, sink):
    cert, key = world.ca.issue("mail.example.test")
    where = peers.folder(world, "postfix")
    p = Postfix(where, world.ports, cert, key, peers._NoDovecot)
    peers._replace(os.path.join(p.conf, "main.cf"), POSTFIX.format(sink=sink.port))
    world.defer(p.stop)
    with on_core(SERVER_CORE):
        p.start()
    return Contestant("Postfix", p.port, [int(read(os.path.join(where, "queue/pid/master.pid")))])


def calls(world, gateway, counter, mail):
    """System calls a message, of all daemons together."""
    sessions, count = 50, 5000
    path = write(world.path("mail"), mail(f"dora@{DOMAIN}", OUTSIDER, SIZES["4KiB"]))
    client = Client("smtp_load", "-p", "-m", PER_CONNECTION, gateway.port, sessions, path, f"dora@{DOMAIN}", OUTSIDER)
    run(gateway, client, count, sessions, counter)
    pids = [p for root in gateway.pids for p in tree(root)]
    out = world.path("strace.out")
    client.prepare(str(count))
    settle(counter)
    tracer = subprocess.Popen(["strace", "-c", "-f", "-o", out, *[a for p in pids for a in ("-p", str(p))]],
                              stderr=subprocess.PIPE, text=True)
    for _ in pids:
        tracer.stderr.readline()
    had = counter()
    client.go()
    wait_until(lambda: counter() >= had + count, GONE, "the messages")
    time.sleep(0.2)
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=20)
    client.stop()
    total, lines = 0, []
    for line in read(out).decode().splitlines():
        cells = line.split()
        if len(cells) >= 5 and cells[0].replace(".", "").isdigit() and cells[3].isdigit():
            if cells[-1] == "total":
                total = int(cells[3])
            else:
                lines.append((int(cells[3]), cells[-1]))
    figure("relay_calls_4KiB_50", total / count, "calls/message")
    note("system calls a message: " + ", ".join(f"{n} {c / count:.1f}" for c, n in sorted(lines, reverse=True)[:12]))


class Floor:
    """What taking mail durably costs at least."""

    def __init__(self, world):
        self.port = world.ports.get()
        where = peers.folder(world, "floor")
        proc = Proc([os.path.join(BUILD, "bench", "smtp_floor"), str(self.port), os.path.join(where, "log")],
                    world.path("floor.out"))
        world.defer(proc.stop)
        wait_until(lambda: listening(self.port), 60, "the floor")
        self.name, self.pids = "smtp_floor", [proc.pid]


def accept(world, gateway, mail, quick):
    """Messages a second that are taken, while nothing is delivered; all may use all cores."""
    floor = Floor(world)
    path = write(world.path("mail"), mail(f"dora@{DOMAIN}", OUTSIDER, SIZES["4KiB"]))
    for sessions in (10, 50):
        clients = [Client("smtp_load", "-p", "-m", PER_CONNECTION, c.port, sessions, path, f"dora@{DOMAIN}", OUTSIDER,
                          core=None) for c in (gateway, floor)]
        rates = ([], [])
        for _ in range(2 if quick else ROUNDS):
            for client, found in zip(clients, rates):
                client.prepare(str(1000 if quick else 4000))
                seconds, n = client.go()
                found.append(n / seconds)
        for client in clients:
            client.stop()
        compare(f"relay_accept_4KiB_{sessions}", "/s", rates[0], floor.name, rates[1])


def relay(mail, quick=False):
    """The gateway as a relay, beside Postfix: rate, CPU time, memory; system calls; accept rate."""
    with World() as world:
        sink = Sink(world)
        counter = Counter(sink)
        port = world.ports.get()
        ours = gate.start(world, CONF.format(port=port, sink=sink.port), port, ("dora",))
        other = postfix(world, sink)
        for label in ("4KiB",) if quick else tuple(SIZES):
            for sessions in (10,) if quick else SESSIONS:
                race(world, [ours, other], counter, mail, label, sessions, quick)
        calls(world, ours, counter, mail)
    # Nothing is delivered where nobody listens.
    with World() as world:
        port, nobody = world.ports.get(), world.ports.get()
        ours = gate.start(world, CONF.format(port=port, sink=nobody), port, ("dora",), core=None, processes=2)
        accept(world, ours, mail, quick)

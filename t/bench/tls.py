"""TLS handshakes of smtpd with the key in cryptod, full and resumed, beside the same with the key at hand."""

import os
import statistics

from pt.world import World

import gate
import peers
from measure import BUILD, Client, Contestant, compare, figure, note, tell
from outbound import Sink

AT_ONCE = (1, 16)  # connections
ROUNDS, ROUND_SECONDS = 5, 0.6
CERTIFICATES = {"ecdsa": False, "rsa": True}  # P-256, RSA of 2,048 bit
# Name, certificate, kind of handshake; what is resumed has no signature, whatever the certificate is.
HANDSHAKES = (("ecdsa", "ecdsa", "full"), ("rsa", "rsa", "full"), ("resumed", "ecdsa", "resumed"))

PEER = """\
peer "sink" {{
  service = smtp
  host = "127.0.0.1"
  port = {sink}
  tls = none
}}
connector "clear" {{
  service = smtp
  listen = {{"127.0.0.1:{port}"}}
  peer = "sink"
  tls = disabled
}}
"""
CONNECTOR = """\
connector "{kind}" {{
  service = smtp
  listen_tls = {{"127.0.0.1:{port}"}}
  peer = "sink"
  certificates = {{"{cert}"}}
}}
"""


class Ways:
    """Where a contestant greets: .port[kind], "clear" or that of a certificate."""

    def __init__(self, world, certs):
        self.certs = certs
        self.port = {kind: world.ports.get() for kind in certs}

    def tls(self):
        """[(port, certificate, key)]"""
        return [(self.port[kind], *self.certs[kind]) for kind in self.certs]

    def ready(self, contestant):
        contestant.ports = dict(self.port, clear=contestant.port)
        return contestant


def start_gateway(world, sink, certs):
    ways, port = Ways(world, certs), world.ports.get()
    pieces = PEER.format(sink=sink.port, port=port) + "".join(
        CONNECTOR.format(kind=kind, port=ways.port[kind], cert=cert)
        for kind, (cert, _) in certs.items())
    keys = [key for _, key in certs.values()]
    return ways.ready(gate.start(world, pieces, port, (), tls_keys=keys))


def start_local(world, certs):
    ways, port = Ways(world, certs), world.ports.get()
    argv = [os.path.join(BUILD, "bench", "tls_local"), port] + [x for w in ways.tls() for x in w]
    server = peers.Server(world, "local", list(map(str, argv)), port)
    return ways.ready(Contestant("lib/net with a local key", port, server.pids))


def start_nginx(world, sink, certs, name, protocol):
    ways = Ways(world, certs)
    server = peers.nginx(world, name.replace(" ", "-"), sink.port, protocol, ways.tls())
    return ways.ready(Contestant(name, server.port, server.pids))


def race(contestants, kind, how, at_once, rounds, seconds):
    """Rounds in which all contestants take turns at their ports of a kind; how: see tls_load."""
    clients, counts = {}, {}
    for c in contestants:
        c.clear()
        clients[c] = Client("tls_load", c.ports[kind], at_once, how)
        rate, _ = c.measure(clients[c], str(16 * at_once))
        rate, _ = c.measure(clients[c], str(max(at_once, int(rate * seconds / 4))))
        counts[c] = max(at_once, int(rate * seconds))
    for _ in range(rounds):
        for c, client in clients.items():
            c.round(client, str(counts[c]))
    for client in clients.values():
        client.stop()


def core_rates(c):
    """What each round would have been, had the measured core never waited for the clients."""
    return [1 / sum(parts.values()) for parts in c.costs]


def report(name, contestants):
    """Rates, whose CPU time it is, and whether the measured core was the bound."""
    ours, *others = contestants
    tell(name, "/s", ours, others, "connection")
    for p in others:
        compare(f"{name}_core", "/s of a core", core_rates(ours), p.name, core_rates(p))
    for n, us in ours.parts():
        figure(f"{name}_cpu_{n}", us, "us/connection")
    for c in contestants:
        busy = statistics.median(r * sum(p.values()) for r, p in zip(c.rates, c.costs))
        note(f"{name}: {c.name}: {busy:.0%} of the core, "
             + ", ".join(f"{n} {us:.0f} us" for n, us in c.parts()))


def tls(quick=False):
    """Connections a second up to the greeting, in clear and behind a handshake; CPU time for each."""
    at_once = (16,) if quick else AT_ONCE
    rounds, seconds = (2, 0.2) if quick else (ROUNDS, ROUND_SECONDS)
    with World() as world:
        certs = {kind: world.ca.issue(kind, rsa=rsa) for kind, rsa in CERTIFICATES.items()}
        sink = Sink(world)
        contestants = [start_gateway(world, sink, certs), start_local(world, certs),
                       start_nginx(world, sink, certs, "nginx mail", "smtp"),
                       start_nginx(world, sink, certs, "nginx stream", None)]
        ours, *others = contestants
        for n in at_once:
            race(contestants, "clear", "clear", n, rounds, seconds)
            report(f"tls_clear_{n}", contestants)
            clear = {c: c.cost() for c in contestants}
            for what, kind, how in HANDSHAKES:
                name = f"tls_{what}_{n}"
                race(contestants, kind, how, n, rounds, seconds)
                report(name, contestants)
                own = {c: c.cost() - clear[c] for c in contestants}
                for p in others:
                    figure(f"{name}_handshake_cpu", own[ours], "us/handshake", p.name, own[p],
                           own[ours] / own[p])
                for p in others:
                    figure(f"{name}_handshakes", 1e6 / own[ours], "/s of a core", p.name,
                           1e6 / own[p], own[p] / own[ours])

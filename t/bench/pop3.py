"""Mail fetched through pop3d from Dovecot, beside other proxies before the same Dovecot."""

import os
import pwd

from pt.util import write
from pt.world import DOMAIN, World

import gate
import peers
from measure import KIB, LOAD_CORE, Client, Contestant, figure, on_core, pss, tell

MESSAGES, SIZE = 1000, 48 * KIB
ROUNDS = 5
LOGINS, IDLE = 400, 1000
FULL, EMPTY = "alice", "bob"  # whose maildrop has messages, and whose has none

# Behind a proxy it is to be as fast as it can be.
DOVECOT = """
mail_max_userip_connections = 0
auth_cache_size = 1M
service pop3-login {
  service_count = 0
  process_limit = 1
  process_min_avail = 1
  client_limit = 20000
}
service pop3 {
  service_count = 0
  process_min_avail = 2
  process_limit = 200
  client_limit = 20
}
service auth {
  client_limit = 20000
}
service anvil {
  client_limit = 20000
}
"""
CONNECTOR = """\
peer "office" {{
  service = pop3
  host = "127.0.0.1"
  port = {backend}
  tls = none
  login_domain = "{domain}"
}}
connector "pop3" {{
  service = pop3
  listen = {{"127.0.0.1:{port}"}}
  peer = "office"
  tls = disabled
}}
"""


def message(number):
    """Text, and an attachment in base64, as most large mail is; nothing in it is for the gateway."""
    head = (f"From: Pat <pat@partner.test>\nTo: Alice <alice@{DOMAIN}>\nSubject: Figures, part {number}\n"
            "Date: Mon, 2 Nov 2026 10:00:00 +0000\n"
            f"Message-ID: <{number}.figures@partner.test>\nMIME-Version: 1.0\n"
            'Content-Type: multipart/mixed; boundary="=-=-="\n\n'
            "--=-=-=\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: quoted-printable\n\n")
    text = "The quick brown fox jumps over the lazy dog, as it has done in so many a=20\nline.\n" * 90
    tail = "\n--=-=-=--\n"
    part = ("--=-=-=\nContent-Type: application/octet-stream; name=figures.bin\n"
            "Content-Transfer-Encoding: base64\n\n")
    line = "QmFzZTY0IGlzIHdoYXQgbW9zdCBvZiBhbGwgbWFpbCBpcyBtYWRlIG9mLCBieSBpdHMgb2N0ZXRz\n"
    used = len(head) + len(text) + len(part) + len(tail)
    return (head + text + part + line * ((SIZE - used) // (len(line) + 1)) + tail).encode()


def fill(dovecot, count):
    """Put the messages into the maildrop with their sizes in their names, as a delivery does."""
    box = os.path.join(dovecot.folder, "mail", FULL, "Maildir")
    os.makedirs(os.path.join(box, "cur"))
    for i in range(1, count + 1):
        data = message(i)
        name = f"{1700000000 + i}.M{i}.bench,S={len(data)},W={len(data) + data.count(10)}:2,S"
        write(os.path.join(box, "cur", name), data)
    if os.getuid() == 0:
        owner = pwd.getpwnam("mail")
        for where, folders, names in os.walk(os.path.dirname(box)):
            for name in [where] + [os.path.join(where, n) for n in folders + names]:
                os.chown(name, owner.pw_uid, owner.pw_gid)


def start_gateway(world, backend):
    port = world.ports.get()
    pieces = CONNECTOR.format(backend=backend, port=port, domain=DOMAIN)
    return gate.start(world, pieces, port, (FULL, EMPTY))


def idle(world, contestants, count):
    """Memory of each session that is logged in and says nothing."""
    used = {}
    for c in contestants:
        if not c.pids:
            continue
        client = Client("pop3_load", c.port, EMPTY, world.users[EMPTY])
        client.prepare("login 8")  # so that what all sessions share is there
        client.go()
        before = pss(c.pids)
        client.prepare(f"idle {count}")
        used[c] = (pss(c.pids) - before) / count / KIB
        client.go()
        client.stop()
    ours, *others = used
    for p in others:
        figure(f"pop3_idle_{count}", used[ours], "KiB/session", p.name, used[p],
               used[ours] / used[p])


def race(world, contestants, label, user, command, rounds, what):
    """Rounds in which all contestants take turns."""
    clients = {c: Client("pop3_load", c.port, user, world.users[user]) for c in contestants}
    for c, client in clients.items():
        c.clear()
        c.measure(client, command)  # what is read for the first time is no part of it
    for _ in range(rounds):
        for c, client in clients.items():
            c.round(client, command)
    for client in clients.values():
        client.stop()
    tell(f"pop3_{label}", "/s", contestants[0], contestants[1:], what)


def pop3(quick=False):
    """Messages and logins a second, CPU time for each on the proxy's core, memory."""
    messages, rounds, logins, held = (100, 2, 50, 200) if quick else (MESSAGES, ROUNDS, LOGINS, IDLE)
    with World() as world:
        with on_core(LOAD_CORE):
            dovecot = world.dovecot(extra=DOVECOT)
        fill(dovecot, messages)
        gateway = start_gateway(world, dovecot.pop3)
        contestants = [gateway, Contestant("Dovecot directly", dovecot.pop3)]
        for name, server in (
                ("nginx stream", peers.nginx(world, "stream", dovecot.pop3)),
                ("nginx mail", peers.nginx(world, "mail", dovecot.pop3, "pop3")),
                ("Dovecot as proxy", peers.dovecot(world, "proxy", dovecot.pop3)),
                ("perdition", peers.perdition(world, "perdition", dovecot.pop3))):
            contestants.append(Contestant(name, server.port, server.pids))
        idle(world, contestants, held)
        race(world, contestants, "each", FULL, f"each {messages}", rounds, "message")
        race(world, contestants, "bulk", FULL, f"bulk {messages}", rounds, "message")
        race(world, contestants, "logins", EMPTY, f"login {logins}", rounds, "login")

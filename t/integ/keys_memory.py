#!/usr/bin/env python3
"""After real traffic no process but cryptod has a private key in its memory: the test knows them and looks."""

# check: timeout=300

import glob
import hashlib
import os
import ssl
import subprocess

from pt import Site, Skip, case, run
from pt import clients, mails
from pt.memory import memory
from pt.util import read, running, sh, tree, write

USERS = {"alice": "ed25519", "bob": "rsa3072"}
PAT = "pat@partner.test"
PART = 32  # octets of a secret that are looked for, at its beginning and its end

CONNECTOR = """
connector "{service}-{kind}" {{
  service = {service}
  listen = {{"127.0.0.1:{port}"}}
  peer = "office-{service}"
  certificates = {{"{cert}"}}
}}
"""


def connectors(w):
    w.certs = {kind: w.ca.issue(kind, rsa=kind == "rsa") for kind in ("ec", "rsa")}
    w.tls_ports = {(s, k): w.ports.get() for s in ("smtp", "pop3") for k in w.certs}
    return "".join(CONNECTOR.format(service=s, kind=k, port=port, cert=w.certs[k][0])
                   for (s, k), port in w.tls_ports.items())


def smtp_peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def pop3_peer(w):
    w.pop = w.fakepop()
    return w.pop.port


def world():
    w = Site(smtp_port=smtp_peer, pop3_port=pop3_peer, users=tuple(USERS), keys=(), more=connectors)
    empty = w.gw.own(write(w.path("empty"), "\n", 0o600))
    w.secrets = {"sealing key": sealing_key(w)}
    for user, algo in USERS.items():
        g = w.gpg(user)
        g.make(f"{user} <{w.address(user)}>", algo=algo)
        path = w.gw.own(write(w.path(user + ".sec"), g.secret(w.address(user)), 0o600))
        w.gw.keyctl("import", "--passphrase-file", empty, path)
        for n, numbers in enumerate(openpgp_secrets(g.secret(w.address(user), armor=False))):
            for name, number in numbers.items():
                w.secrets[f"{user}'s key {n} {name}"] = number
    w.pat = w.gpg("pat")
    w.pat.make(f"Pat <{PAT}>")
    w.learn(PAT, w.pat.public(PAT), "pat")
    for kind, (_, key) in w.certs.items():
        w.gw.keyctl("import", "--tls", w.gw.own(key))
        for name, number in pem_secrets(key, kind).items():
            w.secrets[f"TLS {kind} {name}"] = number
    return w


def sealing_key(w):
    """From the sealed memory file that master keeps."""
    for fd in glob.glob(f"/proc/{w.gw.pid}/fd/*"):
        try:
            if os.readlink(fd).startswith("/memfd:seal"):
                return read(fd)
        except PermissionError as e:
            raise Skip("descriptors of other processes cannot be read here") from e
        except OSError:
            pass
    raise AssertionError("master has no sealing key")


# ---- private numbers from files ----

def packets(data):
    """(tag, body) of OpenPGP packets (RFC 9580, 4.2) of one or two octets of length, or the old format."""
    at = 0
    while at < len(data):
        first, at = data[at], at + 1
        if first & 0x40:
            tag, n, at = first & 63, data[at], at + 1
            if n >= 192:
                n, at = ((n - 192) << 8) + data[at] + 192, at + 1
        else:
            tag, size = first >> 2 & 15, 1 << (first & 3)
            n, at = int.from_bytes(data[at:at + size], "big"), at + size
        yield tag, data[at:at + n]
        at += n


def mpis(data, count):
    """That many numbers (RFC 9580, 3.2) as octets, and what follows."""
    out = []
    for _ in range(count):
        n = (int.from_bytes(data[:2], "big") + 7) // 8
        out.append(data[2:2 + n])
        data = data[2 + n:]
    return out, data


def openpgp_secrets(data):
    """For each secret key of an unprotected export {name: octets} (RFC 9580, 5.5.5)."""
    for tag, body in packets(data):
        if tag not in (5, 7):
            continue
        algo, rest = body[5], body[6:]
        if algo == 1:
            _, rest = mpis(rest, 2)
            assert rest[0] == 0, "the key is protected"
            numbers, _ = mpis(rest[1:], 4)
            yield dict(zip(("d", "p", "q", "u"), numbers))
            continue
        _, rest = mpis(rest[1 + rest[0]:], 1)
        if algo == 18:
            rest = rest[1 + rest[0]:]  # of the key derivation
        assert rest[0] == 0, "the key is protected"
        (scalar,), _ = mpis(rest[1:], 1)
        scalar = scalar.rjust(32, b"\0")
        if algo == 18:
            yield {"scalar": scalar}
        else:
            # What a signature is computed with (RFC 8032, 5.1.5).
            h = bytearray(hashlib.sha512(scalar).digest()[:32])
            h[0] &= 248
            h[31] = h[31] & 127 | 64
            yield {"seed": scalar, "scalar": bytes(h)}


def der(data):
    """[(tag, contents)] of one level of DER."""
    out, at = [], 0
    while at < len(data):
        tag, n, at = data[at], data[at + 1], at + 2
        if n & 0x80:
            size = n & 0x7f
            n, at = int.from_bytes(data[at:at + size], "big"), at + size
        out.append((tag, data[at:at + n]))
        at += n
    return out


def pem_secrets(path, kind):
    """{name: octets} of a private key's file."""
    if kind == "ec":  # RFC 5915, 3
        fields = der(der(sh(["openssl", "ec", "-in", path, "-outform", "DER"]).stdout)[0][1])
        return {"scalar": fields[1][1]}
    fields = der(der(sh(["openssl", "rsa", "-traditional", "-in", path, "-outform", "DER"]).stdout)[0][1])
    names = ("version", "n", "e", "d", "p", "q", "dp", "dq", "qinv")  # RFC 8017, A.1.2
    return {name: value.lstrip(b"\0") for name, (_, value) in zip(names, fields)
            if name not in ("version", "n", "e")}


# ---- traffic ----

def pop3_session(w, port, user, starttls):
    """A session that has fetched its messages and goes on."""
    c = clients.Raw(port, timeout=30)
    c.pop()
    if starttls:
        assert c.pop("STLS")[0].startswith("+OK")
        c.start_tls(w.ca.ca)
    assert c.pop(f"USER {user}")[0].startswith("+OK")
    assert c.pop(f"PASS {w.users[user]}")[0].startswith("+OK")
    assert b"4711" in c.pop("RETR 1", multi=True)[1], user
    return c


def smtp_session(w, port, user, starttls):
    """A session that has sent a signed and encrypted message and goes on."""
    c = clients.Raw(port, timeout=30)
    c.smtp()
    assert c.smtp("EHLO client.test")[0] == 250
    if starttls:
        assert c.smtp("STARTTLS")[0] == 220
        c.start_tls(w.ca.ca)
        assert c.smtp("EHLO client.test")[0] == 250
    assert c.smtp("AUTH PLAIN " + clients.plain_login(*w.login(user)))[0] == 235
    sender = w.address(user)
    for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{PAT}>"):
        assert c.smtp(line)[0] == 250
    assert c.smtp("DATA")[0] == 354
    c.send(mails.plain(sender, PAT, "[encrypt] plan", "the price is 4711\r\n") + b".\r\n")
    assert c.smtp()[0] == 250
    part, status = mails.open_pgp(w.pat, w.peer.take()[0].data)
    assert b"4711" in part and sender in status.get("GOODSIG", ""), status
    return c


def traffic(w):
    """Open sessions of all kinds, whose workers are there still."""
    for user in USERS:
        w.pat.add(w.gpg(user).public(w.address(user)))
        w.pop.put(user, mails.pgp_encrypted(w.pat, mails.plain(PAT, w.address(user), body="4711\n"),
                                            [w.address(user)]))
    sessions = []
    for user in USERS:
        sessions.append(smtp_session(w, w.submission, user, False))
        sessions.append(pop3_session(w, w.retrieval, user, False))
        for (service, _), port in w.tls_ports.items():
            start = smtp_session if service == "smtp" else pop3_session
            sessions.append(start(w, port, user, True))
            assert isinstance(sessions[-1].sock, ssl.SSLSocket)
    return sessions


# ---- memory ----

def core(w, pid):
    """What gcore writes of a process, or None where it is refused.

    It leaves out what a daemon keeps out of core dumps (MADV_DONTDUMP: OpenSSL's secure heap, the
    sealing key) and files that are mapped shared (the databases: gigabytes of address space).
    """
    p = subprocess.run(["gcore", "-o", w.path("core"), str(pid)], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
    path = w.path(f"core.{pid}")
    if p.returncode != 0 or not os.path.exists(path):
        return None if running(pid) else b""
    data = read(path)
    os.unlink(path)
    return data


def forms(secret):
    """How it may lie in memory: as it travels, or as a number of little-endian words."""
    for s in (secret, secret[::-1]):
        yield s[:PART]
        yield s[-PART:]


def holders(w, processes, look, least=0):
    """{secret: names of the processes where one of its forms stands}.

    least: so many workers must have been looked into; they end when nobody has work for them.
    """
    found, workers = {name: set() for name in w.secrets}, 0
    for pid, who in sorted(processes.items(), key=lambda p: p[1] != "worker"):
        data = look(pid)
        if data is None:
            return None
        workers += who == "worker" and data != b""
        for name, secret in w.secrets.items():
            if any(f in data for f in forms(secret)):
                found[name].add(who)
    assert workers >= least, f"only {workers} workers were there"
    return found


def check(found):
    """No private key anywhere but in cryptod, and there each of them; the sealing key never with a third."""
    for name, where in found.items():
        assert where <= ({"cryptod", "master"} if name == "sealing key" else {"cryptod"}), (name, where)


def key_of(name):
    """bob's key 1 of "bob's key 1 p"."""
    return name.rpartition(" ")[0]


@case
def only_cryptod_holds_private_keys(w):
    assert len(w.secrets) >= 17 and all(len(s) >= 32 for s in w.secrets.values()), sorted(w.secrets)
    sessions = traffic(w)
    try:
        names = w.gw.daemons() | {w.gw.pid: "master"}
        processes = {pid: names.get(pid, "worker") for pid in tree(w.gw.pid)}
        there = set(processes.values())
        assert there >= {"master", "smtpd", "pop3d", "filterd", "worker", "policyd", "cryptod", "dnsd", "logd"}, there
        assert list(processes.values()).count("worker") >= len(sessions), processes
        found = holders(w, processes, memory, least=len(sessions) // 2)
        check(found)
        # That they would have been seen: something of each key is in cryptod.
        seen = {key_of(name) for name, where in found.items() if "cryptod" in where}
        assert seen == {key_of(name) for name in found}, found
        found = holders(w, processes, lambda pid: core(w, pid))
        if found is None:
            print("note: gcore may not look into these processes; their memory was read as root")
        else:
            check(found)
    finally:
        for c in sessions:
            c.close()


@case
def nothing_of_them_is_left_once_it_is_locked(w):
    """Numbers of RSA, which threads have worked with, too."""
    w.gw.keyctl("lock")
    names = w.gw.daemons() | {w.gw.pid: "master"}
    found = holders(w, {pid: names.get(pid, "worker") for pid in tree(w.gw.pid)}, memory)
    assert not any(found.values()), {name: where for name, where in found.items() if where}
    w.gw.keyctl("unlock", "--key-file", w.key_file)


run(world)

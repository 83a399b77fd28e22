"""testssl.sh against the gateway's TLS: doors of every kind, how it is run, what it may find.

It comes from Debian and uses Debian's openssl; what that no longer speaks, it tries with sockets of its own.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess

from .cases import Skip
from .util import read, write
from .world import World

PROGRAM = "testssl"
FINE = ("OK", "INFO", "LOW", "DEBUG")  # DEBUG: it does not know which service that is, at a TLS port

# What else it may say anywhere: how the finding begins, and why that is no fault.
ACCEPTED = {
    "sessionresumption_ticket": ("check failed because of connect problem",
                                 "its client is often gone before the ticket of TLS 1.3 comes, behind the handshake"),
}

# What a run must have seen, so that one that broke off, or never got through, is not taken for a good one.
SEEN = {"SSLv2": "not offered", "SSLv3": "not offered", "TLS1": "not offered", "TLS1_1": "not offered",
        "TLS1_2": "offered", "TLS1_3": "offered"}
SEEN_CERTIFICATE = {"cert_trust": "Ok via SAN", "cert_chain_of_trust": "passed"}

SECONDS = 1500  # for a full run on a busy machine
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"], "TERM": "dumb"}

PIECES = """
ignition {{
  key_file = "{key}"
}}
processes {{
  smtpd = 1
  pop3d = 1
}}
limits {{
  sessions_per_client = 1000
}}
keyd {{
  allow = {{"127.0.0.0/8"}}
}}
tls_profile "stapling" {{
  stapling = yes
}}
action "smtp-both" {{
  service = smtp
  profile = "stapling"
}}
peer "smtp" {{
  service = smtp
  host = "127.0.0.1"
  port = {smtp}
  tls = none
}}
peer "pop3" {{
  service = pop3
  host = "127.0.0.1"
  port = {pop3}
  tls = none
}}
"""
CONNECTOR = """
connector "{service}-{kind}" {{
  service = {service}
  listen = {{"127.0.0.1:{clear}"}}
  listen_tls = {{"127.0.0.1:{tls}"}}
  peer = "{service}"
  certificates = {{{certificates}}}
  {more}
}}
"""
KINDS = ("ecdsa", "rsa", "both")


class Door:
    """Where the gateway speaks TLS.

    starttls    the protocol of a clear port that offers it; None: TLS from the first octet on
    ca          the authority that a client knows
    net         a context manager in which clients are
    accepted    what may be found there beside ACCEPTED
    """

    def __init__(self, name, ca, port, starttls=None, host="localhost", address="127.0.0.1",
                 net=contextlib.nullcontext(), accepted=()):
        self.name, self.ca, self.port, self.starttls = name, ca, port, starttls
        self.host, self.address, self.net, self.accepted = host, address, net, dict(ACCEPTED, **dict(accepted))


class DoorsWorld(World):
    """A gateway (.gw) with .doors: {name: Door}, of each service, kind of certificate and way to TLS.

    kinds: which certificates.  Where there are both, smtpd staples OCSP responses.
    """

    def __init__(self, kinds=KINDS):
        super().__init__()
        if shutil.which(PROGRAM) is None:
            raise Skip("testssl.sh is not installed")
        try:
            self._begin(kinds)
        except BaseException:
            print(self.log_tails())
            self.close()
            raise

    def _begin(self, kinds):
        self.doors, self._certs, self._responder = {}, {}, self.ocsp()
        for kind in KINDS[:2]:
            self._certs[kind] = self.ca.issue(kind, rsa=kind == "rsa", more=self._responder.aia, days=90)
            self._responder.good(self._certs[kind][0])
        self.key_file = self.path("gw", "ignition.key")
        self.pieces = PIECES.format(key=self.key_file, smtp=self.sink().port, pop3=self.fakepop().port)
        self.pieces += "".join(self._connector(service, kind) for service in ("smtp", "pop3") for kind in kinds)
        self.gw = self.gateway(self.pieces, level="info")
        self.gw.own(write(self.key_file, secrets.token_bytes(32), 0o400))
        self.start()

    def start(self):
        self.gw.start()
        self.gw.keyctl("init", "--key-file", self.key_file, "--cost", "1,8")
        for _, key in self._certs.values():
            self.gw.keyctl("import", "--tls", key)

    def _connector(self, service, kind):
        used = KINDS[:2] if kind == "both" else (kind,)
        chains = [write(self.path(f"{x}-chain.pem"), self._chain(x)) for x in used]
        clear, tls = self.ports.get(), self.ports.get()
        starttls, wrapped = (f"{service}-starttls-{kind}", f"{service}s-{kind}")
        self.doors[starttls] = Door(starttls, self.ca.ca, clear, service)
        self.doors[wrapped] = Door(wrapped, self.ca.ca, tls)
        more = 'action = "smtp-both"' if kind == "both" and service == "smtp" else ""
        return CONNECTOR.format(service=service, kind=kind, clear=clear, tls=tls, more=more,
                                certificates=", ".join(f'"{c}"' for c in chains))

    def _chain(self, kind):
        """The certificate with its issuer behind it, which the gateway needs to ask about it."""
        return read(self._certs[kind][0]) + read(self.ca.ca)


def run_testssl(door, out, options=()):
    """Run it; its findings.  The file JSON of them, and the text for people, are left in the folder out.

    options     which tests; none: all, which takes a minute or two
    """
    where = os.path.join(out, f"testssl-{door.name}")
    for path in (where + ".json", where + ".txt"):
        if os.path.exists(path):
            os.unlink(path)
    argv = [PROGRAM, "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", door.address,
            "--add-ca", door.ca, "--jsonfile", where + ".json"]
    argv += ["-t", door.starttls] if door.starttls else []
    argv += [*options, f"{door.host}:{door.port}"]
    with door.net, open(where + ".txt", "wb") as text:
        code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=text, stderr=text, check=False, timeout=SECONDS,
                              env=dict(ENVIRONMENT, TMPDIR=out, HOME=out)).returncode
    try:
        with open(where + ".json", encoding="utf-8", errors="replace") as f:
            return json.load(f)
    except ValueError as e:
        with open(where + ".txt", encoding="utf-8", errors="replace") as f:
            raise RuntimeError(f"testssl, exit {code}: {f.read()[-2000:]}") from e


def wrong(door, findings, certificate=True):
    """Lines about what is above LOW and not accepted, and about what should have been seen.

    certificate: it was looked at
    """
    lines, found = [], {}
    for f in findings:
        name, text = f["id"].partition(" ")[0], f["finding"]  # "id <hostCert#2>": of the second certificate
        found.setdefault(name, []).append(text)
        if f["severity"] not in FINE and not (name in door.accepted and text.startswith(door.accepted[name][0])):
            lines.append(f"{f['severity']}: {f['id']}: {text}")
    for name, text in dict(SEEN, **(SEEN_CERTIFICATE if certificate else {})).items():
        if name not in found or not all(t.startswith(text) for t in found[name]):
            lines.append(f"expected: {name}: {text}; found: {found.get(name)}")
    return lines

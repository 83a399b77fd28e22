"""What a test stands on: a folder with servers in it, all stopped at the end."""

import os
import shutil
import tempfile

from . import dovecot, gateway
from .certs import Authority
from .cases import Skip, opened
from .dns import Dns
from .fakepop import FakePop
from .gpg import Gpg
from .ocsp import Responder
from .postfix import Postfix
from .sink import Sink
from .util import Ports
from .zones import Zones

DOMAIN, PARTNER = "example.test", "partner.test"


class World:
    """A context manager.  Every method that starts something registers how it is stopped."""

    def __init__(self):
        # Short, for sockets' paths; passable, for daemons of several users.
        self.folder = tempfile.mkdtemp(prefix="pt.", dir=os.environ.get("TMPDIR") or "/tmp")
        os.chmod(self.folder, 0o711)
        self.keep = False
        self.ports = Ports()
        self._stops = []
        self._logs = []
        self._sinks = []
        self._ca = None
        self.users = dict(dovecot.USERS)
        opened.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self):
        """Stop everything, newest first, whatever fails on the way; then remove the folder."""
        failed = None
        while self._stops:
            try:
                self._stops.pop()()
            except Exception as e:  # pylint: disable=broad-except
                failed = e
        self.ports.close()
        if self in opened:
            opened.remove(self)
        if self.keep:
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        if failed is not None:
            raise failed

    def defer(self, func):
        """Call func() when the world closes."""
        self._stops.append(func)

    def before_case(self):
        """What a case that failed left at the sinks is not the next one's."""
        for s in self._sinks:
            s.clear()
            with s.lock:
                s.mails.clear()

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def log_tails(self):
        """The ends of all servers' logs, for a case that failed."""
        return "\n".join(f"--- {name}\n{tail()}" for name, tail in self._logs)

    @property
    def ca(self):
        """The test's certificate authority."""
        if self._ca is None:
            self._ca = Authority(self.path("ca"))
        return self._ca

    def login(self, user):
        return user, self.users[user]

    def _started(self, name, server):
        self.defer(server.stop)
        self._logs.append((name, server.tail))
        server.start()
        return server

    def dovecot(self, name="dovecot", cert=None, ports=None, **kw):
        """cert: (certificate file, key file).  ports: of whom it gets them, instead of .ports."""
        cert, key = cert or self.ca.issue("mail.example.test", names=("mail.example.test", "localhost"))
        d = dovecot.Dovecot(self._sub(name), ports or self.ports, cert, key, users=self.users, **kw)
        return self._started(name, d)

    def postfix(self, imap_server, name="postfix", routes=None, cert=None, ports=None, **kw):
        """The organisation's server before imap_server (a Dovecot); routes as in Postfix, cert and ports as for
        Dovecot."""
        if os.getuid() != 0:
            raise Skip("Postfix needs root")
        cert, key = cert or self.ca.issue("mail.example.test", names=("mail.example.test", "localhost"))
        p = Postfix(self._sub(name), ports or self.ports, cert, key, imap_server, users=self.users,
                    routes=routes, **kw)
        return self._started(name, p)

    def sink(self, **kw):
        s = Sink(**kw)
        self.defer(s.stop)
        self._sinks.append(s)
        return s

    def fakepop(self, **kw):
        s = FakePop(kw.pop("users", self.users), **kw)
        self.defer(s.stop)
        return s

    def dns(self, records=None):
        d = Dns(records)
        self.defer(d.stop)
        return d

    def ocsp(self, authority=None):
        r = Responder(authority or self.ca, self._sub("ocsp"), self.ports.get())
        self.defer(r.stop)
        return r

    def zones(self, name="zones"):
        """An authoritative name server; start() it once its zones are there."""
        z = Zones(self._sub(name), self.ports)
        self.defer(z.stop)
        self._logs.append((name, z.tail))
        return z

    def gpg(self, name="gpg"):
        g = Gpg(self.path(name))
        self.defer(g.stop)
        return g

    def gateway(self, pieces="", name="gw", start=False, **kw):
        """A gateway; start it with .start() once its keys are made, or with start=True."""
        g = gateway.Gateway(self._sub(name), pieces, **kw)
        self.defer(g.stop)
        self._logs.append((name, g.tail))
        if start:
            g.start()
        return g

    def _sub(self, name):
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o711)
        return path

"""The walking gateway and all it stands between: an organisation's mail servers, a partner."""

import os
import secrets
import smtplib

from . import clients
from .cases import Skip
from .world import DOMAIN, PARTNER, World
from .util import write

PEERS = """
peer "office-smtp" {{
  service = smtp
  host = "127.0.0.1"
  port = {smtp}
  tls = {smtp_tls}
  {smtp_more}
  login_domain = "{domain}"
  master_separator = "*"
}}
peer "office-pop3" {{
  service = pop3
  host = "127.0.0.1"
  port = {pop3}
  tls = {pop3_tls}
  {pop3_more}
  login_domain = "{domain}"
  master_separator = "*"
}}
connector "submission" {{
  service = smtp
  listen = {{"127.0.0.1:{submission}"}}
  peer = "office-smtp"
  tls = disabled
  {submission_more}
}}
connector "pop3" {{
  service = pop3
  listen = {{"127.0.0.1:{retrieval}"}}
  peer = "office-pop3"
  tls = disabled
  {retrieval_more}
}}
"""


class Site(World):
    """Dovecot (.imap), Postfix (.mta), the partner's server (.partner) and a gateway (.gw).

    .submission and .retrieval are the gateway's SMTP and POP3 ports.  Domain, consumers and the
    key store are made; alice, the chief and mallory have keys unless keys=() says otherwise.
    """

    def __init__(self, smtp_port=None, pop3_port=None, users=("alice", "bob", "carol", "mallory", "chief"),
                 keys=("alice", "chief", "mallory"), more="", algo="ed25519", tls=False,
                 smtp_more="", pop3_more="", submission_more="", retrieval_more="", **gateway):
        """smtp_port, pop3_port: other peers (a Sink, a FakePop) than Postfix and Dovecot, or
        functions of this object that start them and return the port.
        tls: reach the peers by STARTTLS and STLS, verified.  more: further configuration, or a
        function of this object that gives it."""
        super().__init__()
        try:
            self.partner = self.sink()
            smtp_port = smtp_port(self) if callable(smtp_port) else smtp_port
            pop3_port = pop3_port(self) if callable(pop3_port) else pop3_port
            self.imap = self.dovecot() if pop3_port is None or smtp_port is None else None
            self.mta = self.postfix(self.imap, routes={PARTNER: self.partner.port}) \
                if smtp_port is None else None
            self.submission, self.retrieval = self.ports.get(), self.ports.get()
            verify = f'ca_file = "{self.ca.ca}"\n  server_name = localhost\n  ' if tls else ""
            self.key_file = self.path("gw", "ignition.key")
            pieces = f'ignition {{\n  key_file = "{self.key_file}"\n}}\n' + PEERS.format(
                smtp=smtp_port or self.mta.port, pop3=pop3_port or self.imap.pop3, domain=DOMAIN,
                smtp_tls="starttls" if tls else "none", pop3_tls="starttls" if tls else "none",
                smtp_more=verify + smtp_more, pop3_more=verify + pop3_more,
                submission=self.submission, retrieval=self.retrieval,
                submission_more=submission_more, retrieval_more=retrieval_more) + \
                (more(self) if callable(more) else more)
            self.pieces = pieces
            self.gw = self.gateway(pieces, **gateway)
            self._ignition()
            self.gw.start()
            self._fill(users, keys, algo)
        except Skip:
            self.close()
            raise
        except BaseException:
            print(self.log_tails())
            self.close()
            raise

    def _ignition(self):
        write(self.key_file, secrets.token_bytes(32), 0o400)
        if self.gw.user is not None and os.getuid() == 0:
            os.chown(self.key_file, self.gw.user, self.gw.user)

    def _fill(self, users, keys, algo):
        """What an administrator does first."""
        self.gw.keyctl("init", "--key-file", self.key_file, "--cost", "1,8")
        self.gw.gwctl("domain", "add", DOMAIN)
        for user in users:
            self.gw.gwctl("consumer", "add", user, "--internal", "--address", self.address(user),
                          "--name", user.capitalize())
        for user in keys:
            self.make_key(user, algo)

    @staticmethod
    def address(user):
        return f"{user}@{DOMAIN}"

    def make_key(self, user, algo="ed25519"):
        self.gw.keyctl("generate", "--address", self.address(user), "--name", user.capitalize(),
                       "--algo", algo)

    def send(self, user, to, data, sender=None, **kw):
        """Send octets through the gateway with a user's login, from the user's address."""
        return clients.send(self.submission, self.address(user) if sender is None else sender, to,
                            data, login=self.login(user), **kw)

    def fetch(self, user, **kw):
        """All of a user's messages through the gateway."""
        return clients.fetch(self.retrieval, self.login(user), **kw)

    def logged_in(self, port=None):
        """A POP3 client of alice's behind her login, for with."""
        c = clients.Raw(port or self.retrieval, timeout=40)
        c.pop()
        assert c.pop("USER alice")[0].startswith("+OK")
        assert c.pop(f"PASS {self.users['alice']}")[0].startswith("+OK")
        return c

    def one(self, data, user="alice"):
        """Put one message into an empty mailbox and fetch it through the gateway."""
        self.imap.empty(user)
        self.imap.deliver(user, data)
        got = self.fetch(user)
        assert len(got) == 1
        return got[0]

    def refusal(self, user, to, data, **kw):
        """(code, text) with which the gateway refuses a message after its final dot or before."""
        try:
            self.send(user, to, data, **kw)
        except smtplib.SMTPRecipientsRefused as e:
            return next(iter(e.recipients.values()))[0], str(e.recipients)
        except smtplib.SMTPResponseException as e:
            error = e.smtp_error
            return e.smtp_code, error.decode("utf-8", "replace") if isinstance(error, bytes) else error
        raise AssertionError("the message was accepted")

    def outsider(self, user="pat", **kw):
        """A partner with a gpg home, a key that the gateway knows, and alice's certificate."""
        g = self.gpg(user)
        address = f"{user}@{PARTNER}"
        g.make(f"{user.capitalize()} <{address}>", **kw)
        g.add(self.certificate("alice"))
        self.learn(address, g.public(address), user)
        return g

    def certificate(self, user):
        """A user's certificate as the gateway gives it out, armoured."""
        return self.gw.keyctl("export", self.address(user)).stdout

    def learn(self, address, certificate, name="outside"):
        """Tell the gateway an outsider's certificate."""
        path = write(self.path(f"{name}.asc"), certificate)
        self.gw.gwctl("consumer", "add", address.partition("@")[0], "--external", "--address", address)
        self.gw.gwctl("key", "import", path)

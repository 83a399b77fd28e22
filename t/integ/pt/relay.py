"""A gateway with a queue: the world before it, the organisation's servers behind it."""

import contextlib
import json
import os
import secrets
import smtplib

from . import clients
from .cases import Skip
from .util import wait_until, write
from .world import DOMAIN, World

OTHER = "other.test"  # a domain of another tenant

CONF = """
ignition {{
  key_file = "{key}"
}}
queue {{
  retry_min = 1
  retry_max = 2
  {queue}
}}
connector "mx" {{
  service = mx
  listen = {{"127.0.0.1:{mx}"}}
  tls = disabled
  {mx_more}
}}
connector "relay" {{
  service = relay
  listen = {{"127.0.0.1:{relay}"}}
  tls = disabled
  relay_clients = {{"127.0.0.1"}}
  {relay_more}
}}
{routes}
"""
ROUTE = """
route "{name}" {{
  domains = {{{domains}}}
  servers = {{"127.0.0.1:{port}"}}
  tls = none
  {more}
}}
"""


@contextlib.contextmanager
def failing(sink, verb, reply, match=None, **kw):
    """A sink answers a command so, inside the block."""
    sink.on(verb, reply=reply, match=match, times=None, **kw)
    try:
        yield
    finally:
        sink.clear()


class QueueSite(World):
    """A gateway (.gw) whose connectors put mail into the queue.

    .mx and .relay are ports of it.  .office is the server of the domains example.test and (of another tenant)
    other.test, .outside that of all others; sinks both, unless ports of others are given.
    """

    def __init__(self, users=("alice", "bob"), keys=(), queue="", mx_more="", relay_more="", more="",
                 office=None, outside=None, office_more="", outside_more="", routes=True, recipients="list",
                 **gateway):
        """queue, mx_more, relay_more, office_more, outside_more: further lines of these sections.
        office, outside: ports, or functions of this object that start a server and return its port.
        more: further configuration, or a function of this object that gives it."""
        super().__init__()
        try:
            office = office(self) if callable(office) else office
            outside = outside(self) if callable(outside) else outside
            self.office = self.sink() if office is None else None
            self.outside = self.sink() if outside is None else None
            self.mx, self.relay = self.ports.get(), self.ports.get()
            self.key_file = self.path("gw", "ignition.key")
            ways = ROUTE.format(name="office", domains=f'"{DOMAIN}", "{OTHER}"', more=office_more,
                                port=office or self.office.port) + \
                ROUTE.format(name="outside", domains='"*"', port=outside or self.outside.port, more=outside_more)
            self.pieces = CONF.format(key=self.key_file, queue=queue, mx=self.mx, mx_more=mx_more, relay=self.relay,
                                      relay_more=relay_more, routes=ways if routes else "") + \
                (more(self) if callable(more) else more)
            self.gw = self.gateway(self.pieces, **gateway)
            write(self.key_file, secrets.token_bytes(32), 0o400)
            if self.gw.user is not None and os.getuid() == 0:
                os.chown(self.key_file, self.gw.user, self.gw.user)
            self.gw.start()
            self._fill(users, keys, recipients)
        except Skip:
            self.close()
            raise
        except BaseException:
            print(self.log_tails())
            self.close()
            raise

    def _fill(self, users, keys, recipients):
        self.gw.keyctl("init", "--key-file", self.key_file, "--cost", "1,8")
        self.gw.gwctl("domain", "add", "--recipients", recipients, DOMAIN)
        self.gw.gwctl("domain", "add", "--recipients", recipients, "--tenant", "other", OTHER)
        self.gw.gwctl("recipient", "add", f"carol@{OTHER}")
        for user in users:
            self.gw.gwctl("consumer", "add", user, "--internal", "--address", f"{user}@{DOMAIN}")
        for user in keys:
            self.gw.keyctl("generate", "--address", f"{user}@{DOMAIN}", "--name", user, "--algo", "ed25519")

    def send(self, port, sender, to, data, **kw):
        """Send octets to a port of the gateway, or another."""
        return clients.send(port, sender, to, data, **kw)

    @staticmethod
    def refusal(port, sender, to, data=b"Subject: x\r\n\r\nx\r\n", **kw):
        """(code, text) with which a message is refused."""
        try:
            clients.send(port, sender, to, data, **kw)
        except smtplib.SMTPRecipientsRefused as e:
            code, text = next(iter(e.recipients.values()))
            return code, text.decode("utf-8", "replace")
        except smtplib.SMTPResponseException as e:
            error = e.smtp_error
            return e.smtp_code, error.decode("utf-8", "replace") if isinstance(error, bytes) else error
        raise AssertionError("the message was accepted")

    def queue(self, *filters):
        """What gwctl queue list tells, as dicts."""
        out = self.gw.gwctl("queue", "list", "--json", *filters).stdout.decode()
        return [json.loads(line) for line in out.splitlines() if line.strip()]

    def empty(self, seconds=20.0):
        """Wait until nothing is in the queue; queued may be away at first."""
        def nothing():
            p = self.gw.gwctl("queue", "list", "--json", check=False)
            return p.returncode == 0 and not p.stdout.strip()
        wait_until(nothing, seconds, "an empty queue", pause=0.1)

    def events(self, *options):
        """What gwctl log tells, as dicts."""
        return json.loads(self.gw.gwctl("log", "--json", *options).stdout)["events"]

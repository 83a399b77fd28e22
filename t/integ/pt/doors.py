"""Connectors of both services for each way of TLS, for clients that are to use all of them."""

from . import mails
from .site import Site
from .world import PARTNER

TLS = ("none", "starttls", "implicit")

CONNECTOR = """
connector "{name}-{tls}" {{
  service = {service}
  {listen} = {{"127.0.0.1:{port}"}}
  peer = "office-{service}"
  {more}
}}
"""


class Doors:
    """For a Site's more=: ports by way of TLS in .smtp, .pop3, and .exact (exact sizes).

    The certificate is for localhost and its addresses, by the world's authority; learn() gives the gateway its key.
    """

    def __init__(self):
        self.smtp, self.pop3, self.exact = {}, {}, {}
        self._key = None

    def __call__(self, w):
        cert, self._key = w.ca.issue("doors")
        text = ""
        for name, service, ports, more in (("smtp", "smtp", self.smtp, ""), ("pop3", "pop3", self.pop3, ""),
                                           ("exact", "pop3", self.exact, "sizes = exact")):
            for tls in TLS:
                ports[tls] = w.ports.get()
                listen = "listen_tls" if tls == "implicit" else "listen"
                shown = "tls = disabled\n  " if tls == "none" else f'certificates = {{"{cert}"}}\n  '
                text += CONNECTOR.format(name=name, service=service, tls=tls, listen=listen, port=ports[tls],
                                         more=shown + more)
        return text

    def learn(self, gw):
        """Store the private key; until then no client comes in by TLS."""
        gw.keyctl("import", "--tls", self._key)


class DoorsSite(Site):
    """alice at home, pat as her partner, and connectors for each way of TLS in .doors."""

    def __init__(self):
        self.doors = Doors()
        super().__init__(users=("alice",), keys=("alice",), tls=True, more=self.doors)
        self.doors.learn(self.gw)
        self.pat = self.outsider("pat")

    def write_to_alice(self, secret):
        """pat sends two messages: "The offer", signed and encrypted, with this line, and "Lunch" in clear."""
        pat, alice = f"pat@{PARTNER}", self.address("alice")
        letter = mails.plain(f"Pat <{pat}>", alice, "The offer", f"Dear Alice,\n\n{secret}\n\nPat\n")
        self.imap.deliver("alice", mails.pgp_encrypted(self.pat, letter, [alice], sign=pat))
        self.imap.deliver("alice", mails.plain(f"Pat <{pat}>", alice, "Lunch", "At noon?\n"))

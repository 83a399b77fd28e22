"""An SMTP server that keeps what it gets and fails as told."""

import base64
import re
from dataclasses import dataclass, field

from .lineserver import Drop, LineServer

_PATH = re.compile(rb"^\w+:\s*(<[^>]*>|\S+)\s*(.*)$", re.S)


@dataclass
class Mail:
    """One accepted transaction."""

    sender: str
    sender_params: str
    recipients: list = field(default_factory=list)  # addresses without <>
    rcpt_params: list = field(default_factory=list)
    data: bytes = b""  # CRLF lines, dots unstuffed
    helo: str = ""
    user: str = ""  # of AUTH
    tls: bool = False
    connection: int = 0


class Sink(LineServer):
    """name = "sink": rules (see LineServer.on) know CONNECT, EHLO, HELO, STARTTLS, AUTH, MAIL,
    RCPT, DATA, EOD (the final dot), RSET, NOOP, QUIT and whatever else a client says."""

    name = "sink"

    def __init__(self, tls=None, implicit=False, users=None, features=None, keep=True, tokens=None, **kw):
        """users: {login: password} offers AUTH; tokens: {login: token} the same by XOAUTH2 and
        OAUTHBEARER.  features: EHLO lines instead of the usual."""
        self.users, self.keep, self.tokens = users, keep, tokens
        self.features = features if features is not None else [
            "PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"]
        self.mails = []
        super().__init__(tls=tls, implicit=implicit, **kw)

    def wait_mails(self, count, seconds=20.0):
        """The mails once there are that many."""
        return self.wait(lambda: list(self.mails) if len(self.mails) >= count else None, seconds,
                         f"{count} mails")

    def take(self, count=1, seconds=20.0):
        """Wait for that many mails, forget and return them."""
        self.wait_mails(count, seconds)
        with self.lock:
            mails, self.mails = self.mails, []
        return mails

    def greet(self, c):
        c.reply("220 sink.test ESMTP")

    def command(self, c, verb, arg):
        handler = getattr(self, "do_" + verb.lower(), None)
        if handler is None:
            c.reply("500 5.5.2 unknown command")
        else:
            handler(c, arg)

    def do_ehlo(self, c, arg):
        c.state = {"helo": arg.decode("latin-1"), "user": c.state.get("user", "")}
        lines = ["sink.test"] + list(self.features)
        if self.context is not None and not c.tls:
            lines.append("STARTTLS")
        mechs = (["PLAIN", "LOGIN"] if self.users is not None else []) + \
            (["XOAUTH2", "OAUTHBEARER"] if self.tokens is not None else [])
        if mechs:
            lines.append("AUTH " + " ".join(mechs))
        c.reply("\r\n".join(f"250{'-' if i + 1 < len(lines) else ' '}{x}" for i, x in enumerate(lines)))

    def do_helo(self, c, arg):
        c.state = {"helo": arg.decode("latin-1"), "user": ""}
        c.reply("250 sink.test")

    def do_starttls(self, c, _arg):
        if self.context is None or c.tls:
            c.reply("503 5.5.1 not now")
            return
        c.reply("220 2.0.0 go ahead")
        c.start_tls()
        c.state = {}

    def do_auth(self, c, arg):
        mech, _, initial = arg.partition(b" ")
        if self.tokens is not None and mech.upper() in (b"XOAUTH2", b"OAUTHBEARER"):
            self._token(c, mech.upper(), initial)
            return
        if self.users is None:
            c.reply("503 5.5.1 not offered")
            return
        login = password = None
        if mech.upper() == b"PLAIN":
            if not initial:
                c.reply("334 ")
                initial = c.line()
            parts = base64.b64decode(initial).split(b"\0")
            if len(parts) == 3:
                login, password = parts[1].decode(), parts[2].decode()
        elif mech.upper() == b"LOGIN":
            if not initial:
                c.reply("334 VXNlcm5hbWU6")
                initial = c.line()
            login = base64.b64decode(initial).decode()
            c.reply("334 UGFzc3dvcmQ6")
            password = base64.b64decode(c.line()).decode()
        else:
            c.reply("504 5.5.4 mechanism not known")
            return
        if login in self.users and self.users[login] == password:
            c.state["user"] = login
            c.reply("235 2.7.0 welcome")
        else:
            c.reply("535 5.7.8 wrong")

    def _token(self, c, mech, initial):
        if not initial:
            c.reply("334 ")
            initial = c.line()
        rx = rb"^user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01$" if mech == b"XOAUTH2" else \
            rb"^n,a=([^,]*),\x01(?:(?:host|port)=[^\x01]*\x01)*auth=Bearer ([^\x01]*)\x01\x01$"
        m = re.match(rx, base64.b64decode(initial))
        if m is not None and self.tokens.get(m[1].decode()) == m[2].decode():
            c.state["user"] = m[1].decode()
            c.reply("235 2.7.0 welcome")
            return
        c.reply(b"334 " + base64.b64encode(b'{"status":"401","schemes":"bearer"}'))
        c.reply("501 5.7.0 cancelled" if c.line() == b"*" else "535 5.7.8 bad token")

    def do_mail(self, c, arg):
        m = _PATH.match(arg)
        if m is None or "mail" in c.state:
            c.reply("501 5.5.4 syntax" if m is None else "503 5.5.1 nested MAIL")
            return
        c.state["mail"] = Mail(m[1].strip(b"<>").decode("utf-8", "replace"), m[2].decode("latin-1"),
                               helo=c.state.get("helo", ""), user=c.state.get("user", ""), tls=c.tls,
                               connection=c.number)
        c.reply("250 2.1.0 sender ok")

    def do_rcpt(self, c, arg):
        m = _PATH.match(arg)
        if m is None or "mail" not in c.state:
            c.reply("501 5.5.4 syntax" if m is None else "503 5.5.1 MAIL first")
            return
        c.state["mail"].recipients.append(m[1].strip(b"<>").decode("utf-8", "replace"))
        c.state["mail"].rcpt_params.append(m[2].decode("latin-1"))
        c.reply("250 2.1.5 recipient ok")

    def do_data(self, c, _arg):
        mail = c.state.get("mail")
        if mail is None or not mail.recipients:
            c.reply("503 5.5.1 no recipients")
            return
        c.reply("354 go ahead")
        raw = c.dotted()
        mail.data = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n")[2:]
        del c.state["mail"]
        if c.ruled("EOD", raw):
            return
        with self.lock:
            if self.keep:
                self.mails.append(mail)
            self.lock.notify_all()
        c.reply("250 2.0.0 queued as %d" % len(self.mails))

    def do_rset(self, c, _arg):
        c.state.pop("mail", None)
        c.reply("250 2.0.0 reset")

    def do_noop(self, c, _arg):
        c.reply("250 2.0.0 ok")

    def do_quit(self, c, _arg):
        c.reply("221 2.0.0 bye")
        raise Drop

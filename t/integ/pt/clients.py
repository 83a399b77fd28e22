"""Clients: SMTP and POP3 by Python's library for well-behaved ones, a raw line client for others."""

import base64
import poplib
import smtplib
import socket
import ssl


class Raw:
    """A socket spoken to line by line; everything received is in .seen."""

    def __init__(self, port, host="127.0.0.1", timeout=10.0):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen = b""
        self.ended = False
        self._in = b""

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self):
        self.sock.close()

    def start_tls(self, ca=None, cert=None):
        """ca: verify the server against it.  cert: (certificate file, key file) to show."""
        context = ssl.create_default_context(cafile=ca) if ca else ssl._create_unverified_context()
        if cert is not None:
            context.load_cert_chain(*cert)
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")

    def send(self, data):
        self.sock.sendall(data.encode("utf-8") if isinstance(data, str) else data)

    def line(self):
        """One line without its end; b"" when the connection is over."""
        while b"\n" not in self._in:
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                self.ended = True
                rest, self._in = self._in, b""
                return rest
            self._in += more
            self.seen += more
        line, _, self._in = self._in.partition(b"\n")
        return line.rstrip(b"\r")

    def some(self):
        """Whatever octets are there, line ends included; EOFError at the end."""
        if not self._in:
            self._in = self.sock.recv(65536)
            self.seen += self._in
        out, self._in = self._in, b""
        if not out:
            raise EOFError("connection closed")
        return out

    def at_end(self):
        """True when the server has closed and nothing is left to read."""
        return self.line() == b"" and not self._in

    def rest(self):
        """Everything up to the end of the connection."""
        try:
            while more := self.sock.recv(65536):
                self._in += more
                self.seen += more
        except ConnectionResetError:
            pass
        out, self._in = self._in, b""
        return out

    def smtp(self, command=None):
        """Send a command (None: only read); (code, text of all lines)."""
        if command is not None:
            self.send(command if isinstance(command, bytes) else command + "\r\n")
        lines = []
        while True:
            line = self.line()
            if not line:
                raise EOFError(f"connection closed; so far {lines}")
            lines.append(line[4:])
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(lines).decode("utf-8", "replace")

    def pop(self, command=None, multi=False):
        """Send a command (None: only read); (first line, octets of the rest, unstuffed)."""
        if command is not None:
            self.send(command if isinstance(command, bytes) else command + "\r\n")
        first = self.line()
        if not first:
            raise EOFError("connection closed")
        lines = []
        if multi and first.startswith(b"+OK"):
            while (line := self.line()) != b".":
                if not line and self.ended:
                    raise EOFError("connection closed inside an answer")
                lines.append((line[1:] if line.startswith(b".") else line) + b"\r\n")
        return first.decode("utf-8", "replace"), b"".join(lines)


def send(port, sender, recipients, data, login=None, tls_ca=None, host="127.0.0.1", mail_options=(),
         rcpt_options=(), timeout=30):
    """Send octets by SMTP; the dict of refused recipients.  login: (user, password)."""
    recipients = [recipients] if isinstance(recipients, str) else recipients
    with smtplib.SMTP(host, port, local_hostname="client.test", timeout=timeout) as s:
        if tls_ca is not None:
            s.starttls(context=ssl.create_default_context(cafile=tls_ca))
        if login is not None:
            s.login(*login)
        return s.sendmail(sender, recipients, data, mail_options=mail_options, rcpt_options=rcpt_options)


def fetch(port, login, delete=False, tls_ca=None, host="127.0.0.1", timeout=30):
    """All messages of a POP3 mailbox: list of octets with CRLF lines.  login: (user, password)."""
    p = poplib.POP3(host, port, timeout=timeout)
    poplib._MAXLINE = 1 << 20  # the library's own limit is 2048
    try:
        if tls_ca is not None:
            p.stls(ssl.create_default_context(cafile=tls_ca))
        p.user(login[0])
        p.pass_(login[1])
        count = p.stat()[0]
        mails = []
        for n in range(1, count + 1):
            mails.append(b"".join(line + b"\r\n" for line in p.retr(n)[1]))
            if delete:
                p.dele(n)
        p.quit()
    finally:
        p.close()
    return mails


def plain_login(login, password, authzid=""):
    """The initial response of AUTH PLAIN (RFC 4616)."""
    return base64.b64encode(f"{authzid}\0{login}\0{password}".encode()).decode()

"""What the scriptable SMTP and POP3 servers have in common: lines, rules, TLS, threads."""

import socket
import ssl
import threading
import time


class Drop(Exception):
    """The connection ends here."""


class Rule:
    """What to do instead of the ordinary answer; see LineServer.on."""

    def __init__(self, verb, nth, match, times, reply, before, delay, close, stall, reset):
        self.verb, self.nth, self.match, self.times = verb, nth, match, times
        self.reply, self.before, self.delay = reply, before, delay
        self.close, self.stall, self.reset = close, stall, reset
        self.seen = self.used = 0

    def applies(self, verb, arg):
        if self.verb != verb or (self.match is not None and not self.match(arg)):
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.used >= self.times):
            return False
        self.used += 1
        return True


class LineServer:
    """A threaded server on loopback.  Subclasses give greet(c) and command(c, verb, arg)."""

    name = "server"

    def __init__(self, tls=None, implicit=False, host="127.0.0.1", port=0):
        """tls: (certificate file, key file).  implicit: TLS from the first octet.  port: 0 for any."""
        self.context = None
        if tls is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)
        self.implicit = implicit
        self.lock = threading.Condition()
        self.transcript = []  # (connection number, "C" or "S", bytes of a line)
        self.connections = 0
        self._rules = []
        self._open = set()
        self._closing = False
        self._listener = socket.create_server((host, port), backlog=128,
                                              family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.host, self.port = host, self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def on(self, verb, nth=1, match=None, times=1, reply=None, before=None, delay=0.0, close=False,
           stall=False, reset=False):
        """Answer a command otherwise than usual.

        verb    the command in upper case; "CONNECT" for the greeting, "EOD" behind a final dot
        nth     from which of the matching commands on (1 is the first)
        match   function of the argument (bytes) that says whether this command is meant
        times   how often; None for ever
        reply   bytes sent as they are instead of the ordinary answer, CRLF added when missing;
                with nothing else given, the ordinary answer follows the delay
        before  bytes sent in front of the ordinary answer
        delay   seconds to wait first
        close   end the connection (after the reply, if there is one)
        reset   the same with RST
        stall   say nothing more, hold the connection until the server stops
        """
        rule = Rule(verb, nth, match, times, reply, before, delay, close, stall, reset)
        with self.lock:
            self._rules.append(rule)
        return rule

    def clear(self):
        """Forget every rule and the transcript."""
        with self.lock:
            self._rules.clear()
            self.transcript.clear()

    def stop(self):
        self._closing = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        with self.lock:
            for c in list(self._open):
                c.abort()
            self.lock.notify_all()

    def said(self, side=None):
        """Lines seen so far, of the client ("C"), of ours ("S") or of both."""
        with self.lock:
            return [line for _, who, line in self.transcript if side in (None, who)]

    def wait(self, what, seconds=10.0, text="event"):
        """Wait until what() is true; it is called with the lock held."""
        end = time.monotonic() + seconds
        with self.lock:
            while True:
                value = what()
                if value:
                    return value
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{self.name}: {text}: not within {seconds} s")
                self.lock.wait(min(left, 0.5))

    def greet(self, c):
        raise NotImplementedError

    def command(self, c, verb, arg):
        raise NotImplementedError

    def parse(self, line):
        verb, _, arg = line.partition(b" ")
        return verb.upper().decode("latin-1"), arg.strip()

    def _accept(self):
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with self.lock:
            self.connections += 1
            c = Connection(self, sock, self.connections)
            self._open.add(c)
        try:
            if self.implicit:
                c.start_tls()
            if not c.ruled("CONNECT", b""):
                self.greet(c)
            while True:
                line = c.line()
                verb, arg = self.parse(line)
                if not c.ruled(verb, arg):
                    self.command(c, verb, arg)
        except (Drop, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self._open.discard(c)
                self.lock.notify_all()
            c.end()

    def rule_for(self, verb, arg):
        with self.lock:
            for rule in self._rules:
                if rule.applies(verb, arg):
                    return rule
        return None


class Connection:
    """One client; .state is the subclass's."""

    def __init__(self, server, sock, number):
        self.server, self.sock, self.number = server, sock, number
        self.tls = False
        self.state = {}
        self._in = b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start_tls(self):
        self._in = b""
        self.sock = self.server.context.wrap_socket(self.sock, server_side=True)
        self.tls = True

    def note(self, side, data):
        with self.server.lock:
            self.server.transcript.append((self.number, side, data))
            self.server.lock.notify_all()

    def line(self):
        while b"\n" not in self._in:
            more = self.sock.recv(65536)
            if not more:
                raise Drop
            self._in += more
            if len(self._in) > 1 << 20 and b"\n" not in self._in:
                raise Drop
        line, _, self._in = self._in.partition(b"\n")
        line = line[:-1] if line.endswith(b"\r") else line
        self.note("C", line)
        return line

    def dotted(self):
        """Octets up to CRLF.CRLF, as they came, without the end; still stuffed."""
        data = bytearray(b"\r\n" + self._in)
        at = 0
        while (end := data.find(b"\r\n.\r\n", at)) < 0:
            at = max(0, len(data) - 4)
            more = self.sock.recv(1 << 20)
            if not more:
                raise Drop
            data += more
        self._in = bytes(data[end + 5:])
        return bytes(data[2:end + 2])

    def send(self, data):
        """Octets as they are."""
        self.sock.sendall(data)

    def reply(self, text):
        """One line (or several with CRLF between them) and CRLF."""
        data = text.encode("utf-8") if isinstance(text, str) else text
        self.note("S", data)
        self.send(data if data.endswith(b"\n") else data + b"\r\n")

    def ruled(self, verb, arg):
        """Apply a rule, if there is one; True when the ordinary answer is not to follow."""
        rule = self.server.rule_for(verb, arg)
        if rule is None:
            return False
        if rule.delay:
            time.sleep(rule.delay)
        if rule.before is not None:
            self.send(rule.before)
        if rule.reply is not None:
            self.reply(rule.reply)
        if rule.stall:
            while self.sock.recv(65536):
                pass
            raise Drop
        if rule.reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raise Drop
        if rule.close:
            raise Drop
        return rule.reply is not None

    def abort(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def end(self):
        try:
            if self.tls:
                self.sock.settimeout(1.0)
                self.sock = self.sock.unwrap()
        except (OSError, ValueError):
            pass
        self.sock.close()

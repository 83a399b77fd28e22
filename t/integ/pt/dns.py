"""A DNS server that knows a few names and can lie, fail and stay silent."""

import socket
import struct
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
TTL = 60


def _name(text):
    out = b""
    for label in text.rstrip(".").split("."):
        if label:
            out += bytes([len(label)]) + label.encode("ascii")
    return out + b"\0"


def _rdata(kind, value):
    if kind == "A":
        return socket.inet_pton(socket.AF_INET, value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "MX":
        return struct.pack(">H", value[0]) + _name(value[1])
    if kind == "TXT":
        return bytes([len(value)]) + value.encode()
    return _name(value)


class Dns:
    """UDP and TCP on loopback; .port.  Records are {(name, type): [values]}, names in lower case."""

    def __init__(self, records=None):
        self.records = dict(records or {})
        self.fail = {}  # name: rcode instead of an answer, or "silent"
        self.asked = []  # (name, type)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.bind(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp.listen(16)
        for loop in (self._udp_loop, self._tcp_loop):
            threading.Thread(target=loop, daemon=True).start()

    def stop(self):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def answer(self, query):
        """The reply to one query, or None."""
        ident, flags, _, _, _, _ = struct.unpack(">6H", query[:12])
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        kind, _ = struct.unpack(">2H", query[at + 1:at + 5])
        question = query[12:at + 5]
        name = ".".join(labels).lower()
        kind = next((k for k, v in TYPES.items() if v == kind), str(kind))
        self.asked.append((name, kind))
        rcode = self.fail.get(name, NOERROR)
        if rcode == "silent":
            return None
        values = self.records.get((name, kind), []) if rcode == NOERROR else []
        if rcode == NOERROR and not any(n == name for n, _ in self.records):
            rcode = NXDOMAIN
        body = b""
        for value in values:
            data = _rdata(kind, value)
            body += b"\xc0\x0c" + struct.pack(">2HIH", TYPES[kind], 1, TTL, len(data)) + data
        head = struct.pack(">6H", ident, 0x8480 | (flags & 0x0100) | rcode, 1, len(values), 0, 0)
        return head + question + body

    def _reply(self, query):
        try:
            return self.answer(query)
        except (IndexError, struct.error, UnicodeError):
            return None

    def _udp_loop(self):
        while True:
            try:
                query, who = self.udp.recvfrom(4096)
                reply = self._reply(query)
                if reply is not None:
                    self.udp.sendto(reply, who)
            except OSError:
                return

    def _tcp_loop(self):
        while True:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            with sock:
                try:
                    sock.settimeout(2)
                    size = struct.unpack(">H", sock.recv(2, socket.MSG_WAITALL))[0]
                    reply = self._reply(sock.recv(size, socket.MSG_WAITALL))
                    if reply is not None:
                        sock.sendall(struct.pack(">H", len(reply)) + reply)
                except (OSError, struct.error):
                    pass

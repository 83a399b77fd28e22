"""A POP3 server that serves given octets and misbehaves as told."""

import base64

from .lineserver import Drop, LineServer


def stuffed(data):
    """A multi-line body: dots doubled, final CRLF, end."""
    out = (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:]
    return out + (b"" if out.endswith(b"\r\n") or not out else b"\r\n") + b".\r\n"


class FakePop(LineServer):
    """Rules (see LineServer.on) know CONNECT, CAPA, USER, PASS, AUTH, STAT, LIST, UIDL, RETR, TOP,
    DELE, RSET, NOOP, STLS, QUIT.  What a rule replies is sent as it is, so a hostile multi-line
    answer has its own dots."""

    name = "fakepop"

    def __init__(self, users, tls=None, implicit=False, capabilities=None, apop=False, **kw):
        """users: {login: password}."""
        self.users, self.apop = users, apop
        self.boxes = {}  # login: [(uidl, octets)]
        self.deleted = []  # (login, uidl)
        self.capabilities = capabilities if capabilities is not None else [
            "USER", "SASL PLAIN LOGIN", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE"]
        super().__init__(tls=tls, implicit=implicit, **kw)

    def put(self, login, data, uidl=None):
        """Add a message (CRLF octets)."""
        with self.lock:
            box = self.boxes.setdefault(login, [])
            box.append((uidl or f"uid-{len(box) + 1}", data))

    def greet(self, c):
        c.reply("+OK ready" + (" <1.1@fake.test>" if self.apop else ""))

    def command(self, c, verb, arg):
        handler = getattr(self, "do_" + verb.lower(), None)
        if handler is None:
            c.reply("-ERR unknown command")
        elif verb in ("STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET") and "login" not in c.state:
            c.reply("-ERR log in first")
        else:
            handler(c, arg)

    def do_capa(self, c, _arg):
        lines = list(self.capabilities)
        if self.context is not None and not c.tls:
            lines.append("STLS")
        c.reply("+OK\r\n" + "\r\n".join(lines) + "\r\n.")

    def do_stls(self, c, _arg):
        if self.context is None or c.tls:
            c.reply("-ERR not now")
            return
        c.reply("+OK go ahead")
        c.start_tls()

    def _login(self, c, login, password):
        if self.users.get(login) != password:
            c.reply("-ERR [AUTH] wrong")
            return
        c.state = {"login": login, "box": list(self.boxes.get(login, [])), "gone": set()}
        c.reply("+OK welcome")

    def do_user(self, c, arg):
        c.state["user"] = arg.decode("utf-8", "replace")
        c.reply("+OK")

    def do_pass(self, c, arg):
        self._login(c, c.state.get("user"), arg.decode("utf-8", "replace"))

    def do_auth(self, c, arg):
        mech, _, initial = arg.partition(b" ")
        if mech.upper() != b"PLAIN":
            c.reply("-ERR mechanism")
            return
        if not initial:
            c.reply("+ ")
            initial = c.line()
        parts = base64.b64decode(initial).split(b"\0")
        if len(parts) != 3:
            c.reply("-ERR [AUTH] wrong")
            return
        self._login(c, parts[1].decode(), parts[2].decode())

    def _message(self, c, arg):
        box = c.state["box"]
        number = arg.split(b" ")[0]
        if not number.isdigit() or not 1 <= int(number) <= len(box) or int(number) in c.state["gone"]:
            c.reply("-ERR no such message")
            return None
        return int(number)

    def _there(self, c):
        return [(i, u, d) for i, (u, d) in enumerate(c.state["box"], 1) if i not in c.state["gone"]]

    def do_stat(self, c, _arg):
        there = self._there(c)
        c.reply(f"+OK {len(there)} {sum(len(d) for _, _, d in there)}")

    def _listing(self, c, arg, row):
        if arg:
            n = self._message(c, arg)
            if n is not None:
                c.reply("+OK " + row(n, *c.state["box"][n - 1]))
            return
        c.reply("+OK\r\n" + "".join(row(*m) + "\r\n" for m in self._there(c)) + ".")

    def do_list(self, c, arg):
        self._listing(c, arg, lambda n, _u, d: f"{n} {len(d)}")

    def do_uidl(self, c, arg):
        self._listing(c, arg, lambda n, u, _d: f"{n} {u}")

    def do_retr(self, c, arg):
        n = self._message(c, arg)
        if n is not None:
            data = c.state["box"][n - 1][1]
            c.reply(f"+OK {len(data)} octets")
            c.send(stuffed(data))

    def do_top(self, c, arg):
        n = self._message(c, arg)
        if n is None:
            return
        head, _, body = c.state["box"][n - 1][1].partition(b"\r\n\r\n")
        words = arg.split()
        count = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        lines = body.split(b"\r\n")[:count]
        c.reply("+OK")
        c.send(stuffed(head + b"\r\n\r\n" + b"".join(x + b"\r\n" for x in lines)))

    def do_dele(self, c, arg):
        n = self._message(c, arg)
        if n is not None:
            c.state["gone"].add(n)
            c.reply("+OK")

    def do_rset(self, c, _arg):
        c.state["gone"].clear()
        c.reply("+OK")

    def do_noop(self, c, _arg):
        c.reply("+OK")

    def do_quit(self, c, _arg):
        with self.lock:
            login = c.state.get("login")
            gone = {c.state["box"][n - 1][0] for n in c.state.get("gone", ())}
            if gone:
                self.deleted += [(login, u) for u in sorted(gone)]
                self.boxes[login] = [m for m in self.boxes[login] if m[0] not in gone]
        c.reply("+OK bye")
        raise Drop

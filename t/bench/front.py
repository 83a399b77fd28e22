"""A gateway with front.c in the place of its proxies, so that workers are asked at full speed."""

import os
import secrets
import shutil
import socket

from pt.gateway import BUILD, Gateway
from pt.util import write
from pt.world import DOMAIN

PIECES = """\
ignition {{
  key_file = "{key}"
}}
processes {{
  smtpd = 1
  pop3d = 1
}}
peer "smtp" {{
  service = smtp
  host = "127.0.0.1"
  port = 1
  tls = none
}}
peer "pop3" {{
  service = pop3
  host = "127.0.0.1"
  port = 1
  tls = none
}}
connector "submission" {{
  service = smtp
  listen = {{"127.0.0.1:{smtp}"}}
  peer = "smtp"
  tls = disabled
}}
connector "pop3" {{
  service = pop3
  listen = {{"127.0.0.1:{pop3}"}}
  peer = "pop3"
  tls = disabled
}}
"""


class _Gateway(Gateway):
    def _folders(self):
        copy = os.path.join(self.folder, "bin")
        if not os.path.exists(copy):
            shutil.copytree(self.bin, copy)
            for name in "smtpd", "pop3d":
                shutil.copy(os.path.join(BUILD, "bench", "front"), os.path.join(copy, name))
        self.bin = copy
        super()._folders()


class Front:
    """Started with a key store and the domain; people() makes users with keys."""

    def __init__(self, world):
        self.smtp, self.pop3 = world.ports.get(), world.ports.get()
        folder = world.path("gw")
        os.makedirs(folder)
        key = write(os.path.join(folder, "ignition.key"), secrets.token_bytes(32), 0o400)
        self.gw = _Gateway(folder, PIECES.format(key=key, smtp=self.smtp, pop3=self.pop3),
                           level="info")
        if self.gw.user is not None and os.getuid() == 0:
            os.chown(key, self.gw.user, self.gw.user)
        world.defer(self.gw.stop)
        self.gw.start()
        self.gw.keyctl("init", "--key-file", key, "--cost", "1,8")
        self.gw.gwctl("domain", "add", DOMAIN)

    def people(self, *names, algo):
        for name in names:
            address = f"{name}@{DOMAIN}"
            self.gw.gwctl("consumer", "add", name, "--internal", "--address", address, "--name",
                          name.capitalize())
            self.gw.keyctl("generate", "--address", address, "--name", name.capitalize(), "--algo",
                           algo)

    def secure(self, sender, rcpt, data, count, sessions=1, each=0):
        """(seconds for all, the last result, what the worker says about it)"""
        return self._ask(self.smtp, sender, sender, rcpt, data, count, sessions, each)

    def open(self, login, data, count, sessions=1, each=0):
        return self._ask(self.pop3, login, "-", "-", data, count, sessions, each)

    def _ask(self, port, login, sender, rcpt, data, count, sessions, each):
        with socket.create_connection(("127.0.0.1", port)) as s, s.makefile("rb") as answer:
            s.sendall(f"{login} {sender} {rcpt} {count} {sessions} {each} {len(data)}\n".encode()
                      + data)
            line = answer.readline().decode("utf-8", "replace").rstrip("\n")
            if not line.startswith("ok "):
                raise RuntimeError(f"{line or 'the front ended'}\n{self.gw.tail()}")
            _, seconds, size, facts = line.split(" ", 3)
            return float(seconds), answer.read(int(size)), facts

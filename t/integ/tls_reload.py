#!/usr/bin/env python3
"""Certificates are renewed by a reload, and no session notices."""

# check: timeout=240

import os
import shutil
import signal
import socket
import ssl

from pt import Site, case, run
from pt import clients, mails
from pt.util import listening, read, wait_until, write

ALICE, QUINN = "alice@example.test", "quinn@partner.test"
LINE = "hello " * 12 + "hello"
LETTER = mails.plain("pat@partner.test", ALICE, body=(LINE + "\n") * 6000)
SHORT = mails.plain("pat@partner.test", ALICE, body="short\n")
EX_CONFIG = 78
EACH = 50  # sessions of each service, in clear and in TLS

PIECES = """
processes {{
  smtpd = 2
  pop3d = 2
}}
limits {{
  sessions_per_client = 1000
}}
tls_profile "tickets" {{
  tickets = yes
}}
"""
CONNECTOR = """
action "{service}" {{
  service = {service}
  profile = "tickets"
}}
connector "both-{service}" {{
  service = {service}
  listen = {{"127.0.0.1:{clear}"}}
  listen_tls = {{"127.0.0.1:{secure}"}}
  peer = "office-{service}"
  certificates = {{"{cert}"}}
  action = "{service}"
}}
"""


def smtp_peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def pop3_peer(w):
    w.pop = w.fakepop()
    w.pop.put("alice", LETTER)
    w.pop.put("alice", SHORT)
    return w.pop.port


def connectors(w):
    """Each service has a certificate of its own: a file that is renewed by being replaced."""
    w.port, w.cert, w.issued = {}, {}, 0
    text = PIECES.format()
    for service in ("smtp", "pop3"):
        w.cert[service] = w.path(f"{service}.pem")
        put(w, service, renewed(w))
        for kind in ("clear", "secure"):
            w.port[service, kind] = w.ports.get()
        text += CONNECTOR.format(service=service, cert=w.cert[service], clear=w.port[service, "clear"],
                                 secure=w.port[service, "secure"])
    return text


def world():
    w = Site(smtp_port=smtp_peer, pop3_port=pop3_peer, users=("alice",), keys=("alice",), more=connectors)
    for n in range(w.issued):
        w.gw.keyctl("import", "--tls", w.gw.own(w.ca.issue(f"cert-{n + 1}")[1]))
    return w


def renewed(w):
    """A new certificate with a key of its own: its file, and that of its key."""
    w.issued += 1
    return w.ca.issue(f"cert-{w.issued}")


def put(w, service, pair):
    """As ACME clients do: a file is there at any time."""
    new = w.cert[service] + ".new"
    shutil.copy(pair[0], new)
    os.chmod(new, 0o644)
    os.rename(new, w.cert[service])


def fresh(w, service):
    """A renewed certificate in its place, its key in the key store; what clients shall see."""
    pair = renewed(w)
    w.gw.keyctl("import", "--tls", w.gw.own(pair[1]))
    put(w, service, pair)
    return ssl.PEM_cert_to_DER_cert(read(pair[0]).decode())


class Session(clients.Raw):
    """A client of one of the connectors: .service; kind "clear", "start" or "secure"."""

    def __init__(self, w, service, kind):
        super().__init__(w.port[service, "secure" if kind == "secure" else "clear"], timeout=60)
        self.w, self.service, self.kind = w, service, kind

    def begin(self):
        if self.kind == "secure":
            self.start_tls(self.w.ca.ca)
        if self.service == "smtp":
            assert self.smtp()[0] == 220
            assert self.smtp("EHLO client.test")[0] == 250
        else:
            assert self.pop()[0].startswith("+OK")
        if self.kind == "start":
            if self.service == "smtp":
                assert self.smtp("STARTTLS")[0] == 220
            else:
                assert self.pop("STLS")[0].startswith("+OK")
            self.start_tls(self.w.ca.ca)
        return self

    def login(self):
        """Up to where the session is at work."""
        if self.service == "smtp":
            assert self.smtp("EHLO client.test")[0] == 250
            assert self.smtp("AUTH PLAIN " + clients.plain_login(*self.w.login("alice")))[0] == 235
        else:
            assert self.pop("USER alice")[0].startswith("+OK")
            assert self.pop(f"PASS {self.w.users['alice']}")[0].startswith("+OK")
        return self

    def letter(self, number):
        return mails.plain(ALICE, QUINN, subject=f"number {number}") + b".\r\n"

    def half(self, number):
        """Do half of something; the other half is what second does."""
        self.number, self.data = number, number % 2 == 0
        if self.service == "smtp":
            assert self.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
            if self.data:
                assert self.smtp(f"RCPT TO:<{QUINN}>")[0] == 250
                assert self.smtp("DATA")[0] == 354
                self.send(self.letter(number)[:200])
            else:
                self.send(f"RCPT TO:<{QUINN[:5]}")
        elif self.data:
            self.send("RETR 1\r\n")
            assert self.line().startswith(b"+OK")
        else:
            self.send("RETR ")

    def second(self):
        if self.service == "smtp":
            if self.data:
                assert self.smtp(self.letter(self.number)[200:])[0] == 250
            else:
                assert self.smtp(f"{QUINN[5:]}>")[0] == 250
                assert self.smtp("RSET")[0] == 250
            assert self.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
            assert self.smtp("QUIT")[0] == 221
        else:
            lines = []
            if not self.data:
                assert self.pop("1")[0].startswith("+OK")
            while (line := self.line()) != b".":
                assert line or not self.ended, "the session was dropped"
                lines.append(line)
            assert lines.count(LINE.encode()) == 6000, len(lines)
            assert b"short\r\n" in self.pop("RETR 2", multi=True)[1]
            assert self.pop("QUIT")[0].startswith("+OK")


def sees(w, service, kind):
    """The certificate that a new client is shown."""
    with Session(w, service, kind) as c:
        return c.begin().sock.getpeercert(binary_form=True)


def everywhere(w, service, der):
    """All processes show it; which of them takes a connection is chance."""
    for kind in ("start", "secure"):
        for _ in range(6):
            assert sees(w, service, kind) == der, (service, kind)


def refused(w):
    p = w.gw.gwctl("reload", check=False)
    text = (p.stdout + p.stderr).decode()
    assert p.returncode == EX_CONFIG, (p.returncode, text)
    return text


@case
def no_session_is_dropped_by_a_renewal(w):
    many = []
    try:
        for service in ("smtp", "pop3"):
            for i in range(2 * EACH):
                kind = ("clear", "start", "clear", "secure")[i % 4]
                many.append(Session(w, service, kind))
                many[-1].begin().login().half(i // 2)
        # Some that have only just come: their handshakes take place behind the reload.
        new = [Session(w, service, "secure") for service in ("smtp", "pop3") for _ in range(5)]
        many += new
        assert len([s for s in many if s not in new]) == 200
        pids = w.gw.daemons()
        der = {service: fresh(w, service) for service in ("smtp", "pop3")}
        w.gw.gwctl("reload")
        for service in ("smtp", "pop3"):
            everywhere(w, service, der[service])
        for s in many:
            if s in new:
                s.begin().login().half(1)
            s.second()
        assert w.gw.daemons() == pids, "a daemon was started anew"
    finally:
        for s in many:
            s.close()
    got = sorted(mails.parse(m.data)["Subject"] for m in w.peer.take(EACH))
    assert got == sorted(2 * [f"number {n}" for n in range(0, EACH, 2)]), got


@case
def a_file_that_is_missing_refuses_the_reload(w):
    before = {service: sees(w, service, "secure") for service in ("smtp", "pop3")}
    kept, path, more = read(w.gw.conf), w.cert["smtp"], w.ports.get()
    with Session(w, "smtp", "secure") as smtp, Session(w, "pop3", "start") as pop:
        for s in (smtp, pop):
            s.begin().login().half(0)
        os.rename(path, path + ".away")
        try:
            # What else is new must not count either.
            fresh(w, "pop3")
            write(w.gw.conf, kept + f'connector "more" {{\n  service = smtp\n  listen = {{"127.0.0.1:{more}"}}\n'
                  '  peer = "office-smtp"\n  tls = disabled\n}\n'.encode())
            text = refused(w)
            assert f"connector both-smtp: certificates: {path}: No such file" in text, text
            start = len(w.gw.log_text())
            os.kill(w.gw.pid, signal.SIGHUP)
            w.gw.wait_log(r"master\[\d+\]: error: .*No such file", start=start)
            assert not listening(more)
            for service, der in before.items():
                everywhere(w, service, der)
        finally:
            os.rename(path + ".away", path)
            write(w.gw.conf, kept)
        for s in (smtp, pop):
            s.second()
    w.gw.gwctl("reload")
    everywhere(w, "smtp", before["smtp"])
    assert sees(w, "pop3", "secure") != before["pop3"]


@case
def one_daemon_that_refuses_a_certificate_keeps_all_from_changing(w):
    """The others had taken the new files already: they take the old ones back."""
    before = {service: sees(w, service, "secure") for service in ("smtp", "pop3")}
    good = read(w.cert["smtp"])
    try:
        new = fresh(w, "pop3")
        write(w.cert["smtp"], "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n")
        text = refused(w)
        assert w.cert["smtp"] in text and "smtpd" in text, text
        for service, der in before.items():
            everywhere(w, service, der)
        # The same from a file with somebody's private key in it.
        write(w.cert["smtp"], good + read(w.ca.issue("cert-1")[1]))
        text = refused(w)
        assert w.cert["smtp"] in text and "private key" in text, text
    finally:
        write(w.cert["smtp"], good)
    w.gw.gwctl("reload")
    everywhere(w, "smtp", before["smtp"])
    everywhere(w, "pop3", new)


@case
def a_killed_proxy_has_the_files_of_the_running_configuration(w):
    before = {service: sees(w, service, "secure") for service in ("smtp", "pop3")}
    new = fresh(w, "smtp")
    os.rename(w.cert["pop3"], w.cert["pop3"] + ".away")
    try:
        for name in ("smtpd", "pop3d"):
            old = w.gw.kill(name)
            w.gw.wait_daemon(name, other_than=old, count=len(old), seconds=10)
        for service, der in before.items():
            everywhere(w, service, der)
    finally:
        os.rename(w.cert["pop3"] + ".away", w.cert["pop3"])
    w.gw.gwctl("reload")
    everywhere(w, "smtp", new)
    everywhere(w, "pop3", before["pop3"])


@case
def tickets_are_good_at_every_process_and_outlive_them(w):
    """master makes their keys: a successor, and a reload, know what was given out before."""
    context = ssl.create_default_context(cafile=w.ca.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3

    def connect(session):
        with socket.create_connection(("127.0.0.1", w.port["smtp", "secure"]), 30) as s, \
                context.wrap_socket(s, server_hostname="localhost", session=session) as t:
            assert t.recv(512).startswith(b"220")
            return t.session, t.session_reused

    session, again = connect(None)
    assert not again and session.has_ticket
    for _ in range(8):
        assert connect(session)[1]
    old = w.gw.kill("smtpd")
    w.gw.wait_daemon("smtpd", other_than=old, count=len(old), seconds=10)
    assert connect(session)[1]
    w.gw.gwctl("reload")
    assert connect(session)[1]
    w.gw.stop()
    w.gw.start()
    assert not connect(session)[1], "a key was kept beyond the end of master"


@case
def a_file_that_is_missing_ends_a_start(w):
    w.gw.stop()
    path = w.cert["pop3"]
    os.rename(path, path + ".away")
    try:
        w.gw.start()
    except RuntimeError as e:
        text = str(e)
    else:
        raise AssertionError("it started")
    finally:
        os.rename(path + ".away", path)
    assert f"ended with {EX_CONFIG}" in text, text
    assert f"connector both-pop3: certificates: {path}: No such file" in text, text
    w.gw.start()
    wait_until(lambda: listening(w.port["pop3", "secure"]), 5, "the listener")
    sees(w, "pop3", "secure")


if __name__ == "__main__":
    run(world)

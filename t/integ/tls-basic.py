#!/usr/bin/env python3
"""TLS towards clients of both services: STARTTLS, STLS and implicit TLS, second factors, cryptod in trouble."""

# check: timeout=240

import base64
import concurrent.futures
import json
import os
import re
import signal
import ssl
import threading
import time

from pt import Site, case, run
from pt import clients, mails
from pt.util import read, sh, wait_until, write

ALICE, BOB, QUINN = "alice@example.test", "bob@example.test", "quinn@partner.test"
LETTER = mails.plain("pat@partner.test", ALICE, body="hello\n")
HANDSHAKES = 16  # of each service at once, while cryptod does not run

# Connectors of each service: name, kind of certificate, how TLS begins, what else they say.
KINDS = {
    "start": ("ec", "starttls", ""),
    "start-rsa": ("rsa", "starttls", ""),
    "wrapped": ("ec", "implicit", ""),
    "wrapped-rsa": ("rsa", "implicit", ""),
    "strict": ("ec", "starttls", "starttls = required"),
    "shown": ("ec", "implicit", 'tls = required\n  second_factor = certificate\n  action = "{service}-shown"'),
    "told": ("ec", "starttls", "second_factor = password"),
    "keyless": ("keyless", "starttls", ""),
    "late": ("late", "starttls", ""),
}
CONNECTOR = """
connector "{service}-{kind}" {{
  service = {service}
  {listen} = {{"127.0.0.1:{port}"}}
  peer = "office-{service}"
  certificates = {{"{cert}"}}
  {more}
}}
"""


def smtp_peer(w):
    w.peer = w.sink(users=w.users, tokens={"alice": "token"})
    return w.peer.port


def pop3_peer(w):
    w.pop = w.fakepop()
    w.pop.put("alice", LETTER)
    return w.pop.port


def connectors(w):
    w.other = type(w.ca)(w.path("other-ca"), "Another CA")
    w.certs = {"ec": w.ca.issue("ec"), "rsa": w.ca.issue("rsa", rsa=True), "keyless": w.ca.issue("keyless"),
               "late": w.ca.issue("late", expired=True)}
    w.port = {}
    text = ("processes {\n  smtpd = 1\n  pop3d = 1\n}\n"
            f'tls_profile "shown" {{\n  client_certificate = require\n  client_ca = "{w.ca.ca}"\n}}\n')
    for service in ("smtp", "pop3"):
        text += f'action "{service}-shown" {{\n  service = {service}\n  profile = "shown"\n}}\n'
        for kind, (cert, how, more) in KINDS.items():
            port = w.port[service, kind] = w.ports.get()
            text += CONNECTOR.format(service=service, kind=kind, port=port, cert=w.certs[cert][0],
                                     listen="listen_tls" if how == "implicit" else "listen",
                                     more=more.format(service=service))
    return text


def world():
    w = Site(smtp_port=smtp_peer, pop3_port=pop3_peer, users=("alice", "bob"), keys=("alice",), more=connectors)
    for name in ("ec", "rsa", "late"):
        w.gw.keyctl("import", "--tls", w.certs[name][1])
    return w


def fresh(w):
    w.peer.clear()
    with w.peer.lock:
        w.peer.mails.clear()


class Client(clients.Raw):
    """A client of one of the connectors; .ehlo is what was offered last."""

    def __init__(self, w, service, kind, cert=None, timeout=20.0):
        super().__init__(w.port[service, kind], timeout=timeout)
        self.w, self.cert, self.ehlo = w, cert, ""
        try:
            if KINDS[kind][1] == "implicit":
                self.secure()
            self.greeting = self.smtp() if service == "smtp" else self.pop()
        except BaseException:
            self.close()
            raise

    def secure(self):
        self.start_tls(self.w.ca.ca, self.cert)

    def hello(self):
        code, self.ehlo = self.smtp("EHLO client.test")
        assert code == 250
        return self

    def starttls(self):
        self.hello()
        assert self.smtp("STARTTLS")[0] == 220
        self.secure()
        return self.hello()

    def stls(self):
        assert self.pop("STLS")[0].startswith("+OK")
        self.secure()
        return self

    def auth(self, user, password):
        return self.smtp("AUTH PLAIN " + clients.plain_login(user, password))

    def deliver(self, sender=ALICE):
        for line, code in ((f"MAIL FROM:<{sender}>", 250), (f"RCPT TO:<{QUINN}>", 250), ("DATA", 354)):
            assert self.smtp(line)[0] == code, line
        self.send(mails.plain(sender, QUINN) + b".\r\n")
        assert self.smtp()[0] == 250


def from_client(server, verb):
    return [line for line in server.said("C") if line.upper().startswith(verb)]


def smtp_login(w, kind, user, password, cert=None):
    with Client(w, "smtp", kind, cert) as c:
        if KINDS[kind][1] == "starttls":
            c.starttls()
        return c.hello().auth(user, password)


def pop3_login(w, kind, user, password, cert=None):
    with Client(w, "pop3", kind, cert) as c:
        if KINDS[kind][1] == "starttls":
            c.stls()
        c.pop(f"USER {user}")
        return c.pop(f"PASS {password}")[0]


def together(*funcs):
    """Their results; refusals take their time."""
    with concurrent.futures.ThreadPoolExecutor(len(funcs)) as pool:
        return [x.result() for x in [pool.submit(f) for f in funcs]]


def fails(func):
    """The connection or the handshake comes to nothing."""
    try:
        func()
    except (OSError, EOFError, ssl.SSLError):
        return True
    return False


@case
def openssl_shakes_hands_with_every_connector(w):
    fresh(w)
    for service, kind, word in (("smtp", "start", "smtp"), ("smtp", "start-rsa", "smtp"), ("smtp", "wrapped", None),
                                ("smtp", "wrapped-rsa", None), ("pop3", "start", "pop3"), ("pop3", "start-rsa", "pop3"),
                                ("pop3", "wrapped", None), ("pop3", "wrapped-rsa", None)):
        for version in ("-tls1_2", "-tls1_3"):
            start = ["-starttls", word] if word else []
            p = sh(["openssl", "s_client", "-connect", f"127.0.0.1:{w.port[service, kind]}", "-CAfile", w.ca.ca,
                    "-verify_return_error", "-verify_hostname", "localhost", "-ign_eof", version, *start],
                   data=b"QUIT\r\n")
            out = p.stdout.decode()
            assert "Verify return code: 0 (ok)" in out, out
            assert (b"221 2.0.0" if service == "smtp" else b"+OK") in p.stdout, out
            assert "TLSv1." + version[-1] in out and "Server Temp Key" in out, out
    for service in ("smtp", "pop3"):
        p = sh(["openssl", "s_client", "-connect", f"127.0.0.1:{w.port[service, 'wrapped']}", "-tls1_1",
                "-cipher", "ALL:@SECLEVEL=0"], check=False)
        assert p.returncode != 0, p.stdout
    w.gw.wait_log(r"postern/smtpd\[\d+\]: Anonymous TLS connection established from unknown\[127\.0\.0\.1\]: "
                  r"TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)")


@case
def ordinary_clients_send_by_tls(w):
    fresh(w)
    path = write(w.path("letter.eml"), mails.plain(ALICE, QUINN))
    for kind in ("start", "start-rsa", "wrapped", "wrapped-rsa", "strict"):
        url = "smtps" if kind.startswith("wrapped") else "smtp"
        sh(["curl", "-sS", "--ssl-reqd", "--cacert", w.ca.ca, "--user", ":".join(w.login("alice")), "--mail-from", ALICE,
            "--mail-rcpt", QUINN, "-T", path, f"{url}://localhost:{w.port['smtp', kind]}/client.test", "-4"])
        m = w.peer.take()[0]
        assert m.user == "alice" and b"multipart/signed" in m.data
        sh(["swaks", "--server", "127.0.0.1", "--port", str(w.port["smtp", kind]), "--from", ALICE, "--to", QUINN,
            "--tls-on-connect" if kind.startswith("wrapped") else "--tls", "--tls-ca-path", w.ca.ca, "--tls-verify",
            "--auth", "LOGIN", "--auth-user", "alice", "--auth-password", w.users["alice"], "--silent", "2"])
        assert w.peer.take()[0].user == "alice"


@case
def ordinary_clients_fetch_by_tls(w):
    for kind in ("start", "start-rsa", "wrapped", "wrapped-rsa", "strict"):
        url = "pop3s" if kind.startswith("wrapped") else "pop3"
        p = sh(["curl", "-sS", "--ssl-reqd", "--cacert", w.ca.ca, "--user", ":".join(w.login("alice")), "-4",
                f"{url}://localhost:{w.port['pop3', kind]}/1"])
        assert p.stdout == LETTER, p.stdout


@case
def smtp_begins_anew_behind_starttls(w):
    """Nothing said in clear counts any more: not the greeting, not the sender, not the login."""
    fresh(w)
    with Client(w, "smtp", "start").hello() as c:
        assert "STARTTLS" in c.ehlo and "AUTH PLAIN LOGIN" in c.ehlo, c.ehlo
        clear = c.ehlo.replace("\nSTARTTLS", "")
        assert c.smtp("STARTTLS now")[0] == 501
        assert c.auth(*w.login("alice"))[0] == 235
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
        assert c.smtp("STARTTLS")[0] == 220
        c.secure()
        assert c.smtp("STARTTLS")[0] == 503
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 503
        assert c.smtp(f"RCPT TO:<{QUINN}>")[0] == 503
        c.hello()
        assert c.ehlo == clear, (c.ehlo, clear)
        assert c.smtp("STARTTLS")[0] == 503
        c.deliver()
    assert w.peer.take()[0].user == "", "the login in clear is void at the mail server too"
    with Client(w, "smtp", "start").hello() as c:
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
        assert c.smtp(f"RCPT TO:<{QUINN}>")[0] == 250
        assert c.smtp("STARTTLS")[0] == 220
        c.secure()
        c.hello()
        assert c.auth(*w.login("alice"))[0] == 235
        c.deliver()
    assert w.peer.take()[0].recipients == [QUINN]


@case
def what_came_in_clear_behind_starttls_has_no_effect(w):
    fresh(w)
    start = len(w.gw.log_text())
    with Client(w, "smtp", "start") as c:
        c.send(f"EHLO client.test\r\nSTARTTLS\r\nEHLO injected\r\nMAIL FROM:<{ALICE}>\r\nRCPT TO:<{QUINN}>\r\nNOO")
        assert c.smtp()[0] == 250 and c.smtp()[0] == 220
        c.secure()
        assert c.smtp("NOOP") == (250, "2.0.0 Ok")
        assert c.smtp("MAIL FROM:<bob@example.test>")[0] == 503, "EHLO was injected"
        c.hello()
    assert not from_client(w.peer, b"MAIL") and not from_client(w.peer, b"RCPT")
    w.gw.wait_log(r"improper command pipelining after STARTTLS from unknown\[127\.0\.0\.1\]", start=start)
    with Client(w, "pop3", "start") as c:
        c.send("STLS\r\nUSER mallory\r\nPASS mallory-pw\r\nSTA")
        assert c.pop()[0].startswith("+OK")
        c.secure()
        assert c.pop("NOOP")[0].startswith("-ERR"), "somebody is logged in"
        assert c.pop(f"PASS {w.users['mallory']}")[0].startswith("-ERR"), "USER was injected"
        assert c.pop("USER alice")[0].startswith("+OK")
        assert c.pop("PASS alice-pw")[0].startswith("+OK")
        assert c.pop("STAT")[0].startswith("+OK 1 ")
    assert not [x for x in w.pop.said("C") if b"mallory" in x]


@case
def where_tls_is_required_nothing_is_done_before_it(w):
    fresh(w)
    login = "AUTH PLAIN " + clients.plain_login(*w.login("alice"))
    with Client(w, "smtp", "strict").hello() as c:
        assert "STARTTLS" in c.ehlo and "AUTH" not in c.ehlo, c.ehlo
        for line, code in ((login, 530), (f"MAIL FROM:<{ALICE}>", 530), (f"RCPT TO:<{QUINN}>", 530), ("VRFY alice", 530),
                           ("NOOP", 250), ("RSET", 250)):
            assert c.smtp(line)[0] == code, line
        assert not from_client(w.peer, b"AUTH") and not from_client(w.peer, b"MAIL")
    with Client(w, "smtp", "strict").starttls() as c:
        assert "AUTH PLAIN LOGIN" in c.ehlo and "STARTTLS" not in c.ehlo, c.ehlo
        assert c.smtp(login)[0] == 235
    with Client(w, "pop3", "strict") as c:
        capa = c.pop("CAPA", multi=True)[1].split(b"\r\n")
        assert b"STLS" in capa and b"USER" not in capa and not [x for x in capa if x.startswith(b"SASL")], capa
        for line in ("USER alice", "PASS alice-pw", login):
            assert c.pop(line)[0].startswith("-ERR"), line
        c.stls()
        capa = c.pop("CAPA", multi=True)[1].split(b"\r\n")
        assert b"STLS" not in capa and b"USER" in capa, capa
        assert c.pop("STLS")[0].startswith("-ERR")
        assert c.pop("USER alice")[0].startswith("+OK") and c.pop("PASS alice-pw")[0].startswith("+OK")
        assert c.pop("STLS")[0].startswith("-ERR")


@case
def connectors_without_starttls_do_not_know_it(w):
    with clients.Raw(w.submission) as c:
        c.smtp()
        assert "STARTTLS" not in c.smtp("EHLO client.test")[1]
        assert c.smtp("STARTTLS")[0] == 502
    with clients.Raw(w.retrieval) as c:
        c.pop()
        assert b"STLS" not in c.pop("CAPA", multi=True)[1]
        assert c.pop("STLS")[0].startswith("-ERR")
    with Client(w, "smtp", "wrapped").hello() as c:
        assert "STARTTLS" not in c.ehlo and c.smtp("STARTTLS")[0] == 503


@case
def clear_text_and_rubbish_instead_of_a_handshake_end_the_session(w):
    fresh(w)
    start = len(w.gw.log_text())
    for service in ("smtp", "pop3"):
        with clients.Raw(w.port[service, "wrapped"]) as c:
            c.send(b"EHLO client.test\r\nQUIT\r\n" * 50)
            assert b"250" not in c.rest()
        with Client(w, service, "start") as c:
            assert (c.hello().smtp("STARTTLS")[0] == 220) if service == "smtp" else c.pop("STLS")[0].startswith("+OK")
            c.send(b"\x16\x03\x01\xff\xff" + os.urandom(5000))
            c.rest()
        with Client(w, service, "start") as c:
            assert (c.hello().smtp("STARTTLS")[0] == 220) if service == "smtp" else c.pop("STLS")[0].startswith("+OK")
        with Client(w, service, "start") as c:  # the process lives
            c.starttls() if service == "smtp" else c.stls()
    w.gw.wait_log(r"smtpd\[\d+\]: SSL_accept error from unknown\[127\.0\.0\.1\]: ", start=start)
    assert not from_client(w.peer, b"MAIL")


@case
def a_client_certificate_must_be_the_consumers(w):
    fresh(w)
    mine = w.ca.issue("alice", names=(), addresses=(), emails=("Alice@Example.test", "other@example.test"))
    bobs = w.ca.issue("bob", names=(), addresses=(), emails=(BOB,))
    nobodys = w.ca.issue("nobody", names=("alice.example.test",), addresses=())
    forged = w.other.issue("forged", names=(), addresses=(), emails=(ALICE,))
    login = w.login("alice")

    def unseen():
        return not from_client(w.peer, b"AUTH") and not from_client(w.pop, b"PASS")
    with w.pop.lock:
        w.pop.transcript.clear()
    for cert in (None, forged):
        assert fails(lambda c=cert: Client(w, "smtp", "shown", c).hello()), cert
        assert fails(lambda c=cert: Client(w, "pop3", "shown", c).pop("CAPA", multi=True)), cert
    assert unseen()
    with Client(w, "smtp", "shown", mine).hello() as c:
        assert "XOAUTH2" in c.ehlo, c.ehlo
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 530
        assert c.auth(*login)[0] == 235
        c.deliver()
    assert b"multipart/signed" in w.peer.take()[0].data
    with Client(w, "pop3", "shown", mine) as c:
        assert c.pop("USER alice")[0].startswith("+OK") and c.pop(f"PASS {login[1]}")[0].startswith("+OK")
    denied = together(lambda: smtp_login(w, "shown", *login, bobs), lambda: smtp_login(w, "shown", *login, nobodys),
                      lambda: smtp_login(w, "shown", "alice", "wrong", bobs))
    assert denied[0][0] == 535 and len(set(denied)) == 1, denied
    denied = together(lambda: pop3_login(w, "shown", *login, bobs), lambda: pop3_login(w, "shown", *login, nobodys),
                      lambda: pop3_login(w, "shown", "alice", "wrong", bobs))
    assert denied[0].startswith("-ERR") and len(set(denied)) == 1, denied
    with Client(w, "smtp", "shown", bobs).hello() as c:
        assert c.auth(*login)[0] == 535
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 530
        assert c.auth(*w.login("bob"))[0] == 235
        c.deliver(BOB)
    assert w.peer.take()[0].user == "bob", "the mail server has forgotten alice"
    w.gw.wait_log(r"smtpd\[\d+\]: warning: unknown\[127\.0\.0\.1\]: SASL PLAIN authentication failed: second factor: ")
    w.gw.wait_log(r"smtpd\[\d+\]: Trusted TLS connection established from unknown\[127\.0\.0\.1\]: TLSv1")


@case
def a_gateway_password_is_wanted_and_kept_from_the_mail_server(w):
    fresh(w)
    made = json.loads(w.gw.gwctl("consumer", "password", "alice", "--json").stdout)
    secret = made["password"]
    user, password = w.login("alice")
    with Client(w, "smtp", "told").starttls() as c:
        assert "AUTH PLAIN LOGIN\n" in c.ehlo + "\n", "a token has no room for it"
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 530
        assert c.auth(user, f"{secret}:{password}")[0] == 235
        c.deliver()
    assert b"multipart/signed" in w.peer.take()[0].data
    with Client(w, "smtp", "told").starttls() as c:
        assert c.smtp("AUTH LOGIN")[0] == 334
        assert c.smtp(base64.b64encode(user.encode()).decode())[0] == 334
        assert c.smtp(base64.b64encode(f"{secret}:{password}".encode()).decode())[0] == 235
    assert pop3_login(w, "told", user, f"{secret}:{password}").startswith("+OK")
    bad = (password, f"{secret}:wrong", f"x{secret}:{password}", f":{password}", f"{secret}{password}")
    for login in (smtp_login, pop3_login):
        answers = together(*[lambda x=x: login(w, "told", user, x) for x in bad],
                           # bob has none, and alice's is not his
                           lambda: login(w, "told", "bob", f"{secret}:{w.users['bob']}"))
        assert len(set(answers)) == 1 and re.match(r"\(?(-ERR|535)", str(answers[0])), answers
    said = from_client(w.peer, b"AUTH PLAIN ") + [x for x in w.pop.said("C") if x.upper().startswith(b"AUTH PLAIN ")]
    said = b"\n".join(base64.b64decode(x.split()[2]) for x in said) + b"\n".join(w.pop.said("C"))
    assert secret.encode() not in said and b"alice-pw" in said, said
    log = w.gw.settled_log()
    assert secret not in log and password not in log


class Handshake(threading.Thread):
    """One handshake on an implicit connector; .good when it is done and the greeting was read."""

    def __init__(self, w, service, kind="wrapped-rsa"):
        super().__init__(daemon=True)
        self.w, self.service, self.kind, self.good, self.error = w, service, kind, None, None
        self.start()

    def run(self):
        try:
            with Client(self.w, self.service, self.kind, timeout=30) as c:
                self.good = c.greeting is not None
        except (OSError, EOFError, AssertionError) as e:
            self.good, self.error = False, e


def round_trips(smtp, pop, count):
    """Answers of the processes that wait for cryptod elsewhere; a missing one is a timeout."""
    for _ in range(count):
        assert smtp.smtp("NOOP")[0] == 250
        assert pop.pop("NOOP")[0].startswith("+OK")


def begin_handshakes(w, count, kind="wrapped-rsa"):
    """Clients whose first octets the gateway has read."""
    start = len(w.gw.log_text())
    threads = [Handshake(w, s, kind) for s in ("smtp", "pop3") for _ in range(count)]
    wait_until(lambda: len(re.findall(r"\]: (?:\w+: )?connect from", w.gw.log_text()[start:])) >= 2 * count, 10, "connections")
    return threads


@case
def a_slow_cryptod_stops_no_other_session(w):
    """cryptod runs for a moment between pauses of 50 ms; others are answered within the pauses."""
    fresh(w)
    pids = w.gw.daemons("cryptod")

    def tell(sig):
        for pid in pids:
            os.kill(pid, sig)
    with clients.Raw(w.submission, timeout=20) as smtp, clients.Raw(w.retrieval, timeout=20) as pop:
        assert smtp.smtp()[0] == 220 and pop.pop()[0].startswith("+OK")
        assert pop.pop("USER alice")[0].startswith("+OK") and pop.pop("PASS alice-pw")[0].startswith("+OK")
        smtp.smtp("EHLO client.test")
        try:
            tell(signal.SIGSTOP)
            threads = begin_handshakes(w, HANDSHAKES)
            round_trips(smtp, pop, 100)
            assert all(t.good is None for t in threads), [t.error for t in threads]
            pauses = 0
            while any(t.is_alive() for t in threads) and pauses < 40:
                tell(signal.SIGCONT)
                time.sleep(0.002)
                tell(signal.SIGSTOP)
                end = time.monotonic() + 0.05
                round_trips(smtp, pop, 5)
                time.sleep(max(0.0, end - time.monotonic()))
                pauses += 1
        finally:
            tell(signal.SIGCONT)
        for t in threads:
            t.join(30)
        assert all(t.good for t in threads), [t.error for t in threads if not t.good]
        assert smtp.smtp("QUIT")[0] == 221


@case
def clients_that_leave_while_cryptod_works_leave_nothing_behind(w):
    pids = w.gw.daemons("cryptod")
    before = w.gw.daemons("smtpd") + w.gw.daemons("pop3d")
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        socks = []
        for service in ("smtp", "pop3"):
            for _ in range(10):
                c = clients.Raw(w.port[service, "wrapped"])
                context = ssl._create_unverified_context()
                c.sock.setblocking(False)
                c.sock = context.wrap_socket(c.sock, do_handshake_on_connect=False)
                try:
                    c.sock.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                socks.append(c)
        time.sleep(0.2)
        for c in socks:
            c.close()
        time.sleep(0.2)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    for service in ("smtp", "pop3"):
        Client(w, service, "wrapped").close()
    assert w.gw.daemons("smtpd") + w.gw.daemons("pop3d") == before


@case
def a_cryptod_that_dies_within_handshakes_is_survived(w):
    before = w.gw.daemons("smtpd") + w.gw.daemons("pop3d")
    pids = w.gw.daemons("cryptod")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    threads = begin_handshakes(w, 5)
    w.gw.kill("cryptod")
    for t in threads:
        t.join(30)
    assert all(t.good is not None for t in threads)
    w.gw.wait_daemon("cryptod", other_than=pids, seconds=5)
    for service in ("smtp", "pop3"):
        wait_until(lambda s=service: shakes(w, s), 15, "handshakes with the new cryptod", 0.2)
    assert w.gw.daemons("smtpd") + w.gw.daemons("pop3d") == before


def shakes(w, service, kind="start"):
    """True when a session gets its TLS; None where it was told in clear that it cannot now."""
    with Client(w, service, kind) as c:
        if service == "smtp":
            c.hello()
            code = c.smtp("STARTTLS")[0]
            if code != 220:
                assert code == 454
                return None
        else:
            first = c.pop("STLS")[0]
            if not first.startswith("+OK"):
                assert first.startswith("-ERR [SYS/TEMP]"), first
                return None
        return not fails(c.secure)


def goes_on_in_clear(w):
    """True when STARTTLS is refused and the session is none the worse; now and then it is tried."""
    with Client(w, "smtp", "start").hello() as c:
        if c.smtp("STARTTLS")[0] != 454:
            return False
        assert c.smtp(f"MAIL FROM:<{BOB}>")[0] == 250
        return True


@case
def while_the_key_store_is_locked_clients_are_told_in_clear(w):
    w.gw.keyctl("lock")
    try:
        for service in ("smtp", "pop3"):
            wait_until(lambda s=service: shakes(w, s) is None, 10, "a refusal in clear", 0.0)
            assert fails(lambda s=service: Client(w, s, "wrapped"))
        wait_until(lambda: goes_on_in_clear(w), 10, "a refusal in clear", 0.0)
        w.gw.wait_log(r"smtpd\[\d+\]: warning: .*locked.*keyctl unlock")
    finally:
        w.gw.keyctl("unlock", "--key-file", w.key_file)
    for service in ("smtp", "pop3"):
        wait_until(lambda s=service: shakes(w, s), 15, "handshakes after unlock", 0.2)


@case
def a_key_that_is_missing_is_named_with_its_remedy(w):
    start = len(w.gw.log_text())
    cert = re.escape(w.certs["keyless"][0])
    for service, daemon in (("smtp", "smtpd"), ("pop3", "pop3d")):
        assert shakes(w, service, "keyless") is False
        w.gw.wait_log(rf"{daemon}\[\d+\]: error: .*{cert}.*keyctl import --tls", start=start)
        assert shakes(w, service), "other certificates are none the worse"


@case
def certificates_that_have_ended_are_told_of(w):
    cert = re.escape(w.certs["late"][0])
    for service, daemon in (("smtp", "smtpd"), ("pop3", "pop3d")):
        w.gw.wait_log(rf"{daemon}\[\d+\]: warning: certificate {cert} has ended on \d+-\d+-\d+: .*gwctl tls install")
        with clients.Raw(w.port[service, "late"]) as c:  # whoever does not look gets it
            c.smtp("EHLO x") if service == "smtp" and c.smtp() else c.pop()
            assert c.smtp("STARTTLS")[0] == 220 if service == "smtp" else c.pop("STLS")[0].startswith("+OK")
            c.start_tls()
    assert re.search(rf"certificate.*{cert}.*ENDED", w.gw.gwctl("status", "-v", check=False).stdout.decode())
    p = w.gw.gwctl("status", "-q", check=False)
    assert p.returncode == 1 and re.search(rf"trouble: {cert}: has ended on ", p.stdout.decode()), p
    assert len(re.findall("trouble: .*ended", p.stdout.decode())) == 1, "the other certificates have not"


def serial(w, service):
    with Client(w, service, "wrapped") as c:
        return c.sock.getpeercert()["serialNumber"]


@case
def a_renewed_certificate_counts_from_a_reload_on(w):
    path = w.certs["ec"][0]
    kept, old = read(path), serial(w, "smtp")
    csr = path.replace(".pem", ".csr")
    sh(["openssl", "x509", "-req", "-in", csr, "-out", path, "-CA", w.ca.ca, "-CAkey", w.ca.ca.replace(".pem", ".key"),
        "-set_serial", "4711", "-days", "30", "-extfile", path.replace(".pem", ".ext")])
    assert serial(w, "smtp") == serial(w, "pop3") == old
    w.gw.gwctl("reload")
    assert int(serial(w, "smtp"), 16) == int(serial(w, "pop3"), 16) == 4711
    missing = w.path("more.pem")
    w.gw.configure(w.pieces.replace(w.certs["rsa"][0], missing))
    p = w.gw.gwctl("reload", check=False)
    assert p.returncode != 0 and b"more.pem" in p.stdout + p.stderr, p
    assert int(serial(w, "smtp"), 16) == 4711, "a refused reload changes nothing"
    write(missing, kept)
    w.gw.gwctl("reload")
    assert serial(w, "smtp") != old
    w.gw.configure(w.pieces)
    w.gw.gwctl("reload")


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""Servers that lie around STARTTLS: no credential in clear, nothing forged reaches a client.

The scripts of the public collection of fake mail servers are played where it is present, beside
a few of our own."""

import glob
import os
import time

from pt import World, case, run
from pt import clients, mails, ron
from pt.cases import Skip
from pt.fakepop import FakePop
from pt.gateway import TOP
from pt.lineserver import Drop
from pt.sink import Sink
from pt.world import DOMAIN

CORPUS = os.path.join(os.environ.get("POSTERN_CORPUS", os.path.join(TOP, "../shared/corpus")),
                      "nostarttls-cases")
ALICE, QUINN, SERVER = "alice@example.test", "quinn@partner.test", "example.org"
LETTER = mails.plain("pat@partner.test", ALICE, body="hello\n")
PLAYED = 15  # seconds that one script may take, with all its time-outs

CAPA = ["TOP", "USER", "UIDL", "RESP-CODES"]
OWN = {
    "pop3": {
        "good": {"capa": ["STLS"] + CAPA, "capa_tls": CAPA},
        "forged-listing": {"capa": ["STLS"] + CAPA, "capa_tls": CAPA,
                           "stls_response": "+OK go ahead\r\n+OK\r\nUSER\r\nIMPLEMENTATION forged\r\n.\r\n"},
        "stays-in-clear": {"capa": ["STLS"] + CAPA, "capa_tls": CAPA, "stls_make_transition": False},
        "talks-first": {"greeting": "+OK ready\r\n+OK forged\r\n", "capa": ["STLS"], "capa_tls": CAPA},
        "silent-behind-tls": {"capa": ["STLS"], "capa_tls": CAPA, "ignore_commands_tls": ["capa"]},
    },
    "smtp": {
        "good": {"capabilities": ["StartTLS"], "capabilities_tls": ["AUTH PLAIN LOGIN"]},
        "forged-ehlo": {"capabilities": ["StartTLS"], "capabilities_tls": ["AUTH PLAIN"],
                        "stls_response": "220 go\r\n250-forged.test\r\n250 AUTH PLAIN\r\n"},
        "stays-in-clear": {"capabilities": ["StartTLS"], "capabilities_tls": ["AUTH PLAIN"],
                           "stls_make_transition": False},
        "talks-first": {"greeting": "220 ready\r\n250-forged.test\r\n250 AUTH PLAIN\r\n",
                        "capabilities": ["StartTLS"], "capabilities_tls": ["AUTH PLAIN"]},
        "silent-behind-tls": {"capabilities": ["StartTLS"], "capabilities_tls": ["AUTH PLAIN"],
                              "ignore_commands_tls": ["ehlo"]},
    },
}


class Scripted:
    """Plays .script on the connections that come; notes what was said in clear."""

    context_of = None  # certificate kind: (certificate file, key file)
    script = {}
    tls_word = tls_go = ""

    def greet(self, c):
        self.tell(c, self.script.get("greeting") or self.greeting)

    def tell(self, c, text):
        c.note("S", text.encode())
        c.send(text.encode())

    def command(self, c, verb, arg):
        word = verb.lower()
        if not c.tls:
            with self.lock:
                self.in_clear.append(verb.encode("latin-1", "replace") + b" " + arg)
        told = {k.lower(): v for k, v in self.script.get("override_response", {}).items()}
        hidden = [x.lower() for x in self.script.get("hide_commands", [])]
        if c.tls and word in [x.lower() for x in self.script.get("ignore_commands_tls", [])]:
            return
        if word in told:
            self.tell(c, told[word])
        elif word in hidden:
            self.tell(c, self.unknown)
        elif word == self.tls_word and not c.tls:
            self.tell(c, self.script.get("stls_response", self.tls_go))
            if self.script.get("stls_make_transition", True):
                if self.context is None:
                    raise Drop
                c.start_tls()
                c.state = {}
        else:
            super().command(c, verb, arg)


class ScriptedPop(Scripted, FakePop):
    greeting, unknown, tls_word, tls_go = "+OK ready\r\n", "-ERR what?\r\n", "stls", "+OK go ahead\r\n"

    def do_capa(self, c, _arg):
        lines = self.script.get("capa_tls" if c.tls else "capa", [])
        c.reply("+OK\r\n" + "".join(x + "\r\n" for x in lines) + ".")


class ScriptedSmtp(Scripted, Sink):
    greeting, unknown, tls_word, tls_go = "220 ready\r\n", "500 what?\r\n", "starttls", "220 go ahead\r\n"

    def do_ehlo(self, c, arg):
        c.state = {"helo": arg.decode("latin-1"), "user": ""}
        lines = ["sink.test"] + [feature(x) for x in
                                 self.script.get("capabilities_tls" if c.tls else "capabilities", [])]
        c.reply("\r\n".join(f"250{'-' if i + 1 < len(lines) else ' '}{x}" for i, x in enumerate(lines)))


def feature(x):
    """A line of EHLO's answer."""
    if x == "Auth" and isinstance(x, ron.Word):
        return "AUTH " + " ".join(str(m.args[0] if m == "Other" else m).upper() for m in x.args[0])
    return str(x).upper() if isinstance(x, ron.Word) else x.replace("StartTLS", "STARTTLS")


PIECES = """
limits {{
  peer_timeout = 2
}}
processes {{
  smtpd = 1
  pop3d = 1
}}
peer "smtp" {{
  service = smtp
  host = 127.0.0.1
  port = {smtp}
  tls = starttls
  server_name = "{server}"
  ca_file = "{ca}"
}}
peer "pop3" {{
  service = pop3
  host = 127.0.0.1
  port = {pop3}
  tls = starttls
  server_name = "{server}"
  ca_file = "{ca}"
}}
connector "smtp" {{
  service = smtp
  listen = {{"127.0.0.1:{to_smtp}"}}
  tls = disabled
  peer = "smtp"
}}
connector "pop3" {{
  service = pop3
  listen = {{"127.0.0.1:{to_pop3}"}}
  tls = disabled
  peer = "pop3"
}}
"""


def world():
    w = World()
    other = type(w.ca)(w.path("other-ca"), "Another CA")
    issue = w.ca.issue
    w.certs = {
        "example.org.pem": issue("good", names=(SERVER,), addresses=()),
        "example.org-expired.pem": issue("late", names=(SERVER,), addresses=(), expired=True),
        "example.org-self-signed.pem": issue("self", names=(SERVER,), addresses=(), self_signed=True),
        "example.org-unknown-root.pem": other.issue("unknown", names=(SERVER,), addresses=()),
        "other.example.org.pem": issue("other", names=("other.example.org",), addresses=()),
    }
    w.play = {"pop3": ScriptedPop(w.users, tls=w.certs["example.org.pem"]),
              "smtp": ScriptedSmtp(users=w.users, tls=w.certs["example.org.pem"])}
    w.contexts = {}
    for service, s in w.play.items():
        s.in_clear = []
        w.defer(s.stop)
        for name, cert in w.certs.items():
            probe = type(s)(**({"users": w.users, "tls": cert}))
            w.contexts[service, name] = probe.context
            probe.stop()
    w.play["pop3"].put("alice", LETTER)
    w.to = {"smtp": w.ports.get(), "pop3": w.ports.get()}
    w.gw = w.gateway(PIECES.format(smtp=w.play["smtp"].port, pop3=w.play["pop3"].port, server=SERVER,
                                   ca=w.ca.ca, to_smtp=w.to["smtp"], to_pop3=w.to["pop3"]))
    w.gw.start()
    w.gw.gwctl("domain", "add", DOMAIN)
    return w


def load(w, service, script):
    s = w.play[service]
    s.clear()
    with s.lock:
        s.in_clear.clear()
    s.script = script
    cert = script.get("cert")
    path = cert.args.get("crt_path", "") if isinstance(cert, ron.Word) else ""
    name = os.path.basename(path)
    s.context = w.contexts[service, name if name in w.certs else "example.org.pem"]
    return name if name in w.certs else "example.org.pem"


def one_line(text):
    return text.count("\n") == 1 and text.endswith("\r\n")


def healthy(service, script, cert):
    """Does the script let a careful client log in?  None: it may."""
    go = script.get("stls_response", "+OK\r\n" if service == "pop3" else "220\r\n")
    greeting = script.get("greeting") or ("+OK\r\n" if service == "pop3" else "220\r\n")
    good = "+OK" if service == "pop3" else "220"
    told = [k.lower() for k in script.get("override_response", {})]
    hidden = [k.lower() for k in script.get("hide_commands", [])]
    if (cert != "example.org.pem" or not script.get("stls_make_transition", True) or
            not go.startswith(good) or not one_line(go) or not greeting.startswith(good) or
            not one_line(greeting) or "stls" in told or "starttls" in told):
        return False
    if service == "smtp" and ("StartTLS" not in script.get("capabilities", []) or
                              {"ehlo", "helo", "starttls"} & set(told + hidden)):
        return False
    if script.get("ignore_commands_tls"):
        return False if service == "smtp" else None  # what CAPA said last is remembered
    if told or hidden:
        return None
    if service == "pop3":
        return True if "USER" in script.get("capa_tls", []) else None
    mechs = " ".join(feature(x) for x in script.get("capabilities_tls", []))
    return True if "PLAIN" in mechs.split() else None


def through_pop3(w):
    """What a client is told, and whether it got its letter."""
    with clients.Raw(w.to["pop3"]) as c:
        first = c.pop()[0]
        told = first
        if not first.startswith("+OK"):
            return told, False
        login, password = w.login("alice")
        answers = [c.pop(f"USER {login}")[0], c.pop(f"PASS {password}")[0]]
        told += "\n".join(answers)
        if not answers[-1].startswith("+OK"):
            return told, False
        return told, LETTER.split(b"\r\n\r\n")[1] in c.pop("RETR 1", multi=True)[1]


def through_smtp(w):
    with clients.Raw(w.to["smtp"]) as c:
        code, told = c.smtp()
        if code != 220:
            return told, False
        _, text = c.smtp("EHLO client.test")
        code, answer = c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))
        told += text + answer
        if code != 235:
            return told, False
        for line in (f"MAIL FROM:<{ALICE}>", f"RCPT TO:<{QUINN}>", "DATA"):
            code, answer = c.smtp(line)
            told += answer
        if code != 354:
            return told, False
        c.send(mails.plain(ALICE, QUINN).decode() + ".\r\n")
        return told, c.smtp()[0] == 250


def played(w, service, name, script):
    cert = load(w, service, script)
    start = time.monotonic()
    try:
        told, done = (through_pop3 if service == "pop3" else through_smtp)(w)
    except (ConnectionError, EOFError, OSError) as e:
        told, done = f"(closed: {e})", False
    took = time.monotonic() - start
    assert took < PLAYED, f"{name}: {took:.1f} s"
    s = w.play[service]
    with s.lock:
        clear = b"\n".join(s.in_clear).upper()
    password = w.users["alice"].upper().encode()
    for word in (b"USER ", b"PASS ", b"AUTH ", b"MAIL ", b"RCPT ", b"RETR ", password):
        assert word not in clear, f"{name}: in clear to the server: {clear!r}"
    for word in ("forged", "\x1b", "fake_mail_server", "2 messages"):
        assert word not in told, f"{name}: told to the client: {told!r}"
    want = healthy(service, script, cert)
    assert want is None or done == want, f"{name}: {'done' if done else 'refused'}: {told!r}"


def all_played(w, service, scripts):
    pids = dict(w.gw.daemons())
    failed = []
    for name, script in scripts:
        try:
            played(w, service, name, script)
        except AssertionError as e:
            failed.append(str(e))
    assert not failed, "\n".join(failed)
    assert dict(w.gw.daemons()) == pids, "a daemon was lost"


def of_corpus(service):
    found = sorted(glob.glob(os.path.join(CORPUS, "testcases*", "**", service, "**", "*.ron"), recursive=True))
    if not found:
        raise Skip(f"no scripts in {CORPUS}")
    for path in found:
        with open(path, encoding="utf-8") as f:
            for i, text in enumerate(ron.variants(f.read())):
                script = ron.parse(text)
                if not script.get("implicit_tls"):
                    yield os.path.relpath(path, CORPUS) + (f" ({i})" if i else ""), script


@case
def our_own_scripts_for_pop3(w):
    all_played(w, "pop3", OWN["pop3"].items())


@case
def our_own_scripts_for_smtp(w):
    all_played(w, "smtp", OWN["smtp"].items())


@case
def the_collections_scripts_for_pop3(w):
    all_played(w, "pop3", of_corpus("pop3"))


@case
def the_collections_scripts_for_smtp(w):
    all_played(w, "smtp", of_corpus("smtp"))


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""Which ports a connector binds and what it offers there; certificates by name, profiles, resumption, gwctl tls."""

# check: timeout=240

import json
import os
import re
import ssl

from pt import Site, case, run
from pt import clients, mails
from pt.netns import alone
from pt.util import read, sh, write

ONE, TWO = "one.example.test", "two.example.test"
LETTER = mails.plain("pat@partner.test", "alice@example.test", body="hello there\n")
EX_CONFIG = 78

PIECES = """
processes {{
  smtpd = 2
  pop3d = 2
}}
tls_profile "new" {{
  min_version = 1.3
}}
tls_profile "narrow" {{
  ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"
  ciphersuites = "TLS_AES_256_GCM_SHA384"
  groups = "secp384r1"
  tickets = no
}}
action "new" {{
  service = pop3
  profile = "new"
}}
action "narrow" {{
  service = pop3
  profile = "narrow"
}}
action "unused" {{
  service = smtp
  tls = allow
}}
"""
CONNECTOR = """
connector "{name}" {{
  service = {service}
  listen{kind} = {{"{listen}"}}
  peer = "office-{service}"
  {more}
}}
"""
# What is bound at which address: (name, host, listen, line of the connector) and the ports by service.
MATRIX = (("disabled", 1, "", "tls = disabled", ("clear",)),
          ("enabled", 2, "", "", ("clear", "tls")),
          ("required", 3, "", "tls = required", ("tls",)),
          ("one-clear", 4, ":2000", "", (2000,)),
          ("secure", 5, "_tls", "", ("tls",)),
          ("secure-port", 6, "_tls:2001", "tls = required", (2001,)),
          ("must", 7, "", "starttls = required", ("clear", "tls")))
PORTS = {"smtp": {"clear": 587, "tls": 465}, "pop3": {"clear": 110, "tls": 995}}


def host(service, n):
    return f"127.0.{1 if service == 'smtp' else 2}.{n}"


def smtp_peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def pop3_peer(w):
    w.pop = w.fakepop()
    w.pop.put("alice", LETTER)
    return w.pop.port


def connector(service, name, n, listen, more, certificates="mail"):
    kind = "_tls" if listen.startswith("_tls") else ""
    shown = "" if "tls = disabled" in more else f"certificates = {{{certificates}}}\n  "
    return CONNECTOR.format(name=f"{name}-{service}", service=service, kind=kind,
                            listen=host(service, n) + listen.removeprefix("_tls"), more=shown + more)


def connectors(w):
    tls = os.path.join(w.path("gw"), "tls")
    os.makedirs(tls, exist_ok=True)
    w.cert = {"one": w.ca.issue("one", names=(ONE,)), "two": w.ca.issue("two", names=(TWO,)),
              "two-rsa": w.ca.issue("two-rsa", names=(TWO,), rsa=True), "mail": w.ca.issue("mail", names=("localhost",))}
    for name, (cert, _) in w.cert.items():
        write(os.path.join(tls, name + ".pem"), read(cert) + read(w.ca.ca))
    text = PIECES.format()
    for service in PORTS:
        for name, n, listen, more, _ in MATRIX:
            text += connector(service, name, n, listen, more, '"mail"')
    text += connector("pop3", "names", 20, "", "", '"one", "two", "two-rsa"')
    text += connector("pop3", "new", 21, "", 'action = "new"', '"mail"')
    text += connector("pop3", "narrow", 22, "", 'action = "narrow"', '"one"')
    return text


class Alone(Site):
    """A Site where the usual ports are free."""

    def __init__(self):
        self.net = alone()
        try:
            with self.net:
                super().__init__(smtp_port=smtp_peer, pop3_port=pop3_peer, users=("alice",), keys=("alice",), more=connectors)
        except BaseException:
            self.net.close()
            raise

    def close(self):
        try:
            super().close()
        finally:
            self.net.close()


def world():
    w = Alone()
    try:
        for _, key in w.cert.values():
            w.gw.keyctl("import", "--tls", w.gw.own(key))
    except BaseException:
        w.close()
        raise
    return w


def bound(w):
    """{address: ports} of what somebody listens at."""
    with w.net:
        lines = sh(["ss", "-ltnH"]).stdout.decode().splitlines()
    found = {}
    for line in lines:
        address, _, port = line.split()[3].rpartition(":")
        found.setdefault(address, set()).add(int(port))
    return found


class Client(clients.Raw):
    def __init__(self, w, at, port):
        with w.net:
            super().__init__(port, at, timeout=20)


def s_client(w, at, port, *args, data=b""):
    """(what it says, its exit code)"""
    with w.net:
        p = sh(["openssl", "s_client", "-connect", f"{at}:{port}", "-CAfile", w.ca.ca, *args], data=data, check=False)
    return p.stdout.decode("utf-8", "replace") + p.stderr.decode("utf-8", "replace"), p.returncode


def subject(text):
    return re.search(r"^subject=.*?CN ?= ?(\S+)", text, re.M).group(1)


def curl(w, *args, code=0):
    with w.net:
        p = sh(["curl", "-sS", "--cacert", w.ca.ca, *args], check=False)
    assert p.returncode == code, (args, p.returncode, p.stderr)
    return p.stdout


@case
def each_mode_binds_its_ports(w):
    there = bound(w)
    for service, usual in PORTS.items():
        for name, n, _, _, ports in MATRIX:
            want = {usual.get(p, p) for p in ports}
            assert there.get(host(service, n)) == want, (service, name, there)


@case
def what_is_offered_is_what_works(w):
    for service, usual in PORTS.items():
        for name, n, _, _, ports in MATRIX:
            at = host(service, n)
            for port in ports:
                number = usual.get(port, port)
                secure = port == "tls" or number == 2001
                args = () if secure else ("-starttls", service)
                text, code = s_client(w, at, number, *args, "-verify_return_error", data=b"QUIT\r\n")
                good = name != "disabled"
                assert (code == 0 and "Verification: OK" in text and subject(text) == "mail") == good, (name, port, text)
                if secure:
                    continue
                with Client(w, at, number) as c:
                    if service == "pop3":
                        c.pop()
                        offered = b"STLS\r\n" in c.pop("CAPA", multi=True)[1]
                        assert offered == good, name
                        assert c.pop("STLS")[0].startswith("+OK") == good
                    else:
                        c.smtp()
                        assert ("STARTTLS" in c.smtp("EHLO me.test")[1].split("\n")) == good, name
                        assert (c.smtp("STARTTLS")[0] == 220) == good


@case
def curl_gets_through_everywhere(w):
    user = ("-u", ":".join(w.login("alice")))
    for name, n, _, _, ports in MATRIX:
        at = host("pop3", n)
        if "clear" in ports:
            need = ("--ssl-reqd",) if name != "disabled" else ()
            # The certificate is for 127.0.0.1 and localhost.
            to = ("--resolve", f"localhost:110:{at}")
            assert b"hello there" in curl(w, *to, *need, *user, "pop3://localhost/1"), name
            if name == "disabled":
                curl(w, *to, "--ssl-reqd", *user, "pop3://localhost/1", code=64)
            elif name == "must":
                curl(w, *to, *user, "pop3://localhost/1", code=67)
        if "tls" in ports:
            to = ("--resolve", f"localhost:995:{at}")
            assert b"hello there" in curl(w, *to, *user, "pop3s://localhost/1"), name
    mail = write(w.path("mail"), mails.plain("alice@example.test", "bob@example.test"))
    send = (*user, "--mail-from", "alice@example.test", "--mail-rcpt", "bob@example.test", "-T", mail)
    taken = len(w.peer.mails)
    for name, n, _, _, ports in MATRIX:
        at = host("smtp", n)
        if "clear" in ports:
            need = ("--ssl-reqd",) if name != "disabled" else ()
            curl(w, "--resolve", f"localhost:587:{at}", *need, *send, "smtp://localhost:587")
            taken += 1
        if "tls" in ports:
            curl(w, "--resolve", f"localhost:465:{at}", *send, "smtps://localhost:465")
            taken += 1
    assert len(w.peer.mails) == taken


@case
def where_tls_is_required_nothing_goes_in_clear(w):
    with Client(w, host("pop3", 7), 110) as c:
        c.pop()
        assert not re.search(rb"^(USER|SASL)", c.pop("CAPA", multi=True)[1], re.M)
        for line in ("USER alice", "PASS x", "AUTH PLAIN AGEAYg=="):
            assert c.pop(line)[0].startswith("-ERR"), line
    with Client(w, host("smtp", 7), 587) as c:
        c.smtp()
        assert "AUTH" not in c.smtp("EHLO me.test")[1]
        for line in ("MAIL FROM:<alice@example.test>", "AUTH PLAIN AGEAYg=="):
            assert c.smtp(line)[0] == 530, line


@case
def a_reload_that_changes_the_mode_binds_and_unbinds(w):
    def says(*lines):
        text = w.pieces
        for service in PORTS:
            for (name, n), more in lines:
                old = connector(service, name, n, "", {1: "tls = disabled", 2: ""}[n], '"mail"')
                assert old in text
                text = text.replace(old, connector(service, name, n, "", more, '"mail"'))
        with w.net:
            w.gw.configure(text)
            w.gw.reload()
        return bound(w)

    try:
        there = says((("disabled", 1), "tls = required"), (("enabled", 2), "tls = disabled"))
        assert (there["127.0.2.1"], there["127.0.2.2"]) == ({995}, {110}), there
        assert (there["127.0.1.1"], there["127.0.1.2"]) == ({465}, {587}), there
        assert "Verification: OK" in s_client(w, "127.0.2.1", 995)[0]
        with Client(w, "127.0.2.2", 110) as c:
            c.pop()
            assert b"STLS" not in c.pop("CAPA", multi=True)[1]
    finally:
        there = says()
    assert (there["127.0.2.1"], there["127.0.2.2"]) == ({110}, {110, 995}), there


@case
def certificates_are_chosen_by_name_and_algorithm(w):
    at, ec, rsa = host("pop3", 20), ("-sigalgs", "ECDSA+SHA256"), ("-sigalgs", "RSA-PSS+SHA256")
    for args, want in ((("-servername", ONE), "one"), (("-servername", TWO), "two"), (("-noservername",), "one"),
                       (("-servername", "three.example.test"), "one"), (("-servername", TWO.upper()), "two"),
                       (("-servername", TWO, *rsa), "two-rsa"), (("-servername", TWO, *ec), "two"),
                       (("-servername", TWO, *rsa, "-tls1_2"), "two-rsa"), (("-servername", TWO, "-tls1_2"), "two")):
        for more in ((995,), (110, "-starttls", "pop3")):
            text, _ = s_client(w, at, more[0], *more[1:], *args)
            assert "Verification: OK" in text and subject(text) == want, (args, more, text)


@case
def alpn_is_the_services_own(w):
    at = host("pop3", 2)
    assert "ALPN protocol: pop3" in s_client(w, at, 995, "-alpn", "imap,pop3")[0]
    text, code = s_client(w, at, 995, "-alpn", "imap")
    assert code != 0 and "no application protocol" in text, text
    assert "No ALPN negotiated" in s_client(w, at, 995)[0]


@case
def profiles_say_version_ciphers_and_groups(w):
    text, code = s_client(w, host("pop3", 21), 995, "-tls1_2")
    assert code != 0 and "protocol version" in text, text
    assert "Cipher is TLS_" in s_client(w, host("pop3", 21), 995, "-tls1_3")[0]
    at = host("pop3", 22)
    for args, want in ((("-tls1_2",), "ECDHE-ECDSA-AES256-GCM-SHA384"), (("-tls1_3",), "TLS_AES_256_GCM_SHA384")):
        text = s_client(w, at, 995, *args)[0]
        assert f"Cipher is {want}" in text and "ECDH, secp384r1" in text, text
    for args in (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"),
                 ("-groups", "P-256")):
        text, code = s_client(w, at, 995, *args)
        assert code != 0 and "handshake failure" in text, (args, text)


def resumed(w, at, session, context):
    """(was it taken, a session to go on with)"""
    with Client(w, at, 995) as c:
        c.sock = context.wrap_socket(c.sock, server_hostname="localhost", session=session)
        assert c.pop()[0].startswith("+OK")
        return c.sock.session_reused, c.sock.session


@case
def sessions_are_resumed_in_either_process_but_not_elsewhere(w):
    context = ssl.create_default_context(cafile=w.ca.ca)
    session = resumed(w, host("pop3", 2), None, context)[1]
    assert session.has_ticket
    start = len(w.gw.settled_log())
    served = set()
    for _ in range(100):
        again, session = resumed(w, host("pop3", 2), session, context)
        assert again
        served = set(re.findall(r"pop3d\[(\d+)\]: \w+: connect from", w.gw.log_text()[start:]))
        if len(served) > 1:
            break
    assert len(served) == 2
    assert not resumed(w, host("pop3", 3), session, context)[0]
    assert resumed(w, host("pop3", 2), session, context)[0]
    # This connector gives none, and nobody does in TLS 1.2.
    context = ssl.create_default_context(cafile=w.ca.ca)
    context.check_hostname = False
    assert not resumed(w, host("pop3", 22), None, context)[1].has_ticket
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = resumed(w, host("pop3", 2), None, context)[1]
    assert not session.has_ticket and not resumed(w, host("pop3", 2), session, context)[0]


def checked(w, more):
    path = write(w.path("odd.conf"), read(w.gw.conf).decode() + more)
    p = w.gw.gwctl("-c", path, "config", "check", check=False)
    return p.returncode, p.stderr.decode() + p.stdout.decode(), read(path).decode().splitlines()


@case
def offenders_are_all_named_with_their_lines(w):
    more = "\n".join(f'connector "{name}" {{\n  service = pop3\n  listen = {{"127.0.3.{n}"}}\n  tls = disabled\n'
                     '  peer = "office-pop3"\n  action = "new"\n}' for n, name in ((1, "first"), (2, "second")))
    code, text, lines = checked(w, more)
    assert code == EX_CONFIG, text
    for name in ("first", "second"):
        at = lines.index(f'connector "{name}" {{') + 4
        assert lines[at - 1] == "  tls = disabled"
        assert re.search(rf'odd\.conf:{at}: .*connector "{name}" has tls = disabled.*action "new"', text), text
    code, text, lines = checked(w, 'tls_profile "odd" {\n  ciphers = "NO-SUCH"\n}\ntls_profile "odder" {\n  groups = "P-1"\n}\n')
    assert code == EX_CONFIG, text
    for what in ("odd", "odder"):
        assert f"odd.conf:{lines.index(f'tls_profile {chr(34)}{what}{chr(34)} {{') + 1}: " in text, text
    assert "NO-SUCH" in text and "P-1" in text, text


@case
def gwctl_tls_lists_what_is_used(w):
    found = {c["connector"]: c for c in json.loads(w.gw.gwctl("tls", "connectors", "--json").stdout)["connectors"]}
    assert {k: (found[k]["tls"], found[k]["does"], found[k]["profile"]) for k in
            ("disabled-pop3", "enabled-smtp", "required-pop3", "new-pop3")} == {
                "disabled-pop3": ("disabled", "", ""), "enabled-smtp": ("enabled", "inspect", "default"),
                "required-pop3": ("required", "inspect", "default"), "new-pop3": ("enabled", "inspect", "new")}, found
    assert (found["disabled-pop3"]["shows"], found["new-pop3"]["shows"]) == ("", "own"), found
    assert [os.path.basename(f["path"]) for f in found["names-pop3"]["certificates"]] == ["one.pem", "two.pem", "two-rsa.pem"]
    actions = {a["action"]: a for a in json.loads(w.gw.gwctl("tls", "actions", "--json").stdout)["actions"]}
    assert actions["new"]["connectors"] == [{"name": "new-pop3", "tls": "enabled"}], actions
    assert (actions["unused"]["tls"], actions["unused"]["connectors"]) == ("allow", []), actions
    profiles = {p["profile"]: p for p in json.loads(w.gw.gwctl("tls", "profiles", "--json").stdout)["profiles"]}
    assert set(profiles) == {"default", "new", "narrow"}
    assert profiles["new"]["min_version"] == "1.3" and profiles["narrow"]["tickets"] in (0, False), profiles
    assert {u["name"] for u in profiles["narrow"]["users"]} >= {"narrow", "narrow-pop3"}, profiles
    for verb, want in (("connectors", r"^required-pop3 +pop3 +required "), ("actions", r"^unused +smtp +allow "),
                       ("profiles", r"^new +1\.3 +yes ")):
        text = w.gw.gwctl("tls", verb).stdout.decode()
        assert re.search(want, text, re.M), text
        assert "-ERR" not in text


@case
def tls_install_installs_and_reloads(w):
    at = host("pop3", 2)
    before = read(os.path.join(w.gw.tls_dir, "mail.pem"))
    cert, key = w.ca.issue("renewed", names=("localhost",))
    other = w.ca.issue("elsewhere", names=("localhost",))[1]
    chain = write(w.path("chain.pem"), read(cert) + read(w.ca.ca))
    for path in (key, other):
        w.gw.own(path)
    keys = w.gw.keyctl("list", "--json").stdout
    both = write(w.path("both.pem"), read(cert) + read(key))
    w.gw.own(both)
    p = w.gw.gwctl("tls", "install", "mail", both, both, check=False)
    assert p.returncode != 0 and b"there is a private key in it" in p.stderr, p
    assert read(os.path.join(w.gw.tls_dir, "mail.pem")) == before
    assert w.gw.keyctl("list", "--json").stdout == keys
    with w.net:
        p = w.gw.gwctl("tls", "install", "mail", chain, other, check=False)
        assert p.returncode != 0 and b"nothing else was changed" in p.stderr, p
        assert read(os.path.join(w.gw.tls_dir, "mail.pem")) == before
        assert w.gw.keyctl("list", "--json").stdout == keys
        for args in (("../mail", chain, key), ("mail", w.path("none"), key), ("mail", chain)):
            assert w.gw.gwctl("tls", "install", *args, check=False).returncode != 0, args
        assert subject(s_client(w, at, 995)[0]) == "mail"
        out = w.gw.gwctl("tls", "install", "mail", chain, key).stdout.decode()
    assert "reloaded" in out, out
    assert subject(s_client(w, at, 995)[0]) == "renewed"
    assert subject(s_client(w, host("smtp", 2), 587, "-starttls", "smtp")[0]) == "renewed"
    assert os.stat(os.path.join(w.gw.tls_dir, "mail.pem")).st_mode & 0o777 == 0o644
    assert not [n for n in os.listdir(w.gw.tls_dir) if not n.endswith(".pem")]
    # One that no connector shows.
    out = w.gw.gwctl("tls", "install", "fresh", chain, key).stdout.decode()
    assert "no connector shows it yet" in out, out


NAME, LABEL = r"[a-zA-Z_:][a-zA-Z0-9_:]*", r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL})(?:,{LABEL})*)?\}})? (-?\d+(?:\.\d+)?)")


def exposition(text):
    """Samples of the text format: [(name, labels, value)]; complains of what is none."""
    assert text.endswith("\n")
    samples, typed, closed, last = [], {}, set(), None
    for line in text.splitlines():
        if line.startswith("#"):
            m = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
            assert m, line
            if m.group(1) == "TYPE":
                assert m.group(2) not in typed and m.group(3) in ("gauge", "counter", "untyped"), line
                typed[m.group(2)] = m.group(3)
            continue
        m = SAMPLE.fullmatch(line)
        assert m, line
        name, labels, value = m.groups()
        assert name in typed, line
        if name != last:
            assert name not in closed, f"{name} does not stand together"
            closed.add(name)
            last = name
        samples.append((name, dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")), float(value)))
    seen = [(n, tuple(sorted(la.items()))) for n, la, _ in samples]
    assert len(seen) == len(set(seen)), "a sample stands twice"
    return samples


@case
def metrics_tell_when_certificates_end(w):
    samples = exposition(w.gw.gwctl("status", "--metrics").stdout.decode())
    ends = {os.path.basename(la["file"]): v for n, la, v in samples if n == "postern_certificate_end_timestamp_seconds"}
    assert set(ends) == {"one.pem", "two.pem", "two-rsa.pem", "mail.pem"}, ends
    for name, value in ends.items():
        text = sh(["openssl", "x509", "-in", os.path.join(w.gw.tls_dir, name), "-noout", "-enddate"]).stdout.decode()
        assert 0 <= ssl.cert_time_to_seconds(text.strip().split("=")[1]) - value < 86400, (name, value, text)
    names = {n for n, _, _ in samples}
    assert {"postern_info", "postern_daemon_up", "postern_pop3d_tunnels", "postern_connector_sessions"} <= names, names


run(world)

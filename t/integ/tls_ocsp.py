#!/usr/bin/env python3
"""OCSP: revoked certificates of mail servers, responders that are away, responses stapled for clients."""

import re
import select
import smtplib
import subprocess

from pt import Site, case, run
from pt import clients, mails
from pt.util import read, sh, wait_until, write

LETTER = mails.plain("pat@partner.test", "alice@example.test", "s", "hello\n")
PROFILES = ("strict", "lenient")

PIECES = """
keyd {
  allow = {"127.0.0.0/8"}
}
tls_profile "strict" {
  ocsp = strict
}
tls_profile "lenient" {
  ocsp = lenient
}
tls_profile "stapling" {
  stapling = yes
}
action "stapled" {
  service = pop3
  profile = "stapling"
}
"""
PEER = """
peer "{name}-{profile}" {{
  service = {service}
  host = "127.0.0.1"
  port = {port}
  tls = implicit
  profile = "{profile}"
  ca_file = "{ca}"
  server_name = localhost
}}
connector "{name}-{profile}" {{
  service = {service}
  listen = {{"127.0.0.1:{listen}"}}
  peer = "{name}-{profile}"
  tls = disabled
}}
"""
STAPLED = """
connector "stapled" {{
  service = pop3
  listen_tls = {{"127.0.0.1:{listen}"}}
  peer = "office-pop3"
  action = "stapled"
  certificates = {{"{chain}"}}
}}
"""


def smtp_peer(w):
    """The first thing that a Site asks for: before its Dovecot has a certificate."""
    w.responder = w.ocsp()
    w.office = w.ca.issue("mail.example.test", names=("mail.example.test", "localhost"), more=w.responder.aia)[0]
    w.responder.good(w.office)
    w.peer = w.sink(tls=w.ca.issue("sink"))
    return w.peer.port


def connectors(w):
    w.server, w.port = {}, {}
    text = PIECES
    for name in ("revoked", "unknown", "late", "nobody", "mta"):
        cert = w.ca.issue(name, more="" if name == "nobody" else w.responder.aia)
        if name == "mta":
            w.server[name] = w.sink(tls=cert, implicit=True, users=w.users)
        else:
            w.server[name] = w.fakepop(tls=cert, implicit=True)
            w.server[name].put("alice", LETTER)
        if name in ("revoked", "mta"):
            w.responder.revoked(cert[0])
        elif name == "late":
            w.responder.good(cert[0])
        for profile in PROFILES:
            w.port[name, profile] = w.ports.get()
            text += PEER.format(name=name, profile=profile, port=w.server[name].port, ca=w.ca.ca,
                                service="smtp" if name == "mta" else "pop3", listen=w.port[name, profile])
    own, w.own_key = w.ca.issue("own", more=w.responder.aia)
    w.responder.good(own)
    w.own = write(w.path("chain.pem"), read(own) + read(w.ca.ca))
    w.port["stapled"] = w.ports.get()
    return text + STAPLED.format(listen=w.port["stapled"], chain=w.own)


def world():
    w = Site(smtp_port=smtp_peer, users=("alice",), keys=("alice",), tls=True, pop3_more='profile = "strict"',
             more=connectors)
    w.gw.keyctl("import", "--tls", w.own_key)
    return w


def greeting(w, name, profile):
    """What a client hears first at a connector, which has spoken with its peer before."""
    with clients.Raw(w.port[name, profile]) as c:
        return c.pop()[0]


def fetched(w, name, profile):
    return clients.fetch(w.port[name, profile], w.login("alice"))


def refused(w, name, profile, why):
    """The client hears of an error, the log has the reason, and the server nothing at all."""
    start = len(w.gw.log_text())
    w.server[name].clear()
    said = greeting(w, name, profile)
    assert said.startswith("-ERR"), said
    w.gw.wait_log(rf"OCSP: .*{why}", start=start)
    assert w.server[name].said("C") == []
    return said


@case
def a_good_certificate_is_asked_for_once(w):
    w.imap.empty("alice")
    w.imap.deliver("alice", LETTER)
    for _ in range(3):
        got = w.fetch("alice")
        assert len(got) == 1 and b"hello" in got[0], got
    assert w.responder.times(w.office) == 1
    w.gw.wait_log(r"keyd.*: ocsp responder=127\.0\.0\.1:\d+, serial=[0-9A-F]+, delay=\d+ms, not revoked")
    assert re.search(r"keyd", w.gw.gwctl("status").stdout.decode())


@case
def a_revoked_one_gets_no_credential(w):
    for profile in PROFILES:
        refused(w, "revoked", profile, "revoked at 2026-01-01 00:00 UTC: keyCompromise")
        start = len(w.gw.log_text())
        try:
            clients.send(w.port["mta", profile], "alice@example.test", ["pat@partner.test"], LETTER, login=w.login("alice"))
            raise AssertionError("the message was taken")
        except smtplib.SMTPException:
            pass
        w.gw.wait_log(r"smtpd.*OCSP: revoked at", start=start)
        assert w.server["mta"].said("C") == []


@case
def one_that_the_responder_does_not_know_is_enough_for_lenient_only(w):
    refused(w, "unknown", "strict", "does not know it")
    assert len(fetched(w, "unknown", "lenient")) == 1


@case
def one_without_a_responder_is_enough_for_lenient_only(w):
    refused(w, "nobody", "strict", "no responder")
    assert len(fetched(w, "nobody", "lenient")) == 1


@case
def while_the_responder_is_away_strict_defers(w):
    w.responder.stop()
    said = refused(w, "late", "strict", r"Connection refused \(responder 127\.0\.0\.1:")
    assert "[SYS/TEMP]" in said, said
    assert len(fetched(w, "late", "lenient")) == 1
    # What was found out before still counts.
    w.imap.empty("alice")
    w.imap.deliver("alice", LETTER)
    assert len(w.fetch("alice")) == 1
    w.responder.start()
    w.gw.reload()
    assert len(fetched(w, "late", "strict")) == 1


def s_client(w):
    return sh(["openssl", "s_client", "-connect", f"127.0.0.1:{w.port['stapled']}", "-status", "-CAfile", w.ca.ca,
               "-verify_return_error"], check=False).stdout.decode("utf-8", "replace")


@case
def our_own_certificate_comes_with_a_response(w):
    got = wait_until(lambda: (t := s_client(w)) and "OCSP Response Status" in t and t, 20, "a stapled response", 0.2)
    assert "OCSP Response Status: successful" in got, got
    assert "Cert Status: good" in got, got
    # One question for two processes and all their clients.
    assert w.responder.times(w.own) == 1


@case
def what_the_server_staples_saves_the_question(w):
    """The certificate's responder is away all the time."""
    w.responder.stop()
    try:
        staple(w)
    finally:
        w.responder.start()


def staple(w):
    cert, key = w.ca.issue("stapler", more=w.responder.aia)
    w.responder.good(cert)
    der = w.path("staple.der")
    request = w.path("staple.req")
    sh(["openssl", "ocsp", "-issuer", w.ca.ca, "-cert", cert, "-no_nonce", "-reqout", request])
    write(der, w.responder.answer(read(request)))
    port, listen = w.ports.get(), w.ports.get()
    with open(w.path("stapler.log"), "wb") as log:
        # pylint: disable-next=consider-using-with
        server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", cert, "-key", key,
                                   "-status_file", der, "-quiet", "-naccept", "1"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=log)
    try:
        # It takes one connection, which must not be ours.
        wait_until(lambda: f":{port:04X} 00000000:0000 0A" in read("/proc/net/tcp").decode(), 20, "s_server")
        server.stdin.write(b"+OK hello\r\n")
        server.stdin.flush()
        w.gw.configure(w.pieces + PEER.format(name="stapler", profile="strict", service="pop3", port=port, ca=w.ca.ca, listen=listen))
        w.gw.reload()
        with clients.Raw(listen) as c:
            assert select.select([server.stdout], [], [], 20)[0], read(w.path("stapler.log"))
            assert server.stdout.readline() == b"CAPA\r\n"
            server.stdin.write(b"+OK\r\nUSER\r\nUIDL\r\n.\r\n")
            server.stdin.flush()
            assert c.pop()[0].startswith("+OK")
    finally:
        server.kill()
        server.wait()
        server.stdin.close()
        server.stdout.close()


run(world)

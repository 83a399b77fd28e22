#!/usr/bin/env python3
"""The peers of the other tests do what those take for granted."""

import base64
import os
import smtplib

from pt import World, case, run
from pt import clients, mails
from pt.dovecot import MASTER
from pt.util import listening, sh, wait_until


def world():
    w = World()
    w.partner = w.sink(tls=w.ca.issue("mx.partner.test", names=("mx.partner.test",)),
                       users={"relay": "relay-pw"})
    w.imap = w.dovecot()
    w.mta = w.postfix(w.imap, routes={"partner.test": w.partner.port})
    return w


@case
def postfix_delivers_to_dovecot_and_pop3_gives_it_back(w):
    body = "One line.\n.a dot\n..two dots\n"
    sent = mails.plain("bob@example.test", "alice@example.test", "First", body)
    path = w.path("first.eml")
    with open(path, "wb") as f:
        f.write(sent)
    sh(["swaks", "--server", "127.0.0.1", "--port", str(w.mta.port), "--from", "bob@example.test",
        "--to", "alice@example.test", "--data", f"@{path}", "--auth", "PLAIN",
        "--auth-user", "bob", "--auth-password", w.users["bob"], "--silent", "2"])
    w.imap.wait_stored("alice", 1)
    got = clients.fetch(w.imap.pop3, w.login("alice"), delete=True)
    assert len(got) == 1
    # swaks ends the message with a line end of its own.
    assert mails.split_head(got[0])[1] == mails.split_head(sent)[1] + b"\r\n", got[0]
    assert mails.header(got[0], "Delivered-To") or mails.header(got[0], "Return-Path")


@case
def postfix_relays_for_a_login_only(w):
    data = mails.plain("alice@example.test", "pat@partner.test", "Out")
    try:
        clients.send(w.mta.port, "alice@example.test", "pat@partner.test", data)
        raise AssertionError("relayed without a login")
    except smtplib.SMTPRecipientsRefused as e:
        assert e.recipients["pat@partner.test"][0] == 554
    clients.send(w.mta.port, "alice@example.test", "pat@partner.test", data, login=w.login("alice"),
                 tls_ca=w.ca.ca)
    mail = w.partner.take()[0]
    assert (mail.sender, mail.recipients) == ("alice@example.test", ["pat@partner.test"])
    assert mails.split_head(mail.data)[1] == mails.split_head(data)[1]


@case
def postfix_refuses_unknown_users_and_wrong_passwords(w):
    data = mails.plain("x@partner.test", "nobody@example.test")
    try:
        clients.send(w.mta.port, "x@partner.test", "nobody@example.test", data)
        raise AssertionError("unknown user accepted")
    except smtplib.SMTPRecipientsRefused as e:
        assert e.recipients["nobody@example.test"][0] == 550
    try:
        clients.send(w.mta.port, "x@partner.test", "alice@example.test", data, login=("alice", "no"))
        raise AssertionError("wrong password accepted")
    except smtplib.SMTPAuthenticationError:
        pass


@case
def dovecot_knows_master_users_and_tls(w):
    w.imap.deliver("carol", mails.plain("a@partner.test", "carol@example.test", body="for carol\n"))
    login = (f"carol*{MASTER[0]}", MASTER[1])
    assert b"for carol" in clients.fetch(w.imap.pop3, login, tls_ca=w.ca.ca)[0]
    out = sh(["curl", "-s", "--cacert", w.ca.ca, "--user", ":".join(w.login("carol")),
              f"pop3s://localhost:{w.imap.pop3s}/1"]).stdout
    assert b"for carol" in out
    assert listening(w.imap.imap) and listening(w.imap.imaps)


@case
def dovecot_sees_the_whole_address_as_the_same_login(w):
    w.imap.deliver("mallory", mails.plain("a@partner.test", "mallory@example.test", body="for m\n"))
    got = clients.fetch(w.imap.pop3, ("mallory@example.test", w.users["mallory"]))
    assert b"for m" in got[0]


@case
def sink_fails_as_told(w):
    sink = w.sink()
    sink.on("EOD", nth=2, reply="451 4.3.0 later")
    sink.on("RCPT", match=lambda a: b"bad@" in a, times=None, reply="550 5.1.1 no")
    data = mails.plain("a@x.test", "b@y.test", body=".\n..x\n")
    clients.send(sink.port, "a@x.test", "b@y.test", data)
    assert sink.take()[0].data == data
    for rcpt in ("b@y.test", "bad@y.test"):
        try:
            clients.send(sink.port, "a@x.test", rcpt, data)
            raise AssertionError("accepted")
        except (smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused):
            pass
    assert not sink.mails
    sink.on("EOD", close=True)
    try:
        clients.send(sink.port, "a@x.test", "b@y.test", data)
        raise AssertionError("accepted")
    except smtplib.SMTPServerDisconnected:
        pass
    sink.on("CONNECT", reply="421 4.3.2 not today", close=True)
    with clients.Raw(sink.port) as c:
        assert c.smtp() == (421, "4.3.2 not today")
        assert c.at_end()


@case
def sink_offers_auth_and_starttls(w):
    data = mails.plain("a@x.test", "b@y.test")
    clients.send(w.partner.port, "a@x.test", "b@y.test", data, login=("relay", "relay-pw"))
    assert w.partner.take()[0].user == "relay"
    with clients.Raw(w.partner.port) as c:
        c.smtp()
        assert "STARTTLS" in c.smtp("EHLO c.test")[1]
        assert c.smtp("STARTTLS")[0] == 220
        c.start_tls()
        assert "STARTTLS" not in c.smtp("EHLO c.test")[1]
        assert c.smtp("AUTH PLAIN " + base64.b64encode(b"\0relay\0no").decode())[0] == 535


@case
def fake_pop3_serves_and_lies(w):
    pop = w.fakepop()
    pop.put("alice", b"A: b\r\n\r\n.dot\r\nend\r\n", uidl="one")
    assert clients.fetch(pop.port, w.login("alice"), delete=True) == [b"A: b\r\n\r\n.dot\r\nend\r\n"]
    wait_until(lambda: pop.deleted, 2, "deletion")
    assert pop.deleted == [("alice", "one")]
    pop.on("USER", reply="-ERR [SYS/TEMP] gone fishing", close=True)
    with clients.Raw(pop.port) as c:
        c.pop()
        assert c.pop("CAPA", multi=True)[1].startswith(b"USER\r\n")
        assert c.pop("USER alice")[0] == "-ERR [SYS/TEMP] gone fishing"
        assert c.at_end()


@case
def gpg_seals_and_opens_pgp_mime(w):
    g = w.gpg()
    g.make("Alice <alice@example.test>")
    fpr = g.make("Pat <pat@partner.test>", "rsa3072")
    data = mails.plain("pat@partner.test", "alice@example.test", "Secret", "Grüße\n")
    sealed = mails.pgp_encrypted(g, data, ["alice@example.test"], sign=fpr)
    assert mails.is_pgp_encrypted(sealed) and "Grüße".encode() not in sealed
    part, status = mails.open_pgp(g, sealed)
    assert mails.split_head(part)[1] == "Grüße\r\n".encode() and "GOODSIG" in status, status
    part, status = mails.check_signed(g, mails.pgp_signed(g, data, fpr))
    assert part.endswith("Grüße\r\n".encode()) and "GOODSIG" in status, status


@case
def dns_answers_and_fails(w):
    d = w.dns({("mail.example.test", "A"): ["127.0.0.1"]})
    d.fail["broken.test"] = 2
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    good = d.answer(query + b"\x04mail\x07example\x04test\x00\x00\x01\x00\x01")
    assert good[3] & 15 == 0 and good.endswith(b"\x7f\x00\x00\x01")
    assert d.answer(query + b"\x06broken\x04test\x00\x00\x01\x00\x01")[3] & 15 == 2
    assert d.answer(query + b"\x05other\x04test\x00\x00\x01\x00\x01")[3] & 15 == 3


@case
def certificates_are_as_ordered(w):
    def verify(cert):
        return sh(["openssl", "verify", "-CAfile", w.ca.ca, cert], check=False).stdout
    assert b"OK" in verify(w.ca.issue("good")[0])
    assert b"OK" not in verify(w.ca.issue("late", expired=True)[0])
    assert b"OK" not in verify(w.ca.issue("alone", self_signed=True)[0])
    assert os.stat(w.ca.issue("good")[1]).st_mode & 0o077 == 0


if __name__ == "__main__":
    run(world)

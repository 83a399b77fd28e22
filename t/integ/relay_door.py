#!/usr/bin/env python3
"""Services relay and submission: who may send, who says so, and what becomes of it before it is in the queue."""

# check: timeout=240

import base64
import re

from pt import case, mails, run
from pt.clients import Raw, plain_login
from pt.relay import QueueSite
from pt.util import sh, wait_until
from pt.world import DOMAIN

ALICE, BOB, FAR = f"alice@{DOMAIN}", f"bob@{DOMAIN}", "friend@far.test"
LETTER = b"From: alice@example.test\r\nTo: friend@far.test\r\nSubject: A letter\r\n\r\nHello.\r\n"
ASKED = LETTER.replace(b"A letter", b"[encrypt] A letter")
TOKEN = "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"

MORE = """
gate "soft" {{
  tarpit = 0
  error_rate = 0
}}
peer "login" {{
  service = smtp
  host = "127.0.0.1"
  port = {login}
  tls = none
  login_domain = "example.test"
}}
tls_profile "asks" {{
  client_certificate = ask
  client_ca = "{ca}"
}}
action "asks" {{
  service = smtp
  profile = "asks"
}}
connector "narrow" {{
  service = relay
  listen = {{"127.0.0.1:{narrow}"}}
  tls = disabled
  relay_clients = {{"127.0.0.9", "10.0.0.0/8"}}
}}
connector "anybody" {{
  service = relay
  listen = {{"127.0.0.1:{anybody}"}}
  tls = disabled
  relay_clients = {{"127.0.0.1"}}
  outside_senders = yes
}}
connector "cert" {{
  service = relay
  listen = {{"127.0.0.1:{cert}"}}
  certificates = {{"{chain}"}}
  action = "asks"
  relay_certificates = {{"{print}"}}
}}
connector "key" {{
  service = relay
  listen_tls = {{"127.0.0.1:{key}"}}
  certificates = {{"{chain}"}}
  action = "asks"
  relay_certificates = {{"{key_print}"}}
}}
connector "by-peer" {{
  service = submission
  listen = {{"127.0.0.1:{by_peer}"}}
  certificates = {{"{chain}"}}
  starttls = required
  auth = peer
  peer = "login"
}}
connector "by-sasl" {{
  service = submission
  listen = {{"127.0.0.1:{by_sasl}"}}
  tls = disabled
  auth = sasl
  sasl_socket = "{sasl}"
  login_domain = "example.test"
}}
"""


def prints(cert):
    """SHA-256 of a certificate and of its key, as a configuration has them."""
    one = sh(["openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256"]).stdout.decode()
    pub = sh(["openssl", "x509", "-in", cert, "-noout", "-pubkey"]).stdout
    der = sh(["openssl", "pkey", "-pubin", "-outform", "DER"], data=pub).stdout
    two = sh(["openssl", "dgst", "-sha256", "-r"], data=der).stdout.decode()
    return one.strip().split("=")[1], two.split()[0]


def more(w):
    w.dove = w.dovecot()
    w.judge = w.sink(users=w.users, tokens={"alice": TOKEN})
    w.chain, w.chain_key = w.ca.issue("doors")
    w.friend, w.other = w.ca.issue("friend"), w.ca.issue("other")
    p = {k: w.ports.get() for k in ("narrow", "anybody", "cert", "key", "by_peer", "by_sasl")}
    for k, v in p.items():
        setattr(w, k, v)
    return MORE.format(login=w.judge.port, ca=w.ca.ca, chain=w.chain, print=prints(w.friend[0])[0],
                       key_print=prints(w.friend[0])[1], sasl=w.dove.sasl, **p)


def world():
    w = QueueSite(users=("alice", "bob"), keys=("alice",), more=more)
    w.gw.keyctl("import", "--tls", w.chain_key)
    w.pgp = w.gpg()
    w.pgp.make("Pat <pat@partner.test>")
    w.gw.gwctl("consumer", "add", "pat", "--external", "--address", "pat@partner.test")
    key = w.path("pat.asc")
    with open(key, "wb") as f:
        f.write(w.pgp.public("pat@partner.test"))
    w.gw.gwctl("key", "import", w.gw.own(key) or key)
    return w


def hello(port, **tls):
    c = Raw(port)
    if "implicit" in tls:
        c.start_tls(ca=tls["ca"], cert=tls.get("cert"))
    assert c.smtp()[0] == 220
    assert c.smtp("EHLO client.test")[0] == 250
    if tls and "implicit" not in tls:
        assert c.smtp("STARTTLS")[0] == 220
        c.start_tls(ca=tls["ca"], cert=tls.get("cert"))
        assert c.smtp("EHLO client.test")[0] == 250
    return c


def rcpt(c, sender=ALICE, to=FAR):
    code, text = c.smtp(f"MAIL FROM:<{sender}>")
    assert code == 250, text
    return c.smtp(f"RCPT TO:<{to}>")


def letter(c, *to, sender=ALICE, data=LETTER):
    code, text = c.smtp(f"MAIL FROM:<{sender}>")
    assert code == 250, text
    for x in to:
        code, text = c.smtp(f"RCPT TO:<{x}>")
        assert code == 250, text
    assert c.smtp("DATA")[0] == 354
    return c.smtp(data + b".\r\n")


@case
def only_designated_hosts_relay(w):
    with hello(w.relay) as c:
        assert letter(c, FAR)[0] == 250
        for odd in ("x%y@far.test", '"a@b"@far.test', "x@[127.0.0.1]"):
            assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
            assert c.smtp(f"RCPT TO:<{odd}>")[0] == 250
            assert c.smtp("RSET")[0] == 250
    assert [m.recipients for m in w.outside.take()] == [[FAR]]
    with hello(w.narrow) as c:
        for to in (FAR, ALICE, "nobody@example.test", "postmaster", "x%far.test@example.test",
                   '"x@far.test"@example.test'):
            assert rcpt(c, to=to)[0] == 554, to
            assert c.smtp("DATA")[0] == 503
            assert c.smtp("RSET")[0] == 250
        assert rcpt(c, sender="x@far.test")[0] == 554
    w.gw.wait_log(r"RCPT from localhost\[127\.0\.0\.1\]: 554 5\.7\.1 <friend@far\.test>: Relay access denied")


@case
def senders_are_ours_unless_the_connector_says_otherwise(w):
    with hello(w.relay) as c:
        assert c.smtp("MAIL FROM:<x@far.test>") == \
            (550, "5.7.1 the sender's address is of no domain that this gateway sends for")
        assert c.smtp("MAIL FROM:<carol@other.test>")[0] == 550
        assert letter(c, FAR, sender="")[0] == 250
    with hello(w.anybody) as c:
        assert letter(c, FAR, sender="x@far.test")[0] == 250
    w.outside.take(2)


@case
def those_who_are_not_there_are_refused_here(w):
    with hello(w.relay) as c:
        assert rcpt(c, to="nobody@example.test")[0] == 550
        assert c.smtp(f"RCPT TO:<{BOB}>")[0] == 250


@case
def certificates_designate_hosts(w):
    with hello(w.cert) as c:
        assert rcpt(c)[0] == 554
        assert c.smtp("STARTTLS")[0] == 220
        c.start_tls(ca=w.ca.ca, cert=w.friend)
        assert c.smtp("EHLO client.test")[0] == 250
        assert letter(c, FAR)[0] == 250
    (m,) = w.outside.take()
    assert re.search(rb"\(using TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)\)\r\n\tby \S+ \(Postern\) with ESMTPS id ",
                     m.data), m.data
    for cert in (None, w.other):
        with hello(w.cert, ca=w.ca.ca, cert=cert) as c:
            assert rcpt(c)[0] == 554
    with hello(w.key, ca=w.ca.ca, cert=w.friend, implicit=True) as c:
        assert letter(c, FAR)[0] == 250
    with hello(w.key, ca=w.ca.ca, cert=w.other, implicit=True) as c:
        assert rcpt(c)[0] == 554
    w.outside.take()


@case
def submission_wants_a_login_under_tls(w):
    with hello(w.by_peer) as c:
        _, text = c.smtp("EHLO x.test")
        assert "AUTH" not in text and "STARTTLS" in text.split("\n")
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 530
        assert c.smtp(f"AUTH PLAIN {plain_login('alice', w.users['alice'])}")[0] == 530
        assert c.smtp(b"BDAT 4\r\nabcd")[0] == 530
    with hello(w.by_peer, ca=w.ca.ca) as c:
        _, text = c.smtp("EHLO x.test")
        assert "REQUIRETLS" in text.split("\n")
        assert c.smtp(f"MAIL FROM:<{ALICE}>") == (530, "5.7.0 Authentication required")


def logged_in(w, port, login, password, mech="PLAIN", **tls):
    c = hello(port, **tls)
    if mech == "PLAIN":
        return c, c.smtp(f"AUTH PLAIN {plain_login(login, password)}")
    assert c.smtp("AUTH LOGIN")[0] == 334
    assert c.smtp(base64.b64encode(login.encode()).decode())[0] == 334
    return c, c.smtp(base64.b64encode(password.encode()).decode())


@case
def a_peer_checks_logins(w):
    for mech in ("PLAIN", "LOGIN"):
        start = len(w.gw.log_text())
        c, (code, text) = logged_in(w, w.by_peer, "alice", w.users["alice"], mech, ca=w.ca.ca)
        with c:
            assert code == 235, text
            assert c.smtp("AUTH PLAIN AGEAYg==")[0] == 503
            assert letter(c, FAR)[0] == 250
        (m,) = w.outside.take()
        assert b" with ESMTPSA id " in m.data
        w.gw.wait_log(rf"client=localhost\[127\.0\.0\.1\], sasl_method={mech}, sasl_username=alice", start=start)
        # Her mail is signed: the login is hers.
        assert mails.parse(m.data).get_content_type() == "multipart/signed", m.data
    c, (code, _) = logged_in(w, w.by_peer, "alice", "wrong", ca=w.ca.ca)
    with c:
        assert code == 535
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 530
    w.gw.wait_log(r"warning: localhost\[127\.0\.0\.1\]: SASL PLAIN authentication failed: .*sasl_username=alice")
    assert not w.judge.mails


@case
def tokens_are_for_the_peer_to_judge(w):
    def bearer(token):
        return base64.b64encode(f"user=alice\x01auth=Bearer {token}\x01\x01".encode()).decode()
    with hello(w.by_peer, ca=w.ca.ca) as c:
        wait_until(lambda: "XOAUTH2" in c.smtp("EHLO client.test")[1], 10, "what the peer has is known")
        code, text = c.smtp("AUTH XOAUTH2 " + bearer("wrong"))
        assert code == 334 and b"401" in base64.b64decode(text)
        assert c.smtp("")[0] == 535
        assert c.smtp("AUTH XOAUTH2 " + bearer("wrong"))[0] == 334
        assert c.smtp("*")[0] >= 500
        assert c.smtp("AUTH XOAUTH2 " + bearer(TOKEN))[0] == 235
        assert letter(c, FAR)[0] == 250
    w.outside.take()


@case
def dovecot_checks_logins(w):
    for mech, name in (("PLAIN", "alice"), ("LOGIN", "alice"), ("PLAIN", "alice@example.test"), ("PLAIN", "ALICE")):
        c, (code, text) = logged_in(w, w.by_sasl, name, w.users["alice"], mech)
        with c:
            assert code == 235, text
            assert letter(c, FAR)[0] == 250
        (m,) = w.outside.take()
        assert b" with ESMTPA id " in m.data
        assert mails.parse(m.data).get_content_type() == "multipart/signed", name
    for name, password in (("alice", "wrong"), ("nobody", "x"), ("alice*nobody", "x")):
        c, (code, _) = logged_in(w, w.by_sasl, name, password)
        with c:
            assert code == 535
    # Who acts for her is not she.
    c, (code, text) = logged_in(w, w.by_sasl, "alice*postmaster", "master-pw")
    with c:
        assert code == 235, text
        assert letter(c, FAR)[0] == 250
    assert w.outside.take()[0].data.endswith(LETTER)


@case
def a_login_server_that_is_away_is_a_passing_failure(w):
    w.judge.on("CONNECT", reply=b"421 4.3.2 not now", close=True)
    c, (code, _) = logged_in(w, w.by_peer, "alice", w.users["alice"], ca=w.ca.ca)
    with c:
        assert code == 454, code
        w.judge.clear()
        assert c.smtp(f"AUTH PLAIN {plain_login('alice', w.users['alice'])}")[0] == 235
    w.dove.stop()
    w.gw.reload()
    try:
        c, (code, _) = logged_in(w, w.by_sasl, "alice", w.users["alice"])
        with c:
            assert code == 454, code
    finally:
        w.dove.start()
    c, (code, _) = logged_in(w, w.by_sasl, "alice", w.users["alice"])
    with c:
        assert code == 235


@case
def mail_that_needs_nothing_needs_no_worker(w):
    w.gw.settled_log()
    start = len(w.gw.log_text())
    with hello(w.relay) as c:
        for _ in range(3):
            assert letter(c, FAR, "other@far.test", sender=BOB, data=LETTER.replace(b"alice@", b"bob@"))[0] == 250
    for m in w.outside.take(3):
        assert m.data.endswith(b"Hello.\r\n") and m.data.count(b"Received:") == 1
    assert "crypto=" not in w.gw.settled_log(start)


@case
def what_its_sender_asks_for_is_done_or_refused_in_the_session(w):
    for subject in (b"[encrypt] A letter", b"=?utf-8?q?=5Bencrypt=5D_A_letter?=", b"A\r\n letter [PGP]"):
        with hello(w.relay) as c:
            code, text = letter(c, FAR, data=LETTER.replace(b"A letter", subject))
            assert code == 550 and "friend@far.test" in text, (subject, code, text)
            assert c.smtp("NOOP")[0] == 250
    with hello(w.relay) as c:
        assert letter(c, FAR, data=LETTER.replace(b"\r\n\r\n", b"\r\nSensitivity: Company-Confidential\r\n\r\n"))[0] == 550
        # One of them cannot have it: nobody gets it.
        assert letter(c, "pat@partner.test", FAR, data=ASKED)[0] == 550
        assert letter(c, "pat@partner.test", data=ASKED.replace(b"friend@far", b"pat@partner"))[0] == 250
    (m,) = w.outside.take()
    assert mails.is_pgp_encrypted(m.data) and b"Received: from client.test" in m.data


@case
def one_message_leaves_as_several_and_all_or_none_are_taken(w):
    data = LETTER.replace(b"To: friend@far.test", b"To: friend@far.test, pat@partner.test")
    with hello(w.relay) as c:
        code, text = letter(c, FAR, "pat@partner.test", "hidden@far.test", data=data)
        assert code == 250, text
        qid = text.split()[-1]
    got = w.outside.take(2)
    secret = [m for m in got if mails.is_pgp_encrypted(m.data)]
    assert len(secret) == 1 and secret[0].recipients == ["pat@partner.test"]
    clear = next(m for m in got if m is not secret[0])
    assert sorted(clear.recipients) == ["friend@far.test", "hidden@far.test"]
    steps = w.gw.gwctl("trace", qid).stdout.decode()
    assert len(set(re.findall(r"(\w+)  queued ", steps))) == 2, steps


@case
def a_hurried_client_gets_all_its_answers(w):
    one = f"MAIL FROM:<{BOB}>\r\nRCPT TO:<{FAR}>\r\nDATA\r\n".encode() + b"\0\r\n.\r\n"
    with hello(w.relay) as c:
        c.send(one * 1000)
        codes = [c.smtp()[0] for _ in range(4000)]
    assert codes == [250, 250, 354, 554] * 1000, codes[:8]


@case
def a_locked_key_store_defers_what_has_to_be_signed(w):
    w.gw.keyctl("lock")
    try:
        with hello(w.relay) as c:
            assert letter(c, FAR, sender=ALICE)[0] == 451
            assert letter(c, FAR, sender=BOB, data=LETTER.replace(b"alice@", b"bob@"))[0] == 250
    finally:
        w.gw.keyctl("unlock", "--key-file", w.key_file)
    w.outside.take()


@case
def requirements_for_the_way_on_are_kept_with_it(w):
    c, (code, _) = logged_in(w, w.by_peer, "bob", w.users["bob"], ca=w.ca.ca)
    with c:
        assert code == 235
        code, text = c.smtp(f"MAIL FROM:<{BOB}> RET=HDRS ENVID=abc BODY=8BITMIME SMTPUTF8")
        assert code == 250, text
        assert c.smtp(f"RCPT TO:<{FAR}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;friend@far.test")[0] == 250
        assert c.smtp("DATA")[0] == 354
        assert c.smtp("From: bob@example.test\r\nSubject: ü\r\n\r\nü\r\n.\r\n".encode())[0] == 250
    (m,) = w.outside.take()
    assert "RET=HDRS" in m.sender_params and "ENVID=abc" in m.sender_params, m.sender_params
    assert "NOTIFY=SUCCESS,FAILURE" in m.rcpt_params[0] and "ORCPT=rfc822;friend@far.test" in m.rcpt_params[0]


run(world)

#!/usr/bin/env python3
"""msmtp, swaks and curl send through the gateway, in clear, by STARTTLS and by implicit TLS."""

import base64
import os
import re

from pt import case, mails, run
from pt.doors import TLS, DoorsSite
from pt.util import sh, write

PAT, ALICE, QUINN = "pat@partner.test", "alice@example.test", "quinn@partner.test"
SECRET = b"4711 it is."
ATTACHED = os.urandom(1 << 20)


def msmtp(w, tls, to, data, ca, password):
    more = {"none": "tls off", "starttls": "tls on\ntls_starttls on", "implicit": "tls on\ntls_starttls off"}[tls]
    if tls != "none":
        more += f"\ntls_trust_file {ca}"
    rc = write(w.path("msmtprc"), f"account default\nhost localhost\nport {w.doors.smtp[tls]}\nauth plain\n"
               f"user alice\npassword {password}\nfrom {ALICE}\n{more}\n", 0o600)
    return sh(["msmtp", "-C", rc, to], data=mails.lf(data), check=False)


def swaks(w, tls, to, data, ca, password):
    path = write(w.path("swaks.eml"), mails.lf(data))
    more = {"none": [], "starttls": ["--tls"], "implicit": ["--tls-on-connect"]}[tls]
    if tls != "none":
        more += ["--tls-verify", "--tls-ca-path", ca]
    return sh(["swaks", "--server", "127.0.0.1", "--port", str(w.doors.smtp[tls]), "--from", ALICE, "--to", to,
               "--auth", "LOGIN" if tls == "starttls" else "PLAIN", "--auth-user", "alice",
               "--auth-password", password, "--data", "@" + path, *more], check=False)


def curl(w, tls, to, data, ca, password):
    more = [] if tls == "none" else ["--ssl-reqd", "--cacert", ca]
    return sh(["curl", "-v", "--user", "alice:" + password, "--mail-from", ALICE, "--mail-rcpt", to,
               "--upload-file", "-", *more,
               f"{'smtps' if tls == 'implicit' else 'smtp'}://localhost:{w.doors.smtp[tls]}/client.test"],
              data=data, check=False)


def send(w, client, tls, to, data, ca=None, password=None):
    """(exit code, all that it printed)."""
    p = client(w, tls, to, data, ca or w.ca.ca, password or w.users["alice"])
    return p.returncode, (p.stdout + p.stderr).decode("utf-8", "replace")


def world():
    w = DoorsSite()
    w.other = type(w.ca)(w.path("other-ca"), "Another CA")
    return w


def letter(to, subject="The offer"):
    attachment = base64.encodebytes(ATTACHED).decode()
    return mails.crlf(
        f"From: Alice <{ALICE}>\nTo: {to}\nSubject: {subject}\nDate: Mon, 02 Nov 2026 10:00:00 +0000\n"
        "Message-ID: <offer@example.test>\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="-bound"\n\n---bound\nContent-Type: text/plain\n\n'
        f"{SECRET.decode()}\n.\n..\n.dots\n---bound\nContent-Type: application/octet-stream; name=\"a.bin\"\n"
        f"Content-Transfer-Encoding: base64\n\n{attachment}---bound--\n")


def sends(w, client):
    for tls in TLS:
        start = len(w.gw.log_text())
        code, said = send(w, client, tls, PAT, letter(PAT))
        assert code == 0, said
        mail = w.partner.take()[0]
        assert mail.recipients == [PAT] and SECRET not in mail.data and mails.is_pgp_encrypted(mail.data)
        text, status = mails.open_pgp(w.pat, mail.data)
        assert "GOODSIG" in status and SECRET + b"\r\n.\r\n..\r\n.dots\r\n" in text, (status, text[:2000])
        parts = {p.get_filename(): p for p in mails.parse(text).walk()}
        assert parts["a.bin"].get_payload(decode=True) == ATTACHED
        line = w.gw.wait_log(r"postern/smtpd\[\d+\]: \w+: client=.*sasl_username=alice.*", start=start)[0]
        seen = re.search("TLS connection established from", w.gw.log_text()[start:])
        assert (seen is not None) == (tls != "none"), line


def is_told(w, client):
    """A message that cannot be encrypted as asked is refused, and the client says what we said."""
    for tls in TLS:
        code, said = send(w, client, tls, QUINN, letter(QUINN, "[encrypt] The offer"))
        said = " ".join(said.split())
        assert code != 0 and f"{QUINN}: encryption is required" in said and "there is no key for it" in said, said
        code, said = send(w, client, tls, PAT, letter(PAT), password="wrong")
        assert code != 0 and "535" in said, said
    for tls in TLS[1:]:
        code, said = send(w, client, tls, PAT, letter(PAT), ca=w.other.ca)
        assert code != 0 and re.search("verif|trusted|issuer", said), said
    assert not w.partner.mails


@case
def msmtp_sends_by_all_ways(w):
    sends(w, msmtp)


@case
def swaks_sends_by_all_ways(w):
    sends(w, swaks)


@case
def curl_sends_by_all_ways(w):
    sends(w, curl)


@case
def msmtp_shows_why_it_was_refused(w):
    is_told(w, msmtp)


@case
def swaks_shows_why_it_was_refused(w):
    is_told(w, swaks)


@case
def curl_shows_why_it_was_refused(w):
    is_told(w, curl)


if __name__ == "__main__":
    run(world)

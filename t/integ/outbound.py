#!/usr/bin/env python3
"""Mail sent through the gateway, with Postfix behind it and a partner's server beyond."""

import smtplib

from pt import Site, case, run
from pt import clients, mails
from pt.util import sh, write

PAT, QUINN, ALICE = "pat@partner.test", "quinn@partner.test", "alice@example.test"


def world():
    w = Site(more="limits {\n  recipients = 100\n  errors = 5\n  message_size = 12000000\n}\n")
    w.pat = w.outsider("pat")
    return w


def letter(to, subject="Letter", body="Dear reader,\nthe price is 4711.\n", **kw):
    return mails.plain(f"Alice <{ALICE}>", to, subject, body, **kw)


def end_of_data(w, raw):
    """Give DATA these octets as they are; the answer to them."""
    with clients.Raw(w.submission, timeout=20) as c:
        c.smtp()
        c.smtp("EHLO client.test")
        c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
        assert c.smtp(f"RCPT TO:<{QUINN}>")[0] == 250
        assert c.smtp("DATA")[0] == 354
        c.send(raw)
        return c.smtp()


@case
def encrypts_and_signs_for_a_known_key(w):
    w.send("alice", PAT, letter(PAT))
    got = w.partner.take()[0].data
    assert b"4711" not in got
    part, status = mails.open_pgp(w.pat, got)
    assert mails.split_head(part)[1] == b"Dear reader,\r\nthe price is 4711.\r\n", part
    assert "DECRYPTION_OKAY" in status and ALICE in status.get("GOODSIG", ""), status
    assert mails.header(got, "Subject") == ["Letter"]
    assert mails.header(got, "From") == [f"Alice <{ALICE}>"]


@case
def signs_in_clear_without_a_key(w):
    w.send("alice", QUINN, letter(QUINN))
    part, status = mails.check_signed(w.pat, w.partner.take()[0].data)
    assert b"the price is 4711." in part and ALICE in status.get("GOODSIG", ""), status


@case
def signature_holds_for_eight_bit_text_and_trailing_blanks(w):
    body = "Grüße \nFrom here on   \n.dot\n" + "x" * 900 + "\n"
    w.send("alice", QUINN, letter(QUINN, body=body,
                                  extra="Content-Transfer-Encoding: 8bit\n"), mail_options=["BODY=8BITMIME"])
    part, status = mails.check_signed(w.pat, w.partner.take()[0].data)
    assert "GOODSIG" in status, status
    text = mails.parse(part).get_payload(decode=True).decode()
    assert mails.lf(text.encode()) == body.encode(), text


@case
def sends_each_recipient_what_fits(w):
    w.send("alice", [PAT, QUINN], letter([PAT, QUINN]))
    by = {m.recipients[0]: m for m in w.partner.take(2)}
    assert set(by) == {PAT, QUINN}
    assert mails.is_pgp_encrypted(by[PAT].data) and b"4711" not in by[PAT].data
    assert b"4711" in by[QUINN].data


@case
def refuses_when_encryption_is_required_and_no_key_is_known(w):
    for subject, extra in (("[encrypt] x", ""), ("x [SECURE]", ""), ("Re: [pgp] x", ""),
                           ("=?utf-8?q?=5Bencrypt=5D_x?=", ""),
                           ("x", "Sensitivity: Company-Confidential\n")):
        for to in (QUINN, [PAT, QUINN]):
            code, text = w.refusal("alice", to, letter(to, subject, extra=extra))
            assert 500 <= code <= 599 and QUINN in text, (subject, code, text)
    assert not w.partner.mails


@case
def sends_when_encryption_is_required_and_the_key_is_known(w):
    w.send("alice", PAT, letter(PAT, "[encrypt] salaries"))
    got = w.partner.take()[0].data
    assert mails.is_pgp_encrypted(got) and b"4711" not in got


@case
def leaves_mail_alone_that_it_cannot_secure(w):
    """bob has no key: what he writes to quinn arrives as he wrote it."""
    data = mails.plain("bob@example.test", QUINN, "Plain", "one \n..two\n.\nthree\n")
    w.send("bob", QUINN, data)
    got = w.partner.take()[0].data
    assert got.endswith(data), got


@case
def relays_logins_and_their_refusals(w):
    try:
        clients.send(w.submission, ALICE, QUINN, letter(QUINN), login=("alice", "wrong"))
        raise AssertionError("wrong password taken")
    except smtplib.SMTPAuthenticationError as e:
        assert e.smtp_code == 535
    try:
        clients.send(w.submission, ALICE, QUINN, letter(QUINN))
        raise AssertionError("relayed without a login")
    except smtplib.SMTPRecipientsRefused as e:
        assert e.recipients[QUINN][0] == 554


@case
def takes_crlf_dot_crlf_only_as_the_end(w):
    head = b"From: alice@example.test\r\nTo: quinn@partner.test\r\nSubject: s\r\n\r\n"
    for inside in (b"a\n.\r\nb", b"a\r\n.\nb", b"a\n.\nb", b"a\r.\r\nb", b"a\r\n.\rb", b"a\r.\rb"):
        code, text = end_of_data(w, head + inside + b"\r\n.\r\n")
        assert 500 <= code <= 599, (inside, code, text)
    assert not w.partner.mails
    assert end_of_data(w, head + b"good\r\n.\r\n")[0] == 250
    assert b"good" in w.partner.take()[0].data


@case
def bounds_recipients_size_lines_and_errors(w):
    with clients.Raw(w.submission) as c:
        c.smtp()
        assert "SIZE" in c.smtp("EHLO client.test")[1]
        c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))
        assert c.smtp(f"MAIL FROM:<{ALICE}> SIZE=99999999")[0] == 552
        assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
        codes = [c.smtp(f"RCPT TO:<r{n}@partner.test>")[0] for n in range(101)]
        assert codes == [250] * 100 + [452], codes
    with clients.Raw(w.submission) as c:
        c.smtp()
        assert c.smtp(b"EHLO " + b"x" * 70000 + b"\r\n")[0] == 500
        answers = []
        try:
            answers = [c.smtp("GARBAGE")[0] for _ in range(20)]
            raise AssertionError("twenty errors taken")
        except (EOFError, OSError):
            pass
        assert len(answers) < 20


def swaks(w, *args, check=True):
    return sh(["swaks", "--server", "127.0.0.1", "--port", str(w.submission), "--helo", "client.test", "--from",
               ALICE, "--auth-user", "alice", "--auth-password", w.users["alice"], *args], check=check)


@case
def ordinary_clients_get_along(w):
    path = write(w.path("letter.eml"), letter(PAT))
    for auth in ("PLAIN", "LOGIN"):
        swaks(w, "--to", PAT, "--data", f"@{path}", "--auth", auth, "--silent", "2")
        assert "DECRYPTION_OKAY" in mails.open_pgp(w.pat, w.partner.take()[0].data)[1]
    sh(["curl", "-s", "--user", ":".join(w.login("alice")), "--mail-from", ALICE, "--mail-rcpt", PAT,
        "-T", path, f"smtp://127.0.0.1:{w.submission}/client.test"])
    assert "DECRYPTION_OKAY" in mails.open_pgp(w.pat, w.partner.take()[0].data)[1]
    # A refusal is told as such.
    p = swaks(w, "--to", QUINN, "--h-Subject", "[encrypt] x", "--auth", "PLAIN", check=False)
    assert p.returncode != 0 and QUINN.encode() in p.stdout and b"5.7." in p.stdout, p.stdout


@case
def large_mail_passes(w):
    line = "0123456789abcdef" * 4 + "\n"
    data = letter(PAT, "Large", line * 120000)
    w.send("alice", PAT, data, timeout=120)
    got = w.partner.take(seconds=60)[0].data
    part, status = mails.open_pgp(w.pat, got)
    assert "DECRYPTION_OKAY" in status
    assert mails.split_head(part)[1] == mails.split_head(data)[1]


if __name__ == "__main__":
    run(world)

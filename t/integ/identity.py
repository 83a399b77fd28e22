#!/usr/bin/env python3
"""Nobody uses another's key: not by mailing ciphertext to himself, not by a false sender."""

import smtplib

from pt import Site, case, run
from pt import clients, mails
from pt.dovecot import MASTER

PAT, QUINN = "pat@partner.test", "quinn@partner.test"
ALICE, CHIEF, MALLORY = "alice@example.test", "chief@example.test", "mallory@example.test"


def world():
    w = Site()
    w.pat = w.outsider("pat")
    w.pat.add(w.certificate("chief"))
    w.pat.add(w.certificate("mallory"))
    w.sealed = mails.pgp_encrypted(w.pat, mails.plain(PAT, ALICE, "For alice", "4711 is the code\n"),
                                   [ALICE], sign=PAT)
    w.imap.deliver("alice", w.sealed)
    return w


def fetched(w, login):
    got = clients.fetch(w.retrieval, login)
    assert got, "nothing was there"
    return b"\n".join(got)


def sent(w, user, data, sender, to=QUINN):
    """Send through the gateway; whose good signatures the partner sees, or None when refused."""
    try:
        w.send(user, to, data, sender=sender)
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as e:
        code = getattr(e, "smtp_code", 0) or next(iter(e.recipients.values()))[0]
        assert 500 <= code <= 599, e
        return None
    got = w.partner.take()[0].data
    kind = mails.parse(got).get_content_type()
    if kind == "multipart/signed":
        return mails.check_signed(w.pat, got)[1].get("GOODSIG", "")
    if kind == "multipart/encrypted":
        return mails.open_pgp(w.pat, got)[1].get("GOODSIG", "")
    return ""


@case
def alice_reads_her_mail_and_signs_as_herself(w):
    assert b"4711 is the code" in fetched(w, w.login("alice"))
    assert ALICE in sent(w, "alice", mails.plain(ALICE, QUINN), ALICE)


@case
def mallory_cannot_have_alices_mail_opened(w):
    w.imap.empty("mallory")
    w.imap.deliver("mallory", w.sealed)
    w.imap.deliver("mallory", w.sealed.replace(b"To: alice@", b"To: mallory@"))
    assert b"4711" not in fetched(w, w.login("mallory"))


@case
def master_users_open_nothing(w):
    for login in (f"alice*{MASTER[0]}", f"alice@example.test*{MASTER[0]}"):
        assert b"4711" not in fetched(w, (login, MASTER[1])), login


@case
def an_authorisation_identity_opens_nothing_of_others(w):
    with clients.Raw(w.retrieval) as c:
        c.pop()
        answer = c.pop("AUTH PLAIN " + clients.plain_login(MASTER[0], MASTER[1], "alice"))[0]
        if answer.startswith("+OK"):
            assert b"4711" not in c.pop("RETR 1", multi=True)[1]


@case
def alice_cannot_sign_as_the_chief(w):
    for data, sender in ((mails.plain(CHIEF, QUINN), CHIEF), (mails.plain(CHIEF, QUINN), ALICE),
                         (mails.plain(ALICE, QUINN), CHIEF)):
        for to in (QUINN, PAT):
            assert not sent(w, "alice", data, sender, to)


@case
def two_senders_are_no_sender(w):
    two = mails.plain(ALICE, QUINN, extra=f"From: {CHIEF}\n")
    reverse = mails.plain(CHIEF, QUINN, extra=f"From: {ALICE}\n")
    both = mails.plain(f"{ALICE}, {CHIEF}", QUINN)
    group = mails.plain(f"us: {ALICE};", QUINN)
    for data in (two, reverse, both, group):
        assert not sent(w, "alice", data, ALICE)


@case
def mallory_cannot_sign_as_alice(w):
    for sender in (ALICE, MALLORY):
        assert not sent(w, "mallory", mails.plain(ALICE, QUINN), sender)
    # Display names and comments are not addresses.
    who = sent(w, "mallory", mails.plain(f'"{ALICE}" <{MALLORY}>', QUINN), MALLORY)
    assert who is None or ALICE not in who.split("<")[-1]


@case
def a_login_in_other_spellings_is_the_same_or_nobody(w):
    """Case, domain and blanks: never somebody else's mail."""
    for login in ("ALICE", "Alice@Example.Test", "alice@example.test", "alice@example.test.", " alice", "alice "):
        with clients.Raw(w.retrieval) as c:
            c.pop()
            c.pop(f"USER {login}")
            if c.pop(f"PASS {w.users['alice']}")[0].startswith("+OK"):
                first, body = c.pop("RETR 1", multi=True)
                assert not first.startswith("+OK") or b"4711 is the code" in body or b"BEGIN PGP" in body
    # mallory's own login with alice's name inside it.
    w.imap.empty("mallory")
    w.imap.deliver("mallory", w.sealed)
    for login in ("mallory@example.test", "MALLORY"):
        assert b"4711" not in fetched(w, (login, w.users["mallory"])), login


@case
def the_log_cannot_be_forged(w):
    start = len(w.gw.log_text())
    evil = "x\x1b[2J\x7f postern/smtpd[1]: FORGED: to=<a@b>, status=sent"
    with clients.Raw(w.submission) as c:
        c.smtp()
        c.smtp(f"EHLO {evil}")
        c.smtp(f"MAIL FROM:<\"a, status=sent (ok)\\\"\"@example.test> {evil}")
    with clients.Raw(w.retrieval) as c:
        c.pop()
        c.pop(f"USER alice>, {evil}")
        c.pop("PASS x")
    w.gw.wait_log(r"pop3d\[.*FORGED", start=start)
    text = w.gw.settled_log(start)
    assert "\x1b" not in text and "\x7f" not in text
    for line in text.splitlines():
        assert line.count("postern/") == 1 or "\\x" in line, line


if __name__ == "__main__":
    run(world)

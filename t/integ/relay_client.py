#!/usr/bin/env python3
"""What the next server lacks: messages that it cannot take as they are, and servers that say odd things."""

# check: timeout=180

import email
import email.policy

from pt import QueueSite, case, mails, run

DORA, FAR = "dora@example.test", "friend@far.test"
TEXT = "Grüße aus Köln.\n"
SIGNED = (b"From: dora@example.test\r\nTo: friend@far.test\r\nSubject: signed\r\nMIME-Version: 1.0\r\n"
          b"Content-Type: multipart/signed; boundary=b; micalg=pgp-sha256;\r\n"
          b" protocol=\"application/pgp-signature\"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
          b"Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa4\r\n--b\r\n"
          b"Content-Type: application/pgp-signature\r\n\r\nnone\r\n--b--\r\n")


def world():
    w = QueueSite(users=("dora",), relay_more="outside_senders = yes")
    w.outside.features = ["PIPELINING", "SIZE 20000000", "ENHANCEDSTATUSCODES", "DSN"]
    return w


def send(w, data):
    w.send(w.relay, DORA, FAR, data, mail_options=("BODY=8BITMIME",))


def content(mail):
    return email.message_from_bytes(mail.data, policy=email.policy.default).get_content().replace("\r\n", "\n")


@case
def eight_bit_text_is_encoded_for_a_server_without_8BITMIME(w):
    send(w, mails.plain(DORA, FAR, body=TEXT, extra="Content-Transfer-Encoding: 8bit\n"))
    mail, = w.outside.take()
    assert mail.data.isascii() and "BODY" not in mail.sender_params, mail
    assert content(mail) == TEXT, mail.data


@case
def a_message_too_large_for_memory_is_encoded_too(w):
    """deliverd keeps its sandbox meanwhile, and the encoded form is an unnamed file."""
    body = TEXT * (7 << 20 >> 4)
    send(w, mails.plain(DORA, FAR, subject="large", body=body, extra="Content-Transfer-Encoding: 8bit\n"))
    w.send(w.relay, DORA, FAR, mails.plain(DORA, FAR, subject="small", body="x\n"))
    got = {email.message_from_bytes(m.data)["Subject"]: m for m in w.outside.take(2, 60)}
    assert got["large"].data.isascii() and content(got["large"]) == body, len(got["large"].data)
    w.empty()


@case
def what_is_signed_is_returned_and_not_broken(w):
    send(w, SIGNED)
    notice, = w.office.take()
    assert notice.sender == "" and notice.recipients == [DORA], notice
    assert b"Status: 5.6.3" in notice.data, notice.data
    assert not w.outside.mails


@case
def what_is_too_large_is_returned_without_being_sent(w):
    w.send(w.relay, DORA, FAR, mails.plain(DORA, FAR, body="long line of text\n" * (21000000 // 18)))
    notice, = w.office.take(1, 60)
    assert b"Status: 5.3.4" in notice.data, notice.data
    assert not w.outside.mails


@case
def a_server_that_answers_too_much_is_not_believed(w):
    """354 and the answer to the message in one: what comes later may be anything."""
    w.outside.on("DATA", reply="354 go ahead\r\n250 2.0.0 taken already", times=1)
    w.send(w.relay, DORA, FAR, mails.plain(DORA, FAR, body="odd\n"))
    mail, = w.outside.take()
    assert b"odd" in mail.data
    w.empty()


run(world)

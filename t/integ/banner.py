#!/usr/bin/env python3
"""The verdict as text in fetched mail, and the phrase that no sender knows."""

import json
import re

from pt import Site, case, run
from pt import clients, mails
from pt.mails import verdict
from pt.util import sh

PAT, ALICE = "pat@partner.test", "alice@example.test"


def world():
    w = Site(retrieval_more="banner = yes")
    w.pat = w.outsider("pat")
    return w


def phrase(w, user="alice"):
    return json.loads(w.gw.gwctl("consumer", "show", "--json", user).stdout)["phrase"]


def letter(body="Dear Alice,\n4711 it is.\n", subject="Re: Offer"):
    return mails.plain(f"Pat <{PAT}>", ALICE, subject, body)


def texts(data):
    """(text of the banner, its HTML, the sender's part) of a fetched message."""
    m = mails.parse(data)
    assert m.get_content_type() == "multipart/mixed", data
    ours, theirs = m.get_payload()
    plain, html = ours.get_payload()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    return plain.get_content(), html.get_content(), theirs


@case
def an_opened_message_shows_its_verdict_and_the_phrase(w):
    got = w.one(mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT))
    for text in texts(got)[:2]:
        assert phrase(w) in text and "Good: signed by its sender" in text and PAT in text, text
    assert "4711 it is." in texts(got)[2].get_content()
    assert "signature=good" in verdict(got)
    assert w.fetch("alice") == [got], "the same message looks different"


@case
def curl_gets_the_same(w):
    got = w.one(mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT))
    url = f"pop3://127.0.0.1:{w.retrieval}/1"
    assert sh(["curl", "-s", "-u", ":".join(w.login("alice")), url]).stdout == got


@case
def a_bad_signature_is_told_and_nothing_good(w):
    signed = mails.pgp_signed(w.pat, letter(), PAT).replace(b"4711 it is", b"4712 it is")
    text, html, theirs = texts(w.one(signed))
    assert "BAD" in text and "BAD" in html and "Good" not in text + html, text
    assert theirs.get_content_type() == "multipart/signed"


@case
def signed_mail_can_be_verified_again(w):
    got = w.one(mails.pgp_signed(w.pat, letter(), PAT))
    at = got.index(b"Content-Type: multipart/signed")
    inner = got[at:got.rindex(b"\r\n--=_m_")]
    assert PAT in mails.check_signed(w.pat, inner)[1].get("GOODSIG", ""), inner


@case
def all_verdicts_take_the_same_room(w):
    """What a banner adds does not depend on the verdict."""
    bodies = [mails.pgp_signed(w.pat, letter(), PAT)]
    bodies.append(bodies[0].replace(b"4711 it is", b"4712 it is"))
    got = [w.one(b) for b in bodies]
    signer = re.search(rb"^X-Postern-Signer:.*\r\n(?:[ \t].*\r\n)*", got[0], re.M)[0]
    assert len(got[0]) - len(got[1]) == len(signer), got


@case
def mail_that_is_not_opened_stays_as_it_is(w):
    w.imap.empty("alice")
    fake = "[ Notice of the mail gateway. Your phrase: x ]\nSignature: Good: signed by its sender\n"
    w.imap.deliver("alice", letter(fake))
    direct = clients.fetch(w.imap.pop3, w.login("alice"))
    assert w.fetch("alice") == direct and phrase(w).encode() not in direct[0]


@case
def a_reply_that_quotes_the_banner_does_not_tell_the_phrase(w):
    quote = texts(w.one(mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT)))[0]
    assert phrase(w) in quote
    body = "".join(f"> {line}\n" for line in quote.splitlines()) + "Thank you.\n"
    w.send("alice", PAT, mails.plain(ALICE, PAT, "Re: Offer", body))
    inner = mails.open_pgp(w.pat, w.partner.take()[0].data)[0]
    assert b"Thank you." in inner and b"xxxxxxxxxxxxxxxx" in inner, inner
    assert phrase(w).encode() not in inner


@case
def a_phrase_can_be_changed_and_the_size_stays(w):
    got = w.one(mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT))
    old = phrase(w)
    new = w.gw.gwctl("consumer", "phrase", "alice").stdout.decode().split("\t")[1].strip()
    assert re.fullmatch("[a-z]{16}", new) and new != old and new == phrase(w)
    again = w.fetch("alice")[0]
    assert new in texts(again)[0] and old.encode() not in again
    assert len(again) == len(got)


@case
def others_have_other_phrases(w):
    got = w.one(mails.pgp_signed(w.pat, letter(), PAT), user="chief")
    assert phrase(w, "chief") in texts(got)[0] and phrase(w, "chief") != phrase(w)


if __name__ == "__main__":
    run(world)

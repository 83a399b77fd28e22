#!/usr/bin/env python3
"""Files that were encrypted one by one, and what mailing lists wrap, fetched through the gateway."""

from email.message import EmailMessage

from pt import Site, case, run
from pt import clients, mails
from pt.mails import verdict

PAT, ALICE = "pat@partner.test", "alice@example.test"
FILE = bytes(range(256)) * 40


def world():
    w = Site()
    w.pat = w.outsider("pat")
    return w


def letter(body="See the file.\n"):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"], m["Message-ID"] = PAT, ALICE, "Files", "<files@partner.test>"
    m.set_content(body)
    return m


def octets(m):
    return mails.crlf(m.as_bytes())


@case
def opens_files_beside_a_text(w):
    m = letter()
    m.add_attachment(w.pat.encrypt(FILE, [ALICE], sign=PAT, armor=False), maintype="application",
                     subtype="octet-stream", filename="plan b.pdf.gpg")
    m.add_attachment(w.pat.encrypt(FILE, [ALICE]), maintype="application",
                     subtype="octet-stream", filename="second.asc")
    got = w.one(octets(m))
    text, first, second = mails.parse(got).iter_parts()
    assert "See the file." in text.get_content()
    assert (first.get_filename(), second.get_filename()) == ("plan b.pdf", "second"), got
    assert first.get_content() == FILE and second.get_content() == FILE
    assert "decrypted=partly" in verdict(got) and "signature=partly-good" in verdict(got), got


@case
def opens_what_a_mailing_list_wrapped(w):
    sealed = mails.pgp_encrypted(w.pat, mails.plain(PAT, ALICE, "x", "4711 it is.\n"), [ALICE], sign=PAT)
    inner = sealed[sealed.index(b"Content-Type: multipart/encrypted"):]
    got = w.one(mails.crlf(
        f"From: {PAT}\nTo: {ALICE}\nSubject: [list] x\nMIME-Version: 1.0\n"
        "Content-Type: multipart/mixed; boundary=\"=-list\"\n\n--=-list\n")
        + inner + mails.crlf("\n--=-list\nContent-Type: text/plain\n\n-- \nthe list\n--=-list--\n"))
    assert b"4711 it is." in got and b"the list" in got and b"BEGIN PGP" not in got, got
    assert "decrypted=partly" in verdict(got), got


@case
def leaves_files_for_others_alone(w):
    w.pat.make("Zoe <zoe@partner.test>")
    m = letter()
    m.add_attachment(w.pat.encrypt(FILE, ["zoe@partner.test"], armor=False), maintype="application",
                     subtype="octet-stream", filename="x.gpg")
    w.imap.empty("alice")
    w.imap.deliver("alice", octets(m))
    assert w.fetch("alice") == clients.fetch(w.imap.pop3, w.login("alice"))


if __name__ == "__main__":
    run(world)

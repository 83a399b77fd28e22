#!/usr/bin/env python3
"""Real mails of all sorts, as they are collected by others: what needs no change gets none."""

import glob
import os
import re
import smtplib

from pt import Site, Skip, case, run
from pt import clients, mails
from pt.util import read

ALICE, BOB, QUINN = "alice@example.test", "bob@example.test", "quinn@partner.test"
TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
CORPUS = os.environ.get("POSTERN_CORPUS", os.path.join(TOP, "../shared/corpus"))
FOLDERS = ("mime4j/core/src/test/resources", "ruby-mail/spec/fixtures", "rspamd/test/functional/messages",
           "spamassassin/t/data", "nostarttls-cases/mails", "rfc4134", "stalwart-mail-auth", "arc")
LARGEST = 1 << 20  # octets
PGP = re.compile(rb"BEGIN PGP|application/pgp|^x-postern", re.I | re.M)


def peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def pop_peer(w):
    w.pop = w.fakepop()
    return w.pop.port


def corpus():
    """Names and octets of the mails; some have line ends of their own kind."""
    found = {}
    for folder in FOLDERS:
        for path in glob.glob(os.path.join(CORPUS, folder, "**/*"), recursive=True):
            if re.search(r"\.(eml|msg|txt|mbox|mime)$|/(spam|nice)/[^./]+$", path) and os.path.isfile(path):
                data = read(path)
                if 0 < len(data) <= LARGEST and b":" in data[:2000]:
                    found[os.path.relpath(path, CORPUS)] = data
    if len(found) < 100:
        raise Skip(f"no collection of mails in {CORPUS}")
    return found


def world():
    w = Site(smtp_port=peer, pop3_port=pop_peer, users=("alice", "bob"), keys=("alice",), level="info")
    w.corpus = None
    return w


def given(w):
    if w.corpus is None:
        w.corpus = corpus()
    return w.corpus


def fetched_raw(w, count):
    """The octets of each RETR as they are on the wire, without the final dot."""
    with clients.Raw(w.retrieval, timeout=60) as c:
        c.pop()
        c.pop("USER alice")
        c.pop(f"PASS {w.users['alice']}")
        for n in range(1, count + 1):
            c.send(f"RETR {n}\r\n")
            first = c.line()
            got = bytearray()
            if first.startswith(b"+OK"):
                while not got.endswith(b"\r\n.\r\n") and got != b".\r\n":
                    got += c.some()
            yield first, bytes(got[:-3])


def stuffed(data):
    """Dots behind a bare LF are stuffed too, for clients that end a line there."""
    return (b"\n" + data).replace(b"\n.", b"\n..")[1:]


@case
def fetched_as_they_are(w):
    """The server's octets, odd line ends included, reach the client; only the end gets its CRLF."""
    names = {n: d for n, d in given(w).items() if not PGP.search(d)}
    with w.pop.lock:
        w.pop.boxes["alice"] = list(names.items())
    for (name, data), (first, got) in zip(names.items(), fetched_raw(w, len(names))):
        want = stuffed(data)
        assert first.startswith(b"+OK"), (name, first)
        assert got in (want, want + b"\r\n"), name
    print(f"  {len(names)} mails")
    assert len(names) > 200


@case
def openpgp_of_others_is_readable(w):
    """Not for us: the body stays, whatever verdict is put in front."""
    names = {n: mails.crlf(d) for n, d in given(w).items() if PGP.search(d) and b"\r\r" not in d}
    with w.pop.lock:
        w.pop.boxes["alice"] = list(names.items())
    for (name, data), (first, got) in zip(names.items(), fetched_raw(w, len(names))):
        assert first.startswith(b"+OK"), (name, first)
        body = stuffed(mails.split_head(data)[1])
        assert got.endswith(body) or got.endswith(body + b"\r\n"), name
    print(f"  {len(names)} mails")


@case
def sent_as_they_are(w):
    """bob has no key: what he sends arrives octet for octet below the trace fields."""
    sent = 0
    for name, data in given(w).items():
        data = re.sub(rb"[\r\n]+", lambda m: b"\r\n" * max(1, m[0].count(b"\n")), data)
        data = data.rstrip(b"\r\n") + b"\r\n"
        head, body = mails.split_head(data)
        fields = re.split(rb"(?<=\r\n)(?=[^ \t])", head)
        if PGP.search(data) or any(not re.match(rb"[!-9;-~]+[ \t]*:", f) for f in fields if f) or \
                max(map(len, data.split(b"\r\n"))) > 998 or b"\0" in data:
            continue
        head = b"".join(f for f in fields if not re.match(rb"from[ \t]*:", f, re.I))
        data = b"From: " + BOB.encode() + b"\r\n" + head + b"\r\n" + body
        try:
            w.send("bob", QUINN, data, mail_options=["BODY=8BITMIME"])
        except smtplib.SMTPResponseException as e:
            text = e.smtp_error.decode("utf-8", "replace")
            assert e.smtp_code == 550 and re.search("encryption is required", text), (name, e)
            continue
        got = w.peer.take()[0].data
        assert got.endswith(data) and re.fullmatch(rb"(Received: [^\r]*\r\n([ \t][^\r]*\r\n)*)?",
                                                   got[:-len(data)]), (name, got[:500])
        sent += 1
    print(f"  {sent} mails")
    assert sent > 150


def texts(data):
    """The decoded contents of all parts."""
    return [mails.lf(p.get_payload(decode=True) or b"").rstrip() for p in mails.parse(data).walk()
            if not p.is_multipart()]


@case
def sent_and_signed_they_still_read_the_same(w):
    """alice's mails gain a signature; what it covers decodes to what she wrote."""
    pat = w.outsider("pat")
    sent = 0
    for name, data in sorted(given(w).items())[::7]:
        data = mails.crlf(data).rstrip(b"\r\n") + b"\r\n"
        head, body = mails.split_head(data)
        if PGP.search(data) or b"\r" in mails.lf(data) or b"\0" in data or \
                max(map(len, data.split(b"\r\n"))) > 998:
            continue
        kept = [f for f in re.split(rb"(?<=\r\n)(?=[^ \t])", head)
                if re.match(rb"(content-[a-z-]+|mime-version|subject)[ \t]*:", f, re.I)]
        data = b"From: " + ALICE.encode() + b"\r\n" + b"".join(kept) + b"\r\n" + body
        try:
            w.send("alice", QUINN, data, mail_options=["BODY=8BITMIME"])
        except smtplib.SMTPResponseException:
            continue
        got = w.peer.take()[0].data
        if mails.parse(got).get_content_type() != "multipart/signed" or b"boundary=\"=_" not in got:
            assert got.endswith(data), name
            continue
        part, status = mails.check_signed(pat, got)
        assert "GOODSIG" in status, (name, status)
        assert texts(data) == texts(part), name
        sent += 1
    print(f"  {sent} mails")
    assert sent > 20


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""Keys that are no good are refused with the reason; keys that are locked are in nobody's memory."""

import os
import re
import smtplib

from pt import Site, case, run
from pt import mails
from pt.memory import memory
from pt.util import tree, write

ALICE, BOB, CAROL = "alice@example.test", "bob@example.test", "carol@example.test"
QUINN = "quinn@partner.test"


def world():
    w = Site(keys=("alice",))
    w.pat = w.outsider("pat")
    return w


def partner(w, user, algo, change=None):
    """A partner with a key of this kind that gpg made; its address."""
    g, address = w.gpg(user), f"{user}@partner.test"
    fpr = g.make(f"{user} <{address}>", algo=algo)
    if change is not None:
        change(g, fpr)
    w.learn(address, g.public(fpr), user)
    return address


def withdraw(g, fpr):
    """Use the revocation that gpg keeps for each key."""
    path = os.path.join(g.home, "openpgp-revocs.d", fpr + ".rev")
    with open(path, encoding="utf-8") as f:
        g.add(f.read().replace(":-----BEGIN", "-----BEGIN").encode())


@case
def a_key_that_is_no_good_is_refused_with_its_reason(w):
    for user, algo, change, why in (("weak", "rsa1024", None, "is too weak for encryption (RSA of 1024 bits)"),
                                    ("gone", "ed25519", withdraw, "was revoked")):
        address = partner(w, user, algo, change)
        code, text = w.refusal("alice", address, mails.plain(ALICE, address, "[encrypt] plan", "the price is 4711\n"))
        assert code == 550 and address in text and why in text and "import" in text, (code, text)
        # Where nobody asked for encryption it leaves in clear, signed, and the log says why.
        start = len(w.gw.log_text())
        w.send("alice", address, mails.plain(ALICE, address, "plan"))
        got = w.partner.take()[0].data
        assert ALICE in mails.check_signed(w.pat, got)[1].get("GOODSIG", ""), user
        w.gw.wait_log(r": crypto=encrypted=no \(key [0-9A-F]{16} " + re.escape(why), start=start)
    assert not w.partner.mails


@case
def the_log_says_why_mail_is_not_signed(w):
    """Both that nobody of ours sends it and that a consumer has no key."""
    for user, sender, why in (("alice", CAROL, r"the envelope sender is not the consumer's"),
                              ("bob", BOB, r"the consumer has no valid key for signatures")):
        start = len(w.gw.log_text())
        try:
            w.send(user, QUINN, mails.plain(sender, QUINN), sender=sender)
        except smtplib.SMTPException as e:
            assert user == "alice", e  # the mail server may forbid it
            continue
        w.partner.take()
        w.gw.wait_log(rf": crypto=encrypted=no, signed=no \({why}\)", start=start)


@case
def a_good_key_beside_bad_ones_is_used(w):
    """A consumer with several certificates: those that can be used are, and no others."""
    address = "weak@partner.test"
    second = w.gpg("weak-second")
    second.make(f"weak <{address}>")
    w.gw.gwctl("key", "import", write(w.path("second.asc"), second.public(address)))
    second.add(w.certificate("alice"))
    w.send("alice", address, mails.plain(ALICE, address, "[encrypt] plan", "4711\n"))
    part, _ = mails.open_pgp(second, w.partner.take()[0].data)
    assert b"4711" in part


@case
def flowed_text_stays_flowed_under_a_signature(w):
    """RFC 3676: blanks at line ends have a meaning, and signatures do not survive them bare."""
    body = "A long line that goes on \r\nin the next one, and \r\n here.\r\n\r\n> quoted \r\n> more\r\n-- \r\nAlice\r\n"
    data = mails.plain(ALICE, QUINN, "flowed").partition(b"\r\n\r\n")[0].replace(
        b"charset=utf-8", b"charset=utf-8; format=flowed; delsp=no") + b"\r\n\r\n" + body.encode()
    w.send("alice", QUINN, data)
    got = w.partner.take()[0].data
    part, status = mails.check_signed(w.pat, got)
    assert ALICE in status.get("GOODSIG", ""), status
    assert not re.search(rb"[ \t]\r\n", part.partition(b"\r\n\r\n")[2]), "blanks that transport may drop"
    text = mails.parse(part)
    assert text.get_content_type() == "text/plain" and text.get_param("format") == "flowed"
    assert text.get_param("delsp") == "no" and text.get_payload(decode=True) == body.encode()
    # Encrypted, and opened by a colleague through the gateway: as it was.
    w.gw.keyctl("generate", "--address", CAROL, "--name", "Carol")
    w.send("alice", CAROL, data.replace(QUINN.encode(), CAROL.encode()))
    w.imap.wait_stored("carol", 1)
    text = mails.parse(w.fetch("carol")[0])
    assert text.get_param("format") == "flowed" and text.get_payload(decode=True) == body.encode()


def secrets_of(g, who):
    """The two secret scalars of an unprotected Ed25519 key with Cv25519, in both orders of octets."""
    data, found, at = g.secret(who, armor=False), [], 0
    while at < len(data):
        tag, n = data[at], data[at + 1]
        if tag & 0x40 == 0:  # old format, RFC 9580, 4.2.2
            size = 1 << (tag & 3)
            n = int.from_bytes(data[at + 1:at + 1 + size], "big")
            at += size - 1
            tag = tag >> 2 & 15
        else:
            tag &= 63
        body, at = data[at + 2:at + 2 + n], at + 2 + n
        if tag in (5, 7):
            scalar = body[-34:-2]  # a sum of two octets is behind it
            found += [scalar, scalar[::-1]]
    return found


def holders(w, secrets):
    """Processes of the gateway in whose memory one of these octet strings stands."""
    found = {}
    names = w.gw.daemons() | {w.gw.pid: "master"}
    for pid in tree(w.gw.pid):
        data = memory(pid)
        if any(x in data for x in secrets):
            found[pid] = names.get(pid, "worker")
    return found


def seals(w):
    """Sealed memory files with the sealing key that are open in the gateway's processes."""
    count = 0
    for pid in tree(w.gw.pid):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                count += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("/memfd:seal")
            except OSError:
                pass
    return count


@case
def lock_leaves_no_key_in_any_memory(w):
    """keyctl lock drops the private keys, their copies and the sealing key everywhere."""
    g = w.gpg("bob")
    g.make(f"Bob <{BOB}>")
    path = w.gw.own(write(w.path("bob.sec"), g.secret(BOB), 0o600))
    empty = w.gw.own(write(w.path("empty"), "\n", 0o600))
    w.gw.keyctl("import", "--passphrase-file", empty, path)
    w.pat.add(g.public(BOB))
    secrets = secrets_of(g, BOB)
    assert len(secrets) == 4 and all(len(s) == 32 for s in secrets)
    w.imap.deliver("bob", mails.pgp_encrypted(w.pat, mails.plain("pat@partner.test", BOB, body="4711\n"), [BOB]))
    assert b"4711" in w.fetch("bob")[0]
    w.send("bob", QUINN, mails.plain(BOB, QUINN))
    w.partner.take()
    held = holders(w, secrets)
    assert set(held.values()) == {"cryptod"}, f"private keys are in the memory of {held}"
    assert seals(w) > 0
    w.gw.keyctl("lock")
    held = holders(w, secrets)
    assert not held, f"private keys are still in the memory of {held}"
    assert seals(w) == 0, "somebody still holds the sealing key"
    # A key file is configured; but locked is locked, also for the next cryptod.
    w.gw.wait_daemon("cryptod", other_than=w.gw.kill("cryptod"))
    w.gw.wait_daemon("cryptod")
    assert "locked" in w.gw.keyctl("status").stdout.decode()
    assert not holders(w, secrets)
    w.gw.keyctl("unlock")
    assert b"4711" in w.fetch("bob")[0]


@case
def the_log_leads_from_the_peers_queue_to_ours_and_back(w):
    """Our line has both ids, so that a message can be followed through both logs either way."""
    start = len(w.gw.log_text())
    w.send("alice", QUINN, mails.plain(ALICE, QUINN, "followed"))
    w.partner.take()
    m = w.gw.wait_log(rf"postern/smtpd\[\d+\]: ([0-9A-F]+): to=<{QUINN}>, .*status=sent \(250 .*queued as (\w+)\)",
                      start=start)
    ours, theirs = m[1], m[2]
    w.gw.wait_log(rf" {ours}: removed", start=start)
    lines = w.gw.settled_log(start).splitlines()
    by_theirs = [line for line in lines if theirs in line]
    assert by_theirs and all(f" {ours}: " in line for line in by_theirs), by_theirs
    by_ours = [line.partition(f" {ours}: ")[2] for line in lines if f" {ours}: " in line]
    for want in ("client=", "from=<", "crypto=", "to=<", "removed"):
        assert sum(line.startswith(want) for line in by_ours) == 1, (want, by_ours)


if __name__ == "__main__":
    run(world)

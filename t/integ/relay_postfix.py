#!/usr/bin/env python3
"""Postfix before and behind us: mail of the world by Postfix and swaks to our MX, ours to Postfix, notices both ways."""

# check: timeout=180

import email
import os
import re
import time

from pt import QueueSite, case, mails, run
from pt.postfix import Postfix
from pt.util import read, sh, wait_until, write

DORA, BOB, FAR = "dora@example.test", "bob@example.test", "friend@far.test"
OPEN = """
smtpd_sasl_auth_enable = no
smtpd_recipient_restrictions =
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
mynetworks = 127.0.0.0/8
"""
SEEN = b"".join(b".%s line %d\r\n" % (b"." * (n % 3), n) for n in range(200))


def settled(path):
    """Postfix waits for files that have just changed."""
    past = time.time() - 60
    os.utime(path, (past, past))


class NoDovecot:
    conf, sasl = "/nonexistent", "/nonexistent"


def server(w, name, domain, routes, extra=""):
    """A Postfix of another organisation; routes: where it sends mail to."""
    cert, key = w.ca.issue(name)
    p = Postfix(w.path(name), w.ports, cert, key, NoDovecot, domain="nobody." + domain, hostname=name, routes=routes)
    # In place of what is there: postlogd stands still when it warns of itself.
    conf = os.path.join(p.conf, "main.cf")
    new = (OPEN + extra).strip().splitlines()
    names = {line.split("=")[0].strip() for line in new}
    kept = [line for line in read(conf).decode().splitlines() if line.split("=")[0].strip() not in names]
    write(conf, "\n".join(kept + new) + "\n")
    settled(conf)
    w.defer(p.stop)
    w._logs.append((name, p.tail))
    return p


def behind(w):
    """The organisation's server: Postfix, whose mailboxes are a sink."""
    w.boxes = w.sink()
    w.inner = server(w, "mail.example.test", "example.test", {"example.test": w.boxes.port},
                     "relay_domains = example.test\nrelay_recipient_maps = static:x\n")
    w.inner.start()
    return w.inner.port


def far(w):
    """A partner's server, whose mailboxes are another one; what he sends to us comes by our MX."""
    w.friends = w.sink()
    w.partner = server(w, "mail.far.test", "far.test", {"far.test": w.friends.port, "example.test": 1},
                       "relay_domains = far.test\nrelay_recipient_maps = static:x\nsmtp_tls_security_level = may\n")
    return w.partner.port


def world():
    w = QueueSite(users=("dora", "bob"), keys=("dora",), office=behind, outside=far, level="info")
    w.partner.route({"far.test": w.friends.port, "example.test": w.mx})
    settled(os.path.join(w.partner.conf, "transport"))
    w.partner.start()
    return w


def letter(sender, to, body=b"Hello.\r\n"):
    return b"From: %s\r\nTo: %s\r\nSubject: x\r\nMessage-ID: <1@x>\r\n\r\n" % (sender.encode(), to.encode()) + body


@case
def what_a_postfix_sends_to_our_mx_arrives_at_the_postfix_behind_us(w):
    w.send(w.partner.port, FAR, [DORA, BOB], letter(FAR, DORA, SEEN))
    got = w.boxes.take()
    assert sorted(r for m in got for r in m.recipients) == [BOB, DORA], [m.recipients for m in got]
    assert all(m.sender == FAR and m.data.endswith(b"\r\n\r\n" + SEEN) for m in got), got[0].data[:3000]
    hops = mails.header(got[0].data, "Received")
    assert len(hops) == 3 and "(Postern) with ESMTP id" in hops[1], hops
    w.empty()
    assert re.search(rf"to=<{DORA}>, relay=127\.0\.0\.1\[.*status=sent \(250 2\.0\.0 Ok: queued as \w+\)",
                     read(w.partner.log).decode())


@case
def what_we_send_a_postfix_takes_and_passes_on(w):
    w.send(w.relay, BOB, FAR, letter(BOB, FAR, SEEN))
    (m,) = w.friends.take()
    assert m.sender == BOB and m.data.endswith(b"\r\n\r\n" + SEEN)
    w.empty()
    w.gw.wait_log(rf"to=<{FAR}>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{w.partner.port}, .*status=sent \(250 2\.0\.0 Ok: queued as")
    # With a key it is signed, and Postfix leaves the signature as it is.
    w.send(w.relay, DORA, FAR, letter(DORA, FAR, b"From here.\r\n"))
    (m,) = w.friends.take()
    pgp = w.gpg()
    pgp.add(w.gw.keyctl("export", DORA).stdout)
    assert mails.parse(m.data).get_content_type() == "multipart/signed"
    w.empty()


@case
def a_long_message_goes_by_bdat(w):
    """RFC 3030, above 1 MiB."""
    body = "".join(f"..{n} a line of a long message\n" for n in range(50000))
    data = mails.plain(BOB, FAR, body=body)
    w.send(w.relay, BOB, FAR, data, timeout=60)
    assert w.friends.take(seconds=60)[0].data.endswith(mails.split_head(data)[1])
    wait_until(lambda: re.search(rb"disconnect from \S+ .* bdat=1 ", read(w.partner.log)), 20, "BDAT at Postfix")
    w.empty()


@case
def hundred_messages_at_once_pass_both_ways(w):
    for n in range(100):
        w.send(w.partner.port, FAR, DORA, letter(FAR, DORA, b"in %d\r\n" % n))
        w.send(w.relay, BOB, FAR, letter(BOB, FAR, b"out %d\r\n" % n))
    inside, outside = w.boxes.take(100, 60), w.friends.take(100, 60)
    assert {m.data.split(b"\r\n")[-2] for m in inside} == {b"in %d" % n for n in range(100)}
    assert {m.data.split(b"\r\n")[-2] for m in outside} == {b"out %d" % n for n in range(100)}
    w.empty()


@case
def a_recipient_who_is_not_there_is_postfixs_to_return_and_not_ours(w):
    w.send(w.partner.port, FAR, "nobody@example.test", letter(FAR, "nobody@example.test"))
    (m,) = w.friends.take(1, 60)
    assert m.sender == "" and b"550 5.1.1" in m.data and b"Action: failed" in m.data, m.data
    assert not w.queue() and not w.boxes.mails


@case
def a_notice_of_ours_is_one_that_postfix_delivers(w):
    w.friends.on("RCPT", reply=b"550 5.1.1 no such user", times=None)
    w.send(w.relay, BOB, "gone@elsewhere.test", letter(BOB, "gone@elsewhere.test"))
    (m,) = w.boxes.take(1, 60)
    report = email.message_from_bytes(m.data)
    assert m.sender == "" and report.get_content_type() == "multipart/report"
    fields = {k.lower(): v for part in report.get_payload()[1].get_payload() for k, v in part.items()}
    assert fields["action"] == "failed" and fields["status"].startswith("5.") and \
        "gone@elsewhere.test" in fields["final-recipient"], fields
    w.empty()


def swaks(port, *args):
    return sh(["swaks", "--server", "127.0.0.1", "--port", str(port), "--helo", "client.far.test", *args], check=False)


@case
def swaks_sees_a_usual_mx(w):
    path = write(w.path("letter.eml"), letter(FAR, DORA, b"By swaks.\r\n").replace(b"\r\n", b"\n"))
    p = swaks(w.mx, "--from", FAR, "--to", DORA, "--data", "@" + path)
    text = p.stdout.decode()
    assert p.returncode == 0 and "queued as" in text and "250-PIPELINING" in text, text
    (m,) = w.boxes.take()
    assert b"By swaks." in m.data
    p = swaks(w.mx, "--pipeline", "--from", FAR, "--to", f"{DORA},{BOB}", "--data", "@" + path)
    assert p.returncode == 0, p.stdout
    assert sorted(r for m in w.boxes.take() for r in m.recipients) == [BOB, DORA]
    for to, code in ((FAR, b"554 5.7.1"), ("nobody@example.test", b"550 5.1.1"), ("x%far.test@example.test", b"554 5.7.1")):
        p = swaks(w.mx, "--from", FAR, "--to", to, "--quit-after", "RCPT")
        assert p.returncode == 24 and code in p.stdout, (to, p)
    p = swaks(w.relay, "--from", BOB, "--to", FAR, "--data", "@" + path)
    assert p.returncode == 0 and b"queued as" in p.stdout, p
    w.friends.take()
    w.empty()


@case
def while_the_postfix_behind_us_is_away_mail_waits(w):
    w.inner.stop()
    w.send(w.partner.port, FAR, DORA, letter(FAR, DORA, b"Patience.\r\n"))
    wait_until(lambda: w.queue("--state", "deferred"), 30, "an attempt")
    assert "refused" in str(w.queue()).lower(), w.queue()
    w.inner.start()
    (m,) = w.boxes.take(1, 60)
    assert m.data.endswith(b"Patience.\r\n")
    w.empty()


run(world)

#!/usr/bin/env python3
"""Mail out through the queue: who may send where, what leaves how, what comes back."""

import email
import re
import time

from pt import QueueSite, case, run
from pt import clients, mails
from pt.relay import failing
from pt.util import wait_until

DORA, ALICE, BOB = "dora@example.test", "alice@example.test", "bob@example.test"
PAT, NOBODY = "pat@partner.test", "nobody@elsewhere.test"


def world():
    w = QueueSite(users=("alice", "bob", "dora"), keys=("alice", "bob"), queue="postmaster = post@example.test",
                  outside_more="reuse = 1", mx_more="gate = patient",
                  more='gate "patient" {\n  error_rate = 0\n  tarpit = 0\n}\n')
    w.gw.gwctl("recipient", "add", "post@example.test")
    return w


def text(sender, to, body="Dear friend,\n4711\n", **more):
    return mails.plain(sender, to, body=body, **more)


@case
def what_hosts_may_relay_arrives_once_with_a_trace(w):
    data = text(DORA, NOBODY)
    w.send(w.relay, DORA, NOBODY, data)
    got = w.outside.take()[0]
    assert got.sender == DORA and got.recipients == [NOBODY]
    head, _, rest = got.data.partition(b"\r\n\r\n")
    trace = head[:head.index(b"\r\nFrom:") if b"\r\nFrom:" in head else None]
    assert trace.startswith(b"Received: from "), head
    assert re.search(rb"by gw\.example\.test \(Postern\) with ESMTP id [0-9A-F]+", trace), trace
    assert f"for <{NOBODY}>".encode() in trace
    assert got.data.endswith(data), "the message itself is as it came"
    w.empty()
    time.sleep(0.3)
    assert not w.outside.mails, "it arrived twice"


@case
def our_own_domains_go_to_their_own_server(w):
    w.send(w.relay, DORA, [DORA, NOBODY], text(DORA, DORA))
    assert w.office.take()[0].recipients == [DORA]
    assert w.outside.take()[0].recipients == [NOBODY]
    w.empty()


@case
def one_transaction_for_recipients_of_one_destination(w):
    rcpts = [f"r{n}@d{n % 3}.test" for n in range(20)]
    w.send(w.relay, DORA, rcpts, text(DORA, "many@d.test"))
    got = w.outside.take()
    assert sorted(got[0].recipients) == sorted(rcpts)
    w.empty()


@case
def mail_of_users_with_keys_is_secured_like_through_the_proxy(w):
    w.send(w.relay, ALICE, BOB, text(ALICE, BOB))
    got = w.office.take()[0]
    assert mails.is_pgp_encrypted(got.data) and b"4711" not in got.data
    w.send(w.relay, ALICE, NOBODY, text(ALICE, NOBODY))
    got = w.outside.take()[0]
    assert b"multipart/signed" in got.data and b"4711" in got.data
    w.empty()


@case
def one_message_leaves_in_several_ways(w):
    """One recipient has a key, another has none: two messages of one transaction."""
    w.send(w.relay, ALICE, [BOB, DORA, NOBODY], text(ALICE, BOB))
    inside = w.office.take(2)
    outside = w.outside.take()[0]
    sealed = [m for m in inside if mails.is_pgp_encrypted(m.data)]
    clear = [m for m in inside if not mails.is_pgp_encrypted(m.data)]
    assert [m.recipients for m in sealed] == [[BOB]] and [m.recipients for m in clear] == [[DORA]]
    assert outside.recipients == [NOBODY] and b"multipart/signed" in outside.data
    w.empty()


@case
def encryption_that_cannot_be_had_is_refused_in_the_session(w):
    code, why = w.refusal(w.relay, ALICE, [BOB, NOBODY], text(ALICE, NOBODY, subject="[encrypt] secret"))
    assert code == 550 and NOBODY in why
    w.empty()
    assert not w.office.mails and not w.outside.mails
    # The word counts also when the sender has no key and nobody would be asked.
    code, why = w.refusal(w.relay, DORA, NOBODY, text(DORA, NOBODY, subject="=?utf-8?q?=5Bencrypt=5D?= x"))
    assert code == 550 and NOBODY in why
    assert not w.outside.mails


@case
def senders_of_other_domains_are_refused(w):
    code, why = w.refusal(w.relay, PAT, NOBODY, text(PAT, NOBODY))
    assert code in (550, 553, 554), (code, why)
    assert not w.outside.mails


# Spellings with which open relays are looked for.  {o}: an outside address.
SPELLINGS = (
    "nobody@elsewhere.test", '"nobody@elsewhere.test"', "nobody%elsewhere.test@example.test",
    '"nobody%elsewhere.test"@example.test', "elsewhere.test!nobody@example.test", "elsewhere.test!nobody",
    '"elsewhere.test!nobody"@example.test', "@example.test:nobody@elsewhere.test",
    "@gw.example.test:nobody@elsewhere.test", "nobody@elsewhere.test@example.test",
    '"nobody@elsewhere.test"@example.test', "nobody%elsewhere.test@[127.0.0.1]",
    "nobody%elsewhere.test@gw.example.test", "nobody@[IPv6:::1]", "nobody@[127.0.0.1]",
    "nobody@elsewhere.test%", "nobody@elsewhere.test.", "nobody%elsewhere.test", "nobody\\@elsewhere.test@example.test",
    "", "nobody@[IPv6:2001:db8::1]", "alice@example.test,nobody@elsewhere.test", "nobody@2130706433",
)


@case
def no_spelling_makes_the_mx_a_relay(w):
    for sender in (PAT, ALICE, "", "nobody@gw.example.test", "postmaster"):
        for spelling in SPELLINGS:
            with clients.Raw(w.mx) as c:
                c.smtp()
                c.smtp("EHLO outside.test")
                c.smtp(f"MAIL FROM:<{sender}>")
                code, why = c.smtp(f"RCPT TO:<{spelling}>")
                assert 400 <= code < 600, (sender, spelling, code, why)
    assert not w.queue() and not w.office.mails and not w.outside.mails


@case
def a_message_that_nobody_takes_comes_back_in_a_form_that_parses(w):
    with failing(w.outside, "RCPT", "550 5.1.1 no such user here"):
        w.send(w.relay, DORA, NOBODY, text(DORA, NOBODY), mail_options=["ENVID=xyz1", "RET=HDRS"],
               rcpt_options=["NOTIFY=FAILURE", "ORCPT=rfc822;first@elsewhere.test"])
        got = w.office.take()[0]
    assert got.sender == "" and got.recipients == [DORA]
    m = email.message_from_bytes(got.data)
    assert m.get_content_type() == "multipart/report" and m.get_param("report-type") == "delivery-status"
    report, status, head = m.get_payload()
    assert "no such user here" in report.get_payload() and NOBODY in report.get_payload()
    fields = {k.lower(): v for part in status.get_payload() for k, v in part.items()}
    assert fields["final-recipient"] == f"rfc822; {NOBODY}" and fields["action"] == "failed"
    assert fields["original-recipient"] == "rfc822; first@elsewhere.test" or \
        fields["original-recipient"] == "rfc822;first@elsewhere.test"
    assert fields["status"] == "5.1.1" and fields["original-envelope-id"] == "xyz1"
    assert fields["diagnostic-code"].startswith("smtp; 550 5.1.1")
    assert fields["reporting-mta"] == "dns; gw.example.test"
    assert head.get_content_type() in ("text/rfc822-headers", "message/rfc822-headers")
    assert "4711" not in got.data.decode("latin-1")
    w.empty()


@case
def nobody_hears_of_a_failure_who_did_not_want_to(w):
    with failing(w.outside, "RCPT", "550 5.1.1 no such user here"):
        w.send(w.relay, DORA, NOBODY, text(DORA, NOBODY), rcpt_options=["NOTIFY=NEVER"])
        w.empty()
    time.sleep(0.5)
    assert not w.office.mails


@case
def success_is_told_to_who_asks_where_the_next_host_cannot(w):
    w.outside.features.remove("DSN")
    time.sleep(1.5)  # a connection from before knows better
    try:
        w.send(w.relay, DORA, NOBODY, text(DORA, NOBODY), rcpt_options=["NOTIFY=SUCCESS"])
        w.outside.take()
        got = w.office.take()[0]
    finally:
        w.outside.features.append("DSN")
    assert b"Action: relayed" in got.data
    time.sleep(1.5)
    w.send(w.relay, DORA, NOBODY, text(DORA, NOBODY), rcpt_options=["NOTIFY=SUCCESS"])
    assert "NOTIFY=SUCCESS" in w.outside.take()[0].rcpt_params[0]
    w.empty()
    time.sleep(0.3)
    assert not w.office.mails, "the next host knows DSN: it tells"


@case
def a_notice_that_cannot_be_delivered_goes_to_the_postmaster_and_no_further(w):
    with failing(w.outside, "RCPT", "550 5.1.1 no such user"), \
            failing(w.office, "RCPT", "550 5.1.1 gone", match=lambda arg: DORA.encode() in arg):
        w.send(w.relay, DORA, NOBODY, text(DORA, NOBODY))
        got = w.office.take()[0]
    assert got.sender == "" and got.recipients == ["post@example.test"]
    with failing(w.outside, "RCPT", "550 5.1.1 no such user"), failing(w.office, "RCPT", "550 5.1.1 gone"):
        w.send(w.relay, DORA, NOBODY, text(DORA, NOBODY))
        w.empty()
    time.sleep(0.3)
    assert not w.office.mails and not w.queue()


@case
def a_temporary_failure_is_tried_again(w):
    with failing(w.outside, "EOD", "451 4.3.0 not now"):
        w.send(w.relay, DORA, NOBODY, text(DORA, NOBODY))
        q = wait_until(lambda: [m for m in w.queue() if m.get("attempts")], 10, "an attempt")
        assert "not now" in str(q)
    w.outside.take()
    w.empty()


@case
def the_line_of_each_step_is_there_and_trace_tells_the_life(w):
    w.send(w.relay, DORA, NOBODY, text(DORA, NOBODY), mail_options=["ENVID=trace77"])
    w.outside.take()
    w.empty()
    w.gw.wait_log(r"postern/\w+\[\d+\]: [0-9A-F]+: removed")
    log = w.gw.settled_log()
    qid = re.findall(rf"([0-9A-F]+): to=<{NOBODY}>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{w.outside.port}, "
                     r"delay=[\d.]+, delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, dsn=2\.\d\.\d, status=sent \(250", log)[-1]
    assert re.search(rf"{qid}: client=\S+\[127\.0\.0\.1\]", log)
    assert re.search(rf"{qid}: message-id=<", log)
    assert re.search(rf"{qid}: from=<{DORA}>, size=\d+, nrcpt=1", log)
    told = w.gw.gwctl("trace", qid).stdout.decode()
    assert NOBODY in told and "sent" in told and DORA in told
    found = w.events("--to", NOBODY, "--status", "sent")
    assert any(e["event"][0]["qid"] == qid if isinstance(e.get("event"), list) else e.get("qid") == qid for e in found)


@case
def endings_that_smuggle_are_refused_and_never_sent(w):
    for end in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\n\n.\r\n"):
        with clients.Raw(w.relay) as c:
            c.smtp()
            c.smtp("EHLO host.test")
            c.smtp(f"MAIL FROM:<{DORA}>")
            c.smtp(f"RCPT TO:<{NOBODY}>")
            c.smtp("DATA")
            c.send(b"Subject: a\r\n\r\nfirst" + end + f"MAIL FROM:<{DORA}>\r\nRCPT TO:<x@evil.test>\r\nDATA\r\n".encode()
                   + b"Subject: b\r\n\r\nsmuggled\r\n.\r\n")
            code, why = c.smtp()
            assert code // 100 == 5, (end, code, why)
    time.sleep(0.3)
    assert not w.outside.mails and not w.queue()


run(world)

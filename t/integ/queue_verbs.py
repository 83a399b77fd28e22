#!/usr/bin/env python3
"""gwctl queue: what is shown of the queue, what is done to it, and the check of what is on the disk."""

import glob
import os
import re

from pt import QueueSite, case, mails, run
from pt.gateway import TOP
from pt.relay import failing
from pt.terminal import Terminal
from pt.util import sh, wait_until

DORA = "dora@example.test"
LATER = "452 4.2.2 Mailbox full"


def world():
    w = QueueSite(users=("dora",), level="info")
    # Attempts are made when a case says so.
    w.gw.configure(w.pieces.replace("retry_min = 1", "retry_min = 3000").replace("retry_max = 2", "retry_max = 3000"))
    w.gw.reload()
    return w


def verb(w, *args, code=0):
    """gwctl queue ...: what it prints, both streams."""
    p = w.gw.gwctl("queue", *args, check=False)
    text = (p.stdout + p.stderr).decode()
    assert p.returncode == code, f"queue {args}: {p.returncode}\n{text}"
    return text


def waits(w, *rcpts, **headers):
    """Messages that could not be delivered for now; their queue ids, in that order."""
    with failing(w.outside, "RCPT", LATER):
        for rcpt in rcpts:
            w.send(w.relay, DORA, rcpt, mails.plain(DORA, rcpt, **headers))
        wait_until(lambda: len(w.queue("--state", "deferred")) >= len(rcpts), 10, "deferral")
    ids = {q["recipients"][0]["address"]: q["queue_id"] for q in w.queue()}
    return [ids[r] for r in rcpts]


def empty(w):
    verb(w, "delete", "--all", "--yes")
    assert w.queue() == []


@case
def what_waits_is_listed_as_mailq_does(w):
    assert verb(w, "list") == "The queue is empty.\n"
    one, two = waits(w, "a@far.test", "b@near.test")
    text = verb(w, "list")
    lines = text.splitlines()
    assert lines[0].startswith("-Queue ID-"), text
    assert re.match(rf"{one} +\d+ \w{{3}} \w{{3}} [ \d]\d \d\d:\d\d:\d\d  {DORA}$", lines[1]), lines[1]
    assert re.match(rf" +\(.*{re.escape(LATER)}.*\)$", lines[2]), lines[2]
    assert lines[3].strip() == "a@far.test" and not lines[4]
    assert re.match(r"-- \d+ Kbytes in 2 Requests\.$", lines[-1]), lines[-1]
    assert verb(w, "list", "-q").split() == [one, two]
    empty(w)


@case
def filters_choose(w):
    one, two = waits(w, "a@far.test", "b@near.test")
    verb(w, "hold", "--reason", "let me see", two)
    for args, want in ((("--rcpt", "*@FAR.test"), [one]), (("--destination", "near.test"), [two]),
                       (("--destination", "route:outside"), [one, two]), (("--destination", "mx:*"), []),
                       (("--state", "held"), [two]), (("--state", "held", "--state", "deferred"), [one, two]),
                       (("--state", "active"), []), (("--older", "1d"), []), (("--older", "0"), [one, two]),
                       (("--sender", DORA, "--rcpt", "b@*"), [two]), (("--sender", "<>"), []),
                       (("--tenant", "default"), [one, two]), (("--tenant", "x"), [])):
        assert verb(w, "list", "-q", *args).split() == want, args
    held = w.queue("--state", "held")[0]
    assert held["state"] == "held" and "let me see" in held["recipients"][0]["delay_reason"], held
    assert f"{two}!" in verb(w, "list")
    for wrong in (("--older", "soon"), ("--state", "lost"), ("--bogus",), ("stray",)):
        verb(w, "list", *wrong, code=64)
    empty(w)


@case
def a_listing_for_programs_has_all(w):
    qid, = waits(w, "a@far.test")
    q, = w.queue()
    assert q["queue_id"] == qid and q["transaction"] == qid and q["state"] == "deferred"
    assert q["sender"] == DORA and q["connector"] == "relay" and q["attempts"] == 1
    assert q["next_attempt"] > q["arrival_time"] + 2900 and q["message_size"] > 100
    assert q["recipients"] == [{"address": "a@far.test", "state": "deferred",
                                "delay_reason": q["recipients"][0]["delay_reason"]}]
    assert LATER in q["recipients"][0]["delay_reason"]
    text = verb(w, "summary").splitlines()
    assert text[1].split()[:3] == ["TOTAL", "1", "1"] and text[2].split()[:2] == ["far.test", "1"], text
    empty(w)


@case
def one_message_is_shown_and_its_octets_are_what_came(w):
    qid, = waits(w, "a@far.test", subject="To be seen", body="4711\n" * 30000)
    text = verb(w, "show", qid)
    assert f"Queue ID:    {qid}\n" in text and f"Sender:      <{DORA}>\n" in text
    assert "Recipient:   <a@far.test>, deferred: " in text and "\nSubject: To be seen\n" in text
    assert "4711" not in text, "only its header"
    raw = w.gw.gwctl("queue", "show", "--raw", qid).stdout
    verb(w, "flush")
    assert w.outside.take()[0].data == raw
    w.empty()
    verb(w, "show", qid, code=65)
    verb(w, "show", code=64)


@case
def flush_tries_now(w):
    waits(w, "a@far.test", "b@near.test")
    assert verb(w, "flush", "--rcpt", "b@*") == "1 message tried now\n"
    assert w.outside.take()[0].recipients == ["b@near.test"]
    verb(w, "flush", w.queue()[0]["queue_id"])
    assert w.outside.take()[0].recipients == ["a@far.test"]
    w.empty()
    verb(w, "flush", "ABC", code=65)


@case
def held_mail_waits_for_its_release(w):
    qid, = waits(w, "a@far.test")
    assert verb(w, "hold", qid) == "1 message held\n"
    verb(w, "flush")
    assert [q["state"] for q in w.queue()] == ["held"]
    w.gw.kill("queued")
    wait_until(lambda: w.gw.gwctl("queue", "list", check=False).returncode == 0, 20, "queued")
    assert [q["state"] for q in w.queue()] == ["held"], "over a restart, too"
    assert verb(w, "release", "--state", "held") == "1 message released\n"
    assert w.outside.take()[0].recipients == ["a@far.test"]
    w.empty()
    w.gw.wait_log(f"{qid}: held by gwctl")
    w.gw.wait_log(f"{qid}: released by gwctl")


@case
def nothing_is_deleted_by_mistake(w):
    one, two = waits(w, "a@far.test", "b@near.test")
    for name in ("hold", "release", "requeue", "delete"):
        assert "--all" in verb(w, name, code=64)
    assert "2 messages will be deleted" in verb(w, "delete", "--all", code=64)
    verb(w, "delete", "--all", "--rcpt", "a@*", code=64)
    with Terminal(w.gw.command("gwctl", "queue", "delete", one)) as t:
        t.expect("1 message will be deleted; nobody is told.")
        t.expect("Type yes to go on: ")
        t.type("no\n")
        t.expect("kept")
        assert t.finish() == 77
    assert len(w.queue()) == 2
    with Terminal(w.gw.command("gwctl", "queue", "delete", "--rcpt", "a@*")) as t:
        t.expect("Type yes to go on: ")
        t.type("yes\n")
        t.expect("1 message deleted")
        assert t.finish() == 0
    assert [q["queue_id"] for q in w.queue()] == [two]
    verb(w, "delete", "--yes", two)
    assert w.queue() == []
    assert not w.office.mails, "nobody is told"


@case
def many_messages_come_in_pages(w):
    rcpts = [f"r{n}@far.test" for n in range(230)]
    with failing(w.outside, "RCPT", LATER):
        for rcpt in rcpts:
            w.send(w.relay, DORA, rcpt, mails.plain(DORA, rcpt))
        wait_until(lambda: len(w.queue()) == 230, 10, "all of them")
        assert [q["recipients"][0]["address"] for q in w.queue()] == rcpts, "the oldest first"
    empty(w)


def completed(w, line):
    """What bash would offer at the end of this line."""
    script = f"source {TOP}/etc/bash-completion/gwctl\n" \
        "COMP_WORDBREAKS=$' \\t\\n@:' COMP_LINE=$1 COMP_POINT=${#1}\n" \
        "_postern; printf '%s\\n' \"${COMPREPLY[@]}\""
    argv = w.gw.command("gwctl")
    argv[argv.index(os.path.join(w.gw.bin, "gwctl")):] = ["bash", "--norc", "-c", script, "bash", line]
    return set(sh(argv).stdout.decode().split())


@case
def the_tab_key_knows_queue_ids(w):
    qid, = waits(w, "a@far.test")
    line = f"{w.gw.bin}/gwctl -c {w.gw.conf} queue "
    assert {"list", "show", "flush", "hold", "release", "requeue", "delete", "check"} <= completed(w, line)
    for verb_ in ("show ", "hold ", "delete --yes ", "flush " + qid[:6]):
        assert completed(w, line + verb_) == {qid}, verb_
    assert "deferred" in completed(w, line + "list --state d")
    assert {"--destination", "--older", "--reason"} <= completed(w, line + "hold --")
    empty(w)


@case
def the_disk_is_checked_when_the_gateway_is_stopped(w):
    ids = waits(w, "a@far.test", "bad@near.test", "c@near.test")
    assert "queued is at work" in verb(w, "check", code=75)
    w.gw.stop()
    assert "no fault was found" in verb(w, "check")
    # Octets of the second message go bad.
    for path in glob.glob(os.path.join(w.gw.spool, "queue", "segment.*")):
        with open(path, "r+b") as f:
            data = f.read()
            at = data.find(b"To: bad@near.test")
            if at >= 0:
                f.seek(at)
                f.write(b"xxxx")
                break
    else:
        raise AssertionError("the message is not in a segment")
    said = verb(w, "check", code=65)
    assert "--repair" in said and len(said.splitlines()) >= 2, said
    assert "repaired" in verb(w, "check", "--repair")
    assert "no fault was found" in verb(w, "check")
    w.gw.start()
    left = [q["queue_id"] for q in w.queue()]
    assert left == [ids[0], ids[2]], (left, ids)
    verb(w, "flush")
    assert sorted(m.recipients[0] for m in w.outside.take(2)) == ["a@far.test", "c@near.test"]
    w.empty()


run(world)

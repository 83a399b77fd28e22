#!/usr/bin/env python3
"""A transaction from its client to the last delivery: traced, searched, and counted by the tools for Postfix."""

import json
import re
import shutil
import time

from pt import Skip, case, run
from pt.relay import QueueSite, failing
from pt.util import sh, wait_until
from pt.world import DOMAIN

ALICE, BOB, FAR = f"alice@{DOMAIN}", f"bob@{DOMAIN}", "friend@far.test"


def letter(msgid):
    return f"From: {FAR}\r\nTo: {ALICE}\r\nSubject: x\r\nMessage-ID: <{msgid}@far.test>\r\n\r\nHello.\r\n".encode()


def log_section(w):
    # The tag for which fail2ban's own filter looks.
    return f'log {{\n  destination = file\n  file = "{w.path("gw", "log", "postern.log")}"\n' \
           '  tag = "postfix-postern"\n}\n'


def world():
    return QueueSite(more=log_section, level=None)


def found(w, *options, count=1):
    """What gwctl log finds, once there is so much: events come up to 20 ms late."""
    return wait_until(lambda: (lambda e: e if len(e) >= count else None)(w.events(*options)), 20,
                      f"{count} events of {options}")


def deliver(w, msgid, to):
    """Send a message, wait until it has left; its queue id."""
    w.send(w.mx, FAR, to, letter(msgid))
    w.empty()
    return found(w, "--message-id", f"{msgid}@far.test", "--kind", "message")[0]["qid"]


@case
def the_whole_life_is_told_by_one_id(w):
    qid = deliver(w, "life", [ALICE, BOB])
    found(w, "--id", qid, "--kind", "removed")
    kinds = [e["kind"] for e in json.loads(w.gw.gwctl("trace", "--json", qid).stdout)["events"]]
    assert kinds[0] == "client" and kinds[-1] == "removed", kinds
    assert kinds.count("delivery") == 2 and kinds.index("queued") < kinds.index("delivery"), kinds
    text = w.gw.gwctl("trace", qid).stdout.decode()
    assert text.startswith(f"transaction {qid}: 2 sent\n"), text
    steps = re.findall(rf"{qid} +(\w+)", text)
    assert steps[0] == "accepted" and steps.count("sent") == 2 and steps[-1] == "removed", steps


@case
def it_is_found_by_each_of_its_properties(w):
    qid = deliver(w, "found", [ALICE])
    for options in (["--from", FAR, "--status", "sent"], ["--to", ALICE, "--status", "sent"],
                    ["--client", "127.0.0.1", "--kind", "client"], ["--message-id", "found@far.test"],
                    ["--tenant", "default", "--kind", "queued"], ["--from", "*@far.test", "--since", "-5m"]):
        assert qid in [e["qid"] for e in found(w, *options)], options
    for options in (["--from", "nobody@far.test"], ["--status", "bounced"], ["--tenant", "other"],
                    ["--since", "now"], ["--client", "192.0.2.1"]):
        assert qid not in [e["qid"] for e in w.events(*options)], options


@case
def each_attempt_is_a_step(w):
    with failing(w.office, "RCPT", b"451 4.3.0 not now\r\n"):
        w.send(w.mx, FAR, [ALICE], letter("later"))
        found(w, "--message-id", "later@far.test", "--status", "deferred", count=2)
    w.empty()
    qid = found(w, "--message-id", "later@far.test", "--status", "sent")[0]["qid"]
    text = w.gw.gwctl("trace", qid).stdout.decode()
    assert text.startswith(f"transaction {qid}: 1 sent\n"), text
    assert len(re.findall(rf"{qid} +deferred +<{ALICE}> by ", text)) >= 2, text


@case
def rejects_are_recorded(w):
    code, _ = w.refusal(w.mx, FAR, ["x@elsewhere.test"])
    assert code == 554, code
    (e,) = [e for e in found(w, "--kind", "reject") if e["rcpt"] == "x@elsewhere.test"]
    assert e["sender"] == FAR and "Relay access denied" in e["text"] and e["daemon"] == "smtpd", e
    assert re.search(rf"postfix-postern/smtpd\[\d+\]: NOQUEUE: reject: RCPT from [\w.-]+\[127\.0\.0\.1\]: 554 5\.7\.1 .*"
                     rf"Relay access denied; from=<{FAR}> to=<x@elsewhere\.test> proto=ESMTP helo=<", w.gw.log_text())


def tool(name):
    path = shutil.which(name)
    if path is None:
        raise Skip(f"{name} is not installed")
    return path


@case
def pflogsumm_counts_it(w):
    path = tool("pflogsumm")
    text = w.gw.settled_log()
    out = sh([path, "--syslog-name=postfix-postern"], data=text.encode()).stdout.decode()
    for word, pattern in (("received", r"\]: \w+: client="), ("delivered", r" status=sent "),
                          ("rejected", r"NOQUEUE: reject: ")):
        n = len(re.findall(pattern, text))
        assert n > 0 and re.search(rf"^ +{n} +{word}", out, re.M), (word, n, out)
    assert re.search(rf"^ +\d+ .*{FAR}$", out, re.M), out


@case
def fail2ban_finds_the_offender(w):
    path = tool("fail2ban-regex")
    start = len(w.gw.log_text())
    for n in range(3):
        w.refusal(w.mx, FAR, [f"x{n}@elsewhere.test"])
    time.sleep(0.2)
    part = w.path("part.log")
    with open(part, "w", encoding="utf-8") as f:
        f.write(w.gw.log_text()[start:])
    out = sh([path, part, "postfix"], check=False).stdout.decode()
    matched = re.search(r"(\d+) matched", out)
    assert matched and int(matched[1]) >= 3, out


if __name__ == "__main__":
    run(world)

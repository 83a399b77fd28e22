#!/usr/bin/env python3
"""A queue of 100,000 messages: the gateway starts with it, delivers at once and loses none."""

# check: timeout=240

import json
import threading
import time

from pt import QueueSite, case, run
from pt.clients import Raw
from pt.relay import failing
from pt.util import wait_until

DORA = "dora@example.test"
COUNT, SESSIONS, BATCH = 100000, 10, 50


def world():
    w = QueueSite(users=("dora",), level="warn", queue="active = 100\n",
                  more="limits {\n  commands = 1000000\n  session_timeout = 7200\n}\n")
    w.gw.configure(w.pieces.replace("retry_min = 1\n", "retry_min = 3600\n").replace("retry_max = 2\n", "retry_max = 3600\n"))
    w.gw.reload()
    return w


def send(w, count):
    """So many messages in one session, a batch in each packet."""
    text = b"Subject: x\r\nMessage-ID: <%d@host.test>\r\n\r\n" + b"Hello.\r\n" * 20
    with Raw(w.relay, timeout=60) as c:
        assert c.smtp()[0] == 220
        assert c.smtp("EHLO host.test")[0] == 250
        for n in range(0, count, BATCH):
            some = [text % (n + i) for i in range(min(BATCH, count - n))]
            c.send(b"".join(b"MAIL FROM:<%s>\r\nRCPT TO:<r%d@d%d.test>\r\nBDAT %d LAST\r\n%s"
                            % (DORA.encode(), n + i, i, len(m), m) for i, m in enumerate(some)))
            for _ in range(3 * len(some)):
                code, why = c.smtp()
                assert code == 250, (code, why)


def fill(w):
    failed = []

    def part():
        try:
            send(w, COUNT // SESSIONS)
        except BaseException as e:  # pylint: disable=broad-except
            failed.append(e)
    threads = [threading.Thread(target=part) for _ in range(SESSIONS)]
    start = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join(180)
    assert not failed, failed[0]
    print(f"  {COUNT} messages were taken in {time.monotonic() - start:.1f} s")


def summary(w):
    return json.loads(w.gw.gwctl("queue", "summary", "--json").stdout)["domains"]


@case
def a_hundred_thousand_messages_are_there_again_and_go(w):
    with failing(w.outside, "CONNECT", "421 4.3.2 closed", close=True):
        fill(w)
        w.gw.stop()
    start = time.monotonic()
    w.gw.start()
    ready = time.monotonic() - start
    w.gw.gwctl("queue", "flush")
    w.outside.wait_mails(1, 30)
    first = time.monotonic() - start
    print(f"  started in {ready:.2f} s, first delivery after {first:.2f} s")
    # 3 seconds on a quiet machine.
    assert first < 15, first
    w.outside.keep = False

    def left():
        return sum(d["recipients"] for d in summary(w))
    wait_until(lambda: left() < COUNT - 2000, 60, "deliveries")
    assert w.gw.gwctl("queue", "delete", "--all", "--yes").stdout.split()[0].isdigit()
    w.empty(60)


run(world)

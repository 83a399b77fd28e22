#!/usr/bin/env python3
"""Daemons are killed under 20 senders: what was acknowledged is delivered or in the queue, at any moment."""

import collections
import random
import re
import signal
import smtplib
import threading
import time

from pt import QueueSite, case, run
from pt.util import kill, wait_until

SENDERS = 20
DORA = "dora@example.test"
DAEMONS = ("smtpd", "queued", "deliverd", "policyd", "anvild", "dnsd", "logd")


def world():
    return QueueSite(users=("dora",), level="info", queue="segment = 1M")


class Senders:
    """Send numbered messages in many sessions; .acked and .tried are sets of their numbers."""

    def __init__(self, w):
        self.w, self.acked, self.tried = w, set(), set()
        self._lock, self._stop, self._next = threading.Lock(), threading.Event(), 0
        self._threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *_exc):
        self._stop.set()
        for t in self._threads:
            t.join(60)

    def _number(self):
        with self._lock:
            self._next += 1
            self.tried.add(self._next)
            return self._next

    def _run(self):
        s = None
        size = random.Random(threading.get_ident())
        while not self._stop.is_set():
            n = self._number()
            body = b"x" * 70 + b"\r\n"
            data = b"X-Number: %d\r\nSubject: %d\r\n\r\n" % (n, n) + body * size.choice((1, 10, 50, 400))
            try:
                if s is None:
                    s = smtplib.SMTP("127.0.0.1", self.w.relay, local_hostname="host.test", timeout=20)
                s.sendmail(DORA, [f"r{n % 7}@d{n % 5}.test"], data)
                with self._lock:
                    self.acked.add(n)
            except (OSError, smtplib.SMTPException):
                if s is not None:
                    s.close()
                s = None
                time.sleep(0.02)
        if s is not None:
            s.close()


def numbers(mails):
    return collections.Counter(int(re.search(rb"X-Number: (\d+)", m.data)[1]) for m in mails)


def judge(w, senders, kills):
    """All that was acknowledged arrives, and little of it twice."""
    def there():
        with w.outside.lock:
            return senders.acked <= set(numbers(w.outside.mails))
    try:
        wait_until(there, 60, "all that was acknowledged")
    finally:
        got = numbers(w.outside.mails)
        lost = senders.acked - set(got)
        assert not lost, f"{len(lost)} of {len(senders.acked)} acknowledged messages are lost: {sorted(lost)[:10]}"
    w.empty(60)
    got = numbers(w.outside.mails)
    twice = sum(n - 1 for n in got.values())
    # Under way at a time: at most what may be delivered to one destination at once, at each kill.
    assert twice <= 20 * kills + 20, f"{twice} arrived twice after {kills} kills"
    assert set(got) <= senders.tried
    assert len(senders.acked) > 100, "hardly anything was sent"
    return len(senders.acked), twice


@case
def the_queue_alone_is_killed_again_and_again(w):
    kills = 0
    with Senders(w) as senders:
        for _ in range(3):
            time.sleep(random.uniform(1.1, 1.8))  # who dies at once again and again is not started at once
            for pid in w.gw.daemons("queued"):
                kill(pid, signal.SIGKILL)
                kills += 1
            w.gw.wait_daemon("queued", seconds=20)
    sent, twice = judge(w, senders, kills)
    print(f"  {kills} kills, {sent} acknowledged, {twice} arrived twice")
    w.outside.mails.clear()


@case
def each_daemon_is_killed_at_random_moments(w):
    chance = random.Random(7)
    kills = 0
    with Senders(w) as senders:
        end = time.monotonic() + 12
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.05, 0.5))
            name = chance.choice(DAEMONS)
            pids = w.gw.daemons(name)
            if pids:
                kill(chance.choice(pids), signal.SIGKILL)
                kills += 1
        time.sleep(1)
    sent, twice = judge(w, senders, kills)
    print(f"  {kills} kills, {sent} acknowledged, {twice} arrived twice")
    w.outside.mails.clear()


@case
def all_are_killed_at_once(w):
    """As when the machine's power fails, but for what is only in the kernel."""
    with Senders(w) as senders:
        for _ in range(2):
            time.sleep(2)
            pids = [w.gw.pid, *w.gw.daemons()]
            for pid in pids:
                kill(pid, signal.SIGKILL)
            w.gw.stop(signal.SIGKILL)
            w.gw.start()
        time.sleep(2)
    judge(w, senders, 2)


run(world)

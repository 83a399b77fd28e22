#!/usr/bin/env python3
"""queued is killed while a message is in each of the states of queued(8): none is lost, none acknowledged in vain."""

# check: timeout=180

import signal
import smtplib
import subprocess
import threading
import time

from pt import QueueSite, Skip, case, mails, run
from pt.relay import failing
from pt.util import kill, wait_until

DORA, BOB, FAR = "dora@example.test", "bob@example.test", "friend@far.test"
LATER, NEVER = "451 4.3.0 not now", "550 5.1.1 no such user"


def world():
    return QueueSite(users=("dora", "bob"), level="info", queue="postmaster = post@example.test")


def send(w, to, n, **kw):
    w.send(w.relay, DORA, to, mails.plain(DORA, FAR, subject=f"Letter {n}"), **kw)


def killed(w):
    """queued dies by SIGKILL, and another one has read what is there."""
    old = w.gw.daemons("queued")
    for pid in old:
        kill(pid, signal.SIGKILL)
    w.gw.wait_daemon("queued", old, 20)
    wait_until(lambda: w.gw.gwctl("queue", "list", "-q", check=False).returncode == 0, 20, "the queue's answer")


def once(w, sink, n, want=1):
    """It has arrived, and so many times."""
    def there():
        with sink.lock:
            return sum(mails.header(m.data, "Subject") == [f"Letter {n}"] for m in sink.mails)
    wait_until(lambda: there() >= want, 30, f"letter {n}")
    w.empty(30)
    assert there() == want, f"letter {n} arrived {there()} times"


@case
def arriving(w):
    """It is not acknowledged before it is on the disk; the client sends again."""
    (pid,) = w.gw.daemons("queued")
    tracer = subprocess.Popen(["strace", "-f", "-q", "-o", "/dev/null", "-e", "inject=fdatasync:delay_enter=3000000",
                               "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    if tracer.poll() is not None:
        raise Skip("strace cannot attach: " + tracer.stderr.read())
    said = []

    def client():
        try:
            send(w, FAR, 1)
            said.append(250)
        except (smtplib.SMTPResponseException, OSError) as e:
            said.append(getattr(e, "smtp_code", 0))
    t = threading.Thread(target=client)
    t.start()
    time.sleep(1)
    killed(w)
    t.join(30)
    tracer.communicate(timeout=20)
    assert said and said[0] // 100 == 4, said
    w.empty(30)
    # All of it was written, or nothing: it was not promised.
    assert len(w.outside.mails) <= 1
    w.outside.mails.clear()
    send(w, FAR, 2)
    once(w, w.outside, 2)


@case
def waiting_and_active(w):
    """One is being delivered, and so may arrive twice; others of its destination wait for their turn."""
    w.outside.on("EOD", delay=2, times=1)
    send(w, FAR, 10)
    wait_until(lambda: w.queue("--state", "active"), 10, "a delivery under way")
    for n in (11, 12, 13):
        send(w, FAR, n)
    killed(w)
    for n in (11, 12, 13):
        wait_until(lambda n=n: any(mails.header(m.data, "Subject") == [f"Letter {n}"] for m in w.outside.mails), 30, str(n))
    w.empty(30)
    got = [mails.header(m.data, "Subject")[0] for m in w.outside.mails]
    assert set(got) == {f"Letter {n}" for n in range(10, 14)} and len(got) <= 5 and got.count("Letter 10") <= 2, got


@case
def deferred(w):
    with failing(w.outside, "EOD", LATER):
        send(w, FAR, 20)
        (one,) = wait_until(lambda: w.queue("--state", "deferred"), 10, "an attempt")
        time.sleep(1.2)  # states are synced within a second
        killed(w)
        (again,) = w.queue()
        assert again["queue_id"] == one["queue_id"] and again["attempts"] >= one["attempts"], (one, again)
    once(w, w.outside, 20)


@case
def held(w):
    with failing(w.outside, "EOD", LATER):
        send(w, FAR, 30)
        wait_until(lambda: w.queue("--state", "deferred"), 10, "an attempt")
        w.gw.gwctl("queue", "hold", "--all", "--reason", "over a crash")
        killed(w)
        (q,) = w.queue("--state", "held")
        assert "over a crash" in q["recipients"][0]["delay_reason"], q
    w.gw.gwctl("queue", "release", "--all")
    once(w, w.outside, 30)


@case
def failed(w):
    """Another recipient still waits, so its notice does, too."""
    with failing(w.office, "EOD", LATER):
        with failing(w.outside, "RCPT", NEVER):
            send(w, [FAR, BOB], 40)
            wait_until(lambda: w.queue("--state", "deferred"), 10, "an attempt")
            w.gw.wait_log(rf"to=<{FAR}>, .*status=bounced")
            killed(w)
            # It may be tried again, and fails again; its sender hears of it once.
            time.sleep(0.5)
    wait_until(lambda: any(m.sender == "" for m in w.office.mails), 60, "a notice")
    w.empty(60)
    notices = [m for m in w.office.mails if m.sender == ""]
    assert len(notices) == 1 and FAR.encode() in notices[0].data, [m.data[:300] for m in notices]
    assert sum(m.recipients == [BOB] for m in w.office.mails) == 1


@case
def delivered_and_its_sender_not_yet_told(w):
    w.outside.features.remove("DSN")
    try:
        with failing(w.office, "EOD", LATER):
            send(w, [FAR, BOB], 50, rcpt_options=["NOTIFY=SUCCESS"])
            w.outside.wait_mails(1)
            wait_until(lambda: w.queue("--state", "deferred"), 10, "an attempt")
            killed(w)
        wait_until(lambda: any(m.sender == "" for m in w.office.mails), 60, "a notice")
        w.empty(60)
    finally:
        w.outside.features.append("DSN")
    notices = [m.data for m in w.office.mails if m.sender == ""]
    assert any(b"Action: relayed" in d and FAR.encode() in d for d in notices), notices
    assert len(w.outside.mails) <= 2


@case
def done(w):
    for n in range(60, 65):
        send(w, FAR, n)
    w.outside.wait_mails(5)
    w.empty()
    time.sleep(1.2)
    killed(w)
    time.sleep(1)
    assert w.queue() == [] and len(w.outside.mails) == 5, "what was done came back"


run(world)

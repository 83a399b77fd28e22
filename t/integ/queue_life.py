#!/usr/bin/env python3
"""What becomes of mail in the queue: changes, times, routes, restarts, damage; and gwctl doctor."""

# check: timeout=240

import collections
import contextlib
import ctypes
import email
import glob
import json
import os
import re
import signal
import smtplib
import threading
import time

from pt import QueueSite, case, run
from pt import mails
from pt.relay import failing
from pt.sink import Sink
from pt.terminal import Terminal
from pt.util import wait_until, write
from pt.world import DOMAIN

DORA, BOB = f"dora@{DOMAIN}", f"bob@{DOMAIN}"
MIB = 1 << 20

MORE = """
dns {{
  servers = {{"127.0.0.1@{dns}"}}
}}
limits {{
  message_size = 40M
}}
route "over" {{
  domains = {{"over.test"}}
  servers = {{"20/127.0.0.1:{second}", "10/127.0.0.1:{first}"}}
  tls = none
  reuse = 0
}}
route "back" {{
  domains = {{"back.test"}}
  servers = {{"127.0.0.1:{nobody}"}}
  fallback = {{"127.0.0.1:{second}"}}
  tls = none
  reuse = 0
}}
route "moves" {{
  domains = {{"moves.test"}}
  servers = {{"127.0.0.1:{nobody}"}}
  tls = none
}}
route "by-mx" {{
  domains = {{"broken.test"}}
  tls = none
}}
route "local" {{
  domains = {{"local.test"}}
  servers = {{"127.0.0.1:{lmtp}"}}
  protocol = lmtp
  tls = none
}}
"""

# Where mail comes to, as DNS has it.
NAMES = {
    ("gw.example.test", "A"): ["192.0.2.10"],
    ("10.2.0.192.in-addr.arpa", "PTR"): ["gw.example.test"],
    ("forged.example.test", "A"): ["192.0.2.11"],
    ("11.2.0.192.in-addr.arpa", "PTR"): ["dsl-11.isp.test"],
    ("dsl-11.isp.test", "A"): ["192.0.2.11"],
    ("bare.example.test", "A"): ["192.0.2.12"],
    ("example.test", "MX"): [(10, "gw.example.test")],
    ("example.test", "TXT"): ["v=spf1 mx -all"],
    ("other.test", "MX"): [(10, "mail.other.test")],
    ("none.test", "MX"): [(0, ".")],
    ("none.test", "TXT"): ["v=spf1 -all", "v=spf1 mx ~all"],
    ("broken.test", "A"): ["192.0.2.13"],
}


class Lmtp(Sink):
    """A server of LMTP (RFC 2033).  .answers: {recipient: reply after the final dot}."""

    def __init__(self, **kw):
        self.answers = {}
        super().__init__(**kw)

    def greet(self, c):
        c.reply("220 local.test LMTP")

    def do_ehlo(self, c, _arg):
        c.reply("500 5.5.1 this is LMTP")

    do_helo = do_ehlo

    def do_lhlo(self, c, arg):
        Sink.do_ehlo(self, c, arg)

    def do_data(self, c, _arg):
        mail = c.state.pop("mail")
        c.reply("354 go ahead")
        mail.data = (b"\r\n" + c.dotted()).replace(b"\r\n.", b"\r\n")[2:]
        with self.lock:
            self.mails.append(mail)
            replies = [self.answers.get(r, f"250 2.1.5 <{r}> stored") for r in mail.recipients]
            self.lock.notify_all()
        for reply in replies:
            c.reply(reply)


def more(w):
    w.first, w.second, w.lmtp = w.sink(), w.sink(), Lmtp()
    w.defer(w.lmtp.stop)
    w.names = w.dns(NAMES)
    w.names.fail["broken.test"] = 2
    w.nobody = w.ports.get()
    return MORE.format(dns=w.names.port, first=w.first.port, second=w.second.port, nobody=w.nobody,
                       lmtp=w.lmtp.port)


class Site(QueueSite):
    def before_case(self):
        """What a case that failed left in the queue is not the next one's."""
        super().before_case()
        if self.gw.gwctl("queue", "list", "-q", check=False).stdout:
            self.gw.gwctl("queue", "delete", "--all", "--yes")


def world():
    return Site(users=("bob", "dora"), more=more, outside_more="reuse = 0", office_more="reuse = 0", level="info")


@contextlib.contextmanager
def settings(w, **keys):
    """The gateway with these settings in section queue inside the block; .gw_pieces is its configuration."""
    pieces, lines = w.pieces, ""
    for key, value in keys.items():
        lines += f"  {key} = {value}\n"
        pieces = re.sub(rf"(?m)^  {key} = .*\n", "", pieces)
    w.gw_pieces = pieces.replace("queue {\n", "queue {\n" + lines)
    w.gw.configure(w.gw_pieces)
    w.gw.reload()
    try:
        yield
    finally:
        w.gw.configure(w.pieces)
        w.gw.reload()


@contextlib.contextmanager
def closed(*sinks):
    """These servers take nothing inside the block."""
    with contextlib.ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(failing(sink, "CONNECT", "421 4.3.2 closed for now", close=True))
            stack.enter_context(failing(sink, "MAIL", "421 4.3.2 closed for now", close=True))
        yield


@contextlib.contextmanager
def suspended(w, *sinks):
    """Mail that goes out, or to these servers, waits inside the block, and for long if nobody does something."""
    with settings(w, retry_min=600, retry_max=600), closed(*(sinks or (w.outside,))):
        try:
            yield
        except BaseException:
            w.gw.gwctl("queue", "delete", "--all", "--yes", check=False)
            raise


def letter(to, body="Hello.\n", n=0):
    return mails.plain(DORA, to, subject=f"Letter {n}", body=body)


def deferred(w, count, *filters):
    """The messages once that many have been put off."""
    def there():
        found = w.queue("--state", "deferred", *filters)
        return found if len(found) >= count else None
    return wait_until(there, 10, f"{count} deferred messages")


def act(w, verb, *args, check=True):
    """How many messages gwctl queue has done it to."""
    p = w.gw.gwctl("queue", verb, *args, check=check)
    return int(p.stdout.split()[0])


def ids(found):
    return [m["queue_id"] for m in found]


def subjects(got):
    return sorted(mails.header(m.data, "Subject")[0] for m in got)


# ---- changes ----


@case
def what_waits_is_tried_when_it_is_flushed(w):
    with settings(w, retry_min=600, retry_max=600):
        # One destination is closed, at the other it is the message that is refused.
        with closed(w.outside), failing(w.office, "EOD", "451 4.3.0 not this one"):
            w.send(w.relay, DORA, "a@x.test", letter("a@x.test", n=1))
            w.send(w.relay, DORA, BOB, letter(BOB, n=2))
            found = deferred(w, 2)
            assert all(m["next_attempt"] > time.time() + 500 for m in found), found
        assert act(w, "flush", "--rcpt", BOB) == 1
        assert subjects(w.office.take()) == ["Letter 2"] and not w.outside.mails
        assert act(w, "flush") == 1
        assert subjects(w.outside.take()) == ["Letter 1"]
        with failing(w.office, "EOD", "451 4.3.0 not this one"):
            w.send(w.relay, DORA, BOB, letter(BOB, n=3))
            (one,) = deferred(w, 1)
            act(w, "flush")
            wait_until(lambda: w.queue("--state", "deferred") and w.queue()[0]["attempts"] == 2, 10, "a second attempt")
            act(w, "requeue", one["queue_id"])
            (again,) = wait_until(lambda: w.queue("--state", "deferred"), 10, "an attempt")
            assert again["attempts"] == 1 and again["queue_id"] == one["queue_id"], again
        act(w, "requeue", "--all")
        assert subjects(w.office.take()) == ["Letter 3"]
    w.empty()


@case
def what_is_deleted_is_gone_and_nobody_is_told(w):
    with suspended(w):
        for n in range(6):
            w.send(w.relay, DORA, f"a{n}@{'x' if n < 3 else 'y'}.test", letter("x@x.test", n=n))
        found = deferred(w, 6)
        assert act(w, "delete", "--yes", found[0]["queue_id"]) == 1
        p = w.gw.gwctl("queue", "delete", "--yes", found[0]["queue_id"], check=False)
        assert p.returncode == 65 and found[0]["queue_id"] in p.stderr.decode(), p
        # Without a terminal nobody can be asked.
        p = w.gw.gwctl("queue", "delete", "--destination", "x.test", check=False)
        assert p.returncode == 64 and b"2 messages" in p.stderr and b"--yes" in p.stderr, p
        assert w.gw.gwctl("queue", "delete", check=False).returncode == 64
        assert w.gw.gwctl("queue", "delete", "--yes", check=False).returncode == 64
        assert w.gw.gwctl("queue", "delete", "--all", "--rcpt", "a1@*", "--yes", check=False).returncode == 64
        assert len(w.queue()) == 5
        for answer, code, left in (("no", 77, 5), ("yes", 0, 3)):
            with Terminal(w.gw.command("gwctl", "queue", "delete", "--destination", "x.test")) as t:
                t.expect("2 messages will be deleted")
                t.type(answer + "\n")
                assert t.finish() == code, t.text
            assert len(w.queue()) == left, answer
        assert act(w, "delete", "--yes", found[3]["queue_id"][:-4] + "*") >= 1
        act(w, "delete", "--all", "--yes")
        assert not w.queue()
    w.send(w.relay, DORA, "a9@x.test", letter("x@x.test", n=9))
    assert subjects(w.outside.take()) == ["Letter 9"]
    w.empty()
    assert not w.office.mails and not w.outside.mails, "somebody was told"


# ---- times ----


@case
def the_urgent_go_first(w):
    """Notices may wait: letters that came later pass them."""
    with settings(w, concurrency=1, retry_min=600, retry_max=600), closed(w.office):
        with failing(w.outside, "RCPT", "550 5.1.1 no such user"):
            for n in range(8):
                w.send(w.relay, DORA, f"a{n}@x.test", letter("x@x.test", n=n))
            deferred(w, 8, "--sender", "<>")
        for n in range(8):
            w.send(w.relay, DORA, BOB, letter(BOB, n=n))
        deferred(w, 8, "--sender", DORA)
        w.office.clear()
        act(w, "flush")
        got = w.office.take(16)
        w.empty()
    # One in ten is of those that wait, whatever there is.
    assert sum(m.sender == "" for m in got[:8]) <= 2, [m.sender for m in got]


@case
def attempts_come_with_longer_and_longer_pauses(w):
    times = []

    def note(_arg):
        times.append(time.time())
        return len(times) < 3
    with settings(w, retry_min=1, retry_max=2), failing(w.office, "EOD", "451 4.3.0 later", match=note):
        w.send(w.relay, DORA, BOB, letter(BOB))
        (one,) = deferred(w, 1)
        assert one["attempts"] == 1 and "later" in one["recipients"][0]["delay_reason"], one
        w.office.take()
    w.empty()
    pauses = [b - a for a, b in zip(times, times[1:])]
    assert len(pauses) == 2 and pauses[0] >= 0.99 and pauses[1] >= 1.99, pauses


@case
def what_is_too_old_is_told_of_once_and_returned(w):
    with settings(w, lifetime=4, bounce_lifetime=2, delay_warning=1):
        w.outside.on("EOD", reply="451 4.3.0 try again", times=None)
        w.outside.on("RCPT", reply="550 5.1.1 unknown", times=None, match=lambda a: b"gone@" in a)
        w.send(w.relay, DORA, "slow@x.test", letter("slow@x.test"), mail_options=["ENVID=e4711"],
               rcpt_options=["NOTIFY=DELAY,FAILURE"])
        w.send(w.relay, DORA, "silent@x.test", letter("silent@x.test"), rcpt_options=["NOTIFY=FAILURE"])
        # A notice that nobody takes is dropped when its own time is over.
        with failing(w.office, "EOD", "451 4.3.0 full"):
            w.send(w.relay, DORA, "gone@x.test", letter("gone@x.test"))
            notice = wait_until(lambda: w.queue("--sender", "<>"), 5, "a notice")[0]["queue_id"]
            w.gw.wait_log(rf"{notice}: .*dropped", 20)
        told = w.office.take(3, seconds=20)
        w.empty()
        time.sleep(0.3)
        assert not w.office.mails, "told more than once"
    kinds = collections.Counter()
    for m in told:
        assert m.sender == "" and m.recipients == [DORA]
        status = email.message_from_bytes(m.data).get_payload()[1].get_payload()
        fields = {k.lower(): v for part in status for k, v in part.items()}
        kinds[fields["action"], fields["final-recipient"]] += 1
        assert "try again" in fields["diagnostic-code"], fields
        assert fields["status"] == "5.4.7" if fields["action"] == "failed" else fields["status"][0] == "4", fields
        if "slow@" in fields["final-recipient"]:
            assert fields["original-envelope-id"] == "e4711"
    assert kinds == {("delayed", "rfc822; slow@x.test"): 1, ("failed", "rfc822; slow@x.test"): 1,
                     ("failed", "rfc822; silent@x.test"): 1}, kinds
    assert re.search(rf"from=<{DORA}>, status=expired, returned to sender", w.gw.settled_log())


# ---- routes ----


@case
def the_second_server_is_for_when_the_first_is_of_no_use(w):
    w.send(w.relay, DORA, "a@over.test", letter("a@over.test", n=1))
    assert subjects(w.first.take()) == ["Letter 1"]
    at = len(w.gw.log_text())
    with closed(w.first):
        w.send(w.relay, DORA, "a@over.test", letter("a@over.test", n=2))
        assert subjects(w.second.take()) == ["Letter 2"]
        w.empty()
    log = w.gw.settled_log(at)
    assert "status=deferred" not in log and f"relay=127.0.0.1[127.0.0.1]:{w.second.port}" in log
    w.send(w.relay, DORA, "b@back.test", letter("b@back.test", n=3))
    assert subjects(w.second.take()) == ["Letter 3"]
    w.empty()
    # A server's word about a recipient counts, and no other server is asked.
    with failing(w.first, "RCPT", "550 5.1.1 unknown"), failing(w.second, "RCPT", "550 5.1.1 unknown"):
        before = w.first.connections, w.second.connections
        w.send(w.relay, DORA, "c@over.test", letter("c@over.test", n=4))
        assert "Undelivered" in subjects(w.office.take())[0]
        assert (w.first.connections - before[0]) + (w.second.connections - before[1]) == 1
    w.empty()


@case
def each_recipient_of_lmtp_has_its_own_answer(w):
    w.lmtp.answers = {"full@local.test": "452 4.2.2 over quota", "gone@local.test": "550 5.1.1 no mailbox"}
    to = ["good@local.test", "full@local.test", "gone@local.test"]
    w.send(w.relay, DORA, to, letter(to))
    got = w.lmtp.take()[0]
    assert sorted(got.recipients) == sorted(to)
    (left,) = wait_until(lambda: [m for m in w.queue("--sender", DORA) if m["recipients_left"] == 1], 10, "one left")
    assert left["recipients"][0]["address"] == "full@local.test" and "over quota" in str(left)
    report = w.office.take()[0]
    assert report.sender == "" and b"gone@local.test" in report.data and b"no mailbox" in report.data
    assert b"full@local.test" not in mails.split_head(report.data)[1].split(b"message/delivery-status")[1].split(b"\r\n--")[0]
    w.lmtp.answers.clear()
    act(w, "flush")
    w.empty()
    arrived = [r for m in w.lmtp.take(0) for r in m.recipients]
    assert arrived.count("full@local.test") >= 1 and set(arrived) == {"full@local.test"}, arrived


@case
def names_that_cannot_be_looked_up_put_mail_off_however_often(w):
    """The failure comes from the resolver's memory the second time; it must not look like a domain that is not there."""
    with settings(w, retry_min=600, retry_max=600):
        for n in range(3):
            w.send(w.relay, DORA, "a@broken.test", letter("a@broken.test", n=n))
            found = deferred(w, n + 1)
            act(w, "flush")
        found = deferred(w, 3)
        assert all("Name service error" in m["recipients"][0]["delay_reason"] for m in found), found
        act(w, "delete", "--all", "--yes")
    assert not w.office.mails


@case
def mail_that_waits_follows_a_change_of_its_route(w):
    keys = {"retry_min": 600, "retry_max": 600}
    with settings(w, **keys):
        for n in range(10):
            w.send(w.relay, DORA, "a@moves.test", letter("a@moves.test", n=n))
        deferred(w, 10)
        # The same route has another server: what waits for it is tried at once.
        w.gw.configure(w.gw_pieces.replace(f'"127.0.0.1:{w.nobody}"}}\n  tls = none\n}}\nroute "by-mx"',
                                           f'"127.0.0.1:{w.second.port}"}}\n  tls = none\n}}\nroute "by-mx"'))
        w.gw.reload()
        got = w.second.take(1)
        act(w, "flush")
        if len(got) < 10:
            got += w.second.take(10 - len(got))
        w.empty()
    with settings(w, **keys):
        w.send(w.relay, DORA, "c@moves.test", letter("c@moves.test", n=3))
        deferred(w, 1)
        # Another route takes the domain.
        w.gw.configure(w.gw_pieces.replace('domains = {"moves.test"}', 'domains = {"moved.test"}'))
        w.gw.reload()
        act(w, "requeue", "--all")
        assert subjects(w.outside.take()) == ["Letter 3"]
        w.empty()


# ---- large, full, stopped ----


@case
def large_mail_passes_and_a_full_queue_refuses_until_there_is_room(w):
    line = b"0123456789abcdef" * 4 + b"\r\n"
    large = [letter("x@x.test", n=n).split(b"\r\n\r\n")[0] + b"\r\n\r\n" + line * (20 * MIB // len(line)) for n in range(5)]
    with settings(w, size="64M", retry_min=600, retry_max=600):
        with closed(w.outside):
            sent = []
            for data in large:
                try:
                    w.send(w.relay, DORA, "a@x.test", data, timeout=60)
                except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as e:
                    assert e.smtp_code == 452, e
                    break
                sent.append(data)
            assert 1 <= len(sent) < len(large), len(sent)
            deferred(w, len(sent))
        act(w, "flush")
        got = [m.data for m in w.outside.take(len(sent), seconds=60)]
        assert all(any(d.endswith(data) for d in got) for data in sent), "large mail was changed"
        w.empty()
        w.send(w.relay, DORA, "b@x.test", letter("b@x.test", n=9))
        assert subjects(w.outside.take()) == ["Letter 9"]
    w.empty()


def snapshot(w):
    return [(m["queue_id"], m["sender"], m["message_size"], m["arrival_time"], m["priority"],
             [(r["address"], "held" if r["state"] == "held" else "") for r in m["recipients"]]) for m in w.queue()]


@case
def a_restart_changes_nothing_in_the_queue(w):
    big = b"Subject: Letter 9\r\n\r\n" + os.urandom(MIB // 2).hex(" ", 30).replace(" ", "\r\n").encode() + b"\r\n"
    with suspended(w):
        for n in range(3):
            w.send(w.relay, DORA, [f"a{n}@x.test", BOB], letter("x@x.test", n=n))
        w.send(w.relay, DORA, "big@x.test", big)
        w.office.take(3)
        found = deferred(w, 4)
        act(w, "hold", "--reason", "over night", found[1]["queue_id"])
        act(w, "delete", "--yes", found[2]["queue_id"])
        before = snapshot(w)
        assert len(before) == 3
        raw = {i: w.gw.gwctl("queue", "show", "--raw", i).stdout for i, *_ in before}
        assert w.gw.stop() == 0
        w.gw.start()
        wait_until(lambda: w.gw.gwctl("queue", "list", check=False).returncode == 0, 10, "queued")
        deferred(w, 2)
        assert snapshot(w) == before
        assert raw == {i: w.gw.gwctl("queue", "show", "--raw", i).stdout for i, *_ in before}
        assert "over night" in str(w.queue("--state", "held"))
    act(w, "release", "--all")
    act(w, "flush")
    got = w.outside.take(3)
    w.empty()
    assert {m.data for m in got} == set(raw.values())
    assert not w.office.mails and not w.outside.mails, "something came twice"


@case
def a_gateway_that_ends_under_load_finishes_what_it_does(w):
    acked, lock, stop = set(), threading.Lock(), threading.Event()

    def sender(k):
        n = 0
        try:
            with smtplib.SMTP("127.0.0.1", w.relay, local_hostname="host.test", timeout=20) as s:
                while not stop.is_set():
                    n += 1
                    s.sendmail(DORA, [f"r{k}@d{n % 5}.test"], b"Subject: %d-%d\r\n\r\nx\r\n" % (k, n))
                    with lock:
                        acked.add(f"{k}-{n}")
        except (OSError, smtplib.SMTPException):
            pass
    w.outside.on("EOD", times=None, delay=0.02)
    threads = [threading.Thread(target=sender, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    w.outside.wait_mails(100)
    assert w.gw.stop(signal.SIGTERM) == 0
    stop.set()
    for t in threads:
        t.join(30)
    w.outside.clear()
    arrived = len(w.outside.mails)
    p = w.gw.gwctl("queue", "check", check=False)
    assert p.returncode == 0 and b"no fault was found" in p.stdout, p
    w.gw.start()
    w.empty(30)
    got = collections.Counter(subjects(w.outside.take(0)))
    print(f"  {len(acked)} acknowledged, {arrived} delivered before the end")
    assert acked <= set(got), f"{len(acked - set(got))} are lost"
    assert max(got.values()) == 1, [s for s, n in got.items() if n > 1]


@case
def a_damaged_queue_is_told_of_and_what_can_be_read_is_kept(w):
    p = w.gw.gwctl("queue", "check", check=False)
    assert p.returncode == 75 and b"queued is at work" in p.stderr, p
    with suspended(w):
        for n in range(20):
            w.send(w.relay, DORA, f"a{n}@x.test", letter("x@x.test", n=n, body=f"marker-{n:02d}.\n" * 3000))
        deferred(w, 20)
        assert act(w, "hold", "--all") == 20
        w.gw.stop()
        assert b"no fault was found" in w.gw.gwctl("queue", "check").stdout
        hit = 0
        for path in glob.glob(os.path.join(w.gw.spool, "queue", "segment.*")):
            with open(path, "r+b") as f:
                data = f.read()
                at = data.find(b"marker-07.\r\n" * 2000)
                if at > 0:
                    f.seek(at + 100)
                    f.write(b"#")
                    hit += 1
        assert hit >= 1
        p = w.gw.gwctl("queue", "check", check=False)
        assert p.returncode == 65 and b"--repair" in p.stderr, p
        assert re.search(rb"(?m)^segment\.\d+: .* damaged: from <dora@example\.test> to <a7@x\.test>$", p.stdout), p
        again = w.gw.gwctl("queue", "check", check=False)
        assert (again.returncode, again.stdout) == (65, p.stdout), "a check without --repair changes something"
        # Without a repair it is never sent.
        w.gw.start()
        wait_until(lambda: w.gw.gwctl("queue", "list", check=False).returncode == 0, 10, "queued")
        assert len(w.queue("--state", "held")) == 20
        act(w, "release", "--rcpt", "a7@x.test")
        wait_until(lambda: "damaged" in str(w.queue("--state", "held", "--rcpt", "a7@x.test")), 10, "a message on hold")
        assert act(w, "delete", "--yes", "--rcpt", "a1?@x.test") == 10
        w.gw.stop()
        p = w.gw.gwctl("queue", "check", "--repair")
        assert b"repaired" in p.stdout and b"a7@x.test" in p.stdout, p
        assert glob.glob(os.path.join(w.gw.spool, "queue", "damaged.*")), "what was damaged is not kept"
        p = w.gw.gwctl("queue", "check", check=False)
        assert p.returncode == 0 and b"no fault was found" in p.stdout, p
        w.gw.start()
        wait_until(lambda: w.gw.gwctl("queue", "list", check=False).returncode == 0, 10, "queued")
        assert sorted(r["address"] for m in w.queue("--state", "held") for r in m["recipients"]) == \
            [f"a{n}@x.test" for n in range(10) if n != 7]
    act(w, "release", "--all")
    got = w.outside.take(9)
    w.empty()
    assert subjects(got) == [f"Letter {n}" for n in range(10) if n != 7]
    assert all(m.data.endswith(b"marker-%02d.\r\n" % int(m.recipients[0][1]) * 3000) for m in got)


# ---- doctor ----


def doctor(w, *areas, config=None, hostname=None, check=None):
    """What gwctl doctor finds in a configuration (that of the gateway), as {(level, area, about): (text, remedy)}."""
    keep = w.gw.hostname
    if config is not None or hostname is not None:
        w.gw.hostname = hostname or keep
        w.gw.configure(config or w.pieces)
        w.gw.hostname = keep
    try:
        p = w.gw.gwctl("doctor", "--json", *areas, check=False)
    finally:
        if config is not None or hostname is not None:
            w.gw.configure(w.pieces)
    found = json.loads(p.stdout)["findings"]
    assert p.returncode == (1 if any(f["level"] == "wrong" for f in found) else 0), p
    assert all(f["remedy"] for f in found if f["level"] == "wrong"), found
    assert all(f["area"] in areas for f in found if areas), found
    assert check is None or p.returncode == check, p.stdout
    return {(f["level"], f["area"], f["about"]): (f["text"], f["remedy"]) for f in found}


def one(found, level, area, about=""):
    """The text and remedy of the finding about something."""
    hits = [v for (g, a, b), v in found.items() if g == level and a == area and about in b]
    assert len(hits) == 1, (level, area, about, found)
    return " -> ".join(hits[0])


@case
def the_doctor_finds_nothing_wrong_where_all_is_well(w):
    found = doctor(w, "config", "daemons", "ports", check=0)
    assert [k for k in found if k[0] != "good" and k[1] != "daemons"] == [], found
    assert "answers" in one(found, "good", "ports", "connector mx")
    assert "answers" in one(found, "good", "ports", "connector relay")
    found = doctor(w, "dns")
    assert "there and back" in one(found, "good", "dns", "192.0.2.10"), found
    assert "has us as MX" in one(found, "good", "dns", "example.test"), found
    text = w.gw.gwctl("doctor", "config", "ports").stdout.decode()
    assert re.search(r"^good +ports +connector mx, 127\.0\.0\.1:\d+: answers$", text, re.M), text
    assert text.endswith("0 wrong, 0 to be noted\n")
    assert w.gw.gwctl("doctor", "-q", "config", "ports").stdout == b""
    assert w.gw.gwctl("doctor", "-q", "--json", check=False).returncode == 64
    p = w.gw.gwctl("doctor", "stars", check=False)
    assert p.returncode == 64 and b"stars" in p.stderr and b"config, daemons" in p.stderr, p


@case
def the_doctor_finds_what_is_wrong_with_names(w):
    w.gw.gwctl("domain", "add", "none.test", "broken.test", "bare.test")
    try:
        doctor(w, "dns", check=1)
        p = json.loads(w.gw.gwctl("doctor", "dns", "--json", check=False).stdout)["findings"]
        said = collections.defaultdict(list)
        for f in p:
            said[f["about"]].append((f["level"], f["text"]))
        assert any(g == "wrong" and "takes no mail" in t for g, t in said["none.test"]), said
        assert any(g == "wrong" and "2 SPF records" in t for g, t in said["none.test"]), said
        assert any(g == "wrong" and "cannot be looked up" in t for g, t in said["broken.test"]), said
        assert any(g == "note" and "has no MX record" in t for g, t in said["bare.test"]), said
        assert any(g == "note" and "mail does not come here" in t for g, t in said["other.test"]), said
        assert any(g == "note" and "no SPF record" in t for g, t in said["other.test"]), said
        quiet = w.gw.gwctl("doctor", "-q", "dns", check=False)
        assert quiet.returncode == 1 and b"good" not in quiet.stdout and b"-> " in quiet.stdout
    finally:
        w.gw.gwctl("domain", "del", "none.test", "broken.test", "bare.test")
    assert "is called dsl-11.isp.test" in one(doctor(w, "dns", hostname="forged.example.test"), "note", "dns", "192.0.2.11")
    assert "no name that leads back" in one(doctor(w, "dns", hostname="bare.example.test", check=1), "wrong", "dns", "192.0.2.12")
    assert "has no address" in one(doctor(w, "dns", hostname="nowhere.example.test", check=1), "wrong", "dns", "nowhere.")


@case
def the_doctor_finds_what_is_wrong_here(w):
    bad = w.pieces.replace("service = mx\n", "service = mx\n  colour = red\n")
    assert re.search(r"postern\.conf:\d+: .*colour", one(doctor(w, "config", config=bad, check=1), "wrong", "config"))
    assert "postern.conf" in str(doctor(w, config=bad, check=1))
    # A connector that the gateway does not know yet.
    port = w.ports.get()
    more = w.pieces + f'connector "later" {{\n  service = relay\n  listen = {{"127.0.0.1:{port}"}}\n  tls = disabled\n  relay_clients = {{"127.0.0.1"}}\n}}\n'
    found = doctor(w, "ports", config=more, check=1)
    assert "Connection refused" in one(found, "wrong", "ports", "connector later") and "reload" in str(found)
    # Certificates of all kinds.
    kinds = {"there": w.ca.issue("there", names=("gw.example.test",)), "old": w.ca.issue("old", expired=True),
             "alien": w.ca.issue("alien", names=("mail.elsewhere.test",)), "none": (w.path("none.pem"), None),
             "junk": (write(w.path("junk.pem"), "no certificate\n"), None)}
    more = w.pieces + "".join(
        f'connector "c-{k}" {{\n  service = relay\n  listen = {{"127.0.0.1:{w.ports.get()}"}}\n'
        f'  certificates = {{"{v[0]}"}}\n  relay_clients = {{"127.0.0.1"}}\n}}\n' for k, v in kinds.items())
    found = doctor(w, "tls", config=more, check=1)
    assert "is good for" in one(found, "good", "tls", "c-there"), found
    assert "ended" in one(found, "wrong", "tls", "c-old") and "renew" in one(found, "wrong", "tls", "c-old")
    assert "is not for gw.example.test" in one(found, "note", "tls", "c-alien")
    assert "No such file" in one(found, "wrong", "tls", "c-none")
    assert "no certificate" in one(found, "wrong", "tls", "c-junk")
    assert "no TLS" in one(found, "note", "tls", "relay")
    # The clock is what the kernel says of it.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    found = doctor(w, "clock")
    level = next(iter(found))[0]
    assert len(found) == 1 and (level == "good") == (0 <= state < 5), (state, found)
    # Room: more than there is must stay free.
    found = doctor(w, "spool", config=w.pieces.replace("queue {\n", "queue {\n  min_free = 1000G\n"), check=1)
    assert re.search("mail is refused below|is in memory", one(found, "wrong", "spool", w.gw.spool)), found
    w.gw.keyctl("lock")
    try:
        assert "keyctl unlock" in one(doctor(w, "daemons", check=1), "wrong", "daemons", "cryptod")
    finally:
        w.gw.keyctl("unlock", "--key-file", w.key_file)
    old = w.gw.kill("dnsd")
    w.gw.wait_daemon("dnsd", other_than=old)
    assert "started anew" in one(doctor(w, "daemons"), "note", "daemons", "dnsd")


@case
def the_doctor_says_when_the_gateway_does_not_run(w):
    w.gw.stop()
    try:
        found = doctor(w, check=1)
        assert "start" in one(found, "wrong", "daemons", "master")
        assert not [k for k in found if k[1] in ("ports", "dns")] and [k for k in found if k[1] == "tls"], found
    finally:
        w.gw.start()


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""Every daemon is killed while mail flows both ways: nothing is lost, nothing is shown sealed."""

import itertools
import poplib
import re
import signal
import smtplib
import threading
import time

from pt import Site, case, run
from pt import clients, mails
from pt.util import children, kill, wait_until

PAT, ALICE = "pat@partner.test", "alice@example.test"
DAEMONS = ("cryptod", "policyd", "filterd", "pop3d", "smtpd", "dnsd", "logd")
SENDERS, READERS = 2, 2
BACK = 1.0  # seconds in which a killed daemon is there again


def world():
    w = Site(keys=("alice",))
    w.pat = w.outsider("pat")
    w.letters = [mails.plain(PAT, ALICE, f"Letter {n}", f"secret number {n}\n" * 40) for n in range(3)]
    for letter in w.letters:
        w.imap.deliver("alice", mails.pgp_encrypted(w.pat, letter, [ALICE], sign=PAT))
    w.shown = sorted(w.fetch("alice"))
    assert all(b"secret number" in m and b"BEGIN PGP" not in m for m in w.shown)
    return w


class Traffic:
    """Clients that send and fetch without a pause; what they saw is counted."""

    def __init__(self, w):
        self.w = w
        self.stop = threading.Event()
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.accepted, self.unsure, self.deferred = set(), set(), []
        self.fetched, self.put_off, self.wrong = 0, [], []
        self.threads = [threading.Thread(target=self._loop, args=(f,), daemon=True)
                        for f in [self.send] * SENDERS + [self.fetch] * READERS]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_exc):
        self.stop.set()
        for t in self.threads:
            t.join(30)

    def _loop(self, once):
        while not self.stop.is_set():
            try:
                once()
            except Exception as e:  # pylint: disable=broad-except
                with self.lock:
                    self.wrong.append(f"{once.__name__}: {e!r}")
            time.sleep(0.01)

    def send(self):
        """One letter; only a passing failure or a lost connection may keep it from being taken."""
        n = next(self.numbers)
        data = mails.plain(f"Alice <{ALICE}>", PAT, f"Number {n}", f"<<{n}>> confidential\n" * 20)
        try:
            self.w.send("alice", PAT, data, timeout=20)
        except (smtplib.SMTPServerDisconnected, ConnectionError, TimeoutError, smtplib.SMTPConnectError) as e:
            with self.lock:
                self.unsure.add(n)
                self.deferred.append(repr(e))
            return
        except smtplib.SMTPRecipientsRefused as e:
            code, text = next(iter(e.recipients.values()))
        except smtplib.SMTPResponseException as e:
            code, text = e.smtp_code, e.smtp_error
        else:
            with self.lock:
                self.accepted.add(n)
            return
        with self.lock:
            # smtplib makes -1 of a reply that was cut off.
            (self.deferred if 400 <= code <= 499 or code == -1 else self.wrong).append(f"{code} {text}")
            if code == -1:
                self.unsure.add(n)

    def fetch(self):
        """The mailbox; each message as it should be, or a passing failure."""
        try:
            p = poplib.POP3("127.0.0.1", self.w.retrieval, timeout=20)
        except (poplib.error_proto, OSError, EOFError) as e:
            self._failed(e)
            return
        try:
            p.user("alice")
            p.pass_(self.w.users["alice"])
            for n in range(1, p.stat()[0] + 1):
                self._message(p, n)
            p.quit()
        except (poplib.error_proto, OSError, EOFError) as e:
            self._failed(e)
        finally:
            p.close()

    def _message(self, p, n):
        try:
            data = b"".join(line + b"\r\n" for line in p.retr(n)[1])
        except poplib.error_proto as e:
            self._failed(e)
            return
        with self.lock:
            if data in self.w.shown:
                self.fetched += 1
            else:
                self.wrong.append(f"message {n}: {data[:2000]!r}")

    def _failed(self, e):
        """An answer that is no success says that it passes."""
        text = str(e)
        with self.lock:
            good = not isinstance(e, poplib.error_proto) or "-ERR [SYS/TEMP]" in text or "EOF" in text
            (self.put_off if good else self.wrong).append(text)

    def counts(self):
        with self.lock:
            return len(self.accepted), self.fetched

    def goes_on(self, seconds, text):
        """Wait until something more was sent and fetched."""
        a, f = self.counts()
        wait_until(lambda: all(x > y for x, y in zip(self.counts(), (a, f))), seconds, text)


def numbers_of(w, arrived):
    """Which letters arrived, opened with gpg; fails on one that is not sealed."""
    found = {}
    for m in arrived:
        assert mails.is_pgp_encrypted(m.data) and b"confidential" not in m.data, m.data[:3000]
        part, status = mails.open_pgp(w.pat, m.data)
        assert "GOODSIG" in status, status
        n = int(re.search(rb"<<(\d+)>>", part)[1])
        found[n] = found.get(n, 0) + 1
    return found


def settle(w, t):
    """After the traffic: what was accepted arrived, and nothing else but what was in doubt."""
    assert not t.wrong, "\n".join(t.wrong[:5])
    # The last ones are on their way through Postfix.
    w.partner.wait(lambda: len(w.partner.mails) >= len(t.accepted), 20, f"{len(t.accepted)} mails")
    wait_until(lambda: not w.mta.queue(), 20, "an empty queue")
    found = numbers_of(w, w.partner.take(0))
    lost = t.accepted - set(found)
    assert not lost, f"lost: {lost}"
    assert set(found) <= t.accepted | t.unsure, set(found) - t.accepted - t.unsure
    assert all(k == 1 for n, k in found.items() if n in t.accepted), "delivered twice"


@case
def nothing_is_lost_or_shown_sealed(w):
    with Traffic(w) as t:
        t.goes_on(10, "traffic")
        for name in DAEMONS:
            old = w.gw.kill(name, signal.SIGKILL)
            w.gw.wait_daemon(name, other_than=old, seconds=BACK, count=len(old))
            t.goes_on(5, f"traffic after the end of {name}")
            time.sleep(0.2)
    settle(w, t)
    assert len(t.accepted) > 20 and t.fetched > 20, t.counts()


@case
def workers_die_and_their_messages_are_deferred(w):
    with Traffic(w) as t:
        t.goes_on(10, "traffic")
        for _ in range(10):
            dispatcher = w.gw.daemons("filterd")[0]
            for zygote in children(dispatcher):
                for pid in children(zygote) or [zygote]:
                    kill(pid, signal.SIGKILL)
            time.sleep(0.15)
        t.goes_on(10, "traffic after the end of the workers")
    settle(w, t)


@case
def the_log_has_what_was_taken(w):
    """smtpd ends at the very moment of its 250: what became of the message is not lost with it."""
    time.sleep(3)
    for n in range(3):
        start = len(w.gw.log_text())
        pids = w.gw.daemons("smtpd")
        with smtplib.SMTP("127.0.0.1", w.submission, timeout=20) as c:
            c.login(*w.login("alice"))
            c.mail(ALICE)
            c.rcpt(PAT)
            assert c.data(mails.plain(ALICE, PAT, f"Taken {n}"))[0] == 250
            for pid in pids:
                kill(pid, signal.SIGKILL)
            c.close()
        w.gw.wait_log(f"to=<{PAT}>, .*status=sent", start=start)
        w.gw.wait_daemon("smtpd", other_than=pids, seconds=5 * BACK, count=len(pids))
    w.partner.wait(lambda: len(w.partner.mails) >= 3, 20, "3 mails")
    w.partner.take(0)


@case
def several_at_once(w):
    time.sleep(3)
    with Traffic(w) as t:
        t.goes_on(10, "traffic")
        for names in (("cryptod", "policyd"), ("filterd", "smtpd", "pop3d"), ("logd", "dnsd")):
            old = {name: w.gw.kill(name, signal.SIGKILL) for name in names}
            for name, pids in old.items():
                w.gw.wait_daemon(name, other_than=pids, seconds=5 * BACK, count=len(pids))
            t.goes_on(10, f"traffic after the end of {names}")
    settle(w, t)


@case
def a_stopped_daemon_is_a_passing_failure(w):
    """Stopped, not dead: nobody waits for ever for it, and nothing goes out in clear."""
    for name in ("cryptod", "policyd"):
        pids = w.gw.kill(name, signal.SIGSTOP)
        try:
            with clients.Raw(w.retrieval, timeout=40) as c:
                c.pop()
                c.pop("USER alice")
                first = c.pop(f"PASS {w.users['alice']}")[0]
                if first.startswith("+OK"):
                    first, body = c.pop("RETR 1", multi=True)
                    assert b"BEGIN PGP" not in body
                assert first.startswith("-ERR [SYS/TEMP]"), (name, first)
            code = w.refusal("alice", PAT, mails.plain(ALICE, PAT), timeout=40)[0]
            assert 400 <= code <= 499, (name, code)
        finally:
            for pid in pids:
                kill(pid, signal.SIGCONT)
        assert sorted(w.fetch("alice")) == w.shown, name
        w.send("alice", PAT, mails.plain(ALICE, PAT, "after"))
        assert mails.is_pgp_encrypted(w.partner.take()[-1].data)


if __name__ == "__main__":
    run(world)

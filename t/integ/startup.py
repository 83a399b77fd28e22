#!/usr/bin/env python3
"""Configurations and databases that are not right, reloads, and a gateway that is not root's."""

import base64
import os
import re
import signal
import socket
import time

from pt import Site, case, run
from pt import clients, mails
from pt.gateway import ordinary_user
from pt.util import listening, read, wait_until, write

ALICE, PAT, QUINN = "alice@example.test", "pat@partner.test", "quinn@partner.test"
EX_CONFIG = 78


def world():
    w = Site(smtp_port=peer, pop3_port=lambda w: w.fakepop().port, users=("alice",), keys=("alice",))
    return w


def peer(w):
    w.peer = w.sink(users=w.users)
    return w.peer.port


def connector(name, listen, more="", to="office-smtp"):
    """A section of postern.conf."""
    return (f'connector "{name}" {{\n  service = smtp\n  listen = {{"{listen}"}}\n  peer = "{to}"\n'
            f"  tls = disabled\n  {more}\n}}\n").encode()


def works(w):
    """One message passes; it is signed."""
    w.send("alice", QUINN, mails.plain(ALICE, QUINN))
    got = w.peer.take()[0]
    return mails.parse(got.data).get_content_type() == "multipart/signed"


def refuses_to_start(w):
    """master's output when it ends instead of becoming ready."""
    try:
        w.gw.start(seconds=15)
    except RuntimeError as e:
        return str(e)
    except TimeoutError as e:
        raise AssertionError("neither ready nor ended") from e
    w.gw.stop()
    raise AssertionError("it started")


@case
def mistakes_are_told_with_file_and_line(w):
    good = w.pieces
    for wrong, says in (("nonsense = 1\n", "nonsense"),
                        ("limits {\n  recipients = many\n}\n", "many"),
                        ("limits {\n  recipients = -5\n}\n", "-5"),
                        (connector("x", "127.0.0.1:2", to="nobody").decode(), "nobody"),
                        (connector("x", f"127.0.0.1:{w.submission}").decode(), str(w.submission)),
                        ('peer "far" {\n  service = smtp\n  host = "192.0.2.1"\n  port = 25\n  tls = none\n}\n', "tls")):
        path = w.gw.conf
        kept = read(path)
        try:
            w.gw.configure(good + wrong)
            p = w.gw.gwctl("config", "check", check=False)
            text = (p.stdout + p.stderr).decode()
            assert p.returncode == EX_CONFIG, (wrong, p.returncode, text)
            assert re.search(rf"{re.escape(path)}:\d+", text) and says in text, (wrong, text)
            again = w.gw.gwctl("reload", check=False)
            assert again.returncode != 0, "a reload with a broken configuration succeeded"
        finally:
            write(path, kept)
        assert works(w)


@case
def dump_is_read_back_the_same(w):
    first = w.gw.gwctl("config", "dump").stdout
    kept = read(w.gw.conf)
    try:
        write(w.gw.conf, first)
        assert w.gw.gwctl("config", "dump").stdout == first
    finally:
        write(w.gw.conf, kept)


@case
def reload_binds_and_releases_listeners(w):
    more = w.ports.get()
    kept = read(w.gw.conf)
    try:
        write(w.gw.conf, kept + connector("more", f"127.0.0.1:{more}"))
        w.gw.gwctl("reload")
        wait_until(lambda: listening(more), 5, "the new listener")
        assert works(w)
    finally:
        write(w.gw.conf, kept)
    w.gw.gwctl("reload")
    wait_until(lambda: not listening(more), 5, "the end of the listener")
    assert works(w)


@case
def listens_on_ipv6_too(w):
    port = w.ports.get("::1")
    kept = read(w.gw.conf)
    try:
        write(w.gw.conf, kept + connector("six", f"[::1]:{port}", 'clients = {"::1"}'))
        w.gw.gwctl("reload")
        clients.send(port, ALICE, QUINN, mails.plain(ALICE, QUINN), login=w.login("alice"), host="::1")
        assert mails.parse(w.peer.take()[0].data).get_content_type() == "multipart/signed"
        w.gw.wait_log(r"unknown\[(IPv6:)?::1\]")
    finally:
        write(w.gw.conf, kept)
    w.gw.gwctl("reload")


@case
def a_port_in_use_is_named(w):
    w.gw.stop()
    with socket.create_server(("127.0.0.1", w.submission)):
        text = refuses_to_start(w)
    assert str(w.submission) in text and "submission" in text, text
    w.gw.start()
    assert works(w)


@case
def sessions_survive_a_reload_that_takes_their_listener(w):
    """Nobody new comes in, whoever is there finishes; the others do not notice."""
    more = w.ports.get()
    kept = read(w.gw.conf)
    write(w.gw.conf, kept + connector("more", f"127.0.0.1:{more}"))
    w.gw.gwctl("reload")
    with clients.Raw(more) as inside, clients.Raw(w.submission) as beside, clients.Raw(w.retrieval) as pop:
        for c in (inside, beside):
            assert c.smtp()[0] == 220
            c.smtp("EHLO client.test")
            c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))
        pop.pop()
        pop.pop("USER alice")
        assert pop.pop(f"PASS {w.users['alice']}")[0].startswith("+OK")
        pids = w.gw.daemons()
        write(w.gw.conf, kept)
        w.gw.gwctl("reload")
        wait_until(lambda: not listening(more), 5, "the end of the listener")
        for c in (inside, beside):
            assert c.smtp(f"MAIL FROM:<{ALICE}>")[0] == 250
            assert c.smtp(f"RCPT TO:<{QUINN}>")[0] == 250
            assert c.smtp("DATA")[0] == 354
            assert c.smtp(mails.plain(ALICE, QUINN) + b".\r\n")[0] == 250
            assert c.smtp("QUIT")[0] == 221
        assert pop.pop("STAT")[0].startswith("+OK")
        assert pop.pop("QUIT")[0].startswith("+OK")
        assert w.gw.daemons() == pids, "a daemon was started anew"
    w.peer.take(2)


@case
def a_reload_changes_limits_and_processes(w):
    kept = read(w.gw.conf)
    try:
        write(w.gw.conf, kept + b"limits {\n  message_size = 300000\n}\nprocesses {\n  smtpd = 3\n}\n")
        w.gw.gwctl("reload")
        w.gw.wait_daemon("smtpd", count=3, seconds=5)
        with clients.Raw(w.submission) as c:
            c.smtp()
            size = int(re.search(r"SIZE (\d+)", c.smtp("EHLO client.test")[1])[1])
            assert size <= 300000, size
    finally:
        write(w.gw.conf, kept)
    w.gw.gwctl("reload")
    wait_until(lambda: len(w.gw.daemons("smtpd")) == 2, 5, "two processes")
    assert works(w)


@case
def a_reload_with_a_mistake_changes_nothing(w):
    """The old configuration stays in force, whatever else the new one says."""
    more = w.ports.get()
    kept, pids, start = read(w.gw.conf), w.gw.daemons(), len(w.gw.log_text())
    try:
        write(w.gw.conf, kept + connector("more", f"127.0.0.1:{more}") + b"limits {\n  recipient = 7\n}\n")
        p = w.gw.gwctl("reload", check=False)
        text = (p.stdout + p.stderr).decode()
        assert p.returncode == EX_CONFIG, (p.returncode, text)
        assert re.search(rf"{re.escape(w.gw.conf)}:\d+: .*recipient", text), text
        os.kill(w.gw.pid, signal.SIGHUP)
        w.gw.wait_log(r"master\[\d+\]: error: .*recipient", start=start)
        assert not listening(more) and w.gw.daemons() == pids
        assert works(w)
        # A port that is taken is found only when all else is well; the same holds for it.
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            write(w.gw.conf, kept + connector("more", f"127.0.0.1:{port}"))
            p = w.gw.gwctl("reload", check=False)
            assert p.returncode != 0 and str(port) in (p.stdout + p.stderr).decode(), p
        assert w.gw.daemons() == pids
    finally:
        write(w.gw.conf, kept)
    assert works(w)


@case
def mistakes_end_a_start_with_78(w):
    w.gw.stop()
    kept = read(w.gw.conf)
    try:
        for wrong in (b"nonsense = 1\n", b"limits {\n", b"log {\n  level = loud\n}\n", b"\xff\xfe\0\n"):
            write(w.gw.conf, kept + wrong)
            text = refuses_to_start(w)
            assert "ended with 78" in text and f"{w.gw.conf}:" in text, (wrong, text)
        os.unlink(w.gw.conf)
        text = refuses_to_start(w)
        assert "ended with 78" in text and w.gw.conf in text, text
    finally:
        write(w.gw.conf, kept)
    w.gw.start()
    assert works(w)


@case
def a_file_that_cannot_be_read_is_named(w):
    """By a reload, after which all is as before, and by a start."""
    kept, path, pids = read(w.gw.conf), w.path("authority.pem"), w.gw.daemons()
    far = (f'peer "far" {{\n  service = smtp\n  host = "127.0.0.1"\n  port = 9\n  tls = starttls\n'
           f'  ca_file = "{path}"\n}}\n').encode()
    says = f"peer far: ca_file: {path}: "
    try:
        write(w.gw.conf, kept + far)
        for make, why in ((lambda: None, "No such file"), (lambda: os.mkdir(path), "not a regular file"),
                          (lambda: os.mkfifo(path), "not a regular file"),
                          (lambda: os.truncate(write(path, b""), 5 << 20), "more than 4 MiB")):
            make()
            p = w.gw.gwctl("reload", check=False)
            text = (p.stdout + p.stderr).decode()
            assert p.returncode == EX_CONFIG and says + why in text, text
            p = w.gw.tool("master", "-t", check=False)
            assert p.returncode == EX_CONFIG and says + why in p.stderr.decode(), p
            if os.path.isdir(path):
                os.rmdir(path)
            elif os.path.exists(path):
                os.unlink(path)
        assert w.gw.daemons() == pids and works(w)
        w.gw.stop()
        text = refuses_to_start(w)
        assert "ended with 78" in text and says + "No such file" in text, text
        # A link to it will do, as ACME clients make them.
        os.symlink(w.ca.ca, path)
        w.gw.start()
        assert works(w)
    finally:
        write(w.gw.conf, kept)
        if not w.gw.alive():
            w.gw.start()
    w.gw.gwctl("reload")
    assert works(w)


@case
def term_lets_sessions_finish(w):
    with clients.Raw(w.submission, timeout=20) as c, clients.Raw(w.retrieval, timeout=20) as idle:
        assert idle.pop()[0].startswith("+OK")
        c.smtp()
        c.smtp("EHLO client.test")
        c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))
        c.smtp(f"MAIL FROM:<{ALICE}>")
        c.smtp(f"RCPT TO:<{QUINN}>")
        assert c.smtp("DATA")[0] == 354
        data = mails.plain(ALICE, QUINN, body="half\nthe other half\n")
        at = data.index(b"the other")
        c.send(data[:at])
        os.kill(w.gw.pid, signal.SIGTERM)
        wait_until(lambda: not listening(w.submission), 5, "closed listeners")
        assert w.gw.alive()
        c.send(data[at:] + b".\r\n")
        assert c.smtp()[0] == 250
        assert b"the other half" in w.peer.take()[0].data
    assert w.gw.stop(signal.SIGTERM) == 0
    w.gw.start()
    assert works(w)


@case
def a_second_term_does_not_wait(w):
    with clients.Raw(w.submission) as c, clients.Raw(w.retrieval) as p:
        c.smtp()
        c.smtp("EHLO client.test")
        c.smtp("AUTH PLAIN " + clients.plain_login(*w.login("alice")))
        c.smtp(f"MAIL FROM:<{ALICE}>")
        p.pop()
        os.kill(w.gw.pid, signal.SIGTERM)
        wait_until(lambda: not listening(w.submission), 5, "closed listeners")
        begin = time.monotonic()
        assert w.gw.stop(signal.SIGTERM) == 0
        assert time.monotonic() - begin < 3
    w.gw.start()
    assert works(w)


@case
def term_ends_it_with_success_and_leaves_no_process(w):
    assert w.gw.stop(signal.SIGTERM) == 0
    assert not listening(w.submission)
    w.gw.start()
    assert works(w)


@case
def two_masters_on_one_configuration_are_one_too_many(w):
    again = w.gw.tool("master", "-F", check=False, timeout=20)
    assert again.returncode != 0 and again.stderr, again
    assert works(w)


@case
def runs_as_an_ordinary_user_and_says_so(w):
    """The whole job without root: no users of its own and no chroot, but seccomp all the same."""
    user = ordinary_user()

    def pop_peer(s):
        s.pop = s.fakepop()
        return s.pop.port
    with Site(smtp_port=peer, pop3_port=pop_peer, users=("alice",), keys=("alice",), user=user) as other:
        assert works(other)
        pat = other.outsider("pat")
        other.send("alice", PAT, mails.plain(ALICE, PAT))
        assert "GOODSIG" in mails.open_pgp(pat, other.peer.take()[0].data)[1]
        # Large enough for files in the spool.
        noise = base64.encodebytes(os.urandom(4 << 20)).decode()
        sealed = mails.pgp_encrypted(pat, mails.plain(PAT, ALICE, body=noise), [ALICE])
        other.pop.put("alice", sealed)
        assert "decrypted=yes" in mails.header(other.fetch("alice")[0], "X-Postern-Verdict")[0]
        status = other.gw.gwctl("status").stdout.decode() + other.gw.tail()
        assert re.search(r"ordinary user|not root|non-root|without root", status, re.I), status
        for pid in other.gw.daemons():
            text = read(f"/proc/{pid}/status").decode()
            assert f"\nUid:\t{user}\t" in text and "\nSeccomp:\t2\n" in text, text
        for name in ("cryptod", "filterd"):
            old = other.gw.kill(name)
            other.gw.wait_daemon(name, other_than=old)
        kept = read(other.gw.conf)
        write(other.gw.conf, kept + (f'connector "out" {{\n  service = smtp\n  listen = {{"127.0.0.1:{w.ports.get()}"}}\n'
                                     "  transparent = tproxy\n  tls = disabled\n}\n").encode())
        p = other.gw.gwctl("reload", check=False)
        text = (p.stdout + p.stderr).decode()
        assert p.returncode != 0 and 'connector "out"' in text and "CAP_NET_ADMIN" in text, text
        write(other.gw.conf, kept)
        assert "decrypted=yes" in mails.header(other.fetch("alice")[0], "X-Postern-Verdict")[0]


@case
def every_daemon_is_confined(w):
    """Own user, nothing of root, no new privileges, seccomp filter."""
    uids = {}
    for pid, name in w.gw.daemons().items():
        status = read(f"/proc/{pid}/status").decode()
        value = dict(re.findall(r"^(\w+):\s*(.*)$", status, re.M))
        uids.setdefault(name, set()).add(value["Uid"].split()[1])
        assert int(value["CapEff"], 16) == 0 and int(value["CapPrm"], 16) == 0, (name, value["CapEff"])
        assert value["NoNewPrivs"] == "1" and value["Seccomp"] == "2", (name, value["Seccomp"])
        assert w.gw.user is not None or os.readlink(f"/proc/{pid}/root") != "/", name
    if w.gw.user is None:
        flat = [u for us in uids.values() for u in us]
        assert "0" not in flat and len(set(flat)) == len(uids), uids
    with clients.Raw(w.submission) as c:
        assert c.smtp()[0] == 220


if __name__ == "__main__":
    run(world)

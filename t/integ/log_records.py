#!/usr/bin/env python3
"""What happened to mail is found again: gwctl log, gwctl trace, and the figures for Prometheus."""

import json
import os
import re
import signal
import socket
import subprocess
import time

from pt import Site, Skip, case, run
from pt import clients
from pt.gateway import can_unshare, own_mounts
from pt.util import kill, sh, wait_until


def smtp_peer(w):
    w.smtp = w.sink(users=w.users)
    return w.smtp.port


def pop_peer(w):
    w.pop = w.fakepop()
    return w.pop.port


def log_section(w, metrics):
    return f'log {{\n  destination = file\n  file = "{w.log_file}"\n  level = info\n' \
           f'  keep_size = 16M\n  metrics = "{metrics}"\n}}\n'


def more(w):
    w.log_file = w.path("gw", "log", "postern.log")
    w.metrics = w.path("gw", "run", "metrics")
    return log_section(w, w.metrics)


def world():
    own_mounts()
    return Site(smtp_port=smtp_peer, pop3_port=pop_peer, keys=(), more=more, level=None)


def events(w, *args):
    """What gwctl log finds, as dicts."""
    return json.loads(w.gw.gwctl("log", "--json", *args).stdout)["events"]


def patient(w, *args, count=1):
    """The same, until there are so many: they come up to 20 ms late."""
    return wait_until(lambda: (lambda found: found if len(found) >= count else None)(events(w, *args)),
                      20, f"{count} events of {args}")


def session(w, user="alice", good=True):
    """A POP3 session; its id in the log."""
    start = len(w.gw.log_text())
    with clients.Raw(w.retrieval) as c:
        c.pop()
        c.pop(f"USER {user}")
        c.pop(f"PASS {w.users['alice'] if good else 'wrong'}")
        c.pop("QUIT")
    return w.gw.wait_log(r"pop3d\[\d+\]: (\w+): disconnect from", start=start)[1]


@case
def a_session_is_found_by_what_is_known_of_it(w):
    qid = session(w)
    found = patient(w, "--id", qid, count=3)
    assert [e["kind"] for e in found] == ["connect", "login", "disconnect"], found
    assert all(e["daemon"] == "pop3d" and e["transaction"] == qid for e in found), found
    assert found[1]["user"] == "alice" and found[1]["connector"] == "pop3", found[1]
    # The line of the record is the one in the log.
    assert f"]: {found[1]['line']}\n" in w.gw.log_text(), found[1]["line"]
    session(w, good=False)
    failed = patient(w, "--kind", "login-failed")
    assert failed[-1]["user"] == "alice" and failed[-1]["mechanism"] == "USER", failed
    assert [e for e in events(w, "--client", "127.0.0.1", "--since", "-1h") if e["qid"] == qid]
    assert not events(w, "--client", "192.0.2.1")
    assert not events(w, "--until", "yesterday")
    assert not events(w, "--tenant", "somebody-else")


@case
def lines_and_names_are_for_people_and_scripts(w):
    qid = session(w)
    patient(w, "--id", qid, count=3)
    text = w.gw.gwctl("log", "--id", qid.lower()).stdout.decode()
    assert len(re.findall(rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} pop3d\[\d+\]: {qid}: ", text, re.M)) == 3, text
    names = w.gw.gwctl("log", "-q").stdout.decode().split()
    assert names.count(qid) == 1, names
    for args in (["--since", "tomorrow"], ["--status", "lost"], ["--kind", "x"], ["--follow", "--until", "now"],
                 ["x"], ["-q", "--json"]):
        assert w.gw.gwctl("log", *args, check=False).returncode == 64, args


@case
def a_trace_tells_the_whole_life(w):
    qid = session(w)
    patient(w, "--id", qid, count=3)
    text = w.gw.gwctl("trace", qid).stdout.decode()
    assert text.startswith(f"transaction {qid}"), text
    assert re.search(r"\+0\.000 s +" + qid + " +connect", text), text
    assert re.search(qid + r" +login +from unknown\[127\.0\.0\.1\], login alice \(USER\), connector pop3", text), text
    found = json.loads(w.gw.gwctl("trace", "--json", qid).stdout)["events"]
    assert [e["kind"] for e in found] == ["connect", "login", "disconnect"]
    missing = w.gw.gwctl("trace", "0123456789", check=False)
    assert missing.returncode == 66 and b"nothing is recorded" in missing.stderr, missing


@case
def refused_clients_are_recorded(w):
    """Rejects and lost connections, too."""
    start = len(w.gw.log_text())
    with clients.Raw(w.retrieval) as c:
        c.pop()
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    qid = w.gw.wait_log(r"pop3d\[\d+\]: (\w+): lost connection from unknown\[127\.0\.0\.1\]: ", start=start)[1]
    assert patient(w, "--id", qid, "--kind", "lost")[0]["what"] == "lost connection from"


@case
def who_follows_sees_what_happens(w):
    argv = w.gw.command("gwctl", "log", "--follow", "--json")
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as p:
        try:
            # Its first look is over once it sees anything.
            ids, end = [], time.monotonic() + 30
            os.set_blocking(p.stdout.fileno(), False)
            seen = b""
            while time.monotonic() < end and not any(i.encode() in seen for i in ids):
                ids.append(session(w))
                time.sleep(0.3)
                seen += p.stdout.read() or b""
            assert any(i.encode() in seen for i in ids), "nothing of it was seen"
            for line in seen.splitlines():
                assert json.loads(line)["daemon"] == "pop3d", line
        finally:
            p.kill()


@case
def what_was_stored_survives_logd(w):
    qid = session(w)
    patient(w, "--id", qid, count=3)
    old = w.gw.kill("logd")
    w.gw.wait_daemon("logd", other_than=old, seconds=10)
    later = session(w)
    # The walk over what is stored takes its moment.
    wait_until(lambda: w.gw.gwctl("log", "--id", qid, check=False).stdout.count(b"\n") == 3, 20, "the old records")
    patient(w, "--id", later, count=3)
    # Nothing is left of the process that looked at them.
    assert len(w.gw.daemons("logd")) == 1, w.gw.daemons()


@case
def damage_costs_old_records_and_nothing_else(w):
    session(w)
    w.gw.stop()
    path = os.path.join(w.gw.state, "log", "data.mdb")
    os.truncate(path, os.path.getsize(path) // 2)
    w.gw.start()
    w.gw.wait_log(r"logd\[\d+\]: warning: .*/log: it was damaged: put aside as damaged.mdb", seconds=20)
    qid = session(w)
    patient(w, "--id", qid, count=3)
    assert os.path.exists(os.path.join(w.gw.state, "log", "damaged.mdb"))


@case
def a_full_disk_costs_records_and_no_lines(w):
    if w.gw.user is not None or not can_unshare():
        raise Skip("no mount namespace")
    w.gw.stop()
    folder = os.path.join(w.gw.state, "log")
    owner = os.stat(folder)
    sh(["mount", "-t", "tmpfs", "-o", f"size=1M,mode=700,uid={owner.st_uid},gid={owner.st_gid}", "tmpfs", folder])
    w.defer(lambda: sh(["umount", "-l", folder]))
    w.gw.start()
    patient(w, "--id", session(w), count=3)
    ballast = os.path.join(folder, "ballast")
    with open(ballast, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass
    lost = []

    def trouble():
        lost.append(session(w))
        status = w.gw.gwctl("status", "-v", check=False).stdout.decode()
        return re.search(r"what happens is not recorded: .*space", status)
    wait_until(trouble, 30, "trouble in the status")
    text = w.gw.log_text()
    assert all(f": {qid}: disconnect from" in text for qid in lost), "lines were lost"
    os.unlink(ballast)

    def well():
        session(w)
        return "not recorded" not in w.gw.gwctl("status", "-v", check=False).stdout.decode()
    wait_until(well, 30, "records after there is room again")
    patient(w, "--id", session(w), count=3)


def ask(w, request, where=None):
    """Status and body of an HTTP answer."""
    s = socket.socket(socket.AF_UNIX if where is None else socket.AF_INET)
    s.settimeout(20)
    with s:
        s.connect(w.metrics if where is None else where)
        s.sendall(request)
        data = b""
        while chunk := s.recv(65536):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"^Content-Length: (\d+)", head, re.M)
    return int(head.split()[1]), body.decode(), int(length[1]), head.decode()


GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
NUMBER = re.compile(r"postern_\w+(\{\w+=\"[^\"]*\"(,\w+=\"[^\"]*\")*\})? [\d.]+")


@case
def figures_have_the_names_of_the_tool(w):
    session(w)
    code, body, length, head = ask(w, GET)
    assert code == 200 and length == len(body.encode()) and "version=0.0.4" in head, head
    for line in body.splitlines():
        assert line.startswith("# ") or NUMBER.fullmatch(line), line
    names = set(re.findall(r"^(postern_\w+)", body, re.M))
    tool = set(re.findall(r"^(postern_\w+)", w.gw.gwctl("status", "--metrics").stdout.decode(), re.M))
    # What only master knows; the findings are the tool's.
    assert tool - names == {"postern_daemon_restarts_total", "postern_start_timestamp_seconds",
                            "postern_troubles"}, tool - names
    assert int(re.search(r'events_total\{kind="disconnect"\} (\d+)', body)[1]) >= 1, body
    assert re.search(r'daemon_up\{daemon="pop3d",instance="1"\} 1', body), body
    assert "postern_logd_records{" in body and 'connector_sessions{connector="pop3"}' in body
    assert os.stat(w.metrics).st_mode & 0o777 == (0o600 if w.gw.user is not None else 0o660)


@case
def scrapers_get_what_http_says(w):
    code, body, length, _ = ask(w, b"HEAD /metrics HTTP/1.0\r\n\r\n")
    assert code == 200 and body == "" and length > 1000
    for request, want in ((b"GET / HTTP/1.0\r\n\r\n", 404), (b"POST /metrics HTTP/1.0\r\n\r\n", 405),
                          (b"GET /metrics HTTP/1.1\r\n\r\n", 400), (b"\x16\x03\x01\r\n", 400),
                          (b"GET /metrics HTTP/1.0\r\nA: " + b"a" * 5000, 431)):
        assert ask(w, request)[0] == want, request[:40]
    # Many at once, some of them silent.
    silent = [socket.socket(socket.AF_UNIX) for _ in range(6)]
    for s in silent:
        s.connect(w.metrics)
    assert ask(w, GET)[0] == 200
    for s in silent:
        s.close()
    wait_until(lambda: ask(w, GET)[0] == 200, 10, "an answer after all of them")


@case
def a_daemon_that_does_not_answer_costs_its_own_figures_only(w):
    pid = w.gw.daemons("pop3d")[0]
    kill(pid, signal.SIGSTOP)
    try:
        code, body, _, _ = ask(w, GET)
    finally:
        kill(pid, signal.SIGCONT)
    assert code == 200
    up = re.findall(r'daemon_up\{daemon="pop3d",instance="\d"\} (\d)', body)
    assert sorted(up) == ["0", "1"], up
    assert re.search(r'daemon_up\{daemon="smtpd",instance="0"\} 1', body), body


@case
def figures_at_a_loopback_address(w):
    port = w.ports.get()
    w.gw.configure(w.pieces.replace(log_section(w, w.metrics), log_section(w, f"127.0.0.1:{port}")))
    # Its socket is opened as root, once.
    reloaded = w.gw.gwctl("reload", check=False)
    assert reloaded.returncode != 0 and b"restart" in reloaded.stderr, reloaded
    w.gw.stop()
    w.gw.start()
    code, body, _, _ = ask(w, GET, ("127.0.0.1", port))
    assert code == 200 and "postern_info{" in body


if __name__ == "__main__":
    run(world)

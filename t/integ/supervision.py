#!/usr/bin/env python3
"""master and its daemons: deaths, back-off, logs, the control socket, the end."""

import json
import os
import re
import signal
import socket
import struct
import time

from pt import Skip, case, run
from pt.gateway import ordinary_user
from pt.util import kill, listening, read, running, sh, tree, wait_until, write
from pt.world import World

PIECES = """
processes {{
  smtpd = 2
  pop3d = 1
}}
peer "office-smtp" {{
  service = smtp
  host = "127.0.0.1"
  port = {smtp}
  tls = none
}}
peer "office-pop3" {{
  service = pop3
  host = "127.0.0.1"
  port = {pop3}
  tls = none
}}
connector "submission" {{
  service = smtp
  listen = {{"127.0.0.1:{submission}"}}
  peer = "office-smtp"
  tls = disabled
}}
connector "pop3" {{
  service = pop3
  listen = {{"127.0.0.1:{retrieval}"}}
  peer = "office-pop3"
  tls = disabled
}}
"""


def world():
    w = World()
    w.retrieval = w.ports.get()
    w.submission = w.ports.get()
    w.gw = w.gateway(PIECES.format(smtp=w.sink().port, pop3=w.fakepop().port,
                                   submission=w.submission, retrieval=w.retrieval))
    w.gw.start()
    return w


def greets(port):
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        return s.recv(512)


def serves(w):
    return greets(w.retrieval).startswith(b"+OK")


def control(w):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(os.path.join(w.gw.run_dir, "control"))
    return s


@case
def each_killed_daemon_is_back_within_a_second(w):
    names = sorted(set(w.gw.daemons().values()))
    assert names == ["cryptod", "dnsd", "filterd", "logd", "policyd", "pop3d", "smtpd"], names
    for name in names:
        at = len(w.gw.log_text())
        old = w.gw.kill(name)
        w.gw.wait_daemon(name, other_than=old, seconds=1.0, count=len(old))
        w.gw.wait_log(rf"{name} \d+ is back", start=at)
        assert serves(w), name


@case
def a_terminated_daemon_comes_back_too(w):
    old = w.gw.kill("dnsd", signal.SIGTERM)
    w.gw.wait_daemon("dnsd", other_than=old, seconds=1.0)


@case
def one_that_dies_again_and_again_is_backed_off_and_reported(w):
    at = len(w.gw.log_text())
    rx = r"pop3d 0 died (\d+) times, signal 9.*next try in (\d+) s"
    for _ in range(3):
        old = wait_until(lambda: w.gw.daemons("pop3d"), 3, "pop3d")
        for pid in old:
            kill(pid, signal.SIGKILL)
        wait_until(lambda: not set(old) & set(w.gw.daemons("pop3d")), 3, "its end")
    found = w.gw.wait_log(rx, start=at)
    assert int(found[1]) >= 3 and int(found[2]) >= 1, found
    status = w.gw.gwctl("status", check=False)
    text = status.stdout.decode()
    assert "pop3d" in text and ("next try" in text or "backoff" in text.lower()), text
    # The port stays bound: clients wait, they are not refused.
    assert listening(w.retrieval)
    w.gw.wait_daemon("pop3d", seconds=int(found[2]) + 2)
    assert serves(w)


@case
def a_stopped_logger_stops_nobody(w):
    pids = w.gw.kill("logd", signal.SIGSTOP)
    try:
        for _ in range(20):
            assert serves(w)
    finally:
        for pid in pids:
            kill(pid, signal.SIGCONT)
    at = len(w.gw.log_text())
    assert serves(w)
    w.gw.wait_log(r"postern/pop3d\[\d+\]", start=max(0, at - 5000))


@case
def what_was_given_up_counts_nowhere(w):
    """A daemon that takes a configuration too late, and refuses the next one, goes back to what runs."""
    def servers():
        found = json.loads(w.gw.gwctl("status", "--json", check=False).stdout)["daemons"]
        return {f["name"]: f["value"] for d in found if d["daemon"] == "dnsd" for f in d["facts"]}["servers"]
    before, running_one = servers(), read(w.gw.conf).decode()
    anchor = write(w.path("anchor"), "nonsense\n")
    w.gw.own(anchor)
    pids = w.gw.kill("dnsd", signal.SIGSTOP)
    try:
        write(w.gw.conf, running_one + 'dns {\n  servers = {"127.0.0.1@9", "127.0.0.2@9", "127.0.0.3@9", "127.0.0.4@9"}\n}\n')
        at = len(w.gw.log_text())
        w.gw.reload(30)
        w.gw.wait_log("dnsd 0 did not answer within", start=at)
        write(w.gw.conf, running_one + f'dns {{\n  trust_anchor = "{anchor}"\n}}\n')
        w.gw._forget_notes()
        os.kill(w.gw.pid, signal.SIGHUP)
        w.gw.wait_notify("RELOADING=1", 10)
    finally:
        for pid in pids:
            kill(pid, signal.SIGCONT)
    # Not before: master reads the file behind RELOADING=1.
    w.gw.wait_notify("READY=1", 10)
    write(w.gw.conf, running_one)
    w.gw.wait_log("reload: .*dns: trust_anchor", start=at)
    assert w.gw.daemons("dnsd") == pids
    wait_until(lambda: servers() == before, 5, f"{before} name servers, not {servers()}")
    w.gw.reload()


@case
def the_log_goes_on_in_a_new_file_after_rotation(w):
    os.rename(w.gw.log, w.gw.log + ".1")
    os.kill(w.gw.pid, signal.SIGUSR1)
    wait_until(lambda: os.path.exists(w.gw.log) and "opened again" in w.gw.log_text(), 5, "the new log")
    assert os.stat(w.gw.log).st_mode & 0o037 == 0, oct(os.stat(w.gw.log).st_mode)
    os.unlink(w.gw.log + ".1")


def descriptors(pid):
    """How many a process has open."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError as e:
        raise Skip("only root sees what a process without dumps has open") from e


@case
def descriptors_do_not_leak(w):
    def count():
        return descriptors(w.gw.pid)
    before = count()
    for _ in range(2):
        old = w.gw.kill("dnsd")
        w.gw.wait_daemon("dnsd", other_than=old, seconds=5.0)
        w.gw.reload()
    wait_until(lambda: count() == before, 3, f"{before} descriptors, not {count()}")


@case
def daemons_get_nothing_from_the_environment(w):
    for pid, name in w.gw.daemons().items():
        if w.gw.user is not None and os.getuid() != 0:
            break
        env = read(f"/proc/{pid}/environ").decode().split("\0")
        assert {e.split("=")[0] for e in env if "=" in e} <= {"PATH", "LC_ALL"}, (name, env)
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null", name
        assert not re.search(r"^Max core file size\s+[1-9u]", read(f"/proc/{pid}/limits").decode(), re.M), name


@case
def garbage_on_the_control_socket_hurts_nobody(w):
    pid, before = w.gw.pid, descriptors(w.gw.pid)
    head = struct.pack(">IHBBQ", 16, 0x0133, 0, 0, 1)
    frames = (b"", b"\0", b"\0" * 16, b"\xff" * 4096, head, head[:7],
              struct.pack(">IHBBQ", 17, 0x0133, 0, 0, 1) + b"\1",  # a verb before hello
              struct.pack(">IHBBQ", 16, 0x0100, 0, 0, 1),  # boot
              struct.pack(">IHBBQ", 256 * 1024, 0x0130, 0, 0, 1) + b"x" * 1000,
              struct.pack(">IHBBQ", 16, 0x0130, 1, 0, 1))
    for frame in frames:
        with control(w) as s:
            s.sendall(frame)
            s.shutdown(socket.SHUT_WR)
            try:
                while s.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    many = []
    for _ in range(60):
        try:
            many.append(control(w))
        except BlockingIOError:  # the backlog is full
            break
    assert len(many) >= 16 and serves(w)
    for s in many:
        s.close()
    assert w.gw.pid == pid and w.gw.alive() and serves(w)
    wait_until(lambda: descriptors(pid) == before, 5, "closed connections")


@case
def strangers_do_not_reach_the_control_socket(w):
    path = os.path.join(w.gw.run_dir, "control")
    assert os.stat(path).st_mode & 0o007 == 0
    if w.gw.user is None:
        code = ("import socket, sys\ntry:\n socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
                "except PermissionError:\n sys.exit(7)")
        uid = str(ordinary_user())
        p = sh(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", "python3",
                "-c", code, path], check=False)
        assert p.returncode == 7, p


@case
def keyd_runs_only_while_somebody_asks_about_revocation(w):
    kept, asked = read(w.gw.conf), ('tls_profile "asked" {\n  ocsp = lenient\n}\npeer "far" {\n  service = smtp\n'
                                    '  host = "127.0.0.1"\n  port = 9\n  tls = starttls\n  profile = "asked"\n}\n')
    assert not w.gw.daemons("keyd")
    try:
        write(w.gw.conf, kept + asked.encode())
        w.gw.gwctl("reload")
        w.gw.wait_daemon("keyd", seconds=5)
        wait_until(lambda: re.search(r"keyd.*running", w.gw.gwctl("status", check=False).stdout.decode()), 5, "keyd in the status")
        old = w.gw.kill("keyd")
        w.gw.wait_daemon("keyd", other_than=old, seconds=5)
        assert serves(w)
        w.gw.stop()
        w.gw.start()
        assert w.gw.daemons("keyd") and serves(w)
    finally:
        write(w.gw.conf, kept)
    w.gw.gwctl("reload")
    wait_until(lambda: not w.gw.daemons("keyd"), 5, "the end of keyd")
    assert serves(w)


@case
def an_idle_gateway_ends_at_once(w):
    start = time.monotonic()
    assert w.gw.stop(signal.SIGTERM) == 0
    assert time.monotonic() - start < 3
    assert not os.path.exists(os.path.join(w.gw.run_dir, "control"))
    w.gw.start()
    assert serves(w)


@case
def daemons_die_with_their_master(w):
    below = tree(w.gw.pid)[1:]
    assert len(below) >= 8, below
    os.kill(w.gw.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(running, below)), 3, "the end of all daemons")
    w.gw.stop(signal.SIGKILL)
    w.gw.start()
    assert serves(w)


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""Secret keys out of GnuPG homes and into them."""

# check: timeout=400

import ctypes
import os
import re
import shutil
import signal
import threading
import time

from pt import Site, Skip, case, run
from pt import mails
from pt.terminal import Terminal
from pt.util import read, running, wait_until, write

USERS = ("alice", "bob", "carol", "chief", "mallory")
QUINN, PAT = "quinn@partner.test", "pat@partner.test"


def world():
    w = Site(users=USERS, keys=())
    w.pat = w.gpg("pat")
    w.pat.make(f"Pat <{PAT}>")
    w.learn(PAT, w.pat.public(PAT), "pat")
    w.tmp = w.path("tmp")
    os.mkdir(w.tmp, 0o777)
    os.chmod(w.tmp, 0o777)
    return w


def home(w, name, **people):
    """A GnuPG home: user=(algorithm, passphrase)...; no agent of its own runs any more."""
    g = w.gpg(name)
    for user, (algo, passphrase) in people.items():
        g.make(f"{user.capitalize()} <{w.address(user)}>", algo=algo, passphrase=passphrase)
    g.stop()
    for entry in os.listdir(g.home):
        if entry.startswith("S."):
            os.unlink(os.path.join(g.home, entry))
    w.gw.own(g.home)
    return g


def keyctl(w, *args):
    """keyctl on a terminal."""
    argv = w.gw.command("keyctl", *args)
    return Terminal(argv, env=dict(os.environ, TMPDIR=w.tmp))


def quiet(w, *args, check=True):
    """keyctl without a terminal: (exit code, standard output, errors)."""
    p = w.gw.keyctl(*args, check=check)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def passphrase(w, text):
    return w.gw.own(write(w.path("passphrase"), text + "\n", 0o600))


def content(folder):
    """Every file of a folder, as it is."""
    found = {}
    for path, _, names in os.walk(folder):
        for n in names:
            p = os.path.join(path, n)
            found[p] = read(p) if os.path.isfile(p) else os.lstat(p).st_mode
    return found


def nothing_left(w):
    """No folder of gpg's and no agent that works in one."""
    def agents():
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if w.tmp.encode() in read(f"/proc/{pid}/cmdline") and running(int(pid)):
                return True
        return False
    wait_until(lambda: not os.listdir(w.tmp) and not agents(), 10, "gpg's folder and agent to be gone")


class Watch(threading.Thread):
    """Looks for words in the arguments and environments of keyctl and of the programs it runs."""

    def __init__(self, pid, folder, words):
        super().__init__(daemon=True)
        self.pid, self.folder, self.words = pid, folder.encode(), [x.encode() for x in words]
        self.programs, self.found, self.end = set(), [], False

    def run(self):
        while not self.end:
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    argv = read(f"/proc/{pid}/cmdline")
                    if self.folder not in argv and int(pid) != self.pid:
                        continue
                    text = argv + b"\0" + read(f"/proc/{pid}/environ")
                except OSError:
                    continue
                self.programs.add(os.path.basename(argv.split(b"\0")[0]).decode("utf-8", "replace"))
                self.found += [(pid, argv) for x in self.words if x in text]
            time.sleep(0.002)


def reads(w, user):
    """The gateway opens what the partner encrypts for a user."""
    w.pat.add(w.certificate(user))
    w.imap.empty(user)
    w.imap.deliver(user, mails.pgp_encrypted(w.pat, mails.plain(PAT, w.address(user), body="4711\n"),
                                             [w.address(user)]))
    got = w.fetch(user)[0]
    assert b"4711" in got, got


def signs(w, user):
    """The gateway signs what a user sends."""
    w.send(user, QUINN, mails.plain(w.address(user), QUINN))
    status = mails.check_signed(w.pat, w.partner.take()[0].data)[1]
    assert w.address(user) in status.get("GOODSIG", ""), status


@case
def keys_of_a_home_are_taken_over(w):
    """One without a passphrase and two with different ones, one of which is mistyped at first."""
    g = home(w, "home", alice=("ed25519", ""), bob=("rsa3072", "the word of bob"),
             carol=("nistp256", "the word of carol"))
    before = content(g.home)
    with keyctl(w, "import", "--gnupg-home", g.home) as t:
        watch = Watch(t.child.pid, w.tmp, ["the word of", "a slip"])
        watch.start()
        t.answer(r"Passphrase of Bob <bob@example.test> \([0-9A-F]{40}, key \d of 3\): ", "a slip")
        t.answer("wrong passphrase[^:]*Passphrase of Bob[^:]*: ", "the word of bob")
        t.answer("Passphrase of Carol[^:]*: ", "the word of carol")
        assert t.finish() == 0, t.text
        watch.end = True
        watch.join()
    assert "import: 3/3 keys" in t.text and "3 secret keys: 3 imported, 0 were there, 0 failed" in t.text, t.text
    assert "the word of" not in t.text and "Passphrase of Alice" not in t.text, t.text
    assert "gpg-agent" in watch.programs and not watch.found, (watch.programs, watch.found)
    assert content(g.home) == before, "the home was changed"
    nothing_left(w)
    for user in ("alice", "bob", "carol"):
        reads(w, user)
        signs(w, user)


@case
def what_is_there_already_stays(w):
    """The same home again: a file with one passphrase, which is not that of all keys."""
    args = ("import", "--gnupg-home", w.path("home"))
    code, out, err = quiet(w, *args, "--passphrase-file", passphrase(w, "the word of bob"), check=False)
    assert code == 77 and "0 imported, 2 were there, 1 failed" in out, (code, out, err)
    assert "Carol <carol@example.test>: wrong passphrase" in err and "Bob" not in err, err
    # Nobody to ask: the reason and the remedy, a line for each key.
    code, out, err = quiet(w, *args, check=False)
    assert code == 77 and "1 were there, 2 failed" in out, (code, out, err)
    assert len(re.findall(r"no terminal to ask on; use --passphrase-file", err)) == 2, err
    assert "import:" not in err, "progress where there is no terminal"


@case
def keys_of_nobody_are_told_with_the_remedy(w):
    g = w.gpg("strangers")
    g.make("Nobody <nobody@example.test>")
    g.make("Zoe <zoe@example.test>")
    fpr = g.make("Both <chief@example.test>")
    g.run("--passphrase", "", "--quick-add-uid", fpr, "Both <mallory@example.test>")
    g.stop()
    w.gw.own(g.home)
    code, out, err = quiet(w, "import", "--gnupg-home", g.home, check=False)
    assert code != 0 and "3 secret keys: 0 imported, 0 were there, 3 failed" in out, (code, out)
    for who in ("Nobody <nobody@example.test>", "Zoe <zoe@example.test>"):
        assert f"no consumer owns an address of {who}: name one with --consumer, or first gwctl consumer add" in err, err
    assert re.search(r"belong to the consumers (chief and mallory|mallory and chief): name one with --consumer", err), err
    code, out, err = quiet(w, "import", "--gnupg-home", g.home, "--consumer", "chief")
    assert "3 imported" in out, (out, err)


@case
def an_interrupted_import_leaves_nothing(w):
    with keyctl(w, "import", "--gnupg-home", w.path("home")) as t:
        t.expect("Passphrase of Bob[^:]*: ")
        assert os.listdir(w.tmp), "gpg has no folder of its own"
        t.child.send_signal(signal.SIGKILL)
        t.child.wait(5)
    nothing_left(w)


@case
def gpg_uses_what_was_exported(w):
    os.mkdir(w.path("place"))
    w.gw.own(w.path("place"))
    new = w.path("place", "new")
    code, _, err = quiet(w, "export", "--gnupg-home", new, "--all", check=False)
    assert code == 64 and "--yes" in err and not os.path.exists(new), (code, err)
    with keyctl(w, "export", "--gnupg-home", new, "--all") as t:
        t.answer("Type yes to go on: ", "yes")
        t.answer("Passphrase for the exported keys: ", "a new word")
        t.answer("again: ", "a new word")
        assert t.finish() == 0, t.text
    total = int(re.search(r"(\d+) secret keys: (\d+) exported, 0 were there, 0 failed", t.text)[1])
    assert total >= 3 and f"export: {total}/{total} keys" in t.text, t.text
    nothing_left(w)
    assert os.stat(new).st_mode & 0o777 == 0o700
    assert not any("pinentry" in x or x.startswith("S.") for x in os.listdir(new)), os.listdir(new)
    # A copy is gpg's to play with; the original keeps its owner.
    copy = w.path("copy")
    shutil.copytree(new, copy)
    g = w.gpg("copy")
    for user in ("alice", "bob", "carol"):
        w.pat.add(w.certificate(user))
    boxes = {user: w.pat.encrypt(b"4711\n", [w.address(user)]) for user in ("alice", "bob", "carol")}
    for user, box in boxes.items():  # before any: the agent tries what was right for another key
        assert "DECRYPTION_OKAY" not in g.decrypt(box, passphrase="another word")[1], f"{user}'s is not protected"
    for user, box in boxes.items():
        text, status = g.decrypt(box, passphrase="a new word")
        assert text == b"4711\n" and "DECRYPTION_OKAY" in status, (user, status)
        signature = g.run("--armor", "-u", w.address(user), "--passphrase", "a new word", "--detach-sign",
                          data=b"4711").stdout
        assert "GOODSIG" in w.pat.verify(b"4711", signature), user
    # Once more, one of them: it is there; and what gpg's home had stays.
    before = content(new)
    code, out, err = quiet(w, "export", "--yes", "--passphrase-file", passphrase(w, "third"), "--gnupg-home", new,
                           w.address("alice"))
    assert "1 secret keys: 0 exported, 1 were there, 0 failed" in out, (out, err)
    assert {p for p in before if ".key" in p} == {p for p in content(new) if ".key" in p}


@case
def the_owner_of_a_home_can_use_what_root_put_there(w):
    if os.getuid() != 0 or w.gw.user is not None:
        raise Skip("needs root")
    place = w.path("user")
    os.mkdir(place, 0o700)
    os.chown(place, 65534, 65534)
    quiet(w, "export", "--yes", "--passphrase-file", passphrase(w, "word"), "--gnupg-home", place, w.address("alice"))
    for path in [place] + list(content(place)):
        assert os.stat(path).st_uid == 65534, path
    code, out, _ = quiet(w, "import", "--gnupg-home", place, "--passphrase-file", passphrase(w, "word"))
    assert code == 0 and "1 were there" in out, out


@case
def many_keys_show_their_progress(w):
    """200 keys, on a terminal."""
    g = w.gpg("many")
    blocks = "".join(f"Key-Type: EDDSA\nKey-Curve: ed25519\nKey-Usage: sign,cert\nSubkey-Type: ECDH\n"
                     f"Subkey-Curve: cv25519\nSubkey-Usage: encrypt\nName-Email: m{i}@example.test\n"
                     f"Expire-Date: 0\n%commit\n" for i in range(200))
    g.run("--gen-key", data=("%no-protection\n" + blocks).encode())
    g.stop()
    w.gw.own(g.home)
    for c in range(0, 200, 50):
        addresses = [x for i in range(c, c + 50) for x in ("--address", f"m{i}@example.test")]
        w.gw.gwctl("consumer", "add", f"many{c}", "--internal", *addresses)
    with keyctl(w, "import", "--gnupg-home", g.home) as t:
        t.expect(r"import: \d+/200 keys")
        assert t.finish(300) == 0, t.text
    steps = [int(n) for n in re.findall(r"\rimport: (\d+)/200 keys", t.text)]
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] == 200 and len(steps) > 100, steps
    assert "200 secret keys: 200 imported, 0 were there, 0 failed" in t.text, t.text[-500:]
    assert t.text.count("\n") == 1, "more than the last line stays"
    nothing_left(w)


def hostile(w, name, files=(), folders=("private-keys-v1.d",), links=()):
    path = w.path(name)
    os.mkdir(path, 0o700)
    for f in folders:
        os.mkdir(os.path.join(path, f), 0o700)
    for f, data in files:
        write(os.path.join(path, f), data, 0o600)
    for f, to in links:
        os.symlink(to, os.path.join(path, f))
    w.gw.own(path)
    return path


@case
def homes_that_are_damaged_or_none_are_refused_with_the_reason(w):
    kbx = read(os.path.join(w.path("home"), "pubring.kbx"))
    pipe = hostile(w, "pipe")
    os.mkfifo(os.path.join(pipe, "pubring.kbx"))
    secring = hostile(w, "old", [("secring.gpg", b"\x95"), ("pubring.gpg", b"\x99")], folders=())
    for path, why in (
            (w.path("nowhere"), "No such file"),
            (hostile(w, "empty", folders=()), "there is no private-keys-v1.d in it"),
            (hostile(w, "bare"), "there is no pubring.kbx in it"),
            (pipe, "there is no pubring.kbx in it"),
            (secring, f"keyctl import {secring}/secring.gpg"),
            (hostile(w, "boxed", [("public-keys.d/pubring.db", b"x")], ("private-keys-v1.d", "public-keys.d")),
             "keyboxd"),
            (hostile(w, "noise", [("pubring.kbx", os.urandom(5000))]), ""),
            (hostile(w, "noise-gpg", [("pubring.gpg", os.urandom(5000))]), ""),
            (hostile(w, "cut", [("pubring.kbx", kbx[:700])]), ""),
            (hostile(w, "nokeys", [("pubring.kbx", kbx)]), "no secret keys in it"),
            (passphrase(w, "no folder"), "no folder"),
    ):
        code, out, err = quiet(w, "import", "--gnupg-home", path, check=False)
        assert code in (65, 66, 70, 74) and why in err and path in err and "imported" not in out, (path, code, out, err)
    # Damaged private halves: these keys fail, the others do not.
    bad = w.path("half")
    shutil.copytree(w.path("home"), bad)
    fields = {}
    for name in os.listdir(os.path.join(bad, "private-keys-v1.d")):
        p = os.path.join(bad, "private-keys-v1.d", name)
        fields[p] = read(p)
        if b"protected" in fields[p]:
            write(p, fields[p][:len(fields[p]) // 2] + os.urandom(200), 0o600)
    w.gw.own(bad)
    code, out, err = quiet(w, "import", "--gnupg-home", bad, "--passphrase-file", passphrase(w, "x"), check=False)
    assert "1 were there" in out, (code, out, err)
    assert code != 0 or "3 secret keys" not in out, (code, out, err)


@case
def a_home_leads_nowhere_else(w):
    """A link out of the home is not followed: the jail has this folder only."""
    if ctypes.CDLL(None).syscall(444, None, 0, 1) < 1:  # landlock_create_ruleset: its version
        raise Skip("this kernel has no Landlock")
    path = hostile(w, "led", folders=(), links=(("private-keys-v1.d", w.path("home", "private-keys-v1.d")),
                                                ("pubring.kbx", w.path("home", "pubring.kbx"))))
    code, out, err = quiet(w, "import", "--gnupg-home", path, check=False)
    assert code == 66 and f"{path}: no secret keys in it" in err, (code, out, err)


if __name__ == "__main__":
    run(world)

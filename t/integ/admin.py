#!/usr/bin/env python3
"""What an administrator does, from an empty machine on: set-up, keys, locking, renewal."""

import json
import os
import re

import signal
import subprocess

from pt import World, case, run
from pt import clients, mails
from pt.gateway import TOP
from pt.terminal import Terminal
from pt.util import kill, read, wait_until, write
from pt.world import DOMAIN, PARTNER

ALICE, BOB, CAROL = (f"{u}@{DOMAIN}" for u in ("alice", "bob", "carol"))
PAT = f"pat@{PARTNER}"
PASSPHRASE = "correct horse battery staple"


def world():
    w = World()
    w.partner = w.sink()
    w.imap = w.dovecot()
    w.mta = w.postfix(w.imap, routes={PARTNER: w.partner.port})
    w.submission, w.retrieval = w.ports.get(), w.ports.get()
    w.gw = w.gateway()
    w.pat = w.gpg("pat")
    w.pat.make(f"Pat <{PAT}>")
    w.secret = w.gw.own(write(w.path("passphrase"), PASSPHRASE + "\n", 0o600))
    if w.gw.user is not None and os.getuid() == 0:
        os.chown(w.gw.folder, w.gw.user, w.gw.user)
    set_up(w)
    return w


def set_up(w):
    """gwctl setup writes the configuration; TLS to both servers, verified."""
    argv = ("setup", "--placement", "internal", "--domain", DOMAIN, "--hostname", "gw.example.test",
            "--smtp-listen", f"127.0.0.1:{w.submission}", "--pop-listen", f"127.0.0.1:{w.retrieval}",
            "--peer-smtp", f"localhost:{w.mta.port},starttls",
            "--peer-pop3", f"localhost:{w.imap.pop3s},implicit",
            "--ca-file", w.ca.ca, "--log-file", w.gw.log, "--state-dir", w.gw.state, "--spool-dir", w.gw.spool,
            "--run-dir", w.gw.run_dir, "--libexec-dir", w.gw.bin)
    p = w.gw.gwctl(*argv, check=False)
    assert p.returncode != 0 and b"--force" in p.stderr, "an existing file was replaced"
    w.gw.gwctl(*argv, "--force")
    w.gw.gwctl("config", "check")


def send(w, user, to, data):
    return clients.send(w.submission, f"{user}@{DOMAIN}", to, data, login=w.login(user))


def fetch(w, user):
    return clients.fetch(w.retrieval, w.login(user))


def sealed_to(w, user, body, subject="Sealed"):
    """Put a message that pat sealed for a user into the mailbox."""
    w.imap.empty(user)
    address = f"{user}@{DOMAIN}"
    letter = mails.plain(PAT, address, subject, body)
    w.imap.deliver(user, mails.pgp_encrypted(w.pat, letter, [address], sign=PAT))


@case
def from_setup_to_the_first_mail(w):
    """Every step as in README."""
    w.gw.start()
    status = w.gw.gwctl("status", check=False)
    assert status.returncode == 1 and b"not initialised" in status.stdout, status
    w.gw.keyctl("init", "--passphrase-file", w.secret, "--cost", "1,1024")
    w.gw.gwctl("domain", "add", DOMAIN)
    w.gw.gwctl("consumer", "add", "alice", "--internal", "--address", ALICE, "--name", "Alice")
    w.gw.keyctl("generate", "--address", ALICE, "--name", "Alice")
    w.pat.add(w.gw.keyctl("export", ALICE).stdout)
    w.gw.gwctl("consumer", "add", "pat", "--external", "--address", PAT)
    w.gw.gwctl("key", "import", write(w.path("pat.asc"), w.pat.public(PAT)))
    send(w, "alice", PAT, mails.plain(ALICE, PAT, body="first\n"))
    part, verdict = mails.open_pgp(w.pat, w.partner.take()[0].data)
    assert b"first" in part and "GOODSIG" in verdict, verdict
    sealed_to(w, "alice", "back\n")
    got = fetch(w, "alice")[0]
    assert b"back" in got and "signature=good" in mails.header(got, "X-Postern-Verdict")[0]


@case
def a_passphrase_is_asked_for_after_each_start(w):
    w.gw.stop()
    w.gw.start()
    assert "locked" in w.gw.keyctl("status").stdout.decode()
    sealed_to(w, "alice", "patience\n")
    with clients.Raw(w.retrieval) as c:
        c.pop()
        c.pop("USER alice")
        assert c.pop(f"PASS {w.users['alice']}")[0].startswith("+OK")
        assert c.pop("RETR 1")[0].startswith("-ERR [SYS/TEMP]")
    try:
        send(w, "alice", PAT, mails.plain(ALICE, PAT))
        raise AssertionError("sent while the key store was locked")
    except Exception as e:
        assert 400 <= getattr(e, "smtp_code", 0) <= 499, e
    wrong = w.gw.own(write(w.path("wrong"), "guess\n", 0o600))
    p = w.gw.keyctl("unlock", "--passphrase-file", wrong, check=False)
    assert p.returncode == 77, (p.returncode, p.stderr)
    assert "locked" in w.gw.keyctl("status").stdout.decode()
    w.gw.keyctl("unlock", "--passphrase-file", w.secret)
    assert b"patience" in fetch(w, "alice")[0]
    # It stays open over the death of the process that holds the keys.
    old = w.gw.kill("cryptod")
    w.gw.wait_daemon("cryptod", other_than=old)
    assert b"patience" in fetch(w, "alice")[0]
    assert PASSPHRASE not in w.gw.settled_log() and PASSPHRASE not in read(w.gw.out).decode()


@case
def nothing_secret_lies_on_the_disk(w):
    """Neither the passphrase nor what was in a message is left in any file of the gateway."""
    sealed_to(w, "alice", "".join(f"the-words-inside {os.urandom(20).hex()}\n" for _ in range(20000)))
    assert b"the-words-inside" in fetch(w, "alice")[0]
    for base in (w.gw.state, w.gw.spool, w.gw.run_dir, os.path.dirname(w.gw.log)):
        for folder, _, names in os.walk(base):
            for name in names:
                data = read(os.path.join(folder, name)) if os.path.isfile(os.path.join(folder, name)) else b""
                assert PASSPHRASE.encode() not in data and b"the-words-inside" not in data, name
    for path in (os.path.join(w.gw.state, n) for n in os.listdir(w.gw.state)):
        assert os.stat(path).st_mode & 0o077 == 0, path


@case
def keys_made_by_gnupg_are_taken_over(w):
    for user, algo, passphrase in (("bob", "rsa3072", "s3cret"), ("carol", "ed25519", "")):
        address = f"{user}@{DOMAIN}"
        w.gw.gwctl("consumer", "add", user, "--internal", "--address", address)
        home = w.gpg(user)
        home.make(f"{user} <{address}>", algo=algo, passphrase=passphrase)
        path = w.gw.own(write(w.path(f"{user}.sec"), home.secret(address, passphrase=passphrase), 0o600))
        secret = w.gw.own(write(w.path(f"{user}.pass"), passphrase + "\n", 0o600))
        w.gw.keyctl("import", "--passphrase-file", secret, path)
        w.pat.add(home.public(address))
        sealed_to(w, user, f"for {user}\n")
        assert f"for {user}".encode() in fetch(w, user)[0]
        send(w, user, PAT, mails.plain(address, PAT))
        _, verdict = mails.open_pgp(w.pat, w.partner.take()[0].data)
        assert address in verdict.get("GOODSIG", ""), (user, verdict)
        # A second time nothing is lost.
        w.gw.keyctl("import", "--passphrase-file", secret, path, check=False)
        assert f"for {user}".encode() in fetch(w, user)[0]


@case
def colleagues_read_each_others_mail(w):
    """Inside the organisation too: alice to bob is sealed on the server."""
    w.imap.empty("bob")
    send(w, "alice", BOB, mails.plain(ALICE, BOB, body="between us\n"))
    stored = w.imap.wait_stored("bob", 1)[0]
    assert b"between us" not in stored and b"BEGIN PGP MESSAGE" in stored
    got = fetch(w, "bob")[0]
    assert b"between us" in got and "signature=good" in mails.header(got, "X-Postern-Verdict")[0]


@case
def a_revoked_key_signs_no_more_but_opens_old_mail(w):
    w.imap.empty("carol")
    sealed_to(w, "carol", "from before\n")
    keys = json.loads(w.gw.keyctl("list", "--json").stdout)["keys"]
    fpr = next(k["certificate"] for k in keys if k["consumer"] == "carol")
    w.gw.keyctl("revoke", "--reason", "superseded", "--yes", fpr)
    assert b"from before" in fetch(w, "carol")[0]
    w.pat.add(w.gw.keyctl("export", fpr).stdout)
    try:
        send(w, "carol", PAT, mails.plain(CAROL, PAT, "after"))
    except Exception as e:
        assert getattr(e, "smtp_code", 0) >= 400
    else:
        got = w.partner.take()[0].data
        if mails.is_pgp_encrypted(got):
            assert "GOODSIG" not in mails.open_pgp(w.pat, got)[1]
    w.gw.keyctl("generate", "--address", CAROL, "--name", "Carol")
    w.pat.add(w.gw.keyctl("export", CAROL).stdout)
    send(w, "carol", PAT, mails.plain(CAROL, PAT, "renewed"))
    assert CAROL in mails.open_pgp(w.pat, w.partner.take()[0].data)[1].get("GOODSIG", "")
    assert b"from before" in fetch(w, "carol")[0]


def on_terminal(w, *words, **env):
    """What gwctl shows on a terminal, and its exit code."""
    argv = w.gw.command("gwctl", *words)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LC_") and k != "NO_COLOR"}
    with Terminal(argv, env=dict(kept, **{"LANG": "C.UTF-8", "TERM": "xterm", "COLUMNS": "80", **env})) as t:
        code = t.finish()
        return t.text.replace("\r\n", "\n"), code


def box_widths(text):
    """Columns of the lines of the boxes that status draws."""
    bare = re.sub(r"\033\[[0-9;]*m", "", text)
    return {len(line) for line in bare.split("\n") if line and line[0] in "\u250c\u2502\u2514"}


def status_json(w):
    p = w.gw.gwctl("status", "--json", check=False)
    status = json.loads(p.stdout)
    assert p.returncode == (status["state"] == "degraded"), p
    assert (status["state"] == "degraded") == any(f["level"] == "trouble" for f in status["findings"]), status
    return status


@case
def status_tells_how_everything_is(w):
    """Sessions, peers, keys and people; on a terminal it is drawn, elsewhere it is plain."""
    fetch(w, "alice")
    send(w, "alice", PAT, mails.plain(ALICE, PAT))
    w.partner.take()
    with clients.Raw(w.retrieval) as c:
        c.pop()
        wait_until(lambda: status_json(w)["sessions"] == 1, 10, "the session")
        status = status_json(w)
        sessions = {k["service"]: k["sessions"] for k in status["connectors"]}
    assert status["state"] == "well" and not status["findings"], status["findings"]
    assert sessions == {"smtp": 0, "pop3": 1}, sessions
    assert {d["daemon"] for d in status["daemons"]} >= {"smtpd", "cryptod", "logd"}
    up = {p["server"]: (p["state"], p["tls_version"][:3]) for p in status["peers"]}
    assert up[f"localhost:{w.mta.port}"] == up[f"localhost:{w.imap.pop3s}"] == ("up", "TLS"), up
    assert (status["keystore_state"], status["domains"], status["owners_ended"]) == ("unlocked", 1, 0), status
    assert status["owners"] == 3 and status["keys"] >= 9 and status["certificates"] == 5, status
    assert status["next_end"] > status["started"] and status["next_end_consumer"] in w.users, status
    assert w.gw.gwctl("status", "-q").stdout == b""
    plain = w.gw.gwctl("status").stdout.decode()
    assert plain.isascii() and "\033" not in plain, plain
    for word in ("well", "connectors", "daemons", "peers", f"127.0.0.1:{w.retrieval}", "cryptod/0", "unlocked"):
        assert word in plain, (word, plain)
    drawn, code = on_terminal(w, "status")
    assert code == 0 and "\033[32mwell" in drawn and "\u250c" in drawn and "\u25bc" in drawn, drawn
    assert box_widths(drawn) == {80}, drawn
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown, _ = on_terminal(w, "status", **env)
        assert "\033" not in shown and "\u250c" in shown, (env, shown)
    shown, _ = on_terminal(w, "status", LC_ALL="C")
    assert re.sub(r"\033\[[0-9;]*m", "", shown).isascii(), shown


@case
def status_says_first_what_needs_attention(w):
    """For people and, with -q and the exit code, for a monitor."""
    w.gw.keyctl("lock")
    p = w.gw.gwctl("status", "-q", check=False)
    assert p.returncode == 1 and re.fullmatch(rb"trouble: key store: locked.*\n", p.stdout), p
    assert "\033[1;31m!" in on_terminal(w, "status")[0].split("clients")[0]
    w.gw.keyctl("unlock", "--passphrase-file", w.secret)
    assert w.gw.gwctl("status", "-q").stdout == b""
    # A mail server that is away, until it is back.
    w.mta.stop()
    try:
        with clients.Raw(w.submission) as c:
            assert c.smtp()[0] == 421
        server = f"localhost:{w.mta.port}"
        peer = next(x for x in status_json(w)["peers"] if x["server"] == server)
        assert peer["state"] == "down" and peer["error"] and peer["last_down"] >= peer["last_up"] > 0, peer
        p = w.gw.gwctl("status", "-q", check=False)
        assert p.returncode == 1 and peer["error"].encode() in p.stdout and server.encode() in p.stdout, p
        # What is too long is cut, but for what stands above the boxes.
        drawn, code = on_terminal(w, "status", COLUMNS="70")
        assert code == 1 and box_widths(drawn) == {70} and "\u2026" in drawn, drawn
        assert peer["error"] in drawn.split("clients")[0], drawn
    finally:
        w.mta.start()
    send(w, "alice", PAT, mails.plain(ALICE, PAT))
    w.partner.take()
    # Two processes serve the connector: what was found last counts, whoever found it.
    assert status_json(w)["state"] == "well"
    # A daemon that dies again and again.
    old, said = set(), ""
    while "dnsd: instance 0 does not run" not in said:
        for pid in set(w.gw.daemons("dnsd")) - old:
            old.add(pid)
            kill(pid, signal.SIGKILL)
        p = w.gw.gwctl("status", "-q", check=False)
        said = p.stdout.decode()
        assert len(old) < 50, f"it is never said to wait, but {said}"
    assert p.returncode == 1, p
    wait_until(lambda: w.gw.gwctl("status", "-q", check=False).returncode == 0, 60, "dnsd to be back")


@case
def command_lines_are_completed(w):
    """By what the tools tell themselves and what is in the database; silently when they cannot."""
    gwctl, keyctl = (f"{w.gw.bin}/{tool} -c {w.gw.conf} " for tool in ("gwctl", "keyctl"))
    evil = f"`touch${{IFS}}{w.path('evil')}`@{PARTNER}"
    w.gw.gwctl("consumer", "add", "evil", "--external", "--address", evil)
    fpr = json.loads(w.gw.gwctl("key", "list", "--json", "--consumer", "pat").stdout)["certificates"][0]["fpr"]
    own = {c["fpr"] for c in json.loads(w.gw.gwctl("key", "list", "--json").stdout)["certificates"] if c["secret"]}
    ids = {"alice", "bob", "carol", "evil", "pat"}
    cases = (
        (gwctl, {"setup", "config", "status", "doctor", "log", "trace", "reload", "reopen", "stop", "tls", "domain",
                 "recipient", "route", "queue", "consumer", "key"}),
        (gwctl + "con", {"config", "consumer"}),
        (gwctl + "-", {"-c", "-r", "-h", "-V"}),
        (gwctl + "key ", {"import", "list", "show", "delete", "export"}),
        (gwctl + "stop ", set()),
        (gwctl + "status --", {"--json", "--metrics", "--quiet", "--verbose"}),
        (gwctl + "domain del ", {DOMAIN}),
        (gwctl + "domain add ", set()),
        (gwctl + "consumer set --yes-no-such ", ids),
        (gwctl + "consumer show ali", {"alice", ALICE}),
        # Readline replaces what begins with the @ only.
        (gwctl + f"consumer show alice@{DOMAIN[:3]}", {f"@{DOMAIN}"}),
        (gwctl + "key list --consumer ", ids),
        (gwctl + "key list --consumer=b", {"bob"}),
        (gwctl + f"key delete {fpr[:8]}", {fpr}),
        (gwctl + "setup --placement ", {"internal", "gateway", "both"}),
        (gwctl + "log --status ", {"sent", "deferred", "bounced"}),
        (gwctl + "log --kind log", {"login", "login-failed"}),
        (keyctl + "un", {"unlock"}),
        (keyctl + "-", {"-c", "-h", "-V"}),
        (keyctl + "ca ", {"init", "list", "export", "import"}),
        (keyctl + "ca init --algo ", {"nistp256", "nistp384", "rsa3072"}),
        (keyctl + "revoke ", own),
        (keyctl + "revoke --reason ", {"superseded", "compromised", "retired"}),
        (keyctl + f"generate --address {BOB[:5]}", {f"@{DOMAIN}"}),
    )
    for line, want in cases:
        got = completed(w, line)
        assert got == want, (line, got)
    # A name that somebody else has chosen is neither run nor put on the line as it is.
    got = completed(w, gwctl + "key show ")
    assert ALICE in got and not any(re.search(r"(?<!\\)[`$]", x) for x in got), got
    assert any("touch" in x for x in got) and not os.path.exists(w.path("evil")), got
    # When nothing runs.
    for line in (gwctl.replace(w.gw.conf, w.path("none")) + "consumer show ", "/no/such/gwctl "):
        assert completed(w, line) == set(), line
    w.gw.gwctl("consumer", "del", "--yes", "evil")


def completed(w, line):
    """What bash would offer at the end of this line."""
    script = f"""source {TOP}/etc/bash-completion/gwctl
        COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:' COMP_LINE=$1 COMP_POINT=${{#1}}
        _postern; ((${{#COMPREPLY[@]}} == 0)) || printf '%s\\n' "${{COMPREPLY[@]}}" """
    argv = w.gw.command("gwctl")
    argv[argv.index(os.path.join(w.gw.bin, "gwctl")):] = ["bash", "--norc", "-c", script, "bash", line]
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
    assert p.stderr == b"", (line, p.stderr)
    return set(p.stdout.decode().split("\n")) - {""}


@case
def a_line_is_completed_in_a_shell(w):
    """The tab key in a real one, without the package bash-completion."""
    argv = w.gw.command("gwctl")
    argv[argv.index(os.path.join(w.gw.bin, "gwctl")):] = ["bash", "--norc", "--noprofile", "-i"]
    env = dict(os.environ, PS1="ready> ", TERM="dumb", INPUTRC="/dev/null", HISTFILE="")
    with Terminal(argv, env=env) as t:
        t.expect("ready> ")
        t.type(f"source {TOP}/etc/bash-completion/gwctl; PATH={w.gw.bin}:$PATH\n")
        t.expect("\nready> ")
        t.type(f"gwctl -c {w.gw.conf} consumer sh\talice@\t\n")
        t.expect(f"consumer show {ALICE} ")
        t.expect(r"addresses +alice@")
        t.type("exit\n")
        t.finish()


@case
def a_long_import_tells_how_far_it_is(w):
    """On a terminal; there only."""
    many = write(w.path("many.pgp"), w.pat.run("--export", PAT).stdout * 200)
    p = w.gw.gwctl("key", "import", many)
    assert b"certificates:" not in p.stderr and p.stdout.count(b"unchanged") == 200, p.stderr
    text, code = on_terminal(w, "key", "import", many)
    assert code == 0 and re.search(r"certificates: \d+", text), text[-500:]
    assert text.count("unchanged") == 200, text[-500:]


@case
def listings_are_json_too(w):
    names = {words: set(w.gw.gwctl(*words, "list", "-q").stdout.decode().split())
             for words in (("domain",), ("consumer",), ("key",))}
    assert names["domain",] == {DOMAIN} and names["consumer",] == {"alice", "bob", "carol", "pat"}, names
    assert len(names["key",]) >= 4 and all(re.fullmatch("[0-9A-F]{40}", f) for f in names["key",]), names
    for words in (("domain", "list"), ("consumer", "list"), ("key", "list"), ("consumer", "show", "alice"),
                  ("key", "show", PAT)):
        text = w.gw.gwctl(*words, "--json").stdout.decode()
        assert json.loads(text), words
        assert DOMAIN in text or PARTNER in text, words


@case
def what_is_taken_away_is_used_no_more(w):
    """The partner's certificate is removed: required encryption is refused again."""
    listing = w.pat.run("--with-colons", "--list-keys", PAT).stdout.decode()
    fpr = re.search(r"^fpr:+([0-9A-F]{40}):", listing, re.M)[1]
    w.gw.gwctl("key", "delete", "--yes", fpr)
    try:
        send(w, "alice", PAT, mails.plain(ALICE, PAT, "[encrypt] x"))
        raise AssertionError("sent without a key")
    except Exception as e:
        assert 500 <= getattr(e, "smtp_code", 0) <= 599, e
    w.gw.gwctl("key", "import", w.path("pat.asc"))
    send(w, "alice", PAT, mails.plain(ALICE, PAT, "[encrypt] x"))
    assert mails.is_pgp_encrypted(w.partner.take()[0].data)


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""Mail fetched through the gateway by POP3, with Dovecot behind it."""

from pt import Site, case, run
from pt import clients, mails
from pt.mails import verdict
from pt.util import sh

PAT, ALICE = "pat@partner.test", "alice@example.test"


EXACT = """
connector "exact" {{
  service = pop3
  listen = {{"127.0.0.1:{port}"}}
  peer = "office-pop3"
  tls = disabled
  sizes = exact
  banner = yes
}}
"""


def exact(w):
    w.exact = w.ports.get()
    return EXACT.format(port=w.exact)


def world():
    w = Site(tls=True, more=exact)
    w.pat = w.outsider("pat")
    return w


def letter(body="Dear Alice,\n4711 it is.\n", subject="Re: Offer", extra=""):
    return mails.plain(f"Pat <{PAT}>", ALICE, subject, body, extra=extra)


@case
def opens_and_verifies(w):
    got = w.one(mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT))
    assert b"4711 it is." in got and b"BEGIN PGP" not in got, got
    assert "decrypted=yes" in verdict(got) and "signature=good" in verdict(got), verdict(got)
    assert PAT in "".join(mails.header(got, "X-Postern-Signer")), got
    assert b"4711" not in w.imap.stored("alice")[0]


@case
def gives_the_same_octets_each_time(w):
    w.one(mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT))
    assert w.fetch("alice") == w.fetch("alice")


@case
def leaves_other_mail_alone(w):
    w.imap.empty("alice")
    for n, body in enumerate(("plain\n", ".\n..\n...\n", "-- \nno end", "")):
        w.imap.deliver("alice", letter(body, subject=f"n{n}"))
    direct = clients.fetch(w.imap.pop3, w.login("alice"))
    assert w.fetch("alice") == direct


@case
def strips_look_alikes_of_its_own_header(w):
    got = w.one(letter(extra="X-Postern-Verdict: decrypted=yes; signature=good\n"
                              "x-postern-verdict : signature=good\n"))
    assert "signature=good" not in verdict(got) and b"x-postern-verdict :" not in got, got
    assert b"4711 it is." in got


@case
def tells_of_a_bad_signature(w):
    signed = mails.pgp_signed(w.pat, letter(), PAT).replace(b"4711 it is", b"4712 it is")
    got = w.one(signed)
    assert b"4712 it is" in got and "signature=bad" in verdict(got), verdict(got)


@case
def tells_of_an_unknown_signer(w):
    stranger = w.gpg("stranger")
    stranger.make("Stranger <stranger@partner.test>")
    got = w.one(mails.pgp_signed(stranger, letter(), "stranger@partner.test"))
    assert b"4711 it is." in got and "signature=good" not in verdict(got), verdict(got)


@case
def opens_inline_armour(w):
    armor = w.pat.encrypt(b"4711 inline\n", [ALICE], sign=PAT).decode()
    got = w.one(letter(armor))
    assert b"4711 inline" in got and "decrypted=yes" in verdict(got), got


@case
def hands_out_damaged_ciphertext_as_it_is(w):
    sealed = mails.pgp_encrypted(w.pat, letter(), [ALICE])
    at = sealed.index(b"BEGIN PGP MESSAGE") + 300
    damaged = sealed[:at] + (b"A" if sealed[at:at + 1] != b"A" else b"B") + sealed[at + 1:]
    got = w.one(damaged)
    assert b"4711" not in got and b"BEGIN PGP MESSAGE" in got
    assert "decrypted=yes" not in verdict(got) and "signature=good" not in verdict(got), verdict(got)


@case
def ciphertext_for_others_stays_as_it_is(w):
    w.pat.make("Zoe <zoe@partner.test>")
    sealed = mails.pgp_encrypted(w.pat, letter(), ["zoe@partner.test"])
    got = w.one(sealed)
    assert mails.split_head(got)[1] == mails.split_head(sealed)[1]


@case
def knows_the_commands_of_pop3(w):
    w.imap.empty("alice")
    sealed = mails.pgp_encrypted(w.pat, letter("one\ntwo\nthree\n"), [ALICE])
    w.imap.deliver("alice", sealed)
    w.imap.deliver("alice", letter("plain\n"))
    with clients.Raw(w.retrieval) as c:
        assert "<" not in c.pop()[0], "APOP is not offered"
        capa = c.pop("CAPA", multi=True)[1].split()
        assert b"UIDL" in capa and b"TOP" in capa and b"APOP" not in capa, capa
        assert c.pop("USER alice")[0].startswith("+OK")
        assert c.pop(f"PASS {w.users['alice']}")[0].startswith("+OK")
        assert c.pop("STAT")[0].split()[1] == "2"
        assert len(c.pop("LIST", multi=True)[1].splitlines()) == 2
        uidl = c.pop("UIDL", multi=True)[1].split()
        assert uidl[0::2] == [b"1", b"2"]
        # Dovecot's order of the two is its own.
        tops = [c.pop(f"TOP {n} 0", multi=True)[1] for n in (1, 2)]
        assert all(t.endswith(b"\r\n\r\n") and b"BEGIN PGP" not in t for t in tops), tops
        retr = [c.pop(f"RETR {n}", multi=True)[1] for n in (1, 2)]
        assert any(b"three" in r for r in retr) and any(b"plain" in r for r in retr)
        assert c.pop("RETR 3", multi=True)[0].startswith("-ERR")
        assert c.pop("DELE 1")[0].startswith("+OK")
        assert c.pop("RSET")[0].startswith("+OK")
        assert c.pop("DELE 2")[0].startswith("+OK")
        assert c.pop("NOOP")[0].startswith("+OK")
        assert c.pop("QUIT")[0].startswith("+OK")
    assert len(w.imap.stored("alice")) == 1


@case
def sizes_lists_and_tops_agree(w):
    """RETR's count is exact, LIST and UIDL are the server's, TOP is the beginning of RETR."""
    w.imap.empty("alice")
    body = "".join(f"line {n}\n.dot {n}\n" for n in range(50))
    w.imap.deliver("alice", mails.pgp_encrypted(w.pat, letter(body), [ALICE], sign=PAT))
    w.imap.deliver("alice", letter(body))
    w.imap.deliver("alice", mails.pgp_signed(w.pat, letter(body), PAT))

    def lists(port):
        with clients.Raw(port) as c:
            c.pop()
            c.pop("USER alice")
            c.pop(f"PASS {w.users['alice']}")
            return [c.pop(x, multi=True) for x in ("UIDL", "LIST")] + [
                c.pop(x) for x in ("STAT", "LIST 2", "UIDL 2")]
    for ours, theirs in zip(lists(w.retrieval), lists(w.imap.pop3)):
        assert ours[1] == theirs[1]
        assert ours[1] or ours[0].split()[:3] == theirs[0].split()[:3], (ours, theirs)
    with clients.Raw(w.retrieval) as c:
        c.pop()
        c.pop("USER alice")
        c.pop(f"PASS {w.users['alice']}")
        for n in (1, 2, 3):
            first, whole = c.pop(f"RETR {n}", multi=True)
            assert int(first.split()[1]) == len(whole), (first, len(whole))
            head, text = mails.split_head(whole)
            rows = text.split(b"\r\n")
            for count in (0, 1, 10, 100000):
                top = c.pop(f"TOP {n} {count}", multi=True)[1]
                want = head + b"\r\n" + b"".join(r + b"\r\n" for r in rows[:-1][:count])
                assert top == want, (n, count, top[-200:], want[-200:])


@case
def exact_sizes_are_those_of_retr(w):
    """In the first session, which opens everything, in the next, and when the server's order is another."""
    w.imap.empty("alice")
    mine = [mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT), letter(), mails.pgp_signed(w.pat, letter(), PAT),
            letter("no end"), mails.pgp_encrypted(w.pat, letter("x\n" * 50000), [ALICE])]
    for data in mine:
        w.imap.deliver("alice", data)
    seen = []
    for _ in range(3):
        with clients.Raw(w.exact) as c:
            c.pop()
            c.pop("USER alice")
            c.pop(f"PASS {w.users['alice']}")
            stat = c.pop("STAT")[0].split()
            sizes = [int(x.split()[1]) for x in c.pop("LIST", multi=True)[1].splitlines()]
            assert stat == ["+OK", str(len(sizes)), str(sum(sizes))], (stat, sizes)
            uidl = c.pop("UIDL", multi=True)[1].split()[1::2]
            texts = [c.pop(f"RETR {n}", multi=True)[1] for n in range(1, len(sizes) + 1)]
            assert [len(t) for t in texts] == sizes
            seen.append({u: t for u, t in zip(uidl, texts)})
        w.imap.deliver("alice", letter(f"number {len(seen)}\n"))
    assert seen[0].items() <= seen[1].items() <= seen[2].items()
    for n in (5, 1):
        w.gw.wait_log(f"sizes: {n} messages learnt")


@case
def pipelined_commands_are_answered_in_order(w):
    w.imap.empty("alice")
    w.imap.deliver("alice", mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT))
    with clients.Raw(w.retrieval) as c:
        c.pop()
        c.send("\r\n".join(["USER alice", f"PASS {w.users['alice']}", "STAT", "RETR 1", "TOP 1 0", "NOOP",
                            "RETR 1", "QUIT", ""]))
        assert [c.pop()[0][:3] for _ in range(3)] == ["+OK"] * 3
        one = c.pop(multi=True)[1]
        assert b"4711 it is." in one
        assert c.pop(multi=True)[1].endswith(b"\r\n\r\n")
        assert c.pop()[0].startswith("+OK")
        assert c.pop(multi=True)[1] == one
        assert c.pop()[0].startswith("+OK") and c.at_end()


@case
def auth_plain_is_relayed(w):
    w.imap.empty("alice")
    w.imap.deliver("alice", mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT))
    for split in (False, True):
        with clients.Raw(w.retrieval) as c:
            c.pop()
            token = clients.plain_login(*w.login("alice"))
            if split:
                assert c.pop("AUTH PLAIN")[0].startswith("+")
                answer = c.pop(token)[0]
            else:
                answer = c.pop("AUTH PLAIN " + token)[0]
            assert answer.startswith("+OK"), answer
            assert b"4711 it is." in c.pop("RETR 1", multi=True)[1]
    with clients.Raw(w.retrieval) as c:
        c.pop()
        assert c.pop("AUTH PLAIN")[0].startswith("+")
        assert c.pop("*")[0].startswith("-ERR")
        assert c.pop("AUTH PLAIN ????")[0].startswith("-ERR")
        assert c.pop("AUTH SCRAM-SHA-256-PLUS x")[0].startswith("-ERR")
        assert c.pop("APOP alice 00112233445566778899aabbccddeeff")[0].startswith("-ERR")


@case
def relays_a_wrong_password(w):
    with clients.Raw(w.retrieval) as c:
        c.pop()
        c.pop("USER alice")
        assert c.pop("PASS wrong")[0].startswith("-ERR")


@case
def ordinary_clients_get_along(w):
    w.one(mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT))
    url = f"pop3://127.0.0.1:{w.retrieval}/1"
    assert b"4711 it is." in sh(["curl", "-s", "-u", ":".join(w.login("alice")), url]).stdout
    box = w.path("fetched.mbox")
    sh(["fetchmail", "--silent", "-f", "-", "--nosyslog", "--sslproto", "", "-k", "-d0"],
       data=(f"set idfile {w.path('fetchids')}\npoll 127.0.0.1 protocol pop3 port {w.retrieval}\n"
             f"  user alice password {w.users['alice']} mda \"cat >>{box}\"\n").encode(),
       env={"PATH": "/usr/bin:/bin", "HOME": w.folder, "FETCHMAILHOME": w.folder})
    with open(box, "rb") as f:
        assert b"4711 it is." in f.read()


@case
def locked_keys_are_a_passing_failure(w):
    w.one(mails.pgp_encrypted(w.pat, letter(), [ALICE], sign=PAT))
    w.gw.keyctl("lock")
    try:
        with clients.Raw(w.retrieval) as c:
            c.pop()
            c.pop("USER alice")
            c.pop(f"PASS {w.users['alice']}")
            answer = c.pop("RETR 1")[0]
        assert answer.startswith("-ERR [SYS/TEMP]"), answer
        code = w.refusal("alice", PAT, mails.plain(ALICE, PAT))[0]
        assert 400 <= code <= 499, code
    finally:
        w.gw.keyctl("unlock", "--key-file", w.key_file)
    assert b"4711 it is." in w.fetch("alice")[0]


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""Elliptic curves, bzip2 and hidden recipients through the whole gateway, with GnuPG outside."""

import base64
import json
import os
import re

from pt import Site, case, run
from pt import mails
from pt.util import sh

ALICE, BOB = "alice@example.test", "bob@example.test"
CURVES = ("nistp256", "nistp384", "nistp521", "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1")
SECRET = "Dear colleague,\n4711 it is.\n"


class With:
    """A gpg that encrypts with further options."""

    def __init__(self, gpg, *args):
        self.gpg, self.args = gpg, args

    def encrypt(self, data, to, sign=None):
        return self.gpg.encrypt(data, to, sign=sign, args=self.args)


class WithoutIntegrity:
    """Encrypts as programs did before 2001: CFB that begins anew behind its prefix (RFC 4880, 5.7)."""

    def __init__(self, gpg):
        self.gpg = gpg

    def encrypt(self, data, to, sign=None):
        modern = self.gpg.encrypt(data, to, sign=sign, armor=False)
        status = self.gpg.run("--show-session-key", "--decrypt", data=modern).stderr.decode()
        key = re.search(r"session key: '9:([0-9A-F]{64})'", status)[1]
        literal = b"b\0" + bytes(4) + data
        prefix = os.urandom(16)
        head = self._cfb(key, bytes(16), prefix + prefix[-2:])
        body = head + self._cfb(key, head[2:], b"\xcb" + self._length(literal) + literal)
        old = b"".join(p for tag, p in self._packets(modern) if tag == 1) + b"\xc9" + self._length(body) + body
        lines = base64.encodebytes(old).decode()
        return f"-----BEGIN PGP MESSAGE-----\n\n{lines}-----END PGP MESSAGE-----\n".encode()

    @staticmethod
    def _cfb(key, iv, data):
        return sh(["openssl", "enc", "-aes-256-cfb", "-K", key, "-iv", iv.hex()], data=data).stdout

    @staticmethod
    def _length(data):
        return b"\xff" + len(data).to_bytes(4, "big")

    @staticmethod
    def _packets(data):
        """The packets in front of the encrypted data, which may have a length in parts."""
        while data:
            tag, old = (data[0] >> 2 & 15, True) if not data[0] & 0x40 else (data[0] & 63, False)
            if tag != 1:
                return
            if old:
                octets = 1 << (data[0] & 3)
                size = 1 + octets + int.from_bytes(data[1:1 + octets], "big")
            else:
                size = 2 + data[1] if data[1] < 192 else 3 + (data[1] - 192 << 8) + data[2] + 192
            yield tag, data[:size]
            data = data[size:]


def world():
    w = Site(keys=("alice",))
    w.pat = w.outsider("pat")
    # Whoever has many keys is tried with each where the recipient is hidden.
    for curve in CURVES:
        w.make_key("bob", curve)
    w.gpgs = {}
    for n, curve in enumerate(CURVES):
        user = f"u{n}"
        w.gpgs[curve] = w.outsider(user, algo=curve), f"{user}@partner.test"
        w.gpgs[curve][0].add(w.certificate("bob"))
    w.pat.add(w.certificate("bob"))
    return w


def fetched(w, data, user):
    got = w.one(data, user)
    return got, mails.verdict(got)


def keys_of(gpg, address):
    """The fingerprints of all encryption subkeys of an address."""
    out = gpg.run("--with-colons", "--list-keys", address).stdout.decode().splitlines()
    fprs, sub = [], False
    for line in out:
        fields = line.split(":")
        if fields[0] in ("pub", "sub"):
            sub = fields[0] == "sub" and "e" in fields[11]
        elif fields[0] == "fpr" and sub:
            fprs.append(fields[9])
    return fprs


@case
def mail_to_a_key_on_any_curve_is_encrypted(w):
    for curve, (gpg, address) in w.gpgs.items():
        w.send("alice", address, mails.plain(ALICE, address, "[encrypt] plan", SECRET))
        got = w.partner.take()[0].data
        assert b"4711" not in got, curve
        part, status = mails.open_pgp(gpg, got)
        assert b"4711 it is." in part and "DECRYPTION_OKAY" in status, (curve, status)
        assert ALICE in status.get("GOODSIG", ""), (curve, status)


@case
def keys_on_curves_sign_and_the_hash_fits(w):
    """GnuPG refuses a digest that is shorter than the curve's order."""
    address = "nobody@partner.test"
    w.send("bob", address, mails.plain(BOB, address, "plan"))
    got = w.partner.take()[0].data
    status = mails.check_signed(w.pat, got)[1]
    assert BOB in status.get("GOODSIG", ""), status
    curve = w.gpgs["brainpoolP512r1"]
    w.send("bob", curve[1], mails.plain(BOB, curve[1], "[encrypt] plan", SECRET))
    part, status = mails.open_pgp(curve[0], w.partner.take()[0].data)
    assert b"4711 it is." in part and BOB in status.get("GOODSIG", ""), status


@case
def mail_to_each_of_a_consumers_keys_is_opened(w):
    subs = keys_of(w.pat, BOB)
    assert len(subs) == len(CURVES), subs
    for sub in subs:
        data = mails.pgp_encrypted(w.pat, mails.plain("pat@partner.test", BOB, "Re", SECRET), [sub + "!"],
                                   sign="pat@partner.test")
        got, verdict = fetched(w, data, "bob")
        assert b"4711 it is." in got and "decrypted=yes" in verdict and "signature=good" in verdict, verdict


@case
def signatures_of_any_curve_verify(w):
    for curve, (gpg, address) in w.gpgs.items():
        data = mails.pgp_encrypted(gpg, mails.plain(address, BOB, "Re", SECRET), [BOB], sign=address)
        got, verdict = fetched(w, data, "bob")
        assert b"4711 it is." in got and "signature=good" in verdict, (curve, verdict)
        got, verdict = fetched(w, mails.pgp_signed(gpg, mails.plain(address, BOB, "Re", SECRET), address), "bob") \
            if curve == "nistp256" else (got, verdict)
        assert "signature=good" in verdict, (curve, verdict)


@case
def hidden_recipients_are_found(w):
    hide = With(w.pat, "--throw-keyids")
    for sub in keys_of(w.pat, BOB):
        data = mails.pgp_encrypted(hide, mails.plain("pat@partner.test", BOB, "Re", SECRET),
                                   ["pat@partner.test", ALICE, sub + "!"], sign="pat@partner.test")
        for user in ("alice", "bob"):
            got, verdict = fetched(w, data, user)
            assert b"4711 it is." in got and "signature=good" in verdict, (sub, user, verdict)


@case
def mail_to_hidden_others_is_not_shown(w):
    hide = With(w.pat, "--throw-keyids")
    data = mails.pgp_encrypted(hide, mails.plain("pat@partner.test", BOB, "Re", SECRET), ["pat@partner.test"])
    got, verdict = fetched(w, data, "bob")
    assert b"4711" not in got and "decrypted=yes" not in verdict, verdict


@case
def listings_name_the_curve(w):
    for curve, (_, address) in w.gpgs.items():
        cert, = json.loads(w.gw.gwctl("key", "show", "--json", address).stdout)["certificates"]
        assert [k["algo"] for k in cert["keys"]] == [curve, curve], cert
    cert, = json.loads(w.gw.gwctl("key", "show", "--json", ALICE).stdout)["certificates"]
    assert {k["algo"] for k in cert["keys"]} == {"ed25519", "cv25519"}, cert


@case
def bzip2_is_read(w):
    squeeze = With(w.pat, "--compress-algo", "bzip2")
    text = SECRET + "a line that comes again\n" * 2000
    data = mails.pgp_encrypted(squeeze, mails.plain("pat@partner.test", ALICE, "Re", text), [ALICE],
                               sign="pat@partner.test")
    assert len(data) < 6000
    got, verdict = fetched(w, data, "alice")
    assert got.count(b"comes again") == 2000 and "signature=good" in verdict, verdict


@case
def what_has_no_integrity_is_not_opened(w):
    text = mails.plain("pat@partner.test", ALICE, "Re", SECRET)
    old = WithoutIntegrity(w.pat)
    mine = old.encrypt(text, [ALICE, "pat@partner.test"])
    assert b"4711 it is." in w.pat.run("--ignore-mdc-error", "--decrypt", data=mine).stdout
    got, verdict = fetched(w, mails.pgp_encrypted(old, text, [ALICE, "pat@partner.test"]), "alice")
    assert b"4711" not in got and b"-----BEGIN PGP MESSAGE-----" in got, got
    assert "decrypted=no-mdc" in verdict and "signature=none" in verdict, verdict


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""100 MiB through smtpd and pop3d, and what all daemons use of memory meanwhile."""
# check: alone
# check: timeout=240

import base64
import os
import threading

from pt import Site, case, run
from pt import clients, mails

PAT, QUINN, ALICE = "pat@partner.test", "quinn@partner.test", "alice@example.test"
SIZE, MEMORY = 100 << 20, 32 << 20  # octets


def peer(w):
    w.peer = w.sink(users=w.users, features=["PIPELINING", "SIZE 209715200", "8BITMIME", "DSN"])
    return w.peer.port


def pop_peer(w):
    w.pop = w.fakepop()
    return w.pop.port


def world():
    w = Site(smtp_port=peer, pop3_port=pop_peer, keys=("alice",), level="info",
             more="limits {\n  message_size = 160M\n}\n")
    w.pat = w.outsider("pat")
    chunk = base64.encodebytes(os.urandom(57 * 1024))
    body = (chunk * (SIZE // len(chunk) + 1)).decode()
    w.letter = mails.plain(PAT, ALICE, "Large", body, extra="Content-Transfer-Encoding: base64\n")
    w.body = mails.split_head(w.letter)[1]
    assert len(w.letter) > SIZE
    return w


class Watch(threading.Thread):
    """The most memory that master and all daemons had at once."""

    def __init__(self, gw):
        super().__init__(daemon=True)
        self.gw, self.most, self.ended = gw, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.05):
            self.most = max(self.most, self.gw.memory())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_exc):
        self.ended.set()
        self.join()
        print(f"  at most {self.most / (1 << 20):.1f} MiB")
        assert kind is not None or 0 < self.most < MEMORY, f"{self.most} octets"


def sent(w, to):
    """What the server gets of the letter, from alice."""
    data = w.letter.replace(b"From: " + PAT.encode(), b"From: " + ALICE.encode(), 1)
    with Watch(w.gw):
        w.send("alice", to, data, timeout=200)
    return w.peer.take(seconds=60)[0].data


@case
def is_sealed_in_little_memory(w):
    got = sent(w, PAT)
    assert mails.is_pgp_encrypted(got[:4096] + b"\r\n")
    armor = got[got.index(b"-----BEGIN PGP MESSAGE"):got.index(b"-----END PGP MESSAGE-----") + 26]
    part, status = w.pat.decrypt(armor)
    assert "DECRYPTION_OKAY" in status and "GOODSIG" in status, status
    assert mails.split_head(part)[1] == w.body


@case
def is_signed_in_little_memory(w):
    got = sent(w, QUINN)
    part, status = mails.check_signed(w.pat, got)
    assert "GOODSIG" in status, status
    assert mails.split_head(part)[1] == w.body


def fetched(w, data):
    with w.pop.lock:
        w.pop.boxes["alice"] = [("u", data)]
    with Watch(w.gw):
        got = clients.fetch(w.retrieval, w.login("alice"), timeout=200)
    return got[0]


@case
def is_opened_in_little_memory(w):
    got = fetched(w, mails.pgp_encrypted(w.pat, w.letter, [ALICE], sign=PAT))
    assert "signature=good" in mails.header(got, "X-Postern-Verdict")[0]
    assert mails.split_head(got)[1] == w.body


@case
def passes_untouched_in_little_memory(w):
    assert fetched(w, w.letter) == w.letter


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""testssl.sh finds nothing wrong with the gateway's TLS; t/soak/tls has all of its tests at all doors."""

# check: timeout=300

import concurrent.futures

from pt import case, run
from pt.testssl import DoorsWorld, run_testssl, wrong

PROTOCOLS, CIPHERS, PREFERENCE, CERTIFICATE, VULNERABLE = "-p", "-s", "-P", "-S", "-U"
DOORS = {"smtps-ecdsa": (PROTOCOLS, CIPHERS, PREFERENCE, CERTIFICATE),
         "pop3-starttls-rsa": (PROTOCOLS, VULNERABLE)}


def world():
    w = DoorsWorld(kinds=("ecdsa", "rsa"))
    # It sleeps for most of its time: both at once.
    pool = concurrent.futures.ThreadPoolExecutor(len(DOORS))
    w.defer(pool.shutdown)
    w.runs = {name: pool.submit(run_testssl, w.doors[name], w.path(), options) for name, options in DOORS.items()}
    return w


def nothing_wrong(w, name):
    found = wrong(w.doors[name], w.runs[name].result(), certificate=CERTIFICATE in DOORS[name])
    assert not found, "\n".join(found)


@case
def protocols_ciphers_and_certificate_at_a_tls_port(w):
    nothing_wrong(w, "smtps-ecdsa")


@case
def protocols_and_known_attacks_behind_stls(w):
    nothing_wrong(w, "pop3-starttls-rsa")
    found = {f["id"]: f["severity"] for f in w.runs["pop3-starttls-rsa"].result()}
    assert found["secure_renego"] == found["secure_client_renego"] == found["heartbleed"] == "OK", found


@case
def no_daemon_has_ended(w):
    log = w.gw.settled_log()
    assert w.gw.alive() and " error: " not in log and " fatal: " not in log and "restart" not in log


if __name__ == "__main__":
    run(world)

#!/usr/bin/env python3
"""MTA-STS and reports about TLS: deliveries to MX whose domains say what TLS has to be."""

import email
import gzip
import http.server
import json
import os
import re
import ssl
import threading

from pt import QueueSite, case, run
from pt import mails
from pt.util import read, wait_until

DORA = "dora@example.test"
REPORTS = "postmaster@example.test"

# Domain: mode of its policy (None: there is no policy, though the record says so), name in it as MX, and which of the
# certificates its MX shows: one with its name, one with another.
DOMAINS = {
    "good": ("enforce", "mx.good.test", "right"),
    "wild": ("enforce", "*.wild.test", "right"),
    "unnamed": ("enforce", "elsewhere.test", "right"),
    "bad": ("enforce", "mx.bad.test", "wrong"),
    "lax": ("testing", "mx.lax.test", "wrong"),
    "lost": (None, "", "wrong"),
}

CONF = """
dns {{
  servers = {{"127.0.0.1@{dns}"}}
  hosts = no
  trust_anchor = "{anchor}"
}}
keyd {{
  allow = {{"127.0.0.1"}}
  sts_ca_file = "{ca}"
  sts_port = {https}
}}
processes {{
  smtpd = 1
  deliverd = 1
}}
tls_profile "default" {{
  ca_file = "{ca}"
}}
"""
TO_MX = """
route "{name}" {{
  domains = {{"{name}.test"}}
  servers = {{"mx:{name}.test:{port}"}}
}}
"""
TO_SINK = """
route "all" {{
  domains = {{"*"}}
  servers = {{"127.0.0.1:{port}"}}
  tls = none
}}
"""


class Policies(http.server.ThreadingHTTPServer):
    """HTTPS for all mta-sts.DOMAIN; .asked has the domains that were asked for."""

    daemon_threads = True

    def __init__(self, cert, key):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port, self.asked = self.server_address[1], []
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(cert, key)
        self.socket = ctx.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # pylint: disable=invalid-name
        m = re.fullmatch(r"mta-sts\.(\w+)\.test:\d+", self.headers["Host"])
        self.server.asked.append(m[1])
        mode, name, _ = DOMAINS[m[1]]
        if self.path != "/.well-known/mta-sts.txt" or mode is None:
            self.send_error(404)
            return
        body = f"version: STSv1\r\nmode: {mode}\r\nmx: {name}\r\nmax_age: 86400\r\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    def log_message(self, *_args):  # pylint: disable=arguments-differ
        pass


def configure(w):
    zones = w.zones()
    for name in DOMAINS:
        zones.add(name, ["@ MX 10 mx", "mx A 127.0.0.1", "mta-sts A 127.0.0.1",
                         '_mta-sts TXT "v=STSv1; id=20260101;"',
                         f'_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@{name}.test"'], signed=False)
    zones.start()
    w.policies = Policies(*w.ca.issue("policies", names=[f"mta-sts.{n}.test" for n in DOMAINS], addresses=()))
    w.defer(w.policies.stop)
    right = w.ca.issue("right", names=[f"mx.{n}.test" for n in DOMAINS], addresses=())
    wrong = w.ca.issue("wrong", names=["somebody.test"], addresses=())
    w.mxs = {n: w.sink(tls=right if kind == "right" else wrong) for n, (_, _, kind) in DOMAINS.items()}
    routes = "".join(TO_MX.format(name=n, port=s.port) for n, s in w.mxs.items())
    return CONF.format(dns=zones.port, anchor=zones.anchor, ca=w.ca.ca, https=w.policies.port) + routes + \
        TO_SINK.format(port=w.sink().port)


def world():
    return QueueSite(users=("dora",), routes=False, more=configure,
                     queue=f'tls_reports = yes\n  report_from = "{REPORTS}"')


def send(w, name):
    to = f"pat@{name}.test"
    w.send(w.relay, DORA, to, mails.plain(DORA, to, body="hello\n"))
    return to


def waiting(w, to):
    """Why this one waits in the queue, once it does."""
    def why():
        return next((r["delay_reason"] for q in w.queue() for r in q["recipients"]
                     if r["address"] == to and r["delay_reason"]), None)
    return wait_until(why, 20, f"{to} in the queue")


def arrives_by_tls(w, name):
    to = send(w, name)
    got = w.mxs[name].take()[0]
    assert got.recipients == [to] and got.tls, vars(got)


@case
def a_server_that_is_as_its_policy_says_gets_mail(w):
    arrives_by_tls(w, "good")
    arrives_by_tls(w, "wild")
    w.empty()
    assert w.policies.asked.count("good") == 1
    arrives_by_tls(w, "good")
    assert w.policies.asked.count("good") == 1, "a policy is kept"
    w.gw.wait_log(r"keyd.*: sts domain=good\.test, id=20260101, delay=\d+ms, mode=enforce, mx=1, max_age=86400")


@case
def a_server_that_is_not_named_gets_none(w):
    why = waiting(w, send(w, "unnamed"))
    assert "policy" in why.lower() or "sts" in why.lower(), why
    assert not w.mxs["unnamed"].mails


@case
def a_server_with_a_bad_certificate_gets_none(w):
    why = waiting(w, send(w, "bad"))
    assert "certificate" in why.lower(), why
    assert not w.mxs["bad"].mails


@case
def testing_and_no_policy_hold_up_nothing(w):
    arrives_by_tls(w, "lax")
    arrives_by_tls(w, "lost")
    w.gw.wait_log(r"keyd.*: sts domain=lost\.test, id=20260101, delay=\d+ms, HTTP status 404")


@case
def policies_outlive_keyd(w):
    def kept():
        m = re.search(r"sts\.kept\W+(\d+)", w.gw.gwctl("status", "-v").stdout.decode())
        return int(m[1]) if m else 0
    arrives_by_tls(w, "good")
    before, asked = kept(), len(w.policies.asked)
    assert before >= 3, before
    # They are written some seconds after they came.
    store = os.path.join(w.gw.state, "keyd", "data.mdb")
    wait_until(lambda: b"good.test" in read(store), 30, "policies on the disk", pause=0.2)
    old = w.gw.kill("keyd")
    w.gw.wait_daemon("keyd", other_than=old, seconds=10)
    wait_until(lambda: kept() == before, 20, "what keyd had kept", pause=0.2)
    assert len(w.policies.asked) == asked


@case
def domains_that_want_it_are_told_how_tls_was(w):
    def seen():
        out = json.loads(w.gw.gwctl("tls", "reports", "--json").stdout)
        return {r["domain"]: (r["good"], r["failed"]) for r in out["reports"]}
    wait_until(lambda: {"good.test", "unnamed.test", "bad.test", "lax.test"} <= set(seen()), 20, "sessions")
    counts = seen()
    assert counts["good.test"][0] > 0 and counts["good.test"][1] == 0, counts
    assert counts["bad.test"][1] > 0 and counts["unnamed.test"][1] > 0 and counts["lax.test"][1] > 0, counts
    w.gw.gwctl("tls", "reports", "--send", "lax.test")
    got = w.mxs["lax"].take()[0]
    assert got.sender == REPORTS and got.recipients == ["tls@lax.test"], vars(got)
    mail = email.message_from_bytes(got.data)
    assert mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "tlsrpt"
    assert mail["TLS-Report-Domain"] == "lax.test" and mail["TLS-Report-Submitter"] == "gw.example.test"
    part = mail.get_payload()[1]
    assert part.get_content_type() == "application/tlsrpt+gzip"
    report = json.loads(gzip.decompress(part.get_payload(decode=True)))
    sts = [p for p in report["policies"] if p["policy"]["policy-type"] == "sts"][0]
    assert sts["policy"]["policy-domain"] == "lax.test" and sts["policy"]["mx-host"] == ["mx.lax.test"], report
    assert "mode: testing" in sts["policy"]["policy-string"], report
    detail = sts["failure-details"][0]
    assert detail["result-type"] == "certificate-host-mismatch", report
    assert detail["receiving-mx-hostname"] == "mx.lax.test" and detail["receiving-ip"] == "127.0.0.1", report
    assert report["contact-info"] == REPORTS and report["organization-name"] == "gw.example.test"


if __name__ == "__main__":
    run(world)

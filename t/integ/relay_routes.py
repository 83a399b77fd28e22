#!/usr/bin/env python3
"""Routes: several servers, their weights and failover, smart hosts, and what DNS says of domains."""

import re

from pt import QueueSite, case, run
from pt import mails
from pt.relay import failing
from pt.util import wait_until, write

DORA = "dora@example.test"
SECRET = "correct horse"

CONF = """
dns {{
  servers = {{"127.0.0.1@{dns}"}}
  hosts = no
}}
processes {{
  smtpd = 1
  deliverd = 1
}}
tls_profile "private" {{
  ca_file = "{ca}"
}}
route "office" {{
  domains = {{"example.test"}}
  servers = {{"127.0.0.1:{office}"}}
  tls = none
}}
"""
SHARED = """
route "shared" {{
  domains = {{"shared.test", ".shared.test"}}
  servers = {{"10/127.0.0.1:{one}*3", "10/127.0.0.1:{two}", "20/127.0.0.1:{third}"}}
  fallback = {{"127.0.0.1:{last}"}}
  tls = none
  reuse = {reuse}
}}
"""
SMART = """
route "{name}" {{
  domains = {{"{name}.test"}}
  servers = {{"{host}:{port}"}}
  tls = verify
  profile = private
  login = "gate"
  password_file = "{secret}"
}}
"""


def configure(w):
    cert = w.ca.issue("smart", names=("smart.example",), addresses=())
    w.names = w.dns({("null.test", "MX"): [(0, ".")], ("mx.test", "MX"): [(10, "gone.test")],
                     ("self.test", "MX"): [(10, "gw.example.test"), (20, "elsewhere.test")],
                     ("smart.example", "A"): ["127.0.0.1"], ("other.example", "A"): ["127.0.0.1"]})
    w.names.fail["silent.test"] = 2
    w.one, w.two, w.third, w.last = (w.sink() for _ in range(4))
    w.smart = w.sink(tls=cert, users={"gate": SECRET})
    w.office_sink = w.sink()
    secret = write(w.path("secret"), SECRET + "\nnot this\n", 0o444)
    w.base = CONF.format(dns=w.names.port, ca=w.ca.ca, office=w.office_sink.port) + "".join(
        SMART.format(name=n, host=h, port=w.smart.port, secret=secret)
        for n, h in (("smart", "smart.example"), ("wrong", "other.example")))
    return w.base + shared(w)


def shared(w, reuse=30):
    return SHARED.format(one=w.one.port, two=w.two.port, third=w.third.port, last=w.last.port, reuse=reuse)


def world():
    return QueueSite(users=("dora",), routes=False, more=configure)


def send(w, to, count=1):
    for _ in range(count):
        w.send(w.relay, DORA, to, mails.plain(DORA, to, body="hello\n"))


def arrived(*sinks):
    return [len(s.mails) for s in sinks]


def forget(*sinks):
    for s in sinks:
        s.clear()
        with s.lock:
            s.mails = []


@case
def servers_of_one_priority_share_by_weight_over_few_connections(w):
    before = w.one.connections + w.two.connections
    for n in range(60):
        send(w, "pat@shared.test")
        wait_until(lambda n=n: sum(arrived(w.one, w.two)) > n, 20, "delivery", pause=0.01)
    one, two = arrived(w.one, w.two)
    assert one > two > 0, (one, two)
    assert w.one.connections + w.two.connections - before <= 6
    assert arrived(w.third, w.last) == [0, 0]
    w.empty()
    forget(w.one, w.two)


@case
def a_route_covers_what_is_below_its_domain(w):
    send(w, "pat@deep.shared.test")
    wait_until(lambda: sum(arrived(w.one, w.two)) == 1, 20, "delivery")
    w.empty()
    forget(w.one, w.two)


@case
def the_next_priority_and_then_the_fallback_take_over(w):
    w.gw.configure(w.pieces.replace("reuse = 30", "reuse = 0"))
    w.gw.reload()
    with failing(w.one, "CONNECT", "421 4.3.2 not now"), failing(w.two, "CONNECT", "554 5.3.2 never"):
        send(w, "pat@shared.test", 3)
        w.third.wait_mails(3)
        with failing(w.third, "MAIL", "421 4.3.2 not now"):
            send(w, "pat@shared.test", 2)
            w.last.wait_mails(2)
    assert arrived(w.one, w.two) == [0, 0]
    w.empty()
    forget(w.one, w.two, w.third, w.last)
    w.gw.configure(w.pieces)
    w.gw.reload()


@case
def a_reload_moves_the_next_message(w):
    send(w, "pat@shared.test")
    wait_until(lambda: sum(arrived(w.one, w.two)) == 1, 20, "delivery")
    w.gw.configure(w.pieces.replace(shared(w), shared(w).replace("10/127", "30/127")))
    w.gw.reload()
    send(w, "pat@shared.test")
    w.third.wait_mails(1)
    w.gw.configure(w.pieces)
    w.gw.reload()
    forget(w.one, w.two, w.third)
    w.empty()


@case
def a_smart_host_is_verified_before_it_gets_the_password(w):
    send(w, "pat@smart.test")
    got = w.smart.take()[0]
    assert got.tls and got.user == "gate", vars(got)
    w.empty()
    forget(w.smart)
    start = len(w.gw.log_text())
    send(w, "pat@wrong.test")
    w.gw.wait_log(r"to=<pat@wrong\.test>, relay=none, .*dsn=4\.7\.5, status=deferred \(.*name does not match", start=start)
    assert b"AUTH" not in b"\n".join(w.smart.said("C")).upper()
    w.gw.gwctl("queue", "delete", "--yes", "--rcpt", "pat@wrong.test")
    w.empty()


@case
def what_dns_says_of_a_domain_comes_back_to_the_sender(w):
    for to, words in (("pat@null.test", r"5\.1\.10.*nullMX"), ("pat@nowhere.test", r"5\.1\.2.*Host not found"),
                      ("pat@mx.test", r"5\.4\.4.*gone\.test"), ("pat@self.test", r"5\.4\.6.*loops back to myself")):
        forget(w.office_sink)
        start = len(w.gw.log_text())
        send(w, to)
        notice = w.office_sink.take()[0]
        assert notice.sender == "" and notice.recipients == [DORA], vars(notice)
        w.gw.wait_log(rf"to=<{re.escape(to)}>, .*dsn={words.split('.*')[0]}, status=bounced", start=start)
        assert re.search(words.replace(".*", "[^~]*"), notice.data.decode().replace("\r\n", " ")), notice.data
    w.empty()


@case
def silence_of_dns_only_delays(w):
    start = len(w.gw.log_text())
    send(w, "pat@silent.test")
    w.gw.wait_log(r"to=<pat@silent\.test>, relay=none, .*dsn=4\.4\.3, status=deferred", start=start, seconds=60)
    del w.names.fail["silent.test"]
    w.names.records["silent.test", "MX"] = [(0, ".")]
    w.office_sink.take(1, seconds=60)
    w.empty()


run(world)

#!/usr/bin/env python3
"""The gate of connectors that the world can reach: who is kept waiting, refused, counted, and who is not."""

import os
import re
import signal
import socket
import struct
import time

from pt import case, run
from pt.clients import Raw
from pt.relay import QueueSite
from pt.util import wait_until
from pt.world import DOMAIN

ALICE = f"alice@{DOMAIN}"
# Addresses of loopback: each test is another client.
PATIENT, HASTY, LISTED, GOOD, MANY, FAST, LIAR, SLOW, FROZEN = (f"127.0.0.{n}" for n in range(11, 20))
GREY = "10.1.2.3"  # behind a balancer, since no resolver asks for names of 127.0.0.0/8

GATES = """
dns {{
  servers = {{"127.0.0.1@{dns}"}}
  hosts = no
}}
gate "shy" {{
  greet_wait = 2
}}
gate "grey" {{
  greylist = yes
  greylist_delay = 2
}}
gate "lists" {{
  dnsbl = {{"bl.test*2", "other.bl.test=127.0.0.[2..3]*2", "good.test*-5"}}
  dnsbl_threshold = 2
}}
gate "few" {{
  connections = 2
  message_rate = 3
  error_rate = 4
  tarpit = 1
}}
"""
CONNECTOR = """
connector "{name}" {{
  service = mx
  listen = {{"127.0.0.1:{port}"}}
  tls = disabled
  {more}
}}
"""
RECORDS = {
    ("3.2.1.10.in-addr.arpa", "PTR"): ["grey.client.test"],
    ("grey.client.test", "A"): [GREY],
    ("13.0.0.127.bl.test", "A"): ["127.0.0.2"],
    ("13.0.0.127.bl.test", "TXT"): ["see http://bl.test/?127.0.0.13"],
    ("14.0.0.127.bl.test", "A"): ["127.0.0.2"],
    ("14.0.0.127.good.test", "A"): ["127.0.0.1"],
    ("14.0.0.127.other.bl.test", "A"): ["127.0.0.9"],
}
MORE = {
    "shy": 'gate = "shy"', "lists": 'gate = "lists"', "few": 'gate = "few"',
    "grey": 'gate = "grey"\n  proxy_protocol = {"127.0.0.1"}',
    "balanced": 'proxy_protocol = {"127.0.0.1"}\n  clients = {"198.51.100.0/24", "2001:db8::/32"}',
    "front": 'xclient = {"127.0.0.1"}',
}


def proxy(source):
    """A header of version 1 for TCP over IPv4."""
    return f"PROXY TCP4 {source} 192.0.2.2 4711 25\r\n".encode()


def v2(source, target, command=0x21):
    """A header of version 2 for TCP over IPv4 or IPv6."""
    six = ":" in source
    family = socket.AF_INET6 if six else socket.AF_INET
    body = socket.inet_pton(family, source) + socket.inet_pton(family, target) + struct.pack(">HH", 4711, 25)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", command, 0x21 if six else 0x11, len(body)) + body


class Site(QueueSite):
    """.at[NAME]: the port of each connector of MORE."""

    def __init__(self):
        super().__init__(more=Site.pieces)

    def pieces(self):
        self.names = self.dns(RECORDS)
        self.at = {name: self.ports.get() for name in MORE}
        return GATES.format(dns=self.names.port) + \
            "".join(CONNECTOR.format(name=n, port=self.at[n], more=m) for n, m in MORE.items())


class Client(Raw):
    """A client that comes from another address of loopback."""

    def __init__(self, port, source="127.0.0.1", greeted=True, header=b"", timeout=30.0):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen, self.ended, self._in = b"", False, b""
        self.send(header)
        if greeted:
            code, text = self.smtp()
            assert code == 220, (code, text)

    def rcpt(self, sender, to=ALICE, helo="client.test"):
        """The answer to RCPT in a new transaction."""
        for command in (f"EHLO {helo}", f"MAIL FROM:<{sender}>"):
            code, text = self.smtp(command)
            assert code == 250, (command, code, text)
        return self.smtp(f"RCPT TO:<{to}>")

    def finish(self):
        """The message of the transaction."""
        assert self.smtp("DATA")[0] == 354
        code, text = self.smtp("Subject: x\r\n\r\nx\r\n.")
        assert code == 250, (code, text)


@case
def who_talks_before_the_greeting_is_refused(w):
    start = len(w.gw.log_text())
    with Client(w.at["shy"], HASTY, greeted=False) as c:
        c.send("EHLO spam.test\r\nMAIL FROM:<>\r\n")
        code, text = c.smtp()
        assert code == 521 and text.startswith("5.7.1 "), (code, text)
        assert c.at_end()
    w.gw.wait_log(rf"PREGREET \d+ after 0\.\d\d from \[{HASTY}\]:\d+: EHLO spam\.test\\x0D", start=start)
    w.gw.wait_log(rf"NOQUEUE: reject: CONNECT from unknown\[{HASTY}\]: 521 5\.7\.1 ", start=start)


@case
def who_waited_need_not_again_and_a_restart_changes_nothing(w):
    began = time.monotonic()
    with Client(w.at["shy"], PATIENT) as c:
        assert time.monotonic() - began >= 1.9
        assert c.rcpt("pat@partner.test")[0] == 250
        c.finish()
        assert c.smtp("QUIT")[0] == 221
    w.office.take()

    def may_talk():
        # Who is not tested may talk when it likes.
        with Client(w.at["shy"], PATIENT, greeted=False) as c2:
            c2.send("NOOP\r\n")
            return c2.smtp()[0] == 220 and c2.smtp()[0] == 250
    wait_until(may_talk, 10, "the client is remembered")
    w.gw.stop()
    w.gw.start()
    assert may_talk()


@case
def the_greylist_defers_a_stranger_once(w):
    start = len(w.gw.log_text())
    with Client(w.at["grey"], header=proxy(GREY)) as c:
        code, text = c.rcpt("pat@partner.test")
        assert code == 450 and re.match(r"4\.2\.0 .*Greylisted for \d seconds", text), (code, text)
    w.gw.wait_log(rf"NOQUEUE: reject: RCPT from grey\.client\.test\[{GREY}\]: 450 4\.2\.0 <{ALICE}>: Recipient address "
                  r"rejected: Greylisted for \d seconds; from=<pat@partner\.test> to=<alice@example\.test>",
                  start=start)

    def passes():
        with Client(w.at["grey"], header=proxy(GREY)) as c:
            code = c.rcpt("pat@partner.test")[0]
            if code == 250:
                assert c.smtp("RSET")[0] == 250
                assert c.rcpt("quinn@partner.test")[0] == 450
            return code == 250
    wait_until(passes, 20, "the greylist lets it pass", pause=0.3)
    # Who may relay is no stranger, and neither is a recipient who is not there a reason to wait.
    assert not w.send(w.relay, ALICE, "pat@partner.test", b"Subject: x\r\n\r\nx\r\n")
    with Client(w.at["grey"], header=proxy(GREY)) as c:
        assert c.rcpt("rob@partner.test", f"nobody@{DOMAIN}")[0] == 550


@case
def who_is_on_a_list_is_refused_at_the_recipient(w):
    start = len(w.gw.log_text())
    with Client(w.at["lists"], LISTED) as c:
        code, text = c.rcpt("pat@partner.test")
        assert (code, text) == (554, f"5.7.1 Service unavailable; Client host [{LISTED}] blocked using bl.test; "
                                     "see http://bl.test/?127.0.0.13"), (code, text)
    w.gw.wait_log(rf"NOQUEUE: reject: RCPT from unknown\[{LISTED}\]: 554 5\.7\.1 Service unavailable; Client host ",
                  start=start)
    with Client(w.at["lists"], GOOD) as c:
        assert c.rcpt("pat@partner.test")[0] == 250
    # A list that does not answer has listed nobody.
    w.names.fail["bl.test"] = "silent"
    for name in [k[0] for k in RECORDS if k[0].endswith("bl.test")] + ["15.0.0.127.bl.test"]:
        w.names.fail[name] = "silent"
    with Client(w.at["lists"], MANY) as c:
        assert c.rcpt("pat@partner.test")[0] == 250
    w.names.fail.clear()


@case
def connections_of_a_client_are_counted_over_all_processes(w):
    start = len(w.gw.log_text())
    held = [Client(w.at["few"], MANY) for _ in range(2)]
    with Client(w.at["few"], MANY, greeted=False) as c:
        code, text = c.smtp()
        assert code == 421 and f"too many connections from {MANY}" in text, (code, text)
        assert c.at_end()
    w.gw.wait_log(rf"Connection concurrency limit exceeded: 3, limit 2 from unknown\[{MANY}\] for service few",
                  start=start)
    with Client(w.at["few"], FAST):
        pass
    held.pop().close()

    def one_more():
        c = Client(w.at["few"], MANY, greeted=False)
        if c.smtp()[0] == 220:
            held.append(c)
            return True
        c.close()
        return False
    wait_until(one_more, 10, "the place of one that has left")
    # Those of a process that died are no more.
    old = w.gw.kill("smtpd")
    w.gw.wait_daemon("smtpd", old, seconds=15, count=len(old))
    for c in held:
        c.close()
    held.clear()

    def comes():
        try:
            return one_more()
        except (OSError, EOFError):
            return False
    wait_until(comes, 10, "a connection to the new process")
    wait_until(comes, 10, "another one")
    for c in held:
        c.close()


@case
def too_much_mail_and_too_many_errors_are_refused_for_now(w):
    start = len(w.gw.log_text())
    with Client(w.at["few"], FAST) as c:
        assert c.smtp("EHLO client.test")[0] == 250
        for _ in range(3):
            assert c.smtp("MAIL FROM:<pat@partner.test>")[0] == 250
            assert c.smtp("RSET")[0] == 250
        code, text = c.smtp("MAIL FROM:<pat@partner.test>")
        assert (code, text) == (450, f"4.7.1 Error: too much mail from {FAST}"), (code, text)
    w.gw.wait_log(rf"Message delivery request rate limit exceeded: 4 per minute, limit 3 from unknown\[{FAST}\] for "
                  "service few", start=start)
    with Client(w.at["few"], SLOW) as c:
        for _ in range(2):
            assert c.smtp("NONSENSE")[0] == 500
        began = time.monotonic()
        for _ in range(3):
            assert c.smtp("NONSENSE")[0] == 500
        assert time.monotonic() - began >= 2.9, "errors are answered late from the third on"

    def locked_out():
        with Client(w.at["few"], SLOW, greeted=False) as c:
            return c.smtp()[0] == 421
    wait_until(locked_out, 10, "a client with many errors is refused")


@case
def false_names_and_pipelining_before_ehlo_is_answered(w):
    start = len(w.gw.log_text())
    with Client(w.at["balanced"], header=proxy("198.51.100.20")) as c:
        answer = c.rcpt("pat@partner.test", helo="gw.example.test")
        assert answer == (554, "5.7.1 <gw.example.test>: Helo command rejected: That is my name"), answer
        for helo, code in (("[192.0.2.99]", 554), ("192.0.2.99", 554), ("[198.51.100.20]", 250)):
            answer = c.rcpt("pat@partner.test", helo=helo)
            assert answer[0] == code, (helo, answer)
    w.gw.wait_log(r"reject: RCPT from unknown\[198\.51\.100\.20\]: 554 5\.7\.1 .*Helo command rejected.* helo=<",
                  start=start)
    with Client(w.at["grey"], LIAR) as c:
        c.send("EHLO client.test\r\nMAIL FROM:<pat@partner.test>\r\n")
        assert c.smtp() == (503, "5.5.0 Improper use of SMTP command pipelining")
        assert c.at_end()
    w.gw.wait_log(rf"improper command pipelining after EHLO from unknown\[{LIAR}\]: MAIL FROM", start=start)
    # Pipelining behind the answer is what it is for.
    with Client(w.at["front"], LIAR) as c:
        assert c.smtp("EHLO client.test")[0] == 250
        c.send(f"MAIL FROM:<pat@partner.test>\r\nRCPT TO:<{ALICE}>\r\nDATA\r\n")
        assert [c.smtp()[0] for _ in range(3)] == [250, 250, 354]


@case
def behind_a_balancer_the_client_is_who_counts(w):
    for header, ip in ((proxy("198.51.100.7"), "198.51.100.7"),
                       (b"PROXY TCP6 2001:db8::7 2001:db8::2 4711 25\r\n", "2001:db8::7"),
                       (v2("198.51.100.8", "192.0.2.2"), "198.51.100.8"),
                       (v2("2001:db8::8", "2001:db8::2"), "2001:db8::8")):
        start = len(w.gw.log_text())
        with Client(w.at["balanced"], greeted=False) as c:
            # In pieces, and with what the client says right behind it.
            c.send(header[:9])
            time.sleep(0.05)
            c.send(header[9:])
            assert c.smtp()[0] == 220
            assert c.rcpt("pat@partner.test")[0] == 250
            c.finish()
        w.gw.wait_log(rf"connect from unknown\[{re.escape(ip)}\]", start=start)
        mail = w.office.take()[0]
        assert f"[{'IPv6:' if ':' in ip else ''}{ip}]".encode() in mail.data, mail.data
    # The list of the connector's clients is about the client.
    with Client(w.at["balanced"], greeted=False, header=proxy("192.0.2.9")) as c:
        assert c.smtp()[0] == 554
        assert c.at_end()
    # Who is no balancer has no header, and is not on that list.
    with Client(w.at["balanced"], LIAR, greeted=False) as c:
        assert c.smtp()[0] == 554


@case
def a_balancer_without_a_good_header_is_not_talked_to(w):
    for junk in (b"EHLO x\r\n", b"PROXY TCP4 198.51.100.7 192.0.2.2 4711\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
                 b"PROXY " + b"x" * 200, b"\x16\x03\x01\x02\x00\x01" * 20, v2("198.51.100.7", "192.0.2.2")[:20]):
        with Client(w.at["balanced"], greeted=False) as c:
            c.send(junk)
            try:
                c.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it is closed already
            assert c.rest() == b"", junk
    with Client(w.at["balanced"], header=proxy("198.51.100.7")) as c:
        assert c.smtp("NOOP")[0] == 250, "it still serves"


@case
def xclient_and_xforward_are_for_those_who_are_named(w):
    start = len(w.gw.log_text())
    with Client(w.at["front"], LIAR) as c:
        _, text = c.smtp("EHLO client.test")
        assert "XCLIENT" not in text and "XFORWARD" not in text, text
        assert c.smtp("XCLIENT ADDR=198.51.100.9")[0] == 550
        assert c.smtp("XFORWARD ADDR=198.51.100.9")[0] == 550
    with Client(w.at["front"]) as c:
        _, text = c.smtp("EHLO front.test")
        assert "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT" in text, text
        assert "XFORWARD " in text, text
        assert c.smtp("XCLIENT ADDR=1.2.3")[0] == 501
        assert c.smtp("XCLIENT NAME=far.test ADDR=IPV6:2001:db8::9 HELO=far+2Etest PROTO=ESMTP")[0] == 220
        assert c.rcpt("pat@partner.test", helo="far.test")[0] == 250
        c.finish()
    mail = w.office.take()[0]
    assert b"from far.test (far.test [IPv6:2001:db8::9])" in mail.data, mail.data
    w.gw.wait_log(r"client=far\.test\[2001:db8::9\]", start=start)
    with Client(w.at["front"]) as c:
        assert c.smtp("EHLO front.test")[0] == 250
        assert c.smtp("XFORWARD NAME=spike.test ADDR=198.51.100.10 SOURCE=REMOTE")[0] == 250
        assert c.rcpt("pat@partner.test", helo="front.test")[0] == 250
        c.finish()
    w.gw.wait_log(r"198\.51\.100\.10", start=start)
    assert b"198.51.100.10" not in w.office.take()[0].data


@case
def while_anvild_is_away_or_stands_still_clients_are_let_in(w):
    pid = w.gw.daemons("anvild")[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        with Client(w.at["few"], FROZEN) as c:
            assert c.rcpt("pat@partner.test")[0] == 250
            c.finish()
    finally:
        os.kill(pid, signal.SIGCONT)
    old = w.gw.kill("anvild")
    with Client(w.at["few"], FROZEN) as c:
        assert c.rcpt("pat@partner.test")[0] == 250
    w.gw.wait_daemon("anvild", old, seconds=15)


run(Site)

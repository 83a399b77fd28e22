#!/usr/bin/env python3
"""Logins of the POP3 proxy: every mechanism, with Dovecot that asks a token server, and with peers that lie."""

import base64
import http.server
import json
import threading
import urllib.parse

from pt import Site, case, run
from pt import clients, mails
from pt.fakepop import FakePop
from pt.util import sh, write

PAT, ALICE = "pat@partner.test", "alice@example.test"
TOKEN = "ya29." + "t0ken-" * 20
# passdb of tokens; the others stand before it and do not know the token as a password.
TOKENS = """
auth_mechanisms = plain login xoauth2 oauthbearer
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {conf}
}}
"""
CONNECTOR = """
peer "liar" {{
  service = pop3
  host = "127.0.0.1"
  port = {port}
  tls = none
  login_domain = "example.test"
}}
connector "{name}" {{
  service = pop3
  listen = {{"127.0.0.1:{listen}"}}
  peer = "{peer}"
  tls = disabled
  {more}
}}
"""


class TokenServer(http.server.BaseHTTPRequestHandler):
    """Whose token is it?"""

    def do_GET(self):
        token = urllib.parse.unquote(self.path.rpartition("=")[2])
        good = token == TOKEN
        body = json.dumps({"user": "alice"} if good else {"error": "invalid_token"}).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):  # pylint: disable=arguments-differ
        pass


class Liar(FakePop):
    """Does with a token what a case has put in .script: replies to AUTH and each line behind it."""

    script = ()

    def do_auth(self, c, arg):
        if not self.script:
            super().do_auth(c, arg)
            return
        for n, reply in enumerate(self.script):
            c.reply(reply)
            if n + 1 < len(self.script):
                c.line()


def dovecot(w):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    w.defer(server.shutdown)
    conf = write(w.path("tokens.conf"), f"tokeninfo_url = http://127.0.0.1:{server.server_port}/?token=\n"
                                        "username_attribute = user\n")
    w.real = w.dovecot(extra=TOKENS.format(conf=conf))
    return w.real.pop3


def more(w):
    w.liar = Liar(w.users, capabilities=["USER", "SASL PLAIN LOGIN XOAUTH2 OAUTHBEARER CRAM-MD5", "TOP",
                                         "UIDL", "RESP-CODES", "PIPELINING"])
    w.defer(w.liar.stop)
    w.lying, w.factored = w.ports.get(), w.ports.get()
    text = CONNECTOR.format(port=w.liar.port, name="lying", listen=w.lying, peer="liar", more="")
    second = CONNECTOR.format(port=w.liar.port, name="factored", listen=w.factored, peer="liar",
                              more="second_factor = password")
    return text + second[second.index("connector"):]


def world():
    w = Site(smtp_port=lambda w: w.sink(users=w.users).port, pop3_port=dovecot, keys=("alice",), more=more)
    w.pat = w.outsider("pat")
    w.real.deliver("alice", mails.pgp_encrypted(w.pat, mails.plain(PAT, ALICE, body="4711 it is.\n"), [ALICE]))
    w.liar.put("alice", mails.plain(PAT, ALICE, body="hello\n"))
    return w


def b64(text):
    return base64.b64encode(text.encode()).decode()


def xoauth2(user="alice", token=TOKEN):
    return b64(f"user={user}\1auth=Bearer {token}\1\1")


def oauthbearer(user="alice", token=TOKEN):
    return b64(f"n,a={user},\1host=gw.test\1port=995\1auth=Bearer {token}\1\1")


def connect(port, timeout=20):
    c = clients.Raw(port, timeout=timeout)
    assert c.pop()[0].startswith("+OK")
    return c


def opened(c):
    return b"4711 it is." in c.pop("RETR 1", multi=True)[1]


@case
def offers_what_the_peer_has(w):
    with connect(w.retrieval) as c:
        capa = c.pop("CAPA", multi=True)[1]
        assert b"SASL PLAIN LOGIN XOAUTH2 OAUTHBEARER\r\n" in capa, capa
        assert c.pop("AUTH", multi=True)[1].split() == [b"PLAIN", b"LOGIN", b"XOAUTH2", b"OAUTHBEARER"]
        assert c.pop("AUTH CRAM-MD5")[0].startswith("-ERR")
        assert c.pop("AUTH PLAINER x")[0].startswith("-ERR")
    with connect(w.lying) as c:
        assert b"CRAM-MD5" not in c.pop("CAPA", multi=True)[1]


@case
def login_in_its_steps_and_with_an_initial_response(w):
    user, password = w.login("alice")
    for initial in (False, True):
        with connect(w.retrieval) as c:
            if initial:
                assert c.pop("AUTH LOGIN " + b64(user))[0] == "+ UGFzc3dvcmQ6"
            else:
                assert c.pop("auth login")[0] == "+ VXNlcm5hbWU6"
                assert c.pop(b64(user))[0] == "+ UGFzc3dvcmQ6"
            assert c.pop(b64(password))[0].startswith("+OK")
            assert opened(c)
    with connect(w.retrieval) as c:
        assert c.pop("AUTH LOGIN")[0].startswith("+ ")
        assert c.pop("*")[0].startswith("-ERR")
        assert c.pop("AUTH LOGIN")[0].startswith("+ ")
        assert c.pop("no base64")[0].startswith("-ERR")
        assert c.pop("NOOP")[0].startswith("-ERR"), "nobody is logged in"
        c.pop("AUTH LOGIN " + b64(user))
        assert c.pop(b64("wrong"))[0].startswith("-ERR")
        c.pop("AUTH LOGIN " + b64(user))
        assert c.pop(b64(password))[0].startswith("+OK")


@case
def tokens_open_whose_they_are(w):
    for mech, response in (("XOAUTH2", xoauth2()), ("OAUTHBEARER", oauthbearer())):
        for initial in (False, True):
            with connect(w.retrieval) as c:
                if initial:
                    answer = c.pop(f"AUTH {mech} {response}")[0]
                else:
                    assert c.pop(f"AUTH {mech}")[0].startswith("+")
                    answer = c.pop(response)[0]
                assert answer.startswith("+OK"), (mech, answer)
                assert opened(c)
    assert w.gw.wait_log("sasl_method=OAUTHBEARER, sasl_username=alice")
    assert TOKEN not in w.gw.settled_log()


@case
def a_token_that_is_no_good_is_refused_as_the_peer_does(w):
    """The peer says why in a challenge, the client acknowledges, the refusal follows."""
    for mech, response, acks in (("XOAUTH2", xoauth2(token="stale"), ("",)),
                                 ("OAUTHBEARER", oauthbearer(token="stale"), ("AQ==", "*"))):
        for ack in acks:
            with connect(w.retrieval) as c:
                answer = c.pop(f"AUTH {mech} {response}")[0]
                if answer.startswith("+ "):
                    json.loads(base64.b64decode(answer[2:]))
                    answer = c.pop(f"{ack}\r\n".encode())[0]
                assert answer.startswith("-ERR"), (mech, answer)
                assert c.pop(f"AUTH {mech} " + (xoauth2() if mech == "XOAUTH2" else oauthbearer()))[0].startswith("+OK")


@case
def curl_logs_in_by_each_mechanism(w):
    url = f"pop3://127.0.0.1:{w.retrieval}/1"
    for options in (["--login-options", "AUTH=PLAIN", "-u", ":".join(w.login("alice"))],
                    ["--login-options", "AUTH=LOGIN", "-u", ":".join(w.login("alice"))],
                    ["--login-options", "AUTH=XOAUTH2", "-u", "alice", "--oauth2-bearer", TOKEN],
                    ["--login-options", "AUTH=OAUTHBEARER", "-u", "alice", "--oauth2-bearer", TOKEN],
                    ["--sasl-ir", "-u", "alice", "--oauth2-bearer", TOKEN]):
        assert b"4711 it is." in sh(["curl", "-s", "-S", *options, url]).stdout, options


@case
def names_that_could_be_read_in_two_ways_are_refused_here(w):
    w.liar.clear()
    bad = [b64(x) for x in ("", "user=alice\1auth=Bearer t\1", "user=alice\1user=bob\1auth=Bearer t\1\1",
                            "auth=Bearer t\1\1", "user=\1auth=Bearer t\1\1", "user=a\0b\1auth=Bearer t\1\1")]
    for mech in ("XOAUTH2", "OAUTHBEARER"):
        for response in [*bad, b64("n,,\1auth=Bearer t\1\1"), b64("p=x,a=alice,\1auth=Bearer t\1\1"), "=", "!",
                         xoauth2() if mech == "OAUTHBEARER" else oauthbearer()]:
            with connect(w.lying) as c:
                assert c.pop(f"AUTH {mech} {response or '='}")[0].startswith("-ERR"), response
    assert not [x for x in w.liar.said("C") if x.startswith(b"AUTH")]


@case
def long_tokens_pass_and_longer_ones_end_nothing_but_the_login(w):
    w.liar.script = ("+ ", "+OK welcome")
    try:
        with connect(w.lying) as c:
            assert c.pop("AUTH XOAUTH2 " + xoauth2(token="t" * 8000))[0].startswith("+OK")
        for initial in (True, False):
            with connect(w.lying) as c:
                long = xoauth2(token="t" * 9000)
                if not initial:
                    assert c.pop("AUTH XOAUTH2")[0].startswith("+")
                assert c.pop("AUTH XOAUTH2 " + long if initial else long)[0].startswith("-ERR")
                # The next line is a command again.
                assert c.pop("CAPA", multi=True)[0].startswith("+OK")
    finally:
        w.liar.script = ()


@case
def peers_that_answer_out_of_step_do_not_log_anybody_in(w):
    good = xoauth2()
    try:
        for script in (("+OK welcome",), ("+ ", "+ more", "+ more"), ("+ ", "+ more", "+OK after all"), ("nonsense",),
                       ("+ ", "+" + "x" * 4000)):
            w.liar.script = script
            with connect(w.lying) as c:
                answer = c.pop("AUTH XOAUTH2 " + good)[0]
                if answer.startswith("+ "):
                    answer = c.pop(b"\r\n")[0]
                assert answer.startswith("-ERR"), (script, answer)
                assert c.at_end(), script
        # More than one line is asked of PLAIN.
        w.liar.script = ("+ ", "+ more", "-ERR no")
        with connect(w.lying) as c:
            assert c.pop("AUTH PLAIN " + clients.plain_login(*w.login("alice")))[0].startswith("-ERR") and c.at_end()
    finally:
        w.liar.script = ()
    assert w.gw.alive()


@case
def the_clients_words_behind_a_challenge_do_not_reach_the_peer(w):
    w.liar.clear()
    w.liar.script = ("+ ", "+ " + b64('{"status":"401"}'), "-ERR [AUTH] no")
    try:
        with connect(w.lying) as c:
            assert c.pop("AUTH XOAUTH2 " + xoauth2())[0].startswith("+ ")
            assert c.pop("DELE 1")[0].startswith("-ERR")
        assert b"DELE 1" not in w.liar.said("C") and b"*" in w.liar.said("C")
    finally:
        w.liar.script = ()


@case
def with_a_gateway_password_tokens_are_not_offered(w):
    secret = w.gw.gwctl("consumer", "password", "alice").stdout.decode().split()[-1]
    user, password = w.login("alice")
    with connect(w.factored) as c:
        assert b"SASL PLAIN LOGIN\r\n" in c.pop("CAPA", multi=True)[1]
        assert c.pop("AUTH XOAUTH2 " + xoauth2())[0].startswith("-ERR")
        assert c.pop("AUTH PLAIN " + clients.plain_login(user, f"{secret}:{password}"))[0].startswith("+OK")
        assert c.pop("STAT")[0].startswith("+OK 1")


@case
def which_factor_was_wrong_is_not_told(w):
    secret = w.gw.gwctl("consumer", "password", "alice").stdout.decode().split()[-1]
    user, password = w.login("alice")
    answers = set()
    w.liar.clear()
    for given in (f"{secret}:wrong", f"wrong:{password}", "wrong:wrong", password, secret, f":{password}", "x" * 200):
        with connect(w.factored) as c:
            c.pop(f"USER {user}")
            answers.add((c.pop(f"PASS {given}")[0], c.at_end()))
    assert len(answers) == 1 and next(iter(answers))[0].startswith("-ERR [AUTH]") and next(iter(answers))[1], answers
    # That the maildrop is open elsewhere is for those who know both passwords.
    for given, start in ((f"{secret}:{password}", "-ERR [IN-USE]"), (f"wrong:{password}", "-ERR [AUTH]")):
        w.liar.on("PASS", reply="-ERR [IN-USE] somebody has it")
        with connect(w.factored) as c:
            c.pop(f"USER {user}")
            assert c.pop(f"PASS {given}")[0].startswith(start), given
    # What is not two passwords never reaches the peer; nor does the gateway's.
    said = b"\n".join(w.liar.said("C"))
    assert secret.encode() not in said and b"x" * 100 not in said, said
    with connect(w.factored) as c:
        c.pop(f"USER {user}")
        assert c.pop(f"PASS {secret}:{password}")[0].startswith("+OK")


if __name__ == "__main__":
    run(world)

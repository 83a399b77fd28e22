"""Thunderbird between a person's hands and the gateway; see the script of the same name.

A partner's encrypted and signed message and a plain one lie at Dovecot.  Thunderbird fetches them and opens
the first, with the gateway's verdict beside it; the answer, which quotes what was shown, reaches the partner
encrypted; a message that must be encrypted and cannot be is refused, and Thunderbird shows why.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(TOP, "t/integ"))

from nss import Store  # noqa: E402
from pt import case, mails, run  # noqa: E402
from pt.doors import TLS, DoorsSite  # noqa: E402
from pt.gateway import BUILD  # noqa: E402
from pt.util import Proc, read, sh, wait_until, write  # noqa: E402

PAT, ALICE = "pat@partner.test", "alice@example.test"
SECRET = "The offer stands at 4711 crowns."
ANSWER = "Then 4712 crowns it is."
SOCKET_TYPE = dict(zip(TLS, (0, 2, 3)))  # nsMsgSocketType
WIDTH, HEIGHT = 1280, 860
START, SHOW, CALM = 240, 60, 30  # seconds, for a busy machine

# Nothing but mail: no studies, no start pages, no questions, nobody spoken to but the gateway.
PREFS = {
    "network.proxy.type": 1, "network.proxy.socks": "127.0.0.1", "network.proxy.socks_port": 9,
    "network.proxy.http": "127.0.0.1", "network.proxy.http_port": 9, "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9, "network.proxy.no_proxies_on": "localhost",
    "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
    "app.normandy.enabled": False, "app.shield.optoutstudies.enabled": False,
    "toolkit.telemetry.enabled": False, "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False, "services.settings.server": "http://127.0.0.1:9/",
    "extensions.update.enabled": False, "extensions.getAddons.cache.enabled": False,
    "mail.inappnotifications.enabled": False, "mail.chat.enabled": False, "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False, "mail.spotlight.firstRunDone": True,
    "mail.provider.suppress_dialog_on_startup": True, "mailnews.start_page.enabled": False,
    "mailnews.start_page_override.mstone": "ignore", "mail.biff.show_alert": False,
    "mail.compose.autosave": False, "mail.warn_on_send_accel_key": False, "mail.e2ee.auto_enable": False,
    # The verdict beside the message, a message in a tab, a cursor that does not blink.
    "mailnews.headers.extraExpandedHeaders": "X-Postern-Verdict", "mail.openMessageBehavior": 2,
    "ui.caretBlinkTime": 0,
}


def account(w, tls):
    """The prefs of one account that fetches and sends through the gateway."""
    pop, smtp, identity = "mail.server.server1.", "mail.smtpserver.smtp1.", "mail.identity.id1."
    return {
        "mail.accountmanager.accounts": "account1,account2", "mail.accountmanager.defaultaccount": "account1",
        "mail.accountmanager.localfoldersserver": "server2",
        "mail.account.account1.server": "server1", "mail.account.account1.identities": "id1",
        "mail.account.account2.server": "server2", "mail.account.lastKey": 2,
        "mail.server.server2.type": "none", "mail.server.server2.hostname": "Local Folders",
        "mail.server.server2.userName": "nobody", "mail.server.server2.name": "Local Folders",
        "mail.server.server2.directory-rel": "[ProfD]Mail/Local Folders",
        pop + "type": "pop3", pop + "hostname": "localhost", pop + "port": w.doors.pop3[tls],
        pop + "userName": "alice", pop + "name": ALICE, pop + "socketType": SOCKET_TYPE[tls], pop + "authMethod": 3,
        pop + "check_new_mail": True, pop + "login_at_startup": True,
        pop + "download_on_biff": True, pop + "leave_on_server": True, pop + "spamLevel": 0,
        pop + "storeContractID": "@mozilla.org/msgstore/berkeleystore;1",
        identity + "fullName": "Alice", identity + "useremail": ALICE, identity + "smtpServer": "smtp1",
        identity + "valid": True, identity + "compose_html": False, identity + "fcc": True,
        "mail.smtpservers": "smtp1", "mail.smtp.defaultserver": "smtp1", smtp + "hostname": "localhost",
        smtp + "port": w.doors.smtp[tls], smtp + "username": "alice", smtp + "authMethod": 3,
        smtp + "try_ssl": SOCKET_TYPE[tls],
    }


class Thunderbird:
    """Thunderbird with a profile of its own under an X server of its own."""

    def __init__(self, w, tls):
        self.home, self.profile = w.path("home"), w.path("home", "profile")
        os.makedirs(self.profile, mode=0o700)
        prefs = dict(PREFS, **account(w, tls))
        write(os.path.join(self.profile, "user.js"),
              "".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in prefs.items()))
        self._place()
        with Store(self.profile) as store:
            store.trust(w.ca.ca)
            store.passwords([("mailbox://localhost", "alice", w.users["alice"]),
                             ("smtp://localhost", "alice", w.users["alice"])])
        self.log = w.path("thunderbird.log")
        self.display = self._screen(w)
        self.env = {"HOME": self.home, "PATH": os.environ["PATH"], "DISPLAY": self.display, "LC_ALL": "C.UTF-8",
                    "XDG_RUNTIME_DIR": self.home, "NO_AT_BRIDGE": "1", "MOZ_CRASHREPORTER_DISABLE": "1",
                    "GDK_BACKEND": "x11", "LIBGL_ALWAYS_SOFTWARE": "1", "DBUS_SESSION_BUS_ADDRESS": "disabled:",
                    "TMPDIR": self.home, "MOZ_DISABLE_AUTO_SAFE_MODE": "1"}
        self._thunderbird = Proc(["thunderbird", "--profile", self.profile], self.log, env=self.env)
        w.defer(self._thunderbird.stop)

    def _place(self):
        """Windows as large as the screen: there is no window manager."""
        place = {"screenX": "0", "screenY": "0", "width": str(WIDTH), "height": str(HEIGHT), "sizemode": "normal"}
        write(os.path.join(self.profile, "xulstore.json"), json.dumps({
            f"chrome://messenger/content/{name}.xhtml": {window: place} for name, window in (
                ("messenger", "messengerWindow"), ("messengercompose/messengercompose", "msgcomposeWindow"))}))

    def _screen(self, w):
        """Start an X server; the display it chose."""
        r, told = os.pipe()
        x = Proc(["Xvfb", "-displayfd", str(told), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp"],
                 w.path("xvfb.log"), pass_fds=(told,))
        w.defer(x.stop)
        os.close(told)
        with os.fdopen(r) as f:
            number = f.readline().strip()
        if not number:
            raise RuntimeError("Xvfb did not start: " + read(w.path("xvfb.log")).decode("utf-8", "replace"))
        return ":" + number

    def _do(self, *args):
        return sh(["xdotool", *args], env=self.env, check=False).stdout.decode("utf-8", "replace").split()

    def window(self, title, seconds=SHOW):
        """Wait for a window whose title has this regular expression, and let it have the keyboard."""
        def there():
            assert self._thunderbird.alive(), "Thunderbird ended\n" + read(self.log).decode("utf-8", "replace")
            return self._do("search", "--onlyvisible", "--name", title)
        found = wait_until(there, seconds, f"a window {title}", pause=0.3)[0]
        self._do("windowfocus", "--sync", found)

    def calm(self):
        """Wait until nothing moves on the screen for a while."""
        end, seen = time.monotonic() + CALM, []
        while seen[-3:] != seen[-1:] * 3 or not seen:
            assert time.monotonic() < end, "the screen does not come to rest"
            time.sleep(0.5)
            now = sh(["import", "-window", "root", "-depth", "8", "rgb:-"], env=self.env).stdout
            seen.append(hashlib.sha256(now).digest())

    def keys(self, *names):
        self._do("key", *names)
        self.calm()

    def text(self, text):
        self._do("type", "--delay", "25", text)
        self.calm()

    def opens(self, subject):
        """Go from message to message and open them until it is the one of this subject."""
        for _ in range(5):
            self.window("Mozilla Thunderbird$")
            self.keys("f")
            self.keys("Return")
            try:
                self.window(f"^{subject} - ", 15)
                return
            except TimeoutError:
                if self._do("search", "--onlyvisible", "--name", "^Lunch - "):
                    self.keys("ctrl+w")
        raise AssertionError(f"no window shows {subject}")

    def picture(self, out, name):
        """Leave what the screen shows in a PNG file."""
        self.calm()
        path = os.path.join(out, f"thunderbird-{name}.png")
        sh(["import", "-window", "root", path], env=self.env)
        print(f"  {path}", flush=True)

    def inbox(self):
        return read(os.path.join(self.profile, "Mail/localhost/Inbox"))


def world():
    w = DoorsSite()
    w.write_to_alice(SECRET)
    return w


def options():
    parser = argparse.ArgumentParser(prog="t/soak/thunderbird", description="Thunderbird through the gateway.")
    parser.add_argument("--tls", choices=TLS, default="starttls", help="towards the gateway")
    parser.add_argument("--out", metavar="FOLDER", help="where the pictures go")
    chosen = parser.parse_args()
    chosen.out = os.path.abspath(chosen.out or os.path.join(os.path.dirname(BUILD), "soak"))
    os.makedirs(chosen.out, exist_ok=True)
    return chosen


def main():
    chosen = options()
    sys.argv[1:] = []

    def at_work():
        w = world()
        w.chosen, w.bird = chosen, Thunderbird(w, chosen.tls)
        return w
    run(at_work)


@case
def fetches_and_opens_an_encrypted_message(w):
    bird = w.bird
    bird.window("Mozilla Thunderbird$", START)
    wait_until(lambda: SECRET.encode() in bird.inbox() and b"At noon?" in bird.inbox(), SHOW, "both messages")
    assert b"decrypted=yes" in bird.inbox() and b"BEGIN PGP" not in bird.inbox(), bird.inbox()
    w.gw.wait_log("crypto=decrypted=yes, signature=good, signer=" + PAT)
    secure = re.search(r"pop3d\[\d+\]: .*TLS connection established from", w.gw.log_text())
    assert (secure is not None) == (w.chosen.tls != "none"), w.gw.log_text()
    assert not any(SECRET.encode() in stored for stored in w.imap.stored("alice"))
    bird.calm()
    bird.opens("The offer")
    bird.picture(w.chosen.out, "opened")


@case
def answers_it_encrypted(w):
    bird = w.bird
    bird.keys("ctrl+r")
    bird.window("^Write: Re: The offer")
    bird.calm()
    bird.text(ANSWER)
    bird.picture(w.chosen.out, "answer")
    bird.keys("ctrl+Return")
    got = w.partner.take(seconds=SHOW)[0]
    text, status = mails.open_pgp(w.pat, got.data)
    assert "GOODSIG" in status and ANSWER.encode() in text, (status, text)
    # What is quoted is what the window of the message showed.
    assert b"> " + SECRET.encode() in text, text
    assert ANSWER.encode() not in got.data
    secure = re.search(r"smtpd\[\d+\]: .*TLS connection established from", w.gw.log_text())
    assert (secure is not None) == (w.chosen.tls != "none"), w.gw.log_text()


@case
def shows_why_a_message_is_refused(w):
    bird = w.bird
    bird.window("Mozilla Thunderbird$")
    bird.keys("ctrl+n")
    bird.window("^Write: ")
    bird.calm()
    bird.text("quinn@partner.test")
    bird.keys("Tab")
    bird.keys("alt+s")
    bird.text("[encrypt] The offer")
    bird.keys("Tab")
    bird.text("Nobody else may read this.")
    start = len(w.gw.log_text())
    bird.keys("ctrl+Return")
    w.gw.wait_log(r"reject: .*quinn@partner\.test", SHOW, start)
    bird.picture(w.chosen.out, "refused")
    assert not w.partner.mails


if __name__ == "__main__":
    main()

"""GnuPG in a private home."""

import os
import subprocess

from .util import sh

CONF = """\
batch
no-tty
no-greeting
pinentry-mode loopback
trust-model always
no-auto-key-locate
no-auto-check-trustdb
no-random-seed-file
ignore-time-conflict
"""


class Gpg:
    """One home folder with its agent; stop() ends the agent."""

    def __init__(self, folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.chmod(folder, 0o700)
        self.home = folder
        self.env = dict(os.environ, GNUPGHOME=folder, LC_ALL="C.UTF-8")
        with open(os.path.join(folder, "gpg.conf"), "w", encoding="ascii") as f:
            f.write(CONF)
        with open(os.path.join(folder, "gpg-agent.conf"), "w", encoding="ascii") as f:
            f.write("allow-loopback-pinentry\nauto-expand-secmem 1048576\n")

    def stop(self):
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], env=self.env,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def run(self, *args, data=None, check=True):
        """gpg with these arguments; the CompletedProcess."""
        return sh(["gpg", *args], data=data, check=check, env=self.env)

    def make(self, uid, algo="ed25519", passphrase="", expire="0"):
        """A new key: "ed25519" (with cv25519) or "rsa3072"; its fingerprint."""
        secret = ["--passphrase", passphrase]
        if algo == "ed25519":
            primary, sub = "ed25519", "cv25519"
        else:
            primary = sub = algo
        out = self.run("--status-fd", "1", *secret, "--quick-gen-key", uid, primary, "cert,sign",
                       expire).stdout.decode()
        fpr = [x.split()[3] for x in out.splitlines() if x.startswith("[GNUPG:] KEY_CREATED")][0]
        self.run(*secret, "--quick-add-key", fpr, sub, "encr", expire)
        return fpr

    def public(self, who, armor=True):
        """The certificate of a user id or fingerprint."""
        return self.run(*(["--armor"] if armor else []), "--export", who).stdout

    def secret(self, who, passphrase="", armor=True):
        return self.run(*(["--armor"] if armor else []), "--passphrase", passphrase,
                        "--export-secret-keys", who).stdout

    def add(self, data):
        """Import keys; they are trusted."""
        self.run("--passphrase", "", "--import", data=data)

    def encrypt(self, data, to, sign=None, armor=True, args=()):
        """Encrypt (and sign with the key of sign) for a list of user ids."""
        argv = ["--encrypt"] + (["--armor"] if armor else [])
        for who in to:
            argv += ["-r", who]
        if sign is not None:
            argv += ["--sign", "-u", sign, "--passphrase", ""]
        return self.run(*argv, *args, data=data).stdout

    def sign(self, data, key, how="--detach-sign", armor=True, args=()):
        """A detached (or --sign, --clear-sign) signature."""
        return self.run(*(["--armor"] if armor else []), "-u", key, "--digest-algo", "SHA256",
                        "--passphrase", "", *args, how, data=data).stdout

    def decrypt(self, data, passphrase=""):
        """(plain text, status lines as {keyword: rest of its last line}); the text is b"" when it
        could not be decrypted, and then DECRYPTION_OKAY is not among the keywords."""
        return self._status(["--passphrase", passphrase, "--decrypt"], data)

    def verify(self, signed, signature):
        """Status lines of the verification of a detached signature, as in decrypt."""
        path = os.path.join(self.home, "verify.sig")
        with open(path, "wb") as f:
            f.write(signature)
        return self._status(["--verify", path, "-"], signed)[1]

    def _status(self, args, data):
        # The status goes to a pipe of its own: plain text may look like status lines.
        r, w = os.pipe()
        try:
            with subprocess.Popen(["gpg", "--status-fd", str(w), *args], env=self.env,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, pass_fds=(w,)) as p:
                os.close(w)
                w = -1
                out = p.communicate(data, timeout=60)[0]
            with os.fdopen(r, "rb") as f:
                r = -1
                text = f.read().decode("utf-8", "replace")
        finally:
            for fd in (r, w):
                if fd >= 0:
                    os.close(fd)
        status = {}
        for line in text.splitlines():
            words = line.split(" ", 2)
            if words[0] == "[GNUPG:]" and len(words) > 1:
                status[words[1]] = words[2] if len(words) > 2 else ""
        return out, status

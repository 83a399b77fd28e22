"""Dovecot in a private folder: POP3, IMAP, SASL for Postfix, delivery by its LDA."""

import os
import pwd

from .util import Proc, listening, read, sh, wait_until, write

# Accounts of the organisation: login, password.  Logins are whole addresses as well as local parts.
USERS = {"alice": "alice-pw", "bob": "bob-pw", "carol": "carol-pw", "mallory": "mallory-pw",
         "chief": "chief-pw"}
MASTER = ("postmaster", "master-pw")  # logs in as USER*postmaster
OWNER = "mail"  # system user that owns the mailboxes when we are root
MAX_LOGINS = 200

CONF = """
base_dir = {run}
instance_name = test
protocols = imap pop3
listen = 127.0.0.1
log_path = {folder}/dovecot.log
auth_verbose = yes
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
default_vsz_limit = 512M
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {owner}
mail_gid = {owner_group}
mail_home = {folder}/mail/%n
mail_location = maildir:~/Maildir
mail_fsync = never
mail_max_userip_connections = {max_logins}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_master_user_separator = *
auth_failure_delay = 0
auth_username_format = %Ln
login_trusted_networks =
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
ssl_dh =
pop3_uidl_format = %08Xu%08Xv
postmaster_address = postmaster@example.test
hostname = mail.example.test
lda_mailbox_autocreate = yes
passdb {{
  driver = passwd-file
  master = yes
  args = scheme=PLAIN {folder}/masters
  result_success = continue
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%n {folder}/passwd
}}
userdb {{
  driver = static
  args = uid={owner} gid={owner_group} home={folder}/mail/%n allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
}}
service anvil {{
  chroot =
  # No growing delay for an address with wrong logins: every test is the same address.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
  }}
}}
service auth {{
  unix_listener sasl {{
    mode = 0666
  }}
  unix_listener auth-userdb {{
    mode = 0666
  }}
}}
"""


class Dovecot:
    """Ports: .imap .imaps .pop3 .pop3s; .sasl is the socket for Postfix; .conf its configuration."""

    def __init__(self, folder, ports, cert, key, users=None, extra=""):
        self.folder = folder
        self.users = dict(users or USERS)
        self.conf = os.path.join(folder, "dovecot.conf")
        self.log = os.path.join(folder, "dovecot.log")
        self.sasl = os.path.join(folder, "run", "sasl")
        self.imap, self.imaps, self.pop3, self.pop3s = (ports.get() for _ in range(4))
        self._proc = None
        self._make(cert, key, extra)

    def _make(self, cert, key, extra):
        me = pwd.getpwuid(os.getuid())
        root = me.pw_uid == 0
        owner = pwd.getpwnam(OWNER) if root else me
        for name, mode in ((".", 0o711), ("run", 0o755), ("mail", 0o755)):
            path = os.path.join(self.folder, name)
            os.makedirs(path, exist_ok=True)
            os.chmod(path, mode)
        if root:
            os.chown(os.path.join(self.folder, "mail"), owner.pw_uid, owner.pw_gid)
        internal = "dovecot" if root else me.pw_name
        group = internal if root else sh(["id", "-gn"]).stdout.decode().strip()
        write(os.path.join(self.folder, "passwd"),
              "".join(f"{u}:{{PLAIN}}{p}\n" for u, p in self.users.items()))
        write(os.path.join(self.folder, "masters"), f"{MASTER[0]}:{{PLAIN}}{MASTER[1]}\n")
        write(self.log, "", 0o666)
        write(self.conf, CONF.format(
            run=os.path.join(self.folder, "run"), folder=self.folder, cert=cert, key=key,
            internal=internal, internal_group=group, login="dovenull" if root else me.pw_name,
            owner=owner.pw_name, owner_group=owner.pw_gid, max_logins=MAX_LOGINS, imap=self.imap,
            imaps=self.imaps, pop3=self.pop3, pop3s=self.pop3s) + extra)

    def start(self):
        self._proc = Proc(["/usr/sbin/dovecot", "-F", "-c", self.conf],
                          os.path.join(self.folder, "dovecot.out"))
        wait_until(lambda: not self._proc.alive() or listening(self.pop3), 15, "Dovecot's start")
        if not self._proc.alive():
            raise RuntimeError("Dovecot did not start: " + self.tail())

    def stop(self):
        if self._proc is not None:
            self._proc.stop()
            self._proc = None

    def tail(self):
        text = read(os.path.join(self.folder, "dovecot.out")) + read(self.log)
        return text.decode("utf-8", "replace")[-3000:]

    def deliver(self, user, data, sender="someone@partner.test"):
        """Put a message (bytes) into a user's INBOX without SMTP."""
        sh(["/usr/lib/dovecot/dovecot-lda", "-c", self.conf, "-f", sender, "-d", user], data=data)

    def stored(self, user):
        """Every message of a user's INBOX as the server keeps it, LF lines, oldest first."""
        found = []
        for sub in ("new", "cur"):
            box = os.path.join(self.folder, "mail", user, "Maildir", sub)
            if os.path.isdir(box):
                for name in os.listdir(box):
                    path = os.path.join(box, name)
                    found.append((os.stat(path).st_mtime_ns, name, read(path)))
        return [data for _, _, data in sorted(found)]

    def wait_stored(self, user, count, seconds=20.0):
        def there():
            mails = self.stored(user)
            return mails if len(mails) >= count else None
        return wait_until(there, seconds, f"{count} messages for {user}")

    def empty(self, user):
        """Remove every message of a user's INBOX."""
        for sub in ("new", "cur"):
            box = os.path.join(self.folder, "mail", user, "Maildir", sub)
            if os.path.isdir(box):
                for name in os.listdir(box):
                    os.unlink(os.path.join(box, name))

"""Postfix in a private folder: the organisation's mail server, or a partner's.  Needs root."""

import grp
import os
import pwd
import re
import signal
import subprocess
import time

from .util import Proc, listening, read, sh, wait_until, write

LIBEXEC = "/usr/lib/postfix/sbin"
QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop",
          "pid", "private", "public", "saved", "trace")

MASTER = """\
{port} inet n - n - - smtpd
{smtps} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
dovecot unix - n n - - pipe
  flags=DRhu user=mail argv=/usr/lib/dovecot/dovecot-lda -c {dovecot} -f ${{sender}} -d ${{user}}
"""

MAIN = """\
compatibility_level = 3.7
config_directory = {conf}
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {libexec}
maillog_file = {folder}/postfix.log
maillog_file_prefixes = /
myhostname = {hostname}
myorigin = {domain}
mydestination =
local_transport = error:no local delivery
alias_maps =
alias_database =
inet_interfaces = {hosts}
inet_protocols = {protocols}
mynetworks =
append_dot_mydomain = no
biff = no
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = texthash:{conf}/mailboxes
virtual_transport = dovecot
dovecot_destination_recipient_limit = 1
transport_maps = texthash:{conf}/transport
default_transport = error:no route to there
relay_transport = error:no route to there
smtp_dns_support_level = disabled
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_sasl_auth_enable = {sasl_on}
smtpd_sasl_type = dovecot
smtpd_sasl_path = {sasl}
smtpd_sasl_security_options = noanonymous
smtpd_tls_security_level = {tls}
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_session_cache_database =
smtp_tls_security_level = none
smtpd_tls_auth_only = no
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
message_size_limit = 157286400
mailbox_size_limit = 0
virtual_mailbox_limit = 0
queue_run_delay = 5
minimal_backoff_time = 5
maximal_backoff_time = 10
smtpd_authorized_xclient_hosts =
"""


class Postfix:
    """.port takes SMTP (with STARTTLS when tls is "may"), .smtps takes TLS."""

    def __init__(self, folder, ports, cert, key, dovecot, domain="example.test",
                 hostname="mail.example.test", users=(), tls="may", routes=None, extra="",
                 hosts=("127.0.0.1",)):
        """dovecot: a Dovecot for logins and delivery.  routes: {domain: port on loopback}.  hosts: where it listens."""
        self.folder, self.dovecot, self.domain, self.host = folder, dovecot, domain, hosts[0]
        self.conf = os.path.join(folder, "etc")
        self.log = os.path.join(folder, "postfix.log")
        self.port, self.smtps = ports.get(), ports.get()
        self._proc = None
        os.makedirs(self.conf, exist_ok=True)
        os.makedirs(os.path.join(folder, "queue"), exist_ok=True)
        os.chmod(folder, 0o711)
        data = os.path.join(folder, "data")
        os.makedirs(data, exist_ok=True)
        sh(["chown", "postfix", data])
        boxes = "".join(f"{u}@{domain} x\n" for u in users)
        write(os.path.join(self.conf, "mailboxes"), boxes)
        write(os.path.join(self.conf, "main.cf"), MAIN.format(
            conf=self.conf, folder=folder, libexec=LIBEXEC, hostname=hostname, domain=domain,
            sasl=dovecot.sasl, sasl_on="yes", tls=tls, cert=cert, key=key, hosts=", ".join(hosts),
            protocols="all" if any(":" in h for h in hosts) else "ipv4") + extra)
        write(os.path.join(self.conf, "master.cf"),
              MASTER.format(port=self.port, smtps=self.smtps, dovecot=dovecot.conf))
        # Postfix reads a file again and again while it may still be changing.
        past = time.time() - 60
        for name in ("main.cf", "master.cf"):
            os.utime(os.path.join(self.conf, name), (past, past))
        self.route(routes or {})

    def route(self, routes):
        """Where mail for a domain goes: {domain: port on loopback}; before start."""
        write(os.path.join(self.conf, "transport"),
              "".join(f"{d} smtp:[127.0.0.1]:{p}\n" for d, p in routes.items()))

    def _queue(self):
        """The queue's folders; "postfix check" makes them too, but takes seconds."""
        owner, group = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
        for name in QUEUES:
            path = os.path.join(self.folder, "queue", name)
            os.makedirs(path, exist_ok=True)
            drop = name in ("maildrop", "public")
            os.chown(path, 0 if name == "pid" else owner, group if drop else 0)
            os.chmod(path, {"maildrop": 0o1730, "public": 0o2710, "pid": 0o755}.get(name, 0o700))

    def start(self):
        self._queue()
        self._proc = Proc([f"{LIBEXEC}/master", "-c", self.conf, "-d"],
                          os.path.join(self.folder, "postfix.out"),
                          env=dict(os.environ, MAIL_CONFIG=self.conf))
        wait_until(lambda: not self._proc.alive() or listening(self.port, self.host), 15, "Postfix's start")
        if not self._proc.alive():
            raise RuntimeError("Postfix did not start: " + self.tail())

    def stop(self):
        if self._proc is not None:
            self._proc.stop(signal.SIGTERM, 5)
            self._proc = None

    def tail(self):
        text = read(os.path.join(self.folder, "postfix.out")) + read(self.log)
        return text.decode("utf-8", "replace")[-3000:]

    def queue(self):
        """Queue ids of what is waiting."""
        out = subprocess.run(["postqueue", "-c", self.conf, "-j"], capture_output=True, check=False)
        return re.findall(r'"queue_id": "(\w+)"', out.stdout.decode())

"""Servers that the gateway is measured beside, each in a private folder."""

import os
import pwd

from pt.postfix import Postfix
from pt.util import Proc, listening, read, wait_until, write

from measure import BUILD, SERVER_CORE, on_core

NGINX = """\
{modules}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log notice;
worker_rlimit_nofile 20000;
events {{
  worker_connections 8192;
}}
http {{
  access_log off;
  client_body_temp_path {folder}/tmp1;
  proxy_temp_path {folder}/tmp2;
  fastcgi_temp_path {folder}/tmp3;
  uwsgi_temp_path {folder}/tmp4;
  scgi_temp_path {folder}/tmp5;
  server {{
    listen 127.0.0.1:{auth};
    location / {{
      add_header Auth-Status OK;
      add_header Auth-Server 127.0.0.1;
      add_header Auth-Port {backend};
      return 204;
    }}
  }}
}}
"""
# The mail proxy asks its own HTTP server where to go.
NGINX_MAIL = """\
mail {{
  server_name nginx.test;
  auth_http 127.0.0.1:{auth}/;
{servers}}}
"""
NGINX_STREAM = """\
stream {{
{servers}}}
"""
NGINX_SERVER = """\
  server {{
    {listen}
    {way}
  }}
"""
# The same protocols as the gateway has, and like it tickets but no session cache.
NGINX_TLS = """\
listen 127.0.0.1:{port} ssl;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ecdh_curve X25519:P-256;
    ssl_session_cache off;
    ssl_session_tickets on;"""
PROTOCOLS = {
    "smtp": "protocol smtp; smtp_auth none; xclient off;"
            ' smtp_capabilities PIPELINING 8BITMIME "SIZE 104857600";',
    "pop3": "protocol pop3; proxy_pass_error_message on;",
}


class Server:
    """A program in the foreground on the measured core; .pids for CPU time and memory."""

    def __init__(self, world, name, argv, port, env=None):
        self.port, self._log = port, world.path(name + ".out")
        with on_core(SERVER_CORE):
            self._proc = Proc(argv, self._log, env=env)
        self.pids = [self._proc.pid]
        world.defer(self._proc.stop)
        wait_until(lambda: not self._proc.alive() or listening(port), 15, f"start of {name}")
        if not self._proc.alive():
            raise RuntimeError(f"{name} did not start: {read(self._log).decode()[-2000:]}")


def folder(world, name):
    """A folder that servers of any user may read."""
    path = world.path(name)
    os.makedirs(path)
    os.chmod(path, 0o755)
    return path


def nginx(world, name, backend, protocol=None, tls=()):
    """nginx before a port: its mail proxy, or without a protocol its stream proxy.

    tls: (port, certificate, key) of further servers that do the same behind TLS.
    """
    where, port, auth = folder(world, name), world.ports.get(), world.ports.get()
    kind, way = ("stream", f"proxy_pass 127.0.0.1:{backend};") if protocol is None else (
        "mail", PROTOCOLS[protocol])
    listen = [f"listen 127.0.0.1:{port};"] + [
        NGINX_TLS.format(port=p, cert=cert, key=key) for p, cert, key in tls]
    facts = dict(folder=where, auth=auth, backend=backend,
                 servers="".join(NGINX_SERVER.format(listen=x, way=way) for x in listen),
                 modules=f"load_module /usr/lib/nginx/modules/ngx_{kind}_module.so;")
    text = (NGINX + (NGINX_STREAM if protocol is None else NGINX_MAIL)).format(**facts)
    conf = write(os.path.join(where, "nginx.conf"), text)
    return Server(world, name, ["/usr/sbin/nginx", "-c", conf, "-e", os.path.join(where, "early.log")],
                  port)


class _NoDovecot:
    """What Postfix wants to know of one that it will never ask."""

    sasl = conf = "/nonexistent"


POSTFIX = """\
smtpd_proxy_filter = 127.0.0.1:{port}
smtpd_sasl_auth_enable = no
smtpd_relay_restrictions = permit_mynetworks, reject
mynetworks = 127.0.0.0/8
default_transport = smtp
virtual_mailbox_domains =
smtpd_tls_security_level = none
"""
FILTERS = 12  # processes of a filter, for ten sessions


def _replace(path, settings):
    """Put these settings into main.cf; Postfix warns of what stands there twice."""
    ours = {line.split(" ")[0] for line in settings.splitlines()}
    kept = [line for line in read(path).decode().splitlines() if line.split(" ")[0] not in ours]
    st = os.stat(path)
    write(path, "\n".join(kept) + "\n" + settings)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def postfix(world, name, backend, key=None, env=None):
    """Postfix with a before-queue filter that passes on to a port: its own port, process ids.

    key: the filter signs and encrypts with it, by GPGME; env says where the key is.
    """
    if os.getuid() != 0:
        raise RuntimeError("Postfix needs root")
    filter_port = world.ports.get()
    argv = [os.path.join(BUILD, "bench", "smtp_filter"), filter_port, backend, FILTERS] + \
        ([key] if key else [])
    f = Server(world, name + "-filter", list(map(str, argv)), filter_port, env=env)
    cert, cert_key = world.ca.issue("mail.example.test")
    where = folder(world, name)
    p = Postfix(where, world.ports, cert, cert_key, _NoDovecot)
    _replace(os.path.join(p.conf, "main.cf"), POSTFIX.format(port=filter_port))
    world.defer(p.stop)
    with on_core(SERVER_CORE):
        p.start()
    master = int(read(os.path.join(where, "queue/pid/master.pid")))
    return p.port, [master] + f.pids


PROXY = """\
base_dir = {folder}/run
protocols = pop3
listen = 127.0.0.1
log_path = {folder}/dovecot.log
default_internal_user = {internal}
default_internal_group = {internal}
default_login_user = {login}
disable_plaintext_auth = no
auth_mechanisms = plain
ssl = no
service pop3-login {{
  service_count = 0
  process_limit = 1
  process_min_avail = 1
  client_limit = 20000
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
passdb {{
  driver = static
  args = proxy=y host=127.0.0.1 port={backend} nopassword=y
}}
"""


def dovecot(world, name, backend):
    """Dovecot as a proxy."""
    root = os.getuid() == 0
    me = pwd.getpwuid(os.getuid()).pw_name
    where, port = folder(world, name), world.ports.get()
    conf = write(os.path.join(where, "dovecot.conf"), PROXY.format(
        folder=where, port=port, backend=backend, internal="dovecot" if root else me,
        login="dovenull" if root else me))
    return Server(world, name, ["/usr/sbin/dovecot", "-F", "-c", conf], port)


def perdition(world, name, backend):
    where, port = folder(world, name), world.ports.get()
    return Server(world, name, [
        "/usr/sbin/perdition.pop3", "--no_daemon", "--config_file", "/dev/null", "--map_library", "",
        "--bind_address", "127.0.0.1", "--listen_port", str(port), "--outgoing_server", "127.0.0.1",
        "--outgoing_port", str(backend), "--no_lookup", "--pid_file", os.path.join(where, "pid"),
        "--ssl_mode", "none"], port)


def agents(home):
    """Process ids of what GnuPG has started for a home folder and left behind."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        argv = read(f"/proc/{pid}/cmdline") if os.path.exists(f"/proc/{pid}/cmdline") else b""
        if home.encode() in argv and b"gpg-agent" in argv:
            found.append(int(pid))
    return found

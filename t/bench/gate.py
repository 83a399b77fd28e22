"""The gateway as contestant: one process of each kind, on the measured core."""

import contextlib
import os
import secrets

from pt.util import write
from pt.world import DOMAIN

from measure import SERVER_CORE, Contestant, on_core

PIECES = """\
ignition {{
  key_file = "{key}"
}}
processes {{
  smtpd = {n}
  deliverd = 1
  pop3d = 1
}}
limits {{
  commands = 1000000
  sessions = 20000
  sessions_per_client = 20000
}}
"""


def start(world, pieces, port, people, with_keys=(), tls_keys=(), core=SERVER_CORE, processes=1):
    """Start it with further configuration and with users, some of whom have a Curve25519 key.

    tls_keys: files whose keys go into the key store.  core: None for all of them.
    """
    folder = world.path("gw")
    os.makedirs(folder)
    key = write(os.path.join(folder, "ignition.key"), secrets.token_bytes(32), 0o400)
    gw = world.gateway(PIECES.format(key=key, n=processes) + pieces, level="info")
    if gw.user is not None and os.getuid() == 0:
        for path in (key, *tls_keys):
            os.chown(path, gw.user, gw.user)
    with contextlib.nullcontext() if core is None else on_core(core):
        gw.start()
    gw.keyctl("init", "--key-file", key, "--cost", "1,8")
    gw.gwctl("domain", "add", DOMAIN)
    for name in people:
        address = f"{name}@{DOMAIN}"
        gw.gwctl("consumer", "add", name, "--internal", "--address", address)
        if name in with_keys:
            gw.keyctl("generate", "--address", address, "--name", name, "--algo", "ed25519")
    for path in tls_keys:
        gw.keyctl("import", "--tls", path)
    return Contestant("postern", port, [gw.pid])

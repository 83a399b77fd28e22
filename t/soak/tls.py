"""testssl.sh at all doors of the gateway; see the script of the same name."""

import argparse
import concurrent.futures
import os
import secrets
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(TOP, "t/integ"))

from pt import Skip, case, run  # noqa: E402
from pt.gateway import BUILD  # noqa: E402
from pt.netns import Net  # noqa: E402
from pt.testssl import KINDS, Door, DoorsWorld, run_testssl, wrong  # noqa: E402
from pt.util import wait_until, write  # noqa: E402

AT_ONCE = 2  # testssl sleeps much
STAPLE_SECONDS = 30
SERVER, FAR = "mail.partner.test", "10.77.2.2"
PORTS = {("smtp", "starttls"): 587, ("smtp", "implicit"): 465, ("pop3", "starttls"): 110, ("pop3", "implicit"): 995}

# What is found and is no fault: how it begins, and why.
MINTED = {
    "cert_revocation": ("Neither CRL nor OCSP URI provided",
                        "a certificate of the proxy authority lives for days, and nobody could ask the authority"),
    "cert_expirationStatus": ("expires <", "the same"),
    "cert_notAfter": ("", "the same"),
}

TRANSPARENT = """
ignition {{
  key_file = "{key}"
}}
limits {{
  sessions_per_client = 1000
}}
tls_profile "default" {{
  ca_file = "{ca}"
}}
"""
CONNECTOR = """
connector "{service}" {{
  service = {service}
  transparent = redirect
  listen = {{"0.0.0.0:{clear}"}}
  listen_tls = {{"0.0.0.0:{tls}"}}
}}
"""
ALL = [f"{service}{way}-{kind}" for service in ("smtp", "pop3") for way in ("-starttls", "s")
       for kind in KINDS + ("minted",)]


def options():
    parser = argparse.ArgumentParser(prog="t/soak/tls", description="testssl.sh at all doors of the gateway.")
    parser.add_argument("--out", metavar="FOLDER", help="where its texts go")
    parser.add_argument("doors", metavar="DOOR", nargs="*", help="of: " + " ".join(ALL))
    chosen = parser.parse_args()
    unknown = set(chosen.doors) - set(ALL)
    if unknown:
        parser.error("no such door: " + " ".join(sorted(unknown)))
    chosen.doors = chosen.doors or ALL
    chosen.out = os.path.abspath(chosen.out or os.path.join(os.path.dirname(BUILD), "soak"))
    os.makedirs(chosen.out, exist_ok=True)
    return chosen


def staples(door):
    p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{door.port}", "-status"], check=False,
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    return b"OCSP Response Status: successful" in p.stdout


def transparent(w):
    """Doors of a gateway between a client and foreign servers, each of which a certificate is minted for."""
    net = Net(servers=1)
    w.defer(net.close)
    certificate = w.ca.issue("foreign", names=(SERVER,), addresses=(), days=90)
    text, steer = TRANSPARENT.format(key=w.path("between", "ignition.key"), ca=w.ca.ca), []
    with net.server:
        for (service, way), port in PORTS.items():
            start = {"smtp": w.sink, "pop3": w.fakepop}[service]
            start(tls=certificate, implicit=way == "implicit", host="0.0.0.0", port=port)
    for service in ("smtp", "pop3"):
        clear, tls = w.ports.get(), w.ports.get()
        text += CONNECTOR.format(service=service, clear=clear, tls=tls)
        steer += [(FAR, PORTS[service, "starttls"], clear), (FAR, PORTS[service, "implicit"], tls)]
    net.steer(redirect=steer)
    w.between = w.gateway(text, name="between", level="info")
    key = w.between.own(write(w.path("between", "ignition.key"), secrets.token_bytes(32), 0o400))
    with net.gateway:
        w.between.start()
    w.between.keyctl("init", "--key-file", key, "--cost", "1,8")
    w.between.keyctl("ca", "init", "--name", "Test gateway")
    ca = write(w.path("proxy-ca.pem"), w.between.keyctl("ca", "export").stdout)
    for (service, way), port in PORTS.items():
        name = f"{service}{'s' if way == 'implicit' else '-starttls'}-minted"
        w.doors[name] = Door(name, ca, port, service if way == "starttls" else None, SERVER, FAR, net.client, MINTED)


def world(chosen):
    w = DoorsWorld()
    w.between, w.why = None, "no transparent gateway"
    try:
        try:
            if any(name.endswith("minted") for name in chosen.doors):
                transparent(w)
        except Skip as e:
            w.why = str(e)
        wait_until(lambda: staples(w.doors["smtps-both"]), STAPLE_SECONDS, "a stapled response", 0.5)
        pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        w.defer(lambda: pool.shutdown(cancel_futures=True))
        w.runs = {name: pool.submit(run_testssl, w.doors[name], chosen.out) for name in chosen.doors if name in w.doors}
    except BaseException:
        print(w.log_tails())
        w.close()
        raise
    return w


def add_case(name, out):
    def nothing_found(w):
        if name not in w.runs:
            raise Skip(w.why)
        findings = w.runs[name].result()
        lines = wrong(w.doors[name], findings)
        assert not lines, "\n".join(lines)
        print(f"  {os.path.join(out, f'testssl-{name}.txt')}", flush=True)
    nothing_found.__name__ = "nothing_wrong_at_" + name
    case(nothing_found)


def main():
    chosen = options()
    sys.argv[1:] = []
    for name in chosen.doors:
        add_case(name, chosen.out)
    case(no_daemon_has_ended)
    run(lambda: world(chosen))


def no_daemon_has_ended(w):
    for gw in (w.gw, w.between):
        log = gw.settled_log() if gw is not None else ""
        assert gw is None or gw.alive()
        assert " error: " not in log and " fatal: " not in log and "restart" not in log, log[-5000:]


if __name__ == "__main__":
    main()

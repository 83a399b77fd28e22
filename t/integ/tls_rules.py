#!/usr/bin/env python3
"""The firewall rules that postern.conf(5) gives for transparent connectors do what it says of them."""

import os
import re
import socket

from pt import Skip, World, case, run
from pt.gateway import TOP
from pt.netns import MARK, TABLE, Net
from pt.util import read, sh

CLEAR, TLS = 110, 995
SO_ORIGINAL_DST = 80
IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
OURS, CLIENT, SERVER = "10.77.1.1", "10.77.1.2", "10.77.2.2"
BOTH = ((socket.AF_INET, "0.0.0.0", CLIENT, SERVER), (socket.AF_INET6, "::", "fd77:1::2", "fd77:2::2"))


def world():
    page = read(os.path.join(TOP, "man/postern.conf.5")).decode()
    # What Net does for them already.
    assert re.findall(r"^ip .*", page, re.M) == [
        f"ip rule add fwmark {MARK} lookup {TABLE}", f"ip route add local 0.0.0.0/0 dev lo table {TABLE}",
        f"ip -6 rule add fwmark {MARK} lookup {TABLE}", f"ip -6 route add local ::/0 dev lo table {TABLE}"]
    tables = re.findall(r"^table inet postern \{\n.*?^\}\n", page, re.S | re.M)
    w = World()
    try:
        w.redirect, w.tproxy = (t.replace("lan0", "clients") for t in tables)
        net = Net(servers=1)
    except BaseException:
        w.close()
        raise
    w.defer(net.close)
    w.client, w.gateway, w.server = net.client, net.gateway, net.server
    return w


def load(w, rules):
    with w.gateway:
        p = sh(["nft", "-f", "-"], data=b"table inet postern {}\ndelete table inet postern\n" + rules.encode(), check=False)
    if b"Operation not supported" in p.stderr or b"No such file" in p.stderr:
        raise Skip("this kernel has no nft rules for that")
    assert p.returncode == 0, p.stderr


def plain(where, family, transparent=False):
    with where:
        s = socket.socket(family)
    s.settimeout(10)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if transparent and family == socket.AF_INET:
        s.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
    elif transparent:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
    return s


def listener(where, family, *at, **kw):
    s = plain(where, family, **kw)
    s.bind(at)
    s.listen()
    return s


def connect(where, host, port):
    with where:
        return socket.create_connection((host, port), 10)


@case
def redirected_connections_say_where_they_wanted_to_go(w):
    load(w, w.redirect)
    for port in (CLEAR, TLS):
        with listener(w.gateway, socket.AF_INET, OURS, 10000 + port) as s, connect(w.client, SERVER, port), s.accept()[0] as c:
            to = c.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
            assert (int.from_bytes(to[2:4], "big"), socket.inet_ntoa(to[4:8])) == (port, SERVER)


@case
def taken_connections_have_the_servers_address(w):
    load(w, w.tproxy)
    for family, everywhere, client, server in BOTH:
        for port in (CLEAR, TLS):
            with listener(w.gateway, family, everywhere, 10000 + port, transparent=True) as s, \
                    connect(w.client, server, port), s.accept()[0] as c:
                assert c.getsockname()[:2] == (server, port) and c.getpeername()[0] == client


@case
def answers_to_a_clients_address_come_back(w):
    load(w, w.tproxy)
    for family, _, client, server in BOTH:
        with listener(w.server, family, server, CLEAR) as s, plain(w.gateway, family, transparent=True) as out:
            out.bind((client, 0))
            out.connect((server, CLEAR))
            with s.accept()[0] as c:
                assert c.getpeername()[0] == client
                c.sendall(b"here")
                assert out.recv(4) == b"here"


@case
def connections_to_the_gateway_itself_are_left_alone(w):
    for rules in (w.redirect, w.tproxy):
        load(w, rules)
        with listener(w.gateway, socket.AF_INET, OURS, CLEAR) as s, connect(w.client, OURS, CLEAR), s.accept()[0] as c:
            assert c.getsockname() == (OURS, CLEAR)


if __name__ == "__main__":
    run(world)

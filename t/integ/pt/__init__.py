"""Peers, clients and the gateway itself, for tests that use real servers.

A test program looks like this:

    from pt import World, case, run

    def world():
        w = World()
        w.dovecot()
        return w

    @case
    def fetches_what_was_sent(w):
        ...

    run(world)

Everything lives in one private folder and listens on loopback; what was started is stopped by its
process id when the world closes.
"""

from .cases import Skip, case, run
from .relay import QueueSite
from .site import Site
from .world import World

__all__ = ["QueueSite", "Site", "Skip", "World", "case", "run"]

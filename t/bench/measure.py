"""What the figures are made with: cores, CPU time, clients, lines of output."""

import contextlib
import os
import statistics
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(TOP, "t/integ"))  # behind: names there are ours, too

from pt.gateway import BUILD  # noqa: E402
from pt.util import read, tree  # noqa: E402

KIB, MIB = 1024, 1024 * 1024
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[-1], CORES[0]  # who is measured; who makes work, and who is behind
TICKS = os.sysconf("SC_CLK_TCK")


def figure(name, value, unit, peer="-", theirs="-", ratio="-"):
    """Print one line; what is not there is "-"."""
    cells = [x if isinstance(x, str) else f"{x:.4g}" for x in (value, theirs, ratio)]
    print(f"{name}\t{cells[0]}\t{unit}\t{peer}\t{cells[1]}\t{cells[2]}", flush=True)


def compare(name, unit, ours, peer, theirs):
    """Print the medians of some rounds, and the median of the rounds' ratios."""
    figure(name, statistics.median(ours), unit, peer, statistics.median(theirs),
           statistics.median(a / b for a, b in zip(ours, theirs)))


def note(text):
    print(f"# {text}", flush=True)


@contextlib.contextmanager
def on_core(core):
    """What is started meanwhile runs on that core, and before everything else there.

    Who hands work from process to process would otherwise wait for others' time slices at each
    step, and be measured by what else runs on this machine.
    """
    cores, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        if not on_core.told:
            note("no real-time priority: figures depend on what else runs here")
        on_core.told = True
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, os.sched_param(0))
        os.sched_setaffinity(0, cores)


on_core.told = False


def _proc(*path):
    """A file of /proc; b"" of a process that has just ended: its parent has its time then."""
    try:
        return read(os.path.join("/proc", *map(str, path)))
    except ProcessLookupError:
        return b""


def _cpu(pid):
    stat = _proc(pid, "stat").rpartition(b")")[2].split()
    if not stat:
        return 0
    own, ended = (sum(map(int, stat[i:i + 2])) / TICKS for i in (11, 13))
    try:
        # The same of the threads that live, in nanoseconds.
        threads = [_proc(pid, "task", t, "schedstat").split()
                   for t in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        threads = []
    return max(own, sum(int(t[0]) for t in threads if t) / 1e9) + ended


def cpu(pids):
    """{name of a process: seconds of CPU time} of these processes and all below them.

    Those that have ended are part of their parents.
    """
    found = {}
    for pid in {p for root in pids for p in tree(root)}:
        name = _proc(pid, "comm").decode("utf-8", "replace").strip()
        found[name] = found.get(name, 0) + _cpu(pid)
    return found


def pss(pids):
    """Octets of memory of these processes and all below them; what is shared counts in parts."""
    total = 0
    for pid in {p for root in pids for p in tree(root)}:
        for line in _proc(pid, "smaps_rollup").decode().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * KIB
    return total


class Client:
    """A program of load.h."""

    def __init__(self, name, *args, core=LOAD_CORE):
        """core: None for all of them."""
        with contextlib.nullcontext() if core is None else on_core(core):
            self.child = subprocess.Popen([os.path.join(BUILD, "bench", name), *map(str, args)],
                                          text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _line(self):
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.child.args[0]} ended: {self.child.wait()}")
        return line

    def _say(self, text):
        self.child.stdin.write(text + "\n")
        self.child.stdin.flush()

    def prepare(self, command):
        self._say(command)
        self._line()

    def go(self):
        """(seconds, how many)"""
        self._say("go")
        seconds, count = self._line().split()
        return float(seconds), int(count)

    def stop(self):
        self.child.stdin.close()
        self.child.wait(10)


class Contestant:
    """Servers to be measured, by process id of their roots, and what is known of them."""

    def __init__(self, name, port, pids=()):
        self.name, self.port, self.pids = name, port, list(pids)
        self.rates, self.costs = [], []  # a cost is {name of a process: seconds}

    def measure(self, client, command):
        """One round: operations a second, seconds of CPU time for each by process."""
        client.prepare(command)
        before = cpu(self.pids)
        seconds, count = client.go()
        after = cpu(self.pids)
        return count / seconds, {name: (t - before.get(name, 0)) / count
                                 for name, t in after.items()}

    def round(self, client, command):
        rate, cost = self.measure(client, command)
        self.rates.append(rate)
        self.costs.append(cost)

    def clear(self):
        self.rates, self.costs = [], []

    def cost(self, name=None):
        """Microseconds of CPU time for each, of all processes or one; the mean of all rounds."""
        return statistics.mean(sum(c.values()) if name is None else c.get(name, 0)
                               for c in self.costs) * 1e6

    def parts(self, least=0.5):
        """[(name of a process, the same of it alone)], the greatest first, those below out."""
        names = {name for c in self.costs for name in c}
        found = sorted(((self.cost(n), n) for n in names), reverse=True)
        return [(n, c) for c, n in found if c >= least]


def tell(name, unit, ours, peers, what="message"):
    """The lines of one comparison: rate and CPU time beside each peer."""
    for p in peers:
        compare(name, unit, ours.rates, p.name, p.rates)
    for p in peers:
        if ours.pids and p.pids:
            figure(f"{name}_cpu", ours.cost(), f"us/{what}", p.name, p.cost(),
                   ours.cost() / p.cost() if p.cost() else "-")

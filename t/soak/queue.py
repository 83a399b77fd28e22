"""The queue under load for long; see t/soak/queue."""

import os
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "t/integ")]

from pt import QueueSite  # noqa: E402
from pt.gateway import BUILD  # noqa: E402
from pt.util import Proc, listening, wait_until, write  # noqa: E402

import socket  # noqa: E402

SESSIONS, PER_CONNECTION = 20, 100
MIB = 1 << 20
GROWTH = 24 * MIB  # that memory may grow by from a quarter of the way on


class Counter:
    def __init__(self, port):
        self._s = socket.create_connection(("127.0.0.1", port))
        self._f = self._s.makefile("rb")
        self._f.readline()

    def __call__(self):
        self._s.sendall(b"COUNT\r\n")
        return int(self._f.readline().split()[1])


def sink(w):
    port = w.ports.get()
    proc = Proc([os.path.join(BUILD, "bench/smtp_sink"), "-f", "100", "-s", "10", str(port)], w.path("sink.out"))
    w.defer(proc.stop)
    wait_until(lambda: listening(port), 5, "the sink")
    w.sink_port = port
    return port


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200000
    with QueueSite(users=("dora",), level="info", outside=sink, queue="concurrency = 100",
                   more="limits {\n  commands = 1000000\n}\n") as w:
        counter = Counter(w.sink_port)
        mail = write(w.path("mail"), b"Subject: soak\r\n\r\n" + (b"x" * 70 + b"\r\n") * 50)
        load = subprocess.Popen([os.path.join(BUILD, "bench/smtp_load"), "-p", "-m", str(PER_CONNECTION), str(w.relay),
                                 str(SESSIONS), mail, "dora@example.test", "nobody@elsewhere.test"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        load.stdin.write(f"{count - SESSIONS}\n")  # each session sends one before
        load.stdin.flush()
        load.stdout.readline()
        start = time.monotonic()
        load.stdin.write("go\n")
        load.stdin.flush()
        sent = threading.Thread(target=load.stdout.readline)
        sent.start()
        samples, last, still = [], 0, time.monotonic()
        while True:
            time.sleep(2)
            now, memory = counter(), w.gw.memory()
            samples.append((now, memory))
            print(f"{time.monotonic() - start:6.0f} s  {now:7d} arrived  {memory / MIB:6.1f} MiB", flush=True)
            if now != last:
                last, still = now, time.monotonic()
            if not sent.is_alive() and now >= count and not w.queue():
                break
            if time.monotonic() - still > 120:
                print(f"nothing moves any more: {now} of {count}, {len(w.queue())} in the queue")
                return 1
        arrived = counter()
        quarter = max(m for n, m in samples if n <= count / 4) if samples[0][0] <= count / 4 else samples[0][1]
        most = max(m for _, m in samples)
        print(f"{arrived} of {count} arrived in {time.monotonic() - start:.0f} s; memory {quarter / MIB:.1f} MiB at a "
              f"quarter of the way, {most / MIB:.1f} MiB at most")
        load.stdin.close()
        load.wait(10)
        if arrived != count or most > quarter + GROWTH:
            print("FAILED")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

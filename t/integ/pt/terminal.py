"""A program on a terminal of its own: what it asks is answered, what it shows is kept."""

import codecs
import fcntl
import os
import re
import select
import signal
import subprocess
import termios
import time


class Terminal:
    """One program whose controlling terminal is a pty; a context manager that ends it."""

    def __init__(self, argv, env=None):
        self._fd, other = os.openpty()

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        with os.fdopen(other, "r+b", buffering=0) as tty:
            self.child = subprocess.Popen(argv, stdin=tty, stdout=tty, stderr=tty, env=env,
                                          preexec_fn=own_terminal)  # pylint: disable=subprocess-popen-preexec-fn
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.text = ""
        self._seen = 0

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
        self.child.wait(5)
        os.close(self._fd)

    def _read(self, seconds):
        """Read what is there; False at its end."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        self.text += self._decoder.decode(data)  # a character may come in two pieces
        return bool(data)

    def expect(self, pattern, seconds=60.0):
        """Wait for something behind what was seen before; the match."""
        end = time.monotonic() + seconds
        while True:
            m = re.compile(pattern).search(self.text, self._seen)
            if m:
                self._seen = m.end()
                return m
            if time.monotonic() > end or not self._read(0.2):
                raise AssertionError(f"no /{pattern}/ in {self.text!r}")

    def answer(self, pattern, text, seconds=60.0):
        """Wait for a question, for the terminal to hide what is typed, and type."""
        self.expect(pattern, seconds)
        end = time.monotonic() + 10
        while termios.tcgetattr(self._fd)[3] & termios.ECHO and time.monotonic() < end:
            time.sleep(0.01)
        os.write(self._fd, text.encode() + b"\n")

    def type(self, text):
        """Type this, whatever is shown."""
        os.write(self._fd, text.encode())

    def finish(self, seconds=60.0):
        """Read to the end; the exit code."""
        end = time.monotonic() + seconds
        while self._read(0.2):
            if time.monotonic() > end:
                raise AssertionError(f"did not end: {self.text!r}")
        return self.child.wait(10)

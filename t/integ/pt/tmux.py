"""A full-screen program in tmux: keys go in, what the screen shows comes out."""

import re
import subprocess
import time

from .util import sh


class Tmux:
    """A server of our own with one window; stop() ends it and what runs in it."""

    def __init__(self, folder, argv, env, width=160, height=48):
        """argv runs without a shell; env is all of its environment but TERM."""
        self._base = ["tmux", "-f", "/dev/null", "-S", f"{folder}/tmux"]
        self._env = env
        self._run("new-session", "-d", "-x", str(width), "-y", str(height), "-s", "it", *argv)

    def _run(self, *args, check=True):
        return sh([*self._base, *args], env=self._env, check=check).stdout.decode("utf-8", "replace")

    def stop(self):
        subprocess.run([*self._base, "kill-server"], env=self._env, check=False, capture_output=True)

    def screen(self):
        """The text of the screen; "" once the program has ended."""
        return self._run("capture-pane", "-p", "-t", "it", check=False)

    def keys(self, *keys):
        """Press keys by tmux's names, as "Enter" or "C-c"."""
        self._run("send-keys", "-t", "it", *keys)

    def type(self, text):
        self._run("send-keys", "-t", "it", "-l", text)

    def expect(self, pattern, seconds=30.0):
        """Wait until the screen has this; the match."""
        end = time.monotonic() + seconds
        while True:
            screen = self.screen()
            m = re.search(pattern, screen, re.M)
            if m:
                return m
            if time.monotonic() > end:
                raise AssertionError(f"no /{pattern}/ on the screen:\n{screen}")
            time.sleep(0.05)

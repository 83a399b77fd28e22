"""Cases: functions that print "ok NAME" or "not ok NAME"."""

import os
import signal
import sys
import time
import traceback

_cases = []
opened = []  # every World that was made: one that failed half-way is closed all the same


class Skip(Exception):
    """Raised by a case or a world that cannot run here; the text says why."""


def case(func):
    """Declare a case; its name is the function's."""
    _cases.append(func)
    return func


def _stop(signum, _frame):
    sys.exit(128 + signum)


def _tell(text):
    for line in text.rstrip().splitlines():
        print("  " + line, flush=True)


def _run_one(func, w, show_logs):
    start = time.monotonic()
    try:
        w.before_case()
        func(w)
    except Skip as why:
        print(f"ok {func.__name__} # SKIP {why}", flush=True)
        return True
    except Exception:  # pylint: disable=broad-except
        print(f"not ok {func.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
        _tell(traceback.format_exc())
        if show_logs:
            _tell(w.log_tails())
        return False
    print(f"ok {func.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
    return True


def run(make_world):
    """Run the cases of this program, or those named on the command line; exits.

    make_world() returns a context manager; every case is called with it.  With -k the folder stays.
    """
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, _stop)
    os.umask(0o022)
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
    chosen = [c for c in _cases if not wanted or c.__name__ in wanted]
    good = bool(chosen)
    shown = 0
    try:
        with make_world() as w:
            w.keep = "-k" in sys.argv
            for func in chosen:
                if not _run_one(func, w, shown < 3):
                    good = False
                    shown += 1
    except Skip as why:
        for func in chosen:
            print(f"ok {func.__name__} # SKIP {why}", flush=True)
    except Exception:  # pylint: disable=broad-except
        print("not ok world", flush=True)
        _tell(traceback.format_exc())
        good = False
    finally:
        while opened:
            opened.pop().close()
    sys.exit(0 if good else 1)

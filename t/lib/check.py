"""Build, then run the groups of tests; see ./check."""

import concurrent.futures
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

GROUPS = ("lint", "unit", "fuzz", "golden", "integ")
TIMEOUT = {"build": 540, "lint": 180, "unit": 150, "fuzz": 60, "golden": 150, "integ": 180}
FUZZ_RUNS, FUZZ_SECONDS = 100000, 2
HEAD_LINES, TAIL_LINES = 12, 40  # shown of a failing test
BUILD = os.environ.get("BUILD", "build")
JOBS = int(os.environ.get("JOBS", "0")) or os.cpu_count() or 1

# "ok NAME", "not ok NAME", with TAP's number and hyphen allowed; "# SKIP why" at the end.
CASE = re.compile(r"^(not )?ok\b(?:\s+\d+\b)?(?:\s+-)?\s*(.*?)(?:\s+#\s*SKIP\b\s*(.*))?$", re.I)
CK_SUM = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)
CK_BAD = re.compile(r"^\S+:\d+:[FE]:.*$", re.M)
SANITIZER = re.compile(r"^.*(?:SUMMARY: \w+Sanitizer|runtime error:).*$", re.M)
MARK = re.compile(r"^# check: (alone|timeout=(\d+))\s*$", re.M)


class Test:
    def __init__(self, group, name, argv, env=None, timeout=None, alone=False):
        self.group, self.name, self.argv, self.env = group, name, argv, env or {}
        self.timeout, self.alone = timeout or TIMEOUT[group], alone
        self.passed = self.failed = self.skipped = 0
        self.output, self.bad, self.skips, self.seconds = "", [], [], 0.0

    @property
    def id(self):
        return f"{self.group}/{self.name}"


def stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def marks(path):
    """Timeout and "alone" from lines like "# check: timeout=300" in a test's head."""
    with open(path, encoding="utf-8", errors="replace") as f:
        found = MARK.findall(f.read(4096))
    timeout = max((int(t) for _, t in found if t), default=None)
    return {"timeout": timeout, "alone": any(m == "alone" for m, _ in found)}


def find_tests():
    """Every test of every group, by what stands in t/."""
    asan, rel = f"{BUILD}/asan", f"{BUILD}/rel"
    tests = []
    for path in sorted(glob.glob("t/lint/*")):
        if os.access(path, os.X_OK) and os.path.isfile(path):
            tests.append(Test("lint", stem(path), [path], {"LINT_JOBS": str(JOBS), "BUILD": BUILD}))
    for path in sorted(glob.glob("t/unit/*/main.c")):
        name = path.split("/")[2]
        tests.append(Test("unit", name, [f"{asan}/unit/{name}"], {"CK_VERBOSITY": "normal"}))
    for path in sorted(glob.glob("t/fuzz/*.c")):
        name = stem(path)
        if name != "driver":
            argv = [f"{asan}/fuzz/{name}", "-n", str(FUZZ_RUNS), "-t", str(FUZZ_SECONDS)]
            corpus = f"t/corpus/{name}"
            tests.append(Test("fuzz", name, argv + ([corpus] if os.path.isdir(corpus) else [])))
    for path in sorted(glob.glob("t/golden/*.sh")):
        if os.access(path, os.X_OK):
            tests.append(Test("golden", stem(path), [path, rel], **marks(path)))
    for path in sorted(glob.glob("t/integ/*.py")):
        argv = [sys.executable, "-B", path]
        tests.append(Test("integ", stem(path), argv, {"POSTERN_BUILD": rel}, **marks(path)))
    return tests


def select(tests, wanted):
    if not wanted:
        return tests
    chosen = []
    for want in wanted:
        group, _, name = want.partition("/")
        if group not in GROUPS:
            sys.exit(f"check: no group '{group}'; there are: {' '.join(GROUPS)}")
        hits = [t for t in tests if t.group == group
                and (not name or t.name == name or t.name.startswith(name + "_"))]
        if not hits and name:
            sys.exit(f"check: no test '{want}'; see ./check -l")
        chosen += [t for t in hits if t not in chosen]
    return chosen


def builds(tests):
    """The make runs that the chosen tests need, in order."""
    make = ["make", "-s", "-k", f"-j{JOBS}", f"BUILD={BUILD}"]
    groups = {t.group for t in tests}
    asan = [t.argv[0] for t in tests if t.group in ("unit", "fuzz")]
    runs = []
    if groups & {"golden", "integ"}:
        runs.append(Test("build", "rel", make + ["V=rel", "all", "golden"]))
    if asan:
        runs.append(Test("build", "asan", make + ["V=asan"] + asan))
    return runs


def contain(test, tmp):
    """Run one test in its own folder; fills in output and seconds, returns the exit code."""
    env = dict(os.environ, LC_ALL="C.UTF-8", TMPDIR=tmp, **test.env)
    env.setdefault("ASAN_OPTIONS", "print_legend=0:detect_stack_use_after_return=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.pop("MAKEFLAGS", None)
    argv = [sys.executable, "-B", "t/lib/contain.py", str(test.timeout)] + test.argv
    start = time.monotonic()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, start_new_session=True)
        RUNNING.add(child)
        try:
            rc = child.wait()
        finally:
            RUNNING.discard(child)
        size = out.seek(0, os.SEEK_END)
        out.seek(max(0, size - (8 << 20)))
        test.output = out.read().decode("utf-8", "replace")
    test.seconds = time.monotonic() - start
    return rc


def count(test, rc):
    """Passed, failed and skipped cases of a finished test from its output and exit code."""
    if test.group == "unit":
        sums = CK_SUM.findall(test.output)
        checks = sum(int(c) for c, _, _ in sums)
        test.failed = sum(int(f) + int(e) for _, f, e in sums)
        test.passed = checks - test.failed
        test.bad = CK_BAD.findall(test.output)
    elif test.group in ("golden", "integ"):
        for line in test.output.splitlines():
            m = CASE.match(line)
            if not m:
                continue
            if m[1]:
                test.failed += 1
                test.bad.append(line)
            elif m[3] is not None:
                test.skipped += 1
                test.skips.append(f"{m[2]}: {m[3]}" if m[3] else m[2])
            else:
                test.passed += 1
    elif rc == 0:
        test.passed = 1
    test.bad += SANITIZER.findall(test.output)
    if rc != 0 and test.failed == 0:
        test.failed = 1
        test.bad.append(f"exit code {rc}" + {124: " (time over)", 125: " (processes left)"}.get(rc, ""))
    if test.passed + test.failed + test.skipped == 0:
        test.failed = 1
        test.bad.append("no case was run")


RUNNING = set()
PRINT = threading.Lock()


def report(test, verbose):
    with PRINT:
        mark = "FAIL" if test.failed else "ok"
        extra = f", {test.failed} failed" if test.failed else ""
        extra += f", {test.skipped} skipped" if test.skipped else ""
        print(f"{mark:5}{test.id:28}{test.passed:5} passed{extra} ({test.seconds:.1f} s)")
        for line in test.skips:
            print(f"     skipped: {line}")
        lines = test.output.splitlines()
        if test.group == "build":
            lines = [x for x in lines if not re.match(r"  (CC|LD|AR) \S+$", x)]
        if test.failed:
            for line in test.bad[:TAIL_LINES]:
                print(f"     {line}")
            over = len(lines) - HEAD_LINES - TAIL_LINES
            if over > 0:
                lines[HEAD_LINES:-TAIL_LINES] = [f"... {over} lines more"]
        if test.failed or verbose:
            for line in lines:
                print(f"     | {line}")
        sys.stdout.flush()


def run(test, tmp, verbose):
    folder = tempfile.mkdtemp(dir=tmp)
    os.chmod(folder, 0o711)  # daemons of several users start in it
    try:
        count(test, contain(test, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report(test, verbose)


def run_all(tests, tmp, verbose):
    # Timings of the integration tests suffer beside other work, so the rest comes first.  Most wait
    # for much of their time, so there are more of them at once than processors.
    first = [t for t in tests if t.group != "integ" and not t.alone]
    second = [t for t in tests if t.group == "integ" and not t.alone]
    alone = [t for t in tests if t.alone]
    order = {"lint": 0, "golden": 1, "fuzz": 2, "unit": 3}
    first.sort(key=lambda t: order[t.group])
    for batch, jobs in ((first, JOBS + 1), (second, max(2, min(JOBS * 2, 6))), (alone, 1)):
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for done in [pool.submit(run, t, tmp, verbose) for t in batch]:
                done.result()


def stop(signum, _frame):
    for child in list(RUNNING):
        child.terminate()  # its descendants go with it, see contain.py
    for child in list(RUNNING):
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
    shutil.rmtree(TMP, ignore_errors=True)
    os._exit(128 + signum)


def main(args):
    global TMP
    flags = {a for a in args if a.startswith("-")}
    if flags - {"-l", "-v"}:
        sys.exit("usage: ./check [-l] [-v] [GROUP | GROUP/NAME]...")
    wanted = [a.rstrip("/") for a in args if a not in flags]
    tests = select(find_tests(), wanted)
    if "-l" in flags:
        print("\n".join(t.id for t in tests))
        return 0
    groups = [g for g in GROUPS if not wanted or any(w.split("/")[0] == g for w in wanted)]
    TMP = tempfile.mkdtemp(prefix="pck.", dir=os.environ.get("TMPDIR") or "/tmp")
    os.chmod(TMP, 0o711)
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, stop)
    try:
        made = builds(tests)
        for test in made:
            run(test, TMP, "-v" in flags)
        run_all(tests, TMP, "-v" in flags)
    finally:
        shutil.rmtree(TMP, ignore_errors=True)
    empty = [g for g in groups if not any(t.group == g for t in tests)]
    for group in empty:
        print(f"FAIL {group:28} no test of this group was found")
    every = made + tests
    passed, failed, skipped = (sum(getattr(t, k) for t in every) for k in ("passed", "failed", "skipped"))
    failed += len(empty)
    for test in every:
        if test.failed:
            print(f"failed: {test.id}: " + "; ".join(test.bad[:3])[:300])
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

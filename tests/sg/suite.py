#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""suite.py BUILD inprocess|mount [--update]: libiscsi's iscsi-test-cu, judged test by test.

Every test of the suite runs as a process of its own under `scpair sg`, and what comes of it is compared
with tests/sg/expected-MODE.txt. A result that changed, for the better too, fails; so does a test that is
new or gone, and a result without a cause. --update writes the file anew and keeps the causes that it has.

Results:
  pass   asserted something about what the disk answered to a command of the test, and all of it held
  empty  passed without having sent a command or asserted anything: proves nothing, counted apart
  skip   the test said that something it needs is not there
  fail   an assertion did not hold
  crash  the tool was ended by a signal
  hang   no end within the time limit

Does not contain: the table in docs/conformance.md (table.py).
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS_MAX = 60
SUITE = "iscsi-test-cu"

# The disks, each a sparse file (holes are deallocated blocks), and which tests need another than the first.
DISK_BYTES = 64 << 20
DISKS = [("512e", ",phys=4096"), ("512n", ""), ("removable", ",removable"), ("readonly", ",ro")]
NEEDS = [("512n", re.compile(r"GetLBAStatus\.")),
         ("removable", re.compile(r"(NoMedia|PreventAllow|StartStopUnit)\.")),
         ("readonly", re.compile(r"ReadOnly\."))]


def disk_of(test):
    return next((name for name, pattern in NEEDS if pattern.match(test)), "512e")


def tests_of_suite():
    out = subprocess.run([SUITE, "--list"], check=False, capture_output=True, text=True).stdout
    return re.findall(r"^ALL\.(\w+\.[\w-]+)$", out, re.M)


def judge(code, out):
    """The result of one run and, in the tool's own words, why."""
    if code == 124:
        return "hang", ""
    if code < 0:
        return "crash", f"signal {-code}"
    body = out[out.find("  Test: "):] if "  Test: " in out else ""
    skipped = re.findall(r"\[SKIPPED\]\s*(.*)", body)
    failed = re.findall(r"\[FAILED\]\s*(.*)", body)
    tests = re.search(r"tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", body)
    asserts = re.search(r"asserts\s+(\d+)\s+(\d+)", body)
    if not tests or tests.group(2) != "1":
        return "fail", "the test did not run: " + (out.strip().split("\n") or [""])[-1]
    if tests.group(4) != "0":
        return "fail", (failed or [""])[0]
    if skipped:
        return "skip", skipped[0]
    if asserts.group(2) == "0" or not re.search(r"^\s+Send ", body, re.M):
        return "empty", ""
    return "pass", ""


class Runner:
    def __init__(self, build, mode, work):
        self.scpair, self.mode, self.work = os.path.join(build, "scpair"), mode, work
        self.mount = os.path.join(work, "mnt")

    def __enter__(self):
        if self.mode == "mount":
            os.mkdir(self.mount)
            disks = [word for name, _ in DISKS for word in ("--disk", self.disk(name, name))]
            done = subprocess.run([self.scpair, "mount", *disks, self.mount], check=False,
                                  capture_output=True, text=True)
            if done.returncode != 0:
                if re.search("not permitted|FUSE is not available", done.stderr):
                    print("skipped: " + done.stderr.strip())
                    sys.exit(77)
                sys.exit("suite: " + done.stderr.strip())
        return self

    def __exit__(self, *_):
        if self.mode == "mount":
            # A test that fails half way leaves its disk stopped or empty, which no flush survives.
            number = [name for name, _ in DISKS].index("removable")
            for what in ("--load", "--start"):
                subprocess.run([self.scpair, "sg", "--", "sg_start", what, f"{self.mount}/rhdisk{number}"],
                               check=False, capture_output=True)
            subprocess.run([self.scpair, "umount", self.mount], check=False)

    def image(self, name):
        return os.path.join(self.work, name + ".img")

    def disk(self, kind, name):
        """A fresh disk of that kind, as --disk takes it."""
        with open(self.image(name), "wb") as f:
            f.truncate(DISK_BYTES)
        return self.image(name) + dict(DISKS)[kind]

    def command(self, test):
        name = disk_of(test)
        if self.mode == "mount":
            number = [d for d, _ in DISKS].index(name)
            return ["sg", "--", SUITE], [f"{self.mount}/rhdisk{number}"]
        return (["sg", "--disk", self.disk(name, test), "--", SUITE],
                ["/dev/scpair/sg0", "/dev/scpair/sg0@2"])

    def run(self, test):
        head, devices = self.command(test)
        command = [self.scpair, *head, "--dataloss", "--allow-sanitize", "--Verbose-scsi",
                   f"--test=ALL.{test}", *devices]
        try:
            done = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS_MAX,
                                  stdin=subprocess.DEVNULL)
            code, out = done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired as end:
            code, out = 124, (end.stdout or b"") + (end.stderr or b"")
        if self.mode == "inprocess":
            os.unlink(self.image(test))
        out = out.decode(errors="replace")
        with open(os.path.join(self.work, test + ".log"), "w", encoding="utf-8") as f:
            f.write(" ".join(command) + "\n" + out)
        return test, *judge(code, out)


def expected_path(mode):
    return os.path.join(HERE, f"expected-{mode}.txt")


def expected_read(mode):
    """{test: (result, disk, cause)} in the order of the file."""
    rows = {}
    if os.path.exists(expected_path(mode)):
        with open(expected_path(mode), encoding="utf-8") as f:
            for line in f:
                if line.strip() and not line.startswith("#"):
                    words, _, cause = line.rstrip("\n").partition(" | ")
                    result, disk, test = words.split()
                    rows[test] = (result, disk, cause.strip())
    return rows


def expected_write(mode, results, old):
    with open(expected_path(mode), "w", encoding="utf-8") as f:
        f.write("# SPDX-License-Identifier: BSD-2-Clause\n"
                f"# {SUITE}, {mode}: result, disk, test, and the cause of everything but a pass.\n"
                "# Written by suite.py --update; the causes by hand.\n")
        for test, result, words in results:
            was = old.get(test, ("", "", ""))
            cause = was[2] if was[0] == result else words
            f.write(f"{result:5} {disk_of(test):9} {test}" + (f" | {cause}" if cause else "") + "\n")


def compare(results, expected):
    """Lines about everything that is not as expected."""
    found = set()
    for test, result, words in results:
        found.add(test)
        if test not in expected:
            yield f"{test}: {result} {words}: a test that the file does not know"
            continue
        wanted, disk, cause = expected[test]
        if result != wanted:
            yield f"{test}: {result}, expected {wanted}: {words}"
        if disk != disk_of(test):
            yield f"{test}: on the {disk_of(test)} disk, the file says {disk}"
        if wanted != "pass" and not cause:
            yield f"{test}: {wanted} without a cause in the file"
    for test in expected:
        if test not in found:
            yield f"{test}: not in the suite any more"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("mode", choices=["inprocess", "mount"])
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--only", help="tests that contain this text; nothing is compared")
    parser.add_argument("--logs", help="keep the tool's output in this directory")
    args = parser.parse_args()
    if shutil.which(SUITE) is None:
        print(f"skipped: {SUITE} is not installed (Debian: libiscsi-bin)")
        return 77
    tests = [t for t in tests_of_suite() if not args.only or args.only in t]
    # In memory where there is such a place: a mount makes every close durable.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    work = args.logs or tempfile.mkdtemp(prefix="scpair-suite.", dir=memory)
    os.makedirs(work, exist_ok=True)
    try:
        with Runner(os.path.abspath(args.build), args.mode, work) as runner:
            # A disk of the mount is one for all; a disk in the process is its own.
            workers = 1 if args.mode == "mount" else 2
            with concurrent.futures.ThreadPoolExecutor(workers) as pool:
                results = list(pool.map(runner.run, tests))
    finally:
        if not args.logs:
            shutil.rmtree(work, ignore_errors=True)
    counts = {}
    for _, result, _ in results:
        counts[result] = counts.get(result, 0) + 1
    print(f"{len(results)} tests: " + ", ".join(f"{n} {r}" for r, n in sorted(counts.items())))
    if args.only:
        for row in results:
            print(*row)
        return 0
    expected = expected_read(args.mode)
    if args.update:
        expected_write(args.mode, results, expected)
        expected = expected_read(args.mode)
    findings = list(compare(results, expected))
    for line in findings:
        print("FAIL " + line)
    if findings:
        print(f"rerun: {sys.argv[0]} {args.build} {args.mode} --only TEST --logs DIRECTORY")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSD-2-Clause
"""checks.py - what the Python programs of this folder share: one "ok" or "FAIL" line per check, and what a
server says of itself. A program ends with sys.exit(checks.failed())."""
import json
import mmap
import os

PAGE = 4096
_bad = 0


def report(name, good, detail=""):
    global _bad
    _bad += not good
    print(("ok   " if good else "FAIL ") + name + ("" if good else f": {detail}"), flush=True)


def result(func, *args):
    """What func gives, or the errno it fails with, negative."""
    try:
        return func(*args)
    except OSError as e:
        return -e.errno


def expect(name, want, func, *args):
    got = result(func, *args)
    report(name, got == want, f"wanted {want}, got {got}")


def failed():
    """The exit code."""
    return 1 if _bad else 0


def page(size=PAGE):
    """Memory that begins on a page, as O_DIRECT wants it."""
    return mmap.mmap(-1, size)


def stat(mount):
    with open(f"{mount}/.scpair/stat", encoding="utf-8") as f:
        return json.load(f)


def disk_stat(mount, name):
    return next(d for d in stat(mount)["disks"] if d["name"] == name)


def flight(mount):
    with open(f"{mount}/.scpair/flight", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def server(mount):
    with open(f"{mount}/.scpair/pid", encoding="utf-8") as f:
        return int(f.read())


def control(mount, line):
    """One line to .scpair/plug; what is said to it."""
    fd = os.open(f"{mount}/.scpair/plug", os.O_RDWR)
    try:
        os.write(fd, line.encode())
        return json.loads(os.pread(fd, 65536, 0))
    finally:
        os.close(fd)

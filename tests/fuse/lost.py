#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""lost.py SCPAIR MOUNT - a write that was acknowledged and lost, told to each descriptor that was open, once.

Run by lost.sh, which makes the mount. One "ok" or "FAIL" line per check; exit code 1 when one failed.
"""
import errno
import os
import subprocess
import sys

sys.dont_write_bytecode = True
from checks import expect, failed, report, result  # noqa: E402

scpair, mount = sys.argv[1:3]
rhdisk = f"{mount}/rhdisk0"
EIO = -errno.EIO


def lose():
    """The device says, to the next read, that an earlier write did not reach the medium."""
    subprocess.run([scpair, "inject", mount, "hdisk0", "op=read", "do=check:4/44/00/deferred"], check=True)
    fd = os.open(rhdisk, os.O_RDONLY)
    report("the read that carries it is in order", len(os.pread(fd, 4096, 0)) == 4096)
    return fd


def two_descriptors(kind):
    path = f"{mount}/{kind}"
    a, b = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    os.pwrite(a, b"x" * 4096, 0)
    expect(f"{kind}: nothing is lost yet", None, os.fsync, a)
    reader = lose()
    expect(f"{kind}: the first descriptor hears of it", EIO, os.fsync, a)
    expect(f"{kind}: once", None, os.fsync, a)
    expect(f"{kind}: so does the second", EIO, os.fsync, b)
    expect(f"{kind}: once", None, os.fsync, b)
    late = os.open(path, os.O_RDWR)
    expect(f"{kind}: who opens it afterwards does not", None, os.fsync, late)
    expect(f"{kind}: and that was the reader's", EIO, os.fsync, reader)
    for fd in (a, b, late, reader):
        expect(f"{kind}: a close", None, os.close, fd)


def close_tells():
    a = os.open(rhdisk, os.O_RDWR)
    copy = os.dup(a)
    os.pwrite(a, b"y" * 4096, 0)
    os.close(lose())
    expect("close(2) of a copy says so", EIO, os.close, copy)
    expect("and the descriptor still hears of it", EIO, os.fsync, a)
    expect("its own close has nothing to add", None, os.close, a)


def nobody_knew():
    a = os.open(rhdisk, os.O_RDWR)
    reader = lose()
    late = os.open(rhdisk, os.O_RDWR)
    expect("who opens it before anybody has been told is told", EIO, os.fsync, late)
    for fd in (reader, late):
        result(os.close, fd)
    expect("with the others", EIO, os.fsync, a)
    result(os.close, a)


two_descriptors("rhdisk0")
two_descriptors("hdisk0")
close_tells()
nobody_knew()
sys.exit(failed())

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""short.py MOUNT IMAGE - a device that says GOOD and moves less than it was asked to.

Run by short.sh, which makes the mount (one disk of 16 MiB). One "ok" or "FAIL" line per check; exit
code 1 when one failed.
"""
import errno
import mmap
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from checks import expect, failed, report, result  # noqa: E402

MIB = 1 << 20
SIZE = 16 * MIB
scpair, mount, image = sys.argv[1:4]
hdisk, rhdisk = f"{mount}/hdisk0", f"{mount}/rhdisk0"


def inject(*rules):
    subprocess.run([scpair, "inject", "--clear", mount], check=True)
    for rule in rules:
        subprocess.run([scpair, "inject", mount, "hdisk0", *rule.split()], check=True)


def on_disk(n, off):
    with open(image, "rb") as f:
        f.seek(off)
        return f.read(n)


def same_bytes():
    with open(image, "rb") as a, open(f"{image}.copy", "rb") as b:
        return a.read() == b.read()


def memory_map():
    """A dirty page that cannot be written: msync says so, and so does whoever syncs first."""
    for name, sync in (("msync", lambda fd, m: m.flush()), ("fsync", lambda fd, m: os.fsync(fd))):
        inject("op=write count=forever do=short:1048576")
        fd = os.open(hdisk, os.O_RDWR)
        m = mmap.mmap(fd, 65536)
        m[:5] = b"dirty"
        expect(f"{name} of a page that was not written: EIO", -errno.EIO, sync, fd, m)
        report(f"{name}: the disk does not have it", on_disk(5, 0) != b"dirty")
        inject()
        m[:5] = b"dirty"
        expect(f"{name} when the disk is well again", None, sync, fd, m)
        report(f"{name}: now it has it", on_disk(5, 0) == b"dirty")
        m[:5] = b"clean"
        os.fsync(fd)
        m.close()
        os.close(fd)


def block_writes():
    data = b"w" * 65536
    inject("op=write count=forever do=short:4096")
    fd = os.open(hdisk, os.O_RDWR)
    expect("hdisk0: a write that always falls short: EIO", -errno.EIO, os.pwrite, fd, data, MIB)
    inject("op=write count=1 do=short:4096")
    expect("hdisk0: a write that falls short once", 65536, os.pwrite, fd, data, MIB)
    expect("hdisk0: fsync", None, os.fsync, fd)
    os.close(fd)
    report("hdisk0: all of it is there", on_disk(65536, MIB) == data)


def block_reads():
    inject("op=read count=forever do=short:4096")
    fd = os.open(hdisk, os.O_RDONLY)
    expect("hdisk0: a read that always falls short: EIO", -errno.EIO, lambda: len(os.pread(fd, 65536, MIB)))
    os.close(fd)
    report("hdisk0: keeps its size", os.stat(hdisk).st_size == SIZE, os.stat(hdisk).st_size)
    got = result(shutil.copyfile, hdisk, f"{image}.copy")
    report("hdisk0: a copy of it fails", got in (-errno.EIO,), got)
    report("hdisk0: keeps its size after it", os.stat(hdisk).st_size == SIZE, os.stat(hdisk).st_size)
    inject("op=read every=5 do=short:4096")
    expect("hdisk0: one read in five falls short", f"{image}.copy", shutil.copyfile, hdisk, f"{image}.copy")
    report("hdisk0: the copy is the disk", same_bytes())


def raw():
    fd = os.open(rhdisk, os.O_RDWR)
    inject("op=write count=forever do=short:4096", "op=read count=forever do=short:4096")
    expect("rhdisk0: a short write gives the bytes moved", 61440, os.pwrite, fd, b"r" * 65536, 2 * MIB)
    expect("rhdisk0: a short read gives the bytes moved", 61440, lambda: len(os.pread(fd, 65536, 2 * MIB)))
    expect("rhdisk0: nothing moved: EIO, not 0 (write)", -errno.EIO, os.pwrite, fd, b"r" * 4096, 2 * MIB)
    expect("rhdisk0: nothing moved: EIO, not 0 (read)", -errno.EIO, lambda: len(os.pread(fd, 4096, 2 * MIB)))
    expect("rhdisk0: at the end 0 bytes", 0, lambda: len(os.pread(fd, 4096, SIZE)))
    report("rhdisk0: keeps its size", os.fstat(fd).st_size == SIZE)
    os.close(fd)
    for node in ("hdisk0", "rhdisk0"):
        got = subprocess.run([scpair, "copy", f"{mount}/{node}", f"{image}.copy", "--block", "64k"],
                             capture_output=True, check=False)
        report(f"scpair copy of {node}: fails, or is complete", got.returncode != 0 or same_bytes(), got)
    inject()


memory_map()
block_writes()
block_reads()
raw()
sys.exit(failed())

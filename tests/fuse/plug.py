#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""plug.py SCPAIR MOUNT IMAGE ROUNDS - a disk that goes while it is in use, and many that come and go.

Run by plug.sh, which makes the mount (hdisk0 stays). One "ok" or "FAIL" line per check; exit code 1 when one
failed.
"""
import errno
import os
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from checks import control, expect, failed, page, report, result, server, stat  # noqa: E402

HANDLES = 8
REQUESTS = 64
BLOCK = 4096
BLKGETSIZE64 = 0x80081272
scpair, mount, image, rounds = sys.argv[1:5]


def under_load():
    """8 handles and 64 requests in flight when the disk goes."""
    control(mount, f"plug scsi0 {image},queue=16")
    fds = [os.open(f"{mount}/rhdisk1", os.O_RDWR | os.O_DIRECT) for _ in range(HANDLES - 2)]
    fds += [os.open(f"{mount}/hdisk1", os.O_RDWR) for _ in range(2)]
    cached = fds[-1]
    os.pread(cached, BLOCK, 0)
    subprocess.run([scpair, "inject", mount, "hdisk1", "count=forever", "do=hang"], check=True)
    got = [None] * REQUESTS

    def request(i):
        fd, memory = fds[i % (HANDLES - 2)], page()
        if i % 2:
            got[i] = result(os.preadv, fd, [memory], i * BLOCK)
        else:
            got[i] = result(os.pwritev, fd, [memory], i * BLOCK)

    threads = [threading.Thread(target=request, args=(i,)) for i in range(REQUESTS)]
    for t in threads:
        t.start()
    flying = 0
    while flying < REQUESTS and any(t.is_alive() for t in threads):
        disk = stat(mount)["disks"][1]
        flying = disk["pending"] + disk["in_process"]
    report("64 requests are in flight", flying == REQUESTS, flying)
    # Whoever waits for a disk that is silent keeps none of the others waiting, with as many threads as is
    # usual.
    fd = os.open(f"{mount}/rhdisk0", os.O_RDWR | os.O_DIRECT)
    began = time.monotonic()
    expect("another disk is read meanwhile", BLOCK, os.preadv, fd, [page()], 0)
    took = time.monotonic() - began
    report("and at once", took < 5, took)
    os.close(fd)
    said = control(mount, "unplug hdisk1")
    report("unplug counts the handles", said == {"name": "hdisk1", "open": HANDLES}, said)
    for t in threads:
        t.join(20)
    report("all have come back", not any(t.is_alive() for t in threads))
    report("each with ENXIO", got == [-errno.ENXIO] * REQUESTS, got)
    expect("the names are gone", -errno.ENOENT, os.stat, f"{mount}/rhdisk1")
    expect("and not listed", [".scpair", "hdisk0", "rhdisk0", "scsi0"], lambda: sorted(os.listdir(mount)))
    for i, fd in enumerate(fds):
        good = [result(os.preadv, fd, [page()], 0), result(os.pwritev, fd, [page()], 0), result(os.fsync, fd)]
        # hdiskN writes through the page cache: its fsync is told.
        good = good if i < HANDLES - 2 else [good[0], good[2]]
        report(f"handle {i} answers ENXIO", set(good) == {-errno.ENXIO}, good)
    expect("a page that was cached is not there any more", -errno.ENXIO, os.pread, cached, BLOCK, 0)
    for fd in fds[1:]:
        result(os.close, fd)
    name = control(mount, "plug scsi0 ram:1M")["name"]
    report("the number is not free while one is open", name == "hdisk2", name)
    result(os.close, fds[0])
    report("and is, after the last close", control(mount, f"plug scsi0 {image}")["name"] == "hdisk1")
    fd = os.open(f"{mount}/rhdisk1", os.O_RDWR | os.O_DIRECT)
    expect("the next disk of that number works", BLOCK, os.pwritev, fd, [page()], 0)
    os.close(fd)
    control(mount, "unplug hdisk1")
    control(mount, "unplug hdisk2")


def many():
    """Rounds of plug, use, unplug while open, close: descriptors and memory stay."""
    descriptors = f"/proc/{server(mount)}/fd"
    alone = stat(mount)["memory"]["dd"]  # hdisk0's
    before = after = None
    for i in range(int(rounds)):
        name = control(mount, f"plug scsi0 {image if i % 2 else 'ram:1M'}")["name"]
        fds = [os.open(f"{mount}/{r}{name}", os.O_RDWR) for r in ("", "r")]
        if name != "hdisk1" or len(os.pread(fds[1], BLOCK, 0)) != BLOCK or os.pwrite(fds[0], b"x", 1) != 1:
            report(f"round {i}", False, name)
        control(mount, f"unplug {name}")
        for fd in fds:
            result(os.close, fd)
        # A release comes after the close that causes it.
        while stat(mount)["memory"]["dd"] != alone:
            pass
        after = (len(os.listdir(descriptors)), sum(stat(mount)["memory"].values()))
        before = before or (after if i == 3 else None)
    name = f"{rounds} rounds leave {after[0]} descriptors and {after[1]} bytes as they were"
    report(name, after == before, before)


under_load()
os.truncate(image, 0)
os.truncate(image, 16 << 20)
many()
sys.exit(failed())

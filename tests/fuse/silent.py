#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""silent.py SCPAIR MOUNT IMAGE - a disk that stops answering, with more requests than may hold a thread.

Run by silent.sh, which makes the mount: hdisk0 is well, hdisk1 (in IMAGE, 16 MiB) goes silent, hdisk2 is
slow. What is judged is order and number: that the others are served is seen by nothing having come back of
what waits for the silent one. One "ok" or "FAIL" line per check; exit code 1 when one failed.
"""
import errno
import mmap
import os
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
from checks import (PAGE, control, disk_stat, expect, failed, flight, page, report, result,  # noqa: E402
                    server, stat)

RAW = 400  # requests of their own threads, above the 256 that may hold one of the server's
CACHED = 200  # through the page cache, whose reads the kernel counts for all disks together
OPENS = 40
LIMIT = 256
ROUNDS = 50
scpair, mount, image = sys.argv[1:4]


class Crowd:
    """Many threads with one request each."""

    def __init__(self):
        self.got = []
        self.threads = []

    def add(self, func, *args):
        def run():
            self.got.append(result(func, *args))
        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def back(self):
        return len(self.got)

    def join(self):
        for t in self.threads:
            t.join(60)
        return not any(t.is_alive() for t in self.threads)


def at_device(name):
    disk = disk_stat(mount, name)
    return disk["pending"] + disk["in_process"] + disk["recovering"]


def server_threads():
    return len(os.listdir(f"/proc/{server(mount)}/task"))


def use_another():
    """Every way to use the disk that is well, and the reports."""
    fd = os.open(f"{mount}/rhdisk0", os.O_RDWR | os.O_DIRECT)
    os.preadv(fd, [page()], 0)
    os.pwritev(fd, [page()], PAGE)
    os.fsync(fd)
    os.close(fd)
    fd = os.open(f"{mount}/hdisk0", os.O_RDWR)
    os.pread(fd, 1 << 20, 0)
    with mmap.mmap(fd, 1 << 20) as m:
        m[5] = m[500000]
        m.flush()
    os.close(fd)
    return len(stat(mount)["disks"])


def silent():
    raw = os.open(f"{mount}/rhdisk1", os.O_RDWR | os.O_DIRECT)
    cached = os.open(f"{mount}/hdisk1", os.O_RDWR)
    subprocess.run([scpair, "inject", mount, "hdisk1", "op=any", "count=forever", "do=hang"], check=True)
    crowd = Crowd()
    for i in range(RAW):
        crowd.add(os.pwritev if i % 3 == 0 else os.preadv, raw, [page()], i * PAGE)
    while at_device("hdisk1") < LIMIT and not crowd.back():
        pass
    now = (at_device("hdisk1"), crowd.back())
    report("as many as may are at the disk, and none is back", now == (LIMIT, 0), now)
    for i in range(CACHED):
        crowd.add(os.pread, cached, PAGE, 4 * PAGE * i)
    for _ in range(OPENS):
        crowd.add(os.fsync, raw)
    os.close(os.dup(raw))  # as a process does that was forked
    report("a close with nothing to flush waits for nobody", crowd.back() == 0, crowd.back())
    for _ in range(ROUNDS):
        expect("the others are served", 4, use_another) if _ == 0 else use_another()
    report(f"{ROUNDS} rounds on the others while none of {RAW + CACHED + OPENS} is back", crowd.back() == 0,
           crowd.back())
    threads = server_threads()
    report("the silent disk holds its part of the threads, not more", threads <= LIMIT + 80, threads)
    # Nobody is forgotten at the gate.
    control(mount, "unplug hdisk1")
    report("unplugged, all come back", crowd.join())
    report("each with ENXIO", set(crowd.got) == {-errno.ENXIO}, sorted(set(map(str, crowd.got))))
    for fd in (raw, cached):
        expect("its close says so, too", -errno.ENXIO, os.close, fd)


def slow():
    """What has waited at the gate is what was asked: the right data, the right place and the right answer."""
    fd = os.open(f"{mount}/rhdisk2", os.O_RDWR | os.O_DIRECT)
    crowd = Crowd()
    rule = ["op=write", "count=forever", "do=delay:20000"]
    subprocess.run([scpair, "inject", mount, "hdisk2", *rule], check=True)
    pages = [page() for _ in range(RAW)]
    for i, memory in enumerate(pages):
        memory[:] = bytes([i % 251 + 1]) * PAGE
        crowd.add(os.pwritev, fd, [memory], i * PAGE)
    report("all are written", crowd.join() and set(crowd.got) == {PAGE}, set(crowd.got))
    crowd = Crowd()
    wrong = []

    def check(i):
        memory = page()
        if os.preadv(fd, [memory], i * PAGE) != PAGE or memory[:] != pages[i][:]:
            wrong.append(i)
        return PAGE

    for i in range(RAW):
        crowd.add(check, i)
    report("and read", crowd.join() and set(crowd.got) == {PAGE} and not wrong, (set(crowd.got), wrong[:9]))
    os.close(fd)


def home():
    """64 in flight when it stops: all are back with an error, with one command each, and it says why."""
    fd = os.open(f"{mount}/rhdisk3", os.O_RDWR | os.O_DIRECT)
    subprocess.run([scpair, "inject", mount, "hdisk3", "op=any", "count=forever", "do=hang"], check=True)
    crowd = Crowd()
    for i in range(64):
        crowd.add(os.pwritev if i % 2 else os.preadv, fd, [page()], i * PAGE)
    rounds = 0
    while crowd.back() == 0:
        use_another()
        rounds += 1
    report("the others are served until the first is back", rounds > 1, rounds)
    report("all are back", crowd.join() and set(crowd.got) == {-errno.EIO}, sorted(set(map(str, crowd.got))))
    disk = disk_stat(mount, "hdisk3")
    report("none was sent again and again", disk["commands"] <= 2 * 64, disk["commands"])
    expect("what comes now has its error at once", -errno.EIO, os.preadv, fd, [page()], 0)
    story = [(s["device"], s["what"]) for s in flight(mount) if s["disk"] == "hdisk3"]
    report("the flight recorder tells it", ("hdisk3", "over") in story and ("scsi0", "late") in story, story)
    result(os.close, fd)


silent()
slow()
home()
sys.exit(failed())

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""recover.py SCPAIR MOUNT SECONDS - errors that the drivers put right, every few commands, and one other.

Run by recover.sh, which makes the mount: hdisk0 takes a command for lost after a second. One "ok" or "FAIL"
line per check; exit code 1 when one failed.
"""
import errno
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
from checks import PAGE, disk_stat, failed, flight, page, report, result  # noqa: E402

# What strikes, how often, and how the flight recorder calls it.
FAULTS = [
    ("every=17 do=check:6/29/00", "power on or reset"),
    ("every=23 do=busy", "busy"),
    ("every=29 do=qfull", "queue full"),
    ("every=4001 do=hang", "abort"),
    ("every=2503 do=busreset", "bus reset"),
]
scpair, mount, seconds = sys.argv[1:4]


def inject(disk, rule):
    subprocess.run([scpair, "inject", mount, disk, *rule.split()], check=True)


def recoverable():
    for rule, _ in FAULTS:
        inject("hdisk0", rule)
    done = subprocess.run(["fio", "--name=j", f"--filename={mount}/rhdisk0", "--rw=randrw", "--bs=4k",
                           "--direct=1", "--ioengine=libaio", "--iodepth=16", "--size=16m", "--verify=crc32c",
                           "--verify_fatal=1", "--verify_backlog=64", "--time_based", f"--runtime={seconds}",
                           "--output-format=json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    report(f"fio --verify for {seconds} s", done.returncode == 0, done.stderr[-300:])
    job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
    report("no I/O error, no wrong data", job["error"] == 0, job["error"])
    report("and a fair number of requests", job["read"]["total_ios"] + job["write"]["total_ios"] > 1000)
    state = subprocess.run([scpair, "inject", "--list", "--json", mount], stdout=subprocess.PIPE, check=True)
    hits = [r["hits"] for r in json.loads(state.stdout)["rules"]]
    report("every rule has struck", len(hits) == len(FAULTS) and min(hits) > 0, hits)
    steps = [s for s in flight(mount) if s["disk"] == "hdisk0"]
    report("the flight recorder tells of recoveries, and of their ends",
           any(s["what"] == "over" and s["device"] == "hdisk0" for s in steps), steps)
    disk = disk_stat(mount, "hdisk0")
    bad = disk["reqs_completed_with_error"]
    report("no request had an error", bad == 0, bad)
    left = (disk["pending"], disk["in_process"], disk["recovering"])
    report("nothing is left over", left == (0, 0, 0), left)
    print(f"     {sum(hits)} faults, {disk['commands']} commands, {disk['retries']} retries")
    subprocess.run([scpair, "inject", "--clear", mount], check=True)


def told():
    """The recorder keeps the last 32 steps of each, too few for a minute: each fault once more, alone."""
    fd = os.open(f"{mount}/rhdisk0", os.O_RDWR | os.O_DIRECT)
    memory = page(PAGE)
    for rule, word in FAULTS:
        before = {json.dumps(s) for s in flight(mount)}
        inject("hdisk0", "count=1 " + rule.split(" ", 1)[1])
        report(f"a read that meets {rule}", result(os.preadv, fd, [memory], 0) == PAGE)
        steps = [s for s in flight(mount) if s["disk"] == "hdisk0" and json.dumps(s) not in before]
        words = {s.get(k, "").lower() for s in steps for k in ("seen", "rule", "did")}
        report(f"is in the flight recorder as {word}", any(word in w for w in words), words)
    os.close(fd)


def medium():
    """A block that cannot be written, among neighbours that are sent in one command."""
    count, bad = 32, 13
    fd = os.open(f"{mount}/hdisk1", os.O_RDWR)
    data = b"".join(bytes([i + 1]) * PAGE for i in range(count))
    before = disk_stat(mount, "hdisk1")
    inject("hdisk1", f"op=write lba={bad * PAGE // 512} count=forever do=check:3/0c/00")
    report("write(2) has the error", result(os.pwrite, fd, data, 0) == -errno.EIO)
    disk = disk_stat(mount, "hdisk1")
    bufs = [disk[k] - before[k] for k in ("bufs", "spanned_bufs", "reqs_completed_with_error")]
    report("of requests that went together one has it, and no other",
           bufs[0] >= count <= bufs[1] and bufs[2] == 1, bufs)
    over = [s for s in flight(mount) if s["what"] == "over" and s["device"] == "hdisk1"][-1]
    report("as the flight recorder says", over["failed"] == 1, over)
    inject("hdisk1", "clear")
    os.close(fd)
    fd = os.open(f"{mount}/rhdisk1", os.O_RDWR | os.O_DIRECT)
    memory = page(count * PAGE)
    os.preadv(fd, [memory], 0)
    there = [i for i in range(count) if memory[i * PAGE:(i + 1) * PAGE] == data[i * PAGE:(i + 1) * PAGE]]
    report("the others are on the disk", there == [i for i in range(count) if i != bad], there)
    os.close(fd)


recoverable()
told()
medium()
sys.exit(failed())

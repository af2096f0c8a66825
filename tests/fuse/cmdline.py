#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""cmdline.py SCPAIR MOUNT WORK COUNT [SEED] - random odd command lines.

Words that belong to some command, with values good, bad and absurd, in any order, against a mount
that runs and images that exist. Each ends by itself with 0, 1 or 2, and says one line that begins
with "scpair: " on stderr when it is not 0. Exit code 1 and the command line when one does not.
"""
import os
import random
import subprocess
import sys

scpair, mount, work, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
seed = int(sys.argv[5]) if len(sys.argv) > 5 else random.SystemRandom().randrange(1 << 32)
rnd = random.Random(seed)
COMMANDS = ["mount", "umount", "info", "stat", "errlog", "inject", "copy", "verify", "help", "list", "load",
            "frob", "", "-x", "--version", "--help"]
# No bench, trace, --follow, --watch and -f, which go on until somebody ends them; no sg: it runs anything.
OPTIONS = ["--disk", "--adapter", "--max-transfer", "--no-gather", "--threads", "--allow-other", "--mode",
           "--uid", "--gid", "--stop-timeout", "--wait", "--json", "--list", "--clear", "--verify", "--block",
           "--depth", "--seed", "--timeout", "-t", "--", "-h", "--nonsense", "--disk=", "--mode=9", "-"]
VALUES = ["", "0", "-1", "7", "512", "4096", "65536", "1M", "99999999999999999999", "0x10", "010", "1e3",
          "ram:1M", "ram:0", "null:1T", "null:", "ram:x,block=7", "sim", "sim,queue=0", "root", "0660", "a,b",
          ",", "=", "%s%n", "\n", "\udcff", "x" * 5000, "hdisk0", "rhdisk0", "do=busy", "op=read", "lba=5-2",
          "count=0", "do=short:-1"]
PATHS = [mount, "/dev/null", "/proc/self/mem", "/", f"{work}/a.img", f"{work}/b.img", f"{work}/none",
         *(f"{mount}/{name}" for name in ("hdisk0", "rhdisk0", "scsi0", "none", ".scpair", ".scpair/stat",
                                          ".scpair/inject"))]


def line():
    words = [rnd.choice(COMMANDS)]
    for _ in range(rnd.randrange(7)):
        words.append(rnd.choice(rnd.choice([OPTIONS, VALUES, PATHS])))
    # The mount and what is below it stay: this is about the command line.
    if words[0] in ("mount", "umount"):
        words.append(f"{work}/none")
    return words


for n in range(count):
    words = line()
    try:
        done = subprocess.run([scpair, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
                              check=False, cwd=work, env={**os.environ, "SCPAIR_DD_BUSY_MS": "1"})
        err = done.stderr
        good = done.returncode in (0, 1, 2) and (
            done.returncode == 0 or (err.startswith(b"scpair: ") and err.count(b"\n") == 1))
        why = f"exit code {done.returncode}, stderr {err[:300]!r}"
    except subprocess.TimeoutExpired:
        good, why = False, "did not end"
    if not good:
        print(f"seed {seed}, line {n}: {words!r}: {why}")
        sys.exit(1)
print(f"{count} command lines, seed {seed}")

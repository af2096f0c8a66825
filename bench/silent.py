#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How much slower a disk of a mount becomes while another one does not answer.

A mount has two disks in memory. Each round measures the first with fio, then makes the second silent with so
many
requests for it on the way, measures again, and pulls the silent one out, which brings all of them home. The
figure is the median over the rounds of after / before, which should be 1 whatever the number of requests.

  bench/silent.py --scpair build/release/scpair --requests 64,256,1000

Does not contain: that everybody is served and comes home (tests/fuse/silent.py).
"""
import argparse
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import threading

WANTED = 0.9
HERE = os.path.dirname(os.path.realpath(__file__))
BLOCK = 4096


def fio(path, options):
    """Requests per second of random reads at the depth asked for."""
    done = subprocess.run(["fio", "--name=j", f"--filename={path}", "--rw=randread", "--bs=4k", "--direct=1",
                           "--ioengine=psync", "--thread", f"--numjobs={options.depth}", "--group_reporting",
                           "--time_based", f"--runtime={options.seconds}", "--output-format=json"],
                          stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)["jobs"][0]["read"]["iops"]


class Silence:
    """The second disk, silent, with requests on the way to it."""

    def __init__(self, options, mount, requests):
        self.options, self.mount = options, mount
        self.name = subprocess.run([options.scpair, "plug", mount, "ram:64M"], check=True, text=True,
                                   stdout=subprocess.PIPE).stdout.strip()
        self.fd = os.open(f"{mount}/r{self.name}", os.O_RDWR | os.O_DIRECT)
        subprocess.run([options.scpair, "inject", mount, self.name, "count=forever", "do=hang"], check=True)
        self.back = 0
        self.threads = [threading.Thread(target=self.request, args=(i,)) for i in range(requests)]
        for t in self.threads:
            t.start()
        while self.under_way() < min(requests, 256):
            pass

    def under_way(self):
        with open(f"{self.mount}/.scpair/stat", encoding="utf-8") as f:
            disk = next(d for d in json.load(f)["disks"] if d["name"] == self.name)
        return disk["pending"] + disk["in_process"]

    def request(self, i):
        try:
            os.preadv(self.fd, [mmap.mmap(-1, BLOCK)], i * BLOCK)
        except OSError:
            pass
        self.back += 1

    def end(self):
        """How many came back before they were told to."""
        early = self.back
        subprocess.run([self.options.scpair, "unplug", self.mount, self.name], check=True,
                       stdout=subprocess.DEVNULL)
        for t in self.threads:
            t.join()
        try:
            os.close(self.fd)
        except OSError:
            pass
        return early


def measure(options, mount, requests):
    rows = []
    for _ in range(options.rounds):
        before = fio(f"{mount}/rhdisk0", options)
        silence = Silence(options, mount, requests)
        meanwhile = fio(f"{mount}/rhdisk0", options)
        early = silence.end()
        rows.append((meanwhile / before, before, meanwhile, early))
    return {"requests": requests, "rounds": options.rounds, "ratio": statistics.median(r[0] for r in rows),
            "before": statistics.median(r[1] for r in rows),
            "meanwhile": statistics.median(r[2] for r in rows), "early": sum(r[3] for r in rows)}


def main():
    parser = argparse.ArgumentParser(prog="bench/silent.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scpair", default=os.path.join(HERE, "..", "build", "release", "scpair"))
    parser.add_argument("--requests", default="64,256,1000", help="for the silent disk; several with commas")
    parser.add_argument("--depth", type=int, default=4, help="of the disk that is measured (4)")
    parser.add_argument("--seconds", type=int, default=3, help="of a measurement (3)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not os.access(options.scpair, os.X_OK):
        parser.error(f"{options.scpair}: not there; build it, or name it with --scpair")
    with tempfile.TemporaryDirectory() as mount:
        subprocess.run([options.scpair, "mount", "--disk", "ram:256M", mount], check=True)
        try:
            rows = [measure(options, mount, int(n)) for n in options.requests.split(",")]
        finally:
            subprocess.run([options.scpair, "umount", mount], check=True)
    if options.json:
        print(json.dumps({"wanted": WANTED, "rows": rows}, indent=2))
    else:
        print(f"{'requests':>8} {'before/s':>10} {'meanwhile/s':>12} {'ratio':>6}   (wanted: {WANTED})")
        for r in rows:
            print(f"{r['requests']:8} {r['before']:10.0f} {r['meanwhile']:12.0f} {r['ratio']:6.2f}"
                  + (f"   {r['early']} came back too early" if r["early"] else ""))
    return 0 if all(r["ratio"] >= WANTED and not r["early"] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

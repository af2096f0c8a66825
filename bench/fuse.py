#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The same fio jobs on four FUSE mounts of one image: scpair, two peers, and the floor.

  scpair   rhdisk0 of `scpair mount`: device driver, adapter driver, simulated disk, image
  qsd      qemu-storage-daemon --export type=fuse over its file driver
  nbdfuse  nbdfuse over `nbdkit file`
  floor    bench/floor: the least a libfuse server can do, pread and pwrite and nothing else

All four serve the same fully written, page-cached image, by default on a tmpfs: on a disk's file
system the host's write-back falls on whichever run is on at the moment, and the cost of dirtying a
clean page (ext4: 15 us) hides the servers' differences. The mounts are there together and used one
at a time: each round runs each job on each of them, in an order that rotates, so that whatever
else the machine does hits all alike. The figures are medians over the rounds; `ratio` is scpair
against the better peer of that row, `of_floor` scpair against the floor.

Does not contain: the in-process benchmark (bench/core), correctness checks beyond comparing the
first bytes of each mount with the image (tests/fuse has those).
"""
import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
IMAGE_BYTES = 1 << 30
TMPFS = "/dev/shm"
READY_SECONDS = 10.0
STOP_SECONDS = 10.0
PROBE_BYTES = 1 << 16

# name, fio's rw, block size, depth, what to report, wanted ratio against the better peer
JOBS = [
    ("randread-4k-qd1", "randread", "4k", 1, "IOPS", 2.5),
    ("randread-4k-qd16", "randread", "4k", 16, "IOPS", 4.0),
    ("randwrite-4k-qd1", "randwrite", "4k", 1, "IOPS", 2.0),
    ("randwrite-4k-qd16", "randwrite", "4k", 16, "IOPS", 2.0),
    ("read-1m-qd4", "read", "1m", 4, "MB/s", 3.0),
    ("write-1m-qd4", "write", "1m", 4, "MB/s", 2.5),
    ("read-128k-qd1", "read", "128k", 1, "MB/s", 1.5),
    ("read-128k-qd4", "read", "128k", 4, "MB/s", 1.5),
]
WANTED_OF_FLOOR = 0.9


class Skip(Exception):
    """This mount cannot be measured here; the text says why."""


class Mount:
    """One server: its processes, and the path of the file that shows the image."""

    name = ""
    directory = True  # the mount point is a directory, not a file

    def __init__(self, work, image, options):
        self.image = image
        self.options = options
        self.point = os.path.join(work, "mnt-" + self.name)
        self.path = self.point
        self.log = os.path.join(work, self.name + ".log")
        self.work = work
        self.processes = []

    def commands(self):
        """Command lines to run, in order; each keeps running."""
        raise NotImplementedError

    def need(self, program):
        path = program if os.path.isabs(program) else shutil.which(program)
        if path is None or not os.access(path, os.X_OK):
            raise Skip(f"{program} is not installed")
        return path

    def start(self):
        commands = self.commands()
        if self.directory:
            os.mkdir(self.point)
        else:
            with open(self.point, "wb"):
                pass
        for command in commands:
            with open(self.log, "ab") as log:
                # A session of its own: Ctrl-C must reach this script, which then unmounts.
                self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                                       stderr=log, start_new_session=True))
            if command is not commands[-1]:
                time.sleep(0.3)
        self.wait_ready()
        self.compare()

    def wait_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            try:
                if os.stat(self.path).st_size == os.stat(self.image).st_size:
                    return
            except OSError:
                pass
            for process in self.processes:
                if process.poll() is not None:
                    raise Skip(f"ended with status {process.returncode}: {self.last_words()}")
            time.sleep(0.02)
        raise Skip(f"not mounted after {READY_SECONDS:.0f} s: {self.last_words()}")

    def last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            lines = log.read().strip().splitlines()
        return lines[-1] if lines else "no message"

    def compare(self):
        """A server that shows something else than the image must not be timed."""
        with open(self.path, "rb", buffering=0) as mounted, open(self.image, "rb", buffering=0) as image:
            for off in (0, IMAGE_BYTES // 2):
                mounted.seek(off)
                image.seek(off)
                if mounted.read(PROBE_BYTES) != image.read(PROBE_BYTES):
                    raise Skip(f"shows other data than the image at {off}")

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []
        if is_mount_point(self.point):
            for unmount in (["fusermount3", "-u", "-z", self.point], ["umount", "-l", self.point]):
                if shutil.which(unmount[0]) and subprocess.run(unmount, stderr=subprocess.DEVNULL,
                                                               check=False).returncode == 0:
                    break


class Scpair(Mount):
    name = "scpair"

    def commands(self):
        self.path = os.path.join(self.point, "rhdisk0")
        return [[self.need(self.options.scpair), "mount", "-f", "--disk", self.image, self.point]]


class Qsd(Mount):
    name = "qsd"
    directory = False

    def commands(self):
        return [[self.need("qemu-storage-daemon"), "--blockdev",
                 f"driver=file,node-name=image,filename={self.image},cache.direct=off", "--export",
                 f"type=fuse,id=export,node-name=image,mountpoint={self.point},writable=on"]]


class Nbdfuse(Mount):
    name = "nbdfuse"
    directory = False

    def commands(self):
        socket = os.path.join(self.work, "nbd.sock")
        return [[self.need("nbdkit"), "-f", "-U", socket, "file", self.image],
                [self.need("nbdfuse"), self.point, "nbd+unix:///?socket=" + socket]]


class Floor(Mount):
    name = "floor"

    def commands(self):
        self.path = os.path.join(self.point, "rhdisk0")
        return [[self.need(os.path.join(HERE, "floor")), self.image, self.point]]


TARGETS = [Scpair, Qsd, Nbdfuse, Floor]


def is_mount_point(path):
    """True also for a file, and for a mount whose server is gone."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return any(line.split()[1].replace("\\040", " ") == path for line in mounts)


def say(text):
    """Progress: only for people."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text)
        sys.stderr.flush()


def warn(text):
    say("")
    print("fuse: " + text, file=sys.stderr)


def default_dir():
    """$TMPDIR, or a tmpfs with room for the image, or /tmp."""
    if os.environ.get("TMPDIR"):
        return os.environ["TMPDIR"]
    try:
        room = os.statvfs(TMPFS)
        if room.f_bavail * room.f_frsize >= 2 * IMAGE_BYTES and os.access(TMPFS, os.W_OK):
            return TMPFS
    except OSError:
        pass
    return "/tmp"


def make_image(path):
    """A fully written image: no holes, nothing a server could answer without the data."""
    with open("/dev/urandom", "rb") as random, open(path, "wb") as image:
        block = random.read(1 << 20)
        for i in range(IMAGE_BYTES >> 20):
            image.write(i.to_bytes(8, "little") + block[8:])
        image.flush()
        os.fsync(image.fileno())


def run_fio(job, path, seconds):
    """One fio run. Returns IOPS or MB/s."""
    name, rw, block, depth, unit, _ = job
    command = ["fio", "--name=" + name, "--filename=" + path, "--rw=" + rw, "--bs=" + block,
               f"--iodepth={depth}", "--ioengine=libaio", "--direct=1", f"--size={IMAGE_BYTES}",
               "--time_based", f"--runtime={seconds}", "--norandommap", "--randrepeat=0",
               "--allow_file_create=0", "--output-format=json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        result = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
    except (ValueError, KeyError, IndexError):
        raise Skip(f"fio failed on {path}: {done.stderr.strip()}") from None
    if result["error"] or done.returncode:
        raise Skip(f"fio reports error {result['error']} on {path}: {done.stderr.strip()}")
    side = result["read" if "read" in rw else "write"]
    return side["iops"] if unit == "IOPS" else side["bw_bytes"] / 1e6


def measure(mounts, jobs, options):
    """All rounds. Returns {job name: {mount name: [figures]}}."""
    figures = {job[0]: {mount.name: [] for mount in mounts} for job in jobs}
    for turn in range(options.rounds):
        for j, job in enumerate(jobs):
            for k in range(len(mounts)):
                mount = mounts[(k + turn + j) % len(mounts)]
                say(f"round {turn + 1}/{options.rounds}, {job[0]}, {mount.name}")
                figures[job[0]][mount.name].append(run_fio(job, mount.path, options.runtime))
    say("")
    return figures


def make_rows(jobs, figures):
    rows = []
    for name, _, _, _, unit, wanted in jobs:
        runs = figures[name]
        median = {target.name: statistics.median(runs[target.name]) if runs.get(target.name) else None
                  for target in TARGETS}
        peers = [median[p] for p in ("qsd", "nbdfuse") if median[p]]
        row = {"job": name, "unit": unit}
        row.update({k: None if v is None else round(v, 1) for k, v in median.items()})
        row["ratio"] = round(median["scpair"] / max(peers), 3) if median["scpair"] and peers else None
        row["of_floor"] = round(median["scpair"] / median["floor"], 3) \
            if median["scpair"] and median["floor"] else None
        row["wanted_ratio"] = wanted
        row["wanted_of_floor"] = WANTED_OF_FLOOR
        row["runs"] = {k: [round(x, 1) for x in v] for k, v in runs.items()}
        rows.append(row)
    return rows


def print_table(rows):
    def show(value, form="{:>10.0f}"):
        return form.format(value) if value is not None else "-".rjust(len(form.format(0)))

    print(f"{'job':<18} {'unit':>5} {'scpair':>10} {'qsd':>10} {'nbdfuse':>10} {'floor':>10} "
          f"{'ratio':>7} {'of floor':>8}")
    for row in rows:
        print(f"{row['job']:<18} {row['unit']:>5} " +
              " ".join(show(row[t.name]) for t in TARGETS) + " " +
              show(row["ratio"], "{:>7.2f}") + " " + show(row["of_floor"], "{:>8.2f}"))


def first_line(command):
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return (out.stdout + out.stderr).strip().split("\n")[0] or None


def parse_options():
    parser = argparse.ArgumentParser(prog="fuse", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [job[0] for job in JOBS]
    parser.add_argument("--json", action="store_true", help="print {\"rows\":[...]}")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each job on each mount (5)")
    parser.add_argument("--runtime", type=int, default=3, help="seconds of one run (3)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 1 second")
    parser.add_argument("--jobs", default=",".join(names), help="comma-separated, from: " + ", ".join(names))
    parser.add_argument("--only", default="", help="comma-separated mounts: " +
                        ", ".join(t.name for t in TARGETS))
    parser.add_argument("--dir", default=default_dir(),
                        help="where the image is made: $TMPDIR, else a tmpfs with room, else /tmp")
    parser.add_argument("--keep", action="store_true", help="leave the image and the logs")
    parser.add_argument("--scpair", default=os.path.join(HERE, "..", "scpair"), help="the scpair program")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.runtime = 3, 1
    options.scpair = os.path.realpath(options.scpair)
    options.jobs = options.jobs.split(",")
    unknown = set(options.jobs) - set(names)
    options.only = options.only.split(",") if options.only else [t.name for t in TARGETS]
    unknown |= set(options.only) - {t.name for t in TARGETS}
    if unknown:
        parser.error("unknown: " + ", ".join(sorted(unknown)))
    if options.rounds < 1 or options.runtime < 1:
        parser.error("--rounds and --runtime are at least 1")
    return options


def run(options, work):
    mounts = []
    jobs = [job for job in JOBS if job[0] in options.jobs]
    image = os.path.join(work, "image")
    try:
        say("writing the image")
        make_image(image)
        for target in TARGETS:
            if target.name not in options.only:
                continue
            mount = target(work, image, options)
            mounts.append(mount)
            try:
                mount.start()
            except Skip as why:
                mount.stop()
                mounts.remove(mount)
                warn(f"{target.name} is left out: {why}")
        if not mounts:
            raise Skip("nothing could be mounted")
        figures = measure(mounts, jobs, options)
    finally:
        for mount in mounts:
            mount.stop()
    return make_rows(jobs, figures)


def interrupted(signum, _frame):
    raise KeyboardInterrupt(signum)


def main():
    options = parse_options()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupted)
    if shutil.which("fio") is None:
        print("fuse: fio is not installed; apt-get install fio", file=sys.stderr)
        return 1
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        print("fuse: /dev/fuse cannot be opened; load the fuse module or run where FUSE is allowed",
              file=sys.stderr)
        return 1
    work = tempfile.mkdtemp(prefix="scpair-bench-", dir=options.dir)
    try:
        rows = run(options, work)
    except Skip as why:
        warn(str(why))
        return 1
    except KeyboardInterrupt:
        warn("interrupted; everything is unmounted")
        return 130
    finally:
        if options.keep:
            print("fuse: kept " + work, file=sys.stderr)
        elif not any(is_mount_point(os.path.join(work, name)) for name in os.listdir(work)):
            shutil.rmtree(work, ignore_errors=True)
    machine = {"kernel": platform.release(), "cpus": os.cpu_count(), "rounds": options.rounds,
               "runtime_s": options.runtime, "fio": first_line(["fio", "--version"]),
               "qsd": first_line(["qemu-storage-daemon", "--version"]),
               "nbdkit": first_line(["nbdkit", "--version"])}
    if options.json:
        print(json.dumps({"rows": rows, "machine": machine}, indent=1))
    else:
        print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())

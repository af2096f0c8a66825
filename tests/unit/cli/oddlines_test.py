#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""oddlines_test.py SCPAIR [--seed N] [--count N] [--only LINE]

Odd command lines: each must end with exit code 1 or 2 and exactly one line on stderr that begins with
"scpair: " and names the thing; never by a signal, never late, and nothing on stdout.

The lines are every combination of a few tables, and then combinations of those drawn by the seed, which is
printed. Nothing here mounts anything. Does not contain: lines that need a mount (tests/fuse/badinput.sh).
"""
import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile

TIMEOUT_S = 60
NAME_SHOWN = 60  # characters of a very long word that must be in the message

BAD_NUMBERS = ["", "-1", "+1", " 1", "x", "1x", "0x", "1e3", "1.5", "99999999999999999999", "1kk", "16E",
               "NaN", "\u0661"]
ODD_NAMES = ["no such file", "new\nline", "carriage\rreturn", "\x1b[31mred", "tab\there", "%s%n%d",
             "a" * 300, "b/" * 2500, "\udcff\udcfe", "-", "--", "~", "*", "`id`", "$(id)", "'", '"', "\\"]
DISK_WORDS = [("block=7", "block=7"), ("block=", "block="), ("block=x", "block=x"), ("block", "block"),
              ("queue=0", "queue=0"), ("queue=257", "queue=257"), ("queue=-1", "queue=-1"),
              ("latency=x", "latency=x"), ("latency=99999999999", "latency=99999999999"),
              ("ro=1", "ro"), ("RO", "RO"), ("zebra", "zebra"), ("", '""'), ("ro,ro", '"ro" and "ro"'),
              ("queue=2,queue=3", '"queue=2" and "queue=3"'), ("notags,queue=9", '"notags" and "queue=9"'),
              ("block=512,ro,block=4096", '"block=512" and "block=4096"')]
DISK_MEDIA = [("ram:", "ram:"), ("ram:x", "ram:x"), ("ram:0", "ram:0"), ("ram:-1", "ram:-1"),
              ("ram:513", "ram:513"), ("null:", "null:"), ("null:1.5M", "null:1.5M"),
              ("null:4608,block=4096", "null:4608"), ("ram:1M,direct", '"direct" and "ram:1M"'),
              ("", "no file named"), (",ro", "no file named"), ("file=", "no file named")]
# Options with a number: command, option, the rest of the line.
NUMBERS = [("mount", "--threads", ["--disk", "good.img", "mnt"]),
           ("mount", "--max-transfer", ["--disk", "good.img", "mnt"]),
           ("umount", "--timeout", ["mnt"]), ("umount", "-t", ["mnt"]),
           ("stat", "--max-transfer", ["--disk", "good.img"]),
           ("copy", "--block", ["good.img", "new"]), ("copy", "-b", ["good.img", "new"]),
           ("copy", "--depth", ["good.img", "new"]), ("verify", "--seed", ["good.img"]),
           ("verify", "--block", ["good.img"]), ("verify", "-d", ["good.img"]),
           ("capture", "--seconds", ["--out", "c", "mnt"]), ("bench", "--block", ["good.img"]),
           ("bench", "--depth", ["good.img"]),
           ("bench", "--time", ["good.img"]), ("bench", "-t", ["--disk", "null:1G"])]
# What such an option takes, which the message says whatever was wrong.
RANGES = {"--threads": "1 to 1024", "--max-transfer": "a multiple of 4096 from 65536 to 1048576",
          "--timeout": "1 to 86400", "--seconds": "1 to 3600", "-t": " to ",
          "--block": "a multiple of ", "-b": "from 4096 to 67108864",
          "--depth": "1 to 256", "-d": "1 to 256", "--seed": "0 to ", "--time": "1 to 3600"}
LONG_OF = {"-t": {"umount": "--timeout", "bench": "--time"}, "-b": {"copy": "--block"},
           "-d": {"verify": "--depth"}}
WITH_DISK = [("mount", ["mnt"]), ("info", []), ("stat", []), ("verify", []), ("bench", [])]
COMMANDS = ["mount", "umount", "list", "info", "stat", "errlog", "inject", "load", "copy", "verify", "bench",
            "sg", "capture", "replay"]
TWICE = [
    ("mount", ["-f", "-f"], "--foreground"),
    ("mount", ["--threads", "1", "--threads", "2"], "--threads 2"),
    ("stat", ["-j", "--json", "mnt"], "--json"),
    ("stat", ["-w", "--watch=5", "mnt"], "--watch 5"),
    ("errlog", ["-f", "-f", "mnt"], "--follow"),
    ("errlog", ["--json", "-j", "mnt"], "--json"),
    ("info", ["-j", "-j", "mnt"], "--json"),
    ("inject", ["-l", "-l", "mnt"], "--list"),
    ("inject", ["-l", "-c", "mnt"], "--list and --clear"),
    ("inject", ["-j", "mnt"], "--json"),
    ("copy", ["-v", "--verify", "a", "b"], "--verify"),
    ("copy", ["-b", "4096", "--block", "8192", "a", "b"], "--block 4096 and --block 8192"),
    ("copy", ["--from-disk", "ram:1M", "--from-disk", "ram:2M", "b"], "--from-disk ram:2M"),
    ("copy", ["--to-disk", "ram:1M", "--to-disk", "ram:2M", "b"], "--to-disk ram:2M"),
    ("verify", ["-w", "-w", "a"], "--write"),
    ("verify", ["-s", "1", "-s", "1", "a"], "--seed 1"),
    ("verify", ["-s", "1", "a", "b"], "--seed"),
    ("verify", ["-w", "a", "b"], "--write"),
    ("bench", ["-o", "read", "-o", "write", "a"], "--op read and --op write"),
    ("bench", ["--depth", "3", "-d", "4", "a"], "--depth 3 and --depth 4"),
    ("bench", ["--disk", "ram:1M", "--disk", "ram:1M"], "one --disk"),
    ("verify", ["--disk", "ram:1M", "--disk", "ram:1M"], "one --disk"),
    ("stat", ["--no-gather", "mnt"], "--no-gather"),
    ("info", ["--max-transfer", "64k", "mnt"], "--disk"),
    ("bench", ["--adapter", "sim", "good.img"], "--disk"),
    ("info", ["--disk", "ram:1M", "--no-gather", "--no-gather"], "given twice for adapter 0"),
    ("info", ["--disk", "ram:1M", "--adapter", "sim,no-gather", "--disk", "ram:1M", "--no-gather"],
     "given twice for adapter 1"),
    ("info", ["--disk", "ram:1M", "--max-transfer", "64k", "--max-transfer", "128k"],
     "--max-transfer 128k: adapter 0 has"),
    ("info", ["--adapter", "sim,no-gather,no-gather", "--disk", "ram:1M"], '"no-gather" and "no-gather"'),
    ("info", ["--adapter", "pci", "--disk", "ram:1M"], "pci"),
    ("info", ["--adapter", "sim,colour=red", "--disk", "ram:1M"],
     "--adapter sim,colour=red: unknown option"),
    ("info", ["--adapter", "sim", "--disk", "ram:1M", "--adapter", "sim,max-transfer=7", "--disk", "ram:1M"],
     "--adapter sim,max-transfer=7: max-transfer=7: must be"),
    ("info", ["--adapter", "sim", "--adapter", "sim", "--disk", "ram:1M"], "--adapter sim"),
]
PLAIN = [
    ([], "no command"),
    (["help", "frob"], "frob"),
    (["copy", "-b", "5000", "good.img", "n"], "a multiple of 4096"),
    (["mount", "--wait", "x", "--disk", "good.img", "mnt"], "0 to 86400"),
    (["mount", "--stop-timeout", "86401", "--disk", "good.img", "mnt"], "0 to 86400"),
    (["stat", "--watch=0", "mnt"], "1 to 3600"),
    (["--frob"], "--frob"),
    (["-x"], "-x"),
    ([""], "no such"),
    (["copy", "good.img", "good.img"], "the same"),
    (["copy", "good.img", "link.img"], "the same"),
    (["copy", "good.img", "dangling"], "dangling"),
    (["copy", "good.img", "no/new"], "no/new"),
    (["copy", "good.img", "fifo"], "fifo"),
    (["copy", "fifo", "new"], "fifo"),
    (["copy", "mnt", "new"], "mnt"),
    (["copy", "good.img", "mnt"], "mnt"),
    (["copy", "good.img", "--to-disk", "ram:64k"], "too small"),
    (["copy", "--from-disk", "good.img", "a", "b"], "too many"),
    (["copy", "-b", "1000", "good.img", "n"], "1000"),
    (["verify", "good.img"], "pattern"),
    (["verify", "good.img", "small.img"], "small.img"),
    (["verify", "--disk", "ram:1M", "extra"], "too many"),
    (["stat", "--watch", "--disk", "ram:1M"], "--watch"),
    (["bench", "--op", "sideways", "--disk", "null:1M"], "sideways"),
    (["stat", "--json=1", "mnt"], "--json=1"),
    (["stat", "--json", "-Zj", "mnt"], "-Z"),
    (["copy", "-jb"], "-jb"),
    (["bench", "-b", "2M", "good.img"], "good.img"),
    (["inject", "mnt"], "a rule"),
    (["inject", "mnt", "hdisk0"], "mnt"),
    (["inject", "mnt", "r" * 5000], "too long"),
    (["inject", "mnt", "hdisk0", "do=busy"], "mnt"),
    (["mount", "mnt"], "no disk"),
    (["mount", "--disk", "good.img", "file"], "file"),
    (["mount", "--disk", "good.img", ""], "MOUNTPOINT is an empty name"),
    (["mount", "--disk", "odd.img", "file"], "file"),
    (["mount", "--disk", "good.img", "--disk", "link.img", "mnt"], "the same file"),
    (["info", "--disk", "odd.img"], "odd.img"),
    (["info", "--disk", "empty.img"], "empty.img"),
    (["info", "--disk", "mnt"], "mnt"),
    (["info", "--disk", "fifo"], "fifo"),
    (["capture", "mnt"], "--out FILE is missing"),
    (["capture", "--out", "c", "mnt", "hdisk0", "hdisk1"], "too many"),
    (["capture", "--out", "c", "mnt", "rhdisk0"], "hdisk0"),
    (["capture", "--out", "c", "mnt"], "mnt"),
    (["replay", "good.img"], "--disk"),
    (["replay", "--disk", "ram:1M", "good.img"], "good.img: line 1"),
    (["replay", "--disk", "ram:1M", "empty.img"], "empty.img: line 1"),
    (["replay", "--disk", "ram:1M", "fifo"], "fifo"),
    (["replay", "--disk", "ram:1M", "mnt"], "mnt"),
    (["replay", "--disk", "ram:1M", "no.jsonl"], "no.jsonl"),
    (["sg", "--disk", "missing.img", "true"], "missing.img: no such file; create it"),
]


def lines():
    """Every (arguments, word that must be named) of the tables."""
    yield from PLAIN
    for command in COMMANDS:
        yield [command, "--frob"], "--frob"
        yield [command, "-Z"], "-Z"
        yield [command, "-Zj"], "-Z"
    with_arguments = ["umount", "info", "stat", "errlog", "load", "copy", "verify", "bench"]
    for command, missing in itertools.product(with_arguments, [[], ["a"] * 4]):
        yield [command, *missing], "argument"
    for command, name in itertools.product(["umount", "info", "stat", "errlog"], ODD_NAMES):
        if name != "--":
            yield [command, "--", name], name
    for name in ODD_NAMES:
        yield ["load", "--", name, "hdisk0"], name
        yield ["mount", "--disk", "good.img", "--", name], name
        yield ["copy", "--", name, "new"], name
        yield ["verify", "--", name], name
        yield ["bench", "--", name], name
        yield ["bench", f"--disk={name}"], name
        yield [name], name
    for (command, option, rest), number in itertools.product(NUMBERS, BAD_NUMBERS):
        yield [command, option, number, *rest], LONG_OF.get(option, {}).get(command, option)
        yield [command, option, number, *rest], RANGES[option]
        yield [command, *rest, option], "needs a value"
    for (command, rest), (spec, word) in itertools.product(WITH_DISK, DISK_MEDIA):
        yield [command, "--disk", spec, *rest], word
    for (command, rest), (spec, word) in itertools.product(WITH_DISK, DISK_WORDS):
        yield [command, "--disk", f"good.img,{spec}", *rest], word
    for command, rest, word in TWICE:
        yield [command, *rest], word


def drawn(table, rng):
    """A line with good options scattered in front of what is wrong, for ever."""
    spice = {"copy": [["-v"], ["-d", "2"], ["--json"]], "verify": [["--json"]],
             "bench": [["--json"], ["-o", "write"]], "stat": [["--json"]], "info": [["--json"]],
             "errlog": [["--json"]], "umount": [], "mount": []}
    taken = {"--json", "-j", "-v", "--verify", "-o", "--op", "-d", "--depth"}
    while True:
        args, word = rng.choice(table)
        if not args or args[0] not in spice or word in ("no command",):
            continue
        extra = [o for o in spice[args[0]] if rng.random() < 0.5 and not taken & set(args)]
        yield [args[0], *itertools.chain(*extra), *args[1:]], word


def shown(word):
    """The word as a message may show it: control characters replaced, long ones cut."""
    return "".join("?" if ord(c) < 32 or ord(c) == 127 else c for c in word)[:NAME_SHOWN]


def run(scpair, args, word):
    """What is wrong with the answer, or None."""
    argv = [scpair, *(os.fsencode(a) if "\udc80" <= max(a or " ") <= "\udcff" else a for a in args)]
    try:
        p = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S,
                           check=False)
    except subprocess.TimeoutExpired:
        return f"still running after {TIMEOUT_S} s"
    err = p.stderr.decode("utf-8", "surrogateescape")
    if p.returncode not in (1, 2):
        return f"exit code {p.returncode}: {err!r}"
    if not err.endswith("\n") or err.count("\n") != 1 or not err.startswith("scpair: "):
        return f"not one line: {err!r}"
    if any(ord(c) < 32 or ord(c) == 127 for c in err[:-1]):
        return f"control characters: {err!r}"
    if shown(word) not in err:
        return f"does not name {word[:NAME_SHOWN]!r}: {err!r}"
    if args[:1] == ["verify"] and p.stdout:
        # With --json what was found is a result, a difference included.
        said = json.loads(p.stdout)
        if said["ok"] or err != f"scpair: {said['error']}\n" or "at" not in said:
            return f"not the result: {said!r}, {err!r}"
    elif p.stdout:
        return f"something on stdout: {p.stdout[:80]!r}"
    return None


def prepare():
    for name, size in (("good.img", 1 << 20), ("small.img", 1 << 16), ("odd.img", 1000), ("empty.img", 0),
                       ("file", 0)):
        with open(name, "wb") as f:
            f.truncate(size)
    os.mkdir("mnt")
    os.mkfifo("fifo")
    os.symlink("good.img", "link.img")
    os.symlink("nowhere", "dangling")
    return set(os.listdir("."))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scpair")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=700)
    parser.add_argument("--only", type=int)
    opts = parser.parse_args()
    scpair = os.path.abspath(opts.scpair)
    table = list(lines())
    todo = list(enumerate(itertools.chain(table, itertools.islice(drawn(table, random.Random(opts.seed)),
                                                                  max(0, opts.count - len(table))))))
    failed = 0
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        before = prepare()
        for i, (args, word) in todo:
            if opts.only is not None and i != opts.only:
                continue
            why = run(scpair, args, word)
            if why:
                failed += 1
                line = f"FAIL {i}: scpair {' '.join(repr(a[:60]) for a in args)}: {why}"
                print(line.encode("utf-8", "replace").decode())
        if set(os.listdir(".")) != before:
            failed += 1
            print(f"FAIL left behind: {set(os.listdir('.')) ^ before}")
        os.chdir("/")
    print(f"{len(todo)} lines, seed {opts.seed}, {failed} failed")
    if failed:
        print(f"rerun: {sys.argv[0]} {scpair} --seed {opts.seed} --only N")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

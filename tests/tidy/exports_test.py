#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the two libraries say to a linker.

The shared library exports what include/ declares, no more and no less; every name carries a prefix
of ours, so that a program's own xmalloc() stays its own. The archive shows what its files share
among themselves too: sim_ besides. Names beginning with two underscores are the compiler's.

  exports_test.py LIBSCPAIR.SO LIBSCPAIR.A

Does not contain: whether such a program works (names_test.sh).
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PUBLIC = re.compile(r"(sck|dd|ad|shim|scp)_\w+$")
ARCHIVE = re.compile(r"(sck|dd|ad|shim|scp|sim)_\w+$")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def symbols(library, *options):
    """Global names a library defines, the compiler's own and version nodes left out."""
    found = set()
    for line in run("nm", "-g", "--defined-only", "-P", *options, library).split("\n"):
        words = line.split()
        if len(words) >= 2 and words[1] in "BCDGRSTVW" and not words[0].startswith("__"):
            found.add(words[0].split("@")[0])
    return found


def declared():
    """Linker names of every function and object that a header under include/ declares, with the place."""
    headers = [os.path.join(folder, name) for folder in ("include/sys", "include/scpair")
               for name in sorted(os.listdir(os.path.join(ROOT, folder)))]
    found = {}
    with tempfile.TemporaryDirectory() as work:
        source, aux = os.path.join(work, "all.c"), os.path.join(work, "aux")
        with open(source, "w", encoding="utf-8") as f:
            f.writelines(f'#include "{os.path.join(ROOT, h)}"\n' for h in headers)
        # -aux-info writes one line per prototype, macros resolved, static ones marked as such.
        run("gcc", "-std=c11", "-Iinclude", "-aux-info", aux, "-c", "-o", os.path.join(work, "all.o"), source)
        with open(aux, encoding="utf-8") as f:
            for line in f:
                m = re.match(rf"/\* (?:{re.escape(ROOT)}/)?(include/\S+:\d+):\w+ \*/ extern (.*);", line)
                if m:
                    found[re.search(r"(\w+) \(", m.group(2)).group(1)] = m.group(1)
    for header in headers:
        with open(os.path.join(ROOT, header), encoding="utf-8") as f:
            for i, line in enumerate(f, 1):
                m = re.match(r"extern (?:SC_ATOMIC\(\w+\))?[^()]*?(\w+);", line)
                if m:
                    found[m.group(1)] = f"{header}:{i}"
    return found


def halves():
    """sys/scknames.h maps names and takes the same ones back."""
    with open(os.path.join(ROOT, "include/sys/scknames.h"), encoding="utf-8") as f:
        text = f.read()
    return (set(re.findall(r"^#undef (\w+)", text, re.M)), set(re.findall(r"^#define (\w+)", text, re.M)))


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    shared, archive = symbols(sys.argv[1], "-D"), symbols(sys.argv[2])
    wanted, bad = declared(), []
    bad += [f"{n}: exported by the shared library without a prefix of ours; name it in sys/scknames.h"
            for n in shared if not PUBLIC.match(n)]
    bad += [f"{n}: global in the archive without a prefix of ours; make it static or name it in "
            "sys/scknames.h" for n in archive if not ARCHIVE.match(n)]
    bad += [f"{n}: exported, but no header under include/ declares it; take it out of cmake/scpair.map"
            for n in shared - set(wanted)]
    bad += [f"{n}: declared at {where}, but not exported; add it to cmake/scpair.map"
            for n, where in wanted.items() if n not in shared]
    off, on = halves()
    bad += [f"{n}: in one half of sys/scknames.h only" for n in off ^ on]
    for line in sorted(bad):
        print(line)
    print(f"exports: {len(shared)} in the shared library, {len(archive)} globals in the archive, "
          f"{len(wanted)} declared, {len(bad)} findings")
    return 1 if bad or not shared or not archive else 0


if __name__ == "__main__":
    sys.exit(main())

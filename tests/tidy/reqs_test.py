#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every required ID of tests/reqs.txt is part of the name of some test.

A test's name is a START_TEST(...) of a C file under tests/, or the name of a scpair_test() or
scpair_unit() in a CMakeLists.txt. `AIX-08` counts when a name holds AIX_08. An ID in a name that
reqs.txt does not know is an error as well: it is a typing mistake that would hide a gap.

  reqs_test.py          fail when a required ID has no test
  reqs_test.py --all    list every ID with its state and its tests
"""
import os
import re
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ID = re.compile(r"(?<![A-Z])(AIX|NB|CAM|XEN|FC)_(\d\d)(?!\d)")


def read_reqs():
    reqs = {}
    with open(os.path.join(TESTS, "reqs.txt"), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            if len(words) != 2 or words[1] not in ("required", "later") or words[0] in reqs:
                sys.exit(f"tests/reqs.txt:{number}: want one line `ID required|later` for each ID")
            reqs[words[0]] = words[1]
    return reqs


def test_names():
    """(file, name) of every test."""
    for base, dirs, files in os.walk(TESTS):
        dirs.sort()
        for name in sorted(files):
            path = os.path.join(base, name)
            if name.endswith((".c", ".h")):
                pattern = r"^\s*START_TEST\s*\(\s*(\w+)"
            elif name == "CMakeLists.txt":
                pattern = r"^\s*scpair_(?:test|unit)\(\s*(\w+)"
            else:
                continue
            with open(path, encoding="utf-8") as f:
                for found in re.findall(pattern, f.read(), re.M):
                    yield os.path.relpath(path, TESTS), found


def main():
    reqs, shown, bad = read_reqs(), {}, 0
    for path, name in test_names():
        for kind, number in ID.findall(name):
            req = f"{kind}-{number}"
            shown.setdefault(req, []).append(f"{path}:{name}")
            if req not in reqs:
                print(f"{path}: {name} names {req}, which tests/reqs.txt does not know")
                bad += 1
    if "--all" in sys.argv[1:]:
        for req, state in reqs.items():
            print(f"{req:7} {state:8} {', '.join(shown.get(req, ['-']))}")
    missing = [r for r, state in reqs.items() if state == "required" and r not in shown]
    if missing:
        print(f"rerun: {sys.argv[0]} --all")
        print("no test is named after: " + ", ".join(missing))
    need = sum(state == "required" for state in reqs.values())
    print(f"requirements: {need - len(missing)} of {need} required ones have a test, "
          f"{sum(r in shown for r in reqs) - need + len(missing)} of the others too")
    return 1 if missing or bad else 0


if __name__ == "__main__":
    sys.exit(main())

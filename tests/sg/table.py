#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""table.py [--check]: docs/conformance.md from the expected results of the conformance suite.

With --check nothing is written: it fails when the document is not what it would write.
"""
import os
import sys

from suite import DISKS, SUITE, expected_read

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs", "conformance.md")
MODES = ("inprocess", "mount")
RESULTS = ("pass", "empty", "skip", "fail", "crash", "hang")
DISK_WORDS = {
    "512e": "512-byte logical blocks in 4,096-byte physical ones (`phys=4096`); the usual one",
    "512n": "512-byte blocks; for the GET LBA STATUS tests, which count physical blocks as one logical block",
    "removable": "a medium that can be ejected (`removable`)",
    "readonly": "write-protected (`ro`)",
}
HEAD = f"""<!-- SPDX-License-Identifier: BSD-2-Clause -->
<!-- Written by tests/sg/table.py from tests/sg/expected-*.txt; do not edit. -->
# Conformance

libiscsi's `{SUITE}` judges the simulated disk, and the drivers on the way to it, from outside. It runs
unmodified under the preload library of `scpair sg`: *in the process* of the tool, where the whole pair and
a second initiator are, and *on a mount*, through FUSE. Every test has one expected result, by name; a result
that changes in either direction fails the check (`ctest -L sg`).

A **pass** asserted something about the answer to a command of its own. A test that passed without doing so is
**empty** and proves nothing. A **skip** says itself what it lacks.
"""


def counts(rows):
    return [sum(1 for result, _, _ in rows.values() if result == r) for r in RESULTS]


def document():
    expected = {mode: expected_read(mode) for mode in MODES}
    used = [r for i, r in enumerate(RESULTS) if any(counts(rows)[i] for rows in expected.values())]
    lines = [HEAD, "| | tests | " + " | ".join(used) + " |", "|" + "---|" * (len(used) + 2)]
    for mode, name in zip(MODES, ("in process", "on a mount")):
        by_name = dict(zip(RESULTS, counts(expected[mode])))
        cells = [name, len(expected[mode]), *(by_name[r] for r in used)]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", "The disks, sparse files of 64 MiB:", ""]
    lines += [f"* `{name}`: {DISK_WORDS[name]}" for name, _ in DISKS]
    lines += ["", "## Everything that is not a pass, with its cause", ""]
    causes = {}
    for mode in MODES:
        for test, (result, _, cause) in expected[mode].items():
            if result != "pass":
                causes.setdefault((result, cause), {}).setdefault(test, []).append(mode)
    lines += ["| result | tests | cause |", "|---|---|---|"]
    for result in RESULTS:
        for (r, cause), tests in causes.items():
            if r == result:
                names = ", ".join(f"`{t}`" + ("" if len(m) == 2 else f" ({m[0]})") for t, m in tests.items())
                lines.append(f"| {result} | {names} | {cause} |")
    lines += ["", "## Every test", "", "| test | disk | in process | on a mount |", "|---|---|---|---|"]
    for test, (result, disk, _) in expected["inprocess"].items():
        other = expected["mount"].get(test, ("missing", "", ""))[0]
        lines.append(f"| {test} | {disk} | {result} | {other} |")
    return "\n".join(lines) + "\n"


def main():
    wanted = document()
    if "--check" not in sys.argv[1:]:
        with open(DOCUMENT, "w", encoding="utf-8") as f:
            f.write(wanted)
        return 0
    try:
        with open(DOCUMENT, encoding="utf-8") as f:
            current = f.read() == wanted
    except FileNotFoundError:
        current = False
    if not current:
        print("docs/conformance.md is not what the expected results say; run tests/sg/table.py")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())

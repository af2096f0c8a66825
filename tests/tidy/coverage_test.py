#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""scripts/coverage reads what gcov writes: a small source, and gcov's answer about it as JSON.

Does not contain: gcov itself and the run of the tests; that is the script's own business.
"""
import importlib.machinery
import importlib.util
import json
import os
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts", "coverage")

SOURCE = """\
int f(int a, int b)
{
    KASSERT(a > 0);
    SHIM_ASSERT(b > 0 &&
                g(")") < 3);
    if (a > b)
        return 1; /* KASSERT(never) */
    if (b == 7)
        shim_panic("f: %d", b);
    return h();
}
"""


def load():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("scpair_coverage", SCRIPT)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def line(number, count, *branches):
    return {"line_number": number, "function_name": "f", "count": count, "unexecuted_block": count == 0,
            "branches": [{"count": b, "throw": False, "fallthrough": i == 0} for i, b in enumerate(branches)]}


# As gcc 12 writes it, less what nobody reads.
LINES = [line(1, 4), line(3, 4, 4, 0), line(4, 4, 4, 0, 4, 0), line(5, 4, 4, 0), line(6, 4, 4, 0), line(7, 0),
         line(8, 4, 4, 0), line(9, 0), line(10, 4)]


class Coverage(unittest.TestCase):
    def setUp(self):
        self.script = load()
        self.root = tempfile.TemporaryDirectory()
        self.addCleanup(self.root.cleanup)
        os.makedirs(os.path.join(self.root.name, "src", "devdrv"))
        with open(os.path.join(self.root.name, "src", "devdrv", "dd_f.c"), "w", encoding="utf-8") as f:
            f.write(SOURCE)
        self.files = {}

    def add(self, lines, name="../../src/devdrv/dd_f.c"):
        report = {"current_working_directory": os.path.join(self.root.name, "build", "coverage"),
                  "files": [{"file": name, "functions": [], "lines": lines},
                            {"file": "/usr/include/string.h", "functions": [], "lines": [line(1, 9)]}]}
        self.script.add_report(self.files, json.loads(json.dumps(report)), self.root.name)

    def test_assertions_are_found_to_their_last_bracket(self):
        self.assertEqual(self.script.assertion_lines(SOURCE), {3, 4, 5, 9})

    def test_figures(self):
        self.add(LINES)
        self.assertEqual(list(self.files), ["src/devdrv/dd_f.c"])
        figures = self.files["src/devdrv/dd_f.c"].figures()
        self.assertEqual(figures, {"lines": [7, 9], "branches": [6, 12], "checked": [2, 4]})

    def test_missing(self):
        self.add(LINES)
        self.assertEqual(self.files["src/devdrv/dd_f.c"].missing(), [(6, 1, 2), (7, 0, 0), (8, 1, 2)])

    def test_a_header_is_one_file_for_all_who_include_it(self):
        self.add(LINES)
        self.add([line(6, 2, 0, 2), line(7, 2)], os.path.join(self.root.name, "src", "devdrv", "dd_f.c"))
        figures = self.files["src/devdrv/dd_f.c"].figures()
        self.assertEqual(figures["checked"], [3, 4])
        self.assertEqual(figures["lines"], [8, 9])

    def test_folders_and_totals(self):
        self.add(LINES)
        report = self.script.make_report(self.files)
        self.assertEqual([f["name"] for f in report["core"]], list(self.script.CORE))
        self.assertEqual(report["core"][0]["checked"], [2, 4])
        self.assertEqual(report["total"]["lines"], [7, 9])
        self.assertEqual(report["rest"], [])
        self.assertEqual(self.script.percent(report["total"]["checked"]), 50.0)


if __name__ == "__main__":
    unittest.main()

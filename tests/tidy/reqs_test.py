#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""scripts/req-coverage finds marks, tests and faults in a small tree, and every kind of hole.

Does not contain: the check of this tree (tidy_requirements runs the script itself).
"""
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts", "req-coverage")


def load():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("scpair_req_coverage", SCRIPT)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


# A tree without a hole: one required, one later and not begun, one later with the reason.
GOOD = {
    "tests/reqs.txt": "# what this is\n\nAIX-01 required\nNB-02 later\nCAM-03 later # half of it\n",
    "src/a/a.c": "/*\n * The queue. (AIX-01)\n */\nint a; /* CAM-03 */\n",
    "include/b.h": "/* b */\n",
    "tests/unit/a_test.c": "START_TEST(test_AIX_01_one_queue)\nSTART_TEST(test_CAM_03_half)\n",
    "tests/mutants/a.patch": "# what: two queues\n# req: AIX-01\n--- a/src/a/a.c\n",
}


class ReqCoverage(unittest.TestCase):
    def setUp(self):
        self.script = load()

    def tree(self, **changed):
        root = tempfile.TemporaryDirectory()
        self.addCleanup(root.cleanup)
        for name, text in {**GOOD, **changed}.items():
            os.makedirs(os.path.join(root.name, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(root.name, name), "w", encoding="utf-8") as f:
                f.write(text)
        return root.name

    def holes(self, **changed):
        return self.script.collect(self.tree(**changed))[1]

    def run_script(self, *options, **changed):
        return subprocess.run([sys.executable, SCRIPT, "--root", self.tree(**changed), *options], check=False,
                              capture_output=True, text=True)

    def test_lists_and_ranges_are_expanded(self):
        def ids(text):
            return [req for _, req in self.script.expand(text)]
        self.assertEqual(ids("(AIX-21..23)"), ["AIX-21", "AIX-22", "AIX-23"])
        self.assertEqual(ids("AIX-05 to AIX-07"), ["AIX-05", "AIX-06", "AIX-07"])
        self.assertEqual(ids("(AIX-02, 13..15, 25)"), ["AIX-02", "AIX-13", "AIX-14", "AIX-15", "AIX-25"])
        self.assertEqual(ids("XEN-07 .. 08, NB-02 and CAM-03"), ["XEN-07", "XEN-08", "NB-02", "CAM-03"])
        self.assertEqual(ids("AIX-100, XAIX-01, AIX-1; AIX-29. 30 of them"), ["AIX-29"])

    def test_a_list_goes_on_in_the_next_line_of_a_comment(self):
        tree = self.tree(**{"src/a/a.c": "/*\n * x (AIX-01,\n * 02)\n */\n",
                            "tests/reqs.txt": "AIX-01 later\nAIX-02 later\nCAM-03 later\n"})
        reqs, holes = self.script.collect(tree)
        self.assertEqual((reqs["AIX-01"].marks, reqs["AIX-02"].marks), (["src/a/a.c:2"], ["src/a/a.c:2"]))
        self.assertEqual(len(holes), 1)  # AIX-01 has a test, too

    def test_places(self):
        tree = self.tree(**{"tests/CMakeLists.txt": "scpair_test(sim_NB_02_AIX_01 x)\n"})
        reqs, holes = self.script.collect(tree)
        self.assertEqual(holes, [])
        self.assertEqual(reqs["AIX-01"].marks, ["src/a/a.c:2"])
        self.assertEqual(reqs["AIX-01"].tests, ["tests/CMakeLists.txt:sim_NB_02_AIX_01",
                                                "tests/unit/a_test.c:test_AIX_01_one_queue"])
        self.assertEqual(reqs["AIX-01"].faults, ["tests/mutants/a.patch"])
        self.assertEqual((reqs["NB-02"].marks, len(reqs["NB-02"].tests)), ([], 1))
        self.assertEqual(reqs["CAM-03"].why, "half of it")

    def test_required_needs_mark_and_test(self):
        self.assertEqual(self.holes(), [])
        self.assertIn("no mark", self.holes(**{"src/a/a.c": "int a;\n"})[0])
        self.assertIn("no test", self.holes(**{"tests/unit/a_test.c": "/* AIX_01 */\n"})[0])
        self.assertEqual(self.holes(**{"src/a/a.c": "int a;\n", "include/b.h": "/* AIX-01 */\n"}), [])

    def test_later_that_is_there_is_to_be_turned(self):
        found = self.holes(**{"tests/reqs.txt": GOOD["tests/reqs.txt"].replace("required", "later")})
        self.assertEqual(len(found), 1)
        self.assertIn("AIX-01 is `later`, but has a mark and a test: turn it", found[0])

    def test_unknown_ids(self):
        for name, text in (("include/b.h", "/* NB-77 */\n"), ("tests/unit/b.c", "START_TEST(test_NB_77)\n"),
                           ("tests/sim/planted/b.patch", "# req: NB-77\n")):
            found = self.holes(**{name: text})
            self.assertEqual(len(found), 1, name)
            self.assertIn("names NB-77, which tests/reqs.txt does not have", found[0])

    def test_exit_codes_and_reports(self):
        self.assertEqual(self.run_script().returncode, 0)
        bad = self.run_script("--holes", **{"src/a/a.c": "int a;\n"})
        self.assertEqual(bad.returncode, 1)
        self.assertEqual(len(bad.stdout.splitlines()), 2)
        report = json.loads(self.run_script("--json").stdout)
        self.assertEqual([r["id"] for r in report["requirements"]], ["AIX-01", "NB-02", "CAM-03"])
        self.assertEqual(report["holes"], [])
        one = self.run_script("AIX")
        self.assertIn("  fault  tests/mutants/a.patch\n", one.stdout)
        self.assertNotIn("CAM-03", one.stdout)
        self.assertEqual(self.run_script("FC-").returncode, 2)
        twice = self.run_script(**{"tests/reqs.txt": "AIX-01 later\nAIX-01 required\n"})
        self.assertEqual(twice.returncode, 1)
        self.assertIn("tests/reqs.txt:2", twice.stderr)


if __name__ == "__main__":
    unittest.main()

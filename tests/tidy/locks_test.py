#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""scripts/locks makes the page from a small tree, and says what it cannot read.

Does not contain: the comparison of this tree's page (tidy_CAM_02_lock_table runs the script itself).
"""
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts", "locks")

GOOD = {
    "include/scpair/shim.h": "enum shim_rank {\n    SHIM_RANK_NONE = 0,\n    SHIM_RANK_A = 10, /* a */\n"
                             "    SHIM_RANK_B = 30,\n    SHIM_RANK_MAX = 99\n};\n",
    "include/sys/kservices.h": "#define LOCK_CLASS_B 30 /* b */\n",
    "src/shim/shim_lock.c": "} shim_ranks[] = {\n    {SHIM_RANK_NONE, RANK_SLEEPS}, /* none */\n"
                            "    {SHIM_RANK_A, RANK_SLEEPS}, /* outer */\n"
                            "    {SHIM_RANK_B, RANK_LEAF}, /* inner */\n};\n"
                            "int shim_lock_init(struct shim_lock *l, enum shim_rank rank, const char *n)\n",
    "src/a.c": "    rc = shim_lock_init(&a->lock, SHIM_RANK_A, \"a lock\");\n",
    "src/b.c": "    return lock_alloc(&b->lock, LOCK_ALLOC_PIN,\n"
               "                      LOCK_CLASS_B, \"b lock\");\n",
    "docs/locks.md": "",
}


class Locks(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.TemporaryDirectory()
        self.addCleanup(self.root.cleanup)
        self.put(GOOD)

    def put(self, files):
        for name, text in files.items():
            os.makedirs(os.path.join(self.root.name, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(self.root.name, name), "w", encoding="utf-8") as f:
                f.write(text)

    def run_script(self, *options):
        return subprocess.run([sys.executable, SCRIPT, "--root", self.root.name, *options], check=False,
                              capture_output=True, text=True)

    def test_page(self):
        rows = [line for line in self.run_script().stdout.split("\n") if line.startswith("| ")]
        self.assertEqual(rows[1:], [
            "| 10 | A | outer | may sleep | `a lock` (src/a.c) |",
            "| 30 | B | inner | does not sleep, enters no other lock | `b lock` (src/b.c) |"])

    def test_check(self):
        self.assertEqual(self.run_script("--check").returncode, 1)
        self.assertEqual(self.run_script("--write").returncode, 0)
        self.assertEqual(self.run_script("--check").returncode, 0)
        self.put({"src/c.c": "    if (shim_lock_init(&c, SHIM_RANK_B, \"c\") != 0)\n"})
        self.assertEqual(self.run_script("--check").returncode, 1)

    def refused(self, words, **files):
        self.put(GOOD)
        name, (old, new) = files["name"], files["change"]
        self.put({name: GOOD[name].replace(old, new)})
        run = self.run_script()
        self.assertNotEqual(run.returncode, 0)
        self.assertIn(words, run.stderr)

    def test_what_cannot_be_read(self):
        table = "src/shim/shim_lock.c"
        self.refused("want `{SHIM_RANK_X", name=table, change=(" /* inner */", ""))
        self.refused("RANK_ODD", name=table, change=("RANK_LEAF", "RANK_ODD"))
        self.refused("SHIM_RANK_B is in only one", name=table,
                     change=("    {SHIM_RANK_B, RANK_LEAF}, /* inner */\n", ""))
        self.refused("not by rising rank", name="include/scpair/shim.h", change=("A = 10", "A = 40"))
        self.refused("of which rank is \"a lock\"?", name="src/a.c", change=("SHIM_RANK_A", "rank"))


if __name__ == "__main__":
    unittest.main()

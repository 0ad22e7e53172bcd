# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/reference/errors.md is what scripts/errors makes of base/error.h today, with every code."""

import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class Errors(unittest.TestCase):
    def test_the_page_is_current(self):
        made = subprocess.run([sys.executable, ROOT / "scripts" / "errors"], check=True, capture_output=True, text=True).stdout
        self.assertEqual((ROOT / "docs" / "reference" / "errors.md").read_text(), made,
                         "run: scripts/errors > docs/reference/errors.md")

    def test_every_code_is_on_it(self):
        codes = re.findall(r'^ *X\(CB_E_\w+, *[A-Z]+, *"([^"]+)"', (ROOT / "base" / "error.h").read_text(), re.M)
        page = (ROOT / "docs" / "reference" / "errors.md").read_text()
        self.assertGreater(len(codes), 50)
        self.assertEqual(re.findall(r"^\| `([^`]+)` \|", page, re.M), codes)

    def test_statuses_that_are_not_their_class_are_on_it(self):
        page = (ROOT / "docs" / "reference" / "errors.md").read_text()
        self.assertIn("| `request.method` | 405 |", page)
        for status in re.findall(r"\{(4\d\d|5\d\d), \"", (ROOT / "broker" / "http" / "problem.c").read_text()):
            with self.subTest(status):
                if status != "501":             # of a relayed session, which is no refusal of ours to the caller
                    self.assertIn(status, page)


if __name__ == "__main__":
    unittest.main(verbosity=2)

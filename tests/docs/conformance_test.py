# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/conformance.md: every requirement has a row. There and in docs/attacks.md every file and test that a row names exists."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "conformance.md").read_text()
STATES = {"yes", "in part", "not yet", "outside"}
REQUIRED = (
    [f"S3-{n}" for n in "1 2 3 4 5 6 7 ① ② ③ ④ ⑤ ⑥ ⑦".split()]
    + ["S0-3.2 / ref2", "S0-ref3"] + [f"S0-{n}" for n in (
        "7.2.1 7.2.2 7.2.3 7.2.4 7.2.5 7.2.6 7.3.1e 7.3.2 7.3.3 7.3.4 7.4.1 7.4.3 7.4.5 7.5.1 7.5.2 7.5.3 7.5.4 7.5.5 7.6.1 7.6.2").split()]
    + [f"S1-{n}" for n in range(1, 7)] + [f"S2-{n}" for n in range(1, 6)]
    + [f"S4-{n}" for n in (2, 3, 4, 5, 7, 8, 11, 12, 13, 14, 15, 16)])


def rows():
    """(id, state, how, code, tests) of each requirement."""
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.match(r"S[0-4]-", cells[0]):
            yield cells


class Conformance(unittest.TestCase):
    def test_every_requirement_has_one_row_with_a_state(self):
        self.assertEqual(sorted(row[0] for row in rows()), sorted(REQUIRED))
        for row in rows():
            self.assertEqual(len(row), 5, row[0])
            self.assertIn(row[1], STATES, row[0])

    def test_what_is_met_has_code_and_tests(self):
        for name, state, _, code, tests in rows():
            if state == "yes" and name != "S4-16":
                self.assertIn("`", code, name)
                self.assertIn("`", tests, name)

    def exists(self, where, text):
        for quoted in re.findall(r"`([^`]+)`", text):
            path, _, test = quoted.partition(": ")
            if "/" not in path and not path.endswith(".md") or path.startswith("./"):
                continue
            self.assertTrue((ROOT / path).is_file(), f"{where}: {path}")
            if test:
                self.assertRegex((ROOT / path).read_text(), rf"\b{re.escape(test)}\b", f"{where}: {path}")

    def test_every_file_and_every_test_named_exists(self):
        for name, _, how, code, tests in rows():
            self.exists(name, how + code + tests)

    def test_what_was_tried_is_in_the_tests(self):
        tried = [line for line in (ROOT / "docs" / "attacks.md").read_text().splitlines() if "`tests/" in line]
        self.assertGreater(len(tried), 30)
        errors = (ROOT / "base" / "error.h").read_text()
        for line in tried:
            for code in re.findall(r"`([a-z]+\.[a-z_]+)`", line):
                self.assertIn(f'"{code}"', errors)
            self.exists(line.split("|")[1].strip(), line)


if __name__ == "__main__":
    unittest.main(verbosity=2)

# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/card-life.md with its picture, and docs/terminals.md, say what the tables in broker/core/state.c say, and no more."""

import re
import subprocess
import unittest
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "card-life.md").read_text()


def table(of="card"):
    text = (ROOT / "broker" / "core" / "state.c").read_text()
    rows = text[text.index(f"{of}_table[]"):]
    name = f"CB_{of.upper()}"
    return {tuple(word.lower().replace("_", " ") for word in row)
            for row in re.findall(rf"\{{{name}_(\w+), {name}_(\w+), {name}_(\w+)\}}", rows[:rows.index("};")])}


class CardLife(unittest.TestCase):
    def test_the_pages_table_is_that_of_the_code(self):
        head, *rows = re.findall(r"^\|(.+)\|$", PAGE[PAGE.index("| from \\ act"):].split("\n\n")[0], re.M)
        acts = [cell.strip() for cell in head.split("|")][1:]
        written = set()
        for row in rows[1:]:
            state, *cells = [cell.strip() for cell in row.split("|")]
            self.assertEqual(len(cells), len(acts), state)
            written |= {(state, act, cell) for act, cell in zip(acts, cells) if cell != "–"}
        self.assertEqual(written, table())

    def test_the_picture_is_made_from_the_table(self):
        made = subprocess.run([str(ROOT / "scripts" / "card-life")], capture_output=True, text=True, check=True).stdout
        self.assertEqual((ROOT / "docs" / "card-life.svg").read_text(), made, "scripts/card-life > docs/card-life.svg")
        for state, _, following in table():
            for name in (state, following):
                self.assertIn(f">{name}</text>", made)


class TerminalLife(unittest.TestCase):
    def test_the_pages_table_is_that_of_the_code(self):
        page = (ROOT / "docs" / "terminals.md").read_text()
        rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", page[page.index("| from | act | to |"):].split("\n\n")[0], re.M)
        written = {(state, act, to) for states, act, to in rows[1:] for state in states.split(", ")}
        self.assertEqual(written, table("terminal"))

    def test_the_picture_has_every_state_and_every_act_as_often_as_the_table(self):
        page = (ROOT / "docs" / "terminals.md").read_text()
        picture = page[page.index("## The life of a terminal"):].split("```")[1]
        words = Counter(re.findall(r"[a-z]+", re.sub(r"\(.*?\)", "", picture)))
        states = {state for row in table("terminal") for state in (row[0], row[2])}
        self.assertEqual(words, Counter(states) + Counter(act for _, act, _ in table("terminal")))


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/levels.md has the one table of levels: in the order of cardlink/level.c, with what each profile in cardlink/profile.c reaches and by
what its code says that it does so."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAD, *ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in
               (ROOT / "docs" / "levels.md").read_text().split("\n\n")[2].splitlines() if "---" not in line]
TABLE = [dict(zip(HEAD, row)) for row in ROWS]


def source(path):
    return re.sub(r"/\*.*?\*/", "", (ROOT / "cardlink" / path).read_text(), flags=re.S)


LEVELS = dict(re.findall(r'\{(CB_LEVEL_\w+), "([a-z-]+)"\}', source("level.c")))      # from the least to the most
NUMBERS = {LEVELS[name]: number for name, number in re.findall(r"(CB_LEVEL_\w+) =\s*(\d)", source("level.h"))}
ORDER = list(LEVELS.values())


def lower(one, other):
    return min(one, other, key=ORDER.index)


class Profile:
    def __init__(self, name):
        self.name, self.host = name, source(f"{name}/host.c")
        assert f'.name = "{name}"' in self.host
        self.most = LEVELS[re.search(r"\.level_with_pin = (\w+)", self.host)[1]]
        self.reads_pin = bool(re.search(r"CB_SCRIPT_PIN_(PADDED|ASCII)", self.host))          # the terminal puts it in
        self.knows_broker = bool(re.search(r"host->(sign|agree|cmac)\(|\{host->cmac,", self.host))
        self.rows = [row for row in TABLE if row["profile"] == name]

    def ways(self):
        """(with the PIN, level) of each kind of tap that there is."""
        if self.name == "password":
            return {("–", self.most)}
        ways = {("yes", self.most)} if self.most != "possession" else set()
        if not re.search(r"\*with_pin = true;", self.host):
            ways.add(("no", lower("possession", self.most)))
        return ways


PROFILES = [Profile(name) for name in re.findall(r"&cb_profile_(\w+)", source("profile.c"))]


class Levels(unittest.TestCase):
    def test_the_rows_are_in_the_codes_order_with_its_numbers(self):
        self.assertEqual(ORDER[0], "none")
        found = [row["level"].strip("`") for row in TABLE]
        self.assertEqual(list(dict.fromkeys(found)), ORDER[1:])
        self.assertEqual(found, sorted(found, key=ORDER.index))
        self.assertEqual({row["level"].strip("`"): row["number"] for row in TABLE}, {name: NUMBERS[name] for name in ORDER[1:]})

    def test_each_profile_reaches_what_its_code_says_and_no_other_is_there(self):
        self.assertEqual({row["profile"] for row in TABLE}, {profile.name for profile in PROFILES})
        for profile in PROFILES:
            with self.subTest(profile=profile.name):
                self.assertEqual(len(profile.rows), len(profile.ways()))
                self.assertEqual({(row["its PIN was typed"], row["level"].strip("`")) for row in profile.rows}, profile.ways())
                self.assertEqual({row["a card is there"] for row in profile.rows}, {"no" if profile.name == "password" else "yes"})

    def test_who_reads_the_pin_and_where_a_pad_can_be_is_what_the_scripts_do(self):
        for profile in PROFILES:
            for row in (row for row in profile.rows if row["its PIN was typed"] == "yes"):
                with self.subTest(profile=profile.name):
                    self.assertEqual(row["who reads the PIN on its way"].startswith("the terminal"), profile.reads_pin)
                    self.assertEqual(row["on a PIN pad"], "can be" if profile.reads_pin else "no")
                    self.assertEqual(row["level"] == "`terminal-pin`", profile.reads_pin)
            for row in (row for row in profile.rows if row["its PIN was typed"] == "no"):
                self.assertEqual((row["who reads the PIN on its way"], row["on a PIN pad"]), ("–", "–"))

    def test_a_card_authenticates_the_broker_where_a_key_of_the_brokers_is_used(self):
        for profile in PROFILES:
            for row in profile.rows:
                with self.subTest(profile=profile.name):
                    self.assertEqual(row["the broker was authenticated"].startswith("by the card"), profile.knows_broker)

    def test_no_other_page_has_such_a_table(self):
        for page in (ROOT / "docs").glob("*.md"):
            if page.name != "levels.md":
                self.assertNotRegex(page.read_text(), r"\|[^|\n]*`terminal-pin`( \(3\))? \|[^\n]*\n\|[^\n]*`(pin|possession)`( \(\d\))? \|", page.name)


if __name__ == "__main__":
    unittest.main()

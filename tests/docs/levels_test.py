# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/levels.md has the one table of levels: in the order of cardlink/level.c, with what each profile in cardlink/profile.c reaches and by
what its code says that it does so. And the table of where it happens has the kinds of terminals and the refusals that the broker has."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAD, *ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in
               (ROOT / "docs" / "levels.md").read_text().split("\n\n")[2].splitlines() if "---" not in line]
TABLE = [dict(zip(HEAD, row)) for row in ROWS]
WHERE = (ROOT / "docs" / "levels.md").read_text().split("## Where it happens")[1].split("\n## ")[0]


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


def function(path, name):
    """The body of one."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.S)
    return re.search(rf"^cb_error {name}\([^{{]*\{{\n(.*?)^\}}", text, re.M | re.S)[1]


class Places(unittest.TestCase):
    kind, pad = (re.search(rf"^\| {name}: .*", WHERE, re.M)[0] for name in ("kind of terminal", "PIN pad"))

    def test_the_kinds_are_the_codes_with_the_records_numbers(self):
        names = re.findall(r'"(\w+)"', re.search(r"kinds\[\] = \{(.*?)\}", (ROOT / "broker/store/rows.c").read_text())[1])
        self.assertEqual(re.findall(r"`(\w+)` \(", self.kind.split(" | ")[0]), names)
        numbers = re.findall(r"CB_TERMINAL_(\w+) = (\d)", re.search(r"enum cb_terminal_kind \{(.*?)\}", (ROOT / "broker/store/rows.h").read_text(), re.S)[1])
        self.assertEqual(numbers[0], ("UNSTATED", "0"))
        self.assertIn("`terminal_kind` " + ", ".join(f"{number} {name.lower()}" for name, number in numbers[1:]), WHERE)

    def test_what_is_refused_is_what_the_broker_refuses_with(self):
        codes = dict(re.findall(r'X\((CB_E_\w+), *\w+, *"([a-z._]+)"', (ROOT / "base/error.h").read_text()))
        for row, name in (self.kind, "cb_service_takes"), (self.pad, "cb_service_takes_pin"):
            body = function("broker/core/terminal_kind.c", name)
            self.assertEqual(re.match(r"`([a-z._]+)`", row.split(" | ")[3])[1], codes[re.search(r"CB_E_\w+", body)[0]])

    def test_nothing_said_is_any_kind_for_a_service_and_none_for_a_terminal(self):
        body = function("broker/core/terminal_kind.c", "cb_service_takes")
        for words, how in ("nothing: at any", "any = service->kinds == 0;"), ("is none of them", "terminal->kind != CB_TERMINAL_UNSTATED &&"):
            self.assertIn(words, self.kind)
            self.assertIn(how, body)

    def test_a_pad_is_for_the_cards_whose_pin_a_terminal_sees(self):
        named = re.search(r"those of ([A-Z0-9]+(?:(?:, | and )[A-Z0-9]+)*) cards", self.pad)[1]
        self.assertEqual(set(re.split(", | and ", named)), {profile.name.upper() for profile in PROFILES if profile.reads_pin})

    def test_an_administrator_says_it_with_the_options_that_there_are(self):
        for option, path in ("kind", "terminal.c"), ("pin-pad", "terminal.c"), ("terminals", "service.c"), ("pin-pad", "service.c"):
            self.assertIn(f"--{option}", self.kind + self.pad)
            self.assertIn(f'"{option}", ', (ROOT / "broker/ctl" / path).read_text())

    def test_hsmd_decides_neither(self):
        self.assertIn("hsmd does not", WHERE)
        for path in (ROOT / "hsm").rglob("*.[ch]"):
            self.assertNotRegex(path.read_text(), r"cb_service_takes|cb_terminal_kind|pin_pad", path.name)


if __name__ == "__main__":
    unittest.main()

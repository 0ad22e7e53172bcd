# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual pages: each option of each program and of each configuration file stands in its page, and no other."""

import os
import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CARDBROKER_BUILD", ROOT / "build"))
MAN = ROOT / "docs" / "man"

PROGRAMS = {
    "cardbroker-hsmd.8": "hsm/cardbroker-hsmd",
    "cardbrokerd.8": "broker/cardbrokerd",
    "cardbroker-connectord.8": "connectors/cardbroker-connectord",
    "cardlink.1": "cardlink/terminal/cardlink",
    "cardlink-vcard.1": "cardlink/card/cardlink-vcard",
    "cardlink-issuer.1": "cardlink/issuer/cardlink-issuer",
}

CONFIGURATIONS = {
    "hsmd.conf.5": "hsm/config.c",
    "cardbroker.conf.5": "broker/config.c",
    "connectord.conf.5": "connectors/host/main.c",
    "cardlink.conf.5": "cardlink/terminal/config.c",
}


def page(name):
    """A page's text as groff makes it of it, without what it does to look well."""
    done = subprocess.run(["groff", "-K", "utf8", "-mandoc", "-ww", "-Tutf8", "-P-cbou", str(MAN / name)], capture_output=True,
                          text=True)
    return done.stdout, done.stderr


def options_of(text):
    # A hyphen at a line's end, or groff's other hyphens, are still hyphens.
    text = text.replace("\u2010", "-").replace("\u2212", "-")
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])", text))


class Pages(unittest.TestCase):
    def test_pages_are_well_formed_and_say_who_they_are(self):
        for path in sorted(MAN.iterdir()):
            with self.subTest(path.name):
                text, complaints = page(path.name)
                self.assertEqual(complaints, "")
                self.assertIn("NAME", text)

    def test_all_pages_are_installed(self):
        meson = (ROOT / "meson.build").read_text()
        for path in MAN.iterdir():
            self.assertIn(f"docs/man/{path.name}", meson)

    def test_options_of_programs(self):
        for name, program in PROGRAMS.items():
            with self.subTest(name):
                said = subprocess.run([str(BUILD / program), "--help"], capture_output=True, text=True)
                self.assertEqual(said.returncode, 0)
                shown, written = options_of(said.stdout), options_of(page(name)[0])
                self.assertTrue(shown)
                self.assertEqual(shown, written, "what --help shows and what the page describes")

    def test_options_of_configurations(self):
        for name, source in CONFIGURATIONS.items():
            with self.subTest(name):
                table = set(re.findall(r'CFG_(?:STR|INT|BOOL|SEC|STR_LIST)\("([a-z_-]+)"', (ROOT / source).read_text()))
                self.assertTrue(table)
                text = page(name)[0].replace("\u2010", "-")
                for option in table:
                    self.assertRegex(text, rf"(?<![\w-]){re.escape(option)}(?![\w-])")


if __name__ == "__main__":
    unittest.main()

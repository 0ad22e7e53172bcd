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


def calls_of(name, text):
    """The arguments of each call of a function in a source, as text."""
    for found in re.finditer(rf"\b{name}\(", text):
        arguments, depth, quoted = [""], 0, False
        for before, c in zip(text[found.end() - 1:], text[found.end():]):
            if c == '"' and before != "\\":
                quoted = not quoted
            if not quoted:
                depth += (c in "({[") - (c in ")}]")
                if depth < 0:
                    break
                if c == "," and depth == 0:
                    arguments.append("")
                    continue
            arguments[-1] += c
        yield arguments


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

    def test_ranges_of_the_brokers_configuration(self):
        source = (ROOT / "broker/config.c").read_text()
        most = re.search(r"CB_STATUS_CONNECTIONS_MAX = (\d+)", (ROOT / "broker/status/status.h").read_text())[1]
        rows = [row for row in calls_of("number", source) if len(row) == 5 and '"' in row[2]]
        self.assertGreater(len(rows), 40)
        items = re.split(r"^\.It Li ", (MAN / "cardbroker.conf.5").read_text(), flags=re.M)
        for row in rows:
            name, least, greatest = (text.strip().strip('"').replace("CB_STATUS_CONNECTIONS_MAX", most) for text in row[2:])
            with self.subTest(name):
                said = [item for item in items if name in re.split(" , ", item.split("\n")[0])]
                self.assertTrue(said)
                for item in said:
                    self.assertRegex(item, rf"\b{least} to {greatest}\b")

    def test_events_of_the_terminals_program(self):
        sent = set()
        for path in (ROOT / "cardlink/terminal").glob("*.c"):
            text = path.read_text()
            for name, place in ("cb_output_event", 1), ("cb_command_done", 1), ("event_object", 0), ("put_object", 2):
                for arguments in calls_of(name, text):
                    sent.update(re.findall(r'"([a-z._]+)"', arguments[place]))
            sent.update(re.findall(r'"event",\s*(?:json_string\()?"([a-z._]+)"', text))
        self.assertGreater(len(sent), 20)
        page = (MAN / "cardlink.1").read_text()
        item = page[page.index(".It Fl j , Fl Fl json"):page.index("What failed has")]
        self.assertEqual(sent, set(re.findall(r"(?<=[ ,])[a-z_]+(?:\.[a-z_]+)*(?= [,;.])", " ".join(re.findall(r"^\.Li (.*)", item, re.M)).replace(
            "event ;", ""))))

    def test_commands_and_options_of_the_terminals_program(self):
        table = {" ".join(re.findall(r'"(\w+)"', words)) for words in
                 re.findall(r"\{\{([^}]+)\}, \w+, (?:true|false)\}", (ROOT / "cardlink/terminal/commands.c").read_text())}
        self.assertGreater(len(table), 15)
        page = (MAN / "cardlink.1").read_text()
        synopsis = page[page.index(".Sh SYNOPSIS"):page.index(".Sh DESCRIPTION")]
        self.assertEqual({command for line in re.findall(r"^\.Cm (.+)", synopsis, re.M) for command in line.split(" | ")}, table)
        self.assertEqual(set(re.findall(r"^\.It Cm (.+)", page, re.M)), table)
        said = subprocess.run([str(BUILD / PROGRAMS["cardlink.1"]), "--help"], capture_output=True, text=True).stdout
        listed = {option for line in re.findall(r"^\.It (.*Fl Fl.*)", page, re.M) for option in re.findall(r"Fl Fl ([a-z-]+)", line)}
        self.assertEqual(listed, options_of(said))


if __name__ == "__main__":
    unittest.main()

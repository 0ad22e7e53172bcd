# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/architecture.md lists each kind of leaf that the code writes, and each route that a terminal may ask for; and what else it says
of routes is in schema/openapi.yaml."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
METHOD = re.compile(r"\b(GET|POST|PUT|DELETE)\b|(/(?:v1|metrics)\b(?:[a-z/|-]|\{[a-z]+\})*)")


def section(name):
    return re.split(r"^## ", PAGE[PAGE.index(f"## {name}") + 3:], flags=re.M)[0]


def without_calls(text, names):
    """A source without its comments, and without the arguments of these functions."""
    text, kept, end = re.sub(r"/\*.*?\*/", "", text, flags=re.S), [], 0
    for found in re.finditer(rf"\b(?:{names})\(", text):
        if found.start() < end:
            continue
        kept.append(text[end:found.start()])
        depth, quoted = 1, False
        for end in range(found.end(), len(text)):
            if text[end] == '"' and text[end - 1] != "\\":
                quoted = not quoted
            depth += 0 if quoted else (text[end] == "(") - (text[end] == ")")
            if depth == 0:
                break
    return "".join(kept) + text[end:]


def kinds_in_code():
    """What is written as a kind of leaf, by its file: in a source that begins leaves, or has a table of them, each word with a dot
    that is neither a line of the log nor a place where a test may stop the program, nor is compared with."""
    found = {}
    for path in sorted(path for part in ("base", "broker", "connectors", "hsm") for path in (ROOT / part).rglob("*.c")):
        text = path.read_text()
        if re.search(r"\b(cb_leaf_begin|cb_act_leaf)\(|_act_row \w+\[\]", text):
            for kind in re.findall(r'"([a-z]+\.[a-z_]+)"', without_calls(text, r"cb_log\w*|cb_probe|strcmp")):
                found.setdefault(kind, path.relative_to(ROOT).as_posix())
    return found


def routes_in(text):
    """(method, path) of each that a listing names."""
    method = None
    for word, paths in METHOD.findall(text):
        method = word or method
        if paths:
            first, *others = paths.split("|")
            yield method, first
            yield from ((method, first.rpartition("/")[0] + "/" + other) for other in others)


def routes_described():
    """{(method, path): roles}, of the description."""
    api, found = (ROOT / "schema" / "openapi.yaml").read_text(), {}
    for path, body in re.findall(r"^  (/\S+):\n((?:    .*\n|\n)+)", api[api.index("\npaths:"):api.index("\ncomponents:")], re.M):
        for method, operation in re.findall(r"^    (get|post|put|delete):\n((?:      .*\n|\n)+)", body, re.M):
            found[method.upper(), path] = re.search(r"x-roles: \[(.*?)\]", operation)[1].split(", ")
    return found


class Evidence(unittest.TestCase):
    def test_each_kind_of_leaf_is_in_the_table_once_and_no_other(self):
        cells = re.findall(r"^\| (`.*?) \|", section("Evidence"), re.M)
        written = [kind for cell in cells for kind in re.findall(r"`(.*?)`", cell)]
        code = kinds_in_code()
        self.assertGreater(len(code), 70)
        self.assertEqual(sorted(written), sorted(code), {kind: code[kind] for kind in set(code) - set(written)})

    def test_what_audits_and_starts_look_for_is_a_kind_that_is_written(self):
        code = kinds_in_code()
        for name in ("vouch.c", "leaf_feed.c"):
            for kind in re.findall(r'^    \{"([a-z]+\.[a-z_]+)"', (ROOT / "broker/evidence" / name).read_text(), re.M):
                self.assertIn(kind, code, name)


class Routes(unittest.TestCase):
    def test_each_route_of_terminals_is_listed_and_no_other(self):
        written = list(routes_in(section("REST, for terminals").split("```")[1]))
        described = {route for route, roles in routes_described().items() if roles != ["administrator"]}
        self.assertEqual(sorted(written), sorted(described - {("GET", "/v1/live"), ("GET", "/v1/ready")}))

    def test_each_route_of_administrators_that_is_shown_exists(self):
        written = set(routes_in(section("REST, for administrators").split("```")[1]))
        self.assertGreater(len(written), 40)
        self.assertLessEqual(written, set(routes_described()))


if __name__ == "__main__":
    unittest.main()

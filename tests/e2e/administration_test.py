# SPDX-License-Identifier: GPL-3.0-or-later
"""Administration: every command of cardbrokerctl, and every kind of nonsense at the REST interface."""

import http.client
import json
import os
import pwd
import re
import socket
import ssl
import subprocess
import time
import unittest
from pathlib import Path

from world import PATIENCE, Card, Terminal, main, world

w = None
UNKNOWN = "01890000-0000-7000-8000-000000000000"
CODE = re.compile(r"^[a-z]+\.[a-z_]+$")


def setUpModule():
    global w
    w = world()
    w.add_holder("Hanako")
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


class Commands(unittest.TestCase):
    """Each command once for people and once with --json; the steps stand in the order of their names."""

    used = {}

    def ctl(self, *words, as_json=False, ok=(0,), typed=b""):
        argv = [str(w.program("cardbrokerctl")), "--config", str(w.etc / "cardbrokerctl.conf"), *map(str, words)]
        done = subprocess.run(argv + (["--json"] if as_json else []), env=w.env, input=typed,
                              capture_output=True, timeout=120 * PATIENCE)
        self.assertIn(done.returncode, ok, (words, done.stderr, done.stdout))
        for name in (words[0], " ".join(words[:2])):
            self.used.setdefault(name, set()).add(as_json)
        text = done.stdout.decode()
        if not as_json:
            self.assertNotIn("\x1b", text, "control characters")
        return json.loads(text) if as_json and text.strip() else text

    def both(self, *words):
        """A command that changes nothing, in both forms."""
        text = self.ctl(*words)
        self.assertTrue(text.strip())
        return self.ctl(*words, as_json=True)

    def test_1_holders(self):
        self.ctl("holder", "add", "--name", "Person one")
        one = self.ctl("holder", "add", "--name", "Person two", as_json=True)["id"]
        self.assertEqual(self.both("holder", "show", one)["name"], "Person two")
        self.assertIn("Person one", [h["name"] for h in self.both("holder", "list")])
        self.assertIn("registration code: ", self.ctl("holder", "code", one, "--profile", "piv"))
        code = self.ctl("holder", "code", one, "--profile", "jpki", "--valid", "1h", as_json=True)["code"]
        self.assertEqual({row["hsmd"] for row in self.both("holder", "codes", one)}, {"open"})
        for as_json, which in ((True, code), (False, next(row["code"] for row in self.both("holder", "codes") if row["code"] != code))):
            self.ctl("holder", "withdraw", which, as_json=as_json)
        self.assertEqual({row["state"] for row in self.both("holder", "codes")}, {"withdrawn"})

    def test_2_services(self):
        config = w.folder / "any.json"
        config.write_text(json.dumps({"url": f"https://localhost:{w.nginx_port}/whoami",
                                      "ca_file": f"{w.folder}/nginx/server-ca.pem"}))
        for as_json, name in ((False, "for-people"), (True, "for-programs")):
            self.ctl("service", "add", "--name", name, "--title", name, "--connector", "mtls", "--level", "possession",
                     "--kind", "relayed", "--needs-certificate", "yes", "--config", config, as_json=as_json)
            self.ctl("service", "update", name, "--title", f"Now {name}", as_json=as_json)
            self.assertEqual(self.both("service", "show", name)["title"], f"Now {name}")
        self.assertLessEqual({"for-people", "for-programs"}, {s["name"] for s in self.both("service", "list")})

    def test_3_cards(self):
        for number, as_json in enumerate((False, True)):
            certificate = w.make_card(f"card{number}")
            self.ctl("card", "issue", "--holder", "Person one", "--certificate", certificate, as_json=as_json)
            card = [c for c in self.both("card", "list", "--holder", "Person one") if c["state"] == "issued"][-1]["id"]
            for act, state in (("activate", "active"), ("suspend", "suspended"), ("resume", "active")):
                self.ctl("card", act, card, as_json=as_json)
                self.assertEqual(self.both("card", "show", card)["state"], state)
            self.ctl("card", "unblock", card, "--terminal", "terminal", "--reason", "forgotten", as_json=as_json)
            self.ctl("card", "suspension-code", card, as_json=as_json)
            self.ctl("card", "recall", card, "--by", "2999-12-31", as_json=as_json)
            self.ctl("card", "replace", card, "--certificate", w.make_card(f"next{number}"), "--reason", "damaged",
                     as_json=as_json)
            self.assertEqual(self.ctl("card", "show", card, as_json=True)["state"], "revoked")
            for act, state in (("return", "returned"), ("destroy", "destroyed")):
                self.ctl("card", act, card, as_json=as_json)
                self.assertEqual(self.both("card", "show", card)["state"], state)
            left = [c["id"] for c in self.ctl("card", "list", "--holder", "Person one", as_json=True) if c["state"] == "active"]
            for one in left:
                self.ctl("card", "revoke", one, "--reason", "lost", as_json=as_json)

    def test_3_cards_of_others_are_not_taken_where_nobody_is_trusted_for_them(self):
        """What is done with them: foreign_cards_test.py."""
        reading = w.folder / "card.json"
        reading.write_text(json.dumps({"profile": "piv", "answers": ["9000", "53123410" + "11" * 16 + "9000"],
                                       "certificates": [{"use": 0x9A, "der": "3000"}]}))
        before = self.both("card", "list")
        for as_json in (False, True):
            self.ctl("card", "register", "--holder", "Person one", "--card", reading, as_json=as_json, ok=(1,))
            self.ctl("card", "renew", before[0]["id"], "--card", reading, as_json=as_json, ok=(1,))
            many = w.folder / f"others{as_json}.csv"
            many.write_text(f"{reading},,,Person one\n")
            self.ctl("card", "register-many", many, as_json=as_json, ok=(1,))
            self.assertIn("\n1,", many.with_name(f"{many.name}.rejected").read_text())
        self.assertEqual(self.both("card", "list"), before)

    def test_3_many_cards(self):
        for number, as_json in enumerate((False, True)):
            many = w.folder / f"many{number}.csv"
            many.write_text(f"{w.make_card(f'many{number}').read_bytes().hex()},,,Somebody, new\nnonsense,,,Somebody\n")
            # A report that cannot be written settles nothing.
            for _ in range(2):
                self.ctl("card", "issue-many", many, "--report", "/dev/full", as_json=as_json, ok=(1,))
            self.assertFalse(many.with_name(f"{many.name}.progress").exists())
            self.ctl("card", "issue-many", many, as_json=as_json, ok=(1,))
            self.assertIn("\n2,", many.with_name(f"{many.name}.rejected").read_text())

    def test_3_passwords(self):
        for name, as_json in (("for-people", False), ("for-programs", True)):
            self.ctl("password", "set", name, "--holder", "Person two", "--password-fd", "0", as_json=as_json,
                     typed=b"correct horse battery")
            self.assertEqual(self.both("password", "show", name)["state"], "active")
            self.ctl("password", "reset", name, "--password-fd", "0", as_json=as_json, typed=b"staples and much more")
            self.ctl("password", "reset", name, "--once", "--valid", "1h", as_json=as_json)
            self.ctl("password", "unlock", name, as_json=as_json)
            self.ctl("password", "revoke", name, "--reason", "left", as_json=as_json)
            self.assertEqual(self.both("password", "show", name)["state"], "revoked")

    def test_3_stock_and_applications(self):
        self.ctl("holder", "add", "--name", "Applicant")
        for number, as_json in enumerate((False, True)):
            serials = w.folder / f"serials{number}.csv"
            serials.write_text("".join(f"N{number}-{i}\n" for i in range(3)))
            self.ctl("stock", "enter", serials, "--manufacturer", "acme", "--batch", f"B{number}", as_json=as_json)
            for act in ("send", "receive", "revoke", "destroy"):
                self.ctl("stock", act, serials, "--manufacturer", "acme", "--delivery", f"D{number}", as_json=as_json)
            self.ctl("application", "add", "--holder", "Applicant", "--reason", "first", as_json=as_json)
            mine = [a["id"] for a in self.both("application", "list", "--state", "entered")][-1]
            self.ctl("application", "approve", mine, as_json=as_json, ok=(1,))     # one's own
            self.ctl("application", "refuse", mine, as_json=as_json)
            self.assertEqual(self.both("application", "show", mine)["state"], "refused")
            many = w.folder / f"applications{number}.csv"
            many.write_text(f"form {number},first,,Applicant of {number}\n")
            self.ctl("application", "add-many", many, as_json=as_json)
            self.ctl("application", "approve-many", f"{many}.entered", as_json=as_json, ok=(1,))   # one's own
        self.assertEqual({row["state"] for row in self.both("stock", "list", "--manufacturer", "acme")}, {"destroyed"})
        serials.write_text("strange\n")
        self.ctl("stock", "receive", serials, "--manufacturer", "acme", "--delivery", "D9")
        mismatch, = self.both("stock", "mismatches")
        self.assertEqual([mismatch[name] for name in ("what", "manufacturer", "serial", "delivery", "card", "application")],
                         ["unknown", "acme", "strange", "D9", None, None])
        self.assertEqual(mismatch["actor"], self.both("report", "issued")[0]["operator"])
        self.assertEqual(self.both("report", "mismatches"), [mismatch])
        columns = [cell.strip('"') for cell in self.ctl("report", "mismatches", "--csv").split("\r\n")[1].split(",")]
        self.assertEqual(columns[:4], ["unknown", "acme", "strange", "D9"])

    def test_3_reports(self):
        today = time.strftime("%Y-%m-%d", time.gmtime())
        counts = self.both("report", "issued", "--from", today, "--to", today)
        self.assertGreater(sum(row["cards"] for row in counts), 3)
        self.assertEqual({row["operator"] for row in counts}, {pwd.getpwuid(os.geteuid()).pw_name})
        self.assertEqual(self.ctl("report", "issued", "--to", "2020-01-01", as_json=True), [])
        self.assertEqual(len(self.both("report", "issues", "--without-application")), sum(row["cards"] for row in counts))
        self.assertNotIn("returned", {card["state"] for card in self.both("report", "outstanding")})
        self.assertEqual({card["state"] for card in self.both("report", "outstanding", "--state", "revoked")}, {"revoked"})
        self.assertEqual(self.both("report", "failures", "--least", "1000000"), [])
        lost = sum(row["cards"] for row in self.both("report", "generations"))
        for as_json in (False, True):   # by hsmd, which has no newer one, before anything is recorded
            self.ctl("generation", "retire", "126", "--lose", str(lost + 1), "--reason", "test", as_json=as_json, ok=(1,))
            self.ctl("generation", "retire", "126", "--lose", str(lost), "--reason", "test", as_json=as_json, ok=(1,))
        rows = self.ctl("report", "issued", "--csv").split("\r\n")
        self.assertEqual(rows[0], '"day","operator","station","cards"')
        page = w.admin("GET", "/v1/reports/issued?limit=1").json
        self.assertEqual(page["issued"], self.ctl("report", "issued", as_json=True)[:1])
        self.assertEqual(page["next"], page["issued"][0]["first"])
        rest = w.admin("GET", f"/v1/reports/issued?after={page['next']}").json["issued"]
        self.assertEqual(page["issued"] + rest, self.ctl("report", "issued", as_json=True))
        self.assertEqual(w.admin("GET", "/v1/reports/issued?after=00000000-0000-7000-8000-000000000001").code, "resource.unknown")
        self.assertTrue(rows[1].startswith(f'"{today}",'), rows)

    def test_4_terminals(self):
        for as_json, name in ((False, "gate-one"), (True, "gate-two")):
            w.write_terminal_configuration(name)
            w.cardlink("enrol", "--name", name, terminal=name)
            self.ctl("terminal", "enrol", "--name", name, "--certificate", w.etc / f"{name}.pem", as_json=as_json)
            self.assertEqual(self.both("terminal", "show", name)["state"], "active")
            self.assertIn(name, [t["name"] for t in self.both("terminal", "list")])
            self.both("terminal", "log", name)
            self.both("terminal", "log", name, "--record")
            self.ctl("terminal", "log-resume", name, as_json=as_json)
            self.ctl("terminal", "set", name, "--kind", "personal", "--pin-pad", "yes", "--reason", "moved", as_json=as_json)
            shown = self.both("terminal", "show", name)
            self.assertEqual((shown["kind"], shown["pin_pad"]), ("personal", True))
            self.ctl("terminal", "set", name, "--kind", "unstated", as_json=as_json)
            shown = self.both("terminal", "show", name)
            self.assertEqual((shown["kind"], shown["pin_pad"]), (None, True))
            # Nothing of it was taken back; terminal_code_test.c has what is.
            self.ctl("terminal", "confirm", name, "--key", shown["key"], "--rate", "60", "--all-services", "--reason", "crash", as_json=as_json, ok=(1,))
            for act, state in (("deactivate", "deactivated"), ("activate", "active")):
                self.ctl("terminal", act, name, as_json=as_json)
                self.assertEqual(self.both("terminal", "show", name)["state"], state)
            self.ctl("terminal", "revoke", name, "--reason", "stolen", as_json=as_json)
            self.ctl("terminal", "register", "--name", f"{name}-new", as_json=as_json)
            self.assertEqual(self.both("terminal", "show", f"{name}-new")["state"], "registered")
            self.ctl("terminal", "code", f"{name}-new", as_json=as_json)
            self.ctl("terminal", "dispose", f"{name}-new", as_json=as_json)

    def test_4_maintainers(self):
        for as_json, where in ((False, ()), (True, ("--terminal", "terminal"))):
            self.ctl("maintainer", "add", "--holder", "Person one", *where, as_json=as_json)
            rows = self.both("maintainer", "list")
            self.assertEqual([row["terminal"] is None for row in rows], [not where])
            self.ctl("maintainer", "remove", rows[0]["id"], as_json=as_json)
            self.assertEqual(self.ctl("maintainer", "list", as_json=True), [])

    def test_4_software(self):
        for number, as_json in enumerate((False, True)):
            said = self.ctl("software", "add", "--version", f"0.{number}", "--program", f"{number + 1}" * 64, "--configuration", "a" * 64,
                            "--note", "as built", "--from", "2026-01-01", "--until", "2091-12-31", as_json=as_json)
            self.assertTrue(said)
            entry = next(e for e in self.both("software", "list") if e["version"] == f"0.{number}")
            self.assertTrue(entry["from"].startswith("2026-01-01T00:00:00") and entry["until"].startswith("2092-01-01T00:00:00"), entry)
            self.assertIn("terminal", [t["name"] for t in self.both("software", "report")])
            self.ctl("software", "remove", entry["id"], as_json=as_json)
            self.assertNotIn(entry["id"], [e["id"] for e in self.ctl("software", "list", as_json=True)])

    def test_5_enrolments(self):
        for as_json, service in ((False, "for-people"), (True, "for-programs")):
            request = w.folder / f"{service}.csr"
            self.ctl("enrolment", "add", "--holder", "Person two", "--service", service, "--algorithm", "ec-p256", "--csr",
                     request, "--subject", "CN=Person two", as_json=as_json)
            one = self.both("enrolment", "list", "--service", service)[0]["id"]
            self.ctl("enrolment", "certify", one, "--certificate",
                     w.sign_with_nginx_authority(request, w.folder / f"{service}-1"), as_json=as_json)
            self.assertEqual(self.both("enrolment", "show", one)["state"], "active")
            self.ctl("enrolment", "renew", one, "--algorithm", "ec-p384", "--csr", request, "--subject", "CN=Person two",
                     as_json=as_json)
            self.ctl("enrolment", "certify", one, "--certificate",
                     w.sign_with_nginx_authority(request, w.folder / f"{service}-2"), as_json=as_json)
            self.assertEqual(self.ctl("enrolment", "show", one, as_json=True)["key"]["algorithm"], "ec-p384")
            self.ctl("enrolment", "remove", one, as_json=as_json)

    def test_6_keys_and_status(self):
        for name in ("card-agreement", "card-signature", "log", "import"):
            self.both("key", "show", name)
        before = self.both("status")["hsm"]["generation"]
        self.ctl("key", "new-generation")
        self.ctl("key", "new-generation", as_json=True)
        self.assertEqual(self.ctl("status", as_json=True)["hsm"]["generation"], before + 2)
        self.both("key", "rewrap-all")
        self.assertEqual(w.tap().get("outcome"), "accepted", "a key that was sealed anew")

    def test_7_the_record(self):
        self.assertGreater(len(self.both("audit", "list", "--count", "1000")), 30)
        self.assertEqual(len(self.both("audit", "list", "--last", "3")), 3)
        self.assertTrue(self.both("audit", "verify", "--log-key", w.pki / "log.pem")["verified"])

    def test_8_every_command_was_there_in_both_forms(self):
        text = subprocess.run([str(w.program("cardbrokerctl")), "--help"], capture_output=True, check=True).stdout.decode()
        commands = [match.group(1).strip() for match in re.finditer(r"^  ([a-z]+(?: [a-z-]+)?)  ", text, re.M)]
        self.assertGreater(len(commands), 30)
        for command in commands:
            self.assertEqual(self.used.get(command), {False, True}, command)

    def test_9_what_is_misused_changes_nothing(self):
        size = w.size()
        for words, ok in ((("holder",), (2,)), (("holder", "add"), (2,)), (("holder", "show", UNKNOWN), (1,)),
                          (("card", "revoke", "nonsense"), (1, 2)), (("card", "revoke", UNKNOWN), (1,)),
                          (("service", "show", "no-such"), (1,)), (("terminal", "revoke", "no-such"), (1,)),
                          (("enrolment", "remove", UNKNOWN), (1,)), (("no", "such"), (2,)), (("status", "--no-such"), (2,)),
                          (("holder", "add", "--name", "\x1b[31m" + "x" * 100000), (1, 2)),
                          (("card", "issue", "--holder", "Hanako", "--certificate", "/dev/zero"), (1, 2)),
                          (("key", "show", "holder-key"), (1, 2))):
            for as_json in (False, True):
                with self.subTest(words=[word[:30] for word in words], as_json=as_json):
                    self.ctl(*words, as_json=as_json, ok=ok)
        self.assertEqual(w.size(), size)

    def test_9_without_a_broker_it_says_so(self):
        done = subprocess.run([str(w.program("cardbrokerctl")), "--run", str(w.folder / "nowhere"), "status", "--json"],
                              capture_output=True, timeout=60 * PATIENCE)
        self.assertEqual(done.returncode, 69, done.stderr)


ADMIN_POSTS = ("/v1/holders", "/v1/cards", "/v1/terminals", "/v1/services", "/v1/software", "/v1/maintainers", "/v1/enrolments",
               f"/v1/cards/{UNKNOWN}/renew", f"/v1/cards/{UNKNOWN}/activate", f"/v1/cards/{UNKNOWN}/suspend", f"/v1/cards/{UNKNOWN}/resume",
               f"/v1/cards/{UNKNOWN}/revoke", f"/v1/cards/{UNKNOWN}/return", f"/v1/cards/{UNKNOWN}/replace", f"/v1/cards/{UNKNOWN}/recall", f"/v1/cards/{UNKNOWN}/unblock", f"/v1/cards/{UNKNOWN}/suspension-code",
               "/v1/registrations", f"/v1/registrations/{UNKNOWN}/withdraw", "/v1/batches", "/v1/stock", "/v1/applications", f"/v1/applications/{UNKNOWN}/approve", f"/v1/applications/{UNKNOWN}/refuse",
               f"/v1/cards/{UNKNOWN}/destroy", f"/v1/terminals/{UNKNOWN}/revoke", f"/v1/terminals/{UNKNOWN}/describe", f"/v1/terminals/{UNKNOWN}/confirm", f"/v1/enrolments/{UNKNOWN}/certificate",
               f"/v1/enrolments/{UNKNOWN}/renew")
TERMINAL_POSTS = ("/v1/taps", f"/v1/taps/{UNKNOWN}/challenge", f"/v1/taps/{UNKNOWN}/registration", f"/v1/taps/{UNKNOWN}/proof")
NONSENSE = {
    "an unknown field": b'{"no_such_field": 1}',
    "a list": b"[]",
    "a text": b'"text"',
    "nothing closed": b'{"name": "x"',
    "not JSON": b"name=x&b=c",
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "a NUL in it": b'{"name": "a\x00b"}',
    "an escaped NUL": b'{"name": "a\\u0000b", "\\u0000": 1}',
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "a name twice": b'{"name": "a", "name": "b"}',
    "nested 10,000 deep": b'{"name": ' + b"[" * 10000 + b"]" * 10000 + b"}",
    "objects nested 10,000 deep": b'{"a":' * 10000 + b"1" + b"}" * 10000,
    "numbers for everything": json.dumps({n: 1e308 for n in ("name", "binding", "certificate", "holder", "service", "sealed",
                                                            "answers", "profile", "reason")}).encode(),
    "objects for everything": json.dumps({n: {} for n in ("name", "binding", "certificate", "answers", "reason")}).encode(),
    "a number that is none": b'{"rate": 1' + b"0" * 5000 + b"}",
    "something after the end": b"{} {}",
    "10 MB": b'{"name": "' + b"x" * 10_000_000 + b'"}',
}


class Nonsense(unittest.TestCase):
    """Whatever is sent, the answer has a stable code, the record does not grow and the broker lives."""

    def setUp(self):
        self.size, self.pid = w.size(), w.programs["cardbrokerd"].pid

    def tearDown(self):
        self.assertIsNone(w.programs["cardbrokerd"].poll(), "the broker ended")
        self.assertEqual(w.size(), self.size, "something was recorded")

    def refused(self, answer):
        self.assertTrue(400 <= answer.status < 500, answer)
        self.assertRegex(answer.code or "", CODE, answer)
        self.assertEqual(answer.headers.get("Content-Type"), "application/problem+json")
        self.assertIn("request", answer.json)
        return answer.code

    def try_all(self, ask, paths):
        for path in paths:
            for what, body in NONSENSE.items():
                with self.subTest(path=path, what=what):
                    try:
                        answer = ask("POST", path, body)
                    except (OSError, http.client.HTTPException):
                        self.assertEqual(what, "10 MB", "the connection ended without an answer")
                        continue
                    if path == "/v1/taps" and answer.status == 201:
                        self.fail(f"accepted: {what}")
                    self.refused(answer)

    def test_every_kind_of_nonsense_at_the_administration_socket(self):
        self.try_all(w.admin, ADMIN_POSTS)

    def test_every_kind_of_nonsense_at_the_terminals_interface(self):
        def ask(method, path, body):
            with Terminal(w) as terminal:
                return terminal.ask(method, path, body)
        self.try_all(ask, TERMINAL_POSTS)

    def test_nonsense_of_somebody_without_a_certificate(self):
        def ask(method, path, body):
            with Terminal(w, None) as nobody:
                return nobody.ask(method, path, body)
        for path in TERMINAL_POSTS + ADMIN_POSTS[:3]:
            for body in (b"{}", NONSENSE["nested 10,000 deep"]):
                answer = ask("POST", path, body)
                self.assertIn(answer.status, (400, 401, 403, 404, 413), answer)

    def test_what_terminals_may_not_ask_is_not_answered(self):
        with Terminal(w) as terminal:
            for method, path in [("POST", p) for p in ADMIN_POSTS] + [("GET", "/v1/holders"), ("GET", "/v1/status"),
                                                                      ("GET", "/metrics"), ("DELETE", f"/v1/enrolments/{UNKNOWN}")]:
                answer = terminal.ask(method, path, b"{}" if method == "POST" else None)
                self.assertIn(self.refused(answer), ("request.denied", "request.unauthenticated", "resource.unknown"), path)

    def test_unknown_and_malformed_names_of_things(self):
        for path in (f"/v1/cards/{UNKNOWN}", f"/v1/holders/{UNKNOWN}", f"/v1/terminals/{UNKNOWN}", f"/v1/enrolments/{UNKNOWN}",
                     "/v1/services/no-such", "/v1/no-such", "/", "/v2/status", "/v1/cards/..%2f..%2fetc", "/v1/cards/%00",
                     "/v1//cards", "/v1/cards/" + "a" * 5000, "/v1/cards/'%20OR%201=1--", "/v1/services/%ff",
                     "/v1/cards?holder=nonsense", "/v1/cards?limit=-1", "/v1/cards?limit=99999999999999999999",
                     "/v1/cards?after=zzz", "/v1/cards?no_such=1", "/v1/audit/leaves?from=-1", "/v1/audit/leaves?count=x"):
            with self.subTest(path=path[:60]):
                self.refused(w.admin("GET", path))

    def test_methods_that_do_not_exist(self):
        for method in ("PATCH", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X" * 200):
            with self.subTest(method=method[:10]):
                answer = w.admin(method, "/v1/holders")
                self.assertTrue(400 <= answer.status < 600 and answer.status != 500, answer)

    def test_a_tap_survives_questions_that_are_wrong(self):
        with Terminal(w) as terminal:
            begun = terminal.begin().json
            with Card(w.reader) as card:
                answers = card.play(begun["script"])
            path = f"/v1/taps/{begun['tap']}/challenge"
            for body in ({"answers": answers}, {"answers": answers, "service": 7}, {"answers": "9000", "service": "nginx"},
                         {"answers": [answers], "service": "nginx"}, {"answers": ["90zz"], "service": "nginx"},
                         {"answers": ["9000"] * 100000, "service": "nginx"}, {"answers": answers, "service": "x" * 5000},
                         {"answers": answers, "service": "nginx", "pin": "ff" * 5000},
                         {"answers": answers, "service": "nginx", "text": "x" * 50000},
                         {"answers": answers, "service": "nginx", "purpose": "rule the world"},
                         {"answers": answers, "service": "nginx", "holder": UNKNOWN}):
                self.refused(terminal.ask("POST", path, body))
            asked = terminal.challenge(begun["tap"], answers)
            self.assertEqual(asked.status, 200, asked)


class Lines(unittest.TestCase):
    """Bytes that no client sends by accident, over TLS and over the socket."""

    def setUp(self):
        self.size = w.size()

    def tearDown(self):
        self.assertIsNone(w.programs["cardbrokerd"].poll(), "the broker ended")
        self.assertEqual(w.size(), self.size, "something was recorded")
        self.assertEqual(w.admin("GET", "/v1/live").status, 200)

    def lines(self):
        context = ssl.create_default_context(cafile=str(w.pki / "tls" / "ca.pem"))
        context.load_cert_chain(str(w.etc / "terminal.pem"), str(w.etc / "terminal.key"))
        yield context.wrap_socket(socket.create_connection(("127.0.0.1", w.port), timeout=30), server_hostname="localhost")
        local = socket.socket(socket.AF_UNIX)
        local.settimeout(30)
        local.connect(str(w.run_folder / "admin.sock"))
        yield local

    def send_without_end(self, first, again, most=64 << 20, seconds=25):
        """Sends until the other side has had enough; what it said."""
        for line in self.lines():
            with self.subTest(kind=type(line).__name__), line:
                sent, began, ended = 0, time.monotonic(), False
                try:
                    line.sendall(first)
                    while sent < most and time.monotonic() - began < seconds * PATIENCE:
                        line.sendall(again)
                        sent += len(again)
                except OSError:
                    ended = True
                self.assertTrue(ended, f"it took {sent} bytes and wanted more")

    def test_headers_without_end_are_cut_off(self):
        self.send_without_end(b"GET /v1/services HTTP/1.1\r\nHost: localhost\r\n", b"X-Header: " + b"a" * 1000 + b"\r\n")

    def test_one_header_without_end_is_cut_off(self):
        self.send_without_end(b"GET /v1/services HTTP/1.1\r\nHost: localhost\r\nX: ", b"a" * 4096)

    def test_a_path_without_end_is_cut_off(self):
        self.send_without_end(b"GET /v1/", b"a" * 4096)

    def test_chunks_without_end_are_cut_off(self):
        chunk = b"400\r\n" + b"a" * 0x400 + b"\r\n"
        self.send_without_end(b"POST /v1/taps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                              b"Transfer-Encoding: chunked\r\n\r\n", chunk)

    def test_requests_that_two_readers_would_read_differently_are_refused(self):
        body = b'POST /v1/holders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"name":"x"}'
        for headers in (b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(body),
                        b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: -1\r\n", b"Content-Length: 0x10\r\n",
                        b"Transfer-Encoding: chunked, identity\r\n", b"Transfer-Encoding : chunked\r\n",
                        b"Content-Length: 99999999999999999999999\r\n",
                        b"X Header: y\r\n", b"Host: other\r\n"):
            for line in self.lines():
                with self.subTest(headers=headers, kind=type(line).__name__), line:
                    line.settimeout(PATIENCE)
                    answer = b""
                    try:
                        line.sendall(b"POST /v1/taps HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n0\r\n\r\n" + body)
                        while part := line.recv(65536):
                            answer += part
                    except OSError:
                        pass
                    self.assertNotRegex(answer, rb"HTTP/1\.1 20[01]", answer[:500])

    def test_bytes_that_are_no_http_are_refused(self):
        for data in (b"\x00" * 5000, os.urandom(20000), b"\r\n" * 10000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /v1/live HTTP/1.1\r\nno colon\r\n\r\n",
                     b"GET /v1/live HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n"):
            for line in self.lines():
                with self.subTest(data=data[:20], kind=type(line).__name__), line:
                    line.settimeout(PATIENCE)
                    try:
                        line.sendall(data)
                        answer = line.recv(65536)
                    except OSError:
                        answer = b""    # empty lines are waited through, the rest is closed without a word
                    self.assertNotRegex(answer, rb"^HTTP/1.1 [125]0[01]")


if __name__ == "__main__":
    main()

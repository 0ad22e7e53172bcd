#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cardbrokerctl: the program, the registry, cards.

usage: ctl_test.py CTL [NAME...]
"""
import hashlib
import json
import os
import re
import subprocess
import tempfile
import unittest
import uuid

from ctl_support import CARD, CTL, CVC, ERRORS, HOLDER, HSM_DOWN_TEXT, NEW, OTHER, TERMINAL, Case, card, openssl, problem

FASC_N, GUID = bytes(range(25)), bytes(range(100, 116))
# What cardlink read prints of a PIV card that says who it is.
PIV = {"profile": "piv", "answers": ["9000", (b"\x53\x2D\x30\x19" + FASC_N + b"\x34\x10" + GUID + b"\x90\x00").hex()],
       "certificates": [{"use": 0x9E, "der": "30020500"}]}


class Program(Case):
    def test_help_and_version_need_nothing(self):
        for words in (["--help"], ["card", "--help"], ["card", "issue", "--help"], ["status", "--help"], ["--version"]):
            result = subprocess.run([CTL, *words], text=True, capture_output=True, check=False, timeout=20)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("cardbrokerctl", result.stdout)

    def test_every_command_has_help(self):
        listing = subprocess.run([CTL, "--help"], text=True, capture_output=True, check=True, timeout=20).stdout
        commands = [line[2:27].split() for line in listing.splitlines() if line.startswith("  ") and not line.startswith("  card" + "broker")]
        self.assertGreater(len(commands), 25)
        for words in commands:
            self.assertIn("usage: cardbrokerctl " + " ".join(words), self.ok(*words, "--help"))

    def test_wrong_usage_is_2_and_asks_nobody(self):
        for words in ([], ["nonsense"], ["card"], ["card", "lst"], ["holder", "add"], ["holder", "add", "--nam", "x"],
                      ["card", "show", "not-an-id"], ["card", "show"], ["card", "show", CARD, CARD], ["service", "show", "UPPER"],
                      ["card", "list", "--json", "--json"], ["audit", "list", "--from", "-1"], ["key", "show", "nothing"]):
            with self.subTest(words):
                self.assertEqual(self.run_ctl(*words).returncode, 2)
        self.assertEqual(self.fake.seen, [])

    def test_configuration(self):
        good = self.write("ctl.conf", f'run = "{self.folder}"\n')
        for words in (["--config", good, "holder", "list"], ["holder", "list", "--config", good], [f"--config={good}", "--json", "holder", "list"]):
            result = subprocess.run([CTL, *map(str, words)], text=True, capture_output=True, check=False, timeout=20)
            self.assertEqual(result.returncode, 0, result.stderr)
        bad = self.write("bad.conf", 'rum = "x"\n')
        for path in (bad, self.folder / "missing.conf"):
            result = subprocess.run([CTL, "--config", str(path), "status"], text=True, capture_output=True, check=False, timeout=20)
            self.assertEqual(result.returncode, 78)
            self.assertIn("error [internal.config]", result.stderr)

    def test_an_absent_broker_is_69(self):
        with tempfile.TemporaryDirectory() as empty:
            result = subprocess.run([CTL, "holder", "list", "--run", empty], text=True, capture_output=True, check=False, timeout=20)
        self.assertEqual(result.returncode, 69)
        self.assertIn("error [broker.unreachable]", result.stderr)
        self.assertIn("admin.sock", result.stderr)

    def test_a_run_folder_too_long_for_a_socket_is_78(self):
        result = subprocess.run([CTL, "holder", "list", "--run", "/" + "x" * 200], text=True, capture_output=True, check=False, timeout=20)
        self.assertEqual(result.returncode, 78)

    def test_a_problem_is_told_with_its_details(self):
        self.fake.on("POST", "/v1/holders", 409, problem("resource.exists", "It exists\u202e already.", 409, tries_left=2))
        result = self.fails(1, "error [resource.exists]: It exists\\u{202e} already.", "holder", "add", "--name", "x")
        self.assertIn("  tries_left: 2\n", result.stderr)
        self.assertIn("  request: r-1\n", result.stderr)
        self.assertEqual(result.stdout, "")

    def test_nonsense_from_the_socket_is_refused(self):
        for reply in (b"<html>", b"[]", b'"x"', b'{"a":1,"a":2}', b"{", b"\x00\xff"):
            with self.subTest(reply):
                self.fake.on("GET", "/v1/holders", 200, reply)
                self.fails(1, "error [internal.protocol]", "holder", "list")
        self.fake.on("GET", "/v1/holders", 200, {"holders": {}})
        self.fails(1, "error [internal.protocol]", "holder", "list")
        self.fake.on("GET", "/v1/holders", 500, b"")
        self.fails(1, "error [http.500]", "holder", "list")

    def test_an_answer_without_end_is_cut(self):
        self.fake.on("GET", "/v1/holders", 200, b" " * (17 * 1024 * 1024))
        self.fails(1, "error [request.too_large]", "holder", "list")

    def test_a_list_that_points_at_itself_ends(self):
        page = {"holders": [], "next": HOLDER}
        self.fake.on("GET", "/v1/holders", 200, page)
        self.fake.on("GET", f"/v1/holders?limit=500&after={HOLDER}", 200, page)
        self.fails(1, "does not go on", "holder", "list")

    def test_a_proxy_in_the_environment_is_not_used(self):
        self.ok("holder", "list", env={**os.environ, "http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"})

    def test_status(self):
        self.fake.on("GET", "/v1/status", 200, {"ready": True, "state": "ok", "store": {"leaves": 9}})
        text = self.ok("status")
        self.assertIn("leaves", text)
        self.assertIn("generation", text)
        both = self.as_json("status")
        self.assertEqual((both["broker"]["store"]["leaves"], both["hsm"]["workers"]), (9, 2))
        self.hsm_fails("status", 999)
        self.assertEqual(self.run_ctl("status").returncode, 1)

    def test_status_warns_of_what_is_not_demanded_of_cards(self):
        for applications, stock, warned in (("optional", "optional", {"application", "list"}), ("optional", "native", {"application"}),
                                            ("required", "optional", {"list"}), ("required", "required", set())):
            with self.subTest(applications=applications, stock=stock):
                self.fake.on("GET", "/v1/status", 200, {"ready": True, "card_rules": {"applications": applications, "stock": stock}})
                result = self.run_ctl("status")
                self.assertEqual(result.returncode, 0)
                lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
                self.assertIn(f"applications {applications}", lines)
                self.assertIn(f"stock {stock}", lines)
                self.assertEqual({word for word in ("application", "list") if re.search(f"warning: cards may be issued [^.\n]* {word}", result.stderr)}, warned)
                self.assertEqual(self.as_json("status")["broker"]["card_rules"], {"applications": applications, "stock": stock})

    def test_status_shows_each_list_of_an_issuer(self):
        one = {"issuer": "agency", "url": "http://a/1", "known": True, "fresh": True, "until": "2031-01-01T00:00:00Z", "entries": 7, "state": "ok"}
        other = {**one, "url": "http://a/2\u001b[2J", "known": False, "fresh": False, "until": None, "state": "service.unavailable"}
        for lists in ([one, other], [one], []):
            self.fake.on("GET", "/v1/status", 200, {"ready": True, "issuer_lists": lists, "taps": 3})
            lines = [" ".join(line.split()) for line in self.ok("status").splitlines()]
            self.assertEqual([line for line in lines if line.startswith("url ")],
                             [("url " + item["url"]).replace("\u001b", "\\x1b") for item in lists])
            self.assertEqual(lines.count("fresh yes"), min(len(lists), 1))
            self.assertIn("taps 3", lines)
            self.assertEqual(self.as_json("status")["broker"]["issuer_lists"], lists)


class Registry(Case):
    def test_holders(self):
        self.fake.on("POST", "/v1/holders", 201, {"id": HOLDER, "name": "x", "created": "t"})
        self.assertEqual(self.ok("holder", "add", "--name", "Tanaka, Hanako"), f"holder {HOLDER} added\n")
        self.assertEqual(self.fake.asked("POST", "/v1/holders"), [{"name": "Tanaka, Hanako"}])
        self.assertIn("Tanaka, Hanako", self.ok("holder", "show", HOLDER))
        self.assertEqual(self.as_json("holder", "show", "Tanaka, Hanako")["id"], HOLDER)
        self.assertEqual(len(self.as_json("holder", "list")), 3)
        lines = self.ok("holder", "list").splitlines()
        self.assertEqual(lines[0].split(), ["HOLDER", "NAME", "SINCE"])
        self.assertEqual(len(lines), 4)

    def test_names_must_be_unique_and_exact(self):
        result = self.fails(1, "More than one holder", "holder", "show", "Sato")
        self.assertIn(HOLDER, result.stderr)
        self.assertIn(OTHER, result.stderr)
        self.fails(1, 'No holder is called "Tanaka"', "holder", "show", "Tanaka")

    def test_lists_are_read_to_their_end(self):
        more = {"id": OTHER, "name": "Last", "created": ""}
        self.fake.on("GET", "/v1/holders", 200, {"holders": [{"id": HOLDER, "name": "First", "created": ""}], "next": HOLDER})
        self.fake.on("GET", f"/v1/holders?limit=500&after={HOLDER}", 200, {"holders": [more]})
        self.assertEqual([row["name"] for row in self.as_json("holder", "list")], ["First", "Last"])

    def test_terminals(self):
        key, certificate = self.folder / "t.key", self.folder / "t.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=t", "-keyout", key, "-out", certificate)
        both = self.write("both.pem", "a remark\n" + key.read_text() + certificate.read_text())
        self.fake.on("POST", "/v1/terminals", 201, {"id": TERMINAL})
        self.fake.on("GET", "/v1/terminals", 200, {"terminals": [
            {"id": OTHER, "name": "desk", "state": "revoked", "key": "00", "services": [], "rate": 0, "created": "", "changed": ""},
            {"id": TERMINAL, "name": "desk", "state": "active", "key": "00", "services": None, "rate": 6, "created": "", "changed": ""}]})
        self.fake.on("POST", f"/v1/terminals/{TERMINAL}/revoke", 200, {"id": TERMINAL})
        self.assertEqual(self.ok("terminal", "enrol", "--name", "desk", "--certificate", both, "--service", "tax", "--service", "health", "--rate", "6"),
                         f"terminal {TERMINAL} enrolled\n")
        sent, = self.fake.asked("POST", "/v1/terminals")
        self.assertEqual((sent["name"], sent["services"], sent["rate"]), ("desk", ["tax", "health"], 6))
        self.assertNotIn("PRIVATE", sent["certificate"])
        self.assertEqual(openssl("x509", "-noout", "-pubkey", data=sent["certificate"].encode()),
                         openssl("x509", "-noout", "-pubkey", "-in", certificate))
        self.assertIn("all", self.ok("terminal", "list"))
        self.assertIsNone(self.as_json("terminal", "list")[1]["services"])
        self.ok("terminal", "revoke", "desk", "--reason", "stolen")
        self.assertEqual(self.fake.asked("POST", f"/v1/terminals/{TERMINAL}/revoke"), [{"reason": "stolen"}])
        result = self.run_ctl("terminal", "enrol", "--name", "desk", "--certificate", certificate)
        self.assertIn("every service", result.stderr)
        self.assertNotIn("services", self.fake.asked("POST", "/v1/terminals")[1])

    def test_files_that_are_no_certificates(self):
        for content in ("", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n!\n"):
            self.fails(1, "error [request.malformed]", "terminal", "enrol", "--name", "x", "--certificate", self.write("c.pem", content))
        self.fails(1, "No such file", "terminal", "enrol", "--name", "x", "--certificate", self.folder / "none")
        self.assertEqual(self.fake.seen, [])

    def test_services(self):
        config = self.write("tax.json", '{"url": "https://tax.example"}')
        self.fake.on("POST", "/v1/services", 201, {"name": "tax"})
        self.fake.on("PUT", "/v1/services/tax", 200, {"name": "tax"})
        self.ok("service", "add", "--name", "tax", "--title", "Tax", "--connector", "mtls", "--config", config, "--level", "pin",
                "--life", "15m", "--idle", "90s", "--kind", "relayed", "--needs-certificate", "yes")
        self.assertEqual(self.fake.asked("POST", "/v1/services"), [
            {"name": "tax", "title": "Tax", "connector": "mtls", "config": {"url": "https://tax.example"}, "level": 2,
             "certificate": True, "session": {"life": 900, "idle": 90, "kind": "relayed"}}])
        self.ok("service", "update", "tax", "--title", "Taxes", "--idle", "2m")
        self.assertEqual(self.fake.asked("PUT", "/v1/services/tax"), [
            {"title": "Taxes", "connector": "mtls", "config": {"url": "https://tax"}, "level": 2, "certificate": False,
             "session": {"life": 900, "idle": 120}}])
        for wrong in (["--level", "9"], ["--life", "1y"], ["--kind", "odd"], ["--needs-certificate", "maybe"]):
            self.assertEqual(self.run_ctl("service", "update", "tax", *wrong).returncode, 2)
        for content in ("[]", "{", '{"a":1,"a":2}'):
            self.fails(1, "error [request.malformed]", "service", "update", "tax", "--config", self.write("bad.json", content))
        self.assertIn("https://tax", self.ok("service", "show", "tax"))


class Passwords(Case):
    TYPED = "correct horse battery staple"

    def setUp(self):
        super().setUp()
        digest = bytearray(hashlib.sha256(b"cardbroker foreign card 1\0\x05hana@example.jp").digest()[:16])
        digest[6], digest[8] = 0x80 | digest[6] & 15, 0x80 | digest[8] & 63
        self.id = str(uuid.UUID(bytes=bytes(digest)))
        for act, state in (("activate", "active"), ("suspend", "suspended"), ("resume", "active"), ("revoke", "revoked"), ("renew", "active")):
            self.fake.on("POST", f"/v1/cards/{self.id}/{act}", 200, card(self.id, state))
        self.fake.on("GET", f"/v1/cards/{self.id}", 200, card(self.id))
        self.fake.on("GET", f"/v1/cards/{self.id}/binding", 200, {"holder": HOLDER, "binding": b"before".hex(), "certificates": ""})

    def free(self):
        """Nobody has that name yet."""
        self.fake.on("GET", f"/v1/cards/{self.id}", 404, problem("resource.unknown", "No such card.", 404))

    def typed(self, *words, typed=TYPED, text=None):
        """Reads the password from standard input; with a status and a text, it has to fail so."""
        file = self.write("typed", typed)
        with file.open() as stdin:
            if text is not None:
                return self.fails(text[0], text[1], "password", *words, "--password-fd", "0", stdin=stdin)
            return self.ok("password", *words, "--password-fd", "0", stdin=stdin)

    def hsm_calls(self):
        calls = self.folder / "hsm-calls"
        return calls.read_text().split() if calls.exists() else []

    def test_set(self):
        self.typed("set", "Hana@Example.JP", "--holder", HOLDER, text=(1, "error [resource.exists]"))
        self.assertEqual((self.fake.changes(), self.hsm_calls()), ([], []))
        self.free()
        self.assertEqual(self.typed("set", "Hana@Example.JP", "--holder", HOLDER), f"password of hana@example.jp set ({self.id})\n")
        sent, = self.fake.asked("POST", "/v1/cards")
        self.assertTrue(bytes.fromhex(sent["binding"]).startswith(f"password {self.id} {HOLDER} sequence=5 04".encode()), sent)
        self.assertEqual(self.fake.changes(), [("POST", "/v1/cards"), ("POST", f"/v1/cards/{self.id}/activate")])
        self.assertNotIn("correct", json.dumps(self.fake.seen))

    def test_a_reset_suspends_before_and_resumes_after(self):
        self.typed("reset", "hana@example.jp", "--reason", "lost")
        self.assertEqual([path.rsplit("/")[-1] for _, path in self.fake.changes()], ["suspend", "renew", "resume"])
        self.assertEqual(self.fake.asked("POST", f"/v1/cards/{self.id}/suspend"), [{"reason": "lost"}])
        sent, = self.fake.asked("POST", f"/v1/cards/{self.id}/renew")
        self.assertTrue(bytes.fromhex(sent["binding"]).startswith(f"password {self.id} {HOLDER} sequence=5 {b'before'.hex()}04".encode()), sent)
        self.assertEqual(self.hsm_calls()[:2], ["password_salt", "bind_password"])
        self.assertIn("resume", self.hsm_calls())

    def test_what_hsmd_does_not_take_changes_nothing(self):
        for error, text in (("hsm.key_retired", "it was this name's password before"), ("card.revoked", "error [card.revoked]")):
            self.hsm_fails("bind_password", ERRORS[error])
            self.typed("reset", "hana@example.jp", text=(1, text))
        self.hsm_fails("password_salt", ERRORS["hsm.unavailable"])
        self.free()
        self.typed("set", "hana@example.jp", "--holder", HOLDER, text=(69, HSM_DOWN_TEXT))
        self.assertEqual(self.fake.changes(), [])

    def test_a_failure_half_way_leaves_it_suspended(self):
        self.fake.on("POST", f"/v1/cards/{self.id}/renew", 503, problem("store.unavailable", "Later.", 503))
        self.typed("reset", "hana@example.jp", text=(1, "error [store.unavailable]"))
        self.assertEqual([path.rsplit("/")[-1] for _, path in self.fake.changes()], ["suspend", "renew"])

    def test_one_that_is_given_is_made_and_shown_once(self):
        self.free()
        said = self.ok("password", "set", "hana@example.jp", "--holder", HOLDER, "--once", "--valid", "2d")
        self.assertRegex(said, r"^password of hana@example.jp set \([-0-9a-f]*\): ([0-9A-Z*~$=]{5}-?){4} \(shown this once; it opens nothing")
        sent, = self.fake.asked("POST", "/v1/cards")
        self.assertTrue(bytes.fromhex(sent["binding"]).startswith(f"password {self.id} {HOLDER} sequence=5 once 04".encode()), sent)
        self.assertNotIn(said.split(": ")[1][:23], json.dumps(self.fake.seen))
        for wrong in (("--valid", "1d"), ("--once", "--valid", "31d"), ("--once", "--valid", "0"), ("--once", "--password-fd", "0")):
            self.fails(2, "", "password", "set", "hana@example.jp", "--holder", HOLDER, *wrong)

    def test_weak_passwords_and_wrong_names_are_refused_at_once(self):
        self.free()
        for typed in ("short", "aaaaaaaaaaaaaaaaaaaa", "hana@example.jphana@example.jp", "\N{RIGHT-TO-LEFT OVERRIDE}turned around it is"):
            self.typed("set", "hana@example.jp", "--holder", HOLDER, typed=typed, text=(1, "error [password.format]"))
        for name in ("", "a b", "-", "ä", "a" * 65):
            self.typed("set", name, "--holder", HOLDER, text=(2, "is no login name"))
        self.typed("set", "hana", "--holder", OTHER, text=(1, "error [resource.unknown]"))
        self.assertEqual(self.fake.changes(), [])

    def test_the_rest(self):
        self.assertIn(self.id, self.ok("password", "show", "HANA@example.jp"))
        self.ok("password", "revoke", "hana@example.jp", "--reason", "left")
        self.assertEqual(self.fake.asked("POST", f"/v1/cards/{self.id}/revoke"), [{"reason": "left"}])
        self.ok("password", "unlock", "hana@example.jp")
        self.assertEqual(self.hsm_calls(), ["password_forgive"])


class Cards(Case):
    def test_issue(self):
        self.assertEqual(self.ok("card", "issue", "--holder", "Tanaka, Hanako", "--certificate", self.cvc), f"card {NEW} issued\n")
        sent, = self.fake.asked("POST", "/v1/cards")
        self.assertEqual(bytes.fromhex(sent["binding"]).decode(), f"binding {HOLDER} level=2 sequence=5 {CVC.hex()}")
        self.assertEqual(self.fake.changes(), [("POST", "/v1/cards")])

    def test_issue_and_activate(self):
        hexadecimal = self.write("card.hex", CVC.hex() + "\n")
        issued = self.as_json("card", "issue", "--holder", HOLDER, "--certificate", hexadecimal, "--level", "1", "--activate")
        self.assertEqual((issued["id"], issued["state"]), (NEW, "active"))
        self.assertIn(" level=1 ", bytes.fromhex(self.fake.asked("POST", "/v1/cards")[0]["binding"]).decode())
        self.fake.on("POST", f"/v1/cards/{NEW}/activate", 503, problem("store.unavailable", "Later.", 503))
        self.fails(1, f"cardbrokerctl card activate {NEW}", "card", "issue", "--holder", HOLDER, "--certificate", self.cvc, "--activate")

    def test_register(self):
        read = {"profile": "piv", "answers": ["9000", "53009000"], "certificates": [{"use": 0x9A, "der": "30AA"}, {"use": 0x9E, "der": "30BB"}]}
        path = self.write("card.json", json.dumps(read))
        registered = self.as_json("card", "register", "--holder", HOLDER, "--card", path, "--level", "terminal-pin", "--activate")
        self.assertEqual((registered["id"], registered["state"]), (NEW, "active"))
        binding = bytes.fromhex(self.fake.asked("POST", "/v1/cards")[0]["binding"]).decode()
        answers = "02" "00" "00000002" "9000" "00" "00000004" "53009000"
        self.assertEqual(binding, f"foreign binding {HOLDER} level=3 sequence=5 profile=2 {answers} 9a=30aa 9e=30bb")

    def test_what_follows_a_certificate_is_for_hsmd_alone(self):
        read = {"profile": "piv", "answers": ["9000"], "certificates": [{"use": 0x9E, "der": "30020500"}, {"use": 0x04, "der": "30007F2100"}]}
        path = self.write("card.json", json.dumps(read))
        self.as_json("card", "register", "--holder", HOLDER, "--card", path)
        sent, = self.fake.asked("POST", "/v1/cards")
        self.assertIn(" 9e=30020500 04=30007f2100", bytes.fromhex(sent["binding"]).decode())
        self.assertEqual(sent["certificates"], "300205003000")

    def test_renew(self):
        read = {"profile": "piv", "answers": ["9000"], "certificates": [{"use": 0x9A, "der": "30AA"}, {"use": 0x9E, "der": "30BB"}]}
        path = self.write("card.json", json.dumps(read))
        old = {"holder": HOLDER, "binding": b"what it was".hex(), "certificates": "30cc30dd"}
        self.fake.on("GET", f"/v1/cards/{CARD}/binding", 200, old)
        self.fake.on("POST", f"/v1/cards/{CARD}/renew", 200, {"id": CARD, "sequence": 5})
        self.assertEqual(self.ok("card", "renew", CARD.upper(), "--card", path), f"card {CARD} renewed\n")
        sent, = self.fake.asked("POST", f"/v1/cards/{CARD}/renew")
        self.assertEqual(bytes.fromhex(sent["binding"]).decode(), "renewed what it was sequence=5 30cc30dd 9a=30aa 9e=30bb")
        self.assertEqual(sent["certificates"], "30aa30bb")
        self.assertEqual(self.as_json("card", "renew", CARD, "--card", path)["sequence"], 5)

    def test_what_is_not_renewed_is_not_recorded(self):
        path = self.write("card.json", json.dumps({"profile": "piv", "answers": ["9000"], "certificates": [{"use": 0x9A, "der": "30AA"}]}))
        self.fails(1, "error [resource.unknown]", "card", "renew", CARD, "--card", path)
        self.assertEqual(self.hsm_calls(), [])
        for wrong in ({"binding": "0"}, {"binding": None}, {"certificates": "00" * 8193}, {"certificates": 5}):
            self.fake.on("GET", f"/v1/cards/{CARD}/binding", 200, {"holder": HOLDER, "binding": "00", "certificates": "", **wrong})
            self.fails(1, "cardbrokerd's answer", "card", "renew", CARD, "--card", path)
        self.fake.on("GET", f"/v1/cards/{CARD}/binding", 200, {"holder": HOLDER, "binding": "00", "certificates": ""})
        self.hsm_fails("renew_foreign", ERRORS["certificate.not_renewed"])
        self.fails(1, "error [certificate.not_renewed]", "card", "renew", CARD, "--card", path)
        self.fails(2, "is not what cardlink read prints", "card", "renew", CARD, "--card", self.write("bad.json", "{}"))
        self.fails(2, "a card", "card", "renew", "nonsense", "--card", path)
        self.assertEqual(self.fake.changes(), [])

    def test_what_is_no_reading_of_a_card_is_not_registered(self):
        good = {"profile": "piv", "answers": ["9000"], "certificates": [{"use": 0x9A, "der": "30"}]}
        one = good["certificates"][0]
        for wrong in ({"profile": "other"}, {"profile": 2}, {"answers": ["9"]}, {"answers": ["90"] * 33}, {"answers": [1]},
                      {"certificates": []}, {"certificates": [one] * 4}, {"certificates": [{"use": 0, "der": "30"}]},
                      {"certificates": [{"use": 256, "der": "30"}]}, {"certificates": [{"use": 1}]},
                      {"certificates": [{"use": 1, "der": "00" * 4097}]}):
            self.fails(2, "is not what cardlink read prints", "card", "register", "--holder", HOLDER, "--card",
                       self.write("bad.json", json.dumps({**good, **wrong})))
            many = self.write("many.csv", f"{self.folder}/bad.json,,,{HOLDER}\n")
            self.assertEqual(json.loads(self.run_ctl("card", "register-many", many, "--json").stdout)["bad"], 1)
            self.assertIn("is not what cardlink read prints", (self.folder / "many.csv.rejected").read_text())
        self.assertEqual(self.fake.changes(), [])

    def test_the_lines_of_a_file_of_readings_are_read_each_for_itself(self):
        path = self.write("card.json", json.dumps(PIV))
        for line, why in ((f"{CVC.hex()},,,{HOLDER}", "error"), (f"{self.folder}/nowhere,,,{HOLDER}", "nowhere"), (f"{self.folder},,,{HOLDER}", "error"),
                          (f"-,,,{HOLDER}", "a file of its own"), (f"{path},S-7,,{HOLDER}", "MANUFACTURER/SERIAL"), (path, "reading, serial"),
                          (f"{path},,,", "the holder is missing"), (f"{self.write('none.json', json.dumps({**PIV, 'answers': ['9000']}))},,,{HOLDER}",
                                                                     "is not what cardlink read prints")):
            with self.subTest(line):
                many = self.write("many.csv", f"{line}\n")
                with open(path, encoding="ascii") as standard_input:
                    said = self.run_ctl("card", "register-many", many, "--json", stdin=standard_input)
                self.assertEqual(json.loads(said.stdout)["bad"], 1)
                self.assertIn(why, (self.folder / "many.csv.rejected").read_text())
        self.assertEqual(self.hsm_calls(), [])

    def test_somebody_who_is_entered_with_a_card_of_others_is_the_same_however_often_it_is_tried(self):
        """And whatever certificates it shows by then: by card and name."""
        renewed = {**PIV, "certificates": [{"use": 0x9E, "der": "30020501"}]}
        other = {**PIV, "answers": ["9000", PIV["answers"][1].replace(GUID.hex(), GUID[::-1].hex())]}
        for reading, name in ((PIV, "Somebody"), (renewed, "Somebody"), (PIV, "Somebody else"), (other, "Somebody")):
            many = self.write("many.csv", f"{self.write('card.json', json.dumps(reading))},,,{name}\n")
            (self.folder / "many.csv.progress").unlink(missing_ok=True)
            self.run_ctl("card", "register-many", many)
        self.assertEqual(self.hsm_calls(), ["bind_foreign"] * 4)
        holders = [body["holder"] for body in self.fake.asked("POST", "/v1/cards/issuable")]
        self.assertEqual((len(holders), holders[0] == holders[1], len(set(holders))), (4, True, 3), holders)

    def test_nothing_is_bound_that_would_not_be_recorded(self):
        """A binding is for good."""
        read = {"profile": "piv", "answers": ["9000"], "certificates": [{"use": 0x9E, "der": "30020500"}]}
        path, many = self.write("card.json", json.dumps(read)), self.write("many.csv", f"{CVC.hex()},,,{HOLDER}\n{CVC.hex()},,,Somebody\n")
        others = self.write("others.csv", f"{self.write('reading.json', json.dumps(PIV))},,,{HOLDER}\n{self.folder}/reading.json,,,Somebody\n")
        self.fake.on("POST", "/v1/cards/issuable", 403, problem("application.none", "No.", 403))
        for words in (["issue", "--holder", HOLDER, "--certificate", self.cvc], ["register", "--holder", HOLDER, "--card", path],
                      ["replace", CARD, "--certificate", self.cvc], ["replace", CARD, "--card", path]):
            self.fails(1, "error [application.none]", "card", *words)
        for command, file in (("issue-many", many), ("register-many", others)):
            self.assertEqual(json.loads(self.run_ctl("card", command, file, "--json").stdout)["bad"], 2)
            self.assertIn("application.none", (self.folder / f"{os.path.basename(file)}.rejected").read_text())
        self.assertFalse((self.folder / "hsm-calls").exists())
        self.assertEqual(self.fake.changes(), [])
        asked = self.fake.asked("POST", "/v1/cards/issuable")
        self.assertEqual([(body["profile"], body.get("replaces")) for body in asked[:4]], [(1, None), (2, None), (1, CARD), (2, CARD)])
        self.assertEqual(sorted((body["profile"], str(body.get("holder_name"))) for body in asked[4:]),
                         [(profile, name) for profile in (1, 2) for name in ("None", "Somebody")])

    def test_it_is_asked_by_its_identity_whether_somebody_elses_card_may_be_bound(self):
        digest = bytearray(hashlib.sha256(b"cardbroker foreign card 1\0" + b"\x02" + FASC_N + GUID).digest()[:16])
        digest[6], digest[8] = 0x80 | digest[6] & 0x0F, 0x80 | digest[8] & 0x3F
        path = self.write("card.json", json.dumps(PIV))
        self.fake.on("POST", "/v1/cards/issuable", 403, problem("application.none", "No.", 403))
        for words in (["register", "--holder", HOLDER, "--card", path], ["replace", CARD, "--card", path],
                      ["register-many", self.write("many.csv", f"{path},,,{HOLDER}\n")]):
            self.assertEqual(self.run_ctl("card", *words).returncode, 1)
        self.assertIn("application.none", (self.folder / "many.csv.rejected").read_text())
        self.assertEqual([(body["profile"], body.get("card")) for body in self.fake.asked("POST", "/v1/cards/issuable")],
                         [(2, str(uuid.UUID(bytes=bytes(digest))))] * 3)
        self.assertFalse((self.folder / "hsm-calls").exists())
        self.assertEqual(self.fake.changes(), [])

    def test_a_day_that_there_is_not_is_refused_before_anything_is_bound(self):
        read = {"profile": "piv", "answers": ["9000"], "certificates": [{"use": 0x9E, "der": "30020500"}]}
        path, many = self.write("card.json", json.dumps(read)), self.write("many.csv", f"{CVC.hex()},,,{HOLDER}\n")
        for words in (["issue", "--holder", HOLDER, "--certificate", self.cvc], ["register", "--holder", HOLDER, "--card", path],
                      ["replace", CARD, "--certificate", self.cvc], ["replace", CARD, "--card", path], ["issue-many", many],
                      ["register-many", many]):
            for day in ("2026-02-30", "2031-3-31", "1969-12-31", "soon"):
                self.fails(2, "--expires is a day", "card", *words, "--expires", day)
        self.assertFalse((self.folder / "hsm-calls").exists())
        self.assertFalse((self.folder / "many.csv.rejected").exists())
        self.assertEqual(self.fake.changes(), [])
        self.assertEqual(self.fake.asked("POST", "/v1/cards/issuable"), [])

    def test_what_a_line_of_a_file_says_is_looked_at_with_the_card(self):
        many = self.write("many.csv", f"{CVC.hex()},acme/S-7,{OTHER},{HOLDER}\n")
        self.run_ctl("card", "issue-many", many)
        looked, = self.fake.asked("POST", "/v1/cards/issuable")
        self.assertEqual(looked, {"holder": HOLDER, "profile": 1, "manufacturer": "acme", "serial": "S-7", "application": OTHER})

    def test_what_hsmd_refuses_is_not_recorded(self):
        self.hsm_fails("bind", ERRORS["card.certificate"])
        self.fails(1, "error [card.certificate]", "card", "issue", "--holder", HOLDER, "--certificate", self.cvc)
        self.hsm_fails("bind", ERRORS["hsm.unavailable"])
        self.fails(69, HSM_DOWN_TEXT, "card", "issue", "--holder", HOLDER, "--certificate", self.cvc)
        self.assertEqual(self.fake.changes(), [])

    def test_a_file_of_cards_waits_for_what_is_away_for_the_moment(self):
        """Nobody's line is at fault: it is tried again, and not among the bad ones for good."""
        many = self.write("many.csv", "".join(f"{CVC.hex()},,,{holder}\n" for holder in ("Somebody", HOLDER, OTHER)))
        words = ("card", "issue-many", many, "--threads", "1", "--json")

        def report():
            return [row.split(",")[0] for row in (self.folder / "many.csv.rejected").read_text().splitlines()[1:]]
        for away in ("hsm.token", "hsm.unavailable", "broker.timeout"):
            self.hsm_fails("bind", ERRORS[away])
            stopped = self.fails(69, f"error [{away}]", *words)
            self.assertFalse(json.loads(stopped.stdout)["complete"])
            self.assertEqual(report(), [])
        self.hsm_fails("bind", ERRORS["card.certificate"])
        for status, away in ((503, "broker.busy"), (503, "store.full"), (504, "evidence.unsigned")):
            self.fake.on("GET", f"/v1/holders/{HOLDER}", status, problem(away, "Not now.", status))
            stopped = self.fails(69, f"error [{away}]", *words)
            self.assertEqual(json.loads(stopped.stdout)["bad"], 1, "the first line is its own fault")
            self.assertEqual(report(), ["1"])
        self.fake.on("GET", f"/v1/holders/{HOLDER}", 500, problem("internal.error", "It failed.", 500))
        done = self.run_ctl(*words)
        self.assertEqual((done.returncode, json.loads(done.stdout)["bad"], report()), (1, 3, ["1", "2", "3"]), done.stderr)

    def test_a_report_is_never_written_over_the_file_that_the_run_reads(self):
        """By whatever name: the same one, another way to it, a link of either kind, or the report's usual name."""
        rows = f"application,holder,profile,reason,reference,name\n{OTHER},{HOLDER},1,first,\"A-1\",\"Somebody\"\n"
        for words, text in ((("card", "issue-many"), f"{CVC.hex()},,,Somebody\n"), (("application", "add-many"), "A-1,first,1,Somebody\n"),
                            (("application", "approve-many"), rows)):
            many = self.write("many.csv", text)
            os.chmod(many, 0o600)
            soft, hard, usual = (self.folder / name for name in ("soft.csv", "hard.csv", "many.csv.rejected"))
            soft.symlink_to("many.csv")
            os.link(many, hard)
            for report in (many, self.folder / "." / ".." / self.folder.name / "many.csv", soft, hard):
                self.fails(2, "the report would be written over", *words, many, "--report", report)
            usual.symlink_to("many.csv")
            self.fails(2, "name another file with --report", *words, many)
            for path in (soft, hard, usual):
                path.unlink()
            self.assertEqual((self.folder / "many.csv").read_text(), text)
            self.assertFalse((self.folder / "many.csv.progress").exists())
        self.assertFalse((self.folder / "hsm-calls").exists())
        self.assertEqual(self.fake.changes(), [])

    def test_each_file_of_a_run_is_one_of_its_own(self):
        """Whatever the run makes anew it unlinks first: what it reads, what it wrote, and what it makes beside these for a moment."""
        rows = f"application,holder,profile,reason,reference,name\n{OTHER},{HOLDER},1,first,\"A-1\",\"Somebody\"\n"
        for words, text, kept in ((("card", "issue-many"), f"{CVC.hex()},,,Somebody\n", "--suspension-codes"),
                                  (("application", "add-many"), "A-1,first,1,Somebody\n", "--entered"), (("application", "approve-many"), rows, None)):
            many, beside = self.write("out.new", text), self.folder / "." / "out"
            os.chmod(many, 0o600)
            mark = self.folder / "out.new.progress"
            (self.folder / "leads").symlink_to("nowhere-yet")
            (self.folder / "nowhere-yet").symlink_to(mark.name)
            self.write("one", "")
            os.chmod(self.folder / "one", 0o600)
            os.link(self.folder / "one", self.folder / "same")
            wrong = [("--report", beside), ("--report", mark), ("--report", f"{mark}.new"), ("--report", self.folder / "leads")]
            if kept:
                wrong += [(kept, mark, "--report", "/dev/null"), (kept, self.folder / "." / f"{mark.name}.new"),
                          (kept, self.folder / "r.new", "--report", self.folder / "r"), (kept, self.folder / "r", "--report", self.folder / "." / "r"),
                          (kept, self.folder / "one", "--report", self.folder / "same")]

            def there():
                return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
            before = there()
            for options in wrong:
                with self.subTest(words=words, options=options):
                    refused = self.fails(2, "in one\n", *words, many, *options)
                    self.assertIn(f"Nothing was begun: name another file with {options[0] if options[0] == kept else '--report'}.", refused.stderr)
                    self.assertEqual(there(), before)
            for name in ("leads", "nowhere-yet", "one", "same"):
                (self.folder / name).unlink()
            os.link(many, mark)
            before = there()
            self.fails(2, "put the file that is read elsewhere", *words, many, "--report", self.folder / "r")
            self.assertEqual(there(), before)
            for name in (mark.name, many.name):
                (self.folder / name).unlink()
        self.assertFalse((self.folder / "hsm-calls").exists())
        self.assertEqual(self.fake.changes(), [])

    def test_nothing_is_bound_to_nobody(self):
        self.fails(1, "error [resource.unknown]", "card", "issue", "--holder", OTHER, "--certificate", self.cvc)
        for content in (b"", b"7f21", CVC + b"x", b"\x30\x00"):
            self.fails(1, "error [card.certificate]", "card", "issue", "--holder", HOLDER, "--certificate", self.write("bad", content))
        self.assertFalse((self.folder / "hsm-calls").exists())

    def test_changes_of_state(self):
        for act, state in (("activate", "active"), ("suspend", "suspended"), ("resume", "active"), ("revoke", "revoked")):
            self.assertEqual(self.ok("card", act, CARD.upper()), f"card {CARD} {state}\n")
            self.assertEqual(self.fake.asked("POST", f"/v1/cards/{CARD}/{act}"), [{}])
        self.ok("card", "revoke", CARD, "--reason", "lost")
        self.assertEqual(self.fake.asked("POST", f"/v1/cards/{CARD}/revoke")[1], {"reason": "lost"})

    def hsm_calls(self):
        calls = self.folder / "hsm-calls"
        return calls.read_text().split("\n")[:-1] if calls.exists() else []

    def test_a_card_is_resumed_in_the_record_first_and_then_in_hsmd(self):
        self.ok("card", "resume", CARD)
        self.assertEqual(self.hsm_calls(), ["resume", f"resume {CARD}"])
        self.assertEqual(self.fake.asked("POST", f"/v1/cards/{CARD}/resume"), [{}])
        for act in ("activate", "suspend", "revoke"):
            self.ok("card", act, CARD)
        self.assertEqual(len(self.hsm_calls()), 2)

    def test_a_new_pin_is_allowed_in_the_record_first_and_then_in_hsmd(self):
        unblock = ("card", "unblock", CARD, "--terminal", TERMINAL, "--reason", "forgotten")
        self.fake.on("POST", f"/v1/cards/{CARD}/unblock", 200, card(CARD))
        self.ok(*unblock)
        self.assertEqual(self.fake.asked("POST", f"/v1/cards/{CARD}/unblock"), [{"terminal": TERMINAL, "reason": "forgotten"}])
        self.assertEqual(self.hsm_calls(), ["pin_reset", f"pin_reset {CARD} {TERMINAL} 600"])
        self.ok(*unblock, "--valid", "1h")
        self.assertEqual(self.hsm_calls()[-1], f"pin_reset {CARD} {TERMINAL} 3600")
        for code, status in (("hsm.unavailable", 69), ("request.denied", 1), ("card.suspended", 1)):
            self.hsm_fails("pin_reset", ERRORS[code])
            self.fails(status, "run this command again", *unblock)
        before = len(self.hsm_calls())
        for valid in ("0s", "61m", "soon"):
            self.fails(2, "--valid", *unblock, "--valid", valid)
        self.fake.on("POST", f"/v1/cards/{CARD}/unblock", 409, problem("card.suspended", "Suspended.", 409))
        self.fails(1, "card.suspended", *unblock)
        for missing in (unblock[:3] + unblock[5:], unblock[:5]):
            self.fails(2, "--", *missing)
        self.assertEqual(len(self.hsm_calls()), before, "what is not on record is not asked for")

    def test_a_generation_is_retired_in_the_record_and_then_in_hsmd_if_that_would(self):
        retire = ("generation", "retire", "1", "--reason", "new-key")
        self.fake.on("POST", "/v1/generations/retire", 200, {"generation": 1, "cards": 0, "unseen": 0})
        self.ok(*retire)
        self.assertEqual(self.hsm_calls(), ["may_retire_generation", "may_retire_generation 1", "retire_generation", "retire_generation 1"])
        self.assertEqual(len(self.fake.asked("POST", "/v1/generations/retire")), 1)
        self.hsm_fails("may_retire_generation", ERRORS["resource.state"])
        self.fails(1, "nothing was recorded or retired", *retire)
        self.assertEqual(len(self.fake.asked("POST", "/v1/generations/retire")), 1, "what hsmd refuses is not on record as done")
        self.hsm_fails("retire_generation", ERRORS["hsm.unavailable"])
        self.fails(69, "run this command again", *retire)

    def test_a_code_is_recorded_first_then_allowed_by_hsmd_and_then_shown(self):
        row = {"code": OTHER, "holder": HOLDER, "profiles": ["piv"], "level": 3, "operator": "root", "state": "open", "created": "2026-01-01T00:00:00Z",
               "expires": "2026-01-08T00:00:00Z", "changed": "2026-01-01T00:00:00Z", "card": None, "terminal": None}
        self.fake.on("POST", "/v1/registrations", 201, row)
        make = ("holder", "code", HOLDER, "--profile", "piv")
        said = self.as_json(*make)
        self.assertRegex(said["secret"], "^([0-9A-HJKMNP-TV-Z*~$=U]{5}-){3}[0-9A-HJKMNP-TV-Z]{4}[0-9A-Z*~$=]$")
        sent, = self.fake.asked("POST", "/v1/registrations")
        self.assertEqual((sent["holder"], sent["profiles"], sent["level"]), (HOLDER, ["piv"], 3))
        self.assertNotIn("secret", sent)
        self.assertEqual(self.hsm_calls(), ["registration_allow", f"registration_allow {sent['code']} {HOLDER} 4 3"])
        self.ok(*make, "--profile", "jpki", "--level", "possession", "--valid", "1h")
        self.assertEqual(self.hsm_calls()[-1].split()[2:], [HOLDER, "12", "1"])
        for code, status in (("hsm.unavailable", 69), ("request.denied", 1)):
            self.hsm_fails("registration_allow", ERRORS[code])
            self.assertEqual(self.fails(status, "nobody was shown it", *make).stdout, "")
        before = len(self.hsm_calls())
        for bad in (("--valid", "31d"), ("--valid", "0s"), ("--profile", "native"), ("--level", "password")):
            self.fails(2, bad[0], *make, *bad)
        self.fails(2, "--profile", *make[:3])
        self.fake.on("POST", "/v1/registrations", 404, problem("resource.unknown", "No holder.", 404))
        self.fails(1, "resource.unknown", *make)
        self.assertEqual(len(self.hsm_calls()), before, "what is not on record is not allowed")

        self.fake.on("GET", "/v1/registrations", 200, {"registrations": [row, {**row, "state": "used", "card": CARD}]})
        self.assertEqual([one["hsmd"] for one in self.as_json("holder", "codes")], ["open", "used"])
        self.hsm_fails("registration_state", ERRORS["resource.unknown"])
        self.assertEqual([one["hsmd"] for one in self.as_json("holder", "codes")], ["unknown", "used"])
        self.fake.on("POST", f"/v1/registrations/{OTHER}/withdraw", 200, {**row, "state": "withdrawn"})
        self.hsm_fails("registration_withdraw", ERRORS["request.denied"])
        self.fails(1, "not withdrawn", "holder", "withdraw", OTHER)
        self.assertEqual(self.fake.asked("POST", f"/v1/registrations/{OTHER}/withdraw"), [], "hsmd first")
        self.hsm_fails("registration_withdraw", ERRORS["resource.state"])   # it has used it, and nobody recorded that
        self.assertIn("can become nobody else's", self.ok("holder", "withdraw", OTHER, "--reason", "mistake"))
        self.hsm_fails("registration_withdraw", ERRORS["resource.unknown"])
        self.assertEqual(self.ok("holder", "withdraw", OTHER, "--reason", "mistake"), f"code {OTHER} withdrawn\n")
        self.assertEqual(self.fake.asked("POST", f"/v1/registrations/{OTHER}/withdraw"), [{"reason": "mistake"}] * 2)

    def test_a_code_may_be_for_a_card_in_the_place_of_one_of_the_holders(self):
        made = {"code": OTHER, "holder": HOLDER, "profiles": ["jpki"], "expires": "2026-01-08T00:00:00Z", "replaces": CARD}
        order = ("holder", "code", HOLDER, "--profile", "jpki", "--in-place-of", CARD)
        self.fake.on("POST", "/v1/registrations", 201, made)
        for state in ("active", "suspended", "expired"):
            self.fake.on("GET", f"/v1/cards/{CARD}", 200, {"id": CARD, "holder": HOLDER, "state": state})
            self.assertIn(f"; in place of card {CARD})", self.ok(*order, "--reason", "renewed"))
        self.assertEqual([(sent["replaces"], sent["reason"]) for sent in self.fake.asked("POST", "/v1/registrations")], [(CARD, "renewed")] * 3)
        before = len(self.hsm_calls())
        for state in ("revoked", "returned", "destroyed"):
            self.fake.on("GET", f"/v1/cards/{CARD}", 200, {"id": CARD, "holder": HOLDER, "state": state})
            self.fails(1, "without --in-place-of", *order)
        self.fake.on("GET", f"/v1/cards/{CARD}", 200, {"id": CARD, "holder": OTHER, "state": "active"})
        self.fails(2, "another holder's", *order)
        self.fake.on("GET", f"/v1/cards/{CARD}", 404, problem("resource.unknown", "No card.", 404))
        self.fails(1, "resource.unknown", *order)
        self.fails(2, "identifier of a card", *order[:-1], "Hanako")
        self.assertEqual((len(self.fake.asked("POST", "/v1/registrations")), len(self.hsm_calls())), (3, before))

    def test_a_card_that_has_expired_is_not_said_to_be_suspended(self):
        self.fake.on("POST", f"/v1/cards/{CARD}/suspend", 200, {**card(CARD, "expired"), "codes_withdrawn": 2})
        said = self.ok("card", "suspend", CARD, "--reason", "lost")
        self.assertEqual(said, f"card {CARD} is expired, and stays so; registration codes in its place that were withdrawn: 2\n")
        self.assertEqual(json.loads(self.ok("card", "suspend", CARD, "--json")), {"id": CARD, "state": "expired", "codes_withdrawn": 2})
        self.assertEqual(self.fake.asked("POST", f"/v1/cards/{CARD}/suspend"), [{"reason": "lost"}, {}])

    def test_a_resumption_that_hsmd_did_not_hear_of_is_completed_by_another_try(self):
        for code, status in (("hsm.unavailable", 69), ("request.denied", 1), ("card.revoked", 1)):
            self.hsm_fails("resume", ERRORS[code])
            self.fails(status, "run this command again", "card", "resume", CARD)
        # Then the record says that it is not suspended; hsmd is told, or the record was right.
        self.fake.on("POST", f"/v1/cards/{CARD}/resume", 409, problem("resource.state", "Not in a state.", 409))
        self.hsm_fails("resume", ERRORS["hsm.feed_behind"])
        self.fails(1, "error [resource.state]", "card", "resume", CARD)
        (self.folder / "hsm-fails").unlink()
        self.assertEqual(self.ok("card", "resume", CARD), f"card {CARD} active\n")

    def test_what_the_record_refuses_is_not_told_to_hsmd(self):
        for status in (401, 403, 404, 500, 503):
            self.fake.on("POST", f"/v1/cards/{CARD}/resume", status, problem("resource.unknown", "No.", status))
            self.run_ctl("card", "resume", CARD)
        self.assertEqual(self.hsm_calls(), [])

    def test_show_and_list(self):
        self.fake.on("GET", "/v1/cards", 200, {"cards": [card(), card(NEW, "issued", 1)]})
        self.assertIn("native", self.ok("card", "show", CARD))
        rows = self.ok("card", "list").splitlines()
        self.assertEqual([row.split()[2:4] for row in rows[1:]], [["active", "pin"], ["issued", "possession"]])
        self.assertEqual(len(self.as_json("card", "list", "--holder", HOLDER)), 1)

    def test_replace_is_one_act(self):
        self.assertEqual(self.ok("card", "replace", CARD, "--certificate", self.cvc), f"card {NEW} issued and active; card {CARD} revoked\n")
        self.assertEqual(self.fake.changes(), [("POST", f"/v1/cards/{CARD}/replace")])
        self.assertEqual(self.fake.asked("POST", f"/v1/cards/{CARD}/replace")[0]["reason"], "replaced")

    def test_a_replacement_is_named_in_one_way(self):
        for words in ((), ("--certificate", self.cvc, "--card", self.cvc)):
            self.fails(2, "name the new card", "card", "replace", CARD, *words)
        self.assertEqual(self.fake.changes(), [])

    def test_a_lost_card_is_revoked_first_whatever_happens_next(self):
        self.hsm_fails("bind", ERRORS["hsm.unavailable"])
        result = self.fails(69, f"The old card {CARD} is revoked.", "card", "replace", CARD, "--certificate", self.cvc, "--reason", "lost", "--json")
        self.assertEqual(self.fake.changes(), [("POST", f"/v1/cards/{CARD}/revoke")])
        self.assertEqual(json.loads(result.stdout), {"old": {"id": CARD, "revoked": True}, "new": {"id": None, "issued": False, "active": False}})
        missing = self.run_ctl("card", "replace", CARD, "--certificate", self.folder / "none", "--reason", "stolen")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("is revoked", missing.stderr)

    def test_each_half_way_stop_of_a_replacement_is_told(self):
        refused = (503, problem("store.unavailable", "Later.", 503))
        self.fake.on("POST", f"/v1/cards/{CARD}/replace", *refused)
        self.fails(1, f"NOT revoked: cardbrokerctl card revoke {CARD}", "card", "replace", CARD, "--certificate", self.cvc)
        self.fails(1, f"The old card {CARD} is revoked.", "card", "replace", CARD, "--certificate", self.cvc, "--reason", "stolen")

    def test_a_revoked_card_can_be_replaced(self):
        self.fake.on("GET", f"/v1/cards/{CARD}", 200, card(state="revoked"))
        self.ok("card", "replace", CARD, "--certificate", self.cvc, "--reason", "lost")
        self.assertEqual(self.fake.asked("POST", f"/v1/cards/{CARD}/revoke"), [])


if __name__ == "__main__":
    unittest.main(verbosity=1)

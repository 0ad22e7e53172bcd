#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cardbrokerctl against a fake administration socket and in place of hsmd's client ctl_fake_hsm.c.

usage: ctl_test.py CTL [NAME...]
"""
import base64
import hashlib
import http.server
import json
import os
import pathlib
import pty
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import unittest

CTL = ""
HOLDER = "0189f7c2-0000-7000-8000-000000000001"
OTHER = "0189f7c2-0000-7000-8000-000000000002"
CARD = "0189f7c2-0000-7000-8000-0000000000c1"
NEW = "0189f7c2-0000-7000-8000-0000000000c2"
TERMINAL = "0189f7c2-0000-7000-8000-0000000000d1"
ENROLMENT = "0189f7c2-0000-7000-8000-0000000000e1"
SESSION_KEY = "0189f7c2-0000-7000-8000-0000000000f1"
CVC = bytes.fromhex("7f2103930107")
HSM_DOWN_TEXT = "error [hsm.unavailable]: "


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"

    def answer(self):
        fake = self.server.fake
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        fake.seen.append((self.command, self.path, json.loads(body) if body else None))
        status, reply = fake.reply(self.command, self.path)
        data = reply if isinstance(reply, bytes) else (b"" if reply is None else json.dumps(reply).encode())
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = answer


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of some tests


class Fake:
    """Answers from a table; what is not in it is 404. Keeps what it was asked."""

    def __init__(self, folder):
        self.seen, self.table = [], {}
        self.server = Server(str(folder / "admin.sock"), Handler)
        self.server.fake = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def on(self, method, path, status, reply=None):
        self.table[(method, path)] = (status, reply)

    def reply(self, method, path):
        bare = path.replace("?limit=500", "").replace("&limit=500", "")
        found = self.table.get((method, path)) or self.table.get((method, bare))
        return found or (404, problem("resource.unknown", "There is no such thing: check the identifier.", 404))

    def asked(self, method, path):
        return [body for m, p, body in self.seen if (m, p) == (method, path)]

    def changes(self):
        return [(m, p) for m, p, _ in self.seen if m != "GET"]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def problem(code, detail, status, **more):
    return {"type": "about:blank", "title": "No", "status": status, "code": code, "detail": detail, "request": "r-1", **more}


def card(identifier=CARD, state="active", level=2, sequence=1):
    return {"id": identifier, "holder": HOLDER, "state": state, "profile": 1, "level": level, "sequence": sequence,
            "created": "2026-01-01T00:00:00.000000Z", "changed": "2026-01-02T00:00:00.000000Z"}


def enrolment(state="active", waiting=None):
    return {"id": ENROLMENT, "holder": HOLDER, "service": "tax", "state": state, "data": {},
            "key": {"id": SESSION_KEY, "algorithm": "ec-p256", "level": 2, "sequence": 3, "public_key": "00", "certificate": None},
            "next_key": waiting, "created": "2026-01-01T00:00:00.000000Z", "changed": "2026-01-01T00:00:00.000000Z"}


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=True, timeout=60).stdout


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ctl-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.fake = Fake(self.folder)
        self.addCleanup(self.fake.stop)
        holder = {"id": HOLDER, "name": "Tanaka, Hanako", "created": "2026-01-01T00:00:00.000000Z"}
        twins = [{"id": i, "name": "Sato", "created": ""} for i in (HOLDER, OTHER)]
        self.fake.on("GET", f"/v1/holders/{HOLDER}", 200, holder)
        self.fake.on("GET", "/v1/holders", 200, {"holders": [holder, *twins]})
        self.fake.on("GET", f"/v1/cards?holder={HOLDER}", 200, {"cards": [card(sequence=4)]})
        self.fake.on("GET", f"/v1/cards/{CARD}", 200, card())
        self.fake.on("POST", "/v1/cards", 201, card(NEW, "issued"))
        for act, state in (("activate", "active"), ("suspend", "suspended"), ("resume", "active"), ("revoke", "revoked")):
            for identifier in (CARD, NEW):
                self.fake.on("POST", f"/v1/cards/{identifier}/{act}", 200, card(identifier, state))
        self.service(certificate=False)
        self.fake.on("POST", "/v1/enrolments", 201, enrolment())
        self.fake.on("GET", f"/v1/enrolments/{ENROLMENT}", 200, enrolment())
        self.cvc = self.write("card.cvc", CVC)

    def service(self, certificate):
        self.fake.on("GET", "/v1/services/tax", 200, {
            "name": "tax", "title": "Tax", "connector": "mtls", "config": {"url": "https://tax"}, "level": 2,
            "certificate": certificate, "session": {"kind": None, "life": 900, "idle": 60}, "created": "", "changed": ""})

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def hsm_fails(self, function, number):
        self.write("hsm-fails", f"{function} {number}\n")

    def run_ctl(self, *arguments, **options):
        return subprocess.run([CTL, *map(str, arguments), "--run", self.folder], text=True, capture_output=True, timeout=60,
                              check=False, stdin=options.pop("stdin", subprocess.DEVNULL), **options)

    def ok(self, *arguments, **options):
        result = self.run_ctl(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def as_json(self, *arguments):
        return json.loads(self.ok(*arguments, "--json"))

    def fails(self, status, text, *arguments, **options):
        result = self.run_ctl(*arguments, **options)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        self.assertIn(text, result.stderr)
        return result


class Program(Case):
    def test_help_and_version_need_nothing(self):
        for words in (["--help"], ["card", "--help"], ["card", "issue", "--help"], ["status", "--help"], ["--version"]):
            result = subprocess.run([CTL, *words], text=True, capture_output=True, check=False, timeout=20)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("cardbrokerctl", result.stdout)

    def test_every_command_has_help(self):
        listing = subprocess.run([CTL, "--help"], text=True, capture_output=True, check=True, timeout=20).stdout
        commands = [line[2:25].split() for line in listing.splitlines() if line.startswith("  ") and not line.startswith("  card" + "broker")]
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
        for wrong in (["--level", "3"], ["--life", "1y"], ["--kind", "odd"], ["--needs-certificate", "maybe"]):
            self.assertEqual(self.run_ctl("service", "update", "tax", *wrong).returncode, 2)
        for content in ("[]", "{", '{"a":1,"a":2}'):
            self.fails(1, "error [request.malformed]", "service", "update", "tax", "--config", self.write("bad.json", content))
        self.assertIn("https://tax", self.ok("service", "show", "tax"))


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

    def test_what_hsmd_refuses_is_not_recorded(self):
        self.hsm_fails("bind", ERRORS["card.certificate"])
        self.fails(1, "error [card.certificate]", "card", "issue", "--holder", HOLDER, "--certificate", self.cvc)
        self.hsm_fails("bind", ERRORS["hsm.unavailable"])
        self.fails(69, HSM_DOWN_TEXT, "card", "issue", "--holder", HOLDER, "--certificate", self.cvc)
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
        self.fake.on("POST", f"/v1/cards/{CARD}/resume", 409, problem("resource.state", "Not in a state.", 409))
        self.fails(1, "error [resource.state]", "card", "resume", CARD)

    def test_show_and_list(self):
        self.fake.on("GET", "/v1/cards", 200, {"cards": [card(), card(NEW, "issued", 1)]})
        self.assertIn("native", self.ok("card", "show", CARD))
        rows = self.ok("card", "list").splitlines()
        self.assertEqual([row.split()[2:4] for row in rows[1:]], [["active", "pin"], ["issued", "possession"]])
        self.assertEqual(len(self.as_json("card", "list", "--holder", HOLDER)), 1)

    def test_replace_issues_before_it_revokes(self):
        self.assertEqual(self.ok("card", "replace", CARD, "--certificate", self.cvc), f"card {NEW} issued and active; card {CARD} revoked\n")
        self.assertEqual(self.fake.changes(), [("POST", "/v1/cards"), ("POST", f"/v1/cards/{NEW}/activate"), ("POST", f"/v1/cards/{CARD}/revoke")])
        self.assertEqual(self.fake.asked("POST", f"/v1/cards/{CARD}/revoke"), [{"reason": "replaced"}])

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
        for path, remains in (("/v1/cards", f"NOT revoked: cardbrokerctl card revoke {CARD}"),
                              (f"/v1/cards/{NEW}/activate", f"cardbrokerctl card activate {NEW}"),
                              (f"/v1/cards/{CARD}/revoke", f"NOT revoked: cardbrokerctl card revoke {CARD}")):
            kept = self.fake.table[("POST", path)]
            self.fake.on("POST", path, *refused)
            self.fails(1, remains, "card", "replace", CARD, "--certificate", self.cvc)
            self.fake.table[("POST", path)] = kept

    def test_a_revoked_card_can_be_replaced(self):
        self.fake.on("GET", f"/v1/cards/{CARD}", 200, card(state="revoked"))
        self.ok("card", "replace", CARD, "--certificate", self.cvc, "--reason", "lost")
        self.assertEqual(self.fake.asked("POST", f"/v1/cards/{CARD}/revoke"), [])


class Enrolments(Case):
    ADD = ["enrolment", "add", "--holder", HOLDER, "--service", "tax", "--algorithm"]

    def sealed(self, index=0, path="/v1/enrolments"):
        return bytes.fromhex(self.fake.asked("POST", path)[index]["sealed"]).decode()

    def test_add(self):
        data = self.write("data.json", '{"account": "x"}')
        self.assertEqual(self.ok(*self.ADD, "ec-p256", "--data", data, "--uses", "3"), f"enrolment {ENROLMENT} added, active\n")
        self.assertEqual(self.sealed(), f"generated {HOLDER} tax ec-p256 level=2 uses=3 sequence=1")
        sent, = self.fake.asked("POST", "/v1/enrolments")
        self.assertEqual((sent["holder"], sent["service"], sent["data"], sent["public_key"]), (HOLDER, "tax", {"account": "x"}, b"public".hex()))

    def test_a_request_and_its_subject(self):
        self.service(certificate=True)
        self.fake.on("POST", "/v1/enrolments", 201, enrolment("pending"))
        out, key = self.folder / "req.pem", self.folder / "key.pem"
        result = self.run_ctl(*self.ADD, "ec-p256", "--csr", out, "--public-key", key, "--subject", "CN=Tanaka\\, 花子,OU=a+UID=7,O=Example,C=JP")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"enrolment certify {ENROLMENT}", result.stderr)
        self.assertIn("BEGIN PUBLIC KEY", key.read_text())
        name = base64.b64decode("".join(out.read_text().splitlines()[1:-1]))
        self.assertEqual(self.spelled(name), "CN=Tanaka\\, 花子,UID=7+OU=a,O=Example,C=JP")

    def spelled(self, name):
        """What OpenSSL reads in a DER Name, by way of a request that carries it."""
        key = self.folder / "k.pem"
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
        request = openssl("req", "-new", "-key", key, "-subj", "/CN=x", "-outform", "DER")
        spki = openssl("pkey", "-in", key, "-pubout", "-outform", "DER")
        info = der(0x30, b"\x02\x01\x00" + name + spki + b"\xa0\x00")
        forged = der(0x30, info + der(0x30, bytes.fromhex("06082a8648ce3d040302")) + der(0x03, b"\x00" + b"\x30\x06\x02\x01\x01\x02\x01\x01"))
        self.assertTrue(request)
        text = openssl("req", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253,utf8,-esc_msb", data=forged).decode()
        return text.strip().removeprefix("subject=").strip()

    def test_openssl_makes_the_same_names(self):
        key = self.folder / "k2.pem"
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
        for subject, slashes in (("CN=y,O=X,C=JP", "/C=JP/O=X/CN=y"), ("CN=田中 花子,DC=example,DC=jp", "/DC=jp/DC=example/CN=田中 花子"),
                                 ("serialNumber=7+CN=a,ST=b,L=c,street=d,emailAddress=a@b.c", "/emailAddress=a@b.c/street=d/L=c/ST=b/CN=a+serialNumber=7")):
            out = self.folder / "same.pem"
            self.ok(*self.ADD, "ec-p256", "--csr", out, "--subject", subject)
            name = base64.b64decode("".join(out.read_text().splitlines()[1:-1]))
            request = openssl("req", "-new", "-utf8", "-key", key, "-subj", slashes, "-outform", "DER", "-multivalue-rdn")
            self.assertIn(name, request, subject)

    def test_a_service_that_needs_a_certificate_is_told_apart(self):
        self.service(certificate=True)
        self.fails(2, "needs a certificate", *self.ADD, "ec-p256")
        for words in (["--csr", "x"], ["--subject", "CN=x"], ["--csr", "x", "--subject", "nonsense"]):
            self.assertEqual(self.run_ctl(*self.ADD, "ec-p256", "--public-key", "-", *words).returncode, 2)
        self.assertEqual(self.fake.changes(), [])

    def test_wrong_keys_are_refused_before_anybody_is_asked(self):
        for words in (["des"], ["ec-p256", "--uses", "17"], ["ec-p256", "--uses", "0"], ["ec-p256", "--secret-fd", "0"], ["secret", "--public-key", "x"],
                      ["hmac-sha256", "--csr", "x", "--subject", "CN=x"], ["secret", "--secret-fd", "0", "--import", "x"], ["secret", "--secret-fd", "x"]):
            with self.subTest(words):
                self.assertEqual(self.run_ctl(*self.ADD, *words).returncode, 2)
        self.assertFalse((self.folder / "hsm-calls").exists())

    def test_a_refused_key_leaves_nothing_behind(self):
        out = self.folder / "req.pem"
        self.fake.on("POST", "/v1/enrolments", 409, problem("resource.exists", "It exists.", 409))
        self.fails(1, "nothing has changed", *self.ADD, "ec-p256", "--csr", out, "--subject", "CN=x")
        self.assertFalse(out.exists())
        self.hsm_fails("generate", ERRORS["hsm.unavailable"])
        self.fails(69, HSM_DOWN_TEXT, *self.ADD, "ec-p256", "--csr", out, "--subject", "CN=x")
        self.assertFalse(out.exists())

    def test_a_request_that_cannot_be_written_is_not_recorded(self):
        self.fails(1, "No such file", *self.ADD, "ec-p256", "--csr", self.folder / "none" / "x", "--subject", "CN=x")
        self.assertEqual(self.fake.changes(), [])

    def import_key(self):
        key = self.folder / "import.pem"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
        self.write("import.der", openssl("pkey", "-in", key, "-pubout", "-outform", "DER"))
        return key

    def imported(self, key):
        """What the import key's holder finds in what was sent."""
        wrapped = (self.folder / "imported").read_bytes()
        aes = openssl("pkeyutl", "-decrypt", "-inkey", key, "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha1",
                      "-pkeyopt", "rsa_mgf1_md:sha1", data=wrapped[:256])
        return openssl("enc", "-d", "-id-aes256-wrap-pad", "-K", aes.hex(), "-iv", "A65959A6", data=wrapped[256:])

    def test_import_of_a_key_in_every_form(self):
        holder = self.import_key()
        for algorithm, make in (("ec-p256", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]), ("rsa-2048", ["-algorithm", "RSA"])):
            pem = self.folder / "own.pem"
            openssl("genpkey", *make, "-out", pem)
            pkcs8 = openssl("pkcs8", "-topk8", "-nocrypt", "-in", pem, "-outform", "DER")
            forms = {"pem": pem.read_bytes(), "der": pkcs8, "old": openssl("pkey", "-in", pem, "-traditional"),
                     "old-der": openssl("pkey", "-in", pem, "-traditional", "-outform", "DER")}
            for form, content in forms.items():
                with self.subTest((algorithm, form)):
                    self.ok(*self.ADD, algorithm, "--import", self.write("form", content))
                    inside = self.write("inside.der", self.imported(holder))
                    self.assertEqual(openssl("pkey", "-inform", "DER", "-in", inside, "-pubout"), openssl("pkey", "-in", pem, "-pubout"))
        self.assertTrue(self.sealed(-1).startswith("imported "))

    def test_import_brings_its_certificate_along(self):
        self.import_key()
        self.service(certificate=True)
        key, certificate = self.folder / "own.key", self.folder / "own.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=t", "-keyout", key, "-out", certificate)
        self.fake.on("POST", "/v1/enrolments", 201, enrolment("pending"))
        self.fake.on("POST", f"/v1/enrolments/{ENROLMENT}/certificate", 200, enrolment())
        self.assertEqual(self.ok(*self.ADD, "ec-p256", "--import", key, "--certificate", certificate), f"enrolment {ENROLMENT} added, active\n")
        self.fake.on("POST", f"/v1/enrolments/{ENROLMENT}/certificate", 400, problem("request.invalid", "Not for that key.", 400))
        self.fails(1, "certificate is not installed", *self.ADD, "ec-p256", "--import", key, "--certificate", certificate)

    def test_an_encrypted_key_is_refused_with_the_way_round(self):
        self.import_key()
        pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256", "-pass", "pass:x")
        self.fails(1, "openssl pkey", *self.ADD, "ec-p256", "--import", self.write("enc", pem))
        self.assertEqual(self.fake.changes(), [])

    def test_a_secret_from_a_descriptor(self):
        holder = self.import_key()
        for given, kept in ((b"correct horse", b"correct horse"), (b"correct horse\n", b"correct horse"), (b"a\n\n", b"a\n")):
            read, write = os.pipe()
            os.write(write, given)
            os.close(write)
            result = self.run_ctl(*self.ADD, "secret", "--secret-fd", str(read), pass_fds=[read])
            os.close(read)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(self.imported(holder), kept)
            self.assertNotIn("correct", result.stdout + result.stderr)
        self.assertEqual(self.fake.asked("POST", "/v1/enrolments")[0]["public_key"], "")
        self.fails(1, "the secret is empty", *self.ADD, "secret", "--secret-fd", "0")
        self.assertNotIn("correct", json.dumps(self.fake.seen))

    def test_a_secret_typed_is_not_shown(self):
        holder = self.import_key()
        for second, status in (("hunter2\n", 0), ("hunter3\n", 1)):
            pid, terminal = pty.fork()
            if pid == 0:
                os.execv(CTL, [CTL, *self.ADD, "secret", "--run", str(self.folder)])
            shown = b""
            for prompt, typed in ((b"Secret: ", "hunter2\n"), (b"Again: ", second)):
                while prompt not in shown:
                    shown += os.read(terminal, 1024)
                time.sleep(0.05)
                os.write(terminal, typed.encode())
            while True:
                try:
                    more = os.read(terminal, 1024)
                except OSError:
                    break
                if not more:
                    break
                shown += more
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), status, shown)
            os.close(terminal)
            self.assertNotIn(b"hunter", shown)
        self.assertEqual(self.imported(holder), b"hunter2")
        self.assertEqual(len(self.fake.asked("POST", "/v1/enrolments")), 1)

    def test_a_readable_key_file_is_warned_of(self):
        self.import_key()
        path = self.write("own", openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
        path.chmod(0o644)
        self.assertIn("can be read by others", self.run_ctl(*self.ADD, "ec-p256", "--import", path).stderr)
        path.chmod(0o600)
        self.assertEqual(self.run_ctl(*self.ADD, "ec-p256", "--import", path).stderr, "")

    def test_renew_follows_the_sequence(self):
        path = f"/v1/enrolments/{ENROLMENT}/renew"
        self.fake.on("POST", path, 200, enrolment())
        self.ok("enrolment", "renew", ENROLMENT, "--algorithm", "ec-p384")
        self.assertEqual(self.sealed(0, path), f"generated {HOLDER} tax ec-p384 level=2 uses=1 sequence=4")
        self.fake.on("GET", f"/v1/enrolments/{ENROLMENT}", 200, enrolment(waiting={"id": SESSION_KEY, "algorithm": "ec-p256", "sequence": 4}))
        self.fake.on("POST", path, 409, problem("resource.state", "One waits.", 409))
        self.fails(1, "error [resource.state]", "enrolment", "renew", ENROLMENT, "--algorithm", "ec-p256")
        self.assertIn("sequence=5", self.sealed(1, path))

    def test_rewrap_all(self):
        removed = {**enrolment("removed"), "id": OTHER, "key": None}
        self.fake.on("GET", "/v1/enrolments", 200, {"enrolments": [enrolment(), removed]})
        keys = [{"id": SESSION_KEY, "generation": 0, "sealed": b"old".hex()}, {"id": OTHER, "generation": 1, "sealed": b"new".hex()}]
        self.fake.on("GET", f"/v1/enrolments/{ENROLMENT}/sealed", 200, {"keys": keys})
        path = f"/v1/enrolments/{ENROLMENT}/rewrap"
        self.fake.on("POST", path, 200, enrolment())
        self.assertEqual(self.as_json("key", "rewrap-all"), {"generation": 1, "rewrapped": 1, "already": 1})
        self.assertEqual(self.sealed(0, path), "rewrapped old")
        self.assertEqual(self.fake.changes(), [("POST", path)])
        self.fake.on("POST", path, 503, problem("store.unavailable", "Later.", 503))
        self.fails(1, "0 keys were sealed anew; run the command again", "key", "rewrap-all")
        self.hsm_fails("rewrap", ERRORS["hsm.record"])
        self.fails(1, "it stays as it was", "key", "rewrap-all")

    def test_certify_remove_list_show(self):
        pem = self.folder / "c.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=t", "-keyout", self.folder / "k", "-out", pem)
        self.fake.on("POST", f"/v1/enrolments/{ENROLMENT}/certificate", 200, enrolment())
        self.fake.on("DELETE", f"/v1/enrolments/{ENROLMENT}", 200, enrolment("removed"))
        self.fake.on("GET", f"/v1/enrolments?holder={HOLDER}&service=tax", 200, {"enrolments": [enrolment()]})
        chain = self.write("chain.pem", pem.read_text() * 2)
        self.ok("enrolment", "certify", ENROLMENT, "--certificate", chain)
        self.assertEqual(self.fake.asked("POST", f"/v1/enrolments/{ENROLMENT}/certificate")[0]["certificate"].count("BEGIN"), 2)
        self.assertEqual(self.as_json("enrolment", "remove", ENROLMENT), {"id": ENROLMENT, "state": "removed"})
        self.assertIn("ec-p256", self.ok("enrolment", "list", "--holder", HOLDER, "--service", "tax"))
        self.assertEqual(self.as_json("enrolment", "show", ENROLMENT)["id"], ENROLMENT)
        self.assertIn(SESSION_KEY, self.ok("enrolment", "show", ENROLMENT))


def der(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else bytes([0x82, size >> 8, size & 255])
    return bytes([tag]) + length + content


def node(hashes):
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + node(hashes[:split]) + node(hashes[split:])).digest()


class Audits(Case):
    TIME = 1767225600000000
    TEXT = "2026-01-01T00:00:00.000000Z"

    def setUp(self):
        super().setUp()
        self.key = self.folder / "log.pem"
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", self.key)
        self.write("log.der", openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER"))
        self.public = self.write("public.pem", openssl("pkey", "-in", self.key, "-pubout"))
        self.leaves = [self.leaf("holder.add", f"holder {HOLDER}\nactor uid 0"), self.leaf("card.add", f"card {CARD}\nholder {HOLDER}\nstate issued"),
                       self.leaf("holder.add", f"holder {OTHER}\nactor \\x1b[2J")]
        self.publish()

    def leaf(self, kind, rest):
        return f"cardbroker-evidence 1\nkind {kind}\ntime {self.TEXT}\n{rest}\n".encode()

    def head(self, size, origin="example"):
        root = node([hashlib.sha256(b"\x00" + leaf).digest() for leaf in self.leaves[:size]]).hex()
        text = f"cardbroker-log-head 1\norigin {origin}\nsize {size}\nroot {root}\ntime {self.TEXT}\n"
        signature = openssl("dgst", "-sha256", "-sign", self.key, data=text.encode())
        parts, at = [], 2
        for _ in range(2):
            length = signature[at + 1]
            parts.append(int.from_bytes(signature[at + 2:at + 2 + length], "big").to_bytes(32, "big"))
            at += 2 + length
        return {"size": size, "root": root, "time": self.TEXT, "time_us": self.TIME, "signature": b"".join(parts).hex()}

    def publish(self, heads=None):
        rows = [{"position": i, "data": leaf.hex(), "hash": hashlib.sha256(b"\x00" + leaf).hexdigest()} for i, leaf in enumerate(self.leaves)]
        end = len(rows)
        self.fake.on("GET", "/v1/audit/leaves?from=0&count=500", 200, {"leaves": rows})
        self.fake.on("GET", f"/v1/audit/leaves?from={end}&count=500", 200, {"leaves": []})
        self.fake.on("GET", f"/v1/audit/leaves?from=1&count=500", 200, {"leaves": rows[1:]})
        self.fake.on("GET", "/v1/audit/heads?from=1&count=500", 200, {"heads": heads if heads is not None else [self.head(1), self.head(end)]})
        for size in range(2, end + 2):
            self.fake.on("GET", f"/v1/audit/heads?from={size}&count=500", 200, {"heads": []})
        return rows

    def test_list(self):
        lines = self.ok("audit", "list").splitlines()
        self.assertEqual(len(lines), 3)
        self.assertIn(f"holder.add  holder {HOLDER}", lines[0])
        self.assertNotIn("\x1b", lines[2])
        self.assertEqual([row["position"] for row in self.as_json("audit", "list", "--kind", "holder")], [0, 2])
        self.assertEqual([row["position"] for row in self.as_json("audit", "list", "--card", CARD, "--card", NEW)], [1])
        self.assertEqual([row["position"] for row in self.as_json("audit", "list", "--from", "1", "--count", "1")], [1])
        self.assertEqual(self.as_json("audit", "list", "--kind", "hold"), [])
        self.fake.on("GET", "/v1/status", 200, {"store": {"leaves": 3}})
        self.assertEqual([row["position"] for row in self.as_json("audit", "list", "--last", "2")], [1, 2])

    def test_a_good_record_is_verified(self):
        text = self.ok("audit", "verify", "--log-key", self.public, "--origin", "example")
        self.assertTrue(text.startswith("verified: 3 leaves, 2 heads, 0 findings\n"), text)
        result = self.as_json("audit", "verify", "--log-key", self.public, "--origin", "example")
        self.assertEqual((result["verified"], result["findings"], result["head"]["size"]), (True, [], 3))

    def test_without_a_key_of_ones_own_there_is_a_warning(self):
        result = self.run_ctl("audit", "verify", "--origin", "example")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("auditor's own copy", result.stderr)
        self.assertEqual(self.run_ctl("audit", "verify", "--log-key", self.public).returncode, 2)
        config = self.write("ctl.conf", f'run = "{self.folder}"\norigin = "example"\nlog-key = "{self.public}"\n')
        result = subprocess.run([CTL, "audit", "verify", "--config", str(config)], text=True, capture_output=True, check=False, timeout=20)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def findings(self, *more):
        result = self.run_ctl("audit", "verify", "--log-key", self.public, "--origin", "example", "--json", *more)
        self.assertEqual(result.returncode, 1, result.stderr)
        return {finding["what"] for finding in json.loads(result.stdout)["findings"]}

    def test_an_edited_leaf_is_found(self):
        heads = [self.head(1), self.head(3)]
        self.leaves[1] = self.leaves[1].replace(b"issued", b"active")
        self.publish(heads)
        self.assertEqual(self.findings(), {"head.root"})

    def test_a_missing_end_is_found(self):
        heads = [self.head(1), self.head(3)]
        del self.leaves[2]
        self.publish(heads)
        self.assertEqual(self.findings(), {"head.beyond"})

    def test_another_key_and_another_log_are_found(self):
        self.publish([self.head(1), self.head(3, "other")])
        self.assertEqual(self.findings(), {"head.signature"})
        text = self.run_ctl("audit", "verify", "--log-key", self.public, "--origin", "example").stdout
        self.assertIn("head.signature", text)
        self.assertIn("NOT verified", text)

    def test_receipts_are_shown_to_hsmd(self):
        false = self.leaf("note", "receipt " + b"Xfalse".hex())
        self.leaves += [self.leaf("note", "receipt " + b"Rgood".hex() + "\nreceipt " + b"Ralso".hex()), false]
        self.publish()
        found = self.findings()
        self.assertIn("receipt.genuine", found)
        self.assertEqual((self.folder / "hsm-calls").read_text().count("receipt_check"), 3)
        self.hsm_fails("receipt_check", ERRORS["hsm.unavailable"])
        result = self.run_ctl("audit", "verify", "--log-key", self.public, "--origin", "example", "--json")
        self.assertIn("hsmd does not check receipts", result.stderr)
        self.assertFalse(json.loads(result.stdout)["receipts_checked"])

    def test_a_record_that_cannot_be_read_is_not_verified(self):
        self.fake.on("GET", "/v1/audit/leaves?from=3&count=500", 503, problem("store.unavailable", "Later.", 503))
        self.fails(69, "nothing can be said", "audit", "verify", "--log-key", self.public, "--origin", "example")
        rows = self.publish()
        self.fake.on("GET", "/v1/audit/leaves?from=3&count=500", 200, {"leaves": rows})  # round and round
        self.fails(1, "nothing can be said", "audit", "verify", "--log-key", self.public, "--origin", "example")

    def test_keys(self):
        shown = self.as_json("key", "show", "log")
        self.assertEqual(shown["pem"], self.public.read_text())
        self.assertEqual(shown["sha256"], hashlib.sha256((self.folder / "log.der").read_bytes()).hexdigest())
        self.assertEqual(self.ok("key", "show", "log"), self.public.read_text())
        self.assertEqual(self.as_json("key", "new-generation"), {"generation": 2})
        self.hsm_fails("new_generation", ERRORS["hsm.token"])
        self.fails(1, "error [hsm.token]", "key", "new-generation")


def error_numbers():
    """Numbers of errors, in the order of base/error.h."""
    header = (pathlib.Path(__file__).resolve().parents[2] / "base/error.h").read_text()
    codes = [line.split('"')[1] for line in header.splitlines() if line.strip().startswith("X(CB_")]
    return {code: number for number, code in enumerate(codes)}


if __name__ == "__main__":
    CTL = os.path.abspath(sys.argv.pop(1))
    ERRORS = error_numbers()
    unittest.main(verbosity=1)

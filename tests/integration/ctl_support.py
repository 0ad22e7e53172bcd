# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake administration socket, and a case that runs cardbrokerctl against it. In place of hsmd's client: ctl_fake_hsm.c."""
import http.server
import json
import os
import pathlib
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest

CTL = os.path.abspath(sys.argv.pop(1))
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
        if status == 0:  # hangs up
            self.close_connection = True
            return
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
        self.seen, self.table = [], {("POST", "/v1/cards/issuable"): (200, {"issuable": True})}
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
        return [(m, p) for m, p, _ in self.seen if m != "GET" and p != "/v1/cards/issuable"]

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
        self.fake.on("POST", f"/v1/cards/{CARD}/replace", 201, card(NEW, "active"))
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


def der(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else bytes([0x82, size >> 8, size & 255])
    return bytes([tag]) + length + content


def error_numbers():
    """Numbers of errors, in the order of base/error.h."""
    header = (pathlib.Path(__file__).resolve().parents[2] / "base/error.h").read_text()
    codes = [line.split('"')[1] for line in header.splitlines() if line.strip().startswith("X(CB_")]
    return {code: number for number, code in enumerate(codes)}


ERRORS = error_numbers()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of certificates with real servers: openssl's responder, lists over HTTP, and servers that hang, babble or lie.
status_test.py STATUS_DRIVER CARDBROKERD"""

import http.server
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

DRIVER, BROKER = sys.argv.pop(1), sys.argv.pop(1)
# Sanitizers make system calls of their own.
SANITIZED = any(mark in Path(DRIVER).read_bytes() for mark in (b"__asan_init", b"__tsan_init"))
PATIENCE = 4 if SANITIZED else 1
OPENSSL_CNF = """
[ca]
default_ca = issuer
[issuer]
dir = .
database = index.txt
new_certs_dir = .
serial = serial
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 30
default_crl_days = 2
policy = any
crlnumber = crlnumber
[any]
commonName = supplied
[req]
distinguished_name = dn
prompt = no
[dn]
CN = name
[v3_ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[v3_card]
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
[v3_ocsp]
keyUsage = critical,digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Issuer:
    """A CA as openssl keeps one, with two cards and a responder's certificate."""

    def __init__(self, folder):
        self.folder = Path(folder)
        for name, content in {"openssl.cnf": OPENSSL_CNF, "index.txt": "", "serial": "1000\n", "crlnumber": "01\n"}.items():
            (self.folder / name).write_text(content)
        self.key("ca")
        self.run("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=Issuer", "-config", "openssl.cnf", "-extensions", "v3_ca", "-days", "30",
                 "-out", "ca.pem")
        self.run("x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der")
        for name, kind in {"good": "v3_card", "bad": "v3_card", "responder": "v3_ocsp"}.items():
            self.key(name)
            self.run("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-config", "openssl.cnf", "-out", f"{name}.csr")
            self.run("ca", "-batch", "-config", "openssl.cnf", "-extensions", kind, "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext")
            self.run("x509", "-in", f"{name}.pem", "-outform", "DER", "-out", f"{name}.der")
        self.list()

    def run(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=self.folder, capture_output=True)

    def key(self, name):
        self.run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")

    def revoke(self, name):
        self.run("ca", "-config", "openssl.cnf", "-revoke", f"{name}.pem", "-crl_reason", "keyCompromise")

    def list(self):
        self.run("ca", "-config", "openssl.cnf", "-gencrl", "-out", "crl.pem")
        self.run("crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der")
        return (self.folder / "crl.der").read_bytes()


class Responder:
    """openssl ocsp, for as many questions as a test asks at most."""

    def __init__(self, issuer, signer="responder", more=()):
        self.port = free_port()
        self.process = subprocess.Popen(
            ["openssl", "ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", f"{signer}.pem", "-rkey", f"{signer}.key", "-port",
             str(self.port), "-ndays", "1", "-nrequest", "50", "-timeout", "5", *more],
            cwd=issuer.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.url = f"http://127.0.0.1:{self.port}/"
        while "waiting for OCSP client" not in self.process.stdout.readline():
            assert self.process.poll() is None, "openssl ocsp has ended"

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Server(http.server.ThreadingHTTPServer):
    """Serves what the test says, and counts."""

    daemon_threads = True

    def __init__(self, answer):
        self.answer, self.asked = answer, []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def end(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        try:
            self.server.answer(self)
        except OSError:
            pass

    do_POST = do_GET

    def give(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Driver:
    def __init__(self, folder, issuer, lists="-", responder="-", **settings):
        self.process = subprocess.Popen([DRIVER, str(folder), str(issuer.folder / "ca.der"), lists, responder,
                                         *(f"{k}={v}" for k, v in {"box": int(not SANITIZED), **settings}.items())],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.issuer = issuer

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def check(self, name):
        return self.say(f"check {self.issuer.folder / name}.der")[0]

    def wait_for(self, code, name, seconds=5):
        deadline = time.monotonic() + seconds
        while (found := self.check(name)) != code and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def children(self):
        """The fetcher's processes, the one that keeps the keeper first, once there are both."""
        first = int(self.say("keeper")[0])
        deadline = time.monotonic() + 5 * PATIENCE
        while not (found := subprocess.run(["pgrep", "-P", str(first)], capture_output=True, text=True).stdout.split()):
            assert time.monotonic() < deadline, "there is no keeper"
        return [first, *map(int, found)]

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(20)


class Status(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory(prefix="cb-status-")
        cls.issuer = Issuer(cls.place.name)

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def setUp(self):
        self.kept = tempfile.TemporaryDirectory(prefix="cb-status-kept-")
        self.addCleanup(self.kept.cleanup)

    def driver(self, *arguments, **settings):
        driver = Driver(self.kept.name, self.issuer, *arguments, **settings)
        self.addCleanup(lambda: driver.process.poll() is None and driver.end())
        return driver

    def server(self, answer):
        server = Server(answer)
        self.addCleanup(server.end)
        return server

    def responder(self, *arguments, **more):
        responder = Responder(self.issuer, *arguments, **more)
        self.addCleanup(responder.end)
        return responder


class Lists(Status):
    def test_a_list_is_fetched_kept_and_needed_no_more_after_a_restart(self):
        current = self.issuer.list()
        server = self.server(lambda handler: handler.give(current))
        driver = self.driver(server.url + "/issuer.crl?x=1")
        self.assertEqual(driver.wait_for("ok", "good"), "ok")
        self.assertEqual(server.asked, ["/issuer.crl?x=1"])
        self.assertEqual(driver.end(), 0)
        server.answer = lambda handler: handler.give(b"", 503)
        driver = self.driver(server.url + "/issuer.crl?x=1")
        self.assertEqual(driver.check("good"), "ok")
        self.assertEqual([path.stat().st_mode & 0o777 for path in Path(self.kept.name).iterdir()], [0o600])

    def test_servers_that_do_not_serve_leave_nothing_good(self):
        def hang(handler):
            time.sleep(3)

        def half(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            handler.wfile.write(self.issuer.list()[:200])

        def endless(handler):
            handler.send_response(200)
            handler.end_headers()
            while True:
                handler.wfile.write(bytes(65536))

        def headers(handler):
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
            while True:
                handler.wfile.write(b"X-Y: " + b"z" * 1000 + b"\r\n")

        def elsewhere(handler):
            handler.send_response(302)
            handler.send_header("Location", "/issuer.crl")
            handler.end_headers()

        def drip(handler):
            handler.send_response(200)
            handler.end_headers()
            for byte in self.issuer.list():
                handler.wfile.write(bytes((byte,)))
                time.sleep(0.1)

        for answer, code in ((hang, "service.slow"), (half, "service.answer"), (endless, "request.too_large"), (headers, "request.too_large"),
                             (elsewhere, "service.refused"), (drip, "service.slow"),
                             (lambda handler: handler.give(b"<html>"), "request.malformed"),
                             (lambda handler: handler.wfile.write(b"hello"), "service.answer"),
                             (lambda handler: None, "service.answer")):
            server = self.server(answer)
            driver = self.driver(server.url + "/", fetch=700, size=500000)
            deadline = time.monotonic() + 5
            while (found := driver.say("list"))[2] == "ok" and time.monotonic() < deadline:
                time.sleep(0.02)
            with self.subTest(code=code):
                self.assertEqual(found, ["0", "0", code])
                self.assertEqual(driver.check("good"), "certificate.status_unknown")
            self.assertEqual(driver.end(), 0)

    def test_a_name_an_unknown_one_and_a_closed_port(self):
        driver = self.driver(f"http://127.0.0.1:{free_port()}/")
        self.assertEqual(driver.say(f"get http://127.0.0.1:{free_port()}/ 1000 2000")[0], "service.unreachable")
        self.assertEqual(driver.say("get http://no-such-name.invalid/ 1000 3000")[0][:8], "service.")
        server = self.server(lambda handler: handler.give(b"here"))
        self.assertEqual(driver.say(f"get http://localhost:{server.server_port}/ 1000 3000"), ["ok", "4"])
        self.assertEqual(driver.say("get https://127.0.0.1/ 1000 2000")[0], "request.malformed")

    def test_a_large_list_is_looked_up(self):
        """As large as those of whole countries: two hundred thousand entries, some four megabytes."""
        lines = "".join(f"R\t300101000000Z\t260101000000Z\t{0x200000 + n * 7:X}\tunknown\t/CN=x\n" for n in range(200000))
        index = self.issuer.folder / "index.txt"
        before = index.read_text()
        index.write_text(before + lines)
        try:
            big = self.issuer.list()
        finally:
            index.write_text(before)
        self.assertGreater(len(big), 4_000_000)
        server = self.server(lambda handler: handler.give(big))
        driver = self.driver(server.url + "/", size=20_000_000, fetch=20000)
        self.assertEqual(driver.wait_for("ok", "good", 30), "ok")
        self.assertEqual(driver.say("list")[:2], ["1", "200000"])
        self.assertLess(int(driver.say(f"check {self.issuer.folder}/good.der")[1]), 20)

    def test_closing_waits_for_no_server(self):
        server = self.server(lambda handler: time.sleep(5))
        driver = self.driver(server.url + "/", fetch=30000)
        while not server.asked:
            time.sleep(0.02)
        before = time.monotonic()
        self.assertEqual(driver.end(), 0)
        self.assertLess(time.monotonic() - before, 3)


class Responders(Status):
    def test_a_real_responder_answers(self):
        self.issuer.revoke("bad")
        for signer, settings in (("ca", {}), ("responder", {}), ("responder", {"nonce": 1})):
            responder = self.responder(signer)
            driver = self.driver("-", responder.url, wait=3000, **settings)
            with self.subTest(signer=signer, **settings):
                self.assertEqual(driver.check("good"), "ok")
                self.assertEqual(driver.check("bad"), "certificate.revoked")
                self.assertEqual(driver.check("good"), "ok")
            self.assertEqual(driver.end(), 0)

    def test_an_ordinary_card_is_no_responder(self):
        responder = self.responder("good")
        driver = self.driver("-", responder.url, wait=3000)
        self.assertEqual(driver.check("good"), "certificate.status_unknown")

    def test_what_was_answered_outlives_the_responder_for_as_long_as_it_is_fresh(self):
        responder = self.responder()
        driver = self.driver("-", responder.url, wait=3000, age=2, skew=0)
        self.assertEqual(driver.check("good"), "ok")
        responder.end()
        self.assertEqual(driver.check("good"), "ok")
        time.sleep(3.1)
        self.assertEqual(driver.check("good"), "certificate.status_unknown")

    def test_a_hanging_responder_holds_nobody_up(self):
        server = self.server(lambda handler: time.sleep(4))
        driver = self.driver("-", server.url + "/", wait=200, fetch=1000)
        code, milliseconds = driver.say(f"check {self.issuer.folder}/good.der")
        self.assertEqual(code, "certificate.status_unknown")
        self.assertLess(int(milliseconds), 600)

    def test_a_responder_that_is_a_web_server(self):
        server = self.server(lambda handler: handler.give(b"<html>"))
        driver = self.driver("-", server.url + "/", wait=3000)
        self.assertEqual(driver.check("good"), "certificate.status_unknown")


class Processes(Status):
    def test_a_keeper_that_ended_is_begun_again(self):
        server = self.server(lambda handler: handler.give(b"here"))
        driver = self.driver(server.url + "/")
        self.assertEqual(driver.say(f"get {server.url}/ 100 3000"), ["ok", "4"])
        first, keeper = driver.children()
        os.kill(keeper, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while (found := driver.say(f"get {server.url}/ 100 2000")) != ["ok", "4"] and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(found, ["ok", "4"])
        self.assertNotEqual(driver.children(), [first, keeper])

    def test_a_question_whose_process_was_killed_is_asked_again(self):
        def answer(handler):
            if len(handler.server.asked) == 1:
                os.kill(keeper, signal.SIGKILL)     # and with it whoever asks
                self.assertEqual(handler.rfile.read(1), b"")
            else:
                handler.give(b"here")
        server = self.server(answer)
        driver = self.driver(f"http://127.0.0.1:{free_port()}/")
        _, keeper = driver.children()
        self.assertEqual(driver.say(f"get {server.url}/ 100 5000"), ["ok", "4"])
        self.assertEqual(len(server.asked), 2)

    def test_but_not_without_end(self):
        def answer(handler):
            keepers = subprocess.run(["pgrep", "-P", str(first)], capture_output=True, text=True, check=True).stdout.split()
            os.kill(int(keepers[0]), signal.SIGKILL)
            self.assertEqual(handler.rfile.read(1), b"")
        server = self.server(answer)
        driver = self.driver(f"http://127.0.0.1:{free_port()}/")
        first, _ = driver.children()
        self.assertEqual(driver.say(f"get {server.url}/ 100 5000"), ["service.unreachable", "0"])
        self.assertEqual(len(server.asked), 2)

    def test_nothing_is_left_behind(self):
        server = self.server(lambda handler: time.sleep(3))
        driver = self.driver(server.url + "/", fetch=3000)
        processes = driver.children()
        self.assertEqual(len(processes), 2)
        driver.process.kill()
        driver.process.wait()
        driver.process.stdin.close()
        driver.process.stdout.close()
        deadline = time.monotonic() + 5
        while any(Path(f"/proc/{p}").exists() for p in processes) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertFalse([p for p in processes if Path(f"/proc/{p}").exists()])

    def test_whoever_reads_the_answer_has_a_connection_and_a_pipe(self):
        seen = {}

        def look(handler):
            for process in self.fetching(driver):
                files = sorted(os.readlink(f) for f in Path(f"/proc/{process}/fd").iterdir())
                if not files:  # one that has ended
                    continue
                seen["files"] = files
                seen["status"] = dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":\t" in line)
            handler.give(b"here")

        server = self.server(look)
        driver = self.driver(f"http://127.0.0.1:{free_port()}/")
        self.assertEqual(driver.say(f"get {server.url}/ 100 5000"), ["ok", "4"])
        kinds = [name.split(":")[0] for name in seen["files"] if name != "/dev/null"]
        self.assertEqual([kind for kind in kinds if kind != "pipe"], ["socket"])
        self.assertEqual(seen["status"]["Seccomp"], "0" if SANITIZED else "2")
        self.assertEqual(seen["status"]["NoNewPrivs"], "1")

    def fetching(self, driver):
        """The keeper's processes: what asks has given up its rights before."""
        first = driver.process.pid
        for _ in range(3):
            found = subprocess.run(["pgrep", "-P", str(first)], capture_output=True, text=True).stdout.split()
            if not found:
                return []
            first = found[0]
        return found


class Program(Status):
    """cardbrokerd itself; without a key service it serves nothing, but begins all the same."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.kept.name)
        for name in ("run", "state"):
            (self.folder / name).mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
                        "-days", "2", "-keyout", self.folder / "tls.key", "-out", self.folder / "tls.pem"], check=True, capture_output=True)

    def configure(self, issuer):
        path = self.folder / "cardbroker.conf"
        path.write_text(f'run = "{self.folder}/run"\nstate = "{self.folder}/state"\n' + ("sandbox = false\n" if SANITIZED else "") +
                        f'listen one {{ port = {free_port()} certificate = "{self.folder}/tls.pem" key = "{self.folder}/tls.key" }}\n' + issuer)
        return path

    def begin(self, issuer):
        self.log = self.folder / "log"
        with open(self.log, "wb") as log:
            broker = subprocess.Popen([BROKER, "--config", self.configure(issuer)], stderr=log)
        self.addCleanup(lambda: broker.poll() is None and (broker.kill(), broker.wait()))
        return broker

    def wait_for(self, event):
        deadline = time.monotonic() + 10 * PATIENCE
        while f'"event":"{event}"' not in self.log.read_text():
            self.assertLess(time.monotonic(), deadline, self.log.read_text())
            time.sleep(0.02)

    def section(self, url, certificate="ca.pem"):
        return f'card-issuer agency {{ certificate = "{self.issuer.folder / certificate}" crl = {{"{url}"}} }}\n'

    def test_the_broker_fetches_and_keeps_lists(self):
        current = self.issuer.list()
        server = self.server(lambda handler: handler.give(current))
        broker = self.begin(self.section(server.url + "/list"))
        self.wait_for("ready")
        self.wait_for("status.list")
        kept = list((self.folder / "state").glob("status-*.crl"))
        self.assertEqual([path.read_bytes() for path in kept], [current])
        broker.send_signal(signal.SIGHUP)
        self.wait_for("reload.done")
        broker.terminate()
        self.assertEqual(broker.wait(20 * PATIENCE), 0)

    def test_it_stops_while_a_server_hangs_and_leaves_no_process(self):
        server = self.server(lambda handler: time.sleep(8))
        broker = self.begin(self.section(server.url + "/list"))
        self.wait_for("ready")
        deadline = time.monotonic() + 10 * PATIENCE
        while not server.asked and time.monotonic() < deadline:
            time.sleep(0.02)
        helpers = subprocess.run(["pgrep", "-P", str(broker.pid)], capture_output=True, text=True).stdout.split()
        self.assertEqual(len(helpers), 1)
        before = time.monotonic()
        broker.terminate()
        self.assertEqual(broker.wait(20 * PATIENCE), 0)
        self.assertLess(time.monotonic() - before, 5 * PATIENCE)
        self.assertFalse(Path(f"/proc/{helpers[0]}").exists())

    def test_what_is_wrong_is_said_at_the_start(self):
        for issuer, word in ((self.section("ldap://127.0.0.1/x"), "crl: must be http://"), (self.section("http://127.0.0.1/", "nothing"), "nothing: is not"),
                             (self.section("http://127.0.0.1/", "good.pem"), "is not that of a CA"), ('card-issuer x { certificate = "x" }', "needs crl")):
            broker = self.begin(issuer)
            with self.subTest(word=word):
                self.assertEqual(broker.wait(20 * PATIENCE), 78)
                self.assertIn(word, self.log.read_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)

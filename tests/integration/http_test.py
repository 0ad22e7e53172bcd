#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The acceptor and the HTTP server as clients meet them: http_test.py HTTP_SERVER HTTP_THIEF [TEST...]

curl, openssl s_client and Python's TLS (both OpenSSL) are the clients, so that nothing of ours agrees with itself.
"""
import concurrent.futures
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SERVER, THIEF = (os.path.abspath(name) for name in sys.argv[1:3])
WORK = tempfile.TemporaryDirectory(prefix="http-test.")
with open(SERVER, "rb") as program:
    content = program.read()
    # Sanitizers keep freed memory for a while: how much is in use says nothing then.
    SANITIZED = any(name in content for name in (b"__asan_init", b"__tsan_init"))
# Sanitizers slow everything down; times here are bounds against hanging, not measurements.
PATIENCE = 20


def path(name):
    return os.path.join(WORK.name, name)


def make_certificate(name, algorithm="ec"):
    kind = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}[algorithm]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-keyout", path(name + ".key"),
                    "-out", path(name + ".pem"), "-days", "2", "-subj", "/CN=" + name,
                    "-addext", "subjectAltName=DNS:localhost,DNS:*.relay.test"], check=True, capture_output=True)


def key_digest(name):
    public = subprocess.run(["openssl", "x509", "-in", path(name + ".pem"), "-pubkey", "-noout"],
                            check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public,
                         check=True, capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


def fingerprint(pem_path):
    with open(pem_path, encoding="ascii") as file:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).hexdigest()


def context(client=None):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    if client:
        tls.load_cert_chain(path(client + ".pem"), path(client + ".key"))
    return tls


class Server:
    def __init__(self, **options):
        options = {"certificate": path("server.pem"), "key": path("server.key"),
                   "relay_certificate": path("relay.pem"), "relay_key": path("relay.key"), **options}
        self.log = tempfile.TemporaryFile(dir=WORK.name)
        self.process = subprocess.Popen([SERVER] + [f"{n}={v}" for n, v in options.items()],
                                        stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().split()
        assert line[:1] == [b"ready"], self.text()
        self.port = int(line[1])

    def text(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def events(self, name):
        lines = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return status

    def wait_for(self, event, count=1):
        end = time.monotonic() + PATIENCE
        while len(self.events(event)) < count and time.monotonic() < end:
            time.sleep(0.02)
        return self.events(event)

    def plain(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def connect(self, client=None, name="localhost"):
        return context(client).wrap_socket(self.plain(), server_hostname=name)

    def connect_soon(self):
        """A connection as soon as there is room for one: those that an earlier test closed may be counted for a moment."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.connect()
            except (ConnectionError, ssl.SSLError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def ask(self, method, target, body=None, client=None, headers=None, host="localhost", raw=None):
        """One request on a connection of its own: status, headers, body."""
        connection = http.client.HTTPConnection(host, timeout=PATIENCE)
        connection.sock = self.connect(client, host)
        headers = dict(headers or {})
        if body is not None or raw is not None:
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, target, raw if raw is not None else json.dumps(body) if body is not None else None,
                           headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, response.headers, data

    def problem(self, *args, **kwargs):
        status, headers, body = self.ask(*args, **kwargs)
        assert headers["Content-Type"] == "application/problem+json", body
        problem = json.loads(body)
        assert problem["status"] == status and problem["request"] == headers["Request-Id"], problem
        return status, problem["code"], problem["detail"]

    def curl(self, *args):
        return subprocess.run(["curl", "-sk", "--max-time", str(PATIENCE), *args], capture_output=True, check=False)

    def s_client(self, *args, text=b""):
        return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", *args], input=text,
                              capture_output=True, timeout=PATIENCE, check=False)


def read_all(stream):
    data = b""
    try:
        while chunk := stream.recv(65536):
            data += chunk
    except (ConnectionError, ssl.SSLError):
        pass
    return data


def head(method, target, *lines, host="localhost"):
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


class Case(unittest.TestCase):
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(admin=path(cls.__name__ + ".sock"), **cls.options)
        cls.admin = path(cls.__name__ + ".sock")

    @classmethod
    def tearDownClass(cls):
        status = cls.server.stop()
        assert status == 0, cls.server.text()[-4000:]


class Tls(Case):
    def test_modern_versions_and_ciphers_are_accepted(self):
        for version, cipher in (("-tls1_3", "TLS_AES_128_GCM_SHA256"), ("-tls1_3", "TLS_AES_256_GCM_SHA384"),
                                ("-tls1_3", "TLS_CHACHA20_POLY1305_SHA256"),
                                ("-tls1_2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
                                ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
                                ("-tls1_2", "ECDHE-ECDSA-CHACHA20-POLY1305")):
            with self.subTest(version=version, cipher=cipher):
                option = "-ciphersuites" if version == "-tls1_3" else "-cipher"
                result = self.server.s_client(version, option, cipher)
                self.assertIn(b"Cipher is " + cipher.encode(), result.stdout)

    def test_old_versions_and_weak_ciphers_are_refused(self):
        for options in (("-tls1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
                        ("-tls1_2", "-cipher", "AES128-GCM-SHA256"), ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),
                        ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"), ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"),
                        ("-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"), ("-tls1_2", "-cipher", "PSK:@SECLEVEL=0"),
                        ("-tls1_3", "-groups", "ffdhe2048")):
            with self.subTest(options=options):
                result = self.server.s_client(*options)
                self.assertNotIn(b"Verify return code", result.stdout.split(b"Cipher is (NONE)")[0])
                self.assertIn(b"Cipher is (NONE)", result.stdout)

    def test_server_name_chooses_the_certificate_and_whether_one_is_asked_for(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for name, file in (("localhost", "server"), ("a.relay.test", "relay"), ("A.RELAY.test", "relay"),
                               ("relay.test", "server"), ("a.b.relay.test", "server"), ("xrelay.test", "server")):
                with self.subTest(version=version, name=name):
                    tls = context("client")
                    tls.minimum_version = tls.maximum_version = version
                    with tls.wrap_socket(self.server.plain(), server_hostname=name) as stream:
                        shown = hashlib.sha256(stream.getpeercert(binary_form=True)).hexdigest()
                        self.assertEqual(shown, fingerprint(path(file + ".pem")))
        asks = {name: b"Acceptable client certificate" in out or b"Client Certificate Types" in out or
                b"Requested Signature Algorithms" in out
                for name in ("localhost", "a.relay.test")
                for out in [self.server.s_client("-tls1_2", "-servername", name).stdout]}
        self.assertTrue(asks["localhost"])
        self.assertFalse(asks["a.relay.test"])

    def test_any_client_certificate_is_an_identity_by_its_key(self):
        for name in ("client", "client-rsa"):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                with self.subTest(name=name, version=version):
                    tls = context(name)
                    tls.minimum_version = tls.maximum_version = version
                    with tls.wrap_socket(self.server.plain(), server_hostname="localhost") as stream:
                        stream.sendall(head("GET", "/v1/who", "Connection: close"))
                        self.assertIn(key_digest(name).encode(), read_all(stream))

    def test_no_certificate_is_no_identity(self):
        self.assertEqual(json.loads(self.server.ask("GET", "/v1/who")[2])["key"], "")

    def test_a_certificate_without_its_key_ends_the_handshake(self):
        """The thief has a terminal's certificate and signs with a key of his own."""
        def thief(certificate, key, version):
            return subprocess.run([THIEF, str(self.server.port), path(certificate + ".pem"), path(key + ".key"), version],
                                  capture_output=True, timeout=PATIENCE, check=False)
        for version in ("1.2", "1.3"):
            with self.subTest(version=version):
                honest = thief("client", "client", version)
                self.assertIn(key_digest("client").encode(), honest.stdout, honest.stderr)
                stolen = thief("client", "relay", version)
                self.assertEqual((stolen.returncode, stolen.stdout), (3, b""))

    def test_nothing_is_resumed(self):
        for version in ("-tls1_2", "-tls1_3"):
            with self.subTest(version=version):
                session = path("session" + version)
                request = head("GET", "/v1/who", "Connection: close")
                self.server.s_client(version, "-sess_out", session, "-ign_eof", text=request)
                if os.path.exists(session):
                    again = self.server.s_client(version, "-sess_in", session, "-ign_eof", text=request)
                    self.assertIn(b"New, TLS", again.stdout)
                    self.assertNotIn(b"Reused", again.stdout)
                first = self.server.s_client(version, "-ign_eof", text=request)
                self.assertNotIn(b"TLS session ticket:", first.stdout)

    def test_plain_http_and_noise_end_at_once(self):
        for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"A" * 5000, os.urandom(600), b"\x80\x2e\x01\x00\x02"):
            with self.subTest(noise=noise[:8]):
                with self.server.plain() as stream:
                    try:
                        stream.sendall(noise)
                        stream.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass # it has closed already
                    self.assertNotIn(b"HTTP/1.1 200", read_all(stream))

    def test_a_hello_that_comes_byte_by_byte_is_understood(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context().wrap_bio(incoming, outgoing, server_hostname="a.relay.test")
        with self.server.plain() as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        stream.sendall(bytes([byte]))
                    incoming.write(stream.recv(65536))
            shown = hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()
            self.assertEqual(shown, fingerprint(path("relay.pem")))

    def test_alpn_offers_http_1_1(self):
        result = self.server.s_client("-alpn", "h2,http/1.1")
        self.assertIn(b"ALPN protocol: http/1.1", result.stdout)


class Http(Case):
    def test_curl_gets_an_answer(self):
        result = self.server.curl(f"https://127.0.0.1:{self.server.port}/v1/live", "-i")
        self.assertIn(b"HTTP/1.1 200", result.stdout)
        for line in (b"Cache-Control: no-store", b"X-Content-Type-Options: nosniff", b"Request-Id: ",
                     b"Content-Security-Policy: default-src 'none'", b"Strict-Transport-Security"):
            self.assertIn(line, result.stdout)

    def test_roles(self):
        ask = self.server.problem
        self.assertEqual(ask("GET", "/v1/terminal")[:2], (401, "request.unauthenticated"))
        self.assertEqual(ask("GET", "/v1/admin")[:2], (403, "request.denied"))
        self.assertEqual(ask("GET", "/v1/admin", client="client")[:2], (403, "request.denied"))
        self.assertEqual(self.server.ask("GET", "/v1/terminal", client="client")[0], 200)
        self.assertEqual(json.loads(self.server.ask("GET", "/v1/both", client="client")[2])["kind"], 1)
        local = self.server.curl("--unix-socket", self.admin, "http://x/v1/both")
        self.assertEqual(json.loads(local.stdout), {"live": True})
        local = json.loads(self.server.curl("--unix-socket", self.admin, "http://x/v1/admin").stdout)
        self.assertEqual((local["kind"], local["actor"]), (2, f"uid:{os.getuid()}"))
        local = json.loads(self.server.curl("--unix-socket", self.admin, "http://x/v1/terminal").stdout)
        self.assertEqual(local["code"], "request.denied")
        self.assertEqual(os.stat(self.admin).st_mode & 0o777, 0o600)

    def test_missing_things_and_methods(self):
        ask = self.server.problem
        for target in ("/", "/v1", "/v1/", "/v1/live/", "//v1/live", "/v1/live%2f", "/v1/%6cive", "/v1/../v1/live", "*"):
            with self.subTest(target=target):
                self.assertEqual(ask("GET", target)[:2], (404, "resource.unknown"))
        status, headers, body = self.server.ask("DELETE", "/v1/echo")
        self.assertEqual((status, json.loads(body)["code"], headers["Allow"]), (405, "request.method", "POST, PUT"))
        self.assertEqual(self.server.ask("DELETE", "/v1/live")[1]["Allow"], "GET, HEAD")
        self.assertEqual(self.server.ask("BREWCOFFEE-AND-SOMETHING-LONG", "/v1/live")[0], 405)
        status, _, body = self.server.ask("HEAD", "/v1/live")
        self.assertEqual((status, body), (200, b""))

    def test_path_parameters(self):
        good = "0189f7c2-0000-7000-8000-000000000001"
        self.assertEqual(json.loads(self.server.ask("GET", "/v1/things/" + good.upper())[2])["id"], good)
        for bad in ("x", good[:-1], good + "0", "%00", good.replace("-", "_")):
            with self.subTest(bad=bad):
                status, code, detail = self.server.problem("GET", "/v1/things/" + bad)
                self.assertEqual((status, code), (400, "request.invalid"))
                self.assertIn("id", detail)

    def test_fields(self):
        ask = self.server.problem
        for body, code, word in (
                ({}, "request.invalid", "text is missing"), ({"text": 1}, "request.invalid", "text"),
                ({"text": ""}, "request.invalid", "text"), ({"text": "a", "x": 1}, "request.unknown_field", '"x"'),
                ({"text": "a", "\U0001f600" * 30: 1}, "request.unknown_field", ""),
                ({"text": "a", "count": -1}, "request.invalid", "count"), ({"text": "a", "count": 11}, "request.invalid", "count"),
                ({"text": "a", "count": 1.5}, "request.invalid", "count"), ({"text": "a", "count": True}, "request.invalid", "count"),
                ({"text": "a", "bytes": "0"}, "request.invalid", "bytes"), ({"text": "a", "bytes": "00" * 17}, "request.invalid", "bytes"),
                ({"text": "a", "id": "1"}, "request.invalid", "id"), ({"text": "a", "object": []}, "request.invalid", "object")):
            with self.subTest(body=body):
                status, got, detail = ask("POST", "/v1/echo", body)
                self.assertEqual((status, got), (400, code))
                self.assertIn(word, detail)
        self.assertEqual(self.server.ask("POST", "/v1/echo", {"text": "ä", "bytes": "00ff", "object": {}})[0], 201)

    def test_json_that_is_none(self):
        deep = '{"text":"a","object":' + '{"a":' * 15 + "1" + "}" * 15 + "}"
        self.assertEqual(self.server.ask("POST", "/v1/echo", raw=deep)[0], 201)
        for raw in ('{"text":"a","object":' + '{"a":' * 16 + "1" + "}" * 16 + "}", "[" * 60000, '{"a":' * 10000, "{", "[]", "1",
                    '"a"', "null", '{"text":"a","text":"b"}', '{"text":"\\u0000"}', b'{"text":"\xff"}', '{"text":"a"} x',
                    '{"text":"a",}', "\x00", '{"text":"' + "\\" * 1001):
            with self.subTest(raw=raw[:30]):
                self.assertEqual(self.server.problem("POST", "/v1/echo", raw=raw)[:2], (400, "request.malformed"))
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"):
            self.assertEqual(self.server.problem("POST", "/v1/echo", raw='{"text":"a"}', headers={"Content-Type": kind})[:2],
                             (400, "request.invalid"))

    def test_queries(self):
        self.assertEqual(self.server.ask("GET", "/v1/slow?ms=0&")[0], 200)
        self.assertEqual(self.server.ask("GET", "/v1/slow?%6ds=%30")[0], 200)
        for query in ("", "?ms=", "?ms=a", "?ms=1&ms=1", "?ms=%", "?ms=%0", "?ms=%00", "?ms=-1", "?ms=99999999999999999999", "?ms=1&x=1"):
            with self.subTest(query=query):
                self.assertEqual(self.server.problem("GET", "/v1/slow" + query)[0], 400)

    def test_large_bodies_are_refused_and_the_limit_is_exact(self):
        text = "a" * 60000
        self.assertEqual(self.server.ask("POST", "/v1/echo", {"text": text})[0], 201)
        fits = '{"text":"a"' + " " * (65536 - 12) + "}"
        self.assertEqual(self.server.ask("POST", "/v1/echo", raw=fits)[0], 201)
        self.assertEqual(self.server.problem("POST", "/v1/echo", raw=fits + " ")[:2], (413, "request.too_large"))
        self.assertEqual(self.server.problem("GET", "/v1/live", raw=b"x")[:2], (413, "request.too_large"))
        for length in ("99999999999999999999", "18446744073709551616"):
            with self.server.connect() as stream:
                stream.sendall(head("POST", "/v1/echo", "Content-Length: " + length))
                self.assertRegex(read_all(stream), rb"^HTTP/1.1 4(00|13)")
        chunk = b"4000\r\n" + b"b" * 0x4000 + b"\r\n"
        with self.server.connect() as stream:
            stream.sendall(head("POST", "/v1/echo", "Transfer-Encoding: chunked") + chunk * 6 + b"0\r\n\r\n")
            stream.settimeout(PATIENCE)
            self.assertIn(b" 413 ", stream.recv(4096))

    def test_an_endless_body_is_cut(self):
        chunk = b"4000\r\n" + b"b" * 0x4000 + b"\r\n"
        with self.server.connect() as stream:
            stream.sendall(head("POST", "/v1/echo", "Transfer-Encoding: chunked"))
            sent = 0
            with self.assertRaises((ConnectionError, ssl.SSLError)):
                while sent < 64 * 1024 * 1024:
                    stream.sendall(chunk)
                    sent += len(chunk)
            self.assertLess(sent, 16 * 1024 * 1024)

    def test_oversized_headers_are_refused(self):
        for lines in (["X: " + "a" * 40000], [f"X-{i}: {'b' * 100}" for i in range(1000)]):
            with self.server.connect() as stream:
                try:
                    stream.sendall(head("GET", "/v1/live", *lines))
                except (ConnectionError, ssl.SSLError):
                    pass
                self.assertNotIn(b" 200 ", read_all(stream))
        with self.server.connect() as stream:
            try:
                stream.sendall(head("GET", "/" + "a" * 60000))
            except (ConnectionError, ssl.SSLError):
                pass
            self.assertNotIn(b" 200 ", read_all(stream))

    def test_ambiguous_requests_are_not_answered_as_two(self):
        """Request smuggling: whichever way the server takes it, the hidden request is not answered."""
        hidden = head("GET", "/v1/who")
        for lines, body in ((["Content-Length: 5", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
                            (["Content-Length: 0", "Content-Length: %d" % len(hidden)], b""),
                            (["Transfer-Encoding : chunked", "Content-Length: %d" % len(hidden)], b""),
                            (["Content-Length: +0"], b""), (["Content-Length: -1"], b"")):
            with self.subTest(lines=lines):
                with self.server.connect() as stream:
                    stream.settimeout(2)
                    stream.sendall(head("POST", "/v1/echo", *lines) + body + hidden)
                    try:
                        data = read_all(stream)
                    except TimeoutError:
                        data = b""
                    self.assertNotIn(b'"address"', data)

    def test_pipelined_requests_are_answered_in_order(self):
        with self.server.connect() as stream:
            stream.sendall(b"".join(head("GET", f"/v1/things/0189f7c2-0000-7000-8000-{i:012x}") for i in range(50)) +
                           head("GET", "/v1/live", "Connection: close"))
            ids = re.findall(rb'"id":"[0-9a-f-]*-([0-9a-f]{12})"', read_all(stream))
        self.assertEqual([int(i, 16) for i in ids], list(range(50)))

    def test_a_half_closed_client_gets_its_answer(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context().wrap_bio(incoming, outgoing)
        with self.server.plain() as stream:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    stream.sendall(outgoing.read())
                    incoming.write(stream.recv(65536))
            tls.write(head("GET", "/v1/slow?ms=300"))
            stream.sendall(outgoing.read())
            stream.shutdown(socket.SHUT_WR)
            while chunk := stream.recv(65536):
                incoming.write(chunk)
            self.assertIn(b" 200 OK", tls.read(65536))

    def test_faults_of_ours_say_nothing_of_the_inside(self):
        status, code, detail = self.server.problem("GET", "/v1/fault")
        self.assertEqual((status, code), (500, "internal.error"))
        self.assertTrue(self.server.events("request.failed"))
        self.assertNotIn("http_server", detail)

    def test_the_log_names_routes_and_never_what_was_sent(self):
        self.server.ask("GET", "/v1/slow?ms=0&secret-in-query=1", headers={"Cookie": "secret-in-cookie"})
        self.server.ask("POST", "/v1/echo", {"text": "secret-in-body"})
        self.server.ask("GET", "/v1/secret-in-path")
        lines = self.server.wait_for("http.request", 3)
        self.assertNotIn("secret-in", self.server.text())
        self.assertTrue({"method", "route", "status", "us", "request"} <= set(lines[-1]))


class Streams(Case):
    options = {"streams": 12}
    host = "label.relay.test"

    def ask(self, method, target, **kwargs):
        return self.server.ask(method, target, host=self.host, **kwargs)

    def url(self, target):
        return ["--resolve", f"{self.host}:{self.server.port}:127.0.0.1", f"https://{self.host}:{self.server.port}{target}"]

    def test_the_handler_sees_the_request_as_it_was_sent(self):
        _, headers, body = self.ask("GET", "/a%2fb/../c?x=%41&y", headers={"Cookie": "a=1; session=s3; b=2", "X-Odd": "ä"})
        self.assertIn(b"GET label.relay.test /a%2fb/../c?x=%41&y\n", body)
        self.assertIn(b"X-Odd: ", body)
        self.assertIn(b"cookie=s3", body)
        self.assertEqual(headers.get_all("Set-Cookie"), ["a=1", "b=2"])

    def test_every_method_arrives(self):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
            self.assertIn(method.encode() + b" label", self.ask(method, "/tell")[2])
        self.assertEqual(self.ask("HEAD", "/big?1000")[0], 200)
        self.assertEqual(self.ask("GET", "/nothing")[0], 204)

    def test_names_outside_the_domain_are_routes(self):
        for host in ("relay.test", "xrelay.test", "relay.test.example", ".relay.test"):
            with self.server.connect() as stream:
                stream.sendall(head("GET", "/tell", "Connection: close", host=host))
                self.assertRegex(read_all(stream), rb"^HTTP/1.1 4")
        with self.server.connect() as stream:
            stream.sendall(head("GET", "/tell", "Connection: close", host="LABEL.relay.TEST:8443"))
            self.assertIn(b"GET label.relay.test /tell", read_all(stream))

    def memory(self):
        with open(f"/proc/{self.server.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) * 1024

    def test_large_downloads_flow_in_constant_memory(self):
        self.ask("GET", "/big?1000000")
        before = self.memory()
        size = 200_000_000
        for target in (f"/big?{size}", f"/chunked?{size}"):
            result = self.server.curl("-o", "/dev/null", "-w", "%{size_download} %{http_code}", *self.url(target))
            self.assertEqual(result.stdout, f"{size} 200".encode())
        self.assertLess(self.memory() - before, 30_000_000 if not SANITIZED else 1 << 40)

    def test_large_uploads_flow_in_constant_memory(self):
        before = self.memory()
        size = 200_000_000
        with open(path("zeros"), "wb") as file:
            file.truncate(size)
        for more in ((), ("-H", "Transfer-Encoding: chunked")):
            result = self.server.curl("-T", path("zeros"), *more, *self.url("/sink"))
            self.assertEqual(result.stdout, str(size).encode())
        self.assertLess(self.memory() - before, 30_000_000 if not SANITIZED else 1 << 40)

    def test_an_early_answer_to_an_upload(self):
        result = self.server.curl("-T", path("small"), "-o", "/dev/null", "-w", "%{http_code}", *self.url("/early"))
        self.assertEqual(result.stdout, b"413")
        with open(path("mega"), "wb") as file:
            file.truncate(5_000_000)
        result = self.server.curl("-T", path("mega"), "-o", "/dev/null", "-w", "%{http_code}", *self.url("/early"))
        self.assertEqual(result.stdout, b"413")

    def test_an_answer_that_breaks_off_is_seen_as_broken(self):
        with self.assertRaises((http.client.IncompleteRead, ConnectionError, ssl.SSLError)):
            self.ask("GET", "/half")

    def test_refusals_are_problems(self):
        status, _, body = self.ask("GET", "/refuse")
        self.assertEqual((status, json.loads(body)["code"]), (410, "session.ended"))

    def test_malformed_headers_never_leave(self):
        status, headers, body = self.ask("GET", "/bad")
        self.assertEqual((status, json.loads(body)["code"]), (400, "request.malformed"))
        self.assertIsNone(headers["Injected"])

    def test_hop_by_hop_headers_of_the_handler_are_dropped(self):
        _, headers, body = self.ask("POST", "/sink", raw=b"12345", headers={"Content-Type": "text/plain"})
        self.assertEqual(body, b"5")
        self.assertEqual(headers["X-Total"], "1")
        self.assertNotIn("upgrade", headers.get("Connection", ""))

    def test_a_client_that_leaves_is_noticed(self):
        def count():
            return int(self.ask("GET", "/disconnects")[2])
        before = count()
        for target in ("/wait", "/big?100000000000"):
            stream = self.server.connect(name=self.host)
            stream.sendall(head("GET", target, host=self.host))
            if target != "/wait":
                stream.recv(1000)
            else:
                time.sleep(0.2)
            stream.close()
        end = time.monotonic() + PATIENCE
        while count() < before + 2 and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(count(), before + 2)

    def test_a_client_that_left_before_its_request_was_read_holds_nothing(self):
        """With the request, a part of its body and the end in one go; more often than there are places for streams."""
        request = head("POST", "/sink", "Content-Length: 1000000", host=self.host) + b"x" * 1000
        for _ in range(32):
            with self.server.connect(name=self.host) as stream:
                stream.sendall(request)
        end, status = time.monotonic() + PATIENCE, 0
        while status != 200 and time.monotonic() < end:
            status, _, _ = self.ask("GET", "/tell")
        self.assertEqual(status, 200)

    def test_a_handler_that_outlives_its_client_still_has_the_headers(self):
        def count():
            return int(self.ask("GET", "/disconnects")[2])
        before = count()
        with self.server.connect(name=self.host) as stream:
            stream.sendall(head("GET", "/late", "X-Late: still here", "Cookie: late=kept", host=self.host))
            time.sleep(0.2)
        # A malformed body ends a connection as well.
        with self.server.connect(name=self.host) as stream:
            stream.sendall(head("POST", "/late", "X-Late: still here", "Cookie: late=kept", "Transfer-Encoding: chunked",
                                host=self.host) + b"f" * 17 + b"\r\n")
            read_all(stream)
        end = time.monotonic() + PATIENCE
        while count() < before + 2 and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(count(), before + 2)

    def test_more_streams_than_allowed_are_refused_at_once(self):
        streams = [self.server.connect(name=self.host) for _ in range(16)]
        for stream in streams:
            stream.sendall(head("GET", "/wait", host=self.host))
        end, status = time.monotonic() + PATIENCE, 0
        while status != 503 and time.monotonic() < end:
            status, headers, _ = self.ask("GET", "/tell")
        self.assertEqual((status, headers["Retry-After"]), (503, "1"))
        self.assertEqual(self.server.ask("GET", "/v1/live")[0], 200)
        for stream in streams:
            stream.close()
        while self.ask("GET", "/tell")[0] != 200 and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.ask("GET", "/tell")[0], 200)


class Overload(Case):
    options = {"workers": 2, "queue": 2}

    def test_a_full_queue_answers_503_at_once_and_reserved_routes_still_answer(self):
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            asked = [pool.submit(self.server.ask, "GET", "/v1/slow?ms=2000") for _ in range(12)]
            time.sleep(0.7)
            self.assertEqual(self.server.ask("GET", "/v1/live")[0], 200)
            self.assertFalse(all(future.done() for future in asked))
            results = [future.result() for future in asked]
        statuses = [status for status, _, _ in results]
        self.assertEqual(sorted(set(statuses)), [200, 503])
        self.assertEqual(statuses.count(200), 4)
        for status, headers, body in results:
            if status == 503:
                self.assertEqual((json.loads(body)["code"], headers["Retry-After"]), ("broker.busy", "1"))


class Limits(Case):
    options = {"connections": 40, "per_address": 30, "handshakes": 8, "handshake_ms": 1500, "idle_ms": 4000, "grace_ms": 1000}

    def closes(self, stream, seconds):
        stream.settimeout(seconds)
        try:
            return stream.recv(100) == b""
        except (ConnectionError, ssl.SSLError):
            return True
        except TimeoutError:
            return False

    def test_1_silent_connections_end(self):
        with self.server.plain() as stream:
            began = time.monotonic()
            self.assertTrue(self.closes(stream, PATIENCE))
            self.assertLess(time.monotonic() - began, 3.5)

    def test_2_handshakes_are_counted_and_the_rest_closed(self):
        def plain(number):
            return socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE,
                                            source_address=(f"127.0.0.{number}", 0))
        # One address has a quarter of them, and keeps nobody else out.
        silent = [plain(1), plain(1)]
        time.sleep(0.3)
        with plain(1) as stream:
            self.assertTrue(self.closes(stream, 1))
        with context().wrap_socket(plain(2), server_hostname="localhost") as stream:
            stream.sendall(head("GET", "/v1/live", "Connection: close"))
            self.assertIn(b" 200 ", read_all(stream))
        silent += [plain(number) for number in (2, 2, 3, 3, 4, 4)]
        time.sleep(0.3)
        with plain(5) as stream:
            self.assertTrue(self.closes(stream, 1))
        with self.server.plain() as stream:
            self.assertTrue(self.closes(stream, 1))
        for stream in silent:
            self.assertTrue(self.closes(stream, PATIENCE))
        self.assertEqual(self.server.ask("GET", "/v1/live")[0], 200)

    def test_3_connections_of_one_address_are_counted(self):
        held = []
        with self.assertRaises((ConnectionError, ssl.SSLError, OSError)):
            for _ in range(31):
                held.append(self.server.connect())
        self.assertEqual(len(held), 30)
        for stream in held:
            stream.close()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                self.assertEqual(self.server.ask("GET", "/v1/live")[0], 200)
                break
            except (ConnectionError, ssl.SSLError, OSError):
                time.sleep(0.05)

    def test_4_idle_connections_end(self):
        with self.server.connect_soon() as stream:
            self.assertTrue(self.closes(stream, PATIENCE))

    def test_4_clients_that_left_within_a_request_keep_no_places(self):
        request = head("POST", "/v1/echo", "Content-Length: 1000") + b"{"
        for _ in range(30):
            with self.server.connect_soon() as stream:
                stream.sendall(request)
        left, status = time.monotonic(), 0
        while status != 200 and time.monotonic() < left + PATIENCE:
            try:
                status = self.server.ask("GET", "/v1/live")[0]
            except (ConnectionError, ssl.SSLError, OSError):
                time.sleep(0.05)
        self.assertLess(time.monotonic() - left, 1.6)

    def test_5_slowloris(self):
        """One byte now and then keeps no connection beyond its grace, in the head or in the body."""
        for begin in (b"GET /v1/live HTTP/1.1\r\n", head("POST", "/v1/echo", "Content-Length: 1000")):
            with self.server.connect() as stream:
                began = time.monotonic()
                stream.sendall(begin)
                with self.assertRaises((ConnectionError, ssl.SSLError)):
                    while time.monotonic() - began < PATIENCE:
                        stream.sendall(b"a")
                        time.sleep(0.2)
                self.assertLess(time.monotonic() - began, 6)

    def test_6_a_waiting_request_is_not_idle_too_soon(self):
        self.assertEqual(self.server.ask("GET", "/v1/slow?ms=2500")[0], 200)


class Many(Case):
    options = {"queue": 600}

    def test_500_connections_at_a_time(self):
        held = []
        for _ in range(500):
            held.append(self.server.connect())
        for stream in held:
            stream.sendall(head("GET", "/v1/live"))
        for stream in held:
            self.assertIn(b" 200 OK", stream.recv(4096))
        for stream in held:
            stream.sendall(head("GET", "/v1/live", "Connection: close"))
        for stream in held:
            self.assertIn(b'{"live":true}', read_all(stream))
            stream.close()

    def test_memory_and_descriptors_are_stable(self):
        def state():
            with open(f"/proc/{self.server.process.pid}/status", encoding="ascii") as file:
                memory = int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])
            return memory, len(os.listdir(f"/proc/{self.server.process.pid}/fd"))
        def load(count):
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                for status, _, _ in pool.map(lambda _: self.server.ask("GET", "/v1/who", client="client"), range(count)):
                    self.assertEqual(status, 200)
        load(200)
        time.sleep(0.5)
        before = state()
        load(600)
        end = time.monotonic() + PATIENCE
        while state()[1] > before[1] and time.monotonic() < end:
            time.sleep(0.1)
        after = state()
        self.assertLessEqual(after[1], before[1])
        if not SANITIZED:
            self.assertLess(after[0] - before[0], 8192)


class Life(unittest.TestCase):
    def test_stopping_under_load_loses_no_request(self):
        server = Server()
        lost, answered, stopping = [], [], threading.Event()

        def client():
            while not stopping.is_set():
                try:
                    stream = server.connect()
                except OSError:
                    if not stopping.is_set():
                        lost.append("connect")
                    return
                with stream:
                    # A connection that was made is served, whatever happens after.
                    try:
                        stream.sendall(head("GET", "/v1/slow?ms=20"))
                        data = stream.recv(4096)
                    except OSError as error:
                        lost.append(repr(error))
                        continue
                    (answered if b" 200 OK" in data else lost).append(data[:60])

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        began = time.monotonic()
        stopping.set()
        status = server.stop()
        for thread in threads:
            thread.join()
        self.assertEqual((status, lost), (0, []))
        self.assertGreater(len(answered), 20)
        self.assertLess(time.monotonic() - began, PATIENCE)

    def test_a_request_under_way_is_finished_and_its_connection_closed(self):
        server = Server()
        with server.connect() as stream:
            stream.sendall(head("GET", "/v1/slow?ms=1000"))
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            data = read_all(stream)
        self.assertIn(b" 200 OK", data)
        self.assertIn(b"Connection: close", data)
        with self.assertRaises(OSError):
            server.plain()
        self.assertEqual(server.stop(), 0)

    def test_idle_connections_do_not_hold_up_the_stop(self):
        server = Server()
        held = [server.connect() for _ in range(5)]
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - began, 8)
        for stream in held:
            stream.close()

    def test_reload_swaps_the_certificate_and_keeps_connections(self):
        for name in ("swap-1", "swap-2"):
            make_certificate(name)
        for part in ("pem", "key"):
            os.symlink(path("swap-1." + part), path("swap." + part))
        server = Server(certificate=path("swap.pem"), key=path("swap.key"))

        def shown():
            with server.connect() as stream:
                return hashlib.sha256(stream.getpeercert(binary_form=True)).hexdigest()

        self.assertEqual(shown(), fingerprint(path("swap-1.pem")))
        with server.connect() as kept:
            for part in ("pem", "key"):
                os.unlink(path("swap." + part))
                os.symlink(path("swap-2." + part), path("swap." + part))
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("reload.done")
            self.assertEqual(shown(), fingerprint(path("swap-2.pem")))
            kept.sendall(head("GET", "/v1/live"))
            self.assertIn(b" 200 OK", kept.recv(4096))
            # A pair that does not fit is refused as a whole.
            os.unlink(path("swap.key"))
            os.symlink(path("swap-1.key"), path("swap.key"))
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("reload.failed")
            self.assertEqual(shown(), fingerprint(path("swap-2.pem")))
        self.assertEqual(server.stop(), 0)


def main():
    for name in ("server", "relay", "client"):
        make_certificate(name)
    make_certificate("client-rsa", "rsa")
    with open(path("small"), "wb") as file:
        file.truncate(1000)
    del sys.argv[1:3]
    unittest.main(verbosity=2, warnings="ignore")


if __name__ == "__main__":
    main()

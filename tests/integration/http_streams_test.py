#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that are relayed: two streams each, of any size, cut when the client leaves."""
import http.client
import json
import re
import socket
import ssl
import time

from http_support import Case, head, main, path, PATIENCE, read_all, SANITIZED


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

    def test_whoever_takes_an_answer_late_sees_its_end(self):
        """Of whatever size: when the server closes, a part may be anywhere on its way."""
        held = []
        for size in range(150_000, 650_000, 25_000):
            stream = socket.socket(socket.AF_UNIX)
            stream.settimeout(PATIENCE)
            stream.connect(self.admin)
            stream.sendall(head("GET", f"/big?{size}", "Connection: close", host=self.host))
            held.append((size, stream))
            if len(held) == 10:         # more streams than that are not allowed
                time.sleep(0.5)
                for size, stream in held:
                    with stream:
                        self.assertEqual(len(read_all(stream).split(b"\r\n\r\n", 1)[1]), size)
                held = []

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


if __name__ == "__main__":
    main()

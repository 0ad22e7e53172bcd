#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not HTTP, or too much of it, is refused in the same form as everything else, wherever it comes in the connection."""
import json
import re
import socket
import ssl
import time

from http_support import PATIENCE, Case, Server, head, main, path, read_all

GOOD = head("GET", "/v1/live")
LIMIT = 32 * 1024
CHUNKED = head("POST", "/v1/echo", "Transfer-Encoding: chunked")
STREAM = head("POST", "/sink", "Transfer-Encoding: chunked", host="a.relay.test")

# Each: what is sent, and the statuses that fit it.
REJECTED = {
    "noise": (b"\x16\x03\x01\r\n\r\n", {400}),
    "no version": (b"GET /v1/live\r\nHost: localhost\r\n\r\n", {400, 505}),
    "another protocol": (b"GET /v1/live SIP/2.0\r\nHost: localhost\r\n\r\n", {400, 505}),
    "a version to come": (b"GET /v1/live HTTP/3.0\r\nHost: localhost\r\n\r\n", {400, 505}),
    "a version too far": (b"GET /v1/live HTTP/1.1x\r\nHost: localhost\r\n\r\n", {400, 505}),
    "no Host": (b"GET /v1/live HTTP/1.1\r\n\r\n", {400}),
    "a header without colon": (b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\nNothing\r\n\r\n", {400}),
    "a header too long": (head("GET", "/v1/live", "X: " + "a" * LIMIT), {413, 431}),
    "many headers": (head("GET", "/v1/live", *[f"X-{i}: {'b' * 100}" for i in range(1000)]), {413, 431}),
    "a target too long": (head("GET", "/" + "a" * 2 * LIMIT), {413, 414, 431}),
    "an endless line": (b"a" * 3 * LIMIT, {400, 413, 414, 431}),
    "a bad chunk size": (CHUNKED + b"zz\r\n\r\n", {400}),
    "a chunk too large": (CHUNKED + b"f" * 17 + b"\r\n", {400, 413}),
    "an unended chunk": (CHUNKED + b"1\r\nab\r\n0\r\n\r\n", {400}),
    "a bad length": (head("POST", "/v1/echo", "Content-Length: x"), {400}),
    "a length too large": (head("POST", "/v1/echo", "Content-Length: " + "9" * 30), {400, 413}),
    "two lengths": (head("POST", "/v1/echo", "Content-Length: 1", "Content-Length: 2") + b"ab", {400}),
    "an unknown coding": (head("POST", "/v1/echo", "Transfer-Encoding: gzip"), {400, 501}),
    "a bad chunk to a stream": (STREAM + b"zz\r\n\r\n", {400}),
}


class Rejection(Case):
    def local(self):
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(PATIENCE)
        stream.connect(self.admin)
        return stream

    def send(self, stream, data):
        try:
            stream.sendall(data)
        except (ConnectionError, ssl.SSLError):
            pass  # refused before all of it was read

    def last_answer(self, data):
        """The status and the problem of what must be the last answer on a connection, and what came before it."""
        start = [found.start() for found in re.finditer(rb"HTTP/1\.1 \d{3} ", data)][-1]
        before, last = data[:start], data[start:]
        front, _, body = last.partition(b"\r\n\r\n")
        status, *lines = front.decode().split("\r\n")
        status = status.split(" ")[1]
        headers = dict(line.lower().split(": ", 1) for line in lines)
        problem = json.loads(body)
        self.assertEqual(headers["content-type"], "application/problem+json")
        self.assertEqual(int(headers["content-length"]), len(body))
        self.assertEqual(headers["connection"], "close")
        self.assertEqual((problem["status"], problem["request"]), (int(status), headers["request-id"]))
        self.assertEqual(headers["cache-control"], "no-store")
        self.assertTrue(problem["detail"].endswith("."), problem)
        return problem, before

    def refuses(self, stream, data, statuses, before=b""):
        self.send(stream, data)
        answer = read_all(stream)
        self.assertNotIn(b"<html", answer)
        problem, earlier = self.last_answer(answer)
        self.assertIn(problem["status"], statuses)
        self.assertEqual(problem["code"], "request.malformed" if problem["status"] in (400, 501, 505) else "request.too_large")
        self.assertEqual(earlier.count(b"HTTP/1.1 200"), before.count(b"GET "), earlier)
        return problem

    def test_over_tls(self):
        for what, (data, statuses) in REJECTED.items():
            with self.subTest(what=what), self.server.connect(name="a.relay.test" if "stream" in what else "localhost") as stream:
                self.refuses(stream, data, statuses)

    def test_a_request_with_two_faults_is_not_left_over(self):
        """libmicrohttpd gives up such a request without saying so: it would count as under way for ever."""
        place = path("faults.sock")
        server = Server(admin=place)
        for _ in range(300):
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(PATIENCE)
                stream.connect(place)
                stream.sendall(b'GET /v1/live HTTP/1.1\r\nCookie: a="\r\nContent-Length: 3x\r\n\r\n')
                self.last_answer(read_all(stream))
        self.assertEqual(server.stop(), 0)

    def test_on_the_administration_socket(self):
        for what, (data, statuses) in REJECTED.items():
            with self.subTest(what=what), self.local() as stream:
                self.refuses(stream, data, statuses)

    def test_after_answers_on_the_same_connection(self):
        for what, (data, statuses) in REJECTED.items():
            if "stream" in what:
                continue
            with self.subTest(what=what), self.server.connect() as stream:
                stream.sendall(GOOD)
                self.assertIn(b'"live":true', stream.recv(65536))
                self.refuses(stream, data, statuses)

    def test_behind_requests_in_one_piece(self):
        """However the bytes of the last good answer and of the refusal meet on their way."""
        for what, (data, statuses) in REJECTED.items():
            if "stream" in what:
                continue
            for _ in range(5):
                with self.subTest(what=what), self.server.connect() as stream:
                    self.refuses(stream, GOOD * 20 + data, statuses, GOOD * 20)

    def test_behind_a_large_answer_to_a_slow_reader(self):
        with self.server.connect(name="a.relay.test") as stream:
            self.send(stream, head("GET", "/big?3000000", host="a.relay.test") + b"noise\r\n\r\n")
            time.sleep(0.3)
            answer = read_all(stream)
            problem, before = self.last_answer(answer)
            self.assertEqual(problem["code"], "request.malformed")
            self.assertEqual(len(before.split(b"\r\n\r\n", 1)[1]), 3000000)

    def test_an_answer_that_looks_like_a_refusal_is_left_alone(self):
        page = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 13\r\n\r\n<html></html>"
        status, _, body = self.server.ask("POST", "/mirror", raw=page, host="a.relay.test", headers={"Content-Type": "text/html"})
        self.assertEqual((status, body), (200, page))

    def test_an_invitation_to_go_on_is_passed_on(self):
        body = b'{"text":"a"}'
        ask = head("POST", "/v1/echo", "Expect: 100-continue", "Content-Type: application/json", f"Content-Length: {len(body)}")
        for connect in (self.server.connect, self.local):
            with connect() as stream:
                for _ in range(3):
                    stream.sendall(ask)
                    self.assertEqual(stream.recv(65536), b"HTTP/1.1 100 Continue\r\n\r\n")
                    stream.sendall(body)
                    self.assertIn(b" 201 ", stream.recv(65536))
                bad = head("POST", "/v1/echo", "Expect: 100-continue", "Transfer-Encoding: chunked")
                stream.sendall(bad)
                self.assertEqual(stream.recv(65536), b"HTTP/1.1 100 Continue\r\n\r\n")
                self.refuses(stream, b"zz\r\n\r\n", {400})

    def test_the_log_has_each_once_under_its_identifier(self):
        before = len(self.server.events("http.rejected"))
        with self.server.connect() as stream:
            problem = self.refuses(stream, b"secret-in-noise\r\n\r\n", {400})
        events = self.server.wait_for("http.rejected", before + 1)[before:]
        self.assertEqual([(e["request"], e["error"]) for e in events], [(problem["request"], "request.malformed")])
        self.assertNotIn("secret-in-noise", self.server.text())

    def test_memory_is_not_kept(self):
        for _ in range(300):
            with self.local() as stream:
                self.refuses(stream, b"noise\r\n\r\n", {400})


if __name__ == "__main__":
    main()

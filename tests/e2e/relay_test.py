# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay against clients that do not keep to HTTP, and against each other's cookies."""

import os
import re
import signal
import socket
import ssl
import unittest
from pathlib import Path

from world import PATIENCE, main, wait_until, world

w = None


def setUpModule():
    global w
    w = world()
    for name in ("Hanako", "Taro"):
        w.add_holder(name)


def tearDownModule():
    if w:
        w.tear_down()


class Session:
    """A relayed session as a client has it that writes its requests by hand."""

    def __init__(self, holder):
        url = w.tap_with(holder)["delivery"]["url"]
        self.host = re.match(r"https://([^:/]+)", url)[1]
        self.context = ssl.create_default_context(cafile=str(w.pki / "tls" / "ca.pem"))
        self.code = url.partition("code=")[2]
        # Whoever only looks uses nothing up.
        self.looked = self.send(f"HEAD /.cardbroker/enter?code={self.code} HTTP/1.1", f"Host: {self.host}:{w.port}")
        answer = self.send(f"GET /.cardbroker/enter?code={self.code} HTTP/1.1", f"Host: {self.host}:{w.port}")
        self.cookie = re.search(rb"__Host-cardbroker=[0-9a-f]{64}", answer)[0].decode()

    def open(self):
        raw = socket.create_connection(("127.0.0.1", w.port), timeout=10 * PATIENCE)
        return self.context.wrap_socket(raw, server_hostname=self.host)

    def send(self, *lines, body=b""):
        """One request on a connection of its own, and everything that comes back."""
        with self.open() as stream:
            stream.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
            data = b""
            try:
                while part := stream.recv(65536):
                    data += part
            except (ConnectionError, ssl.SSLError):
                pass
            return data

    def ask(self, line, *lines, body=b"", cookie=None):
        return self.send(f"{line} HTTP/1.1", f"Host: {self.host}:{w.port}", f"Cookie: {cookie or self.cookie}", *lines, body=body)

    def lives(self):
        return b"subject=CN=" in self.ask("GET /whoami")


class Relay(unittest.TestCase):
    def test_a_cookie_opens_its_own_session_only(self):
        one, other = Session("Hanako"), Session("Taro")
        answer = other.ask("GET /whoami", cookie=one.cookie)
        self.assertIn(b" 404 ", answer.split(b"\r\n")[0])
        self.assertNotIn(b"CN=", answer)
        # Nor does the service ever see one.
        self.assertNotIn(b"__Host-", one.ask("GET /headers", f"Cookie: x=1; {other.cookie}"))

    def test_only_opening_the_address_uses_its_code(self):
        session = Session("Hanako")
        self.assertIn(b" 404 ", session.looked.split(b"\r\n")[0])
        self.assertNotIn(b"Set-Cookie", session.looked)
        self.assertTrue(session.lives())

    def test_the_address_is_good_until_somebody_comes_with_its_cookie(self):
        session = Session("Hanako")
        lost, request = session.cookie, f"GET /.cardbroker/enter?code={session.code} HTTP/1.1"
        answer = session.send(request, f"Host: {session.host}:{w.port}")
        session.cookie = re.search(rb"__Host-cardbroker=[0-9a-f]{64}", answer)[0].decode()
        self.assertIn(b" 404 ", session.ask("GET /whoami", cookie=lost).split(b"\r\n")[0])
        self.assertTrue(session.lives())
        self.assertIn(b" 404 ", session.send(request, f"Host: {session.host}:{w.port}").split(b"\r\n")[0])
        self.assertTrue(session.lives())

    def test_relay_and_interfaces_are_told_apart_by_host(self):
        session = Session("Hanako")
        answer = session.send("GET /v1/services HTTP/1.1", "Host: localhost", f"Host: {session.host}", f"Cookie: {session.cookie}")
        self.assertRegex(answer.split(b"\r\n")[0], b" 40[01] ")
        self.assertNotIn(b" 200 ", session.ask("GET https://localhost/v1/status").split(b"\r\n")[0])

    def test_what_is_no_header_goes_to_no_service(self):
        for line in ("Transfer-Encoding : chunked", "A B: 1", "X: 1\rTransfer-Encoding: chunked"):
            with self.subTest(line=line):
                session = Session("Hanako")
                self.assertIn(b" 400 ", session.ask("GET /headers", line).split(b"\r\n")[0])
                self.assertTrue(session.lives())

    def test_two_lengths_hide_no_request(self):
        session = Session("Hanako")
        hidden = f"GET /whoami HTTP/1.1\r\nHost: {session.host}\r\n\r\n".encode()
        answer = session.ask("POST /echo", "Transfer-Encoding: chunked", f"Content-Length: {5 + len(hidden)}",
                             body=b"5\r\nhello\r\n0\r\n\r\n" + hidden)
        self.assertIn(b" 400 ", answer.split(b"\r\n")[0])
        self.assertNotIn(b"subject=", answer)
        self.assertTrue(session.lives())

    def test_a_status_that_is_none_is_the_services_mistake(self):
        session = Session("Hanako")
        answer = session.ask("GET /status?code=999")
        self.assertIn(b" 502 ", answer.split(b"\r\n")[0])
        self.assertIn(b"service.answer", answer)
        self.assertTrue(session.lives())

    def test_a_broken_body_ends_that_session_and_nothing_else(self):
        broken, other = Session("Taro"), Session("Hanako")
        for size in (b"f" * 17, b"-1", b"zz"):
            broken.ask("POST /echo", "Transfer-Encoding: chunked", body=size + b"\r\nhello\r\n0\r\n\r\n")
        self.assertTrue(other.lives())
        self.assertTrue(w.ready())

    def test_neither_codes_nor_cookies_are_in_a_log(self):
        session = Session("Hanako")
        self.assertTrue(session.lives())
        logs = list(w.logs.glob("*.log")) + list((w.folder / "nginx").glob("*.log"))
        self.assertTrue(logs)
        for log in logs:
            text = log.read_text(errors="replace")
            self.assertNotIn(session.code, text, log)
            self.assertNotIn(session.cookie.partition("=")[2], text, log)

    def test_a_hangup_ends_no_session(self):
        session = Session("Hanako")
        def parent(pid):
            return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        first = w.programs["cardbroker-connectord"].pid
        lasting = [first] + [pid for pid, above in w.of_each("cardbroker-connectord", parent) if above == first]
        self.assertGreater(len(lasting), 2)             # the program and its connectors; below them the session's own
        before = len(w.log_of("cardbroker-connectord"))
        for pid, _ in w.processes("cardbroker-connectord"):
            try:
                os.kill(pid, signal.SIGHUP)
            except ProcessLookupError:                  # of a session that ended before
                pass
        wait_until("a line about it", lambda: "hangup.ignored" in w.log_of("cardbroker-connectord")[before:], 10 * PATIENCE)
        self.assertTrue(session.lives())
        self.assertLessEqual(set(lasting), {pid for pid, _ in w.processes("cardbroker-connectord")})
        self.assertTrue(Session("Taro").lives())


if __name__ == "__main__":
    main()

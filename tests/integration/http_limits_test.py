#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one client, or many, can take: connections, time, memory, places in the queue."""
import concurrent.futures
import itertools
import json
import os
import re
import socket
import ssl
import time

from http_support import Case, context, head, main, PATIENCE, read_all, SANITIZED


class Overload(Case):
    options = {"workers": 2, "queue": 2}

    def held(self):
        return json.loads(self.server.ask("GET", "/v1/held")[2])["held"]

    def test_a_full_queue_answers_503_at_once_and_reserved_routes_still_answer(self):
        """At once: while all that is served stands still, and before any of it goes on."""
        workers, queue, more = self.options["workers"], self.options["queue"], 8
        with concurrent.futures.ThreadPoolExecutor(workers + queue + more) as pool:
            try:
                asked = [pool.submit(self.server.ask, "GET", "/v1/hold") for _ in range(workers)]
                end = time.monotonic() + PATIENCE
                while self.held() < workers and time.monotonic() < end:
                    time.sleep(0.02)
                self.assertEqual(self.held(), workers)
                asked += [pool.submit(self.server.ask, "GET", "/v1/hold") for _ in range(queue + more)]
                refused = [future.result() for future in itertools.islice(
                    concurrent.futures.as_completed(asked, timeout=PATIENCE / 2), more)]
                for path in ("/v1/reserved", "/v1/live"):
                    self.assertEqual(self.server.ask("GET", path)[0], 200)
                self.assertEqual(sum(future.done() for future in asked), more)
                self.assertEqual(self.held(), workers)
            finally:
                self.server.ask("GET", "/v1/release")
            results = [future.result() for future in asked]
        for status, headers, body in refused:
            self.assertEqual((status, json.loads(body)["code"], headers["Retry-After"]), (503, "broker.busy", "1"))
        self.assertEqual(sorted(status for status, _, _ in results), (workers + queue) * [200] + more * [503])


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


class Silence(Case):
    """The limit for idle connections is far away: what ends these is the limit for a request."""
    options = {"idle_ms": 600000, "grace_ms": 500}

    def test_half_a_request_and_then_nothing(self):
        for half in (b"G", b"GET /v1/live HTTP/1.1\r\nHost:", head("POST", "/v1/echo", "Content-Length: 10") + b"{"):
            for before in (b"", head("GET", "/v1/live")):
                with self.subTest(half=half, before=before), self.server.connect() as stream:
                    if before:
                        stream.sendall(before)
                        self.assertIn(b" 200 ", stream.recv(65536))
                    stream.sendall(half)
                    self.assertEqual(read_all(stream), b"")

    def test_a_request_that_is_whole_has_its_time(self):
        self.assertEqual(self.server.ask("GET", "/v1/slow?ms=2000")[0], 200)
        with self.server.connect() as stream:
            stream.sendall(head("GET", "/v1/live") + head("GET", "/v1/slow?ms=2000", "Connection: close"))
            self.assertEqual(read_all(stream).count(b" 200 "), 2)

    def test_a_connection_between_requests_has_the_other_limit(self):
        with self.server.connect() as stream:
            for _ in range(2):
                stream.sendall(head("GET", "/v1/live"))
                self.assertIn(b" 200 ", stream.recv(65536))
                time.sleep(1.2)


class Threads(Case):
    options = {"threads": 16, "connections": 40}

    def test_however_connections_fall_to_the_threads_all_that_are_allowed_are_served(self):
        held = []
        for _ in range(40):
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].settimeout(PATIENCE)
            held[-1].connect(self.admin)
            held[-1].sendall(head("GET", "/v1/live"))
            self.assertIn(b" 200 OK", held[-1].recv(4096))
        for stream in held:
            stream.close()


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


if __name__ == "__main__":
    main()

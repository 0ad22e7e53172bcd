#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop and reload while clients are there."""
import hashlib
import os
import signal
import socket
import threading
import time
import unittest

from http_support import fingerprint, head, main, make_certificate, path, PATIENCE, read_all, Server


def worked(server):
    """Seconds of processor time so far."""
    with open(f"/proc/{server.process.pid}/stat") as stat:
        return sum(int(field) for field in stat.read().rpartition(")")[2].split()[11:13]) / os.sysconf("SC_CLK_TCK")


class Life(unittest.TestCase):
    def start(self, **options):
        server = Server(**options)
        self.addCleanup(server.kill)
        return server

    def test_stopping_under_load_loses_no_request(self):
        server = self.start()
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
        server = self.start()
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

    def test_an_answer_that_was_begun_or_is_awaited_is_no_idle_connection(self):
        server = self.start()
        size = 30000000     # more than the kernel keeps for a reader that pauses
        with server.connect() as waits, server.connect(name="a.relay.test") as pauses:
            waits.sendall(head("GET", "/v1/live") + head("GET", "/v1/slow?ms=4000"))
            pauses.sendall(head("GET", f"/big?{size}", host="a.relay.test"))
            self.assertIn(b" 200 OK", waits.recv(4096))
            beginning = pauses.recv(4096)
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            self.assertIn(b" 200 OK", read_all(waits))
            count = len(beginning.partition(b"\r\n\r\n")[2])
            while piece := pauses.recv(65536):
                count += len(piece)
        self.assertEqual(count, size)
        self.assertEqual(server.stop(), 0)

    def test_idle_connections_do_not_hold_up_the_stop(self):
        server = self.start()
        held = [server.connect() for _ in range(5)]
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - began, 8)
        for stream in held:
            stream.close()

    def test_connections_that_wait_cost_nothing(self):
        """Kept, in the middle of a request, with an answer that nobody takes or that nobody has yet: their threads sleep."""
        server = self.start(grace_ms=60000, idle_ms=60000)
        held = []
        for name, sent in (("localhost", head("GET", "/v1/live")), ("localhost", head("GET", "/v1/live")[:20]),
                           ("localhost", head("POST", "/v1/echo", "Content-Length: 1000") + b"{"),
                           ("localhost", head("GET", "/v1/slow?ms=8000")),
                           ("a.relay.test", head("GET", "/big?100000000", host="a.relay.test")),
                           ("a.relay.test", head("GET", "/wait", host="a.relay.test")),
                           ("a.relay.test", head("POST", "/wait", "Content-Length: 1000000", host="a.relay.test") + bytes(200000))):
            held.append(server.connect(name=name))
            held[-1].settimeout(1)
            try:
                held[-1].sendall(sent)
            except TimeoutError:
                pass                    # nobody takes it
        time.sleep(1)                   # all is as far as it goes
        self.assertIn(b" 200 OK", held[0].recv(4096))

        before = worked(server)
        time.sleep(2)
        self.assertLess(worked(server) - before, 0.5)
        for stream in held:
            stream.close()
        self.assertEqual(server.stop(), 0)

    def test_connections_are_shared_by_the_threads(self):
        """Each is made when nothing else is to be done, so that the kernel would wake one thread for all of them."""
        server, held = self.start(), []
        for _ in range(40):
            held.append(server.connect())
            held[-1].sendall(head("GET", "/v1/live"))
            self.assertIn(b" 200 OK", held[-1].recv(4096))
        folder = f"/proc/{server.process.pid}"
        polled = []
        for name in os.listdir(folder + "/fd"):
            if os.readlink(f"{folder}/fd/{name}") == "anon_inode:[eventpoll]":
                with open(f"{folder}/fdinfo/{name}") as info:
                    polled.append(sum(line.startswith("tfd:") for line in info))
        fewer = sorted(polled)[-2]      # of the two threads; each connection is two descriptors there
        self.assertGreater(fewer, 20)
        for stream in held:
            stream.close()
        self.assertEqual(server.stop(), 0)

    def test_a_chunk_that_tells_of_itself_without_end_costs_nothing(self):
        """libmicrohttpd has no room for more of it and waits for somebody to take what there is: nobody will."""
        server = self.start(grace_ms=3000)
        endless = head("POST", "/v1/echo", "Transfer-Encoding: chunked") + b"5;" + b"a" * 36000

        with server.connect() as stream, server.connect() as other:
            stream.sendall(endless)
            time.sleep(0.5)
            before = worked(server)
            time.sleep(3)
            self.assertLess(worked(server) - before, 0.5)
            other.sendall(head("GET", "/v1/live"))
            self.assertIn(b" 200 OK", other.recv(4096))
        self.assertEqual(server.stop(), 0)

    def test_who_ends_his_side_with_his_request_is_answered_and_let_go(self):
        server = self.start(admin=path("end.sock"))
        for target in ("/v1/live", "/v1/slow?ms=10", "/v1/nothing"):
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(PATIENCE)
                stream.connect(path("end.sock"))
                stream.sendall(head("GET", target))
                stream.shutdown(socket.SHUT_WR)
                began = time.monotonic()
                self.assertEqual(read_all(stream).count(b"HTTP/1.1 "), 1)
            self.assertLess(time.monotonic() - began, 5, target)
        self.assertEqual(server.stop(), 0)

    def test_reload_swaps_the_certificate_and_keeps_connections(self):
        for name in ("swap-1", "swap-2"):
            make_certificate(name)
        for part in ("pem", "key"):
            os.symlink(path("swap-1." + part), path("swap." + part))
        server = self.start(certificate=path("swap.pem"), key=path("swap.key"))

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


if __name__ == "__main__":
    main()

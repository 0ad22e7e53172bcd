#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The acceptor and the HTTP server as clients meet them."""
import contextlib
import ctypes
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import time

from http_support import Case, context, fingerprint, head, key_digest, main, path, PATIENCE, read_all, THIEF


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

    def test_whoever_ends_within_his_hello_is_let_go_at_once(self):
        for part in (b"\x16", b"\x16\x03\x01\x02\x00" + b"A" * 10):
            for pause in (0, 0.3):
                with self.subTest(part=part, pause=pause), self.server.plain() as stream:
                    stream.sendall(part)
                    time.sleep(pause)
                    stream.shutdown(socket.SHUT_WR)
                    began = time.monotonic()
                    self.assertEqual(read_all(stream), b"")
                    self.assertLess(time.monotonic() - began, 1.5) # not when the time for a handshake is over

    def test_whoever_sends_urgent_data_within_his_hello_is_let_go_at_once(self):
        """What comes behind it cannot be looked at, and the kernel would tell of it all the time."""
        with self.server.plain() as stream:
            stream.sendall(b"\x16\x03\x01\x02\x00" + b"A" * 10)
            stream.send(b"B", socket.MSG_OOB)
            try:
                stream.sendall(b"C" * 10)
            except ConnectionError:
                pass # it is closed already
            began = time.monotonic()
            self.assertEqual(read_all(stream), b"")
            self.assertLess(time.monotonic() - began, 3) # of five seconds for a handshake

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

    def test_a_connection_that_was_answered_at_once_is_listened_to(self):
        """After an answer by the thread that read the request, whatever comes next has its answer as well."""
        live, thing = head("GET", "/v1/live"), head("GET", "/v1/things/0189f7c2-0000-7000-8000-000000000007")

        def answered(stream, count):
            data = b""
            while len(re.findall(rb"HTTP/1.1 20[01] ", data)) < count or not data.endswith(b"}\n"):
                chunk = stream.recv(65536)
                self.assertTrue(chunk, data)
                data += chunk
            self.assertEqual(data.count(b"HTTP/1.1 "), count)
            return data

        for parts in ((live,), (thing,), (live, thing, live), (live + thing + live,), (live[:9], live[9:]),
                      (live + live[:20], live[20:]), (live + thing[:5], thing[5:] + live), (thing + live,)):
            with self.subTest(parts=parts), self.server.connect() as stream:
                for part in (live, *parts, live):
                    stream.sendall(part)
                    time.sleep(0.05)
                answered(stream, 2 + b"".join(parts).count(b"HTTP/1.1"))
        with self.server.connect() as stream:
            body = b'{"text":"late"}'
            stream.sendall(live)
            answered(stream, 1)
            stream.sendall(head("POST", "/v1/echo", "Expect: 100-continue", f"Content-Length: {len(body)}"))
            self.assertEqual(stream.recv(65536), b"HTTP/1.1 100 Continue\r\n\r\n")
            stream.sendall(body)
            self.assertIn(b"late", answered(stream, 1))
        with self.server.connect() as stream:
            stream.sendall(live)
            answered(stream, 1)
            stream.sendall(b"no request\r\n\r\n")
            self.assertIn(b" 400 ", read_all(stream))
        for first in (live, thing):
            for rest, said in ((b"no request\r\n\r\n", b" 400 "), (head("GET", "/v1/live", "X: " + "x" * 40000), b" 431 "),
                               (head("POST", "/v1/echo", "Expect: 100-continue", "Content-Length: 5"), b" 100 Continue")):
                with self.subTest(first=first, said=said), self.server.connect() as stream:
                    stream.sendall(first + rest)
                    data = b""
                    while said not in data:
                        chunk = stream.recv(65536)
                        self.assertTrue(chunk, data)
                        data += chunk
                    self.assertIn(b" 200 OK", data)
        for last in (live, b"", live[:9]):
            with self.server.connect() as stream:
                stream.sendall(live)
                answered(stream, 1)
                stream.sendall(last)
                if last == live:
                    answered(stream, 1)
                begun = time.monotonic()
                self.assertEqual(read_all(stream.unwrap()), b"")
                self.assertLess(time.monotonic() - begun, PATIENCE)

    @contextlib.contextmanager
    def by_library(self):
        """What Python's ssl does not offer: libssl itself, and its session on a connection."""
        library = ctypes.CDLL("libssl.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(library, name).restype = ctypes.c_void_p
        settings = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        session = ctypes.c_void_p(library.SSL_new(settings))
        with self.server.plain() as stream:
            stream.settimeout(None)
            library.SSL_set_fd(session, stream.fileno())
            self.assertEqual(library.SSL_connect(session), 1)
            yield library, session
        library.SSL_free(session)
        library.SSL_CTX_free(settings)

    def test_new_keys_may_be_asked_for_between_requests(self):
        body = b'{"text":"' + b"x" * 50000 + b'"}'
        requests = [head("POST", "/v1/echo", f"Content-Length: {len(body)}") + body] * 4 + [head("GET", "/v1/live", "Connection: close")]
        with self.by_library() as (library, session):
            for request in requests:
                self.assertEqual(library.SSL_key_update(session, 1), 1)
                self.assertEqual(library.SSL_write(session, request, len(request)), len(request))
            got, piece = b"", ctypes.create_string_buffer(65536)
            while (count := library.SSL_read(session, piece, len(piece))) > 0:
                got += piece.raw[:count]
        self.assertEqual(got.count(b"HTTP/1.1 201 "), 4)
        self.assertTrue(got.endswith(b'{"live":true}\n'), got[-200:])

    def test_new_keys_may_be_asked_for_while_an_answer_is_not_taken(self):
        size = 30000000     # more than the kernel keeps for a reader that pauses
        requests = [head("GET", f"/big?{size}", host="a.relay.test"), head("GET", "/nothing", "Connection: close", host="a.relay.test")]
        with self.by_library() as (library, session):
            for request in requests:
                self.assertEqual(library.SSL_key_update(session, 1), 1)
                self.assertEqual(library.SSL_write(session, request, len(request)), len(request))
                time.sleep(0.5) # the answer is as far as it goes
            total, last, piece = 0, b"", ctypes.create_string_buffer(65536)
            while (count := library.SSL_read(session, piece, len(piece))) > 0:
                total += count
                last = (last + piece.raw[:count])[-1000:]
        self.assertGreater(total, size)
        self.assertIn(b"HTTP/1.1 204 ", last)

    def test_records_may_come_in_any_pieces(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context().wrap_bio(incoming, outgoing)
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
            stream.sendall(outgoing.read())
            for _ in range(3):
                tls.write(head("GET", "/v1/live"))
            tls.write(head("POST", "/v1/echo", "Content-Length: 6011") + b'{"text":"' + b"x" * 6000 + b'"}')
            sent = outgoing.read()
            for cut in (3, 5, 70, 71, 200, 1024, 1500, 5000, len(sent)):
                stream.sendall(sent[:cut])
                sent = sent[cut:]
                time.sleep(0.02)
            data = b""
            while data.count(b" 200 OK\r\n") < 3 or b"x" * 6000 not in data:
                incoming.write(stream.recv(65536))
                try:
                    while chunk := tls.read(65536):
                        data += chunk
                except ssl.SSLWantReadError:
                    pass

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


if __name__ == "__main__":
    main()

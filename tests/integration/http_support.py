# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP server under test, and clients that are none of ours: curl, openssl s_client and Python's TLS (both OpenSSL).

Each test is called as TEST.py HTTP_SERVER HTTP_THIEF [TEST...]."""
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
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

    def kill(self):
        """For who has no use for how it ends."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

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


def main():
    for name in ("server", "relay", "client"):
        make_certificate(name)
    make_certificate("client-rsa", "rsa")
    with open(path("small"), "wb") as file:
        file.truncate(1000)
    del sys.argv[1:3]
    unittest.main(verbosity=2, warnings="ignore")

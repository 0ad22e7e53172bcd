# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer to measure against: login by X.509 certificate at Glewlwyd, an identity provider that Debian packages.

It does much less than a tap: a TLS handshake with a client certificate that is registered for its user, and a session that is written
to SQLite. No card, no HSM, no login at a service, no signed record. Each login is a connection of its own, for the handshake is the
proof. Nothing of the machine's own installation is used or touched.
"""

import concurrent.futures
import gzip
import http.client
import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

PACKAGE = "glewlwyd"
PROGRAM = shutil.which(PACKAGE)
SCHEMA = Path("/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz")
MODULES = Path("/usr/lib/glewlwyd")

CONFIG = """
port = {port}
bind_address = "127.0.0.1"
external_url = "https://localhost:{port}"
login_url = "login.html"
api_prefix = "api"
cookie_domain = "localhost"
cookie_secure = 1
log_mode = "console"
log_level = "ERROR"
session_expiration = 2419200
session_key = "GLEWLWYD2_SESSION_ID"
admin_scope = "g_admin"
profile_scope = "g_profile"
login_api_enabled = true
user_module_path = "{modules}/user"
user_middleware_module_path = "{folder}/user_middleware"
client_module_path = "{modules}/client"
user_auth_scheme_module_path = "{modules}/scheme"
plugin_module_path = "{modules}/plugin"
use_secure_connection = true
secure_connection_key_file = "{folder}/server.key"
secure_connection_pem_file = "{folder}/server.pem"
secure_connection_ca_file = "{folder}/ca.pem"
hash_algorithm = "SHA512"
database = {{ type = "sqlite3" path = "{folder}/glewlwyd.db" }}
"""


class Peer:
    """A private Glewlwyd with one user, who logs in by certificate."""

    USER, SCHEME = "hanako", "certificate"

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="cardbroker-peer-"))
        self.process = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def openssl(self, *words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, cwd=self.folder)

    def certificate(self, name, subject, *more):
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                     "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                     "-out", f"{name}.pem", *more)

    def start(self):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=peer",
                     "-keyout", "ca.key", "-out", "ca.pem")
        (self.folder / "user_middleware").mkdir()
        (self.folder / "names").write_text("subjectAltName=DNS:localhost\n")
        self.certificate("server", "/CN=localhost", "-extfile", "names")
        self.certificate("user", f"/CN={self.USER}")
        database = sqlite3.connect(self.folder / "glewlwyd.db")
        with database:
            database.executescript(gzip.decompress(SCHEMA.read_bytes()).decode())
        database.close()
        (self.folder / "glewlwyd.conf").write_text(CONFIG.format(port=self.port, folder=self.folder, modules=MODULES))
        self.process = subprocess.Popen([PROGRAM, "--config-file", self.folder / "glewlwyd.conf"],
                                        stdout=open(self.folder / "log", "w"), stderr=subprocess.STDOUT)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        self.furnish()

    def tls(self, with_certificate):
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        if with_certificate:
            context.load_cert_chain(self.folder / "user.pem", self.folder / "user.key")
        return context

    def ask(self, context, method, path, body, cookie=None):
        """One request on a connection of its own. The answer's status, cookie and body."""
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=20)
        headers = {"Content-Type": "application/json"}
        if cookie:
            headers["Cookie"] = cookie
        connection.request(method, path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        given = (answer.getheader("Set-Cookie") or "").partition(";")[0]
        connection.close()
        return answer.status, given, text

    def need(self, *question, **more):
        status, cookie, text = self.ask(*question, **more)
        if status != 200:
            raise RuntimeError(f"peer: {question[1]} {question[2]} answered {status}: {text[:200]!r}")
        return cookie

    def furnish(self):
        plain = self.tls(False)
        admin = self.need(plain, "POST", "/api/auth/", {"username": "admin", "password": "password"})
        self.need(plain, "POST", "/api/mod/scheme/", {
            "module": "certificate", "name": self.SCHEME, "display_name": "Certificate", "expiration": 600, "max_use": 0,
            "parameters": {"cert-source": "TLS", "use-scheme-storage": True}}, cookie=admin)
        self.need(plain, "POST", "/api/scope/", {
            "name": "office", "display_name": "Office", "password_required": False, "password_max_age": 0,
            "scheme": {"1": [{"scheme_name": self.SCHEME}]}, "scheme_required": {"1": 1}}, cookie=admin)
        self.need(plain, "POST", "/api/user/", {"username": self.USER, "name": "Hanako", "password": "taken once", "enabled": True,
                                                 "scope": ["g_profile", "office"]}, cookie=admin)
        user = self.need(plain, "POST", "/api/auth/", {"username": self.USER, "password": "taken once"})
        self.need(plain, "POST", "/api/profile/scheme/register/", {
            "username": self.USER, "scheme_type": "certificate", "scheme_name": self.SCHEME,
            "value": {"register": "upload-certificate", "x509": (self.folder / "user.pem").read_text()}}, cookie=user)

    def login(self, context):
        return self.need(context, "POST", "/api/auth/", {"username": self.USER, "scheme_type": "certificate",
                                                         "scheme_name": self.SCHEME, "value": {}})

    def cpu_us(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(fields[i]) for i in (11, 12)) * 1e6 / os.sysconf("SC_CLK_TCK")

    def measure(self, users, seconds):
        """Logins by so many at a time: how many a second, how long, and the peer's CPU for each."""
        context = self.tls(True)
        if not self.login(context):
            raise RuntimeError("peer: no session was opened")
        try:
            self.login(self.tls(False))
            raise LookupError("peer: a login without certificate was accepted")
        except RuntimeError:
            pass
        times, until = [], time.monotonic() + seconds

        def work():
            while time.monotonic() < until:
                began = time.monotonic()
                self.login(context)
                times.append((time.monotonic() - began) * 1e6)

        before = self.cpu_us()
        with concurrent.futures.ThreadPoolExecutor(users) as pool:
            for worker in [pool.submit(work) for _ in range(users)]:
                worker.result()     # a login that failed is no figure
        times.sort()
        return {"users": users, "logins": len(times), "logins_per_second": len(times) / seconds,
                "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100],
                "cpu_us": (self.cpu_us() - before) / len(times)}

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20)
        shutil.rmtree(self.folder)

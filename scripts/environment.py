# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole installation in one folder: for the demonstration and for tests.

Everything Cardbroker needs is made under one folder of one's own: a SoftHSM token, certificate authorities, configurations,
a database, sockets; and everything is started from there: hsmd, cardbrokerd, connectord, a private PC/SC service with a virtual card,
and services that know nothing of Cardbroker. Nothing outside the folder is written, no service of the system is started or
touched, and whatever was started ends with stop() or with this process.
"""

import ctypes
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failure(Exception):
    """A step did not do what it says."""


def die_with_parent():
    """In a child before exec: end when this process ends, however it ends."""
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGTERM, 0, 0, 0)


def wait_until(what, condition, seconds=15.0, process=None):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        if process is not None and process.poll() is not None:
            raise Failure(f"{what}: the program ended with status {process.returncode}")
        time.sleep(0.01)
    raise Failure(f"{what}: not ready after {seconds:g} s")


def free_port(count=1):
    """The first of so many ports in a row that nobody listens on, below those which outgoing connections take by chance."""
    for _ in range(200):
        first = 15000 + secrets.randbelow(17000)
        try:
            for port in range(first, first + count):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise Failure("there are no free ports")


def answers(port):
    with socket.socket() as s:
        s.settimeout(0.5)
        return s.connect_ex(("127.0.0.1", port)) == 0


def is_listened_at(place):
    """Whether somebody can connect to a socket in the file system, of which the file is there a moment before; nobody does."""
    lines = [line.split(maxsplit=7) for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return any(line[3] == "00010000" and line[7:] == [str(place)] for line in lines)    # a name may have spaces


class Program:
    """One program that was started and is to be stopped by its process id."""

    def __init__(self, name, argv, log, env=None, cwd=None):
        self.name = name
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd,
                preexec_fn=die_with_parent, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def poll(self):
        return self.process.poll()

    @property
    def returncode(self):
        return self.process.returncode

    def last_words(self):
        try:
            lines = Path(self.log).read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-15:])

    def stop(self, seconds=30):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def run(argv, env=None, data=None, ok=(0,), cwd=None, pass_fds=(), timeout=120):
    """Runs a program to its end; its output as bytes. Failure unless its exit status is one of ok."""
    name = " ".join(str(a) for a in argv[:4])
    try:
        done = subprocess.run([str(a) for a in argv], env=env, input=data, cwd=cwd, pass_fds=pass_fds, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL if data is None else None)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Failure(f"{name} …: {problem}") from None
    if done.returncode not in ok:
        raise Failure(f"{name} … ended with status {done.returncode}:\n"
                      f"{done.stderr.decode(errors='replace').strip()}\n{done.stdout.decode(errors='replace').strip()}".rstrip())
    return done


class Environment:
    """One installation. prepare() makes what does not change, start() runs it, stop() ends what runs."""

    LOG_ORIGIN = "demo.cardbroker.example"
    TOKEN_MODULE = "/usr/lib/softhsm/libsofthsm2.so"
    RELAY_DOMAIN = "relay.localhost"

    def __init__(self, folder, build=None, readers="pcsc", workers=2):
        self.folder = Path(folder).resolve()
        if len(str(self.folder)) > 70:
            raise Failure(f"{self.folder}: the path is too long for sockets in it (70 characters at most)")
        self.build = Path(build or os.environ.get("CARDBROKER_BUILD") or ROOT / "build").resolve()
        self.readers = readers
        self.workers = workers
        self.programs = {}
        self.port = free_port()
        self.etc, self.state, self.run_folder = (self.folder / n for n in ("etc", "state", "run"))
        self.keys = self.state      # hsmd's memory and the token: in a folder of their own where users differ
        self.pki, self.cards, self.logs = (self.folder / n for n in ("pki", "cards", "log"))
        self.pcsc_folder = self.folder / "pcsc"
        self.env = {**os.environ, "SOFTHSM2_CONF": str(self.etc / "softhsm2.conf"),
                    "PCSCLITE_CSOCK_NAME": str(self.pcsc_folder / "pcscd" / "pcscd.comm")}
        # A sanitizer's search for leaks traces its own process, which programs that gave up the right to be traced cannot do:
        # it would never end. Leaks are looked for by the tests that run in process.
        self.env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"

    # ---- Where the programs are -----------------------------------------------------------------------------------

    PLACES = {"cardbroker-hsmd": "hsm", "cardbrokerd": "broker", "cardbrokerctl": "broker/ctl",
              "cardbroker-connectord": "connectors", "cardlink": "cardlink/terminal",
              "cardlink-vcard": "cardlink/card", "cardlink-issuer": "cardlink/issuer"}

    def program(self, name):
        return self.build / self.PLACES[name] / name

    def support(self, name):
        return ROOT / "tests" / "support" / name

    def spawn(self, name, argv, env=None):
        program = Program(name, argv, self.logs / f"{name}.log", env or self.env)
        self.programs[name] = program
        return program

    # ---- Preparing ----------------------------------------------------------------------------------------------------

    def secret_file(self, name, text):
        path = self.etc / name
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, text.encode() + b"\n")
        os.close(fd)
        return path

    def prepare(self):
        for folder in (self.etc, self.state, self.keys / "hsmd", self.keys / "tokens", self.run_folder, self.pki,
                       self.cards, self.logs, self.pcsc_folder):
            folder.mkdir(parents=True, mode=0o700)
        self.make_token()
        self.make_authorities()
        self.make_tls()
        self.configure()

    def make_token(self):
        (self.etc / "softhsm2.conf").write_text(
            f"directories.tokendir = {self.keys}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.secret_file("hsm.pin", f"{secrets.randbelow(10**12):012d}")
        self.secret_file("hsm.so-pin", f"{secrets.randbelow(10**12):012d}")
        self.write_hsmd_configuration()
        run([self.program("cardbroker-hsmd"), "--config", self.etc / "hsmd.conf", "--initialise"], env=self.env)

    def write_hsmd_configuration(self):
        (self.etc / "hsmd.conf").write_text(f"""\
module = "{self.TOKEN_MODULE}"
token-label = "cardbroker"
pin-file = "{self.etc}/hsm.pin"
so-pin-file = "{self.etc}/hsm.so-pin"
run = "{self.run_folder}"
state = "{self.keys}/hsmd"
workers = {self.workers}
origin = "{self.LOG_ORIGIN}"
trust-anchors = {{ "{self.pki}/cards/authority.cvc" }}
certificates {{
    key-id = 0x10
    key-version = 1
    agreement = "{self.pki}/broker-agreement.cvc"
    signer = "{self.pki}/broker-signer.cvc"
}}
""")

    def issuer(self, *args, **kwargs):
        return run([self.program("cardlink-issuer"), *args], env=self.env, **kwargs)

    def make_authorities(self):
        """The card issuer's workshop: one authority for cards, one for brokers, and a batch of cards."""
        self.issuer("authority", "new", "--folder", self.pki / "cards", "--name", "CARDS")
        self.issuer("authority", "new", "--folder", self.pki / "brokers", "--name", "BROKERS")
        self.issuer("batch", "new", "--authority", self.pki / "cards", "--folder", self.pki / "batch", "--name", "BATCH1")
        for use, key in (("agreement", "card-agreement"), ("signature", "card-signature")):
            pem = run([self.program("cardbroker-hsmd"), "--config", self.etc / "hsmd.conf", "--public-key", key],
                      env=self.env).stdout
            der = run(["openssl", "pkey", "-pubin", "-outform", "DER"], data=pem).stdout
            path = self.pki / f"{key}.der"
            path.write_bytes(der)
            name = "broker-agreement.cvc" if use == "agreement" else "broker-signer.cvc"
            self.issuer("broker", "certify", "--authority", self.pki / "brokers", "--use", use, "--key", path,
                        "--name", "BROKER", "--out", self.pki / name)
        log_key = run([self.program("cardbroker-hsmd"), "--config", self.etc / "hsmd.conf", "--public-key", "log"],
                      env=self.env).stdout
        (self.pki / "log.pem").write_bytes(log_key)

    def make_tls(self):
        """The certificates that terminals and browsers see."""
        tls = self.pki / "tls"
        tls.mkdir(mode=0o700)
        ec = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        for name in ("ca", "api", "relay"):
            run(["openssl", "genpkey", "-quiet", *ec, "-out", tls / f"{name}.key"])
        run(["openssl", "req", "-x509", "-new", "-key", tls / "ca.key", "-subj", "/O=Cardbroker demonstration/CN=TLS authority",
             "-days", "3650", "-out", tls / "ca.pem", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign"])
        names = {"api": "DNS:localhost,IP:127.0.0.1", "relay": f"DNS:*.{self.RELAY_DOMAIN}"}
        for name, alternatives in names.items():
            (tls / f"{name}.ext").write_text(
                f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
            run(["openssl", "req", "-new", "-key", tls / f"{name}.key", "-subj", f"/CN={name}", "-out", tls / f"{name}.csr"])
            run(["openssl", "x509", "-req", "-in", tls / f"{name}.csr", "-CA", tls / "ca.pem", "-CAkey", tls / "ca.key",
                 "-days", "825", "-set_serial", str(secrets.randbits(120) + 1), "-extfile", tls / f"{name}.ext",
                 "-out", tls / f"{name}.pem"])

    def configure(self):
        tls = self.pki / "tls"
        (self.etc / "cardbroker.conf").write_text(f"""\
run = "{self.run_folder}"
state = "{self.state}"
listen "main" {{
    address = "127.0.0.1"
    port = {self.port}
    certificate = "{tls}/api.pem"
    key = "{tls}/api.key"
}}
relay {{
    domain = "{self.RELAY_DOMAIN}"
    port = {self.port}
    certificate = "{tls}/relay.pem"
    key = "{tls}/relay.key"
}}
""")
        plugins = "".join(f'connector "{n}" {{ plugin = "{self.build}/connectors/{n}.so" }}\n' for n in ("mtls", "jwt"))
        (self.etc / "connectord.conf").write_text(f'run = "{self.run_folder}"\n{plugins}')
        (self.etc / "cardbrokerctl.conf").write_text(f'run = "{self.run_folder}"\norigin = "{self.LOG_ORIGIN}"\n')
        self.write_terminal_configuration("terminal")

    def write_terminal_configuration(self, name, readers=None):
        (self.etc / f"{name}.conf").write_text(f"""\
broker = "https://localhost:{self.port}"
ca = "{self.pki}/tls/ca.pem"
certificate = "{self.etc}/{name}.pem"
key = "{self.etc}/{name}.key"
readers = "{readers or self.readers}"
""")

    # ---- Running ------------------------------------------------------------------------------------------------------

    def start(self):
        self.start_hsmd()
        self.start_connectord()
        self.start_broker()
        if self.readers == "pcsc":
            self.start_pcsc()

    def start_hsmd(self):
        program = self.spawn("cardbroker-hsmd", [self.program("cardbroker-hsmd"), "--config", self.etc / "hsmd.conf"])
        wanted = [f"use-{i}.sock" for i in range(self.workers)] + ["log.sock", "manage.sock"]
        self.wait_for_sockets("cardbroker-hsmd", program, wanted)
        return program

    def start_connectord(self):
        program = self.spawn("cardbroker-connectord",
                             [self.program("cardbroker-connectord"), "--config", self.etc / "connectord.conf"])
        self.wait_for_sockets("cardbroker-connectord", program, ["connectors.sock"])
        return program

    def start_broker(self):
        program = self.spawn("cardbrokerd", [self.program("cardbrokerd"), "--config", self.etc / "cardbroker.conf"])
        try:
            wait_until("cardbrokerd", self.ready, 20, program)
        except Failure as failure:
            raise Failure(f"{failure}\n{program.last_words()}") from None
        return program

    def wait_for_sockets(self, name, program, sockets):
        def connectable(path):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                return s.connect_ex(str(path)) == 0
        try:
            wait_until(name, lambda: all(connectable(self.run_folder / s) for s in sockets), 20, program)
        except Failure as failure:
            raise Failure(f"{failure}\n{program.last_words()}") from None

    def ready(self):
        """Whether the broker says that it is ready, over its administration socket."""
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(2)
                s.connect(str(self.run_folder / "admin.sock"))
                s.sendall(b"GET /v1/ready HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n")
                return s.makefile("rb").readline().split()[1:2] == [b"200"]
        except OSError:
            return False

    def start_pcsc(self):
        done = run([self.support("pcsc.sh"), "start", "--owner", os.getpid(), self.pcsc_folder], env=self.env, ok=(0, 77))
        if done.returncode == 77:
            raise Failure(done.stderr.decode().strip())
        self.programs["pcscd"] = None

    def stop(self):
        for name in reversed(list(self.programs)):
            program = self.programs.pop(name)
            if name == "pcscd":
                run([self.support("pcsc.sh"), "stop", self.pcsc_folder], env=self.env, ok=(0, 1))
            elif name == "nginx":
                run([self.support("nginx.sh"), "stop", program], ok=(0, 1))
            else:
                program.stop()

    def stop_one(self, name):
        self.programs.pop(name).stop()

    # ---- As an administrator, as a terminal, as a card issuer ---------------------------------------------------------

    def ctl(self, *args, ok=(0,), **kwargs):
        """What cardbrokerctl --json prints, as an object."""
        done = run([self.program("cardbrokerctl"), "--config", self.etc / "cardbrokerctl.conf", *args, "--json"],
                   env=self.env, ok=ok, **kwargs)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def cardlink(self, *args, terminal="terminal", pin=None, ok=(0,), **kwargs):
        """What cardlink --json prints: a list of objects, one a line. pin: lines handed over by a descriptor."""
        argv = [self.program("cardlink"), "--config", self.etc / f"{terminal}.conf", "--json", *args]
        if pin is None:
            done = run(argv, env=self.env, ok=ok, **kwargs)
        else:
            reading, writing = os.pipe()
            os.write(writing, ("\n".join(pin) + "\n").encode())
            os.close(writing)
            try:
                done = run([*argv, "--pin-fd", reading], env=self.env, ok=ok, pass_fds=(reading,), **kwargs)
            finally:
                os.close(reading)
        self.last_status = done.returncode
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]

    def enrol_terminal(self, name="terminal", services=()):
        self.cardlink("enrol", "--name", name, terminal=name)
        chosen = [part for service in services for part in ("--service", service)]
        return self.ctl("terminal", "enrol", "--name", name, "--certificate", self.etc / f"{name}.pem", *chosen)

    def make_card(self, name, pin="123456", code="12345678", authority="cards", batch="batch",
                  broker="brokers/authority.cvc:10:01", more=()):
        """A card of the batch; returns the path of its certificate. PIN and unblocking code go by a descriptor. more: words
        for cardlink-issuer."""
        reading, writing = os.pipe()
        os.write(writing, f"{pin}\n{code}\n".encode())
        os.close(writing)
        try:
            self.issuer("card", "make", "--authority", self.pki / authority, "--batch", self.pki / batch,
                        "--broker", f"{self.pki}/{broker}", "--state", self.cards / f"{name}.card",
                        "--certificate", self.cards / f"{name}.cvc", "--secrets-fd", reading, *more, pass_fds=(reading,))
        finally:
            os.close(reading)
        return self.cards / f"{name}.cvc"

    def insert_card(self, name):
        """Puts the card on the (first) virtual reader and waits until a terminal would see it."""
        self.remove_card()
        state = self.cards / f"{name}.card"
        if self.readers == "pcsc":
            port = run([self.support("pcsc.sh"), "port", self.pcsc_folder, "0"], env=self.env).stdout.decode().strip()
            argv = [self.support("pcsc.sh"), "exec", self.pcsc_folder, self.program("cardlink-vcard"),
                    "--vpcd", f"127.0.0.1:{port}", state]
        else:
            argv = [self.program("cardlink-vcard"), "--socket", self.readers.split(":", 1)[1], state]
        self.spawn("card", argv)
        wait_until(f"card {name} on the reader", self.card_waits, 10, self.programs["card"])

    def card_waits(self):
        """Whether a card is there, without a word to one that has a single visitor: a terminal may be at it by now."""
        return self.card_is_there() if self.readers == "pcsc" else is_listened_at(self.readers.split(":", 1)[1])

    def card_is_there(self):
        return any(r.get("card") or r.get("atr") for line in self.cardlink("readers", ok=(0, 1))
                   for r in (line.get("readers") or [line]))

    def remove_card(self):
        if "card" in self.programs:
            self.stop_one("card")
            wait_until("the card to be gone", lambda: not self.card_is_there(), 10)

    # ---- Services that know nothing of Cardbroker ---------------------------------------------------------------------

    def start_nginx(self):
        """An unmodified nginx that demands client certificates; returns its port."""
        folder = self.folder / "nginx"
        run([self.support("nginx.sh"), "init", folder])
        port = free_port(3)
        self.programs["nginx"] = folder
        run([self.support("nginx.sh"), "start", folder, port])
        return port

    def sign_with_nginx_authority(self, request, out):
        """What the service's own authority does with a certificate request; returns the certificate's path."""
        run([self.support("nginx.sh"), "sign", self.folder / "nginx", request, out])
        return Path(f"{out}.pem")

    # ---- A browser, as far as it takes ----------------------------------------------------------------------------------

    def browser(self):
        return Browser(self.port, self.pki / "tls" / "ca.pem")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode(errors="replace")


class Browser:
    """Follows redirects and keeps cookies, each host's for itself. Names under localhost are this machine's."""

    def __init__(self, port, ca):
        self.port = port
        self.context = ssl.create_default_context(cafile=str(ca))
        self.cookies = {}

    def get(self, url, **kwargs):
        return self.request("GET", url, **kwargs)

    def request(self, method, url, body=None, headers=None, follow=5):
        import http.client
        from urllib.parse import urljoin, urlsplit
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
        with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.context.wrap_socket(raw, server_hostname=host) as tls:
                connection = http.client.HTTPConnection(host, port)
                connection.sock = tls
                path = parts.path or "/"
                sent = dict(headers or {})
                jar = self.cookies.setdefault(host, {})
                if jar:
                    sent["Cookie"] = "; ".join(f"{k}={v}" for k, v in jar.items())
                connection.request(method, f"{path}?{parts.query}" if parts.query else path, body=body, headers=sent)
                response = connection.getresponse()
                data = response.read()
        for line in response.headers.get_all("Set-Cookie") or []:
            name, _, value = line.split(";", 1)[0].partition("=")
            jar[name.strip()] = value
        if response.status in (301, 302, 303, 307, 308) and follow:
            return self.request("GET", urljoin(url, response.headers["Location"]), follow=follow - 1)
        return Answer(response.status, response.headers, data)


if __name__ == "__main__":
    sys.exit("environment.py is a library; run ./demo")

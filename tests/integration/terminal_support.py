# SPDX-License-Identifier: GPL-3.0-or-later
"""A private pcscd with virtual cards, a fake broker, and a case that runs cardlink between them.

Ends with 77 (skipped) where the system has no namespaces or no pcscd.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SUPPORT = HERE.parent / "support"
CARDLINK = os.path.abspath(sys.argv.pop(1))
SYSTEM_PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


def run(*command, **options):
    return subprocess.run([str(part) for part in command], text=True, capture_output=True, timeout=90, check=False, **options)


def wait_until(what, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.05)
    return False


class Scene:
    """A folder with a broker, a PC/SC service and at most one card in each of its two readers."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cl", dir="/tmp"))
        self.broker = None
        self.cards = {}
        self.others = []
        self.pcsc_runs = False
        self.environment = dict(os.environ, PCSCLITE_CSOCK_NAME=str(self.folder / "pcscd/pcscd.comm"))

    def path(self, name):
        return self.folder / name

    def pcsc(self, command, *more):
        # Not captured: pcscd keeps what it inherits.
        with open(self.path("pcsc.out"), "a", encoding="utf-8") as log:
            return subprocess.run([SUPPORT / "pcsc.sh", command, *more, self.folder], stdout=log, stderr=log,
                                  timeout=60, check=False).returncode

    def start_pcsc(self):
        status = self.pcsc("start", "--owner", str(os.getpid()))
        if status == 0:
            self.pcsc_runs = True
        return status

    def make_certificates(self):
        def openssl(*words):
            subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        for ca in ("ca", "other-ca"):
            openssl("req", "-x509", *curve, "-keyout", ca + ".key", "-out", ca + ".pem", "-subj", "/CN=" + ca, "-days", "2")
        for name, host in (("server", "localhost"), ("misnamed", "elsewhere.test")):
            openssl("req", *curve, "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + host)
            self.path("ext").write_text(f"subjectAltName=DNS:{host}\n", encoding="ascii")
            openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                    "-out", name + ".pem", "-days", "2", "-extfile", "ext")

    def start_broker(self, server="server", client="terminal"):
        self.stop_broker()
        self.path("port").unlink(missing_ok=True)
        self.broker = subprocess.Popen(
            [SYSTEM_PYTHON, SUPPORT / "fake_broker.py", "--certificate", self.path(server + ".pem"),
             "--key", self.path(server + ".key"), "--client", self.path(client + ".pem"), "--mode", self.path("mode"),
             "--log", self.path("log"), "--port-file", self.path("port")], stdin=subprocess.DEVNULL)
        assert wait_until(self.path("port").exists)
        self.configure(int(self.path("port").read_text(encoding="ascii")))

    def configure(self, port, more="", **values):
        settings = {"broker": f"https://localhost:{port}", "ca": self.path("ca.pem"), "certificate": self.path("terminal.pem"),
                    "key": self.path("terminal.key"), "service": "tax", **values}
        text = "".join(f'{name} = "{value}"\n' for name, value in settings.items())
        self.path("cardlink.conf").write_text(text + "timeout = 10\ncard_timeout = 3\n" + more, encoding="utf-8")

    def mode(self, mode):
        """The broker reads it all the time: it must never find an empty file."""
        self.path("mode.next").write_text(mode + "\n", encoding="ascii")
        self.path("mode.next").replace(self.path("mode"))

    def requests(self):
        text = self.path("log").read_text(encoding="ascii")
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]     # of the last, a part may be there so far

    def forget_requests(self):
        self.path("log").write_text("", encoding="ascii")

    def insert(self, slot=0, *options, wait=True):
        self.remove(slot)
        card = subprocess.Popen([SUPPORT / "pcsc.sh", "exec", self.folder, SYSTEM_PYTHON, SUPPORT / "plain_card.py",
                                 "--port", str(35963 + slot), *options], stdin=subprocess.DEVNULL)
        self.cards[slot] = card
        assert not wait or wait_until(lambda: self.holds_card(slot) is True)

    def remove(self, slot=0, wait=True):
        card = self.cards.pop(slot, None)
        if card:
            card.kill()
            card.wait()
            # pcscd looks a few times a second; until then it believes in the old card.
            assert not wait or wait_until(lambda: self.holds_card(slot) is False)

    def holds_card(self, slot):
        name = f"Virtual PCD 00 0{slot}"
        return next((one["card"] for one in self.readers() if one["reader"] == name), None)

    def readers(self):
        return [json.loads(line) for line in self.cardlink("readers", "--json").stdout.splitlines() if '"reader"' in line]

    def cardlink(self, *words, **options):
        return run(CARDLINK, "--config", self.path("cardlink.conf"), *words, env=self.environment, **options)

    def agent(self, *words):
        with open(self.path("agent.out"), "wb") as output, open(self.path("agent.err"), "wb") as errors:
            agent = subprocess.Popen([CARDLINK, "--config", self.path("cardlink.conf"), "agent", "--json", *words],
                                     env=self.environment, stdout=output, stderr=errors)
        self.others.append(agent)
        return agent

    def events(self):
        lines = self.path("agent.out").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def count(self, event):
        return sum(1 for one in self.events() if one["event"] == event)

    def stop_broker(self):
        if self.broker:
            self.broker.kill()
            self.broker.wait()
            self.broker = None

    def clear(self):
        for slot in list(self.cards):
            self.remove(slot)
        for other in self.others:
            if other.poll() is None:
                other.kill()
            other.wait()
        self.others = []

    def close(self):
        self.clear()
        self.stop_broker()
        if self.pcsc_runs:
            self.pcsc("stop")
        shutil.rmtree(self.folder)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scene = Scene()
        status = cls.scene.start_pcsc()
        if status != 0:
            print(cls.scene.path("pcsc.out").read_text(encoding="utf-8"), file=sys.stderr)
            cls.scene.close()
            sys.exit(77 if status == 77 else 1)
        cls.scene.make_certificates()
        cls.scene.configure(1)
        enrolled = cls.scene.cardlink("enrol", "--name", "gate 1")
        assert enrolled.returncode == 0, enrolled.stderr
        cls.scene.configure(1, certificate=cls.scene.path("stranger.pem"), key=cls.scene.path("stranger.key"))
        assert cls.scene.cardlink("enrol", "--name", "stranger").returncode == 0
        cls.scene.mode("accept")
        cls.scene.forget_requests()
        cls.scene.start_broker()

    @classmethod
    def tearDownClass(cls):
        cls.scene.close()

    def setUp(self):
        self.scene.mode("accept")
        self.scene.forget_requests()

    def tearDown(self):
        self.scene.clear()

    def tap(self, *words, status=0, **options):
        result = self.scene.cardlink("tap", "--json", "--timeout", "10", *words, **options)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return json.loads(result.stdout.splitlines()[-1])

    def tap_with_pin(self, pin, status):
        read, write = os.pipe()
        os.write(write, pin + b"\n")
        os.close(write)
        result = self.tap("--pin-fd", str(read), status=status, pass_fds=[read])
        os.close(read)
        return result

    def wait_for_event(self, event, count=1, seconds=30):
        self.assertTrue(wait_until(lambda: self.scene.count(event) >= count, seconds),
                        f"{count} x {event}: {self.scene.path('agent.out').read_text(encoding='utf-8')}")

    def stop_agent(self, agent):
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(timeout=30), 0, self.scene.path("agent.err").read_text(encoding="utf-8"))

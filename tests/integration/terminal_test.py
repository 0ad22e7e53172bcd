#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cardlink, the real program, between a private pcscd with a virtual card and a fake broker.

usage: terminal_test.py CARDLINK [NAME...]

Ends with 77 (skipped) where the system has no namespaces or no pcscd.
"""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SUPPORT = HERE.parent / "support"
CARDLINK = ""
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
        self.path("mode").write_text(mode + "\n", encoding="ascii")

    def requests(self):
        return [json.loads(line) for line in self.path("log").read_text(encoding="ascii").splitlines()]

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


class TerminalTest(unittest.TestCase):
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

    # --- readers ---

    def test_readers_are_listed_with_their_cards(self):
        self.scene.insert(1, "--contactless")
        first, second = self.scene.readers()
        self.assertFalse(first["card"])
        self.assertTrue(second["card"])
        self.assertEqual((second["atr"], second["interface"]), ("3b80800101", "contactless"))

    def test_without_pcscd_it_says_so(self):
        result = run(CARDLINK, "--config", self.scene.path("cardlink.conf"), "readers",
                     env=dict(os.environ, PCSCLITE_CSOCK_NAME="/nonexistent"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("pcscd", result.stderr)

    # --- a tap ---

    def test_a_tap_takes_three_exchanges_on_one_connection(self):
        self.scene.insert()
        result = self.tap()
        self.assertEqual(result["event"], "tap.accepted")
        self.assertEqual(result["delivery"]["kind"], "relayed")
        self.assertTrue(result["prefetched"])
        requests = self.scene.requests()
        self.assertEqual([one["path"].rsplit("/", 1)[1] for one in requests], ["taps", "challenge", "proof"])
        self.assertEqual(len({one["peer"] for one in requests}), 1)
        self.assertEqual(requests[1]["body"]["answers"][:2], ["9000", "000000009000"])   # 6C04 was put right
        self.assertEqual(requests[1]["body"]["service"], "tax")
        self.assertNotIn("pin", requests[1]["body"])
        self.assertEqual(requests[2]["body"], {"answers": ["0102039000"]})

    def test_a_card_that_comes_later_is_served(self):
        waiting = subprocess.Popen([CARDLINK, "--config", self.scene.path("cardlink.conf"), "tap", "--timeout", "20"],
                                   env=self.scene.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.scene.others.append(waiting)
        time.sleep(0.5)
        self.scene.insert(1)
        out, err = waiting.communicate(timeout=30)
        self.assertEqual(waiting.returncode, 0, err)
        self.assertIn("Present the card.", err)
        self.assertEqual(out.splitlines()[1], "https://label.relay.test/.cardbroker/enter?code=one-time")

    def test_no_card_is_no_success(self):
        self.assertEqual(self.tap("--timeout", "1", status=3)["code"], "card.absent")

    def test_long_answers_are_fetched_and_refusals_end_the_script(self):
        self.scene.insert()
        self.scene.mode("long")
        self.tap()
        answers = self.scene.requests()[2]["body"]["answers"]
        self.assertEqual([len(one) // 2 for one in answers], [0x300 + 2, 0x20 + 2, 2, 2])
        self.assertEqual(answers[2:], ["6d00", "6d00"])

    def test_a_card_taken_away_is_reported_to_the_person_and_to_the_broker(self):
        self.scene.insert()
        self.scene.mode("remove")
        self.assertEqual(self.tap(status=3)["code"], "card.removed")
        last = self.scene.requests()[-1]
        self.assertEqual(last["path"].rsplit("/", 1)[1], "end")
        self.assertEqual(last["body"], {"reason": "card.removed"})

    def test_a_card_that_never_answers_is_given_up(self):
        self.scene.insert()
        self.scene.mode("hang")
        before = time.monotonic()
        self.assertEqual(self.tap(status=1)["code"], "reader.failed")
        self.assertLess(time.monotonic() - before, 30)
        self.scene.remove(wait=False)
        self.assertEqual(self.scene.pcsc("restart"), 0)

    def test_an_expired_tap_is_begun_anew_once(self):
        self.scene.insert()
        self.scene.mode("expired-once")
        self.assertFalse(self.tap()["prefetched"])
        self.assertEqual([one["path"].rsplit("/", 1)[1] for one in self.scene.requests()],
                         ["taps", "challenge", "taps", "challenge", "proof"])

    def test_a_virtual_card_needs_no_pcsc(self):
        socket = self.scene.path("card")
        self.scene.others.append(subprocess.Popen([SYSTEM_PYTHON, SUPPORT / "plain_card.py", "--unix", socket]))
        self.assertTrue(wait_until(socket.exists))
        self.scene.configure(self.scene.path("port").read_text(encoding="ascii"), readers=f"virtual:{socket}")
        try:
            self.assertEqual(self.tap()["reader"], str(socket))
            self.scene.mode("remove")
            self.assertEqual(self.tap(status=3)["code"], "card.removed")
            agent = self.scene.agent()
            self.wait_for_event("tap.refused", 2)   # the card leaves and comes back
            self.scene.mode("accept")
            self.wait_for_event("tap.accepted")
            time.sleep(1)
            self.assertEqual(self.scene.count("tap.accepted"), 1)
            self.stop_agent(agent)
        finally:
            self.scene.configure(self.scene.path("port").read_text(encoding="ascii"))

    def make_native_card(self):
        folder, issuer = self.scene.folder, os.environ["CB_ISSUER"]
        if (folder / "native.state").exists():
            return
        for words in (["authority", "new", "--folder", folder / "cards", "--name", "CARDS"],
                      ["authority", "new", "--folder", folder / "brokers", "--name", "BROKERS"],
                      ["batch", "new", "--authority", folder / "cards", "--folder", folder / "batch", "--name", "B1"],
                      ["card", "make", "--authority", folder / "cards", "--batch", folder / "batch",
                       "--broker", f"{folder}/brokers/authority.cvc:10:01", "--state", folder / "native.state",
                       "--certificate", folder / "native.crt", "--letter", folder / "letter"]):
            made = run(issuer, *words)
            self.assertEqual(made.returncode, 0, made.stderr)

    @unittest.skipUnless("CB_VCARD" in os.environ, "CB_VCARD and CB_ISSUER name no programs")
    def test_of_a_card_whose_batch_is_over_the_broker_is_asked_if_it_is_there(self):
        self.make_native_card()
        socket, port = self.scene.path("over.sock"), self.scene.path("port").read_text(encoding="ascii")
        self.scene.others.append(subprocess.Popen([os.environ["CB_VCARD"], "--socket", socket, self.scene.path("native.state")],
                                                  stderr=subprocess.DEVNULL))
        self.assertTrue(wait_until(socket.exists))
        self.scene.configure(port, readers=f"virtual:{socket}")
        try:
            self.scene.mode("later")
            self.tap()
            self.assertEqual([one["path"].rsplit("/", 1)[1] for one in self.scene.requests()], ["taps", "challenge", "proof"])
            self.scene.mode("later-gone")
            self.assertEqual(self.tap(status=3)["code"], "card.expired")
        finally:
            self.scene.configure(port)

    @unittest.skipUnless("CB_VCARD" in os.environ, "CB_VCARD and CB_ISSUER name no programs")
    def test_the_native_card_answers_through_pcscd_and_without(self):
        folder, card = self.scene.folder, os.environ["CB_VCARD"]
        self.make_native_card()
        socket = folder / "native.sock"
        for reader, place in ((0, ["--vpcd", "127.0.0.1:35963"]), (None, ["--socket", socket])):
            inside = [SUPPORT / "pcsc.sh", "exec", folder] if reader == 0 else []
            native = subprocess.Popen([*inside, card, *place, folder / "native.state"], stderr=subprocess.DEVNULL)
            self.scene.others.append(native)
            self.assertTrue(wait_until(socket.exists if reader is None else lambda: self.scene.holds_card(0)))
            port = self.scene.path("port").read_text(encoding="ascii")
            self.scene.configure(port, readers="pcsc" if reader == 0 else f"virtual:{socket}")
            try:
                self.scene.forget_requests()
                self.tap()
                # Its application is selected; what the plain card knows, it does not.
                self.assertTrue(self.scene.requests()[1]["body"]["answers"][0].startswith("6f"))
            finally:
                self.scene.configure(port)
            native.terminate()
            native.wait()
        self.assertTrue(wait_until(lambda: self.scene.holds_card(0) is False))

    # --- PIN and delivery ---

    def test_the_pin_leaves_the_terminal_only_encrypted(self):
        self.scene.insert()
        read, write = os.pipe()
        os.write(write, b"739154\n")
        os.close(write)
        self.tap("--pin-fd", str(read), pass_fds=[read])
        os.close(read)
        pin = self.scene.requests()[1]["body"]["pin"]
        self.assertEqual(len(pin), 2 * 113)
        self.assertNotIn("739154".encode().hex(), self.scene.path("log").read_text(encoding="ascii"))

    def tap_with_pin(self, pin, status):
        read, write = os.pipe()
        os.write(write, pin + b"\n")
        os.close(write)
        result = self.tap("--pin-fd", str(read), status=status, pass_fds=[read])
        os.close(read)
        return result

    def test_a_broker_gets_the_pin_in_the_clear_only_where_the_card_takes_no_other(self):
        self.scene.insert()
        port = self.scene.path("port").read_text(encoding="ascii")
        try:
            for profile, mode, status in (("native", "clear-pin", 1), ("scp03", "clear-pin", 1), ("piv", "early-pin", 1),
                                          ("piv", "clear-pin", 0), ("jpki", "clear-pin", 0)):
                with self.subTest(profile=profile, mode=mode):
                    self.scene.configure(port, more=f"profiles = {{{profile}}}\nprefetch = false\n")
                    self.scene.mode(mode)
                    self.scene.forget_requests()
                    result = self.tap_with_pin(b"739154", status)
                    # The card's answers look as if it had a key for PINs.
                    asked = [one for one in self.scene.requests() if one["path"].endswith("/challenge")]
                    self.assertEqual(["pin" in one["body"] for one in asked], [profile == "native"] * len(asked))
                    if status:
                        self.assertEqual(result["code"], "internal.protocol")
                        self.assertNotIn("6d00", self.scene.path("log").read_text(encoding="ascii"))   # nor did the card see it
        finally:
            self.scene.configure(port)

    def test_pin_purposes_name_no_service(self):
        self.scene.insert()
        for words, lines, purpose in ((["pin", "change"], b"1234\n5678\n", "pin_change"),
                                      (["pin", "unblock"], b"12345678\n5678\n", "pin_unblock")):
            self.scene.forget_requests()
            read, write = os.pipe()
            os.write(write, lines)
            os.close(write)
            result = self.scene.cardlink(*words, "--pin-fd", str(read), pass_fds=[read])
            os.close(read)
            self.assertEqual(result.returncode, 0, result.stderr)
            body = self.scene.requests()[1]["body"]
            self.assertEqual((body["purpose"], "service" in body), (purpose, False))

    def test_a_wrong_pin_says_how_many_tries_are_left(self):
        self.scene.insert()
        self.scene.mode("wrong-pin")
        self.assertEqual(self.tap(status=3)["tries_left"], 2)
        self.assertIn("2 tries left", self.scene.cardlink("tap").stdout)

    def test_a_malformed_pin_reaches_neither_card_nor_broker(self):
        read, write = os.pipe()
        os.write(write, b"12\n")
        os.close(write)
        self.assertEqual(self.tap("--pin-fd", str(read), status=3, pass_fds=[read])["code"], "pin.format")
        os.close(read)
        self.assertEqual(self.scene.requests(), [])

    def test_a_delivery_in_a_file_is_its_owners_alone_and_not_shown(self):
        self.scene.insert()
        self.scene.mode("token")
        path = self.scene.path("delivery")
        result = self.tap("--delivery", path)
        self.assertEqual(result["delivery_file"], str(path))
        self.assertNotIn("delivery", result)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(json.loads(path.read_text(encoding="utf-8"))["token"]["access_token"], "secret-token")

    # --- certificates that are soon over ---

    def others_cards(self):
        """A terminal that takes others' cards alone, for as long as the test lasts."""
        port = self.scene.path("port").read_text(encoding="ascii")
        self.scene.configure(port, more="profiles = {piv}\nprefetch = false\n")
        self.addCleanup(self.scene.configure, port)
        self.addCleanup(self.scene.mode, "accept")      # and nobody waits for an answer any more

    def asked(self):
        return [one["path"].rsplit("/", 1)[1] for one in self.scene.requests()]

    def wait_for_renewal(self):
        self.assertTrue(wait_until(lambda: "renewal" in self.asked()), self.asked())

    def test_what_a_tap_has_brought_is_handed_out_before_newer_certificates_are_asked_for(self):
        self.others_cards()
        self.scene.insert()
        self.scene.mode("soon-over-stalled")
        path = self.scene.path("delivery")
        path.unlink(missing_ok=True)
        with open(self.scene.path("tap.out"), "w", encoding="utf-8") as out:
            tap = subprocess.Popen([CARDLINK, "--config", self.scene.path("cardlink.conf"), "tap", "--json", "--timeout", "10",
                                    "--delivery", path], env=self.scene.environment, stdout=out)
        self.scene.others.append(tap)
        self.wait_for_renewal()
        said = self.scene.path("tap.out").read_text(encoding="utf-8").splitlines()
        self.assertEqual([json.loads(line)["event"] for line in said], ["tap.accepted"])
        self.assertEqual(json.loads(path.read_text(encoding="utf-8"))["kind"], "relayed")
        self.scene.mode("soon-over")
        self.assertEqual(tap.wait(timeout=60), 0)
        self.assertEqual(self.asked(), ["taps", "challenge", "proof", "taps", "renewal", "proof"])
        self.assertEqual(self.scene.path("tap.out").read_text(encoding="utf-8").splitlines(), said, "nothing more is said")

    def test_a_renewal_that_comes_to_nothing_takes_nothing_from_an_accept(self):
        self.others_cards()
        self.scene.insert()
        self.scene.mode("soon-over-pin")
        self.assertEqual(self.tap()["event"], "tap.accepted")
        self.assertEqual(self.asked(), ["taps", "challenge", "proof", "taps", "renewal"])

    def test_a_pin_is_used_for_newer_certificates_where_the_tap_has_used_it_and_nowhere_else(self):
        self.others_cards()
        self.scene.insert()
        for mode, renewed in (("soon-over-pin", False), ("soon-over-both", True)):
            with self.subTest(mode=mode):
                self.scene.mode(mode)
                self.scene.forget_requests()
                self.assertEqual(self.tap_with_pin(b"739154", 0)["event"], "tap.accepted")
                proofs = [one["body"]["answers"] for one in self.scene.requests() if one["path"].endswith("/proof")]
                # The plain card knows no VERIFY: who sends it one sees 6d00.
                self.assertEqual([answers[0] == "6d00" for answers in proofs], [True, True] if renewed else [False])

    def test_the_agent_says_who_came_before_it_asks_for_newer_certificates(self):
        self.others_cards()
        self.scene.mode("soon-over-stalled")
        folder = self.scene.path("deliveries")
        folder.mkdir(exist_ok=True)
        agent = self.scene.agent("--delivery", str(folder))
        self.wait_for_event("reader.ready", 2)
        self.scene.insert(0, wait=False)
        self.wait_for_renewal()
        accepted, = [one for one in self.scene.events() if one["event"] == "tap.accepted"]
        self.assertTrue(pathlib.Path(accepted["delivery_file"]).exists())
        self.assertEqual(self.scene.count("card.renewed"), 0)
        self.scene.mode("soon-over")
        self.wait_for_event("card.renewed")
        self.assertEqual(self.scene.count("tap.accepted"), 1)
        self.stop_agent(agent)

    # --- the broker ---

    def test_faults_of_the_broker_are_told_apart(self):
        self.scene.insert()
        for mode, status, code in (("busy", 69, "broker.busy"), ("drop", 69, "broker.unreachable"),
                                   ("malformed", 1, "internal.protocol"), ("oversized", 1, "internal.protocol"),
                                   ("huge", 1, "internal.protocol"), ("revoked", 3, "card.revoked")):
            with self.subTest(mode):
                self.scene.mode(mode)
                result = self.tap(status=status)
                self.assertEqual(result["code"], code)
                if mode == "busy":
                    self.assertEqual(result["retry_after"], 7)

    def test_only_a_begin_is_asked_twice(self):
        self.scene.insert()
        self.scene.mode("drop")
        self.tap(status=69)
        self.assertEqual([one["path"] for one in self.scene.requests()], ["/v1/taps"] * 2)

    def test_a_broker_that_is_not_there(self):
        self.scene.configure(1)
        try:
            self.assertEqual(self.tap(status=69)["code"], "broker.unreachable")
        finally:
            self.scene.configure(self.scene.path("port").read_text(encoding="ascii"))

    def test_a_broker_that_cannot_prove_itself_is_not_spoken_to(self):
        port = self.scene.path("port").read_text(encoding="ascii")
        try:
            self.scene.configure(port, ca=self.scene.path("other-ca.pem"))
            self.assertEqual(self.tap(status=69)["code"], "broker.certificate")
            self.scene.start_broker(server="misnamed")
            self.assertEqual(self.tap(status=69)["code"], "broker.certificate")
            self.assertEqual(self.scene.requests(), [])
        finally:
            self.scene.start_broker()

    def test_a_terminal_that_is_not_known_gets_nothing(self):
        self.scene.insert()
        self.scene.configure(self.scene.path("port").read_text(encoding="ascii"),
                             certificate=self.scene.path("stranger.pem"), key=self.scene.path("stranger.key"))
        try:
            self.assertEqual(self.tap(status=69)["code"], "broker.unreachable")
            self.assertEqual(self.scene.requests(), [])
        finally:
            self.scene.configure(self.scene.path("port").read_text(encoding="ascii"))

    def test_services_are_shown_without_control_characters(self):
        result = self.scene.cardlink("services")
        self.assertEqual(result.stdout, "tax  Tax ?[31moffice\n")

    # --- configuration and use ---

    def test_a_key_that_others_can_read_is_not_used(self):
        key = self.scene.path("terminal.key")
        key.chmod(0o644)
        try:
            result = self.scene.cardlink("services")
            self.assertEqual(result.returncode, 78)
            self.assertIn("chmod 600", result.stderr)
        finally:
            key.chmod(0o600)

    def test_files_that_are_missing_are_a_wrong_configuration(self):
        port = self.scene.path("port").read_text(encoding="ascii")
        try:
            for name in ("ca", "certificate", "key"):
                with self.subTest(name):
                    self.scene.configure(port, **{name: "/nonexistent.pem"})
                    result = self.scene.cardlink("services")
                    self.assertEqual(result.returncode, 78)
                    self.assertIn("/nonexistent.pem", result.stderr)
        finally:
            self.scene.configure(port)
        self.assertEqual(run(CARDLINK, "--config", "/nonexistent.conf", "readers").returncode, 78)

    def test_wrong_use_is_two(self):
        for words in ([], ["tap", "1234", "5"], ["pin"], ["pin", "forget"], ["--pin=1234", "tap"], ["nothing"],
                      ["tap", "--timeout", "soon"], ["tap", "--service", "NO"], ["tap", "--pin-fd", "x"]):
            with self.subTest(words):
                self.assertEqual(self.scene.cardlink(*words).returncode, 2)
        for words in (["--help"], ["--version"]):
            self.assertEqual(self.scene.cardlink(*words).returncode, 0)

    # --- the agent ---

    def wait_for_event(self, event, count=1, seconds=30):
        self.assertTrue(wait_until(lambda: self.scene.count(event) >= count, seconds),
                        f"{count} x {event}: {self.scene.path('agent.out').read_text(encoding='utf-8')}")

    def stop_agent(self, agent):
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(timeout=30), 0, self.scene.path("agent.err").read_text(encoding="utf-8"))

    def test_the_agent_serves_both_readers_each_card_once(self):
        agent = self.scene.agent()
        self.wait_for_event("reader.ready", 2)
        self.scene.insert(0)
        self.scene.insert(1)
        self.wait_for_event("tap.accepted", 2)
        time.sleep(1.5)
        self.assertEqual(self.scene.count("tap.accepted"), 2)
        self.scene.remove(0)
        self.wait_for_event("card.removed")
        self.scene.insert(0)
        self.wait_for_event("tap.accepted", 3)
        self.assertTrue(all(one["prefetched"] for one in self.scene.events() if one["event"] == "tap.accepted"))
        self.stop_agent(agent)

    @staticmethod
    def log_of(entries):
        """A terminal's log as it lies on its disk (cardlink/terminal/spool.h)."""
        head, text = bytes(32), b"cblog 1\n" + bytes(40)
        for number in range(1, entries + 1):
            entry = (10 ** 15).to_bytes(8, "big") + b"\x03\x01-"
            head = hashlib.sha256(b"cardbroker terminal log entry 1\0" + head + number.to_bytes(8, "big") + entry).digest()
            text += entry + head[:8]
        return text

    def test_a_log_is_signed_by_the_key_that_the_connection_shows(self):
        """Also when the key is renewed between two batches, which are on one connection."""
        files = ("terminal.pem", "terminal.key")
        before = [self.scene.path(name).read_bytes() for name in files]
        port = int(self.scene.path("port").read_text(encoding="ascii"))
        self.scene.configure(port, certificate=self.scene.path("next.pem"), key=self.scene.path("next.key"))
        self.assertEqual(self.scene.cardlink("enrol", "--name", "next").returncode, 0)
        self.scene.configure(port)
        log = self.scene.path("terminal.key.log")
        log.write_bytes(self.log_of(150))
        log.chmod(0o600)
        self.scene.mode("renews")
        agent = self.scene.agent()
        batches = lambda: [one for one in self.scene.requests() if one["path"] == "/v1/log"]
        try:
            self.assertTrue(wait_until(lambda: len(batches()) >= 2), self.scene.path("agent.out").read_text(encoding="utf-8"))
            self.assertFalse(self.scene.path("next.key").exists())
            keys = {one["body"]["key"] for one in batches()[:2]}
            self.assertEqual(len({one["certificate"] for one in batches()[:2]}), 1)
            self.assertEqual(len(keys), 1)
        finally:
            self.scene.mode("accept")
            agent.kill()
            agent.wait()
            log.unlink()
            for name, content in zip(files, before):
                self.scene.path(name).write_bytes(content)

    def test_the_agent_survives_a_restart_of_pcscd(self):
        agent = self.scene.agent()
        self.wait_for_event("reader.ready", 2)
        self.assertEqual(self.scene.pcsc("kill"), 0)
        self.wait_for_event("reader.none")
        self.assertEqual(self.scene.pcsc("restart"), 0)
        self.wait_for_event("reader.ready", 4)
        self.scene.insert(1)
        self.wait_for_event("tap.accepted")
        self.stop_agent(agent)

    def test_the_agent_outlives_a_broker_that_is_away(self):
        self.scene.mode("busy")
        agent = self.scene.agent()
        self.wait_for_event("broker.trouble", 2)
        self.scene.insert(0)
        self.wait_for_event("tap.refused")
        self.scene.mode("accept")
        self.scene.remove(0)
        self.wait_for_event("card.removed")
        self.scene.insert(0)
        self.wait_for_event("tap.accepted")
        self.stop_agent(agent)

    def test_the_agent_goes_on_after_a_removed_card(self):
        self.scene.mode("remove")
        agent = self.scene.agent()
        self.wait_for_event("reader.ready", 2)
        self.scene.insert(0, wait=False)
        self.wait_for_event("tap.refused")
        self.scene.mode("accept")
        self.wait_for_event("tap.accepted")
        self.stop_agent(agent)

    def test_the_agent_writes_each_delivery_to_a_file(self):
        folder = self.scene.path("deliveries")
        folder.mkdir(exist_ok=True)
        agent = self.scene.agent("--delivery", str(folder))
        self.wait_for_event("reader.ready", 2)
        self.scene.insert(0)
        self.wait_for_event("tap.accepted")
        accepted = [one for one in self.scene.events() if one["event"] == "tap.accepted"][0]
        path = pathlib.Path(accepted["delivery_file"])
        self.assertEqual(path, folder / (accepted["session"] + ".json"))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.stop_agent(agent)

    def test_the_agent_leaves_a_reader_that_hangs(self):
        self.scene.mode("hang")
        agent = self.scene.agent()
        self.wait_for_event("reader.ready", 2)
        self.scene.insert(0, wait=False)
        self.wait_for_event("reader.failed")
        agent.send_signal(signal.SIGTERM)
        agent.wait(timeout=60)
        self.scene.remove(0, wait=False)
        self.assertEqual(self.scene.pcsc("restart"), 0)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    CARDLINK = os.path.abspath(sys.argv.pop(1))
    unittest.main()

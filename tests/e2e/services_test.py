# SPDX-License-Identifier: GPL-3.0-or-later
"""Services and connectors that misbehave, as taps and sessions meet them; tests/integration/connectors_stages_test.c has all
the stages."""

import base64
import hashlib
import json
import os
import shutil
import signal
import time
import unittest
from pathlib import Path

from world import PATIENCE, Terminal, main, run, wait_until, world

w = None
ports = {}

# Service, connector, port, path, and what a tap says.
STAGES = [(f"{connector}-{number}", connector, port, path, code) for number, (port, path, code) in enumerate([
    ("tls1.2-hello-reset", "/good", "service.unreachable"), ("tls1.3-client-hang", "/good", "service.slow"),
    ("expired", "/good", "service.certificate"), ("http", "/endless-header", "service.answer"),
    ("http", "/401", "service.refused")]) for connector in ("mtls", "jwt")]


def add_service(name, connector, port, path, timeout=30000):
    jwt = connector == "jwt"
    file = w.folder / f"{name}.json"
    file.write_text(json.dumps({"token_endpoint" if jwt else "url": f"https://localhost:{ports[port]}{path}", "timeout_ms": timeout,
                                "ca_file": str(w.folder / "nginx" / "server-ca.pem")}))
    w.ctl("service", "add", "--name", name, "--title", name, "--connector", connector, "--level", "possession", "--kind",
          "token" if jwt else "relayed", "--needs-certificate", "no" if jwt else "yes", "--config", file)
    if jwt:
        data = w.folder / "subject.json"
        data.write_text(json.dumps({"subject": "hanako"}))
        w.ctl("enrolment", "add", "--holder", w.holders["Hanako"], "--service", name, "--algorithm", "ec-p256", "--public-key",
              w.folder / f"{name}.pem", "--data", data)
    else:
        w.enrol("Hanako", name)


def setUpModule():
    global w
    w = world()
    w.add_holder("Hanako")
    w.insert_card("Hanako")
    bad = w.spawn("bad_service", ["/usr/bin/python3", w.support("bad_service.py"), w.folder / "nginx"])
    wait_until("bad_service", lambda: w.log_of("bad_service").endswith("ready\n"), 20 * PATIENCE, bad)
    ports.update((name, int(port)) for name, _, port in
                 (line.partition(" ") for line in w.log_of("bad_service").splitlines()[:-1]))
    for name, connector, port, path, code in STAGES:
        add_service(name, connector, port, path, 1000 if code == "service.slow" else 30000)
    add_service("session", "mtls", "http", "/good")
    add_service("token", "jwt", "http", "/good")
    # Its plug-in is a copy, which can go away.
    shutil.copy(w.build / "connectors" / "jwt.so", w.folder)
    config = w.etc / "connectord.conf"
    config.write_text(config.read_text().replace(f"{w.build}/connectors/jwt.so", f"{w.folder}/jwt.so"))
    w.stop_one("cardbroker-connectord")
    w.start_connectord()


def tearDownModule():
    if w:
        w.tear_down()


def tap(service):
    with Terminal(w) as terminal:
        return w.outcome(w.tap_by_hand(terminal, service))


def descriptors():
    return sum(number for _, number in w.of_each("cardbroker-connectord", lambda pid: len(os.listdir(f"/proc/{pid}/fd"))))


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class ForService(unittest.TestCase):
    """What is handed to a service so that it takes a holder's key."""

    def add(self, holder, data, ok=(0,)):
        w.add_holder(holder)
        file, given, key = (w.folder / f"{holder}.{kind}" for kind in ("data", "given", "pem"))
        file.write_text(json.dumps(data))
        made = w.ctl("enrolment", "add", "--holder", w.holders[holder], "--service", "token", "--algorithm", "ec-p256",
                     "--public-key", key, "--data", file, "--for-service", given, ok=ok)
        return made, given, key

    def test_it_is_the_key_set_of_the_key_as_the_assertions_name_it(self):
        made, given, key = self.add("Jiro", {"subject": "jiro"})
        der = run(["openssl", "pkey", "-pubin", "-in", key, "-outform", "DER"]).stdout
        jwk = {"crv": "P-256", "kty": "EC", "x": b64(der[-64:-32]), "y": b64(der[-32:])}
        thumbprint = b64(hashlib.sha256(json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()).digest())
        said = json.loads(given.read_text())
        self.assertEqual(said, {"subject": "jiro", "jwks": {"keys": [{**jwk, "kid": thumbprint, "alg": "ES256", "use": "sig"}]}})
        w.ctl("enrolment", "renew", made["id"], "--algorithm", "ec-p384", "--for-service", given)
        renewed = json.loads(given.read_text())
        self.assertEqual([(one["crv"], one["alg"]) for one in renewed["jwks"]["keys"]], [("P-384", "ES384")])
        self.assertNotIn("subject", renewed, "the administrator has not said it")
        data = w.folder / "Jiro.data"
        for algorithm, signs in (("ec-p256", "ES256"), ("rsa-2048", "PS256")):
            w.ctl("enrolment", "renew", made["id"], "--algorithm", algorithm, "--data", data, "--for-service", given)
            renewed = json.loads(given.read_text())
            self.assertEqual((renewed["subject"], [one["alg"] for one in renewed["jwks"]["keys"]]), ("jiro", [signs]))
        data.write_text(json.dumps({"subject": "saburo"}))
        given.unlink()
        w.ctl("enrolment", "renew", made["id"], "--algorithm", "ec-p256", "--data", data, "--for-service", given, ok=(1,))
        self.assertFalse(given.exists(), "it is another subject than was said")
        w.ctl("enrolment", "renew", made["id"], "--algorithm", "ec-p256", "--data", data, ok=(2,))

    def test_a_name_of_the_key_that_was_given_is_its_name(self):
        made, given, _ = self.add("Saburo", {"subject": "saburo", "key_id": "number one"})
        self.assertEqual(json.loads(given.read_text())["jwks"]["keys"][0]["kid"], "number one")
        w.ctl("enrolment", "renew", made["id"], "--algorithm", "ec-p256", "--data", w.folder / "Saburo.data", "--for-service", given)
        self.assertEqual(json.loads(given.read_text())["jwks"]["keys"][0]["kid"], "number one")

    def test_what_is_missing_for_it_is_said_and_the_enrolment_is_there(self):
        _, given, _ = self.add("Shiro", {}, ok=(1,))
        self.assertFalse(given.exists())
        row, = w.ctl("enrolment", "list", "--holder", w.holders["Shiro"], "--service", "token")
        self.assertEqual(row["state"], "active")
        self.assertIn("subject", w.admin("GET", f"/v1/enrolments/{row['id']}/for-service").json["detail"])

    def test_a_service_that_takes_certificates_is_given_nothing(self):
        given = w.folder / "nothing"
        row, = w.ctl("enrolment", "list", "--holder", w.holders["Hanako"], "--service", "session")
        self.assertEqual(w.admin("GET", f"/v1/enrolments/{row['id']}/for-service").json, {"for_service": {}})
        self.assertFalse(given.exists())


class Case(unittest.TestCase):
    def assert_nothing_open(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        self.assertEqual(report["open_intents"], 0)


class Services(Case):
    def test_each_stage_has_its_code_and_leaves_nothing(self):
        self.assertEqual(tap("token"), "accepted")
        processes = len(w.processes("cardbroker-connectord"))
        open_before = descriptors()
        card = w.ctl("card", "show", w.card_ids["Hanako"])
        for name, connector, port, path, code in STAGES:
            with self.subTest(connector=connector, port=port, path=path):
                began = time.monotonic()
                self.assertEqual(tap(name), code)
                self.assertLess(time.monotonic() - began, 10 * PATIENCE)
                self.assertEqual(tap("token"), "accepted")
        self.assertEqual(w.ctl("card", "show", w.card_ids["Hanako"]), card)
        self.assert_nothing_open()
        wait_until("the processes to end", lambda: len(w.processes("cardbroker-connectord")) == processes, 10 * PATIENCE)
        wait_until("the descriptors to be closed", lambda: descriptors() == open_before, 10 * PATIENCE)

    def test_a_session_whose_service_fails_in_the_middle_says_so_and_has_ended(self):
        for path, status, code in (("/status-close", 410, "session.ended"), ("/headers-close", 502, "service.answer"),
                                   ("/good-close", 200, None)):
            with self.subTest(path=path):
                with Terminal(w) as terminal:
                    done = w.tap_by_hand(terminal, "session").json
                browser = w.browser()
                self.assertEqual(browser.get(done["delivery"]["url"]).status, 200)
                base = done["delivery"]["url"].split("/.cardbroker/")[0]
                answer = browser.get(base + path)
                self.assertEqual(answer.status, status, answer.text)
                if code:
                    self.assertIn(code, answer.text)
                self.assertEqual(browser.get(base + "/good").status, 410)
                wait_until("the end in the record", lambda session=done["session"]: any(
                    f"session {session}" in leaf["leaf"] for leaf in w.leaves("--kind", "session.ended")), 10 * PATIENCE)
        self.assertEqual(tap("session"), "accepted")
        self.assert_nothing_open()


class Connectors(Case):
    def tell_all(self, number):
        for _ in w.of_each("cardbroker-connectord", lambda pid: os.kill(pid, number)):
            pass

    def test_absent_at_the_brokers_start_they_are_missed_and_found_when_they_come(self):
        w.stop_one("cardbrokerd")
        w.stop_one("cardbroker-connectord")
        w.spawn("cardbrokerd", [w.program("cardbrokerd"), "--config", w.etc / "cardbroker.conf"])

        def state():
            try:
                return w.admin("GET", "/v1/ready").code
            except OSError:
                return None
        wait_until("the broker to say what it misses", lambda: state() == "connector.unavailable", 20 * PATIENCE)
        self.assertEqual(tap("token"), "connector.unavailable")
        w.start_connectord()
        self.assertEqual(tap("token"), "accepted")
        wait_until("ready", w.ready, 20 * PATIENCE)
        self.assert_nothing_open()

    def test_stopped_for_a_while_they_are_missed_and_logins_go_on_afterwards(self):
        self.tell_all(signal.SIGSTOP)
        try:
            wait_until("not ready", lambda: not w.ready(), 20 * PATIENCE)
            self.assertEqual(w.admin("GET", "/v1/ready").code, "connector.unavailable")
            self.assertEqual(w.admin("GET", "/v1/live").status, 200)
        finally:
            self.tell_all(signal.SIGCONT)
        self.assertEqual(tap("token"), "accepted")

    def test_one_that_cannot_be_loaded_costs_no_other_a_tap_and_says_little(self):
        plugin = w.folder / "jwt.so"
        kept = plugin.rename(w.folder / "kept.so")
        lines = w.log_of("cardbroker-connectord").count("\n")
        maps = w.of_each("cardbroker-connectord", lambda pid: Path(f"/proc/{pid}/maps").read_text(encoding="utf-8"))
        os.kill(next(pid for pid, text in list(maps)[1:] if str(kept) in text), signal.SIGKILL)
        began = time.monotonic()
        wait_until("it to be missed", lambda: tap("token") == "connector.unavailable", 10 * PATIENCE)
        taps = 0
        while time.monotonic() - began < 1:
            self.assertEqual(tap("token"), "connector.unavailable")
            self.assertEqual(tap("session"), "accepted")
            taps += 1
        # Each accepted tap has its line; what is wrong is said every five seconds.
        said = w.log_of("cardbroker-connectord").count("\n") - lines - taps
        self.assertLess(said, 10 + (time.monotonic() - began))
        kept.rename(plugin)
        wait_until("it to come back", lambda: tap("token") == "accepted", 20 * PATIENCE)
        self.assert_nothing_open()

    def test_one_whose_process_dies_again_and_again_is_started_in_ever_longer_pauses(self):
        began = time.monotonic()
        deaths = 0
        while time.monotonic() - began < 1:
            for pid, _ in w.processes("cardbroker-connectord")[1:]:
                try:
                    os.kill(pid, signal.SIGKILL)
                    deaths += 1
                except ProcessLookupError:
                    pass
        # Four workers, of which each is started some seven times in a second and not hundreds of times.
        self.assertLess(w.log_of("cardbroker-connectord").count("worker.ended"), 200)
        self.assertGreater(deaths, 4)
        w.works_again("session", seconds=20)
        w.works_again("token", seconds=20)
        self.assert_nothing_open()


if __name__ == "__main__":
    main()

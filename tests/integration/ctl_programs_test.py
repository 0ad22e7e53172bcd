#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cardbrokerctl with the real cardbrokerd, hsmd (SoftHSM), connectord and cards that the issuer made.

usage: ctl_programs_test.py BUILD

Ends with 77 (skipped) where there is no SoftHSM.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import environment  # noqa: E402


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=True, timeout=60).stdout


class Programs(unittest.TestCase):
    """Steps of one story, in the order of their names."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="ctlp-"))
        cls.e = environment.Environment(cls.folder / "e", build=BUILD, readers="none")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.addClassCleanup(cls.show_logs)
        cls.addClassCleanup(cls.e.stop)
        cls.e.prepare()
        cls.e.start_hsmd()
        cls.e.start_connectord()
        cls.e.start_broker()
        cls.known = {}

    @classmethod
    def show_logs(cls):
        if os.environ.get("CB_TEST_LOG"):
            for path in sorted(cls.e.logs.iterdir()):
                print(f"== {path.name}\n{path.read_text()}", file=sys.stderr)

    def ctl(self, *arguments, status=0, **options):
        result = subprocess.run([str(self.e.program("cardbrokerctl")), "--config", str(self.e.etc / "cardbrokerctl.conf"), *map(str, arguments)],
                                text=True, capture_output=True, timeout=120, check=False, stdin=subprocess.DEVNULL, **options)
        self.assertEqual(result.returncode, status, f"{arguments}: {result.stdout}{result.stderr}")
        return result

    def as_json(self, *arguments, **options):
        return json.loads(self.ctl(*arguments, "--json", **options).stdout)

    def ca(self):
        """A service's own authority."""
        key, certificate = self.folder / "ca.key", self.folder / "ca.pem"
        if not key.exists():
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=CA", "-keyout", key, "-out", certificate)
        return key, certificate

    def certify(self, request):
        key, certificate = self.ca()
        out = self.folder / (request.name + ".crt")
        openssl("x509", "-req", "-in", request, "-CA", certificate, "-CAkey", key, "-CAcreateserial", "-out", out)
        return out

    def test_01_status(self):
        both = self.as_json("status")
        self.assertTrue(both["broker"]["ready"])
        self.assertGreater(both["hsm"]["objects"], 0)
        self.assertIn("key service", self.ctl("status").stdout)

    def test_02_holder_and_cards(self):
        holder = self.as_json("holder", "add", "--name", "田中 花子")["id"]
        self.known["holder"] = holder
        first = self.e.make_card("first")
        issued = self.as_json("card", "issue", "--holder", "田中 花子", "--certificate", first, "--activate")
        self.assertEqual((issued["state"], issued["holder"], issued["level"]), ("active", holder, 2))
        card = issued["id"]
        self.ctl("card", "suspend", card)
        self.ctl("card", "suspend", card, status=1)
        self.ctl("card", "resume", card)
        self.assertEqual(self.as_json("card", "show", card)["state"], "active")
        self.known["card"] = card

    def test_03_a_foreign_card_is_not_bound(self):
        garbage = self.folder / "foreign.cvc"
        garbage.write_bytes(self.e.cards.joinpath("first.cvc").read_bytes()[:-1] + b"\x00")
        self.assertIn("error [card.certificate]", self.ctl("card", "issue", "--holder", self.known["holder"], "--certificate", garbage, status=1).stderr)

    def test_04_replacement(self):
        second = self.e.make_card("second")
        done = self.as_json("card", "replace", self.known["card"], "--certificate", second, "--reason", "lost")
        self.assertEqual((done["old"]["revoked"], done["new"]["active"]), (True, True))
        states = {card["id"]: (card["state"], card["sequence"]) for card in self.as_json("card", "list", "--holder", self.known["holder"])}
        self.assertEqual(states, {self.known["card"]: ("revoked", 1), done["new"]["id"]: ("active", 2)})
        self.ctl("card", "resume", self.known["card"], status=1)

    def test_05_services(self):
        config = self.folder / "service.json"
        config.write_text(json.dumps({"url": "https://localhost:9/", "ca": str(self.ca()[1])}))
        self.as_json("service", "add", "--name", "tax", "--title", "Tax", "--connector", "mtls", "--level", "possession", "--kind", "relayed",
                     "--needs-certificate", "yes", "--life", "15m", "--config", config)
        self.ctl("service", "add", "--name", "tax", "--title", "Tax", "--connector", "mtls", "--level", "1", "--config", config, status=1)
        self.ctl("service", "update", "tax", "--title", "Taxes", "--idle", "2m")
        shown = self.as_json("service", "show", "tax")
        self.assertEqual((shown["title"], shown["session"]["life"], shown["session"]["idle"], shown["certificate"]), ("Taxes", 900, 120, True))
        self.as_json("service", "add", "--name", "health", "--title", "Health", "--connector", "mtls", "--level", "pin", "--config", config)

    def test_06_a_request_is_certified_and_renewed(self):
        request = self.folder / "req.pem"
        subject = "CN=田中 花子,O=Example\\, Inc.,C=JP"
        made = self.as_json("enrolment", "add", "--holder", "田中 花子", "--service", "tax", "--algorithm", "ec-p256", "--csr", request, "--subject", subject)
        self.assertEqual(made["state"], "pending")
        shown = openssl("req", "-in", request, "-noout", "-verify", "-subject", "-nameopt", "RFC2253,utf8,-esc_msb").decode()
        self.assertIn(subject, shown)
        self.ctl("enrolment", "certify", made["id"], "--certificate", self.certify(request))
        for algorithm in ("ec-p384", "rsa-2048"):
            again = self.folder / f"{algorithm}.pem"
            self.ctl("enrolment", "renew", made["id"], "--algorithm", algorithm, "--csr", again, "--subject", subject)
            self.assertIn("ec-p" if algorithm == "rsa-2048" else "ec-p256", self.ctl("enrolment", "show", made["id"]).stdout)
            self.ctl("enrolment", "renew", made["id"], "--algorithm", algorithm, status=1)
            self.ctl("enrolment", "certify", made["id"], "--certificate", self.certify(again))
            self.assertEqual(self.as_json("enrolment", "show", made["id"])["key"]["algorithm"], algorithm)
        wrong = self.folder / "req.pem.crt"
        self.ctl("enrolment", "certify", made["id"], "--certificate", wrong, status=1)
        self.ctl("enrolment", "add", "--holder", "田中 花子", "--service", "tax", "--algorithm", "ec-p256", "--public-key", "-", status=1)
        self.known["tax"] = made["id"]

    def test_07_keys_are_brought_along(self):
        key = self.folder / "own.key"
        for algorithm, make, wanted in (("rsa-2048", ["RSA"], 0), ("ec-p384", ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], 0),
                                        ("ec-p256", ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], 1), ("rsa-3072", ["RSA"], 1)):
            openssl("genpkey", "-algorithm", *make, "-out", key)
            public = self.folder / "own.pub"
            result = self.ctl("enrolment", "add", "--holder", "田中 花子", "--service", "health", "--algorithm", algorithm, "--import", key,
                              "--public-key", public, "--json", status=wanted)
            if wanted == 0:
                self.assertEqual(public.read_bytes(), openssl("pkey", "-in", key, "-pubout"))
                self.ctl("enrolment", "remove", json.loads(result.stdout)["id"])
                public.unlink()
            else:
                self.assertFalse(public.exists())

    def test_07b_secrets_are_brought_along(self):
        for algorithm, secret in (("secret", b"correct horse battery"), ("hmac-sha256", os.urandom(32)), ("hmac-sha256", b"short")):
            path = self.folder / "secret"
            path.write_bytes(secret)
            path.chmod(0o600)
            result = self.ctl("enrolment", "add", "--holder", "田中 花子", "--service", "health", "--algorithm", algorithm, "--import", path,
                              "--json", status=1 if secret == b"short" else 0)
            self.assertNotIn("correct", result.stdout + result.stderr)
            if result.returncode == 0:
                self.assertIsNone(json.loads(result.stdout)["key"]["public_key"])
                self.ctl("enrolment", "remove", json.loads(result.stdout)["id"])

    def test_08_keys_of_the_broker(self):
        self.assertEqual(self.ctl("key", "show", "log").stdout, (self.e.pki / "log.pem").read_text())
        for name in ("card-agreement", "card-signature", "import"):
            openssl("pkey", "-pubin", "-noout", data=self.ctl("key", "show", name).stdout.encode())

    def test_08b_a_new_generation(self):
        self.assertEqual(self.as_json("key", "new-generation"), {"generation": 2})
        self.assertEqual(self.as_json("key", "rewrap-all"), {"generation": 2, "rewrapped": 1, "already": 0})
        self.assertEqual(self.as_json("key", "rewrap-all"), {"generation": 2, "rewrapped": 0, "already": 1})

    def test_09_the_record(self):
        kinds = [leaf["kind"] for leaf in self.as_json("audit", "list", "--count", "1000")]
        self.assertIn("card.revoked", kinds)
        self.assertEqual([leaf["kind"] for leaf in self.as_json("audit", "list", "--card", self.known["card"], "--kind", "card.revoked")], ["card.revoked"])
        self.assertIn("actor ", self.ctl("audit", "list", "--last", "1").stdout)
        verdict = self.as_json("audit", "verify", "--log-key", self.e.pki / "log.pem")
        self.assertEqual((verdict["verified"], verdict["findings"], verdict["leaves"]), (True, [], len(kinds)))
        self.ctl("audit", "verify", "--log-key", self.e.pki / "log.pem", "--origin", "another", status=1)
        stranger = self.folder / "stranger.pem"
        stranger.write_bytes(openssl("pkey", "-in", self.ca()[0], "-pubout"))
        self.assertIn("head.signature", self.ctl("audit", "verify", "--log-key", stranger, status=1).stdout)

    def test_10_hsmd_away(self):
        self.e.stop_one("cardbroker-hsmd")
        third = self.e.make_card("third")
        self.assertIn("hsm.unavailable", self.ctl("card", "issue", "--holder", "田中 花子", "--certificate", third, status=69).stderr)
        self.ctl("status", status=69)
        self.ctl("enrolment", "remove", self.known["tax"])
        self.e.start_hsmd()
        environment.wait_until("the log to be signed", lambda: self.as_json("status")["broker"]["store"]["signer"] == "ok", 20)
        self.ctl("card", "issue", "--holder", "田中 花子", "--certificate", third)


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    if not os.path.exists("/usr/lib/softhsm/libsofthsm2.so"):
        print("SoftHSM is not there", file=sys.stderr)
        sys.exit(77)
    unittest.main(verbosity=1)

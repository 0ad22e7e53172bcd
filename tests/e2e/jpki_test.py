# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual card as a JPKI card, before programs that were written for Japan's own: OpenSC's, through a real pcscd."""

import hashlib
import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from stock_reader import Skip, StockReader, with_secrets    # noqa: E402

PINS = ("4711", "KEY4711")
AUTHENTICATION, SIGNATURE = 0, 1
reader = None


def setUpModule():
    global reader
    try:
        reader = StockReader()
    except Skip as skip:
        print(f"skipped: {skip}", file=sys.stderr)
        sys.exit(77)


def tearDownModule():
    if reader:
        reader.close()


def openssl(*argv, **more):
    return subprocess.run(["openssl", *map(str, argv)], capture_output=True, text=True, **more)


def make(name, *more, pins=PINS):
    """A card's state, its certificate for user authentication, and what was printed."""
    state, certificate = reader.folder / f"{name}.card", reader.folder / f"{name}.der"
    done = with_secrets([reader.program("cardlink-issuer"), "jpki", "make", "--name", "Hanako Yamada", "--state", state,
                         "--certificate", certificate, *more], *pins)
    return state, certificate, done


class Jpki(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.state, cls.certificate, done = make("common")
        done.check_returncode()
        cls.print = done.stdout.strip()
        cls.key = reader.folder / "common.pub"
        cls.key.write_text(openssl("x509", "-inform", "DER", "-in", cls.certificate, "-noout", "-pubkey").stdout)
        cls.data = reader.folder / "data"
        cls.data.write_bytes(b"some data\n" * 10)
        reader.insert(cls.state)

    def tool(self, *args, pin=None, slot=None):
        where = () if slot is None else ("--slot-index", slot)
        login = () if pin is None else ("--login", "--pin", "env:PIN")
        return reader.run("pkcs11-tool", *where, *login, *args, pin=pin)

    def test_the_maker_prints_what_the_card_is_known_by(self):
        self.assertEqual(self.print, hashlib.sha256(self.certificate.read_bytes()).hexdigest())
        self.assertEqual(self.state.stat().st_mode & 0o777, 0o600)
        again = make("common")[2]
        self.assertEqual(again.returncode, 1, "nothing that exists is overwritten")
        self.assertIn("common.der", again.stderr)
        for pins in (("471", "KEY4711"), ("4711", "key4711"), ("4711", "KEY47"), ("4711",)):
            self.assertEqual(make("bad", pins=pins)[2].returncode, 1)
            self.assertFalse((reader.folder / "bad.card").exists())

    def test_the_card_is_taken_for_one(self):
        self.assertEqual(reader.run("opensc-tool", "--reader", "0", "--name").stdout.strip(), "jpki")
        self.assertEqual(reader.run("opensc-tool", "--reader", "0", "--atr").stdout.strip(), "3b:e0:00:ff:81:31:fe:45:14")

    def test_what_it_holds_is_listed(self):
        out = reader.run("pkcs15-tool", "--reader", "0", "--dump").stdout
        for name in ("User Authentication Key", "Digital Signature Key", "User Authentication Certificate",
                     "User Authentication Certificate CA", "Digital Signature Certificate", "Digital Signature Certificate CA"):
            self.assertIn(f"[{name}]", out)
        pins = reader.run("pkcs15-tool", "--reader", "0", "--list-pins").stdout
        self.assertEqual(re.findall(r"Tries left\s*: (\d)", pins), ["3", "5"])

    def test_the_authentication_certificate_is_free_and_the_one_with_the_name_is_not(self):
        read = reader.run("pkcs15-tool", "--reader", "0", "--read-certificate", "01")
        der = subprocess.run(["openssl", "x509", "-outform", "DER"], input=read.stdout.encode(), capture_output=True).stdout
        self.assertEqual(der, self.certificate.read_bytes())
        self.assertNotEqual(reader.run("pkcs15-tool", "--reader", "0", "--read-certificate", "02").returncode, 0)
        read = reader.run("pkcs15-tool", "--reader", "0", "--verify-pin", "--auth-id", "02", "--pin", "env:PIN",
                          "--read-certificate", "02", pin=PINS[SIGNATURE])
        self.assertEqual(read.returncode, 0, read.stderr)
        self.assertIn("Hanako Yamada", openssl("x509", "-noout", "-subject", input=read.stdout).stdout)

    def read_signer(self, pin, ok=0):
        """cardlink read --signature, with a configuration that names no broker that answers."""
        conf = reader.folder / "cardlink.conf"
        for name in ("terminal.pem", "terminal.key", "ca.pem"):
            (reader.folder / name).touch(mode=0o600)
        conf.write_text(f'broker = "https://localhost:1"\nca = "{reader.folder}/ca.pem"\ncertificate = "{reader.folder}/terminal.pem"\n'
                        f'key = "{reader.folder}/terminal.key"\n')
        done = with_secrets([reader.program("cardlink"), "--config", conf, "--json", "read", "--signature"], pin, option="--pin-fd",
                            env=reader.env)
        self.assertEqual(done.returncode, ok, done.stdout + done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def test_its_holder_reads_the_signature_certificate_with_its_pin_and_nothing_signs(self):
        state = make("signer")[0]
        reader.insert(state)
        try:
            read = reader.run("pkcs15-tool", "--reader", "0", "--verify-pin", "--auth-id", "02", "--pin", "env:PIN",
                              "--read-certificate", "02", pin=PINS[SIGNATURE])
            der = subprocess.run(["openssl", "x509", "-outform", "DER"], input=read.stdout.encode(), capture_output=True).stdout
            said = self.read_signer(PINS[SIGNATURE].lower())
            self.assertEqual(said, {"profile": "jpki", "signature_certificate": der.hex()})
            # The card has forgotten the PIN.
            self.assertNotEqual(reader.run("pkcs15-tool", "--reader", "0", "--read-certificate", "02").returncode, 0)
            self.assertEqual(self.read_signer("SHORT", ok=3)["code"], "pin.format")
            self.assertEqual(self.read_signer("WITH-A-HYPHEN", ok=3)["code"], "pin.format")
            for left in (4, 3, 2, 1):
                said = self.read_signer("WRONG1", ok=3)
                self.assertEqual((said["code"], said["tries_left"]), ("pin.wrong", left))
            # The last one is not risked, right or wrong.
            self.assertEqual(self.read_signer("WRONG1", ok=1)["tries_left"], 1)
            self.assertEqual(self.read_signer(PINS[SIGNATURE], ok=1)["tries_left"], 1)
            pins = reader.run("pkcs15-tool", "--reader", "0", "--list-pins").stdout
            self.assertEqual(re.findall(r"Tries left\s*: (\d)", pins), ["3", "1"])
        finally:
            reader.insert(self.state)

    def sign(self, slot, key, pin, mechanism="SHA256-RSA-PKCS"):
        signature = reader.folder / "signature"
        signature.unlink(missing_ok=True)
        done = self.tool("--sign", "--id", key, "--mechanism", mechanism, "--input-file", self.data, "--output-file", signature,
                         slot=slot, pin=pin)
        return done, signature

    def test_it_signs_with_its_pin(self):
        done, signature = self.sign(AUTHENTICATION, "01", PINS[AUTHENTICATION])
        self.assertEqual(done.returncode, 0, done.stderr)
        verified = openssl("dgst", "-sha256", "-verify", self.key, "-signature", signature, self.data)
        self.assertIn("Verified OK", verified.stdout)
        self.data.write_bytes(self.data.read_bytes() + b"more")
        verified = openssl("dgst", "-sha256", "-verify", self.key, "-signature", signature, self.data)
        self.assertNotIn("Verified OK", verified.stdout)

    def test_the_signature_key_wants_the_other_pin(self):
        done, _ = self.sign(SIGNATURE, "02", PINS[SIGNATURE])
        self.assertEqual(done.returncode, 0, done.stderr)
        done, _ = self.sign(AUTHENTICATION, "02", PINS[AUTHENTICATION])
        self.assertNotEqual(done.returncode, 0)

    def test_opensc_finds_nothing_wrong_with_it(self):
        done = self.tool("--test", slot=AUTHENTICATION, pin=PINS[AUTHENTICATION])
        for mechanism in ("RSA-PKCS", "SHA1-RSA-PKCS", "MD5-RSA-PKCS", "RIPEMD160-RSA-PKCS", "SHA256-RSA-PKCS"):
            self.assertIn(f"    {mechanism}: OK", done.stdout)
        self.assertIn("all 4 signature functions seem to work", done.stdout)
        # Such cards give no random numbers, which is all that the tool misses.
        self.assertIn("C_GenerateRandom failed", done.stdout + done.stderr)
        self.assertIn("1 errors", done.stdout)

    def test_a_pin_is_blocked_after_its_tries_and_stays_so(self):
        state = make("blocked")[0]
        reader.insert(state)
        try:
            for left in (2, 1, 0):
                self.assertNotEqual(self.sign(AUTHENTICATION, "01", "0000")[0].returncode, 0)
                pins = reader.run("pkcs15-tool", "--reader", "0", "--list-pins").stdout
                self.assertEqual(re.findall(r"Tries left\s*: (\d)", pins), [str(left), "5"])
            done, _ = self.sign(AUTHENTICATION, "01", PINS[AUTHENTICATION])
            self.assertIn("CKR_PIN_LOCKED", done.stderr)
            reader.insert(state)
            done, _ = self.sign(AUTHENTICATION, "01", PINS[AUTHENTICATION])
            self.assertIn("CKR_PIN_LOCKED", done.stderr)
            self.assertEqual(self.sign(SIGNATURE, "02", PINS[SIGNATURE])[0].returncode, 0)
        finally:
            reader.insert(self.state)

    def test_a_pin_is_changed_as_the_myna_program_does(self):
        state = make("changed")[0]
        reader.insert(state)
        select, file, verify = "00A4040C0AD392F000260100000001", "00A4020C020018", "0020008004"
        try:
            done = reader.run("opensc-tool", "--reader", "0", "--send-apdu", select, "--send-apdu", file, "--send-apdu",
                              verify + b"4711".hex(), "--send-apdu", "0024018004" + b"1147".hex())
            self.assertEqual(re.findall(r"SW1=0x(\w\w), SW2=0x(\w\w)", done.stdout), [("90", "00")] * 4)
            reader.insert(state)
            self.assertEqual(self.sign(AUTHENTICATION, "01", "1147")[0].returncode, 0)
            self.assertNotEqual(self.sign(AUTHENTICATION, "01", "4711")[0].returncode, 0)
        finally:
            reader.insert(self.state)

    def test_certificates_are_issued_by_the_ca_that_is_given(self):
        for name, kind in (("rsa", ("rsa:2048",)), ("ec", ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"))):
            with self.subTest(name):
                key, certificate = reader.folder / f"{name}.key", reader.folder / f"{name}.pem"
                openssl("req", "-x509", "-newkey", *kind, "-nodes", "-keyout", key, "-out", certificate, "-subj", f"/CN=CA {name}",
                        "-days", "30").check_returncode()
                key.chmod(0o600)
                state, issued, done = make(name, "--ca", certificate, "--ca-key", key)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(": OK", openssl("verify", "-CAfile", certificate, "-partial_chain", issued).stdout)
                key.chmod(0o644)
                self.assertEqual(make(f"{name}-open", "--ca", certificate, "--ca-key", key)[2].returncode, 1)
                reader.insert(state)
                read = reader.run("pkcs15-tool", "--reader", "0", "--read-certificate", "03").stdout
                self.assertIn(f"CA {name}", openssl("x509", "-noout", "-subject", input=read).stdout)
        reader.insert(self.state)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual card's PIV application before programs of others: OpenSC's and Yubico's, through a real pcscd."""

import shutil
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from stock_reader import Skip, StockReader, with_secrets    # noqa: E402

PIN, PUK = "123456", "12345678"
MANAGEMENT = "010203040506070801020304050607080102030405060708"    # what yubico-piv-tool takes it to be unless told
reader = None


def setUpModule():
    global reader
    missing = [tool for tool in ("pkcs11-tool", "piv-tool", "yubico-piv-tool") if not shutil.which(tool)]
    try:
        if missing:
            raise Skip(f"{', '.join(missing)} missing: run scripts/packages test")
        reader = StockReader()
    except Skip as skip:
        print(f"skipped: {skip}", file=sys.stderr)
        sys.exit(77)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
        "-out", "ca.pem", "-subj", "/CN=Staff", "-days", "30")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "signer.key",
        "-out", "signer.pem", "-subj", "/CN=Signer", "-days", "30", "-addext", "basicConstraints=CA:FALSE", "-addext",
        "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=critical,2.16.840.1.101.3.6.7")
    put("ca.key", (reader.folder / "ca.key").read_text())
    put("signer.key", (reader.folder / "signer.key").read_text())
    put("management", MANAGEMENT + "\n")


def tearDownModule():
    if reader:
        reader.close()


def put(name, text):
    path = reader.folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def run(*argv, status=0, pin=None):
    """Both outputs of a program in the folder, which must end so; None: however it ends."""
    done = reader.run(*argv, pin=pin, cwd=reader.folder)
    if status is not None and done.returncode != status:
        raise AssertionError(f"{argv}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def make(name, *keys, own_ca=True, more=()):
    """A card with these keys; its certificates are in the folder of its name. Its GUID."""
    argv = [reader.program("cardlink-issuer"), "piv", "make", "--state", f"{name}.card", "--certificates", name, "--name", "Hanako"]
    argv += [word for key in keys for word in ("--key", key)]
    argv += ("--ca", "ca.pem", "--ca-key", "ca.key") if own_ca else ()
    done = with_secrets([*argv, *(more or ("--management-key", "management"))], PIN, PUK, cwd=reader.folder)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout.strip()


def fingerprint(name):
    return run("openssl", "x509", "-in", name, "-noout", "-fingerprint")


def public_key_of(name):
    run("openssl", "x509", "-in", name, "-noout", "-pubkey", "-out", "public.pem")


class Card(unittest.TestCase):
    """A fresh card of the class's keys for each test."""
    keys, own_ca, more = (), True, ()

    def setUp(self):
        (reader.folder / "now.card").unlink(missing_ok=True)
        shutil.rmtree(reader.folder / "now", ignore_errors=True)
        self.guid = make("now", *self.keys, own_ca=self.own_ca, more=self.more)
        reader.insert(reader.folder / "now.card")
        self.addCleanup(reader.remove)


class OpenSc(Card):
    keys = ("9A:ec-p256", "9C:ec-p384", "9D:ec-p256", "9E:ec-p256")
    more = ("--management-key", "management", "--content-signer", "signer.pem", "--content-signer-key", "signer.key")

    def test_the_card_says_that_it_has_secure_messaging(self):
        """To who does not ask for it, it is a card like any other."""
        self.assertIn("cipher suite 2", run(reader.program("cardlink-vcard"), "--show", "now.card"))
        self.assertIn("AC 06 80 01 27 06 01 00", run("opensc-tool", "--card-driver", "default", "-s", "00A4040005A00000030800"))

    def test_the_card_is_known_by_its_guid(self):
        self.assertIn("Personal Identity Verification", run("opensc-tool", "-n"))
        self.assertIn(self.guid.replace("-", ""), run("pkcs15-tool", "--dump"))

    def test_certificates_are_the_issuers_and_are_read_as_they_were_issued(self):
        listed = run("pkcs15-tool", "--list-certificates")
        for number, slot, name in (("01", "9a", "PIV Authentication"), ("02", "9c", "Digital Signature"),
                                   ("03", "9d", "Key Management"), ("04", "9e", "Card Authentication")):
            self.assertIn(name, listed)
            run("pkcs15-tool", "--read-certificate", number, "--output", f"read-{slot}.pem")
            self.assertEqual(fingerprint(f"read-{slot}.pem"), fingerprint(f"now/{slot}.pem"))
            self.assertIn("OK", run("openssl", "verify", "-CAfile", "ca.pem", f"now/{slot}.pem"))

    def sign(self, pin, status=0):
        (reader.folder / "digest").write_bytes(b"\x17" * 32)
        return run("pkcs11-tool", "--login", "--pin", "env:PIN", "--sign", "-m", "ECDSA", "--id", "01", "--signature-format", "openssl",
                   "-i", "digest", "-o", "signature", pin=pin, status=status)

    def test_a_signature_verifies_and_there_is_none_with_a_wrong_pin(self):
        self.assertIn("PIN_INCORRECT", self.sign("999999", status=1))
        self.sign(PIN)
        public_key_of("now/9a.pem")
        run("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", "digest", "-sigfile", "signature")

    def test_the_signature_key_signs_for_a_pin_of_its_own(self):
        (reader.folder / "digest").write_bytes(b"\x17" * 48)
        run("pkcs11-tool", "--login", "--pin", "env:PIN", "--sign", "-m", "ECDSA", "--id", "02", "--signature-format", "openssl",
            "-i", "digest", "-o", "signature", pin=PIN)
        public_key_of("now/9c.pem")
        run("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", "digest", "-sigfile", "signature")

    def test_pkcs11_finds_no_fault(self):
        self.assertIn("No errors", run("pkcs11-tool", "--login", "--pin", "env:PIN", "--test", pin=PIN))

    def test_two_parties_agree_on_a_secret(self):
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "peer.pem")
        run("openssl", "pkey", "-in", "peer.pem", "-pubout", "-outform", "DER", "-out", "peer.der")
        run("pkcs11-tool", "--login", "--pin", "env:PIN", "--derive", "--id", "03", "-m", "ECDH1-COFACTOR-DERIVE", "-i", "peer.der",
            "-o", "secret", pin=PIN)
        public_key_of("now/9d.pem")
        run("openssl", "pkeyutl", "-derive", "-inkey", "peer.pem", "-peerkey", "public.pem", "-out", "other")
        self.assertEqual((reader.folder / "secret").read_bytes(), (reader.folder / "other").read_bytes())

    def test_who_has_the_management_key_is_let_in_and_nobody_else(self):
        for key, fails in ((MANAGEMENT, False), ("17" * 24, True)):
            external = ":".join(key[i:i + 2] for i in range(0, 48, 2))
            reader.env["PIV_EXT_AUTH_KEY"] = str(put("external", external + "\n"))
            # What OpenSC 0.23 makes of the new key itself is another matter: it has nothing to say about it with OpenSSL 3.
            said = run("piv-tool", "-A", "M:9B:03", "-G", "9A:07", "-o", "made", status=None)
            self.assertEqual("admin_mode failed" in said, fails, said)
        self.assertIn("rsa-2048", run(reader.program("cardlink-vcard"), "--show", "now.card"))


def signed_without_pin():
    """What yubico-piv-tool says of a signature by the key for which no PIN is asked."""
    return run("yubico-piv-tool", "-r", "Virtual", "-a", "test-signature", "-s", "9e", "-i", "now/9e.pem")


class OpenScP384(Card):
    """Every key on P-384."""
    keys = ("9A:ec-p384", "9C:ec-p384", "9D:ec-p384", "9E:ec-p384")

    def sign(self, number, pin, status=0):
        (reader.folder / "digest").write_bytes(b"\x17" * 48)
        return run("pkcs11-tool", "--login", "--pin", "env:PIN", "--sign", "-m", "ECDSA", "--id", number, "--signature-format", "openssl",
                   "-i", "digest", "-o", "signature", pin=pin, status=status)

    def test_pkcs11_finds_no_fault(self):
        listed = run("pkcs11-tool", "--login", "--pin", "env:PIN", "--list-objects", "--type", "privkey", pin=PIN)
        self.assertGreaterEqual(listed.count("Private Key Object; EC"), 4)
        self.assertIn("No errors", run("pkcs11-tool", "--login", "--pin", "env:PIN", "--test", pin=PIN))

    def test_each_key_that_signs_does_so_for_the_pin_and_for_no_other(self):
        for number, slot in (("01", "9a"), ("02", "9c")):
            self.assertIn("PIN_INCORRECT", self.sign(number, "999999", status=1))
            self.sign(number, PIN)
            public_key_of(f"now/{slot}.pem")
            run("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", "digest", "-sigfile", "signature")

    def test_one_key_signs_without_a_pin(self):
        self.assertIn("Successful ECDSA", signed_without_pin())

    def test_two_parties_agree_on_a_secret(self):
        run("openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "peer.pem")
        run("openssl", "pkey", "-in", "peer.pem", "-pubout", "-outform", "DER", "-out", "peer.der")
        run("pkcs11-tool", "--login", "--pin", "env:PIN", "--derive", "--id", "03", "-m", "ECDH1-COFACTOR-DERIVE", "-i", "peer.der",
            "-o", "secret", pin=PIN)
        public_key_of("now/9d.pem")
        run("openssl", "pkeyutl", "-derive", "-inkey", "peer.pem", "-peerkey", "public.pem", "-out", "other")
        self.assertEqual((reader.folder / "secret").read_bytes(), (reader.folder / "other").read_bytes())

    def test_certificates_are_read_as_they_were_issued(self):
        for number, slot in (("01", "9a"), ("02", "9c"), ("03", "9d"), ("04", "9e")):
            run("pkcs15-tool", "--read-certificate", number, "--output", f"read-{slot}.pem")
            self.assertEqual(fingerprint(f"read-{slot}.pem"), fingerprint(f"now/{slot}.pem"))


class OpenScAndRsa(Card):
    keys, own_ca = ("9A:rsa-2048", "9D:rsa-2048", "9E:rsa-2048"), False

    def test_pkcs11_signs_verifies_and_deciphers(self):
        said = run("pkcs11-tool", "--login", "--pin", "env:PIN", "--test", pin=PIN)
        self.assertIn("No errors", said)
        self.assertIn("all 4 signature functions seem to work", said)
        self.assertIn("RSA-PKCS: OK", said)

    def test_one_key_signs_without_a_pin(self):
        self.assertIn("Successful RSA", signed_without_pin())

    def test_each_certificate_is_signed_by_its_own_key(self):
        for slot in ("9a", "9d", "9e"):
            self.assertIn("OK", run("openssl", "verify", "-CAfile", f"now/{slot}.pem", f"now/{slot}.pem"))


class Yubico(Card):
    keys = ("9A:ec-p256", "9C:ec-p384", "9D:rsa-2048", "9E:ec-p256")

    def tool(self, *argv, status=0):
        return run("yubico-piv-tool", "-r", "Virtual", *argv, status=status)

    def test_status_shows_certificates_and_tries(self):
        said = self.tool("-a", "status")
        self.assertIn(self.guid.replace("-", ""), said)
        for slot, algorithm in (("9a", "ECCP256"), ("9c", "ECCP384"), ("9d", "RSA2048"), ("9e", "ECCP256")):
            self.assertRegex(said, rf"Slot {slot}:\s+Algorithm:\s+{algorithm}")
        self.assertRegex(said, r"PIN tries left:\s+3")

    def test_the_pin_is_checked_changed_blocked_and_unblocked(self):
        self.assertIn("Successfully verified", self.tool("-a", "verify-pin", "-P", PIN))
        self.assertIn("2 tries left", self.tool("-a", "verify-pin", "-P", "111111", status=1))
        self.tool("-a", "change-pin", "-P", PIN, "-N", "654321")
        self.tool("-a", "verify-pin", "-P", PIN, status=1)
        self.tool("-a", "verify-pin", "-P", "654321")
        for _ in range(3):
            self.tool("-a", "verify-pin", "-P", "111111", status=1)
        self.tool("-a", "verify-pin", "-P", "654321", status=1)
        self.tool("-a", "unblock-pin", "-P", PUK, "-N", PIN)
        self.tool("-a", "change-puk", "-P", PUK, "-N", "87654321")
        self.assertIn("Successfully verified", self.tool("-a", "verify-pin", "-P", PIN))

    def test_tries_outlast_the_card_being_taken_away(self):
        self.assertIn("2 tries left", self.tool("-a", "verify-pin", "-P", "111111", status=1))
        reader.insert(reader.folder / "now.card")
        self.assertRegex(self.tool("-a", "status"), r"PIN tries left:\s+2")

    def test_keys_of_each_slot_do_what_they_are_for(self):
        for slot in ("9a", "9c"):
            proof = ("-a", "test-signature", "-s", slot, "-i", f"now/{slot}.pem")
            self.assertIn("Successful ECDSA", self.tool("-a", "verify-pin", "-P", PIN, *proof))
            self.assertNotIn("Successful ECDSA", self.tool(*proof, status=None))
        self.assertIn("Successful ECDSA", self.tool("-a", "test-signature", "-s", "9e", "-i", "now/9e.pem"))
        self.assertIn("Successfully performed", self.tool("-a", "verify-pin", "-P", PIN, "-a", "test-decipher", "-s", "9d",
                                                          "-i", "now/9d.pem"))

    def test_keys_are_made_and_their_certificates_brought_in(self):
        self.tool("-a", "generate", "-s", "9a", "-A", "ECCP384", f"--key={'17' * 24}", "-o", "new.pub", status=1)
        for algorithm in ("ECCP384", "RSA2048", "ECCP256"):
            self.tool("-a", "generate", "-s", "9a", "-A", algorithm, "-o", "new.pub")
            run("openssl", "x509", "-new", "-force_pubkey", "new.pub", "-subj", "/CN=new", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-days", "10", "-out", "new.pem")
            self.tool("-a", "import-certificate", "-s", "9a", "-i", "new.pem")
            self.assertRegex(self.tool("-a", "verify-pin", "-P", PIN, "-a", "test-signature", "-s", "9a", "-i", "new.pem"),
                             "Successful (ECDSA|RSA)")
            self.tool("-a", "read-certificate", "-s", "9a", "-o", "back.pem")
            self.assertEqual(fingerprint("new.pem"), fingerprint("back.pem"))
        self.tool("-a", "delete-certificate", "-s", "9a")
        self.assertNotIn("CN=new", self.tool("-a", "status"))

    def test_a_new_chuid_is_taken(self):
        self.tool("-a", "set-chuid", "-a", "set-ccc")
        self.assertNotIn(self.guid.replace("-", ""), self.tool("-a", "status"))


class Mixed(unittest.TestCase):
    def test_a_card_with_another_application_first_is_still_found_by_its_name(self):
        make("first", more=("--atr", "3B80800101"))
        issuer, state = reader.program("cardlink-issuer"), reader.folder / "jpki.card"
        done = with_secrets([issuer, "jpki", "make", "--name", "Hanako", "--state", state, "--certificate", reader.folder / "jpki.der"],
                            "4711", "KEY4711")
        self.assertEqual(done.returncode, 0, done.stderr)
        guid = make("both", more=("--beside", "jpki.card", "--atr", "3B80800101"))
        for name in ("first", "both"):
            reader.insert(reader.folder / f"{name}.card")
            self.addCleanup(reader.remove)
            self.assertIn("CN=Hanako", run("yubico-piv-tool", "-r", "Virtual", "-a", "status"))
        shown = run(reader.program("cardlink-vcard"), "--show", reader.folder / "both.card")
        self.assertIn(f"PIV card {guid}", shown)
        self.assertIn("ATR 3b80800101", shown)

    def test_what_is_asked_for_wrongly_is_refused_and_leaves_nothing(self):
        for more in (("--key", "9B:ec-p256"), ("--key", "9A:ec-p256", "--key", "9A:ec-p384"), ("--key", "9A:des"), ("--atr", "3B"),
                     ("--management", "rot13"), ("--management-key", "ca.pem"), ("--ca", "ca.pem"), ("--beside", "ca.pem"),
                     ("--ca", "ca.pem", "--ca-key", "other.key"), ("--name", "x" * 65)):
            with self.subTest(more=more):
                run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "other.key")
                done = with_secrets([reader.program("cardlink-issuer"), "piv", "make", "--state", "none.card", *more], PIN, PUK,
                                    cwd=reader.folder)
                self.assertNotEqual(done.returncode, 0)
                self.assertTrue(done.stderr.startswith("cardlink-issuer: "), done.stderr)
                self.assertFalse((reader.folder / "none.card").exists())
        for pin, puk in (("12345", PUK), ("123456789", PUK), (PIN, "1234567")):
            done = with_secrets([reader.program("cardlink-issuer"), "piv", "make", "--state", "none.card"], pin, puk, cwd=reader.folder)
            self.assertEqual(done.returncode, 1)
            self.assertIn("PIN has 6 to 8 digits", done.stderr)
            self.assertFalse((reader.folder / "none.card").exists())

    def test_secrets_by_lot_are_in_the_letter_and_work(self):
        letter = reader.folder / "letter"
        subprocess.run([reader.program("cardlink-issuer"), "piv", "make", "--state", reader.folder / "lot.card", "--letter", letter],
                       check=True, stdout=subprocess.DEVNULL)
        said = dict(line.rsplit(" ", 1) for line in letter.read_text().splitlines())
        self.assertEqual(letter.stat().st_mode & 0o777, 0o600)
        reader.insert(reader.folder / "lot.card")
        self.addCleanup(reader.remove)
        tool = ("yubico-piv-tool", "-r", "Virtual")
        self.assertIn("Successfully verified", run(*tool, "-a", "verify-pin", "-P", said["PIN"]))
        run(*tool, "-a", "unblock-pin", "-P", said["PUK"], "-N", PIN)
        run(*tool, "-a", "generate", "-s", "9e", "-A", "ECCP256", f"--key={said['management key']}", "-o", "new.pub")


if __name__ == "__main__":
    unittest.main(verbosity=2)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual PIV card before a host that speaks secure messaging, and that was written from the standard apart from it
(tests/support/piv_channel.py)."""

import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

SUPPORT = Path(__file__).resolve().parents[1] / "support"
sys.path.insert(0, str(SUPPORT))

import piv_channel as piv                                    # noqa: E402
from stock_reader import BUILD, PATIENCE, with_secrets       # noqa: E402

PIN, PUK = "123456", "12345678"
SIGNER, CHUID, AUTHENTICATION = "5FC122", "5FC102", "5FC105"
GET, USE, VERIFY = 0xCB, 0x87, 0x20
folder = None


def setUpModule():
    global folder, place
    place = tempfile.TemporaryDirectory(prefix="piv-secured-")
    folder = Path(place.name)
    signer("signer", "-addext", "extendedKeyUsage=critical,2.16.840.1.101.3.6.7")
    signer("other")


def tearDownModule():
    place.cleanup()


def signer(name, *usage, curve="P-256"):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-nodes",
                    "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "30", "-subj", f"/CN={name}",
                    "-addext", "basicConstraints=CA:FALSE", "-addext", "keyUsage=critical,digitalSignature", *usage],
                   check=True, capture_output=True, cwd=folder)
    (folder / f"{name}.key").chmod(0o600)


def make(name, *more):
    """What cardlink-issuer says and how it ends."""
    return with_secrets([BUILD / "cardlink/issuer/cardlink-issuer", "piv", "make", "--state", f"{name}.card",
                         "--certificates", name, *more], PIN, PUK, cwd=folder)


class Reader:
    """A card on a reader that is a Unix socket."""

    def __init__(self, card, *more):
        self.path = folder / "reader"
        self.log = open(folder / "vcard.log", "ab")
        self.process = subprocess.Popen([BUILD / "cardlink/card/cardlink-vcard", *more, "--socket", self.path, folder / card],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.settimeout(30 * PATIENCE)
        end = time.monotonic() + 10 * PATIENCE
        while True:
            try:
                self.stream.connect(os.fspath(self.path))
                break
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.02)
        self.power()

    def put(self, data):
        self.stream.sendall(struct.pack(">H", len(data)) + data)

    def power(self):
        self.put(b"\2")

    def take(self, count):
        data = b""
        while len(data) < count:
            part = self.stream.recv(count - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def transmit(self, command):
        self.put(command)
        return self.take(struct.unpack(">H", self.take(2))[0])

    def close(self):
        self.stream.close()
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


def listed(tag):
    return piv.tlv("5C", bytes.fromhex(tag))


def content(data):
    (tag, value, _), = piv.untlv(data)
    assert tag == "53"
    return {name: part for name, part, _ in piv.untlv(value)}


class Secured(unittest.TestCase):
    more = ()

    def setUp(self):
        done = make(self.id(), "--content-signer", "signer.pem", "--content-signer-key", "signer.key", "--key", "9A:ec-p256",
                    "--key", "9D:rsa-2048", *self.more)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.guid = bytes.fromhex(done.stdout.strip().replace("-", ""))
        self.insert()

    def insert(self, *how):
        self.reader = Reader(f"{self.id()}.card", *how)
        self.addCleanup(self.reader.close)
        self.host = piv.Host(self.reader.transmit)
        data, status = self.host.raw(0, 0xA4, 0x04, 0x00, bytes.fromhex("A000000308"))
        self.assertEqual(status, 0x9000)
        self.template = data

    def establish(self, **more):
        data, status = self.host.raw(0, GET, 0x3F, 0xFF, listed(SIGNER))
        self.assertEqual(status, 0x9000)
        self.signer = x509.load_der_x509_certificate(content(data)["70"])
        self.host.establish(lambda cvc: piv.check_cvc(cvc, self.signer, self.guid), **more)

    def verify(self, pin=PIN):
        return self.host.send(VERIFY, 0x00, 0x80, pin.encode().ljust(8, b"\xff"))


class Contact(Secured):
    def test_the_card_is_who_its_content_signer_says(self):
        self.assertIn(bytes.fromhex("AC06800127060100"), self.template)
        self.establish(id_h=os.urandom(8))
        self.assertEqual(self.signer, x509.load_pem_x509_certificate((folder / "signer.pem").read_bytes()))
        data, status = self.host.send(GET, 0x3F, 0xFF, listed(CHUID), le=True)
        self.assertEqual((content(data)["34"], status), (self.guid, 0x9000))

    def test_a_pin_and_signatures_go_through_the_channel(self):
        self.establish(cb_h=0x0F)
        digest = os.urandom(32)
        question = piv.tlv("7C", piv.tlv("82", b"") + piv.tlv("81", digest))
        self.assertEqual(self.host.send(USE, 0x11, 0x9A, question, le=True), (b"", 0x6982))
        self.assertEqual(self.verify("999999"), (b"", 0x63C2))
        self.assertEqual(self.verify(), (b"", 0x9000))
        data, status = self.host.send(USE, 0x11, 0x9A, question, le=True)
        self.assertEqual(status, 0x9000)
        (_, inner, _), = piv.untlv(data)
        (_, signature, _), = piv.untlv(inner)
        data, _ = self.host.send(GET, 0x3F, 0xFF, listed(AUTHENTICATION), le=True)
        certificate = x509.load_der_x509_certificate(content(data)["70"])
        certificate.public_key().verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        self.assertEqual(certificate, x509.load_pem_x509_certificate((folder / self.id() / "9a.pem").read_bytes()))

    def test_long_commands_go_in_parts_both_ways(self):
        self.establish()
        self.verify()
        key = x509.load_pem_x509_certificate((folder / self.id() / "9d.pem").read_bytes()).public_key().public_numbers()
        secret = bytes(1) + os.urandom(255)
        hidden = pow(int.from_bytes(secret, "big"), key.e, key.n).to_bytes(256, "big")
        data, status = self.host.send(USE, 0x07, 0x9D, piv.tlv("7C", piv.tlv("82", b"") + piv.tlv("81", hidden)), le=True)
        self.assertEqual((data, status), (piv.tlv("7C", piv.tlv("82", secret)), 0x9000))

    def test_a_repeated_command_ends_the_channel(self):
        self.establish()
        said = self.host.session.command(VERIFY, 0x00, 0x80)
        self.assertEqual(self.host.raw(0x0C, VERIFY, 0x00, 0x80, said)[1], 0x9000)
        self.assertEqual(self.host.raw(0x0C, VERIFY, 0x00, 0x80, said), (b"", 0x6988))
        self.assertEqual(self.host.raw(0x0C, VERIFY, 0x00, 0x80, said), (b"", 0x6982))
        self.establish()
        self.assertEqual(self.verify(), (b"", 0x9000))
        self.reader.power()
        self.assertEqual(self.host.raw(0x0C, VERIFY, 0x00, 0x80, self.host.session.command(VERIFY, 0x00, 0x80)), (b"", 0x6982))


class Contactless(Secured):
    more = ("--pairing-code", "pairing")

    def setUp(self):
        (folder / "pairing").unlink(missing_ok=True)
        super().setUp()
        self.code = (folder / "pairing").read_bytes().strip()

    def insert(self):
        super().insert("--contactless")

    def test_the_pairing_code_opens_the_virtual_contact_interface(self):
        self.assertRegex(self.code, rb"^[0-9]{8}$")
        self.assertEqual((folder / "pairing").stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.host.raw(0, GET, 0x3F, 0xFF, listed("7E"))[0][-2:], b"\x48\0")
        self.assertEqual(self.host.raw(0, VERIFY, 0x00, 0x80, b"123456\xff\xff"), (b"", 0x6982))
        self.assertEqual(self.host.raw(0, VERIFY, 0x00, 0x98, self.code), (b"", 0x6982))
        self.establish()
        self.assertEqual(self.verify(), (b"", 0x6982))
        self.assertEqual(self.host.send(GET, 0x3F, 0xFF, listed(AUTHENTICATION), le=True), (b"", 0x6982))
        self.assertEqual(self.host.send(VERIFY, 0x00, 0x98, self.code), (b"", 0x9000))
        self.assertEqual(self.verify(), (b"", 0x9000))
        data, status = self.host.send(GET, 0x3F, 0xFF, listed("5FC123"), le=True)
        self.assertEqual((content(data)["99"], status), (self.code, 0x9000))
        question = piv.tlv("7C", piv.tlv("82", b"") + piv.tlv("81", bytes(32)))
        self.assertEqual(self.host.send(USE, 0x11, 0x9A, question, le=True)[1], 0x9000)
        self.assertEqual(self.host.raw(0, USE, 0x11, 0x9A, question), (b"", 0x6982))


class Issuer(unittest.TestCase):
    def test_only_a_content_signer_signs(self):
        signer("large", "-addext", "extendedKeyUsage=2.16.840.1.101.3.6.7", curve="P-384")
        for name, said in (("other", "id-PIV-content-signing"), ("large", "P-256"), ("none", "none")):
            done = make("never", "--content-signer", f"{name}.pem", "--content-signer-key", f"{name}.key")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(said, done.stderr)
        self.assertEqual(make("never", "--content-signer", "signer.pem").returncode, 2)
        self.assertEqual(make("never", "--pairing-code", "code").returncode, 2)
        self.assertFalse((folder / "never.card").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A card's side of PIV secure messaging (NIST SP 800-73-4, part 2, 4; cipher suite 2), written from the text of the
specification, with the certificates of its key, right and wrong: tests/support/piv_secure.py FOLDER. Each is a file NAME.der.
Keys of issuers are made anew each time; the host's and the card's, the nonce and the moments are fixed."""

import datetime
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import cmac, hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

START, END = datetime.datetime(2026, 1, 1), datetime.datetime(2036, 1, 1)
CONTENT_SIGNING = "2.16.840.1.101.3.6.7"
P256 = ec.SECP256R1()
SHA256 = hashes.SHA256()
GUID = bytes(range(0x40, 0x50))
FASC_N = bytes(range(25))
CURVE_P256, CURVE_P384 = bytes.fromhex("2A8648CE3D030107"), bytes.fromhex("2B81040022")


# ---- BER-TLV ----

def tlv(tag, value):
    size = len(value)
    length = bytes((size,)) if size < 0x80 else bytes((0x81, size)) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")
    return bytes.fromhex(tag) + length + value


def private(number):
    return ec.derive_private_key(number, P256)


def point(key):
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


# ---- Certificates ----

class Issuer:
    def __init__(self, text, key, issuer=None, usage=CONTENT_SIGNING, start=START, end=END, is_ca=False):
        def name(common):
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        self.key, self.text = key, text
        builder = x509.CertificateBuilder().subject_name(name(text)).issuer_name(name(issuer.text if issuer else text))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(start).not_valid_after(end)
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), True)
        builder = builder.add_extension(x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False), True)
        self.identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(self.identifier, False)
        if usage and not is_ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(usage)]), True)
        self.certificate = builder.sign(issuer.key if issuer else key, SHA256)

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def name(self):
        return self.identifier.digest[:8]


def der(tag, value):
    return tlv(tag, value)


def signature_object(key, body):
    """DigitalSignature: SEQUENCE {AlgorithmIdentifier, BIT STRING}."""
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = bytes.fromhex("300D06092A864886F70D01010B0500")
        value = key.sign(body, padding.PKCS1v15(), SHA256)
    else:
        algorithm = bytes.fromhex("300A06082A8648CE3D040302")
        value = key.sign(body, ec.ECDSA(SHA256))
    return der("30", algorithm + der("03", b"\0" + value))


def cvc(signer, issuer, subject, public, role, profile=0x80, curve=CURVE_P256):
    body = tlv("5F29", bytes((profile,))) + tlv("42", issuer) + tlv("5F20", subject)
    body += tlv("7F49", tlv("06", curve) + tlv("86", public)) + tlv("5F4C", bytes((role,)))
    return tlv("7F21", body + tlv("5F37", signature_object(signer, body)))


# ---- The card ----

def mac_of(key, data):
    mac = cmac.CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def crypt(key, mode):
    return Cipher(algorithms.AES(key), mode)


class Card:
    def __init__(self, key, certificate, nonce):
        self.key, self.certificate, self.nonce = key, certificate, nonce

    def establish(self, command):
        """The answer to GENERAL AUTHENTICATE with algorithm 27 and key 04 (4.1.8)."""
        assert command[:4] == bytes.fromhex("00872704") and command[4] == len(command) - 6 and command[-1] == 0
        template = command[5:-1]
        assert template[:2] == bytes((0x7C, len(template) - 2)) and template[2:4] == bytes((0x81, 74))
        assert template[78:] == bytes.fromhex("8200")
        control, host, public = template[4:5], template[5:13], template[13:78]
        assert control == b"\0"
        there = ec.EllipticCurvePublicKey.from_encoded_point(P256, public)
        z = self.key.exchange(ec.ECDH(), there)
        digest = hashes.Hash(SHA256)
        digest.update(self.certificate)
        card = digest.finalize()[:8]
        other = bytes.fromhex("0409090909") + b"\x08" + host + b"\x01" + control + b"\x10" + public[1:17]
        other += b"\x08" + card + b"\x10" + self.nonce + b"\x01" + control
        assert len(other) == 61
        keys = ConcatKDFHash(SHA256, 64, other).derive(z)
        confirm, self.mac, self.enc, self.rmac = (keys[i:i + 16] for i in range(0, 64, 16))
        self.counter, self.chain, self.answer_chain = 1, bytes(16), bytes(16)
        cryptogram = mac_of(confirm, b"KC_1_V" + card + host + public[1:])
        return tlv("7C", tlv("82", control + self.nonce + cryptogram + self.certificate))

    def vector(self, top):
        block = bytes((top,)) + self.counter.to_bytes(15, "big")
        return crypt(self.enc, modes.ECB()).encryptor().update(block)

    def encrypted(self, data, top):
        if not data:
            return b""
        padded = data + b"\x80" + bytes(-(len(data) + 1) % 16)
        return tlv("87", b"\1" + crypt(self.enc, modes.CBC(self.vector(top))).encryptor().update(padded))

    def wrap(self, header, data, le):
        """The commands of the host for a command: this side of it, too, so that both can be compared."""
        objects = self.encrypted(data, 0) + (tlv("97", b"\0") if le else b"")
        mac = mac_of(self.mac, self.chain + b"\x0C" + header[1:] + b"\x80" + bytes(11) + objects)
        self.chain = mac
        objects += tlv("8E", mac[:8])
        parts = [objects[i:i + 255] for i in range(0, len(objects), 255)]
        return [bytes((0x0C if part is parts[-1] else 0x1C,)) + header[1:] + bytes((len(part),)) + part +
                (b"\0" if part is parts[-1] else b"") for part in parts]

    def answer(self, data, status):
        objects = self.encrypted(data, 0x80) + tlv("99", status)
        mac = mac_of(self.rmac, self.answer_chain + objects)
        self.answer_chain = mac
        self.counter += 1
        return objects + tlv("8E", mac[:8]) + b"\x90\x00"


# ---- What a test compares ----

# Header, data, Le; what the card says.
EXCHANGES = (
    ("00200080", b"", False, b"", "63C3"),
    ("0087119A", bytes.fromhex("7C2482008120") + bytes(range(32)), True, tlv("7C", tlv("82", bytes(70))), "9000"),
    ("0087079A", tlv("7C", tlv("82", b"") + tlv("81", b"\0\1" + bytes(254))), True, tlv("7C", tlv("82", bytes(range(256)))), "9000"),
    ("00CB3FFF", bytes.fromhex("5C035FC105"), True, bytes(i & 0xFF for i in range(1500)), "9000"),
    ("00CB3FFF", bytes(32), True, bytes(48), "9000"),
    ("00CB3FFF", b"", True, b"", "6A82"),
)


def main(folder):
    def put(name, content):
        (Path(folder) / f"{name}.der").write_bytes(content)

    host, card_key = private(0x1F2E3D4C5B6A79881716151413121110), private(0x0102030405060708090A0B0C0D0E0F10 << 96)
    root, stranger = (Issuer(text, ec.generate_private_key(P256), is_ca=True) for text in ("Agency", "Stranger"))
    signers = {
        "signer": Issuer("Signer", ec.generate_private_key(P256), root),
        "signer-later": Issuer("Signer", ec.generate_private_key(P256), root, start=START + datetime.timedelta(days=1)),
        "signer-usage": Issuer("Usage", ec.generate_private_key(P256), root, usage=ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string),
        "signer-no-usage": Issuer("No usage", ec.generate_private_key(P256), root, usage=None),
        "signer-stranger": Issuer("Signer", ec.generate_private_key(P256), stranger),
        "signer-expired": Issuer("Expired", ec.generate_private_key(P256), root, end=START + datetime.timedelta(days=9)),
        "signer-p384": Issuer("P-384", ec.generate_private_key(ec.SECP384R1()), root),
        "signer-rsa": Issuer("RSA", rsa.generate_private_key(65537, 2048), root),
    }
    put("root", root.der)
    for name, signer in signers.items():
        put(name, signer.der)
        put("cvc-" + name, cvc(signer.key, signer.name, GUID, point(card_key), 0))
    signer, by_rsa, middle = signers["signer"], signers["signer-rsa"], ec.generate_private_key(P256)
    digest = hashes.Hash(hashes.SHA1())
    digest.update(point(middle))
    middle_name = digest.finalize()[:8]
    put("between", cvc(by_rsa.key, by_rsa.name, middle_name, point(middle), 0x12))
    put("between-by-p256", cvc(signer.key, signer.name, middle_name, point(middle), 0x12))
    put("between-is-card", cvc(by_rsa.key, by_rsa.name, GUID, point(middle), 0))
    put("cvc-between", cvc(middle, middle_name, GUID, point(card_key), 0))
    good = cvc(signer.key, signer.name, GUID, point(card_key), 0)
    put("cvc", good)
    put("cvc-other-issuer", cvc(signer.key, bytes(8), GUID, point(card_key), 0))
    put("cvc-other-guid", cvc(signer.key, signer.name, bytes(16), point(card_key), 0))
    put("cvc-other-key", cvc(signer.key, signer.name, GUID, point(private(7)), 0))
    put("cvc-other-profile", cvc(signer.key, signer.name, GUID, point(card_key), 0, profile=0x81))
    put("cvc-other-curve", cvc(signer.key, signer.name, GUID, point(card_key), 0, curve=CURVE_P384))
    put("cvc-other-role", cvc(signer.key, signer.name, GUID, point(card_key), 1))
    put("cvc-off-curve", cvc(signer.key, signer.name, GUID, b"\x04" + bytes(64), 0))
    put("cvc-short-guid", cvc(signer.key, signer.name, GUID[:15], point(card_key), 0))
    put("guid", GUID)
    put("chuid", tlv("53", tlv("30", FASC_N) + tlv("34", GUID) + tlv("35", b"20360101") + tlv("FE", b"")))

    put("scalar", host.private_numbers().private_value.to_bytes(32, "big"))
    put("card-scalar", card_key.private_numbers().private_value.to_bytes(32, "big"))
    put("point", point(card_key))
    for name, identity in (("", bytes(8)), ("named-", bytes(range(8)))):
        card = Card(card_key, good, bytes(range(0xA0, 0xB0)))
        offer = b"\0" + identity + point(host)
        command = bytes.fromhex("00872704") + bytes((80,)) + tlv("7C", tlv("81", offer) + tlv("82", b"")) + b"\0"
        put(name + "offer", command)
        put(name + "answer", card.establish(command))
        put(name + "keys", card.mac + card.enc + card.rmac)
    card.establish(command)
    for number, (header, data, le, said, status) in enumerate(EXCHANGES):
        header = bytes.fromhex(header)
        for part, wrapped in enumerate(card.wrap(header, data, le)):
            put(f"command-{number}-{part}", wrapped)
        put(f"plain-{number}", header + bytes((le,)) + data)
        put(f"answer-{number}", card.answer(said, bytes.fromhex(status)))
        put(f"said-{number}", said + bytes.fromhex(status))


if __name__ == "__main__":
    main(sys.argv[1])

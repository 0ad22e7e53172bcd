# SPDX-License-Identifier: GPL-3.0-or-later
"""PIV secure messaging with cipher suite 2, both ends: NIST SP 800-73-4, part 2, 4.

Written from the standard with python3-cryptography, apart from the program, which tests compare with it. Names are the
standard's where it has some."""

import hashlib
import struct

from cryptography import x509
from cryptography.hazmat.primitives import cmac, hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CURVE = ec.SECP256R1()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def tlv(tag, value):
    length = bytes((len(value),)) if len(value) < 0x80 else b"\x81" + bytes((len(value),)) if len(value) < 0x100 else \
        b"\x82" + struct.pack(">H", len(value))
    return bytes.fromhex(tag) + length + value


def untlv(data):
    """The objects of data, as a list of (tag, value, the object whole)."""
    found = []
    while data:
        size = 1
        if data[0] & 0x1F == 0x1F:
            while data[size] & 0x80:
                size += 1
            size += 1
        at, length = size + 1, data[size]
        if length >= 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(data[at:at + count], "big"), at + count
        if at + length > len(data):
            raise ValueError("an object goes on after the end")
        found.append((data[:size].hex().upper(), data[at:at + length], data[:at + length]))
        data = data[at + length:]
    return found


def aes_cmac(key, data):
    mac = cmac.CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def aes(key, mode, data, decrypt=False):
    cipher = Cipher(algorithms.AES(key), mode)
    worker = cipher.decryptor() if decrypt else cipher.encryptor()
    return worker.update(data) + worker.finalize()


def point_of(key):
    numbers = key.public_numbers()
    return b"\4" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def key_of(scalar):
    return ec.derive_private_key(int.from_bytes(scalar, "big"), CURVE)


def agree(private, point):
    return private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point))


def sign(private, text, k=None):
    """ECDSA with SHA-256, DER; with a k of the caller's own always the same."""
    if k is None:
        return private.sign(text, ec.ECDSA(hashes.SHA256()))
    r = ec.derive_private_key(k, CURVE).public_key().public_numbers().x % ORDER
    e, d = int.from_bytes(hashlib.sha256(text).digest(), "big"), private.private_numbers().private_value
    return utils.encode_dss_signature(r, pow(k, -1, ORDER) * (e + r * d) % ORDER)


def make_cvc(issuer_id, guid, point, signer, k=None):
    """The secure messaging CVC (table 15)."""
    body = tlv("5F29", b"\x80") + tlv("42", issuer_id) + tlv("5F20", guid) + \
        tlv("7F49", tlv("06", bytes.fromhex("2A8648CE3D030107")) + tlv("86", point)) + tlv("5F4C", b"\0")
    signature = tlv("30", bytes.fromhex("300A06082A8648CE3D040302") + tlv("03", b"\0" + sign(signer, body, k)))
    return tlv("7F21", body + tlv("5F37", signature))


def check_cvc(cvc, certificate, guid):
    """Who the card is: its point, when the certificate's key has signed that (H5, H7)."""
    (tag, inside, _), = untlv(cvc)
    objects = untlv(inside)
    assert tag == "7F21" and [name for name, *_ in objects] == ["5F29", "42", "5F20", "7F49", "5F4C", "5F37"]
    profile, issuer, subject, holder, role, signature = (value for _, value, _ in objects)
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert (profile, issuer, subject, role) == (b"\x80", identifier[:8], guid, b"\0")
    (oid, curve, _), (kind, point, _) = untlv(holder)
    assert (oid, curve.hex().upper(), kind) == ("06", "2A8648CE3D030107", "86")
    (_, (_, algorithm, _), bits), = [(name, *untlv(value)) for name, value, _ in untlv(signature)]
    assert algorithm == bytes.fromhex("06082A8648CE3D040302") and bits[0] == "03" and bits[1][0] == 0
    certificate.public_key().verify(bits[1][1:], b"".join(whole for *_, whole in objects[:5]), ec.ECDSA(hashes.SHA256()))
    return point


class Session:
    """What both ends have after key establishment, and what they send then."""

    def __init__(self, z, cb_h, id_h, point, cvc, nonce):
        id_icc, q = hashlib.sha256(cvc).digest()[:8], point[1:]
        info = b"\4\x09\x09\x09\x09" + b"\x08" + id_h + b"\1" + bytes((cb_h,)) + b"\x10" + q[:16] + \
            b"\x08" + id_icc + b"\x10" + nonce + b"\1" + bytes((cb_h & 0xF0,))
        assert len(info) == 61
        keys = b"".join(hashlib.sha256(struct.pack(">I", i) + z + info).digest() for i in (1, 2))
        self.cfrm, self.mac, self.enc, self.rmac = (keys[i:i + 16] for i in range(0, 64, 16))
        self.cryptogram = aes_cmac(self.cfrm, b"KC_1_V" + id_icc + id_h + q)
        self.counter, self.c_mcv, self.r_mcv = 0, bytes(16), bytes(16)

    def iv(self, first):
        return aes(self.enc, modes.ECB(), bytes((first,)) + self.counter.to_bytes(15, "big"))

    def encrypt(self, first, data):
        if not data:
            return b""
        padded = data + b"\x80" + bytes(-(len(data) + 1) % 16)
        return tlv("87", b"\1" + aes(self.enc, modes.CBC(self.iv(first)), padded))

    def command(self, ins, p1, p2, data=b"", le=False):
        """The data field of a command (4.2.2 to 4.2.4)."""
        self.counter += 1
        objects = self.encrypt(0x00, data) + (b"\x97\1\0" if le else b"")
        header = bytes((0x0C, ins, p1, p2, 0x80)) + bytes(11)
        self.c_mcv = aes_cmac(self.mac, self.c_mcv + header + objects)
        return objects + tlv("8E", self.c_mcv[:8])

    def answer(self, data, status):
        """The card's answer to it, without the outer status word (4.2.5, 4.2.6)."""
        objects = self.encrypt(0x80, data) + tlv("99", struct.pack(">H", status))
        self.r_mcv = aes_cmac(self.rmac, self.r_mcv + objects)
        return objects + tlv("8E", self.r_mcv[:8])

    def open(self, answer):
        """What the card said: data and status word."""
        objects = untlv(answer)
        mac = objects.pop()
        self.r_mcv = aes_cmac(self.rmac, self.r_mcv + b"".join(whole for *_, whole in objects))
        assert mac[0] == "8E" and mac[1] == self.r_mcv[:8], "the answer's MAC is wrong"
        status = objects.pop()
        assert status[0] == "99" and len(status[1]) == 2
        data = b""
        if objects:
            (tag, value, _), = objects
            assert tag == "87" and value[0] == 1
            padded = aes(self.enc, modes.CBC(self.iv(0x80)), value[1:], decrypt=True)
            data = padded.rstrip(b"\0")
            assert data[-1:] == b"\x80" and len(padded) - len(data) < 16, "the answer's padding is wrong"
            data = data[:-1]
        return data, struct.unpack(">H", status[1])[0]


class Host:
    """A host that talks to a card: transmit takes a command and gives its answer, status word and all."""

    def __init__(self, transmit):
        self.transmit, self.session = transmit, None

    def raw(self, cla, ins, p1, p2, data=b"", le=True):
        parts = [data[i:i + 255] for i in range(0, len(data), 255)] or [b""]
        for part in parts[:-1]:
            answer = self.transmit(bytes((cla | 0x10, ins, p1, p2, len(part))) + part)
            if answer != b"\x90\0":
                return b"", struct.unpack(">H", answer)[0]
        last = parts[-1]
        answer = self.transmit(bytes((cla, ins, p1, p2)) + (bytes((len(last),)) + last if last else b"") + (b"\0" if le else b""))
        data = answer[:-2]
        while answer[-2] == 0x61:
            answer = self.transmit(b"\0\xC0\0\0" + answer[-1:])
            data += answer[:-2]
        return data, struct.unpack(">H", answer[-2:])[0]

    def establish(self, cvc_check, id_h=bytes(8), cb_h=0):
        """Key establishment (4.1.1); cvc_check gives the point of a certificate, or refuses it."""
        own = ec.generate_private_key(CURVE)
        point = point_of(own.public_key())
        data, status = self.raw(0, 0x87, 0x27, 0x04, tlv("7C", tlv("81", bytes((cb_h,)) + id_h + point) + tlv("82", b"")))
        assert status == 0x9000, hex(status)
        (outer, inner, _), = untlv(data)
        (tag, value, _), = untlv(inner)
        assert (outer, tag, value[0]) == ("7C", "82", cb_h & 0xF0)
        nonce, cryptogram, cvc = value[1:17], value[17:33], value[33:]
        session = Session(agree(own, cvc_check(cvc)), cb_h, id_h, point, cvc, nonce)
        assert session.cryptogram == cryptogram, "the card does not have the keys"
        self.session = session

    def send(self, ins, p1, p2, data=b"", le=False):
        """A command inside the channel: data and status word; an error in secure messaging is an error here."""
        answer, status = self.raw(0x0C, ins, p1, p2, self.session.command(ins, p1, p2, data, le))
        assert status == 0x9000, f"secure messaging: {status:04X}"
        return self.session.open(answer)

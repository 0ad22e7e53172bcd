# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agency does to a PIV card of its own that lies on a reader: keys made on the card, and certificates put there, after its
management key (AES). NIST SP 800-73-4, part 2, 3.3."""

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers import modes

from piv_channel import aes, tlv, untlv

OBJECTS = {0x9A: "5FC105", 0x9C: "5FC10A", 0x9D: "5FC10B", 0x9E: "5FC101"}
AES_OF = {16: 0x08, 24: 0x0A, 32: 0x0C}
P256 = 0x11
P256_KEY = bytes.fromhex("3059301306072A8648CE3D020106082A8648CE3D030107034200")    # SubjectPublicKeyInfo before the point


class ManagedCard:
    """card: with transmit, which takes a command and gives all of its answer."""

    def __init__(self, card, key):
        self.card = card
        self.send(0xA4, 0x04, 0x00, bytes.fromhex("A000000308000010000100"), le=True)
        (_, inside, _), = untlv(self.send(0x87, AES_OF[len(key)], 0x9B, tlv("7C", tlv("81", b"")), le=True))
        (_, challenge, _), = untlv(inside)
        self.send(0x87, AES_OF[len(key)], 0x9B, tlv("7C", tlv("82", aes(key, modes.ECB(), challenge))))

    def send(self, ins, p1, p2, data, le=False):
        """A command, in as many parts as it takes, which the card must carry out; the data of its answer."""
        parts = [data[i:i + 255] for i in range(0, len(data), 255)]
        for part in parts:
            last = part is parts[-1]
            answer = self.card.transmit(bytes((0x00 if last else 0x10, ins, p1, p2, len(part))) + part + (b"\0" if last and le else b""))
            assert answer[-2:] == b"\x90\0", f"INS {ins:02X}: {answer[-2:].hex()}"
        return answer[:-2]

    def generate(self, slot):
        """Another key there, on P-256: its public half, DER."""
        (tag, template, _), = untlv(self.send(0x47, 0x00, slot, tlv("AC", tlv("80", bytes((P256,)))), le=True))
        (part, point, _), = untlv(template)
        assert (tag, part, len(point)) == ("7F49", "86", 65)
        return P256_KEY + point

    def put_certificate(self, slot, der):
        self.send(0xDB, 0x3F, 0xFF, tlv("5C", bytes.fromhex(OBJECTS[slot])) + tlv("53", tlv("70", der) + tlv("71", b"\0") + tlv("FE", b"")))


def certify_again(old, authority, key, public=None, days=300):
    """The certificate, DER, that takes the place of an old one: begins a second later, under the same names, by an authority (its
    certificate and key in PEM), for the old one's key or another (DER)."""
    before, issuer = x509.load_der_x509_certificate(old), x509.load_pem_x509_certificate(authority)
    usage = x509.KeyUsage(True, *[False] * 8)
    begins = before.not_valid_before + timedelta(seconds=1)
    made = (x509.CertificateBuilder().subject_name(before.subject).issuer_name(issuer.subject).serial_number(x509.random_serial_number())
            .public_key(serialization.load_der_public_key(public) if public else before.public_key())
            .not_valid_before(begins).not_valid_after(begins + timedelta(days=days))
            .add_extension(usage, critical=True)
            .add_extension(before.extensions.get_extension_for_class(x509.SubjectAlternativeName).value, critical=False))
    return made.sign(serialization.load_pem_private_key(key, None), hashes.SHA256()).public_bytes(serialization.Encoding.DER)

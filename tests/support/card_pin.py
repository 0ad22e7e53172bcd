# SPDX-License-Identifier: GPL-3.0-or-later
"""A PIN as a terminal sends it: docs/card-application.md, section 5."""

from cryptography.hazmat.primitives import cmac, hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

VERIFY = 1


def card_point(answers):
    """The card's ephemeral point, from its answer to MUTUAL AUTHENTICATE, the last one of the first script."""
    answer = bytes.fromhex(answers[-1])
    if answer[:3] != b"\x5f\x49\x41" or answer[-2:] != b"\x90\x00":
        raise ValueError(f"no channel was opened: {answers[-1]}")
    return answer[3:68]


def encrypt(secret, point, form=VERIFY, fresh=""):
    """The ciphertext, in hexadecimal, for the card that made the point."""
    def field(digits):
        return bytes((len(digits),)) + digits.encode().ljust(12, b"\xff")
    own = ec.generate_private_key(ec.SECP256R1())
    public = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
    keys = X963KDF(algorithm=hashes.SHA256(), length=32, sharedinfo=b"cardbroker pin 1\0" + public + point).derive(shared)
    encryptor = Cipher(algorithms.AES(keys[:16]), modes.CBC(bytes(16))).encryptor()
    block = encryptor.update(bytes((form,)) + field(secret) + field(fresh) + bytes(5)) + encryptor.finalize()
    mac = cmac.CMAC(algorithms.AES(keys[16:]))
    mac.update(block)
    return (public + block + mac.finalize()).hex()

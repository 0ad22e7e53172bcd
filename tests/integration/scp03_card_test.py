# SPDX-License-Identifier: GPL-3.0-or-later
"""cardlink-vcard as an SCP03 card, before a host that shares no code with it; and what a card remembers when its program dies.

The host below is written from GlobalPlatform Amendment D alone, with Python's cryptography.

usage: scp03_card_test.py BUILD
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

BUILD = Path(sys.argv.pop(1))
ISSUER = BUILD / "cardlink/issuer/cardlink-issuer"
VCARD = BUILD / "cardlink/card/cardlink-vcard"
AID = bytes.fromhex("F04341524442524F4B455203")
SELECT = b"\0\xa4\4\0" + bytes((len(AID),)) + AID
DIGEST = bytes(range(32))


def cmac(key, data):
    mac = CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def kdf(key, what, context, length):
    blocks = b"".join(cmac(key, bytes(11) + struct.pack(">BBHB", what, 0, 8 * length, i) + context) for i in (1, 2))
    return blocks[:length]


def kdf3(master, kdd, which):
    return b"".join(cmac(master, bytes((i, 0, 0, 0, which, 0)) + kdd) for i in (1, 2))[:len(master)]


def aes(key, mode):
    return Cipher(algorithms.AES(key), mode)


class Host:
    def __init__(self, card, master, challenge):
        self.card = card
        self.challenge = challenge
        data, status = card.send(b"\x80\x50\x30\0\x08" + challenge + b"\0")
        assert status == 0x9000, hex(status)
        self.kdd, self.info = data[:10], data[10:13]
        theirs, cryptogram, self.sequence = data[13:21], data[21:29], int.from_bytes(data[29:], "big")
        enc, mac = kdf3(master, self.kdd, 1), kdf3(master, self.kdd, 2)
        context, size = challenge + theirs, len(master)
        self.enc, self.mac, self.rmac = kdf(enc, 4, context, size), kdf(mac, 6, context, size), kdf(mac, 7, context, size)
        assert cryptogram == kdf(self.mac, 0, context, 8)
        assert theirs == kdf(enc, 2, data[29:] + AID, 8)
        self.cryptogram = kdf(self.mac, 1, context, 8)
        self.chain, self.counter = bytes(16), 1

    def authenticate(self, cryptogram=None):
        return self.maced(b"\x84\x82\x33\0", cryptogram or self.cryptogram, b"")[1]

    def maced(self, header, data, le):
        length = bytes((len(data) + 8,))
        self.chain = cmac(self.mac, self.chain + header + length + data)
        return self.card.send(header + length + data + self.chain[:8] + le)

    def vector(self, top):
        block = bytes((top,)) + self.counter.to_bytes(15, "big")
        return modes.CBC(aes(self.enc, modes.ECB()).encryptor().update(block))

    def presence(self, digest):
        padded = digest + b"\x80" + bytes(15)
        wrapped = aes(self.enc, self.vector(0)).encryptor().update(padded)
        data, status = self.maced(b"\x84\x88\0\0", wrapped, b"\0")
        if status != 0x9000:
            return status
        assert data[-8:] == cmac(self.rmac, self.chain + data[:-8] + b"\x90\0")[:8]
        plain = aes(self.enc, self.vector(0x80)).decryptor().update(data[:-8]).rstrip(b"\0")
        assert plain[-1:] == b"\x80" and plain[:1] == b"\1" and plain[5:-1] == digest
        return int.from_bytes(plain[1:5], "big")


class Card:
    """The program with one card on a Unix socket."""

    def __init__(self, folder, state):
        self.path = folder / "socket"
        self.program = subprocess.Popen([VCARD, "--socket", self.path, state], stderr=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        end = time.monotonic() + 10
        while self.socket.connect_ex(str(self.path)) != 0:
            assert time.monotonic() < end and self.program.poll() is None
            time.sleep(0.01)
        self.write(b"\1")

    def write(self, message):
        self.socket.sendall(struct.pack(">H", len(message)) + message)

    def send(self, command):
        self.write(command)
        answer = self.read(struct.unpack(">H", self.read(2))[0])
        return answer[:-2], int.from_bytes(answer[-2:], "big")

    def read(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            assert part
            data += part
        return data

    def end(self, how=signal.SIGTERM):
        self.socket.close()
        self.program.send_signal(how)
        self.program.wait(10)


class Scp03(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory(prefix="scp03-")
        self.folder = Path(self.place.name)
        self.card = None

    def tearDown(self):
        if self.card:
            self.card.end()
        self.place.cleanup()

    def make(self, size, name="one"):
        self.master = os.urandom(size)
        key = self.folder / f"{name}.key"
        key.touch(0o600)
        key.write_text(self.master.hex())
        self.state = self.folder / f"{name}.card"
        done = subprocess.run([ISSUER, "scp03", "make", "--master", key, "--key-version", "30", "--state", self.state],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return bytes.fromhex(done.stdout.strip())

    def put_down(self):
        self.card = Card(self.folder, self.state)

    def open(self, challenge=None):
        self.assertEqual(self.card.send(SELECT), (b"", 0x9000))
        return Host(self.card, self.master, challenge or os.urandom(8))

    def test_keys_of_each_length_open_a_channel_and_prove_presence(self):
        for size in (16, 24, 32):
            with self.subTest(size):
                kdd = self.make(size, name=str(size))
                self.put_down()
                for tap in (1, 2):
                    host = self.open()
                    self.assertEqual((host.kdd, host.info.hex(), host.sequence), (kdd, "300370", tap))
                    self.assertEqual(host.authenticate(), 0x9000)
                    self.assertEqual(host.presence(DIGEST), tap)
                self.card.end()
                self.card = None

    def test_counters_outlive_a_program_that_is_killed(self):
        self.make(16)
        for tap in range(1, 6):
            self.put_down()
            host = self.open(challenge=bytes(8))
            self.assertEqual(host.sequence, tap)
            self.assertEqual(host.authenticate(), 0x9000)
            self.assertEqual(host.presence(DIGEST), tap)
            self.card.end(signal.SIGKILL)
            (self.folder / "socket").unlink()
            self.card = None

    def test_wrong_cryptograms_are_counted_and_block_the_card(self):
        self.make(16)
        self.put_down()
        for _ in range(63):
            self.assertEqual(self.open().authenticate(b"\xff" * 8), 0x6300)
        self.assertEqual(self.open().authenticate(), 0x9000)    # begins to count anew
        for _ in range(64):
            self.assertEqual(self.open().authenticate(b"\xff" * 8), 0x6300)
        self.card.end()
        self.put_down()
        self.assertEqual(self.card.send(SELECT)[1], 0x9000)
        self.assertEqual(self.card.send(b"\x80\x50\0\0\x08" + bytes(8) + b"\0")[1], 0x6983)

    def test_makers_mistakes_are_refused(self):
        self.make(16)
        key = self.folder / "one.key"

        def make(*more):
            return subprocess.run([ISSUER, "scp03", "make", "--state", self.folder / "new.card", *more], capture_output=True, text=True)
        good = ("--master", key, "--key-version", "30")
        for more, status in ((("--master", key), 2), (("--master", key, "--key-version", "80"), 2), ((*good, "--kdd", "00"), 2),
                             (("--key-version", "30"), 2), (("--master", self.folder / "none", "--key-version", "30"), 1)):
            self.assertEqual(make(*more).returncode, status, more)
        key.write_text("00" * 20)
        self.assertIn("hexadecimal digits", make(*good).stderr)
        key.write_text("00" * 32)
        key.chmod(0o644)
        self.assertEqual(make(*good).returncode, 1)
        self.assertFalse((self.folder / "new.card").exists())
        key.chmod(0o600)
        self.assertEqual(make(*good, "--kdd", "00010203040506070809").stdout.strip(), "00010203040506070809")
        self.assertEqual(make(*good).returncode, 1)    # it is there already


if __name__ == "__main__":
    unittest.main()

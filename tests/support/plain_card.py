#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A card that follows a table: for testing readers and scripts without any card protocol.

Speaks the messages of the virtual reader (a 16-bit length, then: 00 off, 01 on, 02 reset, 04 send the ATR, or a command), either
to the reader's port (it connects) or on a Unix socket (it listens).

Commands it knows, by INS:
  A4  9000
  B0  as many bytes as P1 P2 say, in parts of 256 by 61xx
  B2  6Cxx unless Le is P2; then P2 bytes
  C0  GET RESPONSE
  82  what MUTUAL AUTHENTICATE answers: a session key and a receipt that are none
  CB  a PIV card's objects: its CHUID (--number says whose), and otherwise what is no certificate
  D0  the data it was sent
  E0  leaves the reader without an answer, and comes back after a second
  E2  never answers
  others 6D00
"""
import argparse
import os
import socket
import struct
import sys
import time

ATR_CONTACT = bytes.fromhex("3B00")
ATR_CONTACTLESS = bytes.fromhex("3B80800101")
# A point of P-256 (its generator): the terminal can encrypt to it.
POINT = bytes.fromhex("046B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
                      "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5")


class Removed(Exception):
    pass


class Card:
    def __init__(self, number=1):
        self.number = number
        self.rest = b""
        self.log = []

    def give(self, data):
        part, self.rest = data[:256], data[256:]
        if not self.rest:
            return part + b"\x90\x00"
        return part + bytes([0x61, min(len(self.rest), 256) & 0xFF])

    def answer(self, command):
        ins, p1, p2 = command[1], command[2], command[3]
        if ins == 0xA4:
            return b"\x90\x00"
        if ins == 0xB0:
            return self.give(bytes(i & 0xFF for i in range(p1 << 8 | p2)))
        if ins == 0xB2:
            if command[-1] != p2 or len(command) != 5:
                return bytes([0x6C, p2])
            return bytes(p2) + b"\x90\x00"
        if ins == 0xC0:
            return self.give(self.rest)
        if ins == 0x82:
            return b"\x5F\x49\x41" + POINT + b"\x86\x10" + bytes(16) + b"\x90\x00"
        if ins == 0xCB and command[7:10] == b"\x5F\xC1\x02":
            return b"\x53\x2D\x30\x19" + bytes(25) + b"\x34\x10" + self.number.to_bytes(16, "big") + b"\x90\x00"
        if ins == 0xCB:
            return bytes.fromhex("530C70053003020100710100FE00") + b"\x90\x00"
        if ins == 0xD0:
            return command[5:5 + command[4]] + b"\x90\x00"
        if ins == 0xE0:
            raise Removed()
        if ins == 0xE2:
            time.sleep(3600)
        return b"\x6D\x00"


def receive(stream, count):
    data = b""
    while len(data) < count:
        # The reader writes length and payload apart: without this the second waits 40 ms for our acknowledgement.
        if stream.family == socket.AF_INET:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        part = stream.recv(count - len(data))
        if not part:
            raise ConnectionError
        data += part
    return data


def serve(stream, card, atr):
    while True:
        (length,) = struct.unpack(">H", receive(stream, 2))
        message = receive(stream, length)
        if length > 1:
            reply = card.answer(message)
            stream.sendall(struct.pack(">H", len(reply)) + reply)
        elif message == b"\x04":
            stream.sendall(struct.pack(">H", len(atr)) + atr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int)
    parser.add_argument("--unix")
    parser.add_argument("--contactless", action="store_true")
    parser.add_argument("--number", type=int, default=1)
    options = parser.parse_args()
    atr = ATR_CONTACTLESS if options.contactless else ATR_CONTACT
    listener = None
    while True:
        if options.unix:
            listener = listener or listen(options.unix)
            stream, _ = listener.accept()
        else:
            stream = socket.create_connection(("127.0.0.1", options.port))
        try:
            serve(stream, Card(options.number), atr)
        except Removed:
            if listener:
                os.unlink(options.unix)
                listener.close()
                listener = None
            stream.close()
            time.sleep(1)
        except ConnectionError:
            stream.close()
            time.sleep(0 if listener else 0.1)


def listen(path):
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    return listener


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, ConnectionRefusedError):
        sys.exit(0)

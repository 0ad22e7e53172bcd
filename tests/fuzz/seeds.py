#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes good inputs for the fuzz targets, from which a corpus grows: tests/fuzz/seeds.py FOLDER

They come from where good inputs stand already: the card application's byte by byte tap, manual pages' examples, and what
openssl and Python's TLS make. What scripts/fuzz finds beyond them is in tests/fuzz/corpus."""

import gzip
import json
import re
import ssl
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(sys.argv[1])
NAMES = set()


def put(target, name, data):
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


def tap_of_the_document():
    """name -> bytes, as docs/card-application.md has them."""
    text = (ROOT / "docs" / "card-application.md").read_text()
    return {name: bytes.fromhex(value) for name, value in re.findall(r"^([a-z-]+) = ([0-9a-f]+)$", text, re.M)}


def var(data):
    return struct.pack(">I", len(data)) + data


def item(data, how=0):
    return bytes((how, len(data))) + data


def card(tap):
    plain = [tap[name] for name in ("select", "get-data", "pso", "mutual")]
    put("card_apdu", "first-script", b"\0" + b"".join(item(command) for command in plain))
    put("card_apdu", "each-alone", b"\1" + b"".join(item(command) for command in reversed(plain)))
    inside = {"signer": (3, b"\x80\x2a\x01\x20" + bytes((len(tap["signer-certificate"]),)) + tap["signer-certificate"]),
              "request": (4, b"\x80\x82\0\0\x80" + bytes(128)), "verify": (5, b"\x80\x20\0\x80\x71" + tap["pin-ciphertext"]),
              "change": (5, b"\x80\x24\0\x80\x71" + tap["pin-ciphertext"]), "unblock": (5, b"\x80\x2c\0\x80\x71" + tap["pin-ciphertext"]),
              "prove": (5, b"\x80\x88\0\0")}
    for name, (step, command) in inside.items():
        put("card_apdu", name, bytes((step,)) + item(command, 1))
    for name in ("broker-certificate", "card-certificate", "signer-certificate", "pin-ciphertext"):
        put("card_cvc", name, tap[name])
    link = tap["link-certificate"]
    put("card_cvc", "link-certificate", link)
    numbers = link.index(bytes.fromhex("5303200102")) + 2
    changes = {"genuine": link, "other-kid": link[:numbers] + b"\x21" + link[numbers + 1:],
               "back": link[:numbers] + bytes.fromhex("200201") + link[numbers + 3:],
               "long": link[:numbers - 1] + b"\4\x20\1\2\0" + link[numbers + 3:],
               "cut": link[:-1], "more": link + b"\0", "broker": tap["broker-certificate"]}
    for name, data in changes.items():
        put("card_link", name, b"\0" + data)
    put("card_link", "unchanged", b"\1")
    for name, at in (("usage", 39), ("numbers", numbers + 2), ("signature", len(link) - 1)):
        put("card_link", f"changed-{name}", b"\1" + bytes(at) + b"\1")
    answers = b"".join(struct.pack(">BH", 0, len(tap[name])) + tap[name]
                       for name in ("get-data-answer", "mutual-answer"))
    put("card_answers", "raw", b"\0" + answers)
    for kind in (1, 2):
        put("card_answers", f"changed-{kind}", bytes((kind, 0, 40, 1)))
        put("card_answers", f"unchanged-{kind}", bytes((kind,)))
    frames = [b"\1", b"\4", *plain, b"\2", b"\0"]
    put("card_reader", "session", b"".join(struct.pack(">H", len(frame)) + frame for frame in frames))
    put("base", "certificate", tap["broker-certificate"])


def scp03():
    kdd, rest = bytes(range(10)), bytes(range(8)) + bytes(range(0xA0, 0xA8))
    put("scp03", "update-70", b"\0" + kdd + b"\x30\3\x70" + rest + b"\0\0\2")
    put("scp03", "update-60", b"\0" + kdd + b"\x30\3\x60" + rest)
    put("scp03", "update-scp02", b"\0" + kdd + b"\x30\2" + rest)
    for kind, name in ((1, "authenticate"), (2, "command"), (3, "answer")):
        put("scp03", name, bytes((kind,)))
        put("scp03", name + "-changed", bytes((kind, 0, 8, 1)))
        put("scp03", name + "-twice", bytes((kind, 0, 3, 16, 0, 3, 16)))
    put("scp03", "authenticate-level", bytes((1, 0, 2, 0x22)))
    put("scp03", "command-plain", bytes((2, 0, 0, 4)))


def foreign_cards():
    def commands(*parts):
        return b"\1" + b"".join(bytes((len(part),)) + part for part in map(bytes.fromhex, parts))

    def hows(*parts):
        return b"\1" + b"".join(bytes((how, len(bytes.fromhex(part)))) + bytes.fromhex(part) for how, part in parts)
    jpki, info = "00A4040C0AD392F000260100000001", "3031300d060960864801650304020105000420" + "00" * 32
    verify = ("00A4020C020018", "0020008004" + b"1234".hex())
    put("card_jpki", "sign", commands(jpki, *verify, "00A4020C020017", "802A008033" + info + "00"))
    put("card_jpki", "sign-otherwise", commands(jpki, *verify, "00A4020C02001A", "802A008033" + info + "00"))
    put("card_jpki", "forget", commands(jpki, *verify, jpki, "00A4020C020017", "802A008033" + info + "00"))
    put("card_jpki", "read", commands(jpki, "00A4020C02000A", "00B0000004", "00B0000000", "00B0010000", "00B0020080", "00B0FFFF00"))
    put("card_jpki", "read-signer", commands(jpki, "00A4020C020001", "00B0000004"))
    put("card_jpki", "token", commands(jpki, "00A4020C020006", "00B0000020"))
    put("card_jpki", "change", commands(jpki, *verify, "0024018004" + b"5678".hex(), "0020008004" + b"5678".hex()))
    put("card_jpki", "tries", commands(jpki, "00A4020C02001B", *["0020008006" + b"ABCDEF".hex()] * 6, "00200080"))
    put("card_jpki", "template", commands("00A404000AD392F00026010000000100", "00A4020C02000B", "00B0000000"))
    key = subprocess.run(["openssl", "rsa", "-traditional", "-outform", "DER"], capture_output=True, check=True, input=subprocess.run(
        ["openssl", "genrsa", "2048"], capture_output=True, check=True).stdout).stdout
    state = b"\1" + b"".join(var(key) + var(b"\x30\x82\0\0") * 2 + bytes((len(pin),)) + pin.ljust(16, b"\0") + bytes((tries,))
                            for pin, tries in ((b"1234", 3), (b"ABC123", 5)))
    put("card_jpki", "state", b"\0" + state)
    select, update = "00A404000CF04341524442524F4B45520300", "80503000080102030405060708" + "00"
    put("card_scp03", "update", hows((0, select), (0, update), (0, "8482330010" + "00" * 16)))
    put("card_scp03", "prove", hows((0, select), (1, "8088000020" + "11" * 32 + "00"), (1, "8088000020" + "22" * 32 + "00")))
    put("card_scp03", "prove-wrongly", hows((1, "808800001F" + "11" * 31), (1, "80880000"), (1, "80CA000020" + "11" * 32)))
    put("card_scp03", "orders", hows((0, update), (0, "8488000008" + "00" * 8), (0, select), (0, "8482330010" + "00" * 16), (0, "80CA006600")))
    put("card_scp03", "versions", hows((0, select), (0, "8050000008" + "01" * 8), (0, "8050310008" + "01" * 8), (0, "8050300107" + "01" * 7)))
    for size in (16, 24, 32):
        put("card_scp03", f"state-{size * 8}", b"\0\1" + bytes((size,)) + bytes(2 * size) + bytes(10) + b"\x30\x70" + bytes(9))


def piv():
    def commands(what, *parts):
        return bytes((what,)) + b"".join(bytes((len(part),)) + part for part in map(bytes.fromhex, parts))
    closed, selected, verified, managed = 0, 4, 5, 6
    right, pins = "0020008008" + b"123456".hex() + "FFFF", (b"12345678" + b"123456\xff\xff").hex()
    sign = "26" + "7C2482008120" + "11" * 32
    padded = bytes.fromhex("7C820106820081820100" + "00" + "5A" * 255)
    halves = f"{200:02X}" + padded[:200].hex(), f"{len(padded) - 200:02X}" + padded[200:].hex() + "00"
    put("card_piv", "select", commands(closed, "00A4040005A000000308", "00CB3FFF055C035FC10200", "00C0000000"))
    put("card_piv", "read", commands(selected, *[f"00CB3FFF055C03{tag}00" for tag in ("5FC105", "5FC10A", "5FC107", "5FC106")],
                                     "00CB3FFF035C017E00", "00CB3FFF055C035FC10108", "00C0000010", "00C0000000"))
    put("card_piv", "tries", commands(selected, "00200080", *[right] * 4, "0020FF80", "0024008010" + pins, "002C008010" + pins))
    put("card_piv", "sign", commands(selected, f"0087119E{sign}00", f"0087119A{sign}00"))
    put("card_piv", "sign-verified", commands(verified, f"0087119A{sign}00", f"0087119C{sign}", f"0087119C{sign}"))
    put("card_piv", "rsa", commands(selected, "1087079E" + halves[0], "0087079E" + halves[1], "00C0000000"))
    put("card_piv", "rsa-broken-off", commands(selected, "1087079E" + halves[0], "00200080", "0087079E" + halves[1]))
    put("card_piv", "alone", commands(selected, "0087089B047C02810000", "0087089B147C128210" + "22" * 16))
    put("card_piv", "mutual", commands(selected, "0087089B047C02800000", "0087089B267C248010" + "22" * 16 + "8110" + "33" * 16 + "00"))
    put("card_piv", "write", commands(managed, "00DB3FFF0C5C035FC10653054142434445", "00DB3FFF075C035FC1065300", "00CB3FFF055C035FC106"))
    point = "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C2964FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
    establish = "0087270450" + "7C4E814A" + "00" * 9 + "04" + point + "820000"    # the base point of P-256
    channel, inside = selected | 8, verified | 16
    put("card_piv", "establish", commands(selected, "00A4040005A000000308", establish, "0C2000800A8E08" + "00" * 8 + "00"))
    put("card_piv", "establish-wrongly", commands(channel, establish.replace("6B17", "6B18"), establish.replace("810A", "810B")))
    put("card_piv", "secured-wrongly", commands(channel, "0CCB3FFF208711" + "01" + "00" * 16 + "9701008E08" + "00" * 8 + "00"))
    put("card_piv", "secured-nothing", commands(channel, "0C200080", "0C20008003970100"))
    put("card_piv", "secured-chain", commands(channel, "1C87119E10" + "00" * 16, "0C87119E048E02000000"))
    put("card_piv", "inside", commands(inside, *[f"CB3FFF5C03{tag}" for tag in ("5FC102", "5FC105", "5FC122", "5FC106")], "CB3FFF5C017E"))
    put("card_piv", "inside-pin", commands(inside, "200080", *["200080" + b"123456".hex() + "FFFF"] * 2, "20FF80", "240080" + pins))
    put("card_piv", "inside-sign", commands(inside, f"87119E{sign[2:]}", f"87119A{sign[2:]}", f"87119C{sign[2:]}", f"87119C{sign[2:]}"))
    put("card_piv", "inside-rsa", commands(inside, "87079E" + padded[:220].hex()))
    put("card_piv", "inside-alone", commands(inside, "87089B7C028100", "87089B7C128210" + "22" * 16))
    state = b"\2" + b"123456\xff\xff\3" + b"12345678\3" + b"\x08" + bytes(16) + b"\0\0" + var(bytes(31) + b"\1")
    put("card_piv", "state-secured", b"\x80" + state + var(bytes.fromhex("7F2103420108")))
    put("card_piv", "state-secured-wrongly", b"\x80" + state + var(bytes.fromhex("7F21044201")))
    put("card_piv", "contactless", commands(verified | 32, f"0087119E{sign}00", f"0087119A{sign}00", right, "00CB3FFF055C035FC10500",
                                            "00200098083132333435363738", "00DB3FFF0C5C035FC10653054142434445"))
    put("card_piv", "contactless-inside", commands(inside | 32, f"87119A{sign[2:]}", "200098" + b"12345678".hex(), "200098", "20FF98",
                                                   "CB3FFF5C035FC105", "CB3FFF5C035FC123", "200080" + b"123456".hex() + "FFFF"))
    put("card_piv", "inside-select", commands(inside, "A40400A000000308", "CB3FFF5C017E"))
    put("card_piv", "make", commands(managed, "0047009A05AC0380011100", "0047009C05AC0380011400", "0047009E05AC03800106"))


def texts():
    some_id = "0189f7c2-0000-7000-8000-000000000001"
    put("base", "leaf", f"cardbroker leaf 1\nkind tap.accepted\ntap {some_id}\nservice tax\n")
    put("base", "identifier", some_id)
    put("base", "base64", "AAECAwQFBgcICQ==")
    put("base", "hexadecimal", "00ff10")
    put("base", "script", struct.pack(">BH", 1, 5) + b"\0\xa4\4\0\0" + struct.pack(">BH", 0, 2) + b"\x90\0")
    put("subject", "person", "CN=Hanako Yamada,OU=Tax Office\\, Tokyo,O=Example,C=JP")
    put("subject", "hexadecimal", "2.5.4.3=#0c0548656c6c6f,serialNumber=12+CN=x")
    put("service", "answer", "HTTP/1.1 302 Found\r\nLocation: https://service.example/next\r\nSet-Cookie: a=b; Secure; Domain=service.example\r\n"
        "Content-Length: 5\r\nConnection: close\r\nContent-Security-Policy: default-src https://service.example\r\n\r\n")
    put("service", "question", "Host: x.relay.localhost\r\nCookie: a=b\r\nOrigin: https://x.relay.localhost\r\nReferer: https://x.relay.localhost/a\r\n")
    put("service", "url", "https://user@service.example:8443/path?q#f")
    put("service", "address", "https://[2001:db8::1]:443/")


def terminal():
    begun = {"tap": "0189f7c2-0000-7000-8000-000000000001", "script": [{"apdu": "00a4040000"}, {"apdu": "00ca", "go_on": True}], "expires_in": 30}
    put("terminal", "begun", json.dumps(begun))
    put("terminal", "asked", json.dumps({"script": begun["script"], "expires_in": 60}))
    put("terminal", "accepted", json.dumps({"outcome": "accepted", "service": "tax", "holder": begun["tap"], "delivery":
                                            {"kind": "relayed", "url": "https://a.relay.localhost:8443/?code=1"}}))
    put("terminal", "problem", json.dumps({"type": "about:blank", "title": "Forbidden", "status": 403, "code": "card.revoked",
                                           "detail": "No.", "request": begun["tap"], "pin_tries_left": 2}))


def terminal_tap():
    def text(data):
        return bytes((len(data),)) + data

    def script(*commands):
        return b"\1\x1e" + bytes((len(commands),)) + b"".join(bytes((1, len(one))) + one for one in commands)

    def raw(status, document):
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        return b"\0" + struct.pack(">HH", status, len(body)) + body

    plain, take, good, channel = b"\0\xa4\4\0\0", b"\0", b"\3\2ab", b"\5"
    first, second = script(plain, b"\x80\x82\1\x11"), script(b"\x80\xd0\0\0\3\1\2\3\0")
    accept = b"\2" + text(b"tax") + text(b"https://relay.test/?code=1")
    for kind in range(4):
        for more, name in ((0, "text"), (4, "json"), (8, "fetched"), (12, "fetched-json")):
            start = bytes((kind | more,))
            before, after = (first, b"") if more & 8 else (b"", first)
            put("terminal_tap", f"tap-{kind}-{name}", start + before + take + after + good + channel + second + good + accept)
    start = b"\x05" + take + first + good + channel
    put("terminal_tap", "no-channel", b"\x01" + take + first + good + good + second + good + accept)
    put("terminal_tap", "removed", start + second + b"\4" + b"\3\x16\x18" + text(b"Gone."))
    put("terminal_tap", "reader", start + second + b"\6\x16" + accept)
    put("terminal_tap", "more", start + second + b"\1\7" + b"\2\3" + good + accept)
    put("terminal_tap", "not-taken", b"\0\xff\x17")
    expired = next(number for number, line in enumerate(re.findall(r"^    X\((CB_\w+)", (ROOT / "base/error.h").read_text(), re.M))
                   if line == "CB_E_TAP_EXPIRED")
    put("terminal_tap", "expired", b"\x0d" + first + take + good + channel + b"\3\x0a" + bytes((expired,)) + text(b"Late.")
        + first + good + channel + second + good + accept)
    put("terminal_tap", "unreachable", b"\0" + take + b"\4\6\4\6")
    put("terminal_tap", "again", b"\0" + take + b"\4\6" + first + good + channel + second + good + b"\4\6")
    put("terminal_tap", "acting", b"\0" + take + first + good + channel + b"\3\3\x20" + text("\u202e\u009b2J\x1b é…".encode()))
    put("terminal_tap", "acting-accept", b"\0" + take + first + good + channel + second + good + b"\2" + text(b"\x1b[2J") + text("\u2066".encode()))
    whole = raw(200, {"outcome": "accepted", "service": "tax", "delivery": {"kind": "token", "token": {"access_token": "x"}}})
    put("terminal_tap", "token", b"\0" + take + first + good + channel + second + good + whole)
    put("terminal_tap", "names-a-file", b"\4" + take + first + good + channel + second + good
        + raw(200, {"outcome": "accepted", "delivery_file": "/etc/passwd"}))
    put("terminal_tap", "refused", b"\4" + take + first + good + channel + second + good + raw(200, {"outcome": "refused"}))
    put("terminal_tap", "no-json", b"\4" + take + raw(201, '{"tap": "0189f7c2'))
    # A proof whose answer is lost, and comes; a revoked card that is ended, is taken away before, or is not believed to have ended.
    tapped = take + first + good + channel + second + good
    put("terminal_tap", "unheard", b"\4" + tapped + b"\4\6" + accept)
    revoked = raw(422, {"code": "card.revoked", "may_end": True}) + take + first + good + channel + second
    for name, end in (("ended", good + raw(200, {"outcome": "card_ended"})), ("fled", b"\4" + raw(200, {"outcome": "ended"})), ("not-ended", good + accept)):
        put("terminal_tap", name, b"\4" + tapped + revoked + end)
        put("terminal_tap", name + "-text", b"\0" + tapped + revoked + end)
    # A card of another kind than the script that is held, with the broker's script for it; of none; one that answers as it likes.
    piv = script(bytes.fromhex("00a4040005a00000030800"), b"\x00\xcb\x3f\xff")
    for name, end in (("another", b"\x1e"), ("none", b"\x1f")):
        for kind, before in (("begun", b"\0"), ("held", b"\x08" + first)):
            put("terminal_tap", f"{name}-{kind}", before + take + piv + good + second + good + accept + end)
    # A card that is let in and shows newer certificates, for which a PIN is wanted, at a reader with a pad and without.
    certificate = b"\3" + text(bytes.fromhex("530c70053003020100710100fe00"))
    soon_over = raw(200, {"outcome": "accepted", "service": "tax", "may_renew": True})
    verify = b"\1\x1e\1\5" + text(bytes.fromhex("00200080"))
    who, other = (b"\3" + text(bytes.fromhex("532d3019") + bytes(25) + b"\x34\x10" + bytes(15) + number) for number in (b"\1", b"\2"))
    for name, end in (("soon-over", b"\x1e"), ("soon-over-pad", b"\x9e")):
        shown = take + piv + who + certificate + certificate
        put("terminal_tap", name, b"\0" + take + piv + who + second + good + soon_over + shown + second + good
            + raw(200, {"outcome": "renewed"}) + end)
        put("terminal_tap", name + "-other", b"\0" + take + piv + who + second + good + soon_over + take + piv + other + end)
        put("terminal_tap", name + "-pin", b"\0" + take + piv + who + second + good + soon_over + shown + verify + good + good
            + raw(200, {"outcome": "renewed"}) + end)
    put("terminal_tap", "wild", b"\0" + take + good + piv + good + second + good + accept + b"\x1c")
    for name, start in (("services", b"\x10"), ("services-json", b"\x14")):
        put("terminal_tap", name, start + raw(200, {"services": [{"name": "tax", "title": "Tax \x1b[31moffice", "level": 1}, 7]}))


def http():
    put("http", "body", '{"name":"a","id":"0189f7c2-0000-7000-8000-000000000001","hex":"00ff","number":12,"truth":true,"object":{"a":[1]},"list":[1,2]}')
    put("http", "path", "/v1/taps/0189f7c2-0000-7000-8000-000000000001/proof")
    put("http", "service", "/v1/services/tax-office")
    put("http", "cookie", "a=b; __Host-cardbroker=0123456789abcdef0123456789abcdef; c=d")
    put("http", "host", "abcdefghijklmnopqrstuvwxyz.relay.localhost:8443")
    body = '{"text":"hello"}'
    requests = {
        "get": "GET /v1/live HTTP/1.1\r\nHost: x\r\n\r\n",
        "post": f"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}",
        "chunked": "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" + body + "\r\n0\r\n\r\n",
        "stream": "POST /p?q HTTP/1.1\r\nHost: a.relay.test\r\nCookie: a=b\r\nContent-Length: 3\r\n\r\nabc",
        "stream-chunked": "POST / HTTP/1.1\r\nHost: a.relay.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
        "continue": f"POST /v1/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n{body}",
        "old": "GET /v1/live HTTP/1.0\r\n\r\n", "noise": "\x16\x03\x01\r\n\r\n",
        "two-lengths": "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "pipeline": "GET /v1/live HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + "HEAD /v1/things/0189f7c2-0000-7000-8000-000000000001 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "method": "DELETE /v1/live HTTP/1.1\r\nHost: x\r\n\r\n", "folded": "GET /v1/live HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"}
    for name, text in requests.items():
        put("http_server", name, text.encode("latin-1"))


def hellos():
    for name, version in (("tls12", ssl.TLSVersion.TLSv1_2), ("tls13", ssl.TLSVersion.TLSv1_3)):
        for host in ("localhost", "a.relay.localhost", None):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.minimum_version = context.maximum_version = version
            outgoing = ssl.MemoryBIO()
            try:
                context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host).do_handshake()
            except ssl.SSLWantReadError:
                put("hello", f"{name}-{host or 'none'}", outgoing.read())


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True).stdout


def certificates():
    for name, kind in (("ec", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]), ("rsa", ["rsa:2048"])):
        pem = openssl("req", "-x509", "-newkey", *kind, "-nodes", "-keyout", "/dev/null", "-days", "2", "-subj", "/C=JP/CN=" + name)
        public = openssl("x509", "-pubkey", "-noout", data=pem)
        put("certificate", name + "-pem", pem + pem)
        put("certificate", name + "-der", openssl("x509", "-outform", "DER", data=pem))
        put("connector_fields", name + "-key", openssl("pkey", "-pubin", "-outform", "DER", data=public))


def connectors():
    config = json.dumps({"url": "https://service.example/login", "more": "https://[::1]:8443/", "count": 3, "flag": False, "way": "one"})
    put("connector_fields", "good", config.encode() + b"\0" + json.dumps({"who": "me"}).encode())
    put("connector_fields", "alone", config)
    put("connector_fields", "bad", '{"url":"http://x","count":0}')

    def message(how, error, body):
        return bytes((how, error)) + struct.pack(">H", len(body)) + body

    use = bytes((16 << 1, 0)) + struct.pack(">H", 7) + bytes((1, 0)) + var(b"x")
    log = bytes((17 << 1, 0)) + struct.pack(">H", 11) + bytes((1,)) + var(b"e") + var(b"m")
    result = message(1, 0, bytes((4,)) + bytes(8) + var(b""))
    put("connector_messages", "describe", b"\0" + message(1, 0, b'{"name":"c"}'))
    put("connector_messages", "refused", b"\1" + message(1, 4, b"no"))
    put("connector_messages", "relayed", b"\2" + log + use + result +
        message(1, 0, struct.pack(">H", 200) + var(b"A: b\r\n")) + message(1, 0, b"page") + message(1, 0, b""))
    put("connector_messages", "token", b"\2" + message(1, 0, bytes((1,)) + bytes(8) + var(b'{"access_token":"t"}')))


def connector_host():
    config = json.dumps({"url": "https://service.example/", "count": 1, "result": "%s"})
    near = b"\x7e" + bytes(7)

    def first(kind, result="relayed", who="me"):
        body = var(b"fuzz")
        whole = kind < 2
        body += (var(b"tax") if whole else b"") + var((config % result).encode())
        if whole:
            body += var(json.dumps({"who": who}).encode()) + var(b"certificate") + var(b"chain") + var(b"key")
            body += b"\1" + bytes(16) + near
        return bytes((kind,)) + struct.pack(">H", len(body)) + body

    def message(kind, body, error=0):
        return bytes((kind, error)) + struct.pack(">H", len(body)) + body

    def opened(method=b"GET", headers=b"Host: x\r\n", length=0):
        return message(32 | 0x40, var(method) + var(b"/a?b") + var(headers) + struct.pack(">q", length) + bytes(8))

    used = message(16, var(b"signature")) + message(16, var(b"mac"))
    read = message(35, struct.pack(">I", 100))
    get = opened() + message(34, b"") + read + read + message(36, b"")
    post = opened(b"POST", length=5) + message(33, b"hello") + message(34, b"") + read + message(36, b"")
    chunked = opened(b"PUT", length=-1) + message(33, b"hello") + message(33, b"again") + message(34, b"") + message(36, b"")
    upgrade = opened(headers=b"Upgrade: websocket\r\n") + message(34, b"") + read + message(36, b"")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nLocation: /next\r\nSet-Cookie: a=b\r\n\r\nhello"
    parts = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer
    for name, messages, said in (("get", get, answer), ("post", post, parts), ("put", chunked, interim), ("upgrade", upgrade, answer),
                                 ("left", opened() + message(34, b"") + message(36, b""), answer), ("head", opened(b"HEAD") + message(34, b""), answer),
                                 ("twice", get + get + message(37, b""), answer), ("silent", get, b""), ("noise", get, b"\x16\3\1" * 9)):
        count = 2 + messages_in(messages)
        put("connector_host", "relayed-" + name, first(0) + bytes((count,)) + used + messages + said)
    for result in ("token", "url", "cookies"):
        put("connector_host", result, first(0, result, '{"a":"b"}' if result != "url" else "https://service.example/x") + b"\2" + used + answer)
    put("connector_host", "enrol", first(1, who='{"certificate":"x"}') + b"\0")
    put("connector_host", "check", first(2) + b"\0")
    put("connector_host", "no-key", first(0) + b"\1" + message(16, b"", 40))
    put("connector_host", "deadline-before-all-time", first(0)[:-8] + b"\x80" + bytes(7) + b"\0")


def messages_in(data):
    count = 0
    while data:
        (length,) = struct.unpack(">H", data[2:4])
        data = data[4 + length:]
        count += 1
    return count


def answers():
    """To the broker from hsmd, to cardbrokerctl from cardbrokerd, to the terminal from a card."""
    def said(body, error=0):
        return bytes((error,)) + struct.pack(">H", len(body)) + body

    hello, some, digest = said(struct.pack(">IB", 2, 1)), bytes(range(16)), bytes(range(32))
    head = struct.pack(">Q", 3) + digest
    bodies = (some + b"\1\0\0\0\0\5\0\xa4\4\0\0", b"\1\0\0\0\0\5\0\xa4\4\0\0", some + b"\1\3" + bytes(6) + digest + bytes(64),
              some + some + b"\2\1\3", b"", var(b"signature") + var(b"receipt"), head, head + bytes(8) + bytes(64) + digest, head,
              some + struct.pack(">I", 1) + var(b"sealed") + var(b"public") + var(b"request"),
              some + struct.pack(">I", 1) + var(b"sealed") + var(b"public"), b"binding", struct.pack(">IIIQQB", 2, 1, 7, 9, 9, 1))
    for at, body in enumerate(bodies):
        put("hsm_answers", f"good-{at}", bytes((at,)) + hello + said(body) * 2)
    put("hsm_answers", "other-head", b"\7" + hello + said(head, 29))
    put("hsm_answers", "whole", b"\x0b" + hello + said(b"binding") + said(b"sealed") + said(b"key") + said(struct.pack(">I", 2)) + said(b"") * 2)
    put("message", "good", struct.pack(">HHIBBBB", 1, 0, 7, 1, 0, 0, 0) + some + b"body")
    put("message", "unknown-error", struct.pack(">HHIBBBB", 1, 60000, 7, 1, 0, 0, 0) + some)

    def answer(status, body):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return struct.pack(">HH", status, len(text)) + text

    name = "0189f7c2-0000-7000-8000-000000000001"
    person = {"id": name, "name": "Taro", "created": "2023-11-14T22:13:20.000000Z"}
    card_of = {"id": name, "holder": name, "state": "active", "profile": 1, "level": 2, "sequence": 1, "created": person["created"],
               "changed": person["created"]}
    leaf = {"position": 0, "data": b"cardbroker-evidence 1\nkind holder.added\ntime 2023-11-14T22:13:20.000000Z\n".hex(), "hash": digest.hex()}
    log_head = {"size": 1, "root": digest.hex(), "time": person["created"], "signature": bytes(64).hex(), "key": digest.hex()}
    enrolment = {"id": name, "holder": name, "service": "tax", "state": "active", "key": {"id": name, "algorithm": "ec-p256", "level": 1, "sequence": 1},
                 "next_key": None, "data": {"a": [1, True, None]}, "created": person["created"]}
    service = {"name": "tax", "title": "Tax", "connector": "jwt", "level": 1, "certificate": False, "session": {"kind": "token", "life": 60},
               "config": {"url": "https://service.example/"}}
    lists = {2: ("holders", person), 6: ("cards", card_of), 12: ("terminals", {"id": name, "name": "door", "state": "active", "services": ["tax"], "rate": 3}),
             15: ("services", service), 18: ("enrolments", enrolment), 20: ("enrolments", enrolment)}
    for command, (field, item) in lists.items():
        pages = answer(200, {field: [item, item], "next": "x"}) + answer(200, {field: [item], "next": None})
        put("ctl_answers", f"list-{field}-{command}", bytes((command,)) + (answer(200, {"holders": [person]}) if command == 6 else b"") + pages)
        put("ctl_answers", f"page-without-end-{command}", bytes((command,)) + answer(200, {field: [item], "next": "x"}) * 3)
    for command, item in ((3, person), (4, {"holders": [person]}), (5, person), (7, card_of), (8, card_of), (9, card_of), (10, card_of), (11, card_of),
                          (13, {"terminals": [{"id": name, "name": "door"}]}), (14, {"terminals": [{"id": name, "name": "door"}]}), (16, service),
                          (17, service), (19, enrolment), (0, {"version": "1", "store": {"leaves": 3}}), (1, {"version": "1"})):
        put("ctl_answers", f"one-{command}", bytes((command,)) + answer(200, item) * 3)
    for command in (21, 22):
        put("ctl_answers", f"record-{command}", bytes((command,)) + (answer(200, {"leaves": [leaf], "heads": [log_head], "size": 1}) * 3))
    put("ctl_answers", "audit", b"\x17" + answer(200, {"heads": [log_head]}) + answer(200, {"leaves": [leaf]}) + answer(200, {"leaves": []}) * 3)
    put("ctl_answers", "problem", b"\3" + answer(403, {"type": "about:blank", "title": "No", "status": 403, "code": "card.revoked", "detail": "No \u202e.",
                                                      "request": name, "pin_tries_left": 2}))
    put("ctl_answers", "down", b"\2" + answer(0, b""))

    script = b"\2" + b"\0" + var(b"\0\xa4\4\0\2ab\0") + b"\1" + var(b"\0\xca\0\0\0")
    for label, card_says in (("good", b"\3\4data" * 2), ("more", b"\3\0\1\5\3\2ab"), ("le", b"\2\7\3\2ab\3\0"), ("gone", b"\3\0\4\0"),
                             ("refused", b"\0\2\x6a\x82"), ("for-ever", b"\1\1" * 90)):
        put("card_play", label, struct.pack(">H", len(script)) + script + card_says)


def memories():
    def step(what, a=0, place=0, number=0):
        return struct.pack(">BBHQ", what, a, place, number)
    for kind in range(3):
        filled = b"".join(step(3, a, 0, 1) for a in range(4))
        put("hsm_state", f"kept-{kind}", bytes((kind,)) + filled + step(4) + filled)
        put("hsm_state", f"torn-{kind}", bytes((kind,)) + filled + step(0, 9, 40) + filled)
        put("hsm_state", f"cut-{kind}", bytes((kind,)) + filled + step(1, 0, 8200) + filled)
        put("hsm_state", f"sequence-without-successor-{kind}", bytes((kind,)) + step(2, 1, 0, 2**64 - 1) + filled)
        put("hsm_state", f"number-beyond-{kind}", bytes((kind,)) + step(2, 1, 9, 2**40) + filled)
    put("hsm_state", "suspended-and-resumed", b"\0" + step(3, 1, 0, 2) + step(3, 1, 0, 3) + step(4) + step(3, 1, 0, 2) + step(4))


def databases():
    def row(table, column, number, kind, value=b""):
        return bytes((table, column, number, kind, len(value))) + value
    for table in range(12):
        put("database", f"deleted-{table}", b"\1" + row(table, 0, 0, 4))
        for column in range(10):
            put("database", f"bits-{table}-{column}", b"\1" + row(table, column, 0, 5, b"\1\1"))
            put("database", f"number-{table}-{column}", b"\1" + row(table, column, 0, 0, b"\x7f" * 8))
    put("database", "active-again", b"\1" + b"".join(row(5, 2, at, 1, b"active") for at in range(2)))
    put("database", "shorter-log", b"\1" + b"".join(row(0, 0, 15, 4) for _ in range(4)))
    put("database", "as-it-was", b"\1")
    for place in (0, 18, 24, 44, 100, 4096, 8192, 20000):
        put("database", f"byte-{place}", b"\0" + struct.pack(">I", place << 8 | 1))


def registrations():
    """What a card says, its certificates, and what it answers: with a code that is good, and with one that is none."""
    def answers(*some):
        return bytes((len(some),)) + b"".join(struct.pack(">H", len(one)) + one for one in some)
    ok, guid = b"\x90\0", bytes(range(16))
    chuid = bytes.fromhex("533b3019d4e739da739ced39ce739d836858210842108421c84210c3eb3410") + guid + bytes.fromhex("350832303539313233313e00fe009000")
    with tempfile.TemporaryDirectory() as folder:
        at = f"{folder}/c"
        name = "-".join((guid[:4].hex(), guid[4:6].hex(), guid[6:8].hex(), guid[8:10].hex(), guid[10:].hex()))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9000", "-subj", "/CN=c",
                        "-addext", f"subjectAltName=URI:urn:uuid:{name}", "-addext", "keyUsage=critical,digitalSignature", "-keyout", f"{at}.key", "-out", at,
                        "-outform", "DER"], check=True, capture_output=True)
        der = Path(at).read_bytes()
    keys = b"".join(bytes((use,)) + struct.pack(">H", len(der)) + der for use in (0x9A, 0x9E))
    for number, wish in (("good", 0), ("none", 0x80)):
        put("registration", f"piv-{number}", bytes((wish,)) + answers(ok, chuid) + b"\2" + keys + answers(ok))
        put("registration", f"jpki-{number}", bytes((wish | 1,)) + answers(ok, ok, der[:48] + ok) + b"\1\x17" + keys[1:3] + der + answers(ok, ok, ok))
        update = bytes(10) + b"\x30\3\x70" + bytes(19) + ok
        put("registration", f"scp03-{number}", bytes((wish | 2,)) + answers(ok, update) + b"\0" + answers(ok, ok))
    put("registration", "piv-other-card", b"\0" + answers(ok, chuid.replace(guid, bytes(16))) + b"\1" + keys[:3 + len(der)] + answers(ok))


def orders():
    """Begin 0, challenge 1, finish 2, activate 3, open 4, use 5, end 6, feed 7, resume 8; the tap in bits 4 and 5."""
    def steps(*list_of):
        return b"".join(bytes((step % 16, tap << 4 | how)) for step, tap, how in list_of)
    whole = [(step, 0, 0) for step in range(6)]
    put("hsm_order", "tap", steps(*whole, (5, 0, 0), (5, 0, 0), (6, 0, 0)))
    put("hsm_order", "behind", steps(*whole[:3], (3, 0, 0x40), *whole[3:]))
    for kind in range(5):
        put("hsm_order", f"told-{kind}-before-use", steps(*whole[:5], (7, 0, kind), (5, 0, 0)))
        put("hsm_order", f"told-{kind}-before-activation", steps(*whole[:3], (7, 0, kind), *whole[3:]))
    put("hsm_order", "suspended-and-resumed", steps((7, 0, 1), (7, 0, 2), (8, 0, 0), *whole, (7, 0, 1), (5, 0, 0)))
    for at in range(6):
        put("hsm_order", f"wrong-{at}", steps(*whole[:at], (at, 0, 0x80), *whole[at + 1:]))
        put("hsm_order", f"skipped-{at}", steps(*whole[:at], *whole[at + 1:]))
        put("hsm_order", f"twice-{at}", steps(*whole[:at + 1], *whole[at:]))
    put("hsm_order", "two-taps", steps(*[(step, tap, 0) for tap in (0, 1) for step in range(5)], (5, 0, 0), (5, 1, 0)))
    put("hsm_order", "mixed-taps", steps(*[(step, tap, 0) for step in range(6) for tap in (0, 1)]))


def configurations():
    for number, page in enumerate(("cardbroker.conf.5", "hsmd.conf.5", "cardlink.conf.5")):
        text = (ROOT / "docs" / "man" / page).read_text()
        for at, example in enumerate(re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S)):
            put("config", f"{page.partition('.')[0]}-{at}", bytes((number,)) + example.replace("\\(dq", '"').replace("\\e", "\\").encode())
    good = 'broker = "https://b.test"\nca = "/c"\nprofiles = {piv, native}\n'
    for name, section in (("mask", '"3B8000" { mask = "ffff00" profile = "piv" }'), ("longer-mask", '"3B80" { mask = "ffff00" profile = "piv" }'),
                          ("other", '"3B80" { profile = "jpki" }'), ("odd", '"3B8" { profile = "piv" }'), ("long", '"' + "3B" * 34 + '" { profile = "piv" }')):
        put("config", f"atr-{name}", b"\2" + (good + "atr " + section + "\n").encode())


def records():
    """Messages to hsmd that are well formed at least outside, in each lane."""
    for lane in range(3):
        body = b"\xff\0" + bytes(14) + bytes(40)
        messages = b"".join(bytes((lane, kind)) + struct.pack(">H", len(body)) + body for kind in range(1, 25))
        put("hsm_request", f"each-{lane}", messages)
    reading = b"\2" + var(b"\2\0" + var(b"\x90\0") + b"\0" + var(bytes.fromhex("53123410" + "11" * 16 + "9000"))) + b"\1\x9a" + var(b"\x30\0")
    for kind, rest in ((22, body[:16] + b"\3" + struct.pack(">Q", 1)), (23, var(b"B\2" + bytes(120)) + var(b"\x30\0") + struct.pack(">Q", 2))):
        message = reading + rest
        put("hsm_request", f"foreign-{kind}", bytes((2, kind)) + struct.pack(">H", len(message)) + message)
    put("hsm_open", "good", bytes((1, 1, 2, 0, 0, 1, 2, 0)) + b"\xff\xff" + bytes((1, 1, 32)) * 4)
    some, mac = [bytes((n,)) * 16 for n in range(1, 5)], bytes(32)
    put("records", "sealed", b"K\1" + some[0] + some[1] + b"\3tax\1\2\1" + struct.pack(">IQ", 1, 1) + var(b"public") + var(b"wrapped") + mac)
    put("records", "binding", b"B\1" + some[0] + some[1] + b"\1\2" + struct.pack(">Q", 1) + b"\4" + bytes(64) + mac)
    put("records", "receipt", b"R\1" + some[0] + struct.pack(">IQQ", 1, 1, 1) + some[1] + some[2] + some[3] + b"\1" + bytes(64) + mac)


def evidence():
    def entry(kind, how=0, a=1, b=0, number=0, text=None):
        return struct.pack(">BBBBQ", kind, how, a, b, number) + (struct.pack(">H", len(text)) + text if text else b"")
    text, intent, result, card, revoked, head = range(6)
    life = entry(card) + entry(head) + entry(intent, a=2) + entry(result, a=2, b=3, number=1 << 8 | 1) + entry(revoked) + entry(head)
    put("evidence", "life", life)
    put("evidence", "text", entry(text, text=b"cardbroker-evidence 1\nkind holder.added\ntime 2023-11-14T22:13:20.000000Z\n") + entry(head))
    put("evidence", "position-without-successor", life + entry(card, how=1, number=2**64 - 1))
    put("evidence", "head-without-successor", life + entry(head, how=1, number=2**64 - 1))
    put("evidence", "receipts-that-wrap-round", entry(intent) + entry(result, b=3, number=3 << 8) + entry(intent) +
        entry(result, b=7, number=(2**56 - 1) << 8 | 2))
    put("evidence", "receipt-of-another-card", entry(intent) + entry(result, b=19, number=1 << 8))
    put("evidence", "receipt-for-another-service", entry(intent) + entry(result, b=35, number=1 << 8))


def issuers():
    """Certificates, revocation lists and answers of tests/support/pki.py; long lists are left out."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["/usr/bin/python3", ROOT / "tests" / "support" / "pki.py", folder], check=True)
        made = {path.stem: path.read_bytes() for path in Path(folder).glob("*.der")}
    short = lambda data: struct.pack(">H", len(data)) + data
    serial = bytes.fromhex("4078f979fa7afb7bfc7cfd7dfe7eff7f80008101")
    for name, data in made.items():
        if name.startswith("crl"):
            if len(data) < 1024:
                put("crl", name, short(made["issuing"]) + data)
        elif name.startswith("ocsp"):
            put("ocsp", name, short(made["issuing"]) + bytes((len(serial),)) + serial + data)
        elif name.startswith("card") and not name.startswith("card-chain"):
            above = made.get(name.removeprefix("card-"), made["issuing"])
            put("x509", name, short(data) + short(above) + short(made["root"]))
    put("x509", "too-long", b"".join(short(made[name]) for name in ("card-too-long", "beneath", "issuing", "root")))
    put("crl", "http", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")


def piv_secure():
    """What tests/support/piv_secure.py's card says; and NIST's (tests/unit/cardlink/piv_secure_test.c)."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["/usr/bin/python3", ROOT / "tests" / "support" / "piv_secure.py", folder], check=True)
        made = {path.stem: path.read_bytes() for path in Path(folder).glob("*.der")}
    short = lambda data: struct.pack(">H", len(data)) + data
    for name, data in made.items():
        if name.startswith(("cvc", "between")):
            put("piv_secure", name, b"\0" + data)
    test = (ROOT / "tests" / "unit" / "cardlink" / "piv_secure_test.c").read_text()
    real = re.search(r'"(7C81F88281F5[0-9A-F"\s]*)"', test)[1]
    put("piv_secure", "answer", b"\1" + made["answer"])
    put("piv_secure", "answer-of-nist", b"\1" + bytes.fromhex(re.sub(r'["\s]', "", real)))
    put("piv_secure", "in-session", b"\2" + b"".join(short(made[f"answer-{i}"]) for i in range(3)))
    status, data = bytes.fromhex("99029000"), bytes.fromhex("871101") + bytes(16)
    put("piv_secure", "objects", b"\3" + short(status) + short(data + status) + short(bytes.fromhex("99026982")))
    put("piv_secure", "objects-twice", b"\3" + short(status + status) + short(data + data + status))
    put("piv_secure", "objects-bare", b"\3" + short(data) + short(status))


def passwords():
    """Both sides of a login with a password, and what is typed."""
    short = lambda data: struct.pack(">H", len(data)) + data
    good = b"\x90\0"
    first = b"\2" + short(good) + short(bytes(range(1, 17)) + good)
    put("password", "tap", b"\0" + first + b"\1" + short(b"\4" + bytes(range(128)) + good))
    put("password", "refused", b"\0" + first + b"\1" + short(b"\x6a\x80"))
    put("password", "too-short", b"\0" + b"\1" + short(good))
    put("password", "select", b"\1" + bytes.fromhex("00a4040006f0434250570100"))
    put("password", "name", b"\1" + bytes.fromhex("80ca000000"))
    put("password", "question", b"\1" + bytes.fromhex("8088000061") + bytes(range(97)) + b"\0")
    for name, text in (("words", "Hana.K@example.jp\0correct horse battery"), ("run", "hana\00123456789012345678"),
                       ("piece", "hana\0abcabcabcabcabcabc"), ("unicode", "hana\0ありがとうございますねえあのね")):
        put("password", name, b"\2" + text.encode())


def requests():
    """Requests for certificates, of keys of three kinds."""
    with tempfile.TemporaryDirectory() as folder:
        for name, *kind in (("p256", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), ("p384", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
                            ("rsa", "RSA")):
            key = Path(folder) / name
            subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", *kind, "-out", key], check=True)
            made = subprocess.run(["openssl", "req", "-new", "-key", key, "-subj", "/CN=terminal", "-outform", "DER"], check=True,
                                  capture_output=True)
            put("x509_request", name, made.stdout)


def inflate():
    """A certificate's worth of bytes as gzip writes it: with and without a file's name, with something behind it, cut off, and one
    that stands for far more than there is room for."""
    plain = bytes((i * i >> 3) & 0xFF for i in range(1500))
    packed = gzip.compress(plain, mtime=0)
    named = packed[:3] + bytes([8]) + packed[4:10] + b"c.der\0" + packed[10:]
    room = struct.pack(">H", 4098)
    for name, data in {"plain": packed, "named": named, "followed": packed + bytes.fromhex("7f21021f8b"), "cut": packed[:-5],
                       "bomb": gzip.compress(bytes(512 * 1024), mtime=0), "der": plain}.items():
        put("inflate", name, room + data)
    put("inflate", "no_room", struct.pack(">H", 1499) + packed)


def pads():
    """What readers with and without a PIN pad say of themselves, and what they answer."""
    feature = lambda tag, code: bytes([tag, 4]) + code.to_bytes(4, "big")
    put("pad", "with_pad", feature(0x0A, 0x4233000A) + feature(6, 0x42330006))
    put("pad", "without", feature(0x0A, 0x4233000A))
    put("pad", "short", bytes([6, 3, 1, 2, 3]))
    put("pad", "wrong", bytes.fromhex("63c2"))
    put("pad", "cancelled", bytes.fromhex("6401"))


def jpki_signers():
    """JPKI cards whose signature certificate is read: SELECT twice, how many tries are left, the PIN, the file, and SELECT."""
    def said(status, data=b""):
        return b"\0" + struct.pack(">H", len(data) + 2) + data + bytes.fromhex(status)
    der = openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-days", "2", "-subj", "/C=JP/CN=Hanako", "-outform", "DER")
    begun, looked, done = 2 * said("9000"), said("63c5"), said("9000")
    reads = b"".join(said("9000", der[at:at + 231]) for at in range(0, len(der), 231))
    parts = said("6140", der[:231]) + said("9000", der[231:295]) + b"".join(said("9000", der[at:at + 231]) for at in range(295, len(der), 231))
    put("jpki_signer", "good", begun + looked + said("9000") + done + reads + done)
    put("jpki_signer", "filled-up", begun + looked + said("9000") + done + b"".join(said("9000", (der + bytes(99))[at:at + 231]) for at in range(0, len(der), 231)) + done)
    put("jpki_signer", "parts", begun + looked + said("9000") + done + parts + done)
    put("jpki_signer", "wrong", begun + looked + said("63c4") + done)
    put("jpki_signer", "blocked", begun + said("6983") + done)
    put("jpki_signer", "last-try", begun + said("63c1") + done)
    put("jpki_signer", "foreign", said("6a82"))
    put("jpki_signer", "again", begun + said("6c05") + looked + said("6c05") + said("9000") + done + said("6c10") + reads + done)
    put("jpki_signer", "gone", begun + looked + b"\4\0\0" + done)


def journals():
    """Entries of terminals' logs."""
    def entry(event, text=""):
        return struct.pack(">QBB", 1700000000000000, event, len(text)) + text.encode()
    put("journal", "started", entry(1, f"version=1 program={'ab' * 32} config={'cd' * 32}"))
    put("journal", "taps", b"".join(entry(3, "0190-") + entry(4, "0190 accepted") for _ in range(5)))
    put("journal", "all", b"".join(entry(event) for event in range(1, 12)))
    put("journal", "full", entry(2, "x" * 200) * 3)


def checkpoints():
    """The file beside a database, and the leaf that speaks of it."""
    def head(size, words):
        return (b"cbcheckpoint\0\1\0\0" + struct.pack(">QQ", size, 2) + b"f" * 32 + b"r" * 32 + struct.pack(">Q", words) +
                b"".join(bytes((level,)) * 32 for level in range(bin(size).count("1"))))

    def word(kind, number):
        return kind.encode() + bytes((number,)) * 16 + (bytes(8) if kind in "di" else bytes(range(8)))
    words = [word(kind, number) for kind in "ABENOPSTWabdeinopstw" for number in (1, 2, 200)]
    put("checkpoint", "empty", b"\0" + head(0, 0))
    put("checkpoint", "one", b"\0" + head(1, 1) + words[0])
    put("checkpoint", "all", b"\0" + head(13020011, len(words)) + b"".join(words))
    put("checkpoint", "twice", b"\0" + head(7, 2) + 2 * words[0])
    put("checkpoint", "backwards", b"\0" + head(7, 2) + words[1] + words[0])
    put("checkpoint", "kind", b"\0" + head(7, 2) + words[0] + word("z", 1))
    put("checkpoint", "cut", b"\0" + head(7, 2) + words[0] + words[1][:-1])
    put("checkpoint", "largest", b"\0" + head(2**64 - 1, 2**64 - 1) + words[0])
    beginning = "cardbroker-evidence 1\nkind record.checkpoint\ntime 2023-11-14T22:13:20.000000Z\n"
    lines = (f"size 300\nroot {'ab' * 32}\nrevocations 2\nrevocations_hash {'cd' * 32}\nwords 12\nwords_root {'ef' * 32}\n"
             f"rules {'01' * 32}\n")
    put("checkpoint", "leaf", "\1" + beginning + lines)
    put("checkpoint", "leaf-zero", "\1" + beginning + lines.replace("words 12", "words 012"))
    put("checkpoint", "leaf-large", "\1" + beginning + lines.replace("size 300", "size 18446744073709551616"))
    put("checkpoint", "leaf-more", "\1" + beginning + lines + "more lines\n")
    put("checkpoint", "leaf-twice", "\1" + beginning + lines + lines)
    put("checkpoint", "leaf-taken-back", "\1" + beginning.replace("record.checkpoint", "registry.unconfirmed") + "leaf 7\ncheckpoint unconfirmed\n")


def main():
    card(tap_of_the_document())
    for make in (texts, scp03, foreign_cards, piv, terminal, terminal_tap, http, hellos, certificates, connectors, connector_host, answers, memories, orders, databases, configurations, evidence, records, registrations, issuers, piv_secure, passwords, requests, journals, inflate, pads, jpki_signers, checkpoints):
        make()


if __name__ == "__main__":
    main()

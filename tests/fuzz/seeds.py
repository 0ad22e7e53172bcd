#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes good inputs for the fuzz targets, from which a corpus grows: tests/fuzz/seeds.py FOLDER

They come from where good inputs stand already: the card application's byte by byte tap, manual pages' examples, and what
openssl and Python's TLS make. What scripts/fuzz finds beyond them is in tests/fuzz/corpus."""

import json
import re
import ssl
import struct
import subprocess
import sys
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
    answers = b"".join(struct.pack(">BH", 0, len(tap[name])) + tap[name]
                       for name in ("get-data-answer", "mutual-answer"))
    put("card_answers", "raw", b"\0" + answers)
    for kind in (1, 2):
        put("card_answers", f"changed-{kind}", bytes((kind, 0, 40, 1)))
        put("card_answers", f"unchanged-{kind}", bytes((kind,)))
    frames = [b"\1", b"\4", *plain, b"\2", b"\0"]
    put("card_reader", "session", b"".join(struct.pack(">H", len(frame)) + frame for frame in frames))
    put("base", "certificate", tap["broker-certificate"])


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


def configurations():
    for number, page in enumerate(("cardbroker.conf.5", "hsmd.conf.5", "cardlink.conf.5")):
        text = (ROOT / "docs" / "man" / page).read_text()
        for at, example in enumerate(re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S)):
            put("config", f"{page.partition('.')[0]}-{at}", bytes((number,)) + example.replace("\\(dq", '"').replace("\\e", "\\").encode())


def records():
    """Messages to hsmd that are well formed at least outside, in each lane."""
    for lane in range(3):
        body = b"\xff\0" + bytes(14) + bytes(40)
        messages = b"".join(bytes((lane, kind)) + struct.pack(">H", len(body)) + body for kind in range(1, 22))
        put("hsm_request", f"each-{lane}", messages)
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


def main():
    card(tap_of_the_document())
    for make in (texts, terminal, http, hellos, certificates, connectors, configurations, evidence, records):
        make()


if __name__ == "__main__":
    main()

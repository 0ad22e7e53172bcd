#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that misbehave, at each stage at which one can.

usage: bad_service.py DIR     DIR is the folder of nginx.sh, whose server authority is used

What goes wrong before HTTP has a TCP port for each way; the path of a request says what goes wrong in HTTP, on any port
whose TLS is good. Says "NAME PORT" for each port, then "ready". A stage's name and one of ENDS make a port's name:
"tls1.3-hello-reset" sends a ServerHello and resets the connection.
"""
import datetime
import socket
import ssl
import struct
import sys
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ENDS = ["hang", "close", "reset"]
# Up to where a handshake gets: the ServerHello; all but the last record of the server's flight; the client's flight, with
# its certificate, is there; done; a request is there.
STAGES = ["hello", "certificate", "client", "handshake", "request"]
VERSIONS = {"tls1.2": ssl.TLSVersion.TLSv1_2, "tls1.3": ssl.TLSVersion.TLSv1_3}
ALERTS = {"close_notify": 0, "unexpected_message": 10, "handshake_failure": 40, "protocol_version": 70, "internal_error": 80,
          "unrecognized_name": 112}
RAW = {"garbage": b"\x00\xff" * 4096, "plain_http": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
       "long_record": b"\x16\x03\x03\xff\xff" + b"\x02" * 65535, "empty_records": b"\x16\x03\x03\x00\x00" * 100000,
       "hello_cut": b"\x16\x03\x03\x00\x40\x02\x00\x00\x3c\x03\x03"}
CERTIFICATES = ["expired", "other_host", "untrusted"]

HANG = 60
TOKEN = b'{"access_token":"t","token_type":"Bearer"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GOOD = OK + b"Content-Length: %d\r\n\r\n" % len(TOKEN) + TOKEN
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def for_ever(begin, again, pause=0.0):
    """Begins so, and goes on like that; slowly with a pause."""
    def run(connection):
        connection.sendall(begin)
        while True:
            connection.sendall(again)
            if pause:
                time.sleep(pause)
    return run


# What a path answers, and how the connection ends: "hang", "close", "reset", or "keep" it for another request.
HTTP = {
    "/": (GOOD, "keep"),
    "/good": (GOOD, "keep"),
    "/status-hang": (b"HTTP/1.1 20", "hang"),
    "/status-close": (b"HTTP/1.1 20", "close"),
    "/status-reset": (b"HTTP/1.1 20", "reset"),
    "/headers-hang": (OK + b"X-Short", "hang"),
    "/headers-close": (OK + b"X-Short", "close"),
    "/headers-reset": (OK + b"X-Short", "reset"),
    "/body-hang": (OK + b"Content-Length: 100\r\n\r\nsome", "hang"),
    "/body-close": (OK + b"Content-Length: 100\r\n\r\nsome", "close"),
    "/body-reset": (OK + b"Content-Length: 100\r\n\r\nsome", "reset"),
    "/chunk-hang": (CHUNKED + b"64\r\nsome", "hang"),
    "/chunk-close": (CHUNKED + b"64\r\nsome", "close"),
    "/no-last-chunk": (CHUNKED + b"4\r\nsome\r\n", "close"),
    "/slow-headers": (for_ever(OK + b"X-Slow: ", b"x", 0.05), "close"),
    "/slow-body": (for_ever(OK + b"Content-Length: 1000000\r\n\r\n", b"x", 0.05), "close"),
    "/slow-chunks": (for_ever(CHUNKED, b"1\r\nx\r\n", 0.05), "close"),
    "/endless-headers": (for_ever(OK, b"X-Huge: " + b"x" * 4096 + b"\r\n"), "close"),
    "/endless-header": (for_ever(OK + b"X-Huge: ", b"x" * 4096), "close"),
    "/endless-chunks": (for_ever(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"), "close"),
    "/endless-body": (for_ever(OK + b"\r\n", b"x" * 65536), "close"),
    "/endless-interim": (for_ever(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), "close"),
    "/large-headers": (OK + b"".join(b"X-%d: %s\r\n" % (i, b"x" * 1000) for i in range(70)) + b"Content-Length: 2\r\n\r\nok", "keep"),
    "/no-http": (b"GOOD MORNING\r\n\r\n", "close"),
    "/http-0.9": (TOKEN, "close"),
    # Without a length or TLS's own end, nobody can tell a whole answer from a part.
    "/until-close": (OK + b"\r\n" + TOKEN, "close"),
    "/until-goodbye": (OK + b"\r\n" + TOKEN, "goodbye"),
    "/nothing": (b"", "goodbye"),
    "/http-1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(TOKEN) + TOKEN, "close"),
    "/http-7": (b"HTTP/7.3 200 OK\r\nContent-Length: 2\r\n\r\nok", "keep"),
    "/zero-in-header": (OK + b"X-Zero: a\0b\r\nContent-Length: 2\r\n\r\nok", "keep"),
    "/length-negative": (OK + b"Content-Length: -5\r\n\r\nok", "keep"),
    "/length-word": (OK + b"Content-Length: many\r\n\r\nok", "close"),
    "/length-huge": (OK + b"Content-Length: 99999999999999999999999\r\n\r\nok", "close"),
    "/length-past-limit": (OK + b"Content-Length: 1073741824\r\n\r\nok", "hang"),
    "/length-short": (GOOD + b"and more that nobody asked for", "keep"),
    "/two-answers": (GOOD + GOOD, "keep"),
    "/chunk-word": (CHUNKED + b"zz\r\nsome\r\n0\r\n\r\n", "keep"),
    "/chunk-negative": (CHUNKED + b"-1\r\nsome\r\n0\r\n\r\n", "keep"),
    "/chunk-huge": (CHUNKED + b"f" * 17 + b"\r\nsome\r\n0\r\n\r\n", "keep"),
    "/unknown-coding": (OK + b"Transfer-Encoding: rot13\r\n\r\nfbzr", "close"),
    "/redirect-to-itself": (b"HTTP/1.1 302 Found\r\nLocation: /redirect-to-itself\r\nContent-Length: 0\r\n\r\n", "keep"),
    "/redirect-away": (b"HTTP/1.1 307 Away\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "keep"),
    "/switching": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello", "hang"),
    "/closing": (OK + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(TOKEN) + TOKEN, "close"),
    "/good-close": (GOOD, "close"),
    "/401": (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "keep"),
    "/500": (b"HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n", "keep"),
    "/503": (b"HTTP/1.1 503 Later\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n", "keep"),
}


def write_both(folder, name, cert, key):
    with open(f"{folder}/{name}-both.pem", "wb") as file:
        file.write(cert.public_bytes(serialization.Encoding.PEM))
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def make_certificates(folder):
    """One of the authority that was good until yesterday, and one that no authority knows; other_host is nginx.sh's."""
    issuer = x509.load_pem_x509_certificate(read(f"{folder}/server-ca.pem")).subject
    issuer_key = serialization.load_pem_private_key(read(f"{folder}/server-ca.key"), None)
    now = datetime.datetime.utcnow()
    for name, days in (("expired", -1), ("untrusted", 30)):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        known = name == "expired"
        cert = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer if known else subject)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=30)).not_valid_after(now + datetime.timedelta(days=days))
                .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
                .sign(issuer_key if known else key, hashes.SHA256()))
        write_both(folder, name, cert, key)


def context_for(folder, certificate="server", version=None, authority=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/{'other' if certificate == 'other_host' else certificate}-both.pem")
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
        # Asked for and, like one that takes its time to look, not verified here.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(f"{folder}/{authority or 'client-ca'}.pem")
    return context


def end(raw, how):
    if how == "hang":
        time.sleep(HANG)
    elif how == "goodbye":
        raw.settimeout(5)
        raw.unwrap()
    elif how == "reset":
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def records(data):
    """The TLS records in that."""
    found = []
    while len(data) >= 5:
        length = 5 + int.from_bytes(data[3:5], "big")
        found.append(data[:length])
        data = data[length:]
    return found


class Handshake:
    """A TLS server whose bytes are sent by hand."""

    def __init__(self, raw, context):
        self.raw, self.into, self.out = raw, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_side=True)

    def step(self, action):
        """Takes what comes until the action has something to send or is done; whether it is done."""
        while True:
            try:
                action()
                return True
            except ssl.SSLWantReadError:
                if self.out.pending:
                    return False
                data = self.raw.recv(65536)
                if not data:
                    raise ConnectionError from None
                self.into.write(data)


def stop_at(stage, raw, context):
    """A handshake up to that stage."""
    shake = Handshake(raw, context)
    shake.step(shake.tls.do_handshake)
    flight = records(shake.out.read())
    if stage == "hello":
        raw.sendall(flight[0])
        return
    if stage == "certificate":
        raw.sendall(b"".join(flight[:-1]))
        return
    raw.sendall(b"".join(flight))
    shake.step(shake.tls.do_handshake)
    if stage == "client":
        return
    raw.sendall(shake.out.read())
    if stage == "request":
        shake.step(lambda: shake.tls.read(65536))


def serve_http(raw, context):
    connection = context.wrap_socket(raw, server_side=True)
    request = b""
    while True:
        while b"\r\n\r\n" not in request:
            part = connection.recv(65536)
            if not part:
                return
            request += part
        head, _, request = request.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        while len(request) < length:
            request += connection.recv(65536)
        request = request[length:]
        answer, how = HTTP[head.split()[1].decode()]
        if callable(answer):
            answer(connection)
        else:
            connection.sendall(answer)
        if how != "keep":
            end(connection, how)
            connection.close()
            return


def refuse_client(raw, context):
    """Verifies the client's certificate, of an authority that it does not know, and says so with an alert."""
    connection = context.wrap_socket(raw, server_side=True)
    connection.recv(65536)


def early_answer(raw, context):
    """Answers what nobody has asked yet."""
    connection = context.wrap_socket(raw, server_side=True)
    connection.sendall(GOOD)
    time.sleep(HANG)


def raw_answer(data, how="close"):
    def act(raw, _):
        raw.recv(65536)
        raw.sendall(data)
        end(raw, how)
    return act


def ports(folder):
    """Name, what it does with a connection, and its TLS context."""
    made = [(name, serve_http, context_for(folder, name)) for name in CERTIFICATES]
    made.append(("http", serve_http, context_for(folder)))
    made.append(("early", early_answer, context_for(folder)))
    for how in ENDS:
        made.append((f"accept-{how}", lambda raw, _, how=how: end(raw, how), None))
    for version in VERSIONS:
        context = context_for(folder, version=version)
        for stage in STAGES:
            for how in ENDS:
                def act(raw, context, stage=stage, how=how):
                    stop_at(stage, raw, context)
                    end(raw, how)
                made.append((f"{version}-{stage}-{how}", act, context))
        made.append((f"{version}-refused", refuse_client, context_for(folder, version=version, authority="server-ca")))
    for name, number in ALERTS.items():
        made.append((f"alert-{name}", raw_answer(b"\x15\x03\x03\x00\x02\x02" + bytes([number])), None))
    for name, data in RAW.items():
        made.append((name, raw_answer(data, "hang" if name == "hello_cut" else "close"), None))
    return made


def serve_one(act, raw, context):
    try:
        act(raw, context)
    except (OSError, ssl.SSLError):
        pass
    raw.close()


def serve(listener, act, context):
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=serve_one, args=(act, raw, context), daemon=True).start()


def fill(port, held):
    """A queue that is full and that nobody empties: further connections are not answered."""
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        held.append(filler)


def main():
    folder = sys.argv[1]
    make_certificates(folder)
    held = []
    for name, act, context in [("syn-hang", None, None)] + ports(folder):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64 if act else 0)
        held.append(listener)
        if act:
            threading.Thread(target=serve, args=(listener, act, context), daemon=True).start()
        else:
            fill(listener.getsockname()[1], held)
        print(name, listener.getsockname()[1])
    print("ready", flush=True)
    threading.Event().wait()


main()

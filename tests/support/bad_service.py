#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that misbehave: one TCP port for each way, from a first port on, in the order of MODES.

usage: bad_service.py DIR FIRST-PORT     DIR is the folder of nginx.sh, whose server authority is used
"""
import datetime
import socket
import ssl
import sys
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

MODES = ["slow_tcp", "slow_tls", "slow_headers", "slow_body", "close_in_tls", "close_after_tls", "close_in_headers",
         "close_in_body", "huge_headers", "huge_body", "no_http", "zero_in_header", "endless_interim", "expired", "other_host",
         "untrusted", "plain_http", "good", "closing"]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def expired_certificate(folder):
    """A certificate of the authority that was good until yesterday."""
    issuer = x509.load_pem_x509_certificate(read(f"{folder}/server-ca.pem"))
    issuer_key = serialization.load_pem_private_key(read(f"{folder}/server-ca.key"), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "expired")]))
            .issuer_name(issuer.subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30)).not_valid_after(now - datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .sign(issuer_key, hashes.SHA256()))
    with open(f"{folder}/expired-both.pem", "wb") as file:
        file.write(cert.public_bytes(serialization.Encoding.PEM))
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()))


def context_for(folder, mode):
    name = {"expired": "expired-both", "other_host": "other-both", "untrusted": "untrusted-both"}.get(mode, "server-both")
    if mode == "untrusted":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.utcnow()
        cert = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                .not_valid_after(now + datetime.timedelta(days=30))
                .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
                .sign(key, hashes.SHA256()))
        with open(f"{folder}/{name}.pem", "wb") as file:
            file.write(cert.public_bytes(serialization.Encoding.PEM))
            file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/{name}.pem")
    return context


def forever(connection, data):
    while True:
        connection.sendall(data)


def behave(mode, raw, context):
    if mode == "slow_tls":
        time.sleep(60)
    if mode == "close_in_tls":
        raw.recv(16)
        return
    if mode == "plain_http":
        raw.recv(16)
        raw.sendall(OK + b"Content-Length: 2\r\n\r\nok")
        return
    connection = context.wrap_socket(raw, server_side=True)
    if mode == "close_after_tls":
        return
    while connection.recv(65536):
        if mode == "slow_headers":
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            time.sleep(60)
        elif mode == "slow_body":
            connection.sendall(OK + b"Content-Length: 100\r\n\r\nsome")
            time.sleep(60)
        elif mode == "close_in_headers":
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Short")
            return
        elif mode == "close_in_body":
            connection.sendall(OK + b"Content-Length: 100\r\n\r\nsome")
            return
        elif mode == "huge_headers":
            connection.sendall(OK)
            forever(connection, b"X-Huge: " + b"x" * 4096 + b"\r\n")
        elif mode == "huge_body":
            connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            forever(connection, b"10000\r\n" + b"x" * 65536 + b"\r\n")
        elif mode == "no_http":
            connection.sendall(b"GOOD MORNING\r\n\r\n")
            return
        elif mode == "zero_in_header":
            connection.sendall(OK + b"X-Zero: a\0b\r\nContent-Length: 2\r\n\r\nok")
        elif mode == "endless_interim":
            forever(connection, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        elif mode == "closing":
            connection.sendall(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok")
            return
        else:
            connection.sendall(OK + b"Content-Length: 2\r\n\r\nok")


def serve_one(mode, raw, context):
    try:
        behave(mode, raw, context)
    except (OSError, ssl.SSLError):
        pass
    raw.close()


def serve(mode, listener, context):
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=serve_one, args=(mode, raw, context), daemon=True).start()


def main():
    folder, first = sys.argv[1], int(sys.argv[2])
    expired_certificate(folder)
    held = []
    for number, mode in enumerate(MODES):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", first + number))
        if mode == "slow_tcp":
            # A queue that is full and that nobody empties: further connections are not answered.
            listener.listen(0)
            for _ in range(3):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", first + number))
                held.append(filler)
            held.append(listener)
            continue
        listener.listen(64)
        threading.Thread(target=serve, args=(mode, listener, context_for(folder, mode)), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


main()

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that keeps every request that it received whole, byte by byte.

usage: recording_service.py DIR     DIR is the folder of nginx.sh, whose authorities are used

Says "PORT PORT": the first with its own certificate, the second with one of another name. A request is appended to
DIR/requests before it is answered: "LENGTH NAME\\n", where NAME is the client certificate's common name or "-", and so many
bytes: the head as it came, and the body, without chunks. What breaks off is not kept.
"""
import os
import socket
import ssl
import sys
import threading

PAGE = bytes(range(32, 127)) * 1200
TOKEN = b'{"access_token":"to\\u006ben \\"quoted\\"","token_type":"Bearer","expires_in":600,"scope":"a b","id":"x"}'


def whole(stream, length):
    data = stream.read(length)
    if len(data) < length:
        raise ValueError("it broke off")
    return data


def body_of(stream, head):
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    if fields.get(b"Transfer-Encoding") != b"chunked":
        return whole(stream, int(fields.get(b"Content-Length", 0)))
    body = b""
    while size := int(stream.readline(), 16):
        body += whole(stream, size + 2)[:-2]
    whole(stream, 2)
    return body


def answer_to(head, body):
    path = head.split(b" ")[1].split(b"?")[0]
    more = b""
    if path == b"/token":
        body = TOKEN
    elif path == b"/page":
        host = next(line[6:] for line in head.split(b"\r\n") if line.startswith(b"Host: "))
        more, body = b"Set-Cookie: a=1; Domain=127.0.0.1; Path=/\r\nLocation: https://%s/next?n=2\r\n" % host, PAGE
    elif path != b"/form":
        body = b"hello " + path
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n%sContent-Length: %d\r\n\r\n%s" % (more, len(body), body)


def serve(connection, record):
    stream = connection.makefile("rb")
    name = next((value for part in (connection.getpeercert() or {}).get("subject", ()) for key, value in part
                 if key == "commonName"), "-")
    while True:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return
            head += line
        body = body_of(stream, head)
        with record_lock:
            os.write(record, b"%d %s\n" % (len(head) + len(body), name.encode()) + head + body)
        connection.sendall(answer_to(head, body))


def attend(raw, context, record):
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(raw, server_side=True) as connection:
            serve(connection, record)
    except (OSError, ValueError):
        pass


def listen(folder, certificate, record):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/{certificate}.pem", f"{folder}/{certificate}.key")
    context.load_verify_locations(f"{folder}/client-ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def take():
        while True:
            raw = listener.accept()[0]
            threading.Thread(target=attend, args=(raw, context, record), daemon=True).start()
    threading.Thread(target=take, daemon=True).start()
    return listener.getsockname()[1]


record_lock = threading.Lock()
folder = sys.argv[1]
requests = os.open(f"{folder}/requests", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
print(*(listen(folder, name, requests) for name in ("server", "other")), flush=True)
threading.Event().wait()

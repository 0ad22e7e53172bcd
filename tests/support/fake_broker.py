#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker for testing terminals: TLS that demands a client certificate, canned scripts and canned faults.

The first line of the file --mode says what to do with the next request; it is read anew each time:

  accept            scripts that the plain card can play, then an accepted tap with a relayed session
  token             the same with a token
  busy              503 with Retry-After: 7
  wrong-pin         422 pin.wrong with two tries left, at the proof
  revoked           422 card.revoked, at the proof
  malformed         200 and 201 with half a JSON object
  oversized         a script of more commands than there may be
  huge              an endless body
  expired-once      the first challenge is 410 tap.expired, all else as accept
  later             what a native card's batch is known by is asked for, and it is the year 2099
  later-gone        the same, and then there is nobody any more
  remove            a second script in which the card leaves
  hang              a second script in which the card never answers
  long              a second script whose answers are long (61xx, 6Cxx)
  clear-pin         a second script that wants the PIN's digits in VERIFY
  early-pin         a first script that does
  soon-over         an accept that says that newer certificates would be taken, and then takes them
  soon-over-pin     the same, and the script for them wants the PIN's digits in VERIFY
  soon-over-both    the same, and so does the second script of the tap
  soon-over-stalled the same as soon-over, but who brings certificates gets no answer while this is the mode
  soon-over-late    the same as soon-over-both, but the proof gets no answer while this is the mode
  newer-challenged  a card whose certificates are over, for which newer ones would be taken, and PINs are wanted in VERIFY; who brings
                    the challenge gets no answer while this is the mode
  newer-renewed     the same, but who brings the proof for the newer ones gets none
  newer             the same, and each gets its answer
  slow              begins to answer after three seconds
  drop              closes the connection without an answer
  keeps-no-log      503 to a batch of the terminal's log, all else as accept
  renews            at a batch of the terminal's log, terminal.pem and .key beside the mode become next.pem and .key

Each request is a JSON line in the file --log: method, path, body, the certificate's SHA-256.
"""
import argparse
import hashlib
import http.server
import json
import pathlib
import socketserver
import ssl
import threading
import time
import uuid

FIRST = [{"apdu": "00a404000cf04341524442524f4b455201"},
         {"apdu": "00b2000400", "go_on": True},
         {"apdu": "8082011103aabbcc00"}]
PIV = [{"apdu": "00a4040005a00000030800"}, {"apdu": "00cb3fff055c035fc10250"}]
BATCH = [FIRST[0], {"apdu": "00cabf2106a6048302110100"}]
VERIFY = {"apdu": "00200080", "pin": "padded", "go_on": True}
SECOND = {
    "clear-pin": [VERIFY, {"apdu": "80d000000301020300"}],
    "soon-over-both": [VERIFY, {"apdu": "80d000000301020300"}],
    "soon-over-late": [VERIFY, {"apdu": "80d000000301020300"}],
    "newer": [VERIFY, {"apdu": "80d000000301020300"}],
    "newer-renewed": [VERIFY, {"apdu": "80d000000301020300"}],
    "accept": [{"apdu": "80d000000301020300"}],
    "remove": [{"apdu": "80d000000301020300"}, {"apdu": "80e0000000"}, {"apdu": "80d0000001ff00"}],
    "hang": [{"apdu": "80e2000000"}],
    "long": [{"apdu": "00b0030000"}, {"apdu": "00b2002000"}, {"apdu": "80f1000000", "go_on": True},
             {"apdu": "80f1000000"}, {"apdu": "80d000000301020300"}],
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1           # head and body in one piece
    disable_nagle_algorithm = True
    timeout = 30
    expired = set()
    renewing = set()        # paths of taps
    renewed = set()         # not empty: newer certificates were taken in the modes that begin with newer
    lock = threading.Lock()

    def log_message(self, *_):
        pass

    def mode(self):
        with open(self.server.options.mode, encoding="ascii") as file:
            return file.readline().strip()

    def reply(self, status, document, headers=()):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def problem(self, status, code, detail, headers=(), **more):
        self.reply(status, {"type": "about:blank", "title": "No", "status": status, "code": code, "detail": detail,
                            "request": str(uuid.uuid4()), **more}, headers)

    def huge(self):
        self.send_response(200)
        self.send_header("Content-Length", str(10**9))
        self.end_headers()
        try:
            for _ in range(4096):
                self.wfile.write(b" " * 65536)
        except OSError:
            pass
        self.close_connection = True

    def record(self, body):
        certificate = self.connection.getpeercert(binary_form=True)
        line = {"method": self.command, "path": self.path, "body": body, "peer": self.client_address[1],
                "certificate": hashlib.sha256(certificate).hexdigest()}
        with self.lock, open(self.server.options.log, "a", encoding="ascii") as file:
            file.write(json.dumps(line) + "\n")

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.record(json.loads(body) if body else None)
        mode, path = self.mode(), self.path
        if mode == "slow":
            time.sleep(3)
        if mode == "drop" or (mode == "later-gone" and path != "/v1/taps"):
            self.close_connection = True
        elif mode == "busy":
            self.problem(503, "broker.busy", "All places are taken.", [("Retry-After", "7")])
        elif mode == "malformed":
            self.reply(201 if path == "/v1/taps" else 200, b'{"tap": "0189f7c2')
        elif mode == "huge":
            self.huge()
        elif path == "/v1/services":
            self.reply(200, {"services": [{"name": "tax", "title": "Tax \u001b[31moffice", "level": 1}]})
        elif path == "/v1/taps":
            script = FIRST * 20 if mode == "oversized" else FIRST + [VERIFY] if mode == "early-pin" else FIRST
            if mode.startswith(("soon-over", "newer")):
                script = PIV
            time_told = {}
            if mode.startswith("later"):
                script, time_told = BATCH, {"time": 4070908800}
            self.reply(201, {"tap": str(uuid.uuid4()), "script": script, "expires_in": 30, **time_told})
        elif path.endswith("/challenge"):
            self.challenge(mode)
        elif path.endswith("/renewal"):
            self.renewal(path.removesuffix("renewal"))
        elif path.endswith("/proof") and path.removesuffix("proof") in self.renewing:
            self.stall("newer-renewed")
            if mode.startswith("newer"):
                self.renewed.add(1)
            self.reply(200, {"outcome": "renewed", "card": str(uuid.uuid4())})
        elif path.endswith("/proof"):
            self.stall("soon-over-late")
            self.proof(self.mode(), json.loads(body))
        elif path.endswith("/end"):
            self.reply(200, {"outcome": "ended"})
        elif path == "/v1/log" and mode == "keeps-no-log":
            self.problem(503, "broker.busy", "All places are taken.")
        elif path == "/v1/log":
            self.log(mode, json.loads(body))
        else:
            self.problem(404, "resource.unknown", "There is no such thing.")

    def stall(self, mode):
        while self.mode() == mode:
            time.sleep(0.05)

    def challenge(self, mode):
        self.stall("newer-challenged")
        if mode.startswith("newer") and not self.renewed:
            self.problem(422, "certificate.expired", "The card's certificate is over.", may_renew=True)
            return
        if mode == "expired-once" and not self.expired:
            self.expired.add(1)
            self.problem(410, "tap.expired", "The tap took too long.")
            return
        self.reply(200, {"script": SECOND.get(mode, SECOND["accept"]), "expires_in": 60})

    def renewal(self, tap):
        self.stall("soon-over-stalled")
        self.renewing.add(tap)
        pin = self.mode() in ("soon-over-pin", "soon-over-both", "newer", "newer-renewed")
        self.reply(200, {"script": SECOND["clear-pin" if pin else "accept"], "expires_in": 60})

    def log(self, mode, body):
        number, head, entries = body["after"], bytes.fromhex(body["previous"]), bytes.fromhex(body["entries"])
        while entries:
            entry, entries = entries[:10 + entries[9]], entries[10 + entries[9]:]
            number += 1
            head = hashlib.sha256(b"cardbroker terminal log entry 1\0" + head + number.to_bytes(8, "big") + entry).digest()
        folder = pathlib.Path(self.server.options.mode).parent
        if mode == "renews" and (folder / "next.key").exists():
            for end in (".pem", ".key"):
                (folder / ("next" + end)).rename(folder / ("terminal" + end))
        self.reply(200, {"number": number, "hash": head.hex()})

    def proof(self, mode, body):
        wanted = SECOND.get(mode, SECOND["accept"])
        if mode == "wrong-pin":
            self.problem(422, "pin.wrong", "The PIN was wrong.", tries_left=2)
        elif mode == "revoked":
            self.problem(422, "card.revoked", "The card is revoked.")
        elif len(body["answers"]) < len(wanted) and body["answers"][-1:] != ["6d00"]:
            self.problem(422, "card.answer", "The card's answer was not complete.")
        else:
            kind = {"kind": "token", "token": {"access_token": "secret-token"}} if mode == "token" else \
                {"kind": "relayed", "url": "https://label.relay.test/.cardbroker/enter?code=one-time"}
            soon_over = {"may_renew": True} if mode.startswith("soon-over") else {}
            self.reply(200, {"outcome": "accepted", "service": "tax", "holder": str(uuid.uuid4()), "level": 1,
                             "card": str(uuid.uuid4()), "session": str(uuid.uuid4()), "delivery": kind, **soon_over})

    do_GET = do_POST = handle_request


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_):
        pass

    # The handshake belongs to the connection's own thread.
    def finish_request(self, request, client_address):
        with self.tls.wrap_socket(request, server_side=True) as stream:
            self.RequestHandlerClass(stream, client_address, self)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("certificate", "key", "client", "mode", "log", "port-file"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    server = Server(("127.0.0.1", 0), Handler)
    server.options = options
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(options.certificate, options.key)
    server.tls.verify_mode = ssl.CERT_REQUIRED
    server.tls.load_verify_locations(options.client)
    with open(options.port_file + ".new", "w", encoding="ascii") as file:
        file.write(str(server.server_address[1]))
    import os
    os.rename(options.port_file + ".new", options.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be cut in a tap: a reader from which the card is taken after a chosen command, and a link between terminal and broker that
ends before or after a chosen exchange. Both count, so that a test can count an undisturbed tap first and then cut it everywhere."""

import http.client
import http.server
import os
import socket
import ssl
import struct
import threading

BEFORE, AFTER = "before", "after"   # it has reached the other side; it was done there, and the answer does not come back


class CutReader:
    """A virtual reader in front of another (cardlink/terminal/vreader.c has its messages)."""

    def __init__(self, path):
        self.path, self.place = str(path), None
        self.count, self.cut = 0, None
        self.selected = []      # the applications that were, or were not to be had, by name
        self.turn = threading.Lock()    # the card has one reader at a time, and notices that it is gone when its connection ends
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def lay(self, place):
        """The reader whose card lies here now."""
        self.place = str(place)
        os.utime(self.path)

    def arm(self, nth=0, when=None):
        """nth 0: counts only."""
        self.count, self.cut, self.selected = 0, (nth, when), []

    def close(self):
        self.listener.close()

    def serve(self):
        while True:
            try:
                terminal, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_one, args=(terminal,), daemon=True).start()

    @staticmethod
    def message(stream):
        data = b""
        while len(data) < 2 or len(data) < 2 + struct.unpack(">H", data[:2])[0]:
            part = stream.recv(1 if len(data) < 2 else 2 + struct.unpack(">H", data[:2])[0] - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def serve_one(self, terminal):
        with terminal, self.turn, socket.socket(socket.AF_UNIX) as card:
            try:
                card.connect(self.place)
                while True:
                    command = self.message(terminal)
                    apdu = len(command) > 3
                    self.count += apdu
                    if command[3:5] == b"\xa4\x04":
                        self.selected.append(command[7:7 + command[6]].hex())
                    strike = self.cut[1] if apdu and self.cut and self.cut[0] == self.count else None
                    if strike == BEFORE:
                        return
                    card.sendall(command)
                    if command[2:] in (b"\0", b"\1", b"\2"):
                        continue
                    answer = self.message(card)
                    if strike == AFTER:
                        return
                    terminal.sendall(answer)
            except (ConnectionError, OSError):
                return


class CutLink:
    """TLS to the terminal with the broker's own certificate, and to the broker with the terminal's."""

    def __init__(self, world, terminal):
        self.count, self.cut, self.down, self.paths = 0, None, False, []
        self.broker = world.port
        self.upstream = ssl.create_default_context(cafile=str(world.pki / "tls" / "ca.pem"))
        self.upstream.load_cert_chain(str(world.etc / f"{terminal}.pem"), str(world.etc / f"{terminal}.key"))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(str(world.pki / "tls" / "api.pem"), str(world.pki / "tls" / "api.key"))
        link = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                self.to_broker = http.client.HTTPSConnection("localhost", link.broker, context=link.upstream, timeout=60)

            def finish(self):
                self.to_broker.close()
                super().finish()

            def log_message(self, *_):
                pass

            def end_here(self):
                self.close_connection = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if link.down:
                    return self.end_here()
                strike, stays_down = link.strike(self.path)
                if strike == BEFORE:
                    link.down = stays_down
                    return self.end_here()
                self.to_broker.request("POST", self.path, body=body, headers={"Content-Type": "application/json"})
                answer = self.to_broker.getresponse()
                data = answer.read()
                if strike == AFTER:
                    link.down = stays_down
                    return self.end_here()
                self.send_response(answer.status)
                for name in ("Content-Type", "Retry-After"):
                    if answer.headers.get(name):
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                return None

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request, client_address):
                with tls.wrap_socket(request, server_side=True) as stream:
                    Handler(stream, client_address, self)

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def arm(self, nth=0, when=None, stays_down=False):
        """nth 0: counts only. stays_down: no exchange after that one comes through either."""
        self.count, self.cut, self.down, self.paths = 0, (nth, when, stays_down), False, []

    def strike(self, path):
        self.count += 1
        self.paths.append(path)
        if self.cut and self.cut[0] == self.count:
            return self.cut[1:]
        return None, False

    def close(self):
        self.server.shutdown()
        self.server.server_close()

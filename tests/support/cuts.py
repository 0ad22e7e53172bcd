# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be cut in a tap: a reader from which the card is taken after a chosen command, and a link between terminal and broker that
ends before or after a chosen exchange, or, with the terminal's own TLS on it, at a chosen record. All count, so that a test can count an
undisturbed tap first and then cut it everywhere."""

import http.client
import http.server
import os
import socket
import ssl
import struct
import threading

BEFORE, AFTER = "before", "after"   # it has reached the other side; it was done there, and the answer does not come back
MEANWHILE = "meanwhile"
# What a terminal looks for on a card: names of applications.
APPLICATIONS = {"f04341524442524f4b455201": "native", "a000000308": "piv", "d392f000260100000001": "jpki", "f04341524442524f4b455203": "scp03"}


class CutReader:
    """A virtual reader in front of another (cardlink/terminal/vreader.c has its messages)."""

    def __init__(self, path):
        self.path, self.place = str(path), None
        self.count, self.cut = 0, None
        self.selected = []      # the applications that were, or were not to be had, by name
        self.heads = []         # of each command: CLA, INS, P1, P2
        self.chained = self.fetched = 0     # commands of which more followed; answers' remainders that were asked for
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
        self.count, self.cut, self.selected, self.heads = 0, (nth, when), [], []
        self.chained = self.fetched = 0

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
                    self.heads += [command[2:6]] if apdu else []
                    self.chained += apdu and command[2] & 0x10 != 0
                    self.fetched += apdu and command[3] == 0xC0
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
    """TLS to the terminal with the broker's own certificate, and to the broker with the terminal's. Where the terminal's reader is known, it is
    noted how many commands had been there at each exchange."""

    def __init__(self, world, terminal, reader=None):
        self.count, self.cut, self.down, self.paths, self.meanwhile = 0, None, False, [], None
        self.reader, self.played = reader, []
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
                if strike == MEANWHILE:
                    link.meanwhile()
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
        self.count, self.cut, self.down, self.paths, self.played = 0, (nth, when, stays_down), False, [], []

    def arm_meanwhile(self, nth, call):
        """Nothing is cut; something happens when that exchange is on its way to the broker."""
        self.meanwhile = call
        self.arm(nth, MEANWHILE)

    def strike(self, path):
        self.count += 1
        self.paths.append(path)
        self.played.append(self.reader.count if self.reader else 0)
        if self.cut and self.cut[0] == self.count:
            return self.cut[1:]
        return None, False

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class TornLink:
    """The terminal's own TLS to the broker, of which this knows nothing but where its records begin: torn at a chosen one of these, of all that go
    either way on the connection that counts. That record arrives nowhere, and nothing does after it."""

    TO_BROKER, TO_TERMINAL = "to the broker", "to the terminal"
    HEAD = 5

    def __init__(self, broker):
        self.broker = broker
        self.turn = threading.Lock()
        self.arm()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def arm(self, nth=0, stays_down=False, connection=1):
        """nth 0: counts only. stays_down: whoever connects afterwards is sent away. connection: which one counts, of those from now on."""
        with self.turn:
            self.records, self.torn_at, self.stays_down, self.down = [], nth, stays_down, False
            self.connection, self.connections = connection, 0

    def close(self):
        self.listener.close()

    def serve(self):
        while True:
            try:
                terminal, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_one, args=(terminal,), daemon=True).start()

    def serve_one(self, terminal):
        with terminal, socket.socket() as broker:
            with self.turn:
                self.connections += 1
                counts = self.connections == self.connection
                if self.down:
                    return
            try:
                broker.connect(("127.0.0.1", self.broker))
                for end in (terminal, broker):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=self.carry, args=(broker, terminal, counts and self.TO_TERMINAL), daemon=True)
                back.start()
                self.carry(terminal, broker, counts and self.TO_BROKER)
                back.join()
            except OSError:
                pass

    def carry(self, source, drain, way):
        """Until one of the two has ended, or it is torn. way: False where nothing counts."""
        try:
            while True:
                record = self.exactly(source, self.HEAD)
                record += self.exactly(source, struct.unpack(">H", record[3:])[0])
                with self.turn:
                    self.records += [way] if way else []
                    torn = bool(way) and len(self.records) == self.torn_at
                    self.down = self.down or (torn and self.stays_down)
                if torn:
                    break
                drain.sendall(record)
        except OSError:
            pass
        for end in (source, drain):     # so that the other direction ends, too
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @staticmethod
    def exactly(stream, count):
        data = b""
        while len(data) < count:
            part = stream.recv(count - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

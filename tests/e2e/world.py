# SPDX-License-Identifier: GPL-3.0-or-later
"""What the end-to-end tests share: one installation for each file of tests, and hands to play each part in it.

A test file calls world() in setUpModule and gets a whole installation: token, key service, connectors, broker, nginx, a
terminal. Cards lie on a virtual reader without PC/SC unless the file asks for a real pcscd.
"""

import atexit
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from environment import Environment, Failure, answers, is_listened_at, run, wait_until  # noqa: E402

# Sanitizer builds take longer for everything.
PATIENCE = int(os.environ.get("CARDBROKER_PATIENCE", "1"))


class Card:
    """A card on the virtual reader, as a terminal has it: cardlink/terminal/vreader.c describes the messages."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.send(b"\x01")

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, payload):
        self.socket.sendall(struct.pack(">H", len(payload)) + payload)

    def receive(self):
        def exactly(count):
            data = b""
            while len(data) < count:
                part = self.socket.recv(count - len(data))
                if not part:
                    raise ConnectionError("the card is gone")
                data += part
            return data
        return exactly(struct.unpack(">H", exactly(2))[0])

    def transmit(self, command, part=False):
        """One command and all of its answer, or the first part that has data."""
        data = b""
        while True:
            self.send(command)
            answer = self.receive()
            data += answer[:-2]
            if answer[-2] == 0x61 and part and data:
                return data + b"\x90\x00"
            if answer[-2] == 0x61:
                command = bytes((command[0] & 0x03, 0xC0, 0, 0, answer[-1]))
            elif answer[-2] == 0x6C:
                command = command[:4] + answer[-1:]
            else:
                return data + answer[-2:]

    def play(self, script):
        """A script as the broker sends it; the answers as it wants them."""
        answers = []
        for item in script:
            if "when" in item and bytes.fromhex(item["when"]) not in bytes.fromhex(answers[0])[:-2]:
                continue
            answer = self.transmit(bytes.fromhex(item["apdu"]), item.get("part"))
            answers.append(answer.hex())
            if answer[-2:] != b"\x90\x00" and not item.get("go_on"):
                break
        return answers


class Reply:
    def __init__(self, status, headers, data):
        self.status, self.headers, self.data = status, headers, data
        try:
            self.json = json.loads(data) if data else {}
        except ValueError:
            self.json = {}
        self.code = self.json.get("code") if isinstance(self.json, dict) else None

    def __repr__(self):
        return f"<{self.status} {self.data[:300]!r}>"


class Terminal:
    """A terminal that speaks the broker's REST interface by hand, over one kept connection."""

    def __init__(self, world, name="terminal"):
        self.context = ssl.create_default_context(cafile=str(world.pki / "tls" / "ca.pem"))
        if name:
            self.context.load_cert_chain(str(world.etc / f"{name}.pem"), str(world.etc / f"{name}.key"))
        self.connection = http.client.HTTPSConnection("localhost", world.port, context=self.context, timeout=60)

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, method, path, body=None, headers=None):
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        sent = {"Content-Type": "application/json", **(headers or {})} if data is not None else (headers or {})
        self.connection.request(method, path, body=data, headers=sent)
        response = self.connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def begin(self):
        return self.ask("POST", "/v1/taps", {})

    def challenge(self, tap, answers, service="nginx", **more):
        return self.ask("POST", f"/v1/taps/{tap}/challenge", {"answers": answers, "service": service, **more})

    def proof(self, tap, answers):
        return self.ask("POST", f"/v1/taps/{tap}/proof", {"answers": answers})


class World(Environment):
    """An installation with nginx, holders who are enrolled there, and their cards."""

    def __init__(self, readers=None, **options):
        folder = Path(tempfile.mkdtemp(prefix="cb-e2e-"))
        self.reader = folder / "reader"
        super().__init__(folder, readers=readers or f"virtual:{self.reader}", **options)
        self.holders, self.card_ids, self.enrolments = {}, {}, {}
        atexit.register(self.tear_down)     # also when the tests are told to end

    def build_up(self, nginx=True):
        """Everything that most tests need."""
        self.prepare()
        self.start()
        self.enrol_terminal_freely("terminal")
        if nginx:
            self.nginx_port = self.start_nginx()
            self.add_nginx("nginx")
        return self

    def settle_in(self):
        """For setUpModule, after whatever is put under the programs: Hanako and Taro, and her card on the reader; torn down
        after the module's tests, also when this fails."""
        unittest.addModuleCleanup(self.tear_down)
        self.build_up()
        self.add_holder("Hanako")
        self.add_holder("Taro")
        self.insert_card("Hanako")

    def tear_down(self):
        atexit.unregister(self.tear_down)
        self.stop()
        if os.environ.get("CARDBROKER_KEEP"):
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- Making things ------------------------------------------------------------------------------------------------

    def enrol_terminal_freely(self, name, services=(), rate=10000):
        """A terminal that no test runs into the rate of, unless it asks for that."""
        if not (self.etc / f"{name}.conf").exists():
            self.write_terminal_configuration(name)
        self.cardlink("enrol", "--name", name, terminal=name)
        chosen = [part for service in services for part in ("--service", service)]
        return self.ctl("terminal", "enrol", "--name", name, "--certificate", self.etc / f"{name}.pem",
                        "--rate", rate, *chosen)["id"]

    def add_nginx(self, name, path="/whoami", level="possession", **config):
        """The private nginx as a service; each name is one of its own, with its own keys."""
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps({"url": f"https://localhost:{self.nginx_port}{path}",
                                    "ca_file": str(self.folder / "nginx" / "server-ca.pem"), **config}))
        self.ctl("service", "add", "--name", name, "--title", name, "--connector", "mtls", "--level", level,
                 "--kind", "relayed", "--needs-certificate", "yes", "--config", file)

    def add_holder(self, name, services=("nginx",), active=True):
        """A holder with a card of the same name, enrolled at the services."""
        self.holders[name] = self.ctl("holder", "add", "--name", name)["id"]
        self.issue(name, name, active)
        for service in services:
            self.enrol(name, service)
        return self.holders[name]

    def issue(self, holder, card, active=True):
        certificate = self.make_card(card)
        self.card_ids[card] = self.ctl("card", "issue", "--holder", self.holders[holder], "--certificate", certificate,
                                       *(["--activate"] if active else []))["id"]
        return self.card_ids[card]

    def enrol(self, holder, service):
        request = self.folder / f"{holder}-{service}.csr"
        enrolment = self.ctl("enrolment", "add", "--holder", self.holders[holder], "--service", service, "--algorithm",
                             "ec-p256", "--csr", request, "--subject", f"CN={holder}")["id"]
        self.ctl("enrolment", "certify", enrolment, "--certificate",
                 self.sign_with_nginx_authority(request, self.folder / f"{holder}-{service}"))
        self.enrolments[holder, service] = enrolment
        return enrolment

    # ---- Cards of which each lies on a reader of its own -----------------------------------------------------------------

    def lay(self, card):
        """The place of a reader with that card on it."""
        name = f"reader of {card}"
        place = self.folder / f"{card}.reader"
        if name in self.programs and self.programs[name].poll() is None:
            return place
        self.spawn(name, [self.program("cardlink-vcard"), "--socket", place, self.cards / f"{card}.card"])
        wait_until(name, lambda: is_listened_at(place), 10 * PATIENCE, self.programs[name])
        return place

    def take_away(self, card):
        self.stop_one(f"reader of {card}")

    # ---- Tapping -------------------------------------------------------------------------------------------------------

    def tap(self, service="nginx", pin=None, terminal="terminal", seconds=10):
        """One tap by cardlink; its last word, an accept or what failed."""
        said = self.cardlink("tap", "--service", service, "--timeout", seconds, terminal=terminal,
                             pin=None if pin is None else [pin], ok=(0, 1, 3, 69, 78), timeout=60 * PATIENCE)
        return said[-1] if said else {}

    def tap_with(self, card, service="nginx", **options):
        self.insert_card(card)
        return self.tap(service, **options)

    def played(self, terminal, card, service="nginx"):
        """A tap by hand up to the proof: the tap and the answers that prove it."""
        begun = terminal.begin()
        with Card(self.reader) as reader:
            first = reader.play(begun.json["script"])
            asked = terminal.challenge(begun.json["tap"], first, service)
            return begun.json["tap"], reader.play(asked.json["script"])

    def tap_by_hand(self, terminal, service="nginx"):
        tap, answers = self.played(terminal, None, service)
        return terminal.proof(tap, answers)

    def one_tap(self, service="nginx", reader=None, terminal="terminal"):
        """A tap by hand; the first answer that refuses, or the last."""
        with Terminal(self, terminal) as client:
            done = client.begin()
            if done.status == 201:
                tap = done.json["tap"]
                with Card(reader or self.reader) as card:
                    done = client.challenge(tap, card.play(done.json["script"]), service)
                    if done.status == 200:
                        done = client.proof(tap, card.play(done.json["script"]))
            return done

    def tap_at(self, reader, service="nginx", terminal="terminal"):
        """A tap by hand with the card on that reader; its last answer, or what came instead of one."""
        try:
            return self.one_tap(service, reader, terminal)
        except (OSError, http.client.HTTPException) as problem:
            return problem

    @staticmethod
    def outcome(done):
        """"accepted", an error's code, or what else came."""
        return getattr(done, "json", {}).get("outcome") or getattr(done, "code", None) or repr(done)

    def works_again(self, service="nginx", seconds=8):
        """Taps by hand until one is accepted; how long that took. Nobody helps meanwhile."""
        began = time.monotonic()
        while True:
            try:
                done = self.one_tap(service)
                if self.outcome(done) == "accepted":
                    return time.monotonic() - began
            except (OSError, http.client.HTTPException) as problem:
                done = problem
            if time.monotonic() - began > seconds * PATIENCE:
                said = "\n".join(f"{name}: {program.last_words()}" for name, program in self.programs.items()
                                 if hasattr(program, "last_words"))
                raise AssertionError(f"no tap works after {seconds * PATIENCE} s: {self.outcome(done)}; {done!r}\n{said}")
            time.sleep(0.05)

    def page_of(self, accepted, path=None):
        """What the holder's browser sees: nginx's own lines about whom it thinks it serves."""
        answer = self.browser().get(accepted["delivery"]["url"])
        return dict(line.split("=", 1) for line in answer.text.strip().splitlines() if "=" in line)

    # ---- Beginning again ------------------------------------------------------------------------------------------------

    def restart_hsmd(self):
        """Until all of its workers serve and the broker knows: its sockets are there before its workers have logged in."""
        begun = self.log_of("cardbroker-hsmd").count('"worker.ready"')
        self.stop_one("cardbroker-hsmd")
        program = self.start_hsmd()
        wait_until("hsmd's workers", lambda: self.log_of("cardbroker-hsmd").count('"worker.ready"') >= begun + self.workers + 2,
                   20 * PATIENCE, program)
        wait_until("the broker to be ready", self.ready, 20 * PATIENCE)

    # ---- Looking -------------------------------------------------------------------------------------------------------

    def leaves(self, *filters):
        return self.ctl("audit", "list", "--count", "100000", *filters)

    def size(self):
        """How many leaves there are."""
        return self.ctl("status")["broker"]["store"]["leaves"]

    def admin(self, method, path, body=None, headers=None):
        """A request to the administration socket."""
        connection = http.client.HTTPConnection("local", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(self.run_folder / "admin.sock"))
        try:
            data = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, body=data, headers=headers or {"Content-Type": "application/json"})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    @staticmethod
    def fields(leaf):
        """A leaf's lines, each a word and its value."""
        return dict(line.partition(" ")[::2] for line in leaf["leaf"].splitlines() if " " in line)

    def verify(self):
        return self.ctl("audit", "verify", "--log-key", self.pki / "log.pem")

    def verify_database(self, ok=(0,)):
        """And its tables, from the file, while the broker runs."""
        return self.ctl("audit", "verify", "--log-key", self.pki / "log.pem", "--database", self.state / "cardbroker.db", ok=ok)

    def log_of(self, program):
        return (self.logs / f"{program}.log").read_text(errors="replace")

    def processes(self, name):
        """The program that was started and all processes that came from it: (pid, command line) each."""
        parents, names = {}, {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = Path(f"/proc/{entry}/stat").read_text()
                    names[int(entry)] = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
                except OSError:
                    continue
        found = [self.programs[name].pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return [(pid, names.get(pid, "")) for pid in found]

    def of_each(self, name, ask):
        """(pid, what ask(pid) says) of each of its processes but those that end meanwhile, as a login's may at any time."""
        for pid, _ in self.processes(name):
            try:
                said = ask(pid)
            except (FileNotFoundError, ProcessLookupError):
                if os.path.exists(f"/proc/{pid}"):
                    raise
                continue
            yield pid, said


def world(**options):
    """setUpModule: an installation that runs. A failure leaves nothing behind."""
    made = World(**options)
    try:
        return made.build_up()
    except BaseException:
        for log in sorted(made.logs.glob("*.log")) if made.logs.exists() else []:
            print(f"---- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        made.tear_down()
        raise


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    unittest.main(verbosity=2)


__all__ = ["Card", "Environment", "Failure", "PATIENCE", "Reply", "Terminal", "World", "main", "run", "subprocess", "time",
           "wait_until", "world"]

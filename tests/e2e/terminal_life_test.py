# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a terminal: registered, active, de-activated, revoked, disposed of; and who may do what in each."""

import hashlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import time
import unittest

from world import PATIENCE, Failure, Terminal, World, main, run, wait_until

w = None
GUESSES = 40  # wrong codes that all strangers may try in a minute


class Registry(World):
    """An installation where a test may activate more terminals in a minute than people do."""

    def configure(self):
        super().configure()
        with open(self.etc / "cardbroker.conf", "a") as file:
            file.write(f"limits {{ activations-per-address = 1000\n activations = {GUESSES} }}\n")

    def register(self, name, *options):
        """A terminal that waits for its code; returns that."""
        self.write_terminal_configuration(name)
        return self.ctl("terminal", "register", "--name", name, "--service", "nginx", "--rate", 1000, *options)

    def activate(self, name, code, registered=None, ok=(0,)):
        return self.cardlink("activate", "--name", registered or name, terminal=name, pin=[code], ok=ok)[-1]

    def make(self, name):
        self.activate(name, self.register(name)["code"])

    def begin_again(self, seconds):
        """The key service, with certificates that are valid for so long."""
        path = self.etc / "hsmd.conf"
        text = re.sub(r"terminal-certificate-seconds.*\n", "", path.read_text())
        path.write_text(f"terminal-certificate-seconds = {seconds}\n{text}")
        self.restart_hsmd()


def setUpModule():
    global w
    w = Registry()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_holder("Hanako")
    w.insert_card("Hanako")


def wrong(code):
    """Another code, whose check symbol fits."""
    symbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U"
    body = [symbols.index(c) for c in code.replace("-", "")[:-1]]
    body[0] = (body[0] + 1) % 32
    rest = 0
    for value in body:
        rest = (rest * 32 + value) % 37
    text = "".join(symbols[v] for v in [*body, rest])
    return "-".join(text[i:i + 5] for i in range(0, 20, 5))


def request(name, key=None):
    """A PKCS#10 request by a fresh key, or that of a file; the key's file."""
    path = key or w.folder / f"{name}.by-hand.key"
    if not key:
        run(["openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path])
    return run(["openssl", "req", "-new", "-key", path, "-subj", "/CN=somebody", "-outform", "DER"]).stdout, path


def apply(name, code, csr):
    with Terminal(w, None) as nobody:
        return nobody.ask("POST", "/v1/activations", {"name": name, "code": code, "request": csr.hex()})


def gone(name):
    return not (w.etc / f"{name}.key").exists() and not (w.etc / f"{name}.pem").exists()


class Activation(unittest.TestCase):
    def test_a_terminal_is_activated_where_it_stands_and_taps(self):
        made = w.register("gate")
        self.assertEqual((made["state"], made["key"]), ("registered", None))
        self.assertRegex(made["code"], r"^([0-9A-HJKMNP-TV-Z]{5}-){3}[0-9A-HJKMNP-TV-Z]{4}[0-9A-HJKMNP-TV-Z*~$=U]$")
        self.assertEqual(w.activate("gate", made["code"].lower())["event"], "activated")
        self.assertEqual(w.tap(terminal="gate").get("outcome"), "accepted")
        shown = w.ctl("terminal", "show", "gate")
        self.assertEqual(shown["state"], "active")
        self.assertNotIn(made["code"], str(shown))
        kinds = [leaf["kind"] for leaf in w.leaves("--terminal", made["id"]) if leaf["kind"].startswith("terminal.")]
        self.assertEqual(kinds, ["terminal.added", "terminal.code", "terminal.activated"])
        for place in (w.logs / "cardbrokerd.log", w.state / "cardbroker.db", w.state / "cardbroker.db-wal"):
            self.assertNotIn(made["code"].encode(), place.read_bytes() if place.exists() else b"", place)

    def test_the_certificate_says_what_hsmd_wants_and_verifies_under_the_terminal_ca(self):
        made = w.register("named")
        w.activate("named", made["code"])
        ca = w.folder / "terminal-ca.pem"
        ca.write_bytes(run([w.program("cardbroker-hsmd"), "--config", w.etc / "hsmd.conf", "--terminal-ca"], env=w.env).stdout)
        run(["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca, w.etc / "named.pem"])
        done = subprocess.run(["openssl", "verify", "-purpose", "sslserver", "-CAfile", str(ca), str(w.etc / "named.pem")],
                              capture_output=True)
        self.assertNotEqual(done.returncode, 0)
        said = run(["openssl", "x509", "-in", w.etc / "named.pem", "-noout", "-subject"]).stdout.decode()
        self.assertIn(made["id"], said)

    def test_a_mistyped_code_is_noticed_at_the_terminal_and_a_wrong_one_at_the_broker(self):
        code = w.register("typed")["code"]
        mistyped = ("8" if code[0] == "7" else "7") + code[1:]
        self.assertEqual(w.activate("typed", mistyped, ok=(1,))["code"], "request.malformed")
        self.assertEqual(w.activate("typed", wrong(code), ok=(1,))["code"], "activation.refused")
        self.assertEqual(w.activate("typed", code, registered="gate of others", ok=(1,))["code"], "activation.refused")
        self.assertEqual(w.activate("typed", code)["event"], "activated")

    def test_guessing_ends_the_code_and_an_administrator_makes_another(self):
        code = w.register("guessed")["code"]
        csr, _ = request("guessed")
        for _ in range(5):
            self.assertEqual(apply("guessed", wrong(code), csr).code, "activation.refused")
        self.assertEqual(apply("guessed", code, csr).code, "activation.refused")
        code = w.ctl("terminal", "code", "guessed")["code"]
        self.assertEqual(apply("guessed", code, csr).status, 201)

    def test_a_code_is_good_for_one_key_and_for_its_time(self):
        code = w.register("once")["code"]
        first, _ = request("once")
        other, _ = request("other")
        one = apply("once", code, first)
        self.assertEqual(one.status, 201)
        self.assertEqual(apply("once", code, other).code, "activation.refused")
        self.assertEqual(apply("once", code, first).json, one.json)     # the answer was lost
        code = w.register("late", "--valid", "1s")["code"]
        time.sleep(1.1)
        self.assertEqual(apply("late", code, other).code, "activation.refused")

    def test_a_request_for_a_key_that_did_not_sign_it_is_refused(self):
        code = w.register("stolen")["code"]
        mine, path = request("mine")
        yours, _ = request("yours")
        point = run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"]).stdout[-65:]
        self.assertIn(point, mine)
        at = mine.index(point)
        forged = mine[:at] + yours[yours.index(b"\x03\x42\x00\x04") + 3:][:65] + mine[at + 65:]
        self.assertEqual((apply("stolen", code, forged).status, apply("stolen", code, mine[:-1]).status), (400, 400))
        self.assertEqual(apply("stolen", code, mine).status, 201)

    def test_an_activation_that_was_interrupted_goes_on_with_its_key(self):
        code = w.register("lost-answer")["code"]
        w.activate("lost-answer", code)
        certificate = (w.etc / "lost-answer.pem").read_bytes()
        (w.etc / "lost-answer.pem").unlink()
        self.assertEqual(w.activate("lost-answer", code)["event"], "activated")
        self.assertEqual((w.etc / "lost-answer.pem").read_bytes(), certificate)
        self.assertEqual(w.activate("lost-answer", code, ok=(1,))["code"], "resource.exists")

    def test_a_code_is_never_taken_from_the_command_line(self):
        code = w.register("argued")["code"]
        done = subprocess.run([str(w.program("cardlink")), "--config", str(w.etc / "argued.conf"), "activate", "--name", "argued", code],
                              capture_output=True, stdin=subprocess.DEVNULL, start_new_session=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(w.ctl("terminal", "show", "argued")["state"], "registered")

    def test_a_registered_terminal_is_revoked_with_its_code(self):
        made = w.register("withdrawn")
        w.ctl("terminal", "revoke", "withdrawn")
        self.assertEqual(w.activate("withdrawn", made["code"], ok=(1,))["code"], "activation.refused")


class Renewal(unittest.TestCase):
    def key(self, name):
        return w.ctl("terminal", "show", name)["key"]

    def test_the_old_key_counts_until_the_new_one_is_used(self):
        w.make("renewing")
        before = self.key("renewing")
        with Terminal(w, "renewing") as old:
            self.assertEqual(old.ask("GET", "/v1/services").status, 200)
            self.assertEqual(w.cardlink("renew", terminal="renewing")[-1]["event"], "renewed")
            self.assertEqual(old.ask("GET", "/v1/services").status, 200)
            self.assertEqual(self.key("renewing"), before)
            self.assertEqual(w.tap(terminal="renewing").get("outcome"), "accepted")
            self.assertNotEqual(self.key("renewing"), before)
            self.assertEqual(old.ask("GET", "/v1/services").code, "terminal.unknown")

    def test_a_renewal_goes_on_wherever_it_was_killed(self):
        w.make("killed")
        key, certificate = w.etc / "killed.key", w.etc / "killed.pem"
        next_key, next_certificate = w.etc / "killed.key.next", w.etc / "killed.pem.next"
        keep = w.folder / "kept"
        keep.mkdir()
        for stage in ("key", "certificate", "renamed", "garbage"):
            with self.subTest(stage=stage):
                for file in (key, certificate):
                    shutil.copy2(file, keep / file.name)
                w.cardlink("renew", terminal="killed")
                new_key, new_certificate = key.read_bytes(), certificate.read_bytes()
                # As it was when the program was killed there.
                shutil.copy2(key, next_key)
                shutil.copy2(keep / key.name, key)
                if stage != "renamed":
                    shutil.copy2(keep / certificate.name, certificate)
                if stage == "certificate":
                    next_certificate.write_bytes(new_certificate)
                if stage == "garbage":
                    next_certificate.write_bytes(b"half a certif")
                self.assertEqual(w.tap(terminal="killed").get("outcome"), "accepted")
                if stage in ("certificate", "renamed"):
                    self.assertEqual(key.read_bytes(), new_key)
                    self.assertFalse(next_key.exists())
                else:
                    w.cardlink("renew", terminal="killed")
                    self.assertEqual((key.read_bytes(), certificate.read_bytes()), (new_key, new_certificate))
                    self.assertEqual(w.tap(terminal="killed").get("outcome"), "accepted")

    def test_a_terminal_gets_no_new_keys_without_end(self):
        w.make("greedy")
        with Terminal(w, "greedy") as terminal:
            asked = [request(f"greedy-{i}")[0].hex() for i in range(13)]
            done = [terminal.ask("POST", "/v1/certificate", {"request": csr}) for csr in asked]
            self.assertEqual([one.status for one in done[:10]], [200] * 10)
            self.assertEqual((done[-1].status, done[-1].code), (503, "activation.rate"))
            again = terminal.ask("POST", "/v1/certificate", {"request": asked[max(i for i, one in enumerate(done) if one.status == 200)]})
            self.assertEqual(again.status, 200)                             # costs nothing
        certified = [leaf for leaf in w.leaves("--terminal", w.ctl("terminal", "show", "greedy")["id"]) if leaf["kind"] == "terminal.certified"]
        self.assertLess(len(certified), 13)

    def test_a_terminal_with_a_certificate_of_its_own_is_told_that_there_is_nothing_to_renew(self):
        w.enrol_terminal_freely("own")
        self.assertEqual(w.cardlink("renew", terminal="own", ok=(1,))[-1]["code"], "resource.state")
        self.assertEqual(w.tap(terminal="own").get("outcome"), "accepted")


class Time(unittest.TestCase):
    """With certificates that are over soon."""

    @classmethod
    def setUpClass(cls):
        w.begin_again(3 * PATIENCE)

    @classmethod
    def tearDownClass(cls):
        w.begin_again(86400)

    def test_an_expired_certificate_is_refused(self):
        w.make("expiring")
        with Terminal(w, "expiring") as terminal:
            self.assertEqual(terminal.ask("GET", "/v1/services").status, 200)
            time.sleep(3.2 * PATIENCE)
            self.assertEqual(terminal.ask("GET", "/v1/services").code, "terminal.expired")
        self.assertEqual(w.tap(terminal="expiring").get("code"), "terminal.expired")

    def test_the_agent_renews_in_time_and_goes_on_serving(self):
        w.make("keeping")
        before = w.ctl("terminal", "show", "keeping")["key"]
        agent = w.spawn("keeper", [w.program("cardlink"), "--config", w.etc / "keeping.conf", "--json", "agent", "--service", "nginx"])
        wait_until("two renewals", lambda: w.log_of("keeper").count('"renewed"') >= 2, 20 * PATIENCE, agent)
        w.insert_card("Hanako")
        accepted = w.log_of("keeper").count('"accepted"')
        wait_until("a tap", lambda: w.log_of("keeper").count('"accepted"') > accepted, 20 * PATIENCE, agent)
        w.stop_one("keeper")
        self.assertNotEqual(w.ctl("terminal", "show", "keeping")["key"], before)


    def test_an_opened_housing_ends_the_keys_while_a_renewal_waits_for_a_mute_broker(self):
        w.make("besieged")
        place = w.folder / "besieged.contact"
        path = w.etc / "besieged.conf"
        with socket.create_server(("127.0.0.1", 0)) as mute:        # takes connections, and says nothing at all
            text = path.read_text().replace(f":{w.port}", f":{mute.getsockname()[1]}")
            path.write_text(f'{text}\ntamper = "{place}"\n')
            agent = w.spawn("besieged", [w.program("cardlink"), "--config", path, "--json", "agent", "--service", "nginx"])
            wait_until("a renewal", lambda: (w.etc / "besieged.key.next").exists(), 20 * PATIENCE, agent)
            began = time.monotonic()
            place.touch()
            wait_until("the keys' end", lambda: gone("besieged"), 20 * PATIENCE)
            self.assertLess(time.monotonic() - began, 3 + 1.5 * PATIENCE)   # what the broker is given, and a look or two
            wait_until("the agent's end", lambda: agent.poll() is not None, 40 * PATIENCE)
        self.assertEqual([file.name for file in w.etc.glob("besieged.*")], ["besieged.conf"])


class Pauses(unittest.TestCase):
    def test_a_deactivated_terminal_is_refused_on_a_kept_connection_and_works_when_activated_again(self):
        terminal_id = w.enrol_terminal_freely("pausing")
        with Terminal(w, "pausing") as terminal:
            self.assertEqual(w.tap_by_hand(terminal).json.get("outcome"), "accepted")
            w.ctl("terminal", "deactivate", "pausing", "--reason", "holidays")
            for path in ("/v1/services", "/v1/taps"):
                done = terminal.ask("GET", path) if path == "/v1/services" else terminal.begin()
                self.assertEqual((done.status, done.code), (403, "terminal.deactivated"))
            self.assertEqual(w.ctl("terminal", "show", terminal_id)["state"], "deactivated")
            w.ctl("terminal", "activate", "pausing")
            self.assertEqual(w.tap_by_hand(terminal).json.get("outcome"), "accepted")
        kinds = [leaf["kind"] for leaf in w.leaves("--terminal", terminal_id) if leaf["kind"].startswith("terminal.")]
        self.assertEqual(kinds, ["terminal.added", "terminal.deactivated", "terminal.reactivated"])

    def test_sessions_end_when_the_terminal_is_deactivated(self):
        w.enrol_terminal_freely("leaving")
        with Terminal(w, "leaving") as terminal:
            done = w.tap_by_hand(terminal)
        browser = w.browser()
        url = done.json["delivery"]["url"]
        self.assertEqual(browser.get(url).status, 200)
        w.ctl("terminal", "deactivate", "leaving")
        host = "/".join(url.split("/")[:3])
        self.assertEqual(browser.get(f"{host}/whoami").status, 410)

    def test_a_tap_that_was_begun_before_a_pause_is_not_brought_to_its_end(self):
        w.enrol_terminal_freely("between")
        with Terminal(w, "between") as terminal:
            tap, answers = w.played(terminal, None)
            w.ctl("terminal", "deactivate", "between")
            self.assertEqual(terminal.proof(tap, answers).code, "terminal.deactivated")


class Ends(unittest.TestCase):
    def test_a_terminal_that_was_disposed_of_erases_its_keys_at_its_next_contact(self):
        w.enrol_terminal_freely("sold")
        w.ctl("terminal", "dispose", "sold", "--reason", "sold")
        said = w.cardlink("services", terminal="sold", ok=(1, 3))
        self.assertEqual(said[-1]["code"], "terminal.disposed")
        self.assertTrue(gone("sold"))

    def test_an_agent_whose_terminal_was_disposed_of_erases_the_keys_and_ends(self):
        w.enrol_terminal_freely("agent")
        agent = w.spawn("agent", [w.program("cardlink"), "--config", w.etc / "agent.conf", "--json", "agent", "--service", "nginx"])
        wait_until("the agent", lambda: "ready" in w.log_of("agent"), 10 * PATIENCE, agent)
        w.ctl("terminal", "dispose", "agent")
        w.insert_card("Hanako")
        wait_until("the agent's end", lambda: agent.poll() is not None, 20 * PATIENCE)
        self.assertTrue(gone("agent"))
        self.assertNotEqual(agent.returncode, 0)

    def test_a_revoked_terminal_keeps_what_it_has_and_can_do_nothing_with_it(self):
        w.enrol_terminal_freely("lost")
        w.ctl("terminal", "revoke", "lost")
        self.assertEqual(w.cardlink("services", terminal="lost", ok=(1, 3))[-1]["code"], "terminal.revoked")
        self.assertFalse(gone("lost"))


class Tamper(unittest.TestCase):
    def last(self, terminal_id):
        return [leaf for leaf in w.leaves("--terminal", terminal_id) if leaf["kind"].startswith("terminal.")][-1]

    def test_a_terminal_that_erases_itself_tells_the_broker_first(self):
        made = w.register("leaving-alone")
        w.activate("leaving-alone", made["code"])
        events = [line["event"] for line in w.cardlink("erase", terminal="leaving-alone")]
        self.assertEqual(events, ["broker.told", "erased"])
        self.assertTrue(gone("leaving-alone"))
        self.assertEqual(w.ctl("terminal", "show", made["id"])["state"], "revoked")
        self.assertIn("reason erased", self.last(made["id"])["leaf"])

    def test_an_opened_housing_ends_the_agent_and_the_keys_and_is_in_the_record(self):
        made = w.register("opened")
        place = w.folder / "opened.contact"
        with open(w.etc / "opened.conf", "a") as file:
            file.write(f'tamper = "{place}"\n')
        w.activate("opened", made["code"])
        agent = w.spawn("opened", [w.program("cardlink"), "--config", w.etc / "opened.conf", "--json", "agent", "--service", "nginx"])
        wait_until("the agent", lambda: "ready" in w.log_of("opened"), 10 * PATIENCE, agent)
        place.touch()
        wait_until("the agent's end", lambda: agent.poll() is not None, 20 * PATIENCE)
        self.assertEqual(agent.returncode, 1)
        self.assertTrue(gone("opened"))
        self.assertEqual(w.ctl("terminal", "show", "opened")["state"], "deactivated")
        self.assertIn("reason tamper", self.last(made["id"])["leaf"])

    def test_keys_are_erased_also_when_no_broker_answers(self):
        made = w.register("alone")
        w.activate("alone", made["code"])
        path = w.etc / "alone.conf"
        path.write_text(path.read_text().replace(f":{w.port}", ":1"))
        began = time.monotonic()
        events = [line["event"] for line in w.cardlink("tamper", terminal="alone")]
        self.assertEqual(events, ["broker.not_told", "erased"])
        self.assertLess(time.monotonic() - began, 10 * PATIENCE)
        self.assertTrue(gone("alone"))
        self.assertEqual(w.ctl("terminal", "show", "alone")["state"], "active")

    def test_a_renewal_that_was_under_way_leaves_nothing_either(self):
        w.make("half")
        for name in ("half.key.next", "half.pem.next", "half.key.new"):
            shutil.copy2(w.etc / "half.key", w.etc / name)
        w.cardlink("erase", terminal="half")
        self.assertEqual([file.name for file in w.etc.glob("half.*")], ["half.conf"])

    def test_nobody_ends_another_terminal(self):
        w.make("bystander")
        with Terminal(w, None) as nobody:
            self.assertEqual(nobody.ask("POST", "/v1/terminal/end", {"reason": "tamper"}).status, 401)
        with Terminal(w, "bystander") as terminal:
            self.assertEqual(terminal.ask("POST", "/v1/terminal/end", {"reason": "stolen"}).status, 400)
        self.assertEqual(w.tap(terminal="bystander").get("outcome"), "accepted")


class Log(unittest.TestCase):
    """The log that a terminal keeps of itself."""

    def agent(self, name, program):
        return w.spawn(program, [w.program("cardlink"), "--config", w.etc / f"{name}.conf", "--json", "agent", "--service", "nginx"])

    def tap(self, program, agent):
        w.remove_card()
        wait_until("the agent", lambda: '"reader.ready"' in w.log_of(program) and
                   w.log_of(program).count('"card.present"') == w.log_of(program).count('"card.removed"'), 20 * PATIENCE, agent)
        accepted = w.log_of(program).count('"accepted"')
        w.insert_card("Hanako")
        try:
            wait_until("a tap", lambda: w.log_of(program).count('"accepted"') > accepted, 20 * PATIENCE, agent)
        except Failure as failure:
            raise Failure(f"{failure}\n{agent.last_words()}") from None

    def known(self, name):
        """How far the broker has it."""
        return w.ctl("terminal", "show", name)["log"]["number"]

    def test_an_agents_log_arrives_whole_across_kills_on_both_sides(self):
        made = w.register("logging")
        w.activate("logging", made["code"])
        with open(w.etc / "logging.conf", "a") as file:
            file.write("log_every = 1\n")
        for turn in range(3):
            program = f"logger-{turn}"
            agent = self.agent("logging", program)
            known = self.known("logging")
            self.tap(program, agent)
            wait_until("the log", lambda: self.known("logging") > known, 20 * PATIENCE, agent)
            self.tap(program, agent)
            if turn == 1:
                os.kill(w.programs["cardbrokerd"].process.pid, signal.SIGKILL)
                w.programs.pop("cardbrokerd").stop()
                w.start_broker()
            if turn < 2:
                os.kill(agent.process.pid, signal.SIGKILL)
                w.programs.pop(program).stop()
            if turn == 0:
                w.cardlink("renew", terminal="logging")
        # Another program renews the key that this one uses: its next tap shows the new one.
        known = self.known("logging")
        w.cardlink("renew", terminal="logging")
        wait_until("the log", lambda: self.known("logging") > known, 20 * PATIENCE, agent)
        self.tap("logger-2", agent)
        self.assertNotIn("terminal.unknown", w.log_of("logger-2"))
        w.stop_one("logger-2")
        log = w.ctl("terminal", "log", "logging", "--last", 10000)
        self.assertTrue(log["verified"], log["findings"])
        entries = log["entries"]
        self.assertEqual([entry["number"] for entry in entries], list(range(1, len(entries) + 1)))
        events = [entry["event"] for entry in entries]
        self.assertEqual(events.count("started"), 3)
        self.assertEqual((events[0], events[-1]), ("started", "stopped"))
        self.assertIn("key.renewed", events)
        ended = [entry["text"].split() for entry in entries if entry["event"] == "tap.ended"]
        self.assertGreaterEqual(len([code for _, code in ended if code == "accepted"]), 2)
        self.assertIn(ended[-1][0], {leaf["leaf"].split("\ntap ")[1].split()[0] for leaf in w.leaves() if leaf["kind"] == "tap.result"})
        program = hashlib.sha256(w.program("cardlink").read_bytes()).hexdigest()
        config = hashlib.sha256((w.etc / "logging.conf").read_bytes()).hexdigest()
        self.assertIn(f"program={program} config={config}", entries[0]["text"])
        self.assertNotIn("Hanako", str(log))
        leaves = [leaf["leaf"] for leaf in w.leaves("--terminal", made["id"]) if leaf["kind"] == "terminal.log"]
        self.assertGreaterEqual(len({re.search("key_sha256 (.*)", leaf)[1] for leaf in leaves}), 2)
        self.assertIn(f"last {len(entries)}\n", leaves[-1])
        self.assertFalse([leaf for leaf in w.leaves("--terminal", made["id"]) if leaf["kind"] == "terminal.log_refused"])
        self.assertEqual((w.etc / "logging.key.log").stat().st_size, 48)

    def batch(self, name, after, previous, texts):
        """Entries as a terminal makes them, by hand: the body, and the head that they lead to."""
        entries, head, number = b"", previous, after
        for text in texts:
            entry = struct.pack(">QBB", 1700000000000000, 4, len(text)) + text.encode()
            entries, number = entries + entry, number + 1
            head = hashlib.sha256(b"cardbroker terminal log entry 1\0" + head + struct.pack(">Q", number) + entry).digest()
        digest = w.folder / "head.digest"
        digest.write_bytes(hashlib.sha256(b"cardbroker terminal log head 1\0" + struct.pack(">Q", number) + head).digest())
        key = w.etc / f"{name}.key"
        der = run(["openssl", "pkeyutl", "-sign", "-inkey", key, "-in", digest]).stdout
        r, rest = der[4:4 + der[3]], der[4 + der[3]:]
        signature = r[-32:].rjust(32, b"\0") + rest[2:][-32:].rjust(32, b"\0")
        point = run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"]).stdout[-65:]
        return {"after": after, "previous": previous.hex(), "entries": entries.hex(), "key": point.hex(),
                "signature": signature.hex()}, head

    def test_a_log_with_a_gap_a_fork_or_another_signature_is_a_finding(self):
        none = bytes(32)
        terminal_id = w.enrol_terminal_freely("telling")
        w.enrol_terminal_freely("other-teller")
        with Terminal(w, "telling") as terminal, Terminal(w, "other-teller") as other:
            first, head = self.batch("telling", 0, none, ["one", "two"])
            for _ in range(2):
                done = terminal.ask("POST", "/v1/log", first)
                self.assertEqual((done.status, done.json), (200, {"number": 2, "hash": head.hex()}))
            attacks = [
                ("terminal.log_gap", self.batch("telling", 3, head, ["four"])[0]),
                ("terminal.log_fork", self.batch("telling", 0, none, ["one", "other", "three"])[0]),
                ("terminal.log_fork", self.batch("telling", 2, none, ["three"])[0]),
                ("terminal.log_signature", self.batch("other-teller", 2, head, ["three"])[0]),
                ("terminal.log_signature", {**self.batch("telling", 2, head, ["three"])[0], "signature": first["signature"]}),
            ]
            for code, body in attacks:
                self.assertEqual(terminal.ask("POST", "/v1/log", body).code, code)
                self.assertEqual(w.ctl("terminal", "show", "telling")["log"]["finding"], code)
            self.assertEqual(other.ask("POST", "/v1/log", first).code, "terminal.log_signature")
            for body in ({**first, "entries": ""}, {**first, "entries": first["entries"][:-2]}, {**first, "key": "04"},
                         {**first, "after": -1}, {**first, "entries": "00" * 30000}):
                self.assertEqual(terminal.ask("POST", "/v1/log", body).status, 400)
            self.assertEqual(w.ctl("terminal", "show", "telling")["log"]["number"], 2)
            w.ctl("terminal", "log-resume", "telling", "--reason", "restored")
            self.assertEqual(terminal.ask("POST", "/v1/log", attacks[0][1]).json["number"], 4)
            self.assertEqual(terminal.ask("POST", "/v1/log", attacks[1][1]).code, "terminal.log_fork")
        log = w.ctl("terminal", "log", "telling", ok=(1,))
        self.assertEqual([finding["finding"] for finding in log["findings"]], ["another part begins"])
        self.assertEqual([entry["text"] for entry in log["entries"]], ["one", "two", "four"])
        kinds = [leaf["kind"] for leaf in w.leaves("--terminal", terminal_id) if leaf["kind"].startswith("terminal.log")]
        self.assertEqual(kinds.count("terminal.log_refused"), 6 - 1)    # the two wrong signatures are one finding
        with Terminal(w, None) as nobody:
            self.assertEqual(nobody.ask("POST", "/v1/log", first).status, 401)

    def test_a_terminal_that_goes_on_telling_fills_no_disk(self):
        """What it tells stays for good: beyond what a full log is, only as much as taps need."""
        w.enrol_terminal_freely("chatty")
        head, told, last = bytes(32), 0, time.monotonic()
        with Terminal(w, "chatty") as terminal:
            def tell(text, count):
                nonlocal head, told
                body, after = self.batch("chatty", told, head, [text] * count)
                code = terminal.ask("POST", "/v1/log", body).code
                if code is None:
                    head, told = after, told + count
                return code

            taken = 0
            while taken < 59:               # a whole log at once, as after a day without the broker
                self.assertEqual(tell("x" * 200, 100), None, taken)
                taken += 1
            more = 0
            for _ in range(6):              # so many a minute it may bring, but not so much
                time.sleep(1.2)
                more += tell("x" * 200, 100) is None
            self.assertLessEqual(more, 2 + (time.monotonic() - last) * 16 / 60 / 21)
            time.sleep(1.2)
            self.assertEqual(tell("tap accepted", 2), None)
        self.assertEqual(self.known("chatty"), told)

    def test_whoever_writes_the_database_takes_nothing_out_of_a_log_unseen(self):
        heads = [bytes(32)]
        terminal_id = w.enrol_terminal_freely("robbed")
        with Terminal(w, "robbed") as terminal:
            for number in range(3):
                body, head = self.batch("robbed", number, heads[-1], [f"entry {number}"])
                self.assertEqual(terminal.ask("POST", "/v1/log", body).status, 200)
                heads.append(head)
        self.assertTrue(w.ctl("terminal", "log", "robbed", "--record")["verified"])
        self.assertEqual(w.verify_database()["findings"], [])
        key = bytes.fromhex(terminal_id.replace("-", ""))
        def find(*more):
            return [one["finding"] for one in w.ctl("terminal", "log", "robbed", *more, ok=(1,))["findings"]]
        w.stop_one("cardbrokerd")   # while it runs, it notices that its tables were changed
        with sqlite3.connect(w.state / "cardbroker.db") as database:
            kept = database.execute("SELECT sql FROM sqlite_master WHERE name = 'terminal_log_batch_kept'").fetchone()[0]
            database.execute("DROP TRIGGER terminal_log_batch_kept")
            database.execute("DELETE FROM terminal_log_batch WHERE terminal = ? AND last = 3", (key,))
            database.execute(kept)
        w.start_broker()
        self.assertEqual(find(), ["the broker's head is not that of its entries"])
        with sqlite3.connect(w.state / "cardbroker.db") as database:
            database.execute("UPDATE terminal_log SET number = 2, hash = ? WHERE terminal = ?", (heads[2], key))
        self.assertTrue(w.ctl("terminal", "log", "robbed")["verified"])     # what is there fits
        self.assertEqual(find("--record"), ["the record has a batch that is not there"])
        found = {one["what"] for one in w.verify_database(ok=(1,))["findings"]}
        self.assertEqual(found, {"terminal_log.record", "terminal_log.head"})

    def test_an_agent_that_cannot_write_its_log_serves_no_card(self):
        w.enrol_terminal_freely("mute")
        with open(w.etc / "mute.conf", "a") as file:
            file.write(f'log = "{w.folder}/not/there.log"\n')
        agent = self.agent("mute", "mute")
        wait_until("the agent's end", lambda: agent.poll() is not None, 20 * PATIENCE)
        self.assertNotEqual(agent.returncode, 0)
        self.assertIn("log.failed", w.log_of("mute"))
        self.assertNotIn('"accepted"', w.log_of("mute"))
        for ask in self.acts("mute"):
            self.assertEqual(ask()["code"], "internal.io")

    # What people type at a terminal, beside its agent or without one.

    PIN = "123456"
    PASSWORD = "correct horse battery staple"

    @staticmethod
    def handed(terminal, option, lines, *words):
        """The last that cardlink says, which reads secrets from a descriptor."""
        reading, writing = os.pipe()
        os.write(writing, ("\n".join(lines) + "\n").encode())
        os.close(writing)
        try:
            return w.cardlink(*words, option, reading, terminal=terminal, ok=(0, 1, 3), pass_fds=(reading,), timeout=60 * PATIENCE)[-1]
        finally:
            os.close(reading)

    def acts(self, terminal):
        """Each act with a card or a password."""
        def typed(*lines, option="--pin-fd"):
            return lambda *words: self.handed(terminal, option, lines, *words)
        return [lambda: w.tap(terminal=terminal),
                lambda: typed(self.PIN, self.PIN)("pin", "change"),
                lambda: typed("12345678", self.PIN)("pin", "unblock"),
                lambda: typed(self.PIN)("--card", w.card_ids["Hanako"], "pin", "reset"),
                lambda: typed(self.PIN)("maintain", "begin", "--reason", "update"),
                lambda: typed("00000-00000-00000-00000", option="--code-fd")("register"),
                lambda: typed(self.PASSWORD, option="--password-fd")("login", "--name", "hanako", "--service", "library"),
                lambda: typed(self.PASSWORD, "an altogether other one", option="--password-fd")("password", "change", "--name", "hanako")]

    def test_what_people_type_is_in_the_log_as_the_agents_taps_are(self):
        w.add_nginx("library", level="password")
        w.enrol("Hanako", "library")
        self.handed_ctl(self.PASSWORD, "password", "set", "hanako", "--holder", "Hanako")
        w.write_terminal_configuration("desk")
        with open(w.etc / "desk.conf", "a") as file:
            file.write("log_every = 1\n")
        w.cardlink("enrol", "--name", "desk", terminal="desk")
        w.ctl("terminal", "enrol", "--name", "desk", "--certificate", w.etc / "desk.pem", "--rate", 1000, "--passwords")
        w.insert_card("Hanako")
        before, said = w.size(), []
        beside = w.etc / "beside.conf"      # the same terminal, at a reader where nothing lies: two looks at a virtual card meet
        beside.write_text(re.sub('readers = ".*"', f'readers = "virtual:{w.folder}/no-card"', (w.etc / "desk.conf").read_text()))
        agent = w.spawn("beside", [w.program("cardlink"), "--config", beside, "--json", "agent"])
        for ask in self.acts("desk"):
            done = ask()
            said.append(done.get("outcome") or done["code"])
        self.assertEqual(said, ["accepted"] * 3 + ["pin.reset_refused", "maintenance.refused", "card.foreign"] + ["accepted"] * 2)

        def entries():
            return w.ctl("terminal", "log", "desk", "--last", 1000)["entries"]
        wait_until("the log", lambda: [entry["event"] for entry in entries()].count("tap.ended") == len(said), 20 * PATIENCE, agent)
        w.stop_one("beside")
        log = w.ctl("terminal", "log", "desk", "--last", 1000)
        self.assertTrue(log["verified"], log["findings"])
        taps = [entry for entry in log["entries"] if entry["event"].startswith("tap.")]
        self.assertEqual([entry["event"] for entry in taps], ["tap.begun", "tap.ended"] * len(said))
        ended = [entry["text"].split() for entry in taps[1::2]]
        self.assertEqual([code for _, code in ended], said)
        recorded = {w.fields(leaf).get("tap") for leaf in w.leaves("--from", before)}
        for (tap, code), begun in zip(ended, taps[::2]):
            self.assertIn(begun["text"], (tap, "-"))
            self.assertIn(tap, {"-"} if code == "card.foreign" else recorded)
        for secret in (self.PIN, self.PASSWORD, "hanako", "library"):
            self.assertNotIn(secret, str(log["entries"]))

    @staticmethod
    def handed_ctl(secret, *words):
        reading, writing = os.pipe()
        os.write(writing, secret.encode())
        os.close(writing)
        try:
            return w.ctl(*words, "--password-fd", reading, pass_fds=(reading,))
        finally:
            os.close(reading)

    @staticmethod
    def fill(name, first):
        """A log without room for another tap, whose first entry has that number."""
        head, number = bytes(32), first - 1
        data = b"cblog 1\n" + struct.pack(">Q", number) + head
        while len(data) < (1024 - 64) * 1024:
            entry = struct.pack(">QBB", 1700000000000000, 4, 200) + b"x" * 200
            number += 1
            head = hashlib.sha256(b"cardbroker terminal log entry 1\0" + head + struct.pack(">Q", number) + entry).digest()
            data += entry + head[:8]
        path = w.etc / f"{name}.key.log"
        path.write_bytes(data)
        path.chmod(0o600)
        return number

    def test_who_types_at_a_terminal_gets_nothing_while_its_log_is_full(self):
        w.enrol_terminal_freely("full")
        w.insert_card("Hanako")
        self.addCleanup(w.insert_card, "Hanako")
        self.fill("full", 6)            # the broker does not take what is not the first
        card = (w.cards / "Hanako.card").read_bytes()
        before = w.size()
        for ask in self.acts("full"):
            self.assertEqual(ask()["code"], "terminal.log_full")
            self.assertEqual(w.last_status, 1)
        self.assertEqual([leaf["kind"] for leaf in w.leaves("--from", before)], ["terminal.log_refused"])
        self.assertEqual((w.cards / "Hanako.card").read_bytes(), card)
        self.assertEqual(self.known("full"), 0)
        w.remove_card()     # nor is a card waited for, and the broker asked meanwhile what to say to it
        self.assertEqual(w.tap(terminal="full", seconds=1)["code"], "terminal.log_full")

    def test_a_full_log_is_brought_by_who_finds_it_where_no_agent_runs(self):
        w.enrol_terminal_freely("unattended")
        w.insert_card("Hanako")
        last = self.fill("unattended", 1)
        self.assertEqual(w.tap(terminal="unattended").get("outcome"), "accepted")
        self.assertEqual(self.known("unattended"), last)
        w.cardlink("report", terminal="unattended")
        log = w.ctl("terminal", "log", "unattended", "--last", 3)
        self.assertTrue(log["verified"], log["findings"])
        self.assertEqual([entry["event"] for entry in log["entries"]], ["tap.begun", "tap.ended", "started"])

    def test_a_full_log_is_brought_before_the_connection_for_the_tap_is_opened(self):
        """It is brought with the key of now, and the one of before, which an older connection shows, is not heard after that."""
        w.make("hurried")
        self.addCleanup(w.insert_card, "Hanako")
        w.remove_card()
        last = self.fill("hurried", 1)
        typed = w.spawn("hurried", [w.program("cardlink"), "--config", w.etc / "hurried.conf", "tap", "--service", "nginx", "--timeout", 60 * PATIENCE])
        wait_until("it to ask for the card", lambda: "Present the card" in w.log_of("hurried"), 20 * PATIENCE, typed)
        w.cardlink("renew", terminal="hurried")
        w.insert_card("Hanako")
        wait_until("the tap", lambda: typed.poll() is not None, 60 * PATIENCE)
        self.assertEqual(typed.returncode, 0, w.log_of("hurried"))
        self.assertEqual(self.known("hurried"), last)


class ZRecord(unittest.TestCase):
    def test_the_record_of_it_all_verifies(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])


class ZStrangers(unittest.TestCase):
    """The last, for it uses up what all may try in a minute."""

    def test_who_has_the_code_is_not_kept_out_by_those_who_guess(self):
        code = w.register("crowded")["code"]
        csr, _ = request("guessed")
        said = [apply("nobody", wrong(code), csr) for _ in range(GUESSES + 1)]
        self.assertEqual((said[-1].status, said[-1].code), (503, "activation.rate"))
        self.assertEqual(w.activate("crowded", code)["event"], "activated")


if __name__ == "__main__":
    main()

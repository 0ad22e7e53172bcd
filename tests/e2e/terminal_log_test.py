# SPDX-License-Identifier: GPL-3.0-or-later
"""The log that a terminal keeps of itself: what its agent and the people at it do is in it, it is brought whole and stays as it was, and who finds
it full gets nothing."""

import hashlib
import os
import re
import signal
import sqlite3
import struct
import time
import unittest

from terminal_world import Registry
from world import PATIENCE, Failure, Terminal, main, run, wait_until

w = None


def setUpModule():
    global w
    w = Registry()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_holder("Hanako")
    w.insert_card("Hanako")


class Log(unittest.TestCase):
    def agent(self, name, program):
        return w.spawn(program, [w.program("cardlink"), "--config", w.etc / f"{name}.conf", "--json", "agent", "--service", "nginx"])

    def tap(self, program, agent):
        """As people do it: a card that was not answered for in time, on a machine that is busy, is put there again."""
        def said(word):
            return w.log_of(program).count(word)

        accepted = said('"accepted"')
        for _ in range(5):
            w.remove_card()
            wait_until("the agent", lambda: said('"reader.ready"') and said('"event":"card.present"') == said('"event":"card.removed"'), 20 * PATIENCE, agent)
            torn = said('"code":"card.removed"')
            w.insert_card("Hanako")
            try:
                wait_until("a tap", lambda: said('"accepted"') > accepted or said('"code":"card.removed"') > torn, 20 * PATIENCE, agent)
            except Failure as failure:
                raise Failure(f"{failure}\n{agent.last_words()}") from None
            if said('"accepted"') > accepted:
                return
        self.fail(agent.last_words())

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
        said = [leaf["kind"] for leaf in w.leaves("--from", before)]
        self.assertEqual([kind for kind in said if kind != "session.ended"], ["terminal.log_refused"])     # earlier taps' may end now
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


if __name__ == "__main__":
    main()

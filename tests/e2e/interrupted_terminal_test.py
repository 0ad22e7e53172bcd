# SPDX-License-Identifier: GPL-3.0-or-later
"""What a terminal asks for itself, and what a holder without a card asks for, while the link is lost: a terminal's activation, the renewal of its
key and the new key's first use, its end, and a suspension by a code. The link is the terminal's own TLS; an undisturbed run is counted, and then
it is torn at its records: once, and so that it stays away until whoever asked asks again. Ordinarily at the first and the last of them, where a
question and its answer are, or also at each with which the other side has its turn; CARDBROKER_FAULTS=all takes every one.

What is asked again is done, or was, and the record has it once."""

import sys
import threading
import unittest
from pathlib import Path

from steps import ALL
from terminal_world import Registry, wrong
from world import PATIENCE, Terminal, main, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from cuts import TornLink  # noqa: E402

w = link = None
LAST = 5    # records: the question's, its answer's, and the end of the connection


def setUpModule():
    global w, link
    w = Registry()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_holder("Hanako")
    link = TornLink(w.port)
    unittest.addModuleCleanup(link.close)


def lead(name):
    """Its way to the broker, from now on."""
    path = w.etc / f"{name}.conf"
    path.write_text(path.read_text().replace(f"localhost:{w.port}", f"localhost:{link.port}"))


def size():
    return w.admin("GET", "/v1/status").json["store"]["leaves"]


def leaves_since(position):
    said = w.admin("GET", f"/v1/audit/leaves?from={position}&count=100").json["leaves"]
    return [w.fields({"leaf": bytes.fromhex(leaf["data"]).decode()}) for leaf in said]


class Torn:
    """One thing that is asked for, each time by somebody new."""

    words = ()          # what is typed
    advice = "then try again"
    leaf = None         # of it in the record
    connection = 1      # on which it is asked for
    made = 0

    def prepare(self):
        """Somebody who may ask for it: his name."""
        Torn.made += 1
        name = f"torn {Torn.made}"
        w.write_terminal_configuration(name)
        self.before = size()
        self.identity = w.admin("POST", "/v1/terminals", {"name": name, "services": ["nginx"], "rate": 1000}).json
        self.code = self.identity["code"]
        return name

    def ask(self, name):
        """What it says, event by event."""
        return w.cardlink(*self.words, terminal=name, ok=(0, 1, 69), timeout=60 * PATIENCE)

    def times(self, kind=None):
        """How often the record has it."""
        return [(leaf["kind"], leaf.get("terminal")) for leaf in leaves_since(self.before)].count((kind or self.leaf, self.identity["id"]))

    def done(self, name, said):
        """What holds when it says that it was."""

    def begin(self):
        name = self.prepare()
        lead(name)
        return name

    def places(self, turns=False):
        """Where to tear it; by number."""
        name = self.begin()
        link.arm(connection=self.connection)
        said = self.ask(name)
        ways = link.records
        self.done(name, said)
        self.assertEqual(self.times(), 1)
        return [(nth, f"record {nth} of {len(ways)}, {way}") for nth, way in enumerate(ways, 1)
                if ALL or nth == 1 or nth > len(ways) - LAST or (turns and way != ways[nth - 2])]

    def failed(self, said, what):
        problem = said[-1]
        self.assertEqual((problem.get("code"), w.last_status), ("broker.unreachable", 69), f"{what}: {said}")
        self.assertIn(self.advice, problem["detail"], what)

    def test_a_link_that_is_torn_once_is_not_noticed(self):
        for nth, what in self.places():
            with self.subTest(what):
                link.arm()
                name = self.begin()
                link.arm(nth, connection=self.connection)
                said = self.ask(name)
                self.done(name, said)
                self.assertEqual(self.times(), 1, what)

    def test_a_link_that_stays_away_is_said_and_what_is_asked_again_is_done_once(self):
        seen = set()
        for nth, what in self.places(turns=True):
            with self.subTest(what):
                link.arm()
                name = self.begin()
                link.arm(nth, stays_down=True, connection=self.connection)
                said = self.ask(name)
                if w.last_status != 0:      # otherwise it had its answer
                    self.failed(said, what)
                    seen.add(self.times())
                    link.arm()
                    said = self.ask(name)
                self.done(name, said)
                self.assertEqual(self.times(), 1, what)
        self.assertEqual(seen, {0, 1}, "it was done, and not done, when the link was lost")


class Activation(Torn, unittest.TestCase):
    leaf = "terminal.activated"

    def ask(self, name):
        key = w.etc / f"{name}.key"
        before = key.read_bytes() if key.exists() else None
        said = w.cardlink("activate", "--name", name, terminal=name, pin=[self.code], ok=(0, 1, 69), timeout=60 * PATIENCE)
        self.assertIn(before, (None, key.read_bytes()), "a key is kept, whatever has become of the answer")
        return said

    def done(self, name, said):
        self.assertEqual(said[-1].get("event"), "activated", said)
        link.arm()
        self.assertIn("services", w.cardlink("services", terminal=name)[-1])
        self.assertEqual(self.times("terminal.code"), 1)

    def lose_the_answer(self):
        """An activation that the broker did and its terminal has not heard of."""
        for nth, _ in reversed(self.places()):
            link.arm()
            name = self.begin()
            link.arm(nth, stays_down=True, connection=self.connection)
            if self.ask(name)[-1].get("code") and self.times() == 1:
                link.arm()
                return name
        self.fail("no answer was lost")

    def test_one_whose_answer_was_lost_is_told_again_also_after_the_code_was_used_up(self):
        name = self.lose_the_answer()
        csr, _ = w.request("guesser")
        with Terminal(w, None) as nobody:
            codes = [wrong(self.code)] * 6 + [self.code]      # for another key it has been good for nothing, from the beginning
            answers = [nobody.ask("POST", "/v1/activations", {"name": name, "code": code, "request": csr.hex()}) for code in codes]
        self.assertEqual({answer.code for answer in answers}, {"activation.refused"})
        self.done(name, self.ask(name))
        self.assertEqual(self.times(), 1)


class OfActive(Torn):
    """Somebody whose terminal works."""

    def prepare(self):
        name = super().prepare()
        w.activate(name, self.code)
        return name


class Renewal(OfActive, unittest.TestCase):
    words, leaf = ("renew",), "terminal.certified"

    def done(self, name, said):
        self.assertEqual(said[-1].get("event"), "renewed", said)
        link.arm()
        self.assertIn("services", w.cardlink("services", terminal=name)[-1])
        self.assertEqual(sorted(file.name for file in w.etc.glob(f"{name}.*.next")), [])
        self.assertEqual(self.times("terminal.renewed"), 1)

    def test_the_same_request_many_times_at_once_makes_one_certificate(self):
        """As when a request is asked again while the broker is at work on it."""
        name = self.prepare()
        csr, _ = w.request("at once")
        together, answers = threading.Barrier(8), []

        def ask():
            with Terminal(w, name) as terminal:
                self.assertEqual(terminal.ask("GET", "/v1/services").status, 200)
                together.wait(60 * PATIENCE)
                answers.append(terminal.ask("POST", "/v1/certificate", {"request": csr.hex()}))

        threads = [threading.Thread(target=ask) for _ in range(together.parties)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([answer.status for answer in answers], [200] * together.parties, answers)
        self.assertEqual(len({answer.json["certificate"] for answer in answers}), 1)
        self.assertEqual(self.times(), 1)


class FirstUse(OfActive, unittest.TestCase):
    """Of a new key, which takes the place of the one before with it."""

    words, leaf = ("services",), "terminal.renewed"

    def prepare(self):
        name = super().prepare()
        w.cardlink("renew", terminal=name)
        return name

    def done(self, name, said):
        self.assertEqual(said[-1].get("services"), [{"name": "nginx", "title": "nginx", "level": 1}], said)


class Suspension(Torn, unittest.TestCase):
    words = ("suspend",)
    advice = "the same code"

    def prepare(self):
        """Hanako, at home."""
        name, self.card = "at home", w.card_ids["Hanako"]
        if self.state() == "suspended":
            w.ctl("card", "resume", self.card)
        w.write_terminal_configuration(name)
        self.code, self.before = w.ctl("card", "suspension-code", self.card)["suspension_code"], size()
        return name

    def ask(self, name):
        return w.cardlink("suspend", terminal=name, pin=[self.code], ok=(0, 1, 69), timeout=60 * PATIENCE)

    def state(self):
        return w.admin("GET", f"/v1/cards/{self.card}").json["state"]

    def times(self, kind=None):
        return [(leaf["kind"], leaf.get("card")) for leaf in leaves_since(self.before)].count(("card.suspended", self.card))

    def done(self, name, said):
        self.assertEqual(said[-1].get("event"), "suspended", said)
        self.assertEqual(self.state(), "suspended")


class Ending(OfActive):
    """Keys are erased whatever becomes of the link, so that nothing can be asked again; whether the broker knows, the terminal says."""

    state = None
    connection, seen = 2, {0, 1}    # on the first it has brought the last of its log

    def done(self, name, said):
        events = [one["event"] for one in said]
        if said[0].get("code") == "broker.timeout":     # it gives the broker three seconds
            events[0] = "broker.told"
            wait_until("the broker to have done it", lambda: self.shown() == self.state, 20 * PATIENCE)
        self.assertEqual(events, ["broker.told", "erased"], said)
        self.assertTrue(w.gone(name))
        self.assertEqual(self.shown(), self.state)

    def shown(self):
        return w.admin("GET", f"/v1/terminals/{self.identity['id']}").json["state"]

    def test_a_link_that_stays_away_is_said_and_what_is_asked_again_is_done_once(self):
        seen = set()
        for nth, what in self.places():
            with self.subTest(what):
                link.arm()
                name = self.begin()
                link.arm(nth, stays_down=True, connection=self.connection)
                said = self.ask(name)
                self.assertEqual([one["event"] for one in said][1:], ["erased"], said)
                self.assertTrue(w.gone(name))
                told, knows = said[0]["event"] == "broker.told", self.times()
                self.assertIn(knows, (1,) if told else (0, 1), what)
                if not told:
                    self.assertIn(said[0]["code"], ("broker.unreachable", "broker.timeout"), said)
                    seen.add(knows)
                if not knows:       # what the terminal says is to be done
                    w.ctl("terminal", "revoke", name)
                self.assertEqual(self.shown(), self.state if knows else "revoked")
        self.assertLessEqual(self.seen, seen)


class Erasing(Ending, unittest.TestCase):
    words, leaf, state = ("erase",), "terminal.revoked", "revoked"

    def test_one_that_was_deactivated_before_says_that_it_is_over_and_is_revoked(self):
        link.arm()
        name = self.begin()
        w.ctl("terminal", "deactivate", name, "--reason", "closed")
        self.assertEqual([event["event"] for event in self.ask(name)], ["broker.told", "erased"])
        self.assertTrue(w.gone(name))
        self.assertEqual(self.shown(), "revoked")
        of_it = [(leaf["actor"], leaf["reason"]) for leaf in leaves_since(self.before)
                 if (leaf["kind"], leaf.get("terminal")) == (self.leaf, self.identity["id"])]
        self.assertEqual(of_it, [("terminal", "erased")])


class Opened(Ending, unittest.TestCase):
    words, leaf, state = ("tamper",), "terminal.deactivated", "deactivated"

    def test_one_that_was_deactivated_before_is_recorded_as_opened(self):
        link.arm()
        name = self.begin()
        w.ctl("terminal", "deactivate", name, "--reason", "closed")
        with Terminal(w, name) as terminal:
            for _ in range(3):
                answer = terminal.ask("POST", "/v1/terminal/end", {"reason": "tamper"})
                self.assertEqual((answer.status, answer.json), (200, {"state": "deactivated"}))
            self.assertEqual(terminal.ask("GET", "/v1/services").code, "terminal.deactivated", "and nothing else is")
        self.assertEqual([event["event"] for event in self.ask(name)], ["broker.told", "erased"])
        of_it = [(leaf["actor"], leaf["reason"]) for leaf in leaves_since(self.before)
                 if (leaf["kind"], leaf.get("terminal")) == (self.leaf, self.identity["id"])]
        self.assertEqual([reason for _, reason in of_it], ["closed", "tamper"])
        self.assertEqual(of_it[1][0], "terminal")


class OpenedWhileTheLogIsBrought(Opened):
    connection, seen = 1, {0}


class ZRecord(unittest.TestCase):
    def test_the_record_is_whole(self):
        self.assertTrue(w.verify()["verified"])


if __name__ == "__main__":
    main()

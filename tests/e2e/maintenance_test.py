# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance of terminals: begun and ended by a maintainer's card and PIN."""

import unittest

from foreign_world import PIN as PIV_PIN, ForeignWorld
from world import PATIENCE, Card, Terminal, main, wait_until

PIN = "123456"

w = None


def setUpModule():
    global w
    w = ForeignWorld()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_holder("Hanako")
    w.add_holder("Mika")
    w.add_piv_holder("Kenji", services=())


class Maintenance(unittest.TestCase):
    """In the order of their names."""

    def maintain(self, act, card, pin=PIN, reason="update"):
        w.insert_card(card)
        return w.cardlink("maintain", act, "--reason", reason, "--timeout", 10, pin=[pin], ok=(0, 1, 2, 3), timeout=60 * PATIENCE)[-1]

    def state(self):
        return w.ctl("terminal", "show", "terminal")["state"]

    def test_1_only_a_maintainer_begins_it(self):
        self.assertEqual(self.maintain("begin", "Hanako")["code"], "maintenance.refused")
        leaf = w.fields([leaf for leaf in w.leaves() if leaf["kind"] == "tap.refused"][-1])
        self.assertEqual((leaf["outcome"], leaf["purpose"], leaf["holder"]), ("maintenance.refused", "maintenance", w.holders["Hanako"]))
        w.ctl("maintainer", "add", "--holder", "Mika", "--terminal", "terminal")
        self.assertEqual(self.maintain("begin", "Mika", pin="999999")["code"], "pin.wrong")
        before = w.size()
        self.assertEqual(self.maintain("begin", "Mika", reason="No Word")["code"], "request.invalid")
        with Terminal(w) as terminal, Card(w.reader) as reader:     # without a PIN, which comes after
            begun = terminal.begin()
            asked = terminal.ask("POST", f"/v1/taps/{begun.json['tap']}/challenge",
                                 {"answers": reader.play(begun.json["script"]), "purpose": "maintenance", "text": "No Word"})
            self.assertEqual(asked.code, "request.invalid")
        self.assertEqual(w.size(), before, "no tap was spent on it")
        self.assertEqual(self.state(), "active")
        self.assertEqual(self.maintain("end", "Mika")["code"], "resource.state")

    def test_2_meanwhile_it_serves_nobody_and_it_ends_with_the_card(self):
        with Terminal(w) as terminal:
            w.insert_card("Hanako")
            tap, answers = w.played(terminal, None)
            self.assertEqual(self.maintain("begin", "Mika").get("outcome"), "accepted")
            self.assertEqual(terminal.proof(tap, answers).code, "terminal.maintenance")
            self.assertEqual(terminal.begin().code, "terminal.maintenance")
            begun = terminal.ask("POST", "/v1/taps", {"maintenance": True})
            with Card(w.reader) as card:
                asked = terminal.challenge(begun.json["tap"], card.play(begun.json["script"]))
            self.assertEqual(asked.code, "terminal.maintenance")
        shown = w.ctl("terminal", "show", "terminal")
        self.assertEqual((shown["state"], shown["maintenance"]["holder"], shown["maintenance"]["reason"], shown["maintenance"]["overdue"]),
                         ("maintenance", w.holders["Mika"], "update", False))
        w.insert_card("Hanako")
        self.assertEqual(w.tap().get("code"), "terminal.maintenance")
        agent = w.spawn("agent", [w.program("cardlink"), "--config", w.etc / "terminal.conf", "--json", "agent", "--service", "nginx"])
        wait_until("the refusal", lambda: "terminal.maintenance" in w.log_of("agent"), 20 * PATIENCE, agent)
        w.stop_one("agent")
        self.assertEqual(self.maintain("end", "Mika").get("outcome"), "accepted")
        self.assertEqual(w.tap_with("Hanako").get("outcome"), "accepted")
        leaves = [w.fields(leaf) for leaf in w.leaves() if leaf["kind"] in ("terminal.maintenance", "terminal.maintained")]
        self.assertEqual([(leaf["card"], leaf["holder"], leaf["reason"], leaf["reached"]) for leaf in leaves],
                         [(w.card_ids["Mika"], w.holders["Mika"], "update", "2")] * 2)
        w.cardlink("report")
        events = [entry["event"] for entry in w.ctl("terminal", "log", "terminal", "--last", 1000)["entries"]]
        self.assertLess(events.index("maintenance.begun"), events.index("maintenance.ended"))

    def test_3_a_card_that_others_issued_does_it_with_its_pin(self):
        w.ctl("maintainer", "add", "--holder", "Kenji")
        self.assertEqual(self.maintain("begin", "Kenji", pin=PIV_PIN).get("outcome"), "accepted")
        self.assertEqual(self.state(), "maintenance")
        w.ctl("terminal", "activate", "terminal", "--reason", "forgotten")
        self.assertEqual(self.state(), "active")
        self.assertEqual(w.tap_with("Hanako").get("outcome"), "accepted")

    def test_4_who_is_none_any_more_does_nothing_more(self):
        for row in w.ctl("maintainer", "list"):
            w.ctl("maintainer", "remove", row["id"])
        self.assertEqual(w.ctl("maintainer", "list"), [])
        self.assertEqual(self.maintain("begin", "Mika")["code"], "maintenance.refused")
        self.assertEqual(w.tap_with("Hanako").get("outcome"), "accepted")

    def test_5_the_record_verifies(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])


if __name__ == "__main__":
    main()

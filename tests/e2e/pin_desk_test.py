# SPDX-License-Identifier: GPL-3.0-or-later
"""A blocked PIN is set anew at a desk: a manager allows it for one card at one terminal, once, and nobody else can."""

import unittest

from world import Card, Terminal, main, world

w = None
PIN, FRESH, CODE = "1234", "246810", "87654321"


def setUpModule():
    global w
    w = world()
    w.add_holder("Hanako")
    w.add_nginx("secret", level="pin")
    w.enrol("Hanako", "secret")
    w.enrol_terminal_freely("desk", services=("nginx", "secret"))
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


class Desk(unittest.TestCase):
    def setUp(self):
        self.before = w.size()
        self.card = w.card_ids["Hanako"]

    def tearDown(self):
        self.assertTrue(w.verify()["verified"])

    def of_kind(self, kind):
        return [w.fields(leaf) for leaf in w.leaves("--from", self.before) if leaf["kind"] == kind]

    def unblock(self, *more, card=None, terminal="desk", ok=(0,)):
        return w.ctl("card", "unblock", card or self.card, "--terminal", terminal, "--reason", "forgotten", *more, ok=ok)

    def reset(self, pin=FRESH, card=None, terminal="desk"):
        """The last word of the desk's terminal."""
        return w.cardlink("--card", card or self.card, "pin", "reset", terminal=terminal, pin=[pin], ok=(0, 1, 3), timeout=60)[-1]

    def block(self):
        code = None
        while code != "pin.blocked":
            said = w.tap("secret", pin="9999", terminal="desk")
            code = said.get("code")
            self.assertIn(code, ("pin.wrong", "pin.blocked"), said)

    def test_1_a_manager_allows_it_and_the_holder_types_a_new_pin(self):
        self.block()
        self.assertEqual(self.reset().get("code"), "pin.reset_refused", "nobody allowed it")
        self.assertEqual(self.unblock()["seconds"], 600)
        self.assertEqual(self.reset(terminal="terminal").get("code"), "pin.reset_refused", "another terminal")
        said = self.reset()
        self.assertEqual(said.get("outcome"), "accepted", said)
        self.assertEqual(w.tap("secret", pin=FRESH, terminal="desk").get("outcome"), "accepted")
        self.assertEqual(w.tap("secret", pin=PIN, terminal="desk").get("code"), "pin.wrong")
        self.assertEqual(self.reset(PIN).get("code"), "pin.reset_refused", "it is good for one")
        self.assertEqual(w.tap("secret", pin=FRESH, terminal="desk").get("outcome"), "accepted")
        allowed, = self.of_kind("card.pin_reset_allowed")
        self.assertEqual((allowed["card"], allowed["reason"]), (self.card, "forgotten"))
        self.assertTrue(allowed["actor"])
        done, = self.of_kind("tap.pin")
        self.assertEqual((done["purpose"], done["outcome"], done["card"], done["terminal"]),
                         ("reset", "done", self.card, allowed["terminal"]))
        refused = [leaf for leaf in self.of_kind("tap.refused") if leaf.get("purpose") == "reset"]
        self.assertEqual([leaf["outcome"] for leaf in refused], ["pin.reset_refused"] * 3)
        log = w.log_of("cardbroker-hsmd")
        for event in ("pin.reset_allowed", '"pin.reset"'):
            self.assertIn(event, log)
        self.assertNotIn(FRESH, log + w.log_of("cardbrokerd"))

    def test_2_the_front_end_alone_allows_nothing(self):
        """The record says it, as one that was taken over could have it say; hsmd was not told by a manager."""
        shown = w.ctl("terminal", "list")
        desk = next(one["id"] for one in shown if one["name"] == "desk")
        done = w.admin("POST", f"/v1/cards/{self.card}/unblock", {"terminal": desk, "reason": "forgotten"})
        self.assertEqual(done.status, 200, done)
        self.assertEqual(self.reset("777777").get("code"), "pin.reset_refused")

    def test_3_a_permission_outlives_a_worker_and_so_does_its_use(self):
        self.unblock()
        w.stop_one("cardbroker-hsmd")
        w.start_hsmd()
        w.works_again()
        self.assertEqual(self.reset("111222").get("outcome"), "accepted")
        w.stop_one("cardbroker-hsmd")
        w.start_hsmd()
        w.works_again()
        self.assertEqual(self.reset("333444").get("code"), "pin.reset_refused")
        self.assertEqual(w.tap("secret", pin="111222", terminal="desk").get("outcome"), "accepted")

    def test_4_another_card_on_the_reader_takes_nothing(self):
        w.issue("Hanako", "Second")
        w.insert_card("Hanako")
        self.unblock(card=w.card_ids["Second"])
        self.assertEqual(self.reset("555666", card=w.card_ids["Second"]).get("code"), "pin.reset_refused")
        self.assertEqual(w.tap("secret", pin="111222", terminal="desk").get("outcome"), "accepted")
        self.assertEqual(self.of_kind("tap.pin"), [])

    def test_5_what_cannot_be_allowed(self):
        for more in (("--valid", "2h"), ("--valid", "0s")):
            self.unblock(*more, ok=(1, 2))
        w.issue("Hanako", "Away")
        w.ctl("card", "suspend", w.card_ids["Away"])
        self.unblock(card=w.card_ids["Away"], ok=(1,))
        self.unblock(card="000fffc5-3f88-4b21-a0d3-3619c77af0b6", ok=(1,))
        self.unblock(terminal="000fffc5-3f88-4b21-a0d3-3619c77af0b6", ok=(1,))
        self.assertEqual(self.of_kind("card.pin_reset_allowed"), [])
        for named in (w.card_ids["Away"], "000fffc5-3f88-4b21-a0d3-3619c77af0b6"):
            self.assertEqual(self.reset(card=named).get("code"), "pin.reset_refused", "what became of a card is nobody's to ask")
        refused = [leaf for leaf in self.of_kind("tap.refused") if leaf.get("purpose") == "reset"]
        self.assertEqual([(leaf["outcome"], leaf.get("card")) for leaf in refused], [("card.suspended", None), ("card.unknown", None)])

    def test_6_the_question_names_a_card_for_this_purpose_alone(self):
        with Terminal(w, "desk") as terminal, Card(w.reader) as reader:
            for more in ({"purpose": "pin_reset"}, {"purpose": "pin_unblock", "card": self.card},
                         {"purpose": "pin_reset", "card": self.card, "service": "nginx"},
                         {"purpose": "pin_reset", "card": self.card}):
                begun = terminal.begin()
                asked = terminal.ask("POST", f"/v1/taps/{begun.json['tap']}/challenge",
                                     {"answers": reader.play(begun.json["script"]), **more})
                self.assertEqual(asked.code, "request.invalid", more)


if __name__ == "__main__":
    main()

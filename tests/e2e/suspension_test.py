# SPDX-License-Identifier: GPL-3.0-or-later
"""A holder who has lost his card stops it himself, with the code from his letter, from a machine that nobody knows."""

import unittest

from world import Terminal, main, world

w = None


def setUpModule():
    global w
    w = world()
    w.add_holder("Hanako")
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


def by_hand(code):
    """Whoever reaches the broker, without a certificate."""
    with Terminal(w, None) as nobody:
        return nobody.ask("POST", "/v1/suspensions", {"code": code})


class Suspension(unittest.TestCase):
    def test_1_from_the_letter_to_a_card_that_opens_nothing(self):
        card = w.card_ids["Hanako"]
        made = w.ctl("card", "suspension-code", card)
        code = made["suspension_code"]
        self.assertEqual(made["id"], card)
        accepted = w.tap()
        self.assertEqual(accepted.get("outcome"), "accepted")

        mistyped = ("8" if code[0] == "7" else "7") + code[1:]
        self.assertEqual(w.cardlink("suspend", pin=[mistyped], ok=(1,))[-1]["code"], "request.malformed")
        self.assertEqual(w.tap().get("outcome"), "accepted")

        # A machine without an identity; small letters and spaces do not matter.
        w.write_terminal_configuration("at home")
        said = w.cardlink("suspend", terminal="at home", pin=[code.lower().replace("-", " ")])[-1]
        self.assertEqual(said["event"], "suspended", said)
        self.assertEqual(w.ctl("card", "show", card)["state"], "suspended")
        self.assertEqual(w.tap().get("code"), "card.suspended")

        leaf = [entry for entry in w.leaves() if entry["kind"] == "card.suspended"][-1]
        fields = w.fields(leaf)
        self.assertEqual((fields["card"], fields["actor"], fields["reason"]), (card, "holder", "suspension-code"))
        for place in (w.logs / "cardbrokerd.log", w.state / "cardbroker.db", w.state / "cardbroker.db-wal"):
            self.assertNotIn(code.encode(), place.read_bytes() if place.exists() else b"", place)

        # It is found, and lost again: the letter is still good.
        w.ctl("card", "resume", card)
        self.assertEqual(w.tap().get("outcome"), "accepted")
        self.assertEqual(by_hand(code).json, {"state": "suspended"})
        self.assertEqual(by_hand(code).json, {"state": "suspended"})
        self.assertEqual(w.tap().get("code"), "card.suspended")
        w.ctl("card", "resume", card)

    def test_2_no_card_has_another_code(self):
        first = w.ctl("card", "suspension-code", w.card_ids["Hanako"])["suspension_code"]
        w.ctl("card", "suspension-code", w.card_ids["Hanako"])
        before = w.size()
        refused = by_hand(first)
        self.assertEqual((refused.status, refused.code), (403, "suspension.refused"))
        self.assertEqual(w.size(), before, "a guess leaves nothing in the record")
        self.assertEqual(w.tap().get("outcome"), "accepted")

    def test_3_who_tries_many_has_to_wait(self):
        answers = [by_hand("00000-00000-00000-00000") for _ in range(12)]
        self.assertEqual((answers[-1].status, answers[-1].code), (503, "suspension.rate"))
        self.assertTrue(w.verify()["verified"])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""A holder who has lost his card stops it himself, with the code from his letter, from a machine that nobody knows."""

import unittest

from foreign_world import JPKI_PIN, ForeignWorld
from world import PATIENCE, Card, Terminal, main, wait_until

w = None
CODES_A_MINUTE = 30


class Patient(ForeignWorld):
    """An installation where one address may say more suspension codes in a minute than people do."""

    def configure(self):
        super().configure()
        with open(self.etc / "cardbroker.conf", "a", encoding="ascii") as file:
            file.write(f"limits {{ activations-per-address = {CODES_A_MINUTE} }}\n")


def setUpModule():
    global w
    w = Patient()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.write_terminal_configuration("at home")
    w.add_holder("Hanako")


def by_hand(code):
    """Whoever reaches the broker, without a certificate."""
    with Terminal(w, None) as nobody:
        return nobody.ask("POST", "/v1/suspensions", {"code": code})


class Suspension(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        w.insert_card("Hanako")

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

    def test_3_of_a_card_that_has_expired_the_code_for_another_in_its_place_ends(self):
        late = w.ctl("holder", "add", "--name", "Late")["id"]
        old = w.ctl("card", "issue", "--holder", late, "--certificate", w.make_card("Late"), "--expires", "2024-02-29", "--activate")["id"]
        letter = w.ctl("card", "suspension-code", old)["suspension_code"]
        wait_until("the card to expire", lambda: w.ctl("card", "show", old)["state"] == "expired", 20 * PATIENCE)
        self.assertEqual(by_hand(letter).json, {"state": "expired"})
        w.ctl("card", "suspend", old, ok=(1,))

        order = ("holder", "code", "Late", "--profile", "piv", "--in-place-of", old)
        codes = [w.ctl(*order)["code"] for _ in range(2)]
        states = lambda: {row["code"]: row["state"] for row in w.ctl("holder", "codes", "Late")}   # noqa: E731
        said = w.cardlink("suspend", terminal="at home", pin=[letter])[-1]
        self.assertEqual((said["event"], said["code_withdrawn"]), ("suspended", True), said)
        self.assertEqual(states(), dict.fromkeys(codes, "withdrawn"))
        codes.append(w.ctl(*order)["code"])
        done = w.ctl("card", "suspend", old, "--reason", "lost")
        self.assertEqual(done, {"id": old, "state": "expired", "codes_withdrawn": 1})
        self.assertEqual(states(), dict.fromkeys(codes, "withdrawn"))
        self.assertEqual(w.ctl("card", "show", old)["state"], "expired")

        ended = [w.fields(leaf) for leaf in w.leaves() if leaf["kind"] == "registration.withdrawn"]
        self.assertEqual(sorted(leaf["code"] for leaf in ended), sorted(codes))
        self.assertEqual({leaf["replaces"] for leaf in ended}, {old})
        self.assertEqual([leaf["reason"] for leaf in ended], ["suspension-code"] * 2 + ["lost"])
        self.assertEqual({leaf["actor"] for leaf in ended[:2]}, {"holder"})
        self.assertTrue(w.verify()["verified"])

    def test_4_who_tries_many_has_to_wait(self):
        answers = [by_hand("00000-00000-00000-00000") for _ in range(2 * CODES_A_MINUTE)]
        self.assertEqual((answers[-1].status, answers[-1].code), (503, "suspension.rate"))
        self.assertTrue(w.verify()["verified"])


class CardsOfOthers(unittest.TestCase):
    """The same letter, for a card that somebody else issued."""

    def add(self, name, make):
        make(name)
        w.add_foreign_holder(name, ("nginx",))
        w.enrol_terminal_freely(f"door of {name}")
        return w.ctl("card", "suspension-code", w.card_ids[name])["suspension_code"]

    def challenged(self, terminal, profile, pin):
        """A tap by hand up to the proof, as a terminal of that profile has it."""
        begun = terminal.ask("POST", "/v1/taps", {"profile": profile}).json
        with Card(w.reader) as card:
            script = terminal.challenge(begun["tap"], card.play(begun["script"])).json["script"]
            for item in script:
                if "pin" in item:
                    item["apdu"] += f"{len(pin):02x}{pin.encode().hex()}"
            return begun["tap"], card.play(script)

    def ends(self, profile, name, make, pin=None):
        code = self.add(name, make)
        card = w.card_ids[name]
        accepted = w.tap(pin=pin)
        self.assertEqual((accepted.get("outcome"), accepted.get("card")), ("accepted", card), accepted)
        browser, url = w.browser(), accepted["delivery"]["url"]
        self.assertIn(f"CN={name}", browser.get(url).text)
        page = "/".join(url.split("/")[:3]) + "/whoami"
        self.assertIn(f"CN={name}", browser.get(page).text)

        with Terminal(w, f"door of {name}") as terminal:
            tap, answers = self.challenged(terminal, profile, pin)
            before = w.size()
            said = w.cardlink("suspend", terminal="at home", pin=[code])[-1]
            self.assertEqual((said["event"], w.ctl("card", "show", card)["state"]), ("suspended", "suspended"), said)
            # What was under way, what was open, and what is begun afterwards.
            self.assertEqual(terminal.proof(tap, answers).code, "card.suspended")
        gone = browser.get(page)
        self.assertEqual((gone.status, "session.ended" in gone.text, "CN=" in gone.text), (410, True, False), gone.text)
        for typed in {None, pin}:     # without one, too: nobody is asked for it
            self.assertEqual(w.tap(pin=typed).get("code"), "card.suspended")

        leaves = [w.fields(leaf) for leaf in w.leaves("--from", before)]
        suspended, = [leaf for leaf in leaves if leaf["kind"] == "card.suspended"]
        self.assertEqual((suspended["card"], suspended["actor"], suspended["reason"]), (card, "holder", "suspension-code"))
        self.assertEqual({(leaf["outcome"], leaf["card"]) for leaf in leaves if leaf["kind"] == "tap.refused"}, {("card.suspended", card)})
        self.assertEqual([leaf["card"] for leaf in leaves if leaf["kind"] == "session.ended"], [card])
        self.assertEqual([leaf for leaf in leaves if leaf["kind"] in ("tap.intent", "tap.result")], [])

        # It is found, and lost again: an operator lifts it, the session stays over, and the letter is still good.
        for _ in range(2):
            w.ctl("card", "resume", card)
            self.assertEqual(w.tap(pin=pin).get("outcome"), "accepted")
            self.assertEqual(browser.get(page).status, 410)
            self.assertEqual(by_hand(code).json, {"state": "suspended"})
            self.assertEqual(w.tap(pin=pin).get("code"), "card.suspended")
        self.assertTrue(w.verify()["verified"])

    def test_a_piv_card(self):
        self.ends("piv", "Kenji", w.make_piv)

    def test_a_jpki_card(self):
        self.ends("jpki", "Yuki", w.make_jpki, JPKI_PIN)

    def test_an_scp03_card(self):
        self.ends("scp03", "Aoi", w.make_scp03)


if __name__ == "__main__":
    main()

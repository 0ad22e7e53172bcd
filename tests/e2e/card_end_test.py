# SPDX-License-Identifier: GPL-3.0-or-later
"""A revoked card that turns up is ended for good, by the broker's command inside the channel; no other card is."""

import sys
import unittest
from pathlib import Path

from world import Card, Terminal, main, world

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from cuts import AFTER, BEFORE, CutLink, CutReader  # noqa: E402

w = None
ACTIVE, TERMINATED = 2, 3


def setUpModule():
    global w
    w = world()
    w.add_holder("Hanako")
    w.enrol_terminal_freely("second")


def tearDownModule():
    if w:
        w.tear_down()


def life_of(card):
    """From the card's file (cardlink/card/native/state.c)."""
    return (w.cards / f"{card}.card").read_bytes()[6]


class Ending(unittest.TestCase):
    def revoked(self, name):
        w.issue("Hanako", name)
        w.ctl("card", "revoke", w.card_ids[name], "--reason", "lost")
        self.addCleanup(w.insert_card, "Hanako")
        w.insert_card(name)

    def setUp(self):
        self.before = w.size()

    def tearDown(self):
        self.assertTrue(w.verify()["verified"])

    def ended(self):
        return [w.fields(leaf) for leaf in w.leaves("--from", self.before) if leaf["kind"] == "tap.card_ended"]

    def test_at_its_next_contact_it_is_ended_and_the_record_has_its_word(self):
        self.revoked("Lost")
        said = w.tap()
        self.assertEqual((said.get("code"), said.get("card_ended")), ("card.revoked", True), said)
        self.assertEqual(life_of("Lost"), TERMINATED)
        leaf, = self.ended()
        self.assertEqual((leaf["card"], leaf["holder"], leaf["outcome"]), (w.card_ids["Lost"], w.holders["Hanako"], "done"))
        again = w.tap()
        self.assertEqual((again.get("code"), again.get("card_ended")), ("card.blocked", None), again)
        self.assertIn("card.ending", w.log_of("cardbroker-hsmd"))

    def test_a_suspended_card_is_not_ended(self):
        w.issue("Hanako", "Mislaid")
        w.ctl("card", "suspend", w.card_ids["Mislaid"])
        self.addCleanup(w.insert_card, "Hanako")
        w.insert_card("Mislaid")
        said = w.tap()
        self.assertEqual((said.get("code"), said.get("card_ended")), ("card.suspended", None), said)
        self.assertEqual(life_of("Mislaid"), ACTIVE)
        w.ctl("card", "resume", w.card_ids["Mislaid"])
        self.assertEqual(w.tap().get("outcome"), "accepted")

    def end(self, terminal, after, reader, **more):
        """A tap by hand that is to end the card of another; its last answer."""
        begun = terminal.begin()
        done = terminal.ask("POST", f"/v1/taps/{begun.json['tap']}/challenge",
                            {"answers": reader.play(begun.json["script"]), "purpose": "card_end", "after": after, **more})
        if done.status == 200:
            done = terminal.proof(begun.json["tap"], reader.play(done.json["script"]))
        return done

    def test_the_command_for_one_card_does_nothing_to_another(self):
        self.revoked("Stolen")
        with Terminal(w) as terminal, Terminal(w, "second") as second:
            tap, answers = w.played(terminal, None)
            refused = terminal.proof(tap, answers)
            self.assertEqual((refused.code, refused.json.get("may_end")), ("card.revoked", True), refused)
            w.insert_card("Hanako")
            with Card(w.reader) as reader:
                self.assertEqual(self.end(terminal, tap, reader).code, "card.status")
                self.assertEqual(self.end(second, tap, reader).code, "tap.unknown", "another terminal's tap")
                self.assertEqual(self.end(terminal, tap, reader, service="nginx").code, "request.invalid")
            good, proof = w.played(terminal, None)
            self.assertEqual(terminal.proof(good, proof).json.get("outcome"), "accepted")
            with Card(w.reader) as reader:
                self.assertEqual(self.end(terminal, good, reader).code, "tap.unknown", "a tap that was accepted")
            self.assertEqual(life_of("Hanako"), ACTIVE)
            self.assertEqual(self.ended(), [])
            # The one that it is for.
            w.insert_card("Stolen")
            with Card(w.reader) as reader:
                done = self.end(terminal, tap, reader)
            self.assertEqual((done.status, done.json.get("outcome")), (200, "card_ended"), done)
        self.assertEqual(life_of("Stolen"), TERMINATED)
        self.assertEqual(len(self.ended()), 1)

    def test_what_the_database_says_of_a_good_card_does_not_end_it(self):
        """Nor does the broker ask for it: hsmd's tests ask in its place (tests/unit/hsm/attacks_end.c)."""
        with Terminal(w) as terminal:
            w.insert_card("Hanako")
            with Card(w.reader) as reader:
                self.assertEqual(self.end(terminal, "000fffc5-3f88-4b21-a0d3-3619c77af0b6", reader).code, "tap.unknown")
        self.assertEqual(life_of("Hanako"), ACTIVE)

    def test_a_card_taken_away_at_any_command_is_ended_or_is_not(self):
        w.issue("Hanako", "Fleeing")
        w.issue("Hanako", "Counted")
        w.enrol_terminal_freely("cut")
        reader = CutReader(w.folder / "cut")
        self.addCleanup(reader.close)
        conf = w.etc / "cut.conf"
        conf.write_text(conf.read_text().replace(f'readers = "{w.readers}"', f'readers = "virtual:{reader.path}"'))
        for name in ("Counted", "Fleeing"):
            w.ctl("card", "revoke", w.card_ids[name])
        reader.lay(w.lay("Counted"))
        reader.arm()
        self.assertTrue(w.tap(terminal="cut").get("card_ended"))
        commands = reader.count
        reader.lay(w.lay("Fleeing"))
        cuts = [(nth, when) for nth in range(1, commands + 1) for when in (BEFORE, AFTER)]
        for nth, when in cuts:
            with self.subTest(f"{when} command {nth} of {commands}"):
                reader.arm(nth, when)
                said = w.tap(terminal="cut", seconds=5)
                self.assertIn(said.get("code"), ("card.removed", "card.revoked"), said)
                self.assertNotIn("card_ended", said)
                self.assertEqual(life_of("Fleeing"), TERMINATED if (nth, when) == cuts[-1] else ACTIVE)
        reader.arm()
        self.assertEqual(w.tap(terminal="cut").get("code"), "card.blocked")
        self.assertEqual(len(self.ended()), 1, "of the other: this one's last word was lost")
        removed = [w.fields(leaf) for leaf in w.leaves("--from", self.before) if leaf["kind"] == "tap.refused" and "told_by" in leaf["leaf"]]
        self.assertEqual({leaf["outcome"] for leaf in removed}, {"card.removed"})
        self.assertEqual(len(removed), len(cuts))

    def test_a_link_cut_at_any_exchange_leaves_it_ended_or_not_and_its_last_word_is_brought_again(self):
        w.enrol_terminal_freely("far")
        reader, link = CutReader(w.folder / "far"), CutLink(w, "far")
        self.addCleanup(reader.close)
        self.addCleanup(link.close)
        conf = w.etc / "far.conf"
        conf.write_text(conf.read_text().replace(f":{w.port}", f":{link.port}").replace(f'readers = "{w.readers}"', f'readers = "virtual:{reader.path}"')
                        + "timeout = 1\n")

        def revoked(card):
            w.issue("Hanako", card)
            w.ctl("card", "revoke", w.card_ids[card])
            reader.lay(w.lay(card))
            return card
        revoked("Linked-0")
        link.arm()
        self.assertTrue(w.tap(terminal="far").get("card_ended"))
        asked = [path.rpartition("/")[2] for path in link.paths]
        self.assertEqual(asked, ["taps", "challenge", "proof"] * 2)
        ended = 1
        cuts = [(nth, when, down) for nth in (4, 5, 6) for when in (BEFORE, AFTER) for down in (False, True)]
        for number, (nth, when, stays_down) in enumerate(cuts, 1):
            with self.subTest(f"{when} exchange {nth}, {'and none afterwards' if stays_down else 'once'}"):
                card = revoked(f"Linked-{number}")
                link.arm(nth, when, stays_down)
                said = w.tap(terminal="far")
                # The refusal stands, whatever becomes of the end.
                self.assertEqual(said.get("code"), "card.revoked", said)
                did = nth == 6 or (nth == 4 and not stays_down)     # a tap is begun once more, a challenge is not
                heard = did and (not stays_down or when == AFTER)
                self.assertEqual(life_of(card), TERMINATED if did else ACTIVE)
                self.assertEqual(said.get("card_ended"), True if did and not stays_down else None, said)
                ended += heard
                self.assertEqual([leaf["card"] for leaf in self.ended()].count(w.card_ids[card]), int(heard))
                link.arm()
                again = w.tap(terminal="far")
                self.assertEqual((again.get("code"), again.get("card_ended")), ("card.blocked", None) if did else ("card.revoked", True), again)
                ended += not did
        self.assertEqual(len(self.ended()), ended)


if __name__ == "__main__":
    main()

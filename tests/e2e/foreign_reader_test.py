# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards that somebody else issued (PIV, also with secure messaging; JPKI; SCP03) on a reader of a real pcscd: what they prove, what they say of a
wrong PIN, what their holder hears when they are taken away, and how a terminal finds out which of them lies there."""

import json
import sys
import unittest
from pathlib import Path

from foreign_world import JPKI_PIN, PIN, ForeignWorld
from world import PATIENCE, Failure, main, run, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from cuts import AFTER, APPLICATIONS, BEFORE, CutLink, CutReader  # noqa: E402

WRONG_PIN, WRONG_JPKI_PIN = "314159", "3141"
# Answers to reset of cards that speak one protocol alone; those that the virtual cards usually give offer both.
T0, T1 = "3B0643425049564F", "3B8601434250495631F8"
CHAIN, SELECT, GET_DATA, GET_RESPONSE, GENERAL_AUTHENTICATE = 0x10, 0xA4, 0xCB, 0xC0, 0x87
PLAIN, SECURED = ("P-256", "P-384", "RSA-T0", "RSA-T1"), ("secured-P-256", "secured-RSA")

w = reader = link = None


def keys(kind):
    return "--key", f"9A:{kind}", "--key", f"9E:{kind}"


def setUpModule():
    """Cards are registered at a reader without PC/SC, which takes less time; then the terminals get pcscd's."""
    global w, reader, link
    w = ForeignWorld()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    try:
        w.start_pcsc()
    except Failure as failure:
        if "not possible here" not in str(failure):
            raise
        print(f"skipped: {failure}", file=sys.stderr)
        sys.exit(77)
    w.add_nginx("desk", level="terminal-pin")
    w.add_holder("native")
    signer = w.content_signer("signer")
    for name, more in (("P-256", keys("ec-p256")), ("P-384", keys("ec-p384")), ("RSA-T0", (*keys("rsa-2048"), "--atr", T0)),
                       ("RSA-T1", (*keys("rsa-2048"), "--atr", T1)), ("secured-P-256", (*keys("ec-p256"), *signer)),
                       ("secured-RSA", (*keys("rsa-2048"), *signer))):
        w.add_piv_holder(name, *more, services=("nginx", "desk"))
    w.make_jpki("JPKI")
    w.add_foreign_holder("JPKI", ("nginx", "desk"))
    w.make_scp03("SCP03")
    w.add_foreign_holder("SCP03", ("nginx",))
    w.remove_card()
    w.readers = "pcsc"
    w.write_terminal_configuration("terminal")
    w.enrol_terminal_freely("cut")
    reader = CutReader(w.folder / "cut")
    unittest.addModuleCleanup(reader.close)
    link = CutLink(w, "cut", reader)
    unittest.addModuleCleanup(link.close)
    path = w.etc / "cut.conf"
    path.write_text(path.read_text().replace(f"localhost:{w.port}", f"localhost:{link.port}"))


def at_reader(*words):
    """A program that puts a card on pcscd's reader, where that listens."""
    w.spawn("card", [w.support("pcsc.sh"), "exec", w.pcsc_folder, *words])


def port():
    return run([w.support("pcsc.sh"), "port", w.pcsc_folder, "0"]).stdout.decode().strip()


def bring(card, nth=0, when=None):
    """A card, past one who counts its commands, and takes it away at the nth."""
    reader.lay(w.lay(card))
    reader.arm(nth, when)
    at_reader(sys.executable, w.support("vpcd_bridge.py"), "--port", port(), "--unix", reader.path)


def bring_alone(card, *more):
    """With nobody in between."""
    if f"reader of {card}" in w.programs:
        w.take_away(card)
    at_reader(w.program("cardlink-vcard"), *more, "--vpcd", f"127.0.0.1:{port()}", w.cards / f"{card}.card")


def bring_over_the_air(card):
    bring_alone(card, "--contactless")


def lay(card, how=bring):
    """Until it is seen. pcscd looks now and then: a card that comes before it has missed the last one stays unseen, and is laid down again."""
    for last in (False,) * 9 + (True,):
        w.remove_card()
        how(card)
        try:
            return wait_until(f"{card} on the reader", w.card_is_there, 10 * PATIENCE if last else 2 + PATIENCE, w.programs["card"])
        except Failure:
            if last or w.programs["card"].poll() is not None:
                raise
    return None


def pin_of(card):
    return {"JPKI": JPKI_PIN, "SCP03": None}.get(card, PIN)


def asks_for(card):
    """The most that it opens."""
    return "nginx" if card == "SCP03" else "desk"


class Through(unittest.TestCase):
    def accepted(self, card, said, level=None):
        self.assertEqual((said.get("outcome"), said.get("card"), said.get("holder")), ("accepted", w.card_ids[card], w.holders[card]), said)
        if level is not None:
            self.assertEqual(said["level"], level)

    def works(self, card, terminal="terminal"):
        self.accepted(card, w.tap(asks_for(card), pin=pin_of(card), terminal=terminal))


class Taps(Through):
    def piv(self, *cards):
        for card in cards:
            with self.subTest(card):
                lay(card)
                accepted = w.tap()
                self.accepted(card, accepted, 1)
                self.assertEqual(w.page_of(accepted)["subject"], f"CN={card}")
                self.assertEqual(w.tap("desk").get("code"), "pin.required")
                reader.arm()
                self.accepted(card, w.tap("desk", pin=PIN), 3)
                if "RSA" in card:   # question and answer are longer than a command and an answer can be
                    self.assertGreater(reader.chained, 0)
                    self.assertGreater(reader.fetched, 0)

    def test_piv_cards_prove_with_and_without_their_pin(self):
        self.piv(*PLAIN)

    def test_piv_cards_with_secure_messaging_do_so_inside_of_it(self):
        self.piv(*SECURED)
        self.assertIn((0x0C, GENERAL_AUTHENTICATE), {(head[0] & ~CHAIN, head[1]) for head in reader.heads})

    def test_a_jpki_card_proves_with_its_pin_and_nothing_without(self):
        lay("JPKI")
        self.assertEqual(w.tap().get("code"), "pin.required")
        for service in ("nginx", "desk"):
            self.accepted("JPKI", w.tap(service, pin=JPKI_PIN), 3)

    def test_an_scp03_card_proves_that_it_is_there(self):
        lay("SCP03", bring_alone)
        for _ in range(2):
            self.accepted("SCP03", w.tap(), 1)
        self.assertEqual(w.tap("desk", pin=PIN).get("code"), "tap.level")

    def test_the_tries_of_a_wrong_pin_are_told(self):
        for card, wrong in (("RSA-T1", WRONG_PIN), ("secured-P-256", WRONG_PIN), ("JPKI", WRONG_JPKI_PIN)):
            with self.subTest(card):
                lay(card)
                for left in (2, 1):
                    refused = w.tap("desk", pin=wrong)
                    self.assertEqual((refused.get("code"), refused.get("tries_left"), w.last_status), ("pin.wrong", left, 3), refused)
                    leaf = w.fields([leaf for leaf in w.leaves() if leaf["kind"] == "tap.refused"][-1])
                    self.assertEqual((leaf["outcome"], leaf["card"]), ("pin.wrong", w.card_ids[card]))
                self.works(card)
                self.assertEqual(w.tap("desk", pin=wrong).get("tries_left"), 2, "the right one gave them back")
                self.works(card)

    def test_a_piv_card_over_the_air_proves_without_its_pin_and_what_needs_it_is_out_of_reach(self):
        card = "secured-P-256"
        lay(card, bring_over_the_air)
        self.accepted(card, w.tap(), 1)
        self.assertEqual((w.tap("desk", pin=WRONG_PIN).get("code"), w.last_status), ("tap.level", 3))
        leaf = w.fields([leaf for leaf in w.leaves() if leaf["kind"] == "tap.refused"][-1])
        self.assertEqual((leaf["outcome"], leaf["card"]), ("tap.level", w.card_ids[card]))
        self.assertEqual(w.cardlink("read", "--timeout", "5", ok=(3,))[-1]["code"], "card.answer", "nor does it show all its certificates")
        lay(card)
        self.assertEqual(w.tap("desk", pin=WRONG_PIN).get("tries_left"), 2, "it had compared nothing")
        self.works(card)

    def test_after_the_last_try_it_is_blocked_and_says_so(self):
        lay("P-384")
        kept = (w.cards / "P-384.card").read_bytes()
        for _ in range(2):
            self.assertEqual(w.tap("desk", pin=WRONG_PIN).get("code"), "pin.wrong")
        for pin in (WRONG_PIN, PIN):
            self.assertEqual((w.tap("desk", pin=pin).get("code"), w.last_status), ("pin.blocked", 3))
        self.accepted("P-384", w.tap(), 1)  # which needs none
        w.remove_card()
        w.take_away("P-384")
        (w.cards / "P-384.card").write_bytes(kept)


class Removed(Through):
    """In the middle of a tap: at commands that are sent in parts, at answers that come in parts, at the last of all, and while the broker thinks."""

    def whole(self, card):
        """The commands of an undisturbed tap."""
        lay(card)
        self.works(card)
        return list(reader.heads)

    def gone(self, card, step, tap):
        """What came of a tap from which the card was taken; the next one works."""
        before = w.size()
        said = tap()
        self.assertEqual((said.get("code"), w.last_status), ("card.removed", 3), said)
        self.assertIn("present it again", said["detail"])
        leaves = [w.fields(leaf) for leaf in w.leaves("--from", before)]
        ends = [leaf for leaf in leaves if leaf["kind"] == "tap.refused"]
        self.assertEqual([(leaf["outcome"], leaf.get("step"), leaf.get("told_by")) for leaf in ends], [("card.removed", step, "terminal")], leaves)
        self.assertEqual([leaf for leaf in leaves if leaf["kind"] in ("tap.intent", "tap.result")], [])
        w.remove_card()
        self.assertEqual(w.tap(seconds=1).get("code"), "card.absent")
        lay(card)
        self.works(card)

    def cut(self, card, nth, when, step="challenged"):
        with self.subTest(card, nth=nth, when=when):
            w.remove_card()
            bring(card, nth, when)
            self.gone(card, step, lambda: w.tap(asks_for(card), pin=pin_of(card)))

    @staticmethod
    def where(heads, wanted):
        """The number of the last command that is so."""
        return max(number for number, head in enumerate(heads, 1) if wanted(head))

    def test_a_piv_card_while_a_long_question_goes_to_it(self):
        for card in ("RSA-T0", "secured-RSA"):
            heads = self.whole(card)
            self.cut(card, self.where(heads, lambda head: head[0] & CHAIN), AFTER)

    def test_a_piv_card_while_a_long_answer_comes_from_it(self):
        heads = self.whole("RSA-T1")
        self.cut("RSA-T1", self.where(heads, lambda head: head[1] == GET_RESPONSE), BEFORE)

    def test_a_piv_card_after_it_was_recognised_as_one(self):
        """Nobody has been asked who it is, yet."""
        self.assertEqual([head[1] for head in self.whole("P-256")[:3]], [SELECT, SELECT, GET_DATA])
        self.cut("P-256", 3, BEFORE, "begun")

    def test_a_jpki_card_that_has_signed(self):
        self.cut("JPKI", len(self.whole("JPKI")), AFTER)

    def test_an_scp03_card_that_has_answered(self):
        self.cut("SCP03", len(self.whole("SCP03")), AFTER)

    def meanwhile(self, card, then):
        """It happens while the broker is asked for the challenge."""
        lay(card)
        link.arm()
        self.works(card, "cut")
        link.arm_meanwhile(1 + next(n for n, path in enumerate(link.paths) if path.endswith("/challenge")), then)
        self.gone(card, "challenged", lambda: w.tap(asks_for(card), pin=pin_of(card), terminal="cut"))

    def test_a_card_that_is_gone_when_the_broker_has_answered(self):
        for card in ("secured-P-256", "SCP03"):
            with self.subTest(card):
                self.meanwhile(card, w.remove_card)

    def test_a_card_that_was_laid_in_its_place_is_not_asked_anything(self):
        asked = []

        def swap():
            lay("P-384")
            reader.arm()

        def tap():
            said = w.tap("desk", pin=PIN, terminal="cut")
            asked.extend(reader.heads)
            return said
        lay("P-256")
        link.arm()
        self.works("P-256", "cut")
        link.arm_meanwhile(1 + next(n for n, path in enumerate(link.paths) if path.endswith("/challenge")), swap)
        self.gone("P-256", "challenged", tap)
        self.assertEqual(asked, [])


class Order(Through):
    """Which application is looked for first: as configured, or as the ATR suggests that pcscd says."""

    @classmethod
    def setUpClass(cls):
        w.write_terminal_configuration("ordered")
        w.enrol_terminal_freely("ordered")
        cls.plain = (w.etc / "ordered.conf").read_text()

    def atr_of(self, card):
        """As the card has it, which is as pcscd has it."""
        lay(card)
        shown = run([w.program("cardlink-vcard"), "--show", w.cards / f"{card}.card"]).stdout.decode().split("ATR ")[1].split()[0]
        seen, = [one["atr"] for one in w.cardlink("readers") if one.get("atr")]
        self.assertEqual(seen.upper(), shown.upper())
        return shown

    def looked_for(self, card):
        lay(card)
        self.works(card, "ordered")
        return [APPLICATIONS[name] for name in reader.selected]

    def test_a_card_is_found_as_configured_or_at_once_by_its_atr(self):
        self.assertEqual(self.looked_for("SCP03"), ["native", "piv", "jpki", "scp03"])
        self.assertEqual(self.looked_for("JPKI"), ["jpki"], "this one is known")
        self.assertEqual(self.looked_for("RSA-T0"), ["native", "piv"])
        hints = {"RSA-T0": "piv", "SCP03": "scp03", "P-256": "jpki"}
        (w.etc / "ordered.conf").write_text(self.plain + "".join(f'atr "{self.atr_of(card)}" {{ profile = "{profile}" }}\n'
                                                                 for card, profile in hints.items()))
        self.assertEqual(self.looked_for("P-256"), ["jpki", "native", "piv"], "a wrong one costs a command")
        self.assertEqual(self.looked_for("SCP03"), ["scp03"])
        self.assertEqual(self.looked_for("RSA-T0"), ["piv"])
        self.assertEqual(self.looked_for("RSA-T1"), ["native", "piv"], "of the same kind with another ATR nothing was said")


class Agent(Through):
    """It waits at the reader, and cards of all kinds come."""

    started = 0

    def setUp(self):
        w.remove_card()
        Agent.started += 1
        self.name = f"agent-{self.started}"
        self.agent = w.spawn(self.name, [w.program("cardlink"), "--config", w.etc / "terminal.conf", "--json", "agent", "--service", "nginx"])
        self.addCleanup(w.stop_one, self.name)
        wait_until("the agent to be ready", lambda: self.events("reader.ready"), 20 * PATIENCE, self.agent)

    def events(self, *kinds):
        said = (json.loads(line) for line in w.log_of(self.name).splitlines() if line.startswith("{") and line.endswith("}"))
        return [event for event in said if event.get("event") in kinds]

    def said_of(self, what, number):
        """What it said of the tap of that number."""
        wait_until(what, lambda: len(self.events("tap.accepted", "tap.refused")) >= number, 20 * PATIENCE, self.agent)
        said = self.events("tap.accepted", "tap.refused")
        self.assertEqual(len(said), number, said)
        return said[-1]

    def test_each_card_is_found_out_and_served_once_whatever_lay_there_before(self):
        before = w.size()
        cards = ("P-256", "SCP03", "native", "JPKI", "secured-P-256", "P-256")
        for number, card in enumerate(cards, 1):
            lay(card, bring_alone)
            said = self.said_of(f"{card}'s tap", number)
            if card == "JPKI":  # nobody typed its PIN
                self.assertEqual((said["event"], said["code"]), ("tap.refused", "pin.required"), said)
            else:
                self.assertEqual((said["event"], said["card"]), ("tap.accepted", w.card_ids[card]), said)
        results = [w.fields(leaf)["card"] for leaf in w.leaves("--from", before) if leaf["kind"] == "tap.result"]
        self.assertEqual(results, [w.card_ids[card] for card in cards if card != "JPKI"])

    def test_a_card_that_leaves_in_the_middle_is_followed_by_one_of_another_kind(self):
        for number, (card, nth, when, other) in enumerate((("RSA-T1", 5, AFTER, "SCP03"), ("SCP03", 6, BEFORE, "P-256"))):
            bring(card, nth, when)
            said = self.said_of(f"the end of {card}'s tap", 2 * number + 1)
            self.assertEqual((said["event"], said["code"]), ("tap.refused", "card.removed"), said)
            lay(other, bring_alone)
            said = self.said_of(f"{other}'s tap", 2 * number + 2)
            self.assertEqual((said["event"], said.get("card")), ("tap.accepted", w.card_ids[other]), said)
            w.remove_card()


class ZRecord(unittest.TestCase):
    def test_the_record_is_whole(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        self.assertEqual(report["open_intents"], 0)


if __name__ == "__main__":
    main()

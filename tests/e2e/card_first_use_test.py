# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a card when its holder first uses it: parts that are not its own, what was done with it before, copies of it."""

import hashlib
import unittest

from world import PATIENCE, main, wait_until, world

w = None
TRANSPORT_PIN, PIN = "123456", "2468"


def setUpModule():
    global w
    w = world()


def tearDownModule():
    if w:
        w.tear_down()


def file_of(card):
    return w.cards / f"{card}.card"


def write(card, content):
    file_of(card).write_bytes(bytes(content) + hashlib.sha256(content).digest())
    file_of(card).chmod(0o600)


class Layout:
    """Where things are in a card's file (cardlink/card/native/state.c)."""

    card, key = slice(7, 23), slice(23, 55)

    def __init__(self, content):
        self.certificate = slice(88, 88 + content[87])
        authority = self.certificate.stop + 1       # after how many there are
        self.authority = slice(authority + 3 + content[authority + 2], authority + 3 + content[authority + 2] + 65)
        self.counter = slice(len(content) - 210, len(content) - 206)    # with the digest's 32 bytes taken off


def changed(card, part, change):
    """A card's file with one part of it changed, and all that only guards against accidents right."""
    content = bytearray(file_of(card).read_bytes()[:-32])
    at = getattr(Layout(content), part)
    now = bytes(content[at])
    content[at] = change(now)
    assert content[at] != now and len(content) == len(file_of(card).read_bytes()) - 32
    write(card, content)


def set_counter(card, number):
    changed(card, "counter", lambda _: number.to_bytes(4, "big"))


def counter(card):
    content = file_of(card).read_bytes()[:-32]
    return int.from_bytes(content[Layout(content).counter], "big")


def in_transit(name):
    return w.make_card(name, pin=TRANSPORT_PIN, more=["--in-transit"])


def pin_change(card):
    w.insert_card(card)
    return w.cardlink("pin", "change", pin=[TRANSPORT_PIN, PIN], ok=(0, 1, 3), timeout=60 * PATIENCE)[-1]


def mismatches(card):
    return [m["what"] for m in w.ctl("report", "mismatches") if m["card"] == w.card_ids[card]]


class FirstUse(unittest.TestCase):
    def setUp(self):
        self.before = w.size()

    def tearDown(self):
        self.assertTrue(w.verify()["verified"])
        self.assertTrue(w.verify_database()["verified"])

    def of_kind(self, kind):
        return [w.fields(leaf) for leaf in w.leaves("--from", self.before) if leaf["kind"] == kind]

    def refused(self):
        """The outcomes of refused taps, with the card where one was known."""
        return [(leaf["outcome"], leaf.get("card")) for leaf in self.of_kind("tap.refused")]


class Parts(FirstUse):
    """A card whose parts are not those that it was made with is refused at its first tap, and that is recorded."""

    def refuses(self, name, part, change, code, known=False):
        w.add_holder(name)
        whole = file_of(name).read_bytes()
        changed(name, part, change)
        self.assertEqual(w.tap_with(name).get("code"), code)
        wait_until("it to be recorded", self.refused, 20 * PATIENCE)
        self.assertEqual(self.refused(), [(code, w.card_ids[name] if known else None)])
        self.assertEqual(self.of_kind("tap.intent") + self.of_kind("card.first_use"), [])
        # For that part alone.
        w.remove_card()
        file_of(name).write_bytes(whole)
        self.assertEqual(w.tap_with(name).get("outcome"), "accepted")
        self.assertEqual(len(self.of_kind("card.first_use")), 1)
        self.assertEqual(mismatches(name), [])

    def test_another_batch_certificate(self):
        self.refuses("Batch", "certificate", lambda now: now[:-1] + bytes([now[-1] ^ 1]), "card.certificate")

    def test_another_card_id(self):
        self.refuses("Id", "card", lambda now: now[:-1] + bytes([now[-1] ^ 1]), "card.unknown")

    def test_another_proof_key(self):
        self.refuses("Key", "key", lambda _: b"\x42" * 32, "card.proof", known=True)

    def test_another_authority_of_brokers(self):
        """It takes no broker for one then, and says nothing of itself."""
        w.make_card("other key")
        other = file_of("other key").read_bytes()
        point = other[Layout(other).certificate][-135:-70]  # a point on the curve: the batch's own
        self.assertEqual(point[0], 4)
        self.refuses("Authority", "authority", lambda _: point, "card.foreign")


class Counted(FirstUse):
    def test_the_first_tap_is_on_record_with_what_the_card_has_counted(self):
        w.add_holder("Fresh")
        for _ in range(2):
            self.assertEqual(w.tap_with("Fresh").get("outcome"), "accepted")
        used, = self.of_kind("card.first_use")
        self.assertEqual((used["card"], used["counter"], used["heard"], used["generation"]), (w.card_ids["Fresh"], "1", "1", "1"))
        self.assertEqual(used["tap"], self.of_kind("tap.result")[0]["tap"])
        self.assertEqual(mismatches("Fresh"), [])

    def test_a_card_that_was_used_on_its_way_is_for_people_to_look_at(self):
        holder = w.holders["Way"] = w.ctl("holder", "add", "--name", "Way")["id"]
        certificate = in_transit("Way")
        # Somebody has opened the letter: the card takes the PIN, and the broker knows of no such card.
        self.assertEqual(pin_change("Way").get("code"), "card.unknown")
        w.card_ids["Way"] = w.ctl("card", "issue", "--holder", holder, "--certificate", certificate, "--activate")["id"]
        w.enrol("Way", "nginx")
        self.assertEqual(w.tap_with("Way").get("outcome"), "accepted")
        used, = self.of_kind("card.first_use")
        self.assertEqual((used["counter"], used["heard"]), ("2", "1"))
        self.assertEqual(mismatches("Way"), ["used-before"])
        said, = [m for m in self.of_kind("stock.mismatch") if m.get("of_card") == w.card_ids["Way"]]
        self.assertEqual((said["what"], said["actor"]), ("used-before", "cardbrokerd"))
        self.assertIn("card.used_before", w.log_of("cardbrokerd"))
        self.assertEqual(w.tap_with("Way").get("outcome"), "accepted")
        self.assertEqual(mismatches("Way"), ["used-before"], "once")

    def test_a_card_that_is_active_here_and_in_transit_itself_takes_a_new_pin_and_nothing_else(self):
        holder = w.holders["Transit"] = w.ctl("holder", "add", "--name", "Transit")["id"]
        w.card_ids["Transit"] = w.ctl("card", "issue", "--holder", holder, "--certificate", in_transit("Transit"), "--activate")["id"]
        w.enrol("Transit", "nginx")
        self.assertEqual(w.tap_with("Transit").get("code"), "card.not_active")
        wait_until("it to be recorded", self.refused, 20 * PATIENCE)
        self.assertEqual([outcome for outcome, _ in self.refused()], ["card.not_active"])
        self.assertEqual(counter("Transit"), 0, "it has proven nothing")
        self.assertEqual(pin_change("Transit").get("outcome"), "accepted")
        self.assertEqual(w.tap_with("Transit").get("outcome"), "accepted")
        used, = self.of_kind("card.first_use")
        self.assertEqual((used["counter"], used["heard"], used["tap"]), ("1", "1", self.of_kind("tap.pin")[0]["tap"]))
        self.assertEqual(mismatches("Transit"), [])

    def test_refused_taps_explain_what_a_card_has_counted(self):
        w.add_holder("Early", active=False)
        self.assertEqual(w.tap_with("Early").get("code"), "card.not_active")
        w.ctl("card", "activate", w.card_ids["Early"])
        self.assertEqual(w.tap("nowhere").get("code"), "service.unknown")   # not asked to prove anything
        self.assertEqual(w.tap().get("outcome"), "accepted")
        used, = self.of_kind("card.first_use")
        self.assertEqual((used["counter"], used["heard"]), ("2", "2"))
        self.assertEqual(mismatches("Early"), [])

    def test_a_card_that_counts_more_than_came_here_gets_in_at_any_later_tap(self):
        w.add_holder("Torn")
        self.assertEqual(w.tap_with("Torn").get("outcome"), "accepted")
        w.remove_card()
        set_counter("Torn", 30)     # as if taps had been interrupted
        self.assertEqual(w.tap_with("Torn").get("outcome"), "accepted")
        self.assertEqual(mismatches("Torn"), [])


class Copies(FirstUse):
    def test_a_copy_is_refused_and_neither_of_the_two_gets_in(self):
        w.add_holder("Twice")
        self.assertEqual(w.tap_with("Twice").get("outcome"), "accepted")
        w.remove_card()
        file_of("copy").write_bytes(file_of("Twice").read_bytes())
        file_of("copy").chmod(0o600)
        self.assertEqual(w.tap_with("Twice").get("outcome"), "accepted")
        self.assertEqual(w.tap_with("copy").get("code"), "card.counter")
        self.assertEqual(self.refused(), [("card.counter", w.card_ids["Twice"])])
        self.assertEqual(mismatches("Twice"), ["counter-back"])
        suspended, = self.of_kind("card.suspended")
        self.assertEqual((suspended["card"], suspended["actor"], suspended["reason"]), (w.card_ids["Twice"], "cardbrokerd", "copied"))
        for card in ("copy", "Twice"):
            self.assertEqual(w.tap_with(card).get("code"), "card.suspended")
        self.assertIn("there is a copy of it", w.log_of("cardbrokerd"))

    def test_a_copy_that_sets_a_pin_is_one_too(self):
        w.add_holder("Pin")
        self.assertEqual(w.tap_with("Pin").get("outcome"), "accepted")
        w.remove_card()
        old = file_of("Pin").read_bytes()
        self.assertEqual(w.tap_with("Pin").get("outcome"), "accepted")
        w.remove_card()
        file_of("Pin").write_bytes(old)
        self.assertEqual(pin_change("Pin").get("code"), "card.counter")
        self.assertEqual(self.of_kind("tap.pin"), [])
        self.assertEqual(mismatches("Pin"), ["counter-back"])
        self.assertEqual(w.tap().get("code"), "card.suspended")


if __name__ == "__main__":
    main()

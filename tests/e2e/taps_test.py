# SPDX-License-Identifier: GPL-3.0-or-later
"""Taps: who gets in, who does not, and what either is told."""

import signal
import threading
import time
import unittest

from world import PATIENCE, Terminal, main, wait_until, world

w = None


def setUpModule():
    global w
    w = world()
    w.add_nginx("vault", level="pin")
    w.add_nginx("elsewhere")
    for name in ("Hanako", "Taro"):
        w.add_holder(name, services=("nginx", "vault"))


def tearDownModule():
    if w:
        w.tear_down()


class Accepted(unittest.TestCase):
    def test_a_tap_is_accepted_and_the_page_is_the_holders(self):
        accepted = w.tap_with("Hanako")
        self.assertEqual(accepted.get("outcome"), "accepted", accepted)
        self.assertEqual(accepted["holder"], w.holders["Hanako"])
        self.assertEqual(accepted["card"], w.card_ids["Hanako"])
        page = w.page_of(accepted)
        self.assertEqual(page["subject"], "CN=Hanako")
        self.assertEqual(page["verify"], "SUCCESS")

    def test_holders_who_alternate_each_see_their_own_page_and_each_tap_signs_once(self):
        before = w.size()
        for turn in range(20):
            name = ("Hanako", "Taro")[turn % 2]
            accepted = w.tap_with(name)
            self.assertEqual(accepted.get("holder"), w.holders[name], accepted)
            self.assertEqual(w.page_of(accepted)["subject"], f"CN={name}")
        results = [leaf for leaf in w.leaves("--from", before) if leaf["kind"] == "tap.result"]
        self.assertEqual(len(results), 20)
        for leaf in results:
            receipts = [line for line in leaf["leaf"].splitlines() if line.startswith("receipt ")]
            self.assertEqual(len(receipts), 1, leaf["leaf"])
        found = w.verify()
        self.assertTrue(found["verified"], found)
        self.assertEqual((found["receipts_genuine"], found["accepted_without_receipt"]), (found["receipts"], 0))

    def test_an_url_of_a_session_works_once(self):
        url = w.tap_with("Hanako")["delivery"]["url"]
        self.assertEqual(w.browser().get(url).status, 200)
        second = w.browser().get(url)
        self.assertIn(second.status, (403, 404, 410), second.text)
        self.assertNotIn("CN=Hanako", second.text)


class Pins(unittest.TestCase):
    """One card's way from a right PIN to a blocked one and back."""

    @classmethod
    def setUpClass(cls):
        w.add_holder("Pin", services=("vault",))

    def setUp(self):
        w.insert_card("Pin")

    def test_1_a_service_that_asks_for_the_pin_is_refused_without_it(self):
        self.assertEqual(w.tap("vault").get("code"), "pin.required")

    def test_2_the_right_pin_is_accepted_at_its_level(self):
        accepted = w.tap("vault", pin="123456")
        self.assertEqual((accepted.get("outcome"), accepted.get("level")), ("accepted", 2), accepted)

    def test_3_a_wrong_pin_says_how_many_tries_are_left(self):
        for left in (2, 1):
            refused = w.tap("vault", pin="999999")
            self.assertEqual((refused.get("code"), refused.get("tries_left")), ("pin.wrong", left), refused)
        refused = w.tap("vault", pin="999999")
        self.assertIn(refused.get("code"), ("pin.wrong", "pin.blocked"), refused)
        self.assertEqual(refused.get("tries_left"), 0, refused)

    def test_4_a_blocked_pin_is_not_accepted_even_when_right(self):
        self.assertEqual(w.tap("vault", pin="123456").get("code"), "pin.blocked")

    def test_5_a_wrong_unblocking_code_does_not_unblock(self):
        w.cardlink("pin", "unblock", pin=["00000000", "246810"], ok=(1, 3), timeout=60)
        self.assertEqual(w.tap("vault", pin="246810").get("code"), "pin.blocked")

    def test_6_the_unblocking_code_sets_a_new_pin(self):
        w.cardlink("pin", "unblock", pin=["12345678", "246810"], timeout=60)
        self.assertEqual(w.tap("vault", pin="246810").get("outcome"), "accepted")

    def test_7_the_pin_is_changed_by_who_knows_it(self):
        w.cardlink("pin", "change", pin=["999999", "135790"], ok=(1, 3), timeout=60)
        w.cardlink("pin", "change", pin=["246810", "135790"], timeout=60)
        self.assertEqual(w.tap("vault", pin="246810").get("code"), "pin.wrong")
        self.assertEqual(w.tap("vault", pin="135790").get("outcome"), "accepted")

    def test_8_the_record_has_each_of_it_and_no_pin(self):
        leaves = w.leaves("--card", w.card_ids["Pin"])
        text = "\n".join(leaf["leaf"] for leaf in leaves)
        self.assertIn("pin.wrong", text)
        self.assertIn("pin.blocked", text)
        for digits in ("123456", "246810", "135790", "12345678"):
            self.assertNotIn(f" {digits}\n", text)
        self.assertTrue(w.verify()["verified"])


class Cards(unittest.TestCase):
    def refused(self, code, **options):
        before = w.size()
        said = w.tap(**options)
        self.assertEqual(said.get("code"), code, said)
        self.assertNotIn("delivery", said)
        accepts = [leaf for leaf in w.leaves("--from", before)
                   if leaf["kind"] == "tap.result" and "\noutcome accepted" in leaf["leaf"]]
        self.assertEqual(accepts, [])

    def test_a_card_that_is_not_registered_is_unknown(self):
        w.make_card("stranger")
        w.insert_card("stranger")
        self.refused("card.unknown")

    def test_a_card_of_another_issuer_is_not_trusted(self):
        w.issuer("authority", "new", "--folder", w.pki / "others", "--name", "OTHERS")
        w.issuer("batch", "new", "--authority", w.pki / "others", "--folder", w.pki / "other-batch", "--name", "BATCH2")
        w.make_card("foreign", authority="others", batch="other-batch")
        w.insert_card("foreign")
        self.refused("card.certificate")

    def test_a_card_is_refused_while_issued_and_while_suspended_and_works_when_resumed(self):
        w.add_holder("Life", active=False)
        card = w.card_ids["Life"]
        w.insert_card("Life")
        self.refused("card.not_active")
        w.ctl("card", "activate", card)
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.ctl("card", "suspend", card, "--reason", "mislaid")
        self.refused("card.suspended")
        w.ctl("card", "resume", card)
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.ctl("card", "revoke", card, "--reason", "lost")
        self.refused("card.revoked")
        refused = w.ctl("card", "resume", card, ok=(0, 1))
        self.assertFalse(refused and refused.get("state") == "active", "a revoked card was resumed")
        self.refused("card.blocked")    # it was ended at its last contact: card_end_test.py

    def test_a_reader_without_a_card_says_so(self):
        w.remove_card()
        said = w.tap(seconds=1)
        self.assertIn(said.get("code"), ("card.absent", "reader.none"), said)

    def test_a_card_pulled_away_in_the_middle_is_no_tap_and_works_the_next_time(self):
        w.insert_card("Hanako")
        card = w.programs["card"]
        codes = set()
        for turn in range(8):
            pull = threading.Timer(0.002 * turn, lambda: card.process.send_signal(signal.SIGUSR2))
            pull.start()
            said = w.tap(seconds=1)
            pull.join()
            codes.add(said.get("code") or said.get("outcome"))
            wait_until("the card to be gone", lambda: not w.card_is_there(), 10 * PATIENCE)
            card.process.send_signal(signal.SIGUSR1)
            wait_until("the card", w.card_is_there, 10 * PATIENCE)
        self.assertLessEqual(codes, {"card.removed", "card.absent", "accepted"})
        self.assertEqual(w.tap().get("outcome"), "accepted")
        self.assertEqual(w.verify()["open_intents"], 0)


class Services(unittest.TestCase):
    def setUp(self):
        w.insert_card("Hanako")

    def test_a_service_that_does_not_exist_is_unknown(self):
        self.assertEqual(w.tap("nowhere").get("code"), "service.unknown")

    def test_a_holder_who_is_not_enrolled_is_told_so(self):
        self.assertEqual(w.tap("elsewhere").get("code"), "enrolment.none")

    def test_a_terminal_reaches_only_the_services_it_is_registered_for(self):
        w.enrol_terminal_freely("narrow", services=("elsewhere",))
        self.assertEqual(w.tap("nginx", terminal="narrow").get("code"), "terminal.service")
        with Terminal(w, "narrow") as narrow:
            names = [s["name"] for s in narrow.ask("GET", "/v1/services").json["services"]]
        self.assertEqual(names, ["elsewhere"])


class Terminals(unittest.TestCase):
    def setUp(self):
        w.insert_card("Hanako")

    def test_a_terminal_that_is_not_registered_is_unknown(self):
        w.write_terminal_configuration("unregistered")
        w.cardlink("enrol", "--name", "unregistered", terminal="unregistered")
        self.assertEqual(w.tap(terminal="unregistered").get("code"), "terminal.unknown")
        with Terminal(w, "unregistered") as terminal:
            self.assertEqual(terminal.begin().code, "terminal.unknown")

    def test_a_client_without_a_certificate_is_nobody(self):
        with Terminal(w, None) as nobody:
            answer = nobody.begin()
            self.assertEqual(answer.status, 401, answer)

    def test_a_revoked_terminal_is_refused_at_once_also_on_a_kept_connection(self):
        terminal = w.enrol_terminal_freely("stolen")
        self.assertEqual(w.tap(terminal="stolen").get("outcome"), "accepted")
        with Terminal(w, "stolen") as kept:
            self.assertEqual(kept.begin().status, 201)
            w.ctl("terminal", "revoke", terminal, "--reason", "stolen")
            self.assertEqual(kept.begin().code, "terminal.revoked")
        self.assertEqual(w.tap(terminal="stolen").get("code"), "terminal.revoked")

    def test_a_terminal_taps_no_more_often_than_its_rate(self):
        w.enrol_terminal_freely("hurried", rate=3)
        codes = [w.tap(terminal="hurried").get("outcome") for _ in range(3)]
        self.assertEqual(codes, ["accepted"] * 3)
        began = time.monotonic()
        said = w.tap(terminal="hurried")
        if time.monotonic() - began < 10:
            self.assertEqual(said.get("code"), "terminal.rate", said)
        self.assertEqual(w.tap().get("outcome"), "accepted", "another terminal is not held up")


if __name__ == "__main__":
    main()

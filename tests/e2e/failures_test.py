# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong PINs and failed proofs are counted; too many suspend the card, or slow its terminal down and end it, and who may looks and lets them go on."""

import hashlib
import re
import signal
import time
import unittest

from world import PATIENCE, Terminal, main, world

w = None
PIN = "123456"
LIMITS = "failures {{\n    wrong-pins-in-a-row = {pins}\n    claims-a-day = 3\n    terminal-of-one-card = 2\n    terminal-slow = {slow}\n" \
         "    terminal-slow-rate = 1\n    terminal-stop = {stop}\n}}\n"


def limit(pins=0, slow=0, stop=0):
    """By SIGHUP, as an administrator does."""
    path = w.etc / "cardbroker.conf"
    before = w.log_of("cardbrokerd").count("reload.done")
    text = re.sub(r"failures \{[^}]*\}\n", "", path.read_text())
    path.write_text(text + LIMITS.format(pins=pins, slow=slow, stop=stop))
    w.programs["cardbrokerd"].process.send_signal(signal.SIGHUP)
    until = time.monotonic() + 10 * PATIENCE
    while w.log_of("cardbrokerd").count("reload.done") == before:
        assert time.monotonic() < until, "the configuration was not read again"
        time.sleep(0.02)


def setUpModule():
    global w
    w = world()
    w.add_nginx("vault", level="pin")
    for name in ("Hanako", "Taro", "Jiro"):
        w.add_holder(name, services=("nginx", "vault"))


def tearDownModule():
    if w:
        w.tear_down()


def forged(name):
    """A copy of a card without its key: cardlink/card/native/state.c has the order."""
    state = bytearray((w.cards / f"{name}.card").read_bytes()[:-32])
    state[23:55] = b"\x42" * 32
    path = w.cards / f"forged-{name}.card"
    path.write_bytes(bytes(state) + hashlib.sha256(state).digest())
    path.chmod(0o600)
    return path.stem


class Failures(unittest.TestCase):
    def setUp(self):
        self.before = w.size()

    def tearDown(self):
        self.assertTrue(w.verify()["verified"])
        found = w.verify_database()
        self.assertTrue(found["verified"] and found["receipts_genuine"] == found["receipts"], "what is counted is what the record says")

    def shown(self, what, name):
        return w.ctl(what, "show", name)["failures"]

    def of_kind(self, kind):
        return [w.fields(leaf) for leaf in w.leaves("--from", self.before) if leaf["kind"] == kind]

    def metric(self, name):
        text = w.admin("GET", "/metrics").data.decode()
        return int(re.search(rf"^{re.escape(name)} (\d+)$", text, re.M)[1])

    def tap_forged(self, name):
        w.insert_card(forged(name))
        return w.one_tap().code

    def test_1_wrong_pins_suspend_the_card_and_a_manager_resumes_it(self):
        limit(pins=2)
        card = w.card_ids["Hanako"]
        self.assertEqual(w.tap_with("Hanako", "vault", pin=PIN).get("outcome"), "accepted")
        self.assertEqual(w.tap("vault", pin="999999").get("code"), "pin.wrong")
        self.assertEqual(w.ctl("card", "show", card)["state"], "active")
        self.assertEqual(w.tap("vault", pin="999999").get("code"), "pin.wrong")
        self.assertEqual(w.ctl("card", "show", card)["state"], "suspended")
        self.assertEqual(w.tap("vault", pin=PIN).get("code"), "card.suspended")
        self.assertEqual((self.shown("card", card)["wrong_pins"], self.shown("card", card)["wrong_pins_in_a_row"]), (2, 2))
        self.assertEqual(self.shown("holder", "Hanako")["wrong_pins"], 2)
        self.assertEqual(self.shown("terminal", "terminal")["wrong_pins"], 2)
        done, = self.of_kind("card.suspended")
        self.assertEqual((done["actor"], done["reason"], done["card"]), ("cardbrokerd", "wrong-pins", card))
        self.assertEqual([leaf["failure"] for leaf in self.of_kind("tap.refused") if "failure" in leaf], ["wrong_pin"] * 2)
        self.assertEqual(self.metric('cardbroker_failures_total{kind="wrong_pin"}'), 2)
        self.assertEqual(self.metric("cardbroker_cards_suspended_total"), 1)
        self.assertIn("failures.suspended", w.log_of("cardbrokerd"))
        w.ctl("card", "resume", card)
        self.assertEqual(w.tap("vault", pin=PIN).get("outcome"), "accepted")
        self.assertEqual((self.shown("card", card)["wrong_pins"], self.shown("card", card)["wrong_pins_in_a_row"]), (2, 0))

    def test_2_what_a_terminal_claims_of_a_card_does_not_end_it(self):
        limit(pins=2)
        for _ in range(5):
            self.assertEqual(self.tap_forged("Taro"), "card.proof")
        self.assertEqual(w.tap_with("Taro", "vault", pin=PIN).get("outcome"), "accepted")
        self.assertEqual(self.shown("card", w.card_ids["Taro"])["failed_proofs"], 5)
        self.assertEqual(self.of_kind("card.suspended"), [])
        noted = self.of_kind("failures.noted")
        self.assertEqual({leaf.get("card") or leaf.get("holder") for leaf in noted}, {w.card_ids["Taro"], w.holders["Taro"]})
        self.assertEqual(len(noted), 2, "once each")

    def test_3_a_terminal_is_slowed_down_and_then_ended(self):
        limit(slow=3, stop=5)
        w.enrol_terminal_freely("bad")
        with Terminal(w, "bad") as terminal:
            for name in ("Hanako", "Hanako", "Hanako", "Hanako", "Taro", "Taro"):
                w.insert_card(forged(name))
                code = w.tap_by_hand(terminal).code
                if code != "card.proof":
                    break
            # Of Hanako's card two count, and with the first of Taro's it is slowed down.
            self.assertTrue(self.shown("terminal", "bad")["slowed"])
            self.assertEqual(len(self.of_kind("failures.slowed")), 1)
        limit(stop=5)
        for name in ("Taro", "Jiro"):
            w.insert_card(forged(name))
            self.assertEqual(w.one_tap(terminal="bad").code, "card.proof")
        self.assertEqual(w.ctl("terminal", "show", "bad")["state"], "deactivated")
        self.assertEqual(w.one_tap(terminal="bad").code, "terminal.deactivated")
        done, = self.of_kind("terminal.deactivated")
        self.assertEqual((done["actor"], done["reason"]), ("cardbrokerd", "failed-proofs"))
        self.assertEqual(self.metric("cardbroker_terminals_stopped_total"), 1)
        self.assertEqual(w.tap_with("Taro", "vault", pin=PIN).get("outcome"), "accepted", "elsewhere cards are as before")
        w.ctl("terminal", "activate", "bad")
        self.assertEqual(w.tap_with("Taro", "vault", pin=PIN, terminal="bad").get("outcome"), "accepted")

    def test_4_reports_show_where_it_happens(self):
        rows = w.ctl("report", "failures")
        terminals = [row for row in rows if row["kind"] == "terminal"]
        self.assertEqual(sum(row["wrong_pins"] for row in terminals), 2)
        self.assertTrue(all(sum(row[kind] for kind in ("wrong_pins", "failed_proofs", "told_wrong_pins", "wrong_passwords")) >= 5
                            for row in w.ctl("report", "failures", "--least", 5)))
        self.assertEqual({row["kind"] for row in w.ctl("report", "failures", "--kind", "holder")}, {"holder"})
        self.assertEqual(w.ctl("report", "failures", "--to", "2020-01-01"), [])
        w.ctl("report", "failures", "--kind", "person", ok=(1,))
        paged, after = [], ""
        while after is not None:
            page = w.admin("GET", f"/v1/reports/failures?limit=1{after}").json
            paged += page["failures"]
            after = f"&after={page['next']}" if "next" in page else None
        self.assertEqual(paged, rows)
        self.assertGreater(len(rows), 2)
        for wrong in ("1", "1000001", "x", "-1.card." + "0" * 32, f"1.person.{rows[0]['id']}", "1.card.", "1.card.zz", "9" * 30 + f".card.{rows[0]['id']}",
                      f"{rows[0]['key']}x", f" {rows[0]['key']}".replace(" ", "%20")):
            self.assertEqual(w.admin("GET", f"/v1/reports/failures?after={wrong}").code, "request.invalid", wrong)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Where terminals stand and whether they have a PIN pad: what services are given there. The pad is the test's own."""

import unittest

from foreign_world import PIN, ForeignWorld
from world import Card, Terminal, main

w = None


def setUpModule():
    global w
    w = ForeignWorld()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_nginx("desk", level="terminal-pin")
    w.add_piv_holder("Kenji", services=("nginx", "desk"))


class Places(unittest.TestCase):
    """In the order of their names."""

    def tap(self, service="desk", digits=PIN, **said):
        """A tap by hand with a PIN, as a reader's pad would put it into the command."""
        with Terminal(w) as terminal, Card(w.reader) as card:
            begun = terminal.ask("POST", "/v1/taps", {"profile": "piv"})
            asked = terminal.challenge(begun.json["tap"], card.play(begun.json["script"]), service, **said)
            if asked.status != 200:
                return asked.code
            script = [{**item, "apdu": f"{item['apdu']}08{digits.encode().hex().ljust(16, 'f')}"} if item.pop("pin", None) else item
                      for item in asked.json["script"]]
            return w.outcome(terminal.proof(begun.json["tap"], card.play(script)))

    def results(self):
        return [w.fields(leaf) for leaf in w.leaves() if leaf["kind"] == "tap.result"]

    def test_1_a_service_is_given_at_the_kinds_that_it_names(self):
        self.assertEqual(w.ctl("terminal", "show", "terminal")["kind"], None)
        w.ctl("service", "update", "nginx", "--terminals", "attended", "--terminals", "personal")
        self.assertEqual(w.ctl("service", "show", "nginx")["terminals"], ["attended", "personal"])
        self.assertEqual(w.tap_with("Kenji").get("code"), "terminal.kind")
        w.ctl("terminal", "set", "terminal", "--kind", "attended", "--reason", "moved")
        self.assertEqual(w.tap().get("outcome"), "accepted")
        self.assertEqual(self.results()[-1]["terminal_kind"], "1")
        w.ctl("terminal", "set", "terminal", "--kind", "unattended")
        self.assertEqual(w.tap().get("code"), "terminal.kind")
        w.ctl("service", "update", "nginx", "--title", "Still so")
        self.assertEqual(w.tap().get("code"), "terminal.kind")
        w.ctl("service", "update", "nginx", "--terminals", "any")
        self.assertEqual(w.ctl("service", "show", "nginx")["terminals"], None)
        self.assertEqual(w.tap().get("outcome"), "accepted")
        kinds = [leaf["kind"] for leaf in w.leaves() if leaf["kind"] == "terminal.described"]
        self.assertEqual(len(kinds), 2)

    def test_2_where_a_pad_is_asked_for_a_terminal_that_has_none_is_no_use(self):
        self.assertEqual(self.tap(), "accepted")
        self.assertNotIn("pin_entry", self.results()[-1])
        w.ctl("service", "update", "desk", "--pin-pad", "yes")
        self.assertEqual(self.tap(), "pin.pad")
        self.assertEqual(self.tap(pin_pad=True), "pin.pad")     # its word alone is none
        w.ctl("terminal", "set", "terminal", "--pin-pad", "yes")
        self.assertEqual(self.tap(), "pin.pad")                 # it has one, and did not use it
        self.assertEqual(self.tap(pin_pad=True), "accepted")
        self.assertEqual(self.results()[-1]["pin_entry"], "pad")
        self.assertEqual(self.tap(digits="314159", pin_pad=True), "pin.wrong")
        self.assertEqual(self.tap(pin_pad=True), "accepted")
        w.insert_card("Kenji")
        self.assertEqual(w.tap("desk", pin=PIN).get("code"), "pin.pad")

    def test_3_a_computer_that_is_to_see_no_pin_asks_for_none(self):
        path = w.etc / "terminal.conf"
        before = path.read_text()
        path.write_text(before + 'pin_pad = "require"\n')
        w.ctl("service", "update", "desk", "--pin-pad", "no")
        self.assertEqual(w.tap("desk", pin=PIN).get("code"), "pin.pad")
        self.assertEqual(w.tap("desk").get("code"), "pin.pad")
        self.assertEqual(w.tap().get("outcome"), "accepted")
        path.write_text(before + 'pin_pad = "sometimes"\n')
        w.cardlink("tap", "--service", "desk", ok=(78,))
        path.write_text(before)
        self.assertEqual(w.tap("desk", pin=PIN).get("outcome"), "accepted")

    def test_4_the_record_verifies(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])


if __name__ == "__main__":
    main()

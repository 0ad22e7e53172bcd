# SPDX-License-Identifier: GPL-3.0-or-later
"""Where terminals stand and whether they have a PIN pad: what services are given there. The pad is the test's own."""

import json
import os
import unittest

from foreign_world import PIN, ForeignWorld
from world import Card, Terminal, main, run

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

    def test_6_the_record_verifies(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])

    def register(self, code, pin=None):
        """The last word of the terminal, and what it has left unread of code and PIN."""
        ends = [os.pipe() for _ in range(2)]
        try:
            for (_, writing), text in zip(ends, (code, pin or "")):
                os.write(writing, text.encode() + b"\n")
                os.close(writing)
            fds = [reading for reading, _ in ends]
            done = run([w.program("cardlink"), "--config", w.etc / "terminal.conf", "--json", "register", "--timeout", "10", "--code-fd", fds[0],
                        *(("--pin-fd", fds[1]) if pin else ())], env=w.env, ok=(0, 1, 2, 3, 69), pass_fds=fds, timeout=120)
            return json.loads([line for line in done.stdout.splitlines() if line.startswith(b"{")][-1]), [os.read(fd, 100) for fd in fds]
        finally:
            for reading, _ in ends:
                os.close(reading)

    def test_5_nor_does_one_that_registers_a_card(self):
        path = w.etc / "terminal.conf"
        before = path.read_text()
        w.holders["Own"] = w.ctl("holder", "add", "--name", "Own")["id"]
        w.make_piv("Own")
        made = w.ctl("holder", "code", "Own", "--profile", "piv")
        w.insert_card("Own")
        path.write_text(before + 'pin_pad = "require"\n')
        self.addCleanup(path.write_text, before)
        said, unread = self.register(made["secret"], PIN)
        self.assertEqual((said.get("code"), unread[1]), ("pin.pad", PIN.encode() + b"\n"))
        self.assertNotEqual(unread[0], b"", "the code was not asked for either")
        said, _ = self.register(made["secret"])
        self.assertEqual(said.get("code"), "pin.pad")
        self.assertEqual(w.admin("GET", f"/v1/registrations/{made['code']}").json["state"], "open")
        path.write_text(before)
        said, _ = self.register(made["secret"], PIN)
        self.assertEqual(said.get("outcome"), "registered", said)

    def test_4_what_was_asked_in_vain_is_not_in_a_registration(self):
        w.insert_card("Kenji")
        w.ctl("service", "update", "desk", "--terminals", "attended")
        with Terminal(w) as terminal, Card(w.reader) as card:
            begun = terminal.ask("POST", "/v1/taps", {"profile": "piv"})
            answers = card.play(begun.json["script"])
            asked = terminal.challenge(begun.json["tap"], answers, "desk")
            self.assertEqual(asked.code, "terminal.kind")
            asked = terminal.ask("POST", f"/v1/taps/{begun.json['tap']}/registration",
                                 {"answers": answers, "certificates": [{"use": 0x9A, "der": "3000"}], "point": "04" + "11" * 64, "signature": "22" * 64})
            self.assertGreaterEqual(asked.status, 400)
            self.assertNotEqual(asked.code, "terminal.kind")
        self.assertEqual(w.admin("GET", "/v1/live").status, 200)
        self.assertTrue(w.programs["cardbrokerd"].process.poll() is None)
        refused = [w.fields(leaf) for leaf in w.leaves() if leaf["kind"] == "tap.refused"][-1]
        self.assertNotIn("service", refused)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The PINs of cards that somebody else issued, typed rightly and wrongly: the terminal says them to the card, and the broker has them nowhere."""

import os
import unittest

from foreign_world import JPKI_PIN, ForeignWorld
from memory import files, in_memory_of, spellings
from world import main

PIN, WRONG_PIN = "83174026", "29507184"
JPKI_WRONG = "9341"
DAEMONS = ("cardbroker-hsmd", "cardbrokerd", "cardbroker-connectord")

w = None


def said_to_a_card(pin):
    """A PIN of four digits is also chance; as a command, or in quotation marks, it is not."""
    verify = bytes((0x00, 0x20, 0x00, 0x80, len(pin))) + pin.encode()
    return [verify, verify.hex().encode(), verify.hex().upper().encode(), f'"{pin}"'.encode()]


class ForeignPins(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        global w
        w = ForeignWorld()
        cls.addClassCleanup(w.tear_down)
        w.build_up()
        w.add_nginx("desk", level="terminal-pin")
        cls.said = []
        for name, make in (("Kenji", lambda: w.make_piv("Kenji", pin=PIN)),
                           ("Hana", lambda: w.make_piv("Hana", *w.content_signer("signer"), pin=PIN))):
            make()
            w.add_foreign_holder(name, ("desk",))
            cls.said += [w.tap("desk", pin=pin) for pin in (PIN, WRONG_PIN, PIN)]
        w.make_jpki("Yuki")
        w.add_foreign_holder("Yuki", ("desk",))
        cls.said += [w.tap("desk", pin=pin) for pin in (JPKI_PIN, JPKI_WRONG, JPKI_PIN)]

    def test_the_taps_were_what_they_should_be(self):
        self.assertEqual([one.get("outcome") or one.get("code") for one in self.said], 3 * ["accepted", "pin.wrong", "accepted"])

    def test_no_pin_is_in_any_file_but_the_cards(self):
        looked_at = [path for path in files(w.folder) if w.cards not in path.parents]
        for wanted in ("cardbroker.db", "cardbrokerd.log", "cardbroker-hsmd.log", "cardbroker-connectord.log", "terminal.conf"):
            self.assertIn(wanted, {path.name for path in looked_at})
        words = [*spellings(PIN), *spellings(WRONG_PIN), *said_to_a_card(JPKI_PIN), *said_to_a_card(JPKI_WRONG)]
        for path in looked_at:
            data = path.read_bytes()
            for word in words:
                self.assertNotIn(word, data, f"{path.name} holds it")
        self.assertIn(PIN.encode(), (w.cards / "Kenji.card").read_bytes(), "and the search would find it")

    @unittest.skipIf(os.geteuid() != 0, "only root may read the memory of a process that is not dumpable")
    def test_no_pin_is_in_the_memory_of_any_process_of_the_broker(self):
        words = (*spellings(PIN), *spellings(WRONG_PIN), *said_to_a_card(JPKI_PIN), *said_to_a_card(JPKI_WRONG))
        for name in DAEMONS:
            for pid, found in w.of_each(name, lambda pid: in_memory_of(pid, *words)):
                self.assertFalse(found, f"{name} ({pid}) remembers a PIN")
        w.insert_card("Kenji")
        card = w.processes("card")[0][0]
        self.assertTrue(in_memory_of(card, *spellings(PIN)), "and the search would find it")


if __name__ == "__main__":
    main()

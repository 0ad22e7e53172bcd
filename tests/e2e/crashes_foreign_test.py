# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of who takes part at the steps of a tap with somebody else's card and its PIN, of a login by a password, and of a change of a
card's PIN: as crashes_test.py. Some of the steps; CARDBROKER_FAULTS=all takes them all."""

import os
import unittest

from crashes import Case, Installation, settle
from foreign_world import PIN, ForeignWorld
from world import PATIENCE, main, wait_until

w = None
PASSWORD = "correct horse battery staple"
OWN_PIN, NEXT_PIN = "123456", "246810"      # of a native card


class World(Installation, ForeignWorld):
    pass


def setUpModule():
    global w
    w = settle(World())
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_nginx("vault", level="pin")
    w.add_nginx("desk", level="terminal-pin")
    w.add_nginx("library", level="password")
    w.add_piv_holder("Kenji", services=("desk",))
    w.add_holder("Hanako", services=("nginx", "vault", "library"))
    w.issue("Hanako", "other")
    w.insert_card("Hanako")
    w.write_terminal_configuration("home", readers=f"virtual:{w.lay('other')}")
    w.enrol_terminal_freely("home")
    w.write_terminal_configuration("counter", readers=f"virtual:{w.lay('Kenji')}")
    w.cardlink("enrol", "--name", "counter", terminal="counter")
    w.ctl("terminal", "enrol", "--name", "counter", "--certificate", w.etc / "counter.pem", "--rate", 10000, "--passwords")
    handed(PASSWORD, w.ctl, "password", "set", "hanako", "--holder", "Hanako")


def handed(password, call, *args, **kwargs):
    reading, writing = os.pipe()
    os.write(writing, password.encode())
    os.close(writing)
    try:
        return call(*args, "--password-fd", reading, pass_fds=(reading,), timeout=60 * PATIENCE, **kwargs)
    finally:
        os.close(reading)


class Interrupted(Case):
    """By cardlink, which asks again, while another card is tapped. Each time it is done once more: what works again is what was
    interrupted."""
    managed = True

    def one(self, act):
        """What the terminal heard in the end, and whether that is that it was accepted."""
        said = (act() or [{}])[-1]
        accepted = said.get("outcome") == "accepted"
        if accepted and "session" in said:
            self.accepted.append(said["session"])
        return said, accepted

    def interrupted(self, act, every, check=lambda heard: None):
        def accepted():
            heard = self.one(act)
            check(heard)
            return heard[1]

        def after(heard, struck):
            check(heard)
            if struck:
                wait_until("what was interrupted to be accepted", accepted, 20 * PATIENCE)
            else:
                self.assertTrue(heard[1], heard)
        self.assertTrue(accepted())
        for name, stride_of_it in every.items():
            self.in_each([name], lambda: self.one(act), after, every=stride_of_it)


class Foreign(Interrupted):
    def test_a_card_with_its_pin(self):
        def tap():
            return w.cardlink("tap", "--service", "desk", "--timeout", 10, terminal="counter", pin=[PIN], ok=range(100),
                              timeout=60 * PATIENCE)
        self.interrupted(tap, {"cardbrokerd": 43, "hsmd, the use of keys": 13, "hsmd, the log": 17, "connectord, the dispatcher": 5,
                               "connectord, the connector": 5})


class Password(Interrupted):
    def test_a_login(self):
        def login():
            return handed(PASSWORD, w.cardlink, "login", "--name", "hanako", "--service", "library", terminal="counter", ok=range(100))
        self.interrupted(login, {"cardbrokerd": 43, "hsmd, the use of keys": 17, "hsmd, the log": 19, "connectord, the dispatcher": 7,
                                 "connectord, the connector": 7})


class Change(Interrupted):
    """A change is one act of the card's: whether it took place is the card's to say, and what the holder was told is recorded."""
    now, then = OWN_PIN, NEXT_PIN

    def opens(self, pin):
        said = {}

        def there():
            said.update(w.tap("vault", pin=pin, terminal="home"))
            return said.get("outcome") == "accepted" or said.get("code") == "pin.wrong"
        wait_until("a tap with a PIN", there, 20 * PATIENCE)
        return said.get("outcome") == "accepted"

    def look(self, heard):
        """Which of the two the card has. A change that was told is in the record; one that was not may be."""
        before, self.recorded = self.recorded, len(w.leaves("--kind", "tap.pin"))
        self.assertIn(self.recorded - before, (1,) if heard[1] else (0, 1), heard)
        if heard[1] or not self.opens(self.now):
            self.now, self.then = self.then, self.now
            self.assertTrue(self.opens(self.now), heard)

    def test_a_change_of_a_cards_pin(self):
        self.recorded = len(w.leaves("--kind", "tap.pin"))

        def change():
            return w.cardlink("pin", "change", terminal="home", pin=[self.now, self.then], ok=range(100), timeout=60 * PATIENCE)
        self.interrupted(change, {"cardbrokerd": 43, "hsmd, the use of keys": 13, "hsmd, the log": 17}, self.look)


if __name__ == "__main__":
    main()

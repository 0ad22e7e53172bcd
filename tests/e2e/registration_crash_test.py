# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of hsmd and of the broker at each write and sync of a registration by a code: afterwards the same card with the same code is
registered, once, and no other card is."""

import json
import os
import sys
import unittest

from foreign_world import PIN, ForeignWorld
from steps import Fragile, Role, stride
from world import PATIENCE, main, run, wait_until

BROKER, HSM = "cardbrokerd", "cardbroker-hsmd"
START = {HSM: lambda: w.start_hsmd(), BROKER: lambda: w.start_broker()}
w = None


class World(Fragile, ForeignWorld):
    pass


def setUpModule():
    global w
    w = World()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.holders["Hanako"] = w.ctl("holder", "add", "--name", "Hanako")["id"]
    w.enrol("Hanako", "nginx")


def restart(program):
    w.stop_one(program)
    START[program]()


def register(code, card, terminal):
    """The last word of the terminal."""
    w.insert_card(card)
    reading, writing = os.pipe()
    os.write(writing, f"{code}\n{PIN}\n".encode())
    os.close(writing)
    try:
        done = run([w.program("cardlink"), "--config", w.etc / f"{terminal}.conf", "--json", "register", "--timeout", "10", "--code-fd", reading,
                    "--pin-fd", reading], env=w.env, ok=(0, 1, 3, 69), pass_fds=(reading,), timeout=120)
    finally:
        os.close(reading)
    return json.loads([line for line in done.stdout.splitlines() if line.startswith(b"{")][-1])


class Crashes(unittest.TestCase):
    cards = 0

    def fresh(self):
        Crashes.cards += 1
        name = f"card{Crashes.cards}"
        w.make_piv(name)
        w.enrol_terminal_freely(name)   # of its own, for a terminal tries few codes a minute
        return name, w.ctl("holder", "code", "Hanako", "--profile", "piv")["secret"]

    def settled(self, card, code):
        """What a holder does who was told nothing, or to try again."""
        said = {}

        def registered():
            said.update(register(code, card, card))
            return said.get("outcome") == "registered"
        wait_until("the card to be registered", registered, 30 * PATIENCE)
        return said["card"]

    def at_each(self, role, call, every):
        """Registers a card with the process killed before each of its calls of that name. How many were."""
        n, kills, lived = 1, 0, 0
        while lived < 1:
            card, code = self.fresh()
            register("00000-00000-00000-00000", card, card)   # so that all processes are there and awake
            w.steps.arm(n, only=call, **role.plan(w))
            register(code, card, card)
            struck, _, _ = w.steps.disarm()
            if struck and struck == w.programs[role.program].pid:
                w.programs[role.program].process.wait()
                START[role.program]()
            elif struck:
                restart(role.program)   # a supervisor waits longer with every quick end of a worker
            with self.subTest(call=call, step=n, struck=bool(struck)):
                registered = self.settled(card, code)
                self.assertEqual(w.tap().get("card"), registered)
                other = self.fresh()[0]
                self.assertEqual(register(code, other, card).get("code"), "registration.used")
            kills, lived = kills + bool(struck), 0 if struck else lived + 1
            n += stride(every) if struck else 0
        return kills

    def both(self, role, every):
        kills = sum(self.at_each(role, call, every) for call in ("pwrite64", "fdatasync"))
        print(f"killed {kills} times", file=sys.stderr)
        self.assertGreater(kills, 2, "it was not killed")
        wait_until("heads to be signed", lambda: w.verify()["leaves_unsigned"] == 0, 20 * PATIENCE)
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        used = [w.fields(leaf) for leaf in w.leaves() if leaf["kind"] == "registration.used"]
        self.assertEqual(len({leaf["card"] for leaf in used}), len(used), "each once")

    def test_hsmd(self):
        self.both(Role(HSM, 0), 1)

    def test_the_broker(self):
        self.both(Role(BROKER), 6)


if __name__ == "__main__":
    main()

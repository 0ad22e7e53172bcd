# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers of the key service are replaced after many taps, and nobody notices."""

import json
import time
import unittest

from world import PATIENCE, Terminal, main, wait_until, world

w = None
AFTER = 12


def setUpModule():
    global w
    w = world()
    with (w.etc / "hsmd.conf").open("a") as file:
        file.write(f"renew-after = {AFTER}\n")
    w.restart_hsmd()
    w.add_holder("Hanako")
    w.insert_card("Hanako")
    w.works_again()


def tearDownModule():
    if w:
        w.tear_down()


class Renewal(unittest.TestCase):
    def renewed(self):
        return [json.loads(line)["pid"] for line in w.log_of("cardbroker-hsmd").splitlines()
                if line.startswith("{") and json.loads(line)["event"] == "worker.renewed"]

    def test_taps_go_on_over_renewals(self):
        with Terminal(w) as terminal:
            for i in range(8 * AFTER):
                time.sleep(4 if i % (3 * AFTER) == 0 else 0)      # a quiet moment now and then
                done = w.tap_by_hand(terminal)
                self.assertEqual(done.json.get("outcome"), "accepted", f"tap {i}: {done!r}")
        self.assertGreaterEqual(len(self.renewed()), 2)
        self.assertEqual(len(set(self.renewed())), len(self.renewed()))
        self.assertTrue(w.verify()["verified"])

    def test_a_tap_that_never_ends_holds_no_worker_back(self):
        before = len(self.renewed())
        with Terminal(w) as terminal:
            w.played(terminal, "Hanako")     # challenged, and left so
            for _ in range(4 * AFTER):
                terminal.begin()     # until no worker begins any more
        wait_until("renewals", lambda: len(self.renewed()) > before, 20 * PATIENCE)
        self.assertLess(w.works_again(), 20 * PATIENCE)


if __name__ == "__main__":
    main()

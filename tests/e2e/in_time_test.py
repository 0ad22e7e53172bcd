# SPDX-License-Identifier: GPL-3.0-or-later
"""Revocation in time, from inside: a process is held at a step of a tap, something is ended, and it may go on. And however many
log in at once, nobody gets a session of another.

CARDBROKER_FAULTS=all takes every step, for each way of ending.
"""

import collections
import sys
import threading
import time
import unittest

from steps import ALL, Fragile, Role, stride
from world import PATIENCE, main, wait_until

w = None
PROCESSES = {"cardbrokerd": (Role("cardbrokerd"), 9), "the use of keys": (Role("cardbroker-hsmd", 0), 4),
             "the log": (Role("cardbroker-hsmd", 1), 4), "a login": (Role("cardbroker-connectord", 2, below=True), 7)}
ENDINGS = {"card revoke": "card.revoked", "card suspend": "card.suspended", "terminal revoke": "terminal.revoked",
           "enrolment remove": "enrolment.removed"}
REFUSED = {"card.revoked", "card.suspended", "terminal.revoked", "enrolment.none", "tap.withdrawn"}


def setUpModule():
    global w
    w = Fragile()
    w.settle_in()
    w.add_nginx("second")


class Victim:
    """What is to be ended, and a tap that needs it."""
    number = 0

    def __init__(self, what):
        Victim.number += 1
        self.what, self.service, self.terminal, self.card = what, "nginx", "terminal", "Hanako"
        kind = what.split()[0]
        if kind == "card":
            self.card = f"card{Victim.number}"
            self.path = f"/v1/cards/{w.issue('Hanako', self.card)}/{what.split()[1]}"
        elif kind == "terminal":
            self.terminal = f"terminal{Victim.number}"
            self.path = f"/v1/terminals/{w.enrol_terminal_freely(self.terminal)}/revoke"
        else:
            self.service = "second"
            self.path = f"/v1/enrolments/{w.enrol('Hanako', 'second')}"
        self.reader = w.lay(self.card) if kind == "card" else w.reader

    def tap(self):
        return w.tap_at(self.reader, self.service, self.terminal)

    def end(self):
        return (w.admin("DELETE", self.path) if self.service == "second" else w.admin("POST", self.path, {})).status

    def gone(self):
        if self.reader != w.reader:
            w.take_away(self.card)


class Held(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.seen, cls.ran = collections.Counter(), set()

    def setUp(self):
        self.ran.add(self._testMethodName)

    @classmethod
    def tearDownClass(cls):
        print("\nHeld at a step, ended, let go: " + ", ".join(f"{what} {n}" for what, n in cls.seen.most_common()), file=sys.stderr)
        in_the_middle = {what for what in cls.seen if not what.startswith("not")}
        of_all = cls.ran == set(unittest.defaultTestLoader.getTestCaseNames(cls))   # one process alone may see little of it
        if of_all and (len(in_the_middle) < 3 or "accepted" not in in_the_middle):
            raise AssertionError(f"hardly anything was ended in the middle of a tap: {cls.seen}")

    def ended_at(self, role, n, what):
        """Whether the tap had so many steps."""
        victim, before = Victim(what), w.size()
        taps, ends = [], []
        tapping = threading.Thread(target=lambda: taps.append(victim.tap()))
        ending = threading.Thread(target=lambda: ends.append(victim.end()))
        w.steps.arm(n, hold=True, **role.plan(w))
        tapping.start()
        while tapping.is_alive() and not w.steps.look()[0]:
            time.sleep(0.001)
        struck, call, _ = w.steps.look()
        ending.start()
        ending.join(0.2 * PATIENCE)     # longer only if what is held stands in its way
        in_the_middle = bool(ends)
        w.steps.disarm()
        tapping.join(60)
        ending.join(60)
        self.assertEqual(ends, [200])
        self.look_at(victim, w.outcome(taps[0]), taps[0], before, struck and in_the_middle)
        victim.gone()
        return struck

    def look_at(self, victim, outcome, done, before, in_the_middle):
        leaves = [(leaf["kind"], w.fields(leaf)) for leaf in w.leaves("--from", before)]
        ended_at = next(i for i, (kind, _) in enumerate(leaves) if kind == ENDINGS[victim.what])
        accepts = [i for i, (kind, fields) in enumerate(leaves) if kind == "tap.result" and fields["outcome"] == "accepted"]
        self.assertTrue(all(i < ended_at for i in accepts), "it was accepted after the end of what it needs")
        self.seen[("" if in_the_middle else "not in the middle: ") + outcome] += 1
        if outcome == "accepted":
            self.assertEqual(len(accepts), 1)
            answer = w.browser().get(done.json["delivery"]["url"])
            self.assertNotIn("CN=", answer.text, "its session outlived it")
        else:
            self.assertIn(outcome, REFUSED, done)
        self.assertIn(w.outcome(victim.tap()), REFUSED)

    def at_each_step(self, name):
        role, every = PROCESSES[name]
        w.works_again()
        for turn, what in enumerate(ENDINGS):
            n = 1 if ALL else 1 + turn * every
            with self.subTest(ending=what):
                while self.ended_at(role, n, what):
                    n += stride(every * len(ENDINGS))

    def test_the_broker(self):
        self.at_each_step("cardbrokerd")

    def test_the_use_of_keys(self):
        self.at_each_step("the use of keys")

    def test_the_log(self):
        self.at_each_step("the log")

    def test_a_login(self):
        self.at_each_step("a login")


class Together(unittest.TestCase):
    PAGES = 50

    def test_holders_who_log_in_at_once_see_their_own_pages_only(self):
        cards = {"Hanako 2": "Hanako", "Taro": "Taro", "Taro 2": "Taro", "Hanako 3": "Hanako"}
        for card, holder in cards.items():
            if card not in w.card_ids:
                w.issue(holder, card)
        pages, odd = collections.Counter(), []

        def log_in(card, holder, reader):
            for _ in range(self.PAGES):
                done = w.tap_at(reader)
                if w.outcome(done) != "accepted":
                    odd.append(done)
                    continue
                subject = w.page_of(done.json).get("subject")
                pages[holder, subject] += 1
        threads = [threading.Thread(target=log_in, args=(card, holder, w.lay(card))) for card, holder in cards.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(odd, [])
        self.assertEqual(pages, {("Hanako", "CN=Hanako"): 2 * self.PAGES, ("Taro", "CN=Taro"): 2 * self.PAGES})


class ZRecord(unittest.TestCase):
    def test_the_record_of_it_all_verifies_and_nothing_is_open(self):
        report = {}

        def closed():
            report.update(w.verify())
            return report["open_intents"] == 0
        wait_until("intents to be closed", closed, 10 * PATIENCE)
        self.assertTrue(report["verified"], report["findings"])


if __name__ == "__main__":
    main()

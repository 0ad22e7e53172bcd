# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts and reloads under load: nothing acknowledged is lost, and nobody is refused for longer than the restart: whoever
begins a tap once GET /v1/ready says again that taps can succeed, or a moment later, is served."""

import collections
import signal
import sys
import threading
import time
import unittest

from world import PATIENCE, main, wait_until, world

w = None
CARDS = 8
# What a terminal hears while a part is away or comes back; "tap.unknown": the tap was begun before.
FOR_NOW = {"broker.stopping", "broker.busy", "hsm.unavailable", "hsm.illegal", "hsm.feed_behind", "hsm.activation", "connector.unavailable",
           "connector.failed", "tap.unknown", "tap.expired", "service.busy"}
# A graceful stop under load; and from then on, with the start, until the broker says that it is ready.
STOPPED_WITHIN, READY_WITHIN = 10 * PATIENCE, 5 * PATIENCE
# The broker looks at its parts now and then (broker/api/watch.c): of one that was away between two looks it goes on saying that
# it is ready, which is a moment too early.
A_MOMENT = 1 * PATIENCE


def setUpModule():
    global w
    w = world()
    w.add_holder("Hanako")
    for number in range(CARDS):
        w.issue("Hanako", f"card{number}")


def tearDownModule():
    if w:
        w.tear_down()


class Load:
    """So many cards, each tapped again and again, whatever comes."""

    def __init__(self):
        self.accepted = collections.defaultdict(list)     # card: (when the tap was begun, session)
        self.refused = []                                 # (the same, what)
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(f"card{n}", w.lay(f"card{n}"))) for n in range(CARDS)]

    def run(self, card, reader):
        while not self.stopping.is_set():
            began = time.monotonic()
            done = w.tap_at(reader)
            if w.outcome(done) == "accepted":
                self.accepted[card].append((began, done.json["session"]))
            else:
                self.refused.append((began, getattr(done, "code", None) or type(done).__name__))
                time.sleep(0.02)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.all_served_since(time.monotonic())
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def all_served_since(self, when):
        """Each card with a tap that was begun after that moment."""
        wait_until("every card to be accepted", lambda: all(
            self.accepted[f"card{n}"][-1:] and self.accepted[f"card{n}"][-1][0] > when for n in range(CARDS)), 10 * PATIENCE)

    def codes(self):
        return {what for _, what in self.refused if what not in ("ConnectionRefusedError", "ConnectionResetError", "SSLEOFError",
                "SSLZeroReturnError", "RemoteDisconnected", "BrokenPipeError", "BadStatusLine", "IncompleteRead")}


class Restarts(unittest.TestCase):
    def tearDown(self):
        report = {}

        def closed():
            report.update(w.verify())
            return report["open_intents"] == 0
        wait_until("intents to be closed", closed, 20 * PATIENCE)
        self.assertTrue(report["verified"], report["findings"])

    def under_load(self, act, moment=0.0):
        """act() says when it was done with stopping. Who begins a tap that moment after the broker is ready is not refused."""
        with Load() as load:
            began = time.monotonic()
            stopped = act()
            wait_until("the broker to be ready", w.ready, 20 * PATIENCE)
            back = time.monotonic()
            load.all_served_since(back + moment)
            served = time.monotonic()
        late = [(when - back, what) for when, what in load.refused if when > back]
        self.assertEqual([each for each in late if each[0] > moment][:5], [], "refused although it was ready")
        self.assertLess(stopped - began, STOPPED_WITHIN)
        self.assertLess(back - stopped, READY_WITHIN)
        recorded = "\n".join(leaf["leaf"] for leaf in w.leaves("--kind", "tap.result"))
        count = 0
        for taps in load.accepted.values():
            for _, session in taps:
                count += 1
                self.assertIn(f"session {session}", recorded)
        print(f"\n{self._testMethodName}: {count} accepted, all recorded; {len(load.refused)} refused "
              f"{dict(collections.Counter(what for _, what in load.refused))}; stopped after "
              f"{stopped - began:.2f} s, ready {back - stopped:.2f} s later; {len(late)} refused after that, the last of a tap begun "
              f"{max((after for after, _ in late), default=0):.2f} s after it; all cards served {served - back:.2f} s after it", file=sys.stderr)
        return load

    def restarted(self, name, start, moment=0.0):
        def act():
            program = w.programs[name]
            w.stop_one(name)
            self.assertEqual(program.returncode, 0, "it was not graceful: " + program.last_words())
            stopped = time.monotonic()
            start()
            return stopped
        load = self.under_load(act, moment)
        self.assertLessEqual(load.codes(), FOR_NOW)

    def test_cardbrokerd_is_restarted(self):
        self.restarted("cardbrokerd", w.start_broker)

    def test_hsmd_is_restarted(self):
        self.restarted("cardbroker-hsmd", w.start_hsmd, A_MOMENT)

    def test_connectord_is_restarted(self):
        self.restarted("cardbroker-connectord", w.start_connectord, A_MOMENT)

    def test_who_is_told_that_it_is_ready_is_not_refused(self):
        """hsmd goes while log heads are on their way to it."""
        with Load():
            for number in range(8):
                w.restart_hsmd()
                w.ctl("holder", "add", "--name", f"Holder {number}")

    def test_a_reload_refuses_nobody(self):
        def act():
            for _ in range(3):
                for name in ("cardbrokerd", "cardbroker-hsmd"):
                    w.programs[name].process.send_signal(signal.SIGHUP)
                time.sleep(0.2)
            return time.monotonic()
        load = self.under_load(act)
        self.assertEqual(load.refused, [])


if __name__ == "__main__":
    main()

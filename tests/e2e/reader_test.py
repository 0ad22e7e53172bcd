# SPDX-License-Identifier: GPL-3.0-or-later
"""The same through a real pcscd: its readers, cards that come and go, and the agent that serves them."""

import json
import signal
import subprocess
import sys
import time
import unittest

from world import PATIENCE, Failure, main, wait_until, world

w = None


def setUpModule():
    global w
    try:
        w = world(readers="pcsc")
    except Failure as failure:
        if "pcsc" not in str(failure).lower():
            raise
        print(f"skipped: {failure}", file=sys.stderr)
        sys.exit(77)
    w.add_nginx("vault", level="pin")
    w.add_holder("Hanako", services=("nginx", "vault"))
    w.add_holder("Taro")


def tearDownModule():
    if w:
        w.tear_down()


class Reader(unittest.TestCase):
    def test_a_tap_is_accepted_and_the_page_is_the_holders(self):
        for name in ("Hanako", "Taro", "Hanako"):
            accepted = w.tap_with(name)
            self.assertEqual(accepted.get("holder"), w.holders[name], accepted)
            self.assertEqual(w.page_of(accepted)["subject"], f"CN={name}")

    def test_a_tap_with_the_pin_is_accepted_and_a_wrong_one_is_not(self):
        w.insert_card("Hanako")
        self.assertEqual(w.tap("vault", pin="123456").get("level"), 2)
        self.assertEqual(w.tap("vault", pin="111111").get("code"), "pin.wrong")
        self.assertEqual(w.tap("vault", pin="123456").get("outcome"), "accepted")

    def test_a_reader_without_a_card_says_so(self):
        w.remove_card()
        self.assertEqual(w.tap(seconds=1).get("code"), "card.absent")

    def test_a_card_pulled_away_in_the_middle_is_no_tap_and_works_the_next_time(self):
        w.insert_card("Hanako")
        card = w.programs["card"].process
        for turn in range(4):
            argv = [str(w.program("cardlink")), "--config", str(w.etc / "terminal.conf"), "--json", "tap", "--service", "nginx",
                    "--timeout", "2"]
            tap = subprocess.Popen(argv, env=w.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                tap.wait(0.006 * (turn + 1))
            except subprocess.TimeoutExpired:
                pass
            card.send_signal(signal.SIGUSR2)
            out, _ = tap.communicate(timeout=60 * PATIENCE)
            last = [json.loads(line) for line in out.splitlines() if line.startswith(b"{")][-1]
            self.assertIn(last.get("code") or last.get("outcome"),
                          ("card.removed", "card.absent", "reader.failed", "card.foreign", "accepted"), last)
            wait_until("the card to be gone", lambda: not w.card_is_there(), 10 * PATIENCE)
            time.sleep(1)   # pcscd looks now and then; a card that is back before it looked stays unseen
            card.send_signal(signal.SIGUSR1)
            wait_until("the card", w.card_is_there, 10 * PATIENCE)
        self.assertEqual(w.tap().get("outcome"), "accepted")
        wait_until("intents to be closed", lambda: w.verify()["open_intents"] == 0, 10 * PATIENCE)

    def test_the_agent_serves_each_card_once_until_it_is_taken_away(self):
        w.remove_card()
        folder = w.folder / "deliveries"
        folder.mkdir(mode=0o700)
        before = w.size()
        agent = w.spawn("agent", [w.program("cardlink"), "--config", w.etc / "terminal.conf", "--json", "agent", "--service",
                                  "nginx", "--delivery", folder])

        def accepted():
            return w.log_of("agent").count('"tap.accepted"')
        try:
            for number, name in enumerate(("Hanako", "Taro", "Hanako"), 1):
                w.insert_card(name)
                wait_until(f"{name}'s tap", lambda n=number: accepted() == n, 15 * PATIENCE, agent)
            w.ctl("card", "suspend", w.card_ids["Taro"])
            w.insert_card("Taro")
            wait_until("the refusal", lambda: "card.suspended" in w.log_of("agent"), 15 * PATIENCE, agent)
            w.ctl("card", "resume", w.card_ids["Taro"])
            self.assertEqual(accepted(), 3)
        finally:
            w.stop_one("agent")
        results = [leaf for leaf in w.leaves("--from", before) if leaf["kind"] == "tap.result"]
        self.assertEqual(len(results), 3)

    def test_z_the_record_verifies(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])


if __name__ == "__main__":
    main()

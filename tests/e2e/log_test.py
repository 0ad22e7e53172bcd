# SPDX-License-Identifier: GPL-3.0-or-later
"""The log: one request identifier follows the end of a tap through every process."""

import json
import unittest

from world import main, wait_until, world

w = None


def setUpModule():
    global w
    w = world()
    w.add_holder("Hanako", services=("nginx",))


def tearDownModule():
    if w:
        w.tear_down()


def events(name):
    """(request, event) of each line of a program's log; every line must be one JSON object."""
    text = (w.logs / f"{name}.log").read_text()
    return [(entry.get("request"), entry["event"]) for entry in map(json.loads, text.splitlines())]


class Log(unittest.TestCase):
    def test_a_request_is_followed_through_all_processes(self):
        self.assertEqual(w.tap_with("Hanako").get("outcome"), "accepted")
        request = next(request for request, event in events("cardbrokerd") if event == "tap.accepted")
        self.assertIsNotNone(request)
        # The line about the answer is written when the answer is.
        wait_until("the line about the answer", lambda: (request, "http.request") in events("cardbrokerd"), 10)
        self.assertIn((request, "key.used"), events("cardbroker-hsmd"))
        self.assertIn((request, "login.started"), events("cardbroker-connectord"))


if __name__ == "__main__":
    main()

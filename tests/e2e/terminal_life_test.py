# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a terminal: registered, active, de-activated, revoked, disposed of; and who may do what in each."""

import unittest

from world import PATIENCE, Card, Terminal, main, wait_until, world

w = None


def setUpModule():
    global w
    w = world()
    w.add_holder("Hanako")
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


def gone(name):
    return not (w.etc / f"{name}.key").exists() and not (w.etc / f"{name}.pem").exists()


class Pauses(unittest.TestCase):
    def test_a_deactivated_terminal_is_refused_on_a_kept_connection_and_works_when_activated_again(self):
        terminal_id = w.enrol_terminal_freely("pausing")
        with Terminal(w, "pausing") as terminal:
            self.assertEqual(w.tap_by_hand(terminal).json.get("outcome"), "accepted")
            w.ctl("terminal", "deactivate", "pausing", "--reason", "holidays")
            for path in ("/v1/services", "/v1/taps"):
                done = terminal.ask("GET", path) if path == "/v1/services" else terminal.begin()
                self.assertEqual((done.status, done.code), (403, "terminal.deactivated"))
            self.assertEqual(w.ctl("terminal", "show", terminal_id)["state"], "deactivated")
            w.ctl("terminal", "activate", "pausing")
            self.assertEqual(w.tap_by_hand(terminal).json.get("outcome"), "accepted")
        kinds = [leaf["kind"] for leaf in w.leaves("--terminal", terminal_id) if leaf["kind"].startswith("terminal.")]
        self.assertEqual(kinds, ["terminal.added", "terminal.deactivated", "terminal.reactivated"])

    def test_sessions_end_when_the_terminal_is_deactivated(self):
        w.enrol_terminal_freely("leaving")
        with Terminal(w, "leaving") as terminal:
            done = w.tap_by_hand(terminal)
        browser = w.browser()
        url = done.json["delivery"]["url"]
        self.assertEqual(browser.get(url).status, 200)
        w.ctl("terminal", "deactivate", "leaving")
        host = "/".join(url.split("/")[:3])
        self.assertEqual(browser.get(f"{host}/whoami").status, 410)

    def test_a_tap_that_was_begun_before_a_pause_is_not_brought_to_its_end(self):
        w.enrol_terminal_freely("between")
        with Terminal(w, "between") as terminal:
            tap, answers = w.played(terminal, None)
            w.ctl("terminal", "deactivate", "between")
            self.assertEqual(terminal.proof(tap, answers).code, "terminal.deactivated")


class Ends(unittest.TestCase):
    def test_a_terminal_that_was_disposed_of_erases_its_keys_at_its_next_contact(self):
        w.enrol_terminal_freely("sold")
        w.ctl("terminal", "dispose", "sold", "--reason", "sold")
        said = w.cardlink("services", terminal="sold", ok=(1, 3))
        self.assertEqual(said[-1]["code"], "terminal.disposed")
        self.assertTrue(gone("sold"))

    def test_an_agent_whose_terminal_was_disposed_of_erases_the_keys_and_ends(self):
        w.enrol_terminal_freely("agent")
        agent = w.spawn("agent", [w.program("cardlink"), "--config", w.etc / "agent.conf", "--json", "agent", "--service", "nginx"])
        wait_until("the agent", lambda: "ready" in w.log_of("agent"), 10 * PATIENCE, agent)
        w.ctl("terminal", "dispose", "agent")
        w.insert_card("Hanako")
        wait_until("the agent's end", lambda: agent.poll() is not None, 20 * PATIENCE)
        self.assertTrue(gone("agent"))
        self.assertNotEqual(agent.returncode, 0)

    def test_a_revoked_terminal_keeps_what_it_has_and_can_do_nothing_with_it(self):
        w.enrol_terminal_freely("lost")
        w.ctl("terminal", "revoke", "lost")
        self.assertEqual(w.cardlink("services", terminal="lost", ok=(1, 3))[-1]["code"], "terminal.revoked")
        self.assertFalse(gone("lost"))


class ZRecord(unittest.TestCase):
    def test_the_record_of_it_all_verifies(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])


if __name__ == "__main__":
    main()

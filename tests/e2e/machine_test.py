# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that fails under everything that runs: its disk, its clock, its descriptors, its database."""

import errno
import json
import os
import resource
import secrets
import socket
import sqlite3
import sys
import threading
import unittest
from pathlib import Path

from world import PATIENCE, Card, Terminal, World, main, time, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from faulty import Machine  # noqa: E402

HOUR = 3600
# Each daemon, and how it says that it has no descriptor left.
STARVED = {"cardbroker-hsmd": "connection.starved", "cardbroker-connectord": "dispatcher.starved", "cardbrokerd": "connections.starved"}
DAEMONS = tuple(STARVED)

w = None


def setUpModule():
    global w
    w = World()
    w.machine = Machine(w.folder / "machine-faults", w.build)
    w.machine.reach(w, DAEMONS)
    try:
        w.build_up()
        w.add_holder("Hanako")
        w.add_holder("Taro")
        w.insert_card("Hanako")
    except BaseException:
        w.tear_down()
        raise


def tearDownModule():
    if w:
        w.tear_down()


class Case(unittest.TestCase):
    def setUp(self):
        w.works_again()

    def tearDown(self):
        w.machine.mend_disk()
        w.machine.step_clock(0)
        for name in DAEMONS:
            self.assertIsNone(w.programs[name].poll(), f"{name} ended: {w.programs[name].last_words()}")
        w.works_again(seconds=15)
        wait_until("the record to verify", lambda: self.verified()["open_intents"] == 0, 20 * PATIENCE)

    def verified(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        return report

    def revoke_one(self):
        """The state of a card that was revoked just now: by the answer, and by what is stored when all is well again."""
        card = w.issue("Taro", f"lost {secrets.token_hex(4)}")
        return card, lambda: w.admin("POST", f"/v1/cards/{card}/revoke", {"reason": "lost"})


class Disk(Case):
    def fails(self, folder, error, codes):
        """Taps while it fails: refused with one of the codes, never accepted without a record."""
        card, revoke = self.revoke_one()
        w.machine.fail_disk(folder, error)
        time.sleep(1.1)     # space is looked at once a second
        taps = [w.one_tap() for _ in range(3)]
        revoked = revoke()
        self.assertGreater(w.machine.mend_disk(), 0)
        for tap in taps:
            self.assertEqual(tap.status // 100, 5, tap)
            self.assertIn(tap.code, codes)
        w.works_again(seconds=15)
        state = w.ctl("card", "show", card)["state"]
        if revoked.status == 200:
            self.assertEqual(state, "revoked")
        else:
            self.assertEqual((revoked.status, state), (revoked.status, "active"), revoked)
            self.assertIn(revoked.code, codes)
        self.assertEqual(revoke().json["state"], "revoked")

    def test_full_under_the_database(self):
        self.fails(f"{w.state}/cardbroker.db", errno.ENOSPC, ("store.full", "store.unavailable"))

    def test_full_under_hsmds_memory(self):
        card, revoke = self.revoke_one()
        w.machine.fail_disk(w.keys / "hsmd", errno.ENOSPC)
        tap = w.one_tap()
        self.assertNotEqual(tap.json.get("outcome"), "accepted", tap)
        self.assertEqual(tap.status // 100, 5, tap)
        told = revoke()
        self.assertGreater(w.machine.mend_disk(), 0)
        w.works_again(seconds=15)
        # The broker remembers it, and hands it on when there is room again.
        self.assertEqual((told.status, w.ctl("card", "show", card)["state"]), (200, "revoked"), told)

    def test_full_under_the_logs_everything_goes_on(self):
        w.machine.fail_disk(w.logs, errno.ENOSPC)
        tap = w.one_tap()
        self.assertEqual(tap.json.get("outcome"), "accepted", tap)
        self.assertGreater(w.machine.mend_disk(), 0)


class Kernel(Case):
    """Every fourth read, write or wait is interrupted, every fourth on a file or stream does half of what it was asked for, at the
    start as well as later: nothing changes."""

    def test_calls_that_are_interrupted_or_do_less_than_was_asked(self):
        calls = w.machine.awkward(True)
        try:
            for name in ("cardbrokerd", "cardbroker-connectord", "cardbroker-hsmd"):
                w.programs[name].stop()
                self.assertEqual(w.programs[name].returncode, 0, w.programs[name].last_words())
            w.start_hsmd()
            w.start_connectord()
            w.start_broker()
            w.works_again(seconds=20)
            before = len(w.log_of("cardbrokerd"))
            for _ in range(10):
                self.assertEqual(w.outcome(w.one_tap()), "accepted")
            card, revoke = self.revoke_one()
            self.assertEqual(revoke().json.get("state"), "revoked")
            self.assertEqual(self.verified()["findings"], [])
            with Terminal(w) as terminal:
                accepted = w.tap_by_hand(terminal).json
            self.assertEqual(w.browser().get(accepted["delivery"]["url"]).status, 200)
            for line in w.log_of("cardbrokerd")[before:].splitlines()[:-1]:
                json.loads(line)        # none was cut
        finally:
            self.assertGreater(w.machine.awkward(False) - calls, 1000)

    def tearDown(self):
        w.machine.awkward(False)
        super().tearDown()


class Database(Case):
    def hold(self):
        other = sqlite3.connect(w.state / "cardbroker.db", isolation_level=None, timeout=5)
        other.execute("BEGIN EXCLUSIVE")
        return other

    def test_locked_by_somebody_for_a_moment_a_tap_waits(self):
        other = self.hold()
        results = []
        thread = threading.Thread(target=lambda: results.append(w.one_tap()))
        thread.start()
        time.sleep(0.5)
        other.execute("ROLLBACK")
        thread.join(30)
        self.assertEqual(results[0].json.get("outcome"), "accepted", results[0])

    def test_locked_for_long_taps_and_revocations_are_refused_clearly(self):
        _, revoke = self.revoke_one()
        other = self.hold()
        try:
            began = time.monotonic()
            tap, revoked = w.one_tap(), revoke()
            took = time.monotonic() - began
        finally:
            other.execute("ROLLBACK")
        for answer in (tap, revoked):
            self.assertEqual((answer.status, answer.code), (503, "store.unavailable"), answer)
        self.assertLess(took, 20 * PATIENCE)
        w.works_again()
        self.assertEqual(revoke().json["state"], "revoked")


class Clock(Case):
    def test_stepped_by_hours_taps_and_sessions_go_on_and_the_record_verifies(self):
        with Terminal(w) as terminal:
            url = w.tap_by_hand(terminal).json["delivery"]["url"]
        browser = w.browser()
        page = url.split("/.cardbroker/")[0] + "/whoami"
        self.assertEqual(browser.get(url).status, 200)
        for hours in (9, 2, 5):
            with self.subTest(hours=hours):
                w.machine.step_clock(hours * HOUR)
                self.assertEqual(w.one_tap().json.get("outcome"), "accepted")
                self.assertEqual(browser.get(page).status, 200)
                self.verified()

    def test_stepped_during_a_tap_its_deadline_stays(self):
        for hours in (9, 2):
            with self.subTest(hours=hours), Terminal(w) as terminal:
                tap, answers = w.played(terminal, None)
                w.machine.step_clock(hours * HOUR)
                self.assertEqual(terminal.proof(tap, answers).json.get("outcome"), "accepted")

    # Fifty years on, ten years back, before there was a Unix.
    FAR = tuple(365 * 24 * HOUR * years for years in (50, -10, -60))

    @staticmethod
    def refused_at(seconds):
        """Of a card whose certificates are over: that; of one whose certificates are not valid yet: that they are not good."""
        return "card.expired" if seconds > 0 else "card.certificate"

    def test_certificates_are_judged_by_the_clock_on_the_wall(self):
        for seconds in self.FAR:
            with self.subTest(years=seconds // (365 * 24 * HOUR)):
                w.machine.step_clock(seconds)
                for _ in range(2):
                    tap = w.one_tap()
                    self.assertEqual((tap.status, tap.code), (422, self.refused_at(seconds)), tap)
                self.verified()
                w.machine.step_clock(0)
                self.assertEqual(w.one_tap().json.get("outcome"), "accepted")

    def test_a_revocation_is_taken_whatever_the_clock_says_and_stays(self):
        for seconds in self.FAR:
            with self.subTest(years=seconds // (365 * 24 * HOUR)):
                card, revoke = self.revoke_one()
                w.machine.step_clock(seconds)
                self.assertEqual(revoke().json.get("state"), "revoked")
                self.assertEqual(w.admin("GET", "/v1/ready").status, 200)
                w.machine.step_clock(0)
                self.assertEqual(w.ctl("card", "show", card)["state"], "revoked")
                self.assertEqual(w.outcome(w.tap_at(w.lay(self.name_of(card)))), "card.revoked")
                self.verified()

    def test_no_card_is_ended_by_a_clock_that_was_set(self):
        card = w.card_ids[next(iter(w.card_ids))]
        given_back = self.revoke_one()[0]
        w.ctl("card", "recall", given_back, "--by", "2060-12-31")
        w.machine.step_clock(self.FAR[0])
        time.sleep(2.5)         # the broker looks every two seconds
        w.machine.step_clock(0)
        self.assertEqual([w.ctl("card", "show", one)["state"] for one in (card, given_back)], ["active", "active"])
        self.assertEqual(w.one_tap().json.get("outcome"), "accepted")

    @staticmethod
    def name_of(card):
        return next(name for name, known in w.card_ids.items() if known == card)

    def test_stepped_far_during_a_tap_it_ends_at_once_and_the_session_of_before_stays(self):
        with Terminal(w) as terminal:
            url = w.tap_by_hand(terminal).json["delivery"]["url"]
        browser = w.browser()
        page = url.split("/.cardbroker/")[0] + "/whoami"
        self.assertEqual(browser.get(url).status, 200)
        for seconds in self.FAR:
            with self.subTest(years=seconds // (365 * 24 * HOUR)), Terminal(w) as terminal:
                tap, answers = w.played(terminal, None)
                w.machine.step_clock(seconds)
                began = time.monotonic()
                done = terminal.proof(tap, answers)
                self.assertLess(time.monotonic() - began, 10 * PATIENCE)
                # The service's certificate, or the card's, is not valid then, or the card's last day is over.
                self.assertIn(w.outcome(done), ("service.certificate", "card.certificate", "card.expired"), done)
                self.assertEqual(browser.get(page).status, 200)
                w.machine.step_clock(0)
                self.assertEqual(browser.get(page).status, 200)
                self.assertEqual(w.one_tap().json.get("outcome"), "accepted")
                self.verified()

    def test_stepped_between_the_first_two_steps(self):
        for seconds in (-60, HOUR, *self.FAR):
            with self.subTest(seconds=seconds), Terminal(w) as terminal, Card(w.reader) as card:
                begun = terminal.begin()
                w.machine.step_clock(seconds)
                asked = terminal.challenge(begun.json["tap"], card.play(begun.json["script"]))
                if seconds < -HOUR:
                    self.assertEqual(w.outcome(asked), self.refused_at(seconds), asked)
                else:
                    done = terminal.proof(begun.json["tap"], card.play(asked.json["script"]))
                    # A minute ago the authority of this installation's service may not have been there.
                    self.assertIn(w.outcome(done), ("accepted", "service.certificate") if seconds <= HOUR
                                  else (self.refused_at(seconds),), done)
                w.machine.step_clock(0)


def used(pid):
    """Seconds of processor time; 0: it has ended, as the process of a session may."""
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


class Descriptors(Case):
    def starve(self, name):
        """No further descriptor for any process of a program; what gives them back."""
        before = {}
        for pid, held in w.of_each(name, lambda pid: [int(fd) for fd in os.listdir(f"/proc/{pid}/fd")]):
            before[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            free = next(fd for fd in range(4096) if fd not in held)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, before[pid][1]))
        return before

    def give_back(self, before):
        for pid, limits in before.items():
            try:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            except ProcessLookupError:
                continue

    def knock(self, name):
        """Many connections at once."""
        where = {"cardbroker-hsmd": ["use-0.sock", "log.sock"], "cardbroker-connectord": ["connectors.sock"], "cardbrokerd": []}
        for path in 4 * where[name]:
            one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.addCleanup(one.close)
            one.connect(str(w.run_folder / path))
        for _ in range(0 if where[name] else 8):
            one = socket.create_connection(("127.0.0.1", w.port))
            self.addCleanup(one.close)

    def test_without_descriptors_each_program_says_so_rests_and_recovers(self):
        for name in DAEMONS:
            with self.subTest(program=name):
                log, before = len(w.log_of(name)), self.starve(name)
                try:
                    began = {pid: used(pid) for pid in before}
                    self.knock(name)
                    time.sleep(3)
                    spent = sum(max(used(pid) - began[pid], 0) for pid in before)
                finally:
                    self.give_back(before)
                said = w.log_of(name)[log:]
                w.works_again(seconds=15)
                self.assertLess(spent, 0.5 * PATIENCE)
                self.assertIn(STARVED[name], said)
                self.assertLess(said.count("\n"), 80)

    def test_a_tap_without_descriptors_is_refused_and_the_next_one_with_them_works(self):
        for name in ("cardbroker-hsmd", "cardbroker-connectord"):
            with self.subTest(program=name):
                before = self.starve(name)
                try:
                    refused = w.one_tap()
                finally:
                    self.give_back(before)
                if refused.json.get("outcome") != "accepted":   # what is open already may do
                    self.assertEqual(refused.status // 100, 5, refused)
                w.works_again(seconds=15)


if __name__ == "__main__":
    main()

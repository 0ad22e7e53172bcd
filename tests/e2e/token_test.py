# SPDX-License-Identifier: GPL-3.0-or-later
"""An HSM that fails and comes back, while everything runs: taps are refused and nothing else goes wrong, and then they work again."""

import fcntl
import os
import secrets
import signal
import sys
import unittest
from pathlib import Path

from world import PATIENCE, World, main, run, time, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from faulty import Token  # noqa: E402

DEVICE_REMOVED, PIN_INCORRECT, SESSION_INVALID, TOKEN_ABSENT, NOT_LOGGED_IN, GENERAL = 0x32, 0xA0, 0xB3, 0xE0, 0x101, 0x05

w = None


def setUpModule():
    global w
    w = World()
    w.TOKEN_MODULE = w.build / "tests/support/faulty_token.so"
    w.token = Token(w.folder / "token-faults")
    w.env.update(w.token.env)
    w.settle_in()


class Case(unittest.TestCase):
    def setUp(self):
        w.token.mend()
        if w.programs["cardbroker-hsmd"].poll() is not None:
            w.start_hsmd()
        w.works_again()

    def tearDown(self):
        w.token.mend()
        wait_until("the record to verify", lambda: self.verified()["open_intents"] == 0, 20 * PATIENCE)

    def verified(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        return report


class Gone(Case):
    def test_whatever_it_says_while_it_is_gone_taps_are_refused_and_work_when_it_is_back(self):
        for rv in (DEVICE_REMOVED, SESSION_INVALID, TOKEN_ABSENT, NOT_LOGGED_IN, GENERAL):
            with self.subTest(ckr=hex(rv)):
                w.token.fail(("*", rv))
                for _ in range(2):
                    refused = w.one_tap()
                    self.assertEqual(refused.status // 100, 5, refused)
                    self.assertIn(refused.code, ("hsm.token", "hsm.unavailable"), refused)
                self.assertGreater(w.token.calls(), 0)
                w.token.mend()
                w.works_again()

    def test_a_lost_session_is_opened_anew_within_the_tap(self):
        for name, rv in (("C_Sign", SESSION_INVALID), ("C_SignInit", NOT_LOGGED_IN), ("C_SignInit", DEVICE_REMOVED)):
            with self.subTest(call=name, ckr=hex(rv)):
                w.token.fail((name, rv, 0, 0))
                done = w.one_tap()
                self.assertEqual(done.json.get("outcome"), "accepted", done)
                self.assertGreater(w.token.calls(), 1)

    def test_a_card_is_revoked_while_it_is_gone(self):
        card = w.issue("Taro", f"lost {secrets.token_hex(4)}")
        w.token.fail(("*", DEVICE_REMOVED))
        w.one_tap()
        done = w.admin("POST", f"/v1/cards/{card}/revoke", {"reason": "lost"})
        self.assertEqual((done.status, done.json.get("state")), (200, "revoked"), done)
        w.token.mend()
        w.works_again()
        wait_until("the head over it", lambda: self.verified()["leaves_unsigned"] == 0, 10 * PATIENCE)

    def test_the_folder_of_the_token_is_moved_away_and_back(self):
        tokens, away = w.keys / "tokens", w.keys / "away"
        os.rename(tokens, away)
        try:
            for pid, _ in w.processes("cardbroker-hsmd")[1:]:
                os.kill(pid, signal.SIGKILL)
            wait_until("a refusal", lambda: w.one_tap().status >= 500, 10 * PATIENCE)
            time.sleep(1)
        finally:
            os.rename(away, tokens)
        if w.programs["cardbroker-hsmd"].poll() is None:
            w.works_again(seconds=15)
        else:
            self.fail("hsmd ended: " + w.programs["cardbroker-hsmd"].last_words())


    def waits_for_the_token(self, known):
        """A worker that was started since, and waits for its turn to log in."""
        waiting = Path("/proc/locks").read_text().splitlines()
        return [pid for pid, _ in w.processes("cardbroker-hsmd")[1:]
                if pid not in known and any("->" in line and str(pid) in line.split() for line in waiting)]

    def test_a_worker_that_is_still_at_its_login_does_not_keep_the_next_hsmd_out(self):
        """It outlives the one that was killed: SoftHSM's file must not be left half written."""
        known = [pid for pid, _ in w.processes("cardbroker-hsmd")]
        with open(w.keys / "hsmd" / "token.lock", "rb") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            os.kill(known[1], signal.SIGKILL)
            wait_until("a worker that waits", lambda: self.waits_for_the_token(known), 10 * PATIENCE)
            late, = self.waits_for_the_token(known)
            w.programs["cardbroker-hsmd"].process.send_signal(signal.SIGKILL)
            w.programs["cardbroker-hsmd"].process.wait()
            wait_until("the other workers to end", lambda: all(self.ended(pid) for pid in known), 10 * PATIENCE)
            w.start_hsmd()
            time.sleep(0.3)
            self.assertIsNone(w.programs["cardbroker-hsmd"].poll(), w.programs["cardbroker-hsmd"].last_words())
            self.assertFalse(self.ended(late))
        w.works_again(seconds=15)
        wait_until("the late one to end", lambda: self.ended(late), 10 * PATIENCE)

    @staticmethod
    def ended(pid):
        try:
            return not Path(f"/proc/{pid}/cmdline").read_bytes()    # of a zombie there is none
        except OSError:
            return True

    def test_a_login_that_was_killed_while_the_token_was_written_costs_no_key(self):
        for size in (0, 100):
            workers = [pid for pid, _ in w.processes("cardbroker-hsmd")[1:]]
            w.programs["cardbroker-hsmd"].process.send_signal(signal.SIGKILL)
            w.programs["cardbroker-hsmd"].process.wait()
            wait_until("its workers to end with it", lambda: all(self.ended(pid) for pid in workers), 10 * PATIENCE)
            file, = (w.keys / "tokens").glob("*/token.object")
            os.truncate(file, size)
            w.start_hsmd()
            w.works_again(seconds=15)
            self.assertIn("token.mended", w.log_of("cardbroker-hsmd"))


class Pin(Case):
    """A wrong PIN must not be tried again: three tries lock a token for good."""

    def ended(self):
        program = w.programs["cardbroker-hsmd"]
        wait_until("hsmd to end", lambda: program.poll() is not None, 20 * PATIENCE)
        self.assertEqual(program.returncode, 78, program.last_words())

    def test_a_pin_that_was_changed_meanwhile_is_tried_once_by_all_workers_together(self):
        w.token.fail(("C_Login", PIN_INCORRECT), ("C_SignInit", NOT_LOGGED_IN), ("C_GetSessionInfo", NOT_LOGGED_IN))
        deadline = time.monotonic() + 10 * PATIENCE
        while w.programs["cardbroker-hsmd"].poll() is None and time.monotonic() < deadline:
            w.one_tap()
        self.ended()
        self.assertEqual(w.token.calls(), 1)
        self.assertIn("token.pin_refused", w.log_of("cardbroker-hsmd"))

    def test_workers_that_start_again_do_not_try_it_either(self):
        w.token.fail(("C_Login", PIN_INCORRECT))
        for pid, _ in w.processes("cardbroker-hsmd")[1:]:
            os.kill(pid, signal.SIGKILL)
        self.ended()
        self.assertEqual(w.token.calls(), 1)

    def change(self, old, new):
        """At the token itself, as its owner would."""
        run(["pkcs11-tool", "--module", World.TOKEN_MODULE, "--token-label", "cardbroker", "--login", "--pin", "env:OLD", "--change-pin",
             "--new-pin", "env:NEW"], env={**w.env, "OLD": old, "NEW": new})

    def test_a_pin_that_changed_for_good_stops_taps_until_it_is_told_and_no_revocation(self):
        file = w.etc / "hsm.pin"
        old, new = file.read_text().strip(), f"{secrets.randbelow(10**12):012d}"
        card = w.issue("Hanako", "lost")
        self.change(old, new)
        for pid, _ in w.processes("cardbroker-hsmd")[1:]:
            os.kill(pid, signal.SIGKILL)
        self.ended()
        self.assertEqual(w.one_tap().code, "hsm.unavailable")
        revoked = w.admin("POST", f"/v1/cards/{card}/revoke", {"reason": "lost"})
        self.assertEqual((revoked.status, revoked.json.get("state")), (200, "revoked"), revoked)
        for pin, next_one in ((new, old), (old, None)):
            file.write_text(pin)
            w.start_hsmd()
            w.works_again(seconds=15)
            self.assertEqual(w.one_tap(reader=w.lay("lost")).code, "card.revoked")
            w.take_away("lost")
            if next_one:
                w.stop_one("cardbroker-hsmd")
                self.change(pin, next_one)

    def test_a_wrong_pin_at_the_start_is_tried_once(self):
        w.stop_one("cardbroker-hsmd")
        w.token.fail(("C_Login", PIN_INCORRECT))
        w.spawn("cardbroker-hsmd", [w.program("cardbroker-hsmd"), "--config", w.etc / "hsmd.conf"])
        self.ended()
        self.assertEqual(w.token.calls(), 1)


class Workers(Case):
    def test_one_that_is_killed_again_and_again_is_started_ever_later_and_the_others_serve(self):
        seen = len(w.log_of("cardbroker-hsmd"))
        deadline = time.monotonic() + 3
        killed = 0
        while time.monotonic() < deadline:
            children = w.processes("cardbroker-hsmd")[1:]
            for pid, _ in children[:1]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue    # it has ended since
                killed += 1
            time.sleep(0.05)
        self.assertGreater(killed, 2)
        w.works_again(seconds=15)
        self.assertLess(w.log_of("cardbroker-hsmd")[seen:].count('"worker.ended"'), killed + 2)


if __name__ == "__main__":
    main()

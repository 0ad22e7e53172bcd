#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cardlink, the real program, and its broker: one that fails, is away or cannot prove itself, and one that
is asked for the newer certificates of a card after its tap.

usage: terminal_broker_test.py CARDLINK [NAME...]
"""
import json
import os
import pathlib
import subprocess
import unittest

from terminal_support import CARDLINK, Case, wait_until


class TerminalAndBrokerTest(Case):
    def test_faults_of_the_broker_are_told_apart(self):
        self.scene.insert()
        for mode, status, code in (("busy", 69, "broker.busy"), ("drop", 69, "broker.unreachable"),
                                   ("malformed", 1, "internal.protocol"), ("oversized", 1, "internal.protocol"),
                                   ("huge", 1, "internal.protocol"), ("revoked", 3, "card.revoked")):
            with self.subTest(mode):
                self.scene.mode(mode)
                result = self.tap(status=status)
                self.assertEqual(result["code"], code)
                if mode == "busy":
                    self.assertEqual(result["retry_after"], 7)

    def test_only_a_begin_is_asked_twice(self):
        self.scene.insert()
        self.scene.mode("drop")
        self.tap(status=69)
        self.assertEqual([one["path"] for one in self.scene.requests()], ["/v1/taps"] * 2)

    def test_a_broker_that_is_not_there(self):
        self.scene.configure(1)
        try:
            self.assertEqual(self.tap(status=69)["code"], "broker.unreachable")
        finally:
            self.scene.configure(self.scene.path("port").read_text(encoding="ascii"))

    def test_the_log_names_the_tap_of_a_login_of_which_nothing_more_was_heard(self):
        port, log = self.scene.path("port").read_text(encoding="ascii"), self.scene.path("journal")
        self.scene.configure(port, log=log)
        self.addCleanup(self.scene.configure, port)
        self.scene.mode("later-gone")
        read, write = os.pipe()
        os.write(write, b"correct horse battery\n")
        os.close(write)
        failed = self.scene.cardlink("login", "--json", "--name", "hanako", "--password-fd", str(read), pass_fds=[read])
        os.close(read)
        self.assertEqual((failed.returncode, json.loads(failed.stdout.splitlines()[-1])["code"]), (69, "broker.unreachable"), failed.stderr)
        taps = {one["path"].split("/")[3] for one in self.scene.requests() if one["path"].endswith("/challenge")}
        self.assertEqual(len(taps), 1)
        self.assertIn(f"{taps.pop()} broker.unreachable".encode(), log.read_bytes())

    def test_a_broker_that_cannot_prove_itself_is_not_spoken_to(self):
        port = self.scene.path("port").read_text(encoding="ascii")
        try:
            self.scene.configure(port, ca=self.scene.path("other-ca.pem"))
            self.assertEqual(self.tap(status=69)["code"], "broker.certificate")
            self.scene.start_broker(server="misnamed")
            self.assertEqual(self.tap(status=69)["code"], "broker.certificate")
            self.assertEqual(self.scene.requests(), [])
        finally:
            self.scene.start_broker()

    def test_a_terminal_that_is_not_known_gets_nothing(self):
        self.scene.insert()
        self.scene.configure(self.scene.path("port").read_text(encoding="ascii"),
                             certificate=self.scene.path("stranger.pem"), key=self.scene.path("stranger.key"))
        try:
            self.assertEqual(self.tap(status=69)["code"], "broker.unreachable")
            self.assertEqual(self.scene.requests(), [])
        finally:
            self.scene.configure(self.scene.path("port").read_text(encoding="ascii"))

    def test_services_are_shown_without_control_characters(self):
        result = self.scene.cardlink("services")
        self.assertEqual(result.stdout, "tax  Tax ?[31moffice\n")

    # --- certificates that are soon over ---

    def others_cards(self, more=""):
        """A terminal that takes others' cards alone, for as long as the test lasts."""
        port = self.scene.path("port").read_text(encoding="ascii")
        self.scene.configure(port, more="profiles = {piv}\nprefetch = false\n" + more)
        self.addCleanup(self.scene.configure, port)
        self.addCleanup(self.scene.mode, "accept")      # and nobody waits for an answer any more

    def asked(self):
        return [one["path"].rsplit("/", 1)[1] for one in self.scene.requests()]

    def wait_for_renewal(self):
        self.assertTrue(wait_until(lambda: "renewal" in self.asked()), self.asked())

    def test_what_a_tap_has_brought_is_handed_out_before_newer_certificates_are_asked_for(self):
        self.others_cards()
        self.scene.insert()
        self.scene.mode("soon-over-stalled")
        path = self.scene.path("delivery")
        path.unlink(missing_ok=True)
        with open(self.scene.path("tap.out"), "w", encoding="utf-8") as out:
            tap = subprocess.Popen([CARDLINK, "--config", self.scene.path("cardlink.conf"), "tap", "--json", "--timeout", "10",
                                    "--delivery", path], env=self.scene.environment, stdout=out)
        self.scene.others.append(tap)
        self.wait_for_renewal()
        said = self.scene.path("tap.out").read_text(encoding="utf-8").splitlines()
        self.assertEqual([json.loads(line)["event"] for line in said], ["tap.accepted"])
        self.assertEqual(json.loads(path.read_text(encoding="utf-8"))["kind"], "relayed")
        self.scene.mode("soon-over")
        self.assertEqual(tap.wait(timeout=60), 0)
        self.assertEqual(self.asked(), ["taps", "challenge", "proof", "taps", "renewal", "proof"])
        self.assertEqual(self.scene.path("tap.out").read_text(encoding="utf-8").splitlines(), said, "nothing more is said")

    def test_a_renewal_that_comes_to_nothing_takes_nothing_from_an_accept(self):
        self.others_cards()
        self.scene.insert()
        self.scene.mode("soon-over-pin")
        self.assertEqual(self.tap()["event"], "tap.accepted")
        self.assertEqual(self.asked(), ["taps", "challenge", "proof", "taps", "renewal", "end"])
        self.assertEqual(self.scene.requests()[-1]["body"], {"reason": "pin.required"})

    def test_a_pin_is_used_for_newer_certificates_where_the_tap_has_used_it_and_nowhere_else(self):
        self.others_cards()
        self.scene.insert()
        for mode, renewed in (("soon-over-pin", False), ("soon-over-both", True)):
            with self.subTest(mode=mode):
                self.scene.mode(mode)
                self.scene.forget_requests()
                self.assertEqual(self.tap_with_pin(b"739154", 0)["event"], "tap.accepted")
                proofs = [one["body"]["answers"] for one in self.scene.requests() if one["path"].endswith("/proof")]
                # The plain card knows no VERIFY: who sends it one sees 6d00.
                self.assertEqual([answers[0] == "6d00" for answers in proofs], [True, True] if renewed else [False])

    def test_a_pin_that_was_typed_for_one_card_is_given_to_no_other_that_is_laid_down_meanwhile(self):
        # What is asked, and what the tap says, when another card takes the first one's place while the broker is at one of its steps.
        for late, step, then, asked, status in (
                ("soon-over-late", "proof", "soon-over-both", ["taps", "challenge", "proof", "taps", "end"], 0),
                ("newer-challenged", "challenge", "newer", ["taps", "challenge", "taps", "end"], 3),
                ("newer-renewed", "proof", "newer", ["taps", "challenge", "taps", "renewal", "proof", "taps", "end"], 3)):
            with self.subTest(mode=late):
                self.others_cards(more="timeout = 60\n")
                self.scene.insert(0, "--number", "1")
                self.scene.mode(late)
                self.scene.forget_requests()
                read, write = os.pipe()
                os.write(write, b"739154\n")
                os.close(write)
                with open(self.scene.path("tap.out"), "w", encoding="utf-8") as out:
                    tap = subprocess.Popen([CARDLINK, "--config", self.scene.path("cardlink.conf"), "tap", "--json", "--timeout", "10",
                                            "--pin-fd", str(read)], env=self.scene.environment, stdout=out, pass_fds=[read])
                os.close(read)
                self.scene.others.append(tap)
                self.assertTrue(wait_until(lambda: step in self.asked()), self.asked())
                self.scene.insert(0, "--number", "2")
                self.scene.mode(then)
                self.assertEqual(tap.wait(timeout=60), status)
                self.assertEqual(self.asked(), asked)
                self.assertEqual(self.scene.requests()[-1]["body"], {"reason": "card.removed"})
                said, = [json.loads(line) for line in self.scene.path("tap.out").read_text(encoding="utf-8").splitlines()]
                self.assertEqual(said["event"] if status == 0 else said["code"], "card.removed" if status else "tap.accepted")

    def test_the_agent_says_who_came_before_it_asks_for_newer_certificates(self):
        self.others_cards()
        self.scene.mode("soon-over-stalled")
        folder = self.scene.path("deliveries")
        folder.mkdir(exist_ok=True)
        agent = self.scene.agent("--delivery", str(folder))
        self.wait_for_event("reader.ready", 2)
        self.scene.insert(0, wait=False)
        self.wait_for_renewal()
        accepted, = [one for one in self.scene.events() if one["event"] == "tap.accepted"]
        self.assertTrue(pathlib.Path(accepted["delivery_file"]).exists())
        self.assertEqual(self.scene.count("card.renewed"), 0)
        self.scene.mode("soon-over")
        self.wait_for_event("card.renewed")
        self.assertEqual(self.scene.count("tap.accepted"), 1)
        self.stop_agent(agent)


if __name__ == "__main__":
    unittest.main()

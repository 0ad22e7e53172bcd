#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cardlink, the real program: its readers, its taps, PINs and deliveries, and how it is used.

usage: terminal_test.py CARDLINK [NAME...]
"""
import json
import os
import stat
import subprocess
import time
import unittest

from terminal_support import CARDLINK, SUPPORT, SYSTEM_PYTHON, Case, run, wait_until


class TerminalTest(Case):
    def test_readers_are_listed_with_their_cards(self):
        self.scene.insert(1, "--contactless")
        first, second = self.scene.readers()
        self.assertFalse(first["card"])
        self.assertTrue(second["card"])
        self.assertEqual((second["atr"], second["interface"]), ("3b80800101", "contactless"))

    def test_without_pcscd_it_says_so(self):
        result = run(CARDLINK, "--config", self.scene.path("cardlink.conf"), "readers",
                     env=dict(os.environ, PCSCLITE_CSOCK_NAME="/nonexistent"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("pcscd", result.stderr)

    # --- a tap ---

    def test_a_tap_takes_three_exchanges_on_one_connection(self):
        self.scene.insert()
        result = self.tap()
        self.assertEqual(result["event"], "tap.accepted")
        self.assertEqual(result["delivery"]["kind"], "relayed")
        self.assertTrue(result["prefetched"])
        requests = self.scene.requests()
        self.assertEqual([one["path"].rsplit("/", 1)[1] for one in requests], ["taps", "challenge", "proof"])
        self.assertEqual(len({one["peer"] for one in requests}), 1)
        self.assertEqual(requests[1]["body"]["answers"][:2], ["9000", "000000009000"])   # 6C04 was put right
        self.assertEqual(requests[1]["body"]["service"], "tax")
        self.assertNotIn("pin", requests[1]["body"])
        self.assertEqual(requests[2]["body"], {"answers": ["0102039000"]})

    def test_a_card_that_comes_later_is_served(self):
        waiting = subprocess.Popen([CARDLINK, "--config", self.scene.path("cardlink.conf"), "tap", "--timeout", "20"],
                                   env=self.scene.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.scene.others.append(waiting)
        time.sleep(0.5)
        self.scene.insert(1)
        out, err = waiting.communicate(timeout=30)
        self.assertEqual(waiting.returncode, 0, err)
        self.assertIn("Present the card.", err)
        self.assertEqual(out.splitlines()[1], "https://label.relay.test/.cardbroker/enter?code=one-time")

    def test_no_card_is_no_success(self):
        self.assertEqual(self.tap("--timeout", "1", status=3)["code"], "card.absent")

    def test_long_answers_are_fetched_and_refusals_end_the_script(self):
        self.scene.insert()
        self.scene.mode("long")
        self.tap()
        answers = self.scene.requests()[2]["body"]["answers"]
        self.assertEqual([len(one) // 2 for one in answers], [0x300 + 2, 0x20 + 2, 2, 2])
        self.assertEqual(answers[2:], ["6d00", "6d00"])

    def test_a_card_taken_away_is_reported_to_the_person_and_to_the_broker(self):
        self.scene.insert()
        self.scene.mode("remove")
        self.assertEqual(self.tap(status=3)["code"], "card.removed")
        last = self.scene.requests()[-1]
        self.assertEqual(last["path"].rsplit("/", 1)[1], "end")
        self.assertEqual(last["body"], {"reason": "card.removed"})

    def test_a_tap_that_misses_its_pin_is_ended_at_the_broker(self):
        """Only when the card's profile is known does the terminal see that one is wanted."""
        self.scene.insert()
        port = self.scene.path("port").read_text(encoding="ascii")
        self.scene.configure(port, more="profiles = {piv}\nprefetch = false\n")
        self.scene.mode("clear-pin")
        try:
            for pin, code in ((None, "pin.required"), (b"1234567890", "pin.format")):
                with self.subTest(code=code):
                    self.scene.forget_requests()
                    said = self.tap_with_pin(pin, 3) if pin else self.tap(status=3)
                    self.assertEqual(said["code"], code)
                    last = self.scene.requests()[-1]
                    self.assertEqual((last["path"].rsplit("/", 1)[1], last["body"]), ("end", {"reason": code}))
        finally:
            self.scene.configure(port)

    def test_a_card_that_never_answers_is_given_up(self):
        self.scene.insert()
        self.scene.mode("hang")
        before = time.monotonic()
        self.assertEqual(self.tap(status=1)["code"], "reader.failed")
        self.assertLess(time.monotonic() - before, 30)
        self.scene.remove(wait=False)
        self.assertEqual(self.scene.pcsc("restart"), 0)

    def test_an_expired_tap_is_begun_anew_once(self):
        self.scene.insert()
        self.scene.mode("expired-once")
        self.assertFalse(self.tap()["prefetched"])
        self.assertEqual([one["path"].rsplit("/", 1)[1] for one in self.scene.requests()],
                         ["taps", "challenge", "taps", "challenge", "proof"])

    def test_a_virtual_card_needs_no_pcsc(self):
        socket = self.scene.path("card")
        self.scene.others.append(subprocess.Popen([SYSTEM_PYTHON, SUPPORT / "plain_card.py", "--unix", socket]))
        self.assertTrue(wait_until(socket.exists))
        self.scene.configure(self.scene.path("port").read_text(encoding="ascii"), readers=f"virtual:{socket}")
        try:
            self.assertEqual(self.tap()["reader"], str(socket))
            self.scene.mode("remove")
            self.assertEqual(self.tap(status=3)["code"], "card.removed")
            agent = self.scene.agent()
            self.wait_for_event("tap.refused", 2)   # the card leaves and comes back
            self.scene.mode("accept")
            self.wait_for_event("tap.accepted")
            time.sleep(1)
            self.assertEqual(self.scene.count("tap.accepted"), 1)
            self.stop_agent(agent)
        finally:
            self.scene.configure(self.scene.path("port").read_text(encoding="ascii"))

    def make_native_card(self):
        folder, issuer = self.scene.folder, os.environ["CB_ISSUER"]
        if (folder / "native.state").exists():
            return
        for words in (["authority", "new", "--folder", folder / "cards", "--name", "CARDS"],
                      ["authority", "new", "--folder", folder / "brokers", "--name", "BROKERS"],
                      ["batch", "new", "--authority", folder / "cards", "--folder", folder / "batch", "--name", "B1"],
                      ["card", "make", "--authority", folder / "cards", "--batch", folder / "batch",
                       "--broker", f"{folder}/brokers/authority.cvc:10:01", "--state", folder / "native.state",
                       "--certificate", folder / "native.crt", "--letter", folder / "letter"]):
            made = run(issuer, *words)
            self.assertEqual(made.returncode, 0, made.stderr)

    @unittest.skipUnless("CB_VCARD" in os.environ, "CB_VCARD and CB_ISSUER name no programs")
    def test_of_a_card_whose_batch_is_over_the_broker_is_asked_if_it_is_there(self):
        self.make_native_card()
        socket, port = self.scene.path("over.sock"), self.scene.path("port").read_text(encoding="ascii")
        self.scene.others.append(subprocess.Popen([os.environ["CB_VCARD"], "--socket", socket, self.scene.path("native.state")],
                                                  stderr=subprocess.DEVNULL))
        self.assertTrue(wait_until(socket.exists))
        self.scene.configure(port, readers=f"virtual:{socket}")
        try:
            self.scene.mode("later")
            self.tap()
            self.assertEqual([one["path"].rsplit("/", 1)[1] for one in self.scene.requests()], ["taps", "challenge", "proof"])
            self.scene.mode("later-gone")
            self.assertEqual(self.tap(status=3)["code"], "card.expired")
        finally:
            self.scene.configure(port)

    @unittest.skipUnless("CB_VCARD" in os.environ, "CB_VCARD and CB_ISSUER name no programs")
    def test_the_native_card_answers_through_pcscd_and_without(self):
        folder, card = self.scene.folder, os.environ["CB_VCARD"]
        self.make_native_card()
        socket = folder / "native.sock"
        for reader, place in ((0, ["--vpcd", "127.0.0.1:35963"]), (None, ["--socket", socket])):
            inside = [SUPPORT / "pcsc.sh", "exec", folder] if reader == 0 else []
            native = subprocess.Popen([*inside, card, *place, folder / "native.state"], stderr=subprocess.DEVNULL)
            self.scene.others.append(native)
            self.assertTrue(wait_until(socket.exists if reader is None else lambda: self.scene.holds_card(0)))
            port = self.scene.path("port").read_text(encoding="ascii")
            self.scene.configure(port, readers="pcsc" if reader == 0 else f"virtual:{socket}")
            try:
                self.scene.forget_requests()
                self.tap()
                # Its application is selected; what the plain card knows, it does not.
                self.assertTrue(self.scene.requests()[1]["body"]["answers"][0].startswith("6f"))
            finally:
                self.scene.configure(port)
            native.terminate()
            native.wait()
        self.assertTrue(wait_until(lambda: self.scene.holds_card(0) is False))

    # --- PIN and delivery ---

    def test_the_pin_leaves_the_terminal_only_encrypted(self):
        self.scene.insert()
        read, write = os.pipe()
        os.write(write, b"739154\n")
        os.close(write)
        self.tap("--pin-fd", str(read), pass_fds=[read])
        os.close(read)
        pin = self.scene.requests()[1]["body"]["pin"]
        self.assertEqual(len(pin), 2 * 113)
        self.assertNotIn("739154".encode().hex(), self.scene.path("log").read_text(encoding="ascii"))

    def test_a_broker_gets_the_pin_in_the_clear_only_where_the_card_takes_no_other(self):
        self.scene.insert()
        port = self.scene.path("port").read_text(encoding="ascii")
        try:
            for profile, mode, status in (("native", "clear-pin", 1), ("scp03", "clear-pin", 1), ("piv", "early-pin", 1),
                                          ("piv", "clear-pin", 0), ("jpki", "clear-pin", 0)):
                with self.subTest(profile=profile, mode=mode):
                    self.scene.configure(port, more=f"profiles = {{{profile}}}\nprefetch = false\n")
                    self.scene.mode(mode)
                    self.scene.forget_requests()
                    result = self.tap_with_pin(b"739154", status)
                    # The card's answers look as if it had a key for PINs.
                    asked = [one for one in self.scene.requests() if one["path"].endswith("/challenge")]
                    self.assertEqual(["pin" in one["body"] for one in asked], [profile == "native"] * len(asked))
                    if status:
                        self.assertEqual(result["code"], "internal.protocol")
                    # The plain card knows no VERIFY, and says so when it sees one.
                    answers = [answer for one in self.scene.requests() for answer in one["body"].get("answers", [])]
                    self.assertEqual([answer[-4:] for answer in answers].count("6d00"), 0 if status else 1)
        finally:
            self.scene.configure(port)

    def test_pin_purposes_name_no_service(self):
        self.scene.insert()
        for words, lines, purpose in ((["pin", "change"], b"1234\n5678\n", "pin_change"),
                                      (["pin", "unblock"], b"12345678\n5678\n", "pin_unblock")):
            self.scene.forget_requests()
            read, write = os.pipe()
            os.write(write, lines)
            os.close(write)
            result = self.scene.cardlink(*words, "--pin-fd", str(read), pass_fds=[read])
            os.close(read)
            self.assertEqual(result.returncode, 0, result.stderr)
            body = self.scene.requests()[1]["body"]
            self.assertEqual((body["purpose"], "service" in body), (purpose, False))

    def test_a_wrong_pin_says_how_many_tries_are_left(self):
        self.scene.insert()
        self.scene.mode("wrong-pin")
        self.assertEqual(self.tap(status=3)["tries_left"], 2)
        self.assertIn("2 tries left", self.scene.cardlink("tap").stdout)

    def test_a_malformed_pin_reaches_neither_card_nor_broker(self):
        read, write = os.pipe()
        os.write(write, b"12\n")
        os.close(write)
        self.assertEqual(self.tap("--pin-fd", str(read), status=3, pass_fds=[read])["code"], "pin.format")
        os.close(read)
        self.assertEqual(self.scene.requests(), [])

    def test_a_delivery_in_a_file_is_its_owners_alone_and_not_shown(self):
        self.scene.insert()
        self.scene.mode("token")
        path = self.scene.path("delivery")
        result = self.tap("--delivery", path)
        self.assertEqual(result["delivery_file"], str(path))
        self.assertNotIn("delivery", result)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(json.loads(path.read_text(encoding="utf-8"))["token"]["access_token"], "secret-token")

    # --- configuration and use ---

    def test_a_key_that_others_can_read_is_not_used(self):
        key = self.scene.path("terminal.key")
        key.chmod(0o644)
        try:
            result = self.scene.cardlink("services")
            self.assertEqual(result.returncode, 78)
            self.assertIn("chmod 600", result.stderr)
        finally:
            key.chmod(0o600)

    def test_files_that_are_missing_are_a_wrong_configuration(self):
        port = self.scene.path("port").read_text(encoding="ascii")
        try:
            for name in ("ca", "certificate", "key"):
                with self.subTest(name):
                    self.scene.configure(port, **{name: "/nonexistent.pem"})
                    result = self.scene.cardlink("services")
                    self.assertEqual(result.returncode, 78)
                    self.assertIn("/nonexistent.pem", result.stderr)
        finally:
            self.scene.configure(port)
        self.assertEqual(run(CARDLINK, "--config", "/nonexistent.conf", "readers").returncode, 78)

    def test_wrong_use_is_two(self):
        for words in ([], ["tap", "1234", "5"], ["pin"], ["pin", "forget"], ["--pin=1234", "tap"], ["nothing"],
                      ["tap", "--timeout", "soon"], ["tap", "--service", "NO"], ["tap", "--pin-fd", "x"]):
            with self.subTest(words):
                self.assertEqual(self.scene.cardlink(*words).returncode, 2)
        for words in (["--help"], ["--version"]):
            self.assertEqual(self.scene.cardlink(*words).returncode, 0)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards of an agency that says by a responder (OCSP) what it has revoked, and in no list: what taps make of a real one's answers, and of its
silence."""

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from foreign_world import PIN, ForeignWorld
from steps import Fragile, Role, stride
from world import PATIENCE, main, run, wait_until

from environment import free_port  # world knows where

w = None
hands = ThreadPoolExecutor(1)   # its thread lasts: what it starts would end with it
COUNTS_FOR = 60     # seconds: as short as openssl's responder can say


class Doorkeeper(socketserver.StreamRequestHandler):
    """Takes whole questions only to openssl, which runs idle for ever, or ends, over one whose asker was killed before he had said all."""

    def handle(self):
        heading, length = [], 0
        while not heading or heading[-1].strip():
            line = self.rfile.readline()
            if not line:
                return
            heading.append(line)
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        body = self.rfile.read(length)
        if len(body) == length:
            with socket.create_connection(self.server.responder) as responder:
                responder.sendall(b"".join(heading) + body)
                self.answer(responder.makefile("rb").read())

    def answer(self, answer):
        try:
            self.wfile.write(answer)
        except OSError:
            pass                                # nobody wants it any more


class Door(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class OcspWorld(Fragile, ForeignWorld):
    """The responder is openssl's, and answers from the authority's own index."""

    HOW_LONG_IT_COUNTS = "clock-skew-seconds = 0"

    def word_of_the_agency(self):
        self.responder_port = free_port()
        return f'ocsp = "http://127.0.0.1:{self.responder_port}/"'

    def say_of(self, name, word):
        for slot in ("9a", "9e"):
            run(["openssl", "ca", "-config", self.folder / "agency" / "ca.conf", word, self.cards / name / f"{slot}.pem"])

    def vouch(self, name):
        """From now on the agency knows the card's certificates."""
        self.say_of(name, "-valid")

    def dismiss(self, name):
        self.say_of(name, "-revoke")

    def start_responder(self):
        port = free_port()
        self.responder = subprocess.Popen(
            ["openssl", "ocsp", "-index", self.folder / "agency" / "index.txt", "-CA", self.pki / "agency.pem", "-rsigner", self.pki / "agency.pem",
             "-rkey", self.pki / "agency.key", "-port", str(port), "-nmin", str(COUNTS_FOR // 60)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while "waiting for OCSP client" not in (line := self.responder.stdout.readline()):
            assert line, "openssl ocsp has ended"
        self.door = Door(("127.0.0.1", self.responder_port), Doorkeeper)
        self.door.responder = ("127.0.0.1", port)
        threading.Thread(target=self.door.serve_forever, args=(0.01,)).start()

    def stop_responder(self):
        self.door.shutdown()
        self.door.server_close()
        self.responder.kill()
        self.responder.wait()
        self.responder.stdout.close()

    def tear_down(self):
        super().tear_down()
        if hasattr(self, "responder") and self.responder.poll() is None:
            self.stop_responder()

    def metric(self, name):
        lines = self.admin("GET", "/metrics").data.decode().splitlines()
        return int(next(line.split()[-1] for line in lines if line.startswith(f"cardbroker_issuer_{name} ")))


def setUpModule():
    global w
    w = OcspWorld()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_nginx("desk", level="terminal-pin")
    for name in ("Good", "Dismissed", "Forgotten"):
        w.add_piv_holder(name, services=("nginx", "desk"))
    for name in ("Good", "Dismissed"):
        w.vouch(name)


class Responder(unittest.TestCase):
    """One after another, for what was answered is remembered."""

    def refused(self, name, code, **options):
        refused = w.tap_with(name, **options)
        self.assertEqual(refused.get("code"), code, refused)
        leaf = w.fields([leaf for leaf in w.leaves() if leaf["kind"] == "tap.refused"][-1])
        self.assertEqual((leaf["outcome"], leaf["card"]), (code, w.card_ids[name]))

    def accepted(self, name, **options):
        accepted = w.tap_with(name, **options)
        self.assertEqual((accepted.get("outcome"), accepted.get("card")), ("accepted", w.card_ids[name]), accepted)

    def test_1_without_a_responder_nobody_gets_in(self):
        self.refused("Good", "certificate.status_unknown")
        self.assertGreater(w.metric('answer_fetches_total{outcome="failed"}'), 0)

    def test_2_what_it_calls_good_gets_in_and_nothing_else(self):
        w.dismiss("Dismissed")
        w.start_responder()
        wait_until("the responder to be asked again", lambda: w.tap_with("Good").get("outcome") == "accepted", 20 * PATIENCE)
        self.accepted("Good", service="desk", pin=PIN)
        self.refused("Dismissed", "certificate.revoked")
        self.refused("Forgotten", "certificate.status_unknown")

    def test_3_what_it_said_outlives_it_for_as_long_as_it_counts(self):
        # All is asked anew, so that all of it ends about now and a minute.
        w.stop_one("cardbrokerd")
        w.start_broker()
        self.accepted("Good")
        self.refused("Dismissed", "certificate.revoked")
        answered = time.monotonic()
        w.stop_responder()
        self.accepted("Good")
        time.sleep(max(0, COUNTS_FOR / 2 - (time.monotonic() - answered)))
        self.accepted("Good")
        time.sleep(max(0, COUNTS_FOR + 2 - (time.monotonic() - answered)))
        self.refused("Good", "certificate.status_unknown")
        self.refused("Dismissed", "certificate.revoked")    # silence takes back nothing

    def test_4_when_it_is_back_so_are_they(self):
        w.start_responder()
        wait_until("the responder to be asked again", lambda: w.tap_with("Good").get("outcome") == "accepted", 20 * PATIENCE)

    def fetchers(self):
        """Who begins the keeper, and the keeper, once there are both."""
        def both():
            return [pid for pid, _ in w.processes("cardbrokerd")][1:]
        wait_until("the keeper", lambda: len(both()) >= 2, 20 * PATIENCE)
        return both()[:2]

    def test_4_who_asks_is_killed_and_asks_again(self):
        """Whoever has just started has not asked yet."""
        w.stop_one("cardbrokerd")
        w.start_broker()
        first, keeper = self.fetchers()
        os.kill(keeper, signal.SIGKILL)
        self.accepted("Good")
        self.assertEqual(w.processes("cardbrokerd")[1][0], first)

    def test_4_with_who_begins_the_keeper_the_broker_ends_to_be_started_again(self):
        broker = w.programs["cardbrokerd"]
        before = time.monotonic()
        os.kill(self.fetchers()[0], signal.SIGKILL)
        broker.process.wait(20 * PATIENCE)
        w.start_broker()
        print(f"\nserves again {1000 * (time.monotonic() - before):.0f} ms after who begins the keeper was killed", file=sys.stderr)
        self.assertEqual(broker.returncode, 1, "a service manager would not start it again")
        self.assertIn("status.fetcher_ended", w.log_of("cardbrokerd"))
        self.accepted("Good")
        self.assertTrue(w.verify()["verified"])

    def killed_at(self, n, which):
        """The tap of a card that a broker who has just started has to ask about: its outcome, whether it had so many steps, and how long
        after the kill a tap was accepted. which: 0 who begins the keeper, 1 the keeper."""
        w.stop_one("cardbrokerd")
        broker, over, killed = w.start_broker(), threading.Event(), []
        process = self.fetchers()[which]

        def strike():
            while not w.steps.look()[0] and not over.is_set():
                time.sleep(0.001)
            if w.steps.look()[0]:
                os.kill(process, signal.SIGKILL)
                killed.append(time.monotonic())
            w.steps.go()
            if killed and which == 0:
                self.assertEqual(broker.process.wait(20 * PATIENCE), 1)
                w.start_broker()
        w.steps.arm(n, hold=True, **Role("cardbrokerd").plan(w))
        striking = hands.submit(strike)
        outcome = w.tap().get("outcome")
        over.set()
        striking.result()
        w.steps.disarm()
        if outcome != "accepted":
            wait_until("a tap", lambda: w.tap().get("outcome") == "accepted", 20 * PATIENCE)
        return outcome, bool(killed), time.monotonic() - killed[0] if killed else 0

    def test_4_z_killed_at_any_step_of_a_tap_they_are_back_at_once(self):
        """At each step of the broker, which is held there."""
        self.accepted("Good")
        for which, name in enumerate(("who begins the keeper", "the keeper")):
            n, killed, away = 1, True, []
            while killed:
                outcome, killed, back = self.killed_at(n, which)
                if which == 1:
                    self.assertEqual(outcome, "accepted", f"step {n}")
                away += [back] * killed
                n += stride(53)
            self.assertGreater(len(away), 1)
            print(f"\naccepted again {1000 * sorted(away)[len(away) // 2]:.0f} ms after {name} was killed (median), "
                  f"{1000 * max(away):.0f} ms at most, of {len(away)}", file=sys.stderr)
        self.assertTrue(w.verify()["verified"])

    def test_5_what_it_knew_dies_with_the_broker(self):
        """Answers are kept in no file: who starts without the responder knows nothing good."""
        w.stop_responder()
        w.stop_one("cardbrokerd")
        w.start_broker()
        self.refused("Good", "certificate.status_unknown")
        self.assertTrue(w.verify()["verified"])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Revocation in time: whatever is ended, and whenever, nothing that starts later succeeds."""

import http.client
import socket
import ssl
import threading
import time
import unittest

from world import PATIENCE, Card, Terminal, World, main, wait_until

w = None
ENDED = {"card.revoked", "card.suspended", "terminal.revoked", "enrolment.none", "tap.withdrawn"}


class Patient(World):
    """An installation where one address may say more suspension codes in a minute than people do."""

    def configure(self):
        super().configure()
        with open(self.etc / "cardbroker.conf", "a") as file:
            file.write("limits { activations-per-address = 1000 }\n")


def setUpModule():
    global w
    w = Patient()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_nginx("slow", path=f"/slow?seconds={2 + PATIENCE}", timeout_ms=12000)
    w.add_holder("Hanako", services=("nginx", "slow"))


class Cast:
    """A holder, a card and a terminal of their own for one test, and the ways to end them."""
    number = 0

    def __init__(self, services=("nginx",)):
        Cast.number += 1
        self.name = f"cast{Cast.number}"
        self.services = services
        w.add_holder(self.name, services=services)
        self.terminal_id = w.enrol_terminal_freely(self.name)
        self.terminal = Terminal(w, self.name)
        w.insert_card(self.name)
        self.code = w.ctl("card", "suspension-code", w.card_ids[self.name])["suspension_code"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.terminal.close()

    def end(self, what):
        card = w.card_ids[self.name]
        if what == "card revoke":
            w.ctl("card", "revoke", card, "--reason", "lost")
        elif what == "card suspend":
            w.ctl("card", "suspend", card)
        elif what == "the holder's code":
            with Terminal(w, None) as nobody:
                said = nobody.ask("POST", "/v1/suspensions", {"code": self.code})
            assert said.json == {"state": "suspended"}, said
        elif what == "terminal revoke":
            w.ctl("terminal", "revoke", self.terminal_id)
        elif what == "enrolment remove":
            w.ctl("enrolment", "remove", w.enrolments[self.name, self.services[0]])


ENDINGS = ("card revoke", "card suspend", "the holder's code", "terminal revoke", "enrolment remove")


def steps_of(cast, service, between):
    """A tap by hand; between(n) is called before step n. The last answer: of the proof, or of what was refused."""
    between(0)
    begun = cast.terminal.begin()
    if begun.status != 201:
        return begun
    between(1)
    with Card(w.reader) as reader:
        first = reader.play(begun.json["script"])
        between(2)
        asked = cast.terminal.challenge(begun.json["tap"], first, service)
        if asked.status != 200:
            return asked
        between(3)
        answers = reader.play(asked.json["script"])
    between(4)
    return cast.terminal.proof(begun.json["tap"], answers)


def accepts_of(card):
    return [leaf for leaf in w.leaves("--card", card) if leaf["kind"] == "tap.result" and "\noutcome accepted" in leaf["leaf"]]


class BetweenTheSteps(unittest.TestCase):
    def ended_before_every_step(self, what):
        for step in range(5):
            with self.subTest(step=step), Cast() as cast:
                done = steps_of(cast, "nginx", lambda n: cast.end(what) if n == step else None)
                self.assertIn(done.code, ENDED, done)
                self.assertNotIn("delivery", done.json)
                self.assertEqual(accepts_of(w.card_ids[cast.name]), [])

    def test_a_card_revoked_before_any_step_is_not_accepted(self):
        self.ended_before_every_step("card revoke")

    def test_a_card_suspended_before_any_step_is_not_accepted(self):
        self.ended_before_every_step("card suspend")

    def test_a_terminal_revoked_before_any_step_brings_no_tap_to_its_end(self):
        self.ended_before_every_step("terminal revoke")

    def test_an_enrolment_removed_before_any_step_lets_nobody_in(self):
        self.ended_before_every_step("enrolment remove")

    def test_the_same_steps_without_a_revocation_are_accepted(self):
        with Cast() as cast:
            done = steps_of(cast, "nginx", lambda n: None)
            self.assertEqual(done.json.get("outcome"), "accepted", done)


class DuringTheLogin(unittest.TestCase):
    def ended_during_login(self, what):
        with Cast(services=("slow",)) as cast:
            tap, answers = w.played(cast.terminal, None, "slow")
            results = []
            thread = threading.Thread(target=lambda: results.append(cast.terminal.proof(tap, answers)))
            thread.start()
            wait_until("the intent", lambda: any(leaf["kind"] == "tap.intent" for leaf in w.leaves("--tap", tap)),
                       10 * PATIENCE)
            time.sleep(0.3 * PATIENCE)  # the key has been used, and the service is thinking
            cast.end(what)
            self.assertEqual(results, [], "the login was over before the revocation")
            thread.join(60)
            self.assertEqual(results[0].code, "tap.withdrawn", results[0])
            results = [leaf["leaf"] for leaf in w.leaves("--tap", tap) if leaf["kind"] == "tap.result"]
            self.assertEqual(len(results), 1)
            self.assertIn("outcome tap.withdrawn", results[0])

    def test_a_card_revoked_during_the_login_has_its_result_withdrawn(self):
        self.ended_during_login("card revoke")

    def test_a_card_suspended_during_the_login_has_its_result_withdrawn(self):
        self.ended_during_login("card suspend")

    def test_a_terminal_revoked_during_the_login_has_its_result_withdrawn(self):
        self.ended_during_login("terminal revoke")

    def test_an_enrolment_removed_during_the_login_has_its_result_withdrawn(self):
        self.ended_during_login("enrolment remove")


class OpenSessions(unittest.TestCase):
    """Sessions that the broker relays, by a browser that keeps its connection."""

    def open_session(self, cast):
        done = w.tap_by_hand(cast.terminal)
        self.assertEqual(done.json.get("outcome"), "accepted", done)
        url = done.json["delivery"]["url"]
        browser = w.browser()
        self.assertEqual(browser.get(url).status, 200)
        host = url.split("/")[2].split(":")[0]
        cookie = "; ".join(f"{k}={v}" for k, v in browser.cookies[host].items())
        return host, {"Cookie": cookie, "Host": f"{host}:{w.port}"}

    def connection(self, host):
        context = ssl.create_default_context(cafile=str(w.pki / "tls" / "ca.pem"))
        connection = http.client.HTTPConnection(host, w.port, timeout=60)
        raw = socket.create_connection(("127.0.0.1", w.port), timeout=60)
        connection.sock = context.wrap_socket(raw, server_hostname=host)
        self.addCleanup(connection.sock.close)
        return connection

    def get(self, connection, path, headers):
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    def test_a_session_ends_within_a_kept_connection_whatever_was_revoked(self):
        for what in ENDINGS:
            with self.subTest(what=what), Cast() as cast:
                host, headers = self.open_session(cast)
                connection = self.connection(host)
                answer = self.get(connection, "/whoami", headers)
                self.assertIn(f"CN={cast.name}", answer.read().decode())
                cast.end(what)
                answer = self.get(connection, "/whoami", headers)
                text = answer.read().decode()
                self.assertEqual(answer.status, 410, text)
                self.assertIn("session.ended", text)
                self.assertNotIn("CN=", text)
                connection.close()

    def cut_in_the_middle(self, path, what, read_on):
        with Cast() as cast:
            host, headers = self.open_session(cast)
            connection = self.connection(host)
            answer = self.get(connection, path, headers)
            self.assertEqual(answer.status, 200)
            got = len(answer.read(512))
            asked = time.monotonic()
            cast.end(what)
            began = time.monotonic()
            try:
                while read_on and (part := answer.read(65536)):
                    got += len(part)
            except (http.client.IncompleteRead, ConnectionError, ssl.SSLError) as problem:
                got += len(getattr(problem, "partial", b""))
            self.assertLess(got, 8 * 1024 * 1024, "the download was brought to its end")
            self.assertLess(time.monotonic() - began, 2 * PATIENCE, "the connection was not cut")
            if path == "/trickle":      # a kilobyte a second
                self.assertLess(got, 1024 * (began - asked + 2 * PATIENCE + 3), "bytes came after it")
            connection.close()

    def test_a_slow_download_is_cut_in_the_middle(self):
        for what in ENDINGS:
            with self.subTest(what=what):
                self.cut_in_the_middle("/trickle", what, True)

    def test_a_download_that_nobody_reads_is_cut_in_the_middle(self):
        self.cut_in_the_middle("/download", "card revoke", True)

    def test_one_holders_revocation_leaves_anothers_session(self):
        with Cast() as one, Cast() as other:
            host, headers = self.open_session(other)
            one.end("card revoke")
            answer = self.get(self.connection(host), "/whoami", headers)
            self.assertEqual(answer.status, 200)
            self.assertIn(f"CN={other.name}", answer.read().decode())

    def test_a_session_is_nobody_elses(self):
        with Cast() as one:
            host, headers = self.open_session(one)
            w.insert_card("Hanako")
            with Terminal(w) as terminal:
                other = w.tap_by_hand(terminal).json["delivery"]["url"].split("/")[2].split(":")[0]
            answer = self.get(self.connection(other), "/whoami", {**headers, "Host": f"{other}:{w.port}"})
            self.assertNotEqual(answer.status, 200)
            answer = self.get(self.connection(host), "/whoami", {"Host": headers["Host"]})
            self.assertNotEqual(answer.status, 200)


class ZRecord(unittest.TestCase):
    def test_the_record_of_it_all_verifies_and_nothing_is_open(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        self.assertEqual(report["open_intents"], 0)
        self.assertEqual(report["receipts"], report["receipts_genuine"])


if __name__ == "__main__":
    main()

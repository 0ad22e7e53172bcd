# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a terminal: registered, active, de-activated, revoked, disposed of; and who may do what in each."""

import shutil
import socket
import subprocess
import time
import unittest

from terminal_world import GUESSES, Registry, wrong
from world import PATIENCE, Terminal, main, run, wait_until

w = None


def setUpModule():
    global w
    w = Registry()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_holder("Hanako")
    w.insert_card("Hanako")


class Activation(unittest.TestCase):
    def test_a_terminal_is_activated_where_it_stands_and_taps(self):
        made = w.register("gate")
        self.assertEqual((made["state"], made["key"]), ("registered", None))
        self.assertRegex(made["code"], r"^([0-9A-HJKMNP-TV-Z]{5}-){3}[0-9A-HJKMNP-TV-Z]{4}[0-9A-HJKMNP-TV-Z*~$=U]$")
        self.assertEqual(w.activate("gate", made["code"].lower())["event"], "activated")
        self.assertEqual(w.tap(terminal="gate").get("outcome"), "accepted")
        shown = w.ctl("terminal", "show", "gate")
        self.assertEqual(shown["state"], "active")
        self.assertNotIn(made["code"], str(shown))
        kinds = [leaf["kind"] for leaf in w.leaves("--terminal", made["id"]) if leaf["kind"].startswith("terminal.")]
        self.assertEqual(kinds, ["terminal.added", "terminal.code", "terminal.activated"])
        for place in (w.logs / "cardbrokerd.log", w.state / "cardbroker.db", w.state / "cardbroker.db-wal"):
            self.assertNotIn(made["code"].encode(), place.read_bytes() if place.exists() else b"", place)

    def test_the_certificate_says_what_hsmd_wants_and_verifies_under_the_terminal_ca(self):
        made = w.register("named")
        w.activate("named", made["code"])
        ca = w.folder / "terminal-ca.pem"
        ca.write_bytes(run([w.program("cardbroker-hsmd"), "--config", w.etc / "hsmd.conf", "--terminal-ca"], env=w.env).stdout)
        run(["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca, w.etc / "named.pem"])
        done = subprocess.run(["openssl", "verify", "-purpose", "sslserver", "-CAfile", str(ca), str(w.etc / "named.pem")],
                              capture_output=True)
        self.assertNotEqual(done.returncode, 0)
        said = run(["openssl", "x509", "-in", w.etc / "named.pem", "-noout", "-subject"]).stdout.decode()
        self.assertIn(made["id"], said)

    def test_a_mistyped_code_is_noticed_at_the_terminal_and_a_wrong_one_at_the_broker(self):
        code = w.register("typed")["code"]
        mistyped = ("8" if code[0] == "7" else "7") + code[1:]
        self.assertEqual(w.activate("typed", mistyped, ok=(1,))["code"], "request.malformed")
        self.assertEqual(w.activate("typed", wrong(code), ok=(1,))["code"], "activation.refused")
        self.assertEqual(w.activate("typed", code, registered="gate of others", ok=(1,))["code"], "activation.refused")
        self.assertEqual(w.activate("typed", code)["event"], "activated")

    def test_guessing_ends_the_code_and_an_administrator_makes_another(self):
        code = w.register("guessed")["code"]
        csr, _ = w.request("guessed")
        for _ in range(5):
            self.assertEqual(w.apply("guessed", wrong(code), csr).code, "activation.refused")
        self.assertEqual(w.apply("guessed", code, csr).code, "activation.refused")
        code = w.ctl("terminal", "code", "guessed")["code"]
        self.assertEqual(w.apply("guessed", code, csr).status, 201)

    def test_a_code_is_good_for_one_key_and_for_its_time(self):
        code = w.register("once")["code"]
        first, _ = w.request("once")
        other, _ = w.request("other")
        one = w.apply("once", code, first)
        self.assertEqual(one.status, 201)
        self.assertEqual(w.apply("once", code, other).code, "activation.refused")
        self.assertEqual(w.apply("once", code, first).json, one.json)     # the answer was lost
        code = w.register("late", "--valid", "1s")["code"]
        time.sleep(1.1)
        self.assertEqual(w.apply("late", code, other).code, "activation.refused")

    def test_a_request_for_a_key_that_did_not_sign_it_is_refused(self):
        code = w.register("stolen")["code"]
        mine, path = w.request("mine")
        yours, _ = w.request("yours")
        point = run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"]).stdout[-65:]
        self.assertIn(point, mine)
        at = mine.index(point)
        forged = mine[:at] + yours[yours.index(b"\x03\x42\x00\x04") + 3:][:65] + mine[at + 65:]
        self.assertEqual((w.apply("stolen", code, forged).status, w.apply("stolen", code, mine[:-1]).status), (400, 400))
        self.assertEqual(w.apply("stolen", code, mine).status, 201)

    def test_an_activation_that_was_interrupted_goes_on_with_its_key(self):
        code = w.register("lost-answer")["code"]
        w.activate("lost-answer", code)
        certificate = (w.etc / "lost-answer.pem").read_bytes()
        (w.etc / "lost-answer.pem").unlink()
        self.assertEqual(w.activate("lost-answer", code)["event"], "activated")
        self.assertEqual((w.etc / "lost-answer.pem").read_bytes(), certificate)
        self.assertEqual(w.activate("lost-answer", code, ok=(1,))["code"], "resource.exists")

    def test_a_code_is_never_taken_from_the_command_line(self):
        code = w.register("argued")["code"]
        done = subprocess.run([str(w.program("cardlink")), "--config", str(w.etc / "argued.conf"), "activate", "--name", "argued", code],
                              capture_output=True, stdin=subprocess.DEVNULL, start_new_session=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(w.ctl("terminal", "show", "argued")["state"], "registered")

    def test_a_registered_terminal_is_revoked_with_its_code(self):
        made = w.register("withdrawn")
        w.ctl("terminal", "revoke", "withdrawn")
        self.assertEqual(w.activate("withdrawn", made["code"], ok=(1,))["code"], "activation.refused")


class Renewal(unittest.TestCase):
    def key(self, name):
        return w.ctl("terminal", "show", name)["key"]

    def test_the_old_key_counts_until_the_new_one_is_used(self):
        w.make("renewing")
        before = self.key("renewing")
        with Terminal(w, "renewing") as old:
            self.assertEqual(old.ask("GET", "/v1/services").status, 200)
            self.assertEqual(w.cardlink("renew", terminal="renewing")[-1]["event"], "renewed")
            self.assertEqual(old.ask("GET", "/v1/services").status, 200)
            self.assertEqual(self.key("renewing"), before)
            self.assertEqual(w.tap(terminal="renewing").get("outcome"), "accepted")
            self.assertNotEqual(self.key("renewing"), before)
            self.assertEqual(old.ask("GET", "/v1/services").code, "terminal.unknown")

    def test_a_renewal_goes_on_wherever_it_was_killed(self):
        w.make("killed")
        key, certificate = w.etc / "killed.key", w.etc / "killed.pem"
        next_key, next_certificate = w.etc / "killed.key.next", w.etc / "killed.pem.next"
        keep = w.folder / "kept"
        keep.mkdir()
        for stage in ("key", "certificate", "renamed", "garbage"):
            with self.subTest(stage=stage):
                for file in (key, certificate):
                    shutil.copy2(file, keep / file.name)
                w.cardlink("renew", terminal="killed")
                new_key, new_certificate = key.read_bytes(), certificate.read_bytes()
                # As it was when the program was killed there.
                shutil.copy2(key, next_key)
                shutil.copy2(keep / key.name, key)
                if stage != "renamed":
                    shutil.copy2(keep / certificate.name, certificate)
                if stage == "certificate":
                    next_certificate.write_bytes(new_certificate)
                if stage == "garbage":
                    next_certificate.write_bytes(b"half a certif")
                self.assertEqual(w.tap(terminal="killed").get("outcome"), "accepted")
                if stage in ("certificate", "renamed"):
                    self.assertEqual(key.read_bytes(), new_key)
                    self.assertFalse(next_key.exists())
                else:
                    w.cardlink("renew", terminal="killed")
                    self.assertEqual((key.read_bytes(), certificate.read_bytes()), (new_key, new_certificate))
                    self.assertEqual(w.tap(terminal="killed").get("outcome"), "accepted")

    def test_a_terminal_gets_no_new_keys_without_end(self):
        w.make("greedy")
        with Terminal(w, "greedy") as terminal:
            asked = [w.request(f"greedy-{i}")[0].hex() for i in range(13)]
            done = [terminal.ask("POST", "/v1/certificate", {"request": csr}) for csr in asked]
            self.assertEqual([one.status for one in done[:10]], [200] * 10)
            self.assertEqual((done[-1].status, done[-1].code), (503, "activation.rate"))
            again = terminal.ask("POST", "/v1/certificate", {"request": asked[max(i for i, one in enumerate(done) if one.status == 200)]})
            self.assertEqual(again.status, 200)                             # costs nothing
        certified = [leaf for leaf in w.leaves("--terminal", w.ctl("terminal", "show", "greedy")["id"]) if leaf["kind"] == "terminal.certified"]
        self.assertLess(len(certified), 13)

    def test_a_terminal_with_a_certificate_of_its_own_is_told_that_there_is_nothing_to_renew(self):
        w.enrol_terminal_freely("own")
        self.assertEqual(w.cardlink("renew", terminal="own", ok=(1,))[-1]["code"], "resource.state")
        self.assertEqual(w.tap(terminal="own").get("outcome"), "accepted")


class Time(unittest.TestCase):
    """With certificates that are over soon: renewed after two thirds of their time, and a machine that is held up for less than
    the last third does no harm."""

    LIFE = 12 * PATIENCE

    @classmethod
    def setUpClass(cls):
        w.begin_again(cls.LIFE)

    @classmethod
    def tearDownClass(cls):
        w.begin_again(86400)

    def test_an_expired_certificate_is_refused(self):
        w.make("expiring")
        with Terminal(w, "expiring") as terminal:
            self.assertEqual(terminal.ask("GET", "/v1/services").status, 200)
            time.sleep(self.LIFE + 0.2)
            self.assertEqual(terminal.ask("GET", "/v1/services").code, "terminal.expired")
        self.assertEqual(w.tap(terminal="expiring").get("code"), "terminal.expired")

    def test_the_agent_renews_in_time_and_goes_on_serving(self):
        w.make("keeping")
        before = w.ctl("terminal", "show", "keeping")["key"]
        agent = w.spawn("keeper", [w.program("cardlink"), "--config", w.etc / "keeping.conf", "--json", "agent", "--service", "nginx"])
        wait_until("two renewals", lambda: w.log_of("keeper").count('"renewed"') >= 2, 3 * self.LIFE, agent)
        accepted = w.log_of("keeper").count('"accepted"')   # taken before: the agent may be quicker than this
        w.insert_card("Hanako")
        wait_until("a tap", lambda: w.log_of("keeper").count('"accepted"') > accepted, 20 * PATIENCE, agent)
        w.stop_one("keeper")
        self.assertNotEqual(w.ctl("terminal", "show", "keeping")["key"], before)

    def test_an_opened_housing_ends_the_keys_while_a_renewal_waits_for_a_mute_broker(self):
        w.make("besieged")
        place = w.folder / "besieged.contact"
        path = w.etc / "besieged.conf"
        with socket.create_server(("127.0.0.1", 0)) as mute:        # takes connections, and says nothing at all
            text = path.read_text().replace(f":{w.port}", f":{mute.getsockname()[1]}")
            path.write_text(f'{text}\ntamper = "{place}"\n')
            agent = w.spawn("besieged", [w.program("cardlink"), "--config", path, "--json", "agent", "--service", "nginx"])
            wait_until("a renewal", lambda: (w.etc / "besieged.key.next").exists(), 20 * PATIENCE, agent)
            began = time.monotonic()
            place.touch()
            wait_until("the keys' end", lambda: w.gone("besieged"), 20 * PATIENCE)
            self.assertLess(time.monotonic() - began, 3 + 1.5 * PATIENCE)   # what the broker is given, and a look or two
            wait_until("the agent's end", lambda: agent.poll() is not None, 40 * PATIENCE)
        self.assertEqual([file.name for file in w.etc.glob("besieged.*")], ["besieged.conf"])


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
        self.assertTrue(w.gone("sold"))

    def test_an_agent_whose_terminal_was_disposed_of_erases_the_keys_and_ends(self):
        w.enrol_terminal_freely("agent")
        agent = w.spawn("agent", [w.program("cardlink"), "--config", w.etc / "agent.conf", "--json", "agent", "--service", "nginx"])
        wait_until("the agent", lambda: "ready" in w.log_of("agent"), 10 * PATIENCE, agent)
        w.ctl("terminal", "dispose", "agent")
        w.insert_card("Hanako")
        wait_until("the agent's end", lambda: agent.poll() is not None, 20 * PATIENCE)
        self.assertTrue(w.gone("agent"))
        self.assertNotEqual(agent.returncode, 0)

    def test_a_revoked_terminal_keeps_what_it_has_and_can_do_nothing_with_it(self):
        w.enrol_terminal_freely("lost")
        w.ctl("terminal", "revoke", "lost")
        self.assertEqual(w.cardlink("services", terminal="lost", ok=(1, 3))[-1]["code"], "terminal.revoked")
        self.assertFalse(w.gone("lost"))


class Tamper(unittest.TestCase):
    def last(self, terminal_id):
        return [leaf for leaf in w.leaves("--terminal", terminal_id) if leaf["kind"].startswith("terminal.")][-1]

    def test_a_terminal_that_erases_itself_tells_the_broker_first(self):
        made = w.register("leaving-alone")
        w.activate("leaving-alone", made["code"])
        events = [line["event"] for line in w.cardlink("erase", terminal="leaving-alone")]
        self.assertEqual(events, ["broker.told", "erased"])
        self.assertTrue(w.gone("leaving-alone"))
        self.assertEqual(w.ctl("terminal", "show", made["id"])["state"], "revoked")
        self.assertIn("reason erased", self.last(made["id"])["leaf"])

    def test_an_opened_housing_ends_the_agent_and_the_keys_and_is_in_the_record(self):
        made = w.register("opened")
        place = w.folder / "opened.contact"
        with open(w.etc / "opened.conf", "a") as file:
            file.write(f'tamper = "{place}"\n')
        w.activate("opened", made["code"])
        agent = w.spawn("opened", [w.program("cardlink"), "--config", w.etc / "opened.conf", "--json", "agent", "--service", "nginx"])
        wait_until("the agent", lambda: "ready" in w.log_of("opened"), 10 * PATIENCE, agent)
        place.touch()
        wait_until("the agent's end", lambda: agent.poll() is not None, 20 * PATIENCE)
        self.assertEqual(agent.returncode, 1)
        self.assertTrue(w.gone("opened"))
        self.assertEqual(w.ctl("terminal", "show", "opened")["state"], "deactivated")
        self.assertIn("reason tamper", self.last(made["id"])["leaf"])

    def test_keys_are_erased_also_when_no_broker_answers(self):
        made = w.register("alone")
        w.activate("alone", made["code"])
        path = w.etc / "alone.conf"
        path.write_text(path.read_text().replace(f":{w.port}", ":1"))
        began = time.monotonic()
        events = [line["event"] for line in w.cardlink("tamper", terminal="alone")]
        self.assertEqual(events, ["broker.not_told", "erased"])
        self.assertLess(time.monotonic() - began, 10 * PATIENCE)
        self.assertTrue(w.gone("alone"))
        self.assertEqual(w.ctl("terminal", "show", "alone")["state"], "active")

    def test_a_renewal_that_was_under_way_leaves_nothing_either(self):
        w.make("half")
        for name in ("half.key.next", "half.pem.next", "half.key.new"):
            shutil.copy2(w.etc / "half.key", w.etc / name)
        w.cardlink("erase", terminal="half")
        self.assertEqual([file.name for file in w.etc.glob("half.*")], ["half.conf"])

    def test_nobody_ends_another_terminal(self):
        w.make("bystander")
        with Terminal(w, None) as nobody:
            self.assertEqual(nobody.ask("POST", "/v1/terminal/end", {"reason": "tamper"}).status, 401)
        with Terminal(w, "bystander") as terminal:
            self.assertEqual(terminal.ask("POST", "/v1/terminal/end", {"reason": "stolen"}).status, 400)
        self.assertEqual(w.tap(terminal="bystander").get("outcome"), "accepted")


class ZRecord(unittest.TestCase):
    def test_the_record_of_it_all_verifies(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])


class ZStrangers(unittest.TestCase):
    """The last, for it uses up what all may try in a minute."""

    def test_who_has_the_code_is_not_kept_out_by_those_who_guess(self):
        code = w.register("crowded")["code"]
        csr, _ = w.request("guessed")
        said = [w.apply("nobody", wrong(code), csr) for _ in range(GUESSES + 1)]
        self.assertEqual((said[-1].status, said[-1].code), (503, "activation.rate"))
        self.assertEqual(w.activate("crowded", code)["event"], "activated")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: what is killed comes back or says so; what was acknowledged stays; nothing stays open."""

import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time
import unittest

from world import PATIENCE, Card, Terminal, answers, main, run, wait_until, world

w = None


def setUpModule():
    global w
    w = world()
    w.add_nginx("slow", path=f"/slow?seconds={2 * PATIENCE}", timeout_ms=20000)
    w.add_nginx("busy", path="/slow?seconds=0.2")
    w.add_holder("Hanako", services=("nginx", "slow", "busy"))
    w.add_holder("Taro")
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


def children(program):
    """The processes of a program, without the one that was started."""
    return [pid for pid, _ in w.processes(program)[1:]]


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def workers_of_hsmd():
    """The newest process of each worker, from what it logged."""
    found = {}
    for line in w.log_of("cardbroker-hsmd").splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        if said.get("event") == "worker.ready":
            found[said["worker"]] = said["pid"]
    return found


class Case(unittest.TestCase):
    def setUp(self):
        for name, start in (("cardbroker-hsmd", w.start_hsmd), ("cardbroker-connectord", w.start_connectord),
                            ("cardbrokerd", w.start_broker)):
            if name not in w.programs or w.programs[name].poll() is not None:
                start()
        w.works_again()

    def tearDown(self):
        if all(n in w.programs and w.programs[n].poll() is None for n in ("cardbroker-hsmd", "cardbrokerd")):
            wait_until("intents to be closed", lambda: self.verified()["open_intents"] == 0, 20 * PATIENCE)

    def verified(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        return report

    def in_background(self, action):
        results = []

        def act():
            try:
                results.append(action())
            except (OSError, http.client.HTTPException) as problem:
                results.append(problem)
        thread = threading.Thread(target=act)
        thread.start()
        return thread, results

    def during_login(self, act):
        """act() while a service takes its time; the answer of that tap, or the exception that ended it."""
        terminal = Terminal(w)
        self.addCleanup(terminal.close)
        tap, answers = w.played(terminal, None, "slow")
        thread, results = self.in_background(lambda: terminal.proof(tap, answers))
        wait_until("the intent", lambda: any(leaf["kind"] == "tap.intent" for leaf in w.leaves("--tap", tap)), 10 * PATIENCE)
        time.sleep(0.3 * PATIENCE)
        act()
        thread.join(60)
        return results[0]


class KeyService(Case):
    def test_each_worker_that_is_killed_comes_back_by_itself(self):
        for name, pid in workers_of_hsmd().items():
            with self.subTest(worker=name):
                kill(pid)
                w.works_again()
                wait_until(name, lambda: workers_of_hsmd()[name] != pid, 5 * PATIENCE)

    def test_workers_killed_in_the_middle_of_a_tap_end_that_tap_only(self):
        for after in ("begin", "challenge"):
            with self.subTest(after=after), Terminal(w) as terminal:
                begun = terminal.begin()
                with Card(w.reader) as card:
                    answers = card.play(begun.json["script"])
                    if after == "challenge":
                        answers = card.play(terminal.challenge(begun.json["tap"], answers).json["script"])
                for name, pid in workers_of_hsmd().items():
                    if name.startswith("use-"):
                        kill(pid)
                step = terminal.proof if after == "challenge" else terminal.challenge
                refused = step(begun.json["tap"], answers)
                self.assertIn(refused.code, ("hsm.unavailable", "tap.expired", "tap.unknown"), refused)
                w.works_again()
                for name, pid in workers_of_hsmd().items():
                    wait_until(name, lambda pid=pid: os.path.exists(f"/proc/{pid}"), 5)

    def test_a_log_worker_killed_during_taps_comes_back_and_no_accept_lacks_its_record(self):
        stop = threading.Event()
        accepted = []

        def tap_on():
            with Terminal(w) as terminal:
                while not stop.is_set():
                    try:
                        done = w.tap_by_hand(terminal)
                    except KeyError:    # it was refused before the proof
                        continue
                    if done.json.get("outcome") == "accepted":
                        accepted.append(done.json["session"])
        thread = threading.Thread(target=tap_on)
        thread.start()
        wait_until("a tap", lambda: accepted, 20 * PATIENCE)
        for _ in range(3):
            time.sleep(0.3)
            kill(workers_of_hsmd()["log"])
            time.sleep(0.7)
        stop.set()
        thread.join(60)
        self.assertGreater(len(accepted), 0)
        recorded = "\n".join(leaf["leaf"] for leaf in w.leaves("--kind", "tap.result"))
        for session in accepted:
            self.assertIn(f"session {session}", recorded)
        w.works_again(seconds=12)

    def test_killed_as_a_whole_it_is_missed_clearly_and_started_again_it_serves(self):
        pids = [pid for pid, _ in w.processes("cardbroker-hsmd")]
        kill(w.programs["cardbroker-hsmd"].pid)
        w.programs["cardbroker-hsmd"].process.wait()
        wait_until("its workers to end", lambda: not any(alive(pid) for pid in pids), 10)
        with Terminal(w) as terminal:
            self.assertEqual(terminal.begin().code, "hsm.unavailable")
        w.start_hsmd()
        w.works_again()

    def test_while_it_is_away_taps_say_so_and_revocation_still_works(self):
        w.issue("Taro", "Taros lost one")
        w.stop_one("cardbroker-hsmd")
        self.assertEqual(w.tap(seconds=5).get("code"), "hsm.unavailable")
        ready = w.admin("GET", "/v1/ready")
        wait_until("not ready", lambda: w.admin("GET", "/v1/ready").status == 503, 10 * PATIENCE)
        self.assertEqual(w.admin("GET", "/v1/live").status, 200, ready)
        done = w.admin("POST", f"/v1/cards/{w.card_ids['Taros lost one']}/revoke", {"reason": "lost"})
        self.assertEqual((done.status, done.json.get("state")), (200, "revoked"), done)
        w.start_hsmd()
        w.works_again()
        self.assertEqual(w.tap_with("Taros lost one").get("code"), "card.revoked")
        w.insert_card("Hanako")
        self.assertEqual(self.verified()["leaves_unsigned"], 0)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Connectors(Case):
    def test_each_process_that_is_killed_comes_back_by_itself(self):
        for pid in children("cardbroker-connectord"):
            if alive(pid):
                with self.subTest(pid=pid):
                    kill(pid)
                    w.works_again()

    def test_a_login_that_is_killed_ends_that_tap_only(self):
        before = set(children("cardbroker-connectord"))

        def strike():
            for pid in set(children("cardbroker-connectord")) - before:
                kill(pid)
        done = self.during_login(strike)
        self.assertIn(done.code, ("connector.failed", "connector.unavailable"), done)
        w.works_again()

    def test_everything_below_killed_during_a_login_is_a_clear_failure(self):
        def strike():
            for pid in children("cardbroker-connectord"):
                if alive(pid):
                    kill(pid)
        done = self.during_login(strike)
        self.assertIn(done.code, ("connector.failed", "connector.unavailable"), done)
        w.works_again()

    def test_a_session_whose_process_is_killed_has_ended(self):
        before = set(children("cardbroker-connectord"))
        with Terminal(w) as terminal:
            url = w.tap_by_hand(terminal).json["delivery"]["url"]
        browser = w.browser()
        self.assertEqual(browser.get(url).status, 200)
        for pid in set(children("cardbroker-connectord")) - before:
            kill(pid)
        answer = browser.get(url.split("/.cardbroker/")[0] + "/whoami")
        self.assertNotEqual(answer.status, 200)
        self.assertNotIn("CN=", answer.text)
        w.works_again()

    def test_killed_as_a_whole_it_is_missed_clearly_and_started_again_it_serves(self):
        kill(w.programs["cardbroker-connectord"].pid)
        w.programs["cardbroker-connectord"].process.wait()
        with Terminal(w) as terminal:
            done = w.tap_by_hand(terminal)
        self.assertEqual(done.code, "connector.unavailable", done)
        w.start_connectord()
        w.works_again()


class Broker(Case):
    def restart(self):
        w.programs["cardbrokerd"].process.wait()
        w.start_broker()

    def test_killed_when_idle_it_knows_everything_again(self):
        cards, size = w.ctl("card", "list"), w.size()
        kill(w.programs["cardbrokerd"].pid)
        self.restart()
        self.assertEqual(w.ctl("card", "list"), cards)
        self.assertGreaterEqual(w.size(), size)
        w.works_again()

    def test_killed_between_the_steps_of_a_tap_it_has_forgotten_that_tap_only(self):
        with Terminal(w) as terminal:
            tap, answers = w.played(terminal, None)
        kill(w.programs["cardbrokerd"].pid)
        self.restart()
        with Terminal(w) as terminal:
            self.assertEqual(terminal.proof(tap, answers).code, "tap.unknown")
        w.works_again()

    def test_killed_during_a_login_it_leaves_nothing_open(self):
        ended = self.during_login(lambda: kill(w.programs["cardbrokerd"].pid))
        self.assertIsInstance(ended, (OSError, http.client.HTTPException))
        self.restart()
        wait_until("the intent to be closed", lambda: self.verified()["open_intents"] == 0, 10 * PATIENCE)
        w.works_again()

    def test_killed_ten_times_during_taps_it_never_loses_an_acknowledged_one(self):
        accepted, stop = [], threading.Event()

        def tap_on():
            while not stop.is_set():
                try:
                    with Terminal(w) as terminal:
                        while not stop.is_set():
                            done = w.tap_by_hand(terminal)
                            if done.json.get("outcome") == "accepted":
                                accepted.append(done.json["session"])
                except (OSError, KeyError, http.client.HTTPException):
                    time.sleep(0.02)
        thread = threading.Thread(target=tap_on)
        thread.start()
        for turn in range(10):
            time.sleep(0.11 + 0.013 * turn)
            kill(w.programs["cardbrokerd"].pid)
            self.restart()
        wait_until("taps", lambda: len(accepted) > 5, 20 * PATIENCE)
        stop.set()
        thread.join(60)
        self.assertGreater(len(accepted), 5)
        recorded = "\n".join(leaf["leaf"] for leaf in w.leaves("--kind", "tap.result"))
        for session in accepted:
            self.assertIn(f"session {session}", recorded)
        self.verified()

    def test_stopped_during_taps_it_finishes_them(self):
        terminal = Terminal(w)
        self.addCleanup(terminal.close)
        tap, answers = w.played(terminal, None, "slow")
        thread, results = self.in_background(lambda: terminal.proof(tap, answers))
        wait_until("the intent", lambda: any(leaf["kind"] == "tap.intent" for leaf in w.leaves("--tap", tap)), 10 * PATIENCE)
        program = w.programs["cardbrokerd"]
        program.process.send_signal(signal.SIGTERM)
        thread.join(60)
        self.assertEqual(getattr(results[0], "json", {}).get("outcome"), "accepted", results[0])
        self.assertEqual(program.process.wait(30 * PATIENCE), 0)
        w.start_broker()
        self.assertIn(f"session {results[0].json['session']}",
                      "\n".join(leaf["leaf"] for leaf in w.leaves("--kind", "tap.result")))

    def test_a_new_certificate_is_served_after_sighup_and_a_kept_connection_goes_on(self):
        def serial():
            with Terminal(w) as terminal:
                terminal.ask("GET", "/v1/services")
                return ssl.DER_cert_to_PEM_cert(terminal.connection.sock.getpeercert(True))
        tls = w.pki / "tls"
        old = serial()
        with Terminal(w) as kept:
            self.assertEqual(kept.begin().status, 201)
            sock = kept.connection.sock
            run(["openssl", "x509", "-req", "-in", tls / "api.csr", "-CA", tls / "ca.pem", "-CAkey", tls / "ca.key", "-days",
                 "30", "-set_serial", "4711", "-extfile", tls / "api.ext", "-out", tls / "api.pem"])
            w.programs["cardbrokerd"].process.send_signal(signal.SIGHUP)
            wait_until("the new certificate", lambda: serial() != old, 10 * PATIENCE)
            self.assertEqual(kept.begin().status, 201)
            self.assertIs(kept.connection.sock, sock, "the connection was kept")
        new = serial()
        good = (tls / "api.pem").read_bytes()
        (tls / "api.pem").write_text("nonsense\n")
        w.programs["cardbrokerd"].process.send_signal(signal.SIGHUP)
        wait_until("the complaint", lambda: "reload.failed" in w.log_of("cardbrokerd"), 10 * PATIENCE)
        self.assertEqual(serial(), new, "a certificate that cannot be read changes nothing")
        (tls / "api.pem").write_bytes(good)
        w.works_again()


class Twice(Case):
    """A daemon that is started a second time on the same sockets, database or token."""

    def second(self, name, config):
        done = subprocess.run([str(w.program(name)), "--config", str(w.etc / config)], env=w.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30 * PATIENCE)
        self.assertNotEqual(done.returncode, 0, done.stdout[-2000:])
        w.works_again()

    def test_hsmd_is_not_started_twice(self):
        self.second("cardbroker-hsmd", "hsmd.conf")

    def test_connectord_is_not_started_twice(self):
        self.second("cardbroker-connectord", "connectord.conf")

    def test_cardbrokerd_is_not_started_twice(self):
        self.second("cardbrokerd", "cardbroker.conf")

    def test_cardbrokerd_is_not_started_twice_on_one_database(self):
        other = w.folder / "other-run"
        other.mkdir(mode=0o700, exist_ok=True)
        text = (w.etc / "cardbroker.conf").read_text()
        text = text.replace(f'run = "{w.run_folder}"', f'run = "{other}"')
        text = re.sub(r"port = \d+", "port = 14999", text)
        (w.etc / "second.conf").write_text(text)
        for name in os.listdir(w.run_folder):
            if name.startswith(("use-", "log", "connectors")):
                os.symlink(w.run_folder / name, other / name)
        self.second("cardbrokerd", "second.conf")


class Services(Case):
    """A service that fails changes nothing, and is named as what failed."""

    @classmethod
    def setUpClass(cls):
        from environment import free_port
        cls.dead = free_port()
        w.add_nginx("strict", server_name="other.test")
        w.add_nginx("late", path="/slow?seconds=5", timeout_ms=1000)
        w.add_nginx("failing", path="/status?code=500")
        w.add_nginx("refusing", path="/status?code=403")
        file = w.folder / "gone.json"
        file.write_text(json.dumps({"url": f"https://localhost:{cls.dead}/", "ca_file": f"{w.folder}/nginx/server-ca.pem"}))
        w.ctl("service", "add", "--name", "gone", "--title", "gone", "--connector", "mtls", "--level", "possession", "--kind",
              "relayed", "--needs-certificate", "yes", "--config", file)
        cls.codes = {"gone": "service.unreachable", "strict": "service.certificate", "late": "service.slow",
                     "failing": "service.answer", "refusing": "service.refused"}
        for name in cls.codes:
            w.enrol("Hanako", name)

    def test_each_failure_has_its_code_and_changes_nothing(self):
        for name, code in self.codes.items():
            with self.subTest(service=name):
                card, sessions = w.ctl("card", "show", w.card_ids["Hanako"]), w.ctl("status")["broker"]["sessions"]
                said = w.tap(name)
                self.assertEqual(said.get("code"), code, said)
                self.assertEqual(w.ctl("card", "show", w.card_ids["Hanako"]), card)
                self.assertLessEqual(w.ctl("status")["broker"]["sessions"], sessions)
                w.works_again()

    def test_a_service_that_is_back_works_without_anybodys_help(self):
        folder = w.programs["nginx"]
        run([w.support("nginx.sh"), "stop", folder])
        self.assertEqual(w.tap("nginx").get("code"), "service.unreachable")
        run([w.support("nginx.sh"), "start", folder, w.nginx_port])
        w.works_again()


class ZRollback(Case):
    """Last, for it leaves a database that is refused."""

    def test_a_database_from_before_a_revocation_is_refused(self):
        w.stop_one("cardbrokerd")
        copy = w.folder / "copy"
        shutil.copytree(w.state, copy, ignore=shutil.ignore_patterns("hsmd", "tokens"))
        w.start_broker()
        w.ctl("card", "revoke", w.card_ids["Taro"], "--reason", "lost")
        w.insert_card("Taro")
        self.assertEqual(w.one_tap().code, "card.revoked")  # by hand, so that the card is not ended
        w.insert_card("Hanako")
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.stop_one("cardbrokerd")
        kept = w.folder / "kept"
        kept.mkdir()
        for file in w.state.glob("cardbroker.db*"):
            shutil.move(file, kept)
        for file in copy.iterdir():
            shutil.copy2(file, w.state)
        before = len(w.log_of("cardbrokerd"))
        try:
            program = w.spawn("cardbrokerd", [w.program("cardbrokerd"), "--config", w.etc / "cardbroker.conf"])
            wait_until("what it says", lambda: "hsm.rolled_back" in w.log_of("cardbrokerd")[before:], 20 * PATIENCE)
            wait_until("it to listen, or to end", lambda: program.poll() is not None or answers(w.port), 20 * PATIENCE)
            self.assertFalse(w.ready(), "it says that it is ready")
            if program.poll() is None:
                for card in ("Taro", "Hanako"):
                    w.insert_card(card)
                    said = w.tap()
                    self.assertEqual(said.get("code"), "hsm.rolled_back", said)
                self.assertEqual(w.ctl("status")["broker"]["state"], "hsm.rolled_back")
            w.stop_one("cardbrokerd")
        finally:
            for file in w.state.glob("cardbroker.db*"):
                file.unlink()
            for file in kept.iterdir():
                shutil.copy2(file, w.state)
        w.start_broker()
        self.assertEqual(w.tap_with("Taro").get("code"), "card.revoked")
        w.insert_card("Hanako")
        w.works_again()


if __name__ == "__main__":
    main()

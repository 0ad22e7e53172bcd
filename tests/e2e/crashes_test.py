# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of every process at every step of a tap, of a revocation and of what changes keys: it recovers by itself, what was
acknowledged stays, nothing stays open.

A step is a call with which a process touches the world outside it. Who takes part is killed at its own steps; who takes none, as a
supervisor, at those of the process that it happens in, which is held there until the other is dead. Every write and sync of a
revocation is taken always, in the broker, in the key service and in its log; of the other steps some; CARDBROKER_FAULTS=all takes
them all.
"""

import http.client
import json
import re
import subprocess
import time
import unittest

from crashes import BROKER, CONNECTORS, HSM, PROCESSES, START, SUPERVISORS, Case, Installation, restart, settle
from steps import FAULTS, LASTING, Role, stride
from environment import free_port
from world import PATIENCE, Failure, main, wait_until

w = None


def setUpModule():
    global w
    w = settle(Installation())
    START["agent"] = start_agent
    try:
        w.build_up()
        w.add_nginx("vault", level="pin")
        w.add_nginx("second")
        w.add_holder("Hanako", services=("nginx", "vault"))
        w.insert_card("Hanako")
    except BaseException:
        w.tear_down()
        raise


def tearDownModule():
    if w:
        w.tear_down()


def start_agent():
    w.spawn("agent", [w.program("cardlink"), "--config", w.etc / "gate.conf", "--json", "agent", "--service", "nginx"])


def gate(case):
    made = Gate(case.accepted)
    case.addCleanup(made.close)
    return made


class Gate:
    """A terminal whose agent serves whatever card is laid on it, and the card of a visitor."""

    def __init__(self, accepted):
        self.accepted, self.heard = accepted, 0
        if "visitor" not in w.card_ids:
            w.issue("Hanako", "visitor")
            w.write_terminal_configuration("gate", readers=f"virtual:{w.folder / 'visitor.reader'}")
            w.enrol_terminal_freely("gate")
        start_agent()
        self.serves_again()

    def close(self):
        w.stop_one("agent")
        w.take_away("visitor")

    def said(self):
        """Since it was asked the last time."""
        whole, _, _ = w.log_of("agent")[self.heard:].rpartition("\n")
        self.heard += len(whole)
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{") and line.endswith("}")]

    def hears(self, event):
        """Whether the agent says so; it may end before that."""
        heard = []

        def there():
            ended = w.programs["agent"].poll() is not None
            said = self.said()
            heard.extend(one.get("event") for one in said)
            self.accepted.extend(one["session"] for one in said if one.get("event") == "tap.accepted")
            return ended or event in heard
        wait_until(f"the agent to say {event}", there, 20 * PATIENCE)
        return event in heard

    def serves_again(self):
        """Its card lies there: whoever is started serves it."""
        w.lay("visitor")
        if not self.hears("tap.accepted"):
            raise Failure("the agent ended: " + w.programs["agent"].last_words())

    def visit(self):
        w.take_away("visitor")
        if self.hears("card.removed"):
            w.lay("visitor")
            self.hears("tap.accepted")


class Tap(Case):
    def after_a_tap(self, result, struck):
        if not struck:
            self.assertEqual(w.outcome(result), "accepted")

    def test_the_broker(self):
        self.in_each(["cardbrokerd"], self.tap, self.after_a_tap, every=23)

    def test_the_key_service(self):
        self.in_each(["hsmd, the use of keys", "hsmd, the log"], self.tap, self.after_a_tap, every=5)

    def test_the_connectors(self):
        self.in_each(["connectord, the dispatcher", "connectord, the opener", "connectord, the connector"], self.tap,
                     self.after_a_tap)
        self.in_each(["a login"], self.tap, self.after_a_tap, every=11)

    def test_the_card(self):
        self.in_each(["the card"], self.tap, self.after_a_tap, every=5)

    def test_who_takes_no_step_of_it(self):
        """At the steps of the broker, and a supervisor at those of whom it started, too."""
        names = ["hsmd, management", "connectord, another connector"] if FAULTS else []
        for name in [*SUPERVISORS, *names]:
            restart(BROKER)     # and with it whatever sessions there are
            w.works_again()
            with self.subTest(process=name):
                self.at_each_step(PROCESSES["cardbrokerd"], self.tap, self.after_a_tap, every=61, victim=PROCESSES[name])
        for name, workers in SUPERVISORS.items():
            with self.subTest(process=name):
                self.at_each_step(workers, self.tap, self.after_a_tap, every=31, victim=PROCESSES[name])
        if FAULTS:
            self.at_each_step(PROCESSES["a login"], self.tap, self.after_a_tap, every=31, victim=PROCESSES["connectord, the supervisor"])

    def test_the_terminals_program(self):
        def by_cardlink():
            return w.in_danger(lambda: w.cardlink("tap", "--service", "nginx", "--timeout", "10", ok=range(-9, 100)))
        role = Role("cardlink")
        role.plan = lambda world: {"program": "cardlink"}
        self.at_each_step(role, by_cardlink, every=20)


class Agent(Case):
    def test_the_terminals_agent(self):
        entry = gate(self)
        self.at_each_step(PROCESSES["the terminal's agent"], entry.visit, every=17, again=entry.serves_again)


class WrongPin(Case):
    def left(self):
        said = subprocess.run([w.program("cardlink-vcard"), "--show", w.cards / "Hanako.card"], stdout=subprocess.PIPE,
                              check=True).stdout.decode()
        return int(next(line for line in said.splitlines() if line.startswith("PIN tries")).split()[-1])

    def killed_at(self, nth, only):
        """Whether it was, whether the try was counted, and whether the broker was told so."""
        good = w.tap("vault", pin="123456")
        self.assertEqual(good.get("outcome"), "accepted", good)
        before = self.left()
        w.steps.arm(nth, pid=w.programs["card"].pid, only=only)
        done = w.tap("vault", pin="999999", seconds=3)
        struck, call, _ = w.steps.disarm()
        if struck:
            self.kills[call] += 1
            w.programs["card"].process.wait()
            w.insert_card("Hanako")
        told = done.get("code") == "pin.wrong"
        if told:
            self.assertEqual(done["tries_left"], before - 1)
            self.assertEqual(self.left(), before - 1)
        self.assertIn(self.left(), (before, before - 1))
        return struck, self.left() < before, told

    def test_a_card_killed_at_any_step_keeps_its_state_whole_and_counts_what_the_broker_heard(self):
        """Each kind of call by itself: between what it does for the tap the reader asks the card whether it is there, now more
        often and now less, but what it does to its file comes in one order."""
        not_yet, heard = 0, 0
        for call in LASTING + ("send", "recv", "read"):
            counted, struck, n = [], True, 1
            while struck:
                struck, was_counted, told = self.killed_at(n, call)
                counted.append(was_counted)
                heard += told
                n += stride(3)
            not_yet += counted.count(False)
            if call in LASTING:
                self.assertEqual(sorted(counted), counted, f"a try that was counted at one {call} was not at a later one")
        self.assertGreater(heard, 0)
        self.assertGreater(not_yet, 0, "it was never killed before it counted")
        self.assertEqual(w.tap("vault", pin="123456").get("outcome"), "accepted")


class Revocation(Case):
    number = 0
    spare = page = None

    def before(self):
        """A card that has a session open."""
        if not Revocation.spare:
            Revocation.number += 1
            Revocation.spare, Revocation.page = f"spare{Revocation.number}", None
            w.issue("Hanako", Revocation.spare)
        if not Revocation.page:
            done = self.tap(reader=w.lay(Revocation.spare))
            self.assertEqual(w.outcome(done), "accepted")
            Revocation.page = done.json["delivery"]["url"]
            self.assertIn("CN=", w.browser().get(self.page).text)

    def revoke(self):
        """Whether it was acknowledged."""
        try:
            return w.admin("POST", f"/v1/cards/{w.card_ids[self.spare]}/revoke", {"reason": "lost"}).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def after(self, acknowledged, struck):
        card = self.spare
        reader = w.lay(card)
        state = w.admin("GET", f"/v1/cards/{w.card_ids[card]}").json["state"]
        if acknowledged:
            self.assertEqual(state, "revoked")
        self.assertEqual(w.outcome(self.tap(reader=reader)), "card.revoked" if state == "revoked" else "accepted")
        if state != "revoked":
            self.assertTrue(self.revoke(), "it cannot be repeated")
            self.assertEqual(w.outcome(self.tap(reader=reader)), "card.revoked")
        self.assertNotIn("CN=", self.look_at_page(), "its session outlived it")
        w.take_away(card)
        Revocation.spare = None
        self.before()

    def look_at_page(self):
        try:
            return w.browser().get(self.page).text
        except (OSError, http.client.HTTPException):
            return ""

    def revoked(self, role, act=None, **options):
        for program in {role.program, options.get("victim", role).program} - {"agent"}:
            restart(program)
        w.works_again()
        Revocation.page = None      # that session is over
        self.before()
        return self.at_each_step(role, act or self.revoke, self.after, **options)

    def test_the_broker_at_each_write_and_sync(self):
        calls = [call for name in LASTING for call in self.revoked(PROCESSES["cardbrokerd"], only=name)]
        self.assertIn("pwrite64", calls)
        self.assertIn("fdatasync", calls)

    def test_the_broker_at_other_steps(self):
        self.revoked(PROCESSES["cardbrokerd"], every=7)

    def test_the_key_service(self):
        """It is told of the revocation by one worker, at the latest with the next tap."""
        def revoke_and_tap():
            acknowledged = self.revoke()
            self.tap()
            return acknowledged
        calls = [call for name in LASTING for call in self.revoked(PROCESSES["hsmd, the use of keys"], revoke_and_tap, only=name)]
        self.assertIn("fdatasync", calls)

        def revoke_and_see_it_told():
            acknowledged = self.revoke()
            wait_until("the worker to hear of it", lambda: w.steps.look()[2] > 0, 20 * PATIENCE)
            return acknowledged
        self.revoked(PROCESSES["hsmd, the use of keys"], revoke_and_see_it_told, every=4)

    def test_the_log(self):
        """Another worker signs the head that covers it, and remembers that."""
        calls = [call for name in LASTING for call in self.revoked(PROCESSES["hsmd, the log"], only=name)]
        self.assertTrue({"pwrite", "pwrite64"} & set(calls), calls)
        self.assertIn("fdatasync", calls)

    def test_the_connector_whose_session_is_cut(self):
        """It is acknowledged before that has come to an end there."""
        def revoke_and_see_it_end():
            there = set(PROCESSES["a login"].pids(w))
            acknowledged = self.revoke()
            wait_until("the session's process to end", lambda: there - set(PROCESSES["a login"].pids(w)), 20 * PATIENCE)
            wait_until("its connector to see that", lambda: w.steps.look()[2] > 0, 20 * PATIENCE)
            return acknowledged
        self.revoked(PROCESSES["connectord, the connector"], revoke_and_see_it_end)

    def test_who_takes_no_step_of_it(self):
        """At the steps of the broker. The session's process is one of them: it is cut."""
        others = [name for name in PROCESSES if name not in ("cardbrokerd", "the card", "the terminal's agent")]
        for name in others if FAULTS else SUPERVISORS:
            with self.subTest(process=name):
                self.revoked(PROCESSES["cardbrokerd"], victim=PROCESSES[name], every=29)
        if FAULTS:
            entry = gate(self)
            with self.subTest(process="the terminal's agent"):
                self.revoked(PROCESSES["cardbrokerd"], victim=PROCESSES["the terminal's agent"], again=entry.serves_again)


class Keys(Case):
    """Cards are issued, keys made and renewed, by an administrator who tries again."""
    number = 0

    ROLES = ("cardbrokerd", "hsmd, management", "hsmd, the log")

    def try_to(self, act):
        try:
            return w.in_danger(act)
        except Failure as failure:
            return failure

    def enumerated(self, act, check, every):
        for name in self.ROLES:
            restart(PROCESSES[name].program)
            w.works_again()
            with self.subTest(process=name):
                self.at_each_step(PROCESSES[name], lambda: self.try_to(act), check, every)
        role = Role("cardbrokerctl")
        role.plan = lambda world: {"program": "cardbrokerctl"}
        with self.subTest(process="cardbrokerctl"):
            self.at_each_step(role, lambda: self.try_to(act), check, every)

    def test_a_card_is_issued(self):
        def cards():
            return w.ctl("card", "list", "--holder", w.holders["Hanako"])
        before = {card["id"] for card in cards()}

        def act():
            Keys.number += 1
            return w.issue("Hanako", f"new{Keys.number}")

        def check(issued, struck):
            name = f"new{Keys.number}"
            if not isinstance(issued, str):
                # Whatever was not confirmed is done again, and is then done.
                made = [card["id"] for card in cards() if card["id"] not in before]
                if made:
                    w.ctl("card", "activate", made[0], ok=(0, 1))
                else:
                    w.ctl("card", "issue", "--holder", w.holders["Hanako"], "--certificate", w.cards / f"{name}.cvc", "--activate",
                          ok=(0, 1))
            self.assertEqual(w.outcome(self.tap(reader=w.lay(name))), "accepted", issued)
            w.take_away(name)
            before.update(card["id"] for card in cards())
        self.enumerated(act, check, every=37)

    def test_a_key_is_made(self):
        def act():
            return w.enrol("Hanako", "second")

        def check(enrolled, struck):
            if not isinstance(enrolled, str):
                self.remove("second")
                w.enrol("Hanako", "second")
            self.assertEqual(w.outcome(self.tap("second")), "accepted", enrolled)
            self.remove("second")
        self.enumerated(act, check, every=61)

    def remove(self, service):
        for enrolment in w.ctl("enrolment", "list", "--holder", w.holders["Hanako"], "--service", service):
            if enrolment["state"] != "removed":
                w.ctl("enrolment", "remove", enrolment["id"])

    def test_a_key_is_renewed(self):
        enrolment, request = w.enrolments["Hanako", "nginx"], w.folder / "renewal.csr"

        def certify():
            w.ctl("enrolment", "certify", enrolment, "--certificate",
                  w.sign_with_nginx_authority(request, w.folder / "renewal"))
            return "renewed"

        def renew():
            w.ctl("enrolment", "renew", enrolment, "--algorithm", "ec-p256", "--csr", request, "--subject", "CN=Hanako")
            return certify()

        def check(renewed, struck):
            self.assertEqual(w.outcome(self.tap()), "accepted", renewed)
            if renewed != "renewed":
                try:
                    renew()
                except Failure as failure:
                    self.assertIn("resource.state", str(failure), "it cannot be repeated")
                    certify()
                self.assertEqual(w.outcome(self.tap()), "accepted", "after it was repeated")
        self.enumerated(renew, check, every=61)

    def test_what_is_done_but_not_signed_is_not_said_to_be_refused(self):
        """The log's worker is killed when a key is recorded: then either nothing changed, or its request is there."""
        enrolment, request = w.enrolments["Hanako", "nginx"], w.folder / "unsigned.csr"
        role, codes = PROCESSES["hsmd, the log"], set()
        for n in range(1, 5):
            restart(HSM)
            w.works_again()
            w.steps.arm(n, **role.plan(w))
            said = subprocess.run([w.program("cardbrokerctl"), "--config", w.etc / "cardbrokerctl.conf", "enrolment", "renew",
                                   enrolment, "--algorithm", "ec-p256", "--csr", request, "--subject", "CN=Hanako"],
                                  env=w.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            w.steps.disarm()
            codes.add(said.stderr.decode().partition("[")[2].partition("]")[0])
            w.works_again(seconds=20)
            waits = w.ctl("enrolment", "show", enrolment)["next_key"] is not None
            self.assertEqual(waits, request.exists(), said)
            if waits:
                w.ctl("enrolment", "certify", enrolment, "--certificate",
                      w.sign_with_nginx_authority(request, w.folder / "unsigned"))
                request.unlink()
        self.assertIn("evidence.unsigned", codes)


class Twice(unittest.TestCase):
    """Of two that are begun in the same instant, where one was killed: the earlier is held when it has found the old socket dead and
    is about to replace it. The later must neither serve nor leave it another's socket."""

    def tearDown(self):
        w.start_what_ended(START)

    def begun_twice(self, name, place, config, other):
        w.kill(Role(name))
        w.programs[name].process.wait(20 * PATIENCE)
        w.steps.arm(1, program=name, only="unlink", hold=True)
        earlier = w.spawn(name, [w.program(name), "--config", w.etc / config])
        try:
            wait_until("the earlier one to replace a socket", lambda: w.steps.look()[0], 20 * PATIENCE, earlier)
            later = subprocess.run([str(w.program(name)), "--config", str(w.etc / other)], env=w.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30 * PATIENCE)
        finally:
            w.steps.disarm()
        self.assertEqual(later.returncode, 1, later.stdout)
        self.assertIn('"error":"program.running"', later.stdout)
        self.assertIn(str(w.run_folder / place), later.stdout)
        w.works_again(seconds=20)
        self.assertIsNone(earlier.poll())

    def test_of_two_key_services_the_later_ends_and_the_earlier_serves(self):
        self.begun_twice(HSM, "manage.sock", "hsmd.conf", "hsmd.conf")

    def test_of_two_connectords_the_later_ends_and_the_earlier_serves(self):
        self.begun_twice(CONNECTORS, "connectors.sock", "connectord.conf", "connectord.conf")

    def test_of_two_brokers_the_later_ends_and_the_earlier_serves(self):
        """The later has a port and a database of its own, so that the socket is all that they share."""
        text = (w.etc / "cardbroker.conf").read_text()
        text = text.replace(f'state = "{w.state}"', f'state = "{w.folder / "other-state"}"')
        (w.etc / "other.conf").write_text(re.sub(r"port = \d+", f"port = {free_port()}", text, count=1))
        (w.folder / "other-state").mkdir(mode=0o700)
        self.begun_twice(BROKER, "admin.sock", "cardbroker.conf", "other.conf")
        self.assertEqual(list((w.folder / "other-state").iterdir()), [])


class Plan(unittest.TestCase):
    def test_nobody_is_struck_once_a_plan_was_taken_back_and_who_was_is_told(self):
        """By a process that makes nothing but steps: whether it comes to the one that is aimed at is chance."""
        working, lived = None, 0
        for n in range(100):
            if not working or working.poll() is not None:
                working = w.spawn("steps", ["dd", "if=/dev/zero", "of=/dev/null", "bs=1"])
                wait_until("its first steps", lambda: self.counts(working), 20 * PATIENCE)
            w.steps.arm(1 + 3 * n, pid=working.pid, only="write")
            wait_until("a step or an end", lambda: w.steps.look()[2] > 0, 20 * PATIENCE)
            struck, _, counted = w.steps.disarm()
            self.assertEqual((struck, w.steps.look()[2]), (working.pid if struck else 0, counted))
            self.assertEqual(working.poll() is not None, bool(struck), f"after {counted} steps")
            if not struck:
                time.sleep(0.001)
                self.assertIsNone(working.poll(), "it was struck afterwards")
                lived += 1
        w.stop_one("steps")
        self.assertTrue(0 < lived < 100, lived)

    @staticmethod
    def counts(working):
        w.steps.arm(0, pid=working.pid)
        time.sleep(0.001)
        return w.steps.disarm()[2] > 0


class Whole(unittest.TestCase):
    def test_every_process_that_lasts_is_killed_here(self):
        """But those that ask for the status of foreign cards' certificates: ocsp_test.py."""
        restart(BROKER)     # ends the sessions that others opened

        def there():
            return {pid for program in (BROKER, HSM, CONNECTORS) for pid, _ in w.processes(program)}

        def killed():
            return {pid for role in PROCESSES.values() if role.program in (BROKER, HSM, CONNECTORS) for pid in role.pids(w)}
        wait_until("nobody but those", lambda: there() == killed(), 20 * PATIENCE)
        self.assertEqual(len(killed()), 1 + 4 + 5)


if __name__ == "__main__":
    main()

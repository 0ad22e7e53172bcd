# SPDX-License-Identifier: GPL-3.0-or-later
"""More than the broker can do: what is too much is refused at once and politely; revocations, status and those who come back
are served; and afterwards nothing is left of it. How long is too long is said by what is served meanwhile, on this machine; and
that refusals wait for nothing that is served, by their coming while all of that stands still."""

import collections
import http.client
import math
import os
import signal
import sys
import threading
import time
import unittest
from pathlib import Path

from world import PATIENCE, Card, Terminal, main, wait_until, world

w = None
WORKERS, QUEUE, CLIENTS, LOGINS = 3, 4, 32, 2
REVOKED, LOOKED = 5, 20
# How many times as long as what it is compared with something may take: more than chance and a machine that others use make of it.
TIMES, SHARES = 10, (0.5, 0.99)
# Nobody waits for long to be refused, however slow the machine: the queue is short, and refusals do not stand in it.
AT_ONCE = 5 * PATIENCE


def setUpModule():
    global w
    w = world()
    with (w.etc / "cardbroker.conf").open("a") as file:
        file.write(f"workers = {WORKERS}\nqueue = {QUEUE}\nlimits {{ logins-per-service = {LOGINS} }}\n")
    w.stop_one("cardbrokerd")
    w.start_broker()
    w.enrol_terminal_freely("crowd", rate=100000)
    w.enrol_terminal_freely("greedy", rate=100000)
    w.add_nginx("stalled", path=f"/slow?seconds={30 * PATIENCE}", timeout_ms=12000)
    w.add_holder("Hanako", services=("nginx", "stalled"))
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


def at(share, times):
    """That share of them took no longer."""
    return sorted(times)[math.ceil(share * len(times)) - 1]


def told(**kinds):
    print("\n" + "; ".join(f"{kind}: p50 {1000 * at(0.5, times):.1f} ms, p99 {1000 * at(0.99, times):.1f} ms, of {len(times)}"
                           for kind, times in kinds.items()), file=sys.stderr)


class Crowd:
    """Clients of one terminal that ask for taps as fast as they get answers, however often they are refused. What they
    begin they never go on with."""

    def __init__(self, count=CLIENTS, terminal="crowd", besides=()):
        self.answers, self.odd, self.times = collections.Counter(), [], collections.defaultdict(list)
        self.order = []         # of the answers: when they were asked for, and what they were
        self.besides = besides  # codes that are promised here, too
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(terminal,)) for _ in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def run(self, terminal):
        with Terminal(w, terminal) as client:
            while not self.stopping.is_set():
                began = time.monotonic()
                try:
                    answer = client.begin()
                except (OSError, http.client.HTTPException) as problem:
                    with self.lock:
                        self.odd.append(problem)
                    return
                self.count(answer, began, time.monotonic() - began)

    def count(self, answer, began, seconds):
        known = answer.status == 201 or (answer.status == 503 and answer.code in ("broker.busy", *self.besides))
        polite = answer.status != 503 or 1 <= int(answer.headers.get("Retry-After", 0)) <= 60
        with self.lock:
            self.answers[answer.status] += 1
            self.times[answer.status].append(seconds)
            self.order.append((began, answer.code or "begun"))
            if not (known and polite):
                self.odd.append(answer)

    def since(self, moment):
        """What was answered to that which was asked for after it, one after the other."""
        with self.lock:
            return [what for began, what in self.order if began > moment]


class StandingStill:
    """The key service, without which no tap begins: what is served stands still in the broker's workers, and what waits for
    them in the queue."""

    def __enter__(self):
        self.pids = [pid for pid, _ in w.processes("cardbroker-hsmd")]
        self.tell(signal.SIGSTOP)
        wait_until("the key service to stand still", lambda: all(self.state(pid) == "T" for pid in self.pids), 10 * PATIENCE)
        return time.monotonic()

    def __exit__(self, *_):
        self.tell(signal.SIGCONT)

    def tell(self, number):
        for pid in self.pids:
            os.kill(pid, number)

    @staticmethod
    def state(pid):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def metric(name):
    text = w.admin("GET", "/metrics").data.decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name) and line[len(name)] in " {")


class Overload(unittest.TestCase):
    def test_1_refusals_are_immediate_and_those_who_come_back_are_served(self):
        with Crowd() as crowd:
            wait_until("refusals", lambda: crowd.answers[503] > 200 and crowd.answers[201] > 100, 20 * PATIENCE)
            # As a terminal would: who is refused tries again.
            self.assertLess(w.works_again(seconds=20), 20 * PATIENCE)
        self.assertEqual(crowd.odd, [])
        refused, served = crowd.times[503], crowd.times[201]
        told(refused=refused, served=served)
        for share in SHARES:
            self.assertLess(at(share, refused), TIMES * at(share, served), f"a refusal, at {share}")
        self.assertLess(max(refused), AT_ONCE)
        self.assertGreater(metric("cardbroker_http_refused_total"), 0)

    def test_1_refusals_do_not_wait_for_what_is_served(self):
        """They come while all that is served stands still, before any of it goes on. A machine that is so slow that the broker
        gives up the key service first is asked again."""
        with Crowd(besides=("hsm.unavailable",)) as crowd:
            for _ in range(5):
                served = crowd.answers[201]
                wait_until("some to be served", lambda: crowd.answers[201] > served + CLIENTS, 20 * PATIENCE)
                with StandingStill() as moment:
                    wait_until("answers", lambda: len(crowd.since(moment)) > CLIENTS, 20 * PATIENCE)
                    answers = crowd.since(moment)[:CLIENTS]
                if set(answers) == {"broker.busy"}:
                    break
            served = crowd.answers[201]
            wait_until("some to be served again", lambda: crowd.answers[201] > served + CLIENTS, 20 * PATIENCE)
        self.assertEqual(answers, CLIENTS * ["broker.busy"])
        self.assertEqual(crowd.odd, [])

    def test_2_revocation_and_status_have_their_own_places(self):
        """Neither takes many times as long as without the crowd, with what any request takes in the crowd besides."""
        cards = [w.issue("Hanako", f"lost{number}") for number in range(2 * REVOKED - 1)]
        quiet = self.looks_and_revocations(cards[:REVOKED])
        with Crowd() as crowd:
            wait_until("refusals", lambda: crowd.answers[503] > 50, 20 * PATIENCE)
            cards.append(w.issue("Hanako", "lost"))
            reader = w.lay("lost")
            crowded = self.looks_and_revocations(cards[REVOKED:])
            refused = self.until_not_busy(lambda _: w.one_tap(reader=reader))
            self.assertEqual(refused, "card.revoked")
            w.take_away("lost")
            wait_until("some to be served", lambda: crowd.answers[201] > 100, 20 * PATIENCE)
        self.assertEqual(crowd.odd, [])
        served = crowd.times[201]
        for what, alone, times in zip(("status", "revocations"), quiet, crowded):
            told(**{f"{what} without a crowd": alone, what: times, "served": served})
            for share in SHARES:
                self.assertLess(at(share, times), TIMES * (at(share, alone) + at(share, served)), f"{what}, at {share}")

    def looks_and_revocations(self, cards):
        """How long each took."""
        looks, revocations = [], []
        for _ in range(LOOKED):
            self.timed(looks, "GET", "/v1/status")
            self.assertEqual(w.admin("GET", "/v1/live").status, 200)
            self.assertLessEqual(metric("cardbroker_http_queue"), QUEUE)
        for card in cards:
            self.timed(revocations, "POST", f"/v1/cards/{card}/revoke", {"reason": "lost"})
        return looks, revocations

    def timed(self, times, *request):
        began = time.monotonic()
        self.assertEqual(w.admin(*request).status, 200)
        times.append(time.monotonic() - began)
        self.assertLess(times[-1], AT_ONCE)

    def until_not_busy(self, ask):
        """The code of the first answer that is not about places."""
        end = time.monotonic() + 20 * PATIENCE
        while time.monotonic() < end:
            try:
                with Terminal(w) as terminal:
                    answer = ask(terminal)
            except KeyError:        # no script: refused at the start
                continue
            if answer.code != "broker.busy":
                return answer.code
        raise AssertionError("always busy")

    def test_3_one_terminal_does_not_take_all_places(self):
        """The oldest of those that it only began make place for the newest: it hinders itself."""
        with Terminal(w, "greedy") as greedy:
            begun = [greedy.begin() for _ in range(5000)]
            codes = collections.Counter(each.code or "begun" for each in begun)
            self.assertLessEqual(set(codes), {"begun", "broker.busy"})
            # The newest first: on a slow machine they would end meanwhile by themselves.
            known = {each.json["tap"]: greedy.challenge(each.json["tap"], ["6a82"]).code != "tap.unknown"
                     for each in reversed(begun) if not each.code}
        self.assertGreater(sum(known.values()), 0)
        self.assertLessEqual(sum(known.values()), 64)
        self.assertLess(w.works_again(), 8 * PATIENCE)

    def intents(self):
        return sum("service stalled" in leaf["leaf"] for leaf in w.leaves("--kind", "tap.intent"))

    def test_4_a_service_that_stands_still_holds_no_more_than_its_share(self):
        results, threads = [], []

        def prove(terminal, tap, answers):
            results.append(terminal.proof(tap, answers).code)
        terminals = [Terminal(w) for _ in range(LOGINS + 1)]
        # The last has played its card already when the places are taken.
        with terminals[-1] as late:
            played = [w.played(terminal, None, "stalled") for terminal in terminals]
            # One after the other, as the card proved: of two proofs the older one counts no more when it comes second. A
            # request that is busy may not have its place yet; one whose intent is on record has.
            for count, (terminal, (tap, answers)) in enumerate(zip(terminals[:LOGINS], played), 1):
                threads.append(threading.Thread(target=prove, args=(terminal, tap, answers)))
                threads[-1].start()
                wait_until(f"login {count}", lambda: results or self.intents() == count, 10 * PATIENCE)
                self.assertEqual(results, [])
            began = time.monotonic()
            refused = late.proof(*played[-1])
            self.assertEqual((refused.status, refused.code), (503, "service.busy"))
            self.assertIn("Retry-After", refused.headers)
            # Before the card does its part; and the tap may go on with another service.
            begun = late.begin()
            with Card(w.reader) as reader:
                first = reader.play(begun.json["script"])
                self.assertEqual(late.challenge(begun.json["tap"], first, "stalled").code, "service.busy")
                asked = late.challenge(begun.json["tap"], first, "nginx")
                done = late.proof(begun.json["tap"], reader.play(asked.json["script"]))
            self.assertEqual(done.json.get("outcome"), "accepted")
            self.assertLess(time.monotonic() - began, 10 * PATIENCE)
        for thread in threads:
            thread.join()
        self.assertEqual(results, ["service.slow"] * LOGINS)
        for terminal in terminals:
            terminal.close()

    def test_5_nothing_is_left(self):
        wait_until("an empty queue", lambda: metric("cardbroker_http_queue") == 0, 10 * PATIENCE)
        pid = w.processes("cardbrokerd")[0][0]

        def files():
            return len(os.listdir(f"/proc/{pid}/fd"))

        def resident():
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        with Crowd():       # what is made at the first need of it, is there afterwards
            time.sleep(2)
        time.sleep(3)
        before, threads, quiet = resident(), len(os.listdir(f"/proc/{pid}/task")), files()
        for _ in range(3):
            with Crowd():
                time.sleep(2)
        wait_until("closed connections", lambda: files() <= quiet + 8, 10 * PATIENCE)
        self.assertEqual(len(os.listdir(f"/proc/{pid}/task")), threads)
        self.assertLess(resident() - before, 16 * 1024 * PATIENCE)
        self.assertTrue(w.verify()["verified"])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests share that kill processes at their steps: who there is, and a case that kills one at each of its steps in turn, and looks
that it serves again by itself and that the record is whole."""

import collections
import socket
import statistics
import struct
import sys
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from steps import Fragile, Role, stride
from world import PATIENCE, wait_until

w = None
hands = ThreadPoolExecutor(1)   # which act beside a test; one thread to the end, for what it starts dies with it
# A supervisor waits longer with every quick end of the same worker; nobody kills it so often but a test.
IN_A_ROW = 4
# From each kill to the first tap that is accepted again takes less. A machine that is busy with something else does less in a second:
# where so many taps that nothing happens to take longer, they are the limit; the slowest of them for one kill, their median for all.
SECONDS, TAPS = 1 * PATIENCE, 10

BROKER, HSM, CONNECTORS = "cardbrokerd", "cardbroker-hsmd", "cardbroker-connectord"
# All that last; and a login's, which lasts as long as the session that it opened.
PROCESSES = {
    "cardbrokerd": Role(BROKER),
    "hsmd, the supervisor": Role(HSM),
    "hsmd, the use of keys": Role(HSM, 0),
    "hsmd, the log": Role(HSM, 1),
    "hsmd, management": Role(HSM, 2),
    "connectord, the supervisor": Role(CONNECTORS),
    "connectord, the dispatcher": Role(CONNECTORS, 0),
    "connectord, the opener": Role(CONNECTORS, 1),
    "connectord, the connector": Role(CONNECTORS, 2),
    "connectord, another connector": Role(CONNECTORS, 3),
    "a login": Role(CONNECTORS, 2, below=True),
    "the card": Role("card"),
    "the terminal's agent": Role("agent"),
}
SUPERVISORS = {"hsmd, the supervisor": Role(HSM, below=True), "connectord, the supervisor": Role(CONNECTORS, below=True)}
START = {HSM: lambda: w.start_hsmd(), CONNECTORS: lambda: w.start_connectord(), BROKER: lambda: w.start_broker(),
         "card": lambda: w.insert_card("Hanako")}


class Installation(Fragile):
    def configure(self):
        """Nobody types as many wrong PINs in a day as a card is killed at here; a card of which that is heard is suspended."""
        super().configure()
        with open(self.etc / "cardbroker.conf", "a", encoding="utf-8") as file:
            file.write("failures { wrong-pins-a-day = 0 terminal-slow = 0 terminal-stop = 0 }\n")


def settle(world):
    """In whose programs the cases kill."""
    global w
    w = world
    return w


def answers(name, kind, body):
    """Whether a question of that kind, which changes nothing, is answered without an error; base/msg.h says how it is put."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.settimeout(20 * PATIENCE)
        try:
            asking.connect(str(w.run_folder / name))
            asking.send(struct.pack(">HHII16s", kind, 0, 1, 1 << 24, bytes(16)) + body)
            answer = asking.recv(65536)
        except OSError:
            return False
    return len(answer) >= 28 and answer[:4] == struct.pack(">HH", kind, 0)


# No tap asks them: a public key in hsm/protocol.h, a ping in connectors/protocol.h.
ASKED = {"hsmd, management": lambda: answers("manage.sock", 18, b"log"),
         "connectord, another connector": lambda: answers("connectors.sock", 1, struct.pack(">I", 3) + b"jwt")}


def serves_again(name):
    """Whoever was killed, and all together."""
    if name in ASKED:
        wait_until(f"{name} to answer", ASKED[name], 20 * PATIENCE)
    w.works_again(seconds=20)


def restart(program):
    w.stop_one(program)
    START[program]()


def name_of(role):
    return next((name for name, known in PROCESSES.items() if known is role), role.program)


class Case(unittest.TestCase):
    managed = False     # whether it is started again, and tapped at, while what it was killed in goes on

    @classmethod
    def setUpClass(cls):
        cls.accepted, cls.away, cls.kills = [], collections.defaultdict(list), collections.Counter()
        cls.quiet = []      # how long taps take that nothing happens to

    @classmethod
    def tearDownClass(cls):
        print(f"\n{cls.__name__}: killed at " + ", ".join(f"{call} {count}" for call, count in cls.kills.most_common()),
              file=sys.stderr)
        a_tap, slowest = statistics.median(cls.quiet or [0]), max(cls.quiet or [0])
        for name, away in cls.away.items():
            print(f"{cls.__name__}: accepted again {1000 * statistics.median(away):.0f} ms after {name} was killed (median), "
                  f"{1000 * max(away):.0f} ms at most, of {len(away)}; a tap takes {1000 * a_tap:.0f} ms, {1000 * slowest:.0f} ms at most",
                  file=sys.stderr)
        slow = [name for name, away in cls.away.items()
                if statistics.median(away) >= max(SECONDS, TAPS * a_tap) or max(away) >= max(SECONDS, TAPS * slowest)]
        if slow:
            raise AssertionError(f"it does not recover at once from the end of {slow}")

    def setUp(self):
        restart(BROKER)     # what was begun and cut short holds the terminal's places until it expires
        w.works_again()
        self.look_at_a_tap()

    def look_at_a_tap(self):
        began = time.monotonic()
        self.assertEqual(w.outcome(self.tap()), "accepted")
        self.quiet.append(time.monotonic() - began)

    def tearDown(self):
        w.steps.disarm()
        w.start_what_ended(START)
        report = {}

        def closed():
            report.update(w.verify())
            return report["open_intents"] == 0 and report["leaves_unsigned"] == 0
        wait_until("intents to be closed and heads to be signed", closed, 20 * PATIENCE)
        self.assertTrue(report["verified"], report["findings"])
        recorded = "\n".join(leaf["leaf"] for leaf in w.leaves("--kind", "tap.result"))
        for session in self.accepted:
            self.assertIn(f"session {session}", recorded)

    def tap(self, service="nginx", reader=None):
        done = w.tap_at(reader or w.reader, service)
        if w.outcome(done) == "accepted":
            self.accepted.append(done.json["session"])
        return done

    def strike(self, victim, over):
        """Kills it once the process whose steps are counted is held, and lets that one go on. Whether it came to that."""
        while not w.steps.look()[0]:
            if over.is_set():
                return False
            time.sleep(0.001)
        w.kill(victim)
        w.steps.go()
        w.start_what_ended(START)
        return True

    def manage(self, name, over):
        """What the service manager does meanwhile: who asks again finds it started. When taps were accepted again, or None: it is over
        before anybody was struck."""
        while not w.steps.look()[0]:
            if over.is_set():
                return None
            time.sleep(0.001)
        struck = w.steps.look()[0]
        for program in [w.programs[name] for name in START if name in w.programs]:
            if program.pid == struck:
                wait_until(f"the end of {struck}", lambda: program.poll() is not None, 20 * PATIENCE)
                w.start_what_ended(START)
        serves_again(name)
        return time.monotonic()

    def at_step(self, n, role, act, only, victim):
        """What act() came to; who was killed, before which call, of how many, when, and when taps were accepted again if that is known."""
        over, back = threading.Event(), None
        w.steps.arm(n, only=only, hold=bool(victim), **role.plan(w))
        beside = hands.submit(self.strike, victim, over) if victim else None
        managing = hands.submit(self.manage, name_of(role), over) if self.managed else None
        try:
            result = act()
        finally:
            over.set()
            killed = not beside or beside.result()
            back = managing and managing.result()
        struck, call, counted = w.steps.disarm()
        return result, struck if killed else 0, call, counted, w.steps.when() or time.monotonic(), back

    def at_each_step(self, role, act, check=lambda result, struck: None, every=1, only="", victim=None, again=None):
        """act() with the process, or the victim instead of it, killed before its n-th step, for each n until act() has fewer steps,
        which it must have three times: how many it has depends on how full a page is. Then again(). Returns the calls that were
        not made."""
        name, program = name_of(victim or role), (victim or role).program
        n, calls, lived = 1, [], 0
        while lived < 3:
            result, struck, call, counted, when, back = self.at_step(n, role, act, only, victim)
            if struck:
                calls.append(call)
                self.kills[call] += 1
                if program in w.programs and struck == w.programs[program].pid:
                    w.programs[program].process.wait()
                w.start_what_ended(START)
                again() if again else serves_again(name)
                self.away[name].append((back or time.monotonic()) - when)
                if self.away[name][-1] >= SECONDS:
                    self.look_at_a_tap()    # whether it is the machine
            with self.subTest(step=n, call=call, steps=counted):
                check(result, struck)
            lived = 0 if struck else lived + 1
            if struck and program in START and len(calls) % IN_A_ROW == 0:
                restart(program)
                again() if again else w.works_again()
                self.look_at_a_tap()
            n += stride(every) if struck else 1
        if not only:
            self.assertGreater(len(calls), 0, "it was not killed")
        return calls

    def in_each(self, names, act, check=lambda result, struck: None, every=1):
        for name in names:
            restart(PROCESSES[name].program)
            w.works_again()
            with self.subTest(process=name):
                self.at_each_step(PROCESSES[name], act, check, every)

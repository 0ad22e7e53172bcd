# SPDX-License-Identifier: GPL-3.0-or-later
"""For tests that interrupt taps wherever they can be: a terminal before whose card and broker stand a reader and a link that can be cut
(tests/support/cuts.py), and what always holds of a tap that was."""

import os
import signal
import sys
import time
import unittest
from pathlib import Path

from foreign_world import ForeignWorld
from world import PATIENCE, Card, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from cuts import AFTER, BEFORE, CutLink, CutReader  # noqa: E402

w = reader = link = None
ADVICE = {          # what the holder is to do, in the sentence that goes with each code
    "card.removed": "present it again",
    "broker.unreachable": "then try again",
    "tap.unheard": "present the card, or log in, again",
    "pin.uncertain": "use the new PIN first, and if it is wrong the one before",
    "password.uncertain": "use the new one first, and if it is wrong the one before",
    "pin.reset_refused": "ask for another",
}
# What shows how often a card's PIN may still be wrong, and costs no try.
PIV_TRIES = ("00A404000BA00000030800001000010000", "00200080")
JPKI_TRIES = ("00A4040C0AD392F000260100000001", "00A4020C020018", "00200080")
ended = []          # how each tap ended that the terminal "cut" began, as it said
left_open = []      # taps whose terminal stayed away after the challenge: since when, which, what it was


def build_up():
    """An installation, and its terminal "cut"; with them the reader and the link before it."""
    global w, reader, link
    w = ForeignWorld()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    # One card here has more wrong PINs than a card may have in a day.
    with open(w.etc / "cardbroker.conf", "a", encoding="ascii") as file:
        file.write("failures {\n    wrong-pins-in-a-row = 0\n    wrong-pins-a-day = 0\n}\n")
    w.programs["cardbrokerd"].process.send_signal(signal.SIGHUP)
    w.write_terminal_configuration("cut")
    w.cardlink("enrol", "--name", "cut", terminal="cut")
    w.ctl("terminal", "enrol", "--name", "cut", "--certificate", w.etc / "cut.pem", "--rate", 10000, "--passwords")
    reader = CutReader(w.folder / "cut")
    unittest.addModuleCleanup(reader.close)
    link = CutLink(w, "cut", reader)
    unittest.addModuleCleanup(link.close)
    lead("cut", link)
    return w, reader, link


def lead(terminal, through):
    """Its way to card and broker."""
    text = (w.etc / f"{terminal}.conf").read_text().replace(f"localhost:{w.port}", f"localhost:{through.port}")
    (w.etc / f"{terminal}.conf").write_text(text.replace(f'readers = "{w.readers}"', f'readers = "virtual:{reader.path}"') + "timeout = 1\n")


def handed(text, call):
    """With a descriptor from which a secret is read."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    try:
        return call(reading)
    finally:
        os.close(reading)


def undisturbed():
    reader.arm()
    link.arm()


def leave_open(what):
    """The broker waits for the proof of the tap that was challenged last, and it does not come."""
    asked = [path for path in link.paths if path.endswith("/challenge")]
    left_open.append((time.monotonic(), asked[-1].split("/")[3], what))


def leaves_since(position):
    """But for the ends of taps that were left open a minute before."""
    said = w.admin("GET", f"/v1/audit/leaves?from={position}&count=100").json["leaves"]
    leaves = [w.fields({"leaf": bytes.fromhex(leaf["data"]).decode()}) for leaf in said]
    left = {tap for _, tap, _ in left_open}
    return [leaf for leaf in leaves if leaf.get("tap") not in left]


def tries_left(commands):
    """As the card that lies there says."""
    reader.arm()
    with Card(reader.path) as card:
        for command in commands:
            answer = card.transmit(bytes.fromhex(command))
    if len(answer) != 2 or answer[0] != 0x63 or answer[1] & 0xF0 != 0xC0:
        raise AssertionError(answer.hex())
    return answer[1] & 0x0F


class Counters:
    """Of a native card, from the end of its file (cardlink/card/native/state.c)."""

    def __init__(self, card):
        data = (w.cards / f"{card}.card").read_bytes()
        self.pin_tries, self.code_tries = data[-258], data[-245]
        self.failures = int.from_bytes(data[-244:-242], "big")
        self.made = int.from_bytes(data[-242:-238], "big")


class Cut:
    """One kind of tap, and its link."""

    card, service, pin = "Hanako", "nginx", None
    tries = None                            # how a card of others is asked for them
    purpose = None                          # of a tap for no service, as its refusals have it
    done = ("tap.result", "accepted")       # what is recorded of one that was done
    unheard = ("tap.unheard", 69)           # what the terminal says when it does not know
    once = None                             # what it is told when it asks for something again that is given once
    last = None                             # the code that came of the one that was cut

    @classmethod
    def setUpClass(cls):
        cls.native = cls.card == "Hanako"
        cls.logs_in = cls.done[0] == "tap.result"
        if cls.card:
            reader.lay(w.lay(cls.card))
        undisturbed()
        whole = cls.tap()
        if whole.get("outcome") != "accepted":
            raise AssertionError(whole)
        cls.commands, cls.exchanges = reader.count, link.count
        cls.second = max((played + 1 for path, played in zip(link.paths, link.played) if path.endswith("/challenge")), default=0)
        cls.done_whole()
        assert (cls.commands >= 4 or not cls.card) and cls.exchanges >= 3, (cls.commands, cls.exchanges)

    @staticmethod
    def say(*words, pin=None, password=None):
        """What the terminal said last."""
        def ask(*more, **options):
            return w.cardlink(*words, *more, terminal="cut", ok=(0, 1, 3, 69), timeout=60 * PATIENCE, **options)
        if password:
            said = handed("\n".join(password) + "\n", lambda fd: ask("--password-fd", fd, pass_fds=(fd,)))
        else:
            said = ask("--timeout", "5", pin=pin)
        if "reader" in said[-1]:    # otherwise it had no script for the card, and asked it nothing
            ended.append(said[-1].get("code") or said[-1]["outcome"])
        return {"status": w.last_status, **said[-1]}

    # What a kind of tap may say for itself.

    @classmethod
    def tap(cls):
        return cls.say("tap", "--service", cls.service, pin=cls.pin and [cls.pin])

    @classmethod
    def done_whole(cls):
        """After a tap that was accepted."""

    def works(self):
        """The next tap, which must be an ordinary one."""
        undisturbed()
        said = self.tap()
        self.assertEqual(said.get("outcome"), "accepted", said)
        self.done_whole()

    # What always holds.

    def store(self):
        return w.admin("GET", "/v1/status").json["store"]

    def interrupted(self, what, accepted=0):
        """The tap that was cut, with what the record says of it since."""
        before = self.store()
        counters = Counters(self.card) if self.native else None
        said = self.tap()
        type(self).last = said.get("code")
        if said.get("code"):
            self.assertIn(ADVICE[said["code"]], said["detail"], what)
        after = self.store()
        leaves = leaves_since(before["leaves"])
        self.assertEqual(after["open_intents"], 0, what)
        self.assertEqual([leaf["outcome"] for leaf in leaves if leaf.get("session") and leaf["kind"] == "tap.result"],
                         ["accepted"] * accepted, f"{what}: {leaves}")
        if self.native:
            now = Counters(self.card)
            self.assertEqual((now.pin_tries, now.code_tries, now.failures), (3, 10, counters.failures), what)
        elif self.tries:
            self.assertEqual(tries_left(self.tries), 3, what)   # before the next tap's right PIN can give one back
        return said, leaves

    def refused(self, leaves, outcome, step, what):
        ends = [leaf for leaf in leaves if leaf["kind"] == "tap.refused"]
        self.assertEqual([(leaf["outcome"], leaf.get("step"), leaf.get("told_by")) for leaf in ends],
                         [(outcome, step, "terminal")], f"{what}: {leaves}")
        self.assertEqual([leaf for leaf in leaves if leaf["kind"] in ("tap.intent", "tap.result", self.done[0])], [], what)
        self.assertEqual(ends[0].get("purpose"), self.purpose if step == "challenged" else None, what)
        return ends[0]

    def test_a_link_that_fails_once_at_any_exchange_is_not_noticed(self):
        for when in (BEFORE, AFTER):
            for nth in range(1, self.exchanges + 1):
                what = f"{when} exchange {nth} of {self.exchanges}"
                with self.subTest(what):
                    reader.arm()
                    link.arm(nth, when)
                    said, leaves = self.interrupted(what, int(self.logs_in))
                    kinds = [leaf["kind"] for leaf in leaves]
                    challenged = link.paths[nth - 1].endswith("/challenge")
                    if self.once and when == AFTER and challenged:
                        self.assertEqual((said.get("code"), kinds.count("tap.refused"), kinds.count(self.done[0])), (self.once, 2, 0), leaves)
                        self.works()
                        continue
                    self.assertEqual(said.get("outcome"), "accepted", f"{what}: {said}")
                    self.done_whole()
                    self.assertEqual(kinds.count(self.done[0]), 1, leaves)
                    self.assertEqual(kinds.count("tap.repeated"), int((nth, when) == (self.exchanges, AFTER) and self.logs_in), leaves)
                    if challenged:
                        self.refused([leaf for leaf in leaves if leaf["kind"] == "tap.refused"], "broker.unreachable",
                                     "challenged" if when == AFTER else "begun", what)
                    else:
                        self.assertNotIn("tap.refused", kinds, what)

    def test_a_link_that_stays_away_after_any_exchange(self):
        for when in (BEFORE, AFTER):
            for nth in range(1, self.exchanges + 1):
                what = f"{when} exchange {nth} of {self.exchanges}, and none afterwards"
                with self.subTest(what):
                    last = nth == self.exchanges
                    reader.arm()
                    link.arm(nth, when, stays_down=True)
                    was_done = last and when == AFTER
                    said, leaves = self.interrupted(what, int(was_done and self.logs_in))
                    # The broker did all that it was asked for, and the record says so; the terminal does not pretend to know.
                    self.assertEqual((said.get("code"), said["status"]), self.unheard if last else ("broker.unreachable", 69), f"{what}: {said}")
                    self.assertNotIn("delivery", said)
                    kind, outcome = self.done
                    self.assertEqual([leaf.get("outcome") for leaf in leaves if leaf["kind"] == kind], [outcome] * was_done, leaves)
                    asked = any(path.endswith("/challenge") for path in link.paths)
                    if asked and not was_done and (last or when == AFTER):
                        leave_open(f"{type(self).__name__}: {what}")
                    self.works()


class Interrupted(Cut):
    """And its card."""

    removed = {"card.removed"}              # what the terminal says when it is taken away
    begins = True                           # also at each command's beginning

    def beginnings(self):
        """The commands at whose beginning it is taken away. One that others issued is there what it was at the end of the command before, but for
        the second script's first: the broker has challenged it meanwhile, and it has heard nothing of that."""
        return range(1, self.commands + 1) if self.native and self.begins else (1, self.second)

    def test_a_card_taken_away_at_any_command(self):
        steps = set()
        self.assertLess(1, self.second)
        self.assertLessEqual(self.second, self.commands)
        for when, commands in ((BEFORE, self.beginnings()), (AFTER, range(1, self.commands + 1))):
            for nth in commands:
                what = f"{when} command {nth} of {self.commands}"
                with self.subTest(what):
                    reader.arm(nth, when)
                    link.arm()
                    said, leaves = self.interrupted(what)
                    self.assertEqual((said.get("event"), said["status"]), ("tap.refused", 3), said)
                    self.assertIn(said["code"], self.removed, said)
                    challenged = any(path.endswith("/challenge") for path in link.paths)
                    self.assertTrue(link.paths[-1].endswith("/end"), link.paths)
                    self.refused(leaves, said["code"], "challenged" if challenged else "begun", what)
                    if (when, nth) == (BEFORE, self.second):    # nothing has begun that could be uncertain
                        self.assertEqual((challenged, said["code"]), (True, "card.removed"), what)
                    steps.add((challenged, said["code"]))
                    self.works()
        self.assertEqual(steps, {(False, "card.removed"), *((True, code) for code in self.removed)})


class Record:
    """Of all of these taps; to be the last of a program's classes."""

    def test_a_tap_whose_terminal_stays_away_is_ended_by_the_broker_and_recorded_once(self):
        """Within a minute and a little. The last of them are not waited for."""
        self.assertTrue(left_open, "taps were left")
        wait_until("the end of the first", lambda: left_open[0][1] in self.ends(), 75 + 5 * PATIENCE)
        old = [(tap, what) for left, tap, what in left_open if time.monotonic() - left > 65]
        ends = self.ends()
        for tap, what in old:
            self.assertEqual(ends.get(tap), [("tap.expired", None, None)], what)

    @staticmethod
    def ends():
        """Of each tap that was refused: how, and who said so at which step."""
        found = {}
        for leaf in map(w.fields, w.leaves("--kind", "tap.refused")):
            found.setdefault(leaf.get("tap"), []).append((leaf["outcome"], leaf.get("told_by"), leaf.get("step")))
        return found

    def test_the_record_is_whole(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        self.assertEqual(report["open_intents"], 0)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Taps that are interrupted, wherever they can be: an undisturbed tap of each kind is counted, and then the card is taken away at each of its
commands, and the link cut at each of its exchanges, before and after what is asked for was done. Where there is no card but a password, there
is the link.

Afterwards nothing is half done, the holder has been told what to do, the record has it, and the next tap works."""

import os
import secrets
import signal
import sys
import unittest
from pathlib import Path

from foreign_world import JPKI_PIN, ForeignWorld
from foreign_world import PIN as PIV_PIN
from world import PATIENCE, main

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from cuts import AFTER, BEFORE, CutLink, CutReader  # noqa: E402

w = reader = link = None
PIN, CODE = "123456", "12345678"
PASSWORD = "correct horse battery staple"


def setUpModule():
    global w, reader, link
    w = ForeignWorld()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    # One card here has more wrong PINs than a card may have in a day.
    with open(w.etc / "cardbroker.conf", "a", encoding="ascii") as file:
        file.write("failures {\n    wrong-pins-in-a-row = 0\n    wrong-pins-a-day = 0\n}\n")
    w.programs["cardbrokerd"].process.send_signal(signal.SIGHUP)
    w.add_nginx("desk", level="terminal-pin")
    w.add_nginx("vault", level="pin")
    w.add_holder("Hanako", services=("nginx", "vault"))
    w.add_piv_holder("Kenji", services=("nginx", "desk"))
    w.make_jpki("Yuki")
    w.add_foreign_holder("Yuki", ("desk",))
    w.make_scp03("Aoi")
    w.add_foreign_holder("Aoi", ("nginx",))
    w.remove_card()
    w.add_nginx("library", level="password")
    w.enrol("Hanako", "library")
    for name in ("hanako.one", "hanako.two"):
        handed(PASSWORD, lambda fd: w.ctl("password", "set", name, "--holder", "Hanako", "--password-fd", fd, pass_fds=(fd,)))
    w.write_terminal_configuration("cut")
    w.cardlink("enrol", "--name", "cut", terminal="cut")
    w.ctl("terminal", "enrol", "--name", "cut", "--certificate", w.etc / "cut.pem", "--rate", 10000, "--passwords")
    reader = CutReader(w.folder / "cut")
    unittest.addModuleCleanup(reader.close)
    link = CutLink(w, "cut")
    unittest.addModuleCleanup(link.close)
    text = (w.etc / "cut.conf").read_text().replace(f"localhost:{w.port}", f"localhost:{link.port}")
    (w.etc / "cut.conf").write_text(text.replace(f'readers = "{w.readers}"', f'readers = "virtual:{reader.path}"') + "timeout = 1\n")


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


def leaves_since(position):
    said = w.admin("GET", f"/v1/audit/leaves?from={position}&count=100").json["leaves"]
    return [w.fields({"leaf": bytes.fromhex(leaf["data"]).decode()}) for leaf in said]


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
    purpose = None                          # of a tap for no service, as its refusals have it
    done = ("tap.result", "accepted")       # what is recorded of one that was done
    unheard = ("tap.unheard", 69)           # what the terminal says when it does not know
    last = None                             # its code

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
        cls.done_whole()
        cls.commands, cls.exchanges = reader.count, link.count
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
        after = self.store()
        leaves = leaves_since(before["leaves"])
        self.assertEqual(after["open_intents"], 0, what)
        self.assertEqual([leaf["outcome"] for leaf in leaves if leaf.get("session") and leaf["kind"] == "tap.result"],
                         ["accepted"] * accepted, f"{what}: {leaves}")
        if self.native:
            now = Counters(self.card)
            self.assertEqual((now.pin_tries, now.code_tries, now.failures), (3, 10, counters.failures), what)
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
                    self.assertEqual(said.get("outcome"), "accepted", f"{what}: {said}")
                    kinds = [leaf["kind"] for leaf in leaves]
                    self.assertEqual(kinds.count(self.done[0]), 1, leaves)
                    self.assertEqual(kinds.count("tap.repeated"), int((nth, when) == (self.exchanges, AFTER) and self.logs_in), leaves)
                    if link.paths[nth - 1].endswith("/challenge"):
                        self.refused([leaf for leaf in leaves if leaf["kind"] == "tap.refused"], "broker.unreachable",
                                     "challenged" if when == AFTER else "begun", what)
                    else:
                        self.assertNotIn("tap.refused", kinds, what)
                    self.done_whole()

    def test_a_link_that_stays_away_after_any_exchange(self):
        for when in (BEFORE, AFTER):
            for nth in range(1, self.exchanges + 1):
                what = f"{when} exchange {nth} of {self.exchanges}, and none afterwards"
                with self.subTest(what):
                    last = nth == self.exchanges
                    if last and when == BEFORE and self.card and not self.native:
                        continue    # takes its time, and the card has no part in it
                    reader.arm()
                    link.arm(nth, when, stays_down=True)
                    was_done = last and when == AFTER
                    said, leaves = self.interrupted(what, int(was_done and self.logs_in))
                    # The broker did all that it was asked for, and the record says so; the terminal does not pretend to know.
                    self.assertEqual((said.get("code"), said["status"]), self.unheard if last else ("broker.unreachable", 69), f"{what}: {said}")
                    self.assertNotIn("delivery", said)
                    kind, outcome = self.done
                    self.assertEqual([leaf["outcome"] for leaf in leaves if leaf["kind"] == kind], [outcome] * was_done, leaves)
                    self.works()


class Interrupted(Cut):
    """And its card."""

    removed = {"card.removed"}              # what the terminal says when it is taken away

    def test_a_card_taken_away_at_any_command(self):
        steps = set()
        for when in (BEFORE, AFTER):
            # A card that others issued is at a command's beginning what it was at the end of the one before.
            for nth in range(1, self.commands + 1 if self.native or when == AFTER else 2):
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
                    steps.add((challenged, said["code"]))
                    self.works()
        self.assertEqual(steps, {(False, "card.removed"), *((True, code) for code in self.removed)})


class Native(Interrupted, unittest.TestCase):
    pass


class NativePin(Interrupted, unittest.TestCase):
    service, pin = "vault", PIN


class Piv(Interrupted, unittest.TestCase):
    card = "Kenji"


class PivPin(Interrupted, unittest.TestCase):
    card, service, pin = "Kenji", "desk", PIV_PIN


class Jpki(Interrupted, unittest.TestCase):
    card, service, pin = "Yuki", "desk", JPKI_PIN


class Scp03(Interrupted, unittest.TestCase):
    card = "Aoi"


class Changing(Interrupted):
    """A PIN that is set: the card has it or has it not, and it is one of the two."""

    purpose = "change"
    done = ("tap.pin", "done")
    unheard = ("pin.uncertain", 3)
    removed = {"card.removed", "pin.uncertain"}
    known = PIN

    @classmethod
    def secret(cls):
        return cls.known

    @classmethod
    def tap(cls):
        cls.fresh = "246810" if cls.known != "246810" else "135790"
        return cls.say("pin", cls.purpose, pin=[cls.secret(), cls.fresh])

    @classmethod
    def done_whole(cls):
        cls.known = cls.fresh

    def works(self):
        """As the holder is told: the new PIN first, and the one before if that is wrong."""
        kind = type(self)
        undisturbed()
        for pin in (kind.fresh, kind.known):
            said = self.say("tap", "--service", "vault", pin=[pin])
            if said.get("outcome") == "accepted":
                kind.known = pin
                return
            self.assertEqual((said.get("code"), said.get("tries_left")), ("pin.wrong", 2), said)
        self.fail("neither PIN is the card's")

    @classmethod
    def tearDownClass(cls):
        """As the others expect the card."""
        undisturbed()
        cls.say("pin", cls.purpose, pin=[cls.secret(), PIN])
        Changing.known = PIN


class PinChange(Changing, unittest.TestCase):
    pass


class PinUnblock(Changing, unittest.TestCase):
    purpose = "unblock"

    @classmethod
    def secret(cls):
        return CODE


class Password(Cut, unittest.TestCase):
    """No card, and the same: an answer that was lost is heard, or nobody is told that nothing was done."""

    card, service = None, "library"

    @classmethod
    def tap(cls):
        return cls.say("login", "--name", "hanako.one", "--service", cls.service, password=[PASSWORD])


class PasswordChange(Password):
    """It is changed or it is not, and one of the two opens."""

    done = ("tap.password", "changed")
    unheard = ("password.uncertain", 3)
    known = PASSWORD

    @classmethod
    def tap(cls):
        cls.fresh = secrets.token_hex(12)   # one that was in use before is not taken again
        return cls.say("password", "change", "--name", "hanako.two", password=[cls.known, cls.fresh])

    @classmethod
    def done_whole(cls):
        cls.known = cls.fresh

    def works(self):
        """As the holder is told: with the one that he had, or, where that is not certain, with the new one first."""
        kind = type(self)
        undisturbed()
        for password in ([kind.fresh] if kind.last == "password.uncertain" else []) + [kind.known]:
            said = self.say("login", "--name", "hanako.two", "--service", "library", password=[password])
            if said.get("outcome") == "accepted":
                kind.known = password
                return
            self.assertEqual(said.get("code"), "password.wrong", said)
        self.fail("neither password is the holder's")


class WrongPin(unittest.TestCase):
    """A wrong PIN costs a try even when the card is taken away at once, and the broker hears of it at the next tap."""

    def setUp(self):
        reader.lay(w.lay("Hanako"))

    def tap(self, pin):
        return Cut.say("tap", "--service", "vault", pin=[pin])

    def test_who_takes_the_card_away_has_guessed_all_the_same(self):
        undisturbed()
        self.assertEqual(self.tap("000000").get("tries_left"), 2)
        commands = reader.count
        self.assertEqual(self.tap(PIN).get("outcome"), "accepted")
        guessed = []
        for nth in range(1, commands + 1):
            reader.arm(nth, AFTER)
            self.assertEqual(self.tap("000000").get("code"), "card.removed")
            now = Counters("Hanako")
            guessed.append(now.pin_tries == 2)
            # The proof reports the failures; before it they are kept.
            proven = nth == commands
            self.assertEqual(now.failures, int(guessed[-1] and not proven), nth)
            reader.arm()
            self.assertEqual(self.tap(PIN).get("outcome"), "accepted", nth)
            self.assertEqual((Counters("Hanako").pin_tries, Counters("Hanako").failures), (3, 0))
        self.assertEqual(guessed, sorted(guessed), "once the PIN was compared, it counts")
        self.assertEqual((guessed[0], guessed[-1]), (False, True))


class ZRecord(unittest.TestCase):
    def test_the_record_is_whole(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        self.assertEqual(report["open_intents"], 0)


if __name__ == "__main__":
    main()

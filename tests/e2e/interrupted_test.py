# SPDX-License-Identifier: GPL-3.0-or-later
"""Taps that are interrupted, wherever they can be: an undisturbed tap of each kind is counted, and then the card is taken away at each of its
commands, and the link cut at each of its exchanges, before and after what is asked for was done. Where there is no card but a password, there
is the link.

Afterwards nothing is half done, the holder has been told what to do, the record has it, and the next tap works."""

import os
import secrets
import signal
import sys
import time
import unittest
from pathlib import Path

from foreign_world import JPKI_PIN, ForeignWorld
from foreign_world import PIN as PIV_PIN
from world import PATIENCE, main, wait_until

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
left_open = []      # taps whose terminal stayed away after the challenge: since when, which, what it was
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
    w.add_piv_holder("Mori", *w.content_signer("signer"), services=("nginx", "desk"))
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
    lead("cut", link)
    w.ctl("maintainer", "add", "--holder", "Hanako", "--terminal", "cut")


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


def leaves_since(position):
    """But for the ends of taps that were left open a minute before."""
    said = w.admin("GET", f"/v1/audit/leaves?from={position}&count=100").json["leaves"]
    leaves = [w.fields({"leaf": bytes.fromhex(leaf["data"]).decode()}) for leaf in said]
    left = {tap for _, tap, _ in left_open}
    return [leaf for leaf in leaves if leaf.get("tap") not in left]


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
                    self.assertEqual([leaf.get("outcome") for leaf in leaves if leaf["kind"] == kind], [outcome] * was_done, leaves)
                    asked = [path for path in link.paths if path.endswith("/challenge")]
                    if asked and not was_done and (last or when == AFTER):
                        left_open.append((time.monotonic(), asked[-1].split("/")[3], f"{type(self).__name__}: {what}"))
                    self.works()


class Interrupted(Cut):
    """And its card."""

    removed = {"card.removed"}              # what the terminal says when it is taken away
    begins = True                           # also at each command's beginning

    def test_a_card_taken_away_at_any_command(self):
        steps = set()
        for when in (BEFORE, AFTER):
            # A card that others issued is at a command's beginning what it was at the end of the one before.
            for nth in range(1, self.commands + 1 if self.native and self.begins or when == AFTER else 2):
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


class PivSecured(Interrupted, unittest.TestCase):
    card = "Mori"


class PivSecuredPin(Interrupted, unittest.TestCase):
    card, service, pin = "Mori", "desk", PIV_PIN


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
    def change(cls, fresh):
        return cls.say("pin", cls.purpose, pin=[cls.secret(), fresh])

    @classmethod
    def tap(cls):
        cls.fresh = "246810" if cls.known != "246810" else "135790"
        return cls.change(cls.fresh)

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
        cls.change(PIN)
        Changing.known = PIN


class PinChange(Changing, unittest.TestCase):
    pass


class PinUnblock(Changing, unittest.TestCase):
    purpose = "unblock"

    @classmethod
    def secret(cls):
        return CODE


class PinReset(Changing, unittest.TestCase):
    """With a manager's permission, which is used up when the card is asked: a tap that is begun anew after that has none."""

    purpose = "reset"
    once = "pin.reset_refused"
    begins = False

    @classmethod
    def change(cls, fresh):
        w.ctl("card", "unblock", w.card_ids["Hanako"], "--terminal", "cut", "--reason", "forgotten")
        return cls.say("--card", w.card_ids["Hanako"], "pin", "reset", pin=[fresh])


class Maintenance(Interrupted, unittest.TestCase):
    """It has begun or it has not; what the terminal says and what it is fit together."""

    purpose = "maintenance"
    done = ("terminal.maintenance", None)
    begins = False

    @classmethod
    def maintain(cls, act):
        return cls.say("maintain", act, "--reason", "update", pin=[PIN])

    @classmethod
    def tap(cls):
        return cls.maintain("begin")

    @classmethod
    def done_whole(cls):
        undisturbed()
        said = cls.maintain("end")
        assert said.get("outcome") == "accepted", said

    def works(self):
        undisturbed()
        if w.ctl("terminal", "show", "cut")["state"] == "maintenance":
            self.assertEqual(self.last, "tap.unheard")
            self.done_whole()
        said = self.say("tap", "--service", "nginx")
        self.assertEqual(said.get("outcome"), "accepted", said)


class MaintenanceEnd(Cut, unittest.TestCase):
    """The same; the card does nothing else than at the begin."""

    purpose = "maintenance"
    done = ("terminal.maintained", None)

    @classmethod
    def setUpClass(cls):
        reader.lay(w.lay(cls.card))
        cls.done_whole()
        super().setUpClass()

    @classmethod
    def tap(cls):
        return Maintenance.maintain("end")

    @classmethod
    def done_whole(cls):
        undisturbed()
        said = Maintenance.maintain("begin")
        assert said.get("outcome") == "accepted", said

    def works(self):
        undisturbed()
        if w.ctl("terminal", "show", "cut")["state"] == "maintenance":
            self.assertEqual(self.say("tap", "--service", "nginx").get("code"), "terminal.maintenance")
            self.assertEqual(self.tap().get("outcome"), "accepted")
        self.assertEqual(self.say("tap", "--service", "nginx").get("outcome"), "accepted")
        self.done_whole()

    @classmethod
    def tearDownClass(cls):
        undisturbed()
        cls.tap()


class Registering(unittest.TestCase):
    """A holder and a card of his own: it is registered or it is not, and until then the code is good. In one hall few codes are tried in a minute,
    so that each test has its own."""

    made = 0

    @classmethod
    def setUpClass(cls):
        w.holders["Sora"] = w.ctl("holder", "add", "--name", "Sora")["id"]
        w.enrol("Sora", "nginx")

    def setUp(self):
        self.fresh()
        self.terminal = f"hall-{Registering.made}"
        w.enrol_terminal_freely(self.terminal)
        self.link = CutLink(w, self.terminal)
        self.addCleanup(self.link.close)
        lead(self.terminal, self.link)

    def fresh(self):
        """Another card, and a code for it."""
        if Registering.made:
            w.take_away(f"Sora-{Registering.made}")
        Registering.made += 1
        card = f"Sora-{Registering.made}"
        w.make_piv(card)
        code = w.ctl("holder", "code", "Sora", "--profile", "piv")
        self.code, self.secret = code["code"], code["secret"]
        reader.lay(w.lay(card))

    def register(self):
        pins, typing = os.pipe()
        os.write(typing, f"{PIV_PIN}\n".encode())
        os.close(typing)
        try:
            said = handed(self.secret + "\n", lambda fd: w.cardlink("register", "--timeout", "5", "--code-fd", fd, "--pin-fd", pins, terminal=self.terminal,
                                                                    ok=(0, 1, 3, 69), pass_fds=(fd, pins), timeout=60 * PATIENCE))[-1]
        finally:
            os.close(pins)
        return {"status": w.last_status, **said}

    def cut(self, command=0, exchange=0, when=None, stays_down=False):
        """What the terminal said, and what was recorded of it."""
        reader.arm(command, when)
        self.link.arm(exchange, when, stays_down)
        before = w.size()
        said = self.register()
        leaves = leaves_since(before)
        if said.get("code"):
            self.assertIn(ADVICE[said["code"]], said["detail"])
        kinds = [leaf["kind"] for leaf in leaves]
        self.assertEqual(len({kinds.count(kind) for kind in ("registration.used", "card.added", "card.activated")}), 1, leaves)
        return said, leaves, kinds.count("registration.used")

    def state(self):
        return w.admin("GET", f"/v1/registrations/{self.code}").json["state"]

    def works(self):
        """The same code with the same card, which opens what its holder has."""
        said, _, _ = self.cut()
        self.assertEqual(said.get("outcome"), "registered", said)
        accepted = w.cardlink("tap", "--service", "nginx", "--timeout", "5", terminal=self.terminal, ok=(0, 1, 3))[-1]
        self.assertEqual((accepted.get("outcome"), accepted.get("card")), ("accepted", said["card"]), accepted)
        self.fresh()

    def refused(self, leaves, outcome, what):
        asked = any(path.endswith("/registration") for path in self.link.paths)
        self.assertEqual([(leaf["outcome"], leaf.get("step"), leaf.get("purpose"), leaf.get("told_by")) for leaf in leaves if leaf["kind"] == "tap.refused"],
                         [(outcome, "challenged" if asked else "begun", "register" if asked else None, "terminal")], f"{what}: {leaves}")
        return asked

    def test_a_card_taken_away_at_any_command_uses_nothing_up(self):
        self.assertEqual(self.cut()[0].get("outcome"), "registered")
        commands, asked = reader.count, set()
        self.fresh()
        for nth in range(1, commands + 1):
            with self.subTest(f"after command {nth} of {commands}"):
                said, leaves, used = self.cut(command=nth, when=AFTER)
                self.assertEqual((said.get("code"), said["status"], used, self.state()), ("card.removed", 3, 0, "open"), said)
                if self.link.paths:         # before that nobody was asked anything
                    asked.add(self.refused(leaves, "card.removed", nth))
        self.assertEqual(asked, {False, True})
        self.works()

    def test_a_link_that_fails_once_at_any_exchange(self):
        for nth, when in ((nth, when) for nth in (1, 2, 3) for when in (BEFORE, AFTER)):
            with self.subTest(f"{when} exchange {nth}"):
                said, leaves, used = self.cut(exchange=nth, when=when)
                if nth == 2:                # the holder does it again
                    self.assertEqual((said.get("code"), said["status"], used), ("broker.unreachable", 69, 0), said)
                    self.assertEqual([leaf["outcome"] for leaf in leaves if leaf["kind"] == "tap.refused"], ["broker.unreachable"])
                    self.works()
                else:
                    self.assertEqual((said.get("outcome"), used), ("registered", 1), said)
                    self.fresh()

    def test_a_link_that_stays_away_after_any_exchange(self):
        for nth, when in ((nth, when) for nth in (1, 2, 3) for when in (BEFORE, AFTER)):
            with self.subTest(f"{when} exchange {nth}, and none afterwards"):
                said, _, used = self.cut(exchange=nth, when=when, stays_down=True)
                self.assertEqual((said.get("code"), said["status"]), ("tap.unheard" if nth == 3 else "broker.unreachable", 69), said)
                self.assertEqual((used, self.state()), (1, "used") if (nth, when) == (3, AFTER) else (0, "open"))
                if (nth, when) in ((2, AFTER), (3, BEFORE)):
                    left_open.append((time.monotonic(), self.link.paths[-1].split("/")[3], f"registering: {when} {nth}"))
                self.works()


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


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Taps that are interrupted, wherever they can be: an undisturbed tap of each kind is counted, and then the card is taken away at each of its
commands, and the link cut at each of its exchanges, before and after what is asked for was done. Where there is no card but a password, there
is the link. (Registrations, and taps that renew what a card is bound with: interrupted_binding_test.py.)

Afterwards nothing is half done, the holder has been told what to do, the record has it, and the next tap works."""

import secrets
import unittest

import cut_taps
from cut_taps import (AFTER, BEFORE, JPKI_TRIES, PIV_TRIES, Counters, Cut, Interrupted, Record, ended, handed, leave_open, leaves_since, tries_left,
                      undisturbed)
from foreign_world import JPKI_PIN
from foreign_world import PIN as PIV_PIN
from steps import ALL
from world import main

w = reader = link = None
PIN, CODE = "123456", "12345678"
PASSWORD = "correct horse battery staple"


def setUpModule():
    global w, reader, link
    w, reader, link = cut_taps.build_up()
    w.add_nginx("desk", level="terminal-pin")
    w.add_nginx("vault", level="pin")
    w.add_holder("Hanako", services=("nginx", "vault"))
    w.add_piv_holder("Kenji", services=("nginx", "desk"))
    w.add_piv_holder("Mori", *w.content_signer("signer"), services=("nginx", "desk"))
    # Two cards, each with one key of either kind: those of RSA take their time.
    for name, pin, none in (("Large", "rsa-2048", "ec-p384"), ("Wide", "ec-p384", "rsa-2048")):
        w.add_piv_holder(name, "--key", f"9A:{pin}", "--key", f"9E:{none}", services=("nginx", "desk"))
    w.make_jpki("Yuki")
    w.add_foreign_holder("Yuki", ("desk",))
    w.make_scp03("Aoi")
    w.add_foreign_holder("Aoi", ("nginx",))
    w.remove_card()
    w.add_nginx("library", level="password")
    w.enrol("Hanako", "library")
    for name in ("hanako.one", "hanako.two"):
        handed(PASSWORD, lambda fd: w.ctl("password", "set", name, "--holder", "Hanako", "--password-fd", fd, pass_fds=(fd,)))
    w.ctl("maintainer", "add", "--holder", "Hanako", "--terminal", "cut")


class Native(Interrupted, unittest.TestCase):
    pass


class NativePin(Interrupted, unittest.TestCase):
    service, pin = "vault", PIN


class Piv(Interrupted, unittest.TestCase):
    card = "Kenji"


class PivPin(Interrupted, unittest.TestCase):
    card, service, pin, tries = "Kenji", "desk", PIV_PIN, PIV_TRIES


class PivSecured(Interrupted, unittest.TestCase):
    card = "Mori"


class PivSecuredPin(Interrupted, unittest.TestCase):
    card, service, pin, tries = "Mori", "desk", PIV_PIN, PIV_TRIES


class OtherKeys(Interrupted):
    """A command with a key of RSA goes to the card in two parts, and its answer comes in two. The link is what it was: it is cut for good, and where
    there is no PIN at all, with CARDBROKER_FAULTS=all only."""

    card, parts = "Wide", (0, 0)    # in a whole tap: commands of which more follows, remainders that are asked for

    if not ALL:
        test_a_link_that_stays_away_after_any_exchange = None

    def test_a_card_taken_away_at_any_command(self):
        undisturbed()
        self.works()
        self.assertEqual((reader.chained, reader.fetched), self.parts)
        super().test_a_card_taken_away_at_any_command()


class PivP384(OtherKeys, unittest.TestCase):
    service, pin, tries = "desk", PIV_PIN, PIV_TRIES


class PivP384WithoutPin(OtherKeys, unittest.TestCase):
    card = "Large"

    if not ALL:
        test_a_link_that_fails_once_at_any_exchange_is_not_noticed = None


class PivRsa(OtherKeys, unittest.TestCase):
    card, service, pin, tries, parts = "Large", "desk", PIV_PIN, PIV_TRIES, (1, 1)


class PivRsaWithoutPin(PivP384WithoutPin):
    card, parts = "Wide", (1, 1)


class Jpki(Interrupted, unittest.TestCase):
    card, service, pin, tries = "Yuki", "desk", JPKI_PIN, JPKI_TRIES


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


class WrongPinOfOthers(unittest.TestCase):
    """A card that others issued counts, too, and signs nothing about it: the broker counts what a terminal tells it, once, and what nobody told it
    not at all."""

    def setUp(self):
        reader.lay(w.lay("Kenji"))
        undisturbed()

    def right(self):
        """The next tap, which gives back all tries."""
        undisturbed()
        self.assertEqual((self.tap(PIV_PIN).get("outcome"), tries_left(PIV_TRIES)), ("accepted", 3))

    @staticmethod
    def tap(pin):
        return Cut.say("tap", "--service", "desk", pin=[pin])

    @staticmethod
    def counted():
        """Wrong PINs of this card, by the broker."""
        return w.ctl("card", "show", w.card_ids["Kenji"])["failures"]["told_wrong_pins"]

    def guess(self, what, heard):
        """What the terminal said, and how many tries are left. The next tap works."""
        counted, size = self.counted(), w.size()
        said = self.tap("000000")
        tries = tries_left(PIV_TRIES)
        if link.down and (link.paths[-1].split("/")[-1], link.cut[1]) in (("challenge", AFTER), ("proof", BEFORE)):
            leave_open(f"a wrong PIN: {what}")
        ends = [leaf for leaf in leaves_since(size) if leaf.get("failure") == "told_pin"]
        self.assertEqual((self.counted() - counted, len(ends)), (heard, heard), f"{what}: {said} {ends}")
        self.right()
        return said, tries

    def test_who_takes_the_card_away_has_guessed_all_the_same(self):
        self.assertEqual(self.tap("000000").get("tries_left"), 2)
        last = reader.count     # it compares the PIN, and nothing follows
        self.right()
        for nth, when in (*((nth, AFTER) for nth in range(1, last + 1)), (last, BEFORE)):
            what = f"{when} command {nth} of {last}"
            with self.subTest(what):
                reader.arm(nth, when)
                said, tries = self.guess(what, 0)
                self.assertEqual((said.get("code"), tries), ("card.removed", 2 if (nth, when) == (last, AFTER) else 3), what)

    def test_the_broker_counts_once_what_it_hears_over_a_link_that_fails(self):
        self.assertEqual(self.tap("000000").get("tries_left"), 2)
        exchanges = link.count
        self.right()
        for nth, when in ((nth, when) for nth in range(1, exchanges + 1) for when in (BEFORE, AFTER)):
            for stays_down in (False, True):
                what = f"{when} exchange {nth} of {exchanges}" + (", and none afterwards" if stays_down else "")
                with self.subTest(what):
                    link.arm(nth, when, stays_down)
                    last, heard = nth == exchanges, not stays_down or (nth, when) == (exchanges, AFTER)
                    said, tries = self.guess(what, int(heard))
                    self.assertEqual((said.get("code"), said.get("tries_left")),
                                     ("pin.wrong", 2) if not stays_down else ("tap.unheard" if last else "broker.unreachable", None), what)
                    self.assertEqual(tries, 2 if last or not stays_down else 3, what)


class ZLog(unittest.TestCase):
    """The terminal's own, which it brings when there is a link again. What had only begun is nowhere else. No tap has begun yet where no script came
    for the card that lies there."""

    @staticmethod
    def entries():
        """About taps: which event, and what it says."""
        undisturbed()
        w.cardlink("report", terminal="cut")
        log = w.ctl("terminal", "log", "cut", "--last", 10000, "--record")
        if not log["verified"]:
            raise AssertionError(log["findings"])
        return [(entry["event"], entry["text"]) for entry in log["entries"] if entry["event"].startswith("tap.")]

    def test_a_tap_that_had_only_begun_is_there_with_how_it_ended(self):
        for kind in (Native, Piv, Password):
            kind.setUpClass()
            challenge = kind.exchanges - 1
            for nth, when in ((1, BEFORE), (challenge - 1, AFTER), (challenge, BEFORE)):
                what = f"{kind.__name__}: {when} exchange {nth}, and none afterwards"
                with self.subTest(what):
                    known, size = len(self.entries()), w.size()
                    link.arm(nth, when, stays_down=True)
                    reader.arm()
                    self.assertEqual(kind.tap().get("code"), "broker.unreachable", what)
                    self.assertEqual([leaf for leaf in leaves_since(size) if leaf["kind"].startswith("tap.")], [], what)
                    self.assertEqual(link.paths[-1].endswith("/challenge"), nth == challenge, what)
                    asked, path = reader.count > 0 or not kind.card, link.paths[-1]
                    self.assertTrue(asked or nth == 1, what)
                    new = self.entries()[known:]
                    self.assertEqual([event for event, _ in new], ["tap.begun", "tap.ended"] * asked, what)
                    if asked:       # a terminal names no tap that no answer has named to it
                        tap = path.split("/")[3] if nth == challenge else "-"
                        self.assertEqual(new[-1][1], f"{tap} broker.unreachable", what)
            undisturbed()
            self.assertEqual(kind.tap().get("outcome"), "accepted")

    def test_z_every_tap_is_there_with_how_it_ended(self):
        """Also those that the record has, and that other classes brought about."""
        entries = self.entries()
        self.assertEqual([event for event, _ in entries], ["tap.begun", "tap.ended"] * len(ended))
        self.assertEqual([text.split()[-1] for _, text in entries[1::2]], ended)


class ZRecord(Record, unittest.TestCase):
    pass


if __name__ == "__main__":
    main()

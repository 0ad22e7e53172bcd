# SPDX-License-Identifier: GPL-3.0-or-later
"""Interrupted where cards are bound: a holder registers a card of his own, or a card brings the certificates that its issuer has put there in
place of those that it was registered with. The card is taken away after each command, the link cut at each exchange, before and after it was
heard, once and for good.

Afterwards a card is bound anew or it is not, as the record says; the holder has been told what to do, and the next tap works."""

import json
import os
import secrets
import sys
import time
import unittest
from pathlib import Path

import cut_taps
from cut_taps import ADVICE, AFTER, BEFORE, PIV_TRIES, CutLink, Record, handed, lead, leaves_since, left_open, tries_left, undisturbed
from foreign_world import JPKI_PIN
from foreign_world import PIN as PIV_PIN
from world import PATIENCE, Card, main, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from piv_agency import ManagedCard, certify_again  # noqa: E402

w = reader = link = None
AUTHENTICATION, CARD_AUTHENTICATION = 0x9A, 0x9E


def setUpModule():
    global w, reader, link
    w, reader, link = cut_taps.build_up()
    w.add_nginx("desk", level="terminal-pin")
    w.renewal_rule("same-subject", at_taps=True)
    with open(w.etc / "cardbroker.conf", "a", encoding="ascii") as file:
        file.write("cards { renewal-days = 366 }\n")
    RenewedOfNecessity.make_cards()
    # Once, for it knows nothing of taps that were open before.
    w.stop_one("cardbrokerd")
    w.start_broker()
    wait_until("the list to be heard of", lambda: w.ctl("status")["broker"]["issuer_lists"][0]["entries"] == RenewedOfNecessity.CARDS, 20 * PATIENCE)


# ---- Registering ---------------------------------------------------------------------------------------------------------------------------

class Registering:
    """A holder and a card of his own: it is registered or it is not, and until then the code is good. In one hall few codes are tried in a minute,
    so that each test has its own."""

    profile, level, pin, tap_pin = "piv", "terminal-pin", PIV_PIN, None
    halls = cards = 0
    card = None
    in_place = False    # each card is registered in the place of the one before
    last = None         # that was registered

    @staticmethod
    def make(name):
        w.make_piv(name)

    @classmethod
    def setUpClass(cls):
        cls.holder = f"Sora-{cls.__name__}"
        w.holders[cls.holder] = w.ctl("holder", "add", "--name", cls.holder)["id"]
        w.enrol(cls.holder, "nginx")

    def setUp(self):
        self.fresh()
        Registering.halls += 1
        self.terminal = f"hall-{Registering.halls}"
        w.enrol_terminal_freely(self.terminal)
        self.link = CutLink(w, self.terminal)
        self.addCleanup(self.link.close)
        lead(self.terminal, self.link)

    def tearDown(self):
        w.take_away(self.card)

    def fresh(self):
        """Another card, and a code for it."""
        if self.card:
            w.take_away(self.card)
        Registering.cards += 1
        self.card = f"{self.holder}-{Registering.cards}"
        self.make(self.card)
        self.old = self.last if self.in_place else None
        code = w.ctl("holder", "code", self.holder, "--profile", self.profile, "--level", self.level,
                     *(("--in-place-of", self.old) if self.old else ()))
        self.code, self.secret = code["code"], code["secret"]
        reader.lay(w.lay(self.card))

    def register(self):
        pins, typing = os.pipe()
        os.write(typing, f"{self.pin or ''}\n".encode())
        os.close(typing)
        with_pin = ("--pin-fd", pins) if self.pin else ()
        try:
            said = handed(self.secret + "\n", lambda fd: w.cardlink("register", "--timeout", "5", "--code-fd", fd, *with_pin, terminal=self.terminal,
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
        used = [leaf for leaf in leaves if leaf["kind"] == "registration.used"]
        self.assertEqual([leaf.get("replaces") for leaf in used], [self.old] * len(used))
        self.assertEqual([leaf["card"] for leaf in leaves if leaf["kind"] == "card.revoked"], [self.old] * len(used) if self.old else [])
        if used:
            type(self).last = used[-1]["card"]
        return said, leaves, kinds.count("registration.used")

    def state(self):
        return w.admin("GET", f"/v1/registrations/{self.code}").json["state"]

    def works(self):
        """The same code with the same card, which opens what its holder has."""
        if self.old:
            self.assertIn((self.state(), w.ctl("card", "show", self.old)["state"]), {("open", "active"), ("used", "revoked")})
        said, _, _ = self.cut()
        self.assertEqual(said.get("outcome"), "registered", said)
        accepted = w.tap(pin=self.tap_pin, terminal=self.terminal, seconds=5)
        self.assertEqual((accepted.get("outcome"), accepted.get("card")), ("accepted", said["card"]), accepted)
        self.fresh()

    def refused(self, leaves, outcome, what):
        asked = any(path.endswith("/registration") for path in self.link.paths)
        refused = [leaf for leaf in leaves if leaf["kind"] == "tap.refused"]
        self.assertEqual([(leaf["outcome"], leaf.get("step"), leaf.get("purpose"), leaf.get("told_by")) for leaf in refused],
                         [(outcome, "challenged" if asked else "begun", "register" if asked else None, "terminal")], f"{what}: {leaves}")
        return asked

    def test_a_card_taken_away_at_any_command_uses_nothing_up(self):
        self.assertEqual(self.cut()[0].get("outcome"), "registered")
        commands, asked = reader.count, set()
        self.assertGreaterEqual(commands, 4)
        self.fresh()
        for nth in range(1, commands + 4):
            with self.subTest(f"after command {nth} of {commands}, or one more or less: certificates are of several lengths"):
                said, leaves, used = self.cut(command=nth, when=AFTER)
                if said.get("outcome") == "registered":
                    break
                self.assertEqual((said.get("code"), said["status"], used, self.state()), ("card.removed", 3, 0, "open"), said)
                if self.link.paths:         # before that nobody was asked anything
                    asked.add(self.refused(leaves, "card.removed", nth))
        self.assertEqual((said.get("outcome"), asked), ("registered", {False, True}), said)
        self.assertGreaterEqual(nth, commands - 1)
        self.fresh()
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
                    left_open.append((time.monotonic(), self.link.paths[-1].split("/")[3], f"registering {self.profile}: {when} {nth}"))
                self.works()


class RegisteringPiv(Registering, unittest.TestCase):
    pass


class RegisteringSecured(Registering, unittest.TestCase):
    """With a key for secure messaging, and for what it proves without its PIN."""

    level, pin = "possession", None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        Registering.signer = w.content_signer("registering")

    @staticmethod
    def make(name):
        w.make_piv(name, *Registering.signer)


class RegisteringJpki(Registering, unittest.TestCase):
    """Each in the place of the one before, as cards that their issuer renews are: there is one of both at any moment."""

    profile, pin, tap_pin, in_place = "jpki", JPKI_PIN, JPKI_PIN, True

    @staticmethod
    def make(name):
        w.make_jpki(name)


class RegisteringScp03(Registering, unittest.TestCase):
    profile, level, pin = "scp03", "possession", None

    @staticmethod
    def make(name):
        w.make_scp03(name)


# ---- Renewing ------------------------------------------------------------------------------------------------------------------------------

class Renewing:
    """PIV cards of one holder, on which their issuer has put certificates that nobody told the broker of."""

    service, pin = "nginx", None
    exchanges = ()          # of an undisturbed tap, by the last word of their paths; the first is for a card of another kind
    new_key, days = False, 300
    says = None             # "renewed", of a tap that was accepted because of it

    @classmethod
    def make_holder(cls):
        cls.holder, cls.made, cls.card = cls.__name__, 0, None
        cls.shown = {}      # what stands on each card, by use
        w.holders[cls.holder] = w.ctl("holder", "add", "--name", cls.holder)["id"]
        w.enrol(cls.holder, cls.service)

    @classmethod
    def setUpClass(cls):
        cls.renewing = cls.exchanges.index("renewal") + 1   # by number
        cls.last = len(cls.exchanges)
        cls.get_ready()
        cls.renew_again()
        undisturbed()
        said = cls.tap()
        if (said.get("outcome"), said.get("renewed")) != ("accepted", cls.says):
            raise AssertionError(said)
        cls.commands = reader.count
        assert [path.split("/")[-1] for path in link.paths] == list(cls.exchanges), link.paths
        cls.renew_again()

    @classmethod
    def make_card(cls, *more):
        cls.made += 1
        cls.card = f"{cls.holder}-{cls.made}"
        key = w.secret_file(f"{cls.card}.management", secrets.token_hex(16))
        w.make_piv(cls.card, "--management", "aes-128", "--management-key", key, *more)
        reader.lay(w.lay(cls.card))
        undisturbed()
        read = w.cardlink("read", "--timeout", "10", terminal="cut")[-1]
        cls.shown[cls.card] = {one["use"]: bytes.fromhex(one["der"]) for one in read["certificates"]}
        path = w.folder / f"{cls.card}.reading"
        path.write_text(json.dumps(read))
        w.card_ids[cls.card] = w.ctl("card", "register", "--holder", w.holders[cls.holder], "--card", path, "--activate")["id"]
        return cls.card

    @staticmethod
    def connected(card):
        """Through the reader, for which who was there before has gone: a card sends away whoever comes while somebody else is."""
        reader.lay(w.lay(card))
        reader.arm()
        return Card(reader.path)

    @classmethod
    def renew_on_card(cls, card, slot):
        """What its issuer does with it."""
        with cls.connected(card) as connection:
            managed = ManagedCard(connection, bytes.fromhex((w.etc / f"{card}.management").read_text()))
            public = managed.generate(slot) if cls.new_key else None
            der = certify_again(cls.shown[card][slot], (w.pki / "agency.pem").read_bytes(), (w.pki / "agency.key").read_bytes(), public, cls.days)
            managed.put_certificate(slot, der)
        cls.shown[card][slot] = der

    @classmethod
    def tap(cls):
        said = w.tap(cls.service, pin=cls.pin, terminal="cut", seconds=5)
        return {"status": w.last_status, **said}

    def cut(self, what, command=0, exchange=0, when=None, stays_down=False):
        """What the terminal said, what was recorded, whether the card was renewed, and whether its holder was logged in."""
        reader.arm(command, when)
        link.arm(exchange, when, stays_down)
        before = w.admin("GET", "/v1/status").json["store"]["leaves"]
        said = self.tap()
        leaves = leaves_since(before)
        if said.get("code"):
            self.assertIn(said["code"], ADVICE, f"{what}: {said}")
            self.assertIn(ADVICE[said["code"]], said["detail"], what)
        kinds = [leaf["kind"] for leaf in leaves]
        self.assertEqual(w.admin("GET", "/v1/status").json["store"]["open_intents"], 0, what)
        self.assertEqual(kinds.count("card.keys_retired"), kinds.count("card.renewed") * self.new_key, f"{what}: {leaves}")
        self.assertEqual({leaf["card"] for leaf in leaves if leaf["kind"] == "card.renewed"} - {w.card_ids[self.card]}, set())
        reader.lay(w.lay(self.card))
        self.assertEqual(tries_left(PIV_TRIES), 3, what)
        return said, leaves, kinds.count("card.renewed"), [leaf["outcome"] for leaf in leaves if leaf["kind"] == "tap.result"].count("accepted")

    def works(self, renewed):
        """The next tap, which is an ordinary one, or renews what was not."""
        said, _, now, accepted = self.cut("the next tap")
        self.assertEqual((said.get("outcome"), said.get("renewed"), said.get("card")),
                         ("accepted", None if renewed else self.says, w.card_ids[self.card]), said)
        self.assertEqual((now, accepted), (int(not renewed), 1))
        self.renew_again()

    def ended(self, leaves, outcome, what):
        """That the record has the end of the tap that was under way, if one was: said by the terminal."""
        ends = [leaf for leaf in leaves if leaf["kind"] == "tap.refused" and leaf.get("told_by") == "terminal"]
        told = link.paths[-1].endswith("/end")
        self.assertEqual([leaf["outcome"] for leaf in ends], [outcome] * told, f"{what}: {leaves}")
        if not told:        # there was none
            self.assertRegex(link.paths[-1], "/(challenge|proof)$", what)
        purposes = {leaf.get("purpose") for leaf in ends if leaf.get("step") == "challenged"}
        self.assertLessEqual(purposes, {None, "renew"}, what)
        return purposes

    def cuts(self):
        for nth, name in enumerate(self.exchanges, 1):
            for when in (BEFORE, AFTER):
                yield nth, name, when, f"{when} exchange {nth} of {self.last}"

    def leave_open(self, nth, when, what):
        """The broker waits for a proof, which does not come."""
        waits = {"challenge": AFTER, "renewal": AFTER, "proof": BEFORE}
        if waits.get(self.exchanges[nth - 1]) == when and nth != self.refusal:
            left_open.append((time.monotonic(), link.paths[-1].split("/")[3], f"{type(self).__name__}: {what}"))


class RenewedOfNecessity(Renewing, unittest.TestCase):
    """A new key, under the PIN: the certificate of the one before was revoked, so that a tap is refused, the card renewed, and the tap done
    once more. Each renewal takes a card."""

    service, pin, new_key, days, says = "desk", PIV_PIN, True, 800, True
    exchanges = ("taps", "taps", "challenge", "taps", "renewal", "proof", "taps", "challenge", "proof")
    refusal = 3
    CARDS = 40

    @classmethod
    def make_cards(cls):
        cls.make_holder()
        cls.waiting = [cls.make_card() for _ in range(cls.CARDS)]
        for card in cls.waiting:
            cls.renew_on_card(card, AUTHENTICATION)
        w.publish(*(w.cards / card / "9a.pem" for card in cls.waiting))
        cls.card = None

    @classmethod
    def get_ready(cls):
        """The cards are."""

    @classmethod
    def renew_again(cls):
        """The next of the cards."""
        if cls.card:
            w.take_away(cls.card)
        assert cls.waiting, "one card is used up by each renewal: make CARDS more"
        cls.card = cls.waiting.pop()
        reader.lay(w.lay(cls.card))

    @classmethod
    def tearDownClass(cls):
        for card in (cls.card, *cls.waiting):
            w.take_away(card)

    def test_a_card_taken_away_at_any_command(self):
        purposes, seen = set(), set()
        for nth in range(1, self.commands + 1):
            what = f"after command {nth} of {self.commands}"
            with self.subTest(what):
                said, leaves, renewed, accepted = self.cut(what, command=nth, when=AFTER)
                self.assertEqual((said.get("code"), said["status"], accepted), ("card.removed", 3, 0), f"{what}: {said}")
                self.assertEqual(renewed, int(any(path.endswith("/proof") for path in link.paths)), what)
                purposes |= self.ended(leaves, "card.removed", what)
                seen.add((renewed, any(path.endswith("/renewal") for path in link.paths)))
                if renewed:
                    self.works(renewed)
        self.assertEqual(purposes, {None, "renew"})
        self.assertEqual(seen, {(0, False), (0, True), (1, True)})
        self.works(0)

    def test_a_link_that_fails_once_at_any_exchange(self):
        for nth, name, when, what in self.cuts():
            with self.subTest(what):
                said, leaves, renewed, accepted = self.cut(what, exchange=nth, when=when)
                if name == "renewal":           # the holder does it again
                    self.assertEqual((said.get("code"), said["status"], renewed, accepted), ("broker.unreachable", 69, 0, 0), f"{what}: {said}")
                    self.ended(leaves, "broker.unreachable", what)
                else:
                    self.assertEqual((said.get("outcome"), said.get("renewed"), renewed, accepted), ("accepted", True, 1, 1), f"{what}: {said}")
                self.works(renewed)

    def test_a_link_that_stays_away_after_any_exchange(self):
        for nth, name, when, what in self.cuts():
            with self.subTest(f"{what}, and none afterwards"):
                said, leaves, renewed, accepted = self.cut(what, exchange=nth, when=when, stays_down=True)
                code = "tap.unheard" if name == "proof" else "broker.unreachable"
                self.assertEqual((said.get("code"), said["status"]), (code, 69), f"{what}: {said}")
                self.assertNotIn("delivery", said)
                self.assertEqual(renewed, int((nth, when == AFTER) >= (self.renewing + 1, True)), f"{what}: {leaves}")
                self.assertEqual(accepted, int((nth, when) == (self.last, AFTER)), f"{what}: {leaves}")
                self.leave_open(nth, when, what)
                if renewed or nth >= self.renewing:
                    self.works(renewed)


class RenewedInTime(Renewing, unittest.TestCase):
    """The same key, after a login: the certificate will soon be over. That a renewal is interrupted takes nothing from the login, which was said
    before, and the next one tries again."""

    exchanges = ("taps", "taps", "challenge", "proof", "taps", "renewal", "proof")
    refusal = None
    login = 4

    @classmethod
    def get_ready(cls):
        cls.make_holder()
        cls.make_card("--years", "1")

    @classmethod
    def renew_again(cls):
        cls.renew_on_card(cls.card, CARD_AUTHENTICATION)

    def test_a_card_taken_away_at_any_command(self):
        seen, purposes = set(), set()
        for nth in range(1, self.commands + 1):
            what = f"after command {nth} of {self.commands}"
            with self.subTest(what):
                said, leaves, renewed, accepted = self.cut(what, command=nth, when=AFTER)
                self.assertEqual(accepted, int(any(path.endswith("/proof") for path in link.paths)), what)
                self.assertEqual((said.get("outcome") or said.get("code"), said.get("renewed"), renewed),
                                 ("accepted" if accepted else "card.removed", None, 0), f"{what}: {said}")
                purposes |= self.ended(leaves, "card.removed", what)
                seen.add(accepted)
                self.works(renewed)
        self.assertEqual((seen, purposes), ({0, 1}, {None, "renew"}))

    def test_a_link_that_fails_once_at_any_exchange(self):
        for nth, name, when, what in self.cuts():
            with self.subTest(what):
                said, _, renewed, accepted = self.cut(what, exchange=nth, when=when)
                self.assertEqual((said.get("outcome"), said.get("renewed"), renewed, accepted), ("accepted", None, int(name != "renewal"), 1),
                                 f"{what}: {said}")
                self.works(renewed)

    def test_a_link_that_stays_away_after_any_exchange(self):
        for nth, _, when, what in self.cuts():
            with self.subTest(f"{what}, and none afterwards"):
                said, leaves, renewed, accepted = self.cut(what, exchange=nth, when=when, stays_down=True)
                expected = "accepted" if nth > self.login else "tap.unheard" if nth == self.login else "broker.unreachable"
                self.assertEqual((said.get("outcome") or said.get("code"), said.get("renewed")), (expected, None), f"{what}: {said}")
                self.assertEqual(accepted, int((nth, when == AFTER) >= (self.login, True)), f"{what}: {leaves}")
                self.assertEqual(renewed, int((nth, when) == (self.last, AFTER)), f"{what}: {leaves}")
                self.leave_open(nth, when, what)
                self.works(renewed)


class ZRecord(Record, unittest.TestCase):
    pass


if __name__ == "__main__":
    main()

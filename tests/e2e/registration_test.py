# SPDX-License-Identifier: GPL-3.0-or-later
"""A holder registers a card of his own at a terminal, through a real pcscd, with a one-time code that a manager allowed; and what else is tried
with codes."""

import json
import os
import secrets
import sqlite3
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from cuts import AFTER, CutLink  # noqa: E402
from foreign_world import JPKI_PIN, PIN, ForeignWorld  # noqa: E402
from world import PATIENCE, Failure, Terminal, main, run, wait_until  # noqa: E402

WRONG_PIN = "314159"
w = link = None


def setUpModule():
    global w, link
    w = ForeignWorld(readers="pcsc")
    unittest.addModuleCleanup(w.tear_down)
    try:
        w.build_up()
    except Failure as failure:
        if "pcsc" not in str(failure).lower():
            raise
        print(f"skipped: {failure}", file=sys.stderr)
        sys.exit(77)
    w.add_nginx("desk", level="terminal-pin")
    w.enrol_terminal_freely("cut")
    link = CutLink(w, "cut")
    unittest.addModuleCleanup(link.close)
    path = w.etc / "cut.conf"
    path.write_text(path.read_text().replace(f":{w.port}", f":{link.port}").replace(f"localhost:{w.port}", f"localhost:{link.port}"))


def holder(name, services=("nginx", "desk")):
    """Somebody who has what he needs but a card."""
    w.holders[name] = w.ctl("holder", "add", "--name", name)["id"]
    for service in services:
        w.enrol(name, service)
    return w.holders[name]


def code_for(name, *more, profile="piv"):
    return w.ctl("holder", "code", name, "--profile", profile, *more)


def register(code, card=None, pin=PIN, terminal=None, **options):
    """The last word of the terminal; each test has one of its own, for a terminal tries few codes a minute."""
    terminal = terminal or Registration.terminal
    if card:
        w.insert_card(card)
    reading, writing = os.pipe()
    os.write(writing, code.encode() + b"\n")
    os.close(writing)
    pins, to_pins = os.pipe()
    os.write(to_pins, (pin or "").encode() + b"\n")
    os.close(to_pins)
    try:
        done = run([w.program("cardlink"), "--config", w.etc / f"{terminal}.conf", "--json", "register", "--timeout", "10", "--code-fd", reading,
                    *(("--pin-fd", pins) if pin else ())], env=w.env, ok=(0, 1, 2, 3, 69), pass_fds=(reading, pins), timeout=120, **options)
    finally:
        os.close(reading)
        os.close(pins)
    return json.loads([line for line in done.stdout.splitlines() if line.startswith(b"{")][-1])


def state_of(made):
    return w.admin("GET", f"/v1/registrations/{made['code']}").json


class Registration(unittest.TestCase):
    terminals = 0

    def setUp(self):
        Registration.terminals += 1
        Registration.terminal = f"hall-{Registration.terminals}"
        w.enrol_terminal_freely(self.terminal)
        self.before = w.size()

    def tearDown(self):
        self.assertTrue(w.verify()["verified"])

    def of_kind(self, kind):
        return [w.fields(leaf) for leaf in w.leaves("--from", self.before) if leaf["kind"] == kind]

    def test_from_the_code_to_a_card_that_opens_everything(self):
        who = holder("Hanako")
        w.make_piv("Hanako")
        made = code_for("Hanako", "--valid", "2h")
        self.assertEqual((made["holder"], made["state"], made["profiles"], made["level"]), (who, "open", ["piv"], 3))
        w.insert_card("Hanako")
        self.assertEqual(w.tap().get("code"), "card.unknown")
        mistyped = made["secret"][:-1] + ("0" if made["secret"][-1] != "0" else "1")
        self.assertEqual(register(mistyped).get("code"), "request.malformed")
        said = register(made["secret"].lower().replace("-", " "))
        self.assertEqual((said.get("outcome"), said.get("holder"), said.get("level")), ("registered", who, 3), said)
        card = said["card"]
        self.assertEqual(w.ctl("card", "show", card)["state"], "active")
        for service, pin, level in (("nginx", None, 1), ("desk", PIN, 3)):
            accepted = w.tap(service, pin=pin)
            self.assertEqual((accepted.get("outcome"), accepted.get("level"), accepted.get("card")), ("accepted", level, card), accepted)
        self.assertEqual(w.page_of(w.tap())["subject"], "CN=Hanako")

        listed, = w.ctl("holder", "codes", "Hanako")
        self.assertEqual((listed["state"], listed["card"], listed["hsmd"]), ("used", card, "used"))
        allowed, = self.of_kind("registration.allowed")
        used, = self.of_kind("registration.used")
        self.assertEqual((used["code"], used["holder"], used["card"], used["allowed_by"]), (made["code"], who, card, allowed["actor"]))
        added = [leaf for leaf in self.of_kind("card.added") if leaf["card"] == card]
        self.assertEqual([leaf["actor"] for leaf in added], ["registration"])
        w.ctl("holder", "withdraw", made["code"], ok=(1,))

    def test_the_code_is_nowhere_but_in_the_holders_hand(self):
        holder("Secret")
        w.make_piv("Secret")
        made = code_for("Secret")
        self.assertEqual(register(made["secret"], "Secret").get("outcome"), "registered")
        word, plain = made["secret"].encode(), made["secret"].replace("-", "").encode()
        for folder in (w.logs, w.state):
            for path in folder.rglob("*"):
                if path.is_file():
                    data = path.read_bytes()
                    self.assertFalse(word in data or plain in data, path)

    def test_a_jpki_card_asks_for_its_pin(self):
        who = holder("Jun")
        w.make_jpki("Jun")
        code = code_for("Jun", profile="jpki")["secret"]
        self.assertEqual(register(code, "Jun", pin=None).get("code"), "pin.required")
        refused = register(code, pin="0000")
        self.assertEqual((refused.get("code"), refused.get("tries_left")), ("pin.wrong", 2), refused)
        said = register(code, pin=JPKI_PIN)
        self.assertEqual((said.get("outcome"), said.get("holder")), ("registered", who), said)
        self.assertEqual(w.tap("desk", pin=JPKI_PIN).get("outcome"), "accepted")

    def test_a_jpki_card_that_was_renewed_takes_the_place_of_the_old_one(self):
        who = holder("Yui")
        holder("Ren", services=())
        w.make_jpki("Yui")
        w.make_jpki("Yui-renewed", subject="Yui")
        w.make_piv("Yui-other")
        old = register(code_for("Yui", profile="jpki")["secret"], "Yui", pin=JPKI_PIN)["card"]
        w.ctl("holder", "code", "Ren", "--profile", "jpki", "--in-place-of", old, ok=(2,))
        made = code_for("Yui", "--in-place-of", old, "--reason", "renewed", profile="jpki")
        self.assertEqual(made["replaces"], old)
        self.assertEqual(register(made["secret"], "Yui", pin=JPKI_PIN).get("code"), "card.registered", "the old one itself")
        self.assertEqual(register(made["secret"], "Yui-other").get("code"), "registration.profile")
        w.insert_card("Yui-renewed")
        self.assertEqual(w.tap("desk", pin=JPKI_PIN).get("code"), "card.unknown", "a new certificate makes it another card")

        # Who writes the database has neither the old card stay, nor another one end.
        edit = "UPDATE registration SET replaces = %s WHERE code = x'" + made["code"].replace("-", "") + "'"
        for other in ("NULL", f"(SELECT id FROM card WHERE id <> x'{old.replace('-', '')}')"):
            self.change_database(edit % other)
            self.assertEqual(register(made["secret"], pin=JPKI_PIN).get("code"), "hsm.record", other)
            self.assertEqual([one["what"] for one in w.verify_database(ok=(1,))["findings"]], ["table.content"], other)
        self.change_database(edit % f"x'{old.replace('-', '')}'")
        w.insert_card("Yui")
        self.assertEqual(w.tap("desk", pin=JPKI_PIN).get("card"), old)

        said = register(made["secret"], "Yui-renewed", pin=JPKI_PIN)
        self.assertEqual((said.get("outcome"), said.get("holder"), said.get("replaces")), ("registered", who, old), said)
        card = said["card"]
        again = register(made["secret"], pin=JPKI_PIN)
        self.assertEqual((again.get("outcome"), again.get("card"), again.get("replaces")), ("registered", card, old), again)
        accepted = w.tap("desk", pin=JPKI_PIN)
        self.assertEqual((accepted.get("outcome"), accepted.get("card")), ("accepted", card), accepted)
        w.insert_card("Yui")
        self.assertEqual(w.tap("desk", pin=JPKI_PIN).get("code"), "card.revoked")
        self.assertEqual([w.ctl("card", "show", one)["state"] for one in (old, card)], ["revoked", "active"])
        listed = [one for one in w.ctl("holder", "codes", "Yui") if one["code"] == made["code"]]
        self.assertEqual([(one["state"], one["card"], one["replaces"]) for one in listed], [("used", card, old)])

        allowed = [leaf for leaf in self.of_kind("registration.allowed") if leaf["code"] == made["code"]]
        self.assertEqual([(leaf["replaces"], leaf["reason"]) for leaf in allowed], [(old, "renewed")])
        used = [leaf for leaf in self.of_kind("registration.used") if leaf["code"] == made["code"]]
        self.assertEqual([(leaf["card"], leaf["replaces"]) for leaf in used], [(card, old)])
        revoked, = self.of_kind("card.revoked")
        self.assertEqual((revoked["card"], revoked["actor"], revoked["reason"]), (old, "registration", "replaced"))
        self.assertEqual([leaf.get("replaces") for leaf in self.of_kind("card.added") if leaf["card"] == card], [old])
        w.ctl("holder", "code", "Yui", "--profile", "jpki", "--in-place-of", old, ok=(1,))

    @staticmethod
    def change_database(statement):
        other = sqlite3.connect(w.state / "cardbroker.db", isolation_level=None, timeout=10)
        try:
            other.execute(statement)
        finally:
            other.close()

    def test_a_card_that_was_stopped_is_replaced_by_no_code_from_before(self):
        holder("Lost-bag", services=("nginx",))
        w.make_piv("Bag")
        w.make_piv("Bag-new")
        old = register(code_for("Lost-bag")["secret"], "Bag")["card"]
        made = code_for("Lost-bag", "--in-place-of", old)
        w.ctl("card", "suspend", old, "--reason", "lost")
        self.assertEqual(register(made["secret"], "Bag-new").get("code"), "registration.stopped")
        self.assertEqual(w.tap().get("code"), "card.unknown", "and the card that was brought was bound to nobody")
        again = code_for("Lost-bag", "--in-place-of", old)["secret"]
        said = register(again)
        self.assertEqual((said.get("outcome"), said.get("replaces")), ("registered", old), said)
        self.assertEqual(w.tap().get("outcome"), "accepted")

    def test_a_card_with_secure_messaging_is_bound_with_its_key_for_it(self):
        who = holder("Mori")
        w.make_piv("Mori", *w.content_signer("signer"))
        said = register(code_for("Mori")["secret"], "Mori")
        self.assertEqual((said.get("outcome"), said.get("holder")), ("registered", who), said)
        binding = w.admin("GET", f"/v1/cards/{said['card']}/binding").json
        self.assertEqual(bytes.fromhex(binding["certificates"]).count(bytes.fromhex("0603550403" "0c06") + b"signer"), 1)
        for service, pin in (("nginx", None), ("desk", PIN)):
            self.assertEqual(w.tap(service, pin=pin).get("outcome"), "accepted")

    def test_an_scp03_card_shows_that_it_is_genuine(self):
        who = holder("Sato")
        w.make_scp03("Sato")
        code = code_for("Sato", "--level", "possession", profile="scp03")["secret"]
        said = register(code, "Sato", pin=None)
        self.assertEqual((said.get("outcome"), said.get("holder"), said.get("level")), ("registered", who, 1), said)
        self.assertEqual(w.tap().get("outcome"), "accepted")

    def test_a_code_is_for_one_card_and_what_was_lost_is_said_again(self):
        holder("Two", services=("nginx",))
        w.make_piv("First")
        w.make_piv("Second")
        made = code_for("Two")
        said = register(made["secret"], "First")
        self.assertEqual(said.get("outcome"), "registered", said)
        leaves = w.size()
        again = register(made["secret"])
        self.assertEqual((again.get("outcome"), again.get("card")), ("registered", said["card"]), again)
        self.assertEqual(w.size(), leaves, "and changes nothing")
        self.assertEqual(register(made["secret"], "Second").get("code"), "registration.used")
        again = code_for("Two")
        self.assertEqual(register(again["secret"], "First").get("code"), "card.registered", "another code for a card that is there")
        self.assertEqual(register(again["secret"], "Second").get("outcome"), "registered", "which is not used up by that")

    def test_a_lost_answer_is_asked_for_again(self):
        holder("Lost", services=("nginx",))
        w.make_piv("Lost")
        made = code_for("Lost")
        link.arm(3, AFTER)      # begin, registration, proof
        said = register(made["secret"], "Lost", terminal="cut")
        self.assertEqual(said.get("outcome"), "registered", said)
        w.make_piv("Gone")
        made = code_for("Lost")
        link.arm(3, AFTER, stays_down=True)
        self.assertEqual(register(made["secret"], "Gone", terminal="cut").get("code"), "tap.unheard")
        link.arm()
        said = register(made["secret"], terminal="cut")
        self.assertEqual(said.get("outcome"), "registered", said)
        self.assertEqual(w.tap().get("card"), said["card"])
        self.assertEqual(len(self.of_kind("registration.used")), 2)
        self.assertTrue(all(path.startswith("/v1/taps") for path in link.paths))

    def test_a_code_that_was_used_and_not_recorded_is_withdrawn(self):
        holder("Stolen", services=("nginx",))
        w.make_piv("Stolen")
        made = code_for("Stolen")
        # Before the proof: whether a card may be recorded is asked in turn with what is written, and it would not be bound.
        other = sqlite3.connect(w.state / "cardbroker.db", isolation_level=None, timeout=10, check_same_thread=False)
        link.arm_meanwhile(3, lambda: other.execute("BEGIN IMMEDIATE"))    # nothing can be recorded from then on
        try:
            said = register(made["secret"], "Stolen", terminal="cut")
        finally:
            if other.in_transaction:
                other.execute("ROLLBACK")
            other.close()
            link.arm()
        self.assertNotEqual(said.get("outcome"), "registered", said)
        wait_until("the database to be used again", lambda: w.admin("GET", "/v1/ready").json.get("ready") is True, 20 * PATIENCE)
        listed, = w.ctl("holder", "codes", "Stolen")
        self.assertEqual((listed["state"], listed["hsmd"]), ("open", "used"), listed)
        self.assertEqual(w.ctl("holder", "withdraw", made["code"])["state"], "withdrawn")
        self.assertEqual(register(made["secret"]).get("code"), "registration.withdrawn")
        self.assertEqual(self.of_kind("card.added"), [])
        self.assertEqual(w.tap().get("code"), "card.unknown")

    def test_what_is_refused_and_why(self):
        holder("Why", services=("nginx",))
        w.make_piv("Why")
        unknown = "00000-00000-00000-00000"
        self.assertEqual(register(unknown, "Why").get("code"), "registration.code")
        self.assertEqual(register(code_for("Why", profile="jpki")["secret"]).get("code"), "registration.profile")
        withdrawn = code_for("Why")
        self.assertEqual(w.ctl("holder", "withdraw", withdrawn["code"], "--reason", "mistake")["state"], "withdrawn")
        self.assertEqual(register(withdrawn["secret"]).get("code"), "registration.withdrawn")
        short = code_for("Why", "--valid", "1s")
        run(["sleep", "1.2"])
        self.assertEqual(register(short["secret"]).get("code"), "registration.lapsed")
        self.assertEqual([leaf["code"] for leaf in self.of_kind("registration.withdrawn")], [withdrawn["code"]])
        made = code_for("Why")
        self.assertEqual(register(made["secret"], pin=WRONG_PIN).get("code"), "pin.wrong")
        w.make_piv("Strange", agency="stranger")
        self.assertIn(register(made["secret"], "Strange").get("code"), ("certificate.status_unknown", "card.certificate"))
        w.make_piv("Revoked")
        w.publish(w.cards / "Revoked" / "9a.pem")
        w.stop_one("cardbrokerd")
        w.start_broker()
        self.assertEqual(register(made["secret"], "Revoked").get("code"), "certificate.revoked")
        self.assertEqual(register(made["secret"], "Why").get("outcome"), "registered", "nothing of that used it up")
        w.ctl("card", "revoke", state_of(made)["card"])
        self.assertEqual(register(made["secret"]).get("code"), "card.revoked")

    def test_the_front_end_alone_allows_nothing(self):
        """The record says it, as one that was taken over could have it say; hsmd was not told by a manager."""
        who = holder("Own", services=())
        done = w.admin("POST", "/v1/registrations", {"code": "000fffc5-3f88-8b21-a0d3-3619c77af0b6", "holder": who, "profiles": ["piv"],
                                                    "until": 2 ** 31})
        self.assertEqual(done.status, 400, "longer than a code may be good")
        for bad in (("--valid", "31d"), ("--valid", "0s"), ("--profile", "native"), ("--level", "password")):
            w.ctl("holder", "code", "Own", "--profile", "piv", *bad, ok=(1, 2))
        self.assertEqual(self.of_kind("registration.allowed"), [])

    def test_who_tries_many_has_to_wait(self):
        w.enrol_terminal_freely("guesser")
        with Terminal(w, "guesser") as terminal:
            codes = []
            for _ in range(12):
                begun = terminal.ask("POST", "/v1/taps", {"profile": "jpki"})
                asked = terminal.ask("POST", f"/v1/taps/{begun.json['tap']}/registration",
                                     {"answers": ["9000", "9000", "308205003082040a" "a00302010202" "01" + secrets.token_hex(1) + "9000"],
                                      "certificates": [], "point": "04" + secrets.token_hex(64), "signature": secrets.token_hex(64)})
                codes.append(asked.code)
            self.assertEqual(codes[:10], ["registration.code"] * 10)
            self.assertEqual(codes[10:], ["registration.rate"] * 2)
            for bad in ({"point": "04"}, {"signature": ""}, {"certificates": [1]}, {"certificates": [{"use": 256, "der": "00"}]},
                        {"certificates": [{"use": 1, "der": "00", "more": 1}]}, {"certificates": [{"use": 1, "der": "zz"}]},
                        {"certificates": [{"use": 1, "der": "00" * 4097}]}, {"certificates": [{"use": 1, "der": "00"}] * 4},
                        {"answers": ["zz"]}, {"code": "x"}):
                begun = terminal.ask("POST", "/v1/taps", {"profile": "piv"})
                asked = terminal.ask("POST", f"/v1/taps/{begun.json['tap']}/registration",
                                     {"answers": [], "point": "04" * 65, "signature": "04" * 64, **bad})
                self.assertEqual(asked.status, 400, bad)


if __name__ == "__main__":
    main()

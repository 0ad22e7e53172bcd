# SPDX-License-Identifier: GPL-3.0-or-later
"""PIV and JPKI cards that somebody else issued: registered from what a terminal reads, tapped with and without their PIN, and refused where they
must be."""

import csv
import hashlib
import json
import os
import re
import secrets
import sqlite3
import subprocess
import time
import unittest

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from foreign_world import JPKI_PIN, PIN, ForeignWorld, Publisher
from world import PATIENCE, Card, Failure, Terminal, main, run, wait_until

WRONG_PIN = "314159"

w = None


def setUpModule():
    global w
    w = ForeignWorld()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_nginx("desk", level="terminal-pin")
    w.add_nginx("vault", level="pin")
    w.add_piv_holder("Kenji", services=("nginx", "desk", "vault"))


class Taps(unittest.TestCase):
    def test_a_card_without_its_pin_is_possession(self):
        accepted = w.tap_with("Kenji")
        self.assertEqual((accepted.get("outcome"), accepted.get("level")), ("accepted", 1), accepted)
        self.assertEqual((accepted["holder"], accepted["card"]), (w.holders["Kenji"], w.card_ids["Kenji"]))
        self.assertEqual(w.page_of(accepted)["subject"], "CN=Kenji")

    def test_its_pin_is_asked_for_and_is_more(self):
        w.insert_card("Kenji")
        before = w.size()
        self.assertEqual(w.tap("desk").get("code"), "pin.required")
        self.assertEqual([w.fields(leaf)["outcome"] for leaf in w.leaves("--from", before) if leaf["kind"] == "tap.refused"], ["pin.required"],
                         "as the terminal says, and not when the tap has expired")
        accepted = w.tap("desk", pin=PIN)
        self.assertEqual((accepted.get("outcome"), accepted.get("level")), ("accepted", 3), accepted)

    def test_a_wrong_pin_says_how_many_tries_are_left_and_is_recorded_with_the_card(self):
        w.insert_card("Kenji")
        refused = w.tap("desk", pin=WRONG_PIN)
        self.assertEqual((refused.get("code"), refused.get("tries_left")), ("pin.wrong", 2), refused)
        leaf = w.fields([leaf for leaf in w.leaves() if leaf["kind"] == "tap.refused"][-1])
        self.assertEqual((leaf["outcome"], leaf["card"]), ("pin.wrong", w.card_ids["Kenji"]))
        self.assertEqual(w.tap("desk", pin=PIN).get("outcome"), "accepted")

    def test_a_pin_that_passes_the_terminal_is_not_one_that_is_encrypted_to_the_card(self):
        w.insert_card("Kenji")
        self.assertEqual(w.tap("vault", pin=PIN).get("code"), "tap.level")

    def test_every_kind_of_key_gets_in(self):
        for kind in ("ec-p384", "rsa-2048"):
            name = f"Holder-{kind}"
            w.add_piv_holder(name, "--key", f"9A:{kind}", "--key", f"9E:{kind}", services=("nginx", "desk"))
            self.assertEqual(w.tap("nginx").get("level"), 1)
            self.assertEqual(w.tap("desk", pin=PIN).get("level"), 3)

    def test_a_revoked_card_is_dead_at_once(self):
        w.add_piv_holder("Lost")
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.ctl("card", "suspend", w.card_ids["Lost"])
        self.assertEqual(w.tap().get("code"), "card.suspended")
        w.ctl("card", "resume", w.card_ids["Lost"])
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.ctl("card", "revoke", w.card_ids["Lost"])
        self.assertEqual(w.tap().get("code"), "card.revoked")

    def test_another_card_takes_the_place_of_the_old_one_in_one_act(self):
        w.add_piv_holder("Old")
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.make_piv("New")
        reading = w.read_card("New")
        before = w.size()
        done = w.ctl("card", "replace", w.card_ids["Old"], "--card", reading, "--reason", "damaged")
        self.assertEqual(done["old"], {"id": w.card_ids["Old"], "revoked": True})
        kinds = [leaf["kind"] for leaf in w.leaves("--from", before) if leaf["kind"].startswith("card.")]
        self.assertEqual(sorted(kinds), ["card.activated", "card.added", "card.revoked"])
        w.insert_card("New")
        accepted = w.tap()
        self.assertEqual((accepted.get("outcome"), accepted["card"], accepted["holder"]),
                         ("accepted", done["new"]["id"], w.holders["Old"]))
        w.insert_card("Old")
        self.assertEqual(w.tap().get("code"), "card.revoked")

    def test_the_terminal_puts_the_pin_into_the_command_and_the_broker_does_not_know_it(self):
        w.insert_card("Kenji")
        with Terminal(w) as terminal:
            begun = terminal.ask("POST", "/v1/taps", {"profile": "piv"})
            with Card(w.reader) as card:
                asked = terminal.challenge(begun.json["tap"], card.play(begun.json["script"]), "desk")
        self.assertEqual([("pin" in item, item["apdu"]) for item in asked.json["script"]][0], (True, "00200080"))
        self.assertEqual(asked.json["script"][0]["pin"], "padded")
        # Six digits are in some hexadecimal number, or in a fraction of a second, now and then.
        alone = re.compile(rb"(?<![0-9A-Fa-f.])" + PIN.encode() + rb"(?![0-9A-Fa-f])")
        for path in (*w.logs.iterdir(), *w.state.rglob("*")):
            if path.is_file():
                self.assertIsNone(alone.search(path.read_bytes()), path)

    def test_the_record_verifies(self):
        self.assertTrue(w.verify()["verified"])


class SecureMessaging(unittest.TestCase):
    """PIV cards that sign inside a session with hsmd, and not outside of it."""

    @classmethod
    def setUpClass(cls):
        w.add_piv_holder("Hana", *w.content_signer("signer"), services=("nginx", "desk", "vault"))

    def test_it_proves_what_it_proves_without(self):
        for kind in (None, "rsa-2048"):
            name = "Hana" if not kind else f"Hana-{kind}"
            if kind:
                w.add_piv_holder(name, *w.content_signer(name), "--key", f"9A:{kind}", "--key", f"9E:{kind}", services=("nginx", "desk", "vault"))
            w.insert_card(name)
            accepted = w.tap()
            self.assertEqual((accepted.get("outcome"), accepted.get("level"), accepted.get("card")), ("accepted", 1, w.card_ids[name]), accepted)
            self.assertEqual(w.tap("desk", pin=PIN).get("level"), 3)
            refused = w.tap("desk", pin=WRONG_PIN)
            self.assertEqual((refused.get("code"), refused.get("tries_left")), ("pin.wrong", 2), refused)
            self.assertEqual(w.tap("desk", pin=PIN).get("outcome"), "accepted")
            self.assertEqual(w.tap("vault", pin=PIN).get("code"), "tap.level")

    def challenged(self, terminal, change, service="desk"):
        begun = terminal.ask("POST", "/v1/taps", {"profile": "piv"})
        with Card(w.reader) as card:
            answers = card.play(begun.json["script"])
            return terminal.challenge(begun.json["tap"], change(answers), service)

    def test_all_but_the_pin_goes_inside(self):
        w.insert_card("Hana")
        with Terminal(w) as terminal:
            script = self.challenged(terminal, lambda answers: answers).json["script"]
        self.assertEqual([item["apdu"][:8].upper() for item in script], ["00200080", "0C87119A"])
        self.assertEqual([item.get("pin") for item in script], ["padded", None])

    def test_it_does_not_do_without(self):
        w.insert_card("Hana")
        with Terminal(w) as terminal:
            for change, code in ((lambda answers: answers[:2] + ["6A86"], "card.status"), (lambda answers: answers[:2], "card.removed"),
                                 (lambda answers: answers[:2] + [f"{answers[2][:-6]}{int(answers[2][-6:-4], 16) ^ 1:02X}9000"], "card.proof")):
                self.assertEqual(self.challenged(terminal, change).json.get("code"), code)
        self.assertEqual(w.tap().get("outcome"), "accepted")

    def test_a_card_whose_content_signer_is_none_is_registered_without_it_or_not(self):
        w.make_piv("Fumi", *w.content_signer("other", agency="stranger"))
        holder = w.ctl("holder", "add", "--name", "Fumi")["id"]
        path = w.read_card("Fumi")
        self.assertRaisesRegex(Failure, "card.certificate", w.ctl, "card", "register", "--holder", holder, "--card", path)
        said = json.loads(path.read_text())
        self.assertEqual([one["use"] for one in said["certificates"]], [0x9A, 0x9E, 0x04])
        path.write_text(json.dumps({**said, "certificates": said["certificates"][:2]}))
        card = w.ctl("card", "register", "--holder", holder, "--card", path, "--activate")
        w.holders["Fumi"], w.card_ids["Fumi"] = holder, card["id"]
        w.enrol("Fumi", "desk")
        with Terminal(w) as terminal:
            script = self.challenged(terminal, lambda answers: answers).json["script"]
        self.assertEqual([item["apdu"][:8].upper() for item in script], ["00200080", "0087119A"])
        self.assertEqual(w.tap("desk", pin=PIN).get("level"), 3)

    def test_whose_content_signer_was_revoked_gets_in_no_more(self):
        w.add_piv_holder("Ume", *w.content_signer("dismissed"))
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.publish(w.pki / "dismissed.pem")
        w.stop_one("cardbrokerd")
        w.start_broker()
        wait_until("the list to be heard of", lambda: w.tap().get("code") == "certificate.revoked", 20 * PATIENCE)
        self.assertEqual(w.tap_with("Hana").get("outcome"), "accepted")


class Jpki(unittest.TestCase):
    """Cards like Japan's Individual Number Card: no key without the PIN."""

    @classmethod
    def setUpClass(cls):
        w.make_jpki("Yuki")
        w.add_foreign_holder("Yuki", ("nginx", "desk", "vault"))

    def test_its_pin_lets_in_where_it_is_enough(self):
        w.insert_card("Yuki")
        for service in ("nginx", "desk"):
            accepted = w.tap(service, pin=JPKI_PIN)
            self.assertEqual((accepted.get("outcome"), accepted.get("level")), ("accepted", 3), accepted)
            self.assertEqual(accepted["card"], w.card_ids["Yuki"])
        self.assertEqual(w.tap("vault", pin=JPKI_PIN).get("code"), "tap.level")

    def test_without_the_pin_it_proves_nothing(self):
        w.insert_card("Yuki")
        self.assertEqual(w.tap("nginx").get("code"), "pin.required")
        refused = w.tap("nginx", pin="3141")
        self.assertEqual((refused.get("code"), refused.get("tries_left")), ("pin.wrong", 2), refused)
        self.assertEqual(w.tap("nginx", pin=JPKI_PIN).get("outcome"), "accepted")

    def test_it_is_revoked_like_any_other(self):
        w.make_jpki("Rei")
        w.add_foreign_holder("Rei", ("nginx",))
        self.assertEqual(w.tap("nginx", pin=JPKI_PIN).get("outcome"), "accepted")
        w.ctl("card", "revoke", w.card_ids["Rei"])
        self.assertEqual(w.tap("nginx", pin=JPKI_PIN).get("code"), "card.revoked")


class JpkiIssuer(unittest.TestCase):
    """What the agency says of such a card's certificate, and another card in the place of one."""

    @classmethod
    def setUpClass(cls):
        for name in ("Rin", "Ran"):
            w.make_jpki(name)
            w.add_foreign_holder(name, ("nginx", "desk"))

    def refused(self, name, code):
        """Before anybody is asked for a PIN, and in the record with the card."""
        w.insert_card(name)
        for pin in (None, JPKI_PIN):
            before = w.size()
            self.assertEqual(w.tap("desk", pin=pin).get("code"), code)
            leaf, = [w.fields(leaf) for leaf in w.leaves("--from", before) if leaf["kind"] == "tap.refused"]
            self.assertEqual((leaf["outcome"], leaf["card"]), (code, w.card_ids[name]))

    def accepted(self, name, holder=None):
        accepted = w.tap_with(name, "desk", pin=JPKI_PIN)
        self.assertEqual((accepted.get("outcome"), accepted.get("card"), accepted.get("holder")),
                         ("accepted", w.card_ids[name], w.holders[holder or name]), accepted)

    @staticmethod
    def certify_again(name, again):
        """The same card, its key and all, with a certificate that has another number. It is as long, so that it fits into the card's file."""
        old, state = (w.cards / f"{name}.der").read_bytes(), (w.cards / f"{name}.card").read_bytes()[:-32]
        agency = serialization.load_pem_private_key((w.pki / "agency.key").read_bytes(), None)
        size = 8 + int.from_bytes(old[6:8], "big")
        number = old.index(bytes.fromhex("a0030201020210")) + 7
        signed = old[4:number] + b"\x50" + secrets.token_bytes(15) + old[number + 16:size]
        length = len(old) - size - 15       # without the algorithm and what stands before the signature
        signature = b""
        while len(signature) != length:
            signature = agency.sign(signed, ec.ECDSA(hashes.SHA256()))
        if state.count(old) != 1:
            raise Failure("the card's certificate is not where it was thought to be")
        state = state.replace(old, old[:4] + signed + old[size:size + 15] + signature)
        path = w.cards / f"{again}.card"
        path.write_bytes(state + hashlib.sha256(state).digest())
        path.chmod(0o600)

    @staticmethod
    def begin_again():
        w.stop_one("cardbrokerd")
        w.start_broker()

    def test_1_a_jpki_card_whose_certificate_the_agency_revoked_gets_in_no_more(self):
        self.accepted("Rin")
        pem = w.cards / "Rin.pem"
        run(["openssl", "x509", "-inform", "DER", "-in", w.cards / "Rin.der", "-out", pem])
        w.publish(pem)
        self.begin_again()
        wait_until("the list to be heard of", lambda: w.tap("desk", pin=JPKI_PIN).get("code") == "certificate.revoked", 20 * PATIENCE)
        self.refused("Rin", "certificate.revoked")
        self.accepted("Ran")

    def test_2_without_the_agencys_word_no_jpki_card_gets_in(self):
        kept, Publisher.revoked = Publisher.revoked, b"this is no list"
        w.stop_one("cardbrokerd")
        for file in w.state.glob("status-*.crl"):
            file.unlink()
        try:
            w.start_broker()
            for name in ("Ran", "Rin"):
                self.refused(name, "certificate.status_unknown")
        finally:
            Publisher.revoked = kept
            self.begin_again()
        w.insert_card("Ran")
        wait_until("the list to be heard of", lambda: w.tap("desk", pin=JPKI_PIN).get("outcome") == "accepted", 20 * PATIENCE)
        self.refused("Rin", "certificate.revoked")

    def test_3_another_jpki_card_takes_the_place_of_the_old_one_in_one_act(self):
        self.accepted("Ran")
        old = w.folder / "Ran.old"
        old.write_text(w.read_card("Ran").read_text())
        w.make_jpki("Ran-new")
        reading = w.read_card("Ran-new")
        self.assertEqual(w.tap("desk", pin=JPKI_PIN).get("code"), "card.unknown", "nobody knows it yet")
        before = w.size()
        done = w.ctl("card", "replace", w.card_ids["Ran"], "--card", reading, "--reason", "renewed")
        self.assertEqual(done["old"], {"id": w.card_ids["Ran"], "revoked": True})
        kinds = [leaf["kind"] for leaf in w.leaves("--from", before) if leaf["kind"].startswith("card.")]
        self.assertEqual(sorted(kinds), ["card.activated", "card.added", "card.revoked"])
        w.card_ids["Ran-new"] = done["new"]["id"]
        self.accepted("Ran-new", "Ran")
        self.refused("Ran", "card.revoked")
        self.assertRaisesRegex(Failure, "card.revoked", w.ctl, "card", "register", "--holder", w.holders["Ran"], "--card", old)
        self.assertTrue(w.verify()["verified"])

    def test_4_so_does_one_with_a_new_certificate_for_the_same_key_and_a_tap_says_so(self):
        """Its serial number is all that it says of itself before it has proven anything."""
        w.make_jpki("Ron")
        w.add_foreign_holder("Ron", ("desk",))
        self.accepted("Ron")
        self.certify_again("Ron", "Ron-new")
        reading = w.read_card("Ron-new")
        self.assertRaisesRegex(Failure, "certificate.not_renewed", w.ctl, "card", "renew", w.card_ids["Ron"], "--card", reading)
        for pin in (None, JPKI_PIN):
            said = w.tap("desk", pin=pin)
            self.assertEqual(said.get("code"), "card.unknown", said)
            self.assertIn("in the place of the card that it was", said["detail"])
        w.card_ids["Ron-new"] = w.ctl("card", "replace", w.card_ids["Ron"], "--card", reading, "--reason", "renewed")["new"]["id"]
        self.accepted("Ron-new", "Ron")
        self.refused("Ron", "card.revoked")
        self.assertTrue(w.verify()["verified"])


class Scp03(unittest.TestCase):
    """Cards that know nothing but AES."""

    @classmethod
    def setUpClass(cls):
        w.make_scp03("Aoi")
        w.add_foreign_holder("Aoi", ("nginx", "desk"))

    def test_it_is_let_in_as_possession_and_no_more(self):
        w.insert_card("Aoi")
        for _ in range(3):
            accepted = w.tap()
            self.assertEqual((accepted.get("outcome"), accepted.get("level")), ("accepted", 1), accepted)
            self.assertEqual(accepted["card"], w.card_ids["Aoi"])
        self.assertEqual(w.tap("desk", pin=PIN).get("code"), "tap.level")

    def test_a_card_of_another_master_key_is_none(self):
        w.etc.joinpath("other.master").write_text(secrets.token_bytes(32).hex())
        os.chmod(w.etc / "other.master", 0o600)
        kdd = w.issuer("scp03", "make", "--master", w.etc / "scp03.master", "--key-version", "30", "--state",
                       w.cards / "Mio.card").stdout.decode().split()[-1]
        w.add_foreign_holder("Mio", ("nginx",))
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.issuer("scp03", "make", "--master", w.etc / "other.master", "--key-version", "30", "--kdd", kdd, "--state",
                 w.cards / "Forged.card")
        self.assertEqual(w.tap_with("Forged").get("code"), "card.proof")
        leaf = w.fields([leaf for leaf in w.leaves() if leaf["kind"] == "tap.refused"][-1])
        self.assertEqual((leaf["failure"], leaf["card"]), ("proof", w.card_ids["Mio"]), "it counts as what it is")

    def test_a_copy_is_refused_and_neither_of_the_two_gets_in(self):
        w.make_scp03("Nagi")
        w.add_foreign_holder("Nagi", ("nginx",))
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.remove_card()
        copy = w.cards / "Nagi-copy.card"
        copy.write_bytes((w.cards / "Nagi.card").read_bytes())
        copy.chmod(0o600)
        self.assertEqual(w.tap_with("Nagi").get("outcome"), "accepted")
        before = w.size()
        self.assertEqual(w.tap_with("Nagi-copy").get("code"), "card.counter")
        leaves = [w.fields(leaf) for leaf in w.leaves("--from", before)]
        refused, = [leaf for leaf in leaves if leaf["kind"] == "tap.refused"]
        self.assertEqual((refused["outcome"], refused["card"]), ("card.counter", w.card_ids["Nagi"]))
        suspended, = [leaf for leaf in leaves if leaf["kind"] == "card.suspended"]
        self.assertEqual((suspended["card"], suspended["actor"], suspended["reason"]), (w.card_ids["Nagi"], "cardbrokerd", "copied"))
        self.assertEqual([m["what"] for m in w.ctl("report", "mismatches") if m["card"] == w.card_ids["Nagi"]], ["counter-back"])
        for card in ("Nagi-copy", "Nagi"):
            self.assertEqual(w.tap_with(card).get("code"), "card.suspended")

    def test_it_is_revoked_like_any_other(self):
        w.make_scp03("Ren")
        w.add_foreign_holder("Ren", ("nginx",))
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.ctl("card", "revoke", w.card_ids["Ren"])
        self.assertEqual(w.tap().get("code"), "card.revoked")


class Issuer(unittest.TestCase):
    """What the agency revokes, and what becomes of its word when it is not heard."""

    def test_1_a_card_whose_certificate_the_agency_revoked_gets_in_no_more(self):
        w.add_piv_holder("Dismissed")
        self.assertEqual(w.tap().get("outcome"), "accepted")
        w.publish(w.cards / "Dismissed" / "9a.pem")
        w.stop_one("cardbrokerd")
        w.start_broker()
        wait_until("the list to be heard of", lambda: w.tap().get("code") == "certificate.revoked", 20 * PATIENCE)
        leaf = w.fields([leaf for leaf in w.leaves() if leaf["kind"] == "tap.refused"][-1])
        self.assertEqual((leaf["outcome"], leaf["card"]), ("certificate.revoked", w.card_ids["Dismissed"]))
        self.assertEqual(w.tap_with("Kenji").get("outcome"), "accepted")
        known, = self.lists()
        self.assertEqual((known["issuer"], known["known"], known["fresh"], known["state"]), ("agency", True, True, "ok"))
        self.assertGreater(known["entries"], 0)
        self.assertRegex(known["until"], r"^20\d\d-")
        self.assertGreater(self.metric('questions_total{answer="revoked"}'), 0)
        self.assertGreater(self.metric('questions_total{answer="good"}'), 0)
        self.assertGreater(self.metric('list_fetches_total{outcome="ok"}'), 0)
        self.assertEqual((self.metric('lists{fresh="yes"}'), self.metric('lists{fresh="no"}')), (1, 0))

    def lists(self):
        """Of issuers, as the administrator sees them."""
        return w.ctl("status")["broker"]["issuer_lists"]

    def metric(self, name):
        lines = w.admin("GET", "/metrics").data.decode().splitlines()
        return int(next(line.split()[-1] for line in lines if line.startswith(f"cardbroker_issuer_{name} ")))

    def test_2_without_the_agencys_word_nobody_gets_in(self):
        w.stop_one("cardbrokerd")
        kept = Publisher.revoked
        Publisher.revoked = b"this is no list"
        for file in w.state.glob("status-*.crl"):
            file.unlink()
        try:
            w.start_broker()
            w.insert_card("Kenji")
            self.assertEqual(w.tap().get("code"), "certificate.status_unknown")
            wait_until("the fetch to fail", lambda: self.metric('list_fetches_total{outcome="failed"}') > 0, 20 * PATIENCE)
            unknown, = self.lists()
            self.assertEqual((unknown["known"], unknown["fresh"], unknown["until"], unknown["entries"]), (False, False, None, 0))
            self.assertNotEqual(unknown["state"], "ok")
            self.assertEqual((self.metric('lists{fresh="yes"}'), self.metric('lists{fresh="no"}')), (0, 1))
            self.assertGreater(self.metric('questions_total{answer="unknown"}'), 0)
        finally:
            Publisher.revoked = kept
            w.stop_one("cardbrokerd")
            w.start_broker()
        wait_until("the list to be heard of", lambda: w.tap().get("outcome") == "accepted", 20 * PATIENCE)

    def test_3_a_certificate_that_was_put_in_place_of_the_cards_does_not_count(self):
        w.stop_one("cardbrokerd")
        with sqlite3.connect(w.state / "cardbroker.db") as database:
            mine, = database.execute("SELECT certificates FROM card WHERE id = ?", (bytes.fromhex(w.card_ids["Kenji"].replace("-", "")),)).fetchone()
            database.execute("UPDATE card SET certificates = ? WHERE id = ?",
                             (mine, bytes.fromhex(w.card_ids["Dismissed"].replace("-", ""))))
        w.start_broker()
        self.assertEqual(w.tap_with("Dismissed").get("code"), "hsm.record")


class SeveralCards(unittest.TestCase):
    """A holder's cards of several profiles, two of them on one chip; and terminals that find, or admit, only one of the two."""

    NATIVE_PIN = "123456"

    @classmethod
    def setUpClass(cls):
        w.write_terminal_configuration("hiding", profiles="piv, jpki")
        w.enrol_terminal_freely("hiding")
        for name in ("Ichiro", "Jiro"):
            w.add_holder(name, services=("nginx", "desk", "vault"))
            w.make_piv(f"{name}-both", "--beside", w.cards / f"{name}.card")
            w.register(name, f"{name}-both")
        w.make_jpki("Ichiro-jpki")
        w.register("Ichiro", "Ichiro-jpki")

    def accepted(self, service, pin, terminal, card, level):
        accepted = w.tap(service, pin=pin, terminal=terminal)
        self.assertEqual((accepted.get("outcome"), accepted.get("card"), accepted.get("level")), ("accepted", w.card_ids[card], level), accepted)
        self.assertEqual(accepted["holder"], w.holders[card.split("-")[0]])

    def test_1_each_profile_gives_its_own_card_and_its_own_level(self):
        self.assertEqual(len({w.card_ids[name] for name in ("Ichiro", "Ichiro-both", "Ichiro-jpki")}), 3)
        w.insert_card("Ichiro-both")
        self.accepted("nginx", None, "terminal", "Ichiro", 1)
        self.accepted("vault", self.NATIVE_PIN, "terminal", "Ichiro", 2)
        self.accepted("nginx", None, "hiding", "Ichiro-both", 1)
        self.accepted("desk", PIN, "hiding", "Ichiro-both", 3)
        self.accepted("desk", self.NATIVE_PIN, "terminal", "Ichiro", 2)
        w.insert_card("Ichiro-jpki")
        for terminal in ("terminal", "hiding"):
            self.accepted("desk", JPKI_PIN, terminal, "Ichiro-jpki", 3)

    def test_2_what_asks_for_more_is_not_had_for_less_by_hiding_an_application(self):
        w.insert_card("Ichiro-both")
        for pin in (None, PIN, self.NATIVE_PIN):
            self.assertEqual(w.tap("vault", pin=pin, terminal="hiding").get("code"), "tap.level", "before anybody is asked for the PIN")
        self.assertEqual(w.tap("desk", terminal="hiding").get("code"), "pin.required")
        self.accepted("vault", self.NATIVE_PIN, "terminal", "Ichiro", 2)
        w.insert_card("Ichiro-jpki")
        self.assertEqual(w.tap("vault", pin=JPKI_PIN).get("code"), "tap.level")

    def test_3_what_one_application_proves_is_not_taken_for_the_other(self):
        """A terminal begins one kind of tap and has the card answer as the other."""
        w.insert_card("Ichiro-both")
        with Terminal(w) as terminal:
            for begun_as, answered_as in (("native", "piv"), ("piv", "native")):
                begun, other = (terminal.ask("POST", "/v1/taps", {"profile": profile}).json for profile in (begun_as, answered_as))
                with Card(w.reader) as card:
                    asked = terminal.challenge(begun["tap"], card.play(other["script"]))
                self.assertNotEqual(asked.status, 200, asked)
                self.assertRegex(asked.code, r"^card\.", asked)

    def test_4_revoking_the_one_leaves_the_other(self):
        w.insert_card("Jiro-both")
        self.accepted("nginx", None, "hiding", "Jiro-both", 1)
        w.ctl("card", "revoke", w.card_ids["Jiro-both"])
        self.assertEqual(w.tap(terminal="hiding").get("code"), "card.revoked")
        self.accepted("vault", self.NATIVE_PIN, "terminal", "Jiro", 2)

        w.insert_card("Ichiro-both")
        w.ctl("card", "revoke", w.card_ids["Ichiro"])
        self.accepted("desk", PIN, "hiding", "Ichiro-both", 3)
        self.assertEqual(w.tap("vault", pin=self.NATIVE_PIN).get("code"), "card.revoked")
        self.accepted("desk", PIN, "hiding", "Ichiro-both", 3)
        w.insert_card("Ichiro-jpki")
        self.accepted("desk", JPKI_PIN, "terminal", "Ichiro-jpki", 3)


class Many(unittest.TestCase):
    """A file of readings, and a run that is killed again and again."""

    CARDS = {"Many-piv": None, "Many-secured": None, "Many-jpki": JPKI_PIN, "Many-scp03": None, "Many-of-old": None}    # the last one's holder is there

    @classmethod
    def setUpClass(cls):
        w.make_piv("Many-piv")
        w.make_piv("Many-secured", *w.content_signer("of-many"))
        w.make_jpki("Many-jpki")
        w.make_scp03("Many-scp03")
        w.make_piv("Many-of-old", "--key", "9A:rsa-2048", "--key", "9E:rsa-2048")
        w.make_piv("Many-alien", agency="stranger")
        cls.readings = {}
        for name in (*cls.CARDS, "Many-alien", "Kenji"):
            cls.readings[name] = w.folder / f"many-{len(cls.readings)}"
            cls.readings[name].write_text(w.read_card(name).read_text())
        cls.old = w.ctl("holder", "add", "--name", "Many-of-old")["id"]
        lines = [f"{cls.readings[name]},,,{cls.old if name == 'Many-of-old' else name}" for name in cls.CARDS]
        broken = w.folder / "many-broken"
        broken.write_text(cls.readings["Many-piv"].read_text().replace("answers", "questions"))
        cls.bad = {2: (f"{cls.readings['Kenji']},,,Somebody else", "card.bound"), 3: (f"{cls.readings['Many-alien']},,,Nobody", "card.certificate"),
                   5: (f"{w.folder}/nowhere,,,Nobody", "nowhere"), 6: (f"{broken},,,Nobody", "not what cardlink read prints"),
                   8: ("-,,,Nobody", "a file of its own"), 9: (f"{cls.readings['Many-piv']},,,{cls.old}", "card.bound"), 11: ("one,two", "reading")}
        for at, (text, _) in sorted(cls.bad.items()):
            lines.insert(at - 1, text)
        cls.file, cls.codes = w.folder / "many.csv", w.folder / "many-codes.csv"
        cls.file.write_text("\n".join(lines) + "\n")

    def argv(self, file, *words):
        return [str(w.program("cardbrokerctl")), "--run", str(w.run_folder), "--json", "card", "register-many", str(file), "--activate",
                "--threads", "2", *words]

    def run_it(self, file, *words):
        done = subprocess.run(self.argv(file, *words), capture_output=True, text=True, timeout=120 * PATIENCE)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_1_each_card_of_any_kind_is_its_holders_once_and_bad_lines_say_why(self):
        before, with_codes = w.size(), ("--suspension-codes", str(self.codes))
        for pause in (0.01, 0.03, 0.06):
            process = subprocess.Popen(self.argv(self.file, *with_codes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(pause * PATIENCE)
            process.kill()
            process.wait()
        said = self.run_it(self.file, *with_codes)
        self.assertEqual((said["complete"], said["bad"], said["codes"]), (True, len(self.bad), len(self.CARDS)), said)
        report = (w.folder / "many.csv.rejected").read_text().splitlines()[1:]
        self.assertEqual(sorted(int(row.split(",")[0]) for row in report), sorted(self.bad), report)
        for row in report:
            self.assertIn(self.bad[int(row.split(",")[0])][1], row)
        names = {holder["id"]: holder["name"] for holder in w.ctl("holder", "list") if holder["name"].startswith("Many")}
        self.assertEqual(sorted(names.values()), sorted(self.CARDS), "each once, and nobody of a bad line")
        cards = {names[card["holder"]]: card for card in w.ctl("card", "list") if card["holder"] in names}
        self.assertEqual({name: card["state"] for name, card in cards.items()}, dict.fromkeys(self.CARDS, "active"))
        added = [w.fields(leaf)["card"] for leaf in w.leaves("--from", before) if leaf["kind"] == "card.added"]
        self.assertEqual(sorted(added), sorted(card["id"] for card in cards.values()))
        for name, card in cards.items():
            w.holders[name], w.card_ids[name] = card["holder"], card["id"]

        # Once more, in another file, it changes nothing.
        again, size = w.folder / "again.csv", w.size()
        again.write_text(self.file.read_text())
        said = self.run_it(again)
        self.assertEqual((said["registered"], said["already"], said["bad"], w.size()), (0, len(self.CARDS), len(self.bad), size), said)

    def test_2_they_are_tapped_and_their_letters_stop_them(self):
        with open(self.codes, encoding="ascii", newline="") as text:
            letters = {row["card"]: row["code"] for row in csv.DictReader(text)}
        for name, pin in self.CARDS.items():
            with self.subTest(name):
                w.enrol(name, "nginx")
                accepted = w.tap_with(name, pin=pin)
                self.assertEqual((accepted.get("outcome"), accepted.get("card"), accepted.get("holder")),
                                 ("accepted", w.card_ids[name], w.holders[name]), accepted)
                with Terminal(w, None) as nobody:
                    self.assertEqual(nobody.ask("POST", "/v1/suspensions", {"code": letters[w.card_ids[name]]}).json, {"state": "suspended"})
                self.assertEqual(w.tap(pin=pin).get("code"), "card.suspended")
        self.assertTrue(w.verify()["verified"])


class NativeAlone(unittest.TestCase):
    """What only the broker's own cards have is refused for these, or done by the broker in their place, and leaves the card as it is."""

    CARDS = (("piv", "Tomo", PIN), ("jpki", "Emi", JPKI_PIN), ("scp03", "Sora", None))

    @classmethod
    def setUpClass(cls):
        for profile, name, _ in cls.CARDS:
            {"piv": w.make_piv, "jpki": w.make_jpki, "scp03": w.make_scp03}[profile](name)
            w.add_foreign_holder(name, ("nginx",))

    @staticmethod
    def file_of(name):
        """But of an SCP03 card, which counts whoever asks it for a challenge."""
        return None if name == "Sora" else (w.cards / f"{name}.card").read_bytes()

    def test_1_no_pin_is_set_anew_by_holder_or_desk(self):
        for _, name, pin in self.CARDS:
            with self.subTest(name):
                w.insert_card(name)
                before = self.file_of(name)
                typed = pin or PIN
                for words, secrets_of in ((("pin", "change"), (typed, "112233")), (("pin", "unblock"), ("12345678", "112233")),
                                          (("--card", w.card_ids[name], "pin", "reset"), ("112233",))):
                    refused = w.cardlink(*words, pin=secrets_of, ok=(1, 3))[-1]
                    self.assertEqual(refused.get("code"), "card.foreign", refused)
                self.assertRaisesRegex(Failure, "card.foreign", w.ctl, "card", "unblock", w.card_ids[name], "--terminal", "terminal", "--reason",
                                       "forgotten")
                self.assertEqual(self.file_of(name), before, "it was asked for nothing that costs a try")
                self.assertEqual(w.tap(pin=pin).get("outcome"), "accepted")
        self.assertEqual([leaf for leaf in w.leaves() if leaf["kind"] == "card.pin_reset_allowed"], [])

    def test_2_wrong_pins_that_a_terminal_tells_of_suspend_no_card(self):
        """More than a native card may have in a row. Claims of one terminal slow that down, so it is one that does nothing else."""
        w.enrol_terminal_freely("claims")
        with Terminal(w, "claims") as terminal:
            w.insert_card("Tomo")
            said = []
            for _ in range(15):
                begun = terminal.ask("POST", "/v1/taps", {"profile": "piv"}).json
                if "tap" not in begun:
                    break
                with Card(w.reader) as card:
                    asked = terminal.challenge(begun["tap"], card.play(begun["script"]), "desk")
                said.append(terminal.proof(begun["tap"], ["63C2"]).code if asked.status == 200 else asked.code)
        self.assertGreater(said.count("pin.wrong"), 10, said)
        self.assertEqual(w.ctl("card", "show", w.card_ids["Tomo"])["state"], "active")
        self.assertEqual(w.tap("nginx").get("outcome"), "accepted")

    def test_3_a_revoked_card_is_refused_and_not_ended(self):
        for profile, name, pin in self.CARDS:
            with self.subTest(name), Terminal(w) as terminal:
                w.insert_card(name)
                # Also when it proves itself, and was good when it was asked to.
                begun = terminal.ask("POST", "/v1/taps", {"profile": profile}).json
                with Card(w.reader) as card:
                    script = terminal.challenge(begun["tap"], card.play(begun["script"])).json["script"]
                    for item in script:
                        if "pin" in item:
                            item["apdu"] += f"{len(pin):02x}{pin.encode().hex()}"
                    proof = card.play(script)
                w.ctl("card", "revoke", w.card_ids[name])
                refused = terminal.proof(begun["tap"], proof)
                self.assertEqual((refused.code, refused.json.get("may_end")), ("card.revoked", None), refused)
                before, size = self.file_of(name), w.size()
                said = w.tap(pin=pin)
                self.assertEqual((said.get("code"), said.get("card_ended")), ("card.revoked", None), said)
                # A terminal that asks for it all the same.
                begun = terminal.ask("POST", "/v1/taps", {"profile": profile}).json
                with Card(w.reader) as card:
                    refused = terminal.challenge(begun["tap"], card.play(begun["script"]))
                    self.assertEqual((refused.code, refused.json.get("may_end")), ("card.revoked", None))
                    again = terminal.ask("POST", "/v1/taps", {"profile": profile}).json
                    ending = terminal.ask("POST", f"/v1/taps/{again['tap']}/challenge",
                                          {"answers": card.play(again["script"]), "purpose": "card_end", "after": begun["tap"]})
                self.assertEqual((ending.status, ending.code), (400, "request.invalid"), ending)
                self.assertEqual(self.file_of(name), before)
                self.assertEqual([leaf for leaf in w.leaves("--from", size) if leaf["kind"] == "tap.card_ended"], [])
        self.assertTrue(w.verify()["verified"])

    def test_4_after_a_last_day_the_broker_refuses_what_knows_of_no_day(self):
        makers = {"piv": w.make_piv, "jpki": w.make_jpki, "scp03": w.make_scp03}
        for profile, _, pin in self.CARDS:
            with self.subTest(profile):
                name = f"Late-{profile}"
                makers[profile](name)
                holder = w.holders[name] = w.ctl("holder", "add", "--name", name)["id"]
                reading = w.read_card(name)
                before = self.file_of(name) if profile != "scp03" else None
                card = w.ctl("card", "register", "--holder", holder, "--card", reading, "--activate", "--expires", "2024-02-29")
                self.assertEqual(card["expires"], "2024-03-01T00:00:00.000000Z")
                w.enrol(name, "nginx")
                for typed in {None, pin}:   # nobody is asked for it
                    self.assertEqual(w.tap(pin=typed).get("code"), "card.expired")
                wait_until("the card to expire", lambda c=card: w.ctl("card", "show", c["id"])["state"] == "expired", 20 * PATIENCE)
                self.assertEqual(w.tap(pin=pin).get("code"), "card.expired")
                self.assertEqual(self.file_of(name) if profile != "scp03" else None, before)
                # One that is not set, or comes later than its certificates', is theirs; an SCP03 card has none.
                ends = [w.ctl("card", "register", "--holder", holder, "--card", self.read(makers[profile], f"{name}-{more}"),
                              *(("--expires", "2999-12-31") if more else ()))["expires"] for more in (0, 1)]
                if profile == "scp03":
                    self.assertEqual(ends, [None, "3000-01-01T00:00:00.000000Z"])
                else:
                    self.assertTrue(all("2024" < end < "2999" for end in ends), ends)
        self.assertTrue(w.verify()["verified"])

    def test_5_in_transit_the_broker_binds_it_to_nobody_and_the_card_knows_nothing_of_it(self):
        makers = {"piv": w.make_piv, "jpki": w.make_jpki, "scp03": w.make_scp03}
        listed = w.folder / "on-the-way.csv"
        listed.write_text("".join(f"{profile}\n" for profile in makers))
        where = ("--manufacturer", "elsewhere", "--delivery", "D1")
        self.assertEqual(w.ctl("stock", "enter", listed, "--manufacturer", "elsewhere", "--batch", "B1")["done"], 3)
        self.assertEqual(w.ctl("stock", "send", listed, *where)["done"], 3)
        cards = {}
        for profile, name, pin in self.CARDS:
            with self.subTest(profile):
                name = cards[profile] = f"Way-{profile}"
                holder = w.holders[name] = w.ctl("holder", "add", "--name", name)["id"]
                words = ("card", "register", "--holder", holder, "--card", self.read(makers[profile], name), "--activate", "--serial",
                         f"elsewhere/{profile}")
                self.assertRaisesRegex(Failure, "card.unlisted", w.ctl, *words)
                self.assertEqual(w.tap(pin=pin).get("code"), "card.unknown")
        self.assertEqual(w.ctl("stock", "receive", listed, *where), {"done": 3, "mismatches": 0})
        for profile, _, pin in self.CARDS:
            with self.subTest(profile):
                name = cards[profile]
                w.insert_card(name)
                w.ctl("card", "register", "--holder", w.holders[name], "--card", w.folder / f"{name}.reading", "--activate", "--serial",
                      f"elsewhere/{profile}")
                w.enrol(name, "nginx")
                self.assertEqual(w.tap("nginx", pin=pin).get("outcome"), "accepted")
        self.assertTrue(w.verify()["verified"])

    @staticmethod
    def read(make, name):
        make(name)
        return w.read_card(name)


class Refused(unittest.TestCase):
    def test_a_card_that_is_not_registered(self):
        w.make_piv("Stray")
        self.assertEqual(w.tap_with("Stray").get("code"), "card.unknown")

    def test_a_card_of_an_agency_that_is_not_trusted_is_not_registered(self):
        w.make_piv("Alien", agency="stranger")
        self.assertRaisesRegex(Failure, "card.certificate", w.ctl, "card", "register", "--holder", w.holders["Kenji"],
                               "--card", w.read_card("Alien"))
        self.assertEqual(w.tap().get("code"), "card.unknown")

    def test_a_registered_card_is_not_given_to_somebody_else(self):
        other = w.ctl("holder", "add", "--name", "Other")["id"]
        self.assertRaisesRegex(Failure, "card.bound", w.ctl, "card", "register", "--holder", other, "--card", w.read_card("Kenji"))

    def test_a_revoked_card_does_not_come_back_under_another_name(self):
        """The issuer's certificates name the UUID alone; the FASC-N beside it is changed between card and file."""
        holder = w.ctl("holder", "add", "--name", "Twice")["id"]
        w.make_piv("Twice")
        path = w.read_card("Twice")
        card = w.ctl("card", "register", "--holder", holder, "--card", path)["id"]
        w.ctl("card", "revoke", card, "--reason", "lost")
        said = json.loads(path.read_text())
        chuid = bytearray.fromhex(said["answers"][1])
        chuid[chuid.index(b"\x30\x19") + 12] ^= 1
        said["answers"][1] = chuid.hex().upper()
        path.write_text(json.dumps(said))
        for whom in (holder, w.ctl("holder", "add", "--name", "Thief")["id"]):
            for kept in (said["certificates"], said["certificates"][:1], said["certificates"][1:]):
                path.write_text(json.dumps({**said, "certificates": kept}))
                self.assertRaisesRegex(Failure, "card.bound", w.ctl, "card", "register", "--holder", whom, "--card", path)

    def test_a_pin_is_not_changed_through_the_broker(self):
        w.insert_card("Kenji")
        refused = w.cardlink("pin", "change", pin=[PIN, "111111"], ok=(1, 3))[-1]
        self.assertEqual(refused.get("code"), "card.foreign", refused)
        self.assertEqual(w.tap("desk", pin=PIN).get("outcome"), "accepted")

    def test_a_chip_that_speaks_both_is_what_it_was_registered_as(self):
        w.add_holder("Both")
        w.make_piv("Both-piv", "--beside", w.cards / "Both.card")
        self.assertEqual(w.tap_with("Both-piv").get("level"), 1)
        with Terminal(w) as terminal:
            begun = terminal.ask("POST", "/v1/taps", {"profile": "piv"})
            with Card(w.reader) as card:
                asked = terminal.challenge(begun.json["tap"], card.play(begun.json["script"]))
        self.assertEqual(asked.code, "card.unknown", asked)


if __name__ == "__main__":
    main()

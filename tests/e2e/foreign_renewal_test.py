# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys that somebody else's authority renewed on cards which are registered here: by an operator's reading, in a tap, and at an
agent; under which rules, and what renews nothing."""

import json
import secrets
import sqlite3
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from piv_agency import ManagedCard, certify_again  # noqa: E402

from foreign_world import JPKI_PIN, PIN, ForeignWorld
from world import PATIENCE, Card, Failure, Terminal, main, run, wait_until

WRONG_PIN = "314159"

w = None


def setUpModule():
    global w
    w = ForeignWorld()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_nginx("desk", level="terminal-pin")
    w.add_piv_holder("Kenji", services=("nginx", "desk"))


def add_managed_holder(name, *more, services=("nginx",)):
    key = w.secret_file(f"{name}.management", secrets.token_hex(16))
    w.add_piv_holder(name, "--management", "aes-128", "--management-key", key, *more, services=services)


def renew_on_card(name, *slots, new_keys=()):
    """What the agency does when it renews a card: another key where there is to be one, and certificates that begin later."""
    said = json.loads(w.read_card(name).read_text())
    public = w.folder / "generated.der"
    with Card(w.reader) as card:
        managed = ManagedCard(card, bytes.fromhex((w.etc / f"{name}.management").read_text()))
        for one in said["certificates"]:
            slot = one["use"]
            if slot in slots:
                if slot in new_keys:
                    public.write_bytes(managed.generate(slot))
                managed.put_certificate(slot, w.certify_again(name, slot, bytes.fromhex(one["der"]), public if slot in new_keys else None))


def with_pin(script, pin):
    """What a terminal makes of a script: the PIN, where one is typed, stands where the broker wants it."""
    padded = pin.encode().ljust(8, b"\xff").hex() if pin else ""
    return [{**item, "apdu": f"{item['apdu']}08{padded}"} if pin and "pin" in item else item for item in script]


def renew_by_hand(name, reading=None, pin=None):
    """What a terminal of somebody else's making is told when it brings this of the card that lies there."""
    w.insert_card(name)
    with Terminal(w) as terminal, Card(w.reader) as card:
        begun = terminal.ask("POST", "/v1/taps", {"profile": "piv"})
        answers = card.play(begun.json["script"])
        said = reading or json.loads((w.folder / f"{name}.reading").read_text())
        asked = terminal.ask("POST", f"/v1/taps/{begun.json['tap']}/renewal", {"answers": answers, "certificates": said["certificates"]})
        if asked.status != 200:
            return asked
        return terminal.ask("POST", f"/v1/taps/{begun.json['tap']}/proof", {"answers": card.play(with_pin(asked.json["script"], pin))})


class Renewal(unittest.TestCase):
    """Certificates that the agency put on a card in place of those that it was registered with."""

    @classmethod
    def setUpClass(cls):
        w.add_piv_holder("Sora", services=("nginx", "desk"))
        for slot in ("9a", "9e"):
            run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", w.pki / f"{slot}.key"])
            run(["openssl", "pkey", "-in", w.pki / f"{slot}.key", "-pubout", "-out", w.pki / f"{slot}.pub"])
        w.original = json.loads(w.read_card("Sora").read_text())

    def renew(self, path, name="Sora"):
        return w.ctl("card", "renew", w.card_ids[name], "--card", path)

    def refused(self, code, path, name="Sora"):
        before = w.ctl("card", "show", w.card_ids[name])
        self.assertRaisesRegex(Failure, code, self.renew, path, name)
        self.assertEqual(w.ctl("card", "show", w.card_ids[name]), before)
        self.assertEqual(w.tap_with(name).get("outcome"), "accepted")

    def hear_of_the_list(self):
        entries = w.ctl("status")["broker"]["issuer_lists"][0]["entries"]
        w.stop_one("cardbrokerd")
        w.start_broker()
        wait_until("the list to be heard of", lambda: w.ctl("status")["broker"]["issuer_lists"][0]["entries"] > entries, 20 * PATIENCE)

    def test_1_under_the_rule_never_nothing_is_renewed(self):
        self.refused("certificate.not_renewed", w.renewed("Sora"))

    def test_2_the_same_key_is_renewed(self):
        w.renewal_rule("same-key")
        before = w.ctl("card", "show", w.card_ids["Sora"])
        del before["failures"]
        renewed = self.renew(w.renewed("Sora"))
        self.assertEqual({**before, **{name: renewed[name] for name in ("sequence", "changed", "expires")}}, renewed)
        self.assertNotEqual(renewed["expires"], before["expires"], "the new certificates' last day")
        self.assertGreater(renewed["sequence"], before["sequence"])
        self.assertEqual(w.tap_with("Sora").get("level"), 1)
        self.assertEqual(w.tap("desk", pin=PIN).get("level"), 3)
        leaf = w.fields([leaf for leaf in w.leaves() if leaf["kind"] == "card.renewed"][-1])
        self.assertEqual((leaf["card"], leaf["holder"], leaf["sequence"]), (w.card_ids["Sora"], w.holders["Sora"], str(renewed["sequence"])))

    def test_3_what_came_before_renews_nothing(self):
        path = w.folder / "original.reading"
        path.write_text(json.dumps(w.original))
        self.refused("certificate.not_renewed", path)

    def test_4_another_name_key_or_card_is_no_renewal(self):
        self.refused("certificate.not_renewed", w.renewed("Sora", subject="Kenji"))
        self.refused("certificate.not_renewed", w.renewed("Sora", keys=w.pki))
        self.refused("certificate.not_renewed", w.renewed("Kenji"))

    def test_5_the_agencys_word_of_the_old_certificate_does_not_matter_any_more(self):
        w.publish(w.cards / "Sora" / "9a.pem", w.cards / "Sora" / "9e.pem")
        self.hear_of_the_list()
        self.assertEqual(w.tap_with("Sora").get("outcome"), "accepted")

    def test_6_its_word_of_the_new_one_does(self):
        w.add_piv_holder("Riku")
        self.renew(w.renewed("Riku"), "Riku")
        self.assertEqual(w.tap_with("Riku").get("outcome"), "accepted")
        w.publish(w.cards / "Riku" / "9e-new.pem")
        self.hear_of_the_list()
        self.assertEqual(w.tap_with("Riku").get("code"), "certificate.revoked")

    def row(self, name, values=None):
        """Binding, certificates and sequence as the database has them, or shall."""
        card = bytes.fromhex(w.card_ids[name].replace("-", ""))
        w.stop_one("cardbrokerd")
        with sqlite3.connect(w.state / "cardbroker.db") as database:
            found = database.execute("SELECT binding, certificates, sequence FROM card WHERE id = ?", (card,)).fetchone()
            if values:
                database.execute("UPDATE card SET binding = ?, certificates = ?, sequence = ? WHERE id = ?", (*values, card))
        w.start_broker()
        return found

    def test_7_a_key_that_was_renewed_is_dead_even_with_its_old_record(self):
        w.renewal_rule("same-subject")
        w.add_piv_holder("Nao")
        self.assertEqual(w.tap().get("outcome"), "accepted")
        old = self.row("Nao")
        self.renew(w.renewed("Nao", keys=w.pki), "Nao")
        self.assertEqual(w.tap_with("Nao").get("code"), "card.proof", "the card has the old key still")
        retired = w.fields([leaf for leaf in w.leaves() if leaf["kind"] == "card.keys_retired"][-1])
        self.assertEqual(retired["card"], w.card_ids["Nao"])
        new = self.row("Nao", old)
        self.assertEqual(w.tap_with("Nao").get("code"), "hsm.record")
        path = w.folder / "again.reading"
        path.write_text((w.folder / "Nao.reading").read_text())
        self.assertRaisesRegex(Failure, "hsm.key_retired", self.renew, path, "Nao")
        self.row("Nao", new)
        self.assertTrue(w.verify()["verified"])


class RenewedOnTheCard(unittest.TestCase):
    """The agency makes a new key on a card, and puts certificates there in place of those that it was registered with."""

    def certificates(self, path):
        return {one["use"]: bytes.fromhex(one["der"]) for one in json.loads(path.read_text())["certificates"]}

    def renew_on_the_card(self, name, key, old):
        """9A gets a key of its own and a certificate for it, 9E another certificate for its key: what stands there then."""
        public = w.folder / "generated.der"
        with Card(w.reader) as card:
            managed = ManagedCard(card, bytes.fromhex(key.read_text()))
            public.write_bytes(managed.generate(0x9A))
            made = {0x9A: w.certify_again(name, 0x9A, old[0x9A], public), 0x9E: w.certify_again(name, 0x9E, old[0x9E])}
            for slot, der in made.items():
                managed.put_certificate(slot, der)
        return made

    def test_what_a_card_shows_is_renewed_by_the_rule_and_its_new_key_gets_in(self):
        w.renewal_rule("never")
        key = w.secret_file("management.key", secrets.token_hex(16))
        w.add_piv_holder("Emi", "--management", "aes-128", "--management-key", key, services=("nginx", "desk"))
        self.assertEqual(w.tap("desk", pin=PIN).get("level"), 3)
        before = w.read_card("Emi").rename(w.folder / "Emi.before")
        old = self.certificates(before)
        made = self.renew_on_the_card("Emi", key, old)
        self.assertEqual(w.tap("desk", pin=PIN).get("code"), "card.proof", "the broker knows the old key still")
        self.assertEqual(w.tap().get("level"), 1, "9E has its key")
        after = w.read_card("Emi")
        self.assertEqual(self.certificates(after), made, "it is read as it was put there")

        w.renewal_rule("same-key")
        self.assertRaisesRegex(Failure, "certificate.not_renewed", w.ctl, "card", "renew", w.card_ids["Emi"], "--card", after)
        self.assertEqual(w.tap("desk", pin=PIN).get("code"), "card.proof")
        w.renewal_rule("same-subject")
        shown = w.ctl("card", "show", w.card_ids["Emi"])
        renewed = w.ctl("card", "renew", w.card_ids["Emi"], "--card", after)
        self.assertGreater(renewed["sequence"], shown["sequence"])
        self.assertEqual((renewed["id"], renewed["holder"], renewed["state"], renewed["level"]),
                         (w.card_ids["Emi"], w.holders["Emi"], "active", shown["level"]))
        kinds = [leaf["kind"] for leaf in w.leaves() if leaf["kind"].startswith("card.")][-2:]
        self.assertEqual(sorted(kinds), ["card.keys_retired", "card.renewed"])

        for service, pin, level in (("desk", PIN, 3), ("nginx", None, 1)):
            accepted = w.tap(service, pin=pin)
            self.assertEqual((accepted.get("outcome"), accepted.get("level")), ("accepted", level), accepted)
            self.assertEqual((accepted["card"], accepted["holder"]), (w.card_ids["Emi"], w.holders["Emi"]))
        self.assertEqual(w.tap("desk", pin=WRONG_PIN).get("code"), "pin.wrong")
        self.assertRaisesRegex(Failure, "certificate.not_renewed", w.ctl, "card", "renew", w.card_ids["Emi"], "--card", before)
        said = json.loads(after.read_text())
        time.sleep(1.1)     # certificates count seconds: it has to begin later than the one that renewed it
        next(one for one in said["certificates"] if one["use"] == 0x9A)["der"] = w.certify_again("Emi", 0x9A, old[0x9A]).hex()
        after.write_text(json.dumps(said))
        self.assertRaisesRegex(Failure, "hsm.key_retired", w.ctl, "card", "renew", w.card_ids["Emi"], "--card", after)
        self.assertEqual(w.tap("desk", pin=PIN).get("level"), 3)
        self.assertTrue(w.verify()["verified"])


class RenewalAtTap(unittest.TestCase):
    """Certificates that the agency put on the chip itself, which nobody told the broker of."""

    @classmethod
    def setUpClass(cls):
        w.renewal_rule("same-key")
        add_managed_holder("Mei", services=("nginx", "desk"))
        add_managed_holder("Ito", services=("nginx", "desk"))
        add_managed_holder("Jun")
        for name, keys in (("Mei", ()), ("Ito", (0x9A,)), ("Jun", ())):
            (w.folder / f"{name}.original").write_text(w.read_card(name).read_text())
            renew_on_card(name, *(keys or (0x9A, 0x9E)), new_keys=keys)
        w.publish(*(w.cards / name / f"{slot}.pem" for name, slot in (("Mei", "9a"), ("Mei", "9e"), ("Ito", "9a"), ("Jun", "9e"))))
        w.stop_one("cardbrokerd")
        w.start_broker()
        w.insert_card("Mei")
        wait_until("the list to be heard of", lambda: w.tap().get("code") == "certificate.revoked", 20 * PATIENCE)

    def renewals(self, name):
        leaves = [w.fields(leaf) for leaf in w.leaves() if leaf["kind"] == "card.renewed"]
        return [leaf for leaf in leaves if leaf["card"] == w.card_ids[name]]

    def test_1_not_unless_that_is_configured(self):
        said = w.tap_with("Mei")
        self.assertEqual((said.get("code"), said.get("renewed")), ("certificate.revoked", None), said)
        self.assertEqual(self.renewals("Mei"), [])
        w.read_card("Mei")
        self.assertEqual(renew_by_hand("Mei").code, "certificate.not_renewed")

    def test_2_the_same_keys_are_known_again_in_the_tap_in_which_they_are_met(self):
        w.renewal_rule("same-key", at_taps=True)
        before = w.ctl("card", "show", w.card_ids["Mei"])
        said = w.tap_with("Mei")
        self.assertEqual((said.get("outcome"), said.get("renewed"), said.get("level")), ("accepted", True, 1), said)
        leaf, = self.renewals("Mei")
        self.assertEqual((leaf["actor"], leaf["holder"], leaf["state"]), ("tap", w.holders["Mei"], "active"))
        self.assertEqual(leaf["terminal"], w.ctl("terminal", "show", "terminal")["id"])
        self.assertEqual(int(leaf["sequence"]), before["sequence"] + 1)
        again = w.tap("desk", pin=PIN)
        self.assertEqual((again.get("outcome"), again.get("renewed"), again.get("level")), ("accepted", None, 3), again)
        self.assertEqual(len(self.renewals("Mei")), 1)

    def test_3_what_it_showed_before_or_another_card_shows_renews_nothing(self):
        w.renewal_rule("same-subject", at_taps=True)
        for name in ("Mei", "Jun"):
            w.read_card(name)
        older = json.loads((w.folder / "Mei.original").read_text())
        self.assertEqual(renew_by_hand("Mei", older).code, "certificate.revoked")
        self.assertEqual(renew_by_hand("Mei").code, "certificate.not_renewed", "nothing is new")
        self.assertEqual(renew_by_hand("Mei", json.loads((w.folder / "Jun.reading").read_text())).code, "card.answer")
        self.assertEqual(len(self.renewals("Mei")), 1)

    def test_4_another_key_takes_the_pin_and_retires_the_one_of_before(self):
        said = w.tap_with("Ito")
        self.assertEqual(said.get("code"), "pin.required", said)
        said = w.tap(pin="999999")
        self.assertEqual(said.get("code"), "pin.wrong", said)
        self.assertEqual(self.renewals("Ito"), [])
        said = w.tap("desk", pin=PIN)
        self.assertEqual((said.get("outcome"), said.get("renewed"), said.get("level")), ("accepted", True, 3), said)
        self.assertEqual([leaf["actor"] for leaf in self.renewals("Ito")], ["tap"])
        retired = w.fields([leaf for leaf in w.leaves() if leaf["kind"] == "card.keys_retired"][-1])
        self.assertEqual((retired["card"], retired["actor"]), (w.card_ids["Ito"], "tap"))
        self.assertEqual(w.tap("desk", pin=PIN).get("level"), 3)
        path = w.folder / "Ito.back"
        path.write_text((w.folder / "Ito.original").read_text())
        self.assertRaisesRegex(Failure, "hsm.key_retired|certificate", w.ctl, "card", "renew", w.card_ids["Ito"], "--card", path)

    def test_5_two_keys_at_a_time_are_an_operators(self):
        add_managed_holder("Kai")
        renew_on_card("Kai", 0x9A, 0x9E, new_keys=(0x9A, 0x9E))
        w.read_card("Kai")
        self.assertEqual(renew_by_hand("Kai").code, "certificate.not_renewed")
        w.ctl("card", "renew", w.card_ids["Kai"], "--card", w.folder / "Kai.reading")
        self.assertEqual(w.tap_with("Kai").get("outcome"), "accepted", "by the key that is on the chip")

    def test_6_certificates_that_are_soon_over_are_asked_for_after_a_tap_that_was_accepted(self):
        add_managed_holder("Tomo", "--years", "1")
        renew_on_card("Tomo", 0x9E)
        self.assertEqual(w.tap_with("Tomo").get("renewed"), None, "unless that is configured")
        path = w.etc / "cardbroker.conf"
        path.write_text(path.read_text() + "cards { renewal-days = 366 }\n")
        w.stop_one("cardbrokerd")
        w.start_broker()
        refusals = len([leaf for leaf in w.leaves() if leaf["kind"] == "tap.refused"])
        for _ in range(3):
            said = w.tap_with("Tomo")
            self.assertEqual((said.get("outcome"), said.get("renewed")), ("accepted", None), "what it brought did not wait for that")
            self.assertEqual(len(self.renewals("Tomo")), 1, "once, when the first was over")
        self.assertEqual(len([leaf for leaf in w.leaves() if leaf["kind"] == "tap.refused"]), refusals, "nothing new is no refusal")

    def test_7_a_card_that_was_revoked_here_stays_so(self):
        w.ctl("card", "suspend", w.card_ids["Jun"], "--reason", "lost")
        self.assertEqual(renew_by_hand("Jun").code, "card.suspended")
        w.ctl("card", "revoke", w.card_ids["Jun"], "--reason", "lost")
        self.assertEqual(renew_by_hand("Jun").code, "card.revoked")
        self.assertEqual(w.tap_with("Jun").get("code"), "card.revoked")
        self.assertEqual(self.renewals("Jun"), [])
        self.assertTrue(w.verify()["verified"])


class RenewalOfAnotherKey(unittest.TestCase):
    """A key that the agency made on a card whose certificates still count: its proof fails by the key that the broker knows."""

    @classmethod
    def setUpClass(cls):
        w.renewal_rule("same-subject")
        for name in ("Aki", "Ryo", "Sen"):
            add_managed_holder(name, services=("nginx", "desk"))
            renew_on_card(name, 0x9A, new_keys=(0x9A,))

    def setUp(self):
        self.before = w.size()

    def of_kind(self, kind):
        return [w.fields(leaf) for leaf in w.leaves("--from", self.before) if leaf["kind"] == kind]

    def failed(self, name):
        """Proofs, as they are counted: of the card and its holder, ever and in a row; and of the terminal."""
        card, holder, terminal = (w.ctl(*what)["failures"] for what in
                                  (("card", "show", w.card_ids[name]), ("holder", "show", name), ("terminal", "show", "terminal")))
        return (*((one["failed_proofs"], one["failed_proofs_in_a_row"]) for one in (card, holder)), terminal["failed_proofs"])

    def fail_by_hand(self, name):
        """A tap with the PIN by a terminal of somebody else's making, which renews nothing."""
        w.insert_card(name)
        with Terminal(w) as terminal, Card(w.reader) as card:
            begun = terminal.ask("POST", "/v1/taps", {"profile": "piv"})
            asked = terminal.challenge(begun.json["tap"], card.play(begun.json["script"]), "desk")
            return terminal.proof(begun.json["tap"], card.play(with_pin(asked.json["script"], PIN)))

    def counted(self):
        """That the tables count what the record says."""
        self.assertTrue(w.verify_database()["verified"])

    def test_1_where_no_tap_may_renew_it_is_a_failed_proof(self):
        *_, there = self.failed("Sen")
        said = w.tap_with("Sen", "desk", pin=PIN)
        self.assertEqual((said.get("code"), said.get("renewed")), ("card.proof", None), said)
        self.assertEqual(self.failed("Sen"), ((1, 1), (1, 1), there + 1))
        self.assertEqual(self.of_kind("card.renewed") + self.of_kind("failures.explained"), [])
        self.counted()

    def test_2_it_is_renewed_while_it_lies_there_and_its_proof_no_failure(self):
        w.renewal_rule("same-subject", at_taps=True)
        *_, there = self.failed("Ryo")
        said = w.tap_with("Ryo", "desk", pin=PIN)
        self.assertEqual((said.get("outcome"), said.get("renewed"), said.get("level")), ("accepted", True, 3), said)
        self.assertEqual(self.failed("Ryo"), ((0, 0), (0, 0), there))
        refused, = self.of_kind("tap.refused")
        explained, = self.of_kind("failures.explained")
        self.assertEqual((refused["outcome"], refused["failure"]), ("card.proof", "proof"))
        for name in ("tap", "card", "holder", "terminal"):
            self.assertEqual(explained[name], refused[name], name)
        self.assertEqual([leaf["actor"] for leaf in self.of_kind("card.keys_retired")], ["tap"])
        self.assertEqual(w.tap("desk", pin=PIN).get("renewed"), None)
        self.assertEqual(w.tap().get("level"), 1)
        self.counted()

    def test_3_of_two_proofs_that_failed_the_last_alone_is_explained(self):
        refused = self.fail_by_hand("Sen")
        self.assertEqual((refused.code, refused.json.get("may_renew")), ("card.proof", True), refused)
        *_, there = self.failed("Sen")
        said = w.tap_with("Sen", "desk", pin=PIN)
        self.assertEqual((said.get("outcome"), said.get("renewed")), ("accepted", True), said)
        self.assertEqual(self.failed("Sen"), ((2, 0), (2, 0), there))
        self.counted()

    def test_4_what_the_broker_has_forgotten_stays_counted(self):
        """It was begun anew between the proof and the renewal."""
        w.read_card("Aki")
        self.assertEqual(self.fail_by_hand("Aki").code, "card.proof")
        w.stop_one("cardbrokerd")
        w.start_broker()
        self.assertEqual(renew_by_hand("Aki", pin=PIN).json.get("outcome"), "renewed")
        self.assertEqual(self.failed("Aki")[0], (1, 1))
        self.assertEqual(self.of_kind("failures.explained"), [])
        self.assertEqual(w.tap("desk", pin=PIN).get("level"), 3)
        self.counted()

    def test_5_a_strangers_key_is_no_renewal_and_each_proof_of_it_counts(self):
        """Without a certificate of the agency's for it, and with one of somebody else's."""
        add_managed_holder("Haru", services=("nginx", "desk"))
        *_, there = self.failed("Haru")
        original = json.loads(w.read_card("Haru").read_text())
        old = next(bytes.fromhex(one["der"]) for one in original["certificates"] if one["use"] == 0x9A)
        key = bytes.fromhex((w.etc / "Haru.management").read_text())
        with Card(w.reader) as card:
            public = ManagedCard(card, key).generate(0x9A)
        self.assertEqual(w.tap("desk", pin=PIN).get("code"), "card.proof")
        self.assertEqual(self.failed("Haru"), ((1, 1), (1, 1), there + 1))
        self.assertEqual(len(self.of_kind("tap.refused")), 1, "that it has nothing new is no refusal")
        with Card(w.reader) as card:
            ManagedCard(card, key).put_certificate(0x9A, certify_again(old, (w.pki / "stranger.pem").read_bytes(),
                                                                       (w.pki / "stranger.key").read_bytes(), public))
        self.assertEqual(w.tap("desk", pin=PIN).get("code"), "card.proof")
        self.assertEqual(self.failed("Haru"), ((2, 2), (2, 2), there + 2))
        self.assertEqual(self.of_kind("card.renewed") + self.of_kind("failures.explained"), [])
        self.counted()


class RenewalByAgent(unittest.TestCase):
    """The same at a door, where nobody begins a tap: an agent meets the cards, at a reader without a pad, or with one on which their holder types."""

    started = 0

    @classmethod
    def setUpClass(cls):
        w.renewal_rule("same-subject", at_taps=True)
        w.write_terminal_configuration("door", readers="pcsc")
        w.enrol_terminal_freely("door")
        w.make_jpki("Yumi")
        w.add_foreign_holder("Yumi", ("nginx",))
        add_managed_holder("Nana")
        add_managed_holder("Oto")
        renew_on_card("Nana", 0x9A, 0x9E)
        renew_on_card("Oto", 0x9A, new_keys=(0x9A,))
        pem = w.cards / "Yumi.pem"
        run(["openssl", "x509", "-inform", "DER", "-in", w.cards / "Yumi.der", "-out", pem])
        cls.revoked = [w.cards / "Nana" / "9a.pem", w.cards / "Nana" / "9e.pem", w.cards / "Oto" / "9a.pem", pem]
        cls.begun = w.size()

    def setUp(self):
        self.before = w.size()
        self.agent = None
        self.addCleanup(self.stop)

    def serve(self, digits=None):
        """Another agent; digits: what is typed on the pad, where there is one."""
        self.stop()
        RenewalByAgent.started += 1
        self.agent, typed = f"agent-{self.started}", w.folder / f"typed-{self.started}"
        self.asked, env = w.folder / f"asked-{self.started}", None
        if digits is not None:
            typed.write_text(digits)
            env = {**w.env, "LD_PRELOAD": str(w.build / "tests" / "support" / "pad_reader.so"), "CB_PAD_READER": str(w.reader),
                   "CB_PAD_DIGITS": str(typed), "CB_PAD_ASKED": str(self.asked),
                   "ASAN_OPTIONS": w.env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        self.process = w.spawn(self.agent, [w.program("cardlink"), "--config", w.etc / f"{'terminal' if digits is None else 'door'}.conf", "--json",
                                            "agent", "--service", "nginx"], env)

    def stop(self):
        w.remove_card()
        if self.agent:
            w.stop_one(self.agent)
        self.agent = None

    def events(self, *kinds):
        said = (json.loads(line) for line in w.log_of(self.agent).splitlines() if line.startswith("{") and line.endswith("}"))
        return [event for event in said if event.get("event") in kinds]

    def met(self, name):
        """What the agent says of a card that is laid down: one word for each."""
        w.remove_card()
        wait_until("the agent to wait for a card", lambda: self.events("reader.ready") and
                   len(self.events("card.present")) == len(self.events("card.removed")), 20 * PATIENCE, self.process)
        before = len(self.events("tap.accepted", "tap.refused"))
        # Nobody else asks the card anything meanwhile: it talks to one at a time.
        w.spawn("card", [w.program("cardlink-vcard"), "--socket", w.reader, w.cards / f"{name}.card"])
        wait_until(f"{name}'s tap", lambda: len(self.events("tap.accepted", "tap.refused")) > before, 20 * PATIENCE, self.process)
        said, = self.events("tap.accepted", "tap.refused")[before:]
        return said

    def times_asked(self):
        """How often the pad has asked for the PIN."""
        return self.asked.stat().st_size if self.asked.exists() else 0

    def accepted(self, said, name, level, renewed=None):
        self.assertEqual((said["event"], said.get("card"), said.get("level"), said.get("renewed")),
                         ("tap.accepted", w.card_ids[name], level, renewed), said)

    def refused(self, said, code):
        self.assertEqual((said["event"], said.get("code"), said.get("renewed")), ("tap.refused", code, None), said)

    def renewals(self, name):
        """Since these tests began, with the terminal of each."""
        leaves = [w.fields(leaf) for leaf in w.leaves("--from", self.begun) if leaf["kind"] == "card.renewed"]
        self.assertEqual({leaf["actor"] for leaf in leaves} - {"tap"}, set())
        return [leaf["terminal"] for leaf in leaves if leaf["card"] == w.card_ids[name]]

    def test_1_what_its_issuer_has_not_revoked_is_asked_for_nothing_more(self):
        self.serve()
        self.accepted(self.met("Nana"), "Nana", 1)
        self.refused(self.met("Yumi"), "pin.required")      # a JPKI card does nothing without
        self.serve(JPKI_PIN)
        self.accepted(self.met("Yumi"), "Yumi", 3)
        self.assertEqual(self.times_asked(), 1)
        self.assertEqual(self.renewals("Nana") + self.renewals("Yumi"), [])

    def test_2_a_card_is_renewed_while_it_lies_there_and_let_in(self):
        entries = w.ctl("status")["broker"]["issuer_lists"][0]["entries"] + len(self.revoked)
        w.publish(*self.revoked)
        w.stop_one("cardbrokerd")
        w.start_broker()
        wait_until("the list to be heard of", lambda: w.ctl("status")["broker"]["issuer_lists"][0]["entries"] == entries, 20 * PATIENCE)
        self.serve()
        for renewed in (True, None):
            self.accepted(self.met("Nana"), "Nana", 1, renewed)
            self.assertEqual(self.renewals("Nana"), [w.ctl("terminal", "show", "terminal")["id"]])

    def test_3_another_key_takes_the_pin_and_without_it_its_holder_is_told(self):
        self.serve()
        self.refused(self.met("Oto"), "pin.required")
        for digits, code in (("", "pin.cancelled"), (WRONG_PIN, "pin.wrong")):
            self.serve(digits)
            self.refused(self.met("Oto"), code)
            self.assertEqual((self.times_asked(), self.renewals("Oto")), (1, []))
        self.serve(PIN)
        self.accepted(self.met("Oto"), "Oto", 1, True)
        self.assertEqual((self.times_asked(), self.renewals("Oto")), (1, [w.ctl("terminal", "show", "door")["id"]]))
        self.serve()
        self.accepted(self.met("Oto"), "Oto", 1)
        self.assertEqual(len(self.renewals("Oto")), 1)

    def test_4_a_jpki_card_is_renewed_by_no_tap_and_replaced_by_an_operator(self):
        """Its new certificate is another card. For the old one nobody is asked for a PIN."""
        self.serve(JPKI_PIN)
        self.refused(self.met("Yumi"), "certificate.revoked")
        self.assertEqual((self.times_asked(), self.renewals("Yumi")), (0, []))
        refused = [w.fields(leaf) for leaf in w.leaves("--from", self.before) if leaf["kind"] == "tap.refused"]
        self.assertEqual([(leaf["outcome"], leaf["card"], leaf.get("purpose")) for leaf in refused if leaf["outcome"] != "tap.expired"],
                         [("certificate.revoked", w.card_ids["Yumi"], None)], "that it has nothing new is no refusal")
        self.stop()
        w.make_jpki("Yumi-new")
        replaced = w.ctl("card", "replace", w.card_ids["Yumi"], "--card", w.read_card("Yumi-new"), "--reason", "renewed")
        w.card_ids["Yumi-new"] = replaced["new"]["id"]
        self.serve(JPKI_PIN)
        said = self.met("Yumi-new")
        self.accepted(said, "Yumi-new", 3)
        self.assertEqual(said["holder"], w.holders["Yumi"])
        self.refused(self.met("Yumi"), "card.revoked")
        self.assertEqual(self.times_asked(), 1)
        self.assertTrue(w.verify()["verified"])


if __name__ == "__main__":
    main()

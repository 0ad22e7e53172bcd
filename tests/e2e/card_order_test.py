# SPDX-License-Identifier: GPL-3.0-or-later
"""Which application a terminal looks for first on a card: as configured, or as the card's ATR suggests. Each application that is selected is
counted, and so is each tap that is begun at the broker, which is one at hsmd."""

import json
import os
import sys
import unittest
from pathlib import Path

from foreign_world import JPKI_PIN, PIN, ForeignWorld
from world import PATIENCE, main, run, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from cuts import AFTER, APPLICATIONS, CutLink, CutReader  # noqa: E402

ATR = {}
ALL = "{native, piv, jpki, scp03}"

w = reader = link = plain = None


def atr_of(card):
    return run([w.program("cardlink-vcard"), "--show", w.cards / f"{card}.card"], env=w.env).stdout.decode().split("ATR ")[1].split()[0]


def setUpModule():
    global w, reader, link, plain
    w = ForeignWorld()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_nginx("desk", level="terminal-pin")
    w.add_holder("Hanako")
    w.add_piv_holder("Kenji")
    w.make_jpki("Yuki")
    w.add_foreign_holder("Yuki", ("desk",))
    w.make_scp03("Aoi")
    w.add_foreign_holder("Aoi", ("nginx",))
    # A chip with the broker's own application and another, both its holder's.
    w.add_holder("Both")
    w.make_piv("Both-piv", "--beside", w.cards / "Both.card")
    w.card_ids["Both-piv"] = w.ctl("card", "register", "--holder", w.holders["Both"], "--card", w.read_card("Both-piv"), "--activate")["id"]
    w.remove_card()
    for kind, card in (("native", "Hanako"), ("piv", "Kenji"), ("jpki", "Yuki"), ("scp03", "Aoi")):
        ATR[kind] = atr_of(card)
    w.enrol_terminal_freely("cut")
    reader = CutReader(w.folder / "cut")
    unittest.addModuleCleanup(reader.close)
    link = CutLink(w, "cut")
    unittest.addModuleCleanup(link.close)
    text = (w.etc / "cut.conf").read_text().replace(f"localhost:{w.port}", f"localhost:{link.port}")
    text = text.replace(f'readers = "{w.readers}"', f'readers = "virtual:{reader.path}"')
    plain = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("profiles"))


def configure(profiles=ALL, prefetch=False, **hints):
    """hints: which profile first, by whose ATR."""
    lines = "".join(f'atr "{ATR[kind]}" {{ profile = "{first}" }}\n' for kind, first in hints.items())
    (w.etc / "cut.conf").write_text(f"{plain}profiles = {profiles}\nprefetch = {str(prefetch).lower()}\n{lines}")


def looked_for():
    return [APPLICATIONS[name] for name in reader.selected]


def begun():
    return link.paths.count("/v1/taps")


def lay(card):
    reader.lay(w.lay(card))
    reader.arm()
    link.arm()


class Order(unittest.TestCase):
    def tap(self, card, service="nginx", pin=None, expected=None):
        lay(card)
        said = w.tap(service, pin=pin, terminal="cut")
        self.assertEqual((said.get("outcome"), said.get("card")), ("accepted", w.card_ids[expected or card]), said)
        return looked_for()

    def test_applications_are_looked_for_as_configured_and_none_is_selected_twice(self):
        configure(piv="piv", jpki="native")     # its own is not first
        self.assertEqual(self.tap("Hanako"), ["native"])
        self.assertEqual(self.tap("Yuki", "desk", JPKI_PIN), ["native", "piv", "jpki"])
        configure()
        self.assertEqual(self.tap("Hanako"), ["native"])
        self.assertEqual(self.tap("Kenji"), ["native", "piv"])
        self.assertEqual(self.tap("Aoi"), ["native", "piv", "jpki", "scp03"])
        configure("{scp03, jpki, piv, native}")
        self.assertEqual(self.tap("Hanako"), ["scp03", "jpki", "piv", "native"])
        self.assertEqual(begun(), 1)

    def test_one_tap_is_begun_whatever_the_card_is(self):
        for card, service, pin in (("Hanako", "nginx", None), ("Kenji", "nginx", None), ("Yuki", "desk", JPKI_PIN), ("Aoi", "nginx", None)):
            with self.subTest(card):
                configure()
                self.tap(card, service, pin)
                self.assertEqual(begun(), 1)

    def test_an_atr_puts_its_profile_first(self):
        configure(piv="piv", scp03="scp03")
        self.assertEqual(self.tap("Kenji"), ["piv"])
        self.assertEqual(self.tap("Aoi"), ["scp03"])
        self.assertEqual(self.tap("Hanako"), ["native"])

    def test_that_of_the_individual_number_card_is_known(self):
        configure()
        self.assertEqual(self.tap("Yuki", "desk", JPKI_PIN), ["jpki"])

    def test_other_cards_first_do_not_hide_the_brokers_own(self):
        configure("{piv, native}")
        self.assertEqual(self.tap("Hanako"), ["piv", "native"])
        self.assertEqual(begun(), 1)
        configure("{piv, native}", native="native")
        self.assertEqual(self.tap("Hanako"), ["native"])

    def test_a_chip_that_has_both_is_what_is_looked_for_first(self):
        configure("{native, piv}")
        self.assertEqual(self.tap("Both-piv", expected="Both"), ["native"])
        configure("{piv, native}")
        self.assertEqual(self.tap("Both-piv"), ["piv"])
        configure("{piv, native}", native="native")
        self.assertEqual(self.tap("Both-piv", expected="Both"), ["native"])
        configure("{native, piv}", native="piv")
        self.assertEqual(self.tap("Both-piv"), ["piv"])

    def test_an_atr_that_names_the_wrong_profile_costs_a_command(self):
        configure(native="scp03", piv="jpki")
        self.assertEqual(self.tap("Hanako"), ["scp03", "native"])
        self.assertEqual(begun(), 1)
        self.assertEqual(self.tap("Kenji"), ["jpki", "native", "piv"])
        self.assertEqual(begun(), 1)

    def test_a_card_of_none_of_them_is_named_by_the_broker(self):
        configure("{native, scp03}", piv="scp03")
        lay("Kenji")
        self.assertEqual(w.tap(terminal="cut").get("code"), "card.foreign")
        self.assertEqual(begun(), 1)

    def test_a_card_that_lies_there_has_its_script_fetched(self):
        configure(prefetch=True, piv="piv")
        self.assertEqual(self.tap("Kenji"), ["piv"])
        self.assertEqual(begun(), 1)

    def test_a_card_taken_away_while_it_is_looked_at_ends_what_was_begun_for_it(self):
        configure(prefetch=True)
        lay("Kenji")
        for nth in (1, 2):
            before = w.size()
            reader.arm(nth, AFTER)
            link.arm()
            self.assertEqual(w.tap(terminal="cut").get("code"), "card.removed")
            self.assertEqual([path.rsplit("/", 1)[1] for path in link.paths], ["taps", "end"])
            ends = [w.fields(leaf)["outcome"] for leaf in w.leaves("--from", before) if leaf["kind"] == "tap.refused"]
            self.assertEqual(ends, ["card.removed"])
        configure(prefetch=False)
        reader.arm(1, AFTER)
        link.arm()
        self.assertEqual(w.tap(terminal="cut").get("code"), "card.removed")
        self.assertEqual(link.paths, [], "nothing was begun")


class Reading(unittest.TestCase):
    """What is read of a card, to be registered, is of the first profile that it has."""

    @classmethod
    def setUpClass(cls):
        w.make_jpki("Two")
        w.make_piv("Two-piv", "--beside", w.cards / "Two.card")

    def read(self):
        lay("Two-piv")
        return w.cardlink("read", "--timeout", 10, terminal="cut")[-1]["profile"]

    def test_it_is_the_first_in_the_order(self):
        configure("{piv, jpki}", jpki="piv")
        self.assertEqual((self.read(), looked_for()), ("piv", ["piv"]))
        configure("{piv, jpki}", jpki="jpki")
        self.assertEqual((self.read(), looked_for()), ("jpki", ["jpki"]))
        configure("{native, jpki, piv}", jpki="native")
        self.assertEqual((self.read(), looked_for()), ("jpki", ["jpki"]))

    def register(self, name):
        holder = w.ctl("holder", "add", "--name", name)["id"]
        w.make_piv(name)
        code = w.ctl("holder", "code", name, "--profile", "piv")["secret"]
        lay(name)
        reading, writing = os.pipe()
        os.write(writing, code.encode() + b"\n")
        os.close(writing)
        pins, to_pins = os.pipe()
        os.write(to_pins, f"{PIN}\n".encode())
        os.close(to_pins)
        try:
            done = run([w.program("cardlink"), "--config", w.etc / "cut.conf", "--json", "register", "--timeout", "10", "--code-fd", reading,
                        "--pin-fd", pins], env=w.env, ok=(0, 1, 3), pass_fds=(reading, pins), timeout=120)
        finally:
            os.close(reading)
            os.close(pins)
        said = json.loads([line for line in done.stdout.splitlines() if line.startswith(b"{")][-1])
        self.assertEqual((said.get("outcome"), said.get("holder")), ("registered", holder), said)

    def test_a_holder_registers_by_it(self):
        configure("{jpki, piv}")
        self.register("Nori")
        self.assertEqual(looked_for(), ["jpki", "piv"])
        configure("{jpki, piv}", piv="piv")
        self.register("Saki")
        self.assertEqual(looked_for(), ["piv"])


class Agent(unittest.TestCase):
    """It holds a script for the first of the configured profiles, and cards of others come."""

    def events(self, name):
        said = (json.loads(line) for line in w.log_of(name).splitlines() if line.startswith("{") and line.endswith("}"))
        return [event for event in said if str(event.get("event")).startswith("tap.")]

    def serve(self, name, *cards):
        """The agent meets these cards one after the other; what it said of each, and what was looked for on it."""
        reader.lay(w.folder / "nowhere")
        link.arm()
        agent = w.spawn(name, [w.program("cardlink"), "--config", w.etc / "cut.conf", "--json", "agent", "--service", "nginx"])
        seen = []
        try:
            wait_until("a script to be held", lambda: begun() == 1, 20 * PATIENCE, agent)
            for number, card in enumerate(cards):
                place = w.lay(card)
                reader.arm()
                reader.lay(place)
                wait_until(f"{card}'s tap", lambda n=number: len(self.events(name)) > n, 20 * PATIENCE, agent)
                said = self.events(name)[-1]
                self.assertEqual((said["event"], said.get("card")), ("tap.accepted", w.card_ids[card]), said)
                seen.append((card, said["prefetched"], looked_for(), begun()))
        finally:
            w.stop_one(name)
        return seen

    def test_what_is_held_is_kept_for_the_next_card(self):
        for name, hints, looked in (("hinted", {"piv": "piv"}, ["piv"]), ("unhinted", {}, ["native", "piv"])):
            with self.subTest(name):
                configure("{native, piv}", prefetch=True, **hints)
                self.assertEqual(self.serve(f"agent-{name}", "Kenji", "Hanako"),
                                 [("Kenji", False, looked, 2), ("Hanako", True, ["native"], 2)])

    def test_of_a_wrong_hint_the_script_that_is_held_is_used_all_the_same(self):
        configure("{native, piv}", prefetch=True, native="piv")
        self.assertEqual(self.serve("agent-wrong", "Hanako"), [("Hanako", True, ["piv", "native"], 1)])


class ZRecord(unittest.TestCase):
    def test_the_record_is_whole(self):
        self.assertTrue(w.verify()["verified"])


if __name__ == "__main__":
    main()

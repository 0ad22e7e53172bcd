# SPDX-License-Identifier: GPL-3.0-or-later
"""The authority above brokers gets a new key: cards that are in use are moved to it while they are tapped, and the old one is retired."""

import subprocess
import sys
import unittest
from pathlib import Path

from world import main, run, world

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from cuts import AFTER, BEFORE, CutLink, CutReader  # noqa: E402

w = None


def setUpModule():
    global w
    w = world()
    for name in ("Hanako", "Taro", "Jiro"):     # Jiro will not come
        w.add_holder(name)


def tearDownModule():
    if w:
        w.tear_down()


def hsmd(*args, **options):
    return run([w.program("cardbroker-hsmd"), "--config", w.etc / "hsmd.conf", *args], env=w.env, **options)


def certify(number):
    """The next key of the authority, and the broker's certificates under it for the HSM's pair of that number."""
    authority = w.pki / f"brokers-{number}"
    w.issuer("authority", "new", "--folder", authority, "--name", "BROKERS")
    for use in ("agreement", "signature"):
        pem = hsmd("--public-key", f"card-{use}.{number}").stdout
        der = w.pki / f"card-{use}.{number}.der"
        der.write_bytes(run(["openssl", "pkey", "-pubin", "-outform", "DER"], data=pem).stdout)
        w.issuer("broker", "certify", "--authority", authority, "--use", use, "--key", der, "--name", "BROKER",
                 "--out", w.pki / f"{use}-{number}.cvc")
    return authority


def configure(newest, former):
    text = (w.etc / "hsmd.conf").read_text()
    head = text[:text.index("certificates {")]
    first = {"agreement": w.pki / "broker-agreement.cvc", "signature": w.pki / "broker-signer.cvc"}

    def file(use, number):
        return first[use] if number == 1 else w.pki / f"{use}-{number}.cvc"
    sections = "".join(f'''    former "{n}" {{
        agreement = "{file("agreement", n)}"
        signer = "{file("signature", n)}"
        link = "{w.pki}/link-{n}.cvc"
    }}
''' for n in former)
    (w.etc / "hsmd.conf").write_text(f'''{head}certificates {{
    key-id = 0x10
    key-version = {newest}
    agreement = "{file("agreement", newest)}"
    signer = "{file("signature", newest)}"
{sections}}}
''')
    w.restart_hsmd()


def generation(name):
    return w.ctl("card", "show", w.card_ids[name])["generation"]


def keys_of(card):
    """The versions that it has, from its file (cardlink/card/native/state.c)."""
    data = (w.cards / f"{card}.card").read_bytes()
    at = 6 + 1 + 16 + 32 + 32
    at += 1 + data[at]
    versions, count, at = [], data[at], at + 1
    for _ in range(count):
        versions.append(data[at + 1])
        at += 3 + data[at + 2] + 65
    return versions


def counts():
    return {row["generation"]: row["cards"] for row in w.ctl("report", "generations")}


class Roll(unittest.TestCase):
    def test_1_under_the_first_generation(self):
        self.assertEqual(counts(), {0: 3})
        self.assertEqual(w.tap_with("Hanako").get("outcome"), "accepted")
        self.assertEqual(generation("Hanako"), 1)
        self.assertEqual(counts(), {0: 2, 1: 1})
        self.assertIsNone(generation("Jiro"))

    def test_2_cards_are_moved_while_they_are_tapped(self):
        hsmd("--new-card-keys")
        authority = certify(2)
        w.issuer("authority", "link", "--authority", w.pki / "brokers", "--key-version", "01",
                 "--broker", f"{authority}/authority.cvc:10:02", "--out", w.pki / "link-1.cvc")
        configure(2, [1])
        for name in ("Hanako", "Taro"):
            self.assertEqual(w.tap_with(name).get("outcome"), "accepted")
            self.assertEqual(generation(name), 2)
            self.assertEqual(w.tap().get("outcome"), "accepted")
        self.assertEqual(counts(), {0: 1, 2: 2})
        said = [w.fields(leaf) for leaf in w.leaves("--kind", "card.generation")]
        self.assertEqual([leaf["generation"] for leaf in said if leaf["card"] == w.card_ids["Hanako"]], ["1", "2"])

    def test_2b_a_card_is_moved_or_is_not_wherever_its_tap_is_cut(self):
        """At each command and each exchange of the tap that moves it, with a fresh card each time."""
        w.enrol_terminal_freely("cut")
        reader, link = CutReader(w.folder / "cut"), CutLink(w, "cut")
        self.addCleanup(reader.close)
        self.addCleanup(link.close)
        conf = w.etc / "cut.conf"
        conf.write_text(conf.read_text().replace(f":{w.port}", f":{link.port}").replace(f'readers = "{w.readers}"', f'readers = "virtual:{reader.path}"')
                        + "timeout = 1\n")
        w.add_holder("Saburo")
        cards = []

        def lay_another():
            if cards:
                w.take_away(cards[-1])
            cards.append(f"cut{len(cards)}")
            w.issue("Saburo", cards[-1])
            self.assertEqual(keys_of(cards[-1]), [1])
            reader.lay(w.lay(cards[-1]))

        def tap(command=(), exchange=()):
            lay_another()
            reader.arm(*command)
            link.arm(*exchange)
            return w.tap(terminal="cut", seconds=5)

        def moves():
            reader.arm()
            link.arm()
            self.assertEqual(w.tap(terminal="cut").get("outcome"), "accepted")
            self.assertEqual((keys_of(cards[-1])[-1], generation(cards[-1])), (2, 2))
        reader.lay(w.lay("Saburo"))
        self.assertEqual(w.tap(terminal="cut").get("outcome"), "accepted")
        w.take_away("Saburo")
        commands, exchanges, accepted = reader.count, link.count, []
        for nth, when, down in ((nth, when, down) for nth in range(1, exchanges + 1) for when in (BEFORE, AFTER) for down in (True, False)):
            with self.subTest(f"{when} exchange {nth} of {exchanges}, {'and none afterwards' if down else 'once'}"):
                said = tap(exchange=(nth, when, down))
                if down:
                    self.assertEqual(said.get("code"), "tap.unheard" if nth == exchanges else "broker.unreachable")
                heard = (nth, when) == (exchanges, AFTER) or said.get("outcome") == "accepted"
                self.assertEqual(generation(cards[-1]), 2 if heard else None, "who has heard the proof knows")
                accepted.append(said.get("outcome") == "accepted")
                moves()
        self.assertIn(True, accepted, "a link that was cut once is used again")
        seen = []
        for nth, when in ((nth, when) for nth in range(1, commands + 1) for when in (BEFORE, AFTER)):
            with self.subTest(f"{when} command {nth} of {commands}"):
                self.assertEqual(tap(command=(nth, when)).get("code"), "card.removed")
                seen.append(keys_of(cards[-1]))
                moves()
        # The one before stays until the new one has served a whole session.
        moved = seen.index([1, 2])
        self.assertGreater(moved, 0)
        self.assertEqual(seen, [[1]] * moved + [[1, 2]] * (len(seen) - moved))

    def test_3_the_first_generation_is_retired_by_who_knows_what_it_costs(self):
        for lose in ((), ("--lose", "2")):
            done = self.retire(1, *lose)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"generation.cards", done.stderr)
            self.assertIn(b"1 were not heard of yet", done.stderr)
        done = self.retire(2, "--lose", "3")    # the one in use
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"resource.state", done.stderr)
        self.assertEqual(w.leaves("--kind", "generation.retired"), [], "what hsmd refuses is not on record as done")
        self.assertEqual(self.retire(1, "--lose", "1").returncode, 0)
        self.assertEqual(self.retire(1, "--lose", "1").returncode, 0)   # again
        leaf = w.fields(w.leaves("--kind", "generation.retired")[-1])
        self.assertEqual((leaf["generation"], leaf["cards"], leaf["unseen"]), ("1", "0", "1"))

    def retire(self, version, *options):
        return subprocess.run([w.program("cardbrokerctl"), "--config", w.etc / "cardbrokerctl.conf", "generation", "retire",
                               str(version), "--reason", "new-key", *options], env=w.env, capture_output=True, timeout=60)

    def test_4_who_came_goes_on_and_who_never_came_is_told_what_to_do(self):
        for _ in range(2):
            for name in ("Hanako", "Taro"):
                self.assertEqual(w.tap_with(name).get("outcome"), "accepted")
            said = w.tap_with("Jiro")
            self.assertEqual(said.get("code"), "card.generation")
            self.assertIn("replacement card", said.get("detail") or said.get("message") or str(said))
            w.restart_hsmd()    # it is remembered

    def test_5_a_replacement_is_under_the_second_generation(self):
        new = w.make_card("Jiro2", broker="brokers-2/authority.cvc:10:02")
        w.ctl("card", "replace", w.card_ids["Jiro"], "--certificate", new)
        self.assertEqual(w.tap_with("Jiro2").get("outcome"), "accepted")

    def test_6_an_older_configuration_brings_nothing_back(self):
        configure(1, [])
        self.assertEqual(w.tap_with("Hanako").get("code"), "hsm.unavailable")
        configure(2, [])
        self.assertEqual(w.tap_with("Hanako").get("outcome"), "accepted")
        self.assertTrue(w.verify()["verified"])


if __name__ == "__main__":
    main()

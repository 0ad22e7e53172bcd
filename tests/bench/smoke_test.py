# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/bench/run works: figures come out and can be true. How fast anything is is judged by nobody here."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

RUN = Path(__file__).resolve().parent / "run"
sys.path.insert(0, str(RUN.parent))

sys.path.insert(0, str(RUN.parents[1] / "e2e"))

import contactless  # noqa: E402
import many_cards  # noqa: E402


# Commands for a card of each kind, exactly, and the bytes that it answers at most (ECDSA signatures in DER are of several lengths): what
# identifies it, whether it compares a PIN in the clear (PIV), and what proves it. A certificate would not fit.
ASKED_OF = {"native": (7, 434), "native, PIN": (8, 444), "PIV 9E": (4, 165), "PIV 9E P-384": (4, 197), "PIV 9E RSA-2048": (6, 356),
            "PIV 9A P-256, PIN": (6, 169), "PIV 9A P-384, PIN": (6, 201),
            "PIV 9A RSA-2048, PIN": (8, 360), "PIV 9E, secured": (4, 448), "PIV 9A P-256, PIN, secured": (6, 452), "JPKI, PIN": (7, 318),
            "SCP03": (4, 96), "SCP03, AES-192": (4, 96), "SCP03, AES-128": (4, 96)}


class Smoke(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        done = subprocess.run([sys.executable, RUN, "--quick", "--seconds", "0.5", "--json", "-"], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        cls.table, cls.figures = done.stderr, json.loads(done.stdout)

    def test_cards_tapped_and_none_failed(self):
        rows = self.figures["taps"]["rows"]
        self.assertEqual([row["cards"] for row in rows], [1, 8])
        for row in rows:
            with self.subTest(cards=row["cards"]):
                self.assertGreater(row["taps"], 0)
                self.assertEqual(row["failures"], 0)
                self.assertLessEqual(row["server_p50"], row["server_p99"])
                self.assertGreaterEqual(row["server_p50"], row["proof_p50"])

    def test_the_cpu_of_taps_and_of_their_floor_were_counted(self):
        taps = self.figures["taps"]
        self.assertGreater(taps["floor_us"], 0)
        self.assertTrue(all(part["us"] > 0 for part in taps["floor"].values()), taps["floor"])
        for row in taps["rows"]:
            self.assertGreater(row["cpu_over_floor"], 0)
            self.assertTrue(all(us > 0 for us in row["cpu_us"].values()), row["cpu_us"])

    def test_every_kind_of_key_was_measured_against_its_floor(self):
        kinds = {row["key"]: row for row in self.figures["keys"]["keys"]}
        self.assertLessEqual({"ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "hmac-sha256", "secret"}, set(kinds))
        self.assertTrue(all(row["sealed_us"] > 0 and row["floor_us"] > 0 for row in kinds.values()), kinds)

    def test_every_kind_of_card_tapped_and_was_counted(self):
        rows = {row["kind"]: row for row in self.figures["profiles"]}
        self.assertEqual(set(rows), set(ASKED_OF))
        for kind, row in rows.items():
            with self.subTest(kind=kind):
                self.assertGreater(row["taps"], 0)
                self.assertEqual(row["failures"], 0, row["failure"])
                self.assertEqual(row["exchanges"], 3)
                self.assertEqual(row["apdus"], ASKED_OF[kind][0])
                self.assertLessEqual(row["to_host"], ASKED_OF[kind][1])
                self.assertGreaterEqual(row["blocks"], 2 * row["apdus"])
                self.assertGreater(row["to_card"], 4 * row["apdus"])
                self.assertGreater(row["to_host"], 2 * row["apdus"])
                self.assertTrue(all(us > 0 for us in row["cpu_us"].values()), row["cpu_us"])

    def test_the_cards_did_what_their_profiles_ask_of_them(self):
        did = {row["kind"]: {name: times for name, times in row["operations"].items() if times} for row in self.figures["profiles"]}
        public_key = {kind: {name: times for name, times in each.items() if name in contactless.PUBLIC_KEY} for kind, each in did.items()}
        native = {"p256_generate": 1, "p256_agree": 2, "p256_sign": 1, "p256_verify": 1}
        self.assertEqual(public_key, {
            "native": native, "native, PIN": {**native, "p256_agree": 3}, "PIV 9E": {"p256_sign": 1},
            "PIV 9E P-384": {"p384_sign": 1}, "PIV 9E RSA-2048": {"rsa_2048": 1}, "PIV 9A P-256, PIN": {"p256_sign": 1},
            "PIV 9E, secured": {"p256_agree": 1, "p256_sign": 1}, "PIV 9A P-256, PIN, secured": {"p256_agree": 1, "p256_sign": 1},
            "PIV 9A P-384, PIN": {"p384_sign": 1}, "PIV 9A RSA-2048, PIN": {"rsa_2048": 1}, "JPKI, PIN": {"rsa_2048": 1}, "SCP03": {},
            "SCP03, AES-192": {}, "SCP03, AES-128": {}})
        # A key of 32 or 24 bytes is two blocks, one of 16 is one: two or three keys are made for a session.
        self.assertEqual(did["SCP03, AES-192"]["aes"], did["SCP03"]["aes"])
        self.assertTrue(0 < did["SCP03, AES-128"]["aes"] < did["SCP03"]["aes"], did)
        for kind in ("PIV 9E", "PIV 9A P-256, PIN"):
            with self.subTest(kind=kind):
                self.assertFalse({"aes", "aes_cbc"} & set(did[kind]))
                self.assertGreater(did[f"{kind}, secured"]["aes"], 0)       # MACs, and vectors
                self.assertGreater(did[f"{kind}, secured"]["aes_cbc"], 0)   # what is in the commands and answers

    def test_a_password_logged_in_and_what_it_took_the_terminal_is_told_apart(self):
        row = self.figures["password"]
        self.assertGreater(row["taps"], 0)
        self.assertEqual((row["failures"], row["exchanges"]), (0, 3), row["failure"])
        self.assertTrue(0 < row["derive_p50"] <= row["card_p50"], row)
        self.assertEqual((row["apdus"], sum(row["operations"].values())), (0, 0))     # there is no card

    def test_both_servers_answered(self):
        for server in ("product", "libmicrohttpd"):
            for way, row in self.figures["acceptor"][server].items():
                with self.subTest(server=server, way=way):
                    self.assertGreater(row["a_second"], 0)
                    self.assertGreater(row["cpu_us"], 0)
                    self.assertEqual(row["closed"], 0)

    def test_nothing_was_accepted_after_a_revocation(self):
        answered, refused = (self.figures["revocation"][key] for key in ("ms", "refused_ms"))
        self.assertEqual((len(answered), len(refused)), (3, 3))     # it ends with an error otherwise
        self.assertTrue(all(0 < first < then for first, then in zip(answered, refused)), (answered, refused))

    def test_every_number_of_workers_tapped(self):
        self.assertEqual([row["workers"] for row in self.figures["workers"]], [2])
        for row in self.figures["workers"]:
            self.assertGreater(row["taps_per_second"], 0)
            self.assertEqual(row["failures"], 0, row["failure"])
            self.assertEqual((row["keys"]["workers"], row["keys"]["uses"]), (2, 200))
            self.assertGreater(row["keys"]["sealed_per_second"], 0)
            self.assertGreater(row["keys"]["bare_per_second"], 0)

    def test_taps_were_measured_with_more_and_more_keys(self):
        rows = self.figures["scale"]
        self.assertEqual([(row["cards"], row["keys"]) for row in rows], [(100, 1000), (1000, 10000)])
        for row in rows:
            self.assertGreater(row["leaves"], row["keys"])
            for way in ("found", "read_through"):
                self.assertGreater(row[way]["t1_p50"], 0)
                self.assertGreater(row[way]["t2_p50"], 0)
                self.assertTrue(0 < row[way]["cached"] <= 1, row)
            self.assertGreater(row["read_through"]["cached"], 0.99)

    def test_whole_taps_were_measured_with_more_and_more_cards_beside_those_that_tap(self):
        rows = self.figures["whole"]
        self.assertEqual([(row["cards"], row["keys"]) for row in rows], [(100, 1000), (1000, 10000)])
        for row in rows:
            self.assertGreater(row["leaves"], row["keys"])
            self.assertTrue(0 < row["cached"] <= 1, row)
            self.assertTrue(0 < row["first_tap_s"] <= row["read_s"], row)
            self.assertTrue(all(row[part] > 0 for part in ("file_mb", "bound_mb", "resident_mb")), row)
            taps, = row["taps"]
            self.assertEqual((taps["cards"], taps["at_a_time"], taps["failures"]), (6, 2, 0), taps["failure"])
            self.assertEqual(set(taps["by_profile"]), {"native", "piv", "jpki", "scp03"})
            self.assertEqual(sum(each["taps"] for each in taps["by_profile"].values()), taps["taps"])
            self.assertGreater(taps["taps"], 0)
            self.assertTrue(all(us > 0 for us in taps["cpu_us"].values()), taps["cpu_us"])
        for part in ("leaves", "file_mb", "bound_mb"):
            self.assertGreater(rows[1][part], rows[0][part])

    def test_bindings_were_measured_with_their_file_in_memory_and_without(self):
        row, = self.figures["bound"]
        self.assertEqual(row["cards"], 1000)
        for part in ("memory_mb", "resident_mb", "tap_p50", "bind_p50", "cold_p50", "tap_cpu_us", "bind_cpu_us", "cold_cpu_us"):
            self.assertGreater(row[part], 0, row)

    def test_the_peer_was_measured_where_it_is(self):
        rows = self.figures["peer"]
        self.assertEqual(len(rows), 2 if shutil.which("glewlwyd") else 0)
        for row in rows:
            self.assertGreater(row["logins"], 0)

    def test_memory_and_machine_are_said(self):
        self.assertTrue(all(mb > 0 for mb in self.figures["memory"]["idle_mb"].values()), self.figures["memory"])
        self.assertGreater(self.figures["machine"]["cores"], 0)

    def test_all_of_it_is_in_the_table(self):
        for words in ("× floor", "bare PKCS#11", "libmicrohttpd", "revocation under load", "resident memory", "cores", "workers",
                      "sealed keys", "read through", "cards bound", "first tap after the start", "Argon2id at the terminal", "PIV 9E, secured", "operations of the card", "mid-range chip", "after contact for a native card"):
            self.assertIn(words, self.table)


class Figures(unittest.TestCase):
    FIGURES = {"machine": {"cpu": "a processor", "cores": 2, "kernel": "6", "load": 0.1}}

    def handed_out(self, place):
        loader = importlib.machinery.SourceFileLoader("run", str(RUN))
        run = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
        loader.exec_module(run)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run.hand_out(self.FIGURES, place)
        return out.getvalue(), err.getvalue()

    def test_on_standard_output_there_is_nothing_beside_them(self):
        out, err = self.handed_out("-")
        self.assertEqual(json.loads(out), self.FIGURES)
        self.assertIn("a processor", err)

    def test_a_file_has_them_and_the_tables_are_printed(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "figures.json"
            out, err = self.handed_out(file)
            self.assertEqual(json.loads(file.read_text()), self.FIGURES)
        self.assertEqual(err, "")
        self.assertIn("a processor", out)


class ManyCards(unittest.TestCase):
    def test_each_line_of_a_file_is_a_card_once_or_a_bad_one_reported_once_though_the_run_was_killed(self):
        row = many_cards.measure(1500, threads=4, kills=3)      # fails by itself if one is missing, double or wrongly turned down
        self.assertEqual((row["cards"], row["bad"], row["killed"]), (1500, 15, 3))
        self.assertGreater(row["changes"], 0)
        self.assertGreater(row["bars"], 0)

    def test_so_is_each_card_that_others_issued(self):
        row = many_cards.measure(500, threads=4, kills=3, others=True)
        self.assertEqual((row["cards"], row["bad"], row["killed"]), (500, 5, 3))


class Reckoning(unittest.TestCase):
    """Taps with a chip, reckoned by hand."""

    NOTHING = {name: 0 for name in [*contactless.CHIPS["mid-range"], "save"] if name != "name"}
    ROW = {"apdus": 2, "blocks": 4, "to_card": 100, "to_host": 60, "exchanges": 3, "server_p50": 9000, "begin_p50": 1000,
           "operations": {**NOTHING, "p256_sign": 2, "sha256": 1, "save": 3}}

    def test_bytes_on_the_air_take_nine_bits(self):
        # Two commands and two answers of one block each: 160 bytes, and three around each of four blocks.
        self.assertAlmostEqual(contactless.link(self.ROW, 106), contactless.ACTIVATION_MS + 2 * contactless.COMMAND_MS +
                               (160 + 12) * 9 / 106 + 4 * 1172 / 13560)

    def test_what_needs_two_blocks_is_acknowledged_once(self):
        longer = {**self.ROW, "apdus": 1, "blocks": 3, "to_card": 261, "to_host": 2}
        self.assertAlmostEqual(contactless.link(longer, 424), contactless.ACTIVATION_MS + contactless.COMMAND_MS +
                               (263 + 12) * 9 / 424 + 4 * 1172 / 13560)

    def test_a_chip_takes_as_long_as_its_operations(self):
        chip = contactless.CHIPS["mid-range"]
        asymmetric, other = contactless.computing(self.ROW, "mid-range")
        self.assertAlmostEqual(asymmetric, 2 * chip["p256_sign"])
        self.assertAlmostEqual(other, chip["sha256"] + 3 * contactless.SAVE_MS)

    def test_a_script_held_in_advance_saves_an_exchange_and_its_answer(self):
        without, held = (contactless.tap(self.ROW, "newer", 106, 20, held) for held in (False, True))
        self.assertEqual((without["network"], held["network"]), (60, 40))
        self.assertEqual((without["server"], held["server"]), (9, 8))
        self.assertAlmostEqual(contactless.total(self.ROW, "newer", held=False) - contactless.total(self.ROW, "newer"), 21)


if __name__ == "__main__":
    unittest.main()

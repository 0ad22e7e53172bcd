# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/bench/run works: figures come out and can be true. How fast anything is is judged by nobody here."""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

RUN = Path(__file__).resolve().parent / "run"


class Smoke(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "figures.json"
            done = subprocess.run([sys.executable, RUN, "--quick", "--seconds", "0.5", "--json", file],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
            cls.table, cls.figures = done.stdout, json.loads(file.read_text())

    def test_cards_tapped_and_none_failed(self):
        rows = self.figures["taps"]["rows"]
        self.assertEqual([row["cards"] for row in rows], [1, 8])
        for row in rows:
            with self.subTest(cards=row["cards"]):
                self.assertGreater(row["taps"], 0)
                self.assertEqual(row["failures"], 0)
                self.assertLessEqual(row["server_p50"], row["server_p99"])
                self.assertGreaterEqual(row["server_p50"], row["proof_p50"])

    def test_no_tap_costs_less_than_its_floor(self):
        taps = self.figures["taps"]
        self.assertGreater(taps["floor_us"], 0)
        self.assertTrue(all(part["us"] > 0 for part in taps["floor"].values()), taps["floor"])
        for row in taps["rows"]:
            self.assertGreater(row["cpu_over_floor"], 1)
            self.assertTrue(all(us > 0 for us in row["cpu_us"].values()), row["cpu_us"])

    def test_every_kind_of_key_was_measured_against_its_floor(self):
        kinds = {row["key"]: row for row in self.figures["keys"]["keys"]}
        self.assertLessEqual({"ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "hmac-sha256", "secret"}, set(kinds))
        self.assertTrue(all(row["sealed_us"] > 0 and row["floor_us"] > 0 for row in kinds.values()), kinds)

    def test_both_servers_answered(self):
        for server in ("product", "libmicrohttpd"):
            for way, row in self.figures["acceptor"][server].items():
                with self.subTest(server=server, way=way):
                    self.assertGreater(row["a_second"], 0)
                    self.assertGreater(row["cpu_us"], 0)
                    self.assertEqual(row["closed"], 0)

    def test_nothing_was_accepted_after_a_revocation(self):
        self.assertEqual(len(self.figures["revocation"]["ms"]), 3)      # it ends with an error otherwise

    def test_every_number_of_workers_tapped(self):
        self.assertEqual([row["workers"] for row in self.figures["workers"]], [2])
        for row in self.figures["workers"]:
            self.assertGreater(row["taps_per_second"], 0)
            self.assertEqual(row["failures"], 0, row["failure"])
            self.assertGreater(row["sealed_us"], 0)
            self.assertGreater(row["bare_us"], 0)

    def test_taps_were_measured_with_more_and_more_keys(self):
        rows = self.figures["scale"]
        self.assertEqual([row["keys"] for row in rows], [1000, 10000])
        for row in rows:
            self.assertGreater(row["leaves"], row["keys"])
            self.assertGreater(row["t1_p50"], 0)
            self.assertGreater(row["t2_p50"], 0)

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
                      "sealed keys"):
            self.assertIn(words, self.table)


if __name__ == "__main__":
    unittest.main()

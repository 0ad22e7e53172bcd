#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cardbrokerctl: the record and the broker's keys.

usage: ctl_audit_test.py CTL [NAME...]
"""
import hashlib
import json
import subprocess
import unittest

from ctl_support import CARD, CTL, ERRORS, HOLDER, NEW, OTHER, Case, openssl, problem


def node(hashes):
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + node(hashes[:split]) + node(hashes[split:])).digest()


class Audits(Case):
    TIME = 1767225600000000
    TEXT = "2026-01-01T00:00:00.000000Z"

    def setUp(self):
        super().setUp()
        self.key = self.folder / "log.pem"
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", self.key)
        self.write("log.der", openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER"))
        self.public = self.write("public.pem", openssl("pkey", "-in", self.key, "-pubout"))
        self.leaves = [self.leaf("holder.add", f"holder {HOLDER}\nactor uid 0"), self.leaf("card.add", f"card {CARD}\nholder {HOLDER}\nstate issued"),
                       self.leaf("holder.add", f"holder {OTHER}\nactor \\x1b[2J")]
        self.publish()

    def leaf(self, kind, rest):
        return f"cardbroker-evidence 1\nkind {kind}\ntime {self.TEXT}\n{rest}\n".encode()

    def head(self, size, origin="example"):
        root = node([hashlib.sha256(b"\x00" + leaf).digest() for leaf in self.leaves[:size]]).hex()
        text = f"cardbroker-log-head 1\norigin {origin}\nsize {size}\nroot {root}\ntime {self.TEXT}\n"
        signature = openssl("dgst", "-sha256", "-sign", self.key, data=text.encode())
        parts, at = [], 2
        for _ in range(2):
            length = signature[at + 1]
            parts.append(int.from_bytes(signature[at + 2:at + 2 + length], "big").to_bytes(32, "big"))
            at += 2 + length
        return {"size": size, "root": root, "time": self.TEXT, "time_us": self.TIME, "signature": b"".join(parts).hex()}

    def publish(self, heads=None):
        rows = [{"position": i, "data": leaf.hex(), "hash": hashlib.sha256(b"\x00" + leaf).hexdigest()} for i, leaf in enumerate(self.leaves)]
        end = len(rows)
        self.fake.on("GET", "/v1/audit/leaves?from=0&count=500", 200, {"leaves": rows})
        self.fake.on("GET", f"/v1/audit/leaves?from={end}&count=500", 200, {"leaves": []})
        self.fake.on("GET", f"/v1/audit/leaves?from=1&count=500", 200, {"leaves": rows[1:]})
        self.fake.on("GET", "/v1/audit/heads?from=1&count=500", 200, {"heads": heads if heads is not None else [self.head(1), self.head(end)]})
        for size in range(2, end + 2):
            self.fake.on("GET", f"/v1/audit/heads?from={size}&count=500", 200, {"heads": []})
        return rows

    def test_list(self):
        lines = self.ok("audit", "list").splitlines()
        self.assertEqual(len(lines), 3)
        self.assertIn(f"holder.add  holder {HOLDER}", lines[0])
        self.assertNotIn("\x1b", lines[2])
        self.assertEqual([row["position"] for row in self.as_json("audit", "list", "--kind", "holder")], [0, 2])
        self.assertEqual([row["position"] for row in self.as_json("audit", "list", "--card", CARD, "--card", NEW)], [1])
        self.assertEqual([row["position"] for row in self.as_json("audit", "list", "--from", "1", "--count", "1")], [1])
        self.assertEqual(self.as_json("audit", "list", "--kind", "hold"), [])
        self.fake.on("GET", "/v1/status", 200, {"store": {"leaves": 3}})
        self.assertEqual([row["position"] for row in self.as_json("audit", "list", "--last", "2")], [1, 2])

    def test_a_good_record_is_verified(self):
        text = self.ok("audit", "verify", "--log-key", self.public, "--origin", "example")
        self.assertTrue(text.startswith("verified: 3 leaves, 2 heads, 0 findings\n"), text)
        result = self.as_json("audit", "verify", "--log-key", self.public, "--origin", "example")
        self.assertEqual((result["verified"], result["findings"], result["head"]["size"]), (True, [], 3))

    def test_without_a_key_of_ones_own_there_is_a_warning(self):
        result = self.run_ctl("audit", "verify", "--origin", "example")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("auditor's own copy", result.stderr)
        self.assertEqual(self.run_ctl("audit", "verify", "--log-key", self.public).returncode, 2)
        config = self.write("ctl.conf", f'run = "{self.folder}"\norigin = "example"\nlog-key = "{self.public}"\n')
        result = subprocess.run([CTL, "audit", "verify", "--config", str(config)], text=True, capture_output=True, check=False, timeout=20)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def findings(self, *more):
        result = self.run_ctl("audit", "verify", "--log-key", self.public, "--origin", "example", "--json", *more)
        self.assertEqual(result.returncode, 1, result.stderr)
        return {finding["what"] for finding in json.loads(result.stdout)["findings"]}

    def test_an_edited_leaf_is_found(self):
        heads = [self.head(1), self.head(3)]
        self.leaves[1] = self.leaves[1].replace(b"issued", b"active")
        self.publish(heads)
        self.assertEqual(self.findings(), {"head.root"})

    def test_a_missing_end_is_found(self):
        heads = [self.head(1), self.head(3)]
        del self.leaves[2]
        self.publish(heads)
        self.assertEqual(self.findings(), {"head.beyond"})

    def test_another_key_and_another_log_are_found(self):
        self.publish([self.head(1), self.head(3, "other")])
        self.assertEqual(self.findings(), {"head.signature"})
        text = self.run_ctl("audit", "verify", "--log-key", self.public, "--origin", "example").stdout
        self.assertIn("head.signature", text)
        self.assertIn("NOT verified", text)

    def test_receipts_are_shown_to_hsmd(self):
        false = self.leaf("note", "receipt " + b"Xfalse".hex())
        self.leaves += [self.leaf("note", "receipt " + b"Rgood".hex() + "\nreceipt " + b"Ralso".hex()), false]
        self.publish()
        found = self.findings()
        self.assertIn("receipt.genuine", found)
        self.assertEqual((self.folder / "hsm-calls").read_text().count("receipt_check"), 3)
        self.hsm_fails("receipt_check", ERRORS["hsm.unavailable"])
        result = self.run_ctl("audit", "verify", "--log-key", self.public, "--origin", "example", "--json")
        self.assertIn("hsmd does not check receipts", result.stderr)
        self.assertFalse(json.loads(result.stdout)["receipts_checked"])

    def test_a_record_that_cannot_be_read_is_not_verified(self):
        self.fake.on("GET", "/v1/audit/leaves?from=3&count=500", 503, problem("store.unavailable", "Later.", 503))
        self.fails(69, "nothing can be said", "audit", "verify", "--log-key", self.public, "--origin", "example")
        rows = self.publish()
        self.fake.on("GET", "/v1/audit/leaves?from=3&count=500", 200, {"leaves": rows})  # round and round
        self.fails(1, "nothing can be said", "audit", "verify", "--log-key", self.public, "--origin", "example")

    def test_keys(self):
        shown = self.as_json("key", "show", "log")
        self.assertEqual(shown["pem"], self.public.read_text())
        self.assertEqual(shown["sha256"], hashlib.sha256((self.folder / "log.der").read_bytes()).hexdigest())
        self.assertEqual(self.ok("key", "show", "log"), self.public.read_text())
        self.assertEqual(self.as_json("key", "new-generation"), {"generation": 2})
        self.hsm_fails("new_generation", ERRORS["hsm.token"])
        self.fails(1, "error [hsm.token]", "key", "new-generation")


if __name__ == "__main__":
    unittest.main(verbosity=1)

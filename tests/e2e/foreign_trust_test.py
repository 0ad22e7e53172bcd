# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom an installation trusts for cards that others issued: authorities beneath an anchor and the policies that they write, and the master key
of SCP03 cards on the token."""

import os
import secrets
import subprocess
import unittest

from foreign_world import ForeignWorld, Publisher
from world import PATIENCE, Failure, main, run, wait_until

ANY_POLICY = "2.5.29.32.0"
POLICIES = ("2.16.840.1.101.3.2.1.3.13", "2.16.840.1.101.3.2.1.3.17")      # of the cards' 9A and 9E
JPKI_POLICY, JPKI_OTHER_POLICY = "1.2.392.200149.8.5.1.3.30", "1.2.392.200149.8.5.1.1.10"

w = None


class Lists(Publisher):
    """Each authority's list at its own address."""

    by_path = {}

    def do_GET(self):
        self.revoked = self.by_path.get(self.path, Publisher.revoked)
        super().do_GET()


class TrustWorld(ForeignWorld):
    """Cards come from authorities beneath the agency: one that writes policies, one that does not, and one that is not named."""

    PUBLISHER = Lists

    def write_hsmd_configuration(self):
        super().write_hsmd_configuration()
        for name, policy in (("between", ANY_POLICY), ("lax", None), ("unnamed", ANY_POLICY)):
            self.authority(name, policy)
        path = self.etc / "hsmd.conf"
        own = [line for line in path.read_text().splitlines() if not line.startswith("foreign")]
        anchors = f'anchors = {{ "{self.pki}/agency.pem" }}'
        policies = ", ".join(f'"{policy}"' for policy in POLICIES)
        path.write_text("\n".join([*own, f'foreign "piv" {{ {anchors} intermediates = {{ "{self.pki}/between.pem", "{self.pki}/lax.pem" }} '
                                         f"policies = {{ {policies} }} }}",
                                   f'foreign "jpki" {{ {anchors} policies = {{ "{JPKI_POLICY}" }} }}', ""]))

    def authority(self, name, policy):
        key, certificate, request, more = (self.pki / f"{name}.{part}" for part in ("key", "pem", "csr", "ext"))
        more.write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
                        + (f"certificatePolicies={policy}\n" if policy else ""))
        run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key,
             "-out", request])
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.pki / "agency.pem", "-CAkey", self.pki / "agency.key",
             "-set_serial", f"0x{secrets.token_hex(16)}", "-days", "300", "-extfile", more, "-out", certificate])
        os.chmod(key, 0o600)
        Lists.by_path[f"/{name}.crl"] = self.list_of(name)

    def configure(self):
        super().configure()
        with open(self.etc / "cardbroker.conf", "a", encoding="utf-8") as file:
            for name in ("between", "lax", "unnamed"):
                file.write(f'card-issuer "{name}" {{ certificate = "{self.pki}/{name}.pem" '
                           f'crl = {{"http://127.0.0.1:{self.publisher.server_port}/{name}.crl"}} }}\n')

    def hsmd_again(self, runs=True):
        if runs:
            self.stop_one("cardbroker-hsmd")
        self.start_hsmd()
        wait_until("hsmd to serve", lambda: self.admin("GET", "/v1/ready").status == 200, 20 * PATIENCE)


def setUpModule():
    global w
    w = TrustWorld()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()


class Authorities(unittest.TestCase):
    def refused(self, name, code):
        holder = w.ctl("holder", "add", "--name", name)["id"]
        self.assertRaisesRegex(Failure, code, w.ctl, "card", "register", "--holder", holder, "--card", w.read_card(name), "--activate")
        self.assertEqual(w.tap().get("code"), "card.unknown")

    def test_a_card_of_an_authority_that_is_named_and_writes_policies_gets_in(self):
        w.make_piv("Nao", agency="between")
        w.add_foreign_holder("Nao", ("nginx",))
        self.assertEqual(w.tap().get("outcome"), "accepted")

    def test_a_card_of_an_authority_that_writes_no_policy_is_not_registered(self):
        w.make_piv("Kei", agency="lax")
        self.refused("Kei", "certificate.policy")

    def test_a_card_of_an_authority_that_is_not_named_is_not_registered(self):
        w.make_piv("Shin", agency="unnamed")
        self.refused("Shin", "card.certificate")

    def test_a_jpki_card_needs_its_policy(self):
        w.make_jpki("Rei")
        w.add_foreign_holder("Rei", ())
        path = w.etc / "hsmd.conf"
        path.write_text(path.read_text().replace(JPKI_POLICY, JPKI_OTHER_POLICY))
        w.hsmd_again()
        w.make_jpki("Yu")
        self.refused("Yu", "certificate.policy")


class MasterKey(unittest.TestCase):
    def test_1_cards_of_a_master_key_of_every_length_get_in(self):
        for size in (16, 24, 32):
            with self.subTest(size):
                w.put_another_master(size=size)
                w.hsmd_again()
                name = f"Aes-{size}"
                w.make_scp03(name)
                w.add_foreign_holder(name, ("nginx",))
                accepted = w.tap()
                self.assertEqual((accepted.get("outcome"), accepted.get("level")), ("accepted", 1), accepted)

    def test_2_hsmd_does_not_start_with_one_that_can_be_read_or_is_of_another_kind(self):
        w.stop_one("cardbroker-hsmd")
        for wrong in ({"flags": ("--usage-sign", "--private")}, {"flags": ("--usage-sign", "--private", "--sensitive", "--extractable")},
                      {"size": 20}, {"kind": "DES3", "size": 24}):
            with self.subTest(wrong):
                w.put_another_master(**wrong)
                done = subprocess.run([w.program("cardbroker-hsmd"), "--config", w.etc / "hsmd.conf"], env=w.env, capture_output=True, text=True,
                                      timeout=20 * PATIENCE, check=False)
                self.assertEqual(done.returncode, 78, done.stderr)
                self.assertRegex(done.stderr, r'"keyring\.attributes".*"cardbroker\.scp03-master"')
        w.put_another_master()
        w.hsmd_again(runs=False)
        w.make_scp03("Sound")
        w.add_foreign_holder("Sound", ("nginx",))
        self.assertEqual(w.tap().get("outcome"), "accepted")


if __name__ == "__main__":
    main()

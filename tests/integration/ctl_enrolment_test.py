#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cardbrokerctl: enrolments, keys and secrets.

usage: ctl_enrolment_test.py CTL [NAME...]
"""
import base64
import json
import os
import pty
import time
import unittest

from ctl_support import CTL, ENROLMENT, ERRORS, HOLDER, HSM_DOWN_TEXT, OTHER, SESSION_KEY, Case, der, enrolment, openssl, problem


class Enrolments(Case):
    ADD = ["enrolment", "add", "--holder", HOLDER, "--service", "tax", "--algorithm"]

    def sealed(self, index=0, path="/v1/enrolments"):
        return bytes.fromhex(self.fake.asked("POST", path)[index]["sealed"]).decode()

    def test_add(self):
        data = self.write("data.json", '{"account": "x"}')
        self.assertEqual(self.ok(*self.ADD, "ec-p256", "--data", data, "--uses", "3"), f"enrolment {ENROLMENT} added, active\n")
        self.assertEqual(self.sealed(), f"generated {HOLDER} tax ec-p256 level=2 uses=3 sequence=1")
        sent, = self.fake.asked("POST", "/v1/enrolments")
        self.assertEqual((sent["holder"], sent["service"], sent["data"], sent["public_key"]), (HOLDER, "tax", {"account": "x"}, b"public".hex()))

    def test_a_request_and_its_subject(self):
        self.service(certificate=True)
        self.fake.on("POST", "/v1/enrolments", 201, enrolment("pending"))
        out, key = self.folder / "req.pem", self.folder / "key.pem"
        result = self.run_ctl(*self.ADD, "ec-p256", "--csr", out, "--public-key", key, "--subject", "CN=Tanaka\\, 花子,OU=a+UID=7,O=Example,C=JP")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"enrolment certify {ENROLMENT}", result.stderr)
        self.assertIn("BEGIN PUBLIC KEY", key.read_text())
        name = base64.b64decode("".join(out.read_text().splitlines()[1:-1]))
        self.assertEqual(self.spelled(name), "CN=Tanaka\\, 花子,UID=7+OU=a,O=Example,C=JP")

    def spelled(self, name):
        """What OpenSSL reads in a DER Name, by way of a request that carries it."""
        key = self.folder / "k.pem"
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
        request = openssl("req", "-new", "-key", key, "-subj", "/CN=x", "-outform", "DER")
        spki = openssl("pkey", "-in", key, "-pubout", "-outform", "DER")
        info = der(0x30, b"\x02\x01\x00" + name + spki + b"\xa0\x00")
        forged = der(0x30, info + der(0x30, bytes.fromhex("06082a8648ce3d040302")) + der(0x03, b"\x00" + b"\x30\x06\x02\x01\x01\x02\x01\x01"))
        self.assertTrue(request)
        text = openssl("req", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253,utf8,-esc_msb", data=forged).decode()
        return text.strip().removeprefix("subject=").strip()

    def test_openssl_makes_the_same_names(self):
        key = self.folder / "k2.pem"
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
        for subject, slashes in (("CN=y,O=X,C=JP", "/C=JP/O=X/CN=y"), ("CN=田中 花子,DC=example,DC=jp", "/DC=jp/DC=example/CN=田中 花子"),
                                 ("serialNumber=7+CN=a,ST=b,L=c,street=d,emailAddress=a@b.c", "/emailAddress=a@b.c/street=d/L=c/ST=b/CN=a+serialNumber=7")):
            out = self.folder / "same.pem"
            self.ok(*self.ADD, "ec-p256", "--csr", out, "--subject", subject)
            name = base64.b64decode("".join(out.read_text().splitlines()[1:-1]))
            request = openssl("req", "-new", "-utf8", "-key", key, "-subj", slashes, "-outform", "DER", "-multivalue-rdn")
            self.assertIn(name, request, subject)

    def test_a_service_that_needs_a_certificate_is_told_apart(self):
        self.service(certificate=True)
        self.fails(2, "needs a certificate", *self.ADD, "ec-p256")
        for words in (["--csr", "x"], ["--subject", "CN=x"], ["--csr", "x", "--subject", "nonsense"]):
            self.assertEqual(self.run_ctl(*self.ADD, "ec-p256", "--public-key", "-", *words).returncode, 2)
        self.assertEqual(self.fake.changes(), [])

    def test_wrong_keys_are_refused_before_anybody_is_asked(self):
        for words in (["des"], ["ec-p256", "--uses", "17"], ["ec-p256", "--uses", "0"], ["ec-p256", "--secret-fd", "0"], ["secret", "--public-key", "x"],
                      ["hmac-sha256", "--csr", "x", "--subject", "CN=x"], ["secret", "--secret-fd", "0", "--import", "x"], ["secret", "--secret-fd", "x"]):
            with self.subTest(words):
                self.assertEqual(self.run_ctl(*self.ADD, *words).returncode, 2)
        self.assertFalse((self.folder / "hsm-calls").exists())

    def test_a_refused_key_leaves_nothing_behind(self):
        out = self.folder / "req.pem"
        self.fake.on("POST", "/v1/enrolments", 409, problem("resource.exists", "It exists.", 409))
        self.fails(1, "nothing has changed", *self.ADD, "ec-p256", "--csr", out, "--subject", "CN=x")
        self.assertFalse(out.exists())
        self.hsm_fails("generate", ERRORS["hsm.unavailable"])
        self.fails(69, HSM_DOWN_TEXT, *self.ADD, "ec-p256", "--csr", out, "--subject", "CN=x")
        self.assertFalse(out.exists())

    def test_a_key_that_may_be_recorded_keeps_its_request(self):
        out = self.folder / "req.pem"
        for status, code in ((504, "evidence.unsigned"), (500, "internal.io")):
            self.fake.on("POST", "/v1/enrolments", status, problem(code, "Done, perhaps.", status))
            self.fails(1, "may be recorded", *self.ADD, "ec-p256", "--csr", out, "--subject", "CN=x")
            self.assertTrue(out.exists())
            out.unlink()

    def test_a_lost_answer_keeps_the_request(self):
        out = self.folder / "req.pem"
        for reply, status in ((None, 69), ((201, b"<html>"), 1)):
            self.fake.on("POST", "/v1/enrolments", *(reply or (0, None)))
            self.fails(status, "Whether it was done is not known", *self.ADD, "ec-p256", "--csr", out, "--subject", "CN=x")
            self.assertTrue(out.exists())

    def test_a_request_that_cannot_be_written_is_not_recorded(self):
        self.fails(1, "No such file", *self.ADD, "ec-p256", "--csr", self.folder / "none" / "x", "--subject", "CN=x")
        self.assertEqual(self.fake.changes(), [])

    def import_key(self):
        key = self.folder / "import.pem"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
        self.write("import.der", openssl("pkey", "-in", key, "-pubout", "-outform", "DER"))
        return key

    def imported(self, key):
        """What the import key's holder finds in what was sent."""
        wrapped = (self.folder / "imported").read_bytes()
        aes = openssl("pkeyutl", "-decrypt", "-inkey", key, "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha1",
                      "-pkeyopt", "rsa_mgf1_md:sha1", data=wrapped[:256])
        return openssl("enc", "-d", "-id-aes256-wrap-pad", "-K", aes.hex(), "-iv", "A65959A6", data=wrapped[256:])

    def test_import_of_a_key_in_every_form(self):
        holder = self.import_key()
        for algorithm, make in (("ec-p256", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]), ("rsa-2048", ["-algorithm", "RSA"])):
            pem = self.folder / "own.pem"
            openssl("genpkey", *make, "-out", pem)
            pkcs8 = openssl("pkcs8", "-topk8", "-nocrypt", "-in", pem, "-outform", "DER")
            forms = {"pem": pem.read_bytes(), "der": pkcs8, "old": openssl("pkey", "-in", pem, "-traditional"),
                     "old-der": openssl("pkey", "-in", pem, "-traditional", "-outform", "DER")}
            for form, content in forms.items():
                with self.subTest((algorithm, form)):
                    self.ok(*self.ADD, algorithm, "--import", self.write("form", content))
                    inside = self.write("inside.der", self.imported(holder))
                    self.assertEqual(openssl("pkey", "-inform", "DER", "-in", inside, "-pubout"), openssl("pkey", "-in", pem, "-pubout"))
        self.assertTrue(self.sealed(-1).startswith("imported "))

    def test_import_brings_its_certificate_along(self):
        self.import_key()
        self.service(certificate=True)
        key, certificate = self.folder / "own.key", self.folder / "own.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=t", "-keyout", key, "-out", certificate)
        self.fake.on("POST", "/v1/enrolments", 201, enrolment("pending"))
        self.fake.on("POST", f"/v1/enrolments/{ENROLMENT}/certificate", 200, enrolment())
        self.assertEqual(self.ok(*self.ADD, "ec-p256", "--import", key, "--certificate", certificate), f"enrolment {ENROLMENT} added, active\n")
        self.fake.on("POST", f"/v1/enrolments/{ENROLMENT}/certificate", 400, problem("request.invalid", "Not for that key.", 400))
        self.fails(1, "certificate is not installed", *self.ADD, "ec-p256", "--import", key, "--certificate", certificate)

    def test_an_encrypted_key_is_refused_with_the_way_round(self):
        self.import_key()
        pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256", "-pass", "pass:x")
        self.fails(1, "openssl pkey", *self.ADD, "ec-p256", "--import", self.write("enc", pem))
        self.assertEqual(self.fake.changes(), [])

    def test_a_secret_from_a_descriptor(self):
        holder = self.import_key()
        for given, kept in ((b"correct horse", b"correct horse"), (b"correct horse\n", b"correct horse"), (b"a\n\n", b"a\n")):
            read, write = os.pipe()
            os.write(write, given)
            os.close(write)
            result = self.run_ctl(*self.ADD, "secret", "--secret-fd", str(read), pass_fds=[read])
            os.close(read)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(self.imported(holder), kept)
            self.assertNotIn("correct", result.stdout + result.stderr)
        self.assertNotIn("public_key", self.fake.asked("POST", "/v1/enrolments")[0])
        self.fails(1, "the secret is empty", *self.ADD, "secret", "--secret-fd", "0")
        self.assertNotIn("correct", json.dumps(self.fake.seen))

    def test_a_secret_typed_is_not_shown(self):
        holder = self.import_key()
        for second, status in (("hunter2\n", 0), ("hunter3\n", 1)):
            pid, terminal = pty.fork()
            if pid == 0:
                os.execv(CTL, [CTL, *self.ADD, "secret", "--run", str(self.folder)])
            shown = b""
            for prompt, typed in ((b"Secret: ", "hunter2\n"), (b"Again: ", second)):
                while prompt not in shown:
                    shown += os.read(terminal, 1024)
                time.sleep(0.05)
                os.write(terminal, typed.encode())
            while True:
                try:
                    more = os.read(terminal, 1024)
                except OSError:
                    break
                if not more:
                    break
                shown += more
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), status, shown)
            os.close(terminal)
            self.assertNotIn(b"hunter", shown)
        self.assertEqual(self.imported(holder), b"hunter2")
        self.assertEqual(len(self.fake.asked("POST", "/v1/enrolments")), 1)

    def test_a_readable_key_file_is_warned_of(self):
        self.import_key()
        path = self.write("own", openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
        path.chmod(0o644)
        self.assertIn("can be read by others", self.run_ctl(*self.ADD, "ec-p256", "--import", path).stderr)
        path.chmod(0o600)
        self.assertEqual(self.run_ctl(*self.ADD, "ec-p256", "--import", path).stderr, "")

    def test_renew_follows_the_sequence(self):
        path = f"/v1/enrolments/{ENROLMENT}/renew"
        self.fake.on("POST", path, 200, enrolment())
        self.ok("enrolment", "renew", ENROLMENT, "--algorithm", "ec-p384")
        self.assertEqual(self.sealed(0, path), f"generated {HOLDER} tax ec-p384 level=2 uses=1 sequence=4")

    def test_while_a_renewal_waits_another_leaves_its_request_alone(self):
        path = f"/v1/enrolments/{ENROLMENT}/renew"
        self.fake.on("GET", f"/v1/enrolments/{ENROLMENT}", 200,
                     enrolment(waiting={"id": SESSION_KEY, "algorithm": "ec-p256", "sequence": 4}))
        out = self.write("waiting.csr", b"the only one")
        self.fails(1, "error [resource.state]", "enrolment", "renew", ENROLMENT, "--algorithm", "ec-p256", "--csr", out,
                   "--subject", "CN=x")
        self.assertEqual(out.read_bytes(), b"the only one")
        self.assertEqual(self.fake.asked("POST", path), [])

    def test_rewrap_all(self):
        removed = {**enrolment("removed"), "id": OTHER, "key": None}
        self.fake.on("GET", "/v1/enrolments", 200, {"enrolments": [enrolment(), removed]})
        keys = [{"id": SESSION_KEY, "generation": 0, "sealed": b"old".hex()}, {"id": OTHER, "generation": 1, "sealed": b"new".hex()}]
        self.fake.on("GET", f"/v1/enrolments/{ENROLMENT}/sealed", 200, {"keys": keys})
        path = f"/v1/enrolments/{ENROLMENT}/rewrap"
        self.fake.on("POST", path, 200, enrolment())
        self.assertEqual(self.as_json("key", "rewrap-all"), {"generation": 1, "rewrapped": 1, "already": 1})
        self.assertEqual(self.sealed(0, path), "rewrapped old")
        self.assertEqual(self.fake.changes(), [("POST", path)])
        self.fake.on("POST", path, 503, problem("store.unavailable", "Later.", 503))
        self.fails(1, "0 keys were sealed anew; run the command again", "key", "rewrap-all")
        self.hsm_fails("rewrap", ERRORS["hsm.record"])
        self.fails(1, "it stays as it was", "key", "rewrap-all")

    def test_certify_remove_list_show(self):
        pem = self.folder / "c.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=t", "-keyout", self.folder / "k", "-out", pem)
        self.fake.on("POST", f"/v1/enrolments/{ENROLMENT}/certificate", 200, enrolment())
        self.fake.on("DELETE", f"/v1/enrolments/{ENROLMENT}", 200, enrolment("removed"))
        self.fake.on("GET", f"/v1/enrolments?holder={HOLDER}&service=tax", 200, {"enrolments": [enrolment()]})
        chain = self.write("chain.pem", pem.read_text() * 2)
        self.ok("enrolment", "certify", ENROLMENT, "--certificate", chain)
        self.assertEqual(self.fake.asked("POST", f"/v1/enrolments/{ENROLMENT}/certificate")[0]["certificate"].count("BEGIN"), 2)
        self.assertEqual(self.as_json("enrolment", "remove", ENROLMENT), {"id": ENROLMENT, "state": "removed"})
        self.assertIn("ec-p256", self.ok("enrolment", "list", "--holder", HOLDER, "--service", "tax"))
        self.assertEqual(self.as_json("enrolment", "show", ENROLMENT)["id"], ENROLMENT)
        self.assertIn(SESSION_KEY, self.ok("enrolment", "show", ENROLMENT))


if __name__ == "__main__":
    unittest.main(verbosity=1)

# SPDX-License-Identifier: GPL-3.0-or-later
"""An installation that takes cards which somebody else issued, and what makes and registers such cards: for the tests of these cards, and for
the benchmarks."""

import http.server
import json
import os
import re
import secrets
import threading

from world import World, run

PIN, PUK = "271828", "12345678"
JPKI_PIN = "2718"


class Publisher(http.server.BaseHTTPRequestHandler):
    """Where the agency says what it has revoked."""

    revoked = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.revoked)))
        self.end_headers()
        self.wfile.write(self.revoked)

    def log_message(self, *_):
        pass


class ForeignWorld(World):
    """An installation that trusts an agency for PIV and JPKI cards, and whose HSM has the master key of SCP03 cards."""

    HOW_LONG_IT_COUNTS = "refresh-minutes = 1"
    PUBLISHER = Publisher

    def write_terminal_configuration(self, name, readers=None, profiles="native, piv, jpki, scp03"):
        super().write_terminal_configuration(name, readers)
        with open(self.etc / f"{name}.conf", "a", encoding="utf-8") as file:
            file.write(f"profiles = {{{profiles}}}\n")

    def make_token(self):
        super().make_token()
        self.put_master()

    def at_token(self, *args):
        run(["pkcs11-tool", "--module", self.TOKEN_MODULE, "--token-label", "cardbroker", "--login", "--pin", "env:TOKEN_PIN", *args,
             "--type", "secrkey", "--label", "cardbroker.scp03-master"],
            env={**self.env, "TOKEN_PIN": (self.etc / "hsm.pin").read_text().strip()})

    def put_master(self, kind="AES", size=32, flags=("--usage-sign", "--sensitive", "--private")):
        """A master key on the token, and in the file that cards are made from."""
        key = secrets.token_bytes(size)
        self.secret_file("scp03.master", key.hex())
        (self.etc / "scp03.bin").write_bytes(key)
        self.at_token("--write-object", self.etc / "scp03.bin", "--key-type", f"{kind}:{size}", *flags)
        (self.etc / "scp03.bin").unlink()

    def put_another_master(self, **what):
        """In the place of the one that is there."""
        self.at_token("--delete-object")
        (self.etc / "scp03.master").unlink()
        self.put_master(**what)

    def make_scp03(self, name):
        self.issuer("scp03", "make", "--master", self.etc / "scp03.master", "--key-version", "30", "--state",
                    self.cards / f"{name}.card")

    def write_hsmd_configuration(self):
        super().write_hsmd_configuration()
        self.publisher = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.PUBLISHER)
        threading.Thread(target=self.publisher.serve_forever, daemon=True).start()
        for name in ("agency", "stranger"):
            run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
                 "-subj", f"/CN={name}", "-keyout", self.pki / f"{name}.key", "-out", self.pki / f"{name}.pem",
                 "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"])
            os.chmod(self.pki / f"{name}.key", 0o600)
        with open(self.etc / "hsmd.conf", "a", encoding="utf-8") as file:
            for profile in ("piv", "jpki"):
                file.write(f'foreign "{profile}" {{ anchors = {{ "{self.pki}/agency.pem" }} }}\n')
        self.publish()

    def configure(self):
        super().configure()
        with open(self.etc / "cardbroker.conf", "a", encoding="utf-8") as file:
            file.write(f'card-issuer "agency" {{ certificate = "{self.pki}/agency.pem" {self.word_of_the_agency()} }}\n'
                       f"status {{ {self.HOW_LONG_IT_COUNTS} }}\n")

    def word_of_the_agency(self):
        """Where the broker hears what it revoked."""
        return f'crl = {{"http://127.0.0.1:{self.publisher.server_port}/agency.crl"}}'

    def publish(self, *certificates):
        """A list of the agency's with these certificates on it."""
        Publisher.revoked = self.list_of("agency", *certificates)

    def list_of(self, name, *certificates):
        """What an authority has revoked, these certificates besides."""
        authority = self.folder / name
        authority.mkdir(exist_ok=True)
        index = authority / "index.txt"
        for file, text in ((index, ""), (authority / "number", "01\n"), (authority / "ca.conf", f"""\
[ca]
default_ca = agency
[agency]
database = {index}
crlnumber = {authority}/number
unique_subject = no
certificate = {self.pki}/{name}.pem
private_key = {self.pki}/{name}.key
default_md = sha256
default_crl_days = 7
""")):
            if not file.exists():
                file.write_text(text)
        for certificate in certificates:
            run(["openssl", "ca", "-config", authority / "ca.conf", "-revoke", certificate])
        run(["openssl", "ca", "-config", authority / "ca.conf", "-gencrl", "-out", authority / "crl.pem"])
        return run(["openssl", "crl", "-in", authority / "crl.pem", "-outform", "DER"]).stdout

    def tear_down(self):
        super().tear_down()
        if hasattr(self, "publisher"):
            self.publisher.shutdown()
            self.publisher.server_close()

    def make_piv(self, name, *more, agency="agency", pin=PIN):
        reading, writing = os.pipe()
        os.write(writing, f"{pin}\n{PUK}\n".encode())
        os.close(writing)
        try:
            self.issuer("piv", "make", "--state", self.cards / f"{name}.card", "--name", name, "--ca", self.pki / f"{agency}.pem",
                        "--ca-key", self.pki / f"{agency}.key", "--secrets-fd", reading, "--certificates", self.cards / name, *more, pass_fds=(reading,))
        finally:
            os.close(reading)

    def content_signer(self, name, agency="agency", usage="2.16.840.1.101.3.6.7"):
        """Options for make_piv: who certifies the key of a card with secure messaging."""
        key, certificate, request, more = (self.pki / f"{name}.{part}" for part in ("key", "pem", "csr", "ext"))
        more.write_text(f"keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,{usage}\nsubjectKeyIdentifier=hash\n")
        run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key,
             "-out", request])
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.pki / f"{agency}.pem", "-CAkey", self.pki / f"{agency}.key",
             "-set_serial", f"0x{secrets.token_hex(16)}", "-days", "300", "-extfile", more, "-out", certificate])
        os.chmod(key, 0o600)
        return "--content-signer", certificate, "--content-signer-key", key

    def make_jpki(self, name, subject=None):
        reading, writing = os.pipe()
        os.write(writing, f"{JPKI_PIN}\nABC271\n".encode())
        os.close(writing)
        try:
            self.issuer("jpki", "make", "--state", self.cards / f"{name}.card", "--name", subject or name, "--ca", self.pki / "agency.pem",
                        "--ca-key", self.pki / "agency.key", "--certificate", self.cards / f"{name}.der", "--secrets-fd", reading,
                        pass_fds=(reading,))
        finally:
            os.close(reading)

    def read_card(self, name, **options):
        """What an operator's terminal reads of a card, in a file."""
        self.insert_card(name)
        said = self.cardlink("read", "--timeout", 10, **options)[-1]
        path = self.folder / f"{name}.reading"
        path.write_text(json.dumps(said))
        return path

    def certify_again(self, name, slot, der, key=None, subject=None):
        """The certificate that the agency gives out in place of one, both DER: for its key or another (a file), under its names."""
        old, public, request, more = (self.folder / f"renewal.{part}" for part in ("der", "pub", "csr", "ext"))
        new = self.cards / name / f"{slot:02x}-new.pem"
        old.write_bytes(der)
        public.write_bytes(run(["openssl", "x509", "-inform", "DER", "-in", old, "-noout", "-pubkey"]).stdout)
        alternative = run(["openssl", "x509", "-inform", "DER", "-in", old, "-noout", "-ext", "subjectAltName"]).stdout.decode().split()[-1]
        more.write_text(f"keyUsage=critical,digitalSignature\nsubjectAltName={alternative}\n")
        run(["openssl", "req", "-new", "-key", self.pki / "agency.key", "-subj", f"/CN={subject or name}", "-out", request])
        run(["openssl", "x509", "-req", "-in", request, "-force_pubkey", key or public, "-CA", self.pki / "agency.pem", "-CAkey",
             self.pki / "agency.key", "-set_serial", f"0x{secrets.token_hex(16)}", "-days", "300", "-extfile", more, "-out", new])
        return run(["openssl", "x509", "-in", new, "-outform", "DER"]).stdout

    def renewed(self, name, subject=None, keys=None):
        """What a terminal would read of a card after the agency renewed its certificates."""
        path = self.read_card(name)
        said = json.loads(path.read_text())
        for one in said["certificates"]:
            key = keys / f"{one['use']:02x}.pub" if keys else None
            one["der"] = self.certify_again(name, one["use"], bytes.fromhex(one["der"]), key, subject).hex()
        path.write_text(json.dumps(said))
        return path

    def renewal_rule(self, rule, at_taps=False):
        """Changes it in the installation that runs."""
        path = self.etc / "hsmd.conf"
        own = f' renewal = "{rule}"' + (" renewal-at-taps = true" if at_taps else "")
        path.write_text("".join(re.sub(r'( renewal = "[a-z-]*")?( renewal-at-taps = true)? }\n', f"{own} }}\n", line)
                                if line.startswith('foreign "piv"') else line for line in path.read_text().splitlines(keepends=True)))
        self.restart_hsmd()

    def add_piv_holder(self, name, *keys, services=("nginx",)):
        self.make_piv(name, *keys)
        self.add_foreign_holder(name, services)

    def register(self, holder, card):
        """One more card of a holder's; it is on the reader then."""
        read = self.read_card(card)
        self.card_ids[card] = self.ctl("card", "register", "--holder", self.holders[holder], "--card", read, "--activate")["id"]

    def add_foreign_holder(self, name, services):
        self.holders[name] = self.ctl("holder", "add", "--name", name)["id"]
        self.register(name, name)
        for service in services:
            self.enrol(name, service)

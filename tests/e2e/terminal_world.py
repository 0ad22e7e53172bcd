# SPDX-License-Identifier: GPL-3.0-or-later
"""An installation in which tests register, activate and end terminals of their own."""

import re

from world import Terminal, World, run

GUESSES = 40  # wrong codes that all strangers may try in a minute


class Registry(World):
    """An installation where a test may activate more terminals in a minute than people do."""

    def configure(self):
        super().configure()
        with open(self.etc / "cardbroker.conf", "a") as file:
            file.write(f"limits {{ activations-per-address = 1000\n activations = {GUESSES} }}\n")

    def register(self, name, *options):
        """A terminal that waits for its code; returns that."""
        self.write_terminal_configuration(name)
        return self.ctl("terminal", "register", "--name", name, "--service", "nginx", "--rate", 1000, *options)

    def activate(self, name, code, registered=None, ok=(0,)):
        return self.cardlink("activate", "--name", registered or name, terminal=name, pin=[code], ok=ok)[-1]

    def make(self, name):
        self.activate(name, self.register(name)["code"])

    def begin_again(self, seconds):
        """The key service, with certificates that are valid for so long."""
        path = self.etc / "hsmd.conf"
        text = re.sub(r"terminal-certificate-seconds.*\n", "", path.read_text())
        path.write_text(f"terminal-certificate-seconds = {seconds}\n{text}")
        self.restart_hsmd()

    def request(self, name, key=None):
        """A PKCS#10 request by a fresh key, or that of a file; the key's file."""
        path = key or self.folder / f"{name}.by-hand.key"
        if not key:
            run(["openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path])
        return run(["openssl", "req", "-new", "-key", path, "-subj", "/CN=somebody", "-outform", "DER"]).stdout, path

    def apply(self, name, code, csr):
        with Terminal(self, None) as nobody:
            return nobody.ask("POST", "/v1/activations", {"name": name, "code": code, "request": csr.hex()})

    def gone(self, name):
        return not (self.etc / f"{name}.key").exists() and not (self.etc / f"{name}.pem").exists()


def wrong(code):
    """Another code, whose check symbol fits."""
    symbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U"
    body = [symbols.index(c) for c in code.replace("-", "")[:-1]]
    body[0] = (body[0] + 1) % 32
    rest = 0
    for value in body:
        rest = (rest * 32 + value) % 37
    text = "".join(symbols[v] for v in [*body, rest])
    return "-".join(text[i:i + 5] for i in range(0, 20, 5))

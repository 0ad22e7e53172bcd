# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual card on a reader of a pcscd of its own, for programs that know nothing of Cardbroker (OpenSC and others)."""

import os
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("CARDBROKER_BUILD", SUPPORT.parents[1] / "build"))
PATIENCE = float(os.environ.get("CARDBROKER_PATIENCE", "1"))


class Skip(Exception):
    """This system does not allow it; says why."""


def with_secrets(argv, *lines, option="--secrets-fd", **more):
    """Runs a program that reads secrets from a descriptor, which it is given with an option: they are in no command line."""
    reading, writing = os.pipe()
    os.write(writing, "".join(f"{line}\n" for line in lines).encode())
    os.close(writing)
    try:
        return subprocess.run([*map(str, argv), option, str(reading)], pass_fds=(reading,), capture_output=True, text=True,
                              timeout=60 * PATIENCE, **more)
    finally:
        os.close(reading)


class StockReader:
    def __init__(self):
        self.place = tempfile.TemporaryDirectory(prefix="stock-")
        self.folder = Path(self.place.name)
        self.pcsc = self.folder / "pcsc"
        self.pcsc.mkdir()
        self.card = None
        done = self.script("start", "--owner", os.getpid(), self.pcsc)
        if done.returncode == 77:
            self.place.cleanup()
            raise Skip(done.stderr.strip())
        done.check_returncode()
        variable = shlex.split(self.script("env", self.pcsc).stdout)[1]
        self.env = {**os.environ, **dict([variable.split("=", 1)])}

    def script(self, *args):
        # Not through pipes: pcscd would keep them open.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            done = subprocess.run([SUPPORT / "pcsc.sh", *map(str, args)], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            out.seek(0)
            err.seek(0)
            done.stdout, done.stderr = out.read().decode(), err.read().decode()
        return done

    def close(self):
        self.remove()
        self.script("stop", self.pcsc)
        self.place.cleanup()

    def program(self, name):
        return BUILD / {"cardlink-issuer": "cardlink/issuer", "cardlink-vcard": "cardlink/card", "cardlink": "cardlink/terminal"}[name] / name

    def insert(self, state):
        """Puts a card on the first reader, and waits until PC/SC sees it."""
        self.remove()
        port = self.script("port", self.pcsc, "0").stdout.strip()
        with open(self.folder / "vcard.log", "ab") as log:
            self.card = subprocess.Popen([SUPPORT / "pcsc.sh", "exec", self.pcsc, self.program("cardlink-vcard"), "--vpcd",
                                          f"127.0.0.1:{port}", state], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_until(True)

    def is_there(self):
        """None: it cannot be told, for a card that comes or goes just now answers nothing."""
        seen = self.run("opensc-tool", "--reader", "0", "--atr")
        return True if ":" in seen.stdout else False if "Card not present" in seen.stderr else None

    def wait_until(self, there):
        end = time.monotonic() + 10 * PATIENCE
        while self.is_there() is not there:
            if time.monotonic() > end:
                raise AssertionError("PC/SC does not see what happens: " + (self.folder / "vcard.log").read_text())
            time.sleep(0.1)

    def remove(self):
        if self.card:
            self.card.terminate()
            self.card.wait(10)
            self.card = None
            self.wait_until(False)    # pcscd looks now and then; a card that is back before it looked stays unseen

    def run(self, *argv, pin=None, **more):
        """Runs a program at that reader; a PIN goes by the environment, which programs of OpenSC read for "env:PIN"."""
        env = dict(self.env, **({"PIN": pin} if pin is not None else {}))
        return subprocess.run([*map(str, argv)], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=60 * PATIENCE, **more)

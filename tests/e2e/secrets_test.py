# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: what must not be written is written nowhere, and what must not be known is in nobody's memory."""

import os
import stat
import subprocess
import unittest
from pathlib import Path

from memory import files, in_memory_of, spellings
from world import PATIENCE, Terminal, main, world

w = None
PIN, NEW_PIN, CODE = "831740269517", "604918273655", "73920418"
WRONG_PIN, WRONG_CODE = "295071836444", "60271953"
TYPED = (PIN, NEW_PIN, CODE, WRONG_PIN, WRONG_CODE)
DAEMONS = ("cardbroker-hsmd", "cardbrokerd", "cardbroker-connectord")


def setUpModule():
    global w
    umask = os.umask(0)     # so that a private mode is the program's own doing
    try:
        w = world()
    finally:
        os.umask(umask)
    w.add_nginx("vault", level="pin")
    w.holders["Hanako"] = w.ctl("holder", "add", "--name", "Hanako")["id"]
    w.card_ids["Hanako"] = w.ctl("card", "issue", "--holder", w.holders["Hanako"], "--certificate",
                                 w.make_card("Hanako", pin=PIN, code=CODE), "--activate")["id"]
    w.enrol("Hanako", "vault")
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


class Pins(unittest.TestCase):
    """PINs are typed, rightly and wrongly, changed and unblocked; then everything is searched."""

    @classmethod
    def setUpClass(cls):
        said = [w.tap("vault", pin=PIN), w.tap("vault", pin=WRONG_PIN), w.tap("vault", pin=PIN)]
        cls.said = [one.get("outcome") or one.get("code") for one in said]
        w.cardlink("pin", "change", pin=[WRONG_PIN, NEW_PIN], ok=(1, 3), timeout=60 * PATIENCE)
        w.cardlink("pin", "change", pin=[PIN, NEW_PIN], timeout=60 * PATIENCE)
        for _ in range(3):
            w.tap("vault", pin=PIN)
        w.cardlink("pin", "unblock", pin=[WRONG_CODE, PIN], ok=(1, 3), timeout=60 * PATIENCE)
        w.cardlink("pin", "unblock", pin=[CODE, PIN], timeout=60 * PATIENCE)

    def test_the_taps_were_what_they_should_be(self):
        self.assertEqual(self.said, ["accepted", "pin.wrong", "accepted"])
        self.assertEqual(w.tap("vault", pin=PIN).get("outcome"), "accepted")

    def test_no_pin_is_in_any_file_but_the_cards(self):
        looked_at = [path for path in files(w.folder) if w.cards not in path.parents]
        for wanted in ("cardbroker.db", "cardbrokerd.log", "cardbroker-hsmd.log", "cardbroker-connectord.log", "terminal.conf"):
            self.assertIn(wanted, {path.name for path in looked_at})
        for path in looked_at:
            data = path.read_bytes()
            for secret in TYPED:
                for word in spellings(secret):
                    self.assertNotIn(word, data, f"{path.name} holds it")
        self.assertIn(PIN.encode(), (w.cards / "Hanako.card").read_bytes(), "and the search would find it")

    @unittest.skipIf(os.geteuid() != 0, "only root may read the memory of a process that is not dumpable")
    def test_no_pin_is_in_the_memory_of_any_process_but_the_cards(self):
        for name in DAEMONS:
            for pid, found in w.of_each(name, lambda pid: [in_memory_of(pid, *spellings(secret)) for secret in TYPED]):
                self.assertFalse(any(found), f"{name} ({pid}) remembers a PIN")
        card = w.processes("card")[0][0]
        self.assertEqual([in_memory_of(card, *spellings(secret)) for secret in (PIN, CODE)], [True, True], "and the search would find it")
        for secret in (NEW_PIN, WRONG_PIN, WRONG_CODE):
            self.assertFalse(in_memory_of(card, *spellings(secret)), "the card remembers what it compared")


class Passwords(unittest.TestCase):
    """A password is set, typed rightly and wrongly, and replaced; then everything is searched."""

    FIRST, SECOND, WRONG = "a first one that nobody knows", "the next one, as secret as that", "this was a wrong guess only"

    @classmethod
    def setUpClass(cls):
        w.add_nginx("library", level="password")
        w.enrol("Hanako", "library")
        w.write_terminal_configuration("desk")
        w.cardlink("enrol", "--name", "desk", terminal="desk")
        w.ctl("terminal", "enrol", "--name", "desk", "--certificate", w.etc / "desk.pem", "--rate", 1000, "--passwords")
        cls.hand(cls.FIRST, w.ctl, "password", "set", "hanako", "--holder", "Hanako")
        said = [cls.log_in(cls.FIRST), cls.log_in(cls.WRONG)]
        cls.hand(cls.SECOND, w.ctl, "password", "reset", "hanako")
        cls.said = [*said, cls.log_in(cls.SECOND), cls.log_in(cls.FIRST)]

    @staticmethod
    def hand(password, call, *args, **kwargs):
        reading, writing = os.pipe()
        os.write(writing, password.encode() + b"\n")
        os.close(writing)
        try:
            return call(*args, "--password-fd", reading, pass_fds=(reading,), timeout=60 * PATIENCE, **kwargs)
        finally:
            os.close(reading)

    @classmethod
    def log_in(cls, password):
        said = cls.hand(password, w.cardlink, "login", "--name", "hanako", "--service", "library", terminal="desk", ok=(0, 1, 3))[-1]
        return said.get("outcome") or said.get("code")

    def test_the_logins_were_what_they_should_be(self):
        self.assertEqual(self.said, ["accepted", "password.wrong", "accepted", "password.wrong"])

    def test_no_password_is_in_any_file(self):
        for path in files(w.folder):
            data = path.read_bytes()
            for secret in (self.FIRST, self.SECOND, self.WRONG):
                for word in spellings(secret):
                    self.assertNotIn(word, data, f"{path.name} holds it")

    @unittest.skipIf(os.geteuid() != 0, "only root may read the memory of a process that is not dumpable")
    def test_no_password_ever_came_to_any_process_of_the_broker(self):
        for name in DAEMONS:
            for pid, found in w.of_each(name, lambda pid: [in_memory_of(pid, *spellings(secret)) for secret in
                                                           (self.FIRST, self.SECOND, self.WRONG)]):
                self.assertFalse(any(found), f"{name} ({pid}) has a password")

    @unittest.skipIf(os.geteuid() != 0, "only root may read the memory of a process that is not dumpable")
    def test_a_terminal_that_asks_for_one_shows_it_to_nobody(self):
        reading, writing = os.pipe()
        login = subprocess.Popen([str(w.program("cardlink")), "--config", str(w.etc / "desk.conf"), "login", "--name", "hanako",
                                  "--service", "library", "--password-fd", str(reading)], env=w.env, pass_fds=(reading,),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(reading)
        try:
            os.write(writing, self.SECOND.encode())     # no end of line yet: it waits
            for file in ("cmdline", "environ"):
                self.assertNotIn(self.SECOND.encode(), Path(f"/proc/{login.pid}/{file}").read_bytes())
            os.write(writing, b"\n")
        finally:
            os.close(writing)
            self.assertEqual(login.wait(60 * PATIENCE), 0)


class HsmPin(unittest.TestCase):
    def setUp(self):
        self.pin = (w.etc / "hsm.pin").read_text().strip()
        self.so_pin = (w.etc / "hsm.so-pin").read_text().strip()

    def who_remembers(self, secret):
        return [name for name in (*DAEMONS, "card") for _, found in w.of_each(name, lambda pid: in_memory_of(pid, *spellings(secret))) if found]

    def test_it_is_in_no_argument_list_and_no_environment(self):
        for name in (*DAEMONS, "card"):
            for file in ("cmdline", "environ"):
                for _, data in w.of_each(name, lambda pid, file=file: Path(f"/proc/{pid}/{file}").read_bytes()):
                    self.assertNotIn(self.pin.encode(), data, f"{file} of {name}")
                    self.assertNotIn(self.so_pin.encode(), data, f"{file} of {name}")

    def test_it_is_in_no_log_and_no_file_of_the_state(self):
        for path in files(w.state, w.logs):
            data = path.read_bytes()
            for secret in (self.pin, self.so_pin):
                for word in spellings(secret):
                    self.assertNotIn(word, data, f"{path.name} holds it")

    @unittest.skipIf(os.geteuid() != 0, "only root may read the memory of a process that is not dumpable")
    def test_it_is_in_the_memory_of_the_key_service_only(self):
        found = set(self.who_remembers(self.pin))
        self.assertEqual(found, {"cardbroker-hsmd"})

    @unittest.skipIf(os.geteuid() != 0, "only root may read the memory of a process that is not dumpable")
    def test_the_officers_pin_is_in_nobodys_memory(self):
        self.assertEqual(self.who_remembers(self.so_pin), [])

    def test_a_pin_file_that_others_may_read_is_refused(self):
        os.chmod(w.etc / "hsm.pin", 0o644)
        try:
            done = subprocess.run([str(w.program("cardbroker-hsmd")), "--config", str(w.etc / "hsmd.conf")], env=w.env,
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=30 * PATIENCE)
            self.assertEqual(done.returncode, 78, done.stderr[-1000:])
            self.assertNotIn(self.pin.encode(), done.stdout + done.stderr)
        finally:
            os.chmod(w.etc / "hsm.pin", 0o600)


class Sessions(unittest.TestCase):
    def test_codes_and_cookies_of_sessions_are_in_no_file(self):
        accepted = w.tap("vault", pin=PIN)
        url = accepted["delivery"]["url"]
        code = url.split("code=")[1]
        browser = w.browser()
        self.assertEqual(browser.get(url).status, 200)
        values = [value for jar in browser.cookies.values() for value in jar.values()]
        self.assertTrue(values)
        for path in files(w.state, w.logs):
            data = path.read_bytes()
            for secret in (code, *values):
                self.assertNotIn(secret.encode(), data, path.name)

    def test_a_delivery_is_written_for_its_owner_only(self):
        file = w.folder / "delivery.json"
        umask = os.umask(0)
        try:
            said = w.cardlink("tap", "--service", "vault", "--timeout", "10", "--delivery", file, pin=[PIN], timeout=60 * PATIENCE)
        finally:
            os.umask(umask)
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertNotIn("code=", str(said))
        self.assertIn("code=", file.read_text())


class Walls(unittest.TestCase):
    def test_core_dumps_are_off_everywhere(self):
        for name in (*DAEMONS, "card"):
            for _, limits in w.of_each(name, lambda pid: Path(f"/proc/{pid}/limits").read_text()):
                line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
                self.assertEqual(line.split()[4:6], ["0", "0"], name)

    @unittest.skipIf(os.geteuid() == 0, "root owns its processes' files in /proc in either case; see the test of users")
    def test_nobody_can_be_traced(self):
        for name in DAEMONS:
            for _, owner in w.of_each(name, lambda pid: os.stat(f"/proc/{pid}").st_uid):
                self.assertEqual(owner, 0, name)

    def test_no_process_that_speaks_to_the_outside_may_gain_rights(self):
        for name in DAEMONS:
            states = w.of_each(name, lambda pid: Path(f"/proc/{pid}/status").read_text())
            for _, text in list(states)[0 if name == "cardbrokerd" else 1:]:
                fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
                self.assertEqual(fields["NoNewPrivs"].strip(), "1", name)

    def test_files_and_sockets_are_private_whatever_the_umask(self):
        for folder in (w.state, w.run_folder):
            for path in folder.rglob("*"):
                if "tokens" in path.parts:
                    continue    # SoftHSM's own
                mode = stat.S_IMODE(path.lstat().st_mode)
                self.assertEqual(mode & 0o077, 0, f"{path.relative_to(w.folder)} has mode {mode:o}")
        for name in ("terminal.key",):
            self.assertEqual(stat.S_IMODE((w.etc / name).stat().st_mode), 0o600, name)
        for path in w.cards.glob("*.card"):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path.name)

    def test_private_keys_that_the_issuer_made_are_private(self):
        for path in w.pki.rglob("*"):
            if path.is_file() and path.suffix in (".key", ".p8") and "tls" not in path.parts:
                self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path.name)

    def test_the_key_of_the_broker_is_not_given_to_who_asks(self):
        with Terminal(w) as terminal:
            for path in ("/v1/status", "/v1/holders", "/v1/cards", "/v1/audit/leaves", "/metrics", "/v1/enrolments"):
                answer = terminal.ask("GET", path)
                self.assertIn(answer.status, (401, 403, 404), path)


if __name__ == "__main__":
    main()

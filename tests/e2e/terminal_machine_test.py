# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that fails under the terminal and under the card: its clock, its disk, its calls, and the files that it is given."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from world import PATIENCE, World, main, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from faulty import Machine  # noqa: E402

HOUR = 3600
YEAR = 365 * 24 * HOUR
# Past 2038 and 2106, ten years back, before there was a Unix.
FAR = (20 * YEAR, 90 * YEAR, -10 * YEAR, -60 * YEAR)
PIN = "123456"

w = None


class Done:
    """What cardlink printed, said, and ended with."""

    def __init__(self, process, out, err):
        self.status, self.out, self.err = process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
        lines = [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]
        self.last = lines[-1] if lines else {}
        self.code = self.last.get("code")

    def __repr__(self):
        return f"{self.status}: {self.out}{self.err}"


def setUpModule():
    global w
    w = World()
    w.machine = Machine(w.folder / "terminals-faults", w.build)
    w.cards_machine = Machine(w.folder / "cards-faults", w.build)
    spawn = w.spawn
    w.spawn = lambda name, argv: spawn(name, argv, {"card": beneath(w.cards_machine), "agent": beneath(w.machine)}.get(name))
    try:
        w.build_up()
        w.add_nginx("vault", level="pin")
        w.add_holder("Hanako", services=("nginx", "vault"))
        w.insert_card("Hanako")
    except BaseException:
        w.tear_down()
        raise


def tearDownModule():
    if w:
        w.tear_down()


def beneath(machine):
    return {**w.env, "ASAN_OPTIONS": w.env["ASAN_OPTIONS"] + ":verify_asan_link_order=0", **machine.env}


def cardlink(*words, pins=(), config=None, **options):
    reading, writing = os.pipe()
    os.write(writing, "".join(pin + "\n" for pin in pins).encode())
    os.close(writing)
    argv = [w.program("cardlink"), "--config", config or w.etc / "terminal.conf", "--json", *words,
            *(["--pin-fd", reading] if pins else [])]
    try:
        options.setdefault("stdout", subprocess.PIPE)
        process = subprocess.Popen([str(word) for word in argv], env=beneath(w.machine), pass_fds=(reading,),
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
    finally:
        os.close(reading)
    try:
        out, err = process.communicate(timeout=60 * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Done(process, out or b"", err)


def tap(service="nginx", *words, pin=None, **options):
    return cardlink("tap", "--service", service, "--timeout", 10 * PATIENCE, *words, pins=[pin] if pin else (), **options)


def shown():
    said = subprocess.run([w.program("cardlink-vcard"), "--show", w.cards / "Hanako.card"], capture_output=True, check=True, text=True)
    return dict(line.rsplit(" ", 1) for line in said.stdout.splitlines())


class Case(unittest.TestCase):
    def setUp(self):
        for machine in (w.machine, w.cards_machine):
            self.addCleanup(machine.awkward, False)
            self.addCleanup(machine.mend_disk)
            self.addCleanup(machine.step_clock, 0)

    def accepted(self, done):
        self.assertEqual((done.status, done.last.get("event")), (0, "tap.accepted"), done)

    def refused(self, done, *codes):
        self.assertIn(done.status, (1, 3, 69), done)
        self.assertIn(done.code, codes, done)

    def tearDown(self):
        self.doCleanups()
        if self._outcome.success:
            self.accepted(tap())
            self.accepted(tap("vault", pin=PIN))


class Kernel(Case):
    """Every fourth call is interrupted, every fourth on a file or stream does half of what it was asked for: nothing changes."""

    def test_calls_that_are_interrupted_or_do_less_than_was_asked(self):
        before = int(shown()["proofs"])
        calls = [machine.awkward(True) for machine in (w.machine, w.cards_machine)]
        for _ in range(5):
            self.accepted(tap())
            self.accepted(tap("vault", pin=PIN))
        self.refused(tap("vault", pin="999999"), "pin.wrong")
        self.accepted(tap("vault", pin=PIN))
        self.assertEqual(cardlink("pin", "change", pins=[PIN, "222222"]).status, 0)
        self.refused(tap("vault", pin=PIN), "pin.wrong")
        self.assertEqual(cardlink("pin", "change", pins=["222222", PIN]).status, 0)
        self.assertEqual([len(cardlink("services").last["services"])], [2])
        self.assertEqual(cardlink("readers").last["card"], True)
        for machine, were in zip((w.machine, w.cards_machine), calls):
            self.assertGreater(machine.awkward(False) - were, 300)
        self.assertEqual(int(shown()["proofs"]), before + 15)


class Clock(Case):
    def test_a_terminal_whose_clock_is_off_judges_the_broker_by_it(self):
        for seconds in (3 * HOUR, 0):
            w.machine.step_clock(seconds)
            self.accepted(tap())
        for seconds in FAR:
            with self.subTest(years=seconds // YEAR):
                w.machine.step_clock(seconds)
                self.refused(tap(), "broker.certificate")
                w.machine.step_clock(0)
                self.accepted(tap())

    def test_a_card_has_no_clock(self):
        for seconds in FAR:
            with self.subTest(years=seconds // YEAR):
                w.cards_machine.step_clock(seconds)
                w.insert_card("Hanako")
                self.accepted(tap("vault", pin=PIN))

    def test_an_agent_goes_on_when_the_clock_is_stepped_and_ends_when_it_is_told(self):
        for seconds in (9 * HOUR, -9 * HOUR):
            with self.subTest(hours=seconds // HOUR):
                w.machine.step_clock(0)
                (w.logs / "agent.log").unlink(missing_ok=True)
                agent = w.spawn("agent", [w.program("cardlink"), "--config", w.etc / "terminal.conf", "--json", "agent", "--service", "nginx"])
                wait_until("a tap", lambda: '"tap.accepted"' in w.log_of("agent"), 15 * PATIENCE, agent)
                w.machine.step_clock(seconds)
                if seconds > 0:
                    w.insert_card("Hanako")
                    wait_until("another", lambda: w.log_of("agent").count('"tap.accepted"') == 2, 15 * PATIENCE, agent)
                agent.process.send_signal(signal.SIGTERM)
                try:
                    self.assertEqual(agent.process.wait(30 * PATIENCE), 0)
                finally:
                    w.stop_one("agent")

    def test_an_identity_made_at_a_wrong_time_is_one_or_is_not_made(self):
        for seconds in FAR:
            with self.subTest(years=seconds // YEAR):
                name = f"late{seconds // YEAR}"
                w.write_terminal_configuration(name)
                config = w.etc / f"{name}.conf"
                w.machine.step_clock(seconds)
                made = cardlink("enrol", "--name", "gate", config=config)
                w.machine.step_clock(0)
                self.assertEqual(made.status, 0, made)
                self.refused(cardlink("services", config=config), "terminal.unknown")


class Disk(Case):
    def test_a_card_that_cannot_write_proves_and_compares_nothing(self):
        for number in (errno.ENOSPC, errno.EIO, errno.EROFS):
            with self.subTest(number):
                before = shown()
                w.cards_machine.fail_disk(w.cards, number)
                for pin in (None, "999999", PIN):
                    self.refused(tap("vault" if pin else "nginx", pin=pin), "card.status")
                self.assertGreater(w.cards_machine.mend_disk(), 0)
                self.assertEqual(shown(), before)
                self.assertEqual(list(w.cards.glob("*.new")), [])
                self.accepted(tap("vault", pin=PIN))

    def test_a_delivery_that_cannot_be_written_is_no_success_and_not_shown(self):
        folder = w.folder / "deliveries"
        folder.mkdir(mode=0o700, exist_ok=True)
        for number, code in ((errno.ENOSPC, "store.full"), (errno.EIO, "internal.io"), (errno.EROFS, "internal.io")):
            with self.subTest(code):
                w.machine.fail_disk(folder, number)
                done = tap("nginx", "--delivery", folder / "one")
                self.assertGreater(w.machine.mend_disk(), 0)
                self.assertEqual((done.status, done.last.get("event"), done.code), (1, "delivery.failed", code), done)
                self.assertNotIn("code=", done.out + done.err)
                self.assertEqual(list(folder.iterdir()), [])
        self.accepted(tap("nginx", "--delivery", folder / "one"))
        self.assertEqual((folder / "one").stat().st_mode & 0o777, 0o600)

    def test_words_that_nobody_takes_are_no_success(self):
        with open("/dev/full", "wb") as full:
            for done in (tap(stdout=full), cardlink("services", stdout=full), cardlink("readers", stdout=full)):
                self.assertEqual(done.status, 1, done)
                self.assertIn("[internal.io]", done.err)

    def test_an_identity_that_cannot_be_written_is_not_made(self):
        w.write_terminal_configuration("unmade")
        for number in (errno.ENOSPC, errno.EIO):
            w.machine.fail_disk(w.etc / "unmade", number)
            done = cardlink("enrol", config=w.etc / "unmade.conf")
            self.assertGreater(w.machine.mend_disk(), 0)
            self.assertEqual(done.status, 1, done)
            self.assertIn(done.code, ("store.full", "internal.io"))
            self.assertEqual([path.name for path in w.etc.glob("unmade*")], ["unmade.conf"])


class Files(Case):
    """What the terminal is given, damaged: it says which file is wrong, at once, or does as if nothing were."""

    def setUp(self):
        super().setUp()
        self.folder = w.folder / "damaged"
        self.folder.mkdir(mode=0o700)
        self.addCleanup(shutil.rmtree, self.folder)
        text = (w.etc / "terminal.conf").read_text()
        for line in ("certificate", "key", "ca"):
            path = next(row.split('"')[1] for row in text.splitlines() if row.startswith(line + " "))
            shutil.copy(path, self.folder / line)
            text = text.replace(f'"{path}"', f'"{self.folder / line}"')
        (self.folder / "conf").write_text(text)
        os.chmod(self.folder / "key", 0o600)

    def ask(self):
        return cardlink("services", config=self.folder / "conf")

    def is_said(self, name):
        done = self.ask()
        self.assertEqual(done.status, 78, done)
        self.assertIn(str(self.folder / name), done.err)

    def test_what_is_no_file(self):
        for name in ("conf", "certificate", "key", "ca"):
            path = self.folder / name
            good = path.read_bytes()
            for make in (os.mkdir, lambda p: os.mkfifo(p, 0o600), lambda p: os.symlink("nowhere", p), lambda p: p.touch(0o600), lambda p: None):
                with self.subTest(name, make=make):
                    path.unlink()
                    make(path)
                    self.is_said(name)
                    if path.is_dir():
                        path.rmdir()
                    path.unlink(missing_ok=True)
                    path.touch(0o600)
                    path.write_bytes(good)
            self.assertEqual(self.ask().status, 0)

    def test_a_key_that_others_may_open_or_that_is_a_link(self):
        key = self.folder / "key"
        for mode in (0o644, 0o620, 0o601):
            key.chmod(mode)
            self.is_said("key")
        key.chmod(0o600)
        key.rename(self.folder / "other")
        key.symlink_to("other")
        self.is_said("key")

    def test_cut_off_anywhere(self):
        for name in ("certificate", "key", "ca"):
            path = self.folder / name
            good = path.read_bytes()
            body = good.rindex(b"-----END")
            for length in [*range(0, body, max(1, body // 12)), body - 1]:
                with self.subTest(name, length=length):
                    path.write_bytes(good[:length])
                    self.is_said(name)
            path.write_bytes(good)

    def test_a_changed_byte_anywhere(self):
        for name in ("conf", "certificate", "key", "ca"):
            path = self.folder / name
            good = path.read_bytes()
            for at in range(0, len(good), max(1, len(good) // 25)):
                with self.subTest(name, at=at):
                    path.write_bytes(good[:at] + bytes([good[at] ^ (1 << at % 7)]) + good[at + 1:])
                    done = self.ask()
                    # A byte that means nothing; the wrong file; another name, or a broker that is another.
                    self.assertIn(done.status, (0, 1, 69, 78), done)
                    if done.status:
                        self.assertTrue(done.code or "cardlink: " in done.err, done)
                    if name == "key":
                        self.assertIn(done.status, (0, 78), done)
            path.write_bytes(good)

    def test_a_cards_state_that_is_none_is_named(self):
        state = self.folder / "card"
        good = (w.cards / "Hanako.card").read_bytes()
        for content, mode, code in ((good[:-1], 0o600, "request.malformed"), (good, 0o644, "request.denied"), (b"", 0o600, "request.malformed")):
            state.write_bytes(content)
            state.chmod(mode)
            for words in (["--show", state], ["--socket", self.folder / "reader", state]):
                done = subprocess.run([w.program("cardlink-vcard"), *words], capture_output=True, check=False, text=True, timeout=30)
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"{state}: ", done.stderr)
                self.assertIn(f"[{code}]", done.stderr)
        # A socket does not take a state away.
        state.chmod(0o600)
        state.write_bytes(good)
        for words in (["--socket", state, state], ["--socket", self.folder / "reader", "--control", state, state]):
            done = subprocess.run([w.program("cardlink-vcard"), *words], capture_output=True, check=False, text=True, timeout=30)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("[resource.exists]", done.stderr)
            self.assertEqual(state.read_bytes(), good)


if __name__ == "__main__":
    main()

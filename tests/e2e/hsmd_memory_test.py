# SPDX-License-Identifier: GPL-3.0-or-later
"""The files in which hsmd remembers: damaged, missing, older, out of reach. Nothing is done on the strength of what is lost; the log
names the file; and when the files are back, so is what was refused, mostly without help."""

import errno
import os
import shutil
import sys
import threading
import unittest
from pathlib import Path

from world import PATIENCE, World, main, run, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from faulty import Machine  # noqa: E402

DOWN = ("hsm.unavailable", "hsm.feed_behind")

w = None


def setUpModule():
    global w
    w = World()
    w.machine = Machine(w.folder / "machine-faults", w.build)
    w.machine.reach(w, ("cardbroker-hsmd",))
    w.settle_in()
    w.works_again()
    w.ctl("card", "revoke", w.issue("Taro", "lost"))


def memory(name=""):
    return w.keys / "hsmd" / name


def one_tap(card):
    return w.outcome(w.one_tap(reader=w.reader if card == "Hanako" else w.lay(card)))


class Case(unittest.TestCase):
    def setUp(self):
        w.works_again(seconds=20)
        self.stop()
        self.kept = w.folder / "kept"
        shutil.rmtree(self.kept, ignore_errors=True)
        shutil.copytree(memory(), self.kept)

    def stop(self):
        w.programs["cardbroker-hsmd"].stop()

    def start(self):
        """Without waiting for anything."""
        self.before = len(w.log_of("cardbroker-hsmd"))
        return w.spawn("cardbroker-hsmd", [w.program("cardbroker-hsmd"), "--config", w.etc / "hsmd.conf"])

    def says(self, *words):
        wait_until(f"{words} in the log", lambda: all(word in w.log_of("cardbroker-hsmd")[self.before:] for word in words),
                   20 * PATIENCE)

    def put_back(self):
        shutil.rmtree(memory(), ignore_errors=True)
        shutil.copytree(self.kept, memory())

    def tearDown(self):
        w.machine.mend_disk()
        if w.programs["cardbroker-hsmd"].poll() is not None:
            self.put_back()
            self.start()
        w.works_again(seconds=20)
        self.assertEqual(one_tap("lost"), "card.revoked")
        wait_until("the record to verify", lambda: w.verify()["open_intents"] == 0, 20 * PATIENCE)
        self.assertEqual(w.verify()["findings"], [])


class Lost(Case):
    def serves_nobody_until_they_are_back(self, names, change, *words):
        for name in names:
            change(memory(name))
        try:
            self.start()
            self.says(*words, *names)
            self.assertIn(one_tap("Hanako"), DOWN)
            self.assertNotEqual(one_tap("lost"), "accepted")
            self.assertIsNone(w.programs["cardbroker-hsmd"].poll())
            if change == Path.unlink:
                self.assertFalse(any(memory(name).exists() for name in names))
        finally:
            for name in names:
                memory(name).unlink(missing_ok=True)
                shutil.copyfile(self.kept / name, memory(name))
        w.works_again(seconds=20)       # the workers come back by themselves

    def test_a_damaged_file_serves_nobody(self):
        self.serves_nobody_until_they_are_back(("revocations", "log-head"),
                                               lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
                                               "feed.unusable", "loghead.unusable", "hsm.record", "restore")

    def test_a_missing_file_is_not_made_anew(self):
        self.serves_nobody_until_they_are_back(("log-head", "bound-cards"), Path.unlink, "state.missing", "backup")

    def test_what_suspensions_were_lifted_is_needed_too(self):
        self.serves_nobody_until_they_are_back(("revocations.resumed",), Path.unlink, "state.missing", "backup")

    def test_without_the_list_of_bound_cards_cards_are_served_and_none_is_bound(self):
        memory("bound-cards").unlink()
        self.start()
        self.says("bindings.unusable", "state.missing", "bound-cards")
        w.works_again(seconds=20)
        self.assertEqual(one_tap("Hanako"), "accepted")
        self.assertEqual(one_tap("lost"), "card.revoked")
        certificate = w.make_card("unbound")
        made = []
        # It waits for the worker that binds, which cannot begin, and is served when that can.
        issue = threading.Thread(target=lambda: made.append(
            w.ctl("card", "issue", "--holder", w.holders["Taro"], "--certificate", certificate)))
        issue.start()
        issue.join(3)
        self.assertEqual(made, [])
        self.assertFalse(memory("bound-cards").exists())
        shutil.copyfile(self.kept / "bound-cards", memory("bound-cards"))
        issue.join(60 * PATIENCE)
        self.assertEqual([card["state"] for card in made], ["issued"])

    def test_a_missing_folder_is_one_whose_disk_is_not_mounted(self):
        os.rename(memory(), w.folder / "away")
        program = self.start()
        wait_until("the end", lambda: program.poll() is not None, 20 * PATIENCE)
        self.assertEqual(program.returncode, 1)     # not 78: it may be tried again
        self.says(str(w.keys / "hsmd"), "mount its disk")
        self.assertFalse(memory().exists())
        os.rename(w.folder / "away", memory())

    def test_out_of_reach_at_the_start(self):
        for error in (errno.EACCES, errno.EROFS):
            with self.subTest(error=errno.errorcode[error]):
                w.machine.fail_disk(memory(), error)
                program = self.start()
                wait_until("the end", lambda: program.poll() is not None, 20 * PATIENCE)
                self.assertEqual(program.returncode, 1)
                self.says("token.lock", os.strerror(error))
                w.machine.mend_disk()

    def test_only_an_officer_begins_with_an_empty_memory(self):
        """And then hears of every revocation from the database again."""
        shutil.rmtree(memory())
        run([w.program("cardbroker-hsmd"), "--config", w.etc / "hsmd.conf", "--initialise"], env=w.env)
        self.start()
        w.works_again(seconds=20)
        self.assertEqual(one_tap("lost"), "card.revoked")


class Older(Case):
    def test_an_older_memory_learns_what_it_missed_before_it_serves(self):
        self.start()
        w.works_again(seconds=20)
        if "later" not in w.card_ids:
            w.issue("Taro", "later")
        w.ctl("card", "revoke", w.card_ids["later"])
        w.works_again()
        self.stop()
        self.put_back()
        self.start()
        w.works_again(seconds=20)
        self.assertEqual(one_tap("later"), "card.revoked")

    def test_an_older_head_alone(self):
        self.start()
        w.works_again(seconds=20)
        self.stop()
        shutil.copyfile(self.kept / "log-head", memory("log-head"))
        self.start()
        w.works_again(seconds=20)


class Running(Case):
    def test_a_disk_that_fails_is_named_and_serves_again(self):
        self.start()
        w.works_again(seconds=20)
        for error in (errno.EROFS, errno.EIO, errno.ENOSPC):
            with self.subTest(error=errno.errorcode[error]):
                before = len(w.log_of("cardbroker-hsmd"))
                w.machine.fail_disk(memory(), error)
                self.assertNotEqual(one_tap("Hanako"), "accepted")
                said = w.log_of("cardbroker-hsmd")[before:]
                self.assertIn("state.failed", said)
                self.assertIn(os.strerror(error), said)
                w.machine.mend_disk()
                w.works_again(seconds=20)


if __name__ == "__main__":
    main()

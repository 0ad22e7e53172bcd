# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the database, and the disk under them: damaged, missing, exchanged, out of reach, at the start and under a broker
that runs. Each time a code and a sentence say what to do, nobody gets in, nothing acknowledged is lost, and it goes on when the
cause is gone."""

import errno
import hashlib
import json
import os
import secrets
import shutil
import signal
import sqlite3
import sys
import threading
import unittest
from pathlib import Path

from world import PATIENCE, Terminal, World, main, time, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from faulty import Machine  # noqa: E402

SUFFIXES = ("", "-wal", "-shm")

w = None


def setUpModule():
    global w
    w = World()
    w.machine = Machine(w.folder / "machine-faults", w.build)
    w.machine.reach(w, ("cardbrokerd",))
    w.settle_in()
    w.works_again()


def path(suffix=""):
    return w.state / f"cardbroker.db{suffix}"


def start():
    """Whether the broker starts; it need not be ready."""
    before = len(w.log_of("cardbrokerd"))
    program = w.spawn("cardbrokerd", [w.program("cardbrokerd"), "--config", w.etc / "cardbroker.conf"])
    wait_until("start or end", lambda: program.poll() is not None or "ready" in [event["event"] for event in events(before)],
               20 * PATIENCE)
    return program.poll() is None


def events(since):
    found = []
    for line in w.log_of("cardbrokerd")[since:].splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


class Case(unittest.TestCase):
    def verified(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        return report

    def tearDown(self):
        w.machine.mend_disk()
        if w.programs["cardbrokerd"].poll() is not None:
            w.start_broker()
        w.works_again(seconds=15)
        wait_until("every tap to be closed", lambda: self.verified()["open_intents"] == 0, 20 * PATIENCE)


class AtTheStart(Case):
    """The broker stands. Each fault is put right by putting the files back."""

    def setUp(self):
        w.works_again()
        w.programs["cardbrokerd"].stop()
        self.kept = w.folder / "kept"
        self.keep()

    def tearDown(self):
        if w.programs["cardbrokerd"].poll() is not None:
            self.put_back()
        super().tearDown()

    def keep(self):
        shutil.rmtree(self.kept, ignore_errors=True)
        self.kept.mkdir()
        for suffix in SUFFIXES:
            if path(suffix).exists():
                shutil.copyfile(path(suffix), self.kept / path(suffix).name)

    def put_back(self):
        w.machine.mend_disk()
        for suffix in SUFFIXES:
            if path(suffix).is_dir():
                path(suffix).rmdir()
            path(suffix).unlink(missing_ok=True)
            if (self.kept / path(suffix).name).exists():
                shutil.copyfile(self.kept / path(suffix).name, path(suffix))

    def refused(self, what, code, words=None):
        """Ends with 1, and the last words are the code, the file and what to do."""
        with self.subTest(what=what):
            before = len(w.log_of("cardbrokerd"))
            self.assertFalse(start(), what)
            said = events(before)
            self.assertEqual(w.programs["cardbrokerd"].returncode, 1)
            last = [event for event in said if event["event"] == "start.failed"]
            self.assertEqual([event["error"] for event in last], [code], said)
            self.assertIn(str(path()), last[0]["message"])
            self.assertIn(": ", last[0]["message"])
            if words:
                self.assertTrue(any(words in json.dumps(event) for event in said), said)
        self.put_back()

    def edit(self, suffix, at, data):
        with open(path(suffix), "r+b") as file:
            file.seek(at)
            file.write(data)

    def test_a_damaged_file_is_called_so(self):
        self.edit("", 0, bytes(100))
        self.refused("the first bytes are zeros", "store.damaged", "restore")
        self.edit("", 16, b"\x00\x03")
        self.refused("a page size that there is not", "store.damaged")
        path().write_bytes(b"not a database, but of some length " * 1000)
        self.refused("another kind of file", "store.damaged")
        size = path().stat().st_size
        os.truncate(path(), size // 2)
        self.refused("cut in the middle", "store.damaged")

    def test_a_database_that_is_not_the_one_is_refused(self):
        path().unlink()
        self.refused("missing", "hsm.rolled_back", "store.created")
        path().write_bytes(b"")
        self.refused("empty", "hsm.rolled_back")
        other = w.folder / "other.db"
        self.another(other)
        shutil.copyfile(other, path())
        self.refused("another installation's", "hsm.rolled_back", "restore")
        path().unlink()
        db = sqlite3.connect(path())
        db.execute("CREATE TABLE theirs (x)")
        db.commit()
        db.close()
        self.refused("another program's", "store.unavailable", "not a Cardbroker database")

    def another(self, target):
        """A database of ours whose log began otherwise."""
        shutil.copyfile(path(), target)
        db = sqlite3.connect(target, isolation_level=None)
        triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        db.execute("DELETE FROM tree_head")
        data = db.execute("SELECT data FROM evidence_leaf WHERE position = 0").fetchone()[0] + b"other yes\n"
        db.execute("UPDATE evidence_leaf SET data = ?, hash = ? WHERE position = 0", (data, hashlib.sha256(b"\0" + data).digest()))
        for _, sql in triggers:
            db.execute(sql)
        db.close()

    def test_out_of_reach(self):
        path().unlink()
        path().mkdir()
        self.refused("a folder", "store.unavailable", os.strerror(errno.EISDIR))
        for error, words in ((errno.EACCES, os.strerror(errno.EACCES)), (errno.EROFS, os.strerror(errno.EROFS)), (errno.EIO, "cannot be opened")):
            w.machine.fail_disk(path(), error)
            self.refused(errno.errorcode[error], "store.unavailable", words)
        path().unlink()
        os.symlink(self.kept / path().name, path())
        self.refused("a link", "store.unavailable", os.strerror(errno.ELOOP))

    def test_an_index_that_disagrees_with_its_table_lets_nobody_in(self):
        """Each index is empty, one after the other; a card that was revoked stays so."""
        w.start_broker()
        card = w.issue("Taro", f"lost {secrets.token_hex(4)}")
        w.ctl("card", "revoke", card)
        w.programs["cardbrokerd"].stop()
        self.keep()
        db = sqlite3.connect(path())
        indexes = db.execute("SELECT name, rootpage FROM sqlite_schema WHERE type = 'index' ORDER BY name").fetchall()
        db.close()
        self.assertGreater(len(indexes), 8)
        w.insert_card(next(name for name, known in w.card_ids.items() if known == card))
        try:
            for name, root in indexes:
                with self.subTest(index=name):
                    self.edit("", (root - 1) * 4096, b"\x0a\0\0\0\0\x10\0\0")
                    if start():
                        done = w.one_tap()
                        self.assertIn(done.code, ("card.revoked", "card.unknown", "request.unauthenticated", "terminal.unknown",
                                                  "store.unavailable", "store.damaged", "hsm.record", "service.unknown"), done)
                        w.programs["cardbrokerd"].stop()
                    self.assertIn(w.programs["cardbrokerd"].returncode, (0, 1))
                    db = sqlite3.connect(path())    # hsmd has signed what was refused meanwhile: nothing older will do
                    db.execute(f"REINDEX {name}")
                    db.close()
                    self.keep()
        finally:
            w.insert_card("Hanako")

    def test_held_by_another_program(self):
        db = sqlite3.connect(path(), isolation_level=None)
        db.execute("BEGIN EXCLUSIVE")
        before = len(w.log_of("cardbrokerd"))
        self.assertFalse(start())
        db.execute("ROLLBACK")
        db.close()
        self.assertTrue(any("Another program holds the database" in event["message"] for event in events(before)))

    def test_after_a_kill_whatever_happened_to_the_wal_either_everything_is_there_or_it_does_not_serve(self):
        w.start_broker()
        for tapped in range(3):
            self.assertEqual(w.one_tap().json.get("outcome"), "accepted")
        self.kill()
        size = path("-wal").stat().st_size
        self.assertGreater(size, 8192)
        faults = {
            "deleted": (lambda: path("-wal").unlink(), False),
            "emptied": (lambda: os.truncate(path("-wal"), 0), False),
            "cut": (lambda: os.truncate(path("-wal"), size // 3), False),
            "its head is garbage": (lambda: self.edit("-wal", 0, os.urandom(32)), False),
            "a frame is garbage": (lambda: self.edit("-wal", 32 + 24 + 4096, os.urandom(4096)), False),
            "all of it is garbage": (lambda: path("-wal").write_bytes(os.urandom(size)), False),
            "garbage behind its end": (lambda: self.edit("-wal", path("-wal").stat().st_size, os.urandom(10000)), True),
            "its index is deleted": (lambda: path("-shm").unlink(), True),
            "its index is garbage": (lambda: path("-shm").write_bytes(os.urandom(32768)), True),
            "its index is cut": (lambda: os.truncate(path("-shm"), 100), True),
        }
        for what, (do, serves) in faults.items():
            with self.subTest(what=what):
                do()
                before = len(w.log_of("cardbrokerd"))
                started = start()
                if serves:
                    self.assertTrue(started, w.programs["cardbrokerd"].last_words())
                    w.works_again()
                    self.kill()
                else:
                    self.assertFalse(started)
                    failed = [event for event in events(before) if event["event"] == "start.failed"]
                    self.assertIn(failed[0]["error"], ("hsm.rolled_back", "store.damaged", "evidence.invalid"))
                    self.put_back()

    def kill(self):
        """What is there then is what there is to put back: hsmd has signed it."""
        w.programs["cardbrokerd"].process.send_signal(signal.SIGKILL)
        w.programs["cardbrokerd"].process.wait()
        self.keep()


class Running(Case):
    def setUp(self):
        w.works_again()

    def readiness(self):
        return w.admin("GET", "/v1/ready").code

    def revoke_one(self):
        card = w.issue("Taro", f"lost {secrets.token_hex(4)}")
        return card, lambda: w.admin("POST", f"/v1/cards/{card}/revoke", {"reason": "lost"})

    def refuses(self, code, do, undo):
        """While it lasts: taps and revocations are refused with the code, the state is the code; then all is as before."""
        card, revoke = self.revoke_one()
        before, leaves = len(w.log_of("cardbrokerd")), w.size()
        do()
        try:
            refusals = [revoke(), w.one_tap(), w.one_tap(), revoke()]
            state, said = self.readiness(), w.ctl("status")["broker"]
        finally:
            undo()
        for refusal in refusals:
            self.assertEqual((refusal.status, refusal.code), (503, code), refusal)
        self.assertEqual((state, said["ready"], said["store"]["state"]), (code, False, code))
        self.assertIn("store.fault", [event["event"] for event in events(before)])
        w.works_again(seconds=15)
        self.assertIsNone(self.readiness())
        self.assertIn("store.sound", [event["event"] for event in events(before)])
        self.assertGreater(w.size(), leaves)
        if w.ctl("card", "show", card)["state"] == "active":
            self.assertEqual(revoke().json["state"], "revoked")

    def test_a_disk_that_fails_or_is_read_only_for_a_while(self):
        for error in (errno.EROFS, errno.EIO):
            with self.subTest(error=errno.errorcode[error]):
                self.refuses("store.unavailable", lambda: w.machine.fail_disk(path(), error), w.machine.mend_disk)

    def test_a_disk_that_fails_between_intent_and_result_leaves_no_tap_open(self):
        with Terminal(w) as terminal:
            tap, answers = w.played(terminal, None)
            held = [pid for pid, _ in w.processes("cardbroker-connectord")]    # the login waits there
            for pid in held:
                os.kill(pid, signal.SIGSTOP)
            try:
                results = []
                thread = threading.Thread(target=lambda: results.append(terminal.proof(tap, answers)))
                thread.start()
                wait_until("the intent", lambda: w.ctl("status")["broker"]["store"]["open_intents"] == 1, 10 * PATIENCE)
                w.machine.fail_disk(path(), errno.EROFS)
            finally:
                for pid in held:
                    os.kill(pid, signal.SIGCONT)
            thread.join(60)
        self.assertEqual(results[0].code, "store.unavailable", results[0])
        self.assertEqual(w.ctl("status")["broker"]["store"]["open_intents"], 1)
        w.machine.mend_disk()
        wait_until("the intent's end", lambda: w.ctl("status")["broker"]["store"]["open_intents"] == 0, 20 * PATIENCE)
        ends = [w.fields(leaf) for leaf in w.leaves() if w.fields(leaf).get("tap") == tap]
        self.assertEqual([end["outcome"] for end in ends if end["kind"] == "tap.result"], ["interrupted"])

    def test_a_file_that_was_moved_away(self):
        for suffix in SUFFIXES:
            with self.subTest(file=suffix or "database"):
                away = w.folder / "away"
                self.refuses("store.moved", lambda: os.rename(path(suffix), away), lambda: os.rename(away, path(suffix)))

    def test_another_file_in_its_place(self):
        away = w.folder / "away"
        db = sqlite3.connect(path())
        copy = w.folder / "older.db"
        copy.unlink(missing_ok=True)
        db.execute("VACUUM INTO ?", (str(copy),))
        db.close()
        w.works_again()

        def do():
            os.rename(path(), away)
            shutil.copyfile(copy, path())
        self.refuses("store.moved", do, lambda: os.rename(away, path()))

    def test_a_wal_that_was_deleted_loses_nothing_when_the_broker_is_stopped(self):
        card, revoke = self.revoke_one()
        self.assertEqual(revoke().json["state"], "revoked")
        self.assertEqual(w.one_tap().json.get("outcome"), "accepted")
        leaves = w.size()
        for suffix in ("-wal", "-shm"):
            path(suffix).unlink()
        self.assertEqual(w.one_tap().code, "store.moved")
        w.programs["cardbrokerd"].stop()
        w.start_broker()
        self.assertGreaterEqual(w.size(), leaves)
        self.assertEqual(w.ctl("card", "show", card)["state"], "revoked")

    def test_a_damaged_page_stops_everything_until_it_was_restored(self):
        db = sqlite3.connect(path())
        root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'holder'").fetchone()[0]
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        before = len(w.log_of("cardbrokerd"))
        with open(path(), "r+b") as file:
            file.seek((root - 1) * 4096)
            page = file.read(4096)
            file.seek((root - 1) * 4096)
            file.write(bytes(4096))
        try:
            self.assertEqual(w.ctl("card", "list", "--holder", w.holders["Taro"])[0]["holder"], w.holders["Taro"])
            wait_until("a refusal", lambda: w.one_tap().code == "store.damaged", 20 * PATIENCE)
            refused = w.admin("GET", "/v1/holders")
            self.assertEqual((refused.status, refused.code), (503, "store.damaged"), refused)
            self.assertIn("restore the newest backup", refused.json["detail"])
            wait_until("the state", lambda: self.readiness() == "store.damaged", 20 * PATIENCE)
            self.assertIn("store.refuses", [event["event"] for event in events(before)])
        finally:
            w.programs["cardbrokerd"].stop()
            with open(path(), "r+b") as file:
                file.seek((root - 1) * 4096)
                file.write(page)

    def settle(self):
        """Waits until nothing has been written for a while: SQLite survives a garbled index, but not in the middle of a transaction."""
        def written():
            return [(path(suffix).stat().st_mtime_ns, path(suffix).stat().st_size) for suffix in ("", "-wal")]
        before, since = written(), time.monotonic()
        for _ in range(1000):
            if time.monotonic() - since > 0.5 * PATIENCE:
                return
            time.sleep(0.02)
            if written() != before:
                before, since = written(), time.monotonic()
        self.fail("it never rests")

    def test_a_garbled_index_of_the_wal_is_made_anew(self):
        for data in (os.urandom(32768), bytes(32768)):
            self.settle()
            with open(path("-shm"), "r+b") as file:
                file.write(data)
            w.works_again()
            self.assertEqual(self.verified()["findings"], [])


if __name__ == "__main__":
    main()

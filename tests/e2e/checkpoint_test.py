# SPDX-License-Identifier: GPL-3.0-or-later
"""After a start logins wait for the record from its last checkpoint on; the rest is read while they are served, and what
somebody did to it is found."""

import signal
import sqlite3
import unittest

from world import PATIENCE, World, main, wait_until

w = None


class Checked(World):
    """An installation that makes a checkpoint every few leaves."""

    def configure(self):
        super().configure()
        with open(self.etc / "cardbroker.conf", "a", encoding="ascii") as file:
            file.write("checkpoint-leaves = 20\n")


def setUpModule():
    global w
    w = Checked()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_holder("Hanako")
    w.insert_card("Hanako")


def database():
    return w.state / "cardbroker.db"


def file():
    return w.state / "cardbroker.db-checkpoint"


def store():
    return w.ctl("status")["broker"]["store"]


def checkpoints():
    return w.leaves("--kind", "record.checkpoint")


def all_read():
    now = store()
    return now["leaves_checked"] == now["leaves_found"] and now


class Checkpoints(unittest.TestCase):
    """In the order of their names."""

    def live_until_checkpoint(self):
        before = len(checkpoints())
        for _ in range(40):
            self.assertEqual(w.one_tap().json.get("outcome"), "accepted")
            if len(checkpoints()) > before:
                break
        wait_until("the checkpoint's file", lambda: file().exists() and not file().with_suffix(".db-checkpoint.next").exists())

    def test_1_a_start_goes_on_from_a_checkpoint(self):
        self.live_until_checkpoint()
        self.assertEqual(file().stat().st_mode & 0o777, 0o600)
        for end in (signal.SIGTERM, signal.SIGKILL):
            w.programs["cardbrokerd"].process.send_signal(end)
            w.programs["cardbrokerd"].process.wait(20 * PATIENCE)
            w.start_broker()
            self.assertGreater(store()["leaves_checkpoint"], 0)
            w.works_again()
            wait_until("the rest to be read", all_read, 10 * PATIENCE)
        metrics = w.admin("GET", "/metrics").data.decode()
        self.assertIn("\ncardbroker_evidence_unread 0\n", metrics)
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])
        self.assertGreaterEqual(report["checkpoints"], 1)
        self.assertEqual(report["checkpoints_other"], 0)

    def test_2_without_its_file_everything_is_read_and_another_is_made(self):
        w.stop_one("cardbrokerd")
        file().unlink()
        w.start_broker()
        self.assertEqual(store()["leaves_checkpoint"], 0)
        w.works_again()
        self.live_until_checkpoint()

    def test_3_an_old_leaf_that_was_changed_closes_the_broker(self):
        self.live_until_checkpoint()
        w.stop_one("cardbrokerd")
        db = sqlite3.connect(database(), isolation_level=None)
        schema = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'evidence_leaf'").fetchall()
        for name, _ in schema:
            db.execute(f"DROP TRIGGER {name}")
        db.execute("UPDATE evidence_leaf SET data = other.data, hash = other.hash FROM evidence_leaf AS other "
                   "WHERE evidence_leaf.position = 3 AND other.position = 2")
        for _, sql in schema:
            db.execute(sql)
        db.close()
        for start in range(2):
            w.spawn("cardbrokerd", [w.program("cardbrokerd"), "--config", w.etc / "cardbroker.conf"])
            wait_until("the change to be found", self.closed, 10 * PATIENCE)
            self.assertFalse(file().exists())
            self.assertEqual(w.one_tap().code, "evidence.invalid")
            w.stop_one("cardbrokerd")
        self.assertIn("Old leaves of the record are not the ones that were signed", w.log_of("cardbrokerd"))

    @staticmethod
    def closed():
        try:
            return w.admin("GET", "/v1/ready").code == "evidence.invalid"
        except OSError:
            return False


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody writes the database: every row and file of it, while the broker runs or stands, back to any older copy. He gets
nobody logged in who was not, nowhere else than before, and what he did to the record is found."""

import os
import shutil
import sqlite3
import threading
import unittest

from world import PATIENCE, Card, Terminal, main, wait_until, world

w = None


def setUpModule():
    global w
    w = world()
    w.add_nginx("other")
    w.add_holder("Hanako", services=("nginx", "other"))
    w.add_holder("Taro", services=("nginx", "other"))
    w.insert_card("Hanako")
    assert tap().get("outcome") == "accepted"


def tearDownModule():
    if w:
        w.tear_down()


def path():
    return w.state / "cardbroker.db"


def attacker():
    """A connection that no check or trigger binds."""
    db = sqlite3.connect(path(), isolation_level=None, timeout=10)
    for pragma in ("ignore_check_constraints = ON", "foreign_keys = OFF"):
        db.execute(f"PRAGMA {pragma}")
    return db


def write(sql, *values):
    db = attacker()
    try:
        db.execute(sql, values)
    finally:
        db.close()


def read(sql, *values):
    db = attacker()
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def uuid(text):
    return bytes.fromhex(text.replace("-", ""))


def tap(service="nginx", **more):
    """The last answer of a tap by hand, be it to the question or to the proof."""
    with Terminal(w) as terminal, Card(w.reader) as reader:
        begun = terminal.begin()
        if begun.status != 201:
            return begun.json
        asked = terminal.challenge(begun.json["tap"], reader.play(begun.json["script"]), service, **more)
        if asked.status != 200:
            return asked.json
        return terminal.proof(begun.json["tap"], reader.play(asked.json["script"])).json


def logins_begun():
    return w.log_of("cardbroker-connectord").count("login.started")


def last_leaf():
    return w.fields(w.leaves()[-1])


def live():
    try:
        return w.admin("GET", "/v1/live").status == 200
    except OSError:
        return False


def start():
    """Whether the broker starts; it need not be ready."""
    program = w.spawn("cardbrokerd", [w.program("cardbrokerd"), "--config", w.etc / "cardbroker.conf"])
    wait_until("start or end", lambda: program.poll() is not None or live(), 20 * PATIENCE)
    return program.poll() is None


def start_again(change=None):
    w.programs["cardbrokerd"].stop()
    if change:
        change()
    w.start_broker()


class Rows:
    """Rows as they are, put back when the block ends."""

    def __init__(self, table, where="1"):
        self.table, self.where = table, where

    def __enter__(self):
        self.rows = read(f"SELECT * FROM {self.table} WHERE {self.where}")
        return self

    def __exit__(self, *_):
        db = attacker()
        db.execute("BEGIN IMMEDIATE")
        for row in self.rows:
            db.execute(f"INSERT OR REPLACE INTO {self.table} VALUES ({','.join('?' * len(row))})", row)
        db.execute("COMMIT")
        db.close()


def key_of(holder, service):
    return read("SELECT sealed FROM enrolment_key WHERE enrolment = ? AND state = 'current'",
                uuid(w.enrolments[holder, service]))[0][0]


def put_key(holder, service, sealed):
    write("UPDATE enrolment_key SET sealed = ? WHERE enrolment = ? AND state = 'current'", sealed,
          uuid(w.enrolments[holder, service]))


def parts(sealed):
    """Where the fields of a sealed key begin and end (hsm/sealed.h)."""
    name = sealed[34]
    after = 35 + name
    public = int.from_bytes(sealed[after + 15:after + 17], "big")
    wrapped = after + 17 + public
    return {"kind": (0, 1), "version": (1, 2), "key": (2, 18), "holder": (18, 34), "service": (35, 35 + name),
            "algorithm": (after, after + 1), "level": (after + 1, after + 2), "uses": (after + 2, after + 3),
            "generation": (after + 3, after + 7), "sequence": (after + 7, after + 15),
            "public key": (after + 17, after + 17 + public), "wrapped": (wrapped + 2, len(sealed) - 32),
            "mac": (len(sealed) - 32, len(sealed))}


class SealedKeys(unittest.TestCase):
    def refused(self, sealed, codes, holder="Hanako"):
        with Rows("enrolment_key"):
            put_key(holder, "nginx", sealed)
            done = tap()
            self.assertIn(done.get("code"), codes, done)
            self.assertNotIn("delivery", done)
            said = last_leaf()
            self.assertEqual((said["kind"], said["outcome"]), ("tap.result", done["code"]))
            self.assertNotIn("receipt", said)

    def test_edited_anywhere_a_sealed_key_opens_nothing(self):
        sealed = key_of("Hanako", "nginx")
        for field, (begin, end) in parts(sealed).items():
            for place in {begin, end - 1}:
                with self.subTest(field=field, place=place):
                    edited = bytearray(sealed)
                    edited[place] ^= 1
                    self.refused(bytes(edited), {"hsm.record"})
        for what, other in {"cut": sealed[:-1], "longer": sealed + b"\0", "one byte": b"K",
                            "zeros": bytes(len(sealed)), "another's mac": sealed[:-32] + key_of("Taro", "nginx")[-32:]}.items():
            with self.subTest(what=what):
                self.refused(other, {"hsm.record"})

    def test_a_sealed_key_of_another_holder_or_service_opens_nothing(self):
        for holder, service in (("Taro", "nginx"), ("Hanako", "other"), ("Taro", "other")):
            with self.subTest(holder=holder, service=service):
                self.refused(key_of(holder, service), {"hsm.activation"})

    def test_an_old_generation_of_a_renewed_key_stays_retired(self):
        w.add_holder("Renewed")
        enrolment, old = w.enrolments["Renewed", "nginx"], key_of("Renewed", "nginx")
        old_row = read("SELECT id, certificate, chain FROM enrolment_key WHERE enrolment = ?", uuid(enrolment))[0]
        request = w.folder / "renewed.csr"
        w.ctl("enrolment", "renew", enrolment, "--algorithm", "ec-p256", "--csr", request, "--subject", "CN=Renewed")
        w.ctl("enrolment", "certify", enrolment, "--certificate", w.sign_with_nginx_authority(request, w.folder / "renewed"))
        w.insert_card("Renewed")
        try:
            self.assertEqual(tap().get("outcome"), "accepted")
            with Rows("enrolment_key"):
                put_key("Renewed", "nginx", old)
                self.assertIn(tap().get("code"), {"hsm.key_retired", "tap.withdrawn"})
            with Rows("enrolment_key"):     # all of the row, its identifier too
                write("DELETE FROM enrolment_key WHERE id = ?", old_row[0])
                write("UPDATE enrolment_key SET id = ?, sealed = ?, certificate = ?, chain = ? WHERE enrolment = ?", old_row[0],
                      old, old_row[1], old_row[2], uuid(enrolment))
                self.assertIn(tap().get("code"), {"hsm.key_retired", "tap.withdrawn"})
                write("DELETE FROM enrolment_key WHERE enrolment = ?", uuid(enrolment))
            self.assertEqual(tap().get("outcome"), "accepted")
        finally:
            w.insert_card("Hanako")


class Cards(unittest.TestCase):
    def refused(self, codes, **fields):
        card = uuid(w.card_ids["Hanako"])
        with Rows("card"):
            for name, value in fields.items():
                write(f"UPDATE card SET {name} = ? WHERE id = ?", value, card)
            done = tap()
            self.assertIn(done.get("code"), codes, done)
            said = last_leaf()
            self.assertEqual((said["kind"], said["outcome"], said["card"]), ("tap.refused", done["code"], w.card_ids["Hanako"]))

    def test_a_card_is_not_given_to_another_holder(self):
        self.refused({"hsm.record"}, holder=uuid(w.holders["Taro"]))

    def test_the_binding_of_another_card_is_refused(self):
        taro = read("SELECT binding FROM card WHERE id = ?", uuid(w.card_ids["Taro"]))[0][0]
        self.refused({"hsm.record"}, binding=taro)
        self.refused({"hsm.record"}, binding=taro, holder=uuid(w.holders["Taro"]))

    def test_a_binding_that_was_edited_is_refused(self):
        binding = read("SELECT binding FROM card WHERE id = ?", uuid(w.card_ids["Hanako"]))[0][0]
        for place in (0, 1, 2, 17, 18, 33, 34, 35, 36, 43, 44, len(binding) - 33, len(binding) - 32, len(binding) - 1):
            with self.subTest(place=place):
                edited = bytearray(binding)
                edited[place] ^= 1
                self.refused({"hsm.record"}, binding=bytes(edited))

    def test_a_card_that_nobody_activated_is_refused(self):
        w.issue("Taro", "posted", active=False)
        w.insert_card("posted")
        try:
            self.assertEqual(tap().get("code"), "card.not_active")
            write("UPDATE card SET state = 'active' WHERE id = ?", uuid(w.card_ids["posted"]))
            self.assertEqual(tap().get("code"), "hsm.record")
            start_again()
            self.assertEqual(tap().get("code"), "hsm.record")
            write("UPDATE card SET state = 'issued' WHERE id = ?", uuid(w.card_ids["posted"]))
        finally:
            w.insert_card("Hanako")

    def test_a_revoked_or_suspended_card_stays_so(self):
        for act, code in (("suspend", "card.suspended"), ("revoke", "card.revoked")):
            with self.subTest(act=act):
                name = f"once-{act}"
                w.add_holder(name)
                w.insert_card(name)
                try:
                    self.assertEqual(tap().get("outcome"), "accepted")
                    w.ctl("card", act, w.card_ids[name])
                    write("UPDATE card SET state = 'active' WHERE id = ?", uuid(w.card_ids[name]))
                    self.assertEqual(tap().get("code"), code)
                    start_again()
                    self.assertEqual(tap().get("code"), code)
                finally:
                    w.insert_card("Hanako")


class Services(unittest.TestCase):
    EDITS = {
        "endpoint": "config = replace(config, '/whoami', '/elsewhere')",
        "trust anchor": "config = replace(config, 'server-ca', 'ca')",
        "client identity": "connector = 'jwt'",
        "level": "level = 1",
        "certificate": "certificate = 0",
        "kind": "kind = 1",
        "life": "life = 60000000",
        "title": "title = 'Bank'",
    }

    def test_a_service_that_was_changed_gets_no_login(self):
        w.add_nginx("strict", level="pin")
        for running in (True, False):
            for what, edit in self.EDITS.items():
                with self.subTest(what=what, running=running), Rows("service"):
                    name = "strict" if what == "level" else "nginx"     # one without a PIN is asked of it afterwards

                    def change():
                        write(f"UPDATE service SET {edit} WHERE name = '{name}'")
                    if running:
                        change()
                    else:
                        start_again(change)
                    begun = logins_begun()
                    done = tap(name)
                    self.assertEqual(done.get("code"), "hsm.record", done)
                    self.assertEqual(logins_begun(), begun)
                    self.assertEqual(last_leaf()["kind"], "tap.refused")
        start_again()
        begun = logins_begun()
        self.assertEqual(tap().get("outcome"), "accepted")
        wait_until("the login to be told of", lambda: logins_begun() > begun)

    def test_a_terminal_that_was_changed_gets_no_login(self):
        for edit in ("rate = 0", "all_services = 0", "name = name, all_services = 0"):
            with self.subTest(edit=edit), Rows("terminal"):
                write(f"UPDATE terminal SET {edit}")
                self.assertIn(tap().get("code"), {"hsm.record", "terminal.service"})
        self.assertEqual(tap().get("outcome"), "accepted")


class Copies(unittest.TestCase):
    """The whole database, back to an older copy."""

    def copy(self, name):
        target = w.folder / f"copy-{name}.db"
        if target.exists():
            target.unlink()
        db = attacker()
        db.execute("VACUUM INTO ?", (str(target),))
        db.close()
        return target

    def put(self, copy):
        for suffix in ("", "-wal", "-shm"):
            file = path().with_name(path().name + suffix)
            if file.exists():
                file.unlink()
        shutil.copyfile(copy, path())

    def start_refused(self, code):
        before = len(w.log_of("cardbrokerd"))
        self.assertFalse(start())
        self.assertIn(code, w.log_of("cardbrokerd")[before:])

    def test_an_older_copy_is_refused_whatever_came_after_it(self):
        """In each of several positions; only the newest starts, and verifies."""
        w.add_holder("Lost")
        steps = {
            "a tap": lambda: self.assertEqual(tap().get("outcome"), "accepted"),
            "an act": lambda: w.ctl("holder", "add", "--name", "Later"),
            "a revocation": lambda: w.ctl("card", "revoke", w.card_ids["Lost"]),
            "a refusal": lambda: self.assertEqual(tap("nobody").get("code"), "service.unknown"),
        }
        copies = []
        for name, step in list(steps.items())[:3]:
            copies.append((name, self.copy(name.replace(" ", "-"))))
            step()
        wait_until("the signature", lambda: w.ctl("status")["broker"]["store"]["leaves_unsigned"] == 0, 10 * PATIENCE)
        w.programs["cardbrokerd"].stop()
        newest = self.copy("newest")
        for name, copy in copies:
            with self.subTest(before=name):
                self.put(copy)
                self.start_refused("hsm.rolled_back")
        self.put(newest)
        w.start_broker()
        self.assertEqual(tap().get("outcome"), "accepted")
        self.assertEqual(w.verify()["findings"], [])

    def test_a_copy_that_is_made_while_people_tap_is_whole(self):
        outcomes = []

        def keep_tapping():
            while not over.is_set():
                outcomes.append(tap().get("outcome"))
        over = threading.Event()
        taps = threading.Thread(target=keep_tapping)
        taps.start()
        try:
            wait_until("some taps", lambda: len(outcomes) > 3, 20 * PATIENCE)
            copy = self.copy("while-serving")
            had = len(outcomes)
            wait_until("more taps", lambda: len(outcomes) > had + 2, 20 * PATIENCE)
        finally:
            over.set()
            taps.join()
        self.assertEqual(set(outcomes), {"accepted"})
        def audited(database):
            return w.ctl("audit", "verify", "--log-key", w.pki / "log.pem", "--database", database, ok=(0, 1))
        report = audited(copy)
        # What others in this file have changed is in both.
        self.assertEqual(report["findings"], audited(self.copy("at rest"))["findings"])
        self.assertEqual([one for one in report["findings"] if one["what"] != "table.state"], [])
        self.assertGreater(report["leaves"], 2 * 3)
        self.assertLess(report["leaves"], w.verify()["leaves"])

    def test_an_older_copy_under_a_running_broker_stops_it(self):
        old = self.copy("under")
        self.assertEqual(tap().get("outcome"), "accepted")
        source, target = sqlite3.connect(old), attacker()
        newest = self.copy("above")
        source.backup(target)       # by SQLite's own means, as one transaction
        source.close()
        target.close()
        with Terminal(w) as terminal:
            tapped, answers = w.played(terminal, None)
            self.assertIn(terminal.proof(tapped, answers).code, {"evidence.invalid", "store.unavailable"})
        self.assertNotEqual(w.admin("GET", "/v1/ready").status, 200)
        w.programs["cardbrokerd"].stop()
        self.put(newest)
        w.start_broker()
        self.assertEqual(tap().get("outcome"), "accepted")


def start_hsmd():
    """Until all of its workers serve: one that is stopped while it logs in can leave SoftHSM's token file empty."""
    before = w.log_of("cardbroker-hsmd").count("worker.ready")
    w.start_hsmd()
    wait_until("hsmd's workers", lambda: w.log_of("cardbroker-hsmd").count("worker.ready") >= before + w.workers + 2,
               20 * PATIENCE)


class Files(unittest.TestCase):
    """SQLite's own files; each time everything is put back afterwards, hsmd's memory too, for hsmd is ahead by then."""

    def setUp(self):
        w.programs["cardbrokerd"].stop()
        w.programs["cardbroker-hsmd"].stop()
        db = attacker()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        self.kept, self.memory = w.folder / "kept.db", w.folder / "kept-hsmd"
        shutil.copyfile(path(), self.kept)
        shutil.rmtree(self.memory, ignore_errors=True)
        shutil.copytree(w.keys / "hsmd", self.memory)
        start_hsmd()

    def tearDown(self):
        self.put_back()
        w.start_broker()
        self.assertEqual(tap().get("outcome"), "accepted")

    def put_back(self):
        w.programs["cardbrokerd"].stop()
        for suffix in ("-wal", "-shm"):
            path().with_name(path().name + suffix).unlink(missing_ok=True)
        shutil.copyfile(self.kept, path())
        w.programs["cardbroker-hsmd"].stop()
        shutil.copytree(self.memory, w.keys / "hsmd", dirs_exist_ok=True)
        start_hsmd()

    def never_lets_in_what_it_should_not(self, codes):
        """It does not start, or a login fails with one of these codes; it never crashes."""
        if start():
            try:
                done = tap()
                self.assertIn(done.get("code"), codes, done)
            except (OSError, KeyError):
                pass
            self.assertIsNone(w.programs["cardbrokerd"].poll())
            w.programs["cardbrokerd"].stop()
        self.assertIn(w.programs["cardbrokerd"].returncode, (0, 1, 78))

    def test_a_schema_with_more_in_it_does_not_start(self):
        for sql in ("CREATE TRIGGER t AFTER INSERT ON intent BEGIN UPDATE card SET state = 'active'; END",
                    "CREATE VIEW v AS SELECT * FROM card", "DROP TRIGGER feed_kept", "PRAGMA application_id = 1"):
            with self.subTest(sql=sql):
                write(sql)
                self.assertFalse(start())
                self.put_back()

    def test_a_file_that_was_cut_does_not_serve(self):
        size = os.path.getsize(path())
        for part in (0.1, 0.5, 0.9):
            with self.subTest(part=part):
                os.truncate(path(), int(size * part) // 4096 * 4096)
                self.never_lets_in_what_it_should_not({"store.unavailable", "store.damaged", "evidence.invalid"})
                self.put_back()

    def test_a_log_of_another_database_is_not_taken(self):
        other = w.folder / "other.db"
        db = sqlite3.connect(other)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE x (y)")
        db.commit()
        shutil.copyfile(f"{other}-wal", f"{path()}-wal")
        db.close()
        self.never_lets_in_what_it_should_not({"store.unavailable", "store.damaged", "evidence.invalid"})

    def test_a_corrupt_page_of_any_table_or_index_is_not_believed(self):
        roots = read("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0 ORDER BY rootpage")
        self.assertGreater(len(roots), 20)
        relied = {"evidence_leaf", "tree_head", "feed", "card", "terminal", "service", "enrolment", "enrolment_key",
                  "schema_migration"}
        for name, page in roots:
            if name not in relied:
                continue
            with self.subTest(name=name):
                with open(path(), "r+b") as file:
                    file.seek((page - 1) * 4096)
                    file.write(os.urandom(4096))
                self.never_lets_in_what_it_should_not({"store.unavailable", "store.damaged", "evidence.invalid", "hsm.record",
                                                       "card.unknown", "terminal.unknown", "request.unauthenticated"})
                self.put_back()


class Evidence(unittest.TestCase):
    """What was done to the record, while nobody watched; audit verify names it. Last, for each is put back."""

    LAST = "(SELECT max(position) FROM evidence_leaf)"
    CASES = {
        "data edited": ("UPDATE evidence_leaf SET data = CAST(replace(CAST(data AS TEXT), 'accepted', 'accepteD') AS BLOB)",
                        "leaf.hash"),
        "hash edited": ("UPDATE evidence_leaf SET hash = zeroblob(32) WHERE position = 2", "leaf.hash"),
        "first removed": ("DELETE FROM evidence_leaf WHERE position = 0", "leaf.gap"),
        "middle removed": ("DELETE FROM evidence_leaf WHERE position = 5", "leaf.gap"),
        "last removed": (f"DELETE FROM evidence_leaf WHERE position = {LAST}", "head.beyond"),
        "all removed": ("DELETE FROM evidence_leaf", "head.beyond"),
        "cut": ("DELETE FROM evidence_leaf WHERE position > 8", "head.beyond"),
        "head's root edited": ("UPDATE tree_head SET root = zeroblob(32)", "head.root"),
        "head's time edited": ("UPDATE tree_head SET time = time + 1", "head.signature"),
        "head's signature edited": ("UPDATE tree_head SET signature = zeroblob(64)", "head.signature"),
    }

    def test_each_edit_is_found_by_an_auditor(self):
        triggers = read("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        for what, (sql, finding) in self.CASES.items():
            with self.subTest(what=what):
                kept = {table: read(f"SELECT * FROM {table}") for table in ("evidence_leaf", "tree_head")}
                db = attacker()
                for name, _ in triggers:
                    db.execute(f"DROP TRIGGER {name}")
                db.execute(sql)
                db.close()
                found = w.ctl("audit", "verify", "--log-key", w.pki / "log.pem", ok=(0, 1))
                self.assertIn(finding, {one["what"] for one in found["findings"]}, what)
                db = attacker()
                for table, rows in kept.items():
                    db.execute(f"DELETE FROM {table}")
                    db.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)
                for _, text in triggers:
                    db.execute(text)
                db.close()
        # The broker, which has seen the schema change, takes nothing more until it has looked at all of it again.
        self.assertEqual(tap().get("code"), "evidence.invalid")
        start_again()
        self.assertEqual(tap().get("outcome"), "accepted")
        self.assertEqual(w.verify()["findings"], [])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of cards: what a day does to them, giving them back, and another card in their place."""

import csv
import hashlib
import json
import os
import pty
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import unittest
from pathlib import Path
from urllib.parse import urljoin

from world import PATIENCE, Terminal, main, wait_until, world

w = None


def setUpModule():
    global w
    w = world()


def tearDownModule():
    if w:
        w.tear_down()


def state(card):
    return w.ctl("card", "show", card)["state"]


def everything(source):
    """Until nobody writes there any more; of a terminal reading then fails."""
    seen = b""
    try:
        while part := os.read(source, 4096):
            seen += part
    except OSError:
        pass
    os.close(source)
    return seen.decode()


class Days(unittest.TestCase):
    def test_a_card_after_its_last_day_is_refused_expires_by_itself_and_is_replaced(self):
        holder = w.holders["Late"] = w.ctl("holder", "add", "--name", "Late")["id"]
        certificate = w.make_card("Late")
        card = w.ctl("card", "issue", "--holder", holder, "--certificate", certificate, "--expires", "2024-02-29",
                     "--station", "desk-1", "--activate", ok=(0,))
        self.assertEqual(card["expires"], "2024-03-01T00:00:00.000000Z")
        w.enrol("Late", "nginx")
        self.assertEqual(w.tap_with("Late").get("code"), "card.expired")
        wait_until("the card to expire", lambda: state(card["id"]) == "expired", 20 * PATIENCE)
        self.assertEqual(w.tap_with("Late").get("code"), "card.expired")
        done = w.ctl("card", "replace", card["id"], "--certificate", w.make_card("Late2"))
        self.assertEqual(w.tap_with("Late2").get("outcome"), "accepted")
        self.assertEqual(state(card["id"]), "revoked")
        self.assertEqual(state(done["new"]["id"]), "active")

    def test_a_card_ends_itself_once_it_has_learned_the_date(self):
        w.add_holder("Itself")
        state_file = w.cards / "Itself.card"
        content = state_file.read_bytes()[:-32]     # ends with the last day, the date, SHA-256
        aged = content[:-8] + bytes.fromhex("2024022920240215")
        state_file.write_bytes(aged + hashlib.sha256(aged).digest())
        refusals = lambda: len(w.leaves("--kind", "tap.refused"))   # noqa: E731
        before = refusals()
        self.assertEqual(w.tap_with("Itself").get("code"), "card.expired")
        self.assertEqual(state_file.read_bytes()[-36:-32].hex(), "20240315")    # a month on
        wait_until("the refusal to be recorded", lambda: refusals() == before + 1, 10 * PATIENCE)
        # Now the card says so, and the terminal does not ask.
        said = w.tap()
        self.assertEqual(said.get("code"), "card.expired")
        self.assertIn("replacement", str(said))
        self.assertEqual(refusals(), before + 1)
        self.assertEqual(w.tap_with("Itself").get("code"), "card.expired")

    def test_the_certificates_last_day_is_the_cards(self):
        holder = w.ctl("holder", "add", "--name", "Certified")["id"]
        card = w.ctl("card", "issue", "--holder", holder, "--certificate", w.make_card("Certified"), "--expires", "2999-12-31")
        self.assertRegex(card["expires"], r"^20\d\d-\d\d-\d\dT00:00:00")
        self.assertLess(card["expires"], "2999")
        self.assertEqual(card["own_expires"], "3000-01-01T00:00:00.000000Z", "for the certificates that may come")

    def test_no_such_day(self):
        holder = w.ctl("holder", "add", "--name", "Nobody")["id"]
        certificate = w.make_card("Nobody")
        for day in ("2024-02-30", "yesterday", "2024-2-3", "0000-00-00"):
            w.ctl("card", "issue", "--holder", holder, "--certificate", certificate, "--expires", day, ok=(2,))
        self.assertEqual(w.ctl("card", "list", "--holder", holder), [])

    def test_a_card_that_is_not_given_back_is_revoked_and_its_session_cut(self):
        w.add_holder("Slow")
        done = w.tap_with("Slow")
        self.assertEqual(done.get("outcome"), "accepted")
        browser = w.browser()
        self.assertEqual(browser.get(done["delivery"]["url"]).status, 200)
        w.ctl("card", "recall", w.card_ids["Slow"], "--by", "2999-01-01")
        self.assertEqual(w.ctl("card", "recall", w.card_ids["Slow"])["due"], None)
        w.ctl("card", "recall", w.card_ids["Slow"], "--by", "2024-01-01")
        wait_until("the card to lapse", lambda: state(w.card_ids["Slow"]) == "revoked", 20 * PATIENCE)
        page = urljoin(done["delivery"]["url"], "/whoami")
        wait_until("the session to be cut", lambda: browser.get(page).status == 410, 10 * PATIENCE)
        self.assertIn("session.ended", browser.get(page).text)
        self.assertEqual(w.tap_with("Slow").get("code"), "card.revoked")
        lapse, = [w.fields(leaf) for leaf in w.leaves("--kind", "card.revoked") if w.fields(leaf)["card"] == w.card_ids["Slow"]]
        self.assertEqual((lapse["actor"], lapse["reason"]), ("cardbrokerd", "not-returned"))


class Many(unittest.TestCase):
    """A file of cards, and a run that is killed again and again."""

    CARDS = 24

    def test_each_line_once_and_bad_lines_with_their_reason(self):
        lines, names = [], []
        for number in range(self.CARDS):
            certificate = w.make_card(f"bulk{number}").read_bytes().hex()
            names.append(f"Bulk, number {number}")
            lines.append(f"{certificate},,,{names[-1]}")
        other = w.ctl("holder", "add", "--name", "Other")["id"]
        bad = {3: "zz,,,Nobody", 9: "00ff,,,Nobody", 13: "one,two", 17: lines[0].split(",")[0] + ",,," + other,
               20: "0" * 9000 + ",,,Nobody", 22: lines[1].split(",")[0] + f",,,{other[:-4]}0000"}
        for at, text in sorted(bad.items()):
            lines.insert(at - 1, text)
        file = w.folder / "bulk.csv"
        file.write_text("\n".join(lines) + "\n")
        argv = [str(w.program("cardbrokerctl")), "--run", str(w.run_folder), "--json", "card", "issue-many", str(file), "--activate",
                "--threads", "3"]
        for pause in (0.02, 0.05, 0.08, 0.12):      # killed before it has noted how far it came
            process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(pause * PATIENCE)
            process.kill()
            process.wait()
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120 * PATIENCE)
        self.assertEqual(done.returncode, 1, done.stderr)
        said = json.loads(done.stdout)
        self.assertTrue(said["complete"])
        report = (w.folder / "bulk.csv.rejected").read_text().splitlines()
        self.assertEqual(report[0], "line,reason")
        self.assertEqual(sorted(int(row.split(",")[0]) for row in report[1:]), sorted(bad), report)
        self.assertTrue(all("error [" in row or "column" in row for row in report[1:]), report)
        cards = [card for card in w.ctl("card", "list") if card["state"] == "active"]
        holders = {holder["id"]: holder["name"] for holder in w.ctl("holder", "list")}
        self.assertEqual(sorted(holders[card["holder"]] for card in cards if holders[card["holder"]] in names), sorted(names))
        self.assertEqual(sorted(name for name in holders.values() if name in names), sorted(names), "each holder once")
        added = [w.fields(leaf)["card"] for leaf in w.leaves("--kind", "card.added")]
        self.assertEqual(len(added), len(set(added)), "nothing twice")
        size = w.size()
        again = subprocess.run(argv, capture_output=True, text=True, timeout=120 * PATIENCE)
        self.assertEqual((json.loads(again.stdout)["issued"], w.size()), (0, size), "a finished file changes nothing")
        (w.folder / "bulk.csv.progress").unlink()
        again = json.loads(subprocess.run(argv, capture_output=True, text=True, timeout=120 * PATIENCE).stdout)
        self.assertEqual((again["issued"], again["already"], again["bad"]), (0, self.CARDS, len(bad)))

    def test_a_run_that_goes_on_keeps_the_reasons_of_those_before(self):
        """It notes how far it came each second: the broker stands still until then, and all but still until that is seen."""
        good = 12
        lines = ["zz,,,Nobody", "one,two"] + [f"{w.make_card(f'on{number}').read_bytes().hex()},,,Going on {number}" for number in range(good)]
        lines.append("00ff,,,Nobody")
        file = w.folder / "on.csv"
        file.write_text("\n".join(lines) + "\n")
        progress, report = w.folder / "on.csv.progress", w.folder / "on.csv.rejected"
        argv = [str(w.program("cardbrokerctl")), "--run", str(w.run_folder), "--json", "card", "issue-many", str(file), "--threads", "1"]
        broker = w.processes("cardbrokerd")[0][0]

        def start():
            return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def kill(process):
            process.kill()
            process.wait()

        def let_the_broker_do_little():
            os.kill(broker, signal.SIGCONT)
            time.sleep(0.002)
            os.kill(broker, signal.SIGSTOP)
            return progress.exists()
        os.kill(broker, signal.SIGSTOP)
        try:
            first = start()
            inode = f":{file.stat().st_ino}"
            wait_until("the first run", lambda: any(inode in line and "FLOCK" in line for line in
                       Path("/proc/locks").read_text().splitlines()), 20 * PATIENCE, first)
            time.sleep(1.2)         # so that the first mark is due
            self.assertEqual(subprocess.run(argv, capture_output=True, timeout=60 * PATIENCE).returncode, 2, "one run at a time")
            wait_until("the first mark", let_the_broker_do_little, 20 * PATIENCE)
            kill(first)
            self.assertIn(int(progress.read_text().split()[1]), range(3, len(lines)), "in the middle")
            second = start()                            # which comes to nothing
            time.sleep(0.5 * PATIENCE)
            kill(second)
        finally:
            os.kill(broker, signal.SIGCONT)
        self.assertEqual([row.split(",")[0] for row in report.read_text().splitlines()][:3], ["line", "1", "2"])
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120 * PATIENCE)
        self.assertEqual((done.returncode, json.loads(done.stdout)["bad"]), (1, 3), done.stderr)
        self.assertEqual([row.split(",")[0] for row in report.read_text().splitlines()], ["line", "1", "2", str(len(lines))])
        names = [holder["name"] for holder in w.ctl("holder", "list")]
        self.assertEqual(sum(name.startswith("Going on ") for name in names), good)
        report.unlink()
        lost = subprocess.run(argv, capture_output=True, text=True, timeout=120 * PATIENCE)
        self.assertEqual(lost.returncode, 1, "reasons that are gone are not none")
        self.assertIn("on.csv.progress", lost.stderr)


    def test_a_person_sees_how_far_it_is_and_a_program_reads_json_alone(self):
        count = 7
        for name, words, bar in (("person", (), True), ("program", ("--json",), False), ("pipe", (), False)):
            with self.subTest(name):
                file = w.folder / f"{name}.csv"
                file.write_text("".join(f"{w.make_card(f'{name}{number}').read_bytes().hex()},,,Seen by a {name} {number}\n" for number in range(count)))
                argv = [str(w.program("cardbrokerctl")), "--run", str(w.run_folder), *words, "card", "issue-many", str(file), "--threads", "1"]
                terminal, end = os.pipe() if name == "pipe" else pty.openpty()
                process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=end)
                os.close(end)
                seen, said = everything(terminal), process.communicate(timeout=60 * PATIENCE)[0].decode()
                self.assertEqual(process.returncode, 0, seen)
                drawn = [(len(filled), len(open_), int(done), int(of)) for filled, open_, done, of in
                         re.findall(r"\r\[(#*)( *)\] (\d+) of (\d+), \d+/s, 0 bad ", seen)]
                if not bar:
                    self.assertEqual((drawn, "#" in seen), ([], False), seen)
                else:
                    self.assertEqual(drawn[-1], (30, 0, count, count))
                    self.assertTrue(all((filled, rest) == (done * 30 // count, 30 - done * 30 // count) for filled, rest, done, _ in drawn), drawn)
                    self.assertEqual([done for *_, done, _ in drawn], sorted(done for *_, done, _ in drawn))
                    self.assertTrue(seen.endswith("\n"), seen)
                if words:
                    self.assertEqual((json.loads(said)["issued"], seen), (count, ""))
                else:
                    self.assertIn(f"{count} issued, 0 were there already, 0 bad lines", said)


class Between:
    """A run folder of which the administration socket is the broker's but for one answer, at which the client is killed: cut is
    the end of the path that is changed, how many such answers still come, and the client. Or for one question, before which
    something else is done: meanwhile is the end of its path, and what that is."""

    def __init__(self, name):
        self.folder, self.cut, self.meanwhile = w.folder / name, None, None
        self.folder.mkdir()
        for other in w.run_folder.iterdir():
            if other.name != "admin.sock":
                (self.folder / other.name).symlink_to(other)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.folder / "admin.sock"))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    @staticmethod
    def message(source):
        data = b""
        while b"\r\n\r\n" not in data:
            part = source.recv(65536)
            if not part:
                return b""
            data += part
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", data)
        whole = data.index(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
        while len(data) < whole:
            data += source.recv(65536)
        return data

    @staticmethod
    def changes(question, path):
        return question.startswith(b"POST") and question.split(b"\r\n")[0].endswith(path + b" HTTP/1.1")

    def serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as broker:
            broker.connect(str(w.run_folder / "admin.sock"))
            try:
                while question := self.message(client):
                    if self.meanwhile and self.changes(question, self.meanwhile[0]):
                        act, self.meanwhile = self.meanwhile[1], None
                        act()
                    broker.sendall(question)
                    answer = self.message(broker)
                    if self.cut and self.changes(question, self.cut[0]):
                        self.cut[1] -= 1
                        if self.cut[1] < 0:
                            os.kill(self.cut[2](), signal.SIGKILL)
                            return
                    client.sendall(answer)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Codes(unittest.TestCase):
    """A file of cards, and one of the codes for their letters."""

    def lines(self, name, count):
        file = w.folder / f"{name}.csv"
        file.write_text("".join(f"{w.make_card(f'{name}{number}').read_bytes().hex()},,,{name} {number}\n" for number in range(count)))
        return file, w.folder / f"{name}-codes.csv"

    def argv(self, file, codes, *words, run=None):
        return [str(w.program("cardbrokerctl")), "--run", str(run or w.run_folder), "--json", "card", "issue-many", str(file),
                "--activate", *(["--suspension-codes", str(codes)] if codes else []), *words]

    def run_it(self, *args, ok=(0,), run=None, **options):
        done = subprocess.run(self.argv(*args, run=run), capture_output=True, text=True, timeout=120 * PATIENCE, **options)
        self.assertIn(done.returncode, ok, done.stdout + done.stderr)
        return done

    def good(self, codes):
        """The rows, each with the code that the broker has of its card."""
        with open(codes, encoding="ascii", newline="") as text:
            rows = list(csv.DictReader(text))
        base = sqlite3.connect(f"file:{w.state / 'cardbroker.db'}?mode=ro", uri=True)
        known = {card.hex(): digest for card, digest in base.execute("SELECT card, hash FROM suspension_code")}
        base.close()
        for row in rows:
            symbols = row["code"].replace("-", "").encode()
            self.assertEqual(known.get(row["card"].replace("-", "")), hashlib.sha256(b"cardbroker suspension code 1\0" + symbols).digest(), row)
        self.assertEqual(len({row["card"] for row in rows}), len(rows), "each card once")
        return rows

    def test_each_card_has_the_code_that_the_file_says_and_nothing_else_says_it(self):
        file, codes = self.lines("coded", 9)
        before = file.read_text()
        first = before.splitlines()[0]
        older = w.ctl("holder", "add", "--name", "Older")["id"]
        certificate = w.make_card("older")
        old = w.ctl("card", "issue", "--holder", older, "--certificate", certificate)["id"]
        letter = w.ctl("card", "suspension-code", old)["suspension_code"]
        file.write_text(before + f"{first}\nzz,,,Nobody\n{certificate.read_bytes().hex()},,,{older}\n")
        done = self.run_it(file, codes, ok=(1,))
        said = json.loads(done.stdout)
        self.assertEqual((said["issued"], said["bad"], said["codes"], said["suspension_codes"]), (9, 2, 9, str(codes)))
        report = (w.folder / "coded.csv.rejected").read_text()
        self.assertEqual(sorted(row.split(",")[0] for row in report.splitlines()[1:]), ["11", "12"])
        self.assertIn(f"card suspension-code {old}", report)
        rows = self.good(codes)
        self.assertEqual(len(rows), 9)
        holders = {holder["id"]: holder["name"] for holder in w.ctl("holder", "list")}
        cards = {card["id"]: card["holder"] for card in w.ctl("card", "list")}
        self.assertEqual({cards[row["card"]] for row in rows}, {row["holder"] for row in rows})
        self.assertEqual(sorted(holders[row["holder"]] for row in rows), sorted(f"coded {number}" for number in range(9)))
        self.assertEqual(codes.stat().st_mode & 0o777, 0o600)
        places = [w.logs / "cardbrokerd.log", w.state / "cardbroker.db", w.state / "cardbroker.db-wal", w.folder / "coded.csv.rejected",
                  w.folder / "coded.csv.progress"]
        for row in rows:
            self.assertNotIn(row["code"], done.stdout + done.stderr)
            for place in places:
                self.assertNotIn(row["code"].encode(), place.read_bytes() if place.exists() else b"", place)
        with Terminal(w, None) as nobody:
            for code in (rows[3]["code"], letter):      # the holder's, from his letter; the other, that it was left alone
                answer = nobody.ask("POST", "/v1/suspensions", {"code": code})
                self.assertNotEqual(answer.code, "suspension.refused")
        self.assertEqual(state(rows[3]["card"]), "suspended")
        whole = codes.read_bytes()
        self.run_it(file, codes, ok=(1,))
        self.assertEqual(codes.read_bytes(), whole, "a finished file changes nothing")
        self.good(codes)
        for others in (None, w.folder / "other-codes.csv"):
            self.assertIn("coded-codes.csv" if not others else "other-codes.csv", self.run_it(file, others, ok=(1, 2)).stderr)
        self.assertFalse((w.folder / "other-codes.csv").exists())
        # Lines may be tried again: those who have a letter keep what it says.
        (w.folder / "coded.csv.progress").unlink()
        self.assertIn("there already", self.run_it(file, codes, ok=(1,)).stderr)
        again = json.loads(self.run_it(file, w.folder / "new-codes.csv", ok=(1,)).stdout)
        self.assertEqual((again["codes"], again["bad"]), (0, 12))
        self.assertEqual(len(self.good(codes)), 9)

    def test_wherever_a_run_is_killed_no_code_is_lost_and_none_that_was_written_is_replaced(self):
        count = 4
        file, codes = self.lines("cut", count)
        between, running, seen = Between("between"), [], b""
        try:
            for line in range(count):
                # The answer is lost: the card, or its code, is there and nobody was told.
                for ask, before in ((b"/v1/cards", line), (b"/suspension-code", 0)):
                    between.cut = [ask, before, lambda: running[-1].pid]
                    running.append(subprocess.Popen(self.argv(file, codes, "--threads", "1", run=between.folder),
                                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                    self.assertEqual(running[-1].wait(60 * PATIENCE), -signal.SIGKILL)
                    now = codes.read_bytes()
                    self.assertTrue(now.startswith(seen), "what was written stays")
                    self.assertEqual(len(self.good(codes)), line)
                    seen = now
                    with open(codes, "ab") as half:     # of a row, as a power cut leaves it
                        half.write(b"0189f7c2-0000-70")
        finally:
            between.close()
        self.run_it(file, codes)
        self.assertTrue(codes.read_bytes().startswith(seen), "what was written stays")
        self.assertEqual(len(self.good(codes)), count)

    def test_of_two_runs_that_have_the_same_card_the_later_leaves_the_code_of_the_other(self):
        (one, codes), others = self.lines("both", 2), w.folder / "both-others.csv"
        other, rows = w.folder / "both-other.csv", one.read_text().splitlines(keepends=True)
        other.write_text(rows[0])
        between = Between("beside")
        try:    # it has begun when the other does all of its file
            between.meanwhile = (b"/v1/cards/issuable", lambda: self.run_it(one, codes))
            said = self.run_it(other, others, "--threads", "1", ok=(1,), run=between.folder)
        finally:
            between.close()
        self.assertIsNone(between.meanwhile)
        self.assertEqual((json.loads(said.stdout)["codes"], json.loads(said.stdout)["bad"]), (0, 1), said.stderr)
        self.assertEqual(len(self.good(codes)), 2, "what is in the letters of the one stays")
        self.assertEqual(self.good(others), [])
        report = (w.folder / "both-other.csv.rejected").read_text()
        self.assertIn("has a code already", report)
        self.assertIn("cardbrokerctl card suspension-code", report)

    def test_a_disk_that_is_full_ends_the_run_and_it_goes_on_when_there_is_room(self):
        file, codes = self.lines("full", 7)

        def little_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (480, 480))
        stopped = self.run_it(file, codes, "--threads", "3", ok=(1,), preexec_fn=little_room, restore_signals=False)
        self.assertIn("full-codes.csv", stopped.stderr)
        self.assertFalse(json.loads(stopped.stdout)["complete"])
        written = codes.read_bytes()
        self.assertEqual((written[-1:], written.count(b"\n")), (b"\n", 5), "no part of a row")
        done = self.run_it(file, codes)
        self.assertEqual((json.loads(done.stdout)["bad"], codes.read_bytes()[:len(written)]), (0, written))
        self.assertEqual(len(self.good(codes)), 7)


@unittest.skipIf(os.geteuid() != 0, "two operators are two users, which takes root")
class ZDemands(unittest.TestCase):
    """Last: where a card needs an application and has to be in stock."""

    @classmethod
    def setUpClass(cls):
        w.stop_one("cardbrokerd")
        os.chmod(w.folder, 0o711)
        os.chmod(w.run_folder, 0o755)
        os.chmod(w.etc, 0o711)
        with open(w.etc / "cardbroker.conf", "a", encoding="ascii") as file:
            file.write('administrators = {"root", "nobody"}\ncards {\n    applications = "required"\n    stock = "native"\n}\n')
        w.start_broker()

    def as_nobody(self, *words):
        return subprocess.run([str(w.program("cardbrokerctl")), "--run", str(w.run_folder), *map(str, words)], user="nobody",
                              extra_groups=[], capture_output=True, timeout=60 * PATIENCE, text=True)

    def test_from_the_list_of_the_factory_to_a_tap(self):
        holder = w.holders["Applicant"] = w.ctl("holder", "add", "--name", "Applicant")["id"]
        certificates = [w.make_card(f"listed{i}") for i in range(3)]
        serials = w.folder / "serials.csv"
        serials.write_text("# from acme\nS-0\nS-1\nS-2\n")
        self.assertEqual(w.ctl("stock", "enter", serials, "--manufacturer", "acme", "--batch", "B1")["done"], 3)
        self.assertEqual(w.ctl("stock", "enter", serials, "--manufacturer", "acme", "--batch", "B1")["done"], 0)
        self.assertEqual(w.ctl("stock", "send", serials, "--manufacturer", "acme", "--delivery", "D1")["done"], 3)
        serials.write_text("S-0\nS-1\nS-1\nodd\n")
        self.assertEqual(w.ctl("stock", "receive", serials, "--manufacturer", "acme", "--delivery", "D1"), {"done": 2, "mismatches": 3})
        self.assertEqual(sorted(m["what"] for m in w.ctl("stock", "mismatches")), ["double", "missing", "unknown"])
        self.assertEqual({s["serial"]: s["state"] for s in w.ctl("stock", "list", "--manufacturer", "acme")},
                         {"S-0": "in-stock", "S-1": "revoked", "S-2": "in-transit"})

        def issue(number, ok=(0,), serial=None):
            return w.ctl("card", "issue", "--holder", holder, "--certificate", certificates[number], "--serial",
                         serial or f"acme/S-{number}", "--activate", ok=ok)
        issue(0, ok=(1,))
        mine = w.ctl("application", "add", "--holder", holder, "--reason", "first")["id"]
        w.ctl("application", "approve", mine, ok=(1,))
        done = self.as_nobody("application", "approve", mine)
        self.assertEqual(done.returncode, 0, done.stderr)
        for number in (1, 2):
            issue(number, ok=(1,))
        wrong = w.ctl("holder", "add", "--name", "Not an applicant")["id"]
        w.ctl("card", "issue", "--holder", wrong, "--certificate", certificates[0], "--serial", "acme/S-0", ok=(1,))
        line = w.folder / "unknown.csv"
        line.write_text(f"{certificates[0].read_bytes().hex()},acme/S-0,,Somebody new\n")
        w.ctl("card", "issue-many", line, ok=(1,))
        self.assertIn("application.none", (w.folder / "unknown.csv.rejected").read_text())
        card = issue(0)["id"]                           # to whom it should go: no refusal has bound it
        w.enrol("Applicant", "nginx")
        self.assertEqual(w.tap_with("listed0").get("outcome"), "accepted")
        shown = w.ctl("application", "show", mine)
        self.assertEqual((shown["state"], shown["card"], shown["operator"], shown["approver"]), ("issued", card, "root", "nobody"))
        issue(0, ok=(1,))
        kinds = [m["what"] for m in w.ctl("stock", "mismatches")]
        self.assertEqual(kinds.count("issue-unlisted"), 2)
        self.assertEqual(kinds.count("issue-without-application"), 3)
        w.ctl("card", "replace", card, "--certificate", certificates[1], ok=(1,))
        self.assertEqual(w.tap_with("listed0").get("outcome"), "accepted", "nothing was revoked")
        self.from_a_file(serials)

    def test_many_from_a_file_of_applications_and_another_operator_to_a_file_of_cards(self):
        there = w.ctl("holder", "add", "--name", "Known \"already\"")["id"]
        good = [("A-1", "One, of many"), ("A-2", "Twin"), ("A-3", "Twin"), ("A-4", there)]
        bad = {2: ",first,,Not entered", 4: "A-5,other,,Not entered", 6: "A-6,first,300,Not entered", 8: "A-7,first,99,Not entered",
               9: f"A-8,first,,{there[:-4]}0000", 10: "A-9,first", 11: "A-1,replacement,,One, of many", 12: "A-1,first,,Somebody else",
               13: "x" * 65 + ",first,,Not entered", 14: "A-10,first,," + "n" * 200}
        lines = [f"{reference},first,,{name}" for reference, name in good]
        for at, text in sorted(bad.items()):
            lines.insert(at - 1, text)
        file, entered = w.folder / "applications.csv", w.folder / "applications.csv.entered"
        file.write_text("\n".join(lines) + "\n")
        before = len(w.ctl("application", "list"))
        between, running = Between("applying"), []
        try:
            for number in range(len(good)):     # each is entered, and nobody was told
                between.cut = [b"/v1/applications", number, lambda: running[-1].pid]
                running.append(subprocess.Popen([str(w.program("cardbrokerctl")), "--run", str(between.folder), "application", "add-many",
                                                 str(file), "--threads", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                self.assertEqual(running[-1].wait(60 * PATIENCE), -signal.SIGKILL)
        finally:
            between.close()
        said = w.ctl("application", "add-many", file, ok=(1,))
        report = (w.folder / "applications.csv.rejected").read_text().splitlines()
        self.assertEqual((sorted(int(row.split(",")[0]) for row in report[1:]), said["bad"], said["applications"]), (sorted(bad), len(bad), 4), report)
        with open(entered, encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text))
        self.assertEqual(sorted((row["reference"], row["name"]) for row in rows), sorted([*good[:3], ("A-4", "Known \"already\"")]))
        self.assertEqual(len({row["holder"] for row in rows}), 4, "two of one name are two")
        self.assertEqual(len(w.ctl("application", "list")) - before, 4, "each once")
        names = [holder["name"] for holder in w.ctl("holder", "list")]
        self.assertEqual((names.count("One, of many"), names.count("Twin"), names.count("Not entered")), (1, 2, 0))
        size = w.size()
        w.ctl("application", "add-many", file, ok=(1,))
        self.assertEqual(w.size(), size, "a finished file changes nothing")
        again = w.folder / "again.csv"          # the same forms in another file
        again.write_text("\n".join(line for line in lines if line.split(",")[0] in ("A-2", "A-3")) + "\n")
        said = w.ctl("application", "add-many", again)
        self.assertEqual([said[name] for name in ("entered", "already", "applications")], [0, 2, 2])

        serials = w.folder / "many-serials.csv"
        serials.write_text("".join(f"M-{number}\n" for number in range(5)))
        for words in (["enter", serials, "--batch", "B7"], ["send", serials, "--delivery", "D7"], ["receive", serials, "--delivery", "D7"]):
            w.ctl("stock", *words, "--manufacturer", "acme")
        rows.sort(key=lambda row: row["reference"])
        certificates = [w.make_card(f"many{number}").read_bytes().hex() for number in range(5)]

        def issue(name, which, ok=(0,)):
            cards = w.folder / name
            cards.write_text("".join(f"{certificates[number]},acme/M-{number},{rows[row]['application']},{rows[row]['holder']}\n"
                                     for number, row in which))
            return w.ctl("card", "issue-many", cards, "--activate", ok=ok)
        all_four = [(number, number) for number in range(4)]
        self.assertEqual(issue("too-early.csv", all_four, ok=(1,))["issued"], 0)
        w.ctl("application", "approve-many", entered, ok=(1,))
        report = (w.folder / "applications.csv.entered.rejected").read_text()
        self.assertEqual(report.count("application.same_operator"), 4, report)
        self.assertEqual(issue("not-by-oneself.csv", all_four, ok=(1,))["issued"], 0)

        desk = w.folder / "desk"                # what the other has been given, to look at
        desk.mkdir()
        shutil.chown(desk, "nobody")
        theirs = desk / "approve.csv"
        text = entered.read_text()
        other = text.replace("One, of many", "Someone else").replace(rows[1]["holder"], rows[2]["holder"], 1).replace(
            f"first,\"{rows[3]['reference']}\"", f"replacement,\"{rows[3]['reference']}\"")
        theirs.write_text(other)
        for owner, mode in ((None, 0o644), ("nobody", 0o664), ("nobody", 0o646)):    # whoever entered them could add to it after the look
            shutil.chown(theirs, owner or "root")
            theirs.chmod(mode)
            done = self.as_nobody("application", "approve-many", theirs)
            self.assertEqual((done.returncode, "copy of your own" in done.stderr), (2, True), done.stderr)
            self.assertEqual([path.name for path in desk.iterdir()], ["approve.csv"], "nothing was begun")
        theirs.chmod(0o644)
        self.assertEqual(self.as_nobody("application", "approve-many", theirs).returncode, 1)
        report = (desk / "approve.csv.rejected").read_text()
        self.assertEqual(report.count("not what the broker has"), 3, report)
        theirs.write_text(text + "nonsense\n")
        done = self.as_nobody("--json", "application", "approve-many", theirs, "--reason", "looked-at")
        self.assertEqual([json.loads(done.stdout)[name] for name in ("approved", "already", "bad")], [3, 1, 1], done.stderr)
        self.assertEqual({w.ctl("application", "show", row["application"])["approver"] for row in rows}, {"nobody"})
        said = issue("cards.csv", all_four)
        self.assertEqual((said["issued"], said["bad"]), (4, 0), said)
        self.assertEqual(issue("twice.csv", [(4, 0)], ok=(1,))["issued"], 0, "each gives one card")
        self.assertEqual({w.ctl("application", "show", row["application"])["state"] for row in rows}, {"issued"})

    def test_a_name_that_acts_on_a_screen_is_not_put_before_another_operator(self):
        there = w.ctl("holder", "add", "--name", "Known \u202eyletal")["id"]
        file, entered = w.folder / "acting.csv", w.folder / "acting.csv.entered"
        names = ["Good\u009b2KBad", "Turned \u202eround", "Hid\u200bden", there, "Plain \u5c71\u7530"]
        file.write_text("".join(f"S-{number},first,,{name}\n" for number, name in enumerate(names)), encoding="utf-8")
        said = w.ctl("application", "add-many", file, ok=(1,))
        self.assertEqual((said["entered"], said["bad"]), (2, 3), said)
        self.assertEqual((w.folder / "acting.csv.rejected").read_text().count("acts on a screen"), 3)
        with open(entered, encoding="utf-8", newline="") as text:
            rows = {row["reference"]: row["name"] for row in csv.DictReader(text)}
        self.assertEqual(rows, {"S-3": "Known \\u{202e}yletal", "S-4": names[4]})
        desk = w.folder / "desk-of-names"
        desk.mkdir()
        theirs = desk / "acting.csv"
        theirs.write_bytes(entered.read_bytes())
        for place in (desk, theirs):
            shutil.chown(place, "nobody")
        done = self.as_nobody("--json", "application", "approve-many", theirs)
        self.assertEqual((done.returncode, json.loads(done.stdout)["approved"]), (0, 2), done.stderr)

    def from_a_file(self, serials):
        serials.write_text("S-3\n")
        for words in (["enter", serials, "--batch", "B2"], ["send", serials, "--delivery", "D2"], ["receive", serials, "--delivery", "D2"]):
            w.ctl("stock", *words, "--manufacturer", "acme")
        second = w.ctl("holder", "add", "--name", "Second applicant")["id"]
        application = w.ctl("application", "add", "--holder", second, "--reason", "first")["id"]
        self.as_nobody("application", "approve", application)
        file = w.folder / "one.csv"
        file.write_text(f"{w.make_card('listed3').read_bytes().hex()},acme/S-3,{application},{second}\n")
        said = w.ctl("card", "issue-many", file, "--station", "desk-3", "--expires", "2031-03-31", "--level", "1", "--activate")
        self.assertEqual(said["issued"], 1, said)
        card, = [card for card in w.ctl("card", "list") if card["holder"] == second]
        self.assertEqual((card["level"], card["state"], card["expires"][:10]), (1, "active", "2031-04-01"))       # when the day is over
        how, = [row for row in w.ctl("report", "issues") if row["card"] == card["id"]]
        self.assertEqual([how[name] for name in ("manufacturer", "serial", "application", "operator", "station")],
                         ["acme", "S-3", application, "root", "desk-3"])
        self.assertIn(("root", "desk-3"), [(row["operator"], row["station"]) for row in w.ctl("report", "issued")])


class End(unittest.TestCase):
    def test_given_back_and_destroyed(self):
        w.add_holder("Ended")
        card = w.card_ids["Ended"]
        w.ctl("card", "destroy", card, ok=(1,))
        w.ctl("card", "return", card, "--reason", "moved")
        self.assertEqual(w.tap_with("Ended").get("code"), "card.revoked")
        w.ctl("card", "activate", card, ok=(1,))
        w.ctl("card", "destroy", card)
        self.assertEqual(state(card), "destroyed")
        for act in ("activate", "suspend", "resume", "revoke", "return", "destroy"):
            w.ctl("card", act, card, ok=(1,))

    def test_a_replaced_card_is_dead_in_the_act_that_makes_the_new_one(self):
        w.add_holder("Changed")
        with Terminal(w) as terminal:
            w.insert_card("Changed")
            tap, answers = w.played(terminal, None)
            new = w.ctl("card", "replace", w.card_ids["Changed"], "--certificate", w.make_card("Changed2"))["new"]["id"]
            self.assertIn(terminal.proof(tap, answers).code, ("card.revoked", "tap.withdrawn"))
        leaves = [w.fields(leaf) for leaf in w.leaves()]
        kinds = [leaf["kind"] for leaf in leaves if leaf.get("card") in (new, w.card_ids["Changed"]) and leaf["kind"].startswith("card.")]
        self.assertEqual(kinds[-3:], ["card.revoked", "card.added", "card.activated"])
        self.assertEqual(w.tap_with("Changed2").get("outcome"), "accepted")

    def test_whoever_edits_the_database_brings_no_card_back(self):
        """Its state, its days: hsmd has it in the feed."""
        w.add_holder("Edited")
        card = w.card_ids["Edited"]
        w.ctl("card", "recall", card, "--by", "2024-01-01")
        wait_until("the card to lapse", lambda: state(card) == "revoked", 20 * PATIENCE)
        late = w.ctl("holder", "add", "--name", "Edited too")["id"]
        w.holders["Edited too"] = late
        expired = w.ctl("card", "issue", "--holder", late, "--certificate", w.make_card("Edited2"), "--activate", "--expires",
                        "2024-01-01")["id"]
        w.enrol("Edited too", "nginx")
        wait_until("the card to expire", lambda: state(expired) == "expired", 20 * PATIENCE)
        with sqlite3.connect(w.state / "cardbroker.db", timeout=20) as database:
            days = {one: database.execute("SELECT expires, due FROM card WHERE id = ?", (bytes.fromhex(one.replace("-", "")),)).fetchone()
                    for one in (card, expired)}
            for one in (card, expired):
                database.execute("UPDATE card SET state = 'active', expires = 0, due = 0 WHERE id = ?",
                                 (bytes.fromhex(one.replace("-", "")),))
        self.assertEqual(w.tap_with("Edited").get("code"), "card.revoked")
        self.assertEqual(w.tap_with("Edited2").get("code"), "card.suspended")
        with sqlite3.connect(w.state / "cardbroker.db", timeout=20) as database:
            for one, was in ((card, "revoked"), (expired, "expired")):
                database.execute("UPDATE card SET state = ?, expires = ?, due = ? WHERE id = ?", (was, *days[one], bytes.fromhex(one.replace("-", ""))))


if __name__ == "__main__":
    main()

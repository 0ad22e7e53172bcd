#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issues many cards from a file into an installation of its own, one line in a hundred of which cannot be done. It is killed on the
way, again and again, and goes on. Then looks whether each card and holder is there once, and each bad line in the report once, with
its reason; and says how long it took. Native cards, which are issued; with "others" PIV, JPKI and SCP03 cards in turn, which are
registered by what a terminal read of them.

CARDBROKER_BUILD=build tests/bench/many_cards.py [COUNT [THREADS [KILLS [others]]]]        (100,000, 16 and 5 if nothing is said)
"""
import collections
import contextlib
import copy
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from foreign_world import ForeignWorld  # noqa: E402
from world import World  # noqa: E402

# Every so many lines one is bad, in each of these ways in turn: what it is, made from the first column of a line long before it and
# its number, and what the report has to say.
BAD_EVERY = 100
WAYS = (
    (lambda certificate, number: f"{certificate[:-2]}zz,,,Nobody {number}", "hexadecimal"),
    (lambda certificate, number: f"{certificate[:200]},,,Nobody {number}", "[card.certificate]"),
    (lambda certificate, number: f"{certificate},,,Somebody else {number}", "[card.bound]"),
    (lambda certificate, number: f"{certificate},Nobody {number}", "columns"),
)
BAR = re.compile(r"\[(#*) *\] (\d+) of (\d+), \d+/s, (\d+) bad ")


class Native:
    ACT, DONE = "issue-many", "issued"

    def __init__(self, w):
        self.w = w
        self.ways = WAYS

    def make(self, count):
        """The certificates of new cards."""
        made = subprocess.Popen([self.w.build / "tests" / "bench" / "many_cards", self.w.pki / "cards", str(count)], stdout=subprocess.PIPE,
                                text=True)
        with made:
            for line in made.stdout:
                yield line.split(",")[0]
        if made.returncode:
            raise RuntimeError("the cards were not made")


def part(content, tag):
    """A part of a certificate, with more than 255 bytes or less than 128."""
    size = len(content)
    return bytes([tag, size] if size < 128 else [tag, 0x82, size >> 8, size & 0xFF]) + content


class Others:
    """Cards like three that were made and read, but each with what distinguishes it, keys (PIV), and certificates of the agency's."""

    ACT, DONE = "register-many", "registered"

    def __init__(self, w):
        self.folder = w.folder / "readings"
        self.folder.mkdir()
        self.agency, self.stranger = (serialization.load_pem_private_key((w.pki / f"{name}.key").read_bytes(), None)
                                      for name in ("agency", "stranger"))
        w.make_piv("piv")
        w.make_jpki("jpki")
        w.make_scp03("scp03")
        self.like = [json.loads(w.read_card(name).read_text()) for name in ("piv", "jpki", "scp03")]
        self.ways = (
            (lambda reading, number: f"{reading}.none,,,Nobody {number}", ".none"),
            (lambda _, number: f"{self.one(f'alien-{number}', number // BAD_EVERY % 2, self.stranger)},,,Nobody {number}", "[card.certificate]"),
            (lambda reading, number: f"{reading},,,Somebody else {number}", "[card.bound]"),
            (lambda reading, number: f"{reading},Nobody {number}", "columns"),
        )

    @staticmethod
    def certify(by, der, *changes):
        """A certificate in which one thing after another is put in the place of one as long, signed."""
        size = 4 + int.from_bytes(der[6:8], "big")      # of what is signed, which stands behind four bytes
        signed = der[4:4 + size]
        for old, new in changes:
            if len(old) != len(new) or signed.count(old) != 1:
                raise RuntimeError("the certificate is not as it was thought to be")
            signed = signed.replace(old, new)
        return part(signed + der[4 + size:4 + size + 12] + part(b"\0" + by.sign(signed, ec.ECDSA(hashes.SHA256())), 0x03), 0x30)

    def piv(self, by, answers, certificates):
        at = answers[1].index("3410") + 4
        old, new = uuid.UUID(answers[1][at:at + 32]), uuid.uuid4()
        answers[1] = answers[1].replace(old.hex, new.hex)
        for one in certificates:
            der = bytes.fromhex(one["der"])
            key = der.index(bytes.fromhex("03420004")) + 3
            point = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(serialization.Encoding.X962,
                                                                                     serialization.PublicFormat.UncompressedPoint)
            one["der"] = self.certify(by, der, (der[key:key + 65], point), (str(old).encode(), str(new).encode())).hex()

    def jpki(self, by, answers, certificates):
        """One key for all: it is the serial number that distinguishes them."""
        der = bytes.fromhex(certificates[0]["der"])
        at = der.index(bytes.fromhex("a0030201020210")) + 7
        new = bytes([0x50]) + os.urandom(15)
        certificates[0]["der"] = self.certify(by, der, (der[at:at + 16], new)).hex()
        answers[2] = certificates[0]["der"][:len(answers[2]) - 4] + "9000"

    def scp03(self, _, answers, __):
        answers[1] = os.urandom(10).hex() + answers[1][20:]

    def one(self, name, kind, by):
        """A file with what is read of one more card."""
        card = copy.deepcopy(self.like[kind])
        getattr(self, card["profile"])(by, card["answers"], card["certificates"])
        path = self.folder / name
        path.write_text(json.dumps(card))
        return path

    def make(self, count):
        for number in range(count):
            yield self.one(str(number), number % len(self.like), self.agency)


def write(path, cards, ways):
    """A file of so many good lines, and bad ones among them; {number of a bad line: what is to be said of it}."""
    bad, earlier = {}, collections.deque(maxlen=BAD_EVERY)
    with open(path, "w", encoding="utf-8") as out:
        number = 0
        for holder, good in enumerate(cards):
            number += 1
            out.write(f"{good},,,Holder {holder}\n")
            earlier.append(good)
            if number % BAD_EVERY == BAD_EVERY - 1:
                number += 1
                make, reason = ways[len(bad) % len(ways)]
                out.write(make(earlier[0], number) + "\n")
                bad[number] = reason
    return bad


def settled(file):
    """How many lines a run that was killed has done with; 0: it has noted nothing yet."""
    progress = file.with_name(file.name + ".progress")
    return int(progress.read_text().split()[1]) if progress.exists() else 0


class Watched:
    """A run at a terminal, whose bar of progress is read."""

    def __init__(self, argv):
        reading, terminal = pty.openpty()
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=terminal)
        os.close(terminal)
        self.said = b""
        self.reader = threading.Thread(target=self.read, args=(reading,))
        self.reader.start()

    def read(self, terminal):
        with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as file:     # EIO: nobody has the other end any more
            while piece := file.read(4096):
                self.said += piece

    def end(self):
        """Whether it had to be killed; what its bar showed."""
        killed = self.process.poll() is None
        self.process.kill()
        self.process.wait()
        self.reader.join()
        return killed, [tuple(int(number) for number in shown[1:]) for shown in BAR.findall(self.said.decode("ascii", "replace"))]


def kill_at(argv, database, cards):
    """One run, killed when so many cards are there."""
    run = Watched(argv)
    while run.process.poll() is None and database.execute("SELECT count(*) FROM card").fetchone()[0] < cards:
        time.sleep(0.002)
    return run.end()


def look(w, file, count, bad, bars):
    """Nothing is missing, nothing is there twice, and nothing else was turned down: else an error."""
    cards = w.ctl("card", "list")
    holders = w.ctl("holder", "list")
    found = {
        "cards": len({card["id"] for card in cards}),
        "active": collections.Counter(card["state"] for card in cards)["active"],
        "holders with a card": len({card["holder"] for card in cards}),
        "holders": len(holders),
        "names": len({holder["name"] for holder in holders}),
        "issued by the report": sum(row["cards"] for row in w.ctl("report", "issued")),
    }
    wrong = {name: number for name, number in found.items() if number != count}
    rows = [row.split(",", 1) for row in file.with_name(file.name + ".rejected").read_text().splitlines()[1:]]
    reasons = {int(number): reason for number, reason in rows}
    unexplained = {number: reasons.get(number) for number, reason in bad.items() if reason not in reasons.get(number, "")}
    if wrong or unexplained or len(rows) != len(bad) or set(reasons) != set(bad):
        raise RuntimeError(f"{count} cards were to be issued: {wrong}; {len(bad)} turned down, but {len(rows)} rows: "
                           f"{list(unexplained.items())[:4]}, {sorted(set(reasons) ^ set(bad))[:4]}")
    for bar in bars:
        if bar != sorted(bar) or any(lines != count + len(bad) or done > lines for done, lines, _ in bar):
            raise RuntimeError(f"the bar went astray: {bar}")


def issue(w, count, threads, kills, others):
    """Of an installation without holders."""
    file = w.folder / "many.csv"
    cards = (Others if others else Native)(w)
    bad = write(file, cards.make(count), cards.ways)
    argv = [str(w.program("cardbrokerctl")), "--run", str(w.run_folder), "card", cards.ACT, str(file), "--activate",
            "--threads", str(threads)]
    store = w.ctl("status")["broker"]["store"]
    began, ends = time.monotonic(), []
    with contextlib.closing(sqlite3.connect(f"file:{w.state / 'cardbroker.db'}?mode=ro", uri=True)) as database:
        for kill in range(kills):
            ends.append(kill_at(argv, database, count * (kill + 1) // (kills + 1)))
    before = settled(file)
    done = subprocess.run([*argv[:3], "--json", *argv[3:]], stdout=subprocess.PIPE, check=False)
    seconds, said = time.monotonic() - began, json.loads(done.stdout)
    after = w.ctl("status")["broker"]["store"]
    left = sum(number not in bad for number in range(before + 1, count + len(bad) + 1))
    if done.returncode != 1 or not said["complete"] or said[cards.DONE] + said["already"] != left or said["bad"] != len(bad):
        raise RuntimeError(f"status {done.returncode}, {before} lines settled before, {said}")
    look(w, file, count, bad, [bar for _, bar in ends])
    return {"cards": count, "bad": len(bad), "seconds": seconds, "killed": sum(killed for killed, _ in ends),
            "bars": sum(len(bar) for _, bar in ends), "settled": before, "issued": said[cards.DONE], "already": said["already"],
            "changes": after["changes"] - store["changes"], "groups": after["groups"] - store["groups"],
            "database": os.path.getsize(w.state / "cardbroker.db")}


def measure(count, threads=16, kills=5, others=False):
    w = ForeignWorld() if others else World()
    try:
        w.prepare()
        w.start()
        return issue(w, count, threads, kills, others)
    finally:
        w.tear_down()


def main(count="100000", threads="16", kills="5", others=""):
    if others not in ("", "others"):
        raise SystemExit(__doc__)
    m = measure(int(count), int(threads), int(kills), bool(others))
    print(f"{m['cards']} cards in {m['seconds']:.1f} s, {m['cards'] / m['seconds']:.0f} a second, killed {m['killed']} times; {m['bad']} bad lines, each "
          f"reported once with its reason; the bar was drawn {m['bars']} times; before the last run {m['settled']} lines were settled, it issued "
          f"{m['issued']} and found {m['already']} there already; {m['changes']} changes in {m['groups']} commits; database {m['database'] >> 20} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])

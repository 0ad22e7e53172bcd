#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issues many cards from a file into an installation of its own, one line in a hundred of which cannot be done. It is killed on the
way, again and again, and goes on. Then looks whether each card and holder is there once, and each bad line in the report once, with
its reason; and says how long it took. Native cards; how many cards that others issued
are registered, tests/e2e/foreign_cards_test.py tries.

CARDBROKER_BUILD=build tests/bench/many_cards.py [COUNT [THREADS [KILLS]]]        (100,000, 16 and 5 if nothing is said)
"""
import collections
import contextlib
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from world import World  # noqa: E402

# Every so many lines one is bad, in each of these ways in turn: what it is, made from the certificate of a line long before it and
# its number, and what the report has to say.
BAD_EVERY = 100
WAYS = (
    (lambda certificate, number: f"{certificate[:-2]}zz,,,Nobody {number}", "hexadecimal"),
    (lambda certificate, number: f"{certificate[:200]},,,Nobody {number}", "[card.certificate]"),
    (lambda certificate, number: f"{certificate},,,Somebody else {number}", "[card.bound]"),
    (lambda certificate, number: f"{certificate},Nobody {number}", "columns"),
)
BAR = re.compile(r"\[(#*) *\] (\d+) of (\d+), \d+/s, (\d+) bad ")


def write(w, path, count):
    """A file of so many good lines, and bad ones among them; {number of a bad line: what is to be said of it}."""
    made = subprocess.Popen([w.build / "tests" / "bench" / "many_cards", w.pki / "cards", str(count)], stdout=subprocess.PIPE, text=True)
    bad, earlier = {}, collections.deque(maxlen=BAD_EVERY)
    with made, open(path, "w", encoding="utf-8") as out:
        number = 0
        for good in made.stdout:
            number += 1
            out.write(good)
            earlier.append(good.split(",")[0])
            if number % BAD_EVERY == BAD_EVERY - 1:
                number += 1
                make, reason = WAYS[len(bad) % len(WAYS)]
                out.write(make(earlier[0], number) + "\n")
                bad[number] = reason
    if made.returncode:
        raise RuntimeError("the cards were not made")
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


def issue(w, count, threads, kills):
    """Of an installation without holders."""
    file = w.folder / "many.csv"
    bad = write(w, file, count)
    argv = [str(w.program("cardbrokerctl")), "--run", str(w.run_folder), "card", "issue-many", str(file), "--activate",
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
    if done.returncode != 1 or not said["complete"] or said["issued"] + said["already"] != left or said["bad"] != len(bad):
        raise RuntimeError(f"status {done.returncode}, {before} lines settled before, {said}")
    look(w, file, count, bad, [bar for _, bar in ends])
    return {"cards": count, "bad": len(bad), "seconds": seconds, "killed": sum(killed for killed, _ in ends),
            "bars": sum(len(bar) for _, bar in ends), "settled": before, "issued": said["issued"], "already": said["already"],
            "changes": after["changes"] - store["changes"], "groups": after["groups"] - store["groups"],
            "database": os.path.getsize(w.state / "cardbroker.db")}


def measure(count, threads=16, kills=5):
    w = World()
    try:
        w.prepare()
        w.start()
        return issue(w, count, threads, kills)
    finally:
        w.tear_down()


def main(count="100000", threads="16", kills="5"):
    m = measure(int(count), int(threads), int(kills))
    print(f"{m['cards']} cards in {m['seconds']:.1f} s, {m['cards'] / m['seconds']:.0f} a second, killed {m['killed']} times; {m['bad']} bad lines, each "
          f"reported once with its reason; the bar was drawn {m['bars']} times; before the last run {m['settled']} lines were settled, it issued "
          f"{m['issued']} and found {m['already']} there already; {m['changes']} changes in {m['groups']} commits; database {m['database'] >> 20} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])

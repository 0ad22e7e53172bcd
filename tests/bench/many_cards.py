#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issues many cards from a file into an installation of its own, is killed on the way, looks whether each card and holder is there
once, and says how long it took. Native cards: what others issued is registered one at a time.

CARDBROKER_BUILD=build tests/bench/many_cards.py [COUNT [THREADS]]        (100,000 and 16 if nothing is said)
"""
import collections
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from world import World  # noqa: E402


def settled(file):
    """How many lines a run that was killed has done with; 0: it has noted nothing yet."""
    progress = file.with_name(file.name + ".progress")
    return int(progress.read_text().split()[1]) if progress.exists() else 0


def entered(database):
    return database.execute("SELECT count(*) FROM card").fetchone()[0]


def look(w, file, count, said, before):
    """Nothing is missing, nothing is there twice, and nothing was turned down: else an error."""
    cards = w.ctl("card", "list")
    found = {
        "lines": before + said["issued"] + said["already"],
        "cards": len({card["id"] for card in cards}),
        "active": collections.Counter(card["state"] for card in cards)["active"],
        "holders with a card": len({card["holder"] for card in cards}),
        "holders": len(w.ctl("holder", "list")),
        "names": len({holder["name"] for holder in w.ctl("holder", "list")}),
        "issued by the report": sum(row["cards"] for row in w.ctl("report", "issued")),
    }
    wrong = {name: number for name, number in found.items() if number != count}
    rejected = file.with_name(file.name + ".rejected").read_text().splitlines()[1:]
    if wrong or rejected or said["bad"] or not said["complete"]:
        raise RuntimeError(f"{count} cards were to be issued: {wrong}; turned down: {rejected[:3]}; {said}")


def issue(w, count, threads, kill_after):
    """Of an installation without holders. kill_after: seconds; None: as soon as a tenth of the cards is there."""
    file = w.folder / "many.csv"
    with open(file, "wb") as out:
        subprocess.run([w.build / "tests" / "bench" / "many_cards", w.pki / "cards", str(count)], stdout=out, check=True)
    argv = [str(w.program("cardbrokerctl")), "--run", str(w.run_folder), "--json", "card", "issue-many", str(file), "--activate",
            "--threads", str(threads)]
    began = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    with contextlib.closing(sqlite3.connect(f"file:{w.state / 'cardbroker.db'}?mode=ro", uri=True)) as database:
        while process.poll() is None and (time.monotonic() - began < kill_after if kill_after else entered(database) < count / 10):
            time.sleep(0.002)
    killed = process.poll() is None
    process.kill()
    process.wait()
    first, before = time.monotonic() - began, settled(file)
    store = w.ctl("status")["broker"]["store"]
    began = time.monotonic()
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    rest, said = time.monotonic() - began, json.loads(done.stdout)
    after = w.ctl("status")["broker"]["store"]
    look(w, file, count, said, before)
    return {"cards": count, "first": first, "rest": rest, "killed": killed, "settled": before, **{name: said[name] for name in ("issued", "already", "bad")},
            "changes": after["changes"] - store["changes"], "groups": after["groups"] - store["groups"],
            "database": os.path.getsize(w.state / "cardbroker.db")}


def measure(count, threads=16, kill_after=5):
    w = World()
    try:
        w.prepare()
        w.start()
        return issue(w, count, threads, kill_after)
    finally:
        w.tear_down()


def main(count="100000", threads="16"):
    m = measure(int(count), int(threads))
    print(f"{count} cards in {m['first'] + m['rest']:.1f} s, killed once after {m['first']:.1f} s: {int(count) / (m['first'] + m['rest']):.0f} a second; "
          f"{m['settled']} lines were settled by then, of the others {m['issued']} were issued and {m['already']} were there already; "
          f"{m['changes']} changes in {m['groups']} commits; database {m['database'] >> 20} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issues many cards from a file into an installation of its own, is killed on the way, and says how long it took.

CARDBROKER_BUILD=build tests/bench/many_cards.py [COUNT [THREADS]]        (100,000 and 16 if nothing is said)
"""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from world import World  # noqa: E402


def main(count="100000", threads="16"):
    w = World()
    try:
        w.prepare()
        w.start()
        file = w.folder / "many.csv"
        with open(file, "wb") as out:
            subprocess.run([w.build / "tests" / "bench" / "many_cards", w.pki / "cards", count], stdout=out, check=True)
        argv = [str(w.program("cardbrokerctl")), "--run", str(w.run_folder), "--json", "card", "issue-many", str(file), "--activate",
                "--threads", threads]
        began = time.monotonic()
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        time.sleep(5)
        process.kill()
        process.wait()
        first = time.monotonic() - began
        before = w.ctl("status")["broker"]["store"]
        began = time.monotonic()
        done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
        rest = time.monotonic() - began
        said = json.loads(done.stdout)
        after = w.ctl("status")["broker"]["store"]
        print(f"{count} cards in {first + rest:.1f} s, killed once after {first:.1f} s: {int(count) / (first + rest):.0f} a second; "
              f"then {said}; {after['changes'] - before['changes']} changes in {after['groups'] - before['groups']} commits; "
              f"database {os.path.getsize(w.state / 'cardbroker.db') >> 20} MB")
    finally:
        w.tear_down()


if __name__ == "__main__":
    main(*sys.argv[1:])

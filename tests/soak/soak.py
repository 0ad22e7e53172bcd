#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything at once, for as long as one likes, with more work than there is room for; then whether anything grew.

    tests/soak/soak.py [--minutes N] [--json FILE]

Taps with a card and their pages, a crowd of terminals' connections that begin taps and let them lie, noise on the
network, cards issued, used and revoked, keys renewed, the record verified. Every few seconds the memory, descriptors and
threads of each process that lasts are written down, and the size of the database's write-ahead log. How long revocations and
looks at the status took beside all this is said. Exit status 0: what was promised held, and nothing grew between the first third
and the last by more than the limits below.
"""

import argparse
import collections
import http.client
import json
import math
import os
import re
import socket
import ssl
import statistics
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from world import Terminal, World, wait_until  # noqa: E402

CROWD, CARDS, SAMPLE_SECONDS = 24, 6, 5
GROWTH_KB, GROWTH_SHARE, MORE_FILES, MORE_THREADS, WAL_KB = 4096, 0.10, 16, 2, 64 * 1024
# What SoftHSM keeps of each tap is known (docs/performance.md); of anything else a little, over many taps, is too much.
TAP_KB, TAP_BYTES = 1024, 256
PROGRAMS = ("cardbroker-hsmd", "cardbroker-connectord", "cardbrokerd")


def size(pid):
    """KiB resident, descriptors, threads."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024
    return resident, *(len(os.listdir(f"/proc/{pid}/{kind}")) for kind in ("fd", "task"))


class Soak:
    def __init__(self, world):
        self.world = world
        self.counts, self.odd = collections.Counter(), collections.Counter()
        self.lock, self.reader = threading.Lock(), threading.Lock()
        self.stopping = threading.Event()
        self.cards = 0
        self.threads, self.samples, self.wal = [], collections.defaultdict(list), []
        self.times = collections.defaultdict(list)      # what an administrator asked: milliseconds until it was answered
        self.lasting = {}       # program: the processes that it has while nobody logs in

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def complain(self, what):
        with self.lock:
            self.odd[what] += 1

    def asks(self, what, *request):
        """An administrator, whose question has a place of its own."""
        began = time.monotonic()
        answer = self.world.admin(*request)
        took = 1000 * (time.monotonic() - began)
        with self.lock:
            self.times[what].append(took)
        if answer.status != 200:
            self.complain(f"{what}: {answer!r}"[:300])

    def start(self, play):
        def run():
            while not self.stopping.is_set():
                try:
                    play()
                except (OSError, http.client.HTTPException):
                    self.count(f"{play.__name__}: connection ended")
                    self.stopping.wait(0.1)
                except Exception as problem:     # whatever it is: it belongs into the report
                    self.complain(re.sub(r"[0-9a-f-]{36}", "ID", f"{play.__name__}: {problem!r}")[:300])
                    self.stopping.wait(1)
        thread = threading.Thread(target=run)
        self.threads.append(thread)
        thread.start()

    def lay_cards(self):
        self.readers = []
        for number in range(CARDS):
            self.world.issue("Hanako", f"card{number}")
            self.readers.append(self.world.lay(f"card{number}"))

    # ---- What is played ----------------------------------------------------------------------------------------------

    def tap(self, terminal="terminal"):
        """By hand; its reply, or the refusal at the start."""
        with Terminal(self.world, terminal) as client:
            try:
                return self.world.tap_by_hand(client)
            except KeyError:
                return None

    def holder(self):
        """One of those whose cards lie on readers of their own."""
        with self.lock:
            reader = self.readers.pop()
        done = self.world.one_tap(reader=reader)
        with self.lock:
            self.readers.insert(0, reader)
        if done is None or done.code == "broker.busy":
            self.count("tap: refused for now")
        elif done.json.get("outcome") == "accepted":
            self.count("tap: accepted")
            name = self.world.page_of(done.json).get("subject", "")
            if "Hanako" not in name:
                self.complain(f"a page for {name!r}")
        else:
            self.complain(f"tap: {done!r}")
        self.stopping.wait(0.2)

    def crowd(self):
        with Terminal(self.world, "crowd") as client:
            for _ in range(100):
                answer = client.begin()
                self.count(f"begin: {answer.status}")
                if answer.status not in (201, 503):
                    self.complain(f"begin: {answer!r}")
                if self.stopping.is_set():
                    return

    def noise(self):
        """What is no HTTP, half of it, and clients that leave."""
        context = ssl.create_default_context(cafile=str(self.world.pki / "tls" / "ca.pem"))
        for text in (b"\x00\xff" * 50 + b"\r\n\r\n", b"POST /v1/taps HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{", b"GET"):
            with socket.create_connection(("127.0.0.1", self.world.port), timeout=10) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as stream:
                    stream.sendall(text)
            self.count("noise")
        with socket.create_connection(("127.0.0.1", self.world.port), timeout=10) as plain:
            plain.sendall(b"\x16\x03\x01\x02")
        self.stopping.wait(0.2)

    def lose_a_card(self):
        """A card is issued, used, revoked and never accepted again."""
        self.cards += 1
        name = f"lost{self.cards}"
        self.world.add_holder(name)
        with self.reader:
            self.world.insert_card(name)
            first = self.tap_until_served()
            self.asks("revocation", "POST", f"/v1/cards/{self.world.card_ids[name]}/revoke", {"reason": "lost"})
            then = self.tap_until_served()
        if first != "accepted" or then != "card.revoked":
            self.complain(f"a card's life: {first}, {then}")
        self.count("card: revoked")
        self.stopping.wait(3)

    def tap_until_served(self):
        for _ in range(200):
            done = self.tap()
            if done is not None and done.code not in ("broker.busy", "service.busy"):
                return done.json.get("outcome") or done.code
            time.sleep(0.05)
        return "never served"

    def administrator(self):
        report = self.world.verify()
        self.count("verified" if report["verified"] else "not verified")
        if not report["verified"]:
            self.complain(f"verify: {report['findings']}"[:300])
        self.world.ctl("status")
        self.world.admin("GET", "/metrics")
        self.stopping.wait(10)

    def watcher(self):
        self.asks("status", "GET", "/v1/status")
        self.stopping.wait(1)

    # ---- What is measured --------------------------------------------------------------------------------------------

    def sample(self, began):
        now, taps = time.monotonic() - began, self.counts["tap: accepted"]
        for program, lasting in self.lasting.items():
            for pid, (resident, files, threads) in self.world.of_each(program, size):
                if pid in lasting:
                    self.samples[f"{program}/{lasting.index(pid)}"].append((now, resident, files, threads, taps))
        self.wal.append((now, sum(file.stat().st_size for file in self.world.state.glob("*.db-wal")) // 1024))

    def run(self, minutes):
        self.lasting = {program: [pid for pid, _ in self.world.processes(program)] for program in PROGRAMS}
        for play in [self.noise, self.lose_a_card, self.administrator, self.watcher] + [self.holder] * CARDS + [self.crowd] * CROWD:
            self.start(play)
        began = time.monotonic()
        while time.monotonic() - began < minutes * 60:
            time.sleep(SAMPLE_SECONDS)
            self.sample(began)
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return time.monotonic() - began

    def judge(self):
        """A row for each process: its medians in the first third (after a warm-up) and the last."""
        rows = []
        for name, samples in self.samples.items():
            end = samples[-1][0]
            first = [s for s in samples if end / 10 <= s[0] <= end / 3] or samples[:1]
            last = [s for s in samples if s[0] >= end * 2 / 3]
            was, now = ([statistics.median(s[i] for s in part) for i in (1, 2, 3, 4)] for part in (first, last))
            a_tap = 1024 * (now[0] - was[0]) / max(now[3] - was[3], 1)
            grew = (now[0] - was[0] > max(GROWTH_KB, GROWTH_SHARE * was[0]) or now[1] - was[1] > MORE_FILES
                    or now[2] - was[2] > MORE_THREADS
                    or (a_tap > TAP_BYTES and now[0] - was[0] > TAP_KB and not name.startswith("cardbroker-hsmd/")))
            rows.append({"process": name, "resident_kb": [was[0], now[0]], "files": [was[1], now[1]],
                         "threads": [was[2], now[2]], "bytes_a_tap": a_tap, "grew": grew})
        return rows

    def wal_grew(self):
        """Its largest size in the last third, beside that of the first."""
        end = self.wal[-1][0]
        was, now = (max((kb for at, kb in self.wal if low <= at <= high), default=0) for low, high in ((0, end / 3), (2 * end / 3, end)))
        return was, now, now > was + WAL_KB


def at(share, times):
    """That share of them took no longer."""
    return sorted(times)[math.ceil(share * len(times)) - 1]


def build_up():
    world = World()
    try:
        world.build_up()
        with (world.etc / "cardbroker.conf").open("a") as file:
            file.write("workers = 4\nqueue = 8\n")
        world.stop_one("cardbrokerd")
        world.start_broker()
        world.enrol_terminal_freely("crowd", rate=100000)
        world.add_holder("Hanako")
        return world
    except BaseException:
        world.tear_down()
        raise


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=60, help="how long; 60 by default")
    parser.add_argument("--json", type=Path, help="a file for all samples and counts")
    options = parser.parse_args()
    world = build_up()
    soak = Soak(world)
    try:
        soak.lay_cards()
        seconds = soak.run(options.minutes)
        wait_until("an end of all intents", lambda: world.verify()["open_intents"] == 0, 60)
        end = world.verify()
        leaves, size = world.size(), sum(file.stat().st_size for file in world.state.glob("*.db*"))
    finally:
        soak.stopping.set()
        world.tear_down()
    rows, wal = soak.judge(), soak.wal_grew()
    if options.json:
        options.json.write_text(json.dumps({"seconds": seconds, "counts": soak.counts, "odd": soak.odd, "rows": rows,
                                            "samples": soak.samples, "times_ms": soak.times, "leaves": leaves, "bytes": size}, indent=1))
    print(f"{'process':28}{'resident KB':>20}{'files':>14}{'threads':>14}{'bytes a tap':>14}")
    for row in rows:
        text = [" -> ".join(f"{value:.0f}" for value in row[key]) for key in ("resident_kb", "files", "threads")]
        print(f"{row['process']:28}{text[0]:>20}{text[1]:>14}{text[2]:>14}{row['bytes_a_tap']:>14.0f}{'   GREW' if row['grew'] else ''}")
    for what, count in sorted(soak.counts.items()):
        print(f"{count:9}  {what}")
    for what, times in sorted(soak.times.items()):
        print(f"{len(times):9}  {what}: answered after p50 {at(0.5, times):.1f} ms, p99 {at(0.99, times):.1f} ms, {max(times):.1f} ms at most")
    for what, count in sorted(soak.odd.items()):
        print(f"{count:9}  NOT AS PROMISED: {what}")
    print(f"{wal[1]:9}  KB of write-ahead log at most in the last third, {wal[0]} in the first{'   GREW' if wal[2] else ''}")
    print(f"{leaves:9}  leaves, {size / max(leaves, 1):.0f} bytes each in the database")
    good = end["verified"] and not soak.odd and not any(row["grew"] for row in rows) and not wal[2]
    print("held" if good else "did not hold")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

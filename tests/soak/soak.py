#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything at once, for as long as one likes, with more work than there is room for; then whether anything grew.

    tests/soak/soak.py [--minutes N] [--json FILE] [--renew-after TAPS]

Taps with a card and their pages, a crowd of terminals' connections that begin taps and let them lie, noise on the
network, cards issued, used and revoked, keys renewed, the record verified. Every few seconds these are written down: the memory,
descriptors and threads of each process that lasts, and of the one that takes its place when a worker of the key service is
renewed; how many processes there are, also those that nobody waited for or that lost their parent; the sizes of the database, of
its write-ahead log, of the key service's files, its token and the logs. Exit status 0:

- what was promised held: no process ended but workers that were renewed (their log says so), none was left over, refusals said
  when to come again, revocations and looks at the status were answered within the bounds below, each card and page was right;
- nothing grew between the first third and the last by more than the limits below, and of what has to grow, the database, the
  key service's files and the logs, no more than the limits for each tap, card and request.
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

from world import Failure, Terminal, World, wait_until  # noqa: E402

CROWD, CARDS, SAMPLE_SECONDS = 24, 6, 5
GROWTH_KB, GROWTH_SHARE, MORE_FILES, MORE_THREADS, WAL_KB = 4096, 0.10, 16, 2, 64 * 1024
# What a process makes at its first need of it comes within the first minutes: a run that ends before has to allow for it.
WARM_SECONDS, WARM_KB = 600, 16 * 1024
# What SoftHSM keeps of each tap is known (docs/performance.md); of anything else a little, over many taps, is too much.
TAP_KB, TAP_BYTES = 1024, 256
# What an administrator asks is answered within so many ms; at that share of all, at least. Beside other programs, on two cores.
ANSWERED_MS = {0.5: 250, 0.99: 2000, 1: 10000}
# Most that the database grows by for a tap that is on record, and for a card that was issued, used twice and revoked.
DATABASE_TAP, DATABASE_CARD, DATABASE_REST = 8 * 1024, 64 * 1024, 8 * 1024 * 1024
# A card is in the list of those bound, and in the feed of revocations; the files grow in steps.
HSMD_CARD, HSMD_REST = 1024, 128 * 1024
TOKEN_REST = 16 * 1024
# A line of at most that for each request, and some for each tap.
LOG_REQUEST, LOG_TAP, LOG_REST = 512, 4 * 1024, 1024 * 1024
# Logins under way, beside the sessions that the broker knows; and how many samples in a row may see the same process, or more of
# them than that, before it counts as left over.
LOGINS, SAMPLES_IN_A_ROW = 16, 3
PROGRAMS = ("cardbroker-hsmd", "cardbroker-connectord", "cardbrokerd")


def size(pid):
    """KiB resident, descriptors, threads."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024
    return resident, *(len(os.listdir(f"/proc/{pid}/{kind}")) for kind in ("fd", "task"))


def stat(pid):
    """Its state and its parent."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]


def bytes_in(files):
    """Of all of them together; one that goes meanwhile has none."""
    total = 0
    for file in files:
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def metric(text, name):
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith((name + " ", name + "{")))


class Soak:
    def __init__(self, world):
        self.world = world
        self.counts, self.odd = collections.Counter(), collections.Counter()
        self.lock, self.reader = threading.Lock(), threading.Lock()
        self.stopping = threading.Event()
        self.cards = 0
        self.threads, self.samples, self.wal = [], collections.defaultdict(list), []
        self.times = collections.defaultdict(list)      # what an administrator asked: milliseconds until it was answered
        self.lasting = {}       # program: the processes that it has while nobody logs in, each in its place
        self.parents = {}       # of those: a process that takes another one's place has the same
        self.renewed = collections.Counter()    # (program, place): how many processes had that place before this one
        self.gone = {}          # a process that is not there any more: its place
        self.sizes = []         # bytes of the database, hsmd's files, the token, the logs
        self.processes = []     # how many there are below connectord, and sessions that the broker has
        self.seen = collections.Counter()       # what should not be there, and how many samples in a row saw it

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def complain(self, what):
        with self.lock:
            self.odd[what] += 1

    def asks(self, what, *request):
        """An administrator, whose question has a place of its own."""
        began = time.monotonic()
        try:
            answer = self.world.admin(*request)
        except (OSError, http.client.HTTPException) as problem:
            self.complain(f"{what}: {problem!r}"[:300])
            return
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
        try:
            done = self.world.one_tap(reader=reader)
        finally:
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
                if answer.status == 503:
                    self.judge_refusal(answer)
                if self.stopping.is_set():
                    return

    def judge_refusal(self, answer):
        """It says that there is too much to do, and when to come again."""
        wait = answer.headers.get("Retry-After", "")
        if answer.code != "broker.busy":
            self.complain(f"a refusal: {answer.code}")
        if not (wait.isdecimal() and 1 <= int(wait) <= 60):
            self.complain(f"a refusal with Retry-After {wait!r}")

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

    def name_of(self, program, place):
        """A process that was renewed is another one, whose growth begins anew."""
        times = self.renewed[program, place]
        return f"{program}/{place}" + (f" renewed {times}" if times else "")

    def sample(self, began):
        now, taps = time.monotonic() - began, self.counts["tap: accepted"]
        for program in PROGRAMS:
            self.follow(program)
            lasting = self.lasting[program]
            for pid, (resident, files, threads) in self.world.of_each(program, size):
                if pid in lasting:
                    self.samples[self.name_of(program, lasting.index(pid))].append((now, resident, files, threads, taps))
        self.wal.append((now, sum(file.stat().st_size for file in self.world.state.glob("*.db-wal")) // 1024))
        self.sizes.append((now, taps, *self.measure()))
        self.count_processes(now)

    def measure(self):
        w = self.world
        return (bytes_in(w.state.glob("*.db")), *(bytes_in(folder.rglob("*")) for folder in (w.keys / "hsmd", w.keys / "tokens", w.logs)))

    def follow(self, program):
        """Who has the place of a process that is there no more; whether that was promised, is said when the log is whole."""
        if program in self.ended():
            self.complain(f"{program} ended with status {self.world.programs[program].returncode}")
            return
        alive = [pid for pid, _ in self.world.processes(program)]
        for place, pid in enumerate(self.lasting[program]):
            if pid in alive:
                continue
            self.gone[pid] = f"{program}/{place}"
            for other, (_, parent) in self.world.of_each(program, stat):
                if int(parent) == self.parents[pid] and other not in self.lasting[program] and other not in self.gone:
                    self.lasting[program][place], self.parents[other] = other, int(parent)
                    self.renewed[program, place] += 1
                    break

    def ended(self):
        """The programs that are not there any more: nothing else can be asked then."""
        return [program for program in PROGRAMS if self.world.programs[program].poll() is not None]

    def count_processes(self, now):
        """Those that nobody waited for; those that lost their parent; and more logins' processes than logins and sessions."""
        w, bad, found = self.world, set(), set()
        before = self.sessions()
        for program in PROGRAMS:
            for pid, (state, _) in w.of_each(program, stat):
                found.add(pid)
                if state == "Z":
                    bad.add(f"a process of {program} that ended and that nobody waited for (pid {pid})")
        below = len(w.processes("cardbroker-connectord")) - len(self.lasting["cardbroker-connectord"])
        sessions = max(before, self.sessions())
        self.processes.append((now, below, sessions))
        if below > sessions + LOGINS:
            bad.add("more processes below cardbroker-connectord than there are sessions and logins")
        for entry in filter(str.isdecimal, os.listdir("/proc")):
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if Path(words[0]).name in PROGRAMS and any(str(w.etc) in word for word in words) and int(entry) not in found:
                bad.add(f"a process of {Path(words[0]).name} that has no parent (pid {entry})")
        self.seen = collections.Counter({what: self.seen[what] + 1 for what in bad})
        for what, times in self.seen.items():
            if times == SAMPLES_IN_A_ROW:
                self.complain(re.sub(r" \(pid \d+\)", "", what))

    def sessions(self):
        """How many the broker has; the last that it said, while it does not say."""
        try:
            self.known_sessions = int(metric(self.world.admin("GET", "/metrics").data.decode(), "cardbroker_sessions"))
        except (OSError, http.client.HTTPException) as problem:
            self.complain(f"metrics: {problem!r}"[:300])
        return getattr(self, "known_sessions", 0)

    def left_over(self):
        """How many processes there are below connectord that belong to no session, when nobody logs in any more."""
        return len(self.world.processes("cardbroker-connectord")) - len(self.lasting["cardbroker-connectord"]) - self.sessions()

    def judge_ends(self):
        """A process may end when its log says that it makes room for a fresh one. The logs are asked, too: a process may end
        twice between two samples."""
        promised, ends = set(), 0
        for program in PROGRAMS:
            for line in self.world.log_of(program).splitlines()[self.lines[program]:]:
                event = re.search(r'"pid":(\d+),.*"event":"(worker\.renewed|worker\.ended|connector\.died)"', line)
                if event and event[2] == "worker.renewed":
                    promised.add(int(event[1]))
                elif event and (event[2] == "connector.died" or '"how":"status 0"' not in line):
                    self.complain(f"{program}: " + re.search(r'"event".*', line)[0][:200])
                elif event:
                    ends += 1
        for pid, place in self.gone.items():
            if pid not in promised:
                self.complain(f"{place} ended, and its log does not say that it makes room for another one")
        if ends > len(promised):
            self.complain(f"{ends} workers ended by themselves, {len(promised)} of them to make room for others")
        return len(promised)

    def judge_times(self):
        for what in ("revocation", "status"):
            times = self.times[what]
            if not times:
                self.complain(f"{what}: never asked for")
            for share, bound in ANSWERED_MS.items() if times else ():
                if at(share, times) > bound:
                    self.complain(f"{what}: answered after {at(share, times):.0f} ms at {share}, {bound} are the bound")

    def judge_sizes(self, requests):
        """What has to grow, and the most that it may have grown by: name, before, now, bound, for how many taps."""
        was, now = self.sizes[0], self.sizes[-1]
        taps, cards = now[1] - was[1], self.cards
        # Of the logs everything counts that was asked, as the broker counts it; noise is no request.
        bounds = {"database": DATABASE_TAP * taps + DATABASE_CARD * cards + DATABASE_REST,
                  "hsmd's files": HSMD_CARD * cards + HSMD_REST, "token": TOKEN_REST,
                  "logs": LOG_REQUEST * (requests + self.counts["noise"]) + LOG_TAP * (taps + 2 * cards) + LOG_REST}
        return [{"what": what, "bytes": [before, after], "bound": bound, "a_tap": (after - before) / max(taps, 1),
                 "grew": after - before > bound} for (what, bound), before, after in zip(bounds.items(), was[2:], now[2:])]

    def run(self, minutes):
        self.lasting = {program: [pid for pid, _ in self.world.processes(program)] for program in PROGRAMS}
        self.parents = {pid: int(stat(pid)[1]) for lasting in self.lasting.values() for pid in lasting}
        self.lines = {program: len(self.world.log_of(program).splitlines()) for program in PROGRAMS}
        self.sizes.append((0, 0, *self.measure()))
        for play in [self.noise, self.lose_a_card, self.administrator, self.watcher] + [self.holder] * CARDS + [self.crowd] * CROWD:
            self.start(play)
        began = time.monotonic()
        while time.monotonic() - began < minutes * 60 and not self.ended():
            time.sleep(SAMPLE_SECONDS)
            self.sample(began)
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if not self.counts["tap: accepted"] or not self.counts["card: revoked"] or not self.counts["begin: 503"]:
            self.complain("not everything was played: no tap accepted, no card revoked, or nothing refused")
        return time.monotonic() - began

    def judge(self):
        """A row for each process: its medians in the first third (after a warm-up) and the last."""
        rows = []
        for name, samples in self.samples.items():
            begun, end = samples[0][0] if "renewed" in name else 0, samples[-1][0]
            spent = end - begun
            first = [s for s in samples if begun + spent / 10 <= s[0] <= begun + spent / 3] or samples[:1]
            last = [s for s in samples if s[0] >= begun + spent * 2 / 3]
            was, now = ([statistics.median(s[i] for s in part) for i in (1, 2, 3, 4)] for part in (first, last))
            a_tap = 1024 * (now[0] - was[0]) / max(now[3] - was[3], 1)
            growth = now[0] - was[0] - (WARM_KB if spent < WARM_SECONDS else 0)
            grew = (growth > max(GROWTH_KB, GROWTH_SHARE * was[0]) or now[1] - was[1] > MORE_FILES
                    or now[2] - was[2] > MORE_THREADS
                    or (a_tap > TAP_BYTES and growth > TAP_KB and not name.startswith("cardbroker-hsmd/")))
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


def build_up(renew_after=None):
    world = World()
    try:
        world.build_up()
        with (world.etc / "cardbroker.conf").open("a") as file:
            file.write("workers = 4\nqueue = 8\n")
        world.stop_one("cardbrokerd")
        if renew_after is not None:
            with (world.etc / "hsmd.conf").open("a") as file:
                file.write(f"renew-after = {renew_after}\n")
            world.stop_one("cardbroker-hsmd")
            world.start_hsmd()
        world.start_broker()
        world.enrol_terminal_freely("crowd", rate=100000)
        world.add_holder("Hanako")
        return world
    except BaseException:
        world.tear_down()
        raise


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=60,
                        help="how long; 60 by default. What is less than ten minutes says little of memory")
    parser.add_argument("--json", type=Path, help="a file for all samples and counts")
    parser.add_argument("--renew-after", type=int, metavar="TAPS", help="hsmd's renew-after, so that a short run sees workers renewed")
    options = parser.parse_args()
    world = build_up(options.renew_after)
    soak = Soak(world)
    try:
        soak.lay_cards()
        seconds = soak.run(options.minutes)
        if soak.ended():
            print("\n".join(f"NOT AS PROMISED: {what}" for what in sorted(soak.odd)) + "\ndid not hold")
            return 1
        wait_until("an end of all intents", lambda: world.verify()["open_intents"] == 0, 60)
        end = world.verify()
        try:
            wait_until("processes of ended logins to go", lambda: soak.left_over() <= 0, 60)
        except Failure:
            soak.complain(f"{soak.left_over()} processes below cardbroker-connectord without a session")
        for program in PROGRAMS:
            soak.follow(program)
        renewed = soak.judge_ends()
        soak.judge_times()
        soak.sizes.append((seconds, soak.counts["tap: accepted"], *soak.measure()))
        sizes = soak.judge_sizes(metric(world.admin("GET", "/metrics").data.decode(), "cardbroker_http_requests_total"))
        leaves, size = world.size(), sum(file.stat().st_size for file in world.state.glob("*.db*"))
    finally:
        soak.stopping.set()
        world.tear_down()
    rows, wal = soak.judge(), soak.wal_grew()
    if options.json:
        options.json.write_text(json.dumps({"seconds": seconds, "counts": soak.counts, "odd": soak.odd, "rows": rows,
                                            "samples": soak.samples, "times_ms": soak.times, "renewed": renewed,
                                            "sizes": soak.sizes, "grown": sizes, "processes": soak.processes, "leaves": leaves, "bytes": size}, indent=1))
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
    for row in sizes:
        print(f"{(row['bytes'][1] - row['bytes'][0]) // 1024:9}  KB more of {row['what']}, {row['a_tap']:.0f} bytes for each tap that was accepted; "
              f"{row['bound'] // 1024:.0f} at most{'   GREW' if row['grew'] else ''}")
    print(f"{max(below for _, below, _ in soak.processes):9}  processes at most below cardbroker-connectord beside those that last, "
          f"{max(sessions for *_, sessions in soak.processes)} sessions at most")
    print(f"{renewed:9}  workers of the key service renewed")
    print(f"{leaves:9}  leaves, {size / max(leaves, 1):.0f} bytes each in the database")
    good = end["verified"] and not soak.odd and not any(row["grew"] for row in rows) and not wal[2] and not any(row["grew"] for row in sizes)
    print("held" if good else "did not hold")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

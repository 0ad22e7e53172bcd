# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole taps as the store grows: real cards of several kinds tap at a whole installation, and beside them the store is filled with
more and more citizens.

Those are put there while the broker is stopped (fill_store.c), each like one of the real ones, with a leaf for each act and a head of the
key service's over all of it; none of them can tap. So what grows is the tables, their indexes, the record, what the broker keeps of it in
memory, and the key service's memory of bound cards. What does not grow is who taps: rows of a holder that nobody has asked for
in a while are scale_bench.c's to measure.
"""

import ctypes
import json
import mmap
import os
import subprocess
import time
from pathlib import Path

import foreign_world
from world import wait_until

# Half of the cards are native; each of the other kinds is made by that name and, where its profile asks for it, used with that PIN.
OTHERS = (("piv", None), ("jpki", foreign_world.JPKI_PIN), ("scp03", None))
KEYS = 10       # of each holder: one where a certificate is wanted, and nine where none is
PATIENCE = 3600


def kinds(count):
    """The profile and PIN of each of the real cards."""
    return [("native", None)] * ((count + 1) // 2) + [OTHERS[i % len(OTHERS)] for i in range(count // 2)]


def in_page_cache(path):
    """How much of a file the kernel has in memory; 0 to 1."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
    there = ctypes.create_string_buffer(pages)
    if at == ctypes.c_void_p(-1).value or libc.mincore(at, size, there) != 0:
        raise OSError(ctypes.get_errno(), f"{path}: what of it is in memory cannot be told")
    libc.munmap(at, size)
    return sum(byte & 1 for byte in there.raw) / pages


def at_rest(pid, looks=10):
    """Whether no thread of a process has anything to do, at so many looks; one that waits for a processor has."""
    for _ in range(looks):
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                if (task / "stat").read_text().rpartition(")")[2].split()[0] in "RD":
                    return False
            except OSError:
                continue        # it has just ended
        time.sleep(0.02)
    return True


class Whole:
    """An installation with its real cards. bench: tests/bench/run's, of an installation of its own."""

    def __init__(self, bench, real):
        self.bench, self.world, self.kinds = bench, bench.world, kinds(real)
        self.services = ["bench", *(f"bench-{i}" for i in range(1, KEYS))]
        for name in self.services[1:]:
            self.add_service(name)
        # One more, whose only tap is the first after a start.
        for number, (profile, _) in enumerate([*self.kinds, ("native", None)]):
            bench.card_of(f"real{number}", profile, (), "bench")
        self.cards = len(self.kinds) + 1

    def add_service(self, name):
        """One that nobody taps for: it takes tokens that are signed with holders' keys, which need no certificate."""
        file = self.world.folder / f"{name}.json"
        file.write_text(json.dumps({"token_endpoint": f"https://localhost:{self.world.nginx_port}/",
                                    "ca_file": str(self.world.folder / "nginx" / "server-ca.pem")}))
        self.world.ctl("service", "add", "--name", name, "--title", name, "--connector", "jwt", "--level", "possession",
                       "--kind", "token", "--needs-certificate", "no", "--config", file)

    @property
    def database(self):
        return self.world.state / "cardbroker.db"

    @property
    def bound(self):
        return self.world.keys / "hsmd" / "bound-cards"

    def tap(self, at_a_time, seconds):
        cards = [f"{profile}{f',{pin}' if pin else ''}={self.world.cards / f'real{number}.card'}"
                 for number, (profile, pin) in enumerate(self.kinds)]
        return self.bench.with_cpu(cards, seconds, at_a_time=at_a_time)

    def fill(self, cards):
        """Until there are so many, with the broker stopped; how long that took."""
        real = len(self.kinds) + 1
        done = subprocess.run([self.bench.program("fill_store"), self.database, self.world.run_folder, self.bound, str(real),
                               str(cards - self.cards), *self.services], stdout=subprocess.PIPE, check=True)
        self.cards = cards
        return json.loads(done.stdout)

    def store(self):
        return self.world.ctl("status")["broker"]["store"]

    def grow(self, cards):
        """Stops the broker, fills, starts it; what a row says of that."""
        world = self.world
        world.insert_card(f"real{len(self.kinds)}")
        world.programs.pop("cardbrokerd").stop(PATIENCE)
        filled = self.fill(cards)
        began = time.monotonic()
        program = world.spawn("cardbrokerd", [world.program("cardbrokerd"), "--config", world.etc / "cardbroker.conf"])
        wait_until("the first tap", lambda: world.outcome(world.tap_at(world.reader, "bench")) == "accepted", PATIENCE, program)
        first = time.monotonic() - began
        wait_until("the record to be read", lambda: self.read_through(self.store()), PATIENCE, program)
        read = time.monotonic() - began
        world.remove_card()
        # What is known of the rows is put in order and compared, after the last leaf was read. That takes no longer than so; the rest
        # of a front end that others keep from the processors might.
        until = time.monotonic() + 1 + cards / 10000
        while time.monotonic() < until and not at_rest(program.pid):
            time.sleep(0.1)
        return {"cards": cards, "keys": cards * KEYS, "filled_s": filled["seconds"], "first_tap_s": first, "read_s": read,
                "leaves": self.store()["leaves"], "file_mb": os.stat(self.database).st_size / 1e6,
                "bound_mb": os.stat(self.bound).st_blocks * 512 / 1e6}

    @staticmethod
    def read_through(store):
        return store["leaves_checked"] >= store["leaves_found"]

    def resident_mb(self):
        pages = self.world.of_each("cardbrokerd", lambda pid: int(Path(f"/proc/{pid}/statm").read_text().split()[1]))
        return sum(number for _, number in pages) * mmap.PAGESIZE / 1e6

    def measure(self, cards, at_a_time, seconds):
        row = self.grow(cards)
        self.tap(len(self.kinds), 2)        # each of them, and what was never used since the start
        row["cached"] = in_page_cache(self.database)
        row["taps"] = [self.tap(number, seconds) for number in at_a_time]
        row["resident_mb"] = self.resident_mb()
        return row


def measure(bench, sizes, real, at_a_time, seconds):
    """bench: as above, built up without cards."""
    whole = Whole(bench, real)
    return [whole.measure(cards, at_a_time, seconds) for cards in sizes]

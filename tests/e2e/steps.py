# SPDX-License-Identifier: GPL-3.0-or-later
"""A chosen process is killed, or held, before its n-th call that touches the world outside it: tests/support/kill_steps.c, from
here. CARDBROKER_FAULTS says how many steps are taken: all, or every N-th; otherwise each test takes some."""

import ctypes
import mmap
import os
import signal
import struct
from pathlib import Path

from world import PATIENCE, World, wait_until

FORMAT = "=Qii24s24sIIII24sq"    # the plan in kill_steps.c
TURN = 1 << 48                      # and how its first word is made up
GO = struct.calcsize("=Qii24s24sII")
LASTING = ("pwrite64", "pwrite", "write", "fdatasync", "fsync", "ftruncate64", "ftruncate", "rename", "renameat", "link", "unlink",
           "open", "open64", "openat", "openat64")
FAULTS = os.environ.get("CARDBROKER_FAULTS", "")
ALL = FAULTS == "all"


def stride(usual):
    return 1 if ALL else int(FAULTS or usual)


def children_of(pid):
    """Those that run, in the order in which they were made."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if runs(child)]
    except OSError:
        return []


def runs(pid, session=None):
    """Whether there is such a process, in that session if one is named. A zombie only waits to be collected."""
    try:
        state, _, _, its_session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
    except OSError:
        return False
    return state not in "ZX" and session in (None, int(its_session))


class Steps:
    def __init__(self, path, library):
        path.write_bytes(bytes(4096))
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4096)
        self.word = ctypes.c_uint64.from_buffer(self.memory)
        self.add = ctypes.CDLL(str(library)).kill_steps_add
        self.add.argtypes, self.add.restype = (ctypes.POINTER(ctypes.c_uint64), ctypes.c_uint64), ctypes.c_uint64
        self.armed = False

    def plan(self):
        return struct.unpack(FORMAT, self.memory[:struct.calcsize(FORMAT)])

    def arm(self, nth, pid=0, children=0, program="", only="", hold=False):
        """nth 0: counts only. only: calls of that name. hold: until go()."""
        self.disarm()
        self.word.value &= ~(TURN - 1)      # nobody else changes it before the turn begins
        plan = struct.pack(FORMAT, 0, pid, children, program.encode(), only.encode(), nth, hold, 0, 0, b"", 0)
        self.memory[8:len(plan)] = plan[8:]
        self.add(self.word, TURN)
        self.armed = True

    def look(self):
        """The process that was struck (0: none), the call that it did not make, how many calls there were."""
        told = self.plan()[8]               # what it told stands since before that
        word, *_, call, _ = self.plan()
        return told, call.rstrip(b"\0").decode(), word % (1 << 24)

    def when(self):
        """As time.monotonic() says it."""
        return self.plan()[-1] / 1e9

    def go(self):
        self.memory[GO:GO + 4] = struct.pack("=I", 1)

    def disarm(self):
        """As look(), and for good: from here on nobody is struck, and who was struck has ended or goes on."""
        if self.armed:
            self.add(self.word, TURN)
            self.armed = False
        struck, hold = self.word.value >> 24 & 0xffffff, self.plan()[6]
        self.go()
        if struck:
            # Somebody else may end it in between.
            wait_until(f"{struck} to end, or to say where it is held",
                       lambda: not runs(struck) or hold and self.plan()[8] == struck, 20 * PATIENCE)
        _, call, counted = self.look()
        return struck, call, counted


class Role:
    """A process, by what it is; found anew when it was started again. A number: the child of that program in the order of their
    start, which holds for all of them as long as one at most was started again; below: whatever that process starts."""

    def __init__(self, program, place=None, below=False):
        self.program, self.place, self.below = program, place, below

    def plan(self, world):
        pid = world.programs[self.program].pid
        if self.place is not None:
            pid = world.child(self.program, self.place)
        return {"children": pid} if self.below else {"pid": pid}

    def pids(self, world):
        (how, pid), = self.plan(world).items()
        return children_of(pid) if how == "children" else [pid]


class Fragile(World):
    """A world whose programs can be struck so. One worker for the keys' use, so that every tap goes to it."""

    def __init__(self, **options):
        super().__init__(workers=1, **options)
        library = self.build / "tests" / "support" / "kill_steps.so"
        self.steps = Steps(self.folder / "steps", library)
        self.loaded = {**self.env, "CARDBROKER_KILL_STEPS": str(self.folder / "steps"), "LD_PRELOAD": str(library)}
        self.places = {}

    def spawn(self, name, argv, env=None):
        return super().spawn(name, argv, env or self.loaded)

    def child(self, program, place):
        """The process in that place: as they were started first, or what was started since for the one that is missing."""
        pid = self.programs[program].pid
        count = len(self.places.get(pid) or []) or (4 if program == "cardbroker-connectord" else 3)
        wait_until(f"{count} processes of {program}", lambda: len(children_of(pid)) >= count, 20 * PATIENCE)
        now = children_of(pid)
        known = self.places.setdefault(pid, now)
        new = [child for child in now if child not in known]
        self.places[pid] = [child if child in now else new.pop(0) for child in known]
        return self.places[pid][place]

    def kill(self, role):
        """kill -9, and nothing of it is left. That its parent starts it again, or that what it started dies with it, is not waited for."""
        for pid in role.pids(self):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            wait_until(f"the end of {pid}", lambda: not runs(pid), 20 * PATIENCE)

    def start_what_ended(self, start):
        """What the system's service manager does. It starts nothing beside what is left of an earlier run, which must end by itself:
        each program is a session of its own, as it would be a control group."""
        for name, again in start.items():
            program = self.programs.get(name)
            if program and program.poll() is not None:
                wait_until(f"all processes of {name} to end with it", lambda: not any(
                    runs(pid, program.pid) for pid in os.listdir("/proc") if pid.isdigit()), 20 * PATIENCE)
                again()

    def in_danger(self, action):
        """What is run for an action only can be struck as well."""
        usual, self.env = self.env, self.loaded
        try:
            return action()
        finally:
            self.env = usual


__all__ = ["ALL", "Fragile", "LASTING", "Role", "Steps", "children_of", "runs", "stride"]

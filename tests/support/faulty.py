# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands to machine_faults.c and faulty_token.c: what a machine and an HSM do wrong, told from outside while programs run."""

import errno
import mmap
import os
import struct

ALWAYS = 0xFFFFFFFF


class Mapped:
    """A file of so many zero bytes that the programs map too."""

    def __init__(self, path, size):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.ftruncate(fd, size)
        self.path = str(path)
        self.bytes = mmap.mmap(fd, size)
        os.close(fd)


class Machine(Mapped):
    """The clock, the disk below one folder, and a kernel that does less than it is asked."""

    def __init__(self, path, build):
        super().__init__(path, 256)
        self.env = {"CB_MACHINE_FAULTS": self.path, "LD_PRELOAD": str(build / "tests/support/machine_faults.so")}

    def reach(self, world, daemons):
        """From now on these of the world's daemons are started with it under them."""
        plain, spawn = world.env, world.spawn
        reached = {**plain, "ASAN_OPTIONS": plain["ASAN_OPTIONS"] + ":verify_asan_link_order=0", **self.env}
        world.spawn = lambda name, argv: spawn(name, argv, reached if name in daemons else plain)

    def step_clock(self, seconds):
        struct.pack_into("<q", self.bytes, 0, seconds * 1000000)

    def fail_disk(self, folder, error=errno.ENOSPC):
        struct.pack_into("<iI232s", self.bytes, 8, 0, 0, str(folder).encode())
        struct.pack_into("<i", self.bytes, 8, error)

    def mend_disk(self):
        """How often it refused."""
        struct.pack_into("<i", self.bytes, 8, 0)
        return struct.unpack_from("<I", self.bytes, 12)[0]

    def awkward(self, on):
        """Whether calls are interrupted and cut short; how many there were in all."""
        struct.pack_into("<I", self.bytes, 248, on)
        return struct.unpack_from("<I", self.bytes, 252)[0]


class Token(Mapped):
    """The PKCS#11 module. A rule: calls of that name ("*": of all) from the first to the last, counted from 0, give rv."""

    RULE = struct.Struct("<32sIIQII")
    MOST = 16

    def __init__(self, path):
        super().__init__(path, self.RULE.size * self.MOST)
        self.env = {"CB_TOKEN_FAULTS": self.path}

    def fail(self, *rules):
        """Each (name, rv) or (name, rv, first, last); takes the place of the rules before."""
        blank = bytes(self.RULE.size * self.MOST)
        self.bytes[:] = blank
        for number, (name, rv, *span) in enumerate(rules):
            first, last = span or (0, ALWAYS)
            self.RULE.pack_into(self.bytes, number * self.RULE.size, name.encode(), first, last, rv, 0, 0)

    def mend(self):
        self.fail()

    def calls(self, number=0):
        """How many calls the rule has seen."""
        return self.RULE.unpack_from(self.bytes, number * self.RULE.size)[4]

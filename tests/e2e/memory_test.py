# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory: a service key that somebody knows is used a hundred times, and then nobody but hsmd has it; and nobody is dumped."""

import base64
import mmap
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from memory import memory_of
from world import PATIENCE, Terminal, World, main, run, time, world

TAPS = 100
OTHERS = ("cardbrokerd", "cardbroker-connectord", "card")
w = None


def setUpModule():
    global w
    w = world()
    w.add_holder("Hanako", services=())
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


# ---- What a key looks like in memory ------------------------------------------------------------------------------------


def number(data, base, size, order):
    """A number in limbs of so many bits, each in a word of so many bytes: the least significant first, or last."""
    value = int.from_bytes(data, "big")
    count = -(-8 * len(data) // base)
    words = [((value >> base * i) & ((1 << base) - 1)).to_bytes(size, "little") for i in range(count)]
    return b"".join(words if order == "least first" else words[::-1])


def base64_of(data):
    """What of it is certain in a base64 text, wherever it begins there."""
    for lead in range(3):
        text = base64.b64encode(bytes(lead) + data + bytes(3))
        yield text[4 if lead else 0:][:(len(data) - 3) * 4 // 3 - 4]


def spellings(data):
    """A secret as it stands, reversed, in the limbs that libraries compute with, in hexadecimal and in base64."""
    yield "as it is", data
    yield "reversed", data[::-1]
    for bits, size in ((64, 8), (32, 4), (52, 8), (26, 4), (28, 4)):
        for order in ("least first", "most first"):
            yield f"limbs of {bits} bits, {order}", number(data, bits, size, order)
    yield "hexadecimal", data.hex().encode()
    yield "HEXADECIMAL", data.hex().upper().encode()
    for text in base64_of(data):
        yield "base64", text


def lines_of(der, data):
    """What of it is certain in the lines of the PEM text of this DER."""
    text, at = base64.b64encode(der), der.index(data)
    first, last = -(-at * 8 // 6), (at + len(data)) * 8 // 6
    while first < last:
        end = min(last, (first // 64 + 1) * 64)
        if end - first >= 16:
            yield "a line of PEM", text[first:end]
        first = end


def found_in(pid, wanted):
    """The names of those that this process has in its memory; and how much of that there was."""
    found, kept, size = set(), b"", 0
    for part in memory_of(pid):
        size += len(part)
        if part.count(0) == len(part):
            continue
        data = kept + part
        found.update(name for name, word in wanted if word in data)
        kept = part[-256:]
    return found, size


class Key:
    def __init__(self, name, text):
        self.file = w.folder / f"{name}.pem"
        self.file.write_text(text)
        self.file.chmod(0o600)
        der = run(["openssl", "pkey", "-in", self.file, "-outform", "DER"]).stdout
        shown = run(["openssl", "pkey", "-in", self.file, "-noout", "-text"]).stdout.decode()
        self.scalar = bytes.fromhex(re.sub(r"[\s:]", "", shown.split("priv:")[1].split("pub:")[0])).rjust(32, b"\0")[-32:]
        old = run(["openssl", "ec", "-in", self.file, "-outform", "DER"]).stdout
        self.wanted = [*spellings(self.scalar), *lines_of(der, self.scalar), *lines_of(old, self.scalar)]


def new_key(name):
    return Key(name, run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]).stdout.decode())


@unittest.skipIf(os.geteuid() != 0, "only root may read the memory of a process that is not dumpable")
class Keys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = key = new_key("known")
        request = w.folder / "known.csr"
        run(["openssl", "req", "-new", "-key", key.file, "-subj", "/CN=Hanako", "-out", request])
        certificate = w.sign_with_nginx_authority(request, w.folder / "known-certificate")
        w.enrolments["Hanako", "nginx"] = w.ctl(
            "enrolment", "add", "--holder", w.holders["Hanako"], "--service", "nginx", "--algorithm", "ec-p256",
            "--import", key.file, "--certificate", certificate)["id"]
        with Terminal(w) as terminal:
            cls.taps = [w.tap_by_hand(terminal) for _ in range(TAPS)]

    def test_1_the_key_was_used_by_every_tap(self):
        self.assertEqual([tap.json.get("outcome") for tap in self.taps], ["accepted"] * TAPS)
        self.assertIn("CN=Hanako", "".join(w.page_of(self.taps[-1].json).values()))
        self.assertGreaterEqual(w.log_of("cardbroker-hsmd").count('"event":"key.used"'), TAPS)

    def test_2_who_has_it_is_found_out_by_every_spelling(self):
        """The search itself: a process that holds the key in one spelling is found, whichever that is; one of another key is not."""
        other = new_key("other")
        for name, word in self.key.wanted:
            with mmap.mmap(-1, 1 << 16) as memory:      # not on this process's heap, where everything else is
                memory[4000:4000 + len(word)] = word
                holder = os.fork()
                if holder == 0:
                    time.sleep(600)
                    os._exit(0)
            try:
                self.assertIn(name, found_in(holder, [(name, word)])[0])
            finally:
                os.kill(holder, 9)
                os.waitpid(holder, 0)
        with subprocess.Popen(["sleep", "600"]) as innocent:
            try:
                self.assertEqual(found_in(innocent.pid, other.wanted)[0], set())
            finally:
                innocent.kill()

    def test_3_nobody_but_hsmd_has_it_in_memory(self):
        read = 0
        for name in OTHERS:
            searched = list(w.of_each(name, lambda pid: found_in(pid, self.key.wanted)))
            self.assertTrue(searched, name)
            for pid, (found, size) in searched:
                self.assertEqual(found, set(), f"{name} ({pid})")
                self.assertGreater(size, 1 << 16, f"the memory of {name} ({pid}) was not read")
                read += size
        print(f"{TAPS} taps, {read >> 20} MB of memory read, {len(self.key.wanted)} spellings", file=sys.stderr)

    def test_4_it_is_in_no_file(self):
        for folder in (w.state, w.logs, w.run_folder, w.etc):
            for path in folder.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    data = path.read_bytes()
                    for name, word in self.key.wanted:
                        self.assertFalse(word in data, f"{path.name}: {name}")


# ---- Dumps ----------------------------------------------------------------------------------------------------------------


def reason_to_skip():
    if os.geteuid() != 0:
        return "root's own processes do not show whether they can be dumped"
    for folder in [w.build, *w.build.parents]:
        if not folder.stat().st_mode & stat.S_IXOTH:
            return f"other users cannot reach {folder}"
    return None


class Dumps(unittest.TestCase):
    """The daemons are looked at in the tests of secrets and of users; these are the programs that people start."""

    PROGRAMS = {"cardbrokerctl": ("--config", "{fifo}", "status"), "cardlink": ("--config", "{fifo}", "tap", "--service", "x"),
                "cardbroker-hsmd": ("--config", "{fifo}"), "cardbrokerd": ("--config", "{fifo}"),
                "cardbroker-connectord": ("--config", "{fifo}")}

    def setUp(self):
        reason = reason_to_skip()
        if reason:
            self.skipTest(reason)
        self.folder = Path(tempfile.mkdtemp(prefix="cb-dumps-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        os.mkfifo(self.folder / "fifo")
        os.chmod(self.folder / "fifo", 0o644)
        # Somebody stands at the other end, so that it is waited for what he writes.
        writer = os.open(self.folder / "fifo", os.O_RDWR)
        self.addCleanup(os.close, writer)

    def test_each_program_cannot_be_dumped_before_it_reads_anything(self):
        nobody = pwd.getpwnam("nobody")
        for name, arguments in self.PROGRAMS.items():
            with self.subTest(name):
                argv = [str(w.program(name)), *(a.format(fifo=self.folder / "fifo", folder=self.folder) for a in arguments)]
                program = subprocess.Popen(argv, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd="/",
                                           env={"PATH": "/usr/bin"}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                try:
                    self.look_at(program, name)
                finally:
                    program.kill()
                    program.communicate()

    def look_at(self, program, name):
        """It is stuck in reading the pipe into which nobody writes; once it is there, it must have shut itself up."""
        deadline = time.monotonic() + 20 * PATIENCE
        while True:
            self.assertIsNone(program.poll(), f"{name} did not wait")
            limits = Path(f"/proc/{program.pid}/limits").read_text()
            core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
            if core.split()[4:6] == ["0", "0"] and os.stat(f"/proc/{program.pid}/mem").st_uid == 0:
                return
            self.assertLess(time.monotonic(), deadline, f"{name} can be dumped: {core}")
            time.sleep(0.02)


if __name__ == "__main__":
    main()

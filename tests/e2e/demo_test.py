# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration: all its steps, and that Ctrl-C leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = [sys.executable, "-u", str(ROOT / "scripts" / "demo.py")]


def processes_naming(text):
    """Those whose command line names a text: what was started from a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


class Demo(unittest.TestCase):
    def test_ctrl_c_stops_everything_and_removes_the_folder(self):
        with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              start_new_session=True) as demo:
            lines = []
            for line in demo.stdout:
                lines.append(line)
                if line.startswith("Ctrl-C"):
                    break
            said = "".join(lines)
            self.assertIn("All 22 steps did what they say", said)
            folder = re.search(r"The installation is under (\S+);", said).group(1)
            self.assertTrue(processes_naming(folder))
            demo.send_signal(signal.SIGINT)
            demo.stdout.read()
            self.assertEqual(demo.wait(60), 0)
        deadline = time.monotonic() + 10
        while processes_naming(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(processes_naming(folder), [])
        self.assertFalse(Path(folder).exists())

    def test_a_step_that_fails_fails_the_demonstration(self):
        environment = {**os.environ, "CARDBROKER_BUILD": "/nonexistent"}
        done = subprocess.run([*DEMO, "--once"], env=environment, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("step 1 failed", done.stderr)


if __name__ == "__main__":
    unittest.main()

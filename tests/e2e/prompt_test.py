# SPDX-License-Identifier: GPL-3.0-or-later
"""A person at a terminal: the PIN is asked for on the terminal itself and never shown."""

import os
import pty
import select
import termios
import time
import unittest

from world import PATIENCE, main, world

w = None


def setUpModule():
    global w
    w = world()
    w.add_nginx("vault", level="pin")
    w.add_holder("Hanako", services=("vault",))


def tearDownModule():
    if w:
        w.tear_down()


class Person:
    """cardlink with a terminal of its own."""

    def __init__(self, *arguments):
        program = str(w.program("cardlink"))
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve(program, [program, "--config", str(w.etc / "terminal.conf"), *arguments], w.env)
        self.seen = b""

    def read_until(self, text, seconds=30):
        deadline = time.monotonic() + seconds * PATIENCE
        while text not in self.seen and time.monotonic() < deadline:
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    part = os.read(self.terminal, 4096)
                except OSError:
                    break
                if not part:
                    break
                self.seen += part
        return self.seen

    def shows_what_is_typed(self):
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)

    def type(self, text):
        os.write(self.terminal, text)

    def end(self):
        self.read_until(b"\0", 20)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.terminal)
        return status


class Prompt(unittest.TestCase):
    def test_the_pin_is_asked_for_and_not_shown(self):
        w.insert_card("Hanako")
        person = Person("tap", "--service", "vault", "--pin")
        person.read_until(b"PIN")
        self.assertIn(b"PIN", person.seen)
        deadline = time.monotonic() + 5
        while person.shows_what_is_typed() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertFalse(person.shows_what_is_typed())
        person.type(b"123456\n")
        status = person.end()
        self.assertEqual(status, 0, person.seen)
        self.assertNotIn(b"123456", person.seen)

    def test_giving_up_at_the_prompt_gives_the_terminal_back(self):
        w.insert_card("Hanako")
        person = Person("tap", "--service", "vault", "--pin")
        person.read_until(b"PIN")
        time.sleep(0.3)
        person.type(b"\x03\n")
        person.read_until(b"\0", 3)
        try:
            self.assertTrue(person.shows_what_is_typed())
        except termios.error:
            pass  # the terminal went with the program
        self.assertNotEqual(person.end(), 0)


if __name__ == "__main__":
    main()

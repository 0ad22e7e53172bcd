# SPDX-License-Identifier: GPL-3.0-or-later
"""Holders with a name and a password instead of a card: set by an administrator, used at a terminal that may, at services that
ask for no more; how an end of it ends all that it opened, and what is told to whom does not know it."""

import os
import sqlite3
import unittest

from world import PATIENCE, main, wait_until, world

w = desk = None
PASSWORD, OTHER, WRONG = "correct horse battery staple", "an altogether other one", "what somebody else guesses"


def handed(text, option, call, *args, **kwargs):
    """With a secret that the program reads from a descriptor."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    try:
        return call(*args, option, reading, pass_fds=(reading,), timeout=60 * PATIENCE, **kwargs)
    finally:
        os.close(reading)


def ctl(*args, password=None, **kwargs):
    return w.ctl(*args, **kwargs) if password is None else handed(password, "--password-fd", w.ctl, *args, **kwargs)


def login(name, password=PASSWORD, service="library", terminal=None):
    said = handed(password, "--password-fd", w.cardlink, "login", "--name", name, "--service", service, terminal=terminal or desk,
                  ok=(0, 1, 3, 69, 78))
    return said[-1]


def change(name, now, then, terminal=None):
    said = handed(f"{now}\n{then}\n", "--password-fd", w.cardlink, "password", "change", "--name", name, terminal=terminal or desk,
                  ok=(0, 1, 2, 3, 69, 78))
    return said[-1].get("code") or said[-1]["event"]


def code(*args, **kwargs):
    said = login(*args, **kwargs)
    return said.get("code") or said["event"]


def setUpModule():
    global w
    w = world()
    w.add_nginx("library", level="password")
    w.add_nginx("bank", level="possession")
    w.add_holder("Hanako", services=("nginx", "library", "bank"))
    w.add_holder("Taro", services=("library",))
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


def refusals():
    return [w.fields(leaf)["outcome"] for leaf in w.leaves("--kind", "tap.refused")]


class Passwords(unittest.TestCase):
    def setUp(self):
        """At a terminal of its own: wrong passwords slow one down."""
        global desk
        desk = "desk-" + str(1 + int((desk or "desk-0")[5:]))
        w.write_terminal_configuration(desk)
        w.cardlink("enrol", "--name", desk, terminal=desk)
        w.ctl("terminal", "enrol", "--name", desk, "--certificate", w.etc / f"{desk}.pem", "--rate", 10000, "--passwords")

    def test_a_holder_logs_in_with_a_password_and_is_who_he_is(self):
        made = ctl("password", "set", "Hanako.One", "--holder", "Hanako", password=PASSWORD)
        self.assertEqual((made["level"], made["profile"], made["state"]), (4, 5, "active"))
        said = login("hanako.one")
        self.assertEqual(said["event"], "tap.accepted", said)
        self.assertEqual((said["level"], said["holder"]), (4, w.holders["Hanako"]))
        self.assertIn("CN=Hanako", w.page_of(said).get("subject", ""))
        self.assertEqual(code("HANAKO.one", OTHER), "password.wrong")
        self.assertEqual(code("hanako.one", service="bank"), "tap.level")
        self.assertEqual(code("hanako.one", terminal="terminal"), "terminal.passwords")
        # A card does for what a password does.
        self.assertEqual(w.tap("library")["event"], "tap.accepted")
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])

    def test_nobody_learns_which_names_there_are_and_the_record_does(self):
        ctl("password", "set", "taro", "--holder", "Taro", password=PASSWORD)
        answers = [login(name, WRONG) for name in ("taro", "nobody")]
        self.assertEqual(*({key: value for key, value in said.items() if key not in ("request",)} for said in answers))
        self.assertEqual(refusals()[-2:], ["password.wrong", "card.unknown"])
        for _ in range(4):
            self.assertEqual(code("taro", WRONG), "password.wrong")
        # Five were wrong: now it is not looked at, however right.
        self.assertEqual(code("taro"), "password.wrong")
        self.assertEqual(refusals()[-1], "password.delayed")
        for program in ("cardbroker-hsmd",):
            w.stop_one(program)
            w.start_hsmd()
        wait_until("hsmd to be back", lambda: w.tap()["event"] == "tap.accepted", 20 * PATIENCE)
        self.assertEqual(code("taro"), "password.wrong")
        ctl("password", "unlock", "taro")
        self.assertEqual(code("taro"), "tap.accepted")

    def test_a_reset_ends_the_old_password_and_what_it_opened(self):
        ctl("password", "set", "reset.me", "--holder", "Hanako", password=PASSWORD)
        said = login("reset.me")
        browser = w.browser()
        self.assertEqual(browser.get(said["delivery"]["url"]).status, 200)
        page = said["delivery"]["url"].split("/.cardbroker/")[0] + "/whoami"
        self.assertEqual(browser.get(page).status, 200)
        ctl("password", "reset", "reset.me", "--reason", "lost", password=OTHER)
        self.assertEqual(browser.get(page).status, 410)
        self.assertEqual(code("reset.me"), "password.wrong")
        self.assertEqual(code("reset.me", OTHER), "tap.accepted")
        # One that was in use before never comes back.
        ctl("password", "reset", "reset.me", password=PASSWORD, ok=(1,))
        self.assertEqual(code("reset.me", OTHER), "tap.accepted")

    def test_a_holder_changes_his_password_and_what_the_old_one_opened_ends(self):
        made = ctl("password", "set", "own.choice", "--holder", "Hanako", password=PASSWORD)
        said = login("own.choice")
        browser = w.browser()
        self.assertEqual(browser.get(said["delivery"]["url"]).status, 200)
        page = said["delivery"]["url"].split("/.cardbroker/")[0] + "/whoami"
        self.assertEqual(browser.get(page).status, 200)
        self.assertEqual(change("own.choice", WRONG, OTHER), "password.wrong")
        self.assertEqual(change("nobody.there", PASSWORD, OTHER), "password.wrong")
        self.assertEqual(change("own.choice", PASSWORD, "short"), "password.format")
        self.assertEqual(change("own.choice", PASSWORD, PASSWORD), "password.used")
        self.assertEqual(change("own.choice", PASSWORD, OTHER, terminal="terminal"), "terminal.passwords")
        self.assertEqual(browser.get(page).status, 200)
        self.assertEqual(change("own.choice", PASSWORD, OTHER), "tap.accepted")
        self.assertEqual(browser.get(page).status, 410)
        self.assertEqual((code("own.choice"), code("own.choice", OTHER)), ("password.wrong", "tap.accepted"))
        self.assertEqual(change("own.choice", OTHER, PASSWORD), "password.used")
        leaf = next(w.fields(leaf) for leaf in w.leaves("--kind", "tap.password") if w.fields(leaf)["card"] == made["id"])
        self.assertEqual((leaf["outcome"], leaf["holder"]), ("changed", w.holders["Hanako"]))
        # An administrator goes on from there.
        third = "yet another one of mine"
        ctl("password", "reset", "own.choice", password=third)
        self.assertEqual((code("own.choice", OTHER), code("own.choice", third)), ("password.wrong", "tap.accepted"))
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])

    def test_what_an_administrator_gives_opens_nothing_and_is_changed_once(self):
        given = ctl("password", "set", "fresh", "--holder", "Hanako", "--once", "--valid", "1h")
        once = given["password"]
        self.assertRegex(once, r"^[0-9A-Z]{5}(-[0-9A-Z]{5}){2}-[0-9A-Z*~$=]{5}$")
        self.assertNotIn("password", ctl("password", "show", "fresh"))
        self.assertEqual((code("fresh", WRONG), code("fresh", once)), ("password.wrong", "password.initial"))
        self.assertEqual(change("fresh", once.lower(), OTHER), "tap.accepted")
        self.assertEqual((code("fresh", once), code("fresh", OTHER)), ("password.wrong", "tap.accepted"))
        again = ctl("password", "reset", "fresh", "--once")["password"]
        self.assertEqual((code("fresh", OTHER), code("fresh", again)), ("password.wrong", "password.initial"))
        self.assertEqual(change("fresh", again, PASSWORD), "tap.accepted")
        self.assertEqual(code("fresh"), "tap.accepted")
        soon = ctl("password", "set", "soon", "--holder", "Taro", "--once", "--valid", "1s")["password"]
        wait_until("its end", lambda: code("soon", soon) == "password.expired", 20 * PATIENCE)
        self.assertEqual(change("soon", soon, OTHER), "password.expired")
        ctl("password", "reset", "soon", password=OTHER)
        self.assertEqual(code("soon", OTHER), "tap.accepted")
        for wrong in (("--once", "--valid", "40d"), ("--valid", "1d"), ("--once", "--password-fd", "0")):
            ctl("password", "reset", "soon", *wrong, ok=(2,))
        for secret in (once, again, soon, once.lower()):
            for log in w.logs.glob("*"):
                self.assertNotIn(secret, log.read_text(errors="replace"))

    def test_revoked_means_dead_and_the_name_with_it(self):
        made = ctl("password", "set", "gone", "--holder", "Taro", password=PASSWORD)
        self.assertEqual(code("gone"), "tap.accepted")
        w.ctl("card", "suspend", made["id"], "--reason", "lost")
        self.assertEqual((code("gone"), code("gone", WRONG)), ("card.suspended", "password.wrong"))
        w.ctl("card", "resume", made["id"])
        self.assertEqual(code("gone"), "tap.accepted")
        ctl("password", "revoke", "gone", "--reason", "left")
        self.assertEqual((code("gone"), code("gone", WRONG)), ("card.revoked", "password.wrong"))
        for args in (("set", "gone", "--holder", "Taro"), ("reset", "gone")):
            ctl("password", *args, password=OTHER, ok=(1,))
        self.assertEqual(ctl("password", "show", "gone")["state"], "revoked")

    def test_what_may_not_be_chosen_is_refused_where_it_is_typed(self):
        for password in ("too short", "aaaaaaaaaaaaaaaaaaaaaaaa", "12345678901234567890", "x" * 300):
            ctl("password", "set", "weak", "--holder", "Taro", password=password, ok=(1,))
        ctl("password", "set", "a name", "--holder", "Taro", password=PASSWORD, ok=(2,))
        ctl("password", "show", "weak", ok=(1,))
        ctl("password", "set", "twice", "--holder", "Taro", password=PASSWORD)
        ctl("password", "set", "twice", "--holder", "Hanako", password=PASSWORD, ok=(1,))
        ctl("password", "set", "twice", "--holder", "Taro", password=OTHER, ok=(1,))
        self.assertEqual(code("twice"), "tap.accepted")

    def test_a_front_end_cannot_make_a_card_of_a_password(self):
        made = ctl("password", "set", "upward", "--holder", "Hanako", password=PASSWORD)
        with sqlite3.connect(w.state / "cardbroker.db") as database:
            database.execute("UPDATE card SET level = 2 WHERE id = ?", (bytes.fromhex(made["id"].replace("-", "")),))
        self.assertEqual(code("upward", service="bank"), "tap.level")
        self.assertEqual(code("upward"), "tap.accepted")
        for allowed, said in ((1, "hsm.record"), (0, "terminal.passwords")):
            with sqlite3.connect(w.state / "cardbroker.db") as database:
                database.execute("UPDATE terminal SET passwords = ? WHERE name = 'terminal'", (allowed,))
            self.assertEqual(code("upward", terminal="terminal"), said)


if __name__ == "__main__":
    main()

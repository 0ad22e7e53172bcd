# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of software that terminals may run: which get a tap, and which are found."""

import hashlib
import unittest

from world import PATIENCE, Terminal, World, main, run, wait_until

w = None


class Listed(World):
    """An installation that serves only terminals whose software is on its list."""

    policy = "enforce"

    def configure(self):
        super().configure()
        with open(self.etc / "cardbroker.conf", "a") as file:
            file.write(f"terminals {{ software = {self.policy} }}\n")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def setUpModule():
    global w
    w = Listed()
    unittest.addModuleCleanup(w.tear_down)
    w.build_up()
    w.add_holder("Hanako")
    w.insert_card("Hanako")


class Software(unittest.TestCase):
    """In the order of their names."""

    def found(self):
        return {row["name"]: row["software"]["status"] for row in w.ctl("software", "report")}

    def test_1_who_has_said_nothing_gets_no_tap_and_can_say_it(self):
        self.assertEqual(w.tap()["code"], "terminal.software")
        self.assertEqual(self.found()["terminal"], "unsaid")
        self.assertEqual(w.cardlink("report")[-1]["event"], "reported")
        self.assertEqual(self.found()["terminal"], "unlisted")
        shown = w.ctl("terminal", "show", "terminal")["software"]
        self.assertEqual(shown["program"], digest(w.program("cardlink")))
        self.assertEqual(shown["config"], digest(w.etc / "terminal.conf"))
        self.assertEqual(w.tap()["code"], "terminal.software")

    def test_2_the_list_counts_at_once_also_on_a_kept_connection(self):
        with Terminal(w) as terminal:
            self.assertEqual(terminal.begin().code, "terminal.software")
            one = w.ctl("software", "add", "--version", w.ctl("terminal", "show", "terminal")["software"]["version"],
                        "--program", digest(w.program("cardlink")), "--note", "as it was built")["id"]
            tap, answers = w.played(terminal, None)
            self.assertEqual(terminal.proof(tap, answers).json["outcome"], "accepted")
            begun = terminal.begin()
            tap, answers = w.played(terminal, None)
            w.ctl("software", "remove", one)
            self.assertEqual(terminal.proof(tap, answers).code, "terminal.software")
            self.assertEqual(terminal.challenge(begun.json["tap"], [], "nginx").code, "terminal.software")
            self.assertEqual(terminal.begin().code, "terminal.software")
        self.assertNotIn(one, [entry["id"] for entry in w.ctl("software", "list")])
        kinds = [leaf["kind"] for leaf in w.leaves() if leaf["kind"].startswith("software.")]
        self.assertEqual(kinds, ["software.added", "software.removed"])

    def test_3_an_agent_says_what_it_is_before_it_serves_and_waits_until_it_may(self):
        new = w.folder / "cardlink-new"
        new.write_bytes(w.program("cardlink").read_bytes() + b"\0")
        new.chmod(0o755)
        w.remove_card()
        agent = w.spawn("agent", [new, "--config", w.etc / "terminal.conf", "--json", "agent", "--service", "nginx"])
        wait_until("the refusal", lambda: "terminal.software" in w.log_of("agent"), 20 * PATIENCE, agent)
        shown = w.ctl("terminal", "show", "terminal")["software"]
        self.assertEqual((shown["program"], shown["status"]), (digest(new), "unlisted"))
        w.ctl("software", "add", "--version", shown["version"], "--program", digest(new), "--configuration", shown["config"])
        wait_until("the broker", lambda: '"broker.back"' in w.log_of("agent"), 40 * PATIENCE, agent)
        w.insert_card("Hanako")
        wait_until("a tap", lambda: '"accepted"' in w.log_of("agent"), 20 * PATIENCE, agent)
        w.stop_one("agent")
        self.assertNotIn("terminal", self.found())

    def test_4_findings_stand_in_the_record_once_and_in_the_log(self):
        found = [w.fields(leaf)["found"] for leaf in w.leaves() if leaf["kind"] == "terminal.software_found"]
        self.assertEqual(found, ["unsaid", "unlisted", "listed", "unlisted", "listed"])
        self.assertIn('"terminal.software"', w.log_of("cardbrokerd"))

    def test_5_where_it_is_only_reported_everybody_is_served(self):
        path = w.etc / "cardbroker.conf"
        path.write_text(path.read_text().replace("software = enforce", "software = report"))
        w.stop_one("cardbrokerd")
        w.start_broker()
        w.cardlink("report")
        self.assertEqual(self.found()["terminal"], "unlisted")
        self.assertEqual(w.tap().get("outcome"), "accepted")
        path.write_text(path.read_text().replace("software = report", "software = perhaps"))
        done = run([w.program("cardbrokerd"), "--config", path], env=w.env, ok=(78,))
        self.assertIn(b"software", done.stdout + done.stderr)

    def test_6_the_record_verifies(self):
        report = w.verify()
        self.assertTrue(report["verified"], report["findings"])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cardlink agent, the real program: each card once, whatever becomes of readers, broker and log.

usage: terminal_agent_test.py CARDLINK [NAME...]
"""
import hashlib
import pathlib
import signal
import stat
import time
import unittest

from terminal_support import Case, wait_until


class AgentTest(Case):
    def test_the_agent_serves_both_readers_each_card_once(self):
        agent = self.scene.agent()
        self.wait_for_event("reader.ready", 2)
        self.scene.insert(0)
        self.scene.insert(1)
        self.wait_for_event("tap.accepted", 2)
        time.sleep(1.5)
        self.assertEqual(self.scene.count("tap.accepted"), 2)
        self.scene.remove(0)
        self.wait_for_event("card.removed")
        self.scene.insert(0)
        self.wait_for_event("tap.accepted", 3)
        self.assertTrue(all(one["prefetched"] for one in self.scene.events() if one["event"] == "tap.accepted"))
        self.stop_agent(agent)

    @staticmethod
    def log_of(entries, said=b"-"):
        """A terminal's log as it lies on its disk (cardlink/terminal/spool.h)."""
        head, text = bytes(32), b"cblog 1\n" + bytes(40)
        for number in range(1, entries + 1):
            entry = (10 ** 15).to_bytes(8, "big") + bytes([3, len(said)]) + said
            head = hashlib.sha256(b"cardbroker terminal log entry 1\0" + head + number.to_bytes(8, "big") + entry).digest()
            text += entry + head[:8]
        return text

    def test_a_log_is_signed_by_the_key_that_the_connection_shows(self):
        """Also when the key is renewed between two batches, which are on one connection."""
        files = ("terminal.pem", "terminal.key")
        before = [self.scene.path(name).read_bytes() for name in files]
        port = int(self.scene.path("port").read_text(encoding="ascii"))
        self.scene.configure(port, certificate=self.scene.path("next.pem"), key=self.scene.path("next.key"))
        self.assertEqual(self.scene.cardlink("enrol", "--name", "next").returncode, 0)
        self.scene.configure(port)
        log = self.scene.path("terminal.key.log")
        log.write_bytes(self.log_of(150))
        log.chmod(0o600)
        self.scene.mode("renews")
        agent = self.scene.agent()
        batches = lambda: [one for one in self.scene.requests() if one["path"] == "/v1/log"]
        try:
            self.assertTrue(wait_until(lambda: len(batches()) >= 2), self.scene.path("agent.out").read_text(encoding="utf-8"))
            self.assertFalse(self.scene.path("next.key").exists())
            keys = {one["body"]["key"] for one in batches()[:2]}
            self.assertEqual(len({one["certificate"] for one in batches()[:2]}), 1)
            self.assertEqual(len(keys), 1)
        finally:
            self.scene.mode("accept")
            agent.kill()
            agent.wait()
            log.unlink()
            for name, content in zip(files, before):
                self.scene.path(name).write_bytes(content)

    def test_an_agent_whose_log_is_full_asks_for_nothing_but_that_it_is_taken(self):
        log = self.scene.path("terminal.key.log")
        log.write_bytes(self.log_of(4509, b"x" * 200))  # no room for a tap's beginning, and room for what comes besides
        log.chmod(0o600)
        self.addCleanup(log.unlink, missing_ok=True)
        asked = lambda: [one["path"] for one in self.scene.requests()]
        self.scene.mode("keeps-no-log")
        agent = self.scene.agent()
        self.wait_for_event("reader.ready", 2)
        self.assertTrue(wait_until(lambda: asked().count("/v1/log") >= 2))
        self.scene.insert(0, wait=False)
        self.wait_for_event("card.not_served")
        self.assertEqual(set(asked()), {"/v1/log"})
        self.scene.mode("accept")
        self.assertTrue(wait_until(lambda: "/v1/taps" in asked(), 60), "once it was taken, for the other reader")
        self.stop_agent(agent)

    def test_the_agent_survives_a_restart_of_pcscd(self):
        agent = self.scene.agent()
        self.wait_for_event("reader.ready", 2)
        self.assertEqual(self.scene.pcsc("kill"), 0)
        self.wait_for_event("reader.none")
        self.assertEqual(self.scene.pcsc("restart"), 0)
        self.wait_for_event("reader.ready", 4)
        self.scene.insert(1)
        self.wait_for_event("tap.accepted")
        self.stop_agent(agent)

    def test_the_agent_outlives_a_broker_that_is_away(self):
        self.scene.mode("busy")
        agent = self.scene.agent()
        self.wait_for_event("broker.trouble", 2)
        self.scene.insert(0)
        self.wait_for_event("tap.refused")
        self.scene.mode("accept")
        self.scene.remove(0)
        self.wait_for_event("card.removed")
        self.scene.insert(0)
        self.wait_for_event("tap.accepted")
        self.stop_agent(agent)

    def test_the_agent_goes_on_after_a_removed_card(self):
        self.scene.mode("remove")
        agent = self.scene.agent()
        self.wait_for_event("reader.ready", 2)
        self.scene.insert(0, wait=False)
        self.wait_for_event("tap.refused")
        self.scene.mode("accept")
        self.wait_for_event("tap.accepted")
        self.stop_agent(agent)

    def test_the_agent_writes_each_delivery_to_a_file(self):
        folder = self.scene.path("deliveries")
        folder.mkdir(exist_ok=True)
        agent = self.scene.agent("--delivery", str(folder))
        self.wait_for_event("reader.ready", 2)
        self.scene.insert(0)
        self.wait_for_event("tap.accepted")
        accepted = [one for one in self.scene.events() if one["event"] == "tap.accepted"][0]
        path = pathlib.Path(accepted["delivery_file"])
        self.assertEqual(path, folder / (accepted["session"] + ".json"))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.stop_agent(agent)

    def test_the_agent_leaves_a_reader_that_hangs(self):
        self.scene.mode("hang")
        agent = self.scene.agent()
        self.wait_for_event("reader.ready", 2)
        self.scene.insert(0, wait=False)
        self.wait_for_event("reader.failed")
        agent.send_signal(signal.SIGTERM)
        agent.wait(timeout=60)
        self.scene.remove(0, wait=False)
        self.assertEqual(self.scene.pcsc("restart"), 0)


if __name__ == "__main__":
    unittest.main()

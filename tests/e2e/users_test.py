# SPDX-License-Identifier: GPL-3.0-or-later
"""Users: every daemon under one of its own, as an installation has it, and what each of them cannot reach."""

import os
import pwd
import stat
import subprocess
import sys
import unittest
from pathlib import Path

from world import PATIENCE, World, main

KEYS, FRONT, CONNECTORS, STRANGER = "daemon", "www-data", "games", "nobody"
w = None


class Separated(World):
    """An installation whose daemons start as root and become users of their own."""

    def prepare(self):
        os.chmod(self.folder, 0o711)
        self.keys = self.folder / "keys"
        super().prepare()
        own(self.state, FRONT)
        os.chmod(self.run_folder, 0o755)
        for folder in (self.etc, self.pki):
            os.chmod(folder, 0o711)
        for path in [self.pki, *self.pki.rglob("*")]:
            if path.is_dir():
                os.chmod(path, 0o711)
            elif path.suffix in (".cvc", ".pem"):
                os.chmod(path, 0o644)
        own(self.pki / "tls" / "api.key", FRONT)
        own(self.pki / "tls" / "relay.key", FRONT)

    def make_token(self):
        os.chmod(self.keys, 0o711)
        for folder in (self.keys / "hsmd", self.keys / "tokens"):
            own(folder, KEYS)
        os.chmod(self.etc, 0o711)
        super().make_token()

    def write_hsmd_configuration(self):
        super().write_hsmd_configuration()
        with open(self.etc / "hsmd.conf", "a", encoding="ascii") as file:
            file.write(f'user = "{KEYS}"\nfront-end-user = "{FRONT}"\nmanager-users = {{"root"}}\n')

    def configure(self):
        super().configure()
        with open(self.etc / "cardbroker.conf", "a", encoding="ascii") as file:
            file.write(f'user = "{FRONT}"\nadministrators = {{"root"}}\n')
        with open(self.etc / "connectord.conf", "a", encoding="ascii") as file:
            file.write(f'user = "{CONNECTORS}"\nclients = {{"{FRONT}"}}\n')

    def start_nginx(self):
        port = super().start_nginx()
        os.chmod(self.folder / "nginx", 0o711)
        os.chmod(self.folder / "nginx" / "server-ca.pem", 0o644)
        return port


def own(path, user):
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def reason_to_skip():
    if os.geteuid() != 0:
        return "only root can start daemons as several users"
    for user in (KEYS, FRONT, CONNECTORS, STRANGER):
        try:
            pwd.getpwnam(user)
        except KeyError:
            return f"there is no user {user}"
    for place in World.PLACES.values():
        build = Path(os.environ.get("CARDBROKER_BUILD") or "build").resolve() / place
        for folder in [build, *build.parents]:
            if not folder.stat().st_mode & stat.S_IXOTH:
                return f"other users cannot reach {folder}"
    return None


def setUpModule():
    global w
    reason = reason_to_skip()
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        sys.exit(77)
    w = Separated()
    try:
        w.build_up()
    except BaseException:
        for log in sorted(w.logs.glob("*.log")):
            print(f"---- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        w.tear_down()
        raise
    w.add_holder("Hanako")
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


def as_user(user, code, *args):
    """What a piece of Python prints when this user runs it."""
    done = subprocess.run(["/usr/bin/python3", "-I", "-c", code, *map(str, args)], user=user, group=pwd.getpwnam(user).pw_gid,
                          extra_groups=[], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30 * PATIENCE, cwd="/")
    return done.stdout.decode().strip()


OPEN = """
import sys
for path in sys.argv[1:]:
    try:
        open(path, "rb").close()
        print("opened", path)
    except PermissionError:
        pass
"""
# Lets in: the other side keeps the connection. Keeps out: it cannot be made, or is closed without a word.
CONNECT = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if sys.argv[2] == "packets" else socket.SOCK_STREAM)
s.settimeout(1)
try:
    s.connect(sys.argv[1])
    print("kept out" if s.recv(1) == b"" else "let in")
except TimeoutError:
    print("let in")
except OSError:
    print("kept out")
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
try:
    s.connect(sys.argv[1])
    s.sendall(b"GET /v1/status HTTP/1.1\\r\\nHost: local\\r\\nConnection: close\\r\\n\\r\\n")
    answer = s.recv(100).split()
    print(answer[1].decode() if len(answer) > 1 else "kept out")
except OSError:
    print("kept out")
"""


class Users(unittest.TestCase):
    def user_of(self, pid):
        return pwd.getpwuid(int(next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                                     if line.startswith("Uid:")).split()[2])).pw_name

    def test_every_daemon_runs_as_its_user(self):
        for name, user in (("cardbroker-hsmd", KEYS), ("cardbrokerd", FRONT), ("cardbroker-connectord", CONNECTORS)):
            # What starts connectors again stays root to do so, and talks to nobody.
            for pid, found in list(w.of_each(name, self.user_of))[1 if user == CONNECTORS else 0:]:
                self.assertEqual(found, user, f"{name} ({pid})")

    def test_a_tap_works_and_the_page_is_the_holders(self):
        accepted = w.tap()
        self.assertEqual(accepted.get("outcome"), "accepted", accepted)
        self.assertEqual(w.page_of(accepted)["subject"], "CN=Hanako")

    def test_the_status_says_that_they_are_separated(self):
        self.assertIs(w.ctl("status")["hsm"]["separated"], True)

    def test_nobody_can_be_traced_or_dumped(self):
        for name in ("cardbroker-hsmd", "cardbrokerd", "cardbroker-connectord"):
            for pid, owner in w.of_each(name, lambda pid: os.stat(f"/proc/{pid}/mem").st_uid):
                self.assertEqual(owner, 0, f"{name} ({pid}) is dumpable")

    def test_the_front_end_cannot_manage_keys(self):
        manage = w.run_folder / "manage.sock"
        self.assertEqual(as_user("root", CONNECT, manage, "packets"), "let in")
        for user in (FRONT, CONNECTORS, STRANGER):
            self.assertEqual(as_user(user, CONNECT, manage, "packets"), "kept out", user)

    def test_only_the_front_end_uses_keys_and_has_heads_signed(self):
        for name in ("use-0.sock", "use-1.sock", "log.sock"):
            self.assertEqual(as_user(FRONT, CONNECT, w.run_folder / name, "packets"), "let in", name)
            for user in (CONNECTORS, STRANGER):
                self.assertEqual(as_user(user, CONNECT, w.run_folder / name, "packets"), "kept out", (name, user))

    def test_only_the_front_end_uses_connectors(self):
        path = w.run_folder / "connectors.sock"
        self.assertEqual(as_user(FRONT, CONNECT, path, "packets"), "let in")
        self.assertEqual(as_user(STRANGER, CONNECT, path, "packets"), "kept out")

    def test_only_administrators_administer(self):
        path = w.run_folder / "admin.sock"
        self.assertEqual(as_user("root", ASK, path), "200")
        for user in (CONNECTORS, KEYS, STRANGER):
            self.assertIn(as_user(user, ASK, path), ("401", "403", "kept out"), user)

    def test_nobody_reads_what_is_hsmds(self):
        paths = [w.etc / "hsm.pin", w.etc / "hsm.so-pin"]
        paths += [path for folder in (w.keys / "hsmd", w.keys / "tokens") for path in folder.rglob("*") if path.is_file()]
        self.assertGreater(len(paths), 10)
        for user in (FRONT, CONNECTORS, STRANGER):
            self.assertEqual(as_user(user, OPEN, *paths), "", user)

    def test_nobody_but_the_front_end_reads_the_database(self):
        paths = list(w.state.glob("cardbroker.db*"))
        self.assertTrue(paths)
        for user in (KEYS, CONNECTORS, STRANGER):
            self.assertEqual(as_user(user, OPEN, *paths), "", user)

    def test_1_the_front_end_does_not_even_try_what_it_may_not(self):
        for line in w.log_of("cardbroker-hsmd").splitlines():
            if "connection.refused" in line:
                self.assertNotIn(f'"uid":"{pwd.getpwnam(FRONT).pw_uid}"', line)

    def test_the_front_end_cannot_put_its_own_sockets_in_the_place_of_others(self):
        code = """
import os, sys
for path in sys.argv[1:]:
    try:
        os.rename(path, path + ".away")
        print("renamed", path)
    except PermissionError:
        pass
"""
        for user in (FRONT, CONNECTORS, KEYS, STRANGER):
            self.assertEqual(as_user(user, code, *w.run_folder.iterdir()), "", user)

    def test_nobody_reads_the_memory_of_the_key_service(self):
        for pid, _ in w.processes("cardbroker-hsmd"):
            for user in (FRONT, CONNECTORS, KEYS):
                self.assertEqual(as_user(user, OPEN, f"/proc/{pid}/mem", f"/proc/{pid}/environ"), "", user)

    def test_keys_are_renewed_and_cards_revoked_while_separated(self):
        w.ctl("card", "suspend", w.card_ids["Hanako"])
        self.assertEqual(w.tap().get("code"), "card.suspended")
        w.ctl("card", "resume", w.card_ids["Hanako"])
        self.assertEqual(w.tap().get("outcome"), "accepted")
        self.assertTrue(w.verify()["verified"])

    def test_a_worker_that_is_killed_comes_back_as_its_user(self):
        import signal
        for name in ("cardbroker-hsmd", "cardbroker-connectord"):
            for pid, _ in w.processes(name)[1:]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        w.works_again(seconds=12)
        self.test_every_daemon_runs_as_its_user()
        self.test_the_front_end_cannot_manage_keys()


if __name__ == "__main__":
    main()

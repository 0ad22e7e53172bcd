# SPDX-License-Identifier: GPL-3.0-or-later
"""A registered terminal that is hostile: what it may change, keep, exchange, pass on or try, and what comes of it.

tests/unit/cardlink/wire_test.c does the same with every byte; here a smaller number goes over TLS to a whole installation.
"""

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

from world import PATIENCE, Card, Terminal, main, world

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from card_pin import card_point, encrypt  # noqa: E402

w = second_id = None
PIN = "123456"
# What a terminal is told that has disturbed a tap.
DISTURBED = {"card.answer", "card.status", "card.foreign", "card.certificate", "card.removed"}


def setUpModule():
    global w, second_id
    w = world()
    # What the card does itself when it is guessed at, with nobody before it (failures_test.py has who is).
    with open(w.etc / "cardbroker.conf", "a", encoding="ascii") as file:
        file.write("failures {\n    wrong-pins-in-a-row = 0\n    wrong-pins-a-day = 0\n}\n")
    w.programs["cardbrokerd"].process.send_signal(signal.SIGHUP)
    w.add_nginx("vault", level="pin")
    for name in ("Hanako", "Taro"):
        w.add_holder(name, services=("nginx", "vault"))
    second_id = w.enrol_terminal_freely("second")
    w.insert_card("Hanako")


def tearDownModule():
    if w:
        w.tear_down()


def file_of(card):
    """What the card remembers."""
    return (w.cards / f"{card}.card").read_bytes()


class Tap:
    """One tap by hand, in which meddle(script, command, is_answer, bytes) says what is passed on."""

    def __init__(self, terminal, service="nginx", pin=None, meddle=None, point=None):
        self.commands, self.answers = ([], []), ([], [])
        self.meddle = meddle or (lambda script, command, is_answer, data: data)
        begun = terminal.begin()
        self.tap = begun.json["tap"]
        with Card(w.reader) as reader:
            self.play(reader, 0, begun.json["script"])
            more = {}
            if pin and self.answers[0][-1].endswith("9000") and len(self.answers[0]) == 4:
                more["pin"] = encrypt(pin, point or card_point(self.answers[0])) if len(pin) < 100 else pin
            self.pin = more.get("pin")
            self.said = terminal.challenge(self.tap, self.answers[0], service, **more)
            if self.said.status == 200:
                self.play(reader, 1, self.said.json["script"])
                self.said = terminal.proof(self.tap, self.answers[1])
        self.outcome = self.said.json.get("outcome") or self.said.code

    def play(self, reader, number, script):
        for index, item in enumerate(script):     # of one generation: each is for every card
            command = self.meddle(number, index, False, bytes.fromhex(item["apdu"]))
            answer = self.meddle(number, index, True, reader.transmit(command))
            self.commands[number].append(command)
            self.answers[number].append(answer.hex())
            if answer[-2:] != b"\x90\x00" and not item.get("go_on"):
                break


class Hostile(unittest.TestCase):
    def setUp(self):
        self.terminal = Terminal(w)
        self.addCleanup(self.terminal.close)
        self.addCleanup(self.the_record_is_whole)
        self.before = w.size()

    def the_record_is_whole(self):
        self.assertTrue(w.verify()["verified"])

    def receipts(self):
        """How often keys were used since the test began."""
        return sum(line.startswith("receipt ") for leaf in w.leaves("--from", self.before)
                   for line in leaf["leaf"].splitlines())

    def accepted_since(self):
        return [leaf for leaf in w.leaves("--from", self.before)
                if leaf["kind"] == "tap.result" and "\noutcome accepted" in leaf["leaf"]]


class Relaying(Hostile):
    """What goes between broker and card."""

    # Script, command, is an answer, byte from the end: without meaning (tests/unit/cardlink/wire_test.c says why).
    MEANINGLESS = {(0, 0, False, 1), (0, 1, False, 1), (1, 2, False, 1)}
    # Of what SELECT answers: the name, and the generation while one is accepted.
    SAID_BACK = {*range(4, 16), *range(18, 22)}

    def test_a_changed_byte_ends_the_tap_or_means_nothing(self):
        honest = Tap(self.terminal)
        self.assertEqual(honest.outcome, "accepted", honest.said)
        taps = 0
        for script in (0, 1):
            for command, answer in ((c, a) for c in range(len(honest.commands[script])) for a in (False, True)):
                message = honest.answers[script][command] if answer else honest.commands[script][command].hex()
                size = len(message) // 2
                for byte in sorted({0, 1, size // 2, size - 3, size - 2, size - 1} & set(range(size))):
                    def flip(s, c, a, data, place=(script, command, answer), byte=byte):
                        if (s, c, a) != place or byte >= len(data):
                            return data
                        return data[:byte] + bytes((data[byte] ^ 0xFF,)) + data[byte + 1:]
                    tap = Tap(self.terminal, meddle=flip)
                    taps += 1
                    place = f"script {script}, {'answer' if answer else 'command'} {command}, byte {byte}: {tap.said}"
                    if (script, command, answer, size - byte) in self.MEANINGLESS or \
                            ((script, command, answer) == (0, 0, True) and byte in self.SAID_BACK):
                        self.assertEqual(tap.outcome, "accepted", place)
                        self.assertEqual(tap.said.json["card"], w.card_ids["Hanako"])
                    else:
                        self.assertIn(tap.outcome, DISTURBED, place)
        self.assertGreater(taps, 60)

    def test_an_earlier_taps_answers_are_worth_nothing_one_by_one_or_together(self):
        earlier = Tap(self.terminal)
        self.assertEqual(earlier.outcome, "accepted", earlier.said)
        kept = [[bytes.fromhex(answer) for answer in answers] for answers in earlier.answers]
        # The same in every tap: SELECT, the batch's certificate, and that the broker's certificate is good.
        same = {(0, 0), (0, 1), (0, 2)}
        places = [(script, command) for script in (0, 1) for command in range(len(kept[script]))]
        for chosen in [{place} for place in places] + [set(places), {(1, c) for c in range(3)}, {(0, c) for c in range(4)}]:
            tap = Tap(self.terminal, meddle=lambda s, c, a, data, chosen=chosen: kept[s][c] if a and (s, c) in chosen else data)
            if chosen <= same:
                self.assertEqual(tap.outcome, "accepted", tap.said)
            else:
                self.assertIn(tap.outcome, DISTURBED, (chosen, tap.said))

    def test_an_earlier_taps_commands_do_nothing_to_the_card(self):
        earlier = Tap(self.terminal, "vault", pin="000000")
        self.assertEqual(earlier.outcome, "pin.wrong", earlier.said)
        again = Tap(self.terminal, "vault", pin=PIN)
        self.assertEqual(again.outcome, "accepted", again.said)
        before = file_of("Hanako")
        with Card(w.reader) as reader:
            said = [reader.transmit(command)[-2:].hex() for command in earlier.commands[0] + earlier.commands[1]]
        self.assertEqual(said[:4], ["9000"] * 4)    # a channel, to which nobody has the keys
        self.assertEqual(said[4:], ["6982"] * 4)
        self.assertEqual(file_of("Hanako"), before)

    def test_answers_that_no_card_gives_are_refused_at_either_step(self):
        rows = {"none": [], "empty": [""], "one byte": ["90"], "successes": ["9000"] * 4, "one too many": ["9000"] * 5,
                "the most": ["9000"] * 32, "more": ["9000"] * 33, "long": ["00" * 4096 + "9000"], "longer": ["00" * 4097 + "9000"],
                "no hexadecimal": ["zz"], "half a byte": ["900"], "a number": [9000], "nothing": None, "text": "9000",
                "nested": [["9000"]], "a failure": ["6985"], "a channel of zeros": ["9000"] * 3 + ["5f4941" + "00" * 65 + "8610" + "00" * 16 + "9000"]}
        for name, answers in rows.items():
            with self.subTest(name), Card(w.reader) as reader:
                said = self.terminal.challenge(self.terminal.begin().json["tap"], answers)
                self.assertIn(said.status, (400, 413, 422), said)
                self.assertIn(said.code, DISTURBED | {"request.invalid", "request.malformed", "request.too_large"}, said)
                begun = self.terminal.begin()
                asked = self.terminal.challenge(begun.json["tap"], reader.play(begun.json["script"]))
                self.assertEqual(asked.status, 200, asked)
                said = self.terminal.proof(begun.json["tap"], answers)
                self.assertIn(said.status, (400, 413, 422), said)
                self.assertIn(said.code, DISTURBED | {"card.not_active", "request.invalid", "request.malformed",
                                                      "request.too_large"}, said)
        self.assertEqual(self.accepted_since(), [])

    def test_a_proof_is_taken_once_and_answered_the_same_again(self):
        tap = Tap(self.terminal)
        self.assertEqual(tap.outcome, "accepted")
        for _ in range(8):
            with Terminal(w) as anew:
                self.assertEqual(anew.proof(tap.tap, tap.answers[1]).json, tap.said.json)
        self.assertEqual(self.terminal.proof(tap.tap, tap.answers[1]).code, "tap.unknown", "often enough")
        self.assertEqual(self.receipts(), 1)
        self.assertEqual(len(self.accepted_since()), 1)
        repeated = [w.fields(leaf) for leaf in w.leaves("--from", self.before) if leaf["kind"] == "tap.repeated"]
        self.assertEqual([leaf["session"] for leaf in repeated], [tap.said.json["session"]] * 8)

    def test_a_proof_is_answered_again_to_its_terminal_and_with_its_answers_only(self):
        tap = Tap(self.terminal)
        self.assertEqual(tap.outcome, "accepted")
        with Terminal(w, "second") as second:
            self.assertEqual(second.proof(tap.tap, tap.answers[1]).code, "tap.unknown")
        for answers in (tap.answers[1][:-1], tap.answers[1] + ["9000"], ["9000"], tap.answers[0]):
            self.assertEqual(self.terminal.proof(tap.tap, answers).code, "tap.unknown")
        self.assertEqual(self.terminal.proof(tap.tap, tap.answers[1]).json, tap.said.json)

    def test_a_refusal_is_answered_the_same_again(self):
        tap = Tap(self.terminal, "vault", pin="000000")
        self.assertEqual(tap.outcome, "pin.wrong", tap.said)
        again = self.terminal.proof(tap.tap, tap.answers[1])
        self.assertEqual((again.code, again.json.get("tries_left")), ("pin.wrong", tap.said.json["tries_left"]))
        self.assertEqual(Tap(self.terminal, "vault", pin=PIN).outcome, "accepted")

    def test_what_was_revoked_or_ended_since_is_not_given_out_again(self):
        w.add_holder("Late")
        self.addCleanup(w.insert_card, "Hanako")
        w.insert_card("Late")
        tap, ended = Tap(self.terminal), Tap(self.terminal)
        self.assertEqual((tap.outcome, ended.outcome), ("accepted",) * 2)
        # The service's session ends; then the card is revoked, and with it the other.
        browser = w.browser()
        self.assertEqual(browser.get(ended.said.json["delivery"]["url"]).status, 200)
        w.ctl("card", "suspend", w.card_ids["Late"], "--reason", "mislaid")
        self.assertEqual(self.terminal.proof(tap.tap, tap.answers[1]).code, "tap.withdrawn")
        w.ctl("card", "resume", w.card_ids["Late"])
        self.assertEqual(self.terminal.proof(ended.tap, ended.answers[1]).code, "session.ended")
        w.ctl("card", "revoke", w.card_ids["Late"], "--reason", "lost")
        for one in (tap, ended):
            said = self.terminal.proof(one.tap, one.answers[1])
            self.assertEqual(said.code, "tap.withdrawn", said)
            self.assertNotIn("delivery", said.json)
        self.assertEqual([leaf for leaf in w.leaves("--from", self.before) if leaf["kind"] == "tap.repeated"], [])

    def test_a_proof_sent_eight_times_at_once_counts_once(self):
        tap, answers = w.played(self.terminal, None)
        replies = []
        start = threading.Barrier(8)

        def send():
            with Terminal(w) as terminal:
                terminal.begin()
                start.wait()
                replies.append(terminal.proof(tap, answers))
        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        accepted = [reply for reply in replies if reply.json.get("outcome") == "accepted"]
        self.assertGreater(len(accepted), 0, replies)
        self.assertEqual(len({json.dumps(reply.json, sort_keys=True) for reply in accepted}), 1, "one session, with one URL")
        self.assertLessEqual({reply.code for reply in replies if reply not in accepted}, {"tap.under_way"})
        self.assertEqual(self.receipts(), 1)
        self.assertEqual(len(self.accepted_since()), 1)

    def test_steps_out_of_order_end_the_tap(self):
        tap = self.terminal.begin().json["tap"]
        self.assertEqual(self.terminal.proof(tap, ["9000"]).code, "tap.order")
        self.assertEqual(self.terminal.challenge(tap, ["9000"]).code, "tap.unknown")
        tap, answers = w.played(self.terminal, None)
        self.assertEqual(self.terminal.challenge(tap, answers).code, "tap.order")
        self.assertEqual(self.terminal.proof(tap, answers).code, "tap.unknown")


class Passing(Hostile):
    """What one terminal gives to another."""

    def test_a_tap_belongs_to_the_terminal_that_began_it(self):
        with Terminal(w, "second") as second, Card(w.reader) as reader:
            begun = self.terminal.begin()
            first = reader.play(begun.json["script"])
            self.assertEqual(second.challenge(begun.json["tap"], first).code, "tap.unknown")
            asked = self.terminal.challenge(begun.json["tap"], first)
            self.assertEqual(asked.status, 200, asked)
            proof = reader.play(asked.json["script"])
            self.assertEqual(second.proof(begun.json["tap"], proof).code, "tap.unknown")
            self.assertEqual(self.terminal.proof(begun.json["tap"], proof).json.get("outcome"), "accepted")
        accepted = self.accepted_since()
        self.assertEqual(len(accepted), 1)
        self.assertNotIn(second_id, accepted[0]["leaf"])

    def test_answers_to_one_terminals_script_are_none_to_anothers(self):
        with Terminal(w, "second") as second, Card(w.reader) as reader:
            mine, theirs = self.terminal.begin(), second.begin()
            first = reader.play(mine.json["script"])
            self.assertEqual(second.challenge(theirs.json["tap"], first).code, "card.answer")
            theirs = second.begin()
            asked = second.challenge(theirs.json["tap"], reader.play(theirs.json["script"]))
            self.assertEqual(asked.status, 200, asked)
            mine = self.terminal.begin()
            mine_asked = self.terminal.challenge(mine.json["tap"], reader.play(mine.json["script"]))
            proof = reader.play(mine_asked.json["script"])
            self.assertIn(second.proof(theirs.json["tap"], proof).code, DISTURBED)
            self.assertEqual(self.terminal.proof(mine.json["tap"], proof).json.get("outcome"), "accepted")
        self.assertEqual(len(self.accepted_since()), 1)


class Unwelcome(Hostile):
    """Terminals that may not, at each step at which they may not."""

    def test_a_terminal_that_is_revoked_gets_no_further(self):
        for step in ("begin", "challenge", "proof"):
            name = f"gone-{step}"
            known = w.enrol_terminal_freely(name)
            with self.subTest(step), Terminal(w, name) as terminal, Card(w.reader) as reader:
                begun = asked = None
                if step != "begin":
                    begun = terminal.begin()
                    first = reader.play(begun.json["script"])
                if step == "proof":
                    asked = terminal.challenge(begun.json["tap"], first)
                    answers = reader.play(asked.json["script"])
                w.ctl("terminal", "revoke", known, "--reason", "stolen")
                said = {"begin": terminal.begin,
                        "challenge": lambda: terminal.challenge(begun.json["tap"], first),
                        "proof": lambda: terminal.proof(begun.json["tap"], answers)}[step]()
                self.assertEqual((said.status, said.code), (403, "terminal.revoked"), said)
        self.assertEqual(self.accepted_since(), [])

    def test_a_terminal_that_nobody_registered_gets_nowhere_with_anothers_tap(self):
        w.write_terminal_configuration("nobody")
        w.cardlink("enrol", "--name", "nobody", terminal="nobody")
        with Terminal(w, "nobody") as nobody, Card(w.reader) as reader:
            begun = self.terminal.begin()
            first = reader.play(begun.json["script"])
            asked = self.terminal.challenge(begun.json["tap"], first)
            answers = reader.play(asked.json["script"])
            for said in (nobody.begin(), nobody.challenge(begun.json["tap"], first), nobody.proof(begun.json["tap"], answers),
                         nobody.ask("GET", "/v1/services")):
                self.assertEqual((said.status, said.code), (401, "terminal.unknown"), said)
        self.assertEqual(self.accepted_since(), [])

    def test_a_terminal_over_its_limit_waits_and_holds_up_nobody(self):
        w.enrol_terminal_freely("eager", rate=2)
        began = time.monotonic()
        with Terminal(w, "eager") as eager:
            outcomes = [Tap(eager).outcome for _ in range(4)]
            slow = time.monotonic() - began >= 10       # meanwhile its limit has grown
        self.assertEqual(Tap(self.terminal).outcome, "accepted")
        if slow:
            self.skipTest("four taps took so long that a limit of two a minute was not reached")
        self.assertEqual(outcomes, ["accepted", "accepted", "terminal.rate", "terminal.rate"])


class Forging(Hostile):
    """Cards that were made from others: somebody has a batch's key, or another card's own."""

    def forge(self, name, scalar, card=None):
        """A copy of Hanako's card with another proof key: cardlink/card/native/state.c has the order."""
        state = bytearray(file_of("Hanako")[:-32])
        if card:
            state[7:23] = file_of(card)[7:23]
        state[23:55] = scalar
        path = w.cards / f"{name}.card"
        path.write_bytes(bytes(state) + hashlib.sha256(state).digest())
        path.chmod(0o600)
        self.addCleanup(w.insert_card, "Hanako")
        w.insert_card(name)

    def test_the_batchs_key_without_the_cards_is_no_card(self):
        self.forge("made-up", b"\x42" * 32)
        self.assertEqual(Tap(self.terminal).outcome, "card.proof")
        self.assertEqual(self.accepted_since(), [])

    def test_the_key_of_one_card_is_not_anothers(self):
        self.forge("pretender", file_of("Taro")[23:55])
        self.assertEqual(Tap(self.terminal).outcome, "card.proof")
        self.assertEqual(self.accepted_since(), [])

    def test_the_same_forgery_with_the_right_key_is_the_card(self):
        """So that the two above fail for their key."""
        self.forge("clone", file_of("Taro")[23:55], card="Taro")
        tap = Tap(self.terminal)
        self.assertEqual((tap.outcome, tap.said.json.get("card")), ("accepted", w.card_ids["Taro"]), tap.said)


class Pins(Hostile):
    """What a terminal can do with a PIN that was typed once."""

    def tries(self):
        """Of Hanako's PIN, as the card says them: a wrong one costs one, so the right one follows."""
        wrong = Tap(self.terminal, "vault", pin="000000")
        self.assertEqual(wrong.outcome, "pin.wrong", wrong.said)
        self.assertEqual(Tap(self.terminal, "vault", pin=PIN).outcome, "accepted")
        return wrong.said.json["tries_left"] + 1

    def test_one_entry_is_good_for_one_tap(self):
        first = Tap(self.terminal, "vault", pin=PIN)
        self.assertEqual(first.outcome, "accepted", first.said)
        for _ in range(4):      # more often than a PIN has tries
            again = Tap(self.terminal, "vault", pin=first.pin)
            self.assertEqual(again.outcome, "tap.level", again.said)
        self.assertEqual(len(self.accepted_since()), 1)
        self.assertEqual(self.tries(), 3)

    def test_one_entry_is_good_for_one_answer_of_the_broker(self):
        with Card(w.reader) as reader:
            begun = self.terminal.begin()
            first = reader.play(begun.json["script"])
            pin = encrypt(PIN, card_point(first))
            asked = self.terminal.challenge(begun.json["tap"], first, "vault", pin=pin)
            self.assertEqual(asked.status, 200, asked)
            once = reader.play(asked.json["script"])
            twice = reader.play(asked.json["script"])
            self.assertEqual(len(once), 4)
            self.assertEqual(twice, ["6982"])
            self.assertEqual(self.terminal.proof(begun.json["tap"], once).json.get("outcome"), "accepted")

    def test_who_asks_for_a_second_script_or_another_service_has_none(self):
        with Card(w.reader) as reader:
            begun = self.terminal.begin()
            first = reader.play(begun.json["script"])
            pin = encrypt(PIN, card_point(first))
            asked = self.terminal.challenge(begun.json["tap"], first, "vault", pin=pin)
            self.assertEqual(asked.status, 200, asked)
            self.assertEqual(self.terminal.challenge(begun.json["tap"], first, "nginx", pin=pin).code, "tap.order")
            proof = reader.play(asked.json["script"])
            self.assertEqual(self.terminal.proof(begun.json["tap"], proof).code, "tap.unknown")
        self.assertEqual(self.receipts(), 0)

    def test_a_pin_for_another_key_than_the_cards_is_none(self):
        for _ in range(4):
            tap = Tap(self.terminal, "vault", pin=PIN, point=card_point(Tap(self.terminal).answers[0]))
            self.assertEqual(tap.outcome, "tap.level", tap.said)
        self.assertEqual(self.tries(), 3)

    def test_a_pin_that_the_card_could_not_read_is_not_recorded_as_changed(self):
        for purpose, form in (("pin_change", 2), ("pin_unblock", 3)):
            before = file_of("Hanako")
            with Card(w.reader) as reader:
                other = card_point(reader.play(self.terminal.begin().json["script"]))
                begun = self.terminal.begin()
                first = reader.play(begun.json["script"])
                asked = self.terminal.ask("POST", f"/v1/taps/{begun.json['tap']}/challenge", {
                    "answers": first, "purpose": purpose, "pin": encrypt("12345678", other, form, "246810")})
                self.assertEqual(asked.status, 200, asked)
                answers = reader.play(asked.json["script"])
                self.assertEqual(answers[2], "6988")
                done = self.terminal.proof(begun.json["tap"], answers)
            self.assertEqual(done.code, "pin.required", done)
            self.assertNotEqual(file_of("Hanako"), before, "the card has made a proof")
        self.assertEqual([leaf for leaf in w.leaves("--from", self.before) if leaf["kind"] == "tap.pin"], [])

    def test_a_card_alone_takes_no_guess(self):
        before = file_of("Hanako")
        digits = bytes.fromhex("06") + b"123456" + bytes.fromhex("FFFFFFFFFF")
        heads = [bytes((cla, ins, p1, p2)) for cla in (0x00, 0x80, 0x84, 0x90, 0x0C) for ins in (0x20, 0x24, 0x2C, 0x82, 0x88)
                 for p1 in (0, 1) for p2 in (0x00, 0x01, 0x80)]
        opened = Tap(self.terminal).commands[0]
        before = file_of("Hanako")
        with Card(w.reader) as reader:
            for opening in ([], opened[:1], opened[:3], opened):
                for head in heads:
                    for command in opening:
                        reader.transmit(command)
                    answer = reader.transmit(head + bytes((len(digits),)) + digits)
                    self.assertEqual(len(answer), 2, answer)
                    self.assertNotEqual(answer, b"\x90\x00", head.hex())
                    self.assertNotEqual(answer[0], 0x63, head.hex())
        self.assertEqual(file_of("Hanako"), before, "not a byte of the card's memory has changed")


class Guessing(Hostile):
    def test_a_terminal_that_guesses_blocks_the_pin_and_then_ends_the_card(self):
        w.add_holder("Guessed", services=("vault",))
        self.addCleanup(w.insert_card, "Hanako")
        w.insert_card("Guessed")
        codes = []
        for guess in range(12):
            tap = Tap(self.terminal, "vault", pin=f"{guess:06d}")
            codes.append((tap.outcome, tap.said.json.get("tries_left")))
        self.assertEqual(codes[:2], [("pin.wrong", 2), ("pin.wrong", 1)])
        self.assertIn(codes[2], [("pin.wrong", 0), ("pin.blocked", 0)])
        self.assertEqual(set(codes[3:]), {("pin.blocked", 0)})
        self.assertEqual(Tap(self.terminal, "vault", pin=PIN).outcome, "pin.blocked")
        said = []
        for guess in range(11):
            with Card(w.reader) as reader:
                begun = self.terminal.begin()
                first = reader.play(begun.json["script"])
                more = {"pin": encrypt(f"{guess:08d}", card_point(first), 3, "246810")} if len(first) == 4 else {}
                done = self.terminal.ask("POST", f"/v1/taps/{begun.json['tap']}/challenge",
                                         {"answers": first, "purpose": "pin_unblock", **more})
                if done.status == 200:
                    done = self.terminal.proof(begun.json["tap"], reader.play(done.json["script"]))
            said.append((done.code, done.json.get("tries_left")))
        self.assertEqual(said[:9], [("pin.wrong", left) for left in range(9, 0, -1)])
        self.assertEqual(said[9:], [("pin.blocked", 0), ("card.blocked", None)])
        self.assertEqual(Tap(self.terminal).outcome, "card.blocked", "for good")
        # Who types a PIN for it is not asked for the PIN.
        self.assertEqual(w.tap("vault", pin=PIN).get("code"), "card.blocked")


class Resuming(Hostile):
    """A TLS session that was opened with a terminal's certificate, and presented without."""

    def speak(self, version, *options):
        request = b"POST /v1/taps HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Type: application/json\r\n" \
                  b"Connection: close\r\n\r\n{}"
        done = subprocess.run(["openssl", "s_client", "-connect", f"localhost:{w.port}", f"-{version}", "-CAfile",
                               str(w.pki / "tls" / "ca.pem"), "-ign_eof", *map(str, options)],
                              input=request, capture_output=True, timeout=60 * PATIENCE)
        return done.stdout.decode(errors="replace")

    def test_a_session_cannot_be_resumed_and_so_not_without_its_certificate(self):
        own = ("-cert", w.etc / "terminal.pem", "-key", w.etc / "terminal.key")
        for version in ("tls1_2", "tls1_3"):
            with self.subTest(version):
                session = w.folder / f"{version}.session"
                opened = self.speak(version, *own, "-sess_out", session)
                self.assertIn("HTTP/1.1 201", opened)
                self.assertIn("New, TLS", opened)
                self.assertNotIn("session ticket", opened.lower())
                if version == "tls1_3":     # what is resumed there is a ticket, and none was given
                    self.assertFalse(session.exists() and session.stat().st_size, "a ticket was given")
                with_it = ("-sess_in", session) if session.exists() and session.stat().st_size else ()
                again = self.speak(version, *with_it)
                self.assertNotIn("Reused, TLS", again)
                self.assertIn("HTTP/1.1 401", again)
                self.assertIn("request.unauthenticated", again)
                # With the certificate it is a new session, too.
                with_both = self.speak(version, *own, *with_it)
                self.assertNotIn("Reused, TLS", with_both)
                self.assertIn("HTTP/1.1 201", with_both)


class Renegotiating(Hostile):
    def test_a_client_cannot_begin_the_handshake_again(self):
        """Else it could show one certificate, and then another."""
        client = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"localhost:{w.port}", "-tls1_2", "-CAfile", str(w.pki / "tls" / "ca.pem"), "-cert",
             str(w.etc / "terminal.pem"), "-key", str(w.etc / "terminal.key")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = client.communicate(b"R\n", timeout=60 * PATIENCE)
        said = out.decode(errors="replace")
        self.assertIn("RENEGOTIATING", said)
        after = said.partition("RENEGOTIATING")[2]
        self.assertTrue("no renegotiation" in after or "alert" in after or "unexpected" in after, after)
        self.assertNotIn("verify return:1", after, "a second handshake")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known answers for what cards of others sign in a tap: prints foreign_statement_vectors.h, or, with --check FILE, fails unless
FILE is that.

Written from docs/foreign-cards.md ("What it signs"), docs/card-application.md (section 6) and, of the identifiers of cards, what
cardlink/foreign.h says; not from the program. Each case is the first one with one thing changed."""

import hashlib
import pathlib
import sys
import uuid

FIRST = {"certificate": bytes.fromhex("7F2108") + b"broker 1", "profile": 2, "tap": bytes(range(0x10, 0x20)),
         "terminal": bytes(range(0x20, 0x30)), "purpose": 1, "level": 3, "service": b"tax", "text": bytes(range(0x30, 0x50)),
         "nonce": bytes(range(0x50, 0x70)), "card": bytes(range(0x70, 0x80)), "use": 0x9A}

# What is changed, to what, and in which part of the statement that shows.
CHANGES = [("certificate", bytes.fromhex("7F2108") + b"broker 2", ("broker",)), ("profile", 3, ("profile", "context")),
           ("tap", bytes(range(0x11, 0x21)), ("context",)), ("terminal", bytes(range(0x21, 0x31)), ("context",)),
           ("purpose", 8, ("context",)), ("level", 1, ("context",)), ("service", b"toy", ("context",)),
           ("service", b"taxi", ("context",)),
           ("text", bytes(32), ("context",)), ("nonce", bytes(range(0x51, 0x71)), ("nonce",)),
           ("card", bytes(range(0x71, 0x81)), ("card",)), ("use", 0x9E, ("key",))]

# Who the first card and others are: profile, what distinguishes them.
CARDS = [(2, bytes(range(41))), (3, bytes(range(41))), (2, bytes(range(1, 42))), (3, b"\x12\x34"), (4, bytes(range(10)))]


def sha256(data):
    return hashlib.sha256(data).digest()


def context(case):
    """Card-application.md, section 6."""
    return sha256(b"cardbroker tap context 1\0" + case["tap"] + case["terminal"] + bytes((case["profile"], case["purpose"], case["level"],
                                                                                             len(case["service"]))) + case["service"] + case["text"])


def parts(case):
    return {"domain": b"cardbroker foreign proof 1\0", "profile": bytes((case["profile"],)), "broker": sha256(case["certificate"]),
            "nonce": case["nonce"], "context": context(case), "card": case["card"], "key": bytes((case["use"],))}


def card_id(profile, distinguishing):
    """RFC 9562, 5.8."""
    digest = bytearray(sha256(b"cardbroker foreign card 1\0" + bytes((profile,)) + distinguishing)[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    made = uuid.UUID(bytes=bytes(digest))
    assert made.variant == uuid.RFC_4122 and made.version == 8
    return bytes(digest)


def literal(data, indent):
    text = data.hex().upper()
    lines = [f'"{text[i:i + 72]}"' for i in range(0, len(text), 72)] or ['""']
    return f"\n{' ' * indent}".join(lines)


def row(case):
    members = []
    for name, value in case.items():
        if isinstance(value, int):
            members.append(f".{name} = 0x{value:02X}")
        elif name == "service":
            members.append(f'.service = "{value.decode()}"')
        else:
            members.append(f".{name} = {literal(value, 9)}")
    whole = b"".join(parts(case).values())
    members.append(f".statement = {literal(whole, 9)}")
    members.append(f".sha256 = {literal(sha256(whole), 9)}")
    members.append(f".sha384 = {literal(hashlib.sha384(whole).digest(), 9)}")
    return "    {" + ",\n     ".join(members) + "},"


def places(names):
    """Where in the statement these parts stand: the ranges' ends."""
    at, found = 0, []
    for name, value in parts(FIRST).items():
        if name in names:
            found.append((at, at + len(value)))
        at += len(value)
    return found


def header():
    cases = [("nothing", FIRST, ())] + [(name, {**FIRST, name: value}, shows) for name, value, shows in CHANGES]
    lines = ["/* SPDX-License-Identifier: GPL-3.0-or-later", " *",
             " * Made by foreign_statement_vectors.py from docs/foreign-cards.md; not by the program. */",
             "#ifndef CB_TESTS_CARDLINK_FOREIGN_STATEMENT_VECTORS_H", "#define CB_TESTS_CARDLINK_FOREIGN_STATEMENT_VECTORS_H", "",
             "#include <stddef.h>", "#include <stdint.h>", "",
             "/* clang-format off */", "static const struct {",
             "    const char *changed;             /* from the first case */",
             "    size_t from, to, more_from, more_to; /* where that shows, in bytes of the statement */",
             "    const char *certificate, *tap, *terminal, *service, *text, *nonce, *card;",
             "    uint8_t profile, purpose, level, use;",
             "    const char *statement, *sha256, *sha384;", "} vector_statements[] = {"]
    for name, case, shows in cases:
        ranges = places(shows) + [(0, 0), (0, 0)]
        where = f'.changed = "{name}", .from = {ranges[0][0]}, .to = {ranges[0][1]}, .more_from = {ranges[1][0]}, .more_to = {ranges[1][1]}'
        lines.append(row(case).replace("    {", f"    {{{where},\n     ", 1))
    lines += ["};", "", "/* Who a card is, from what distinguishes it. */", "static const struct {", "    uint8_t profile;",
              "    const char *distinguishing, *card;", "} vector_cards[] = {"]
    lines += [f"    {{{profile}, {literal(data, 4)}, {literal(card_id(profile, data), 4)}}}," for profile, data in CARDS]
    return "\n".join(lines + ["};", "/* clang-format on */", "", "#endif", ""])


if sys.argv[1:2] == ["--check"]:
    sys.exit(None if pathlib.Path(sys.argv[2]).read_text() == header() else f"{sys.argv[2]} is not what this makes")
print(header(), end="")

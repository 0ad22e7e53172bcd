# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a contactless tap is for whoever holds the card: reckoned, from what was counted at the virtual card and what others have
published about chips. No chip was measured here.

A tap's time is the sum of four parts, for nothing in it goes on beside anything else:

    link      bytes on the air, and what each command costs besides
    card      the operations that the card was seen to do, each as long as on that chip
    network   the exchanges with the broker that are left after contact, a round trip each
    server    the broker's share of them, as measured
"""

# Milliseconds of an operation. Each is the sum of what its source gives for setting the object up (init) and for the operation
# itself, average of the runs, 256 bytes of data.
# From JCAlgTest (https://github.com/crocs-muni/JCAlgTest, Profiles/performance/fixed, PERFORMANCE_SYMMETRIC_ASYMMETRIC_DATAFIXED):
# NXP_JCOP3_J3H145g_P60 ..._1634626143124 and NXP_JCOP4_J3R180_SECID_P71 ..._1634708420109, both over contacts, October 2021.
CHIPS = {
    "mid-range": {
        "name": "NXP J3H145 (JCOP 3, SmartMX2 P60)",
        "p256_generate": 156.3,             # KeyPair_genKeyPair
        "p256_agree": 8.5 + 55.1,           # ALG_EC_SVDP_DH
        "p256_sign": 5.8 + 56.3,            # ALG_ECDSA_SHA
        "p256_verify": 5.8 + 50.3,
        "p384_sign": 5.9 + 92.9,
        "rsa_2048": 3.8 + 221.3,            # ALG_RSA_SHA_PKCS1_PSS, CRT
        "aes": 9.3,                         # ALG_AES_BLOCK_128_ECB_NOPAD, the key set up before
        "aes_cbc": 13.7 + 9.3,              # ALG_AES_BLOCK_128_CBC_NOPAD, set up with its vector each time
        "sha256": 8.6,
    },
    "newer": {
        "name": "NXP J3R180 (JCOP 4, SmartMX3 P71)",
        "p256_generate": 26.8,
        "p256_agree": 7.9 + 20.0,
        "p256_sign": 8.1 + 32.0,
        "p256_verify": 8.1 + 30.2,
        "p384_sign": 8.4 + 45.3,
        "rsa_2048": 6.4 + 61.3,             # ALG_RSA_SHA_ISO9796, CRT
        "aes": 1.9,
        "aes_cbc": 6.1 + 1.9,
        "sha256": 7.9,
    },
}
SAVE_MS = 4             # assumed: a transaction in a chip's memory that lasts
PUBLIC_KEY = ("p256_generate", "p256_agree", "p256_sign", "p256_verify", "p384_sign", "rsa_2048")

RATES = (106, 424)      # kbit/s
ROUND_TRIPS = (5, 20, 80)
GOAL_MS, GOAL_RATE, GOAL_TRIP = 500, 106, 20

# ISO/IEC 14443 type A: a byte is eight bits and a parity bit, an answer begins at least 1172/fc after its command, and the next command
# as long after it (part 3, "frame delay time"); a block has a byte before its content and two behind it, and each block but the last of
# a chain is acknowledged by one without content (part 4, "block format", "chaining"). Blocks of 256 bytes are assumed.
BITS, AROUND, PAUSE_MS = 9, 3, 1172 / 13560
ACTIVATION_MS = 20      # assumed: from the field to the card that has been selected and knows its rate
COMMAND_MS = 3          # assumed, for each command: driver, USB, and the card's way to its application


def link(row, rate):
    """Milliseconds."""
    acknowledged = row["blocks"] - 2 * row["apdus"]
    blocks = row["blocks"] + acknowledged
    sent = row["to_card"] + row["to_host"] + AROUND * blocks
    return ACTIVATION_MS + sent * BITS / rate + blocks * PAUSE_MS + row["apdus"] * COMMAND_MS


def computing(row, chip):
    """Milliseconds of operations with public keys, and of all others."""
    each = {**CHIPS[chip], "save": SAVE_MS}
    parts = {name: times * each[name] for name, times in row["operations"].items()}
    asymmetric = sum(parts[name] for name in PUBLIC_KEY)
    return asymmetric, sum(parts.values()) - asymmetric


def tap(row, chip, rate, trip, held):
    """The parts of a tap; held: the first script was there when the card came."""
    asymmetric, other = computing(row, chip)
    server = row["server_p50"] - (row["begin_p50"] if held else 0)
    return {"link": link(row, rate), "public keys": asymmetric, "other computing": other,
            "network": (row["exchanges"] - held) * trip, "server": server / 1000}


def total(row, chip, rate=GOAL_RATE, trip=GOAL_TRIP, held=True):
    return sum(tap(row, chip, rate, trip, held).values())

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known answers for PIV secure messaging, by tests/support/piv_channel.py: prints piv_channel_vectors.h, or, with --check
FILE, fails unless FILE is that.

REAL is what one of NIST's test cards (Special Database 33, card 3) said to another host, as recorded in
github.com/OpenPhysical/OpenFIPS201, vci_vectors_sd33-03.json."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "support"))
import piv_channel as piv

CARD, SIGNER, HOST, PEER, KEY_MANAGEMENT = (bytes((first,)) + bytes(range(1, 32)) for first in (0x11, 0x22, 0x33, 0x44, 0x55))
GUID, ISSUER_ID = bytes(range(0xA0, 0xB0)), bytes(range(0xE0, 0xE8))
ID_H, NONCE = bytes(range(0xD1, 0xD9)), bytes(range(0xC0, 0xD0))
OBJECT = bytes(i * 7 & 0xFF for i in range(300))
K = 0x1234567890ABCDEF1234567890ABCDEF1234567890ABCDEF1234567890ABCDEF
DISCOVERY = bytes.fromhex("7E124F0BA0000003080000100001005F2F024000")

REAL = {
    "SECRET": "C7352CD7D14B65D61995CBBE42BEA7A7CA7DC472FE82F871AEFBCE2894C56D79",
    "HOST_ID": "0000000000000000",
    "HOST_POINT": "04FE7BDA707EC566A7928BDD31DEF02DAF55760FC32C76FD5C8194186865FF6C92F4EA36CB045885C33990EF77655ACD02C0DD8A6BC489AE6B"
                  "88115FD707E57B6E",
    "CVC": "7F2181D05F29018042083DA648B01A85BBDD5F201045853470A4034844AE15C6495959FAD57F494D06082A8648CE3D030107864104C7C96F3157CC"
           "743936BDB25F2EFDC596080C16947CB06F146313F1CD44FF2DD872F293EACD2B8B61080E5162CAB68A2C857E839D997C78C6684C9C551402591"
           "85F4C01005F37583056300A06082A8648CE3D0403020348003045022100BD1D4457F7133C307C7FFBCA3133F2A4CBEAF2C797DF80C39EE33D3D"
           "6688CAF6022013325EF3D0FC400C3354D8DBB9004DFDE4138F4E5131F6381DFF949F5CE1E8BD",
    "NONCE": "519C38385979BE44C8A30CE9AD4555C2",
    "CRYPTOGRAM": "2F96D2315AE0CFA60F76C6E4CDF425EF",
    "VERIFY": "87110113A7EB466B2D9208E3E2EF9BAC62830F8E08AC2CEAEEDB8D47F3",
    "VERIFIED": "990290008E08727904A5B7799915",
    "GET": "8711014A6A85A0BE4ECAF3042C85B084D52AF59701008E081D596C4DDAA469D6",
}


def session(cb_h):
    host = piv.key_of(HOST)
    point = piv.point_of(host.public_key())
    cvc = piv.make_cvc(ISSUER_ID, GUID, piv.point_of(piv.key_of(CARD).public_key()), piv.key_of(SIGNER), K)
    z = piv.agree(host, piv.point_of(piv.key_of(CARD).public_key()))
    return cvc, point, z, piv.Session(z, cb_h, ID_H, point, cvc, NONCE)


def exchanges(channel):
    """Command, data field of it, data field of its answer."""
    peer = piv.point_of(piv.key_of(PEER).public_key())
    shared = piv.agree(piv.key_of(KEY_MANAGEMENT), peer)
    agreement = piv.tlv("7C", piv.tlv("82", b"") + piv.tlv("85", peer))
    pin, fresh = b"123456\xff\xff", b"65432178"
    plain = [(0x20, 0x00, 0x80, b"", False, b"", 0x63C3),
             (0xCB, 0x3F, 0xFF, bytes.fromhex("5C017E"), True, DISCOVERY, 0x9000),
             (0xCB, 0x3F, 0xFF, bytes.fromhex("5C035FC106"), True, piv.tlv("53", OBJECT), 0x9000),
             (0x87, 0x11, 0x9D, agreement, True, b"", 0x6982),
             (0x20, 0x00, 0x80, pin, False, b"", 0x9000),
             (0x87, 0x11, 0x9D, agreement, True, piv.tlv("7C", piv.tlv("82", shared)), 0x9000),
             (0x87, 0x07, 0x9A, piv.tlv("7C", piv.tlv("82", b"") + piv.tlv("81", bytes(256))), True, b"", 0x6A88),
             (0x24, 0x00, 0x80, pin + fresh, False, b"", 0x9000),
             (0x20, 0xFF, 0x80, b"", False, b"", 0x9000),
             (0xCB, 0x3F, 0xFF, bytes.fromhex("5C035FC101"), True, b"", 0x6A82)]
    for ins, p1, p2, data, le, answer, status in plain:
        yield bytes((ins, p1, p2)), channel.command(ins, p1, p2, data, le), channel.answer(answer, status)


def check_real():
    """That this, too, would have said what that card and its host did."""
    real = {name: bytes.fromhex(value) for name, value in REAL.items()}
    both = piv.Session(real["SECRET"], 0, real["HOST_ID"], real["HOST_POINT"], real["CVC"], real["NONCE"])
    assert both.cryptogram == real["CRYPTOGRAM"]
    assert both.command(0x20, 0x00, 0x98, b"00000003") == real["VERIFY"]
    assert both.answer(b"", 0x9000) == real["VERIFIED"]
    assert both.command(0xCB, 0x3F, 0xFF, bytes.fromhex("5C035FC105"), True) == real["GET"]


def literal(data):
    text = data.hex().upper()
    return " \\\n    ".join(f'"{text[i:i + 64]}"' for i in range(0, len(text), 64))


def header():
    cvc, point, z, channel = session(0)
    lines = ["/* SPDX-License-Identifier: GPL-3.0-or-later", " *",
             " * Made by piv_channel_vectors.py from NIST SP 800-73-4, part 2, 4; not by the program. */",
             "#ifndef CB_TESTS_CARDLINK_PIV_CHANNEL_VECTORS_H", "#define CB_TESTS_CARDLINK_PIV_CHANNEL_VECTORS_H", "",
             "/* clang-format off */"]
    names = {"CARD_SCALAR": CARD, "CVC": cvc, "HOST_ID": ID_H, "HOST_POINT": point, "NONCE": NONCE, "SECRET": z,
             "CRYPTOGRAM": channel.cryptogram, "ENC": channel.enc, "MAC": channel.mac, "RMAC": channel.rmac,
             "KEY_MANAGEMENT_SCALAR": KEY_MANAGEMENT, "OBJECT": OBJECT}
    names["OTHER_CONTROL_CRYPTOGRAM"], names["OTHER_CONTROL_ENC"] = (lambda s: (s.cryptogram, s.enc))(session(0x0F)[3])
    lines += [f"#define VECTOR_{name} \\\n    {literal(value)}" for name, value in names.items()]
    lines += ["", "/* What a real card and its host said: VERIFY of the pairing code 00000003, and GET DATA. */"]
    lines += [f"#define REAL_{name} \\\n    {literal(bytes.fromhex(value))}" for name, value in REAL.items()]
    lines += ["", "/* INS, P1 and P2; the data fields of a command with CLA 0C and of its answer. */",
              "static const struct {", "    const char *command, *data, *answer;", "} vector_exchanges[] = {"]
    for command, data, answer in exchanges(channel):
        lines.append("    {" + ",\n     ".join(literal(part).replace(" \\", "") for part in (command, data, answer)) + "},")
    return "\n".join(lines + ["};", "/* clang-format on */", "", "#endif", ""])


check_real()
if sys.argv[1:2] == ["--check"]:
    sys.exit(None if pathlib.Path(sys.argv[2]).read_text() == header() else f"{sys.argv[2]} is not what this makes")
print(header(), end="")

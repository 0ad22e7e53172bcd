#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the migrations into a C file: embed.py OUT.c NNNN_name.sql..."""
import os
import re
import sys


def array(number, text):
    """As numbers: C promises no string literal longer than 4,095 characters."""
    data = ", ".join(str(byte) for byte in text.encode() + b"\0")
    return f"static const unsigned char text_{number}[] = {{{data}}};\n"


def main(out, *paths):
    texts, rows = "", ""
    for number, path in enumerate(sorted(paths), start=1):
        name = os.path.basename(path)
        found = re.fullmatch(r"(\d{4})_[a-z0-9_]+\.sql", name)
        if not found or int(found[1]) != number:
            sys.exit(f"{path}: migrations are numbered 0001_name.sql and on, without gaps")
        with open(path, encoding="utf-8") as sql:
            texts += array(number, sql.read())
        rows += f'    {{{number}, "{name[:-4]}", (const char *)text_{number}}},\n'
    with open(out, "w", encoding="utf-8") as c:
        c.write('#include "broker/store/migrate.h"\n\n' + texts)
        c.write("\nconst cb_migration cb_migrations[] = {\n" + rows + "};\n")
        c.write(f"const unsigned cb_migration_count = {len(paths)};\n")


main(*sys.argv[1:])

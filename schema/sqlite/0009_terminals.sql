-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Which software terminals may run, and what they said last that they run.

CREATE TABLE software (
    id      BLOB PRIMARY KEY CHECK (length(id) = 16),
    version TEXT NOT NULL,
    program BLOB NOT NULL CHECK (length(program) = 32),
    config  BLOB NOT NULL CHECK (length(config) IN (0, 32)), -- x'': any
    note    TEXT NOT NULL,
    since   INTEGER NOT NULL CHECK (since >= 0),             -- not before; 0: at once
    until   INTEGER NOT NULL CHECK (until >= 0),             -- not from then on; 0: for good
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX software_program ON software (program, config, version);

CREATE TABLE terminal_software (
    terminal BLOB PRIMARY KEY REFERENCES terminal (id),
    version  TEXT NOT NULL,                                  -- '': it has said nothing
    program  BLOB NOT NULL CHECK (length(program) = 32),
    config   BLOB NOT NULL CHECK (length(config) = 32),
    started  INTEGER NOT NULL,                               -- by the terminal's clock
    received INTEGER NOT NULL,
    finding  TEXT NOT NULL DEFAULT ''                        -- what was found of it last
) STRICT, WITHOUT ROWID;

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What terminals may run, what they say that they run, and of which kind they are.

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

-- What an administrator says of a terminal, and which of that a service asks for.
ALTER TABLE terminal ADD COLUMN kind INTEGER NOT NULL DEFAULT 0 CHECK (kind BETWEEN 0 AND 3); -- cb_terminal_kind
ALTER TABLE terminal ADD COLUMN pad INTEGER NOT NULL DEFAULT 0 CHECK (pad IN (0, 1));         -- has a PIN pad
ALTER TABLE service ADD COLUMN kinds INTEGER NOT NULL DEFAULT 0 CHECK (kinds BETWEEN 0 AND 15); -- 1 << kind each; 0: any
ALTER TABLE service ADD COLUMN pad INTEGER NOT NULL DEFAULT 0 CHECK (pad IN (0, 1));          -- no PIN that a terminal saw

-- A terminal under maintenance serves nobody.
ALTER TABLE terminal ADD COLUMN life TEXT NOT NULL DEFAULT 'active'
    CHECK (life IN ('registered', 'active', 'deactivated', 'maintenance', 'revoked', 'disposed'));
UPDATE terminal SET life = state;
DROP INDEX terminal_name;
ALTER TABLE terminal DROP COLUMN state;
ALTER TABLE terminal RENAME COLUMN life TO state;
CREATE UNIQUE INDEX terminal_name ON terminal (name) WHERE state IN ('registered', 'active', 'deactivated', 'maintenance');

-- Whose cards begin and end that, where.
CREATE TABLE maintainer (
    id       BLOB PRIMARY KEY CHECK (length(id) = 16),
    holder   BLOB NOT NULL REFERENCES holder (id),
    terminal BLOB NOT NULL CHECK (length(terminal) IN (0, 16)), -- x'': everywhere
    created  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX maintainer_of ON maintainer (holder, terminal);

-- The last one of each terminal, which its state says whether it is over.
CREATE TABLE terminal_maintenance (
    terminal BLOB PRIMARY KEY REFERENCES terminal (id),
    holder   BLOB NOT NULL CHECK (length(holder) = 16),
    card     BLOB NOT NULL CHECK (length(card) = 16),
    began    INTEGER NOT NULL,
    until    INTEGER NOT NULL,                                -- a maintainer ends it before that
    reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

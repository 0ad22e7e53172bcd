-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What terminals log of themselves: how far the broker has it, and what it has.

-- A part is one unbroken chain; another begins only where an administrator has said so.
CREATE TABLE terminal_log (
    terminal BLOB PRIMARY KEY REFERENCES terminal (id),
    part     INTEGER NOT NULL CHECK (part > 0),
    number   INTEGER NOT NULL CHECK (number >= 0),
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    finding  TEXT NOT NULL DEFAULT '',                        -- the last one's code
    after    INTEGER NOT NULL DEFAULT 0,                      -- what was refused began after that number
    found    INTEGER NOT NULL DEFAULT 0,                      -- when
    resume   INTEGER NOT NULL DEFAULT 0 CHECK (resume IN (0, 1)) -- another part may begin
) STRICT, WITHOUT ROWID;

-- As they were sent, for whoever verifies: entries after a head up to another, which is signed.
CREATE TABLE terminal_log_batch (
    terminal  BLOB NOT NULL REFERENCES terminal (id),
    part      INTEGER NOT NULL CHECK (part > 0),
    last      INTEGER NOT NULL,
    after     INTEGER NOT NULL CHECK (after >= 0 AND after < last),
    previous  BLOB NOT NULL CHECK (length(previous) = 32),
    hash      BLOB NOT NULL CHECK (length(hash) = 32),
    key       BLOB NOT NULL CHECK (length(key) = 65),
    signature BLOB NOT NULL CHECK (length(signature) = 64),
    received  INTEGER NOT NULL,
    entries   BLOB NOT NULL CHECK (length(entries) <= 32768),
    PRIMARY KEY (terminal, part, last)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER terminal_log_batch_stays BEFORE UPDATE ON terminal_log_batch BEGIN SELECT RAISE (ABORT, 'evidence is never changed'); END;
CREATE TRIGGER terminal_log_batch_kept BEFORE DELETE ON terminal_log_batch BEGIN SELECT RAISE (ABORT, 'evidence is never deleted'); END;

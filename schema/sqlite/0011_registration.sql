-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Codes with which holders register cards of their own: who allowed what to whom, and what became of it. What a code is good for is hsmd's to know; a
-- row here opens nothing.
CREATE TABLE registration (
    code     BLOB PRIMARY KEY CHECK (length(code) = 16),      -- by what it is known, which does not tell it
    holder   BLOB NOT NULL REFERENCES holder (id),
    profiles INTEGER NOT NULL CHECK (profiles BETWEEN 1 AND 255), -- a bit for each
    level    INTEGER NOT NULL CHECK (level BETWEEN 0 AND 255),
    operator TEXT NOT NULL CHECK (length(operator) BETWEEN 1 AND 128),
    state    TEXT NOT NULL CHECK (state IN ('open', 'used', 'withdrawn', 'lapsed')),
    created  INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    changed  INTEGER NOT NULL,
    card     BLOB REFERENCES card (id),                       -- that it was used for,
    terminal BLOB REFERENCES terminal (id)                    -- and where
) STRICT, WITHOUT ROWID;

CREATE INDEX registration_of_holder ON registration (holder, code);
CREATE INDEX registration_expires ON registration (expires) WHERE state = 'open';

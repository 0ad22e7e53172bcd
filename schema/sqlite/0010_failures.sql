-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Failed proofs, wrong PINs and wrong passwords, of cards, holders and terminals (decision 27). What is counted stands in the leaf of the same transaction.

-- An identifier of zeros: what nobody registered, where that is counted at all.
CREATE TABLE failure (
    kind         TEXT NOT NULL CHECK (kind IN ('card', 'holder', 'terminal')),
    subject      BLOB NOT NULL CHECK (length(subject) = 16),
    wrong_pins   INTEGER NOT NULL CHECK (wrong_pins >= 0),    -- as the card has signed it
    proofs       INTEGER NOT NULL CHECK (proofs >= 0),        -- that did not verify: a claim
    told_pins    INTEGER NOT NULL CHECK (told_pins >= 0),     -- wrong ones, as the terminal says: a claim
    passwords    INTEGER NOT NULL CHECK (passwords >= 0),     -- wrong ones
    pins_row     INTEGER NOT NULL CHECK (pins_row >= 0),      -- since the last tap with the right PIN
    proofs_row   INTEGER NOT NULL CHECK (proofs_row >= 0),    -- since the last tap that succeeded
    last         INTEGER NOT NULL,
    day          INTEGER NOT NULL,                            -- of the next two: since 1970-01-01, UTC
    pins_today   INTEGER NOT NULL CHECK (pins_today >= 0),    -- or since the card was resumed
    claims_today INTEGER NOT NULL CHECK (claims_today >= 0),
    window       INTEGER NOT NULL,                            -- of the next three, which are of terminals
    counted      INTEGER NOT NULL CHECK (counted >= 0),       -- claims and passwords, of each card only so many
    proofs_seen  INTEGER NOT NULL CHECK (proofs_seen >= 0),   -- of them, failed proofs
    accepted     INTEGER NOT NULL CHECK (accepted >= 0),      -- taps, since the first of them
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- Of each subject its newest days, at most 92.
CREATE TABLE failure_day (
    kind       TEXT NOT NULL CHECK (kind IN ('card', 'holder', 'terminal')),
    subject    BLOB NOT NULL CHECK (length(subject) = 16),
    day        INTEGER NOT NULL,
    wrong_pins INTEGER NOT NULL CHECK (wrong_pins >= 0),
    proofs     INTEGER NOT NULL CHECK (proofs >= 0),
    told_pins  INTEGER NOT NULL CHECK (told_pins >= 0),
    passwords  INTEGER NOT NULL CHECK (passwords >= 0),
    PRIMARY KEY (kind, subject, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX failure_by_day ON failure_day (day, kind, subject);

-- What a terminal's present window has of each card.
CREATE TABLE failure_at (
    terminal BLOB NOT NULL CHECK (length(terminal) = 16),
    card     BLOB NOT NULL CHECK (length(card) = 16),
    counted  INTEGER NOT NULL CHECK (counted >= 0),
    PRIMARY KEY (terminal, card)
) STRICT, WITHOUT ROWID;

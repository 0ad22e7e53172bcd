-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The whole life of a card, from the factory to its destruction (docs/card-life.md).

ALTER TABLE card ADD COLUMN life TEXT NOT NULL DEFAULT 'issued'
    CHECK (life IN ('issued', 'active', 'suspended', 'revoked', 'expired', 'returned', 'destroyed'));
UPDATE card SET life = state;
ALTER TABLE card DROP COLUMN state;
ALTER TABLE card RENAME COLUMN life TO state;

-- From when on it is refused, and by when it is to be given back; 0: no such day.
ALTER TABLE card ADD COLUMN expires INTEGER NOT NULL DEFAULT 0 CHECK (expires >= 0);
ALTER TABLE card ADD COLUMN due INTEGER NOT NULL DEFAULT 0 CHECK (due >= 0);

CREATE INDEX card_of_state ON card (state, id);
CREATE INDEX card_expires ON card (expires) WHERE expires > 0 AND state IN ('issued', 'active', 'suspended');
CREATE INDEX card_due ON card (due) WHERE due > 0 AND state IN ('issued', 'active', 'suspended', 'expired');

-- How a card came to its holder. Cards from before have no row.
CREATE TABLE issue (
    card         BLOB PRIMARY KEY REFERENCES card (id),
    day          INTEGER NOT NULL,                            -- since 1970-01-01, UTC
    operator     TEXT NOT NULL CHECK (length(operator) BETWEEN 1 AND 128),
    station      TEXT NOT NULL CHECK (length(station) <= 64), -- '': not named
    manufacturer TEXT NOT NULL CHECK (length(manufacturer) <= 64),
    serial       TEXT NOT NULL CHECK (length(serial) <= 64),  -- '': it came from no list
    application  BLOB CHECK (length(application) = 16),
    replaces     BLOB CHECK (length(replaces) = 16)
) STRICT, WITHOUT ROWID;

CREATE INDEX issue_of_day ON issue (day, operator, station);
CREATE UNIQUE INDEX issue_replaces ON issue (replaces) WHERE replaces IS NOT NULL; -- one for each

-- ---- Cards that nobody holds yet ----

CREATE TABLE batch (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    manufacturer TEXT NOT NULL CHECK (length(manufacturer) BETWEEN 1 AND 64),
    name         TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    created      INTEGER NOT NULL,
    UNIQUE (manufacturer, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE stock (
    manufacturer TEXT NOT NULL,
    serial       TEXT NOT NULL CHECK (length(serial) BETWEEN 1 AND 64),
    batch        BLOB NOT NULL REFERENCES batch (id),
    state        TEXT NOT NULL CHECK (state IN ('manufactured', 'in-transit', 'in-stock', 'issued', 'revoked', 'destroyed')),
    identity     BLOB CHECK (length(identity) = 16),          -- of the card, where the list has it; then of the one that was bound
    delivery     TEXT NOT NULL CHECK (length(delivery) <= 64), -- '': not sent yet
    line         INTEGER NOT NULL CHECK (line >= 0),          -- at which of a delivery's files it was received: another line is another card
    changed      INTEGER NOT NULL,
    PRIMARY KEY (manufacturer, serial)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX stock_identity ON stock (identity) WHERE identity IS NOT NULL;
CREATE INDEX stock_of_delivery ON stock (manufacturer, delivery, state);

-- ---- Who asked for a card ----

CREATE TABLE application (
    id       BLOB PRIMARY KEY CHECK (length(id) = 16),
    holder   BLOB NOT NULL REFERENCES holder (id),
    profile  INTEGER NOT NULL CHECK (profile BETWEEN 1 AND 255),
    reason   TEXT NOT NULL CHECK (reason IN ('first', 'replacement')),
    state    TEXT NOT NULL CHECK (state IN ('entered', 'approved', 'issued', 'refused')),
    operator TEXT NOT NULL CHECK (length(operator) BETWEEN 1 AND 128),
    approver TEXT NOT NULL CHECK (length(approver) <= 128 AND approver <> operator),
    card     BLOB REFERENCES card (id),
    created  INTEGER NOT NULL,
    changed  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX application_of_holder ON application (holder, id);

-- ---- What did not fit: for people to look into ----

CREATE TABLE mismatch (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    kind         TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 32),
    manufacturer TEXT NOT NULL CHECK (length(manufacturer) <= 64),
    serial       TEXT NOT NULL CHECK (length(serial) <= 64),
    delivery     TEXT NOT NULL CHECK (length(delivery) <= 64),
    card         BLOB CHECK (length(card) = 16),
    application  BLOB CHECK (length(application) = 16),
    actor        TEXT NOT NULL,
    time         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX mismatch_of_serial ON mismatch (manufacturer, serial, kind);

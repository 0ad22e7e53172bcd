-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Rows of taps under way are few and live for a moment: finding one among them needs no index, and each index is a page more to write
-- for every tap. That a leaf or a tap is named once follows from where the rows come from.

CREATE TABLE intent_plain (
    tap       BLOB PRIMARY KEY CHECK (length(tap) = 16),
    leaf      INTEGER NOT NULL REFERENCES evidence_leaf (position),
    card      BLOB NOT NULL REFERENCES card (id),
    holder    BLOB NOT NULL REFERENCES holder (id),
    terminal  BLOB NOT NULL REFERENCES terminal (id),
    enrolment BLOB NOT NULL REFERENCES enrolment (id),
    key       BLOB NOT NULL REFERENCES enrolment_key (id),
    service   TEXT NOT NULL REFERENCES service (name),
    reached   INTEGER NOT NULL,
    time      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO intent_plain SELECT tap, leaf, card, holder, terminal, enrolment, key, service, reached, time FROM intent;
DROP TABLE intent;
ALTER TABLE intent_plain RENAME TO intent;

CREATE TABLE session_plain (
    id        BLOB PRIMARY KEY CHECK (length(id) = 16),
    tap       BLOB NOT NULL CHECK (length(tap) = 16),
    leaf      INTEGER NOT NULL REFERENCES evidence_leaf (position),
    card      BLOB NOT NULL REFERENCES card (id),
    holder    BLOB NOT NULL REFERENCES holder (id),
    terminal  BLOB NOT NULL REFERENCES terminal (id),
    enrolment BLOB NOT NULL REFERENCES enrolment (id),
    service   TEXT NOT NULL REFERENCES service (name),
    kind      INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 4),
    opened    INTEGER NOT NULL,
    expires   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO session_plain SELECT id, tap, leaf, card, holder, terminal, enrolment, service, kind, opened, expires FROM session;
DROP TABLE session;
ALTER TABLE session_plain RENAME TO session;

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The broker's database, SQLite 3.37 or later (STRICT tables).
--
-- Identifiers are 16 bytes (UUID), digests 32, times microseconds since 1970 (UTC). Names of people stand in holder and nowhere
-- else. What rows say about keys and cards is believed by nobody who can use a key: hsmd checks the MACs of bindings and sealed keys.

-- ---- Evidence: the log, its signed heads, the revocation feed ----

CREATE TABLE evidence_leaf (
    position INTEGER PRIMARY KEY CHECK (position >= 0),  -- from 0, without gaps
    data     BLOB NOT NULL CHECK (length(data) BETWEEN 1 AND 8192),
    hash     BLOB NOT NULL CHECK (length(hash) = 32)     -- SHA-256(00 ‖ data), RFC 9162
) STRICT;

CREATE TABLE tree_head (
    size      INTEGER PRIMARY KEY CHECK (size > 0),
    root      BLOB NOT NULL CHECK (length(root) = 32),
    time      INTEGER NOT NULL,
    signature BLOB NOT NULL CHECK (length(signature) = 64)
) STRICT;

-- The roots of the complete subtrees below the newest head, largest first: enough to go on from without reading the log again.
CREATE TABLE tree_frontier (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    size  INTEGER NOT NULL REFERENCES tree_head (size),
    nodes BLOB NOT NULL CHECK (length(nodes) BETWEEN 32 AND 2048 AND length(nodes) % 32 = 0)
) STRICT;

CREATE TABLE feed (
    number  INTEGER PRIMARY KEY CHECK (number > 0),      -- from 1, without gaps
    kind    INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 5),
    subject BLOB NOT NULL CHECK (length(subject) = 16),
    time    INTEGER NOT NULL,
    hash    BLOB NOT NULL CHECK (length(hash) = 32),     -- covers the entry before
    leaf    INTEGER NOT NULL UNIQUE REFERENCES evidence_leaf (position)
) STRICT;

-- What is recorded is not changed by mistake. Whoever can write the file can also drop these: that is what signatures are for.
CREATE TRIGGER evidence_leaf_stays BEFORE UPDATE ON evidence_leaf BEGIN SELECT RAISE (ABORT, 'evidence is never changed'); END;
CREATE TRIGGER evidence_leaf_kept BEFORE DELETE ON evidence_leaf BEGIN SELECT RAISE (ABORT, 'evidence is never deleted'); END;
CREATE TRIGGER tree_head_stays BEFORE UPDATE ON tree_head BEGIN SELECT RAISE (ABORT, 'evidence is never changed'); END;
CREATE TRIGGER tree_head_kept BEFORE DELETE ON tree_head BEGIN SELECT RAISE (ABORT, 'evidence is never deleted'); END;
CREATE TRIGGER feed_stays BEFORE UPDATE ON feed BEGIN SELECT RAISE (ABORT, 'evidence is never changed'); END;
CREATE TRIGGER feed_kept BEFORE DELETE ON feed BEGIN SELECT RAISE (ABORT, 'evidence is never deleted'); END;

-- ---- Registry ----

CREATE TABLE holder (
    id      BLOB PRIMARY KEY CHECK (length(id) = 16),
    name    TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE card (
    id       BLOB PRIMARY KEY CHECK (length(id) = 16),
    holder   BLOB NOT NULL REFERENCES holder (id),
    state    TEXT NOT NULL CHECK (state IN ('issued', 'active', 'suspended', 'revoked')),
    profile  INTEGER NOT NULL,
    level    INTEGER NOT NULL CHECK (level BETWEEN 0 AND 255),
    sequence INTEGER NOT NULL,
    binding  BLOB NOT NULL CHECK (length(binding) BETWEEN 1 AND 1024),
    created  INTEGER NOT NULL,
    changed  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX card_of_holder ON card (holder, id);

CREATE TABLE terminal (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    name         TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    state        TEXT NOT NULL CHECK (state IN ('active', 'revoked')),
    key          BLOB NOT NULL UNIQUE CHECK (length(key) = 32),  -- SHA-256 of the SubjectPublicKeyInfo; a revoked key stays taken
    rate         INTEGER NOT NULL CHECK (rate >= 0),             -- taps a minute; 0: no limit
    all_services INTEGER NOT NULL CHECK (all_services IN (0, 1)),
    created      INTEGER NOT NULL,
    changed      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX terminal_name ON terminal (name) WHERE state = 'active';

CREATE TABLE service (
    name        TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
    title       TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 128),
    connector   TEXT NOT NULL CHECK (length(connector) BETWEEN 1 AND 63),
    config      TEXT NOT NULL CHECK (length(config) <= 16384),
    level       INTEGER NOT NULL CHECK (level IN (1, 2)),
    kind        INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 4),
    certificate INTEGER NOT NULL CHECK (certificate IN (0, 1)),
    life        INTEGER NOT NULL CHECK (life >= 0),
    idle        INTEGER NOT NULL CHECK (idle >= 0),
    created     INTEGER NOT NULL,
    changed     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE terminal_service (
    terminal BLOB NOT NULL REFERENCES terminal (id),
    service  TEXT NOT NULL REFERENCES service (name),
    PRIMARY KEY (terminal, service)
) STRICT, WITHOUT ROWID;

CREATE TABLE enrolment (
    id      BLOB PRIMARY KEY CHECK (length(id) = 16),
    holder  BLOB NOT NULL REFERENCES holder (id),
    service TEXT NOT NULL REFERENCES service (name),
    state   TEXT NOT NULL CHECK (state IN ('pending', 'active', 'removed')),
    data    TEXT NOT NULL CHECK (length(data) <= 4096),
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX enrolment_live ON enrolment (holder, service) WHERE state <> 'removed';
CREATE INDEX enrolment_of_holder ON enrolment (holder, id);
CREATE INDEX enrolment_of_service ON enrolment (service, id);

-- Sealed keys are erased when they are retired; their identifiers stay, for the feed names them.
CREATE TABLE enrolment_key (
    id          BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    enrolment   BLOB NOT NULL REFERENCES enrolment (id),
    state       TEXT NOT NULL CHECK (state IN ('next', 'current', 'retired')),
    algorithm   INTEGER NOT NULL,
    level       INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    sealed      BLOB CHECK (length(sealed) BETWEEN 1 AND 8192),
    public_key  BLOB NOT NULL CHECK (length(public_key) <= 1024),
    certificate BLOB NOT NULL CHECK (length(certificate) <= 8192),
    chain       BLOB NOT NULL CHECK (length(chain) <= 32768),
    CHECK ((state = 'retired') = (sealed IS NULL)),
    UNIQUE (enrolment, sequence)
) STRICT;

CREATE UNIQUE INDEX enrolment_key_live ON enrolment_key (enrolment, state) WHERE state <> 'retired';

-- ---- Taps under way: rows live from T1 to T2, and from T2 to the end of the session; what was is in the log ----

CREATE TABLE intent (
    tap       BLOB PRIMARY KEY CHECK (length(tap) = 16),
    leaf      INTEGER NOT NULL UNIQUE REFERENCES evidence_leaf (position),
    card      BLOB NOT NULL REFERENCES card (id),
    holder    BLOB NOT NULL REFERENCES holder (id),
    terminal  BLOB NOT NULL REFERENCES terminal (id),
    enrolment BLOB NOT NULL REFERENCES enrolment (id),
    key       BLOB NOT NULL REFERENCES enrolment_key (id),
    service   TEXT NOT NULL REFERENCES service (name),
    reached   INTEGER NOT NULL,
    time      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX intent_of_card ON intent (card);
CREATE INDEX intent_of_terminal ON intent (terminal);
CREATE INDEX intent_of_enrolment ON intent (enrolment);

CREATE TABLE session (
    id        BLOB PRIMARY KEY CHECK (length(id) = 16),
    tap       BLOB NOT NULL UNIQUE CHECK (length(tap) = 16),
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

CREATE INDEX session_of_card ON session (card);
CREATE INDEX session_of_terminal ON session (terminal);
CREATE INDEX session_of_enrolment ON session (enrolment);

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A terminal is registered before it has a key, can be de-activated for a while, and is disposed of at its end.

ALTER TABLE terminal ADD COLUMN life TEXT NOT NULL DEFAULT 'active'
    CHECK (life IN ('registered', 'active', 'deactivated', 'revoked', 'disposed'));
UPDATE terminal SET life = state;
DROP INDEX terminal_name;
ALTER TABLE terminal DROP COLUMN state;
ALTER TABLE terminal RENAME COLUMN life TO state;
CREATE UNIQUE INDEX terminal_name ON terminal (name) WHERE state IN ('registered', 'active', 'deactivated');

-- Of a key that the terminal CA vouches for: until when (0: for good), and the certificate, DER. A key that is to take its place is beside it until it is
-- used for the first time.
ALTER TABLE terminal ADD COLUMN expires INTEGER NOT NULL DEFAULT 0 CHECK (expires >= 0);
ALTER TABLE terminal ADD COLUMN certificate BLOB NOT NULL DEFAULT x'' CHECK (length(certificate) <= 2048);
ALTER TABLE terminal ADD COLUMN next_key BLOB CHECK (length(next_key) = 32);
ALTER TABLE terminal ADD COLUMN next_expires INTEGER NOT NULL DEFAULT 0 CHECK (next_expires >= 0);
ALTER TABLE terminal ADD COLUMN next_certificate BLOB NOT NULL DEFAULT x'' CHECK (length(next_certificate) <= 2048);
CREATE UNIQUE INDEX terminal_next_key ON terminal (next_key) WHERE next_key IS NOT NULL;

-- The one-time code with which a registered terminal is activated: a hash over code and terminal. It stays when it was used, so that an answer that was
-- lost can be asked for again with the same key.
CREATE TABLE terminal_code (
    terminal BLOB PRIMARY KEY REFERENCES terminal (id),
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    expires  INTEGER NOT NULL,
    tries    INTEGER NOT NULL CHECK (tries >= 0)             -- wrong ones that are left
) STRICT, WITHOUT ROWID;

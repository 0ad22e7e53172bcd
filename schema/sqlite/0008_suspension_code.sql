-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The code with which the holder of a card suspends it himself: a hash of it, by which the card is found. One for a card; it can be used again.
CREATE TABLE suspension_code (
    card BLOB PRIMARY KEY REFERENCES card (id),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;

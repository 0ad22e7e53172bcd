-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What native cards have signed of how many proofs they made, beside what was heard of here (decision 31). Of other cards there is nothing.
CREATE TABLE card_proof (
    card      BLOB PRIMARY KEY REFERENCES card (id),
    counter   INTEGER NOT NULL CHECK (counter BETWEEN 0 AND 4294967295), -- the highest that it has signed, as hsmd believed it
    at        INTEGER NOT NULL,                                         -- when that came here
    heard     INTEGER NOT NULL CHECK (heard >= 0),                      -- proofs of it that came here, whatever became of them
    first_use INTEGER NOT NULL CHECK (first_use >= -1),                 -- the first tap that was accepted; 0: none yet; -1: nobody looked then
    back      INTEGER NOT NULL CHECK (back >= 0)                        -- when it first signed a number that does not follow; 0: never
) STRICT, WITHOUT ROWID;

-- Cards of before may have been used as often as they like.
INSERT INTO card_proof SELECT id, 0, 0, 0, -1, 0 FROM card WHERE profile = 1;

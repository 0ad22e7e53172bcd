-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Which generation of the authority above this broker a native card said it has, in what it last signed; 0: none was heard yet.

ALTER TABLE card ADD COLUMN generation INTEGER NOT NULL DEFAULT 0 CHECK (generation BETWEEN 0 AND 127);

CREATE INDEX card_generation ON card (generation, state) WHERE profile = 1;

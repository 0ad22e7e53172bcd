-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- In the place of which card a code registers another; NULL: of none. The leaf that allowed the code says the same, and is believed (broker/evidence/vouch.h).
-- A broker from before this column would leave the old card alive, and does not open a database that has it.

ALTER TABLE registration ADD COLUMN replaces BLOB REFERENCES card (id) CHECK (replaces IS NULL OR length(replaces) = 16);

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- There are more levels of assurance than two, and which numbers are levels is not the database's to know.

ALTER TABLE service ADD COLUMN least INTEGER NOT NULL DEFAULT 1 CHECK (least BETWEEN 1 AND 255);
UPDATE service SET least = level;
ALTER TABLE service DROP COLUMN level;
ALTER TABLE service RENAME COLUMN least TO level;

-- Of a card that somebody else issued: the certificates of its keys, in the order of the binding, DER, one after another. Whether their issuers have revoked
-- them is asked at each tap; that they are those that the card was bound with, the binding says.
ALTER TABLE card ADD COLUMN certificates BLOB NOT NULL DEFAULT x'' CHECK (length(certificates) <= 8192);

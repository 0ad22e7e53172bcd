-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- There are more levels of assurance than two, and which numbers are levels is not the database's to know.

ALTER TABLE service ADD COLUMN least INTEGER NOT NULL DEFAULT 1 CHECK (least BETWEEN 1 AND 255);
UPDATE service SET least = level;
ALTER TABLE service DROP COLUMN level;
ALTER TABLE service RENAME COLUMN least TO level;

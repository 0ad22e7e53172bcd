-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Terminals at which holders may log in with a password. None of those that there were before is one.

ALTER TABLE terminal ADD COLUMN passwords INTEGER NOT NULL DEFAULT 0 CHECK (passwords IN (0, 1));

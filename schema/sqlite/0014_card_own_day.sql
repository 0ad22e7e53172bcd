-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The day that an operator set for a card, whatever its certificates say now or after a renewal; 0: none. What a card expires on is the first of
-- all its days. Of a card from before this column, one that ended it before its certificates was the operator's (broker/core/card_certificate.c).

ALTER TABLE card ADD COLUMN own_expires INTEGER NOT NULL DEFAULT 0 CHECK (own_expires >= 0);

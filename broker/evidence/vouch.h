/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the log says about rows on which a login depends and which no record of hsmd protects.
 *
 * hsmd checks the MACs of card bindings and sealed keys itself. Where a service is and how one logs
 * in there, which key is a terminal's and what it may ask for, as whom a holder is known at a
 * service, whether a card was ever activated, and in whose place a registration code puts another
 * stand in the database only. The leaf of the act that set them says the same, and leaves are under
 * heads that hsmd remembers: so a login, or a registration, believes a row only if it is what the
 * last leaf about it says.
 *
 *   's' service    SHA-256 of the leaf from its line "service" on
 *   't' terminal   SHA-256 of the leaf from its line "terminal" on; none once it is revoked
 *   'o' terminal   SHA-256 of the leaf about its one-time code from its line "code_sha256" on
 *   'p' terminal   SHA-256 of the leaf about what it said that it runs from its line "terminal" on
 *   'w' software   SHA-256 of the leaf from the line "software" on; none once it is off the list
 *   'u' terminal   SHA-256 of the leaf by which maintenance began from its line
 *                  "maintenance_until" on; none when that has ended
 *   'r' terminal   SHA-256 of the leaf by which its log may go on with what does not fit, from its
 *                  line "terminal" on; none when a batch was taken since
 *   'm' maintainer SHA-256 of the leaf from the line "maintainer" on; none once he is none
 *   'd' terminal   SHA-256 of the leaf by which it was de-activated, of its lines "actor" and
 *                  "reason"; none when it is activated again
 *   'e' enrolment  SHA-256 of its lines "holder", "service", "data_sha256"; none without data
 *   'f' enrolment  the same of one without data, so without the last line; none once it is removed
 *   'n' intent     SHA-256 of its leaf from the line "card" on; none once it has a result
 *   'a' application SHA-256 of its leaf from the line "application" on, once it is approved; none
 *                  once a card was issued for it, or it was refused
 *   'b' application the same of the leaf by which it was entered; none when 'a' has none any more
 *   'g' registration code  SHA-256 of the leaf that allowed it from the line "code" on; none once it
 *                  was used, withdrawn or has lapsed
 *   'i' card       there while the card was added and not yet activated
 *
 * Of each digest 16 bytes are kept; of 'f' 8, for who changes rows chooses nothing of what they are
 * a digest of: holders' identifiers are random, and services are few; of 'd' 8, for no row is
 * compared with it. A leaf "registry.unconfirmed" takes a word back
 * (store/recheck.c).
 */
#ifndef CB_BROKER_EVIDENCE_VOUCH_H
#define CB_BROKER_EVIDENCE_VOUCH_H

#include "base/crypto.h"
#include "broker/evidence/id_map.h"

typedef struct cb_vouch {
    char kind; /* as above */
    bool gone; /* there is no word any more */
    bool taken_back; /* a start took it back: "registry.unconfirmed" */
    cb_id id;
    cb_digest digest; /* zero: matches no row */
} cb_vouch;

/* A service's name as an identifier. */
cb_id cb_vouch_service(const char *name);

/* What a leaf says; false when it says nothing of this. */
bool cb_vouch_read(cb_bytes leaf, cb_vouch *out);

/* Whether a word lets somebody do what he could not before. */
bool cb_vouch_grants(const cb_vouch *vouch);

/* The line that names what a leaf is about, and the one by which a leaf "registry.unconfirmed" names
 * it. */
void cb_vouch_lines(char kind, const char **line, const char **taken_back);

/* Whether words of that kind are in a map: one of the above, or the second half of one's digest. */
bool cb_vouch_keeps(char kind);

/* A hash over how words are read from leaves. Whoever changes what cb_vouch_read and cb_vouch_apply
 * do with a leaf otherwise than in their tables counts CB_VOUCH_RULES up: words that were kept
 * under other rules are then read from the leaves again. */
enum { CB_VOUCH_RULES = 2 };
cb_digest cb_vouch_rules(void);

/* CB_E_MEMORY. */
cb_error cb_vouch_apply(cb_id_map *map, const cb_vouch *vouch);

/* Whether there is a word, and whether it is this one (digest NULL: any). */
bool cb_vouch_found(const cb_id_map *map, char kind, const cb_id *id, const cb_digest *digest);

#endif

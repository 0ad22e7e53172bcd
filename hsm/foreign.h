/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Binding cards that others issued: which authorities are trusted for that, and what is checked.
 *
 * A card is bound by the certificates that were read from it, once: each must lead to an anchor of
 * its profile, be good for signing, and be valid now. After that its keys stand in the binding,
 * with the end of the last of its certificates, from which on hsmd refuses the card; certificates
 * are not looked at in hsmd again. Whether one of several has ended, or its issuer has revoked it,
 * is the front end's to ask, and the broker's own revocation is above both. An SCP03 card has no
 * certificate: that it is genuine is shown by each tap alone.
 *
 * The key of a PIV card's secure messaging has a card verifiable certificate. The X.509 certificate
 * that is checked and bound for it is that of who signed this one, for content signing and nothing
 * else.
 */
#ifndef CB_HSM_FOREIGN_H
#define CB_HSM_FOREIGN_H

#include "cardlink/profile.h"
#include "cardlink/x509/path.h"
#include "hsm/client.h"

enum {
    CB_FOREIGN_CERTIFICATES_MAX = 32, /* of each kind, of a profile */
    CB_FOREIGN_POLICIES_MAX = 8,
    CB_FOREIGN_BYTES_MAX = 128 * 1024, /* of all certificates of a profile */
    CB_FOREIGN_OID_MAX = 32
};

typedef struct cb_foreign_trust {
    uint8_t profile; /* 0: none */
    cb_buf der;      /* what anchors and intermediates point into */
    cb_bytes anchor[CB_FOREIGN_CERTIFICATES_MAX];
    size_t anchors;
    cb_bytes intermediate[CB_FOREIGN_CERTIFICATES_MAX];
    size_t intermediates;
    uint8_t oid[CB_FOREIGN_POLICIES_MAX][CB_FOREIGN_OID_MAX];
    cb_bytes policy[CB_FOREIGN_POLICIES_MAX]; /* one of which is asked for; none: any */
    size_t policies;
    cb_x509_renewal renewal; /* what makes a certificate a renewal */
    bool renewal_at_taps;    /* a tap may bring one, without a manager */
} cb_foreign_trust;

void cb_foreign_trust_init(cb_foreign_trust *trust);
void cb_foreign_trust_free(cb_foreign_trust *trust);

/* Fills in card, profile and keys of a binding. now: seconds since 1970. CB_E_ARGUMENT (a profile
 * whose cards say themselves who they are; keys that the profile does not have, or in another order
 * than the one that cb_foreign_reading names),
 * CB_E_CARD_CERTIFICATE (also when no anchors are configured for the profile), CB_E_CERTIFICATE_…,
 * CB_E_CARD_FOREIGN, CB_E_CARD_ANSWER, CB_E_MEMORY. */
cb_error cb_foreign_card_check(const cb_foreign_trust *trust, const cb_foreign_reading *card,
                               int64_t now, cb_binding_info *out);

/* Whether each certificate of what was read and passed the check says itself which card it is of:
 * where nobody has looked at the card, none is taken for its that could be another's.
 * CB_E_CARD_NAMELESS, CB_E_CERTIFICATE_FORM. */
cb_error cb_foreign_card_named(const cb_foreign_reading *card);

/* Whether what was read from a card, and passed the check, which found info, renews what it is
 * bound with: keys for the same uses, each with its certificate of before or one that renews it by
 * the profile's rule, and at least one of these. A key for secure messaging may be the same with
 * the certificate of a later signer; or, by the rule that lets keys change, another one, by the
 * same signer or a later one: its own certificate names the card. certificates: those of before,
 * DER, one after another in the order of its keys. CB_E_HSM_RECORD (they are others),
 * CB_E_CERTIFICATE_RENEWAL, CB_E_CERTIFICATE_FORM, CB_E_ARGUMENT (the profile's cards have none).
 */
cb_error cb_foreign_card_renews(const cb_foreign_trust *trust, const cb_binding_info *before,
                                cb_bytes certificates, const cb_foreign_reading *now,
                                const cb_binding_info *info);

#endif

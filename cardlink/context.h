/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a tap is for: the fields that the card's proof is bound to.
 *
 * The digest of these fields is made where keys are used (hsmd) from the fields themselves, never
 * taken from somebody else, so that a proof for one service, text or terminal is worth nothing for
 * another (S2-2, S0-7.5.2).
 */
#ifndef CB_CARDLINK_CONTEXT_H
#define CB_CARDLINK_CONTEXT_H

#include "base/crypto.h"
#include "base/id.h"
#include "cardlink/level.h"

enum { CB_SERVICE_NAME_MAX = 63 /* [a-z0-9][a-z0-9-]* */ };

typedef enum cb_tap_purpose {
    CB_TAP_AUTHENTICATE = 1, /* log in at the service */
    CB_TAP_PIN_CHANGE = 2,   /* change the PIN; no service */
    CB_TAP_PIN_UNBLOCK = 3,  /* new PIN by unblocking code; no service */
    CB_TAP_CARD_END = 4,     /* end a revoked card for good; no service */
    CB_TAP_PIN_RESET = 5,    /* new PIN by a manager's permission; no service */
    CB_TAP_REGISTER = 6,     /* bind the card by a one-time code (registration.h); no service */
    CB_TAP_PASSWORD_CHANGE = 7, /* put another password in the place of one's own; no service */
    CB_TAP_MAINTENANCE = 8,  /* begin maintenance of the terminal; no service. The text is the reason */
    CB_TAP_MAINTENANCE_END = 9, /* and end it */
    CB_TAP_RENEW = 10 /* bind it with the certificates that it has now (registration.h); no service */
} cb_tap_purpose;

typedef enum cb_profile_id {
    CB_PROFILE_NATIVE = 1, /* SCP11a and the card's own proof */
    CB_PROFILE_PIV = 2,    /* NIST SP 800-73-4, keys 9A and 9E */
    CB_PROFILE_JPKI = 3,   /* user authentication of Japan's Individual Number Card */
    CB_PROFILE_SCP03 = 4,  /* GlobalPlatform Amendment D, keys from a master key in the HSM */
    CB_PROFILE_PASSWORD = 5 /* no card: a name and a password (password/password.h) */
} cb_profile_id;

typedef struct cb_tap_context {
    cb_id tap;
    cb_id terminal;
    uint8_t profile;                        /* cb_profile_id */
    uint8_t purpose;                        /* cb_tap_purpose */
    uint8_t level;                          /* the least that is asked for: cb_level */
    char service[CB_SERVICE_NAME_MAX + 1];  /* "" when the purpose has none */
    cb_digest text;                         /* SHA-256 of the text shown to the holder; zero: none was shown */
} cb_tap_context;

static inline bool cb_tap_purpose_maintenance(uint8_t purpose)
{
    return purpose == CB_TAP_MAINTENANCE || purpose == CB_TAP_MAINTENANCE_END;
}

/* Whether a card that others issued, whose PIN is none of the broker's, is tapped for this. */
static inline bool cb_tap_purpose_foreign(uint8_t purpose)
{
    return purpose == CB_TAP_AUTHENTICATE || purpose == CB_TAP_REGISTER ||
           purpose == CB_TAP_RENEW || cb_tap_purpose_maintenance(purpose);
}

/* Whether a service name is well formed. */
bool cb_service_name_ok(const char *name);

/* SHA-256("cardbroker tap context 1" 00 ‖ fields in the order above, service as u8 length ‖ bytes). */
cb_digest cb_tap_context_digest(const cb_tap_context *context);

#endif

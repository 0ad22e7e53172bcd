/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The PKCS#11 templates of holders' keys at each station of their life. Inside hsm/ only.
 *
 *   newborn  session object, sensitive, extractable by a trusted key only (CKA_WRAP_WITH_TRUSTED): to be sealed at once; may sign
 *            its own request for a certificate
 *   rewrap   the same, when it is sealed again: cannot sign
 *   use      session object, sensitive, not extractable: what the key-encryption key's CKA_UNWRAP_TEMPLATE demands as well
 *   release  session object of a secret that is to be given out: readable
 *
 * SENSITIVE and EXTRACTABLE = FALSE forbid that a key in use is ever wrapped.
 */
#ifndef CB_HSM_KEY_TEMPLATE_H
#define CB_HSM_KEY_TEMPLATE_H

#include "hsm/records.h"
#include "hsm/token.h"

enum { CB_TEMPLATE_MAX = 20 };

/* Attributes together with the values they point to; not to be copied. */
typedef struct cb_key_template {
    CK_ATTRIBUTE attribute[CB_TEMPLATE_MAX];
    CK_ULONG count;
    CK_OBJECT_CLASS class;
    CK_KEY_TYPE type;
    CK_ULONG number;
    uint8_t curve[16];
} cb_key_template;

typedef enum cb_key_station {
    CB_STATION_NEWBORN,
    CB_STATION_REWRAP,
    CB_STATION_USE,
    CB_STATION_RELEASE
} cb_key_station;

/* Adds one attribute. The second kind points to one of two constants. */
void cb_template_add(cb_key_template *template, CK_ATTRIBUTE_TYPE type, void *value, CK_ULONG len);
void cb_template_bool(cb_key_template *template, CK_ATTRIBUTE_TYPE type, bool value);

/* Of a private or secret key. With for_unwrap, class and key type are named. */
void cb_template_key(cb_key_template *template, uint8_t algorithm, cb_key_station station,
                     bool for_unwrap);

/* Of the public key of a pair that is made. */
void cb_template_public(cb_key_template *template, uint8_t algorithm);

cb_token_template cb_template_of(cb_key_template *template);

#endif

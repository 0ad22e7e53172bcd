/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/key_template.h"

#include "hsm/spki.h"

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

void cb_template_add(cb_key_template *template, CK_ATTRIBUTE_TYPE type, void *value, CK_ULONG len)
{
    if (template->count < CB_TEMPLATE_MAX)
        template->attribute[template->count++] = (CK_ATTRIBUTE){type, value, len};
}

void cb_template_bool(cb_key_template *template, CK_ATTRIBUTE_TYPE type, bool value)
{
    cb_template_add(template, type, value ? &yes : &no, sizeof(CK_BBOOL));
}

static void add_kind(cb_key_template *template, uint8_t algorithm)
{
    bool secret = algorithm == CB_KEY_HMAC_SHA256 || algorithm == CB_KEY_SECRET;
    template->class = secret ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
    if (secret)
        template->type = CKK_GENERIC_SECRET;
    else if (cb_curve_oid(algorithm).len > 0)
        template->type = CKK_EC;
    else
        template->type = CKK_RSA;
    cb_template_add(template, CKA_CLASS, &template->class, sizeof template->class);
    cb_template_add(template, CKA_KEY_TYPE, &template->type, sizeof template->type);
}

void cb_template_key(cb_key_template *template, uint8_t algorithm, cb_key_station station,
                     bool for_unwrap)
{
    *template = (cb_key_template){.count = 0};
    if (for_unwrap)
        add_kind(template, algorithm);
    cb_template_bool(template, CKA_TOKEN, false);
    cb_template_bool(template, CKA_PRIVATE, true);
    cb_template_bool(template, CKA_SENSITIVE, station != CB_STATION_RELEASE);
    cb_template_bool(template, CKA_EXTRACTABLE, station != CB_STATION_USE);
    if ((station == CB_STATION_NEWBORN || station == CB_STATION_REWRAP) && algorithm != CB_KEY_SECRET)
        cb_template_bool(template, CKA_WRAP_WITH_TRUSTED, true);
    cb_template_bool(template, CKA_DERIVE, false);
    cb_template_bool(template, CKA_UNWRAP, false);
    cb_template_bool(template, CKA_DECRYPT, false);
    cb_template_bool(template, CKA_SIGN, station == CB_STATION_USE || station == CB_STATION_NEWBORN);
}

void cb_template_public(cb_key_template *template, uint8_t algorithm)
{
    static CK_BYTE exponent[] = {0x01, 0x00, 0x01};
    cb_bytes curve = cb_curve_oid(algorithm);
    *template = (cb_key_template){.count = 0};
    cb_template_bool(template, CKA_TOKEN, false);
    cb_template_bool(template, CKA_PRIVATE, false);
    cb_template_bool(template, CKA_VERIFY, true);
    if (curve.len > 0) {
        memcpy(template->curve, curve.data, curve.len);
        cb_template_add(template, CKA_EC_PARAMS, template->curve, curve.len);
        return;
    }
    template->number = algorithm == CB_KEY_RSA_2048 ? 2048 : 3072;
    cb_template_add(template, CKA_MODULUS_BITS, &template->number, sizeof template->number);
    cb_template_add(template, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
}

cb_token_template cb_template_of(cb_key_template *template)
{
    return (cb_token_template){template->attribute, template->count};
}

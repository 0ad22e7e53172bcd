/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/make_keys.h"

#include "hsm/key_template.h"
#include "hsm/keyring_names.h"
#include "hsm/sealed_parts.h"
#include "hsm/spki.h"
#include "hsm/token_parts.h"

enum { KEY_BYTES = 32, RSA_BITS = 3072 };

static const CK_MECHANISM aes_generator = {CKM_AES_KEY_GEN, NULL, 0};

/* What every key of ours is: persistent, private, never out, never changed. */
static void add_lasting(cb_key_template *template, char *label)
{
    cb_template_bool(template, CKA_TOKEN, true);
    cb_template_bool(template, CKA_PRIVATE, true);
    cb_template_bool(template, CKA_SENSITIVE, true);
    cb_template_bool(template, CKA_EXTRACTABLE, false);
    cb_template_add(template, CKA_LABEL, label, strlen(label));
}

/* Which of the uses that a key may have it has. */
static void add_uses(cb_key_template *template, bool wraps, bool unwraps)
{
    cb_template_bool(template, CKA_WRAP, wraps);
    cb_template_bool(template, CKA_UNWRAP, unwraps);
    cb_template_bool(template, CKA_ENCRYPT, false);
    cb_template_bool(template, CKA_DECRYPT, false);
    cb_template_bool(template, CKA_SIGN, false);
    cb_template_bool(template, CKA_VERIFY, false);
    cb_template_bool(template, CKA_DERIVE, false);
}

static void add_unwrap_template(cb_key_template *template, cb_key_template *forced)
{
    cb_template_add(template, CKA_UNWRAP_TEMPLATE, forced->attribute,
                    forced->count * sizeof(CK_ATTRIBUTE));
}

cb_error cb_make_record_key(cb_token *token)
{
    static const CK_MECHANISM generator = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    char label[] = CB_LABEL_RECORDS;
    CK_OBJECT_HANDLE key;
    cb_key_template template = {.number = KEY_BYTES};
    cb_template_add(&template, CKA_VALUE_LEN, &template.number, sizeof template.number);
    add_lasting(&template, label);
    cb_template_bool(&template, CKA_SIGN, true);
    cb_template_bool(&template, CKA_VERIFY, true);
    cb_template_bool(&template, CKA_DERIVE, false);
    cb_template_bool(&template, CKA_MODIFIABLE, false);
    return cb_token_generate(token, &generator, cb_template_of(&template), &key);
}

/* ---- The broker's own pairs ---- */

static void public_half(cb_key_template *template, cb_own_key key, char *label)
{
    static CK_BYTE exponent[] = {0x01, 0x00, 0x01};
    cb_bytes curve = cb_curve_oid(CB_KEY_EC_P256);
    *template = (cb_key_template){.number = RSA_BITS};
    cb_template_bool(template, CKA_TOKEN, true);
    cb_template_bool(template, CKA_PRIVATE, false);
    cb_template_add(template, CKA_LABEL, label, strlen(label));
    cb_template_bool(template, CKA_MODIFIABLE, false);
    if (key == CB_OWN_IMPORT) {
        cb_template_bool(template, CKA_ENCRYPT, false);
        cb_template_bool(template, CKA_WRAP, true);
        cb_template_add(template, CKA_MODULUS_BITS, &template->number, sizeof template->number);
        cb_template_add(template, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
    } else {
        memcpy(template->curve, curve.data, curve.len);
        cb_template_add(template, CKA_EC_PARAMS, template->curve, curve.len);
    }
}

/* What comes out of the import key can unwrap, once, and nothing else. */
static void imported(cb_key_template *forced)
{
    *forced = (cb_key_template){.count = 0};
    cb_template_bool(forced, CKA_TOKEN, false);
    cb_template_bool(forced, CKA_SENSITIVE, true);
    cb_template_bool(forced, CKA_EXTRACTABLE, false);
    cb_template_bool(forced, CKA_UNWRAP, true);
    cb_template_bool(forced, CKA_DECRYPT, false);
}

static cb_error make_pair(cb_token *token, cb_own_key key, char *label)
{
    static const CK_MECHANISM ec = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    static const CK_MECHANISM rsa = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE public_key, private_key;
    cb_key_template public_template, private_template = {.count = 0}, forced;
    public_half(&public_template, key, label);
    add_lasting(&private_template, label);
    cb_template_bool(&private_template, CKA_DERIVE, key == CB_OWN_CARD_AGREEMENT);
    cb_template_bool(&private_template, CKA_SIGN,
                     key == CB_OWN_CARD_SIGNATURE || key == CB_OWN_LOG ||
                         key == CB_OWN_TERMINALS);
    cb_template_bool(&private_template, CKA_UNWRAP, key == CB_OWN_IMPORT);
    cb_template_bool(&private_template, CKA_DECRYPT, false);
    cb_template_bool(&private_template, CKA_MODIFIABLE, false);
    if (key == CB_OWN_IMPORT) {
        imported(&forced);
        add_unwrap_template(&private_template, &forced);
    }
    return cb_token_generate_pair(token, key == CB_OWN_IMPORT ? &rsa : &ec,
                                  cb_template_of(&public_template),
                                  cb_template_of(&private_template), &public_key, &private_key);
}

cb_error cb_make_own_key(cb_token *token, cb_own_key key)
{
    char label[48];
    cb_own_key_label(key, label);
    return make_pair(token, key, label);
}

cb_error cb_make_card_key(cb_token *token, cb_own_key key, unsigned number)
{
    char label[48];
    cb_card_pair_label(key, number, label);
    return make_pair(token, key, label);
}

/* ---- A generation ---- */

/* What a key-encryption key forces on what it unwraps: the template of that station, without class and type. */
static void forced_on(cb_key_template *forced, cb_key_station station)
{
    cb_template_key(forced, station == CB_STATION_RELEASE ? CB_KEY_SECRET : CB_KEY_EC_P256, station,
                    false);
}

cb_error cb_make_trusted_seed(cb_token *token, CK_OBJECT_HANDLE *out)
{
    cb_key_template template = {.number = KEY_BYTES}, forced;
    forced_on(&forced, CB_STATION_REWRAP);
    cb_template_add(&template, CKA_VALUE_LEN, &template.number, sizeof template.number);
    cb_template_bool(&template, CKA_TOKEN, false);
    cb_template_bool(&template, CKA_PRIVATE, false);
    cb_template_bool(&template, CKA_SENSITIVE, true);
    cb_template_bool(&template, CKA_EXTRACTABLE, true);
    cb_template_bool(&template, CKA_TRUSTED, true);
    add_uses(&template, true, true);
    add_unwrap_template(&template, &forced);
    return cb_token_generate(token, &aes_generator, cb_template_of(&template), out);
}

/* Makes a persistent copy of a session object that can no longer be changed or read. */
static cb_error keep(cb_token *token, CK_OBJECT_HANDLE from, cb_kek kind, uint32_t generation)
{
    char label[48];
    uint8_t id[4];
    CK_OBJECT_HANDLE kept;
    cb_key_template template = {.count = 0};
    strcpy(label, cb_kek_label(kind));
    cb_generation_id(generation, id);
    cb_template_bool(&template, CKA_TOKEN, true);
    cb_template_bool(&template, CKA_PRIVATE, true);
    /* Once false, it cannot even be said again. */
    if (kind == CB_KEK_REWRAP)
        cb_template_bool(&template, CKA_EXTRACTABLE, false);
    cb_template_add(&template, CKA_LABEL, label, strlen(label));
    cb_template_add(&template, CKA_ID, id, sizeof id);
    cb_template_bool(&template, CKA_MODIFIABLE, false);
    CK_RV rv = token->f->C_CopyObject(token->session, from, template.attribute, template.count, &kept);
    return cb_token_note(token, "C_CopyObject", rv);
}

/* The same AES key once more, with the other template: wrapped by a key that lives for this moment, and unwrapped again. */
static cb_error make_use(cb_token *token, CK_OBJECT_HANDLE seed, uint32_t generation)
{
    CK_OBJECT_HANDLE transport = CK_INVALID_HANDLE, use = CK_INVALID_HANDLE;
    cb_buf wrapped = CB_BUF(CB_WRAPPED_MAX);
    cb_key_template carrier = {.number = KEY_BYTES};
    cb_key_template template = {.class = CKO_SECRET_KEY, .type = CKK_AES}, forced;
    cb_template_add(&carrier, CKA_VALUE_LEN, &carrier.number, sizeof carrier.number);
    cb_template_bool(&carrier, CKA_TOKEN, false);
    cb_template_bool(&carrier, CKA_PRIVATE, true);
    cb_template_bool(&carrier, CKA_SENSITIVE, true);
    cb_template_bool(&carrier, CKA_EXTRACTABLE, false);
    add_uses(&carrier, true, true);
    forced_on(&forced, CB_STATION_USE);
    cb_template_add(&template, CKA_CLASS, &template.class, sizeof template.class);
    cb_template_add(&template, CKA_KEY_TYPE, &template.type, sizeof template.type);
    cb_template_bool(&template, CKA_TOKEN, false);
    cb_template_bool(&template, CKA_PRIVATE, true);
    cb_template_bool(&template, CKA_SENSITIVE, true);
    cb_template_bool(&template, CKA_EXTRACTABLE, false);
    add_uses(&template, false, true);
    add_unwrap_template(&template, &forced);
    cb_error error = cb_token_generate(token, &aes_generator, cb_template_of(&carrier), &transport);
    if (!error)
        error = cb_token_wrap(token, &cb_key_wrap, transport, seed, &wrapped);
    if (!error)
        error = cb_token_unwrap(token, &cb_key_wrap, transport, cb_buf_bytes(&wrapped),
                                cb_template_of(&template), &use);
    if (!error)
        error = keep(token, use, CB_KEK_USE, generation);
    cb_token_destroy(token, &use);
    cb_token_destroy(token, &transport);
    cb_buf_free(&wrapped);
    return error;
}

static cb_error make_release(cb_token *token, uint32_t generation)
{
    char label[48];
    uint8_t id[4];
    CK_OBJECT_HANDLE key;
    cb_key_template template = {.number = KEY_BYTES}, forced;
    strcpy(label, cb_kek_label(CB_KEK_RELEASE));
    cb_generation_id(generation, id);
    forced_on(&forced, CB_STATION_RELEASE);
    cb_template_add(&template, CKA_VALUE_LEN, &template.number, sizeof template.number);
    add_lasting(&template, label);
    cb_template_add(&template, CKA_ID, id, sizeof id);
    add_uses(&template, true, true);
    cb_template_bool(&template, CKA_MODIFIABLE, false);
    add_unwrap_template(&template, &forced);
    return cb_token_generate(token, &aes_generator, cb_template_of(&template), &key);
}

cb_error cb_make_generation(cb_token *token, CK_OBJECT_HANDLE seed, uint32_t generation)
{
    cb_error error = make_release(token, generation);
    if (!error)
        error = make_use(token, seed, generation);
    if (!error)
        error = keep(token, seed, CB_KEK_REWRAP, generation);
    return error;
}

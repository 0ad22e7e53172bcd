/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secure_cards.h"

#include <time.h>

#include "base/text.h"
#include "base/tlv.h"
#include "cardlink/card/key.h"
#include "cardlink/terminal/survey.h"

static world w;
static fake f;
cb_lane secure_lane;
agency secure_issuer;
const cb_id secure_holder = {{7}};
cb_buf secure_binding = {.max = CB_BINDING_MAX};

piv_card secure_card;
secure_piv secure_far;
bool secure_card_itself;
cb_vcard_key secure_signer;
cb_buf secure_signer_certificate = {.max = CB_ISSUE_X509_MAX};

/* ---- Making a card ---- */

cb_error secure_sign(const void *key, cb_bytes digest, cb_buf *der)
{
    return cb_vcard_key_sign(key, digest, der);
}

void secure_make_signer(const agency *by, const char *usage, int later, cb_buf *out)
{
    content_signer_certify(by, &secure_signer, usage, later, out);
}

cb_bytes secure_guid_of(const piv_card *c)
{
    cb_bytes guid;
    assert_true(cb_tlv_find(cb_vpiv_object_get(&c->state, CB_VPIV_CHUID), 0x34, &guid));
    return guid;
}

void secure_certify(secure_piv *p, cb_bytes guid)
{
    cb_x509 of_signer;
    good(cb_x509_parse(cb_buf_bytes(&secure_signer_certificate), &of_signer));
    const secure_piv_cvc what = {.issuer = cb_bytes_make(of_signer.subject_key_id.data, 8),
                                 .subject = guid,
                                 .point = CB_BYTES_OF(p->point),
                                 .algorithm = secure_piv_ecdsa,
                                 .sign = secure_sign,
                                 .key = &secure_signer};
    cb_buf_reset(&p->certificate);
    secure_piv_certify(&what, &p->certificate);
}

void secure_show_signer(secure_piv *p, cb_bytes between)
{
    static const uint8_t plain[] = {0x00};
    cb_buf object = CB_BUF(CB_ANSWER_MAX);
    cb_tlv_put(&object, 0x70, cb_buf_bytes(&secure_signer_certificate));
    cb_tlv_put(&object, 0x71, CB_BYTES_OF(plain));
    cb_buf_put(&object, between);
    cb_tlv_put(&object, 0xFE, (cb_bytes){0});
    cb_buf_reset(&p->signer);
    cb_tlv_put(&p->signer, 0x53, cb_buf_bytes(&object));
    cb_buf_free(&object);
}

void secure_make_card(uint8_t kind)
{
    piv_card_make(&secure_card, &secure_issuer, kind, kind);
    secure_piv_make(&secure_far, &secure_card.io);
    secure_certify(&secure_far, secure_guid_of(&secure_card));
    secure_show_signer(&secure_far, (cb_bytes){0});
}

void secure_free_card(void)
{
    secure_piv_free(&secure_far);
    piv_card_free(&secure_card);
}

void secure_use_virtual_card(uint8_t kind_9a, uint8_t kind_9e)
{
    cb_issue_signer content;
    content_signer_make(&secure_signer, cb_buf_bytes(&secure_signer_certificate), &content);
    secure_free_card();
    piv_card_make_secured(&secure_card, &secure_issuer, kind_9a, kind_9e, &content);
    secure_piv_make(&secure_far, &secure_card.io);
    secure_card_itself = true;
    cb_issue_signer_end(&content);
}

int secure_begin_test(void **state)
{
    (void)state;
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &secure_signer));
    cb_buf_reset(&secure_signer_certificate);
    secure_make_signer(&secure_issuer, PIV_CONTENT_SIGNING, 0, &secure_signer_certificate);
    secure_make_card(CB_VCARD_EC_P256);
    secure_lane.host->foreign[0].renewal = CB_X509_RENEWAL_NEVER;
    return 0;
}

int secure_end_test(void **state)
{
    (void)state;
    secure_free_card();
    return 0;
}

int secure_setup(void **state)
{
    (void)state;
    world_make(&w, false);
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 5, &secure_lane);
    agency_make(&secure_issuer);
    agency_trust(&secure_issuer, CB_PROFILE_PIV, &secure_lane.host->foreign[0]);
    return 0;
}

int secure_teardown(void **state)
{
    (void)state;
    cb_buf_free(&secure_binding);
    cb_buf_free(&secure_signer_certificate);
    agency_free(&secure_issuer);
    fake_lane_free(&secure_lane);
    fake_end(&f);
    world_free(&w);
    return 0;
}

/* ---- Registration ---- */

static cb_error transmit(void *of, cb_bytes command, cb_buf *answer)
{
    cb_vcard_process(of, command, answer);
    return cb_buf_error(answer);
}

cb_card_io secure_io_of(const char *pin)
{
    if (secure_card_itself)
        return (cb_card_io){
            .card = secure_card.card, .transmit = transmit, .pin = cb_bytes_str(pin)};
    return (cb_card_io){
        .card = &secure_far, .transmit = secure_piv_transmit, .pin = cb_bytes_str(pin)};
}

void secure_power(void)
{
    cb_vcard_reset(secure_card.card);
    secure_piv_reset(&secure_far);
}

static void take_hex(const json_t *text, cb_buf *out)
{
    size_t len = json_string_length(text) / 2;
    uint8_t *at = cb_buf_extend(out, len);
    assert_non_null(at);
    good(cb_unhex_exact(json_string_value(text), at, len));
}

void secure_read_card(reading *r)
{
    static const cb_profile_order order = {1, {&cb_profile_piv}};
    json_t *found = NULL;
    cb_card_io io = secure_io_of("");
    secure_power();
    good(cb_survey(&io, &order, &found));
    *r = (reading){.card = {.profile = CB_PROFILE_PIV}, .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    const json_t *answers = json_object_get(found, "answers");
    for (size_t i = 0; i < json_array_size(answers); i++) {
        cb_buf one = CB_BUF(CB_ANSWER_MAX);
        take_hex(json_array_get(answers, i), &one);
        cb_script_put(&r->answers, 0, cb_buf_bytes(&one));
        cb_buf_free(&one);
    }
    const json_t *list = json_object_get(found, "certificates");
    r->card.keys = json_array_size(list);
    assert_true(r->card.keys <= SECURE_USES);
    for (size_t i = 0; i < r->card.keys; i++) {
        const json_t *one = json_array_get(list, i);
        r->der[i] = CB_BUF(CB_ANSWER_MAX);
        take_hex(json_object_get(one, "der"), &r->der[i]);
        r->card.key[i].use = (uint8_t)json_integer_value(json_object_get(one, "use"));
        r->card.key[i].certificate = cb_buf_bytes(&r->der[i]);
    }
    r->card.answers = cb_buf_bytes(&r->answers);
    json_decref(found);
}

void secure_forget(reading *r)
{
    cb_buf_free(&r->answers);
    for (size_t i = 0; i < SECURE_USES; i++)
        cb_buf_free(&r->der[i]);
}

cb_error secure_check(const reading *r, cb_binding_info *info)
{
    *info = (cb_binding_info){.holder = secure_holder, .level = CB_LEVEL_PIN, .sequence = 1};
    return cb_foreign_card_check(cb_host_foreign(secure_lane.host, CB_PROFILE_PIV), &r->card,
                                 (int64_t)time(NULL), info);
}

cb_error secure_check_card(cb_binding_info *info)
{
    reading r;
    secure_read_card(&r);
    cb_error error = secure_check(&r, info);
    secure_forget(&r);
    return error;
}

void secure_bind(cb_binding_info *info)
{
    good(secure_check_card(info));
    cb_buf_reset(&secure_binding);
    good(fake_vault.binding_make(NULL, info, &secure_binding));
}

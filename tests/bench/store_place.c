/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/bench/store_place.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "hsm/record_codec.h"

/* ---- The signer ---- */

static cb_error sign(void *context, const cb_tree_head *head, const cb_merkle_proof *extends,
                     cb_signed_head *out, cb_tree_head *remembered)
{
    signer *s = context;
    cb_buf text = CB_BUF(1024);
    (void)remembered;
    if (!cb_merkle_extends(&s->remembered, head, extends))
        return CB_E_HSM_HEAD;
    *out = (cb_signed_head){.head = *head, .time = cb_clock_wall_us()};
    cb_signed_head_text("bench", out, &text);
    cb_digest digest = cb_sha256(cb_buf_bytes(&text));
    cb_buf_free(&text);
    s->remembered = *head;
    s->signatures++;
    return cb_p256_sign(s->scalar, &digest, out->signature);
}

static cb_error state(void *context, cb_tree_head *remembered)
{
    *remembered = ((signer *)context)->remembered;
    return CB_OK;
}

void signer_begin(signer *s)
{
    *s = (signer){.remembered = {0, cb_sha256((cb_bytes){0})}};
    need(cb_p256_generate(s->scalar, s->point), "key");
}

cb_head_signer signer_of(signer *s) { return (cb_head_signer){s, sign, state}; }

/* ---- Rows ---- */

void need(cb_error error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "%s: %s\n", what, cb_error_text(error));
    exit(1);
}

static void put_mac(cb_buf *blob) { memset(cb_buf_extend(blob, CB_RECORD_MAC), 0, CB_RECORD_MAC); }

cb_id add_terminal(cb_store *store, const char *name)
{
    cb_terminal_new terminal = {.name = name, .key = cb_sha256(cb_bytes_str(name))};
    cb_terminal added;
    need(cb_terminal_add(store, "bench", &terminal, &added), "terminal");
    return added.id;
}

void add_service(cb_store *store, const char *name)
{
    cb_service_new service = {.name = name, .title = name, .connector = "mtls", .level = 1};
    need(cb_service_add(store, "bench", &service), "service");
}

void add_citizen(cb_store *store, cb_id *holder, cb_id *card)
{
    cb_holder added;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    need(cb_holder_add(store, "bench", "Hanako", &added), "holder");
    *holder = added.id;
    *card = cb_id_new();
    cb_binding_info info = {
        .card = *card,
        .holder = *holder,
        .profile = CB_PROFILE_NATIVE,
        .level = 2,
        .keys = {.count = 1,
                 .key = {{.kind = CB_CARD_KEY_P256, .len = CB_P256_POINT, .data = {4}}}}};
    cb_binding_body_put(&binding, &info);
    put_mac(&binding);
    need(cb_card_add(store, "bench", cb_buf_bytes(&binding), (cb_bytes){0}, NULL), "card");
    need(cb_card_change(store, "bench", card, CB_CARD_ACTIVATE, NULL, NULL), "activation");
    cb_buf_free(&binding);
}

/* As long as a P-256 key is when it is wrapped. */
void add_key(cb_store *store, const cb_id *holder, const char *service)
{
    static const uint8_t wrapped[144];
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    cb_sealed_info key = {.key = cb_id_new(),
                          .holder = *holder,
                          .algorithm = CB_KEY_EC_P256,
                          .level = 1,
                          .uses = 1,
                          .generation = 1};
    snprintf(key.service, sizeof key.service, "%s", service);
    cb_sealed_body_put(&sealed, &key, (cb_bytes){0}, CB_BYTES_OF(wrapped));
    put_mac(&sealed);
    cb_enrolment_new enrolment = {
        .holder = *holder, .service = service, .sealed = cb_buf_bytes(&sealed)};
    need(cb_enrolment_add(store, "bench", &enrolment, NULL), "enrolment");
    cb_buf_free(&sealed);
}

/* ---- Taps ---- */

void tap_once(cb_store *store, const tapped *who, int64_t *t1, int64_t *t2)
{
    cb_intent_grant grant;
    cb_intent_request request = {.context = {.tap = cb_id_random(),
                                             .terminal = who->terminal,
                                             .profile = 1,
                                             .purpose = CB_TAP_AUTHENTICATE,
                                             .level = 1},
                                 .card = who->card,
                                 .holder = who->holder,
                                 .reached = 2};
    snprintf(request.context.service, sizeof request.context.service, "%s", who->service);
    int64_t began = cb_clock_monotonic_us();
    cb_intent_grant_init(&grant);
    need(cb_decide_intent(store, &request, &grant), "T1");
    cb_intent_grant_free(&grant);
    int64_t between = cb_clock_monotonic_us();
    cb_result_request result = {.tap = request.context.tap};
    need(cb_decide_result(store, &result), "T2");
    *t1 = between - began;
    *t2 = cb_clock_monotonic_us() - between;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t quantile(int64_t *us, size_t count, unsigned per_mille)
{
    qsort(us, count, sizeof *us, compare);
    return us[count * per_mille / 1000];
}

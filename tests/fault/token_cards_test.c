/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards whose keys come from a master key in the HSM, and certificates that the terminal CA there
 * makes, while each call to the token fails in turn.
 */
#include "tests/fault/token_flows.h"

#include "base/clock.h"
#include "cardlink/card/content.h"
#include "cardlink/card/scp03/application.h"
#include "cardlink/foreign.h"
#include "cardlink/issuer/scp03.h"
#include "cardlink/x509/certificate.h"
#include "cardlink/x509/request.h"
#include "cardlink/x509/signature.h"
#include "hsm/terminal_certificate.h"

static const uint8_t kdd[CB_SCP03_KDD] = {1, 2, 3};
static cb_scp03_plain_master another_master = {.len = 32, .key = {0x78}};
static cb_vcard *genuine, *forged; /* the same card, the second from the other master key */
static cb_buf card_binding = {.max = CB_BINDING_MAX};
static cb_buf ca = {.max = CB_PUBLIC_KEY_MAX}; /* the public half of the terminal CA's key */
static flows_secret first, renewed;

/* ---- SCP03 cards ---- */

static const uint8_t no_keys[sizeof(cb_scp03_keys)];

/* The keys are the card's, or none. */
static cb_error derive(void *context)
{
    flows *t = context;
    cb_scp03_keys keys, expected;
    const cb_scp03_master own = cb_scp03_master_of(&t->master);
    const cb_profile_host *host = &t->use.host->profile;
    const cb_scp03_master in_hsm = {host->cmac, host->keys, host->cmac_key_len};
    MUST(cb_scp03_diversify(&own, kdd, &expected));
    memset(&keys, 0xA5, sizeof keys);
    cb_error error = cb_scp03_diversify(&in_hsm, kdd, &keys);
    if (memcmp(&keys, error ? (const void *)no_keys : &expected, sizeof keys) != 0)
        error = FLOWS_WRONG;
    return flows_judge(error);
}

static void ask_card(const flows_answerer *who, const cb_tap_context *context, cb_bytes command,
                     cb_buf *out)
{
    (void)context;
    cb_vcard_process(who->card, command, out);
}

static cb_error tap_card(flows *t, cb_vcard *card)
{
    const flows_answerer who = {.answer = ask_card, .t = t, .card = card};
    cb_tap_context context = {.terminal = t->terminal,
                              .profile = CB_PROFILE_SCP03,
                              .purpose = CB_TAP_AUTHENTICATE,
                              .level = CB_LEVEL_POSSESSION,
                              .service = "tax"};
    cb_binding_info info;
    MUST(cb_binding_info_read(cb_buf_bytes(&card_binding), &info));
    cb_vcard_reset(card);
    cb_error error = flows_prove(&who, &context, &card_binding);
    return error ? error : flows_activate(&who, &context, &card_binding, &info.card);
}

static cb_error tap_genuine(void *context)
{
    flows *t = context;
    return flows_judge(tap_card(t, genuine));
}

static cb_error tap_forged(void *context)
{
    flows *t = context;
    return flows_refused(tap_card(t, forged), CB_E_CARD_PROOF);
}

static void cards_are_told_apart(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    flows_no_tap_left(context);
    MUST(derive(context));
    MUST(tap_genuine(context));
    MUST(tap_forged(context));
    flows_nothing_left(context);
    flows_kept_nothing(context);
}

/* ---- Opening ---- */

static void close_vault(void *context)
{
    flows *t = context;
    flows_remember(t);
    cb_vault_keyring_close(&t->vault);
}

static void it_can_be_opened(void *context, cb_error result, bool struck)
{
    flows *t = context;
    if (!t->vault.keyring)
        MUST(flows_open(t));
    cards_are_told_apart(context, result, struck);
}

/* ---- Terminals ---- */

/* By the terminal CA, of this key (NULL: any). */
static bool is_genuine(const cb_buf *der, const flows_secret *key)
{
    cb_x509 read;
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX);
    if (key)
        cb_x509_put_key(&spki, key->point);
    bool good = cb_x509_parse(cb_buf_bytes(der), &read) == CB_OK && read.is_ca == !key &&
                cb_bytes_same(read.public_key, key ? cb_buf_bytes(&spki) : cb_buf_bytes(&ca)) &&
                cb_x509_signature_check(cb_buf_bytes(&ca), read.signature_algorithm,
                                        read.signed_bytes, read.signature) == CB_OK;
    cb_buf_free(&spki);
    return good;
}

static cb_error certify(flows *t, const flows_secret *key)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), request = CB_BUF(CB_X509_REQUEST_MAX),
           out = CB_BUF(CB_TERMINAL_CERTIFICATE_MAX);
    MUST(cb_x509_request_make(key->scalar, "terminal", &request));
    cb_put_id(&body, &t->terminal);
    cb_buf_put_var(&body, cb_buf_bytes(&request));
    cb_error error = flows_ask(&t->use, CB_HSM_CERTIFY, &body, &out);
    if (!error && !is_genuine(&out, key))
        error = FLOWS_WRONG;
    cb_buf_free(&request);
    cb_buf_free(&out);
    return error;
}

static cb_error enrol_and_renew(void *context)
{
    flows *t = context;
    cb_error error = certify(t, &first);
    return flows_judge(error ? error : certify(t, &renewed));
}

static cb_error certify_ca(void *context)
{
    flows *t = context;
    const cb_vault *vault = &t->vault.vault;
    cb_buf out = CB_BUF(CB_TERMINAL_CERTIFICATE_MAX);
    cb_error error = cb_terminal_ca_make(vault, cb_clock_wall_us() / CB_SECOND, &out);
    if (error && out.len > 0)
        error = FLOWS_WRONG;
    if (!error && !is_genuine(&out, NULL))
        error = FLOWS_WRONG;
    cb_buf_free(&out);
    return flows_judge(error);
}

static void certificates_are_made(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    MUST(enrol_and_renew(context));
    MUST(certify_ca(context));
    flows_nothing_left(context);
    flows_kept_nothing(context);
}

static const fault_flow flow[] = {
    {"deriving a card's keys", flows_remember, derive, cards_are_told_apart},
    {"a tap of an SCP03 card", flows_remember, tap_genuine, cards_are_told_apart},
    {"a tap of a forged SCP03 card", flows_remember, tap_forged, cards_are_told_apart},
    {"opening", close_vault, flows_open, it_can_be_opened},
    {"certifying a terminal", flows_remember, enrol_and_renew, certificates_are_made},
    {"the terminal CA's certificate", flows_remember, certify_ca, certificates_are_made},
};

/* ---- Making them ---- */

static void make_card(cb_scp03_plain_master *from, cb_vcard **out)
{
    cb_vscp03_state scp03;
    cb_card_content content = {0};
    cb_buf state = CB_BUF(CB_CARD_STATE_MAX);
    const cb_scp03_master master = cb_scp03_master_of(from);
    MUST(cb_vscp03_make(&master, 0x30, kdd, &scp03));
    cb_vscp03_state_put(&state, &scp03);
    MUST(cb_card_content_set_atr(&content, CB_BYTES_OF(cb_vscp03_atr)));
    MUST(cb_card_content_add(&content, &cb_applet_scp03, cb_buf_bytes(&state)));
    MUST(cb_vcard_of(&content, NULL, out));
    cb_buf_free(&state);
}

static void bind_card(flows *t)
{
    cb_binding_info info = {.holder = t->holder,
                            .profile = CB_PROFILE_SCP03,
                            .level = CB_LEVEL_POSSESSION,
                            .sequence = 1};
    info.card = cb_foreign_card_id(CB_PROFILE_SCP03, CB_BYTES_OF(kdd));
    MUST(t->vault.vault.binding_make(&t->vault, &info, &card_binding));
}

static void make(flows *t)
{
    make_card(&t->master, &genuine);
    make_card(&another_master, &forged);
    bind_card(t);
    MUST(cb_p256_generate(first.scalar, first.point));
    MUST(cb_p256_generate(renewed.scalar, renewed.point));
    MUST(t->vault.vault.public_key(&t->vault, CB_TERMINAL_CA_KEY, &ca));
}

static void end(flows *t)
{
    (void)t;
    cb_vcard_close(&genuine);
    cb_vcard_close(&forged);
    cb_buf_free(&card_binding);
    cb_buf_free(&ca);
}

int main(void)
{
    return flows_main(&(flows_program){
        .flow = flow, .count = sizeof flow / sizeof *flow, .made = make, .gone = end});
}

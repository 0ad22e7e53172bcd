/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/initialise.h"

#include <stdlib.h>

#include "base/log.h"
#include "hsm/card_pair.h"
#include "hsm/keyring_names.h"
#include "hsm/make_keys.h"
#include "hsm/softhsm.h"
#include "hsm/token_parts.h"

enum { SLOTS_MAX = 64 };

/* ---- Sessions of the officer and the user ---- */

static cb_error login_as(cb_token *token, CK_USER_TYPE who, const cb_buf *pin)
{
    token->f->C_Logout(token->session);
    CK_RV rv = token->f->C_Login(token->session, who, pin->data, pin->len);
    cb_error error = cb_token_note(token, who == CKU_SO ? "C_Login (officer)" : "C_Login", rv);
    return error ? CB_E_CONFIG : CB_OK;
}

static cb_error open_session(cb_token *token)
{
    CK_RV rv = token->f->C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                       &token->session);
    token->login = 1;
    return cb_token_note(token, "C_OpenSession", rv);
}

/* ---- The token ---- */

static cb_error empty_slot(cb_token *token)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    cb_error error =
        cb_token_note(token, "C_GetSlotList", token->f->C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; !error && i < count; i++) {
        CK_TOKEN_INFO info;
        if (token->f->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            !(info.flags & CKF_TOKEN_INITIALIZED)) {
            token->slot = slots[i];
            return CB_OK;
        }
    }
    return error ? error : cb_log_failure("token.slots", CB_E_CONFIG, "no slot holds an empty token");
}

static cb_error label_token(cb_token *token, const cb_initialise_options *options)
{
    CK_UTF8CHAR label[32];
    memset(label, ' ', sizeof label);
    memcpy(label, token->label, strlen(token->label));
    cb_error error = empty_slot(token);
    if (!error)
        error = cb_token_note(token, "C_InitToken",
                              token->f->C_InitToken(token->slot, options->so_pin->data,
                                                    options->so_pin->len, label));
    /* Initialising a token may give its slot another number. */
    return error ? error : cb_module_slot(token);
}

/* Of a new token, or of one whose making was interrupted. */
static cb_error give_pin(cb_token *token, const cb_initialise_options *options)
{
    CK_TOKEN_INFO info;
    cb_error error =
        cb_token_note(token, "C_GetTokenInfo", token->f->C_GetTokenInfo(token->slot, &info));
    if (error || (info.flags & CKF_USER_PIN_INITIALIZED))
        return error;
    error = login_as(token, CKU_SO, options->so_pin);
    if (!error)
        error = cb_token_note(token, "C_InitPIN",
                              token->f->C_InitPIN(token->session, options->pin->data,
                                                  options->pin->len));
    return error;
}

static cb_error open_token(cb_token *token, const cb_initialise_options *options)
{
    cb_error error = cb_module_slot(token);
    if (error == CB_E_NOT_FOUND && options->make_token)
        error = label_token(token, options);
    if (error)
        return error == CB_E_NOT_FOUND ? cb_log_failure("token.label", CB_E_CONFIG, token->label)
                                       : error;
    error = open_session(token);
    return error || !options->make_token ? error : give_pin(token, options);
}

/* ---- What is missing ---- */

static cb_error count_named(cb_token *token, CK_OBJECT_CLASS class, const char *label, size_t *count)
{
    CK_OBJECT_HANDLE handles[2];
    return cb_token_list(token, class, label, handles, 2, count);
}

static cb_error make_own_keys(cb_token *token, unsigned *made)
{
    size_t count;
    char label[48];
    cb_error error = count_named(token, CKO_SECRET_KEY, CB_LABEL_RECORDS, &count);
    if (!error && count == 0) {
        error = cb_make_record_key(token);
        *made += !error;
    }
    for (unsigned i = 0; i < CB_OWN_KEY_COUNT && !error; i++) {
        cb_own_key_label((cb_own_key)i, label);
        error = count_named(token, CKO_PRIVATE_KEY, label, &count);
        if (!error && count == 0) {
            error = cb_make_own_key(token, (cb_own_key)i);
            *made += !error;
        }
    }
    return error;
}

/* Whether a generation is complete, and the first number that nothing has. What an interrupted attempt left keeps its
 * number: nobody can tell it from a generation that somebody damaged, so nothing is ever destroyed here. */
static cb_error look_at_generations(cb_token *token, bool *complete, uint32_t *next)
{
    uint8_t kinds[CB_GENERATIONS_MAX + 1];
    cb_error error = cb_kek_survey(token, kinds);
    *complete = false;
    *next = 1;
    for (uint32_t g = 1; g <= CB_GENERATIONS_MAX && !error; g++) {
        *complete = *complete || kinds[g] == CB_KEK_KINDS;
        *next = kinds[g] > 0 ? g + 1 : *next;
    }
    return error;
}

static cb_error make_generation(cb_token *token, const cb_initialise_options *options,
                                uint32_t generation)
{
    CK_OBJECT_HANDLE seed = CK_INVALID_HANDLE;
    if (generation > CB_GENERATIONS_MAX)
        return CB_E_TOO_LARGE;
    cb_error error = login_as(token, CKU_SO, options->so_pin);
    if (!error)
        error = cb_make_trusted_seed(token, &seed);
    if (!error)
        error = login_as(token, CKU_USER, options->pin);
    if (!error)
        error = cb_make_generation(token, seed, generation);
    cb_token_destroy(token, &seed);
    return error;
}

/* ---- The two acts ---- */

typedef cb_error (*act)(cb_token *token, const cb_initialise_options *options, void *result);

static cb_error with_token(const cb_initialise_options *options, act what, void *result)
{
    int lock = -1;
    cb_token *token = calloc(1, sizeof *token);
    cb_error error = token ? cb_module_load(&options->token, token, &lock) : CB_E_MEMORY;
    if (!error)
        error = open_token(token, options);
    if (!error)
        error = login_as(token, CKU_USER, options->pin);
    if (!error)
        cb_softhsm_keep(&token->info);
    if (!error)
        error = what(token, options, result);
    /* Also where nothing was made: an attempt before this one may have failed here. */
    if (!error)
        error = cb_softhsm_sync(&token->info);
    cb_token_close(&token);
    cb_module_unlock(&lock);
    cb_buf_free(options->so_pin);
    cb_buf_free(options->pin);
    return error;
}

static cb_error complete(cb_token *token, const cb_initialise_options *options, void *result)
{
    unsigned *made = result;
    bool there = false;
    uint32_t next;
    cb_error error = make_own_keys(token, made);
    if (!error)
        error = look_at_generations(token, &there, &next);
    if (!error && !there) {
        error = make_generation(token, options, next);
        *made += error ? 0 : 3;
    }
    return error;
}

cb_error cb_hsm_initialise(const cb_initialise_options *options, unsigned *made)
{
    *made = 0;
    return with_token(options, complete, made);
}

static cb_error add(cb_token *token, const cb_initialise_options *options, void *result)
{
    uint32_t *generation = result;
    bool there;
    cb_error error = look_at_generations(token, &there, generation);
    if (error)
        return error;
    return make_generation(token, options, *generation);
}

cb_error cb_hsm_add_generation(const cb_initialise_options *options, uint32_t *generation)
{
    return with_token(options, add, generation);
}

static const cb_own_key pair_of[] = {CB_OWN_CARD_AGREEMENT, CB_OWN_CARD_SIGNATURE};
enum { PAIR = sizeof pair_of / sizeof *pair_of };

/* Which keys of a pair are not there. */
static cb_error look_at_pair(cb_token *token, unsigned number, bool missing[PAIR])
{
    char label[48];
    cb_error error = CB_OK;
    for (unsigned i = 0; i < PAIR && !error; i++) {
        size_t count = 0;
        cb_card_pair_label(pair_of[i], number, label);
        error = count_named(token, CKO_PRIVATE_KEY, label, &count);
        missing[i] = count == 0;
    }
    return error;
}

/* The officer is asked for his PIN although the user could make these keys: a new generation is his
 * to begin. */
static cb_error add_pair(cb_token *token, const cb_initialise_options *options, void *result)
{
    unsigned *number = result;
    bool missing[PAIR] = {false};
    cb_error error = CB_OK;
    for (*number = 2; *number <= CB_CARD_PAIRS_MAX && !error; ++*number) {
        error = look_at_pair(token, *number, missing);
        if (missing[0] || missing[1])
            break;
    }
    if (!error && *number > CB_CARD_PAIRS_MAX)
        error = CB_E_TOO_LARGE;
    if (!error)
        error = login_as(token, CKU_SO, options->so_pin);
    if (!error)
        error = login_as(token, CKU_USER, options->pin);
    for (unsigned i = 0; i < PAIR && !error; i++)
        error = missing[i] ? cb_make_card_key(token, pair_of[i], *number) : CB_OK;
    return error;
}

cb_error cb_hsm_add_card_pair(const cb_initialise_options *options, unsigned *number)
{
    return with_token(options, add_pair, number);
}

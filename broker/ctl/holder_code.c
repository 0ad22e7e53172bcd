/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * holder code, codes, withdraw: one-time codes with which holders register cards of their own.
 *
 * The code is made here, and shown here once: neither the front end nor hsmd ever has it, only by
 * what it is known. It is recorded first, then allowed by hsmd, and shown when both have been done.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "broker/ctl/card.h"
#include "broker/ctl/files.h"
#include "broker/ctl/holder.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

enum { DEFAULT_S = 7 * 86400 };

typedef struct code_order {
    cb_registration_grant grant;
    cb_id code;
    cb_id replaces; /* zero: none */
    const char *reason;
    char text[CB_CODE_TEXT];
} code_order;

static cb_ctl_status read_profiles(cb_ctl *ctl, const cb_ctl_args *args, uint8_t *out)
{
    for (unsigned i = 0; i < args->count; i++) {
        if (strcmp(args->given[i].option->name, "profile") != 0)
            continue;
        const cb_card_profile *profile = cb_profile_named(args->given[i].value);
        uint8_t bit = profile ? (uint8_t)(1 << profile->id) : 0;
        if (!(bit & CB_REGISTRATION_PROFILES))
            return cb_ctl_misuse(ctl, "--profile is piv, jpki or scp03");
        *out |= bit;
    }
    return CB_CTL_DONE;
}

static bool is_dead(const char *state)
{
    return strcmp(state, "revoked") == 0 || strcmp(state, "returned") == 0 ||
           strcmp(state, "destroyed") == 0;
}

/* cardbrokerd looks at it, too; here it is said what is wrong with it. */
static cb_ctl_status find_replaced(cb_ctl *ctl, const char *text, code_order *order)
{
    cb_id holder;
    char id[CB_ID_TEXT], path[64];
    json_t *card = NULL;
    cb_ctl_status status = cb_ctl_need_id(ctl, text, "a card", &order->replaces);
    if (status)
        return status;
    cb_id_text(&order->replaces, id);
    snprintf(path, sizeof path, "/v1/cards/%s", id);
    status = cb_ctl_call(ctl, "GET", path, NULL, &card);
    if (!status)
        status = cb_ctl_id_field(ctl, card, "holder", &holder);
    if (!status && !cb_id_same(&holder, &order->grant.holder))
        status = cb_ctl_misuse(ctl, "--in-place-of: card %s is another holder's", id);
    if (!status && is_dead(cb_ctl_text_field(card, "state")))
        status = cb_ctl_fail(ctl, CB_E_STATE,
                             "the card is ended already: make a code without --in-place-of");
    json_decref(card);
    return status;
}

static cb_ctl_status read_order(cb_ctl *ctl, const cb_ctl_args *args, code_order *order)
{
    uint64_t seconds = DEFAULT_S;
    const char *valid = cb_ctl_arg(args, "valid");
    cb_ctl_status status = read_profiles(ctl, args, &order->grant.profiles);
    if (!status)
        status = cb_ctl_level(ctl, cb_ctl_arg(args, "level"), &order->grant.level);
    if (!status && !cb_level_reaches(order->grant.level, CB_LEVEL_POSSESSION))
        status =
            cb_ctl_misuse(ctl, "--level is one that cards reach: possession, terminal-pin or pin");
    if (!status && valid &&
        (cb_ctl_duration(valid, &seconds) || seconds < CB_REGISTRATION_LEAST_S ||
         seconds > CB_REGISTRATION_MOST_S))
        status = cb_ctl_misuse(ctl, "--valid is a time such as 12h or 7d, at most 30d");
    order->grant.until = (cb_clock_wall_us() / CB_SECOND + (int64_t)seconds) * CB_SECOND;
    order->reason = cb_ctl_arg(args, "reason");
    const char *replaced = cb_ctl_arg(args, "in-place-of");
    if (!status)
        status = cb_ctl_find_holder(ctl, args->operand[0], &order->grant.holder);
    return status || !replaced ? status : find_replaced(ctl, replaced, order);
}

static cb_error make_code(code_order *order)
{
    char symbols[CB_CODE_SYMBOLS];
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_code_make(order->text);
    cb_error error = cb_code_read(cb_bytes_str(order->text), symbols);
    if (!error)
        error = cb_registration_key(symbols, scalar, point);
    if (!error)
        order->code = cb_registration_id(point);
    cb_wipe(symbols, sizeof symbols);
    cb_wipe(scalar, sizeof scalar);
    return error;
}

static json_t *profile_names(uint8_t profiles)
{
    json_t *list = json_array();
    for (uint8_t id = 1; list && id < 8; id++) {
        if (profiles & 1 << id)
            json_array_append_new(list, json_string(cb_profile_find(id)->name));
    }
    return list;
}

static cb_ctl_status record(cb_ctl *ctl, const code_order *order, json_t **made)
{
    char code[CB_ID_TEXT], holder[CB_ID_TEXT];
    cb_id_text(&order->code, code);
    cb_id_text(&order->grant.holder, holder);
    json_t *body = json_pack("{s:s,s:s,s:o,s:i,s:I}", "code", code, "holder", holder, "profiles",
                             profile_names(order->grant.profiles), "level", (int)order->grant.level,
                             "until", (json_int_t)(order->grant.until / CB_SECOND));
    if (body && !cb_id_is_zero(&order->replaces)) {
        char replaced[CB_ID_TEXT];
        cb_id_text(&order->replaces, replaced);
        cb_ctl_put_text(&body, "replaces", replaced);
    }
    if (body && order->reason)
        cb_ctl_put_text(&body, "reason", order->reason);
    cb_ctl_status status = body ? cb_ctl_call(ctl, "POST", "/v1/registrations", body, made)
                                : cb_ctl_fail_text(ctl, "--reason", order->reason);
    json_decref(body);
    return status;
}

static cb_ctl_status allow(cb_ctl *ctl, const code_order *order)
{
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_error error =
        hsm ? cb_hsm_registration_allow(hsm, &order->code, &order->grant) : CB_E_MEMORY;
    return error ? cb_ctl_fail_hsm(ctl, error,
                                   "the code is on record, but hsmd does not allow it, and nobody "
                                   "was shown it: run this command again")
                 : CB_CTL_DONE;
}

static cb_ctl_status show(cb_ctl *ctl, const code_order *order, json_t *made)
{
    if (json_object_set_new(made, "secret", json_string(order->text)) != 0)
        return cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    const char *replaced = cb_ctl_text_field(made, "replaces");
    cb_ctl_status status = cb_ctl_done(
        ctl, made, "registration %s\nregistration code: %s (until %s%s%s)",
        cb_ctl_text_field(made, "code"), order->text, cb_ctl_text_field(made, "expires"),
        *replaced ? "; in place of card " : "", replaced);
    if (!status)
        cb_ctl_note(ctl,
                    "Nobody can show the code again. The holder says it at a terminal, with his "
                    "card: cardlink register");
    return status;
}

cb_ctl_status cb_ctl_holder_code(cb_ctl *ctl, const cb_ctl_args *args)
{
    code_order order = {.grant = {.level = CB_LEVEL_TERMINAL_PIN}};
    json_t *made = NULL;
    cb_ctl_status status = read_order(ctl, args, &order);
    if (!status && make_code(&order))
        status = cb_ctl_fail(ctl, CB_E_CRYPTO, NULL);
    if (!status)
        status = record(ctl, &order, &made);
    if (!status)
        status = allow(ctl, &order);
    if (!status)
        status = show(ctl, &order, made);
    json_decref(made);
    cb_wipe(&order, sizeof order);
    return status;
}

/* ---- What became of them ---- */

static const cb_ctl_column columns[] = {{"CODE", "code"},
                                        {"HOLDER", "holder"},
                                        {"STATE", "state"},
                                        {"AT HSMD", "hsmd"},
                                        {"ALLOWED BY", "operator"},
                                        {"UNTIL", "expires"},
                                        {"CARD", "card"},
                                        {"TERMINAL", "terminal"},
                                        {"IN PLACE OF", "replaces"},
                                        {0}};

/* What hsmd has of a code that the record has as open: "used" if it bound a card that nobody
 * recorded, for which the holder says the code again; "unknown" if it was recorded and never
 * allowed. */
static const char *state_at(cb_hsm *hsm, const cb_id *code)
{
    cb_registration_grant grant;
    cb_error error = hsm ? cb_hsm_registration_state(hsm, code, &grant) : CB_E_HSM_DOWN;
    if (error)
        return error == CB_E_NOT_FOUND ? "unknown" : "not asked";
    if (grant.state == CB_REGISTRATION_WITHDRAWN)
        return "withdrawn";
    if (grant.state == CB_REGISTRATION_USED)
        return "used";
    return grant.wrong >= CB_REGISTRATION_TRIES ? "tried too often" : "open";
}

static void add_state(cb_ctl *ctl, json_t *row)
{
    cb_id code;
    const char *state = cb_ctl_text_field(row, "state");
    bool open = strcmp(state, "open") == 0 && !cb_id_parse(cb_ctl_text_field(row, "code"), &code);
    json_object_set_new(row, "hsmd", json_string(open ? state_at(cb_ctl_hsm(ctl), &code) : state));
}

cb_ctl_status cb_ctl_holder_codes(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id holder;
    char text[CB_ID_TEXT], path[96] = "/v1/registrations";
    json_t *rows = NULL;
    cb_ctl_status status = CB_CTL_DONE;
    if (args->operand[0]) {
        status = cb_ctl_find_holder(ctl, args->operand[0], &holder);
        cb_id_text(&holder, text);
        snprintf(path, sizeof path, "/v1/registrations?holder=%s", text);
    }
    if (!status)
        status = cb_ctl_collect(ctl, path, "registrations", 0, &rows);
    for (size_t i = 0; !status && i < json_array_size(rows); i++)
        add_state(ctl, json_array_get(rows, i));
    if (!status)
        status = cb_ctl_table(ctl, rows, columns);
    json_decref(rows);
    return status;
}

/* hsmd first: what is on record as withdrawn opens nothing. One that it does not know was recorded,
 * and never allowed. One that it has as used is the record's to judge: if that has no card for it,
 * none comes any more. */
cb_ctl_status cb_ctl_holder_withdraw(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id code;
    char text[CB_ID_TEXT], path[96];
    json_t *made = NULL, *body = NULL;
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a code (holder codes)", &code);
    if (status)
        return status;
    cb_id_text(&code, text);
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_error error = hsm ? cb_hsm_registration_withdraw(hsm, &code) : CB_E_MEMORY;
    if (error && error != CB_E_NOT_FOUND && error != CB_E_STATE)
        return cb_ctl_fail_hsm(ctl, error, "the code was not withdrawn");
    snprintf(path, sizeof path, "/v1/registrations/%s/withdraw", text);
    body = json_object();
    cb_ctl_put_text(&body, "reason", cb_ctl_arg(args, "reason"));
    status = body ? cb_ctl_call(ctl, "POST", path, body, &made)
                  : cb_ctl_fail_text(ctl, "--reason", cb_ctl_arg(args, "reason"));
    if (!status)
        status = cb_ctl_done(ctl, made, "code %s withdrawn%s", text,
                             error == CB_E_STATE ? "; the card that was bound by it is not taken, "
                                                   "and can become nobody else's"
                                                 : "");
    json_decref(made);
    json_decref(body);
    return status;
}

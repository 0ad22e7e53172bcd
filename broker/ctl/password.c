/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Passwords. The holder types his own, at the desk of an administrator. It is made a key of here
 * (cardlink/password/password.h), and what leaves this program is the public half.
 */
#include "cardlink/password/password.h"

#include "base/clock.h"
#include "base/code.h"
#include "base/secret.h"
#include "base/text.h"
#include "broker/ctl/card.h"
#include "broker/ctl/commands.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"
#include "broker/ctl/secret_in.h"

enum { ONCE_S = 7 * 86400, LATE_S = 60 /* until hsmd has it */ };

static const cb_ctl_column columns[] = {{"password", "id"},
                                        {"holder", "holder"},
                                        {"state", "state"},
                                        {"binding", "sequence"},
                                        {"created", "created"},
                                        {"changed", "changed"},
                                        {0}};

typedef struct password {
    char name[CB_PASSWORD_NAME_MAX + 1];
    cb_id id;
    char text[CB_ID_TEXT];
    uint8_t point[CB_P256_POINT];
    char once[CB_CODE_TEXT]; /* the password, if it is given to be changed */
    int64_t expires;         /* of one that is given to be changed; 0: it is the holder's own */
    cb_buf before;           /* the binding that it has */
} password;

static cb_ctl_status named(cb_ctl *ctl, const cb_ctl_args *args, password *p)
{
    *p = (password){.before = CB_BUF(CB_BINDING_MAX)};
    if (cb_password_name(args->operand[0], p->name))
        return cb_ctl_misuse(ctl,
                             "\"%s\" is no login name: 1 to 64 of a-z, 0-9 and . _ @ + -, "
                             "the first of them a letter or a digit",
                             args->operand[0]);
    p->id = cb_password_id(p->name);
    cb_id_text(&p->id, p->text);
    return CB_CTL_DONE;
}

/* One that the holder has to change, made here, and told to the administrator at the end. */
static cb_ctl_status give(cb_ctl *ctl, const cb_ctl_args *args, password *p, cb_buf *typed)
{
    uint64_t seconds = ONCE_S;
    const char *valid = cb_ctl_arg(args, "valid");
    if (cb_ctl_arg(args, "password-fd"))
        return cb_ctl_misuse(ctl, "--once makes a password: --password-fd gives none");
    if (valid && (cb_ctl_duration(valid, &seconds) || seconds == 0 ||
                  seconds > CB_PASSWORD_ONCE_MOST_S - LATE_S))
        return cb_ctl_misuse(ctl, "--valid is a time such as 12h or 7d, less than 30 days");
    cb_code_make(p->once);
    p->expires = cb_clock_wall_us() + (int64_t)seconds * CB_SECOND;
    cb_buf_put_str(typed, p->once);
    return cb_buf_error(typed) ? cb_ctl_fail(ctl, CB_E_MEMORY, NULL) : CB_CTL_DONE;
}

static cb_ctl_status take(cb_ctl *ctl, const cb_ctl_args *args, password *p, cb_buf *typed)
{
    if (cb_ctl_arg(args, "once"))
        return give(ctl, args, p, typed);
    if (cb_ctl_arg(args, "valid"))
        return cb_ctl_misuse(ctl, "--valid is of a password that is given --once");
    cb_ctl_status status = cb_ctl_password(ctl, cb_ctl_arg(args, "password-fd"), typed);
    if (!status && cb_password_fit(cb_buf_bytes(typed), p->name))
        status = cb_ctl_fail(ctl, CB_E_PASSWORD_FORMAT, "nothing was done");
    return status;
}

/* Asks for the password and makes the key of it. */
static cb_ctl_status ask(cb_ctl *ctl, const cb_ctl_args *args, password *p)
{
    uint8_t salt[CB_PASSWORD_SALT], scalar[CB_P256_SCALAR];
    cb_buf typed = CB_BUF(CB_PASSWORD_MAX);
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_error error = hsm ? cb_hsm_password_salt(hsm, &p->id, salt) : CB_E_MEMORY;
    if (error)
        return cb_ctl_fail_hsm(ctl, error, "hsmd gave no salt; nothing was done");
    cb_ctl_status status = take(ctl, args, p, &typed);
    if (!status) {
        error = cb_password_key(cb_buf_bytes(&typed), salt, &p->id, scalar);
        if (!error)
            error = cb_p256_public(scalar, p->point);
        cb_wipe(scalar, sizeof scalar);
        if (error)
            status = cb_ctl_fail(ctl, error, "nothing was done");
    }
    cb_buf_free(&typed);
    return status;
}

static cb_error bind(cb_hsm *hsm, const void *what, const cb_id *holder, uint8_t level,
                     uint64_t sequence, cb_buf *binding)
{
    const password *p = what;
    (void)level; /* it has one only */
    return cb_hsm_bind_password(hsm, &p->id, p->point, holder, sequence, p->expires,
                                cb_buf_bytes(&p->before), binding);
}

/* What was done; a password that was made here is shown this once. */
static cb_ctl_status tell_once(cb_ctl *ctl, const password *p, json_t *said, const char *what)
{
    char until[CB_TIME_TEXT];
    if (!p->once[0])
        return cb_ctl_done(ctl, said, "password of %s %s (%s)", p->name, what, p->text);
    cb_time_text(p->expires, until);
    json_object_set_new(said, "password", json_string(p->once));
    json_object_set_new(said, "expires", json_string(until));
    return cb_ctl_done(
        ctl, said,
        "password of %s %s (%s): %s (shown this once; it opens nothing, and has to be "
        "changed by %s: cardlink password change)",
        p->name, what, p->text, p->once, until);
}

/* hsmd would bind another password to a name that has one, and believe the recorded one no more. */
static cb_ctl_status is_free(cb_ctl *ctl, const password *p)
{
    char path[64];
    cb_ctl_answer answer = {0};
    snprintf(path, sizeof path, "/v1/cards/%s", p->text);
    cb_ctl_status status = cb_ctl_ask(ctl, "GET", path, NULL, &answer);
    if (!status && answer.status == 200)
        status =
            cb_ctl_fail(ctl, CB_E_EXISTS, "that name has a password: password reset sets another");
    else if (!status && answer.status != 404)
        status = cb_ctl_problem(ctl, &answer);
    cb_ctl_answer_free(&answer);
    return status;
}

static cb_ctl_status set(cb_ctl *ctl, const cb_ctl_args *args)
{
    password p;
    cb_id holder;
    json_t *card = NULL;
    const cb_ctl_record record = {.path = "/v1/cards"};
    cb_ctl_status status = named(ctl, args, &p);
    if (!status)
        status = cb_ctl_find_holder(ctl, cb_ctl_arg(args, "holder"), &holder);
    if (!status)
        status = is_free(ctl, &p);
    if (!status)
        status = ask(ctl, args, &p);
    if (!status)
        status = cb_ctl_card_bind(ctl, &(cb_ctl_card){.profile = CB_PROFILE_PASSWORD, .id = p.id}, &holder,
                                  CB_LEVEL_PASSWORD, bind, &p, (cb_bytes){0}, &record, &card);
    if (!status)
        status = cb_ctl_card_change(ctl, p.text, "activate", NULL);
    if (!status) {
        json_object_set_new(card, "state", json_string("active"));
        status = tell_once(ctl, &p, card, "set");
    }
    json_decref(card);
    cb_wipe(&p, sizeof p);
    return status;
}

/* ---- Another password for a name ---- */

static cb_ctl_status read_before(cb_ctl *ctl, password *p, cb_id *holder)
{
    char path[64];
    json_t *answer = NULL;
    snprintf(path, sizeof path, "/v1/cards/%s/binding", p->text);
    cb_ctl_status status = cb_ctl_call(ctl, "GET", path, NULL, &answer);
    const char *hex = json_string_value(json_object_get(answer, "binding"));
    const char *whose = json_string_value(json_object_get(answer, "holder"));
    if (!status &&
        (!hex || !whose || cb_id_parse(whose, holder) || cb_unhex(cb_bytes_str(hex), &p->before)))
        status = cb_ctl_fail(ctl, CB_E_PROTOCOL, "cardbrokerd's answer");
    json_decref(answer);
    return status;
}

/* What the old password opened ends now. One that is suspended already stays so until the end. */
static cb_ctl_status suspend(cb_ctl *ctl, const password *p, const char *reason)
{
    char path[64];
    json_t *card = NULL;
    snprintf(path, sizeof path, "/v1/cards/%s", p->text);
    cb_ctl_status status = cb_ctl_call(ctl, "GET", path, NULL, &card);
    const char *state = json_string_value(json_object_get(card, "state"));
    if (!status && state && strcmp(state, "suspended") != 0)
        status = cb_ctl_card_change(ctl, p->text, "suspend", reason);
    json_decref(card);
    return status;
}

static cb_ctl_status tell(cb_ctl *ctl, const password *p, cb_bytes binding)
{
    char path[64];
    json_t *body = json_pack("{s:o}", "binding", cb_ctl_hex(binding));
    snprintf(path, sizeof path, "/v1/cards/%s/renew", p->text);
    cb_ctl_status status =
        body ? cb_ctl_call(ctl, "POST", path, body, NULL) : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    json_decref(body);
    return status;
}

/* Bound first: a password that hsmd does not take leaves all as it was. */
static cb_ctl_status replace(cb_ctl *ctl, password *p, const char *reason)
{
    cb_id holder;
    char text[CB_ID_TEXT];
    uint64_t sequence = 0;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_ctl_status status = read_before(ctl, p, &holder);
    if (!status) {
        cb_id_text(&holder, text);
        status = cb_ctl_next_sequence(ctl, text, &sequence);
    }
    if (!status) {
        cb_error error = bind(cb_ctl_hsm(ctl), p, &holder, CB_LEVEL_PASSWORD, sequence, &binding);
        if (error == CB_E_HSM_KEY_RETIRED)
            status = cb_ctl_fail(ctl, CB_E_PASSWORD_FORMAT,
                                 "it was this name's password before; nothing was done");
        else if (error)
            status = cb_ctl_fail_hsm(ctl, error, "hsmd did not take it; nothing was recorded");
    }
    if (!status)
        status = suspend(ctl, p, reason);
    if (!status)
        status = tell(ctl, p, cb_buf_bytes(&binding));
    if (!status)
        status = cb_ctl_card_resume(ctl, &p->id);
    cb_buf_free(&binding);
    return status;
}

static cb_ctl_status reset(cb_ctl *ctl, const cb_ctl_args *args)
{
    password p;
    cb_ctl_status status = named(ctl, args, &p);
    if (!status)
        status = ask(ctl, args, &p);
    if (!status)
        status = replace(ctl, &p, cb_ctl_arg(args, "reason"));
    if (!status) {
        json_t *now = json_pack("{s:s,s:s}", "id", p.text, "state", "active");
        status = tell_once(ctl, &p, now, "reset");
        json_decref(now);
    }
    cb_buf_free(&p.before);
    cb_wipe(&p, sizeof p);
    return status;
}

/* ---- The rest ---- */

static cb_ctl_status revoke(cb_ctl *ctl, const cb_ctl_args *args)
{
    password p;
    cb_ctl_status status = named(ctl, args, &p);
    if (!status)
        status = cb_ctl_card_change(ctl, p.text, "revoke", cb_ctl_arg(args, "reason"));
    if (!status) {
        json_t *now = json_pack("{s:s,s:s}", "id", p.text, "state", "revoked");
        status = cb_ctl_done(ctl, now, "password of %s revoked, and the name with it", p.name);
        json_decref(now);
    }
    return status;
}

static cb_ctl_status unlock(cb_ctl *ctl, const cb_ctl_args *args)
{
    password p;
    cb_ctl_status status = named(ctl, args, &p);
    cb_hsm *hsm = status ? NULL : cb_ctl_hsm(ctl);
    if (status)
        return status;
    cb_error error = hsm ? cb_hsm_password_forgive(hsm, &p.id) : CB_E_MEMORY;
    if (error)
        return cb_ctl_fail_hsm(ctl, error, "nothing was done");
    json_t *now = json_pack("{s:s}", "id", p.text);
    status = cb_ctl_done(ctl, now, "wrong guesses at the password of %s forgotten", p.name);
    json_decref(now);
    return status;
}

static cb_ctl_status show(cb_ctl *ctl, const cb_ctl_args *args)
{
    password p;
    char path[64];
    json_t *card = NULL;
    cb_ctl_status status = named(ctl, args, &p);
    snprintf(path, sizeof path, "/v1/cards/%s", p.text);
    if (!status)
        status = cb_ctl_call(ctl, "GET", path, NULL, &card);
    if (!status)
        status = cb_ctl_object(ctl, card, columns);
    json_decref(card);
    return status;
}

#define FROM                                                                                       \
    {                                                                                              \
        "password-fd", "N", "read it from descriptor N instead of asking for it twice", false,     \
            false                                                                                  \
    }
#define ONCE                                                                                       \
    {"once", NULL, "make one that the holder has to change, and show it", false, false},           \
    {                                                                                              \
        "valid", "TIME", "how long it can be changed (default 7d)", false, false                   \
    }
#define REASON                                                                                     \
    {                                                                                              \
        "reason", "WORD", "a short word for the record, such as lost", false, false                \
    }
static const cb_ctl_option set_options[] = {
    {"holder", "HOLDER", "whose it is: identifier or exact name", true, false}, FROM, ONCE, {0}};
static const cb_ctl_option reset_options[] = {FROM, ONCE, REASON, {0}};
static const cb_ctl_option revoke_options[] = {REASON, {0}};

const cb_ctl_command cb_ctl_password_commands[] = {
    {"password", "set", "NAME", 1, 1, set_options,
     "Give a holder a login name and a password, which he types", set},
    {"password", "reset", "NAME", 1, 1, reset_options,
     "End a password and all that it opened, at once, and set another", reset},
    {"password", "revoke", "NAME", 1, 1, revoke_options,
     "End a password and its name for good, at once", revoke},
    {"password", "unlock", "NAME", 1, 1, NULL,
     "Forget the wrong guesses at a password, so that nobody has to wait", unlock},
    {"password", "show", "NAME", 1, 1, NULL, "Show what is recorded of a password", show},
    {0}};

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What administrators do with cards that there are.
 */
#include "broker/ctl/card.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/ctl/commands.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/many.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

/* How long the front end may take to tell hsmd, and how often to look. */
#define RESUME_TIME (15 * CB_SECOND)
enum { RESUME_LOOK = 50 /* milliseconds */ };

static const cb_ctl_column columns[] = {{"CARD", "id"},         {"HOLDER", "holder"},
                                        {"STATE", "state"},     {"LEVEL", "level"},
                                        {"CHANGED", "changed"}, {0}};

static const cb_ctl_column all_columns[] = {
    {"card", "id"},         {"holder", "holder"},   {"state", "state"},
    {"profile", "profile"}, {"level", "level"},     {"binding", "sequence"},
    {"created", "created"}, {"changed", "changed"}, {"expires", "expires"},
    {"own last day", "own_expires"},
    {"due back", "due"},    {"generation", "generation"}, CB_CTL_FAILURES, {0}};

cb_ctl_status cb_ctl_level(cb_ctl *ctl, const char *text, uint8_t *level)
{
    if (!text)
        return CB_CTL_DONE;
    *level = cb_level_parse(text);
    if (!cb_level_ok(*level))
        return cb_ctl_misuse(
            ctl, "\"%s\" is not a level: password (4), possession (1), terminal-pin (3) or pin (2)", text);
    return CB_CTL_DONE;
}

cb_ctl_status cb_ctl_card_change(cb_ctl *ctl, const char *card, const char *act, const char *reason)
{
    char path[96];
    json_t *body = reason ? json_pack("{s:s}", "reason", reason) : json_object();
    snprintf(path, sizeof path, "/v1/cards/%s/%s", card, act);
    cb_ctl_status status = body ? cb_ctl_call(ctl, "POST", path, body, NULL)
                                : cb_ctl_fail_text(ctl, "the reason", reason);
    json_decref(body);
    return status;
}

static cb_ctl_status issue(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id holder;
    uint8_t level = CB_LEVEL_PIN;
    cb_buf certificate = CB_BUF(4096);
    json_t *card = NULL;
    cb_ctl_record record = {.path = "/v1/cards"};
    cb_ctl_status status = cb_ctl_level(ctl, cb_ctl_arg(args, "level"), &level);
    if (!status)
        status = cb_ctl_read_cvc(ctl, cb_ctl_arg(args, "certificate"), &certificate);
    if (!status)
        status = cb_ctl_find_holder(ctl, cb_ctl_arg(args, "holder"), &holder);
    if (!status)
        status = cb_ctl_issue_fields(ctl, args, &record.fields);
    if (!status)
        status = cb_ctl_card_issue(ctl, &holder, cb_buf_bytes(&certificate), level, &record, &card);
    if (!status)
        status = cb_ctl_card_made(ctl, args, card, "issued");
    json_decref(record.fields);
    json_decref(card);
    cb_buf_free(&certificate);
    return status;
}

static cb_ctl_status change(cb_ctl *ctl, const cb_ctl_args *args, const char *act,
                            const char *state)
{
    cb_id id;
    char text[CB_ID_TEXT];
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a card", &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    status = cb_ctl_card_change(ctl, text, act, cb_ctl_arg(args, "reason"));
    if (status)
        return status;
    json_t *now = json_pack("{s:s,s:s}", "id", text, "state", state);
    status = cb_ctl_done(ctl, now, "card %s %s", text, state);
    json_decref(now);
    return status;
}

static cb_ctl_status activate(cb_ctl *ctl, const cb_ctl_args *args)
{
    return change(ctl, args, "activate", "active");
}

/* One that has expired, was suspended already or is not active yet is what it was, and the codes
 * for another in its place are withdrawn. */
static cb_ctl_status say_suspended(cb_ctl *ctl, const char *card, const json_t *answer)
{
    json_int_t codes = json_integer_value(json_object_get(answer, "codes_withdrawn"));
    const char *state = codes > 0 ? cb_ctl_text_field(answer, "state") : "suspended";
    json_t *now =
        codes > 0 ? json_pack("{s:s,s:s,s:I}", "id", card, "state", state, "codes_withdrawn", codes)
                  : json_pack("{s:s,s:s}", "id", card, "state", state);
    cb_ctl_status status =
        codes > 0 ? cb_ctl_done(ctl, now,
                                "card %s is %s, and stays so; registration codes in its place that "
                                "were withdrawn: %" JSON_INTEGER_FORMAT,
                                card, state, codes)
                  : cb_ctl_done(ctl, now, "card %s suspended", card);
    json_decref(now);
    return status;
}

static cb_ctl_status suspend(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[96];
    json_t *answer = NULL;
    const char *reason = cb_ctl_arg(args, "reason");
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a card", &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/cards/%s/suspend", text);
    json_t *body = reason ? json_pack("{s:s}", "reason", reason) : json_object();
    status = body ? cb_ctl_call(ctl, "POST", path, body, &answer)
                  : cb_ctl_fail_text(ctl, "the reason", reason);
    if (!status)
        status = say_suspended(ctl, text, answer);
    json_decref(answer);
    json_decref(body);
    return status;
}

/* hsmd does not take the front end's word for it that a suspended card is good again, so it is told
 * here; but it must have heard of the record first, which the front end passes on at once. */
static cb_error tell_hsmd(cb_ctl *ctl, const cb_id *card, bool wait)
{
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    int64_t deadline = cb_deadline_in(wait ? RESUME_TIME : 0);
    cb_error error = hsm ? CB_E_HSM_FEED_BEHIND : CB_E_MEMORY;
    while (error == CB_E_HSM_FEED_BEHIND) {
        error = cb_hsm_resume(hsm, card);
        if (cb_deadline_left_ms(deadline) == 0)
            break;
        if (error == CB_E_HSM_FEED_BEHIND)
            poll(NULL, 0, RESUME_LOOK);
    }
    return error;
}

/* A card that the record says is not suspended may still be so in hsmd: from a resumption that got
 * no further than the record. */
cb_ctl_status cb_ctl_card_resume(cb_ctl *ctl, const cb_id *id)
{
    char text[CB_ID_TEXT], path[96];
    cb_ctl_answer answer;
    cb_id_text(id, text);
    snprintf(path, sizeof path, "/v1/cards/%s/resume", text);
    json_t *body = json_object();
    cb_ctl_status status = cb_ctl_ask(ctl, "POST", path, body, &answer);
    json_decref(body);
    bool recorded = !status && answer.status >= 200 && answer.status <= 299;
    cb_error error =
        recorded || (!status && answer.status == 409) ? tell_hsmd(ctl, id, recorded) : CB_OK;
    if (!status && !recorded && (error || answer.status != 409))
        status = cb_ctl_problem(ctl, &answer);
    else if (!status && error)
        status = cb_ctl_fail_hsm(
            ctl, error,
            "the card is resumed in the record, but not in hsmd: run this command again");
    cb_ctl_answer_free(&answer);
    return status;
}

static cb_ctl_status resume(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT];
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a card", &id);
    if (!status)
        status = cb_ctl_card_resume(ctl, &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    json_t *now = json_pack("{s:s,s:s}", "id", text, "state", "active");
    status = cb_ctl_done(ctl, now, "card %s active", text);
    json_decref(now);
    return status;
}

static cb_ctl_status revoke_card(cb_ctl *ctl, const cb_ctl_args *args)
{
    return change(ctl, args, "revoke", "revoked");
}

static cb_ctl_status take_back(cb_ctl *ctl, const cb_ctl_args *args)
{
    return change(ctl, args, "return", "returned");
}

static cb_ctl_status destroy(cb_ctl *ctl, const cb_ctl_args *args)
{
    return change(ctl, args, "destroy", "destroyed");
}

static cb_ctl_status recall(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[96];
    const char *by = cb_ctl_arg(args, "by"), *reason = cb_ctl_arg(args, "reason");
    json_t *card = NULL;
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a card", &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/cards/%s/recall", text);
    json_t *body = json_object();
    cb_ctl_put_text(&body, "by", by);
    cb_ctl_put_text(&body, "reason", reason);
    status = body ? cb_ctl_call(ctl, "POST", path, body, &card)
                  : cb_ctl_fail_text(ctl, "--by or --reason", by);
    if (!status)
        status = by ? cb_ctl_done(ctl, card, "card %s is to be given back by %s", text, by)
                    : cb_ctl_done(ctl, card, "card %s is not asked for any more", text);
    json_decref(body);
    json_decref(card);
    return status;
}

static cb_ctl_status list(cb_ctl *ctl, const cb_ctl_args *args)
{
    const char *of = cb_ctl_arg(args, "holder");
    char path[96] = "/v1/cards", text[CB_ID_TEXT];
    cb_id holder;
    json_t *rows = NULL;
    cb_ctl_status status = of ? cb_ctl_find_holder(ctl, of, &holder) : CB_CTL_DONE;
    if (status)
        return status;
    if (of) {
        cb_id_text(&holder, text);
        snprintf(path, sizeof path, "/v1/cards?holder=%s", text);
    }
    status = cb_ctl_collect(ctl, path, "cards", 0, &rows);
    if (!status)
        status = cb_ctl_table(ctl, rows, columns);
    json_decref(rows);
    return status;
}

static cb_ctl_status show(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[64];
    json_t *card = NULL;
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "a card", &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/cards/%s", text);
    status = cb_ctl_call(ctl, "GET", path, NULL, &card);
    if (!status)
        status = cb_ctl_object(ctl, card, all_columns);
    json_decref(card);
    return status;
}

#define CERTIFICATE                                                                                \
    {                                                                                              \
        "certificate", "CVCFILE", "the card's own certificate, from its issuer", true, false       \
    }
#define LEVEL                                                                                      \
    {                                                                                              \
        "level", "LEVEL",                                                                          \
            "highest level of assurance: possession, terminal-pin or pin (the default)",           \
            false, false                                                                           \
    }
#define REASON(help)                                                                               \
    {                                                                                              \
        "reason", "WORD", help, false, false                                                       \
    }

static const cb_ctl_option issue_options[] = {
    {"holder", "HOLDER", "whose card it is: identifier or exact name", true, false},
    CERTIFICATE,
    LEVEL,
    CB_CTL_ISSUE_OPTIONS,
    {"activate", NULL, "activate it at once, where it is handed over in person", false, false},
    {0}};
static const cb_ctl_option many_options[] = {
    LEVEL,
    {"expires", "DAY", "an own last day of all, as 2031-03-31", false, false},
    {"station", "NAME", "the machine that they are issued at (default: this one's name)", false, false},
    {"activate", NULL, "activate them at once", false, false},
    CB_CTL_MANY_OPTIONS,
    {"suspension-codes", "FILE", "make a suspension code for each card, and write it there (a new file, for you alone)", false, false},
    {0}};
static const cb_ctl_option register_options[] = {
    {"holder", "HOLDER", "whose card it is: identifier or exact name", true, false},
    {"card", "FILE", "what cardlink read printed of the card", true, false},
    LEVEL,
    CB_CTL_ISSUE_OPTIONS,
    {"activate", NULL, "activate it at once, where its holder is there in person", false, false},
    {0}};
static const cb_ctl_option renew_options[] = {
    {"card", "FILE", "what cardlink read printed of the card", true, false}, {0}};
static const cb_ctl_option replace_options[] = {
    {"certificate", "CVCFILE", "the new card's own certificate, from its issuer", false, false},
    {"card", "FILE", "instead: what cardlink read printed of a new card that somebody else issued", false, false},
    LEVEL,
    CB_CTL_ISSUE_OPTIONS,
    REASON("why; with \"lost\" or \"stolen\" the old card is revoked first (default: replaced)"),
    {0}};
static const cb_ctl_option reason_options[] = {
    REASON("a short word for the record, such as lost, stolen, damaged"), {0}};
static const cb_ctl_option recall_options[] = {
    {"by", "DAY", "the last day to give it back, as 2031-03-31; it is revoked after that (default: it is not asked for any more)",
     false, false},
    REASON("a short word for the record"),
    {0}};
static const cb_ctl_option unblock_options[] = {
    {"terminal", "TERMINAL", "at which the holder types it: identifier or name", true, false},
    {"reason", "WORD", "a short word for the record, such as forgotten", true, false},
    {"valid", "TIME", "for how long, at most 1h (default: 10m)", false, false},
    {0}};
static const cb_ctl_option list_options[] = {
    {"holder", "HOLDER", "of one holder only: identifier or exact name", false, false}, {0}};

const cb_ctl_command cb_ctl_card_commands[] = {
    {"card", "issue", "", 0, 0, issue_options, "Bind a card to a holder and record it", issue},
    {"card", "issue-many", "FILE", 1, 1, many_options,
     "Issue a card for each line of a file; may be stopped and run again", cb_ctl_card_issue_many},
    {"card", "register", "", 0, 0, register_options,
     "Bind a card that somebody else issued to a holder and record it", cb_ctl_card_register},
    {"card", "register-many", "FILE", 1, 1, many_options,
     "Register a card that somebody else issued for each line of a file; may be stopped and run again",
     cb_ctl_card_register_many},
    {"card", "renew", "CARD", 1, 1, renew_options,
     "Take up the new certificates of a card that somebody else issued", cb_ctl_card_renew},
    {"card", "activate", "CARD", 1, 1, NULL, "Let an issued card be used", activate},
    {"card", "suspend", "CARD", 1, 1, reason_options, "Stop a card for a while, at once", suspend},
    {"card", "suspension-code", "CARD", 1, 1, NULL,
     "Make the code with which the holder suspends the card himself", cb_ctl_card_code},
    {"card", "resume", "CARD", 1, 1, NULL, "Let a suspended card be used again", resume},
    {"card", "unblock", "CARD", 1, 1, unblock_options,
     "Let the holder set a new PIN at a terminal, without the unblocking code",
     cb_ctl_card_unblock},
    {"card", "revoke", "CARD", 1, 1, reason_options, "End a card for good, at once", revoke_card},
    {"card", "recall", "CARD", 1, 1, recall_options, "Ask for a card to be given back by a day",
     recall},
    {"card", "return", "CARD", 1, 1, reason_options,
     "Take a card back; one that was not revoked is revoked with it", take_back},
    {"card", "destroy", "CARD", 1, 1, reason_options,
     "Record that a revoked or returned card was destroyed", destroy},
    {"card", "replace", "OLD", 1, 1, replace_options,
     "Give the holder of a card another one, and revoke the old", cb_ctl_card_replace},
    {"card", "list", "", 0, 0, list_options, "List cards", list},
    {"card", "show", "CARD", 1, 1, NULL, "Show one card", show},
    {0}};

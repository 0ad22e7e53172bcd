/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Terminals: known by the key of their certificate, limited to the services that are listed for
 * them.
 */
#include <string.h>

#include "broker/ctl/commands.h"
#include "broker/ctl/files.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

static const cb_ctl_column columns[] = {{"TERMINAL", "id"},
                                        {"NAME", "name"},
                                        {"STATE", "state"},
                                        {"KIND", "kind"},
                                        {"SERVICES", "services"},
                                        {"RATE", "rate"},
                                        {"SOFTWARE", "software.status"},
                                        {"SINCE", "created"},
                                        {0}};

static const cb_ctl_column all_columns[] = {{"terminal", "id"},
                                            {"name", "name"},
                                            {"state", "state"},
                                            {"kind", "kind"},
                                            {"PIN pad", "pin_pad"},
                                            {"maintenance", "maintenance"},
                                            {"key", "key"},
                                            {"services", "services"},
                                            {"taps a minute", "rate"},
                                            {"passwords", "passwords"},
                                            {"certificate until", "expires"},
                                            {"software", "software.status"},
                                            {"version", "software.version"},
                                            {"program", "software.program"},
                                            {"configuration", "software.config"},
                                            {"started", "software.started"},
                                            {"log", "log.number"},
                                            {"refused of it", "log.finding"},
                                            {"refused", "log.found"},
                                            CB_CTL_FAILURES,
                                            {"slowed down", "failures.slowed"},
                                            {"created", "created"},
                                            {"changed", "changed"},
                                            {0}};

/* The services named on the command line; NULL when none was, which allows all. */
static cb_ctl_status services(cb_ctl *ctl, const cb_ctl_args *args, json_t **out)
{
    const char *name;
    cb_ctl_status status = CB_CTL_DONE;
    for (unsigned i = 0; !status && (name = cb_ctl_arg_at(args, "service", i)); i++) {
        if (!*out)
            *out = json_array();
        status = cb_ctl_need_service(ctl, name);
        if (!status && json_array_append_new(*out, json_string(name)) != 0)
            status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    }
    return status;
}

/* What the options say of name, services and rate, and field: value besides (either may be NULL). */
static cb_ctl_status body_of(cb_ctl *ctl, const cb_ctl_args *args, const char *field, json_t *value,
                             json_t **out)
{
    json_t *allowed = NULL, *limit = NULL;
    bool passwords = cb_ctl_arg(args, "passwords") != NULL, pad = cb_ctl_arg(args, "pin-pad");
    uint64_t rate = 0;
    cb_ctl_status status = services(ctl, args, &allowed);
    if (!status && cb_ctl_number(cb_ctl_arg(args, "rate"), 100000, &rate))
        status = cb_ctl_misuse(ctl, "--rate is a number of taps a minute, at most 100000");
    if (status)
        goto out;
    limit = rate ? json_integer((json_int_t)rate) : NULL;
    if (rate && !limit) { /* never one without the limit that was asked for */
        status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
        goto out;
    }
    *out = json_object();
    cb_ctl_put_text(out, "name", cb_ctl_arg(args, "name"));
    if (*out && json_object_update_new(
                    *out, json_pack("{s:b,s:O*,s:O*,s:O*,s:o*}", "pin_pad", (int)pad, field, value,
                                    "services", allowed, "rate", limit, "passwords",
                                    passwords ? json_true() : NULL)) != 0) {
        json_decref(*out);
        *out = NULL;
    }
    cb_ctl_put_text(out, "kind", cb_ctl_arg(args, "kind"));
    if (!*out)
        status = cb_ctl_fail_text(ctl, "the name", cb_ctl_arg(args, "name"));
    else if (!allowed)
        cb_ctl_note(ctl, "It may ask for every service, for none was listed (--service).");
out:
    json_decref(allowed);
    json_decref(limit);
    return status;
}

static cb_ctl_status enrol(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_buf pem = CB_BUF(16 * 1024);
    json_t *body = NULL, *made = NULL, *certificate = NULL;
    cb_ctl_status status =
        cb_ctl_read_certificates(ctl, cb_ctl_arg(args, "certificate"), 1, &pem);
    if (!status && !(certificate = json_stringn((const char *)pem.data, pem.len)))
        status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (!status)
        status = body_of(ctl, args, "certificate", certificate, &body);
    if (!status)
        status = cb_ctl_call(ctl, "POST", "/v1/terminals", body, &made);
    if (!status)
        status = cb_ctl_done(ctl, made, "terminal %s enrolled", cb_ctl_text_field(made, "id"));
    json_decref(body);
    json_decref(made);
    json_decref(certificate);
    cb_buf_free(&pem);
    return status;
}

/* ---- One-time codes ---- */

static cb_ctl_status valid(cb_ctl *ctl, const cb_ctl_args *args, json_t **out)
{
    uint64_t seconds = 0;
    const char *text = cb_ctl_arg(args, "valid");
    if (!text)
        return CB_CTL_DONE;
    if (cb_ctl_duration(text, &seconds) || seconds < 1 || seconds > 30 * 86400)
        return cb_ctl_misuse(ctl, "--valid is a time such as 15m, 8h or 2d, at most 30 days");
    *out = json_integer((json_int_t)seconds);
    return *out ? CB_CTL_DONE : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
}

static cb_ctl_status show_code(cb_ctl *ctl, json_t *made)
{
    cb_ctl_status status =
        cb_ctl_done(ctl, made, "terminal %s registered\nactivation code: %s (until %s)",
                    cb_ctl_text_field(made, "id"), cb_ctl_text_field(made, "code"),
                    cb_ctl_text_field(made, "code_expires"));
    if (!status)
        cb_ctl_note(ctl, "Nobody can show the code again. At the terminal: cardlink activate --name "
                         "NAME");
    return status;
}

static cb_ctl_status register_terminal(cb_ctl *ctl, const cb_ctl_args *args)
{
    json_t *body = NULL, *made = NULL, *seconds = NULL;
    cb_ctl_status status = valid(ctl, args, &seconds);
    if (!status)
        status = body_of(ctl, args, "valid", seconds, &body);
    if (!status)
        status = cb_ctl_call(ctl, "POST", "/v1/terminals", body, &made);
    if (!status)
        status = show_code(ctl, made);
    json_decref(body);
    json_decref(made);
    json_decref(seconds);
    return status;
}

static cb_ctl_status new_code(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[96];
    json_t *body = NULL, *made = NULL, *seconds = NULL;
    cb_ctl_status status = cb_ctl_find_terminal(ctl, args->operand[0], &id);
    if (!status)
        status = valid(ctl, args, &seconds);
    if (!status && !(body = json_pack("{s:O*}", "valid", seconds)))
        status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (!status) {
        cb_id_text(&id, text);
        snprintf(path, sizeof path, "/v1/terminals/%s/code", text);
        status = cb_ctl_call(ctl, "POST", path, body, &made);
    }
    if (!status)
        status = show_code(ctl, made);
    json_decref(body);
    json_decref(made);
    json_decref(seconds);
    return status;
}

/* verb: the last part of the path. said: the state afterwards. */
static cb_ctl_status change(cb_ctl *ctl, const cb_ctl_args *args, const char *verb,
                            const char *said)
{
    cb_id id;
    char text[CB_ID_TEXT], path[96];
    const char *reason = cb_ctl_arg(args, "reason");
    cb_ctl_status status = cb_ctl_find_terminal(ctl, args->operand[0], &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/terminals/%s/%s", text, verb);
    json_t *now = json_pack("{s:s,s:s}", "id", text, "state", said);
    json_t *body = reason ? json_pack("{s:s}", "reason", reason) : json_object();
    status = body ? cb_ctl_call(ctl, "POST", path, body, NULL)
                  : cb_ctl_fail_text(ctl, "the reason", reason);
    if (!status)
        status = cb_ctl_done(ctl, now, "terminal %s %s", text, said);
    json_decref(now);
    json_decref(body);
    return status;
}

static cb_ctl_status revoke(cb_ctl *ctl, const cb_ctl_args *args)
{
    return change(ctl, args, "revoke", "revoked");
}

static cb_ctl_status deactivate(cb_ctl *ctl, const cb_ctl_args *args)
{
    return change(ctl, args, "deactivate", "deactivated");
}

static cb_ctl_status activate(cb_ctl *ctl, const cb_ctl_args *args)
{
    return change(ctl, args, "activate", "active");
}

static cb_ctl_status dispose(cb_ctl *ctl, const cb_ctl_args *args)
{
    return change(ctl, args, "dispose", "disposed");
}

/* What the command line does not say stays as it is. */
static cb_ctl_status set(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[96];
    json_t *now = NULL, *body = NULL, *after = NULL;
    const char *kind = cb_ctl_arg(args, "kind"), *pad = cb_ctl_arg(args, "pin-pad");
    if (pad && strcmp(pad, "yes") != 0 && strcmp(pad, "no") != 0)
        return cb_ctl_misuse(ctl, "--pin-pad is yes or no");
    cb_ctl_status status = cb_ctl_find_terminal(ctl, args->operand[0], &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/terminals/%s", text);
    status = cb_ctl_call(ctl, "GET", path, NULL, &now);
    if (!kind)
        kind = json_string_value(json_object_get(now, "kind"));
    bool has = pad ? strcmp(pad, "yes") == 0 : json_is_true(json_object_get(now, "pin_pad"));
    snprintf(path, sizeof path, "/v1/terminals/%s/describe", text);
    body = json_pack("{s:b}", "pin_pad", (int)has);
    cb_ctl_put_text(&body, "kind", kind && strcmp(kind, "unstated") ? kind : NULL);
    cb_ctl_put_text(&body, "reason", cb_ctl_arg(args, "reason"));
    if (!status && !body)
        status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (!status)
        status = cb_ctl_call(ctl, "POST", path, body, &after);
    if (!status)
        status = cb_ctl_done(ctl, after, "terminal %s described", text);
    json_decref(now);
    json_decref(body);
    json_decref(after);
    return status;
}

static cb_ctl_status confirm(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[96];
    json_t *body = NULL, *after = NULL, *key = json_string(cb_ctl_arg(args, "key"));
    bool all = cb_ctl_arg(args, "all-services") != NULL;
    if (all == (cb_ctl_arg_at(args, "service", 0) != NULL)) {
        json_decref(key);
        return cb_ctl_misuse(ctl, "say what it may ask for: --service NAME, or --all-services");
    }
    cb_ctl_status status = cb_ctl_find_terminal(ctl, args->operand[0], &id);
    if (!status && !key)
        status = cb_ctl_fail_text(ctl, "--key", cb_ctl_arg(args, "key"));
    if (!status)
        status = body_of(ctl, args, "key", key, &body);
    json_decref(key);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/terminals/%s/confirm", text);
    cb_ctl_put_text(&body, "reason", cb_ctl_arg(args, "reason"));
    if (body && (json_object_set_new(body, "all_services", json_boolean(all)) != 0 ||
                 (!json_object_get(body, "rate") &&
                  json_object_set_new(body, "rate", json_integer(0)) != 0))) {
        json_decref(body);
        body = NULL;
    }
    if (!body)
        status = cb_ctl_fail_text(ctl, "--reason", cb_ctl_arg(args, "reason"));
    if (!status)
        status = cb_ctl_call(ctl, "POST", path, body, &after);
    if (!status)
        status = cb_ctl_done(ctl, after, "terminal %s confirmed", text);
    json_decref(body);
    json_decref(after);
    return status;
}

static cb_ctl_status list(cb_ctl *ctl, const cb_ctl_args *args)
{
    (void)args;
    json_t *rows = NULL, *row;
    size_t index;
    cb_ctl_status status = cb_ctl_collect(ctl, "/v1/terminals", "terminals", 0, &rows);
    if (!ctl->json)
        json_array_foreach(rows, index, row)
        {
            if (!json_is_array(json_object_get(row, "services")))
                json_object_set_new(row, "services", json_string("all"));
        }
    if (!status)
        status = cb_ctl_table(ctl, rows, columns);
    json_decref(rows);
    return status;
}

static cb_ctl_status show(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id id;
    char text[CB_ID_TEXT], path[64];
    json_t *terminal = NULL;
    cb_ctl_status status = cb_ctl_find_terminal(ctl, args->operand[0], &id);
    if (status)
        return status;
    cb_id_text(&id, text);
    snprintf(path, sizeof path, "/v1/terminals/%s", text);
    status = cb_ctl_call(ctl, "GET", path, NULL, &terminal);
    if (!status)
        status = cb_ctl_object(ctl, terminal, all_columns);
    json_decref(terminal);
    return status;
}

#define KIND                                                                                       \
    {                                                                                              \
        "kind", "KIND", "where it stands: attended, unattended or personal", false, false          \
    }

static const cb_ctl_option enrol_options[] = {
    {"name", "NAME", "what operators call it; unique among terminals that are not revoked", true, false},
    {"certificate", "PEMFILE", "its certificate; whoever signed it does not matter", true, false},
    {"service", "NAME", "a service it may ask for (default: all)", false, true},
    {"rate", "N", "most taps a minute (default: no limit)", false, false},
    {"passwords", NULL, "let holders log in with a password here, where a service takes that", false,
     false},
    KIND,
    {"pin-pad", NULL, "it has a PIN pad, and uses it (cardlink.conf(5), pin_pad)", false, false},
    {0}};
static const cb_ctl_option register_options[] = {
    {"name", "NAME", "what operators call it; unique among terminals that are not revoked", true,
     false},
    {"service", "NAME", "a service it may ask for (default: all)", false, true},
    {"rate", "N", "most taps a minute (default: no limit)", false, false},
    {"passwords", NULL, "let holders log in with a password here, where a service takes that", false,
     false},
    KIND,
    {"pin-pad", NULL, "it has a PIN pad, and uses it (cardlink.conf(5), pin_pad)", false, false},
    {"valid", "TIME", "how long the code is good, at most 30d (default: 1d)", false, false},
    {0}};
static const cb_ctl_option code_options[] = {
    {"valid", "TIME", "how long the code is good, at most 30d (default: 1d)", false, false}, {0}};
static const cb_ctl_option reason_options[] = {
    {"reason", "WORD", "a short word for the record, such as stolen", false, false}, {0}};
static const cb_ctl_option set_options[] = {
    {"kind", "KIND", "where it stands: attended, unattended, personal or unstated", false, false},
    {"pin-pad", "yes|no", "whether it has a PIN pad, and uses it", false, false},
    {"reason", "WORD", "a short word for the record, such as moved", false, false},
    {0}};
static const cb_ctl_option confirm_options[] = {
    {"key", "SHA256", "of its public key, as terminal show has it and the terminal itself", true,
     false},
    {"service", "NAME", "a service it may ask for", false, true},
    {"all-services", NULL, "it may ask for every service", false, false},
    {"rate", "N", "most taps a minute; 0: no limit", true, false},
    {"passwords", NULL, "let holders log in with a password here, where a service takes that", false,
     false},
    KIND,
    {"pin-pad", NULL, "it has a PIN pad, and uses it (cardlink.conf(5), pin_pad)", false, false},
    {"reason", "WORD", "a short word for the record, such as crash", false, false},
    {0}};
static const cb_ctl_option log_options[] = {
    {"last", "N", "show so many of the newest entries, at most 10000 (default: 100)", false, false},
    {"record", NULL, "compare it with the record, of which all is read", false, false},
    {0}};

const cb_ctl_command cb_ctl_terminal_commands[] = {
    {"terminal", "enrol", "", 0, 0, enrol_options, "Register a terminal by its certificate", enrol},
    {"terminal", "register", "", 0, 0, register_options,
     "Register a terminal without a key, and print the code with which it is activated",
     register_terminal},
    {"terminal", "code", "TERMINAL", 1, 1, code_options,
     "Print a new code for a registered terminal; the one of before is worth nothing then",
     new_code},
    {"terminal", "revoke", "TERMINAL", 1, 1, reason_options, "End a terminal for good, at once",
     revoke},
    {"terminal", "deactivate", "TERMINAL", 1, 1, reason_options,
     "Let a terminal do nothing until it is activated again, at once", deactivate},
    {"terminal", "activate", "TERMINAL", 1, 1, reason_options,
     "Activate a terminal again that was de-activated", activate},
    {"terminal", "dispose", "TERMINAL", 1, 1, reason_options,
     "End a terminal for good, and have it erase its keys when it comes again", dispose},
    {"terminal", "set", "TERMINAL", 1, 1, set_options,
     "Say where a terminal stands, and whether it has a PIN pad; the rest stays", set},
    {"terminal", "confirm", "TERMINAL", 1, 1, confirm_options,
     "Say once more what the record does not vouch for after a crash: its key, and what it may do",
     confirm},
    {"terminal", "log", "TERMINAL", 1, 1, log_options,
     "Verify what a terminal logged of itself, and show the newest entries", cb_ctl_terminal_log},
    {"terminal", "log-resume", "TERMINAL", 1, 1, reason_options,
     "Let a terminal's log go on, once, with what does not fit to what the broker has",
     cb_ctl_terminal_log_resume},
    {"terminal", "list", "", 0, 0, NULL, "List terminals", list},
    {"terminal", "show", "TERMINAL", 1, 1, NULL, "Show one terminal, by identifier or name", show},
    {0}};

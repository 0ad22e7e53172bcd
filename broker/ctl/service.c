/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Services: where holders are logged in, by which connector, and how its sessions end.
 */
#include <string.h>

#include "broker/ctl/card.h"
#include "broker/ctl/commands.h"
#include "broker/ctl/files.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

static const cb_ctl_column columns[] = {{"SERVICE", "name"},
                                        {"TITLE", "title"},
                                        {"CONNECTOR", "connector"},
                                        {"LEVEL", "level"},
                                        {"CERTIFICATE", "certificate"},
                                        {0}};

static const cb_ctl_column all_columns[] = {{"service", "name"},
                                            {"title", "title"},
                                            {"connector", "connector"},
                                            {"level", "level"},
                                            {"terminals", "terminals"},
                                            {"PIN pad needed", "pin_pad"},
                                            {"needs certificates", "certificate"},
                                            {"session", "session"},
                                            {"configuration", "config"},
                                            {"created", "created"},
                                            {"changed", "changed"},
                                            {0}};

static cb_ctl_status set_text(cb_ctl *ctl, json_t *body, const cb_ctl_args *args, const char *name)
{
    const char *text = cb_ctl_arg(args, name);
    if (text && json_object_set_new(body, name, json_string(text)) != 0)
        return cb_ctl_fail_text(ctl, name, text);
    return CB_CTL_DONE;
}

/* What was asked for is sent, or nothing is: a level left out would be another one. */
static cb_ctl_status put(cb_ctl *ctl, json_t *body, const char *name, json_t *value)
{
    return json_object_set_new(body, name, value) == 0 ? CB_CTL_DONE
                                                       : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
}

static cb_ctl_status set_level(cb_ctl *ctl, json_t *body, const cb_ctl_args *args)
{
    uint8_t level = 0;
    cb_ctl_status status = cb_ctl_level(ctl, cb_ctl_arg(args, "level"), &level);
    if (!status && level)
        status = put(ctl, body, "level", json_integer(level));
    return status;
}

static cb_ctl_status set_kind(cb_ctl *ctl, json_t *session, const cb_ctl_args *args)
{
    static const char *const kinds[] = {"token", "url", "cookies", "relayed"};
    const char *kind = cb_ctl_arg(args, "kind");
    bool known = !kind;
    for (size_t i = 0; !known && i < sizeof kinds / sizeof kinds[0]; i++)
        known = strcmp(kind, kinds[i]) == 0;
    if (!known)
        return cb_ctl_misuse(ctl, "--kind is token, url, cookies or relayed");
    return kind ? put(ctl, session, "kind", json_string(kind)) : CB_CTL_DONE;
}

/* The kinds of terminals, "any" alone for all. */
static cb_ctl_status set_terminals(cb_ctl *ctl, json_t *body, const cb_ctl_args *args)
{
    const char *name;
    json_t *kinds = cb_ctl_arg(args, "terminals") ? json_array() : NULL;
    bool any = false;
    for (unsigned i = 0; kinds && (name = cb_ctl_arg_at(args, "terminals", i)); i++) {
        any = any || strcmp(name, "any") == 0;
        if (json_array_append_new(kinds, json_string(name)) != 0) {
            json_decref(kinds);
            return cb_ctl_fail_text(ctl, "terminals", name);
        }
    }
    if (any)
        json_array_clear(kinds);
    return kinds ? put(ctl, body, "terminals", kinds) : CB_CTL_DONE;
}

static cb_ctl_status set_pad(cb_ctl *ctl, json_t *body, const cb_ctl_args *args)
{
    const char *text = cb_ctl_arg(args, "pin-pad");
    if (text && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return cb_ctl_misuse(ctl, "--pin-pad is yes or no");
    return text ? put(ctl, body, "pin_pad", json_boolean(strcmp(text, "yes") == 0)) : CB_CTL_DONE;
}

static cb_ctl_status set_config(cb_ctl *ctl, json_t *body, const cb_ctl_args *args)
{
    json_t *config = NULL;
    const char *path = cb_ctl_arg(args, "config");
    cb_ctl_status status = path ? cb_ctl_read_object(ctl, path, &config) : CB_CTL_DONE;
    if (config)
        status = put(ctl, body, "config", config);
    return status;
}

static cb_ctl_status set_time(cb_ctl *ctl, json_t *session, const cb_ctl_args *args,
                              const char *name)
{
    const char *text = cb_ctl_arg(args, name);
    uint64_t seconds = 0;
    if (text && cb_ctl_duration(text, &seconds))
        return cb_ctl_misuse(ctl, "--%s is a time such as 90s, 15m, 8h or 2d", name);
    return text ? put(ctl, session, name, json_integer((json_int_t)seconds)) : CB_CTL_DONE;
}

/* Puts into body what the command line says; what it does not say stays as it is. */
static cb_ctl_status fill(cb_ctl *ctl, json_t *body, const cb_ctl_args *args)
{
    json_t *session = json_object_get(body, "session");
    bool timed = cb_ctl_arg(args, "life") || cb_ctl_arg(args, "idle") || cb_ctl_arg(args, "kind");
    cb_ctl_status status = CB_CTL_DONE;
    if (!json_is_object(session) && timed) {
        session = json_object();
        status = put(ctl, body, "session", session);
    }
    if (!status)
        status = set_text(ctl, body, args, "title");
    if (!status)
        status = set_text(ctl, body, args, "connector");
    if (!status)
        status = set_level(ctl, body, args);
    if (!status)
        status = set_time(ctl, session, args, "life");
    if (!status)
        status = set_time(ctl, session, args, "idle");
    if (!status)
        status = set_kind(ctl, session, args);
    if (!status)
        status = set_config(ctl, body, args);
    if (!status)
        status = set_terminals(ctl, body, args);
    if (!status)
        status = set_pad(ctl, body, args);
    return status;
}

static cb_ctl_status certificates(cb_ctl *ctl, json_t *body, const cb_ctl_args *args)
{
    const char *text = cb_ctl_arg(args, "needs-certificate");
    if (!text)
        return CB_CTL_DONE;
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return cb_ctl_misuse(ctl, "--needs-certificate is yes or no");
    return put(ctl, body, "certificate", json_boolean(strcmp(text, "yes") == 0));
}

static cb_ctl_status add(cb_ctl *ctl, const cb_ctl_args *args)
{
    const char *name = cb_ctl_arg(args, "name");
    json_t *made = NULL, *body = json_pack("{s:s,s:{}}", "name", name, "config");
    cb_ctl_status status = cb_ctl_need_service(ctl, name);
    if (!status)
        status = body ? fill(ctl, body, args) : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (!status)
        status = certificates(ctl, body, args);
    if (!status)
        status = cb_ctl_call(ctl, "POST", "/v1/services", body, &made);
    if (!status)
        status = cb_ctl_done(ctl, made, "service %s added", name);
    json_decref(made);
    json_decref(body);
    return status;
}

static cb_ctl_status fetch(cb_ctl *ctl, const char *name, json_t **service)
{
    char path[96];
    cb_ctl_status status = cb_ctl_need_service(ctl, name);
    if (status)
        return status;
    snprintf(path, sizeof path, "/v1/services/%s", name);
    return cb_ctl_call(ctl, "GET", path, NULL, service);
}

static cb_ctl_status show(cb_ctl *ctl, const cb_ctl_args *args)
{
    json_t *service = NULL;
    cb_ctl_status status = fetch(ctl, args->operand[0], &service);
    if (!status)
        status = cb_ctl_object(ctl, service, all_columns);
    json_decref(service);
    return status;
}

static cb_ctl_status list(cb_ctl *ctl, const cb_ctl_args *args)
{
    (void)args;
    json_t *rows = NULL;
    cb_ctl_status status = cb_ctl_collect(ctl, "/v1/services", "services", 0, &rows);
    if (!status)
        status = cb_ctl_table(ctl, rows, columns);
    json_decref(rows);
    return status;
}

static cb_ctl_status update(cb_ctl *ctl, const cb_ctl_args *args)
{
    static const char *const kept[] = {"title",       "connector", "config",    "level",
                                       "certificate", "session",   "terminals", "pin_pad"};
    const char *name = args->operand[0];
    char path[96];
    json_t *now = NULL, *after = NULL, *body = json_object();
    cb_ctl_status status = fetch(ctl, name, &now);
    for (size_t i = 0; !status && i < sizeof kept / sizeof kept[0]; i++)
        if (json_object_get(now, kept[i]) && !json_is_null(json_object_get(now, kept[i])))
            status = put(ctl, body, kept[i], json_incref(json_object_get(now, kept[i])));
    if (json_is_null(json_object_get(json_object_get(body, "session"), "kind")))
        json_object_del(json_object_get(body, "session"), "kind");
    if (!status)
        status = fill(ctl, body, args);
    if (!status)
        status = certificates(ctl, body, args);
    snprintf(path, sizeof path, "/v1/services/%s", name);
    if (!status)
        status = cb_ctl_call(ctl, "PUT", path, body, &after);
    if (!status)
        status = cb_ctl_done(ctl, after ? after : body, "service %s updated", name);
    json_decref(now);
    json_decref(after);
    json_decref(body);
    return status;
}

#define TITLE(needed)                                                                              \
    {                                                                                              \
        "title", "TEXT", "what holders read", needed, false                                        \
    }
#define CONNECTOR(needed)                                                                          \
    {                                                                                              \
        "connector", "NAME", "the connector that logs in there", needed, false                     \
    }
#define LEVEL(needed)                                                                              \
    {                                                                                              \
        "level", "LEVEL", "least level of assurance: password, possession, terminal-pin or pin", needed, false     \
    }
#define REST                                                                                       \
    {"config", "JSONFILE",                                                                         \
     "the connector's configuration for this service: a JSON object (the program's own --config "  \
     "goes before the command here)",                                                              \
     false, false},                                                                                \
        {"needs-certificate", "yes|no",                                                            \
         "whether an enrolment needs a certificate before it can be used", false, false},          \
        {"kind", "KIND", "what the connector returns: token, url, cookies or relayed", false,      \
         false},                                                                                   \
        {"life", "TIME", "longest life of a session: 90s, 15m, 8h", false, false},                 \
        {"idle", "TIME", "longest idleness of a session", false, false},                           \
        {"terminals", "KIND",                                                                      \
         "a kind of terminals at which it is given: attended, unattended, personal (default: any)",\
         false, true},                                                                             \
        {"pin-pad", "yes|no", "whether it takes no PIN that a terminal saw", false, false},        \
    {                                                                                              \
        0                                                                                          \
    }

static const cb_ctl_option add_options[] = {
    {"name", "NAME", "lower-case letters, digits and -", true, false},
    TITLE(true),
    CONNECTOR(true),
    LEVEL(true),
    REST};
static const cb_ctl_option update_options[] = {TITLE(false), CONNECTOR(false), LEVEL(false), REST};

const cb_ctl_command cb_ctl_service_commands[] = {
    {"service", "add", "", 0, 0, add_options, "Add a service", add},
    {"service", "update", "SERVICE", 1, 1, update_options,
     "Change what is said of a service; the rest stays", update},
    {"service", "list", "", 0, 0, NULL, "List services", list},
    {"service", "show", "SERVICE", 1, 1, NULL, "Show one service", show},
    {0}};

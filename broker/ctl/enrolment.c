/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Enrolments: a holder's key at a service.
 */
#include "broker/ctl/enrolment.h"

#include <string.h>

#include "base/json_text.h"
#include "broker/ctl/commands.h"
#include "broker/ctl/files.h"
#include "broker/ctl/new_key.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"
#include "connectors/host/jwk.h"

enum { CHAIN_MAX = 8, PEM_MAX = 64 * 1024 };

static const cb_ctl_column columns[] = {{"ENROLMENT", "id"},
                                        {"HOLDER", "holder"},
                                        {"SERVICE", "service"},
                                        {"STATE", "state"},
                                        {"ALGORITHM", "key.algorithm"},
                                        {"RENEWAL", "next_key.algorithm"},
                                        {0}};

static const cb_ctl_column all_columns[] = {{"enrolment", "id"},
                                            {"holder", "holder"},
                                            {"service", "service"},
                                            {"state", "state"},
                                            {"key in use", "key.id"},
                                            {"  algorithm", "key.algorithm"},
                                            {"  level", "key.level"},
                                            {"  sequence", "key.sequence"},
                                            {"key that waits", "next_key.id"},
                                            {"  algorithm", "next_key.algorithm"},
                                            {"  sequence", "next_key.sequence"},
                                            {"data", "data"},
                                            {"created", "created"},
                                            {"changed", "changed"},
                                            {0}};

cb_ctl_status cb_ctl_enrolment_get(cb_ctl *ctl, const char *text, char *id, json_t **out)
{
    cb_id parsed;
    char same[CB_ID_TEXT], path[64];
    cb_ctl_status status = cb_ctl_need_id(ctl, text, "an enrolment", &parsed);
    if (status)
        return status;
    cb_id_text(&parsed, same);
    if (id)
        cb_id_text(&parsed, id);
    snprintf(path, sizeof path, "/v1/enrolments/%s", same);
    return cb_ctl_call(ctl, "GET", path, NULL, out);
}

cb_ctl_status cb_ctl_enrolment_install(cb_ctl *ctl, const char *id, const cb_buf *pem)
{
    char path[96];
    snprintf(path, sizeof path, "/v1/enrolments/%s/certificate", id);
    json_t *body = json_pack("{s:s#}", "certificate", (const char *)pem->data, (int)pem->len);
    cb_ctl_status status = body
                               ? cb_ctl_call(ctl, "POST", path, body, NULL)
                               : cb_ctl_fail(ctl, CB_E_FORMAT, "the certificates are not PEM text");
    json_decref(body);
    return status;
}

/* An act on one enrolment that leads to a state. */
static cb_ctl_status finish(cb_ctl *ctl, const char *id, const char *state, const char *line)
{
    json_t *now = json_pack("{s:s,s:s}", "id", id, "state", state);
    cb_ctl_status status = cb_ctl_done(ctl, now, "enrolment %s %s", id, line);
    json_decref(now);
    return status;
}

static cb_ctl_status certify(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id parsed;
    char id[CB_ID_TEXT];
    cb_buf pem = CB_BUF(PEM_MAX);
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "an enrolment", &parsed);
    cb_id_text(&parsed, id);
    if (!status)
        status = cb_ctl_read_certificates(ctl, cb_ctl_arg(args, "certificate"), CHAIN_MAX, &pem);
    if (!status)
        status = cb_ctl_enrolment_install(ctl, id, &pem);
    if (!status)
        status = finish(ctl, id, "active", "active: the certificate is installed");
    cb_buf_free(&pem);
    return status;
}

static cb_ctl_status remove_enrolment(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_id parsed;
    char id[CB_ID_TEXT], path[64];
    cb_ctl_status status = cb_ctl_need_id(ctl, args->operand[0], "an enrolment", &parsed);
    if (status)
        return status;
    cb_id_text(&parsed, id);
    snprintf(path, sizeof path, "/v1/enrolments/%s", id);
    status = cb_ctl_call(ctl, "DELETE", path, NULL, NULL);
    return status ? status : finish(ctl, id, "removed", "removed");
}

/* How a key signs is its kind's to say; of the two ways of RSA the service's configuration says
 * which, and so the broker. */
static bool signs_by(const json_t *key, const char *algorithm)
{
    const char *curve = json_string_value(json_object_get(key, "crv"));
    if (!curve)
        return strcmp(algorithm, "PS256") == 0 || strcmp(algorithm, "RS256") == 0;
    return strcmp(algorithm, strcmp(curve, "P-256") == 0 ? "ES256" : "ES384") == 0;
}

/* {"jwks":{"keys":[…]}} of the key that hsmd made, with the name that the holder's data give it. */
static json_t *key_set_of(cb_bytes public_key, const char *algorithm, const json_t *data)
{
    cb_buf text = CB_BUF(2048);
    const char *name = json_string_value(json_object_get(data, "key_id"));
    cb_error error = cb_jwk_of(public_key, &text);
    json_t *key = error ? NULL : cb_json_load(cb_buf_bytes(&text), 0, NULL), *set = NULL;
    bool good = key && algorithm && signs_by(key, algorithm);
    if (good && name && *name)
        good = json_object_set_new(key, "kid", json_string(name)) == 0;
    good = good && json_object_set_new(key, "alg", json_string(algorithm)) == 0 &&
           json_object_set_new(key, "use", json_string("sig")) == 0;
    if (good)
        set = json_pack("{s:{s:[O]}}", "jwks", "keys", key);
    json_decref(key);
    cb_buf_free(&text);
    return set;
}

json_t *cb_ctl_for_service(const json_t *given, cb_bytes public_key, const json_t *data)
{
    const json_t *keys = json_object_get(json_object_get(given, "jwks"), "keys");
    const json_t *said = json_array_get(keys, 0);
    const char *algorithm = json_string_value(json_object_get(said, "alg"));
    json_t *subject = json_object_get(data, "subject");
    json_t *expected = subject ? subject : json_object_get(given, "subject");
    json_t *own = key_set_of(public_key, algorithm, data), *whole = json_copy(own);
    bool same = own && whole &&
                (!expected ||
                 (json_is_string(expected) && json_object_set(whole, "subject", expected) == 0)) &&
                json_equal(given, whole);
    json_decref(whole);
    if (same && (!subject || json_object_set(own, "subject", subject) == 0))
        return own;
    json_decref(own);
    return NULL;
}

cb_ctl_status cb_ctl_enrolment_for_service(cb_ctl *ctl, const cb_ctl_args *args, const char *id,
                                           cb_bytes public_key, const json_t *data)
{
    const char *out = cb_ctl_arg(args, "for-service");
    char path[96];
    json_t *answer = NULL, *own = NULL;
    if (!out)
        return CB_CTL_DONE;
    snprintf(path, sizeof path, "/v1/enrolments/%s/for-service", id);
    cb_ctl_status status = cb_ctl_call(ctl, "GET", path, NULL, &answer);
    const json_t *given = json_object_get(answer, "for_service");
    bool nothing = json_is_object(given) && json_object_size(given) == 0;
    if (!status && !nothing)
        own = cb_ctl_for_service(given, public_key, data);
    if (!status && nothing)
        cb_ctl_note(ctl, "There is nothing to give to this service but a certificate request.");
    else if (!status && !own)
        status = cb_ctl_fail(ctl, CB_E_EVIDENCE,
                             "the broker names another key, another name of it or another subject "
                             "than were recorded (--data says both), or something besides; give "
                             "the service nothing, and find out why");
    else if (!status)
        status = cb_ctl_write_json(ctl, out, own);
    json_decref(own);
    json_decref(answer);
    return status;
}

static cb_ctl_status show(cb_ctl *ctl, const cb_ctl_args *args)
{
    char id[CB_ID_TEXT];
    json_t *enrolment = NULL;
    cb_ctl_status status = cb_ctl_enrolment_get(ctl, args->operand[0], id, &enrolment);
    if (!status)
        status = cb_ctl_object(ctl, enrolment, all_columns);
    json_decref(enrolment);
    return status;
}

static cb_ctl_status list(cb_ctl *ctl, const cb_ctl_args *args)
{
    const char *of = cb_ctl_arg(args, "holder"), *service = cb_ctl_arg(args, "service");
    char path[192] = "/v1/enrolments", text[CB_ID_TEXT];
    cb_id holder;
    json_t *rows = NULL;
    cb_ctl_status status = of ? cb_ctl_find_holder(ctl, of, &holder) : CB_CTL_DONE;
    if (!status && service)
        status = cb_ctl_need_service(ctl, service);
    if (status)
        return status;
    if (of)
        cb_id_text(&holder, text);
    if (of || service)
        snprintf(path, sizeof path, "/v1/enrolments?%s%s%s%s%s", of ? "holder=" : "",
                 of ? text : "", of && service ? "&" : "", service ? "service=" : "",
                 service ? service : "");
    status = cb_ctl_collect(ctl, path, "enrolments", 0, &rows);
    if (!status)
        status = cb_ctl_table(ctl, rows, columns);
    json_decref(rows);
    return status;
}

static const cb_ctl_option add_options[] = {
    {"holder", "HOLDER", "identifier or exact name", true, false},
    {"service", "SERVICE", "name of the service", true, false},
    CB_CTL_NEW_KEY_OPTIONS,
    {"certificate", "PEMFILE", "the certificate (and chain) of a key that is brought along", false,
     false},
    {"data", "JSONFILE", "what the connector needs to know of this holder: a JSON object", false,
     false},
    CB_CTL_FOR_SERVICE_OPTION,
    {0}};
static const cb_ctl_option renew_options[] = {
    CB_CTL_NEW_KEY_OPTIONS,
    {"data", "JSONFILE",
     "with --for-service: what the connector knows of this holder, as it was given to \"add\"",
     false, false},
    CB_CTL_FOR_SERVICE_OPTION,
    {0}};
static const cb_ctl_option certify_options[] = {
    {"certificate", "PEMFILE", "the holder's certificate, then its chain", true, false}, {0}};
static const cb_ctl_option list_options[] = {
    {"holder", "HOLDER", "of one holder only", false, false},
    {"service", "SERVICE", "at one service only", false, false},
    {0}};

const cb_ctl_command cb_ctl_enrolment_commands[] = {
    {"enrolment", "add", "", 0, 0, add_options, "Give a holder a key at a service",
     cb_ctl_enrolment_add},
    {"enrolment", "certify", "ENROLMENT", 1, 1, certify_options, "Install the certificate of a key",
     certify},
    {"enrolment", "renew", "ENROLMENT", 1, 1, renew_options,
     "Make a second key, which takes the place of the first", cb_ctl_enrolment_renew},
    {"enrolment", "remove", "ENROLMENT", 1, 1, NULL, "End an enrolment for good, at once",
     remove_enrolment},
    {"enrolment", "list", "", 0, 0, list_options, "List enrolments", list},
    {"enrolment", "show", "ENROLMENT", 1, 1, NULL, "Show one enrolment", show},
    {0}};

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Giving a holder a key at a service, and another one later. hsmd makes the key; the request is
 * written to its file; then cardbrokerd records it. A key that is not recorded is nowhere: a
 * failure on the way leaves nothing behind.
 */
#include <string.h>

#include "broker/ctl/enrolment.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/new_key.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

enum { CHAIN_MAX = 8, PEM_MAX = 64 * 1024 };

/* The service's level becomes part of the sealed key, so an answer without one is not to be guessed
 * at. */
static cb_ctl_status use_service(cb_ctl *ctl, const char *name, cb_ctl_new_key *key,
                                 bool *certificate)
{
    char path[96];
    json_t *service = NULL;
    cb_ctl_status status = cb_ctl_need_service(ctl, name);
    if (status)
        return status;
    snprintf(path, sizeof path, "/v1/services/%s", name);
    status = cb_ctl_call(ctl, "GET", path, NULL, &service);
    json_int_t level = json_integer_value(json_object_get(service, "level"));
    if (!status && (level < 0 || level > UINT8_MAX || !cb_level_ok((uint8_t)level)))
        status = cb_ctl_fail(ctl, CB_E_PROTOCOL,
                             "cardbrokerd does not say what level the service asks for");
    key->info.level = (uint8_t)level;
    snprintf(key->info.service, sizeof key->info.service, "%s", name);
    *certificate = json_is_true(json_object_get(service, "certificate"));
    json_decref(service);
    return status;
}

static cb_ctl_status know_holder(cb_ctl *ctl, const cb_id *holder)
{
    char text[CB_ID_TEXT], path[64];
    cb_id_text(holder, text);
    snprintf(path, sizeof path, "/v1/holders/%s", text);
    return cb_ctl_call(ctl, "GET", path, NULL, NULL);
}

/* Writes the files and posts the key. When cardbrokerd says no, the files go again; when it did
 * more than that, or nobody knows whether it heard, they stay. */
static cb_ctl_status record(cb_ctl *ctl, const cb_ctl_args *args, const cb_ctl_new_key *key,
                            const char *path, const json_t *body, json_t **made)
{
    cb_ctl_answer answer = {0};
    cb_ctl_status status =
        body ? cb_ctl_new_key_write(ctl, args, key) : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (status)
        return status;
    status = cb_ctl_ask(ctl, "POST", path, body, &answer);
    if (!status && (answer.status < 200 || answer.status > 299)) {
        bool refused = answer.status < 500 || answer.status == 503;
        status = cb_ctl_problem(ctl, &answer);
        if (refused)
            cb_ctl_new_key_unwrite(args);
        cb_ctl_note(ctl, refused ? "The key was not recorded and is gone; nothing has changed."
                                 : "What was written is kept, for the key may be recorded.");
    } else if (!status) {
        *made = answer.body;
        answer.body = NULL;
    }
    cb_ctl_answer_free(&answer);
    return status;
}

static void say_next(cb_ctl *ctl, const char *id, const cb_ctl_args *args)
{
    const char *csr = cb_ctl_arg(args, "csr");
    cb_ctl_note(ctl,
                "It waits for its certificate: have %s certified, then cardbrokerctl enrolment "
                "certify %s --certificate PEM",
                csr ? csr : "the public key", id);
}

static cb_ctl_status read_add(cb_ctl *ctl, const cb_ctl_args *args, cb_ctl_new_key *key,
                              cb_buf *pem, json_t **data)
{
    const char *file = cb_ctl_arg(args, "data"), *certificate = cb_ctl_arg(args, "certificate");
    cb_ctl_status status = file ? cb_ctl_read_object(ctl, file, data) : CB_CTL_DONE;
    if (!status && certificate)
        status = cb_ctl_read_certificates(ctl, certificate, CHAIN_MAX, pem);
    return status ? status : cb_ctl_new_key_read(ctl, args, key);
}

/* After the enrolment is recorded: its certificate, if it was brought along; the result; what comes
 * next. */
static cb_ctl_status complete(cb_ctl *ctl, const cb_ctl_args *args, json_t *made, const cb_buf *pem,
                              const cb_ctl_new_key *key, const json_t *data)
{
    const char *id = cb_ctl_text_field(made, "id");
    cb_ctl_status status = pem->len ? cb_ctl_enrolment_install(ctl, id, pem) : CB_CTL_DONE;
    if (status) {
        cb_ctl_note(ctl, "The enrolment %s is made; its certificate is not installed.", id);
        return status;
    }
    if (pem->len)
        json_object_set_new(made, "state", json_string("active"));
    const char *state = cb_ctl_text_field(made, "state");
    status = cb_ctl_done(ctl, made, "enrolment %s added%s%s", id, *state ? ", " : "", state);
    if (!status && strcmp(state, "pending") == 0)
        say_next(ctl, id, args);
    return status
               ? status
               : cb_ctl_enrolment_for_service(ctl, args, id, cb_buf_bytes(&key->public_key), data);
}

cb_ctl_status cb_ctl_enrolment_add(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_ctl_new_key key;
    cb_buf pem = CB_BUF(PEM_MAX);
    json_t *data = NULL, *body = NULL, *made = NULL;
    char holder[CB_ID_TEXT];
    bool certificate = false;
    cb_ctl_new_key_init(&key);
    key.info.sequence = 1;
    cb_ctl_status status = cb_ctl_find_holder(ctl, cb_ctl_arg(args, "holder"), &key.info.holder);
    if (!status)
        status = know_holder(ctl, &key.info.holder);
    if (!status)
        status = use_service(ctl, cb_ctl_arg(args, "service"), &key, &certificate);
    if (!status && certificate && !cb_ctl_arg(args, "csr") && !cb_ctl_arg(args, "public-key") &&
        !cb_ctl_arg(args, "certificate"))
        status = cb_ctl_misuse(ctl, "this service needs a certificate: give --csr OUT with "
                                    "--subject, --public-key OUT or --certificate PEM");
    if (!status)
        status = read_add(ctl, args, &key, &pem, &data);
    if (!status)
        status = cb_ctl_new_key_make(ctl, &key);
    if (status)
        goto out;
    cb_id_text(&key.info.holder, holder);
    body = cb_ctl_new_key_json(&key);
    if (body &&
        json_object_update_new(body, json_pack("{s:s,s:s,s:O*}", "holder", holder, "service",
                                               key.info.service, "data", data)) != 0) {
        json_decref(body);
        body = NULL;
    }
    status = record(ctl, args, &key, "/v1/enrolments", body, &made);
    if (!status)
        status = complete(ctl, args, made, &pem, &key, data);
out:
    json_decref(data);
    json_decref(body);
    json_decref(made);
    cb_buf_free(&pem);
    cb_ctl_new_key_free(&key);
    return status;
}

/* The place after that of every key the enrolment has had, while none waits. */
static uint64_t next_sequence(const json_t *enrolment)
{
    return (uint64_t)json_integer_value(
               json_object_get(json_object_get(enrolment, "key"), "sequence")) +
           1;
}

/* What the connector knows of the holder stays as it is: here it is for a comparison alone. */
static cb_ctl_status read_renew(cb_ctl *ctl, const cb_ctl_args *args, cb_ctl_new_key *key,
                                json_t **data)
{
    const char *file = cb_ctl_arg(args, "data");
    cb_ctl_status status = CB_CTL_DONE;
    if (file && !cb_ctl_arg(args, "for-service"))
        status = cb_ctl_misuse(ctl, "--data goes with --for-service here: it changes nothing");
    else if (file)
        status = cb_ctl_read_object(ctl, file, data);
    return status ? status : cb_ctl_new_key_read(ctl, args, key);
}

cb_ctl_status cb_ctl_enrolment_renew(cb_ctl *ctl, const cb_ctl_args *args)
{
    cb_ctl_new_key key;
    char id[CB_ID_TEXT], path[96];
    json_t *enrolment = NULL, *body = NULL, *made = NULL, *data = NULL;
    bool certificate = false;
    cb_ctl_new_key_init(&key);
    cb_ctl_status status = cb_ctl_enrolment_get(ctl, args->operand[0], id, &enrolment);
    if (!status)
        status = cb_ctl_id_field(ctl, enrolment, "holder", &key.info.holder);
    if (!status)
        status = use_service(ctl, cb_ctl_text_field(enrolment, "service"), &key, &certificate);
    key.info.sequence = next_sequence(enrolment);
    /* Refused here: cardbrokerd would only do so after the files, perhaps the only copy of the
     * request for the key that waits, were written anew. */
    if (!status && json_is_object(json_object_get(enrolment, "next_key")))
        status = cb_ctl_fail(ctl, CB_E_STATE, "a renewed key waits for its certificate already");
    if (!status)
        status = read_renew(ctl, args, &key, &data);
    if (!status)
        status = cb_ctl_new_key_make(ctl, &key);
    if (status)
        goto out;
    snprintf(path, sizeof path, "/v1/enrolments/%s/renew", id);
    body = cb_ctl_new_key_json(&key);
    status = record(ctl, args, &key, path, body, &made);
    if (status)
        goto out;
    if (!made)
        made = json_pack("{s:s}", "id", id);
    status = cb_ctl_done(ctl, made, "enrolment %s renewed%s", id,
                         certificate ? "" : ": the new key is in use");
    if (!status && certificate) {
        cb_ctl_note(ctl, "The key in use so far stays in use until then.");
        say_next(ctl, id, args);
    }
    if (!status)
        status = cb_ctl_enrolment_for_service(ctl, args, id, cb_buf_bytes(&key.public_key), data);
out:
    json_decref(enrolment);
    json_decref(body);
    json_decref(made);
    json_decref(data);
    cb_ctl_new_key_free(&key);
    return status;
}

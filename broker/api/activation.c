/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How a terminal comes by a certificate of the terminal CA: the first by a one-time code, before
 * anybody knows it; the next ones over the connection that the one in use proves.
 */
#include "base/clock.h"
#include "base/secret.h"
#include "broker/api/api.h"
#include "broker/api/rows.h"
#include "cardlink/x509/certificate.h"
#include "cardlink/x509/request.h"

enum { CODE_TEXT_MAX = 64, RENEWALS_PER_MINUTE = 10 };

static cb_error too_many(cb_error error)
{
    return error == CB_E_TERMINAL_RATE ? CB_E_ACTIVATION_RATE : error;
}

/* What all strangers may try together is for wrong codes: they must not keep out who has one. */
static cb_error take_of_all(cb_api *api, const char *name, const char symbols[CB_CODE_SYMBOLS])
{
    static const cb_id all = {{1}};
    bool right = false;
    cb_error error = cb_terminal_code_known(api->store, name, symbols, &right);
    if (!error && !right)
        error = cb_rate_take(api->activations, &all, api->activations_all);
    return too_many(error);
}

/* The digest by which the key of a request is known, if the key itself asks. */
static cb_error key_of(cb_reply *reply, const cb_buf *request, cb_digest *key)
{
    cb_bytes spki;
    cb_error error = cb_x509_request_read(cb_buf_bytes(request), &spki);
    if (!error)
        *key = cb_sha256(spki);
    if (error && error != CB_E_MEMORY)
        error = cb_reply_fail(reply, CB_E_ARGUMENT,
                              "request must be a PKCS#10 request in DER, of a P-256 key and signed "
                              "with it.");
    return error;
}

static cb_error certify(cb_api *api, const cb_id *terminal, const cb_buf *request,
                        cb_buf *certificate, int64_t *expires)
{
    cb_x509 read;
    cb_error error =
        cb_hsm_certify_terminal(api->hsm, terminal, cb_buf_bytes(request), certificate);
    if (!error && cb_x509_parse(cb_buf_bytes(certificate), &read) != CB_OK)
        error = CB_E_PROTOCOL;
    if (!error)
        *expires = read.not_after * CB_SECOND;
    return error == CB_E_CONFIG ? CB_E_HSM_DOWN : error;
}

/* What is stored, which is what was asked for first. */
static cb_error answer(cb_request *request, cb_reply *reply, unsigned status, const cb_id *terminal,
                       const cb_digest *key)
{
    int64_t expires = 0;
    cb_buf certificate = CB_BUF(CB_TERMINAL_CERTIFICATE_SIZE);
    cb_error error =
        cb_terminal_certificate(cb_api_of(request)->store, terminal, key, &certificate, &expires);
    if (!error)
        error = cb_reply_json(reply, status,
                              json_pack("{so, so, so}", "terminal", cb_json_id(terminal),
                                        "certificate", cb_json_hex(cb_buf_bytes(&certificate)),
                                        "expires", cb_json_time(expires)));
    cb_buf_free(&certificate);
    return error;
}

static cb_error activate(cb_request *request, cb_reply *reply, const char *name,
                         const char symbols[CB_CODE_SYMBOLS], const cb_buf *csr)
{
    cb_api *api = cb_api_of(request);
    bool done = false;
    cb_buf certificate = CB_BUF(CB_TERMINAL_CERTIFICATE_SIZE);
    cb_terminal_activation a = {.code = symbols};
    cb_error error = key_of(reply, csr, &a.key);
    if (!error)
        error = take_of_all(api, name, symbols);
    if (!error)
        error = cb_terminal_code_try(api->store, name, symbols, &a.key, &a.terminal, &done);
    if (!error && !done)
        error = certify(api, &a.terminal, csr, &certificate, &a.expires);
    a.certificate = cb_buf_bytes(&certificate);
    if (!error && !done)
        error = cb_terminal_activate(api->store, &a);
    if (!error)
        error = answer(request, reply, 201, &a.terminal, &a.key);
    cb_buf_free(&certificate);
    return error;
}

cb_error cb_api_activate(cb_request *request, cb_reply *reply)
{
    const char *name = NULL, *code = NULL;
    char symbols[CB_CODE_SYMBOLS];
    cb_buf csr = CB_BUF(CB_X509_REQUEST_MAX);
    const cb_field fields[] = {
        {"name", CB_FIELD_TEXT, true, CB_NAME_MAX, &name},
        {"code", CB_FIELD_TEXT, true, CODE_TEXT_MAX, &code},
        {"request", CB_FIELD_HEX, true, CB_X509_REQUEST_MAX, &csr},
    };
    cb_error error = too_many(cb_api_stranger(request, "activation"));
    if (!error)
        error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error && cb_code_read(cb_bytes_str(code), symbols) != CB_OK)
        error =
            cb_reply_fail(reply, CB_E_ARGUMENT, "code is mistyped: its check symbol does not fit.");
    if (!error)
        error = activate(request, reply, name, symbols, &csr);
    cb_wipe(symbols, sizeof symbols);
    cb_buf_free(&csr);
    return error;
}

cb_error cb_api_certificate_renew(cb_request *request, cb_reply *reply)
{
    cb_api *api = cb_api_of(request);
    cb_digest key;
    int64_t expires = 0;
    cb_buf csr = CB_BUF(CB_X509_REQUEST_MAX), certificate = CB_BUF(CB_TERMINAL_CERTIFICATE_SIZE);
    const cb_field fields[] = {{"request", CB_FIELD_HEX, true, CB_X509_REQUEST_MAX, &csr}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = key_of(reply, &csr, &key);
    if (!error)
        error =
            cb_terminal_certificate(api->store, &request->terminal, &key, &certificate, &expires);
    if (error == CB_E_NOT_FOUND) {
        /* Each new key costs hsmd a signature, and the log a leaf for good. */
        error = cb_rate_take(api->activations, &request->terminal, RENEWALS_PER_MINUTE);
        error = too_many(error);
        if (!error)
            error = certify(api, &request->terminal, &csr, &certificate, &expires);
        if (!error)
            error = cb_terminal_certify(api->store, &request->terminal, &key,
                                        cb_buf_bytes(&certificate), expires);
    }
    if (!error)
        error = answer(request, reply, 200, &request->terminal, &key);
    cb_buf_free(&csr);
    cb_buf_free(&certificate);
    return error;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/config.h"
#include "base/pem.h"
#include "broker/program.h"

enum { PEM_MAX = 64 * 1024 };

/* Begun while the program holds no key, no database and no thread, for it is a copy of it. */
cb_error cb_program_status_begin(cb_program *p)
{
    if (p->config.issuer_count == 0)
        return CB_OK;
    cb_error error = cb_fetcher_open(p->config.user, p->config.sandbox, &p->fetcher);
    if (error)
        cb_buf_put_str(&p->why, "the process that fetches certificates' status cannot be made");
    return error;
}

static cb_error read_certificate(cb_program *p, const char *path, cb_buf *out)
{
    cb_buf pem = CB_BUF(PEM_MAX);
    *out = CB_BUF(CB_X509_MAX);
    cb_error error = cb_file_read(path, &pem);
    const char *text = error ? NULL : cb_buf_cstr(&pem);
    if (!error)
        error = text ? cb_pem_read(text, out, NULL) : cb_buf_error(&pem);
    cb_buf_free(&pem);
    if (!error || error == CB_E_MEMORY)
        return error;
    cb_buf_printf(&p->why, "%s: is not one certificate in PEM: %s", path, cb_error_text(error));
    return CB_E_CONFIG;
}

static cb_error fetch(void *context, const cb_fetch *what, cb_buf *answer)
{
    return cb_fetcher_get(context, what, answer);
}

static cb_error read_issuer(cb_program *p, size_t i)
{
    const cb_broker_issuer *from = &p->config.issuers[i];
    cb_status_issuer *to = &p->issuers[i];
    cb_error error = read_certificate(p, from->certificate, &p->issuer_certificates[i]);
    *to = (cb_status_issuer){.name = from->name,
                             .certificate = cb_buf_bytes(&p->issuer_certificates[i]),
                             .list_count = from->list_count,
                             .responder = from->responder};
    for (size_t k = 0; k < from->list_count; k++)
        to->lists[k] = from->lists[k];
    return error;
}

cb_error cb_program_status_open(cb_program *p)
{
    cb_error error = CB_OK;
    if (p->config.issuer_count == 0)
        return CB_OK;
    for (size_t i = 0; i < p->config.issuer_count && !error; i++)
        error = read_issuer(p, i);
    cb_status_config config = p->config.status;
    config.issuers = p->issuers;
    config.issuer_count = p->config.issuer_count;
    config.folder = p->config.state;
    config.fetch = fetch;
    config.context = p->fetcher;
    return error ? error : cb_status_open(&config, &p->api.status, &p->why);
}

cb_error cb_program_status_of(void *program, cb_bytes certificate)
{
    cb_program *p = program;
    cb_status_reason reason = {0};
    if (!p->api.status)
        return CB_E_CERTIFICATE_STATUS;
    cb_error error = cb_status_check_certificate(p->api.status, certificate, &reason);
    if (error)
        cb_log(CB_LOG_INFO, "status.refused", cb_error_text(error), "error", cb_error_code(error),
               "detail", reason.detail, NULL);
    return error;
}

void cb_program_status_close(cb_program *p)
{
    cb_fetcher_stop(p->fetcher);
    cb_status_close(&p->api.status);
    cb_fetcher_close(&p->fetcher);
    for (size_t i = 0; i < CB_STATUS_ISSUERS_MAX; i++)
        cb_buf_free(&p->issuer_certificates[i]);
}

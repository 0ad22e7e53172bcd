/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/status/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "broker/status/parts.h"
#include "broker/status/url.h"

enum { WAYS = 8, PAUSE_FIRST = 5, PAUSE_MOST = 300, STACK = 256 * 1024 };

int64_t cb_status_now(const cb_status *status)
{
    return status->config.now ? status->config.now() : (int64_t)time(NULL);
}

int64_t cb_status_due(const cb_status *status, int64_t until)
{
    int64_t now = cb_status_now(status);
    int64_t half = (until - now) / 2;
    int64_t most = status->config.refresh;
    return now + (half < 1 ? PAUSE_FIRST : half < most ? half : most);
}

int64_t cb_status_pause(unsigned failures)
{
    int64_t pause = PAUSE_FIRST;
    for (unsigned i = 1; i < failures && pause < PAUSE_MOST; i++)
        pause *= 2;
    return pause < PAUSE_MOST ? pause : PAUSE_MOST;
}

/* ---- questions ---- */

cb_status_question cb_status_question_of(const cb_x509 *certificate, const cb_x509 *issuer)
{
    return (cb_status_question){.issuer_name = cb_sha256(certificate->issuer),
                                .issuer_key = cb_sha256(issuer->public_key),
                                .serial = certificate->serial,
                                .crl_points = certificate->crl_points,
                                .is_ca = certificate->is_ca};
}

static bool same_digest(const cb_digest *a, const cb_digest *b)
{
    return cb_bytes_same(cb_digest_bytes(a), cb_digest_bytes(b));
}

static cb_issuer *find_issuer(cb_status *status, const cb_status_question *question)
{
    for (size_t i = 0; i < status->issuer_count; i++) {
        if (same_digest(&status->issuers[i].name, &question->issuer_name) &&
            same_digest(&status->issuers[i].key, &question->issuer_key))
            return &status->issuers[i];
    }
    return NULL;
}

/* A list that has it revoked is believed at once. Then the responder, which knows best, has the
 * word; where it has said nothing, or only what is stale and was good, a fresh list will do. */
static cb_error check_issuer(cb_issuer *issuer, const cb_status_question *question,
                             cb_status_reason *reason)
{
    cb_error listed = cb_lists_check(issuer, question, reason);
    if (listed == CB_E_CERTIFICATE_REVOKED || !issuer->about->responder)
        return listed;
    cb_error answered = cb_answers_check(issuer, question->serial, reason);
    if (answered == CB_E_NOT_FOUND) /* never issued, says the responder: no list outweighs that */
        return CB_E_CERTIFICATE_STATUS;
    return answered == CB_E_CERTIFICATE_STATUS ? listed : answered;
}

static void explain(cb_status_reason *reason, const cb_issuer *issuer, cb_error error)
{
    if (!issuer)
        snprintf(reason->detail, sizeof reason->detail, "no status of this issuer is configured");
    else if (error == CB_E_CERTIFICATE_REVOKED)
        snprintf(reason->detail, sizeof reason->detail, "revoked by %.80s, reason %u",
                 issuer->about->name, reason->reason);
    else if (error)
        snprintf(reason->detail, sizeof reason->detail, "nothing fresh is known from %.80s",
                 issuer->about->name);
}

cb_error cb_status_check(cb_status *status, const cb_status_question *question,
                         cb_status_reason *reason)
{
    *reason = (cb_status_reason){.reason = CB_CRL_NO_REASON};
    pthread_mutex_lock(&status->lock);
    cb_issuer *issuer = find_issuer(status, question);
    cb_error error = issuer ? check_issuer(issuer, question, reason) : CB_E_CERTIFICATE_STATUS;
    status->counts.good += error == CB_OK;
    status->counts.revoked += error == CB_E_CERTIFICATE_REVOKED;
    status->counts.unknown += error == CB_E_CERTIFICATE_STATUS;
    pthread_mutex_unlock(&status->lock);
    explain(reason, issuer, error);
    return error;
}

cb_error cb_status_check_path(cb_status *status, const cb_x509_path *path, cb_status_reason *reason)
{
    cb_error error = path->count < 2 ? CB_E_CERTIFICATE_STATUS : CB_OK;
    *reason = (cb_status_reason){.reason = CB_CRL_NO_REASON};
    for (size_t i = 0; i + 1 < path->count && !error; i++) {
        cb_status_question question =
            cb_status_question_of(&path->certificates[i], &path->certificates[i + 1]);
        error = cb_status_check(status, &question, reason);
    }
    return error;
}

/* The configured issuer that signed a certificate. What it needs of them does not change. */
static cb_error find_signer(const cb_status *status, const cb_x509 *certificate,
                            const cb_x509 **issuer)
{
    *issuer = NULL;
    for (size_t i = 0; i < status->issuer_count && !*issuer; i++) {
        cb_error error = cb_x509_is_issued_by(certificate, &status->issuers[i].certificate);
        if (error == CB_E_MEMORY)
            return error;
        if (!error)
            *issuer = &status->issuers[i].certificate;
    }
    return CB_OK;
}

static cb_error check_one(cb_status *status, const cb_x509 *certificate, const cb_x509 *issuer,
                          cb_status_reason *reason)
{
    cb_status_question question = cb_status_question_of(certificate, issuer);
    cb_error error = cb_x509_check_dates(certificate, cb_status_now(status));
    if (error)
        snprintf(reason->detail, sizeof reason->detail, "its dates, or those of a CA above it");
    return error ? error : cb_status_check(status, &question, reason);
}

cb_error cb_status_check_certificate(cb_status *status, cb_bytes certificate,
                                     cb_status_reason *reason)
{
    cb_x509 card;
    const cb_x509 *issuer;
    *reason = (cb_status_reason){.reason = CB_CRL_NO_REASON};
    cb_error error = cb_x509_parse(certificate, &card);
    if (!error)
        error = find_signer(status, &card, &issuer);
    if (!error && !issuer) {
        explain(reason, NULL, CB_E_CERTIFICATE_STATUS);
        error = CB_E_CERTIFICATE_STATUS;
    }
    const cb_x509 *at = &card;
    for (unsigned i = 0; !error && issuer; i++) {
        error =
            i < CB_X509_PATH_MAX ? check_one(status, at, issuer, reason) : CB_E_CERTIFICATE_PATH;
        at = issuer;
        /* One that signed itself is not asked about itself. */
        if (!error)
            error = find_signer(status, at, &issuer);
        if (issuer == at)
            issuer = NULL;
    }
    return error ? error : cb_x509_check_dates(at, cb_status_now(status));
}

/* ---- numbers ---- */

void cb_status_count(cb_status *status, cb_status_counts *out)
{
    pthread_mutex_lock(&status->lock);
    *out = status->counts;
    pthread_mutex_unlock(&status->lock);
}

static void describe(const cb_status *status, const cb_issuer *issuer, const cb_source *source,
                     cb_status_list *out)
{
    const cb_crl *crl = source->crl;
    *out = (cb_status_list){.issuer = issuer->about->name,
                            .url = source->url,
                            .known = crl != NULL,
                            .fresh = cb_list_is_fresh(status, source),
                            .error = source->error};
    if (crl) {
        out->this_update = crl->this_update;
        out->until =
            cb_fresh_until(crl->this_update, crl->next_update, &status->config.list_limits);
        out->entries = crl->count;
    }
}

bool cb_status_list_at(cb_status *status, size_t index, cb_status_list *out)
{
    bool found = false;
    pthread_mutex_lock(&status->lock);
    for (size_t i = 0; i < status->issuer_count && !found; i++) {
        const cb_issuer *issuer = &status->issuers[i];
        found = index < issuer->about->list_count;
        if (found)
            describe(status, issuer, &issuer->sources[index], out);
        else
            index -= issuer->about->list_count;
    }
    pthread_mutex_unlock(&status->lock);
    return found;
}

/* ---- life ---- */

static cb_error wrong(cb_buf *why, const cb_status_issuer *about, const char *what)
{
    cb_buf_printf(why, "card-issuer %s: %s", about->name, what);
    return CB_E_CONFIG;
}

/* The kept list has the name of its URL and its issuer's key, so that a change of either begins
 * anew. */
static void name_file(const cb_issuer *issuer, cb_source *source)
{
    const char *folder = issuer->status->config.folder;
    char hex[2 * CB_SHA256_SIZE + 1] = "";
    cb_bytes parts[] = {cb_digest_bytes(&issuer->key), cb_bytes_str(source->url)};
    cb_digest digest = cb_sha256_parts(parts, 2);
    cb_hex(cb_digest_bytes(&digest), hex);
    if (folder)
        snprintf(source->path, sizeof source->path, "%s/status-%.32s.crl", folder, hex);
}

static cb_error check_urls(const cb_status_issuer *about, cb_buf *why)
{
    cb_url url;
    if (about->list_count == 0 && !about->responder)
        return wrong(why, about, "neither crl nor ocsp is there");
    for (size_t i = 0; i < about->list_count; i++) {
        if (cb_url_parse(about->lists[i], &url) != CB_OK)
            return wrong(why, about, "crl: must be http://HOST[:PORT]/PATH");
    }
    if (about->responder && cb_url_parse(about->responder, &url) != CB_OK)
        return wrong(why, about, "ocsp: must be http://HOST[:PORT]/PATH");
    return CB_OK;
}

static cb_error add_issuer(cb_status *status, const cb_status_issuer *about, cb_buf *why)
{
    cb_issuer *issuer = &status->issuers[status->issuer_count];
    *issuer = (cb_issuer){.status = status, .about = about};
    cb_error error = cb_x509_parse(about->certificate, &issuer->certificate);
    if (error || !issuer->certificate.is_ca)
        return wrong(why, about, "certificate: is not that of a CA");
    error = check_urls(about, why);
    if (error)
        return error;
    issuer->name = cb_sha256(issuer->certificate.subject);
    issuer->key = cb_sha256(issuer->certificate.public_key);
    for (size_t i = 0; i < about->list_count; i++) {
        issuer->sources[i].url = about->lists[i];
        name_file(issuer, &issuer->sources[i]);
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&issuer->work, &attributes);
    pthread_condattr_destroy(&attributes);
    status->issuer_count++;
    cb_lists_restore(issuer);
    return CB_OK;
}

static cb_error start_thread(cb_issuer *issuer, void *(*run)(void *))
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    int failed = pthread_create(&issuer->threads[issuer->thread_count], &attributes, run, issuer);
    pthread_attr_destroy(&attributes);
    issuer->thread_count += failed == 0;
    return failed ? CB_E_MEMORY : CB_OK;
}

static cb_error start_threads(cb_status *status)
{
    cb_error error = CB_OK;
    for (size_t i = 0; i < status->issuer_count; i++) {
        cb_issuer *issuer = &status->issuers[i];
        if (!error && issuer->about->list_count > 0)
            error = start_thread(issuer, cb_lists_run);
        for (unsigned k = 0; k < status->config.connections && !error; k++)
            error = issuer->about->responder ? start_thread(issuer, cb_answers_run) : CB_OK;
    }
    return error;
}

static cb_error open_status(cb_status *status, cb_buf *why)
{
    const cb_status_config *config = &status->config;
    if (config->issuer_count > CB_STATUS_ISSUERS_MAX ||
        config->connections > CB_STATUS_CONNECTIONS_MAX)
        return CB_E_CONFIG;
    status->answer_count = (config->answers + WAYS - 1) / WAYS * WAYS;
    status->answers = calloc(status->answer_count, sizeof *status->answers);
    if (!status->answers)
        return CB_E_MEMORY;
    cb_error error = CB_OK;
    for (size_t i = 0; i < config->issuer_count && !error; i++)
        error = add_issuer(status, &config->issuers[i], why);
    return error ? error : start_threads(status);
}

cb_error cb_status_open(const cb_status_config *config, cb_status **out, cb_buf *why)
{
    pthread_condattr_t attributes;
    cb_status *status = calloc(1, sizeof *status);
    if (!status)
        return CB_E_MEMORY;
    status->config = *config;
    pthread_mutex_init(&status->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&status->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = status;
    cb_error error = open_status(status, why);
    if (error)
        cb_status_close(out);
    return error;
}

static void stop_threads(cb_status *status)
{
    pthread_mutex_lock(&status->lock);
    status->stopping = true;
    pthread_cond_broadcast(&status->answered);
    for (size_t i = 0; i < status->issuer_count; i++)
        pthread_cond_broadcast(&status->issuers[i].work);
    pthread_mutex_unlock(&status->lock);
    for (size_t i = 0; i < status->issuer_count; i++) {
        for (unsigned k = 0; k < status->issuers[i].thread_count; k++)
            pthread_join(status->issuers[i].threads[k], NULL);
    }
}

void cb_status_close(cb_status **status)
{
    cb_status *s = *status;
    if (!s)
        return;
    stop_threads(s);
    for (size_t i = 0; i < s->issuer_count; i++) {
        for (size_t k = 0; k < CB_STATUS_LISTS_MAX; k++)
            cb_crl_free(&s->issuers[i].sources[k].crl);
        pthread_cond_destroy(&s->issuers[i].work);
    }
    pthread_cond_destroy(&s->answered);
    pthread_mutex_destroy(&s->lock);
    free(s->answers);
    free(s);
    *status = NULL;
}

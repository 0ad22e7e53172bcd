/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Revocation lists: fetched, kept, looked up.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "broker/status/parts.h"

enum { LOOK_SECONDS = 3600 };

bool cb_list_is_fresh(const cb_status *status, const cb_source *source)
{
    return source->crl && cb_is_fresh(source->crl->this_update, source->crl->next_update,
                                      &status->config.list_limits, cb_status_now(status));
}

static void log_list(cb_log_level level, const char *event, const char *message,
                     const cb_issuer *issuer, const cb_source *source, cb_error error)
{
    cb_log(level, event, message, "issuer", issuer->about->name, "url", source->url, "error",
           error ? cb_error_code(error) : NULL, NULL);
}

/* ---- taking one up ---- */

/* A list that is older than the one that is there, or about other certificates, would forget
 * revocations: it is not taken, however good its signature. An issuer has lists of several scopes,
 * each with a row of numbers of its own. */
static cb_error install(cb_issuer *issuer, cb_source *source, cb_crl *crl)
{
    cb_status *status = issuer->status;
    cb_crl *old = crl;
    cb_error error = CB_E_STATE;
    pthread_mutex_lock(&status->lock);
    bool other = source->crl && !cb_crl_same_scope(crl, source->crl);
    if (!source->crl || (!other && !cb_crl_is_older(crl, source->crl))) {
        old = source->crl;
        source->crl = crl;
        error = CB_OK;
    }
    if (source->crl) {
        int64_t until = cb_fresh_until(source->crl->this_update, source->crl->next_update,
                                       &status->config.list_limits);
        source->due = cb_status_due(status, until);
    }
    pthread_mutex_unlock(&status->lock);
    cb_crl_free(&old);
    if (other)
        log_list(CB_LOG_WARNING, "status.list_scope",
                 "What came is a list about other certificates than the one that is known", issuer,
                 source, error);
    return error;
}

/* Of a kept list as of a fetched one everything is checked: whoever can write to the folder gains
 * nothing but an older list. */
void cb_lists_restore(cb_issuer *issuer)
{
    for (size_t i = 0; i < issuer->about->list_count; i++) {
        cb_source *source = &issuer->sources[i];
        cb_buf der = CB_BUF(issuer->status->config.list_size);
        cb_crl *crl = NULL;
        cb_error error = source->path[0] ? cb_file_read(source->path, &der) : CB_E_NOT_FOUND;
        if (!error)
            error = cb_crl_read(&der, &issuer->certificate, &crl);
        if (!error)
            error = install(issuer, source, crl);
        cb_buf_free(&der);
        if (error && error != CB_E_NOT_FOUND)
            log_list(CB_LOG_WARNING, "status.list_lost", "A kept revocation list is not used",
                     issuer, source, error);
        /* Whatever was kept may be behind: a start asks. */
        source->due = 0;
    }
}

/* ---- fetching ---- */

static void keep(const cb_issuer *issuer, const cb_source *source)
{
    cb_bytes der = cb_buf_bytes(&source->crl->der);
    cb_error error = source->path[0] ? cb_file_replace(source->path, der, 0600) : CB_OK;
    if (error)
        log_list(CB_LOG_WARNING, "status.list_unkept",
                 "A revocation list counts, but a restart will have to fetch it", issuer, source,
                 error);
}

static cb_error fetch_list(cb_issuer *issuer, cb_source *source)
{
    const cb_status_config *config = &issuer->status->config;
    cb_buf der = CB_BUF(config->list_size);
    cb_crl *crl = NULL;
    const cb_fetch what = {.url = source->url, .deadline = cb_deadline_in(config->fetch_time)};
    cb_error error = config->fetch(config->context, &what, &der);
    if (!error)
        error = cb_crl_read(&der, &issuer->certificate, &crl);
    if (!error && !cb_is_fresh(crl->this_update, crl->next_update, &config->list_limits,
                               cb_status_now(issuer->status))) {
        cb_crl_free(&crl);
        error = CB_E_CERTIFICATE_STATUS;
    }
    if (!error)
        error = install(issuer, source, crl);
    if (!error) /* no other thread replaces it */
        keep(issuer, source);
    cb_buf_free(&der);
    return error;
}

static void note(cb_issuer *issuer, cb_source *source, cb_error error)
{
    cb_status *status = issuer->status;
    if (error)
        log_list(CB_LOG_WARNING, "status.list_failed",
                 "A revocation list could not be fetched; it is tried again", issuer, source,
                 error);
    else
        log_list(CB_LOG_INFO, "status.list", "A revocation list was fetched", issuer, source,
                 CB_OK);
    pthread_mutex_lock(&status->lock);
    source->error = error;
    source->failures = error ? source->failures + 1 : 0;
    if (error)
        source->due = cb_status_now(status) + cb_status_pause(source->failures);
    status->counts.lists_fetched += !error;
    status->counts.list_failures += error != CB_OK;
    pthread_mutex_unlock(&status->lock);
}

static cb_source *find_due(cb_issuer *issuer, int64_t *wait)
{
    int64_t now = cb_status_now(issuer->status);
    int64_t latest = issuer->status->config.refresh + cb_status_pause(UINT_MAX);
    *wait = LOOK_SECONDS;
    for (size_t i = 0; i < issuer->about->list_count; i++) {
        int64_t left = issuer->sources[i].due - now;
        if (cb_status_is_past(issuer->sources[i].due, now, latest))
            return &issuer->sources[i];
        *wait = left < *wait ? left : *wait;
    }
    return NULL;
}

void *cb_lists_run(void *argument)
{
    cb_issuer *issuer = argument;
    cb_status *status = issuer->status;
    pthread_mutex_lock(&status->lock);
    while (!status->stopping) {
        int64_t wait;
        cb_source *source = find_due(issuer, &wait);
        if (source) {
            pthread_mutex_unlock(&status->lock);
            note(issuer, source, fetch_list(issuer, source));
            pthread_mutex_lock(&status->lock);
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += wait;
        pthread_cond_timedwait(&status->answered, &status->lock, &until);
    }
    pthread_mutex_unlock(&status->lock);
    return NULL;
}

/* ---- looking up ---- */

cb_error cb_lists_check(const cb_issuer *issuer, const cb_status_question *question,
                        cb_status_reason *reason)
{
    cb_error error = CB_E_CERTIFICATE_STATUS;
    for (size_t i = 0; i < issuer->about->list_count; i++) {
        const cb_source *source = &issuer->sources[i];
        if (!source->crl || !cb_crl_covers(source->crl, question->is_ca, question->crl_points))
            continue;
        /* What an old list has is revoked nevertheless. */
        if (cb_crl_has(source->crl, question->serial, &reason->reason))
            return CB_E_CERTIFICATE_REVOKED;
        if (cb_list_is_fresh(issuer->status, source))
            error = CB_OK;
    }
    return error;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What responders answered: asked for, remembered, asked again before it gets stale.
 *
 * A certificate's place is one of eight that its issuer and serial number choose. Of these the one
 * that nobody has used for the longest time is given away, and one of which nothing good was said
 * only when there is no other.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "broker/status/parts.h"

enum { WAYS = 8, LOOK_SECONDS = 60, PAUSE_SECONDS = 2, QUESTION_MAX = 1024 };
#define ANSWER_TIME (10 * CB_SECOND)

/* ---- places ---- */

static cb_remembered *ways_of(const cb_issuer *issuer, cb_bytes serial)
{
    cb_status *status = issuer->status;
    cb_bytes parts[] = {cb_digest_bytes(&issuer->key), serial};
    cb_digest digest = cb_sha256_parts(parts, 2);
    cb_cursor in = cb_cursor_over(cb_digest_bytes(&digest));
    return &status->answers[cb_cursor_u32(&in) % (status->answer_count / WAYS) * WAYS];
}

static bool is_for(const cb_remembered *r, const cb_issuer *issuer, cb_bytes serial)
{
    return r->issuer == issuer && cb_bytes_same(cb_bytes_make(r->serial, r->serial_len), serial);
}

static bool is_bad(const cb_remembered *r) { return r->known && r->said != CB_OCSP_GOOD; }

static bool goes_before(const cb_remembered *r, const cb_remembered *other)
{
    return is_bad(r) != is_bad(other) ? is_bad(other) : r->turn < other->turn;
}

/* The certificate's place, or one made free for it; NULL when all eight are being asked for. */
static cb_remembered *place_of(cb_issuer *issuer, cb_bytes serial)
{
    cb_remembered *ways = ways_of(issuer, serial);
    cb_remembered *oldest = NULL;
    for (unsigned i = 0; i < WAYS; i++) {
        cb_remembered *r = &ways[i];
        if (is_for(r, issuer, serial))
            return r;
        if (!r->waiting && !r->asking && !r->wanted && (!oldest || goes_before(r, oldest)))
            oldest = r;
    }
    if (!oldest || serial.len > sizeof oldest->serial)
        return NULL;
    *oldest = (cb_remembered){.issuer = issuer, .serial_len = serial.len};
    memcpy(oldest->serial, serial.data, serial.len);
    return oldest;
}

static bool is_fresh(const cb_status *status, const cb_remembered *r)
{
    return r->known && cb_is_fresh(r->this_update, r->next_update, &status->config.answer_limits,
                                   cb_status_now(status));
}

/* ---- asking, in a thread of the issuer's ---- */

/* A responder's certificate that does not say that it needs no look-up is good only if the issuer's
 * list says so (RFC 6960, 4.2.2.2.1). */
static cb_error check_responder(cb_issuer *issuer, const cb_ocsp_answer *answer)
{
    cb_status_reason reason;
    const cb_status_question about = {.serial =
                                          cb_bytes_make(answer->responder, answer->responder_len)};
    if (!answer->delegated)
        return CB_OK;
    pthread_mutex_lock(&issuer->status->lock);
    cb_error error = cb_lists_check(issuer, &about, &reason);
    pthread_mutex_unlock(&issuer->status->lock);
    return error ? CB_E_DENIED : CB_OK;
}

static cb_error ask(cb_issuer *issuer, cb_bytes serial, cb_ocsp_answer *out)
{
    cb_status *status = issuer->status;
    const cb_status_config *config = &status->config;
    uint8_t nonce[CB_OCSP_NONCE];
    cb_buf request = CB_BUF(QUESTION_MAX), answer = CB_BUF(CB_OCSP_ANSWER_MAX);
    cb_ocsp_question question = {.issuer = &issuer->certificate, .serial = serial};
    if (config->nonce) {
        cb_random(nonce, sizeof nonce);
        question.nonce = nonce;
    }
    cb_error error = cb_ocsp_ask(&question, &request);
    int64_t time = config->fetch_time < ANSWER_TIME ? config->fetch_time : ANSWER_TIME;
    const cb_fetch what = {.url = issuer->about->responder,
                           .question = cb_buf_bytes(&request),
                           .deadline = cb_deadline_in(time)};
    if (!error)
        error = config->fetch(config->context, &what, &answer);
    int64_t now = cb_status_now(status);
    if (!error)
        error = cb_ocsp_read(cb_buf_bytes(&answer), &question, now, out);
    if (!error)
        error = check_responder(issuer, out);
    if (!error && !cb_is_fresh(out->this_update, out->next_update, &config->answer_limits, now))
        error = CB_E_CERTIFICATE_STATUS;
    cb_buf_free(&request);
    cb_buf_free(&answer);
    return error;
}

/* An answer that is older than the one that is known says nothing. */
static void take(cb_status *status, cb_remembered *r, const cb_ocsp_answer *answer)
{
    if (r->known && answer->this_update < r->this_update)
        return;
    r->known = true;
    r->said = answer->status;
    r->reason = answer->reason;
    r->this_update = answer->this_update;
    r->next_update = answer->next_update;
    r->due = cb_status_due(
        status, cb_fresh_until(r->this_update, r->next_update, &status->config.answer_limits));
}

static bool is_silence(cb_error error)
{
    return error == CB_E_SERVICE_DOWN || error == CB_E_SERVICE_SLOW ||
           error == CB_E_SERVICE_REFUSED || error == CB_E_BUSY;
}

static void ask_for(cb_issuer *issuer, cb_remembered *r)
{
    cb_status *status = issuer->status;
    cb_ocsp_answer answer;
    uint8_t serial[CB_X509_SERIAL_MAX];
    cb_bytes bytes = {serial, r->serial_len};
    memcpy(serial, r->serial, r->serial_len);
    r->asking = true;
    r->wanted = false;
    pthread_mutex_unlock(&status->lock);
    cb_error error = ask(issuer, bytes, &answer);
    if (error)
        cb_log(CB_LOG_WARNING, "status.answer_failed", "A responder gave no answer that counts",
               "issuer", issuer->about->name, "url", issuer->about->responder, "error",
               cb_error_code(error), NULL);
    pthread_mutex_lock(&status->lock);
    r->asking = false;
    r->asked = cb_status_now(status);
    r->failures = error ? r->failures + 1 : 0;
    r->retry = r->asked + (error ? PAUSE_SECONDS : 0);
    r->due = r->asked + cb_status_pause(r->failures);
    issuer->quiet = is_silence(error) ? r->asked + PAUSE_SECONDS : 0;
    if (!error)
        take(status, r, &answer);
    status->counts.answers_fetched += !error;
    status->counts.answer_failures += error != CB_OK;
    pthread_cond_broadcast(&status->answered);
}

/* What somebody waits for; or what is due and was used since it was last fetched: about a card that
 * nobody shows any more, nobody asks. */
static cb_remembered *find_work(cb_issuer *issuer)
{
    cb_status *status = issuer->status;
    int64_t now = cb_status_now(status);
    int64_t latest = status->config.refresh + cb_status_pause(UINT_MAX);
    cb_remembered *due = NULL;
    for (size_t i = 0; i < status->answer_count; i++) {
        cb_remembered *r = &status->answers[i];
        if (r->issuer != issuer || r->asking)
            continue;
        if (r->wanted)
            return r;
        if (r->known && r->used >= r->asked && cb_status_is_past(r->due, now, latest))
            due = r;
    }
    return due;
}

void *cb_answers_run(void *argument)
{
    cb_issuer *issuer = argument;
    cb_status *status = issuer->status;
    pthread_mutex_lock(&status->lock);
    while (!status->stopping) {
        cb_remembered *r = find_work(issuer);
        if (r) {
            ask_for(issuer, r);
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += LOOK_SECONDS;
        pthread_cond_timedwait(&issuer->work, &status->lock, &until);
    }
    pthread_mutex_unlock(&status->lock);
    return NULL;
}

/* ---- a question ---- */

static void wait_for(cb_status *status, cb_issuer *issuer, cb_remembered *r)
{
    struct timespec until;
    int64_t deadline = cb_deadline_in(status->config.wait);
    until.tv_sec = deadline / CB_SECOND;
    until.tv_nsec = deadline % CB_SECOND * 1000;
    r->wanted = !r->asking;
    r->waiting++;
    status->counts.waited++;
    pthread_cond_signal(&issuer->work);
    int late = 0;
    while ((r->wanted || r->asking) && !status->stopping && late != ETIMEDOUT)
        late = pthread_cond_timedwait(&status->answered, &status->lock, &until);
    if (r->wanted || r->asking)
        issuer->quiet = cb_status_now(status) + PAUSE_SECONDS;
    /* Nobody asks any more on behalf of those who have gone. */
    if (--r->waiting == 0)
        r->wanted = false;
}

/* A responder that has just failed, or was silent, is not waited for again at each tap: all who
 * serve taps would stand before it. */
static bool may_wait(const cb_issuer *issuer, const cb_remembered *r)
{
    return cb_status_is_past(issuer->quiet, r->used, PAUSE_SECONDS) &&
           cb_status_is_past(r->retry, r->used, PAUSE_SECONDS);
}

cb_error cb_answers_check(cb_issuer *issuer, cb_bytes serial, cb_status_reason *reason)
{
    cb_status *status = issuer->status;
    cb_remembered *r = place_of(issuer, serial);
    if (!r)
        return CB_E_CERTIFICATE_STATUS;
    r->used = cb_status_now(status);
    r->turn = ++status->turns;
    if (!is_fresh(status, r) && may_wait(issuer, r))
        wait_for(status, issuer, r);
    /* Silence takes back nothing: what was revoked, or never issued, is so until a newer answer
     * says otherwise. */
    if (!is_fresh(status, r) && !is_bad(r))
        return CB_E_CERTIFICATE_STATUS;
    reason->reason = r->reason;
    return r->said == CB_OCSP_GOOD      ? CB_OK
           : r->said == CB_OCSP_REVOKED ? CB_E_CERTIFICATE_REVOKED
                                        : CB_E_NOT_FOUND;
}

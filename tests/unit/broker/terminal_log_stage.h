/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal that brings its log, for the tests of what becomes of it.
 */
#ifndef CB_TESTS_UNIT_BROKER_TERMINAL_LOG_STAGE_H
#define CB_TESTS_UNIT_BROKER_TERMINAL_LOG_STAGE_H

#include "tests/unit/broker/support.h"

#include "broker/core/terminal_log.h"
#include "cardlink/x509/request.h"

typedef struct stage {
    world w;
    cb_terminal terminal;
    cb_digest shown; /* the key of the connection */
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT], signature[CB_P256_SIGNATURE];
    cb_journal_head head; /* of the terminal's own log */
    cb_buf entries;
    cb_journal_batch batch;
} stage;

static inline cb_digest key_of(const uint8_t *point)
{
    cb_buf key = CB_BUF(256);
    cb_x509_put_key(&key, point);
    cb_digest digest = cb_sha256(cb_buf_bytes(&key));
    cb_buf_free(&key);
    return digest;
}

static inline void begin(stage *s)
{
    *s = (stage){.entries = CB_BUF(CB_JOURNAL_BATCH_MAX)};
    world_begin(&s->w);
    assert_int_equal(cb_p256_generate(s->scalar, s->point), CB_OK);
    s->shown = key_of(s->point);
    cb_terminal_new new = {.name = "logging", .key = s->shown};
    assert_int_equal(cb_terminal_add(s->w.store, "test", &new, &s->terminal), CB_OK);
}

static inline void sign(stage *s)
{
    cb_digest digest = cb_journal_digest(&s->head);
    assert_int_equal(cb_p256_sign(s->scalar, &digest, s->signature), CB_OK);
    s->batch.key = CB_BYTES_OF(s->point);
    s->batch.signature = CB_BYTES_OF(s->signature);
}

/* The next entries, signed. */
static inline void make(stage *s, int count)
{
    cb_journal_entry entry = {.time = 7, .event = CB_JOURNAL_TAP_ENDED, .text = "x accepted"};
    cb_buf_reset(&s->entries);
    s->batch = (cb_journal_batch){.before = s->head};
    for (int i = 0; i < count; i++)
        assert_int_equal(cb_journal_put(&entry, &s->entries), CB_OK);
    s->batch.entries = cb_buf_bytes(&s->entries);
    assert_int_equal(cb_journal_follow(s->batch.entries, &s->head), CB_OK);
    sign(s);
}

static inline cb_error bring(stage *s, cb_journal_head *now)
{
    return cb_terminal_log_take(s->w.store, &s->terminal.id, &s->shown, &s->batch, now);
}

static inline void taken(stage *s)
{
    cb_journal_head now;
    assert_int_equal(bring(s, &now), CB_OK);
    assert_true(cb_journal_same(&now, &s->head));
}

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/tap_memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/secret.h"

enum { BUCKETS = 1024 };

typedef struct memory_entry {
    LIST_ENTRY(memory_entry) of_bucket;
    TAILQ_ENTRY(memory_entry) order; /* of those that were answered */
    cb_tap_question_id question;
    bool answered;
    unsigned repeats;
    int64_t until; /* monotonic */
    cb_tap_word word;
} memory_entry;

LIST_HEAD(memory_bucket, memory_entry);
TAILQ_HEAD(memory_order, memory_entry);

struct cb_tap_memory {
    pthread_mutex_t lock;
    struct memory_bucket bucket[BUCKETS];
    struct memory_order answered; /* the oldest first */
    unsigned answered_count;
    unsigned count;
    size_t bytes; /* of all values */
};

cb_error cb_tap_memory_open(cb_tap_memory **out)
{
    cb_tap_memory *memory = calloc(1, sizeof *memory);
    if (!memory)
        return CB_E_MEMORY;
    pthread_mutex_init(&memory->lock, NULL);
    TAILQ_INIT(&memory->answered);
    *out = memory;
    return CB_OK;
}

/* Tap ids are random but for their first byte. */
static struct memory_bucket *bucket_of(cb_tap_memory *memory, const cb_id *tap)
{
    return &memory->bucket[(tap->bytes[14] << 8 | tap->bytes[15]) % BUCKETS];
}

/* Another terminal's request for the same tap is another entry: it neither learns of this one nor
 * disturbs it. */
static memory_entry *find_tap(cb_tap_memory *memory, const cb_id *tap, const cb_id *terminal)
{
    memory_entry *e;
    LIST_FOREACH(e, bucket_of(memory, tap), of_bucket)
    {
        if (cb_id_same(&e->question.tap, tap) && cb_id_same(&e->question.terminal, terminal))
            return e;
    }
    return NULL;
}

static memory_entry *find(cb_tap_memory *memory, const cb_tap_question_id *question)
{
    return find_tap(memory, &question->tap, &question->terminal);
}

static bool same_answers(const memory_entry *e, const cb_tap_question_id *question)
{
    return cb_equal(cb_digest_bytes(&e->question.answers), cb_digest_bytes(&question->answers));
}

/* The lock is held. */
static void forget(cb_tap_memory *memory, memory_entry *e)
{
    LIST_REMOVE(e, of_bucket);
    if (e->answered) {
        TAILQ_REMOVE(&memory->answered, e, order);
        memory->answered_count--;
        memory->bytes -= e->word.outcome.value.len;
    }
    memory->count--;
    cb_tap_outcome_free(&e->word.outcome);
    cb_wipe(e, sizeof *e);
    free(e);
}

void cb_tap_memory_close(cb_tap_memory **memory)
{
    cb_tap_memory *m = *memory;
    *memory = NULL;
    if (!m)
        return;
    for (unsigned b = 0; b < BUCKETS; b++) {
        while (!LIST_EMPTY(&m->bucket[b]))
            forget(m, LIST_FIRST(&m->bucket[b]));
    }
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static cb_error copy_word(const cb_tap_word *from, cb_tap_word *to)
{
    *to = *from;
    to->outcome.value = CB_BUF(CB_LOGIN_VALUE_MAX);
    cb_buf_put(&to->outcome.value, cb_buf_bytes(&from->outcome.value));
    cb_error error = cb_buf_error(&to->outcome.value);
    if (error)
        cb_tap_outcome_free(&to->outcome);
    return error;
}

static cb_error claim_new(cb_tap_memory *memory, const cb_tap_question_id *question)
{
    memory_entry *e = calloc(1, sizeof *e);
    if (!e)
        return CB_E_MEMORY;
    e->question = *question;
    LIST_INSERT_HEAD(bucket_of(memory, &question->tap), e, of_bucket);
    memory->count++;
    return CB_OK;
}

static cb_error claim_again(memory_entry *e, const cb_tap_question_id *question, cb_tap_word *word)
{
    if (!same_answers(e, question))
        return CB_E_TAP_UNKNOWN;
    if (!e->answered)
        return CB_E_TAP_UNDER_WAY;
    if (e->repeats >= CB_TAP_REPEATS || e->until <= cb_clock_monotonic_us())
        return CB_E_TAP_UNKNOWN;
    cb_error error = copy_word(&e->word, word);
    if (error)
        return error;
    e->repeats++;
    return CB_E_EXISTS;
}

cb_error cb_tap_memory_claim(cb_tap_memory *memory, const cb_tap_question_id *question,
                             cb_tap_word *word)
{
    pthread_mutex_lock(&memory->lock);
    memory_entry *e = find(memory, question);
    cb_error error = e ? claim_again(e, question, word) : claim_new(memory, question);
    pthread_mutex_unlock(&memory->lock);
    return error;
}

static bool too_much(const cb_tap_memory *memory)
{
    return memory->answered_count > CB_TAP_MEMORY_MOST || memory->bytes > CB_TAP_MEMORY_BYTES;
}

void cb_tap_memory_put(cb_tap_memory *memory, const cb_tap_question_id *question,
                       const cb_tap_word *word)
{
    pthread_mutex_lock(&memory->lock);
    memory_entry *e = find(memory, question);
    if (e && !e->answered && copy_word(word, &e->word) == CB_OK) {
        e->answered = true;
        e->until = cb_deadline_in(CB_TAP_REMEMBERED);
        TAILQ_INSERT_TAIL(&memory->answered, e, order);
        memory->answered_count++;
        memory->bytes += e->word.outcome.value.len;
    } else if (e && !e->answered) {
        forget(memory, e);
    }
    while (too_much(memory))
        forget(memory, TAILQ_FIRST(&memory->answered));
    pthread_mutex_unlock(&memory->lock);
}

void cb_tap_memory_forget(cb_tap_memory *memory, const cb_tap_question_id *question)
{
    pthread_mutex_lock(&memory->lock);
    memory_entry *e = find(memory, question);
    if (e && !e->answered)
        forget(memory, e);
    pthread_mutex_unlock(&memory->lock);
}

cb_error cb_tap_memory_revoked(cb_tap_memory *memory, const cb_id *tap, const cb_id *terminal,
                               cb_id *card)
{
    pthread_mutex_lock(&memory->lock);
    const memory_entry *e = find_tap(memory, tap, terminal);
    bool known = e && e->answered && e->word.error == CB_E_CARD_REVOKED &&
                 !cb_id_is_zero(&e->word.outcome.card);
    if (known)
        *card = e->word.outcome.card;
    pthread_mutex_unlock(&memory->lock);
    return known ? CB_OK : CB_E_TAP_UNKNOWN;
}

void cb_tap_memory_sweep(cb_tap_memory *memory, int64_t now)
{
    pthread_mutex_lock(&memory->lock);
    memory_entry *e;
    while ((e = TAILQ_FIRST(&memory->answered)) && e->until <= now)
        forget(memory, e);
    pthread_mutex_unlock(&memory->lock);
}

unsigned cb_tap_memory_count(cb_tap_memory *memory)
{
    pthread_mutex_lock(&memory->lock);
    unsigned count = memory->count;
    pthread_mutex_unlock(&memory->lock);
    return count;
}

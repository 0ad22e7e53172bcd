/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "cardlink/script.h"
#include "cardlink/terminal/pad.h"

#define PAD_TIME ((CB_PAD_SECONDS + CB_PAD_SECONDS / 2 + 5) * CB_SECOND)

enum { COMMAND_BYTES = CB_COMMAND_MAX };

typedef enum call {
    CALL_NONE,
    CALL_LIST,
    CALL_WAIT,
    CALL_TAKE,
    CALL_TRANSMIT,
    CALL_VERIFY,
    CALL_RELEASE,
    CALL_END
} call;

/* Shared by the caller and the thread; whoever leaves last frees it. The thread works on copies in
 * here, never on the caller's memory, because a caller that gave up has gone on. */
struct cb_readers {
    const cb_reader_kind *kind;
    int64_t patience;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    pthread_cond_t answered;
    call call; /* what is asked for; CALL_NONE once it is answered */
    bool hung; /* the caller gave up: the thread is to end as soon as it comes back */
    unsigned holders;
    pthread_t thread;

    void *state; /* the thread's alone, as long as it runs */
    cb_error error;
    cb_reader_list list;
    bool plug;
    int64_t deadline;
    char name[CB_READER_NAME_MAX + 1];
    uint8_t command[COMMAND_BYTES];
    size_t command_len;
    bool padded;  /* of a PIN */
    bool has_pad; /* the reader of the card that was taken */
    cb_buf answer;
};

/* With the lock held, which is gone afterwards. */
static void let_go(cb_readers *readers)
{
    bool last = --readers->holders == 0;
    pthread_mutex_unlock(&readers->lock);
    if (!last)
        return;
    readers->kind->close(readers->state);
    cb_buf_free(&readers->answer);
    pthread_cond_destroy(&readers->asked);
    pthread_cond_destroy(&readers->answered);
    pthread_mutex_destroy(&readers->lock);
    free(readers);
}

static cb_error take(cb_readers *readers)
{
    const cb_reader_kind *kind = readers->kind;
    cb_error error = kind->connect(readers->state, readers->name);
    readers->has_pad = !error && kind->has_pad && kind->has_pad(readers->state);
    return error;
}

static cb_error perform(cb_readers *readers, call what)
{
    const cb_reader_kind *kind = readers->kind;
    switch (what) {
    case CALL_LIST:
        return kind->list(readers->state, &readers->list);
    case CALL_WAIT:
        return kind->wait(readers->state, &readers->list, readers->plug, readers->deadline);
    case CALL_TAKE:
        return take(readers);
    case CALL_TRANSMIT:
        return kind->transmit(readers->state, cb_bytes_make(readers->command, readers->command_len),
                              &readers->answer);
    case CALL_VERIFY:
        return kind->verify(readers->state, cb_bytes_make(readers->command, readers->command_len),
                            readers->padded, &readers->answer);
    case CALL_RELEASE:
        kind->disconnect(readers->state);
        return CB_OK;
    case CALL_NONE:
    case CALL_END:
        break;
    }
    return CB_OK;
}

static void *serve(void *context)
{
    cb_readers *readers = context;
    pthread_mutex_lock(&readers->lock);
    for (bool on = true; on;) {
        while (readers->call == CALL_NONE)
            pthread_cond_wait(&readers->asked, &readers->lock);
        call what = readers->call;
        pthread_mutex_unlock(&readers->lock);
        cb_error error = perform(readers, what);
        pthread_mutex_lock(&readers->lock);
        readers->error = error;
        readers->call = CALL_NONE;
        on = what != CALL_END && !readers->hung;
        pthread_cond_signal(&readers->answered);
    }
    let_go(readers);
    return NULL;
}

static struct timespec timespec_of(int64_t deadline)
{
    return (struct timespec){.tv_sec = deadline / CB_SECOND,
                             .tv_nsec = deadline % CB_SECOND * 1000};
}

/* Has the thread do it; with the lock held, before and after. */
static cb_error ask(cb_readers *readers, call what, int64_t deadline)
{
    struct timespec until = timespec_of(deadline);
    if (readers->hung)
        return CB_E_READER;
    readers->call = what;
    pthread_cond_signal(&readers->asked);
    while (readers->call != CALL_NONE && !readers->hung)
        if (pthread_cond_timedwait(&readers->answered, &readers->lock, &until) != 0)
            readers->hung = readers->call != CALL_NONE;
    return readers->hung ? CB_E_READER : readers->error;
}

static cb_error ask_within_patience(cb_readers *readers, call what)
{
    return ask(readers, what, cb_deadline_in(readers->patience));
}

cb_error cb_readers_open(const cb_reader_kind *kind, const char *place, int64_t patience,
                         cb_readers **out)
{
    pthread_condattr_t attributes;
    cb_readers *readers = calloc(1, sizeof *readers);
    if (!readers)
        return CB_E_MEMORY;
    readers->kind = kind;
    readers->patience = patience > 0 ? patience : 10 * CB_SECOND;
    readers->answer = CB_BUF(CB_ANSWER_MAX);
    readers->holders = 2;
    cb_error error = kind->open(place, &readers->state);
    if (error) {
        free(readers);
        return error;
    }
    pthread_mutex_init(&readers->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&readers->asked, &attributes);
    pthread_cond_init(&readers->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&readers->thread, NULL, serve, readers) != 0) {
        pthread_mutex_lock(&readers->lock);
        readers->holders = 1;
        let_go(readers);
        return CB_E_MEMORY;
    }
    *out = readers;
    return CB_OK;
}

void cb_readers_close(cb_readers **handle)
{
    cb_readers *readers = *handle;
    *handle = NULL;
    if (!readers)
        return;
    pthread_mutex_lock(&readers->lock);
    ask_within_patience(readers, CALL_END);
    bool hung = readers->hung;
    pthread_t thread = readers->thread;
    pthread_mutex_unlock(&readers->lock);
    if (hung)
        pthread_detach(thread);
    else
        pthread_join(thread, NULL);
    pthread_mutex_lock(&readers->lock);
    let_go(readers);
}

bool cb_readers_hung(cb_readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    bool hung = readers->hung;
    pthread_mutex_unlock(&readers->lock);
    return hung;
}

cb_error cb_readers_list(cb_readers *readers, cb_reader_list *out)
{
    pthread_mutex_lock(&readers->lock);
    cb_error error = ask_within_patience(readers, CALL_LIST);
    if (!error)
        *out = readers->list;
    pthread_mutex_unlock(&readers->lock);
    return error;
}

cb_error cb_readers_wait(cb_readers *readers, cb_reader_list *known, bool plug, int64_t deadline)
{
    pthread_mutex_lock(&readers->lock);
    if (!readers->hung) {
        readers->list = *known;
        readers->plug = plug;
        readers->deadline = deadline;
    }
    int64_t now = cb_clock_monotonic_us();
    cb_error error = ask(readers, CALL_WAIT, (deadline > now ? deadline : now) + readers->patience);
    if (!error)
        *known = readers->list;
    pthread_mutex_unlock(&readers->lock);
    return error;
}

cb_error cb_card_take(cb_readers *readers, const char *reader)
{
    size_t len = strlen(reader);
    if (len > CB_READER_NAME_MAX)
        return CB_E_READER_NONE;
    pthread_mutex_lock(&readers->lock);
    if (!readers->hung)
        memcpy(readers->name, reader, len + 1);
    cb_error error = ask_within_patience(readers, CALL_TAKE);
    pthread_mutex_unlock(&readers->lock);
    return error;
}

void cb_card_release(cb_readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    ask_within_patience(readers, CALL_RELEASE);
    pthread_mutex_unlock(&readers->lock);
}

cb_error cb_card_transmit(cb_readers *readers, cb_bytes command, cb_buf *answer)
{
    if (command.len > sizeof readers->command)
        return CB_E_TOO_LARGE;
    pthread_mutex_lock(&readers->lock);
    if (!readers->hung) {
        memcpy(readers->command, command.data, command.len);
        readers->command_len = command.len;
        cb_buf_reset(&readers->answer);
    }
    cb_error error = ask_within_patience(readers, CALL_TRANSMIT);
    if (!error)
        cb_buf_put(answer, cb_buf_bytes(&readers->answer));
    pthread_mutex_unlock(&readers->lock);
    return error ? error : cb_buf_error(answer);
}

bool cb_card_has_pad(cb_readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    bool has = !readers->hung && readers->has_pad;
    pthread_mutex_unlock(&readers->lock);
    return has;
}

cb_error cb_card_verify(cb_readers *readers, cb_bytes header, bool padded, cb_buf *answer)
{
    cb_error error = CB_E_PIN_PAD;
    if (header.len > sizeof readers->command)
        return CB_E_TOO_LARGE;
    pthread_mutex_lock(&readers->lock);
    if (!readers->hung && readers->has_pad) {
        memcpy(readers->command, header.data, header.len);
        readers->command_len = header.len;
        readers->padded = padded;
        cb_buf_reset(&readers->answer);
        error = ask(readers, CALL_VERIFY, cb_deadline_in(PAD_TIME));
    }
    if (!error)
        cb_buf_put(answer, cb_buf_bytes(&readers->answer));
    pthread_mutex_unlock(&readers->lock);
    return error ? error : cb_buf_error(answer);
}

cb_error cb_reader_kind_find(const char *text, const cb_reader_kind **kind, const char **place)
{
    static const char virtual_prefix[] = "virtual:";
    size_t len = sizeof virtual_prefix - 1;
    *kind = NULL;
    if (strcmp(text, "pcsc") == 0 || strcmp(text, "pcsc exclusive") == 0)
        *kind = &cb_reader_pcsc;
    else if (strncmp(text, virtual_prefix, len) == 0 && text[len] == '/')
        *kind = &cb_reader_virtual;
    *place = *kind == &cb_reader_virtual ? text + len : text;
    return *kind ? CB_OK : CB_E_CONFIG;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/workers.h"

#include <pthread.h>
#include <stdlib.h>

struct task {
    cb_job job;
    void *context;
};

struct cb_workers {
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct task *queue; /* a ring */
    unsigned size, at, waiting;
    pthread_t *threads;
    unsigned count;
    bool stopping;
};

static bool next_task(cb_workers *workers, struct task *task)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->waiting == 0 && !workers->stopping)
        pthread_cond_wait(&workers->some, &workers->lock);
    bool found = workers->waiting > 0;
    if (found) {
        *task = workers->queue[workers->at];
        workers->at = (workers->at + 1) % workers->size;
        workers->waiting--;
    }
    pthread_mutex_unlock(&workers->lock);
    return found;
}

static void *work(void *context)
{
    struct task task;
    while (next_task(context, &task))
        task.job(task.context);
    return NULL;
}

cb_error cb_workers_open(unsigned threads, unsigned queue, cb_workers **out)
{
    cb_workers *workers = calloc(1, sizeof *workers);
    *out = NULL;
    if (!workers)
        return CB_E_MEMORY;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->some, NULL);
    workers->size = queue;
    workers->queue = calloc(queue, sizeof *workers->queue);
    workers->threads = calloc(threads, sizeof *workers->threads);
    cb_error error = workers->queue && workers->threads ? CB_OK : CB_E_MEMORY;
    while (!error && workers->count < threads) {
        if (pthread_create(&workers->threads[workers->count], NULL, work, workers) != 0)
            error = CB_E_MEMORY;
        else
            workers->count++;
    }
    if (error)
        cb_workers_close(&workers);
    *out = workers;
    return error;
}

bool cb_workers_submit(cb_workers *workers, cb_job job, void *context, bool enters)
{
    pthread_mutex_lock(&workers->lock);
    unsigned most = enters ? (workers->size + 1) / 2 : workers->size;
    bool room = !workers->stopping && workers->waiting < most;
    if (room) {
        unsigned end = (workers->at + workers->waiting) % workers->size;
        workers->queue[end] = (struct task){job, context};
        workers->waiting++;
    }
    pthread_mutex_unlock(&workers->lock);
    /* Who is woken needs the lock. */
    if (room)
        pthread_cond_signal(&workers->some);
    return room;
}

unsigned cb_workers_waiting(cb_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    unsigned waiting = workers->waiting;
    pthread_mutex_unlock(&workers->lock);
    return waiting;
}

void cb_workers_stop(cb_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->some);
    pthread_mutex_unlock(&workers->lock);
    for (; workers->count > 0; workers->count--)
        pthread_join(workers->threads[workers->count - 1], NULL);
}

void cb_workers_close(cb_workers **out)
{
    cb_workers *workers = *out;
    if (!workers)
        return;
    cb_workers_stop(workers);
    pthread_cond_destroy(&workers->some);
    pthread_mutex_destroy(&workers->lock);
    free(workers->queue);
    free(workers->threads);
    free(workers);
    *out = NULL;
}

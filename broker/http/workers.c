/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/workers.h"

#include <pthread.h>
#include <stdlib.h>

struct task {
    cb_job job;
    void *context;
};

/* Of those that have nothing to do the one is called that was called last: what it touches is most
 * likely still in the processor's caches. */
struct worker {
    pthread_t thread;
    struct cb_workers *crew;
    pthread_cond_t called;
    struct task task;     /* to be done by it; no job: none */
    struct worker *below; /* has had nothing to do for longer */
};

struct cb_workers {
    pthread_mutex_t lock;
    struct task *queue; /* a ring */
    unsigned size, at, waiting;
    struct worker *workers, *idle;
    unsigned count;
    bool stopping;
};

static void wait_for_call(struct worker *worker)
{
    struct cb_workers *crew = worker->crew;
    worker->below = crew->idle;
    crew->idle = worker;
    while (!worker->task.job && !crew->stopping)
        pthread_cond_wait(&worker->called, &crew->lock);
}

static bool next_task(struct worker *worker, struct task *task)
{
    struct cb_workers *crew = worker->crew;
    pthread_mutex_lock(&crew->lock);
    worker->task = (struct task){0};
    if (crew->waiting > 0) {
        worker->task = crew->queue[crew->at];
        crew->at = (crew->at + 1) % crew->size;
        crew->waiting--;
    } else if (!crew->stopping) {
        wait_for_call(worker);
    }
    *task = worker->task;
    pthread_mutex_unlock(&crew->lock);
    return task->job != NULL;
}

static void *work(void *context)
{
    struct task task;
    while (next_task(context, &task))
        task.job(task.context);
    return NULL;
}

static cb_error start(struct cb_workers *crew, struct worker *worker)
{
    worker->crew = crew;
    pthread_cond_init(&worker->called, NULL);
    if (pthread_create(&worker->thread, NULL, work, worker) == 0)
        return CB_OK;
    pthread_cond_destroy(&worker->called);
    return CB_E_MEMORY;
}

cb_error cb_workers_open(unsigned threads, unsigned queue, cb_workers **out)
{
    cb_workers *workers = calloc(1, sizeof *workers);
    *out = NULL;
    if (!workers)
        return CB_E_MEMORY;
    pthread_mutex_init(&workers->lock, NULL);
    workers->size = queue;
    workers->queue = calloc(queue, sizeof *workers->queue);
    workers->workers = calloc(threads, sizeof *workers->workers);
    cb_error error = workers->queue && workers->workers ? CB_OK : CB_E_MEMORY;
    for (; !error && workers->count < threads; workers->count += !error)
        error = start(workers, &workers->workers[workers->count]);
    if (error)
        cb_workers_close(&workers);
    *out = workers;
    return error;
}

static void enqueue(cb_workers *workers, struct task task)
{
    workers->queue[(workers->at + workers->waiting++) % workers->size] = task;
}

bool cb_workers_submit(cb_workers *workers, cb_job job, void *context, bool enters)
{
    pthread_mutex_lock(&workers->lock);
    unsigned most = enters ? (workers->size + 1) / 2 : workers->size;
    bool room = !workers->stopping && workers->waiting < most;
    struct worker *idle = room ? workers->idle : NULL;
    if (idle) {
        workers->idle = idle->below;
        idle->task = (struct task){job, context};
    } else if (room) {
        enqueue(workers, (struct task){job, context});
    }
    pthread_mutex_unlock(&workers->lock);
    /* Who is called needs the lock. */
    if (idle)
        pthread_cond_signal(&idle->called);
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
    for (unsigned i = 0; i < workers->count; i++)
        pthread_cond_signal(&workers->workers[i].called);
    pthread_mutex_unlock(&workers->lock);
    for (; workers->count > 0; workers->count--) {
        pthread_join(workers->workers[workers->count - 1].thread, NULL);
        pthread_cond_destroy(&workers->workers[workers->count - 1].called);
    }
}

void cb_workers_close(cb_workers **out)
{
    cb_workers *workers = *out;
    if (!workers)
        return;
    cb_workers_stop(workers);
    pthread_mutex_destroy(&workers->lock);
    free(workers->queue);
    free(workers->workers);
    free(workers);
    *out = NULL;
}

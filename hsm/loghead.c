/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/loghead.h"

#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "hsm/durable.h"

struct cb_loghead {
    int fd;
    cb_durable durable;
    cb_tree_head head;
};

cb_error cb_loghead_open(const char *path, cb_loghead **out)
{
    cb_loghead *loghead = calloc(1, sizeof *loghead);
    if (!loghead)
        return CB_E_MEMORY;
    cb_error error = cb_durable_open(path, &loghead->fd);
    if (!error && flock(loghead->fd, LOCK_EX | LOCK_NB) != 0)
        error = CB_E_BUSY;
    if (!error)
        error = cb_durable_read(loghead->fd, &loghead->durable);
    if (!error && loghead->durable.sequence > 0)
        error = cb_durable_again(loghead->fd, &loghead->durable);
    loghead->head = (cb_tree_head){loghead->durable.number, loghead->durable.digest};
    if (!error && loghead->durable.sequence == 0)
        loghead->head.root = cb_sha256((cb_bytes){0});
    if (error)
        cb_loghead_close(&loghead);
    *out = loghead;
    return error;
}

void cb_loghead_close(cb_loghead **loghead)
{
    if (!*loghead)
        return;
    if ((*loghead)->fd >= 0)
        close((*loghead)->fd);
    free(*loghead);
    *loghead = NULL;
}

cb_tree_head cb_loghead_now(const cb_loghead *loghead) { return loghead->head; }

cb_error cb_loghead_extend(cb_loghead *loghead, const cb_tree_head *head,
                           const cb_merkle_proof *extends)
{
    if (!cb_merkle_extends(&loghead->head, head, extends))
        return CB_E_HSM_HEAD;
    if (head->size == loghead->head.size)
        return CB_OK;
    cb_error error = cb_durable_write(loghead->fd, &loghead->durable, head->size, &head->root);
    if (!error)
        loghead->head = *head;
    return error;
}

cb_error cb_loghead_peek(const char *path, uint64_t *size)
{
    int fd = -1;
    cb_durable durable;
    cb_error error = cb_durable_open(path, &fd);
    if (!error) {
        error = cb_durable_read(fd, &durable);
        close(fd);
    }
    *size = error ? 0 : durable.number;
    return error;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/checkpoint_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME = 4096, BLOCK = CB_WORDS_BLOCK * CB_WORD_SIZE };

static cb_error name_of(const cb_store *store, cb_checkpoint_which which, char out[NAME])
{
    int len = snprintf(out, NAME, "%s-checkpoint%s", store->path,
                       which == CB_CHECKPOINT_NEXT ? ".next" : "");
    return len > 0 && len < NAME ? CB_OK : CB_E_STORE;
}

static bool stops(cb_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool stopping = store->writer_stops || store->signer_stops;
    pthread_mutex_unlock(&store->lock);
    return stopping;
}

/* ---- Writing ---- */

static cb_error write_all(int fd, cb_bytes bytes)
{
    while (bytes.len > 0) {
        ssize_t done = write(fd, bytes.data, bytes.len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return errno == ENOSPC ? CB_E_STORE_FULL : CB_E_STORE;
        bytes = cb_bytes_make(bytes.data + done, bytes.len - (size_t)done);
    }
    return CB_OK;
}

static cb_error write_words(cb_store *store, int fd, const cb_id_entry *words,
                            cb_checkpoint *checkpoint)
{
    cb_merkle_frontier tree = {0};
    cb_buf block = CB_BUF(BLOCK);
    cb_error error = CB_OK;
    for (uint64_t at = 0; !error && at < checkpoint->words; at += CB_WORDS_BLOCK) {
        uint64_t left = checkpoint->words - at;
        cb_buf_reset(&block);
        cb_words_put(&block, words + at, left < CB_WORDS_BLOCK ? (size_t)left : CB_WORDS_BLOCK,
                     &tree);
        error = stops(store) ? CB_E_STOPPING : cb_buf_error(&block);
        if (!error)
            error = write_all(fd, cb_buf_bytes(&block));
    }
    cb_buf_free(&block);
    checkpoint->words_root = cb_merkle_root(&tree);
    return error;
}

static cb_error write_file(cb_store *store, int fd, cb_checkpoint *checkpoint,
                           const cb_merkle_frontier *tree, const cb_id_entry *words)
{
    cb_buf head = CB_BUF(CB_CHECKPOINT_HEAD_MAX);
    cb_checkpoint_head_put(&head, checkpoint, tree);
    cb_error error = cb_buf_error(&head);
    if (!error)
        error = write_all(fd, cb_buf_bytes(&head));
    cb_buf_free(&head);
    if (!error)
        error = write_words(store, fd, words, checkpoint);
    if (!error && fsync(fd) != 0)
        error = CB_E_STORE;
    return error;
}

static cb_error sync_folder(const cb_store *store)
{
    char name[NAME];
    snprintf(name, sizeof name, "%s", store->path);
    char *slash = strrchr(name, '/');
    if (slash)
        slash[slash == name ? 1 : 0] = 0;
    int fd = open(slash ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cb_error error = fd >= 0 && fsync(fd) == 0 ? CB_OK : CB_E_STORE;
    if (fd >= 0)
        close(fd);
    return error;
}

cb_error cb_checkpoint_write(cb_store *store, cb_checkpoint *checkpoint,
                             const cb_merkle_frontier *tree, const cb_id_entry *words)
{
    char name[NAME];
    cb_error error = name_of(store, CB_CHECKPOINT_NEXT, name);
    if (!error && !cb_store_has_room(store, checkpoint->words * CB_WORD_SIZE))
        error = CB_E_STORE_FULL;
    if (error)
        return error;
    unlink(name); /* whatever it is */
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return CB_E_STORE;
    error = write_file(store, fd, checkpoint, tree, words);
    if (close(fd) != 0 && !error)
        error = CB_E_STORE;
    if (!error)
        error = sync_folder(store);
    if (error)
        unlink(name);
    return error;
}

cb_error cb_checkpoint_keep(cb_store *store)
{
    char kept[NAME], next[NAME];
    cb_error error = name_of(store, CB_CHECKPOINT_KEPT, kept);
    if (!error)
        error = name_of(store, CB_CHECKPOINT_NEXT, next);
    if (!error && rename(next, kept) != 0)
        error = CB_E_STORE;
    return error ? error : sync_folder(store);
}

bool cb_checkpoint_forget(cb_store *store)
{
    char name[NAME];
    bool gone = true;
    for (int which = 0; which < CB_CHECKPOINT_FILES; which++) {
        if (name_of(store, (cb_checkpoint_which)which, name) != CB_OK ||
            (unlink(name) != 0 && errno != ENOENT))
            gone = false;
    }
    return gone;
}

/* ---- Reading ---- */

static cb_error read_all(int fd, uint8_t *out, size_t len)
{
    while (len > 0) {
        ssize_t done = read(fd, out, len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done == 0 ? CB_E_FORMAT : CB_E_STORE;
        out += done;
        len -= (size_t)done;
    }
    return CB_OK;
}

/* The file is as long as its head says, so nothing is made ready for words that are not there. */
static cb_error read_head(int fd, cb_checkpoint *out, cb_merkle_frontier *tree)
{
    uint8_t head[CB_CHECKPOINT_HEAD_MAX];
    struct stat file;
    size_t size = 0;
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))
        return CB_E_FORMAT;
    cb_error error = read_all(fd, head, CB_CHECKPOINT_HEAD);
    if (!error)
        error = cb_checkpoint_head_size(cb_bytes_make(head, CB_CHECKPOINT_HEAD), &size);
    if (!error)
        error = read_all(fd, head + CB_CHECKPOINT_HEAD, size - CB_CHECKPOINT_HEAD);
    if (!error)
        error = cb_checkpoint_head_get(cb_bytes_make(head, size), out, tree);
    uint64_t rest = (uint64_t)file.st_size - size;
    if (!error && (rest / CB_WORD_SIZE != out->words || rest % CB_WORD_SIZE != 0))
        error = CB_E_FORMAT;
    return error;
}

static cb_error read_words(cb_store *store, int fd, cb_checkpoint *out, cb_id_map *words)
{
    cb_words_reader reader = {0};
    uint8_t *block = malloc(BLOCK);
    cb_error error = block ? cb_id_map_reserve(&reader.map, out->words) : CB_E_MEMORY;
    for (uint64_t left = out->words; !error && left > 0;) {
        size_t count = left < CB_WORDS_BLOCK ? (size_t)left : CB_WORDS_BLOCK;
        error = stops(store) ? CB_E_STOPPING : read_all(fd, block, count * CB_WORD_SIZE);
        if (!error)
            error = cb_words_take(&reader, cb_bytes_make(block, count * CB_WORD_SIZE));
        left -= count;
    }
    free(block);
    out->words_root = cb_merkle_root(&reader.tree);
    *words = reader.map;
    return error;
}

cb_error cb_checkpoint_load(cb_store *store, cb_checkpoint_which which, cb_checkpoint *out,
                            cb_merkle_frontier *tree, cb_id_map *words)
{
    char name[NAME];
    *words = (cb_id_map){0};
    cb_error error = name_of(store, which, name);
    if (error)
        return error;
    /* Somebody may have put a pipe there, at which others wait for ever. */
    int fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? CB_E_NOT_FOUND : CB_E_STORE;
    error = read_head(fd, out, tree);
    if (!error)
        error = read_words(store, fd, out, words);
    close(fd);
    return error;
}

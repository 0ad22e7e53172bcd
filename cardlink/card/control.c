/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/control.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 128, ANSWER_LINES_MAX = 64 * 1024 };

static bool card_lies_anywhere(const cb_vcards *all, const cb_vcard *card)
{
    for (size_t i = 0; i < all->reader_count; i++) {
        if (all->reader[i].card == card)
            return true;
    }
    return false;
}

cb_error cb_vcards_insert(cb_vcards *all, size_t reader, size_t card)
{
    if (reader >= all->reader_count || card >= all->card_count)
        return CB_E_ARGUMENT;
    if (card_lies_anywhere(all, all->card[card]))
        return CB_E_STATE;
    return cb_vcard_reader_insert(&all->reader[reader], all->card[card]);
}

void cb_vcards_insert_all(cb_vcards *all)
{
    for (size_t i = 0; i < all->reader_count && i < all->card_count; i++)
        cb_vcards_insert(all, i, i);
}

void cb_vcards_remove_all(cb_vcards *all)
{
    for (size_t i = 0; i < all->reader_count; i++)
        cb_vcard_reader_remove(&all->reader[i]);
}

static void list(const cb_vcards *all, cb_buf *answer)
{
    for (size_t i = 0; i < all->card_count; i++) {
        char text[CB_ID_TEXT] = "-";
        const char *place = "-";
        cb_id id;
        if (cb_vcard_identity(all->card[i], &id))
            cb_id_text(&id, text);
        for (size_t j = 0; j < all->reader_count; j++) {
            if (all->reader[j].card == all->card[i])
                place = all->reader[j].place;
        }
        cb_buf_printf(answer, "%zu %s %s %s\n", i, all->file[i], text, place);
    }
}

static cb_error obey(cb_vcards *all, const char *line, cb_buf *answer)
{
    size_t reader, card;
    int end = 0;
    if (sscanf(line, "insert %4zu %4zu %n", &reader, &card, &end) == 2 && line[end] == 0)
        return cb_vcards_insert(all, reader, card);
    if (sscanf(line, "remove %4zu %n", &reader, &end) == 1 && line[end] == 0) {
        if (reader >= all->reader_count)
            return CB_E_ARGUMENT;
        cb_vcard_reader_remove(&all->reader[reader]);
        return CB_OK;
    }
    if (strcmp(line, "list") != 0)
        return CB_E_ARGUMENT;
    list(all, answer);
    return CB_OK;
}

static cb_error address_of(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof out->sun_path)
        return CB_E_CONFIG;
    memcpy(out->sun_path, path, len + 1);
    return CB_OK;
}

cb_error cb_vcard_control_listen(const char *path, int *out)
{
    struct sockaddr_un address;
    cb_error error = address_of(path, &address);
    if (error)
        return error;
    if (!cb_vcard_make_way(path))
        return CB_E_EXISTS;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177);
    bool listening =
        fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 8) == 0;
    umask(before);
    if (!listening && fd >= 0)
        close(fd);
    *out = listening ? fd : -1;
    return listening ? CB_OK : CB_E_IO;
}

/* As recv, but a signal is no end. */
static ssize_t take(int fd, void *out, size_t len)
{
    ssize_t got;
    do
        got = recv(fd, out, len, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Reads up to the end of a line, which becomes the end of the string. */
static bool read_line(int fd, char line[LINE_MAX_LEN])
{
    for (size_t len = 0; len < LINE_MAX_LEN; len++) {
        if (take(fd, &line[len], 1) != 1)
            return false;
        if (line[len] == '\n') {
            line[len] = 0;
            return true;
        }
    }
    return false;
}

void cb_vcard_control_serve(int listener, cb_vcards *all)
{
    const struct timeval patience = {.tv_sec = 1};
    char line[LINE_MAX_LEN];
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (read_line(fd, line)) {
        cb_buf answer = CB_BUF(ANSWER_LINES_MAX);
        cb_error error = obey(all, line, &answer);
        if (error)
            cb_buf_printf(&answer, "error %s\n", cb_error_text(error));
        else
            cb_buf_put_str(&answer, "ok\n");
        /* A caller who went away is not to be told anything. */
        if (cb_buf_error(&answer) == CB_OK)
            cb_vcard_send(fd, cb_buf_bytes(&answer));
        cb_buf_free(&answer);
    }
    close(fd);
}

static cb_error converse(int fd, const char *line)
{
    cb_buf answer = CB_BUF(ANSWER_LINES_MAX), question = CB_BUF(LINE_MAX_LEN);
    char chunk[512];
    ssize_t got;
    cb_buf_printf(&question, "%s\n", line);
    cb_error error = cb_buf_error(&question) ? CB_E_ARGUMENT : CB_OK;
    if (!error && !cb_vcard_send(fd, cb_buf_bytes(&question)))
        error = CB_E_CLOSED;
    while (!error && (got = take(fd, chunk, sizeof chunk)) > 0)
        cb_buf_put(&answer, cb_bytes_make(chunk, (size_t)got));
    const char *text = error ? NULL : cb_buf_cstr(&answer);
    if (!error && !text)
        error = CB_E_CLOSED;
    if (!error) {
        fputs(text, stdout);
        size_t len = strlen(text);
        if (len < 3 || strcmp(&text[len - 3], "ok\n") != 0)
            error = CB_E_ARGUMENT;
    }
    cb_buf_free(&answer);
    cb_buf_free(&question);
    return error;
}

cb_error cb_vcard_control_tell(const char *path, const char *line)
{
    struct sockaddr_un address;
    cb_error error = address_of(path, &address);
    if (error)
        return error;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return CB_E_IO;
    int rc;
    do
        rc = connect(fd, (struct sockaddr *)&address, sizeof address);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        error = converse(fd, line);
    else
        error = CB_E_CLOSED;
    close(fd);
    return error;
}

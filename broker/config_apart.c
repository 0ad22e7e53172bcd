/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The configuration, read by a process of its own, in memory that both share: what it left there is
 * at the same place here.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/config.h"

enum { TEXTS = 64 * 1024, WHY = 1024 };
#define LOOK (2 * CB_MILLISECOND)

struct cb_config_apart {
    bool done; /* the rest is as the reader meant it */
    cb_error error;
    char why[WHY];
    cb_broker_config config;
    size_t used;
    char texts[TEXTS];
};

/* ---- In the reader ---- */

static bool move(struct cb_config_apart *to, const char **text)
{
    size_t size = *text ? strlen(*text) + 1 : 0;
    if (size > TEXTS - to->used)
        return false;
    if (*text)
        *text = memcpy(to->texts + to->used, *text, size);
    to->used += size;
    return true;
}

static bool move_listener(struct cb_config_apart *to, cb_broker_listener *listener)
{
    bool all = move(to, &listener->address);
    for (size_t i = 0; all && i < listener->entry_count; i++)
        all = move(to, &listener->entries[i].name) && move(to, &listener->entries[i].certificate) &&
              move(to, &listener->entries[i].key);
    return all;
}

static bool move_issuer(struct cb_config_apart *to, cb_broker_issuer *issuer)
{
    bool all =
        move(to, &issuer->name) && move(to, &issuer->certificate) && move(to, &issuer->responder);
    for (size_t i = 0; all && i < issuer->list_count; i++)
        all = move(to, &issuer->lists[i]);
    return all;
}

static cb_error move_all(const cb_broker_config *from, struct cb_config_apart *to)
{
    cb_broker_config *config = &to->config;
    *config = *from;
    config->file = NULL;
    config->apart = to;
    bool all = move(to, &config->user) && move(to, &config->run) && move(to, &config->state) &&
               move(to, &config->database) && move(to, &config->relay_domain);
    for (size_t i = 0; all && i < config->listener_count; i++)
        all = move_listener(to, &config->listeners[i]);
    for (size_t i = 0; all && i < config->issuer_count; i++)
        all = move_issuer(to, &config->issuers[i]);
    return all ? CB_OK : CB_E_TOO_LARGE;
}

static void read_into(const char *path, struct cb_config_apart *to)
{
    cb_broker_config config;
    cb_buf why = CB_BUF(WHY - 1);
    to->error = cb_broker_config_load(path, &config, &why);
    if (!to->error)
        to->error = move_all(&config, to);
    if (to->error == CB_E_TOO_LARGE)
        cb_buf_printf(&why, "%s: names and paths are too long together", path);
    memcpy(to->why, why.data ? (const char *)why.data : "", why.len);
    to->done = true;
}

/* ---- In the program ---- */

/* Whether it has ended by then; if not, it is ended. SIGKILL by tgkill, which programs that are
 * confined have. */
static void wait_for(pid_t reader, int64_t deadline)
{
    pid_t ended;
    while ((ended = waitpid(reader, NULL, WNOHANG)) == 0 && cb_deadline_left_ms(deadline) > 0)
        usleep(LOOK);
    if (ended != 0)
        return;
    syscall(SYS_tgkill, reader, reader, SIGKILL);
    while (waitpid(reader, NULL, 0) < 0 && errno == EINTR)
        continue;
}

static cb_error read_apart(const char *path, int64_t time, struct cb_config_apart *apart,
                           cb_buf *why)
{
    pid_t reader = fork();
    if (reader == 0) {
        read_into(path, apart);
        _exit(0);
    }
    if (reader < 0)
        return CB_E_MEMORY;
    wait_for(reader, cb_deadline_in(time));
    if (!apart->done) {
        cb_buf_printf(why, "%s: who was to read it ended within it, or took too long", path);
        return CB_E_INTERNAL;
    }
    cb_buf_put_str(why, apart->why);
    return apart->error;
}

cb_error cb_broker_config_load_apart(const char *path, int64_t time, cb_broker_config *out,
                                     cb_buf *why)
{
    *out = (cb_broker_config){0};
    struct cb_config_apart *apart =
        mmap(NULL, sizeof *apart, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (apart == MAP_FAILED)
        return CB_E_MEMORY;
    cb_error error = read_apart(path, time, apart, why);
    if (!error)
        *out = apart->config;
    else
        munmap(apart, sizeof *apart);
    return error;
}

void cb_config_apart_free(struct cb_config_apart *apart)
{
    if (apart)
        munmap(apart, sizeof *apart);
}

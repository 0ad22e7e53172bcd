/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardbroker-hsmd: reads its configuration and PIN, opens its sockets, gives up its rights, keeps
 * its workers alive.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/sandbox.h"
#include "base/secret.h"
#include "base/supervise.h"
#include "base/text.h"
#include "hsm/durable.h"
#include "hsm/feed.h"
#include "hsm/folder.h"
#include "hsm/initialise.h"
#include "hsm/card_pair.h"
#include "hsm/keyring.h"
#include "hsm/options.h"
#include "hsm/protocol.h"
#include "hsm/terminal_certificate.h"
#include "hsm/vault_keyring.h"
#include "hsm/worker.h"

enum { EXIT_CONFIG = 78, PLANS_MAX = CB_HSM_WORKERS_MAX + 2 };

typedef struct program {
    cb_hsmd_command command;
    cb_hsmd_config config;
    cb_buf pin;
    cb_buf why;
    cb_worker_plan plan[PLANS_MAX];
    cb_worker worker[PLANS_MAX];
    unsigned workers;
    int held;                /* the lock for all of the sockets; closed by the end of the process */
    int64_t sockets_free_by; /* until then those of one that was killed are waited for */
} program;

static cb_error read_pin(program *p, int fd, const char *name, cb_buf *pin)
{
    if (fd >= 0)
        return cb_hsmd_pin_read_fd(fd, pin, &p->why);
    if (name)
        return cb_hsmd_pin_read(name, pin, &p->why);
    cb_buf_printf(&p->why, "so-pin-file is not set: set it, or pass --so-pin-fd");
    return CB_E_CONFIG;
}

static cb_error make_folder(program *p, const char *path, unsigned mode)
{
    if (mkdir(path, (mode_t)mode) == 0 || errno == EEXIST)
        return CB_OK;
    cb_buf_printf(&p->why, "%s: cannot be made: %s", path, strerror(errno));
    return CB_E_CONFIG;
}

/* Where users are separated, the front end's must not be able to put another folder in the place of
 * one of hsmd's. */
static cb_error check_folder(program *p, const char *path)
{
    return p->config.users.separated ? cb_folder_check(path, p->config.users.own, &p->why) : CB_OK;
}

/* hsmd's memory, and the lock around logging in to the token. A folder that is missing later is one
 * whose disk is not mounted: with an empty one hsmd would have forgotten everything. */
static cb_error find_state(program *p)
{
    if (p->command.initialise)
        return make_folder(p, p->config.state, 0700);
    if (access(p->config.state, F_OK) == 0)
        return CB_OK;
    cb_buf_printf(&p->why, "%s: %s: mount its disk or restore it; --initialise makes an empty one",
                  p->config.state, strerror(errno));
    return CB_E_IO;
}

static cb_error make_state(program *p)
{
    cb_error error = find_state(p);
    if (!error && p->config.users.separated &&
        chown(p->config.state, p->config.users.own, (gid_t)-1) != 0) {
        cb_buf_printf(&p->why, "%s: cannot be given to user %s", p->config.state, p->config.user);
        error = CB_E_CONFIG;
    }
    return error ? error : check_folder(p, p->config.state);
}

/* What root is for: PIN, sockets, limits. */
static cb_error give_up_root(program *p)
{
    int dropped;
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    if (geteuid() == 0)
        setrlimit(RLIMIT_MEMLOCK, &all);
    cb_error error = cb_sandbox_become(p->config.user, &dropped);
    if (error)
        cb_buf_printf(&p->why, "cannot become user %s", p->config.user);
    return error;
}

static void log_number(const char *event, const char *message, const char *name, unsigned value)
{
    char text[16];
    snprintf(text, sizeof text, "%u", value);
    cb_log(CB_LOG_INFO, event, message, name, text, NULL);
}

/* The files in which the workers remember. Those that are there stay as they are. */
static cb_error make_memory(program *p)
{
    cb_error error = cb_feed_make(p->config.feed_path);
    if (!error)
        error = cb_durable_make(p->config.bound_path);
    if (!error)
        error = cb_durable_make(p->config.guesses_path);
    if (!error)
        error = cb_durable_make(p->config.log_path);
    if (error)
        cb_buf_printf(&p->why, "%s: no files can be made in it", p->config.state);
    return error;
}

/* The acts of the security officer, whose PIN may be root's alone to read. */
static cb_error act_as_officer(program *p)
{
    unsigned made = 0;
    uint32_t generation = 0;
    const cb_hsmd_command *command = &p->command;
    cb_buf so_pin = CB_BUF(CB_HSM_PIN_MAX);
    cb_error error = read_pin(p, p->command.so_pin_fd, p->config.so_pin_file, &so_pin);
    cb_initialise_options options = {.token = p->config.token,
                                     .make_token = p->command.initialise,
                                     .so_pin = &so_pin,
                                     .pin = &p->pin};
    if (!error)
        error = give_up_root(p);
    if (!error && p->command.initialise)
        error = make_memory(p);
    if (!error)
        error = command->initialise      ? cb_hsm_initialise(&options, &made)
                : command->new_card_keys ? cb_hsm_add_card_pair(&options, &made)
                                         : cb_hsm_add_generation(&options, &generation);
    cb_buf_free(&so_pin);
    if (error)
        return error;
    if (command->initialise)
        log_number("keyring.initialised", "The token has all of the broker's keys.", "made", made);
    else if (command->new_card_keys)
        log_number("card_keys.made",
                   "New keys towards cards were made: have them certified under the next key "
                   "version.",
                   "number", made);
    else
        log_number("generation.made", "New key-encryption keys were made.", "generation",
                   generation);
    return CB_OK;
}

static void print_pem(const char *what, cb_bytes der)
{
    cb_buf text = CB_BUF(2 * CB_TERMINAL_CERTIFICATE_MAX);
    cb_buf_put_base64(&text, der);
    printf("-----BEGIN %s-----\n", what);
    for (size_t at = 0; at < text.len; at += 64) {
        size_t len = text.len - at < 64 ? text.len - at : 64;
        printf("%.*s\n", (int)len, (const char *)text.data + at);
    }
    printf("-----END %s-----\n", what);
    cb_buf_free(&text);
}

static cb_error print_public_key(program *p)
{
    cb_own_key key;
    cb_keyring *keyring = NULL;
    cb_buf der = CB_BUF(CB_PUBLIC_KEY_MAX);
    const char *name = p->command.public_key;
    cb_error error = give_up_root(p);
    if (!error)
        error = cb_keyring_open(&p->config.token, &p->pin, &keyring);
    /* Somebody will certify it. */
    if (!error)
        error = cb_token_sync(cb_keyring_token(keyring));
    if (!error)
        error = cb_own_key_parse(name, &key) ? cb_card_pair_public(keyring, name, &der)
                                             : cb_keyring_public(keyring, key, &der);
    if (error == CB_E_NOT_FOUND)
        cb_buf_printf(&p->why, "%s: there is no such key", name);
    if (!error)
        print_pem("PUBLIC KEY", cb_buf_bytes(&der));
    cb_keyring_close(&keyring);
    cb_buf_free(&der);
    return error;
}

static cb_error print_terminal_ca(program *p)
{
    cb_vault_keyring keyring;
    cb_buf der = CB_BUF(CB_TERMINAL_CERTIFICATE_MAX);
    cb_error error = give_up_root(p);
    if (error)
        return error;
    error = cb_vault_keyring_open(&p->config, &p->pin, &keyring);
    if (!error)
        error = cb_terminal_ca_make(&keyring.vault, cb_clock_wall_us() / CB_SECOND, &der);
    if (!error)
        print_pem("CERTIFICATE", cb_buf_bytes(&der));
    cb_vault_keyring_close(&keyring);
    cb_buf_free(&der);
    return error;
}

/* The kernel's reason only where it was the kernel that refused. */
static cb_error cannot_listen(program *p, const char *path, cb_error error)
{
    bool refused = error == CB_E_IO || error == CB_E_DENIED;
    const char *why = error == CB_E_RUNNING ? "another cardbroker-hsmd serves it"
                      : error == CB_E_CONFIG
                          ? "is too long for a socket: name a run folder with a shorter path"
                      : refused ? strerror(errno)
                                : cb_error_text(error);
    cb_buf_printf(&p->why, "%s: %s", path, why);
    return error;
}

/* The manage socket, of which there is always one, stands for all of them: whoever comes second
 * touches none. */
static cb_error hold_sockets(program *p)
{
    char path[512];
    snprintf(path, sizeof path, "%s/manage.sock", p->config.run);
    cb_error error = cb_msg_hold(path, cb_deadline_in(CB_MSG_HOLD_TIME), &p->held);
    if (error == CB_E_IO)
        cb_buf_printf(&p->why, "%s-lock: cannot be locked: %s", path, strerror(errno));
    return error == CB_E_IO || !error ? error : cannot_listen(p, path, error);
}

/* Only its lane's user may open a socket; and the worker asks the kernel who connected (lanes.h).
 */
static cb_error listen_on(program *p, cb_worker_plan *plan)
{
    char path[512];
    const cb_hsmd_users *users = &p->config.users;
    bool many = plan->kind == CB_LANE_MANAGE && users->separated;
    snprintf(path, sizeof path, "%s/%s.sock", p->config.run, plan->name);
    /* Of one that was killed, a worker may still be finishing a login (worker.c). */
    cb_error error =
        cb_msg_listen_when_free(path, many ? 0666 : 0600, p->sockets_free_by, &plan->listener);
    if (!error && users->separated && !many && chown(path, users->front_end, (gid_t)-1) != 0)
        error = CB_E_IO;
    return error ? cannot_listen(p, path, error) : CB_OK;
}

static cb_error add_worker(program *p, cb_lane_kind kind, unsigned index)
{
    unsigned at = p->workers++;
    cb_worker_plan *plan = &p->plan[at];
    *plan = (cb_worker_plan){
        .kind = kind, .index = index, .config = &p->config, .pin = &p->pin, .listener = -1};
    cb_lane_name(kind, index, plan->name);
    p->worker[at] =
        (cb_worker){.name = plan->name, .main = cb_hsmd_worker, .context = plan, .index = at};
    return listen_on(p, plan);
}

/* A client finds the workers by their sockets, so those of an earlier run with more workers go. */
static void remove_old_sockets(const program *p)
{
    char path[512];
    for (unsigned i = p->config.workers; i < CB_HSM_WORKERS_MAX; i++) {
        snprintf(path, sizeof path, "%s/use-%u.sock", p->config.run, i);
        unlink(path);
    }
}

static cb_error add_workers(program *p)
{
    p->sockets_free_by = cb_deadline_in(CB_MSG_FREE_TIME);
    cb_error error = hold_sockets(p);
    for (unsigned i = 0; i < p->config.workers && !error; i++)
        error = add_worker(p, CB_LANE_USE, i);
    if (!error)
        error = add_worker(p, CB_LANE_LOG, 0);
    if (!error)
        error = add_worker(p, CB_LANE_MANAGE, 0);
    if (!error)
        remove_old_sockets(p);
    return error;
}

static void say_ready(void *context)
{
    const program *p = context;
    char workers[16];
    snprintf(workers, sizeof workers, "%u", p->config.workers);
    cb_log(CB_LOG_INFO, "hsmd.started", "The key service runs.", "workers", workers, "run",
           p->config.run, NULL);
    if (!p->config.users.separated)
        cb_log(
            CB_LOG_WARNING, "hsmd.not_separated",
            "Front end and managers are the same user: nothing keeps the front end from the manage "
            "socket. Start as root with user, front-end-user and manager-users set.",
            NULL);
}

/* One for all workers: a wrong PIN is tried once by all of them together. */
static cb_error share_refusal(program *p)
{
    void *page =
        mmap(NULL, sizeof(atomic_bool), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return CB_E_MEMORY;
    p->config.token.pin_refused = page;
    return CB_OK;
}

/* Logs in once before the workers do: with a wrong PIN each of them would use up one of the token's
 * tries. */
static cb_error check_token(program *p)
{
    cb_keyring *keyring = NULL;
    cb_buf pin = CB_BUF(CB_HSM_PIN_MAX);
    cb_buf_put(&pin, cb_buf_bytes(&p->pin));
    cb_error error = cb_buf_error(&pin);
    if (!error)
        error = cb_keyring_open(&p->config.token, &pin, &keyring);
    if (error)
        cb_buf_printf(&p->why, "the token \"%s\" cannot be used; the reason stands above",
                      p->config.token.label);
    else
        (void)cb_token_sync(cb_keyring_token(keyring)); /* what a killed act left; it logs */
    cb_keyring_close(&keyring);
    cb_buf_free(&pin);
    return error;
}

static cb_error serve(program *p)
{
    cb_error error = make_folder(p, p->config.run, 0755);
    if (!error)
        error = check_folder(p, p->config.run);
    if (!error)
        error = add_workers(p);
    if (!error)
        error = give_up_root(p);
    if (!error)
        error = share_refusal(p);
    if (!error)
        error = check_token(p);
    if (!error)
        error = cb_supervise(p->worker, p->workers, say_ready, p);
    return error;
}

static cb_error run(program *p)
{
    cb_error error = cb_hsmd_config_load(p->command.config, &p->config, &p->why);
    if (error)
        return error;
    cb_log_init("cardbroker-hsmd", p->config.log_level);
    error = read_pin(p, p->command.pin_fd, p->config.pin_file, &p->pin);
    if (!error && p->pin.data)
        mlock(p->pin.data, p->pin.cap);
    if (!error)
        error = make_state(p);
    if (error)
        return error;
    if (p->command.initialise || p->command.new_generation || p->command.new_card_keys)
        return act_as_officer(p);
    if (p->command.public_key)
        return print_public_key(p);
    if (p->command.terminal_ca)
        return print_terminal_ca(p);
    return serve(p);
}

int main(int argc, char **argv)
{
    static program p;
    int stop = cb_hsmd_options(argc, argv, &p.command);
    if (stop)
        return stop - 1;
    cb_buf_init(&p.pin, CB_HSM_PIN_MAX);
    cb_buf_init(&p.why, 1024);
    cb_log_init("cardbroker-hsmd", CB_LOG_INFO);
    cb_error error = cb_sandbox_no_dumps();
    if (!error)
        error = run(&p);
    if (error)
        cb_log_failure("hsmd.failed", error, p.why.len > 0 ? cb_buf_cstr(&p.why) : NULL);
    cb_buf_free(&p.pin);
    cb_buf_free(&p.why);
    cb_hsmd_config_free(&p.config);
    return error == CB_OK ? 0 : error == CB_E_CONFIG ? EXIT_CONFIG : 1;
}

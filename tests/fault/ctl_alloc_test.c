/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each allocation, and each call for sockets, of cardbrokerctl fails in turn: it asks cardbrokerd
 * for what it was told to ask or for nothing, and says that it is done only when it is.
 */
#include "tests/support/alloc_faults.h"
#include "tests/support/socket_faults.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/config.h"
#include "base/text.h"
#include "broker/ctl/commands.h"
#include "fake.h"

/* What the flows return when something else was asked, or done was said of nothing; no listed
 * error. */
#define WRONG CB_ERROR_COUNT

enum { WORDS = 16, ASKED = 4 };

static const char certificate[] = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

typedef struct command {
    const char *name;
    const char *words[WORDS];
    const char *asked[ASKED]; /* the beginnings of the requests, or what their bodies are */
    const char *printed;      /* NULL: not looked at */
} command;

/* Of the server's process: the requests since they were last looked at. */
typedef struct record {
    volatile unsigned count;
    char line[ASKED][128];
    char body[ASKED][1024];
} record;

static fake hsmd;
static char *folder = hsmd.folder;
static world card;
static char old_key[1024], new_key[1024]; /* sealed under one generation and the next */
static record *heard;
static pid_t server;
static struct sockaddr_un place = {.sun_family = AF_UNIX};

#define ID "0123456789abcdef0123456789abcdef"
#define PROGRAM ID ID
#define UUID "01234567-89ab-7def-8123-456789abcdef"

/* ---- A broker that takes everything ---- */

static const char *answer_for(const char *line)
{
    static char keys[1200];
    if (strncmp(line, "GET /v1/enrolments?", 19) == 0)
        return "{\"enrolments\":[{\"id\":\"" ID "\",\"key\":{}}]}";
    if (strncmp(line, "GET /v1/enrolments/", 19) == 0) {
        snprintf(keys, sizeof keys,
                 "{\"keys\":[{\"id\":\"" ID "\",\"generation\":0,\"sealed\":\"%s\"}]}", old_key);
        return keys;
    }
    if (strncmp(line, "GET /v1/services/", 17) == 0)
        return "{\"name\":\"mail\",\"title\":\"Mail\",\"connector\":\"c\",\"level\":2,"
               "\"certificate\":true,\"config\":{\"a\":\"b\"},\"session\":{\"kind\":\"url\","
               "\"life\":60}}";
    if (strncmp(line, "GET /v1/holders?", 16) == 0)
        return "{\"holders\":[{\"id\":\"0123456789abcdef0123456789abcdef\",\"name\":\"Ada\"}]}";
    return "{\"id\":\"0123456789abcdef0123456789abcdef\"}";
}

static void answer(int fd)
{
    char text[4096], out[2048];
    size_t len = 0, body = 0;
    const char *end = NULL;
    while (len + 1 < sizeof text && (!end || len < (size_t)(end - text) + 4 + body)) {
        ssize_t got = read(fd, text + len, sizeof text - 1 - len);
        if (got <= 0)
            return;
        len += (size_t)got;
        text[len] = 0;
        end = strstr(text, "\r\n\r\n");
        const char *length = end ? strcasestr(text, "\r\nContent-Length:") : NULL;
        body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    }
    unsigned at = heard->count;
    if (at < ASKED && end) {
        snprintf(heard->line[at], sizeof heard->line[at], "%.*s", (int)strcspn(text, "\r"), text);
        snprintf(heard->body[at], sizeof heard->body[at], "%s", end + 4);
    }
    heard->count = at + 1;
    const char *json = answer_for(text);
    int size = snprintf(out, sizeof out,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                        "%zu\r\nConnection: close\r\n\r\n%s",
                        strlen(json), json);
    if (write(fd, out, (size_t)size) != size)
        return;
}

static void serve(int listener)
{
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            _exit(1);
        answer(fd);
        close(fd);
    }
}

/* ---- The commands ---- */

static bool as_told(const command *c)
{
    for (unsigned i = 0; i < heard->count; i++) {
        const char *want = i < ASKED ? c->asked[i] : NULL;
        const char *body = want ? strchr(want, '\n') : NULL;
        if (!want || strncmp(heard->line[i], want, strcspn(want, "\n")) != 0)
            return false;
        if (body && strcmp(heard->body[i], body + 1) != 0)
            return false;
    }
    return true;
}

static unsigned wanted(const command *c)
{
    unsigned count = 0;
    while (count < ASKED && c->asked[count])
        count++;
    return count;
}

/* One connection after the other is served: when this one has ended, so have those before. */
static void wait_for_server(void)
{
    char byte;
    int fd = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || syscall(SYS_connect, fd, &place, sizeof place) != 0)
        abort();
    shutdown(fd, SHUT_WR);
    while (read(fd, &byte, 1) > 0) {
    }
    close(fd);
}

static void forget(void *context)
{
    (void)context;
    wait_for_server();
    memset(heard, 0, sizeof *heard);
}

static cb_error run(void *context)
{
    const command *c = context;
    static char said[8192], told[8192], out_room[4096], err_room[4096];
    char *argv[WORDS + 4] = {(char *)(uintptr_t) "cardbrokerctl"}, run_option[128];
    int argc = 1;
    memset(said, 0, sizeof said);
    memset(told, 0, sizeof told);
    alloc_faults_pause(true);
    FILE *out = fmemopen(said, sizeof said - 1, "w"), *err = fmemopen(told, sizeof told - 1, "w");
    assert_true(out && err);
    setvbuf(out, out_room, _IOFBF, sizeof out_room);
    setvbuf(err, err_room, _IOFBF, sizeof err_room);
    alloc_faults_pause(false);
    snprintf(run_option, sizeof run_option, "--run=%s", folder);
    argv[argc++] = run_option;
    for (unsigned i = 0; c->words[i]; i++)
        argv[argc++] = (char *)(uintptr_t)c->words[i];
    cb_ctl_status status = cb_ctl_main(argc, argv, out, err);
    alloc_faults_pause(true);
    fclose(out);
    fclose(err);
    alloc_faults_pause(false);
    if (getenv("CARDBROKER_FAULTS_SHOW"))
        fprintf(stderr, "%d, %u asked: %s%s", status, heard->count, said, told);
    wait_for_server();
    if (!as_told(c))
        return WRONG;
    if (!status)
        return heard->count == wanted(c) && (!c->printed || strcmp(said, c->printed) == 0) ? CB_OK
                                                                                           : WRONG;
    return strstr(told, "error [") ? CB_E_MEMORY : WRONG;
}

static void works_again(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    forget(NULL);
    assert_int_equal(run(context), CB_OK);
}

static char pem_path[128];
static char rewrapped[1200]; /* the request that puts the key back */

static command commands[] = {
    {"holder add",
     {"holder", "add", "--name", "Ada"},
     {"POST /v1/holders \n{\"name\":\"Ada\"}"},
     "holder " ID " added\n"},
    {"holder add, JSON",
     {"--json", "holder", "add", "--name", "Ada"},
     {"POST /v1/holders \n{\"name\":\"Ada\"}"},
     "{\n  \"id\": \"" ID "\"\n}\n"},
    {"holder list", {"holder", "list"}, {"GET /v1/holders"} /* libcurl may lose the query */, NULL},
    {"a terminal with a limit",
     {"terminal", "enrol", "--name", "Hall", "--rate", "7", "--service", "mail", "--certificate",
      pem_path, "--kind", "personal"},
     {"POST /v1/terminals \n{\"name\":\"Hall\",\"pin_pad\":false,\"certificate\":\"-----BEGIN "
      "CERTIFICATE-----\\nMAA=\\n-----END CERTIFICATE-----\\n\",\"services\":[\"mail\"],"
      "\"rate\":7,\"kind\":\"personal\"}"},
     NULL},
    {"a card revoked",
     {"card", "revoke", UUID, "--reason", "lost"},
     {"POST /v1/cards/" UUID "/revoke \n{\"reason\":\"lost\"}"},
     "card " UUID " revoked\n"},
    {"a card suspended",
     {"card", "suspend", UUID},
     {"POST /v1/cards/" UUID "/suspend \n{}"},
     "card " UUID " suspended\n"},
    {"a card to be given back",
     {"card", "recall", UUID, "--by", "2999-12-31", "--reason", "worn"},
     {"POST /v1/cards/" UUID "/recall \n{\"by\":\"2999-12-31\",\"reason\":\"worn\"}"},
     "card " UUID " is to be given back by 2999-12-31\n"},
    {"software of one configuration",
     {"software", "add", "--version", "1", "--program", PROGRAM, "--configuration", PROGRAM,
      "--until", "2999-12-31"},
     {"POST /v1/software \n{\"version\":\"1\",\"program\":\"" PROGRAM "\",\"config\":\"" PROGRAM
      "\",\"until\":\"2999-12-31\"}"},
     "software " ID " listed\n"},
    {"keys sealed anew",
     {"key", "rewrap-all"},
     {"GET /v1/enrolments", "GET /v1/enrolments/" ID "/sealed ", rewrapped},
     "1 keys sealed under generation 1; 0 were already\n"},
    {"service set",
     {"service", "update", "mail", "--title", "Post"},
     {"GET /v1/services/mail ",
      "PUT /v1/services/mail \n{\"title\":\"Post\",\"connector\":\"c\",\"config\":{\"a\":\"b\"},"
      "\"level\":2,\"certificate\":true,\"session\":{\"kind\":\"url\",\"life\":60}}"},
     NULL},
};

static void each_command_does_what_it_was_told_or_says_so(void **state)
{
    static const fault_kind *const kinds[] = {&alloc_faults, &socket_faults, &interrupt_faults,
                                              &short_faults};
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            fault_flow flow = {commands[i].name, forget, run, works_again};
            fault_each(kinds[k], &flow, &commands[i], 200);
        }
}

static void make_sealed_keys(void)
{
    cb_buf old = CB_BUF(CB_SEALED_MAX), anew = CB_BUF(CB_SEALED_MAX);
    cb_sealed_info info = {.key = cb_id_new(),
                           .holder = cb_id_new(),
                           .service = "tax",
                           .algorithm = CB_KEY_EC_P256,
                           .uses = 1,
                           .generation = 1,
                           .sequence = 1};
    assert_int_equal(fake_make_sealed(&info, &old), CB_OK);
    assert_int_equal(fake_vault.rewrap(NULL, cb_buf_bytes(&old), &anew), CB_OK);
    cb_hex(cb_buf_bytes(&old), old_key);
    cb_hex(cb_buf_bytes(&anew), new_key);
    snprintf(rewrapped, sizeof rewrapped, "POST /v1/enrolments/" ID "/rewrap \n{\"sealed\":\"%s\"}",
             new_key);
    cb_buf_free(&old);
    cb_buf_free(&anew);
}

static int begin(void **state)
{
    (void)state;
    alloc_faults_pause(true); /* also in what is forked */
    world_make(&card, false);
    fake_make(&hsmd, &card);
    fake_start(&hsmd);
    make_sealed_keys();
    alloc_faults_pause(false);
    snprintf(place.sun_path, sizeof place.sun_path, "%s/admin.sock", folder);
    snprintf(pem_path, sizeof pem_path, "%s/terminal.pem", folder);
    if (cb_file_replace(pem_path, cb_bytes_str(certificate), 0600))
        return -1;
    heard = mmap(NULL, sizeof *heard, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (heard == MAP_FAILED || bind(listener, (struct sockaddr *)&place, sizeof place) != 0 ||
        listen(listener, 16) != 0)
        return -1;
    server = fork();
    if (server == 0)
        serve(listener);
    close(listener);
    return server > 0 ? 0 : -1;
}

static int end(void **state)
{
    char name[128];
    (void)state;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    unlink(pem_path);
    snprintf(name, sizeof name, "%s/admin.sock", folder);
    unlink(name);
    fake_end(&hsmd);
    world_free(&card);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_command_does_what_it_was_told_or_says_so, fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, begin, end);
}

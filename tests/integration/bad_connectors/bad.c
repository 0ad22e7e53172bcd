/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A connector that misbehaves in the way that its configuration asks for.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "connectors/include/cardbroker/connector.h"

#ifndef ABI
#define ABI CARDBROKER_CONNECTOR_ABI
#endif
#ifndef SIZE
#define SIZE sizeof(cardbroker_connector)
#endif
#ifndef NAME
#define NAME "bad"
#endif

#ifdef OTHER_SYMBOL
#undef CARDBROKER_CONNECTOR_NAME
#define CARDBROKER_CONNECTOR_NAME cardbroker_connector_0
#endif

CARDBROKER_EXPORT extern const cardbroker_connector CARDBROKER_CONNECTOR_NAME;

static const cardbroker_field fields[] = {
    {.name = "do", .type = CARDBROKER_STRING, .flags = CARDBROKER_REQUIRED, .help = "What to do."},
    {.name = "url", .type = CARDBROKER_URL, .help = "A service."}};

static const cardbroker_description description = {
    .size = sizeof description,
    .name = NAME,
    .title = "Misbehaves",
    .version = "1",
    .kinds = CARDBROKER_TOKEN | CARDBROKER_ONE_TIME_URL,
    .algorithms = CARDBROKER_USES(CARDBROKER_EC_P256),
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields};

static const cardbroker_description *describe(void)
{
#ifdef CRASHES_AT_START
    abort();
#endif
    return &description;
}

static unsigned remembered; /* a login must not find what another left */

static void forbidden(const char *what)
{
    char *const arguments[] = {NULL};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
    if (strcmp(what, "open") == 0)
        open("/etc/passwd", O_RDONLY);
    else if (strcmp(what, "socket") == 0)
        socket(AF_INET, SOCK_STREAM, 0);
    else if (strcmp(what, "connect") == 0)
        syscall(SYS_connect, 3, &address, sizeof address);
    else if (strcmp(what, "execve") == 0)
        execve("/bin/sh", arguments, arguments);
    else if (strcmp(what, "fork") == 0)
        fork();
    else if (strcmp(what, "ptrace") == 0)
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    else if (strcmp(what, "kill") == 0)
        kill(getppid(), SIGKILL);
    else if (strcmp(what, "bind") == 0)
        bind(3, (struct sockaddr *)&address, sizeof address);
    else if (strcmp(what, "setrlimit") == 0)
        setrlimit(RLIMIT_CPU, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    else if (strcmp(what, "unlink") == 0)
        unlink("/nowhere");
    else if (strcmp(what, "io_uring") == 0)
        syscall(SYS_io_uring_setup, 1, NULL);
}

static void harmful(const char *what)
{
    volatile char *nowhere = NULL;
    if (strcmp(what, "crash") == 0)
        *nowhere = 1;
    else if (strcmp(what, "abort") == 0)
        abort();
    else if (strcmp(what, "exit") == 0)
        _exit(0);
    else if (strcmp(what, "hang") == 0)
        for (;;)
            sleep(1000);
    else if (strcmp(what, "spin") == 0)
        for (volatile unsigned i = 0;; i++)
            continue;
}

/* More than it may have must fail, and be survived. */
static cardbroker_status take_memory(const cardbroker_host *host, cardbroker_login *login)
{
    void *much = malloc((size_t)1 << 30);
    bool given = much != NULL;
    free(much);
    return given ? CARDBROKER_FAILED : host->set_token(login, "{\"access_token\":\"refused\"}", 0);
}

static cardbroker_status flood_log(const cardbroker_host *host, cardbroker_login *login)
{
    for (unsigned i = 0; i < 100000; i++)
        host->log(login, CARDBROKER_INFO, "flood", "\"}\n{\"event\":\"forged\"");
    return host->set_token(login, "{\"access_token\":\"flooded\"}", 0);
}

static cardbroker_status sign_much(const cardbroker_host *host, cardbroker_login *login)
{
    uint8_t digest[32] = {0}, out[512];
    size_t len;
    cardbroker_bytes data = {digest, sizeof digest};
    for (unsigned i = 0; i < 100; i++)
        host->sign(login, CARDBROKER_SIGN, CARDBROKER_SHA256, data, out, sizeof out, &len);
    return host->set_token(login, "{\"access_token\":\"signed\"}", 0);
}

static cardbroker_status wander(const cardbroker_host *host, cardbroker_login *login)
{
    cardbroker_response response = {.size = sizeof response};
    cardbroker_request request = {
        .size = sizeof request, .method = "GET", .url = "https://elsewhere.test/"};
    return host->http(login, &request, &response);
}

static cardbroker_status authenticate(const cardbroker_host *host, cardbroker_login *login)
{
    const char *what = host->text(login, "do");
    uint8_t digest[20] = {0}, out[512];
    size_t len;
    if (remembered++ > 0)
        return host->set_token(login, "{\"access_token\":\"remembered\"}", 0);
    forbidden(what);
    harmful(what);
    if (strcmp(what, "nothing") == 0)
        return CARDBROKER_OK;
    if (strcmp(what, "no-json") == 0)
        return host->set_token(login, "no JSON", 0);
    if (strcmp(what, "kind") == 0)
        return host->set_cookies(login, "{}", 0);
    if (strcmp(what, "url") == 0)
        return host->set_url(login, "javascript:alert(1)", 0);
    if (strcmp(what, "status") == 0)
        return (cardbroker_status)4711;
    if (strcmp(what, "short-digest") == 0)
        return host->sign(login, CARDBROKER_SIGN, CARDBROKER_SHA256,
                          (cardbroker_bytes){digest, sizeof digest}, out, sizeof out, &len);
    if (strcmp(what, "memory") == 0)
        return take_memory(host, login);
    if (strcmp(what, "log") == 0)
        return flood_log(host, login);
    if (strcmp(what, "sign") == 0)
        return sign_much(host, login);
    if (strcmp(what, "elsewhere") == 0)
        return wander(host, login);
    return host->set_token(login, "{\"access_token\":\"good\"}", 0);
}

const cardbroker_connector CARDBROKER_CONNECTOR_NAME = {
    .abi = ABI, .size = SIZE, .describe = describe, .authenticate = authenticate};

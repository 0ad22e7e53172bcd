/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/calm_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "tests/support/alloc_faults.h"

enum { WAIT_MS = 20000 };

typedef struct calm_line {
    int fd;
    WOLFSSL *session; /* NULL: plain */
    bool silent;
} channel;

/* ---- Straight to the kernel ---- */

static bool wait_for(channel *c, short events)
{
    const char *patience = getenv("CARDBROKER_PATIENCE");
    int factor = patience ? atoi(patience) : 1;
    struct pollfd p = {.fd = c->fd, .events = events};
    long ready = syscall(SYS_poll, &p, 1, WAIT_MS * (factor > 1 ? factor : 1));
    c->silent |= ready == 0;
    return ready > 0;
}

static long receive(channel *c, void *out, size_t size)
{
    if (!wait_for(c, POLLIN))
        return -1;
    return syscall(SYS_recvfrom, c->fd, out, size, 0, NULL, NULL);
}

static long deliver(channel *c, const void *data, size_t len)
{
    if (!wait_for(c, POLLOUT))
        return -1;
    return syscall(SYS_sendto, c->fd, data, len, MSG_NOSIGNAL, NULL, 0);
}

static int tls_receive(WOLFSSL *session, char *out, int size, void *context)
{
    (void)session;
    long got = receive(context, out, (size_t)size);
    return got > 0 ? (int)got : WOLFSSL_CBIO_ERR_CONN_CLOSE;
}

static int tls_send(WOLFSSL *session, char *data, int len, void *context)
{
    (void)session;
    long done = deliver(context, data, (size_t)len);
    return done > 0 ? (int)done : WOLFSSL_CBIO_ERR_CONN_CLOSE;
}

/* What is written goes out at once: it would wait for the other side's acknowledgement, which
 * systems put off for 40 ms. */
static int connected(int family, const void *address, socklen_t len)
{
    int on = 1, fd = (int)syscall(SYS_socket, family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && family == AF_INET)
        syscall(SYS_setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fd >= 0 && syscall(SYS_connect, fd, address, len) != 0) {
        syscall(SYS_close, fd);
        fd = -1;
    }
    return fd;
}

/* ---- HTTP ---- */

static void send_all(channel *c, const char *request)
{
    size_t len = strlen(request);
    if (c->session) {
        wolfSSL_write(c->session, request, (int)len);
        return;
    }
    for (long done; len > 0; request += done, len -= (size_t)done) {
        done = deliver(c, request, len);
        if (done <= 0)
            return;
    }
}

static size_t read_all(channel *c, char *out, size_t size)
{
    size_t len = 0;
    for (long got = 1; got > 0 && len<size; len += got> 0 ? (size_t)got : 0)
        got = c->session ? wolfSSL_read(c->session, out + len, (int)(size - len))
                         : receive(c, out + len, size - len);
    return len;
}

/* A whole answer has as many bytes as it says it has, or the last of its chunks. */
static bool is_whole(const char *head, const char *body)
{
    const char *length = strcasestr(head, "\r\nContent-Length:");
    if (length)
        return strlen(body) == strtoul(length + 17, NULL, 10);
    size_t len = strlen(body);
    return strcasestr(head, "\r\nTransfer-Encoding: chunked") && len >= 5 &&
           strcmp(body + len - 5, "0\r\n\r\n") == 0;
}

static void read_answer(channel *c, calm_answer *answer)
{
    char text[sizeof answer->head + sizeof answer->body];
    size_t len = read_all(c, text, sizeof text - 1);
    text[len] = 0;
    const char *end = strstr(text, "\r\n\r\n");
    if (!end || (size_t)(end - text) >= sizeof answer->head)
        return;
    snprintf(answer->head, sizeof answer->head, "%.*s\r\n", (int)(end - text), text);
    snprintf(answer->body, sizeof answer->body, "%s", end + 4);
    if (is_whole(answer->head, answer->body))
        sscanf(answer->head, "HTTP/1.%*d %d", &answer->status);
}

static void exchange(channel *c, const char *request, calm_answer *answer)
{
    answer->connected = true;
    send_all(c, request);
    read_answer(c, answer);
}

struct WOLFSSL_CTX *calm_tls(const char *certificate, const char *key)
{
    alloc_faults_pause(true);
    wolfSSL_Init();
    WOLFSSL_CTX *tls = wolfSSL_CTX_new(wolfTLS_client_method());
    if (!tls)
        abort();
    wolfSSL_CTX_set_verify(tls, WOLFSSL_VERIFY_NONE, NULL);
    wolfSSL_CTX_SetIORecv(tls, tls_receive);
    wolfSSL_CTX_SetIOSend(tls, tls_send);
    if (certificate &&
        (wolfSSL_CTX_use_certificate_chain_file(tls, certificate) != WOLFSSL_SUCCESS ||
         wolfSSL_CTX_use_PrivateKey_file(tls, key, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS))
        abort();
    alloc_faults_pause(false);
    return tls;
}

void calm_tls_free(struct WOLFSSL_CTX **tls)
{
    alloc_faults_pause(true);
    wolfSSL_CTX_free(*tls);
    *tls = NULL;
    alloc_faults_pause(false);
}

static bool connect_tls(struct WOLFSSL_CTX *tls, channel *c, uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *c = (channel){.fd = connected(AF_INET, &at, sizeof at)};
    if (c->fd < 0)
        return false;
    c->session = wolfSSL_new(tls);
    if (!c->session)
        abort();
    wolfSSL_SetIOReadCtx(c->session, c);
    wolfSSL_SetIOWriteCtx(c->session, c);
    return wolfSSL_connect(c->session) == WOLFSSL_SUCCESS;
}

static void hang_up(channel *c)
{
    if (c->session)
        wolfSSL_free(c->session);
    if (c->fd >= 0)
        syscall(SYS_close, c->fd);
}

void calm_ask_network(struct WOLFSSL_CTX *tls, uint16_t port, const char *request,
                      calm_answer *answer)
{
    channel c;
    memset(answer, 0, sizeof *answer);
    alloc_faults_pause(true);
    if (connect_tls(tls, &c, port))
        exchange(&c, request, answer);
    answer->silent = c.silent;
    hang_up(&c);
    alloc_faults_pause(false);
}

struct calm_line *calm_dial(struct WOLFSSL_CTX *tls, uint16_t port)
{
    alloc_faults_pause(true);
    channel *line = malloc(sizeof *line);
    if (!line)
        abort();
    if (!connect_tls(tls, line, port)) {
        hang_up(line);
        free(line);
        line = NULL;
    }
    alloc_faults_pause(false);
    return line;
}

void calm_drop(struct calm_line **line)
{
    if (!*line)
        return;
    alloc_faults_pause(true);
    hang_up(*line);
    free(*line);
    *line = NULL;
    alloc_faults_pause(false);
}

void calm_ask_on(struct calm_line **line, const char *request, calm_answer *answer)
{
    memset(answer, 0, sizeof *answer);
    if (!*line)
        return;
    alloc_faults_pause(true);
    exchange(*line, request, answer);
    alloc_faults_pause(false);
    answer->silent = (*line)->silent;
    calm_drop(line);
}

void calm_ask_local(const char *path, const char *request, calm_answer *answer)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    memset(answer, 0, sizeof *answer);
    channel c = {.fd = connected(AF_UNIX, &at, sizeof at)};
    if (c.fd < 0)
        return;
    exchange(&c, request, answer);
    answer->silent = c.silent;
    syscall(SYS_close, c.fd);
}

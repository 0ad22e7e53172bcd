/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's acceptor and HTTP server against libmicrohttpd with its own TLS (GnuTLS), in one
 * run: connections of one request each, and requests on connections that are kept. Both serve the
 * same answer under TLS 1.3 without tickets, each in a process of its own with two threads that
 * poll and that give the answer; the broker once more with the answer left to a worker, as nearly
 * all of its own are. The same clients ask. They take turns, so that both see the same machine.
 *
 *   acceptor_bench CERTIFICATE KEY [SECONDS]
 *
 * JSON: for each server and way, how many a second and the CPU of its process for one. The CPU is
 * the figure to compare: the clients share the machine.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "broker/http/acceptor.h"
#include "broker/http/server.h"

enum { CLIENTS = 8, TURNS = 3, ANSWER_MAX = 4096, PEM_MAX = 65536 };
enum { CONNECTIONS, REQUESTS, WORKED, WAYS };
static const char *const way_names[WAYS] = {"connections", "requests", "worked"};
static const char here[] = "GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char worked[] = "GET /v1/work HTTP/1.1\r\nHost: localhost\r\n\r\n";
static char body[] = "{\"live\":true}";

static const char *certificate, *key;
static WOLFSSL_CTX *context;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "acceptor_bench: %s\n", what);
    exit(1);
}

/* ---- The servers ---- */

static cb_error get_live(cb_request *request, cb_reply *reply)
{
    (void)request;
    return cb_reply_json(reply, 200, json_pack("{sb}", "live", 1));
}

static uint16_t serve_product(void)
{
    static const cb_route routes[] = {
        {"GET", "/v1/live", CB_ROLE_ANYBODY, get_live, 0, CB_CREW_NONE},
        {"GET", "/v1/work", CB_ROLE_ANYBODY, get_live, 0, CB_CREW_COMMON}};
    const cb_server_config config = {.routes = routes, .route_count = 2};
    const cb_tls_entry entry = {"", certificate, key, false};
    cb_limits limits = cb_limits_default();
    cb_server *server = NULL;
    cb_acceptor *acceptor = NULL;
    cb_buf why = CB_BUF(1024);
    uint16_t port = 0;
    cb_log_init("acceptor_bench", CB_LOG_ERROR);
    cb_error error = cb_server_open(&config, &server);
    if (!error)
        error = cb_acceptor_open(&limits, &acceptor);
    if (!error)
        error = cb_acceptor_listen(acceptor, "127.0.0.1", 0, &entry, 1, &port, &why);
    if (!error)
        error = cb_acceptor_start(acceptor, cb_server_sink(server));
    return error ? 0 : port;
}

static enum MHD_Result answer(void *unused, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    (void)unused, (void)url, (void)method, (void)version, (void)data, (void)size;
    static int seen;
    /* Answered at the first call, before the end of the request is seen, the connection is closed.
     */
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof body - 1, body, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static uint16_t serve_libmicrohttpd(void)
{
    cb_buf pem[2] = {CB_BUF(PEM_MAX), CB_BUF(PEM_MAX)};
    struct sockaddr_in loopback = {.sin_family = AF_INET};
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (cb_file_read(certificate, &pem[0]) || cb_file_read(key, &pem[1]))
        return 0;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_TLS | MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, NULL,
        MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&loopback, MHD_OPTION_THREAD_POOL_SIZE, 2U,
        MHD_OPTION_HTTPS_MEM_CERT, cb_buf_cstr(&pem[0]), MHD_OPTION_HTTPS_MEM_KEY,
        cb_buf_cstr(&pem[1]), MHD_OPTION_HTTPS_PRIORITIES, "NORMAL:%NO_TICKETS", MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    return info ? info->port : 0;
}

typedef struct contestant {
    const char *name;
    uint16_t (*serve)(void);
    pid_t pid;
    uint16_t port;
    clockid_t clock;
    double done[WAYS], closed[WAYS], seconds[WAYS], cpu_us[WAYS];
} contestant;

/* In a process of its own, which ends with this one: it waits for the pipe's end. */
static void start(contestant *c)
{
    int port[2], life[2];
    char rest;
    if (pipe(port) != 0 || pipe(life) != 0 || (c->pid = fork()) < 0)
        die("no process could be made");
    if (c->pid == 0) {
        close(life[1]);
        c->port = c->serve();
        if (write(port[1], &c->port, sizeof c->port) < 0)
            _exit(1);
        _exit(read(life[0], &rest, 1) == 0 ? 0 : 1);
    }
    close(port[1]);
    close(life[0]);
    if (read(port[0], &c->port, sizeof c->port) != sizeof c->port || c->port == 0 ||
        clock_getcpuclockid(c->pid, &c->clock) != 0)
        die("a server did not start");
    close(port[0]);
}

static double cpu_us(const contestant *c)
{
    struct timespec t = {0};
    clock_gettime(c->clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- The clients ---- */

typedef struct client {
    pthread_t thread;
    uint16_t port;
    int way;
    int64_t end;
    unsigned done, closed;
} client;

static WOLFSSL *dial(uint16_t port, int *fd)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int at_once = 1;
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    /* The question would wait for the acknowledgement of the handshake's end. */
    setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    WOLFSSL *tls = wolfSSL_new(context);
    if (*fd < 0 || !tls || connect(*fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        wolfSSL_set_fd(tls, *fd) != WOLFSSL_SUCCESS || wolfSSL_connect(tls) != WOLFSSL_SUCCESS)
        die("a connection could not be made");
    return tls;
}

/* Until the body is there; it is the same for both servers but for white space. False: the server
 * closed the connection instead. */
static bool ask(WOLFSSL *tls, const char *question)
{
    const int size = (int)strlen(question);
    char got[ANSWER_MAX + 1];
    int length = 0;
    if (wolfSSL_write(tls, question, size) != size)
        die("a question could not be sent");
    do {
        int n = wolfSSL_read(tls, got + length, ANSWER_MAX - length);
        if (n <= 0)
            return false;
        length += n;
        got[length] = 0;
    } while (!strstr(got, "\"live\"") || !strchr(got, '}') || !strstr(got, "\r\n\r\n"));
    if (strncmp(got, "HTTP/1.1 200", 12) != 0)
        die("the answer is not what was asked for");
    return true;
}

static void *run_client(void *own)
{
    client *c = own;
    int fd = -1;
    WOLFSSL *tls = NULL;
    while (cb_clock_monotonic_us() < c->end) {
        if (!tls)
            tls = dial(c->port, &fd);
        bool answered = ask(tls, c->way == WORKED ? worked : here);
        c->done += answered;
        c->closed += !answered;
        if (c->way == CONNECTIONS || !answered) {
            wolfSSL_free(tls);
            close(fd);
            tls = NULL;
        }
    }
    if (tls) {
        wolfSSL_free(tls);
        close(fd);
    }
    return NULL;
}

static void take_turn(contestant *c, int way, double seconds)
{
    client clients[CLIENTS];
    int64_t began = cb_clock_monotonic_us();
    double from = cpu_us(c);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (client){.port = c->port, .way = way, .end = began + (int64_t)(seconds * 1e6)};
        if (pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0)
            die("no thread could be made");
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        c->done[way] += clients[i].done;
        c->closed[way] += clients[i].closed;
    }
    c->cpu_us[way] += cpu_us(c) - from;
    c->seconds[way] += (double)(cb_clock_monotonic_us() - began) / 1e6;
}

static void print(const contestant *c, const char *after)
{
    printf("\"%s\":{", c->name);
    for (int way = 0; way < WAYS; way++)
        printf("\"%s\":{\"a_second\":%.0f,\"cpu_us\":%.1f,\"closed\":%.0f}%s", way_names[way],
               c->done[way] / c->seconds[way], c->cpu_us[way] / c->done[way], c->closed[way],
               way + 1 < WAYS ? "," : "}");
    printf("%s", after);
}

int main(int argc, char **argv)
{
    static contestant all[] = {{.name = "product", .serve = serve_product},
                               {.name = "libmicrohttpd", .serve = serve_libmicrohttpd}};
    int groups[] = {WOLFSSL_ECC_SECP256R1};
    if (argc < 3) {
        fprintf(stderr, "usage: acceptor_bench CERTIFICATE KEY [SECONDS]\n");
        return 2;
    }
    certificate = argv[1];
    key = argv[2];
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 10;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 2; i++)
        start(&all[i]);
    wolfSSL_Init();
    context = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
    if (!context || wolfSSL_CTX_set_groups(context, groups, 1) != WOLFSSL_SUCCESS)
        die("no client could be made");
    /* What is measured is the servers. */
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    for (int turn = 0; turn < TURNS; turn++)
        for (int way = 0; way < WAYS; way++)
            for (int i = 0; i < 2; i++)
                take_turn(&all[i], way, seconds / (TURNS * WAYS * 2));
    printf("{");
    print(&all[0], ",");
    print(&all[1], "}\n");
    wolfSSL_CTX_free(context);
    return 0;
}

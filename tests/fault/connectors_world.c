/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "connectors/host/dispatcher.h"
#include "connectors/host/opener.h"
#include "connectors/host/wait.h"
#include "connectors/host/zygote.h"
#include "connectors/protocol.h"
#include "tests/support/alloc_faults.h"

enum { SESSIONS = 16, SETTLE_MS = 300, USES = 64 };

static const char *const names[] = {"mtls", "jwt"};

static struct {
    connectors_world *world;
    cb_dispatcher dispatcher;
    int registrations[2], orders[2][2];
    int reads; /* of the service's requests */
} own;

/* What the processes tell the test. */
typedef struct told {
    atomic_int crashed; /* a wait status */
    struct {
        atomic_long live;
        atomic_uint times;
        atomic_int stage;
    } worker[WORKERS];
} told;

enum { BEGINNING, TAKING, REFUSING };

static told *shared;
static unsigned self; /* which worker this process is */
static bool taking;   /* orders, or whatever it is there for */

/* ---- Workers ---- */

pid_t __real_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);

/* A zygote's children end well, or by the zygote's own hand when the broker has gone. */
pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    pid_t ended = __real_waitpid(pid, status, options);
    bool killed = ended > 0 && WIFSIGNALED(*status) && WTERMSIG(*status) == SIGKILL;
    if (ended > 0 && pid == -1 && *status != 0 && !killed)
        atomic_store(&shared->crashed, *status);
    return ended;
}

bool __real_cb_wait(struct pollfd *polled, nfds_t count, int timeout_ms);
bool __wrap_cb_wait(struct pollfd *polled, nfds_t count, int timeout_ms);
cb_error __real_cb_msg_receive(int socket, cb_msg *msg, int64_t deadline);
cb_error __wrap_cb_msg_receive(int socket, cb_msg *msg, int64_t deadline);

bool __wrap_cb_wait(struct pollfd *polled, nfds_t count, int timeout_ms)
{
    taking = true;
    atomic_store(&shared->worker[self].stage, TAKING);
    return __real_cb_wait(polled, count, timeout_ms);
}

/* Before it takes orders a zygote receives them only to refuse them. */
cb_error __wrap_cb_msg_receive(int socket, cb_msg *msg, int64_t deadline)
{
    if (self >= MTLS && !taking)
        atomic_store(&shared->worker[self].stage, REFUSING);
    return __real_cb_msg_receive(socket, msg, deadline);
}

static void tell(int number)
{
    (void)number;
    atomic_store(&shared->worker[self].live, alloc_faults_live());
    atomic_fetch_add(&shared->worker[self].times, 1);
}

static int run_worker(unsigned worker)
{
    char path[2 * PATH_SIZE];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGUSR1, tell);
    signal(SIGALRM, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
    self = worker;
    if (worker == 0)
        return cb_dispatcher_main(&own.dispatcher);
    if (worker == 1)
        return cb_opener_main(own.registrations[1]);
    const char *name = names[worker - MTLS];
    snprintf(path, sizeof path, "%s/%s.so", getenv("CB_CONNECTORS"), name);
    cb_zygote zygote = {.name = name,
                        .path = path,
                        .orders = own.orders[worker - MTLS][1],
                        .registrations = own.registrations[0],
                        .sessions = SESSIONS,
                        .limits = {512, 60}};
    return cb_zygote_main(&zygote);
}

static void end_process(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        __real_waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

void connectors_world_start(connectors_world *w, unsigned worker)
{
    end_process(&w->worker[worker]);
    atomic_store(&shared->worker[worker].stage, BEGINNING);
    w->worker[worker] = fork();
    assert_true(w->worker[worker] >= 0);
    if (w->worker[worker] == 0)
        _exit(run_worker(worker));
}

bool connectors_world_await(connectors_world *w, unsigned worker)
{
    while (atomic_load(&shared->worker[worker].stage) == BEGINNING) {
        if (__real_waitpid(w->worker[worker], NULL, WNOHANG) != 0) {
            w->worker[worker] = 0;
            return false;
        }
        usleep(1000);
    }
    return atomic_load(&shared->worker[worker].stage) == TAKING;
}

void connectors_world_is_well(connectors_world *w)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        int status = 0;
        if (__real_waitpid(w->worker[i], &status, WNOHANG) != 0) {
            w->worker[i] = 0;
            fail_msg("worker %u ended with status %x", i, (unsigned)status);
        }
    }
    int status = atomic_exchange(&shared->crashed, 0);
    if (status)
        fail_msg("a login's process ended with status %x", (unsigned)status);
}

/* ---- What they keep ---- */

static bool has_children(pid_t pid)
{
    char path[64], list[16] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "r");
    bool has = file && fgets(list, sizeof list, file) && *list;
    if (file)
        fclose(file);
    return has;
}

static long kept_by(unsigned worker)
{
    pid_t pid = own.world->worker[worker];
    unsigned before = atomic_load(&shared->worker[worker].times);
    for (int i = 0; i < 2000 && has_children(pid); i++)
        usleep(1000);
    kill(pid, SIGUSR1);
    for (int i = 0; i < 2000 && atomic_load(&shared->worker[worker].times) == before; i++)
        usleep(500);
    return atomic_load(&shared->worker[worker].live) + open_descriptors(pid);
}

/* What is on its way out is given a moment. */
long connectors_world_kept(void)
{
    static long last = 0;
    long kept = 0;
    alloc_faults_pause(true);
    for (int64_t until = cb_deadline_in(SETTLE_MS * CB_MILLISECOND);;) {
        kept = 0;
        for (unsigned i = 0; i < WORKERS; i++)
            kept += own.world->worker[i] > 0 ? kept_by(i) : 0;
        if (kept <= last || cb_deadline_left_ms(until) == 0)
            break;
        usleep(2000);
    }
    alloc_faults_pause(false);
    last = kept;
    return kept;
}

/* ---- The service ---- */

static void start_service(connectors_world *w)
{
    int pipes[2];
    char script[2 * PATH_SIZE];
    snprintf(script, sizeof script, "%s/recording_service.py", getenv("CB_SUPPORT"));
    assert_int_equal(pipe(pipes), 0);
    w->service = fork();
    if (w->service == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        execl("/usr/bin/python3", "/usr/bin/python3", script, w->b.service, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    FILE *out = fdopen(pipes[0], "r");
    assert_non_null(out);
    assert_int_equal(fscanf(out, "%d %d", &w->port, &w->other_port), 2);
    fclose(out);
    snprintf(script, sizeof script, "%s/requests", w->b.service);
    own.reads = open(script, O_RDONLY | O_CLOEXEC);
    assert_true(own.reads >= 0);
}

bool next_request(connectors_world *w, char who[64], cb_buf *request)
{
    char line[128];
    size_t len = 0;
    (void)w;
    while (len + 1 < sizeof line && read(own.reads, line + len, 1) == 1 && line[len] != '\n')
        len++;
    if (len == 0)
        return false;
    line[len] = 0;
    size_t size = 0;
    assert_int_equal(sscanf(line, "%zu %63s", &size, who), 2);
    uint8_t *at = cb_buf_extend(request, size);
    assert_non_null(at);
    assert_int_equal(read(own.reads, at, size), size);
    return true;
}

/* ---- The whole ---- */

static void make_certificates(connectors_world *w)
{
    char command[4 * PATH_SIZE];
    snprintf(w->b.dir, sizeof w->b.dir, "/tmp/cb-connectors-XXXXXX");
    assert_non_null(mkdtemp(w->b.dir));
    snprintf(w->b.service, sizeof w->b.service, "%.200s/service", w->b.dir);
    snprintf(command, sizeof command, "%s/nginx.sh init %s", getenv("CB_SUPPORT"), w->b.service);
    assert_int_equal(system(command), 0); // NOLINT
    holder_new(&w->b, &w->holder, "anna", "ec-p256");
    holder_new(&w->b, &w->other, "bert", "rsa-2048");
}

static void keep(const cb_buf *text, char *out, size_t size)
{
    assert_true(text->len > 0 && text->len < size);
    memcpy(out, text->data, text->len);
    out[text->len] = 0;
}

static void learn(connectors_world *w)
{
    cb_buf json = CB_BUF(64 * 1024), why = CB_BUF(2048);
    cb_login_request request = {.connector = "jwt",
                                .service = "tax",
                                .config = "{\"token_endpoint\":\"https://localhost/\"}",
                                .enrolment = "{\"subject\":\"anna\"}",
                                .public_key = cb_buf_bytes(&w->holder.public_key),
                                .algorithm = w->holder.algorithm};
    assert_int_equal(cb_connectors_enrol(w->b.connectors, &request, &json, &why), CB_OK);
    keep(&json, w->jwks, sizeof w->jwks);
    const char *kid = strstr(w->jwks, "\"kid\":\"");
    assert_non_null(kid);
    assert_int_equal(sscanf(kid, "\"kid\":\"%63[^\"]", w->kid), 1);
    cb_buf_reset(&json);
    assert_int_equal(cb_connectors_describe(w->b.connectors, "jwt", &json), CB_OK);
    keep(&json, w->about_jwt, sizeof w->about_jwt);
    cb_buf_free(&json);
    cb_buf_free(&why);
}

void connectors_world_make(connectors_world *w)
{
    char path[2 * PATH_SIZE];
    *w = (connectors_world){.port = 0};
    own.world = w;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    make_certificates(w);
    start_service(w);
    static int orders[2];
    own.dispatcher = (cb_dispatcher){.names = names, .orders = orders, .count = 2};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(cb_msg_pair(own.orders[i]), CB_OK);
        orders[i] = own.orders[i][0];
    }
    assert_int_equal(cb_msg_pair(own.registrations), CB_OK);
    snprintf(path, sizeof path, "%s/" CB_CONNECTORS_SOCKET, w->b.dir);
    assert_int_equal(cb_msg_listen(path, 0600, &own.dispatcher.listener), CB_OK);
    /* What looks at the stack is loaded now: a login's process can load nothing. */
    alloc_faults.arm(0, false);
    alloc_faults.disarm();
    for (unsigned i = 0; i < WORKERS; i++)
        connectors_world_start(w, i);
    assert_int_equal(cb_connectors_open(w->b.dir, &w->b.connectors), CB_OK);
    learn(w);
}

void connectors_world_end(connectors_world *w)
{
    for (unsigned i = 0; i < WORKERS; i++)
        end_process(&w->worker[i]);
    end_process(&w->service);
    cb_connectors_close(&w->b.connectors);
    holder_free(&w->holder);
    holder_free(&w->other);
    close(own.reads);
    char command[2 * PATH_SIZE];
    snprintf(command, sizeof command, "rm -rf %s", w->b.dir);
    assert_int_equal(system(command), 0); // NOLINT
}

/* ---- Logging in ---- */

static struct {
    uint8_t digest[64], signature[256];
    size_t digest_len, signature_len;
} used[USES];
static unsigned uses;

/* The holder's key, unharmed by faults. */
static cb_error use(void *context, uint8_t operation, uint8_t hash, cb_bytes data, cb_buf *result)
{
    cb_buf made = CB_BUF(1024);
    alloc_faults_pause(true);
    cb_error error = holder_use(context, operation, hash, data, &made);
    unsigned at = uses++ % USES;
    assert_true(data.len <= sizeof used[at].digest && made.len <= sizeof used[at].signature);
    memcpy(used[at].digest, data.data, used[at].digest_len = data.len);
    memcpy(used[at].signature, made.data, used[at].signature_len = made.len);
    cb_buf_free(&made);
    alloc_faults_pause(false);
    cb_buf_put(result, cb_bytes_make(used[at].signature, used[at].signature_len));
    return error;
}

bool was_signed(cb_bytes digest, cb_bytes signature)
{
    for (unsigned i = 0; i < USES; i++) {
        if (cb_bytes_same(digest, cb_bytes_make(used[i].digest, used[i].digest_len)))
            return cb_bytes_same(signature,
                                 cb_bytes_make(used[i].signature, used[i].signature_len));
    }
    return false;
}

cb_error world_log_in(connectors_world *w, holder *who, const char *connector, const char *config,
                      const char *enrolment, cb_login_result *result, cb_session **session)
{
    cb_login_request request = {.connector = connector,
                                .service = "test",
                                .config = config,
                                .enrolment = enrolment,
                                .certificate = cb_buf_bytes(&who->certificate),
                                .public_key = cb_buf_bytes(&who->public_key),
                                .algorithm = who->algorithm,
                                .session = cb_id_new()};
    cb_login_keys keys = {who, use};
    return cb_connector_login(w->b.connectors, &request, &keys, cb_deadline_in(30 * CB_SECOND),
                              result, session);
}

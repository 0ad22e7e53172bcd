/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/integration/connectors_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "base/clock.h"
#include "base/config.h"
#include "hsm/client.h"

#define CHECK(condition) check(condition, #condition, __FILE__, __LINE__)

static bench *running;

static void check(bool good, const char *what, const char *file, int line)
{
    if (good)
        return;
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    bench *left = running;
    running = NULL;
    if (left)
        bench_stop(left);
    abort();
}

/* ---- processes ---- */

static int run(const char *command)
{
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void write_config(const bench *b, const char *connectors)
{
    char path[PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/connectord.conf", b->dir);
    FILE *file = fopen(path, "w");
    CHECK(file);
    fprintf(file, "run = \"%s\"\nlog_level = debug\n%s", b->dir, connectors);
    if (!*connectors)
        fprintf(file, "connector mtls {\n  plugin = \"%s/mtls.so\"\n}\n", getenv("CB_CONNECTORS"));
    fclose(file);
}

void bench_launch_connectord(bench *b)
{
    char path[PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/connectord.conf", b->dir);
    b->connectord = fork();
    CHECK(b->connectord >= 0);
    if (b->connectord == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        execl(getenv("CB_CONNECTORD"), "cardbroker-connectord", "--config", path, (char *)NULL);
        _exit(127);
    }
}

void bench_await_connectord(bench *b)
{
    cb_error error = CB_E_CONNECTOR_DOWN;
    for (int i = 0; i < 400 && error; i++) {
        error = cb_connectors_ping(b->connectors, NULL);
        if (error)
            usleep(25000);
    }
    CHECK(error == CB_OK);
}

void bench_start_connectord(bench *b)
{
    bench_launch_connectord(b);
    bench_await_connectord(b);
}

void bench_stop_connectord(bench *b, int signal)
{
    int status;
    kill(b->connectord, signal);
    CHECK(waitpid(b->connectord, &status, 0) == b->connectord);
    b->connectord = 0;
}

void bench_start(bench *b, const char *connectors, bool with_service)
{
    char command[3 * PATH_SIZE];
    *b = (bench){.dir = "/tmp/cb-connectors-XXXXXX"};
    CHECK(mkdtemp(b->dir));
    running = b;
    snprintf(b->service, sizeof b->service, "%.200s/service", b->dir);
    b->port = 20000 + (int)(getpid() % 4000) * 3;
    if (with_service) {
        snprintf(command, sizeof command, "%s/nginx.sh start %s %d", getenv("CB_SUPPORT"),
                 b->service, b->port);
        CHECK(run(command) == 0);
    }
    write_config(b, connectors);
    CHECK(cb_connectors_open(b->dir, &b->connectors) == CB_OK);
    bench_start_connectord(b);
}

void bench_stop(bench *b)
{
    char command[3 * PATH_SIZE];
    if (b->connectord > 0)
        bench_stop_connectord(b, SIGTERM);
    cb_connectors_close(&b->connectors);
    snprintf(command, sizeof command, "%s/nginx.sh stop %s; rm -rf %s", getenv("CB_SUPPORT"),
             b->service, b->dir);
    run(command);
    running = NULL;
}

/* ---- keys in software ---- */

static uint8_t algorithm_named(const char *name)
{
    return strcmp(name, "ec-p256") == 0    ? CB_KEY_EC_P256
           : strcmp(name, "ec-p384") == 0  ? CB_KEY_EC_P384
           : strcmp(name, "rsa-2048") == 0 ? CB_KEY_RSA_2048
                                           : CB_KEY_RSA_3072;
}

static cb_error sign_ec(const holder *h, WC_RNG *rng, cb_bytes digest, cb_buf *result)
{
    ecc_key key;
    word32 at = 0, len = 160;
    byte der[160];
    uint8_t raw[96];
    size_t half = h->algorithm == CB_KEY_EC_P384 ? 48 : 32;
    CHECK(wc_ecc_init(&key) == 0);
    CHECK(wc_EccPrivateKeyDecode(h->private_key.data, &at, &key, (word32)h->private_key.len) == 0);
    CHECK(wc_ecc_sign_hash(digest.data, (word32)digest.len, der, &len, rng, &key) == 0);
    wc_ecc_free(&key);
    CHECK(cb_ecdsa_from_der(cb_bytes_make(der, len), raw, half) == CB_OK);
    cb_buf_put(result, cb_bytes_make(raw, 2 * half));
    return CB_OK;
}

static const struct {
    int oid;
    enum wc_HashType type;
    int mgf;
} hashes[] = {{0, WC_HASH_TYPE_NONE, 0},
              {SHA256h, WC_HASH_TYPE_SHA256, WC_MGF1SHA256},
              {SHA384h, WC_HASH_TYPE_SHA384, WC_MGF1SHA384},
              {SHA512h, WC_HASH_TYPE_SHA512, WC_MGF1SHA512}};

static cb_error sign_rsa(const holder *h, WC_RNG *rng, uint8_t operation, uint8_t hash,
                         cb_bytes digest, cb_buf *result)
{
    RsaKey key;
    word32 at = 0;
    byte out[512], info[128];
    int len;
    CHECK(wc_InitRsaKey(&key, NULL) == 0);
    CHECK(wc_RsaPrivateKeyDecode(h->private_key.data, &at, &key, (word32)h->private_key.len) == 0);
    wc_RsaSetRNG(&key, rng);
    if (operation == CB_USE_SIGN_PSS) {
        len = wc_RsaPSS_Sign(digest.data, (word32)digest.len, out, sizeof out, hashes[hash].type,
                             hashes[hash].mgf, &key, rng);
    } else {
        word32 size = wc_EncodeSignature(info, digest.data, (word32)digest.len, hashes[hash].oid);
        len = wc_RsaSSL_Sign(info, size, out, sizeof out, &key, rng);
    }
    wc_FreeRsaKey(&key);
    CHECK(len > 0);
    cb_buf_put(result, cb_bytes_make(out, (size_t)len));
    return CB_OK;
}

cb_error holder_use(void *context, uint8_t operation, uint8_t hash, cb_bytes data, cb_buf *result)
{
    holder *h = context;
    WC_RNG rng;
    atomic_fetch_add(&h->uses, 1);
    if (h->refuse)
        return h->refuse;
    CHECK(wc_InitRng(&rng) == 0);
    cb_error error = h->algorithm == CB_KEY_EC_P256 || h->algorithm == CB_KEY_EC_P384
                         ? sign_ec(h, &rng, data, result)
                         : sign_rsa(h, &rng, operation, hash, data, result);
    wc_FreeRng(&rng);
    return error;
}

static void read_file(const char *dir, const char *name, const char *end, cb_buf *out)
{
    char path[2 * PATH_SIZE];
    *out = CB_BUF(64 * 1024);
    snprintf(path, sizeof path, "%s/%s%s", dir, name, end);
    CHECK(cb_file_read(path, out) == CB_OK);
}

void holder_new(const bench *b, holder *h, const char *name, const char *algorithm)
{
    char command[3 * PATH_SIZE];
    *h = (holder){.algorithm = algorithm_named(algorithm)};
    snprintf(h->name, sizeof h->name, "%s", name);
    snprintf(command, sizeof command, "%s/nginx.sh client %s %s %s", getenv("CB_SUPPORT"),
             b->service, name, algorithm);
    CHECK(run(command) == 0);
    read_file(b->service, name, ".der", &h->certificate);
    read_file(b->service, name, ".key", &h->private_key);
    read_file(b->service, name, ".pub", &h->public_key);
}

void holder_reload(const bench *b, holder *h)
{
    cb_buf_free(&h->certificate);
    read_file(b->service, h->name, ".der", &h->certificate);
}

void holder_free(holder *h)
{
    cb_buf_free(&h->certificate);
    cb_buf_free(&h->public_key);
    cb_buf_free(&h->private_key);
}

/* ---- logging in ---- */

const char *service_config(const bench *b, int port, const char *path, const char *extra,
                           cb_buf *out)
{
    *out = CB_BUF(4096);
    cb_buf_printf(out, "{\"url\":\"https://localhost:%d%s\",\"ca_file\":\"%s/server-ca.pem\"%s}",
                  port, path, b->service, extra);
    return cb_buf_cstr(out);
}

cb_error log_in(bench *b, holder *h, const char *connector, const char *config, int64_t time,
                cb_login_result *result, cb_session **session)
{
    cb_login_request request = {.connector = connector,
                                .service = "test",
                                .config = config,
                                .enrolment = "{}",
                                .certificate = cb_buf_bytes(&h->certificate),
                                .public_key = cb_buf_bytes(&h->public_key),
                                .algorithm = h->algorithm,
                                .session = cb_id_new()};
    cb_login_keys keys = {h, holder_use};
    return cb_connector_login(b->connectors, &request, &keys, cb_deadline_in(time), result,
                              session);
}

cb_session *log_in_at_service(bench *b, holder *h, int port)
{
    cb_buf config;
    cb_login_result result;
    cb_session *session = NULL;
    cb_error error = log_in(b, h, "mtls", service_config(b, port, "/whoami", "", &config),
                            10 * CB_SECOND, &result, &session);
    if (error)
        fprintf(stderr, "login of %s: %s\n", h->name, cb_error_code(error));
    CHECK(error == CB_OK && session && result.kind == CB_SESSION_RELAYED);
    cb_login_result_free(&result);
    cb_buf_free(&config);
    return session;
}

cb_error fetch(cb_session *session, const char *method, const char *target,
               const char *request_headers, unsigned *status, cb_buf *headers, cb_buf *text)
{
    cb_relay *relay;
    cb_buf ignored = CB_BUF(CB_RELAY_HEADERS_MAX);
    uint8_t chunk[16 * 1024];
    size_t got = 1;
    cb_error error = cb_relay_open(session, method, target, request_headers, 0,
                                   cb_deadline_in(10 * CB_SECOND), &relay);
    if (error)
        return error;
    error = cb_relay_head(relay, status, headers ? headers : &ignored);
    while (!error && got > 0) {
        error = cb_relay_read(relay, chunk, sizeof chunk, &got);
        if (text)
            cb_buf_put(text, cb_bytes_make(chunk, got));
    }
    cb_relay_close(&relay);
    cb_buf_free(&ignored);
    return error;
}

/* ---- looking at processes ---- */

unsigned open_descriptors(pid_t pid)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    CHECK(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static pid_t parent_of(pid_t pid)
{
    char path[64];
    int parent = -1;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*d (%*[^)]) %*c %d", &parent) != 1)
        parent = -1;
    if (file)
        fclose(file);
    return parent;
}

static bool is_descendant(pid_t pid, pid_t of)
{
    for (int depth = 0; pid > 1 && depth < 8; depth++) {
        pid = parent_of(pid);
        if (pid == of)
            return true;
    }
    return false;
}

unsigned descendants(pid_t pid, pid_t *out, unsigned most)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc");
    CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        pid_t other = atoi(entry->d_name);
        if (other <= 0 || !is_descendant(other, pid))
            continue;
        if (out && count < most)
            out[count] = other;
        count++;
    }
    closedir(dir);
    return count;
}

static bool maps(pid_t pid, const char *plugin)
{
    char path[64], line[1024];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        found |= strstr(line, plugin) != NULL;
    if (file)
        fclose(file);
    return found;
}

pid_t zygote_of(const bench *b, const char *plugin)
{
    pid_t all[256];
    unsigned count = descendants(b->connectord, all, 256);
    for (unsigned i = 0; i < count && i < 256; i++) {
        if (parent_of(all[i]) == b->connectord && maps(all[i], plugin))
            return all[i];
    }
    return -1;
}

bool process_is_gone(void *pid) { return kill(*(pid_t *)pid, 0) != 0; }

bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#endif
#endif
    return false;
}

bool eventually(bool (*condition)(void *), void *context)
{
    for (int i = 0; i < 200; i++) {
        if (condition(context))
            return true;
        usleep(25000);
    }
    return false;
}

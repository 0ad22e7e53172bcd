/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fake.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/msg.h"
#include "cardlink/x509/request.h"
#include "hsm/durable.h"
#include "hsm/record_codec.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const uint8_t secret[32] = "a key for tests and nothing else";

/* Appends body ‖ HMAC(body); frees body. */
static cb_error seal(cb_buf *body, cb_buf *out)
{
    cb_digest mac;
    cb_error error = cb_buf_error(body);
    if (!error)
        error = cb_hmac_sha256(CB_BYTES_OF(secret), cb_buf_bytes(body), &mac);
    if (!error) {
        cb_buf_put(out, cb_buf_bytes(body));
        cb_buf_put(out, cb_digest_bytes(&mac));
    }
    cb_buf_free(body);
    return error ? error : cb_buf_error(out);
}

static cb_error genuine(cb_bytes record, size_t max, cb_bytes *body)
{
    cb_digest mac;
    cb_record_parts parts;
    if (cb_record_split(record, max, &parts) != CB_OK)
        return CB_E_HSM_RECORD;
    cb_error error = cb_hmac_sha256(CB_BYTES_OF(secret), parts.body, &mac);
    if (!error && !cb_bytes_same(cb_digest_bytes(&mac), parts.mac))
        error = CB_E_HSM_RECORD;
    *body = parts.body;
    return error;
}

static cb_error or_no_record(cb_error error) { return error ? CB_E_HSM_RECORD : CB_OK; }

static cb_error binding_check(void *context, cb_bytes binding, cb_binding_info *out)
{
    cb_bytes body;
    (void)context;
    cb_error error = genuine(binding, CB_BINDING_MAX, &body);
    return error ? error : or_no_record(cb_binding_body_get(body, out));
}

cb_error fake_make_binding(const cb_binding_info *info, cb_buf *binding)
{
    cb_buf body = CB_BUF(CB_BINDING_MAX);
    cb_binding_body_put(&body, info);
    return seal(&body, binding);
}

static cb_error binding_make(void *context, const cb_binding_info *info, cb_buf *binding)
{
    (void)context;
    return fake_make_binding(info, binding);
}

cb_error fake_make_sealed(const cb_sealed_info *info, cb_buf *sealed)
{
    cb_buf body = CB_BUF(CB_SEALED_MAX);
    cb_sealed_body_put(&body, info, (cb_bytes){0}, cb_bytes_str("wrapped"));
    return seal(&body, sealed);
}

static cb_error sealed_check(void *context, cb_bytes sealed, cb_sealed_info *out)
{
    cb_bytes body, public_key, wrapped;
    (void)context;
    cb_error error = genuine(sealed, CB_SEALED_MAX, &body);
    return error ? error : or_no_record(cb_sealed_body_get(body, out, &public_key, &wrapped));
}

static cb_error service_key(uint8_t scalar[CB_P256_SCALAR])
{
    cb_digest seed = cb_sha256(CB_BYTES_OF(secret));
    memcpy(scalar, seed.bytes, CB_P256_SCALAR);
    scalar[0] &= 0x7F;
    return CB_OK;
}

void fake_point(uint8_t out[CB_P256_POINT])
{
    uint8_t scalar[CB_P256_SCALAR];
    service_key(scalar);
    MUST(cb_p256_public(scalar, out) == CB_OK);
}

static cb_error sealed_use(void *context, cb_bytes sealed, uint8_t operation, uint8_t hash,
                           cb_bytes data, cb_buf *result)
{
    cb_sealed_info info;
    cb_digest digest;
    uint8_t scalar[CB_P256_SCALAR], signature[CB_P256_SIGNATURE];
    cb_error error = sealed_check(context, sealed, &info);
    if (!error && (operation != CB_USE_SIGN_DIGEST || hash != CB_HASH_SHA256))
        error = CB_E_HSM_ALGORITHM;
    if (!error && data.len != sizeof digest.bytes)
        error = CB_E_ARGUMENT;
    if (error)
        return error;
    memcpy(digest.bytes, data.data, data.len);
    service_key(scalar);
    error = cb_p256_sign(scalar, &digest, signature);
    if (!error)
        cb_buf_put(result, CB_BYTES_OF(signature));
    return error;
}

static cb_error receipt_make(void *context, const cb_receipt_info *info, cb_buf *receipt)
{
    cb_buf body = CB_BUF(CB_RECEIPT_MAX);
    (void)context;
    cb_receipt_body_put(&body, info);
    return seal(&body, receipt);
}

static cb_error receipt_check(void *context, cb_bytes receipt)
{
    cb_bytes body;
    cb_receipt_info info;
    (void)context;
    cb_error error = genuine(receipt, CB_RECEIPT_MAX, &body);
    return error ? error : or_no_record(cb_receipt_body_get(body, &info));
}

static cb_error head_mac(void *context, const cb_tree_head *head, cb_digest *mac)
{
    (void)context;
    cb_buf text = CB_BUF(64);
    cb_buf_put_u64(&text, head->size);
    cb_buf_put(&text, cb_digest_bytes(&head->root));
    cb_error error = cb_buf_error(&text);
    if (!error)
        error = cb_hmac_sha256(CB_BYTES_OF(secret), cb_buf_bytes(&text), mac);
    cb_buf_free(&text);
    return error;
}

static cb_error head_check(void *context, const cb_tree_head *head, const cb_digest *mac)
{
    cb_digest right;
    cb_error error = head_mac(context, head, &right);
    return error ? error : memcmp(&right, mac, sizeof right) == 0 ? CB_OK : CB_E_HSM_RECORD;
}

static cb_error password_mac(void *context, const cb_id *password, cb_bytes key, cb_digest *mac)
{
    cb_buf text = CB_BUF(CB_ID_SIZE + CB_P256_POINT);
    (void)context;
    cb_buf_put(&text, cb_id_bytes(password));
    cb_buf_put(&text, key);
    cb_error error = cb_buf_error(&text);
    if (!error)
        error = cb_hmac_sha256(CB_BYTES_OF(secret), cb_buf_bytes(&text), mac);
    cb_buf_free(&text);
    return error;
}

static cb_error password_salt(void *context, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT])
{
    cb_digest mac;
    (void)context;
    cb_error error = cb_hmac_sha256(CB_BYTES_OF(secret), cb_id_bytes(password), &mac);
    memcpy(salt, mac.bytes, CB_PASSWORD_SALT);
    return error;
}

static cb_error log_sign(void *context, const cb_digest *digest,
                         uint8_t signature[CB_P256_SIGNATURE])
{
    uint8_t scalar[CB_P256_SCALAR];
    (void)context;
    service_key(scalar);
    return cb_p256_sign(scalar, digest, signature);
}

static cb_error generate(void *context, cb_sealed_info *info, cb_bytes subject, cb_buf *sealed,
                         cb_buf *public_key, cb_buf *csr)
{
    uint8_t point[CB_P256_POINT];
    (void)context;
    if (!cb_service_name_ok(info->service) || !cb_key_algorithm_name(info->algorithm))
        return CB_E_ARGUMENT;
    info->key = cb_id_new();
    info->generation = 1;
    fake_point(point);
    cb_buf_put_u8(public_key, 0); /* stands for what comes before the point */
    cb_buf_put(public_key, CB_BYTES_OF(point));
    if (csr)
        cb_buf_put(csr, subject);
    cb_error error = cb_buf_error(public_key) ? cb_buf_error(public_key)
                     : csr                    ? cb_buf_error(csr)
                                              : CB_OK;
    return error ? error : fake_make_sealed(info, sealed);
}

static cb_error import(void *context, cb_sealed_info *info, cb_bytes wrapped, cb_buf *sealed,
                       cb_buf *public_key)
{
    return generate(context, info, wrapped, sealed, public_key, NULL);
}

static cb_error rewrap(void *context, cb_bytes sealed, cb_buf *out)
{
    cb_sealed_info info;
    cb_error error = sealed_check(context, sealed, &info);
    if (error)
        return error;
    info.generation++;
    return fake_make_sealed(&info, out);
}

static cb_error new_generation(void *context, uint32_t *generation)
{
    (void)context;
    *generation = 2;
    return CB_OK;
}

static cb_error public_key(void *context, const char *name, cb_buf *out)
{
    uint8_t point[CB_P256_POINT];
    (void)context;
    bool terminals = strcmp(name, CB_TERMINAL_CA_KEY) == 0;
    if (strcmp(name, "log") != 0 && !terminals)
        return CB_E_NOT_FOUND;
    fake_point(point);
    if (terminals) {
        cb_x509_put_key(out, point);
        return cb_buf_error(out);
    }
    cb_buf_put(out, CB_BYTES_OF(point));
    return cb_buf_error(out);
}

static cb_error count(void *context, uint32_t *generation, uint32_t *objects)
{
    (void)context;
    *generation = 1;
    *objects = 7;
    return CB_OK;
}

const cb_vault fake_vault = {.binding_check = binding_check,
                             .sealed_check = sealed_check,
                             .sealed_use = sealed_use,
                             .receipt_make = receipt_make,
                             .head_check = head_check,
                             .head_mac = head_mac,
                             .password_mac = password_mac,
                             .password_salt = password_salt,
                             .log_sign = log_sign,
                             .terminal_sign = log_sign,
                             .binding_make = binding_make,
                             .generate = generate,
                             .import = import,
                             .rewrap = rewrap,
                             .new_generation = new_generation,
                             .public_key = public_key,
                             .receipt_check = receipt_check,
                             .count = count};

void fake_make(fake *f, world *w)
{
    *f = (fake){.w = w};
    snprintf(f->folder, sizeof f->folder, "/tmp/cardbroker-hsm-test-XXXXXX");
    MUST(mkdtemp(f->folder));
    f->config =
        (cb_hsmd_config){.run = f->folder,
                         .origin = "test/log",
                         .workers = FAKE_WORKERS,
                         .taps = 64,
                         .terminal_seconds = 3600,
                         .prefetch_us = CB_TAP_PREFETCH_SECONDS * CB_SECOND,
                         .lifetime_us = CB_TAP_SECONDS * CB_SECOND,
                         .users = {.front_end = getuid(), .manager = {getuid()}, .managers = 1}};
    snprintf(f->config.feed_path, sizeof f->config.feed_path, "%s/revocations", f->folder);
    snprintf(f->config.bound_path, sizeof f->config.bound_path, "%s/bound-cards", f->folder);
    snprintf(f->config.log_path, sizeof f->config.log_path, "%s/log-head", f->folder);
    MUST(cb_feed_make(f->config.feed_path) == CB_OK);
    MUST(cb_durable_make(f->config.bound_path) == CB_OK);
    snprintf(f->config.guesses_path, sizeof f->config.guesses_path, "%s/guesses", f->folder);
    MUST(cb_durable_make(f->config.guesses_path) == CB_OK);
    MUST(cb_durable_make(f->config.log_path) == CB_OK);
}

static cb_host *make_host(const fake *f)
{
    cb_host *host = cb_host_new();
    MUST(host);
    host->profile = f->w->host;
    host->profile.salt = password_salt;
    host->ready = true;
    if (f->trust)
        f->trust(host);
    return host;
}

void fake_lane(fake *f, cb_lane_kind kind, unsigned index, cb_lane *out)
{
    *out = (cb_lane){.kind = kind, .index = index, .config = &f->config, .vault = &fake_vault};
    if (kind != CB_LANE_LOG)
        out->host = make_host(f);
    if (kind == CB_LANE_LOG)
        MUST(cb_loghead_open(f->config.log_path, &out->loghead) == CB_OK);
    if (kind != CB_LANE_LOG)
        MUST(cb_memo_open(f->config.bound_path, &out->bound) == CB_OK);
    if (kind != CB_LANE_LOG)
        MUST(cb_memo_open(f->config.guesses_path, &out->guesses) == CB_OK);
    if (kind != CB_LANE_LOG)
        MUST(cb_feed_open(f->config.feed_path, &out->feed) == CB_OK);
    if (kind != CB_LANE_USE)
        return;
    cb_taps_setup setup = {.worker = (uint8_t)index,
                           .capacity = (uint16_t)f->config.taps,
                           .prefetch_us = f->config.prefetch_us,
                           .lifetime_us = f->config.lifetime_us,
                           .vault = &fake_vault,
                           .feed = out->feed,
                           .guesses = out->guesses,
                           .bound = out->bound,
                           .profile_find = cb_profile_find};
    MUST(cb_taps_new(&setup, &out->taps) == CB_OK);
}

void fake_lane_free(cb_lane *lane)
{
    cb_taps_free(&lane->taps);
    cb_feed_close(&lane->feed);
    cb_memo_close(&lane->bound);
    cb_memo_close(&lane->guesses);
    cb_loghead_close(&lane->loghead);
    cb_host_release(&lane->host);
}

static void no_reload(cb_lane *lane) { (void)lane; }

void fake_restart(fake *f, unsigned which)
{
    static const cb_lane_kind kinds[] = {CB_LANE_USE, CB_LANE_USE, CB_LANE_LOG, CB_LANE_MANAGE};
    cb_lane lane;
    f->pid[which] = fork();
    MUST(f->pid[which] >= 0);
    if (f->pid[which] > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    cb_log_init("fake-hsmd", CB_LOG_ERROR);
    cb_lane_catch_signals();
    fake_lane(f, kinds[which], which, &lane);
    cb_error error = cb_lane_serve(&lane, f->listener[which], no_reload);
    fake_lane_free(&lane);
    _exit(error == CB_OK ? 0 : 1);
}

void fake_start(fake *f)
{
    static const char *const names[] = {"use-0", "use-1", "log", "manage"};
    char path[128];
    for (unsigned i = 0; i < FAKE_WORKERS + 2; i++) {
        snprintf(path, sizeof path, "%s/%s.sock", f->folder, names[i]);
        MUST(cb_msg_listen(path, 0600, &f->listener[i]) == CB_OK);
    }
    for (unsigned i = 0; i < FAKE_WORKERS + 2; i++)
        fake_restart(f, i);
}

void fake_kill(fake *f, unsigned which)
{
    kill(f->pid[which], SIGKILL);
    waitpid(f->pid[which], NULL, 0);
    f->pid[which] = 0;
}

void fake_end(fake *f)
{
    static const char *const files[] = {"use-0.sock",  "use-1.sock",  "log.sock",
                                        "manage.sock", "revocations", "revocations.resumed",
                                        "bound-cards", "log-head",    "guesses"};
    char path[128];
    for (unsigned i = 0; i < FAKE_WORKERS + 2; i++) {
        int status = 0;
        if (f->pid[i] > 0) {
            kill(f->pid[i], SIGTERM);
            waitpid(f->pid[i], &status, 0);
            /* A sanitizer's finding in a lane fails the test. */
            MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        if (f->listener[i] > 0)
            close(f->listener[i]);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", f->folder, files[i]);
        unlink(path);
    }
    MUST(rmdir(f->folder) == 0);
}

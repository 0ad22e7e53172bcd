/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fault/api_world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/text.h"
#include "base/pem.h"
#include "broker/api/relay_rules.h"
#include "connectors/protocol.h"
#include "tests/support/alloc_faults.h"

/* ---- A connectord that lets everybody in ---- */

static void answer_message(int socket, uint16_t type, uint32_t id, cb_error result, cb_bytes body)
{
    cb_msg msg;
    cb_msg_init(&msg, type);
    msg.id = id;
    msg.error = result;
    cb_buf_put(&msg.body, body);
    cb_error error = cb_msg_send(socket, &msg, cb_deadline_in(10 * CB_SECOND));
    cb_msg_free(&msg);
    if (error) /* nobody waits for what is lost: the connection ends with its process */
        _exit(1);
}

/* Has something signed, as a login does, and gives what the connector's name says. */
static void let_in(int socket, cb_msg *msg)
{
    static const uint8_t digest[CB_SHA256_SIZE];
    cb_buf body = CB_BUF(256);
    cb_cursor cursor = cb_msg_cursor(msg);
    cb_bytes connector = cb_cursor_var(&cursor, CB_CONN_NAME_MAX);
    bool relayed = cb_bytes_same(connector, cb_bytes_str("relays"));
    uint32_t id = msg->id;
    cb_buf_put_u8(&body, CB_USE_SIGN_DIGEST);
    cb_buf_put_u8(&body, CB_HASH_SHA256);
    cb_buf_put_var(&body, CB_BYTES_OF(digest));
    answer_message(socket, CB_CONN_USE, 7, CB_OK, cb_buf_bytes(&body));
    cb_error error = cb_msg_receive(socket, msg, cb_deadline_in(10 * CB_SECOND));
    if (!error)
        error = msg->error;
    cb_buf_reset(&body);
    if (!error) {
        cb_buf_put_u8(&body, relayed ? CB_SESSION_RELAYED : CB_SESSION_TOKEN);
        cb_buf_put_u64(&body, 0);
        cb_buf_put_var(&body, cb_bytes_str(relayed ? "" : "{\"access_token\":\"let me in\"}"));
    }
    answer_message(socket, CB_CONN_LOGIN, id, error, cb_buf_bytes(&body));
    cb_buf_free(&body);
}

/* One page of a relayed session says which it is; and it does so if it sees the cookie by which the
 * broker knows who asks, which is not for services. */
static void put_page(const cb_msg *msg, cb_buf *page)
{
    static const char secret[] = CB_RELAY_COOKIE;
    cb_cursor cursor = cb_msg_cursor(msg);
    cb_cursor_var(&cursor, CB_CONN_METHOD_MAX);
    cb_bytes target = cb_cursor_var(&cursor, CB_CONN_TARGET_MAX);
    cb_bytes headers = cb_cursor_var(&cursor, CB_RELAY_HEADERS_MAX);
    cb_buf_reset(page);
    if (memmem(headers.data, headers.len, secret, sizeof secret - 1))
        cb_buf_put_str(page, "a secret was told with ");
    cb_buf_put_str(page, "page ");
    cb_buf_put(page, target);
}

/* Questions of a relayed session. False: it was none. */
static bool relay(int socket, const cb_msg *msg, cb_buf *page)
{
    cb_buf head = CB_BUF(256), headers = CB_BUF(128);
    if (msg->type == CB_CONN_OPEN) {
        put_page(msg, page);
    } else if (msg->type == CB_CONN_HEAD) {
        cb_buf_printf(&headers, "Content-Type: text/plain\r\nContent-Length: %zu\r\n", page->len);
        cb_buf_put_u16(&head, 200);
        cb_buf_put_var(&head, cb_buf_bytes(&headers));
        answer_message(socket, msg->type, msg->id, CB_OK, cb_buf_bytes(&head));
    } else if (msg->type == CB_CONN_READ) {
        answer_message(socket, msg->type, msg->id, CB_OK, cb_buf_bytes(page));
        cb_buf_reset(page);
    } else if (msg->type != CB_CONN_SEND && msg->type != CB_CONN_CLOSE) {
        return false;
    }
    cb_buf_free(&head);
    cb_buf_free(&headers);
    return true;
}

/* One conversation; the session lasts until the broker ends it. */
static void converse(int socket)
{
    cb_msg msg;
    cb_buf page = CB_BUF(CB_CONN_TARGET_MAX + 64);
    cb_msg_init(&msg, 0);
    while (cb_msg_receive(socket, &msg, cb_deadline_in(60 * CB_SECOND)) == CB_OK) {
        if (msg.type == CB_CONN_LOGIN)
            let_in(socket, &msg);
        else if (!relay(socket, &msg, &page))
            answer_message(socket, msg.type, msg.id, CB_OK,
                           cb_bytes_str(msg.type == CB_CONN_ENROL ? "{\"jwks\":{}}" : ""));
    }
    cb_buf_free(&page);
    cb_msg_free(&msg);
}

static void serve(int listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int socket = accept(listener, NULL, NULL);
        if (socket >= 0 && fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
            converse(socket);
            _exit(0);
        }
        close(socket);
    }
}

static void start_connectord(api_world *w)
{
    char path[160];
    int listener = -1;
    snprintf(path, sizeof path, "%s/" CB_CONNECTORS_SOCKET, w->hsmd.folder);
    MUST(cb_msg_listen(path, 0600, &listener));
    w->connectord = fork();
    assert_true(w->connectord >= 0);
    if (w->connectord == 0)
        serve(listener);
    close(listener);
}

/* ---- Records ---- */

static void put_hex(cb_buf *record, char *out)
{
    MUST(cb_buf_error(record));
    cb_hex(cb_buf_bytes(record), out);
    cb_buf_free(record);
}

void api_binding(const cb_id *card, const cb_id *holder, char *out)
{
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_binding_info info = {.card = *card,
                            .holder = *holder,
                            .profile = CB_PROFILE_NATIVE,
                            .level = CB_LEVEL_PIN,
                            .sequence = 1,
                            .keys = {.count = 1, .key = {{.kind = CB_CARD_KEY_P256, .len = CB_P256_POINT, .data = {4}}}}};
    MUST(fake_vault.binding_make(NULL, &info, &binding));
    put_hex(&binding, out);
}

void api_foreign_binding(const cb_id *card, const cb_id *holder, uint8_t number, char *out)
{
    static const uint8_t certificate[] = {0x30, 0x00};
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_binding_info info = {.card = *card,
                            .holder = *holder,
                            .profile = CB_PROFILE_PIV,
                            .level = CB_LEVEL_TERMINAL_PIN,
                            .sequence = number,
                            .keys = {.count = 1,
                                     .key = {{.use = 0x9A,
                                              .kind = CB_CARD_KEY_P256,
                                              .len = CB_P256_POINT,
                                              .data = {4, number},
                                              .certificate = cb_sha256(CB_BYTES_OF(certificate))}}}};
    MUST(fake_vault.binding_make(NULL, &info, &binding));
    put_hex(&binding, out);
}

void api_sealed(const cb_id *key, const cb_id *holder, const char *service, uint64_t sequence,
                uint32_t generation, char *out)
{
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    cb_sealed_info info = {.key = *key,
                           .holder = *holder,
                           .algorithm = CB_KEY_EC_P256,
                           .level = CB_LEVEL_POSSESSION,
                           .uses = 1,
                           .generation = generation,
                           .sequence = sequence};
    snprintf(info.service, sizeof info.service, "%s", service);
    MUST(fake_make_sealed(&info, &sealed));
    put_hex(&sealed, out);
}

/* ---- The world ---- */

void api_certificate(const api_world *w, unsigned number, char *out)
{
    uint8_t der[sizeof w->der];
    cb_buf text = CB_BUF(API_PEM - 1);
    memcpy(der, w->der, w->der_len);
    for (unsigned i = 0; i < 4; i++, number >>= 8)
        der[w->key_end - 40 + i] ^= (uint8_t)number; /* within the point */
    cb_buf_put_str(&text, "-----BEGIN CERTIFICATE-----\\n");
    cb_buf_put_base64(&text, cb_bytes_make(der, w->der_len));
    cb_buf_put_str(&text, "\\n-----END CERTIFICATE-----\\n");
    snprintf(out, API_PEM, "%s", cb_buf_cstr(&text));
    cb_buf_free(&text);
}

static void make_certificate(api_world *w)
{
    char command[512], pem[160];
    cb_buf text = CB_BUF(4096), der = CB_BUF(sizeof w->der), key = CB_BUF(CB_PUBLIC_KEY_MAX);
    snprintf(pem, sizeof pem, "%s/broker.pem", w->hsmd.folder);
    snprintf(command, sizeof command,
             "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
             "-days 2 -subj /CN=a -keyout broker.key -out broker.pem 2> /dev/null",
             w->hsmd.folder);
    assert_int_equal(system(command), 0); // NOLINT
    MUST(cb_file_read(pem, &text));
    MUST(cb_pem_read(cb_buf_cstr(&text), &der, NULL));
    MUST(cb_certificate_public_key(cb_buf_bytes(&der), &key));
    memcpy(w->der, der.data, der.len);
    w->der_len = der.len;
    w->key_end =
        (size_t)((uint8_t *)memmem(der.data, der.len, key.data, key.len) - der.data) + key.len;
    put_hex(&key, w->public_key);
    cb_buf_free(&text);
    cb_buf_free(&der);
}

static void add_service(api_world *w, const char *name, const char *connector, uint8_t level,
                        bool certificate)
{
    cb_service_new service = {.name = name,
                              .title = "Office",
                              .connector = connector,
                              .config = "{}",
                              .level = level,
                              .certificate = certificate};
    MUST(cb_service_add(w->api.store, "test", &service));
}

static void enrol(api_world *w, const char *service, uint8_t level)
{
    cb_sealed_info info = {.key = cb_id_new(),
                           .holder = w->holder,
                           .algorithm = CB_KEY_EC_P256,
                           .level = level,
                           .uses = 1,
                           .generation = 1,
                           .sequence = 1};
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    snprintf(info.service, sizeof info.service, "%s", service);
    MUST(fake_make_sealed(&info, &sealed));
    cb_enrolment_new enrolment = {
        .holder = w->holder, .service = service, .sealed = cb_buf_bytes(&sealed)};
    MUST(cb_enrolment_add(w->api.store, "test", &enrolment, NULL));
    cb_buf_free(&sealed);
}

void api_serve(api_world *w, const char *name, const char *connector, uint8_t level)
{
    add_service(w, name, connector, level, false);
    enrol(w, name, level);
}

static void add_terminal(api_world *w)
{
    cb_terminal terminal;
    cb_terminal_new fresh = {.name = "counter 1", .passwords = true};
    cb_buf key = CB_BUF(CB_PUBLIC_KEY_MAX);
    MUST(cb_unhex(cb_bytes_str(w->public_key), &key));
    fresh.key = cb_sha256(cb_buf_bytes(&key));
    cb_buf_free(&key);
    MUST(cb_terminal_add(w->api.store, "test", &fresh, &terminal));
    w->terminal = terminal.id;
}

void api_add_card(api_world *w, cb_id *out)
{
    cb_card card;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    MUST(cb_hsm_bind(w->api.hsm, cb_buf_bytes(&w->card.certificate), &w->holder, CB_LEVEL_PIN, 1,
                     &binding));
    cb_card_init(&card);
    MUST(cb_card_add(w->api.store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, &card));
    MUST(cb_card_change(w->api.store, "test", &card.id, CB_CARD_ACTIVATE, NULL, NULL));
    *out = card.id;
    cb_card_free(&card);
    cb_buf_free(&binding);
}

static void make(api_world *w, void (*trust)(cb_host *host), void (*change)(world *card))
{
    char pem[160], key[160];
    cb_holder holder;
    cb_id card;
    *w = (api_world){0};
    alloc_faults_pause(true); /* also in what is forked */
    world_make(&w->card, false);
    if (change)
        change(&w->card);
    fake_make(&w->hsmd, &w->card);
    w->hsmd.config.taps = 4096; /* many are begun and left */
    w->hsmd.trust = trust;
    fake_start(&w->hsmd);
    start_connectord(w);
    alloc_faults_pause(false);
    make_certificate(w);
    snprintf(pem, sizeof pem, "%s/broker.pem", w->hsmd.folder);
    snprintf(key, sizeof key, "%s/broker.key", w->hsmd.folder);
    w->tls = calm_tls(pem, key);
    MUST(api_world_open(w));
    MUST(cb_holder_add(w->api.store, "test", "Hanako", &holder));
    w->holder = holder.id;
    api_serve(w, "tax", "gives", CB_LEVEL_POSSESSION);
    api_serve(w, "bus", "relays", CB_LEVEL_POSSESSION);
    add_service(w, "gov", "gives", CB_LEVEL_POSSESSION, true);
    add_terminal(w);
    api_add_card(w, &card);
    api_world_close(w);
}

void api_world_make(api_world *w) { make(w, NULL, NULL); }

void api_world_make_trusting(api_world *w, void (*trust)(cb_host *host)) { make(w, trust, NULL); }

void api_world_make_with(api_world *w, void (*change)(world *card)) { make(w, NULL, change); }

void api_world_end(api_world *w)
{
    static const char *const files[] = {"broker.pem",     "broker.key",        "admin.sock",
                                        "admin.sock-lock", "broker.db",      "broker.db-wal",     "broker.db-shm",
                                        "broker.db-lock", CB_CONNECTORS_SOCKET};
    char path[160];
    api_world_close(w);
    calm_tls_free(&w->tls);
    kill(w->connectord, SIGKILL);
    waitpid(w->connectord, NULL, 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", w->hsmd.folder, files[i]);
        unlink(path);
    }
    fake_end(&w->hsmd);
    world_free(&w->card);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fault/api_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "broker/store/txn.h"
#include "tests/support/alloc_faults.h"

/* ---- The broker ---- */

static void paths_of(const api_world *w, char pem[160], char key[160], char admin[160])
{
    snprintf(pem, 160, "%s/broker.pem", w->hsmd.folder);
    snprintf(key, 160, "%s/broker.key", w->hsmd.folder);
    snprintf(admin, 160, "%s/admin.sock", w->hsmd.folder);
}

static void nothing_to_record(void *context, const cb_session_over *over, size_t count)
{
    const api_world *w = context;
    cb_decide_session_ends(w->api.store, over, count);
}

static cb_error open_parts(api_world *w)
{
    char path[160];
    cb_api *api = &w->api;
    const cb_sessions_parts sessions = {API_RELAY, 443, 0, nothing_to_record, w};
    snprintf(path, sizeof path, "%s/broker.db", w->hsmd.folder);
    cb_error error = cb_hsm_open(w->hsmd.folder, &api->hsm);
    if (!error)
        error = cb_connectors_open(w->hsmd.folder, &api->connectors);
    cb_store_options options = {.path = path, .trial = CB_MILLISECOND};
    if (!error)
        options.signer = cb_head_signer_hsm(api->hsm);
    if (!error)
        error = cb_store_open(&options, &api->store);
    if (!error)
        error = cb_sessions_open(&sessions, &api->sessions);
    const cb_taps_parts taps = {.store = api->store,
                                .hsm = api->hsm,
                                .connectors = api->connectors,
                                .sessions = api->sessions,
                                .certificate_status = w->status};
    if (!error)
        error = cb_taps_open(&taps, &api->taps);
    if (!error)
        error = cb_rate_open(&api->activations);
    if (!error)
        error = cb_rate_open(&api->logs);
    if (!error)
        error = cb_allowance_open(&api->log_bytes);
    return error ? error : cb_watch_open(api->store, api->hsm, api->connectors, &api->watch);
}

static cb_error open_network(api_world *w)
{
    char pem[160], key[160], admin[160];
    cb_api *api = &w->api;
    w->relay = (cb_relay_context){.sessions = api->sessions, .relay_domain = API_RELAY};
    const cb_server_config config = {.routes = cb_api_routes,
                                     .route_count = cb_api_route_count,
                                     .context = api,
                                     .identify = cb_api_identify,
                                     .stream_domain = API_RELAY,
                                     .stream = cb_relay_serve,
                                     .stream_context = &w->relay,
                                     .threads = 1,
                                     .workers = 1,
                                     .administrators = 1,
                                     .reserved = 1};
    cb_limits limits = cb_limits_default();
    cb_buf why = CB_BUF(1024);
    paths_of(w, pem, key, admin);
    const cb_tls_entry entry = {"", pem, key, true};
    cb_error error = cb_server_open(&config, &api->server);
    if (!error)
        error = cb_acceptor_open(&limits, &api->acceptor);
    if (!error)
        error = cb_acceptor_listen(api->acceptor, "127.0.0.1", 0, &entry, 1, &w->port, &why);
    if (!error)
        error = cb_acceptor_listen_local(api->acceptor, admin, 0600, NULL, 0, &why);
    if (!error)
        error = cb_acceptor_start(api->acceptor, cb_server_sink(api->server));
    cb_buf_free(&why);
    return error;
}

cb_error api_world_open(api_world *w)
{
    w->api.started = cb_clock_wall_us();
    cb_error error = open_parts(w);
    if (!error) /* until the record is read again its state is another */
        error = cb_store_checked(w->api.store, cb_deadline_in(30 * CB_SECOND));
    return error ? error : open_network(w);
}

void api_world_close(api_world *w)
{
    cb_api *api = &w->api;
    calm_drop(&w->line);
    if (api->sessions)
        cb_sessions_cut(api->sessions, NULL, "stopped");
    cb_acceptor_close(&api->acceptor);
    cb_server_close(&api->server);
    cb_watch_close(&api->watch);
    cb_taps_close(&api->taps);
    cb_rate_close(&api->activations);
    cb_rate_close(&api->logs);
    cb_allowance_close(&api->log_bytes);
    cb_sessions_close(&api->sessions);
    cb_store_close(&api->store);
    cb_connectors_close(&api->connectors);
    cb_hsm_close(&api->hsm);
}

/* ---- Asking ---- */

#define REQUEST "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"

static const char *written(const char *method, const char *path, const char *body)
{
    static char text[API_BODY + 1024];
    int length = body ? snprintf(text, sizeof text, REQUEST "Content-Length: %zu\r\n\r\n%s", method,
                                 path, strlen(body), body)
                      : snprintf(text, sizeof text, REQUEST "\r\n", method, path);
    assert_true(length > 0 && (size_t)length < sizeof text);
    return text;
}

void api_ask(api_world *w, const char *method, const char *path, const char *body)
{
    char admin[160];
    snprintf(admin, sizeof admin, "%s/admin.sock", w->hsmd.folder);
    calm_ask_local(admin, written(method, path, body), &w->answer);
}

static uint64_t shaken(api_world *w)
{
    cb_acceptor_state state;
    cb_acceptor_status(w->api.acceptor, &state);
    return state.handshakes_done;
}

/* With TLS 1.3 a client has done its part of the handshake before the server has read it. */
void api_dial_as(api_world *w, struct WOLFSSL_CTX *tls)
{
    uint64_t before = shaken(w);
    int64_t deadline = cb_deadline_in(60 * CB_SECOND);
    calm_drop(&w->line); /* made for a request that is not asked after all */
    w->line = calm_dial(tls, w->port);
    assert_non_null(w->line);
    while (shaken(w) == before && cb_deadline_left_ms(deadline) > 0)
        usleep(200);
    assert_int_equal(shaken(w), before + 1);
}

void api_dial(api_world *w) { api_dial_as(w, w->tls); }

void api_ask_dialled(api_world *w, const char *method, const char *path, const char *body)
{
    calm_ask_on(&w->line, written(method, path, body), &w->answer);
}

/* ---- Tapping ---- */

static void put_json(char *out, const json_t *json)
{
    char *text = cb_json_text(json);
    assert_non_null(text);
    snprintf(out, API_BODY, "%s", text);
    cb_json_text_free(&text);
}

static uint8_t flags_of(const json_t *command)
{
    const char *pin = json_string_value(json_object_get(command, "pin"));
    uint8_t form = !pin                        ? 0
                   : strcmp(pin, "ascii") == 0 ? CB_SCRIPT_PIN_ASCII
                                               : CB_SCRIPT_PIN_PADDED;
    return (uint8_t)((json_is_true(json_object_get(command, "go_on")) ? CB_SCRIPT_GO_ON : 0) |
                     (json_is_true(json_object_get(command, "part")) ? CB_SCRIPT_PART : 0) | form);
}

static void put_bytes(const json_t *hex, cb_buf *out)
{
    cb_buf_reset(out);
    if (hex)
        MUST(cb_unhex(cb_bytes_str(json_string_value(hex)), out));
}

/* Encoded as between processes. */
static void encode(api_world *w, const json_t *script, cb_buf *commands)
{
    size_t index;
    const json_t *command;
    w->script = 0;
    json_array_foreach(script, index, command)
    {
        cb_buf apdu = CB_BUF(CB_COMMAND_MAX), when = CB_BUF(CB_SCRIPT_WHEN_MAX);
        put_bytes(json_object_get(command, "apdu"), &apdu);
        put_bytes(json_object_get(command, "when"), &when);
        cb_script_put_when(commands, flags_of(command), cb_buf_bytes(&when), cb_buf_bytes(&apdu));
        w->script += 2 * apdu.len;
        cb_buf_free(&apdu);
        cb_buf_free(&when);
    }
}

static json_t *played(api_world *w, const json_t *script)
{
    json_t *list = json_array();
    cb_buf commands = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script read;
    encode(w, script, &commands);
    if (w->play)
        w->play(w->player, &commands, &answers);
    else
        world_play(w->card.card, &commands, &answers);
    MUST(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read));
    for (size_t i = 0; i < read.count; i++) {
        char hex[2 * CB_ANSWER_MAX + 1];
        cb_hex(read.item[i].apdu, hex);
        json_array_append_new(list, json_string(hex));
    }
    cb_buf_free(&commands);
    cb_buf_free(&answers);
    return list;
}

void api_answers(const api_world *w, cb_buf *out)
{
    size_t index;
    const json_t *hex;
    alloc_faults_pause(true);
    json_t *list = json_loads(w->answers, 0, NULL);
    json_array_foreach(list, index, hex)
    {
        cb_buf answer = CB_BUF(CB_ANSWER_MAX);
        put_bytes(hex, &answer);
        cb_script_put(out, 0, cb_buf_bytes(&answer));
        cb_buf_free(&answer);
    }
    json_decref(list);
    MUST(cb_buf_error(out));
    alloc_faults_pause(false);
}

bool api_play(api_world *w)
{
    alloc_faults_pause(true);
    json_t *answer = json_loads(w->answer.body, 0, NULL);
    const json_t *script = json_object_get(answer, "script");
    const char *tap = json_string_value(json_object_get(answer, "tap"));
    bool there = json_array_size(script) > 0;
    if (tap) {
        cb_vcard_reset(w->card.card);
        snprintf(w->tap, sizeof w->tap, "%s", tap);
    }
    if (there) {
        json_t *list = played(w, script);
        put_json(w->answers, list);
        json_decref(list);
    }
    json_decref(answer);
    alloc_faults_pause(false);
    return there;
}

int api_tap_start(api_world *w)
{
    api_ask_dialled(w, "POST", "/v1/taps", NULL);
    return w->answer.status;
}

int api_tap_challenge(api_world *w, const char *service)
{
    char path[128], body[API_BODY + 64];
    snprintf(path, sizeof path, "/v1/taps/%s/challenge", w->tap);
    snprintf(body, sizeof body, "{\"answers\":%s,\"service\":\"%s\"}", w->answers, service);
    api_ask_dialled(w, "POST", path, body);
    return w->answer.status;
}

int api_tap_proof(api_world *w)
{
    char path[128], body[API_BODY + 64];
    snprintf(path, sizeof path, "/v1/taps/%s/proof", w->tap);
    snprintf(body, sizeof body, "{\"answers\":%s}", w->answers);
    api_ask_dialled(w, "POST", path, body);
    return w->answer.status;
}

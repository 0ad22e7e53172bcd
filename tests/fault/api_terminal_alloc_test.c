/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a terminal asks for itself, while each allocation of the broker fails in turn: its first
 * certificate, with a code; the next one, and the first use of that; its end. It gets the whole
 * answer, or an error that is said to be the server's, or an end. What it asked for is then done or
 * not, in the record as in the tables; asked again, it is done, once.
 */
#include "tests/fault/api_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/config.h"
#include "base/text.h"
#include "cardlink/x509/certificate.h"
#include "cardlink/x509/request.h"
#include "tests/support/alloc_faults.h"

enum { RUNS = 6, LINE = 64 };

typedef struct terminals terminals;

typedef struct way {
    const char *name;
    void (*prepare)(terminals *t); /* what is there before, and the request */
    const char *method, *path;
    int status, after; /* of the answer; and when it was done before */
    cb_error (*whole)(const terminals *t);
} way;

struct terminals {
    api_world w;
    const way *way;
    unsigned number;
    uint8_t scalar[CB_P256_SCALAR]; /* of the key that is asked for, or in use */
    cb_id terminal;
    struct WOLFSSL_CTX *stranger, *tls; /* nobody, and the terminal */
    bool known;                         /* who asks: the terminal */
    char body[API_BODY];
    bool counted; /* what a run without faults does */
    api_tally before, clean;
};

/* ---- Keys and certificates ---- */

static void put_pem(const char *path, const char *label, cb_bytes der)
{
    cb_buf base64 = CB_BUF(4096), text = CB_BUF(8192);
    cb_buf_put_base64(&base64, der);
    cb_buf_printf(&text, "-----BEGIN %s-----\n", label);
    for (size_t at = 0; at < base64.len; at += LINE)
        cb_buf_printf(&text, "%.*s\n",
                      (int)(base64.len - at < LINE ? base64.len - at : (size_t)LINE),
                      (const char *)base64.data + at);
    cb_buf_printf(&text, "-----END %s-----\n", label);
    MUST(cb_buf_error(&text));
    MUST(cb_file_replace(path, cb_buf_bytes(&text), 0600));
    cb_buf_free(&base64);
    cb_buf_free(&text);
}

/* RFC 5915. */
static void put_key(const char *path, const uint8_t scalar[CB_P256_SCALAR])
{
    static const uint8_t head[] = {0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20},
                         middle[] = {0xA0, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D,
                                     0x03, 0x01, 0x07, 0xA1, 0x44, 0x03, 0x42, 0x00};
    uint8_t point[CB_P256_POINT];
    cb_buf der = CB_BUF(256);
    MUST(cb_p256_public(scalar, point));
    cb_buf_put(&der, CB_BYTES_OF(head));
    cb_buf_put(&der, cb_bytes_make(scalar, CB_P256_SCALAR));
    cb_buf_put(&der, CB_BYTES_OF(middle));
    cb_buf_put(&der, CB_BYTES_OF(point));
    put_pem(path, "EC PRIVATE KEY", cb_buf_bytes(&der));
    cb_buf_free(&der);
}

/* The certificate in the answer; false: there is none, or not of the key that is asked for. */
static bool read_certificate(const terminals *t, cb_buf *der)
{
    cb_x509 read;
    uint8_t point[CB_P256_POINT];
    json_t *answer = json_loads(t->w.answer.body, 0, NULL);
    const char *text = json_string_value(json_object_get(answer, "certificate"));
    MUST(cb_p256_public(t->scalar, point));
    bool good = text && json_object_get(answer, "terminal") && json_object_get(answer, "expires") &&
                cb_unhex(cb_bytes_str(text), der) == CB_OK &&
                cb_x509_parse(cb_buf_bytes(der), &read) == CB_OK &&
                memmem(read.public_key.data, read.public_key.len, point, sizeof point);
    json_decref(answer);
    return good;
}

static void become(terminals *t)
{
    char pem[160], key[160];
    cb_buf der = CB_BUF(2048);
    assert_true(read_certificate(t, &der));
    snprintf(pem, sizeof pem, "%s/terminal.pem", t->w.hsmd.folder);
    snprintf(key, sizeof key, "%s/terminal.key", t->w.hsmd.folder);
    put_pem(pem, "CERTIFICATE", cb_buf_bytes(&der));
    put_key(key, t->scalar);
    if (t->tls)
        calm_tls_free(&t->tls);
    t->tls = calm_tls(pem, key);
    unlink(pem);
    unlink(key);
    cb_buf_free(&der);
}

static void want_certificate(terminals *t, char hex[2 * CB_X509_REQUEST_MAX + 1])
{
    uint8_t point[CB_P256_POINT];
    cb_buf request = CB_BUF(CB_X509_REQUEST_MAX);
    MUST(cb_p256_generate(t->scalar, point));
    MUST(cb_x509_request_make(t->scalar, "any name", &request));
    cb_hex(cb_buf_bytes(&request), hex);
    cb_buf_free(&request);
}

/* ---- Asking ---- */

static void dial(terminals *t) { api_dial_as(&t->w, t->known ? t->tls : t->stranger); }

static void send_request(terminals *t)
{
    api_ask_dialled(&t->w, t->way->method, t->way->path, t->body[0] ? t->body : NULL);
}

/* The terminal itself takes a step before, without faults. */
static void ask_before(terminals *t, const char *path, int status)
{
    dial(t);
    api_ask_dialled(&t->w, "POST", path, t->body);
    assert_int_equal(t->w.answer.status, status);
}

/* ---- What is there before ---- */

static void registered(terminals *t)
{
    char name[32], hex[2 * CB_X509_REQUEST_MAX + 1];
    cb_terminal terminal;
    cb_terminal_code code;
    snprintf(name, sizeof name, "number %u", ++t->number);
    MUST(cb_terminal_code_make(600, &code));
    cb_terminal_new fresh = {.name = name, .code = &code};
    MUST(cb_terminal_add(t->w.api.store, "test", &fresh, &terminal));
    t->terminal = terminal.id;
    t->known = false;
    want_certificate(t, hex);
    snprintf(t->body, sizeof t->body, "{\"name\":\"%s\",\"code\":\"%s\",\"request\":\"%s\"}", name,
             code.text, hex);
}

static void activated(terminals *t)
{
    registered(t);
    ask_before(t, "/v1/activations", 201);
    become(t);
    t->known = true;
    t->body[0] = 0;
}

static void asks_for_next(terminals *t)
{
    char hex[2 * CB_X509_REQUEST_MAX + 1];
    activated(t);
    want_certificate(t, hex);
    snprintf(t->body, sizeof t->body, "{\"request\":\"%s\"}", hex);
}

static void has_next(terminals *t)
{
    asks_for_next(t);
    ask_before(t, "/v1/certificate", 200);
    become(t);
    t->body[0] = 0;
}

static void is_erased(terminals *t)
{
    activated(t);
    strcpy(t->body, "{\"reason\":\"erased\"}");
}

static void was_opened(terminals *t)
{
    activated(t);
    strcpy(t->body, "{\"reason\":\"tamper\"}");
}

/* ---- Judging ---- */

static cb_error certificate_is_whole(const terminals *t)
{
    alloc_faults_pause(true);
    cb_buf der = CB_BUF(2048);
    bool good = read_certificate(t, &der);
    cb_buf_free(&der);
    alloc_faults_pause(false);
    return good ? CB_OK : api_wrong(&t->w, "no certificate of that key");
}

static cb_error says(const terminals *t, const char *what)
{
    return strstr(t->w.answer.body, what) ? CB_OK : api_wrong(&t->w, what);
}

static cb_error services_are_whole(const terminals *t)
{
    cb_error error = says(t, "{\"name\":\"tax\",\"title\":\"Office\",\"level\":1}");
    if (!error)
        error = says(t, "\"bus\"");
    return error ? error : says(t, "\"gov\"");
}

static cb_error is_revoked(const terminals *t) { return says(t, "{\"state\":\"revoked\"}"); }

static cb_error is_deactivated(const terminals *t)
{
    return says(t, "{\"state\":\"deactivated\"}");
}

static cb_error judge(const terminals *t, int status)
{
    cb_error error = api_judge(&t->w, status);
    return error || status != t->way->status ? error : t->way->whole(t);
}

/* ---- A run ---- */

static void prepare(void *context)
{
    terminals *t = context;
    api_open_again(&t->w, &t->before);
    t->way->prepare(t);
    api_count(&t->w, &t->before);
    dial(t);
}

static cb_error ask(void *context)
{
    terminals *t = context;
    send_request(t);
    return judge(t, t->way->status);
}

static void done_or_not(void *context, cb_error result, bool struck)
{
    terminals *t = context;
    api_tally is, now;
    (void)struck;
    api_settled(&t->w, &t->before, &is);
    if (!t->counted)
        t->clean = is;
    t->counted = true;
    bool done = api_same(&is, &t->clean);
    if ((is.count > 0 && !done) || (result == CB_OK && !done)) {
        api_say("due", &t->clean);
        api_say("is", &is);
        fail_msg("half done");
    }
    api_wait_signed(&t->w);
    api_open_again(&t->w, &now);
    dial(t);
    send_request(t);
    assert_int_equal(judge(t, done ? t->way->after : t->way->status), CB_OK);
    api_settled(&t->w, &t->before, &is);
    if (!api_same(&is, &t->clean)) {
        api_say("due", &t->clean);
        api_say("is", &is);
        fail_msg("not done once when asked again");
    }
    api_world_close(&t->w);
}

static const way ways[] = {
    {"a terminal activated with its code", registered, "POST", "/v1/activations", 201, 201,
     certificate_is_whole},
    {"a terminal's certificate renewed", asks_for_next, "POST", "/v1/certificate", 200, 200,
     certificate_is_whole},
    {"a renewed certificate used for the first time", has_next, "GET", "/v1/services", 200, 200,
     services_are_whole},
    {"a terminal that was erased", is_erased, "POST", "/v1/terminal/end", 200, 403, is_revoked},
    {"a terminal that was opened", was_opened, "POST", "/v1/terminal/end", 200, 200,
     is_deactivated},
};

static void make_anew(void *context)
{
    terminals *t = context;
    api_world_over(&t->w);
    api_world_make(&t->w);
}

static void what_a_terminal_asks_for_itself_is_done_or_not(void **state)
{
    static terminals t;
    (void)state;
    api_world_make(&t.w);
    fault_anew(make_anew);
    t.stranger = calm_tls(NULL, NULL);
    fault_theirs(FAULT_THEIRS_HTTP);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const fault_flow flow = {ways[i].name, prepare, ask, done_or_not};
        t.way = &ways[i];
        t.counted = false;
        fault_each(&alloc_faults, &flow, &t, RUNS);
    }
    calm_tls_free(&t.stranger);
    if (t.tls)
        calm_tls_free(&t.tls);
    api_world_over(&t.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_a_terminal_asks_for_itself_is_done_or_not, fault_said),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

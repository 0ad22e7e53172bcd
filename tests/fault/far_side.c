/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "far_side.h"

#include <wolfssl/ssl.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json_text.h"
#include "base/text.h"
#include "cardlink/card/reader.h"
#include "world.h"

enum { TAPS = 8, REQUEST_MAX = 128 * 1024, POLL_MS = 5 };

typedef struct tap {
    cb_tap_context context;
    void *state;
    bool asked;
    bool answered; /* with this, and again when it is asked again */
    cb_error word;
} tap;

typedef struct request {
    char *path;
    json_t *body;
} request;

static far_record *record;
static world keys;
static tap taps[TAPS];
static unsigned newest;
static cb_vcard *card;
static cb_vcard_reader place;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define MUST(what) must(what, #what)

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "far side: %s\n", what);
    abort();
}

/* ---- The card ---- */

/* A comparison takes a try away, and is stored before anything is compared. */
static cb_error saved(void *context, const cb_vcard *saved_card)
{
    const cb_vcard_state *state = cb_vcard_state_of(saved_card);
    (void)context;
    if (state->pin_tries < atomic_load(&record->tries))
        atomic_fetch_add(&record->compared, 1);
    atomic_store(&record->tries, state->pin_tries);
    return CB_OK;
}

static void lay_fresh_card(void)
{
    const cb_vcard_store store = {NULL, saved};
    cb_vcard_reader_remove(&place);
    cb_vcard_close(&card);
    MUST(cb_vcard_make(&keys.first, &store, &card) == CB_OK);
    MUST(cb_vcard_reader_insert(&place, card) == CB_OK);
    atomic_store(&record->tries, keys.first.pin_tries);
}

static void forget_taps(void)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < TAPS; i++) {
        if (taps[i].state)
            cb_profile_native.end(taps[i].state);
        free(taps[i].state);
        taps[i] = (tap){.state = NULL};
    }
    pthread_mutex_unlock(&lock);
}

static void begin_again(void)
{
    forget_taps();
    lay_fresh_card();
    atomic_uint *const counted[] = {&record->begun,     &record->challenged, &record->proved,
                                    &record->pins,      &record->accepted,   &record->changed,
                                    &record->strangers, &record->compared,   &record->ended};
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        atomic_store(counted[i], 0);
    atomic_store(&record->again, false);
}

static void serve_card(void)
{
    cb_vcard_reader_init(&place, FAR_CARD, false);
    begin_again();
    for (;;) {
        struct pollfd at[2];
        if (atomic_load(&record->again))
            begin_again();
        cb_vcard_reader_wait(&place, at);
        if (poll(at, 2, POLL_MS) > 0)
            cb_vcard_reader_serve(&place, at);
    }
}

/* ---- The broker's answers ---- */

static void answer(WOLFSSL *tls, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void answer(WOLFSSL *tls, int status, const char *format, ...)
{
    cb_buf text = CB_BUF(REQUEST_MAX), body = CB_BUF(REQUEST_MAX);
    va_list list;
    va_start(list, format);
    int len = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *at = (char *)cb_buf_extend(&body, (size_t)len + 1);
    MUST(at != NULL);
    va_start(list, format);
    vsnprintf(at, (size_t)len + 1, format, list);
    va_end(list);
    cb_buf_printf(&text,
                  "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                  status, len, at);
    wolfSSL_write(tls, text.data, (int)text.len);
    cb_buf_free(&text);
    cb_buf_free(&body);
}

static void refuse(WOLFSSL *tls, cb_error error)
{
    answer(tls, 422, "{\"code\":\"%s\",\"detail\":\"No.\"}", cb_error_code(error));
}

static void put_script(cb_buf *out, const cb_buf *encoded)
{
    cb_script script;
    MUST(cb_script_read(cb_buf_bytes(encoded), CB_COMMAND_MAX, &script) == CB_OK);
    for (size_t i = 0; i < script.count; i++) {
        cb_buf_put_str(out, i ? ",{\"apdu\":\"" : "{\"apdu\":\"");
        cb_buf_put_hex(out, script.item[i].apdu);
        cb_buf_put_str(out, script.item[i].flags & CB_SCRIPT_GO_ON ? "\",\"go_on\":true}" : "\"}");
    }
}

static void answer_script(WOLFSSL *tls, int status, const tap *of, const cb_buf *encoded)
{
    char id[CB_ID_TEXT];
    cb_buf script = CB_BUF(REQUEST_MAX);
    cb_id_text(&of->context.tap, id);
    put_script(&script, encoded);
    answer(tls, status, "{\"tap\":\"%s\",\"script\":[%s],\"expires_in\":60}", id,
           cb_buf_cstr(&script));
    cb_buf_free(&script);
}

static void read_answers(const json_t *body, cb_buf *encoded)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(body, "answers"), i, one)
    {
        cb_buf bytes = CB_BUF(CB_ANSWER_MAX);
        MUST(cb_unhex(cb_bytes_str(json_string_value(one)), &bytes) == CB_OK);
        cb_script_put(encoded, 0, cb_buf_bytes(&bytes));
        cb_buf_free(&bytes);
    }
}

static const char *member(const json_t *body, const char *name)
{
    const char *text = json_string_value(json_object_get(body, name));
    return text ? text : "";
}

/* ---- Its three steps ---- */

static void begin(WOLFSSL *tls)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    tap *own = &taps[newest++ % TAPS];
    if (own->state)
        cb_profile_native.end(own->state);
    free(own->state);
    *own = (tap){.context = keys.context, .state = world_state()};
    own->context.tap = cb_id_new();
    MUST(world_begin(&keys, own->state, &script) == CB_OK);
    answer_script(tls, 201, own, &script);
    atomic_fetch_add(&record->begun, 1);
    cb_buf_free(&script);
}

static uint8_t purpose_of(const char *name)
{
    return strcmp(name, "pin_change") == 0    ? CB_TAP_PIN_CHANGE
           : strcmp(name, "pin_unblock") == 0 ? CB_TAP_PIN_UNBLOCK
                                              : CB_TAP_AUTHENTICATE;
}

static void challenge(WOLFSSL *tls, tap *own, const json_t *body)
{
    cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX), script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    cb_script answers;
    read_answers(body, &encoded);
    MUST(cb_script_read(cb_buf_bytes(&encoded), CB_ANSWER_MAX, &answers) == CB_OK);
    MUST(cb_unhex(cb_bytes_str(member(body, "pin")), &pin) == CB_OK);
    own->context.purpose = purpose_of(member(body, "purpose"));
    snprintf(own->context.service, sizeof own->context.service, "%s", member(body, "service"));
    if (strcmp(own->context.service, FAR_PIN_SERVICE) == 0)
        own->context.level = CB_LEVEL_PIN;
    cb_error error = cb_profile_native.challenge(own->state, &keys.host, &answers, &own->context,
                                                 NULL, cb_buf_bytes(&pin), &script);
    if (pin.len > 0)
        atomic_fetch_add(&record->pins, 1);
    own->asked = !error;
    if (error)
        refuse(tls, error);
    else
        answer_script(tls, 200, own, &script);
    cb_buf_free(&encoded);
    cb_buf_free(&script);
    cb_buf_free(&pin);
}

static cb_error judge(const tap *own, const cb_card_claim *claim)
{
    if (own->context.purpose == CB_TAP_AUTHENTICATE && own->context.level < CB_LEVEL_PIN)
        return CB_OK;
    return claim->pin == CB_PIN_VERIFIED ? CB_OK
           : claim->pin == CB_PIN_WRONG  ? CB_E_PIN_WRONG
                                         : CB_E_PIN_REQUIRED;
}

static void prove(WOLFSSL *tls, tap *own, const json_t *body)
{
    cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_card_claim claim;
    bool again = own->answered;
    read_answers(body, &encoded);
    cb_error error = again        ? own->word
                     : own->asked ? world_finish(&keys, own->state, &encoded, &claim)
                                  : CB_E_TAP_ORDER;
    own->asked = false;
    if (!error && !again)
        error = judge(own, &claim);
    own->answered = true;
    own->word = error;
    if (error) {
        refuse(tls, error);
    } else {
        if (!again)
            atomic_fetch_add(&record->accepted, 1);
        if (!again && own->context.purpose != CB_TAP_AUTHENTICATE)
            atomic_fetch_add(&record->changed, 1);
        answer(tls, 200,
               "{\"outcome\":\"accepted\",\"service\":\"%s\",\"level\":%d,"
               "\"delivery\":{\"kind\":\"relayed\",\"url\":\"https://relay.test/one-time\"}}",
               own->context.service, own->context.level);
    }
    cb_buf_free(&encoded);
}

static tap *find(const char *path)
{
    for (int i = 0; i < TAPS; i++) {
        char id[CB_ID_TEXT];
        cb_id_text(&taps[i].context.tap, id);
        if (taps[i].state && strstr(path, id))
            return &taps[i];
    }
    return NULL;
}

/* False: the connection ends here. */
static bool serve(WOLFSSL *tls, const request *what)
{
    bool asks = strstr(what->path, "/challenge") != NULL;
    bool proves = strstr(what->path, "/proof") != NULL;
    bool ends = strstr(what->path, "/end") != NULL;
    unsigned fault = atomic_load(&record->fault);
    tap *own = find(what->path);
    /* What came late, of a tap that is forgotten, is not of this run. */
    if (asks && own)
        atomic_fetch_add(&record->challenged, 1);
    if (proves && own)
        atomic_fetch_add(&record->proved, 1);
    if (ends && own)
        atomic_fetch_add(&record->ended, 1);
    if ((asks && fault == FAR_SILENT_CHALLENGE) || (proves && fault == FAR_SILENT_PROOF))
        return false;
    if (strcmp(what->path, "/v1/services") == 0)
        answer(tls, 200, "{\"services\":[{\"name\":\"tax\",\"title\":\"Tax\",\"level\":1}]}");
    else if (strcmp(what->path, "/v1/taps") == 0)
        begin(tls);
    else if (!own)
        answer(tls, 404, "{\"code\":\"tap.unknown\"}");
    else if (ends)
        answer(tls, 200, "{\"outcome\":\"ended\"}");
    else if (asks)
        challenge(tls, own, what->body);
    else
        prove(tls, own, what->body);
    return true;
}

/* ---- HTTP, of one client that is ours ---- */

static bool read_request(WOLFSSL *tls, cb_buf *in, request *out)
{
    const char *end = NULL;
    size_t body = 0;
    cb_buf_reset(in);
    for (;;) {
        uint8_t byte[4096];
        int got = wolfSSL_read(tls, byte, sizeof byte);
        if (got <= 0)
            return false;
        cb_buf_put(in, cb_bytes_make(byte, (size_t)got));
        const char *text = cb_buf_cstr(in);
        MUST(text != NULL);
        end = strstr(text, "\r\n\r\n");
        const char *length = end ? strcasestr(text, "\r\nContent-Length:") : NULL;
        body = length ? strtoul(length + 17, NULL, 10) : 0;
        if (end && in->len >= (size_t)(end - text) + 4 + body)
            break;
    }
    char *text = (char *)in->data;
    out->body = body ? cb_json_load(cb_bytes_make(end + 4, body), 0, NULL) : NULL;
    out->path = strchr(text, ' ') + 1;
    *strchr(out->path, ' ') = 0;
    MUST(!body || out->body);
    return true;
}

static void *converse(void *context)
{
    WOLFSSL *tls = context;
    int fd = wolfSSL_get_fd(tls);
    cb_buf in = CB_BUF(REQUEST_MAX);
    request what;
    bool on = wolfSSL_accept(tls) == WOLFSSL_SUCCESS;
    WOLFSSL_X509 *peer = on ? wolfSSL_get_peer_certificate(tls) : NULL;
    if (on && !peer)
        atomic_fetch_add(&record->strangers, 1);
    wolfSSL_X509_free(peer);
    while (on && read_request(tls, &in, &what)) {
        pthread_mutex_lock(&lock);
        on = serve(tls, &what);
        pthread_mutex_unlock(&lock);
        json_decref(what.body);
    }
    cb_buf_free(&in);
    wolfSSL_free(tls);
    close(fd);
    return NULL;
}

static int take_any(int good, WOLFSSL_X509_STORE_CTX *store)
{
    (void)good, (void)store;
    return 1;
}

static void *serve_broker(void *context)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 16) == 0 &&
         getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    atomic_store(&record->port, ntohs(address.sin_port));
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        WOLFSSL *tls = fd >= 0 ? wolfSSL_new(context) : NULL;
        MUST(tls && wolfSSL_set_fd(tls, fd) == WOLFSSL_SUCCESS);
        MUST(pthread_create(&thread, NULL, converse, tls) == 0);
        pthread_detach(thread);
    }
    return NULL;
}

void far_side_main(int argc, char **argv)
{
    pthread_t thread;
    if (argc != 2 || strncmp(argv[1], "--far-side=", 11) != 0)
        return;
    record = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED,
                  (int)strtol(argv[1] + 11, NULL, 10), 0);
    signal(SIGPIPE, SIG_IGN);
    MUST(record != MAP_FAILED && wolfSSL_Init() == WOLFSSL_SUCCESS);
    world_make(&keys, false);
    WOLFSSL_CTX *tls = wolfSSL_CTX_new(wolfTLS_server_method());
    MUST(tls &&
         wolfSSL_CTX_use_certificate_file(tls, FAR_CERTIFICATE, WOLFSSL_FILETYPE_PEM) ==
             WOLFSSL_SUCCESS &&
         wolfSSL_CTX_use_PrivateKey_file(tls, FAR_KEY, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS);
    wolfSSL_CTX_set_verify(tls, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           take_any);
    MUST(pthread_create(&thread, NULL, serve_broker, tls) == 0);
    serve_card();
}

/* ---- In the test ---- */

far_record *far_side_start(pid_t *pid)
{
    char option[40];
    int fd = memfd_create("far side", 0); /* for the other program too */
    MUST(fd >= 0 && ftruncate(fd, sizeof *record) == 0);
    far_record *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(shared != MAP_FAILED);
    atomic_store(&shared->again, true);
    snprintf(option, sizeof option, "--far-side=%d", fd);
    *pid = fork();
    MUST(*pid >= 0);
    if (*pid == 0) {
        execl("/proc/self/exe", "far-side", option, (char *)NULL);
        _exit(1);
    }
    close(fd);
    while (atomic_load(&shared->port) == 0 || atomic_load(&shared->again))
        usleep(1000);
    return shared;
}

void far_side_again(far_record *shared)
{
    atomic_store(&shared->again, true);
    while (atomic_load(&shared->again))
        usleep(1000);
}

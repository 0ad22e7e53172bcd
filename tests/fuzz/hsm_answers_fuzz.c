/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What hsmd, or somebody in its place, answers to the broker and to cardbrokerctl.
 *
 * An input is u8 question, then answers in the order in which they are read (the first of a
 * connection is that to HELLO), each: u8 error, u16 length, body.
 *
 * What was taken from an answer has the size that the client promises, and, written again, is the
 * answer: nothing was left over and nothing made up.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "hsm/client_pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
cb_error __wrap_cb_msg_connect(const char *path, int *out);
cb_error __wrap_cb_msg_call(int socket, cb_msg *question, cb_msg *answer, int64_t deadline);

static cb_cursor script;
static cb_buf last; /* the body of the last answer */
static char folder[] = "/tmp/cardbroker-fuzz-XXXXXX";
static int quiet[2];

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void socket_path(unsigned worker, char out[64])
{
    snprintf(out, 64, "%s/use-%u.sock", folder, worker);
}

static void clean_up(void)
{
    char path[64];
    for (unsigned i = 0; i < 2; i++) {
        socket_path(i, path);
        unlink(path);
    }
    rmdir(folder);
    cb_buf_free(&last);
}

static void prepare(void)
{
    char path[64];
    if (last.max > 0)
        return;
    cb_log_init("fuzz", CB_LOG_ERROR + 1);
    last = CB_BUF(CB_MSG_BODY_MAX);
    must(mkdtemp(folder) && pipe(quiet) == 0);
    for (unsigned i = 0; i < 2; i++) {
        socket_path(i, path);
        int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        must(file >= 0 && close(file) == 0);
    }
    atexit(clean_up);
}

cb_error __wrap_cb_msg_connect(const char *path, int *out)
{
    (void)path;
    *out = dup(quiet[0]);
    return *out < 0 ? CB_E_IO : CB_OK;
}

cb_error __wrap_cb_msg_call(int socket, cb_msg *question, cb_msg *answer, int64_t deadline)
{
    (void)socket, (void)deadline;
    must(cb_buf_error(&question->body) == CB_OK && question->type > 0 &&
         question->type < CB_HSM_MESSAGES);
    cb_msg_free(answer);
    if (script.rest.len == 0)
        return CB_E_CLOSED;
    answer->error = cb_cursor_u8(&script) % CB_ERROR_COUNT;
    size_t len = cb_cursor_u16(&script);
    cb_buf_put(&answer->body,
               cb_cursor_take(&script, len < script.rest.len ? len : script.rest.len));
    cb_buf_reset(&last);
    cb_buf_put(&last, cb_buf_bytes(&answer->body));
    return answer->error;
}

static void same_as_last(cb_buf *again)
{
    must(cb_bytes_same(cb_buf_bytes(again), cb_buf_bytes(&last)));
    cb_buf_free(again);
}

static const cb_id tap = {{1, 2, 3}};

/* ---- Taps ---- */

static void begin(cb_hsm *hsm)
{
    cb_id begun;
    cb_buf scripted = CB_BUF(CB_SCRIPT_BYTES_MAX), again = CB_BUF(CB_MSG_BODY_MAX);
    if (cb_hsm_tap_begin(hsm, CB_PROFILE_NATIVE, &tap, &begun, &scripted) == CB_OK) {
        cb_put_id(&again, &begun);
        cb_buf_put(&again, cb_buf_bytes(&scripted));
        same_as_last(&again);
    }
    cb_buf_free(&scripted);
}

static void challenge(cb_hsm *hsm)
{
    cb_tap_context context = {.tap = tap, .service = "tax"};
    cb_buf scripted = CB_BUF(CB_SCRIPT_BYTES_MAX);
    if (cb_hsm_tap_challenge(hsm, &context, cb_bytes_str("answers"), (cb_bytes){0}, (cb_bytes){0}, &scripted) ==
        CB_OK)
        must(scripted.len == last.len);
    cb_buf_free(&scripted);
}

static void finish(cb_hsm *hsm)
{
    cb_card_claim claim;
    cb_buf again = CB_BUF(1024);
    if (cb_hsm_tap_finish(hsm, &tap, cb_bytes_str("answers"), &claim) == CB_OK) {
        cb_put_claim(&again, &claim);
        same_as_last(&again);
    }
}

static void activate(cb_hsm *hsm)
{
    cb_activation activation;
    cb_feed_head feed = {0};
    cb_buf again = CB_BUF(1024);
    cb_error error = cb_hsm_tap_activate(hsm, &tap, cb_bytes_str("binding"), &feed, &activation);
    if (error == CB_OK || error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED) {
        cb_put_activation(&again, &activation);
        same_as_last(&again);
    }
}

static void open_key(cb_hsm *hsm)
{
    cb_intent_proof proof = {.path = {.count = 2}};
    cb_hsm_tap_open_key(hsm, &tap, cb_bytes_str("sealed"), &proof);
    cb_hsm_tap_end(hsm, &tap);
}

static void use(cb_hsm *hsm)
{
    cb_buf result = CB_BUF(CB_USE_RESULT_MAX), receipt = CB_BUF(CB_RECEIPT_MAX);
    cb_buf again = CB_BUF(CB_MSG_BODY_MAX);
    if (cb_hsm_use(hsm, &tap, CB_USE_SIGN_DIGEST, CB_HASH_SHA256, cb_bytes_str("data"), &result,
                   &receipt) == CB_OK) {
        cb_buf_put_var(&again, cb_buf_bytes(&result));
        cb_buf_put_var(&again, cb_buf_bytes(&receipt));
        same_as_last(&again);
    }
    cb_buf_free(&result);
    cb_buf_free(&receipt);
}

static void feed(cb_hsm *hsm)
{
    static const cb_feed_entry entry = {.number = 1, .kind = CB_FEED_CARD_REVOKED};
    cb_feed_head head;
    cb_buf again = CB_BUF(1024);
    if (cb_hsm_feed_state_any(hsm, &head) == CB_OK) {
        cb_put_feed_head(&again, &head);
        same_as_last(&again);
    }
    cb_hsm_feed_extend_any(hsm, &entry, 1);
    cb_hsm_feed_state(hsm, &tap, &head);
    cb_hsm_feed_extend(hsm, &tap, &entry, 1);
}

/* ---- The log ---- */

static void sign_head(cb_hsm *hsm)
{
    cb_tree_head head = {.size = 3}, remembered = {0};
    cb_merkle_proof extends = {.count = 1};
    cb_signed_head signed_head;
    cb_buf again = CB_BUF(1024);
    cb_error error = cb_hsm_sign_head(hsm, &head, &extends, &signed_head, &remembered);
    if (error == CB_OK)
        cb_put_signed_head(&again, &signed_head);
    if (error == CB_E_HSM_HEAD)
        cb_put_head(&again, &remembered);
    if (again.len > 0)
        same_as_last(&again);
    /* Whoever does not want to know gets the same. */
    cb_hsm_sign_head(hsm, &head, &extends, &signed_head, NULL);
}

static void head_state(cb_hsm *hsm)
{
    cb_tree_head remembered;
    cb_buf again = CB_BUF(1024);
    if (cb_hsm_head_state(hsm, &remembered) == CB_OK) {
        cb_put_head(&again, &remembered);
        same_as_last(&again);
    }
}

/* ---- For administrators ---- */

static void make_key(cb_hsm *hsm, bool import)
{
    cb_sealed_info info = {.service = "tax", .algorithm = CB_KEY_EC_P256};
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), key = CB_BUF(CB_PUBLIC_KEY_MAX),
           csr = CB_BUF(CB_HSM_CSR_MAX);
    cb_buf again = CB_BUF(CB_MSG_BODY_MAX);
    cb_error error =
        import ? cb_hsm_import(hsm, &info, cb_bytes_str("wrapped"), &sealed, &key)
               : cb_hsm_generate(hsm, &info, cb_bytes_str("subject"), &sealed, &key, &csr);
    if (error == CB_OK) {
        cb_put_id(&again, &info.key);
        cb_buf_put_u32(&again, info.generation);
        cb_buf_put_var(&again, cb_buf_bytes(&sealed));
        cb_buf_put_var(&again, cb_buf_bytes(&key));
        if (!import)
            cb_buf_put_var(&again, cb_buf_bytes(&csr));
        same_as_last(&again);
    }
    cb_buf_free(&sealed);
    cb_buf_free(&key);
    cb_buf_free(&csr);
}

static void generate(cb_hsm *hsm) { make_key(hsm, false); }
static void import(cb_hsm *hsm) { make_key(hsm, true); }

/* Those whose answer is one thing, whole. */
static void whole(cb_hsm *hsm)
{
    cb_buf out = CB_BUF(CB_BINDING_MAX);
    uint32_t generation;
    if (cb_hsm_bind(hsm, cb_bytes_str("certificate"), &tap, CB_LEVEL_PIN, 1, &out) == CB_OK)
        must(out.len == last.len);
    cb_buf_free(&out);
    out = CB_BUF(CB_SEALED_MAX);
    if (cb_hsm_rewrap(hsm, cb_bytes_str("sealed"), &out) == CB_OK)
        must(out.len == last.len);
    cb_buf_free(&out);
    out = CB_BUF(CB_PUBLIC_KEY_MAX);
    if (cb_hsm_public_key(hsm, "log", &out) == CB_OK)
        must(out.len == last.len);
    cb_buf_free(&out);
    if (cb_hsm_new_generation(hsm, &generation) == CB_OK)
        must(last.len == 4);
    cb_hsm_receipt_check(hsm, cb_bytes_str("receipt"));
    cb_hsm_resume(hsm, &tap);
}

static void status(cb_hsm *hsm)
{
    cb_hsm_state state;
    if (cb_hsm_status(hsm, &state) == CB_OK)
        must(last.len == 29);
    cb_hsm_ping(hsm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const ask[])(cb_hsm *) = {begin,  challenge, finish,    activate,   open_key,
                                            use,    feed,      sign_head, head_state, generate,
                                            import, whole,     status};
    cb_hsm *hsm;
    prepare();
    script = cb_cursor_over(cb_bytes_make(data, size));
    uint8_t question = cb_cursor_u8(&script);
    must(cb_hsm_open(folder, &hsm) == CB_OK);
    ask[question % (sizeof ask / sizeof *ask)](hsm);
    cb_hsm_close(&hsm);
    return 0;
}

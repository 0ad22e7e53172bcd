/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the holder of a good code, or whoever stands between him and hsmd, brings to register; and
 * then the same to renew what a card is bound with.
 *
 * An input is u8 wish (the low two bits: PIV, JPKI, SCP03; 80: the word of a code that was never
 * made), the answers to the first script, u8 number of certificates and each u8 use and u16 length
 * and bytes, and the answers to the second script; answers are u8 number, and each u16 length and
 * bytes. No card is ever bound: nobody vouches for the certificates, and there is no master key.
 * The code is open afterwards, and no wrong try is charged to it.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/log.h"
#include "cardlink/x509/certificate.h"
#include "fake.h"
#include "hsm/activation.h"
#include "hsm/registering.h"
#include "hsm/registration.h"
#include "hsm/renewing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Durability is not what is tried. */
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd) { return fd < 0 ? -1 : 0; }
int __wrap_fsync(int fd) { return fd < 0 ? -1 : 0; }

enum { ANSWERS_MAX = 8, OTHER_CODE = 0x80 };

static world w;
static fake f;
static cb_lane lane;
static char symbols[CB_CODE_SYMBOLS], others[CB_CODE_SYMBOLS];
static cb_id code;
static const uint8_t profiles[] = {CB_PROFILE_PIV, CB_PROFILE_JPKI, CB_PROFILE_SCP03};

static void clean_up(void)
{
    fake_lane_free(&lane);
    fake_end(&f);
    world_free(&w);
}

static void make_code(char out[CB_CODE_SYMBOLS])
{
    char text[CB_CODE_TEXT];
    cb_code_make(text);
    if (cb_code_read(cb_bytes_str(text), out))
        abort();
}

static void prepare(void)
{
    static bool done;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    if (done)
        return;
    done = true;
    cb_log_init("fuzz", CB_LOG_ERROR);
    world_make(&w, false);
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 0, &lane);
    lane.host->foreign[0].profile = CB_PROFILE_PIV; /* without an anchor */
    lane.host->foreign[1].profile = CB_PROFILE_JPKI;
    for (unsigned i = 0; i < 2; i++) {
        lane.host->foreign[i].renewal = CB_X509_RENEWAL_SAME_SUBJECT;
        lane.host->foreign[i].renewal_at_taps = true;
    }
    make_code(symbols);
    make_code(others);
    if (cb_registration_key(symbols, scalar, point))
        abort();
    code = cb_registration_id(point);
    cb_registration_grant grant = {.holder = {{1}},
                                   .until = cb_clock_wall_us() + 86400 * CB_SECOND,
                                   .profiles = CB_REGISTRATION_PROFILES,
                                   .level = CB_LEVEL_PIN};
    if (cb_registration_allow(lane.guesses, &code, &grant))
        abort();
    atexit(clean_up);
}

static cb_bytes take_var(cb_cursor *in)
{
    size_t len = cb_cursor_u16(in);
    return cb_cursor_take(in, len < in->rest.len ? len : in->rest.len);
}

static void take_answers(cb_cursor *in, cb_buf *out)
{
    size_t count = cb_cursor_u8(in) % ANSWERS_MAX;
    for (size_t i = 0; i < count; i++)
        cb_script_put(out, 0, take_var(in));
}

/* What says that it is of this card does not say that it is of another. */
static void look_at_names(const cb_foreign_reading *reading)
{
    cb_script answers;
    cb_x509 certificate;
    const cb_card_profile *profile = cb_profile_find(reading->profile);
    if (!profile->names || cb_script_read(reading->answers, CB_ANSWER_MAX, &answers))
        return;
    for (size_t i = 0; i < reading->keys; i++) {
        if (cb_x509_parse(reading->key[i].certificate, &certificate) == CB_OK &&
            profile->names(&answers, &certificate) && !profile->fits(&answers, &certificate))
            abort();
    }
}

static void look_at_code(void)
{
    cb_registration_grant grant;
    if (cb_registration_get(lane.guesses, &code, &grant) || grant.state != CB_REGISTRATION_OPEN ||
        grant.wrong != 0)
        abort();
}

static void try(cb_tap *tap, const cb_foreign_reading *reading, uint8_t wish, cb_cursor *in)
{
    cb_registration_word word;
    cb_card_claim claim;
    cb_binding_info info;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    const cb_tap_context context = {.tap = tap->id,
                                    .terminal = tap->terminal,
                                    .profile = reading->profile,
                                    .purpose = CB_TAP_REGISTER};
    if (cb_registration_say(wish & OTHER_CODE ? others : symbols, &tap->id, reading, &word))
        abort();
    cb_error error = cb_registering_ask(lane.taps, tap, &context, reading, &word, &script);
    if ((error != CB_OK) != (script.len == 0) || (!error && wish & OTHER_CODE))
        abort();
    if (!error) {
        cb_feed_head head = cb_feed_now(lane.feed);
        take_answers(in, &answers);
        if (cb_tap_finish(tap, cb_buf_bytes(&answers), &claim) == CB_OK &&
            cb_registering_bind(lane.taps, tap, 1, &head, &info) == CB_OK)
            abort();
    }
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

/* The same of a card that is bound, with whatever certificates: these renew nothing. */
static void try_renewal(const cb_foreign_reading *reading, const cb_id *terminal)
{
    cb_tap *tap;
    cb_script answers;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), binding = CB_BUF(CB_BINDING_MAX);
    cb_buf certificates = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN);
    cb_tap_context context = {
        .terminal = *terminal, .profile = reading->profile, .purpose = CB_TAP_RENEW};
    cb_binding_info info = {.holder = {{1}},
                            .profile = reading->profile,
                            .level = CB_LEVEL_TERMINAL_PIN,
                            .sequence = 1,
                            .keys = {.count = reading->keys}};
    if (cb_script_read(reading->answers, CB_ANSWER_MAX, &answers) ||
        cb_profile_find(reading->profile)->recognise(&answers, &info.card))
        info.card = (cb_id){{3}};
    for (size_t i = 0; i < reading->keys; i++) {
        info.keys.key[i] = (cb_card_key){.use = reading->key[i].use,
                                         .kind = CB_CARD_KEY_P256,
                                         .len = CB_P256_POINT,
                                         .certificate = cb_sha256(reading->key[i].certificate)};
        cb_buf_put(&certificates, reading->key[i].certificate);
    }
    if (cb_tap_begin(lane.taps, lane.host, reading->profile, terminal, &context.tap, &script) ||
        cb_taps_enter(lane.taps, &context.tap, CB_TAP_BEGUN, &tap))
        abort();
    cb_buf_reset(&script);
    if (lane.vault->binding_make(lane.vault->context, &info, &binding) == CB_OK &&
        (cb_renewing_ask(lane.taps, tap, &context, reading, cb_buf_bytes(&binding),
                         cb_buf_bytes(&certificates), &script) == CB_OK ||
         script.len > 0))
        abort();
    cb_taps_end(lane.taps, tap);
    cb_buf_free(&script);
    cb_buf_free(&binding);
    cb_buf_free(&certificates);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_id id, terminal = {{2}};
    cb_tap *tap;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    prepare();
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    uint8_t wish = cb_cursor_u8(&in);
    cb_foreign_reading reading = {.profile = profiles[(wish & 3) % sizeof profiles]};
    take_answers(&in, &answers);
    reading.answers = cb_buf_bytes(&answers);
    reading.keys = cb_cursor_u8(&in) % (CB_CARD_KEYS_MAX + 1);
    for (size_t i = 0; i < reading.keys; i++) {
        reading.key[i].use = cb_cursor_u8(&in);
        reading.key[i].certificate = take_var(&in);
    }
    look_at_names(&reading);
    if (cb_tap_begin(lane.taps, lane.host, reading.profile, &terminal, &id, &script) ||
        cb_taps_enter(lane.taps, &id, CB_TAP_BEGUN, &tap))
        abort();
    try(tap, &reading, wish, &in);
    look_at_code();
    cb_taps_end(lane.taps, tap);
    try_renewal(&reading, &terminal);
    lane.taps->codes = (cb_brake){0};
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return 0;
}

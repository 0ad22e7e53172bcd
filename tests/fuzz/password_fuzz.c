/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a terminal says of a password, to hsmd; what a broker asks, of a terminal; and names and
 * passwords as they are typed.
 *
 *   input   u8 what; 0: answers, each u16 length and bytes, first those to the first script (u8
 *           count), then those to the second; 1: a command; 2: a name, a zero, a password
 */
#include <stdlib.h>

#include "base/text.h"
#include "cardlink/apdu.h"
#include "cardlink/password/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWERS_MAX = 4, WORLDS = 3 };

static cb_error salt(void *keys, const cb_id *password, uint8_t out[CB_PASSWORD_SALT])
{
    (void)keys;
    memcpy(out, password->bytes, CB_PASSWORD_SALT);
    return CB_OK;
}

static void take_answers(cb_cursor *in, cb_script *out)
{
    out->count = cb_cursor_u8(in) % ANSWERS_MAX;
    for (size_t i = 0; i < out->count; i++) {
        size_t len = cb_cursor_u16(in);
        out->item[i] =
            (cb_script_item){.apdu = cb_cursor_take(in, len < in->rest.len ? len : in->rest.len)};
    }
}

/* The one command, which a terminal can read. */
static void check_question(const cb_buf *encoded)
{
    cb_script script;
    cb_password_question question;
    if (cb_script_read(cb_buf_bytes(encoded), CB_COMMAND_MAX, &script) || script.count != 1)
        abort();
    if (cb_password_question_get(script.item[0].apdu, &question) ||
        question.level != CB_LEVEL_PASSWORD)
        abort();
}

/* Nobody has signed what is new in each tap. */
static void check_claim(cb_error error, const cb_card_claim *claim)
{
    static const cb_card_claim nothing;
    if (error) {
        if (memcmp(claim, &nothing, sizeof nothing) != 0)
            abort();
        return;
    }
    const cb_card_keys keys = {.count = 1, .key = {cb_card_key_of_point(claim->shown)}};
    if (cb_id_is_zero(&claim->card) || claim->pin != CB_PIN_NOT_PRESENTED ||
        cb_profile_verify(claim, &keys))
        abort();
}

static void tap(cb_cursor *in)
{
    static const uint8_t signer[] = {0x7F, 0x21};
    const cb_card_profile *profile = &cb_profile_password;
    const cb_profile_host host = {.signer_certificate = CB_BYTES_OF(signer), .salt = salt};
    const cb_tap_context context = {.profile = CB_PROFILE_PASSWORD,
                                    .purpose = CB_TAP_AUTHENTICATE,
                                    .level = CB_LEVEL_PASSWORD,
                                    .service = "library"};
    cb_script answers;
    cb_card_claim claim;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    void *state = calloc(1, profile->state_size);
    if (!state || profile->begin(state, &host, &script))
        abort();
    cb_buf_reset(&script);
    take_answers(in, &answers);
    if (profile->challenge(state, &host, &answers, &context, NULL, (cb_bytes){0}, &script) ==
        CB_OK) {
        check_question(&script);
        take_answers(in, &answers);
        cb_error error = profile->finish(state, &host, &answers, &claim);
        check_claim(error, &claim);
        if (profile->finish(state, &host, &answers, &claim) != CB_E_TAP_ORDER)
            abort();
    }
    profile->end(state);
    free(state);
    cb_buf_free(&script);
}

/* What is read, written again, is the same command. A question is not answered here: that costs an
 * Argon2id. */
static void command(cb_bytes bytes)
{
    cb_password_question question;
    cb_buf again = CB_BUF(CB_COMMAND_MAX);
    cb_soft_password soft = {.id = {{1}}};
    if (cb_password_question_get(bytes, &question) == CB_OK) {
        cb_password_question_put(&again, &question);
        /* Any Le will do. */
        if (again.len != bytes.len || memcmp(again.data, bytes.data, again.len - 1) != 0)
            abort();
    } else if (cb_soft_password_transmit(&soft, bytes, &again) != CB_OK ||
               (again.len != 2 && again.len != CB_ID_SIZE + 2)) {
        abort();
    }
    cb_buf_free(&again);
}

static void typed(cb_bytes bytes)
{
    char text[256] = "", name[CB_PASSWORD_NAME_MAX + 1], again[CB_PASSWORD_NAME_MAX + 1];
    memcpy(text, bytes.data, bytes.len < sizeof text ? bytes.len : sizeof text - 1);
    size_t len = strlen(text);
    cb_bytes password = {0};
    if (len + 1 < bytes.len)
        password = cb_bytes_make(bytes.data + len + 1, bytes.len - len - 1);
    if (cb_password_name(text, name)) {
        strcpy(name, "hana");
    } else if (strlen(name) != len || cb_password_name(name, again) || strcmp(name, again) != 0) {
        abort();
    }
    if (cb_password_fit(password, name) == CB_OK &&
        (password.len < CB_PASSWORD_CHARACTERS_MIN || password.len > CB_PASSWORD_MAX ||
         memchr(password.data, '\n', password.len) || memchr(password.data, 0, password.len)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    uint8_t what = cb_cursor_u8(&in) % WORLDS;
    if (what == 0)
        tap(&in);
    else if (what == 1)
        command(in.rest);
    else if (in.rest.len > 0)
        typed(in.rest);
    return 0;
}

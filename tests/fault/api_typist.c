/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fault/api_typist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cardlink/apdu.h"
#include "cardlink/password/password.h"
#include "cardlink/script.h"

/* Argon2id stands aside: what it is to make is a key. */
static void key_of(unsigned number, uint8_t scalar[CB_P256_SCALAR], uint8_t point[CB_P256_POINT])
{
    char text[32];
    snprintf(text, sizeof text, "password %u", number);
    cb_digest digest = cb_sha256(cb_bytes_str(text));
    memcpy(scalar, digest.bytes, CB_P256_SCALAR);
    MUST(cb_p256_public(scalar, point));
}

static void put_proof(const api_typist *t, cb_bytes command, cb_buf *answer)
{
    cb_password_question question;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT], next[CB_P256_POINT],
        signature[CB_P256_SIGNATURE];
    cb_tap_context context = {.profile = CB_PROFILE_PASSWORD,
                              .purpose = t->service ? CB_TAP_AUTHENTICATE : CB_TAP_PASSWORD_CHANGE};
    MUST(cb_id_parse(t->w->tap, &context.tap));
    MUST(cb_password_question_get(command, &question));
    context.terminal = question.terminal;
    context.level = question.level;
    if (t->service)
        snprintf(context.service, sizeof context.service, "%s", t->service);
    cb_digest statement = cb_password_statement(&question, &context, &t->name);
    key_of(t->next, scalar, next);
    if (!t->service)
        statement = cb_password_change_statement(&statement, next);
    key_of(t->typed, scalar, point);
    MUST(cb_p256_sign(scalar, &statement, signature));
    cb_buf_put(answer, CB_BYTES_OF(point));
    if (!t->service)
        cb_buf_put(answer, CB_BYTES_OF(next));
    cb_buf_put(answer, CB_BYTES_OF(signature));
}

static void play(void *context, const cb_buf *script, cb_buf *answers)
{
    const api_typist *t = context;
    cb_script read;
    MUST(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    for (size_t i = 0; i < read.count; i++) {
        cb_bytes command = read.item[i].apdu;
        cb_buf answer = CB_BUF(CB_ANSWER_MAX);
        if (cb_bytes_same(command, CB_BYTES_OF(cb_password_get_name)))
            cb_buf_put(&answer, cb_id_bytes(&t->name));
        else if (!cb_bytes_same(command, CB_BYTES_OF(cb_password_select)))
            put_proof(t, command, &answer);
        cb_buf_put_u16(&answer, CB_SW_OK);
        cb_script_put(answers, 0, cb_buf_bytes(&answer));
        cb_buf_free(&answer);
    }
}

void api_typist_bind(api_world *w, api_typist *t, const char *name, unsigned password)
{
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    t->w = w;
    t->name = cb_password_id(name);
    t->typed = password;
    key_of(password, scalar, point);
    MUST(cb_hsm_bind_password(w->api.hsm, &t->name, point, &w->holder, 2, 0, (cb_bytes){0},
                              &binding));
    MUST(cb_card_add(w->api.store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, NULL));
    MUST(cb_card_change(w->api.store, "test", &t->name, CB_CARD_ACTIVATE, NULL, NULL));
    cb_buf_free(&binding);
    api_typist_sit_down(w, t);
}

void api_typist_sit_down(api_world *w, api_typist *t)
{
    w->play = play;
    w->player = t;
}

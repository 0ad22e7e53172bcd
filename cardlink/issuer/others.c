/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/others.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "base/text.h"
#include "cardlink/card/content.h"
#include "cardlink/card/jpki/application.h"
#include "cardlink/issuer/files.h"
#include "cardlink/issuer/jpki.h"

/* A card with one application, whose state this is. */
static cb_error write_card(const char *path, const cb_applet *applet, cb_bytes atr,
                           const cb_buf *state, cb_buf *why)
{
    cb_card_content content = {0};
    cb_buf file = CB_BUF(CB_CARD_FILE_MAX);
    cb_error error = cb_buf_error(state);
    if (!error)
        error = cb_card_content_set_atr(&content, atr);
    if (!error)
        error = cb_card_content_add(&content, applet, cb_buf_bytes(state));
    if (!error) {
        cb_card_content_put(&file, &content);
        error = cb_buf_error(&file);
    }
    if (!error)
        error = cb_file_new(path, cb_buf_bytes(&file), 0600, why);
    cb_buf_free(&file);
    return error;
}

static cb_error jpki_letter(const char *path, const cb_vjpki_secrets *secrets, cb_buf *why)
{
    cb_buf letter = CB_BUF(256);
    cb_buf_printf(&letter, "authentication PIN %s\nsignature PIN %s\n",
                  secrets->pin[CB_VJPKI_AUTHENTICATION], secrets->pin[CB_VJPKI_SIGNATURE]);
    cb_error error = cb_buf_error(&letter);
    if (!error)
        error = cb_file_new(path, cb_buf_bytes(&letter), 0600, why);
    cb_buf_free(&letter);
    return error;
}

static cb_error jpki_write(const cb_issuer_options *chosen, const cb_vjpki_state *state,
                           const cb_vjpki_secrets *secrets, cb_buf *why)
{
    char print[2 * CB_SHA256_SIZE + 1];
    cb_bytes certificate = cb_vjpki_blob_bytes(&state->of[CB_VJPKI_AUTHENTICATION].certificate);
    cb_digest digest = cb_sha256(certificate);
    cb_buf bytes = CB_BUF(CB_CARD_STATE_MAX);
    cb_error error = CB_OK;
    cb_vjpki_state_put(&bytes, state);
    if (chosen->letter)
        error = jpki_letter(chosen->letter, secrets, why);
    if (!error)
        error = cb_file_new(chosen->certificate, certificate, 0644, why);
    if (!error)
        error = write_card(chosen->state, &cb_applet_jpki, CB_BYTES_OF(cb_vjpki_atr), &bytes, why);
    if (!error) {
        cb_hex(cb_digest_bytes(&digest), print);
        puts(print);
    }
    cb_buf_free(&bytes);
    return error;
}

cb_error cb_issuer_jpki_make(const cb_issuer_options *chosen, cb_buf *why)
{
    cb_x509_authority authority = {0};
    cb_vjpki_secrets secrets = {0};
    if (!chosen->name || !chosen->state || !chosen->certificate || !chosen->ca != !chosen->ca_key ||
        (chosen->letter && chosen->secrets_fd >= 0))
        return CB_E_ARGUMENT;
    cb_vjpki_state *state = calloc(1, sizeof *state);
    cb_error error = state ? CB_OK : CB_E_MEMORY;
    if (!error && chosen->ca)
        error = cb_x509_authority_read(chosen->ca, chosen->ca_key, &authority, why);
    if (!error && chosen->letter)
        cb_vjpki_secrets_draw(&secrets);
    else if (!error)
        error = cb_vjpki_secrets_get(chosen->secrets_fd, &secrets);
    if (!error)
        error = cb_vjpki_make(chosen->ca ? &authority : NULL, chosen->name, chosen->years, &secrets,
                              state);
    if (!error)
        error = jpki_write(chosen, state, &secrets, why);
    cb_x509_authority_free(&authority);
    cb_wipe(&secrets, sizeof secrets);
    if (state)
        cb_wipe(state, sizeof *state);
    free(state);
    return error;
}

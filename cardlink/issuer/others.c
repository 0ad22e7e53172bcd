/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/others.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "base/text.h"
#include "cardlink/card/content.h"
#include "cardlink/card/jpki/application.h"
#include "cardlink/card/scp03/application.h"
#include "cardlink/issuer/files.h"
#include "cardlink/issuer/jpki.h"
#include "cardlink/issuer/scp03.h"

static cb_error set_atr(const cb_issuer_options *chosen, cb_card_content *content, cb_bytes usual,
                        cb_buf *why)
{
    cb_buf atr = CB_BUF(CB_CARD_ATR_MAX);
    cb_error error = CB_OK;
    if (chosen->atr) {
        error = cb_unhex(cb_bytes_str(chosen->atr), &atr);
        if (!error)
            error = cb_card_content_set_atr(content, cb_buf_bytes(&atr));
        if (error) {
            cb_buf_printf(why, "%s: not an ATR of 2 to 33 bytes in hexadecimal", chosen->atr);
            error = CB_E_ARGUMENT;
        }
    } else if (content->atr_len == 0) {
        error = cb_card_content_set_atr(content, usual);
    }
    cb_buf_free(&atr);
    return error;
}

static cb_error add(const cb_issuer_options *chosen, const cb_applet *applet, const cb_buf *state,
                    cb_buf *other, cb_card_content *content, cb_buf *why)
{
    cb_error error = CB_OK;
    if (chosen->beside) {
        error = cb_card_file_read(chosen->beside, other);
        if (!error)
            error = cb_card_content_parse(cb_buf_bytes(other), content);
    }
    if (!error)
        error = cb_buf_error(state);
    if (!error)
        error = cb_card_content_add(content, applet, cb_buf_bytes(state));
    if (error && chosen->beside)
        cb_buf_printf(why, "%s: %s", chosen->beside, cb_error_text(error));
    return error;
}

cb_error cb_issuer_write_card(const cb_issuer_options *chosen, const cb_applet *applet,
                              cb_bytes usual_atr, const cb_buf *state, cb_buf *why)
{
    cb_card_content content = {0};
    cb_buf other = CB_BUF(CB_CARD_FILE_MAX), file = CB_BUF(CB_CARD_FILE_MAX);
    cb_error error = add(chosen, applet, state, &other, &content, why);
    if (!error)
        error = set_atr(chosen, &content, usual_atr, why);
    if (!error) {
        cb_card_content_put(&file, &content);
        error = cb_buf_error(&file);
    }
    if (!error)
        error = cb_file_new(chosen->state, cb_buf_bytes(&file), 0600, why);
    cb_buf_free(&other);
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
        error =
            cb_issuer_write_card(chosen, &cb_applet_jpki, CB_BYTES_OF(cb_vjpki_atr), &bytes, why);
    if (!error) {
        cb_hex(cb_digest_bytes(&digest), print);
        puts(print);
    }
    cb_buf_free(&bytes);
    return error;
}

cb_error cb_issuer_jpki_make(const cb_issuer_options *chosen, cb_buf *why)
{
    cb_issue_signer signer = {0};
    cb_vjpki_secrets secrets = {0};
    if (!chosen->name || !chosen->state || !chosen->certificate || !chosen->ca != !chosen->ca_key ||
        (chosen->letter && chosen->secrets_fd >= 0))
        return CB_E_ARGUMENT;
    cb_vjpki_state *state = calloc(1, sizeof *state);
    cb_error error = state ? CB_OK : CB_E_MEMORY;
    if (!error && chosen->ca)
        error = cb_issue_signer_load(chosen->ca, chosen->ca_key, &signer, why);
    if (!error && chosen->letter)
        cb_vjpki_secrets_draw(&secrets);
    else if (!error)
        error = cb_vjpki_secrets_get(chosen->secrets_fd, &secrets);
    if (!error)
        error = cb_vjpki_make(chosen->ca ? &signer : NULL, chosen->name, chosen->years, &secrets,
                              state);
    if (!error)
        error = jpki_write(chosen, state, &secrets, why);
    cb_issue_signer_end(&signer);
    cb_wipe(&secrets, sizeof secrets);
    if (state)
        cb_wipe(state, sizeof *state);
    free(state);
    return error;
}

static cb_error scp03_write(const cb_issuer_options *chosen, const cb_vscp03_state *state,
                            cb_buf *why)
{
    char kdd[2 * CB_SCP03_KDD + 1];
    cb_buf bytes = CB_BUF(CB_CARD_STATE_MAX);
    cb_vscp03_state_put(&bytes, state);
    cb_error error =
        cb_issuer_write_card(chosen, &cb_applet_scp03, CB_BYTES_OF(cb_vscp03_atr), &bytes, why);
    if (!error) {
        cb_hex(CB_BYTES_OF(state->kdd), kdd);
        puts(kdd);
    }
    cb_buf_free(&bytes);
    return error;
}

cb_error cb_issuer_scp03_make(const cb_issuer_options *chosen, cb_buf *why)
{
    cb_scp03_plain_master plain;
    cb_vscp03_state state = {0};
    uint8_t kdd[CB_SCP03_KDD];
    if (!chosen->master || !chosen->key_version || !chosen->state ||
        (chosen->kdd && cb_unhex_exact(chosen->kdd, kdd, sizeof kdd)))
        return CB_E_ARGUMENT;
    cb_error error = cb_scp03_master_read(chosen->master, &plain, why);
    cb_scp03_master master = cb_scp03_master_of(&plain);
    if (!error)
        error =
            cb_vscp03_make(&master, (uint8_t)chosen->key_version, chosen->kdd ? kdd : NULL, &state);
    if (!error)
        error = scp03_write(chosen, &state, why);
    cb_wipe(&plain, sizeof plain);
    cb_wipe(&state, sizeof state);
    return error;
}

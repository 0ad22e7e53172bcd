/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * In place of hsmd's client (hsm/client.h), for tests of cardbrokerctl alone: blobs that say what
 * they were asked for, as text. In the folder of the sockets, the file "hsm-fails" may hold lines
 * "function error-number"; "import.der" is the import key; "log.der" the log's. What is imported is
 * written to "imported", and each call is a line of "hsm-calls".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/text.h"
#include "hsm/client.h"

struct cb_hsm {
    char run[256];
};

cb_error cb_hsm_open(const char *run, cb_hsm **out)
{
    *out = calloc(1, sizeof **out);
    if (*out)
        snprintf((*out)->run, sizeof(*out)->run, "%s", run);
    return *out ? CB_OK : CB_E_MEMORY;
}

void cb_hsm_close(cb_hsm **hsm)
{
    free(*hsm);
    *hsm = NULL;
}

static FILE *open_beside(const cb_hsm *hsm, const char *name, const char *mode)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", hsm->run, name);
    return fopen(path, mode);
}

/* Notes the call; the error that it is to end with. */
static cb_error begin(const cb_hsm *hsm, const char *function)
{
    char name[64];
    unsigned number = 0;
    cb_error error = CB_OK;
    FILE *calls = open_beside(hsm, "hsm-calls", "a");
    if (calls) {
        fprintf(calls, "%s\n", function);
        fclose(calls);
    }
    FILE *fails = open_beside(hsm, "hsm-fails", "r");
    while (fails && fscanf(fails, "%63s %u", name, &number) == 2)
        if (strcmp(name, function) == 0)
            error = (cb_error)number;
    if (fails)
        fclose(fails);
    return error;
}

static cb_error read_beside(const cb_hsm *hsm, const char *name, cb_buf *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", hsm->run, name);
    return cb_file_read(path, out);
}

static void put_info(cb_buf *out, const char *what, const cb_sealed_info *info)
{
    char holder[CB_ID_TEXT];
    cb_id_text(&info->holder, holder);
    cb_buf_printf(out, "%s %s %s %s level=%u uses=%u sequence=%llu", what, holder, info->service,
                  cb_key_algorithm_name(info->algorithm), info->level, info->uses,
                  (unsigned long long)info->sequence);
}

cb_error cb_hsm_bind(cb_hsm *hsm, cb_bytes card_certificate, const cb_id *holder, uint8_t level,
                     uint64_t sequence, cb_buf *binding)
{
    char text[CB_ID_TEXT];
    cb_id_text(holder, text);
    cb_buf_printf(binding, "binding %s level=%u sequence=%llu ", text, level,
                  (unsigned long long)sequence);
    cb_buf_put_hex(binding, card_certificate);
    return begin(hsm, "bind");
}

cb_error cb_hsm_bind_foreign(cb_hsm *hsm, const cb_foreign_reading *card, const cb_id *holder,
                             uint8_t level, uint64_t sequence, cb_buf *binding)
{
    char text[CB_ID_TEXT];
    cb_id_text(holder, text);
    cb_buf_printf(binding, "foreign binding %s level=%u sequence=%llu profile=%u ", text, level,
                  (unsigned long long)sequence, card->profile);
    cb_buf_put_hex(binding, card->answers);
    for (size_t i = 0; i < card->keys; i++) {
        cb_buf_printf(binding, " %02x=", card->key[i].use);
        cb_buf_put_hex(binding, card->key[i].certificate);
    }
    return begin(hsm, "bind_foreign");
}

cb_error cb_hsm_renew_foreign(cb_hsm *hsm, const cb_foreign_reading *card, cb_bytes binding,
                              cb_bytes certificates, uint64_t sequence, cb_buf *renewed)
{
    cb_buf_printf(renewed, "renewed %.*s sequence=%llu ", (int)binding.len,
                  (const char *)binding.data, (unsigned long long)sequence);
    cb_buf_put_hex(renewed, certificates);
    for (size_t i = 0; i < card->keys; i++) {
        cb_buf_printf(renewed, " %02x=", card->key[i].use);
        cb_buf_put_hex(renewed, card->key[i].certificate);
    }
    return begin(hsm, "renew_foreign");
}

cb_error cb_hsm_password_salt(cb_hsm *hsm, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT])
{
    (void)password;
    memset(salt, 0x5A, CB_PASSWORD_SALT);
    return begin(hsm, "password_salt");
}

cb_error cb_hsm_bind_password(cb_hsm *hsm, const cb_id *password,
                              const uint8_t point[CB_P256_POINT], const cb_id *holder,
                              uint64_t sequence, int64_t expires, cb_bytes before,
                              cb_buf *binding)
{
    char text[CB_ID_TEXT], of[CB_ID_TEXT];
    cb_id_text(password, text);
    cb_id_text(holder, of);
    cb_buf_printf(binding, "password %s %s sequence=%llu ", text, of, (unsigned long long)sequence);
    if (expires)
        cb_buf_put_str(binding, "once ");
    cb_buf_put_hex(binding, before);
    cb_buf_put_hex(binding, cb_bytes_make(point, CB_P256_POINT));
    return begin(hsm, "bind_password");
}

cb_error cb_hsm_password_forgive(cb_hsm *hsm, const cb_id *password)
{
    (void)password;
    return begin(hsm, "password_forgive");
}

cb_error cb_hsm_pin_reset(cb_hsm *hsm, const cb_id *card, const cb_id *terminal, uint16_t seconds)
{
    char call[96], of[CB_ID_TEXT], at[CB_ID_TEXT];
    cb_id_text(card, of);
    cb_id_text(terminal, at);
    snprintf(call, sizeof call, "pin_reset %s %s %u", of, at, seconds);
    cb_error error = begin(hsm, "pin_reset");
    begin(hsm, call);
    return error;
}

static cb_error begin_code(cb_hsm *hsm, const char *function, const cb_id *code, const char *more)
{
    char call[160], text[CB_ID_TEXT];
    cb_id_text(code, text);
    snprintf(call, sizeof call, "%s %s%s", function, text, more);
    cb_error error = begin(hsm, function);
    begin(hsm, call);
    return error;
}

cb_error cb_hsm_registration_allow(cb_hsm *hsm, const cb_id *code,
                                   const cb_registration_grant *grant)
{
    char more[96], holder[CB_ID_TEXT];
    cb_id_text(&grant->holder, holder);
    snprintf(more, sizeof more, " %s %u %u", holder, grant->profiles, grant->level);
    return begin_code(hsm, "registration_allow", code, more);
}

cb_error cb_hsm_registration_withdraw(cb_hsm *hsm, const cb_id *code)
{
    return begin_code(hsm, "registration_withdraw", code, "");
}

cb_error cb_hsm_registration_state(cb_hsm *hsm, const cb_id *code, cb_registration_grant *out)
{
    *out = (cb_registration_grant){.state = CB_REGISTRATION_OPEN};
    return begin_code(hsm, "registration_state", code, "");
}

cb_error cb_hsm_retire_generation(cb_hsm *hsm, uint8_t version)
{
    char call[48];
    snprintf(call, sizeof call, "retire_generation %u", version);
    cb_error error = begin(hsm, "retire_generation");
    begin(hsm, call);
    return error;
}

cb_error cb_hsm_may_retire_generation(cb_hsm *hsm, uint8_t version)
{
    char call[48];
    snprintf(call, sizeof call, "may_retire_generation %u", version);
    cb_error error = begin(hsm, "may_retire_generation");
    begin(hsm, call);
    return error;
}

cb_error cb_hsm_resume(cb_hsm *hsm, const cb_id *card)
{
    char call[64] = "resume ";
    cb_id_text(card, call + strlen(call));
    cb_error error = begin(hsm, "resume");
    begin(hsm, call);
    return error;
}

cb_error cb_hsm_generate(cb_hsm *hsm, cb_sealed_info *info, cb_bytes subject_der, cb_buf *sealed,
                         cb_buf *public_key, cb_buf *csr)
{
    put_info(sealed, "generated", info);
    if (info->algorithm < CB_KEY_HMAC_SHA256)
        cb_buf_put_str(public_key, "public");
    if (csr)
        cb_buf_put(csr, subject_der);
    return begin(hsm, "generate");
}

cb_error cb_hsm_import(cb_hsm *hsm, cb_sealed_info *info, cb_bytes wrapped, cb_buf *sealed,
                       cb_buf *public_key)
{
    FILE *out = open_beside(hsm, "imported", "w");
    if (out) {
        fwrite(wrapped.data, 1, wrapped.len, out);
        fclose(out);
    }
    put_info(sealed, "imported", info);
    if (info->algorithm < CB_KEY_HMAC_SHA256)
        cb_buf_put_str(public_key, "public");
    return begin(hsm, "import");
}

cb_error cb_hsm_rewrap(cb_hsm *hsm, cb_bytes sealed, cb_buf *out)
{
    cb_buf_put_str(out, "rewrapped ");
    cb_buf_put(out, sealed);
    return begin(hsm, "rewrap");
}

cb_error cb_hsm_new_generation(cb_hsm *hsm, uint32_t *generation)
{
    *generation = 2;
    return begin(hsm, "new_generation");
}

cb_error cb_hsm_public_key(cb_hsm *hsm, const char *name, cb_buf *out)
{
    cb_error error = begin(hsm, "public_key");
    if (error)
        return error;
    return read_beside(hsm, strcmp(name, "import") == 0 ? "import.der" : "log.der", out);
}

cb_error cb_hsm_receipt_check(cb_hsm *hsm, cb_bytes receipt)
{
    cb_error error = begin(hsm, "receipt_check");
    if (!error && (receipt.len == 0 || receipt.data[0] != 'R'))
        error = CB_E_HSM_RECORD;
    return error;
}

cb_error cb_hsm_status(cb_hsm *hsm, cb_hsm_state *out)
{
    *out = (cb_hsm_state){.workers = 2,
                          .generation = 1,
                          .objects = 7,
                          .feed_number = 3,
                          .log_size = 9,
                          .separated = true};
    return begin(hsm, "status");
}

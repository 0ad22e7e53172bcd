/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/others.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/config.h"
#include "base/secret.h"
#include "base/text.h"
#include "cardlink/card/piv/application.h"
#include "cardlink/issuer/files.h"
#include "cardlink/issuer/piv.h"
#include "cardlink/issuer/piv_channel.h"
#include "cardlink/issuer/secrets.h"

enum { PATH_MAX_LEN = 4096, KEY_TEXT = 2 * CB_VPIV_MANAGEMENT_MAX };

static cb_error wrong(cb_buf *why, const char *what, const char *reason)
{
    cb_buf_printf(why, "%s: %s", what, reason);
    return CB_E_ARGUMENT;
}

static uint8_t algorithm_named(const char *name)
{
    static const struct {
        const char *name;
        uint8_t algorithm;
    } names[] = {{"ec-p256", CB_VCARD_EC_P256},
                 {"ec-p384", CB_VCARD_EC_P384},
                 {"rsa-2048", CB_VCARD_RSA_2048}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i].name) == 0)
            return names[i].algorithm;
    }
    return CB_VCARD_NO_KEY;
}

static uint8_t management_named(const char *name)
{
    static const struct {
        const char *name;
        uint8_t algorithm;
    } names[] = {{"3des", CB_VPIV_3DES},
                 {"aes-128", CB_VPIV_AES_128},
                 {"aes-192", CB_VPIV_AES_192},
                 {"aes-256", CB_VPIV_AES_256}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i].name) == 0)
            return names[i].algorithm;
    }
    return 0;
}

static cb_error read_keys(const cb_issuer_options *chosen, cb_issue_piv_order *order, cb_buf *why)
{
    static const char *const usual[] = {"9A:ec-p256", "9E:ec-p256"};
    const char *const *keys = chosen->keys > 0 ? chosen->key : usual;
    size_t count = chosen->keys > 0 ? chosen->keys : 2;
    for (size_t i = 0; i < count; i++) {
        unsigned reference = 0;
        int end = 0;
        bool good = sscanf(keys[i], "%2x:%n", &reference, &end) == 1 && end == 3;
        int slot = good ? cb_vpiv_slot((uint8_t)reference) : -1;
        uint8_t algorithm = good ? algorithm_named(&keys[i][end]) : CB_VCARD_NO_KEY;
        if (slot < 0 || algorithm == CB_VCARD_NO_KEY || order->algorithm[slot])
            return wrong(why, keys[i],
                         "not 9A, 9C, 9D or 9E, each once, with :ec-p256, :ec-p384 or :rsa-2048");
        order->algorithm[slot] = algorithm;
    }
    return CB_OK;
}

/* From a file, or by lot. */
static cb_error get_management_key(const cb_issuer_options *chosen, cb_issue_piv_order *order,
                                   cb_buf *why)
{
    cb_buf text = CB_BUF(KEY_TEXT + 2);
    size_t len = cb_vpiv_management_len(order->management_algorithm);
    cb_random(order->management_key, len);
    if (!chosen->management_key)
        return CB_OK;
    cb_error error = cb_config_secret(chosen->management_key, &text, why);
    if (!error && (text.len != 2 * len ||
                   cb_unhex_exact(cb_buf_cstr(&text), order->management_key, len) != CB_OK))
        error = wrong(why, chosen->management_key,
                      "not as many hexadecimal digits as the "
                      "algorithm wants");
    cb_buf_free(&text);
    return error;
}

static cb_error get_secrets(const cb_issuer_options *chosen, cb_card_secrets *out)
{
    if (chosen->letter)
        return cb_secrets_draw(chosen->pin_len > CB_VPIV_PIN ? CB_VPIV_PIN : chosen->pin_len, out);
    return chosen->secrets_fd >= 0 ? cb_secrets_read(chosen->secrets_fd, out) : cb_secrets_ask(out);
}

static cb_error write_letter(const cb_issuer_options *chosen, const cb_issue_piv_order *order,
                             const cb_card_secrets *secrets, const cb_id *card, cb_buf *why)
{
    char id[CB_ID_TEXT], key[KEY_TEXT + 1];
    size_t len = cb_vpiv_management_len(order->management_algorithm);
    cb_buf letter = CB_BUF(512);
    cb_id_text(card, id);
    cb_hex(cb_bytes_make(order->management_key, len), key);
    cb_buf_printf(&letter, "card %s\nPIN %s\nPUK %s\nmanagement key %s\n", id, secrets->pin,
                  secrets->code, key);
    cb_error error = cb_buf_error(&letter);
    if (!error)
        error = cb_file_new(chosen->letter, cb_buf_bytes(&letter), 0600, why);
    cb_wipe(key, sizeof key);
    cb_buf_free(&letter);
    return error;
}

static cb_error write_pairing_code(const char *path, cb_bytes code, cb_buf *why)
{
    cb_buf text = CB_BUF(CB_VPIV_PAIRING_CODE + 1);
    cb_buf_put(&text, code);
    cb_buf_put_u8(&text, '\n');
    cb_error error = cb_buf_error(&text);
    if (!error)
        error = cb_file_new(path, cb_buf_bytes(&text), 0600, why);
    cb_buf_free(&text);
    return error;
}

static cb_error write_certificates(const char *folder, const cb_vpiv_state *state, cb_buf *why)
{
    cb_error error = CB_OK;
    if (mkdir(folder, 0755) != 0 && errno != EEXIST) {
        cb_buf_printf(why, "%s: %s", folder, cb_error_text(CB_E_IO));
        return CB_E_IO;
    }
    for (int i = 0; !error && i < CB_VPIV_SLOTS; i++) {
        cb_buf path = CB_BUF(PATH_MAX_LEN), text = CB_BUF(2 * CB_ISSUE_X509_MAX);
        if (state->key[i].algorithm != CB_VCARD_NO_KEY) {
            cb_buf_printf(&path, "%s/%02x.pem", folder, cb_vpiv_reference(i));
            cb_issue_pem(cb_issue_piv_certificate(state, i), &text);
            const char *name = cb_buf_cstr(&path);
            error = name ? cb_buf_error(&text) : CB_E_TOO_LARGE;
            if (!error)
                error = cb_file_new(name, cb_buf_bytes(&text), 0644, why);
        }
        cb_buf_free(&path);
        cb_buf_free(&text);
    }
    return error;
}

static cb_error write_state(const cb_issuer_options *chosen, const cb_vpiv_state *state,
                            cb_buf *why)
{
    cb_buf piv = CB_BUF(CB_CARD_STATE_MAX);
    cb_vpiv_state_put(&piv, state);
    cb_error error =
        cb_issuer_write_card(chosen, &cb_applet_piv, CB_BYTES_OF(cb_vpiv_atr), &piv, why);
    cb_buf_free(&piv);
    return error;
}

/* The state last: a card that exists has its certificates and its letter. */
static cb_error write_all(const cb_issuer_options *chosen, const cb_issue_piv_order *order,
                          const cb_card_secrets *secrets, const cb_vpiv_state *state,
                          const cb_id *card, cb_buf *why)
{
    char id[CB_ID_TEXT];
    cb_error error = CB_OK;
    if (chosen->letter)
        error = write_letter(chosen, order, secrets, card, why);
    if (!error && chosen->pairing_code)
        error = write_pairing_code(chosen->pairing_code, order->pairing_code, why);
    if (!error && chosen->certificates)
        error = write_certificates(chosen->certificates, state, why);
    if (!error)
        error = write_state(chosen, state, why);
    if (!error) {
        cb_id_text(card, id);
        puts(id);
    }
    return error;
}

static cb_error check(const cb_issuer_options *chosen, cb_issue_piv_order *order, cb_buf *why)
{
    if (!chosen->state || !chosen->ca != !chosen->ca_key ||
        !chosen->content_signer != !chosen->content_signer_key ||
        (chosen->pairing_code && !chosen->content_signer) ||
        (chosen->letter && chosen->secrets_fd >= 0))
        return CB_E_ARGUMENT;
    order->management_algorithm =
        chosen->management ? management_named(chosen->management) : CB_VPIV_3DES;
    if (order->management_algorithm == 0)
        return wrong(why, chosen->management, "not 3des, aes-128, aes-192 or aes-256");
    if (chosen->name && (!*chosen->name || strlen(chosen->name) > 64))
        return wrong(why, chosen->name, "a name has 1 to 64 bytes");
    return read_keys(chosen, order, why);
}

/* Authority and content signer, as far as they are given. */
static cb_error load_signers(const cb_issuer_options *chosen, cb_issue_signer *authority,
                             cb_issue_signer *content, cb_buf *why)
{
    cb_error error = CB_OK;
    if (chosen->ca)
        error = cb_issue_signer_load(chosen->ca, chosen->ca_key, authority, why);
    if (!error && chosen->content_signer)
        error =
            cb_issue_signer_load(chosen->content_signer, chosen->content_signer_key, content, why);
    const char *fault =
        !error && chosen->content_signer ? cb_issue_content_signer_fault(content) : NULL;
    return fault ? wrong(why, chosen->content_signer, fault) : error;
}

cb_error cb_issuer_piv_make(const cb_issuer_options *chosen, cb_buf *why)
{
    cb_issue_piv_order order = {0};
    cb_issue_signer signer = {0}, content_signer = {0};
    cb_card_secrets secrets = {0};
    cb_vpiv_state state = {0};
    char code[CB_VPIV_PAIRING_CODE + 1];
    cb_id card;
    cb_error error = check(chosen, &order, why);
    if (error)
        return error;
    error = load_signers(chosen, &signer, &content_signer, why);
    if (!error)
        error = get_management_key(chosen, &order, why);
    if (!error)
        error = get_secrets(chosen, &secrets);
    cb_issue_dates(chosen->years, &order.not_before, &order.not_after);
    order.signer = chosen->ca ? &signer : NULL;
    order.content_signer = chosen->content_signer ? &content_signer : NULL;
    if (chosen->pairing_code) {
        cb_issue_digits(code, CB_VPIV_PAIRING_CODE);
        order.pairing_code = cb_bytes_make(code, CB_VPIV_PAIRING_CODE);
    }
    order.name = chosen->name ? cb_bytes_str(chosen->name) : (cb_bytes){0};
    order.pin = cb_bytes_str(secrets.pin);
    order.puk = cb_bytes_str(secrets.code);
    if (!error)
        error = cb_issue_piv(&order, &state, &card);
    if (error == CB_E_PIN_FORMAT)
        cb_buf_put_str(why, "a PIV card's PIN has 6 to 8 digits, its PUK (unblocking code) 8");
    if (!error)
        error = write_all(chosen, &order, &secrets, &state, &card, why);
    cb_issue_signer_end(&signer);
    cb_issue_signer_end(&content_signer);
    cb_wipe(&order, sizeof order);
    cb_wipe(code, sizeof code);
    cb_wipe(&secrets, sizeof secrets);
    cb_vpiv_state_free(&state);
    return error;
}

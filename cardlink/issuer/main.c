/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardlink-issuer: the card issuer's workshop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/secret.h"
#include "cardlink/issuer/files.h"
#include "cardlink/issuer/others.h"
#include "cardlink/issuer/secrets.h"

enum { EXIT_USAGE = 2 };

static cb_error authority_new(const cb_issuer_options *chosen, cb_buf *why)
{
    cb_issue_authority authority;
    cb_buf certificate = CB_BUF(CB_CVC_MAX);
    if (!chosen->folder || !chosen->name)
        return CB_E_ARGUMENT;
    cb_error error =
        cb_issue_authority_make(cb_bytes_str(chosen->name), cb_issue_days_from_today(chosen->years),
                                &authority, &certificate);
    if (!error)
        error = cb_authority_save(chosen->folder, &authority, cb_buf_bytes(&certificate), why);
    cb_wipe(&authority, sizeof authority);
    cb_buf_free(&certificate);
    return error;
}

static cb_error broker_certify(const cb_issuer_options *chosen, cb_buf *why)
{
    cb_issue_authority authority;
    uint8_t point[CB_P256_POINT];
    cb_buf certificate = CB_BUF(CB_NATIVE_CERTIFICATE_MAX);
    if (!chosen->authority || !chosen->use || chosen->keys != 1 || !chosen->name || !chosen->out ||
        (strcmp(chosen->use, "agreement") != 0 && strcmp(chosen->use, "signature") != 0))
        return CB_E_ARGUMENT;
    uint16_t usage_of = chosen->use[0] == 'a' ? CB_CVC_AGREEMENT : CB_CVC_BROKER_SIGNATURE;
    cb_error error = cb_authority_load(chosen->authority, &authority, why);
    if (!error)
        error = cb_point_read(chosen->key[0], point, why);
    if (!error)
        error = cb_issue_certificate(&authority, cb_bytes_str(chosen->name), usage_of,
                                     CB_BYTES_OF(point), cb_issue_days_from_today(chosen->years),
                                     &certificate);
    if (!error)
        error = cb_file_new(chosen->out, cb_buf_bytes(&certificate), 0644, why);
    cb_wipe(&authority, sizeof authority);
    cb_buf_free(&certificate);
    return error;
}

/* Of an authority's key to its next, for cards that have the first. */
static cb_error authority_link(const cb_issuer_options *chosen, cb_buf *why)
{
    cb_issue_authority authority;
    cb_vcard_kloc next;
    cb_buf link = CB_BUF(CB_NATIVE_CERTIFICATE_MAX);
    if (!chosen->authority || chosen->brokers != 1 || chosen->key_version == 0 || !chosen->out)
        return CB_E_ARGUMENT;
    cb_error error = cb_authority_load(chosen->authority, &authority, why);
    if (!error)
        error = cb_kloc_read(chosen->broker[0], &next, why);
    if (!error) {
        cb_trust_anchor anchor = {.name_len = next.name_len};
        memcpy(anchor.name, next.name, next.name_len);
        memcpy(anchor.point, next.point, CB_P256_POINT);
        error = cb_issue_link(&authority, &anchor, next.key_id, (uint8_t)chosen->key_version,
                              next.key_version, cb_issue_days_from_today(chosen->years), &link);
    }
    if (!error)
        error = cb_file_new(chosen->out, cb_buf_bytes(&link), 0644, why);
    cb_wipe(&authority, sizeof authority);
    cb_buf_free(&link);
    return error;
}

static cb_error batch_new(const cb_issuer_options *chosen, cb_buf *why)
{
    cb_issue_authority authority;
    cb_issue_batch batch = {0};
    if (!chosen->authority || !chosen->folder || !chosen->name)
        return CB_E_ARGUMENT;
    cb_error error = cb_authority_load(chosen->authority, &authority, why);
    if (!error)
        error = cb_issue_batch_make(&authority, cb_bytes_str(chosen->name),
                                    cb_issue_days_from_today(chosen->years), &batch);
    if (!error)
        error = cb_batch_save(chosen->folder, &batch, chosen->limit, why);
    cb_wipe(&authority, sizeof authority);
    cb_wipe(&batch, sizeof batch);
    return error;
}

static cb_error get_secrets(const cb_issuer_options *chosen, cb_card_secrets *out)
{
    if (chosen->letter)
        return cb_secrets_draw(chosen->pin_len, out);
    return chosen->secrets_fd >= 0 ? cb_secrets_read(chosen->secrets_fd, out) : cb_secrets_ask(out);
}

/* The state last: a card that exists has its certificate and its letter. */
static cb_error write_card(const cb_issuer_options *chosen, const cb_vcard_state *state,
                           const cb_card_secrets *secrets, cb_bytes certificate, cb_buf *why)
{
    char id[CB_ID_TEXT];
    cb_buf content = CB_BUF(CB_VCARD_STATE_MAX);
    cb_vcard_state_put(&content, state);
    cb_error error = cb_buf_error(&content);
    if (!error && chosen->letter)
        error = cb_secrets_letter(chosen->letter, &state->card, secrets, why);
    if (!error)
        error = cb_file_new(chosen->certificate, certificate, 0644, why);
    if (!error)
        error = cb_file_new(chosen->state, cb_buf_bytes(&content), 0600, why);
    if (!error) {
        cb_id_text(&state->card, id);
        puts(id);
    }
    cb_buf_free(&content);
    return error;
}

static cb_error card_make(const cb_issuer_options *chosen, cb_buf *why)
{
    cb_issue_authority authority = {0};
    cb_issue_batch batch = {0};
    cb_card_secrets secrets = {0};
    cb_vcard_state state = {0};
    cb_vcard_kloc kloc[CB_VCARD_KLOC_MAX];
    cb_buf certificate = CB_BUF(CB_CVC_MAX);
    if (!chosen->authority || !chosen->batch || chosen->brokers == 0 || !chosen->state ||
        !chosen->certificate || (chosen->letter && chosen->secrets_fd >= 0))
        return CB_E_ARGUMENT;
    cb_error error = cb_authority_load(chosen->authority, &authority, why);
    if (!error)
        error = cb_batch_load(chosen->batch, &batch, why);
    for (size_t i = 0; !error && i < chosen->brokers; i++)
        error = cb_kloc_read(chosen->broker[i], &kloc[i], why);
    if (!error)
        error = get_secrets(chosen, &secrets);
    if (!error)
        error = cb_batch_take(chosen->batch, why);
    if (!error)
        error = cb_issue_card(&authority, &batch,
                              &(cb_issue_order){kloc, chosen->brokers, cb_bytes_str(secrets.pin),
                                                cb_bytes_str(secrets.code), chosen->in_transit,
                                                cb_issue_days_from_today(chosen->years)},
                              &state, &certificate);
    if (!error)
        error = write_card(chosen, &state, &secrets, cb_buf_bytes(&certificate), why);
    cb_wipe(&authority, sizeof authority);
    cb_wipe(&batch, sizeof batch);
    cb_wipe(&secrets, sizeof secrets);
    cb_wipe(&state, sizeof state);
    cb_buf_free(&certificate);
    return error;
}

static const struct command {
    const char *what, *act;
    cb_error (*run)(const cb_issuer_options *chosen, cb_buf *why);
} commands[] = {{"authority", "new", authority_new},
                {"authority", "link", authority_link},
                {"broker", "certify", broker_certify},
                {"batch", "new", batch_new},
                {"card", "make", card_make},
                {"jpki", "make", cb_issuer_jpki_make},
                {"scp03", "make", cb_issuer_scp03_make},
                {"piv", "make", cb_issuer_piv_make}};

static const struct command *find(int count, char **words)
{
    for (size_t i = 0; count == 2 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(words[0], commands[i].what) == 0 && strcmp(words[1], commands[i].act) == 0)
            return &commands[i];
    }
    return NULL;
}

static int run(const struct command *command, const cb_issuer_options *chosen)
{
    cb_buf why = CB_BUF(8192);
    cb_error error = command->run(chosen, &why);
    const char *reason = why.len > 0 ? cb_buf_cstr(&why) : NULL;
    if (error)
        fprintf(stderr, "cardlink-issuer: %s\n", reason ? reason : cb_error_text(error));
    if (error == CB_E_ARGUMENT)
        fputs("cardlink-issuer: see cardlink-issuer --help\n", stderr);
    cb_buf_free(&why);
    return error == CB_E_ARGUMENT ? EXIT_USAGE : error ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void print_usage(FILE *out)
{
    fputs(cb_issuer_usage, out);
    fputs(cb_issuer_usage_options, out);
}

int main(int argc, char **argv)
{
    cb_issuer_options chosen;
    cb_log_init("cardlink-issuer", CB_LOG_INFO);
    if (cb_sandbox_no_dumps() != CB_OK) {
        fputs("cardlink-issuer: cannot start\n", stderr);
        return EXIT_FAILURE;
    }
    bool good = cb_issuer_options_read(argc, argv, &chosen);
    const struct command *command = find(argc - optind, &argv[optind]);
    if (good && chosen.help) {
        print_usage(stdout);
        return EXIT_SUCCESS;
    }
    if (good && chosen.version) {
        puts("cardlink-issuer " CB_VERSION);
        return EXIT_SUCCESS;
    }
    if (!good || !command) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    return run(command, &chosen);
}

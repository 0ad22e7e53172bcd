/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardlink-issuer: the card issuer's workshop.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/secret.h"
#include "cardlink/issuer/files.h"
#include "cardlink/issuer/secrets.h"

enum { EXIT_USAGE = 2, YEARS_DEFAULT = 10, LIMIT_DEFAULT = 10000, PIN_LEN_DEFAULT = 6 };

static const char usage[] =
    "usage: cardlink-issuer authority new --folder DIR --name NAME [--years N]\n"
    "       cardlink-issuer broker certify --authority DIR --use agreement|signature --key FILE\n"
    "                              --name NAME --out FILE [--years N]\n"
    "       cardlink-issuer batch new --authority DIR --folder DIR --name NAME [--limit N] "
    "[--years N]\n"
    "       cardlink-issuer card make --authority DIR --batch DIR --broker FILE:KID:KVN…\n"
    "                              --state FILE --certificate FILE [--in-transit] [--years N]\n"
    "                              [--secrets-fd N | --letter FILE [--pin-length N]]\n"
    "\n"
    "  authority new    makes an authority: one for cards, another for brokers\n"
    "  broker certify   certifies a broker's public key (65 bytes or DER) under the brokers' "
    "authority\n"
    "  batch new        makes the key that a batch of cards shares, under the cards' authority\n"
    "  card make        makes a card: its state for cardlink-vcard, and its certificate for the "
    "broker;\n"
    "                   prints the card's id\n"
    "\n"
    "  --broker FILE:KID:KVN  authority.cvc of the brokers' authority and its key's numbers "
    "(hexadecimal,\n"
    "                   KID 10 or 20 to 2F); up to four\n"
    "  --secrets-fd N   PIN and unblocking code as two lines from descriptor N (else they are "
    "asked for)\n"
    "  --letter FILE    draw them by lot and write them to FILE (mode 0600)\n"
    "  --in-transit     the card does nothing until its holder has changed that PIN\n"
    "  --limit N        most cards of a batch (default 10000)\n"
    "  --years N        validity (default 10, at most 30)\n"
    "  --help, --version\n"
    "\n"
    "Nothing that exists is overwritten. Exit status: 0 done, 1 failed, 2 wrong use.\n";

typedef struct options {
    const char *folder, *name, *authority, *use, *key, *out, *batch, *state, *certificate, *letter;
    const char *broker[CB_VCARD_KLOC_MAX];
    size_t brokers;
    unsigned years, limit, pin_len;
    int secrets_fd;
    bool in_transit, help, version;
} options;

static bool number(const char *text, unsigned least, unsigned most, unsigned *out)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value < least || value > most)
        return false;
    *out = (unsigned)value;
    return true;
}

enum {
    OPT_TEXT = 256,
    OPT_BROKER,
    OPT_YEARS,
    OPT_LIMIT,
    OPT_PIN_LEN,
    OPT_FD,
    OPT_TRANSIT,
    OPT_HELP,
    OPT_VERSION
};

static bool take(int option, const char *value, options *out)
{
    unsigned fd = 0;
    switch (option) {
    case OPT_BROKER:
        if (out->brokers == CB_VCARD_KLOC_MAX)
            return false;
        out->broker[out->brokers++] = value;
        return true;
    case OPT_YEARS:
        return number(value, 1, 30, &out->years);
    case OPT_LIMIT:
        return number(value, 1, CB_BATCH_LIMIT_MAX, &out->limit);
    case OPT_PIN_LEN:
        return number(value, CB_PIN_MIN, CB_PIN_MAX, &out->pin_len);
    case OPT_FD:
        if (!number(value, 0, 1023, &fd))
            return false;
        out->secrets_fd = (int)fd;
        return true;
    case OPT_TRANSIT:
        out->in_transit = true;
        return true;
    case OPT_HELP:
        out->help = true;
        return true;
    case OPT_VERSION:
        out->version = true;
        return true;
    default:
        return false;
    }
}

static bool read_options(int argc, char **argv, options *out)
{
    const struct text_option {
        const char *name;
        const char **value;
    } texts[] = {
        {"folder", &out->folder}, {"name", &out->name},   {"authority", &out->authority},
        {"use", &out->use},       {"key", &out->key},     {"out", &out->out},
        {"batch", &out->batch},   {"state", &out->state}, {"certificate", &out->certificate},
        {"letter", &out->letter}};
    enum { TEXTS = sizeof texts / sizeof texts[0] };
    static const struct option others[] = {{"broker", required_argument, NULL, OPT_BROKER},
                                           {"years", required_argument, NULL, OPT_YEARS},
                                           {"limit", required_argument, NULL, OPT_LIMIT},
                                           {"pin-length", required_argument, NULL, OPT_PIN_LEN},
                                           {"secrets-fd", required_argument, NULL, OPT_FD},
                                           {"in-transit", no_argument, NULL, OPT_TRANSIT},
                                           {"help", no_argument, NULL, OPT_HELP},
                                           {"version", no_argument, NULL, OPT_VERSION},
                                           {NULL, 0, NULL, 0}};
    enum { OTHERS = sizeof others / sizeof others[0] };
    struct option names[TEXTS + OTHERS];
    for (size_t i = 0; i < TEXTS; i++)
        names[i] = (struct option){texts[i].name, required_argument, NULL, OPT_TEXT};
    memcpy(&names[TEXTS], others, sizeof others);
    int index = 0;
    for (int c; (c = getopt_long(argc, argv, "", names, &index)) != -1;) {
        if (c == OPT_TEXT)
            *texts[index].value = optarg;
        else if (!take(c, optarg, out))
            return false;
    }
    return true;
}

static cb_error authority_new(const options *chosen, cb_buf *why)
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

static cb_error broker_certify(const options *chosen, cb_buf *why)
{
    cb_issue_authority authority;
    uint8_t point[CB_P256_POINT];
    cb_buf certificate = CB_BUF(CB_NATIVE_CERTIFICATE_MAX);
    if (!chosen->authority || !chosen->use || !chosen->key || !chosen->name || !chosen->out ||
        (strcmp(chosen->use, "agreement") != 0 && strcmp(chosen->use, "signature") != 0))
        return CB_E_ARGUMENT;
    uint16_t usage_of = chosen->use[0] == 'a' ? CB_CVC_AGREEMENT : CB_CVC_BROKER_SIGNATURE;
    cb_error error = cb_authority_load(chosen->authority, &authority, why);
    if (!error)
        error = cb_point_read(chosen->key, point, why);
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

static cb_error batch_new(const options *chosen, cb_buf *why)
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

static cb_error get_secrets(const options *chosen, cb_card_secrets *out)
{
    if (chosen->letter)
        return cb_secrets_draw(chosen->pin_len, out);
    return chosen->secrets_fd >= 0 ? cb_secrets_read(chosen->secrets_fd, out) : cb_secrets_ask(out);
}

/* The state last: a card that exists has its certificate and its letter. */
static cb_error write_card(const options *chosen, const cb_vcard_state *state,
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

static cb_error card_make(const options *chosen, cb_buf *why)
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
    cb_error (*run)(const options *chosen, cb_buf *why);
} commands[] = {{"authority", "new", authority_new},
                {"broker", "certify", broker_certify},
                {"batch", "new", batch_new},
                {"card", "make", card_make}};

static const struct command *find(int count, char **words)
{
    for (size_t i = 0; count == 2 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(words[0], commands[i].what) == 0 && strcmp(words[1], commands[i].act) == 0)
            return &commands[i];
    }
    return NULL;
}

static int run(const struct command *command, const options *chosen)
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

int main(int argc, char **argv)
{
    options chosen = {.years = YEARS_DEFAULT,
                      .limit = LIMIT_DEFAULT,
                      .pin_len = PIN_LEN_DEFAULT,
                      .secrets_fd = -1};
    cb_log_init("cardlink-issuer", CB_LOG_INFO);
    if (cb_sandbox_no_dumps() != CB_OK) {
        fputs("cardlink-issuer: cannot start\n", stderr);
        return EXIT_FAILURE;
    }
    bool good = read_options(argc, argv, &chosen);
    const struct command *command = find(argc - optind, &argv[optind]);
    if (good && chosen.help) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (good && chosen.version) {
        puts("cardlink-issuer " CB_VERSION);
        return EXIT_SUCCESS;
    }
    if (!good || !command) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return run(command, &chosen);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/options.h"

#include <getopt.h>
#include <stdlib.h>

#include "base/text.h"
#include "cardlink/issuer/files.h"

enum { YEARS_DEFAULT = 10, LIMIT_DEFAULT = 10000, PIN_LEN_DEFAULT = 6 };

const char cb_issuer_usage[] =
    "usage: cardlink-issuer authority new --folder DIR --name NAME [--years N]\n"
    "       cardlink-issuer authority link --authority DIR --key-version KVN --broker "
    "FILE:KID:KVN\n"
    "                              --out FILE [--years N]\n"
    "       cardlink-issuer broker certify --authority DIR --use agreement|signature --key FILE\n"
    "                              --name NAME --out FILE [--years N]\n"
    "       cardlink-issuer batch new --authority DIR --folder DIR --name NAME [--limit N] "
    "[--years N]\n"
    "       cardlink-issuer card make --authority DIR --batch DIR --broker FILE:KID:KVN…\n"
    "                              --state FILE --certificate FILE [--in-transit] [--years N]\n"
    "                              [--secrets-fd N | --letter FILE [--pin-length N]]\n"
    "       cardlink-issuer jpki make --name NAME [--ca FILE --ca-key FILE]\n"
    "                              --state FILE --certificate FILE [--years N]\n"
    "                              [--secrets-fd N | --letter FILE] [--beside FILE] [--atr HEX]\n"
    "       cardlink-issuer scp03 make --master FILE --key-version KVN [--kdd HEX] --state FILE\n"
    "                              [--beside FILE] [--atr HEX]\n"
    "       cardlink-issuer piv make --state FILE [--key SLOT:ALGORITHM…] [--name NAME]\n"
    "                              [--ca FILE --ca-key FILE] [--certificates DIR] [--years N]\n"
    "                              [--management ALGORITHM] [--management-key FILE]\n"
    "                              [--content-signer FILE --content-signer-key FILE\n"
    "                               [--pairing-code FILE]]\n"
    "                              [--beside FILE] [--atr HEX]\n"
    "                              [--secrets-fd N | --letter FILE [--pin-length N]]\n"
    "\n"
    "  authority new    makes an authority: one for cards, another for brokers\n"
    "  authority link   certifies the next key of the brokers' authority with the one of "
    "--authority, "
    "which\n"
    "                   is number --key-version, for cards that have that one\n"
    "  broker certify   certifies a broker's public key (65 bytes or DER) under the brokers' "
    "authority\n"
    "  batch new        makes the key that a batch of cards shares, under the cards' authority\n"
    "  card make        makes a card: its state for cardlink-vcard, and its certificate for the "
    "broker;\n"
    "                   prints the card's id\n"
    "  jpki make        makes a card like Japan's Individual Number Card, for tests; --certificate "
    "gets the\n"
    "                   one for user authentication (DER)\n"
    "  scp03 make       makes a card that speaks SCP03, and prints its diversification data\n"
    "  piv make         makes a card with the PIV application; prints its GUID\n"
    "\n";

const char cb_issuer_usage_options[] =
    "  --broker FILE:KID:KVN  authority.cvc of the brokers' authority and its key's numbers "
    "(hexadecimal,\n"
    "                   KID 10 or 20 to 2F); up to four\n"
    "  --ca FILE, --ca-key FILE  who issues the certificates (PEM; else the card's keys sign "
    "themselves)\n"
    "  --key SLOT:ALGORITHM  a key with its certificate: 9A, 9C, 9D or 9E; ec-p256, ec-p384 or "
    "rsa-2048\n"
    "                   (default 9A:ec-p256 and 9E:ec-p256)\n"
    "  --certificates DIR  also write the certificates there (PEM: 9a.pem …)\n"
    "  --management ALGORITHM  of the management key: 3des (default), aes-128, aes-192, aes-256\n"
    "  --management-key FILE  the key in hexadecimal, in a file of mode 0600 (else it is drawn by "
    "lot)\n"
    "  --content-signer FILE, --content-signer-key FILE  who signs the certificate of a secure "
    "messaging\n"
    "                   key (PEM; P-256, id-PIV-content-signing); else the card has no such key\n"
    "  --pairing-code FILE  draw a pairing code by lot and write it to FILE (mode 0600)\n"
    "  --beside FILE    the applications of that card come first, and its ATR is kept\n"
    "  --atr HEX        another answer to reset\n"
    "  --secrets-fd N   PIN and unblocking code (jpki: authentication and signature PIN) as two "
    "lines from\n"
    "                   descriptor N (else they are asked for)\n"
    "  --letter FILE    draw them by lot and write them to FILE (mode 0600)\n"
    "  --master FILE    master key that the card's keys come from: 32, 48 or 64 hexadecimal "
    "digits; "
    "mode 0600\n"
    "  --key-version KVN  its number (authority link: the signing key's), 01 to 7F\n"
    "  --kdd HEX        diversification data, 20 hexadecimal digits (else drawn by lot)\n"
    "  --in-transit     the card does nothing until its holder has changed that PIN\n"
    "  --limit N        most cards of a batch (default 10000)\n"
    "  --years N        validity (default 10, at most 30)\n"
    "  --help, --version\n"
    "\n"
    "Nothing that exists is overwritten. Exit status: 0 done, 1 failed, 2 wrong use.\n";

static bool hexadecimal(const char *text, unsigned least, unsigned most, unsigned *out)
{
    uint8_t byte = 0;
    bool good = cb_unhex_exact(text, &byte, 1) == CB_OK && byte >= least && byte <= most;
    *out = byte;
    return good;
}

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
    OPT_KEY,
    OPT_YEARS,
    OPT_LIMIT,
    OPT_PIN_LEN,
    OPT_FD,
    OPT_KEY_VERSION,
    OPT_TRANSIT,
    OPT_HELP,
    OPT_VERSION
};

static bool take(int option, const char *value, cb_issuer_options *out)
{
    unsigned fd = 0;
    switch (option) {
    case OPT_BROKER:
        if (out->brokers == CB_VCARD_KLOC_MAX)
            return false;
        out->broker[out->brokers++] = value;
        return true;
    case OPT_KEY:
        if (out->keys == CB_ISSUER_KEYS_MAX)
            return false;
        out->key[out->keys++] = value;
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
    case OPT_KEY_VERSION:
        return hexadecimal(value, 0x01, 0x7F, &out->key_version);
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

bool cb_issuer_options_read(int argc, char **argv, cb_issuer_options *out)
{
    *out = (cb_issuer_options){.years = YEARS_DEFAULT,
                               .limit = LIMIT_DEFAULT,
                               .pin_len = PIN_LEN_DEFAULT,
                               .secrets_fd = -1};
    const struct text_option {
        const char *name;
        const char **value;
    } texts[] = {{"folder", &out->folder},
                 {"name", &out->name},
                 {"authority", &out->authority},
                 {"use", &out->use},
                 {"out", &out->out},
                 {"batch", &out->batch},
                 {"state", &out->state},
                 {"certificate", &out->certificate},
                 {"letter", &out->letter},
                 {"ca", &out->ca},
                 {"ca-key", &out->ca_key},
                 {"certificates", &out->certificates},
                 {"content-signer", &out->content_signer},
                 {"content-signer-key", &out->content_signer_key},
                 {"pairing-code", &out->pairing_code},
                 {"management", &out->management},
                 {"management-key", &out->management_key},
                 {"beside", &out->beside},
                 {"atr", &out->atr},
                 {"master", &out->master},
                 {"kdd", &out->kdd}};
    enum { TEXTS = sizeof texts / sizeof texts[0] };
    static const struct option others[] = {
        {"broker", required_argument, NULL, OPT_BROKER},
        {"key", required_argument, NULL, OPT_KEY},
        {"years", required_argument, NULL, OPT_YEARS},
        {"limit", required_argument, NULL, OPT_LIMIT},
        {"pin-length", required_argument, NULL, OPT_PIN_LEN},
        {"secrets-fd", required_argument, NULL, OPT_FD},
        {"key-version", required_argument, NULL, OPT_KEY_VERSION},
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

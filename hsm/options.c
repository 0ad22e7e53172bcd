/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

static const char help[] =
    "usage: cardbroker-hsmd --config FILE [--pin-fd N]\n"
    "       cardbroker-hsmd --config FILE --initialise | --new-generation | --new-card-keys\n"
    "                      [--pin-fd N] [--so-pin-fd N]\n"
    "       cardbroker-hsmd --config FILE --public-key NAME | --terminal-ca [--pin-fd N]\n"
    "\n"
    "Serves uses of sealed keys to those whose card proves itself.\n"
    "\n"
    "  -c, --config FILE      the configuration, see hsmd.conf(5)\n"
    "      --initialise       make what the token lacks of the broker's keys, and end\n"
    "      --new-generation   make new key-encryption keys, which running workers find by "
    "themselves, and end\n"
    "      --new-card-keys    make another pair of keys towards cards, for a new key version of the "
    "authority above\n"
    "                         brokers, and end\n"
    "      --public-key NAME  print a public key as PEM, and end: card-agreement, card-signature, "
    "log, import,\n"
    "                         terminal-authority; of later pairs card-agreement.2, "
    "card-signature.2 and so on\n"
    "      --terminal-ca      print a certificate of the CA of terminals as PEM, and end\n"
    "      --pin-fd N         read the user PIN from descriptor N instead of from pin-file\n"
    "      --so-pin-fd N      read the security officer's PIN from descriptor N instead of from "
    "so-pin-file\n"
    "      --help, --version\n";

static int number_of(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    return end != text && !*end && value >= 0 && value <= 1023 ? (int)value : -1;
}

int cb_hsmd_options(int argc, char **argv, cb_hsmd_command *out)
{
    enum {
        OPT_INITIALISE = 256,
        OPT_GENERATION,
        OPT_CARD_KEYS,
        OPT_PUBLIC,
        OPT_TERMINAL_CA,
        OPT_PIN,
        OPT_SO,
        OPT_HELP,
        OPT_VERSION
    };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"initialise", no_argument, NULL, OPT_INITIALISE},
        {"new-generation", no_argument, NULL, OPT_GENERATION},
        {"new-card-keys", no_argument, NULL, OPT_CARD_KEYS},
        {"public-key", required_argument, NULL, OPT_PUBLIC},
        {"terminal-ca", no_argument, NULL, OPT_TERMINAL_CA},
        {"pin-fd", required_argument, NULL, OPT_PIN},
        {"so-pin-fd", required_argument, NULL, OPT_SO},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {0},
    };
    bool wrong = false;
    *out = (cb_hsmd_command){.pin_fd = -1, .so_pin_fd = -1};
    for (int c; (c = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            out->config = optarg;
            break;
        case OPT_INITIALISE:
            out->initialise = true;
            break;
        case OPT_GENERATION:
            out->new_generation = true;
            break;
        case OPT_CARD_KEYS:
            out->new_card_keys = true;
            break;
        case OPT_PUBLIC:
            out->public_key = optarg;
            break;
        case OPT_TERMINAL_CA:
            out->terminal_ca = true;
            break;
        case OPT_PIN:
            wrong |= (out->pin_fd = number_of(optarg)) < 0;
            break;
        case OPT_SO:
            wrong |= (out->so_pin_fd = number_of(optarg)) < 0;
            break;
        case OPT_HELP:
            fputs(help, stdout);
            return 1;
        case OPT_VERSION:
            puts("cardbroker-hsmd " CB_VERSION);
            return 1;
        default:
            wrong = true;
        }
    }
    int commands = out->initialise + out->new_generation + out->new_card_keys + (out->public_key != NULL) +
                   out->terminal_ca;
    if (wrong || optind < argc || !out->config || commands > 1) {
        fputs(help, stderr);
        return 1 + EXIT_USAGE;
    }
    return 0;
}

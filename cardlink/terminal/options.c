/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cardlink/terminal/config.h"

enum { TIMEOUT_S = 60, TIMEOUT_MAX_S = 86400, FD_MAX = 1023 };

static const char usage[] =
    "usage: cardlink [OPTION…] COMMAND\n"
    "\n"
    "  readers       list the card readers and what lies on them\n"
    "  services      list what this terminal may ask the broker for\n"
    "  tap           wait for a card, do one tap for --service, print the result\n"
    "  login         log in at --service with the name --name and a password, without a card\n"
    "  password change  put another password in the place of the one of --name\n"
    "  agent         serve cards on all readers until stopped\n"
    "  pin change    change the card's PIN\n"
    "  pin unblock   set a new PIN with the unblocking code\n"
    "  pin reset     set a new PIN by an administrator's permission for --card\n"
    "  suspend       stop a lost card at once, with the code from its holder's letter\n"
    "  register      register a card that somebody else issued, with a one-time code\n"
    "  read          print what is needed to register a card that somebody else issued\n"
    "  enrol         make this terminal's key and certificate\n"
    "  activate      make the key, and have the broker certify it for a one-time code\n"
    "  renew         take a new key and certificate now; the agent does that by itself in time\n"
    "  maintain begin, maintain end\n"
    "                begin or end maintenance with a maintainer's card and PIN: meanwhile the terminal\n"
    "                serves nobody\n"
    "  report        say which program and configuration run here, and bring the log to the broker\n"
    "  erase         tell the broker that this terminal is over, and erase its keys\n"
    "  tamper        the same, for whatever notices that the housing was opened\n"
    "\n"
    "  -c, --config FILE    configuration (default " CB_TERMINAL_CONFIG ")\n"
    "  -s, --service NAME   service to ask for\n"
    "  -t, --text TEXT      what is shown to the holder and bound to the tap\n"
    "  -p, --pin            ask for the PIN (without echo) before the tap\n"
    "      --pin-fd N       read PIN, code, new PIN (activate, suspend: code) as lines from descriptor N\n"
    "  -r, --reader NAME    use this reader only\n"
    "      --timeout S      wait for a card as long (default 60 seconds)\n"
    "      --delivery PATH  write the delivery to a file of mode 0600 (agent: a file a session, in "
    "folder PATH)\n"
    "      --name NAME      enrol: name in the certificate (default: the host's); activate: the\n"
    "                       terminal's name; login, password change: the login name\n"
    "      --code-fd N      register: read the code as a line from descriptor N\n"
    "      --password-fd N  login: read the password from descriptor N; password change: the one of\n"
    "                       now and the new one, a line each\n"
    "      --card ID        pin reset: the card's identifier, as the administrator has it\n"
    "      --signature      read: a JPKI card's signature certificate, for its holder, with its PIN\n"
    "      --reason WORD    maintain: a short word for the record, such as update\n"
    "  -j, --json           one JSON object a line, for programs\n"
    "      --help, --version\n"
    "\n"
    "Exit status: 0 accepted or done, 1 failed, 2 wrong use, 3 card or PIN refused, 69 broker out "
    "of reach,\n"
    "78 wrong configuration.\n";

void cb_options_usage(void) { fputs(usage, stdout); }

static cb_error wrong(const char *what)
{
    fprintf(stderr, "cardlink: %s; see cardlink --help\n", what);
    return CB_E_ARGUMENT;
}

static bool number(const char *text, long least, long most, long *out)
{
    char *end = NULL;
    *out = strtol(text, &end, 10);
    return *text && !*end && *out >= least && *out <= most;
}

static cb_error take(int option, const char *value, cb_options *out)
{
    long n = 0;
    switch (option) {
    case 'c':
        out->config = value;
        return CB_OK;
    case 's':
        out->service = value;
        return CB_OK;
    case 't':
        out->text = value;
        return CB_OK;
    case 'r':
        out->reader = value;
        return CB_OK;
    case 'n':
        out->name = value;
        return CB_OK;
    case 'M':
        out->reason = value;
        return CB_OK;
    case 'C':
        out->card = value;
        return CB_OK;
    case 'd':
        out->delivery = value;
        return CB_OK;
    case 'p':
        out->pin = true;
        return CB_OK;
    case 'S':
        out->signature = true;
        return CB_OK;
    case 'j':
        out->json = true;
        return CB_OK;
    case 'h':
        out->help = true;
        return CB_OK;
    case 'v':
        out->version = true;
        return CB_OK;
    case 'w':
        if (!number(value, 0, TIMEOUT_MAX_S, &n))
            return wrong("--timeout takes seconds, at most a day");
        out->timeout = n * CB_SECOND;
        return CB_OK;
    case 'f':
        if (!number(value, 0, FD_MAX, &n))
            return wrong("--pin-fd takes the number of an open descriptor");
        out->pin_fd = (int)n;
        out->pin = true;
        return CB_OK;
    case 'R':
        if (!number(value, 0, FD_MAX, &n))
            return wrong("--code-fd takes the number of an open descriptor");
        out->code_fd = (int)n;
        return CB_OK;
    case 'P':
        if (!number(value, 0, FD_MAX, &n))
            return wrong("--password-fd takes the number of an open descriptor");
        out->password_fd = (int)n;
        return CB_OK;
    default:
        return wrong("there is no such option, or its value is missing");
    }
}

cb_error cb_options_read(int argc, char **argv, cb_options *out)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"service", required_argument, NULL, 's'},
                                          {"text", required_argument, NULL, 't'},
                                          {"pin", no_argument, NULL, 'p'},
                                          {"pin-fd", required_argument, NULL, 'f'},
                                          {"password-fd", required_argument, NULL, 'P'},
                                          {"code-fd", required_argument, NULL, 'R'},
                                          {"reader", required_argument, NULL, 'r'},
                                          {"timeout", required_argument, NULL, 'w'},
                                          {"delivery", required_argument, NULL, 'd'},
                                          {"name", required_argument, NULL, 'n'},
                                          {"card", required_argument, NULL, 'C'},
                                          {"signature", no_argument, NULL, 'S'},
                                          {"reason", required_argument, NULL, 'M'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    *out = (cb_options){.config = CB_TERMINAL_CONFIG,
                        .timeout = TIMEOUT_S * CB_SECOND,
                        .pin_fd = -1,
                        .password_fd = -1,
                        .code_fd = -1};
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "c:s:t:pr:j", known, NULL)) != -1;) {
        cb_error error = take(option, optarg, out);
        if (error)
            return error;
    }
    if (out->help || out->version)
        return CB_OK;
    if (optind == argc)
        return wrong("name a command");
    if (argc - optind > 2)
        return wrong("too many words; the PIN and the text are not among them");
    for (int i = 0; optind < argc; i++, optind++)
        out->command[i] = argv[optind];
    return CB_OK;
}

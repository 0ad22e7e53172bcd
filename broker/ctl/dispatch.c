/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From the command line to a command: the configuration, the help, and the search in the tables.
 */
#include <curl/curl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/log.h"
#include "broker/ctl/commands.h"
#include "broker/ctl/http.h"

#define DEFAULT_CONFIG "/etc/cardbroker/cardbrokerctl.conf"
#define DEFAULT_RUN "/run/cardbroker"

const cb_ctl_command *const cb_ctl_commands[] = {
    cb_ctl_holder_commands,     cb_ctl_card_commands,
    cb_ctl_stock_commands,      cb_ctl_report_commands,
    cb_ctl_maintainer_commands,
    cb_ctl_terminal_commands,   cb_ctl_software_commands,
    cb_ctl_service_commands,    cb_ctl_enrolment_commands,
    cb_ctl_audit_commands,      cb_ctl_key_commands,
    cb_ctl_generation_commands, cb_ctl_password_commands,
    cb_ctl_status_commands,     NULL};

static const cb_ctl_option common_options[] = {
    {"config", "FILE", "configuration file (default: " DEFAULT_CONFIG ", if there is one)", false,
     false},
    {"run", "DIR", "folder of the sockets (default: the configuration's, else " DEFAULT_RUN ")",
     false, false},
    {"json", NULL, "print JSON", false, false},
    {0}};

static void print_usage(FILE *out)
{
    fputs("usage: cardbrokerctl COMMAND [OPTION...] [OPERAND]\n\n", out);
    for (unsigned i = 0; cb_ctl_commands[i]; i++)
        for (const cb_ctl_command *c = cb_ctl_commands[i]; c->group; c++) {
            char words[64];
            snprintf(words, sizeof words, "%s%s%s", c->group, c->verb ? " " : "",
                     c->verb ? c->verb : "");
            fprintf(out, "  %-24s %s\n", words, c->summary);
        }
    fputs("\n  cardbrokerctl COMMAND --help      what a command takes\n"
          "  cardbrokerctl --version\n\n"
          "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 69 a program is not reachable, "
          "78 wrong configuration.\n"
          "See cardbrokerctl(8).\n",
          out);
}

static void print_options(FILE *out, const cb_ctl_option *options)
{
    for (; options->name; options++) {
        char words[64];
        snprintf(words, sizeof words, "--%s%s%s", options->name, options->value ? " " : "",
                 options->value ? options->value : "");
        fprintf(out, "  %-26s %s%s%s\n", words, options->help, options->required ? " (needed)" : "",
                options->many ? " (may be repeated)" : "");
    }
}

static void print_help(FILE *out, const cb_ctl_command *command)
{
    fprintf(out, "usage: cardbrokerctl %s%s%s [OPTION...]%s%s\n\n%s\n\n", command->group,
            command->verb ? " " : "", command->verb ? command->verb : "",
            *command->operands ? " " : "", command->operands, command->summary);
    if (command->options)
        print_options(out, command->options);
    print_options(out, common_options);
}

static cb_ctl_status load_config(cb_ctl *ctl, const char *path, bool must_exist)
{
    cfg_opt_t options[] = {CFG_STR("run", DEFAULT_RUN, CFGF_NONE),
                           CFG_STR("origin", NULL, CFGF_NONE), CFG_STR("log-key", NULL, CFGF_NONE),
                           CFG_END()};
    cb_buf why = CB_BUF(1024), content = CB_BUF(CB_CONFIG_MAX);
    cfg_t *cfg = NULL;
    cb_ctl_status status = CB_CTL_DONE;
    if (!must_exist && cb_file_read(path, &content) == CB_E_NOT_FOUND)
        goto out;
    cb_error error = cb_config_load(path, options, &cfg, &why);
    if (error) {
        cb_ctl_fail(ctl, error, cb_buf_cstr(&why));
        status = CB_CTL_CONFIG;
        goto out;
    }
    free(ctl->run);
    ctl->run = strdup(cfg_getstr(cfg, "run"));
    ctl->origin = cfg_getstr(cfg, "origin") ? strdup(cfg_getstr(cfg, "origin")) : NULL;
    ctl->log_key = cfg_getstr(cfg, "log-key") ? strdup(cfg_getstr(cfg, "log-key")) : NULL;
    /* Without its key an audit would believe the one it is given. */
    if ((cfg_getstr(cfg, "origin") && !ctl->origin) ||
        (cfg_getstr(cfg, "log-key") && !ctl->log_key))
        status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
out:
    if (cfg)
        cfg_free(cfg);
    cb_buf_free(&why);
    cb_buf_free(&content);
    return status;
}

/* The value of a common option; one that stands before the command wins. A command may have an
 * option of its own by the same name ("service add --config"), which is not meant here. */
static const char *common_arg(const cb_ctl_args *before, const cb_ctl_args *args, const char *name)
{
    const char *value = cb_ctl_arg(before, name);
    for (unsigned i = 0; !value && i < args->count; i++)
        for (const cb_ctl_option *option = common_options; option->name; option++)
            if (args->given[i].option == option && strcmp(option->name, name) == 0)
                value = args->given[i].value;
    return value;
}

static cb_ctl_status configure(cb_ctl *ctl, const cb_ctl_args *before, const cb_ctl_args *args)
{
    const char *config = common_arg(before, args, "config"), *run = common_arg(before, args, "run");
    cb_ctl_status status = CB_CTL_DONE;
    ctl->json = common_arg(before, args, "json") != NULL;
    ctl->run = strdup(DEFAULT_RUN);
    if (config || !run)
        status = load_config(ctl, config ? config : DEFAULT_CONFIG, config != NULL);
    if (run) {
        free(ctl->run);
        ctl->run = strdup(run);
    }
    if (!status && !ctl->run)
        status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    return status;
}

static cb_ctl_status run_command(cb_ctl *ctl, const cb_ctl_command *command,
                                 const cb_ctl_args *before, int argc, const char *const *argv)
{
    cb_ctl_args args;
    cb_buf why = CB_BUF(4096);
    cb_ctl_status status;
    if (cb_ctl_args_read(argc, argv, command->options, common_options, command->least,
                         command->most, &args, &why)) {
        status = cb_ctl_misuse(ctl, "%s; see cardbrokerctl %s%s%s --help", cb_buf_cstr(&why),
                               command->group, command->verb ? " " : "",
                               command->verb ? command->verb : "");
    } else if (args.help) {
        print_help(ctl->out, command);
        status = CB_CTL_DONE;
    } else {
        status = configure(ctl, before, &args);
        if (!status)
            status = command->run(ctl, &args);
    }
    cb_buf_free(&why);
    return status;
}

/* The command that the words name; *used is how many words that took. */
static const cb_ctl_command *find_command(const char *first, const char *second, int *used)
{
    for (unsigned i = 0; cb_ctl_commands[i]; i++)
        for (const cb_ctl_command *c = cb_ctl_commands[i]; c->group; c++)
            if (strcmp(c->group, first) == 0 &&
                (!c->verb || (second && strcmp(c->verb, second) == 0))) {
                *used = c->verb ? 2 : 1;
                return c;
            }
    return NULL;
}

/* The help of all commands of a group; false when there is none of that name. */
static bool print_group(FILE *out, const char *group)
{
    bool found = false;
    for (unsigned i = 0; cb_ctl_commands[i]; i++)
        for (const cb_ctl_command *c = cb_ctl_commands[i]; c->group; c++)
            if (strcmp(c->group, group) == 0) {
                fprintf(out, "  cardbrokerctl %s %s %s\n      %s\n", c->group,
                        c->verb ? c->verb : "", c->operands, c->summary);
                found = true;
            }
    return found;
}

/* Options that every command takes may also stand before it. Their number of words, 0 at the first
 * word that is none. */
static int leading(const char *word)
{
    if (strcmp(word, "--json") == 0 || strncmp(word, "--run=", 6) == 0 ||
        strncmp(word, "--config=", 9) == 0)
        return 1;
    return strcmp(word, "--run") == 0 || strcmp(word, "--config") == 0 ? 2 : 0;
}

/* Words that are no command but ask for something: help and version. False when it is none of them.
 */
static bool answer_plainly(cb_ctl *ctl, const char *word, const char *second)
{
    if (strcmp(word, "--version") == 0)
        fputs("cardbrokerctl " CB_VERSION "\n", ctl->out);
    else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        print_usage(ctl->out);
    else
        return second && (strcmp(second, "--help") == 0 || strcmp(second, "-h") == 0) &&
               print_group(ctl->out, word);
    return true;
}

static cb_ctl_status dispatch(cb_ctl *ctl, int argc, const char *const *argv)
{
    cb_ctl_args before;
    cb_buf why = CB_BUF(4096);
    int at = 1, used = 0, step;
    while (at < argc && (step = leading(argv[at])) > 0)
        at += step;
    if (at >= argc) {
        print_usage(ctl->err);
        return CB_CTL_USAGE;
    }
    if (cb_ctl_args_read(at - 1, argv + 1, common_options, NULL, 0, 0, &before, &why)) {
        cb_ctl_status status = cb_ctl_misuse(ctl, "%s", cb_buf_cstr(&why));
        cb_buf_free(&why);
        return status;
    }
    const char *second = at + 1 < argc ? argv[at + 1] : NULL;
    const cb_ctl_command *command = find_command(argv[at], second, &used);
    if (command)
        return run_command(ctl, command, &before, argc - at - used, argv + at + used);
    if (answer_plainly(ctl, argv[at], second))
        return CB_CTL_DONE;
    return cb_ctl_misuse(ctl, "there is no command \"%s%s%s\"; see cardbrokerctl --help", argv[at],
                         second ? " " : "", second ? second : "");
}

cb_ctl_status cb_ctl_main(int argc, char **argv, FILE *out, FILE *err)
{
    cb_ctl ctl = {.out = out, .err = err};
    cb_id request = cb_id_new();
    /* Widths of characters are needed whatever language the administrator's terminal is set to. */
    setlocale(LC_CTYPE, "C.UTF-8");
    cb_log_init("cardbrokerctl", CB_LOG_ERROR);
    cb_log_set_request(&request);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    cb_ctl_status status = dispatch(&ctl, argc, (const char *const *)argv);
    cb_ctl_http_close(&ctl.http);
    cb_hsm_close(&ctl.hsm);
    free(ctl.run);
    free(ctl.origin);
    free(ctl.log_key);
    curl_global_cleanup();
    if (!status && (fflush(out) != 0 || ferror(out)))
        status = CB_CTL_FAILED;
    return status;
}

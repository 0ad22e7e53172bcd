/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardlink: the program beside a card reader. It carries messages between card and broker and shows
 * what came of it; it can read none of them.
 */
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/sandbox.h"
#include "cardlink/terminal/certify.h"
#include "cardlink/terminal/commands.h"
#include "cardlink/terminal/identity.h"
#include "cardlink/terminal/relay.h"
#include "cardlink/terminal/spool.h"

enum { EXIT_USAGE = 2 };

static atomic_bool stop;

static void ask_to_stop(int number)
{
    (void)number;
    atomic_store(&stop, true);
}

static void set_signals(void)
{
    struct sigaction stopping = {.sa_handler = ask_to_stop};
    struct sigaction ignoring = {.sa_handler = SIG_IGN};
    sigemptyset(&stopping.sa_mask);
    sigemptyset(&ignoring.sa_mask);
    sigaction(SIGINT, &stopping, NULL);
    sigaction(SIGTERM, &stopping, NULL);
    sigaction(SIGPIPE, &ignoring, NULL);
}

/* What it takes to speak to a broker. */
static cb_error check_files(const cb_terminal_config *config, cb_buf *why)
{
    cb_identity identity;
    cb_certify_settle(config);
    cb_error error = cb_identity_check(config->certificate, config->key, &identity, why);
    return error ? error : cb_trust_check(config->ca, why);
}

/* The broker, which has proven who it is, has disposed of this terminal. */
static void erase_identity(const cb_terminal_config *config)
{
    cb_error error = cb_identity_erase(config->certificate, config->key);
    cb_spool_remove(config->log);
    fprintf(stderr, error ? "cardlink: the terminal's keys could not all be erased: remove %s\n"
                          : "cardlink: the terminal's keys were erased (%s)\n",
            config->key);
}

static int run(const cb_options *options, const cb_command *command)
{
    cb_terminal_config config = {0};
    cb_output output;
    cb_command_context context = {
        .options = options, .config = &config, .output = &output, .stop = &stop};
    cb_buf why = CB_BUF(4096);
    cb_error error = cb_terminal_config_load(options->config, &config, &why);
    if (!error && command->broker)
        error = check_files(&config, &why);
    if (error) {
        const char *reason = cb_buf_cstr(&why);
        fprintf(stderr, "cardlink: %s\n", reason ? reason : cb_error_text(error));
    } else {
        cb_log_init("cardlink", config.log_level);
        cb_output_init(&output, stdout, options->json);
        if (options->delivery && strcmp(command->words[0], "agent") == 0)
            output.folder = options->delivery;
        else
            output.file = options->delivery;
        error = command->run(&context);
        if (command->broker && error == CB_E_TERMINAL_DISPOSED)
            erase_identity(&config);
        if (output.error) {
            error = error ? error : output.error;
            fprintf(stderr, "cardlink: what came of it could not be written [%s]\n",
                    cb_error_code(error));
        }
    }
    cb_buf_free(&why);
    cb_terminal_config_free(&config);
    return error == CB_E_ARGUMENT ? EXIT_USAGE : cb_problem_exit(error);
}

int main(int argc, char **argv)
{
    cb_options options;
    if (cb_sandbox_no_dumps() != CB_OK || cb_relay_init() != CB_OK) {
        fputs("cardlink: cannot start\n", stderr);
        return EX_SOFTWARE;
    }
    cb_log_init("cardlink", CB_LOG_INFO);
    set_signals();
    if (cb_options_read(argc, argv, &options) != CB_OK)
        return EXIT_USAGE;
    if (options.help || options.version) {
        if (options.help)
            cb_options_usage();
        else
            puts("cardlink " CB_VERSION);
        return EXIT_SUCCESS;
    }
    const cb_command *command = cb_command_find(options.command);
    if (!command) {
        fputs("cardlink: there is no such command; see cardlink --help\n", stderr);
        return EXIT_USAGE;
    }
    return run(&options, command);
}

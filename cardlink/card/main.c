/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardlink-vcard: cards in software, on virtual readers.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/text.h"
#include "cardlink/card/control.h"

enum { EXIT_USAGE = 2, POLL_MS = 100, TEXT_MAX_LEN = 16 * 1024 };

static const char usage[] =
    "usage: cardlink-vcard [OPTION…] STATE…\n"
    "       cardlink-vcard --show STATE\n"
    "       cardlink-vcard --control PATH --tell LINE\n"
    "\n"
    "Runs the cards whose state is in the files STATE (made by cardlink-issuer), each on a "
    "virtual\n"
    "reader: the first card on the first reader, and so on.\n"
    "\n"
    "  --vpcd HOST:PORT   a reader: the port of vsmartcard-vpcd (for pcscd)\n"
    "  --socket PATH      a reader: a Unix socket, there while a card lies on it (without pcscd)\n"
    "  --control PATH     a socket for commands: insert READER CARD, remove READER, list\n"
    "  --tell LINE        send LINE to that socket of a running cardlink-vcard\n"
    "  --contactless      the readers are contactless, which PIV cards tell apart\n"
    "  --absent           start with no card on any reader\n"
    "  --show             print what may be known about a card, and end\n"
    "  --help, --version\n"
    "\n"
    "SIGUSR1 puts every card on its reader, SIGUSR2 takes all away. SIGTERM ends.\n"
    "Exit status: 0 done, 1 failed, 2 wrong use.\n";

typedef struct options {
    const char *control;
    const char *tell;
    bool contactless, absent, show, help, version;
} options;

static bool add_reader(cb_vcards *all, const char *place, bool vpcd)
{
    if (all->reader_count == CB_VCARD_MAX || (vpcd && !strchr(place, ':')))
        return false;
    cb_vcard_reader_init(&all->reader[all->reader_count++], place, vpcd);
    return true;
}

static bool read_options(int argc, char **argv, options *out, cb_vcards *all)
{
    static const struct option names[] = {
        {"vpcd", required_argument, NULL, 'p'},    {"socket", required_argument, NULL, 's'},
        {"control", required_argument, NULL, 'c'}, {"tell", required_argument, NULL, 't'},
        {"contactless", no_argument, NULL, 'l'},   {"absent", no_argument, NULL, 'a'},
        {"show", no_argument, NULL, 'w'},          {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},       {NULL, 0, NULL, 0}};
    bool good = true;
    for (int c; good && (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 'p':
        case 's':
            good = add_reader(all, optarg, c == 'p');
            break;
        case 'c':
            out->control = optarg;
            break;
        case 't':
            out->tell = optarg;
            break;
        case 'l':
            out->contactless = true;
            break;
        case 'a':
            out->absent = true;
            break;
        case 'w':
            out->show = true;
            break;
        case 'h':
            out->help = true;
            break;
        case 'V':
            out->version = true;
            break;
        default:
            good = false;
        }
    }
    return good;
}

static int fail(const char *what, cb_error error)
{
    fprintf(stderr, "cardlink-vcard: %s: %s [%s]\n", what, cb_error_text(error),
            cb_error_code(error));
    return EXIT_FAILURE;
}

static int fail_state(const char *path, cb_error error)
{
    if (error != CB_E_DENIED && error != CB_E_FORMAT)
        return fail(path, error);
    fprintf(stderr, "cardlink-vcard: %s: %s [%s]\n", path,
            error == CB_E_FORMAT
                ? "This is no card's state, or it is damaged: have the card issued anew."
                : "A card's state must be a regular file with one name that only its owner may "
                  "open: no link; chmod 600 it.",
            cb_error_code(error));
    return EXIT_FAILURE;
}

static int show(const char *path)
{
    char atr[2 * CB_CARD_ATR_MAX + 1];
    cb_card_content content;
    cb_vcard *card = NULL;
    cb_buf file = CB_BUF(CB_CARD_FILE_MAX), text = CB_BUF(TEXT_MAX_LEN);
    cb_error error = cb_card_file_read(path, &file);
    if (!error)
        error = cb_card_content_parse(cb_buf_bytes(&file), &content);
    if (!error)
        error = cb_vcard_of(&content, NULL, &card);
    if (!error) {
        cb_vcard_show(card, &text);
        cb_hex(cb_vcard_atr_of(card), atr);
        cb_buf_printf(&text, "ATR %s\n", atr);
        error = cb_buf_error(&text);
    }
    if (!error)
        fputs(cb_buf_cstr(&text), stdout);
    cb_vcard_close(&card);
    cb_buf_free(&file);
    cb_buf_free(&text);
    return error ? fail_state(path, error) : EXIT_SUCCESS;
}

static cb_error open_cards(cb_vcards *all, char **files, int count)
{
    for (int i = 0; i < count; i++) {
        cb_error error = cb_vcard_open(files[i], &all->card[i]);
        if (error) {
            fail_state(files[i], error);
            return error;
        }
        all->file[i] = files[i];
        all->card_count++;
    }
    return CB_OK;
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* False: it is time to end. */
static bool take_signals(int fd, cb_vcards *all)
{
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGUSR1)
            cb_vcards_insert_all(all);
        else if (info.ssi_signo == SIGUSR2)
            cb_vcards_remove_all(all);
        else
            return false;
    }
    return true;
}

static void serve(cb_vcards *all, int signals, int control)
{
    struct pollfd at[2 + 2 * CB_VCARD_MAX];
    do {
        at[0] = (struct pollfd){.fd = signals, .events = POLLIN};
        at[1] = (struct pollfd){.fd = control, .events = POLLIN};
        for (size_t i = 0; i < all->reader_count; i++)
            cb_vcard_reader_wait(&all->reader[i], &at[2 + 2 * i]);
        if (poll(at, (nfds_t)(2 + 2 * all->reader_count), POLL_MS) <= 0)
            continue;
        for (size_t i = 0; i < all->reader_count; i++)
            cb_vcard_reader_serve(&all->reader[i], &at[2 + 2 * i]);
        if (at[1].revents)
            cb_vcard_control_serve(control, all);
    } while (take_signals(signals, all));
}

static int run(const options *chosen, cb_vcards *all, char **files, int count)
{
    int control = -1, signals = open_signals();
    cb_error error = signals < 0 ? CB_E_IO : CB_OK;
    if (error)
        fail("cannot start", error);
    else
        error = open_cards(all, files, count);
    for (size_t i = 0; i < all->card_count; i++)
        cb_vcard_set_contactless(all->card[i], chosen->contactless);
    if (!error && chosen->control && (error = cb_vcard_control_listen(chosen->control, &control)))
        fail(chosen->control, error);
    for (size_t i = 0; !error && !chosen->absent && i < all->reader_count && i < all->card_count;
         i++) {
        if ((error = cb_vcards_insert(all, i, i)))
            fail(all->reader[i].place, error);
    }
    if (!error) {
        cb_log(CB_LOG_INFO, "vcard.ready", "The cards are ready.", NULL);
        serve(all, signals, control);
    }
    cb_vcards_remove_all(all);
    for (size_t i = 0; i < all->card_count; i++)
        cb_vcard_close(&all->card[i]);
    if (control >= 0) {
        close(control);
        unlink(chosen->control);
    }
    if (signals >= 0)
        close(signals);
    return error ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static cb_vcards all;
    options chosen = {0};
    cb_log_init("cardlink-vcard", CB_LOG_INFO);
    if (cb_sandbox_no_dumps() != CB_OK)
        return fail("cannot start", CB_E_INTERNAL);
    bool good = read_options(argc, argv, &chosen, &all);
    int files = argc - optind;
    if (good && chosen.help) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (good && chosen.version) {
        puts("cardlink-vcard " CB_VERSION);
        return EXIT_SUCCESS;
    }
    if (good && chosen.tell && chosen.control && files == 0) {
        cb_error error = cb_vcard_control_tell(chosen.control, chosen.tell);
        return error ? fail(chosen.control, error) : EXIT_SUCCESS;
    }
    if (good && chosen.show && files == 1)
        return show(argv[optind]);
    if (!good || chosen.tell || chosen.show || files < 1 || files > CB_VCARD_MAX ||
        all.reader_count == 0) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return run(&chosen, &all, &argv[optind], files);
}

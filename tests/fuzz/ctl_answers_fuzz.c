/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What cardbrokerd, or somebody in its place, answers to cardbrokerctl.
 *
 * An input is u8 command, then answers in the order in which they are read, each: u16 status, u16
 * length, body. A status of 0 is an answer that did not come.
 *
 * The command ends, with a status that it means, and without any that the answers do not bear out;
 * what people read holds nothing that acts on their terminal.
 */
#include <curl/curl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/cursor.h"
#include "base/text.h"
#include "broker/ctl/ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_perform(CURL *easy);
CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, ...);

#define ID "0189f7c2-0000-7000-8000-000000000001"
#define LOG_KEY "CARDBROKER_FUZZ_LOG_KEY"

enum { WORDS_MAX = 8, ASKED_MAX = 4096 };

static const char *const commands[][WORDS_MAX] = {
    {"status"},
    {"--json", "status"},
    {"holder", "list"},
    {"holder", "show", ID},
    {"holder", "show", "Taro"},
    {"holder", "add", "--name", "Taro"},
    {"card", "list", "--holder", "Taro"},
    {"card", "show", ID},
    {"card", "activate", ID},
    {"card", "suspend", ID},
    {"card", "resume", ID},
    {"card", "revoke", ID, "--reason", "stolen"},
    {"terminal", "list"},
    {"terminal", "show", "door"},
    {"terminal", "revoke", "door"},
    {"service", "list"},
    {"service", "show", "tax"},
    {"service", "update", "tax", "--title", "Tax"},
    {"enrolment", "list", "--holder", ID},
    {"enrolment", "show", ID},
    {"key", "rewrap-all"},
    {"audit", "list", "--last", "5"},
    {"audit", "list", "--kind", "card", "--card", ID},
    {"audit", "verify", "--origin", "test/log", "--log-key", LOG_KEY},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static char key_path[] = "/tmp/cardbroker-fuzz-XXXXXX";
static cb_cursor script;
static unsigned asked;
static long status;
static bool refused; /* an answer was none, or no success */

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- libcurl: what was answered goes to whoever asked ---- */

static size_t (*give)(char *data, size_t size, size_t count, void *context);
static void *give_to;

CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    va_list list;
    (void)easy;
    va_start(list, option);
    if (option == CURLOPT_WRITEFUNCTION)
        give = va_arg(list, size_t(*)(char *, size_t, size_t, void *));
    else if (option == CURLOPT_WRITEDATA)
        give_to = va_arg(list, void *);
    va_end(list);
    return CURLE_OK;
}

CURLcode __wrap_curl_easy_perform(CURL *easy)
{
    (void)easy;
    must(++asked <= ASKED_MAX);
    status = cb_cursor_u16(&script) % 600;
    size_t len = cb_cursor_u16(&script);
    cb_bytes body = cb_cursor_take(&script, len < script.rest.len ? len : script.rest.len);
    refused = refused || status < 200 || status > 299;
    if (status == 0)
        return CURLE_COULDNT_CONNECT;
    /* In two pieces, as it may come. */
    size_t half = body.len / 2;
    cb_buf whole = CB_BUF(1 << 16);
    cb_buf_put(&whole, body);
    size_t taken = half ? give((char *)whole.data, 1, half, give_to) : 0;
    if (body.len - half > 0 && taken == half)
        taken += give((char *)whole.data + half, 1, body.len - half, give_to);
    cb_buf_free(&whole);
    return taken == body.len ? CURLE_OK : CURLE_WRITE_ERROR;
}

CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
    va_list list;
    (void)easy;
    va_start(list, info);
    *va_arg(list, long *) = info == CURLINFO_RESPONSE_CODE ? status : 0;
    va_end(list);
    return CURLE_OK;
}

/* ---- What was printed ---- */

static void check_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i];
        must((c >= 0x20 && c != 0x7F) || c == '\n');
        /* U+202A … U+202E and U+2066 … U+2069 turn the direction of writing; C1 controls. */
        if (c == 0xE2 && i + 2 < len && (uint8_t)text[i + 1] == 0x80)
            must((uint8_t)text[i + 2] < 0xAA || (uint8_t)text[i + 2] > 0xAE);
        if (c == 0xE2 && i + 2 < len && (uint8_t)text[i + 1] == 0x81)
            must((uint8_t)text[i + 2] < 0xA6 || (uint8_t)text[i + 2] > 0xA9);
        if (c == 0xC2 && i + 1 < len)
            must((uint8_t)text[i + 1] >= 0xA0);
    }
    must(len == 0 || mbstowcs(NULL, text, 0) != (size_t)-1);
}

static void clean_up(void) { unlink(key_path); }

/* The log's public key, whose private half is 7. */
static void prepare(void)
{
    static const uint8_t before[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48,
                                     0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48,
                                     0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    static const uint8_t scalar[CB_P256_SCALAR] = {[31] = 7};
    static bool done;
    uint8_t point[CB_P256_POINT];
    cb_buf der = CB_BUF(256), pem = CB_BUF(1024);
    if (done)
        return;
    done = true;
    must(cb_p256_public(scalar, point) == CB_OK);
    cb_buf_put(&der, CB_BYTES_OF(before));
    cb_buf_put(&der, CB_BYTES_OF(point));
    cb_buf_put_str(&pem, "-----BEGIN PUBLIC KEY-----\n");
    cb_buf_put_base64(&pem, cb_buf_bytes(&der));
    cb_buf_put_str(&pem, "\n-----END PUBLIC KEY-----\n");
    int file = mkstemp(key_path);
    must(file >= 0 && write(file, pem.data, pem.len) == (ssize_t)pem.len && close(file) == 0);
    cb_buf_free(&der);
    cb_buf_free(&pem);
    atexit(clean_up);
}

static int run(const char *const *words, FILE *out, FILE *err)
{
    char *argv[WORDS_MAX + 4] = {(char *)(uintptr_t) "cardbrokerctl",
                                 (char *)(uintptr_t) "--run=/nonexistent"};
    int argc = 2;
    for (int i = 0; i < WORDS_MAX && words[i]; i++)
        argv[argc++] = strcmp(words[i], LOG_KEY) == 0 ? key_path : (char *)(uintptr_t)words[i];
    return (int)cb_ctl_main(argc, argv, out, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *said = NULL, *complained = NULL;
    size_t said_len = 0, complained_len = 0;
    prepare();
    script = cb_cursor_over(cb_bytes_make(data, size));
    const char *const *words = commands[cb_cursor_u8(&script) % COMMANDS];
    asked = 0;
    refused = false;
    FILE *out = open_memstream(&said, &said_len),
         *err = open_memstream(&complained, &complained_len);
    must(out && err);
    int end = run(words, out, err);
    must(fclose(out) == 0 && fclose(err) == 0);
    must(end == CB_CTL_DONE || end == CB_CTL_FAILED || end == CB_CTL_UNREACHABLE ||
         end == CB_CTL_CONFIG);
    must(end != CB_CTL_DONE || (asked > 0 && !refused));
    must(end == CB_CTL_DONE || complained_len > 0);
    if (strcmp(words[0], "--json") != 0)
        check_plain(said, said_len);
    check_plain(complained, complained_len);
    free(said);
    free(complained);
    return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A broker and a card that say what they like to a terminal in the middle of a tap.
 *
 * An input is u8 what is done (bits: 0-1 authenticate, authenticate with a PIN, change, unblock; 2
 * JSON; 3 a script fetched in advance; 4 the list of services instead), then what the others say,
 * in the order in which they are asked, each with u8 how before it. The broker: 0 u16 status, u16
 * length, body; 1 a script: u8 seconds, u8 commands, each u8 flags, u8 length, bytes; 2 an accept:
 * u8 length, service, u8 length, URL; 3 a problem: u8 status - 400, u8 error, u8 length, detail; 4
 * u8 libcurl's error. The card: u8 length, bytes, and by how: 0 as they are; 1: 61 length; 2: 6C
 * length; 3 with 90 00; 4 taken away; 5 an open channel; 6 u8 error of the reader.
 *
 * Each thing is asked in its order and no more often than is said, but for a proof without an
 * answer, which is brought again while there is time; the PIN goes into its field only, encrypted
 * to the card's key; the card is let go; an accept is said if, and only if, it was one; what people
 * read holds nothing that acts on their screen.
 */
#include <curl/curl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/text.h"
#include "base/tlv.h"
#include "cardlink/apdu.h"
#include "cardlink/native/native.h"
#include "cardlink/native/pin.h"
#include "cardlink/terminal/output.h"
#include "cardlink/terminal/play.h"
#include "cardlink/terminal/relay_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_perform(CURL *easy);
CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, ...);
cb_error __wrap_cb_card_take(cb_readers *readers, const char *reader);
void __wrap_cb_card_release(cb_readers *readers);
cb_error __wrap_cb_card_transmit(cb_readers *readers, cb_bytes command, cb_buf *answer);
bool __wrap_cb_card_has_pad(cb_readers *readers);
cb_error __wrap_cb_card_verify(cb_readers *readers, cb_bytes header, bool padded, cb_buf *answer);

#define BROKER "https://broker.test:8443"
#define PIN "271828"
#define CODE "14142135"
#define FRESH "314159265358"

enum {
    BODY_MAX = CB_RELAY_BODY_MAX + 1024,
    TRANSMITS_MAX = 4 * CB_SCRIPT_COMMANDS_MAX * 80,
    PROOFS_MAX = 8
};

typedef enum step { BEGINS, CHALLENGES, RENEWS, PROVES, LISTS, ENDS } step;

static cb_bytes input;
static cb_cursor in;
static const uint8_t scalar[CB_P256_SCALAR] = {[31] = 7}; /* of the card's session key */
static uint8_t point[CB_P256_POINT];
static unsigned wish;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static cb_bytes piece(size_t len)
{
    return cb_cursor_take(&in, len < in.rest.len ? len : in.rest.len);
}

/* ---- libcurl: the broker ---- */

static struct {
    size_t (*put)(char *, size_t, size_t, void *), (*get)(char *, size_t, size_t, void *);
    void *put_to, *get_from;
    char *reason;
    char path[256];
    bool post;
    curl_off_t size;
} asked;

static long status;
static unsigned count[6];    /* of each step */
static char tap[CB_ID_TEXT]; /* the newest that was given */
static bool accepted;        /* the last answer was an accept, or one before it if more was offered */
static bool offered;         /* newer certificates would be taken */

CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    va_list list;
    (void)easy;
    va_start(list, option);
    if (option == CURLOPT_WRITEFUNCTION)
        asked.put = va_arg(list, size_t(*)(char *, size_t, size_t, void *));
    else if (option == CURLOPT_READFUNCTION)
        asked.get = va_arg(list, size_t(*)(char *, size_t, size_t, void *));
    else if (option == CURLOPT_WRITEDATA)
        asked.put_to = va_arg(list, void *);
    else if (option == CURLOPT_READDATA)
        asked.get_from = va_arg(list, void *);
    else if (option == CURLOPT_ERRORBUFFER)
        asked.reason = va_arg(list, char *);
    else if (option == CURLOPT_POST || option == CURLOPT_HTTPGET)
        asked.post = option == CURLOPT_POST;
    else if (option == CURLOPT_POSTFIELDSIZE_LARGE)
        asked.size = va_arg(list, curl_off_t);
    else if (option == CURLOPT_URL) {
        const char *url = va_arg(list, const char *);
        size_t len = sizeof BROKER - 1;
        must(strncmp(url, BROKER "/v1/", len + 4) == 0 && strlen(url + len) < sizeof asked.path);
        memcpy(asked.path, url + len, strlen(url + len) + 1);
    }
    va_end(list);
    return CURLE_OK;
}

CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
    va_list list;
    (void)easy;
    va_start(list, info);
    if (info == CURLINFO_RESPONSE_CODE)
        *va_arg(list, long *) = status;
    else
        *va_arg(list, curl_off_t *) = status;
    va_end(list);
    return CURLE_OK;
}

static cb_pin_form form(void) { return (cb_pin_form)(wish & 3); }

static void check_pin(const json_t *body)
{
    const char *hex = json_string_value(json_object_get(body, "pin"));
    cb_buf ciphertext = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    cb_pin_block block;
    if (!hex)
        return;
    must(form() != CB_PIN_FORM_NONE && cb_unhex(cb_bytes_str(hex), &ciphertext) == CB_OK &&
         cb_pin_decrypt(cb_buf_bytes(&ciphertext), scalar, point, &block) == CB_OK);
    const char *secret = form() == CB_PIN_FORM_UNBLOCK ? CODE : PIN;
    must(block.form == form() && block.secret_len == strlen(secret) &&
         memcmp(block.secret, secret, strlen(secret)) == 0);
    must(block.fresh_len == (form() == CB_PIN_FORM_VERIFY ? 0 : strlen(FRESH)));
    cb_buf_free(&ciphertext);
}

static void check_body(step now)
{
    static char body[BODY_MAX];
    json_t *root = NULL;
    must(asked.post == (now != LISTS));
    if (now == LISTS)
        return;
    size_t len = 0;
    for (size_t got = 1; got > 0; len += got) {
        got = asked.get(body + len, 1, sizeof body - len < 700 ? sizeof body - len : 700,
                        asked.get_from);
        must(len + got < sizeof body);
    }
    must((curl_off_t)len == asked.size);
    must(cb_json_read(cb_bytes_make(body, len), &root) == CB_OK);
    must(now == BEGINS || now == ENDS || json_is_array(json_object_get(root, "answers")));
    must((now == ENDS) == json_is_string(json_object_get(root, "reason")));
    must(now == CHALLENGES || !json_object_get(root, "pin"));
    check_pin(root);
    json_decref(root);
}

/* What is asked now, which must be its turn. */
static step check_turn(void)
{
    char challenge[128], renewal[128], proof[128], end[128];
    step now = strcmp(asked.path, "/v1/taps") == 0       ? BEGINS
               : strcmp(asked.path, "/v1/services") == 0 ? LISTS
                                                         : PROVES;
    snprintf(challenge, sizeof challenge, "/v1/taps/%s/challenge", tap);
    snprintf(proof, sizeof proof, "/v1/taps/%s/proof", tap);
    if (strcmp(asked.path, challenge) == 0)
        now = CHALLENGES;
    snprintf(renewal, sizeof renewal, "/v1/taps/%s/renewal", tap);
    if (strcmp(asked.path, renewal) == 0)
        now = RENEWS;
    snprintf(end, sizeof end, "/v1/taps/%s/end", tap);
    if (strcmp(asked.path, end) == 0)
        now = ENDS;
    must(now != PROVES || strcmp(asked.path, proof) == 0);
    count[now]++;
    /* One more of each to end a card that is revoked. Where newer certificates are asked for, one
     * tap for these, and the first once more. */
    unsigned runs = offered ? 3 : 1;
    must(count[BEGINS] <= 12 * runs && count[CHALLENGES] <= 3 * runs && count[LISTS] <= 2 &&
         count[PROVES] <= PROOFS_MAX * runs && count[ENDS] <= 3 * runs);
    must(count[RENEWS] <= (offered ? 1 : 0));
    must((now != CHALLENGES && now != RENEWS) || count[BEGINS] > 0);
    must(count[PROVES] == 0 || count[CHALLENGES] > 0);
    return now;
}

static void put_text(cb_buf *out, cb_bytes bytes)
{
    json_t *text = json_stringn((const char *)bytes.data, bytes.len);
    char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    cb_buf_put_str(out, quoted ? quoted : "\"\"");
    json_free_t let_go = free;
    json_get_alloc_funcs(NULL, &let_go);
    let_go(quoted);
    json_decref(text);
}

static void put_script(cb_buf *out, step now)
{
    status = now == BEGINS ? 201 : 200;
    cb_buf_printf(out, "{\"tap\":\"0189f7c2-0000-7000-8000-0000000000%02u\",\"expires_in\":%u,",
                  count[BEGINS], cb_cursor_u8(&in));
    unsigned commands = cb_cursor_u8(&in) % 40;
    cb_buf_put_str(out, "\"script\":[");
    for (unsigned i = 0; i < commands; i++) {
        unsigned flags = cb_cursor_u8(&in);
        cb_buf_put_str(out, i ? ",{\"apdu\":\"" : "{\"apdu\":\"");
        cb_buf_put_hex(out, piece(cb_cursor_u8(&in)));
        cb_buf_put_str(out, flags & 1 ? "\",\"go_on\":true" : "\"");
        cb_buf_put_str(out, flags & 2 ? ",\"part\":true" : "");
        cb_buf_put_str(out, flags & 4 ? flags & 8 ? ",\"pin\":\"ascii\"}" : ",\"pin\":\"padded\"}"
                                      : "}");
    }
    cb_buf_put_str(out, "]}");
}

static void put_accept(cb_buf *out)
{
    status = 200;
    cb_buf_put_str(out, "{\"outcome\":\"accepted\",\"service\":");
    put_text(out, piece(cb_cursor_u8(&in)));
    cb_buf_put_str(out, ",\"delivery\":{\"kind\":\"relayed\",\"url\":");
    put_text(out, piece(cb_cursor_u8(&in)));
    cb_buf_put_str(out, "}}");
}

static void put_problem(cb_buf *out)
{
    status = 400 + cb_cursor_u8(&in);
    cb_buf_printf(out, "{\"code\":\"%s\",\"tries_left\":2,%s\"detail\":",
                  cb_error_code((cb_error)(cb_cursor_u8(&in) % CB_ERROR_COUNT)),
                  status >= 528 ? "\"may_end\":true,\"may_renew\":true," : "");
    put_text(out, piece(cb_cursor_u8(&in)));
    cb_buf_put_str(out, "}");
}

static void note(const cb_buf *body, step now)
{
    json_t *root = NULL;
    cb_id id;
    if (cb_json_read(cb_buf_bytes(body), &root) == CB_OK) {
        accepted |= now == PROVES && status == 200 && cb_json_accepted(root);
        offered |= json_is_true(json_object_get(root, "may_renew"));
    }
    json_decref(root);
    root = NULL;
    if (now == BEGINS && status == 201 && cb_json_read(cb_buf_bytes(body), &root) == CB_OK) {
        const char *name = json_string_value(json_object_get(root, "tap"));
        if (name && cb_id_parse(name, &id) == CB_OK)
            cb_id_text(&id, tap);
    }
    json_decref(root);
}

CURLcode __wrap_curl_easy_perform(CURL *easy)
{
    cb_buf body = CB_BUF(BODY_MAX);
    CURLcode code = CURLE_OK;
    step now = check_turn();
    (void)easy;
    check_body(now);
    accepted = accepted && offered;
    switch (cb_cursor_u8(&in) % 5) {
    case 0:
        status = cb_cursor_u16(&in) % 600;
        cb_buf_put(&body, piece(cb_cursor_u16(&in)));
        break;
    case 1:
        put_script(&body, now);
        break;
    case 2:
        put_accept(&body);
        break;
    case 3:
        put_problem(&body);
        break;
    default:
        code = (CURLcode)(1 + cb_cursor_u8(&in) % (CURL_LAST - 1));
        snprintf(asked.reason, CURL_ERROR_SIZE, "a reason");
    }
    if (!cb_cursor_ok(&in) && code == CURLE_OK)
        code = CURLE_COULDNT_CONNECT; /* nobody says anything any more */
    size_t half = body.len / 2;
    if (!code && half && asked.put((char *)body.data, 1, half, asked.put_to) != half)
        code = CURLE_WRITE_ERROR;
    if (!code && body.len > half &&
        asked.put((char *)body.data + half, 1, body.len - half, asked.put_to) != body.len - half)
        code = CURLE_WRITE_ERROR;
    if (!code)
        note(&body, now);
    cb_buf_free(&body);
    return code;
}

/* ---- The card ---- */

static bool taken;
static bool handed_out; /* what the tap has brought: nobody types any more */
static unsigned takes, releases, transmits;

static cb_error error_said(void)
{
    unsigned number = cb_cursor_u8(&in) % CB_ERROR_COUNT;
    return number ? (cb_error)number : CB_E_READER;
}

cb_error __wrap_cb_card_take(cb_readers *readers, const char *reader)
{
    (void)readers, (void)reader;
    must(!taken);
    takes++;
    if (cb_cursor_u8(&in) == 0xFF)
        return error_said();
    taken = true;
    return CB_OK;
}

void __wrap_cb_card_release(cb_readers *readers)
{
    (void)readers;
    must(taken);
    taken = false;
    releases++;
}

static void put_channel(cb_buf *answer)
{
    static const uint8_t receipt[CB_NATIVE_RECEIPT] = {1};
    cb_tlv_put(answer, CB_TAG_EPHEMERAL, CB_BYTES_OF(point));
    cb_tlv_put(answer, CB_TAG_RECEIPT, CB_BYTES_OF(receipt));
    cb_buf_put_u16(answer, CB_SW_OK);
}

/* Whatever the broker says, the PIN goes into VERIFY alone. */
static void check_no_pin(cb_bytes command)
{
    static const uint8_t verify[] = {0x00, 0x20, 0x00};
    bool there = memmem(command.data, command.len, PIN, sizeof PIN - 1) != NULL;
    bool given = memmem(input.data, input.len, PIN, sizeof PIN - 1) != NULL;
    must(!there || given ||
         (form() == CB_PIN_FORM_VERIFY && memcmp(command.data, verify, sizeof verify) == 0));
}

static cb_error answer_something(cb_buf *answer)
{
    unsigned how = cb_cursor_u8(&in) % 7;
    if (!cb_cursor_ok(&in) || how == 4)
        return CB_E_CARD_REMOVED;
    if (how == 5)
        put_channel(answer);
    else if (how == 6)
        return error_said();
    else if (how == 1 || how == 2)
        cb_buf_put_u16(answer, (uint16_t)((how == 1 ? 0x6100 : 0x6C00) | cb_cursor_u8(&in)));
    else
        cb_buf_put(answer, piece(cb_cursor_u8(&in)));
    if (how == 3)
        cb_buf_put_u16(answer, CB_SW_OK);
    return cb_buf_error(answer);
}

/* Which applications there are says the end of the input: the broker's own, unless one of these
 * stands there. */
static cb_error answer_select(bool native, cb_buf *answer)
{
    enum { END = 0x1F, ANYTHING = 0x1C, OTHERS = 0x1E, NONE = 0x1F };
    unsigned end = input.len > 0 ? input.data[input.len - 1] & END : 0;
    if (end == ANYTHING)
        return answer_something(answer);
    cb_buf_put_u16(answer, end == NONE || (end == OTHERS && native) ? 0x6A82 : CB_SW_OK);
    return cb_buf_error(answer);
}

cb_error __wrap_cb_card_transmit(cb_readers *readers, cb_bytes command, cb_buf *answer)
{
    (void)readers;
    must(taken && cb_command_ok(command) && ++transmits <= TRANSMITS_MAX);
    check_no_pin(command);
    bool native = cb_bytes_same(command, cb_profile_native.select);
    if (native || cb_bytes_same(command, cb_profile_piv.select))
        return answer_select(native, answer);
    return answer_something(answer);
}

/* By the end of the input, so that what came before pads means what it did. */
bool __wrap_cb_card_has_pad(cb_readers *readers)
{
    (void)readers;
    return input.len > 0 && input.data[input.len - 1] >= 0x80;
}

/* The pad puts the digits in: what it is given has none. */
cb_error __wrap_cb_card_verify(cb_readers *readers, cb_bytes header, bool padded, cb_buf *answer)
{
    static const uint8_t verify[] = {0x00, 0x20, 0x00};
    (void)padded;
    must(__wrap_cb_card_has_pad(readers) && !handed_out && taken && ++transmits <= TRANSMITS_MAX);
    must(header.len == 4 && memcmp(header.data, verify, sizeof verify) == 0);
    return answer_something(answer);
}

/* ---- What is said ---- */

/* Whether it says that a tap was accepted: where that stands, not somewhere in what others said. */
static bool says_accepted(const char *text, bool json)
{
    static const char start[] = "Reader ?[2J? 00: accepted";
    if (!json) {
        bool said = strncmp(text, start, sizeof start - 1) == 0;
        must(said || strchr(text, '\n') == text + strlen(text) - 1);
        return said;
    }
    json_t *root = json_loads(text, 0, NULL);
    bool said = strcmp(json_string_value(json_object_get(root, "event")), "tap.accepted") == 0;
    must(!json_object_get(root, "delivery_file")); /* there is none */
    json_decref(root);
    return said;
}

static void check_lines(const char *text, bool json)
{
    uint32_t character;
    size_t len;
    if (json) {
        json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        must(json_is_object(root));
        json_decref(root);
        return;
    }
    for (; *text; text += len) {
        len = cb_utf8_read(text, &character);
        must(len > 0 && (character == '\n' || !cb_utf8_acts(character)));
    }
}

static void check_said(const cb_tap_report *report, cb_error error, bool json)
{
    char *text = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&text, &len);
    cb_output output;
    must(stream != NULL);
    cb_output_init(&output, stream, json);
    must(cb_output_tap(&output, "Reader \x1b[2J\xff 00", report) == CB_OK && !output.error);
    must(fclose(stream) == 0 && len > 0 && strlen(text) == len);
    check_lines(text, json);
    must(says_accepted(text, json) == !error);
    must(!error || strstr(text, json ? "\"code\":\"" : " ["));
    free(text);
}

static void list_services(cb_relay *relay, bool json)
{
    char *text = NULL;
    size_t len = 0;
    json_t *services = NULL;
    cb_problem problem;
    cb_output output;
    cb_error error = cb_relay_services(relay, &services, &problem);
    must(error ? problem.error == error && !services : json_is_array(services));
    FILE *stream = open_memstream(&text, &len);
    must(stream != NULL);
    cb_output_init(&output, stream, json);
    if (!error)
        cb_output_services(&output, services);
    must(fclose(stream) == 0);
    if (!error)
        check_lines(text, json);
    json_decref(services);
    free(text);
}

static cb_pins typed(void)
{
    cb_pins pins = {.form = form()};
    const char *secret = form() == CB_PIN_FORM_UNBLOCK ? CODE : PIN;
    pins.secret.len = strlen(secret);
    memcpy(pins.secret.bytes, secret, pins.secret.len);
    if (form() != CB_PIN_FORM_VERIFY)
        pins.fresh.len = strlen(FRESH);
    memcpy(pins.fresh.bytes, FRESH, pins.fresh.len);
    return pins;
}

static void do_tap(cb_relay *relay)
{
    static const uint8_t purposes[] = {CB_TAP_AUTHENTICATE, CB_TAP_AUTHENTICATE, CB_TAP_PIN_CHANGE,
                                       CB_TAP_PIN_UNBLOCK};
    static const cb_profile_order profiles = {2, {&cb_profile_native, &cb_profile_piv}};
    cb_pins pins = typed();
    cb_tap_order order = {.purpose = purposes[form()],
                          .service = form() > CB_PIN_FORM_VERIFY ? "" : "tax",
                          .text = "",
                          .pins = form() ? &pins : NULL,
                          .profiles = &profiles};
    cb_tap_report report;
    cb_relay_tap first;
    cb_problem problem;
    cb_relay_tap_init(&first);
    if (wish & 8 && cb_relay_begin(relay, &cb_profile_native, &first, &problem) != CB_OK)
        must(problem.error && problem.code[0] && cb_id_is_zero(&first.id));
    cb_error error = cb_tap_run(relay, NULL, "reader", &first, &order, &report);
    must(!taken && takes <= (offered ? 4 : 2) && releases <= takes);
    must(!report.prefetched || cb_id_is_zero(&first.id));
    must(takes == 1 || offered || error == CB_E_CARD_REVOKED);
    must(!report.card_ended || takes >= 2);
    must(!report.renewed || count[RENEWS] == 1);
    must(!report.renewable || (!error && !report.renewed && count[RENEWS] == 0));
    must((error == CB_OK) == (report.result != NULL) && error == report.problem.error);
    must(!error || (report.problem.code[0] && report.problem.detail[0]));
    must(error || (accepted && count[PROVES] >= 1));
    check_said(&report, error, wish & 4);
    handed_out = true;
    bool newer = cb_tap_renew_early(relay, NULL, "reader", &order, &report);
    must(!taken && (report.renewable ? count[RENEWS] == 1 || !newer : !newer));
    cb_tap_report_free(&report);
    cb_relay_tap_free(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cb_relay_settings settings = {.broker = BROKER,
                                               .ca = "/ca",
                                               .certificate = "/certificate",
                                               .key = "/key",
                                               .timeout = CB_MILLISECOND};
    cb_relay *relay = NULL;
    if (!asked.get)
        must(cb_relay_init() == CB_OK && cb_p256_public(scalar, point) == CB_OK);
    input = cb_bytes_make(data, size);
    in = cb_cursor_over(input);
    wish = cb_cursor_u8(&in);
    memset(count, 0, sizeof count);
    takes = releases = transmits = 0;
    taken = accepted = offered = handed_out = false;
    tap[0] = 0;
    must(cb_relay_open(&settings, &relay) == CB_OK);
    if (wish & 16)
        list_services(relay, wish & 4);
    else
        do_tap(relay);
    cb_relay_close(&relay);
    return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/relay_json.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/secret.h"
#include "base/text.h"

/* jansson does not say how long a block was when it gives it back: the length stands before it. */
typedef union block {
    size_t len;
    max_align_t align;
} block;

static void *take(size_t len)
{
    block *head = len < SIZE_MAX - sizeof(block) ? malloc(sizeof(block) + len) : NULL;
    if (!head)
        return NULL;
    head->len = len;
    return head + 1;
}

static void give(void *memory)
{
    if (!memory)
        return;
    block *head = (block *)memory - 1;
    cb_wipe(memory, head->len);
    free(head);
}

void cb_json_wipe_always(void) { cb_json_allocate(take, give); }

cb_error cb_json_read(cb_bytes body, json_t **out)
{
    *out = NULL;
    if (body.len == 0 || body.len > CB_RELAY_BODY_MAX)
        return CB_E_PROTOCOL;
    json_t *root = cb_json_load(body, JSON_REJECT_DUPLICATES, NULL);
    if (!root)
        return errno == ENOMEM ? CB_E_MEMORY : CB_E_PROTOCOL;
    if (!json_is_object(root)) {
        json_decref(root);
        return CB_E_PROTOCOL;
    }
    *out = root;
    return CB_OK;
}

cb_error cb_json_write(const json_t *root, cb_buf *out)
{
    json_free_t let_go = free;
    size_t before = out->len;
    char *text = root ? cb_json_dumps(root, JSON_COMPACT) : NULL;
    if (!text)
        return CB_E_MEMORY;
    cb_buf_put_str(out, text);
    cb_wipe(text, strlen(text));
    json_get_alloc_funcs(NULL, &let_go);
    let_go(text);
    if (cb_buf_error(out))
        out->len = before;
    return cb_buf_error(out);
}

static bool read_flag(const json_t *entry, const char *name, uint8_t flag, uint8_t *flags)
{
    const json_t *value = json_object_get(entry, name);
    if (json_is_true(value))
        *flags |= flag;
    return !value || json_is_boolean(value);
}

static bool read_pin_form(const json_t *entry, uint8_t *flags)
{
    const json_t *form = json_object_get(entry, "pin");
    const char *name = json_string_value(form);
    if (name && strcmp(name, "ascii") == 0)
        *flags |= CB_SCRIPT_PIN_ASCII;
    else if (name && strcmp(name, "padded") == 0)
        *flags |= CB_SCRIPT_PIN_PADDED;
    return !form || *flags & CB_SCRIPT_PIN;
}

/* Bytes of the first answer that the command is for; none if it is for every card. */
static cb_error read_when(const json_t *entry, cb_buf *when)
{
    const json_t *hex = json_object_get(entry, "when");
    cb_buf_reset(when);
    if (!hex)
        return CB_OK;
    if (!json_is_string(hex))
        return CB_E_PROTOCOL;
    cb_error error = cb_unhex(cb_bytes_make(json_string_value(hex), json_string_length(hex)), when);
    if (!error && when->len == 0)
        error = CB_E_PROTOCOL;
    return error && error != CB_E_MEMORY ? CB_E_PROTOCOL : error;
}

/* One {"apdu": hex, "go_on": bool, "part": bool, "pin": form, "when": hex}. */
static cb_error read_command(const json_t *entry, cb_buf *when, cb_buf *apdu, cb_buf *script)
{
    uint8_t flags = 0;
    const json_t *hex = json_object_get(entry, "apdu");
    if (!json_is_string(hex) || !read_flag(entry, "go_on", CB_SCRIPT_GO_ON, &flags) ||
        !read_flag(entry, "part", CB_SCRIPT_PART, &flags) || !read_pin_form(entry, &flags))
        return CB_E_PROTOCOL;
    cb_buf_reset(apdu);
    cb_error error = cb_unhex(cb_bytes_make(json_string_value(hex), json_string_length(hex)), apdu);
    if (error || apdu->len == 0)
        return error == CB_E_MEMORY ? error : CB_E_PROTOCOL;
    error = read_when(entry, when);
    if (error)
        return error;
    cb_script_put_when(script, flags, cb_buf_bytes(when), cb_buf_bytes(apdu));
    return cb_buf_error(script) == CB_E_TOO_LARGE ? CB_E_PROTOCOL : cb_buf_error(script);
}

static cb_error read_script(const json_t *array, cb_buf *script)
{
    size_t count = json_array_size(array);
    cb_buf apdu = CB_BUF(CB_COMMAND_MAX), when = CB_BUF(CB_SCRIPT_WHEN_MAX);
    cb_error error = count >= 1 && count <= CB_SCRIPT_COMMANDS_MAX ? CB_OK : CB_E_PROTOCOL;
    for (size_t i = 0; i < count && !error; i++)
        error = read_command(json_array_get(array, i), &when, &apdu, script);
    cb_buf_free(&apdu);
    cb_buf_free(&when);
    return error;
}

/* Of a time that is no second of this age, nothing is thought. */
static int64_t read_ahead(const json_t *time)
{
    json_int_t seconds = json_integer_value(time);
    if (!json_is_integer(time) || seconds < 1 || seconds > CB_RELAY_TIME_MAX)
        return 0;
    return seconds * CB_SECOND - cb_clock_wall_us();
}

cb_error cb_json_read_begun(const json_t *root, bool first, int64_t now, cb_relay_tap *tap)
{
    cb_id id = tap->id;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    const char *name = json_string_value(json_object_get(root, "tap"));
    const json_t *expires = json_object_get(root, "expires_in");
    json_int_t seconds = json_integer_value(expires);
    cb_error error = CB_OK;
    if (first && (!name || cb_id_parse(name, &id) != CB_OK || cb_id_is_zero(&id)))
        error = CB_E_PROTOCOL;
    if (!json_is_integer(expires) || seconds < 1 || seconds > CB_RELAY_EXPIRES_MAX)
        error = CB_E_PROTOCOL;
    if (!error)
        error = read_script(json_object_get(root, "script"), &script);
    if (error) {
        cb_buf_free(&script);
        return error;
    }
    cb_buf_free(&tap->script);
    *tap = (cb_relay_tap){.id = id,
                          .profile = tap->profile,
                          .script = script,
                          .expires = now + seconds * CB_SECOND,
                          .ahead = read_ahead(json_object_get(root, "time"))};
    return CB_OK;
}

json_t *cb_json_answers(cb_bytes encoded)
{
    cb_script answers;
    char text[2 * CB_ANSWER_MAX + 1];
    if (cb_script_read(encoded, CB_ANSWER_MAX, &answers) != CB_OK)
        return NULL;
    json_t *array = json_array();
    for (size_t i = 0; i < answers.count && array; i++) {
        cb_hex(answers.item[i].apdu, text);
        if (json_array_append_new(array, json_string(text)) != 0) {
            json_decref(array);
            array = NULL;
        }
    }
    cb_wipe(text, sizeof text);
    return array;
}

bool cb_json_accepted(const json_t *root)
{
    const char *outcome = json_string_value(json_object_get(root, "outcome"));
    const json_t *delivery = json_object_get(root, "delivery");
    return outcome && strcmp(outcome, "accepted") == 0 &&
           (!delivery || json_is_null(delivery) || json_is_object(delivery));
}

bool cb_json_registered(const json_t *root)
{
    cb_id id;
    const char *outcome = json_string_value(json_object_get(root, "outcome"));
    const char *card = json_string_value(json_object_get(root, "card"));
    const char *holder = json_string_value(json_object_get(root, "holder"));
    return outcome && strcmp(outcome, "registered") == 0 && card && !cb_id_parse(card, &id) &&
           holder && !cb_id_parse(holder, &id);
}

static bool is_outcome(const json_t *root, const char *name)
{
    const char *outcome = json_string_value(json_object_get(root, "outcome"));
    return outcome && strcmp(outcome, name) == 0;
}

bool cb_json_card_ended(const json_t *root) { return is_outcome(root, "card_ended"); }

bool cb_json_renewed(const json_t *root) { return is_outcome(root, "renewed"); }

cb_error cb_json_read_head(const json_t *root, cb_journal_head *head)
{
    const json_t *number = json_object_get(root, "number");
    const char *hash = json_string_value(json_object_get(root, "hash"));
    if (!json_is_integer(number) || json_integer_value(number) < 0 || !hash ||
        strlen(hash) != 2 * CB_SHA256_SIZE ||
        cb_unhex_exact(hash, head->hash.bytes, CB_SHA256_SIZE) != CB_OK)
        return CB_E_PROTOCOL;
    head->number = (uint64_t)json_integer_value(number);
    return CB_OK;
}

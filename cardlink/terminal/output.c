/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/output.h"

#include <errno.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/text.h"
#include "cardlink/terminal/relay_json.h"

enum {
    PATH_BYTES = 4096,
    LINE_BYTES = CB_PROBLEM_LINE + CB_READER_NAME_MAX + 64,
    TEXT_MAX = 8 * CB_RELAY_BODY_MAX /* numbers and escapes may be longer than they came */
};

void cb_output_init(cb_output *output, FILE *stream, bool json)
{
    *output = (cb_output){.stream = stream, .json = json};
    pthread_mutex_init(&output->lock, NULL);
}

/* Writes all of a line, or notes that it was not: whoever reads the stream would believe that
 * nothing happened. */
static cb_error put(cb_output *output, cb_bytes text)
{
    FILE *stream = output->stream;
    cb_error error = CB_OK;
    pthread_mutex_lock(&output->lock);
    errno = 0;
    for (size_t done = 0; done < text.len && !error;) {
        size_t now = fwrite(text.data + done, 1, text.len - done, stream);
        done += now;
        if (now == 0 && errno != EINTR)
            error = CB_E_IO;
        clearerr(stream);
    }
    while (!error && fflush(stream) != 0) {
        if (errno != EINTR)
            error = CB_E_IO;
        clearerr(stream);
    }
    if (error && !output->error)
        output->error = error;
    pthread_mutex_unlock(&output->lock);
    return error;
}

/* What is said of an event when there is no memory to say all. */
static void put_short(cb_output *output, const char *event, cb_error error)
{
    char line[LINE_BYTES];
    const char *code = cb_error_code(error), *text = cb_error_text(error);
    int len =
        output->json
            ? snprintf(line, sizeof line, "{\"event\":\"%s\",\"code\":\"%s\",\"detail\":\"%s\"}\n",
                       event, code, text)
            : snprintf(line, sizeof line, "%s: %s [%s]\n", event, text, code);
    put(output, cb_bytes_make(line, (size_t)len));
    pthread_mutex_lock(&output->lock);
    if (!output->error)
        output->error = error;
    pthread_mutex_unlock(&output->lock);
}

/* Takes the object over; without it, or memory, says the event and that. */
static cb_error put_object(cb_output *output, json_t *object, const char *event)
{
    cb_buf text = CB_BUF(TEXT_MAX);
    cb_error error = cb_json_write(object, &text);
    cb_buf_put_u8(&text, '\n');
    error = error ? error : cb_buf_error(&text);
    if (error)
        put_short(output, event, error);
    else
        error = put(output, cb_buf_bytes(&text));
    cb_buf_free(&text);
    json_decref(object);
    return error;
}

void cb_output_object(cb_output *output, json_t *object) { put_object(output, object, "failed"); }

static cb_error put_text(cb_output *output, cb_buf *text, const char *event)
{
    cb_error error = cb_buf_error(text);
    if (error)
        put_short(output, event, error);
    else
        error = put(output, cb_buf_bytes(text));
    cb_buf_free(text);
    return error;
}

/* Text from outside must not act on a person's screen. */
static void add_plain(cb_buf *out, const char *text)
{
    while (text && *text) {
        uint32_t character = 0;
        size_t len = cb_utf8_read(text, &character);
        bool shown = len > 0 && !cb_utf8_acts(character);
        cb_buf_put(out, shown ? cb_bytes_make(text, len) : cb_bytes_str("?"));
        text += len ? len : 1;
    }
}

static const char *text_of(const json_t *root, const char *name)
{
    const char *text = json_string_value(json_object_get(root, name));
    return text ? text : "";
}

/* A reader's name is what its maker wrote into it. */
static json_t *json_text(const char *text)
{
    char plain[LINE_BYTES];
    json_t *exact = json_string(text);
    if (exact)
        return exact;
    cb_plain(plain, sizeof plain, text);
    return json_string(plain);
}

void cb_problem_line(const cb_problem *problem, char out[CB_PROBLEM_LINE])
{
    char tries[32] = "", after[40] = "", request[CB_ID_TEXT + 16] = "";
    if (problem->tries_left >= 0)
        snprintf(tries, sizeof tries, " %d %s left.", problem->tries_left,
                 problem->tries_left == 1 ? "try" : "tries");
    if (problem->retry_after >= 0)
        snprintf(after, sizeof after, " Try again in %d s.", problem->retry_after);
    if (problem->request[0])
        snprintf(request, sizeof request, ", request %s", problem->request);
    snprintf(out, CB_PROBLEM_LINE, "%s%s%s [%s%s]", problem->detail, tries, after, problem->code,
             request);
}

void cb_problem_print(FILE *stream, const cb_problem *problem)
{
    char line[CB_PROBLEM_LINE];
    cb_problem_line(problem, line);
    fprintf(stream, "%s\n", line);
}

static int add_problem(json_t *object, const cb_problem *problem)
{
    int rc = json_object_set_new(object, "code", json_string(problem->code));
    rc |= json_object_set_new(object, "detail", json_string(problem->detail));
    if (problem->request[0])
        rc |= json_object_set_new(object, "request", json_string(problem->request));
    if (problem->tries_left >= 0)
        rc |= json_object_set_new(object, "tries_left", json_integer(problem->tries_left));
    if (problem->retry_after >= 0)
        rc |= json_object_set_new(object, "retry_after", json_integer(problem->retry_after));
    return rc;
}

static json_t *event_object(const char *event, const char *reader, const cb_problem *problem)
{
    json_t *object = json_object();
    int rc = json_object_set_new(object, "event", json_string(event));
    if (reader)
        rc |= json_object_set_new(object, "reader", json_text(reader));
    if (problem)
        rc |= add_problem(object, problem);
    if (rc == 0)
        return object;
    json_decref(object);
    return NULL;
}

void cb_output_event(cb_output *output, const char *event, const char *reader, const char *words,
                     const cb_problem *problem)
{
    char name[CB_READER_NAME_MAX + 1], what[CB_PROBLEM_LINE] = "", line[LINE_BYTES];
    if (output->json) {
        json_t *object = event_object(event, reader, problem);
        if (object)
            put_object(output, object, event);
        else
            put_short(output, event, problem ? problem->error : CB_E_MEMORY);
        return;
    }
    cb_plain(name, sizeof name, reader);
    if (problem)
        cb_problem_line(problem, what);
    int len = snprintf(line, sizeof line, "%s%s%s%s%s\n", name, reader ? ": " : "", words,
                       problem ? ": " : "", what);
    put(output, cb_bytes_make(line, (size_t)len));
}

/* The file for a delivery, or "" for none. The session's name comes from outside: it must be an
 * identifier. */
static cb_error file_for(const cb_output *output, const json_t *result, char out[PATH_BYTES])
{
    cb_id session;
    char name[CB_ID_TEXT];
    int len = 0;
    out[0] = 0;
    if (output->file) {
        len = snprintf(out, PATH_BYTES, "%s", output->file);
    } else if (output->folder) {
        if (cb_id_parse(text_of(result, "session"), &session) != CB_OK)
            session = cb_id_random(); /* a delivery without a session has a file too */
        cb_id_text(&session, name);
        len = snprintf(out, PATH_BYTES, "%s/%s.json", output->folder, name);
    }
    return len < PATH_BYTES ? CB_OK : CB_E_TOO_LARGE;
}

static cb_error write_delivery(const char *path, const json_t *delivery)
{
    cb_buf text = CB_BUF(TEXT_MAX);
    cb_error error = cb_json_write(delivery, &text);
    cb_buf_put_u8(&text, '\n');
    if (!error)
        error = cb_buf_error(&text);
    if (!error)
        error = cb_file_replace(path, cb_buf_bytes(&text), 0600);
    cb_buf_free(&text);
    return error;
}

/* JSON that does not act on a person's screen, and is the same JSON. */
static cb_error add_plain_json(cb_buf *out, const json_t *value)
{
    cb_buf whole = CB_BUF(TEXT_MAX);
    cb_error error = cb_json_write(value, &whole);
    const char *text = error ? NULL : cb_buf_cstr(&whole);
    if (!error && !text)
        error = CB_E_MEMORY;
    while (text && *text) {
        uint32_t c = 0;
        size_t len = cb_utf8_read(text, &c);
        if (!cb_utf8_acts(c))
            cb_buf_put(out, cb_bytes_make(text, len));
        else if (c < 0x10000)
            cb_buf_printf(out, "\\u%04x", (unsigned)c);
        else
            cb_buf_printf(out, "\\u%04x\\u%04x", 0xD800 | (unsigned)(c - 0x10000) >> 10,
                          0xDC00 | ((unsigned)c & 0x3FF));
        text += len ? len : 1; /* it always is UTF-8 */
    }
    cb_buf_free(&whole);
    return error;
}

/* A URL or a token that is text as such, so that it can be used at once; anything else as JSON. */
static cb_error add_delivery(cb_buf *out, const json_t *delivery)
{
    const char *value = text_of(delivery, "url");
    cb_error error = CB_OK;
    if (!*value)
        value = text_of(delivery, "token");
    if (*value)
        add_plain(out, value);
    else
        error = add_plain_json(out, delivery);
    cb_buf_put_u8(out, '\n');
    return error;
}

static cb_error print_accepted(cb_output *output, const char *reader, const cb_tap_report *report,
                               const char *path)
{
    const json_t *delivery = json_object_get(report->result, "delivery");
    const char *service = text_of(report->result, "service");
    bool registered = strcmp(text_of(report->result, "outcome"), "registered") == 0;
    cb_error error = CB_OK;
    cb_buf text = CB_BUF(TEXT_MAX);
    add_plain(&text, reader);
    cb_buf_put_str(&text, registered        ? ": the card is registered and can be used"
                          : report->renewed ? ": accepted, with the card's new certificates"
                                            : ": accepted");
    const char *replaced = text_of(report->result, "replaces");
    if (registered && *replaced) {
        cb_buf_put_str(&text, "; it is in the place of card ");
        add_plain(&text, replaced);
        cb_buf_put_str(&text, ", which is over");
    }
    if (*service) {
        cb_buf_put_str(&text, " for ");
        add_plain(&text, service);
    }
    cb_buf_printf(&text, " (%lld ms)\n", (long long)(report->took / CB_MILLISECOND));
    if (*path)
        cb_buf_printf(&text, "delivery in %s\n", path);
    else if (json_is_object(delivery))
        error = add_delivery(&text, delivery);
    if (error) {
        put_short(output, "delivery.failed", error);
        cb_buf_free(&text);
        return error;
    }
    return put_text(output, &text, "delivery.failed");
}

static cb_error put_accepted(cb_output *output, const char *reader, const cb_tap_report *report,
                             const char *path)
{
    json_t *object = json_copy(report->result);
    /* jansson leaves out what it has no memory for. */
    int rc = json_object_size(object) == json_object_size(report->result) ? 0 : -1;
    json_object_del(object, "delivery_file"); /* is ours to say */
    if (*path) {
        json_object_del(object, "delivery");
        rc |= json_object_set_new(object, "delivery_file", json_text(path));
    }
    rc |= json_object_set_new(object, "event", json_string("tap.accepted"));
    rc |= json_object_set_new(object, "reader", json_text(reader));
    rc |= json_object_set_new(object, "took_ms", json_integer(report->took / CB_MILLISECOND));
    rc |= json_object_set_new(object, "prefetched", json_boolean(report->prefetched));
    if (report->renewed)
        rc |= json_object_set_new(object, "renewed", json_true());
    if (rc != 0) {
        json_decref(object);
        object = NULL;
    }
    return put_object(output, object, "delivery.failed");
}

static void put_refused(cb_output *output, const char *reader, const cb_tap_report *report)
{
    const char *words = report->card_ended ? "refused, and the card ended for good" : "refused";
    json_t *object = report->card_ended && output->json
                         ? event_object("tap.refused", reader, &report->problem)
                         : NULL;
    if (object && json_object_set_new(object, "card_ended", json_true()) == 0) {
        put_object(output, object, "tap.refused");
    } else {
        json_decref(object);
        cb_output_event(output, "tap.refused", reader, words, &report->problem);
    }
}

cb_error cb_output_tap(cb_output *output, const char *reader, const cb_tap_report *report)
{
    char path[PATH_BYTES] = "";
    if (report->problem.error) {
        put_refused(output, reader, report);
        return CB_OK;
    }
    const json_t *delivery = json_object_get(report->result, "delivery");
    cb_error error = CB_OK;
    if (json_is_object(delivery)) {
        error = file_for(output, report->result, path);
        if (!error && *path)
            error = write_delivery(path, delivery);
    }
    if (error) {
        cb_problem problem;
        cb_problem_set(&problem, error, "the tap was accepted, but its delivery was not stored");
        cb_output_event(output, "delivery.failed", reader, "accepted", &problem);
        return error;
    }
    return output->json ? put_accepted(output, reader, report, path)
                        : print_accepted(output, reader, report, path);
}

bool cb_reader_contactless(const cb_reader_info *info)
{
    cb_cursor atr = cb_cursor_over(cb_bytes_make(info->atr, info->atr_len));
    uint8_t initial = cb_cursor_u8(&atr);
    uint8_t format = cb_cursor_u8(&atr);
    uint8_t td1 = cb_cursor_u8(&atr);
    uint8_t td2 = cb_cursor_u8(&atr);
    return cb_cursor_ok(&atr) && initial == 0x3B && (format & 0xF0) == 0x80 && td1 == 0x80 &&
           td2 == 0x01;
}

static const char *state_of(const cb_reader_info *info)
{
    if (!info->present)
        return "empty";
    if (info->mute)
        return "card does not answer";
    return info->in_use ? "card in use by another program" : "card";
}

static json_t *reader_object(const cb_reader_info *info, const char *atr, const char *kind)
{
    return json_pack("{s:o,s:b,s:b,s:b,s:s,s:s?}", "reader", json_text(info->name), "card",
                     info->present, "mute", info->mute, "in_use", info->in_use, "atr", atr,
                     "interface", info->atr_len > 0 ? kind : NULL);
}

void cb_output_readers(cb_output *output, const cb_reader_list *list)
{
    char atr[2 * CB_ATR_MAX + 1];
    for (size_t i = 0; i < list->count; i++) {
        const cb_reader_info *info = &list->reader[i];
        cb_hex(cb_bytes_make(info->atr, info->atr_len), atr);
        const char *kind = cb_reader_contactless(info) ? "contactless" : "contact";
        if (output->json) {
            cb_output_object(output, reader_object(info, atr, kind));
            continue;
        }
        cb_buf text = CB_BUF(LINE_BYTES);
        add_plain(&text, info->name);
        cb_buf_printf(&text, ": %s", state_of(info));
        if (info->atr_len > 0)
            cb_buf_printf(&text, ", %s, ATR %s", kind, atr);
        cb_buf_put_u8(&text, '\n');
        put_text(output, &text, "failed");
    }
}

void cb_output_services(cb_output *output, const json_t *services)
{
    size_t i;
    const json_t *service;
    cb_buf text = CB_BUF(TEXT_MAX);
    if (output->json) {
        cb_output_object(output, json_pack("{s:O}", "services", services));
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)services, i, service)
    {
        add_plain(&text, text_of(service, "name"));
        cb_buf_put_str(&text, "  ");
        add_plain(&text, text_of(service, "title"));
        cb_buf_put_u8(&text, '\n');
    }
    put_text(output, &text, "failed");
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/output.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/text.h"

enum { PATH_BYTES = 4096 };

void cb_output_init(cb_output *output, FILE *stream, bool json)
{
    *output = (cb_output){.stream = stream, .json = json};
    pthread_mutex_init(&output->lock, NULL);
}

void cb_output_object(cb_output *output, json_t *object)
{
    if (!object)
        return;
    pthread_mutex_lock(&output->lock);
    json_dumpf(object, output->stream, JSON_COMPACT);
    fputc('\n', output->stream);
    fflush(output->stream);
    pthread_mutex_unlock(&output->lock);
    json_decref(object);
}

/* Text from outside must not move the cursor of a person's screen. */
static void put_plain(FILE *stream, const char *text)
{
    for (; text && *text; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text, stream);
}

static const char *text_of(const json_t *root, const char *name)
{
    const char *text = json_string_value(json_object_get(root, name));
    return text ? text : "";
}

void cb_problem_print(FILE *stream, const cb_problem *problem)
{
    put_plain(stream, problem->detail);
    if (problem->tries_left >= 0)
        fprintf(stream, " %d %s left.", problem->tries_left,
                problem->tries_left == 1 ? "try" : "tries");
    if (problem->retry_after >= 0)
        fprintf(stream, " Try again in %d s.", problem->retry_after);
    fputs(" [", stream);
    put_plain(stream, problem->code);
    if (problem->request[0]) {
        fputs(", request ", stream);
        put_plain(stream, problem->request);
    }
    fputs("]\n", stream);
}

static void add_problem(json_t *object, const cb_problem *problem)
{
    json_object_set_new(object, "code", json_string(problem->code));
    json_object_set_new(object, "detail", json_string(problem->detail));
    if (problem->request[0])
        json_object_set_new(object, "request", json_string(problem->request));
    if (problem->tries_left >= 0)
        json_object_set_new(object, "tries_left", json_integer(problem->tries_left));
    if (problem->retry_after >= 0)
        json_object_set_new(object, "retry_after", json_integer(problem->retry_after));
}

void cb_output_event(cb_output *output, const char *event, const char *reader, const char *words,
                     const cb_problem *problem)
{
    if (output->json) {
        json_t *object = json_pack("{s:s}", "event", event);
        if (object && reader)
            json_object_set_new(object, "reader", json_string(reader));
        if (object && problem)
            add_problem(object, problem);
        cb_output_object(output, object);
        return;
    }
    pthread_mutex_lock(&output->lock);
    if (reader) {
        put_plain(output->stream, reader);
        fputs(": ", output->stream);
    }
    fputs(words, output->stream);
    if (problem) {
        fputs(": ", output->stream);
        cb_problem_print(output->stream, problem);
    } else {
        fputc('\n', output->stream);
    }
    fflush(output->stream);
    pthread_mutex_unlock(&output->lock);
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

static int append(const char *text, size_t len, void *out)
{
    cb_buf_put(out, cb_bytes_make(text, len));
    return cb_buf_error(out) == CB_OK ? 0 : -1;
}

static cb_error write_delivery(const char *path, const json_t *delivery)
{
    cb_buf text = CB_BUF(CB_RELAY_BODY_MAX);
    json_dump_callback(delivery, append, &text, JSON_COMPACT);
    cb_buf_put_u8(&text, '\n');
    cb_error error = cb_buf_error(&text);
    if (!error)
        error = cb_file_replace(path, cb_buf_bytes(&text), 0600);
    cb_buf_free(&text);
    return error;
}

/* A URL or a token that is text as such, so that it can be used at once; anything else as JSON. */
static void print_delivery(FILE *stream, const json_t *delivery)
{
    const char *value = text_of(delivery, "url");
    if (!*value)
        value = text_of(delivery, "token");
    if (*value)
        put_plain(stream, value);
    else
        json_dumpf(delivery, stream, JSON_COMPACT);
    fputc('\n', stream);
}

static void print_accepted(cb_output *output, const char *reader, const cb_tap_report *report,
                           const char *path)
{
    const json_t *delivery = json_object_get(report->result, "delivery");
    const char *service = text_of(report->result, "service");
    pthread_mutex_lock(&output->lock);
    put_plain(output->stream, reader);
    fputs(": accepted", output->stream);
    if (*service) {
        fputs(" for ", output->stream);
        put_plain(output->stream, service);
    }
    fprintf(output->stream, " (%lld ms)\n", (long long)(report->took / CB_MILLISECOND));
    if (*path)
        fprintf(output->stream, "%s\n", path);
    else if (json_is_object(delivery))
        print_delivery(output->stream, delivery);
    fflush(output->stream);
    pthread_mutex_unlock(&output->lock);
}

static void put_accepted(cb_output *output, const char *reader, const cb_tap_report *report,
                         const char *path)
{
    json_t *object = json_copy(report->result);
    if (!object)
        return;
    if (*path) {
        json_object_del(object, "delivery");
        json_object_set_new(object, "delivery_file", json_string(path));
    }
    json_object_set_new(object, "event", json_string("tap.accepted"));
    json_object_set_new(object, "reader", json_string(reader));
    json_object_set_new(object, "took_ms", json_integer(report->took / CB_MILLISECOND));
    json_object_set_new(object, "prefetched", json_boolean(report->prefetched));
    cb_output_object(output, object);
}

cb_error cb_output_tap(cb_output *output, const char *reader, const cb_tap_report *report)
{
    char path[PATH_BYTES] = "";
    if (report->problem.error) {
        cb_output_event(output, "tap.refused", reader, "refused", &report->problem);
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
    } else if (output->json) {
        put_accepted(output, reader, report, path);
    } else {
        print_accepted(output, reader, report, path);
    }
    return error;
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

void cb_output_readers(cb_output *output, const cb_reader_list *list)
{
    char atr[2 * CB_ATR_MAX + 1];
    for (size_t i = 0; i < list->count; i++) {
        const cb_reader_info *info = &list->reader[i];
        cb_hex(cb_bytes_make(info->atr, info->atr_len), atr);
        const char *kind = cb_reader_contactless(info) ? "contactless" : "contact";
        if (output->json) {
            cb_output_object(output,
                             json_pack("{s:s,s:b,s:b,s:b,s:s,s:s?}", "reader", info->name, "card",
                                       info->present, "mute", info->mute, "in_use", info->in_use,
                                       "atr", atr, "interface", info->atr_len > 0 ? kind : NULL));
            continue;
        }
        put_plain(output->stream, info->name);
        fprintf(output->stream, ": %s", state_of(info));
        if (info->atr_len > 0)
            fprintf(output->stream, ", %s, ATR %s", kind, atr);
        fputc('\n', output->stream);
    }
}

void cb_output_services(cb_output *output, const json_t *services)
{
    size_t i;
    const json_t *service;
    if (output->json) {
        cb_output_object(output, json_pack("{s:O}", "services", services));
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)services, i, service)
    {
        put_plain(output->stream, text_of(service, "name"));
        fputs("  ", output->stream);
        put_plain(output->stream, text_of(service, "title"));
        fputc('\n', output->stream);
    }
}

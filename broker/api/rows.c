/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/text.h"
#include "connectors/client.h"

enum { OWN_FIELDS = 4, LIMIT_DEFAULT = 100 };

json_t *cb_json_id(const cb_id *id)
{
    char text[CB_ID_TEXT];
    cb_id_text(id, text);
    return json_string(text);
}

json_t *cb_json_id_or_null(const cb_id *id)
{
    return cb_id_is_zero(id) ? json_null() : cb_json_id(id);
}

json_t *cb_json_time(int64_t wall_us)
{
    char text[CB_TIME_TEXT];
    cb_time_text(wall_us, text);
    return json_string(text);
}

json_t *cb_json_hex(cb_bytes bytes)
{
    char *text = malloc(2 * bytes.len + 1);
    json_t *json = NULL;
    if (text) {
        cb_hex(bytes, text);
        json = json_string(text);
    }
    free(text);
    return json;
}

cb_error cb_api_day(cb_reply *reply, const char *day, int64_t *end)
{
    *end = 0;
    if (day && !cb_day_end(day, end))
        return cb_reply_fail(reply, CB_E_ARGUMENT, "A day must be one after 1970, as 2031-03-31.");
    return CB_OK;
}

/* null where there is nothing. */
static json_t *hex_or_null(const cb_buf *buf)
{
    return buf->len > 0 ? cb_json_hex(cb_buf_bytes(buf)) : json_null();
}

/* A stored JSON object. What does not parse any more is shown as null rather than hiding the row.
 * NULL: no memory, which is something else. */
static json_t *stored_object(const cb_buf *buf)
{
    json_t *json = cb_json_load(cb_buf_bytes(buf), 0, NULL);
    return json || errno == ENOMEM ? json : json_null();
}

json_t *cb_json_holder(const cb_holder *holder)
{
    return json_pack("{so, ss, so}", "id", cb_json_id(&holder->id), "name", holder->name, "created",
                     cb_json_time(holder->created));
}

static json_t *time_or_null(int64_t wall_us)
{
    return wall_us > 0 ? cb_json_time(wall_us) : json_null();
}

json_t *cb_json_card(const cb_card *card)
{
    return json_pack("{so, so, ss, si, si, sI, so, so, so, so, so, so}", "id", cb_json_id(&card->id),
                     "holder", cb_json_id(&card->holder), "state", cb_card_state_name(card->state),
                     "profile", (int)card->profile, "level", (int)card->level, "sequence",
                     (json_int_t)card->sequence, "created", cb_json_time(card->created), "changed",
                     cb_json_time(card->changed), "expires", time_or_null(card->expires), "own_expires",
                     time_or_null(card->own_expires), "due", time_or_null(card->due), "generation",
                     card->generation > 0 ? json_integer(card->generation) : json_null());
}

static json_t *services_of(const cb_terminal *terminal)
{
    json_t *list = terminal->all_services ? json_null() : json_array();
    for (unsigned i = 0; list && !terminal->all_services && i < terminal->service_count; i++) {
        if (json_array_append_new(list, json_string(terminal->services[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

json_t *cb_json_terminal(const cb_terminal *terminal)
{
    bool has_key = terminal->state != CB_TERMINAL_REGISTERED;
    json_t *key = has_key ? cb_json_hex(cb_digest_bytes(&terminal->key)) : json_null();
    json_t *expires = terminal->expires ? cb_json_time(terminal->expires) : json_null();
    return json_pack("{so, ss, ss?, sb, ss, so, so, so, si, sb, so, so}", "id",
                     cb_json_id(&terminal->id), "name", terminal->name, "kind",
                     cb_terminal_kind_name(terminal->kind), "pin_pad", (int)terminal->pad, "state", cb_terminal_state_name(terminal->state),
                     "key", key, "expires", expires, "services", services_of(terminal), "rate",
                     (int)terminal->rate, "passwords", (int)terminal->passwords, "created",
                     cb_json_time(terminal->created), "changed", cb_json_time(terminal->changed));
}

static const char *const kind_names[] = {
    [CB_SESSION_TOKEN] = "token",
    [CB_SESSION_URL] = "url",
    [CB_SESSION_COOKIES] = "cookies",
    [CB_SESSION_RELAYED] = "relayed",
};
enum { KINDS = sizeof kind_names / sizeof *kind_names };

const char *cb_session_kind_name(uint8_t kind) { return kind < KINDS ? kind_names[kind] : NULL; }

cb_error cb_session_kind_parse(const char *name, uint8_t *out)
{
    for (uint8_t kind = 1; kind < KINDS; kind++) {
        if (strcmp(name, kind_names[kind]) == 0) {
            *out = kind;
            return CB_OK;
        }
    }
    return CB_E_ARGUMENT;
}

/* null: any. */
static json_t *kinds_of(const cb_service *service)
{
    json_t *list = service->kinds ? json_array() : json_null();
    for (uint8_t kind = 1; list && kind <= CB_TERMINAL_PERSONAL; kind++) {
        if (service->kinds & (1U << kind) &&
            json_array_append_new(list, json_string(cb_terminal_kind_name(kind))) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

json_t *cb_json_service(const cb_service *service)
{
    return json_pack(
        "{ss, ss, ss, so, si, so, sb, sb, s{ss?, sI, sI}, so, so}", "name", service->name, "title",
        service->title, "connector", service->connector, "config", stored_object(&service->config),
        "level", (int)service->level, "terminals", kinds_of(service), "pin_pad",
        (int)service->pad, "certificate", (int)service->certificate, "session", "kind",
        cb_session_kind_name(service->kind), "life", (json_int_t)(service->life / CB_SECOND),
        "idle", (json_int_t)(service->idle / CB_SECOND), "created", cb_json_time(service->created),
        "changed", cb_json_time(service->changed));
}

static json_t *key_json(const cb_enrolment_key *key)
{
    if (cb_id_is_zero(&key->id))
        return json_null();
    return json_pack("{so, ss?, si, sI, so, so}", "id", cb_json_id(&key->id), "algorithm",
                     cb_key_algorithm_name(key->algorithm), "level", (int)key->level, "sequence",
                     (json_int_t)key->sequence, "public_key", hex_or_null(&key->public_key),
                     "certificate", hex_or_null(&key->certificate));
}

json_t *cb_json_enrolment(const cb_enrolment *enrolment)
{
    return json_pack("{so, so, ss, ss, so, so, so, so, so}", "id", cb_json_id(&enrolment->id),
                     "holder", cb_json_id(&enrolment->holder), "service", enrolment->service,
                     "state", cb_enrolment_state_name(enrolment->state), "data",
                     stored_object(&enrolment->data), "key", key_json(&enrolment->current),
                     "next_key", key_json(&enrolment->next), "created",
                     cb_json_time(enrolment->created), "changed", cb_json_time(enrolment->changed));
}

cb_error cb_page_read(cb_request *request, cb_reply *reply, bool by_name, const cb_field *own,
                      size_t own_count, cb_page *page)
{
    *page = (cb_page){.name = "", .limit = LIMIT_DEFAULT};
    cb_field fields[OWN_FIELDS + 2] = {
        {"after", by_name ? CB_FIELD_TEXT : CB_FIELD_ID, false, CB_SERVICE_NAME_MAX,
         by_name ? (void *)&page->name : (void *)&page->after},
        {"limit", CB_FIELD_NUMBER, false, CB_PAGE_LIMIT, &page->limit},
    };
    for (size_t i = 0; i < own_count && i < OWN_FIELDS; i++)
        fields[i + 2] = own[i];
    cb_error error = cb_request_query(request, reply, fields, own_count + 2);
    if (!error && page->limit == 0)
        error = cb_reply_fail(reply, CB_E_ARGUMENT, "limit must be at least 1.");
    if (!error && !(page->rows = json_array()))
        error = CB_E_MEMORY;
    return error;
}

cb_error cb_page_add(cb_page *page, json_t *row)
{
    return row && json_array_append_new(page->rows, row) == 0 ? CB_OK : CB_E_MEMORY;
}

cb_error cb_page_reply(cb_reply *reply, cb_page *page, const char *what, const char *key,
                       cb_error error)
{
    size_t count = json_array_size(page->rows);
    json_t *next = NULL;
    if (count > 0 && (int64_t)count == page->limit)
        next = json_incref(json_object_get(json_array_get(page->rows, count - 1), key));
    if (!error)
        error = cb_reply_json(reply, 200, json_pack("{sO, so*}", what, page->rows, "next", next));
    else
        json_decref(next);
    json_decref(page->rows);
    page->rows = NULL;
    return error;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a request brings: a JSON body read by a table of fields, a path against the route table, a
 * browser's cookies and host name at the relay.
 */
#include <stdlib.h>

#include "broker/api/relay_rules.h"
#include "broker/http/json.h"
#include "broker/http/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_body(cb_bytes bytes)
{
    const char *name = NULL;
    int64_t number = 0;
    bool truth = false;
    cb_id id;
    json_t *object = NULL, *list = NULL, *inner = NULL;
    cb_buf hex = CB_BUF(64), why = CB_BUF(1024);
    const cb_field fields[] = {{"name", CB_FIELD_TEXT, false, 16, &name},
                               {"id", CB_FIELD_ID, false, 0, &id},
                               {"hex", CB_FIELD_HEX, false, 64, &hex},
                               {"number", CB_FIELD_NUMBER, false, 1000, &number},
                               {"truth", CB_FIELD_TRUTH, false, 0, &truth},
                               {"object", CB_FIELD_OBJECT, false, 0, &inner},
                               {"list", CB_FIELD_LIST, false, 4, &list}};
    if (cb_json_read(bytes, &object, &why) == CB_OK) {
        cb_buf_reset(&why);
        if (cb_fields_read(object, fields, sizeof fields / sizeof *fields, &why) == CB_OK &&
            (number < 0 || number > 1000 || (name && (strlen(name) == 0 || strlen(name) > 16)) ||
             json_array_size(list) > 4))
            abort();
        json_decref(object);
    }
    cb_buf_free(&hex);
    cb_buf_free(&why);
}

static void find_route(const char *path)
{
    static const cb_route routes[] = {
        {"GET", "/v1/holders", CB_ROLE_ANYBODY, NULL, 0, false},
        {"GET", "/v1/holders/{id}", CB_ROLE_ANYBODY, NULL, 0, false},
        {"POST", "/v1/taps/{tap}/proof", CB_ROLE_ANYBODY, NULL, 0, false},
        {"PUT", "/v1/services/{name}", CB_ROLE_ANYBODY, NULL, 0, false},
    };
    cb_peer peer = {.connection = 1};
    cb_match match;
    cb_route_match(routes, sizeof routes / sizeof *routes, "GET", path, &peer, &match);
    if (!match.route && match.error == CB_OK)
        abort();
}

static void read_relay(const char *text)
{
    char label[CB_SESSION_LABEL], secret[CB_SESSION_SECRET];
    cb_buf rest = CB_BUF(2 * strlen(text) + 16);
    cb_relay_label(text, "relay.localhost", label);
    cb_relay_forwards(text, text);
    cb_relay_take_cookie(text, secret, &rest);
    const char *others = cb_buf_cstr(&rest);
    /* However the cookies were written, ours is not among those that go on. */
    if (others && strncmp(others, CB_RELAY_COOKIE "=", sizeof CB_RELAY_COOKIE) == 0)
        abort();
    cb_buf_free(&rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_buf text = CB_BUF(size + 1);
    read_body(cb_bytes_make(data, size));
    cb_buf_put(&text, cb_bytes_make(data, size));
    const char *string = cb_buf_cstr(&text);
    if (string) {
        find_route(string);
        read_relay(string);
    }
    cb_buf_free(&text);
    return 0;
}

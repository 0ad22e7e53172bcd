/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/route.h"

#include <stdio.h>

/* Length of a path's next part. */
static size_t part(const char *path) { return strcspn(path, "/"); }

/* Whether a pattern fits, whatever the values of its parameters. */
static bool fits(const char *pattern, const char *path)
{
    for (;;) {
        size_t want = part(pattern);
        size_t have = part(path);
        bool parameter = pattern[0] == '{';
        if (parameter ? have == 0 : want != have || memcmp(pattern, path, want) != 0)
            return false;
        pattern += want;
        path += have;
        if (*pattern != *path)
            return false;
        if (!*pattern)
            return true;
        pattern++;
        path++;
    }
}

static bool read_parameter(const char *name, const char *value, size_t length, cb_parameter *out)
{
    char text[CB_SERVICE_NAME_MAX + 1] = {0};
    *out = (cb_parameter){.name = name};
    if (length >= sizeof text)
        return false;
    memcpy(text, value, length);
    if (strncmp(name, "name}", 5) != 0)
        return cb_id_parse(text, &out->id) == CB_OK;
    memcpy(out->text, text, sizeof text);
    return cb_service_name_ok(text);
}

static void read_parameters(const char *pattern, const char *path, cb_match *match)
{
    for (;;) {
        size_t want = part(pattern);
        size_t have = part(path);
        if (pattern[0] == '{' && match->parameter_count < CB_ROUTE_PARAMETERS) {
            cb_parameter *parameter = &match->parameters[match->parameter_count++];
            if (!read_parameter(pattern + 1, path, have, parameter) && !match->error) {
                match->error = CB_E_ARGUMENT;
                match->bad_parameter = pattern + 1;
            }
        }
        if (!pattern[want])
            return;
        pattern += want + 1;
        path += have + 1;
    }
}

static bool answers(const cb_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static bool open_to(const cb_route *route, const cb_peer *peer)
{
    switch (route->role) {
    case CB_ROLE_ANYBODY:
        return true;
    case CB_ROLE_TERMINAL:
        return peer->kind == CB_PEER_NETWORK && peer->has_key;
    case CB_ROLE_ADMINISTRATOR:
        return peer->kind == CB_PEER_LOCAL;
    }
    return false;
}

static void allow(cb_match *match, const char *method)
{
    size_t used = strlen(match->allow);
    if (!strstr(match->allow, method))
        snprintf(match->allow + used, sizeof match->allow - used, "%s%s", used ? ", " : "", method);
}

/* Why a route that is there is not open to a peer: somebody without a name may get in with one. */
static cb_error refusal(const cb_route *route, const cb_peer *peer)
{
    return route->role == CB_ROLE_TERMINAL && peer->kind == CB_PEER_NETWORK ? CB_E_UNAUTHENTICATED
                                                                            : CB_E_DENIED;
}

void cb_route_match(const cb_route *routes, size_t count, const char *method, const char *path,
                    const cb_peer *peer, cb_match *out)
{
    *out = (cb_match){.error = CB_E_NOT_FOUND};
    for (size_t i = 0; i < count; i++) {
        const cb_route *route = &routes[i];
        if (!fits(route->pattern, path))
            continue;
        allow(out, route->method);
        if (strcmp(route->method, "GET") == 0)
            allow(out, "HEAD");
        if (!answers(route, method)) {
            if (out->error == CB_E_NOT_FOUND)
                out->error = CB_E_METHOD;
            continue;
        }
        if (open_to(route, peer)) {
            out->error = CB_OK;
            out->route = route;
            read_parameters(route->pattern, path, out);
            return;
        }
        if (out->error != CB_E_UNAUTHENTICATED)
            out->error = refusal(route, peer);
    }
}

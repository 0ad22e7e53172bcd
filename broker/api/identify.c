/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <arpa/inet.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/api/api.h"

static cb_error identify_terminal(cb_request *request)
{
    cb_terminal *terminal = malloc(sizeof *terminal);
    if (!terminal)
        return CB_E_MEMORY;
    request->identity = terminal;
    cb_store *store = cb_api_of(request)->store;
    const cb_digest *key = &request->peer.key;
    cb_error error = request->match.route->handler == cb_api_terminal_end
                         ? cb_terminal_find_ending(store, key, terminal)
                         : cb_terminal_find(store, key, terminal);
    if (!error)
        request->terminal = terminal->id;
    return error;
}

static bool is_plain(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if (name[i] < 0x21 || name[i] > 0x7E)
            return false;
    return length > 0 && length < CB_ACTOR;
}

static void name_user(cb_request *request)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char text[4096];
    if (getpwuid_r(request->peer.uid, &entry, text, sizeof text, &found) == 0 && found &&
        is_plain(found->pw_name))
        snprintf(request->actor, sizeof request->actor, "%s", found->pw_name);
    else
        snprintf(request->actor, sizeof request->actor, "uid:%u", request->peer.uid);
}

cb_error cb_api_identify(cb_request *request, cb_reply *reply)
{
    (void)reply;
    switch (request->match.route->role) {
    case CB_ROLE_ANYBODY:
        return CB_OK;
    case CB_ROLE_TERMINAL:
        return identify_terminal(request);
    case CB_ROLE_ADMINISTRATOR:
        name_user(request);
        return CB_OK;
    }
    return CB_E_DENIED;
}

cb_error cb_api_stranger(const cb_request *request, const char *what)
{
    const cb_api *api = cb_api_of(request);
    const char *text = request->peer.address;
    struct in6_addr address;
    bool v6 = inet_pton(AF_INET6, text, &address) == 1;
    cb_bytes from = v6 ? cb_bytes_make(&address, 8) : cb_bytes_str(text);
    cb_digest who = cb_sha256_parts((cb_bytes[]){cb_bytes_str(what), CB_BYTES_OF(":"), from}, 3);
    cb_id id;
    memcpy(id.bytes, who.bytes, sizeof id.bytes);
    return cb_rate_take(api->activations, &id, api->activations_each);
}

void cb_api_cut(cb_api *api, const cb_affected *affected, const cb_session_match *match,
                const char *why)
{
    cb_sessions_cut(api->sessions, match, why);
    for (size_t i = 0; i < affected->session_count; i++) {
        cb_session_match one = {.session = affected->sessions[i]};
        cb_sessions_cut(api->sessions, &one, why);
    }
    cb_watch_feed(api->watch);
}

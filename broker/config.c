/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/config.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/config.h"
#include "broker/status/url.h"

static cfg_opt_t listen_options[] = {
    CFG_STR("address", "127.0.0.1", CFGF_NONE),
    CFG_INT("port", 8443, CFGF_NONE),
    CFG_STR("certificate", NULL, CFGF_NODEFAULT),
    CFG_STR("key", NULL, CFGF_NODEFAULT),
    CFG_END(),
};

static cfg_opt_t relay_options[] = {
    CFG_STR("domain", "relay.localhost", CFGF_NONE),
    CFG_INT("port", 0, CFGF_NONE),
    CFG_STR("certificate", NULL, CFGF_NODEFAULT),
    CFG_STR("key", NULL, CFGF_NODEFAULT),
    CFG_END(),
};

static cfg_opt_t limit_options[] = {
    CFG_INT("connections", 4096, CFGF_NONE),
    CFG_INT("connections-per-address", 1024, CFGF_NONE),
    CFG_INT("handshakes", 256, CFGF_NONE),
    CFG_INT("handshake-seconds", 5, CFGF_NONE),
    CFG_INT("idle-seconds", 120, CFGF_NONE),
    CFG_INT("request-seconds", 15, CFGF_NONE),
    CFG_INT("request-bytes-per-second", 512, CFGF_NONE),
    CFG_INT("taps", 4096, CFGF_NONE),
    CFG_INT("sessions", 1024, CFGF_NONE),
    CFG_INT("relayed-requests", 256, CFGF_NONE),
    CFG_INT("login-seconds", 15, CFGF_NONE),
    CFG_INT("logins-per-service", 8, CFGF_NONE),
    CFG_INT("stop-seconds", 20, CFGF_NONE),
    CFG_INT("activations", 120, CFGF_NONE),
    CFG_INT("activations-per-address", 10, CFGF_NONE),
    CFG_END(),
};

static cfg_opt_t issuer_options[] = {
    CFG_STR("certificate", NULL, CFGF_NODEFAULT),
    CFG_STR_LIST("crl", NULL, CFGF_NONE),
    CFG_STR("ocsp", NULL, CFGF_NODEFAULT),
    CFG_END(),
};

static cfg_opt_t status_options[] = {
    CFG_INT("clock-skew-seconds", 300, CFGF_NONE),
    CFG_INT("crl-hours", 168, CFGF_NONE),
    CFG_INT("ocsp-hours", 24, CFGF_NONE),
    CFG_INT("refresh-minutes", 60, CFGF_NONE),
    CFG_INT("wait-milliseconds", 1500, CFGF_NONE),
    CFG_INT("fetch-seconds", 30, CFGF_NONE),
    CFG_INT("crl-megabytes", 64, CFGF_NONE),
    CFG_INT("answers", 4096, CFGF_NONE),
    CFG_INT("ocsp-connections", 2, CFGF_NONE),
    CFG_BOOL("nonce", cfg_false, CFGF_NONE),
    CFG_END(),
};

static cfg_opt_t card_options[] = {
    CFG_INT("return-days", 0, CFGF_NONE),
    CFG_INT("renewal-days", 0, CFGF_NONE),
    CFG_STR("applications", "optional", CFGF_NONE),
    CFG_STR("stock", "optional", CFGF_NONE),
    CFG_END(),
};

static cfg_opt_t terminal_options[] = {
    CFG_STR("software", "off", CFGF_NONE),
    CFG_INT("maintenance-minutes", 480, CFGF_NONE),
    CFG_END(),
};

static cfg_opt_t failure_options[] = {
    CFG_INT("wrong-pins-in-a-row", 10, CFGF_NONE),
    CFG_INT("wrong-pins-a-day", 20, CFGF_NONE),
    CFG_INT("claims-a-day", 10, CFGF_NONE),
    CFG_INT("terminal-minutes", 60, CFGF_NONE),
    CFG_INT("terminal-of-one-card", 3, CFGF_NONE),
    CFG_INT("terminal-slow", 15, CFGF_NONE),
    CFG_INT("terminal-slow-rate", 6, CFGF_NONE),
    CFG_INT("terminal-stop", 60, CFGF_NONE),
    CFG_END(),
};

static cfg_opt_t options[] = {
    CFG_STR("user", NULL, CFGF_NODEFAULT),
    CFG_STR("run", "/run/cardbroker", CFGF_NONE),
    CFG_STR("state", "/var/lib/cardbroker", CFGF_NONE),
    CFG_STR("database", "cardbroker.db", CFGF_NONE),
    CFG_SEC("listen", listen_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_SEC("relay", relay_options, CFGF_NONE),
    CFG_SEC("limits", limit_options, CFGF_NONE),
    CFG_SEC("card-issuer", issuer_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_SEC("status", status_options, CFGF_NONE),
    CFG_SEC("cards", card_options, CFGF_NONE),
    CFG_SEC("terminals", terminal_options, CFGF_NONE),
    CFG_SEC("failures", failure_options, CFGF_NONE),
    CFG_STR_LIST("administrators", NULL, CFGF_NONE),
    CFG_INT("workers", 16, CFGF_NONE),
    CFG_INT("queue", 256, CFGF_NONE),
    CFG_INT("http-threads", 2, CFGF_NONE),
    CFG_INT("checkpoint-leaves", 262144, CFGF_NONE),
    CFG_STR("log-level", "info", CFGF_NONE),
    CFG_BOOL("sandbox", cfg_true, CFGF_NONE),
    CFG_END(),
};

typedef struct reading {
    const char *path;
    cb_broker_config *out;
    cb_buf *why;
    cb_error error; /* the first */
} reading;

static void wrong(reading *r, const char *name, const char *what)
{
    if (r->error)
        return;
    cb_buf_printf(r->why, "%s: %s: %s", r->path, name, what);
    r->error = CB_E_CONFIG;
}

static unsigned number(reading *r, cfg_t *section, const char *name, long least, long most)
{
    char what[80];
    long value = cfg_getint(section, name);
    if (value >= least && value <= most)
        return (unsigned)value;
    snprintf(what, sizeof what, "must be from %ld to %ld", least, most);
    wrong(r, name, what);
    return (unsigned)least;
}

static const char *needed(reading *r, cfg_t *section, const char *name)
{
    const char *text = cfg_getstr(section, name);
    if (text && text[0])
        return text;
    wrong(r, name, "is missing");
    return "";
}

/* One that is always there; but looking for it takes memory. */
static cfg_t *section_of(reading *r, const char *name)
{
    cfg_t *section = cfg_getsec(r->out->file, name);
    if (!section)
        r->error = CB_E_MEMORY;
    return section;
}

static void read_relay(reading *r, cb_tls_entry *entry)
{
    cfg_t *section = section_of(r, "relay");
    if (!section)
        return;
    const char *domain = needed(r, section, "domain");
    const char *certificate = cfg_getstr(section, "certificate");
    if (strlen(domain) > 200)
        wrong(r, "relay.domain", "is too long");
    else
        snprintf(r->out->relay_pattern, sizeof r->out->relay_pattern, "*.%s", domain);
    r->out->relay_domain = domain;
    r->out->relay_port = number(r, section, "port", 0, 65535);
    entry->name = r->out->relay_pattern;
    if (certificate)
        *entry = (cb_tls_entry){entry->name, certificate, needed(r, section, "key"), false};
}

static void read_listener(reading *r, cfg_t *section, const cb_tls_entry *relay)
{
    cb_broker_listener *listener = &r->out->listeners[r->out->listener_count++];
    listener->address = needed(r, section, "address");
    listener->port = (uint16_t)number(r, section, "port", 0, 65535);
    listener->entries[0] =
        (cb_tls_entry){"", needed(r, section, "certificate"), needed(r, section, "key"), true};
    listener->entry_count = 1;
    /* Without a certificate of its own the relay domain shows the listener's, and still asks
     * browsers for none. */
    listener->entries[listener->entry_count] = *relay;
    if (!relay->certificate) {
        listener->entries[1] = listener->entries[0];
        listener->entries[1].name = relay->name;
        listener->entries[1].ask = false;
    }
    listener->entry_count = 2;
}

static void read_listeners(reading *r)
{
    cb_tls_entry relay = {0};
    unsigned count = cfg_size(r->out->file, "listen");
    read_relay(r, &relay);
    if (count == 0)
        wrong(r, "listen", "at least one section is needed");
    if (count > CB_CONFIG_LISTENERS)
        wrong(r, "listen", "there are more than 8 sections");
    for (unsigned i = 0; i < count && i < CB_CONFIG_LISTENERS; i++)
        read_listener(r, cfg_getnsec(r->out->file, "listen", i), &relay);
    if (r->out->relay_port == 0 && count > 0)
        r->out->relay_port = r->out->listeners[0].port;
}

static void read_limits(reading *r)
{
    cb_broker_config *out = r->out;
    cfg_t *section = section_of(r, "limits");
    if (!section)
        return;
    out->limits = (cb_limits){
        .connections = number(r, section, "connections", 1, 100000),
        .handshakes = number(r, section, "handshakes", 1, 100000),
        .per_address = number(r, section, "connections-per-address", 1, 100000),
        .handshake_time = number(r, section, "handshake-seconds", 1, 60) * CB_SECOND,
        .idle_time = number(r, section, "idle-seconds", 5, 3600) * CB_SECOND,
        .request_grace = number(r, section, "request-seconds", 1, 600) * CB_SECOND,
        .request_rate = number(r, section, "request-bytes-per-second", 1, 1000000),
        .close_time = 2 * CB_SECOND,
    };
    out->taps = number(r, section, "taps", 1, 1000000);
    out->sessions = number(r, section, "sessions", 1, 100000);
    out->streams = number(r, section, "relayed-requests", 1, 10000);
    out->logins_per_service = number(r, section, "logins-per-service", 1, 256);
    out->login_deadline = number(r, section, "login-seconds", 1, 60) * CB_SECOND;
    out->activations = number(r, section, "activations", 1, 100000);
    out->activations_each = number(r, section, "activations-per-address", 1, 100000);
    out->stop_time = number(r, section, "stop-seconds", 1, 300) * CB_SECOND;
}

static void check_url(reading *r, const char *name, const char *url)
{
    cb_url parsed;
    if (cb_url_parse(url, &parsed) != CB_OK)
        wrong(r, name, "must be http://HOST[:PORT]/PATH");
}

static void read_issuer(reading *r, cfg_t *section)
{
    cb_broker_issuer *issuer = &r->out->issuers[r->out->issuer_count++];
    unsigned lists = cfg_size(section, "crl");
    const char *responder = cfg_getstr(section, "ocsp");
    issuer->name = cfg_title(section);
    issuer->certificate = needed(r, section, "certificate");
    if (lists > CB_STATUS_LISTS_MAX)
        wrong(r, "crl", "there are more than 8");
    for (unsigned i = 0; i < lists && i < CB_STATUS_LISTS_MAX; i++) {
        issuer->lists[issuer->list_count++] = cfg_getnstr(section, "crl", i);
        check_url(r, "crl", issuer->lists[i]);
    }
    if (responder && responder[0]) {
        issuer->responder = responder;
        check_url(r, "ocsp", responder);
    }
    if (lists == 0 && !issuer->responder)
        wrong(r, "card-issuer", "needs crl, ocsp or both");
}

static void read_status(reading *r)
{
    cfg_t *section = section_of(r, "status");
    unsigned count = cfg_size(r->out->file, "card-issuer");
    if (!section)
        return;
    if (count > CB_STATUS_ISSUERS_MAX)
        wrong(r, "card-issuer", "there are more than 16 sections");
    for (unsigned i = 0; i < count && i < CB_STATUS_ISSUERS_MAX; i++)
        read_issuer(r, cfg_getnsec(r->out->file, "card-issuer", i));
    int64_t skew = number(r, section, "clock-skew-seconds", 0, 3600);
    r->out->status = (cb_status_config){
        .list_limits = {skew, number(r, section, "crl-hours", 1, 8784) * INT64_C(3600)},
        .answer_limits = {skew, number(r, section, "ocsp-hours", 1, 8784) * INT64_C(3600)},
        .refresh = number(r, section, "refresh-minutes", 1, 10080) * INT64_C(60),
        .wait = number(r, section, "wait-milliseconds", 1, 10000) * CB_MILLISECOND,
        .fetch_time = number(r, section, "fetch-seconds", 1, 600) * CB_SECOND,
        .list_size = (size_t)number(r, section, "crl-megabytes", 1, 512) << 20,
        .answers = number(r, section, "answers", 8, 1000000),
        .connections = number(r, section, "ocsp-connections", 1, CB_STATUS_CONNECTIONS_MAX),
        .nonce = cfg_getbool(section, "nonce"),
    };
}

static unsigned one_of(reading *r, cfg_t *section, const char *name, const char *const *words)
{
    const char *given = cfg_getstr(section, name);
    for (unsigned i = 0; given && words[i]; i++) {
        if (strcmp(given, words[i]) == 0)
            return i;
    }
    wrong(r, name, "is none of the words that it may be");
    return 0;
}

static void read_cards(reading *r)
{
    static const char *const demands[] = {"optional", "native", "required", NULL};
    static const char *const needs[] = {"optional", "required", NULL};
    cfg_t *section = section_of(r, "cards");
    if (!section)
        return;
    r->out->return_time =
        number(r, section, "return-days", 0, 3660) * INT64_C(24) * 3600 * CB_SECOND;
    r->out->renewal = number(r, section, "renewal-days", 0, 366) * INT64_C(24) * 3600 * CB_SECOND;
    r->out->rules.applications = one_of(r, section, "applications", needs) == 1;
    r->out->rules.stock = (uint8_t)one_of(r, section, "stock", demands);
}

static void read_terminals(reading *r)
{
    static const char *const policies[] = {"off", "report", "enforce", NULL};
    cfg_t *section = section_of(r, "terminals");
    if (!section)
        return;
    r->out->software = (uint8_t)one_of(r, section, "software", policies);
    r->out->maintenance = number(r, section, "maintenance-minutes", 1, 10080) * 60 * CB_SECOND;
}

/* The defaults are those of core/failures.c. */
static void read_failures(reading *r)
{
    cfg_t *section = section_of(r, "failures");
    if (!section)
        return;
    r->out->failures = (cb_failure_limits){
        .pins_in_row = number(r, section, "wrong-pins-in-a-row", 0, 1000000),
        .pins_a_day = number(r, section, "wrong-pins-a-day", 0, 1000000),
        .claims_a_day = number(r, section, "claims-a-day", 0, 1000000),
        .window = number(r, section, "terminal-minutes", 1, 1440) * 60 * CB_SECOND,
        .of_one_card = number(r, section, "terminal-of-one-card", 0, 1000000),
        .slow = number(r, section, "terminal-slow", 0, 1000000),
        .slow_rate = number(r, section, "terminal-slow-rate", 1, 100000),
        .stop = number(r, section, "terminal-stop", 0, 1000000),
    };
}

static void read_administrators(reading *r)
{
    cb_broker_config *out = r->out;
    for (unsigned i = 0; i < cfg_size(out->file, "administrators"); i++) {
        const char *name = cfg_getnstr(out->file, "administrators", i);
        errno = 0;
        const struct passwd *entry = getpwnam(name);
        if (!entry && errno == ENOMEM)
            r->error = CB_E_MEMORY;
        else if (!entry)
            wrong(r, "administrators", name);
        else if (i >= CB_LOCAL_USERS_MAX)
            wrong(r, "administrators", "at most 32 can be named");
        else
            out->administrators[out->administrator_count++] = (uint32_t)entry->pw_uid;
    }
}

static void read_rest(reading *r)
{
    cb_broker_config *out = r->out;
    const char *user = cfg_getstr(out->file, "user");
    out->user = user && user[0] ? user : NULL;
    out->run = needed(r, out->file, "run");
    out->state = needed(r, out->file, "state");
    out->database = needed(r, out->file, "database");
    out->workers = number(r, out->file, "workers", 1, 256);
    out->queue = number(r, out->file, "queue", 1, 65536);
    out->threads = number(r, out->file, "http-threads", 1, 16);
    out->checkpoint = number(r, out->file, "checkpoint-leaves", 0, 1000000000);
    if (out->checkpoint == 0)
        out->checkpoint = CB_CHECKPOINT_NONE;
    out->sandbox = cfg_getbool(out->file, "sandbox");
    if (cb_log_level_parse(cfg_getstr(out->file, "log-level"), &out->log_level) != CB_OK)
        wrong(r, "log-level", "must be debug, info, warning or error");
}

cb_error cb_broker_config_load(const char *path, cb_broker_config *out, cb_buf *why)
{
    reading r = {.path = path, .out = out, .why = why};
    *out = (cb_broker_config){0};
    cb_error error = cb_config_load(path, options, &out->file, why);
    if (error) {
        out->file = NULL;
        return error;
    }
    read_listeners(&r);
    read_limits(&r);
    read_status(&r);
    read_cards(&r);
    read_terminals(&r);
    read_failures(&r);
    read_administrators(&r);
    read_rest(&r);
    if (r.error)
        cb_broker_config_free(out);
    return r.error;
}

void cb_broker_config_free(cb_broker_config *config)
{
    if (config->file)
        cfg_free(config->file);
    cb_config_apart_free(config->apart);
    *config = (cb_broker_config){0};
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One operation of a connector, in the process made for it: what it was asked, what it has, what
 * came of it.
 */
#ifndef CB_CONNECTORS_HOST_LOGIN_H
#define CB_CONNECTORS_HOST_LOGIN_H

#include "base/id.h"
#include "connectors/host/fields.h"
#include "connectors/host/http.h"
#include "connectors/host/plugin.h"
#include "connectors/host/sandbox.h"
#include "connectors/protocol.h"

struct cardbroker_login {
    int socket;  /* to the broker */
    int channel; /* to the opener */
    const cb_plugin *plugin;
    cb_fields fields;
    char *service;
    cb_buf certificate; /* DER */
    cb_buf chain;
    cb_buf public_key;
    uint8_t algorithm;
    cb_id session;
    int64_t deadline;
    cb_http *http;
    /* what came of it */
    cb_session_kind kind; /* 0: nothing yet */
    cb_buf value;
    int64_t expires;
    cb_buf relay_headers; /* "Name: value\r\n" that the connector adds */
    cb_buf reason;        /* one sentence */
    cb_error key_error;   /* what use() answered, when it was an error */
    cb_error host_error;  /* the host's own reason for a failure, more exact than the connector's
                             status */
    bool misused;         /* the connector asked the host for what makes no sense */
    unsigned logged;
    unsigned uses;
};

/* Runs the operation that a first message asks for, then, for a relayed session, the session. Takes
 * over the message's descriptor. Returns the process's exit status. */
int cb_login_run(const cb_plugin *plugin, cb_msg *msg, int registrations,
                 const cb_login_limits *limits, const cb_sandbox_filter *calls);

/* The functions that a connector gets. */
extern const cardbroker_host cb_host_table;

/* Asks the broker for one use of the key; remembers an error in key_error. */
cb_error cb_login_use(cardbroker_login *login, uint8_t operation, uint8_t hash, cb_bytes data,
                      cb_buf *result);

/* Hands one line to the broker's log, unless that would take time or too many came before. */
void cb_login_log(cardbroker_login *login, uint8_t level, const char *event, const char *message);

/* Keeps a sentence for the log; the first one stays. */
void cb_login_explain(cardbroker_login *login, const char *sentence);

/* Notes that the connector itself is at fault: a failure that follows is CB_E_CONNECTOR_ANSWER. */
void cb_login_misused(cardbroker_login *login, const char *sentence);

cb_error cb_error_of_status(cardbroker_status status);
cardbroker_status cb_status_of_error(cb_error error);

#endif

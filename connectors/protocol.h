/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What travels between the broker (client.c) and connectord.
 *
 * Every operation is a connection of its own to <run>/connectors.sock. Its first message names the
 * operation and the connector; connectord hands the connection to a process made for it, which
 * answers. After a login the connection is the session, and its end is the session's end: whoever
 * dies, the other side and the zygote see the socket close.
 *
 * "var" is a 32-bit length and that many bytes (cb_buf_put_var), "text" the same without zero
 * bytes. An answer whose error is not CB_OK has a text as its body: one sentence for the log,
 * possibly empty.
 *
 *   first message, broker → connectord                       answer
 *   PING   text connector (empty: any)                       –
 *   CHECK  text connector, text config                       –
 *   DESCRIBE text connector                                  text JSON
 *   ENROL  as LOGIN                                          text JSON
 *   HEALTH as CHECK                                          –
 *   LOGIN  text connector, service, config, enrolment;       u8 kind, i64 expires, var value
 *          var certificate, chain, public key; u8 algorithm; 16 bytes session; i64 deadline
 * (monotonic clock)
 *
 *   during LOGIN, process → broker
 *   USE    u8 operation, u8 hash, var data                   var result; or the error of use()
 *   LOG    u8 level, text event, text message                no answer, at any time
 *
 *   in a relayed session, broker → process
 *   OPEN   text method, target, headers; i64 body length (-1: chunked), i64 deadline        no
 * answer SEND   bytes of the body                                                                no
 * answer HEAD   (ends the body)                                   u16 status, text headers READ u32
 * most                                          bytes of the body; none at the end CLOSE no answer
 *   LOGOUT                                                   –
 */
#ifndef CB_CONNECTORS_PROTOCOL_H
#define CB_CONNECTORS_PROTOCOL_H

#include "base/msg.h"
#include "connectors/client.h"

#define CB_CONNECTORS_SOCKET "connectors.sock"

enum cb_connector_message {
    CB_CONN_PING = 1,
    CB_CONN_CHECK,
    CB_CONN_DESCRIBE,
    CB_CONN_ENROL,
    CB_CONN_HEALTH,
    CB_CONN_LOGIN,
    CB_CONN_USE = 16,
    CB_CONN_LOG,
    CB_CONN_OPEN = 32,
    CB_CONN_SEND,
    CB_CONN_HEAD,
    CB_CONN_READ,
    CB_CONN_CLOSE,
    CB_CONN_LOGOUT
};

enum {
    CB_CONN_NAME_MAX = 63,
    CB_CONN_CERTIFICATE_MAX = 8 * 1024,
    CB_CONN_CHAIN_MAX = 12 * 1024,
    CB_CONN_TEXT_MAX = 1024, /* of a reason, event, log line */
    CB_CONN_METHOD_MAX = 32,
    CB_CONN_TARGET_MAX = 8 * 1024,
    CB_CONN_CHUNK_MAX = 48 * 1024, /* of a body, in one message */
    CB_CONN_LOGS_MAX = 50,         /* log messages of one process */
    CB_CONN_USES_MAX = 16          /* of a key, in one login: as in hsm/records.h */
};

/* The longest that any operation but a login may take. */
#define CB_CONN_OPERATION_TIME (10 * INT64_C(1000000))
#define CB_CONN_LOGOUT_TIME INT64_C(1000000)
/* How long after a deadline an answer is waited for: the process keeps the deadline itself, and knows
 * what it was that took too long. */
#define CB_CONN_GRACE INT64_C(500000)
/* Who asks whether connectord is there has other things to do while it is not. */
#define CB_CONN_PING_TIME (3 * INT64_C(1000000))

#endif

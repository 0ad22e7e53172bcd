/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's interface over HTTP: for terminals (mutual TLS), for administrators (the
 * administration socket) and for whoever watches that it lives. One file per resource parses, calls
 * the core, answers; schema/openapi.yaml describes each route.
 */
#ifndef CB_BROKER_API_API_H
#define CB_BROKER_API_API_H

#include <stdatomic.h>

#include "broker/api/watch.h"
#include "broker/core/rate.h"
#include "broker/core/registry.h"
#include "broker/core/allowance.h"
#include "broker/core/tap.h"
#include "broker/http/acceptor.h"
#include "broker/http/server.h"
#include "broker/status/status.h"

/* The parts that handlers call; filled in by main.c, which owns them. */
typedef struct cb_api {
    cb_store *store;
    cb_hsm *hsm;
    cb_connectors *connectors;
    cb_sessions *sessions;
    cb_taps *taps;
    cb_watch *watch;
    cb_status *status; /* NULL where no issuer of foreign cards is configured */
    cb_server *server;
    cb_acceptor *acceptor;
    cb_card_rules rules; /* for cards that are issued */
    cb_rate *logs;       /* batches of terminals' logs */
    cb_allowance *log_bytes; /* of what they bring */
    cb_rate *activations;                      /* of those who are not known yet */
    unsigned activations_all, activations_each; /* a minute, and from one address; 0: no limit */
    int64_t started;                           /* wall clock */
    _Atomic uint64_t outcomes[CB_ERROR_COUNT]; /* of taps: CB_OK is an accept */
} cb_api;

extern const cb_route cb_api_routes[];
extern const size_t cb_api_route_count;

/* The server's identify function: the terminal of the connection's key (its state is read now), or
 * the name of the local user. A request of a terminal has a cb_terminal as its identity. */
cb_error cb_api_identify(cb_request *request, cb_reply *reply);

/* After an act that ended something: cuts the sessions that it ended, here and now, and has hsmd
 * told. why as in core/session.h. */
void cb_api_cut(cb_api *api, const cb_affected *affected, const cb_session_match *match,
                const char *why);

/* A budget of requests a minute for each address, of those who need not be known; an IPv6 network
 * of 64 bits is one. what keeps the budgets of different acts apart. CB_E_TERMINAL_RATE. */
cb_error cb_api_stranger(const cb_request *request, const char *what);

static inline cb_api *cb_api_of(const cb_request *request) { return request->context; }

/* Answers with a card, holder or terminal (cb_failing), which it takes over, and what failed of it. */
cb_error cb_api_reply_failing(cb_request *request, cb_reply *reply, json_t *json, uint8_t of,
                              const cb_id *id);
void cb_failures_metrics(cb_taps *taps, cb_buf *out);

/* ---- Handlers ---- */

cb_error cb_api_live(cb_request *request, cb_reply *reply);
cb_error cb_api_ready(cb_request *request, cb_reply *reply);
cb_error cb_api_status(cb_request *request, cb_reply *reply);
cb_error cb_api_metrics(cb_request *request, cb_reply *reply);

cb_error cb_api_tap_start(cb_request *request, cb_reply *reply);
cb_error cb_api_tap_challenge(cb_request *request, cb_reply *reply);
cb_error cb_api_tap_proof(cb_request *request, cb_reply *reply);
cb_error cb_api_tap_renew(cb_request *request, cb_reply *reply);
cb_error cb_api_tap_register(cb_request *request, cb_reply *reply);
cb_error cb_api_tap_end(cb_request *request, cb_reply *reply);
cb_error cb_api_services_allowed(cb_request *request, cb_reply *reply);

cb_error cb_api_holder_add(cb_request *request, cb_reply *reply);
cb_error cb_api_holder_list(cb_request *request, cb_reply *reply);
cb_error cb_api_holder_get(cb_request *request, cb_reply *reply);

cb_error cb_api_card_add(cb_request *request, cb_reply *reply);
cb_error cb_api_card_issuable(cb_request *request, cb_reply *reply);
cb_error cb_api_card_list(cb_request *request, cb_reply *reply);
cb_error cb_api_card_get(cb_request *request, cb_reply *reply);
cb_error cb_api_card_binding(cb_request *request, cb_reply *reply);
cb_error cb_api_card_renew(cb_request *request, cb_reply *reply);
cb_error cb_api_card_activate(cb_request *request, cb_reply *reply);
cb_error cb_api_card_suspend(cb_request *request, cb_reply *reply);
cb_error cb_api_card_resume(cb_request *request, cb_reply *reply);
cb_error cb_api_card_revoke(cb_request *request, cb_reply *reply);
cb_error cb_api_card_replace(cb_request *request, cb_reply *reply);
cb_error cb_api_card_code(cb_request *request, cb_reply *reply);
cb_error cb_api_suspension(cb_request *request, cb_reply *reply);
cb_error cb_api_card_unblock(cb_request *request, cb_reply *reply);
cb_error cb_api_card_recall(cb_request *request, cb_reply *reply);
cb_error cb_api_card_return(cb_request *request, cb_reply *reply);
cb_error cb_api_card_destroy(cb_request *request, cb_reply *reply);

cb_error cb_api_registration_add(cb_request *request, cb_reply *reply);
cb_error cb_api_registration_list(cb_request *request, cb_reply *reply);
cb_error cb_api_registration_get(cb_request *request, cb_reply *reply);
cb_error cb_api_registration_withdraw(cb_request *request, cb_reply *reply);

cb_error cb_api_batch_enter(cb_request *request, cb_reply *reply);
cb_error cb_api_stock_act(cb_request *request, cb_reply *reply);
cb_error cb_api_stock_list(cb_request *request, cb_reply *reply);
cb_error cb_api_mismatch_list(cb_request *request, cb_reply *reply);
cb_error cb_api_report_issued(cb_request *request, cb_reply *reply);
cb_error cb_api_report_issues(cb_request *request, cb_reply *reply);
cb_error cb_api_report_outstanding(cb_request *request, cb_reply *reply);
cb_error cb_api_report_failures(cb_request *request, cb_reply *reply);
cb_error cb_api_report_generations(cb_request *request, cb_reply *reply);
cb_error cb_api_generation_retire(cb_request *request, cb_reply *reply);
cb_error cb_api_application_add(cb_request *request, cb_reply *reply);
cb_error cb_api_application_list(cb_request *request, cb_reply *reply);
cb_error cb_api_application_get(cb_request *request, cb_reply *reply);
cb_error cb_api_application_approve(cb_request *request, cb_reply *reply);
cb_error cb_api_application_refuse(cb_request *request, cb_reply *reply);

cb_error cb_api_activate(cb_request *request, cb_reply *reply);
cb_error cb_api_certificate_renew(cb_request *request, cb_reply *reply);

cb_error cb_api_log(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_log(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_log_resume(cb_request *request, cb_reply *reply);

cb_error cb_api_terminal_add(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_list(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_get(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_end(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_code(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_revoke(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_deactivate(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_reactivate(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_describe(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_confirm(cb_request *request, cb_reply *reply);
cb_error cb_api_terminal_dispose(cb_request *request, cb_reply *reply);

cb_error cb_api_maintainer_add(cb_request *request, cb_reply *reply);
cb_error cb_api_maintainer_list(cb_request *request, cb_reply *reply);
cb_error cb_api_maintainer_remove(cb_request *request, cb_reply *reply);
/* Adds to the JSON of a terminal that is under maintenance who began that. */
cb_error cb_api_put_maintenance(cb_api *api, const cb_terminal *terminal, json_t *json);

cb_error cb_api_software_add(cb_request *request, cb_reply *reply);
cb_error cb_api_software_list(cb_request *request, cb_reply *reply);
cb_error cb_api_software_remove(cb_request *request, cb_reply *reply);
/* Adds to the JSON of a terminal what it says that it runs, and how that stands. */
cb_error cb_api_put_software(cb_api *api, json_t *terminal);

cb_error cb_api_service_add(cb_request *request, cb_reply *reply);
cb_error cb_api_service_update(cb_request *request, cb_reply *reply);
cb_error cb_api_service_list(cb_request *request, cb_reply *reply);
cb_error cb_api_service_get(cb_request *request, cb_reply *reply);

cb_error cb_api_enrolment_add(cb_request *request, cb_reply *reply);
cb_error cb_api_enrolment_list(cb_request *request, cb_reply *reply);
cb_error cb_api_enrolment_get(cb_request *request, cb_reply *reply);
cb_error cb_api_enrolment_certificate(cb_request *request, cb_reply *reply);
cb_error cb_api_enrolment_renew(cb_request *request, cb_reply *reply);
cb_error cb_api_enrolment_for_service(cb_request *request, cb_reply *reply);
cb_error cb_api_enrolment_remove(cb_request *request, cb_reply *reply);
cb_error cb_api_enrolment_sealed(cb_request *request, cb_reply *reply);
cb_error cb_api_enrolment_rewrap(cb_request *request, cb_reply *reply);

cb_error cb_api_audit_leaves(cb_request *request, cb_reply *reply);
cb_error cb_api_audit_heads(cb_request *request, cb_reply *reply);

#endif

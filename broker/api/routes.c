/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/api.h"

enum {
    STOCK_BODY = 256 * 1024,
    SCRIPT_BODY = 96 * 1024, /* CB_SCRIPT_BYTES_MAX in hexadecimal, and the rest */
    SMALL_BODY = 8 * 1024
};

#define ANYBODY CB_ROLE_ANYBODY
#define TERMINAL CB_ROLE_TERMINAL
#define ADMIN CB_ROLE_ADMINISTRATOR

#define COMMON CB_CREW_COMMON
#define ENTRY CB_CREW_ENTRY
#define STAFF CB_CREW_ADMINISTRATORS
#define RESERVED CB_CREW_RESERVED
#define HEALTH CB_CREW_HEALTH
#define NONE CB_CREW_NONE

/* clang-format off */
/* What must answer whatever else goes on is reserved: how the broker is, and whatever takes a right away. */
const cb_route cb_api_routes[] = {
    {"GET",    "/v1/live",                         ANYBODY,  cb_api_live,                  0, NONE},
    {"GET",    "/v1/ready",                        ANYBODY,  cb_api_ready,                 0, HEALTH},
    {"GET",    "/v1/status",                       ADMIN,    cb_api_status,                0, RESERVED},
    {"GET",    "/metrics",                         ADMIN,    cb_api_metrics,               0, RESERVED},

    {"POST",   "/v1/taps",                         TERMINAL, cb_api_tap_start,             0, ENTRY},
    {"POST",   "/v1/taps/{tap}/challenge",         TERMINAL, cb_api_tap_challenge,         SCRIPT_BODY, COMMON},
    {"POST",   "/v1/taps/{tap}/proof",             TERMINAL, cb_api_tap_proof,             SCRIPT_BODY, COMMON},
    {"POST",   "/v1/taps/{tap}/registration",      TERMINAL, cb_api_tap_register,          SCRIPT_BODY, COMMON},
    {"POST",   "/v1/taps/{tap}/renewal",           TERMINAL, cb_api_tap_renew,             SCRIPT_BODY, COMMON},
    {"POST",   "/v1/taps/{tap}/end",               TERMINAL, cb_api_tap_end,               0, COMMON},
    {"GET",    "/v1/services",                     TERMINAL, cb_api_services_allowed,      0, ENTRY},

    {"POST",   "/v1/suspensions",                  ANYBODY,  cb_api_suspension,            SMALL_BODY, ENTRY},
    {"POST",   "/v1/activations",                  ANYBODY,  cb_api_activate,              SMALL_BODY, ENTRY},
    {"POST",   "/v1/terminal/end",                 TERMINAL, cb_api_terminal_end,          SMALL_BODY, RESERVED},
    {"POST",   "/v1/certificate",                  TERMINAL, cb_api_certificate_renew,     SMALL_BODY, COMMON},
    {"POST",   "/v1/log",                          TERMINAL, cb_api_log,                   SCRIPT_BODY, COMMON},

    {"POST",   "/v1/holders",                      ADMIN,    cb_api_holder_add,            0, STAFF},
    {"GET",    "/v1/holders",                      ADMIN,    cb_api_holder_list,           0, STAFF},
    {"GET",    "/v1/holders/{id}",                 ADMIN,    cb_api_holder_get,            0, STAFF},

    {"POST",   "/v1/cards",                        ADMIN,    cb_api_card_add,              0, STAFF},
    {"GET",    "/v1/cards",                        ADMIN,    cb_api_card_list,             0, STAFF},
    {"POST",   "/v1/cards/issuable",               ADMIN,    cb_api_card_issuable,         0, STAFF},
    {"GET",    "/v1/cards/{id}",                   ADMIN,    cb_api_card_get,              0, STAFF},
    {"GET",    "/v1/cards/{id}/binding",           ADMIN,    cb_api_card_binding,          0, STAFF},
    {"POST",   "/v1/cards/{id}/renew",             ADMIN,    cb_api_card_renew,            0, STAFF},
    {"POST",   "/v1/cards/{id}/activate",          ADMIN,    cb_api_card_activate,         0, STAFF},
    {"POST",   "/v1/cards/{id}/suspend",           ADMIN,    cb_api_card_suspend,          0, RESERVED},
    {"POST",   "/v1/cards/{id}/resume",            ADMIN,    cb_api_card_resume,           0, STAFF},
    {"POST",   "/v1/cards/{id}/revoke",            ADMIN,    cb_api_card_revoke,           0, RESERVED},
    {"POST",   "/v1/cards/{id}/replace",           ADMIN,    cb_api_card_replace,          0, STAFF},
    {"POST",   "/v1/cards/{id}/unblock",           ADMIN,    cb_api_card_unblock,          0, STAFF},
    {"POST",   "/v1/cards/{id}/suspension-code",   ADMIN,    cb_api_card_code,             0, STAFF},
    {"POST",   "/v1/cards/{id}/recall",            ADMIN,    cb_api_card_recall,           0, STAFF},
    {"POST",   "/v1/cards/{id}/return",            ADMIN,    cb_api_card_return,           0, RESERVED},
    {"POST",   "/v1/cards/{id}/destroy",           ADMIN,    cb_api_card_destroy,          0, STAFF},

    {"POST",   "/v1/registrations",                ADMIN,    cb_api_registration_add,      0, STAFF},
    {"GET",    "/v1/registrations",                ADMIN,    cb_api_registration_list,     0, STAFF},
    {"GET",    "/v1/registrations/{id}",           ADMIN,    cb_api_registration_get,      0, STAFF},
    {"POST",   "/v1/registrations/{id}/withdraw",  ADMIN,    cb_api_registration_withdraw, 0, STAFF},

    {"POST",   "/v1/batches",                      ADMIN,    cb_api_batch_enter,           STOCK_BODY, STAFF},
    {"POST",   "/v1/stock",                        ADMIN,    cb_api_stock_act,             STOCK_BODY, STAFF},
    {"GET",    "/v1/stock",                        ADMIN,    cb_api_stock_list,            0, STAFF},
    {"GET",    "/v1/mismatches",                   ADMIN,    cb_api_mismatch_list,         0, STAFF},
    {"GET",    "/v1/reports/issued",               ADMIN,    cb_api_report_issued,         0, STAFF},
    {"GET",    "/v1/reports/issues",               ADMIN,    cb_api_report_issues,         0, STAFF},
    {"GET",    "/v1/reports/outstanding",          ADMIN,    cb_api_report_outstanding,    0, STAFF},
    {"GET",    "/v1/reports/failures",             ADMIN,    cb_api_report_failures,       0, STAFF},
    {"GET",    "/v1/reports/generations",          ADMIN,    cb_api_report_generations,    0, STAFF},
    {"POST",   "/v1/generations/retire",           ADMIN,    cb_api_generation_retire,     0, STAFF},
    {"POST",   "/v1/applications",                 ADMIN,    cb_api_application_add,       0, STAFF},
    {"GET",    "/v1/applications",                 ADMIN,    cb_api_application_list,      0, STAFF},
    {"GET",    "/v1/applications/{id}",            ADMIN,    cb_api_application_get,       0, STAFF},
    {"POST",   "/v1/applications/{id}/approve",    ADMIN,    cb_api_application_approve,   0, STAFF},
    {"POST",   "/v1/applications/{id}/refuse",     ADMIN,    cb_api_application_refuse,    0, STAFF},

    {"POST",   "/v1/terminals",                    ADMIN,    cb_api_terminal_add,          0, STAFF},
    {"GET",    "/v1/terminals",                    ADMIN,    cb_api_terminal_list,         0, STAFF},
    {"GET",    "/v1/terminals/{id}",               ADMIN,    cb_api_terminal_get,          0, STAFF},
    {"POST",   "/v1/terminals/{id}/code",          ADMIN,    cb_api_terminal_code,         0, STAFF},
    {"POST",   "/v1/terminals/{id}/revoke",        ADMIN,    cb_api_terminal_revoke,       0, RESERVED},
    {"POST",   "/v1/terminals/{id}/deactivate",    ADMIN,    cb_api_terminal_deactivate,   0, RESERVED},
    {"POST",   "/v1/terminals/{id}/activate",      ADMIN,    cb_api_terminal_reactivate,   0, STAFF},
    {"POST",   "/v1/terminals/{id}/describe",      ADMIN,    cb_api_terminal_describe,     0, STAFF},
    {"POST",   "/v1/terminals/{id}/confirm",       ADMIN,    cb_api_terminal_confirm,      0, STAFF},
    {"GET",    "/v1/terminals/{id}/log",           ADMIN,    cb_api_terminal_log,          0, STAFF},
    {"POST",   "/v1/terminals/{id}/log",           ADMIN,    cb_api_terminal_log_resume,   0, STAFF},
    {"POST",   "/v1/terminals/{id}/dispose",       ADMIN,    cb_api_terminal_dispose,      0, RESERVED},

    {"POST",   "/v1/maintainers",                  ADMIN,    cb_api_maintainer_add,        0, STAFF},
    {"GET",    "/v1/maintainers",                  ADMIN,    cb_api_maintainer_list,       0, STAFF},
    {"DELETE", "/v1/maintainers/{id}",             ADMIN,    cb_api_maintainer_remove,     0, RESERVED},

    {"POST",   "/v1/software",                     ADMIN,    cb_api_software_add,          0, STAFF},
    {"GET",    "/v1/software",                     ADMIN,    cb_api_software_list,         0, STAFF},
    {"DELETE", "/v1/software/{id}",                ADMIN,    cb_api_software_remove,       0, RESERVED},

    {"POST",   "/v1/services",                     ADMIN,    cb_api_service_add,           0, STAFF},
    {"GET",    "/v1/services",                     ADMIN,    cb_api_service_list,          0, STAFF},
    {"GET",    "/v1/services/{name}",              ADMIN,    cb_api_service_get,           0, STAFF},
    {"PUT",    "/v1/services/{name}",              ADMIN,    cb_api_service_update,        0, STAFF},

    {"POST",   "/v1/enrolments",                   ADMIN,    cb_api_enrolment_add,         0, STAFF},
    {"GET",    "/v1/enrolments",                   ADMIN,    cb_api_enrolment_list,        0, STAFF},
    {"GET",    "/v1/enrolments/{id}",              ADMIN,    cb_api_enrolment_get,         0, STAFF},
    {"POST",   "/v1/enrolments/{id}/certificate",  ADMIN,    cb_api_enrolment_certificate, 0, STAFF},
    {"POST",   "/v1/enrolments/{id}/renew",        ADMIN,    cb_api_enrolment_renew,       0, STAFF},
    {"GET",    "/v1/enrolments/{id}/for-service",  ADMIN,    cb_api_enrolment_for_service, 0, STAFF},
    {"GET",    "/v1/enrolments/{id}/sealed",       ADMIN,    cb_api_enrolment_sealed,      0, STAFF},
    {"POST",   "/v1/enrolments/{id}/rewrap",       ADMIN,    cb_api_enrolment_rewrap,      0, STAFF},
    {"DELETE", "/v1/enrolments/{id}",              ADMIN,    cb_api_enrolment_remove,      0, RESERVED},

    {"GET",    "/v1/audit/leaves",                 ADMIN,    cb_api_audit_leaves,          0, STAFF},
    {"GET",    "/v1/audit/heads",                  ADMIN,    cb_api_audit_heads,           0, STAFF},
};
/* clang-format on */

const size_t cb_api_route_count = sizeof cb_api_routes / sizeof *cb_api_routes;

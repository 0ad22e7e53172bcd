/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Why something failed, in a form that can be shown: of our own making, or as the broker said it
 * (application/problem+json, docs/architecture.md). What the broker says is outside data: bounded,
 * and without control characters.
 */
#ifndef CB_CARDLINK_TERMINAL_PROBLEM_H
#define CB_CARDLINK_TERMINAL_PROBLEM_H

#include "base/buf.h"
#include "base/id.h"

enum { CB_PROBLEM_CODE = 64, CB_PROBLEM_DETAIL = 400, CB_PROBLEM_BODY_MAX = 16 * 1024 };

typedef struct cb_problem {
    cb_error error;             /* CB_OK: there is none */
    char code[CB_PROBLEM_CODE]; /* stable; the broker's own, also when this program does not know it
                                 */
    char detail[CB_PROBLEM_DETAIL]; /* a sentence for people */
    char request[CB_ID_TEXT];       /* the broker's name for the request; "" if it gave none */
    unsigned status;                /* HTTP; 0: no answer */
    int retry_after;                /* seconds; -1: not said */
    int tries_left;                 /* of the PIN; -1: not said */
    bool may_end;                   /* the card is revoked, and the broker would end it now */
    bool may_renew; /* it would take newer certificates of the card now, if there are any */
} cb_problem;

/* Copies text into size bytes, zero included. What is no UTF-8, and what would act on a screen
 * (cb_utf8_acts), becomes a question mark; no character is cut. NULL: nothing. */
void cb_plain(char *out, size_t size, const char *text);

/* A problem of our own. more, which may be NULL, is added to the sentence and must hold no secret.
 * Returns the error. */
cb_error cb_problem_set(cb_problem *problem, cb_error error, const char *more);

/* What an HTTP answer that is no success says. A body that is not a problem document gives an error
 * by the status alone: 401, 403 and 404 CB_E_TERMINAL_UNKNOWN, CB_E_DENIED, CB_E_NOT_FOUND; 413;
 * 429 CB_E_TERMINAL_RATE; 503 CB_E_BUSY; 504; others CB_E_PROTOCOL. CB_E_MEMORY: it was not read.
 * An unknown code keeps its text and takes the error the same way. retry_after: seconds, -1 for
 * none. */
cb_error cb_problem_read(cb_problem *problem, unsigned status, cb_bytes body, int retry_after);

/* The error of a stable code; CB_OK for an unknown one. */
cb_error cb_error_of_code(const char *code);

/* The exit status that goes with an error: 0 done, 3 card or PIN refused, 69 broker out of reach,
 * 78 configuration, 1 anything else. */
int cb_problem_exit(cb_error error);

#endif

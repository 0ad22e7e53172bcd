/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the leaf of an act says of a row that it writes: the lines that vouch.h hashes. Whoever
 * writes the database can change a row, and not the leaf.
 */
#ifndef CB_BROKER_EVIDENCE_SAID_H
#define CB_BROKER_EVIDENCE_SAID_H

#include "broker/store/row_maintenance.h"
#include "broker/store/row_registration.h"
#include "broker/store/row_software.h"
#include "broker/store/row_stock.h"

/* The lines about a row, from the one that vouch.h hashes from. */
void cb_said_service(cb_buf *leaf, const cb_service *service);
void cb_said_terminal(cb_buf *leaf, const cb_terminal *terminal);
void cb_said_application(cb_buf *leaf, const cb_application *application);
void cb_said_code(cb_buf *leaf, const cb_terminal_code_row *code);
void cb_said_software(cb_buf *leaf, const cb_software_entry *entry);
/* What a terminal said that it runs. */
void cb_said_program(cb_buf *leaf, const cb_id *terminal, const cb_software *what);
void cb_said_maintainer(cb_buf *leaf, const cb_maintainer *maintainer);
void cb_said_maintenance(cb_buf *leaf, const cb_maintenance *maintenance);
/* That a terminal's log may go on with what does not fit. */
void cb_said_resume(cb_buf *leaf, const cb_id *terminal);
void cb_said_enrolment(cb_buf *leaf, const cb_enrolment *enrolment);
/* What a manager allowed with a code. */
void cb_said_registration(cb_buf *leaf, const cb_registration_row *row);

/* The word under which an enrolment's are kept: with data or without. */
char cb_said_enrolment_word(const cb_enrolment *enrolment);

/* A row of which there has to be a word while it is there. */
typedef struct cb_said_row {
    char kind; /* of the word */
    cb_id id;
    cb_digest digest;
    const char *what; /* "service", "terminal", "enrolment", "software", "maintainer" */
    const char *name; /* a service's; otherwise its identifier */
} cb_said_row;

typedef cb_error (*cb_said_visitor)(void *context, const cb_said_row *row);

/* Each service, terminal that is not over, enrolment that is not removed, entry of the list of
 * software, and maintainer. */
cb_error cb_said_rows(cb_txn *txn, cb_said_visitor each, void *context);

#endif

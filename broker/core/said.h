/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether a row is what the log says of it (broker/evidence/said.h), asked at each login: whoever
 * writes the database can change a row, and not the leaf.
 */
#ifndef CB_BROKER_CORE_SAID_H
#define CB_BROKER_CORE_SAID_H

#include "broker/evidence/said.h"

/* CB_OK, or CB_E_HSM_RECORD when the log says otherwise. Logged, with the name of the row. */
cb_error cb_said_of_service(cb_txn *txn, const cb_service *service);
cb_error cb_said_of_terminal(cb_txn *txn, const cb_terminal *terminal);
/* The same, whether it is de-activated or under maintenance left aside. */
cb_error cb_said_of_terminal_but_state(cb_txn *txn, const cb_terminal *terminal);
cb_error cb_said_of_code(cb_txn *txn, const cb_id *terminal, const cb_terminal_code_row *code);
cb_error cb_said_of_software(cb_txn *txn, const cb_software_entry *entry);
cb_error cb_said_of_program(cb_txn *txn, const cb_id *terminal, const cb_software *what);
cb_error cb_said_of_maintainer(cb_txn *txn, const cb_maintainer *maintainer);
/* Whether it is under way, and until then. */
cb_error cb_said_of_maintenance(cb_txn *txn, const cb_id *terminal,
                                const cb_maintenance *maintenance);
cb_error cb_said_of_resume(cb_txn *txn, const cb_id *terminal);
cb_error cb_said_of_enrolment(cb_txn *txn, const cb_enrolment *enrolment);
/* Whether it was approved as it is. */
cb_error cb_said_of_application(cb_txn *txn, const cb_application *application);
/* Whether it was entered as it is, by the operator whom it names. */
cb_error cb_said_of_entered(cb_txn *txn, const cb_application *application);
cb_error cb_said_of_card(cb_txn *txn, const cb_id *card);
/* Whether it was allowed as it is, and is still open. */
cb_error cb_said_of_registration(cb_txn *txn, const cb_registration_row *row);
cb_error cb_said_of_intent(cb_txn *txn, const cb_intent_row *intent);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/said.h"

#include <string.h>

#include "base/leaf.h"
#include "base/log.h"

static cb_error judge(cb_txn *txn, bool as_said, const char *what, const char *name)
{
    if (!as_said && !cb_txn_is_asked_again(txn))
        cb_log(
            CB_LOG_ERROR, "store.altered",
            "A row is not what the log says of it: it was changed outside the product, or the act "
            "was never confirmed; repeat the act",
            "table", what, "row", name, NULL);
    return as_said ? CB_OK : CB_E_HSM_RECORD;
}

/* Ends the lines. */
static cb_error judge_lines(cb_txn *txn, char kind, const cb_id *id, cb_buf *lines,
                            const char *what, const char *name)
{
    cb_error error = cb_buf_error(lines);
    cb_digest digest = cb_sha256(cb_buf_bytes(lines));
    if (error != CB_E_MEMORY) /* nobody has changed anything then */
        error = judge(txn, !error && cb_txn_vouched(txn, kind, id, &digest), what, name);
    cb_buf_free(lines);
    return error;
}

cb_error cb_said_of_service(cb_txn *txn, const cb_service *service)
{
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id id = cb_vouch_service(service->name);
    cb_said_service(&lines, service);
    return judge_lines(txn, 's', &id, &lines, "service", service->name);
}

cb_error cb_said_of_terminal_but_state(cb_txn *txn, const cb_terminal *terminal)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(&terminal->id, name);
    cb_said_terminal(&lines, terminal);
    return judge_lines(txn, 't', &terminal->id, &lines, "terminal", name);
}

cb_error cb_said_of_terminal(cb_txn *txn, const cb_terminal *terminal)
{
    char name[CB_ID_TEXT];
    cb_id_text(&terminal->id, name);
    cb_error error = cb_said_of_terminal_but_state(txn, terminal);
    if (!error && terminal->state != CB_TERMINAL_DEACTIVATED)
        error = judge(txn, !cb_txn_vouched(txn, 'd', &terminal->id, NULL), "terminal", name);
    if (!error && terminal->state != CB_TERMINAL_MAINTENANCE)
        error = judge(txn, !cb_txn_vouched(txn, 'u', &terminal->id, NULL), "terminal", name);
    return error;
}

cb_error cb_said_of_code(cb_txn *txn, const cb_id *terminal, const cb_terminal_code_row *code)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(terminal, name);
    cb_said_code(&lines, code);
    return judge_lines(txn, 'o', terminal, &lines, "terminal_code", name);
}

cb_error cb_said_of_enrolment(cb_txn *txn, const cb_enrolment *enrolment)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(&enrolment->id, name);
    cb_said_enrolment(&lines, enrolment);
    return judge_lines(txn, cb_said_enrolment_word(enrolment), &enrolment->id, &lines, "enrolment", name);
}

cb_error cb_said_of_maintainer(cb_txn *txn, const cb_maintainer *maintainer)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(&maintainer->id, name);
    cb_said_maintainer(&lines, maintainer);
    return judge_lines(txn, 'm', &maintainer->id, &lines, "maintainer", name);
}

cb_error cb_said_of_maintenance(cb_txn *txn, const cb_id *terminal,
                                const cb_maintenance *maintenance)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(terminal, name);
    cb_said_maintenance(&lines, maintenance);
    return judge_lines(txn, 'u', terminal, &lines, "terminal_maintenance", name);
}

cb_error cb_said_of_resume(cb_txn *txn, const cb_id *terminal)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(terminal, name);
    cb_said_resume(&lines, terminal);
    return judge_lines(txn, 'r', terminal, &lines, "terminal_log", name);
}

cb_error cb_said_of_software(cb_txn *txn, const cb_software_entry *entry)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(&entry->id, name);
    cb_said_software(&lines, entry);
    return judge_lines(txn, 'w', &entry->id, &lines, "software", name);
}

cb_error cb_said_of_program(cb_txn *txn, const cb_id *terminal, const cb_software *what)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(terminal, name);
    cb_said_program(&lines, terminal, what);
    return judge_lines(txn, 'p', terminal, &lines, "terminal_software", name);
}

static cb_error said_of_application(cb_txn *txn, char kind, const cb_application *application)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(&application->id, name);
    cb_said_application(&lines, application);
    return judge_lines(txn, kind, &application->id, &lines, "application", name);
}

cb_error cb_said_of_application(cb_txn *txn, const cb_application *application)
{
    return said_of_application(txn, 'a', application);
}

cb_error cb_said_of_entered(cb_txn *txn, const cb_application *application)
{
    return said_of_application(txn, 'b', application);
}

cb_error cb_said_of_registration(cb_txn *txn, const cb_registration_row *row)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(&row->code, name);
    cb_said_registration(&lines, row);
    return judge_lines(txn, 'g', &row->code, &lines, "registration", name);
}

cb_error cb_said_of_card(cb_txn *txn, const cb_id *card)
{
    char name[CB_ID_TEXT];
    cb_id_text(card, name);
    return judge(txn, !cb_txn_vouched(txn, 'i', card, NULL), "card", name);
}

/* The last lines of cb_intent_leaf. */
cb_error cb_said_of_intent(cb_txn *txn, const cb_intent_row *intent)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(&intent->tap, name);
    cb_leaf_id(&lines, "card", &intent->card);
    cb_leaf_id(&lines, "holder", &intent->holder);
    cb_leaf_id(&lines, "key", &intent->key);
    cb_leaf_number(&lines, "reached", intent->reached);
    return judge_lines(txn, 'n', &intent->tap, &lines, "intent", name);
}

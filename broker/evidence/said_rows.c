/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * All rows of a database of which the log has to have a word.
 */
#include <limits.h>

#include "base/leaf.h"
#include "broker/evidence/said.h"
#include "broker/evidence/vouch.h"
#include "broker/store/txn.h"

typedef struct reading {
    cb_said_visitor each;
    void *context;
} reading;

/* Ends the lines. name NULL: its identifier. */
static cb_error hand_on(const reading *r, char kind, const cb_id *id, cb_buf *lines,
                        const char *what, const char *name)
{
    char text[CB_ID_TEXT];
    cb_id_text(id, text);
    const cb_said_row row = {.kind = kind,
                             .id = *id,
                             .digest = cb_sha256(cb_buf_bytes(lines)),
                             .what = what,
                             .name = name ? name : text};
    cb_error error = cb_buf_error(lines) == CB_E_MEMORY ? CB_E_MEMORY : r->each(r->context, &row);
    cb_buf_free(lines);
    return error;
}

static cb_error take_service(void *context, const cb_service *service)
{
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id id = cb_vouch_service(service->name);
    cb_said_service(&lines, service);
    return hand_on(context, 's', &id, &lines, "service", service->name);
}

static cb_error take_terminal(void *context, const cb_terminal *terminal)
{
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    if (terminal->state == CB_TERMINAL_REVOKED || terminal->state == CB_TERMINAL_DISPOSED)
        return CB_OK;
    cb_said_terminal(&lines, terminal);
    return hand_on(context, 't', &terminal->id, &lines, "terminal", NULL);
}

static cb_error take_enrolment(void *context, const cb_enrolment *enrolment)
{
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    if (enrolment->state == CB_ENROLMENT_REMOVED)
        return CB_OK;
    cb_said_enrolment(&lines, enrolment);
    return hand_on(context, cb_said_enrolment_word(enrolment), &enrolment->id, &lines, "enrolment",
                   NULL);
}

static cb_error take_software(void *context, const cb_software_entry *entry)
{
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_said_software(&lines, entry);
    return hand_on(context, 'w', &entry->id, &lines, "software", NULL);
}

static cb_error take_maintainer(void *context, const cb_maintainer *maintainer)
{
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_said_maintainer(&lines, maintainer);
    return hand_on(context, 'm', &maintainer->id, &lines, "maintainer", NULL);
}

cb_error cb_said_rows(cb_txn *txn, cb_said_visitor each, void *context)
{
    static const cb_id first;
    reading r = {each, context};
    cb_error error = cb_row_service_each(txn, "", INT_MAX, take_service, &r);
    if (!error)
        error = cb_row_terminal_each(txn, &first, INT_MAX, take_terminal, &r);
    if (!error)
        error = cb_row_enrolment_each(txn, NULL, NULL, &first, INT_MAX, take_enrolment, &r);
    if (!error)
        error = cb_row_software_each(txn, &first, INT_MAX, take_software, &r);
    if (!error)
        error = cb_row_maintainer_each(txn, &first, INT_MAX, take_maintainer, &r);
    return error;
}

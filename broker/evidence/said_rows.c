/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * All rows of a database of which the log has to have a word.
 */
#include <string.h>

#include "base/leaf.h"
#include "broker/evidence/said.h"
#include "broker/evidence/vouch.h"
#include "broker/store/txn.h"

/* After which row the next page begins. */
typedef struct reading {
    cb_said_visitor each;
    void *context;
    unsigned rows; /* of this page */
    cb_id after;
    char after_name[CB_SERVICE_NAME_MAX + 1];
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
    reading *r = context;
    r->rows++;
    strcpy(r->after_name, service->name);
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id id = cb_vouch_service(service->name);
    cb_said_service(&lines, service);
    return hand_on(r, 's', &id, &lines, "service", service->name);
}

static cb_error take_terminal(void *context, const cb_terminal *terminal)
{
    reading *r = context;
    r->rows++;
    r->after = terminal->id;
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    if (terminal->state == CB_TERMINAL_REVOKED || terminal->state == CB_TERMINAL_DISPOSED)
        return CB_OK;
    cb_said_terminal(&lines, terminal);
    return hand_on(r, 't', &terminal->id, &lines, "terminal", NULL);
}

static cb_error take_enrolment(void *context, const cb_enrolment *enrolment)
{
    reading *r = context;
    r->rows++;
    r->after = enrolment->id;
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    if (enrolment->state == CB_ENROLMENT_REMOVED)
        return CB_OK;
    cb_said_enrolment(&lines, enrolment);
    return hand_on(r, cb_said_enrolment_word(enrolment), &enrolment->id, &lines, "enrolment",
                   NULL);
}

static cb_error take_software(void *context, const cb_software_entry *entry)
{
    reading *r = context;
    r->rows++;
    r->after = entry->id;
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_said_software(&lines, entry);
    return hand_on(r, 'w', &entry->id, &lines, "software", NULL);
}

static cb_error take_maintainer(void *context, const cb_maintainer *maintainer)
{
    reading *r = context;
    r->rows++;
    r->after = maintainer->id;
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_said_maintainer(&lines, maintainer);
    return hand_on(r, 'm', &maintainer->id, &lines, "maintainer", NULL);
}

static cb_error page_of_services(cb_txn *txn, reading *r)
{
    return cb_row_service_each(txn, r->after_name, CB_PAGE_LIMIT, take_service, r);
}

static cb_error page_of_terminals(cb_txn *txn, reading *r)
{
    return cb_row_terminal_each(txn, &r->after, CB_PAGE_LIMIT, take_terminal, r);
}

static cb_error page_of_enrolments(cb_txn *txn, reading *r)
{
    return cb_row_enrolment_each(txn, NULL, NULL, &r->after, CB_PAGE_LIMIT, take_enrolment, r);
}

static cb_error page_of_software(cb_txn *txn, reading *r)
{
    return cb_row_software_each(txn, &r->after, CB_PAGE_LIMIT, take_software, r);
}

static cb_error page_of_maintainers(cb_txn *txn, reading *r)
{
    return cb_row_maintainer_each(txn, &r->after, CB_PAGE_LIMIT, take_maintainer, r);
}

cb_error cb_said_rows(cb_txn *txn, cb_said_visitor each, void *context)
{
    static cb_error (*const pages[])(cb_txn *, reading *) = {
        page_of_services, page_of_terminals, page_of_enrolments, page_of_software,
        page_of_maintainers};
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < sizeof pages / sizeof *pages; i++) {
        reading r = {.each = each, .context = context};
        do {
            r.rows = 0;
            error = pages[i](txn, &r);
        } while (!error && r.rows > 0);
    }
    return error;
}

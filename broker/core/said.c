/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/said.h"

#include <string.h>

#include "base/leaf.h"
#include "base/log.h"

#define KINDS                                                                                      \
    (1U << CB_TERMINAL_ATTENDED | 1U << CB_TERMINAL_UNATTENDED | 1U << CB_TERMINAL_PERSONAL)

void cb_said_service(cb_buf *leaf, const cb_service *service)
{
    cb_digest config = cb_sha256(cb_buf_bytes(&service->config));
    cb_leaf_text(leaf, "service", service->name);
    cb_leaf_text(leaf, "title", service->title);
    cb_leaf_text(leaf, "connector", service->connector);
    cb_leaf_number(leaf, "level", service->level);
    cb_leaf_number(leaf, "certificate", service->certificate);
    cb_leaf_number(leaf, "session", service->kind);
    cb_leaf_number(leaf, "life", (uint64_t)service->life);
    cb_leaf_number(leaf, "idle", (uint64_t)service->idle);
    cb_leaf_hex(leaf, "config_sha256", cb_digest_bytes(&config));
    for (uint8_t kind = 1; kind <= CB_TERMINAL_PERSONAL; kind++)
        if (service->kinds & (1U << kind))
            cb_leaf_text(leaf, "at", cb_terminal_kind_name(kind));
    if (service->kinds & ~KINDS) /* which nobody can say, but who writes the database */
        cb_leaf_number(leaf, "at", service->kinds);
    if (service->pad)
        cb_leaf_text(leaf, "pin_pad", "needed");
}

static bool is_zero(const cb_digest *digest)
{
    static const cb_digest none;
    return memcmp(digest, &none, sizeof none) == 0;
}

void cb_said_terminal(cb_buf *leaf, const cb_terminal *terminal)
{
    cb_leaf_id(leaf, "terminal", &terminal->id);
    /* One that is de-activated is as it was: a word of its own says that it is. */
    cb_leaf_text(leaf, "state",
                 cb_terminal_state_name(terminal->state == CB_TERMINAL_DEACTIVATED ||
                                                terminal->state == CB_TERMINAL_MAINTENANCE
                                            ? CB_TERMINAL_ACTIVE
                                            : terminal->state));
    cb_leaf_hex(leaf, "key_sha256", cb_digest_bytes(&terminal->key));
    if (terminal->expires)
        cb_leaf_number(leaf, "expires", (uint64_t)terminal->expires);
    if (terminal->next_expires || !is_zero(&terminal->next_key)) {
        cb_leaf_hex(leaf, "next_key_sha256", cb_digest_bytes(&terminal->next_key));
        cb_leaf_number(leaf, "next_expires", (uint64_t)terminal->next_expires);
    }
    cb_leaf_number(leaf, "rate", terminal->rate);
    if (terminal->all_services)
        cb_leaf_text(leaf, "services", "all");
    for (unsigned i = 0; i < terminal->service_count; i++)
        cb_leaf_text(leaf, "service", terminal->services[i]);
    if (terminal->passwords)
        cb_leaf_text(leaf, "passwords", "allowed");
    if (terminal->kind)
        cb_leaf_number(leaf, "terminal_kind", terminal->kind);
    if (terminal->pad)
        cb_leaf_text(leaf, "pin_pad", "there");
}

static bool has_data(const cb_enrolment *enrolment)
{
    return !cb_bytes_same(cb_buf_bytes(&enrolment->data), cb_bytes_str("{}"));
}

void cb_said_enrolment(cb_buf *leaf, const cb_enrolment *enrolment)
{
    cb_digest data = cb_sha256(cb_buf_bytes(&enrolment->data));
    cb_leaf_id(leaf, "holder", &enrolment->holder);
    cb_leaf_text(leaf, "service", enrolment->service);
    if (has_data(enrolment))
        cb_leaf_hex(leaf, "data_sha256", cb_digest_bytes(&data));
}

static cb_error judge(bool as_said, const char *what, const char *name)
{
    if (!as_said)
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
        error = judge(!error && cb_txn_vouched(txn, kind, id, &digest), what, name);
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
        error = judge(!cb_txn_vouched(txn, 'd', &terminal->id, NULL), "terminal", name);
    if (!error && terminal->state != CB_TERMINAL_MAINTENANCE)
        error = judge(!cb_txn_vouched(txn, 'u', &terminal->id, NULL), "terminal", name);
    return error;
}

void cb_said_code(cb_buf *leaf, const cb_terminal_code_row *code)
{
    cb_leaf_hex(leaf, "code_sha256", cb_digest_bytes(&code->hash));
    cb_leaf_number(leaf, "code_expires", (uint64_t)code->expires);
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
    return judge_lines(txn, has_data(enrolment) ? 'e' : 'f', &enrolment->id, &lines, "enrolment", name);
}

void cb_said_maintainer(cb_buf *leaf, const cb_maintainer *maintainer)
{
    cb_leaf_id(leaf, "maintainer", &maintainer->id);
    cb_leaf_id(leaf, "holder", &maintainer->holder);
    if (cb_id_is_zero(&maintainer->terminal))
        cb_leaf_text(leaf, "terminals", "all");
    else
        cb_leaf_id(leaf, "terminal", &maintainer->terminal);
}

cb_error cb_said_of_maintainer(cb_txn *txn, const cb_maintainer *maintainer)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(&maintainer->id, name);
    cb_said_maintainer(&lines, maintainer);
    return judge_lines(txn, 'm', &maintainer->id, &lines, "maintainer", name);
}

void cb_said_maintenance(cb_buf *leaf, const cb_maintenance *maintenance)
{
    cb_leaf_number(leaf, "maintenance_until", (uint64_t)maintenance->until);
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

void cb_said_resume(cb_buf *leaf, const cb_id *terminal)
{
    cb_leaf_id(leaf, "terminal", terminal);
}

cb_error cb_said_of_resume(cb_txn *txn, const cb_id *terminal)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(terminal, name);
    cb_said_resume(&lines, terminal);
    return judge_lines(txn, 'r', terminal, &lines, "terminal_log", name);
}

/* The program, of a list or of a terminal. */
static void put_program(cb_buf *leaf, const cb_software *what)
{
    cb_leaf_text(leaf, "version", what->version);
    cb_leaf_hex(leaf, "program_sha256", cb_digest_bytes(&what->program));
}

void cb_said_software(cb_buf *leaf, const cb_software_entry *entry)
{
    cb_leaf_id(leaf, "software", &entry->id);
    put_program(leaf, &entry->what);
    if (!entry->any_config)
        cb_leaf_hex(leaf, "config_sha256", cb_digest_bytes(&entry->what.config));
    if (entry->since)
        cb_leaf_number(leaf, "since", (uint64_t)entry->since);
    if (entry->until)
        cb_leaf_number(leaf, "until", (uint64_t)entry->until);
    if (entry->note[0])
        cb_leaf_text(leaf, "note", entry->note);
}

cb_error cb_said_of_software(cb_txn *txn, const cb_software_entry *entry)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(&entry->id, name);
    cb_said_software(&lines, entry);
    return judge_lines(txn, 'w', &entry->id, &lines, "software", name);
}

void cb_said_program(cb_buf *leaf, const cb_id *terminal, const cb_software *what)
{
    cb_leaf_id(leaf, "terminal", terminal);
    put_program(leaf, what);
    cb_leaf_hex(leaf, "config_sha256", cb_digest_bytes(&what->config));
}

cb_error cb_said_of_program(cb_txn *txn, const cb_id *terminal, const cb_software *what)
{
    char name[CB_ID_TEXT];
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_id_text(terminal, name);
    cb_said_program(&lines, terminal, what);
    return judge_lines(txn, 'p', terminal, &lines, "terminal_software", name);
}

void cb_said_application(cb_buf *leaf, const cb_application *application)
{
    cb_leaf_id(leaf, "application", &application->id);
    cb_leaf_id(leaf, "holder", &application->holder);
    cb_leaf_number(leaf, "profile", application->profile);
    cb_leaf_text(leaf, "for", application->reason);
    cb_leaf_text(leaf, "operator", application->operator);
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

cb_error cb_said_of_card(cb_txn *txn, const cb_id *card)
{
    char name[CB_ID_TEXT];
    cb_id_text(card, name);
    return judge(!cb_txn_vouched(txn, 'i', card, NULL), "card", name);
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

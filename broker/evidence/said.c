/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/said.h"

#include <string.h>

#include "base/leaf.h"

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

void cb_said_registration(cb_buf *leaf, const cb_registration_row *row)
{
    cb_leaf_id(leaf, "code", &row->code);
    cb_leaf_id(leaf, "holder", &row->holder);
    cb_leaf_number(leaf, "profiles", row->profiles);
    cb_leaf_number(leaf, "level", row->level);
    cb_leaf_number(leaf, "expires", (uint64_t)row->expires);
    if (!cb_id_is_zero(&row->replaces))
        cb_leaf_id(leaf, "replaces", &row->replaces);
}

void cb_said_code(cb_buf *leaf, const cb_terminal_code_row *code)
{
    cb_leaf_hex(leaf, "code_sha256", cb_digest_bytes(&code->hash));
    cb_leaf_number(leaf, "code_expires", (uint64_t)code->expires);
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

void cb_said_maintenance(cb_buf *leaf, const cb_maintenance *maintenance)
{
    cb_leaf_number(leaf, "maintenance_until", (uint64_t)maintenance->until);
}

void cb_said_resume(cb_buf *leaf, const cb_id *terminal)
{
    cb_leaf_id(leaf, "terminal", terminal);
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

void cb_said_program(cb_buf *leaf, const cb_id *terminal, const cb_software *what)
{
    cb_leaf_id(leaf, "terminal", terminal);
    put_program(leaf, what);
    cb_leaf_hex(leaf, "config_sha256", cb_digest_bytes(&what->config));
}

void cb_said_application(cb_buf *leaf, const cb_application *application)
{
    cb_leaf_id(leaf, "application", &application->id);
    cb_leaf_id(leaf, "holder", &application->holder);
    cb_leaf_number(leaf, "profile", application->profile);
    cb_leaf_text(leaf, "for", application->reason);
    cb_leaf_text(leaf, "operator", application->operator);
}

char cb_said_enrolment_word(const cb_enrolment *enrolment)
{
    return has_data(enrolment) ? 'e' : 'f';
}

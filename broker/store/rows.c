/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/rows.h"

#include "broker/store/state_names.h"

const char *const cb_card_states[] = {NULL,        "issued",       "active",     "suspended",
                                      "revoked",   "manufactured", "in-transit", "in-stock",
                                      "expired",   "returned",     "destroyed",  NULL};
const char *const cb_terminal_states[] = {NULL,          "active",      "revoked", "registered",
                                          "deactivated", "disposed",    "maintenance",
                                          NULL};
const char *const cb_enrolment_states[] = {NULL, "pending", "active", "removed", NULL};

static const char *name_of(const char *const *names, uint8_t state)
{
    for (uint8_t i = 1; names[i]; i++) {
        if (i == state)
            return names[i];
    }
    return "unknown";
}

static const char *const kinds[] = {NULL, "attended", "unattended", "personal", NULL};

const char *cb_terminal_kind_name(uint8_t kind)
{
    return kind <= CB_TERMINAL_PERSONAL ? kinds[kind] : NULL;
}

uint8_t cb_terminal_kind_parse(const char *name) { return cb_state_number(kinds, name); }

uint8_t cb_state_number(const char *const *names, const char *name)
{
    for (uint8_t i = 1; names[i]; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    return 0;
}

const char *cb_card_state_name(uint8_t state) { return name_of(cb_card_states, state); }

const char *cb_terminal_state_name(uint8_t state) { return name_of(cb_terminal_states, state); }

const char *cb_enrolment_state_name(uint8_t state) { return name_of(cb_enrolment_states, state); }

void cb_card_init(cb_card *card)
{
    *card = (cb_card){.binding = CB_BUF(CB_BINDING_MAX),
                      .certificates = CB_BUF(CB_CARD_CERTIFICATES_MAX)};
}

void cb_card_free(cb_card *card)
{
    cb_buf_free(&card->binding);
    cb_buf_free(&card->certificates);
}

void cb_service_init(cb_service *service)
{
    *service = (cb_service){.config = CB_BUF(CB_SERVICE_CONFIG_MAX)};
}

void cb_service_free(cb_service *service) { cb_buf_free(&service->config); }

void cb_enrolment_key_init(cb_enrolment_key *key)
{
    *key = (cb_enrolment_key){.sealed = CB_BUF(CB_SEALED_MAX),
                              .public_key = CB_BUF(CB_PUBLIC_KEY_MAX),
                              .certificate = CB_BUF(CB_CERTIFICATE_MAX),
                              .chain = CB_BUF(CB_CHAIN_MAX)};
}

void cb_enrolment_key_free(cb_enrolment_key *key)
{
    cb_buf_free(&key->sealed);
    cb_buf_free(&key->public_key);
    cb_buf_free(&key->certificate);
    cb_buf_free(&key->chain);
}

void cb_enrolment_init(cb_enrolment *enrolment)
{
    *enrolment = (cb_enrolment){.data = CB_BUF(CB_ENROLMENT_DATA_MAX)};
    cb_enrolment_key_init(&enrolment->current);
    cb_enrolment_key_init(&enrolment->next);
}

void cb_enrolment_free(cb_enrolment *enrolment)
{
    cb_buf_free(&enrolment->data);
    cb_enrolment_key_free(&enrolment->current);
    cb_enrolment_key_free(&enrolment->next);
}

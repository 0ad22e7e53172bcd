/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The generations of the authority above brokers: which the card has, and how it gets the next.
 */
#include "cardlink/card/native/application.h"

#include "base/tlv.h"
#include "cardlink/native/link.h"

const cb_vcard_kloc *cb_native_kloc(const cb_vcard_state *state, uint8_t key_id,
                                    uint8_t key_version)
{
    for (size_t i = 0; i < state->kloc_count; i++) {
        const cb_vcard_kloc *kloc = &state->kloc[i];
        if (kloc->key_id == key_id && kloc->key_version == key_version)
            return kloc;
    }
    return NULL;
}

uint8_t cb_native_newest(const cb_vcard_state *state, uint8_t key_id)
{
    uint8_t newest = 0;
    for (size_t i = 0; i < state->kloc_count; i++) {
        const cb_vcard_kloc *kloc = &state->kloc[i];
        if (kloc->key_id == key_id && kloc->key_version > newest)
            newest = kloc->key_version;
    }
    return newest;
}

void cb_native_tell(const cb_vcard_state *state, cb_buf *fci)
{
    cb_buf own = CB_BUF(32);
    if (state->version < CB_VCARD_TELLS)
        return;
    for (size_t i = 0; i < state->kloc_count; i++) {
        const cb_vcard_kloc *kloc = &state->kloc[i];
        const uint8_t pair[] = {kloc->key_id, kloc->key_version};
        if (kloc->key_version == cb_native_newest(state, kloc->key_id))
            cb_tlv_put(&own, CB_TAG_GENERATION, CB_BYTES_OF(pair));
    }
    cb_tlv_put(fci, CB_TAG_OWN, cb_buf_bytes(&own));
    if (cb_buf_error(&own) && !fci->error)
        fci->error = cb_buf_error(&own);
    cb_buf_free(&own);
}

/* What a link changes, to be put back: no secrets. */
typedef struct keys {
    cb_vcard_kloc kloc[CB_VCARD_KLOC_MAX];
    uint8_t count;
} keys;

static keys keys_of(const cb_vcard_state *state)
{
    keys k = {.count = state->kloc_count};
    memcpy(k.kloc, state->kloc, sizeof k.kloc);
    return k;
}

static uint16_t put_back(cb_vcard_state *state, const keys *before, uint16_t status)
{
    memcpy(state->kloc, before->kloc, sizeof state->kloc);
    state->kloc_count = before->count;
    return status;
}

/* Of an authority's keys keeps those from a version on. */
static void drop_older(cb_vcard_state *state, uint8_t key_id, uint8_t from)
{
    size_t kept = 0;
    for (size_t i = 0; i < state->kloc_count; i++) {
        cb_vcard_kloc kloc = state->kloc[i];
        if (kloc.key_id != key_id || kloc.key_version >= from)
            state->kloc[kept++] = kloc;
    }
    memset(&state->kloc[kept], 0, (CB_VCARD_KLOC_MAX - kept) * sizeof state->kloc[0]);
    state->kloc_count = (uint8_t)kept;
}

static void add(cb_vcard_state *state, const cb_link *link)
{
    cb_vcard_kloc *kloc = &state->kloc[state->kloc_count++];
    *kloc = (cb_vcard_kloc){.key_id = link->key_id,
                            .key_version = link->version,
                            .name_len = (uint8_t)link->cvc.subject.len};
    memcpy(kloc->name, link->cvc.subject.data, link->cvc.subject.len);
    memcpy(kloc->point, link->cvc.point.data, CB_P256_POINT);
}

/* The next generation, in one durable write. The one that signed stays beside it until the new one
 * has served a whole session; any before that goes. Only the newest may say what comes next: what
 * was replaced has no say any more. */
uint16_t cb_vcard_link(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    cb_link link;
    uint8_t key_id = apdu->p2 & (uint8_t)~CB_NATIVE_PSO_LINK;
    cb_vcard_state *state = &card->state;
    const keys before = keys_of(state);
    const cb_vcard_kloc *signer = cb_native_kloc(state, key_id, apdu->p1);
    (void)data;
    if (state->version < CB_VCARD_TELLS || !signer)
        return CB_SW_NOT_FOUND;
    if (cb_link_parse(apdu->data, &link))
        return CB_SW_DATA;
    if (signer->key_version != cb_native_newest(state, key_id))
        return CB_SW_CONDITIONS;
    if (!cb_link_follows(&link, key_id, signer->key_version,
                         cb_bytes_make(signer->name, signer->name_len), CB_BYTES_OF(signer->point)))
        return CB_SW_SECURITY;
    drop_older(state, key_id, signer->key_version);
    if (state->kloc_count == CB_VCARD_KLOC_MAX)
        return put_back(state, &before, CB_SW_FULL);
    add(state, &link);
    return cb_native_save(card) ? CB_SW_OK : put_back(state, &before, CB_SW_MEMORY);
}

void cb_native_settle(cb_native_application *card)
{
    const cb_vcard_session *session = &card->session;
    if (card->state.version >= CB_VCARD_TELLS && session->signer_same &&
        session->kloc_version == cb_native_newest(&card->state, session->kloc_id))
        drop_older(&card->state, session->kloc_id, session->kloc_version);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/native/first.h"

#include "base/tlv.h"

enum { ACCEPTED_MAX = CB_HOST_OLDER_MAX + 1, ITEMS_MAX = 2 * ACCEPTED_MAX + 4, WHEN_MAX = 16 };

typedef enum item_kind { ITEM_SELECT, ITEM_STORE, ITEM_LINK, ITEM_PSO, ITEM_MUTUAL } item_kind;

/* A command of the script, before it is known whether it is for the card that lies there. */
typedef struct item {
    item_kind kind;
    const cb_generation *of; /* of a link, a certificate */
    uint8_t when[WHEN_MAX];
    size_t when_len;
} item;

typedef struct plan {
    cb_generation accepted[ACCEPTED_MAX]; /* the newest last */
    size_t generations;
    item item[ITEMS_MAX];
    size_t count;
} plan;

/* ---- What the script consists of ---- */

static void accept_from(const cb_profile_host *host, uint8_t retired, plan *p)
{
    for (size_t i = 0; i < host->older_count && i < CB_HOST_OLDER_MAX; i++) {
        const cb_host_older *older = &host->older[i];
        if (older->version > retired)
            p->accepted[p->generations++] =
                (cb_generation){older->keys, older->version, older->agreement_certificate,
                                older->signer_certificate, older->link};
    }
    if (host->key_version > retired)
        p->accepted[p->generations++] = (cb_generation){.keys = host->keys,
                                                        .version = host->key_version,
                                                        .agreement = host->agreement_certificate,
                                                        .signer = host->signer_certificate};
}

static item *add(plan *p, item_kind kind, const cb_generation *of)
{
    p->item[p->count] = (item){.kind = kind, .of = of};
    return &p->item[p->count++];
}

/* Only for cards that say that they have this generation. */
static void when_told(item *to, uint8_t key_id, uint8_t version)
{
    const uint8_t pair[] = {CB_TAG_GENERATION, 2, key_id, version};
    memcpy(to->when, pair, sizeof pair);
    to->when_len = sizeof pair;
}

/* Only for cards that say nothing of generations: they answer with their name alone. */
static void when_silent(item *to)
{
    const uint8_t head[] = {CB_TAG_FCI, 2 + sizeof cb_native_aid, CB_TAG_NAME,
                            sizeof cb_native_aid};
    memcpy(to->when, head, sizeof head);
    memcpy(to->when + sizeof head, cb_native_aid, sizeof cb_native_aid);
    to->when_len = sizeof head + sizeof cb_native_aid;
}

/* Cards that say nothing have the first generation there was. */
static void plan_certificates(const cb_profile_host *host, plan *p)
{
    const cb_generation *accepted = p->accepted;
    if (p->generations == 1) {
        add(p, ITEM_PSO, accepted);
        return;
    }
    for (size_t i = 0; i < p->generations; i++) {
        if (accepted[i].link.len > 0)
            when_told(add(p, ITEM_LINK, &accepted[i]), host->key_id, accepted[i].version);
    }
    if (p->generations > 0)
        when_silent(add(p, ITEM_PSO, accepted));
    for (size_t i = 0; i < p->generations; i++)
        when_told(add(p, ITEM_PSO, &accepted[i]), host->key_id, accepted[i].version);
}

static void make_plan(const cb_profile_host *host, uint8_t retired, plan *p)
{
    *p = (plan){.count = 0};
    accept_from(host, retired, p);
    add(p, ITEM_SELECT, NULL);
    add(p, ITEM_STORE, NULL);
    plan_certificates(host, p);
    add(p, ITEM_MUTUAL, NULL);
}

/* ---- Making it ---- */

static cb_apdu command_of(const item *of, uint8_t key_id, const uint8_t data[CB_CHANNEL_DATA])
{
    static const uint8_t store_of[] = {
        0xA6, 0x04, 0x83, 0x02, CB_NATIVE_CARD_KEY_ID, CB_NATIVE_CARD_KEY_VERSION};
    switch (of->kind) {
    case ITEM_SELECT:
        return (cb_apdu){0x00, CB_INS_SELECT, 0x04, 0x00, CB_BYTES_OF(cb_native_aid), true};
    case ITEM_STORE:
        return (cb_apdu){0x00, CB_INS_GET_DATA, 0xBF, 0x21, CB_BYTES_OF(store_of), true};
    case ITEM_LINK:
        return (cb_apdu){CB_NATIVE_CLA, CB_INS_PSO, of->of->version, key_id | CB_NATIVE_PSO_LINK,
                         of->of->link,  false};
    case ITEM_PSO:
        return (cb_apdu){CB_NATIVE_CLA, CB_INS_PSO,        of->of->version,
                         key_id,        of->of->agreement, false};
    default:
        return (cb_apdu){CB_NATIVE_CLA,
                         CB_INS_MUTUAL,
                         CB_NATIVE_CARD_KEY_VERSION,
                         CB_NATIVE_CARD_KEY_ID,
                         cb_bytes_make(data, CB_CHANNEL_DATA),
                         false};
    }
}

static void put_item(const item *of, const cb_apdu *apdu, cb_buf *script)
{
    cb_buf bytes = CB_BUF(CB_COMMAND_MAX);
    cb_apdu_put(&bytes, apdu);
    if (cb_buf_error(&bytes) && !script->error)
        script->error = cb_buf_error(&bytes);
    cb_script_put_when(script, of->kind == ITEM_LINK ? CB_SCRIPT_GO_ON : 0,
                       cb_bytes_make(of->when, of->when_len), cb_buf_bytes(&bytes));
    cb_buf_free(&bytes);
}

static bool certificate_ok(cb_bytes certificate)
{
    return certificate.len > 0 && certificate.len <= CB_NATIVE_CERTIFICATE_MAX;
}

static cb_error host_check(const cb_profile_host *host, const plan *p)
{
    if (!cb_native_kloc_id_ok(host->key_id))
        return CB_E_CONFIG;
    for (size_t i = 0; i < p->generations; i++) {
        const cb_generation *g = &p->accepted[i];
        if (!certificate_ok(g->agreement) || !certificate_ok(g->signer) ||
            g->link.len > CB_NATIVE_CERTIFICATE_MAX)
            return CB_E_CONFIG;
    }
    bool newest =
        p->generations > 0 && p->accepted[p->generations - 1].version == host->key_version;
    return newest ? CB_OK : CB_E_HSM_DOWN;
}

cb_error cb_native_first_put(const cb_profile_host *host, uint8_t retired,
                             const uint8_t data[CB_CHANNEL_DATA], cb_buf *script)
{
    plan p;
    make_plan(host, retired, &p);
    cb_error error = host_check(host, &p);
    for (size_t i = 0; !error && i < p.count; i++) {
        cb_apdu apdu = command_of(&p.item[i], host->key_id, data);
        put_item(&p.item[i], &apdu, script);
        error = cb_buf_error(script);
    }
    return error;
}

/* ---- What a card made of it ---- */

/* Whether the card says which generations it has, and the one of this broker's authority, if it
 * does.
 */
static bool read_told(cb_bytes answer, uint8_t key_id, uint8_t *told)
{
    cb_cursor outer = cb_cursor_over(cb_answer_data(answer));
    cb_cursor fci = cb_cursor_over(cb_tlv_expect(&outer, CB_TAG_FCI));
    cb_tlv_expect(&fci, CB_TAG_NAME);
    cb_cursor own = cb_cursor_over(cb_tlv_expect(&fci, CB_TAG_OWN));
    *told = 0;
    if (!cb_cursor_done(&fci) || !cb_cursor_done(&outer))
        return false;
    for (cb_tlv object; cb_tlv_next(&own, &object);) {
        if (object.tag == CB_TAG_GENERATION && object.value.len == 2 &&
            object.value.data[0] == key_id)
            *told = object.value.data[1];
    }
    return true;
}

/* What a failure of another command means. */
static cb_error plain_failure(item_kind kind, uint16_t status)
{
    if (status == CB_SW_TERMINATED)
        return CB_E_CARD_BLOCKED;
    if (status == CB_SW_EXPIRED)
        return CB_E_CARD_EXPIRED;
    if (status == CB_SW_CONDITIONS && kind != ITEM_SELECT)
        return CB_E_CARD_STATUS;
    if (kind == ITEM_SELECT || status == CB_SW_NOT_FOUND || status == CB_SW_SECURITY)
        return CB_E_CARD_FOREIGN;
    return CB_E_CARD_STATUS;
}

/* Of a card that knows no key of an authority whose broker's certificates are accepted: whether it
 * knew one of before. */
static cb_error unknown_key(const cb_profile_host *host, const plan *p, bool tells, uint8_t told)
{
    bool was =
        tells ? told > 0 && told < p->accepted[p->generations - 1].version : host->retired > 0;
    return was ? CB_E_CARD_GENERATION : CB_E_CARD_FOREIGN;
}

/* Those that are played for this card. */
static size_t played(const plan *p, cb_bytes first_answer, const item *out[ITEMS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        cb_script_item one = {.flags = p->item[i].when_len > 0 ? CB_SCRIPT_WHEN : 0,
                              .when = cb_bytes_make(p->item[i].when, p->item[i].when_len)};
        if (cb_script_plays(&one, first_answer))
            out[count++] = &p->item[i];
    }
    return count;
}

cb_error cb_native_first_read(const cb_profile_host *host, uint8_t retired,
                              const cb_script *answers, cb_native_first *out)
{
    plan p;
    const item *items[ITEMS_MAX];
    const cb_generation *used = NULL;
    uint8_t told;
    *out = (cb_native_first){.tells = false};
    make_plan(host, retired, &p);
    if (p.generations == 0)
        return CB_E_HSM_DOWN;
    cb_bytes first = answers->count > 0 ? answers->item[0].apdu : (cb_bytes){0};
    out->tells = read_told(first, host->key_id, &told);
    size_t count = played(&p, first, items);
    if (answers->count > count)
        return CB_E_CARD_ANSWER;
    for (size_t i = 0; i < answers->count; i++) {
        uint16_t status = cb_answer_status(answers->item[i].apdu);
        bool no_key = items[i]->kind == ITEM_PSO ? status == CB_SW_NOT_FOUND
                                                 : items[i]->kind == ITEM_MUTUAL && !used;
        if (status == 0)
            return CB_E_CARD_ANSWER;
        if (no_key)
            return unknown_key(host, &p, out->tells, told);
        if (status != CB_SW_OK && items[i]->kind != ITEM_LINK)
            return plain_failure(items[i]->kind, status);
        if (items[i]->kind == ITEM_PSO)
            used = items[i]->of;
        out->mutual = answers->item[i].apdu;
    }
    if (answers->count < count)
        return CB_E_CARD_REMOVED;
    if (used->version <= host->retired)
        return CB_E_CARD_GENERATION;
    out->used = *used;
    return CB_OK;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/enrolment_key.h"

#include "base/clock.h"
#include "broker/core/state.h"

cb_error cb_key_take(const cb_id *holder, const char *service, cb_bytes sealed, cb_bytes public_key,
                     cb_enrolment_key *out)
{
    cb_sealed_info info;
    if (cb_sealed_info_read(sealed, &info) || !cb_id_same(&info.holder, holder) ||
        strcmp(info.service, service) != 0 || info.sequence > INT64_MAX ||
        public_key.len > CB_PUBLIC_KEY_MAX)
        return CB_E_ARGUMENT;
    out->id = info.key;
    out->algorithm = info.algorithm;
    out->level = info.level;
    out->sequence = info.sequence;
    cb_buf_put(&out->sealed, sealed);
    cb_buf_put(&out->public_key, public_key);
    cb_error error = cb_buf_error(&out->sealed);
    return error ? error : cb_buf_error(&out->public_key);
}

void cb_key_leaf(cb_buf *leaf, const cb_enrolment_key *key)
{
    cb_leaf_id(leaf, "key", &key->id);
    cb_leaf_text(leaf, "algorithm", cb_key_algorithm_name(key->algorithm));
    cb_leaf_number(leaf, "sequence", key->sequence);
}

cb_error cb_key_retire(cb_txn *txn, const cb_act *act, const cb_id *enrolment,
                       const cb_enrolment_key *key)
{
    uint64_t number = 0;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    if (cb_id_is_zero(&key->id))
        return CB_OK;
    cb_act_leaf(&leaf, "enrolment.key_retired", act);
    cb_leaf_id(&leaf, "enrolment", enrolment);
    cb_leaf_id(&leaf, "key", &key->id);
    cb_error error = cb_row_key_retire(txn, &key->id);
    if (!error)
        error = cb_txn_feed(txn, CB_FEED_KEY_RETIRED, &key->id, act->time, &leaf, &number);
    if (!error && act->affected)
        act->affected->feed_number = number;
    cb_buf_free(&leaf);
    return error;
}

/* ---- Acts on a key ---- */

typedef struct key_act {
    cb_act act;
    const cb_id *id;
    cb_bytes certificate, chain;
    cb_bytes sealed, public_key;
    /* What the act does to the enrolment as it stands. */
    cb_error (*change)(cb_txn *txn, const struct key_act *act, const cb_enrolment *enrolment);
} key_act;

static cb_error run_act(cb_txn *txn, void *context)
{
    const key_act *act = context;
    cb_enrolment enrolment;
    cb_enrolment_init(&enrolment);
    cb_error error = cb_row_enrolment_get(txn, act->id, &enrolment);
    if (!error)
        error = act->change(txn, act, &enrolment);
    cb_enrolment_free(&enrolment);
    return error;
}

/* The key that waits takes its place; the old one is gone before, for there is one of each. */
static cb_error take_over(cb_txn *txn, const key_act *act, const cb_enrolment *enrolment,
                          const cb_id *key)
{
    uint8_t state = 0;
    cb_error error = cb_enrolment_next(enrolment->state, CB_ENROLMENT_READY, &state);
    if (!error)
        error = cb_key_retire(txn, &act->act, &enrolment->id, &enrolment->current);
    if (!error)
        error = cb_row_key_promote(txn, key);
    return error ? error : cb_row_enrolment_state(txn, &enrolment->id, state, act->act.time);
}

/* ---- Certificates ---- */

static cb_error certifies(cb_bytes certificate, const cb_enrolment_key *key)
{
    cb_buf public_key = CB_BUF(CB_PUBLIC_KEY_MAX);
    cb_error error = cb_certificate_public_key(certificate, &public_key);
    if (error != CB_E_MEMORY &&
        (error || !cb_bytes_same(cb_buf_bytes(&public_key), cb_buf_bytes(&key->public_key))))
        error = CB_E_ARGUMENT;
    cb_buf_free(&public_key);
    return error;
}

static cb_error write_certificate(cb_txn *txn, const key_act *act, const cb_enrolment *enrolment,
                                  const cb_enrolment_key *key)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_digest digest = cb_sha256(act->certificate);
    cb_act_leaf(&leaf, "enrolment.certified", &act->act);
    cb_leaf_id(&leaf, "enrolment", &enrolment->id);
    cb_leaf_text(&leaf, "state", cb_enrolment_state_name(CB_ENROLMENT_ACTIVE));
    cb_leaf_id(&leaf, "key", &key->id);
    cb_leaf_hex(&leaf, "certificate_sha256", cb_digest_bytes(&digest));
    cb_error error = cb_row_key_certificate(txn, &key->id, act->certificate, act->chain);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error change_certificate(cb_txn *txn, const key_act *act, const cb_enrolment *enrolment)
{
    bool waits = !cb_id_is_zero(&enrolment->next.id);
    const cb_enrolment_key *key = waits ? &enrolment->next : &enrolment->current;
    uint8_t state = 0;
    cb_error error = cb_enrolment_next(enrolment->state, CB_ENROLMENT_READY, &state);
    if (!error)
        error = certifies(act->certificate, key);
    if (!error)
        error = write_certificate(txn, act, enrolment, key);
    if (!error && waits)
        error = take_over(txn, act, enrolment, &key->id);
    return error;
}

cb_error cb_enrolment_certificate(cb_store *store, const char *actor, const cb_id *id,
                                  cb_bytes certificate, cb_bytes chain)
{
    key_act act = {.act = {.actor = actor, .time = cb_clock_wall_us()},
                   .id = id,
                   .certificate = certificate,
                   .chain = chain,
                   .change = change_certificate};
    if (cb_act_check(actor, NULL) || certificate.len == 0 || certificate.len > CB_CERTIFICATE_MAX ||
        chain.len > CB_CHAIN_MAX)
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_act, &act, CB_WRITE_ORDINARY);
}

/* ---- Renewal ---- */

static cb_error write_renewal(cb_txn *txn, const key_act *act, const cb_enrolment *enrolment,
                              const cb_enrolment_key *key)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "enrolment.renewed", &act->act);
    cb_leaf_id(&leaf, "enrolment", &enrolment->id);
    cb_key_leaf(&leaf, key);
    cb_error error = cb_row_key_put(txn, &enrolment->id, false, key);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error needs_certificate(cb_txn *txn, const char *name, bool *needs)
{
    cb_service service;
    cb_service_init(&service);
    cb_error error = cb_row_service_get(txn, name, &service);
    *needs = service.certificate;
    cb_service_free(&service);
    return error;
}

static cb_error renew_with(cb_txn *txn, const key_act *act, const cb_enrolment *enrolment,
                           const cb_enrolment_key *key)
{
    bool waits = true;
    if (cb_id_same(&key->id, &enrolment->current.id))
        return CB_E_EXISTS; /* it was done: who asks again was not told */
    if (key->sequence <= enrolment->current.sequence)
        return CB_E_ARGUMENT;
    cb_error error = needs_certificate(txn, enrolment->service, &waits);
    if (!error)
        error = write_renewal(txn, act, enrolment, key);
    if (!error && !waits)
        error = take_over(txn, act, enrolment, &key->id);
    return error;
}

static cb_error change_renew(cb_txn *txn, const key_act *act, const cb_enrolment *enrolment)
{
    cb_enrolment_key key;
    uint8_t state = 0;
    cb_error error = cb_enrolment_next(enrolment->state, CB_ENROLMENT_RENEW, &state);
    if (!error && !cb_id_is_zero(&enrolment->next.id))
        error = CB_E_STATE;
    if (error)
        return error;
    cb_enrolment_key_init(&key);
    error = cb_key_take(&enrolment->holder, enrolment->service, act->sealed, act->public_key, &key);
    if (!error)
        error = renew_with(txn, act, enrolment, &key);
    cb_enrolment_key_free(&key);
    return error;
}

cb_error cb_enrolment_renew(cb_store *store, const char *actor, const cb_id *id, cb_bytes sealed,
                            cb_bytes public_key)
{
    key_act act = {.act = {.actor = actor, .time = cb_clock_wall_us()},
                   .id = id,
                   .sealed = sealed,
                   .public_key = public_key,
                   .change = change_renew};
    if (cb_act_check(actor, NULL))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_act, &act, CB_WRITE_ORDINARY);
}

/* ---- The same key, sealed anew ---- */

static bool same_key(const cb_enrolment_key *key, const cb_sealed_info *info)
{
    cb_sealed_info old;
    return cb_id_same(&key->id, &info->key) && key->algorithm == info->algorithm &&
           key->level == info->level && key->sequence == info->sequence &&
           cb_sealed_info_read(cb_buf_bytes(&key->sealed), &old) == CB_OK &&
           cb_id_same(&old.holder, &info->holder) && strcmp(old.service, info->service) == 0 &&
           info->generation >= old.generation;
}

static cb_error change_sealed(cb_txn *txn, const key_act *act, const cb_enrolment *enrolment)
{
    cb_sealed_info info;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_error error = cb_sealed_info_read(act->sealed, &info);
    if (error || (!same_key(&enrolment->current, &info) && !same_key(&enrolment->next, &info)))
        return CB_E_ARGUMENT;
    cb_act_leaf(&leaf, "enrolment.rewrapped", &act->act);
    cb_leaf_id(&leaf, "enrolment", &enrolment->id);
    cb_leaf_id(&leaf, "key", &info.key);
    cb_leaf_number(&leaf, "generation", info.generation);
    error = cb_row_key_sealed(txn, &info.key, act->sealed);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_enrolment_rewrap(cb_store *store, const char *actor, const cb_id *id, cb_bytes sealed)
{
    key_act act = {.act = {.actor = actor, .time = cb_clock_wall_us()},
                   .id = id,
                   .sealed = sealed,
                   .change = change_sealed};
    if (cb_act_check(actor, NULL))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_act, &act, CB_WRITE_ORDINARY);
}

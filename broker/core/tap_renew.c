/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A tap that binds its card with the certificates that it has now. hsmd looks at binding,
 * certificates and proof, and makes the new binding; here the issuers are asked about the new
 * certificates, and what came of it is recorded.
 *
 * What hsmd has made and nobody has recorded, because either side ended in between, is made again
 * by the next such tap: until then the card has the binding of before.
 *
 * A card may have a new key while the certificates that it is bound with count: then its proof
 * fails, and is counted as everybody's; if the renewal follows at once it is taken back
 * (tap_unexplained.h).
 */
#include "base/clock.h"
#include "broker/core/tap_parts.h"

static cb_error recognise(const cb_taps *taps, const cb_foreign_reading *reading, cb_card *card)
{
    cb_id id;
    cb_script answers;
    const cb_card_profile *profile = cb_profile_find(reading->profile);
    cb_error error = cb_script_read(reading->answers, CB_ANSWER_MAX, &answers);
    if (!error)
        error = profile->recognise(&answers, &id);
    return error ? error : cb_decide_lookup_card(taps->parts.store, &id, card);
}

static void remember(cb_tap_entry *entry, const cb_card *card)
{
    entry->card = card->id;
    entry->holder = card->holder;
    entry->sequence = card->sequence;
    entry->binding = cb_sha256(cb_buf_bytes(&card->binding));
}

/* Once, whatever comes of this tap: a renewal that fails explains nothing. */
static void take_failed(cb_taps *taps, cb_tap_entry *entry)
{
    cb_tap_unexplained_take(taps->unexplained, &entry->card, &entry->context.terminal,
                            &entry->failed);
}

/* hsmd is not asked before the issuers were: what it is told it cannot be told back. *new becomes
 * false of a card that shows those that it is bound with. */
static cb_error ask(cb_taps *taps, cb_tap_entry *entry, const cb_foreign_reading *reading,
                    cb_card *card, bool *new, cb_buf *script)
{
    cb_error error = recognise(taps, reading, card);
    if (!error) {
        remember(entry, card);
        take_failed(taps, entry);
        error = cb_card_renewal_refusal(card, cb_clock_wall_us());
    }
    if (!error)
        error = cb_tap_take_certificates(reading, &entry->certificates);
    cb_bytes shown = cb_buf_bytes(&entry->certificates);
    if (!error && cb_bytes_same(shown, cb_buf_bytes(&card->certificates))) {
        *new = false;
        error = CB_E_CERTIFICATE_RENEWAL;
    }
    if (!error)
        error = cb_tap_ask_issuers(taps, shown);
    if (!error)
        error = cb_tap_pass_feed_on(taps, &entry->context.tap);
    if (!error)
        error = cb_hsm_tap_renew(taps->parts.hsm, &entry->context, reading,
                                 cb_buf_bytes(&card->binding), cb_buf_bytes(&card->certificates),
                                 script);
    return error;
}

static cb_error admit(cb_taps *taps, cb_tap_entry *entry, const void *unused)
{
    (void)unused;
    entry->context.purpose = CB_TAP_RENEW;
    return cb_profile_find(entry->context.profile)->certificates > 0
               ? cb_tap_permit(taps, &entry->context, NULL, false)
               : CB_E_CARD_FOREIGN;
}

static cb_error ask_and_say(cb_taps *taps, cb_tap_entry *entry, const void *asked, cb_buf *script)
{
    cb_card card;
    bool new = true;
    cb_foreign_reading reading = *(const cb_foreign_reading *)asked;
    reading.profile = entry->context.profile;
    cb_card_init(&card);
    cb_error error = ask(taps, entry, &reading, &card, &new, script);
    cb_card_free(&card);
    if (error && new) { /* a card that has nothing new has done nothing; its terminal's rate has */
        const cb_tap_outcome known = {.card = entry->card, .holder = entry->holder};
        cb_buf_reset(script);
        cb_tap_refuse(taps, &entry->context, cb_id_is_zero(&entry->card) ? NULL : &known, error);
    }
    return error;
}

cb_error cb_tap_renew(cb_taps *taps, const cb_id *terminal, const cb_id *tap,
                      const cb_foreign_reading *reading, cb_buf *script, unsigned *expires_in)
{
    const cb_tap_asking asking = {reading, admit, ask_and_say};
    return cb_tap_put_question(taps, terminal, tap, &asking, script, expires_in);
}

/* ---- The end ---- */

typedef struct binding_run {
    cb_taps *taps;
    const cb_tap_entry *entry;
    cb_buf binding;
} binding_run;

static cb_error bind_at(void *context, const cb_feed_head *head)
{
    binding_run *run = context;
    cb_buf_reset(&run->binding);
    return cb_hsm_tap_bind(run->taps->parts.hsm, &run->entry->context.tap, run->entry->sequence + 1,
                           head, &run->binding);
}

static cb_error record(const binding_run *run, cb_tap_outcome *outcome)
{
    cb_card card;
    const cb_tap_entry *entry = run->entry;
    const cb_failure_limits limits = cb_taps_limits(run->taps);
    const cb_card_tap_renewal what = {.tap = entry->context.tap,
                                      .terminal = entry->context.terminal,
                                      .card = entry->card,
                                      .before = entry->binding,
                                      .binding = cb_buf_bytes(&run->binding),
                                      .certificates = cb_buf_bytes(&entry->certificates),
                                      .failed =
                                          cb_id_is_zero(&entry->failed.tap) ? NULL : &entry->failed,
                                      .limits = &limits};
    cb_card_init(&card);
    cb_error error = cb_card_renew_at_tap(run->taps->parts.store, &what, &card);
    if (!error) {
        outcome->card = card.id;
        outcome->holder = card.holder;
        outcome->level = card.level;
    }
    cb_card_free(&card);
    return error;
}

cb_error cb_tap_renew_end(cb_taps *taps, const cb_tap_entry *entry, cb_bytes answers,
                          cb_tap_outcome *outcome)
{
    cb_card_claim claim;
    binding_run run = {.taps = taps, .entry = entry, .binding = CB_BUF(CB_BINDING_MAX)};
    cb_error error = cb_hsm_tap_finish(taps->parts.hsm, &entry->context.tap, answers, &claim);
    if (error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED)
        outcome->pin_tries_left = claim.pin_tries_left;
    if (!error)
        error = cb_tap_with_head(taps, &entry->context.tap, bind_at, &run);
    if (!error)
        error = record(&run, outcome);
    cb_buf_free(&run.binding);
    return error;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A tap that registers the card that lies there, by a one-time code of its holder's. hsmd looks at
 * code, certificates and proof, and makes the binding; here the issuer is asked about the
 * certificates, and what came of it is recorded: card and code in one transaction.
 *
 * What hsmd has bound and nobody has recorded, because either side ended in between, is made again:
 * the code stays good for the same card until its end.
 */
#include "broker/core/registration.h"
#include "broker/core/tap_parts.h"

/* Which card it says it is; and whether that one may be registered with this code. */
static cb_error look_at_card(const cb_taps *taps, const cb_foreign_reading *reading,
                             const cb_id *code, cb_id *card)
{
    cb_script answers;
    const cb_card_profile *profile = cb_profile_find(reading->profile);
    cb_error error = cb_script_read(reading->answers, CB_ANSWER_MAX, &answers);
    if (!error)
        error = profile->recognise(&answers, card);
    return error ? error
                 : cb_registration_open(taps->parts.store, code, card, reading->profile,
                                        taps->parts.rules);
}

/* A terminal tries few codes a minute, whatever they are. */
static cb_error take_try(cb_taps *taps, const cb_id *terminal)
{
    cb_error error = cb_rate_take(taps->codes, terminal, CB_TAP_CODES_A_MINUTE);
    return error == CB_E_TERMINAL_RATE ? CB_E_REGISTRATION_RATE : error;
}

static cb_error admit(cb_taps *taps, cb_tap_entry *entry, const void *unused)
{
    (void)unused;
    entry->context.purpose = CB_TAP_REGISTER;
    return cb_profile_find(entry->context.profile)->recognise
               ? cb_tap_permit(taps, &entry->context, NULL, false)
               : CB_E_CARD_FOREIGN;
}

static cb_error ask(cb_taps *taps, cb_tap_entry *entry, const void *asked, cb_buf *script)
{
    cb_id card;
    const cb_tap_registration *registration = asked;
    cb_foreign_reading reading = registration->reading;
    reading.profile = entry->context.profile;
    entry->code = cb_registration_id(registration->word.point);
    cb_error error = take_try(taps, &entry->context.terminal);
    if (!error)
        error = look_at_card(taps, &reading, &entry->code, &card);
    if (!error)
        error = cb_tap_take_certificates(&reading, &entry->certificates);
    if (!error)
        error = cb_tap_ask_issuers(taps, cb_buf_bytes(&entry->certificates));
    if (!error)
        error = cb_hsm_tap_register(taps->parts.hsm, &entry->context, &reading,
                                    &registration->word, script);
    /* The card is not on record as what it says: nobody has proven that, nor is it registered. */
    return error ? cb_tap_refuse(taps, &entry->context, NULL, error) : CB_OK;
}

cb_error cb_tap_register(cb_taps *taps, const cb_id *terminal, const cb_id *tap,
                         const cb_tap_registration *registration, cb_buf *script,
                         unsigned *expires_in)
{
    const cb_tap_asking asking = {registration, admit, ask};
    return cb_tap_put_question(taps, terminal, tap, &asking, script, expires_in);
}

/* ---- The end ---- */

typedef struct binding_run {
    cb_taps *taps;
    const cb_tap_entry *entry;
    uint64_t sequence;
    cb_buf binding;
} binding_run;

static cb_error bind_at(void *context, const cb_feed_head *head)
{
    binding_run *run = context;
    cb_buf_reset(&run->binding);
    return cb_hsm_tap_bind(run->taps->parts.hsm, &run->entry->context.tap, run->sequence, head,
                           &run->binding);
}

/* It is dead also where the head of the log could not be signed, and the holder comes again. */
static void cut_replaced(const cb_taps *taps, const cb_registration_replaced *replaced)
{
    cb_session_match match = {.card = replaced->card};
    if (!cb_id_is_zero(&replaced->card) && taps->parts.ended)
        taps->parts.ended(taps->parts.ended_context, &match, &replaced->affected);
}

static cb_error record(const binding_run *run, const cb_card_claim *claim, cb_tap_outcome *outcome)
{
    cb_card card;
    const cb_tap_entry *entry = run->entry;
    const cb_registration_use use = {.code = entry->code,
                                     .tap = entry->context.tap,
                                     .terminal = entry->context.terminal,
                                     .binding = cb_buf_bytes(&run->binding),
                                     .certificates = cb_buf_bytes(&entry->certificates),
                                     .counter = claim->counter,
                                     .rules = run->taps->parts.rules};
    cb_registration_replaced replaced = {.card = {{0}}};
    cb_card_init(&card);
    cb_error error = cb_registration_use_code(run->taps->parts.store, &use, &card, &replaced);
    cut_replaced(run->taps, &replaced);
    if (!error) {
        outcome->replaces = replaced.card;
        outcome->card = card.id;
        outcome->holder = card.holder;
        outcome->level = card.level;
    }
    if (error == CB_E_CARD_COUNTER) { /* of a card that this code has registered before */
        outcome->card = claim->card;
        outcome->counter = claim->counter;
        outcome->proof_heard = true;
    }
    cb_card_free(&card);
    cb_affected_free(&replaced.affected);
    return error;
}

cb_error cb_tap_register_end(cb_taps *taps, const cb_tap_entry *entry, cb_bytes answers,
                             cb_tap_outcome *outcome)
{
    cb_card_claim claim;
    binding_run run = {.taps = taps, .entry = entry, .binding = CB_BUF(CB_BINDING_MAX)};
    cb_error error = cb_hsm_tap_finish(taps->parts.hsm, &entry->context.tap, answers, &claim);
    if (error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED)
        outcome->pin_tries_left = claim.pin_tries_left;
    if (!error)
        error = cb_registration_sequence(taps->parts.store, &entry->code, &run.sequence);
    if (!error)
        error = cb_tap_with_head(taps, &entry->context.tap, bind_at, &run);
    if (!error)
        error = record(&run, &claim, outcome);
    cb_buf_free(&run.binding);
    return error;
}

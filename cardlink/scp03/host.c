/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's side of SCP03 cards: the calls of profile.h.
 *
 * The card and the broker prove to each other that they have the card's keys, which the broker derives from a master key in the HSM for
 * the length of a tap; the card then answers, inside the channel, that it is there for this tap's context. It has no PIN.
 */
#include "base/secret.h"
#include "cardlink/foreign.h"
#include "cardlink/scp03/presence.h"
#include "cardlink/scp03/session.h"

enum {
    STEP_NEW,
    STEP_BEGUN,
    STEP_ASKED,
    STEP_DONE,
    FIRST_SELECT = 0,
    FIRST_UPDATE,
    FIRST_COUNT,
    SECOND_AUTHENTICATE = 0,
    SECOND_PRESENCE,
    SECOND_COUNT,
    ANY_KEY_VERSION = 0
};

static const uint8_t select_command[] = {0x00, 0xA4, 0x04, 0x00, 0x0C, CB_SCP03_AID_BYTES, 0x00};

typedef struct scp03_tap {
    uint8_t step;
    uint8_t challenge[CB_SCP03_CHALLENGE];
    cb_id card;
    cb_digest context;
    cb_sm sm; /* of the channel, once the second script was made */
    cb_sm_mark mark;
} scp03_tap;

static cb_error begin(void *state, const cb_profile_host *host, cb_buf *script)
{
    scp03_tap *tap = state;
    cb_buf update = CB_BUF(CB_COMMAND_MAX);
    (void)host;
    if (tap->step != STEP_NEW)
        return CB_E_TAP_ORDER;
    cb_random(tap->challenge, sizeof tap->challenge);
    cb_scp03_update_command(ANY_KEY_VERSION, tap->challenge, &update);
    cb_script_put(script, 0, CB_BYTES_OF(select_command));
    cb_script_put(script, 0, cb_buf_bytes(&update));
    cb_error error = cb_buf_error(&update) ? cb_buf_error(&update) : cb_buf_error(script);
    cb_buf_free(&update);
    if (!error)
        tap->step = STEP_BEGUN;
    return error;
}

static cb_error read_update(const cb_script *answers, cb_scp03_update *update, cb_id *card)
{
    cb_error error = cb_foreign_answers(answers, FIRST_COUNT);
    if (!error)
        error = cb_scp03_update_read(cb_answer_data(answers->item[FIRST_UPDATE].apdu), update);
    if (!error)
        *card = cb_foreign_card_id(CB_PROFILE_SCP03, CB_BYTES_OF(update->kdd));
    return error;
}

static cb_error recognise(const cb_script *answers, cb_id *card)
{
    cb_scp03_update update;
    return read_update(answers, &update, card);
}

/* The card's keys are here for as long as this takes, the session's until the tap ends. */
static cb_error open_channel(const scp03_tap *tap, const cb_profile_host *host,
                             const cb_scp03_update *update, cb_scp03_session *session)
{
    cb_scp03_keys keys;
    const cb_scp03_master master = {host->cmac, host->keys, host->cmac_key_len};
    if (!host->cmac || host->cmac_key_len == 0)
        return CB_E_CONFIG;
    cb_error error = cb_scp03_diversify(&master, update->kdd, &keys);
    if (!error)
        error = cb_scp03_open(&keys, tap->challenge, update, session);
    if (!error)
        error = cb_scp03_sequence_check(&keys, update, CB_BYTES_OF(cb_scp03_aid));
    cb_wipe(&keys, sizeof keys);
    return error;
}

static cb_error ask(scp03_tap *tap, cb_scp03_session *session, cb_buf *script)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    cb_error error = cb_scp03_authenticate_put(session, &command);
    cb_script_put(script, 0, cb_buf_bytes(&command));
    tap->sm = session->sm;
    cb_buf_reset(&command);
    if (!error)
        error = cb_scp03_presence_put(&tap->sm, &tap->context, &command, &tap->mark);
    cb_script_put(script, 0, cb_buf_bytes(&command));
    if (!error)
        error = cb_buf_error(&command) ? cb_buf_error(&command) : cb_buf_error(script);
    cb_buf_free(&command);
    return error;
}

static cb_error challenge(void *state, const cb_profile_host *host, const cb_script *answers,
                          const cb_tap_context *context, const cb_known_card *known, cb_bytes pin,
                          cb_buf *script)
{
    scp03_tap *tap = state;
    cb_scp03_update update;
    cb_scp03_session session = {0};
    if (tap->step != STEP_BEGUN)
        return CB_E_TAP_ORDER;
    tap->step = STEP_DONE; /* unless everything below goes well */
    if (context->profile != CB_PROFILE_SCP03 || !cb_tap_purpose_foreign(context->purpose) || !known ||
        pin.len > 0)
        return CB_E_ARGUMENT;
    if (cb_level_needs_pin(context->level))
        return CB_E_TAP_LEVEL;
    cb_error error = read_update(answers, &update, &tap->card);
    if (!error && !cb_id_same(&tap->card, &known->card))
        error = CB_E_HSM_RECORD;
    tap->context = cb_tap_context_digest(context);
    if (!error)
        error = open_channel(tap, host, &update, &session);
    if (!error)
        error = ask(tap, &session, script);
    cb_wipe(&session, sizeof session);
    if (!error)
        tap->step = STEP_ASKED;
    return error;
}

static cb_error finish(void *state, const cb_profile_host *host, const cb_script *answers,
                       cb_card_claim *claim)
{
    scp03_tap *tap = state;
    uint32_t counter = 0;
    (void)host;
    *claim = (cb_card_claim){0};
    if (tap->step != STEP_ASKED)
        return CB_E_TAP_ORDER;
    cb_error error = cb_foreign_second(answers, SECOND_COUNT, SECOND_COUNT, claim);
    if (!error)
        error = cb_scp03_presence_open(&tap->sm, &tap->mark, answers->item[SECOND_PRESENCE].apdu,
                                       &tap->context, &counter);
    if (!error)
        *claim = (cb_card_claim){.card = tap->card, .counter = counter};
    cb_wipe(tap, sizeof *tap);
    tap->step = STEP_DONE;
    return error;
}

static void end(void *state)
{
    cb_wipe(state, sizeof(scp03_tap));
    ((scp03_tap *)state)->step = STEP_DONE;
}

const cb_card_profile cb_profile_scp03 = {
    .id = CB_PROFILE_SCP03,
    .name = "scp03",
    .select = {select_command, sizeof select_command},
    .level_with_pin = CB_LEVEL_POSSESSION,
    .proven_in_channel = true,
    .state_size = sizeof(scp03_tap),
    .recognise = recognise,
    .begin = begin,
    .challenge = challenge,
    .finish = finish,
    .end = end,
};

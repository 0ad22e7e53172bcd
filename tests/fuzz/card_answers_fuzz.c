/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Answers to the broker's side of the native profile.
 *
 * The first byte chooses: raw bytes in place of the answers to the first script (0), or a real
 * card's answers to the first (1) or second script (2) with changes, each: u16 place, u8 by what.
 * No change may lead to a claim that does not verify with the card's own key.
 */
#include <stdlib.h>

#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static world w;

static void clean_up(void) { world_free(&w); }

static void prepare(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    world_make(&w, false);
    atexit(clean_up);
}

static void change(cb_cursor *cursor, cb_buf *answers)
{
    while (cursor->rest.len >= 3 && answers->len > 0) {
        size_t place = cb_cursor_u16(cursor) % answers->len;
        answers->data[place] ^= cb_cursor_u8(cursor);
    }
}

static void tap(uint8_t kind, cb_cursor *cursor, void *state, cb_buf *script, cb_buf *answers)
{
    cb_card_claim claim;
    if (world_begin(&w, state, script))
        abort();
    cb_vcard_reset(w.card);
    if (kind == 0)
        cb_buf_put(answers, cb_cursor_rest(cursor));
    else
        world_play(w.card, script, answers);
    if (kind == 1)
        change(cursor, answers);
    if (world_challenge(&w, state, answers, (typed){"1234", NULL}, script))
        return;
    world_play(w.card, script, answers);
    if (kind == 2)
        change(cursor, answers);
    if (world_finish(&w, state, answers, &claim) == CB_E_CARD_PROOF)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(data, size));
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(2 * CB_SCRIPT_BYTES_MAX);
    prepare();
    void *state = world_state();
    uint8_t kind = cb_cursor_u8(&cursor) % 3;
    tap(kind, &cursor, state, &script, &answers);
    cb_profile_native.end(state);
    free(state);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return 0;
}

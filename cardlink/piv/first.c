/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/piv/first.h"

#include "base/tlv.h"
#include "cardlink/foreign.h"
#include "cardlink/piv/commands.h"

enum {
    FIRST_SELECT,
    FIRST_CHUID,
    FIRST_COUNT,
    FIRST_OFFER = FIRST_COUNT, /* whatever is answered to it */
    TAG_OBJECT = 0x53,
    TAG_FASC_N = 0x30,
    TAG_GUID = 0x34
};

static const uint8_t select_command[] = {CB_PIV_SELECT};

void cb_piv_put_command(cb_buf *script, uint8_t flags, const cb_apdu *apdu)
{
    cb_buf bytes = CB_BUF(CB_COMMAND_MAX);
    cb_apdu_put(&bytes, apdu);
    if (cb_buf_error(&bytes) && !script->error)
        script->error = cb_buf_error(&bytes);
    cb_script_put(script, flags, cb_buf_bytes(&bytes));
    cb_buf_free(&bytes);
}

cb_error cb_piv_first_put(cb_piv_offer *offer, cb_buf *script)
{
    /* As much as FASC-N and GUID can need with everything that may stand before them (part 1, table
     * 9). */
    static const uint8_t chuid[] = {
        0x00, CB_PIV_INS_GET_DATA, 0x3F, 0xFF, 0x05, 0x5C, 0x03, 0x5F, 0xC1, 0x02, 0x50};
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    cb_script_put(script, 0, CB_BYTES_OF(select_command));
    cb_script_put(script, CB_SCRIPT_PART, CB_BYTES_OF(chuid));
    cb_error error = cb_piv_offer_make(offer, &command);
    if (!error)
        cb_script_put(script, CB_SCRIPT_GO_ON, cb_buf_bytes(&command));
    cb_buf_free(&command);
    return error;
}

/* The object may be cut off behind what is looked for, so its length says nothing. */
cb_error cb_piv_names_read(const cb_script *answers, cb_piv_names *out)
{
    cb_tlv object;
    cb_cursor cursor = cb_cursor_over(cb_answer_data(answers->item[FIRST_CHUID].apdu));
    uint8_t tag = cb_cursor_u8(&cursor), length = cb_cursor_u8(&cursor);
    *out = (cb_piv_names){0};
    if (length > 0x80 && length <= 0x83)
        cb_cursor_take(&cursor, length - 0x80);
    if (tag != TAG_OBJECT || length == 0x80 || length > 0x83)
        return CB_E_CARD_ANSWER;
    while ((!out->fasc_n.data || !out->guid.data) && cb_tlv_next(&cursor, &object)) {
        if (object.tag == TAG_FASC_N && object.value.len == CB_PIV_FASC_N && !out->fasc_n.data)
            out->fasc_n = object.value;
        if (object.tag == TAG_GUID && object.value.len == CB_PIV_GUID && !out->guid.data)
            out->guid = object.value;
    }
    return out->fasc_n.data && out->guid.data ? CB_OK : CB_E_CARD_ANSWER;
}

cb_error cb_piv_recognise(const cb_script *answers, cb_id *card)
{
    uint8_t both[CB_PIV_FASC_N + CB_PIV_GUID];
    cb_piv_names names;
    cb_script known = *answers;
    if (known.count == FIRST_OFFER + 1)
        known.count = FIRST_COUNT;
    cb_error error = cb_foreign_answers(&known, FIRST_COUNT);
    if (!error)
        error = cb_piv_names_read(answers, &names);
    if (error)
        return error;
    memcpy(both, names.fasc_n.data, CB_PIV_FASC_N);
    memcpy(both + CB_PIV_FASC_N, names.guid.data, CB_PIV_GUID);
    *card = cb_foreign_card_id(CB_PROFILE_PIV, CB_BYTES_OF(both));
    return CB_OK;
}

cb_error cb_piv_offer_answer(const cb_script *answers, cb_piv_answer *out)
{
    if (answers->count <= FIRST_OFFER)
        return CB_E_CARD_REMOVED;
    cb_bytes answer = answers->item[FIRST_OFFER].apdu;
    if (cb_answer_status(answer) != CB_SW_OK)
        return CB_E_CARD_STATUS;
    return cb_piv_answer_read(cb_answer_data(answer), out) ? CB_E_CARD_ANSWER : CB_OK;
}

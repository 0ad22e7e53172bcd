/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/expiry.h"

#include "base/tlv.h"
#include "cardlink/apdu.h"
#include "cardlink/native/cvc.h"
#include "cardlink/native/first.h"
#include "cardlink/script.h"

/* The end of the last day of the batch's certificate; 0: there is none to be read. */
static int64_t batch_end(cb_bytes answer)
{
    cb_cvc cvc;
    cb_cursor cursor = cb_cursor_over(cb_answer_data(answer));
    cb_bytes certificate = cb_tlv_expect(&cursor, CB_TAG_STORE);
    if (!cb_cursor_done(&cursor) || cb_cvc_parse(certificate, &cvc))
        return 0;
    return cb_cvc_day_end(cvc.last_day);
}

cb_error cb_card_expiry(cb_bytes encoded, int64_t wall_us)
{
    cb_script answers;
    if (cb_script_read(encoded, CB_ANSWER_MAX, &answers) || answers.count == 0)
        return CB_OK;
    if (cb_answer_status(answers.item[0].apdu) == CB_SW_EXPIRED)
        return CB_E_CARD_EXPIRED;
    if (answers.count <= CB_NATIVE_STORE_ANSWER)
        return CB_OK;
    int64_t end = batch_end(answers.item[CB_NATIVE_STORE_ANSWER].apdu);
    return end > 0 && wall_us >= end + CB_EXPIRY_TOLERANCE ? CB_E_CARD_EXPIRED : CB_OK;
}

int64_t cb_expiry_time(int64_t wall_us, int64_t broker_ahead_us)
{
    bool wrong =
        broker_ahead_us > CB_EXPIRY_CLOCK_WRONG || broker_ahead_us < -CB_EXPIRY_CLOCK_WRONG;
    return wrong ? wall_us + broker_ahead_us : wall_us;
}

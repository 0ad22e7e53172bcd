/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Link certificates: bytes as they come, and a genuine one changed in any way.
 *
 * An input is one byte and the rest: 0, the rest is what a card is sent as a link; otherwise, what
 * a genuine link is XORed with, at most as long as it is. A card takes that one and no other.
 */
#include <stdlib.h>

#include "cardlink/card/native/application.h"
#include "cardlink/native/link.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static world w;
static cb_issue_authority next;
static cb_buf genuine;

static void must(bool good)
{
    if (!good)
        abort();
}

static void clean_up(void)
{
    cb_buf_free(&genuine);
    world_free(&w);
}

static void prepare(void)
{
    cb_buf own = CB_BUF(CB_CVC_MAX);
    cb_issue_days days = cb_issue_days_from_today(5);
    if (genuine.len > 0)
        return;
    cb_buf_init(&genuine, CB_CVC_MAX);
    world_make(&w, false);
    atexit(clean_up);
    must(!cb_issue_authority_make(cb_bytes_str("next"), days, &next, &own));
    must(!cb_issue_link(&w.brokers, &next.anchor, 0x20, 1, 2, days, &genuine));
    cb_buf_free(&own);
}

static void parse(cb_bytes bytes)
{
    cb_link link;
    if (cb_link_parse(bytes, &link))
        return;
    must(link.previous >= 1 && link.previous < link.version && link.version <= 0x7F);
    must(cb_native_kloc_id_ok(link.key_id) && link.cvc.usage == CB_CVC_LINK);
    must(cb_p256_is_point(link.cvc.point) && link.cvc.subject.len <= CB_CVC_NAME_MAX);
    must(bytes.len <= CB_NATIVE_CERTIFICATE_MAX);
}

static void send(cb_bytes bytes, bool as_signed)
{
    static const uint8_t select[] = {0x00, 0xA4, 0x04, 0x0C, 12, CB_NATIVE_AID_BYTES};
    cb_vcard *card;
    cb_buf command = CB_BUF(CB_COMMAND_MAX), answer = CB_BUF(512);
    must(!cb_vcard_make(&w.first, NULL, &card));
    cb_vcard_process(card, CB_BYTES_OF(select), &answer);
    cb_buf_reset(&answer);
    cb_apdu_put(&command, &(cb_apdu){0x80, CB_INS_PSO, 1, 0x20 | CB_NATIVE_PSO_LINK, bytes, false});
    cb_vcard_process(card, cb_buf_bytes(&command), &answer);
    const cb_vcard_state *now = cb_vcard_state_of(card);
    must((cb_answer_status(cb_buf_bytes(&answer)) == CB_SW_OK) == as_signed);
    must(now->kloc_count == (as_signed ? 2 : 1) && now->kloc[0].key_version == 1);
    must(cb_native_newest(now, 0x20) == (as_signed ? 2 : 1));
    cb_vcard_close(&card);
    cb_buf_free(&command);
    cb_buf_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t changed[CB_CVC_MAX];
    bool same = true;
    prepare();
    if (size == 0)
        return 0;
    if (data[0] == 0) {
        cb_bytes bytes = cb_bytes_make(data + 1, size - 1);
        parse(bytes);
        if (bytes.len > 0 && bytes.len <= CB_APDU_DATA_MAX)
            send(bytes, false);
        return 0;
    }
    memcpy(changed, genuine.data, genuine.len);
    for (size_t i = 0; i + 1 < size && i < genuine.len; i++) {
        changed[i] ^= data[i + 1];
        same = same && data[i + 1] == 0;
    }
    parse(cb_bytes_make(changed, genuine.len));
    send(cb_bytes_make(changed, genuine.len), same);
    return 0;
}

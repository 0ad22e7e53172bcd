/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * GET DATA and PUT DATA (SP 800-73-4, part 2, 3.1.2 and 3.3.1).
 */
#include "cardlink/card/piv/interface.h"

#include "base/tlv.h"

enum {
    TAG_LIST = 0x5C,
    TAG_DATA = 0x53,
    TAG_FINGERPRINTS = 0x5FC103,
    TAG_FACE = 0x5FC108,
    TAG_PRINTED = 0x5FC109,
    TAG_IRIS = 0x5FC121,
    LAST_OBJECT = 0x5FC123 /* of 5FC101 on (part 1, table 3) */
};

/* A tag as the value of tag 5C; 0 for what is none. */
static uint32_t read_tag(cb_bytes bytes)
{
    uint32_t tag = 0;
    cb_cursor cursor = cb_cursor_over(bytes);
    if (bytes.len == 0 || bytes.len > 3)
        return 0;
    for (size_t i = 0; i < bytes.len; i++)
        tag = tag << 8 | cb_cursor_u8(&cursor);
    return tag;
}

/* Objects that tell of the holder's body, and the pairing code, want his PIN (part 1, table 2). */
static bool wants_pin(uint32_t tag)
{
    return tag == TAG_FINGERPRINTS || tag == TAG_FACE || tag == TAG_PRINTED || tag == TAG_IRIS ||
           tag == CB_VPIV_PAIRING;
}

/* The application's PIN, and no other; a virtual contact interface with a pairing code, or none
 * (part 1, 3.3.2). */
static void put_discovery(const cb_vpiv_state *state, cb_buf *data)
{
    const uint8_t policy[] = {cb_vpiv_pairing_code(state).len > 0 ? 0x48 : 0x40, 0x00};
    cb_buf body = CB_BUF(64);
    cb_tlv_put(&body, 0x4F, CB_BYTES_OF(cb_vpiv_aid));
    cb_tlv_put(&body, 0x5F2F, CB_BYTES_OF(policy));
    if (cb_buf_error(&body) && !data->error)
        data->error = cb_buf_error(&body);
    cb_tlv_put(data, CB_VPIV_DISCOVERY, cb_buf_bytes(&body));
    cb_buf_free(&body);
}

uint16_t cb_vpiv_get_data(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data)
{
    cb_cursor cursor = cb_cursor_over(apdu->data);
    if (apdu->p1 != 0x3F || apdu->p2 != 0xFF)
        return CB_SW_PARAMETERS;
    uint32_t tag = read_tag(cb_tlv_expect(&cursor, TAG_LIST));
    if (!cb_cursor_done(&cursor) || tag == 0)
        return CB_SW_DATA;
    if (tag == CB_VPIV_DISCOVERY) {
        put_discovery(&piv->state, data);
        return CB_SW_OK;
    }
    if (!cb_vpiv_may_read(piv, tag))
        return CB_SW_SECURITY;
    cb_bytes content = cb_vpiv_object_get(&piv->state, tag);
    if (content.len == 0)
        return CB_SW_FILE_NOT_FOUND;
    if (wants_pin(tag) && !piv->session.pin_verified)
        return CB_SW_SECURITY;
    cb_tlv_put(data, TAG_DATA, content);
    return CB_SW_OK;
}

uint16_t cb_vpiv_put_data(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data)
{
    cb_cursor cursor = cb_cursor_over(apdu->data);
    (void)data;
    if (apdu->p1 != 0x3F || apdu->p2 != 0xFF)
        return CB_SW_PARAMETERS;
    if (!piv->session.managed)
        return CB_SW_SECURITY;
    uint32_t tag = read_tag(cb_tlv_expect(&cursor, TAG_LIST));
    cb_bytes content = cb_tlv_expect(&cursor, TAG_DATA);
    if (!cb_cursor_done(&cursor))
        return CB_SW_DATA;
    if (tag < CB_VPIV_CARD_AUTHENTICATION_CERTIFICATE || tag > LAST_OBJECT)
        return CB_SW_FILE_NOT_FOUND;
    cb_error error = cb_vpiv_object_set(&piv->state, tag, content);
    if (error)
        return error == CB_E_TOO_LARGE ? CB_SW_FULL : CB_SW_FAULT;
    return cb_vcard_save(piv->card) ? CB_SW_OK : CB_SW_MEMORY;
}

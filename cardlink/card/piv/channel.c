/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/piv/channel.h"

#include "base/secret.h"
#include "base/tlv.h"

enum {
    TAG_ENCRYPTED = 0x87,
    TAG_MAC = 0x8E,
    TAG_LE = 0x97,
    TAG_STATUS = 0x99,
    MAC_OBJECT = 2 + CB_VPIV_MAC,
    PADDED = 0x01, /* padding-content indicator */
    ANSWERS = 0x80,
    OTHER_INFO = 61,
    POINT_HEAD = 16,
    ID_AES_128 = 0x09, /* key confirmation and session keys, each (part 2, table 17) */
    KEYS = 2 * CB_SHA256_SIZE
};

static cb_bytes coordinates(cb_bytes point)
{
    cb_cursor cursor = cb_cursor_over(point);
    cb_cursor_u8(&cursor); /* 04 */
    return cb_cursor_rest(&cursor);
}

static void put_field(cb_buf *buf, cb_bytes value)
{
    cb_buf_put_u8(buf, (uint8_t)value.len);
    cb_buf_put(buf, value);
}

/* OtherInfo (part 2, table 17). */
static void put_other_info(cb_buf *out, const cb_vpiv_agreement *in, cb_bytes card)
{
    static const uint8_t keys[] = {ID_AES_128, ID_AES_128, ID_AES_128, ID_AES_128};
    uint8_t answered = in->control & 0xF0;
    put_field(out, CB_BYTES_OF(keys));
    put_field(out, in->host);
    put_field(out, cb_bytes_make(&in->control, 1));
    put_field(out, cb_bytes_make(coordinates(in->point).data, POINT_HEAD));
    put_field(out, card);
    put_field(out, in->nonce);
    put_field(out, cb_bytes_make(&answered, 1));
}

/* The concatenation KDF of SP 800-56A, 5.8.1. */
static cb_error derive(const cb_vpiv_agreement *in, cb_bytes card, uint8_t keys[KEYS])
{
    cb_buf info = CB_BUF(OTHER_INFO);
    put_other_info(&info, in, card);
    for (uint8_t i = 1; !cb_buf_error(&info) && i <= KEYS / CB_SHA256_SIZE; i++) {
        const uint8_t counter[4] = {0, 0, 0, i};
        const cb_bytes parts[] = {CB_BYTES_OF(counter), in->secret, cb_buf_bytes(&info)};
        cb_digest digest = cb_sha256_parts(parts, 3);
        memcpy(&keys[(i - 1) * CB_SHA256_SIZE], digest.bytes, CB_SHA256_SIZE);
        cb_wipe(&digest, sizeof digest);
    }
    cb_error error = cb_buf_error(&info);
    cb_buf_free(&info);
    return error;
}

static bool sizes_fit(const cb_vpiv_agreement *in)
{
    return in->host.len == CB_VPIV_CHANNEL_ID && in->point.len == CB_P256_POINT &&
           in->secret.len == CB_P256_SCALAR && in->certificate.len > 0 &&
           in->nonce.len == CB_VPIV_CHANNEL_NONCE;
}

cb_error cb_vpiv_channel_open(const cb_vpiv_agreement *in, cb_vpiv_channel *out,
                              uint8_t cryptogram[CB_VPIV_CRYPTOGRAM])
{
    uint8_t keys[KEYS];
    *out = (cb_vpiv_channel){0};
    if (!sizes_fit(in))
        return CB_E_ARGUMENT;
    cb_digest digest = cb_sha256(in->certificate);
    cb_bytes card = cb_bytes_make(digest.bytes, CB_VPIV_CHANNEL_ID);
    cb_error error = derive(in, card, keys);
    if (!error) {
        const cb_bytes parts[] = {cb_bytes_str("KC_1_V"), card, in->host, coordinates(in->point)};
        error = cb_aes_cmac(cb_bytes_make(keys, CB_VPIV_CHANNEL_KEY), parts, 4, cryptogram);
    }
    if (!error) {
        memcpy(out->mac, &keys[CB_VPIV_CHANNEL_KEY], CB_VPIV_CHANNEL_KEY);
        memcpy(out->enc, &keys[2 * CB_VPIV_CHANNEL_KEY], CB_VPIV_CHANNEL_KEY);
        memcpy(out->rmac, &keys[3 * CB_VPIV_CHANNEL_KEY], CB_VPIV_CHANNEL_KEY);
        out->counter = 1;
        out->open = true;
    }
    cb_wipe(keys, sizeof keys);
    return error;
}

void cb_vpiv_channel_end(cb_vpiv_channel *channel) { cb_wipe(channel, sizeof *channel); }

/* The vector of the command that is being done, or of its answer (part 2, 4.2.2). */
static cb_error vector(const cb_vpiv_channel *channel, uint8_t direction, uint8_t iv[CB_AES_BLOCK])
{
    uint8_t block[CB_AES_BLOCK] = {direction};
    for (size_t i = 0; i < sizeof channel->counter; i++)
        block[CB_AES_BLOCK - 1 - i] = (uint8_t)(channel->counter >> (8 * i));
    return cb_aes_block(CB_BYTES_OF(channel->enc), block, iv);
}

/* The objects of a command, as they came. */
typedef struct objects {
    bool has_data, has_le;
    cb_bytes data;       /* value of 87 */
    cb_bytes before_mac; /* what the MAC is over, beside the header */
    cb_bytes mac;
} objects;

/* One object. False: it does not belong there. */
static bool take_object(cb_bytes bytes, size_t left, cb_tlv tlv, uint32_t before, objects *out)
{
    if (tlv.tag == TAG_ENCRYPTED) {
        out->has_data = true;
        out->data = tlv.value;
        return before == 0;
    }
    if (tlv.tag == TAG_LE) {
        out->has_le = true;
        return before != TAG_LE && tlv.value.len == 1 && tlv.value.data[0] == 0x00;
    }
    out->before_mac = cb_bytes_make(bytes.data, bytes.len - left);
    out->mac = tlv.value;
    return tlv.tag == TAG_MAC && tlv.value.len == CB_VPIV_MAC && left == MAC_OBJECT;
}

/* 87, 97 and 8E, in that order, of which only the last must be there. */
static uint16_t read_objects(cb_bytes bytes, objects *out)
{
    cb_cursor cursor = cb_cursor_over(bytes);
    cb_tlv tlv = {0};
    uint32_t before = 0;
    *out = (objects){0};
    for (size_t left = cursor.rest.len; before != TAG_MAC && cb_tlv_next(&cursor, &tlv);
         left = cursor.rest.len) {
        if (!take_object(bytes, left, tlv, before, out))
            return CB_SW_SM_DATA;
        before = tlv.tag;
    }
    if (!cb_cursor_ok(&cursor))
        return CB_SW_SM_DATA;
    return before == TAG_MAC ? CB_SW_OK : CB_VPIV_SW_OBJECTS_MISSING;
}

/* Part 2, 4.2.3. The whole MAC is kept for the next command. */
static uint16_t check_mac(cb_vpiv_channel *channel, const cb_apdu *secured, const objects *in)
{
    const uint8_t header[CB_AES_BLOCK] = {CB_VPIV_CLA_SECURED, secured->ins, secured->p1,
                                          secured->p2, 0x80};
    const cb_bytes parts[] = {CB_BYTES_OF(channel->command_chain), CB_BYTES_OF(header),
                              in->before_mac};
    uint8_t mac[CB_AES_BLOCK];
    if (cb_aes_cmac(CB_BYTES_OF(channel->mac), parts, 3, mac) != CB_OK)
        return CB_SW_FAULT;
    if (!cb_equal(in->mac, cb_bytes_make(mac, CB_VPIV_MAC)))
        return CB_SW_SM_DATA;
    memcpy(channel->command_chain, mac, sizeof mac);
    return CB_SW_OK;
}

/* 80 and zeros, up to a whole block. */
static bool unpad(cb_buf *plain)
{
    size_t end = plain->len;
    while (end > 0 && plain->len - end < CB_AES_BLOCK && plain->data[end - 1] == 0x00)
        end--;
    if (end == 0 || plain->len - end >= CB_AES_BLOCK || plain->data[end - 1] != 0x80)
        return false;
    plain->len = end - 1;
    return true;
}

static uint16_t decrypt(const cb_vpiv_channel *channel, cb_bytes data, cb_buf *plain)
{
    uint8_t iv[CB_AES_BLOCK];
    cb_cursor cursor = cb_cursor_over(data);
    uint8_t padding = cb_cursor_u8(&cursor);
    cb_bytes hidden = cb_cursor_rest(&cursor);
    if (padding != PADDED || hidden.len == 0 || hidden.len % CB_AES_BLOCK != 0)
        return CB_SW_SM_DATA;
    uint8_t *room = cb_buf_extend(plain, hidden.len);
    if (!room || vector(channel, 0, iv) ||
        cb_aes_cbc_decrypt(CB_BYTES_OF(channel->enc), iv, hidden, room))
        return CB_SW_FAULT;
    return unpad(plain) ? CB_SW_OK : CB_SW_SM_DATA;
}

uint16_t cb_vpiv_channel_take(cb_vpiv_channel *channel, const cb_apdu *secured, cb_buf *plain,
                              cb_apdu *command)
{
    objects in;
    uint16_t status = read_objects(secured->data, &in);
    if (status == CB_SW_OK)
        status = check_mac(channel, secured, &in);
    if (status == CB_SW_OK && in.has_data)
        status = decrypt(channel, in.data, plain);
    *command =
        (cb_apdu){0x00, secured->ins, secured->p1, secured->p2, cb_buf_bytes(plain), in.has_le};
    return status;
}

/* DO 87 (part 2, 4.2.2). */
static cb_error put_encrypted(const cb_vpiv_channel *channel, cb_bytes data, cb_buf *out)
{
    uint8_t iv[CB_AES_BLOCK];
    size_t padded = (data.len / CB_AES_BLOCK + 1) * CB_AES_BLOCK;
    cb_buf value = CB_BUF(1 + padded);
    cb_buf_put_u8(&value, PADDED);
    uint8_t *room = cb_buf_extend(&value, padded);
    cb_error error = room ? vector(channel, ANSWERS, iv) : cb_buf_error(&value);
    if (!error) {
        memset(room, 0, padded);
        memcpy(room, data.data, data.len);
        room[data.len] = 0x80;
        error =
            cb_aes_cbc_encrypt(CB_BYTES_OF(channel->enc), iv, cb_bytes_make(room, padded), room);
    }
    if (!error)
        cb_tlv_put(out, TAG_ENCRYPTED, cb_buf_bytes(&value));
    cb_buf_free(&value);
    return error;
}

cb_error cb_vpiv_channel_answer(cb_vpiv_channel *channel, cb_bytes data, uint16_t status,
                                cb_buf *out)
{
    const uint8_t words[] = {(uint8_t)(status >> 8), (uint8_t)status};
    uint8_t mac[CB_AES_BLOCK];
    cb_error error = data.len > 0 ? put_encrypted(channel, data, out) : CB_OK;
    cb_tlv_put(out, TAG_STATUS, CB_BYTES_OF(words));
    if (!error)
        error = cb_buf_error(out);
    const cb_bytes parts[] = {CB_BYTES_OF(channel->answer_chain), cb_buf_bytes(out)};
    if (!error)
        error = cb_aes_cmac(CB_BYTES_OF(channel->rmac), parts, 2, mac);
    if (error)
        return error;
    memcpy(channel->answer_chain, mac, sizeof mac);
    channel->counter++;
    cb_tlv_put(out, TAG_MAC, cb_bytes_make(mac, CB_VPIV_MAC));
    return cb_buf_error(out);
}

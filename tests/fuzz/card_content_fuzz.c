/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card's file, and with it the states of all applications. An input is the file without its
 * digest, which is added, so that what lies behind it is reached.
 */
#include <stdlib.h>

#include "base/crypto.h"
#include "cardlink/card/card.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A card that was read writes what is read again, byte for byte; and answers. */
static void live(cb_vcard *card)
{
    cb_buf file = CB_BUF(CB_CARD_FILE_MAX), again = CB_BUF(CB_CARD_FILE_MAX),
           text = CB_BUF(64 * 1024), answer = CB_BUF(512);
    cb_card_content content;
    cb_vcard *twin;
    cb_id id;
    cb_vcard_put(card, &file);
    cb_vcard_identity(card, &id);
    cb_vcard_show(card, &text);
    cb_vcard_process(card, cb_bytes_make("\x00\xA4\x04\x00\x05\xA0\x00\x00\x03\x08", 10), &answer);
    if (cb_buf_error(&file) || cb_buf_error(&text) || answer.len < 2 ||
        cb_card_content_parse(cb_buf_bytes(&file), &content) || cb_vcard_of(&content, NULL, &twin))
        abort();
    cb_vcard_put(twin, &again);
    if (!cb_bytes_same(cb_buf_bytes(&file), cb_buf_bytes(&again)))
        abort();
    cb_vcard_close(&twin);
    cb_buf_free(&file);
    cb_buf_free(&again);
    cb_buf_free(&text);
    cb_buf_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_bytes bytes = cb_bytes_make(data, size);
    cb_digest digest = cb_sha256(bytes);
    cb_buf file = CB_BUF(CB_CARD_FILE_MAX);
    cb_card_content content;
    cb_vcard *card;
    cb_buf_put(&file, bytes);
    cb_buf_put(&file, cb_digest_bytes(&digest));
    if (!cb_buf_error(&file) && cb_card_content_parse(cb_buf_bytes(&file), &content) == CB_OK &&
        cb_vcard_of(&content, NULL, &card) == CB_OK) {
        live(card);
        cb_vcard_close(&card);
    }
    cb_buf_free(&file);
    return 0;
}

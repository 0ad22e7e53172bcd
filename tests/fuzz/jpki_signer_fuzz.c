/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card that answers as it likes while its holder's signature certificate is read.
 *
 * An input is what the card answers to each command: u8 how, u16 length, bytes. How 0: bytes as
 * they are; 1: bytes and 90 00; 2: 61 length; 3: 6C length; 4: taken away.
 *
 * The card gets the commands of reading and no others, so that nothing is ever signed. The PIN goes
 * to it once, as the answer to a card that said that two tries or more are left, and whatever came
 * after, the application is selected anew, which makes the card forget it. What is given out is a
 * certificate within its limits, and only of a card that took the PIN.
 */
#include <stdlib.h>

#include "cardlink/apdu.h"
#include "cardlink/terminal/jpki_signer.h"
#include "cardlink/x509/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PIN "ABC123"

enum { EXCHANGES_MOST = 80 * 80, CERTIFICATE_MOST = 4096 };

typedef struct player {
    cb_cursor in;
    unsigned exchanges, pins;
    uint16_t last;  /* what the card said last */
    bool looked;    /* the command before asked how many tries are left */
    bool asked;     /* the command, of which more may be fetched, has the PIN */
    bool taken;     /* it took the PIN */
    bool forgotten; /* the application was selected since the PIN was sent */
} player;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool begins(cb_bytes command, const uint8_t *with, size_t len)
{
    return command.len >= len && memcmp(command.data, with, len) == 0;
}

static bool is_pin(cb_bytes command)
{
    static const uint8_t verify[] = {0x00, 0x20, 0x00, 0x80, sizeof PIN - 1};
    return begins(command, verify, sizeof verify) &&
           memcmp(command.data + sizeof verify, PIN, sizeof PIN - 1) == 0;
}

/* The PIN, or the same once more where the card only said that Le was wrong. */
static void pin_comes(player *card)
{
    if (card->last >> 8 == 0x6C && card->pins == 1)
        return;
    must(card->looked && (card->last & 0xFFF0) == 0x63C0 && (card->last & 0x0F) >= 2);
    must(card->pins++ == 0);
    card->forgotten = false;
}

static void follow(player *card, cb_bytes command)
{
    static const uint8_t application[] = {0x00, 0xA4, 0x04, 0x0C},
                         file[] = {0x00, 0xA4, 0x02, 0x0C}, look[] = {0x00, 0x20, 0x00, 0x80},
                         read[] = {0x00, 0xB0}, more[] = {0x00, 0xC0};
    if (begins(command, more, sizeof more))
        return;
    card->asked = is_pin(command);
    if (card->asked) {
        pin_comes(card);
        return;
    }
    card->looked = begins(command, look, sizeof look);
    must(!card->looked || command.len <= 5);
    if (begins(command, application, sizeof application))
        card->forgotten = true;
    else
        must(card->looked || begins(command, file, sizeof file) ||
             (begins(command, read, sizeof read) && card->taken));
}

static cb_error transmit(void *context, cb_bytes command, cb_buf *answer)
{
    player *card = context;
    must(cb_command_ok(command) && ++card->exchanges <= EXCHANGES_MOST);
    follow(card, command);
    uint8_t how = cb_cursor_u8(&card->in) % 5;
    size_t len = cb_cursor_u16(&card->in);
    if (!cb_cursor_ok(&card->in) || how == 4) {
        card->last = 0;
        return CB_E_CARD_REMOVED;
    }
    if (how < 2)
        cb_buf_put(answer,
                   cb_cursor_take(&card->in, len < card->in.rest.len ? len : card->in.rest.len));
    if (how > 0)
        cb_buf_put_u16(answer, how == 1 ? CB_SW_OK
                                        : (uint16_t)((how == 2 ? 0x6100 : 0x6C00) | (len & 0xFF)));
    card->last = cb_answer_status(cb_buf_bytes(answer));
    card->taken = card->taken || (card->asked && card->last == CB_SW_OK);
    return cb_buf_error(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    player card = {.in = cb_cursor_over(cb_bytes_make(data, size)), .forgotten = true};
    const cb_card_io io = {.card = &card, .transmit = transmit};
    cb_buf certificate = CB_BUF(CERTIFICATE_MOST);
    cb_x509 parsed;
    int tries_left = 99;
    cb_error error = cb_jpki_signer_read(&io, cb_bytes_str(PIN), &certificate, &tries_left);
    must(card.forgotten && tries_left >= -1 && tries_left <= 15);
    must(error == CB_OK || certificate.len == 0);
    must(error || (card.taken && cb_x509_parse(cb_buf_bytes(&certificate), &parsed) == CB_OK));
    cb_buf_free(&certificate);
    return 0;
}

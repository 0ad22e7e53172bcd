/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/jpki_signer.h"

#include "base/secret.h"
#include "cardlink/apdu.h"
#include "cardlink/x509/certificate.h"

enum {
    CERTIFICATE = 0x01,
    PIN = 0x1B,
    HEAD = 4, /* of a certificate: 30 82, and how much follows */
    CERTIFICATE_MOST = 4096,
    READS_MOST = 64
};

/* One command. *status: the card's; its data are appended to out, which may be NULL. */
static cb_error ask(const cb_card_io *io, cb_bytes command, cb_buf *out, uint16_t *status)
{
    cb_script read;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script_put(&script, 0, command);
    cb_error error = cb_buf_error(&script);
    if (!error)
        error = cb_script_read(cb_buf_bytes(&script), CB_COMMAND_MAX, &read);
    if (!error)
        error = cb_play(io, &read, &answers);
    if (!error)
        error = cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read);
    if (!error && read.count != 1)
        error = CB_E_CARD_ANSWER;
    if (!error) {
        *status = cb_answer_status(read.item[0].apdu);
        if (out)
            cb_buf_put(out, cb_answer_data(read.item[0].apdu));
        error = out ? cb_buf_error(out) : CB_OK;
    }
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static cb_error select_application(const cb_card_io *io, uint16_t *status)
{
    static const uint8_t command[] = {0x00, 0xA4, 0x04, 0x0C, 0x0A, 0xD3, 0x92, 0xF0,
                                      0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01};
    return ask(io, CB_BYTES_OF(command), NULL, status);
}

static cb_error select_file(const cb_card_io *io, uint8_t file)
{
    uint16_t status = 0;
    const uint8_t command[] = {0x00, 0xA4, 0x02, 0x0C, 0x02, 0x00, file};
    cb_error error = ask(io, CB_BYTES_OF(command), NULL, &status);
    return !error && status != CB_SW_OK ? CB_E_CARD_STATUS : error;
}

static bool says_tries(uint16_t status) { return (status & 0xFFF0) == CB_SW_TRIES_LEFT; }

static cb_error look_at_tries(const cb_card_io *io, int *left)
{
    static const uint8_t command[] = {0x00, 0x20, 0x00, 0x80};
    uint16_t status = 0;
    cb_error error = ask(io, CB_BYTES_OF(command), NULL, &status);
    if (!error && !says_tries(status))
        error = status == CB_SW_BLOCKED ? CB_E_PIN_BLOCKED : CB_E_CARD_STATUS;
    if (error)
        return error;
    *left = status & 0x0F;
    return *left == 0 ? CB_E_PIN_BLOCKED : *left == 1 ? CB_E_DENIED : CB_OK;
}

static cb_error verify(const cb_card_io *io, cb_bytes pin, int *left)
{
    uint16_t status = 0;
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    cb_apdu_put(&command, &(cb_apdu){.ins = 0x20, .p2 = 0x80, .data = pin});
    cb_error error = cb_buf_error(&command);
    if (!error)
        error = ask(io, cb_buf_bytes(&command), NULL, &status);
    cb_buf_free(&command);
    if (error || status == CB_SW_OK)
        return error;
    if (!says_tries(status))
        return status == CB_SW_BLOCKED ? CB_E_PIN_BLOCKED : CB_E_CARD_STATUS;
    *left = status & 0x0F;
    return *left == 0 ? CB_E_PIN_BLOCKED : CB_E_PIN_WRONG;
}

/* How long the whole is, from how it begins. */
static size_t length_of(cb_bytes head)
{
    bool good = head.len >= HEAD && head.data[0] == 0x30 && head.data[1] == 0x82;
    return good ? (size_t)(head.data[2] << 8 | head.data[3]) + HEAD : 0;
}

static cb_error read_file(const cb_card_io *io, cb_buf *out)
{
    cb_error error = CB_OK;
    size_t whole = HEAD;
    for (int i = 0; !error && i < READS_MOST && out->len < whole; i++) {
        uint16_t status = 0;
        const size_t before = out->len;
        const uint8_t command[] = {0x00, 0xB0, (uint8_t)(before >> 8), (uint8_t)before, 0x00};
        error = ask(io, CB_BYTES_OF(command), out, &status);
        if (!error && status != CB_SW_OK)
            error = CB_E_CARD_STATUS;
        if (!error && (out->len == before || (before == 0 && out->len < HEAD)))
            error = CB_E_CARD_ANSWER;
        if (!error)
            whole = length_of(cb_buf_bytes(out));
        if (!error && (whole == 0 || whole > CERTIFICATE_MOST))
            error = CB_E_CARD_CERTIFICATE;
    }
    if (!error && out->len < whole)
        error = CB_E_CARD_ANSWER;
    if (!error)
        out->len = whole; /* what a card fills its file up with */
    return error;
}

static cb_error read_signer(const cb_card_io *io, cb_bytes pin, cb_buf *out, int *left)
{
    cb_x509 parsed;
    cb_error error = select_file(io, PIN);
    if (!error)
        error = look_at_tries(io, left);
    if (!error)
        error = verify(io, pin, left);
    if (!error)
        error = select_file(io, CERTIFICATE);
    if (!error)
        error = read_file(io, out);
    if (!error && cb_x509_parse(cb_buf_bytes(out), &parsed))
        error = CB_E_CARD_CERTIFICATE;
    return error;
}

bool cb_jpki_signer_pin(char *text)
{
    size_t len = 0;
    for (; text[len]; len++) {
        if (text[len] >= 'a' && text[len] <= 'z')
            text[len] = (char)(text[len] - 'a' + 'A');
        if (!(text[len] >= 'A' && text[len] <= 'Z') && !(text[len] >= '0' && text[len] <= '9'))
            return false;
    }
    return len >= CB_JPKI_SIGNER_PIN_LEAST && len <= CB_JPKI_SIGNER_PIN_MOST;
}

cb_error cb_jpki_signer_read(const cb_card_io *io, cb_bytes pin, cb_buf *certificate,
                             int *tries_left)
{
    uint16_t status = 0;
    cb_buf read = CB_BUF(CERTIFICATE_MOST + CB_ANSWER_MAX);
    *tries_left = -1;
    cb_error error = select_application(io, &status);
    if (error || status != CB_SW_OK)
        return error ? error : CB_E_CARD_FOREIGN;
    error = read_signer(io, pin, &read, tries_left);
    cb_error forgotten = select_application(io, &status);
    if (!error && (forgotten || status != CB_SW_OK))
        error = forgotten ? forgotten : CB_E_CARD_STATUS;
    if (!error)
        cb_buf_put(certificate, cb_buf_bytes(&read));
    cb_buf_free(&read);
    return error ? error : cb_buf_error(certificate);
}

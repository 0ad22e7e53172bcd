/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/issue.h"

#include "base/clock.h"
#include "base/secret.h"
#include "cardlink/native/link.h"

enum { SERIAL = 8, YEARS_MAX = 30 };

/* A decimal number as digits in half bytes. */
static uint32_t to_digits(uint32_t number)
{
    uint32_t digits = 0;
    for (unsigned shift = 0; number; shift += 4, number /= 10)
        digits |= (number % 10) << shift;
    return digits;
}

static uint32_t from_digits(uint32_t digits)
{
    uint32_t number = 0;
    for (int shift = 28; shift >= 0; shift -= 4)
        number = number * 10 + ((digits >> shift) & 0xF);
    return number;
}

cb_issue_days cb_issue_days_from_today(unsigned years)
{
    uint32_t today = cb_cvc_day(cb_clock_wall_us());
    uint32_t day = (today & 0xFFFF) == 0x0229 ? 0x0228 : today & 0xFFFF;
    uint32_t year = from_digits(today >> 16) + (years > YEARS_MAX ? YEARS_MAX : years);
    return (cb_issue_days){today, to_digits(year) << 16 | day};
}

cb_error cb_issue_certificate(const cb_issue_authority *authority, cb_bytes subject, uint16_t usage,
                              cb_bytes point, cb_issue_days days, cb_buf *certificate)
{
    uint8_t serial[SERIAL];
    cb_random(serial, sizeof serial);
    return cb_cvc_make(
        &(cb_cvc){.serial = CB_BYTES_OF(serial),
                  .issuer = cb_bytes_make(authority->anchor.name, authority->anchor.name_len),
                  .subject = subject,
                  .usage = usage,
                  .first_day = days.first,
                  .last_day = days.last,
                  .point = point},
        authority->scalar, certificate);
}

cb_error cb_issue_authority_make(cb_bytes name, cb_issue_days days, cb_issue_authority *out,
                                 cb_buf *certificate)
{
    *out = (cb_issue_authority){0};
    if (name.len == 0 || name.len > CB_CVC_NAME_MAX)
        return CB_E_ARGUMENT;
    memcpy(out->anchor.name, name.data, name.len);
    out->anchor.name_len = name.len;
    cb_error error = cb_p256_generate(out->scalar, out->anchor.point);
    if (!error)
        error = cb_issue_certificate(out, name, CB_CVC_AUTHORITY, CB_BYTES_OF(out->anchor.point),
                                     days, certificate);
    if (error)
        cb_wipe(out, sizeof *out);
    return error;
}

cb_error cb_issue_link(const cb_issue_authority *authority, const cb_trust_anchor *next,
                       uint8_t key_id, uint8_t previous, uint8_t version, cb_issue_days days,
                       cb_buf *link)
{
    uint8_t serial[SERIAL];
    cb_random(serial, sizeof serial);
    return cb_link_make(&(cb_link){.key_id = key_id,
                                   .previous = previous,
                                   .version = version,
                                   .cvc = {.serial = CB_BYTES_OF(serial),
                                           .issuer = cb_bytes_make(authority->anchor.name,
                                                                   authority->anchor.name_len),
                                           .subject = cb_bytes_make(next->name, next->name_len),
                                           .first_day = days.first,
                                           .last_day = days.last,
                                           .point = cb_bytes_make(next->point, CB_P256_POINT)}},
                        authority->scalar, link);
}

cb_error cb_issue_batch_make(const cb_issue_authority *authority, cb_bytes name, cb_issue_days days,
                             cb_issue_batch *out)
{
    uint8_t point[CB_P256_POINT];
    cb_buf certificate = CB_BUF(CB_NATIVE_CERTIFICATE_MAX);
    *out = (cb_issue_batch){0};
    cb_error error = cb_p256_generate(out->scalar, point);
    if (!error)
        error = cb_issue_certificate(authority, name, CB_CVC_AGREEMENT, CB_BYTES_OF(point), days,
                                     &certificate);
    if (!error) {
        memcpy(out->certificate, certificate.data, certificate.len);
        out->certificate_len = certificate.len;
    } else {
        cb_wipe(out, sizeof *out);
    }
    cb_buf_free(&certificate);
    return error;
}

static cb_error order_check(const cb_issue_order *order, const cb_issue_batch *batch)
{
    if (order->kloc_count == 0 || order->kloc_count > CB_VCARD_KLOC_MAX ||
        batch->certificate_len == 0 || batch->certificate_len > CB_NATIVE_CERTIFICATE_MAX)
        return CB_E_ARGUMENT;
    for (size_t i = 0; i < order->kloc_count; i++) {
        const cb_vcard_kloc *kloc = &order->kloc[i];
        if (!cb_native_kloc_id_ok(kloc->key_id) || kloc->name_len == 0 ||
            kloc->name_len > CB_CVC_NAME_MAX || !cb_p256_is_point(CB_BYTES_OF(kloc->point)))
            return CB_E_ARGUMENT;
    }
    return cb_pin_ok(order->pin) && cb_unblock_code_ok(order->code) ? CB_OK : CB_E_PIN_FORMAT;
}

/* No card is good for longer than its batch, whose last day anybody can read from it. */
static cb_error cap_days(const cb_issue_batch *batch, cb_issue_days *days)
{
    cb_cvc cvc;
    if (cb_cvc_parse(cb_bytes_make(batch->certificate, batch->certificate_len), &cvc))
        return CB_E_ARGUMENT;
    if (cvc.last_day < days->last)
        days->last = cvc.last_day;
    return days->first <= days->last ? CB_OK : CB_E_ARGUMENT;
}

static void fill(cb_vcard_state *state, const cb_issue_batch *batch, const cb_issue_order *order)
{
    state->version = CB_VCARD_TELLS;
    state->life_cycle = order->in_transit ? CB_LIFE_PERSONALISED : CB_LIFE_ACTIVE;
    state->card = cb_id_random();
    memcpy(state->batch_scalar, batch->scalar, CB_P256_SCALAR);
    memcpy(state->batch_certificate, batch->certificate, batch->certificate_len);
    state->batch_certificate_len = (uint8_t)batch->certificate_len;
    memcpy(state->kloc, order->kloc, order->kloc_count * sizeof *order->kloc);
    state->kloc_count = (uint8_t)order->kloc_count;
    cb_pin_pad(order->pin, state->pin);
    cb_pin_pad(order->code, state->code);
    state->pin_tries = CB_VCARD_PIN_TRIES;
    state->code_tries = CB_VCARD_CODE_TRIES;
}

cb_error cb_issue_card(const cb_issue_authority *authority, const cb_issue_batch *batch,
                       const cb_issue_order *order, cb_vcard_state *state, cb_buf *certificate)
{
    uint8_t point[CB_P256_POINT];
    cb_issue_days days = order->days;
    *state = (cb_vcard_state){0};
    cb_error error = order_check(order, batch);
    if (!error)
        error = cap_days(batch, &days);
    if (error)
        return error;
    fill(state, batch, order);
    state->last_day = days.last;
    state->today = days.first;
    error = cb_p256_generate(state->scalar, point);
    if (!error)
        error = cb_issue_certificate(authority, cb_id_bytes(&state->card), CB_CVC_CARD_PROOF,
                                     CB_BYTES_OF(point), days, certificate);
    if (error)
        cb_wipe(state, sizeof *state);
    return error;
}

void cb_issue_digits(char *out, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint8_t byte;
        cb_random(&byte, 1);
        if (byte < 250)
            out[i++] = (char)('0' + byte % 10);
    }
}

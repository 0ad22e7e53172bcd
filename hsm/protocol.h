/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The messages between hsmd and its clients: types, and the encoding of what they carry (base/msg.h
 * carries them).
 *
 * Bodies are fixed fields most significant byte first, one after another, with no optional parts; a
 * body with anything missing, out of bounds or left over is malformed, and hsmd ends the connection
 * that sent it. "var" is a 32-bit length and that many bytes. A body that concerns a tap begins
 * with the tap's identifier, whose first byte is the worker's number.
 */
#ifndef CB_HSM_PROTOCOL_H
#define CB_HSM_PROTOCOL_H

/* clang-format off */
/*   type            question                                           answer
 *   HELLO           –                                                  u32 workers, u8 ready
 *   TAP_BEGIN       u8 profile, terminal                               tap, script (the rest)
 *   TAP_CHALLENGE   context, var answers, var pin, var binding         script (the rest)
 *   TAP_FINISH      tap, var answers                                   claim (with PIN_WRONG, PIN_BLOCKED too)
 *   TAP_ACTIVATE    tap, var binding, feed head                        activation (with PIN_WRONG, PIN_BLOCKED too)
 *   TAP_OPEN_KEY    tap, var sealed, i64 time, u64 index, head, mac,   –
 *                   proof
 *   TAP_USE         tap, u8 operation, u8 hash, var data               var result, var receipt
 *   TAP_END         tap                                                –
 *   FEED_STATE      –                                                  feed head
 *   FEED_EXTEND     u16 count, entries                                 –
 *   LOG_SIGN        head, proof                                        signed head; with HSM_HEAD the head remembered
 *   LOG_STATE       –                                                  head
 *   BIND            var certificate, holder, u8 level, u64 sequence    binding (the rest)
 *   GENERATE        sealed info, u8 want a request, var subject        key, u32 generation, var sealed, var public key, var csr
 *   IMPORT          sealed info, var wrapped                           key, u32 generation, var sealed, var public key
 *   REWRAP          sealed (the rest)                                  sealed (the rest)
 *   GENERATION      –                                                  u32 generation
 *   PUBLIC_KEY      name (the rest)                                    public key (the rest)
 *   RECEIPT_CHECK   receipt (the rest)                                 –
 *   STATUS          –                                                  state
 *   RESUME          card                                               –
 *   BIND_FOREIGN    reading, holder, u8 level, u64 sequence            binding (the rest)
 *   RENEW_FOREIGN   reading, var binding, var certificates of before,  binding (the rest)
 *                   u64 sequence
 *   CERTIFY         terminal, var request                              certificate (the rest)
 *   BIND_PASSWORD   password, point, holder, u64 sequence, u64 its end  binding (the rest)
 *                   (0: none), var binding of before
 *   PASSWORD_SALT   password                                           salt (the rest)
 *   PASSWORD_FORGIVE password                                          –
 *   PIN_RESET       card, terminal, u16 seconds                        –
 *   TAP_REGISTER    context, reading, point, signature                 script (the rest)
 *   TAP_BIND        tap, u64 sequence, feed head                       binding (the rest; with PIN_WRONG, PIN_BLOCKED empty)
 *   REGISTRATION_ALLOW     code, registration                          –
 *   REGISTRATION_WITHDRAW  code                                        –
 *   REGISTRATION_STATE     code                                        registration
 *   TAP_PASSWORD    tap, var binding, feed head                        binding (the rest)
 *   RETIRE_GENERATION      u8 version, u8 only ask                     –
 *   TAP_RENEW       context, reading, var binding, var certificates    script (the rest)
 *                   of before
 */
/* clang-format on */

#include "base/msg.h"
#include "hsm/client.h"

typedef enum cb_hsm_message {
    CB_HSM_HELLO = 1,
    CB_HSM_TAP_BEGIN = 2,
    CB_HSM_TAP_CHALLENGE = 3,
    CB_HSM_TAP_FINISH = 4,
    CB_HSM_TAP_ACTIVATE = 5,
    CB_HSM_TAP_OPEN_KEY = 6,
    CB_HSM_TAP_USE = 7,
    CB_HSM_TAP_END = 8,
    CB_HSM_FEED_STATE = 9,
    CB_HSM_FEED_EXTEND = 10,
    CB_HSM_LOG_SIGN = 11,
    CB_HSM_LOG_STATE = 12,
    CB_HSM_BIND = 13,
    CB_HSM_GENERATE = 14,
    CB_HSM_IMPORT = 15,
    CB_HSM_REWRAP = 16,
    CB_HSM_GENERATION = 17,
    CB_HSM_PUBLIC_KEY = 18,
    CB_HSM_RECEIPT_CHECK = 19,
    CB_HSM_STATUS = 20,
    CB_HSM_RESUME = 21,
    CB_HSM_BIND_FOREIGN = 22,
    CB_HSM_RENEW_FOREIGN = 23,
    CB_HSM_CERTIFY = 24,
    CB_HSM_BIND_PASSWORD = 25,
    CB_HSM_PASSWORD_SALT = 26,
    CB_HSM_PASSWORD_FORGIVE = 27,
    CB_HSM_PIN_RESET = 28,
    CB_HSM_TAP_REGISTER = 29,
    CB_HSM_TAP_BIND = 30,
    CB_HSM_REGISTRATION_ALLOW = 31,
    CB_HSM_REGISTRATION_WITHDRAW = 32,
    CB_HSM_REGISTRATION_STATE = 33,
    CB_HSM_TAP_PASSWORD = 34,
    CB_HSM_RETIRE_GENERATION = 35,
    CB_HSM_TAP_RENEW = 36,
    CB_HSM_MESSAGES
} cb_hsm_message;

enum {
    CB_HSM_WORKERS_MAX = 64,
    CB_HSM_FEED_ENTRIES_MAX = 1000,
    CB_HSM_FEED_ENTRY = 33, /* bytes on the wire */
    CB_HSM_SUBJECT_MAX = 1024,
    CB_HSM_WRAPPED_MAX = CB_SEALED_MAX,
    CB_HSM_CSR_MAX = 4096,
    CB_HSM_NAME_MAX = 32
};

/* Each pair writes and reads one structure. Readers leave it to the caller to ask the cursor how it
 * went. */
void cb_put_id(cb_buf *out, const cb_id *id);
cb_id cb_get_id(cb_cursor *in);
void cb_put_digest(cb_buf *out, const cb_digest *digest);
cb_digest cb_get_digest(cb_cursor *in);

/* tap ‖ terminal ‖ u8 profile ‖ u8 purpose ‖ u8 level ‖ u8 length, service ‖ text digest. A service
 * with a zero byte or too long fails. */
void cb_put_context(cb_buf *out, const cb_tap_context *context);
void cb_get_context(cb_cursor *in, cb_tap_context *context);

/* u8 profile ‖ var answers ‖ u8 count ‖ for each certificate u8 use ‖ var certificate. A reader of
 * more than CB_CARD_KEYS_MAX leaves the rest, for the caller to stumble over. */
void cb_put_reading(cb_buf *out, const cb_foreign_reading *reading);
void cb_get_reading(cb_cursor *in, cb_foreign_reading *reading);

/* holder ‖ u32 its end, seconds since 1970 ‖ u8 profiles ‖ u8 level ‖ u8 state ‖ u8 wrong tries. */
void cb_put_registration(cb_buf *out, const cb_registration_grant *grant);
void cb_get_registration(cb_cursor *in, cb_registration_grant *grant);

/* Without the signature, which is hsmd's to check. */
void cb_put_claim(cb_buf *out, const cb_card_claim *claim);
void cb_get_claim(cb_cursor *in, cb_card_claim *claim);

void cb_put_activation(cb_buf *out, const cb_activation *activation);
void cb_get_activation(cb_cursor *in, cb_activation *activation);

void cb_put_feed_head(cb_buf *out, const cb_feed_head *head);
void cb_get_feed_head(cb_cursor *in, cb_feed_head *head);
void cb_put_feed_entry(cb_buf *out, const cb_feed_entry *entry);
void cb_get_feed_entry(cb_cursor *in, cb_feed_entry *entry);

void cb_put_head(cb_buf *out, const cb_tree_head *head);
void cb_get_head(cb_cursor *in, cb_tree_head *head);
void cb_put_signed_head(cb_buf *out, const cb_signed_head *head);
void cb_get_signed_head(cb_cursor *in, cb_signed_head *head);

/* holder ‖ u8 length, service ‖ u8 algorithm ‖ u8 level ‖ u8 uses ‖ u64 sequence: what the caller
 * of GENERATE and IMPORT chooses. */
void cb_put_sealed_info(cb_buf *out, const cb_sealed_info *info);
void cb_get_sealed_info(cb_cursor *in, cb_sealed_info *info);

void cb_put_state(cb_buf *out, const cb_hsm_state *state);
void cb_get_state(cb_cursor *in, cb_hsm_state *state);

#endif

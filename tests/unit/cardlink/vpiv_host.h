/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A host's end of PIV secure messaging, for tests: one that also does what no host should. And
 * cards that have a secure messaging key.
 */
#ifndef CB_TESTS_CARDLINK_VPIV_HOST_H
#define CB_TESTS_CARDLINK_VPIV_HOST_H

#include "cardlink/issuer/piv_channel.h"
#include "vpiv.h"

typedef struct vpiv_host {
    cb_vcard *card;
    cb_vpiv_channel keys; /* and counters, as the host has them */
    uint8_t point[CB_P256_POINT];
} vpiv_host;

/* A content signer: P-256, with a certificate by his own key. Ended with cb_issue_signer_end. */
void vpiv_signer_make(cb_issue_signer *out);

/* As vpiv_card_make, with a secure messaging key. */
void vpiv_card_make_secured(vpiv_card *p, const uint8_t algorithm[CB_VPIV_SLOTS],
                            uint8_t management);

/* The request of key establishment: 7C{81: control, eight bytes 0, point; 82}. */
void vpiv_host_request(uint8_t control, cb_bytes point, cb_buf *out);

/* Establishes a channel. Its keys are right, or the test ends. */
uint16_t vpiv_host_open(vpiv_host *host, cb_vcard *card, uint8_t control);

/* Appends the data field of a command, and counts it. objects: encrypts nothing, and takes these
 * before the MAC. */
void vpiv_host_wrap(vpiv_host *host, const cb_apdu *plain, cb_buf *out);
void vpiv_host_wrap_objects(vpiv_host *host, const cb_apdu *header, cb_bytes objects, cb_buf *out);

/* What a block of padded plain text, whose length is a multiple of 16, is in DO 87. */
void vpiv_host_encrypt(const vpiv_host *host, cb_bytes padded, cb_buf *objects);

/* Sends a data field as it is, in parts where it is long, and fetches the answer. */
uint16_t vpiv_host_raw(vpiv_host *host, const cb_apdu *header, cb_bytes field, cb_buf *answer);

/* Opens an answer: its data to out, and returns its status word. The test ends if it is wrong. */
uint16_t vpiv_host_read(vpiv_host *host, cb_bytes answer, cb_buf *out);

/* A command inside the channel. The status word of secure messaging if that is not 9000, and
 * otherwise the command's own. */
uint16_t vpiv_host_send(vpiv_host *host, uint8_t ins, uint8_t p1, uint8_t p2, cb_bytes data,
                        cb_buf *out);
uint16_t vpiv_host_verify(vpiv_host *host, const char *pin);
uint16_t vpiv_host_get(vpiv_host *host, cb_bytes list, cb_buf *out);

/* A channel, or the test ends; whether the card has one, and no key if it has none. */
vpiv_host vpiv_host_opened(const vpiv_card *p);
bool vpiv_host_is_open(const vpiv_card *p);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Flows through hsmd's lanes, in this process, over a real token whose calls fail in turn, once and
 * for good. Who should be let in is, or is told that the HSM failed; who should not be is never;
 * what failed has left nothing that says it was done, and goes well afterwards. Programs that use
 * it link with token_wraps (meson.build).
 */
#ifndef CB_TESTS_FAULT_TOKEN_FLOWS_H
#define CB_TESTS_FAULT_TOKEN_FLOWS_H

#include "tests/support/pkcs11_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cardlink/scp03/keys.h"
#include "fake.h"
#include "hsm/card_pair.h"
#include "hsm/protocol.h"
#include "hsm/vault_keyring.h"
#include "tests/support/softhsm.h"

/* What a flow returns when it was given something false; it is no listed error. */
#define FLOWS_WRONG CB_ERROR_COUNT
#define MUST(call) assert_int_equal(call, CB_OK)

typedef struct flows {
    world w;
    fake f; /* its files and lanes, over a real token */
    softhsm hsm;
    cb_hsmd_config config;
    cb_buf pin;
    cb_vault_keyring vault;
    cb_card_pair pair; /* as a worker's host has it */
    cb_lane use, manage;
    cb_id holder, terminal;
    cb_scp03_plain_master master; /* of SCP03 cards, as it is in the token */
    size_t persistent;            /* objects in the token */
    cb_digest files;              /* as they were before */
} flows;

/* A key on P-256: what a terminal derives from a password, or its own. */
typedef struct flows_secret {
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
} flows_secret;

/* ---- Requests ---- */

/* Frees body. An error comes alone; what is told to the log was done, and is told if it was. out
 * may be NULL. */
cb_error flows_ask(cb_lane *lane, uint16_t type, cb_buf *body, cb_buf *out);

/* The HSM's failure is the broker's, and said to be: FLOWS_WRONG for other errors. */
cb_error flows_judge(cb_error error);

/* For what is to be refused: that it is, or was not looked at. */
cb_error flows_refused(cb_error error, cb_error expected);

/* ---- Taps ---- */

/* Who answers the commands of a tap. */
typedef struct flows_answerer {
    void (*answer)(const struct flows_answerer *who, const cb_tap_context *context,
                   cb_bytes command, cb_buf *out);
    flows *t;
    cb_vcard *card;
    const flows_secret *shown, *into; /* passwords; into: the next one, or NULL */
} flows_answerer;

/* A tap up to the claim. binding: what is known of the card when it is asked, or NULL. */
cb_error flows_prove(const flows_answerer *who, cb_tap_context *context, const cb_buf *binding);

/* The body of what comes then: tap, binding, head of the feed. */
void flows_put_bound(flows *t, cb_buf *body, const cb_tap_context *context, const cb_buf *binding);

/* The activation, of the holder's card on the level that was asked for; the tap ends with it. */
cb_error flows_activate(const flows_answerer *who, cb_tap_context *context, const cb_buf *binding,
                        const cb_id *card);

/* ---- What is left ---- */

/* For what writes nothing, whatever comes of it: the files that hsmd keeps are as they were. */
void flows_remember(void *context);
void flows_kept_nothing(const flows *t);

void flows_no_tap_left(const flows *t);

/* Nor anything in the token, once it is known to be well again. */
void flows_nothing_left(flows *t);

/* ---- The program ---- */

/* Opens the token. None of the keys that may be missing is overlooked because a call failed. */
cb_error flows_open(void *context);

typedef struct flows_program {
    const fault_flow *flow; /* their context: the flows */
    size_t count;
    void (*made)(flows *t); /* what else is there, and what becomes of it */
    void (*gone)(flows *t);
} flows_program;

/* For main. */
int flows_main(const flows_program *program);

#endif

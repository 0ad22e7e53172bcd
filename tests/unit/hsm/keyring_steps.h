/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A token of one's own and the keyring on it, which tests of what lies on a real token open and
 * close: for one file that includes it.
 */
#ifndef CB_TESTS_HSM_KEYRING_STEPS_H
#define CB_TESTS_HSM_KEYRING_STEPS_H

#include "hsm/sealed.h"
#include "hsm/token_parts.h"
#include "tests/support/softhsm.h"
#include "tests/unit/base/test.h"

static softhsm hsm;
static cb_keyring *keyring;

static inline int make_token(void **state)
{
    (void)state;
    softhsm_make(&hsm);
    return 0;
}

static inline int remove_token(void **state)
{
    (void)state;
    softhsm_remove(&hsm);
    return 0;
}

static inline int open_keyring(void **state)
{
    (void)state;
    keyring = softhsm_open(&hsm);
    return 0;
}

static inline int close_keyring(void **state)
{
    (void)state;
    cb_keyring_close(&keyring);
    return 0;
}

/* Both, for a whole group of tests. */
static inline int open_token(void **state) { return make_token(state) || open_keyring(state); }

static inline int close_token(void **state) { return close_keyring(state) || remove_token(state); }

static inline cb_token *token(void) { return cb_keyring_token(keyring); }

static inline size_t session_objects(void)
{
    size_t count = 0;
    assert_int_equal(cb_token_count(token(), false, &count), CB_OK);
    return count;
}

static inline cb_sealed_info info_for(uint8_t algorithm)
{
    return (cb_sealed_info){.holder = {{1}},
                            .service = "tax",
                            .algorithm = algorithm,
                            .level = CB_LEVEL_POSSESSION,
                            .uses = 1,
                            .sequence = 1};
}

#endif

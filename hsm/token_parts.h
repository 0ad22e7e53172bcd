/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of token.h share. Inside hsm/ only.
 */
#ifndef CB_HSM_TOKEN_PARTS_H
#define CB_HSM_TOKEN_PARTS_H

#include "hsm/token.h"

struct cb_token {
    void *library;
    CK_FUNCTION_LIST *f;
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info; /* what it said of itself when it was found */
    CK_SESSION_HANDLE session;
    unsigned login; /* counts logins; handles of an earlier one are not used */
    char label[33];
    char *lock;
    cb_buf pin; /* in locked memory where the system allows */
    CK_RV last; /* what the last call returned */
    atomic_bool *pin_refused;
    bool given_up;
    bool unwell;   /* a call failed on its way: what it had begun in the session may still stand */
    bool leftover; /* a session object could not be destroyed: it goes with the next login */
};

/* Notes a call's result: CB_OK, or CB_E_HSM_TOKEN with a line in the log. */
cb_error cb_token_note(cb_token *token, const char *call, CK_RV rv);

/* Whether the last call failed because session or login are gone. */
bool cb_token_lost(const cb_token *token);

/* Logs in anew. */
cb_error cb_token_again(cb_token *token);

/* ---- The module, for initialise.c: without a login ---- */

/* Loads and initialises the module; the lock is held until cb_module_unlock. Fills library, f,
 * label, lock. CB_E_CONFIG. */
cb_error cb_module_load(const cb_token_config *config, cb_token *token, int *lock);
void cb_module_unlock(int *lock);
void cb_module_unload(cb_token *token);

/* The slot of the token with the label. CB_E_NOT_FOUND. */
cb_error cb_module_slot(cb_token *token);

#endif

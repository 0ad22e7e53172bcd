/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One PKCS#11 token, logged in: the only place where keys are used.
 *
 * Everything above asks for a named key (keyring.h) or for a key that was unwrapped a moment ago
 * (sealed.h); what CKR codes there are ends here, in the log. One process uses one token with one
 * thread: more speed comes from more processes. Nothing here is peculiar to one make of HSM, but what
 * softhsm.h does around it.
 *
 * C_Login writes to the token in some implementations, and processes that start together then
 * disturb each other; so C_Initialize to C_Login run under an exclusive lock on a file that every
 * user of the token names.
 *
 * When the token says that the session or the device is gone, the operation logs in anew and is
 * tried once more. Handles of persistent keys are then found again; session objects are gone, and
 * their use fails.
 *
 * Failures are CB_E_HSM_TOKEN, with the call and the CKR code in the log, unless a function says
 * otherwise.
 */
#ifndef CB_HSM_TOKEN_H
#define CB_HSM_TOKEN_H

#include <p11-kit/pkcs11.h>
#include <stdatomic.h>

#include "base/crypto.h"

typedef struct cb_token cb_token;

typedef struct cb_token_config {
    const char *module; /* path of the PKCS#11 library */
    const char *label;  /* of the token, at most 32 bytes */
    const char *lock;   /* path of the lock file; made if need be, mode 0600 */
    /* NULL, or shared by all that log in with one PIN: after the token refused it once none of them
     * tries it again. */
    atomic_bool *pin_refused;
} cb_token_config;

/* Loads the module, finds the token, logs in as user. Wipes pin whatever comes of it; a copy in
 * locked memory stays with the token, for logging in anew. CB_E_CONFIG: no such module or token, or
 * the PIN is wrong or locked. */
cb_error cb_token_open(const cb_token_config *config, cb_buf *pin, cb_token **out);

/* What the token holds is on the disk (softhsm.h): who makes something that needs a key, and nobody
 * has said yet that it is, calls this first. CB_E_IO. */
cb_error cb_token_sync(cb_token *token);

/* Looks whether the session is alive, and logs in anew if it is not. The functions that begin with a session object
 * made a moment ago cannot try again by themselves; what comes before them calls this. */
cb_error cb_token_revive(cb_token *token);

/* Whether it could not be logged in to anew. Some modules find a token again only when they are
 * loaded anew, so the process ends then. */
bool cb_token_given_up(const cb_token *token);

/* Counts logins from 1. A session object is good for the login that it was made in. */
unsigned cb_token_login(const cb_token *token);

/* Whether the last call failed because the token, or this side of it, did: not for what it was
 * asked. */
bool cb_token_failed(const cb_token *token);

/* Logs in anew when a session object could not be destroyed: it ends with its session. Before a
 * request opens objects of its own. */
cb_error cb_token_tidy(cb_token *token);

/* Destroys session objects, logs out, unloads. NULL inside is allowed. */
void cb_token_close(cb_token **token);

/* A persistent key, found by class and label (and CKA_ID, if id_len is not 0) at its first use, and
 * remembered. */
typedef struct cb_token_key {
    CK_OBJECT_CLASS class;
    char label[48];
    uint8_t id[4];
    size_t id_len;
    CK_OBJECT_HANDLE handle;
    unsigned login; /* which login the handle belongs to; 0: not looked for yet */
} cb_token_key;

cb_token_key cb_token_key_named(CK_OBJECT_CLASS class, const char *label);

/* Its handle. CB_E_NOT_FOUND when the token has none of that name, CB_E_CONFIG when it has several.
 */
cb_error cb_token_find(cb_token *token, cb_token_key *key, CK_OBJECT_HANDLE *out);

/* Calls each with every object of that class and label; at most max of them. An error ends the
 * search. */
cb_error cb_token_list(cb_token *token, CK_OBJECT_CLASS class, const char *label,
                       CK_OBJECT_HANDLE *handles, size_t max, size_t *count);

/* How many objects there are: persistent ones, or those of this session. For status and tests;
 * slow. */
cb_error cb_token_count(cb_token *token, bool persistent, size_t *count);

/* Appends the value of an attribute. */
cb_error cb_token_attribute(cb_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                            cb_buf *out);

/* The size of a readable object's value, without reading it. CKA_VALUE_LEN does not tell: SoftHSM leaves it 0 in
 * objects that were unwrapped. */
cb_error cb_token_value_size(cb_token *token, CK_OBJECT_HANDLE object, size_t *out);

/* One signature, or MAC, over the parts one after the other (a single part where the mechanism
 * knows no parts). Appends the result, of at most 512 bytes. */
cb_error cb_token_sign(cb_token *token, CK_OBJECT_HANDLE key, const CK_MECHANISM *mechanism,
                       const cb_bytes *parts, size_t count, cb_buf *out);

/* The same with a persistent key: this one survives a lost session. */
cb_error cb_token_sign_with(cb_token *token, cb_token_key *key, const CK_MECHANISM *mechanism,
                            const cb_bytes *parts, size_t count, cb_buf *out);

/* ECDH1 without a KDF: the X coordinate, of len bytes. The peer's point (04 ‖ X ‖ Y) must be on the
 * curve: the caller sees to it. */
cb_error cb_token_agree(cb_token *token, CK_OBJECT_HANDLE key, cb_bytes point, uint8_t *out,
                        size_t len);
cb_error cb_token_agree_with(cb_token *token, cb_token_key *key, cb_bytes point, uint8_t *out,
                             size_t len);

/* ---- Session objects: whoever made one destroys it. ---- */

typedef struct cb_token_template {
    CK_ATTRIBUTE *attributes;
    CK_ULONG count;
} cb_token_template;

cb_error cb_token_generate(cb_token *token, const CK_MECHANISM *mechanism,
                           cb_token_template template, CK_OBJECT_HANDLE *out);
cb_error cb_token_generate_pair(cb_token *token, const CK_MECHANISM *mechanism,
                                cb_token_template public_template,
                                cb_token_template private_template, CK_OBJECT_HANDLE *public_key,
                                CK_OBJECT_HANDLE *private_key);

/* Appends the wrapped key, of at most 4096 bytes. */
cb_error cb_token_wrap(cb_token *token, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping,
                       CK_OBJECT_HANDLE key, cb_buf *out);

/* CB_E_HSM_RECORD when the token says that what is wrapped is not genuine. */
cb_error cb_token_unwrap(cb_token *token, const CK_MECHANISM *mechanism,
                         CK_OBJECT_HANDLE unwrapping, cb_bytes wrapped, cb_token_template template,
                         CK_OBJECT_HANDLE *out);

/* Sets *object to CK_INVALID_HANDLE; that handle is allowed and does nothing. */
void cb_token_destroy(cb_token *token, CK_OBJECT_HANDLE *object);

/* The same for one that was made under a login: after a later one it is gone, and its handle may be
 * another object's. */
void cb_token_destroy_of(cb_token *token, unsigned login, CK_OBJECT_HANDLE *object);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/token.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "hsm/softhsm.h"
#include "hsm/token_parts.h"

enum { SLOTS_MAX = 64, LABEL_BYTES = 32 };

cb_error cb_token_note(cb_token *token, const char *call, CK_RV rv)
{
    char code[24];
    token->last = rv;
    if (rv == CKR_OK)
        return CB_OK;
    token->unwell |= cb_token_failed(token);
    snprintf(code, sizeof code, "0x%08lx", (unsigned long)rv);
    cb_log(CB_LOG_ERROR, "token.failed", "The HSM refused or failed a call.", "call", call, "ckr",
           code, NULL);
    return CB_E_HSM_TOKEN;
}

bool cb_token_lost(const cb_token *token)
{
    switch (token->last) {
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_USER_NOT_LOGGED_IN:
    case CKR_DEVICE_REMOVED:
    case CKR_DEVICE_ERROR:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_KEY_HANDLE_INVALID:
    case CKR_OBJECT_HANDLE_INVALID:
    case CKR_OPERATION_ACTIVE: /* a call failed on its way, and left what it had begun */
        return true;
    default:
        return false;
    }
}

bool cb_token_failed(const cb_token *token)
{
    return cb_token_lost(token) || token->last == CKR_HOST_MEMORY ||
           token->last == CKR_DEVICE_MEMORY;
}

/* ---- The module ---- */

static int lock_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    while (flock(fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        close(fd);
        return -1;
    }
    return fd;
}

void cb_module_unlock(int *lock)
{
    if (*lock >= 0)
        close(*lock);
    *lock = -1;
}

static cb_error load_library(const char *path, cb_token *token)
{
    token->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = token->library ? dlsym(token->library, "C_GetFunctionList") : NULL;
    CK_C_GetFunctionList get;
    if (!symbol)
        return cb_log_failure("token.module", CB_E_CONFIG, path);
    memcpy(&get, &symbol, sizeof get); /* ISO C has no cast from an object to a function */
    return cb_token_note(token, "C_GetFunctionList", get(&token->f)) ? CB_E_CONFIG : CB_OK;
}

cb_error cb_module_load(const cb_token_config *config, cb_token *token, int *lock)
{
    CK_C_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};
    *lock = -1;
    if (strlen(config->label) > LABEL_BYTES)
        return CB_E_CONFIG;
    strcpy(token->label, config->label);
    token->pin_refused = config->pin_refused;
    token->lock = strdup(config->lock);
    if (!token->lock)
        return CB_E_MEMORY;
    *lock = lock_file(token->lock);
    if (*lock < 0)
        return cb_log_failure("token.lock", CB_E_IO, strerror(errno));
    cb_softhsm_mend(token->label);
    cb_error error = load_library(config->module, token);
    if (!error)
        error = cb_token_note(token, "C_Initialize", token->f->C_Initialize(&arguments));
    if (error)
        cb_module_unlock(lock);
    return error;
}

void cb_module_unload(cb_token *token)
{
    if (token->f)
        token->f->C_Finalize(NULL);
    if (token->library)
        dlclose(token->library);
    free(token->lock);
    token->f = NULL;
    token->library = NULL;
    token->lock = NULL;
}

/* CB_E_NOT_FOUND when it is another token's. What could not be asked may be the one. */
static cb_error look_for_label(cb_token *token, CK_SLOT_ID slot)
{
    CK_TOKEN_INFO info;
    char padded[LABEL_BYTES];
    CK_RV rv = token->f->C_GetTokenInfo(slot, &info);
    if (rv == CKR_TOKEN_NOT_PRESENT || rv == CKR_TOKEN_NOT_RECOGNIZED)
        return CB_E_NOT_FOUND;
    if (rv != CKR_OK)
        return cb_token_note(token, "C_GetTokenInfo", rv);
    memset(padded, ' ', sizeof padded);
    memcpy(padded, token->label, strlen(token->label));
    if (!(info.flags & CKF_TOKEN_INITIALIZED) || memcmp(info.label, padded, sizeof padded) != 0)
        return CB_E_NOT_FOUND;
    token->info = info;
    return CB_OK;
}

cb_error cb_module_slot(cb_token *token)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    cb_error error =
        cb_token_note(token, "C_GetSlotList", token->f->C_GetSlotList(CK_TRUE, slots, &count));
    if (error)
        return error;
    error = CB_E_NOT_FOUND;
    for (CK_ULONG i = 0; i < count; i++) {
        cb_error one = look_for_label(token, slots[i]);
        if (!one) {
            token->slot = slots[i];
            return CB_OK;
        }
        error = one == CB_E_NOT_FOUND ? error : one;
    }
    return error;
}

/* ---- The login ---- */

static bool pin_is_wrong(CK_RV rv)
{
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED || rv == CKR_PIN_INVALID ||
           rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_EXPIRED;
}

/* A few tries with a wrong PIN lock a token for good. */
static cb_error refuse_pin(cb_token *token)
{
    if (token->pin_refused)
        atomic_store(token->pin_refused, true);
    cb_log(CB_LOG_ERROR, "token.pin_refused",
           "The HSM refused the PIN, which is not tried again: put the right one in place, then "
           "start the key service.",
           NULL);
    return CB_E_CONFIG;
}

/* Under the lock, so that not two workers try a wrong PIN at once. */
static cb_error log_in(cb_token *token)
{
    if (token->pin_refused && atomic_load(token->pin_refused))
        return CB_E_CONFIG;
    CK_RV rv = token->f->C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                       &token->session);
    cb_error error = cb_token_note(token, "C_OpenSession", rv);
    if (error)
        return error;
    rv = token->f->C_Login(token->session, CKU_USER, token->pin.data, token->pin.len);
    if (rv == CKR_USER_ALREADY_LOGGED_IN)
        rv = CKR_OK;
    error = cb_token_note(token, "C_Login", rv);
    if (error && pin_is_wrong(rv))
        error = refuse_pin(token);
    token->login += !error;
    return error;
}

cb_error cb_token_again(cb_token *token)
{
    int lock = lock_file(token->lock);
    if (lock < 0)
        return CB_E_HSM_TOKEN;
    token->f->C_CloseAllSessions(token->slot);
    cb_error error = cb_module_slot(token);
    if (!error)
        error = log_in(token);
    cb_module_unlock(&lock);
    token->leftover = token->leftover && error;
    token->unwell = token->unwell && error;
    token->given_up = error != CB_OK;
    cb_log(error ? CB_LOG_ERROR : CB_LOG_WARNING, "token.login", "The HSM was logged in to anew.",
           "error", error ? cb_error_code(error) : NULL, NULL);
    return error ? CB_E_HSM_TOKEN : CB_OK;
}

static bool alive(cb_token *token)
{
    CK_SESSION_INFO info;
    return token->f->C_GetSessionInfo(token->session, &info) == CKR_OK &&
           info.state == CKS_RW_USER_FUNCTIONS;
}

cb_error cb_token_revive(cb_token *token)
{
    return !token->leftover && !token->unwell && alive(token) ? CB_OK : cb_token_again(token);
}

cb_error cb_token_tidy(cb_token *token) { return token->leftover ? cb_token_again(token) : CB_OK; }

bool cb_token_given_up(const cb_token *token) { return token->given_up; }

unsigned cb_token_login(const cb_token *token) { return token->login; }

/* The PIN is asked for again only when the token was gone; until then it should not be on a disk.
 */
static cb_error keep_pin(cb_token *token, cb_buf *pin)
{
    token->pin = CB_BUF(256);
    cb_buf_put(&token->pin, cb_buf_bytes(pin));
    if (cb_buf_error(&token->pin))
        return cb_buf_error(&token->pin);
    (void)mlock(token->pin.data, token->pin.cap);
    return CB_OK;
}

cb_error cb_token_open(const cb_token_config *config, cb_buf *pin, cb_token **out)
{
    int lock = -1;
    cb_token *token = calloc(1, sizeof *token);
    cb_error error = token ? keep_pin(token, pin) : CB_E_MEMORY;
    cb_buf_free(pin);
    if (!error)
        error = cb_module_load(config, token, &lock);
    if (!error) {
        error = cb_module_slot(token);
        if (error == CB_E_NOT_FOUND)
            error = cb_log_failure("token.label", CB_E_CONFIG, config->label);
    }
    if (!error)
        error = log_in(token);
    if (!error)
        cb_softhsm_keep(&token->info);
    cb_module_unlock(&lock);
    if (error)
        cb_token_close(&token);
    else
        *out = token;
    return error;
}

cb_error cb_token_sync(cb_token *token)
{
    int lock = lock_file(token->lock);
    if (lock < 0)
        return cb_log_failure("token.lock", CB_E_IO, strerror(errno));
    cb_error error = cb_softhsm_sync(&token->info);
    cb_module_unlock(&lock);
    return error;
}

void cb_token_close(cb_token **token)
{
    cb_token *t = *token;
    if (!t)
        return;
    if (t->f && t->session) {
        t->f->C_Logout(t->session);
        t->f->C_CloseAllSessions(t->slot);
    }
    cb_module_unload(t);
    cb_buf_free(&t->pin);
    free(t);
    *token = NULL;
}

/* ---- Finding ---- */

cb_token_key cb_token_key_named(CK_OBJECT_CLASS class, const char *label)
{
    cb_token_key key = {.class = class};
    snprintf(key.label, sizeof key.label, "%s", label);
    return key;
}

static cb_error search(cb_token *token, CK_ATTRIBUTE *attributes, CK_ULONG attribute_count,
                       CK_OBJECT_HANDLE *handles, size_t max, size_t *count)
{
    CK_ULONG found = 0;
    *count = 0;
    cb_error error =
        cb_token_note(token, "C_FindObjectsInit",
                      token->f->C_FindObjectsInit(token->session, attributes, attribute_count));
    if (error)
        return error;
    do {
        CK_RV rv = token->f->C_FindObjects(token->session, handles + *count, max - *count, &found);
        error = cb_token_note(token, "C_FindObjects", rv);
        *count += error ? 0 : found;
    } while (!error && found > 0 && *count < max);
    token->f->C_FindObjectsFinal(token->session);
    return error;
}

cb_error cb_token_list(cb_token *token, CK_OBJECT_CLASS class, const char *label,
                       CK_OBJECT_HANDLE *handles, size_t max, size_t *count)
{
    char copy[48];
    snprintf(copy, sizeof copy, "%s", label);
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, copy, strlen(copy)}};
    return search(token, wanted, 2, handles, max, count);
}

cb_error cb_token_find(cb_token *token, cb_token_key *key, CK_OBJECT_HANDLE *out)
{
    CK_OBJECT_HANDLE found[2];
    size_t count;
    CK_BBOOL yes = CK_TRUE;
    if (key->login == token->login && key->login != 0) {
        *out = key->handle;
        return CB_OK;
    }
    CK_ATTRIBUTE wanted[] = {{CKA_TOKEN, &yes, sizeof yes},
                             {CKA_CLASS, &key->class, sizeof key->class},
                             {CKA_LABEL, key->label, strlen(key->label)},
                             {CKA_ID, key->id, key->id_len}};
    cb_error error = search(token, wanted, key->id_len ? 4 : 3, found, 2, &count);
    if (error)
        return error;
    /* Who is logged out sees no private objects. */
    if (count == 0 && !alive(token))
        return cb_token_note(token, "C_FindObjects", CKR_USER_NOT_LOGGED_IN);
    if (count != 1)
        return count == 0 ? CB_E_NOT_FOUND
                          : cb_log_failure("token.ambiguous", CB_E_CONFIG, key->label);
    key->handle = *out = found[0];
    key->login = token->login;
    return CB_OK;
}

cb_error cb_token_count(cb_token *token, bool persistent, size_t *count)
{
    CK_BBOOL wanted_value = persistent ? CK_TRUE : CK_FALSE;
    CK_ATTRIBUTE wanted[] = {{CKA_TOKEN, &wanted_value, sizeof wanted_value}};
    enum { MOST = 65536 };
    CK_OBJECT_HANDLE *handles = calloc(MOST, sizeof *handles);
    if (!handles)
        return CB_E_MEMORY;
    cb_error error = search(token, wanted, 1, handles, MOST, count);
    free(handles);
    return error;
}

cb_error cb_token_attribute(cb_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                            cb_buf *out)
{
    CK_ATTRIBUTE attribute = {type, NULL, 0};
    CK_RV rv = token->f->C_GetAttributeValue(token->session, object, &attribute, 1);
    if (rv == CKR_OK && attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION)
        rv = CKR_ATTRIBUTE_SENSITIVE;
    if (rv != CKR_OK)
        return cb_token_note(token, "C_GetAttributeValue", rv);
    size_t before = out->len;
    attribute.pValue = cb_buf_extend(out, attribute.ulValueLen);
    if (!attribute.pValue)
        return cb_buf_error(out);
    rv = token->f->C_GetAttributeValue(token->session, object, &attribute, 1);
    out->len = before + (rv == CKR_OK ? attribute.ulValueLen : 0);
    return cb_token_note(token, "C_GetAttributeValue", rv);
}

cb_error cb_token_value_size(cb_token *token, CK_OBJECT_HANDLE object, size_t *out)
{
    CK_ATTRIBUTE attribute = {CKA_VALUE, NULL, 0};
    CK_RV rv = token->f->C_GetAttributeValue(token->session, object, &attribute, 1);
    if (rv == CKR_OK && attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION)
        rv = CKR_ATTRIBUTE_SENSITIVE;
    *out = rv == CKR_OK ? attribute.ulValueLen : 0;
    return cb_token_note(token, "C_GetAttributeValue", rv);
}

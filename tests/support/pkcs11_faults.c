/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/pkcs11_faults.h"

#include <p11-kit/pkcs11.h>
#include <stddef.h>
#include <string.h>

#include "tests/support/alloc_faults.h"
#include "tests/support/fault_counter.h"

void *__real_dlsym(void *library, const char *name);
void *__wrap_dlsym(void *library, const char *name);
void *__real_dlopen(const char *path, int flags);
void *__wrap_dlopen(const char *path, int flags);
int __real_dlclose(void *library);
int __wrap_dlclose(void *library);

static fault_counter device, memory, session;
static CK_FUNCTION_LIST *real, own;
static CK_C_GetFunctionList real_get;

static CK_RV strike(void)
{
    if (fault_counter_strikes(&device))
        return CKR_DEVICE_ERROR;
    if (fault_counter_strikes(&memory))
        return CKR_HOST_MEMORY;
    return fault_counter_strikes(&session) ? CKR_SESSION_HANDLE_INVALID : CKR_OK;
}

/* PASS(name, (parameters), (arguments)): fails, or asks the module. */
#define PASS(name, parameters, arguments)                                                          \
    static CK_RV my_##name parameters                                                              \
    {                                                                                              \
        CK_RV rv = strike();                                                                       \
        if (rv != CKR_OK)                                                                          \
            return rv;                                                                             \
        alloc_faults_pause(true);                                                                  \
        rv = real->name arguments;                                                                 \
        alloc_faults_pause(false);                                                                 \
        return rv;                                                                                 \
    }

PASS(C_Initialize, (void *a), (a))
PASS(C_GetSlotList, (CK_BBOOL a, CK_SLOT_ID *b, CK_ULONG *c), (a, b, c))
PASS(C_GetTokenInfo, (CK_SLOT_ID a, CK_TOKEN_INFO *b), (a, b))
PASS(C_InitToken, (CK_SLOT_ID a, CK_UTF8CHAR *b, CK_ULONG c, CK_UTF8CHAR *d), (a, b, c, d))
PASS(C_InitPIN, (CK_SESSION_HANDLE a, CK_UTF8CHAR *b, CK_ULONG c), (a, b, c))
PASS(C_OpenSession, (CK_SLOT_ID a, CK_FLAGS b, void *c, CK_NOTIFY d, CK_SESSION_HANDLE *e),
     (a, b, c, d, e))
PASS(C_GetSessionInfo, (CK_SESSION_HANDLE a, CK_SESSION_INFO *b), (a, b))
PASS(C_Login, (CK_SESSION_HANDLE a, CK_USER_TYPE b, CK_UTF8CHAR *c, CK_ULONG d), (a, b, c, d))
PASS(C_CopyObject,
     (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE b, CK_ATTRIBUTE *c, CK_ULONG d, CK_OBJECT_HANDLE *e),
     (a, b, c, d, e))
PASS(C_CreateObject, (CK_SESSION_HANDLE a, CK_ATTRIBUTE *b, CK_ULONG c, CK_OBJECT_HANDLE *d),
     (a, b, c, d))
PASS(C_DestroyObject, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE b), (a, b))
PASS(C_GetAttributeValue, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE b, CK_ATTRIBUTE *c, CK_ULONG d),
     (a, b, c, d))
PASS(C_SetAttributeValue, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE b, CK_ATTRIBUTE *c, CK_ULONG d),
     (a, b, c, d))
PASS(C_FindObjectsInit, (CK_SESSION_HANDLE a, CK_ATTRIBUTE *b, CK_ULONG c), (a, b, c))
PASS(C_FindObjects, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE *b, CK_ULONG c, CK_ULONG *d),
     (a, b, c, d))
PASS(C_SignInit, (CK_SESSION_HANDLE a, CK_MECHANISM *b, CK_OBJECT_HANDLE c), (a, b, c))
PASS(C_Sign, (CK_SESSION_HANDLE a, CK_BYTE *b, CK_ULONG c, CK_BYTE *d, CK_ULONG *e),
     (a, b, c, d, e))
PASS(C_DecryptInit, (CK_SESSION_HANDLE a, CK_MECHANISM *b, CK_OBJECT_HANDLE c), (a, b, c))
PASS(C_Decrypt, (CK_SESSION_HANDLE a, CK_BYTE *b, CK_ULONG c, CK_BYTE *d, CK_ULONG *e),
     (a, b, c, d, e))
PASS(C_GenerateKey,
     (CK_SESSION_HANDLE a, CK_MECHANISM *b, CK_ATTRIBUTE *c, CK_ULONG d, CK_OBJECT_HANDLE *e),
     (a, b, c, d, e))
PASS(C_GenerateKeyPair,
     (CK_SESSION_HANDLE a, CK_MECHANISM *b, CK_ATTRIBUTE *c, CK_ULONG d, CK_ATTRIBUTE *e,
      CK_ULONG f, CK_OBJECT_HANDLE *g, CK_OBJECT_HANDLE *h),
     (a, b, c, d, e, f, g, h))
PASS(C_WrapKey,
     (CK_SESSION_HANDLE a, CK_MECHANISM *b, CK_OBJECT_HANDLE c, CK_OBJECT_HANDLE d, CK_BYTE *e,
      CK_ULONG *f),
     (a, b, c, d, e, f))
PASS(C_UnwrapKey,
     (CK_SESSION_HANDLE a, CK_MECHANISM *b, CK_OBJECT_HANDLE c, CK_BYTE *d, CK_ULONG e,
      CK_ATTRIBUTE *f, CK_ULONG g, CK_OBJECT_HANDLE *h),
     (a, b, c, d, e, f, g, h))
PASS(C_DeriveKey,
     (CK_SESSION_HANDLE a, CK_MECHANISM *b, CK_OBJECT_HANDLE c, CK_ATTRIBUTE *d, CK_ULONG e,
      CK_OBJECT_HANDLE *f),
     (a, b, c, d, e, f))

/* What ends things: it is done in any case, whatever it says. */
#define ENDS(name, parameters, arguments)                                                          \
    static CK_RV my_##name parameters                                                              \
    {                                                                                              \
        CK_RV rv = strike();                                                                       \
        alloc_faults_pause(true);                                                                  \
        CK_RV done = real->name arguments;                                                         \
        alloc_faults_pause(false);                                                                 \
        return rv != CKR_OK ? rv : done;                                                           \
    }

ENDS(C_Finalize, (void *a), (a))
ENDS(C_CloseSession, (CK_SESSION_HANDLE a), (a))
ENDS(C_CloseAllSessions, (CK_SLOT_ID a), (a))
ENDS(C_Logout, (CK_SESSION_HANDLE a), (a))
ENDS(C_FindObjectsFinal, (CK_SESSION_HANDLE a), (a))

static CK_RV my_get(CK_FUNCTION_LIST **out)
{
    CK_RV rv = real_get(&real);
    if (rv != CKR_OK)
        return rv;
    own = *real;
#define MINE(name) own.name = my_##name
    MINE(C_Initialize), MINE(C_GetSlotList), MINE(C_GetTokenInfo), MINE(C_InitToken);
    MINE(C_InitPIN), MINE(C_OpenSession), MINE(C_GetSessionInfo), MINE(C_Login);
    MINE(C_CopyObject), MINE(C_CreateObject), MINE(C_DestroyObject), MINE(C_GetAttributeValue);
    MINE(C_SetAttributeValue), MINE(C_FindObjectsInit), MINE(C_FindObjects), MINE(C_SignInit);
    MINE(C_Sign), MINE(C_DecryptInit), MINE(C_Decrypt), MINE(C_GenerateKey);
    MINE(C_GenerateKeyPair), MINE(C_WrapKey), MINE(C_UnwrapKey), MINE(C_DeriveKey);
    MINE(C_Finalize), MINE(C_CloseSession), MINE(C_CloseAllSessions), MINE(C_Logout);
    MINE(C_FindObjectsFinal);
    *out = &own;
    return CKR_OK;
}

/* Nor is the dynamic linker ours. */
void *__wrap_dlopen(const char *path, int flags)
{
    alloc_faults_pause(true);
    void *library = __real_dlopen(path, flags);
    alloc_faults_pause(false);
    return library;
}

int __wrap_dlclose(void *library)
{
    alloc_faults_pause(true);
    int status = __real_dlclose(library);
    alloc_faults_pause(false);
    return status;
}

void *__wrap_dlsym(void *library, const char *name)
{
    void *symbol = __real_dlsym(library, name);
    CK_C_GetFunctionList mine = my_get;
    if (!symbol || strcmp(name, "C_GetFunctionList") != 0)
        return symbol;
    memcpy(&real_get, &symbol, sizeof real_get);
    memcpy(&symbol, &mine, sizeof symbol);
    return symbol;
}

#define KIND(which, said)                                                                          \
    static void which##_arm(unsigned nth, bool lasting)                                            \
    {                                                                                              \
        fault_counter_arm(&which, nth, lasting);                                                   \
    }                                                                                              \
    static unsigned which##_disarm(void) { return fault_counter_disarm(&which); }                  \
    static void which##_where(void) { fault_counter_where(&which); }                               \
    const fault_kind pkcs11_##which##_faults = {said, which##_arm, which##_disarm, which##_where,  \
                                                false}

KIND(device, "device error");
KIND(memory, "host memory");
KIND(session, "lost session");

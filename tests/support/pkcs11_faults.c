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

static fault_counter device, memory, session, login, removed;
__attribute__((constructor)) static void make_counters(void)
{
    fault_counter_make(&device);
    fault_counter_make(&memory);
    fault_counter_make(&session);
    fault_counter_make(&login);
    fault_counter_make(&removed);
}

static CK_FUNCTION_LIST *real, own;
static CK_C_GetFunctionList real_get;

static CK_RV strike(void)
{
    if (fault_counter_strikes(&device))
        return CKR_DEVICE_ERROR;
    if (fault_counter_strikes(&memory))
        return CKR_HOST_MEMORY;
    if (fault_counter_strikes(&login))
        return CKR_USER_NOT_LOGGED_IN;
    if (fault_counter_strikes(&removed))
        return CKR_DEVICE_REMOVED;
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

#include "tests/support/pkcs11_calls.h"
#undef PASS
#undef ENDS

static CK_RV my_get(CK_FUNCTION_LIST **out)
{
    CK_RV rv = real_get(&real);
    if (rv != CKR_OK)
        return rv;
    own = *real;
#define PASS(name, parameters, arguments) own.name = my_##name;
#define ENDS PASS
#include "tests/support/pkcs11_calls.h"
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

/* A sanitizer asks for its functions before it has begun: strcmp is one of them. */
static bool is_list(const char *name)
{
    const char *list = "C_GetFunctionList";
    while (*name && *name == *list)
        name++, list++;
    return *name == *list;
}

void *__wrap_dlsym(void *library, const char *name)
{
    void *symbol = __real_dlsym(library, name);
    CK_C_GetFunctionList mine = my_get;
    if (!symbol || !is_list(name))
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
KIND(login, "lost login");
KIND(removed, "removed device");

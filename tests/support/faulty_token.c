/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A PKCS#11 module that stands before SoftHSM and fails as it is told, in the file that
 * CB_TOKEN_FAULTS names (tests/support/faulty.py writes it). The file is mapped, so that calls are
 * counted over all processes together.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"

/* Of the calls of that name those from the first to the last, counted from 0, give rv instead. A
 * rule with rv CKR_OK only counts. */
typedef struct rule {
    char name[32];
    volatile uint32_t first, last;
    volatile uint64_t rv;
    volatile uint32_t calls;
    uint32_t unused;
} rule;

enum { RULES = 16 };

static rule *rules;
static CK_FUNCTION_LIST *real, own;

static CK_RV strike(const char *name)
{
    CK_RV rv = CKR_OK;
    for (unsigned i = 0; rules && i < RULES; i++) {
        if (strcmp(rules[i].name, name) != 0 && strcmp(rules[i].name, "*") != 0)
            continue;
        uint32_t at = __atomic_fetch_add(&rules[i].calls, 1, __ATOMIC_RELAXED);
        if (rv == CKR_OK && at >= rules[i].first && at <= rules[i].last)
            rv = (CK_RV)rules[i].rv;
    }
    return rv;
}

#define PASS(name, parameters, arguments)                                                          \
    static CK_RV my_##name parameters                                                              \
    {                                                                                              \
        CK_RV rv = strike(#name);                                                                  \
        return rv != CKR_OK ? rv : real->name arguments;                                           \
    }
#define ENDS(name, parameters, arguments)                                                          \
    static CK_RV my_##name parameters                                                              \
    {                                                                                              \
        CK_RV rv = strike(#name), done = real->name arguments;                                     \
        return rv != CKR_OK ? rv : done;                                                           \
    }
#include "tests/support/pkcs11_calls.h"
#undef PASS
#undef ENDS

static void map_rules(void)
{
    const char *path = getenv("CB_TOKEN_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, RULES * sizeof *rules, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    rules = map == MAP_FAILED ? NULL : map;
    close(fd);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    void *library = dlopen(MODULE, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    CK_C_GetFunctionList get;
    if (!symbol)
        return CKR_GENERAL_ERROR;
    memcpy(&get, &symbol, sizeof get);
    CK_RV rv = get(&real);
    if (rv != CKR_OK)
        return rv;
    if (!rules)
        map_rules();
    own = *real;
#define PASS(name, parameters, arguments) own.name = my_##name;
#define ENDS PASS
#include "tests/support/pkcs11_calls.h"
    *out = &own;
    return CKR_OK;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/alloc_faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fault_counter.h"

/* What stands behind: the sanitizer's allocator, or libc's. */
#ifdef CB_SANITIZED
#define BEHIND(name) __interceptor_##name
#else
#define BEHIND(name) __libc_##name
#endif

void *BEHIND(malloc)(size_t size);
void *BEHIND(calloc)(size_t count, size_t size);
void *BEHIND(realloc)(void *block, size_t size);
void BEHIND(free)(void *block);
#ifdef CB_SANITIZED
int __interceptor_posix_memalign(void **out, size_t alignment, size_t size);
#else
void *__libc_memalign(size_t alignment, size_t size);
#endif

#ifdef CB_SANITIZED
/* The sanitizer asks for this when a thread begins, and ends the program if it does not get it. */
int pthread_getattr_np(pthread_t thread, pthread_attr_t *out)
{
    static int (*real)(pthread_t, pthread_attr_t *);
    alloc_faults_pause(true);
    if (!real) {
        void *found = dlsym(RTLD_NEXT, "pthread_getattr_np");
        memcpy(&real, &found, sizeof real);
    }
    int status = real(thread, out);
    alloc_faults_pause(false);
    return status;
}

/* The dynamic linker keeps what it allocates where nobody looks; it is known by who calls malloc,
 * which is us here. What libraries lose, of theirs and of ours, is counted by faults.c, which is
 * told how much that may be. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:_dl_map_object\nleak:dl_open_worker\nleak:cb_turn_new\n"
           "leak:wolfssl/*src/\nleak:wolfssl/*wolfcrypt/";
}
#endif

static fault_counter counter;
static atomic_long live;
static _Thread_local unsigned pauses;

__attribute__((constructor)) static void make_counter(void) { fault_counter_make(&counter); }

static bool fails(void)
{
    bool unlucky = pauses == 0 && fault_counter_strikes(&counter);
    if (unlucky)
        errno = ENOMEM;
    return unlucky;
}

static void *made(void *block)
{
    if (block && pauses == 0)
        atomic_fetch_add(&live, 1);
    return block;
}

void *malloc(size_t size) { return fails() ? NULL : made(BEHIND(malloc)(size)); }

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : made(BEHIND(calloc)(count, size));
}

void *realloc(void *block, size_t size)
{
    if (size > 0 && fails())
        return NULL;
    void *moved = BEHIND(realloc)(block, size);
    if (!block)
        made(moved);
    else if (size == 0 && !moved && pauses == 0)
        atomic_fetch_sub(&live, 1);
    return moved;
}

void free(void *block)
{
    if (block && pauses == 0)
        atomic_fetch_sub(&live, 1);
    BEHIND(free)(block);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (fails())
        return ENOMEM;
#ifdef CB_SANITIZED
    int status = __interceptor_posix_memalign(out, alignment, size);
    if (status == 0)
        made(*out);
    return status;
#else
    *out = made(__libc_memalign(alignment, size));
    return *out ? 0 : ENOMEM;
#endif
}

void *aligned_alloc(size_t alignment, size_t size)
{
    void *out = NULL;
    return posix_memalign(&out, alignment, size) == 0 ? out : NULL;
}

/* The sanitizers have their own, which would not come by here. */
char *strndup(const char *text, size_t most)
{
    size_t len = strnlen(text, most);
    char *copy = malloc(len + 1);
    if (copy) {
        memcpy(copy, text, len);
        copy[len] = 0;
    }
    return copy;
}

char *strdup(const char *text) { return strndup(text, SIZE_MAX / 2); }

static void arm(unsigned nth, bool lasting) { fault_counter_arm(&counter, nth, lasting); }

static unsigned disarm(void) { return fault_counter_disarm(&counter); }

static void where(void) { fault_counter_where(&counter); }

void alloc_faults_map(bool maps) { fault_counter_map(&counter, maps); }

bool alloc_faults_is_new(unsigned nth) { return fault_counter_is_new(&counter, nth); }

const fault_kind alloc_faults = {"allocation", arm, disarm, where, false};

void alloc_faults_pause(bool paused) { pauses += paused ? 1 : -1u; }

long alloc_faults_live(void) { return atomic_load(&live); }

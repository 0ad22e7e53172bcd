/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Names that resolve badly, for programs that know nothing of it: loaded with LD_PRELOAD.
 *
 *   none.test     there is no such name
 *   again.test    no name server answers
 *   slow.test     neither, and that takes a minute
 *   dead.test     two addresses: 127.0.0.2, then 127.0.0.1
 *   silent.test   two addresses: 127.0.0.3, then 127.0.0.1
 */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int two(resolver *real, const char *first, const char *port, const struct addrinfo *hints,
               struct addrinfo **out)
{
    int fault = real(first, port, hints, out);
    /* glibc frees each element of such a list by itself. */
    return fault ? fault : real("127.0.0.1", port, hints, &(*out)->ai_next);
}

int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints,
                struct addrinfo **out)
{
    resolver *real;
    void *found = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &found, sizeof real);
    if (name && strcmp(name, "none.test") == 0)
        return EAI_NONAME;
    if (name && strcmp(name, "slow.test") == 0)
        sleep(60);
    if (name && (strcmp(name, "slow.test") == 0 || strcmp(name, "again.test") == 0))
        return EAI_AGAIN;
    if (name && strcmp(name, "dead.test") == 0)
        return two(real, "127.0.0.2", port, hints, out);
    if (name && strcmp(name, "silent.test") == 0)
        return two(real, "127.0.0.3", port, hints, out);
    return real(name, port, hints, out);
}

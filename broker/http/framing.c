/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/framing.h"

#include <ctype.h>
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

typedef struct framing {
    unsigned lengths;
    unsigned encodings;
    unsigned hosts;
    bool bad;
} framing;

/* A token (RFC 9110, 5.6.2). A name that ends in a space would be another header to another reader.
 */
static bool is_token(const char *name)
{
    if (!*name)
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("!#$%&'*+-.^_`|~", *name))
            return false;
    return true;
}

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

static enum MHD_Result look(void *context, enum MHD_ValueKind kind, const char *name,
                            const char *value)
{
    framing *f = context;
    (void)kind;
    f->bad |= !is_token(name);
    if (strcasecmp(name, "Content-Length") == 0) {
        f->lengths++;
        f->bad |= !value || !is_number(value);
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        f->encodings++;
        f->bad |= !value || strcasecmp(value, "chunked") != 0;
    } else if (strcasecmp(name, "Host") == 0) {
        f->hosts++;
    }
    return MHD_YES;
}

bool cb_framing_ok(struct MHD_Connection *connection)
{
    framing f = {0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, look, &f);
    return !f.bad && f.lengths + f.encodings <= 1 && f.hosts <= 1;
}

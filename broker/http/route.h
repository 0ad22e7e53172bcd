/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The route table: which request goes to which handler, who may send it, and how much of it is
 * read.
 *
 * A pattern is a path whose parts in braces are parameters: {id} is an identifier (base/id.h),
 * {name} a service's name. Paths are compared as they were sent: none of ours needs
 * percent-encoding. Two rows may share method and pattern when their roles differ: the connection's
 * kind decides which of them answers.
 */
#ifndef CB_BROKER_HTTP_ROUTE_H
#define CB_BROKER_HTTP_ROUTE_H

#include "broker/http/peer.h"
#include "base/id.h"
#include "cardlink/context.h"

struct cb_request;
struct cb_reply;

typedef enum cb_role {
    CB_ROLE_ANYBODY = 1,
    CB_ROLE_TERMINAL = 2,     /* a network peer with the certificate of a registered terminal */
    CB_ROLE_ADMINISTRATOR = 3 /* a local peer */
} cb_role;

/* Whose workers a request waits for, so that no crowd stands in the way of another. */
typedef enum cb_crew {
    CB_CREW_COMMON, /* of the network */
    CB_CREW_ENTRY,  /* the same; half the queue is left to what goes on with something begun */
    CB_CREW_ADMINISTRATORS, /* of their own */
    CB_CREW_RESERVED,       /* likewise: what must answer whatever else goes on */
    CB_CREW_HEALTH,         /* one of its own: anybody may ask, as often as he likes */
    CB_CREW_NONE            /* nobody's: whoever reads the request answers; for what never waits */
} cb_crew;

/* Blocks as long as it needs, in a worker's thread (but see CB_CREW_NONE). An error becomes a
 * problem (problem.h). */
typedef cb_error (*cb_handler)(struct cb_request *request, struct cb_reply *reply);

typedef struct cb_route {
    const char *method; /* GET answers HEAD as well */
    const char *pattern;
    cb_role role;
    cb_handler handler;
    size_t body_limit; /* bytes; 0: CB_BODY_DEFAULT where the method has a body */
    cb_crew crew;
} cb_route;

enum { CB_BODY_DEFAULT = 64 * 1024, CB_ROUTE_PARAMETERS = 2 };

typedef struct cb_parameter {
    const char *name;                   /* of the pattern, without braces; ends at '}' */
    cb_id id;                           /* for {id} and {tap} */
    char text[CB_SERVICE_NAME_MAX + 1]; /* for {name} */
} cb_parameter;

typedef struct cb_match {
    const cb_route *route; /* NULL: none fits; error says why */
    cb_error
        error; /* CB_E_NOT_FOUND, CB_E_METHOD, CB_E_DENIED, CB_E_UNAUTHENTICATED, CB_E_ARGUMENT */
    char allow[64]; /* for CB_E_METHOD: the methods there are */
    cb_parameter parameters[CB_ROUTE_PARAMETERS];
    unsigned parameter_count;
    const char *bad_parameter; /* for CB_E_ARGUMENT: its name, ends at '}' */
} cb_match;

/* path has no query. */
void cb_route_match(const cb_route *routes, size_t count, const char *method, const char *path,
                    const cb_peer *peer, cb_match *out);

#endif

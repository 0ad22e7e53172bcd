/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Failures on purpose: a flow is run again and again, and each time another one of the calls that
 * it makes fails, until it runs to its end without one. A kind of fault is a set of such calls:
 * allocations (alloc_faults.h), SQLite's file system (vfs_faults.h), PKCS#11, sockets.
 */
#ifndef CB_TESTS_SUPPORT_FAULTS_H
#define CB_TESTS_SUPPORT_FAULTS_H

#include <stdbool.h>

#include "base/error.h"

typedef struct fault_kind {
    const char *name;
    /* From now on counts calls, and lets the nth fail (from 1; 0: none); lasting: and all after it.
     */
    void (*arm)(unsigned nth, bool lasting);
    /* Everything succeeds again. How many calls were counted. */
    unsigned (*disarm)(void);
    /* Says on standard error which call it was that failed; async-signal-safe enough for a test
     * that ends. May be NULL. */
    void (*where)(void);
    bool passing; /* such a failure passes: none of them lasts */
} fault_kind;

typedef struct fault_flow {
    const char *name;
    void (*before)(void *context); /* prepares one run, without faults; may be NULL */
    cb_error (*run)(void *context);
    /* Looks at what the run left, and clears it away, without faults. struck: a call has failed. */
    void (*after)(void *context, cb_error result, bool struck);
} fault_flow;

/* Runs a flow with each of its calls failing once, alone, and then with each the first of those
 * that fail for good. A run without a fault must succeed; one with a fault returns a listed error
 * or succeeds; memory is the same before and after each. Calls are taken in strides so that
 * there are about this many runs, all of them when CARDBROKER_FAULTS=all is in the environment; then,
 * of a flow with more than FAULT_MANY allocations (SQLite reads the tables' definitions again and
 * again), the first from each stack, and each thousandth. A crash or a hang ends the test and says where. */
enum { FAULT_MANY = 20000 };

void fault_each(const fault_kind *kind, const fault_flow *flow, void *context, unsigned runs);

/* So many blocks a library of others is known to lose when a call of the next flows fails. */
void fault_theirs(long blocks);

enum {
    /* What wolfSSL loses in a handshake: version 5.5.4 frees the client's certificate only if it
     * has a name (wolfSSL_ResourceFree), and gives it none when there is no memory for that
     * (CopyDecodedToX509). Nor does it free a key for the exchange whose making failed
     * (TLSX_KeyShare_GenEccKey). */
    FAULT_THEIRS_TLS = 40,
    /* libmicrohttpd 0.9.75 does not tell that it dropped a connection for which it had no memory:
     * what the server kept for it, a turn, stays. */
    FAULT_THEIRS_HTTP = 1
};

/* Before every so many runs of the next flows: what the runs have left would slow each of the ones to
 * come down. NULL: never. */
void fault_anew(void (*make_anew)(void *context));

/* Counts what the other processes of a test hold as well; asked before and after each run. */
void fault_also(long (*kept)(void));

/* Keeps the product's log out of the test's output, unless CARDBROKER_FAULTS_SHOW is set. */
void fault_quiet(void);

/* For a cmocka teardown: after a failed assertion, says at which fault. */
int fault_said(void **state);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a terminal has on its two sides, in a process of its own that no fault strikes: a broker
 * (TLS, the REST interface of taps, the native profile's own side) and a virtual card on a Unix
 * socket. Everything that came to them is in memory that the test shares.
 */
#ifndef CB_TESTS_FAULT_FAR_SIDE_H
#define CB_TESTS_FAULT_FAR_SIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FAR_PIN "1234"

/* What is in the folder. */
#define FAR_CARD "card.sock"
#define FAR_CERTIFICATE "server.pem"
#define FAR_KEY "server.key"

/* Services: any name does; this one wants the PIN. */
#define FAR_PIN_SERVICE "vault"

/* What the broker does wrong. */
typedef enum far_fault {
    FAR_NONE,
    FAR_SILENT_CHALLENGE, /* ends the connection when it has read a challenge */
    FAR_SILENT_PROOF      /* likewise */
} far_fault;

typedef struct far_record {
    atomic_uint port; /* 0: it has not started */
    atomic_bool
        again; /* set by the test: forget what came, and take a fresh card; cleared when done */
    atomic_uint fault; /* far_fault */
    atomic_uint begun, challenged, proved;
    atomic_uint ended;     /* taps that the terminal said it did not go on with */
    atomic_uint pins;      /* challenges that brought one */
    atomic_uint accepted;  /* taps */
    atomic_uint changed;   /* PINs, by an accepted tap */
    atomic_uint strangers; /* connections without a certificate */
    atomic_uint compared;  /* PINs, by the card */
    atomic_uint tries;     /* that the card has left */
} far_record;

/* Starts it in the working directory; the program must be one whose main begins with far_side_main.
 */
far_record *far_side_start(pid_t *pid);

/* Forgets what came, and lays a fresh card there. */
void far_side_again(far_record *record);

/* In the process of the far side: does not return. Otherwise nothing. */
void far_side_main(int argc, char **argv);

#endif

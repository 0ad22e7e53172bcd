/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A holder who types a name and a password at the world's terminal.
 */
#ifndef CB_TESTS_FAULT_API_TYPIST_H
#define CB_TESTS_FAULT_API_TYPIST_H

#include "tests/fault/api_world.h"

/* Passwords have numbers. */
typedef struct api_typist {
    const api_world *w;
    cb_id name;
    unsigned typed, next; /* next: what takes its place */
    const char *service;  /* asked for; NULL: the password is changed */
} api_typist;

/* Of the open world: binds a name to its holder, with this password, and sits down. */
void api_typist_bind(api_world *w, api_typist *typist, const char *name, unsigned password);

/* Types at its terminal from now on, where a card was laid down. */
void api_typist_sit_down(api_world *w, api_typist *typist);

#endif

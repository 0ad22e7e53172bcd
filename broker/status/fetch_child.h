/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The processes behind fetch.h; fetch.c's only.
 */
#ifndef CB_BROKER_STATUS_FETCH_CHILD_H
#define CB_BROKER_STATUS_FETCH_CHILD_H

#include "base/buf.h"

enum { CB_FETCH_ORDER = 1, CB_FETCH_QUESTION_MAX = 4096, CB_FETCHES_MAX = 32 };

/* How an answer travels through the pipe: u32 error, u64 length, then the body. */
enum { CB_FETCH_HEADING = 12 };

/* The keeper: takes orders (URL, question, u64 most bytes, u64 deadline, and the pipe's end) from a
 * packet socket until it closes. Its exit status. */
int cb_fetch_keep(int orders, bool sandbox);

#endif

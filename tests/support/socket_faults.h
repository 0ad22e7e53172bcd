/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sockets that fail. A program that links this has the calls for sockets replaced, also for the
 * libraries that it uses.
 */
#ifndef CB_TESTS_SUPPORT_SOCKET_FAULTS_H
#define CB_TESTS_SUPPORT_SOCKET_FAULTS_H

#include "tests/support/faults.h"

/* Connections that are refused and reset, and descriptors that run out; signals that interrupt; and
 * a stream that takes and gives one byte at a time. */
extern const fault_kind socket_faults, interrupt_faults, short_faults;

#endif

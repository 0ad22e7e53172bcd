/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates in PEM (RFC 7468).
 */
#ifndef CB_BASE_PEM_H
#define CB_BASE_PEM_H

#include "base/buf.h"

/* The first certificate's DER into first, those after it, one after another, into rest. Text
 * between them is ignored. CB_E_FORMAT when there is none or one is malformed; CB_E_ARGUMENT when
 * rest is NULL and there is more than one. */
cb_error cb_pem_read(const char *text, cb_buf *first, cb_buf *rest);

#endif

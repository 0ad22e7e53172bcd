/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Files that an administrator names. Each function says on standard error what is wrong with one.
 */
#ifndef CB_BROKER_CTL_FILES_H
#define CB_BROKER_CTL_FILES_H

#include "broker/ctl/ctl.h"

/* The whole file ("-": standard input) of at most out->max bytes. */
cb_ctl_status cb_ctl_read_file(cb_ctl *ctl, const char *path, cb_buf *out);

/* A JSON object; the caller's. */
cb_ctl_status cb_ctl_read_object(cb_ctl *ctl, const char *path, json_t **out);

/* The certificates of a PEM file, at least one and at most "most", appended as PEM again and
 * nothing else of the file: a private key that stands beside a certificate goes nowhere. */
cb_ctl_status cb_ctl_read_certificates(cb_ctl *ctl, const char *path, unsigned most, cb_buf *pem);

/* A card's own certificate: tag 7F21, as bytes or as hexadecimal text. */
cb_ctl_status cb_ctl_read_cvc(cb_ctl *ctl, const char *path, cb_buf *out);

/* Writes DER as PEM ("-": standard output); a crash leaves the old file or the new one. */
cb_ctl_status cb_ctl_write_pem(cb_ctl *ctl, const char *path, const char *label, cb_bytes der);

/* The same for an object as JSON, in one line. */
cb_ctl_status cb_ctl_write_json(cb_ctl *ctl, const char *path, const json_t *object);

/* Bytes as a JSON string of hexadecimal; NULL for want of memory. */
json_t *cb_ctl_hex(cb_bytes bytes);

/* Puts a text, if there is one, into an object, if there is one. Without memory for it, or if it is
 * not UTF-8, the object is ended and NULL from then on: what was said on the command line is never
 * left out of a request, as json_pack leaves out optional values. */
void cb_ctl_put_text(json_t **object, const char *name, const char *text);
void cb_ctl_put_textn(json_t **object, const char *name, const char *text, size_t len);

/* Hexadecimal in a field of an answer, appended. CB_E_FORMAT when it is not there or not that. */
cb_error cb_ctl_unhex_field(const json_t *object, const char *name, cb_buf *out);

#endif

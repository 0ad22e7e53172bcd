/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The name in a certificate request: RFC 4514 text to a DER Name (RFC 5280, 4.1.2.4).
 *
 *   CN=Tanaka Hanako,O=Example\, Inc.,C=JP
 *
 * As in RFC 4514 the text begins with the last component of the name, so the DER holds them in the
 * opposite order: C, O, CN. "+" joins attributes of one component. Backslash escapes one of " + , ;
 * < > \ = # space, or a byte as two hexadecimal digits; spaces around components, types and values
 * do not count unless escaped. Types: CN, C, O, OU, L, ST, STREET, DC, UID, SERIALNUMBER,
 * GIVENNAME, SURNAME (SN), TITLE, EMAILADDRESS, or dotted numbers. Values are UTF8String; C and
 * SERIALNUMBER are PrintableString, DC and EMAILADDRESS IA5String. Values in the form #hex are not
 * taken.
 */
#ifndef CB_BROKER_CTL_SUBJECT_H
#define CB_BROKER_CTL_SUBJECT_H

#include "base/buf.h"

enum { CB_SUBJECT_MAX = 1024 /* DER, as hsmd takes it */, CB_SUBJECT_ATTRIBUTES = 32 };

/* Appends the DER Name. CB_E_FORMAT with a sentence in why (UTF-8 checked, upper bounds of RFC 5280
 * kept); CB_E_TOO_LARGE. */
cb_error cb_subject_parse(const char *text, cb_buf *der, cb_buf *why);

#endif

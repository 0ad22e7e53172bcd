/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What an administrator calls things by: identifiers in full, or names where they are unique.
 */
#ifndef CB_BROKER_CTL_RESOLVE_H
#define CB_BROKER_CTL_RESOLVE_H

#include "broker/ctl/http.h"

/* A holder by identifier or by exact name. A name that nobody or more than one has is said, with
 * the identifiers. */
cb_ctl_status cb_ctl_find_holder(cb_ctl *ctl, const char *text, cb_id *out);

/* A terminal by identifier, or by the name of an active one. */
cb_ctl_status cb_ctl_find_terminal(cb_ctl *ctl, const char *text, cb_id *out);

/* An identifier, nothing else; what it is of is said when it is not one. */
cb_ctl_status cb_ctl_need_id(cb_ctl *ctl, const char *text, const char *what, cb_id *out);

/* A service's name, checked for its form only. */
cb_ctl_status cb_ctl_need_service(cb_ctl *ctl, const char *text);

/* An identifier among the fields of an answer. */
cb_ctl_status cb_ctl_id_field(cb_ctl *ctl, const json_t *object, const char *name, cb_id *out);

/* A string among the fields of an answer, "" when it is not there. */
const char *cb_ctl_text_field(const json_t *object, const char *name);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Enrolments, in the files that make up their commands.
 */
#ifndef CB_BROKER_CTL_ENROLMENT_H
#define CB_BROKER_CTL_ENROLMENT_H

#include "broker/ctl/ctl.h"

cb_ctl_status cb_ctl_enrolment_add(cb_ctl *ctl, const cb_ctl_args *args);
cb_ctl_status cb_ctl_enrolment_renew(cb_ctl *ctl, const cb_ctl_args *args);

/* One enrolment by its identifier; *out is the caller's. id (CB_ID_TEXT characters) may be NULL. */
cb_ctl_status cb_ctl_enrolment_get(cb_ctl *ctl, const char *text, char *id, json_t **out);

/* Installs the certificates (PEM, the holder's first) of an enrolment. */
cb_ctl_status cb_ctl_enrolment_install(cb_ctl *ctl, const char *id, const cb_buf *pem);

/* --for-service: writes what the service has to be given so that it takes the key to the file that
 * was named there, or nothing where its connector has nothing to say. Without the option nothing is
 * asked. public_key: DER, as hsmd made it; data: what the administrator says of the holder; NULL:
 * nothing. */
cb_ctl_status cb_ctl_enrolment_for_service(cb_ctl *ctl, const cb_ctl_args *args, const char *id,
                                           cb_bytes public_key, const json_t *data);

/* What is written. The front end says it, and is not believed: it is made here, of the key and of
 * what data says (subject, key_id), and what the front end has given must be the same, with nothing
 * besides. Only a subject that data does not say is not compared, and not written either. NULL:
 * they differ, or there was no memory. The caller frees it. */
json_t *cb_ctl_for_service(const json_t *given, cb_bytes public_key, const json_t *data);

#define CB_CTL_FOR_SERVICE_OPTION                                                                  \
    {                                                                                              \
        "for-service", "OUT",                                                                      \
            "write what the service has to be given here (jwt: a JSON Web Key Set)", false, false  \
    }

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * application add-many and approve-many: many applications from one file, entered by one operator
 * and approved by another.
 */
#ifndef CB_BROKER_CTL_APPLICATION_MANY_H
#define CB_BROKER_CTL_APPLICATION_MANY_H

#include "broker/ctl/ctl.h"

cb_ctl_status cb_ctl_application_add_many(cb_ctl *ctl, const cb_ctl_args *args);
cb_ctl_status cb_ctl_application_approve_many(cb_ctl *ctl, const cb_ctl_args *args);

#endif

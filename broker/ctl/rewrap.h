/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CB_BROKER_CTL_REWRAP_H
#define CB_BROKER_CTL_REWRAP_H

#include "broker/ctl/ctl.h"

/* key rewrap-all */
cb_ctl_status cb_ctl_key_rewrap_all(cb_ctl *ctl, const cb_ctl_args *args);

#endif

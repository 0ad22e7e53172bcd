/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Commands about holders that have files of their own.
 */
#ifndef CB_BROKER_CTL_HOLDER_H
#define CB_BROKER_CTL_HOLDER_H

#include "broker/ctl/args.h"
#include "broker/ctl/ctl.h"

/* holder code: makes one with which a holder registers a card of his own, and shows it. */
cb_ctl_status cb_ctl_holder_code(cb_ctl *ctl, const cb_ctl_args *args);

/* holder codes: what became of them. */
cb_ctl_status cb_ctl_holder_codes(cb_ctl *ctl, const cb_ctl_args *args);

/* holder withdraw */
cb_ctl_status cb_ctl_holder_withdraw(cb_ctl *ctl, const cb_ctl_args *args);

#endif

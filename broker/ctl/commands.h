/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The tables of commands, one a resource. Each ends with a row without a group.
 */
#ifndef CB_BROKER_CTL_COMMANDS_H
#define CB_BROKER_CTL_COMMANDS_H

#include "broker/ctl/ctl.h"

extern const cb_ctl_command cb_ctl_holder_commands[];
extern const cb_ctl_command cb_ctl_card_commands[];
extern const cb_ctl_command cb_ctl_stock_commands[];
extern const cb_ctl_command cb_ctl_report_commands[];
extern const cb_ctl_command cb_ctl_terminal_commands[];
cb_ctl_status cb_ctl_terminal_log(cb_ctl *ctl, const cb_ctl_args *args);
cb_ctl_status cb_ctl_terminal_log_resume(cb_ctl *ctl, const cb_ctl_args *args);
extern const cb_ctl_command cb_ctl_maintainer_commands[];
extern const cb_ctl_command cb_ctl_software_commands[];
extern const cb_ctl_command cb_ctl_service_commands[];
extern const cb_ctl_command cb_ctl_enrolment_commands[];
extern const cb_ctl_command cb_ctl_audit_commands[];
extern const cb_ctl_command cb_ctl_key_commands[];
extern const cb_ctl_command cb_ctl_generation_commands[];
extern const cb_ctl_command cb_ctl_password_commands[];
extern const cb_ctl_command cb_ctl_status_commands[];

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/sandbox.h"
#include "broker/ctl/ctl.h"

int main(int argc, char **argv)
{
    if (cb_sandbox_no_dumps() != CB_OK)
        return CB_CTL_FAILED;
    return cb_ctl_main(argc, argv, stdout, stderr);
}

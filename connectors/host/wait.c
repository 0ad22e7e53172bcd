/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/wait.h"

#include <errno.h>
#include <unistd.h>

enum { REST_US = 10000 };

bool cb_wait(struct pollfd *polled, nfds_t count, int timeout_ms)
{
    if (poll(polled, count, timeout_ms) >= 0)
        return true;
    for (nfds_t i = 0; i < count; i++)
        polled[i].revents = 0;
    if (errno == EINTR)
        return true;
    if (errno != ENOMEM && errno != EAGAIN)
        return false;
    usleep(REST_US);
    return true;
}

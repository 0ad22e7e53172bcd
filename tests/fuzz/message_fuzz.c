/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A packet from another process of the installation. What was read as a message, sent again, is
 * the same packet, but for an error that this program does not know.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int ends[2];
    static uint8_t again[CB_MSG_HEADER + CB_MSG_BODY_MAX];
    cb_msg msg;
    if (ends[0] == 0)
        must(cb_msg_pair(ends) == CB_OK);
    if (size > sizeof again || send(ends[0], data, size, MSG_NOSIGNAL) != (ssize_t)size)
        return 0;
    cb_msg_init(&msg, 0);
    if (cb_msg_receive(ends[1], &msg, 0) == CB_OK) {
        must(msg.type != 0 && msg.error < CB_ERROR_COUNT && msg.fd < 0);
        must(msg.body.len == size - CB_MSG_HEADER);
        cb_log_set_request(NULL);
        must(cb_msg_send(ends[1], &msg, 0) == CB_OK);
        must(recv(ends[0], again, sizeof again, 0) == (ssize_t)size);
        bool known = cb_error_from_wire((uint16_t)(data[2] << 8 | data[3])) == msg.error &&
                     (data[2] << 8 | data[3]) == (int)msg.error;
        must(memcmp(again, data, known ? 4 : 2) == 0 && memcmp(again + 4, data + 4, size - 4) == 0);
    }
    cb_msg_free(&msg);
    return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/client.h"

#include "base/clock.h"
#include "base/text.h"

enum { HEAD_TEXT_MAX = 1024 };

void cb_signed_head_text(const char *origin, const cb_signed_head *head, cb_buf *text)
{
    char time[CB_TIME_TEXT];
    cb_time_text(head->time, time);
    cb_buf_printf(text, "cardbroker-log-head 1\norigin %s\nsize %llu\nroot ", origin,
                  (unsigned long long)head->head.size);
    cb_buf_put_hex(text, cb_digest_bytes(&head->head.root));
    cb_buf_printf(text, "\ntime %s\n", time);
}

cb_error cb_signed_head_check(const char *origin, const cb_signed_head *head, cb_bytes log_point)
{
    cb_buf text = CB_BUF(HEAD_TEXT_MAX);
    cb_signed_head_text(origin, head, &text);
    cb_error error = cb_buf_error(&text);
    if (!error) {
        cb_digest digest = cb_sha256(cb_buf_bytes(&text));
        error = cb_p256_check(log_point, &digest, CB_BYTES_OF(head->signature));
    }
    cb_buf_free(&text);
    return error;
}

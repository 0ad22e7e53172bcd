/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/applet.h"

#include "cardlink/card/jpki/application.h"
#include "cardlink/card/native/application.h"
#include "cardlink/card/piv/application.h"
#include "cardlink/card/scp03/application.h"

const cb_applet *const cb_applets[] = {&cb_applet_native, &cb_applet_piv, &cb_applet_jpki,
                                       &cb_applet_scp03, NULL};

const cb_applet *cb_applet_named(cb_bytes name)
{
    for (size_t i = 0; cb_applets[i]; i++) {
        if (cb_bytes_same(name, cb_bytes_str(cb_applets[i]->name)))
            return cb_applets[i];
    }
    return NULL;
}

void cb_applet_answer(cb_buf *answer, uint16_t status)
{
    if (status == CB_SW_OK && cb_buf_error(answer))
        status = CB_SW_FAULT;
    if (status != CB_SW_OK)
        cb_buf_reset(answer);
    cb_buf_put_u16(answer, status);
    if (cb_buf_error(answer)) { /* data without its status word could be taken for another's */
        cb_buf_reset(answer);
        cb_buf_put_u16(answer, CB_SW_FAULT);
    }
}

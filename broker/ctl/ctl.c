/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/ctl.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/text.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"

cb_hsm *cb_ctl_hsm(cb_ctl *ctl)
{
    if (!ctl->hsm && cb_hsm_open(ctl->run, &ctl->hsm) != CB_OK)
        ctl->hsm = NULL;
    return ctl->hsm;
}

cb_ctl_status cb_ctl_fail(cb_ctl *ctl, cb_error error, const char *what)
{
    cb_buf text = CB_BUF(4096);
    cb_error_class class = cb_error_class_of(error);
    ctl->for_now =
        class == CB_CLASS_UNAVAILABLE || class == CB_CLASS_TIMEOUT || error == CB_E_MEMORY;
    fprintf(ctl->err, "error [%s]: %s\n", cb_error_code(error), cb_error_text(error));
    if (what) {
        cb_ctl_plain(&text, what);
        fprintf(ctl->err, "  %s\n", cb_buf_cstr(&text) ? cb_buf_cstr(&text) : "…");
    }
    cb_buf_free(&text);
    return CB_CTL_FAILED;
}

cb_ctl_status cb_ctl_fail_hsm(cb_ctl *ctl, cb_error error, const char *what)
{
    cb_ctl_fail(ctl, error, what);
    if (error != CB_E_HSM_DOWN && error != CB_E_TIMEOUT && error != CB_E_CLOSED)
        return CB_CTL_FAILED;
    cb_ctl_note(ctl,
                "hsmd was asked at %s/manage.sock: check that cardbroker-hsmd runs and that you "
                "may open that socket.",
                ctl->run);
    return CB_CTL_UNREACHABLE;
}

static void print_note(cb_ctl *ctl, const char *before, const char *format, va_list list)
    __attribute__((format(printf, 3, 0)));

static void print_note(cb_ctl *ctl, const char *before, const char *format, va_list list)
{
    char line[2048];
    cb_buf text = CB_BUF(sizeof line * 4);
    vsnprintf(line, sizeof line, format, list);
    cb_ctl_plain(&text, line);
    fprintf(ctl->err, "%s%s\n", before, cb_buf_cstr(&text) ? cb_buf_cstr(&text) : "…");
    cb_buf_free(&text);
}

cb_ctl_status cb_ctl_misuse(cb_ctl *ctl, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    print_note(ctl, "cardbrokerctl: ", format, list);
    va_end(list);
    return CB_CTL_USAGE;
}

cb_ctl_status cb_ctl_fail_text(cb_ctl *ctl, const char *name, const char *text)
{
    size_t len = 1;
    for (uint32_t c = 0; text && *text && len > 0; text += len)
        len = cb_utf8_read(text, &c);
    return len > 0 ? cb_ctl_fail(ctl, CB_E_MEMORY, NULL)
                   : cb_ctl_misuse(ctl, "%s is not UTF-8", name);
}

void cb_ctl_note(cb_ctl *ctl, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    print_note(ctl, "  ", format, list);
    va_end(list);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/error.h"

static const struct {
    const char *code;
    const char *text;
    cb_error_class cls;
} errors[CB_ERROR_COUNT] = {
#define CB_ERROR_ROW(name, cls, code, text) {code, text, CB_CLASS_##cls},
    CB_ERROR_LIST(CB_ERROR_ROW)
#undef CB_ERROR_ROW
};

static cb_error known(cb_error error)
{
    return (unsigned)error < CB_ERROR_COUNT ? error : CB_E_INTERNAL;
}

const char *cb_error_code(cb_error error)
{
    return errors[known(error)].code;
}

const char *cb_error_text(cb_error error)
{
    return errors[known(error)].text;
}

cb_error_class cb_error_class_of(cb_error error)
{
    return errors[known(error)].cls;
}

cb_error cb_error_from_wire(unsigned number)
{
    return number < CB_ERROR_COUNT ? (cb_error)number : CB_E_PROTOCOL;
}

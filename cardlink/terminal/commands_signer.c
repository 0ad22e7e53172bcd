/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * read --signature
 */
#include "base/secret.h"
#include "base/text.h"
#include "cardlink/terminal/commands_parts.h"
#include "cardlink/terminal/jpki_signer.h"
#include "cardlink/terminal/pin_entry.h"

enum { CERTIFICATE_MOST = 4096 };

static cb_error show(cb_command_context *context, cb_bytes certificate)
{
    char text[2 * CERTIFICATE_MOST + 1];
    cb_hex(certificate, text);
    json_t *found = json_pack("{s:s,s:s}", "profile", "jpki", "signature_certificate", text);
    cb_wipe(text, sizeof text);
    if (!found)
        return cb_command_fail(context, CB_E_MEMORY, NULL);
    cb_output_object(context->output, found);
    return CB_OK;
}

static cb_error refused(cb_command_context *context, cb_error error, int tries_left)
{
    cb_problem problem;
    cb_problem_set(&problem, error,
                   error == CB_E_DENIED
                       ? "one try of the signature PIN is left, which is not risked "
                         "here: where it is blocked, a municipality sets it anew"
                       : NULL);
    problem.tries_left = tries_left;
    return cb_command_say(context, &problem);
}

cb_error cb_command_read_signer(cb_command_context *context, cb_readers *readers,
                                const char *reader)
{
    char pin[CB_JPKI_SIGNER_PIN_MOST + 2];
    int tries_left = -1;
    cb_card_io io = cb_card_io_of(readers, false);
    cb_buf certificate = CB_BUF(CERTIFICATE_MOST);
    cb_error error = cb_line_ask(
        "Signature PIN (6 to 16 letters and digits): ", context->options->pin_fd, pin, sizeof pin);
    if (!error && !cb_jpki_signer_pin(pin))
        error = CB_E_PIN_FORMAT;
    if (error)
        cb_command_fail(context, error == CB_E_FORMAT ? CB_E_PIN_FORMAT : error,
                        error == CB_E_IO ? "no terminal to ask at; use --pin-fd" : NULL);
    else if ((error = cb_card_take(readers, reader)) != CB_OK)
        cb_command_fail(context, error, NULL);
    else {
        error = cb_jpki_signer_read(&io, cb_bytes_str(pin), &certificate, &tries_left);
        cb_card_release(readers);
        error =
            error ? refused(context, error, tries_left) : show(context, cb_buf_bytes(&certificate));
    }
    cb_wipe(pin, sizeof pin);
    cb_buf_free(&certificate);
    return error;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/application.h"

void cb_application_init(cb_application *last)
{
    *last = (cb_application){.answer = CB_BUF(CB_ANSWER_MAX)};
}

void cb_application_forget(cb_application *last)
{
    cb_buf_free(&last->answer);
    cb_application_init(last);
}

static cb_error send(const cb_card_io *io, cb_bytes command, cb_buf *answers, cb_script *read)
{
    cb_script commands;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script_put(&script, 0, command);
    cb_error error = cb_buf_error(&script);
    if (!error)
        error = cb_script_read(cb_buf_bytes(&script), CB_COMMAND_MAX, &commands);
    if (!error)
        error = cb_play(io, &commands, answers);
    if (!error)
        error = cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, read);
    cb_buf_free(&script);
    return error || read->count == 1 ? error : CB_E_CARD_ANSWER;
}

cb_error cb_application_select(const cb_card_io *io, const cb_card_profile *profile,
                               cb_application *last, uint16_t *status)
{
    cb_script read;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_application_forget(last);
    cb_error error = send(io, profile->select, &answers, &read);
    if (!error) {
        *status = cb_answer_status(read.item[0].apdu);
        cb_buf_put(&last->answer, read.item[0].apdu);
        error = cb_buf_error(&last->answer);
    }
    if (!error)
        last->command = profile->select;
    cb_buf_free(&answers);
    return error;
}

void cb_application_spare(const cb_application *last, cb_card_io *io)
{
    io->sent = last->command;
    io->answered = cb_buf_bytes(&last->answer);
}

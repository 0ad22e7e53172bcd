/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/report.h"

#include <stdio.h>

#include "base/config.h"
#include "cardlink/terminal/ship.h"

enum { PROGRAM_MAX = 256 * 1024 * 1024 };

void cb_report_software(const cb_terminal_config *config, cb_software *out)
{
    cb_buf image = CB_BUF(PROGRAM_MAX);
    *out = (cb_software){.config = config->digest};
    snprintf(out->version, sizeof out->version, "%s", CB_VERSION);
    if (cb_file_read("/proc/self/exe", &image) == CB_OK)
        out->program = cb_sha256(cb_buf_bytes(&image));
    cb_buf_free(&image);
}

cb_error cb_report_started(const cb_terminal_config *config, cb_spool *spool)
{
    char text[CB_JOURNAL_TEXT_MAX + 1];
    cb_problem problem;
    cb_software software;
    cb_report_software(config, &software);
    cb_software_write(&software, text);
    cb_error error = cb_spool_add(spool, CB_JOURNAL_STARTED, text);
    if (error == CB_E_TERMINAL_LOG && cb_ship(config, spool, config->timeout, &problem) == CB_OK)
        error = cb_spool_add(spool, CB_JOURNAL_STARTED, text);
    return error;
}

cb_error cb_report(const cb_terminal_config *config, cb_problem *problem)
{
    cb_spool *spool = NULL;
    cb_error error = cb_spool_open(config->log, &spool);
    if (!error)
        error = cb_report_started(config, spool);
    if (error)
        cb_problem_set(problem, error, config->log);
    else
        error = cb_ship(config, spool, config->timeout, problem);
    cb_spool_close(&spool);
    return error;
}

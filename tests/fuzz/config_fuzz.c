/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Configuration files; the first byte says of which program. What is wrong is said in one line with
 * the file's name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/config.h"
#include "cardlink/terminal/config.h"
#include "hsm/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file = -1;
static char path[32];

static void put_file(const uint8_t *data, size_t size)
{
    if (file < 0) {
        file = memfd_create("config", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (ftruncate(file, 0) || pwrite(file, data, size, 0) != (ssize_t)size)
        abort();
}

static cb_error load(uint8_t program, cb_buf *why)
{
    static cb_broker_config broker;
    static cb_hsmd_config hsmd;
    static cb_terminal_config terminal;
    cb_error error;
    switch (program % 3) {
    case 0:
        error = cb_broker_config_load(path, &broker, why);
        if (!error)
            cb_broker_config_free(&broker);
        break;
    case 1:
        error = cb_hsmd_config_load(path, &hsmd, why);
        if (!error)
            cb_hsmd_config_free(&hsmd);
        break;
    default:
        error = cb_terminal_config_load(path, &terminal, why);
        if (!error)
            cb_terminal_config_free(&terminal);
    }
    return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_buf why = CB_BUF(64 * 1024);
    if (size == 0 || memmem(data, size, "include", 7)) /* would read this machine's files */
        return 0;
    put_file(data + 1, size - 1);
    cb_error error = load(data[0], &why);
    if (error == CB_E_CONFIG && why.len == 0)
        abort();
    cb_buf_free(&why);
    return 0;
}

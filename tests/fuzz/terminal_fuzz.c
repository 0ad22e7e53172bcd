/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a broker, or somebody in its place, says to a terminal.
 */
#include <stdlib.h>

#include "cardlink/script.h"
#include "cardlink/terminal/problem.h"
#include "cardlink/terminal/relay_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_bytes bytes = cb_bytes_make(data, size);
    cb_problem problem;
    cb_script script;
    cb_problem_read(&problem, 500, bytes, -1);
    if (problem.error == CB_OK)
        abort();
    json_t *root = NULL;
    if ((cb_json_read(bytes, &root) == CB_OK) != (root != NULL))
        abort();
    for (int first = 0; root && first < 2; first++) {
        cb_relay_tap tap;
        cb_relay_tap_init(&tap);
        if (cb_json_read_begun(root, first, 0, &tap) == CB_OK &&
            cb_script_read(cb_buf_bytes(&tap.script), CB_COMMAND_MAX, &script))
            abort();
        cb_relay_tap_free(&tap);
    }
    if (root) {
        cb_json_accepted(root);
        json_decref(root);
    }
    return 0;
}

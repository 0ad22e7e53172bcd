/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Entries of a terminal's log, as a terminal that was taken over can send them.
 */
#include <stdlib.h>

#include "cardlink/software.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a text says of software is said in one way only, but for the case of its digits. */
static void read_software(const char *text)
{
    char back[CB_JOURNAL_TEXT_MAX + 1];
    cb_software software;
    cb_error error = cb_software_read(text, &software);
    cb_software_write(&software, back);
    if (!error && (strlen(back) != strlen(text) || strncmp(back, text, 8) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_journal_head head = {0}, whole = {0};
    cb_journal_entry entry;
    cb_buf back = CB_BUF(CB_JOURNAL_BATCH_MAX + CB_JOURNAL_ENTRY_MAX);
    cb_cursor from = cb_cursor_over(cb_bytes_make(data, size));
    int count = 0;
    while (count < CB_JOURNAL_BATCH_ENTRIES && from.rest.len > 0 &&
           cb_journal_take(&from, &entry, &head) == CB_OK) {
        if (cb_journal_put(&entry, &back) != CB_OK || head.number != (uint64_t)++count)
            abort();
        read_software(entry.text);
    }
    /* There is one way to write an entry, and what is taken one by one is taken as a whole. */
    if (back.len > size || (back.len > 0 && memcmp(back.data, data, back.len) != 0))
        abort();
    bool all = count > 0 && cb_cursor_done(&from);
    if ((cb_journal_follow(cb_bytes_make(data, size), &whole) == CB_OK) != all)
        abort();
    if (all && !cb_journal_same(&whole, &head))
        abort();
    cb_buf_free(&back);
    return 0;
}

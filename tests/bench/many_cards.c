/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Makes a file of many cards for cardbrokerctl card issue-many: many_cards AUTHORITY COUNT > FILE
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "cardlink/issuer/files.h"

int main(int argc, char **argv)
{
    cb_issue_authority authority;
    cb_buf why = CB_BUF(1024), certificate = CB_BUF(1024);
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    char hex[2049];
    if (argc != 3 || cb_authority_load(argv[1], &authority, &why) != CB_OK ||
        cb_p256_generate(scalar, point) != CB_OK) {
        fprintf(stderr, "usage: many_cards AUTHORITY COUNT\n");
        return 2;
    }
    cb_issue_days days = cb_issue_days_from_today(5);
    long count = strtol(argv[2], NULL, 10);
    for (long i = 0; i < count; i++) { /* one key for all: it is their number that is measured */
        cb_id card = cb_id_new();
        cb_buf_reset(&certificate);
        if (cb_issue_certificate(&authority, cb_id_bytes(&card), CB_CVC_CARD_PROOF,
                                 CB_BYTES_OF(point), days, &certificate) != CB_OK)
            return 1;
        cb_hex(cb_buf_bytes(&certificate), hex);
        printf("%s,,,Holder %ld\n", hex, i);
    }
    cb_buf_free(&certificate);
    return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What of the JPKI card application the broker's side uses: the files of user authentication. Those
 * of the holder's legal signature are left alone.
 */
#ifndef CB_CARDLINK_JPKI_COMMANDS_H
#define CB_CARDLINK_JPKI_COMMANDS_H

enum {
    CB_JPKI_CERTIFICATE = 0x000A, /* readable by anybody */
    CB_JPKI_KEY = 0x0017, /* signs any DigestInfo once the PIN was verified in the session */
    CB_JPKI_PIN = 0x0018  /* four digits, three tries */
};

#endif

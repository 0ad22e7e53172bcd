/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What SoftHSM needs beside PKCS#11, so that no end of a process costs its keys.
 *
 * With its storage in files, each C_Login writes the file token.object anew, in place: it is
 * emptied and then written. A process that is killed in between, or a machine whose power is cut,
 * leaves it empty or cut off; to SoftHSM the token is gone then, for good, and with it every key,
 * for what they are encrypted under stands in that file. So a copy is kept beside it
 * (token.object.kept, as secret as the file itself) of how it was when a login with it had
 * succeeded, and put back where the file is damaged. Nothing here does anything for another make of
 * HSM.
 *
 * And each key is a file of its own, which SoftHSM leaves to the kernel to write when it likes: for
 * half a minute a key may be in memory only, while what was sealed under it is on the disk. So the
 * files of a token are synced before anything is said, or sealed, that counts on them.
 *
 * All are called by who holds the lock of token.h. Failures to mend and to keep are logged, and
 * nothing else comes of them.
 */
#ifndef CB_HSM_SOFTHSM_H
#define CB_HSM_SOFTHSM_H

#include <p11-kit/pkcs11.h>

#include "base/error.h"

enum { CB_SOFTHSM_FILE_MOST = 65536 };

/* Before the module is initialised: puts back, for each token, what was damaged since it was kept;
 * of the token with the label, keeps what was not kept yet. In the log: token.mended. */
void cb_softhsm_mend(const char *label);

/* After a login: keeps this token's file, if SoftHSM is what made it and the file is another than
 * what is kept, apart from how often it was written. In the log, once: token.not_kept, where the
 * token's folder was not found. */
void cb_softhsm_keep(const CK_TOKEN_INFO *info);

/* Whatever this token holds is on the disk: each object's file, the token's folder, and the folder
 * of all tokens. For another make of HSM, CB_OK: it answers for itself. After CB_E_IO nothing that
 * was made may be counted on; a later call tries again in earnest. */
cb_error cb_softhsm_sync(const CK_TOKEN_INFO *info);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An HSM that fails. In a program that is linked with --wrap for dlopen, dlsym and dlclose the
 * function list of each PKCS#11 module is replaced by one that passes everything on, but for the
 * call that is to fail. Allocations of the module itself do not fail (alloc_faults.h): it is not
 * ours.
 */
#ifndef CB_TESTS_SUPPORT_PKCS11_FAULTS_H
#define CB_TESTS_SUPPORT_PKCS11_FAULTS_H

#include "tests/support/faults.h"

/* With CKR_DEVICE_ERROR, CKR_HOST_MEMORY, CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN,
 * CKR_DEVICE_REMOVED. */
extern const fault_kind pkcs11_device_faults, pkcs11_memory_faults, pkcs11_session_faults,
    pkcs11_login_faults, pkcs11_removed_faults;

#endif

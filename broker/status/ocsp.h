/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Asking an issuer's responder about one certificate (OCSP, RFC 6960), and reading its answer.
 *
 * The issuer and the certificate are named by SHA-1 digests, which all responders know (RFC 5019,
 * 2.1.1); they only name: what vouches for an answer is a signature of the kinds in
 * cardlink/x509/signature.h, by the issuer itself or by a responder to whom it gave a certificate
 * for that (4.2.2.2).
 */
#ifndef CB_BROKER_STATUS_OCSP_H
#define CB_BROKER_STATUS_OCSP_H

#include "broker/status/fresh.h"
#include "cardlink/x509/certificate.h"

enum { CB_OCSP_NONCE = 16, CB_OCSP_ANSWER_MAX = 64 * 1024 };

typedef struct cb_ocsp_question {
    const cb_x509 *issuer;
    cb_bytes serial;
    const uint8_t *nonce; /* of CB_OCSP_NONCE bytes; NULL: none. With one, only an answer that
                             repeats it is taken */
} cb_ocsp_question;

/* Writes the DER of an OCSPRequest. */
cb_error cb_ocsp_ask(const cb_ocsp_question *question, cb_buf *out);

typedef enum cb_ocsp_status { CB_OCSP_GOOD, CB_OCSP_REVOKED, CB_OCSP_UNKNOWN } cb_ocsp_status;

typedef struct cb_ocsp_answer {
    cb_ocsp_status status;
    uint8_t reason;                   /* CRLReason, or 0xFF, when revoked */
    int64_t this_update, next_update; /* seconds since 1970; next_update 0: not said */
    bool delegated; /* a responder signed, whose own status the issuer asks to look up */
    uint8_t responder[CB_X509_SERIAL_MAX]; /* its serial number */
    size_t responder_len;
} cb_ocsp_answer;

/* Whether what was answered may be used is for the caller to judge (fresh.h). time is for the
 * responder's certificate. CB_E_FORMAT, CB_E_SERVICE_REFUSED (the
 * responder gave no answer), CB_E_NOT_FOUND (none about this certificate), CB_E_DENIED (whoever
 * signed may not), CB_E_CRYPTO (not signed by whom it says; another nonce),
 * CB_E_CERTIFICATE_ALGORITHM, CB_E_MEMORY. */
cb_error cb_ocsp_read(cb_bytes der, const cb_ocsp_question *question, int64_t time,
                      cb_ocsp_answer *out);

#endif

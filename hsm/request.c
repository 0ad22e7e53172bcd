/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/request.h"

#include "base/log.h"
#include "cardlink/x509/request.h"
#include "hsm/foreign.h"
#include "hsm/protocol.h"

typedef struct request {
    const char *name;
    uint8_t lanes; /* where it is legal: bits of cb_lane_kind */
    uint8_t
        states; /* of its tap, in which it is legal: bits of cb_tap_state; 0: it concerns no tap */
    uint8_t next;   /* the tap's state after it went well; CB_TAP_FREE ends the tap */
    uint16_t least; /* bytes of body */
    uint16_t most;
    cb_request_handler handler;
} request;

enum {
    ANY = CB_LANE_USE | CB_LANE_LOG | CB_LANE_MANAGE,
    ANY_STATE = CB_TAP_BEGUN | CB_TAP_CHALLENGED | CB_TAP_FINISHED | CB_TAP_ACTIVE | CB_TAP_OPEN,
    VAR = 4, /* the length in front of bytes */
    HEAD = 8 + CB_SHA256_SIZE,
    PROOF_MAX = 1 + CB_MERKLE_PROOF_MAX * CB_SHA256_SIZE,
    CONTEXT = 2 * CB_ID_SIZE + 4 + CB_SHA256_SIZE,
    CONTEXT_MAX = CONTEXT + CB_SERVICE_NAME_MAX,
    INFO = CB_ID_SIZE + 1 + 3 + 8,
    FOREIGN = 1 + VAR + 1 + CB_ID_SIZE + 9,
    RENEWAL = 1 + VAR + 1 + 2 * VAR + 8,
    TAP_RENEWAL = 2 * VAR,
    TAP_RENEWAL_MAX = TAP_RENEWAL + CB_BINDING_MAX + CB_FOREIGN_CERTIFICATES_LEN,
    CERTIFY = CB_ID_SIZE + VAR + 128, /* no request is shorter */
    PASSWORD = 2 * CB_ID_SIZE + CB_P256_POINT + 8 + 8 + VAR,
    READING = 1 + VAR + 1,
    READING_MAX =
        READING + CB_SCRIPT_BYTES_MAX + CB_CARD_KEYS_MAX * (1 + VAR + CB_FOREIGN_CERTIFICATE_MAX),
    WORD = CB_P256_POINT + CB_P256_SIGNATURE,
    BIND_TAP = CB_ID_SIZE + 8 + HEAD,
    ALLOW = 2 * CB_ID_SIZE + 8,
    INFO_MAX = INFO + CB_SERVICE_NAME_MAX,
    OPEN = CB_ID_SIZE + VAR + 8 + 8 + HEAD + CB_SHA256_SIZE + 1
};

/* clang-format off */
static const request requests[CB_HSM_MESSAGES] = {
    [CB_HSM_HELLO]         = {"hello",         ANY,            0, 0, 0, 0, cb_handle_hello},
    [CB_HSM_TAP_BEGIN]     = {"tap.begin",     CB_LANE_USE,    0, 0, 1 + CB_ID_SIZE, 1 + CB_ID_SIZE, cb_handle_begin},
    [CB_HSM_TAP_CHALLENGE] = {"tap.challenge", CB_LANE_USE,    CB_TAP_BEGUN, CB_TAP_CHALLENGED,
                              CONTEXT + 3 * VAR, CONTEXT_MAX + 3 * VAR + CB_SCRIPT_BYTES_MAX + CB_PIN_CIPHERTEXT_MAX + CB_BINDING_MAX,
                              cb_handle_challenge},
    [CB_HSM_TAP_FINISH]    = {"tap.finish",    CB_LANE_USE,    CB_TAP_CHALLENGED, CB_TAP_FINISHED,
                              CB_ID_SIZE + VAR, CB_ID_SIZE + VAR + CB_SCRIPT_BYTES_MAX, cb_handle_finish},
    [CB_HSM_TAP_ACTIVATE]  = {"tap.activate",  CB_LANE_USE,    CB_TAP_FINISHED, CB_TAP_ACTIVE,
                              CB_ID_SIZE + VAR + HEAD, CB_ID_SIZE + VAR + CB_BINDING_MAX + HEAD, cb_handle_activate},
    [CB_HSM_TAP_OPEN_KEY]  = {"tap.open_key",  CB_LANE_USE,    CB_TAP_ACTIVE, CB_TAP_OPEN,
                              OPEN, OPEN - 1 + CB_SEALED_MAX + PROOF_MAX, cb_handle_open_key},
    [CB_HSM_TAP_USE]       = {"tap.use",       CB_LANE_USE,    CB_TAP_OPEN, CB_TAP_OPEN,
                              CB_ID_SIZE + 2 + VAR, CB_ID_SIZE + 2 + VAR + CB_USE_DATA_MAX, cb_handle_use},
    [CB_HSM_TAP_END]       = {"tap.end",       CB_LANE_USE,    ANY_STATE, CB_TAP_FREE, CB_ID_SIZE, CB_ID_SIZE, cb_handle_end},
    [CB_HSM_FEED_STATE]    = {"feed.state",    CB_LANE_USE,    0, 0, 0, 0, cb_handle_feed_state},
    [CB_HSM_FEED_EXTEND]   = {"feed.extend",   CB_LANE_USE,    0, 0, 2, 2 + CB_HSM_FEED_ENTRIES_MAX * CB_HSM_FEED_ENTRY, cb_handle_feed_extend},
    [CB_HSM_LOG_SIGN]      = {"log.sign",      CB_LANE_LOG,    0, 0, HEAD + 1, HEAD + PROOF_MAX, cb_handle_log_sign},
    [CB_HSM_LOG_STATE]     = {"log.state",     CB_LANE_LOG,    0, 0, 0, 0, cb_handle_log_state},
    [CB_HSM_BIND]          = {"bind",          CB_LANE_MANAGE, 0, 0, VAR + CB_ID_SIZE + 9, VAR + CB_HOST_CERTIFICATE_MAX + CB_ID_SIZE + 9, cb_handle_bind},
    [CB_HSM_BIND_FOREIGN]  = {"bind_foreign",  CB_LANE_MANAGE, 0, 0, FOREIGN, FOREIGN + CB_SCRIPT_BYTES_MAX + CB_CARD_KEYS_MAX * (1 + VAR + CB_FOREIGN_CERTIFICATE_MAX),
                              cb_handle_bind_foreign},
    [CB_HSM_RENEW_FOREIGN] = {"renew_foreign", CB_LANE_MANAGE, 0, 0, RENEWAL, RENEWAL + CB_SCRIPT_BYTES_MAX + CB_CARD_KEYS_MAX * (1 + VAR + CB_FOREIGN_CERTIFICATE_MAX) +
                              CB_BINDING_MAX + CB_FOREIGN_CERTIFICATES_LEN, cb_handle_renew_foreign},
    [CB_HSM_BIND_PASSWORD] = {"bind_password", CB_LANE_MANAGE, 0, 0, PASSWORD, PASSWORD + CB_BINDING_MAX, cb_handle_bind_password},
    [CB_HSM_PASSWORD_SALT] = {"password_salt", CB_LANE_MANAGE, 0, 0, CB_ID_SIZE, CB_ID_SIZE, cb_handle_password_salt},
    [CB_HSM_PASSWORD_FORGIVE] = {"password_forgive", CB_LANE_MANAGE, 0, 0, CB_ID_SIZE, CB_ID_SIZE, cb_handle_password_forgive},
    [CB_HSM_PIN_RESET]     = {"pin_reset",     CB_LANE_MANAGE, 0, 0, 2 * CB_ID_SIZE + 2, 2 * CB_ID_SIZE + 2, cb_handle_pin_reset},
    [CB_HSM_GENERATE]      = {"generate",      CB_LANE_MANAGE, 0, 0, INFO + 1 + VAR, INFO_MAX + 1 + VAR + CB_HSM_SUBJECT_MAX, cb_handle_generate},
    [CB_HSM_IMPORT]        = {"import",        CB_LANE_MANAGE, 0, 0, INFO + VAR, INFO_MAX + VAR + CB_HSM_WRAPPED_MAX, cb_handle_import},
    [CB_HSM_REWRAP]        = {"rewrap",        CB_LANE_MANAGE, 0, 0, 1, CB_SEALED_MAX, cb_handle_rewrap},
    [CB_HSM_GENERATION]    = {"generation",    CB_LANE_MANAGE, 0, 0, 0, 0, cb_handle_generation},
    [CB_HSM_PUBLIC_KEY]    = {"public_key",    CB_LANE_MANAGE | CB_LANE_LOG, 0, 0, 1, CB_HSM_NAME_MAX, cb_handle_public_key},
    [CB_HSM_RECEIPT_CHECK] = {"receipt_check", CB_LANE_MANAGE, 0, 0, 1, CB_RECEIPT_MAX, cb_handle_receipt_check},
    [CB_HSM_STATUS]        = {"status",        CB_LANE_MANAGE, 0, 0, 0, 0, cb_handle_status},
    [CB_HSM_CERTIFY]       = {"certify",       CB_LANE_USE,    0, 0, CERTIFY, CB_ID_SIZE + VAR + CB_X509_REQUEST_MAX, cb_handle_certify},
    [CB_HSM_TAP_REGISTER]  = {"tap.register",  CB_LANE_USE,    CB_TAP_BEGUN, CB_TAP_CHALLENGED, CONTEXT + READING + WORD, CONTEXT + READING_MAX + WORD,
                              cb_handle_tap_register},
    [CB_HSM_TAP_RENEW]     = {"tap.renew",     CB_LANE_USE,    CB_TAP_BEGUN, CB_TAP_CHALLENGED, CONTEXT + READING + TAP_RENEWAL,
                              CONTEXT + READING_MAX + TAP_RENEWAL_MAX, cb_handle_tap_renew},
    [CB_HSM_TAP_BIND]      = {"tap.bind",      CB_LANE_USE,    CB_TAP_FINISHED, CB_TAP_FREE, BIND_TAP, BIND_TAP, cb_handle_tap_bind},
    [CB_HSM_TAP_PASSWORD]  = {"tap.password",  CB_LANE_USE,    CB_TAP_FINISHED, CB_TAP_FREE,
                              CB_ID_SIZE + VAR + HEAD, CB_ID_SIZE + VAR + CB_BINDING_MAX + HEAD, cb_handle_tap_password},
    [CB_HSM_REGISTRATION_ALLOW] = {"registration_allow", CB_LANE_MANAGE, 0, 0, ALLOW, ALLOW, cb_handle_registration_allow},
    [CB_HSM_REGISTRATION_WITHDRAW] = {"registration_withdraw", CB_LANE_MANAGE, 0, 0, CB_ID_SIZE, CB_ID_SIZE, cb_handle_registration_withdraw},
    [CB_HSM_REGISTRATION_STATE] = {"registration_state", CB_LANE_MANAGE, 0, 0, CB_ID_SIZE, CB_ID_SIZE, cb_handle_registration_state},
    [CB_HSM_RETIRE_GENERATION] = {"retire_generation", CB_LANE_MANAGE, 0, 0, 2, 2, cb_handle_retire_generation},
    [CB_HSM_RESUME]        = {"resume",        CB_LANE_MANAGE, 0, 0, CB_ID_SIZE, CB_ID_SIZE, cb_handle_resume},
};
/* clang-format on */

const char *cb_request_name(uint16_t type)
{
    return type < CB_HSM_MESSAGES && requests[type].name ? requests[type].name : "unknown";
}

/* The table's row for a message, or NULL if the message is not legal in this lane. */
static const request *legal(const cb_lane *lane, const cb_msg *question)
{
    if (question->type >= CB_HSM_MESSAGES || question->fd >= 0 || question->error != CB_OK)
        return NULL;
    const request *row = &requests[question->type];
    bool fits = question->body.len >= row->least && question->body.len <= row->most;
    return row->lanes & lane->kind && fits ? row : NULL;
}

static cb_error find_tap(cb_lane *lane, const request *row, const cb_msg *question, cb_tap **tap)
{
    *tap = NULL;
    if (!row->states)
        return CB_OK;
    cb_cursor in = cb_msg_cursor(question);
    cb_id id = cb_get_id(&in);
    cb_error error = cb_taps_enter(lane->taps, &id, row->states, tap);
    bool wants_activation = row->next == CB_TAP_OPEN;
    return error == CB_E_TAP_UNKNOWN && wants_activation ? CB_E_HSM_ACTIVATION : error;
}

cb_error cb_only_if_good(cb_error error, cb_buf *out)
{
    if (error)
        cb_buf_reset(out);
    return error;
}

/* Two errors say that the front end must tell hsmd, or look, again; all others end the tap. */
static bool leaves_tap(cb_error error)
{
    return error == CB_E_HSM_FEED_BEHIND || error == CB_E_HSM_ROLLED_BACK;
}

static void after(cb_lane *lane, const request *row, cb_tap *tap, cb_error error)
{
    if (!tap || leaves_tap(error))
        return;
    bool used_up = row->next == CB_TAP_OPEN && tap->uses_left == 0;
    if (error || row->next == CB_TAP_FREE || used_up)
        cb_taps_end(lane->taps, tap);
    else
        tap->state = row->next;
}

static bool refuse(cb_lane *lane, const cb_msg *question, cb_msg *answer, const char *why)
{
    char name[16], held[CB_HELD_TEXT];
    cb_lane_name(lane->kind, lane->index, name);
    if (cb_complain(lane->complaints, CB_COMPLAINT_REQUEST, held))
        cb_log(CB_LOG_WARNING, "request.illegal", "An illegal request ended its connection.",
               "request_type", cb_request_name(question->type), "lane", name, "why", why,
               "held_back", held[0] ? held : NULL, NULL);
    cb_buf_reset(&answer->body);
    answer->error = CB_E_HSM_ILLEGAL;
    return false;
}

bool cb_request_handle(cb_lane *lane, const cb_msg *question, cb_msg *answer)
{
    cb_tap *tap;
    answer->type = question->type;
    answer->id = question->id;
    answer->request = question->request;
    const request *row = legal(lane, question);
    if (!row)
        return refuse(lane, question, answer, "not legal here, or out of bounds");
    cb_error error = find_tap(lane, row, question, &tap);
    if (!error) {
        cb_cursor in = cb_msg_cursor(question);
        error = row->handler(lane, tap, &in, &answer->body);
        if (!cb_cursor_done(&in))
            return refuse(lane, question, answer, "malformed");
        if (!error && (error = cb_buf_error(&answer->body)) != CB_OK)
            cb_buf_reset(&answer->body);
        after(lane, row, tap, error);
    }
    answer->error = error;
    return true;
}

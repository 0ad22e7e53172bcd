/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An audit of the whole record: every leaf and every signed head is fetched and checked here
 * (broker/evidence/verify.h), and hsmd is asked whether each receipt is its own. Of a database file
 * the tables are compared with the record, too. What the checks
 * are worth depends on the log's public key: taken from hsmd at the time of the audit it shows that
 * the record agrees with this hsmd; the auditor's own copy shows that it is still the same log.
 */
#include <string.h>

#include "base/text.h"
#include "broker/ctl/audit.h"
#include "broker/ctl/files.h"
#include "broker/ctl/output.h"
#include "broker/ctl/pem.h"
#include "broker/evidence/verify.h"

typedef struct audit {
    cb_ctl *ctl;
    cb_leaf_visitor each; /* the verifier's own, while a page is read */
    void *each_context;
    uint64_t next;    /* receipts before this position are checked */
    bool hsm_away;    /* hsmd does not answer: receipts are not checked any further */
    uint64_t genuine; /* receipts that hsmd knows for its own */
    uint64_t false_receipts;
    json_t *findings; /* with --json */
} audit;

static void add_finding(audit *a, uint64_t position, const char *what, const char *detail)
{
    if (a->findings) {
        json_t *item =
            json_pack("{s:o,s:s,s:s}", "position",
                      position == UINT64_MAX ? json_null() : json_integer((json_int_t)position),
                      "what", what, "detail", detail);
        json_array_append_new(a->findings, item);
    } else if (position == UINT64_MAX) {
        fprintf(a->ctl->out, "%8s  %-16s %s\n", "-", what, detail);
    } else {
        fprintf(a->ctl->out, "%8llu  %-16s %s\n", (unsigned long long)position, what, detail);
    }
}

static void on_finding(void *context, const cb_finding *finding)
{
    cb_buf detail = CB_BUF(2048);
    cb_ctl_plain(&detail, finding->detail);
    add_finding(context, finding->position, finding->what,
                cb_buf_cstr(&detail) ? cb_buf_cstr(&detail) : "");
    cb_buf_free(&detail);
}

static void check_receipt(audit *a, uint64_t position, cb_bytes hex)
{
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    cb_hsm *hsm = cb_ctl_hsm(a->ctl);
    cb_error error = hsm ? cb_unhex(hex, &receipt) : CB_E_MEMORY;
    if (!error)
        error = cb_hsm_receipt_check(hsm, cb_buf_bytes(&receipt));
    if (!error) {
        a->genuine++;
    } else if (error == CB_E_HSM_RECORD || error == CB_E_FORMAT || error == CB_E_TOO_LARGE) {
        a->false_receipts++;
        add_finding(a, position, "receipt.genuine", "A receipt is not one that this hsmd made.");
    } else {
        a->hsm_away = true;
        cb_ctl_note(
            a->ctl,
            "warning: hsmd does not check receipts (%s); from leaf %llu on they are not checked.",
            cb_error_code(error), (unsigned long long)position);
    }
    cb_buf_free(&receipt);
}

static void check_receipts(audit *a, const cb_log_leaf *leaf)
{
    static const char name[] = "receipt ";
    cb_cursor rest = cb_cursor_over(leaf->data);
    while (rest.rest.len && !a->hsm_away) {
        const uint8_t *end = memchr(rest.rest.data, '\n', rest.rest.len);
        cb_bytes line = cb_cursor_take(&rest, end ? (size_t)(end - rest.rest.data) : rest.rest.len);
        cb_cursor_take(&rest, rest.rest.len ? 1 : 0);
        cb_cursor in = cb_cursor_over(line);
        if (cb_bytes_same(cb_cursor_take(&in, sizeof name - 1), cb_bytes_str(name)))
            check_receipt(a, leaf->position, cb_cursor_rest(&in));
    }
}

static cb_error on_leaf(void *context, const cb_log_leaf *leaf)
{
    audit *a = context;
    if (leaf->position >= a->next) {
        a->next = leaf->position + 1;
        check_receipts(a, leaf);
    }
    return a->each(a->each_context, leaf);
}

static cb_error read_leaves(void *context, uint64_t from, unsigned count, cb_leaf_visitor each,
                            void *each_context)
{
    audit *a = context;
    a->each = each;
    a->each_context = each_context;
    return cb_ctl_audit_leaves(a->ctl, from, count, on_leaf, a);
}

static cb_error read_heads(void *context, uint64_t from, unsigned count, cb_head_visitor each,
                           void *each_context)
{
    audit *a = context;
    return cb_ctl_audit_heads(a->ctl, from, count, each, each_context);
}

/* The point of a P-256 SubjectPublicKeyInfo, whose DER has one form only. */
static bool point_of(cb_bytes der, uint8_t point[CB_P256_POINT])
{
    static const uint8_t before[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48,
                                     0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48,
                                     0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    cb_cursor in = cb_cursor_over(der);
    bool p256 = cb_bytes_same(cb_cursor_take(&in, sizeof before), CB_BYTES_OF(before));
    cb_cursor_copy(&in, point, CB_P256_POINT);
    return p256 && cb_cursor_done(&in) && cb_p256_is_point(cb_bytes_make(point, CB_P256_POINT));
}

static cb_ctl_status key_from_file(cb_ctl *ctl, const char *path, cb_buf *der)
{
    char label[CB_PEM_LABEL_MAX];
    cb_buf text = CB_BUF(64 * 1024);
    cb_ctl_status status = cb_ctl_read_file(ctl, path, &text);
    cb_cursor cursor = cb_cursor_over(cb_buf_bytes(&text));
    if (!status && (!cb_pem_next(&cursor, label, der) || strcmp(label, "PUBLIC KEY") != 0))
        status = cb_ctl_fail(ctl, CB_E_FORMAT,
                             "the log's key is wanted as PEM (-----BEGIN PUBLIC KEY-----)");
    cb_buf_free(&text);
    return status;
}

static cb_ctl_status log_point(cb_ctl *ctl, const char *path, uint8_t point[CB_P256_POINT])
{
    cb_buf der = CB_BUF(CB_PUBLIC_KEY_MAX);
    cb_ctl_status status = CB_CTL_DONE;
    if (path) {
        status = key_from_file(ctl, path, &der);
    } else {
        cb_hsm *hsm = cb_ctl_hsm(ctl);
        cb_error error = hsm ? cb_hsm_public_key(hsm, "log", &der) : CB_E_MEMORY;
        if (error)
            status = cb_ctl_fail_hsm(
                ctl, error, "the log's public key; give the auditor's own copy by --log-key");
        else
            cb_ctl_note(ctl, "warning: the log's key was taken from the hsmd that is being "
                             "audited; give the auditor's own copy by --log-key.");
    }
    if (!status && !point_of(cb_buf_bytes(&der), point))
        status = cb_ctl_fail(ctl, CB_E_FORMAT, "the log's key is not a P-256 public key");
    cb_buf_free(&der);
    return status;
}

static cb_ctl_status summarise(audit *a, cb_error error, const cb_evidence_summary *sum)
{
    bool good = error == CB_OK && a->false_receipts == 0;
    char root[2 * CB_SHA256_SIZE + 1];
    cb_hex(cb_digest_bytes(&sum->last.root), root);
    if (a->findings) {
        json_t *all = json_pack(
            "{s:b,s:O,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:I,s:I,s:I,s:I,s:{s:I,s:s}}", "verified", good,
            "findings", a->findings, "leaves", (json_int_t)sum->leaves, "heads",
            (json_int_t)sum->heads, "leaves_unsigned", (json_int_t)sum->leaves_unsigned,
            "open_intents", (json_int_t)sum->open_intents, "receipts", (json_int_t)sum->receipts,
            "receipts_genuine", (json_int_t)a->genuine, "receipts_checked", !a->hsm_away,
            "accepted_without_receipt", (json_int_t)sum->accepted_without_receipt, "feed_number",
            (json_int_t)sum->feed_number, "checkpoints", (json_int_t)sum->checkpoints,
            "checkpoints_other", (json_int_t)sum->checkpoints_other,
            "head", "size", (json_int_t)sum->last.size, "root", root);
        cb_ctl_status status =
            all ? cb_ctl_json(a->ctl, all) : cb_ctl_fail(a->ctl, CB_E_MEMORY, NULL);
        json_decref(all);
        if (status)
            return status;
    } else {
        fprintf(a->ctl->out, "%s: %llu leaves, %llu heads, %llu findings\n",
                good ? "verified" : "NOT verified", (unsigned long long)sum->leaves,
                (unsigned long long)sum->heads,
                (unsigned long long)(sum->findings + a->false_receipts));
        fprintf(a->ctl->out,
                "%llu leaves wait for a signature, %llu taps are open, %llu revocations, %llu "
                "receipts (%llu genuine%s)\n",
                (unsigned long long)sum->leaves_unsigned, (unsigned long long)sum->open_intents,
                (unsigned long long)sum->feed_number, (unsigned long long)sum->receipts,
                (unsigned long long)a->genuine, a->hsm_away ? ", others not checked" : "");
        if (sum->accepted_without_receipt > 0)
            fprintf(a->ctl->out,
                    "%llu accepts without a receipt: of these there is the broker's word only\n",
                    (unsigned long long)sum->accepted_without_receipt);
        if (sum->checkpoints > 0)
            fprintf(a->ctl->out,
                    "%llu checkpoints (%llu of them by another version of the broker, whose words "
                    "about rows were not compared)\n",
                    (unsigned long long)sum->checkpoints,
                    (unsigned long long)sum->checkpoints_other);
        fprintf(a->ctl->out, "head %llu %s\n", (unsigned long long)sum->last.size, root);
    }
    return good ? CB_CTL_DONE : CB_CTL_FAILED;
}

/* ---- Where the record comes from ---- */

static cb_error verify_served(audit *a, cb_bytes point, const char *origin,
                              cb_evidence_summary *summary)
{
    cb_evidence_source source = {.context = a, .leaves = read_leaves, .heads = read_heads};
    cb_evidence_report report = {.context = a, .finding = on_finding};
    return cb_evidence_verify(&source, point, origin, &report, summary);
}

static cb_error skip_leaf(void *context, const cb_log_leaf *leaf)
{
    (void)context;
    (void)leaf;
    return CB_OK;
}

/* One more pass, for what only hsmd can say. */
static cb_error receipts_of(audit *a, const cb_evidence_source *source)
{
    cb_error error = CB_OK;
    uint64_t before = 1;
    a->each = skip_leaf;
    while (!error && a->next != before) {
        before = a->next;
        error = source->leaves(source->context, a->next, 500, on_leaf, a);
    }
    return error;
}

static cb_error verify_database(audit *a, const char *path, cb_bytes point, const char *origin,
                                cb_evidence_summary *summary)
{
    cb_evidence_file *file = NULL;
    cb_evidence_report report = {.context = a, .finding = on_finding};
    cb_error error = cb_evidence_file_open(path, &file);
    if (error)
        return error;
    cb_evidence_source source = cb_evidence_file_source(file);
    error = cb_evidence_verify(&source, point, origin, &report, summary);
    if (!error || error == CB_E_EVIDENCE) {
        cb_error receipts = receipts_of(a, &source);
        error = receipts ? receipts : error;
    }
    cb_evidence_file_close(&file);
    return error;
}

cb_ctl_status cb_ctl_audit_verify(cb_ctl *ctl, const cb_ctl_args *args)
{
    const char *database = cb_ctl_arg(args, "database");
    const char *origin = cb_ctl_arg(args, "origin") ? cb_ctl_arg(args, "origin") : ctl->origin;
    const char *path = cb_ctl_arg(args, "log-key") ? cb_ctl_arg(args, "log-key") : ctl->log_key;
    uint8_t point[CB_P256_POINT];
    if (!origin)
        return cb_ctl_misuse(
            ctl, "--origin is missing: the name of the log, as it stands in hsmd's configuration");
    cb_ctl_status status = log_point(ctl, path, point);
    if (status)
        return status;
    audit a = {.ctl = ctl, .findings = ctl->json ? json_array() : NULL};
    cb_evidence_summary summary = {0};
    cb_error error = database
                         ? verify_database(&a, database, CB_BYTES_OF(point), origin, &summary)
                         : verify_served(&a, CB_BYTES_OF(point), origin, &summary);
    if (error && error != CB_E_EVIDENCE) {
        cb_ctl_note(ctl,
                    "The record could not be read to its end (%s): nothing can be said about it.",
                    cb_error_code(error));
        status = error == CB_E_IO ? CB_CTL_UNREACHABLE : CB_CTL_FAILED;
    } else {
        status = summarise(&a, error, &summary);
    }
    json_decref(a.findings);
    return status;
}

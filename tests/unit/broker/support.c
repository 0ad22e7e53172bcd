/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/broker/support.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "hsm/record_codec.h"

/* ---- The signer ---- */

static cb_error soft_state(void *context, cb_tree_head *remembered)
{
    soft_signer *signer = context;
    __atomic_fetch_add(&signer->asked, 1, __ATOMIC_SEQ_CST);
    cb_error fail = (cb_error)__atomic_load_n(&signer->fail, __ATOMIC_SEQ_CST);
    if (fail)
        return fail;
    *remembered = signer->remembered;
    return CB_OK;
}

static cb_error soft_sign(void *context, const cb_tree_head *head, const cb_merkle_proof *extends,
                          cb_signed_head *out, cb_tree_head *remembered)
{
    soft_signer *signer = context;
    cb_buf text = CB_BUF(1024);
    cb_error fail = (cb_error)__atomic_load_n(&signer->fail, __ATOMIC_SEQ_CST);
    if (!fail)
        fail = (cb_error)__atomic_load_n(&signer->refuse, __ATOMIC_SEQ_CST);
    if (fail)
        return fail;
    if (!cb_merkle_extends(&signer->remembered, head, extends)) {
        if (remembered)
            *remembered = signer->remembered;
        return CB_E_HSM_HEAD;
    }
    *out = (cb_signed_head){.head = *head, .time = 1700000000000000 + (int64_t)head->size};
    cb_signed_head_text(ORIGIN, out, &text);
    cb_digest digest = cb_sha256(cb_buf_bytes(&text));
    cb_error error = cb_buf_error(&text);
    if (!error)
        error = cb_p256_sign(signer->scalar, &digest, out->signature);
    cb_buf_free(&text);
    if (error)
        return error;
    out->mac = digest;
    signer->remembered = *head;
    if (__atomic_load_n(&signer->lose, __ATOMIC_SEQ_CST) > 0) {
        __atomic_fetch_sub(&signer->lose, 1, __ATOMIC_SEQ_CST);
        return CB_E_TIMEOUT;
    }
    return error;
}

/* ---- The world ---- */

void world_make(world *w)
{
    memset(w, 0, sizeof *w);
    strcpy(w->folder, "/tmp/cardbroker-test-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof w->path, "%s/broker.db", w->folder);
    w->signer =
        mmap(NULL, sizeof *w->signer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(w->signer != MAP_FAILED);
    w->signer->remembered.root = cb_sha256((cb_bytes){0});
    assert_int_equal(cb_p256_generate(w->signer->scalar, w->signer->point), CB_OK);
    w->options = (cb_store_options){
        .path = w->path, .signer = {w->signer, soft_sign, soft_state}, .trial = CB_MILLISECOND};
}

void world_open(world *w) { assert_int_equal(cb_store_open(&w->options, &w->store), CB_OK); }

void world_close(world *w) { cb_store_close(&w->store); }

void world_end(world *w)
{
    char path[512];
    struct dirent *entry;
    world_close(w);
    cb_enrolment_free(&w->enrolment);
    DIR *dir = opendir(w->folder);
    while (dir && (entry = readdir(dir))) {
        snprintf(path, sizeof path, "%s/%s", w->folder, entry->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(w->folder);
    munmap(w->signer, sizeof *w->signer);
}

void add_service(world *w, const char *name, bool certificate)
{
    cb_service_new service = {.name = name,
                              .title = "Tax office",
                              .connector = "mtls",
                              .config = "{\"url\":\"https://tax.example\"}",
                              .level = CB_LEVEL_POSSESSION,
                              .kind = 4,
                              .certificate = certificate};
    assert_int_equal(cb_service_add(w->store, "test", &service), CB_OK);
}

cb_id add_card(world *w, bool active)
{
    cb_id id = cb_id_new();
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    make_binding(&id, &w->holder.id, &binding);
    assert_int_equal(cb_card_add(w->store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, NULL),
                     CB_OK);
    if (active)
        assert_int_equal(cb_card_change(w->store, "test", &id, CB_CARD_ACTIVATE, NULL, NULL),
                         CB_OK);
    cb_buf_free(&binding);
    return id;
}

cb_error add_enrolment(world *w, const char *service, uint64_t sequence, cb_enrolment *out)
{
    cb_id key = cb_id_new();
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    make_sealed(&key, &w->holder.id, service, sequence, 1, &sealed);
    cb_enrolment_new enrolment = {.holder = w->holder.id,
                                  .service = service,
                                  .sealed = cb_buf_bytes(&sealed),
                                  .public_key = cb_bytes_str("public"),
                                  .data = "{\"subject\":\"x\"}"};
    cb_error error = cb_enrolment_add(w->store, "test", &enrolment, out);
    cb_buf_free(&sealed);
    return error;
}

void world_begin(world *w)
{
    world_make(w);
    world_open(w);
    assert_int_equal(cb_holder_add(w->store, "test", "Hanako", &w->holder), CB_OK);
    w->card = add_card(w, true);
    add_service(w, "tax", false);
    cb_terminal_new terminal = {.name = "counter 1", .key = cb_sha256(cb_bytes_str("counter 1"))};
    assert_int_equal(cb_terminal_add(w->store, "test", &terminal, &w->terminal), CB_OK);
    cb_enrolment_init(&w->enrolment);
    assert_int_equal(add_enrolment(w, "tax", 1, &w->enrolment), CB_OK);
}

/* ---- Records ---- */

static void put_mac(cb_buf *out)
{
    uint8_t *mac = cb_buf_extend(out, CB_RECORD_MAC);
    if (mac)
        memset(mac, 0x55, CB_RECORD_MAC);
}

void make_binding(const cb_id *card, const cb_id *holder, cb_buf *out)
{
    cb_binding_info info = {
        .card = *card,
        .holder = *holder,
        .profile = CB_PROFILE_NATIVE,
        .level = CB_LEVEL_PIN,
        .sequence = 1,
        .keys = {.count = 1,
                 .key = {{.kind = CB_CARD_KEY_P256, .len = CB_P256_POINT, .data = {4}}}}};
    make_binding_of(&info, out);
}

void make_binding_of(const cb_binding_info *info, cb_buf *out)
{
    cb_binding_body_put(out, info);
    put_mac(out);
}

void make_sealed(const cb_id *key, const cb_id *holder, const char *service, uint64_t sequence,
                 uint32_t generation, cb_buf *out)
{
    cb_sealed_info info = {.key = *key,
                           .holder = *holder,
                           .algorithm = CB_KEY_EC_P256,
                           .level = CB_LEVEL_POSSESSION,
                           .uses = 1,
                           .generation = generation,
                           .sequence = sequence};
    strcpy(info.service, service);
    cb_sealed_body_put(out, &info, cb_bytes_str("public"), cb_bytes_str("wrapped"));
    put_mac(out);
}

void make_receipt(const cb_id *boot, uint64_t counter, const cb_intent *intent, cb_buf *out)
{
    cb_receipt_info info = {.boot = *boot,
                            .counter = counter,
                            .time = 1,
                            .tap = intent->context.tap,
                            .card = intent->card,
                            .key = intent->key,
                            .operation = 1,
                            .context = cb_tap_context_digest(&intent->context)};
    cb_receipt_body_put(out, &info);
    put_mac(out);
}

/* ---- Taps ---- */

cb_intent_request intent_of(const world *w)
{
    cb_intent_request request = {.context = {.tap = cb_id_random(),
                                             .terminal = w->terminal.id,
                                             .profile = CB_PROFILE_NATIVE,
                                             .purpose = CB_TAP_AUTHENTICATE,
                                             .level = CB_LEVEL_POSSESSION,
                                             .service = "tax"},
                                 .card = w->card,
                                 .holder = w->holder.id,
                                 .reached = CB_LEVEL_PIN};
    return request;
}

cb_error error_without_fault(world *w)
{
    cb_store_state status = {.error = CB_E_STORE};
    for (int i = 0; i < 30000 && (status.error == CB_E_STORE || status.error == CB_E_STORE_MOVED);
         i++) {
        assert_int_equal(cb_store_status(w->store, &status), CB_OK);
        if (status.error)
            usleep(1000);
    }
    return status.error;
}

cb_error t1(world *w, const cb_intent_request *request)
{
    cb_intent_grant grant;
    cb_intent_grant_init(&grant);
    cb_error error = cb_decide_intent(w->store, request, &grant);
    cb_intent_grant_free(&grant);
    return error;
}

cb_error tap_once(world *w, cb_id *tap, const cb_id *session)
{
    cb_intent_grant grant;
    cb_intent_request request = intent_of(w);
    cb_intent_grant_init(&grant);
    cb_error error = cb_decide_intent(w->store, &request, &grant);
    cb_intent_grant_free(&grant);
    if (tap)
        *tap = request.context.tap;
    if (error)
        return error;
    cb_result_request result = {.tap = request.context.tap};
    if (session)
        result.session = *session;
    return cb_decide_result(w->store, &result);
}

/* ---- The record ---- */

static struct {
    char what[32];
    unsigned count;
} seen[32];

static void note(void *context, const cb_finding *finding)
{
    (void)context;
    if (getenv("SHOW_FINDINGS"))
        printf("%lld %s: %s\n", (long long)finding->position, finding->what, finding->detail);
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        if (!seen[i].count)
            snprintf(seen[i].what, sizeof seen[i].what, "%s", finding->what);
        if (strcmp(seen[i].what, finding->what) == 0) {
            seen[i].count++;
            return;
        }
    }
}

unsigned findings_of(const char *what)
{
    unsigned count = 0;
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        if (!what || strcmp(seen[i].what, what) == 0)
            count += seen[i].count;
    }
    return count;
}

cb_error verify_file(world *w, cb_evidence_summary *summary)
{
    cb_evidence_file *file = NULL;
    cb_evidence_summary own;
    cb_evidence_report report = {NULL, note};
    memset(seen, 0, sizeof seen);
    cb_error error = cb_evidence_file_open(w->path, &file);
    if (error)
        return error;
    cb_evidence_source source = cb_evidence_file_source(file);
    error = cb_evidence_verify(&source, CB_BYTES_OF(w->signer->point), ORIGIN, &report,
                               summary ? summary : &own);
    cb_evidence_file_close(&file);
    return error;
}

void verify_and_end(world *w)
{
    world_close(w);
    assert_int_equal(verify_file(w, NULL), CB_OK);
    assert_int_equal(findings_of(NULL), 0);
    world_end(w);
}

void meddle(const world *w, const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    sqlite3_exec(db, "PRAGMA ignore_check_constraints = ON", NULL, NULL, NULL);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
    sqlite3_close(db);
}

static int add_text(void *text, int columns, char **values, char **names)
{
    (void)columns;
    (void)names;
    strcat(strcat(text, values[0]), ";");
    return 0;
}

/* The triggers are put back afterwards, as somebody would who does not want to be noticed. */
void tamper(world *w, const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    char triggers[4096] = "", of_logs[1024] = "";
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    sqlite3_exec(db, "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND "
                 "tbl_name IN ('evidence_leaf', 'tree_head', 'feed')", add_text, triggers,
                 NULL);
    sqlite3_exec(db, "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND "
                 "tbl_name = 'terminal_log_batch'", add_text, of_logs, NULL);
    sqlite3_exec(db, "PRAGMA ignore_check_constraints = ON", NULL, NULL, NULL);
    sqlite3_exec(db,
                 "DROP TRIGGER evidence_leaf_stays; DROP TRIGGER evidence_leaf_kept;"
                 "DROP TRIGGER tree_head_stays; DROP TRIGGER tree_head_kept;"
                 "DROP TRIGGER feed_stays; DROP TRIGGER feed_kept;"
                 "DROP TRIGGER terminal_log_batch_stays; DROP TRIGGER terminal_log_batch_kept",
                 NULL, NULL, NULL);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    assert_int_equal(sqlite3_exec(db, triggers, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_exec(db, of_logs, NULL, NULL, NULL); /* unless the table is gone */
    sqlite3_close(db);
}

cb_error end_session(cb_store *store, const cb_id *session, const char *why)
{
    return cb_decide_session_ends(store, &(cb_session_over){*session, why}, 1);
}

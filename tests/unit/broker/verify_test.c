/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Someone who has the database and its tools, but not the log's key, changes the record: each
 * change is found.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/evidence/tap_leaf.h"
#include "broker/store/txn.h"
#include "tests/unit/broker/support.h"

/* A record with a bit of everything; two uses of keys with receipts. */
static void live_a_little(world *w)
{
    cb_id boot = cb_id_new(), session = cb_id_new();
    cb_affected affected = {0};
    world_begin(w);
    for (uint64_t i = 1; i <= 2; i++) {
        cb_intent_grant grant;
        cb_intent_request request = intent_of(w);
        cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
        cb_intent_grant_init(&grant);
        assert_int_equal(cb_decide_intent(w->store, &request, &grant), CB_OK);
        make_receipt(&boot, i, &grant.proof.intent, &receipt);
        cb_bytes receipts[] = {cb_buf_bytes(&receipt)};
        cb_result_request result = {
            .tap = request.context.tap, .receipts = receipts, .receipt_count = 1};
        assert_int_equal(cb_decide_result(w->store, &result), CB_OK);
        cb_buf_free(&receipt);
        cb_intent_grant_free(&grant);
    }
    assert_int_equal(tap_once(w, NULL, &session), CB_OK);
    assert_int_equal(cb_card_change(w->store, "test", &w->card, CB_CARD_SUSPEND, NULL, NULL),
                     CB_OK);
    assert_int_equal(cb_card_change(w->store, "test", &w->card, CB_CARD_RESUME, NULL, NULL), CB_OK);
    assert_int_equal(cb_card_change(w->store, "test", &w->card, CB_CARD_REVOKE, "lost", &affected),
                     CB_OK);
    assert_int_equal(end_session(w->store, &session, "revoked"), CB_OK);
    assert_int_equal(cb_enrolment_remove(w->store, "test", &w->enrolment.id, NULL), CB_OK);
    cb_affected_free(&affected);
    world_close(w);
}

static void an_untouched_record_verifies(void **state)
{
    world w;
    cb_evidence_summary summary;
    (void)state;
    live_a_little(&w);
    assert_int_equal(verify_file(&w, &summary), CB_OK);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(summary.leaves_unsigned, 0);
    assert_int_equal(summary.open_intents, 0);
    assert_int_equal(summary.receipts, 2);
    assert_int_equal(summary.receipts_lost, 0);
    assert_int_equal(summary.accepted_without_receipt, 1);
    assert_int_equal(summary.feed_number, 4);
    assert_true(summary.heads > 0);
    assert_int_equal(summary.last.size, summary.leaves);
    world_end(&w);
}

static void another_key_or_another_log_does_not_verify(void **state)
{
    world w;
    (void)state;
    live_a_little(&w);
    w.signer->point[64] ^= 1;
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_true(findings_of("head.signature") > 0);
    world_end(&w);
}

#define LAST "(SELECT max(position) FROM evidence_leaf)"
#define OF_KIND(kind)                                                                              \
    "(SELECT max(position) FROM evidence_leaf WHERE instr(data, CAST('kind " kind "' AS BLOB)))"

/* What an attacker does, and a finding that must follow. */
static const struct {
    const char *sql;
    const char *what;
} edits[] = {
    {"UPDATE evidence_leaf SET data = CAST(data || 'x y' || char(10) AS BLOB) WHERE position = 3",
     "leaf.hash"},
    {"UPDATE evidence_leaf SET data = CAST(data || 'x y' || char(10) AS BLOB) WHERE position = 3",
     "head.root"},
    {"UPDATE evidence_leaf SET data = CAST('nonsense' AS BLOB) WHERE position = 3", "leaf.format"},
    {"UPDATE evidence_leaf SET hash = zeroblob(32) WHERE position = 0", "leaf.hash"},
    {"PRAGMA foreign_keys = OFF; DELETE FROM evidence_leaf WHERE position = 2", "leaf.gap"},
    {"PRAGMA foreign_keys = OFF; DELETE FROM evidence_leaf WHERE position = " LAST, "head.beyond"},
    {"UPDATE evidence_leaf SET position = -1 WHERE position = 2;"
     "UPDATE evidence_leaf SET position = 2 WHERE position = 3;"
     "UPDATE evidence_leaf SET position = 3 WHERE position = -1",
     "head.root"},
    {"INSERT INTO evidence_leaf (position, data, hash) SELECT " LAST " + 2, data, hash "
     "FROM evidence_leaf WHERE position = 1",
     "leaf.gap"},
    {"INSERT INTO evidence_leaf (position, data, hash) SELECT " LAST " + 1, data, hash "
     "FROM evidence_leaf WHERE position = " OF_KIND("tap.result"),
     "tap.result"},
    {"INSERT INTO evidence_leaf (position, data, hash) SELECT " LAST " + 1, data, hash "
     "FROM evidence_leaf WHERE position = (SELECT min(position) FROM evidence_leaf "
     "WHERE instr(data, CAST('receipt ' AS BLOB)))",
     "receipt.twice"},
    {"INSERT INTO evidence_leaf (position, data, hash) SELECT " LAST " + 1, data, hash "
     "FROM evidence_leaf WHERE position = " OF_KIND("card.revoked"),
     "feed.chain"},
    {"INSERT INTO evidence_leaf (position, data, hash) SELECT 9223372036854775807, data, hash "
     "FROM evidence_leaf WHERE position = 1",
     "leaf.gap"},
    {"PRAGMA foreign_keys = OFF; UPDATE tree_head SET size = 9223372036854775807 "
     "WHERE size = (SELECT max(size) FROM tree_head)",
     "head.beyond"},
    {"UPDATE tree_head SET signature = zeroblob(64) WHERE size = (SELECT min(size) FROM tree_head)",
     "head.signature"},
    {"UPDATE tree_head SET root = zeroblob(32) WHERE size = (SELECT max(size) FROM tree_head)",
     "head.root"},
    {"UPDATE tree_head SET time = time + 1 WHERE size = (SELECT max(size) FROM tree_head)",
     "head.signature"},
    {"PRAGMA foreign_keys = OFF; UPDATE tree_head SET size = size + 1 "
     "WHERE size = (SELECT max(size) FROM tree_head)",
     "head.beyond"},
    {"DELETE FROM feed WHERE number = (SELECT max(number) FROM feed)", "feed.missing"},
    {"DELETE FROM feed WHERE number = 1", "feed.leaf"},
    {"DELETE FROM feed", "feed.missing"},
    {"UPDATE feed SET kind = 3 WHERE number = 1", "feed.chain"},
    {"UPDATE feed SET subject = zeroblob(16) WHERE number = 1", "feed.chain"},
    {"UPDATE feed SET hash = zeroblob(32) WHERE number = 2", "feed.chain"},
    {"UPDATE feed SET time = time + 1 WHERE number = 2", "feed.chain"},
    {"INSERT INTO feed SELECT number + 1, kind, subject, time, hash, 0 FROM feed "
     "WHERE number = (SELECT max(number) FROM feed)",
     "feed.leaf"},
    {"UPDATE card SET state = 'active'", "table.state"},
    {"UPDATE enrolment SET state = 'active'", "table.state"},
    {"UPDATE terminal SET state = 'revoked'", "table.state"},
    {"UPDATE enrolment_key SET state = 'current', sealed = x'00'", "table.state"},
    {"PRAGMA foreign_keys = OFF; DELETE FROM card", "table.missing"},
    {"UPDATE service SET config = '{ }'", "table.content"},
    {"UPDATE service SET level = 0", "table.content"},
    {"UPDATE terminal SET rate = rate + 1", "table.content"},
    {"UPDATE terminal SET passwords = 1 - passwords", "table.content"},
    {"UPDATE terminal SET key = randomblob(32)", "table.content"},
    {"INSERT INTO card (id, holder, state, profile, level, sequence, binding, created, changed) "
     "SELECT randomblob(16), holder, state, profile, level, sequence, binding, created, changed "
     "FROM card",
     "table.extra"},
};

static void each_edit_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        world w;
        live_a_little(&w);
        tamper(&w, edits[i].sql);
        if (verify_file(&w, NULL) != CB_E_EVIDENCE || findings_of(edits[i].what) == 0)
            fail_msg("not found as %s: %s", edits[i].what, edits[i].sql);
        world_end(&w);
    }
}

/* What was rolled back, or moved to somebody else, without a change of its state. */
static void what_an_enrolment_says_is_compared_as_well(void **state)
{
    static const char *const others[] = {
        "UPDATE enrolment SET data = '{\"a\":1}'",
        "UPDATE enrolment SET holder = (SELECT id FROM holder WHERE id <> enrolment.holder)"};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        world w;
        world_begin(&w);
        assert_int_equal(cb_holder_add(w.store, "test", "Somebody else", NULL), CB_OK);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK);
        tamper(&w, others[i]);
        assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
        assert_int_equal(findings_of("table.content"), 1);
        world_end(&w);
    }
}

/* Nobody else remembers the day that an operator set. */
static void the_days_of_cards_are_compared_as_well(void **state)
{
    static const char *const others[] = {
        "UPDATE card SET expires = 0 WHERE expires > 0",
        "UPDATE card SET expires = expires + 1 WHERE expires > 0",
        "UPDATE card SET own_expires = 0 WHERE own_expires > 0",
        "UPDATE card SET own_expires = own_expires + 1 WHERE own_expires > 0",
        "UPDATE card SET expires = 1 WHERE expires = 0",
        "UPDATE card SET own_expires = 1 WHERE own_expires = 0"};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        world w;
        cb_id id = cb_id_new();
        cb_buf binding = CB_BUF(CB_BINDING_MAX);
        world_begin(&w); /* with a card without */
        make_binding(&id, &w.holder.id, &binding);
        const cb_card_new fresh = {.binding = cb_buf_bytes(&binding),
                                   .expires = cb_clock_wall_us() + 3600 * CB_SECOND};
        assert_int_equal(cb_card_issue(w.store, "test", &fresh, NULL), CB_OK);
        cb_buf_free(&binding);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK);
        tamper(&w, others[i]);
        assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
        assert_int_equal(findings_of("table.content"), 1);
        assert_int_equal(findings_of(NULL), 1);
        world_end(&w);
    }
}

/* More than the tables are read at a time; the last is looked at as the first. */
static void the_last_of_many_rows_is_compared_as_well(void **state)
{
    enum { MANY = CB_PAGE_LIMIT + 5 };
    world w;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < MANY; i++) {
        char name[32];
        cb_digest key = cb_sha256(cb_bytes_make(&i, sizeof i));
        snprintf(name, sizeof name, "gate %u", i);
        cb_terminal_new fresh = {.name = name, .key = key};
        assert_int_equal(cb_terminal_add(w.store, "test", &fresh, NULL), CB_OK);
    }
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    tamper(&w, "UPDATE terminal SET rate = rate + 1 WHERE id = (SELECT max(id) FROM terminal)");
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_int_equal(findings_of("table.content"), 1);
    world_end(&w);
}

static void a_record_written_anew_is_found_by_its_heads(void **state)
{
    world w;
    (void)state;
    live_a_little(&w);
    /* All hashes right, but not what was signed. */
    tamper(&w, "PRAGMA foreign_keys = OFF; DELETE FROM evidence_leaf WHERE position >= 3;"
               "DELETE FROM feed");
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_true(findings_of("head.beyond") > 0);
    world_end(&w);
}

static void tap_with_receipt(world *w, const cb_id *boot, uint64_t counter, cb_error outcome)
{
    cb_intent_grant grant;
    cb_intent_request request = intent_of(w);
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(w->store, &request, &grant), CB_OK);
    make_receipt(boot, counter, &grant.proof.intent, &receipt);
    cb_bytes receipts[] = {cb_buf_bytes(&receipt)};
    cb_result_request result = {
        .tap = request.context.tap, .receipts = receipts, .receipt_count = 1, .outcome = outcome};
    assert_int_equal(cb_decide_result(w->store, &result), CB_OK);
    cb_buf_free(&receipt);
    cb_intent_grant_free(&grant);
}

static void lost_receipts_are_counted_and_too_many_are_a_finding(void **state)
{
    world w;
    cb_evidence_summary summary;
    (void)state;
    world_begin(&w);
    cb_id boot = cb_id_new();
    static const uint64_t counters[] = {1, 4, 3, 7};
    for (size_t i = 0; i < 4; i++) {
        tap_with_receipt(&w, &boot, counters[i], i == 1 ? CB_E_SERVICE_DOWN : CB_OK);
        if (i == 2) { /* 2 is missing, and one tap failed */
            assert_int_equal(verify_file(&w, &summary), CB_OK);
            assert_int_equal(summary.receipts_lost, 1);
        }
    }
    assert_int_equal(verify_file(&w, &summary), CB_E_EVIDENCE); /* 2, 5 and 6 */
    assert_int_equal(summary.receipts_lost, 3);
    assert_int_equal(findings_of("receipt.gap"), 1);
    world_end(&w);
}

/* Two receipts are missing here; one that somebody adds must not make their sum wrap round. */
static void no_number_in_a_receipt_hides_others_that_are_missing(void **state)
{
    world w;
    cb_evidence_summary summary;
    (void)state;
    world_begin(&w);
    cb_id boot = cb_id_new(), other = cb_id_new();
    tap_with_receipt(&w, &boot, 3, CB_OK);
    tap_with_receipt(&w, &other, UINT64_MAX, CB_OK);
    assert_int_equal(verify_file(&w, &summary), CB_E_EVIDENCE);
    assert_int_equal(findings_of("receipt.gap"), 1);
    assert_true(summary.receipts_lost == UINT64_MAX);
    tap_with_receipt(&w, &boot, 0, CB_OK); /* they are counted from 1 */
    assert_int_equal(verify_file(&w, &summary), CB_E_EVIDENCE);
    assert_int_equal(findings_of("receipt.format"), 1);
    world_end(&w);
}

/* ---- A broker that was taken over: it writes leaves as it likes, under signed heads ---- */

typedef struct said {
    cb_buf leaf;
    uint64_t position;
} said;

static cb_error put_as_it_is(cb_txn *txn, void *context)
{
    said *s = context;
    return cb_txn_leaf(txn, &s->leaf, &s->position);
}

static uint64_t say(world *w, said *s)
{
    cb_change change = {.run = put_as_it_is, .context = s, .until = CB_UNTIL_STORED};
    assert_int_equal(cb_store_write(w->store, &change), CB_OK);
    cb_buf_free(&s->leaf);
    return s->position;
}

static uint64_t say_intent(world *w, const cb_intent *intent)
{
    said s = {.leaf = CB_BUF(CB_LEAF_MAX)};
    cb_intent_leaf(intent, &s.leaf);
    return say(w, &s);
}

static void say_accepted(world *w, const cb_intent *intent, uint64_t at, cb_bytes receipt)
{
    said s = {.leaf = CB_BUF(CB_LEAF_MAX)};
    cb_intent_row row = {.tap = intent->context.tap,
                         .card = intent->card,
                         .holder = intent->holder,
                         .terminal = intent->context.terminal,
                         .key = intent->key,
                         .leaf = at};
    memcpy(row.service, intent->context.service, sizeof row.service);
    cb_result_facts facts = {
        .intent = &row, .outcome = "accepted", .receipts = &receipt, .receipt_count = 1};
    cb_result_leaf(&facts, cb_clock_wall_us(), &s.leaf);
    say(w, &s);
}

/* Everything that hsmd attests of a use. */
static void change_one(cb_intent *intent, int what)
{
    switch (what) {
    case 0:
        intent->card.bytes[15] ^= 1;
        break;
    case 1:
        intent->key.bytes[0] ^= 1;
        break;
    case 2:
        strcpy(intent->context.service, "taxi");
        break;
    case 3:
        intent->context.text.bytes[31] = 1;
        break;
    case 4:
        intent->context.terminal.bytes[3] ^= 1;
        break;
    case 5:
        intent->context.profile = CB_PROFILE_PIV;
        break;
    case 6:
        intent->context.purpose = CB_TAP_PIN_CHANGE;
        break;
    case 7:
        intent->context.level = CB_LEVEL_PIN;
        break;
    default:
        intent->context.tap.bytes[7] ^= 1;
    }
}

/* Somebody taps; what is said of it is that somebody else did, or for something else. */
static void a_receipt_proves_nothing_but_what_it_was_made_for(void **state)
{
    (void)state;
    for (int what = -1; what < 9; what++) {
        world w;
        cb_id boot = cb_id_new();
        cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
        world_begin(&w);
        cb_intent_request tapped = intent_of(&w);
        cb_intent intent = {.time = cb_clock_wall_us(),
                            .context = tapped.context,
                            .card = tapped.card,
                            .holder = tapped.holder,
                            .key = w.enrolment.current.id,
                            .reached = tapped.reached};
        make_receipt(&boot, 1, &intent, &receipt);
        if (what >= 0)
            change_one(&intent, what);
        uint64_t at = say_intent(&w, &intent);
        say_accepted(&w, &intent, at, cb_buf_bytes(&receipt));
        assert_int_equal(verify_file(&w, NULL), what < 0 ? CB_OK : CB_E_EVIDENCE);
        assert_int_equal(findings_of("receipt.tap"), what < 0 ? 0 : 1);
        assert_int_equal(findings_of(NULL), what < 0 ? 0 : 1);
        cb_buf_free(&receipt);
        world_end(&w);
    }
}

/* The true intent is recorded, for without it hsmd opens no key; its result hides the login, and
 * the receipt goes to a second intent of the same tap, which says that another logged in. */
static void nor_for_a_second_intent_of_its_tap(void **state)
{
    world w;
    cb_intent_grant grant;
    cb_id boot = cb_id_new();
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    (void)state;
    world_begin(&w);
    cb_intent_request request = intent_of(&w);
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(w.store, &request, &grant), CB_OK);
    make_receipt(&boot, 1, &grant.proof.intent, &receipt);
    cb_result_request failed = {.tap = request.context.tap, .outcome = CB_E_SERVICE_DOWN};
    assert_int_equal(cb_decide_result(w.store, &failed), CB_OK);
    cb_intent other = grant.proof.intent;
    other.card = cb_id_new();
    other.holder = cb_id_new();
    other.key = cb_id_new();
    strcpy(other.context.service, "bank");
    uint64_t at = say_intent(&w, &other);
    say_accepted(&w, &other, at, cb_buf_bytes(&receipt));
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_int_equal(findings_of("receipt.tap"), 1);
    cb_buf_free(&receipt);
    cb_intent_grant_free(&grant);
    world_end(&w);
}

/* The card of the receipt stands there, too, where not everybody looks. */
static void nothing_is_said_twice_of_a_tap(void **state)
{
    static const char *const again[] = {"card", "key", "service", "profile", "text", "outcome"};
    (void)state;
    for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
        world w;
        said s = {.leaf = CB_BUF(CB_LEAF_MAX)};
        cb_buf value = CB_BUF(CB_LEAF_MAX);
        world_begin(&w);
        cb_intent_request tapped = intent_of(&w);
        cb_intent intent = {.time = cb_clock_wall_us(),
                            .context = tapped.context,
                            .card = tapped.card,
                            .holder = tapped.holder,
                            .key = w.enrolment.current.id};
        cb_intent_leaf(&intent, &s.leaf);
        cb_error found = cb_leaf_find(cb_buf_bytes(&s.leaf), again[i], &value);
        if (found)
            cb_buf_put_str(&value, "accepted");
        for (int times = found ? 2 : 1; times > 0; times--)
            cb_leaf_text(&s.leaf, again[i], cb_buf_cstr(&value));
        say(&w, &s);
        assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
        assert_int_equal(findings_of("leaf.format"), 1);
        assert_int_equal(findings_of("table.missing"), 1); /* nobody made a row of it */
        assert_int_equal(findings_of(NULL), 2);
        cb_buf_free(&value);
        world_end(&w);
    }
}

static void an_intent_says_what_for(void **state)
{
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
    static const char *const lines[] = {
        "profile 256\npurpose 1\nlevel 1\nservice tax\ntext " ZEROS "\n",
        "profile 1\npurpose 1\nlevel x\nservice tax\ntext " ZEROS "\n",
        "profile 1\npurpose 1\nlevel 1\nservice tax\ntext 0" ZEROS "\n",
        "purpose 1\nlevel 1\nservice tax\ntext " ZEROS "\n",
        "profile 1\npurpose 1\nlevel 1\ntext " ZEROS "\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        world w;
        cb_id tap = cb_id_new();
        said s = {.leaf = CB_BUF(CB_LEAF_MAX)};
        world_begin(&w);
        cb_leaf_begin(&s.leaf, "tap.intent", cb_clock_wall_us());
        cb_leaf_id(&s.leaf, "tap", &tap);
        cb_buf_put_str(&s.leaf, lines[i]);
        say(&w, &s);
        assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
        assert_int_equal(findings_of("tap.intent"), 1);
        world_end(&w);
    }
}

/* No two states are alike, known or not. */
static void a_state_is_compared_whatever_it_is(void **state)
{
    static const struct {
        const char *logged, *row;
        bool good;
    } cases[] = {
        {"maintenance", "maintenance", true},
        {"maintenance", "active", false},
        {"maintenance", "nonsense", false},
        {"nonsense", "nonsense", false},
        {"active", "nonsense", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world w;
        char sql[80];
        said s = {.leaf = CB_BUF(CB_LEAF_MAX)};
        world_begin(&w);
        cb_leaf_begin(&s.leaf, "terminal.maintenance", cb_clock_wall_us());
        cb_leaf_id(&s.leaf, "terminal", &w.terminal.id);
        cb_leaf_text(&s.leaf, "state", cases[i].logged);
        say(&w, &s);
        world_close(&w);
        snprintf(sql, sizeof sql, "UPDATE terminal SET state = '%s'", cases[i].row);
        tamper(&w, sql);
        verify_file(&w, NULL); /* of the rest of the row the leaf says nothing that is true */
        assert_int_equal(findings_of("table.state"), cases[i].good ? 0 : 1);
        world_end(&w);
    }
}

static void only_a_database_of_this_version_is_read(void **state)
{
    world w;
    cb_evidence_file *file = NULL;
    (void)state;
    live_a_little(&w);
    assert_int_equal(cb_evidence_file_open("/nonexistent/x.db", &file), CB_E_STORE);
    tamper(&w, "UPDATE schema_migration SET digest = zeroblob(32)");
    assert_int_equal(cb_evidence_file_open(w.path, &file), CB_E_STORE_VERSION);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_untouched_record_verifies),
        cmocka_unit_test(another_key_or_another_log_does_not_verify),
        cmocka_unit_test(each_edit_is_found),
        cmocka_unit_test(what_an_enrolment_says_is_compared_as_well),
        cmocka_unit_test(the_days_of_cards_are_compared_as_well),
        cmocka_unit_test(the_last_of_many_rows_is_compared_as_well),
        cmocka_unit_test(a_record_written_anew_is_found_by_its_heads),
        cmocka_unit_test(lost_receipts_are_counted_and_too_many_are_a_finding),
        cmocka_unit_test(no_number_in_a_receipt_hides_others_that_are_missing),
        cmocka_unit_test(a_receipt_proves_nothing_but_what_it_was_made_for),
        cmocka_unit_test(nor_for_a_second_intent_of_its_tap),
        cmocka_unit_test(nothing_is_said_twice_of_a_tap),
        cmocka_unit_test(an_intent_says_what_for),
        cmocka_unit_test(a_state_is_compared_whatever_it_is),
        cmocka_unit_test(only_a_database_of_this_version_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows on which a login depends are believed only as the log has them: whoever writes the database
 * changes a row, or adds a leaf of his own, and nobody is logged in by it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "broker/evidence/vouch.h"
#include "broker/store/txn.h"
#include "tests/unit/broker/support.h"

static const char *const edits[] = {
    "UPDATE service SET config = '{\"url\":\"https://evil.example\"}'",
    "UPDATE service SET connector = 'jwt'",
    "UPDATE service SET title = 'Other office'",
    "UPDATE service SET level = 2",
    "UPDATE service SET certificate = 1",
    "UPDATE service SET kind = 1",
    "UPDATE service SET life = 1",
    "UPDATE service SET idle = 1",
    "UPDATE service SET kinds = 1",
    "UPDATE service SET kinds = 16",
    "UPDATE service SET pad = 1",
    "UPDATE terminal SET key = randomblob(32)",
    "UPDATE terminal SET next_key = randomblob(32)",
    "UPDATE terminal SET next_expires = 9000000000000000",
    "UPDATE terminal SET expires = 9000000000000000",
    "UPDATE terminal SET passwords = 1",
    "UPDATE terminal SET kind = 3",
    "UPDATE terminal SET pad = 1",
    "UPDATE terminal SET rate = 5",
    "UPDATE terminal SET all_services = 0",
    "INSERT INTO terminal_service SELECT id, 'tax' FROM terminal; UPDATE terminal SET rate = 1",
    "UPDATE enrolment SET data = '{\"subject\":\"y\"}'",
    "UPDATE enrolment SET data = '{}'",
    "UPDATE enrolment SET data = '{}', id = x'00112233445566778899aabbccddeeff'; "
    "UPDATE enrolment_key SET enrolment = x'00112233445566778899aabbccddeeff'",
    "UPDATE enrolment SET data = '{}', id = x'00112233445566778899aabbccddeeff'; "
    "UPDATE enrolment_key SET enrolment = x'00112233445566778899aabbccddeeff'",
};
enum { EDITS = sizeof edits / sizeof *edits };

static void a_row_that_was_changed_lets_nobody_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * EDITS; i++) {
        world w;
        bool running = i >= EDITS;
        world_begin(&w);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        if (!running)
            world_close(&w);
        meddle(&w, edits[i % EDITS]);
        if (!running)
            world_open(&w);
        print_message("%s\n", edits[i % EDITS]);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
        assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, "lost", NULL),
                         CB_OK);
        world_end(&w);
    }
}

static void a_terminal_that_nobody_added_is_refused(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    meddle(&w, "INSERT INTO terminal (id, name, state, key, rate, all_services, created, changed) "
               "SELECT x'00112233445566778899aabbccddeeff', 'mine', state, randomblob(32), rate, "
               "1, created, changed FROM terminal");
    cb_id real = w.terminal.id;
    assert_int_equal(cb_id_parse("00112233-4455-6677-8899-aabbccddeeff", &w.terminal.id), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    w.terminal.id = real;
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

static void a_card_that_nobody_activated_is_refused(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_id active = w.card;
    w.card = add_card(&w, false);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_NOT_ACTIVE);
    meddle(&w, "UPDATE card SET state = 'active'");
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    world_close(&w);
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    meddle(&w, "UPDATE card SET state = 'issued'");
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_ACTIVATE, NULL, NULL), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    w.card = active;
    meddle(&w, "UPDATE card SET state = 'active'");
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

static void a_terminal_with_services_of_its_own_works_in_any_order(void **state)
{
    static const char *const names[] = {"zoo", "tax", "alpha"};
    world w;
    (void)state;
    world_begin(&w);
    add_service(&w, "zoo", false);
    add_service(&w, "alpha", false);
    cb_terminal_new terminal = {.name = "counter 2",
                                .key = cb_sha256(cb_bytes_str("counter 2")),
                                .services = names,
                                .service_count = 3};
    assert_int_equal(cb_terminal_add(w.store, "test", &terminal, &w.terminal), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    meddle(&w, "DELETE FROM terminal_service WHERE service = 'zoo'");
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    world_end(&w);
}

/* Between T1 and T2 the card is revoked, and the intent then named one that is not. */
static void an_intent_that_was_given_to_another_card_is_withdrawn(void **state)
{
    static const char *const changes[] = {
        "UPDATE intent SET card = (SELECT id FROM card WHERE id <> intent.card)",
        "UPDATE intent SET holder = randomblob(16)",
        "UPDATE intent SET key = randomblob(16)",
        "UPDATE intent SET reached = 1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        world w;
        cb_intent_grant grant;
        world_begin(&w);
        add_card(&w, true);
        cb_intent_request request = intent_of(&w);
        cb_intent_grant_init(&grant);
        assert_int_equal(cb_decide_intent(w.store, &request, &grant), CB_OK);
        cb_intent_grant_free(&grant);
        meddle(&w, changes[i]);
        if (i == 0)
            assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, NULL, NULL),
                             CB_OK);
        print_message("%s\n", changes[i]);
        cb_result_request result = {.tap = request.context.tap};
        assert_int_equal(cb_decide_result(w.store, &result), CB_E_TAP_WITHDRAWN);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), i < 3 ? CB_E_EVIDENCE : CB_OK);
        assert_int_equal(findings_of("tap.result"), i < 3 ? 1 : 0);
        world_end(&w);
    }
}

/* ---- Leaves that nobody signed ---- */

/* Appends a leaf to a database that nobody has open, with the hash that it needs. */
static void forge(world *w, const char *kind, const char *lines)
{
    char sql[8192], hex[4096];
    size_t at = 0;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, kind, cb_clock_wall_us());
    cb_leaf_text(&leaf, "actor", "uid 0 root");
    cb_buf_put_str(&leaf, lines);
    cb_digest hash = cb_merkle_leaf(cb_buf_bytes(&leaf));
    at =
        (size_t)snprintf(sql, sizeof sql, "INSERT INTO evidence_leaf SELECT max(position) + 1, x'");
    for (size_t i = 0; i < leaf.len; i++)
        at += (size_t)snprintf(sql + at, sizeof sql - at, "%02x", leaf.data[i]);
    for (size_t i = 0; i < sizeof hash.bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash.bytes[i]);
    snprintf(sql + at, sizeof sql - at, "', x'%s' FROM evidence_leaf", hex);
    meddle(w, sql);
    cb_buf_free(&leaf);
}

static void as_the_service_says(world *w, const char *config, char lines[1024])
{
    char hex[65];
    cb_digest digest = cb_sha256(cb_bytes_str(config));
    (void)w;
    for (size_t i = 0; i < sizeof digest.bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest.bytes[i]);
    snprintf(lines, 1024,
             "service tax\ntitle Tax office\nconnector mtls\nlevel 1\ncertificate 0\nsession 4\n"
             "life 0\nidle 0\nconfig_sha256 %s\n",
             hex);
}

/* The forged leaf is as good as a real one but for the signature: nothing else tells them apart. */
static void an_act_in_a_leaf_that_nobody_signed_does_not_count(void **state)
{
    world w;
    char lines[1024];
    (void)state;
    world_begin(&w);
    world_close(&w);
    as_the_service_says(&w, "{\"url\":\"https://evil.example\"}", lines);
    forge(&w, "service.updated", lines);
    meddle(&w, "UPDATE service SET config = '{\"url\":\"https://evil.example\"}'");
    for (int starts = 0; starts < 3; starts++) {
        world_open(&w);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK); /* the record shows what happened */
    }
    world_open(&w);
    cb_service_new service = {.name = "tax",
                              .title = "Tax office",
                              .connector = "mtls",
                              .config = "{\"url\":\"https://tax.example\"}",
                              .level = 1,
                              .kind = 4};
    assert_int_equal(cb_service_update(w.store, "test", &service), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_close(&w);
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

/* What a start takes back it may have no head over, either; the next start takes it as it is. */
static void what_was_taken_back_without_a_signature_is_not_taken_back_again(void **state)
{
    static const char *const acts[][3] = {
        {"terminal.log_resumed", "terminal", ""},
        {"enrolment.added", "enrolment", "holder x\nservice y\nstate active\n"},
        {"application.entered", "application", ""},
        {"terminal.software", "terminal", ""}};
    world w;
    (void)state;
    world_begin(&w);
    world_close(&w);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        char id[CB_ID_TEXT], lines[256];
        cb_id_text(&(cb_id){{(uint8_t)(i + 1)}}, id);
        snprintf(lines, sizeof lines, "%s %s\n%s", acts[i][1], id, acts[i][2]);
        forge(&w, acts[i][0], lines);
    }
    set_signer(&w.signer->refuse, CB_E_HSM_TOKEN);
    for (int starts = 0; starts < 2; starts++) {
        world_open(&w);
        assert_int_not_equal(tap_once(&w, NULL, NULL), CB_OK);
        world_close(&w);
    }
    set_signer(&w.signer->refuse, CB_OK);
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

/* The same when the key service is away at the start, and comes back later. */
static void nor_does_it_when_the_key_service_was_away(void **state)
{
    world w;
    char lines[1024];
    (void)state;
    world_begin(&w);
    world_close(&w);
    as_the_service_says(&w, "{\"url\":\"https://evil.example\"}", lines);
    forge(&w, "service.updated", lines);
    meddle(&w, "UPDATE service SET config = '{\"url\":\"https://evil.example\"}'");
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_DOWN);
    set_signer(&w.signer->fail, CB_OK);
    for (int i = 0; i < 500 && !cb_store_signs(w.store); i++)
        usleep(10000);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    world_end(&w);
}

typedef struct looker {
    world *w;
    pthread_t thread;
    cb_error found;
    bool armed, looks;
    int over;
} looker;

static void *look_at_terminal(void *context)
{
    looker *l = context;
    cb_terminal terminal;
    l->found = cb_terminal_get_vouched(l->w->store, &l->w->terminal.id, &terminal);
    __atomic_store_n(&l->over, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Between the commit of a change and the moment in which its words count. */
static void look_in_between(void *context, const char *step)
{
    looker *l = context;
    cb_store_state status = {.queued = 0};
    if (strcmp(step, "committed") != 0 || !l->armed)
        return;
    l->armed = false;
    l->looks = pthread_create(&l->thread, NULL, look_at_terminal, l) == 0;
    for (int i = 0; i < 10000 && status.queued == 0 && !__atomic_load_n(&l->over, __ATOMIC_SEQ_CST);
         i++) {
        usleep(1000);
        cb_store_status(l->w->store, &status);
    }
}

static void who_reads_while_a_row_is_changed_finds_nothing_altered(void **state)
{
    world w;
    looker l = {.w = &w};
    (void)state;
    world_begin(&w);
    world_close(&w);
    w.options.probe = look_in_between;
    w.options.probe_context = &l;
    world_open(&w);
    const cb_id *id = &w.terminal.id;
    l.armed = true;
    assert_int_equal(cb_terminal_describe(w.store, "test", id, CB_TERMINAL_PERSONAL, true, NULL),
                     CB_OK);
    assert_true(l.looks);
    pthread_join(l.thread, NULL);
    assert_int_equal(l.found, CB_OK);
    meddle(&w, "UPDATE terminal SET rate = 5");
    look_at_terminal(&l);
    assert_int_equal(l.found, CB_E_HSM_RECORD);
    world_end(&w);
}

static void a_card_that_a_forged_leaf_activates_is_refused(void **state)
{
    world w;
    char lines[128], text[CB_ID_TEXT];
    (void)state;
    world_begin(&w);
    w.card = add_card(&w, false);
    world_close(&w);
    cb_id_text(&w.card, text);
    snprintf(lines, sizeof lines, "card %s\nstate active\n", text);
    forge(&w, "card.activated", lines);
    meddle(&w, "UPDATE card SET state = 'active'");
    for (int starts = 0; starts < 2; starts++) {
        world_open(&w);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
        world_close(&w);
    }
    /* An administrator who is asked whether it was he, and says so, does it again; once. */
    world_open(&w);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_ACTIVATE, NULL, NULL), CB_OK);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_ACTIVATE, NULL, NULL),
                     CB_E_STATE);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

/* Nothing takes a word away that then is not missed. */
static void a_forged_leaf_that_ends_an_enrolment_does_not_strip_it(void **state)
{
    world w;
    char lines[128], text[CB_ID_TEXT];
    (void)state;
    world_begin(&w);
    world_close(&w);
    cb_id_text(&w.enrolment.id, text);
    snprintf(lines, sizeof lines, "enrolment %s\nstate removed\n", text);
    forge(&w, "enrolment.removed", lines);
    meddle(&w, "UPDATE enrolment SET data = '{}'");
    for (int starts = 0; starts < 2; starts++) {
        world_open(&w);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
        world_close(&w);
    }
    world_open(&w);
    world_end(&w);
}

/* Of two enrolments without data, and one with: each is its own only. */
static void an_enrolment_without_data_is_that_of_its_holder(void **state)
{
    world w;
    cb_holder other;
    cb_enrolment plain;
    cb_id key = cb_id_new();
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &other), CB_OK);
    make_sealed(&key, &other.id, "tax", 1, 1, &sealed);
    cb_enrolment_new fresh = {.holder = other.id,
                              .service = "tax",
                              .sealed = cb_buf_bytes(&sealed),
                              .public_key = cb_bytes_str("public")};
    cb_enrolment_init(&plain);
    assert_int_equal(cb_enrolment_add(w.store, "test", &fresh, &plain), CB_OK);
    cb_holder first = w.holder;
    cb_id card = w.card;
    w.holder = other;
    w.card = add_card(&w, true);
    for (int starts = 0; starts < 2; starts++) {
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        world_close(&w);
        world_open(&w);
    }
    /* In the name of that row the other holder would be known as nobody, too. */
    meddle(&w, "DELETE FROM enrolment_key WHERE enrolment IN "
               "(SELECT id FROM enrolment WHERE data = '{}');"
               "CREATE TEMP TABLE t AS SELECT id FROM enrolment WHERE data = '{}';"
               "DELETE FROM enrolment WHERE data = '{}';"
               "UPDATE enrolment SET data = '{}', id = (SELECT id FROM t);"
               "UPDATE enrolment_key SET enrolment = (SELECT id FROM t)");
    w.holder = first;
    w.card = card;
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    cb_enrolment_free(&plain);
    cb_buf_free(&sealed);
    world_end(&w);
}

/* A leaf long under a signed head is changed together with its hash, and the row that it is about.
 */
static void a_leaf_that_was_signed_is_missed_at_the_next_start(void **state)
{
    world w;
    cb_store_state status;
    cb_holder holder;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_close(&w);
    tamper(&w,
           "UPDATE evidence_leaf SET data = (SELECT data FROM evidence_leaf WHERE position = 2), "
           "hash = (SELECT hash FROM evidence_leaf WHERE position = 2) WHERE position = 3");
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_EVIDENCE);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_E_EVIDENCE);
    assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    assert_int_equal(status.error, CB_E_EVIDENCE);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, "lost", NULL), CB_OK);
    world_end(&w);
}

/* The table of revocations is what hsmd is told: it must be the one of the log. */
static void a_feed_that_is_not_the_logs_is_not_believed(void **state)
{
    static const char *const feeds[] = {
        "UPDATE feed SET hash = randomblob(32)",
        "DELETE FROM feed",
        "INSERT INTO feed SELECT number + 1, 3, subject, time, randomblob(32), 0 FROM feed",
    };
    (void)state;
    for (size_t i = 0; i < sizeof feeds / sizeof *feeds; i++) {
        world w;
        world_begin(&w);
        cb_id lost = add_card(&w, true);
        assert_int_equal(cb_card_change(w.store, "test", &lost, CB_CARD_SUSPEND, NULL, NULL),
                         CB_OK);
        world_close(&w);
        tamper(&w, feeds[i]);
        world_open(&w);
        print_message("%s\n", feeds[i]);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_E_EVIDENCE);
        world_end(&w);
    }
}

/* A crash between COMMIT and the signature: an act that was acknowledged was signed before. */
static void an_act_that_was_acknowledged_survives_a_crash(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    cb_id lost = w.card;
    assert_int_equal(cb_card_change(w.store, "test", &lost, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    world_close(&w);
    set_signer(&w.signer->fail, CB_OK);
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_SUSPENDED);
    w.card = add_card(&w, true);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

/* ---- Nothing that is in order is reported ---- */

static unsigned seed;

static unsigned dice(unsigned faces)
{
    seed = seed * 1103515245u + 12345u;
    return seed >> 16 & 0x7FFF ? (seed >> 16 & 0x7FFF) % faces : 0;
}

static void renew(world *w)
{
    cb_id key = cb_id_new();
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    cb_enrolment now;
    cb_enrolment_init(&now);
    assert_int_equal(cb_enrolment_get(w->store, &w->enrolment.id, &now), CB_OK);
    make_sealed(&key, &w->holder.id, "tax", now.current.sequence + 1, 1, &sealed);
    assert_int_equal(cb_enrolment_renew(w->store, "test", &w->enrolment.id, cb_buf_bytes(&sealed),
                                        cb_bytes_str("public")),
                     CB_OK);
    cb_enrolment_free(&now);
    cb_buf_free(&sealed);
}

/* One act of any kind; those that leave something open or unsigned too. */
static void act(world *w)
{
    cb_holder holder;
    cb_intent_grant grant;
    cb_id session = cb_id_new(), other;
    cb_intent_request request = intent_of(w);
    static const char *const one[] = {"tax"};
    cb_terminal_new terminal = {.name = "more",
                                .key = cb_sha256(cb_id_bytes(&session)),
                                .services = one,
                                .service_count = 1};
    cb_service_new service = {.name = "tax",
                              .title = "Tax office",
                              .connector = "mtls",
                              .config = dice(2) ? "{}" : "{\"url\":\"https://tax.example\"}",
                              .level = 1,
                              .kind = 4};
    switch (dice(9)) {
    case 0:
        assert_int_equal(tap_once(w, NULL, NULL), CB_OK);
        break;
    case 1:
        assert_int_equal(tap_once(w, NULL, &session), CB_OK);
        break;
    case 2:
        cb_intent_grant_init(&grant);
        assert_int_equal(cb_decide_intent(w->store, &request, &grant), CB_OK);
        cb_intent_grant_free(&grant);
        break;
    case 3:
        assert_int_equal(cb_service_update(w->store, "test", &service), CB_OK);
        break;
    case 4:
        assert_int_equal(cb_terminal_revoke(w->store, "test", &w->terminal.id, NULL, NULL), CB_OK);
        assert_int_equal(cb_terminal_add(w->store, "test", &terminal, &w->terminal), CB_OK);
        break;
    case 5:
        other = add_card(w, dice(2));
        assert_int_equal(cb_card_change(w->store, "test", &other, CB_CARD_REVOKE, "lost", NULL),
                         CB_OK);
        w->card = add_card(w, true);
        break;
    case 6:
        assert_int_equal(cb_card_change(w->store, "test", &w->card, CB_CARD_SUSPEND, NULL, NULL),
                         CB_OK);
        assert_int_equal(tap_once(w, NULL, NULL), CB_E_CARD_SUSPENDED);
        assert_int_equal(cb_card_change(w->store, "test", &w->card, CB_CARD_RESUME, NULL, NULL),
                         CB_OK);
        break;
    case 7:
        renew(w);
        break;
    default:
        assert_int_equal(cb_holder_add(w->store, "test", "Taro", &holder), CB_OK);
    }
}

static void no_history_of_the_product_is_reported(void **state)
{
    (void)state;
    for (unsigned round = 1; round <= 12; round++) {
        world w;
        seed = round;
        world_begin(&w);
        for (unsigned i = 0; i < 30; i++) {
            act(&w);
            if (dice(6) == 0) {
                world_close(&w);
                world_open(&w);
            }
        }
        world_close(&w);
        cb_error error = verify_file(&w, NULL);
        if (error || findings_of(NULL))
            fail_msg("history %u: %s, %u findings", round, cb_error_code(error), findings_of(NULL));
        world_open(&w);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        world_end(&w);
    }
}

static void each_act_says_its_word(void **state)
{
    static const struct {
        const char *kind, *lines;
        char word;
        bool gone, grants;
    } acts[] = {
        {"service.added", "service tax\nlevel 1\n", 's', false, true},
        {"service.updated", "service tax\nlevel 1\n", 's', false, true},
        {"terminal.added", "terminal 00112233-4455-6677-8899-aabbccddeeff\n", 't', false, true},
        {"terminal.log_resumed", "terminal 00112233-4455-6677-8899-aabbccddeeff\n", 'r', false,
         true},
        {"terminal.log", "terminal 00112233-4455-6677-8899-aabbccddeeff\n", 'r', true, false},
        {"registry.unconfirmed", "leaf 1\nlog_of 00112233-4455-6677-8899-aabbccddeeff\n", 'r',
         false, false},
        {"terminal.revoked", "terminal 00112233-4455-6677-8899-aabbccddeeff\n", 't', true, false},
        {"card.added", "card 00112233-4455-6677-8899-aabbccddeeff\n", 'i', false, false},
        {"card.activated", "card 00112233-4455-6677-8899-aabbccddeeff\n", 'i', true, true},
        {"card.resumed", "card 00112233-4455-6677-8899-aabbccddeeff\n", 'i', true, true},
        {"enrolment.added",
         "enrolment 00112233-4455-6677-8899-aabbccddeeff\nholder x\nservice y\nstate active\n", 'f',
         false, true},
        {"enrolment.added",
         "enrolment 00112233-4455-6677-8899-aabbccddeeff\nholder x\nservice y\ndata_sha256 z\n"
         "state active\n",
         'e', false, true},
        {"enrolment.removed", "enrolment 00112233-4455-6677-8899-aabbccddeeff\n", 'e', true, false},
        {"registry.unconfirmed", "leaf 1\nenrolled 00112233-4455-6677-8899-aabbccddeeff\n", 'f',
         false, false},
        {"registry.unconfirmed", "leaf 1\nservice tax\n", 's', false, false},
        {"registry.unconfirmed", "leaf 1\ncard 00112233-4455-6677-8899-aabbccddeeff\n", 'i', false,
         false},
        {"card.suspended", "card 00112233-4455-6677-8899-aabbccddeeff\n", 0, false, false},
        {"service.added", "title tax\n", 0, false, false},
        {"terminal.added", "terminal nobody\n", 0, false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        cb_vouch vouch;
        cb_buf leaf = CB_BUF(CB_LEAF_MAX);
        cb_leaf_begin(&leaf, acts[i].kind, 1);
        cb_buf_put_str(&leaf, acts[i].lines);
        assert_int_equal(cb_vouch_read(cb_buf_bytes(&leaf), &vouch), acts[i].word != 0);
        if (acts[i].word) {
            assert_int_equal(vouch.kind, acts[i].word);
            assert_int_equal(vouch.gone, acts[i].gone);
            assert_int_equal(cb_vouch_grants(&vouch), acts[i].grants);
        }
        cb_buf_free(&leaf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_act_says_its_word),
        cmocka_unit_test(a_row_that_was_changed_lets_nobody_in),
        cmocka_unit_test(a_terminal_that_nobody_added_is_refused),
        cmocka_unit_test(a_card_that_nobody_activated_is_refused),
        cmocka_unit_test(a_terminal_with_services_of_its_own_works_in_any_order),
        cmocka_unit_test(an_intent_that_was_given_to_another_card_is_withdrawn),
        cmocka_unit_test(an_act_in_a_leaf_that_nobody_signed_does_not_count),
        cmocka_unit_test(what_was_taken_back_without_a_signature_is_not_taken_back_again),
        cmocka_unit_test(nor_does_it_when_the_key_service_was_away),
        cmocka_unit_test(who_reads_while_a_row_is_changed_finds_nothing_altered),
        cmocka_unit_test(a_card_that_a_forged_leaf_activates_is_refused),
        cmocka_unit_test(a_forged_leaf_that_ends_an_enrolment_does_not_strip_it),
        cmocka_unit_test(an_enrolment_without_data_is_that_of_its_holder),
        cmocka_unit_test(a_leaf_that_was_signed_is_missed_at_the_next_start),
        cmocka_unit_test(a_feed_that_is_not_the_logs_is_not_believed),
        cmocka_unit_test(an_act_that_was_acknowledged_survives_a_crash),
        cmocka_unit_test(no_history_of_the_product_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

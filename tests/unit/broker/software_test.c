/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The list of software that terminals may run: who is let in, what is written down, and what it
 * helps to write into the database.
 */
#include <string.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "broker/core/software.h"
#include "broker/core/terminal_log.h"
#include "cardlink/x509/request.h"
#include "tests/unit/broker/support.h"

typedef struct stage {
    world w;
    cb_terminal terminal;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_journal_head head;
} stage;

static void begin(stage *s, uint8_t policy)
{
    *s = (stage){.head = {0}};
    world_begin(&s->w);
    world_close(&s->w);
    s->w.options.software = policy;
    world_open(&s->w);
    cb_buf key = CB_BUF(256);
    assert_int_equal(cb_p256_generate(s->scalar, s->point), CB_OK);
    cb_x509_put_key(&key, s->point);
    cb_terminal_new fresh = {.name = "kiosk", .key = cb_sha256(cb_buf_bytes(&key))};
    assert_int_equal(cb_terminal_add(s->w.store, "test", &fresh, &s->terminal), CB_OK);
    cb_buf_free(&key);
}

/* The record is sound, and says that the table is not. */
static void end_altered(stage *s)
{
    world_close(&s->w);
    assert_int_equal(verify_file(&s->w, NULL), CB_E_EVIDENCE);
    assert_true(findings_of("table.content") > 0);
    assert_int_equal(findings_of(NULL),
                     findings_of("table.content") + findings_of("table.missing"));
    world_end(&s->w);
}

static void end(stage *s)
{
    world_close(&s->w);
    assert_int_equal(verify_file(&s->w, NULL), CB_OK);
    world_end(&s->w);
}

static void again(stage *s)
{
    world_close(&s->w);
    world_open(&s->w);
}

static cb_software program(uint8_t number)
{
    cb_software what = {.version = "1.0"};
    memset(what.program.bytes, number, sizeof what.program.bytes);
    memset(what.config.bytes, 0xC0, sizeof what.config.bytes);
    return what;
}

/* Brings a batch of entries "started" with these texts. */
static cb_error bring(stage *s, const char *const *texts, size_t count)
{
    cb_journal_head now;
    uint8_t signature[CB_P256_SIGNATURE];
    cb_buf entries = CB_BUF(CB_JOURNAL_BATCH_MAX);
    cb_journal_batch batch = {.before = s->head, .key = CB_BYTES_OF(s->point)};
    for (size_t i = 0; i < count; i++) {
        cb_journal_entry entry = {.time = 7, .event = CB_JOURNAL_STARTED};
        strcpy(entry.text, texts[i]);
        assert_int_equal(cb_journal_put(&entry, &entries), CB_OK);
    }
    batch.entries = cb_buf_bytes(&entries);
    assert_int_equal(cb_journal_follow(batch.entries, &s->head), CB_OK);
    cb_digest digest = cb_journal_digest(&s->head);
    assert_int_equal(cb_p256_sign(s->scalar, &digest, signature), CB_OK);
    batch.signature = CB_BYTES_OF(signature);
    cb_error error =
        cb_terminal_log_take(s->w.store, &s->terminal.id, &s->terminal.key, &batch, &now);
    cb_buf_free(&entries);
    return error;
}

static void say_texts(stage *s, const char *const *texts, size_t count)
{
    assert_int_equal(bring(s, texts, count), CB_OK);
}

static void say(stage *s, cb_software what)
{
    char text[CB_JOURNAL_TEXT_MAX + 1];
    cb_software_write(&what, text);
    say_texts(s, (const char *const[]){text}, 1);
}

static cb_id list(stage *s, cb_software what, bool with_config)
{
    cb_software_entry entry;
    cb_software_new fresh = {.version = what.version,
                             .program = &what.program,
                             .config = with_config ? &what.config : NULL,
                             .note = "gates"};
    assert_int_equal(cb_software_add(s->w.store, "admin", &fresh, &entry), CB_OK);
    return entry.id;
}

static cb_error admit(stage *s) { return cb_software_admit(s->w.store, &s->terminal.id); }

static uint8_t standing(stage *s)
{
    uint8_t now = 0;
    cb_terminal_software said;
    assert_int_equal(cb_software_of(s->w.store, &s->terminal.id, &said, &now), CB_OK);
    return now;
}

typedef struct counting {
    const char *kind;
    unsigned found;
} counting;

static cb_error look_at(void *context, const cb_log_leaf *leaf)
{
    counting *c = context;
    char kind[64];
    bool is_it = cb_leaf_find_text(leaf->data, "kind", kind, sizeof kind) == CB_OK &&
                 strcmp(kind, c->kind) == 0;
    c->found += is_it;
    return CB_OK;
}

static unsigned leaves(stage *s, const char *kind)
{
    counting c = {kind, 0};
    assert_int_equal(cb_log_leaves(s->w.store, 0, 1000, look_at, &c), CB_OK);
    return c.found;
}

static cb_intent_request tap_of(stage *s)
{
    cb_intent_request request = intent_of(&s->w);
    request.context.terminal = s->terminal.id;
    return request;
}

static void switched_off_it_asks_for_nothing(void **state)
{
    stage s;
    (void)state;
    begin(&s, CB_SOFTWARE_OFF);
    assert_int_equal(admit(&s), CB_OK);
    say(&s, program(1));
    assert_int_equal(admit(&s), CB_OK);
    assert_int_equal(standing(&s), CB_SOFTWARE_UNLISTED);
    assert_int_equal(leaves(&s, "terminal.software_found"), 0);
    assert_int_equal(leaves(&s, "terminal.software"), 1);
    end(&s);
}

static void a_terminal_is_let_in_by_the_list_as_it_is_now(void **state)
{
    stage s;
    (void)state;
    begin(&s, CB_SOFTWARE_ENFORCE);
    assert_int_equal(standing(&s), CB_SOFTWARE_UNSAID);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    cb_id id = list(&s, program(1), false);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    say(&s, program(1));
    assert_int_equal(admit(&s), CB_OK);
    say(&s, program(2));
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    list(&s, program(2), false);
    assert_int_equal(admit(&s), CB_OK);
    say(&s, program(1));
    assert_int_equal(admit(&s), CB_OK);
    assert_int_equal(cb_software_remove(s.w.store, "admin", &id, NULL), CB_OK);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    assert_int_equal(cb_software_remove(s.w.store, "admin", &id, NULL), CB_E_NOT_FOUND);
    list(&s, program(1), false);
    assert_int_equal(admit(&s), CB_OK);
    again(&s);
    assert_int_equal(admit(&s), CB_OK);
    end(&s);
}

static void version_and_configuration_have_to_be_those_of_the_list(void **state)
{
    stage s;
    (void)state;
    begin(&s, CB_SOFTWARE_ENFORCE);
    cb_software mine = program(1);
    list(&s, mine, true);
    say(&s, mine);
    assert_int_equal(admit(&s), CB_OK);
    mine.config.bytes[0] ^= 1;
    say(&s, mine);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    mine.config.bytes[0] ^= 1;
    strcpy(mine.version, "1.1");
    say(&s, mine);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    end(&s);
}

static void an_entry_counts_in_its_time(void **state)
{
    stage s;
    int64_t now = cb_clock_wall_us();
    cb_software one = program(1), two = program(2), three = program(3);
    cb_software_new fresh = {
        .version = "1.0", .program = &one.program, .since = now + CB_SECOND * 60};
    (void)state;
    begin(&s, CB_SOFTWARE_ENFORCE);
    assert_int_equal(cb_software_add(s.w.store, "admin", &fresh, NULL), CB_OK);
    fresh = (cb_software_new){.version = "1.0", .program = &two.program, .until = now};
    assert_int_equal(cb_software_add(s.w.store, "admin", &fresh, NULL), CB_OK);
    fresh = (cb_software_new){
        .version = "1.0", .program = &three.program, .since = now, .until = now + CB_SECOND * 600};
    assert_int_equal(cb_software_add(s.w.store, "admin", &fresh, NULL), CB_OK);
    assert_int_equal(cb_software_add(s.w.store, "admin", &fresh, NULL), CB_E_EXISTS);
    say(&s, one);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    say(&s, two);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    say(&s, three);
    assert_int_equal(admit(&s), CB_OK);
    end(&s);
}

static void what_cannot_be_an_entry_is_refused(void **state)
{
    stage s;
    cb_software one = program(1);
    cb_digest none = {{0}};
    char longer[CB_NAME_MAX + 2];
    memset(longer, 'n', sizeof longer);
    longer[sizeof longer - 1] = 0;
    const cb_software_new wrong[] = {
        {.program = &one.program},
        {.version = "a b", .program = &one.program},
        {.version = "1", .program = NULL},
        {.version = "1", .program = &none}, /* what a terminal says that cannot read its program */
        {.version = "1", .program = &one.program, .note = longer},
        {.version = "1", .program = &one.program, .since = 5, .until = 5},
        {.version = "1", .program = &one.program, .since = -1},
    };
    (void)state;
    begin(&s, CB_SOFTWARE_OFF);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(cb_software_add(s.w.store, "admin", &wrong[i], NULL), CB_E_ARGUMENT);
    end(&s);
}

static void a_finding_is_written_down_once(void **state)
{
    stage s;
    (void)state;
    begin(&s, CB_SOFTWARE_REPORT);
    for (int i = 0; i < 3; i++)
        assert_int_equal(admit(&s), CB_OK);
    assert_int_equal(leaves(&s, "terminal.software_found"), 1); /* unsaid */
    say(&s, program(1));
    say(&s, program(1));
    assert_int_equal(admit(&s), CB_OK);
    assert_int_equal(leaves(&s, "terminal.software_found"), 2); /* unlisted */
    assert_int_equal(leaves(&s, "terminal.software"), 1);
    list(&s, program(1), false);
    assert_int_equal(admit(&s), CB_OK);
    assert_int_equal(admit(&s), CB_OK);
    assert_int_equal(leaves(&s, "terminal.software_found"), 3); /* listed again */
    end(&s);
}

static void the_last_word_counts_and_nonsense_is_on_no_list(void **state)
{
    stage s;
    char one[CB_JOURNAL_TEXT_MAX + 1], two[CB_JOURNAL_TEXT_MAX + 1];
    cb_software first = program(1), second = program(2);
    (void)state;
    begin(&s, CB_SOFTWARE_ENFORCE);
    cb_software_write(&first, one);
    cb_software_write(&second, two);
    list(&s, second, false);
    say_texts(&s, (const char *const[]){one, two}, 2);
    assert_int_equal(admit(&s), CB_OK);
    say_texts(&s, (const char *const[]){two, one}, 2);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    say_texts(&s, (const char *const[]){two}, 1);
    assert_int_equal(admit(&s), CB_OK);
    say_texts(&s, (const char *const[]){"version=1.0"}, 1);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    assert_int_equal(standing(&s), CB_SOFTWARE_UNLISTED);
    end(&s);
}

static void what_is_taken_off_the_list_during_a_tap_ends_it(void **state)
{
    stage s;
    cb_intent_grant grant;
    (void)state;
    begin(&s, CB_SOFTWARE_ENFORCE);
    cb_intent_request tap = tap_of(&s);
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(s.w.store, &tap, &grant), CB_E_TERMINAL_SOFTWARE);
    cb_id id = list(&s, program(1), false);
    say(&s, program(1));
    assert_int_equal(cb_decide_intent(s.w.store, &tap, &grant), CB_OK);
    assert_int_equal(cb_software_remove(s.w.store, "admin", &id, "recalled"), CB_OK);
    cb_result_request result = {.tap = tap.context.tap};
    assert_int_equal(cb_decide_result(s.w.store, &result), CB_E_TAP_WITHDRAWN);
    cb_intent_grant_free(&grant);
    end(&s);
}

static void writing_the_database_lets_nobody_in(void **state)
{
    stage s;
    (void)state;
    begin(&s, CB_SOFTWARE_ENFORCE);
    list(&s, program(1), false);
    say(&s, program(2));
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    world_close(&s.w);
    tamper(&s.w, "UPDATE terminal_software SET program = (SELECT program FROM software)");
    world_open(&s.w);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    assert_int_equal(standing(&s), CB_SOFTWARE_ALTERED);
    say(&s, program(2));
    assert_int_equal(standing(&s), CB_SOFTWARE_UNLISTED);
    world_close(&s.w);
    tamper(&s.w, "UPDATE software SET program = (SELECT program FROM terminal_software)");
    world_open(&s.w);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    world_close(&s.w);
    tamper(&s.w, "INSERT INTO software SELECT randomblob(16), version, program, config, '', 0, 0, "
                 "1 FROM terminal_software");
    world_open(&s.w);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    world_close(&s.w);
    tamper(&s.w, "DELETE FROM terminal_software");
    world_open(&s.w);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    assert_int_equal(standing(&s), CB_SOFTWARE_UNSAID);
    end_altered(&s);
}

/* A crash in between takes back what was said; the terminal was not told that it is kept, and says
 * it again. */
static void what_no_signed_head_covered_is_said_again(void **state)
{
    stage s;
    cb_software good = program(1);
    char text[CB_JOURNAL_TEXT_MAX + 1];
    (void)state;
    begin(&s, CB_SOFTWARE_ENFORCE);
    list(&s, good, true);
    cb_software_write(&good, text);
    cb_journal_head before = s.head;
    set_signer(&s.w.signer->fail, CB_E_HSM_DOWN);
    assert_int_equal(bring(&s, (const char *const[]){text}, 1), CB_E_UNSIGNED);
    world_close(&s.w);
    set_signer(&s.w.signer->fail, CB_OK);
    world_open(&s.w);
    assert_int_equal(admit(&s), CB_E_TERMINAL_SOFTWARE);
    for (int times = 0; times < 2; times++) {
        s.head = before;
        assert_int_equal(bring(&s, (const char *const[]){text}, 1), CB_OK);
        assert_int_equal(admit(&s), CB_OK);
        assert_int_equal(leaves(&s, "terminal.software"), 2);
        assert_int_equal(leaves(&s, "terminal.log"), 1);
    }
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switched_off_it_asks_for_nothing),
        cmocka_unit_test(a_terminal_is_let_in_by_the_list_as_it_is_now),
        cmocka_unit_test(version_and_configuration_have_to_be_those_of_the_list),
        cmocka_unit_test(an_entry_counts_in_its_time),
        cmocka_unit_test(what_cannot_be_an_entry_is_refused),
        cmocka_unit_test(a_finding_is_written_down_once),
        cmocka_unit_test(the_last_word_counts_and_nonsense_is_on_no_list),
        cmocka_unit_test(what_is_taken_off_the_list_during_a_tap_ends_it),
        cmocka_unit_test(writing_the_database_lets_nobody_in),
        cmocka_unit_test(what_no_signed_head_covered_is_said_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

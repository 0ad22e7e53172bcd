/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card with several applications: which of them gets a command, what one of them knows of the
 * others' sessions, long commands and answers, and the card's file.
 */
#include "hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/config.h"
#include "cardlink/apdu.h"
#include "cardlink/card/native/application.h"
#include "cardlink/card/transport.h"

/* An application that says what it was asked, so often as P2 says, and remembers one byte. */
typedef struct echo {
    cb_vcard *card;
    uint8_t kept;
    bool selected;
    int malformed;
} echo;

static const uint8_t echo_aid[] = {0xA0, 0x00, 0x00, 0x03, 0x08, 0x01, 0x02};

static cb_error echo_load(cb_vcard *card, cb_bytes state, void **out)
{
    echo *self = state.len == 1 ? calloc(1, sizeof *self) : NULL;
    if (!self)
        return CB_E_FORMAT;
    *self = (echo){.card = card, .kept = state.data[0]};
    *out = self;
    return CB_OK;
}

static void echo_save(const void *self, cb_buf *out)
{
    cb_buf_put_u8(out, ((const echo *)self)->kept);
}

static void echo_reset(void *self) { ((echo *)self)->selected = false; }

static uint16_t echo_malformed(void *self, uint8_t cla)
{
    (void)cla;
    ((echo *)self)->malformed++;
    return CB_SW_LENGTH;
}

static void echo_process(void *self, const cb_apdu *apdu, cb_buf *answer)
{
    echo *e = self;
    uint16_t status = CB_SW_OK;
    if (apdu->ins == CB_INS_SELECT)
        e->selected = true;
    else if (!e->selected)
        status = CB_SW_CONDITIONS;
    for (int i = 0; apdu->ins == 0x01 && i < apdu->p2; i++)
        cb_buf_put(answer, apdu->data);
    if (apdu->ins == 0x02) {
        e->kept = apdu->p2;
        status = cb_vcard_save(e->card) ? CB_SW_OK : CB_SW_MEMORY;
    }
    cb_applet_answer(answer, status);
}

static const cb_applet echo_applet = {
    .name = "echo",
    .aid = {echo_aid, sizeof echo_aid},
    .aid_min = 5,
    .command_max = 600,
    .load = echo_load,
    .save = echo_save,
    .reset = echo_reset,
    .process = echo_process,
    .malformed = echo_malformed,
    .free = free,
};

typedef struct table {
    world w;
    cb_vcard *card; /* native, then echo */
    cb_card_content content;
    cb_buf native;
} table;

static cb_error save_unless(void *context, const cb_vcard *card)
{
    (void)card;
    return *(const bool *)context ? CB_E_IO : CB_OK;
}

static bool fails;

static int setup(void **state)
{
    const cb_vcard_store store = {&fails, save_unless};
    table *t = calloc(1, sizeof *t);
    world_make(&t->w, false);
    cb_buf_init(&t->native, CB_CARD_STATE_MAX);
    cb_vcard_state_put(&t->native, &t->w.first);
    fails = false;
    cb_card_content_set_atr(&t->content, CB_BYTES_OF("\x3B\xE0\x00\xFF\x81\x31\xFE\x45"));
    if (cb_card_content_add(&t->content, &cb_applet_native, cb_buf_bytes(&t->native)) ||
        cb_card_content_add(&t->content, &echo_applet, cb_bytes_str("\x07")) ||
        cb_vcard_of(&t->content, &store, &t->card))
        return -1;
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    table *t = *state;
    cb_vcard_close(&t->card);
    cb_buf_free(&t->native);
    world_free(&t->w);
    free(t);
    return 0;
}

/* One command; the answer's data, if out is given, and the status word. */
static uint16_t say(cb_vcard *card, cb_bytes command, cb_buf *out)
{
    cb_buf answer = CB_BUF(258);
    cb_vcard_process(card, command, &answer);
    assert_int_equal(cb_buf_error(&answer), CB_OK);
    assert_true(answer.len >= 2);
    uint16_t status = (uint16_t)(answer.data[answer.len - 2] << 8 | answer.data[answer.len - 1]);
    if (out)
        cb_buf_put(out, cb_bytes_make(answer.data, answer.len - 2));
    cb_buf_free(&answer);
    return status;
}

#define SAY(card, text) say(card, cb_bytes_make(text, sizeof(text) - 1), NULL)

#define SELECT_ECHO "\x00\xA4\x04\x00\x05\xA0\x00\x00\x03\x08"

static void a_select_finds_its_application_by_its_name_or_enough_of_it(void **state)
{
    table *t = *state;
    echo *e = cb_vcard_applet(t->card, &echo_applet);
    assert_int_equal(SAY(t->card, "\x00\xA4\x04\x00\x04\xA0\x00\x00\x03"), CB_SW_FILE_NOT_FOUND);
    assert_int_equal(SAY(t->card, "\x00\xA4\x04\x00\x05\xA0\x00\x00\x03\x09"),
                     CB_SW_FILE_NOT_FOUND);
    assert_int_equal(SAY(t->card, "\x00\xA4\x04\x00\x08\xA0\x00\x00\x03\x08\x01\x02\x03"),
                     CB_SW_FILE_NOT_FOUND);
    assert_false(e->selected);
    assert_int_equal(SAY(t->card, SELECT_ECHO), CB_SW_OK);
    assert_true(e->selected);
    assert_int_equal(hand_select(t->card), CB_SW_OK);
    assert_false(e->selected);
    assert_int_equal(SAY(t->card, "\x00\xA4\x04\x00\x07\xA0\x00\x00\x03\x08\x01\x02"), CB_SW_OK);
    assert_true(e->selected);
}

static void the_first_application_is_there_after_a_reset(void **state)
{
    table *t = *state;
    echo *e = cb_vcard_applet(t->card, &echo_applet);
    assert_int_equal(SAY(t->card, "\x00\x01\x00\x00"), CB_SW_INS); /* native */
    assert_int_equal(SAY(t->card, SELECT_ECHO), CB_SW_OK);
    assert_int_equal(SAY(t->card, "\x00\x01\x00\x00"), CB_SW_OK);
    cb_vcard_reset(t->card);
    assert_false(e->selected);
    assert_int_equal(SAY(t->card, "\x00\x01\x00\x00"), CB_SW_INS);
}

static void a_session_ends_when_another_application_is_selected(void **state)
{
    table *t = *state;
    cb_vcard_close(&t->w.card);
    t->w.card = t->card;
    hand h;
    hand_open(&h, &t->w);
    assert_int_equal(cb_native_of(t->card)->session.step, CB_VCARD_CHANNEL);
    assert_int_equal(SAY(t->card, SELECT_ECHO), CB_SW_OK);
    assert_int_equal(cb_native_of(t->card)->session.step, CB_VCARD_IDLE);
    cb_card_claim claim;
    assert_int_equal(world_tap(&t->w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
    t->w.card = NULL;
}

static void a_select_of_what_is_not_there_goes_to_the_selected(void **state)
{
    table *t = *state;
    assert_int_equal(SAY(t->card, SELECT_ECHO), CB_SW_OK);
    assert_int_equal(SAY(t->card, "\x00\xA4\x04\x00\x02\x01\x02"), CB_SW_OK); /* echo takes it */
    assert_int_equal(hand_select(t->card), CB_SW_OK);
    assert_int_equal(SAY(t->card, "\x00\xA4\x04\x00\x02\x01\x02"), CB_SW_FILE_NOT_FOUND);
    assert_int_equal(cb_native_of(t->card)->session.step, CB_VCARD_IDLE);
}

/* Appends a part of a chain: INS 01, P2 times, len bytes of value. */
static uint16_t send_part(cb_vcard *card, uint8_t cla, uint8_t times, uint8_t value, uint8_t len,
                          cb_buf *out)
{
    cb_buf command = CB_BUF(300);
    uint8_t data[255];
    memset(data, value, sizeof data);
    cb_apdu_put(&command, &(cb_apdu){cla, 0x01, 0x00, times, cb_bytes_make(data, len), false});
    uint16_t status = say(card, cb_buf_bytes(&command), out);
    cb_buf_free(&command);
    return status;
}

static void a_chain_is_one_command(void **state)
{
    table *t = *state;
    cb_buf answer = CB_BUF(1024);
    SAY(t->card, SELECT_ECHO);
    assert_int_equal(send_part(t->card, 0x10, 1, 'a', 100, &answer), CB_SW_OK);
    assert_int_equal(send_part(t->card, 0x10, 1, 'b', 100, &answer), CB_SW_OK);
    assert_int_equal(answer.len, 0);
    assert_int_equal(send_part(t->card, 0x00, 1, 'c', 50, &answer), CB_SW_OK);
    assert_int_equal(answer.len, 250);
    assert_true(answer.data[0] == 'a' && answer.data[100] == 'b' && answer.data[200] == 'c');
    cb_buf_free(&answer);
}

static void a_chain_that_is_broken_off_was_not_there(void **state)
{
    table *t = *state;
    SAY(t->card, SELECT_ECHO);
    for (int how = 0; how < 7; how++) {
        cb_buf answer = CB_BUF(1024);
        assert_int_equal(send_part(t->card, 0x10, 2, 'a', 100, NULL), CB_SW_OK);
        if (how == 0) { /* another P2 */
            assert_int_equal(send_part(t->card, 0x00, 1, 'c', 10, NULL), CB_SW_OK);
        } else if (how == 1) { /* another class */
            assert_int_equal(send_part(t->card, 0x80, 2, 'c', 10, NULL), CB_SW_OK);
        } else if (how == 2) { /* no command at all */
            assert_int_equal(SAY(t->card, "\x00\x01"), CB_SW_LENGTH);
        } else if (how == 3) {
            cb_vcard_reset(t->card);
            assert_int_equal(SAY(t->card, SELECT_ECHO), CB_SW_OK);
        } else if (how == 4) {
            assert_int_equal(hand_select(t->card), CB_SW_OK);
            assert_int_equal(SAY(t->card, SELECT_ECHO), CB_SW_OK);
        } else if (how == 5) { /* another P1 */
            assert_int_equal(say(t->card, cb_bytes_make("\x00\x01\x01\x02\x01\x63", 6), &answer),
                             CB_SW_OK);
            assert_int_equal(answer.len, 2);
            cb_buf_reset(&answer);
        } else { /* another instruction */
            assert_int_equal(SAY(t->card, "\x10\x03\x00\x02\x01\x63"), CB_SW_OK);
        }
        assert_int_equal(send_part(t->card, 0x00, 2, 'b', 10, &answer), CB_SW_OK);
        assert_int_equal(answer.len, 20);
        assert_true(answer.data[0] == 'b');
        cb_buf_free(&answer);
    }
    echo *e = cb_vcard_applet(t->card, &echo_applet);
    assert_int_equal(e->malformed, 1);
}

static void a_chain_of_too_much_is_refused_and_forgotten(void **state)
{
    table *t = *state;
    cb_buf answer = CB_BUF(1024);
    SAY(t->card, SELECT_ECHO);
    assert_int_equal(send_part(t->card, 0x10, 1, 'a', 255, NULL), CB_SW_OK);
    assert_int_equal(send_part(t->card, 0x10, 1, 'a', 255, NULL), CB_SW_OK);
    assert_int_equal(send_part(t->card, 0x10, 1, 'a', 91, NULL), CB_SW_LENGTH);
    assert_int_equal(send_part(t->card, 0x00, 1, 'a', 1, &answer), CB_SW_OK);
    assert_int_equal(answer.len, 1);
    cb_buf_free(&answer);
}

static void a_long_answer_leaves_in_parts(void **state)
{
    table *t = *state;
    cb_buf answer = CB_BUF(1024);
    SAY(t->card, SELECT_ECHO);
    assert_int_equal(send_part(t->card, 0x00, 3, 'a', 200, &answer), 0x6100);
    assert_int_equal(answer.len, 256);
    assert_int_equal(SAY(t->card, "\x00\x01\x00\x00"), CB_SW_OK);
    cb_vcard_reset(t->card); /* either forgets what is left; so nothing of it comes now: */
    assert_int_equal(SAY(t->card, SELECT_ECHO), CB_SW_OK);
    cb_buf_reset(&answer);
    assert_int_equal(say(t->card, cb_bytes_make("\x00\xC0\x00\x00\x00", 5), &answer), CB_SW_OK);
    assert_int_equal(answer.len, 0);

    cb_buf_reset(&answer);
    assert_int_equal(send_part(t->card, 0x00, 3, 'a', 200, &answer), 0x6100);
    assert_int_equal(say(t->card, cb_bytes_make("\x00\xC0\x00\x00\x08", 5), &answer), 0x6100);
    assert_int_equal(say(t->card, cb_bytes_make("\x00\xC0\x00\x00\x50", 5), &answer), 0x6100);
    assert_int_equal(say(t->card, cb_bytes_make("\x00\xC0\x00\x00\x01", 5), &answer), 0x61FF);
    assert_int_equal(say(t->card, cb_bytes_make("\x00\xC0\x00\x00\xFF", 5), &answer), CB_SW_OK);
    assert_int_equal(answer.len, 600);
    cb_buf_free(&answer);
}

static void an_answer_is_as_short_as_le_says(void **state)
{
    table *t = *state;
    cb_buf answer = CB_BUF(1024);
    SAY(t->card, SELECT_ECHO);
    assert_int_equal(say(t->card, cb_bytes_make("\x00\x01\x00\x02\x04wxyz\x03", 10), &answer),
                     0x6105);
    assert_memory_equal(answer.data, "wxy", 3);
    assert_int_equal(say(t->card, cb_bytes_make("\x00\xC0\x00\x00\x00", 5), &answer), CB_SW_OK);
    assert_int_equal(answer.len, 8);
    assert_memory_equal(answer.data, "wxyzwxyz", 8);
    cb_buf_free(&answer);
}

static void memory_that_fails_silences_all_applications(void **state)
{
    table *t = *state;
    SAY(t->card, SELECT_ECHO);
    assert_int_equal(SAY(t->card, "\x00\x02\x00\x05"), CB_SW_OK);
    fails = true;
    assert_int_equal(SAY(t->card, "\x00\x02\x00\x06"), CB_SW_MEMORY);
    fails = false;
    assert_int_equal(hand_select(t->card), CB_SW_MEMORY);
    assert_int_equal(SAY(t->card, "\x00"), CB_SW_MEMORY);
    cb_vcard_reset(t->card);
    assert_int_equal(hand_select(t->card), CB_SW_OK);
}

static void a_file_keeps_what_a_card_is(void **state)
{
    table *t = *state;
    cb_buf file = CB_BUF(CB_CARD_FILE_MAX), again = CB_BUF(CB_CARD_FILE_MAX);
    cb_card_content content = t->content, read;
    content.count = 1; /* what has a name in cb_applets */
    cb_card_content_put(&file, &content);
    assert_int_equal(cb_card_content_parse(cb_buf_bytes(&file), &read), CB_OK);
    assert_int_equal(read.count, 1);
    assert_memory_equal(read.atr, content.atr, content.atr_len);
    cb_vcard *card;
    assert_int_equal(cb_vcard_of(&read, NULL, &card), CB_OK);
    assert_int_equal(cb_vcard_atr_of(card).len, content.atr_len);
    cb_vcard_put(card, &again);
    assert_int_equal(again.len, file.len);
    assert_memory_equal(again.data, file.data, file.len);
    cb_id id;
    assert_true(cb_vcard_identity(card, &id));
    assert_memory_equal(&id, &t->w.first.card, sizeof id);
    cb_vcard_close(&card);
    for (size_t i = 0; i < file.len; i++) {
        file.data[i] ^= 0x10;
        assert_int_equal(cb_card_content_parse(cb_buf_bytes(&file), &read), CB_E_FORMAT);
        file.data[i] ^= 0x10;
        assert_int_equal(cb_card_content_parse(cb_bytes_make(file.data, i), &read), CB_E_FORMAT);
    }
    cb_buf_free(&file);
    cb_buf_free(&again);
}

static void a_card_with_the_native_application_alone_keeps_its_first_format(void **state)
{
    table *t = *state;
    cb_buf file = CB_BUF(CB_CARD_FILE_MAX);
    cb_card_content read;
    cb_vcard_put(t->w.card, &file);
    assert_int_equal(file.len, t->native.len);
    assert_memory_equal(file.data, t->native.data, file.len);
    assert_int_equal(cb_card_content_parse(cb_buf_bytes(&file), &read), CB_OK);
    assert_int_equal(read.count, 1);
    assert_int_equal(read.atr_len, sizeof cb_vcard_atr);
    assert_memory_equal(read.atr, cb_vcard_atr, sizeof cb_vcard_atr);
    cb_buf_free(&file);
}

static void a_card_has_each_application_once_and_at_least_one(void **state)
{
    table *t = *state;
    cb_card_content content = t->content;
    cb_vcard *card;
    assert_int_equal(cb_card_content_add(&content, &echo_applet, cb_bytes_str("x")), CB_E_EXISTS);
    assert_int_equal(cb_card_content_set_atr(&content, CB_BYTES_OF("")), CB_E_ARGUMENT);
    content.part[1].state = (cb_bytes){0}; /* not what echo wrote */
    assert_int_equal(cb_vcard_of(&content, NULL, &card), CB_E_FORMAT);
    assert_null(card);
    content.count = 0;
    assert_int_equal(cb_vcard_of(&content, NULL, &card), CB_E_FORMAT);
    assert_null(card);
}

static void a_card_that_could_not_write_wakes_up_with_what_its_file_has(void **state)
{
    table *t = *state;
    char folder[] = "/tmp/cardlink-applets-XXXXXX", path[64], lock[80], beside[80];
    cb_card_content content = t->content;
    cb_buf file = CB_BUF(CB_CARD_FILE_MAX);
    cb_vcard *card;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/card", folder);
    snprintf(lock, sizeof lock, "%s.lock", path);
    snprintf(beside, sizeof beside, "%s.new", path);
    content.count = 1;
    cb_card_content_put(&file, &content);
    assert_int_equal(cb_file_replace(path, cb_buf_bytes(&file), 0600), CB_OK);
    assert_int_equal(cb_vcard_open(path, &card), CB_OK);
    cb_native_of(card)->state.counter = 9;    /* as if a command had begun */
    assert_int_equal(mkdir(beside, 0700), 0); /* in the way of the write */
    assert_false(cb_vcard_save(card));
    cb_vcard_reset(card);
    assert_int_equal(cb_vcard_state_of(card)->counter, 0);
    assert_int_equal(hand_select(card), CB_SW_OK);
    assert_false(cb_vcard_save(card));
    assert_int_equal(unlink(path), 0);
    cb_vcard_reset(card);
    assert_int_equal(hand_select(card), CB_SW_MEMORY); /* nobody knows what it was */
    cb_vcard_close(&card);
    cb_buf_free(&file);
    rmdir(beside);
    unlink(lock);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_select_finds_its_application_by_its_name_or_enough_of_it),
        TEST(the_first_application_is_there_after_a_reset),
        TEST(a_session_ends_when_another_application_is_selected),
        TEST(a_select_of_what_is_not_there_goes_to_the_selected),
        TEST(a_chain_is_one_command),
        TEST(a_chain_that_is_broken_off_was_not_there),
        TEST(a_chain_of_too_much_is_refused_and_forgotten),
        TEST(a_long_answer_leaves_in_parts),
        TEST(an_answer_is_as_short_as_le_says),
        TEST(memory_that_fails_silences_all_applications),
        TEST(a_file_keeps_what_a_card_is),
        TEST(a_card_with_the_native_application_alone_keeps_its_first_format),
        TEST(a_card_has_each_application_once_and_at_least_one),
        TEST(a_card_that_could_not_write_wakes_up_with_what_its_file_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

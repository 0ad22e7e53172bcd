/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Scripts are played exactly as cardlink/script.h says, whatever the card does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/text.h"
#include "cardlink/terminal/application.h"
#include "cardlink/terminal/play.h"

/* A card that expects commands in order and has an answer for each; NULL as an answer: it is taken
 * away. */
typedef struct step {
    const char *command;
    const char *answer;
} step;

typedef struct fake {
    const step *steps;
    size_t count, at;
} fake;

static cb_error transmit(void *card, cb_bytes command, cb_buf *answer)
{
    fake *own = card;
    char hex[2 * CB_COMMAND_MAX + 1];
    assert_true(own->at < own->count);
    const step *now = &own->steps[own->at++];
    cb_hex(command, hex);
    assert_string_equal(hex, now->command);
    return now->answer ? cb_unhex(cb_bytes_str(now->answer), answer) : CB_E_CARD_REMOVED;
}

static void put(cb_buf *script, uint8_t flags, const char *hex)
{
    cb_buf apdu = CB_BUF(4096);
    assert_int_equal(cb_unhex(cb_bytes_str(hex), &apdu), CB_OK);
    cb_script_put(script, flags, cb_buf_bytes(&apdu));
    cb_buf_free(&apdu);
}

static const char *digits = ""; /* the PIN that the terminal has */
static cb_card_io spared;       /* what was sent last, and the answer */

/* Plays; the answers as text with spaces between them. */
static cb_error play(const cb_buf *script, fake *card, char *out, size_t size)
{
    cb_script commands, got;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_card_io io = {.card = card, .transmit = transmit, .pin = cb_bytes_str(digits)};
    io.sent = spared.sent;
    io.answered = spared.answered;
    assert_int_equal(cb_script_read(cb_buf_bytes(script), 4096, &commands), CB_OK);
    cb_error error = cb_play(&io, &commands, &answers);
    assert_int_equal(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &got), CB_OK);
    out[0] = 0;
    for (size_t i = 0; i < got.count; i++) {
        size_t len = strlen(out);
        assert_true(len + 2 * got.item[i].apdu.len + 2 < size);
        if (i > 0)
            out[len++] = ' ';
        cb_hex(got.item[i].apdu, out + len);
    }
    cb_buf_free(&answers);
    return error;
}

static const char *const THREE[] = {"00a4040000", "80ca000000", "8088000000"};

static cb_error play_three(const step *steps, size_t count, uint8_t flags_of_second, char *out,
                           size_t size, size_t *sent)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    fake card = {.steps = steps, .count = count};
    for (size_t i = 0; i < 3; i++)
        put(&script, i == 1 ? flags_of_second : 0, THREE[i]);
    cb_error error = play(&script, &card, out, size);
    *sent = card.at;
    cb_buf_free(&script);
    return error;
}

static void all_commands_are_played_in_order(void **state)
{
    (void)state;
    static const step steps[] = {
        {"00a4040000", "9000"}, {"80ca000000", "01029000"}, {"8088000000", "039000"}};
    char out[64];
    size_t sent;
    assert_int_equal(play_three(steps, 3, 0, out, sizeof out, &sent), CB_OK);
    assert_string_equal(out, "9000 01029000 039000");
}

static void the_first_refusal_ends_the_script(void **state)
{
    (void)state;
    static const step steps[] = {{"00a4040000", "9000"}, {"80ca000000", "6a88"}};
    char out[64];
    size_t sent;
    assert_int_equal(play_three(steps, 2, 0, out, sizeof out, &sent), CB_OK);
    assert_string_equal(out, "9000 6a88");
    assert_int_equal(sent, 2);
}

static void a_refusal_that_is_marked_does_not_end_it(void **state)
{
    (void)state;
    static const step steps[] = {
        {"00a4040000", "9000"}, {"80ca000000", "6a88"}, {"8088000000", "63c2"}};
    char out[64];
    size_t sent;
    assert_int_equal(play_three(steps, 3, CB_SCRIPT_GO_ON, out, sizeof out, &sent), CB_OK);
    assert_string_equal(out, "9000 6a88 63c2");
}

static void warnings_are_refusals_too(void **state)
{
    (void)state;
    static const step steps[] = {{"00a4040000", "6283"}};
    char out[64];
    size_t sent;
    assert_int_equal(play_three(steps, 1, 0, out, sizeof out, &sent), CB_OK);
    assert_string_equal(out, "6283");
}

static void a_card_taken_away_at_any_command_is_reported_with_what_it_had_answered(void **state)
{
    (void)state;
    static const char *const before[] = {"", "9000", "9000 9000"};
    for (size_t gone = 0; gone < 3; gone++) {
        step steps[3];
        char out[64];
        size_t sent;
        for (size_t i = 0; i < 3; i++)
            steps[i] = (step){THREE[i], i == gone ? NULL : "9000"};
        assert_int_equal(play_three(steps, 3, CB_SCRIPT_GO_ON, out, sizeof out, &sent),
                         CB_E_CARD_REMOVED);
        assert_string_equal(out, before[gone]);
        assert_int_equal(sent, gone + 1);
    }
}

static cb_error play_one(const char *command, const step *steps, size_t count, char *out,
                         size_t size)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    fake card = {.steps = steps, .count = count};
    put(&script, 0, command);
    cb_error error = play(&script, &card, out, size);
    if (!error)
        assert_int_equal(card.at, count);
    cb_buf_free(&script);
    return error;
}

static void more_data_are_fetched_and_joined(void **state)
{
    (void)state;
    static const step steps[] = {
        {"80ca000000", "01026102"}, {"00c0000002", "03046101"}, {"00c0000001", "059000"}};
    char out[64];
    assert_int_equal(play_one("80ca000000", steps, 3, out, sizeof out), CB_OK);
    assert_string_equal(out, "01020304059000");
}

static void fetching_stays_on_the_logical_channel_and_without_secure_messaging(void **state)
{
    (void)state;
    static const struct {
        const char *command, *fetch;
    } classes[] = {{"84ca000000", "00c0000001"}, {"8fca000000", "03c0000001"},
                   {"0cca000000", "00c0000001"}, {"01ca000000", "01c0000001"},
                   {"65ca000000", "45c0000001"}, {"c2ca000000", "42c0000001"}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        const step steps[] = {{classes[i].command, "6101"}, {classes[i].fetch, "079000"}};
        char out[64];
        assert_int_equal(play_one(classes[i].command, steps, 2, out, sizeof out), CB_OK);
        assert_string_equal(out, "079000");
    }
}

static void a_refusal_at_the_end_of_a_chain_is_the_status(void **state)
{
    (void)state;
    static const step steps[] = {{"80ca000000", "01026102"}, {"00c0000002", "6f00"}};
    char out[64];
    assert_int_equal(play_one("80ca000000", steps, 2, out, sizeof out), CB_OK);
    assert_string_equal(out, "01026f00");
}

static void removal_in_the_middle_of_a_chain_gives_no_half_answer(void **state)
{
    (void)state;
    static const step steps[] = {{"80ca000000", "01026102"}, {"00c0000002", NULL}};
    char out[64];
    assert_int_equal(play_one("80ca000000", steps, 2, out, sizeof out), CB_E_CARD_REMOVED);
    assert_string_equal(out, "");
}

static void a_wrong_le_is_put_right_once(void **state)
{
    (void)state;
    static const struct {
        const char *first, *again;
    } commands[] = {{"80ca000000", "80ca000003"},             /* case 2: Le replaced */
                    {"80ca0000", "80ca000003"},               /* case 1: Le added */
                    {"80ca000002aabb00", "80ca000002aabb03"}, /* case 4 */
                    {"80ca000002aabb", "80ca000002aabb03"}};  /* case 3 */
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const step steps[] = {{commands[i].first, "6c03"}, {commands[i].again, "0102039000"}};
        char out[64];
        assert_int_equal(play_one(commands[i].first, steps, 2, out, sizeof out), CB_OK);
        assert_string_equal(out, "0102039000");
    }
}

static void a_card_that_insists_on_wrong_le_is_not_asked_for_ever(void **state)
{
    (void)state;
    static const step steps[] = {{"80ca000000", "6c03"}, {"80ca000003", "6c03"}};
    char out[64];
    assert_int_equal(play_one("80ca000000", steps, 2, out, sizeof out), CB_OK);
    assert_string_equal(out, "6c03");
}

static void wrong_le_while_fetching_is_put_right_too(void **state)
{
    (void)state;
    static const step steps[] = {
        {"80ca000000", "6105"}, {"00c0000005", "6c02"}, {"00c0000002", "01029000"}};
    char out[64];
    assert_int_equal(play_one("80ca000000", steps, 3, out, sizeof out), CB_OK);
    assert_string_equal(out, "01029000");
}

typedef struct flood {
    size_t part; /* bytes in each answer */
    unsigned calls;
} flood;

static cb_error flooding(void *card, cb_bytes command, cb_buf *answer)
{
    static const uint8_t zero[256];
    flood *own = card;
    (void)command;
    own->calls++;
    cb_buf_put(answer, cb_bytes_make(zero, own->part));
    cb_buf_put_u16(answer, 0x6100);
    return cb_buf_error(answer);
}

static void endless_answers_end(void **state)
{
    (void)state;
    static const size_t parts[] = {0, 1, 256};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        flood card = {.part = parts[i]};
        cb_card_io io = {.card = &card, .transmit = flooding};
        cb_buf script = CB_BUF(64);
        cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
        cb_script commands;
        put(&script, CB_SCRIPT_GO_ON, "80ca000000");
        assert_int_equal(cb_script_read(cb_buf_bytes(&script), CB_COMMAND_MAX, &commands), CB_OK);
        assert_int_equal(cb_play(&io, &commands, &answers), CB_E_CARD_ANSWER);
        assert_int_equal(answers.len, 0);
        assert_in_range(card.calls, 1, 64);
        cb_buf_free(&script);
        cb_buf_free(&answers);
    }
}

static void an_answer_without_status_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "90"};
    for (size_t i = 0; i < 2; i++) {
        const step steps[] = {{"80ca000000", bad[i]}};
        char out[64];
        assert_int_equal(play_one("80ca000000", steps, 1, out, sizeof out), CB_E_CARD_ANSWER);
    }
}

static void a_script_with_a_bad_command_is_not_begun(void **state)
{
    (void)state;
    static const char *const bad[] = {"00a404", "", "80ca000003aabb", "80ca000001aabbcc",
                                      "80ca0000000001aa"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cb_buf script = CB_BUF(64);
        fake card = {.count = 0};
        char out[64];
        put(&script, 0, "00a4040000");
        put(&script, 0, bad[i]);
        assert_int_equal(play(&script, &card, out, sizeof out), CB_E_FORMAT);
        assert_int_equal(card.at, 0);
        cb_buf_free(&script);
    }
}

static void an_empty_script_has_no_answers(void **state)
{
    (void)state;
    cb_buf script = CB_BUF(8);
    fake card = {.count = 0};
    char out[8];
    assert_int_equal(play(&script, &card, out, sizeof out), CB_OK);
    assert_string_equal(out, "");
}

static void t0_carries_no_le_beside_data(void **state)
{
    (void)state;
    static const struct {
        const char *command, *sent;
    } cases[] = {{"00200080", "0020008000"},
                 {"00b0000010", "00b0000010"},
                 {"002000800431323334", "002000800431323334"},
                 {"00a4040003a0000000", "00a4040003a00000"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_buf command = CB_BUF(CB_COMMAND_MAX);
        uint8_t sent[CB_COMMAND_MAX];
        char hex[2 * CB_COMMAND_MAX + 1];
        assert_int_equal(cb_unhex(cb_bytes_str(cases[i].command), &command), CB_OK);
        size_t len = cb_command_for_t0(cb_buf_bytes(&command), sent);
        cb_hex(cb_bytes_make(sent, len), hex);
        assert_string_equal(hex, cases[i].sent);
        cb_buf_free(&command);
    }
}

/* ---- The PIN, for cards that take it in the clear ---- */

static cb_error play_pin(const char *pin, uint8_t flags, const char *command, const char *sent)
{
    const step steps[] = {{command, "63c3"}, {sent, "9000"}, {"8088000000", "9000"}};
    size_t asked = flags & CB_SCRIPT_PIN_PADDED ? 1 : 0;
    fake card = {.steps = asked ? steps : steps + 1, .count = 2 + asked};
    char out[64];
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    put(&script, flags, command);
    put(&script, 0, "8088000000");
    digits = pin;
    cb_error error = play(&script, &card, out, sizeof out);
    digits = "";
    cb_buf_free(&script);
    /* All of the script or nothing of it. */
    assert_int_equal(card.at, error ? 0 : 2 + asked);
    return error;
}

static void the_pin_is_put_behind_verify_in_the_form_that_is_asked_for(void **state)
{
    (void)state;
    assert_int_equal(
        play_pin("123456", CB_SCRIPT_PIN_PADDED, "00200080", "0020008008313233343536ffff"), CB_OK);
    assert_int_equal(
        play_pin("12345678", CB_SCRIPT_PIN_PADDED, "00200080", "00200080083132333435363738"),
        CB_OK);
    assert_int_equal(play_pin("1234", CB_SCRIPT_PIN_ASCII, "00200080", "002000800431323334"),
                     CB_OK);
    assert_int_equal(play_pin("1234", CB_SCRIPT_PIN_ASCII, "00200081", "002000810431323334"),
                     CB_OK);
}

static void the_pin_is_put_into_nothing_else(void **state)
{
    static const char *const others[] = {"00db3fff", "00240080",   "80200080",       "00200180",
                                         "10200080", "0020008000", "00200080023030", "0020"};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(play_pin("123456", CB_SCRIPT_PIN_PADDED, others[i], ""), CB_E_FORMAT);
        assert_int_equal(play_pin("123456", CB_SCRIPT_PIN_ASCII, others[i], ""), CB_E_FORMAT);
    }
    assert_int_equal(play_pin("123456", CB_SCRIPT_PIN, "00200080", ""), CB_E_FORMAT);
}

static void without_a_pin_that_fits_nothing_is_sent(void **state)
{
    (void)state;
    assert_int_equal(play_pin("", CB_SCRIPT_PIN_PADDED, "00200080", ""), CB_E_PIN_REQUIRED);
    assert_int_equal(play_pin("", CB_SCRIPT_PIN_ASCII, "00200080", ""), CB_E_PIN_REQUIRED);
    assert_int_equal(play_pin("123456789", CB_SCRIPT_PIN_PADDED, "00200080", ""), CB_E_PIN_FORMAT);
    assert_int_equal(play_pin("12345678901234567", CB_SCRIPT_PIN_ASCII, "00200080", ""),
                     CB_E_PIN_FORMAT);
}

static const char *played_with_pin(const step *steps, size_t count)
{
    static char out[64];
    fake card = {.steps = steps, .count = count};
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    put(&script, CB_SCRIPT_PIN_PADDED, "00200080");
    put(&script, 0, "8088000000");
    digits = "123456";
    assert_int_equal(play(&script, &card, out, sizeof out), CB_OK);
    digits = "";
    assert_int_equal(card.at, count);
    cb_buf_free(&script);
    return out;
}

static void a_piv_card_that_compares_no_pin_now_does_not_hear_it(void **state)
{
    static const char *const words[] = {"6982", "6a81"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const step steps[] = {{"00200080", words[i]}};
        assert_string_equal(played_with_pin(steps, 1), words[i]);
    }
}

static void whatever_else_it_says_to_that_is_no_answer(void **state)
{
    static const char *const words[] = {"9000", "63c1", "63c0", "6983", "6700", "6d00", "6a86"};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const step steps[] = {{"00200080", words[i]}, {"0020008008313233343536ffff", "63c2"}};
        assert_string_equal(played_with_pin(steps, 2), "63c2");
    }
}

static void a_card_that_goes_when_it_is_asked_has_not_heard_the_pin(void **state)
{
    static const step steps[] = {{"00200080", NULL}};
    fake card = {.steps = steps, .count = 1};
    char out[64];
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    (void)state;
    put(&script, CB_SCRIPT_PIN_PADDED, "00200080");
    digits = "123456";
    assert_int_equal(play(&script, &card, out, sizeof out), CB_E_CARD_REMOVED);
    digits = "";
    cb_buf_free(&script);
}

/* ---- Parts ---- */

static void of_a_part_the_rest_is_not_fetched(void **state)
{
    static const step steps[] = {{"00cb3fff055c035fc10250", "0102036150"}, {"8088000000", "9000"}};
    static const step none_yet[] = {
        {"00cb3fff055c035fc10250", "6104"}, {"00c0000004", "010261ff"}, {"8088000000", "9000"}};
    const struct {
        const step *steps;
        size_t count;
        const char *answers;
    } cards[] = {{steps, 2, "0102039000 9000"}, {none_yet, 3, "01029000 9000"}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char out[64];
        fake card = {.steps = cards[i].steps, .count = cards[i].count};
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
        put(&script, CB_SCRIPT_PART, "00cb3fff055c035fc10250");
        put(&script, 0, "8088000000");
        assert_int_equal(play(&script, &card, out, sizeof out), CB_OK);
        assert_string_equal(out, cards[i].answers);
        cb_buf_free(&script);
    }
}

/* ---- What is for some cards only ---- */

static void put_when(cb_buf *script, const char *when, const char *hex)
{
    cb_buf apdu = CB_BUF(4096), bytes = CB_BUF(64);
    assert_int_equal(cb_unhex(cb_bytes_str(hex), &apdu), CB_OK);
    assert_int_equal(cb_unhex(cb_bytes_str(when), &bytes), CB_OK);
    cb_script_put_when(script, 0, cb_buf_bytes(&bytes), cb_buf_bytes(&apdu));
    cb_buf_free(&apdu);
    cb_buf_free(&bytes);
}

static void a_command_for_other_cards_is_passed_over_and_has_no_answer(void **state)
{
    static const step one[] = {
        {"00a4040000", "c00220019000"}, {"8001000000", "9000"}, {"8003000000", "9000"}};
    static const step two[] = {
        {"00a4040000", "c00220029000"}, {"8002000000", "9000"}, {"8003000000", "9000"}};
    /* The status is no part of the data; what a later answer says does not matter. */
    static const step none[] = {{"00a4040000", "9000"}, {"8003000000", "c00220019000"}};
    const struct {
        const step *steps;
        size_t count;
        const char *answers;
    } cards[] = {{one, 3, "c00220019000 9000 9000"},
                 {two, 3, "c00220029000 9000 9000"},
                 {none, 2, "9000 c00220019000"}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char out[64];
        fake card = {.steps = cards[i].steps, .count = cards[i].count};
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
        put(&script, 0, "00a4040000");
        put_when(&script, "c0022001", "8001000000");
        put_when(&script, "c0022002", "8002000000");
        put_when(&script, "9000", "8004000000");
        put(&script, 0, "8003000000");
        put_when(&script, "c0022003", "8005000000");
        assert_int_equal(play(&script, &card, out, sizeof out), CB_OK);
        assert_string_equal(out, cards[i].answers);
        assert_int_equal(card.at, card.count);
        cb_buf_free(&script);
    }
}

static void a_script_that_begins_so_is_not_begun(void **state)
{
    char out[64];
    fake card = {0};
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    (void)state;
    put_when(&script, "c0022001", "8001000000");
    assert_int_equal(play(&script, &card, out, sizeof out), CB_E_FORMAT);
    cb_buf_free(&script);
}

/* Selects the application of PIV cards, plays a script that begins like that, and the same again.
 */
static void look_and_play(const step *steps, size_t count, const char *first, const char *expected)
{
    char out[64];
    uint16_t status = 0;
    cb_application last;
    fake card = {.steps = steps, .count = count};
    const cb_card_io io = {.card = &card, .transmit = transmit};
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    put(&script, 0, first);
    put(&script, 0, "00cb000000");
    cb_application_init(&last);
    assert_int_equal(cb_application_select(&io, &cb_profile_piv, &last, &status), CB_OK);
    cb_application_spare(&last, &spared);
    assert_int_equal(play(&script, &card, out, sizeof out), CB_OK);
    assert_string_equal(out, expected);
    cb_application_forget(&last);
    cb_application_spare(&last, &spared);
    assert_int_equal(play(&script, &card, out, sizeof out), CB_OK);
    assert_string_equal(out, expected);
    assert_int_equal(card.at, count);
    cb_buf_free(&script);
}

static void an_application_that_is_selected_is_not_selected_again(void **state)
{
    static const char command[] = "00a4040005a00000030800";
    static const step steps[] = {
        {command, "9000"}, {"00cb000000", "019000"}, {command, "9000"}, {"00cb000000", "019000"}};
    static const step in_parts[] = {{command, "6103"},
                                    {"00c0000003", "0102039000"},
                                    {"00cb000000", "019000"},
                                    {command, "0102039000"},
                                    {"00cb000000", "019000"}};
    static const step refused[] = {{command, "6a82"}, {command, "6a82"}};
    (void)state;
    look_and_play(steps, 4, command, "9000 019000");
    look_and_play(in_parts, 5, command, "0102039000 019000");
    look_and_play(refused, 2, command, "6a82");
}

static void another_application_is_selected(void **state)
{
    static const char other[] = "00a4040005a00000030900";
    static const step steps[] = {
        {"00a4040005a00000030800", "9000"}, {other, "6a82"}, {other, "6a82"}};
    (void)state;
    look_and_play(steps, 3, other, "6a82");
}

static void what_a_script_selects_later_is_selected(void **state)
{
    static const char command[] = "00a4040005a00000030800";
    static const step steps[] = {{command, "9000"}, {"00cb000000", "019000"}, {command, "9000"}};
    char out[64];
    uint16_t status = 0;
    cb_application last;
    fake card = {.steps = steps, .count = 3};
    const cb_card_io io = {.card = &card, .transmit = transmit};
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    (void)state;
    put(&script, 0, command);
    put(&script, 0, "00cb000000");
    put(&script, 0, command);
    cb_application_init(&last);
    assert_int_equal(cb_application_select(&io, &cb_profile_piv, &last, &status), CB_OK);
    cb_application_spare(&last, &spared);
    assert_int_equal(play(&script, &card, out, sizeof out), CB_OK);
    assert_string_equal(out, "9000 019000 9000");
    assert_int_equal(card.at, 3);
    cb_application_forget(&last);
    cb_application_spare(&last, &spared);
    cb_buf_free(&script);
}

static void a_card_taken_away_when_it_is_selected_has_nothing_selected(void **state)
{
    static const step steps[] = {{"00a4040005a00000030800", "9000"},
                                 {"00a4040005a00000030800", NULL}};
    uint16_t status = 0;
    cb_application last;
    fake card = {.steps = steps, .count = 2};
    const cb_card_io io = {.card = &card, .transmit = transmit};
    (void)state;
    cb_application_init(&last);
    assert_int_equal(cb_application_select(&io, &cb_profile_piv, &last, &status), CB_OK);
    assert_int_equal(status, 0x9000);
    assert_int_equal(cb_application_select(&io, &cb_profile_piv, &last, &status),
                     CB_E_CARD_REMOVED);
    cb_application_spare(&last, &spared);
    assert_int_equal(spared.sent.len, 0);
    cb_application_forget(&last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_commands_are_played_in_order),
        cmocka_unit_test(the_first_refusal_ends_the_script),
        cmocka_unit_test(a_refusal_that_is_marked_does_not_end_it),
        cmocka_unit_test(warnings_are_refusals_too),
        cmocka_unit_test(the_pin_is_put_behind_verify_in_the_form_that_is_asked_for),
        cmocka_unit_test(the_pin_is_put_into_nothing_else),
        cmocka_unit_test(a_piv_card_that_compares_no_pin_now_does_not_hear_it),
        cmocka_unit_test(whatever_else_it_says_to_that_is_no_answer),
        cmocka_unit_test(a_card_that_goes_when_it_is_asked_has_not_heard_the_pin),
        cmocka_unit_test(without_a_pin_that_fits_nothing_is_sent),
        cmocka_unit_test(of_a_part_the_rest_is_not_fetched),
        cmocka_unit_test(a_card_taken_away_at_any_command_is_reported_with_what_it_had_answered),
        cmocka_unit_test(more_data_are_fetched_and_joined),
        cmocka_unit_test(fetching_stays_on_the_logical_channel_and_without_secure_messaging),
        cmocka_unit_test(a_refusal_at_the_end_of_a_chain_is_the_status),
        cmocka_unit_test(removal_in_the_middle_of_a_chain_gives_no_half_answer),
        cmocka_unit_test(a_wrong_le_is_put_right_once),
        cmocka_unit_test(a_card_that_insists_on_wrong_le_is_not_asked_for_ever),
        cmocka_unit_test(wrong_le_while_fetching_is_put_right_too),
        cmocka_unit_test(endless_answers_end),
        cmocka_unit_test(an_answer_without_status_is_none),
        cmocka_unit_test(a_script_with_a_bad_command_is_not_begun),
        cmocka_unit_test(a_command_for_other_cards_is_passed_over_and_has_no_answer),
        cmocka_unit_test(a_script_that_begins_so_is_not_begun),
        cmocka_unit_test(an_empty_script_has_no_answers),
        cmocka_unit_test(t0_carries_no_le_beside_data),
        cmocka_unit_test(an_application_that_is_selected_is_not_selected_again),
        cmocka_unit_test(another_application_is_selected),
        cmocka_unit_test(what_a_script_selects_later_is_selected),
        cmocka_unit_test(a_card_taken_away_when_it_is_selected_has_nothing_selected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

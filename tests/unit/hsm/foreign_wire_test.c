/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal that changes what it relays of PIV, JPKI and SCP03 cards, enumerated: each bit of each
 * byte of every command and every answer, all of the byte, the message cut off before it, and a
 * byte more at its end; and every message of one tap in the place of another's. The tap is refused,
 * or the byte is in the table of those that carry nothing; never is anything else accepted than
 * what was asked, and never does the card lose more than the try that a wrong PIN costs. Of PIV
 * cards, whose messages are long, each byte has one bit changed here, another one in each byte, of
 * those with RSA it is that, all of it or the cut in turn; with CARDBROKER_FAULTS=all everything is
 * done to each. (Native cards: tests/unit/cardlink/wire_test.c.)
 */
#include <stdlib.h>

#include "foreign_wire.h"

/* What carries nothing, and why. Every row must be seen to be taken. */
typedef struct row {
    place at;
    size_t first, last; /* bytes */
    unsigned changes;   /* one bit for each kind */
    const char *why;
    size_t taken;
} row;

/* The number of a certificate of the virtual card has 16 bytes; it begins behind these. */
enum { NUMBER = 15, NUMBER_END = NUMBER + 16, HEAD = 0x30 };

static row of_jpki[] = {
    {{0, 0, false}, 15, 15, 1u << LONGER, "SELECT: an Le where there was none", 0},
    {{0, 1, false}, 7, 7, 1u << LONGER, "SELECT of the certificate: the same", 0},
    {{0, 2, false}, 4, 4, ANY & ~(1u << 5), "READ BINARY: an Le that has room for the number", 0},
    {{0, 2, true}, 2, 3, FLIP, "the certificate's length: it is not read to its end", 0},
    {{0, 2, true}, 6, 7, FLIP, "the length of what is signed of it: the same", 0},
    {{0, 2, true}, NUMBER_END, HEAD - 1, FLIP, "what stands behind the number", 0},
    {{1, 0, false}, 7, 7, 1u << LONGER, "SELECT of the PIN: an Le where there was none", 0},
    {{1, 1, false}, 9, 9, 1u << LONGER, "VERIFY: the same", 0},
    {{1, 2, false}, 7, 7, 1u << LONGER, "SELECT of the key: the same", 0},
    {{1, 3, false}, 56, 56, 1u << CUT, "COMPUTE DIGITAL SIGNATURE: no Le", 0},
};
static row of_scp03[] = {
    {{0, 0, false}, 17, 17, ANY, "SELECT: Le", 0},
    {{0, 1, false}, 13, 13, ANY, "INITIALIZE UPDATE: Le", 0},
    {{0, 1, true}, 10, 10, FLIP, "the version of the card's keys: there is one master key", 0},
    {{1, 0, false}, 21, 21, 1u << LONGER, "EXTERNAL AUTHENTICATE: an Le where there was none", 0},
    {{1, 1, false}, 61, 61, ANY, "the command inside the channel: Le", 0},
};
static row of_scp03_without_counter[sizeof of_scp03 / sizeof *of_scp03];

/* The card's number ends at this byte of its CHUID. */
enum { CHUID = 1, OFFER, GUID_END = 47 };

static row of_piv[] = {
    {{0, 0, false}, 10, 10, ANY, "SELECT: Le", 0},
    {{0, 0, true}, 0, 18, FLIP, "SELECT: what the card says of itself", 0},
    {{0, CHUID, false}, 10, 10, ANY & ~(1u << 6), "GET DATA: an Le with room for the names", 0},
    {{0, CHUID, true}, 1, 1, FLIP & 0x7F, "the CHUID's length: it is not read to its end", 0},
    {{0, CHUID, true}, GUID_END, 60, FLIP, "what stands behind the GUID", 0},
    {{0, OFFER, false}, 0, 86, ANY | 1u << LONGER, "the offer, to a card that refuses any", 0},
    {{0, OFFER, true}, 0, 2, ANY | 1u << LONGER, "the refusal: nobody listens", 0},
    {{1, 0, false}, 43, 43, ANY, "GENERAL AUTHENTICATE: Le", 0},
};
static row of_piv_with_pin[] = {
    {{1, 0, false}, 13, 13, 1u << LONGER, "VERIFY: an Le where there was none", 0},
    {{1, 1, false}, 43, 43, ANY, "GENERAL AUTHENTICATE: Le", 0},
};
static row of_secured[] = {
    {{0, 0, false}, 10, 10, ANY, "SELECT: Le", 0},
    {{0, 0, true}, 0, 26, FLIP, "SELECT: what the card says of itself", 0},
    {{0, CHUID, false}, 10, 10, ANY & ~(1u << 6), "GET DATA: an Le with room for the names", 0},
    {{0, CHUID, true}, 1, 1, FLIP & 0x7F, "the CHUID's length: it is not read to its end", 0},
    {{0, CHUID, true}, GUID_END, 60, FLIP, "what stands behind the GUID", 0},
    {{0, OFFER, false}, 85, 85, ANY, "the offer: Le", 0},
    {{1, 0, false}, 69, 69, ANY, "GENERAL AUTHENTICATE: Le, which is the transport's", 0},
};
static row of_secured_with_pin[] = {
    {{1, 0, false}, 13, 13, 1u << LONGER, "VERIFY: an Le where there was none", 0},
    {{1, 1, false}, 69, 69, ANY, "GENERAL AUTHENTICATE: Le, which is the transport's", 0},
};
/* A chain of two commands, and GET RESPONSE. */
static row of_rsa[] = {
    {{1, 0, false}, 260, 260, 1u << LONGER, "the chain's first: an Le that it had not", 0},
    {{1, 1, false}, 16, 16, ANY, "GENERAL AUTHENTICATE: Le", 0},
    {{1, 1, true}, 257, 257, FLIP, "61xx: how much there is", 0},
    {{1, 2, false}, 0, 0, FLIP, "GET RESPONSE: the class, which the card does not look at", 0},
    {{1, 2, false}, 2, 3, FLIP, "GET RESPONSE: the parameters, likewise", 0},
    {{1, 2, false}, 4, 4, ANY, "GET RESPONSE: Le", 0},
};
static row of_secured_rsa[] = {
    {{1, 0, false}, 260, 260, 1u << LONGER, "the chain's first: an Le that it had not", 0},
    {{1, 1, false}, 40, 40, ANY, "GENERAL AUTHENTICATE: Le, which is the transport's", 0},
    {{1, 1, true}, 257, 257, FLIP, "61xx: how much there is", 0},
    {{1, 2, false}, 0, 0, FLIP, "GET RESPONSE: the class, which the card does not look at", 0},
    {{1, 2, false}, 2, 3, FLIP, "GET RESPONSE: the parameters, likewise", 0},
    {{1, 2, false}, 4, 4, ANY, "GET RESPONSE: Le", 0},
};

#define ROWS(rows)                                                                                 \
    {                                                                                              \
        (rows), sizeof(rows) / sizeof *(rows)                                                      \
    }
static const struct {
    row *row;
    size_t count;
} rows_of[KINDS] = {[JPKI] = ROWS(of_jpki),
                    [SCP03] = ROWS(of_scp03),
                    [SCP03_WITHOUT_COUNTER] = ROWS(of_scp03_without_counter),
                    [PIV] = ROWS(of_piv),
                    [PIV_WITH_PIN] = ROWS(of_piv_with_pin),
                    [PIV_SECURED] = ROWS(of_secured),
                    [PIV_SECURED_WITH_PIN] = ROWS(of_secured_with_pin),
                    [PIV_RSA] = ROWS(of_rsa),
                    [PIV_SECURED_RSA] = ROWS(of_secured_rsa)};

static size_t number_of(const kind *k) { return (size_t)(k - kinds); }

static bool is_meaningless(const kind *k, const meddling *m)
{
    bool found = false;
    for (size_t i = 0; i < rows_of[number_of(k)].count; i++) {
        row *r = &rows_of[number_of(k)].row[i];
        bool here = meddles_in(m, r->at, r->first, r->last, r->changes);
        r->taken += here;
        found = found || here;
    }
    return found;
}

/* ---- One byte ---- */

/* Whether the card did what it should not have: answered twice, outside of secure messaging where
 * it is bound with that, or inside of it what came changed. */
static bool signs_wrongly(const kind *k, const meddling *m, bool meaningless, const tapped *t)
{
    bool asks = m->at.script == 1 && m->at.command >= (k->pin[0] ? 1 : 0) &&
                m->at.command < k->commands[1] && !m->at.answer;
    if (t->inside + t->outside > 1)
        return true;
    if (!k->secured)
        return t->inside > 0;
    return t->outside > 0 || (t->inside > 0 && m->hit && asks && !meaningless);
}

/* A wrong PIN is refused, and a terminal says of it what it likes. A right one of which VERIFY is
 * cut off to its header is not compared: the card says that all its tries are left, and so does
 * hsmd. */
static bool is_expected(const kind *k, const meddling *m, bool meaningless, const tapped *t)
{
    if (k->wrong && m->hit && m->at.answer)
        return wire_says_what_happened(t->error) || t->error == CB_E_PIN_BLOCKED;
    if (k->wrong && m->hit)
        return wire_says_what_happened(t->error) && wire_pin_is_told(t);
    cb_error honest = k->wrong ? CB_E_PIN_WRONG : CB_OK;
    return (t->error == honest) == (!m->hit || meaningless) &&
           (!t->error || wire_says_what_happened(t->error)) && wire_pin_is_told(t);
}

/* One disturbed tap; false when there is no such byte. */
static bool disturb(const kind *k, meddling *m)
{
    tapped t;
    cb_vcard *card = wire_lay(k, &t);
    wire_tap(k, card, meddle, m, &t);
    bool meaningless = m->hit && is_meaningless(k, m);
    if (!is_expected(k, m, meaningless, &t) || t.compared > 1 || !k->legal(k, card, 1) ||
        (k->profile == &cb_profile_piv && signs_wrongly(k, m, meaningless, &t)))
        fail_msg("%s: script %zu %s %zu, byte %zu, change %u: %s", k->name, m->at.script + 1,
                 m->at.answer ? "answer" : "command", m->at.command, m->byte, m->change,
                 cb_error_code(t.error));
    if (!t.error)
        assert_true(cb_id_same(&t.activation.holder, &secure_holder) &&
                    cb_id_same(&t.activation.card, &k->card) && t.activation.level == k->level);
    cb_vcard_close(&card);
    return m->hit;
}

static bool all_are_asked_for(void)
{
    const char *wish = getenv("CARDBROKER_FAULTS");
    return wish && strcmp(wish, "all") == 0;
}

/* Whether this byte is changed in this way: always another bit, the whole byte, and the cut; or one
 * of these in turn. */
static bool is_tried(const kind *k, size_t byte, unsigned change)
{
    unsigned of = change < BYTE ? 0 : change - BYTE + 1;
    if (k->changes == 0 || all_are_asked_for())
        return true;
    return (change >= BYTE || change == byte % 8) && (k->changes > 1 || of == (byte + 1) % 3);
}

/* How many taps that made. There is one way to make a message longer. */
static size_t disturb_message(const kind *k, place at)
{
    size_t taps = 0;
    bool there = true;
    for (size_t byte = 0; there; byte++) {
        for (unsigned change = 0; there && change < LONGER; change++) {
            meddling m = {.at = at, .byte = byte, .change = change};
            if (!is_tried(k, byte, change))
                continue;
            there = disturb(k, &m);
            taps += there;
        }
    }
    meddling m = {.at = at, .change = LONGER};
    return taps + disturb(k, &m);
}

static void count(void *context, place at, cb_buf *message)
{
    size_t *messages = context;
    (void)message;
    messages[at.script] += !at.answer;
}

/* So that none of them is left out. */
static void count_messages(const kind *k)
{
    tapped t;
    size_t messages[SCRIPTS] = {0};
    cb_vcard *card = wire_lay(k, &t);
    wire_tap(k, card, count, messages, &t);
    expect(k->wrong ? CB_E_PIN_WRONG : CB_OK, t.error);
    assert_memory_equal(messages, k->messages, sizeof messages);
    cb_vcard_close(&card);
}

static size_t disturb_kind(const kind *k)
{
    size_t taps = 0;
    count_messages(k);
    for (size_t script = k->second_alone ? 1 : 0; script < SCRIPTS; script++) {
        for (size_t message = 0; message < k->messages[script]; message++) {
            for (int answer = 0; answer < 2; answer++)
                taps += disturb_message(k, (place){script, message, answer});
        }
    }
    for (size_t i = 0; i < rows_of[number_of(k)].count; i++) {
        const row *r = &rows_of[number_of(k)].row[i];
        if (r->taken == 0)
            fail_msg("%s: nothing was seen of: %s", k->name, r->why);
    }
    print_message("%s: %zu disturbed taps\n", k->name, taps);
    return taps;
}

static void no_byte_of_a_jpki_tap_can_be_changed_on_the_way(void **state)
{
    (void)state;
    assert_true(disturb_kind(&kinds[JPKI]) > 1000);
}

static void no_byte_of_an_scp03_tap_can_be_changed_on_the_way(void **state)
{
    (void)state;
    assert_true(disturb_kind(&kinds[SCP03]) > 1000);
}

static void nor_of_one_with_a_card_that_counts_nothing(void **state)
{
    (void)state;
    assert_true(disturb_kind(&kinds[SCP03_WITHOUT_COUNTER]) > 1000);
}

static void no_byte_of_a_piv_tap_in_the_clear_can_be_changed_on_the_way(void **state)
{
    (void)state;
    assert_true(disturb_kind(&kinds[PIV]) > 500);
    assert_true(disturb_kind(&kinds[PIV_WITH_PIN]) > 300);
}

static void nor_of_one_with_a_wrong_pin_so_that_it_counts_for_more(void **state)
{
    (void)state;
    assert_true(disturb_kind(&kinds[PIV_WRONG]) > 30);
}

static void no_byte_of_a_piv_tap_with_secure_messaging_can_be_changed_on_the_way(void **state)
{
    (void)state;
    assert_true(disturb_kind(&kinds[PIV_SECURED]) > 1000);
    assert_true(disturb_kind(&kinds[PIV_SECURED_WITH_PIN]) > 300);
}

static void nor_of_one_whose_commands_and_answers_come_in_parts(void **state)
{
    (void)state;
    assert_true(disturb_kind(&kinds[PIV_RSA]) > 500);
    assert_true(disturb_kind(&kinds[PIV_SECURED_RSA]) > 500);
}

/* ---- One tap's messages in another ---- */

/* What a terminal has kept of a tap, or puts into another. */
typedef struct record {
    cb_buf message[SCRIPTS][MESSAGES_MAX][2];
} record;

typedef enum reach { ONE, FROM_HERE, UP_TO_HERE, EXTENTS } reach;

typedef struct splice {
    const record *from;
    const kind *to;
    place at;
    reach extent;
    size_t different; /* messages that would be heard and were not the same anyway */
} splice;

static void keep(void *context, place at, cb_buf *message)
{
    record *r = context;
    cb_buf *to = &r->message[at.script][at.command][at.answer];
    cb_buf_init(to, 512);
    cb_buf_put(to, cb_buf_bytes(message));
}

static void forget(record *r)
{
    for (size_t i = 0; i < SCRIPTS * MESSAGES_MAX; i++) {
        cb_buf_free(&r->message[i / MESSAGES_MAX][i % MESSAGES_MAX][0]);
        cb_buf_free(&r->message[i / MESSAGES_MAX][i % MESSAGES_MAX][1]);
    }
}

static size_t position(place at) { return at.script * MESSAGES_MAX + at.command; }

/* Nobody hears what a card makes of the offer of secure messaging that is bound without, nor with
 * what its answer's rest was fetched; and of the answers to SELECT and to VERIFY the status alone
 * is heard. */
static bool is_heard(const splice *s, place at, cb_bytes other, cb_bytes own)
{
    bool piv = s->to->profile == &cb_profile_piv, pin = s->to->pin[0] != 0;
    if (piv && !s->to->secured && at.script == 0 && at.command == 2)
        return false;
    if (!at.answer && at.command >= s->to->commands[at.script])
        return false;
    if (piv && at.answer && at.command == 0 && (at.script == 0 || pin))
        return cb_answer_status(other) != cb_answer_status(own);
    return !cb_bytes_same(other, own);
}

/* Only messages of the direction that was chosen are exchanged. */
static void put_other(void *context, place at, cb_buf *message)
{
    splice *s = context;
    const cb_buf *other = &s->from->message[at.script][at.command][at.answer];
    bool here = s->extent == ONE         ? position(at) == position(s->at)
                : s->extent == FROM_HERE ? position(at) >= position(s->at)
                                         : position(at) <= position(s->at);
    if (at.answer != s->at.answer || !here || other->len == 0)
        return;
    s->different += is_heard(s, at, cb_buf_bytes(other), cb_buf_bytes(message));
    cb_buf_reset(message);
    cb_buf_put(message, cb_buf_bytes(other));
}

/* Tap B with messages of tap A, which the same card made before (again), or one that is as it was
 * when A began. */
static void exchange_and_check(const kind *a, const kind *b, place at, reach extent, bool again)
{
    record kept = {0};
    tapped t;
    cb_vcard *card = wire_lay(a, &t);
    wire_tap(a, card, keep, &kept, &t);
    good(t.error);
    if (!again || a->applet != b->applet || !cb_id_same(&a->card, &b->card)) {
        cb_vcard_close(&card);
        card = wire_lay(b, &t);
    }
    splice s = {.from = &kept, .to = b, .at = at, .extent = extent};
    wire_tap(b, card, put_other, &s, &t);
    if ((t.error == CB_OK) != (s.different == 0) ||
        (t.error && !wire_says_what_happened(t.error)) || !b->legal(b, card, again ? 2 : 1) ||
        !wire_pin_is_told(&t))
        fail_msg("%s: the %s %zu of script %zu of another tap (%s), %d: %s", b->name,
                 at.answer ? "answer" : "command", at.command, at.script + 1, a->name, extent,
                 cb_error_code(t.error));
    cb_vcard_close(&card);
    forget(&kept);
}

static size_t exchange_all(const kind *a, const kind *b)
{
    size_t taps = 0;
    for (size_t i = 0; i < SCRIPTS * MESSAGES_MAX; i++) {
        place at = {i / MESSAGES_MAX, i % MESSAGES_MAX, false};
        if (at.command >= b->messages[at.script])
            continue;
        for (int which = 0; which < EXTENTS * 4; which++) {
            at.answer = which & 1;
            exchange_and_check(a, b, at, (reach)(which / 4), which & 2);
            taps++;
        }
    }
    return taps;
}

/* The same card, the same broker, an earlier tap, with the PIN or without: each message, all from
 * each one on, all up to each one, in both directions. And those of another holder's card. */
static void nothing_of_one_tap_can_be_used_in_another(void **state)
{
    (void)state;
    size_t taps = 0;
    for (size_t i = 0; i < KINDS * KINDS; i++) {
        const kind *a = &kinds[i / KINDS], *b = &kinds[i % KINDS];
        if (!a->wrong && !b->wrong && cb_id_same(&a->card, &b->card))
            taps += exchange_all(a, b);
    }
    taps += exchange_all(&kinds[PIV], &kinds[PIV_SECURED]);
    taps += exchange_all(&kinds[PIV_SECURED], &kinds[PIV]);
    print_message("%zu spliced taps\n", taps);
}

/* ---- ---- */

static int setup(void **state)
{
    memcpy(of_scp03_without_counter, of_scp03, sizeof of_scp03);
    return wire_setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_byte_of_a_jpki_tap_can_be_changed_on_the_way),
        cmocka_unit_test(no_byte_of_an_scp03_tap_can_be_changed_on_the_way),
        cmocka_unit_test(nor_of_one_with_a_card_that_counts_nothing),
        cmocka_unit_test(no_byte_of_a_piv_tap_in_the_clear_can_be_changed_on_the_way),
        cmocka_unit_test(nor_of_one_with_a_wrong_pin_so_that_it_counts_for_more),
        cmocka_unit_test(no_byte_of_a_piv_tap_with_secure_messaging_can_be_changed_on_the_way),
        cmocka_unit_test(nor_of_one_whose_commands_and_answers_come_in_parts),
        cmocka_unit_test(nothing_of_one_tap_can_be_used_in_another),
    };
    return cmocka_run_group_tests(tests, setup, wire_teardown);
}

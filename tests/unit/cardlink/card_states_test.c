/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Every command in every state of a session, as section 3 of docs/card-application.md has it; and
 * the power cut at every write of every PIN command.
 */
#include "hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cardlink/card/native/application.h"

/* The columns of the table: the steps of a session, and one after the PIN. */
enum { IDLE, SELECTED, CERTIFIED, CHANNEL, IDENTIFIED, AUTHENTICATED, PIN_USED, MUTE, STATES };

static const uint8_t step_of[STATES] = {
    CB_VCARD_IDLE,       CB_VCARD_SELECTED,      CB_VCARD_CERTIFIED,     CB_VCARD_CHANNEL,
    CB_VCARD_IDENTIFIED, CB_VCARD_AUTHENTICATED, CB_VCARD_AUTHENTICATED, CB_VCARD_MUTE};

/* A card in each state, and the broker's end of its session. Copies, so that each command meets the
 * state anew. */
typedef struct stage {
    world w;
    cb_vcard_state state[STATES];
    cb_vcard_session session[STATES];
    hand hand[STATES];
} stage;

static void keep(stage *s, int which, const hand *h)
{
    s->state[which] = cb_native_of(s->w.card)->state;
    s->session[which] = cb_native_of(s->w.card)->session;
    s->hand[which] = *h;
    assert_int_equal(s->session[which].step, step_of[which]);
}

static void enter(stage *s, int which)
{
    cb_native_of(s->w.card)->state = s->state[which];
    cb_native_of(s->w.card)->session = s->session[which];
}

static int setup(void **state)
{
    stage *s = malloc(sizeof *s);
    hand h = {.w = &s->w, .sm.key_len = CB_NATIVE_KEY};
    *state = s;
    world_make(&s->w, false);
    keep(s, IDLE, &h);
    hand_select(s->w.card);
    keep(s, SELECTED, &h);
    hand_plain(
        s->w.card,
        (cb_apdu){0x80, CB_INS_PSO, 1, 0x20, cb_buf_bytes(&s->w.agreement_certificate), false},
        NULL);
    keep(s, CERTIFIED, &h);
    hand_open(&h, &s->w);
    keep(s, CHANNEL, &h);
    hand_signer(&h);
    keep(s, IDENTIFIED, &h);
    hand_request(&h);
    keep(s, AUTHENTICATED, &h);
    assert_int_equal(hand_verify(&h, "0000"), 0x63C2);
    keep(s, PIN_USED, &h);
    cb_vcard_session_end(cb_native_of(s->w.card), CB_VCARD_MUTE);
    keep(s, MUTE, &h);
    return 0;
}

static int teardown(void **state)
{
    stage *s = *state;
    world_free(&s->w);
    free(s);
    return 0;
}

/* ---- The commands ---- */

typedef uint16_t (*command)(stage *s, hand *h);

static uint16_t plain(stage *s, uint8_t cla, uint8_t ins, uint8_t p1, uint8_t p2, cb_bytes data)
{
    return hand_plain(s->w.card, (cb_apdu){cla, ins, p1, p2, data, true}, NULL);
}

static uint16_t do_select(stage *s, hand *h)
{
    (void)h;
    return hand_select(s->w.card);
}

static uint16_t do_select_other(stage *s, hand *h)
{
    (void)h;
    return plain(s, 0, CB_INS_SELECT, 4, 0, cb_bytes_str("another"));
}

static uint16_t do_get_data(stage *s, hand *h)
{
    static const uint8_t store_of[] = {0xA6, 0x04, 0x83, 0x02, 0x11, 0x01};
    (void)h;
    return plain(s, 0, CB_INS_GET_DATA, 0xBF, 0x21, CB_BYTES_OF(store_of));
}

static uint16_t do_pso(stage *s, hand *h)
{
    (void)h;
    return plain(s, 0x80, CB_INS_PSO, 1, 0x20, cb_buf_bytes(&s->w.agreement_certificate));
}

static uint16_t do_mutual(stage *s, hand *h)
{
    uint8_t data[CB_CHANNEL_DATA];
    (void)h;
    cb_channel_data_make(s->w.point, data);
    return plain(s, 0x80, CB_INS_MUTUAL, 1, 0x11, CB_BYTES_OF(data));
}

static uint16_t do_plain_verify(stage *s, hand *h)
{
    (void)h;
    return plain(s, 0x80, CB_INS_VERIFY, 0, 0x80, cb_bytes_str(WORLD_PIN));
}

static uint16_t do_plain_prove(stage *s, hand *h)
{
    (void)h;
    return plain(s, 0x80, CB_INS_PROVE, 0, 0, (cb_bytes){0});
}

static uint16_t do_chained_pso(stage *s, hand *h)
{
    (void)h;
    return plain(s, 0x90, CB_INS_PSO, 1, 0x20, cb_buf_bytes(&s->w.agreement_certificate));
}

static uint16_t do_chained_secure(stage *s, hand *h)
{
    (void)h;
    return plain(s, 0x94, CB_INS_PSO, 1, 0x20, cb_buf_bytes(&s->w.signer_certificate));
}

static uint16_t do_more_certificates(stage *s, hand *h)
{
    (void)h;
    return plain(s, 0x80, CB_INS_PSO, 1, 0xA0, cb_buf_bytes(&s->w.agreement_certificate));
}

static uint16_t send_bytes(stage *s, const uint8_t *bytes, size_t len)
{
    cb_buf answer = CB_BUF(512);
    cb_vcard_process(s->w.card, cb_bytes_make(bytes, len), &answer);
    uint16_t status = cb_answer_status(cb_buf_bytes(&answer));
    cb_buf_free(&answer);
    return status;
}

static uint16_t do_extended(stage *s, hand *h)
{
    static const uint8_t bytes[] = {0x80, CB_INS_PSO, 1, 0x20, 0, 0, 2, 0x7F, 0x21};
    (void)h;
    return send_bytes(s, bytes, sizeof bytes);
}

static uint16_t do_short(stage *s, hand *h)
{
    static const uint8_t bytes[] = {0x84, CB_INS_PROVE, 0};
    (void)h;
    return send_bytes(s, bytes, sizeof bytes);
}

static uint16_t do_wrong_mac(stage *s, hand *h)
{
    (void)h;
    return plain(s, 0x84, CB_INS_VERIFY, 0, 0x80, cb_bytes_str("eight by"));
}

static uint16_t do_signer(stage *s, hand *h)
{
    (void)s;
    return hand_signer(h);
}

static uint16_t do_request(stage *s, hand *h)
{
    (void)s;
    return hand_request(h);
}

/* Without a session's point there is nothing to encrypt to: then any bytes do. */
static uint16_t pin_command(hand *h, uint8_t ins, cb_pin_form form, const char *secret,
                            const char *fresh)
{
    static const uint8_t bytes[CB_PIN_CIPHERTEXT];
    if (h->card_point[0] == 0)
        return hand_secure(h, ins, 0, 0x80, CB_BYTES_OF(bytes));
    return hand_pin(h, ins, form, secret, fresh);
}

static uint16_t do_verify(stage *s, hand *h)
{
    (void)s;
    return pin_command(h, CB_INS_VERIFY, CB_PIN_FORM_VERIFY, WORLD_PIN, NULL);
}

static uint16_t do_change(stage *s, hand *h)
{
    (void)s;
    return pin_command(h, CB_INS_CHANGE, CB_PIN_FORM_CHANGE, WORLD_PIN, "9999");
}

static uint16_t do_unblock(stage *s, hand *h)
{
    (void)s;
    return pin_command(h, CB_INS_UNBLOCK, CB_PIN_FORM_UNBLOCK, WORLD_CODE, "9999");
}

static uint16_t do_prove(stage *s, hand *h)
{
    (void)s;
    return hand_prove(h);
}

static uint16_t do_prove_with_data(stage *s, hand *h)
{
    (void)s;
    return hand_secure(h, CB_INS_PROVE, 0, 0, cb_bytes_str("x"));
}

static uint16_t do_secure_select(stage *s, hand *h)
{
    (void)s;
    return hand_secure(h, CB_INS_SELECT, 4, 0, CB_BYTES_OF(cb_native_aid));
}

static uint16_t do_secure_unknown(stage *s, hand *h)
{
    (void)s;
    return hand_secure(h, 0xB0, 0, 0, (cb_bytes){0});
}

/* ---- The table ---- */

/* For each state but the last the status word, and the state after it: I(dle), S(elected),
 * C(ertified), H (channel), D (identified), A(uthenticated). A card whose memory failed says 6581.
 */
/* clang-format off */
static const struct row {
    const char *name;
    command send;
    const char *cells;
} table[] = {
    /*                                         idle  sel.  cert. chan. iden. auth. after PIN */
    {"SELECT",           do_select,            "9000S 9000S 9000S 9000S 9000S 9000S 9000S"},
    {"SELECT another",   do_select_other,      "6A82I 6A82I 6A82I 6A82I 6A82I 6A82I 6A82I"},
    {"GET DATA",         do_get_data,          "6985I 9000S 9000C 9000S 9000S 9000S 9000S"},
    {"PSO",              do_pso,               "6985I 9000C 9000C 9000C 9000C 9000C 9000C"},
    {"PSO, more follow", do_more_certificates, "6985I 6A80S 6A80S 6A80S 6A80S 6A80S 6A80S"},
    {"MUTUAL AUTH.",     do_mutual,            "6985I 6985S 9000H 6985S 6985S 6985S 6985S"},
    {"plain VERIFY",     do_plain_verify,      "6D00I 6D00S 6D00C 6D00S 6D00S 6D00S 6D00S"},
    {"plain INTERNAL",   do_plain_prove,       "6D00I 6D00S 6D00C 6D00S 6D00S 6D00S 6D00S"},
    {"chained PSO",      do_chained_pso,       "6E00I 6E00S 6E00C 6E00S 6E00S 6E00S 6E00S"},
    {"secure, chained",  do_chained_secure,    "6E00I 6E00S 6E00C 6E00S 6E00S 6E00S 6E00S"},
    {"extended length",  do_extended,          "6700I 6700S 6700S 6700S 6700S 6700S 6700S"},
    {"three bytes",      do_short,             "6700I 6700S 6700S 6700S 6700S 6700S 6700S"},
    {"a wrong MAC",      do_wrong_mac,         "6982I 6982S 6982C 6982S 6982S 6982S 6982S"},
    {"secure PSO",       do_signer,            "6982I 6982S 6982C 9000D 6985S 6985S 6985S"},
    {"EXTERNAL AUTH.",   do_request,           "6982I 6982S 6982C 6985S 9000A 6985S 6985S"},
    {"VERIFY",           do_verify,            "6982I 6982S 6982C 6985S 6985S 9000A 6985A"},
    {"CHANGE REF. DATA", do_change,            "6982I 6982S 6982C 6985S 6985S 9000A 6985A"},
    {"RESET RETRY",      do_unblock,           "6982I 6982S 6982C 6985S 6985S 9000A 6985A"},
    {"INTERNAL AUTH.",   do_prove,             "6982I 6982S 6982C 6985S 6985S 9000S 9000S"},
    {"the same, data",   do_prove_with_data,   "6982I 6982S 6982C 6985S 6985S 6A80S 6A80S"},
    {"secure SELECT",    do_secure_select,     "6982I 6982S 6982C 6D00S 6D00S 6D00S 6D00S"},
    {"secure READ",      do_secure_unknown,    "6982I 6982S 6982C 6D00S 6D00S 6D00S 6D00S"},
};
/* clang-format on */

static uint8_t step_named(char letter)
{
    static const char letters[] = "ISCHDA";
    const char *at = strchr(letters, letter);
    assert_true(at && letter);
    return step_of[at - letters];
}

static void each_command_in_each_state_does_what_is_written(void **state)
{
    stage *s = *state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int which = 0; which < STATES; which++) {
            hand h = s->hand[which];
            enter(s, which);
            uint16_t status = table[i].send(s, &h);
            uint16_t expected = CB_SW_MEMORY;
            uint8_t then = CB_VCARD_MUTE;
            if (which != MUTE) {
                const char *cell = &table[i].cells[6 * which];
                const char digits[] = {cell[0], cell[1], cell[2], cell[3], 0};
                expected = (uint16_t)strtoul(digits, NULL, 16);
                then = step_named(cell[4]);
            }
            if (status != expected || cb_native_of(s->w.card)->session.step != then)
                fail_msg("%s in state %d: %04X, then %02X", table[i].name, which, status,
                         cb_native_of(s->w.card)->session.step);
        }
    }
}

/* The tries, the counter: what an attacker wants to move. */
static bool untouched(const cb_vcard_state *now, const cb_vcard_state *before)
{
    return now->pin_tries == before->pin_tries && now->code_tries == before->code_tries &&
           now->counter == before->counter && now->failures == before->failures &&
           now->life_cycle == before->life_cycle && memcmp(now->pin, before->pin, CB_PIN_MAX) == 0;
}

/* Every class and instruction, with and without data, without the session's keys: no state is
 * entered that needs them, nothing that counts is changed, and no answer is too long. */
static void no_plain_command_reaches_what_the_channel_guards(void **state)
{
    static const uint8_t data[CB_NATIVE_CERTIFICATE_MAX];
    stage *s = *state;
    for (int which = 0; which < STATES; which++) {
        for (unsigned header = 0; header < 0x10000; header++) {
            cb_apdu apdu = {(uint8_t)(header >> 8), (uint8_t)header, 0, 0x80, {0}, true};
            if (header % 3)
                apdu.data = cb_bytes_make(data, header % 3 == 1 ? 113 : sizeof data);
            enter(s, which);
            hand_plain(s->w.card, apdu, NULL);
            uint8_t step = cb_native_of(s->w.card)->session.step;
            bool forward =
                step != CB_VCARD_IDLE && step != CB_VCARD_SELECTED && step != step_of[which];
            bool kept = step == step_of[which] &&
                        (step & (CB_VCARD_CHANNEL | CB_VCARD_IDENTIFIED | CB_VCARD_AUTHENTICATED));
            if (forward || kept || !untouched(&cb_native_of(s->w.card)->state, &s->state[which]))
                fail_msg("%04X in state %d led to %02X", header, which, step);
        }
    }
}

/* Every instruction and parameter inside the channel, with a good MAC. */
static void no_other_instruction_or_parameter_does_anything(void **state)
{
    static const uint8_t nothing[CB_PIN_CIPHERTEXT];
    stage *s = *state;
    for (int which = CHANNEL; which <= PIN_USED; which++) {
        for (unsigned i = 0; i < 0x10000 + 256; i++) {
            /* All instructions with P1 P2 of none; all P1 P2 of one after the other. */
            static const uint8_t known[] = {CB_INS_PSO,    CB_INS_REQUEST, CB_INS_VERIFY,
                                            CB_INS_CHANGE, CB_INS_UNBLOCK, CB_INS_PROVE};
            uint8_t ins = i < 256 ? (uint8_t)i : known[i % sizeof known];
            uint16_t parameters = i < 256 ? 0x5A5A : (uint16_t)(i - 256);
            hand h = s->hand[which];
            enter(s, which);
            if (ins == CB_INS_PROVE && parameters == 0)
                continue;
            uint16_t status =
                hand_secure(&h, ins, (uint8_t)(parameters >> 8), (uint8_t)parameters,
                            ins == CB_INS_PROVE ? (cb_bytes){0} : CB_BYTES_OF(nothing));
            uint8_t step = cb_native_of(s->w.card)->session.step;
            if (status == CB_SW_OK || (step != CB_VCARD_SELECTED && step != step_of[which]) ||
                !untouched(&cb_native_of(s->w.card)->state, &s->state[which]))
                fail_msg("%02X %04X in state %d: %04X, %02X", ins, parameters, which, status, step);
        }
    }
}

/* Every length of data that a command can have, zeros, in the state in which it is legal. */
static void only_the_right_length_is_taken(void **state)
{
    static const struct {
        uint8_t ins, p1, p2;
        int where;
        size_t right; /* accepted by its length, refused for its content */
        uint16_t other;
    } rows[] = {{CB_INS_PSO, 1, 0x20, CHANNEL, SIZE_MAX, CB_SW_DATA},
                {CB_INS_REQUEST, 0, 0, IDENTIFIED, CB_PROOF_REQUEST + CB_PROOF_DATE, CB_SW_DATA},
                {CB_INS_VERIFY, 0, 0x80, AUTHENTICATED, SIZE_MAX, CB_SW_SM_DATA},
                {CB_INS_CHANGE, 0, 0x80, AUTHENTICATED, SIZE_MAX, CB_SW_SM_DATA},
                {CB_INS_UNBLOCK, 0, 0x80, AUTHENTICATED, SIZE_MAX, CB_SW_SM_DATA},
                {CB_INS_PROVE, 0, 0, AUTHENTICATED, 0, CB_SW_DATA}};
    uint8_t zeros[CB_SM_PLAIN_MAX] = {0};
    stage *s = *state;
    cb_proof_date_put(0x20260101,
                      &zeros[64]); /* of a request; to the others it is as good as zeros */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t len = 0; len <= sizeof zeros; len++) {
            hand h = s->hand[rows[i].where];
            enter(s, rows[i].where);
            uint16_t status =
                hand_secure(&h, rows[i].ins, rows[i].p1, rows[i].p2, cb_bytes_make(zeros, len));
            uint16_t right = rows[i].ins == CB_INS_PROVE ? CB_SW_OK : CB_SW_SECURITY;
            assert_int_equal(status, len == rows[i].right ? right : rows[i].other);
        }
    }
}

/* Cards in other lives: in transit, blocked, ended. */
static void a_life_cycle_narrows_what_is_legal(void **state)
{
    stage *s = *state;
    static const struct {
        uint8_t life, pin_tries, code_tries;
        command send;
        uint16_t status;
    } rows[] = {{CB_LIFE_PERSONALISED, 3, 10, do_verify, CB_SW_CONDITIONS},
                {CB_LIFE_PERSONALISED, 3, 10, do_unblock, CB_SW_CONDITIONS},
                {CB_LIFE_PERSONALISED, 3, 10, do_prove, CB_SW_CONDITIONS},
                {CB_LIFE_PERSONALISED, 3, 10, do_change, CB_SW_OK},
                {CB_LIFE_PERSONALISED, 0, 10, do_change, CB_SW_BLOCKED},
                {CB_LIFE_ACTIVE, 0, 10, do_verify, CB_SW_BLOCKED},
                {CB_LIFE_ACTIVE, 0, 10, do_change, CB_SW_BLOCKED},
                {CB_LIFE_ACTIVE, 0, 10, do_unblock, CB_SW_OK},
                {CB_LIFE_ACTIVE, 3, 0, do_unblock, CB_SW_BLOCKED},
                {CB_LIFE_ACTIVE, 3, 0, do_select, CB_SW_TERMINATED},
                {CB_LIFE_TERMINATED, 3, 10, do_select, CB_SW_TERMINATED}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hand h = s->hand[AUTHENTICATED];
        enter(s, AUTHENTICATED);
        cb_native_of(s->w.card)->state.life_cycle = rows[i].life;
        cb_native_of(s->w.card)->state.pin_tries = rows[i].pin_tries;
        cb_native_of(s->w.card)->state.code_tries = rows[i].code_tries;
        assert_int_equal(rows[i].send(s, &h), rows[i].status);
    }
    hand h = s->hand[AUTHENTICATED];
    enter(s, AUTHENTICATED);
    cb_native_of(s->w.card)->state.counter = UINT32_MAX;
    assert_int_equal(hand_prove(&h), CB_SW_CONDITIONS);
}

/* ---- Power ---- */

/* Memory that keeps what was written until the power goes, before or after one of the writes. */
typedef struct memory {
    cb_vcard_state durable;
    int writes, cut_at;
    bool after;
} memory;

static cb_error write_until_cut(void *context, const cb_vcard *card)
{
    memory *m = context;
    bool now = ++m->writes == m->cut_at;
    if (!now || m->after)
        m->durable = *cb_vcard_state_of(card);
    return now ? CB_E_IO : CB_OK;
}

/* A tap of a card that wakes up with what is durable. */
static void tap_until_cut(world *w, memory *m, const cb_tap_purpose purpose, typed pin)
{
    cb_vcard_store store = {m, write_until_cut};
    cb_card_claim claim;
    m->writes = 0;
    cb_vcard_close(&w->card);
    assert_int_equal(cb_vcard_make(&m->durable, &store, &w->card), CB_OK);
    w->context.purpose = purpose;
    world_tap(w, pin, &claim);
}

/* Whoever cuts the power, wherever he likes, gets no more comparisons than there are tries. The
 * card compares only after its first write is durable; what it wrote before shows in the tries. */
static void cutting_the_power_buys_no_comparison(void **state)
{
    static const struct {
        cb_tap_purpose purpose;
        typed pin;
        int tries;
    } rows[] = {{CB_TAP_AUTHENTICATE, {"0000", NULL}, CB_VCARD_PIN_TRIES},
                {CB_TAP_PIN_CHANGE, {"0000", "9999"}, CB_VCARD_PIN_TRIES},
                {CB_TAP_PIN_UNBLOCK, {"00000000", "9999"}, CB_VCARD_CODE_TRIES}};
    world *w = &((stage *)*state)->w;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool code = rows[i].purpose == CB_TAP_PIN_UNBLOCK;
        for (int cut = 2; cut < 10; cut++) {
            memory m = {.durable = w->first, .cut_at = cut / 2, .after = cut % 2};
            bool before_the_first = cut == 2;
            for (int tap = 1; tap <= rows[i].tries + 2; tap++) {
                tap_until_cut(w, &m, rows[i].purpose, rows[i].pin);
                int left = rows[i].tries - (before_the_first ? 0 : tap);
                assert_int_equal(code ? m.durable.code_tries : m.durable.pin_tries,
                                 left > 0 ? left : 0);
                assert_memory_equal(m.durable.pin, w->first.pin, CB_PIN_MAX);
                /* Without a durable try nothing was answered: not even whether it was right. */
                assert_true(!before_the_first || m.writes == 1);
            }
            assert_int_equal(code ? m.durable.pin_tries : m.durable.code_tries,
                             code ? CB_VCARD_PIN_TRIES : CB_VCARD_CODE_TRIES);
            if (code && !before_the_first)
                assert_int_equal(hand_select(w->card), CB_SW_TERMINATED);
        }
    }
}

/* A right secret and a cut: the card has the old PIN or the new one, with tries to match, and never
 * a state that no uncut card could have. */
static void cutting_the_power_leaves_the_old_pin_or_the_new(void **state)
{
    static const struct {
        cb_tap_purpose purpose;
        typed pin;
        uint8_t life, pin_tries;
    } rows[] = {{CB_TAP_AUTHENTICATE, {WORLD_PIN, NULL}, CB_LIFE_ACTIVE, 1},
                {CB_TAP_PIN_CHANGE, {WORLD_PIN, "9999"}, CB_LIFE_ACTIVE, 1},
                {CB_TAP_PIN_CHANGE, {WORLD_PIN, "9999"}, CB_LIFE_PERSONALISED, 3},
                {CB_TAP_PIN_UNBLOCK, {WORLD_CODE, "9999"}, CB_LIFE_ACTIVE, 0}};
    world *w = &((stage *)*state)->w;
    uint8_t fresh[CB_PIN_MAX];
    cb_pin_pad(cb_bytes_str("9999"), fresh);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool code = rows[i].purpose == CB_TAP_PIN_UNBLOCK;
        for (int cut = 2; cut < 10; cut++) {
            memory m = {.durable = w->first, .cut_at = cut / 2, .after = cut % 2};
            m.durable.life_cycle = rows[i].life;
            m.durable.pin_tries = rows[i].pin_tries;
            tap_until_cut(w, &m, rows[i].purpose, rows[i].pin);
            bool taken = cut > 2, done = cut > 4; /* the first write, the second */
            const cb_vcard_state *d = &m.durable;
            assert_memory_equal(d->pin, done && rows[i].pin.fresh ? fresh : w->first.pin,
                                CB_PIN_MAX);
            assert_int_equal(d->pin_tries,
                             done ? CB_VCARD_PIN_TRIES : rows[i].pin_tries - (taken && !code));
            assert_int_equal(d->code_tries, CB_VCARD_CODE_TRIES - (taken && !done && code));
            assert_int_equal(d->failures, taken && !done);
            assert_int_equal(d->life_cycle, done ? CB_LIFE_ACTIVE : rows[i].life);
            assert_int_equal(d->counter, cut > 6);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_command_in_each_state_does_what_is_written),
        TEST(no_plain_command_reaches_what_the_channel_guards),
        TEST(no_other_instruction_or_parameter_does_anything),
        TEST(only_the_right_length_is_taken),
        TEST(a_life_cycle_narrows_what_is_legal),
        TEST(cutting_the_power_buys_no_comparison),
        TEST(cutting_the_power_leaves_the_old_pin_or_the_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

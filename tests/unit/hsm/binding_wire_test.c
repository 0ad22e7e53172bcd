/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal that changes what it relays while a PIV card is registered by a one-time code, or
 * renews its certificates in a tap, enumerated: each byte of every command and every answer, those
 * by which the certificates are read among them. The code is the terminal's to use: it says its
 * word over what it has read, whatever that is. The card is bound as it would have been without the
 * change, or it is not bound; but for its name where its issuer has not vouched for that. Of each
 * byte one bit is changed here; with CARDBROKER_FAULTS=all each bit, all of it, and the message cut
 * off before it. (Logins: foreign_wire_test.c.)
 */
#include "registering_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cardlink/card/piv/application.h"
#include "cardlink/terminal/survey.h"
#include "hsm/binding.h"
#include "meddle.h"

enum { KEYS = 2, MESSAGES_LEAST = 7 };

static piv_card card;

/* What the card is bound with before it is renewed. */
static cb_buf binding = {.max = CB_BINDING_MAX},
              certificates = {.max = CB_FOREIGN_CERTIFICATES_LEN};

/* ---- What hsmd remembers of cards ---- */

static cb_memo *fresh; /* in the place of the lane's own */
static char kept[128], copy[128];

static void copy_file(const char *from, const char *to)
{
    char command[512];
    snprintf(command, sizeof command, "cp %s %s", from, to);
    assert_int_equal(system(command), 0);
}

/* As it was before the card was bound, so that nothing is refused for that alone. */
static void forget(void)
{
    cb_memo_close(&fresh);
    copy_file(kept, copy);
    good(cb_memo_open(copy, &fresh));
    use.taps->setup.bound = fresh;
}

static void remember(void)
{
    snprintf(kept, sizeof kept, "%s/kept", f.folder);
    snprintf(copy, sizeof copy, "%s/copy", f.folder);
    copy_file(f.config.bound_path, kept);
    forget();
}

/* ---- A terminal ---- */

typedef struct hostile {
    meddling *m; /* NULL: an honest one */
    size_t messages;
} hostile;

static cb_error pass(void *context, cb_bytes command, cb_buf *answer)
{
    hostile *h = context;
    cb_buf there = CB_BUF(512), back = CB_BUF(512);
    cb_buf_put(&there, command);
    meddle(h->m, (place){0, h->messages, false}, &there);
    cb_vcard_process(card.card, cb_buf_bytes(&there), &back);
    meddle(h->m, (place){0, h->messages, true}, &back);
    h->messages++;
    cb_buf_put(answer, cb_buf_bytes(&back));
    cb_buf_free(&there);
    cb_buf_free(&back);
    return cb_buf_error(answer);
}

static cb_error ask_renewal(attempt *a)
{
    cb_buf_reset(&a->body);
    cb_buf_reset(&a->script);
    cb_put_context(&a->body, &a->context);
    cb_put_reading(&a->body, &a->reading);
    cb_buf_put_var(&a->body, cb_buf_bytes(&binding));
    cb_buf_put_var(&a->body, cb_buf_bytes(&certificates));
    return walk_ask(&use, CB_HSM_TAP_RENEW, &a->body, &a->script);
}

static cb_error read_certificates(attempt *a, const piv_card *c, cb_survey_keys *keys)
{
    cb_error error = cb_survey_read(&c->io, &cb_profile_piv, cb_buf_bytes(&a->first), keys);
    a->reading =
        (cb_foreign_reading){.profile = CB_PROFILE_PIV, .answers = cb_buf_bytes(&a->first)};
    for (size_t i = 0; !error && i < keys->count; i++) {
        a->reading.key[i].use = keys->key[i].use;
        a->reading.key[a->reading.keys++].certificate = cb_buf_bytes(&keys->key[i].der);
    }
    return error;
}

/* Another tap's place is not held by this one. */
static void leave(const attempt *a)
{
    cb_tap *tap;
    if (!cb_taps_enter(use.taps, &a->context.tap, ~0u, &tap))
        cb_taps_end(use.taps, tap);
    use.taps->begun = 0;
}

static cb_error play_tap(attempt *a, const piv_card *c, cb_survey_keys *keys)
{
    bool renews = a->context.purpose == CB_TAP_RENEW;
    cb_error error = tap_try(c, "", &a->script, &a->first);
    if (!error)
        error = read_certificates(a, c, keys);
    if (!error && !renews)
        error = cb_registration_say(symbols, &a->context.tap, &a->reading, &a->word);
    if (!error)
        error = renews ? ask_renewal(a) : ask(a);
    if (!error)
        error = tap_try(c, PIV_PIN, &a->script, &a->answers);
    if (!error)
        error = tap_tell(a);
    return error ? error : bind(a);
}

/* A whole tap; out: what is bound then. */
static cb_error tap_through(cb_tap_purpose purpose, hostile *h, cb_binding_info *out)
{
    attempt a;
    piv_card c = card;
    cb_survey_keys keys;
    cb_survey_keys_init(&keys);
    c.io.card = h;
    c.io.transmit = pass;
    ((cb_vpiv_application *)cb_vcard_applet(card.card, &cb_applet_piv))->state.pin_tries =
        CB_VPIV_PIN_TRIES;
    tap_open(&a, purpose);
    cb_vcard_reset(card.card);
    cb_error error = play_tap(&a, &c, &keys);
    assert_int_equal(a.binding.len > 0, error == CB_OK);
    if (!error)
        good(fake_vault.binding_check(NULL, cb_buf_bytes(&a.binding), out));
    leave(&a);
    cb_survey_keys_free(&keys);
    tap_free(&a);
    return error;
}

/* ---- Each byte ---- */

typedef struct enumeration {
    cb_tap_purpose purpose;
    cb_binding_info honest;
    size_t messages, bound, refused;
} enumeration;

static bool is_same(const cb_binding_info *a, const cb_binding_info *b)
{
    cb_digest one = cb_binding_digest(a), other = cb_binding_digest(b);
    return memcmp(&one, &other, sizeof one) == 0 && cb_id_same(&a->card, &b->card) &&
           cb_id_same(&a->holder, &b->holder) && a->level == b->level && a->sequence == b->sequence;
}

/* Nothing of an earlier tap is left by which this one could be refused. */
static void begin_again(cb_tap_purpose purpose)
{
    forget();
    if (purpose == CB_TAP_REGISTER)
        allow(&holder, CB_LEVEL_TERMINAL_PIN);
}

/* The FASC-N in the CHUID, which the certificates of these cards do not name (hsm/marks.h): the
 * card has another name by it, with all that is its own, and cannot be bound under its true one,
 * too. */
static bool is_renamed(const enumeration *e, const meddling *m, const cb_binding_info *info)
{
    static const place chuid = {0, 1, true};
    enum { FASC_N = 4, FASC_N_END = 28 };
    cb_binding_info same = *info, again;
    hostile honest = {0};
    same.card = e->honest.card;
    if (e->purpose != CB_TAP_REGISTER || !meddles_in(m, chuid, FASC_N, FASC_N_END, FLIP) ||
        !is_same(&same, &e->honest))
        return false;
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    expect(CB_E_CARD_BOUND, tap_through(e->purpose, &honest, &again));
    return true;
}

static bool is_one_of(const cb_card_key *key, const cb_binding_info *info)
{
    for (size_t i = 0; i < info->keys.count; i++) {
        const cb_card_key *one = &info->keys.key[i];
        if (one->use == key->use && one->kind == key->kind && one->len == key->len &&
            memcmp(one->data, key->data, key->len) == 0 &&
            memcmp(&one->certificate, &key->certificate, sizeof one->certificate) == 0)
            return true;
    }
    return false;
}

/* A card may have one key only: what a terminal says that it has not, is left out. */
static bool is_left_out(const enumeration *e, const meddling *m, const cb_binding_info *info)
{
    cb_binding_info same = *info;
    same.keys = e->honest.keys;
    return e->purpose == CB_TAP_REGISTER && m->at.command > 1 && info->keys.count == 1 &&
           is_one_of(&info->keys.key[0], &e->honest) && is_same(&same, &e->honest);
}

/* False when there is no such byte. The last answer is the card's proof, of which each byte of data
 * and status counts. */
static bool disturb(enumeration *e, meddling *m)
{
    cb_binding_info info;
    hostile h = {.m = m};
    cb_error error = tap_through(e->purpose, &h, &info);
    bool proof = m->at.answer && m->at.command == e->messages - 1;
    bool genuine = !error && (is_same(&info, &e->honest) || is_left_out(e, m, &info) ||
                              is_renamed(e, m, &info));
    if (!error && (!genuine || (m->hit && proof)))
        fail_msg("%s %zu, byte %zu, change %u: bound", m->at.answer ? "answer" : "command",
                 m->at.command, m->byte, m->change);
    if (error == CB_E_CARD_BOUND || error == CB_E_REGISTRATION_USED || error == CB_E_BUSY)
        fail_msg("%s %zu, byte %zu, change %u: %s hides what would come of it",
                 m->at.answer ? "answer" : "command", m->at.command, m->byte, m->change,
                 cb_error_code(error));
    if (!error)
        begin_again(e->purpose);
    e->bound += m->hit && !error;
    e->refused += m->hit && error;
    return m->hit;
}

static bool all_are_asked_for(void)
{
    const char *wish = getenv("CARDBROKER_FAULTS");
    return wish && strcmp(wish, "all") == 0;
}

static void disturb_message(enumeration *e, place at)
{
    bool there = true, all = all_are_asked_for();
    for (size_t byte = 0; there; byte++) {
        for (unsigned change = 0; there && change < LONGER; change++) {
            meddling m = {.at = at, .byte = byte, .change = change};
            if (all || change == byte % 8)
                there = disturb(e, &m);
        }
    }
    meddling m = {.at = at, .change = LONGER};
    disturb(e, &m);
}

static void disturb_all(cb_tap_purpose purpose)
{
    enumeration e = {.purpose = purpose};
    hostile honest = {0};
    begin_again(purpose);
    good(tap_through(purpose, &honest, &e.honest));
    assert_int_equal(e.honest.keys.count, KEYS);
    for (unsigned i = 0; i < KEYS; i++) {
        cb_digest digest = cb_sha256(card.certificate[i]);
        assert_memory_equal(&e.honest.keys.key[i].certificate, &digest, sizeof digest);
    }
    e.messages = honest.messages;
    assert_true(e.messages >= MESSAGES_LEAST);
    begin_again(purpose);
    for (size_t message = 0; message < e.messages; message++) {
        for (int answer = 0; answer < 2; answer++)
            disturb_message(&e, (place){0, message, answer});
    }
    print_message("%zu messages; %zu taps refused, %zu as without the change\n", e.messages,
                  e.refused, e.bound);
    assert_true(e.refused > card.certificate[0].len + card.certificate[1].len);
}

static void no_byte_that_is_changed_on_the_way_is_registered(void **state)
{
    (void)state;
    make(&card);
    remember();
    disturb_all(CB_TAP_REGISTER);
    piv_card_free(&card);
}

/* As a manager registers it. */
static void bind_as_it_is(void)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_foreign_reading reading = {.profile = CB_PROFILE_PIV};
    piv_card_answers(&card, &answers);
    reading.answers = cb_buf_bytes(&answers);
    piv_card_show(&card, &reading);
    for (unsigned i = 0; i < KEYS; i++)
        cb_buf_put(&certificates, card.certificate[i]);
    cb_put_reading(&body, &reading);
    cb_put_id(&body, &holder);
    cb_buf_put_u8(&body, CB_LEVEL_TERMINAL_PIN);
    cb_buf_put_u64(&body, 1);
    good(walk_ask(&manage, CB_HSM_BIND_FOREIGN, &body, &binding));
    cb_buf_free(&body);
    cb_buf_free(&answers);
}

static void no_byte_that_is_changed_on_the_way_is_renewed(void **state)
{
    cb_buf certificate = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
    cb_vcard_key key;
    (void)state;
    use.host->foreign[0].renewal = CB_X509_RENEWAL_SAME_SUBJECT;
    use.host->foreign[0].renewal_at_taps = true;
    make(&card);
    bind_as_it_is();
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &key)); /* 9A's is new, and the PIN is asked for */
    piv_card_exchange(&card, 0, &key);
    for (unsigned i = 0; i < KEYS; i++) {
        cb_buf_reset(&certificate);
        piv_card_certify(&card, &issuer, i, NULL, NULL, 1, &certificate);
        piv_card_update(&card, i, cb_buf_bytes(&certificate));
    }
    remember();
    disturb_all(CB_TAP_RENEW);
    cb_buf_free(&certificate);
    cb_buf_free(&binding);
    cb_buf_free(&certificates);
    piv_card_free(&card);
}

static int begin_all(void **state)
{
    int failed = setup(state);
    agency_trust(&issuer, CB_PROFILE_PIV, &manage.host->foreign[0]);
    return failed;
}

static int end_all(void **state)
{
    use.taps->setup.bound = use.bound;
    cb_memo_close(&fresh);
    unlink(kept);
    unlink(copy);
    return teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_byte_that_is_changed_on_the_way_is_registered),
        cmocka_unit_test(no_byte_that_is_changed_on_the_way_is_renewed),
    };
    return cmocka_run_group_tests(tests, begin_all, end_all);
}

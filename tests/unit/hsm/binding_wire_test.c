/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal that changes what it relays while a PIV, JPKI or SCP03 card is registered by a
 * one-time code, or a PIV card renews its certificates in a tap, enumerated: each byte of every
 * command and every answer, those by which the certificates are read among them. The code is the
 * terminal's to use: it says its word over what it has read, whatever that is. The card is bound as
 * it would have been without the change, or it is not bound and the code stays open; but for a PIV
 * card's name where its issuer has not vouched for that. Of each byte one bit is changed here; with
 * CARDBROKER_FAULTS=all each bit, all of it, and the message cut off before it. (Logins:
 * foreign_wire_test.c.)
 */
#include "registering_steps.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/config.h"
#include "cardlink/card/jpki/application.h"
#include "cardlink/card/piv/application.h"
#include "cardlink/card/scp03/application.h"
#include "cardlink/piv/first.h"
#include "cardlink/scp03/session.h"
#include "cardlink/terminal/survey.h"
#include "hsm/binding.h"
#include "meddle.h"

enum { KEYS = 2 }; /* of a PIV card, beside the one of its secure messaging */

/* A card, as it was made. */
typedef struct subject {
    const cb_card_profile *profile;
    const cb_applet *applet;
    cb_bytes atr;
    uint8_t level;
    const char *pin;       /* "": none */
    size_t messages_least; /* of a tap; more where an answer comes in parts */
    size_t keys;
    cb_bytes certificate[CB_CARD_KEYS_MAX];
    bool nameless; /* what its certificates say of it is not all that it is known by */
    cb_buf state;
} subject;

/* What the card is bound with before it is renewed. */
static cb_buf binding = {.max = CB_BINDING_MAX},
              certificates = {.max = CB_FOREIGN_CERTIFICATES_LEN};

/* ---- What hsmd remembers of cards ---- */

static cb_memo *fresh; /* in the place of the lane's own */
static cb_buf kept = {.max = 4 * 1024 * 1024};
static char copy[128];

/* As it was before the card was bound, so that nothing is refused for that alone. */
static void forget(void)
{
    cb_memo_close(&fresh);
    int fd = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, kept.data, kept.len), kept.len);
    close(fd);
    good(cb_memo_open(copy, &fresh));
    use.taps->setup.bound = fresh;
}

static void remember(void)
{
    snprintf(copy, sizeof copy, "%s/copy", f.folder);
    cb_buf_reset(&kept);
    good(cb_file_read(f.config.bound_path, &kept));
    forget();
}

/* ---- A terminal ---- */

typedef struct hostile {
    meddling *m; /* NULL: an honest one */
    size_t messages;
    cb_vcard *card;
} hostile;

static cb_error pass(void *context, cb_bytes command, cb_buf *answer)
{
    hostile *h = context;
    cb_buf there = CB_BUF(512), back = CB_BUF(512);
    cb_buf_put(&there, command);
    meddle(h->m, (place){0, h->messages, false}, &there);
    cb_vcard_process(h->card, cb_buf_bytes(&there), &back);
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

static cb_error read_certificates(attempt *a, const cb_card_io *io, cb_survey_keys *keys)
{
    uint8_t profile = a->context.profile;
    cb_error error = cb_survey_read(io, cb_profile_find(profile), cb_buf_bytes(&a->first), keys);
    a->reading = (cb_foreign_reading){.profile = profile, .answers = cb_buf_bytes(&a->first)};
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

static cb_error play_tap(attempt *a, const cb_card_io *io, const char *pin, cb_survey_keys *keys)
{
    bool renews = a->context.purpose == CB_TAP_RENEW;
    cb_error error = tap_try(io, "", &a->script, &a->first);
    if (!error)
        error = read_certificates(a, io, keys);
    if (!error && !renews)
        error = cb_registration_say(symbols, &a->context.tap, &a->reading, &a->word);
    if (!error)
        error = renews ? ask_renewal(a) : ask(a);
    if (!error)
        error = tap_try(io, pin, &a->script, &a->answers);
    if (!error)
        error = tap_tell(a);
    return error ? error : bind(a);
}

/* A whole tap; out: what is bound then. */
static cb_error tap_through(const subject *s, cb_tap_purpose purpose, hostile *h,
                            cb_binding_info *out)
{
    attempt a;
    cb_survey_keys keys;
    cb_survey_keys_init(&keys);
    h->card = card_lay(s->applet, s->atr, cb_buf_bytes(&s->state), NULL);
    const cb_card_io io = {.card = h, .transmit = pass};
    tap_open(&a, s->profile->id, purpose);
    cb_vcard_reset(h->card);
    cb_error error = play_tap(&a, &io, s->pin, &keys);
    assert_int_equal(a.binding.len > 0, error == CB_OK);
    if (!error)
        good(fake_vault.binding_check(NULL, cb_buf_bytes(&a.binding), out));
    leave(&a);
    cb_vcard_close(&h->card);
    cb_survey_keys_free(&keys);
    tap_free(&a);
    return error;
}

/* ---- Each byte ---- */

typedef struct enumeration {
    const subject *of;
    cb_tap_purpose purpose;
    cb_binding_info honest;
    size_t messages, bound, refused;
} enumeration;

static bool is_same(const cb_binding_info *a, const cb_binding_info *b)
{
    cb_digest one = cb_binding_digest(a), other = cb_binding_digest(b);
    return memcmp(&one, &other, sizeof one) == 0 && cb_id_same(&a->card, &b->card) &&
           cb_id_same(&a->holder, &b->holder) && a->level == b->level &&
           a->sequence == b->sequence && a->expires == b->expires;
}

/* Nothing of an earlier tap is left by which this one could be refused. */
static void begin_again(const enumeration *e)
{
    forget();
    if (e->purpose == CB_TAP_REGISTER)
        allow_for(&holder, e->of->profile->id, e->of->level);
}

/* What is refused costs no code, and charges it with nothing. */
static bool is_code_left_so(const enumeration *e, cb_error error)
{
    if (e->purpose != CB_TAP_REGISTER)
        return true;
    cb_registration_grant grant = state_of(&code);
    return grant.state == (error ? CB_REGISTRATION_OPEN : CB_REGISTRATION_USED) && grant.wrong == 0;
}

/* The FASC-N in the CHUID, which no certificate of the card names (hsm/marks.h): the card has
 * another name by it, with all that is its own, and cannot be bound under its true one, too. */
static bool is_renamed(const enumeration *e, const meddling *m, const cb_binding_info *info)
{
    static const place chuid = {0, 1, true};
    enum { FASC_N = 4, FASC_N_END = 28 };
    cb_binding_info same = *info, again;
    hostile honest = {0};
    same.card = e->honest.card;
    if (e->purpose != CB_TAP_REGISTER || !e->of->nameless ||
        !meddles_in(m, chuid, FASC_N, FASC_N_END, FLIP) || !is_same(&same, &e->honest))
        return false;
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    expect(CB_E_CARD_BOUND, tap_through(e->of, e->purpose, &honest, &again));
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

/* A card may have one key only: what a terminal says that it has not, its secure messaging among
 * it, is left out. */
static bool is_left_out(const enumeration *e, const meddling *m, const cb_binding_info *info)
{
    cb_binding_info same = *info;
    same.keys = e->honest.keys;
    bool fewer = info->keys.count > 0 && info->keys.count < e->honest.keys.count;
    for (size_t i = 0; i < info->keys.count; i++)
        fewer = fewer && is_one_of(&info->keys.key[i], &e->honest);
    return e->purpose == CB_TAP_REGISTER && m->at.command > 1 && fewer &&
           is_same(&same, &e->honest);
}

/* False when there is no such byte. The last answer is the card's proof, of which each byte of data
 * and status counts. */
static bool disturb(enumeration *e, meddling *m)
{
    cb_binding_info info;
    hostile h = {.m = m};
    cb_error error = tap_through(e->of, e->purpose, &h, &info);
    bool proof = m->at.answer && m->at.command == e->messages - 1;
    bool left_so = is_code_left_so(e, error);
    bool genuine = !error && (is_same(&info, &e->honest) || is_left_out(e, m, &info) ||
                              is_renamed(e, m, &info));
    if (!error && (!genuine || (m->hit && proof)))
        fail_msg("%s %zu, byte %zu, change %u: bound", m->at.answer ? "answer" : "command",
                 m->at.command, m->byte, m->change);
    if (!left_so)
        fail_msg("%s %zu, byte %zu, change %u: %s, and the code is not left so",
                 m->at.answer ? "answer" : "command", m->at.command, m->byte, m->change,
                 error ? cb_error_code(error) : "bound");
    if (error == CB_E_CARD_BOUND || error == CB_E_REGISTRATION_USED || error == CB_E_BUSY)
        fail_msg("%s %zu, byte %zu, change %u: %s hides what would come of it",
                 m->at.answer ? "answer" : "command", m->at.command, m->byte, m->change,
                 cb_error_code(error));
    if (!error)
        begin_again(e);
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

/* How the card is bound where nothing is changed. */
static void begin_honestly(enumeration *e)
{
    hostile honest = {0};
    begin_again(e);
    good(tap_through(e->of, e->purpose, &honest, &e->honest));
    assert_int_equal(e->honest.keys.count, e->of->keys);
    for (size_t i = 0; i < e->of->keys; i++) {
        cb_digest digest = cb_sha256(e->of->certificate[i]);
        assert_memory_equal(&e->honest.keys.key[i].certificate, &digest, sizeof digest);
    }
    e->messages = honest.messages;
    assert_true(e->messages >= e->of->messages_least);
    begin_again(e);
}

/* It can be bound still, by the same code, if none of the changes has bound anything. */
static void end_honestly(const enumeration *e)
{
    hostile honest = {0};
    cb_binding_info info;
    good(tap_through(e->of, e->purpose, &honest, &info));
    assert_true(is_same(&info, &e->honest));
}

static void disturb_all(const subject *s, cb_tap_purpose purpose)
{
    size_t bytes = s->messages_least;
    enumeration e = {.of = s, .purpose = purpose};
    begin_honestly(&e);
    for (size_t message = 0; message < e.messages; message++) {
        for (int answer = 0; answer < 2; answer++)
            disturb_message(&e, (place){0, message, answer});
    }
    end_honestly(&e);
    print_message("%s: %zu messages; %zu taps refused, %zu as without the change\n",
                  s->profile->name, e.messages, e.refused, e.bound);
    for (size_t i = 0; i < s->keys; i++)
        bytes += s->certificate[i].len;
    assert_true(e.refused > bytes);
}

/* ---- Cards ---- */

static subject piv_subject(const piv_card *c)
{
    subject s = {.profile = &cb_profile_piv,
                 .applet = &cb_applet_piv,
                 .atr = CB_BYTES_OF(cb_vpiv_atr),
                 .level = CB_LEVEL_TERMINAL_PIN,
                 .pin = PIV_PIN,
                 .messages_least = 7,
                 .keys = KEYS,
                 .nameless = true,
                 .state = CB_BUF(CB_CARD_STATE_MAX)};
    cb_vpiv_state_put(&s.state, &c->state);
    for (unsigned i = 0; i < KEYS; i++)
        s.certificate[i] = c->certificate[i];
    return s;
}

static void no_byte_that_is_changed_on_the_way_is_registered(void **state)
{
    piv_card card;
    (void)state;
    make(&card);
    subject s = piv_subject(&card);
    remember();
    disturb_all(&s, CB_TAP_REGISTER);
    cb_buf_free(&s.state);
    piv_card_free(&card);
}

static void nor_of_a_piv_card_with_secure_messaging(void **state)
{
    piv_card card;
    cb_vcard_key key;
    cb_issue_signer signer;
    cb_buf certificate = CB_BUF(CB_ISSUE_X509_MAX);
    (void)state;
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &key));
    content_signer_certify(&issuer, &key, PIV_CONTENT_SIGNING, 0, &certificate);
    content_signer_make(&key, cb_buf_bytes(&certificate), &signer);
    piv_card_make_secured(&card, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256, &signer);
    subject s = piv_subject(&card);
    s.certificate[s.keys++] = cb_buf_bytes(&certificate);
    remember();
    disturb_all(&s, CB_TAP_REGISTER);
    cb_buf_free(&s.state);
    cb_buf_free(&certificate);
    cb_issue_signer_end(&signer);
    piv_card_free(&card);
}

static void nor_is_a_card_renamed_whose_certificates_name_its_fasc_n(void **state)
{
    piv_card card;
    enumeration e = {.purpose = CB_TAP_REGISTER};
    (void)state;
    make(&card);
    piv_card_name_fasc_n(&card, &issuer);
    subject s = piv_subject(&card);
    s.nameless = false;
    e.of = &s;
    remember();
    begin_honestly(&e);
    disturb_message(&e, (place){0, 1, true});
    end_honestly(&e);
    assert_true(e.refused > CB_PIV_FASC_N + CB_PIV_GUID);
    cb_buf_free(&s.state);
    piv_card_free(&card);
}

static void no_byte_that_is_changed_on_the_way_registers_a_jpki_card(void **state)
{
    cb_buf certificate = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
    subject s = {.profile = &cb_profile_jpki,
                 .applet = &cb_applet_jpki,
                 .atr = CB_BYTES_OF(cb_vjpki_atr),
                 .level = CB_LEVEL_TERMINAL_PIN,
                 .pin = JPKI_PIN,
                 .messages_least = 11,
                 .keys = 1,
                 .state = CB_BUF(CB_CARD_STATE_MAX)};
    (void)state;
    jpki_card_make(&issuer, &s.state, &certificate);
    s.certificate[0] = cb_buf_bytes(&certificate);
    remember();
    disturb_all(&s, CB_TAP_REGISTER);
    cb_buf_free(&s.state);
    cb_buf_free(&certificate);
}

static void nor_an_scp03_card(void **state)
{
    static const uint8_t i[] = {CB_SCP03_I_ANSWERS, CB_SCP03_I_ANSWERS | CB_SCP03_I_PSEUDO_RANDOM};
    const cb_profile_host was = use.host->profile;
    (void)state;
    scp03_card_trust(&use.host->profile);
    for (size_t kind = 0; kind < sizeof i; kind++) {
        subject s = {.profile = &cb_profile_scp03,
                     .applet = &cb_applet_scp03,
                     .atr = CB_BYTES_OF(cb_vscp03_atr),
                     .level = CB_LEVEL_POSSESSION,
                     .pin = "",
                     .messages_least = 4,
                     .state = CB_BUF(CB_CARD_STATE_MAX)};
        scp03_card_make(i[kind], &s.state);
        remember();
        disturb_all(&s, CB_TAP_REGISTER);
        cb_buf_free(&s.state);
    }
    use.host->profile = was;
}

/* As a manager registers it. */
static void bind_as_it_is(const piv_card *card)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_foreign_reading reading = {.profile = CB_PROFILE_PIV};
    piv_card_answers(card, &answers);
    reading.answers = cb_buf_bytes(&answers);
    piv_card_show(card, &reading);
    for (unsigned i = 0; i < KEYS; i++)
        cb_buf_put(&certificates, card->certificate[i]);
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
    piv_card card;
    (void)state;
    use.host->foreign[0].renewal = CB_X509_RENEWAL_SAME_SUBJECT;
    use.host->foreign[0].renewal_at_taps = true;
    make(&card);
    bind_as_it_is(&card);
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &key)); /* 9A's is new, and the PIN is asked for */
    piv_card_exchange(&card, 0, &key);
    for (unsigned i = 0; i < KEYS; i++) {
        cb_buf_reset(&certificate);
        piv_card_certify(&card, &issuer, i, NULL, NULL, 1, &certificate);
        piv_card_update(&card, i, cb_buf_bytes(&certificate));
    }
    subject s = piv_subject(&card);
    remember();
    disturb_all(&s, CB_TAP_RENEW);
    cb_buf_free(&s.state);
    cb_buf_free(&certificate);
    cb_buf_free(&binding);
    cb_buf_free(&certificates);
    piv_card_free(&card);
}

static int begin_all(void **state)
{
    int failed = setup(state);
    agency_trust(&issuer, CB_PROFILE_PIV, &manage.host->foreign[0]);
    agency_trust(&issuer, CB_PROFILE_JPKI, &use.host->foreign[1]);
    return failed;
}

static int end_all(void **state)
{
    use.taps->setup.bound = use.bound;
    cb_memo_close(&fresh);
    unlink(copy);
    cb_buf_free(&kept);
    return teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_byte_that_is_changed_on_the_way_is_registered),
        cmocka_unit_test(nor_of_a_piv_card_with_secure_messaging),
        cmocka_unit_test(nor_is_a_card_renamed_whose_certificates_name_its_fasc_n),
        cmocka_unit_test(no_byte_that_is_changed_on_the_way_registers_a_jpki_card),
        cmocka_unit_test(nor_an_scp03_card),
        cmocka_unit_test(no_byte_that_is_changed_on_the_way_is_renewed),
    };
    return cmocka_run_group_tests(tests, begin_all, end_all);
}

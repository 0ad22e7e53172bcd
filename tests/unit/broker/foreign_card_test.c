/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that others issued, in the registry: their certificates, and what takes the place of these.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "cardlink/x509/der.h"
#include "tests/unit/broker/support.h"

static cb_error count_up(void *context, cb_bytes certificate)
{
    assert_true(certificate.len > 0);
    ++*(unsigned *)context;
    return CB_OK;
}

/* Two certificates, as far as anybody here looks at them: DER, and their digests in the binding. */
static void a_foreign_cards_certificates_are_those_of_its_binding(void **state)
{
    static const uint8_t both[] = {0x30, 0x02, 0x05, 0x00, 0x30, 0x03, 0x02, 0x01, 0x07};
    world w;
    cb_card card;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_binding_info info = {.card = cb_id_new(),
                            .profile = CB_PROFILE_PIV,
                            .level = CB_LEVEL_TERMINAL_PIN,
                            .sequence = 1};
    (void)state;
    info.keys.count = 2;
    info.keys.key[0] = (cb_card_key){.use = 0x9A,
                                     .kind = CB_CARD_KEY_P256,
                                     .len = 65,
                                     .certificate = cb_sha256(cb_bytes_make(both, 4))};
    info.keys.key[1] = (cb_card_key){.use = 0x9E,
                                     .kind = CB_CARD_KEY_P256,
                                     .len = 65,
                                     .certificate = cb_sha256(cb_bytes_make(both + 4, 5))};
    world_begin(&w);
    cb_card_init(&card);
    info.holder = w.holder.id;
    make_binding_of(&info, &binding);
    for (size_t cut = 0; cut < sizeof both; cut++)
        assert_int_equal(
            cb_card_add(w.store, "test", cb_buf_bytes(&binding), cb_bytes_make(both, cut), NULL),
            CB_E_ARGUMENT);
    assert_int_equal(
        cb_card_add(w.store, "test", cb_buf_bytes(&binding), cb_bytes_make(both + 4, 5), NULL),
        CB_E_ARGUMENT);
    assert_int_equal(cb_card_add(w.store, "test", cb_buf_bytes(&binding), CB_BYTES_OF(both), &card),
                     CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&card.certificates), CB_BYTES_OF(both)));
    assert_int_equal(cb_card_status(&card, NULL, NULL), CB_E_CERTIFICATE_STATUS);
    unsigned asked = 0;
    assert_int_equal(cb_card_status(&card, count_up, &asked), CB_OK);
    assert_int_equal(asked, 2);
    /* Whoever can write the database puts another one there, leaves one out, or adds one. */
    for (size_t at = 0; at < card.certificates.len; at++) {
        card.certificates.data[at] ^= 1;
        assert_int_equal(cb_card_status(&card, count_up, &asked), CB_E_HSM_RECORD);
        card.certificates.data[at] ^= 1;
    }
    card.certificates.len = 4;
    assert_int_equal(cb_card_status(&card, count_up, &asked), CB_E_HSM_RECORD);
    card.certificates.len = sizeof both;
    cb_buf_put(&card.certificates, cb_bytes_make(both, 4));
    assert_int_equal(cb_card_status(&card, count_up, &asked), CB_E_HSM_RECORD);
    cb_buf_free(&binding);
    cb_card_free(&card);
    world_end(&w);
}

/* Certificates: DER as far as anybody looks. */
static const uint8_t old[] = {0x30, 0x01, 0x01}, new[] = {0x30, 0x01, 0x02},
                     newer[] = {0x30, 0x01, 0x03};

/* Bindings of one foreign card with one key. */
static void renewal_of(const cb_binding_info *before, uint64_t sequence, uint8_t key,
                       cb_bytes certificate, cb_buf *out)
{
    cb_binding_info info = *before;
    info.sequence = sequence;
    info.keys.count = 1;
    info.keys.key[0] = (cb_card_key){.use = 0x9A,
                                     .kind = CB_CARD_KEY_P256,
                                     .len = 65,
                                     .data = {4, key},
                                     .certificate = cb_sha256(certificate)};
    cb_buf_reset(out);
    make_binding_of(&info, out);
}

static void activate(world *w, const cb_binding_info *info)
{
    assert_int_equal(cb_card_change(w->store, "test", &info->card, CB_CARD_ACTIVATE, NULL, NULL),
                     CB_OK);
}

/* A card of the holder's with its old certificate, registered and not active yet. */
static cb_binding_info add_old(world *w, cb_buf *binding)
{
    cb_binding_info info = {.card = cb_id_new(),
                            .holder = w->holder.id,
                            .profile = CB_PROFILE_PIV,
                            .level = CB_LEVEL_TERMINAL_PIN};
    renewal_of(&info, 1, 1, CB_BYTES_OF(old), binding);
    assert_int_equal(cb_card_add(w->store, "test", cb_buf_bytes(binding), CB_BYTES_OF(old), NULL),
                     CB_OK);
    return info;
}

static uint64_t feed_of(world *w)
{
    cb_store_state now;
    assert_int_equal(cb_store_status(w->store, &now), CB_OK);
    return now.feed_number;
}

static void a_renewal_takes_the_place_of_what_the_card_had(void **state)
{
    world w;
    cb_card card;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    (void)state;
    world_begin(&w);
    cb_card_init(&card);
    cb_binding_info info = add_old(&w, &binding);
    activate(&w, &info);
#define RENEW(certificate)                                                                         \
    cb_card_renew(w.store, "test", &info.card, cb_buf_bytes(&binding), CB_BYTES_OF(certificate),   \
                  &card)
    assert_int_equal(RENEW(old), CB_E_EXISTS);
    /* Not after what is there, of somebody or something else, with other certificates. */
    renewal_of(&info, 1, 1, CB_BYTES_OF(new), &binding);
    assert_int_equal(RENEW(new), CB_E_ARGUMENT);
    for (int i = 0; i < 4; i++) {
        cb_binding_info other = info;
        other.card.bytes[0] ^= i == 0;
        other.holder.bytes[0] ^= i == 1;
        other.profile = i == 2 ? CB_PROFILE_JPKI : other.profile;
        other.level = i == 3 ? CB_LEVEL_PIN : other.level;
        renewal_of(&other, 2, 1, CB_BYTES_OF(new), &binding);
        assert_int_equal(RENEW(new), CB_E_ARGUMENT);
    }
    renewal_of(&info, 2, 1, CB_BYTES_OF(new), &binding);
    assert_int_equal(RENEW(old), CB_E_ARGUMENT);
    assert_int_equal(cb_card_get(w.store, &info.card, &card), CB_OK);
    assert_int_equal(card.sequence, 1);
    /* The same key: nothing ends. */
    uint64_t feed = feed_of(&w);
    assert_int_equal(RENEW(new), CB_OK);
    assert_int_equal(feed_of(&w), feed);
    assert_int_equal(RENEW(new), CB_E_EXISTS);
    assert_int_equal(cb_card_get(w.store, &info.card, &card), CB_OK);
    assert_int_equal(card.sequence, 2);
    assert_int_equal(card.state, CB_CARD_ACTIVE);
    assert_true(cb_bytes_same(cb_buf_bytes(&card.binding), cb_buf_bytes(&binding)));
    assert_true(cb_bytes_same(cb_buf_bytes(&card.certificates), CB_BYTES_OF(new)));
    /* Another: the feed says that the old one is over. */
    renewal_of(&info, 9, 2, CB_BYTES_OF(old), &binding);
    assert_int_equal(RENEW(old), CB_OK);
    assert_int_equal(feed_of(&w), feed + 1);
    assert_int_equal(cb_card_change(w.store, "test", &info.card, CB_CARD_REVOKE, NULL, NULL),
                     CB_OK);
    renewal_of(&info, 10, 2, CB_BYTES_OF(new), &binding);
    assert_int_equal(RENEW(new), CB_E_STATE);
#undef RENEW
    info.card = cb_id_new();
    assert_int_equal(
        cb_card_renew(w.store, "test", &info.card, cb_buf_bytes(&binding), CB_BYTES_OF(new), &card),
        CB_E_NOT_FOUND);
    cb_buf_free(&binding);
    cb_card_free(&card);
    verify_and_end(&w);
}

/* By the card's own tap; the terminal, and the binding that was renewed, are looked at in the
 * transaction. */
static void of_two_taps_that_renew_one_is_recorded(void **state)
{
    world w;
    cb_card card;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    (void)state;
    world_begin(&w);
    cb_card_init(&card);
    cb_binding_info info = add_old(&w, &binding);
    cb_card_tap_renewal what = {.tap = cb_id_new(),
                                .terminal = w.terminal.id,
                                .card = info.card,
                                .before = cb_sha256(cb_buf_bytes(&binding)),
                                .certificates = CB_BYTES_OF(new)};
    renewal_of(&info, 2, 2, CB_BYTES_OF(new), &binding);
    what.binding = cb_buf_bytes(&binding);
    assert_int_equal(cb_card_renew_at_tap(w.store, &what, &card), CB_E_CARD_NOT_ACTIVE);
    activate(&w, &info);
    what.terminal = cb_id_new();
    assert_int_not_equal(cb_card_renew_at_tap(w.store, &what, &card), CB_OK);
    what.terminal = w.terminal.id;
    what.before.bytes[0] ^= 1;
    assert_int_equal(cb_card_renew_at_tap(w.store, &what, &card), CB_E_STATE);
    what.before.bytes[0] ^= 1;
    uint64_t feed = feed_of(&w);
    assert_int_equal(cb_card_renew_at_tap(w.store, &what, &card), CB_OK);
    assert_int_equal(feed_of(&w), feed + 1); /* a key changed */
    assert_true(cb_id_same(&card.holder, &w.holder.id));
    assert_int_equal(card.sequence, 2);
    assert_int_equal(card.state, CB_CARD_ACTIVE);
    renewal_of(&info, 3, 3, CB_BYTES_OF(new), &binding); /* of what the first had before it */
    what.binding = cb_buf_bytes(&binding);
    assert_int_equal(cb_card_renew_at_tap(w.store, &what, &card), CB_E_STATE);
    assert_int_equal(cb_card_change(w.store, "test", &info.card, CB_CARD_SUSPEND, NULL, NULL),
                     CB_OK);
    what.before = cb_sha256(cb_buf_bytes(&card.binding));
    assert_int_equal(cb_card_renew_at_tap(w.store, &what, &card), CB_E_CARD_SUSPENDED);
    assert_int_equal(feed_of(&w), feed + 2);
    cb_buf_free(&binding);
    cb_card_free(&card);
    verify_and_end(&w);
}

static uint64_t failed_proofs(world *w, const cb_id *card)
{
    cb_failure_row row;
    assert_int_equal(cb_failures_get(w->store, CB_OF_CARD, card, &row), CB_OK);
    return row.count[CB_FAILURE_PROOF];
}

/* With another key alone: a card that has its old one signs as it did. */
static void a_renewal_at_a_tap_takes_back_the_failed_proof_that_its_new_key_explains(void **state)
{
    world w;
    cb_card card;
    cb_failure_effect effect = {.noted = false};
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    (void)state;
    world_begin(&w);
    cb_card_init(&card);
    cb_binding_info info = add_old(&w, &binding);
    activate(&w, &info);
    const cb_refusal refusal = {.tap = cb_id_random(),
                                .card = info.card,
                                .holder = info.holder,
                                .terminal = w.terminal.id,
                                .profile = CB_PROFILE_PIV,
                                .error = CB_E_CARD_PROOF,
                                .limits = &cb_failure_limits_default};
    assert_int_equal(cb_decide_refused(w.store, &refusal, &effect), CB_OK);
    assert_int_equal(failed_proofs(&w, &info.card), 1);
    const cb_failed_proof failed = {.tap = refusal.tap,
                                    .card = info.card,
                                    .holder = info.holder,
                                    .terminal = w.terminal.id,
                                    .time = effect.time,
                                    .counts = effect.counts};
    cb_card_tap_renewal what = {.tap = cb_id_new(),
                                .terminal = w.terminal.id,
                                .card = info.card,
                                .before = cb_sha256(cb_buf_bytes(&binding)),
                                .certificates = CB_BYTES_OF(new),
                                .failed = &failed,
                                .limits = &cb_failure_limits_default};
    renewal_of(&info, 2, 1, CB_BYTES_OF(new), &binding); /* the same key */
    what.binding = cb_buf_bytes(&binding);
    assert_int_equal(cb_card_renew_at_tap(w.store, &what, &card), CB_OK);
    assert_int_equal(failed_proofs(&w, &info.card), 1);
    what.before = cb_sha256(cb_buf_bytes(&card.binding));
    renewal_of(&info, 3, 2, CB_BYTES_OF(newer), &binding);
    what.binding = cb_buf_bytes(&binding);
    what.certificates = CB_BYTES_OF(newer);
    what.before.bytes[0] ^= 1; /* one that is not recorded takes nothing back */
    assert_int_equal(cb_card_renew_at_tap(w.store, &what, &card), CB_E_STATE);
    assert_int_equal(failed_proofs(&w, &info.card), 1);
    what.before.bytes[0] ^= 1;
    assert_int_equal(cb_card_renew_at_tap(w.store, &what, &card), CB_OK);
    assert_int_equal(failed_proofs(&w, &info.card), 0);
    cb_failure_effect_free(&effect);
    cb_buf_free(&binding);
    cb_card_free(&card);
    verify_and_end(&w);
}

/* ---- Days ---- */

/* A certificate as far as its days are read; the number tells it from others of that day. */
static cb_bytes certificate_until(int64_t end, uint8_t number, cb_buf *out)
{
    const uint8_t serial[] = {CB_DER_INTEGER, 1, number}, none[] = {CB_DER_SEQUENCE, 0},
                  signature[] = {CB_DER_BIT_STRING, 1, 0};
    cb_buf days = CB_BUF(64), said = CB_BUF(128), whole = CB_BUF(128);
    char text[32];
    struct tm at;
    time_t last = (time_t)(end / CB_SECOND - 1); /* it is included */
    strftime(text, sizeof text, "%Y%m%d%H%M%SZ", gmtime_r(&last, &at));
    cb_der_put(&days, CB_DER_GENERALIZED_TIME, cb_bytes_str("20200101000000Z"));
    cb_der_put(&days, CB_DER_GENERALIZED_TIME, cb_bytes_str(text));
    cb_buf_put(&said, CB_BYTES_OF(serial));
    cb_buf_put(&said, CB_BYTES_OF(none)); /* algorithm */
    cb_buf_put(&said, CB_BYTES_OF(none)); /* issuer */
    cb_der_put(&said, CB_DER_SEQUENCE, cb_buf_bytes(&days));
    cb_buf_put(&said, CB_BYTES_OF(none)); /* subject */
    cb_buf_put(&said, CB_BYTES_OF(none)); /* key */
    cb_der_put(&whole, CB_DER_SEQUENCE, cb_buf_bytes(&said));
    cb_buf_put(&whole, CB_BYTES_OF(none)); /* algorithm */
    cb_buf_put(&whole, CB_BYTES_OF(signature));
    cb_buf_reset(out);
    cb_der_put(out, CB_DER_SEQUENCE, cb_buf_bytes(&whole));
    cb_buf_free(&days);
    cb_buf_free(&said);
    cb_buf_free(&whole);
    return cb_buf_bytes(out);
}

/* A card that is in use, with a certificate until then and a day of its own. 0: none. */
typedef struct dated {
    world w;
    cb_binding_info info;
    cb_buf binding, certificate;
    cb_card card;
    uint8_t number;
} dated;

static void dated_issue(dated *d, int64_t certified, int64_t own, bool active)
{
    *d = (dated){.info = {.card = cb_id_new(),
                          .profile = CB_PROFILE_PIV,
                          .level = CB_LEVEL_TERMINAL_PIN},
                 .binding = CB_BUF(CB_BINDING_MAX),
                 .certificate = CB_BUF(256),
                 .number = 1};
    world_begin(&d->w);
    cb_card_init(&d->card);
    d->info.holder = d->w.holder.id;
    certificate_until(certified, d->number, &d->certificate);
    renewal_of(&d->info, d->number, 1, cb_buf_bytes(&d->certificate), &d->binding);
    const cb_card_new fresh = {.binding = cb_buf_bytes(&d->binding),
                               .certificates = cb_buf_bytes(&d->certificate),
                               .expires = own,
                               .activate = active};
    assert_int_equal(cb_card_issue(d->w.store, "test", &fresh, &d->card), CB_OK);
}

static void dated_begin(dated *d, int64_t certified, int64_t own)
{
    dated_issue(d, certified, own, true);
}

static void dated_end(dated *d)
{
    cb_buf_free(&d->binding);
    cb_buf_free(&d->certificate);
    cb_card_free(&d->card);
    verify_and_end(&d->w);
}

/* With a certificate until then; at a tap, or by a manager. */
static cb_error renew_until(dated *d, int64_t certified, bool at_tap)
{
    cb_digest before = cb_sha256(cb_buf_bytes(&d->card.binding));
    certificate_until(certified, ++d->number, &d->certificate);
    renewal_of(&d->info, d->number, 1, cb_buf_bytes(&d->certificate), &d->binding);
    cb_bytes binding = cb_buf_bytes(&d->binding), certificates = cb_buf_bytes(&d->certificate);
    const cb_card_tap_renewal what = {.tap = cb_id_new(),
                                      .terminal = d->w.terminal.id,
                                      .card = d->info.card,
                                      .before = before,
                                      .binding = binding,
                                      .certificates = certificates};
    return at_tap ? cb_card_renew_at_tap(d->w.store, &what, &d->card)
                  : cb_card_renew(d->w.store, "test", &d->info.card, binding, certificates,
                                  &d->card);
}

static int64_t in_hours(int hours)
{
    return (cb_clock_wall_us() / CB_SECOND + hours * INT64_C(3600)) * CB_SECOND;
}

/* Of several: the card is over with the last, and asked for newer ones before the first. */
static void of_certificates_the_first_and_the_last_end_are_told(void **state)
{
    const struct {
        int hours[3]; /* 0: one that says none */
        int first, last;
    } ends[] = {{{2, 1, 3}, 1, 3}, {{1, 2, 3}, 1, 3}, {{0, 3, 2}, 2, 3}, {{0, 0, 0}, 0, 0}};
    const int64_t now = in_hours(0), hour = 3600 * CB_SECOND;
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        cb_card card;
        int64_t first = 7, last = 7;
        cb_buf one = CB_BUF(256);
        cb_binding_info info = {.card = cb_id_new(),
                                .holder = cb_id_new(),
                                .profile = CB_PROFILE_PIV,
                                .level = CB_LEVEL_TERMINAL_PIN,
                                .sequence = 1,
                                .keys = {.count = 3}};
        static const uint8_t uses[] = {0x9A, 0x9E, 0x04}, none[] = {CB_DER_SEQUENCE, 1, 7};
        cb_card_init(&card);
        for (size_t k = 0; k < 3; k++) {
            int64_t end = now + ends[i].hours[k] * hour;
            cb_bytes der = ends[i].hours[k] ? certificate_until(end, (uint8_t)k, &one)
                                            : CB_BYTES_OF(none);
            info.keys.key[k] = (cb_card_key){.use = uses[k],
                                             .kind = CB_CARD_KEY_P256,
                                             .len = 65,
                                             .data = {4, (uint8_t)k},
                                             .certificate = cb_sha256(der)};
            cb_buf_put(&card.certificates, der);
        }
        make_binding_of(&info, &card.binding);
        assert_int_equal(cb_card_certificates_first_end(&card, &first), CB_OK);
        assert_int_equal(cb_card_certificates_end(&card, &last), CB_OK);
        assert_true(first == (ends[i].first ? now + ends[i].first * hour : 0));
        assert_true(last == (ends[i].last ? now + ends[i].last * hour : 0));
        card.certificates.len--;
        assert_int_equal(cb_card_certificates_first_end(&card, &first), CB_E_HSM_RECORD);
        cb_buf_free(&one);
        cb_card_free(&card);
    }
}

static void a_day_of_its_own_after_its_first_certificates_ends_it_still(void **state)
{
    (void)state;
    for (int at_tap = 0; at_tap < 2; at_tap++) {
        dated d;
        const int64_t first = in_hours(1), own = in_hours(2);
        dated_begin(&d, first, own);
        assert_true(d.card.expires == first);
        assert_int_equal(renew_until(&d, in_hours(3), at_tap), CB_OK);
        assert_true(d.card.expires == own);
        assert_int_equal(renew_until(&d, in_hours(4), at_tap), CB_OK);
        assert_true(d.card.expires == own);
        dated_end(&d);
    }
}

static void a_tap_revives_no_card_whose_own_day_is_over(void **state)
{
    (void)state;
    for (int certified = -2; certified < 2; certified += 3) { /* its certificates may be over too */
        dated d;
        const int64_t own = in_hours(-1);
        dated_begin(&d, in_hours(certified), own);
        assert_int_equal(renew_until(&d, in_hours(3), true), CB_E_CARD_EXPIRED);
        assert_int_equal(cb_card_get(d.w.store, &d.info.card, &d.card), CB_OK);
        assert_int_equal(d.card.sequence, 1);
        assert_int_equal(renew_until(&d, in_hours(3), false), CB_OK); /* a manager may */
        assert_int_equal(renew_until(&d, in_hours(4), true), CB_OK);
        dated_end(&d);
    }
}

static void a_tap_renews_a_card_that_only_its_certificates_ended(void **state)
{
    const int64_t owns[] = {0, in_hours(2)};
    (void)state;
    for (size_t i = 0; i < sizeof owns / sizeof *owns; i++) {
        dated d;
        const int64_t first = in_hours(-1), next = in_hours(3);
        dated_begin(&d, first, owns[i]);
        assert_true(d.card.expires == first);
        assert_int_equal(renew_until(&d, next, true), CB_OK);
        assert_true(d.card.expires == (owns[i] ? owns[i] : next));
        dated_end(&d);
    }
}

/* Then nothing but the day itself says that it came from somebody. */
static void a_day_that_was_set_before_it_was_written_down_stays(void **state)
{
    dated d;
    const int64_t own = in_hours(1);
    (void)state;
    dated_begin(&d, in_hours(2), own);
    world_close(&d.w);
    tamper(&d.w, "UPDATE card SET own_expires = 0");
    world_open(&d.w);
    assert_int_equal(renew_until(&d, in_hours(3), true), CB_OK);
    assert_true(d.card.expires == own);
    assert_true(d.card.own_expires == own);
    dated_end(&d);
}

static void a_day_of_its_own_outlives_a_renewal(void **state)
{
    const int64_t hour = 3600 * CB_SECOND, now = cb_clock_wall_us();
    const struct {
        int64_t before, after;
    } days[] = {{now + hour, now + hour}, {now - hour, 0}, {0, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
        world w;
        cb_card card;
        cb_buf binding = CB_BUF(CB_BINDING_MAX);
        cb_binding_info info = {
            .card = cb_id_new(), .profile = CB_PROFILE_PIV, .level = CB_LEVEL_TERMINAL_PIN};
        world_begin(&w);
        cb_card_init(&card);
        info.holder = w.holder.id;
        renewal_of(&info, 1, 1, CB_BYTES_OF(old), &binding);
        cb_card_new fresh = {.binding = cb_buf_bytes(&binding),
                             .certificates = CB_BYTES_OF(old),
                             .expires = days[i].before};
        assert_int_equal(cb_card_issue(w.store, "test", &fresh, &card), CB_OK);
        assert_true(card.expires == days[i].before);
        renewal_of(&info, 2, 1, CB_BYTES_OF(new), &binding);
        assert_int_equal(cb_card_renew(w.store, "test", &info.card, cb_buf_bytes(&binding),
                                       CB_BYTES_OF(new), &card),
                         CB_OK);
        assert_true(card.expires == days[i].after);
        cb_buf_free(&binding);
        cb_card_free(&card);
        world_end(&w);
    }
}

/* ---- States that somebody wrote into the database ---- */

static void edit(world *w, const char *sql)
{
    world_close(w);
    tamper(w, sql);
    world_open(w);
}

/* The leaf of a renewal says the state as well: it would be the record's then. */
static void a_card_that_nobody_activated_is_not_renewed_as_an_active_one(void **state)
{
    dated d;
    (void)state;
    dated_issue(&d, in_hours(1), 0, false);
    edit(&d.w, "UPDATE card SET state = 'active'");
    for (int at_tap = 0; at_tap < 2; at_tap++)
        assert_int_equal(renew_until(&d, in_hours(2), at_tap), CB_E_HSM_RECORD);
    edit(&d.w, "UPDATE card SET state = 'issued' WHERE sequence = 1 AND profile = 2");
    assert_int_equal(renew_until(&d, in_hours(2), false), CB_OK);
    assert_int_equal(d.card.state, CB_CARD_ISSUED);
    activate(&d.w, &d.info);
    assert_int_equal(renew_until(&d, in_hours(3), true), CB_OK);
    dated_end(&d);
}

static void password_of(const cb_binding_info *info, uint64_t sequence, cb_buf *out)
{
    cb_binding_info of = *info;
    of.sequence = sequence;
    of.keys.count = 1;
    of.keys.key[0] = (cb_card_key){
        .kind = CB_CARD_KEY_PASSWORD, .len = CB_SHA256_SIZE, .data = {(uint8_t)sequence}};
    cb_buf_reset(out);
    make_binding_of(&of, out);
}

static void a_password_that_nobody_activated_is_not_changed(void **state)
{
    world w;
    cb_terminal terminal;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_binding_info info = {
        .card = cb_id_new(), .profile = CB_PROFILE_PASSWORD, .level = CB_LEVEL_PASSWORD};
    const cb_terminal_new desk = {
        .name = "desk", .key = cb_sha256(cb_bytes_str("desk")), .passwords = true};
    (void)state;
    world_begin(&w);
    info.holder = w.holder.id;
    assert_int_equal(cb_terminal_add(w.store, "test", &desk, &terminal), CB_OK);
    password_of(&info, 1, &binding);
    cb_digest before = cb_sha256(cb_buf_bytes(&binding));
    assert_int_equal(cb_card_add(w.store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, NULL),
                     CB_OK);
    edit(&w, "UPDATE card SET state = 'active'");
    cb_intent_request request = intent_of(&w);
    request.context.terminal = terminal.id;
    request.card = info.card;
    password_of(&info, 2, &binding);
    assert_int_equal(cb_decide_password(w.store, &request, &before, cb_buf_bytes(&binding)),
                     CB_E_HSM_RECORD);
    edit(&w, "UPDATE card SET state = 'issued' WHERE profile = 5");
    activate(&w, &info);
    assert_int_equal(cb_decide_password(w.store, &request, &before, cb_buf_bytes(&binding)), CB_OK);
    cb_buf_free(&binding);
    verify_and_end(&w);
}

/* Which the broker does not see, as hsmd does: a suspension is in the feed. */
static void a_state_that_a_renewal_took_from_the_row_is_found(void **state)
{
    static const struct {
        const char *edit;
        unsigned findings;
    } edits[] = {{"UPDATE card SET state = 'active' WHERE profile = 2", 1},
                 {"UPDATE card SET state = 'expired' WHERE profile = 2", 1},
                 {"UPDATE card SET state = 'suspended' WHERE profile = 2", 0}}; /* as it is */
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        dated d;
        cb_evidence_summary summary;
        dated_begin(&d, in_hours(1), 0);
        const cb_card_act first = i == 1 ? CB_CARD_REVOKE : CB_CARD_SUSPEND;
        assert_int_equal(cb_card_change(d.w.store, "test", &d.info.card, first, NULL, NULL), CB_OK);
        edit(&d.w, edits[i].edit);
        assert_int_equal(renew_until(&d, in_hours(2), false), CB_OK);
        world_close(&d.w);
        verify_file(&d.w, &summary);
        assert_int_equal(findings_of("card.state"), edits[i].findings);
        assert_int_equal(findings_of(NULL), edits[i].findings);
        world_open(&d.w);
        cb_buf_free(&d.binding);
        cb_buf_free(&d.certificate);
        cb_card_free(&d.card);
        world_end(&d.w);
    }
}

/* The broker's own cards have nothing that could be renewed. */
static void a_native_card_is_not_renewed(void **state)
{
    world w;
    cb_card card;
    cb_binding_info info;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    (void)state;
    world_begin(&w);
    cb_card_init(&card);
    assert_int_equal(cb_card_get(w.store, &w.card, &card), CB_OK);
    assert_int_equal(cb_binding_info_read(cb_buf_bytes(&card.binding), &info), CB_OK);
    info.sequence++;
    make_binding_of(&info, &binding);
    assert_int_equal(
        cb_card_renew(w.store, "test", &w.card, cb_buf_bytes(&binding), (cb_bytes){0}, &card),
        CB_E_ARGUMENT);
    cb_buf_free(&binding);
    cb_card_free(&card);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_foreign_cards_certificates_are_those_of_its_binding),
        cmocka_unit_test(a_renewal_takes_the_place_of_what_the_card_had),
        cmocka_unit_test(of_two_taps_that_renew_one_is_recorded),
        cmocka_unit_test(a_renewal_at_a_tap_takes_back_the_failed_proof_that_its_new_key_explains),
        cmocka_unit_test(a_day_of_its_own_outlives_a_renewal),
        cmocka_unit_test(of_certificates_the_first_and_the_last_end_are_told),
        cmocka_unit_test(a_day_of_its_own_after_its_first_certificates_ends_it_still),
        cmocka_unit_test(a_day_that_was_set_before_it_was_written_down_stays),
        cmocka_unit_test(a_tap_revives_no_card_whose_own_day_is_over),
        cmocka_unit_test(a_tap_renews_a_card_that_only_its_certificates_ended),
        cmocka_unit_test(a_card_that_nobody_activated_is_not_renewed_as_an_active_one),
        cmocka_unit_test(a_password_that_nobody_activated_is_not_changed),
        cmocka_unit_test(a_state_that_a_renewal_took_from_the_row_is_found),
        cmocka_unit_test(a_native_card_is_not_renewed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

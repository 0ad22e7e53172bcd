/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Pairs of keys towards cards on a real token, and what of the broker is for cards of which
 * generation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/config.h"
#include "base/log.h"
#include "hsm/card_pair.h"
#include "hsm/durable.h"
#include "hsm/generations.h"
#include "hsm/host_load.h"
#include "hsm/keyring_names.h"
#include "tests/support/softhsm.h"
#include "tests/unit/base/test.h"
#include "world.h"

enum { GENERATIONS = 3, KID = 0x20, PATH = 128 };

static softhsm hsm;
static world w;
static cb_issue_authority authority[GENERATIONS + 1]; /* by number */
static char paths[GENERATIONS + 2][3][PATH];          /* agreement, signer, link to the next */

static void good(cb_error error) { assert_int_equal(error, CB_OK); }

static cb_error add_pair(const char *officer, unsigned *number)
{
    cb_buf pin = softhsm_pin(), so_pin = CB_BUF(64);
    cb_buf_put_str(&so_pin, officer);
    cb_initialise_options options = {.token = softhsm_config(&hsm), .so_pin = &so_pin, .pin = &pin};
    return cb_hsm_add_card_pair(&options, number);
}

static const char *officer(void)
{
    static char text[64];
    cb_buf pin = softhsm_so_pin();
    snprintf(text, sizeof text, "%s", cb_buf_cstr(&pin));
    cb_buf_free(&pin);
    return text;
}

/* ---- Pairs ---- */

static void only_the_officer_adds_a_pair(void **state)
{
    unsigned number = 0;
    cb_card_pair pair;
    (void)state;
    assert_int_equal(add_pair("not the officer", &number), CB_E_CONFIG);
    cb_keyring *keyring = softhsm_open(&hsm);
    good(cb_card_pair_find(keyring, 1, &pair));
    assert_int_equal(cb_card_pair_find(keyring, 2, &pair), CB_E_NOT_FOUND);
    cb_keyring_close(&keyring);
    good(add_pair(officer(), &number));
    assert_int_equal(number, 2);
    good(add_pair(officer(), &number));
    assert_int_equal(number, 3);
}

/* The point of a key by its name, as an administrator gets it. */
static void point_of(cb_keyring *keyring, cb_own_key key, unsigned number, uint8_t out[65])
{
    char name[32];
    cb_buf der = CB_BUF(CB_PUBLIC_KEY_MAX);
    snprintf(name, sizeof name, number > 1 ? "%s.%u" : "%s", cb_own_key_name(key), number);
    if (number > 1)
        good(cb_card_pair_public(keyring, name, &der));
    else
        good(cb_keyring_public(keyring, key, &der));
    memcpy(out, der.data + der.len - 65, 65);
    cb_buf_free(&der);
}

static void a_pair_is_found_by_its_points_and_does_what_they_say(void **state)
{
    (void)state;
    uint8_t agreement[65], signer[65], other[65], scalar[32], peer[65], ours[32], theirs[32];
    uint8_t signature[64];
    cb_card_pair pair;
    cb_digest digest = cb_sha256(cb_bytes_str("session"));
    cb_keyring *keyring = softhsm_open(&hsm);
    point_of(keyring, CB_OWN_CARD_AGREEMENT, 1, other);
    point_of(keyring, CB_OWN_CARD_AGREEMENT, 2, agreement);
    point_of(keyring, CB_OWN_CARD_SIGNATURE, 2, signer);
    good(cb_card_pair_of(keyring, agreement, signer, &pair));
    good(cb_p256_generate(scalar, peer));
    good(cb_card_pair_agree(&pair, peer, ours));
    good(cb_p256_agree(scalar, CB_BYTES_OF(agreement), theirs));
    assert_memory_equal(ours, theirs, sizeof ours);
    good(cb_card_pair_sign(&pair, &digest, signature));
    assert_true(cb_p256_verify(CB_BYTES_OF(signer), &digest, CB_BYTES_OF(signature)));
    peer[64] ^= 1;
    assert_int_equal(cb_card_pair_agree(&pair, peer, ours), CB_E_CARD_ANSWER);
    /* Two keys of different pairs are none. */
    assert_int_equal(cb_card_pair_of(keyring, other, signer, &pair), CB_E_NOT_FOUND);
    good(cb_card_pair_of(keyring, other, NULL, &pair));
    static const char *const names[] = {"card-agreement",    "card-agreement.",
                                        "card-agreement.1",  "card-agreement.02",
                                        "card-agreement.2x", "card-agreement.100",
                                        "log.2",             "card-signature.-2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cb_buf der = CB_BUF(CB_PUBLIC_KEY_MAX);
        assert_int_equal(cb_card_pair_public(keyring, names[i], &der), CB_E_NOT_FOUND);
        cb_buf_free(&der);
    }
    cb_keyring_close(&keyring);
}

/* ---- Certificates ---- */

static void write_file(const char *path, cb_buf *content)
{
    good(cb_file_replace(path, cb_buf_bytes(content), 0644));
    cb_buf_free(content);
}

static void write_certificate(const char *path, const cb_issue_authority *by, uint16_t usage,
                              const uint8_t point[65])
{
    cb_buf certificate = CB_BUF(CB_CVC_MAX);
    good(cb_issue_certificate(by, cb_bytes_str("broker"), usage, cb_bytes_make(point, 65),
                              cb_issue_days_from_today(5), &certificate));
    write_file(path, &certificate);
}

static void write_link(const char *path, unsigned from, unsigned to, unsigned version)
{
    cb_buf link = CB_BUF(CB_CVC_MAX);
    good(cb_issue_link(&authority[from], &authority[to].anchor, KID, (uint8_t)from,
                       (uint8_t)version, cb_issue_days_from_today(5), &link));
    write_file(path, &link);
}

/* Each generation's certificates for the pair of its number, and links from each to the next. */
static void write_generations(void)
{
    uint8_t point[65];
    cb_keyring *keyring = softhsm_open(&hsm);
    for (unsigned g = 1; g <= GENERATIONS; g++) {
        point_of(keyring, CB_OWN_CARD_AGREEMENT, g, point);
        write_certificate(paths[g][0], &authority[g], CB_CVC_AGREEMENT, point);
        point_of(keyring, CB_OWN_CARD_SIGNATURE, g, point);
        write_certificate(paths[g][1], &authority[g], CB_CVC_BROKER_SIGNATURE, point);
        if (g < GENERATIONS)
            write_link(paths[g][2], g, g + 1, g + 1);
    }
    cb_keyring_close(&keyring);
}

static int make(void **state)
{
    static const char *const kinds[] = {"agreement", "signer", "link"};
    cb_issue_days days = cb_issue_days_from_today(5);
    (void)state;
    cb_log_init("test", CB_LOG_ERROR);
    softhsm_make(&hsm);
    world_make(&w, false);
    for (unsigned g = 1; g <= GENERATIONS; g++) {
        cb_buf own = CB_BUF(CB_CVC_MAX);
        good(cb_issue_authority_make(cb_bytes_str("brokers"), days, &authority[g], &own));
        cb_buf_free(&own);
        for (unsigned k = 0; k < 3; k++)
            snprintf(paths[g][k], PATH, "%s/%s-%u", hsm.folder, kinds[k], g);
    }
    return 0;
}

static int clean(void **state)
{
    (void)state;
    for (unsigned g = 1; g <= GENERATIONS; g++) {
        for (unsigned k = 0; k < 3; k++)
            unlink(paths[g][k]);
    }
    world_free(&w);
    softhsm_remove(&hsm);
    return 0;
}

static cb_hsmd_config configuration(unsigned from, unsigned newest)
{
    cb_hsmd_config config = {.agreement = paths[newest][0],
                             .signer = paths[newest][1],
                             .key_id = KID,
                             .key_version = (uint8_t)newest};
    for (unsigned g = from; g < newest; g++)
        config.former[config.formers++] =
            (cb_hsmd_former){(uint8_t)g, paths[g][0], paths[g][1], paths[g][2]};
    return config;
}

static cb_error load(cb_keyring *keyring, const cb_hsmd_config *config, cb_host **host)
{
    cb_buf why = CB_BUF(1024);
    cb_error error = cb_host_load(config, keyring, host, &why);
    assert_true(error != CB_E_CONFIG || why.len > 0);
    cb_buf_free(&why);
    return error;
}

static void a_card_is_rolled_by_the_keys_in_the_token(void **state)
{
    cb_host *host;
    cb_card_claim claim;
    (void)state;
    write_generations();
    cb_keyring *keyring = softhsm_open(&hsm);
    cb_hsmd_config config = configuration(1, 3);
    good(load(keyring, &config, &host));
    w.host = host->profile;
    w.host.trust = &w.cards.anchor;
    w.host.trust_count = 1;
    cb_vcard_kloc *kloc = &w.first.kloc[0];
    kloc->name_len = (uint8_t)authority[1].anchor.name_len;
    memcpy(kloc->name, authority[1].anchor.name, kloc->name_len);
    memcpy(kloc->point, authority[1].anchor.point, CB_P256_POINT);
    cb_vcard_close(&w.card);
    good(cb_vcard_make(&w.first, NULL, &w.card));
    for (uint8_t generation = 2; generation <= 3; generation++) {
        good(world_tap(&w, (typed){WORLD_PIN, NULL}, &claim));
        assert_int_equal(claim.generation, generation);
    }
    w.host.retired = 2;
    good(world_tap(&w, (typed){0}, &claim));
    assert_int_equal(cb_vcard_state_of(w.card)->kloc_count, 1);
    cb_host_release(&host);
    cb_keyring_close(&keyring);
}

static void what_would_lose_cards_is_not_loaded(void **state)
{
    cb_host *host;
    uint8_t point[65], scalar[32];
    (void)state;
    write_generations();
    cb_keyring *keyring = softhsm_open(&hsm);
    cb_hsmd_config config = configuration(1, 2);
    /* A link to another key than the certificates are under; to a version that is not here; from
     * another version. */
    write_link(paths[1][2], 1, 3, 2);
    assert_int_equal(load(keyring, &config, &host), CB_E_CONFIG);
    assert_null(host);
    write_link(paths[1][2], 1, 2, 3);
    assert_int_equal(load(keyring, &config, &host), CB_E_CONFIG);
    write_link(paths[1][2], 2, 2, 3);
    assert_int_equal(load(keyring, &config, &host), CB_E_CONFIG);
    /* Without a link nobody is rolled, and both are served. */
    unlink(paths[1][2]);
    good(load(keyring, &config, &host));
    assert_int_equal(host->profile.older_count, 1);
    assert_int_equal(host->profile.older[0].link.len, 0);
    cb_host_release(&host);
    /* A certificate of a former generation that is missing, or for a key that is not in the token. */
    unlink(paths[1][1]);
    assert_int_equal(load(keyring, &config, &host), CB_E_CONFIG);
    good(cb_p256_generate(scalar, point));
    write_certificate(paths[1][1], &authority[1], CB_CVC_BROKER_SIGNATURE, point);
    assert_int_equal(load(keyring, &config, &host), CB_E_CONFIG);
    cb_keyring_close(&keyring);
}

static void one_generation_is_loaded_as_before(void **state)
{
    cb_host *host;
    (void)state;
    write_generations();
    cb_keyring *keyring = softhsm_open(&hsm);
    cb_hsmd_config config = configuration(1, 1);
    good(load(keyring, &config, &host));
    assert_int_equal(host->profile.older_count, 0);
    assert_int_equal(host->profile.key_version, 1);
    cb_host_release(&host);
    unlink(paths[1][0]);
    unlink(paths[1][1]);
    good(load(keyring, &config, &host));
    assert_false(host->ready);
    cb_host_release(&host);
    cb_keyring_close(&keyring);
}

/* ---- What is retired ---- */

enum { ANOTHER = KID ^ 1 };

static void what_is_retired_is_remembered_and_never_falls(void **state)
{
    char path[PATH];
    cb_memo *memo, *other;
    (void)state;
    snprintf(path, sizeof path, "%s/memory", hsm.folder);
    good(cb_durable_make(path));
    good(cb_memo_open(path, &memo));
    good(cb_memo_open(path, &other));
    assert_int_equal(cb_generations_retired(memo, KID, 5), 0);
    good(cb_generations_retire(memo, KID, 2));
    assert_int_equal(cb_generations_retired(other, KID, 5), 2);
    good(cb_generations_retire(other, KID, 1));
    assert_int_equal(cb_generations_retired(memo, KID, 5), 2);
    good(cb_generations_retire(other, KID, 4));
    cb_memo_close(&memo);
    good(cb_memo_open(path, &memo));
    assert_int_equal(cb_generations_retired(memo, KID, 5), 4);
    assert_int_equal(cb_generations_retired(memo, ANOTHER, 1), 0); /* it begins anew */
    good(cb_generations_retire(memo, ANOTHER, 1));
    assert_int_equal(cb_generations_retired(memo, ANOTHER, 5), 1);
    assert_int_equal(cb_generations_retired(memo, KID, 5), 4);
    cb_memo_close(&memo);
    cb_memo_close(&other);
    unlink(path);
}

static void where_that_cannot_be_told_only_the_newest_is_served(void **state)
{
    (void)state;
    assert_int_equal(cb_generations_retired(NULL, KID, 5), 4);
    assert_int_equal(cb_generations_retired(NULL, KID, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_officer_adds_a_pair),
        cmocka_unit_test(a_pair_is_found_by_its_points_and_does_what_they_say),
        cmocka_unit_test(a_card_is_rolled_by_the_keys_in_the_token),
        cmocka_unit_test(what_would_lose_cards_is_not_loaded),
        cmocka_unit_test(one_generation_is_loaded_as_before),
        cmocka_unit_test(what_is_retired_is_remembered_and_never_falls),
        cmocka_unit_test(where_that_cannot_be_told_only_the_newest_is_served),
    };
    return cmocka_run_group_tests(tests, make, clean);
}

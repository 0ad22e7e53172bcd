/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Holders, cards, terminals, services, enrolments: what may become of what, and what may not.
 */
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "base/leaf.h"
#include "base/tlv.h"
#include "tests/unit/broker/support.h"

/* ---- In general ---- */

static void an_act_without_an_actor_is_refused(void **state)
{
    static char long_name[200];
    static const char *const actors[] = {NULL, "", "line\nbreak", long_name};
    world w;
    cb_holder holder;
    (void)state;
    memset(long_name, 'a', sizeof long_name - 1);
    world_begin(&w);
    for (size_t i = 0; i < sizeof actors / sizeof *actors; i++) {
        assert_int_equal(cb_holder_add(w.store, actors[i], "Taro", &holder), CB_E_ARGUMENT);
        assert_int_equal(cb_card_change(w.store, actors[i], &w.card, CB_CARD_REVOKE, NULL, NULL),
                         CB_E_ARGUMENT);
    }
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, "not a word", NULL),
                     CB_E_ARGUMENT);
    world_end(&w);
}

static cb_error last_actor(void *context, const cb_log_leaf *leaf)
{
    cb_buf *actor = context;
    cb_buf_reset(actor);
    return cb_leaf_find(leaf->data, "actor", actor);
}

static void the_actor_is_in_the_record_and_the_holders_name_is_not(void **state)
{
    world w;
    cb_store_state status;
    cb_holder holder;
    cb_buf actor = CB_BUF(200);
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_holder_add(w.store, "uid 1000", "Momoko", &holder), CB_OK);
    assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    assert_int_equal(cb_log_leaves(w.store, status.leaves - 1, 1, last_actor, &actor), CB_OK);
    assert_string_equal(cb_buf_cstr(&actor), "uid 1000");
    cb_buf_free(&actor);
    world_close(&w);
    sqlite3_stmt *q = NULL;
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(w.path, &db), SQLITE_OK);
    sqlite3_prepare_v2(db,
                       "SELECT count(*) FROM evidence_leaf "
                       "WHERE instr(data, CAST('Momoko' AS BLOB)) > 0",
                       -1, &q, NULL);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(q, 0), 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    world_end(&w);
}

typedef struct seen_ids {
    cb_id id[64];
    size_t count;
} seen_ids;

static cb_error see_holder(void *context, const cb_holder *holder)
{
    seen_ids *seen = context;
    seen->id[seen->count++] = holder->id;
    return seen->count < 64 ? CB_OK : CB_E_TOO_LARGE;
}

static void lists_come_in_pages(void **state)
{
    world w;
    seen_ids seen = {0};
    cb_holder holder;
    (void)state;
    world_begin(&w);
    for (int i = 0; i < 9; i++)
        assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_OK);
    for (size_t before = SIZE_MAX; before != seen.count;) {
        before = seen.count;
        assert_int_equal(
            cb_holder_list(w.store, before ? &seen.id[before - 1] : NULL, 3, see_holder, &seen),
            CB_OK);
        assert_true(seen.count - before <= 3);
    }
    assert_int_equal(seen.count, 10);
    for (size_t i = 1; i < seen.count; i++)
        assert_true(memcmp(&seen.id[i - 1], &seen.id[i], sizeof(cb_id)) < 0);
    world_end(&w);
}

static void names_are_checked(void **state)
{
    static char long_name[CB_NAME_MAX + 2];
    world w;
    cb_holder holder;
    (void)state;
    memset(long_name, 'x', sizeof long_name - 1);
    world_begin(&w);
    assert_int_equal(cb_holder_add(w.store, "test", "", &holder), CB_E_ARGUMENT);
    assert_int_equal(cb_holder_add(w.store, "test", NULL, &holder), CB_E_ARGUMENT);
    assert_int_equal(cb_holder_add(w.store, "test", "a\x01", &holder), CB_E_ARGUMENT);
    assert_int_equal(cb_holder_add(w.store, "test", long_name, &holder), CB_E_ARGUMENT);
    long_name[CB_NAME_MAX] = 0;
    assert_int_equal(cb_holder_add(w.store, "test", long_name, &holder), CB_OK);
    world_end(&w);
}

/* ---- Cards ---- */

static void a_card_is_what_its_binding_says(void **state)
{
    world w;
    cb_card card;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_id id = cb_id_new(), stranger = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_card_init(&card);
    make_binding(&id, &w.holder.id, &binding);
    assert_int_equal(cb_card_add(w.store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, &card),
                     CB_OK);
    assert_true(cb_id_same(&card.id, &id));
    assert_true(cb_id_same(&card.holder, &w.holder.id));
    assert_int_equal(card.state, CB_CARD_ISSUED);
    assert_true(cb_bytes_same(cb_buf_bytes(&card.binding), cb_buf_bytes(&binding)));
    assert_int_equal(cb_card_add(w.store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, NULL),
                     CB_E_EXISTS);
    binding.len--;
    assert_int_equal(cb_card_add(w.store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, NULL),
                     CB_E_ARGUMENT);
    cb_buf_reset(&binding);
    id = cb_id_new();
    make_binding(&id, &stranger, &binding);
    assert_int_equal(cb_card_add(w.store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, NULL),
                     CB_E_NOT_FOUND);
    cb_buf_free(&binding);
    cb_card_free(&card);
    world_end(&w);
}

/* ---- Terminals ---- */

static void a_terminal_is_known_by_its_key_for_ever(void **state)
{
    world w;
    cb_terminal found, again;
    cb_digest nobody = {{9}};
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_terminal_find(w.store, &w.terminal.key, &found), CB_OK);
    assert_true(cb_id_same(&found.id, &w.terminal.id));
    assert_int_equal(cb_terminal_find(w.store, &nobody, &found), CB_E_TERMINAL_UNKNOWN);
    assert_int_equal(cb_terminal_revoke(w.store, "test", &w.terminal.id, "stolen", NULL), CB_OK);
    assert_int_equal(cb_terminal_find(w.store, &w.terminal.key, &found), CB_E_TERMINAL_REVOKED);
    assert_int_equal(cb_terminal_revoke(w.store, "test", &w.terminal.id, NULL, NULL), CB_E_STATE);
    cb_terminal_new new = {.name = "counter 1", .key = w.terminal.key};
    assert_int_equal(cb_terminal_add(w.store, "test", &new, &again), CB_E_EXISTS);
    new.key = (cb_digest){{1}}; /* the name is free again, the key is not */
    assert_int_equal(cb_terminal_add(w.store, "test", &new, &again), CB_OK);
    new.key = (cb_digest){{2}};
    assert_int_equal(cb_terminal_add(w.store, "test", &new, &again), CB_E_EXISTS);
    world_end(&w);
}

static void a_terminals_services_exist_and_are_named_once(void **state)
{
    world w;
    cb_terminal terminal, got;
    const char *const twice[] = {"tax", "tax"}, *const none[] = {"none"},
                      *const wrong[] = {"T A X"};
    const char *const good[] = {"tax"};
    (void)state;
    world_begin(&w);
    cb_terminal_new new = {
        .name = "counter 2", .key = {{2}}, .services = twice, .service_count = 2};
    assert_int_equal(cb_terminal_add(w.store, "test", &new, &terminal), CB_E_ARGUMENT);
    new.services = wrong, new.service_count = 1;
    assert_int_equal(cb_terminal_add(w.store, "test", &new, &terminal), CB_E_ARGUMENT);
    new.services = none;
    assert_int_equal(cb_terminal_add(w.store, "test", &new, &terminal), CB_E_NOT_FOUND);
    new.services = good, new.rate = 12;
    assert_int_equal(cb_terminal_add(w.store, "test", &new, &terminal), CB_OK);
    assert_int_equal(cb_terminal_get(w.store, &terminal.id, &got), CB_OK);
    assert_int_equal(got.rate, 12);
    assert_int_equal(got.service_count, 1);
    assert_true(cb_terminal_allows(&got, "tax"));
    assert_false(cb_terminal_allows(&got, "bank"));
    assert_true(cb_terminal_allows(&w.terminal, "bank"));
    new = (cb_terminal_new){.name = "counter 3", .key = {{3}}, .services = good};
    assert_int_equal(cb_terminal_add(w.store, "test", &new, &terminal), CB_OK);
    assert_false(cb_terminal_allows(&terminal, "tax")); /* an empty list is no service at all */
    world_end(&w);
}

/* ---- Services ---- */

static void services_are_checked_and_replaced(void **state)
{
    world w;
    cb_service service;
    (void)state;
    world_begin(&w);
    cb_service_init(&service);
    cb_service_new good = {.name = "bank", .title = "Bank", .connector = "jwt", .level = 2};
    cb_service_new bad[7];
    for (size_t i = 0; i < 7; i++)
        bad[i] = good;
    bad[0].name = "Bank";
    bad[1].title = "";
    bad[2].connector = "../x";
    bad[3].config = "[]";
    bad[4].config = "{";
    bad[5].level = 0;
    bad[6].kind = 5;
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(cb_service_add(w.store, "test", &bad[i]), CB_E_ARGUMENT);
    assert_int_equal(cb_service_update(w.store, "test", &good), CB_E_SERVICE_UNKNOWN);
    assert_int_equal(cb_service_add(w.store, "test", &good), CB_OK);
    assert_int_equal(cb_service_add(w.store, "test", &good), CB_E_EXISTS);
    good.title = "The bank";
    good.config = "{\"a\":1}";
    assert_int_equal(cb_service_update(w.store, "test", &good), CB_OK);
    assert_int_equal(cb_service_get(w.store, "bank", &service), CB_OK);
    assert_string_equal(service.title, "The bank");
    assert_true(cb_bytes_same(cb_buf_bytes(&service.config), cb_bytes_str("{\"a\":1}")));
    assert_true(service.changed >= service.created);
    assert_int_equal(cb_service_get(w.store, "none", &service), CB_E_SERVICE_UNKNOWN);
    cb_service_free(&service);
    world_end(&w);
}

/* ---- Enrolments ---- */

/* As much of a certificate as is looked at, for a public key. */
static void make_certificate(cb_bytes key_body, cb_buf *out)
{
    cb_buf tbs = CB_BUF(1024), whole = CB_BUF(1024);
    static const uint8_t version[] = {2, 1, 2};
    cb_tlv_put(&tbs, 0xA0, CB_BYTES_OF(version));
    cb_tlv_put(&tbs, 0x02, cb_bytes_str("1"));
    for (int i = 0; i < 4; i++)
        cb_tlv_put(&tbs, 0x30, cb_bytes_str("x"));
    cb_tlv_put(&tbs, 0x30, key_body);
    cb_tlv_put(&whole, 0x30, cb_buf_bytes(&tbs));
    cb_tlv_put(&whole, 0x30, cb_bytes_str("algorithm"));
    cb_tlv_put(&whole, 0x03, cb_bytes_str("signature"));
    cb_tlv_put(out, 0x30, cb_buf_bytes(&whole));
    cb_buf_free(&tbs);
    cb_buf_free(&whole);
}

/* An enrolment of the world's holder at a service that needs certificates; its key is SEQUENCE {
 * body }. */
static void enrol(world *w, const char *body, cb_enrolment *out)
{
    cb_id key = cb_id_new();
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), spki = CB_BUF(64);
    make_sealed(&key, &w->holder.id, "bank", 1, 1, &sealed);
    cb_tlv_put(&spki, 0x30, cb_bytes_str(body));
    cb_enrolment_new new = {.holder = w->holder.id,
                            .service = "bank",
                            .sealed = cb_buf_bytes(&sealed),
                            .public_key = cb_buf_bytes(&spki)};
    assert_int_equal(cb_enrolment_add(w->store, "test", &new, out), CB_OK);
    cb_buf_free(&sealed);
    cb_buf_free(&spki);
}

static cb_error renew(world *w, const cb_id *id, const char *service, uint64_t sequence,
                      const char *body, cb_id *key)
{
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), spki = CB_BUF(64);
    *key = cb_id_new();
    make_sealed(key, &w->holder.id, service, sequence, 1, &sealed);
    cb_tlv_put(&spki, 0x30, cb_bytes_str(body));
    cb_error error =
        cb_enrolment_renew(w->store, "test", id, cb_buf_bytes(&sealed), cb_buf_bytes(&spki));
    cb_buf_free(&sealed);
    cb_buf_free(&spki);
    return error;
}

static cb_error certify(world *w, const cb_id *id, const char *body)
{
    cb_buf certificate = CB_BUF(2048);
    make_certificate(cb_bytes_str(body), &certificate);
    cb_error error = cb_enrolment_certificate(w->store, "test", id, cb_buf_bytes(&certificate),
                                              cb_bytes_str("chain"));
    cb_buf_free(&certificate);
    return error;
}

static void a_key_is_used_once_its_certificate_is_there_and_renewed_beside_it(void **state)
{
    world w;
    cb_enrolment e;
    cb_id first, second, third;
    cb_store_state status;
    (void)state;
    world_begin(&w);
    add_service(&w, "bank", true);
    cb_enrolment_init(&e);
    enrol(&w, "key one", &e);
    first = e.next.id;
    assert_int_equal(e.state, CB_ENROLMENT_PENDING);
    assert_true(cb_id_is_zero(&e.current.id));
    assert_int_equal(renew(&w, &e.id, "bank", 2, "key two", &second), CB_E_STATE);
    assert_int_equal(certify(&w, &e.id, "another key"), CB_E_ARGUMENT);
    assert_int_equal(certify(&w, &e.id, "key one"), CB_OK);
    assert_int_equal(cb_enrolment_get(w.store, &e.id, &e), CB_OK);
    assert_int_equal(e.state, CB_ENROLMENT_ACTIVE);
    assert_true(cb_id_same(&e.current.id, &first));
    assert_true(cb_id_is_zero(&e.next.id));
    assert_true(cb_bytes_same(cb_buf_bytes(&e.current.chain), cb_bytes_str("chain")));
    assert_int_equal(certify(&w, &e.id, "key one"), CB_OK); /* the same key's next certificate */

    assert_int_equal(renew(&w, &e.id, "bank", 1, "key two", &second), CB_E_ARGUMENT);
    assert_int_equal(renew(&w, &e.id, "tax", 2, "key two", &second), CB_E_ARGUMENT);
    assert_int_equal(renew(&w, &e.id, "bank", 2, "key two", &second), CB_OK);
    assert_int_equal(cb_enrolment_get(w.store, &e.id, &e), CB_OK);
    assert_true(cb_id_same(&e.current.id, &first));
    assert_true(cb_id_same(&e.next.id, &second));
    assert_int_equal(renew(&w, &e.id, "bank", 3, "key three", &third), CB_E_STATE);
    assert_int_equal(certify(&w, &e.id, "key one"), CB_E_ARGUMENT);
    assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    assert_int_equal(status.feed_number, 0);
    assert_int_equal(certify(&w, &e.id, "key two"), CB_OK);
    assert_int_equal(cb_enrolment_get(w.store, &e.id, &e), CB_OK);
    assert_true(cb_id_same(&e.current.id, &second));
    assert_true(cb_id_is_zero(&e.next.id));
    assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    assert_int_equal(status.feed_number, 1);
    cb_feed_entry entry;
    size_t count;
    assert_int_equal(cb_feed_since(w.store, 0, &entry, 1, &count), CB_OK);
    assert_int_equal(entry.kind, CB_FEED_KEY_RETIRED);
    assert_true(cb_id_same(&entry.subject, &first));
    cb_enrolment_free(&e);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void where_no_certificate_is_needed_a_renewal_takes_over_at_once(void **state)
{
    world w;
    cb_enrolment e;
    cb_id second;
    (void)state;
    world_begin(&w);
    cb_enrolment_init(&e);
    assert_int_equal(renew(&w, &w.enrolment.id, "tax", 2, "two", &second), CB_OK);
    assert_int_equal(cb_enrolment_get(w.store, &w.enrolment.id, &e), CB_OK);
    assert_int_equal(e.state, CB_ENROLMENT_ACTIVE);
    assert_true(cb_id_same(&e.current.id, &second));
    cb_enrolment_free(&e);
    world_end(&w);
}

static void one_live_enrolment_a_holder_and_service(void **state)
{
    world w;
    cb_enrolment e;
    (void)state;
    world_begin(&w);
    cb_enrolment_init(&e);
    assert_int_equal(add_enrolment(&w, "tax", 2, NULL), CB_E_EXISTS);
    assert_int_equal(add_enrolment(&w, "none", 1, NULL), CB_E_NOT_FOUND);
    assert_int_equal(cb_enrolment_remove(w.store, "test", &w.enrolment.id, NULL), CB_OK);
    assert_int_equal(cb_enrolment_remove(w.store, "test", &w.enrolment.id, NULL), CB_E_STATE);
    assert_int_equal(cb_enrolment_get(w.store, &w.enrolment.id, &e), CB_OK);
    assert_int_equal(e.state, CB_ENROLMENT_REMOVED);
    assert_true(cb_id_is_zero(&e.current.id)); /* erased */
    cb_id key;
    assert_int_equal(renew(&w, &w.enrolment.id, "tax", 2, "two", &key), CB_E_STATE);
    assert_int_equal(add_enrolment(&w, "tax", 2, &e), CB_OK);
    cb_enrolment_free(&e);
    world_end(&w);
}

static void a_sealed_key_of_somebody_else_is_refused(void **state)
{
    world w;
    cb_holder other;
    cb_id key = cb_id_new();
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &other), CB_OK);
    make_sealed(&key, &other.id, "tax", 1, 1, &sealed);
    cb_enrolment_new new = {
        .holder = w.holder.id, .service = "tax", .sealed = cb_buf_bytes(&sealed)};
    assert_int_equal(cb_enrolment_add(w.store, "test", &new, NULL), CB_E_ARGUMENT);
    new.holder = other.id;
    new.service = "bank";
    assert_int_equal(cb_enrolment_add(w.store, "test", &new, NULL), CB_E_ARGUMENT);
    new.service = "tax";
    new.data = "not json";
    assert_int_equal(cb_enrolment_add(w.store, "test", &new, NULL), CB_E_ARGUMENT);
    new.data = NULL;
    assert_int_equal(cb_enrolment_add(w.store, "test", &new, NULL), CB_OK);
    cb_buf_free(&sealed);
    world_end(&w);
}

static void a_rewrapped_key_is_the_same_key_of_no_older_generation(void **state)
{
    world w;
    cb_enrolment e;
    cb_id key, other = cb_id_new();
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    (void)state;
    world_begin(&w);
    cb_enrolment_init(&e);
    key = w.enrolment.current.id;
    make_sealed(&other, &w.holder.id, "tax", 1, 3, &sealed);
    assert_int_equal(cb_enrolment_rewrap(w.store, "test", &w.enrolment.id, cb_buf_bytes(&sealed)),
                     CB_E_ARGUMENT);
    cb_buf_reset(&sealed);
    make_sealed(&key, &w.holder.id, "tax", 1, 3, &sealed);
    assert_int_equal(cb_enrolment_rewrap(w.store, "test", &w.enrolment.id, cb_buf_bytes(&sealed)),
                     CB_OK);
    assert_int_equal(cb_enrolment_get(w.store, &w.enrolment.id, &e), CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&e.current.sealed), cb_buf_bytes(&sealed)));
    cb_buf_reset(&sealed);
    make_sealed(&key, &w.holder.id, "tax", 1, 2, &sealed);
    assert_int_equal(cb_enrolment_rewrap(w.store, "test", &w.enrolment.id, cb_buf_bytes(&sealed)),
                     CB_E_ARGUMENT);
    cb_buf_free(&sealed);
    cb_enrolment_free(&e);
    world_end(&w);
}

static void what_is_no_certificate_gives_no_key(void **state)
{
    cb_buf certificate = CB_BUF(2048), key = CB_BUF(2048), expected = CB_BUF(64);
    (void)state;
    make_certificate(cb_bytes_str("body"), &certificate);
    assert_int_equal(cb_certificate_public_key(cb_buf_bytes(&certificate), &key), CB_OK);
    cb_tlv_put(&expected, 0x30, cb_bytes_str("body"));
    assert_true(cb_bytes_same(cb_buf_bytes(&key), cb_buf_bytes(&expected)));
    for (size_t len = 0; len < certificate.len; len++) {
        cb_buf_reset(&key);
        assert_int_equal(cb_certificate_public_key((cb_bytes){certificate.data, len}, &key),
                         CB_E_FORMAT);
        assert_int_equal(key.len, 0);
    }
    cb_buf_put_u8(&certificate, 0);
    assert_int_equal(cb_certificate_public_key(cb_buf_bytes(&certificate), &key), CB_E_FORMAT);
    cb_buf_free(&certificate);
    cb_buf_free(&key);
    cb_buf_free(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_act_without_an_actor_is_refused),
        cmocka_unit_test(the_actor_is_in_the_record_and_the_holders_name_is_not),
        cmocka_unit_test(lists_come_in_pages),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(a_card_is_what_its_binding_says),
        cmocka_unit_test(a_terminal_is_known_by_its_key_for_ever),
        cmocka_unit_test(a_terminals_services_exist_and_are_named_once),
        cmocka_unit_test(services_are_checked_and_replaced),
        cmocka_unit_test(a_key_is_used_once_its_certificate_is_there_and_renewed_beside_it),
        cmocka_unit_test(where_no_certificate_is_needed_a_renewal_takes_over_at_once),
        cmocka_unit_test(one_live_enrolment_a_holder_and_service),
        cmocka_unit_test(a_sealed_key_of_somebody_else_is_refused),
        cmocka_unit_test(a_rewrapped_key_is_the_same_key_of_no_older_generation),
        cmocka_unit_test(what_is_no_certificate_gives_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

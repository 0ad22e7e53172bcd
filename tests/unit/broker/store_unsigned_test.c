/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The store: what an act is told that is committed and will not be signed, or not in time.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "broker/core/act.h"
#include "tests/unit/broker/support.h"

/* A copy that another broker serves was signed further. What is added here then will never be under
 * a head: nobody is told that it follows. */
static void an_act_in_what_turns_out_to_be_an_old_copy_is_not_said_to_be_done(void **state)
{
    world w;
    cb_holder holder;
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &holder), CB_OK);
    w.signer->remembered.size += 3;
    w.signer->remembered.root.bytes[0] ^= 1;
    assert_int_equal(cb_holder_add(w.store, "test", "Jiro", &holder), CB_E_HSM_ROLLED_BACK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_ROLLED_BACK);
    world_end(&w);
}

/* Holds the signer behind its first head since it was armed, and the writer at its second group. */
typedef struct held {
    world *w;
    atomic_bool armed, goes_on;
    atomic_uint commits;
    pthread_t other;
    cb_error said; /* to the other */
} held;

static void wait_until_refused(const held *h)
{
    cb_store_state status = {.error = CB_OK};
    for (int i = 0; i < 30000 && !status.error; i++) {
        usleep(1000);
        cb_store_status(h->w->store, &status);
    }
}

static void wait_to_go_on(held *h)
{
    for (int i = 0; i < 30000 && !atomic_load(&h->goes_on); i++)
        usleep(1000);
}

static void hold(void *context, const char *step)
{
    held *h = context;
    if (!atomic_load(&h->armed))
        return;
    if (strcmp(step, "signed") == 0)
        wait_to_go_on(h);
    if (strcmp(step, "commit") != 0 || atomic_fetch_add(&h->commits, 1) != 1)
        return;
    atomic_store(&h->goes_on, true);
    wait_until_refused(h);
}

static void open_held(world *w, held *h, void (*probe)(void *context, const char *step))
{
    world_begin(w);
    world_close(w);
    w->options.probe = probe;
    w->options.probe_context = h;
    world_open(w);
    assert_int_equal(tap_once(w, NULL, NULL), CB_OK);
    atomic_store(&h->armed, true);
}

/* The first shows what the copy is, while the second is being written. */
static void nor_is_one_that_was_under_way_when_it_turned_out(void **state)
{
    world w;
    cb_holder holder;
    held h = {.w = &w};
    (void)state;
    open_held(&w, &h, hold);
    w.signer->remembered.size += 3;
    w.signer->remembered.root.bytes[0] ^= 1;
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_int_equal(cb_holder_add(w.store, "test", "Jiro", &holder), CB_E_HSM_ROLLED_BACK);
    assert_true(atomic_load(&h.goes_on));
    world_end(&w);
}

/* Nobody answers, and nobody says so. */
static void a_signature_is_not_waited_for_without_end(void **state)
{
    world w;
    cb_holder holder;
    held h = {.w = &w};
    (void)state;
    open_held(&w, &h, hold);
    assert_int_equal(cb_holder_add(w.store, "test", "Jiro", &holder), CB_E_UNSIGNED);
    assert_false(atomic_load(&h.goes_on));
    atomic_store(&h.armed, false);
    atomic_store(&h.goes_on, true);
    world_end(&w);
}

static void *revoke_too(void *context)
{
    held *h = context;
    h->said = cb_card_change(h->w->store, "test", &h->w->card, CB_CARD_REVOKE, NULL, NULL);
    atomic_store(&h->goes_on, true);
    return NULL;
}

/* Somebody else writes behind the second group, and the third finds it. */
static void meddle_behind(void *context, const char *step)
{
    held *h = context;
    if (!atomic_load(&h->armed))
        return;
    if (strcmp(step, "signed") == 0)
        wait_to_go_on(h);
    if (strcmp(step, "committed") != 0 || atomic_fetch_add(&h->commits, 1) != 1)
        return;
    meddle(h->w, "CREATE TABLE other (x INTEGER)");
    assert_int_equal(pthread_create(&h->other, NULL, revoke_too, h), 0);
}

static void nor_is_one_whose_database_somebody_wrote_to_before_it_was_signed(void **state)
{
    world w;
    cb_holder holder;
    held h = {.w = &w};
    (void)state;
    open_held(&w, &h, meddle_behind);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_int_equal(cb_holder_add(w.store, "test", "Jiro", &holder), CB_E_EVIDENCE);
    assert_true(atomic_load(&h.goes_on));
    pthread_join(h.other, NULL);
    assert_int_equal(h.said, CB_E_EVIDENCE);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_act_in_what_turns_out_to_be_an_old_copy_is_not_said_to_be_done),
        cmocka_unit_test(nor_is_one_that_was_under_way_when_it_turned_out),
        cmocka_unit_test(nor_is_one_whose_database_somebody_wrote_to_before_it_was_signed),
        cmocka_unit_test(a_signature_is_not_waited_for_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

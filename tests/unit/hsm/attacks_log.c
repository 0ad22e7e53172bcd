/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Having something signed that is not the log's continuation.
 */
#include "attacks.h"

#include "base/clock.h"
#include "base/secret.h"

static void a_log_is_never_rewritten(void **state)
{
    front *f = *state;
    cb_tree_head remembered, head;
    cb_signed_head out;
    cb_merkle_proof none = {0};
    cb_buf point = CB_BUF(CB_PUBLIC_KEY_MAX);
    good(cb_hsm_head_state(f->hsm, &head));
    assert_int_equal(head.size, f->log.size);
    good(cb_hsm_sign_head(f->hsm, &head, &none, &out, NULL));
    good(cb_hsm_public_key(f->hsm, "log", &point));
    cb_cursor spki = cb_cursor_over(cb_buf_bytes(&point));
    cb_cursor_take(&spki, point.len - CB_P256_POINT);
    cb_bytes log_point = cb_cursor_rest(&spki);
    assert_int_equal(cb_signed_head_check("test/log", &out, log_point), CB_OK);
    assert_int_equal(cb_signed_head_check("other/log", &out, log_point), CB_E_CRYPTO);
    out.time++;
    assert_int_equal(cb_signed_head_check("test/log", &out, log_point), CB_E_CRYPTO);

    cb_tree_head fork = head;
    fork.root.bytes[0] ^= 1;
    expect(CB_E_HSM_HEAD, cb_hsm_sign_head(f->hsm, &fork, &none, &out, &remembered));
    assert_true(remembered.size == head.size && memcmp(&remembered.root, &head.root, 32) == 0);
    fork.size += 5;
    expect(CB_E_HSM_HEAD, cb_hsm_sign_head(f->hsm, &fork, &none, &out, NULL));
    fork.size = head.size - 1;
    expect(CB_E_HSM_HEAD, cb_hsm_sign_head(f->hsm, &fork, &none, &out, NULL));
    cb_buf_free(&point);
}

/* One of several continuations of the log as it stands. */
typedef struct future {
    cb_merkle_frontier log;
    cb_tree_head head;
    cb_merkle_proof extends;
} future;

static future continued(const cb_merkle_frontier *from, const char *word, unsigned leaves)
{
    cb_digest leaf[4];
    future out = {.log = *from};
    for (unsigned i = 0; i < leaves; i++) {
        leaf[i] = cb_merkle_leaf(cb_bytes_str(word));
        cb_merkle_append(&out.log, &leaf[i]);
    }
    cb_merkle_consistency(from, leaf, leaves, &out.extends);
    out.head = (cb_tree_head){out.log.size, cb_merkle_root(&out.log)};
    return out;
}

static cb_error sign(front *f, const future *what, cb_signed_head *out)
{
    return cb_hsm_sign_head(f->hsm, &what->head, &what->extends, out, NULL);
}

static void of_two_futures_only_the_first_is_signed(void **state)
{
    front *f = *state;
    cb_signed_head out;
    cb_merkle_frontier before = f->log;
    future one = continued(&before, "one", 1), other = continued(&before, "other", 1);
    future longer = continued(&before, "other", 3), shorter = continued(&before, "one", 0);
    good(sign(f, &one, &out));
    f->log = one.log;
    expect(CB_E_HSM_HEAD, sign(f, &other, &out));
    expect(CB_E_HSM_HEAD, sign(f, &longer, &out));
    expect(CB_E_HSM_HEAD, sign(f, &shorter, &out));
    /* A proof from the head that is remembered, to another tree. */
    future fork = continued(&one.log, "two", 2);
    fork.head.root.bytes[0] ^= 1;
    expect(CB_E_HSM_HEAD, sign(f, &fork, &out));
    /* What was refused changed nothing. */
    cb_tree_head now;
    good(cb_hsm_head_state(f->hsm, &now));
    assert_true(now.size == one.head.size && memcmp(&now.root, &one.head.root, 32) == 0);
    one.extends.count = 0;
    good(sign(f, &one, &out)); /* the same once more */
}

static void a_head_without_the_right_proof_is_not_signed(void **state)
{
    front *f = *state;
    cb_signed_head out;
    static const uint64_t sizes[] = {0, 1, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX};
    for (unsigned i = 0; i < 300; i++) {
        future made = continued(&f->log, "next", 1 + i % 4);
        switch (i % 5) {
        case 0:
            made.extends.hash[i % (made.extends.count + 1)].bytes[i % 32] ^= 1;
            made.extends.count += i % (made.extends.count + 1) == made.extends.count;
            break;
        case 1:
            made.extends.count = 0;
            break;
        case 2:
            cb_random(&made.extends.hash, sizeof made.extends.hash);
            made.extends.count = i % (CB_MERKLE_PROOF_MAX + 1);
            break;
        case 3:
            made.head.size = sizes[i / 5 % 5];
            break;
        default:
            made.head.size = f->log.size - i % 2; /* no longer, or shorter */
        }
        expect(CB_E_HSM_HEAD, sign(f, &made, &out));
    }
    future right = continued(&f->log, "next", 1);
    good(sign(f, &right, &out));
    f->log = right.log;
}

/* The time is hsmd's own: a front end cannot choose it. */
static void a_head_is_signed_with_the_time_it_is_signed_at(void **state)
{
    front *f = *state;
    cb_signed_head out;
    int64_t last = 0;
    for (int i = 0; i < 5; i++) {
        int64_t from = cb_clock_wall_us();
        future next = continued(&f->log, "time", 1);
        good(sign(f, &next, &out));
        f->log = next.log;
        assert_true(out.time >= from && out.time <= cb_clock_wall_us() && out.time > last);
        last = out.time;
    }
}

const struct CMUnitTest attack_log_tests[] = {
    cmocka_unit_test(a_log_is_never_rewritten),
    cmocka_unit_test(of_two_futures_only_the_first_is_signed),
    cmocka_unit_test(a_head_without_the_right_proof_is_not_signed),
    cmocka_unit_test(a_head_is_signed_with_the_time_it_is_signed_at),
};
const size_t attack_log_count = sizeof attack_log_tests / sizeof *attack_log_tests;

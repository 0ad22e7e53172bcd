/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/loghead.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/leaf.h"
#include "hsm/client.h"
#include "hsm/durable.h"
#include "test.h"

static char folder[64];
static char path[128];

static int fresh(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/cardbroker-head-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/log-head", folder);
    good(cb_durable_make(path));
    return 0;
}

static int gone(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* The next head of a log and the proof that it extends the last one. */
static cb_tree_head grow(cb_merkle_frontier *log, unsigned leaves, cb_merkle_proof *extends)
{
    cb_merkle_frontier before = *log;
    cb_digest leaf[16];
    for (unsigned i = 0; i < leaves; i++) {
        uint8_t text[2] = {(uint8_t)log->size, (uint8_t)(log->size >> 8)};
        leaf[i] = cb_merkle_leaf(CB_BYTES_OF(text));
        cb_merkle_append(log, &leaf[i]);
    }
    cb_merkle_consistency(&before, leaf, leaves, extends);
    return (cb_tree_head){log->size, cb_merkle_root(log)};
}

static bool same(cb_tree_head a, cb_tree_head b)
{
    return a.size == b.size && memcmp(&a.root, &b.root, sizeof a.root) == 0;
}

static void a_log_grows_and_is_remembered(void **state)
{
    cb_loghead *memory;
    cb_merkle_frontier log = {0};
    cb_merkle_proof extends;
    cb_tree_head head = {0};
    uint64_t size;
    (void)state;
    for (unsigned i = 1; i < 12; i++) {
        good(cb_loghead_open(path, &memory));
        assert_int_equal(cb_loghead_now(memory).size, log.size);
        head = grow(&log, i, &extends);
        good(cb_loghead_extend(memory, &head, &extends));
        assert_true(same(head, cb_loghead_now(memory)));
        /* The same head again needs no proof. */
        good(cb_loghead_extend(memory, &head, &(cb_merkle_proof){0}));
        cb_loghead_close(&memory);
        good(cb_loghead_peek(path, &size));
        assert_int_equal(size, log.size);
    }
}

static void what_does_not_extend_is_refused(void **state)
{
    cb_loghead *memory;
    cb_merkle_frontier log = {0}, other;
    cb_merkle_proof extends, none = {0};
    (void)state;
    good(cb_loghead_open(path, &memory));
    cb_tree_head head = grow(&log, 7, &extends);
    good(cb_loghead_extend(memory, &head, &extends));
    cb_tree_head wrong = head;
    wrong.root.bytes[0] ^= 1;
    expect(CB_E_HSM_HEAD, cb_loghead_extend(memory, &wrong, &none));
    other = log;
    other.node[0].bytes[0] ^= 1;
    cb_tree_head fork = grow(&other, 3, &extends);
    expect(CB_E_HSM_HEAD, cb_loghead_extend(memory, &fork, &extends));
    expect(CB_E_HSM_HEAD, cb_loghead_extend(memory, &fork, &none));
    cb_tree_head empty = {0, cb_sha256((cb_bytes){0})};
    expect(CB_E_HSM_HEAD, cb_loghead_extend(memory, &empty, &none));
    cb_merkle_frontier shorter = {0};
    cb_tree_head less = grow(&shorter, 6, &extends);
    expect(CB_E_HSM_HEAD, cb_loghead_extend(memory, &less, &none));
    assert_true(same(head, cb_loghead_now(memory)));
    cb_loghead_close(&memory);
}

static void only_one_lane_signs(void **state)
{
    cb_loghead *one, *two;
    (void)state;
    good(cb_loghead_open(path, &one));
    expect(CB_E_BUSY, cb_loghead_open(path, &two));
    assert_null(two);
    cb_loghead_close(&one);
    good(cb_loghead_open(path, &two));
    cb_loghead_close(&two);
}

/* A power cut in the middle of a write tears one page; the value before stands. */
static void a_torn_write_leaves_the_value_before(void **state)
{
    static const uint8_t torn[4096];
    cb_loghead *memory;
    cb_merkle_frontier log = {0};
    cb_merkle_proof extends;
    (void)state;
    good(cb_loghead_open(path, &memory));
    cb_tree_head one = grow(&log, 3, &extends);
    good(cb_loghead_extend(memory, &one, &extends));
    cb_tree_head two = grow(&log, 3, &extends);
    good(cb_loghead_extend(memory, &two, &extends));
    cb_loghead_close(&memory);
    for (size_t len = 1; len <= 88; len += 29) {
        int fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, torn, len, 0),
                         len); /* the second write went to the first page */
        close(fd);
        good(cb_loghead_open(path, &memory));
        assert_true(same(one, cb_loghead_now(memory)));
        cb_loghead_close(&memory);
    }
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, torn, 50, 0), 50);
    assert_int_equal(pwrite(fd, torn, 50, CB_DURABLE_PAGE), 50);
    close(fd);
    expect(CB_E_HSM_RECORD, cb_loghead_open(path, &memory));
}

static void the_text_of_a_head_is_as_documented(void **state)
{
    cb_signed_head head = {.head = {.size = 42}, .time = 1767225600000001};
    cb_buf text = CB_BUF(1024);
    (void)state;
    memset(head.head.root.bytes, 0xAB, 32);
    cb_signed_head_text("example.org/log", &head, &text);
    assert_string_equal(cb_buf_cstr(&text),
                        "cardbroker-log-head 1\norigin example.org/log\nsize 42\nroot "
                        "abababababababababababababababababababababababababababababababab\n"
                        "time 2026-01-01T00:00:00.000001Z\n");
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    good(cb_p256_generate(scalar, point));
    cb_digest digest = cb_sha256(cb_buf_bytes(&text));
    good(cb_p256_sign(scalar, &digest, head.signature));
    assert_int_equal(cb_signed_head_check("example.org/log", &head, CB_BYTES_OF(point)), CB_OK);
    head.head.size++;
    assert_int_equal(cb_signed_head_check("example.org/log", &head, CB_BYTES_OF(point)),
                     CB_E_CRYPTO);
    cb_buf_free(&text);
}

static void an_intent_names_everything_it_is_for(void **state)
{
    cb_intent intent = {.time = 1767225600000000, .reached = 2};
    cb_buf leaf = CB_BUF(CB_LEAF_MAX), value = CB_BUF(256);
    (void)state;
    intent.context = (cb_tap_context){.profile = 1, .purpose = 1, .level = 1, .service = "tax"};
    cb_id *ids[] = {&intent.context.tap, &intent.context.terminal, &intent.card, &intent.holder,
                    &intent.key};
    for (unsigned i = 0; i < 5; i++)
        *ids[i] = cb_id_new();
    cb_intent_leaf(&intent, &leaf);
    good(cb_buf_error(&leaf));
    static const char *const names[] = {"kind",    "time",  "tap",     "terminal", "profile",
                                        "purpose", "level", "service", "text",     "card",
                                        "holder",  "key",   "reached"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cb_buf_reset(&value);
        good(cb_leaf_find(cb_buf_bytes(&leaf), names[i], &value));
    }
    /* Whatever differs makes another leaf. */
    for (unsigned i = 0; i < 8; i++) {
        cb_intent other = intent;
        cb_buf differs = CB_BUF(CB_LEAF_MAX);
        cb_id *id[] = {&other.context.tap, &other.context.terminal, &other.card, &other.holder,
                       &other.key};
        if (i < 5)
            id[i]->bytes[15] ^= 1;
        else if (i == 5)
            other.reached = 1;
        else if (i == 6)
            other.context.service[0] = 'f';
        else
            other.time++;
        cb_intent_leaf(&other, &differs);
        assert_false(cb_bytes_same(cb_buf_bytes(&leaf), cb_buf_bytes(&differs)));
        cb_buf_free(&differs);
    }
    cb_buf_free(&leaf);
    cb_buf_free(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_log_grows_and_is_remembered, fresh, gone),
        cmocka_unit_test_setup_teardown(what_does_not_extend_is_refused, fresh, gone),
        cmocka_unit_test_setup_teardown(only_one_lane_signs, fresh, gone),
        cmocka_unit_test_setup_teardown(a_torn_write_leaves_the_value_before, fresh, gone),
        cmocka_unit_test(the_text_of_a_head_is_as_documented),
        cmocka_unit_test(an_intent_names_everything_it_is_for),
    };
    return cmocka_run_group_tests_name("loghead", tests, NULL, NULL);
}

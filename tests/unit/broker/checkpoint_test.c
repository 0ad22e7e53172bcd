/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The forms of a checkpoint: the leaf, the words in their order, the file.
 */
#include <stdlib.h>
#include <string.h>

#include "base/leaf.h"
#include "broker/evidence/checkpoint.h"
#include "broker/evidence/tree.h"
#include "tests/unit/broker/support.h"

static const char kinds[] = "stSTopabiden";

static cb_id id_of(unsigned number)
{
    cb_id id = {{0}};
    id.bytes[0] = (uint8_t)(number * 7);
    id.bytes[1] = (uint8_t)(number >> 5);
    id.bytes[15] = (uint8_t)number;
    return id;
}

/* The same words in an order of insertion that differs. */
static void fill(cb_id_map *map, unsigned count, bool backwards)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned number = backwards ? count - 1 - i : i;
        cb_id id = id_of(number);
        assert_int_equal(
            cb_id_map_set(map, kinds[number % (sizeof kinds - 1)], &id, number * UINT64_C(77)),
            CB_OK);
    }
}

static cb_checkpoint sample(uint64_t size, cb_merkle_frontier *tree)
{
    cb_checkpoint c = {.feed = {9, cb_sha256(cb_bytes_str("feed"))}, .rules = cb_vouch_rules()};
    *tree = (cb_merkle_frontier){0};
    for (uint64_t i = 0; i < size; i++) {
        cb_digest leaf = cb_merkle_leaf(cb_bytes_make(&i, sizeof i));
        cb_merkle_append(tree, &leaf);
    }
    c.tree = cb_frontier_head(tree);
    return c;
}

static void what_words_come_to_does_not_depend_on_how_they_came(void **state)
{
    static const unsigned counts[] = {0, 1, 2, 1023, 1024, 1025, 3000};
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        cb_id_map one = {0}, other = {0};
        cb_checkpoint a = {0}, b = {0};
        fill(&one, counts[i], false);
        fill(&other, counts[i], true);
        assert_int_equal(cb_words_of(&one, &a), CB_OK);
        assert_int_equal(cb_words_of(&other, &b), CB_OK);
        assert_int_equal(a.words, counts[i]);
        assert_true(cb_checkpoint_same(&a, &b));
        cb_id id = id_of(5000);
        assert_int_equal(cb_id_map_set(&other, 's', &id, 1), CB_OK);
        assert_int_equal(cb_words_of(&other, &b), CB_OK);
        assert_false(cb_checkpoint_same(&a, &b));
        cb_id_map_free(&one);
        cb_id_map_free(&other);
    }
}

static void words_are_read_back_as_they_were(void **state)
{
    enum { COUNT = 2500 };
    cb_id_map map = {0};
    cb_checkpoint own = {0};
    cb_words_reader reader = {0};
    cb_merkle_frontier tree = {0};
    cb_buf block = CB_BUF(CB_WORDS_BLOCK * CB_WORD_SIZE);
    (void)state;
    fill(&map, COUNT, true);
    cb_id_entry *words = malloc(map.count * sizeof *words);
    cb_words_copy(&map, words);
    cb_words_sort(words, map.count);
    for (size_t at = 0; at < map.count; at += CB_WORDS_BLOCK) {
        size_t left = map.count - at;
        cb_buf_reset(&block);
        cb_words_put(&block, words + at, left < CB_WORDS_BLOCK ? left : CB_WORDS_BLOCK, &tree);
        assert_int_equal(cb_words_take(&reader, cb_buf_bytes(&block)), CB_OK);
    }
    assert_int_equal(cb_words_of(&map, &own), CB_OK);
    cb_digest root = cb_merkle_root(&reader.tree);
    assert_memory_equal(&root, &own.words_root, sizeof root);
    assert_int_equal(reader.map.count, map.count);
    for (unsigned i = 0; i < COUNT; i++) {
        cb_id id = id_of(i);
        char kind = kinds[i % (sizeof kinds - 1)];
        assert_int_equal(cb_id_map_find(&reader.map, kind, &id)->value,
                         cb_id_map_find(&map, kind, &id)->value);
    }
    cb_buf_free(&block);
    free(words);
    cb_id_map_free(&map);
    cb_id_map_free(&reader.map);
}

/* Words are in one order, none twice, of kinds that there are, and whole. */
static void words_that_are_not_as_they_are_written_are_refused(void **state)
{
    uint8_t two[2 * CB_WORD_SIZE] = {0};
    (void)state;
    static const struct {
        char first, second;
        uint8_t id;
        size_t len;
        cb_error expected;
    } cases[] = {
        {'a', 'b', 0, sizeof two, CB_OK},           {'a', 'a', 1, sizeof two, CB_OK},
        {'T', 't', 0, sizeof two, CB_OK},           {'a', 'a', 0, sizeof two, CB_E_FORMAT},
        {'b', 'a', 9, sizeof two, CB_E_FORMAT},     {'t', 'T', 9, sizeof two, CB_E_FORMAT},
        {'a', 'z', 0, sizeof two, CB_E_FORMAT},     {'a', 0, 0, sizeof two, CB_E_FORMAT},
        {0, 'a', 0, sizeof two, CB_E_FORMAT},       {'I', 'a', 0, sizeof two, CB_E_FORMAT},
        {'D', 'a', 0, sizeof two, CB_E_FORMAT},     {'a', (char)0xE1, 0, sizeof two, CB_E_FORMAT},
        {'a', 'b', 0, sizeof two - 1, CB_E_FORMAT}, {'a', 'b', 0, CB_WORD_SIZE + 1, CB_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_words_reader reader = {0};
        two[0] = (uint8_t)cases[i].first;
        two[CB_WORD_SIZE] = (uint8_t)cases[i].second;
        two[CB_WORD_SIZE + 16] = cases[i].id;
        assert_int_equal(cb_words_take(&reader, cb_bytes_make(two, cases[i].len)),
                         cases[i].expected);
        cb_id_map_free(&reader.map);
    }
}

static void a_head_is_read_back_and_nothing_else_is(void **state)
{
    static const uint64_t sizes[] = {0, 1, 2, 3, 77, 1000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cb_merkle_frontier tree, back;
        cb_checkpoint c = sample(sizes[i], &tree), read;
        cb_buf head = CB_BUF(CB_CHECKPOINT_HEAD_MAX);
        size_t size = 0;
        c.words = 123;
        cb_checkpoint_head_put(&head, &c, &tree);
        assert_int_equal(
            cb_checkpoint_head_size(cb_bytes_make(head.data, CB_CHECKPOINT_HEAD), &size), CB_OK);
        assert_int_equal(size, head.len);
        assert_int_equal(cb_checkpoint_head_get(cb_buf_bytes(&head), &read, &back), CB_OK);
        assert_true(cb_checkpoint_same(&read, &c));
        assert_int_equal(
            cb_checkpoint_head_get(cb_bytes_make(head.data, head.len - 1), &read, &back),
            CB_E_FORMAT);
        cb_buf more = CB_BUF(CB_CHECKPOINT_HEAD_MAX + 1);
        cb_buf_put(&more, cb_buf_bytes(&head));
        cb_buf_put_u8(&more, 0);
        assert_int_equal(cb_checkpoint_head_get(cb_buf_bytes(&more), &read, &back), CB_E_FORMAT);
        cb_buf_free(&more);
        for (size_t at = 0; at < head.len; at++) {
            head.data[at] ^= 1;
            cb_error error = cb_checkpoint_head_get(cb_buf_bytes(&head), &read, &back);
            assert_true(error == CB_E_FORMAT || !cb_checkpoint_same(&read, &c));
            head.data[at] ^= 1;
        }
        cb_buf_free(&head);
    }
}

static void leaf_of(const char *kind, const cb_checkpoint *c, cb_buf *leaf)
{
    cb_leaf_begin(leaf, kind, 1700000000000000);
    cb_checkpoint_put(leaf, c);
}

static void a_leaf_is_read_back_and_nothing_else_is(void **state)
{
    cb_merkle_frontier tree;
    cb_checkpoint c = sample(300, &tree), read;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX), other = CB_BUF(CB_LEAF_MAX);
    (void)state;
    c.words = 18446744073709551615u;
    leaf_of("record.checkpoint", &c, &leaf);
    assert_int_equal(cb_checkpoint_read(cb_buf_bytes(&leaf), &read), CB_OK);
    assert_true(cb_checkpoint_same(&read, &c));
    leaf_of("card.added", &c, &other);
    assert_int_equal(cb_checkpoint_read(cb_buf_bytes(&other), &read), CB_E_NOT_FOUND);
    for (size_t len = 0; len < leaf.len; len++)
        assert_int_not_equal(cb_checkpoint_read(cb_bytes_make(leaf.data, len), &read), CB_OK);
    for (size_t at = 0; at < leaf.len; at++) {
        leaf.data[at] ^= 2;
        bool taken = cb_checkpoint_read(cb_buf_bytes(&leaf), &read) == CB_OK;
        /* What comes before its lines, such as the time, is not its own. */
        assert_true(!taken || !cb_checkpoint_same(&read, &c) || at < 84);
        leaf.data[at] ^= 2;
    }
    cb_leaf_text(&leaf, "more", "lines");
    assert_int_equal(cb_checkpoint_read(cb_buf_bytes(&leaf), &read), CB_E_FORMAT);
    cb_buf_free(&leaf);
    cb_buf_free(&other);
}

static void numbers_are_written_in_one_way(void **state)
{
    static const char *const sizes[] = {
        "", "-1", "+1", "01", "1 ", "18446744073709551616", "1x", "99999999999999999999999"};
    cb_merkle_frontier tree;
    cb_checkpoint c = sample(1, &tree), read;
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cb_buf leaf = CB_BUF(CB_LEAF_MAX), lines = CB_BUF(CB_LEAF_MAX);
        cb_leaf_begin(&leaf, "record.checkpoint", 1700000000000000);
        cb_leaf_text(&leaf, "size", sizes[i]);
        cb_checkpoint_put(&lines, &c);
        const uint8_t *rest = memchr(lines.data, '\n', lines.len);
        cb_buf_put(&leaf, cb_bytes_make(rest + 1, lines.len - (size_t)(rest + 1 - lines.data)));
        assert_int_equal(cb_checkpoint_read(cb_buf_bytes(&leaf), &read), CB_E_FORMAT);
        cb_buf_free(&leaf);
        cb_buf_free(&lines);
    }
}

static void words_are_of_the_kinds_that_leaves_speak_of(void **state)
{
    cb_digest rules = cb_vouch_rules(), again = cb_vouch_rules(), none = {{0}};
    (void)state;
    assert_memory_equal(&rules, &again, sizeof rules);
    assert_memory_not_equal(&rules, &none, sizeof rules);
    for (const char *kind = "stopwdenabiSTOPWENAB"; *kind; kind++)
        assert_true(cb_vouch_keeps(*kind));
    for (const char *kind = "IDcxz\1"; *kind; kind++)
        assert_false(cb_vouch_keeps(*kind));
    assert_false(cb_vouch_keeps(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_words_come_to_does_not_depend_on_how_they_came),
        cmocka_unit_test(words_are_read_back_as_they_were),
        cmocka_unit_test(words_that_are_not_as_they_are_written_are_refused),
        cmocka_unit_test(a_head_is_read_back_and_nothing_else_is),
        cmocka_unit_test(a_leaf_is_read_back_and_nothing_else_is),
        cmocka_unit_test(numbers_are_written_in_one_way),
        cmocka_unit_test(words_are_of_the_kinds_that_leaves_speak_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

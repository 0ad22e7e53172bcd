/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates as cards compress them: whole again, or refused; never more than there is room for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "cardlink/terminal/inflate.h"

enum { PLAIN = 1500, ROOM = 4096 };

static uint8_t plain[PLAIN], packed[ROOM];
static size_t packed_len;

/* One member of gzip with a file's name in its head, as a tool may write it. */
static size_t pack(cb_bytes in, uint8_t *out, size_t room)
{
    gz_header header = {.name = (Bytef *)(uintptr_t) "certificate.der"};
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)in.data,
                       .avail_in = (uInt)in.len,
                       .next_out = out,
                       .avail_out = (uInt)room};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY),
                     Z_OK);
    assert_int_equal(deflateSetHeader(&stream, &header), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t len = room - stream.avail_out;
    deflateEnd(&stream);
    return len;
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLAIN; i++)
        plain[i] = (uint8_t)(i * i >> 3);
    plain[0] = 0x30;
    packed_len = pack(CB_BYTES_OF(plain), packed, sizeof packed);
    assert_true(packed_len < PLAIN);
    return 0;
}

static cb_error inflated(cb_bytes in, size_t room, cb_buf *out)
{
    *out = CB_BUF(room);
    return cb_inflate(in, out);
}

static void it_is_whole_again(void **state)
{
    cb_buf out;
    (void)state;
    assert_true(cb_is_deflated(cb_bytes_make(packed, packed_len)));
    assert_false(cb_is_deflated(CB_BYTES_OF(plain)));
    assert_false(cb_is_deflated(cb_bytes_make(packed, 1)));
    assert_int_equal(inflated(cb_bytes_make(packed, packed_len), PLAIN, &out), CB_OK);
    assert_int_equal(out.len, PLAIN);
    assert_memory_equal(out.data, plain, PLAIN);
    cb_buf_free(&out);
}

/* The certificate of a content signer is followed by the intermediate one. */
static void what_follows_stays_as_it_is(void **state)
{
    static const uint8_t more[] = {0x7F, 0x21, 0x02, 0x1F, 0x8B};
    cb_buf out;
    (void)state;
    memcpy(packed + packed_len, more, sizeof more);
    assert_int_equal(inflated(cb_bytes_make(packed, packed_len + sizeof more), ROOM, &out), CB_OK);
    assert_int_equal(out.len, PLAIN + sizeof more);
    assert_memory_equal(out.data, plain, PLAIN);
    assert_memory_equal(out.data + PLAIN, more, sizeof more);
    cb_buf_free(&out);
}

static void what_is_cut_off_or_changed_is_refused(void **state)
{
    cb_buf out;
    (void)state;
    for (size_t len = 0; len < packed_len; len++) {
        assert_int_equal(inflated(cb_bytes_make(packed, len), ROOM, &out), CB_E_CARD_ANSWER);
        cb_buf_free(&out);
    }
    for (size_t i = 0; i < packed_len; i++) {
        packed[i] ^= 0x10;
        cb_error error = inflated(cb_bytes_make(packed, packed_len), ROOM, &out);
        /* Time, system and name of the file are nothing to the content. */
        if (!error && (out.len < PLAIN || memcmp(out.data, plain, PLAIN) != 0))
            fail_msg("byte %zu", i);
        packed[i] ^= 0x10;
        cb_buf_free(&out);
    }
}

/* Half a kilobyte that stands for half a megabyte. */
static void no_more_is_made_of_it_than_there_is_room_for(void **state)
{
    static uint8_t zeros[512 * 1024];
    uint8_t bomb[ROOM];
    cb_buf out;
    (void)state;
    size_t len = pack(CB_BYTES_OF(zeros), bomb, sizeof bomb);
    assert_true(len < 1024);
    assert_int_equal(inflated(cb_bytes_make(bomb, len), ROOM, &out), CB_E_TOO_LARGE);
    assert_true(out.len <= ROOM);
    cb_buf_free(&out);
    assert_int_equal(inflated(cb_bytes_make(packed, packed_len), PLAIN - 1, &out), CB_E_TOO_LARGE);
    cb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_whole_again),
        cmocka_unit_test(what_follows_stays_as_it_is),
        cmocka_unit_test(what_is_cut_off_or_changed_is_refused),
        cmocka_unit_test(no_more_is_made_of_it_than_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

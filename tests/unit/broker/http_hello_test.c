/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/hello.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tests/unit/base/test.h"

/* A ClientHello with a server name between two other extensions; name NULL: without that extension.
 */
static void make_hello(cb_buf *out, const char *name)
{
    cb_buf body = CB_BUF(4096);
    cb_buf extensions = CB_BUF(4096);
    static const uint8_t random[32] = {1};
    size_t length = name ? strlen(name) : 0;
    cb_buf_put(&extensions, CB_BYTES_OF(((const uint8_t[]){0, 23, 0, 0})));
    if (name) {
        cb_buf_put_u16(&extensions, 0);
        cb_buf_put_u16(&extensions, (uint16_t)(length + 5));
        cb_buf_put_u16(&extensions, (uint16_t)(length + 3));
        cb_buf_put_u8(&extensions, 0);
        cb_buf_put_u16(&extensions, (uint16_t)length);
        cb_buf_put(&extensions, cb_bytes_str(name));
    }
    cb_buf_put(&extensions, CB_BYTES_OF(((const uint8_t[]){0, 35, 0, 1, 9})));
    cb_buf_put_u16(&body, 0x0303);
    cb_buf_put(&body, CB_BYTES_OF(random));
    cb_buf_put(&body, CB_BYTES_OF(((const uint8_t[]){1, 7, 0, 2, 0x13, 1, 1, 0})));
    cb_buf_put_u16(&body, (uint16_t)extensions.len);
    cb_buf_put(&body, cb_buf_bytes(&extensions));
    cb_buf_put(out, CB_BYTES_OF(((const uint8_t[]){22, 3, 1})));
    cb_buf_put_u16(out, (uint16_t)(body.len + 4));
    cb_buf_put_u32(out, 0x01000000u | (uint32_t)body.len);
    cb_buf_put(out, cb_buf_bytes(&body));
    cb_buf_free(&body);
    cb_buf_free(&extensions);
}

static void the_name_is_read_in_lower_case(void **state)
{
    (void)state;
    char name[CB_SERVER_NAME];
    cb_buf hello = CB_BUF(4096);
    make_hello(&hello, "Label.RELAY.example");
    cb_buf_put_str(&hello, "and what follows");
    assert_int_equal(cb_hello_name(cb_buf_bytes(&hello), name), CB_HELLO_READ);
    assert_string_equal(name, "label.relay.example");
    cb_buf_free(&hello);
}

static void no_name_is_an_empty_one(void **state)
{
    (void)state;
    char name[CB_SERVER_NAME] = "x";
    cb_buf hello = CB_BUF(4096);
    make_hello(&hello, NULL);
    assert_int_equal(cb_hello_name(cb_buf_bytes(&hello), name), CB_HELLO_READ);
    assert_string_equal(name, "");
    cb_buf_free(&hello);
}

static void every_beginning_is_incomplete(void **state)
{
    (void)state;
    char name[CB_SERVER_NAME];
    cb_buf hello = CB_BUF(4096);
    make_hello(&hello, "a.example");
    for (size_t len = 0; len < hello.len; len++) {
        /* A copy of its own size, so that a sanitizer sees a read beyond it. */
        uint8_t *part = malloc(len + 1);
        memcpy(part, hello.data, len);
        assert_int_equal(cb_hello_name(cb_bytes_make(part, len), name), CB_HELLO_INCOMPLETE);
        assert_string_equal(name, "");
        free(part);
    }
    cb_buf_free(&hello);
}

static void a_changed_byte_never_reads_beyond(void **state)
{
    (void)state;
    char name[CB_SERVER_NAME];
    cb_buf hello = CB_BUF(4096);
    make_hello(&hello, "a.example");
    for (size_t i = 0; i < hello.len; i++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t kept = hello.data[i];
            hello.data[i] = (uint8_t)value;
            cb_hello_name(cb_buf_bytes(&hello), name);
            assert_true(strlen(name) < CB_SERVER_NAME);
            hello.data[i] = kept;
        }
    }
    cb_buf_free(&hello);
}

static void names_with_a_zero_or_too_long_are_none(void **state)
{
    (void)state;
    char name[CB_SERVER_NAME];
    char longest[300];
    cb_buf hello = CB_BUF(4096);
    make_hello(&hello, "evil");
    memset(memmem(hello.data, hello.len, "evil", 4), 0, 1);
    cb_hello_name(cb_buf_bytes(&hello), name);
    assert_string_equal(name, "");
    cb_buf_reset(&hello);
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = 0;
    make_hello(&hello, longest);
    cb_hello_name(cb_buf_bytes(&hello), name);
    assert_string_equal(name, "");
    cb_buf_free(&hello);
}

static void what_is_not_tls_is_left_to_the_library(void **state)
{
    (void)state;
    char name[CB_SERVER_NAME];
    assert_int_equal(cb_hello_name(cb_bytes_str("GET / HTTP/1.1"), name), CB_HELLO_OTHER);
    assert_int_equal(cb_hello_name(CB_BYTES_OF(((const uint8_t[]){22, 3, 1, 0xFF, 0xFF})), name),
                     CB_HELLO_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_is_read_in_lower_case),
        cmocka_unit_test(no_name_is_an_empty_one),
        cmocka_unit_test(every_beginning_is_incomplete),
        cmocka_unit_test(a_changed_byte_never_reads_beyond),
        cmocka_unit_test(names_with_a_zero_or_too_long_are_none),
        cmocka_unit_test(what_is_not_tls_is_left_to_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

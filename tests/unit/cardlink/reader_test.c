/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A virtual card's places: what the other end sees of a card that is put down, used and taken away.
 */
#include "world.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "cardlink/apdu.h"
#include "cardlink/card/control.h"

static world w;
static char folder[] = "/tmp/cardlink-reader-XXXXXX";
static char place[64];

static int setup(void **state)
{
    (void)state;
    world_make(&w, false);
    if (!mkdtemp(folder))
        return -1;
    snprintf(place, sizeof place, "%s/r", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_free(&w);
    return rmdir(folder);
}

/* Lets the reader do what there is to do. */
static void turn(cb_vcard_reader *reader)
{
    for (int i = 0; i < 5; i++) {
        struct pollfd at[2];
        cb_vcard_reader_wait(reader, at);
        if (poll(at, 2, 10) > 0)
            cb_vcard_reader_serve(reader, at);
    }
}

static int reach(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, place, strlen(place) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static void say(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static size_t hear(int fd, uint8_t *out, size_t size)
{
    ssize_t got = recv(fd, out, size, MSG_DONTWAIT);
    return got < 0 ? SIZE_MAX : (size_t)got;
}

static void a_card_is_there_while_its_socket_is(void **state)
{
    cb_vcard_reader reader;
    uint8_t answer[300];
    (void)state;
    cb_vcard_reader_init(&reader, place, false);
    assert_int_equal(reach(), -1);
    assert_int_equal(cb_vcard_reader_insert(&reader, w.card), CB_OK);
    assert_int_equal(cb_vcard_reader_insert(&reader, w.card), CB_E_STATE);
    int fd = reach();
    assert_true(fd >= 0);
    say(fd, "\0\1\1\0\1\4", 6); /* on; the ATR; in one piece */
    turn(&reader);
    assert_int_equal(hear(fd, answer, sizeof answer), 2 + sizeof cb_vcard_atr);
    assert_memory_equal(&answer[2], cb_vcard_atr, sizeof cb_vcard_atr);

    int second = reach(); /* one at a time */
    turn(&reader);
    assert_int_equal(hear(second, answer, sizeof answer), 0);
    close(second);

    cb_vcard_reader_remove(&reader);
    assert_int_equal(hear(fd, answer, sizeof answer), 0);
    assert_int_equal(reach(), -1);
    close(fd);
}

static void who_comes_after_one_that_has_gone_is_not_sent_away(void **state)
{
    cb_vcard_reader reader;
    uint8_t answer[300];
    (void)state;
    cb_vcard_reader_init(&reader, place, false);
    assert_int_equal(cb_vcard_reader_insert(&reader, w.card), CB_OK);
    int fd = reach();
    say(fd, "\0\1\1", 3);
    turn(&reader);
    say(fd, "\0\1\0", 3); /* the last word, which the card has not heard when the next one comes */
    close(fd);
    int second = reach();
    say(second, "\0\1\1\0\1\4", 6);
    turn(&reader);
    assert_int_equal(hear(second, answer, sizeof answer), 2 + sizeof cb_vcard_atr);
    close(second);
    cb_vcard_reader_remove(&reader);
}

static void a_command_may_come_in_pieces(void **state)
{
    cb_vcard_reader reader;
    cb_buf message = CB_BUF(64);
    uint8_t answer[300];
    (void)state;
    cb_vcard_reader_init(&reader, place, false);
    assert_int_equal(cb_vcard_reader_insert(&reader, w.card), CB_OK);
    int fd = reach();
    cb_buf_put_u16(&message, 5 + sizeof cb_native_aid);
    cb_buf_put(&message, cb_bytes_make("\x00\xA4\x04\x0C\x0C", 5));
    cb_buf_put(&message, CB_BYTES_OF(cb_native_aid));
    for (size_t i = 0; i < message.len; i++) {
        assert_int_equal(hear(fd, answer, sizeof answer), SIZE_MAX);
        say(fd, &message.data[i], 1);
        turn(&reader);
    }
    assert_int_equal(hear(fd, answer, sizeof answer), 4);
    assert_memory_equal(answer, "\0\2\x90\0", 4);
    say(fd, "\0\0", 2); /* an empty message is none: the card hangs up, and can be reached again */
    turn(&reader);
    assert_int_equal(hear(fd, answer, sizeof answer), 0);
    close(fd);
    fd = reach();
    assert_true(fd >= 0);
    close(fd);
    cb_vcard_reader_remove(&reader);
    cb_buf_free(&message);
}

static void power_ends_the_session(void **state)
{
    static const uint8_t get_data[] = {0,    13,   0x00, 0xCA, 0xBF, 0x21, 6, 0xA6,
                                       0x04, 0x83, 0x02, 0x11, 0x01, 0x00, 0, 0};
    cb_vcard_reader reader;
    cb_buf select = CB_BUF(64);
    uint8_t answer[300];
    (void)state;
    cb_vcard_reader_init(&reader, place, false);
    assert_int_equal(cb_vcard_reader_insert(&reader, w.card), CB_OK);
    cb_buf_put(&select, cb_bytes_make("\0\x11\x00\xA4\x04\x0C\x0C", 7));
    cb_buf_put(&select, CB_BYTES_OF(cb_native_aid));
    for (uint8_t power = 0; power <= 2; power++) {
        int fd = reach();
        say(fd, select.data, select.len);
        turn(&reader);
        hear(fd, answer, sizeof answer);
        uint8_t reset[] = {0, 1, power};
        say(fd, reset, sizeof reset);
        uint8_t command[14];
        memcpy(command, get_data, sizeof command);
        command[1] = 12;
        say(fd, command, 14);
        turn(&reader);
        assert_int_equal(hear(fd, answer, sizeof answer), 4);
        assert_memory_equal(&answer[2], "\x69\x85", 2);
        close(fd);
        turn(&reader);
    }
    cb_vcard_reader_remove(&reader);
    cb_buf_free(&select);
}

static void a_card_finds_the_drivers_port(void **state)
{
    cb_vcard_reader reader;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char port[32];
    uint8_t answer[300];
    (void)state;
    int driver = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(driver, (struct sockaddr *)&address, sizeof address), 0);
    getsockname(driver, (struct sockaddr *)&address, &len);
    snprintf(port, sizeof port, "127.0.0.1:%u", ntohs(address.sin_port));
    cb_vcard_reader_init(&reader, port, true);
    assert_int_equal(cb_vcard_reader_insert(&reader, w.card), CB_OK); /* nobody listens yet */
    assert_int_equal(reader.fd, -1);
    assert_int_equal(listen(driver, 1), 0);
    for (int i = 0; i < 100 && reader.fd < 0; i++)
        turn(&reader);
    int fd = accept(driver, NULL, NULL);
    say(fd, "\0\1\4", 3);
    turn(&reader);
    assert_int_equal(hear(fd, answer, sizeof answer), 2 + sizeof cb_vcard_atr);
    cb_vcard_reader_remove(&reader);
    assert_int_equal(hear(fd, answer, sizeof answer), 0);
    close(fd);
    close(driver);
}

static void a_card_lies_in_one_place(void **state)
{
    static cb_vcards all;
    char other[72];
    (void)state;
    snprintf(other, sizeof other, "%s2", place);
    all.card[0] = w.card;
    all.card_count = 1;
    cb_vcard_reader_init(&all.reader[0], place, false);
    cb_vcard_reader_init(&all.reader[1], other, false);
    all.reader_count = 2;
    assert_int_equal(cb_vcards_insert(&all, 1, 0), CB_OK);
    assert_int_equal(cb_vcards_insert(&all, 0, 0), CB_E_STATE);
    assert_int_equal(cb_vcards_insert(&all, 2, 0), CB_E_ARGUMENT);
    assert_int_equal(cb_vcards_insert(&all, 0, 1), CB_E_ARGUMENT);
    cb_vcards_remove_all(&all);
    cb_vcards_insert_all(&all);
    assert_ptr_equal(all.reader[0].card, w.card);
    assert_null(all.reader[1].card);
    cb_vcards_remove_all(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_card_is_there_while_its_socket_is),
        cmocka_unit_test(who_comes_after_one_that_has_gone_is_not_sent_away),
        cmocka_unit_test(a_command_may_come_in_pieces),
        cmocka_unit_test(power_ends_the_session),
        cmocka_unit_test(a_card_finds_the_drivers_port),
        cmocka_unit_test(a_card_lies_in_one_place),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

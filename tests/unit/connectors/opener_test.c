/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/msg.h"
#include "connectors/host/known.h"
#include "connectors/host/opener.h"

static int registrations[2];
static pid_t opener;
static int listener;
static uint16_t port;
/* Where localhost is said to have been a moment ago: nobody listens there; somebody silent does. */
static int moved_listener, silent_listener, silent, waiting[2];
static uint16_t moved_port, silent_port;

static int listen_at(uint32_t at, uint16_t *number, int backlog)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = {htonl(at)}, .sin_port = htons(*number)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *number = ntohs(address.sin_port);
    return fd;
}

static void say_known(uint32_t at, uint16_t number)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = {htonl(at)}, .sin_port = htons(number)};
    cb_origin origin = {.host = "localhost", .port = number};
    cb_known_keep(&origin, (const struct sockaddr *)&address, sizeof address);
}

/* Its queue is full, so that whoever else comes waits. */
static void fall_silent(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {htonl(INADDR_LOOPBACK + 8)},
                                  .sin_port = htons(silent_port)};
    silent = listen_at(INADDR_LOOPBACK + 8, &silent_port, 0);
    for (int i = 0; i < 2; i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(waiting[i], (struct sockaddr *)&address, sizeof address);
    }
}

static int start(void **state)
{
    (void)state;
    listener = listen_at(INADDR_LOOPBACK, &port, 16);
    moved_listener = listen_at(INADDR_LOOPBACK, &moved_port, 16);
    silent_listener = listen_at(INADDR_LOOPBACK, &silent_port, 16);
    fall_silent();
    say_known(INADDR_LOOPBACK + 8, moved_port);
    say_known(INADDR_LOOPBACK + 8, silent_port);
    assert_int_equal(cb_msg_pair(registrations), CB_OK);
    opener = fork();
    if (opener == 0) {
        close(registrations[0]);
        _exit(cb_opener_main(registrations[1]));
    }
    close(registrations[1]);
    return 0;
}

static int stop(void **state)
{
    int status;
    (void)state;
    close(registrations[0]);
    assert_int_equal(waitpid(opener, &status, 0), opener);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(listener);
    close(moved_listener);
    close(silent_listener);
    close(silent);
    close(waiting[0]);
    close(waiting[1]);
    return 0;
}

static int new_channel(const char *host, uint16_t to)
{
    int channel = -1;
    cb_origin origin = {.port = to};
    memcpy(origin.host, host, strlen(host));
    assert_int_equal(cb_opener_register(registrations[0], &origin, 1, &channel), CB_OK);
    return channel;
}

static void a_registered_origin_is_connected(void **state)
{
    int channel = new_channel("localhost", port), fd = -1;
    char got[3] = "";
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cb_opener_connect(channel, 0, cb_deadline_in(2 * CB_SECOND), &fd), CB_OK);
        int other = accept(listener, NULL, NULL);
        assert_int_equal(write(fd, "hi", 2), 2);
        assert_int_equal(read(other, got, 2), 2);
        assert_string_equal(got, "hi");
        close(other);
        close(fd);
    }
    close(channel);
}

static void any_other_number_is_refused_and_the_channel_closed(void **state)
{
    int channel = new_channel("localhost", port), fd = -1;
    (void)state;
    assert_int_equal(cb_opener_connect(channel, 1, cb_deadline_in(CB_SECOND), &fd),
                     CB_E_CONNECTOR_DOWN);
    assert_int_equal(cb_opener_connect(channel, 0, cb_deadline_in(CB_SECOND), &fd),
                     CB_E_CONNECTOR_DOWN);
    close(channel);
}

static void who_is_not_there_is_down(void **state)
{
    int channel = new_channel("localhost", 1), fd = -1;
    (void)state;
    assert_int_equal(cb_opener_connect(channel, 0, cb_deadline_in(CB_SECOND), &fd),
                     CB_E_SERVICE_DOWN);
    close(channel);
    channel = new_channel("no-such-host.invalid", 443);
    cb_error error = cb_opener_connect(channel, 0, cb_deadline_in(3 * CB_SECOND), &fd);
    assert_true(error == CB_E_SERVICE_DOWN || error == CB_E_SERVICE_SLOW);
    close(channel);
}

static void who_is_no_longer_where_he_was_is_found(void **state)
{
    const int listeners[] = {moved_listener, silent_listener};
    const uint16_t ports[] = {moved_port, silent_port};
    (void)state;
    for (int i = 0; i < 2; i++) {
        int channel = new_channel("localhost", ports[i]), fd = -1;
        /* The second time where the first had led to. */
        for (int time = 0; time < 2; time++) {
            assert_int_equal(cb_opener_connect(channel, 0, cb_deadline_in(4 * CB_SECOND), &fd),
                             CB_OK);
            close(accept(listeners[i], NULL, NULL));
            close(fd);
        }
        close(channel);
    }
}

static void an_address_is_known_for_a_while(void **state)
{
    cb_origin origin = {.host = "service.example", .port = 443}, other = origin;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(443)};
    cb_address found;
    (void)state;
    other.port = 444;
    assert_false(cb_known_find(&origin, &found));
    cb_known_keep(&origin, (const struct sockaddr *)&address, sizeof address);
    assert_true(cb_known_find(&origin, &found));
    assert_int_equal(found.size, sizeof address);
    assert_memory_equal(&found.at, &address, sizeof address);
    assert_false(cb_known_find(&other, &found));
    cb_known_forget(&origin);
    assert_false(cb_known_find(&origin, &found));
    /* More than there are places: the last stay. */
    for (uint16_t i = 1; i <= 200; i++) {
        origin.port = i;
        cb_known_keep(&origin, (const struct sockaddr *)&address, sizeof address);
    }
    assert_true(cb_known_find(&origin, &found));
    origin.port = 1;
    assert_false(cb_known_find(&origin, &found));
}

static void nonsense_harms_nobody(void **state)
{
    cb_msg msg;
    int fd = -1;
    (void)state;
    for (unsigned type = 1; type < 5; type++) {
        cb_msg_init(&msg, (uint16_t)type);
        cb_buf_put_str(&msg.body, "\xFFnonsense");
        assert_int_equal(cb_msg_send(registrations[0], &msg, cb_deadline_in(CB_SECOND)), CB_OK);
        cb_msg_free(&msg);
    }
    int channel = new_channel("127.0.0.1", port);
    assert_int_equal(cb_opener_connect(channel, 0, cb_deadline_in(CB_SECOND), &fd), CB_OK);
    close(accept(listener, NULL, NULL));
    close(fd);
    close(channel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_registered_origin_is_connected),
        cmocka_unit_test(any_other_number_is_refused_and_the_channel_closed),
        cmocka_unit_test(who_is_not_there_is_down),
        cmocka_unit_test(who_is_no_longer_where_he_was_is_found),
        cmocka_unit_test(an_address_is_known_for_a_while),
        cmocka_unit_test(nonsense_harms_nobody)};
    return cmocka_run_group_tests(tests, start, stop);
}

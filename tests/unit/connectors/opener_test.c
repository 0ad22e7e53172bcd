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
#include "connectors/host/opener.h"

static int registrations[2];
static pid_t opener;
static int listener;
static uint16_t port;

static int start(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    (void)state;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    port = ntohs(address.sin_port);
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
        cmocka_unit_test(who_is_not_there_is_down), cmocka_unit_test(nonsense_harms_nobody)};
    return cmocka_run_group_tests(tests, start, stop);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/msg.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/unit/base/test.h"

static int pair[2];

static int open_pair(void **state)
{
    (void)state;
    return cb_msg_pair(pair) == CB_OK ? 0 : -1;
}

static int close_pair(void **state)
{
    (void)state;
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static int64_t soon(void)
{
    return cb_deadline_in(CB_SECOND);
}

static void a_message_arrives_as_it_was_sent(void **state)
{
    (void)state;
    cb_id request = cb_id_new();
    cb_msg sent, got;
    cb_msg_init(&sent, 7);
    cb_msg_init(&got, 0);
    sent.id = 99;
    sent.error = CB_E_CARD_REVOKED;
    cb_buf_put_str(&sent.body, "body");
    cb_log_set_request(&request);
    assert_int_equal(cb_msg_send(pair[0], &sent, soon()), CB_OK);
    cb_log_set_request(NULL);
    assert_int_equal(cb_msg_receive(pair[1], &got, soon()), CB_OK);
    assert_int_equal(got.type, 7);
    assert_int_equal(got.id, 99);
    assert_int_equal(got.error, CB_E_CARD_REVOKED);
    assert_true(cb_id_same(&got.request, &request));
    assert_string_equal(cb_buf_cstr(&got.body), "body");
    assert_int_equal(got.fd, -1);
    cb_msg_free(&sent);
    cb_msg_free(&got);
}

static void the_largest_body_fits_and_one_byte_more_does_not(void **state)
{
    (void)state;
    cb_msg sent, got;
    cb_msg_init(&sent, 1);
    cb_msg_init(&got, 0);
    assert_non_null(cb_buf_extend(&sent.body, CB_MSG_BODY_MAX));
    memset(sent.body.data, 0x5A, CB_MSG_BODY_MAX);
    assert_int_equal(cb_msg_send(pair[0], &sent, soon()), CB_OK);
    assert_int_equal(cb_msg_receive(pair[1], &got, soon()), CB_OK);
    assert_int_equal(got.body.len, CB_MSG_BODY_MAX);
    cb_buf_put_u8(&sent.body, 0);
    assert_int_equal(cb_msg_send(pair[0], &sent, soon()), CB_E_TOO_LARGE);
    cb_msg_free(&sent);
    cb_msg_free(&got);
}

static void a_descriptor_travels_and_is_closed_if_not_taken(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    cb_msg sent, got;
    cb_msg_init(&sent, 1);
    cb_msg_init(&got, 0);
    sent.fd = dup(pipes[1]);
    assert_int_equal(cb_msg_send(pair[0], &sent, soon()), CB_OK);
    assert_int_equal(cb_msg_receive(pair[1], &got, soon()), CB_OK);
    assert_true(got.fd >= 0);
    assert_true(fcntl(got.fd, F_GETFD) & FD_CLOEXEC);
    int received = got.fd;
    cb_msg_free(&got);
    assert_int_equal(fcntl(received, F_GETFD), -1);
    cb_msg_free(&sent);
    close(pipes[0]);
    close(pipes[1]);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* A whole header, and some descriptors beside it: as many as a receiver has room for, and more. */
static void send_descriptors(unsigned count)
{
    uint8_t header[CB_MSG_HEADER] = {0, 1, [8] = CB_MSG_VERSION};
    struct iovec part = {header, sizeof header};
    char control[CMSG_SPACE(8 * sizeof(int))] = {0};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&packet);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memset(CMSG_DATA(c), 0, count * sizeof(int)); /* standard input, again and again */
    assert_int_equal(sendmsg(pair[0], &packet, 0), sizeof header);
}

static void no_descriptor_is_left_behind_however_many_come(void **state)
{
    (void)state;
    cb_msg got;
    cb_msg_init(&got, 0);
    unsigned before = open_descriptors();
    for (unsigned count = 1; count <= 8; count++) {
        send_descriptors(count);
        assert_int_equal(cb_msg_receive(pair[1], &got, soon()), count == 1 ? CB_OK : CB_E_PROTOCOL);
        cb_msg_free(&got);
        assert_int_equal(open_descriptors(), before);
    }
}

static void bad_packets_are_refused(void **state)
{
    (void)state;
    static uint8_t packet[CB_MSG_HEADER + CB_MSG_BODY_MAX + 1];
    cb_msg got;
    cb_msg_init(&got, 0);
    /* too short; another version; type 0; too long */
    assert_int_equal(send(pair[0], packet, 5, 0), 5);
    assert_int_equal(cb_msg_receive(pair[1], &got, soon()), CB_E_PROTOCOL);
    packet[1] = 1;
    packet[8] = 2;
    assert_true(send(pair[0], packet, CB_MSG_HEADER, 0) > 0);
    assert_int_equal(cb_msg_receive(pair[1], &got, soon()), CB_E_PROTOCOL);
    packet[1] = 0;
    packet[8] = CB_MSG_VERSION;
    assert_true(send(pair[0], packet, CB_MSG_HEADER, 0) > 0);
    assert_int_equal(cb_msg_receive(pair[1], &got, soon()), CB_E_PROTOCOL);
    packet[1] = 1;
    assert_true(send(pair[0], packet, sizeof packet, 0) > 0);
    assert_int_equal(cb_msg_receive(pair[1], &got, soon()), CB_E_PROTOCOL);
    cb_msg_free(&got);
}

static void silence_is_a_timeout_and_an_end_is_closed(void **state)
{
    (void)state;
    cb_msg got;
    cb_msg_init(&got, 0);
    assert_int_equal(cb_msg_receive(pair[1], &got, cb_deadline_in(1000)), CB_E_TIMEOUT);
    shutdown(pair[0], SHUT_RDWR);
    assert_int_equal(cb_msg_receive(pair[1], &got, soon()), CB_E_CLOSED);
    cb_msg sent;
    cb_msg_init(&sent, 1);
    assert_int_equal(cb_msg_send(pair[1], &sent, soon()), CB_E_CLOSED);
    cb_msg_free(&got);
}

/* Answers three questions: rightly, with an error, with another's id. */
static void *answerer(void *unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++) {
        cb_msg m;
        cb_msg_init(&m, 0);
        if (cb_msg_receive(pair[1], &m, soon()))
            return NULL;
        m.error = i == 1 ? CB_E_CARD_UNKNOWN : CB_OK;
        m.id += i == 2;
        cb_msg_send(pair[1], &m, soon());
        cb_msg_free(&m);
    }
    return NULL;
}

static void a_call_takes_only_its_own_answer(void **state)
{
    (void)state;
    pthread_t thread;
    cb_msg question, answer;
    assert_int_equal(pthread_create(&thread, NULL, answerer, NULL), 0);
    cb_msg_init(&question, 3);
    cb_msg_init(&answer, 0);
    cb_buf_put_u8(&question.body, 1);
    assert_int_equal(cb_msg_call(pair[0], &question, &answer, soon()), CB_OK);
    assert_int_equal(answer.body.len, 1);
    assert_int_equal(cb_msg_call(pair[0], &question, &answer, soon()), CB_E_CARD_UNKNOWN);
    assert_int_equal(cb_msg_call(pair[0], &question, &answer, soon()), CB_E_PROTOCOL);
    pthread_join(thread, NULL);
    cb_msg_free(&question);
    cb_msg_free(&answer);
}

static void a_socket_is_private_and_taken_once(void **state)
{
    (void)state;
    char folder[] = "/tmp/cb-msg-XXXXXX";
    char path[64];
    struct stat about;
    int listening, second, client, pid;
    unsigned uid, gid;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    assert_int_equal(cb_msg_connect(path, &client), CB_E_CLOSED);
    assert_int_equal(cb_msg_listen(path, 0600, &listening), CB_OK);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(cb_msg_listen(path, 0600, &second), CB_E_RUNNING);
    assert_int_equal(cb_msg_connect(path, &client), CB_OK);
    assert_int_equal(cb_msg_peer(client, &pid, &uid, &gid), CB_OK);
    assert_int_equal(uid, getuid());
    close(client);
    close(listening);
    assert_int_equal(cb_msg_listen(path, 0600, &listening), CB_OK);
    close(listening);
    unlink(path);
    rmdir(folder);
    char far_too_long[200];
    memset(far_too_long, 'x', sizeof far_too_long - 1);
    far_too_long[sizeof far_too_long - 1] = 0;
    assert_int_equal(cb_msg_listen(far_too_long, 0600, &listening), CB_E_CONFIG);
}

static void *ends_when_somebody_looked(void *context)
{
    int listening = *(int *)context, looked = accept(listening, NULL, NULL);
    close(looked);
    close(listening);
    return NULL;
}

static void who_is_at_his_end_is_waited_for(void **state)
{
    char folder[] = "/tmp/cb-msg-XXXXXX";
    char path[64];
    int before, listening, none;
    pthread_t thread;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    assert_int_equal(cb_msg_listen(path, 0600, &before), CB_OK);
    assert_int_equal(pthread_create(&thread, NULL, ends_when_somebody_looked, &before), 0);
    assert_int_equal(
        cb_msg_listen_when_free(path, 0600, cb_deadline_in(60 * CB_SECOND), &listening), CB_OK);
    pthread_join(thread, NULL);
    assert_int_equal(cb_msg_listen_when_free(path, 0600, cb_deadline_in(0), &none), CB_E_RUNNING);
    assert_int_equal(cb_msg_listen_when_free(path, 0600, cb_deadline_in(CB_MILLISECOND), &none),
                     CB_E_RUNNING);
    close(listening);
    unlink(path);
    rmdir(folder);
}

/* Whether somebody listens is not known then. */
static void who_has_no_descriptor_left_puts_out_nobody(void **state)
{
    char folder[] = "/tmp/cb-msg-XXXXXX";
    char path[64];
    int listening, second, client;
    struct rlimit before, none = {0};
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    assert_int_equal(cb_msg_listen(path, 0600, &listening), CB_OK);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    cb_error error = cb_msg_listen(path, 0600, &second);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(error, CB_E_IO);
    assert_int_equal(cb_msg_connect(path, &client), CB_OK);
    close(client);
    close(listening);
    unlink(path);
    rmdir(folder);
}

static void who_listens_and_accepts_nobody_is_not_put_out(void **state)
{
    enum { MANY = 200 };
    char folder[] = "/tmp/cb-msg-XXXXXX";
    char path[64];
    int listening, second, client[MANY], count = 0;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    assert_int_equal(cb_msg_listen(path, 0600, &listening), CB_OK);
    while (count < MANY && cb_msg_connect(path, &client[count]) == CB_OK)
        count++;
    assert_in_range(count, 1, MANY - 1); /* the next found no place */
    assert_int_equal(cb_msg_listen(path, 0600, &second), CB_E_RUNNING);
    while (count > 0)
        close(client[--count]);
    assert_int_equal(cb_msg_listen(path, 0600, &second), CB_E_RUNNING);
    close(listening);
    unlink(path);
    rmdir(folder);
}

enum { LONGEST = 60 }; /* seconds */

/* Holds the place and says so, with a child of its own that has whatever a child inherits. */
static pid_t hold_elsewhere(const char *path, pid_t *child)
{
    int said[2], fd;
    assert_int_equal(pipe(said), 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(LONGEST); /* whatever fails, nothing is left */
        bool held = cb_msg_hold(path, 0, &fd) == CB_OK;
        pid_t below = fork();
        if (below > 0)
            _exit(held && write(said[1], &below, sizeof below) == sizeof below ? pause() : 1);
        alarm(LONGEST);
        pause();
        _exit(0);
    }
    close(said[1]);
    assert_int_equal(read(said[0], child, sizeof *child), sizeof *child);
    close(said[0]);
    return pid;
}

static void a_place_is_held_by_one_process_and_by_nobody_when_that_was_killed(void **state)
{
    char folder[] = "/tmp/cb-msg-XXXXXX";
    char path[64], name[64];
    struct stat about;
    int fd = -1;
    pid_t child;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    snprintf(name, sizeof name, "%s/s-lock", folder);
    pid_t pid = hold_elsewhere(path, &child);
    assert_int_equal(cb_msg_hold(path, 0, &fd), CB_E_RUNNING);
    assert_int_equal(cb_msg_hold(path, cb_deadline_in(CB_MILLISECOND), &fd), CB_E_RUNNING);
    assert_int_equal(fd, -1);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(kill(child, 0), 0); /* and has the descriptor */
    assert_int_equal(cb_msg_hold(path, 0, &fd), CB_OK);
    kill(child, SIGKILL);
    assert_int_equal(stat(name, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    close(fd);
    unlink(name);
    assert_int_equal(symlink("elsewhere", name), 0);
    assert_int_equal(cb_msg_hold(path, 0, &fd), CB_E_IO); /* nobody leads it to another file */
    unlink(name);
    rmdir(folder);
    char too_long[109] = {0};
    memset(too_long, 'x', sizeof too_long - 1);
    assert_int_equal(cb_msg_hold(too_long, 0, &fd), CB_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_arrives_as_it_was_sent, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(the_largest_body_fits_and_one_byte_more_does_not, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(a_descriptor_travels_and_is_closed_if_not_taken, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(no_descriptor_is_left_behind_however_many_come, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(bad_packets_are_refused, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(silence_is_a_timeout_and_an_end_is_closed, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(a_call_takes_only_its_own_answer, open_pair, close_pair),
        cmocka_unit_test(a_socket_is_private_and_taken_once),
        cmocka_unit_test(a_place_is_held_by_one_process_and_by_nobody_when_that_was_killed),
        cmocka_unit_test(who_is_at_his_end_is_waited_for),
        cmocka_unit_test(who_has_no_descriptor_left_puts_out_nobody),
        cmocka_unit_test(who_listens_and_accepts_nobody_is_not_put_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

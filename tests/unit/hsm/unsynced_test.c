/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A disk on which a sync fails, and the power goes afterwards. What was written before such a sync
 * is still read, and no later sync writes it (Linux reports the error once, and takes the pages for
 * written); so whatever hsmd says it remembers has to be written anew.
 *
 * The files are watched one at a time: what is synced of the one that is watched is noted, and put
 * into its place when the power goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hsm/bound.h"
#include "hsm/durable.h"
#include "hsm/loghead.h"
#include "cardlink/password/password.h"
#include "test.h"
#include "walk.h"

int __real_fdatasync(int fd);
ssize_t __real_pwrite64(int fd, const void *data, size_t size, off_t at);
int __wrap_fdatasync(int fd);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t at);

enum { DISK = 1 << 18, PIECE = 256, PIECES = 64 };

static struct {
    const char *path;
    ino_t file;
    uint8_t disk[DISK]; /* what is on it */
    size_t size;
    struct {
        uint8_t data[PIECE];
        size_t size;
        off_t at;
    } piece[PIECES]; /* written, and not synced */
    size_t pieces;
    unsigned fails; /* the sync of that number, from 1; 0: none */
} watched;

static bool is_watched(int fd)
{
    struct stat about;
    return watched.path && fstat(fd, &about) == 0 && about.st_ino == watched.file;
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t at)
{
    ssize_t done = __real_pwrite64(fd, data, size, at);
    if (done > 0 && is_watched(fd)) {
        assert_true(watched.pieces < PIECES && done <= PIECE && at + done <= DISK);
        memcpy(watched.piece[watched.pieces].data, data, (size_t)done);
        watched.piece[watched.pieces].size = (size_t)done;
        watched.piece[watched.pieces++].at = at;
    }
    return done;
}

int __wrap_fdatasync(int fd)
{
    if (!is_watched(fd))
        return __real_fdatasync(fd);
    bool failed = watched.fails == 1;
    for (size_t i = 0; !failed && i < watched.pieces; i++) {
        size_t end = (size_t)watched.piece[i].at + watched.piece[i].size;
        memcpy(watched.disk + watched.piece[i].at, watched.piece[i].data, watched.piece[i].size);
        watched.size = end > watched.size ? end : watched.size;
    }
    watched.pieces = 0;
    errno = EIO;
    watched.fails -= watched.fails > 0;
    return failed ? -1 : 0;
}

static void watch(const char *path)
{
    struct stat about;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &about) == 0 && about.st_size <= DISK);
    watched.path = path;
    watched.file = about.st_ino;
    watched.size = (size_t)about.st_size;
    watched.pieces = 0;
    assert_true(read(fd, watched.disk, DISK) == about.st_size);
    close(fd);
}

static void power_goes(void)
{
    int fd = open(watched.path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_true(write(fd, watched.disk, watched.size) == (ssize_t)watched.size);
    close(fd);
    watched.path = NULL;
}

static const cb_id hana = {{7}}, taro = {{8}};

static cb_binding_info info_of(const cb_id *card, const cb_id *holder)
{
    return (cb_binding_info){.card = *card,
                             .holder = *holder,
                             .profile = CB_PROFILE_PIV,
                             .level = CB_LEVEL_PIN,
                             .sequence = 1};
}

static void a_card_is_bound_on_the_disk_before_it_is_said_so(void **state)
{
    cb_memo *memo;
    cb_id card = cb_id_new();
    cb_binding_info hanas = info_of(&card, &hana), taros = info_of(&card, &taro);
    (void)state;
    good(cb_memo_open(f.config.bound_path, &memo));
    watch(f.config.bound_path);
    watched.fails = 1;
    expect(CB_E_IO, cb_bound_take(memo, &hanas));
    good(cb_bound_take(memo, &hanas));
    power_goes();
    cb_memo_close(&memo);
    good(cb_memo_open(f.config.bound_path, &memo));
    good(cb_bound_free(memo, &hanas));
    expect(CB_E_CARD_BOUND, cb_bound_free(memo, &taros));
    cb_memo_close(&memo);
}

static cb_error bind_name(const cb_id *name, const uint8_t point[CB_P256_POINT],
                          const cb_id *holder)
{
    cb_buf body = CB_BUF(4096);
    cb_put_id(&body, name);
    cb_buf_put(&body, cb_bytes_make(point, CB_P256_POINT));
    cb_put_id(&body, holder);
    cb_buf_put_u64(&body, 1);
    cb_buf_put_u64(&body, 0);
    cb_buf_put_var(&body, (cb_bytes){0});
    cb_error error = walk_ask(&manage, CB_HSM_BIND_PASSWORD, &body, NULL);
    cb_buf_free(&body);
    return error;
}

static void a_name_too(void **state)
{
    cb_id name = cb_password_id("unsynced");
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    (void)state;
    good(cb_p256_generate(scalar, point));
    watch(f.config.bound_path);
    watched.fails = 1;
    expect(CB_E_IO, bind_name(&name, point, &hana));
    good(bind_name(&name, point, &hana));
    power_goes();
    expect(CB_E_CARD_BOUND, bind_name(&name, point, &taro));
    good(bind_name(&name, point, &hana));
}

static cb_feed_entry revocation(const cb_feed *feed)
{
    return (cb_feed_entry){cb_feed_now(feed).number + 1, CB_FEED_CARD_REVOKED, cb_id_new(), 1};
}

static void is_revoked(const cb_id *card)
{
    cb_feed *feed;
    power_goes();
    good(cb_feed_open(f.config.feed_path, &feed));
    expect(CB_E_CARD_REVOKED, cb_feed_card(feed, card));
    cb_feed_close(&feed);
}

/* Of the entries, and of the head. */
static void a_revocation_is_on_the_disk_before_it_is_said_so(void **state)
{
    (void)state;
    for (unsigned which = 1; which <= 2; which++) {
        cb_feed *feed;
        good(cb_feed_open(f.config.feed_path, &feed));
        cb_feed_entry entry = revocation(feed);
        watch(f.config.feed_path);
        watched.fails = which;
        expect(CB_E_IO, cb_feed_extend(feed, &entry, 1));
        good(cb_feed_extend(feed, &entry, 1));
        is_revoked(&entry.subject);
        cb_feed_close(&feed);
    }
}

/* The first one's failed, and the second has only read it. */
static void a_revocation_that_another_worker_wrote_too(void **state)
{
    cb_feed *writer, *reader;
    cb_durable head;
    int fd;
    (void)state;
    good(cb_feed_open(f.config.feed_path, &writer));
    cb_feed_entry entry = revocation(writer);
    good(cb_feed_extend(writer, &entry, 1));
    entry = revocation(writer);
    good(cb_feed_open(f.config.feed_path, &reader));
    good(cb_durable_open(f.config.feed_path, &fd));
    watch(f.config.feed_path);
    good(cb_feed_extend(writer, &entry, 1));
    /* As if the sync of its head had failed, or it had ended before. */
    good(cb_durable_read(fd, &head));
    memset(watched.disk + (size_t)(head.sequence % 2) * CB_DURABLE_PAGE, 0, CB_DURABLE_PAGE);
    good(cb_feed_refresh(reader));
    expect(CB_E_CARD_REVOKED, cb_feed_card(reader, &entry.subject));
    is_revoked(&entry.subject);
    close(fd);
    cb_feed_close(&writer);
    cb_feed_close(&reader);
}

static void a_head_is_on_the_disk_before_it_is_signed_again(void **state)
{
    cb_loghead *loghead;
    cb_merkle_frontier tree = {0};
    cb_merkle_proof extends;
    cb_digest leaf = {{1}};
    (void)state;
    cb_merkle_consistency(&tree, &leaf, 1, &extends);
    cb_merkle_append(&tree, &leaf);
    cb_tree_head head = {tree.size, cb_merkle_root(&tree)};
    watch(f.config.log_path);
    cb_loghead_close(&log_lane.loghead); /* one has it */
    good(cb_loghead_open(f.config.log_path, &loghead));
    watched.fails = 1;
    expect(CB_E_IO, cb_loghead_extend(loghead, &head, &extends));
    cb_loghead_close(&loghead);
    good(cb_loghead_open(f.config.log_path, &loghead)); /* begun anew */
    assert_int_equal(cb_loghead_now(loghead).size, 1);
    cb_loghead_close(&loghead);
    power_goes();
    good(cb_loghead_open(f.config.log_path, &loghead));
    assert_int_equal(cb_loghead_now(loghead).size, 1);
    cb_loghead_close(&loghead);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_card_is_bound_on_the_disk_before_it_is_said_so),
        cmocka_unit_test(a_name_too),
        cmocka_unit_test(a_revocation_is_on_the_disk_before_it_is_said_so),
        cmocka_unit_test(a_revocation_that_another_worker_wrote_too),
        cmocka_unit_test(a_head_is_on_the_disk_before_it_is_signed_again),
    };
    return cmocka_run_group_tests(tests, walk_setup, walk_teardown);
}

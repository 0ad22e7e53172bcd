/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether a tap costs more when there are more sealed keys: T1 and T2 of holders drawn at random
 * from 10^3, 10^4 ... MOST sealed keys, ten to a holder and to a card, with a signer in software.
 * Twice for each number: with the file as it is found after a restart of the broker, part of it in
 * the page cache or none, and once more after all of it was read through; so that what is computed
 * and what is waited for can be told apart. Prints JSON.
 *
 *   scale_bench [FOLDER [MOST [TAPS]]]      (default: the present folder, 100000, 2000)
 *
 * 10^7 take some 20 GB of that folder's file system and a quarter of an hour.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/log.h"
#include "tests/bench/store_place.h"

enum { SERVICES = 10, FILLERS = 128, START_SECONDS = 3600 };

static const char *const services[SERVICES] = {"tax",   "health", "pension", "school", "library",
                                               "roads", "water",  "police",  "court",  "museum"};

typedef struct citizen {
    cb_id holder, card;
} citizen;

typedef struct place {
    cb_store *store;
    cb_store_options options;
    cb_id terminal;
    citizen *citizens;
    size_t count; /* that there are */
    size_t taken; /* that a filler has begun with */
    size_t until;
    int file; /* the store's: kept open, for closing it would undo SQLite's locks on it */
} place;

/* ---- Filling: many at a time, so that they share transactions ---- */

static void *fill(void *context)
{
    place *p = context;
    for (;;) {
        size_t i = __atomic_fetch_add(&p->taken, 1, __ATOMIC_RELAXED);
        if (i >= p->until)
            return NULL;
        add_citizen(p->store, &p->citizens[i].holder, &p->citizens[i].card);
        for (unsigned s = 0; s < SERVICES; s++)
            add_key(p->store, &p->citizens[i].holder, services[s]);
    }
}

static void grow(place *p, size_t citizens)
{
    pthread_t threads[FILLERS];
    p->taken = p->count;
    p->until = citizens;
    for (unsigned i = 0; i < FILLERS; i++)
        need(pthread_create(&threads[i], NULL, fill, p) == 0 ? CB_OK : CB_E_MEMORY, "thread");
    for (unsigned i = 0; i < FILLERS; i++)
        pthread_join(threads[i], NULL);
    p->count = citizens;
}

/* ---- Measuring ---- */

static size_t below(size_t limit)
{
    uint64_t drawn;
    cb_random(&drawn, sizeof drawn);
    return (size_t)(drawn % limit);
}

static int64_t cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * CB_SECOND + used.ru_utime.tv_usec +
           used.ru_stime.tv_usec;
}

static double resident_mb(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* What was read from the disk, not from the kernel's cache; 0 where the kernel does not say. */
static unsigned long long disk_bytes(void)
{
    unsigned long long bytes = 0;
    char line[128];
    FILE *file = fopen("/proc/self/io", "r");
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "read_bytes: %llu", &bytes);
    if (file)
        fclose(file);
    return bytes;
}

static void remove_beside(const char *path, const char *end)
{
    char name[600];
    snprintf(name, sizeof name, "%s%s", path, end);
    unlink(name);
}

static void remove_file(const char *path)
{
    static const char *const ends[] = {"",     "-lock",       "-wal",
                                       "-shm", "-checkpoint", "-checkpoint.next"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        remove_beside(path, ends[i]);
}

typedef struct start {
    int64_t opened, waited,
        read; /* until it is open; from then until logins go, and all was read */
} start;

static uint64_t unread(place *p)
{
    cb_store_state state;
    need(cb_store_status(p->store, &state), "status");
    need(state.error, "reading");
    return state.leaves_found - state.leaves_checked;
}

/* Whether a thread sleeps; one that waits for a processor does not. */
static bool sleeps(const char *thread)
{
    char path[300], state = 'S';
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", thread);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'S'; /* it has just ended */
    if (file)
        fclose(file);
    return state != 'R' && state != 'D';
}

/* Whether all threads but this one do. */
static bool others_sleep(void)
{
    char own[16];
    bool all = true;
    snprintf(own, sizeof own, "%d", (int)gettid());
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks && (task = readdir(tasks));)
        if (task->d_name[0] != '.' && strcmp(task->d_name, own) != 0)
            all = all && sleeps(task->d_name);
    if (tasks)
        closedir(tasks);
    return all;
}

/* What is known of the rows is put in order and compared after the last leaf was read, and a
 * checkpoint may be due: not at the cost of the taps that are measured then. That takes no longer
 * than so; rest, on a machine where others keep this process from the processors, might. */
static void wait_for_rest(const place *p)
{
    enum { LOOKS = 20 };
    int64_t deadline = cb_deadline_in(CB_SECOND + (int64_t)p->count * 100);
    for (int looks = 0; looks < LOOKS && cb_deadline_left_ms(deadline) > 0;
         looks = others_sleep() ? looks + 1 : 0)
        usleep(5000);
}

/* Opened anew, as after a restart: with nothing in its own caches. */
static void reopen(place *p, uint64_t checkpoint, start *out)
{
    cb_store_close(&p->store);
    p->options.checkpoint = checkpoint;
    int64_t began = cb_clock_monotonic_us();
    need(cb_store_open(&p->options, &p->store), "open");
    out->opened = cb_clock_monotonic_us() - began;
    need(cb_store_checked(p->store, cb_deadline_in(START_SECONDS * CB_SECOND)), "read again");
    out->waited = cb_clock_monotonic_us() - began - out->opened;
    while (unread(p) > 0)
        usleep(1000);
    out->read = cb_clock_monotonic_us() - began - out->opened;
}

/* Until the record speaks of one that is kept. */
static void wait_for_checkpoint(place *p)
{
    char name[600], next[600];
    snprintf(name, sizeof name, "%s-checkpoint", p->options.path);
    snprintf(next, sizeof next, "%s-checkpoint.next", p->options.path);
    while (access(name, F_OK) != 0 || access(next, F_OK) == 0)
        usleep(1000);
}

/* First without a checkpoint, which then is made; and from it. */
static void reopen_twice(place *p, start *whole, start *with)
{
    reopen(p, CB_CHECKPOINT_NONE, whole);
    remove_beside(p->options.path, "-checkpoint");
    reopen(p, 1000, with);
    wait_for_checkpoint(p);
    reopen(p, UINT32_MAX, with);
}

/* How much of the file the page cache has; 0 to 1. */
static double cached_share(const place *p)
{
    struct stat file = {0};
    fstat(p->file, &file);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = ((size_t)file.st_size + page - 1) / page;
    unsigned char *there = calloc(pages + 1, 1);
    void *map = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED, p->file, 0);
    size_t count = 0;
    need(there && map != MAP_FAILED ? CB_OK : CB_E_MEMORY, "map");
    need(mincore(map, (size_t)file.st_size, there) == 0 ? CB_OK : CB_E_IO, "mincore");
    for (size_t i = 0; i < pages; i++)
        count += there[i] & 1;
    munmap(map, (size_t)file.st_size);
    free(there);
    return pages > 0 ? (double)count / (double)pages : 0;
}

static void read_through(const place *p)
{
    enum { PART = 1 << 20 };
    char *part = malloc(PART);
    ssize_t got = 0;
    need(part ? CB_OK : CB_E_MEMORY, "memory");
    for (off_t at = 0; (got = pread(p->file, part, PART, at)) > 0; at += got)
        ;
    need(got == 0 ? CB_OK : CB_E_IO, "reading through");
    free(part);
}

/* Taps of citizens drawn at random. */
static void measure_taps(place *p, unsigned taps, const char *name)
{
    int64_t *t1 = calloc(taps, sizeof *t1), *t2 = calloc(taps, sizeof *t2);
    need(t1 && t2 ? CB_OK : CB_E_MEMORY, "memory");
    double cached = cached_share(p);
    unsigned long long disk = disk_bytes();
    int64_t cpu = cpu_us();
    for (unsigned i = 0; i < taps; i++) {
        const citizen *c = &p->citizens[below(p->count)];
        tapped who = {c->card, c->holder, p->terminal, services[below(SERVICES)]};
        tap_once(p->store, &who, &t1[i], &t2[i]);
    }
    cpu = cpu_us() - cpu;
    disk = disk_bytes() - disk;
    printf(",\n   \"%s\": {\"cached\": %.4f, \"t1_p50\": %lld, \"t1_p99\": %lld, \"t2_p50\": %lld, "
           "\"t2_p99\": %lld, \"cpu_us\": %.0f, \"disk_kb\": %.1f}",
           name, cached, (long long)quantile(t1, taps, 500), (long long)quantile(t1, taps, 990),
           (long long)quantile(t2, taps, 500), (long long)quantile(t2, taps, 990),
           (double)cpu / taps, (double)disk / 1e3 / taps);
    free(t1);
    free(t2);
}

static void measure(place *p, unsigned taps, bool first)
{
    start whole, with;
    struct stat file = {0};
    cb_store_state state;
    reopen_twice(p, &whole, &with);
    wait_for_rest(p);
    need(cb_store_status(p->store, &state), "status");
    fstat(p->file, &file);
    printf("%s  {\"cards\": %zu, \"keys\": %zu, \"leaves\": %llu, \"file_mb\": %.1f, "
           "\"open_ms\": %.1f, \"read_again_ms\": %.0f, \"logins_ms\": %.0f, \"rest_ms\": %.0f",
           first ? "" : ",\n", p->count, p->count * SERVICES, (unsigned long long)state.leaves,
           (double)file.st_size / 1e6, (double)with.opened / 1e3, (double)whole.waited / 1e3,
           (double)with.waited / 1e3, (double)with.read / 1e3);
    measure_taps(p, taps, "found");
    read_through(p);
    measure_taps(p, taps, "read_through");
    printf(",\n   \"resident_mb\": %.1f}", resident_mb());
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char path[512];
    const char *folder = argc > 1 ? argv[1] : ".";
    size_t most = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
    unsigned taps = argc > 3 ? (unsigned)atoi(argv[3]) : 2000;
    signer s;
    place p = {.file = -1};
    if (most < 1000 || most > 100000000 || taps == 0) {
        fprintf(stderr, "scale_bench: MOST is from 1000 to 100000000, TAPS at least 1\n");
        return 2;
    }
    cb_log_init("scale_bench", CB_LOG_ERROR);
    signer_begin(&s);
    snprintf(path, sizeof path, "%s/scale_bench.%d.db", folder, (int)getpid());
    p.options = (cb_store_options){.path = path, .signer = signer_of(&s)};
    p.citizens = calloc(most / SERVICES, sizeof *p.citizens);
    need(p.citizens ? cb_store_open(&p.options, &p.store) : CB_E_MEMORY, "open");
    p.file = open(path, O_RDONLY | O_CLOEXEC);
    need(p.file >= 0 ? CB_OK : CB_E_IO, "file");
    p.terminal = add_terminal(p.store, "counter");
    for (unsigned i = 0; i < SERVICES; i++)
        add_service(p.store, services[i]);
    printf("[\n");
    for (size_t keys = 1000; keys <= most; keys *= 10) {
        grow(&p, keys / SERVICES);
        measure(&p, taps, keys == 1000);
    }
    printf("\n]\n");
    cb_store_close(&p.store);
    close(p.file);
    remove_file(path);
    free(p.citizens);
    return 0;
}

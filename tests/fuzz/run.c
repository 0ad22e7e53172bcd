/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Runs a fuzz target without libFuzzer: [--rounds N] FILE-OR-FOLDER...
 *
 * First over each file as it is, then over N inputs that are made from them by a few changes, or
 * out of nothing: always the same ones.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 16, SEEDS_MAX = 4096 };

static struct seed {
    uint8_t *data;
    size_t len;
} seeds[SEEDS_MAX];
static size_t seed_count;

static uint8_t input[INPUT_MAX];

static uint32_t next(void)
{
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33);
}

static void run(const uint8_t *data, size_t len)
{
    /* A copy of its own, so that a sanitizer sees each byte beyond its end. */
    uint8_t *exact = malloc(len ? len : 1);
    if (!exact)
        abort();
    memcpy(exact, data, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

static size_t make_random(void)
{
    size_t len = next() % (next() % 8 ? 300 : INPUT_MAX);
    for (size_t k = 0; k < len; k++)
        input[k] = (uint8_t)(next() % 4 ? next() : next() % 2 ? 0 : 0xFF);
    return len;
}

/* One change: a bit, a byte, a piece left out, repeated or taken from another seed. */
static size_t change(size_t len)
{
    static const uint8_t odd[] = {0, 1, 0x7F, 0x80, 0xFF, 0x0A, '"', '\\'};
    size_t at = len ? next() % len : 0;
    size_t piece = len > at ? next() % (len - at < 32 ? len - at : 32) : 0;
    const struct seed *other = &seeds[next() % seed_count];
    switch (next() % 6) {
    case 0:
        input[at] ^= (uint8_t)(1u << next() % 8);
        return len;
    case 1:
        input[at] = odd[next() % sizeof odd];
        return len;
    case 2:
        return at; /* cut off */
    case 3:
        memmove(input + at, input + at + piece, len - at - piece);
        return len - piece;
    case 4:
        if (len + piece > INPUT_MAX)
            return len;
        memmove(input + at + piece, input + at, len - at);
        return len + piece;
    default:
        piece = other->len < INPUT_MAX - at ? other->len : INPUT_MAX - at;
        memcpy(input + at, other->data, piece);
        return at + piece > len ? at + piece : len;
    }
}

static size_t make_changed(void)
{
    const struct seed *seed = &seeds[next() % seed_count];
    size_t len = seed->len;
    memcpy(input, seed->data, len);
    for (uint32_t i = next() % 4 + 1; i > 0; i--)
        len = change(len);
    return len;
}

static int read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t len = fread(input, 1, sizeof input, file);
    fclose(file);
    struct seed *seed = &seeds[seed_count];
    seed->data = malloc(len ? len : 1);
    if (!seed->data)
        abort();
    memcpy(seed->data, input, len);
    seed->len = len;
    seed_count++;
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_all(const char *path)
{
    struct dirent **entries;
    int failed = 0;
    int count = scandir(path, &entries, NULL, by_name);
    if (count < 0)
        return read_file(path);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && seed_count < SEEDS_MAX)
            failed |= read_file(name);
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    int first = 1;
    unsigned long rounds = 0;
    if (argc > 2 && strcmp(argv[1], "--rounds") == 0) {
        rounds = strtoul(argv[2], NULL, 10);
        first = 3;
    }
    for (int i = first; i < argc; i++)
        failed |= read_all(argv[i]);
    for (size_t i = 0; i < seed_count; i++)
        run(seeds[i].data, seeds[i].len);
    for (unsigned long i = 0; i < rounds; i++)
        run(input, seed_count > 0 && i % 8 ? make_changed() : make_random());
    printf("%zu files, %lu made inputs\n", seed_count, rounds);
    for (size_t i = 0; i < seed_count; i++)
        free(seeds[i].data);
    return failed;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Runs a fuzz target without libFuzzer: over the files that are named, or over so many inputs of a
 * fixed pseudo-random sequence.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 16 };

static uint8_t input[INPUT_MAX];

static uint32_t next(void)
{
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33);
}

static void run_random(unsigned long rounds)
{
    for (unsigned long i = 0; i < rounds; i++) {
        size_t len = next() % (next() % 8 ? 300 : INPUT_MAX);
        for (size_t k = 0; k < len; k++)
            input[k] = (uint8_t)(next() % 4 ? next() : next() % 2 ? 0 : 0xFF);
        LLVMFuzzerTestOneInput(input, len);
    }
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t len = fread(input, 1, sizeof input, file);
    fclose(file);
    LLVMFuzzerTestOneInput(input, len);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc == 3 && strcmp(argv[1], "--rounds") == 0)
        run_random(strtoul(argv[2], NULL, 10));
    else
        for (int i = 1; i < argc; i++)
            failed |= run_file(argv[i]);
    return failed;
}

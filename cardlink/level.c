/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/level.h"

#include <stdlib.h>
#include <string.h>

/* From the least to the most. */
static const struct {
    uint8_t level;
    const char *name;
} order[] = {
    {CB_LEVEL_NONE, "none"},
    {CB_LEVEL_PASSWORD, "password"},
    {CB_LEVEL_POSSESSION, "possession"},
    {CB_LEVEL_TERMINAL_PIN, "terminal-pin"},
    {CB_LEVEL_PIN, "pin"},
};

enum { LEVELS = sizeof order / sizeof *order };

/* LEVELS for what is none. */
static size_t rank(uint8_t level)
{
    size_t i = 0;
    while (i < LEVELS && order[i].level != level)
        i++;
    return i;
}

bool cb_level_ok(uint8_t level) { return level != CB_LEVEL_NONE && rank(level) < LEVELS; }

bool cb_level_reaches(uint8_t reached, uint8_t asked)
{
    return rank(reached) < LEVELS && rank(asked) <= rank(reached);
}

uint8_t cb_level_lower(uint8_t one, uint8_t other)
{
    return cb_level_reaches(one, other) ? other : one;
}

bool cb_level_needs_pin(uint8_t asked) { return !cb_level_reaches(CB_LEVEL_POSSESSION, asked); }

const char *cb_level_name(uint8_t level)
{
    size_t i = rank(level);
    return i < LEVELS ? order[i].name : NULL;
}

uint8_t cb_level_parse(const char *text)
{
    for (size_t i = 0; i < LEVELS; i++) {
        const char number[] = {(char)('0' + order[i].level), 0};
        if (strcmp(text, order[i].name) == 0 || strcmp(text, number) == 0)
            return order[i].level;
    }
    return CB_LEVEL_NONE;
}

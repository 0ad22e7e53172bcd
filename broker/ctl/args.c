/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/args.h"

#include <string.h>

static const cb_ctl_option *find_option(const cb_ctl_option *table, const char *name, size_t len)
{
    for (; table && table->name; table++)
        if (strlen(table->name) == len && memcmp(table->name, name, len) == 0)
            return table;
    return NULL;
}

const char *cb_ctl_arg_at(const cb_ctl_args *args, const char *name, unsigned index)
{
    for (unsigned i = 0; i < args->count; i++)
        if (strcmp(args->given[i].option->name, name) == 0 && index-- == 0)
            return args->given[i].value;
    return NULL;
}

const char *cb_ctl_arg(const cb_ctl_args *args, const char *name)
{
    return cb_ctl_arg_at(args, name, 0);
}

static cb_error wrong(cb_buf *why, const char *before, const char *word, const char *after)
{
    cb_buf_printf(why, "%s%s%s", before, word, after);
    return CB_E_ARGUMENT;
}

/* One option; *index is moved past a value that stands in a word of its own. */
static cb_error read_option(int argc, const char *const *argv, int *index,
                            const cb_ctl_option *options, const cb_ctl_option *common,
                            cb_ctl_args *out, cb_buf *why)
{
    const char *name = argv[*index] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const cb_ctl_option *option = find_option(options, name, len);
    if (!option)
        option = find_option(common, name, len);
    if (!option)
        return wrong(why, "there is no option ", argv[*index], " here");
    if (!option->many && cb_ctl_arg(out, option->name))
        return wrong(why, "--", option->name, " is given twice");
    if (out->count == CB_CTL_VALUES_MAX)
        return wrong(why, "too many options, from ", argv[*index], " on");
    const char *value = equals ? equals + 1 : "";
    if (!option->value && equals)
        return wrong(why, "--", option->name, " takes no value");
    if (option->value && !equals) {
        if (*index + 1 >= argc)
            return wrong(why, "--", option->name, " needs a value");
        value = argv[++*index];
    }
    if (option->value && !*value)
        return wrong(why, "--", option->name, " needs a value that is not empty");
    out->given[out->count].option = option;
    out->given[out->count++].value = value;
    return CB_OK;
}

static cb_error check_required(const cb_ctl_option *options, const cb_ctl_args *args, cb_buf *why)
{
    for (; options && options->name; options++)
        if (options->required && !cb_ctl_arg(args, options->name))
            return wrong(why, "--", options->name, " is missing");
    return CB_OK;
}

cb_error cb_ctl_args_read(int argc, const char *const *argv, const cb_ctl_option *options,
                          const cb_ctl_option *common, unsigned least, unsigned most,
                          cb_ctl_args *out, cb_buf *why)
{
    *out = (cb_ctl_args){0};
    bool plain = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!plain && strcmp(word, "--") == 0) {
            plain = true;
        } else if (!plain && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            out->help = true;
            return CB_OK;
        } else if (!plain && strncmp(word, "--", 2) == 0) {
            cb_error error = read_option(argc, argv, &i, options, common, out, why);
            if (error)
                return error;
        } else if (!plain && word[0] == '-' && word[1]) {
            return wrong(why, "there is no option ", word, " here");
        } else if (out->operands == most || out->operands == CB_CTL_OPERANDS_MAX) {
            return wrong(why, "", word, " is one word too many");
        } else {
            out->operand[out->operands++] = word;
        }
    }
    if (out->operands < least)
        return wrong(why, "", "an operand is missing", "");
    return check_required(options, out, why);
}

cb_error cb_ctl_number(const char *text, uint64_t max, uint64_t *out)
{
    if (!text)
        return CB_OK;
    uint64_t value = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 19 || strspn(text, "0123456789") != len)
        return CB_E_ARGUMENT;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    if (value > max)
        return CB_E_ARGUMENT;
    *out = value;
    return CB_OK;
}

cb_error cb_ctl_duration(const char *text, uint64_t *seconds)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    const uint64_t most = UINT64_C(366) * 86400;
    char digits[20];
    size_t len = strlen(text);
    uint64_t factor = 1, value = 0;
    if (len == 0 || len >= sizeof digits)
        return CB_E_ARGUMENT;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (text[len - 1] == units[i].unit) {
            factor = units[i].seconds;
            len--;
            break;
        }
    memcpy(digits, text, len);
    digits[len] = 0;
    if (cb_ctl_number(digits, most, &value) || value > most / factor)
        return CB_E_ARGUMENT;
    *seconds = value * factor;
    return CB_OK;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What people read: aligned tables, lists of fields, one-line results.
 *
 * Whatever came from outside is shown so that it cannot act on the terminal: control characters,
 * and those that turn the direction of writing, appear as "\x1b" and "\u{202e}". Columns are
 * aligned by the width that characters take.
 */
#ifndef CB_BROKER_CTL_OUTPUT_H
#define CB_BROKER_CTL_OUTPUT_H

#include "broker/ctl/ctl.h"

/* What failed of a card, holder or terminal, for the columns of one. */
#define CB_CTL_FAILURES                                                                            \
    {"wrong PINs", "failures.wrong_pins"}, {"in a row", "failures.wrong_pins_in_a_row"},           \
        {"failed proofs", "failures.failed_proofs"},                                               \
        {"told wrong PINs", "failures.told_wrong_pins"},                                           \
        {"wrong passwords", "failures.wrong_passwords"}, {"last of them", "failures.last"}

typedef struct cb_ctl_column {
    const char *title; /* NULL ends a list */
    const char *path;  /* names of nested fields with dots: "current.algorithm" */
} cb_ctl_column;

/* Text made harmless, appended. Bytes that are not UTF-8 appear as "\xHH". */
void cb_ctl_plain(cb_buf *out, const char *text);

/* Cells that the text takes on a screen, after cb_ctl_plain. */
unsigned cb_ctl_width(const char *plain);

/* A field of an object by its path, as text appended: strings, numbers, "yes" and "no", lists with
 * commas, "-" for what is missing or null, compact JSON for objects; levels and profiles by name.
 */
void cb_ctl_field(cb_buf *out, const json_t *object, const char *path);

/* Prints an array of objects as a table, or as JSON when that was asked for. */
cb_ctl_status cb_ctl_table(cb_ctl *ctl, const json_t *rows, const cb_ctl_column *columns);

/* Prints one object, a field a line, or as JSON. */
cb_ctl_status cb_ctl_object(cb_ctl *ctl, const json_t *object, const cb_ctl_column *columns);

/* Prints JSON. */
cb_ctl_status cb_ctl_json(cb_ctl *ctl, const json_t *value);

/* The result of an act: the object as JSON, or one line made of the format, made harmless: what is
 * named in it may come from an answer. */
cb_ctl_status cb_ctl_done(cb_ctl *ctl, const json_t *object, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

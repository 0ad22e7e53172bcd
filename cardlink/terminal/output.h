/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What cardlink says: lines for people, or one JSON object a line for programs, on standard output;
 * and the delivery of a tap, which is a bearer value (whoever has it is the holder at the service),
 * on standard output or in a file that only its owner can read. Thread-safe. Texts that came from
 * outside are shown without what acts on a screen. What could not be said, for want of memory or
 * because nobody takes it, is remembered: a program whose words were lost has not succeeded.
 */
#ifndef CB_CARDLINK_TERMINAL_OUTPUT_H
#define CB_CARDLINK_TERMINAL_OUTPUT_H

#include <pthread.h>
#include <stdio.h>

#include "cardlink/terminal/tap.h"

typedef struct cb_output {
    pthread_mutex_t lock;
    FILE *stream;
    bool json;
    const char *file;   /* where a delivery is written; NULL: to the stream */
    const char *folder; /* where each delivery gets a file SESSION.json; NULL: to the stream */
    cb_error error;     /* the first thing that was not said, or not all of it */
} cb_output;

void cb_output_init(cb_output *output, FILE *stream, bool json);

/* The end of a tap. CB_OK, or CB_E_IO, CB_E_MEMORY and the like if the delivery could not be
 * written or said: then it is not shown elsewhere either. */
cb_error cb_output_tap(cb_output *output, const char *reader, const cb_tap_report *report);

/* Something that happened: an event for programs and words for people. Either may be followed by a
 * problem; NULL: none. */
void cb_output_event(cb_output *output, const char *event, const char *reader, const char *words,
                     const cb_problem *problem);

void cb_output_readers(cb_output *output, const cb_reader_list *list);
void cb_output_services(cb_output *output, const json_t *services);

/* Prints an object (takes it over) as a line; NULL: there was no memory for it, which is said. */
void cb_output_object(cb_output *output, json_t *object);

/* For people: the sentence, and what goes with it (tries left, when to come again, the broker's
 * name of the request). */
enum { CB_PROBLEM_LINE = CB_PROBLEM_DETAIL + CB_PROBLEM_CODE + CB_ID_TEXT + 128 };
void cb_problem_line(const cb_problem *problem, char out[CB_PROBLEM_LINE]);
void cb_problem_print(FILE *stream, const cb_problem *problem);

/* Contactless readers say so in their answer to reset: it is the one that PC/SC part 3, 3.1.3.2.3
 * makes up for contactless cards. */
bool cb_reader_contactless(const cb_reader_info *info);

#endif

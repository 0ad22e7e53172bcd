/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a terminal makes of the answers to a tap while the broker is made to fail, and what is
 * looked at afterwards.
 */
#ifndef CB_TESTS_FAULT_API_JUDGE_H
#define CB_TESTS_FAULT_API_JUDGE_H

#include "tests/fault/api_world.h"

/* What a flow returns when its client was given what it must not be; it is no listed error. */
#define API_WRONG CB_ERROR_COUNT

/* Says why, and what the answer was. */
cb_error api_wrong(const api_world *w, const char *why);

/* CB_OK: the status that is due. CB_E_CLOSED: an end. CB_E_MEMORY: an error that is said to be the
 * server's. */
cb_error api_judge(const api_world *w, int status);

/* Likewise; and each of the parts, of which the last is NULL, is in the answer. */
cb_error api_judge_parts(const api_world *w, int status, const char *const *parts);

/* Likewise, of an accept: at this level, with what a connector of this service has given, which is
 * a session that the broker relays or a token. service NULL: nothing was asked for at any. */
cb_error api_judge_accept(const api_world *w, int level, const char *service, bool relayed);

/* Likewise, of an answer with a script, which is then played. whole: its characters; 0: not known
 * yet. */
cb_error api_judge_script(api_world *w, int status, size_t *whole);

/* What was added to the record, once nothing is under way. */
void api_settled(api_world *w, const api_tally *before, api_tally *out);

/* Waits until all that was written is under a signed head: a key service that was not heard is asked
 * again within half a second. What a stop leaves unsigned counts for nothing after the next start. */
void api_wait_signed(const api_world *w);

/* Waits until no session lives any more: one that was cut without memory is taken off the list by
 * the next look at it. */
void api_sessions_are_over(const api_world *w);

/* Of the closed world: its evidence is verified, and it ends. */
void api_world_over(api_world *w);

/* Opened anew, with no limits to what may fail, and counted. */
void api_open_again(api_world *w, api_tally *before);

/* A key service that was not heard is asked again within half a second; the next start asks at
 * once, and is made if there is need. */
void api_let_it_sign(api_world *w);

/* A tap of the world's player or card begins: dialled, begun with a profile, played, and dialled
 * for what comes next. */
void api_begin(api_world *w, const char *profile);

/* One request of a tap, after api_dial. Its body has the answers that were played, and behind them
 * what is given, if anything: "" or ",\"service\":…". */
__attribute__((format(printf, 3, 4))) void api_step(api_world *w, const char *step,
                                                    const char *format, ...);

/* What the last request was answered with, without faults, is a script: it is played, and the proof
 * is at hand. */
void api_come_to_proof(api_world *w);
void api_bring_proof(api_world *w);

/* The terminal brings the same answers once more. True: they are said again to be good; false: an
 * error. */
bool api_bring_again(api_world *w);

/* What is said of a tap that may have been accepted; of a relayed session it is opened at most
 * once. result: CB_OK if it was told to be accepted. Fails the test if it is not so. */
void api_accepted_as_told(const api_tally *is, bool relayed, bool told);

#endif

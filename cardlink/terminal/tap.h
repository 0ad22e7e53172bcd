/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One tap at the terminal: two scripts between broker and card.
 *
 *   begin ─▶ script 1 ─▶ card ─▶ challenge ─▶ script 2 ─▶ card ─▶ proof ─▶ result
 *
 * The card is asked for the profiles' applications in their order, and a tap is begun for the first
 * that it has. The first script depends on nothing but the card's profile, so it may have been
 * fetched before the card came. Up to the second script nothing was decided: if the broker no
 * longer knows the tap (it was too old, or the broker has started anew), or the connection ends,
 * another is begun, once.
 *
 * A native card that is refused because it is revoked is ended for good, if the broker asks for
 * that, in another tap while it lies there. What comes of that is reported, and changes nothing
 * about the refusal.
 *
 * A card of others whose certificates do not count any more, or whose proof does not verify by the
 * key that the broker knows, is asked for those that it has now, if
 * the broker would take newer ones, in another tap; if it took them, the first is begun once more.
 * If not, the refusal is reported, or what was wrong with the PIN that this took. Where the card is
 * let in all the same, for they are only soon over, the tap ends with that: what it brought is
 * handed out first, then they are asked for (cb_tap_renew_early), and whatever comes of it takes
 * nothing back. Nobody is asked for a PIN once more for it; and one that was typed for the first of
 * these taps is for its card alone: where another lies there at a later one, that ends with
 * CB_E_CARD_REMOVED before anything is brought or asked for.
 *
 * A tap that ends here is ended at the broker too, with the reason. A proof whose answer does not
 * come is brought again for a few seconds, on new connections: the broker answers it once, and says
 * the same again. If no answer comes nobody knows whether the tap was accepted: CB_E_TAP_UNHEARD,
 * or for a tap that sets a PIN CB_E_PIN_UNCERTAIN, which is also said when the card left while it
 * was doing so.
 */
#ifndef CB_CARDLINK_TERMINAL_TAP_H
#define CB_CARDLINK_TERMINAL_TAP_H

#include "cardlink/terminal/config.h"
#include "cardlink/terminal/pin_entry.h"
#include "cardlink/terminal/reader.h"
#include "cardlink/terminal/relay.h"

typedef struct cb_tap_order {
    uint8_t purpose;     /* cb_tap_purpose */
    const char *service; /* "": none */
    const char *text;    /* "": none */
    const cb_id *card;   /* for CB_TAP_PIN_RESET; otherwise NULL */
    const cb_pins *pins; /* NULL: none */
    uint8_t pin_pad;     /* cb_pad_use */
    const cb_profile_order *profiles;
} cb_tap_order;

typedef struct cb_tap_report {
    cb_problem problem;
    json_t *result;  /* of an accepted tap; NULL otherwise */
    cb_id tap;       /* the last that was begun for it; zero: none was */
    int64_t took;    /* microseconds from the card's arrival on */
    bool prefetched; /* the first script was there when the card came */
    bool card_ended; /* the card is revoked, and was ended for good */
    bool renewed;    /* the broker knows it by its new certificates now */
    bool gave_pin;   /* the card was given the PIN of the order in the clear */
    const cb_card_profile *renewable; /* of a card that was let in and may be asked for newer
                                         certificates; NULL: there is no need */
    cb_id card; /* then: as whom its first answers make it known (cb_card_profile) */
} cb_tap_report;

void cb_tap_report_free(cb_tap_report *report);

/* How it ended: "accepted", or the problem's code. Lives as long as the report. */
const char *cb_tap_code(const cb_tap_report *report);

/* Whether a fetched first script can still be used, with time to spare for the card. */
bool cb_tap_fresh(const cb_relay_tap *first);

/* The tap that a card will have that is what is looked for first: the fetched one if it is for such
 * cards; zero if none is known yet. */
const cb_id *cb_tap_known(const cb_relay_tap *first, const cb_profile_order *profiles);

/* Brings a proof until its answer has come, with whichever of the relay's functions. CB_E_TAP_UNHEARD,
 * and as that. */
typedef cb_error (*cb_relay_bringer)(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers,
                                     json_t **result, cb_problem *problem);
cb_error cb_tap_bring(cb_relay *relay, const cb_relay_tap *begun, cb_bytes answers,
                      cb_relay_bringer bring, json_t **result, cb_problem *problem);

/* Tells the broker of a tap that ended here with an error that it does not know of. Whether the
 * broker could be told. */
bool cb_tap_end_at_broker(cb_relay *relay, const cb_relay_tap *begun, const cb_problem *problem,
                          cb_error error);

/* Does a tap with the card that lies on a reader. first: a script fetched in advance, or none; used
 * up if it is for such a card, or if the card left before it was known which it is; otherwise it
 * stays there for another card. The card is given back before this returns. Returns CB_OK only for
 * an accept; otherwise report->problem says why. */
cb_error cb_tap_run(cb_relay *relay, cb_readers *readers, const char *reader, cb_relay_tap *first,
                    const cb_tap_order *order, cb_tap_report *report);

/* After an accept, and once what it brought was handed out: if the report says renewable, brings
 * the broker the certificates that the card has now. If another card lies there, it is let be:
 * nothing is renewed, and no PIN reaches it. The order's PIN is used if the tap has used it; where
 * it takes a PIN otherwise, this is left to another tap. Whether the broker knows the card by them
 * from now on; nothing else of it is anybody's to know. */
bool cb_tap_renew_early(cb_relay *relay, cb_readers *readers, const char *reader,
                        const cb_tap_order *order, const cb_tap_report *report);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A whole broker in this process, with its real routes and a real database, to be made to fail:
 * hsmd's lanes over a vault in memory and a connectord that lets everybody in are processes of
 * their own, which no fault strikes. It is opened for a run and closed after it.
 */
#ifndef CB_TESTS_FAULT_API_WORLD_H
#define CB_TESTS_FAULT_API_WORLD_H

#include "broker/api/api.h"
#include "broker/api/relay.h"
#include "fake.h"
#include "tests/support/calm_client.h"

/* In whatever includes cmocka too. */
#define MUST(call) assert_int_equal(call, CB_OK)

enum { API_BODY = 24 * 1024, API_PEM = 2048 };
#define API_RELAY "relay.test"

typedef struct api_world {
    world card;
    fake hsmd;
    pid_t connectord;
    uint8_t der[1024]; /* a certificate: of the terminal, and of keys */
    size_t der_len, key_end;
    char public_key[512];    /* of that certificate, hexadecimal */
    struct WOLFSSL_CTX *tls; /* the terminal's */
    cb_id holder;            /* of the card, which is active */
    cb_id terminal;          /* the one that tls is */
    struct calm_line *line;  /* that it has dialled */
    cb_api api;
    cb_relay_context relay;
    uint16_t port;
    calm_answer answer;
    char tap[CB_ID_TEXT];   /* the one under way */
    char answers[API_BODY]; /* the card's, to the last script: a JSON list */
    size_t script;          /* characters of the commands of that script */
    /* What is laid down in the place of the world's card: answers is empty. NULL: that card. */
    void (*play)(void *context, const cb_buf *script, cb_buf *answers);
    void *player;
    cb_certificate_status status; /* says what issuers say; NULL: no issuer is known */
} api_world;

/* With services "tax" (a token), "bus" (a relayed session), "gov" (certificates); the holder is
 * enrolled at the first two. Nothing is open. trust: as in fake.h. */
void api_world_make(api_world *w);
void api_world_make_trusting(api_world *w, void (*trust)(cb_host *host));
void api_world_make_with(api_world *w, void (*change)(world *card)); /* before hsmd's lanes begin */
void api_world_end(api_world *w);

/* Of the open world: one more service, at which the holder is enrolled with a key of this level. */
void api_serve(api_world *w, const char *name, const char *connector, uint8_t level);

/* CB_E_*: what an opening without faults never has. */
cb_error api_world_open(api_world *w);
void api_world_close(api_world *w);

/* One request of an administrator, or of the terminal over a connection that was made before; body
 * NULL: none. The answer is in w. No fault strikes who asks. */
void api_ask(api_world *w, const char *method, const char *path, const char *body);
void api_dial(api_world *w);
void api_dial_as(api_world *w, struct WOLFSSL_CTX *tls); /* another terminal, or nobody */
void api_ask_dialled(api_world *w, const char *method, const char *path, const char *body);

/* Lets the card answer the script of the answer, and the tap's identifier be remembered if it has
 * one. False: there is no script. */
bool api_play(api_world *w);

/* Appends those answers, as encoded in cardlink/script.h. No fault strikes. */
void api_answers(const api_world *w, cb_buf *out);

/* Binds the card that lies on the reader to the holder, and has it be active. */
void api_add_card(api_world *w, cb_id *card);

/* The terminal's three requests, each from what was played; the status. */
int api_tap_start(api_world *w);
int api_tap_challenge(api_world *w, const char *service);
int api_tap_proof(api_world *w);

/* The world's certificate, or with another key for each other number, which nobody has signed: PEM,
 * as it stands in a JSON string. */
void api_certificate(const api_world *w, unsigned number, char *out);

/* Records as hsmd makes them, hexadecimal. */
void api_binding(const cb_id *card, const cb_id *holder, char *out);
void api_foreign_binding(const cb_id *card, const cb_id *holder, uint8_t number, char *out);
void api_sealed(const cb_id *key, const cb_id *holder, const char *service, uint64_t sequence,
                uint32_t generation, char *out);

/* ---- What is in the database ---- */

typedef struct api_tally {
    unsigned count;
    struct {
        char what[64];
        long number;
    } row[64];
} api_tally;

/* How many there are of each kind of row in each state, of each kind of leaf, and of what ends. */
void api_count(const api_world *w, api_tally *out);

/* What was added; equal ones compare as equal in memory. */
void api_added(const api_tally *before, const api_tally *after, api_tally *out);
bool api_same(const api_tally *a, const api_tally *b);
long api_number(const api_tally *tally, const char *what);
void api_say(const char *title, const api_tally *tally);

/* Of the closed world: its evidence has no finding. */
void api_verify(const api_world *w);

#endif

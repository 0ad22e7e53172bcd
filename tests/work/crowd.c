/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/work/crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "broker/core/card_issue.h"
#include "broker/store/row_card_proof.h"
#include "broker/store/row_failure.h"
#include "broker/store/row_maintenance.h"
#include "broker/store/row_registration.h"
#include "broker/store/row_software.h"
#include "broker/store/row_stock.h"
#include "broker/store/txn.h"

#define DAY (INT64_C(86400) * CB_SECOND)

enum { BATCH = 500, DAYS = 3, OF_TERMINAL = 4, OF_REVOKED = 16 };

typedef struct crowd {
    size_t from, to;
    int64_t now;
    cb_buf sealed;
} crowd;

/* In one transaction; the first that fails is the one that is told. */
#define DO(call)                                                                                   \
    do {                                                                                           \
        cb_error done = call;                                                                      \
        if (done)                                                                                  \
            return done;                                                                           \
    } while (0)

/* ---- People and their cards ---- */

static void put_binding(const cb_id *card, const cb_id *holder, bool native, cb_buf *out)
{
    static const uint8_t certificate[] = {0x30, 0x00};
    cb_binding_info info = {.card = *card,
                            .holder = *holder,
                            .profile = native ? CB_PROFILE_NATIVE : CB_PROFILE_PIV,
                            .level = native ? CB_LEVEL_PIN : CB_LEVEL_TERMINAL_PIN,
                            .sequence = 1,
                            .keys = {.count = 1}};
    info.keys.key[0].kind = CB_CARD_KEY_P256;
    info.keys.key[0].len = CB_P256_POINT;
    info.keys.key[0].data[0] = 4;
    if (!native) {
        info.keys.key[0].use = 0x9A;
        info.keys.key[0].certificate = cb_sha256(CB_BYTES_OF(certificate));
    }
    MUST(fake_make_binding(&info, out));
}

static cb_error put_card(cb_txn *txn, const crowd *c, size_t n, const cb_id *id,
                         const cb_id *holder)
{
    static const uint8_t certificate[] = {0x30, 0x00};
    const cb_act act = {.actor = "test", .reason = "lost", .time = c->now};
    const cb_card_proof_row proof = {.counter = 7, .at = c->now, .heard = 7, .first_use = c->now};
    cb_digest code = cb_sha256(cb_id_bytes(id));
    bool native = n % 4 != 0;
    cb_card card;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    put_binding(id, holder, native, &binding);
    cb_card_new fresh = {
        .binding = cb_buf_bytes(&binding), .expires = c->now + 3650 * DAY, .holder_name = "Taro"};
    if (!native)
        fresh.certificates = CB_BYTES_OF(certificate);
    cb_card_init(&card);
    cb_error error = cb_card_prepare(&fresh, c->now, &card);
    if (!error)
        error = cb_card_issue_in(txn, &act, &fresh, &card);
    cb_card_free(&card);
    cb_buf_free(&binding);
    if (!error)
        error = cb_card_act_in(txn, &act, id, CB_CARD_ACTIVATE);
    if (!error && n % OF_REVOKED == 0)
        error = cb_card_act_in(txn, &act, id, CB_CARD_REVOKE);
    if (!error)
        error = cb_row_card_due(txn, id, c->now + 400 * DAY);
    if (!error && native)
        error = cb_row_card_proof_set(txn, id, &proof);
    return error ? error : cb_row_suspension_code_set(txn, id, &code);
}

static cb_error put_key(cb_txn *txn, const crowd *c, const cb_id *holder, const char *service)
{
    cb_enrolment e = {.id = cb_id_random(),
                      .holder = *holder,
                      .state = CB_ENROLMENT_ACTIVE,
                      .created = c->now,
                      .changed = c->now,
                      .data = CB_BUF(16)};
    cb_enrolment_key key = {.id = cb_id_random(), .algorithm = 1, .level = 1, .sequence = 1};
    snprintf(e.service, sizeof e.service, "%s", service);
    cb_buf_put_str(&e.data, "{}");
    key.sealed = c->sealed;
    cb_error error = cb_row_enrolment_put(txn, &e);
    cb_buf_free(&e.data);
    return error ? error : cb_row_key_put(txn, &e.id, true, &key);
}

/* Of a card, a holder or a terminal. */
static cb_error put_failures(cb_txn *txn, const crowd *c, uint8_t of, const cb_id *id)
{
    const cb_failure_row row = {
        .count = {0, 1, 1, 1, 1}, .last = c->now, .day = c->now / DAY, .claims_today = 1};
    DO(cb_row_failure_set(txn, of, id, &row));
    for (int64_t i = 0; i < DAYS; i++)
        DO(cb_row_failure_day(txn, of, id, c->now / DAY - i, CB_FAILURE_PROOF, 1));
    return CB_OK;
}

static cb_error put_papers(cb_txn *txn, const crowd *c, size_t n, const cb_id *holder)
{
    const cb_registration_row code = {.code = cb_id_random(),
                                      .holder = *holder,
                                      .profiles = 1 << CB_PROFILE_PIV,
                                      .level = CB_LEVEL_POSSESSION,
                                      .operator= "test",
                                      .state = CB_CODE_OPEN,
                                      .created = c->now,
                                      .expires = c->now + 400 * DAY,
                                      .changed = c->now};
    const cb_application application = {.id = cb_id_random(),
                                        .holder = *holder,
                                        .profile = CB_PROFILE_NATIVE,
                                        .reason = "first",
                                        .state = n % 2 ? CB_APPLICATION_ENTERED
                                                       : CB_APPLICATION_APPROVED,
                                        .operator= "one",
                                        .approver = "two",
                                        .created = c->now,
                                        .changed = c->now};
    DO(cb_row_registration_put(txn, &code));
    return cb_row_application_put(txn, &application);
}

static cb_error put_stock(cb_txn *txn, const crowd *c, size_t n)
{
    cb_batch batch;
    cb_stock stock = {.manufacturer = CROWD_MAKER,
                      .state = n % 2 ? CB_CARD_IN_TRANSIT : CB_CARD_IN_STOCK,
                      .identity = cb_id_random(),
                      .changed = c->now};
    cb_mismatch mismatch = {.id = cb_id_random(),
                            .kind = "missing",
                            .manufacturer = CROWD_MAKER,
                            .actor = "test",
                            .time = c->now};
    snprintf(stock.serial, sizeof stock.serial, "%08zu", n);
    snprintf(stock.delivery, sizeof stock.delivery, "delivery-%zu", n / 8);
    memcpy(mismatch.serial, stock.serial, sizeof mismatch.serial);
    DO(cb_row_batch_find(txn, CROWD_MAKER, "all", &batch));
    stock.batch = batch.id;
    DO(cb_row_stock_put(txn, &stock));
    return cb_row_mismatch_put(txn, &mismatch);
}

/* ---- Terminals ---- */

static cb_error put_terminal_log(cb_txn *txn, const crowd *c, const cb_id *terminal)
{
    static const uint8_t point[CB_P256_POINT] = {4}, signature[CB_P256_SIGNATURE];
    const cb_journal_row row = {.part = 1, .head = {.number = DAYS}};
    DO(cb_row_journal_set(txn, terminal, &row));
    for (uint64_t i = 0; i < DAYS; i++) {
        const cb_journal_batch batch = {.part = 1,
                                        .before = {.number = i},
                                        .last = {.number = i + 1},
                                        .entries = cb_bytes_str("entries"),
                                        .key = CB_BYTES_OF(point),
                                        .signature = CB_BYTES_OF(signature),
                                        .received = c->now};
        DO(cb_row_journal_batch_put(txn, terminal, &batch));
    }
    return CB_OK;
}

static cb_error put_software(cb_txn *txn, const crowd *c, const cb_id *terminal)
{
    cb_software_entry entry = {.id = cb_id_random(), .what.version = "1.0", .created = c->now};
    entry.what.program = cb_sha256(cb_id_bytes(terminal));
    entry.what.config = cb_sha256(cb_id_bytes(&entry.id));
    const cb_terminal_software says = {.what = entry.what, .received = c->now};
    DO(cb_row_software_put(txn, &entry));
    return cb_row_terminal_software_set(txn, terminal, &says);
}

static cb_error put_terminal(cb_txn *txn, const crowd *c, size_t n, const cb_id *card,
                             const cb_id *holder)
{
    cb_terminal terminal = {.id = cb_id_random(),
                            .state = CB_TERMINAL_ACTIVE,
                            .service_count = 2,
                            .services = {"tax", "bus"},
                            .created = c->now,
                            .changed = c->now,
                            .next_expires = c->now + 400 * DAY};
    cb_id next = cb_id_random();
    const cb_terminal_code_row code = {cb_sha256(cb_id_bytes(card)), c->now + 400 * DAY, 5};
    const cb_maintainer maintainer = {cb_id_random(), *holder, terminal.id, c->now};
    const cb_maintenance maintenance = {*holder, *card, c->now, c->now, "cleaned"};
    snprintf(terminal.name, sizeof terminal.name, "desk %zu", n);
    terminal.key = cb_sha256(cb_id_bytes(&terminal.id));
    terminal.next_key = cb_sha256(cb_id_bytes(&next));
    DO(cb_row_terminal_put(txn, &terminal));
    DO(cb_row_terminal_next_key(txn, &terminal, cb_bytes_str("a certificate")));
    DO(cb_row_code_set(txn, &terminal.id, &code));
    DO(cb_row_maintainer_put(txn, &maintainer));
    DO(cb_row_maintenance_set(txn, &terminal.id, &maintenance));
    DO(put_failures(txn, c, CB_OF_TERMINAL, &terminal.id));
    DO(cb_row_failure_at_add(txn, &terminal.id, card));
    DO(put_software(txn, c, &terminal.id));
    return put_terminal_log(txn, c, &terminal.id);
}

/* ---- ---- */

static cb_error put_one(cb_txn *txn, const crowd *c, size_t n)
{
    cb_id card = cb_id_random(), holder = cb_id_random();
    DO(put_card(txn, c, n, &card, &holder));
    DO(put_key(txn, c, &holder, "tax"));
    DO(put_key(txn, c, &holder, "bus"));
    DO(put_failures(txn, c, CB_OF_CARD, &card));
    DO(put_failures(txn, c, CB_OF_HOLDER, &holder));
    DO(put_papers(txn, c, n, &holder));
    DO(put_stock(txn, c, n));
    return n % OF_TERMINAL ? CB_OK : put_terminal(txn, c, n, &card, &holder);
}

static cb_error put_some(cb_txn *txn, void *context)
{
    const crowd *c = context;
    const cb_batch batch = {
        .id = cb_id_random(), .manufacturer = CROWD_MAKER, .name = "all", .created = c->now};
    cb_error error = c->from == 0 ? cb_row_batch_put(txn, &batch) : CB_OK;
    for (size_t n = c->from; !error && n < c->to; n++)
        error = put_one(txn, c, n);
    return error;
}

void crowd_grow(const api_world *w, size_t from, size_t to)
{
    crowd c = {.now = cb_clock_wall_us(), .sealed = CB_BUF(CB_SEALED_MAX)};
    const cb_sealed_info info = {.key = cb_id_random(),
                                 .holder = cb_id_random(),
                                 .service = "tax",
                                 .algorithm = CB_KEY_EC_P256,
                                 .level = CB_LEVEL_POSSESSION,
                                 .uses = 1,
                                 .generation = 1,
                                 .sequence = 1};
    const cb_change change = {
        .run = put_some, .context = &c, .urgency = CB_WRITE_DUE, .until = CB_UNTIL_SIGNED};
    MUST(fake_make_sealed(&info, &c.sealed));
    for (c.from = from; c.from < to; c.from = c.to) {
        c.to = c.from + BATCH < to ? c.from + BATCH : to;
        MUST(cb_store_write(w->api.store, &change));
    }
    cb_buf_free(&c.sealed);
}

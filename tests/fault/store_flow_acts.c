/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What holders, terminals and administrators do besides taps: several acts one after the other.
 * What was done stays so, what was not is done when it is asked again, and the record says of each
 * what the tables do.
 */
#include "base/clock.h"
#include "broker/core/maintenance.h"
#include "broker/core/registration.h"
#include "broker/core/software.h"
#include "broker/core/stock.h"
#include "broker/core/terminal_log.h"
#include "cardlink/x509/request.h"
#include "tests/fault/store_flows.h"

#define MUST(call) assert_int_equal(call, CB_OK)

static const uint8_t old_certificate[] = {0x30, 0x00}, new_certificate[] = {0x30, 0x01, 0x00};

/* Of this run. */
static struct {
    cb_id code, card; /* a code, and the card that it is used for */
    cb_binding_info piv, password;
    cb_terminal desk;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_id application;
    bool again; /* all of it was asked for before */
} now;

/* What says that it was done before is as good as that it is done now. */
static cb_error unless(cb_error already, cb_error error)
{
    return error == already ? CB_OK : error;
}

typedef cb_error (*step)(store_flows *s);

static cb_error take(store_flows *s, const step *steps, size_t count)
{
    cb_error error = CB_OK;
    for (size_t i = 0; i < count && !error; i++)
        error = steps[i](s);
    return error;
}

static void ask_again(store_flows *s, const step *steps, size_t count)
{
    store_wait_for_the_disk(s);
    store_wait_for_the_lane(s);
    now.again = true;
    MUST(take(s, steps, count));
    MUST(take(s, steps, count));
    now.again = false;
    store_closes_whole(s);
}

/* ---- Holders ---- */

static void binding_of(const cb_binding_info *info, uint64_t sequence, cb_bytes certificate,
                       cb_buf *out)
{
    cb_binding_info of = *info;
    of.sequence = sequence;
    of.keys.key[0].data[1] = (uint8_t)sequence;
    if (certificate.len > 0)
        of.keys.key[0].certificate = cb_sha256(certificate);
    cb_buf_init(out, CB_BINDING_MAX);
    make_binding_of(&of, out);
}

static void add_active(store_flows *s, const cb_binding_info *info, cb_bytes certificate)
{
    cb_buf binding;
    binding_of(info, 1, certificate, &binding);
    MUST(cb_card_add(s->w.store, "test", cb_buf_bytes(&binding), certificate, NULL));
    MUST(cb_card_change(s->w.store, "test", &info->card, CB_CARD_ACTIVATE, NULL, NULL));
    cb_buf_free(&binding);
}

static cb_error use_code(store_flows *s)
{
    cb_card card;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_registration_replaced other = {.card = {{0}}};
    cb_binding_info info = {.card = now.card,
                            .holder = s->w.holder.id,
                            .profile = CB_PROFILE_SCP03,
                            .level = CB_LEVEL_POSSESSION};
    cb_card_init(&card);
    cb_error error = cb_registration_sequence(s->w.store, &now.code, &info.sequence);
    make_binding_of(&info, &binding);
    cb_registration_use use = {.code = now.code,
                               .tap = cb_id_new(),
                               .terminal = s->w.terminal.id,
                               .binding = cb_buf_bytes(&binding)};
    if (!error)
        error = cb_registration_use_code(s->w.store, &use, &card, &other);
    if (!error && card.state != CB_CARD_ACTIVE)
        error = CB_ERROR_COUNT;
    cb_affected_free(&other.affected);
    cb_card_free(&card);
    cb_buf_free(&binding);
    return error;
}

static cb_error has_binding(store_flows *s, const cb_id *id, const cb_buf *binding, bool *has)
{
    cb_card card;
    cb_card_init(&card);
    cb_error error = cb_card_get(s->w.store, id, &card);
    *has = !error && cb_bytes_same(cb_buf_bytes(&card.binding), cb_buf_bytes(binding));
    cb_card_free(&card);
    return error;
}

static cb_error change_password(store_flows *s)
{
    bool changed = false;
    cb_buf before, binding;
    cb_intent_request request = intent_of(&s->w);
    request.context.terminal = now.desk.id;
    request.card = now.password.card;
    binding_of(&now.password, 1, (cb_bytes){0}, &before);
    binding_of(&now.password, 2, (cb_bytes){0}, &binding);
    cb_digest was = cb_sha256(cb_buf_bytes(&before));
    cb_error error = has_binding(s, &request.card, &binding, &changed);
    if (!error && !changed)
        error = cb_decide_password(s->w.store, &request, &was, cb_buf_bytes(&binding));
    cb_buf_free(&before);
    cb_buf_free(&binding);
    return error;
}

static cb_error renew_card(store_flows *s)
{
    cb_card card;
    cb_buf binding;
    cb_card_init(&card);
    binding_of(&now.piv, 2, CB_BYTES_OF(new_certificate), &binding);
    cb_error error =
        unless(CB_E_EXISTS, cb_card_renew(s->w.store, "test", &now.piv.card, cb_buf_bytes(&binding),
                                          CB_BYTES_OF(new_certificate), &card));
    cb_card_free(&card);
    cb_buf_free(&binding);
    return error;
}

void store_begin_holders(void *context)
{
    store_flows *s = context;
    store_begin_calm(s);
    cb_terminal_new desk = {
        .name = "desk", .key = cb_sha256(cb_bytes_str("desk")), .passwords = true};
    MUST(cb_terminal_add(s->w.store, "test", &desk, &now.desk));
    cb_registration_row row = {.code = cb_id_new(),
                               .holder = s->w.holder.id,
                               .profiles = 1 << CB_PROFILE_SCP03,
                               .level = CB_LEVEL_POSSESSION,
                               .expires = cb_clock_wall_us() + 3600 * CB_SECOND};
    MUST(cb_registration_record(s->w.store, "test", NULL, &row));
    now.code = row.code;
    now.card = cb_id_new();
    now.piv = (cb_binding_info){
        .card = cb_id_new(),
        .holder = s->w.holder.id,
        .profile = CB_PROFILE_PIV,
        .level = CB_LEVEL_TERMINAL_PIN,
        .keys = {
            .count = 1,
            .key = {{.use = 0x9A, .kind = CB_CARD_KEY_P256, .len = CB_P256_POINT, .data = {4}}}}};
    now.password = (cb_binding_info){
        .card = cb_id_new(),
        .holder = s->w.holder.id,
        .profile = CB_PROFILE_PASSWORD,
        .level = CB_LEVEL_PASSWORD,
        .keys = {.count = 1, .key = {{.kind = CB_CARD_KEY_PASSWORD, .len = CB_SHA256_SIZE}}}};
    add_active(s, &now.piv, CB_BYTES_OF(old_certificate));
    add_active(s, &now.password, (cb_bytes){0});
}

static const step of_holders[] = {use_code, change_password, renew_card};

cb_error store_do_holders(void *context)
{
    return take(context, of_holders, sizeof of_holders / sizeof *of_holders);
}

void store_holders_are_done(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    ask_again(context, of_holders, sizeof of_holders / sizeof *of_holders);
}

/* ---- Terminals ---- */

static cb_error take_log(store_flows *s)
{
    uint8_t signature[CB_P256_SIGNATURE];
    cb_journal_entry entry = {.time = 7, .event = CB_JOURNAL_TAP_BEGUN};
    cb_journal_batch batch = {.key = CB_BYTES_OF(now.point)};
    cb_journal_head last = batch.before, head;
    cb_buf entries = CB_BUF(CB_JOURNAL_BATCH_MAX);
    cb_error error = cb_journal_put(&entry, &entries);
    batch.entries = cb_buf_bytes(&entries);
    if (!error)
        error = cb_journal_follow(batch.entries, &last);
    cb_digest digest = cb_journal_digest(&last);
    if (!error)
        error = cb_p256_sign(now.scalar, &digest, signature);
    batch.signature = CB_BYTES_OF(signature);
    if (!error)
        error = cb_terminal_log_take(s->w.store, &now.desk.id, &now.desk.key, &batch, &head);
    if (!error && !cb_journal_same(&head, &last))
        error = CB_ERROR_COUNT;
    cb_buf_free(&entries);
    return error;
}

static cb_error allow_program(store_flows *s)
{
    cb_software_entry entry;
    cb_digest program = cb_sha256(cb_bytes_str("program"));
    cb_software_new fresh = {.version = "1.0", .program = &program};
    return unless(CB_E_EXISTS, cb_software_add(s->w.store, "test", &fresh, &entry));
}

static cb_error make_maintainer(store_flows *s)
{
    cb_maintainer made;
    return unless(CB_E_EXISTS, cb_maintainer_add(s->w.store, "test", &s->w.holder.id, NULL, &made));
}

static cb_error maintain(store_flows *s)
{
    int64_t until;
    cb_terminal desk;
    cb_intent_request request = intent_of(&s->w);
    request.context.purpose = CB_TAP_MAINTENANCE;
    request.context.terminal = now.desk.id;
    request.context.service[0] = 0;
    request.context.level = CB_LEVEL_PIN;
    request.reached = CB_LEVEL_PIN;
    request.counter = ++s->counter;
    cb_error error = unless(CB_E_STATE, cb_decide_maintenance(s->w.store, &request, "update",
                                                              3600 * CB_SECOND, &until));
    if (!error)
        error = cb_terminal_get(s->w.store, &now.desk.id, &desk);
    return !error && desk.state != CB_TERMINAL_MAINTENANCE ? CB_ERROR_COUNT : error;
}

void store_begin_terminals(void *context)
{
    store_flows *s = context;
    cb_buf key = CB_BUF(256);
    store_begin_calm(s);
    MUST(cb_p256_generate(now.scalar, now.point));
    cb_x509_put_key(&key, now.point);
    cb_terminal_new desk = {.name = "desk", .key = cb_sha256(cb_buf_bytes(&key))};
    MUST(cb_terminal_add(s->w.store, "test", &desk, &now.desk));
    cb_buf_free(&key);
}

static const step of_terminals[] = {take_log, allow_program, make_maintainer, maintain};

cb_error store_do_terminals(void *context)
{
    return take(context, of_terminals, sizeof of_terminals / sizeof *of_terminals);
}

void store_terminals_are_done(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    ask_again(context, of_terminals, sizeof of_terminals / sizeof *of_terminals);
}

/* ---- Stock and applications ---- */

static cb_error move_stock(store_flows *s, cb_card_act act)
{
    static const char *const serials[] = {"1001", "1002"};
    cb_stock_outcome out = {0};
    const cb_stock_list list = {.manufacturer = "maker",
                                .name = act ? "delivery" : "batch",
                                .serials = serials,
                                .count = 2,
                                .first = 1,
                                .last = act == CB_CARD_RECEIVE};
    cb_error error = act ? cb_stock_act(s->w.store, "test", act, &list, &out)
                         : cb_stock_enter(s->w.store, "test", &list, &out);
    /* What was received before and is sent once more does not fit, and is said not to. */
    return !error && out.mismatches > 0 && !now.again ? CB_ERROR_COUNT : error;
}

static cb_error enter_stock(store_flows *s) { return move_stock(s, 0); }
static cb_error send_stock(store_flows *s) { return move_stock(s, CB_CARD_SEND); }
static cb_error receive_stock(store_flows *s) { return move_stock(s, CB_CARD_RECEIVE); }

static cb_error apply(store_flows *s)
{
    cb_application made;
    const cb_application_new fresh = {.id = now.application,
                                      .holder = s->w.holder.id,
                                      .profile = CB_PROFILE_NATIVE,
                                      .reason = "first"};
    return unless(CB_E_EXISTS, cb_application_enter(s->w.store, "test", &fresh, &made));
}

static cb_error approve(store_flows *s)
{
    cb_application made;
    cb_error error = unless(
        CB_E_STATE, cb_application_approve(s->w.store, "another", &now.application, NULL, &made));
    if (!error)
        error = cb_application_get(s->w.store, &now.application, &made);
    return !error && made.state != CB_APPLICATION_APPROVED ? CB_ERROR_COUNT : error;
}

void store_begin_stock(void *context)
{
    store_begin_calm(context);
    now.application = cb_id_new();
}

static const step of_stock[] = {enter_stock, send_stock, receive_stock, apply, approve};

cb_error store_do_stock(void *context)
{
    return take(context, of_stock, sizeof of_stock / sizeof *of_stock);
}

void store_stock_is_done(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    ask_again(context, of_stock, sizeof of_stock / sizeof *of_stock);
}

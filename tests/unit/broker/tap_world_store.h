/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The store's part of tap_world.h, which includes it after what it needs.
 */
#ifndef CB_TESTS_UNIT_BROKER_TAP_WORLD_STORE_H
#define CB_TESTS_UNIT_BROKER_TAP_WORLD_STORE_H

/* ---- The store ---- */

cb_error cb_card_status(const cb_card *card, cb_certificate_status status, void *context)
{
    (void)card, (void)status, (void)context;
    return CB_OK;
}

cb_error cb_card_certificates_first_end(const cb_card *card, int64_t *end)
{
    (void)card;
    *end = certificate_ends;
    return CB_OK;
}

cb_error cb_service_get(cb_store *store, const char *name, cb_service *out)
{
    (void)store;
    if (strcmp(name, "tax") != 0)
        return CB_E_SERVICE_UNKNOWN;
    strcpy(out->name, name);
    out->level = service_level;
    return CB_OK;
}

void cb_service_init(cb_service *service)
{
    *service = (cb_service){.config = CB_BUF(CB_SERVICE_CONFIG_MAX)};
}

void cb_service_free(cb_service *service)
{
    cb_buf_free(&service->config);
}

void cb_card_init(cb_card *card)
{
    *card = (cb_card){.binding = CB_BUF(CB_BINDING_MAX)};
}

void cb_card_free(cb_card *card)
{
    cb_buf_free(&card->binding);
}

cb_error cb_software_admit(cb_store *store, const cb_id *terminal)
{
    (void)store, (void)terminal;
    return terminal_software;
}

cb_error cb_act_check(const char *actor, const char *reason)
{
    assert_string_equal(actor, "maintainer");
    return reason && strchr(reason, ' ') ? CB_E_ARGUMENT : CB_OK;
}

cb_error cb_decide_maintenance(cb_store *store, const cb_intent_request *request,
                               const char *reason, int64_t time, int64_t *until)
{
    (void)store, (void)request, (void)reason, (void)time;
    *until = 77;
    return step("maintenance");
}

cb_error cb_service_takes(const cb_service *service, const cb_terminal *terminal)
{
    (void)service, (void)terminal;
    return terminal_kind;
}

cb_error cb_service_takes_pin(const cb_service *service, const cb_terminal *terminal,
                              bool seen, bool said)
{
    (void)service, (void)terminal;
    return pad_needed && seen && !said ? CB_E_PIN_PAD : CB_OK;
}

cb_error cb_terminal_get(cb_store *store, const cb_id *id, cb_terminal *out)
{
    (void)store;
    *out = (cb_terminal){.id = *id, .state = terminal_state, .rate = terminal_rate,
                         .passwords = terminal_passwords};
    return CB_OK;
}

cb_error cb_terminal_get_vouched(cb_store *store, const cb_id *id, cb_terminal *out)
{
    cb_error error = cb_terminal_get(store, id, out);
    return error ? error : terminal_record;
}

bool cb_terminal_allows(const cb_terminal *terminal, const char *service)
{
    (void)terminal, (void)service;
    return step("allows") == CB_OK;
}

cb_error cb_decide_lookup_card(cb_store *store, const cb_id *card, cb_card *out)
{
    (void)store;
    out->id = *card;
    out->holder = (cb_id){{2}};
    out->state = CB_CARD_ACTIVE;
    out->expires = card_expires;
    return step("lookup");
}

cb_error cb_card_refusal(const cb_card *card)
{
    (void)card;
    return step("state");
}

cb_error cb_feed_head_now(cb_store *store, cb_feed_head *out)
{
    (void)store;
    *out = (cb_feed_head){.number = 1};
    return CB_OK;
}

cb_error cb_feed_since(cb_store *store, uint64_t number, cb_feed_entry *entries, size_t max,
                       size_t *count)
{
    (void)store, (void)number, (void)max;
    *count = fed ? 0 : 1;
    entries[0] = (cb_feed_entry){.number = 1};
    return CB_OK;
}

void cb_intent_grant_init(cb_intent_grant *grant)
{
    *grant = (cb_intent_grant){.service.config = CB_BUF(64), .data = CB_BUF(64)};
}

void cb_intent_grant_free(cb_intent_grant *grant)
{
    (void)grant;
}

cb_error cb_decide_intent(cb_store *store, const cb_intent_request *request, cb_intent_grant *out)
{
    (void)store, (void)out;
    assert_int_equal(request->reached, CB_LEVEL_PIN);
    assert_int_equal(request->holder.bytes[0], 2);
    intended_pin_seen = request->pin_seen;
    intended_counter = request->counter;
    return step("intent");
}

cb_error cb_decide_result(cb_store *store, const cb_result_request *request)
{
    (void)store;
    recorded = request->outcome;
    receipts_recorded = request->receipt_count;
    assert_int_equal(request->pin_seen, intended_pin_seen);
    return step(request->outcome ? "failed" : "result");
}

cb_error cb_decide_refused(cb_store *store, const cb_refusal *refusal, cb_failure_effect *effect)
{
    (void)store;
    recorded = refusal->error;
    recorded_card = refusal->card;
    recorded_claimed = refusal->claimed;
    recorded_step = refusal->step;
    recorded_pins = refusal->wrong_pins;
    recorded_counter = refusal->counter;
    recorded_heard = refusal->proof_heard;
    *effect = led_to;
    return step("refused");
}

cb_error cb_decide_wrong_pins(cb_store *store, const cb_refusal *refusal, cb_failure_effect *effect)
{
    (void)store;
    assert_int_equal(refusal->card.bytes[0], 1);
    recorded_pins = refusal->wrong_pins;
    *effect = led_to;
    return step("wrong_pins");
}

/* ---- What failed ---- */

const cb_failure_limits cb_failure_limits_default = {.slow = 1, .slow_rate = 1};

void cb_failure_effect_free(cb_failure_effect *effect) { (void)effect; }

cb_error cb_failures_get(cb_store *store, uint8_t of, const cb_id *id, cb_failure_row *out)
{
    (void)store, (void)id;
    assert_int_equal(of, CB_OF_TERMINAL);
    *out = (cb_failure_row){.counted = failed_here};
    return CB_OK;
}

bool cb_failures_slow(const cb_failure_row *of, const cb_failure_limits *limits, int64_t now)
{
    (void)now;
    return of->counted >= limits->slow;
}

cb_error cb_decide_again(cb_store *store, const cb_again_request *request)
{
    (void)store;
    assert_int_equal(request->card.bytes[0], 1);
    assert_int_equal(request->holder.bytes[0], 2);
    assert_int_equal(request->terminal.bytes[0], 7);
    assert_int_equal(cb_id_is_zero(&request->session), login_kind != CB_SESSION_RELAYED);
    return step("again");
}

cb_error cb_decide_card_end(cb_store *store, const cb_intent_request *request)
{
    (void)store;
    assert_int_equal(request->card.bytes[0], 1);
    return step("card_end");
}

static void (*while_it_is_recorded)(void);
static cb_error not_ready;

cb_error cb_decide_ready(cb_store *store)
{
    (void)store;
    return not_ready;
}

cb_error cb_decide_password(cb_store *store, const cb_intent_request *request,
                            const cb_digest *before, cb_bytes binding)
{
    (void)store, (void)request, (void)before;
    assert_true(cb_bytes_same(binding, cb_bytes_str("the new one")));
    if (while_it_is_recorded)
        while_it_is_recorded();
    return step("password");
}

cb_error cb_decide_pin(cb_store *store, const cb_intent_request *request)
{
    (void)store, (void)request;
    return step("pin");
}

/* tap_register_test.c has it. */
cb_error cb_tap_register_end(cb_taps *of, const cb_tap_entry *entry, cb_bytes answers,
                             cb_tap_outcome *outcome)
{
    (void)of, (void)entry, (void)answers, (void)outcome;
    fail();
    return CB_E_INTERNAL;
}

/* And this tap_renew_test.c. */
cb_error cb_tap_renew_end(cb_taps *of, const cb_tap_entry *entry, cb_bytes answers,
                          cb_tap_outcome *outcome)
{
    (void)of, (void)entry, (void)answers, (void)outcome;
    fail();
    return CB_E_INTERNAL;
}

#endif

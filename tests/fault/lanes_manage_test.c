/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What managers ask hsmd for, while each allocation and each call for a socket fails in turn, on
 * whichever side it is made. The answer is whole, or an error that is the server's; what was asked
 * for is then done or not, in what hsmd remembers; asked again, it is done, and nobody else has it.
 */
#include "tests/fault/lanes_world.h"

#include "base/clock.h"
#include "cardlink/password/password.h"
#include "hsm/generations.h"
#include "hsm/guesses.h"
#include "hsm/pin_reset.h"

static void prepare(void *context) { lanes_connect_anew(context); }

static void lanes_live(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    lanes_are_alive(context);
}

static cb_hsm *hsm_of(void *context) { return ((lanes *)context)->front.hsm; }

/* ---- Cards ---- */

static cb_id card;
static cb_buf certificate; /* of a card that nobody has yet */

static void a_new_card(void *context)
{
    lanes *l = context;
    cb_vcard_state state;
    cb_issue_order order = {&l->w.kloc,
                            1,
                            cb_bytes_str(WORLD_PIN),
                            cb_bytes_str(WORLD_CODE),
                            false,
                            cb_issue_days_from_today(5)};
    lanes_connect_anew(l);
    certificate = CB_BUF(CB_CVC_MAX);
    MUST(cb_issue_card(&l->w.cards, &l->w.batch, &order, &state, &certificate));
    card = state.card;
}

static cb_error bind_to(lanes *l, const cb_id *holder)
{
    cb_binding_info info = {.level = 0};
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_error error =
        cb_hsm_bind(l->front.hsm, cb_buf_bytes(&certificate), holder, CB_LEVEL_PIN, 1, &binding);
    alloc_faults_pause(true);
    if (!error && (fake_vault.binding_check(NULL, cb_buf_bytes(&binding), &info) ||
                   !cb_id_same(&info.holder, holder) || !cb_id_same(&info.card, &card)))
        error = LANES_WRONG;
    alloc_faults_pause(false);
    cb_buf_free(&binding);
    return error;
}

static cb_error bind_card(void *context)
{
    lanes *l = context;
    return lanes_judge(bind_to(l, &l->front.holder));
}

static bool is_remembered(const cb_memo *memo, const cb_id *id)
{
    cb_digest value;
    return cb_memo_get(memo, id, &value) == CB_OK;
}

static void it_is_bound_once(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    cb_id somebody = cb_id_new();
    (void)struck;
    lanes_are_alive(l);
    assert_true(result || is_remembered(l->bound, &card));
    MUST(bind_card(l));
    assert_int_equal(bind_to(l, &somebody), CB_E_CARD_BOUND);
    cb_buf_free(&certificate);
}

static void a_suspended_card(void *context)
{
    lanes *l = context;
    lanes_connect_anew(l);
    lanes_feed(l, CB_FEED_CARD_SUSPENDED, &l->w.first.card);
    assert_int_equal(lanes_tap(l, NULL), CB_E_CARD_SUSPENDED);
    lanes_feed(l, CB_FEED_CARD_RESUMED, &l->w.first.card);
}

static cb_error resume(void *context)
{
    lanes *l = context;
    return lanes_judge(cb_hsm_resume(l->front.hsm, &l->w.first.card));
}

static void it_is_resumed(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    (void)struck;
    lanes_are_alive(l);
    cb_error tap = lanes_tap(l, NULL);
    assert_true(tap == CB_OK || (tap == CB_E_CARD_SUSPENDED && result));
    MUST(resume(l));
    MUST(lanes_tap(l, NULL));
}

static cb_error permit(void *context)
{
    lanes *l = context;
    return lanes_judge(cb_hsm_pin_reset(l->front.hsm, &l->w.first.card, &l->front.terminal, 60));
}

/* Once, however often it was given. */
static void it_is_permitted(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    const cb_id *whose = &l->w.first.card;
    (void)struck;
    lanes_are_alive(l);
    cb_error taken = cb_pin_reset_take(l->guesses, whose, &l->front.terminal, cb_clock_wall_us());
    assert_true(taken == CB_OK || (taken == CB_E_PIN_RESET_REFUSED && result));
    MUST(permit(l));
    MUST(cb_pin_reset_take(l->guesses, whose, &l->front.terminal, cb_clock_wall_us()));
    assert_int_equal(cb_pin_reset_take(l->guesses, whose, &l->front.terminal, cb_clock_wall_us()),
                     CB_E_PIN_RESET_REFUSED);
}

/* ---- Codes for cards of holders' own ---- */

static cb_id code;
static cb_registration_grant grant;

static void a_new_code(void *context)
{
    lanes *l = context;
    lanes_connect_anew(l);
    code = cb_id_random();
    grant = (cb_registration_grant){.holder = l->front.holder,
                                    .until = (cb_clock_wall_us() / CB_SECOND + 60) * CB_SECOND,
                                    .profiles = 1 << CB_PROFILE_PIV,
                                    .level = CB_LEVEL_TERMINAL_PIN};
}

static void an_allowed_code(void *context)
{
    a_new_code(context);
    MUST(cb_hsm_registration_allow(hsm_of(context), &code, &grant));
    lanes_connect_anew(context);
}

static cb_error allow(void *context)
{
    return lanes_judge(cb_hsm_registration_allow(hsm_of(context), &code, &grant));
}

static cb_error read_code(void *context)
{
    cb_registration_grant is;
    cb_error error = cb_hsm_registration_state(hsm_of(context), &code, &is);
    if (!error && (!cb_id_same(&is.holder, &grant.holder) || is.until != grant.until ||
                   is.profiles != grant.profiles || is.level != grant.level ||
                   is.state != CB_REGISTRATION_OPEN || is.wrong != 0))
        error = LANES_WRONG;
    return lanes_judge(error);
}

static void it_is_allowed(void *context, cb_error result, bool struck)
{
    cb_registration_grant is;
    (void)struck;
    lanes_are_alive(context);
    cb_error there = cb_hsm_registration_state(hsm_of(context), &code, &is);
    assert_true(there == CB_OK || (there == CB_E_NOT_FOUND && result));
    assert_int_equal(cb_hsm_registration_allow(hsm_of(context), &code, &grant),
                     there ? CB_OK : CB_E_EXISTS);
    MUST(read_code(context));
}

static cb_error withdraw(void *context)
{
    return lanes_judge(cb_hsm_registration_withdraw(hsm_of(context), &code));
}

static void it_is_withdrawn(void *context, cb_error result, bool struck)
{
    cb_registration_grant is;
    (void)struck;
    lanes_are_alive(context);
    MUST(cb_hsm_registration_state(hsm_of(context), &code, &is));
    assert_true(is.state == CB_REGISTRATION_WITHDRAWN ||
                (is.state == CB_REGISTRATION_OPEN && result));
    MUST(withdraw(context));
    MUST(cb_hsm_registration_state(hsm_of(context), &code, &is));
    assert_int_equal(is.state, CB_REGISTRATION_WITHDRAWN);
}

/* ---- Generations ---- */

/* Nothing is retired: what never falls is set back under hsmd. */
static void nothing_retired(void *context)
{
    lanes *l = context;
    uint8_t key_id = l->w.host.key_id;
    cb_id place =
        cb_memo_place("cardbroker retired generation 2", CB_BYTES_OF((uint8_t[]){key_id}));
    MUST(cb_memo_put(l->guesses, &place, &(cb_digest){{0}}));
    lanes_connect_anew(l);
}

static uint8_t retired(const lanes *l)
{
    return cb_generations_retired(l->guesses, l->w.host.key_id, l->w.host.key_version);
}

static cb_error retire(void *context)
{
    return lanes_judge(cb_hsm_retire_generation(hsm_of(context), 1));
}

static void it_is_retired(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    (void)struck;
    lanes_are_alive(l);
    assert_true(retired(l) == 1 || (retired(l) == 0 && result));
    MUST(retire(l));
    assert_int_equal(retired(l), 1);
    nothing_retired(l);
}

static cb_error ask_to_retire(void *context)
{
    return lanes_judge(cb_hsm_may_retire_generation(hsm_of(context), 1));
}

static void it_was_asked_only(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    lanes_are_alive(context);
    assert_int_equal(retired(context), 0);
}

static cb_error begin_generation(void *context)
{
    uint32_t generation = 0;
    cb_error error = cb_hsm_new_generation(hsm_of(context), &generation);
    return lanes_judge(!error && generation != 2 ? LANES_WRONG : error);
}

/* ---- Keys ---- */

static bool is_key(const cb_sealed_info *wish, const cb_buf *sealed, const cb_buf *public_key)
{
    cb_sealed_info read;
    uint8_t point[CB_P256_POINT];
    fake_point(point);
    return fake_vault.sealed_check(NULL, cb_buf_bytes(sealed), &read) == CB_OK &&
           cb_id_same(&read.key, &wish->key) && cb_id_same(&read.holder, &wish->holder) &&
           strcmp(read.service, wish->service) == 0 && read.generation == wish->generation &&
           public_key->len == 1 + sizeof point &&
           memcmp(public_key->data + 1, point, sizeof point) == 0;
}

/* Made with a request for a certificate, or taken in. */
static cb_error get_key(lanes *l, bool made)
{
    static const uint8_t text[] = "of at most so many bytes";
    cb_sealed_info info = {.holder = l->front.holder,
                           .service = "bank",
                           .algorithm = CB_KEY_EC_P256,
                           .level = CB_LEVEL_PIN,
                           .uses = 2,
                           .sequence = 3};
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), key = CB_BUF(CB_PUBLIC_KEY_MAX), csr = CB_BUF(4096);
    cb_error error =
        made ? cb_hsm_generate(l->front.hsm, &info, CB_BYTES_OF(text), &sealed, &key, &csr)
             : cb_hsm_import(l->front.hsm, &info, CB_BYTES_OF(text), &sealed, &key);
    alloc_faults_pause(true);
    bool whole = error || (is_key(&info, &sealed, &key) &&
                           (!made || cb_bytes_same(cb_buf_bytes(&csr), CB_BYTES_OF(text))));
    alloc_faults_pause(false);
    cb_buf_free(&sealed);
    cb_buf_free(&key);
    cb_buf_free(&csr);
    return lanes_judge(whole ? error : LANES_WRONG);
}

static cb_error make_key(void *context) { return get_key(context, true); }
static cb_error import_key(void *context) { return get_key(context, false); }

static cb_buf receipt;

static void a_receipt(void *context)
{
    lanes *l = context;
    cb_receipt_info info = {.worker = 1, .counter = 7, .operation = CB_USE_SIGN_DIGEST};
    lanes_connect_anew(l);
    receipt = CB_BUF(CB_RECEIPT_MAX);
    MUST(fake_vault.receipt_make(NULL, &info, &receipt));
}

static cb_error check_receipt(void *context)
{
    return lanes_judge(cb_hsm_receipt_check(hsm_of(context), cb_buf_bytes(&receipt)));
}

/* And one that is none stays none. */
static void it_is_genuine(void *context, cb_error result, bool struck)
{
    (void)result, (void)struck;
    lanes_are_alive(context);
    MUST(check_receipt(context));
    receipt.data[receipt.len / 2] ^= 1;
    assert_int_equal(cb_hsm_receipt_check(hsm_of(context), cb_buf_bytes(&receipt)),
                     CB_E_HSM_RECORD);
    cb_buf_free(&receipt);
}

static cb_error check_forged(void *context)
{
    receipt.data[receipt.len / 2] ^= 1;
    cb_error error = cb_hsm_receipt_check(hsm_of(context), cb_buf_bytes(&receipt));
    receipt.data[receipt.len / 2] ^= 1;
    return error == CB_E_HSM_RECORD ? CB_OK : error == CB_OK ? LANES_WRONG : lanes_judge(error);
}

static cb_error read_state(void *context)
{
    lanes *l = context;
    cb_hsm_state state;
    cb_error error = cb_hsm_status(l->front.hsm, &state);
    if (!error &&
        (state.workers != FAKE_WORKERS || state.generation != 1 || state.objects != 7 ||
         state.feed_number != l->front.feed.number || state.log_size != l->front.log.size))
        error = LANES_WRONG;
    return lanes_judge(error);
}

/* ---- Passwords ---- */

static cb_id name;

static void a_name(void *context)
{
    lanes_connect_anew(context);
    name = cb_password_id("hana");
}

static cb_error read_salt(void *context)
{
    uint8_t salt[CB_PASSWORD_SALT], right[CB_PASSWORD_SALT];
    cb_error error = cb_hsm_password_salt(hsm_of(context), &name, salt);
    alloc_faults_pause(true);
    MUST(fake_vault.password_salt(NULL, &name, right));
    alloc_faults_pause(false);
    return lanes_judge(!error && memcmp(salt, right, sizeof salt) != 0 ? LANES_WRONG : error);
}

static bool is_let_try(const lanes *l)
{
    bool allowed = false;
    MUST(cb_guesses_take(l->guesses, &name, &name, cb_clock_wall_us(), &allowed));
    return allowed;
}

static void wrong_guesses(void *context)
{
    lanes *l = context;
    lanes_connect_anew(l);
    name = cb_id_random();
    for (int i = 0; i < CB_GUESSES_FREE; i++)
        assert_true(is_let_try(l));
    assert_false(is_let_try(l));
}

static cb_error forgive(void *context)
{
    return lanes_judge(cb_hsm_password_forgive(hsm_of(context), &name));
}

static void they_are_forgiven(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    (void)struck;
    lanes_are_alive(l);
    assert_true(is_let_try(l) || result);
    MUST(forgive(l));
    assert_true(is_let_try(l));
}

static const fault_flow flow[] = {
    {"a card bound", a_new_card, bind_card, it_is_bound_once},
    {"a suspension lifted", a_suspended_card, resume, it_is_resumed},
    {"a new PIN permitted", prepare, permit, it_is_permitted},
    {"a code allowed", a_new_code, allow, it_is_allowed},
    {"a code withdrawn", an_allowed_code, withdraw, it_is_withdrawn},
    {"what is known of a code", an_allowed_code, read_code, lanes_live},
    {"a generation of cards retired", nothing_retired, retire, it_is_retired},
    {"whether one can be", nothing_retired, ask_to_retire, it_was_asked_only},
    {"a generation of keys begun", prepare, begin_generation, lanes_live},
    {"a key made with a request", prepare, make_key, lanes_live},
    {"a key taken in", prepare, import_key, lanes_live},
    {"a receipt", a_receipt, check_receipt, it_is_genuine},
    {"a receipt that is none", a_receipt, check_forged, it_is_genuine},
    {"the state", prepare, read_state, lanes_live},
    {"the salt of a password", a_name, read_salt, lanes_live},
    {"wrong guesses forgiven", wrong_guesses, forgive, they_are_forgiven},
};

int main(void)
{
    return lanes_main(&(lanes_program){
        .flow = flow, .count = sizeof flow / sizeof *flow, .runs = 20, .moves = true});
}

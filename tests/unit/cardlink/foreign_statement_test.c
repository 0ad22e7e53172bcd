/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What cards of others sign in a tap, against what another implementation makes of the
 * documentation (foreign_statement_vectors.py); and that it is different for whatever differs.
 */
#include "cardlink/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/text.h"
#include "foreign_statement_vectors.h"

enum {
    STATEMENTS = sizeof vector_statements / sizeof *vector_statements,
    CARDS = sizeof vector_cards / sizeof *vector_cards
};

static void fill(const char *text, void *out, size_t len)
{
    cb_buf bytes = CB_BUF(256);
    assert_int_equal(cb_unhex(cb_bytes_str(text), &bytes), CB_OK);
    assert_int_equal(bytes.len, len);
    memcpy(out, bytes.data, len);
    cb_buf_free(&bytes);
}

static void make(size_t i, uint8_t out[CB_FOREIGN_STATEMENT])
{
    cb_profile_host host = {0};
    cb_buf certificate = CB_BUF(64);
    cb_id card;
    uint8_t nonce[CB_FOREIGN_NONCE];
    cb_tap_context context = {.profile = vector_statements[i].profile,
                              .purpose = vector_statements[i].purpose,
                              .level = vector_statements[i].level};
    strcpy(context.service, vector_statements[i].service);
    fill(vector_statements[i].tap, context.tap.bytes, CB_ID_SIZE);
    fill(vector_statements[i].terminal, context.terminal.bytes, CB_ID_SIZE);
    fill(vector_statements[i].text, context.text.bytes, sizeof context.text.bytes);
    fill(vector_statements[i].nonce, nonce, sizeof nonce);
    fill(vector_statements[i].card, card.bytes, CB_ID_SIZE);
    assert_int_equal(cb_unhex(cb_bytes_str(vector_statements[i].certificate), &certificate), CB_OK);
    host.signer_certificate = cb_buf_bytes(&certificate);
    cb_foreign_statement(&host, &context, &card, vector_statements[i].use, nonce, out);
    cb_buf_free(&certificate);
}

static void a_statement_is_what_the_documentation_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < STATEMENTS; i++) {
        uint8_t is[CB_FOREIGN_STATEMENT], wanted[CB_FOREIGN_STATEMENT];
        print_message("%s\n", vector_statements[i].changed);
        make(i, is);
        fill(vector_statements[i].statement, wanted, sizeof wanted);
        assert_memory_equal(is, wanted, sizeof wanted);
    }
}

/* And nothing else: a part has its place, of its length, so that none can pass for another. */
static void each_thing_that_it_is_about_changes_its_own_part(void **state)
{
    uint8_t first[CB_FOREIGN_STATEMENT];
    (void)state;
    make(0, first);
    for (size_t i = 1; i < STATEMENTS; i++) {
        uint8_t is[CB_FOREIGN_STATEMENT];
        size_t changed = 0;
        make(i, is);
        for (size_t at = 0; at < sizeof is; at++) {
            bool here = (at >= vector_statements[i].from && at < vector_statements[i].to) ||
                        (at >= vector_statements[i].more_from && at < vector_statements[i].more_to);
            if (is[at] != first[at] && !here)
                fail_msg("%s changes byte %zu", vector_statements[i].changed, at);
            changed += is[at] != first[at];
        }
        if (changed == 0)
            fail_msg("%s changes nothing", vector_statements[i].changed);
    }
}

static void its_digest_is_what_is_signed(void **state)
{
    static const struct {
        uint8_t kind;
        bool sha384;
    } kinds[] = {
        {CB_CARD_KEY_P256, false}, {CB_CARD_KEY_P384, true}, {CB_CARD_KEY_RSA_2048, false}};
    (void)state;
    for (size_t i = 0; i < STATEMENTS; i++) {
        for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) {
            uint8_t statement[CB_FOREIGN_STATEMENT], wanted[CB_CARD_DIGEST_MAX];
            size_t len = kinds[j].sha384 ? 48 : 32;
            cb_card_signature signature = {0};
            make(i, statement);
            fill(kinds[j].sha384 ? vector_statements[i].sha384 : vector_statements[i].sha256,
                 wanted, len);
            assert_int_equal(cb_card_digest(kinds[j].kind, CB_BYTES_OF(statement), &signature),
                             CB_OK);
            assert_int_equal(signature.digest_len, len);
            assert_memory_equal(signature.digest, wanted, len);
        }
    }
}

static void a_card_is_who_its_profile_and_its_own_words_make_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < CARDS; i++) {
        uint8_t wanted[CB_ID_SIZE];
        cb_buf distinguishing = CB_BUF(64);
        assert_int_equal(cb_unhex(cb_bytes_str(vector_cards[i].distinguishing), &distinguishing),
                         CB_OK);
        cb_id card = cb_foreign_card_id(vector_cards[i].profile, cb_buf_bytes(&distinguishing));
        fill(vector_cards[i].card, wanted, sizeof wanted);
        assert_memory_equal(card.bytes, wanted, sizeof wanted);
        cb_buf_free(&distinguishing);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_statement_is_what_the_documentation_says),
        cmocka_unit_test(each_thing_that_it_is_about_changes_its_own_part),
        cmocka_unit_test(its_digest_is_what_is_signed),
        cmocka_unit_test(a_card_is_who_its_profile_and_its_own_words_make_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

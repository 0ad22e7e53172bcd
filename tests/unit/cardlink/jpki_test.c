/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The JPKI application of the virtual card, command by command and in wrong orders; and its maker.
 */
#include "cardlink/card/jpki/application.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "base/text.h"
#include "cardlink/card/card.h"
#include "cardlink/issuer/jpki.h"
#include "cardlink/script.h"
#include "cardlink/x509/path.h"

#define SELECT "00A4040C0AD392F000260100000001"
#define AUTH_PIN_FILE "00A4020C020018"
#define AUTH_KEY_FILE "00A4020C020017"
#define SIGN_PIN_FILE "00A4020C02001B"
#define SIGN_KEY_FILE "00A4020C02001A"
#define TRIES "00200080"
#define RIGHT "002000800431323334"
#define WRONG "002000800430303030"
#define SIGN_RIGHT "0020008006414243313233"
#define SIGN_WRONG "0020008006414243313234"
/* DigestInfo of SHA-256 over nothing */
#define DIGEST_INFO                                                                                \
    "3031300d060960864801650304020105000420e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca49599" \
    "1b7852b855"
#define SIGN "802A008033" DIGEST_INFO "00"

static cb_vjpki_state made; /* signed by themselves */
static cb_buf answer = {.max = 512};
static cb_vcard *card;
static bool disk_fails;
static unsigned saves;

static cb_error save(void *context, const cb_vcard *which)
{
    (void)context;
    (void)which;
    saves++;
    return disk_fails ? CB_E_IO : CB_OK;
}

static cb_vcard *card_of(const cb_vjpki_state *state)
{
    static const cb_vcard_store store = {NULL, save};
    cb_card_content content = {0};
    cb_vcard *out = NULL;
    cb_buf bytes = CB_BUF(CB_CARD_STATE_MAX);
    cb_vjpki_state_put(&bytes, state);
    assert_int_equal(cb_card_content_set_atr(&content, CB_BYTES_OF(cb_vjpki_atr)), CB_OK);
    assert_int_equal(cb_card_content_add(&content, &cb_applet_jpki, cb_buf_bytes(&bytes)), CB_OK);
    assert_int_equal(cb_vcard_of(&content, &store, &out), CB_OK);
    cb_buf_free(&bytes);
    return out;
}

static int make_state(void **state)
{
    const cb_vjpki_secrets secrets = {{"1234", "ABC123"}};
    (void)state;
    return cb_vjpki_make(NULL, "Hanako Yamada", 5, &secrets, &made) == CB_OK ? 0 : -1;
}

static int setup(void **state)
{
    (void)state;
    disk_fails = false;
    saves = 0;
    card = card_of(&made);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cb_vcard_close(&card);
    cb_buf_free(&answer);
    return 0;
}

static uint16_t send(const char *hex)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    assert_int_equal(cb_unhex(cb_bytes_str(hex), &command), CB_OK);
    cb_buf_reset(&answer);
    cb_vcard_process(card, cb_buf_bytes(&command), &answer);
    cb_buf_free(&command);
    return cb_answer_status(cb_buf_bytes(&answer));
}

static const cb_vjpki_state *now(void)
{
    return &((cb_vjpki_application *)cb_vcard_applet(card, &cb_applet_jpki))->state;
}

static void open_application(void) { assert_int_equal(send(SELECT), 0x9000); }

static void verify_authentication(void)
{
    assert_int_equal(send(AUTH_PIN_FILE), 0x9000);
    assert_int_equal(send(RIGHT), 0x9000);
}

static void nothing_answers_before_the_application_is_selected(void **state)
{
    static const char *const commands[] = {AUTH_PIN_FILE, "00B0000000", TRIES,
                                           RIGHT,         SIGN,         "002401800431323334"};
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        assert_int_equal(send(commands[i]), 0x6985);
    assert_int_equal(now()->of[0].tries, 3);
    assert_int_equal(send("00A4040C0AD392F000260100000002"), 0x6A82);
    assert_int_equal(send("00A4040C05D392F00026"), 0x6A82); /* part of the name */
    assert_int_equal(send(SELECT), 0x9000);
    assert_int_equal(answer.len, 2);
    assert_int_equal(send("00A404000AD392F00026010000000100"), 0x9000);
    assert_int_equal(answer.data[0], 0x6F); /* a template was asked for */
}

static void files_are_known_by_their_numbers(void **state)
{
    static const uint16_t known[] = {0x0001, 0x0002, 0x0006, 0x000A, 0x000B,
                                     0x0017, 0x0018, 0x001A, 0x001B};
    char command[32];
    (void)state;
    open_application();
    for (unsigned id = 0; id < 0x100; id++) {
        bool is = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            is = is || known[i] == id;
        snprintf(command, sizeof command, "00A4020C02%04X", id);
        assert_int_equal(send(command), is ? 0x9000 : 0x6A82);
    }
    assert_int_equal(send("00A4020C023F00"), 0x6A82);
    assert_int_equal(send("00A4020C0100"), 0x6700);
    assert_int_equal(send("00A4020C03001800"), 0x6700);
    assert_int_equal(send("00A4000C020018"), 0x6A86);
    assert_int_equal(send("00A40203020018"), 0x6A86);
}

static void the_token_is_an_individual_number_cards(void **state)
{
    (void)state;
    open_application();
    assert_int_equal(send("00B0000020"), 0x6986); /* no file yet */
    assert_int_equal(send("00A4020C020006"), 0x9000);
    assert_int_equal(send("00B0000020"), 0x9000);
    assert_int_equal(answer.len, 34);
    assert_memory_equal(answer.data, "JPKIAPICCTOKEN2                 ", 32);
    assert_int_equal(send("00B0000000"), 0x9000); /* all there is */
    assert_int_equal(answer.len, 34);
    assert_int_equal(send("00B0001F20"), 0x9000); /* up to its end */
    assert_int_equal(answer.len, 3);
    assert_int_equal(send("00B0002001"), 0x6B00);
    assert_int_equal(send("00B0860001"), 0x6A86);
    assert_int_equal(send("00B00000010000"), 0x6700);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(send(i ? AUTH_KEY_FILE : AUTH_PIN_FILE), 0x9000);
        assert_int_equal(send("00B0000020"), 0x6986); /* nothing to read */
    }
}

/* As clients read: the length from the first four bytes, then part by part. */
static void read_certificate(const char *file, cb_buf *out)
{
    char command[16];
    assert_int_equal(send(file), 0x9000);
    assert_int_equal(send("00B0000004"), 0x9000);
    assert_int_equal(answer.len, 6);
    size_t size = (size_t)(answer.data[2] << 8 | answer.data[3]) + 4;
    while (out->len < size) {
        size_t want = size - out->len < 256 ? size - out->len : 256;
        snprintf(command, sizeof command, "00B0%04zX%02zX", out->len, want & 0xFF);
        assert_int_equal(send(command), 0x9000);
        assert_int_equal(answer.len, want + 2);
        cb_buf_put(out, cb_answer_data(cb_buf_bytes(&answer)));
    }
}

static void certificates_are_read_as_clients_do(void **state)
{
    static const struct {
        const char *file;
        const cb_vjpki_blob *blob;
    } row[] = {{"00A4020C02000A", &made.of[0].certificate},
               {"00A4020C02000B", &made.of[0].authority},
               {"00A4020C020002", &made.of[1].authority}};
    (void)state;
    open_application();
    for (size_t i = 0; i < 3; i++) {
        cb_buf read = CB_BUF(CB_VJPKI_CERTIFICATE_MAX);
        read_certificate(row[i].file, &read);
        assert_true(cb_bytes_same(cb_buf_bytes(&read), cb_vjpki_blob_bytes(row[i].blob)));
        cb_buf_free(&read);
    }
}

static void the_holders_name_is_read_after_the_signature_pin_only(void **state)
{
    cb_buf read = CB_BUF(CB_VJPKI_CERTIFICATE_MAX);
    (void)state;
    open_application();
    verify_authentication();
    assert_int_equal(send("00A4020C020001"), 0x9000);
    assert_int_equal(send("00B0000004"), 0x6982);
    assert_int_equal(send(SIGN_PIN_FILE), 0x9000);
    assert_int_equal(send(SIGN_RIGHT), 0x9000);
    read_certificate("00A4020C020001", &read);
    assert_true(cb_bytes_same(cb_buf_bytes(&read), cb_vjpki_blob_bytes(&made.of[1].certificate)));
    cb_buf_free(&read);
}

static void tries_are_counted_down_and_given_back(void **state)
{
    (void)state;
    open_application();
    assert_int_equal(send(TRIES), 0x6986);
    assert_int_equal(send(AUTH_PIN_FILE), 0x9000);
    assert_int_equal(send(TRIES), 0x63C3);
    assert_int_equal(send(WRONG), 0x63C2);
    assert_int_equal(send("0020008003313233"), 0x6700); /* of no length that it could have */
    assert_int_equal(send("00200080053132333435"), 0x6700);
    assert_int_equal(send("002000810431323334"), 0x6A86);
    assert_int_equal(send("002001800431323334"), 0x6A86);
    assert_int_equal(send(TRIES), 0x63C2);
    assert_int_equal(send(RIGHT), 0x9000);
    assert_int_equal(send(TRIES), 0x63C3); /* verified or not, that is what it says */
    assert_int_equal(send(WRONG), 0x63C2);
    assert_int_equal(send(WRONG), 0x63C1);
    assert_int_equal(send(WRONG), 0x63C0);
    assert_int_equal(send(RIGHT), 0x6983);
    assert_int_equal(send(TRIES), 0x63C0);
    cb_vcard_reset(card);
    open_application();
    assert_int_equal(send(AUTH_PIN_FILE), 0x9000);
    assert_int_equal(send(RIGHT), 0x6983);
    assert_int_equal(send(SIGN_PIN_FILE), 0x9000); /* the other PIN has tries of its own */
    for (unsigned left = 5; left > 0; left--)
        assert_int_equal(send(SIGN_WRONG), 0x63C0 | (left - 1));
    assert_int_equal(send(SIGN_RIGHT), 0x6983);
}

static void check_signature(const cb_vcard_key *key)
{
    uint8_t plain[CB_VCARD_RSA_SIZE];
    cb_buf expected = CB_BUF(64);
    RsaKey rsa;
    word32 at = 0;
    assert_int_equal(answer.len, CB_VCARD_RSA_SIZE + 2);
    assert_int_equal(cb_unhex(cb_bytes_str(DIGEST_INFO), &expected), CB_OK);
    assert_int_equal(wc_InitRsaKey(&rsa, NULL), 0);
    assert_int_equal(wc_RsaPrivateKeyDecode(key->secret, &at, &rsa, key->len), 0);
    assert_int_equal(wc_RsaSSL_Verify(answer.data, CB_VCARD_RSA_SIZE, plain, sizeof plain, &rsa),
                     expected.len);
    assert_memory_equal(plain, expected.data, expected.len);
    wc_FreeRsaKey(&rsa);
    cb_buf_free(&expected);
}

static void a_key_signs_after_its_own_pin(void **state)
{
    (void)state;
    open_application();
    assert_int_equal(send(SIGN), 0x6986);
    assert_int_equal(send(AUTH_KEY_FILE), 0x9000);
    assert_int_equal(send(SIGN), 0x6982);
    verify_authentication();
    assert_int_equal(send(SIGN), 0x6986); /* the PIN's file is no key */
    assert_int_equal(send(SIGN_KEY_FILE), 0x9000);
    assert_int_equal(send(SIGN), 0x6982); /* another PIN's key */
    assert_int_equal(send(AUTH_KEY_FILE), 0x9000);
    assert_int_equal(send(SIGN), 0x9000);
    check_signature(&made.of[0].key);
    assert_int_equal(send(SIGN), 0x9000); /* as often as one likes */
    assert_int_equal(send("802A0080"), 0x6700);
    assert_int_equal(send("002A008033" DIGEST_INFO "00"), 0x6E00);
    assert_int_equal(send("802A9E9A33" DIGEST_INFO "00"), 0x6A86);
    assert_int_equal(send(SIGN_PIN_FILE), 0x9000);
    assert_int_equal(send(SIGN_RIGHT), 0x9000);
    assert_int_equal(send(SIGN_KEY_FILE), 0x9000);
    assert_int_equal(send(SIGN), 0x9000);
    check_signature(&made.of[1].key);
}

static void a_pin_is_forgotten(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        open_application();
        verify_authentication();
        assert_int_equal(send(AUTH_KEY_FILE), 0x9000);
        assert_int_equal(send(SIGN), 0x9000);
        if (how == 0) {
            open_application(); /* selected again */
        } else if (how == 1) {
            cb_vcard_reset(card);
            assert_int_equal(send(SIGN), 0x6985);
            open_application();
        } else { /* wrong, or impossible, once more */
            assert_int_equal(send(AUTH_PIN_FILE), 0x9000);
            assert_int_equal(send(how == 2 ? WRONG : "0020008003313233"),
                             how == 2 ? 0x63C2 : 0x6700);
        }
        assert_int_equal(send(AUTH_KEY_FILE), 0x9000);
        assert_int_equal(send(SIGN), 0x6982);
    }
}

static void a_pin_is_changed_by_whoever_knows_it(void **state)
{
    (void)state;
    open_application();
    assert_int_equal(send("002401800435363738"), 0x6986);
    assert_int_equal(send(AUTH_PIN_FILE), 0x9000);
    assert_int_equal(send("002401800435363738"), 0x6982);
    assert_int_equal(send(RIGHT), 0x9000);
    assert_int_equal(send("00240180053536373839"), 0x6A80);
    assert_int_equal(send("0024018003353637"), 0x6A80);
    assert_int_equal(send("002401800435363741"), 0x6A80); /* a letter */
    assert_int_equal(send("00240180"), 0x6A80);
    assert_int_equal(send("00240080083132333435363738"), 0x6A86); /* both in one: not here */
    assert_int_equal(send("002401800435363738"), 0x9000);
    open_application();
    assert_int_equal(send(AUTH_PIN_FILE), 0x9000);
    assert_int_equal(send(RIGHT), 0x63C2);
    assert_int_equal(send("002000800435363738"), 0x9000);
    assert_int_equal(send(SIGN_PIN_FILE), 0x9000);
    assert_int_equal(send("0024018006414142424343"), 0x6982);
    assert_int_equal(send(SIGN_RIGHT), 0x9000);
    assert_int_equal(send("0024018006616162626363"), 0x6A80); /* small letters */
    assert_int_equal(send("0024018006414142424343"), 0x9000);
    assert_int_equal(send(SIGN_RIGHT), 0x63C4);
    assert_int_equal(send("0020008006414142424343"), 0x9000);
}

static void a_try_is_durable_before_its_result_is_known(void **state)
{
    (void)state;
    open_application();
    assert_int_equal(send(AUTH_PIN_FILE), 0x9000);
    disk_fails = true;
    assert_int_equal(send(RIGHT), 0x6581);
    assert_int_equal(saves, 1);
    assert_int_equal(send(SELECT), 0x6581); /* mute until it is reset */
    assert_int_equal(now()->of[0].tries, 2);
    disk_fails = false;
    cb_vcard_reset(card);
    open_application();
    verify_authentication();
    assert_int_equal(now()->of[0].tries, 3);
}

static void other_commands_are_refused(void **state)
{
    (void)state;
    open_application();
    verify_authentication();
    assert_int_equal(send(AUTH_KEY_FILE), 0x9000);
    for (unsigned ins = 0; ins < 0x100; ins++) {
        char command[16];
        if (ins == 0x20 || ins == 0x24 || ins == 0x2A || ins == 0xA4 || ins == 0xB0)
            continue;
        snprintf(command, sizeof command, "00%02X000000", ins);
        assert_int_equal(send(command), 0x6D00);
    }
    assert_int_equal(send("8020008004313233340000"), 0x6700); /* lengths that do not add up */
    assert_int_equal(send("80200080"), 0x6E00);
    assert_int_equal(send(SIGN), 0x9000);
}

static void a_state_is_read_as_it_was_written(void **state)
{
    cb_buf bytes = CB_BUF(CB_CARD_STATE_MAX), again = CB_BUF(CB_CARD_STATE_MAX);
    cb_vjpki_state *read = calloc(1, sizeof *read);
    (void)state;
    cb_vjpki_state_put(&bytes, &made);
    assert_int_equal(cb_vjpki_state_parse(cb_buf_bytes(&bytes), read), CB_OK);
    cb_vjpki_state_put(&again, read);
    assert_true(cb_bytes_same(cb_buf_bytes(&bytes), cb_buf_bytes(&again)));
    assert_int_equal(cb_vjpki_state_parse(cb_bytes_make(bytes.data, bytes.len - 1), read),
                     CB_E_FORMAT);
    cb_buf_put_u8(&bytes, 0);
    assert_int_equal(cb_vjpki_state_parse(cb_buf_bytes(&bytes), read), CB_E_FORMAT);
    bytes.len--;
    bytes.data[bytes.len - 1]++; /* more tries than there are */
    assert_int_equal(cb_vjpki_state_parse(cb_buf_bytes(&bytes), read), CB_E_FORMAT);
    bytes.data[bytes.len - 1]--;
    bytes.data[bytes.len - 2] = 'A'; /* behind the PIN */
    assert_int_equal(cb_vjpki_state_parse(cb_buf_bytes(&bytes), read), CB_E_FORMAT);
    cb_buf_free(&bytes);
    cb_buf_free(&again);
    free(read);
}

/* ---- The maker ---- */

static void certificates_say_what_they_are_for(void **state)
{
    cb_x509 authentication, signature;
    cb_buf policy = CB_BUF(CB_OID_MAX);
    (void)state;
    assert_int_equal(cb_x509_parse(cb_vjpki_blob_bytes(&made.of[0].certificate), &authentication),
                     CB_OK);
    assert_int_equal(cb_x509_parse(cb_vjpki_blob_bytes(&made.of[1].certificate), &signature),
                     CB_OK);
    assert_int_equal(authentication.key_usage, CB_X509_DIGITAL_SIGNATURE);
    assert_true(cb_x509_has_usage(&authentication, cb_oid_client_auth));
    assert_int_equal(cb_oid_parse(CB_VJPKI_POLICY_AUTHENTICATION, &policy), CB_OK);
    assert_true(cb_x509_has_policy(&authentication, cb_buf_bytes(&policy)));
    assert_int_equal(signature.key_usage, CB_X509_DIGITAL_SIGNATURE | 0x4000);
    assert_false(cb_x509_has_policy(&signature, cb_buf_bytes(&policy)));
    assert_false(authentication.is_ca || signature.is_ca);
    assert_int_equal(cb_x509_is_issued_by(&authentication, &authentication), CB_OK);
    assert_null(memmem(authentication.whole.data, authentication.whole.len, "Hanako", 6));
    assert_non_null(memmem(signature.whole.data, signature.whole.len, "Hanako", 6));
    cb_buf_free(&policy);
}

static void a_signers_name_and_key_are_in_what_it_signs(void **state)
{
    const cb_vjpki_secrets secrets = {{"1234", "ABC123"}};
    cb_vjpki_state *card_state = calloc(1, sizeof *card_state);
    cb_issue_signer signer = {.key = made.of[1].key,
                              .name = CB_BUF(CB_ISSUE_NAME_MAX),
                              .key_id = CB_BUF(64),
                              .certificate = CB_BUF(CB_VJPKI_CERTIFICATE_MAX)};
    cb_x509 issued, issuer;
    (void)state;
    assert_int_equal(cb_x509_parse(cb_vjpki_blob_bytes(&made.of[1].certificate), &issuer), CB_OK);
    cb_buf_put(&signer.name, issuer.subject);
    cb_buf_put(&signer.key_id, issuer.subject_key_id);
    cb_buf_put(&signer.certificate, issuer.whole);
    assert_int_equal(cb_vjpki_make(&signer, "Taro", 1, &secrets, card_state), CB_OK);
    for (int use = 0; use < CB_VJPKI_USES; use++) {
        assert_int_equal(
            cb_x509_parse(cb_vjpki_blob_bytes(&card_state->of[use].certificate), &issued), CB_OK);
        assert_int_equal(cb_x509_is_issued_by(&issued, &issuer), CB_OK);
        assert_true(cb_bytes_same(issued.authority_key_id, issuer.subject_key_id));
        assert_true(
            cb_bytes_same(cb_vjpki_blob_bytes(&card_state->of[use].authority), issuer.whole));
    }
    assert_int_equal(cb_vjpki_make(NULL, "", 1, &secrets, card_state), CB_E_ARGUMENT);
    cb_issue_signer_end(&signer);
    free(card_state);
}

static cb_error secrets_from(const char *text, cb_vjpki_secrets *out)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    close(ends[1]);
    cb_error error = cb_vjpki_secrets_get(ends[0], out);
    close(ends[0]);
    return error;
}

static void pins_come_as_two_lines(void **state)
{
    static const char *const bad[] = {"",
                                      "1234\n",
                                      "1234\nABC12\n",
                                      "123\nABC123\n",
                                      "12345\nABC123\n",
                                      "12A4\nABC123\n",
                                      "1234\nabc123\n",
                                      "1234\nABCDEF0123456789X\n",
                                      "1234\nABC123"};
    cb_vjpki_secrets secrets;
    (void)state;
    assert_int_equal(secrets_from("1234\nABC123\n", &secrets), CB_OK);
    assert_string_equal(secrets.pin[0], "1234");
    assert_string_equal(secrets.pin[1], "ABC123");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(secrets_from(bad[i], &secrets), CB_E_PIN_FORMAT);
    cb_vjpki_secrets_draw(&secrets);
    assert_true(cb_vjpki_pin_ok(CB_VJPKI_AUTHENTICATION, cb_bytes_str(secrets.pin[0])));
    assert_true(cb_vjpki_pin_ok(CB_VJPKI_SIGNATURE, cb_bytes_str(secrets.pin[1])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_answers_before_the_application_is_selected, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(files_are_known_by_their_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(the_token_is_an_individual_number_cards, setup, teardown),
        cmocka_unit_test_setup_teardown(certificates_are_read_as_clients_do, setup, teardown),
        cmocka_unit_test_setup_teardown(the_holders_name_is_read_after_the_signature_pin_only,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(tries_are_counted_down_and_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_signs_after_its_own_pin, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pin_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pin_is_changed_by_whoever_knows_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_try_is_durable_before_its_result_is_known, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(other_commands_are_refused, setup, teardown),
        cmocka_unit_test(a_state_is_read_as_it_was_written),
        cmocka_unit_test(certificates_say_what_they_are_for),
        cmocka_unit_test(a_signers_name_and_key_are_in_what_it_signs),
        cmocka_unit_test(pins_come_as_two_lines),
    };
    return cmocka_run_group_tests(tests, make_state, NULL);
}

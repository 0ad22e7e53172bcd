/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * SCP03 against known answers.
 *
 * Sessions: osmocom pySim, tests/unittests/test_globalplatform.py (recorded from an eUICC's ISD-R).
 * Key diversification: GlobalPlatformPro, TestSCP03.java and TestPlaintextCardKeys.java, where most
 * keys appear as check values: the first three bytes of AES(key, 16 times 01).
 */
#include "cardlink/scp03/presence.h"
#include "cardlink/scp03/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/text.h"
#include "cardlink/script.h"

static cb_buf bytes_of(const char *hex)
{
    cb_buf out = CB_BUF(512);
    assert_int_equal(cb_unhex(cb_bytes_str(hex), &out), CB_OK);
    return out;
}

static void assert_hex(cb_bytes bytes, const char *hex)
{
    cb_buf expected = bytes_of(hex);
    assert_int_equal(bytes.len, expected.len);
    assert_memory_equal(bytes.data, expected.data, expected.len);
    cb_buf_free(&expected);
}

/* ---- Diversification ---- */

static cb_scp03_plain_master master_from(const char *hex)
{
    cb_scp03_plain_master master = {.len = (uint8_t)(strlen(hex) / 2)};
    assert_int_equal(cb_unhex_exact(hex, master.key, master.len), CB_OK);
    return master;
}

static void diversified_keys_are_the_published_ones(void **state)
{
    cb_scp03_plain_master plain =
        master_from("8C72C72CF908411653018807950D82FBAD947562F0828A0B10B8B9606ABF3BCD");
    cb_scp03_master master = cb_scp03_master_of(&plain);
    uint8_t kdd[CB_SCP03_KDD];
    cb_scp03_keys keys;
    (void)state;
    cb_unhex_exact("D9B1DE5D0362DEDCE4FB", kdd, sizeof kdd);
    assert_int_equal(cb_scp03_diversify(&master, kdd, &keys), CB_OK);
    assert_int_equal(keys.len, 32);
    assert_hex(CB_BYTES_OF(keys.enc),
               "9AAC5D0B3601F89438A0D9D0B6B256CFB47E6462DFA5228D3420C4AC7C224781");
}

static void diversified_keys_have_the_published_check_values(void **state)
{
    static const struct {
        const char *master, *check[3]; /* ENC, MAC, DEK */
    } row[] = {
        {"404142434445464748494A4B4C4D4E4F", {"E79C05", "D1BD77", "3FDE8C"}},
        {"404142434445464748494A4B4C4D4E4F5051525354555657", {"1DE8EA", "47C00C", "C04D76"}},
        {"404142434445464748494A4B4C4D4E4F505152535455565758595A5B5C5D5E5F",
         {"2972D2", "036F94", "5D57B8"}},
    };
    static const uint8_t kdd[CB_SCP03_KDD] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    uint8_t ones[CB_AES_BLOCK], key[CB_SM_KEY_MAX], check[CB_AES_BLOCK];
    (void)state;
    memset(ones, 1, sizeof ones);
    for (size_t i = 0; i < 3; i++) {
        cb_scp03_plain_master plain = master_from(row[i].master);
        cb_scp03_master master = cb_scp03_master_of(&plain);
        for (unsigned which = CB_SCP03_KEY_ENC; which <= CB_SCP03_KEY_DEK; which++) {
            assert_int_equal(cb_scp03_diversify_key(&master, kdd, which, key), CB_OK);
            assert_int_equal(cb_aes_block(cb_bytes_make(key, plain.len), ones, check), CB_OK);
            assert_hex(cb_bytes_make(check, 3), row[i].check[which - 1]);
        }
    }
}

static unsigned calls_left;

static cb_error failing_cmac(void *context, cb_bytes data, uint8_t out[CB_AES_BLOCK])
{
    (void)context;
    (void)data;
    memset(out, 0xEE, CB_AES_BLOCK);
    return calls_left-- > 0 ? CB_OK : CB_E_HSM_TOKEN;
}

static void a_failing_hsm_leaves_no_key_behind(void **state)
{
    static const uint8_t kdd[CB_SCP03_KDD] = {0};
    static const cb_scp03_keys none;
    cb_scp03_master master = {failing_cmac, NULL, 32};
    cb_scp03_keys keys;
    (void)state;
    for (unsigned good = 0; good < 4; good++) {
        calls_left = good;
        memset(&keys, 1, sizeof keys);
        assert_int_equal(cb_scp03_diversify(&master, kdd, &keys), CB_E_HSM_TOKEN);
        assert_memory_equal(&keys, &none, sizeof keys);
    }
    calls_left = 4;
    assert_int_equal(cb_scp03_diversify(&master, kdd, &keys), CB_OK);
    master.key_len = 20;
    assert_int_equal(cb_scp03_diversify(&master, kdd, &keys), CB_E_ARGUMENT);
}

/* ---- Sessions ---- */

/* As recorded: the host's challenge, the card's answer, the beginning of EXTERNAL AUTHENTICATE (its
 * level and the host's cryptogram). */
typedef struct session_row {
    uint8_t key_len;
    const char *challenge, *update, *authenticate;
} session_row;

static const session_row sessions[] = {
    {16, "b13e5f938fc108c4", "000000000000000000003003703eb51047495b249f66c484c1d2ef1948000002",
     "84821100107d5f5826a993ebc8"},
    {16, "8e1552d0513c60f3", "0000000000000000000030037030760cd2c47c1dd395065fe5ead8a9d7000001",
     "8482030010fd4721a14d9b0700"},
    {16, "fdf38259a1e0de44", "000000000000000000003003703b1aca81e821f219081cdc01c26b372d000003",
     "84823300108c36f96bcc00724a"},
    {24, "7396430b768b085b", "000000000000000000003103708cfc23522ffdbf1e5df5542cac8fd866000003",
     "84821100102145ed30b146f5db"},
    {24, "69c65da8202bf19f", "00000000000000000000310370b570a67be38446717729d6dd3d2ec5b1000001",
     "848203001065df4f1a356a8879"},
    {24, "9b3f2eef0e8c9374", "00000000000000000000310370f6bb305a15bae1a68f79fb08212fbed7000002",
     "84823300109100bc22d58b45b8"},
    {32, "11666d57866c6f54", "0000000000000000000032037053ea8847efa7674e41498a4d66cf0dee000003",
     "84821100102f2ad190eff2fafc"},
    {32, "c6066990fc426e1d", "000000000000000000003203708682cd81bbd8919f2de3f2664581f118000001",
     "848203001077c493b632edadaf"},
    {32, "97b2055fe58599fd", "00000000000000000000320370a8439a22cedf045fa9f1903b2834f26e000002",
     "8482330010508a0fd959d2e547"},
};

static cb_scp03_keys keys_of(uint8_t len)
{
    cb_scp03_keys keys = {.len = len};
    for (uint8_t i = 0; i < len; i++) {
        keys.enc[i] = i % 16;
        keys.mac[i] = 0x10 + i % 16;
    }
    return keys;
}

static cb_scp03_update read_update(const char *hex)
{
    cb_scp03_update update;
    cb_buf data = bytes_of(hex);
    assert_int_equal(cb_scp03_update_read(cb_buf_bytes(&data), &update), CB_OK);
    cb_buf_free(&data);
    return update;
}

static cb_error open_row(const session_row *row, cb_scp03_session *session)
{
    uint8_t challenge[CB_SCP03_CHALLENGE];
    cb_scp03_keys keys = keys_of(row->key_len);
    cb_scp03_update update = read_update(row->update);
    cb_unhex_exact(row->challenge, challenge, sizeof challenge);
    return cb_scp03_open(&keys, challenge, &update, session);
}

static void recorded_cards_are_believed_and_get_the_recorded_cryptogram(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sessions / sizeof sessions[0]; i++) {
        cb_scp03_session session;
        cb_buf sent = bytes_of(sessions[i].authenticate);
        assert_int_equal(open_row(&sessions[i], &session), CB_OK);
        assert_memory_equal(&sent.data[5], session.host_cryptogram, CB_SCP03_CRYPTOGRAM);
        cb_buf_free(&sent);
    }
}

static void a_card_without_the_keys_is_not_believed(void **state)
{
    static const cb_scp03_session none;
    cb_scp03_keys keys = keys_of(16);
    cb_scp03_update update = read_update(sessions[0].update);
    cb_scp03_session session;
    uint8_t challenge[CB_SCP03_CHALLENGE];
    (void)state;
    cb_unhex_exact(sessions[0].challenge, challenge, sizeof challenge);
    for (size_t i = 0; i < 8; i++) {
        cb_scp03_update changed = update;
        changed.cryptogram[i] ^= 0x10;
        assert_int_equal(cb_scp03_open(&keys, challenge, &changed, &session), CB_E_CARD_PROOF);
        assert_memory_equal(&session, &none, sizeof none);
        changed = update;
        changed.challenge[i] ^= 0x01;
        assert_int_equal(cb_scp03_open(&keys, challenge, &changed, &session), CB_E_CARD_PROOF);
    }
    keys.mac[15] ^= 1;
    assert_int_equal(cb_scp03_open(&keys, challenge, &update, &session), CB_E_CARD_PROOF);
    keys.len = 0;
    assert_int_equal(cb_scp03_open(&keys, challenge, &update, &session), CB_E_ARGUMENT);
}

/* The recorded card made its challenges for its ISD-R. */
static void a_sequence_counter_is_the_cards(void **state)
{
    uint8_t aid[16];
    cb_scp03_keys keys = keys_of(16);
    cb_scp03_update update = read_update(sessions[0].update);
    (void)state;
    cb_unhex_exact("A0000005591010FFFFFFFF8900000100", aid, sizeof aid);
    assert_int_equal(update.sequence, 2);
    assert_int_equal(cb_scp03_sequence_check(&keys, &update, CB_BYTES_OF(aid)), CB_OK);
    update.sequence = 3;
    assert_int_equal(cb_scp03_sequence_check(&keys, &update, CB_BYTES_OF(aid)), CB_E_CARD_ANSWER);
    update.i = 0x60;
    assert_int_equal(cb_scp03_sequence_check(&keys, &update, CB_BYTES_OF(aid)), CB_OK);
    update = read_update(sessions[2].update);
    assert_int_equal(update.sequence, 3);
    assert_int_equal(cb_scp03_sequence_check(&keys, &update, CB_BYTES_OF(aid)), CB_OK);
    assert_int_equal(cb_scp03_sequence_check(&keys, &update, CB_BYTES_OF(cb_scp03_aid)),
                     CB_E_CARD_ANSWER);
    assert_int_equal(cb_scp03_sequence_check(&keys, &update, (cb_bytes){0}), CB_E_ARGUMENT);
}

/* ---- Secure messaging, level 33 ---- */

typedef struct wrapped_row {
    const session_row *session;
    const char *authenticate;
    const char *eid, *eid_answer; /* GET DATA of the EID, and its answer before 9000 */
    const char *with[4];          /* commands of each case of ISO/IEC 7816-3, after it */
} wrapped_row;

static const wrapped_row level_33[] = {
    {&sessions[2],
     "84823300108c36f96bcc00724a4e13ad591d7da3f0",
     "84e2910018267a85dfe4a98fca6fb0527e0dfecce4914e40401433c87f00",
     "f3ba2b1013aa6224f5e1c138d71805c569e5439b47576260b75fc021b25097cb2e68f8a0144975b9",
     {"84f2200208ac6a59024bed84cc", "84ca006608409912ad8fb7aed000",
      "84f22002185f3dafc3ac14c381536a488bf44e06d056df9d74dbd21e5a",
      "84f280021865165105be3373347d0424d4400af2ac393f569ec779389e00"}},
    {&sessions[5],
     "84823300109100bc22d58b45b86a26365ce39ff3cf",
     "84e29100188f7f946c84f70d17994bc6e8791251bb1bb1bf02cf8de58900",
     "c05176c1b6f72aae50c32cbee63b0e95998928fd4dfb2be9f27ffde8c8476f5909b4805cc4039599",
     {"84f2200208d5d97754b6b3d2ba", "84ca006608516c82b8e30adbeb00",
      "84f2200218cc247f4761e6944277a4e0d6e32e44025b1e31537e2fc668",
      "84f2800218ba22b63d509bef5d093b43e5eaed03ed23144ab2d9cb51de00"}},
    {&sessions[8],
     "8482330010508a0fd959d2e547c6b33154a6be2057",
     "84e29100187a5ef717eaf1e135ae92fe54429d0e465decda65f5fe5aea00",
     "ea90dbfa648a67c5eb6abc57f8530b97d0cd5647c5e8732016b55203b078dd2ace7f8bc5d1c1cd99",
     {"84f2200208bcc5c17275545d93", "84ca00660804806aba9d543bb600",
      "84f2200218717222491556ec81a45f49ce48be33320024801a1c4cb0e0",
      "84f2800218561f105bccd3a1642904b251ccc1228beb80a82370a8637000"}},
};

static void check_wrapped(cb_sm *sm, const char *plain_hex, const char *wrapped_hex,
                          cb_sm_mark *mark)
{
    cb_buf plain = bytes_of(plain_hex), out = CB_BUF(CB_COMMAND_MAX);
    cb_apdu apdu;
    assert_int_equal(cb_apdu_read(cb_buf_bytes(&plain), &apdu), CB_OK);
    assert_int_equal(cb_sm_wrap_command(sm, &apdu, &out, mark), CB_OK);
    assert_hex(cb_buf_bytes(&out), wrapped_hex);
    cb_buf_free(&plain);
    cb_buf_free(&out);
}

static void recorded_sessions_go_on_as_recorded(void **state)
{
    static const char *const plain[] = {"80F22002", "80CA006600", "80F220020A4F0212345C054F9F70C5",
                                        "80F28002024F0000"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const wrapped_row *row = &level_33[i];
        cb_scp03_session session;
        cb_buf out = CB_BUF(CB_COMMAND_MAX), answer = bytes_of(row->eid_answer);
        cb_sm_mark mark;
        assert_int_equal(open_row(row->session, &session), CB_OK);
        assert_int_equal(cb_scp03_authenticate_put(&session, &out), CB_OK);
        assert_hex(cb_buf_bytes(&out), row->authenticate);
        check_wrapped(&session.sm, "80E2910006BF3E035C015A00", row->eid, &mark);
        cb_buf_put_u16(&answer, CB_SW_OK);
        cb_buf_reset(&out);
        assert_int_equal(cb_sm_open_answer(&session.sm, &mark, cb_buf_bytes(&answer), &out), CB_OK);
        assert_hex(cb_buf_bytes(&out), "bf3e125a1089882119900000000000000000000005");
        for (size_t n = 0; n < 4; n++)
            check_wrapped(&session.sm, plain[n], row->with[n], &mark);
        cb_buf_free(&out);
        cb_buf_free(&answer);
    }
}

/* The same sessions from the card's end. */
static void recorded_hosts_are_believed(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const wrapped_row *row = &level_33[i];
        cb_scp03_session session, copy;
        cb_buf command = bytes_of(row->authenticate), plain = CB_BUF(256), answer = CB_BUF(300);
        cb_buf eid = bytes_of("bf3e125a1089882119900000000000000000000005");
        cb_apdu apdu, opened;
        assert_int_equal(open_row(row->session, &session), CB_OK);
        for (size_t at = 0; at < command.len; at++) {
            command.data[at] ^= 0x01;
            copy = session;
            assert_true(cb_apdu_read(cb_buf_bytes(&command), &apdu) ||
                        cb_scp03_authenticate_check(&copy, &apdu));
            command.data[at] ^= 0x01;
        }
        assert_int_equal(cb_apdu_read(cb_buf_bytes(&command), &apdu), CB_OK);
        assert_int_equal(cb_scp03_authenticate_check(&session, &apdu), CB_OK);
        cb_buf_free(&command);
        command = bytes_of(row->eid);
        assert_int_equal(cb_apdu_read(cb_buf_bytes(&command), &apdu), CB_OK);
        assert_int_equal(cb_sm_open_command(&session.sm, &apdu, &plain, &opened), CB_OK);
        assert_hex(opened.data, "BF3E035C015A");
        assert_int_equal(cb_sm_wrap_answer(&session.sm, cb_buf_bytes(&eid), &answer), CB_OK);
        assert_hex(cb_bytes_make(answer.data, answer.len - 2), row->eid_answer);
        cb_buf_free(&command);
        cb_buf_free(&plain);
        cb_buf_free(&answer);
        cb_buf_free(&eid);
    }
}

static void another_level_is_refused_before_anything_is_compared(void **state)
{
    cb_scp03_session session;
    cb_buf command = bytes_of("84821100107d5f5826a993ebc89eea24957fa0b3ce");
    cb_apdu apdu;
    (void)state;
    assert_int_equal(open_row(&sessions[0], &session), CB_OK);
    assert_int_equal(cb_apdu_read(cb_buf_bytes(&command), &apdu), CB_OK);
    assert_int_equal(cb_scp03_authenticate_check(&session, &apdu), CB_E_ARGUMENT);
    cb_buf_free(&command);
}

/* ---- INITIALIZE UPDATE ---- */

static cb_error try_update(const char *hex)
{
    cb_scp03_update update;
    cb_buf data = bytes_of(hex);
    cb_error error = cb_scp03_update_read(cb_buf_bytes(&data), &update);
    cb_buf_free(&data);
    return error;
}

static void answers_to_initialize_update_are_read_strictly(void **state)
{
    (void)state;
    /* i = 60: no counter */
    assert_int_equal(try_update("0102030405060708090a3003600102030405060708a1a2a3a4a5a6a7a8"),
                     CB_OK);
    assert_int_equal(try_update("0102030405060708090a3003600102030405060708a1a2a3a4a5a6a7"),
                     CB_E_CARD_ANSWER);
    assert_int_equal(try_update("0102030405060708090a3003600102030405060708a1a2a3a4a5a6a7a8000001"),
                     CB_E_CARD_ANSWER);
    /* i = 70: with one */
    assert_int_equal(try_update("0102030405060708090a3003700102030405060708a1a2a3a4a5a6a7a8000001"),
                     CB_OK);
    assert_int_equal(try_update("0102030405060708090a3003700102030405060708a1a2a3a4a5a6a7a8"),
                     CB_E_CARD_ANSWER);
    assert_int_equal(try_update(""), CB_E_CARD_ANSWER);
    assert_int_equal(try_update("0102030405060708090a3003"), CB_E_CARD_ANSWER);
    /* SCP02; no encrypted answers; none MACed; S16; a bit that nobody defined */
    assert_int_equal(try_update("0102030405060708090a30020001020304050607a1a2a3a4a5a6a7a8"),
                     CB_E_CARD_FOREIGN);
    static const char *const others[] = {"30", "10", "61", "71", "74"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char text[] = "0102030405060708090a3003700102030405060708a1a2a3a4a5a6a7a8000001";
        memcpy(&text[24], others[i], 2);
        assert_int_equal(try_update(text), CB_E_CARD_FOREIGN);
    }
}

static void what_the_card_puts_the_host_reads(void **state)
{
    cb_scp03_update update = {.key_version = 0x30, .i = 0x70, .sequence = 0xABCDEF}, back;
    cb_buf data = CB_BUF(64), command = CB_BUF(32);
    (void)state;
    memset(update.kdd, 5, sizeof update.kdd);
    memset(update.challenge, 6, sizeof update.challenge);
    memset(update.cryptogram, 7, sizeof update.cryptogram);
    for (int pass = 0; pass < 2; pass++) {
        cb_buf_reset(&data);
        cb_scp03_update_put(&data, &update);
        assert_int_equal(cb_scp03_update_read(cb_buf_bytes(&data), &back), CB_OK);
        assert_int_equal(back.sequence, update.sequence);
        assert_int_equal(back.i, update.i);
        assert_int_equal(back.key_version, 0x30);
        assert_memory_equal(back.kdd, update.kdd, sizeof back.kdd);
        assert_memory_equal(back.challenge, update.challenge, sizeof back.challenge);
        assert_memory_equal(back.cryptogram, update.cryptogram, sizeof back.cryptogram);
        update.i = 0x60;
        update.sequence = 0;
    }
    cb_scp03_update_command(0x30, update.challenge, &command);
    assert_hex(cb_buf_bytes(&command), "8050300008060606060606060600");
    cb_buf_free(&data);
    cb_buf_free(&command);
}

/* ---- Presence ---- */

static void presence_is_for_one_context_and_one_command(void **state)
{
    cb_scp03_session host, card;
    cb_digest context = cb_sha256(cb_bytes_str("context")), other = cb_sha256(cb_bytes_str("x"));
    cb_buf command = CB_BUF(CB_COMMAND_MAX), out = CB_BUF(256), answer = CB_BUF(300),
           data = CB_BUF(64);
    cb_sm_mark mark, wrong;
    cb_apdu apdu, plain;
    uint32_t counter;
    (void)state;
    assert_int_equal(open_row(&sessions[8], &host), CB_OK);
    card = host;
    assert_int_equal(cb_scp03_presence_put(&host.sm, &context, &command, &mark), CB_OK);
    assert_int_equal(cb_apdu_read(cb_buf_bytes(&command), &apdu), CB_OK);
    assert_int_equal(cb_sm_open_command(&card.sm, &apdu, &out, &plain), CB_OK);
    assert_int_equal(plain.ins, CB_SCP03_INS_PRESENCE);
    assert_true(cb_bytes_same(plain.data, cb_digest_bytes(&context)));
    cb_scp03_presence_answer(&data, &context, 77);
    assert_int_equal(data.len, CB_SCP03_PRESENCE_ANSWER);
    assert_int_equal(cb_sm_wrap_answer(&card.sm, cb_buf_bytes(&data), &answer), CB_OK);
    cb_bytes sent = cb_buf_bytes(&answer);
    assert_int_equal(cb_scp03_presence_open(&host.sm, &mark, sent, &context, &counter), CB_OK);
    assert_int_equal(counter, 77);
    assert_int_equal(cb_scp03_presence_open(&host.sm, &mark, sent, &other, &counter),
                     CB_E_CARD_ANSWER);
    assert_int_equal(counter, 0);
    wrong = mark;
    wrong.chain[0] ^= 1;
    assert_int_equal(cb_scp03_presence_open(&host.sm, &wrong, sent, &context, &counter),
                     CB_E_CARD_PROOF);
    for (size_t i = 0; i < answer.len; i++) {
        answer.data[i] ^= 0x80;
        assert_int_equal(cb_scp03_presence_open(&host.sm, &mark, sent, &context, &counter),
                         CB_E_CARD_PROOF);
        answer.data[i] ^= 0x80;
    }
    cb_buf_reset(&answer); /* authentic, but no proof */
    assert_int_equal(cb_sm_wrap_answer(&card.sm, cb_bytes_make(data.data, data.len - 1), &answer),
                     CB_OK);
    assert_int_equal(
        cb_scp03_presence_open(&host.sm, &mark, cb_buf_bytes(&answer), &context, &counter),
        CB_E_CARD_ANSWER);
    cb_buf_reset(&answer); /* the number of no proof, which nobody could compare */
    cb_buf_reset(&data);
    cb_scp03_presence_answer(&data, &context, 0);
    assert_int_equal(cb_sm_wrap_answer(&card.sm, cb_buf_bytes(&data), &answer), CB_OK);
    assert_int_equal(
        cb_scp03_presence_open(&host.sm, &mark, cb_buf_bytes(&answer), &context, &counter),
        CB_E_CARD_ANSWER);
    cb_buf_free(&command);
    cb_buf_free(&out);
    cb_buf_free(&answer);
    cb_buf_free(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diversified_keys_are_the_published_ones),
        cmocka_unit_test(diversified_keys_have_the_published_check_values),
        cmocka_unit_test(a_failing_hsm_leaves_no_key_behind),
        cmocka_unit_test(recorded_cards_are_believed_and_get_the_recorded_cryptogram),
        cmocka_unit_test(a_card_without_the_keys_is_not_believed),
        cmocka_unit_test(a_sequence_counter_is_the_cards),
        cmocka_unit_test(recorded_sessions_go_on_as_recorded),
        cmocka_unit_test(recorded_hosts_are_believed),
        cmocka_unit_test(another_level_is_refused_before_anything_is_compared),
        cmocka_unit_test(answers_to_initialize_update_are_read_strictly),
        cmocka_unit_test(what_the_card_puts_the_host_reads),
        cmocka_unit_test(presence_is_for_one_context_and_one_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * docs/card-application.md ends with a whole tap, byte by byte. Here the tap is made again from the
 * private keys that the document names, and every value in it must be the one that stands there.
 * With --print, a new tap is printed in the document's form (its signatures, and with them the
 * rest, are different each time).
 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/config.h"
#include "base/tlv.h"
#include "base/text.h"
#include "cardlink/apdu.h"
#include "cardlink/native/link.h"

enum { DOCUMENT_MAX = 256 * 1024 };

static const char *document_path;
static bool printing;
static cb_buf document;

/* What is not determined by the keys: signatures, and the terminal's key for the PIN. */
static cb_buf broker_cvc, batch_cvc, signer_cvc, pin, request_signature, proof_signature;

typedef struct pair {
    uint8_t scalar[CB_P256_SCALAR];
    uint8_t point[CB_P256_POINT];
} pair;

static pair key(uint8_t byte)
{
    pair p;
    memset(p.scalar, byte, sizeof p.scalar);
    if (cb_p256_public(p.scalar, p.point))
        abort();
    return p;
}

static void print(const char *name, cb_bytes value)
{
    cb_buf text = CB_BUF(4096);
    cb_buf_put_hex(&text, value);
    printf("%s = %s\n", name, cb_buf_cstr(&text));
    cb_buf_free(&text);
}

/* The value of "name = hex" in the document. */
static void load(const char *name, cb_buf *out)
{
    char line[64];
    snprintf(line, sizeof line, "\n%s = ", name);
    const char *at = strstr(cb_buf_cstr(&document), line);
    if (!at)
        fail_msg("the document has no %s", name);
    at += strlen(line);
    cb_buf_reset(out);
    assert_int_equal(cb_unhex(cb_bytes_make(at, strcspn(at, "\n")), out), CB_OK);
}

static void check(const char *name, cb_bytes value)
{
    cb_buf expected = CB_BUF(4096);
    if (printing) {
        print(name, value);
        return;
    }
    load(name, &expected);
    if (!cb_bytes_same(cb_buf_bytes(&expected), value)) {
        print(name, value);
        fail_msg("%s is not what the document says", name);
    }
    cb_buf_free(&expected);
}

/* Signs digest, or takes the signature from the document and checks it. */
static void signature(const char *name, const pair *signer, const cb_digest *digest, cb_buf *out)
{
    uint8_t raw[CB_P256_SIGNATURE];
    if (printing) {
        if (cb_p256_sign(signer->scalar, digest, raw))
            abort();
        cb_buf_put(out, CB_BYTES_OF(raw));
        print(name, cb_buf_bytes(out));
    } else {
        load(name, out);
        assert_true(cb_p256_verify(CB_BYTES_OF(signer->point), digest, cb_buf_bytes(out)));
    }
}

static void certificate(const char *name, const pair *issuer, const char *issuer_name,
                        const char *subject, uint16_t usage, const pair *subject_key, cb_buf *out)
{
    const uint8_t serial[] = {0, 0, 0, 0, 0, 0, 0, 1};
    cb_cvc cvc;
    if (printing) {
        if (cb_cvc_make(&(cb_cvc){.serial = CB_BYTES_OF(serial),
                                  .issuer = cb_bytes_str(issuer_name),
                                  .subject = cb_bytes_str(subject),
                                  .usage = usage,
                                  .first_day = 0x20260101,
                                  .last_day = 0x20351231,
                                  .point = CB_BYTES_OF(subject_key->point)},
                        issuer->scalar, out))
            abort();
        print(name, cb_buf_bytes(out));
        return;
    }
    load(name, out);
    assert_int_equal(cb_cvc_parse(cb_buf_bytes(out), &cvc), CB_OK);
    assert_true(cb_cvc_verify(&cvc, CB_BYTES_OF(issuer->point)));
    assert_true(cb_bytes_same(cvc.issuer, cb_bytes_str(issuer_name)));
    assert_int_equal(cvc.usage, usage);
    assert_true(cb_bytes_same(cvc.point, CB_BYTES_OF(subject_key->point)));
}

/* From the authority's key to one whose scalar is 99 repeated, of the next version. */
static void link_certificate(const pair *kloc)
{
    const uint8_t serial[] = {0, 0, 0, 0, 0, 0, 0, 2};
    pair next = key(0x99);
    cb_link link = {.key_id = 0x20,
                    .previous = 0x01,
                    .version = 0x02,
                    .cvc = {.serial = CB_BYTES_OF(serial),
                            .issuer = cb_bytes_str("brokers"),
                            .subject = cb_bytes_str("brokers"),
                            .first_day = 0x20260101,
                            .last_day = 0x20351231,
                            .point = CB_BYTES_OF(next.point)}};
    cb_buf out = CB_BUF(CB_CVC_MAX);
    if (printing) {
        if (cb_link_make(&link, kloc->scalar, &out))
            abort();
        print("link-certificate", cb_buf_bytes(&out));
    } else {
        load("link-certificate", &out);
        assert_int_equal(cb_link_parse(cb_buf_bytes(&out), &link), CB_OK);
        assert_true(
            cb_link_follows(&link, 0x20, 0x01, cb_bytes_str("brokers"), CB_BYTES_OF(kloc->point)));
        assert_true(cb_bytes_same(link.cvc.point, CB_BYTES_OF(next.point)));
        assert_int_equal(link.version, 2);
    }
    cb_buf_free(&out);
}

static void check_command(const char *name, cb_apdu apdu)
{
    cb_buf bytes = CB_BUF(CB_COMMAND_MAX);
    cb_apdu_put(&bytes, &apdu);
    check(name, cb_buf_bytes(&bytes));
    cb_buf_free(&bytes);
}

/* Wraps a command as the broker does, opens it as the card does, and answers. */
static void check_secure(const char *command_name, const char *answer_name, cb_sm *broker,
                         cb_sm *card, cb_apdu apdu, cb_bytes answer)
{
    cb_sm_mark mark;
    cb_apdu wrapped, plain;
    cb_buf bytes = CB_BUF(CB_COMMAND_MAX), opened = CB_BUF(256), back = CB_BUF(512);
    assert_int_equal(cb_sm_wrap_command(broker, &apdu, &bytes, &mark), CB_OK);
    check(command_name, cb_buf_bytes(&bytes));
    assert_int_equal(cb_apdu_read(cb_buf_bytes(&bytes), &wrapped), CB_OK);
    assert_int_equal(cb_sm_open_command(card, &wrapped, &opened, &plain), CB_OK);
    assert_int_equal(cb_sm_wrap_answer(card, answer, &back), CB_OK);
    check(answer_name, cb_buf_bytes(&back));
    cb_buf_free(&bytes);
    cb_buf_free(&opened);
    cb_buf_free(&back);
}

static void check_pin(const pair *card_ephemeral)
{
    cb_pin_block block;
    if (printing) {
        if (cb_pin_encrypt(CB_PIN_FORM_VERIFY, cb_bytes_str("1234"), (cb_bytes){0},
                           card_ephemeral->point, &pin))
            abort();
        print("pin-ciphertext", cb_buf_bytes(&pin));
        return;
    }
    load("pin-ciphertext", &pin);
    assert_int_equal(
        cb_pin_decrypt(cb_buf_bytes(&pin), card_ephemeral->scalar, card_ephemeral->point, &block),
        CB_OK);
    assert_int_equal(block.form, CB_PIN_FORM_VERIFY);
    assert_memory_equal(block.secret, "1234\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", CB_PIN_MAX);
}

static void first_script(const pair *oce_e, const pair *sd_e, const uint8_t data[CB_CHANNEL_DATA],
                         const uint8_t receipt[16])
{
    static const uint8_t store_of[] = {0xA6, 0x04, 0x83, 0x02, 0x11, 0x01};
    cb_buf answer = CB_BUF(512);
    (void)oce_e;
    static const uint8_t generation[] = {0x20, 0x01};
    cb_buf own = CB_BUF(64), fci = CB_BUF(64);
    cb_tlv_put(&own, CB_TAG_GENERATION, CB_BYTES_OF(generation));
    cb_tlv_put(&fci, CB_TAG_NAME, CB_BYTES_OF(cb_native_aid));
    cb_tlv_put(&fci, CB_TAG_OWN, cb_buf_bytes(&own));
    cb_tlv_put(&answer, CB_TAG_FCI, cb_buf_bytes(&fci));
    cb_buf_put_u16(&answer, CB_SW_OK);
    check("select-answer", cb_buf_bytes(&answer));
    cb_buf_reset(&answer);
    cb_buf_free(&own);
    cb_buf_free(&fci);
    check_command("select", (cb_apdu){0x00, 0xA4, 0x04, 0x00, CB_BYTES_OF(cb_native_aid), true});
    check_command("get-data", (cb_apdu){0x00, 0xCA, 0xBF, 0x21, CB_BYTES_OF(store_of), true});
    cb_tlv_put(&answer, CB_TAG_STORE, cb_buf_bytes(&batch_cvc));
    cb_buf_put_u16(&answer, CB_SW_OK);
    check("get-data-answer", cb_buf_bytes(&answer));
    check_command("pso", (cb_apdu){0x80, 0x2A, 0x01, 0x20, cb_buf_bytes(&broker_cvc), false});
    check_command("mutual",
                  (cb_apdu){0x80, 0x82, 0x01, 0x11, cb_bytes_make(data, CB_CHANNEL_DATA), false});
    cb_buf_reset(&answer);
    cb_tlv_put(&answer, CB_TAG_EPHEMERAL, CB_BYTES_OF(sd_e->point));
    cb_tlv_put(&answer, CB_TAG_RECEIPT, cb_bytes_make(receipt, 16));
    cb_buf_put_u16(&answer, CB_SW_OK);
    check("mutual-answer", cb_buf_bytes(&answer));
    cb_buf_free(&answer);
}

static cb_digest check_context(void)
{
    cb_tap_context context = {.profile = CB_PROFILE_NATIVE,
                              .purpose = CB_TAP_AUTHENTICATE,
                              .level = CB_LEVEL_PIN,
                              .service = "tax"};
    memset(context.tap.bytes, 0xA1, CB_ID_SIZE);
    memset(context.terminal.bytes, 0xA2, CB_ID_SIZE);
    cb_digest digest = cb_tap_context_digest(&context);
    check("context", cb_digest_bytes(&digest));
    return digest;
}

/* The card's end, and what it says then. */
static void termination(const cb_proof_request *request, const pair *signer)
{
    cb_proof_facts facts = {
        .tries_left = 3, .counter = 1, .life_cycle = CB_LIFE_TERMINATED, .generation = 1};
    cb_buf signed_by = CB_BUF(CB_P256_SIGNATURE);
    memset(facts.card.bytes, 0xC1, CB_ID_SIZE);
    cb_digest digest = cb_proof_termination_digest(request, &facts.card);
    check("termination-digest", cb_digest_bytes(&digest));
    signature("termination-signature", signer, &digest, &signed_by);
    digest = cb_proof_digest(request, &facts);
    check("termination-proof-digest", cb_digest_bytes(&digest));
    cb_buf_free(&signed_by);
}

/* The signature that allows a new PIN, over the ciphertext of this tap. */
static void pin_reset(const cb_proof_request *request, const pair *signer)
{
    cb_id card;
    cb_buf signed_by = CB_BUF(CB_P256_SIGNATURE);
    memset(card.bytes, 0xC1, CB_ID_SIZE);
    cb_digest digest = cb_proof_pin_reset_digest(request, &card, cb_buf_bytes(&pin));
    check("pin-reset-digest", cb_digest_bytes(&digest));
    signature("pin-reset-signature", signer, &digest, &signed_by);
    cb_buf_free(&signed_by);
}

static void second_script(cb_sm *broker, const cb_proof_request *request, const pair *signer,
                          const pair *own, const pair *sd_e)
{
    cb_sm card = *broker;
    cb_proof_facts facts = {.pin_form = CB_PIN_FORM_VERIFY,
                            .pin_state = CB_PIN_VERIFIED,
                            .tries_left = 3,
                            .counter = 1,
                            .life_cycle = CB_LIFE_ACTIVE,
                            .generation = 1};
    memset(facts.card.bytes, 0xC1, CB_ID_SIZE);
    cb_buf data = CB_BUF(256), answer = CB_BUF(256);
    cb_digest digest = cb_proof_request_digest(request);
    check("request-digest", cb_digest_bytes(&digest));
    signature("request-signature", signer, &digest, &request_signature);
    digest = cb_proof_digest(request, &facts);
    check("proof-digest", cb_digest_bytes(&digest));
    signature("proof-signature", own, &digest, &proof_signature);
    check_pin(sd_e);
    pin_reset(request, signer);
    check_secure("secure-pso", "secure-pso-answer", broker, &card,
                 (cb_apdu){0x80, 0x2A, 0x01, 0x20, cb_buf_bytes(&signer_cvc), false},
                 (cb_bytes){0});
    cb_buf_put(&data, CB_BYTES_OF(request->nonce));
    cb_buf_put(&data, cb_digest_bytes(&request->context));
    cb_buf_put_u32(&data, request->date);
    cb_buf_put(&data, cb_buf_bytes(&request_signature));
    check_secure("secure-request", "secure-request-answer", broker, &card,
                 (cb_apdu){0x80, 0x82, 0x00, 0x00, cb_buf_bytes(&data), false}, (cb_bytes){0});
    check_secure("secure-verify", "secure-verify-answer", broker, &card,
                 (cb_apdu){0x80, 0x20, 0x00, 0x80, cb_buf_bytes(&pin), false}, (cb_bytes){0});
    cb_proof_facts_put(&answer, &facts);
    cb_buf_put(&answer, cb_buf_bytes(&proof_signature));
    check_secure("secure-prove", "secure-prove-answer", broker, &card,
                 (cb_apdu){0x80, 0x88, 0x00, 0x00, {0}, true}, cb_buf_bytes(&answer));
    cb_buf_free(&data);
    cb_buf_free(&answer);
}

static void the_documents_tap_is_true(void **state)
{
    pair oce_e = key(0x11), oce = key(0x22), sd_e = key(0x33), sd = key(0x44);
    pair kloc = key(0x55), klcc = key(0x66), signer = key(0x77), own = key(0x88);
    uint8_t data[CB_CHANNEL_DATA], ephemeral[32], fixed[32], receipt[16];
    cb_proof_request request;
    cb_sm broker;
    (void)state;
    certificate("broker-certificate", &kloc, "brokers", "broker", CB_CVC_AGREEMENT, &oce,
                &broker_cvc);
    certificate("card-certificate", &klcc, "cards", "batch", CB_CVC_AGREEMENT, &sd, &batch_cvc);
    certificate("signer-certificate", &kloc, "brokers", "broker", CB_CVC_BROKER_SIGNATURE, &signer,
                &signer_cvc);
    link_certificate(&kloc);
    cb_channel_data_make(oce_e.point, data);
    assert_int_equal(cb_p256_agree(sd_e.scalar, CB_BYTES_OF(oce_e.point), ephemeral), CB_OK);
    assert_int_equal(cb_p256_agree(sd.scalar, CB_BYTES_OF(oce.point), fixed), CB_OK);
    assert_int_equal(cb_channel_open(ephemeral, fixed, data, sd_e.point, &broker, receipt), CB_OK);
    first_script(&oce_e, &sd_e, data, receipt);
    check("s-enc", cb_bytes_make(broker.enc, broker.key_len));
    check("s-mac", cb_bytes_make(broker.mac, broker.key_len));
    check("s-rmac", cb_bytes_make(broker.rmac, broker.key_len));
    request.transcript = cb_channel_transcript(
        &(cb_channel_facts){0x20, 0x01, cb_buf_bytes(&broker_cvc), cb_buf_bytes(&batch_cvc),
                            oce_e.point, sd_e.point, receipt});
    check("transcript", cb_digest_bytes(&request.transcript));
    request.signer_certificate = cb_sha256(cb_buf_bytes(&signer_cvc));
    memset(request.nonce, 0x5A, sizeof request.nonce);
    request.context = check_context();
    request.date = 0x20260601;
    termination(&request, &signer);
    second_script(&broker, &request, &signer, &own, &sd_e);
}

int main(int argc, char **argv)
{
    cb_buf *const all[] = {&broker_cvc, &batch_cvc,         &signer_cvc,
                           &pin,        &request_signature, &proof_signature};
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_documents_tap_is_true)};
    int failed = 0;
    document_path = argc == 2 ? argv[1] : "";
    printing = strcmp(document_path, "--print") == 0;
    cb_buf_init(&document, DOCUMENT_MAX);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cb_buf_init(all[i], CB_CVC_MAX);
    if (printing)
        the_documents_tap_is_true(NULL);
    else if (cb_file_read(document_path, &document) != CB_OK)
        failed = fprintf(stderr, "cannot read %s\n", document_path);
    else
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cb_buf_free(all[i]);
    cb_buf_free(&document);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

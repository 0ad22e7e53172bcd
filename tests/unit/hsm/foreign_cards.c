/* SPDX-License-Identifier: GPL-3.0-or-later */
#define ZLIB_CONST
#include "foreign_cards.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/config.h"
#include "base/pem.h"
#include "base/tlv.h"
#include "cardlink/card/content.h"
#include "cardlink/card/piv/application.h"
#include "cardlink/issuer/jpki.h"
#include "cardlink/issuer/scp03.h"
#include "test.h"

enum { HOUR = 60 * 60, DAY = 24 * HOUR };

static void read_certificate(const char *path, cb_buf *der)
{
    cb_buf text = CB_BUF(16 * 1024);
    cb_buf_init(der, 4096);
    good(cb_file_read(path, &text));
    good(cb_pem_read(cb_buf_cstr(&text), der, NULL));
    cb_buf_free(&text);
}

void agency_make(agency *a)
{
    char folder[] = "/tmp/cardbroker-test-XXXXXX", command[512], certificate[64], key[64];
    cb_buf why = CB_BUF(256);
    assert_non_null(mkdtemp(folder));
    snprintf(certificate, sizeof certificate, "%s/ca.pem", folder);
    snprintf(key, sizeof key, "%s/ca.key", folder);
    snprintf(command, sizeof command,
             "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
             "-days 3650 -subj /CN=Agency "
             "-addext basicConstraints=critical,CA:TRUE -addext "
             "keyUsage=critical,keyCertSign,cRLSign -keyout %s -out %s "
             "2>/dev/null",
             key, certificate);
    assert_int_equal(system(command), 0);
    if (cb_issue_signer_load(certificate, key, &a->signer, &why))
        fail_msg("%s", cb_buf_cstr(&why));
    read_certificate(certificate, &a->certificate);
    cb_buf_free(&why);
    unlink(certificate);
    unlink(key);
    rmdir(folder);
}

void agency_free(agency *a)
{
    cb_issue_signer_end(&a->signer);
    cb_buf_free(&a->certificate);
}

void agency_trust(const agency *a, uint8_t profile, cb_foreign_trust *trust)
{
    cb_foreign_trust_init(trust);
    cb_buf_put(&trust->der, cb_buf_bytes(&a->certificate));
    trust->profile = profile;
    trust->anchor[0] = cb_buf_bytes(&trust->der);
    trust->anchors = 1;
}

static const uint8_t reference[] = {CB_VPIV_AUTHENTICATION, CB_VPIV_CARD_AUTHENTICATION};

static cb_error transmit(void *card, cb_bytes command, cb_buf *answer)
{
    cb_vcard_process(card, command, answer);
    return cb_buf_error(answer);
}

cb_vcard *card_lay(const cb_applet *applet, cb_bytes atr, cb_bytes state,
                   const cb_vcard_store *store)
{
    cb_vcard *card;
    cb_card_content content = {0};
    good(cb_card_content_set_atr(&content, atr));
    good(cb_card_content_add(&content, applet, state));
    good(cb_vcard_of(&content, store, &card));
    return card;
}

static void open_card(piv_card *c)
{
    cb_buf bytes = CB_BUF(CB_CARD_STATE_MAX);
    cb_vpiv_state_put(&bytes, &c->state);
    c->card = card_lay(&cb_applet_piv, CB_BYTES_OF(cb_vpiv_atr), cb_buf_bytes(&bytes), NULL);
    cb_buf_free(&bytes);
    c->io = (cb_card_io){.card = c->card, .transmit = transmit};
}

void piv_card_make(piv_card *c, const agency *a, uint8_t kind_9a, uint8_t kind_9e)
{
    piv_card_make_secured(c, a, kind_9a, kind_9e, NULL);
}

void piv_card_make_secured(piv_card *c, const agency *a, uint8_t kind_9a, uint8_t kind_9e,
                           const cb_issue_signer *signer)
{
    const uint8_t kind[] = {kind_9a, kind_9e};
    cb_id id;
    int64_t now = time(NULL);
    cb_issue_piv_order order = {.signer = &a->signer,
                                .content_signer = signer,
                                .name = cb_bytes_str("Taro"),
                                .pin = cb_bytes_str(PIV_PIN),
                                .puk = cb_bytes_str("12345678"),
                                .management_algorithm = CB_VPIV_AES_128,
                                .not_before = now - DAY,
                                .not_after = now + 365 * DAY};
    for (unsigned i = 0; i < 2; i++)
        order.algorithm[cb_vpiv_slot(reference[i])] = kind[i];
    memset(c, 0, sizeof *c);
    good(cb_issue_piv(&order, &c->state, &id));
    for (unsigned i = 0; i < 2; i++)
        c->certificate[i] = cb_issue_piv_certificate(&c->state, cb_vpiv_slot(reference[i]));
    open_card(c);
}

static void put_certificate(cb_vpiv_state *state, uint8_t of, cb_bytes as_kept, uint8_t compressed)
{
    cb_buf object = CB_BUF(CB_VPIV_OBJECT_MAX);
    cb_tlv_put(&object, 0x70, as_kept);
    cb_tlv_put(&object, 0x71, cb_bytes_make(&compressed, 1));
    cb_tlv_put(&object, 0xFE, (cb_bytes){0});
    good(cb_vpiv_object_set(state, cb_vpiv_certificate_tag(cb_vpiv_slot(of)),
                            cb_buf_bytes(&object)));
    cb_buf_free(&object);
}

static void compress_certificate(cb_vpiv_state *state, uint8_t of, cb_bytes plain)
{
    uint8_t packed[4096];
    z_stream stream = {.next_in = plain.data,
                       .avail_in = (uInt)plain.len,
                       .next_out = packed,
                       .avail_out = sizeof packed};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY),
                     Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    put_certificate(state, of, cb_bytes_make(packed, sizeof packed - stream.avail_out), 1);
    deflateEnd(&stream);
}

void piv_card_compress(piv_card *c)
{
    for (unsigned i = 0; i < 2; i++) {
        compress_certificate(&c->state, reference[i], c->certificate[i]);
        c->certificate[i] = cb_issue_piv_certificate(&c->state, cb_vpiv_slot(reference[i]));
    }
    cb_vcard_close(&c->card);
    open_card(c);
}

void piv_card_update(piv_card *c, unsigned i, cb_bytes certificate)
{
    put_certificate(&c->state, reference[i], certificate, 0);
    for (unsigned n = 0; n < 2; n++)
        c->certificate[n] = cb_issue_piv_certificate(&c->state, cb_vpiv_slot(reference[n]));
    cb_vcard_close(&c->card);
    open_card(c);
}

void piv_card_exchange(piv_card *c, unsigned i, const cb_vcard_key *key)
{
    c->state.key[cb_vpiv_slot(reference[i])] = *key;
    cb_vcard_close(&c->card);
    open_card(c);
}

void piv_card_free(piv_card *c)
{
    cb_vcard_close(&c->card);
    cb_vpiv_state_free(&c->state);
}

void piv_card_answers(const piv_card *c, cb_buf *answers)
{
    static const uint8_t object[] = {0x53, 0x3B}, ok[] = {0x90, 0x00};
    cb_buf chuid = CB_BUF(128);
    cb_buf_put(&chuid, CB_BYTES_OF(object));
    cb_buf_put(&chuid, cb_vpiv_object_get(&c->state, CB_VPIV_CHUID));
    cb_buf_put(&chuid, CB_BYTES_OF(ok));
    cb_script_put(answers, 0, CB_BYTES_OF(ok));
    cb_script_put(answers, 0, cb_buf_bytes(&chuid));
    cb_buf_free(&chuid);
}

void piv_card_show(const piv_card *c, cb_foreign_reading *reading)
{
    for (unsigned i = 0; i < 2; i++) {
        if (c->certificate[i].len == 0)
            continue;
        reading->key[reading->keys].use = reference[i];
        reading->key[reading->keys++].certificate = c->certificate[i];
    }
}

void piv_card_select(const piv_card *c)
{
    cb_script select;
    cb_buf script = CB_BUF(64), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_vcard_reset(c->card);
    cb_script_put(&script, 0, cb_profile_piv.select);
    good(cb_script_read(cb_buf_bytes(&script), CB_COMMAND_MAX, &select));
    good(cb_play(&c->io, &select, &answers));
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

/* names: in the place of those of its certificate; empty: the same. */
static void certify(const piv_card *c, const agency *a, unsigned i, const cb_vcard_key *key,
                    const char *name, cb_bytes names, int hours, cb_buf *out)
{
    static const uint8_t alternative[] = {0x55, 0x1D, 0x11};
    cb_x509 old;
    cb_buf extensions = CB_BUF(512), subject = CB_BUF(128);
    good(cb_x509_parse(c->certificate[i], &old));
    cb_issue_key_usage(&extensions, 0x80);
    cb_issue_extension(&extensions, CB_BYTES_OF(alternative), false,
                       names.len > 0 ? names : old.alternative_name);
    if (name)
        good(cb_issue_name(cb_bytes_str(name), &subject));
    const cb_issue_x509 what = {.subject = name ? cb_buf_bytes(&subject) : old.subject,
                                .key = key ? key : &c->state.key[cb_vpiv_slot(reference[i])],
                                .extensions = cb_buf_bytes(&extensions),
                                .not_before = old.not_before + hours * HOUR,
                                .not_after = time(NULL) + 365 * DAY};
    good(cb_issue_x509_make(&what, &a->signer, out));
    cb_buf_free(&extensions);
    cb_buf_free(&subject);
}

void piv_card_certify(const piv_card *c, const agency *a, unsigned i, const cb_vcard_key *key,
                      const char *name, int hours, cb_buf *out)
{
    certify(c, a, i, key, name, (cb_bytes){0}, hours, out);
}

/* A name of another kind (RFC 5280, 4.2.1.6), whose form FIPS 201-3, 4.2.1 names. */
static void put_fasc_n(const piv_card *c, cb_buf *names)
{
    enum { AT = 2, LEN = 25 }; /* the first of the CHUID */
    static const uint8_t head[] = {0xA0, 0x27, 0x06, 0x08, 0x60, 0x86, 0x48, 0x01,
                                   0x65, 0x03, 0x06, 0x06, 0xA0, 0x1B, 0x04, LEN};
    cb_bytes chuid = cb_vpiv_object_get(&c->state, CB_VPIV_CHUID);
    assert_true(chuid.len > AT + LEN && chuid.data[0] == 0x30 && chuid.data[1] == LEN);
    cb_buf_put(names, CB_BYTES_OF(head));
    cb_buf_put(names, cb_bytes_make(chuid.data + AT, LEN));
}

void piv_card_name_fasc_n(piv_card *c, const agency *a)
{
    for (unsigned i = 0; i < 2; i++) {
        cb_x509 old;
        cb_der name;
        cb_buf content = CB_BUF(256), names = CB_BUF(256), certificate = CB_BUF(4096);
        good(cb_x509_parse(c->certificate[i], &old));
        put_fasc_n(c, &content);
        cb_cursor in = cb_der_open(old.alternative_name, CB_DER_SEQUENCE);
        while (cb_der_next(&in, &name))
            cb_buf_put(&content, name.whole);
        cb_tlv_put(&names, CB_DER_SEQUENCE, cb_buf_bytes(&content));
        certify(c, a, i, NULL, NULL, cb_buf_bytes(&names), 1, &certificate);
        piv_card_update(c, i, cb_buf_bytes(&certificate));
        cb_buf_free(&content);
        cb_buf_free(&names);
        cb_buf_free(&certificate);
    }
}

void content_signer_certify(const agency *by, const cb_vcard_key *key, const char *usage, int later,
                            cb_buf *out)
{
    cb_buf extensions = CB_BUF(512), name = CB_BUF(128);
    cb_issue_key_usage(&extensions, 0x80);
    if (usage)
        cb_issue_extended_usage(&extensions, usage, true);
    good(cb_issue_name(cb_bytes_str("Content signer"), &name));
    const cb_issue_x509 what = {.subject = cb_buf_bytes(&name),
                                .key = key,
                                .extensions = cb_buf_bytes(&extensions),
                                .not_before = time(NULL) - DAY + later * DAY / 10,
                                .not_after = time(NULL) + 365 * DAY};
    good(cb_issue_x509_make(&what, &by->signer, out));
    cb_buf_free(&extensions);
    cb_buf_free(&name);
}

void content_signer_make(const cb_vcard_key *key, cb_bytes certificate, cb_issue_signer *out)
{
    cb_x509 of_signer;
    *out = (cb_issue_signer){.key = *key,
                             .name = CB_BUF(128),
                             .key_id = CB_BUF(32),
                             .certificate = CB_BUF(CB_ISSUE_X509_MAX)};
    good(cb_x509_parse(certificate, &of_signer));
    cb_buf_put(&out->name, of_signer.subject);
    cb_buf_put(&out->key_id, of_signer.subject_key_id);
    cb_buf_put(&out->certificate, certificate);
}

/* ---- Others ---- */

void jpki_card_make(const agency *a, cb_buf *state, cb_buf *certificate)
{
    static const cb_vjpki_secrets secrets = {{JPKI_PIN, "ABC271"}};
    cb_vjpki_state *made = calloc(1, sizeof *made);
    assert_non_null(made);
    good(cb_vjpki_make(&a->signer, "Yuki", 3, &secrets, made));
    cb_vjpki_state_put(state, made);
    cb_buf_put(certificate, cb_vjpki_blob_bytes(&made->of[CB_VJPKI_AUTHENTICATION].certificate));
    free(made);
}

static cb_scp03_plain_master *the_master(void)
{
    static cb_scp03_plain_master master = {.len = 32};
    memset(master.key, 0x77, master.len);
    return &master;
}

void scp03_card_make(uint8_t i, cb_buf *state)
{
    cb_vscp03_state made;
    const cb_scp03_master of = cb_scp03_master_of(the_master());
    good(cb_vscp03_make(&of, 0x30, NULL, &made));
    made.i = i;
    cb_vscp03_state_put(state, &made);
}

void scp03_card_trust(cb_profile_host *host)
{
    const cb_scp03_master of = cb_scp03_master_of(the_master());
    host->keys = of.context;
    host->cmac = of.cmac;
    host->cmac_key_len = of.key_len;
}

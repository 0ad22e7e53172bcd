/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "foreign_cards.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/secret.h"
#include "base/tlv.h"
#include "cardlink/card/content.h"
#include "cardlink/card/piv/application.h"
#include "test.h"

void foreign_authority_make(cb_x509_authority *authority)
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
    if (cb_x509_authority_read(certificate, key, authority, &why))
        fail_msg("%s", cb_buf_cstr(&why));
    cb_buf_free(&why);
    unlink(certificate);
    unlink(key);
    rmdir(folder);
}

void foreign_trust_make(const cb_x509_authority *authority, uint8_t profile,
                        cb_foreign_trust *trust)
{
    cb_foreign_trust_init(trust);
    cb_buf_put(&trust->der, cb_buf_bytes(&authority->certificate));
    trust->profile = profile;
    trust->anchor[0] = cb_buf_bytes(&trust->der);
    trust->anchors = 1;
}

static cb_error transmit(void *card, cb_bytes command, cb_buf *answer)
{
    cb_vcard_process(card, command, answer);
    return cb_buf_error(answer);
}

static void put_chuid(cb_vpiv_state *state)
{
    static const uint8_t fasc_n[25] = {0xD4, 0xE7, 0x39, 0xDA};
    uint8_t guid[16];
    cb_buf chuid = CB_BUF(256);
    cb_random(guid, sizeof guid);
    cb_tlv_put(&chuid, 0x30, CB_BYTES_OF(fasc_n));
    cb_tlv_put(&chuid, 0x34, CB_BYTES_OF(guid));
    cb_tlv_put(&chuid, 0x35, cb_bytes_str("20360101"));
    cb_tlv_put(&chuid, 0x3E, (cb_bytes){0});
    cb_tlv_put(&chuid, 0xFE, (cb_bytes){0});
    good(cb_vpiv_object_set(state, CB_VPIV_CHUID, cb_buf_bytes(&chuid)));
    cb_buf_free(&chuid);
}

static void put_key(piv_card *c, const cb_x509_authority *authority, unsigned which, uint8_t kind)
{
    static const uint8_t reference[] = {CB_VPIV_AUTHENTICATION, CB_VPIV_CARD_AUTHENTICATION};
    static const uint8_t plain[] = {0x00};
    int slot = cb_vpiv_slot(reference[which]);
    cb_buf object = CB_BUF(CB_VPIV_OBJECT_MAX);
    c->certificate[which] = CB_BUF(CB_X509_ISSUED_MAX);
    if (!kind)
        return;
    good(cb_vcard_key_generate(kind, &c->state.key[slot]));
    const cb_x509_order order = {.key = &c->state.key[slot],
                                 .name = "Taro",
                                 .usage = "digitalSignature",
                                 .extended = "clientAuth",
                                 .years = 3};
    good(cb_x509_issue(authority, &order, &c->certificate[which]));
    cb_tlv_put(&object, 0x70, cb_buf_bytes(&c->certificate[which]));
    cb_tlv_put(&object, 0x71, CB_BYTES_OF(plain));
    cb_tlv_put(&object, 0xFE, (cb_bytes){0});
    good(cb_vpiv_object_set(&c->state, cb_vpiv_certificate_tag(slot), cb_buf_bytes(&object)));
    cb_buf_free(&object);
}

void piv_card_make(piv_card *c, const cb_x509_authority *authority, uint8_t kind_9a,
                   uint8_t kind_9e)
{
    cb_card_content content = {0};
    cb_buf bytes = CB_BUF(CB_CARD_STATE_MAX);
    memset(c, 0, sizeof *c);
    c->state.pin_tries = CB_VPIV_PIN_TRIES;
    c->state.puk_tries = CB_VPIV_PUK_TRIES;
    c->state.management_algorithm = CB_VPIV_AES_128;
    assert_true(cb_vpiv_pin_pad(cb_bytes_str(PIV_PIN), c->state.pin));
    assert_true(cb_vpiv_pin_pad(cb_bytes_str("12345678"), c->state.puk));
    put_chuid(&c->state);
    put_key(c, authority, 0, kind_9a);
    put_key(c, authority, 1, kind_9e);
    cb_vpiv_state_put(&bytes, &c->state);
    good(cb_card_content_set_atr(&content, CB_BYTES_OF(cb_vpiv_atr)));
    good(cb_card_content_add(&content, &cb_applet_piv, cb_buf_bytes(&bytes)));
    good(cb_vcard_of(&content, NULL, &c->card));
    cb_buf_free(&bytes);
    c->io = (cb_card_io){.card = c->card, .transmit = transmit};
}

void piv_card_free(piv_card *c)
{
    cb_vcard_close(&c->card);
    cb_vpiv_state_free(&c->state);
    cb_buf_free(&c->certificate[0]);
    cb_buf_free(&c->certificate[1]);
}

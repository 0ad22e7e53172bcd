/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A service's configuration and an enrolment's data, as two JSON texts with a zero byte between
 * them; a public key.
 */
#include <stdlib.h>
#include <string.h>

#include "connectors/host/fields.h"
#include "connectors/host/jwk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const cardbroker_field fields[] = {
    {.name = "url", .type = CARDBROKER_URL, .flags = CARDBROKER_REQUIRED, .help = ""},
    {.name = "more", .type = CARDBROKER_URL, .help = ""},
    {.name = "count",
     .type = CARDBROKER_INTEGER,
     .fallback = "5",
     .least = 1,
     .most = 10,
     .help = ""},
    {.name = "flag", .type = CARDBROKER_BOOLEAN, .fallback = "true", .help = ""},
    {.name = "way", .type = CARDBROKER_CHOICE, .choices = "one|three", .help = ""},
    {.name = "who", .type = CARDBROKER_STRING, .flags = CARDBROKER_OF_ENROLMENT, .help = ""}};
static const cardbroker_description about = {
    .size = sizeof about, .fields = fields, .field_count = sizeof fields / sizeof *fields};

static void check(const cb_fields *read)
{
    const cb_field_value *count = cb_fields_find(read, "count");
    const cb_field_value *way = cb_fields_find(read, "way");
    if (!cb_fields_find(read, "url") || read->origin_count == 0 || read->origin_count > 2)
        abort();
    if (!count || count->number < 1 || count->number > 10)
        abort();
    if (way && !cb_bytes_same(cb_buf_bytes(&way->text), cb_bytes_str("one")) &&
        !cb_bytes_same(cb_buf_bytes(&way->text), cb_bytes_str("three")))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_buf text = CB_BUF(size + 1), why = CB_BUF(4096), json = CB_BUF(4096);
    cb_fields read = {0};
    cb_buf_put(&text, cb_bytes_make(data, size));
    cb_buf_put_u8(&text, 0);
    const char *config = (const char *)text.data;
    size_t first = text.data ? strlen(config) : 0;
    const char *enrolment = first < size ? config + first + 1 : NULL;
    if (text.data && cb_fields_read(&read, &about, config, enrolment, &why) == CB_OK)
        check(&read);
    cb_fields_free(&read);
    cb_jwk_of(cb_bytes_make(data, size), &json);
    cb_buf_free(&text);
    cb_buf_free(&why);
    cb_buf_free(&json);
    return 0;
}

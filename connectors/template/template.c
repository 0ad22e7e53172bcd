/* SPDX-License-Identifier: MIT
 *
 * A connector to begin with: copy this file, give it a name, and replace what authenticate does. As
 * it stands it asks a service for a one-time address, proving who the holder is by a signature over
 * a fresh value.
 *
 * It needs <cardbroker/connector.h> and nothing else of Cardbroker:
 *
 *   cc -shared -fPIC -fvisibility=hidden -o template.so template.c
 *
 * docs/connectors.md explains the rules; the header states each function's contract.
 */
#include <stdio.h>
#include <string.h>

#include "connectors/include/cardbroker/connector.h"

/* The one symbol that the host looks for. */
CARDBROKER_EXPORT extern const cardbroker_connector CARDBROKER_CONNECTOR_NAME;

/* What an administrator can set. The host checks names and types, reads files, and allows
 * connections to the origins of URLs. Fields of an enrolment differ from holder to holder. */
static const cardbroker_field fields[] = {
    {.name = "url",
     .type = CARDBROKER_URL,
     .flags = CARDBROKER_REQUIRED,
     .help = "Where to ask for the one-time address."},
    {.name = "ca_file",
     .type = CARDBROKER_FILE,
     .help = "Certificate authorities that may have issued the service's certificate, PEM."},
    {.name = "account",
     .type = CARDBROKER_STRING,
     .flags = CARDBROKER_REQUIRED | CARDBROKER_OF_ENROLMENT,
     .help = "What the service calls the holder."}};

static const cardbroker_description description = {.size = sizeof description,
                                                   .name = "template",
                                                   .title = "A connector to begin with",
                                                   .version = "1",
                                                   .kinds = CARDBROKER_ONE_TIME_URL,
                                                   .algorithms =
                                                       CARDBROKER_USES(CARDBROKER_EC_P256),
                                                   .fields = fields,
                                                   .field_count = sizeof fields / sizeof *fields};

static const cardbroker_description *describe(void) { return &description; }

static void put_hex(const uint8_t *data, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", data[i]);
}

/* Signs "account:nonce"; hexadecimal, so that it fits into a header. */
static cardbroker_status prove(const cardbroker_host *host, cardbroker_login *login,
                               const char *account, const char *nonce, char hex[129])
{
    char text[512];
    uint8_t digest[32], signature[64];
    size_t len = 0;
    snprintf(text, sizeof text, "%s:%s", account, nonce);
    cardbroker_bytes data = {(const uint8_t *)text, strlen(text)};
    cardbroker_status status = host->digest(login, CARDBROKER_SHA256, data, digest);
    if (status == CARDBROKER_OK)
        status = host->sign(login, CARDBROKER_SIGN, CARDBROKER_SHA256,
                            (cardbroker_bytes){digest, sizeof digest}, signature, sizeof signature,
                            &len);
    if (status == CARDBROKER_OK)
        put_hex(signature, len, hex);
    return status;
}

/* Turns the service's answer into the result. */
static cardbroker_status take_answer(const cardbroker_host *host, cardbroker_login *login,
                                     const cardbroker_response *response)
{
    if (response->status == 401 || response->status == 403)
        return CARDBROKER_REFUSED; /* the service said no */
    const char *location = host->header(login, response, "Location");
    if (response->status == 303 && location)
        return host->set_url(login, location, host->wall_clock(login) + 60);
    host->explain(login, "the service did not answer with a one-time address");
    return CARDBROKER_ANSWER; /* the service said something else */
}

static cardbroker_status authenticate(const cardbroker_host *host, cardbroker_login *login)
{
    uint8_t random[16];
    char nonce[33], proof[129] = "", headers[512];
    const char *account = host->text(login, "account");
    host->random(login, random, sizeof random);
    put_hex(random, sizeof random, nonce);
    cardbroker_status status = prove(host, login, account, nonce, proof);
    if (status != CARDBROKER_OK)
        return status; /* pass on what the host said: it knows more */
    snprintf(headers, sizeof headers, "X-Account: %.200s\r\nX-Nonce: %s\r\nX-Proof: %s\r\n",
             account, nonce, proof);
    cardbroker_request request = {.size = sizeof request,
                                  .method = "POST",
                                  .url = host->text(login, "url"),
                                  .headers = headers,
                                  .trust = host->content(login, "ca_file")};
    cardbroker_response response = {.size = sizeof response};
    status = host->http(login, &request, &response);
    return status == CARDBROKER_OK ? take_answer(host, login, &response) : status;
}

const cardbroker_connector CARDBROKER_CONNECTOR_NAME = {.abi = CARDBROKER_CONNECTOR_ABI,
                                                        .size = sizeof(cardbroker_connector),
                                                        .describe = describe,
                                                        .authenticate = authenticate};

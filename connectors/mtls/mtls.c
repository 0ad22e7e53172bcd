/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Logs in with the holder's certificate: the service asks for it in the TLS handshake, and the
 * connection on which it was presented becomes a relayed session. One request, to the login path,
 * shows that the service accepted it.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connectors/include/cardbroker/connector.h"

CARDBROKER_EXPORT extern const cardbroker_connector CARDBROKER_CONNECTOR_NAME;

static const cardbroker_field fields[] = {
    {.name = "url",
     .type = CARDBROKER_URL,
     .flags = CARDBROKER_REQUIRED,
     .help = "The service's origin and the path to ask for at login, https://host[:port]/path."},
    {.name = "ca",
     .type = CARDBROKER_STRING,
     .help = "Certificate authorities that may have issued the service's certificate, PEM."},
    {.name = "ca_file",
     .type = CARDBROKER_FILE,
     .help = "The same, from a file on the broker's machine. Without either, the system's list is "
             "used."},
    {.name = "server_name",
     .type = CARDBROKER_STRING,
     .help = "The name in the service's certificate, when it is not the URL's host."},
    {.name = "status",
     .type = CARDBROKER_STRING,
     .fallback = "200-399",
     .help = "Which answers mean success: numbers and ranges, e.g. \"200,302\"."},
    {.name = "connect_timeout_ms",
     .type = CARDBROKER_INTEGER,
     .fallback = "5000",
     .least = 100,
     .most = 60000,
     .help = "How long connecting and the TLS handshake may take."},
    {.name = "timeout_ms",
     .type = CARDBROKER_INTEGER,
     .fallback = "10000",
     .least = 100,
     .most = 120000,
     .help = "How long the whole login may take."}};

static const cardbroker_description description = {
    .size = sizeof description,
    .name = "mtls",
    .title = "HTTPS with a client certificate, relayed",
    .version = "1",
    .kinds = CARDBROKER_RELAYED,
    .algorithms = CARDBROKER_USES(CARDBROKER_EC_P256) | CARDBROKER_USES(CARDBROKER_EC_P384) |
                  CARDBROKER_USES(CARDBROKER_RSA_2048) | CARDBROKER_USES(CARDBROKER_RSA_3072),
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields};

static const cardbroker_description *describe(void) { return &description; }

/* Whether a status is in a list like "200,300-399". Also tells a list that is none: *good is then
 * false. */
static bool is_listed(const char *list, unsigned long status, bool *good)
{
    bool listed = false;
    *good = *list != 0;
    for (const char *at = list; *at && *good;) {
        char *end;
        unsigned long first = strtoul(at, &end, 10);
        unsigned long last = first;
        *good = end != at;
        at = end;
        if (*good && *at == '-') {
            last = strtoul(at + 1, &end, 10);
            *good = end != at + 1;
            at = end;
        }
        *good = *good && first >= 100 && last <= 599 && first <= last && (*at == ',' || *at == 0);
        listed |= status >= first && status <= last;
        at += *at == ',';
    }
    return *good && listed;
}

static cardbroker_status check(const cardbroker_host *host, cardbroker_login *login)
{
    bool good;
    is_listed(host->text(login, "status"), 0, &good);
    if (!good)
        host->explain(login, "status: is not a list of numbers and ranges between 100 and 599");
    else if (host->text(login, "ca") && host->text(login, "ca_file"))
        host->explain(login, "ca and ca_file: only one of the two can be given");
    else
        return CARDBROKER_OK;
    return CARDBROKER_INVALID;
}

static cardbroker_request request_for(const cardbroker_host *host, cardbroker_login *login)
{
    const char *name = host->text(login, "server_name");
    const char *trust = host->text(login, "ca") ? "ca" : "ca_file";
    return (cardbroker_request){.size = sizeof(cardbroker_request),
                                .method = "GET",
                                .url = host->text(login, "url"),
                                .headers = "Accept: */*\r\n",
                                .trust = host->content(login, trust),
                                .server_name = name && *name ? name : NULL,
                                .connect_timeout_ms =
                                    (uint32_t)host->number(login, "connect_timeout_ms"),
                                .timeout_ms = (uint32_t)host->number(login, "timeout_ms")};
}

static cardbroker_status authenticate(const cardbroker_host *host, cardbroker_login *login)
{
    bool good;
    char sentence[96];
    cardbroker_response response = {.size = sizeof response};
    cardbroker_request request = request_for(host, login);
    request.flags = CARDBROKER_WITH_CERTIFICATE;
    cardbroker_status status = host->http(login, &request, &response);
    if (status != CARDBROKER_OK)
        return status;
    if (is_listed(host->text(login, "status"), response.status, &good))
        return host->set_relayed(login, 0);
    snprintf(sentence, sizeof sentence, "the service answered the login with status %u",
             response.status);
    host->explain(login, sentence);
    return response.status == 400 || response.status == 401 || response.status == 403
               ? CARDBROKER_REFUSED
               : CARDBROKER_ANSWER;
}

/* Without the holder's certificate the service may well refuse; it is there all the same. */
static cardbroker_status health(const cardbroker_host *host, cardbroker_login *login)
{
    cardbroker_response response = {.size = sizeof response};
    cardbroker_request request = request_for(host, login);
    return host->http(login, &request, &response);
}

const cardbroker_connector CARDBROKER_CONNECTOR_NAME = {.abi = CARDBROKER_CONNECTOR_ABI,
                                                        .size = sizeof(cardbroker_connector),
                                                        .describe = describe,
                                                        .check = check,
                                                        .authenticate = authenticate,
                                                        .health = health};

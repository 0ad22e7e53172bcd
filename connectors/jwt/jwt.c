/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Logs in with an assertion that the holder's key signs (RFC 7521, RFC 7523), exchanged for an
 * access token.
 *
 * client_credentials: the holder is a client of the authorization server, which knows its public
 * key; the assertion authenticates that client (private_key_jwt). jwt-bearer: the assertion itself
 * is the grant, made by an issuer the server trusts for that subject.
 */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "connectors/include/cardbroker/connector.h"
#include "connectors/jwt/jws.h"

CARDBROKER_EXPORT extern const cardbroker_connector CARDBROKER_CONNECTOR_NAME;

#define BEARER "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define ASSERTION "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

enum { FORM_MAX = 16 * 1024, JTI_BYTES = 16 };

static const cardbroker_field fields[] = {
    {.name = "token_endpoint",
     .type = CARDBROKER_URL,
     .flags = CARDBROKER_REQUIRED,
     .help = "Where the assertion is exchanged for a token."},
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
    {.name = "grant",
     .type = CARDBROKER_CHOICE,
     .fallback = "client_credentials",
     .choices = "client_credentials|jwt-bearer",
     .help = "Whether the assertion authenticates the holder as a client, or is itself the grant."},
    {.name = "audience",
     .type = CARDBROKER_STRING,
     .help = "What the service calls itself in an assertion (aud). By default the token endpoint."},
    {.name = "issuer",
     .type = CARDBROKER_STRING,
     .help = "Who makes the assertion (iss), for jwt-bearer. By default the subject."},
    {.name = "scope", .type = CARDBROKER_STRING, .help = "Scopes to ask for, separated by spaces."},
    {.name = "resource",
     .type = CARDBROKER_STRING,
     .help = "The resource to ask for (RFC 8707), an address."},
    {.name = "rsa",
     .type = CARDBROKER_CHOICE,
     .fallback = "PS256",
     .choices = "PS256|RS256",
     .help = "How RSA keys sign. EC keys sign ES256 or ES384 by their size."},
    {.name = "lifetime_s",
     .type = CARDBROKER_INTEGER,
     .fallback = "60",
     .least = 10,
     .most = 300,
     .help = "How long an assertion is valid."},
    {.name = "timeout_ms",
     .type = CARDBROKER_INTEGER,
     .fallback = "10000",
     .least = 100,
     .most = 120000,
     .help = "How long the login may take."},
    {.name = "subject",
     .type = CARDBROKER_STRING,
     .flags = CARDBROKER_REQUIRED | CARDBROKER_OF_ENROLMENT,
     .help = "Whom the service knows the holder as (sub): a client identifier, or an account."},
    {.name = "key_id",
     .type = CARDBROKER_STRING,
     .flags = CARDBROKER_OF_ENROLMENT,
     .help = "What the service calls the key (kid). By default its thumbprint (RFC 7638)."}};

static const cardbroker_description description = {
    .size = sizeof description,
    .name = "jwt",
    .title = "OAuth 2.0 with a signed assertion (RFC 7523), giving a token",
    .version = "1",
    .kinds = CARDBROKER_TOKEN,
    .algorithms = CARDBROKER_USES(CARDBROKER_EC_P256) | CARDBROKER_USES(CARDBROKER_EC_P384) |
                  CARDBROKER_USES(CARDBROKER_RSA_2048) | CARDBROKER_USES(CARDBROKER_RSA_3072),
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields};

static const cardbroker_description *describe(void) { return &description; }

static cardbroker_status check(const cardbroker_host *host, cardbroker_login *login)
{
    if (!host->text(login, "ca") || !host->text(login, "ca_file"))
        return CARDBROKER_OK;
    host->explain(login, "ca and ca_file: only one of the two can be given");
    return CARDBROKER_INVALID;
}

static bool is_bearer(const cardbroker_host *host, cardbroker_login *login)
{
    return strcmp(host->text(login, "grant"), "jwt-bearer") == 0;
}

static bool is_there(const char *text) { return text && *text; }

/* ---- the assertion ---- */

static cb_jws_algorithm algorithm_of(const cardbroker_host *host, cardbroker_login *login)
{
    switch (host->algorithm(login)) {
    case CARDBROKER_EC_P256:
        return cb_jws_es256;
    case CARDBROKER_EC_P384:
        return cb_jws_es384;
    default:
        return strcmp(host->text(login, "rsa"), "RS256") == 0 ? cb_jws_rs256 : cb_jws_ps256;
    }
}

/* The caller frees it. */
static char *key_id(const cardbroker_host *host, cardbroker_login *login)
{
    char text[2048];
    const char *given = host->text(login, "key_id");
    if (is_there(given))
        return strdup(given);
    if (host->public_jwk(login, text, sizeof text) != CARDBROKER_OK)
        return NULL;
    json_t *jwk = cb_json_load(cb_bytes_str(text), 0, NULL);
    const char *kid = json_string_value(json_object_get(jwk, "kid"));
    char *copy = kid ? strdup(kid) : NULL;
    json_decref(jwk);
    return copy;
}

static json_t *claims_for(const cardbroker_host *host, cardbroker_login *login)
{
    uint8_t random[JTI_BYTES];
    char jti[2 * JTI_BYTES + 1];
    const char *subject = host->text(login, "subject");
    const char *issuer = host->text(login, "issuer");
    const char *audience = host->text(login, "audience");
    int64_t now = host->wall_clock(login);
    host->random(login, random, sizeof random);
    for (size_t i = 0; i < JTI_BYTES; i++)
        snprintf(jti + 2 * i, 3, "%02x", random[i]);
    if (!is_bearer(host, login) || !is_there(issuer))
        issuer = subject;
    if (!is_there(audience))
        audience = host->text(login, "token_endpoint");
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "iss", issuer, "sub", subject, "aud",
                     audience, "jti", jti, "iat", (json_int_t)now, "exp",
                     (json_int_t)(now + host->number(login, "lifetime_s")));
}

static cardbroker_status make_assertion(const cardbroker_host *host, cardbroker_login *login,
                                        char **out)
{
    cb_jws_algorithm algorithm = algorithm_of(host, login);
    char *kid = key_id(host, login);
    json_t *header =
        kid ? json_pack("{s:s, s:s, s:s}", "alg", algorithm.name, "typ", "JWT", "kid", kid) : NULL;
    json_t *claims = claims_for(host, login);
    cardbroker_status status = CARDBROKER_FAILED;
    if (header && claims)
        status = cb_jws_make(host, login, &algorithm, header, claims, out);
    json_decref(header);
    json_decref(claims);
    free(kid);
    return status;
}

/* ---- the exchange ---- */

typedef struct form {
    char text[FORM_MAX];
    size_t len;
    bool failed;
} form;

static void put(form *f, char c)
{
    if (f->len + 1 < sizeof f->text)
        f->text[f->len++] = c;
    else
        f->failed = true;
}

/* application/x-www-form-urlencoded; values that are not there are left out. */
static void add(form *f, const char *name, const char *value)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    static const char digits[] = "0123456789ABCDEF";
    if (!is_there(value))
        return;
    if (f->len > 0)
        put(f, '&');
    for (; *name; name++)
        put(f, *name);
    put(f, '=');
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (strchr(plain, c)) {
            put(f, *value);
        } else {
            put(f, '%');
            put(f, digits[c >> 4]);
            put(f, digits[c & 15]);
        }
    }
}

static void fill(form *f, const cardbroker_host *host, cardbroker_login *login,
                 const char *assertion)
{
    bool bearer = is_bearer(host, login);
    add(f, "grant_type", bearer ? BEARER : "client_credentials");
    if (!bearer) {
        add(f, "client_id", host->text(login, "subject"));
        add(f, "client_assertion_type", ASSERTION);
    }
    add(f, bearer ? "assertion" : "client_assertion", assertion);
    add(f, "scope", host->text(login, "scope"));
    add(f, "resource", host->text(login, "resource"));
}

static cardbroker_request request_for(const cardbroker_host *host, cardbroker_login *login)
{
    const char *name = host->text(login, "server_name");
    const char *trust = host->text(login, "ca") ? "ca" : "ca_file";
    return (cardbroker_request){.size = sizeof(cardbroker_request),
                                .method = "GET",
                                .url = host->text(login, "token_endpoint"),
                                .trust = host->content(login, trust),
                                .server_name = is_there(name) ? name : NULL,
                                .timeout_ms = (uint32_t)host->number(login, "timeout_ms")};
}

/* RFC 6749, 5.2: what the server says it did not like. */
static cardbroker_status refused(const cardbroker_host *host, cardbroker_login *login,
                                 unsigned status, const json_t *answer)
{
    char sentence[160];
    const char *code = json_string_value(json_object_get(answer, "error"));
    snprintf(sentence, sizeof sentence, "the token endpoint answered %u%s%.80s", status,
             code ? ": " : "", code ? code : "");
    host->explain(login, sentence);
    return status >= 400 && status < 500 ? CARDBROKER_REFUSED : CARDBROKER_ANSWER;
}

/* RFC 6749, 5.1: what of an answer the holder gets. */
static cardbroker_status take_token(const cardbroker_host *host, cardbroker_login *login,
                                    const json_t *answer)
{
    static const char *const members[] = {"access_token", "token_type", "expires_in", "scope"};
    int64_t expires = 0;
    int failed = 0;
    json_t *token = json_object();
    json_int_t lifetime = json_integer_value(json_object_get(answer, "expires_in"));
    if (!json_is_string(json_object_get(answer, "access_token")) ||
        !json_is_string(json_object_get(answer, "token_type"))) {
        host->explain(login, "the token endpoint's answer holds no token");
        json_decref(token);
        return CARDBROKER_ANSWER;
    }
    for (unsigned i = 0; i < sizeof members / sizeof *members; i++) {
        json_t *member = json_object_get(answer, members[i]);
        if (member)
            failed |= json_object_set(token, members[i], member);
    }
    if (lifetime > 0 && lifetime < INT32_MAX)
        expires = host->wall_clock(login) + lifetime;
    char *text = failed ? NULL : cb_json_dumps(token, JSON_COMPACT);
    cardbroker_status status = text ? host->set_token(login, text, expires) : CARDBROKER_FAILED;
    free(text);
    json_decref(token);
    return status;
}

static cardbroker_status exchange(const cardbroker_host *host, cardbroker_login *login,
                                  const char *assertion)
{
    form *f = calloc(1, sizeof *f);
    cardbroker_response response = {.size = sizeof response};
    cardbroker_request request = request_for(host, login);
    if (!f)
        return CARDBROKER_FAILED;
    fill(f, host, login, assertion);
    request.method = "POST";
    request.headers = "Content-Type: application/x-www-form-urlencoded\r\n"
                      "Accept: application/json\r\n";
    request.body = (cardbroker_bytes){(const uint8_t *)f->text, f->len};
    cardbroker_status status =
        f->failed ? CARDBROKER_LARGE : host->http(login, &request, &response);
    free(f);
    if (status != CARDBROKER_OK)
        return status;
    json_t *answer = cb_json_load(cb_bytes_make(response.body.data, response.body.len),
                                  JSON_REJECT_DUPLICATES, NULL);
    if (!answer && errno == ENOMEM)
        status = CARDBROKER_FAILED;
    else if (response.status != 200)
        status = refused(host, login, response.status, answer);
    else
        status = take_token(host, login, answer);
    json_decref(answer);
    return status;
}

static cardbroker_status authenticate(const cardbroker_host *host, cardbroker_login *login)
{
    char *assertion = NULL;
    cardbroker_status status = make_assertion(host, login, &assertion);
    if (status == CARDBROKER_OK)
        status = exchange(host, login, assertion);
    free(assertion);
    return status;
}

/* ---- enrolment and health ---- */

/* The service needs the public key, as a JSON Web Key Set, and who it belongs to. */
static cardbroker_status enrol(const cardbroker_host *host, cardbroker_login *login)
{
    char text[2048];
    cardbroker_status status = host->public_jwk(login, text, sizeof text);
    json_t *jwk = status == CARDBROKER_OK ? cb_json_load(cb_bytes_str(text), 0, NULL) : NULL;
    char *kid = key_id(host, login);
    bool named = jwk && kid && json_object_set_new(jwk, "kid", json_string(kid)) == 0 &&
                 json_object_set_new(jwk, "use", json_string("sig")) == 0 &&
                 json_object_set_new(jwk, "alg", json_string(algorithm_of(host, login).name)) == 0;
    json_t *whole = named ? json_pack("{s:s, s:{s:[O]}}", "subject", host->text(login, "subject"),
                                      "jwks", "keys", jwk)
                          : NULL;
    char *done = whole ? cb_json_dumps(whole, JSON_COMPACT) : NULL;
    status = done ? host->set_enrolment(login, done) : CARDBROKER_FAILED;
    free(done);
    free(kid);
    json_decref(whole);
    json_decref(jwk);
    return status;
}

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
                                                        .enrol = enrol,
                                                        .authenticate = authenticate,
                                                        .health = health};

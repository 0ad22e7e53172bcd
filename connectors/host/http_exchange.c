/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A connector's own exchange: a whole request, a whole answer.
 */
#include <stdio.h>
#include <stdlib.h>

#include "connectors/host/http.h"
#include "connectors/host/login.h"

/* libcurl believes that it connects to this; the opener decides where the socket really goes. */
static const char placeholder[] = "192.0.2.1";

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    cb_http *http = context;
    cb_buf_put(&http->body, cb_bytes_make(data, size * count));
    http->error = cb_buf_error(&http->body);
    if (!http->error)
        return size * count;
    if (http->error != CB_E_MEMORY) {
        cb_login_explain(http->login, "the service's answer is too large");
        http->error = CB_E_SERVICE_ANSWER;
    }
    return 0;
}

static struct curl_slist *resolution(cb_http *http, const cb_origin *origin,
                                     const char *server_name)
{
    struct curl_slist *list = NULL;
    char line[CB_HOST_MAX + 64];
    snprintf(line, sizeof line, "%s:%u:%s", server_name ? server_name : origin->host, origin->port,
             placeholder);
    cb_http_add_line(http, &list, line);
    return list;
}

static struct curl_slist *header_list(cb_http *http, const char *headers)
{
    struct curl_slist *list = NULL;
    for (const char *at = headers; at && *at;) {
        const char *end = strstr(at, "\r\n");
        size_t len = end ? (size_t)(end - at) : strlen(at);
        char *line = strndup(at, len);
        cb_http_add_line(http, &list, line);
        free(line);
        at = end ? end + 2 : NULL;
    }
    return list;
}

static void set_method(cb_http *http, const cardbroker_request *request)
{
    bool head = strcmp(request->method, "HEAD") == 0;
    CB_HTTP_SET(http, CURLOPT_HTTPGET, 1L);
    CB_HTTP_SET(http, CURLOPT_NOBODY, head ? 1L : 0L);
    if (request->body.len > 0 || strcmp(request->method, "POST") == 0) {
        CB_HTTP_SET(http, CURLOPT_POST, 1L);
        CB_HTTP_SET(http, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        CB_HTTP_SET(http, CURLOPT_POSTFIELDS,
                    request->body.len > 0 ? (const char *)request->body.data : "");
    }
    CB_HTTP_SET(http, CURLOPT_CUSTOMREQUEST, request->method);
}

static cb_error check_request(cb_http *http, const cardbroker_request *request)
{
    if (request->size < sizeof *request || !request->method || !request->url ||
        !cb_is_header_text(request->method) || strlen(request->url) > CB_CONN_TARGET_MAX ||
        (request->server_name && !cb_is_header_text(request->server_name))) {
        cb_login_misused(http->login, "the connector's request is not well formed");
        return CB_E_ARGUMENT;
    }
    return CB_OK;
}

static struct curl_slist *headers_for(cb_http *http, const cardbroker_request *request)
{
    char host[CB_HOST_MAX + 32];
    cb_origin origin;
    struct curl_slist *list = header_list(http, request->headers);
    cb_http_add_line(http, &list, "Expect:");
    if (request->server_name && cb_origin_of(request->url, &origin, NULL) == CB_OK) {
        snprintf(host, sizeof host, strchr(origin.host, ':') ? "Host: [%s]:%u" : "Host: %s:%u",
                 origin.host, origin.port);
        cb_http_add_line(http, &list, host);
    }
    return list;
}

/* The answer for the connector. There is room for any of its headers' values from here on: none
 * seems to be absent for want of memory. */
static cb_error give_response(cb_http *http, cardbroker_response *response)
{
    const char *text = cb_buf_cstr(&http->headers);
    cb_buf_reset(&http->found);
    cb_buf_put(&http->found, cb_buf_bytes(&http->headers));
    if (!text || !cb_buf_cstr(&http->found))
        return CB_E_MEMORY;
    if (response)
        *response = (cardbroker_response){.size = response->size,
                                          .status = http->status,
                                          .headers = text,
                                          .body = {http->body.data, http->body.len}};
    return CB_OK;
}

cb_error cb_http_exchange(cb_http *http, const cardbroker_request *request,
                          cardbroker_response *response)
{
    cb_origin origin;
    cb_error error = check_request(http, request);
    if (error)
        return error;
    cb_buf_reset(&http->headers);
    cb_buf_reset(&http->body);
    error = cb_http_prepare(http, request, http->login->deadline);
    if (error)
        return error;
    cb_origin_of(request->url, &origin, NULL);
    struct curl_slist *resolve = resolution(http, &origin, request->server_name);
    struct curl_slist *headers = headers_for(http, request);
    CB_HTTP_SET(http, CURLOPT_RESOLVE, resolve);
    CB_HTTP_SET(http, CURLOPT_HTTPHEADER, headers);
    CB_HTTP_SET(http, CURLOPT_WRITEFUNCTION, take_body);
    CB_HTTP_SET(http, CURLOPT_WRITEDATA, http);
    CB_HTTP_SET(http, CURLOPT_COOKIEFILE, "");
    set_method(http, request);
    error = cb_http_perform(http);
    long status = 0;
    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    http->status = (unsigned)status;
    curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(http->easy, CURLOPT_RESOLVE, NULL);
    curl_slist_free_all(resolve);
    curl_slist_free_all(headers);
    return error ? error : give_response(http, response);
}

const char *cb_http_find_header(cb_http *http, const char *name)
{
    size_t len = strlen(name);
    const char *at = cb_buf_cstr(&http->headers);
    for (; at && *at; at = strstr(at, "\r\n") ? strstr(at, "\r\n") + 2 : NULL) {
        if (strncasecmp(at, name, len) != 0 || at[len] != ':')
            continue;
        const char *value = at + len + 1;
        value += strspn(value, " \t");
        cb_buf_reset(&http->found);
        cb_buf_put(&http->found, cb_bytes_make(value, strcspn(value, "\r\n")));
        return cb_buf_cstr(&http->found);
    }
    return NULL;
}

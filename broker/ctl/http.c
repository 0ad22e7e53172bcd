/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

enum { CONNECT_SECONDS = 5, ANSWER_SECONDS = 30 };

struct cb_ctl_http {
    CURL *easy;
    struct curl_slist *headers;
    char socket[108];
    cb_buf answer;
};

void cb_ctl_http_close(cb_ctl_http **http)
{
    if (!*http)
        return;
    if ((*http)->easy)
        curl_easy_cleanup((*http)->easy);
    curl_slist_free_all((*http)->headers);
    cb_buf_free(&(*http)->answer);
    free(*http);
    *http = NULL;
}

static size_t take(char *data, size_t size, size_t count, void *context)
{
    cb_ctl_http *http = context;
    cb_buf_put(&http->answer, cb_bytes_make(data, size * count));
    return cb_buf_error(&http->answer) ? 0 : size * count;
}

/* What never changes between questions. A proxy from the environment must not come between. */
static bool set_up(cb_ctl_http *http)
{
    CURL *easy = http->easy;
    return curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, http->socket) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)ANSWER_SECONDS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "cardbrokerctl/" CB_VERSION) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, http) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers) == CURLE_OK;
}

static cb_ctl_status open_http(cb_ctl *ctl)
{
    static const char *const lines[] = {"Accept: application/json, application/problem+json",
                                        "Content-Type: application/json", "Expect:", NULL};
    cb_ctl_http *http = calloc(1, sizeof *http);
    if (!http)
        return cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    ctl->http = http;
    cb_buf_init(&http->answer, CB_CTL_ANSWER_MAX);
    int len = snprintf(http->socket, sizeof http->socket, "%s/admin.sock", ctl->run);
    if (len < 0 || (size_t)len >= sizeof http->socket) {
        cb_ctl_http_close(&ctl->http);
        cb_ctl_fail(ctl, CB_E_CONFIG, "the path of the run folder is too long for a socket");
        return CB_CTL_CONFIG;
    }
    for (unsigned i = 0; lines[i]; i++) {
        struct curl_slist *more = curl_slist_append(http->headers, lines[i]);
        if (!more) {
            cb_ctl_http_close(&ctl->http);
            return cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
        }
        http->headers = more;
    }
    http->easy = curl_easy_init();
    if (!http->easy || !set_up(http)) {
        cb_ctl_http_close(&ctl->http);
        return cb_ctl_fail(ctl, CB_E_INTERNAL, "libcurl");
    }
    return CB_CTL_DONE;
}

void cb_ctl_answer_free(cb_ctl_answer *answer)
{
    json_decref(answer->body);
    *answer = (cb_ctl_answer){0};
}

static cb_ctl_status no_answer(cb_ctl *ctl, CURLcode code)
{
    long os = 0;
    cb_error unread = cb_buf_error(&ctl->http->answer);
    if (unread)
        return cb_ctl_fail(ctl, unread, "the answer of cardbrokerd");
    curl_easy_getinfo(ctl->http->easy, CURLINFO_OS_ERRNO, &os);
    const char *why =
        code == CURLE_COULDNT_CONNECT && os ? strerror((int)os) : curl_easy_strerror(code);
    char text[512];
    snprintf(text, sizeof text, "%s: %s", ctl->http->socket, why);
    if (code == CURLE_COULDNT_CONNECT && (os == EACCES || os == EPERM)) {
        cb_ctl_fail(ctl, CB_E_DENIED, text);
        return CB_CTL_UNREACHABLE;
    }
    cb_ctl_fail(ctl, code == CURLE_OPERATION_TIMEDOUT ? CB_E_TIMEOUT : CB_E_BROKER_DOWN, text);
    return CB_CTL_UNREACHABLE;
}

static cb_ctl_status read_answer(cb_ctl *ctl, cb_ctl_answer *answer)
{
    cb_ctl_http *http = ctl->http;
    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &answer->status);
    if (http->answer.len == 0)
        return CB_CTL_DONE;
    answer->body = cb_json_load(cb_buf_bytes(&http->answer), JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(answer->body))
        return CB_CTL_DONE;
    if (!answer->body && errno == ENOMEM)
        return cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    cb_ctl_fail(ctl, CB_E_PROTOCOL, "cardbrokerd answered something other than a JSON object");
    cb_ctl_answer_free(answer);
    return CB_CTL_FAILED;
}

/* libcurl copies some of it: what it cannot copy stays as it was for the question before. */
static bool set_question(CURL *easy, const char *method, const char *url, const char *text)
{
    return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDS, text ? text : "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, text ? (long)strlen(text) : 0L) ==
               CURLE_OK &&
           (strcmp(method, "GET") != 0 ||
            curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK) &&
           curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

cb_ctl_status cb_ctl_ask(cb_ctl *ctl, const char *method, const char *path, const json_t *body,
                         cb_ctl_answer *answer)
{
    *answer = (cb_ctl_answer){0};
    char url[CB_CTL_PATH_MAX];
    char *text = body ? cb_json_dumps(body, JSON_COMPACT) : NULL;
    cb_ctl_status status = CB_CTL_DONE;
    if (!ctl->http)
        status = open_http(ctl);
    if (status)
        goto out;
    int len = snprintf(url, sizeof url, "http://cardbrokerd%s", path);
    if ((body && !text) || len < 0 || (size_t)len >= sizeof url) {
        status = cb_ctl_fail(ctl, CB_E_TOO_LARGE, "the request");
        goto out;
    }
    CURL *easy = ctl->http->easy;
    cb_buf_reset(&ctl->http->answer);
    if (!set_question(easy, method, url, text)) {
        status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
        goto out;
    }
    CURLcode code = curl_easy_perform(easy);
    status = code == CURLE_OK ? read_answer(ctl, answer) : no_answer(ctl, code);
    if (status && code != CURLE_COULDNT_CONNECT && strcmp(method, "GET") != 0)
        cb_ctl_note(ctl, "Whether it was done is not known: look before you ask for it again.");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
out:
    free(text);
    return status;
}

/* Members of a problem that are not those which every problem has: tries left, the line of a
 * configuration … */
static void print_details(cb_ctl *ctl, const json_t *problem)
{
    static const char *const common[] = {"type", "title", "status", "code", "detail", "request"};
    cb_buf text = CB_BUF(4096);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)problem, name, value)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
            known = known || strcmp(name, common[i]) == 0;
        if (known)
            continue;
        cb_buf_reset(&text);
        cb_ctl_plain(&text, name);
        cb_buf_put_str(&text, ": ");
        cb_ctl_field(&text, problem, name);
        fprintf(ctl->err, "  %s\n", cb_buf_cstr(&text) ? cb_buf_cstr(&text) : "…");
    }
    cb_buf_reset(&text);
    cb_ctl_plain(&text, cb_ctl_text_field(problem, "request"));
    if (text.len && cb_buf_cstr(&text))
        fprintf(ctl->err, "  request: %s\n", cb_buf_cstr(&text));
    cb_buf_free(&text);
}

cb_ctl_status cb_ctl_problem(cb_ctl *ctl, const cb_ctl_answer *answer)
{
    cb_buf text = CB_BUF(8192);
    const char *code = cb_ctl_text_field(answer->body, "code");
    ctl->for_now = answer->status == 503 || answer->status == 504;
    const char *detail = cb_ctl_text_field(answer->body, "detail");
    if (!*detail)
        detail = cb_ctl_text_field(answer->body, "title");
    if (!*code)
        cb_buf_printf(&text, "error [http.%ld]: ", answer->status);
    else {
        cb_buf_put_str(&text, "error [");
        cb_ctl_plain(&text, code);
        cb_buf_put_str(&text, "]: ");
    }
    cb_ctl_plain(&text, *detail ? detail : "cardbrokerd refused the request and did not say why.");
    fprintf(ctl->err, "%s\n", cb_buf_cstr(&text) ? cb_buf_cstr(&text) : "error");
    if (answer->body)
        print_details(ctl, answer->body);
    cb_buf_free(&text);
    return CB_CTL_FAILED;
}

cb_ctl_status cb_ctl_call(cb_ctl *ctl, const char *method, const char *path, const json_t *body,
                          json_t **out)
{
    cb_ctl_answer answer;
    cb_ctl_status status = cb_ctl_ask(ctl, method, path, body, &answer);
    if (!status && (answer.status < 200 || answer.status > 299))
        status = cb_ctl_problem(ctl, &answer);
    if (!status && out) {
        *out = answer.body;
        answer.body = NULL;
    }
    cb_ctl_answer_free(&answer);
    return status;
}

void cb_ctl_path(cb_buf *out, const char *format, ...)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    va_list list;
    va_start(list, format);
    for (; *format; format++) {
        if (format[0] != '%' || format[1] != 's') {
            cb_buf_put_u8(out, (uint8_t)*format);
            continue;
        }
        for (const char *at = va_arg(list, const char *); *at; at++)
            if (strchr(plain, *at))
                cb_buf_put_u8(out, (uint8_t)*at);
            else
                cb_buf_printf(out, "%%%02X", (unsigned char)*at);
        format++;
    }
    va_end(list);
}

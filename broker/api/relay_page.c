/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/relay_page.h"

#include "broker/http/problem.h"

enum { PAGE_MAX = 4096 };

static const char *title_of(cb_error error)
{
    switch (error) {
    case CB_E_SESSION_ENDED:
        return "This session has ended";
    case CB_E_SESSION_UNKNOWN:
        return "There is no session here";
    default:
        return "The service cannot be shown";
    }
}

/* Nothing from outside goes into the page, so nothing needs escaping. */
cb_error cb_relay_page(cb_stream *stream, cb_error error)
{
    cb_buf page = CB_BUF(PAGE_MAX);
    cb_buf_printf(&page,
                  "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width\">\n<title>%s</title>\n"
                  "<style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}"
                  "code{color:#555}</style>\n</head>\n<body>\n<main>\n<h1>%s</h1>\n<p>%s</p>\n"
                  "<p><code>%s</code></p>\n</main>\n</body>\n</html>\n",
                  title_of(error), title_of(error), cb_error_text(error), cb_error_code(error));
    cb_error sent = cb_buf_error(&page);
    if (!sent)
        sent = cb_stream_head(stream, cb_problem_status(error),
                              "Content-Type: text/html; charset=utf-8\r\n"
                              "Cache-Control: no-store\r\n"
                              "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
                              "X-Content-Type-Options: nosniff\r\n"
                              "Referrer-Policy: no-referrer\r\n",
                              (int64_t)page.len);
    if (!sent)
        sent = cb_stream_write(stream, cb_buf_bytes(&page));
    cb_buf_free(&page);
    return sent;
}

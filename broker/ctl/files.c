/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/json_text.h"
#include "base/text.h"
#include "base/tlv.h"
#include "broker/ctl/http.h"
#include "broker/ctl/pem.h"

enum {
    PEM_FILE_MAX = 256 * 1024,
    OBJECT_MAX = 64 * 1024,
    CVC_MAX = 1024,
    DER_MAX = 64 * 1024,
    HEX_MAX = 128 * 1024
};

/* Says what is wrong with a file. */
static cb_ctl_status bad_file(cb_ctl *ctl, cb_error error, const char *path, const char *what)
{
    char text[512];
    snprintf(text, sizeof text, "%s: %s", path, what);
    return cb_ctl_fail(ctl, error, text);
}

cb_ctl_status cb_ctl_read_file(cb_ctl *ctl, const char *path, cb_buf *out)
{
    errno = 0;
    cb_error error = cb_file_read(strcmp(path, "-") == 0 ? "/dev/stdin" : path, out);
    if (!error)
        return CB_CTL_DONE;
    return bad_file(ctl, error, path, error == CB_E_TOO_LARGE ? "too large" : strerror(errno));
}

cb_ctl_status cb_ctl_read_object(cb_ctl *ctl, const char *path, json_t **out)
{
    cb_buf text = CB_BUF(OBJECT_MAX);
    json_error_t why = {0};
    cb_ctl_status status = cb_ctl_read_file(ctl, path, &text);
    if (status)
        goto out;
    *out = cb_json_load(cb_buf_bytes(&text), JSON_REJECT_DUPLICATES, &why);
    if (!*out && errno == ENOMEM) {
        status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    } else if (!json_is_object(*out)) {
        char line[256];
        snprintf(line, sizeof line, "line %d: %s", why.line, *out ? "not a JSON object" : why.text);
        json_decref(*out);
        *out = NULL;
        status = bad_file(ctl, CB_E_FORMAT, path, line);
    }
out:
    cb_buf_free(&text);
    return status;
}

/* One whole DER SEQUENCE; whether it is a certificate is for the broker to find out. */
static bool is_sequence(cb_bytes der)
{
    cb_cursor cursor = cb_cursor_over(der);
    cb_tlv tlv;
    return cb_tlv_next(&cursor, &tlv) && tlv.tag == 0x30 && cb_cursor_done(&cursor);
}

cb_ctl_status cb_ctl_read_certificates(cb_ctl *ctl, const char *path, unsigned most, cb_buf *pem)
{
    cb_buf text = CB_BUF(PEM_FILE_MAX), der = CB_BUF(DER_MAX);
    char label[CB_PEM_LABEL_MAX];
    unsigned count = 0;
    cb_ctl_status status = cb_ctl_read_file(ctl, path, &text);
    cb_cursor cursor = cb_cursor_over(cb_buf_bytes(&text));
    while (!status && cb_pem_next(&cursor, label, &der)) {
        if (strcmp(label, "CERTIFICATE") == 0) {
            count++;
            if (!is_sequence(cb_buf_bytes(&der)))
                status =
                    bad_file(ctl, CB_E_FORMAT, path, "holds something broken as a certificate");
            cb_pem_put(pem, label, cb_buf_bytes(&der));
        }
        cb_buf_reset(&der);
    }
    if (!status && !cb_cursor_ok(&cursor))
        status = bad_file(ctl, CB_E_FORMAT, path, "is not well-formed PEM");
    else if (!status && count == 0)
        status =
            bad_file(ctl, CB_E_FORMAT, path, "holds no certificate (-----BEGIN CERTIFICATE-----)");
    else if (!status && count > most)
        status = bad_file(ctl, CB_E_FORMAT, path, "holds more certificates than are wanted here");
    else if (!status && cb_buf_error(pem))
        status = bad_file(ctl, cb_buf_error(pem), path, "too large");
    cb_buf_free(&text);
    cb_buf_free(&der);
    return status;
}

cb_ctl_status cb_ctl_read_cvc(cb_ctl *ctl, const char *path, cb_buf *out)
{
    cb_buf raw = CB_BUF(4 * CVC_MAX);
    cb_ctl_status status = cb_ctl_read_file(ctl, path, &raw);
    if (status)
        goto out;
    cb_bytes bytes = cb_buf_bytes(&raw);
    while (bytes.len && strchr(" \t\r\n", bytes.data[bytes.len - 1]))
        bytes.len--;
    if (cb_unhex(bytes, out) != CB_OK)
        cb_buf_put(out, cb_buf_bytes(&raw));
    cb_cursor cursor = cb_cursor_over(cb_buf_bytes(out));
    cb_tlv tlv;
    if (cb_buf_error(out) || !cb_tlv_next(&cursor, &tlv) || tlv.tag != 0x7F21 ||
        !cb_cursor_done(&cursor))
        status =
            bad_file(ctl, CB_E_CARD_CERTIFICATE, path, "is not a card's certificate (tag 7F21)");
out:
    cb_buf_free(&raw);
    return status;
}

static cb_ctl_status write_text(cb_ctl *ctl, const char *path, const cb_buf *text)
{
    errno = 0;
    cb_error error = cb_buf_error(text);
    if (!error && strcmp(path, "-") == 0)
        error = fwrite(text->data, 1, text->len, ctl->out) == text->len ? CB_OK : CB_E_IO;
    else if (!error)
        error = cb_file_replace(path, cb_buf_bytes(text), 0644);
    return error ? bad_file(ctl, error, path, strerror(errno)) : CB_CTL_DONE;
}

cb_ctl_status cb_ctl_write_pem(cb_ctl *ctl, const char *path, const char *label, cb_bytes der)
{
    cb_buf pem = CB_BUF(DER_MAX);
    cb_pem_put(&pem, label, der);
    cb_ctl_status status = write_text(ctl, path, &pem);
    cb_buf_free(&pem);
    return status;
}

cb_ctl_status cb_ctl_write_json(cb_ctl *ctl, const char *path, const json_t *object)
{
    /* Nothing in it acts on a terminal: what is not ASCII, or a control, is escaped. */
    char *line = cb_json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
    cb_buf text = CB_BUF(DER_MAX);
    cb_ctl_status status = line ? CB_CTL_DONE : cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    if (line)
        cb_buf_printf(&text, "%s\n", line);
    if (!status)
        status = write_text(ctl, path, &text);
    cb_buf_free(&text);
    free(line);
    return status;
}

json_t *cb_ctl_hex(cb_bytes bytes)
{
    cb_buf text = CB_BUF(HEX_MAX);
    cb_buf_put_hex(&text, bytes);
    const char *hex = cb_buf_cstr(&text);
    json_t *out = hex ? json_string(hex) : NULL;
    cb_buf_free(&text);
    return out;
}

cb_error cb_ctl_unhex_field(const json_t *object, const char *name, cb_buf *out)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? cb_unhex(cb_bytes_str(text), out) : CB_E_FORMAT;
}

void cb_ctl_put_textn(json_t **object, const char *name, const char *text, size_t len)
{
    if (*object && text && json_object_set_new(*object, name, json_stringn(text, len)) != 0) {
        json_decref(*object);
        *object = NULL;
    }
}

void cb_ctl_put_text(json_t **object, const char *name, const char *text)
{
    cb_ctl_put_textn(object, name, text, text ? strlen(text) : 0);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/secret.h"
#include "base/text.h"

enum { PATH_MAX_LEN = 4096, KEY_TEXT = 2 * CB_P256_SCALAR };

/* SubjectPublicKeyInfo of a P-256 key up to its point (RFC 5480). */
static const uint8_t spki_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48,
                                    0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48,
                                    0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

static cb_error blame(cb_buf *why, const char *path, cb_error error)
{
    if (why->len == 0)
        cb_buf_printf(why, "%s: %s", path, cb_error_text(error));
    return error;
}

/* folder/name in buf, as a string; NULL when it is too long. */
static const char *in_folder(cb_buf *buf, const char *folder, const char *name)
{
    cb_buf_reset(buf);
    cb_buf_printf(buf, "%s/%s", folder, name);
    return cb_buf_cstr(buf);
}

cb_error cb_file_new(const char *path, cb_bytes content, unsigned mode, cb_buf *why)
{
    /* Taken by an empty file first, so that two programs cannot both believe that it is theirs. */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return blame(why, path, errno == EEXIST ? CB_E_EXISTS : CB_E_IO);
    close(fd);
    cb_error error = cb_file_replace(path, content, mode);
    if (error) {
        unlink(path);
        blame(why, path, error);
    }
    return error;
}

static cb_error save_in(const char *folder, const char *name, cb_bytes content, unsigned mode,
                        cb_buf *why)
{
    cb_buf buf = CB_BUF(PATH_MAX_LEN);
    const char *path = in_folder(&buf, folder, name);
    cb_error error = path ? cb_file_new(path, content, mode, why) : CB_E_TOO_LARGE;
    cb_buf_free(&buf);
    return error;
}

/* The key first: a folder with a key in it is somebody's, and nothing more is written there. */
static cb_error save_key(const char *folder, const char *name, const uint8_t scalar[CB_P256_SCALAR],
                         cb_buf *why)
{
    char text[KEY_TEXT + 1];
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return blame(why, folder, CB_E_IO);
    cb_hex(cb_bytes_make(scalar, CB_P256_SCALAR), text);
    cb_error error = save_in(folder, name, cb_bytes_str(text), 0600, why);
    cb_wipe(text, sizeof text);
    return error;
}

static cb_error load_key(const char *folder, const char *name, uint8_t scalar[CB_P256_SCALAR],
                         uint8_t point[CB_P256_POINT], cb_buf *why)
{
    cb_buf buf = CB_BUF(PATH_MAX_LEN), text = CB_BUF(KEY_TEXT + 2);
    const char *path = in_folder(&buf, folder, name);
    cb_error error = path ? cb_config_secret(path, &text, why) : CB_E_TOO_LARGE;
    if (!error && text.len != KEY_TEXT)
        error = CB_E_FORMAT;
    if (!error)
        error = cb_unhex_exact(cb_buf_cstr(&text), scalar, CB_P256_SCALAR);
    if (!error)
        error = cb_p256_public(scalar, point);
    if (error)
        blame(why, path ? path : folder, error);
    cb_buf_free(&text);
    cb_buf_free(&buf);
    return error;
}

cb_error cb_authority_save(const char *folder, const cb_issue_authority *authority,
                           cb_bytes certificate, cb_buf *why)
{
    cb_error error = save_key(folder, "authority.key", authority->scalar, why);
    return error ? error : save_in(folder, "authority.cvc", certificate, 0644, why);
}

cb_error cb_authority_load(const char *folder, cb_issue_authority *out, cb_buf *why)
{
    uint8_t point[CB_P256_POINT];
    cb_buf buf = CB_BUF(PATH_MAX_LEN);
    *out = (cb_issue_authority){0};
    cb_error error = load_key(folder, "authority.key", out->scalar, point, why);
    const char *path = in_folder(&buf, folder, "authority.cvc");
    if (!error)
        error = path ? cb_trust_anchor_read(path, &out->anchor) : CB_E_TOO_LARGE;
    if (!error && memcmp(point, out->anchor.point, CB_P256_POINT) != 0)
        error = CB_E_FORMAT;
    if (error) {
        blame(why, path ? path : folder, error);
        cb_wipe(out, sizeof *out);
    }
    cb_buf_free(&buf);
    return error;
}

cb_error cb_batch_save(const char *folder, const cb_issue_batch *batch, unsigned limit, cb_buf *why)
{
    cb_buf count = CB_BUF(64);
    cb_buf_printf(&count, "0 %u\n", limit);
    cb_error error = save_key(folder, "batch.key", batch->scalar, why);
    if (!error)
        error = save_in(folder, "batch.cvc",
                        cb_bytes_make(batch->certificate, batch->certificate_len), 0644, why);
    if (!error)
        error = save_in(folder, "batch.count", cb_buf_bytes(&count), 0600, why);
    cb_buf_free(&count);
    return error;
}

cb_error cb_batch_load(const char *folder, cb_issue_batch *out, cb_buf *why)
{
    uint8_t point[CB_P256_POINT], certified[CB_P256_POINT];
    cb_buf buf = CB_BUF(PATH_MAX_LEN), certificate = CB_BUF(CB_CVC_MAX);
    *out = (cb_issue_batch){0};
    cb_error error = load_key(folder, "batch.key", out->scalar, point, why);
    const char *path = in_folder(&buf, folder, "batch.cvc");
    /* It has the form of a broker's: a key agreement key that fits into one command. */
    if (!error)
        error = path ? cb_broker_certificate_read(path, CB_CVC_AGREEMENT, &certificate, certified)
                     : CB_E_TOO_LARGE;
    if (!error && memcmp(point, certified, CB_P256_POINT) != 0)
        error = CB_E_FORMAT;
    if (!error) {
        memcpy(out->certificate, certificate.data, certificate.len);
        out->certificate_len = certificate.len;
    } else {
        blame(why, path ? path : folder, error);
        cb_wipe(out, sizeof *out);
    }
    cb_buf_free(&certificate);
    cb_buf_free(&buf);
    return error;
}

static cb_error count_one(const char *path)
{
    unsigned issued, limit;
    int end = 0;
    cb_buf text = CB_BUF(64);
    cb_error error = cb_file_read(path, &text);
    const char *line = error ? NULL : cb_buf_cstr(&text);
    if (!error && (!line || sscanf(line, "%9u %9u %n", &issued, &limit, &end) != 2 || line[end]))
        error = CB_E_FORMAT;
    if (!error && issued >= limit)
        error = CB_E_STATE;
    if (!error) {
        cb_buf_reset(&text);
        cb_buf_printf(&text, "%u %u\n", issued + 1, limit);
        error = cb_file_replace(path, cb_buf_bytes(&text), 0600);
    }
    cb_buf_free(&text);
    return error;
}

cb_error cb_batch_take(const char *folder, cb_buf *why)
{
    cb_buf buf = CB_BUF(PATH_MAX_LEN);
    const char *path = in_folder(&buf, folder, "batch.count");
    int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cb_error error = path && lock >= 0 && flock(lock, LOCK_EX) == 0 ? count_one(path) : CB_E_IO;
    if (error == CB_E_STATE)
        cb_buf_printf(why, "%s: the batch is full; make a new one", folder);
    else if (error)
        blame(why, path ? path : folder, error);
    if (lock >= 0)
        close(lock);
    cb_buf_free(&buf);
    return error;
}

static bool take_point(cb_bytes bytes, uint8_t point[CB_P256_POINT])
{
    cb_cursor cursor = cb_cursor_over(bytes);
    if (bytes.len == sizeof spki_head + CB_P256_POINT &&
        !cb_bytes_same(cb_cursor_take(&cursor, sizeof spki_head), CB_BYTES_OF(spki_head)))
        return false;
    cb_bytes rest = cb_cursor_rest(&cursor);
    if (!cb_p256_is_point(rest))
        return false;
    memcpy(point, rest.data, CB_P256_POINT);
    return true;
}

cb_error cb_point_read(const char *path, uint8_t point[CB_P256_POINT], cb_buf *why)
{
    cb_buf file = CB_BUF(512), bytes = CB_BUF(256);
    cb_error error = cb_file_read(path, &file);
    if (!error && !take_point(cb_buf_bytes(&file), point)) {
        cb_bytes text = cb_buf_bytes(&file);
        while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
            text.len--;
        error = cb_unhex(text, &bytes);
        if (!error && !take_point(cb_buf_bytes(&bytes), point))
            error = CB_E_FORMAT;
    }
    if (error == CB_E_FORMAT)
        cb_buf_printf(why, "%s: not a P-256 public key (65 bytes, DER, or either in hexadecimal)",
                      path);
    else if (error)
        blame(why, path, error);
    cb_buf_free(&file);
    cb_buf_free(&bytes);
    return error;
}

cb_error cb_kloc_read(const char *text, cb_vcard_kloc *out, cb_buf *why)
{
    cb_trust_anchor anchor;
    cb_buf buf = CB_BUF(PATH_MAX_LEN);
    unsigned key_id = 0, key_version = 0;
    int end = 0;
    size_t len = strlen(text);
    const char *numbers = len > 6 ? &text[len - 6] : "";
    *out = (cb_vcard_kloc){0};
    if (sscanf(numbers, ":%2x:%2x%n", &key_id, &key_version, &end) != 2 || end != 6 ||
        !cb_native_kloc_id_ok((uint8_t)key_id)) {
        cb_buf_printf(
            why, "%s: not FILE:KID:KVN with two hexadecimal digits each, KID 10 or 20 to 2F", text);
        return CB_E_ARGUMENT;
    }
    cb_buf_put(&buf, cb_bytes_make(text, len - 6));
    const char *path = cb_buf_cstr(&buf);
    cb_error error = path ? cb_trust_anchor_read(path, &anchor) : CB_E_TOO_LARGE;
    if (!error) {
        out->key_id = (uint8_t)key_id;
        out->key_version = (uint8_t)key_version;
        out->name_len = (uint8_t)anchor.name_len;
        memcpy(out->name, anchor.name, anchor.name_len);
        memcpy(out->point, anchor.point, CB_P256_POINT);
    } else {
        blame(why, path ? path : text, error);
    }
    cb_buf_free(&buf);
    return error;
}

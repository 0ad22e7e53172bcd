/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/content.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/crypto.h"
#include "cardlink/card/card.h"
#include "cardlink/card/native/application.h"

enum { ATR_MIN = 2 };

static const uint8_t magic[] = {'C', 'B', 'V', 'C', 0x00, 0x02}; /* the last two: version */
/* A native application alone (native/state.h). */
static const uint8_t magic_silent[] = {'C', 'B', 'V', 'C', 0x00, CB_VCARD_SILENT};
static const uint8_t magic_tells[] = {'C', 'B', 'V', 'C', 0x00, CB_VCARD_TELLS};

cb_error cb_card_content_add(cb_card_content *content, const cb_applet *applet, cb_bytes state)
{
    if (content->count == CB_CARD_APPLETS_MAX)
        return CB_E_TOO_LARGE;
    for (size_t i = 0; i < content->count; i++) {
        if (content->part[i].applet == applet)
            return CB_E_EXISTS;
    }
    content->part[content->count++] = (cb_card_part){applet, state};
    return CB_OK;
}

cb_error cb_card_content_set_atr(cb_card_content *content, cb_bytes atr)
{
    if (atr.len < ATR_MIN || atr.len > CB_CARD_ATR_MAX)
        return CB_E_ARGUMENT;
    memcpy(content->atr, atr.data, atr.len);
    content->atr_len = atr.len;
    return CB_OK;
}

static bool native_alone(const cb_card_content *content)
{
    return content->count == 1 && content->part[0].applet == &cb_applet_native &&
           cb_bytes_same(cb_bytes_make(content->atr, content->atr_len), CB_BYTES_OF(cb_vcard_atr));
}

void cb_card_content_put(cb_buf *file, const cb_card_content *content)
{
    size_t start = file->len;
    if (native_alone(content)) {
        cb_buf_put(file, content->part[0].state);
        return;
    }
    cb_buf_put(file, CB_BYTES_OF(magic));
    cb_buf_put_u8(file, (uint8_t)content->atr_len);
    cb_buf_put(file, cb_bytes_make(content->atr, content->atr_len));
    cb_buf_put_u8(file, (uint8_t)content->count);
    for (size_t i = 0; i < content->count; i++) {
        cb_bytes name = cb_bytes_str(content->part[i].applet->name);
        cb_buf_put_u8(file, (uint8_t)name.len);
        cb_buf_put(file, name);
        cb_buf_put_var(file, content->part[i].state);
    }
    if (cb_buf_error(file))
        return;
    cb_digest digest = cb_sha256(cb_bytes_make(&file->data[start], file->len - start));
    cb_buf_put(file, cb_digest_bytes(&digest));
}

static void get_part(cb_cursor *cursor, cb_card_content *out)
{
    size_t name_len = cb_cursor_u8(cursor);
    const cb_applet *applet = cb_applet_named(cb_cursor_take(cursor, name_len));
    cb_bytes state = cb_cursor_var(cursor, CB_CARD_STATE_MAX);
    if (!applet || cb_card_content_add(out, applet, state))
        cb_cursor_fail(cursor);
}

static cb_error parse_mixed(cb_bytes file, cb_card_content *out)
{
    cb_cursor cursor = cb_cursor_over(file);
    cb_cursor body = cb_cursor_over(cb_cursor_take(&cursor, file.len - CB_SHA256_SIZE));
    cb_digest digest = cb_sha256(body.rest);
    bool good = cb_bytes_same(cb_cursor_rest(&cursor), cb_digest_bytes(&digest));
    cb_cursor_take(&body, sizeof magic);
    size_t atr_len = cb_cursor_u8(&body);
    if (cb_card_content_set_atr(out, cb_cursor_take(&body, atr_len)))
        cb_cursor_fail(&body);
    size_t count = cb_cursor_u8(&body);
    for (size_t i = 0; cb_cursor_ok(&body) && i < count; i++)
        get_part(&body, out);
    return good && cb_cursor_done(&body) && out->count > 0 ? CB_OK : CB_E_FORMAT;
}

cb_error cb_card_content_parse(cb_bytes file, cb_card_content *out)
{
    *out = (cb_card_content){0};
    cb_cursor cursor = cb_cursor_over(file);
    cb_bytes head = cb_cursor_take(&cursor, sizeof magic);
    cb_error error = CB_E_FORMAT;
    if (cb_bytes_same(head, CB_BYTES_OF(magic_silent)) ||
        cb_bytes_same(head, CB_BYTES_OF(magic_tells))) {
        error = cb_card_content_set_atr(out, CB_BYTES_OF(cb_vcard_atr));
        if (!error)
            error = cb_card_content_add(out, &cb_applet_native, file);
    } else if (cb_bytes_same(head, CB_BYTES_OF(magic)) &&
               file.len > sizeof magic + CB_SHA256_SIZE) {
        error = parse_mixed(file, out);
    }
    if (error)
        *out = (cb_card_content){0};
    return error;
}

/* By another name, or for somebody else, there would be a card that goes on with the tries and the
 * count of before. */
static cb_error is_private(const char *path)
{
    struct stat about;
    if (lstat(path, &about) != 0)
        return errno == ENOENT ? CB_E_NOT_FOUND : CB_E_IO;
    bool good = S_ISREG(about.st_mode) && about.st_nlink == 1 && (about.st_mode & 077) == 0;
    return good ? CB_OK : CB_E_DENIED;
}

cb_error cb_card_file_read(const char *path, cb_buf *file)
{
    cb_error error = is_private(path);
    return error ? error : cb_file_read(path, file);
}

cb_error cb_card_file_lock(const char *path, int *out)
{
    cb_buf name = CB_BUF(4096);
    cb_buf_printf(&name, "%s.lock", path);
    const char *lock_path = cb_buf_cstr(&name);
    cb_error error = lock_path ? CB_OK : CB_E_TOO_LARGE;
    if (!error) {
        *out = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (*out < 0)
            error = CB_E_IO;
        else if (flock(*out, LOCK_EX | LOCK_NB) != 0)
            error = CB_E_BUSY;
    }
    cb_buf_free(&name);
    return error;
}

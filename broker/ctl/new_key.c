/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/new_key.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/ctl/files.h"
#include "broker/ctl/secret_in.h"
#include "broker/ctl/subject.h"
#include "broker/ctl/wrap.h"

enum { KEY_FILE_MAX = 64 * 1024, SECRET_MAX = 1024, USES_MAX = 16 };

void cb_ctl_new_key_init(cb_ctl_new_key *key)
{
    *key = (cb_ctl_new_key){.info.uses = 1};
    cb_buf_init(&key->subject, CB_SUBJECT_MAX);
    cb_buf_init(&key->plain, CB_CTL_KEY_MAX);
    cb_buf_init(&key->sealed, CB_SEALED_MAX);
    cb_buf_init(&key->public_key, CB_PUBLIC_KEY_MAX);
    cb_buf_init(&key->csr, CB_CTL_CSR_MAX);
}

void cb_ctl_new_key_free(cb_ctl_new_key *key)
{
    cb_buf_free(&key->subject);
    cb_buf_free(&key->plain);
    cb_buf_free(&key->sealed);
    cb_buf_free(&key->public_key);
    cb_buf_free(&key->csr);
}

static bool is_secret(const cb_ctl_new_key *key)
{
    return key->info.algorithm == CB_KEY_SECRET || key->info.algorithm == CB_KEY_HMAC_SHA256;
}

static void warn_if_open(cb_ctl *ctl, const char *path)
{
    struct stat about;
    if (strcmp(path, "-") != 0 && stat(path, &about) == 0 && S_ISREG(about.st_mode) &&
        (about.st_mode & 077))
        cb_ctl_note(ctl, "warning: %s can be read by others: whoever read it has the key.", path);
}

static cb_ctl_status read_file_key(cb_ctl *ctl, const char *path, cb_ctl_new_key *key)
{
    cb_buf file = CB_BUF(KEY_FILE_MAX);
    warn_if_open(ctl, path);
    cb_ctl_status status = cb_ctl_read_file(ctl, path, &file);
    cb_bytes bytes = cb_buf_bytes(&file);
    cb_error error = CB_OK;
    if (!status && key->info.algorithm == CB_KEY_SECRET && bytes.len &&
        bytes.data[bytes.len - 1] == '\n')
        bytes.len--; /* passwords are kept in files with a line's end; keys for MACs are bytes */
    if (!status && is_secret(key) && bytes.len <= SECRET_MAX)
        cb_buf_put(&key->plain, bytes);
    else if (!status)
        error = is_secret(key) ? CB_E_TOO_LARGE : cb_ctl_private_key(bytes, &key->plain);
    if (!status && !error)
        error = cb_buf_error(&key->plain) ? cb_buf_error(&key->plain)
                : key->plain.len          ? CB_OK
                                          : CB_E_FORMAT;
    if (error)
        status = cb_ctl_fail(
            ctl, error,
            is_secret(key)
                ? "the secret in the file is empty or larger than 1024 bytes"
                : "the file holds no private key in clear (PEM or DER); of an encrypted one: "
                  "openssl pkey -in FILE | cardbrokerctl … --import -");
    cb_buf_free(&file);
    return status;
}

static cb_ctl_status read_plain(cb_ctl *ctl, const cb_ctl_args *args, cb_ctl_new_key *key)
{
    const char *file = cb_ctl_arg(args, "import"), *fd = cb_ctl_arg(args, "secret-fd");
    if (file && fd)
        return cb_ctl_misuse(ctl, "--import and --secret-fd cannot both be given");
    if (fd && !is_secret(key))
        return cb_ctl_misuse(ctl, "--secret-fd is for the algorithms secret and hmac-sha256");
    if (file)
        return read_file_key(ctl, file, key);
    if (fd || key->info.algorithm == CB_KEY_SECRET) {
        key->plain.max = SECRET_MAX;
        return cb_ctl_secret(ctl, fd, &key->plain);
    }
    return CB_CTL_DONE;
}

static cb_ctl_status read_subject(cb_ctl *ctl, const cb_ctl_args *args, cb_ctl_new_key *key)
{
    const char *subject = cb_ctl_arg(args, "subject"), *csr = cb_ctl_arg(args, "csr");
    if (!subject != !csr)
        return cb_ctl_misuse(ctl, "--csr and --subject belong together");
    if (!csr)
        return CB_CTL_DONE;
    if (is_secret(key) || cb_ctl_arg(args, "import"))
        return cb_ctl_misuse(ctl, "a request is made only for a key pair that hsmd makes");
    cb_buf why = CB_BUF(512);
    cb_ctl_status status = CB_CTL_DONE;
    if (cb_subject_parse(subject, &key->subject, &why))
        status = cb_ctl_misuse(ctl, "--subject: %s", cb_buf_cstr(&why));
    cb_buf_free(&why);
    return status;
}

cb_ctl_status cb_ctl_new_key_read(cb_ctl *ctl, const cb_ctl_args *args, cb_ctl_new_key *key)
{
    const char *algorithm = cb_ctl_arg(args, "algorithm");
    uint64_t uses = 1;
    if (cb_key_algorithm_parse(algorithm, &key->info.algorithm))
        return cb_ctl_misuse(ctl,
                             "\"%s\" is not an algorithm: ec-p256, ec-p384, rsa-2048, rsa-3072, "
                             "hmac-sha256 or secret",
                             algorithm);
    if (cb_ctl_number(cb_ctl_arg(args, "uses"), USES_MAX, &uses) || uses == 0)
        return cb_ctl_misuse(ctl, "--uses is a number from 1 to %d", USES_MAX);
    if (is_secret(key) && cb_ctl_arg(args, "public-key"))
        return cb_ctl_misuse(ctl, "a secret has no public key");
    key->info.uses = (uint8_t)uses;
    cb_ctl_status status = read_subject(ctl, args, key);
    return status ? status : read_plain(ctl, args, key);
}

static cb_error import(cb_hsm *hsm, cb_ctl_new_key *key)
{
    cb_buf import_key = CB_BUF(CB_PUBLIC_KEY_MAX), wrapped = CB_BUF(CB_CTL_WRAPPED_MAX);
    cb_error error = cb_hsm_public_key(hsm, "import", &import_key);
    if (!error)
        error = cb_ctl_wrap(cb_buf_bytes(&import_key), cb_buf_bytes(&key->plain), &wrapped);
    cb_buf_free(&key->plain);
    if (!error)
        error =
            cb_hsm_import(hsm, &key->info, cb_buf_bytes(&wrapped), &key->sealed, &key->public_key);
    cb_buf_free(&import_key);
    cb_buf_free(&wrapped);
    return error;
}

cb_ctl_status cb_ctl_new_key_make(cb_ctl *ctl, cb_ctl_new_key *key)
{
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_error error = CB_E_MEMORY;
    if (hsm && key->plain.len)
        error = import(hsm, key);
    else if (hsm)
        error = cb_hsm_generate(hsm, &key->info, cb_buf_bytes(&key->subject), &key->sealed,
                                &key->public_key, key->subject.len ? &key->csr : NULL);
    return error ? cb_ctl_fail_hsm(ctl, error, "hsmd made no key; nothing was recorded")
                 : CB_CTL_DONE;
}

cb_ctl_status cb_ctl_new_key_write(cb_ctl *ctl, const cb_ctl_args *args, const cb_ctl_new_key *key)
{
    const char *csr = cb_ctl_arg(args, "csr"), *public_key = cb_ctl_arg(args, "public-key");
    cb_ctl_status status = CB_CTL_DONE;
    if (csr)
        status = cb_ctl_write_pem(ctl, csr, "CERTIFICATE REQUEST", cb_buf_bytes(&key->csr));
    if (!status && public_key)
        status = cb_ctl_write_pem(ctl, public_key, "PUBLIC KEY", cb_buf_bytes(&key->public_key));
    return status;
}

void cb_ctl_new_key_unwrite(const cb_ctl_args *args)
{
    static const char *const names[] = {"csr", "public-key"};
    struct stat about;
    for (unsigned i = 0; i < 2; i++) {
        const char *path = cb_ctl_arg(args, names[i]);
        if (path && lstat(path, &about) == 0 && S_ISREG(about.st_mode))
            unlink(path);
    }
}

json_t *cb_ctl_new_key_json(const cb_ctl_new_key *key)
{
    if (key->public_key.len == 0)
        return json_pack("{s:o}", "sealed", cb_ctl_hex(cb_buf_bytes(&key->sealed)));
    return json_pack("{s:o,s:o}", "sealed", cb_ctl_hex(cb_buf_bytes(&key->sealed)), "public_key",
                     cb_ctl_hex(cb_buf_bytes(&key->public_key)));
}

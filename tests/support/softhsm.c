/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/softhsm.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static void give_up(const char *what)
{
    fprintf(stderr, "softhsm: %s\n", what);
    abort();
}

static cb_buf text_buf(const char *text)
{
    cb_buf buf = CB_BUF(64);
    cb_buf_put_str(&buf, text);
    return buf;
}

cb_buf softhsm_pin(void)
{
    return text_buf("123456");
}

cb_buf softhsm_so_pin(void)
{
    return text_buf("87654321");
}

cb_token_config softhsm_config(const softhsm *hsm)
{
    return (cb_token_config){.module = SOFTHSM_MODULE, .label = "cardbroker", .lock = hsm->lock};
}

static void write_configuration(const softhsm *hsm)
{
    char path[96];
    snprintf(path, sizeof path, "%s/softhsm2.conf", hsm->folder);
    FILE *file = fopen(path, "w");
    if (!file)
        give_up("cannot write its configuration");
    fprintf(file, "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n",
            hsm->folder);
    fclose(file);
    setenv("SOFTHSM2_CONF", path, 1);
    snprintf(path, sizeof path, "%s/tokens", hsm->folder);
    mkdir(path, 0700);
}

void softhsm_make(softhsm *hsm)
{
    unsigned made;
    cb_buf pin = softhsm_pin(), so_pin = softhsm_so_pin();
    cb_log_init("test", CB_LOG_WARNING);
    strcpy(hsm->folder, "/tmp/cb-softhsm-XXXXXX");
    if (!mkdtemp(hsm->folder))
        give_up("no temporary folder");
    snprintf(hsm->lock, sizeof hsm->lock, "%s/lock", hsm->folder);
    write_configuration(hsm);
    cb_initialise_options options = {
        .token = softhsm_config(hsm), .make_token = true, .so_pin = &so_pin, .pin = &pin};
    if (cb_hsm_initialise(&options, &made))
        give_up("the token cannot be made");
}

cb_keyring *softhsm_open(const softhsm *hsm)
{
    cb_keyring *keyring = NULL;
    cb_buf pin = softhsm_pin();
    cb_token_config config = softhsm_config(hsm);
    if (cb_keyring_open(&config, &pin, &keyring))
        give_up("the keyring cannot be opened");
    return keyring;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about, (void)kind, (void)where;
    return remove(path);
}

void softhsm_remove(softhsm *hsm)
{
    nftw(hsm->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

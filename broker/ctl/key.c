/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's own keys and the generations of the key-encryption keys, all of which rest in the
 * HSM.
 */
#include <string.h>

#include "base/text.h"
#include "broker/ctl/commands.h"
#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"
#include "broker/ctl/pem.h"
#include "broker/ctl/rewrap.h"

static cb_ctl_status print_key(cb_ctl *ctl, const char *name, cb_bytes der)
{
    cb_buf pem = CB_BUF(4096);
    char hex[2 * CB_SHA256_SIZE + 1];
    cb_digest digest = cb_sha256(der);
    cb_ctl_status status = CB_CTL_DONE;
    cb_pem_put(&pem, "PUBLIC KEY", der);
    cb_hex(cb_digest_bytes(&digest), hex);
    if (ctl->json) {
        json_t *key = json_pack("{s:s,s:o,s:s#,s:s}", "name", name, "public_key", cb_ctl_hex(der),
                                "pem", (const char *)pem.data, (int)pem.len, "sha256", hex);
        status = cb_ctl_json(ctl, key);
        json_decref(key);
    } else {
        fwrite(pem.data, 1, pem.len, ctl->out);
        cb_ctl_note(ctl, "SHA-256 of the key: %s", hex);
    }
    cb_buf_free(&pem);
    return status;
}

static cb_ctl_status show(cb_ctl *ctl, const cb_ctl_args *args)
{
    static const char *const names[] = {"card-agreement", "card-signature", "log", "import"};
    const char *name = args->operand[0];
    bool known =
        strncmp(name, "card-agreement.", 15) == 0 || strncmp(name, "card-signature.", 15) == 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        known = known || strcmp(name, names[i]) == 0;
    if (!known)
        return cb_ctl_misuse(
            ctl, "\"%s\" is not a key: card-agreement, card-signature, log or import", name);
    cb_buf der = CB_BUF(CB_PUBLIC_KEY_MAX);
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_error error = hsm ? cb_hsm_public_key(hsm, name, &der) : CB_E_MEMORY;
    cb_ctl_status status =
        error ? cb_ctl_fail_hsm(ctl, error, NULL) : print_key(ctl, name, cb_buf_bytes(&der));
    cb_buf_free(&der);
    return status;
}

static cb_ctl_status new_generation(cb_ctl *ctl, const cb_ctl_args *args)
{
    (void)args;
    uint32_t generation = 0;
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_error error = hsm ? cb_hsm_new_generation(hsm, &generation) : CB_E_MEMORY;
    if (error)
        return cb_ctl_fail_hsm(ctl, error, "no new generation was made");
    json_t *now = json_pack("{s:I}", "generation", (json_int_t)generation);
    cb_ctl_status status = cb_ctl_done(
        ctl, now, "generation %u of the key-encryption keys is in use", (unsigned)generation);
    json_decref(now);
    return status;
}

const cb_ctl_command cb_ctl_key_commands[] = {
    {"key", "show", "NAME", 1, 1, NULL,
     "Show a public key of the broker: card-agreement, card-signature, log, import", show},
    {"key", "new-generation", "", 0, 0, NULL, "Start a new generation of the key-encryption keys",
     new_generation},
    {"key", "rewrap-all", "", 0, 0, NULL, "Seal every key again under the newest generation",
     cb_ctl_key_rewrap_all},
    {0}};

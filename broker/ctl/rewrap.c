/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sealing every key again under the newest generation of the key-encryption keys, while the broker
 * serves: each key is fetched, sealed anew by hsmd and put back, one at a time. A run that stops
 * half-way has lost nothing, and the next goes on where it stopped, for keys of the newest
 * generation are left as they are.
 */
#include "broker/ctl/rewrap.h"

#include "broker/ctl/files.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"
#include "broker/ctl/resolve.h"

typedef struct rewrap {
    cb_ctl *ctl;
    cb_hsm *hsm;
    uint32_t newest;
    json_int_t done, current; /* sealed anew; of the newest generation already */
    const char *enrolment;    /* being worked on; borrowed */
} rewrap;

static cb_ctl_status put_back(rewrap *r, cb_bytes sealed)
{
    cb_buf path = CB_BUF(CB_CTL_PATH_MAX);
    json_t *body = json_pack("{s:o}", "sealed", cb_ctl_hex(sealed));
    cb_ctl_path(&path, "/v1/enrolments/%s/rewrap", r->enrolment);
    const char *url = cb_buf_cstr(&path);
    cb_ctl_status status = body && url ? cb_ctl_call(r->ctl, "POST", url, body, NULL)
                                       : cb_ctl_fail(r->ctl, CB_E_MEMORY, NULL);
    json_decref(body);
    cb_buf_free(&path);
    return status;
}

static cb_ctl_status rewrap_key(rewrap *r, const json_t *key)
{
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), anew = CB_BUF(CB_SEALED_MAX);
    cb_ctl_status status = CB_CTL_DONE;
    if (json_integer_value(json_object_get(key, "generation")) >= (json_int_t)r->newest) {
        r->current++;
        return status;
    }
    if (cb_ctl_unhex_field(key, "sealed", &sealed))
        status = cb_ctl_fail(r->ctl, CB_E_PROTOCOL, "a sealed key is missing in the answer");
    cb_error error = status ? CB_OK : cb_hsm_rewrap(r->hsm, cb_buf_bytes(&sealed), &anew);
    if (error)
        status = cb_ctl_fail_hsm(r->ctl, error, "hsmd did not seal a key anew; it stays as it was");
    if (!status)
        status = put_back(r, cb_buf_bytes(&anew));
    r->done += !status;
    cb_buf_free(&sealed);
    cb_buf_free(&anew);
    return status;
}

static cb_ctl_status rewrap_enrolment(void *context, json_t *enrolment)
{
    rewrap *r = context;
    cb_buf path = CB_BUF(CB_CTL_PATH_MAX);
    json_t *answer = NULL, *key;
    size_t index;
    r->enrolment = cb_ctl_text_field(enrolment, "id");
    if (!json_is_object(json_object_get(enrolment, "key")) &&
        !json_is_object(json_object_get(enrolment, "next_key")))
        return CB_CTL_DONE; /* removed */
    cb_ctl_path(&path, "/v1/enrolments/%s/sealed", r->enrolment);
    const char *url = cb_buf_cstr(&path);
    cb_ctl_status status = url ? cb_ctl_call(r->ctl, "GET", url, NULL, &answer)
                               : cb_ctl_fail(r->ctl, CB_E_MEMORY, NULL);
    json_array_foreach(json_object_get(answer, "keys"), index, key)
    {
        if (!status)
            status = rewrap_key(r, key);
    }
    if (status)
        cb_ctl_note(r->ctl, "It was a key of enrolment %s.", r->enrolment);
    json_decref(answer);
    cb_buf_free(&path);
    return status;
}

cb_ctl_status cb_ctl_key_rewrap_all(cb_ctl *ctl, const cb_ctl_args *args)
{
    (void)args;
    rewrap r = {.ctl = ctl, .hsm = cb_ctl_hsm(ctl)};
    cb_hsm_state state;
    cb_error error = r.hsm ? cb_hsm_status(r.hsm, &state) : CB_E_MEMORY;
    if (error)
        return cb_ctl_fail_hsm(ctl, error, NULL);
    r.newest = state.generation;
    cb_ctl_status status = cb_ctl_walk(ctl, "/v1/enrolments", "enrolments", rewrap_enrolment, &r);
    if (status) {
        cb_ctl_note(ctl, "%lld keys were sealed anew; run the command again to go on.",
                    (long long)r.done);
        return status;
    }
    json_t *now = json_pack("{s:I,s:I,s:I}", "generation", (json_int_t)r.newest, "rewrapped",
                            r.done, "already", r.current);
    status = cb_ctl_done(ctl, now, "%lld keys sealed under generation %u; %lld were already",
                         (long long)r.done, (unsigned)r.newest, (long long)r.current);
    json_decref(now);
    return status;
}

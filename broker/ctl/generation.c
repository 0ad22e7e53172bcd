/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * generation retire: recorded first, with what it costs, then told to hsmd, which does not take the
 * front end's word for it. Before both hsmd is asked whether it would: what it refuses is not to
 * stand in the record as done.
 */
#include "broker/ctl/commands.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"
#include "cardlink/native/native.h"

enum { LOSE_MAX = 2000000000 };

static cb_ctl_status record(cb_ctl *ctl, uint64_t version, uint64_t lose, const char *reason,
                            json_t **said)
{
    json_t *body = json_pack("{s:I,s:I,s:s}", "generation", (json_int_t)version, "lose",
                             (json_int_t)lose, "reason", reason);
    cb_ctl_status status = body ? cb_ctl_call(ctl, "POST", "/v1/generations/retire", body, said)
                                : cb_ctl_fail_text(ctl, "--reason", reason);
    json_decref(body);
    return status;
}

static cb_ctl_status retire(cb_ctl *ctl, const cb_ctl_args *args)
{
    uint64_t version = 0, lose = 0;
    const char *count = cb_ctl_arg(args, "lose");
    json_t *said = NULL;
    if (cb_ctl_number(args->operand[0], CB_NATIVE_VERSION_MAX, &version) || version == 0)
        return cb_ctl_misuse(ctl, "a generation is a key version, 1 to 127");
    if (count && cb_ctl_number(count, LOSE_MAX, &lose))
        return cb_ctl_misuse(ctl, "--lose is a number of cards");
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_error error = hsm ? cb_hsm_may_retire_generation(hsm, (uint8_t)version) : CB_E_MEMORY;
    if (error)
        return cb_ctl_fail_hsm(ctl, error, "nothing was recorded or retired");
    cb_ctl_status status = record(ctl, version, lose, cb_ctl_arg(args, "reason"), &said);
    if (status)
        return status;
    error = cb_hsm_retire_generation(hsm, (uint8_t)version);
    if (error)
        status = cb_ctl_fail_hsm(
            ctl, error,
            "it is on record, but hsmd still serves that generation: run this command again");
    else
        status = cb_ctl_done(ctl, said,
                             "generation %u is retired: cards that have no newer one are refused",
                             (unsigned)version);
    json_decref(said);
    return status;
}

static const cb_ctl_option retire_options[] = {
    {"lose", "N", "how many cards may be lost, as they are counted (default 0)", false, false},
    {"reason", "TEXT", "a word for the record", true, false},
    {0}};

const cb_ctl_command cb_ctl_generation_commands[] = {
    {"generation", "retire", "VERSION", 1, 1, retire_options,
     "Serve cards no more that have no newer generation of the authority above this broker",
     retire},
    {0}};

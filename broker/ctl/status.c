/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How the broker and the key service are.
 */
#include "broker/ctl/commands.h"
#include "broker/ctl/http.h"
#include "broker/ctl/output.h"

enum { NAME_WIDTH = 18, DEPTH_MAX = 2 };

static json_t *hsm_state(cb_ctl *ctl, cb_ctl_status *status)
{
    cb_hsm_state state = {0};
    cb_hsm *hsm = cb_ctl_hsm(ctl);
    cb_error error = hsm ? cb_hsm_status(hsm, &state) : CB_E_MEMORY;
    if (error) {
        *status = cb_ctl_fail_hsm(ctl, error, "the key service");
        return NULL;
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:b}", "workers", (json_int_t)state.workers,
                     "generation", (json_int_t)state.generation, "objects",
                     (json_int_t)state.objects, "feed_number", (json_int_t)state.feed_number,
                     "log_size", (json_int_t)state.log_size, "separated", (int)state.separated);
}

/* title is harmless already: our own, or from cb_ctl_plain. */
static void print_part(cb_ctl *ctl, unsigned depth, const char *title, const json_t *part)
{
    const char *name;
    json_t *value;
    cb_buf line = CB_BUF(4096);
    fprintf(ctl->out, "%*s%s\n", (int)(2 * depth), "", title);
    json_object_foreach((json_t *)(uintptr_t)part, name, value)
    {
        cb_buf_reset(&line);
        cb_ctl_plain(&line, name);
        if (json_is_object(json_is_array(value) ? json_array_get(value, 0) : value) &&
            depth < DEPTH_MAX) {
            const char *plain = cb_buf_cstr(&line) ? cb_buf_cstr(&line) : "?";
            for (size_t i = 0; i < json_array_size(value); i++)
                print_part(ctl, depth + 1, plain, json_array_get(value, i));
            if (json_is_object(value))
                print_part(ctl, depth + 1, plain, value);
            continue;
        }
        while (line.len < NAME_WIDTH)
            cb_buf_put_u8(&line, ' ');
        cb_buf_put_u8(&line, ' ');
        cb_ctl_field(&line, part, name);
        fprintf(ctl->out, "%*s%s\n", (int)(2 * depth + 2), "",
                cb_buf_cstr(&line) ? cb_buf_cstr(&line) : "?");
    }
    cb_buf_free(&line);
}

/* What a country would not want, and a first run cannot do without. */
static void warn_of_rules(cb_ctl *ctl, const json_t *broker)
{
    static const struct {
        const char *rule, *text;
    } known[] = {{"applications", "warning: cards may be issued without an approved application "
                                  "(applications in the section cards of cardbroker.conf(5))."},
                 {"stock", "warning: cards may be issued that no manufacturer's list has (stock in "
                           "the section cards of cardbroker.conf(5))."}};
    const json_t *rules = json_object_get(broker, "card_rules");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *is = json_string_value(json_object_get(rules, known[i].rule));
        if (is && strcmp(is, "optional") == 0)
            cb_ctl_note(ctl, "%s", known[i].text);
    }
}

static cb_ctl_status status_command(cb_ctl *ctl, const cb_ctl_args *args)
{
    (void)args;
    json_t *broker = NULL;
    cb_ctl_status of_hsm = CB_CTL_DONE,
                  of_broker = cb_ctl_call(ctl, "GET", "/v1/status", NULL, &broker);
    json_t *hsm = hsm_state(ctl, &of_hsm);
    json_t *both = json_pack("{s:O?,s:O?}", "broker", broker, "hsm", hsm);
    if (ctl->json) {
        cb_ctl_json(ctl, both);
    } else {
        print_part(ctl, 0, broker ? "broker" : "broker: not reachable", broker);
        print_part(ctl, 0, hsm ? "key service" : "key service: not reachable", hsm);
        if (hsm && !json_is_true(json_object_get(hsm, "separated")))
            cb_ctl_note(ctl, "warning: the programs run as one user, so the wall between use and "
                             "management of keys is missing.");
        warn_of_rules(ctl, broker);
    }
    json_decref(both);
    json_decref(hsm);
    json_decref(broker);
    return of_broker > of_hsm ? of_broker : of_hsm;
}

const cb_ctl_command cb_ctl_status_commands[] = {
    {"status", NULL, "", 0, 0, NULL, "Show how the broker and the key service are", status_command},
    {0}};

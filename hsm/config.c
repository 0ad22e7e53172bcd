/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/config.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/secret.h"
#include "hsm/protocol.h"
#include "hsm/taps.h"
#include "hsm/terminal_certificate.h"

static cfg_opt_t former_options[] = {
    CFG_STR("agreement", NULL, CFGF_NODEFAULT),
    CFG_STR("signer", NULL, CFGF_NODEFAULT),
    CFG_STR("link", NULL, CFGF_NODEFAULT),
    CFG_END(),
};

static cfg_opt_t certificates_options[] = {
    CFG_INT("key-id", 0x10, CFGF_NONE),
    CFG_INT("key-version", 1, CFGF_NONE),
    CFG_STR("agreement", NULL, CFGF_NODEFAULT),
    CFG_STR("signer", NULL, CFGF_NODEFAULT),
    CFG_SEC("former", former_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_END(),
};

static cfg_opt_t foreign_options[] = {
    CFG_STR_LIST("anchors", NULL, CFGF_NONE),
    CFG_STR_LIST("intermediates", NULL, CFGF_NONE),
    CFG_STR_LIST("policies", NULL, CFGF_NONE),
    CFG_STR("renewal", "never", CFGF_NONE),
    CFG_BOOL("renewal-at-taps", cfg_false, CFGF_NONE),
    CFG_END(),
};

static cfg_opt_t options[] = {
    CFG_STR("module", "/usr/lib/softhsm/libsofthsm2.so", CFGF_NONE),
    CFG_STR("token-label", "cardbroker", CFGF_NONE),
    CFG_STR("pin-file", "/etc/cardbroker/hsm.pin", CFGF_NONE),
    CFG_STR("so-pin-file", NULL, CFGF_NODEFAULT),
    CFG_STR("run", "/run/cardbroker", CFGF_NONE),
    CFG_STR("state", "/var/lib/cardbroker-hsmd", CFGF_NONE),
    CFG_INT("workers", 2, CFGF_NONE),
    CFG_INT("taps", 4096, CFGF_NONE),
    CFG_INT("revocations", 4000000, CFGF_NONE),
    CFG_INT("renew-after", 200000, CFGF_NONE),
    CFG_INT("prefetch-seconds", CB_TAP_PREFETCH_SECONDS, CFGF_NONE),
    CFG_INT("tap-seconds", CB_TAP_SECONDS, CFGF_NONE),
    CFG_INT("terminal-certificate-seconds", 90 * 86400, CFGF_NONE),
    CFG_STR("user", NULL, CFGF_NODEFAULT),
    CFG_STR("front-end-user", NULL, CFGF_NODEFAULT),
    CFG_STR_LIST("manager-users", NULL, CFGF_NONE),
    CFG_STR("origin", "cardbroker", CFGF_NONE),
    CFG_STR_LIST("trust-anchors", NULL, CFGF_NONE),
    CFG_SEC("foreign", foreign_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_SEC("certificates", certificates_options, CFGF_NONE),
    CFG_STR("log-level", "info", CFGF_NONE),
    CFG_BOOL("sandbox", cfg_true, CFGF_NONE),
    CFG_STR_LIST("sandbox-allow", NULL, CFGF_NONE),
    CFG_END(),
};

typedef struct reading {
    const char *path;
    cfg_t *cfg;
    cb_buf *why;
    long newest; /* key-version */
} reading;

static cb_error wrong(const reading *r, const char *name, const char *what)
{
    cb_buf_printf(r->why, "%s: %s %s", r->path, name, what);
    return CB_E_CONFIG;
}

static cb_error number(const reading *r, cfg_t *section, const char *name, long least, long most,
                       long *out)
{
    char what[80];
    *out = cfg_getint(section, name);
    if (*out >= least && *out <= most)
        return CB_OK;
    snprintf(what, sizeof what, "must be from %ld to %ld", least, most);
    return wrong(r, name, what);
}

static const char *text_or_null(cfg_t *cfg, const char *name)
{
    const char *text = cfg_getstr(cfg, name);
    return text && text[0] ? text : NULL;
}

static cb_error numbers(const reading *r, cb_hsmd_config *out)
{
    long workers, taps, terminal, revocations, renew, prefetch, lifetime, id, version;
    cfg_t *certificates = cfg_getsec(r->cfg, "certificates");
    if (!certificates) /* looking for it takes memory */
        return CB_E_MEMORY;
    cb_error error = number(r, r->cfg, "workers", 1, CB_HSM_WORKERS_MAX, &workers);
    if (!error)
        error = number(r, r->cfg, "taps", 1, CB_TAPS_MAX, &taps);
    if (!error)
        error = number(r, r->cfg, "revocations", 1000, UINT32_MAX, &revocations);
    if (!error)
        error = number(r, r->cfg, "renew-after", 0, 1000000000, &renew);
    if (!error)
        error = number(r, r->cfg, "prefetch-seconds", 1, CB_TAP_PREFETCH_SECONDS, &prefetch);
    if (!error)
        error = number(r, r->cfg, "tap-seconds", 1, CB_TAP_SECONDS, &lifetime);
    if (!error)
        error = number(r, r->cfg, "terminal-certificate-seconds", 1, CB_TERMINAL_SECONDS_MAX,
                       &terminal);
    if (!error)
        error = number(r, certificates, "key-id", 0x10, 0x2F, &id);
    if (!error)
        error = number(r, certificates, "key-version", 1, 0x7F, &version);
    if (error)
        return error;
    out->terminal_seconds = (uint32_t)terminal;
    out->workers = (unsigned)workers;
    out->taps = (unsigned)taps;
    out->revocations = (uint32_t)revocations;
    out->renew_after = (uint32_t)renew;
    out->prefetch_us = prefetch * CB_SECOND;
    out->lifetime_us = lifetime * CB_SECOND;
    out->key_id = (uint8_t)id;
    out->key_version = (uint8_t)version;
    out->agreement = text_or_null(certificates, "agreement");
    out->signer = text_or_null(certificates, "signer");
    return CB_OK;
}

/* An origin stands on a line of its own in what is signed. */
static bool origin_ok(const char *origin)
{
    size_t len = strlen(origin);
    if (len == 0 || len > CB_ORIGIN_MAX)
        return false;
    for (; *origin; origin++) {
        if (*origin <= ' ' || *origin > '~')
            return false;
    }
    return true;
}

static cb_error texts(const reading *r, cb_hsmd_config *out)
{
    out->token.module = cfg_getstr(r->cfg, "module");
    out->token.label = cfg_getstr(r->cfg, "token-label");
    out->pin_file = cfg_getstr(r->cfg, "pin-file");
    out->so_pin_file = text_or_null(r->cfg, "so-pin-file");
    out->run = cfg_getstr(r->cfg, "run");
    out->user = text_or_null(r->cfg, "user");
    out->origin = cfg_getstr(r->cfg, "origin");
    out->sandbox = cfg_getbool(r->cfg, "sandbox");
    if (!origin_ok(out->origin))
        return wrong(r, "origin", "must be printable characters without spaces");
    if (cb_log_level_parse(cfg_getstr(r->cfg, "log-level"), &out->log_level))
        return wrong(r, "log-level", "must be debug, info, warning or error");
    return CB_OK;
}

static cb_error list(const reading *r, cfg_t *section, const char *name, const char **out,
                     size_t most, size_t *count)
{
    *count = cfg_size(section, name);
    if (*count > most)
        return wrong(r, name, "has too many entries");
    for (unsigned i = 0; i < *count; i++)
        out[i] = cfg_getnstr(section, name, i);
    return CB_OK;
}

static cb_error renewal(const reading *r, cfg_t *section, cb_x509_renewal *out)
{
    static const char *const names[] = {[CB_X509_RENEWAL_NEVER] = "never",
                                        [CB_X509_RENEWAL_SAME_KEY] = "same-key",
                                        [CB_X509_RENEWAL_SAME_SUBJECT] = "same-subject"};
    const char *name = cfg_getstr(section, "renewal");
    for (unsigned i = 0; name && i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (cb_x509_renewal)i;
            return CB_OK;
        }
    }
    return wrong(r, "renewal", "must be \"never\", \"same-key\" or \"same-subject\"");
}

/* A card that is known by its certificate is another card with another one. */
static cb_error renewable(const reading *r, const cb_card_profile *profile,
                          const cb_hsmd_foreign *section)
{
    if (profile->id != CB_PROFILE_JPKI ||
        (section->renewal == CB_X509_RENEWAL_NEVER && !section->renewal_at_taps))
        return CB_OK;
    return wrong(r, "foreign",
                 "\"jpki\" takes neither renewal nor renewal-at-taps, for with a new certificate "
                 "it is a new card: leave them out, and have such cards replaced (cardbrokerctl "
                 "card replace)");
}

static cb_error foreign(const reading *r, cfg_t *section, cb_hsmd_foreign *out)
{
    const cb_card_profile *profile = cb_profile_named(cfg_title(section));
    if (!profile || profile->certificates == 0)
        return wrong(r, "foreign", "must be followed by the name of a profile: \"piv\" or \"jpki\"");
    out->profile = profile->id;
    cb_error error =
        list(r, section, "anchors", out->anchor, CB_HSMD_FOREIGN_FILES_MAX, &out->anchors);
    if (!error)
        error = list(r, section, "intermediates", out->intermediate, CB_HSMD_FOREIGN_FILES_MAX,
                     &out->intermediates);
    if (!error)
        error = list(r, section, "policies", out->policy, CB_FOREIGN_POLICIES_MAX, &out->policies);
    if (!error && out->anchors == 0)
        error = wrong(r, "foreign", "needs anchors: files with certificates in PEM");
    out->renewal_at_taps = cfg_getbool(section, "renewal-at-taps");
    if (!error)
        error = renewal(r, section, &out->renewal);
    return error ? error : renewable(r, profile, out);
}

static cb_error former(const reading *r, cfg_t *section, cb_hsmd_former *out)
{
    char *end = NULL;
    const char *title = cfg_title(section);
    long version = title ? strtol(title, &end, 10) : 0;
    if (!title || title[0] < '1' || title[0] > '9' || *end || version >= r->newest)
        return wrong(r, "former", "must be followed by a key version below key-version");
    *out = (cb_hsmd_former){(uint8_t)version, text_or_null(section, "agreement"),
                            text_or_null(section, "signer"), text_or_null(section, "link")};
    if (!out->agreement || !out->signer)
        return wrong(r, "former", "needs agreement and signer");
    return CB_OK;
}

static cb_error formers(reading *r, cb_hsmd_config *out)
{
    cfg_t *certificates = cfg_getsec(r->cfg, "certificates");
    if (!certificates)
        return CB_E_MEMORY;
    r->newest = out->key_version;
    if (cfg_size(certificates, "former") > CB_HOST_OLDER_MAX)
        return wrong(r, "former", "has too many sections");
    for (unsigned i = 0; i < cfg_size(certificates, "former"); i++) {
        cfg_t *section = cfg_getnsec(certificates, "former", i);
        if (!section)
            return CB_E_MEMORY;
        cb_error error = former(r, section, &out->former[i]);
        if (error)
            return error;
        if (i > 0 && out->former[i].version <= out->former[i - 1].version)
            return wrong(r, "former", "must be in the order of the versions");
        out->formers++;
    }
    return CB_OK;
}

static cb_error lists(const reading *r, cb_hsmd_config *out)
{
    cb_error error =
        list(r, r->cfg, "trust-anchors", out->anchor, CB_HSMD_ANCHORS_MAX, &out->anchors);
    if (!error)
        error = list(r, r->cfg, "sandbox-allow", out->extra_call, CB_SANDBOX_EXTRA_MAX,
                     &out->extra_calls);
    for (unsigned i = 0; !error && i < cfg_size(r->cfg, "foreign"); i++) {
        cfg_t *section = cfg_getnsec(r->cfg, "foreign", i);
        if (!section)
            return CB_E_MEMORY;
        if (out->foreigners == CB_PROFILES_MAX)
            return wrong(r, "foreign", "has too many sections");
        error = foreign(r, section, &out->foreign[out->foreigners++]);
    }
    return error;
}

static cb_error path_in(const reading *r, const char *folder, const char *name, char out[512])
{
    int len = snprintf(out, 512, "%s/%s", folder, name);
    return len > 0 && len < 512 ? CB_OK : wrong(r, "state", "is too long");
}

static cb_error paths(const reading *r, cb_hsmd_config *out)
{
    const char *state = out->state = cfg_getstr(r->cfg, "state");
    cb_error error = path_in(r, state, "token.lock", out->lock_path);
    if (!error)
        error = path_in(r, state, "revocations", out->feed_path);
    if (!error)
        error = path_in(r, state, "bound-cards", out->bound_path);
    if (!error)
        error = path_in(r, state, "guesses", out->guesses_path);
    if (!error)
        error = path_in(r, state, "log-head", out->log_path);
    out->token.lock = out->lock_path;
    return error;
}

static cb_error user_id(const reading *r, const char *option, const char *name, uid_t *out)
{
    const struct passwd *entry = name ? getpwnam(name) : NULL;
    if (!entry)
        return wrong(r, option, "must name users that exist, when hsmd is started as root");
    *out = entry->pw_uid;
    return CB_OK;
}

/* As root with users named, each lane has its own. Otherwise everything runs as, and serves, the
 * user who started it. */
static cb_error users(const reading *r, cb_hsmd_config *out)
{
    cb_hsmd_users *users = &out->users;
    const char *front_end = text_or_null(r->cfg, "front-end-user");
    unsigned count = cfg_size(r->cfg, "manager-users");
    users->front_end = geteuid();
    if (geteuid() != 0 || (!out->user && !front_end && count == 0)) {
        users->manager[users->managers++] = geteuid();
        return CB_OK;
    }
    cb_error error = user_id(r, "user", out->user, &users->own);
    if (!error)
        error = user_id(r, "front-end-user", front_end, &users->front_end);
    users->manager[users->managers++] = 0;
    for (unsigned i = 0; i < count && !error; i++) {
        if (users->managers == CB_HSMD_USERS_MAX)
            return wrong(r, "manager-users", "names too many users");
        error = user_id(r, "manager-users", cfg_getnstr(r->cfg, "manager-users", i),
                        &users->manager[users->managers++]);
    }
    users->separated = !error && users->own != users->front_end;
    for (size_t i = 0; i < users->managers && !error; i++) {
        if (users->manager[i] == users->front_end)
            error = wrong(r, "front-end-user", "must not be a manager");
    }
    return error;
}

cb_error cb_hsmd_config_load(const char *path, cb_hsmd_config *out, cb_buf *why)
{
    reading r = {.path = path, .why = why};
    *out = (cb_hsmd_config){0};
    cb_error error = cb_config_load(path, options, &r.cfg, why);
    if (error)
        return error;
    out->file = r.cfg;
    error = numbers(&r, out);
    if (!error)
        error = texts(&r, out);
    if (!error)
        error = formers(&r, out);
    if (!error)
        error = lists(&r, out);
    if (!error)
        error = paths(&r, out);
    if (!error)
        error = users(&r, out);
    if (error)
        cb_hsmd_config_free(out);
    return error;
}

void cb_hsmd_config_free(cb_hsmd_config *config)
{
    if (config->file)
        cfg_free(config->file);
    config->file = NULL;
}

cb_error cb_hsmd_pin_read(const char *name, cb_buf *pin, cb_buf *why)
{
    char path[512];
    const char *folder = strchr(name, '/') ? NULL : getenv("CREDENTIALS_DIRECTORY");
    int len = folder ? snprintf(path, sizeof path, "%s/%s", folder, name)
                     : snprintf(path, sizeof path, "%s", name);
    if (len < 0 || (size_t)len >= sizeof path) {
        cb_buf_printf(why, "the name of the PIN file is too long");
        return CB_E_CONFIG;
    }
    return cb_config_secret(path, pin, why);
}

cb_error cb_hsmd_pin_read_fd(int fd, cb_buf *pin, cb_buf *why)
{
    char c = 0;
    ssize_t got;
    for (;;) {
        got = read(fd, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || c == '\n')
            break;
        cb_buf_put_u8(pin, (uint8_t)c);
    }
    cb_wipe(&c, sizeof c);
    if (got < 0)
        cb_buf_printf(why, "descriptor %d cannot be read: %s", fd, strerror(errno));
    else
        close(fd);
    return got < 0 ? CB_E_CONFIG : cb_buf_error(pin);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/config.h"

#include "base/clock.h"
#include "cardlink/context.h"

static cfg_opt_t reader_options[] = {
    CFG_STR("service", NULL, CFGF_NODEFAULT),
    CFG_STR("text", NULL, CFGF_NODEFAULT),
    CFG_END(),
};

static cfg_opt_t atr_options[] = {
    CFG_STR("mask", NULL, CFGF_NODEFAULT),
    CFG_STR("profile", NULL, CFGF_NODEFAULT),
    CFG_END(),
};

/* Others are asked for: who types a PIN where they are taken can be made to type it in the clear. */
static char own_profile[] = "{native}";

static cfg_opt_t options[] = {
    CFG_STR("broker", "", CFGF_NONE),
    CFG_STR("ca", "", CFGF_NONE),
    CFG_STR("certificate", "/etc/cardbroker/terminal.pem", CFGF_NONE),
    CFG_STR("key", "/etc/cardbroker/terminal.key", CFGF_NONE),
    CFG_STR("readers", "pcsc", CFGF_NONE),
    CFG_STR_LIST("profiles", own_profile, CFGF_NONE),
    CFG_STR("service", "", CFGF_NONE),
    CFG_STR("text", "", CFGF_NONE),
    CFG_INT("timeout", 20, CFGF_NONE),
    CFG_INT("card_timeout", 10, CFGF_NONE),
    CFG_BOOL("prefetch", cfg_true, CFGF_NONE),
    CFG_INT("prefetch_for", 600, CFGF_NONE),
    CFG_STR("pin_pad", "auto", CFGF_NONE),
    CFG_STR("tamper", "", CFGF_NONE),
    CFG_STR("log", "", CFGF_NONE),
    CFG_INT("log_every", 10, CFGF_NONE),
    CFG_STR("log_level", "info", CFGF_NONE),
    CFG_SEC("atr", atr_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_SEC("reader", reader_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_END(),
};

/* Reports the first thing that is wrong. */
static bool require(bool good, const char *path, const char *what, cb_buf *why)
{
    if (!good && why->len == 0)
        cb_buf_printf(why, "%s: %s", path, what);
    return good;
}

static bool is_broker(const char *url)
{
    static const char scheme[] = "https://";
    size_t len = sizeof scheme - 1;
    return strncmp(url, scheme, len) == 0 && url[len] && url[len] != '/' &&
           !strpbrk(url + len, "/?#@ ");
}

static bool within(cfg_t *cfg, const char *name, long least, long most)
{
    long value = cfg_getint(cfg, name);
    return value >= least && value <= most;
}

static bool service_ok(const char *name) { return !name || !*name || cb_service_name_ok(name); }

static bool readers_ok(cfg_t *cfg)
{
    bool good = service_ok(cfg_getstr(cfg, "service"));
    for (unsigned i = 0; i < cfg_size(cfg, "reader"); i++)
        good = good && service_ok(cfg_getstr(cfg_getnsec(cfg, "reader", i), "service"));
    return good;
}

/* Each of them known, and none twice. */
static bool take_profiles(cfg_t *cfg, cb_profile_order *out)
{
    bool good = cfg_size(cfg, "profiles") >= 1 && cfg_size(cfg, "profiles") <= CB_PROFILES_MAX;
    for (unsigned i = 0; good && i < cfg_size(cfg, "profiles"); i++) {
        const cb_card_profile *profile = cb_profile_named(cfg_getnstr(cfg, "profiles", i));
        good = profile && cb_profile_has_cards(profile);
        good = good && !cb_profile_order_has(out, profile);
        out->profile[out->count++] = profile;
    }
    return good;
}

/* What is wrong with a section; NULL: nothing. A profile that is not looked for is no hint but a
 * mistake: nobody is to believe that the section adds it. */
static const char *take_atr(cfg_t *section, const cb_profile_order *profiles, cb_atr_hint *out)
{
    const char *mask = cfg_getstr(section, "mask");
    const char *name = cfg_getstr(section, "profile");
    if (cb_atr_hint_read(cfg_title(section), out))
        return "give an ATR of 2 to 33 bytes in hexadecimal, as cardlink readers shows it";
    if (mask && cb_atr_hint_mask(mask, out))
        return "mask: give as many bytes as the ATR has, in hexadecimal, and not all of them zero";
    out->profile = name ? cb_profile_named(name) : NULL;
    if (!out->profile || !cb_profile_order_has(profiles, out->profile))
        return "profile: give one that is named in profiles";
    return NULL;
}

static bool take_atrs(const char *path, cb_terminal_config *out, cb_buf *why)
{
    const char *wrong = NULL;
    unsigned count = cfg_size(out->cfg, "atr");
    if (!require(count <= CB_ATR_HINTS_MAX, path, "atr: at most 64 of them", why))
        return false;
    for (unsigned i = 0; i < count && !wrong; i++) {
        cfg_t *section = cfg_getnsec(out->cfg, "atr", i);
        wrong = take_atr(section, &out->profiles, &out->hints.hint[out->hints.count++]);
        if (wrong && why->len == 0)
            cb_buf_printf(why, "%s: atr, number %u: %s", path, i + 1, wrong);
    }
    return !wrong;
}

/* Beside the key unless another place is given. */
static bool take_log(cfg_t *cfg, cb_terminal_config *out)
{
    const char *given = cfg_getstr(cfg, "log");
    int len = *given ? snprintf(out->log, sizeof out->log, "%s", given)
                     : snprintf(out->log, sizeof out->log, "%s.log", out->key);
    return out->log[0] == '/' && len > 0 && (size_t)len < sizeof out->log;
}

static cb_error digest_of(const char *path, cb_digest *out, cb_buf *why)
{
    cb_buf text = CB_BUF(CB_CONFIG_MAX);
    cb_error error = cb_file_read(path, &text);
    *out = cb_sha256(cb_buf_bytes(&text));
    cb_buf_free(&text);
    if (error && error != CB_E_MEMORY) {
        cb_buf_printf(why, "%s: cannot be read", path);
        error = CB_E_CONFIG;
    }
    return error;
}

static bool take_pad(const char *word, uint8_t *use)
{
    static const char *const words[] = {
        [CB_PAD_AUTO] = "auto", [CB_PAD_REQUIRE] = "require", [CB_PAD_NEVER] = "never"};
    for (*use = 0; *use <= CB_PAD_NEVER; ++*use) {
        if (strcmp(word, words[*use]) == 0)
            return true;
    }
    return false;
}

static cb_error check(const char *path, cb_terminal_config *out, cb_buf *why)
{
    cfg_t *cfg = out->cfg;
    bool good =
        require(is_broker(out->broker), path, "broker: give https://HOST:PORT, without a path",
                why) &&
        require(out->ca[0] == '/', path,
                "ca: give the whole path of the file with the CA certificate of the broker", why) &&
        require(out->certificate[0] == '/' && out->key[0] == '/', path,
                "certificate and key: give whole paths", why) &&
        require(cb_reader_kind_find(cfg_getstr(cfg, "readers"), &out->kind, &out->place) == CB_OK,
                path, "readers: give \"pcsc\", \"pcsc exclusive\" or \"virtual:/path\"", why) &&
        require(take_profiles(cfg, &out->profiles), path,
                "profiles: give native, piv, jpki and scp03 in the order in which cards are tried, "
                "each at most once",
                why) &&
        take_atrs(path, out, why) &&
        require(out->tamper[0] == 0 || out->tamper[0] == '/', path,
                "tamper: give a whole path, or nothing", why) &&
        require(take_pad(cfg_getstr(cfg, "pin_pad"), &out->pin_pad), path,
                "pin_pad: give auto, require or never", why) &&
        require(take_log(cfg, out), path, "log: give a whole path", why) &&
        require(within(cfg, "log_every", 1, 3600), path, "log_every: from 1 to 3600 seconds",
                why) &&
        require(readers_ok(cfg), path,
                "service: a name has small letters, digits and -, at most 63", why) &&
        require(within(cfg, "timeout", 1, 120), path, "timeout: from 1 to 120 seconds", why) &&
        require(within(cfg, "card_timeout", 1, 120), path, "card_timeout: from 1 to 120 seconds",
                why) &&
        require(within(cfg, "prefetch_for", 0, 86400), path,
                "prefetch_for: from 0 to 86400 seconds", why) &&
        require(cb_log_level_parse(cfg_getstr(cfg, "log_level"), &out->log_level) == CB_OK, path,
                "log_level: give debug, info, warning or error", why);
    return good ? CB_OK : CB_E_CONFIG;
}

cb_error cb_terminal_config_load(const char *path, cb_terminal_config *out, cb_buf *why)
{
    *out = (cb_terminal_config){0};
    cb_error error = cb_config_load(path, options, &out->cfg, why);
    if (error) {
        out->cfg = NULL;
        return error;
    }
    cfg_t *cfg = out->cfg;
    out->broker = cfg_getstr(cfg, "broker");
    out->ca = cfg_getstr(cfg, "ca");
    out->certificate = cfg_getstr(cfg, "certificate");
    out->key = cfg_getstr(cfg, "key");
    out->service = cfg_getstr(cfg, "service");
    out->text = cfg_getstr(cfg, "text");
    out->tamper = cfg_getstr(cfg, "tamper");
    out->timeout = cfg_getint(cfg, "timeout") * CB_SECOND;
    out->log_every = cfg_getint(cfg, "log_every") * CB_SECOND;
    out->card_timeout = cfg_getint(cfg, "card_timeout") * CB_SECOND;
    out->prefetch = cfg_getbool(cfg, "prefetch");
    out->prefetch_for = cfg_getint(cfg, "prefetch_for") * CB_SECOND;
    error = check(path, out, why);
    if (!error)
        error = digest_of(path, &out->digest, why);
    if (error)
        cb_terminal_config_free(out);
    return error;
}

void cb_terminal_config_free(cb_terminal_config *config)
{
    if (config->cfg)
        cfg_free(config->cfg);
    *config = (cb_terminal_config){0};
}

cb_reader_use cb_terminal_config_reader(const cb_terminal_config *config, const char *reader)
{
    cb_reader_use use = {.service = config->service, .text = config->text};
    size_t best = 0;
    for (unsigned i = 0; i < cfg_size(config->cfg, "reader"); i++) {
        cfg_t *section = cfg_getnsec(config->cfg, "reader", i);
        const char *title = cfg_title(section);
        const char *service = cfg_getstr(section, "service");
        const char *text = cfg_getstr(section, "text");
        size_t len = strlen(title);
        if (len < best || strncmp(title, reader, len) != 0)
            continue;
        best = len;
        use.service = service ? service : config->service;
        use.text = text ? text : config->text;
    }
    return use;
}

void cb_terminal_config_order(const cb_terminal_config *config, const cb_reader_info *card,
                              cb_profile_order *out)
{
    cb_profile_order_for(&config->profiles, &config->hints, cb_bytes_make(card->atr, card->atr_len),
                         out);
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What hsmd.conf says of cards that others issued: what is read of it, and what is refused with the
 * reason.
 */
#include "hsm/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "cardlink/profile.h"
#include "test.h"

static char path[] = "/tmp/cb-hsmd-conf-XXXXXX";
static cb_hsmd_config config;
static cb_buf why = {.max = 1024};

static int setup(void **state)
{
    (void)state;
    int file = mkstemp(path);
    return file < 0 ? -1 : close(file);
}

static int teardown(void **state)
{
    (void)state;
    cb_hsmd_config_free(&config);
    cb_buf_free(&why);
    return unlink(path);
}

static cb_error load(const char *text)
{
    cb_hsmd_config_free(&config);
    cb_buf_reset(&why);
    good(cb_file_replace(path, cb_bytes_str(text), 0600));
    return cb_hsmd_config_load(path, &config, &why);
}

static void refused(const char *text, const char *reason)
{
    expect(CB_E_CONFIG, load(text));
    if (!strstr(cb_buf_cstr(&why), reason))
        fail_msg("%s\n%s", text, cb_buf_cstr(&why));
}

static void all_of_a_section_is_read(void **state)
{
    (void)state;
    good(load("foreign \"piv\" { anchors = {\"/a1\", \"/a2\"} intermediates = {\"/i1\", \"/i2\", "
              "\"/i3\"} policies = {\"1.2.3\", \"1.2.4\"} renewal = \"same-subject\" "
              "renewal-at-taps = true }\nforeign \"jpki\" { anchors = {\"/j\"} }\n"));
    const cb_hsmd_foreign *piv = &config.foreign[0], *jpki = &config.foreign[1];
    assert_int_equal(config.foreigners, 2);
    assert_int_equal(piv->profile, CB_PROFILE_PIV);
    assert_int_equal(piv->anchors, 2);
    assert_string_equal(piv->anchor[0], "/a1");
    assert_string_equal(piv->anchor[1], "/a2");
    assert_int_equal(piv->intermediates, 3);
    assert_string_equal(piv->intermediate[0], "/i1");
    assert_string_equal(piv->intermediate[2], "/i3");
    assert_int_equal(piv->policies, 2);
    assert_string_equal(piv->policy[0], "1.2.3");
    assert_string_equal(piv->policy[1], "1.2.4");
    assert_int_equal(piv->renewal, CB_X509_RENEWAL_SAME_SUBJECT);
    assert_true(piv->renewal_at_taps);
    assert_int_equal(jpki->profile, CB_PROFILE_JPKI);
    assert_int_equal(jpki->intermediates, 0);
    assert_int_equal(jpki->policies, 0);
    assert_int_equal(jpki->renewal, CB_X509_RENEWAL_NEVER);
    assert_false(jpki->renewal_at_taps);
}

static void there_is_a_most_of_each(void **state)
{
    static const struct {
        const char *name, *before;
        unsigned most;
    } lists[] = {{"anchors", "", CB_HSMD_FOREIGN_FILES_MAX},
                 {"intermediates", "anchors = {\"/a\"} ", CB_HSMD_FOREIGN_FILES_MAX},
                 {"policies", "anchors = {\"/a\"} ", CB_FOREIGN_POLICIES_MAX}};
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (unsigned over = 0; over < 2; over++) {
            char text[512];
            int len = snprintf(text, sizeof text, "foreign \"piv\" { %s%s = {", lists[i].before,
                               lists[i].name);
            for (unsigned k = 0; k < lists[i].most + over; k++)
                len += snprintf(text + len, sizeof text - (size_t)len, "%s\"1.2.%u\"",
                                k ? ", " : "", k);
            snprintf(text + len, sizeof text - (size_t)len, "} }\n");
            if (over) {
                refused(text, lists[i].name);
                refused(text, "too many entries");
            } else {
                good(load(text));
            }
        }
    }
}

static void a_section_without_anchors_or_of_another_profile_is_refused(void **state)
{
    (void)state;
    refused("foreign \"piv\" { policies = {\"1.2.3\"} }\n", "needs anchors");
    refused("foreign \"scp03\" { anchors = {\"/a\"} }\n", "\"piv\" or \"jpki\"");
    refused("foreign \"native\" { anchors = {\"/a\"} }\n", "\"piv\" or \"jpki\"");
    refused("foreign \"piv\" { anchors = {\"/a\"} renewal = \"always\" }\n", "\"same-key\"");
}

/* It would be taken, and nothing would come of it. */
static void a_renewal_of_jpki_cards_is_refused_with_what_to_do_instead(void **state)
{
    static const char *const ways[] = {"renewal = \"same-key\"", "renewal = \"same-subject\"",
                                       "renewal-at-taps = true",
                                       "renewal = \"same-subject\" renewal-at-taps = true"};
    char text[160];
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        snprintf(text, sizeof text, "foreign \"jpki\" { anchors = {\"/a\"} %s }\n", ways[i]);
        refused(text, "cardbrokerctl card replace");
        snprintf(text, sizeof text, "foreign \"piv\" { anchors = {\"/a\"} %s }\n", ways[i]);
        good(load(text));
    }
    good(load("foreign \"jpki\" { anchors = {\"/a\"} renewal = \"never\" renewal-at-taps = false "
              "}\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_a_section_is_read),
        cmocka_unit_test(there_is_a_most_of_each),
        cmocka_unit_test(a_section_without_anchors_or_of_another_profile_is_refused),
        cmocka_unit_test(a_renewal_of_jpki_cards_is_refused_with_what_to_do_instead),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

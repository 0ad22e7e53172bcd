/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The status of certificates by their issuers' lists: which of them count and for how long, whose,
 * and what is kept of them on disk.
 */
#include "status_stage.h"

static void a_fresh_list_says_what_is_good(void **state)
{
    (void)state;
    cb_status_list list;
    prepare("crl", NULL);
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    assert_true(cb_status_list_at(status, 0, &list));
    assert_true(list.fresh);
    assert_int_equal(list.entries, 499);
    assert_int_equal(list.until, pki_time(2026, 6, 8) + 300);
    assert_false(cb_status_list_at(status, 1, &list));
    cb_status_counts counts;
    cb_status_count(status, &counts);
    for (int i = 0; i < 2000 && counts.lists_fetched == 0; i++) { /* it counts before it is counted */
        usleep(5000);
        cb_status_count(status, &counts);
    }
    assert_int_equal(counts.good, 1);
    assert_int_equal(counts.lists_fetched, 1);
    cb_status_close(&status);
}

static void what_is_on_it_is_revoked_at_once(void **state)
{
    (void)state;
    static const char *const lists[] = {"crl-revoked", "crl-hold"};
    for (size_t i = 0; i < 2; i++) {
        prepare(lists[i], "ocsp");
        cb_status *status = begin();
        expect(CB_E_CERTIFICATE_REVOKED, ask_until(status, CB_E_CERTIFICATE_REVOKED));
        cb_status_reason reason;
        cb_status_question question = cb_status_question_of(&card, &issuing);
        expect(CB_E_CERTIFICATE_REVOKED, cb_status_check(status, &question, &reason));
        assert_int_equal(reason.reason, i == 0 ? 1 : 6);
        assert_non_null(strstr(reason.detail, "issuing"));
        cb_status_close(&status);
    }
}

static void without_a_list_that_counts_nothing_is_good(void **state)
{
    (void)state;
    static const char *const wrong[] = {"crl-impostor", "crl-root", "crl-other-shard",
                                        "crl-cas",      "card",     NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        prepare("crl", NULL);
        list_served = wrong[i];
        cb_status *status = begin_listed();
        expect(CB_E_CERTIFICATE_STATUS, ask(status));
        cb_status_close(&status);
    }
}

static void a_stale_list_counts_no_more(void **state)
{
    (void)state;
    prepare("crl", NULL);
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    set(&list_served, NULL);
    pthread_mutex_lock(&lock);
    clock_now = pki_time(2026, 6, 8) + 300;
    pthread_mutex_unlock(&lock);
    expect(CB_OK, ask(status));
    pthread_mutex_lock(&lock);
    clock_now++;
    pthread_mutex_unlock(&lock);
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
    /* Nor one that is older than we allow, whatever it says; nor one from the future. */
    prepare("crl", NULL);
    config.list_limits.age = 1800;
    status = begin_listed();
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
    prepare("crl", NULL);
    clock_now = pki_time(2026, 5, 31);
    status = begin_listed();
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
}

static void only_its_issuer_is_asked(void **state)
{
    (void)state;
    cb_x509 impostor;
    cb_status_reason reason;
    prepare("crl", NULL);
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    expect(CB_OK, cb_x509_parse(pki("impostor"), &impostor));
    cb_status_question question = cb_status_question_of(&card, &impostor);
    expect(CB_E_CERTIFICATE_STATUS, cb_status_check(status, &question, &reason));
    question = cb_status_question_of(&issuing, &root);
    expect(CB_E_CERTIFICATE_STATUS, cb_status_check(status, &question, &reason));
    cb_status_close(&status);
}

static void a_path_is_looked_up_up_to_its_anchor(void **state)
{
    (void)state;
    cb_status_reason reason;
    cb_x509_path path = {.certificates = {card, issuing, root}, .count = 3};
    cb_status_issuer both[2];
    prepare("crl", NULL);
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    expect(CB_E_CERTIFICATE_STATUS, cb_status_check_path(status, &path, &reason));
    path.count = 2; /* the issuer is the anchor */
    expect(CB_OK, cb_status_check_path(status, &path, &reason));
    path.count = 1;
    expect(CB_E_CERTIFICATE_STATUS, cb_status_check_path(status, &path, &reason));
    cb_status_close(&status);
    both[0] = issuer;
    both[1] = (cb_status_issuer){
        .name = "root", .certificate = pki("root"), .lists = {LIST}, .list_count = 1};
    config.issuers = both;
    config.issuer_count = 2;
    set(&list_served, "crl-root");
    status = begin();
    path.count = 3;
    cb_x509_path above = {.certificates = {issuing, root}, .count = 2};
    cb_error error = cb_status_check_path(status, &above, &reason);
    for (int i = 0; i < 2000 && error; i++) { /* its list comes in a moment */
        usleep(5000);
        error = cb_status_check_path(status, &above, &reason);
    }
    expect(CB_OK, error);
    expect(CB_E_CERTIFICATE_STATUS, cb_status_check_path(status, &path, &reason));
    cb_status_close(&status);
}

static cb_error ask_with(cb_status *status, const char *certificate)
{
    cb_status_reason reason;
    return cb_status_check_certificate(status, pki(certificate), &reason);
}

static void a_certificate_alone_is_enough_in_a_tap(void **state)
{
    (void)state;
    cb_status_issuer both[2];
    prepare("crl", "ocsp");
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    expect(CB_OK, ask_with(status, "card"));
    expect(CB_E_CERTIFICATE_EXPIRED, ask_with(status, "card-expired"));
    expect(CB_E_CERTIFICATE_EARLY, ask_with(status, "card-early"));
    expect(CB_E_CERTIFICATE_STATUS, ask_with(status, "card-impostor"));
    expect(CB_E_CERTIFICATE_STATUS, ask_with(status, "card-by-card"));
    expect(CB_E_CERTIFICATE_STATUS, ask_with(status, "root"));
    expect(CB_E_CERTIFICATE_FORM, ask_with(status, "crl"));
    cb_status_close(&status);
    prepare("crl-revoked", NULL);
    status = begin();
    expect(CB_E_CERTIFICATE_REVOKED, ask_until(status, CB_E_CERTIFICATE_REVOKED));
    expect(CB_E_CERTIFICATE_REVOKED, ask_with(status, "card"));
    cb_status_close(&status);
    /* Where the CA above has a section, it has a word to say: here it has none, for the list that
     * is served is another's. */
    prepare("crl", NULL);
    both[0] = issuer;
    both[1] = (cb_status_issuer){
        .name = "root", .certificate = pki("root"), .lists = {LIST}, .list_count = 1};
    config.issuers = both;
    config.issuer_count = 2;
    status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    expect(CB_E_CERTIFICATE_STATUS, ask_with(status, "card"));
    cb_status_close(&status);
}

static unsigned asked_for_lists(void)
{
    pthread_mutex_lock(&lock);
    unsigned count = lists_asked;
    pthread_mutex_unlock(&lock);
    return count;
}

static void a_clock_that_is_set_back_holds_nothing_up(void **state)
{
    (void)state;
    cb_status_reason reason;
    static const uint8_t serial[] = {1, 2, 3};
    prepare("crl", "ocsp");
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    for (int i = 0; i < 2000 && asked_for_lists() < 1; i++)
        usleep(5000);
    usleep(20000);
    pthread_mutex_lock(&lock);
    clock_now -= 3000;
    pthread_mutex_unlock(&lock);
    cb_status_question question = cb_status_question_of(&card, &issuing);
    question.serial = CB_BYTES_OF(serial);
    cb_status_check(status, &question, &reason); /* its answer wakes who looks at the clock */
    for (int i = 0; i < 2000 && asked_for_lists() < 2; i++)
        usleep(5000);
    assert_int_equal(asked_for_lists(), 2);
    cb_status_close(&status);
}

static void wrong_issuers_are_named(void **state)
{
    (void)state;
    cb_status *status = NULL;
    cb_buf why = CB_BUF(256);
    prepare("crl", NULL);
    issuer.certificate = pki("card");
    expect(CB_E_CONFIG, cb_status_open(&config, &status, &why));
    assert_string_equal(cb_buf_cstr(&why), "card-issuer issuing: certificate: is not that of a CA");
    assert_null(status);
    prepare("crl", NULL);
    issuer.lists[0] = "ldap://x/";
    cb_buf_reset(&why);
    expect(CB_E_CONFIG, cb_status_open(&config, &status, &why));
    prepare(NULL, NULL);
    cb_buf_reset(&why);
    expect(CB_E_CONFIG, cb_status_open(&config, &status, &why));
    cb_buf_free(&why);
}

/* ---- on disk ---- */

static void a_kept_list_needs_no_network(void **state)
{
    (void)state;
    prepare("crl", NULL);
    config.folder = folder;
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    cb_status_close(&status);
    set(&list_served, NULL);
    status = begin();
    expect(CB_OK, ask(status)); /* at once */
    /* It is not taken for another issuer's, nor when it was changed. */
    cb_status_close(&status);
    issuer.certificate = pki("impostor");
    status = begin();
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
}

static void change_kept_lists(void)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = strstr(entry->d_name, ".crl") ? fopen(path, "r+b") : NULL;
        if (!file)
            continue;
        fseek(file, 100, SEEK_SET);
        fputc(0x55, file);
        fclose(file);
    }
    closedir(dir);
}

static void a_kept_list_that_was_changed_counts_nothing(void **state)
{
    (void)state;
    prepare("crl", NULL);
    config.folder = folder;
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    cb_status_close(&status);
    change_kept_lists();
    set(&list_served, NULL);
    status = begin();
    expect(CB_E_CERTIFICATE_STATUS, ask(status));
    cb_status_close(&status);
}

static void an_older_list_replaces_none(void **state)
{
    (void)state;
    cb_status_list list;
    prepare("crl-newer", NULL);
    clock_now = pki_time(2026, 6, 2) + 3600;
    config.folder = folder;
    cb_status *status = begin();
    expect(CB_OK, ask_until(status, CB_OK));
    cb_status_close(&status);
    set(&list_served, "crl");
    status = begin_listed();
    assert_true(cb_status_list_at(status, 0, &list));
    assert_int_equal(list.this_update, pki_time(2026, 6, 2));
    expect(CB_E_STATE, list.error);
    cb_status_close(&status);
}

/* An issuer numbers the lists of each scope for itself, so a larger number is no newer list. */
static void a_list_about_other_certificates_replaces_none(void **state)
{
    (void)state;
    static const char *const others[] = {"crl-cas-newer", "crl-other-shard-newer", "crl-newer"};
    prepare("crl-users-revoked", "ocsp");
    clock_now = pki_time(2026, 6, 2) + 3600;
    config.folder = folder;
    cb_status *status = begin_with("crl-users-revoked", CB_OK);
    expect(CB_E_CERTIFICATE_REVOKED, ask(status));
    cb_status_close(&status);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        print_message("%s\n", others[i]);
        status = begin_with(others[i], CB_E_STATE);
        expect(CB_E_CERTIFICATE_REVOKED, ask(status));
        cb_status_close(&status);
    }
    /* Nor does it keep the next of the same scope away. */
    set(&answer_served, NULL);
    status = begin_with("crl-users-newer", CB_OK);
    expect(CB_OK, ask(status));
    cb_status_close(&status);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_list_says_what_is_good),
        cmocka_unit_test(what_is_on_it_is_revoked_at_once),
        cmocka_unit_test(without_a_list_that_counts_nothing_is_good),
        cmocka_unit_test(a_stale_list_counts_no_more),
        cmocka_unit_test(only_its_issuer_is_asked),
        cmocka_unit_test(a_path_is_looked_up_up_to_its_anchor),
        cmocka_unit_test(a_certificate_alone_is_enough_in_a_tap),
        cmocka_unit_test_teardown(a_kept_list_needs_no_network, remove_kept),
        cmocka_unit_test_teardown(a_kept_list_that_was_changed_counts_nothing, remove_kept),
        cmocka_unit_test_teardown(an_older_list_replaces_none, remove_kept),
        cmocka_unit_test_teardown(a_list_about_other_certificates_replaces_none, remove_kept),
        cmocka_unit_test(a_clock_that_is_set_back_holds_nothing_up),
        cmocka_unit_test(wrong_issuers_are_named),
    };
    script = argc > 1 ? argv[1] : "tests/support/pki.py";
    return cmocka_run_group_tests(tests, setup, teardown);
}

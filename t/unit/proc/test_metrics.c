#include <string.h>

#include "proc/metrics.h"
#include "t/unit/unit.h"

Suite *metrics_suite(void);

static struct buf b;

static const char *
text(void)
{
	ck_assert_int_eq(buf_putc(&b, 0), 0);
	return (const char *)buf_ptr(&b);
}

static void
set_up(void)
{
	buf_init(&b, 65536);
}

static void
tear_down(void)
{
	buf_free(&b);
}

static const struct fact first[] = {
    {"sessions", "3"},
    {"messages.copies", "12"},
    {"trouble", "out of space"},
    {"connector", "mx sessions=2"},
    {"connector", "mx2 sessions=5"},
    {"peer", "office up=2000 down=1000 tls=TLSv1.3 error=x"},
    {"tls.certificate", "/etc/x.pem: ends on 2027-01-31"},
};
static const struct fact second[] = {
    {"sessions", "4"},
    {"only.here", "1"},
    {"connector", "mx sessions=1"},
    {"peer", "office up=0 down=3000 tls= error=gone"},
};
static const struct metrics_daemon daemons[] = {
    {"smtpd", 0, first, sizeof first / sizeof first[0]},
    {"smtpd", 1, second, sizeof second / sizeof second[0]},
    {"pop3d", 0, second, 1},
};

START_TEST(equal_names_stand_together_and_words_are_left_out)
{
	metrics_facts(&b, daemons, 3);
	ck_assert_str_eq(text(), "# TYPE postern_smtpd_sessions untyped\n"
				 "postern_smtpd_sessions{instance=\"0\"} 3\n"
				 "postern_smtpd_sessions{instance=\"1\"} 4\n"
				 "# TYPE postern_smtpd_messages_copies untyped\n"
				 "postern_smtpd_messages_copies{instance=\"0\"} 12\n"
				 "# TYPE postern_smtpd_only_here untyped\n"
				 "postern_smtpd_only_here{instance=\"1\"} 1\n"
				 "# TYPE postern_pop3d_sessions untyped\n"
				 "postern_pop3d_sessions{instance=\"0\"} 4\n");
}
END_TEST

START_TEST(places_sum_up_what_all_processes_say)
{
	static char path[] = "/etc/x.pem", mx[] = "mx", mx2[] = "mx2", office[] = "office",
		    idle[] = "never-asked";
	static char *paths[] = {path, path};
	struct conf_connector connectors[] = {{.name = mx, .chains = {paths, 2}}, {.name = mx2}};
	struct conf_peer peers[] = {{.name = office}, {.name = idle}};
	struct conf c = {.connectors = connectors, .nconnectors = 2, .peers = peers, .npeers = 2};

	metrics_places(&b, &c, daemons, 3);
	(void)text();
	ck_assert_ptr_nonnull(strstr(text(), "\npostern_connector_sessions{connector=\"mx\"} 3\n"));
	ck_assert_ptr_nonnull(
	    strstr(text(), "\npostern_connector_sessions{connector=\"mx2\"} 5\n"));
	/* The newest word counts. */
	ck_assert_ptr_nonnull(strstr(text(), "\npostern_peer_up{peer=\"office\"} 0\n"));
	ck_assert_ptr_null(strstr(text(), "never-asked"));
	ck_assert_ptr_nonnull(
	    strstr(text(), "\npostern_certificate_end_timestamp_seconds{file=\"/etc/x.pem\"} "
			   "1801353600\n"));
	ck_assert_ptr_null(
	    strstr(strstr(text(), "{file=\"/etc/x.pem\"}") + 1, "{file=\"/etc/x.pem\"}"));
}
END_TEST

START_TEST(a_label_holds_anything_in_one_line)
{
	char out[METRICS_LABEL_MAX], big[4000];

	ck_assert_str_eq(metrics_label(out, "a\"b\\c\nd"), "a\\\"b\\\\c\\\\x0Ad");
	memset(big, '"', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	ck_assert_uint_lt(strlen(metrics_label(out, big)), sizeof out);
}
END_TEST

Suite *
metrics_suite(void)
{
	return unit_suite_around("metrics", set_up, tear_down,
	    (const TTest *const[]){equal_names_stand_together_and_words_are_left_out,
		places_sum_up_what_all_processes_say, a_label_holds_anything_in_one_line, NULL});
}

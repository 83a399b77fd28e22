#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "logd/pack.h"
#include "logd/records.h"
#include "t/unit/unit.h"

Suite *records_suite(void);

#define MB (1024 * 1024)
#define PATIENCE 20000 /* ms, on a busy machine */

static char dir[64];
static struct event_base *base;
static struct records *r;

static void
quiet(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static void
begin(void)
{
	const struct records_options o = {
	    .dir = dir, .name = "log", .keep_ms = 86400000, .size = 16 * MB};
	struct err e = {0};

	base = event_base_new();
	ck_assert_ptr_nonnull(r = records_new(&o));
	ck_assert_msg(records_check(r, base, &e) == 0, "%s", e.text);
	ck_assert_msg(records_start(r, base, &e) == 0, "%s", e.text);
}

static void
set_up(void)
{
	log_set_sink(quiet, NULL);
	(void)snprintf(dir, sizeof dir, "/tmp/records.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	begin();
}

static void
on_stopped(void *arg)
{
	*(int *)arg = 1;
}

static void
end(void)
{
	uint64_t until = clock_ms() + PATIENCE;
	int stopped = 0;

	records_stop(r, on_stopped, &stopped);
	while (!stopped && clock_ms() < until)
		(void)event_base_loop(base, EVLOOP_ONCE);
	ck_assert_int_eq(stopped, 1);
	records_free(r);
	event_base_free(base);
}

static void
tear_down(void)
{
	static const char *const names[] = {"data.mdb", "data.seq", "damaged.mdb"};
	char path[128];
	size_t i;

	for (i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
	log_set_sink(NULL, NULL);
}

struct answer {
	int came;
	size_t n;
	char text[256], first[64];
};

static void
on_answer(const struct log_search_rep *rep, uint64_t id, void *arg)
{
	struct answer *x = arg;

	ck_assert_uint_eq(id, 7);
	x->came++;
	x->n = rep->events.n;
	(void)strlcpy(x->text, rep->text, sizeof x->text);
	if (rep->events.n > 0)
		(void)strlcpy(x->first, rep->events.v[0].event.v->qid, sizeof x->first);
}

static struct answer
ask(const char *tx)
{
	const struct log_search_req q = {
	    .tx = tx, .sender = "", .rcpt = "", .client = "", .msgid = "", .tenant = ""};
	uint64_t until = clock_ms() + PATIENCE;
	struct answer x = {0};

	records_search(r, &q, 7, on_answer, &x);
	while (!x.came && clock_ms() < until)
		(void)event_base_loop(base, EVLOOP_ONCE);
	ck_assert_int_eq(x.came, 1);
	return x;
}

/* The same once the walk over what was stored is done. */
static struct answer
ask_patiently(const char *tx)
{
	uint64_t until = clock_ms() + PATIENCE;
	struct answer x;

	while ((x = ask(tx)).text[0] != '\0' && clock_ms() < until) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		(void)poll(NULL, 0, 5);
	}
	return x;
}

static void
record(const struct log_event *e)
{
	struct buf b;

	buf_init(&b, PACKED_MAX);
	ck_assert_int_eq(pack_event(&b, "queued", e), 0);
	records_event(r, (struct bytes){buf_ptr(&b), buf_len(&b)});
	buf_free(&b);
}

static void
happen(const char *qid)
{
	const struct log_event e = {.kind = EV_REMOVED, .qid = qid, .tx = qid, .when = 1};

	record(&e);
}

START_TEST(what_came_before_a_search_is_found_by_it)
{
	struct records_counts n;
	struct answer x;

	/* Before the archive is open, too. */
	happen("A1");
	x = ask_patiently("A1");
	ck_assert_str_eq(x.text, "");
	ck_assert_uint_eq(x.n, 1);
	ck_assert_str_eq(x.first, "A1");
	happen("A2");
	ck_assert_uint_eq(ask("A2").n, 1);
	ck_assert_uint_eq(ask("A3").n, 0);
	records_count(r, &n);
	ck_assert_uint_eq(n.stored, 2);
	ck_assert_uint_eq(n.lost, 0);
	end();
}
END_TEST

START_TEST(an_event_is_stored_when_nobody_asks)
{
	uint64_t until = clock_ms() + PATIENCE;
	struct records_counts n = {0};

	happen("A1");
	while (n.stored == 0 && clock_ms() < until) {
		(void)event_base_loop(base, EVLOOP_ONCE);
		records_count(r, &n);
	}
	ck_assert_uint_eq(n.stored, 1);
	ck_assert_uint_gt(n.archive.octets, 0);
	end();
}
END_TEST

START_TEST(the_end_stores_what_there_is)
{
	happen("A1");
	/* Before the archive was even looked at. */
	end();
	begin();
	ck_assert_uint_eq(ask_patiently("A1").n, 1);
	end();
}
END_TEST

START_TEST(a_damaged_archive_is_put_aside_and_recording_goes_on)
{
	char path[128];
	struct stat st;

	happen("A1");
	(void)ask_patiently("A1");
	end();
	(void)snprintf(path, sizeof path, "%s/data.mdb", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(truncate(path, st.st_size / 2), 0);
	begin();
	happen("A2");
	ck_assert_uint_eq(ask_patiently("A2").n, 1);
	ck_assert_uint_eq(ask("A1").n, 0);
	(void)snprintf(path, sizeof path, "%s/damaged.mdb", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	end();
}
END_TEST

START_TEST(a_folder_that_cannot_be_used_costs_records_and_says_so)
{
	struct records_counts n = {0};
	uint64_t until = clock_ms() + PATIENCE;
	char path[128];

	end();
	(void)snprintf(path, sizeof path, "%s/data.mdb", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof path, "%s/data.seq", dir);
	(void)unlink(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	begin();
	happen("A1");
	while (n.trouble[0] == '\0' && clock_ms() < until) {
		(void)event_base_loop(base, EVLOOP_ONCE);
		records_count(r, &n);
	}
	ck_assert_uint_eq(n.lost, 1);
	happen("A2");
	records_count(r, &n);
	ck_assert_uint_eq(n.lost, 2);
	ck_assert_str_eq(ask("A1").text, n.trouble);
	end();
	(void)rmdir(path);
}
END_TEST

START_TEST(more_than_can_be_held_is_counted)
{
	char big[DIAG_MAX + 1];
	const struct log_event e = {.kind = EV_ADMIN, .text = big};
	struct records_counts n;
	unsigned i;

	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	/* The loop does not turn: nothing can be stored. */
	for (i = 0; i < 20000; i++)
		record(&e);
	records_count(r, &n);
	ck_assert_uint_gt(n.lost, 1000);
	ck_assert_uint_lt(n.lost, 10000);
	end();
}
END_TEST

START_TEST(nobody_is_told_who_has_gone)
{
	const struct log_search_req q = {
	    .tx = "", .sender = "", .rcpt = "", .client = "", .msgid = "", .tenant = ""};
	struct answer gone = {0};

	(void)ask_patiently("A1");
	records_search(r, &q, 7, on_answer, &gone);
	records_forget(r, &gone);
	(void)ask("A1");
	ck_assert_int_eq(gone.came, 0);
	end();
}
END_TEST

START_TEST(another_size_is_taken_without_a_restart)
{
	happen("A1");
	(void)ask_patiently("A1");
	records_limits(r, 86400000, 32 * MB);
	happen("A2");
	ck_assert_uint_eq(ask_patiently("A1").n, 1);
	ck_assert_uint_eq(ask_patiently("A2").n, 1);
	end();
}
END_TEST

Suite *
records_suite(void)
{
	return unit_suite_around("records", set_up, tear_down,
	    (const TTest *const[]){what_came_before_a_search_is_found_by_it,
		an_event_is_stored_when_nobody_asks, the_end_stores_what_there_is,
		a_damaged_archive_is_put_aside_and_recording_goes_on,
		a_folder_that_cannot_be_used_costs_records_and_says_so,
		more_than_can_be_held_is_counted, nobody_is_told_who_has_gone,
		another_size_is_taken_without_a_restart, NULL});
}

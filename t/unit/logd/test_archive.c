#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "logd/archive.h"
#include "logd/pack.h"
#include "t/unit/unit.h"

Suite *archive_suite(void);

#define MB (1024 * 1024)
#define THEN 1793588640000ULL /* 2026-11-02 03:04:00 UTC, ms */

static char dir[64];
static struct archive *a;

static void
open_it(uint64_t size)
{
	struct err e = {0};

	a = archive_open(dir, "log", size, &e);
	ck_assert_msg(a != NULL, "%s", e.text);
}

static void
set_up(void)
{
	(void)snprintf(dir, sizeof dir, "/tmp/archive.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	open_it(16 * MB);
}

static void
tear_down(void)
{
	static const char *const names[] = {"data.mdb", "data.seq", "damaged.mdb"};
	char path[128];
	size_t i;

	archive_close(a);
	for (i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
}

/* One chunk of n events, a millisecond apart. */
static void
fill(struct chunk_list *l, uint64_t began, const struct log_event *v, size_t n)
{
	struct chunk *c = chunk_new(began);
	struct log_event e;
	size_t i;

	ck_assert_ptr_nonnull(c);
	for (i = 0; i < n; i++) {
		e = v[i];
		if (e.when == 0)
			e.when = began + i;
		ck_assert_int_eq(pack_event(&c->events, "smtpd", &e), 0);
		c->count++;
	}
	STAILQ_INSERT_TAIL(l, c, next);
}

static void
put(struct chunk_list *l)
{
	struct chunk *c;
	struct err e = {0};

	ck_assert_msg(archive_put(a, l, &e) == 0, "%s", e.text);
	while ((c = STAILQ_FIRST(l)) != NULL) {
		STAILQ_REMOVE_HEAD(l, next);
		chunk_free(c);
	}
}

static void
put_one(uint64_t began, const struct log_event *v, size_t n)
{
	struct chunk_list l = STAILQ_HEAD_INITIALIZER(l);

	fill(&l, began, v, n);
	put(&l);
}

static const struct log_search_req anything = {
    .tx = "", .sender = "", .rcpt = "", .client = "", .msgid = "", .tenant = ""};

/* The texts of all that is found, page by page; how many pages it took. */
static char found[256 * 1024];
static unsigned pages;

static const char *
search(struct log_search_req q)
{
	struct log_search_rep *rep;
	struct err e = {0};
	uint8_t after[16];
	struct buf b;
	size_t i;
	int end = 0;

	found[0] = '\0';
	for (pages = 0; !end; pages++) {
		ck_assert_uint_lt(pages, 10000);
		buf_init(&b, IPC_FRAME_MAX);
		ck_assert_msg(archive_search(a, &q, &b, &e) == 0, "%s", e.text);
		rep = rec_decode(&rec_log_search_rep, buf_ptr(&b), buf_len(&b));
		ck_assert_ptr_nonnull(rep);
		ck_assert_str_eq(rep->text, "");
		for (i = 0; i < rep->events.n && strlen(found) < sizeof found - 2000; i++) {
			ck_assert_str_eq(rep->events.v[i].who, "smtpd");
			strcat(found, rep->events.v[i].event.v->text);
			strcat(found, " ");
		}
		end = rep->end;
		ck_assert(rep->after.n == 16 || (end && rep->after.n == 0));
		memcpy(after, rep->after.p, rep->after.n);
		q.after = (struct bytes){after, rep->after.n};
		free(rep);
		buf_free(&b);
	}
	return found;
}

static const struct log_event four[] = {
    {.kind = EV_CLIENT, .qid = "AA", .tx = "AA", .client = "mail.test[192.0.2.1]", .text = "1"},
    {.kind = EV_QUEUED,
	.qid = "AA",
	.tx = "AA",
	.sender = "Alice@Example.test",
	.msgid = "<m1@x>",
	.tenant = "one",
	.text = "2"},
    {.kind = EV_DELIVERY,
	.qid = "AA",
	.tx = "AA",
	.rcpt = "bob@partner.test",
	.status = ES_SENT,
	.tenant = "one",
	.text = "3"},
    {.kind = EV_DELIVERY,
	.qid = "AB",
	.tx = "AA",
	.rcpt = "carol@partner.test",
	.status = ES_DEFERRED,
	.text = "4"},
    {.kind = EV_REJECT, .client = "unknown[2001:db8::7]", .rcpt = "x@elsewhere.test", .text = "5"},
};

START_TEST(finds_by_each_property)
{
	struct log_search_req q;

	put_one(THEN, four, 5);
	ck_assert_str_eq(search(anything), "1 2 3 4 5 ");
#define FIND(field, value, want)                                                                   \
	do {                                                                                       \
		q = anything;                                                                      \
		q.field = value;                                                                   \
		ck_assert_str_eq(search(q), want);                                                 \
	} while (0)
	FIND(sender, "alice@example.test", "2 ");
	FIND(sender, "*@example.test", "2 ");
	FIND(sender, "alice", "");
	FIND(sender, "<>", "3 4 5 ");
	FIND(rcpt, "*@partner.test", "3 4 ");
	FIND(rcpt, "[bc]*", "3 4 ");
	FIND(rcpt, "?ob@*", "3 ");
	FIND(client, "192.0.2.1", "1 ");
	FIND(client, "mail.test", "1 ");
	FIND(client, "mail.test[[]192.0.2.1]", "1 ");
	FIND(client, "192.0.2.*", "1 ");
	FIND(client, "2001:db8::*", "5 ");
	FIND(msgid, "m1@x", "2 ");
	FIND(msgid, "<m1@x>", "2 ");
	FIND(tenant, "one", "2 3 ");
	FIND(tenant, "on", "");
	FIND(status, ES_DEFERRED, "4 ");
	FIND(kinds, 1U << EV_REJECT | 1U << EV_CLIENT, "1 5 ");
	FIND(tx, "AA", "1 2 3 4 ");
	FIND(tx, "AB", "4 ");
	FIND(tx, "A", "");
	FIND(tx, "AAA", "");
	FIND(since, THEN + 2, "3 4 5 ");
	FIND(until, THEN + 2, "1 2 ");
	q.since = THEN + 1;
	ck_assert_str_eq(search(q), "2 ");
}
END_TEST

START_TEST(an_id_is_found_in_all_chunks_that_have_it)
{
	struct log_search_req q = anything;
	struct log_event other = {.kind = EV_REMOVED, .qid = "ZZ", .tx = "ZZ", .text = "z"};
	struct chunk_list l = STAILQ_HEAD_INITIALIZER(l);
	unsigned i;

	put_one(THEN, four, 2);
	for (i = 0; i < 50; i++)
		fill(&l, THEN + 1000 + i, &other, 1);
	put(&l);
	put_one(THEN + 86400000, four + 2, 2);
	q.tx = "AA";
	ck_assert_str_eq(search(q), "1 2 3 4 ");
	q.since = THEN + 3600000;
	ck_assert_str_eq(search(q), "3 4 ");
	q.since = 0;
	q.until = THEN + 3600000;
	ck_assert_str_eq(search(q), "1 2 ");
	/* As it was before. */
	archive_close(a);
	open_it(16 * MB);
	q.until = 0;
	ck_assert_str_eq(search(q), "1 2 3 4 ");
}
END_TEST

/* Many events in chunks of many sizes: pages lose none and give none twice. */
START_TEST(pages_go_on_where_the_last_one_stopped)
{
	struct log_search_req q = anything;
	struct chunk_list l = STAILQ_HEAD_INITIALIZER(l);
	struct log_event v[300];
	char texts[300][8], want[3000] = "";
	unsigned i, at = 0, n;

	for (i = 0; i < 300; i++) {
		(void)snprintf(texts[i], sizeof texts[i], "e%u", i);
		v[i] = (struct log_event){.kind = EV_ADMIN, .tx = "AA", .text = texts[i]};
		strcat(want, texts[i]);
		strcat(want, " ");
	}
	for (n = 1; at < 300; n = n * 2 + 1) {
		n = at + n > 300 ? 300 - at : n;
		fill(&l, THEN + at, v + at, n);
		at += n;
	}
	put(&l);
	ck_assert_str_eq(search(q), want);
	ck_assert_uint_ge(pages, 3);
	q.tx = "AA";
	ck_assert_str_eq(search(q), want);
	ck_assert_uint_ge(pages, 3);
}
END_TEST

START_TEST(the_end_of_a_search_is_where_a_later_one_goes_on)
{
	struct log_search_req q = anything;
	uint8_t after[16];
	struct log_search_rep *rep;
	struct err e = {0};
	struct buf b;

	put_one(THEN, four, 3);
	buf_init(&b, IPC_FRAME_MAX);
	ck_assert_int_eq(archive_search(a, &q, &b, &e), 0);
	rep = rec_decode(&rec_log_search_rep, buf_ptr(&b), buf_len(&b));
	ck_assert_ptr_nonnull(rep);
	ck_assert_uint_eq(rep->end, 1);
	ck_assert_uint_eq(rep->after.n, 16);
	memcpy(after, rep->after.p, 16);
	free(rep);
	buf_free(&b);
	q.after = (struct bytes){after, 16};
	ck_assert_str_eq(search(q), "");
	put_one(THEN + 1, four + 3, 2);
	ck_assert_str_eq(search(q), "4 5 ");
	q.tx = "AA";
	ck_assert_str_eq(search(q), "4 ");
}
END_TEST

START_TEST(a_page_is_never_longer_than_a_frame)
{
	struct log_search_req q = anything;
	struct chunk_list l = STAILQ_HEAD_INITIALIZER(l);
	char big[DIAG_MAX + 1], addr[255];
	struct log_event e = {.kind = EV_ADMIN, .text = big, .sender = addr, .rcpt = addr};
	unsigned i;

	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	memset(addr, 'y', sizeof addr - 1);
	addr[sizeof addr - 1] = '\0';
	for (i = 0; i < 300; i++)
		fill(&l, THEN + i, &e, 1);
	put(&l);
	(void)search(q);
	ck_assert_uint_ge(pages, 3);
	q.sender = "nobody";
	ck_assert_str_eq(search(q), "");
}
END_TEST

START_TEST(a_search_that_finds_nothing_stops_for_a_breath)
{
	struct log_search_req q = anything;
	struct chunk_list l = STAILQ_HEAD_INITIALIZER(l);
	char big[DIAG_MAX + 1];
	struct log_event v[60];
	unsigned i;

	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	for (i = 0; i < 60; i++)
		v[i] = (struct log_event){.kind = EV_ADMIN, .text = big};
	for (i = 0; i < 5 * MB / 60000; i++)
		fill(&l, THEN + i, v, 60);
	put(&l);
	q.rcpt = "nobody";
	ck_assert_str_eq(search(q), "");
	ck_assert_uint_ge(pages, 2);
	ck_assert_uint_le(pages, 5);
}
END_TEST

START_TEST(old_records_go_with_their_ids)
{
	struct log_search_req q = anything;
	struct archive_facts f;
	struct err e = {0};

	put_one(THEN, four, 4);
	put_one(THEN + 86400000, four + 4, 1);
	ck_assert_int_eq(archive_facts(a, &f, &e), 0);
	ck_assert_uint_eq(f.chunks, 2);
	ck_assert_uint_eq(f.oldest, THEN);
	ck_assert_int_eq(archive_trim(a, THEN + 3600000, &e), 0);
	ck_assert_str_eq(search(q), "5 ");
	q.tx = "AA";
	ck_assert_str_eq(search(q), "");
	ck_assert_int_eq(archive_facts(a, &f, &e), 0);
	ck_assert_uint_eq(f.chunks, 1);
	ck_assert_uint_eq(f.oldest, THEN + 86400000);
	ck_assert_int_eq(archive_trim(a, UINT64_MAX, &e), 0);
	ck_assert_int_eq(archive_facts(a, &f, &e), 0);
	ck_assert_uint_eq(f.chunks, 0);
	ck_assert_uint_eq(f.oldest, 0);
}
END_TEST

/* Four times as much as there is room for: the newest stay, the file does not grow beyond it. */
START_TEST(the_oldest_make_room_for_the_newest)
{
	struct log_search_req q = anything;
	char big[DIAG_MAX + 1], id[50][12], path[128];
	struct log_event v[50];
	struct archive_facts f;
	struct err e = {0};
	struct stat st;
	unsigned i, j;

	archive_close(a);
	open_it(4 * MB);
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	for (i = 0; i < 16 * MB / 50000; i++) {
		for (j = 0; j < 50; j++) {
			(void)snprintf(id[j], sizeof id[j], "%u", i * 50 + j);
			v[j] = (struct log_event){.kind = EV_ADMIN, .qid = id[j], .text = big};
		}
		put_one(THEN + i * 1000, v, 50);
		while (archive_trim(a, 0, &e) == 1)
			continue;
	}
	(void)snprintf(path, sizeof path, "%s/data.mdb", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_le(st.st_size, 4 * MB);
	ck_assert_int_eq(archive_facts(a, &f, &e), 0);
	ck_assert_uint_le(f.octets, 3 * MB);
	ck_assert_uint_gt(f.octets, 2 * MB);
	q.tx = id[49];
	ck_assert_str_ne(search(q), "");
	q.tx = "0";
	ck_assert_str_eq(search(q), "");
}
END_TEST

START_TEST(a_batch_larger_than_the_room_left_drives_out_the_oldest)
{
	struct chunk_list l = STAILQ_HEAD_INITIALIZER(l);
	char big[DIAG_MAX + 1];
	struct log_search_req q = anything;
	struct log_event v[50];
	unsigned i, round;

	archive_close(a);
	open_it(4 * MB);
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	for (i = 0; i < 50; i++)
		v[i] = (struct log_event){.kind = EV_ADMIN, .tx = "AA", .text = big};
	/* Nobody trims in between. */
	for (round = 0; round < 12; round++) {
		for (i = 0; i < 10; i++)
			fill(&l, THEN + round * 1000 + i, v, 50);
		put(&l);
	}
	q.since = THEN + 11000;
	ck_assert_str_ne(search(q), "");
}
END_TEST

START_TEST(damage_is_found_and_put_aside)
{
	char path[128], octet = 0x55;
	struct err e = {0};
	struct stat st;
	int fd;

	put_one(THEN, four, 5);
	archive_close(a);
	a = NULL;
	ck_assert_int_eq(archive_check(dir, "log", 16 * MB, &e), 0);
	(void)snprintf(path, sizeof path, "%s/data.mdb", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(truncate(path, st.st_size / 2), 0);
	ck_assert_int_eq(archive_check(dir, "log", 16 * MB, &e), -1);
	ck_assert_int_eq(e.code, EUCLEAN);
	ck_assert_int_eq(archive_set_aside(dir, &e), 0);
	ck_assert_int_eq(archive_check(dir, "log", 16 * MB, &e), 0);
	open_it(16 * MB);
	ck_assert_str_eq(search(anything), "");
	put_one(THEN, four, 5);
	ck_assert_str_eq(search(anything), "1 2 3 4 5 ");
	(void)snprintf(path, sizeof path, "%s/damaged.mdb", dir);
	fd = open(path, O_RDONLY);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(read(fd, &octet, 1), 1);
	close(fd);
}
END_TEST

START_TEST(a_pattern_takes_no_longer_than_its_length_times_the_text)
{
	char text[320], pattern[64] = "";
	unsigned i;

	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	for (i = 0; i < 20; i++)
		strcat(pattern, "*a");
	strcat(pattern, "*b");
	for (i = 0; i < 10000; i++)
		ck_assert_int_eq(search_glob(pattern, text), 0);
	ck_assert_int_eq(search_glob("a*a*", text), 1);
	ck_assert_int_eq(search_glob("", ""), 1);
	ck_assert_int_eq(search_glob("*", ""), 1);
	ck_assert_int_eq(search_glob("?", ""), 0);
	ck_assert_int_eq(search_glob("[a-c]x", "Bx"), 1);
	ck_assert_int_eq(search_glob("[!a-c]x", "bx"), 0);
	ck_assert_int_eq(search_glob("[]]", "]"), 1);
	ck_assert_int_eq(search_glob("[a", "[a"), 1);
	ck_assert_int_eq(search_glob("\\*", "*"), 1);
	ck_assert_int_eq(search_glob("\\*", "x"), 0);
	ck_assert_int_eq(search_glob("a\\", "a\\"), 1);
}
END_TEST

Suite *
archive_suite(void)
{
	return unit_suite_around("archive", set_up, tear_down,
	    (const TTest *const[]){finds_by_each_property,
		an_id_is_found_in_all_chunks_that_have_it, pages_go_on_where_the_last_one_stopped,
		the_end_of_a_search_is_where_a_later_one_goes_on,
		a_page_is_never_longer_than_a_frame, a_search_that_finds_nothing_stops_for_a_breath,
		old_records_go_with_their_ids, the_oldest_make_room_for_the_newest,
		a_batch_larger_than_the_room_left_drives_out_the_oldest,
		damage_is_found_and_put_aside,
		a_pattern_takes_no_longer_than_its_length_times_the_text, NULL});
}

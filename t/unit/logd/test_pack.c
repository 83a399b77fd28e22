#include <errno.h>
#include <string.h>

#include "logd/pack.h"
#include "t/unit/unit.h"

Suite *pack_suite(void);

static int
same(const struct log_event *a, const struct log_event *b)
{
	const struct rec_field *f;
	const char *x, *y;
	unsigned i, n;

	f = rec_log_event.rows(&n);
	for (i = 0; i < n; i++)
		if (f[i].type == REC_STR) {
			memcpy(&x, (const char *)a + f[i].off, sizeof x);
			memcpy(&y, (const char *)b + f[i].off, sizeof y);
			if (strcmp(x != NULL ? x : "", y) != 0)
				return 0;
		} else if (rec_uint(&f[i], (const uint8_t *)a) !=
			   rec_uint(&f[i], (const uint8_t *)b))
			return 0;
	return 1;
}

static const struct log_event some[] = {
    {.kind = EV_CONNECT},
    {.kind = EV_REMOVED, .qid = "4F1A", .tx = "4F1A", .when = 1793588645123, .pid = 1},
    {.kind = EV_DELIVERY,
	.level = 3,
	.pid = UINT32_MAX,
	.when = UINT64_MAX,
	.rcpt = "a@b.test",
	.status = ES_BOUNCED,
	.size = 127,
	.nrcpt = 128,
	.delay_a = 16383,
	.delay_d = 16384,
	.text = "the last field"},
};

START_TEST(events_come_back_as_they_were)
{
	struct log_event e;
	const uint8_t *p;
	const char *who;
	struct buf b;
	ssize_t got;
	size_t i, n;

	buf_init(&b, 65536);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(pack_event(&b, i == 1 ? "queued" : "smtpd", &some[i]), 0);
	p = buf_ptr(&b);
	n = buf_len(&b);
	for (i = 0; i < 3; i++, p += got, n -= (size_t)got) {
		got = unpack_event(p, n, &who, &e);
		ck_assert_int_gt(got, 0);
		ck_assert_str_eq(who, i == 1 ? "queued" : "smtpd");
		ck_assert(same(&some[i], &e));
	}
	ck_assert_int_eq(unpack_event(p, n, &who, &e), 0);
	buf_free(&b);
}
END_TEST

START_TEST(what_is_empty_takes_no_room)
{
	struct buf b;

	buf_init(&b, 65536);
	ck_assert_int_eq(pack_event(&b, "queued", &some[1]), 0);
	/* 2 length, 7 who, 2 mask, kind, pid, 6 when, twice 5 for the ids */
	ck_assert_uint_eq(buf_len(&b), 2 + 7 + 1 + 1 + 1 + 6 + 5 + 5);
	buf_free(&b);
}
END_TEST

START_TEST(a_cut_or_wrong_event_is_refused)
{
	uint8_t copy[200];
	struct log_event e;
	const char *who;
	struct buf b;
	size_t n, i;

	buf_init(&b, 65536);
	ck_assert_int_eq(pack_event(&b, "smtpd", &some[2]), 0);
	n = buf_len(&b);
	for (i = 1; i < n; i++) {
		memcpy(copy, buf_ptr(&b), n);
		ck_assert_int_eq(unpack_event(copy, i, &who, &e), -1);
		ck_assert_int_eq(errno, EBADMSG);
	}
	/* A kind that there is not, and a field of a later version. */
	memcpy(copy, buf_ptr(&b), n);
	buf_free(&b);
	ck_assert_uint_eq(copy[8] & 1, 1);
	buf_init(&b, 65536);
	ck_assert_int_eq(buf_put(&b, "\0\15smtpd\0\x80\x80\x80\x80\x80\x80\1", 15), 0);
	ck_assert_int_eq(unpack_event(buf_ptr(&b), 15, &who, &e), -1);
	buf_free(&b);
}
END_TEST

/* What was stored is read by the next version: fields and kinds are added at the end only. */
START_TEST(the_order_of_fields_and_kinds_is_the_one_on_the_disks)
{
	static const char *const names[] = {"kind", "level", "pid", "when", "tx", "qid", "tenant",
	    "connector", "client", "what", "helo", "proto", "user", "mechanism", "sender", "rcpt",
	    "orcpt", "msgid", "relay", "dsn", "status", "size", "nrcpt", "delay_a", "delay_b",
	    "delay_c", "delay_d", "text"};
	const struct rec_field *f;
	unsigned n;
	size_t i;

	f = rec_log_event.rows(&n);
	ck_assert_uint_le(n, 64);
	for (i = 0; i < sizeof names / sizeof names[0]; i++)
		ck_assert_str_eq(f[i].name, names[i]);
	ck_assert_int_eq(EV_CONNECT, 0);
	ck_assert_int_eq(EV_DELIVERY, 7);
	ck_assert_int_eq(EV_ADMIN, 12);
	ck_assert_int_eq(EV_LOGIN_FAILED, 15);
	ck_assert_int_eq(ES_BOUNCED, 3);
}
END_TEST

Suite *
pack_suite(void)
{
	return unit_suite("pack", (const TTest *const[]){events_come_back_as_they_were,
				      what_is_empty_takes_no_room, a_cut_or_wrong_event_is_refused,
				      the_order_of_fields_and_kinds_is_the_one_on_the_disks, NULL});
}

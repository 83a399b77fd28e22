/* What comes in, and when it is acknowledged. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "t/unit/queued/world.h"

Suite *intake_suite(void);

START_TEST(is_acknowledged_when_it_is_durable)
{
	struct mail m = mail("A1", "x@far.test");
	uint64_t id;

	disk_manual = 1;
	id = put(&smtpd, &m, 0, 0);
	ck_assert_int_eq(put_status(&smtpd, id), -1);
	ck_assert_uint_eq(njobs, 0);
	ck_assert_uint_eq(msg_count(), 0);
	disk_sync(1);
	ck_assert_int_eq(put_status(&smtpd, id), QUEUE_OK);
	ck_assert_uint_eq(njobs, 1);
	ck_assert_str_eq(jobs[0].qid, "A1");
	ck_assert_str_eq(jobs[0].text, m.text);
	ck_assert_str_eq(jobs[0].domain, "far.test");
	ck_assert_str_eq(jobs[0].route, "");
	ck_assert_uint_eq(events(EV_QUEUED, "A1", NULL), 1);
}
END_TEST

START_TEST(what_cannot_be_written_is_refused)
{
	struct mail m = mail("A1", "x@far.test");
	uint64_t id;

	disk_manual = 1;
	id = put(&smtpd, &m, 0, 0);
	disk_sync(0);
	ck_assert_int_eq(put_status(&smtpd, id), QUEUE_FAILED);
	ck_assert_uint_eq(njobs, 0);
	ck_assert_uint_eq(msg_count(), 0);
	disk_manual = 0;
	disk_errno = EAGAIN;
	ck_assert_int_eq(put_status(&smtpd, put(&smtpd, &m, 0, 0)), QUEUE_BUSY);
	disk_errno = ENOSPC;
	ck_assert_int_eq(put_status(&smtpd, put(&smtpd, &m, 0, 0)), QUEUE_FULL);
	disk_errno = EIO;
	ck_assert_int_eq(put_status(&smtpd, put(&smtpd, &m, 0, 0)), QUEUE_FAILED);
	disk_errno = 0;
	ck_assert_int_eq(put_status(&smtpd, put(&smtpd, &m, 0, 0)), QUEUE_OK);
	ck_assert_uint_eq(njobs, 1);
}
END_TEST

START_TEST(groups_are_taken_whole_also_when_they_come_interleaved)
{
	struct mail a = mail("A1", "a@far.test"), b = mail("A2", "b@far.test");
	struct mail c = mail("B1", "c@far.test"), d = mail("B2", "d@far.test");

	disk_manual = 1;
	put(&smtpd, &a, 1, 7);
	put(&smtpd, &c, 1, 8);
	put(&smtpd, &b, 0, 7);
	ck_assert_int_eq(put_status(&smtpd, 7), -1);
	disk_sync(1);
	ck_assert_int_eq(put_status(&smtpd, 7), QUEUE_OK);
	ck_assert_uint_eq(msg_count(), 2);
	put(&smtpd, &d, 0, 8);
	disk_sync(0);
	ck_assert_int_eq(put_status(&smtpd, 8), QUEUE_FAILED);
	ck_assert_uint_eq(msg_count(), 2);
	ck_assert_uint_eq(disk_live(), 2);
	ck_assert_ptr_nonnull(job_of("A1"));
	ck_assert_ptr_nonnull(job_of("A2"));
}
END_TEST

START_TEST(one_bad_part_refuses_the_group)
{
	struct mail a = mail("A1", "a@far.test"), b = mail("A2", "b\r\nRCPT TO:<c@far.test>");

	put(&smtpd, &a, 1, 7);
	put(&smtpd, &b, 0, 7);
	ck_assert_int_eq(put_status(&smtpd, 7), QUEUE_FAILED);
	ck_assert_uint_eq(disk_live(), 0);
	ck_assert_uint_eq(msg_count(), 0);
}
END_TEST

START_TEST(half_a_group_goes_with_its_smtpd)
{
	struct mail a = mail("A1", "a@far.test"), b = mail("A2", "b@far.test");

	put(&smtpd, &a, 1, 7);
	world_plumb(&smtpd, P_SMTPD, 0);
	world_turn();
	/* The same number from the new process is another group. */
	put(&smtpd, &b, 0, 7);
	ck_assert_int_eq(put_status(&smtpd, 7), QUEUE_OK);
	ck_assert_uint_eq(disk_live(), 1);
	ck_assert_uint_eq(disk_has("A2"), 1);
}
END_TEST

START_TEST(a_new_smtpd_gets_no_answers_of_the_old)
{
	struct mail a = mail("A1", "a@far.test");

	disk_manual = 1;
	put(&smtpd, &a, 0, 7);
	world_plumb(&smtpd, P_SMTPD, 0);
	disk_sync(1);
	ck_assert_int_eq(put_status(&smtpd, 7), -1);
	/* Nobody was told of it, and it is delivered: at least once. */
	ck_assert_uint_eq(njobs, 1);
}
END_TEST

static int
room_said(struct ipc *c)
{
	struct ipc_msg m;
	int full = -1;

	world_turn();
	while (ipc_fill(c) == 1)
		while (ipc_next(c, &m) == 1) {
			if (m.def->type == M_queue_room)
				full = ((const struct queue_room *)m.body)->full;
			ipc_done(c, &m);
		}
	return full;
}

START_TEST(smtpd_hears_whether_there_is_room)
{
	struct mail a = mail("A1", "a@far.test");

	ck_assert_int_eq(room_said(&smtpd), 0);
	disk_set_full(1);
	ck_assert_int_eq(room_said(&smtpd), 1);
	ck_assert_int_eq(put_status(&smtpd, put(&smtpd, &a, 0, 0)), QUEUE_FULL);
	world_plumb(&smtpd, P_SMTPD, 0);
	ck_assert_int_eq(room_said(&smtpd), 1);
	disk_set_full(0);
	ck_assert_int_eq(room_said(&smtpd), 0);
	put_ok(&a);
}
END_TEST

START_TEST(what_no_honest_smtpd_sends_is_refused)
{
	static const char *const ids[] = {"../../x", "a1", "A 1"};
	struct mail m;
	size_t i;

	for (i = 0; i < sizeof ids / sizeof ids[0]; i++) {
		m = mail(ids[i], "a@far.test");
		ck_assert_int_eq(put_status(&smtpd, put(&smtpd, &m, 0, 0)), QUEUE_FAILED);
	}
	m = mail("A1", "a@far.test");
	m.env.sender = "x@y.test\nSubject: z";
	ck_assert_int_eq(put_status(&smtpd, put(&smtpd, &m, 0, 0)), QUEUE_FAILED);
	m = mail("A1", "a@far.test");
	put_ok(&m);
	/* The same id once more. */
	ck_assert_int_eq(put_status(&smtpd, put(&smtpd, &m, 0, 0)), QUEUE_FAILED);
	ck_assert_uint_eq(msg_count(), 1);
}
END_TEST

START_TEST(an_id_given_twice_at_once_makes_two_messages)
{
	struct mail a = mail("A1", "a@far.test"), b = mail("A1", "b@far.test");
	uint64_t id;

	disk_manual = 1;
	id = put(&smtpd, &a, 0, 0);
	put(&smtpd, &b, 0, 0);
	disk_sync(1);
	ck_assert_int_eq(put_status(&smtpd, id), QUEUE_OK);
	ck_assert_uint_eq(msg_count(), 2);
	ck_assert_uint_eq(njobs, 2);
	ck_assert_str_ne(jobs[0].qid, jobs[1].qid);
}
END_TEST

START_TEST(octets_that_are_not_as_they_say_are_refused)
{
	struct mail m = mail("A1", "a@far.test");
	struct envelope e = m.env;
	struct blob b = {.kind = BLOB_MEMFD, .size = 100000};
	struct queue_put_req q = {.envelope = {&e, 1}, .rcpts = {m.rcpts, 1}, .message = {&b, 1}};
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	/* Not sealed: it could change while it is read. */
	ck_assert_int_eq(ftruncate(fd, 100000), 0);
	ck_assert_int_eq(ipc_queue(&smtpd, M_queue_put_req, 9, &q, fd), 0);
	ck_assert_int_eq(ipc_flush(&smtpd), 1);
	ck_assert_int_eq(put_status(&smtpd, 9), QUEUE_FAILED);
	/* One that has not come. */
	ck_assert_int_eq(ipc_queue(&smtpd, M_queue_put_req, 10, &q, -1), 0);
	ck_assert_int_eq(ipc_flush(&smtpd), 1);
	ck_assert_int_eq(put_status(&smtpd, 10), QUEUE_FAILED);
	put_ok(&m);
}
END_TEST

START_TEST(a_time_of_arrival_that_cannot_be_is_now)
{
	struct mail m = mail("A1", "a@far.test"), n = mail("A2", "b@far.test");

	m.env.arrived = 0; /* or it were returned at once, as too old */
	n.env.arrived = world_now + 86400000;
	put_ok(&m);
	put_ok(&n);
	ck_assert_uint_eq(msg_find("A1")->arrived, world_now);
	ck_assert_uint_eq(msg_find("A2")->arrived, world_now);
}
END_TEST

START_TEST(held_recipients_are_not_delivered)
{
	struct mail m = mail("A1", "a@far.test");

	mail_rcpt(&m, "b@far.test", 0);
	m.rcpts[1].hold = "key store locked";
	put_ok(&m);
	ck_assert_uint_eq(njobs, 1);
	ck_assert_uint_eq(jobs[0].n, 1);
	ck_assert_str_eq(jobs[0].rcpts[0], "a@far.test");
	ck_assert_uint_eq(events(EV_HELD, "A1", "key store locked"), 1);
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	world_pass(6 * 86400);
	ck_assert_uint_eq(njobs, 1);
	ck_assert_uint_eq(disk_has("A1"), 1);
	ck_assert_uint_eq(disk_state("A1")->rcpts.v[1].state, QS_HELD + 1);
	ck_assert_str_eq(disk_state("A1")->rcpts.v[1].text, "key store locked");
}
END_TEST

START_TEST(groups_without_end_are_bounded)
{
	struct mail a = mail("A1", "a@far.test");
	struct blob b = {.kind = BLOB_INLINE, .size = 1, .data = {(const uint8_t *)"x", 1}};
	struct queue_put_req q = {
	    .more = 1, .envelope = {&a.env, 1}, .rcpts = {a.rcpts, a.n}, .message = {&b, 1}};
	uint64_t id;

	for (id = 1; id <= 17000; id++) {
		ck_assert_int_eq(ipc_queue(&smtpd, M_queue_put_req, id, &q, -1), 0);
		while (ipc_flush(&smtpd) == 0)
			world_turn();
	}
	/* A group of which a part was lost must not be taken without it. */
	put(&smtpd, &a, 0, 17000);
	ck_assert_int_eq(put_status(&smtpd, 17000), QUEUE_FAILED);
	ck_assert_uint_eq(disk_live(), 0);
	world_plumb(&smtpd, P_SMTPD, 0);
	put_ok(&a);
}
END_TEST

Suite *
intake_suite(void)
{
	return unit_suite_around("intake", world_setup, world_end,
	    (const TTest *const[]){is_acknowledged_when_it_is_durable,
		what_cannot_be_written_is_refused,
		groups_are_taken_whole_also_when_they_come_interleaved,
		one_bad_part_refuses_the_group, half_a_group_goes_with_its_smtpd,
		a_new_smtpd_gets_no_answers_of_the_old, smtpd_hears_whether_there_is_room,
		what_no_honest_smtpd_sends_is_refused, an_id_given_twice_at_once_makes_two_messages,
		octets_that_are_not_as_they_say_are_refused,
		a_time_of_arrival_that_cannot_be_is_now, held_recipients_are_not_delivered,
		groups_without_end_are_bounded, NULL});
}

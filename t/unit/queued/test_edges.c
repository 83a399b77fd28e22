/* Where two things meet: a full disk and a notice, a verb and a result, a reload and a dead job. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "t/unit/queued/world.h"

Suite *edges_suite(void);

static uint64_t
act(enum queue_verb verb, const char *qid)
{
	static uint64_t id = 5000;
	struct queue_filter f = {.qid = qid};
	struct queue_act_req q = {.verb = (uint8_t)verb, .reason = "for a test", .filter = {&f, 1}};
	struct ipc_msg m;
	uint64_t n = 0;
	int i, got = 0;

	ck_assert_int_eq(ipc_queue(&gwctl, M_queue_act_req, ++id, &q, -1), 0);
	ck_assert_int_eq(ipc_flush(&gwctl), 1);
	for (i = 0; i < 100 && !got; i++) {
		world_turn();
		(void)ipc_fill(&gwctl);
		if ((got = ipc_next(&gwctl, &m) == 1)) {
			n = ((const struct queue_act_rep *)m.body)->count;
			ipc_done(&gwctl, &m);
		}
	}
	ck_assert(got);
	return n;
}

/* ---- notices ---- */

/* A message to x, who is to be told of, and to y. */
static void
put_success(void)
{
	struct mail m = mail("A1", "x@far.test");

	m.rcpts[0].notify = RCPT_SUCCESS;
	mail_rcpt(&m, "y@far.test", 0);
	put_ok(&m);
}

START_TEST(success_is_told_though_there_was_no_room_for_the_notice)
{
	put_success();
	disk_add_errno = ENOSPC;
	answer(&jobs[0], JOB_RELAYED, "2.0.0", "ok");
	world_pass(25);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 0);
	disk_add_errno = 0;
	world_pass(15);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 1);
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_uint_eq(njobs, 2);
	ck_assert_str_eq(jobs[1].sender, "");
}
END_TEST

START_TEST(success_is_told_after_a_restart_and_nothing_delivered_twice)
{
	put_success();
	disk_add_errno = ENOSPC;
	answer(&jobs[0], JOB_RELAYED, "2.0.0", "ok");
	world_pass(5);
	world_restart();
	disk_add_errno = 0;
	world_pass(15);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 1);
	ck_assert_uint_eq(njobs, 1);
	ck_assert_str_eq(jobs[0].sender, "");
	ck_assert_ptr_nonnull(strstr(jobs[0].text, "Action: relayed"));
	ck_assert_uint_eq(disk_has("A1"), 0);
}
END_TEST

START_TEST(deleted_while_its_notice_is_written_it_is_gone)
{
	put_to("A1", "x@far.test");
	disk_manual = 1;
	answer(&jobs[0], JOB_FAILED, "5.1.1", "no such user");
	ck_assert_uint_eq(act(QV_DELETE, "A1"), 1);
	ck_assert_uint_eq(act(QV_HOLD, "A1"), 1);
	disk_sync(1);
	world_turn();
	disk_manual = 0;
	world_turn();
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_ptr_null(msg_find("A1"));
	ck_assert_uint_eq(events(EV_REMOVED, "A1", NULL), 1);
}
END_TEST

START_TEST(deleted_while_its_notice_is_written_in_vain_it_is_gone)
{
	put_to("A1", "x@far.test");
	disk_manual = 1;
	answer(&jobs[0], JOB_FAILED, "5.1.1", "no such user");
	ck_assert_uint_eq(act(QV_DELETE, "A1"), 1);
	disk_sync(0);
	world_turn();
	disk_manual = 0;
	world_pass(60);
	/* The notice is tried again: it was failed before it was deleted. */
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_ptr_null(msg_find("A1"));
}
END_TEST

START_TEST(who_wanted_tls_all_the_way_is_told_without_the_subject)
{
	struct mail m = mail("A1", "x@far.test");

	m.env.requiretls = 1;
	m.env.ret = MAIL_RET_FULL;
	put_ok(&m);
	answer(&jobs[0], JOB_FAILED, "5.7.30", "550 no TLS");
	ck_assert_uint_eq(njobs, 2);
	ck_assert_ptr_nonnull(strstr(jobs[1].text, "Message-ID: <m@here.test>"));
	ck_assert_ptr_null(strstr(jobs[1].text, "the merger"));
	ck_assert_ptr_null(strstr(jobs[1].text, "4711"));
}
END_TEST

/* ---- verbs ---- */

START_TEST(a_release_takes_back_a_hold_of_what_is_under_way)
{
	put_to("A1", "x@far.test");
	ck_assert_uint_eq(act(QV_HOLD, "A1"), 1);
	ck_assert_uint_eq(disk_state("A1")->rcpts.v[0].state, QS_HELD + 1);
	ck_assert_uint_eq(act(QV_RELEASE, "A1"), 1);
	world_restart();
	ck_assert_uint_eq(njobs, 1);
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

/* ---- clocks ---- */

START_TEST(a_clock_set_forward_takes_no_job_from_its_deliverd)
{
	put_to("A1", "x@far.test");
	world_now += 12600 * 1000ULL;
	world_turn();
	ck_assert_uint_eq(njobs, 1);
	ck_assert_uint_eq(events(EV_DELIVERY, "A1", NULL), 0);
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(a_clock_set_back_puts_nothing_off)
{
	put_to("A1", "x@far.test");
	put_to("A2", "x@dead.test");
	answer(job_of("A1"), JOB_DELAYED, "4.2.2", "full");
	while (job_of("A2") != NULL)
		answer_site(job_of("A2"), "connection refused");
	world_now -= 30 * 86400 * 1000ULL;
	world_turn();
	world_pass(5000);
	ck_assert_ptr_nonnull(job_of("A1"));
	ck_assert_ptr_nonnull(job_of("A2"));
}
END_TEST

START_TEST(a_clock_set_back_keeps_no_state_from_the_disk)
{
	put_to("A1", "x@far.test");
	disk_errno = EIO;
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	world_now -= 86400 * 1000ULL;
	world_turn();
	disk_errno = 0;
	world_pass(10);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(a_clock_set_back_during_a_restart_puts_nothing_off)
{
	put_to("A1", "x@far.test");
	answer(&jobs[0], JOB_DELAYED, "4.2.2", "full");
	world_now -= 30 * 86400 * 1000ULL;
	world_restart();
	world_pass(5000);
	ck_assert_ptr_nonnull(job_of("A1"));
}
END_TEST

/* ---- routes ---- */

#define OLD "route old { domains = {in.test}\n servers = {mail.test} }\n"
#define NEW "route new { domains = {in.test}\n servers = {mail.test} }\n"

START_TEST(what_comes_back_after_a_reload_takes_the_new_route)
{
	world_conf(NULL, OLD);
	put_to("A1", "x@in.test");
	ck_assert_str_eq(jobs[0].route, "old");
	world_conf(NULL, NEW);
	world_deliverd(jobs[0].instance, 0);
	world_turn();
	ck_assert_uint_eq(njobs, 2);
	ck_assert_str_eq(jobs[1].route, "new");
}
END_TEST

START_TEST(what_comes_back_after_a_reload_is_split_by_the_new_routes)
{
	struct mail m = mail("A1", "x@one.test");

	world_conf(NULL, "route both { domains = {one.test, two.test}\n servers = {mail.test} }\n");
	mail_rcpt(&m, "y@two.test", 0);
	put_ok(&m);
	ck_assert_uint_eq(njobs, 1);
	world_conf(NULL, "route both { domains = {one.test}\n servers = {mail.test} }\n"
			 "route two { domains = {two.test}\n servers = {b.test} }\n");
	world_deliverd(jobs[0].instance, 0);
	world_turn();
	ck_assert_uint_eq(njobs, 3);
	ck_assert_str_ne(jobs[1].route, jobs[2].route);
}
END_TEST

/* ---- intake ---- */

START_TEST(very_many_sessions_may_hand_over_at_once)
{
	struct mail m[2] = {mail("A1", "x@far.test"), mail("B1", "y@far.test")};
	unsigned i;

	for (i = 0; i < 1000; i++)
		(void)put(&smtpd, &m[0], 1, 10000 + i);
	ck_assert_int_eq(put_status(&smtpd, put(&smtpd, &m[1], 0, 10999)), QUEUE_OK);
	ck_assert_uint_eq(disk_live(), 2);
}
END_TEST

Suite *
edges_suite(void)
{
	Suite *s = suite_create("edges");
	TCase *t = tcase_create("edges");

	tcase_add_checked_fixture(t, world_setup, world_end);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, success_is_told_though_there_was_no_room_for_the_notice);
	tcase_add_test(t, success_is_told_after_a_restart_and_nothing_delivered_twice);
	tcase_add_test(t, deleted_while_its_notice_is_written_it_is_gone);
	tcase_add_test(t, deleted_while_its_notice_is_written_in_vain_it_is_gone);
	tcase_add_test(t, who_wanted_tls_all_the_way_is_told_without_the_subject);
	tcase_add_test(t, a_release_takes_back_a_hold_of_what_is_under_way);
	tcase_add_test(t, a_clock_set_forward_takes_no_job_from_its_deliverd);
	tcase_add_test(t, a_clock_set_back_puts_nothing_off);
	tcase_add_test(t, a_clock_set_back_keeps_no_state_from_the_disk);
	tcase_add_test(t, a_clock_set_back_during_a_restart_puts_nothing_off);
	tcase_add_test(t, what_comes_back_after_a_reload_takes_the_new_route);
	tcase_add_test(t, what_comes_back_after_a_reload_is_split_by_the_new_routes);
	tcase_add_test(t, very_many_sessions_may_hand_over_at_once);
	suite_add_tcase(s, t);
	return s;
}

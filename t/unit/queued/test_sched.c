/* Who is tried when, and by which deliverd. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "t/unit/queued/world.h"

Suite *sched_suite(void);

static const char *
numbered(const char *what, unsigned n)
{
	static char ring[8][64];
	static unsigned next;
	char *s = ring[next++ % 8];

	(void)snprintf(s, sizeof ring[0], "%s%X", what, n);
	return s;
}

/* n messages to addresses of one domain, their ids PREFIX0... */
static void
fill(const char *prefix, unsigned n, const char *domain)
{
	char rcpt[100];
	unsigned i;

	for (i = 0; i < n; i++) {
		(void)snprintf(rcpt, sizeof rcpt, "u%u@%s", i, domain);
		put_to(numbered(prefix, i), rcpt);
	}
}

static const struct dest *
dest(const char *addr)
{
	return dest_of(addr);
}

START_TEST(recipients_of_one_destination_share_a_job)
{
	struct mail m = mail("A1", "a@far.test");

	mail_rcpt(&m, "b@other.test", 0);
	mail_rcpt(&m, "c@FAR.test", 0);
	mail_rcpt(&m, "d@far.test.", 0);
	put_ok(&m);
	ck_assert_uint_eq(njobs, 2);
	ck_assert_uint_eq(jobs[0].n + jobs[1].n, 4);
	ck_assert_uint_eq(jobs[0].n == 3 || jobs[1].n == 3, 1);
	ck_assert_str_eq(jobs[jobs[0].n == 3 ? 0 : 1].domain, "far.test");
}
END_TEST

START_TEST(a_job_has_no_more_recipients_than_configured)
{
	struct mail m = mail("A1", "a@far.test");
	unsigned i;

	world_conf("recipients = 2\n", NULL);
	for (i = 0; i < 4; i++)
		mail_rcpt(&m, numbered("x@far.test", 0), 0);
	put_ok(&m);
	ck_assert_uint_eq(njobs, 3);
	ck_assert_uint_eq(jobs[0].n + jobs[1].n + jobs[2].n, 5);
	answer_all(JOB_SENT);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(recipients_of_a_route_share_a_job_whatever_their_domains)
{
	struct mail m = mail("A1", "a@one.test");

	world_conf(NULL,
	    "route inside { domains = {one.test, .two.test}\n servers = {mail.test} }\n"
	    "route rules { domains = {far.test} }\n");
	mail_rcpt(&m, "b@x.two.test", 0);
	mail_rcpt(&m, "c@far.test", 0);
	put_ok(&m);
	ck_assert_uint_eq(njobs, 2);
	if (jobs[0].n == 1) {
		struct job j = jobs[0];
		jobs[0] = jobs[1];
		jobs[1] = j;
	}
	ck_assert_str_eq(jobs[0].route, "inside");
	ck_assert_uint_eq(jobs[0].n, 2);
	/* A route without servers goes to the MX of the domain, by its rules. */
	ck_assert_str_eq(jobs[1].route, "rules");
	ck_assert_str_eq(jobs[1].domain, "far.test");
}
END_TEST

START_TEST(concurrency_grows_with_success_up_to_its_limit)
{
	unsigned i, most = 0;

	fill("A", 200, "far.test");
	ck_assert_uint_eq(open_jobs(), 5);
	for (i = 0; i < 200; i++) {
		ck_assert_uint_lt(i, njobs);
		answer(&jobs[i], JOB_SENT, "2.0.0", "ok");
		if (open_jobs() > most)
			most = open_jobs();
	}
	ck_assert_uint_eq(most, 20);
	ck_assert_uint_eq(disk_live(), 0);
	ck_assert_uint_eq(msg_count(), 0);
}
END_TEST

START_TEST(a_route_has_a_limit_of_its_own)
{
	world_conf(
	    NULL, "route r { domains = {far.test}\n servers = {m.test}\n concurrency = 2 }\n");
	fill("A", 10, "far.test");
	ck_assert_uint_eq(open_jobs(), 2);
	world_conf(
	    NULL, "route r { domains = {far.test}\n servers = {m.test}\n concurrency = 4 }\n");
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_ge(open_jobs(), 2);
	answer_all(JOB_SENT);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(failures_of_a_message_leave_concurrency_alone)
{
	fill("A", 40, "far.test");
	answer(&jobs[0], JOB_DELAYED, "4.2.2", "mailbox full");
	answer(&jobs[1], JOB_FAILED, "5.1.1", "unknown");
	ck_assert_uint_ge(open_jobs(), 5);
	ck_assert_int_eq(dest("x@far.test")->state, D_ALIVE);
}
END_TEST

START_TEST(a_destination_that_fails_is_left_alone_and_all_its_mail_waits)
{
	unsigned i;

	fill("A", 50, "far.test");
	ck_assert_uint_eq(njobs, 5);
	for (i = 0; i < 5; i++)
		answer_site(&jobs[i], "connection refused");
	ck_assert_int_eq(dest("x@far.test")->state, D_DEAD);
	ck_assert_uint_eq(open_jobs(), 0);
	ck_assert_uint_eq(njobs, 5);
	/* Each of the others is told of once, as Postfix does it. */
	ck_assert_uint_eq(
	    events(EV_DELIVERY, NULL, "delivery temporarily suspended: connection refused"), 45);
	/* What comes now is not even tried. */
	put_to("B1", "b@far.test");
	ck_assert_uint_eq(njobs, 5);
	ck_assert_uint_eq(events(EV_DELIVERY, "B1", "delivery temporarily suspended"), 1);
	/* Others are not touched. */
	put_to("C1", "c@other.test");
	ck_assert_uint_eq(njobs, 6);
}
END_TEST

START_TEST(a_dead_destination_is_probed_by_one_job_and_comes_back_at_once)
{
	unsigned i;

	fill("A", 50, "far.test");
	for (i = 0; i < 5; i++)
		answer_site(&jobs[i], "connection refused");
	world_pass(295);
	ck_assert_uint_eq(njobs, 5);
	world_pass(60);
	ck_assert_uint_eq(open_jobs(), 1);
	/* It fails again: twice as long. */
	answer_site(&jobs[5], "still refused");
	world_pass(500);
	ck_assert_uint_eq(open_jobs(), 0);
	world_pass(200);
	ck_assert_uint_eq(open_jobs(), 1);
	answer(&jobs[njobs - 1], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(open_jobs(), 2);
	while (open_jobs() > 0)
		answer_all(JOB_SENT);
	/* All but those that were tried and wait for their own time. */
	ck_assert_uint_le(disk_live(), 6);
	world_pass(900);
	while (open_jobs() > 0)
		answer_all(JOB_SENT);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(back_off_of_a_destination_doubles_to_its_bound)
{
	uint64_t began, pause;
	unsigned i, k;

	world_conf("delay_warning = 0\n", NULL);
	fill("A", 200, "far.test");
	for (i = 0; i < 5; i++)
		answer_site(&jobs[i], "refused");
	for (k = 0, pause = 600; k<6; k++, pause = pause> 2000 ? 4000 : 2 * pause) {
		world_pass(4600);
		ck_assert_uint_eq(open_jobs(), 1);
		began = world_now;
		answer_site(&jobs[njobs - 1], "refused");
		ck_assert_uint_ge(dest("x@far.test")->until - began, 1000 * pause);
		ck_assert_uint_le(dest("x@far.test")->until - began, 1000 * pause * 9 / 8 + 1000);
	}
}
END_TEST

START_TEST(a_large_destination_does_not_starve_others)
{
	unsigned i, before;

	world_conf("active = 10\n", NULL);
	fill("A", 300, "big.test");
	fill("B", 3, "small.test");
	ck_assert_uint_eq(open_jobs(), 8);
	/* The same with all slots taken by one that may have them. */
	for (i = 0; i < 100; i++)
		answer(&jobs[i], JOB_SENT, "2.0.0", "ok");
	before = njobs;
	fill("C", 3, "third.test");
	for (i = 0; i < 3; i++)
		answer(&jobs[before - 1 - i], JOB_SENT, "2.0.0", "ok");
	ck_assert_ptr_nonnull(job_of("C0"));
}
END_TEST

START_TEST(higher_priority_goes_first_and_lower_is_not_starved)
{
	struct mail m;
	unsigned i, low = 0;

	world_conf("active = 1\n", NULL);
	put_to("AA", "x@far.test");
	for (i = 0; i < 40; i++) {
		m = mail(numbered("B", i), "x@low.test");
		m.env.priority = 3;
		put_ok(&m);
		m = mail(numbered("C", i), "x@high.test");
		m.env.priority = 7;
		put_ok(&m);
	}
	for (i = 0; i < 30; i++) {
		answer(&jobs[i], JOB_SENT, "2.0.0", "ok");
		ck_assert_uint_eq(open_jobs(), 1);
		low += jobs[i + 1].priority == 3;
	}
	ck_assert_uint_ge(low, 2);
	ck_assert_uint_le(low, 4);
}
END_TEST

START_TEST(active_bounds_all_jobs)
{
	unsigned i;

	world_conf("active = 7\n", NULL);
	for (i = 0; i < 30; i++)
		put_to(numbered("A", i), numbered("x@d.test", i));
	ck_assert_uint_eq(open_jobs(), 7);
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(open_jobs(), 7);
}
END_TEST

START_TEST(a_destination_stays_with_one_deliverd_and_spreads_when_busy)
{
	unsigned i, first, there[3] = {0};

	put_to("A1", "x@far.test");
	first = jobs[0].instance;
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	for (i = 0; i < 8; i++) {
		put_to(numbered("B", i), "x@far.test");
		ck_assert_uint_eq(jobs[njobs - 1].instance, first);
		answer(&jobs[njobs - 1], JOB_SENT, "2.0.0", "ok");
	}
	fill("C", 300, "far.test");
	for (i = 0; i < 240; i++)
		answer(&jobs[9 + i], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(open_jobs(), 20);
	for (i = 0; i < njobs; i++)
		if (!jobs[i].answered)
			there[jobs[i].instance]++;
	ck_assert_uint_eq(there[first], 8);
	ck_assert_uint_eq(there[(first + 1) % 3], 8);
	ck_assert_uint_eq(there[(first + 2) % 3], 4);
}
END_TEST

START_TEST(another_deliverd_takes_over_for_one_that_is_away)
{
	unsigned i;

	for (i = 0; i < 3; i++)
		world_deliverd(i, 0);
	put_to("A1", "x@far.test");
	ck_assert_uint_eq(njobs, 0);
	world_deliverd(2, 1);
	ck_assert_uint_eq(njobs, 1);
	ck_assert_uint_eq(jobs[0].instance, 2);
}
END_TEST

START_TEST(jobs_of_a_deliverd_that_dies_go_back)
{
	unsigned i;

	fill("A", 8, "far.test");
	ck_assert_uint_eq(njobs, 5);
	i = jobs[0].instance;
	world_deliverd(i, 0);
	/* At once to another one, and nothing is thought of the destination. */
	ck_assert_uint_eq(njobs, 10);
	ck_assert_uint_eq(open_jobs(), 5);
	ck_assert_int_eq(dest("x@far.test")->state, D_ALIVE);
	answer_all(JOB_SENT);
	answer_all(JOB_SENT);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(what_deliverd_dies_of_is_not_tried_at_once_for_ever)
{
	unsigned i;

	put_to("A1", "x@far.test");
	for (i = 0; i < 2; i++) {
		ck_assert_uint_eq(open_jobs(), 1);
		world_deliverd(jobs[njobs - 1].instance, 0);
		world_deliverd(jobs[njobs - 1].instance, 1);
	}
	ck_assert_uint_eq(open_jobs(), 0);
	ck_assert_uint_eq(disk_has("A1"), 1);
	ck_assert_uint_eq(events(EV_DELIVERY, "A1", "deliverd ended"), 1);
	world_pass(400);
	answer_all(JOB_SENT);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(a_deliverd_that_never_answers_keeps_nothing_for_ever)
{
	put_to("A1", "x@far.test");
	world_pass(3 * 3600 - 10);
	ck_assert_uint_eq(njobs, 1);
	world_pass(20);
	ck_assert_uint_eq(events(EV_DELIVERY, "A1", "deliverd did not answer"), 1);
	world_pass(400);
	ck_assert_uint_eq(njobs, 2);
	/* The late answer of the first one means nothing now. */
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_has("A1"), 1);
	answer(&jobs[1], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_has("A1"), 0);
}
END_TEST

START_TEST(wrong_answers_of_deliverd_acknowledge_nothing)
{
	struct job_result r[3] = {
	    {JOB_SENT, "2.0.0", "", ""}, {JOB_SENT, "2.0.0", "", ""}, {JOB_SENT, "2.0.0", "", ""}};
	struct job_rep rep = {.results = {r, 3}};
	struct mail m = mail("A1", "x@far.test");
	struct job other;

	mail_rcpt(&m, "y@far.test", 0);
	put_ok(&m);
	/* More results than recipients. */
	answer_rep(&jobs[0], jobs[0].id, &rep);
	ck_assert_uint_eq(disk_has("A1"), 1);
	world_pass(400);
	ck_assert_uint_eq(open_jobs(), 1);
	/* Fewer. */
	rep.results.n = 1;
	answer_rep(&jobs[1], jobs[1].id, &rep);
	ck_assert_uint_eq(disk_has("A1"), 1);
	world_pass(1000);
	ck_assert_uint_eq(open_jobs(), 1);
	/* Of a job that is another's, that never was, that has been answered. */
	rep.results.n = 2;
	other = jobs[2];
	other.instance = (other.instance + 1) % 3;
	answer_rep(&other, other.id, &rep);
	answer_rep(&jobs[2], jobs[2].id + 1, &rep);
	answer_rep(&jobs[2], 0, &rep);
	answer_rep(&jobs[2], UINT64_MAX, &rep);
	answer_rep(&jobs[2], jobs[0].id, &rep);
	ck_assert_uint_eq(disk_has("A1"), 1);
	answer_rep(&jobs[2], jobs[2].id, &rep);
	ck_assert_uint_eq(disk_has("A1"), 0);
}
END_TEST

START_TEST(codes_that_contradict_the_result_are_replaced)
{
	put_to("A1", "x@far.test");
	answer(&jobs[0], JOB_DELAYED, "5.1.1", "odd");
	ck_assert_str_eq(disk_state("A1")->rcpts.v[0].dsn, "4.0.0");
	put_to("A2", "x@far.test");
	answer(job_of("A2"), JOB_DELAYED, "4.x\r\n", "odd");
	ck_assert_str_eq(disk_state("A2")->rcpts.v[0].dsn, "4.0.0");
	put_to("A3", "x@far.test");
	answer(job_of("A3"), JOB_DELAYED, "4.7.123", "good");
	ck_assert_str_eq(disk_state("A3")->rcpts.v[0].dsn, "4.7.123");
}
END_TEST

START_TEST(new_routes_count_for_what_is_in_the_queue)
{
	unsigned i;

	fill("A", 10, "far.test");
	for (i = 0; i < 5; i++)
		answer_site(&jobs[i], "refused");
	ck_assert_uint_eq(open_jobs(), 0);
	world_conf(NULL, "route r { domains = {far.test}\n servers = {m.test} }\n");
	/* Those that were parked go to the new one now. */
	ck_assert_uint_eq(open_jobs(), 5);
	ck_assert_str_eq(jobs[njobs - 1].route, "r");
	answer_all(JOB_SENT);
	world_pass(400);
	answer_all(JOB_SENT);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(messages_that_cannot_be_read_are_held_or_wait)
{
	disk_read_errno = EBADMSG;
	put_to("A1", "x@far.test");
	ck_assert_uint_eq(njobs, 0);
	ck_assert_uint_eq(disk_state("A1")->rcpts.v[0].state, QS_HELD + 1);
	disk_read_errno = EIO;
	put_to("A2", "x@far.test");
	ck_assert_uint_eq(disk_state("A2")->rcpts.v[0].state, QS_DEFERRED + 1);
	disk_read_errno = 0;
	world_pass(400);
	ck_assert_uint_eq(njobs, 1);
	ck_assert_str_eq(jobs[0].qid, "A2");
}
END_TEST

START_TEST(many_recipients_with_long_addresses_fit_a_frame)
{
	static char addrs[900][300], orcpt[500];
	static struct queue_rcpt rcpts[900];
	struct mail m = mail("A1", "x@far.test");
	struct blob b = {.kind = BLOB_INLINE, .size = 4};
	struct envelope e = m.env;
	struct queue_put_req q = {.envelope = {&e, 1}, .rcpts = {rcpts, 0}, .message = {&b, 1}};
	unsigned i, n = 0;

	world_conf("recipients = 1000\n", NULL);
	memset(orcpt, 'x', sizeof orcpt - 1);
	for (i = 0; i < 250; i++) {
		(void)snprintf(addrs[i], sizeof addrs[i], "%0200u@far.test", i);
		rcpts[i] = (struct queue_rcpt){addrs[i], orcpt, 0, ""};
	}
	q.rcpts.n = i;
	b.data = (struct bytes){(const uint8_t *)"a\r\n", 4};
	ck_assert_int_eq(ipc_queue(&smtpd, M_queue_put_req, 1, &q, -1), 0);
	while (ipc_flush(&smtpd) != 1)
		world_turn();
	ck_assert_int_eq(put_status(&smtpd, 1), QUEUE_OK);
	ck_assert_uint_ge(njobs, 2);
	for (i = 0; i < njobs; i++)
		n += jobs[i].n;
	ck_assert_uint_eq(n, 250);
}
END_TEST

Suite *
sched_suite(void)
{
	return unit_suite_around("schedule", world_setup, world_end,
	    (const TTest *const[]){recipients_of_one_destination_share_a_job,
		a_job_has_no_more_recipients_than_configured,
		recipients_of_a_route_share_a_job_whatever_their_domains,
		concurrency_grows_with_success_up_to_its_limit, a_route_has_a_limit_of_its_own,
		failures_of_a_message_leave_concurrency_alone,
		a_destination_that_fails_is_left_alone_and_all_its_mail_waits,
		a_dead_destination_is_probed_by_one_job_and_comes_back_at_once,
		back_off_of_a_destination_doubles_to_its_bound,
		a_large_destination_does_not_starve_others,
		higher_priority_goes_first_and_lower_is_not_starved, active_bounds_all_jobs,
		a_destination_stays_with_one_deliverd_and_spreads_when_busy,
		another_deliverd_takes_over_for_one_that_is_away,
		jobs_of_a_deliverd_that_dies_go_back,
		what_deliverd_dies_of_is_not_tried_at_once_for_ever,
		a_deliverd_that_never_answers_keeps_nothing_for_ever,
		wrong_answers_of_deliverd_acknowledge_nothing,
		codes_that_contradict_the_result_are_replaced,
		new_routes_count_for_what_is_in_the_queue,
		messages_that_cannot_be_read_are_held_or_wait,
		many_recipients_with_long_addresses_fit_a_frame, NULL});
}

/* gwctl queue, from queued's side. */
#include <stdio.h>
#include <string.h>

#include "t/unit/queued/world.h"

Suite *admin_suite(void);

static char listed[QUEUE_PAGE_MAX][QUEUE_ID_MAX];
static unsigned nlisted;
static struct queue_info info; /* numbers of the last one listed */
static unsigned state;
static char reason[200];

static struct ipc_msg
ask(uint16_t type, const void *body)
{
	static uint64_t id;
	struct ipc_msg m;
	int i;

	ck_assert_int_eq(ipc_queue(&gwctl, type, ++id, body, -1), 0);
	ck_assert_int_eq(ipc_flush(&gwctl), 1);
	for (i = 0; i < 100; i++) {
		world_turn();
		(void)ipc_fill(&gwctl);
		if (ipc_next(&gwctl, &m) == 1)
			return m;
	}
	ck_abort_msg("no answer");
}

/* What fits, one page; where the next one begins, 0 at the end. */
static uint64_t
list(struct queue_filter f, uint64_t after)
{
	struct queue_list_req q = {.after = after, .filter = {&f, 1}};
	struct ipc_msg m = ask(M_queue_list_req, &q);
	const struct queue_list_rep *p = m.body;

	ck_assert_uint_eq(m.def->type, M_queue_list_rep);
	for (nlisted = 0; nlisted < p->messages.n; nlisted++) {
		info = p->messages.v[nlisted];
		(void)strlcpy(listed[nlisted], info.envelope.v[0].qid, QUEUE_ID_MAX);
		if (info.rcpts.n > 0) {
			state = info.rcpts.v[0].state;
			(void)strlcpy(reason, info.rcpts.v[0].text, sizeof reason);
		}
	}
	after = p->end ? 0 : p->after;
	ipc_done(&gwctl, &m);
	return after;
}

static unsigned
count(struct queue_filter f)
{
	ck_assert_uint_eq(list(f, 0), 0);
	return nlisted;
}

static uint64_t
act(enum queue_verb verb, struct queue_filter f)
{
	struct queue_act_req q = {.verb = (uint8_t)verb, .reason = "for a test", .filter = {&f, 1}};
	struct ipc_msg m = ask(M_queue_act_req, &q);
	const struct queue_act_rep *p = m.body;
	uint64_t n = p->count;

	ck_assert_uint_eq(m.def->type, M_queue_act_rep);
	ck_assert_uint_eq(p->ok, 1);
	ipc_done(&gwctl, &m);
	return n;
}

#define FILTER(...) ((struct queue_filter){__VA_ARGS__})

START_TEST(lists_come_in_pages_in_the_order_of_arrival)
{
	char qid[16];
	uint64_t after;
	unsigned i;

	ck_assert_uint_eq(count(FILTER(.qid = "")), 0);
	for (i = 0; i < 250; i++) {
		(void)snprintf(qid, sizeof qid, "A%03u", i);
		put_to(qid, "x@far.test");
	}
	after = list(FILTER(.qid = ""), 0);
	ck_assert_uint_eq(nlisted, 100);
	ck_assert_str_eq(listed[0], "A000");
	/* One that goes meanwhile is no hole. */
	ck_assert_uint_eq(act(QV_DELETE, FILTER(.qid = "A099")), 1);
	after = list(FILTER(.qid = ""), after);
	ck_assert_str_eq(listed[0], "A100");
	ck_assert_uint_eq(nlisted, 100);
	after = list(FILTER(.qid = ""), after);
	ck_assert_uint_eq(nlisted, 50);
	ck_assert_uint_eq(after, 0);
}
END_TEST

START_TEST(filters_say_which_messages)
{
	struct mail m = mail("B1", "y@other.test");

	put_to("A1", "x@far.test");
	m.env.sender = "boss@here.test";
	m.env.tenant = "acme";
	put_ok(&m);
	m = mail("C1", "z@third.test");
	m.env.sender = "";
	m.rcpts[0].hold = "because";
	put_ok(&m);
	answer(job_of("A1"), JOB_DELAYED, "4.2.2", "full");
	world_pass(100);
	put_to("D1", "w@FOURTH.test");
	ck_assert_uint_eq(count(FILTER(.qid = "")), 4);
	ck_assert_uint_eq(count(FILTER(.qid = "[AB]*")), 2);
	ck_assert_uint_eq(count(FILTER(.sender = "BOSS@*")), 1);
	ck_assert_uint_eq(count(FILTER(.sender = "<>")), 1);
	ck_assert_str_eq(listed[0], "C1");
	ck_assert_uint_eq(count(FILTER(.sender = "*")), 3);
	ck_assert_uint_eq(count(FILTER(.rcpt = "*@far.test")), 1);
	ck_assert_uint_eq(count(FILTER(.destination = "fourth.test")), 1);
	ck_assert_uint_eq(count(FILTER(.destination = "mx:fourth.test")), 1);
	ck_assert_uint_eq(count(FILTER(.destination = "route:*")), 0);
	ck_assert_uint_eq(count(FILTER(.tenant = "acme")), 1);
	ck_assert_uint_eq(count(FILTER(.older = 50)), 3);
	ck_assert_uint_eq(count(FILTER(.states = 1 << QS_DEFERRED)), 1);
	ck_assert_str_eq(listed[0], "A1");
	ck_assert_str_eq(reason, "full");
	ck_assert_uint_ge(info.next, world_now);
	ck_assert_uint_eq(count(FILTER(.states = 1 << QS_HELD)), 1);
	ck_assert_str_eq(reason, "because");
	ck_assert_uint_eq(count(FILTER(.states = 1 << QS_ACTIVE)), 2);
	ck_assert_uint_eq(count(FILTER(.states = 1 << QS_HELD | 1 << QS_DEFERRED)), 2);
	ck_assert_uint_eq(count(FILTER(.sender = "a@*", .states = 1 << QS_HELD)), 0);
}
END_TEST

START_TEST(a_message_is_shown_in_pieces)
{
	static char large[100 * 1024];
	struct mail m = mail("A1", "x@far.test");
	struct queue_show_req q = {.qid = "A1"};
	const struct queue_show_rep *p;
	struct ipc_msg r;
	size_t got = 0, n;

	memset(large, 'x', sizeof large - 1);
	memcpy(large, "Subject: y\r\n\r\n", 14);
	m.text = large;
	put_ok(&m);
	do {
		q.offset = got;
		r = ask(M_queue_show_req, &q);
		p = r.body;
		ck_assert_uint_eq(p->found, 1);
		ck_assert_uint_eq(p->message.n, got == 0);
		n = p->piece.n;
		ck_assert_mem_eq(p->piece.p, large + got, n);
		got += n;
		ipc_done(&gwctl, &r);
	} while (n > 0);
	ck_assert_uint_eq(got, sizeof large - 1);
	q = (struct queue_show_req){.qid = "NONE"};
	r = ask(M_queue_show_req, &q);
	p = r.body;
	ck_assert_uint_eq(p->found, 0);
	ipc_done(&gwctl, &r);
}
END_TEST

START_TEST(held_messages_stay_until_they_are_released)
{
	put_to("A1", "x@far.test");
	answer(job_of("A1"), JOB_DELAYED, "4.2.2", "full");
	ck_assert_uint_eq(act(QV_HOLD, FILTER(.qid = "A1")), 1);
	ck_assert_uint_eq(disk_state("A1")->rcpts.v[0].state, QS_HELD + 1);
	ck_assert_uint_eq(events(EV_ADMIN, "A1", "held by gwctl: for a test"), 1);
	world_pass(86400);
	ck_assert_uint_eq(njobs, 1);
	world_restart();
	ck_assert_uint_eq(njobs, 0);
	ck_assert_uint_eq(act(QV_RELEASE, FILTER(.qid = "A1")), 1);
	ck_assert_uint_eq(njobs, 1);
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_live(), 0);
	/* What is not held cannot be released. */
	put_to("B1", "x@far.test");
	ck_assert_uint_eq(act(QV_RELEASE, FILTER(.qid = "B1")), 0);
}
END_TEST

START_TEST(a_hold_counts_for_a_delivery_under_way_when_it_fails)
{
	put_to("A1", "x@far.test");
	put_to("A2", "x@far.test");
	ck_assert_uint_eq(act(QV_HOLD, FILTER(.qid = "A*")), 2);
	answer(job_of("A1"), JOB_DELAYED, "4.2.2", "full");
	answer(job_of("A2"), JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_state("A1")->rcpts.v[0].state, QS_HELD + 1);
	ck_assert_uint_eq(disk_has("A2"), 0);
	world_pass(86400);
	ck_assert_uint_eq(njobs, 2);
}
END_TEST

START_TEST(deleted_messages_are_gone_and_nobody_is_told)
{
	put_to("A1", "x@far.test");
	put_to("A2", "y@far.test");
	answer(job_of("A2"), JOB_DELAYED, "4.2.2", "full");
	ck_assert_uint_eq(act(QV_DELETE, FILTER(.rcpt = "*@far.test")), 2);
	ck_assert_uint_eq(disk_live(), 0);
	ck_assert_uint_eq(msg_count(), 0);
	ck_assert_uint_eq(events(EV_REMOVED, NULL, NULL), 2);
	/* The answer about what was under way. */
	answer(job_of("A1"), JOB_FAILED, "5.1.1", "no");
	ck_assert_uint_eq(njobs, 2);
	ck_assert_uint_eq(events(EV_NOTICE, NULL, NULL), 0);
	ck_assert_uint_eq(act(QV_DELETE, FILTER(.qid = "A1")), 0);
}
END_TEST

START_TEST(a_deliverd_that_dies_over_a_deleted_message_is_no_harm)
{
	put_to("A1", "x@far.test");
	ck_assert_uint_eq(act(QV_DELETE, FILTER(.qid = "A1")), 1);
	world_deliverd(jobs[0].instance, 0);
	world_turn();
	ck_assert_uint_eq(njobs, 1);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(flush_tries_what_waits_and_wakes_dead_destinations)
{
	char qid[8];
	unsigned i;

	for (i = 0; i < 10; i++) {
		(void)snprintf(qid, sizeof qid, "A%u", i);
		put_to(qid, "x@far.test");
	}
	put_to("B1", "x@other.test");
	answer(job_of("B1"), JOB_DELAYED, "4.2.2", "full");
	for (i = 0; i < 5; i++)
		answer_site(&jobs[i], "refused");
	ck_assert_uint_eq(open_jobs(), 0);
	ck_assert_uint_eq(count(FILTER(.states = 1 << QS_DEFERRED)), 11);
	ck_assert_uint_eq(act(QV_FLUSH, FILTER(.destination = "other.test")), 1);
	ck_assert_uint_eq(open_jobs(), 1);
	ck_assert_uint_eq(act(QV_FLUSH, FILTER(.qid = "")), 11);
	/* The dead one gets its probe. */
	ck_assert_uint_eq(open_jobs(), 2);
	for (i = 0; i < 20; i++)
		answer_all(JOB_SENT);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(requeued_messages_begin_anew)
{
	put_to("A1", "x@far.test");
	answer(job_of("A1"), JOB_DELAYED, "4.2.2", "full");
	world_pass(400);
	answer(job_of("A1"), JOB_DELAYED, "4.2.2", "full");
	ck_assert_uint_eq(msg_find("A1")->attempts, 2);
	ck_assert_uint_eq(act(QV_REQUEUE, FILTER(.qid = "A1")), 1);
	ck_assert_uint_eq(open_jobs(), 1);
	ck_assert_uint_eq(msg_find("A1")->attempts, 1);
}
END_TEST

START_TEST(a_large_queue_is_changed_in_slices)
{
	char qid[16];
	unsigned i;

	world_deliverd(0, 0);
	world_deliverd(1, 0);
	world_deliverd(2, 0);
	for (i = 0; i < 3500; i++) {
		(void)snprintf(qid, sizeof qid, "A%04u", i);
		put_to(qid, "x@far.test");
	}
	ck_assert_uint_eq(act(QV_HOLD, FILTER(.tenant = "default")), 3500);
	ck_assert_uint_eq(Q.states[R_HELD], 3500);
	/* One who does not wait for the answer. */
	{
		struct queue_filter f = {.states = 1 << QS_HELD};
		struct queue_act_req q = {.verb = QV_DELETE, .filter = {&f, 1}};

		ck_assert_int_eq(ipc_queue(&gwctl, M_queue_act_req, 1, &q, -1), 0);
		ck_assert_int_eq(ipc_flush(&gwctl), 1);
		ipc_close(&gwctl);
	}
	world_turn();
	ck_assert_uint_eq(msg_count(), 0);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

Suite *
admin_suite(void)
{
	return unit_suite_around("admin", world_setup, world_end,
	    (const TTest *const[]){lists_come_in_pages_in_the_order_of_arrival,
		filters_say_which_messages, a_message_is_shown_in_pieces,
		held_messages_stay_until_they_are_released,
		a_hold_counts_for_a_delivery_under_way_when_it_fails,
		deleted_messages_are_gone_and_nobody_is_told,
		a_deliverd_that_dies_over_a_deleted_message_is_no_harm,
		flush_tries_what_waits_and_wakes_dead_destinations, requeued_messages_begin_anew,
		a_large_queue_is_changed_in_slices, NULL});
}

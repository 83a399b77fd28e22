/* The life of a message: attempts, pauses, its end, and what a crash leaves of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "t/unit/queued/world.h"

Suite *life_suite(void);

START_TEST(a_delivered_message_is_gone)
{
	put_to("A1", "x@far.test");
	ck_assert_uint_eq(disk_live(), 1);
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_live(), 0);
	ck_assert_uint_eq(msg_count(), 0);
	ck_assert_uint_eq(events(EV_REMOVED, "A1", NULL), 1);
	ck_assert_uint_eq(Q.states[R_TASK] + Q.states[R_DEFERRED] + Q.states[R_DONE], 0);
}
END_TEST

START_TEST(pauses_between_attempts_double_up_to_the_bound)
{
	static const unsigned pauses[] = {300, 600, 1200, 2400, 4000, 4000};
	uint64_t before;
	size_t i;

	world_conf("delay_warning = 0\n", NULL);
	put_to("A1", "x@far.test");
	for (i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
		ck_assert_uint_eq(njobs, i + 1);
		before = world_now;
		answer(&jobs[i], JOB_DELAYED, "4.2.2", "later");
		ck_assert_uint_ge(msg_find("A1")->next, before + 1000ull * pauses[i]);
		ck_assert_uint_le(
		    msg_find("A1")->next, before + 1000ull * pauses[i] * 9 / 8 + 1000);
		world_pass(pauses[i] - 1);
		ck_assert_uint_eq(njobs, i + 1);
		world_pass(pauses[i] / 8 + 2);
		ck_assert_uint_eq(njobs, i + 2);
	}
	ck_assert_uint_eq(msg_find("A1")->attempts, 7);
	ck_assert_uint_ge(jobs[njobs - 1].waited_queue, 12000000);
}
END_TEST

START_TEST(only_those_that_were_not_delivered_are_tried_again)
{
	struct job_result r[3] = {{JOB_SENT, "2.0.0", "", "ok"},
	    {JOB_DELAYED, "4.2.2", "mx", "full"}, {JOB_SENT, "2.0.0", "", "ok"}};
	struct job_rep rep = {.results = {r, 3}};
	struct mail m = mail("A1", "x@far.test");

	mail_rcpt(&m, "y@far.test", 0);
	mail_rcpt(&m, "z@far.test", 0);
	put_ok(&m);
	answer_rep(&jobs[0], jobs[0].id, &rep);
	ck_assert_uint_eq(disk_state("A1")->rcpts.v[0].state, 0);
	ck_assert_uint_eq(disk_state("A1")->rcpts.v[1].state, QS_DEFERRED + 1);
	ck_assert_str_eq(disk_state("A1")->rcpts.v[1].text, "full");
	ck_assert_uint_eq(disk_state("A1")->attempts, 1);
	world_pass(400);
	ck_assert_uint_eq(njobs, 2);
	ck_assert_uint_eq(jobs[1].n, 1);
	ck_assert_str_eq(jobs[1].rcpts[0], "y@far.test");
}
END_TEST

START_TEST(a_restart_finds_what_was_left)
{
	struct mail m = mail("A1", "x@far.test");

	mail_rcpt(&m, "y@other.test", 0);
	m.rcpts[0].orcpt = "rfc822;orig@here.test";
	put_ok(&m);
	answer(jobs[0].rcpts[0][0] == 'x' ? &jobs[0] : &jobs[1], JOB_DELAYED, "4.2.2", "full");
	answer(job_of("A1"), JOB_SENT, "2.0.0", "ok");
	put_to("B1", "x@third.test");
	world_restart();
	/* B1 was under way: it is tried again at once.  A1 waits for its time. */
	ck_assert_uint_eq(njobs, 1);
	ck_assert_str_eq(jobs[0].qid, "B1");
	ck_assert_uint_eq(msg_find("A1")->attempts, 1);
	ck_assert_uint_eq(msg_find("A1")->left, 1);
	ck_assert_str_eq(
	    rcpt_orcpt(msg_find("A1"), &msg_find("A1")->rcpts[0]), "rfc822;orig@here.test");
	world_pass(400);
	ck_assert_uint_eq(njobs, 2);
	ck_assert_str_eq(jobs[1].rcpts[0], "x@far.test");
	answer_all(JOB_SENT);
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(what_is_too_old_is_returned_after_a_last_attempt)
{
	put_to("A1", "x@far.test");
	answer(&jobs[0], JOB_DELAYED, "4.2.2", "mailbox full");
	world_conf("delay_warning = 0\n", NULL);
	while (world_now < 1700000000000 + 427000000ull) {
		world_pass(4000);
		answer_all(JOB_DELAYED);
		ck_assert_uint_eq(disk_has("A1"), 1);
	}
	/* At its end, whatever the pause would have been. */
	world_pass((1700000000000 + 432000000ull - world_now) / 1000);
	ck_assert_ptr_nonnull(job_of("A1"));
	answer(job_of("A1"), JOB_DELAYED, "4.2.2", "mailbox still full");
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_uint_eq(events(EV_EXPIRED, "A1", NULL), 1);
	ck_assert_uint_eq(events(EV_DELIVERY, "A1", "delivery expired: mailbox still full"), 1);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", "sender non-delivery notification"), 1);
	/* The notice is on its way. */
	ck_assert_uint_eq(open_jobs(), 1);
	ck_assert_str_eq(jobs[njobs - 1].rcpts[0], "a@here.test");
	ck_assert_ptr_nonnull(strstr(jobs[njobs - 1].text, "Status: 5.4.7\r\n"));
}
END_TEST

START_TEST(what_waits_for_a_dead_destination_gets_too_old_there)
{
	unsigned i;
	char qid[8];

	world_conf("lifetime = 1000\n delay_warning = 0\n", NULL);
	for (i = 0; i < 7; i++) {
		(void)snprintf(qid, sizeof qid, "A%u", i);
		put_to(qid, "x@far.test");
	}
	for (i = 0; i < 5; i++)
		answer_site(&jobs[i], "refused");
	while (world_now < 1700000000000 + 1100000) {
		world_pass(100);
		for (i = 0; i < njobs; i++)
			if (!jobs[i].answered && strcmp(jobs[i].domain, "far.test") == 0)
				answer_site(&jobs[i], "refused");
	}
	for (i = 0; i < 7; i++) {
		(void)snprintf(qid, sizeof qid, "A%u", i);
		ck_assert_uint_eq(disk_has(qid), 0);
		ck_assert_uint_eq(events(EV_NOTICE, qid, NULL), 1);
	}
}
END_TEST

START_TEST(old_mail_is_tried_once_after_a_long_stop)
{
	put_to("A1", "x@far.test");
	answer(&jobs[0], JOB_DELAYED, "4.2.2", "full");
	world_now += 30 * 86400000ull;
	world_restart();
	ck_assert_uint_eq(njobs, 1);
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_live(), 0);
	ck_assert_uint_eq(events(EV_NOTICE, NULL, NULL), 0);
}
END_TEST

START_TEST(failures_of_several_destinations_are_one_notice)
{
	struct mail m = mail("A1", "x@one.test");

	mail_rcpt(&m, "y@two.test", 0);
	mail_rcpt(&m, "z@three.test", 0);
	put_ok(&m);
	ck_assert_uint_eq(njobs, 3);
	answer(&jobs[0], JOB_FAILED, "5.1.1", "no such user");
	answer(&jobs[1], JOB_FAILED, "5.1.1", "no such user");
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 0);
	answer(&jobs[2], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 1);
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_uint_eq(disk_live(), 1);
}
END_TEST

START_TEST(a_failure_does_not_wait_long_for_others)
{
	struct mail m = mail("A1", "x@one.test");

	mail_rcpt(&m, "y@two.test", 0);
	put_ok(&m);
	answer(&jobs[0], JOB_FAILED, "5.1.1", "no such user");
	world_pass(29);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 0);
	world_pass(2);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 1);
	ck_assert_uint_eq(disk_has("A1"), 1);
	answer(&jobs[1], JOB_FAILED, "5.1.1", "nor this one");
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 2);
	ck_assert_uint_eq(disk_has("A1"), 0);
}
END_TEST

START_TEST(a_notice_and_what_it_tells_of_are_durable_together)
{
	put_to("A1", "x@far.test");
	disk_manual = 1;
	answer(&jobs[0], JOB_FAILED, "5.1.1", "no such user");
	/* Not before that is it sent. */
	ck_assert_uint_eq(njobs, 1);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 0);
	/* A crash here: it is as if nothing had been answered. */
	world_restart();
	ck_assert_uint_eq(disk_live(), 1);
	ck_assert_uint_eq(njobs, 1);
	ck_assert_str_eq(jobs[0].qid, "A1");
	answer(&jobs[0], JOB_FAILED, "5.1.1", "no such user");
	disk_sync(1);
	world_turn();
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 1);
	/* And a crash here finds the notice, and the message no more. */
	world_restart();
	ck_assert_uint_eq(disk_live(), 1);
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_uint_eq(njobs, 1);
	ck_assert_str_eq(jobs[0].sender, "");
}
END_TEST

START_TEST(a_notice_that_cannot_be_written_is_tried_again)
{
	put_to("A1", "x@far.test");
	disk_manual = 1;
	answer(&jobs[0], JOB_FAILED, "5.1.1", "no such user");
	disk_sync(0);
	world_turn();
	ck_assert_uint_eq(disk_has("A1"), 1);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 0);
	disk_manual = 0;
	disk_errno = ENOSPC;
	world_pass(25);
	ck_assert_uint_eq(disk_has("A1"), 1);
	disk_errno = 0;
	world_pass(15);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 1);
	ck_assert_uint_eq(disk_has("A1"), 0);
	/* The recipient was tried once. */
	ck_assert_uint_eq(njobs, 2);
}
END_TEST

START_TEST(states_that_cannot_be_written_are_tried_again)
{
	put_to("A1", "x@far.test");
	disk_errno = EAGAIN;
	answer(&jobs[0], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_has("A1"), 1);
	world_pass(1);
	disk_errno = EIO;
	world_pass(5);
	ck_assert_uint_eq(disk_has("A1"), 1);
	ck_assert_uint_eq(njobs, 1);
	disk_errno = 0;
	world_pass(2);
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_uint_eq(msg_count(), 0);
}
END_TEST

START_TEST(results_that_come_while_a_notice_is_written_are_not_lost)
{
	struct mail m = mail("A1", "x@one.test");

	mail_rcpt(&m, "y@two.test", 0);
	mail_rcpt(&m, "z@three.test", 0);
	put_ok(&m);
	answer(&jobs[0], JOB_FAILED, "5.1.1", "no such user");
	world_pass(29);
	disk_manual = 1;
	world_pass(2);
	answer(&jobs[1], JOB_SENT, "2.0.0", "ok");
	answer(&jobs[2], JOB_FAILED, "5.1.1", "nor this one");
	disk_sync(1);
	world_turn();
	disk_manual = 0;
	world_turn();
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 2);
	ck_assert_uint_eq(events(EV_REMOVED, "A1", NULL), 1);
	ck_assert_uint_eq(msg_count(), 2);
}
END_TEST

START_TEST(the_delay_is_told_once)
{
	unsigned i;

	put_to("A1", "x@far.test");
	for (i = 0; i < 8; i++) {
		answer_all(JOB_DELAYED);
		world_pass(4000);
	}
	ck_assert_uint_eq(events(EV_NOTICE, "A1", "sender delay notification"), 1);
	ck_assert_uint_eq(disk_state("A1")->rcpts.v[0].told, 1);
	world_restart();
	for (i = 0; i < 5; i++) {
		answer_all(JOB_DELAYED);
		world_pass(4000);
	}
	ck_assert_uint_eq(events(EV_NOTICE, "A1", NULL), 0);
}
END_TEST

START_TEST(nobody_is_told_of_a_delay_who_did_not_want_it)
{
	struct mail m = mail("A1", NULL);
	unsigned i;

	mail_rcpt(&m, "never@far.test", RCPT_NEVER);
	mail_rcpt(&m, "fail@far.test", RCPT_FAILURE);
	put_ok(&m);
	m = mail("A2", "x@other.test");
	m.env.sender = "";
	put_ok(&m);
	for (i = 0; i < 10; i++) {
		answer_all(JOB_DELAYED);
		world_pass(4000);
	}
	ck_assert_uint_eq(events(EV_NOTICE, NULL, NULL), 0);
	ck_assert_uint_eq(msg_count(), 2);
}
END_TEST

START_TEST(mail_that_waits_for_its_turn_is_told_of_too)
{

	world_deliverd(0, 0);
	world_deliverd(1, 0);
	world_deliverd(2, 0);
	put_to("A1", "x@far.test");
	world_pass(14500);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", "sender delay notification"), 1);
}
END_TEST

START_TEST(notices_have_a_lifetime_of_their_own)
{
	struct mail m = mail("A1", "x@far.test");

	world_conf("bounce_lifetime = 1000\n", NULL);
	m.env.sender = "";
	put_ok(&m);
	answer_all(JOB_DELAYED);
	world_pass(400);
	answer_all(JOB_DELAYED);
	world_pass(700);
	answer_all(JOB_DELAYED);
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_uint_eq(events(EV_EXPIRED, "A1", NULL), 1);
	/* To postmaster, who is in the configuration. */
	ck_assert_uint_eq(events(EV_NOTICE, "A1", "postmaster non-delivery notification"), 1);
}
END_TEST

START_TEST(many_recipients_do_not_write_their_state_for_each_of_them)
{
	static char addrs[300][40];
	static struct queue_rcpt rcpts[300];
	struct mail m = mail("A1", "x@far.test");
	struct blob b = {.kind = BLOB_INLINE, .size = 4};
	struct envelope e = m.env;
	struct queue_put_req q = {.envelope = {&e, 1}, .rcpts = {rcpts, 300}, .message = {&b, 1}};
	unsigned i, before;

	for (i = 0; i < 300; i++) {
		(void)snprintf(addrs[i], sizeof addrs[i], "x@d%u.test", i);
		rcpts[i] = (struct queue_rcpt){addrs[i], "", 0, ""};
	}
	b.data = (struct bytes){(const uint8_t *)"a\r\n", 4};
	ck_assert_int_eq(ipc_queue(&smtpd, M_queue_put_req, 1, &q, -1), 0);
	ck_assert_int_eq(ipc_flush(&smtpd), 1);
	ck_assert_int_eq(put_status(&smtpd, 1), QUEUE_OK);
	ck_assert_uint_eq(njobs, 300);
	before = disk_changes;
	for (i = 0; i < 299; i++)
		answer(&jobs[i], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_le(disk_changes - before, 3);
	world_pass(1);
	ck_assert_uint_eq(disk_state("A1")->rcpts.v[5].state, 0);
	answer(&jobs[299], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(a_hundred_thousand_messages_take_little_memory)
{
	struct mail m = mail("A1", "somebody@example.test");
	struct msg *x;

	m.env.msgid = "CAF1234567890abcdefghijklmnop@mail.example.test";
	m.env.sender = "somebody.else@here.test";
	x = msg_new(&m.env, m.rcpts, 1, 1000, NULL);
	ck_assert_uint_le(sizeof *x + sizeof x->rcpts[0] + x->packed, 420);
	ck_assert_uint_le(sizeof(struct task) + sizeof(uint16_t), 80);
	msg_free(x);
}
END_TEST

Suite *
life_suite(void)
{
	return unit_suite_around("life", world_setup, world_end,
	    (const TTest *const[]){a_delivered_message_is_gone,
		pauses_between_attempts_double_up_to_the_bound,
		only_those_that_were_not_delivered_are_tried_again, a_restart_finds_what_was_left,
		what_is_too_old_is_returned_after_a_last_attempt,
		what_waits_for_a_dead_destination_gets_too_old_there,
		old_mail_is_tried_once_after_a_long_stop,
		failures_of_several_destinations_are_one_notice,
		a_failure_does_not_wait_long_for_others,
		a_notice_and_what_it_tells_of_are_durable_together,
		a_notice_that_cannot_be_written_is_tried_again,
		states_that_cannot_be_written_are_tried_again,
		results_that_come_while_a_notice_is_written_are_not_lost, the_delay_is_told_once,
		nobody_is_told_of_a_delay_who_did_not_want_it,
		mail_that_waits_for_its_turn_is_told_of_too, notices_have_a_lifetime_of_their_own,
		many_recipients_do_not_write_their_state_for_each_of_them,
		a_hundred_thousand_messages_take_little_memory, NULL});
}

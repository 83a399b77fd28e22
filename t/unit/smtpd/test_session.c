#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/session.h"
#include "smtpd/whose.h"
#include "t/unit/smtpd/door.h"
#include "t/unit/unit.h"

#define EHLO_SAID                                                                                  \
	"250-gw.example.org\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250-8BITMIME\r\n"              \
	"250-SMTPUTF8\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n"
#define OK_MAIL "250 2.1.0 Ok\r\n"
#define OK_RCPT "250 2.1.5 Ok\r\n"
#define GO_ON "354 End data with <CR><LF>.<CR><LF>\r\n"
#define LETTER "From: a@b\r\nSubject: x\r\nMessage-ID: <1@far.test>\r\n\r\nHello.\r\n"

/* A client that has been greeted, whose name is none. */
static void
come(const char *connector)
{
	struct dns_ptr_rep p = {.status = DNS_NOTFOUND, .name = "", .text = ""};

	door_come(connector);
	(void)door_asked(&door.dnsd, M_dns_ptr_req);
	door_answer(M_dns_ptr_rep, &p);
	ck_assert_str_eq(door_heard(), "220 gw.example.org ESMTP Postern\r\n");
	door_talk("EHLO client.far.test\r\n", EHLO_SAID);
}

/* Its first transaction, up to DATA, with a recipient who is there. */
static void
begin(const char *rcpt)
{
	char line[400];

	door_talk("MAIL FROM:<x@far.test>\r\n", OK_MAIL);
	(void)snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", rcpt);
	door_say(line);
	door_whose(rcpt, WHOSE_OURS, "one", "somebody");
	ck_assert_str_eq(door_heard(), OK_RCPT);
	door_talk("DATA\r\n", GO_ON);
}

static const struct queue_put_req *
put(void)
{
	return door_asked(&door.queued, M_queue_put_req);
}

static void
queue_says(enum queue_status status)
{
	struct queue_put_rep p = {.status = (uint8_t)status, .text = "why"};

	door_answer(M_queue_put_rep, &p);
}

START_TEST(a_message_goes_to_the_queue_as_it_came)
{
	const struct queue_put_req *q;
	const struct envelope *v;
	char qid[64], want[128];
	size_t n;

	come("in");
	door_talk("MAIL FROM:<x@far.test> RET=HDRS ENVID=E1 BODY=8BITMIME\r\n", OK_MAIL);
	door_say("RCPT TO:<a@ours.test> NOTIFY=DELAY ORCPT=rfc822;A@ours.test\r\n");
	door_whose("a@ours.test", WHOSE_OURS, "one", "alice");
	ck_assert_str_eq(door_heard(), OK_RCPT);
	door_talk("DATA\r\n", GO_ON);
	door_say(LETTER ".\r\n");
	q = put();
	v = q->envelope.v;
	ck_assert_uint_eq(q->more, 0);
	ck_assert_str_eq(v->qid, v->tx);
	ck_assert_str_eq(v->tenant, "one");
	ck_assert_str_eq(v->connector, "in");
	ck_assert_str_eq(v->sender, "x@far.test");
	ck_assert_str_eq(v->envid, "E1");
	ck_assert_uint_eq(v->ret, MAIL_RET_HDRS);
	ck_assert_uint_eq(v->body, OCTETS_7BIT); /* what it is, not what was said */
	ck_assert_uint_eq(v->conceal, 0);
	ck_assert_uint_eq(v->priority, 5);
	ck_assert_uint_gt(v->arrived, 1000000000000);
	ck_assert_str_eq(v->msgid, "<1@far.test>");
	ck_assert_uint_eq(q->rcpts.n, 1);
	ck_assert_str_eq(q->rcpts.v[0].addr, "a@ours.test");
	ck_assert_str_eq(q->rcpts.v[0].orcpt, "rfc822;A@ours.test");
	ck_assert_uint_eq(q->rcpts.v[0].notify, RCPT_DELAY);
	ck_assert_str_eq(q->rcpts.v[0].hold, "");
	n = q->message.v[0].data.n;
	ck_assert_uint_gt(n, sizeof LETTER - 1);
	ck_assert_mem_eq(
	    q->message.v[0].data.p + n - (sizeof LETTER - 1), LETTER, sizeof LETTER - 1);
	ck_assert_mem_eq(
	    q->message.v[0].data.p, "Received: from client.far.test (unknown [192.0.2.1])", 52);
	(void)strlcpy(qid, v->qid, sizeof qid);
	ck_assert_str_eq(door_heard(), ""); /* not before it is on the disk */
	queue_says(QUEUE_OK);
	(void)snprintf(want, sizeof want, "250 2.0.0 Ok: queued as %s\r\n", qid);
	ck_assert_str_eq(door_heard(), want);
	door_talk("QUIT\r\n", "221 2.0.0 Bye\r\n");
}
END_TEST

START_TEST(octets_above_127_are_told)
{
	come("in");
	begin("a@ours.test");
	door_say("Subject: x\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n.\r\n");
	ck_assert_uint_eq(put()->envelope.v[0].body, OCTETS_8BIT);
	queue_says(QUEUE_OK);
	(void)door_heard();
}
END_TEST

START_TEST(a_batch_is_answered_in_one_turn_and_asks_nothing_twice)
{
	int i;

	come("in");
	begin("a@ours.test");
	door_say(LETTER ".\r\n");
	(void)put();
	queue_says(QUEUE_OK);
	(void)door_heard();
	for (i = 0; i < 20; i++) {
		door_talk("MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\nDATA\r\n",
		    OK_MAIL OK_RCPT GO_ON);
		door_say(LETTER ".\r\n");
		(void)put();
		queue_says(QUEUE_OK);
		ck_assert_int_eq(strncmp(door_heard(), "250 2.0.0 Ok: queued as ", 24), 0);
	}
	ck_assert(door_silent(&door.policyd));
	ck_assert(door_silent(&door.anvild));
	ck_assert(door_silent(&door.filterd));
}
END_TEST

START_TEST(what_queued_says_is_the_clients_answer)
{
	static const struct {
		enum queue_status status;
		const char *answer;
	} t[] = {{QUEUE_FULL, "452 4.3.1 "}, {QUEUE_BUSY, "451 4.3.2 "},
	    {QUEUE_FAILED, "451 4.3.0 "}, {QUEUE_OK, "250 2.0.0 "}};
	size_t i;

	come("in");
	begin("a@ours.test");
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		if (i > 0)
			door_talk("MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\nDATA\r\n",
			    OK_MAIL OK_RCPT GO_ON);
		door_say(LETTER ".\r\n");
		(void)put();
		queue_says(t[i].status);
		ck_assert_int_eq(strncmp(door_heard(), t[i].answer, 10), 0);
	}
}
END_TEST

START_TEST(a_full_queue_is_told_at_mail)
{
	struct queue_room r = {.full = 1, .text = "disk"};

	come("in");
	ck_assert_int_eq(ipc_send(&door.queued, M_queue_room, 0, &r, -1, 5000), 0);
	door_talk("MAIL FROM:<x@far.test>\r\n", "452 4.3.1 Insufficient system storage\r\n");
	r.full = 0;
	ck_assert_int_eq(ipc_send(&door.queued, M_queue_room, 0, &r, -1, 5000), 0);
	door_talk("MAIL FROM:<x@far.test>\r\n", OK_MAIL);
}
END_TEST

START_TEST(a_queue_that_dies_with_a_message_has_it_sent_again)
{
	come("in");
	begin("a@ours.test");
	door_say(LETTER ".\r\n");
	(void)put();
	door_queued(0);
	ck_assert_int_eq(strncmp(door_heard(), "451 4.3.0 ", 10), 0);
	/* The next one waits for the new queue. */
	door_talk("MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\n", "");
	door_queued(1);
	ck_assert_str_eq(door_heard(), OK_MAIL OK_RCPT);
	door_talk("DATA\r\n", GO_ON);
	door_queued(0);
	door_say(LETTER ".\r\n");
	ck_assert_int_eq(strncmp(door_heard(), "451 4.3.0 ", 10), 0);
	door_queued(1);
}
END_TEST

START_TEST(a_client_may_go_at_any_time)
{
	static const char *const steps[] = {"", "MAIL FROM:<x@far.test>\r\n",
	    "MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\n",
	    "MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\nDATA\r\n",
	    "MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\nDATA\r\n" LETTER,
	    "MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\nDATA\r\n" LETTER ".\r\n",
	    "MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\nBDAT 100\r\nSubject",
	    "MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\nBDAT 100 LAST\r\n"};
	struct whose_rep p = {.whose = WHOSE_OURS, .tenant = "one", .consumer = ""};
	size_t i;

	/* While policyd thinks, and once it has said that the recipient is there. */
	for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		come("in");
		door_say(steps[i]);
		if (i >= 2)
			(void)door_asked(&door.policyd, M_whose_req);
		door_leave();
		ck_assert_uint_eq(sessions_count(), 0);
		come("in");
		door_say(steps[i]);
		if (i >= 2) {
			(void)door_asked(&door.policyd, M_whose_req);
			door_answer(M_whose_rep, &p);
			whose_forget();
		}
		door_leave();
		if (i == 5) {
			(void)put();
			queue_says(QUEUE_OK);
		}
		ck_assert_uint_eq(sessions_count(), 0);
		/* Says no more, and waits for its answers. */
		come("in");
		door_say(steps[i]);
		ck_assert_int_eq(shutdown(door.client, SHUT_WR), 0);
		if (i >= 2) {
			(void)door_asked(&door.policyd, M_whose_req);
			door_answer(M_whose_rep, &p);
			whose_forget();
		}
		if (i == 5) {
			(void)put();
			queue_says(QUEUE_OK);
		}
		door_turn();
		ck_assert_uint_eq(sessions_count(), 0);
		door_leave();
	}
}
END_TEST

START_TEST(a_message_that_is_whole_goes_its_way_without_its_client)
{
	come("in");
	begin("a@ours.test");
	door_say(LETTER ".\r\n");
	(void)put();
	close(door.client);
	door.client = -1;
	door_turn();
	ck_assert_uint_eq(sessions_count(), 1);
	queue_says(QUEUE_OK);
	door_turn();
	ck_assert_uint_eq(sessions_count(), 0);
}
END_TEST

START_TEST(tenants_come_one_at_a_time)
{
	come("in");
	door_talk("MAIL FROM:<>\r\n", OK_MAIL);
	door_say("RCPT TO:<a@ours.test>\r\n");
	door_whose("a@ours.test", WHOSE_OURS, "one", "");
	ck_assert_str_eq(door_heard(), OK_RCPT);
	door_say("RCPT TO:<b@theirs.test>\r\n");
	door_whose("b@theirs.test", WHOSE_OURS, "two", "");
	ck_assert_str_eq(door_heard(), "452 4.5.3 <b@theirs.test>: one customer at a time\r\n");
	door_talk("RSET\r\nMAIL FROM:<>\r\nRCPT TO:<b@theirs.test>\r\n",
	    "250 2.0.0 Ok\r\n" OK_MAIL OK_RCPT);
	door_talk("DATA\r\n", GO_ON);
	door_say(LETTER ".\r\n");
	ck_assert_str_eq(put()->envelope.v[0].tenant, "two");
	queue_says(QUEUE_OK);
}
END_TEST

START_TEST(postmaster_without_a_domain_is_that_of_this_host)
{
	come("in");
	door_talk("MAIL FROM:<>\r\n", OK_MAIL);
	door_say("RCPT TO:<Postmaster>\r\n");
	door_whose("postmaster@example.org", WHOSE_OURS, "one", "");
	ck_assert_str_eq(door_heard(), OK_RCPT);
	door_talk("RCPT TO:<>\r\n", "501 5.1.3 a recipient is expected\r\n");
}
END_TEST

START_TEST(policyd_that_cannot_say_is_a_passing_failure)
{
	come("in");
	door_talk("MAIL FROM:<>\r\n", OK_MAIL);
	door_say("RCPT TO:<a@ours.test>\r\n");
	door_whose_later("a@ours.test");
	ck_assert_int_eq(strncmp(door_heard(), "451 4.3.0 ", 10), 0);
}
END_TEST

/* What relay asks of policyd: the sender, the recipient, and whether a worker is needed. */
static void
relay_letter(int screened, int worker)
{
	door_say("MAIL FROM:<me@ours.test>\r\n");
	door_whose("me@ours.test", WHOSE_OURS, "one", "");
	ck_assert_str_eq(door_heard(), OK_MAIL);
	door_say("RCPT TO:<a@far.test>\r\n");
	door_whose("a@far.test", WHOSE_FOREIGN, "", "");
	ck_assert_str_eq(door_heard(), OK_RCPT);
	door_talk("DATA\r\n", GO_ON);
	door_say(LETTER ".\r\n");
	if (screened)
		door_screen(worker);
}

START_TEST(mail_that_goes_out_is_screened_once)
{
	come("out");
	relay_letter(1, 0);
	ck_assert_str_eq(put()->envelope.v[0].tenant, "one");
	queue_says(QUEUE_OK);
	(void)door_heard();
	door_talk(
	    "MAIL FROM:<me@ours.test>\r\nRCPT TO:<a@far.test>\r\nDATA\r\n", OK_MAIL OK_RCPT GO_ON);
	door_say(LETTER ".\r\n");
	(void)put();
	queue_says(QUEUE_OK);
	ck_assert(door_silent(&door.policyd));
	ck_assert(door_silent(&door.filterd));
}
END_TEST

START_TEST(a_doubt_has_a_worker_look_at_it)
{
	const struct worker_req *q;
	struct worker_rep p = {.ok = 0, .text = "none"};

	come("out");
	relay_letter(1, 1);
	q = door_asked(&door.filterd, M_worker_req);
	ck_assert_uint_eq(q->session.n, SESSION_ID);
	door_answer(M_worker_rep, &p);
	ck_assert_int_eq(strncmp(door_heard(), "451 4.3.0 ", 10), 0);
	ck_assert(door_silent(&door.queued));
	/* A trigger has one look without a question whether it is needed. */
	door_talk(
	    "MAIL FROM:<me@ours.test>\r\nRCPT TO:<a@far.test>\r\nDATA\r\n", OK_MAIL OK_RCPT GO_ON);
	door_say("Subject: [encrypt] x\r\n\r\nx\r\n.\r\n");
	ck_assert(door_silent(&door.policyd));
	(void)door_asked(&door.filterd, M_worker_req);
	door_answer(M_worker_rep, &p);
	ck_assert_int_eq(strncmp(door_heard(), "451 4.3.0 ", 10), 0);
}
END_TEST

START_TEST(outside_senders_and_unknown_clients_are_refused)
{
	come("out");
	door_say("MAIL FROM:<x@far.test>\r\n");
	door_whose("x@far.test", WHOSE_FOREIGN, "", "");
	ck_assert_int_eq(strncmp(door_heard(), "550 5.7.1 ", 10), 0);
	door_say("MAIL FROM:<x@theirs.test>\r\n");
	door_whose("x@theirs.test", WHOSE_OURS, "two", "");
	ck_assert_int_eq(strncmp(door_heard(), "550 5.7.1 ", 10), 0);
	door_leave();
	door.connectors[1].relay_clients.n = 0;
	come("out");
	door_talk("MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\n",
	    OK_MAIL "554 5.7.1 <a@ours.test>: Relay access denied\r\n");
	/* Who may send nowhere is told nothing. */
	ck_assert(door_silent(&door.policyd));
}
END_TEST

START_TEST(submission_begins_with_a_login)
{
	struct dns_ptr_rep p = {.status = DNS_NOTFOUND, .name = "", .text = ""};

	door_come("users");
	(void)door_asked(&door.dnsd, M_dns_ptr_req);
	door_answer(M_dns_ptr_rep, &p);
	door_talk("EHLO x\r\n",
	    "220 gw.example.org ESMTP Postern\r\n"
	    "250-gw.example.org\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250-8BITMIME\r\n"
	    "250-SMTPUTF8\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n"
	    "250 AUTH PLAIN LOGIN\r\n");
	door_talk("MAIL FROM:<a@ours.test>\r\n", "530 5.7.0 Authentication required\r\n");
	door_talk("BDAT 4 LAST\r\nabcd", "503 5.5.1 send MAIL first\r\n");
}
END_TEST

START_TEST(chunks_stay_in_step_whatever_is_wrong)
{
	static const struct {
		const char *say, *hear;
	} t[] = {
	    {"BDAT 6\r\nQUIT\r\n", "503 5.5.1 send MAIL first\r\n"},
	    {"MAIL FROM:<x@far.test>\r\nBDAT 6 LAST\r\nQUIT\r\n",
		OK_MAIL "503 5.5.1 no valid recipients\r\n"},
	    {"RCPT TO:<a@ours.test>\r\nBDAT 5\r\na\nb\r\nNOOP\r\n",
		OK_RCPT "550 5.6.11 a line of the message does not end with CR LF\r\n"
			"250 2.0.0 Ok\r\n"},
	    {"MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\nBDAT 12\r\nSubject: x\r\nNOOP\r\n"
	     "DATA\r\nRCPT TO:<a@ours.test>\r\nMAIL FROM:<b@far.test>\r\nRSET\r\nBDAT 0 LAST\r\n",
		OK_MAIL OK_RCPT "250 2.0.0 Ok: 12 octets received\r\n250 2.0.0 Ok\r\n"
				"503 5.5.1 DATA and BDAT are not for the same message\r\n"
				"503 5.5.1 a message has begun\r\n"
				"503 5.5.1 a sender is given already\r\n"
				"250 2.0.0 Ok\r\n503 5.5.1 send MAIL first\r\n"},
	};
	size_t i;

	come("in");
	begin("a@ours.test");
	door_say(LETTER ".\r\n");
	(void)put();
	queue_says(QUEUE_OK);
	(void)door_heard();
	for (i = 0; i < sizeof t / sizeof t[0]; i++)
		door_talk(t[i].say, t[i].hear);
	ck_assert(door_silent(&door.queued));
}
END_TEST

START_TEST(chunks_make_one_message_however_they_come)
{
	static const char text[] = "Subject: x\r\n\r\n.\r\n..\r\nlast";
	const struct queue_put_req *q;
	char line[64];
	size_t cut, n = sizeof text - 1;

	come("in");
	begin("a@ours.test");
	door_say(LETTER ".\r\n");
	(void)put();
	queue_says(QUEUE_OK);
	(void)door_heard();
	for (cut = 0; cut <= n; cut++) {
		door_talk("MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\n", OK_MAIL OK_RCPT);
		(void)snprintf(line, sizeof line, "BDAT %zu\r\n", cut);
		door_say(line);
		door_send(text, cut);
		(void)snprintf(line, sizeof line, "BDAT %zu LAST\r\n", n - cut);
		door_say(line);
		door_send(text + cut, n - cut);
		q = put();
		ck_assert_mem_eq(q->message.v[0].data.p + q->message.v[0].data.n - n - 2,
		    "Subject: x\r\n\r\n.\r\n..\r\nlast\r\n", n + 2);
		queue_says(QUEUE_OK);
		(void)door_heard();
	}
}
END_TEST

START_TEST(a_message_of_any_size_reaches_the_queue)
{
	static char big[90000];
	const struct queue_put_req *q;
	size_t i;

	for (i = 0; i < sizeof big; i += 100) {
		memset(big + i, 'x', 98);
		memcpy(big + i + 98, "\r\n", 2);
	}
	come("in");
	begin("a@ours.test");
	door_say("Subject: x\r\n\r\n");
	door_send(big, sizeof big);
	door_say(".\r\n");
	q = put();
	ck_assert_uint_gt(q->message.v[0].size, sizeof big);
	queue_says(QUEUE_OK);
	(void)door_heard();
	/* Beyond the limit it is read to its end, and refused. */
	door_talk(
	    "MAIL FROM:<x@far.test>\r\nRCPT TO:<a@ours.test>\r\nDATA\r\n", OK_MAIL OK_RCPT GO_ON);
	door_say("Subject: x\r\n\r\n");
	door_send(big, sizeof big);
	door_send(big, sizeof big);
	door_talk(".\r\n", "552 5.3.4 the message is too large\r\n");
	door_talk("MAIL FROM:<x@far.test> SIZE=100001\r\n",
	    "552 5.3.4 the message is too large: 100000 octets at most\r\n");
	ck_assert(door_silent(&door.queued));
}
END_TEST

Suite *session_suite(void);
Suite *
session_suite(void)
{
	const TTest *const tests[] = {a_message_goes_to_the_queue_as_it_came,
	    octets_above_127_are_told, a_batch_is_answered_in_one_turn_and_asks_nothing_twice,
	    what_queued_says_is_the_clients_answer, a_full_queue_is_told_at_mail,
	    a_queue_that_dies_with_a_message_has_it_sent_again, a_client_may_go_at_any_time,
	    a_message_that_is_whole_goes_its_way_without_its_client, tenants_come_one_at_a_time,
	    postmaster_without_a_domain_is_that_of_this_host,
	    policyd_that_cannot_say_is_a_passing_failure, mail_that_goes_out_is_screened_once,
	    a_doubt_has_a_worker_look_at_it, outside_senders_and_unknown_clients_are_refused,
	    submission_begins_with_a_login, chunks_stay_in_step_whatever_is_wrong,
	    chunks_make_one_message_however_they_come, a_message_of_any_size_reaches_the_queue,
	    NULL};

	return unit_suite_around("session", door_begin, door_end, tests);
}

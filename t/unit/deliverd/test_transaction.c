#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/unit/deliverd/fake.h"
#include "t/unit/unit.h"

Suite *transaction_suite(void);

#define OLD(...)                                                                                   \
	(script)                                                                                   \
	{                                                                                          \
		"S 220 old", "C EHLO gw.example", "S 502 what", "C HELO gw.example", "S 250 old",  \
		    __VA_ARGS__, NULL                                                              \
	}
#define WITH(first, ...)                                                                           \
	(script)                                                                                   \
	{                                                                                          \
		"S 220 fake", "C EHLO gw.example", "S 250-fake", first, "S 250 HELP", __VA_ARGS__, \
		    NULL                                                                           \
	}
#define PIPE(...)                                                                                  \
	WITH("S 250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 10000\r\n250-ENHANCEDSTATUSCODES",      \
	    __VA_ARGS__)

#define ALL3 "C MAIL", "C RCPT", "C DATA"
#define TAKE3 "S 250 2.1.0 ok", "S 250 2.1.5 ok", "S 354 go", "D"
#define MAIL1 ALL3, TAKE3, "S 250 2.0.0 queued as 1"

static const char *const three[] = {"a@x.example", "b@x.example", "c@x.example", NULL};

/* One message over one connection, and what came of it. */
static const struct {
	const char *name;
	const char *const *script;
	const char *const *to; /* NULL: alice */
	const char *outcome;
	const char *heard; /* by the server; NULL: nothing special */
} cases[] = {
    {"pipelined", PIPE(MAIL1), NULL, "relayed 2.0.0, idle",
	"MAIL FROM:<s@y.example> SIZE=21\r\nRCPT TO:<a@x.example>\r\nDATA\r\nSubject: "
	"x\r\n\r\nhello\r\n.\r\n"},
    {"one by one",
	OLD("C MAIL FROM:<s@y.example>", "S 250 ok", "C RCPT", "S 250 ok", "C DATA", "S 354 go",
	    "D", "S 250 taken"),
	NULL, "relayed 2.0.0, idle", "MAIL FROM:<s@y.example>\r\nRCPT TO:<a@x.example>\r\nDATA"},
    {"some refused",
	PIPE("C MAIL", "C RCPT", "C RCPT", "C RCPT", "C DATA", "S 250 ok", "S 550 5.1.1 who",
	    "S 251 2.1.5 will do", "S 450 4.2.1 later", "S 354 go", "D", "S 250 2.6.0 ok"),
	three, "failed 5.1.1, relayed 2.6.0, delayed 4.2.1, idle", NULL},
    {"all refused, DATA too", PIPE(ALL3, "S 250 ok", "S 550 5.1.1 who", "S 554 5.5.1 nobody"), NULL,
	"failed 5.1.1, idle", NULL},
    {"all refused, and a text is wanted",
	PIPE(ALL3, "S 250 ok", "S 550 5.1.1 who", "S 354 go", "D", "S 554 nobody"), NULL,
	"failed 5.1.1, idle", "DATA\r\n.\r\n"},
    {"all refused, and the empty text is taken",
	PIPE(ALL3, "S 250 ok", "S 550 5.1.1 who", "S 354 go", "D", "S 250 thanks"), NULL,
	"failed 5.1.1, idle", NULL},
    {"all refused, one by one", OLD("C MAIL", "S 250 ok", "C RCPT", "S 550 who"), NULL,
	"failed 5.0.0, idle", NULL},
    {"sender refused", PIPE(ALL3, "S 553 5.1.8 you", "S 503 mail first", "S 503 mail first"), NULL,
	"failed 5.1.8, idle", NULL},
    {"sender refused for now, its recipients for ever",
	PIPE(ALL3, "S 451 4.7.1 wait", "S 503 5.5.1 mail first", "S 503 5.5.1 mail first"), NULL,
	"delayed 4.7.1, idle", NULL},
    {"sender refused, recipients taken, text wanted",
	PIPE(ALL3, "S 451 4.7.1 wait", "S 250 ok", "S 354 go"), NULL, "delayed 4.5.0, garbled site",
	NULL},
    {"sender refused, one by one", OLD("C MAIL", "S 550 no"), NULL, "failed 5.0.0, idle", NULL},
    {"DATA refused", PIPE(ALL3, "S 250 ok", "S 250 ok", "S 451 4.3.0 not now"), NULL,
	"delayed 4.3.0, idle", NULL},
    {"message refused", PIPE(ALL3, TAKE3, "S 554 5.7.1 spam"), NULL, "failed 5.7.1, idle", NULL},
    {"message refused for now", PIPE(ALL3, TAKE3, "S 451 greylisted"), NULL, "delayed 4.0.0, idle",
	NULL},
    {"an enhanced code of another class", PIPE(ALL3, TAKE3, "S 550 2.0.0 fine"), NULL,
	"failed 5.0.0, idle", NULL},
    {"lines of a reply", PIPE(ALL3, TAKE3, "S 250-2.0.0 one\r\n250-two\r\n250 three"), NULL,
	"relayed 2.0.0, idle", NULL},
    {"421 to MAIL", PIPE(ALL3, "S 421 4.3.2 bye", "X"), NULL, "delayed 4.3.2, bye site", NULL},
    {"421 to the second RCPT",
	PIPE("C MAIL", "C RCPT", "C RCPT", "C RCPT", "C DATA", "S 250 ok", "S 550 5.1.1 who",
	    "S 421 bye", "X"),
	three, "failed 5.1.1, delayed 4.0.0, delayed 4.0.0, bye site", NULL},
    {"421 to the message", PIPE(ALL3, TAKE3, "S 421 4.3.0 bye", "X"), NULL,
	"delayed 4.3.0, bye site", NULL},
    {"lost before MAIL was answered", PIPE(ALL3, "X"), NULL, "delayed 4.4.2, lost site", NULL},
    {"lost behind a refusal",
	PIPE("C MAIL", "C RCPT", "C RCPT", "C RCPT", "C DATA", "S 250 ok", "S 550 5.1.1 who", "X"),
	three, "failed 5.1.1, delayed 4.4.2, delayed 4.4.2, lost site", NULL},
    {"lost behind the message", PIPE(ALL3, TAKE3, "X"), NULL, "delayed 4.4.2, lost", NULL},
    {"reset behind the message", PIPE(ALL3, TAKE3, "Z"), NULL, "delayed 4.4.2, lost", NULL},
    {"lost within the answer", PIPE(ALL3, TAKE3, "R 250 2.0.0 o", "X"), NULL, "delayed 4.4.2, lost",
	NULL},
    {"lost before the end of the answer's line", PIPE(ALL3, TAKE3, "R 250 2.0.0 ok\r", "X"), NULL,
	"delayed 4.4.2, lost", NULL},
    {"lost between the answer's lines", PIPE(ALL3, TAKE3, "S 250-2.0.0 o", "X"), NULL,
	"delayed 4.4.2, lost", NULL},
    {"answered and lost", PIPE(MAIL1, "X"), NULL, "relayed 2.0.0, lost", NULL},
};

START_TEST(gives_each_recipient_his_result)
{
	struct world w;

	world_start(&w, cases[_i].script, NULL);
	world_open(&w);
	world_send(&w, MESSAGE, cases[_i].to != NULL ? cases[_i].to : alice);
	(void)world_run(&w, &w.closed, 1, w.fake.c == NULL ? 2000 : 0);
	ck_assert_msg(w.fake.wrong[0] == '\0', "%s: server got %s", cases[_i].name, w.fake.wrong);
	ck_assert_msg(strcmp(world_outcome(&w), cases[_i].outcome) == 0, "%s: %s, text %s",
	    cases[_i].name, world_outcome(&w), w.texts[0]);
	if (cases[_i].heard != NULL)
		ck_assert_msg(world_heard(&w, cases[_i].heard), "%s: server heard %.*s",
		    cases[_i].name, (int)buf_len(&w.fake.got), (const char *)buf_ptr(&w.fake.got));
	world_stop(&w);
}
END_TEST

START_TEST(a_message_takes_two_writes)
{
	struct world w;

	world_start(&w, PIPE(MAIL1, MAIL1), NULL);
	world_open(&w);
	world_send(&w, MESSAGE, alice);
	ck_assert_uint_eq(w.fake.reads, 3); /* EHLO; commands; text */
	world_send(&w, MESSAGE, alice);
	ck_assert_uint_eq(w.fake.reads, 5);
	ck_assert_uint_eq(client_sent(w.client), 2);
	ck_assert(!world_heard(&w, "RSET"));
	world_stop(&w);
}
END_TEST

START_TEST(says_quit_when_it_is_closed_at_rest)
{
	struct world w;
	unsigned never = 0;

	world_start(&w, PIPE(MAIL1, "C QUIT", "S 221 bye"), NULL);
	world_open(&w);
	world_send(&w, MESSAGE, alice);
	client_close(w.client);
	w.client = NULL;
	(void)world_run(&w, &never, 1, 100);
	ck_assert_str_eq(w.fake.wrong, "");
	ck_assert(world_heard(&w, "QUIT\r\n"));
	world_stop(&w);
}
END_TEST

START_TEST(the_next_message_may_begin_in_done)
{
	struct world w;

	world_start(&w, PIPE(MAIL1, MAIL1), NULL);
	world_open(&w);
	w.again = "\r\nsecond\r\n";
	world_send(&w, MESSAGE, alice);
	ck_assert(world_run(&w, &w.done, 2, 2000));
	ck_assert_str_eq(world_outcome(&w), "relayed 2.0.0, idle");
	ck_assert(world_heard(&w, "SIZE=10\r\n"));
	ck_assert(world_heard(&w, "\r\nsecond\r\n.\r\n"));
	world_stop(&w);
}
END_TEST

START_TEST(may_be_closed_in_done)
{
	struct world w;

	world_start(&w, PIPE(MAIL1, "S 250 more"), NULL);
	world_open(&w);
	w.close_in_done = true;
	world_send(&w, MESSAGE, alice);
	ck_assert_ptr_null(w.client);
	ck_assert_uint_eq(w.closed, 0);
	world_stop(&w);
}
END_TEST

START_TEST(may_be_closed_with_a_message_under_way)
{
	struct octets o = octets_mem(MESSAGE, strlen(MESSAGE));
	unsigned never = 0;
	struct world w;

	world_start(&w, PIPE(ALL3, TAKE3), NULL);
	world_open(&w);
	world_begin(&w, &o, alice);
	(void)world_run(&w, &never, 1, 50);
	client_close(w.client);
	w.client = NULL;
	(void)world_run(&w, &never, 1, 20);
	ck_assert_uint_eq(w.done + w.closed, 0);
	ck_assert(!world_heard(&w, "QUIT"));
	world_stop(&w);
}
END_TEST

START_TEST(takes_back_only_what_was_left_open)
{
	struct world w;

	world_start(&w,
	    PIPE(ALL3, "S 250 ok", "S 550 who", "S 554 nobody", "C RSET", ALL3, "S 250 reset",
		TAKE3, "S 250 ok"),
	    NULL);
	world_open(&w);
	world_send(&w, MESSAGE, alice);
	ck_assert_str_eq(world_outcome(&w), "failed 5.0.0, idle");
	world_send(&w, MESSAGE, alice);
	ck_assert_str_eq(w.fake.wrong, "");
	ck_assert_str_eq(world_outcome(&w), "relayed 2.0.0, idle");
	/* It is part of the same write. */
	ck_assert(world_heard(&w, "RSET\r\nMAIL FROM"));
	world_stop(&w);
}
END_TEST

START_TEST(a_refused_RSET_is_the_end)
{
	struct world w;

	world_start(&w,
	    PIPE(ALL3, "S 250 ok", "S 550 who", "S 554 nobody", "C RSET", "S 500 what", TAKE3),
	    NULL);
	world_open(&w);
	world_send(&w, MESSAGE, alice);
	world_send(&w, MESSAGE, alice);
	ck_assert_str_eq(world_outcome(&w), "delayed 4.5.0, garbled site");
	world_stop(&w);
}
END_TEST

START_TEST(recipients_without_room_go_in_another_transaction)
{
	struct world w;

	world_start(&w,
	    PIPE("C MAIL", "C RCPT TO:<a@", "C RCPT TO:<b@", "C RCPT TO:<c@", "C DATA", "S 250 ok",
		"S 250 ok", "S 452 4.5.3 one at a time", "S 452 too many", "S 354 go", "D",
		"S 250 2.0.0 one", "C MAIL", "C RCPT TO:<b@", "C RCPT TO:<c@", "C DATA", "S 250 ok",
		"S 250 ok", "S 552 too many", "S 354 go", "D", "S 250 2.0.0 two", "C MAIL",
		"C RCPT TO:<c@", "C DATA", "S 250 ok", "S 452 4.5.3 still", "S 554 nobody"),
	    NULL);
	world_open(&w);
	world_send(&w, MESSAGE, three);
	ck_assert_str_eq(w.fake.wrong, "");
	ck_assert_str_eq(world_outcome(&w), "relayed 2.0.0, relayed 2.0.0, delayed 4.5.3, idle");
	world_stop(&w);
}
END_TEST

START_TEST(a_full_mailbox_is_not_lack_of_room)
{
	struct world w;

	world_start(&w,
	    PIPE("C MAIL", "C RCPT", "C RCPT", "C RCPT", "C DATA", "S 250 ok", "S 250 ok",
		"S 552 5.2.2 full", "S 452 4.2.2 full", "S 354 go", "D", "S 250 2.0.0 ok"),
	    NULL);
	world_open(&w);
	world_send(&w, MESSAGE, three);
	ck_assert_str_eq(world_outcome(&w), "relayed 2.0.0, failed 5.2.2, delayed 4.2.2, idle");
	world_stop(&w);
}
END_TEST

START_TEST(without_a_sent_message_lack_of_room_means_later)
{
	struct world w;

	world_start(&w,
	    PIPE("C MAIL", "C RCPT", "C RCPT", "C RCPT", "C DATA", "S 250 ok", "S 250 ok",
		"S 452 4.5.3 many", "S 552 too many", "S 354 go", "D", "S 451 4.0.1 later"),
	    NULL);
	world_open(&w);
	world_send(&w, MESSAGE, three);
	ck_assert_str_eq(world_outcome(&w), "delayed 4.0.1, delayed 4.5.3, delayed 4.0.0, idle");
	world_stop(&w);
}
END_TEST

START_TEST(a_connection_gone_while_idle_is_stale)
{
	static const char *const ends[] = {"X", "Z", "S 421 4.4.2 idle too long"};
	struct world w;

	world_start(&w, PIPE(MAIL1, "C MAIL", ends[_i], "X"), NULL);
	world_open(&w);
	world_send(&w, MESSAGE, alice);
	world_send(&w, MESSAGE, alice);
	ck_assert(w.stale);
	ck_assert(w.site);
	ck_assert_uint_eq(w.rcpts[0].status, JOB_DELAYED);
	world_stop(&w);
}
END_TEST

START_TEST(one_that_has_answered_is_not_stale)
{
	struct world w;

	world_start(&w, PIPE(MAIL1, ALL3, "S 250 ok", "X"), NULL);
	world_open(&w);
	world_send(&w, MESSAGE, alice);
	world_send(&w, MESSAGE, alice);
	ck_assert_str_eq(world_outcome(&w), "delayed 4.4.2, lost site");
	world_stop(&w);
}
END_TEST

START_TEST(lmtp_gives_a_reply_for_each_recipient)
{
	struct world w;

	world_start(&w,
	    (script){"S 220 lmtp", "C LHLO gw.example", "S 250-lmtp", "S 250 PIPELINING", "C MAIL",
		"C RCPT", "C RCPT", "C RCPT", "C DATA", "S 250 ok", "S 250 ok", "S 550 5.1.1 who",
		"S 250 ok", "S 354 go", "D", "S 250 2.1.5 saved", "W", "S 452 4.2.2 full", NULL},
	    NULL);
	w.how.lmtp = true;
	world_open(&w);
	world_send(&w, MESSAGE, three);
	ck_assert_str_eq(world_outcome(&w), "relayed 2.1.5, failed 5.1.1, delayed 4.2.2, idle");
	world_stop(&w);
}
END_TEST

START_TEST(lmtp_replies_that_are_lost_are_not_made_up)
{
	static const char *const ends[] = {"X", "S 250", "S 354 more", "S 221 bye"};
	static const char *const outcomes[] = {"relayed 2.1.5, delayed 4.4.2, lost",
	    "relayed 2.1.5, relayed 2.0.0, garbled", "relayed 2.1.5, delayed 4.5.0, garbled",
	    "relayed 2.1.5, delayed 4.5.0, garbled"};
	struct world w;

	world_start(&w,
	    (script){"S 220 lmtp", "C LHLO gw.example", "S 250-lmtp", "S 250 PIPELINING", "C MAIL",
		"C RCPT", "C RCPT", "C DATA", "S 250 ok", "S 250 ok", "S 250 ok", "S 354 go", "D",
		"S 250 2.1.5 saved", ends[_i], _i == 1 ? "S 250 third" : NULL, NULL},
	    NULL);
	w.how.lmtp = true;
	world_open(&w);
	world_send(&w, MESSAGE, (const char *const[]){"a@x", "b@x", NULL});
	(void)world_run(&w, &w.closed, 1, 2000);
	ck_assert_str_eq(world_outcome(&w), outcomes[_i]);
	world_stop(&w);
}
END_TEST

START_TEST(passes_what_is_to_be_told_of_delivery)
{
	struct world w;

	world_start(&w,
	    WITH("S 250-PIPELINING\r\n250-DSN", "C MAIL", "C RCPT", "C RCPT", "C RCPT", "C DATA",
		"S 250 ok", "S 250 ok", "S 250 ok", "S 250 ok", "S 354 go", "D", "S 250 2.0.0 ok"),
	    NULL);
	w.env.ret = MAIL_RET_HDRS;
	w.env.envid = "QQ+3D1";
	w.to[0].notify = RCPT_SUCCESS | RCPT_FAILURE | RCPT_DELAY;
	w.to[0].orcpt = "rfc822;a@x.example";
	w.to[1].notify = RCPT_NEVER | RCPT_FAILURE;
	w.to[2].orcpt = "rfc822;x y"; /* would be another parameter */
	world_open(&w);
	world_send(&w, MESSAGE, three);
	ck_assert_str_eq(world_outcome(&w), "sent 2.0.0, sent 2.0.0, sent 2.0.0, idle");
	ck_assert(world_heard(&w, "MAIL FROM:<s@y.example> RET=HDRS ENVID=QQ+3D1\r\n"));
	ck_assert(world_heard(
	    &w, "RCPT TO:<a@x.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a@x.example\r\n"));
	ck_assert(world_heard(&w, "RCPT TO:<b@x.example> NOTIFY=NEVER\r\n"));
	ck_assert(world_heard(&w, "RCPT TO:<c@x.example>\r\n"));
	world_stop(&w);
}
END_TEST

START_TEST(says_nothing_of_delivery_to_who_does_not_know_it)
{
	struct world w;

	world_start(&w, PIPE(MAIL1), NULL);
	w.env.ret = MAIL_RET_FULL;
	w.env.envid = "Q";
	w.to[0].notify = RCPT_SUCCESS;
	world_open(&w);
	world_send(&w, MESSAGE, alice);
	ck_assert_str_eq(world_outcome(&w), "relayed 2.0.0, idle");
	ck_assert(!world_heard(&w, "RET="));
	ck_assert(!world_heard(&w, "NOTIFY"));
	world_stop(&w);
}
END_TEST

/* What is refused before anything was said, and what is not. */
static const struct {
	const char *name, *ehlo, *message, *sender;
	const char *to;
	unsigned body;
	bool smtputf8, requiretls;
	const char *outcome;
	const char *heard;
} needs[] = {
    {"too large", "S 250-SIZE 20", MESSAGE, "s@y", "a@x", 0, 0, 0, "failed 5.3.4, idle", NULL},
    {"just fits", "S 250-SIZE 21", MESSAGE, "s@y", "a@x", 0, 0, 0, "relayed 2.0.0, idle",
	"SIZE=21"},
    {"no bound", "S 250-SIZE 0", MESSAGE, "s@y", "a@x", 0, 0, 0, "relayed 2.0.0, idle", "SIZE=21"},
    {"the line end that is missing counts", "S 250-SIZE 20", "Subject: x\r\n\r\nhello", "s@y",
	"a@x", 0, 0, 0, "failed 5.3.4, idle", NULL},
    {"8-bit", "S 250-8BITMIME", "Subject: x\r\n\r\nh\xc3\xa9\r\n", "s@y", "a@x", 1, 0, 0,
	"relayed 2.0.0, idle", "MAIL FROM:<s@y> BODY=8BITMIME\r\n"},
    {"8-bit that was not declared", "S 250-8BITMIME", "Subject: x\r\n\r\nh\xc3\xa9\r\n", "s@y",
	"a@x", 0, 0, 0, "relayed 2.0.0, idle", "BODY=8BITMIME"},
    {"8-bit without 8BITMIME", "S 250-DSN",
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
	"Content-Transfer-Encoding: 8bit\r\n\r\nh\xc3\xa9\r\n",
	"s@y", "a@x", 1, 0, 0, "sent 2.0.0, idle", "quoted-printable\r\n\r\nh=C3=A9\r\n.\r\n"},
    {"signed 8-bit without 8BITMIME", "S 250-DSN",
	"MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b; "
	"protocol=\"application/pgp-signature\"\r\n\r\n--b\r\nContent-Type: text/plain; "
	"charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nh\xc3\xa9\r\n--b\r\nContent-Type: "
	"application/pgp-signature\r\n\r\nx\r\n--b--\r\n",
	"s@y", "a@x", 1, 0, 0, "failed 5.6.3, idle", NULL},
    {"bare LF is encoded", "S 250-8BITMIME",
	"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\na\n.\nb\r\n", "s@y", "a@x", 0, 0, 0,
	"relayed 2.0.0, idle", "a=0A.=0Ab\r\n.\r\n"},
    {"bare CR in what is signed", "S 250-8BITMIME",
	"MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b; "
	"protocol=\"application/pgp-signature\"\r\n\r\n--b\r\n\r\na\r.\rb\r\n--b--\r\n",
	"s@y", "a@x", 0, 0, 0, "failed 5.6.0, idle", NULL},
    {"address in UTF-8", "S 250-8BITMIME\r\n250-SMTPUTF8", MESSAGE, "s@y", "\xc3\xa9@x", 0, 1, 0,
	"relayed 2.0.0, idle", "MAIL FROM:<s@y> SMTPUTF8\r\nRCPT TO:<\xc3\xa9@x>"},
    {"address in UTF-8 without SMTPUTF8", "S 250-8BITMIME", MESSAGE, "s@y", "\xc3\xa9@x", 0, 1, 0,
	"failed 5.6.7, idle", NULL},
    {"sender in UTF-8 without SMTPUTF8", "S 250-8BITMIME", MESSAGE, "\xc3\xa9@y", "a@x", 0, 1, 0,
	"failed 5.6.7, idle", NULL},
    {"header in UTF-8 without SMTPUTF8", "S 250-8BITMIME", "Subject: \xc3\xa9\r\n\r\nx\r\n", "s@y",
	"a@x", 1, 1, 0, "failed 5.6.9, idle", NULL},
    {"SMTPUTF8 that nothing needs", "S 250-8BITMIME", "Subject: x\r\n\r\n\xc3\xa9\r\n", "s@y",
	"a@x", 1, 1, 0, "relayed 2.0.0, idle", "MAIL FROM:<s@y> BODY=8BITMIME\r\n"},
    {"SMTPUTF8 without 8BITMIME is none", "S 250-SMTPUTF8", MESSAGE, "s@y", "\xc3\xa9@x", 0, 1, 0,
	"failed 5.6.7, idle", NULL},
    {"REQUIRETLS in clear", "S 250-REQUIRETLS", MESSAGE, "s@y", "a@x", 0, 0, 1,
	"failed 5.7.30, idle", NULL},
    {"no sender", "S 250-8BITMIME", MESSAGE, "", "a@x", 0, 0, 0, "relayed 2.0.0, idle",
	"MAIL FROM:<>\r\n"},
    {"a line end in an address", "S 250-8BITMIME", MESSAGE, "s@y", "a@x>\r\nDATA\r\n", 0, 0, 0,
	"failed 5.1.3, idle", NULL},
    {"a bracket in an address", "S 250-8BITMIME", MESSAGE, "s@y", "a>b@x", 0, 0, 0,
	"failed 5.1.3, idle", NULL},
    {"a bracket in quotes", "S 250-8BITMIME", MESSAGE, "s@y", "\"a> b\"@x", 0, 0, 0,
	"relayed 2.0.0, idle", "RCPT TO:<\"a> b\"@x>\r\n"},
    {"an open quote", "S 250-8BITMIME", MESSAGE, "s@y", "\"a@x", 0, 0, 0, "failed 5.1.3, idle",
	NULL},
    {"a line end in the sender", "S 250-8BITMIME", MESSAGE, "s@y\r\n", "a@x", 0, 0, 0,
	"failed 5.1.7, idle", NULL},
    {"dots at the beginning of lines", "S 250-8BITMIME", ".\r\n\r\n.x\r\n..\r\na.\r\n.\r\n", "s@y",
	"a@x", 0, 0, 0, "relayed 2.0.0, idle", "..\r\n\r\n..x\r\n...\r\na.\r\n..\r\n.\r\n"},
    {"no line end at the end", "S 250-8BITMIME", "Subject: x\r\n\r\nhello", "s@y", "a@x", 0, 0, 0,
	"relayed 2.0.0, idle", "hello\r\n.\r\n"},
    {"no octets", "S 250-8BITMIME", "", "s@y", "a@x", 0, 0, 0, "relayed 2.0.0, idle",
	"DATA\r\n.\r\n"},
};

START_TEST(sends_what_the_server_can_take)
{
	struct world w;

	world_start(&w,
	    WITH(needs[_i].ehlo, "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C DATA", "S 354 go",
		"D", "S 250 2.0.0 ok"),
	    NULL);
	w.env.sender = needs[_i].sender;
	w.env.body = (uint8_t)needs[_i].body;
	w.env.smtputf8 = needs[_i].smtputf8;
	w.env.requiretls = needs[_i].requiretls;
	world_open(&w);
	world_send(&w, needs[_i].message, (const char *const[]){needs[_i].to, NULL});
	ck_assert_msg(strcmp(world_outcome(&w), needs[_i].outcome) == 0, "%s: %s, %s",
	    needs[_i].name, world_outcome(&w), w.texts[0]);
	if (needs[_i].heard != NULL)
		ck_assert_msg(world_heard(&w, needs[_i].heard), "%s: %.*s", needs[_i].name,
		    (int)buf_len(&w.fake.got), (const char *)buf_ptr(&w.fake.got));
	else
		ck_assert_msg(!world_heard(&w, "MAIL"), "%s", needs[_i].name);
	world_stop(&w);
}
END_TEST

START_TEST(one_bad_address_hinders_no_other)
{
	struct world w;

	world_start(&w, PIPE(MAIL1), NULL);
	world_open(&w);
	world_send(&w, MESSAGE, (const char *const[]){"a\n@x", "b@x", "\xc3\xa9@x", NULL});
	ck_assert_str_eq(world_outcome(&w), "failed 5.1.3, relayed 2.0.0, failed 5.6.7, idle");
	ck_assert(world_heard(&w, "RCPT TO:<b@x>\r\nDATA"));
	world_stop(&w);
}
END_TEST

#define BINARY "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"

START_TEST(binary_goes_by_BDAT_where_it_can)
{
	static const char body[] = BINARY "\0\n\r.\n";
	struct octets o = octets_mem(body, sizeof body - 1);
	char count[32];
	struct world w;

	(void)snprintf(count, sizeof count, "B %zu", sizeof body - 1);
	world_start(&w,
	    WITH("S 250-PIPELINING\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-8BITMIME", "C MAIL",
		"S 250 ok", "C RCPT", "S 250 ok", "C BDAT", count, "S 250 2.6.0 ok"),
	    NULL);
	w.env.body = OCTETS_BINARY;
	world_open(&w);
	world_begin(&w, &o, alice);
	ck_assert(world_run(&w, &w.done, 1, 2000));
	ck_assert_str_eq(world_outcome(&w), "relayed 2.6.0, idle");
	ck_assert(world_heard(&w, "BODY=BINARYMIME\r\n"));
	ck_assert(world_heard(&w, " LAST\r\nContent-Type"));
	world_stop(&w);
}
END_TEST

START_TEST(binary_is_encoded_for_others)
{
	static const char body[] = BINARY "\0\n\r.\n";
	struct octets o = octets_mem(body, sizeof body - 1);
	struct world w;

	world_start(&w, PIPE(MAIL1), NULL);
	w.env.body = OCTETS_BINARY;
	world_open(&w);
	world_begin(&w, &o, alice);
	ck_assert(world_run(&w, &w.done, 1, 2000));
	ck_assert_str_eq(world_outcome(&w), "relayed 2.0.0, idle");
	ck_assert(world_heard(&w, "base64\r\n\r\nAAoNLgo=\r\n.\r\n"));
	world_stop(&w);
}
END_TEST

START_TEST(an_answer_too_many_spoils_that_of_BDAT)
{
	static const char body[] = BINARY "\n";
	struct octets o = octets_mem(body, sizeof body - 1);
	char count[32];
	struct world w;

	(void)snprintf(count, sizeof count, "B %zu", sizeof body - 1);
	world_start(&w,
	    WITH("S 250-PIPELINING\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-8BITMIME", "C MAIL",
		"S 250 ok", "C RCPT", "S 250 ok", "C BDAT", count, "R 250 ok\r\n250 ok\r\n"),
	    NULL);
	w.env.body = OCTETS_BINARY;
	world_open(&w);
	world_begin(&w, &o, alice);
	ck_assert(world_run(&w, &w.done, 1, 2000));
	ck_assert_str_eq(world_outcome(&w), "delayed 4.5.0, garbled");
	world_stop(&w);
}
END_TEST

/* A message of n octets, every third line of which is a dot. */
static char *
long_message(size_t n)
{
	static const char lines[] = "some text\r\nmore of it\r\n.\r\n";
	char *s = malloc(n + sizeof lines);
	size_t i;

	for (i = 0; i < n; i += sizeof lines - 1)
		memcpy(s + i, lines, sizeof lines);
	s[i - 25] = '\0'; /* without the last piece; sizeof lines is 27 */
	return s;
}

static ssize_t
slow_pread(void *ctx, void *p, size_t n, uint64_t off)
{
	const char *s = ctx;
	size_t have = strlen(s) - (size_t)off;

	if (n > have)
		n = have;
	memcpy(p, s + off, n);
	return (ssize_t)n;
}

/* Dots doubled, and the end mark, as the server has to hear it. */
static char *
stuffed(const char *s)
{
	char *out = malloc(2 * strlen(s) + 8), *to = out;
	const char *p;

	for (p = s; *p != '\0'; p++) {
		if (*p == '.' && (p == s || p[-1] == '\n'))
			*to++ = '.';
		*to++ = *p;
	}
	if (p > s && p[-1] != '\n')
		to = stpcpy(to, "\r\n");
	(void)stpcpy(to, ".\r\n");
	return out;
}

START_TEST(long_messages_arrive_as_they_are)
{
	static const size_t sizes[] = {20000, 100000, 140000, 600000, 3000000};
	char *body = long_message(sizes[_i / 2]), *want = stuffed(body);
	struct octets o = octets_mem(body, strlen(body));
	struct octets file = {.size = strlen(body), .pread = slow_pread, .ctx = body};
	struct world w;

	world_start(&w, WITH("S 250-PIPELINING", MAIL1), NULL);
	world_open(&w);
	world_begin(&w, _i % 2 ? &file : &o, alice);
	ck_assert(world_run(&w, &w.done, 1, 30000));
	ck_assert_str_eq(world_outcome(&w), "relayed 2.0.0, idle");
	ck_assert(world_heard(&w, want));
	ck_assert_uint_eq(buf_len(&w.fake.in), 0);
	world_stop(&w);
	free(body);
	free(want);
}
END_TEST

START_TEST(a_large_message_is_encoded_without_holding_up_others)
{
	static const char line[] = "8-bit: \xe9\r\n";
	size_t n = 2500000 / (sizeof line - 1) * (sizeof line - 1), i;
	char *body = calloc(1, n);
	struct octets o = {.size = n, .mem = (const uint8_t *)body};
	struct timeval now = {0, 0};
	unsigned never = 0;
	struct world w;

	for (i = 0; i < n; i += sizeof line - 1)
		memcpy(body + i, line, sizeof line - 1);
	memcpy(body, "A: b\r\n\r\n.", 10);
	world_start(&w, WITH("S 250-PIPELINING", MAIL1), NULL);
	world_open(&w);
	world_begin(&w, &o, alice);
	/* It takes several turns. */
	for (i = 0; !world_heard(&w, "MAIL"); i++) {
		ck_assert_uint_lt(i, 10000);
		event_base_loopexit(w.base, &now);
		event_base_loop(w.base, EVLOOP_ONCE);
		if (_i > 0 && i == 3)
			break;
	}
	ck_assert_uint_ge(i, 3);
	if (_i == 1) { /* the connection goes away meanwhile */
		conn_free(w.fake.c);
		w.fake.c = NULL;
	}
	if (_i == 2) { /* so does who wanted it */
		client_close(w.client);
		w.client = NULL;
		(void)world_run(&w, &never, 1, 20);
		ck_assert_uint_eq(w.done, 0);
	} else
		ck_assert(world_run(&w, &w.done, 1, 30000));
	if (_i == 0)
		ck_assert_str_eq(world_outcome(&w), "relayed 2.0.0, idle");
	if (_i == 1)
		ck_assert_str_eq(world_outcome(&w), "delayed 4.4.2, lost site");
	world_stop(&w);
	free(body);
}
END_TEST

static ssize_t
no_pread(void *ctx, void *p, size_t n, uint64_t off)
{
	unsigned *left = ctx;

	if (*left < 32768) {
		errno = EIO;
		return -1;
	}
	*left -= 32768;
	memset(p, 'x', n);
	(void)off;
	return (ssize_t)n;
}

START_TEST(a_message_that_cannot_be_read_is_delayed_and_never_half_sent)
{
	/* When it is looked at; when half of it is out. */
	unsigned left = _i == 0 ? 65536 : 500000 / 65536 * 65536 + 8 * 32768;
	struct octets o = {.size = 500000, .pread = no_pread, .ctx = &left};
	struct world w;

	world_start(&w, WITH("S 250-PIPELINING", MAIL1), NULL);
	world_open(&w);
	world_begin(&w, &o, alice);
	ck_assert(world_run(&w, &w.done, 1, 5000));
	ck_assert_uint_eq(w.rcpts[0].status, JOB_DELAYED);
	ck_assert_str_eq(w.rcpts[0].dsn, "4.3.0");
	ck_assert(!w.site);
	ck_assert(!world_heard(&w, "\r\n.\r\n"));
	world_stop(&w);
}
END_TEST

START_TEST(many_recipients_are_asked_without_a_jam)
{
	static const char *to[101];
	static char names[100][300];
	char line[64];
	static const char *lines[1000];
	struct world w;
	size_t i, n = 0;

	lines[n++] = "S 220 fake";
	lines[n++] = "C EHLO";
	lines[n++] = "S 250-fake";
	lines[n++] = "S 250 PIPELINING";
	lines[n++] = "C MAIL";
	lines[n++] = "S 250 ok";
	for (i = 0; i < 100; i++) {
		(void)snprintf(line, sizeof line, "%zu@x", i);
		memset(names[i], 'a', sizeof names[i]);
		(void)strcpy(names[i] + 250, line);
		to[i] = names[i];
		lines[n++] = "C RCPT";
		lines[n++] = i % 2 ? "S 250 2.1.5 ok" : "S 550 5.1.1 who";
	}
	lines[n++] = "C DATA";
	lines[n++] = "S 354 go";
	lines[n++] = "D";
	lines[n++] = "S 250 2.0.0 ok";
	lines[n] = NULL;
	world_start(&w, lines, NULL);
	world_open(&w);
	world_send(&w, MESSAGE, to);
	for (i = 0; i < 100; i++)
		ck_assert_uint_eq(w.rcpts[i].status, i % 2 ? JOB_RELAYED : JOB_FAILED);
	world_stop(&w);
}
END_TEST

Suite *
transaction_suite(void)
{
	const TTest *const tests[] = {a_message_takes_two_writes,
	    says_quit_when_it_is_closed_at_rest, the_next_message_may_begin_in_done,
	    may_be_closed_in_done, may_be_closed_with_a_message_under_way,
	    takes_back_only_what_was_left_open, a_refused_RSET_is_the_end,
	    recipients_without_room_go_in_another_transaction, a_full_mailbox_is_not_lack_of_room,
	    without_a_sent_message_lack_of_room_means_later, one_that_has_answered_is_not_stale,
	    lmtp_gives_a_reply_for_each_recipient, passes_what_is_to_be_told_of_delivery,
	    says_nothing_of_delivery_to_who_does_not_know_it, one_bad_address_hinders_no_other,
	    binary_goes_by_BDAT_where_it_can, binary_is_encoded_for_others,
	    an_answer_too_many_spoils_that_of_BDAT, many_recipients_are_asked_without_a_jam, NULL};
	Suite *s = unit_suite("transaction", tests);
	TCase *c = tcase_create("tables");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, gives_each_recipient_his_result, 0, sizeof cases / sizeof cases[0]);
	tcase_add_loop_test(c, sends_what_the_server_can_take, 0, sizeof needs / sizeof needs[0]);
	tcase_add_loop_test(c, a_connection_gone_while_idle_is_stale, 0, 3);
	tcase_add_loop_test(c, lmtp_replies_that_are_lost_are_not_made_up, 0, 4);
	tcase_add_loop_test(c, long_messages_arrive_as_they_are, 0, 10);
	tcase_add_loop_test(c, a_large_message_is_encoded_without_holding_up_others, 0, 3);
	tcase_add_loop_test(c, a_message_that_cannot_be_read_is_delayed_and_never_half_sent, 0, 2);
	suite_add_tcase(s, c);
	return s;
}

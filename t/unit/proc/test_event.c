#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/event.h"
#include "proc/sink.h"
#include "t/unit/unit.h"

Suite *event_suite(void);

#define CLIENT "mail.test[192.0.2.1]"

START_TEST(each_kind_has_the_grammar_of_postfix)
{
	static const struct {
		struct log_event e;
		const char *want;
	} cases[] = {
	    {{.kind = EV_CONNECT, .client = CLIENT, .connector = "mx"}, "connect from " CLIENT},
	    {{.kind = EV_CONNECT, .qid = "A1", .client = CLIENT, .connector = "pop"},
		"A1: connect from " CLIENT ", connector=pop"},
	    {{.kind = EV_DISCONNECT, .client = CLIENT, .text = "ehlo=1 quit=1 commands=2"},
		"disconnect from " CLIENT " ehlo=1 quit=1 commands=2"},
	    {{.kind = EV_LOST, .what = "lost connection after DATA from", .client = CLIENT},
		"lost connection after DATA from " CLIENT},
	    {{.kind = EV_LOST, .what = "timeout after RCPT from", .client = CLIENT, .text = "x"},
		"timeout after RCPT from " CLIENT ": x"},
	    {{.kind = EV_REJECT,
		 .what = "RCPT from",
		 .client = CLIENT,
		 .text = "554 5.7.1 <x@y.test>: Relay access denied",
		 .sender = "a@b.test",
		 .rcpt = "x@y.test",
		 .proto = "ESMTP",
		 .helo = "mail.test"},
		"NOQUEUE: reject: RCPT from " CLIENT ": 554 5.7.1 <x@y.test>: Relay access "
		"denied; from=<a@b.test> to=<x@y.test> proto=ESMTP helo=<mail.test>"},
	    {{.kind = EV_REJECT,
		 .what = "RCPT from",
		 .client = CLIENT,
		 .text = "550 no",
		 .rcpt = "c"},
		"NOQUEUE: reject: RCPT from " CLIENT ": 550 no; from=<> to=<c>"},
	    {{.kind = EV_REJECT,
		 .what = "CONNECT from",
		 .client = CLIENT,
		 .text = "421 4.3.2 too many",
		 .proto = "SMTP"},
		"NOQUEUE: reject: CONNECT from " CLIENT ": 421 4.3.2 too many; proto=SMTP"},
	    {{.kind = EV_REJECT,
		 .qid = "A1",
		 .what = "END-OF-MESSAGE from",
		 .client = CLIENT,
		 .text = "451 4.3.0 later"},
		"A1: reject: END-OF-MESSAGE from " CLIENT ": 451 4.3.0 later; from=<>"},
	    {{.kind = EV_CLIENT, .qid = "A1", .client = CLIENT}, "A1: client=" CLIENT},
	    {{.kind = EV_CLIENT, .qid = "A1", .client = CLIENT, .mechanism = "PLAIN", .user = "al"},
		"A1: client=" CLIENT ", sasl_method=PLAIN, sasl_username=al"},
	    {{.kind = EV_LOGIN,
		 .qid = "A1",
		 .client = CLIENT,
		 .mechanism = "USER",
		 .user = "al",
		 .relay = "pop.test[192.0.2.2]:995",
		 .text = "tls=TLSv1.3"},
		"A1: client=" CLIENT ", sasl_method=USER, sasl_username=al, "
		"relay=pop.test[192.0.2.2]:995 (tls=TLSv1.3)"},
	    {{.kind = EV_LOGIN_FAILED, .client = CLIENT, .mechanism = "LOGIN", .user = "al"},
		CLIENT ": SASL LOGIN authentication failed: (reason unavailable), "
		       "sasl_username=al"},
	    {{.kind = EV_MESSAGE, .qid = "A1", .msgid = "<m@b.test>"}, "A1: message-id=<m@b.test>"},
	    {{.kind = EV_MESSAGE, .qid = "A1", .msgid = "m@b.test"}, "A1: message-id=<m@b.test>"},
	    {{.kind = EV_QUEUED, .qid = "A1", .sender = "a@b.test", .size = 4711, .nrcpt = 2},
		"A1: from=<a@b.test>, size=4711, nrcpt=2 (queue active)"},
	    {{.kind = EV_CRYPTO, .qid = "A1", .text = "encrypted=2, signed=no", .nrcpt = 2},
		"A1: crypto=encrypted=2, signed=no, nrcpt=2"},
	    {{.kind = EV_DELIVERY,
		 .qid = "A1",
		 .rcpt = "c@d.test",
		 .orcpt = "rfc822;old+2Bx@d.test",
		 .relay = "mx.d.test[2001:db8::1]:25",
		 .delay_a = 40,
		 .delay_b = 1004,
		 .delay_c = 0,
		 .delay_d = 12340,
		 .dsn = "2.0.0",
		 .status = ES_SENT,
		 .text = "250 2.0.0 Ok: queued as 9B"},
		"A1: to=<c@d.test>, orig_to=<old+x@d.test>, relay=mx.d.test[2001:db8::1]:25, "
		"delay=13.4, delays=0.04/1/0/12.3, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as "
		"9B)"},
	    {{.kind = EV_DELIVERY,
		 .qid = "A1",
		 .rcpt = "c@d.test",
		 .orcpt = "rfc822;C@d.test",
		 .delay_b = 432000499,
		 .dsn = "4.4.1",
		 .status = ES_DEFERRED},
		"A1: to=<c@d.test>, relay=none, delay=432000, delays=0/432000/0/0, dsn=4.4.1, "
		"status=deferred (-)"},
	    {{.kind = EV_HELD, .qid = "A1", .rcpt = "c@d.test", .text = "no key"},
		"A1: to=<c@d.test>, status=held (no key)"},
	    {{.kind = EV_NOTICE,
		 .qid = "A1",
		 .rcpt = "B2",
		 .text = "sender non-delivery notification"},
		"A1: sender non-delivery notification: B2"},
	    {{.kind = EV_EXPIRED, .qid = "A1", .sender = "a@b.test"},
		"A1: from=<a@b.test>, status=expired, returned to sender"},
	    {{.kind = EV_REMOVED, .qid = "A1"}, "A1: removed"},
	    {{.kind = EV_ADMIN, .qid = "A1", .text = "released"}, "A1: released"},
	};
	char out[EVENT_LINE_MAX];
	size_t i, n;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		n = event_line(out, sizeof out, &cases[i].e);
		ck_assert_str_eq(out, cases[i].want);
		ck_assert_uint_eq(n, strlen(out));
	}
}
END_TEST

/* All strings of an event are this text. */
static struct log_event
full(unsigned kind, const char *text)
{
	struct log_event e = {.kind = (uint8_t)kind, .status = ES_SENT, .nrcpt = 1, .size = 1};
	const struct rec_field *f;
	unsigned i, n;

	f = rec_log_event.rows(&n);
	for (i = 0; i < n; i++)
		if (f[i].type == REC_STR)
			memcpy((char *)&e + f[i].off, &text, sizeof text);
	return e;
}

START_TEST(no_field_forges_another_or_a_line)
{
	static const char *const evil[] = {
	    "x>, status=sent (FORGED), relay=<",
	    "x], to=<victim@b.test>, status=sent (FORGED",
	    "x\r\nNov  1 00:00:00 gw postern/smtpd[1]: FORGED",
	    "x\033[2J, status=sent (FORGED)",
	    "unknown[192.0.2.9]: 554 5.7.1, status=sent (FORGED",
	    "a\xff\xfe, status=sent (FORGED)",
	    "<to=<y>, status=sent (FORGED)>",
	    "rfc822;x+3E+2C status=sent (FORGED)",
	};
	char out[EVENT_LINE_MAX];
	struct log_event e;
	unsigned kind;
	size_t i;
	const char *p;

	for (i = 0; i < sizeof evil / sizeof evil[0]; i++)
		for (kind = 0; kind < EV_MAX; kind++) {
			/* Its text is composed of our own words, by the worker. */
			if (kind == EV_CRYPTO)
				continue;
			e = full(kind, evil[i]);
			(void)event_line(out, sizeof out, &e);
			for (p = out; *p != '\0'; p++)
				ck_assert_int_ge((unsigned char)*p, 0x20);
			/* Set off by a comma it would be a field of ours. */
			ck_assert_msg(strstr(out, ", status=sent (FORGED") == NULL, "%s", out);
			ck_assert_msg(strstr(out, ", to=<victim") == NULL, "%s", out);
			ck_assert_msg(
			    strstr(out, " unknown[192.0.2.9]: 554 5.7.1,") == NULL, "%s", out);
		}
}
END_TEST

START_TEST(the_address_behind_a_client_name_stays_where_filters_look_for_it)
{
	static const struct {
		const char *client, *want;
	} cases[] = {
	    {"mail.test[192.0.2.1]", "connect from mail.test[192.0.2.1]"},
	    {"unknown[2001:db8::1]", "connect from unknown[2001:db8::1]"},
	    {"x[192.0.2.9][192.0.2.1]", "connect from x\\x5B192.0.2.9\\x5D[192.0.2.1]"},
	    {"unknown[unix]", "connect from unknown\\x5Bunix\\x5D"},
	    {"unknown[]", "connect from unknown\\x5B\\x5D"},
	    {"no brackets", "connect from no brackets"},
	};
	char out[EVENT_LINE_MAX];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct log_event e = {.kind = EV_CONNECT, .client = cases[i].client};

		(void)event_line(out, sizeof out, &e);
		ck_assert_str_eq(out, cases[i].want);
	}
}
END_TEST

START_TEST(the_longest_values_leave_room_for_the_outcome)
{
	char out[EVENT_LINE_MAX], big[1001];
	struct log_event e;

	memset(big, '\001', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	e = full(EV_DELIVERY, big);
	e.dsn = "2.0.0";
	e.delay_a = e.delay_b = e.delay_c = e.delay_d = UINT32_MAX;
	(void)event_line(out, sizeof out, &e);
	ck_assert_ptr_nonnull(strstr(out, ", dsn=2.0.0, status=sent ("));
	ck_assert_int_eq(out[strlen(out) - 1], ')');
	e = full(EV_REJECT, big);
	e.helo = "helo.test";
	(void)event_line(out, sizeof out, &e);
	ck_assert_ptr_nonnull(strstr(out, " helo=<helo.test>"));
}
END_TEST

START_TEST(a_small_buffer_is_never_overrun)
{
	struct log_event e = full(EV_DELIVERY, "some text, <with> [brackets]");
	size_t room, n;
	char *out;

	for (room = 1; room < 400; room++) {
		out = malloc(room);
		n = event_line(out, room, &e);
		ck_assert_uint_lt(n, room);
		ck_assert_uint_eq(strlen(out), n);
		free(out);
	}
}
END_TEST

/* What logd would get. */
static struct ipc logd;
static struct event_base *base;
static struct chan *chan;

static void
set_up(void)
{
	int fds[2];

	base = event_base_new();
	ck_assert_int_eq(ipc_pair(fds), 0);
	chan = chan_new(base, fds[0], P_SMTPD, P_LOGD, NULL, NULL, NULL);
	ipc_init(&logd, fds[1], P_LOGD, P_SMTPD);
	sink_start(0);
	sink_logd(chan);
}

static void
tear_down(void)
{
	log_set_sink(NULL, NULL);
	sink_logd(NULL);
	chan_free(chan);
	ipc_close(&logd);
	event_base_free(base);
}

START_TEST(what_is_out_of_bounds_is_cut_and_not_lost)
{
	char big[5000];
	const struct log_event *got;
	struct log_event e;
	struct ipc_msg m;

	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	e = full(200, big);
	e.status = 77;
	e.level = 99;
	proc_event(&e);
	sink_push();
	ck_assert_int_eq(ipc_recv(&logd, &m, 1000), 0);
	got = m.body;
	ck_assert_uint_eq(got->kind, EV_ADMIN);
	ck_assert_uint_eq(got->level, LOG_L_INFO);
	ck_assert_uint_eq(got->status, ES_NONE);
	ck_assert_uint_eq(strlen(got->qid), QUEUE_ID_MAX - 1);
	ck_assert_uint_eq(strlen(got->text), DIAG_MAX);
	ck_assert_uint_eq(strlen(got->dsn), 12);
	ipc_done(&logd, &m);
}
END_TEST

START_TEST(what_is_left_out_is_filled_in)
{
	const struct log_event failed = {.kind = EV_LOGIN_FAILED, .client = CLIENT};
	const struct log_event empty = {.kind = EV_REMOVED};
	const struct log_event *got;
	struct ipc_msg m;

	proc_event(&empty);
	proc_event(&failed);
	sink_push();
	ck_assert_int_eq(ipc_recv(&logd, &m, 1000), 0);
	got = m.body;
	ck_assert_uint_eq(got->pid, (unsigned)getpid());
	ck_assert_uint_eq(got->level, LOG_L_INFO);
	ck_assert_uint_gt(got->when, 1700000000000ULL);
	ck_assert_str_eq(got->text, "");
	ipc_done(&logd, &m);
	ck_assert_int_eq(ipc_recv(&logd, &m, 1000), 0);
	ck_assert_uint_eq(((const struct log_event *)m.body)->level, LOG_L_WARN);
	ipc_done(&logd, &m);
}
END_TEST

START_TEST(every_kind_and_status_has_a_name)
{
	unsigned i;

	for (i = 0; i < EV_MAX; i++)
		ck_assert_str_ne(event_kind_name(i), "?");
	ck_assert_str_eq(event_kind_name(EV_MAX), "?");
	ck_assert_str_eq(event_status_name(ES_BOUNCED), "bounced");
	ck_assert_str_eq(event_status_name(ES_MAX), "");
}
END_TEST

Suite *
event_suite(void)
{
	Suite *s = unit_suite(
	    "event", (const TTest *const[]){each_kind_has_the_grammar_of_postfix,
			 no_field_forges_another_or_a_line,
			 the_address_behind_a_client_name_stays_where_filters_look_for_it,
			 the_longest_values_leave_room_for_the_outcome,
			 a_small_buffer_is_never_overrun, every_kind_and_status_has_a_name, NULL});
	TCase *c = tcase_create("sent");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, what_is_out_of_bounds_is_cut_and_not_lost);
	tcase_add_test(c, what_is_left_out_is_filled_in);
	suite_add_tcase(s, c);
	return s;
}

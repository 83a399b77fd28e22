#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "t/unit/deliverd/fake.h"
#include "t/unit/unit.h"

Suite *client_suite(void);

#define S(...)                                                                                     \
	(script)                                                                                   \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

/* How connections begin, or do not. */
static const struct {
	const char *name;
	const char *const *script;
	const char *outcome; /* "idle" is ready */
	int permanent;
	const char *dsn, *text; /* of the failure; NULL: none */
} beginnings[] = {
    {"EHLO", S("S 220 a", "C EHLO gw.example", "S 250-a\r\n250 PIPELINING"), "idle", 0, NULL, NULL},
    {"greeting of lines", S("S 220-a\r\n220-b\r\n220 c", "C EHLO", "S 250 a"), "idle", 0, NULL,
	NULL},
    {"HELO", S("S 220 a", "C EHLO", "S 500 what", "C HELO gw.example", "S 250 a"), "idle", 0, NULL,
	NULL},
    {"line ends without CR", S("R 220 a\n", "C EHLO", "R 250-a\n250 SIZE\n"), "idle", 0, NULL,
	NULL},
    {"refused", S("S 554 5.7.1 go away"), "refused", 1, "5.7.1", "554 5.7.1 go away"},
    {"refused for now", S("S 450 4.7.1 later"), "refused", 0, "4.7.1", "450 4.7.1 later"},
    {"busy", S("S 421 4.3.2 busy"), "bye", 0, "4.3.2", "421 4.3.2 busy"},
    {"EHLO refused for now", S("S 220 a", "C EHLO", "S 451 later"), "refused", 0, "4.0.0",
	"451 later"},
    {"EHLO and HELO refused", S("S 220 a", "C EHLO", "S 550 no", "C HELO", "S 550 no"), "refused",
	1, "5.0.0", "550 no"},
    {"EHLO answered by 421", S("S 220 a", "C EHLO", "S 421 bye"), "bye", 0, "4.0.0", NULL},
    {"EHLO answered by 220", S("S 220 a", "C EHLO", "S 220 a"), "garbled", 0, "4.5.0", NULL},
    {"a greeting that is none", S("S 250 hello"), "garbled", 0, "4.5.0", NULL},
    {"no SMTP", S("S SSH-2.0-OpenSSH_9.2"), "garbled", 0, "4.5.0", NULL},
    {"other codes in one reply", S("S 220-a\r\n221 a"), "garbled", 0, "4.5.0", NULL},
    {"CR in a reply", S("R 220 a\rb\r\n"), "garbled", 0, "4.5.0", NULL},
    {"nothing at all", S("X"), "lost", 0, "4.4.2", NULL},
    {"half a greeting", S("R 220 a", "X"), "lost", 0, "4.4.2", NULL},
    {"more than one EHLO reply", S("S 220 a", "C EHLO", "R 250 a\r\n250 b\r\n"), "garbled", 0,
	"4.5.0", NULL},
    {"half of one more", S("S 220 a", "C EHLO", "R 250 a\r\n25"), "garbled", 0, "4.5.0", NULL},
    {"lost in EHLO", S("S 220 a", "C EHLO", "R 250-a\r\n", "X"), "lost", 0, "4.4.2", NULL},
};

START_TEST(begins_or_says_why_not)
{
	struct world w;

	world_start(&w, beginnings[_i].script, NULL);
	world_open(&w);
	ck_assert_msg(strcmp(world_outcome(&w), beginnings[_i].outcome) == 0, "%s: %s %s",
	    beginnings[_i].name, world_outcome(&w), w.failure.text);
	if (beginnings[_i].dsn != NULL) {
		ck_assert_str_eq(w.failure.dsn, beginnings[_i].dsn);
		ck_assert_int_eq(w.failure.permanent, beginnings[_i].permanent);
		ck_assert_int_eq(
		    w.failure.said, w.failure.end == CLIENT_REFUSED || w.failure.end == CLIENT_BYE);
	}
	if (beginnings[_i].text != NULL)
		ck_assert_str_eq(w.failure.text, beginnings[_i].text);
	ck_assert_str_eq(w.fake.wrong, "");
	world_stop(&w);
}
END_TEST

START_TEST(replies_are_bounded)
{
	char *big = malloc(200000);
	struct world w;

	/* One line without an end; one reply of lines without an end. */
	memcpy(big, "R ", 3);
	if (_i == 0)
		memset(big + 2, '2', 150000);
	else
		for (size_t i = 0; i < 15000; i++)
			memcpy(big + 2 + 10 * i, "220-abcd\r\n", 10);
	big[150002] = '\0';
	world_start(&w, (script){big, NULL}, NULL);
	world_open(&w);
	ck_assert_str_eq(world_outcome(&w), "garbled");
	world_stop(&w);
	free(big);
}
END_TEST

START_TEST(a_server_that_is_silent_is_given_up)
{
	struct world w;

	world_start(&w, _i == 0 ? S("W") : S("S 220 a", "C EHLO", "W"), NULL);
	w.how.reply_ms = 100;
	world_open(&w);
	ck_assert_str_eq(world_outcome(&w), "lost");
	ck_assert_ptr_nonnull(strstr(w.failure.text, "timed out while"));
	world_stop(&w);
}
END_TEST

START_TEST(a_server_that_says_a_reply_octet_by_octet_without_end_is_given_up)
{
	static const char *lines[2000];
	struct world w;
	size_t i;

	for (i = 0; i + 2 < sizeof lines / sizeof lines[0]; i += 2) {
		lines[i] = "R 2";
		lines[i + 1] = "W";
	}
	world_start(&w, lines, NULL);
	w.how.reply_ms = 150;
	world_open(&w);
	/* Silence never lasts that long. */
	ck_assert_uint_lt(w.fake.said, 1000);
	ck_assert_uint_eq(w.closed, 1);
	world_stop(&w);
}
END_TEST

START_TEST(tells_of_an_idle_connection_that_is_gone)
{
	struct world w;

	world_start(&w, S("S 220 a", "C EHLO", "S 250 a", "W", "X"), NULL);
	world_open(&w);
	ck_assert_str_eq(world_outcome(&w), "idle");
	ck_assert(world_run(&w, &w.closed, 1, 2000));
	ck_assert_str_eq(world_outcome(&w), "lost");
	world_stop(&w);
}
END_TEST

START_TEST(an_idle_connection_has_no_deadline)
{
	struct world w;
	unsigned never = 0;

	world_start(&w, S("S 220 a", "C EHLO", "S 250 a"), NULL);
	w.how.reply_ms = 50;
	world_open(&w);
	(void)world_run(&w, &never, 1, 400);
	ck_assert_str_eq(world_outcome(&w), "idle");
	world_stop(&w);
}
END_TEST

START_TEST(may_be_closed_at_any_time_before)
{
	static const struct client_ops none = {0};
	struct world w;
	unsigned never = 0;
	int ms;

	for (ms = 0; ms < 6; ms++) {
		world_start(&w, S("S 220 a", "C EHLO", "W", "S 250 a"), NULL);
		w.client = client_open(&w.how, &none, NULL);
		ck_assert_ptr_nonnull(w.client);
		(void)world_run(&w, &never, 1, (unsigned)ms);
		client_close(w.client);
		w.client = NULL;
		(void)world_run(&w, &never, 1, 5);
		world_stop(&w);
	}
}
END_TEST

/* A port that nobody listens at. */
static void
nowhere(struct sockaddr_storage *ss)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)(void *)ss;
	socklen_t n = sizeof *sin;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(ss, 0, sizeof *ss);
	sin->sin_family = AF_INET;
	sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)sin, sizeof *sin), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)sin, &n), 0);
	close(fd);
}

START_TEST(a_server_that_cannot_be_reached_is_told_as_postfix_does)
{
	struct world w;
	char want[128];

	world_start(&w, S("X"), NULL);
	nowhere(&w.addr);
	world_open(&w);
	ck_assert_str_eq(world_outcome(&w), "unreached");
	(void)snprintf(want, sizeof want, "connect to mx.example[127.0.0.1]:%u: Connection refused",
	    ntohs(((struct sockaddr_in *)(void *)&w.addr)->sin_port));
	ck_assert_str_eq(w.failure.text, want);
	ck_assert_str_eq(w.failure.dsn, "4.4.1");
	world_stop(&w);
}
END_TEST

START_TEST(further_addresses_are_tried)
{
	const char *const *const firsts[] = {
	    S("S 421 busy"), S("S 451 no"), S("X"), S("R 22", "X"), S("S huh"), NULL};
	struct sockaddr_storage addrs[2];
	struct world w;
	bool dead = firsts[_i] == NULL;

	world_start(&w, dead ? S("S 220 b", "C EHLO", "S 250 b") : firsts[_i],
	    S("S 220 b", "C EHLO", "S 250 b"));
	addrs[0] = addrs[1] = w.addr;
	if (dead)
		nowhere(&addrs[0]);
	w.how.addrs = addrs;
	w.how.naddrs = 2;
	world_open(&w);
	ck_assert_str_eq(world_outcome(&w), "idle");
	ck_assert_uint_eq(w.fake.conns, dead ? 1 : 2);
	ck_assert_mem_eq(client_addr(w.client), &addrs[1], sizeof addrs[1]);
	world_stop(&w);
}
END_TEST

START_TEST(a_server_that_refuses_for_ever_is_not_asked_by_another_address)
{
	struct sockaddr_storage addrs[2];
	struct world w;

	world_start(&w, S("S 554 no"), S("S 220 b", "C EHLO", "S 250 b"));
	addrs[0] = addrs[1] = w.addr;
	w.how.addrs = addrs;
	w.how.naddrs = 2;
	world_open(&w);
	ck_assert_str_eq(world_outcome(&w), "refused");
	ck_assert_uint_eq(w.fake.conns, 1);
	world_stop(&w);
}
END_TEST

#define LOGIN(line, ...) S("S 220 a", "C EHLO", "S 250-a", line, "S 250 SIZE", __VA_ARGS__)

/* "\0bob\0secret", "bob", "secret" */
static const struct {
	const char *name;
	const char *const *script;
	const char *outcome, *text;
} logins[] = {
    {"PLAIN",
	LOGIN("S 250-AUTH GSSAPI LOGIN PLAIN", "C AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n", "S 235 in"),
	"idle", NULL},
    {"LOGIN",
	LOGIN("S 250-AUTH GSSAPI LOGIN", "C AUTH LOGIN\r\n", "S 334 VXNlcm5hbWU6", "C Ym9i\r\n",
	    "S 334 UGFzc3dvcmQ6", "C c2VjcmV0\r\n", "S 235 in"),
	"idle", NULL},
    {"wrong", LOGIN("S 250-AUTH GSSAPI PLAIN", "C AUTH PLAIN", "S 535 5.7.8 no"), "no-login",
	"535 5.7.8 no"},
    {"the name is wrong",
	LOGIN("S 250-AUTH GSSAPI LOGIN", "C AUTH", "S 334 x", "C Ym9i", "S 535 no"), "no-login",
	"535 no"},
    {"not now", LOGIN("S 250-AUTH GSSAPI PLAIN", "C AUTH PLAIN", "S 454 4.7.0 later"), "no-login",
	"454 4.7.0 later"},
    {"not offered", LOGIN("S 250-AUTH GSSAPI XOAUTH2", "X"), "no-login", NULL},
    {"no AUTH", S("S 220 a", "C EHLO", "S 250 a"), "no-login", NULL},
    {"250", LOGIN("S 250-AUTH GSSAPI PLAIN", "C AUTH PLAIN", "S 250 ok"), "garbled", NULL},
    {"asks on and on", LOGIN("S 250-AUTH GSSAPI PLAIN", "C AUTH PLAIN", "S 334 more"), "garbled",
	NULL},
    {"LOGIN asks on and on",
	LOGIN("S 250-AUTH GSSAPI LOGIN", "C AUTH", "S 334 x", "C Ym9i", "S 334 x", "C c2VjcmV0",
	    "S 334 x"),
	"garbled", NULL},
    {"421", LOGIN("S 250-AUTH GSSAPI PLAIN", "C AUTH PLAIN", "S 421 bye"), "bye", NULL},
};

START_TEST(logs_in)
{
	struct world w;

	world_start(&w, logins[_i].script, NULL);
	w.how.login = "bob";
	w.how.password = "secret";
	world_open(&w);
	ck_assert_msg(strcmp(world_outcome(&w), logins[_i].outcome) == 0, "%s: %s %s",
	    logins[_i].name, world_outcome(&w), w.failure.text);
	if (logins[_i].text != NULL)
		ck_assert_str_eq(w.failure.text, logins[_i].text);
	ck_assert_str_eq(w.fake.wrong, "");
	world_stop(&w);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused_at_once)
{
	static const struct client_ops none = {0};
	struct client_how how;
	struct world w;
	int i;

	world_start(&w, S("X"), NULL);
	for (i = 0; i < 6; i++) {
		how = w.how;
		if (i == 0)
			how.naddrs = 0;
		if (i == 1)
			how.host = "";
		if (i == 2)
			how.helo = "gw\r\nMAIL FROM:<>";
		if (i == 3)
			how.tls = CLIENT_TLS_MAY; /* without a context */
		if (i == 4)
			how.naddrs = 17;
		if (i == 5)
			how.implicit = true; /* but no TLS */
		errno = 0;
		ck_assert_ptr_null(client_open(&how, &none, NULL));
		ck_assert_int_eq(errno, EINVAL);
	}
	world_stop(&w);
}
END_TEST

Suite *
client_suite(void)
{
	const TTest *const tests[] = {
	    a_server_that_says_a_reply_octet_by_octet_without_end_is_given_up,
	    tells_of_an_idle_connection_that_is_gone, an_idle_connection_has_no_deadline,
	    may_be_closed_at_any_time_before,
	    a_server_that_cannot_be_reached_is_told_as_postfix_does,
	    a_server_that_refuses_for_ever_is_not_asked_by_another_address,
	    what_makes_no_sense_is_refused_at_once, NULL};
	Suite *s = unit_suite("client", tests);
	TCase *c = tcase_create("tables");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, begins_or_says_why_not, 0, sizeof beginnings / sizeof beginnings[0]);
	tcase_add_loop_test(c, logs_in, 0, sizeof logins / sizeof logins[0]);
	tcase_add_loop_test(c, replies_are_bounded, 0, 2);
	tcase_add_loop_test(c, a_server_that_is_silent_is_given_up, 0, 2);
	tcase_add_loop_test(c, further_addresses_are_tried, 0, 6);
	suite_add_tcase(s, c);
	return s;
}

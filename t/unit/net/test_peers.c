#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "net/cidr.h"
#include "net/clients.h"
#include "t/unit/unit.h"

Suite *peers_suite(void);

/* A socket address of some text; no dot and no colon gives a Unix socket. */
static const struct sockaddr *
addr(const char *text)
{
	static struct sockaddr_storage ss;
	struct sockaddr_in6 *in6 = (void *)&ss;
	struct sockaddr_in *in = (void *)&ss;

	memset(&ss, 0, sizeof ss);
	ss.ss_family = AF_UNIX;
	if (strchr(text, ':') != NULL) {
		ss.ss_family = AF_INET6;
		in6->sin6_port = htons(25);
		ck_assert_int_eq(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
	} else if (strchr(text, '.') != NULL) {
		ss.ss_family = AF_INET;
		in->sin_port = htons(25);
		ck_assert_int_eq(inet_pton(AF_INET, text, &in->sin_addr), 1);
	}
	return (const struct sockaddr *)&ss;
}

START_TEST(matches_addresses_against_blocks)
{
	static const struct {
		const char *net, *addr;
		bool match;
	} cases[] = {
	    {"10.0.0.0/8", "10.255.0.1", true},
	    {"10.0.0.0/8", "11.0.0.1", false},
	    {"10.0.0.0/8", "::ffff:10.0.0.1", true},
	    {"10.0.0.0/8", "a00::1", false},
	    {"192.0.2.1", "192.0.2.1", true},
	    {"192.0.2.1", "192.0.2.2", false},
	    {"0.0.0.0/0", "203.0.113.9", true},
	    {"0.0.0.0/0", "::1", false},
	    {"fd00::/8", "fdff::1", true},
	    {"fd00::/8", "fe00::1", false},
	    {"::/0", "2001:db8::1", true},
	    {"0.0.0.0/0", "unix", false},
	    {"::/0", "unix", false},
	};
	struct net nets[2];
	size_t i;

	ck_assert_int_eq(net_parse("198.51.100.0/31", &nets[0]), 0);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(net_parse(cases[i].net, &nets[1]), 0);
		ck_assert_int_eq(cidr_match(nets, 2, addr(cases[i].addr)), cases[i].match);
		ck_assert(!cidr_match(nets, 1, addr(cases[i].addr)));
	}
}
END_TEST

START_TEST(writes_client_addresses_as_postfix_does)
{
	static const struct {
		const char *addr, *text, *port;
	} cases[] = {
	    {"192.0.2.1", "[192.0.2.1]", "[192.0.2.1]:25"},
	    {"2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:25"},
	    {"::ffff:192.0.2.1", "[192.0.2.1]", "[192.0.2.1]:25"},
	    {"unix", "[local]", "[local]"},
	    {"2001:db80:1111:2222:3333:4444:5555:6666", "[2001:db80:1111:2222:3333:4444:5555:6666]",
		"[2001:db80:1111:2222:3333:4444:5555:6666]:25"},
	};
	char out[CIDR_TEXT_MAX];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_str_eq(cidr_text(out, sizeof out, addr(cases[i].addr)), cases[i].text);
		ck_assert_str_eq(
		    cidr_text_port(out, sizeof out, addr(cases[i].addr)), cases[i].port);
	}
}
END_TEST

START_TEST(limits_sessions_per_client_and_in_total)
{
	static struct clients *cl;

	ck_assert_ptr_nonnull(cl = clients_new(4, 2));
	ck_assert_int_eq(clients_enter(cl, addr("192.0.2.1")), 0);
	ck_assert_int_eq(clients_enter(cl, addr("::ffff:192.0.2.1")), 0);
	ck_assert_int_eq(clients_enter(cl, addr("192.0.2.1")), -1);
	ck_assert_int_eq(errno, EUSERS);
	/* One customer's /64 is one client. */
	ck_assert_int_eq(clients_enter(cl, addr("2001:db8::1")), 0);
	ck_assert_int_eq(clients_enter(cl, addr("2001:db8::ffff:2")), 0);
	ck_assert_int_eq(clients_enter(cl, addr("2001:db8:0:1::1")), -1);
	ck_assert_int_eq(errno, ENFILE);
	clients_leave(cl, addr("192.0.2.1"));
	ck_assert_int_eq(clients_enter(cl, addr("2001:db8::3")), -1);
	ck_assert_int_eq(errno, EUSERS);
	ck_assert_int_eq(clients_enter(cl, addr("unix")), 0);
	ck_assert_int_eq(clients_enter(cl, addr("unix")), -1);
	ck_assert_int_eq(errno, ENFILE);
	clients_leave(cl, addr("unix"));
	clients_leave(cl, addr("192.0.2.1"));
	/* All that was counted for it is gone. */
	ck_assert_int_eq(clients_enter(cl, addr("192.0.2.1")), 0);
	ck_assert_int_eq(clients_enter(cl, addr("192.0.2.1")), 0);
	clients_leave(cl, addr("192.0.2.1"));
	clients_leave(cl, addr("192.0.2.1"));
	ck_assert_int_eq(clients_limits(cl, 3, 3), 0);
	ck_assert_int_eq(clients_enter(cl, addr("2001:db8::3")), 0);
	ck_assert_int_eq(clients_enter(cl, addr("192.0.2.9")), -1);
	ck_assert_int_eq(clients_limits(cl, 3, 4), -1);
	ck_assert_int_eq(clients_limits(cl, 0, 0), -1);
	ck_assert_ptr_null(clients_new(CLIENTS_MAX + 1, 1));
}
END_TEST

START_TEST(counts_thousands_of_clients_apart)
{
	static struct clients *cl;
	struct sockaddr_in in = {.sin_family = AF_INET};
	const struct sockaddr *sa = (const struct sockaddr *)&in;
	uint32_t i, n;

	ck_assert_ptr_nonnull(cl = clients_new(20000, 3));
	for (i = 0; i < 10000; i++) {
		in.sin_addr.s_addr = htonl(0x0a000000 + i);
		ck_assert_int_eq(clients_enter(cl, sa), 0);
		if (i % 2)
			ck_assert_int_eq(clients_enter(cl, sa), 0);
	}
	for (i = 0; i < 10000; i++) {
		in.sin_addr.s_addr = htonl(0x0a000000 + i);
		for (n = i % 2 + 1; n < 3; n++)
			ck_assert_int_eq(clients_enter(cl, sa), 0);
		ck_assert_int_eq(clients_enter(cl, sa), -1);
		ck_assert_int_eq(errno, EUSERS);
		for (n = i % 2; n < 3; n++)
			clients_leave(cl, sa);
	}
	/* One session of every second client is left. */
	for (i = 0; i < 15000; i++)
		ck_assert_int_eq(clients_enter(cl, addr("unix")), 0);
	ck_assert_int_eq(clients_enter(cl, addr("unix")), -1);
	ck_assert_int_eq(errno, ENFILE);
}
END_TEST

Suite *
peers_suite(void)
{
	return unit_suite("peers",
	    (const TTest *const[]){matches_addresses_against_blocks,
		writes_client_addresses_as_postfix_does, limits_sessions_per_client_and_in_total,
		counts_thousands_of_clients_apart, NULL});
}

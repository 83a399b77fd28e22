#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "master/master.h"
#include "t/unit/unit.h"

Suite *source_suite(void);

static struct net nets[2];
static struct conf_connector connectors[] = {
    {.name = (char *)"out",
	.service = CONF_SMTP,
	.transparent = CONF_TRANSPARENT_TPROXY,
	.keep_source = 1,
	.clients = {nets, 2}},
    {.name = (char *)"all",
	.service = CONF_SMTP,
	.transparent = CONF_TRANSPARENT_TPROXY,
	.keep_source = 1},
    {.name = (char *)"plain", .service = CONF_SMTP, .transparent = CONF_TRANSPARENT_TPROXY},
    {.name = (char *)"redirect", .service = CONF_SMTP, .transparent = CONF_TRANSPARENT_REDIRECT},
};
static const struct conf conf = {.connectors = connectors, .nconnectors = 4};
static const struct service smtpd = {.role = P_SMTPD}, pop3d = {.role = P_POP3D};

/* 0, or the errno of the refusal. */
static int
check(const struct service *s, const char *connector, const void *ip, size_t n, struct netaddr *a)
{
	const struct source_req q = {.connector = connector, .ip = {ip, n}};
	struct err e = {0};

	return source_check(&conf, s, &q, a, &e) == 0 ? 0 : e.code;
}

static int
check_text(const char *connector, const char *text)
{
	struct netaddr a, found;
	size_t n;

	ck_assert_int_eq(netaddr_parse_host(text, &a), 0);
	n = a.family == AF_INET ? 4 : 16;
	if (check(&smtpd, connector, a.addr, n, &found) != 0)
		return errno;
	ck_assert_int_eq(found.family, a.family);
	ck_assert_int_eq(memcmp(found.addr, a.addr, n), 0);
	ck_assert_uint_eq(found.port, 0);
	return 0;
}

static void
set_up(void)
{
	ck_assert_int_eq(net_parse("192.0.2.0/24", &nets[0]), 0);
	ck_assert_int_eq(net_parse("2001:db8::/32", &nets[1]), 0);
}

START_TEST(only_clients_of_the_connector_can_be_a_source)
{
	ck_assert_int_eq(check_text("out", "192.0.2.7"), 0);
	ck_assert_int_eq(check_text("out", "2001:db8::7"), 0);
	ck_assert_int_eq(check_text("out", "192.0.3.7"), EACCES);
	ck_assert_int_eq(check_text("out", "2001:db9::7"), EACCES);
	ck_assert_int_eq(check_text("all", "192.0.3.7"), 0);
	ck_assert_int_eq(check_text("all", "2001:db9::7"), 0);
}
END_TEST

START_TEST(only_a_connector_of_the_asker_with_keep_source_will_do)
{
	static const uint8_t ip[] = {192, 0, 2, 7};
	struct netaddr a;

	ck_assert_int_eq(check(&smtpd, "out", ip, 4, &a), 0);
	ck_assert_int_eq(check(&pop3d, "out", ip, 4, &a), ENOENT);
	ck_assert_int_eq(check(&smtpd, "nobody", ip, 4, &a), ENOENT);
	ck_assert_int_eq(check(&smtpd, "plain", ip, 4, &a), EPERM);
	ck_assert_int_eq(check(&smtpd, "redirect", ip, 4, &a), EPERM);
}
END_TEST

START_TEST(addresses_that_no_client_has_are_refused)
{
	static const char *const special[] = {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.3.2.1",
	    "224.0.0.1", "239.255.255.255", "255.255.255.255", "240.0.0.1", "::", "::1", "ff02::1",
	    "fe80::1"};
	static const uint8_t ip[17] = {32, 1, 0xd, 0xb8};
	struct netaddr a;
	size_t i;

	for (i = 0; i < sizeof special / sizeof special[0]; i++)
		ck_assert_msg(check_text("all", special[i]) == EINVAL, "%s", special[i]);
	for (i = 5; i < 16; i++)
		ck_assert_int_eq(check(&smtpd, "all", ip, i, &a), EINVAL);
	ck_assert_int_eq(check(&smtpd, "all", ip, 16, &a), 0);
	ck_assert_int_eq(check(&smtpd, "all", ip, 17, &a), EINVAL);
}
END_TEST

START_TEST(mapped_ipv4_is_ipv4)
{
	uint8_t ip[16] = {[10] = 0xff, 0xff, 192, 0, 2, 9};
	struct netaddr a;

	ck_assert_int_eq(check(&smtpd, "out", ip, 16, &a), 0);
	ck_assert_int_eq(a.family, AF_INET);
	ck_assert_int_eq(memcmp(a.addr, ip + 12, 4), 0);
	memcpy(ip + 12, "\177\0\0\1", 4);
	ck_assert_int_eq(check(&smtpd, "all", ip, 16, &a), EINVAL);
	memcpy(ip + 12, "\300\0\3\1", 4);
	ck_assert_int_eq(check(&smtpd, "out", ip, 16, &a), EACCES);
}
END_TEST

START_TEST(the_socket_has_the_source_and_no_port_yet)
{
	static const char *const texts[] = {"192.0.2.7", "2001:db8::7"};
	struct sockaddr_storage ss;
	struct netaddr a, got;
	socklen_t n;
	struct err e;
	size_t i;
	int fd;

	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(netaddr_parse_host(texts[i], &a), 0);
		if ((fd = source_open(&a, &e)) == -1 && (e.code == EPERM || e.code == EAFNOSUPPORT))
			continue; /* not root here, or no IPv6 */
		ck_assert_msg(fd != -1, "%s", e.text);
		n = sizeof ss;
		ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
		ck_assert_int_eq(netaddr_from_sockaddr(&got, (struct sockaddr *)&ss), 0);
		ck_assert_int_eq(memcmp(got.addr, a.addr, 16), 0);
		ck_assert_uint_eq(got.port, 0);
		close(fd);
	}
}
END_TEST

START_TEST(a_process_that_asks_too_often_must_wait)
{
	struct source_rate r = {0};
	unsigned i, n;

	for (i = 0; i < SOURCES_BURST; i++)
		ck_assert_int_eq(source_rate(&r, 1000), 0);
	ck_assert_int_eq(source_rate(&r, 1000), -1);
	/* Each moment adds its share, however often it is asked in between. */
	for (i = 1, n = 0; i <= 1000; i++)
		while (source_rate(&r, 1000 + i) == 0)
			n++;
	ck_assert_uint_eq(n, SOURCES_PER_S);
	/* And never more than the bucket holds. */
	for (n = 0; source_rate(&r, 1000000) == 0; n++)
		;
	ck_assert_uint_eq(n, SOURCES_BURST);
}
END_TEST

Suite *
source_suite(void)
{
	return unit_suite_around("source", set_up, NULL,
	    (const TTest *const[]){only_clients_of_the_connector_can_be_a_source,
		only_a_connector_of_the_asker_with_keep_source_will_do,
		addresses_that_no_client_has_are_refused, mapped_ipv4_is_ipv4,
		the_socket_has_the_source_and_no_port_yet, a_process_that_asks_too_often_must_wait,
		NULL});
}

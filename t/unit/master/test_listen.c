#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "master/master.h"
#include "t/unit/unit.h"

Suite *listen_suite(void);

static struct listeners all;
static struct conf_listener bound;
static struct conf_connector connector = {
    .name = (char *)"in", .service = CONF_SMTP, .bound = &bound, .nbound = 1};
static struct conf conf = {.connectors = &connector, .nconnectors = 1};

/* A free port of this address. */
static void
choose(const char *address)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t n = sizeof sin;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(netaddr_parse_host(address, &bound.addr), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, n), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	bound.addr.port = ntohs(sin.sin_port);
	close(fd);
	connector.transparent = CONF_TRANSPARENT_NO;
	connector.name = (char *)"in";
	memset(&all, 0, sizeof all);
}

static int
may_be_transparent(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), rc = listen_transparent(fd, AF_INET, 1);

	close(fd);
	return rc == 0;
}

static int
is_transparent(int fd)
{
	socklen_t n = sizeof(int);
	int on = -1;

	ck_assert_int_eq(getsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, &n), 0);
	return on;
}

static int
load(int settle)
{
	struct err e = {0};

	if (listen_bind(&all, &conf, &e) == -1) {
		ck_assert_msg(strstr(e.text, "connector \"in") != NULL, "%s", e.text);
		listen_undo(&all);
		return e.code;
	}
	if (settle)
		listen_settle(&all, &conf);
	else
		listen_undo(&all);
	return 0;
}

START_TEST(tproxy_listens_where_no_address_is_ours)
{
	choose("192.0.2.7");
	ck_assert_int_eq(load(1), EADDRNOTAVAIL);
	connector.transparent = CONF_TRANSPARENT_REDIRECT;
	ck_assert_int_eq(load(1), EADDRNOTAVAIL);
	connector.transparent = CONF_TRANSPARENT_TPROXY;
	if (!may_be_transparent()) {
		ck_assert_int_eq(load(1), EPERM);
		return;
	}
	ck_assert_int_eq(load(1), 0);
	ck_assert_int_eq(is_transparent(all.v[0].fd), 1);
	/* It could not be bound like that at the next start. */
	connector.transparent = CONF_TRANSPARENT_NO;
	ck_assert_int_eq(load(1), EADDRNOTAVAIL);
	ck_assert_int_eq(is_transparent(all.v[0].fd), 1);
	close(all.v[0].fd);
}
END_TEST

START_TEST(a_listener_changes_its_mode_only_when_the_configuration_counts)
{
	int fd;

	choose("127.0.0.1");
	ck_assert_int_eq(load(1), 0);
	fd = all.v[0].fd;
	connector.transparent = CONF_TRANSPARENT_TPROXY;
	if (may_be_transparent()) {
		ck_assert_int_eq(load(0), 0);
		ck_assert_int_eq(is_transparent(fd), 0);
		ck_assert_int_eq(load(1), 0);
		ck_assert_int_eq(is_transparent(fd), 1);
		connector.transparent = CONF_TRANSPARENT_NO;
		ck_assert_int_eq(load(1), 0);
	} else
		ck_assert_int_eq(load(0), EPERM);
	ck_assert_int_eq(is_transparent(fd), 0);
	/* Whoever waits in its backlog is still there. */
	ck_assert_uint_eq(all.n, 1);
	ck_assert_int_eq(all.v[0].fd, fd);
	close(fd);
}
END_TEST

START_TEST(a_listener_that_another_connector_takes_over_changes_with_it)
{
	choose("127.0.0.1");
	ck_assert_int_eq(load(1), 0);
	if (!may_be_transparent())
		return;
	connector.name = (char *)"in2";
	connector.transparent = CONF_TRANSPARENT_TPROXY;
	ck_assert_int_eq(load(0), 0);
	ck_assert_uint_eq(all.n, 1);
	ck_assert_int_eq(is_transparent(all.v[0].fd), 0);
	ck_assert_int_eq(load(1), 0);
	ck_assert_uint_eq(all.n, 1);
	ck_assert_str_eq(all.v[0].connector, "in2");
	ck_assert_int_eq(is_transparent(all.v[0].fd), 1);
	close(all.v[0].fd);
}
END_TEST

Suite *
listen_suite(void)
{
	return unit_suite(
	    "listen", (const TTest *const[]){tproxy_listens_where_no_address_is_ours,
			  a_listener_changes_its_mode_only_when_the_configuration_counts,
			  a_listener_that_another_connector_takes_over_changes_with_it, NULL});
}

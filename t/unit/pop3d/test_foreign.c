/* Where a client behind a transparent connector wants to go, and what its login there is worth. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pop3d/session.h"
#include "t/unit/unit.h"

static struct conf_listener bound;
static struct conf_connector connector = {.name = (char *)"out", .bound = &bound};
static struct conf conf = {.connectors = &connector, .nconnectors = 1};
static const struct conn_handlers nothing;

static struct event_base *base;
static struct proxy_route route;
static struct session s;
static int listener, client;
static struct sockaddr_storage here; /* where the client has connected to */

/* A client of 127.0.0.1 or ::1 and its session. */
static void
connect_client(int family)
{
	const struct conn_limits l = {.in_max = 100, .out_max = 100};
	struct netaddr a = {.family = (sa_family_t)family};
	socklen_t n = sizeof here;
	int fd;

	memcpy(a.addr, family == AF_INET ? (const void *)"\x7f\0\0\1" : &in6addr_loopback,
	    family == AF_INET ? 4 : 16);
	n = netaddr_to_sockaddr(&a, &here);
	listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (const struct sockaddr *)&here, n), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	n = sizeof here;
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&here, &n), 0);
	client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(client, (const struct sockaddr *)&here, n), 0);
	fd = accept4(listener, (struct sockaddr *)&s.from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ne(fd, -1);
	s.client = conn_new(base, fd, &l, &nothing, &s);
	ck_assert_ptr_nonnull(s.client);
}

static void
begin(void)
{
	struct proc_env *env = (struct proc_env *)proc_env();

	env->conf = &conf;
	base = env->base = event_base_new();
	memset(&bound, 0, sizeof bound);
	connector.nbound = 0;
	memset(&route, 0, sizeof route);
	route.transparent = CONF_TRANSPARENT_TPROXY;
	(void)strlcpy(route.connector, "out", sizeof route.connector);
	memset(&s, 0, sizeof s);
	s.route = &route;
	s.authcid = (char *)"alice";
	s.authzid = (char *)"";
}

static void
finish(void)
{
	foreign_free(&s);
	conn_free(s.client);
	if (s.client != NULL) {
		close(client);
		close(listener);
	}
	event_base_free(base);
}

/* The connector listens here as well. */
static void
bind_also(const char *text, uint16_t port)
{
	ck_assert_int_eq(netaddr_parse_host(text, &bound.addr), 0);
	bound.addr.port = port;
	connector.nbound = 1;
}

static uint16_t
port_of_client(void)
{
	struct netaddr a;

	ck_assert_int_eq(netaddr_from_sockaddr(&a, (const struct sockaddr *)&here), 0);
	return a.port;
}

START_TEST(a_tproxied_client_wants_its_own_ends_address)
{
	char want[64], got[SESSION_SERVER_MAX];

	connect_client(_i == 0 ? AF_INET : AF_INET6);
	ck_assert_int_eq(foreign_begin(&s), 0);
	(void)snprintf(want, sizeof want, _i == 0 ? "127.0.0.1:%u" : "[::1]:%u", port_of_client());
	ck_assert_str_eq(session_server(&s, got), want);
	ck_assert_ptr_nonnull(foreign_target(&s));
}
END_TEST

START_TEST(what_leads_back_to_a_listener_is_refused)
{
	static const struct {
		const char *listen;
		int other_port, rc;
	} t[] = {
	    {"127.0.0.1", 0, -1},
	    {"0.0.0.0", 0, -1}, /* by any address of this machine */
	    {"127.0.0.1", 1, 0},
	    {"0.0.0.0", 1, 0},
	    {"127.0.0.2", 0, 0},
	    {"::", 0, 0},
	};

	connect_client(AF_INET);
	bind_also(t[_i].listen, (uint16_t)(port_of_client() ^ t[_i].other_port));
	ck_assert_int_eq(foreign_begin(&s), t[_i].rc);
}
END_TEST

START_TEST(a_client_that_nobody_redirected_is_refused)
{
	route.transparent = CONF_TRANSPARENT_REDIRECT;
	connect_client(AF_INET);
	ck_assert_int_eq(foreign_begin(&s), -1);
}
END_TEST

START_TEST(a_login_at_a_server_without_a_peers_name_is_nobodys)
{
	connect_client(AF_INET);
	ck_assert_int_eq(foreign_begin(&s), 0);
	ck_assert_str_eq(foreign_login(&s), "");
	(void)strlcpy(route.peer, "office", sizeof route.peer);
	ck_assert_str_eq(foreign_login(&s), "alice");
	route.peer[0] = '\0';
	route.transparent = CONF_TRANSPARENT_NO;
	ck_assert_str_eq(foreign_login(&s), "alice");
}
END_TEST

START_TEST(memory_of_foreign_servers_is_kept_apart)
{
	struct maildrop *here_it, *there, *of_peer;
	struct sockaddr_storage *to;

	connect_client(AF_INET);
	ck_assert_int_eq(foreign_begin(&s), 0);
	here_it = session_maildrop(&s);
	to = (struct sockaddr_storage *)&foreign_target(&s)->to;
	((struct sockaddr_in *)to)->sin_addr.s_addr = htonl(0xc0000201);
	there = session_maildrop(&s);
	(void)strlcpy(route.peer, "office", sizeof route.peer);
	of_peer = session_maildrop(&s);
	ck_assert_int_ne(memcmp(here_it->id, there->id, MEMORY_ID), 0);
	ck_assert_int_ne(memcmp(of_peer->id, there->id, MEMORY_ID), 0);
	maildrop_free(here_it);
	maildrop_free(there);
	maildrop_free(of_peer);
}
END_TEST

START_TEST(a_peer_of_the_configuration_is_named_by_host_and_port)
{
	char got[SESSION_SERVER_MAX];

	route.transparent = CONF_TRANSPARENT_NO;
	(void)strlcpy(route.host, "mail.example.org", sizeof route.host);
	route.port = 995;
	ck_assert_str_eq(session_server(&s, got), "mail.example.org:995");
	ck_assert(!foreign_is(&s));
	ck_assert(!foreign_alert(&s));
}
END_TEST

Suite *foreign_suite(void);
Suite *
foreign_suite(void)
{
	Suite *suite = suite_create("foreign");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, begin, finish);
	tcase_add_loop_test(c, a_tproxied_client_wants_its_own_ends_address, 0, 2);
	tcase_add_loop_test(c, what_leads_back_to_a_listener_is_refused, 0, 6);
	tcase_add_test(c, a_client_that_nobody_redirected_is_refused);
	tcase_add_test(c, a_login_at_a_server_without_a_peers_name_is_nobodys);
	tcase_add_test(c, memory_of_foreign_servers_is_kept_apart);
	tcase_add_test(c, a_peer_of_the_configuration_is_named_by_host_and_port);
	suite_add_tcase(suite, c);
	return suite;
}

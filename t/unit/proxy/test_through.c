/* TLS that passes untouched. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/through.h"
#include "t/unit/proxy/trip.h"
#include "t/unit/unit.h"

Suite *through_suite(void);

static const struct conn_limits limits = {.in_max = 4096, .out_max = 65536};

static void
configure(uint16_t port)
{
	char config[500];

	(void)snprintf(config, sizeof config,
	    "peer p { service = pop3 host = 127.0.0.1 port = 110 tls_port = %u tls = starttls\n"
	    " verify = none }\n"
	    "action t { service = pop3 tls = allow }\n"
	    "connector c { service = pop3 listen_tls = {\"127.0.0.1:8995\"} peer = p action = t\n"
	    " tls = required }\n",
	    port);
	world_conf(config);
}

static void
begin(void)
{
	world_begin("peer p { service = pop3 host = 127.0.0.1 tls = none }\n"
		    "connector c { service = pop3 listen = {\"127.0.0.1:8110\"} peer = p\n"
		    " tls = disabled }\n");
	configure(9);
}

static const struct proxy_route *
route(void)
{
	return proxy_route_get(world_connector("c"), CONF_TLS_IMPLICIT, proc_env()->conf);
}

/* --- behind STLS --- */

static struct ends {
	struct conn *client, *server;
	int far[2]; /* the client's and the server's own ends, non-blocking */
	unsigned closed, left, readable;
	bool chatty; /* the owner of the server's connection writes before he begins */
	const struct proxy_route *r;
	int rc; /* of through_begin */
	struct err e;
} ends;

static void
on_left(void *arg)
{
	((struct ends *)arg)->left++;
}

static void
begin_tunnel(void)
{
	ends.rc = through_begin(ends.r, ends.client, ends.server, "+OK begin\r\n", "[192.0.2.1]",
	    "mail.test", on_left, &ends, &ends.e);
}

static void
on_readable(struct conn *c, void *arg)
{
	static char big[32768]; /* goes to the socket at once, which says that it is dead */

	(void)arg;
	if (c != ends.server)
		return;
	ends.readable++;
	conn_consume(c, strlen("+OK\r\n"));
	if (ends.chatty)
		ck_assert_int_eq(conn_write(c, big, sizeof big), -1);
	begin_tunnel();
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	(void)c;
	(void)why;
	(void)text;
	(void)arg;
	ends.closed++;
}

static const struct conn_handlers handlers = {.readable = on_readable, .closed = on_closed};

static int
tcp_pair(int sv[2])
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof in;
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sv[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(l, (struct sockaddr *)&in, n), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	ck_assert_int_eq(getsockname(l, (struct sockaddr *)&in, &n), 0);
	ck_assert_int_eq(connect(sv[1], (struct sockaddr *)&in, n), 0);
	sv[0] = accept(l, NULL, NULL);
	ck_assert_int_ne(sv[0], -1);
	(void)fcntl(sv[0], F_SETFL, O_NONBLOCK);
	(void)fcntl(sv[1], F_SETFL, O_NONBLOCK);
	return close(l);
}

static void
begin_stls(void)
{
	int sv[2];

	begin();
	memset(&ends, 0, sizeof ends);
	ends.rc = 1;
	ends.r = route();
	ck_assert_int_eq(tcp_pair(sv), 0);
	ends.far[0] = sv[1];
	ends.client = conn_new(proc_env()->base, sv[0], &limits, &handlers, NULL);
	ck_assert_int_eq(tcp_pair(sv), 0);
	ends.far[1] = sv[1];
	ends.server = conn_new(proc_env()->base, sv[0], &limits, &handlers, NULL);
}

static void
end_stls(void)
{
	if (ends.rc != 0)
		conn_free(ends.client);
	if (ends.rc != 0 && (ends.e.code == EPROTO || ends.e.code == EAGAIN))
		conn_free(ends.server);
	ck_assert_uint_eq(conn_count(), 0);
	(void)close(ends.far[0]);
	if (ends.far[1] != -1)
		(void)close(ends.far[1]);
	proxy_route_drop(ends.r);
	world_end();
}

static void
say(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void
hear(int fd, const char *text)
{
	char got[100] = "";
	size_t n = 0;
	ssize_t r;
	int i;

	for (i = 0; i < 1000 && n < strlen(text); i++) {
		world_run(2);
		if ((r = read(fd, got + n, sizeof got - 1 - n)) > 0)
			n += (size_t)r;
	}
	ck_assert_str_eq(got, text);
}

START_TEST(behind_stls_both_sides_are_joined)
{
	ck_assert_int_eq(conn_puts(ends.client, "queued\r\n"), 0);
	say(ends.far[1], "+OK\r\n");
	world_until(&ends.readable, 1);
	ck_assert_msg(ends.rc == 0, "%s", ends.e.text);
	ck_assert_uint_eq(through_count(), 1);
	hear(ends.far[0], "queued\r\n+OK begin\r\n");
	say(ends.far[0], "hello");
	hear(ends.far[1], "hello");
	say(ends.far[1], "back");
	hear(ends.far[0], "back");
	ck_assert_uint_eq(ends.left, 0);
	(void)shutdown(ends.far[0], SHUT_WR);
	(void)close(ends.far[1]);
	ends.far[1] = -1;
	world_until(&ends.left, 1);
	ck_assert_uint_eq(through_count(), 0);
	ck_assert_uint_eq(ends.closed, 0);
}
END_TEST

START_TEST(clear_text_behind_the_servers_answer_is_an_attack)
{
	say(ends.far[1], "+OK\r\n+OK more\r\n");
	world_until(&ends.readable, 1);
	ck_assert_int_eq(ends.rc, -1);
	ck_assert_int_eq(ends.e.code, EPROTO);
	ck_assert_uint_eq(through_count(), 0);
	ck_assert_uint_eq(ends.left, 0);
}
END_TEST

START_TEST(a_server_that_has_failed_meanwhile_is_gone)
{
	struct linger hard = {1, 0};

	ends.chatty = true;
	say(ends.far[1], "+OK\r\n");
	(void)setsockopt(ends.far[1], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	(void)close(ends.far[1]);
	ends.far[1] = -1;
	world_until(&ends.readable, 1);
	ck_assert_int_eq(ends.rc, -1);
	ck_assert_int_eq(ends.e.code, EPIPE);
	/* The client can be told; nobody else hears of the server's end. */
	ck_assert_int_eq(conn_puts(ends.client, "-ERR sorry\r\n"), 0);
	hear(ends.far[0], "-ERR sorry\r\n");
	world_run(50);
	ck_assert_uint_eq(ends.closed, 0);
	ck_assert_uint_eq(ends.left, 0);
	ck_assert_uint_eq(conn_count(), 1);
}
END_TEST

START_TEST(a_client_that_has_failed_meanwhile_is_its_owners)
{
	struct linger hard = {1, 0};

	(void)setsockopt(ends.far[0], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	(void)close(ends.far[0]);
	ends.far[0] = -1;
	while (ends.closed == 0)
		world_run(5);
	say(ends.far[1], "+OK\r\n");
	world_until(&ends.readable, 1);
	ck_assert_int_eq(ends.rc, -1);
	ck_assert_int_eq(ends.e.code, EPIPE);
	ck_assert_uint_eq(conn_count(), 1);
	ck_assert_uint_eq(through_count(), 0);
}
END_TEST

START_TEST(draining_ends_tunnels_and_lets_none_begin)
{
	say(ends.far[1], "+OK\r\n");
	world_until(&ends.readable, 1);
	ck_assert_uint_eq(through_count(), 1);
	through_drain();
	ck_assert_uint_eq(through_count(), 0);
	ck_assert_uint_eq(ends.left, 1);
	through_drain();
	/* The next one. */
	(void)close(ends.far[0]);
	(void)close(ends.far[1]);
	proxy_route_drop(ends.r);
	world_end();
	begin_stls();
	say(ends.far[1], "+OK\r\n");
	world_until(&ends.readable, 1);
	ck_assert_int_eq(ends.rc, -1);
	ck_assert_int_eq(ends.e.code, EAGAIN);
}
END_TEST

/* --- from the first octet on --- */

static int listening;
static unsigned refused;

static void
on_accept(const struct conf_connector *k, const struct conf_listener *l, int fd,
    const struct sockaddr_storage *from)
{
	through_accept(proxy_route_get(k, l->tls, proc_env()->conf), fd, from);
}

static void
on_refuse(enum proxy_refusal why, int fd, const struct sockaddr_storage *from)
{
	(void)why;
	(void)from;
	refused++;
	(void)close(fd);
}

static const struct proxy_service service = {on_accept, on_refuse};

/* One client at a time may come: whether it was counted out shows. */
static int
connect_client(uint16_t to)
{
	static bool listens;
	char config[500];
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct err e = {0};
	socklen_t n = sizeof in;
	char address[NETADDR_TEXT_MAX];
	int fd;

	if (!listens) {
		listens = true;
		listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(bind(listening, (struct sockaddr *)&in, n), 0);
		ck_assert_int_eq(listen(listening, 4), 0);
		ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&in, &n), 0);
		(void)snprintf(config, sizeof config,
		    "limits { sessions = 1 sessions_per_client = 1 }\n"
		    "peer p { service = pop3 host = 127.0.0.1 port = 110 tls_port = %u\n"
		    " tls = starttls verify = none }\n"
		    "action t { service = pop3 tls = allow }\n"
		    "connector c { service = pop3 listen_tls = {\"127.0.0.1:%u\"} peer = p\n"
		    " action = t tls = required }\n",
		    to, ntohs(in.sin_port));
		world_conf(config);
		(void)snprintf(
		    address, sizeof address, "127.0.0.1:%u", (unsigned)ntohs(in.sin_port));
		ck_assert_int_eq(
		    proxy_listen(&service, world_connector("c"), address, listening, &e), 0);
	}
	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&in, &n), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&in, n), 0);
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void
until_count(unsigned want)
{
	int i;

	for (i = 0; i < 1000 && through_count() != want; i++)
		world_run(5);
	ck_assert_uint_eq(through_count(), want);
}

START_TEST(a_tls_port_is_joined_with_the_peers)
{
	struct far far;
	char c;
	int fd;

	far_start(&far, "127.0.0.1", NULL);
	fd = connect_client(far.port);
	world_until(&far.accepted, 1);
	until_count(1);
	say(fd, "client hello");
	while (strcmp(far.got, "client hello") != 0)
		world_run(5);
	ck_assert_int_eq(conn_puts(far.c, "server hello"), 0);
	hear(fd, "server hello");
	(void)close(fd);
	until_count(0);
	/* The place is free again. */
	fd = connect_client(far.port);
	world_until(&far.accepted, 2);
	until_count(1);
	ck_assert_uint_eq(refused, 0);
	/* Draining ends what has begun. */
	through_drain();
	ck_assert_uint_eq(through_count(), 0);
	while (read(fd, &c, 1) == -1)
		world_run(5);
	(void)close(fd);
	proxy_unlisten_all();
	far_stop(&far);
}
END_TEST

START_TEST(a_peer_that_is_not_there_ends_it)
{
	struct far far;
	char c;
	int fd, i;

	far_start(&far, "127.0.0.1", NULL);
	far_stop(&far);
	for (i = 0; i < 2; i++) {
		fd = connect_client(far.port);
		while (read(fd, &c, 1) == -1)
			world_run(5);
		ck_assert_uint_eq(through_count(), 0);
		(void)close(fd);
	}
	ck_assert_uint_eq(refused, 0);
	upstream_status();
	ck_assert_ptr_null(world_fact("tls.signatures"));
	ck_assert_ptr_nonnull(strstr(world_fact("peer"), "Connection refused"));
	proxy_unlisten_all();
}
END_TEST

Suite *
through_suite(void)
{
	return unit_suite_around("through", begin_stls, end_stls,
	    (const TTest *const[]){behind_stls_both_sides_are_joined,
		clear_text_behind_the_servers_answer_is_an_attack,
		a_server_that_has_failed_meanwhile_is_gone,
		a_client_that_has_failed_meanwhile_is_its_owners,
		draining_ends_tunnels_and_lets_none_begin, NULL});
}

Suite *through_port_suite(void);

Suite *
through_port_suite(void)
{
	return unit_suite_around("through: a port of TLS", begin, world_end,
	    (const TTest *const[]){
		a_tls_port_is_joined_with_the_peers, a_peer_that_is_not_there_ends_it, NULL});
}

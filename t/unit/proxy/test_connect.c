/* The connection to a mail server: addresses, loops, sources, DANE. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/upstream_int.h"
#include "t/unit/proxy/trip.h"
#include "t/unit/unit.h"

Suite *connect_suite(void);

#define CONNECTOR "connector c { service = pop3 listen = {\"127.0.0.1:8110\"} tls = disabled"

static struct far far;
static struct trip trip;

static const struct proxy_route *
route(void)
{
	return proxy_route_get(world_connector("c"), CONF_TLS_NONE, proc_env()->conf);
}

/* A peer at this port. */
static const struct proxy_route *
peer_route(const char *host, uint16_t port, const char *more)
{
	char config[600];

	(void)snprintf(config, sizeof config,
	    "peer p { service = pop3 host = \"%s\" port = %u %s }\n" CONNECTOR " peer = p }\n",
	    host, port, more);
	world_conf(config);
	return route();
}

static void
begin(void)
{
	world_begin(CONNECTOR " transparent = redirect }\n");
	far_start(&far, "127.0.0.1", NULL);
}

static void
end(void)
{
	trip_end(&trip);
	far_stop(&far);
	world_end();
}

static void
answer_addresses(int status, int secure, const char *text, const char *const *addrs)
{
	struct dns_addr v[4];
	struct netaddr a[4];
	struct dns_addr_rep rep = {
	    .status = (uint8_t)status, .secure = (uint8_t)secure, .text = text, .addrs = {v, 0}};

	for (; *addrs != NULL; addrs++) {
		ck_assert_int_eq(netaddr_parse_host(*addrs, &a[rep.addrs.n]), 0);
		v[rep.addrs.n].ip =
		    (struct bytes){a[rep.addrs.n].addr, a[rep.addrs.n].family == AF_INET ? 4 : 16};
		rep.addrs.n++;
	}
	world_answer(M_dns_addr_req, &rep);
}

START_TEST(the_first_address_that_answers_is_taken)
{
	const struct dns_addr_req *q;

	trip_connect(&trip, peer_route("mail.test", far.port, "tls = starttls"), NULL);
	ck_assert_str_eq(upstream_name(trip.u), "mail.test");
	q = world_asked(M_dns_addr_req)->body;
	ck_assert_str_eq(q->name, "mail.test");
	answer_addresses(DNS_OK, 0, "", (const char *[]){"127.0.0.99", "127.0.0.1", NULL});
	trip_connected(&trip);
	ck_assert_str_eq(trip.text, "");
	ck_assert_ptr_nonnull(trip.c);
	world_until(&far.accepted, 1);
}
END_TEST

START_TEST(why_there_is_no_connection_is_told)
{
	static const struct {
		int status; /* -1: dnsd is silent */
		const char *text, *addrs[3], *told;
	} t[] = {
	    {DNS_NOTFOUND, "no such name", {NULL}, "mail.test: no such name"},
	    {DNS_TEMPFAIL, "", {NULL}, "mail.test: no address"},
	    {DNS_BOGUS, "b\n\x1bogus", {NULL}, "mail.test: b\\x0A\\x1Bogus"},
	    {DNS_OK, "", {NULL}, "mail.test: no address"},
	    {DNS_OK, "", {"127.0.0.99", "127.0.0.98", NULL}, "Connection refused"},
	    {-1, "", {NULL}, "mail.test: no answer from dnsd (Connection timed out)"},
	};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		trip_connect(&trip, peer_route("mail.test", far.port, "tls = starttls"), NULL);
		if (t[i].status == -1)
			world_fail(M_dns_addr_req, ETIMEDOUT);
		else
			answer_addresses(t[i].status, 0, t[i].text, t[i].addrs);
		trip_connected(&trip);
		ck_assert_ptr_null(trip.c);
		ck_assert_msg(strstr(trip.text, t[i].told) != NULL, "%s", trip.text);
		if (i + 1 < sizeof t / sizeof t[0])
			trip_end(&trip);
	}
}
END_TEST

START_TEST(it_can_be_given_up_at_any_time)
{
	const struct proxy_route *r = peer_route("mail.test", far.port, "tls = starttls");

	/* While dnsd thinks, while it connects, within the callback; and nobody asks any more. */
	trip_connect(&trip, r, NULL);
	upstream_free(trip.u);
	ck_assert_uint_eq(world_count(M_dns_addr_req), 0);
	trip_connect(&trip, r, NULL);
	answer_addresses(DNS_OK, 0, "", (const char *[]){"127.0.0.1", NULL});
	upstream_free(trip.u);
	trip_connect(&trip, r, NULL);
	trip.free_in_callback = true;
	answer_addresses(DNS_NOTFOUND, 0, "", (const char *[]){NULL});
	trip_connected(&trip);
	ck_assert_ptr_null(trip.u);
	world_refuses = true;
	trip_connect(&trip, r, NULL);
	trip.free_in_callback = true;
	trip_connected(&trip);
	ck_assert_str_eq(trip.text, "cannot ask dnsd: Cannot allocate memory");
	ck_assert_ptr_null(trip.u);
	world_run(20);
	ck_assert_uint_eq(trip.connected, 1);
}
END_TEST

START_TEST(a_client_gets_where_it_wanted_to_go)
{
	struct proxy_target to;
	char name[32];

	far_target(&to, "127.0.0.1", far.port);
	trip_connect(&trip, route(), &to);
	(void)snprintf(name, sizeof name, "127.0.0.1:%u", far.port);
	ck_assert_str_eq(upstream_name(trip.u), name);
	trip_connected(&trip);
	ck_assert_ptr_nonnull(trip.c);
	ck_assert_uint_eq(world_count(M_dns_addr_req), 0);
}
END_TEST

START_TEST(our_own_listeners_are_a_loop)
{
	static const struct {
		const char *listen, *port; /* "": the server's */
		const char *host;
		bool loop;
	} t[] = {
	    {"127.0.0.1", "", "127.0.0.1", true},
	    {"127.0.0.2", "", "127.0.0.1", false}, /* another address */
	    {"127.0.0.1", "9", "127.0.0.1", false}, /* another port */
	    {"0.0.0.0", "", "127.0.0.1", true},
	    {"0.0.0.0", "", "127.3.2.1", true}, /* it has no address of its own at both ends */
	    {"[::]", "", "127.0.0.1", false}, /* bound for IPv6 only */
	    {"0.0.0.0", "", "203.0.113.1", false}, /* somebody else's */
	};
	char config[300], port[8];
	struct proxy_target to;
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		(void)snprintf(port, sizeof port, "%u", far.port);
		(void)snprintf(config, sizeof config,
		    "connector c { service = pop3 listen = {\"%s:%s\"} tls = disabled\n"
		    " transparent = tproxy }\n",
		    t[i].listen, t[i].port[0] != '\0' ? t[i].port : port);
		world_conf(config);
		far_target(&to, t[i].host, far.port);
		ck_assert_msg(proxy_is_ours(&to.to, false) == t[i].loop, "%zu", i);
		if (!t[i].loop)
			continue;
		trip_connect(&trip, route(), &to);
		trip_connected(&trip);
		ck_assert_ptr_null(trip.c);
		ck_assert_ptr_nonnull(strstr(trip.text, "loop"));
		trip_end(&trip);
	}
	ck_assert_uint_eq(far.accepted, 0);
	memset(&trip, 0, sizeof trip);
}
END_TEST

static int
bound_to(const char *host)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct proxy_target t;

	far_target(&t, host, 0);
	((struct sockaddr_in *)&t.to)->sin_port = 0;
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&t.to, sizeof(struct sockaddr_in)), 0);
	return fd;
}

START_TEST(with_keep_source_the_socket_is_masters)
{
	const struct proxy_route *r;
	struct proxy_target to;
	char from[64];
	struct netaddr a;

	world_conf(CONNECTOR " transparent = tproxy keep_source = yes }\n");
	r = route();
	far_target(&to, "127.0.0.1", far.port);
	((struct sockaddr_in *)&to.from)->sin_addr.s_addr = htonl(INADDR_LOOPBACK + 6);
	/* Given up, refused, and made. */
	trip_connect(&trip, r, &to);
	ck_assert_ptr_nonnull(world_source);
	upstream_free(trip.u);
	ck_assert_ptr_null(world_source);
	trip_connect(&trip, r, &to);
	world_give_source(-1, "not\nallowed");
	trip_connected(&trip);
	ck_assert_str_eq(trip.text, "not\\x0Aallowed");
	upstream_free(trip.u);
	trip_connect(&trip, r, &to);
	ck_assert_str_eq(world_source->connector, "c");
	ck_assert_uint_eq(world_source->n, 4);
	ck_assert_int_eq(memcmp(world_source->ip, "\x7f\0\0\x07", 4), 0);
	world_give_source(bound_to("127.0.0.7"), "");
	trip_connected(&trip);
	ck_assert_ptr_nonnull(trip.c);
	world_until(&far.accepted, 1);
	ck_assert_int_eq(netaddr_from_sockaddr(&a, (struct sockaddr *)&far.from), 0);
	a.port = 0;
	ck_assert_str_eq(netaddr_format(from, sizeof from, ':', &a), "127.0.0.7");
}
END_TEST

START_TEST(what_came_to_us_directly_has_no_target)
{
	struct proxy_target t;
	struct err e = {0};
	socklen_t n = sizeof t.from;
	struct sockaddr_storage from;
	int fd = bound_to("127.0.0.1");

	far_target(&t, "127.0.0.1", far.port);
	(void)connect(fd, (struct sockaddr *)&t.to, sizeof(struct sockaddr_in));
	world_until(&far.accepted, 1);
	from = far.from;
	(void)n;
	memset(&trip, 0, sizeof trip);
	trip.r = route();
	ck_assert_int_eq(proxy_target_of(trip.r, conn_fd(far.c), &from, &t, &e), -1);
	ck_assert_msg(e.code == EINVAL || e.code == ELOOP || e.code == ENOPROTOOPT, "%s", e.text);
	proxy_route_drop(trip.r);
	/* With TPROXY the address at our end is the server's; ours is refused. */
	world_conf(CONNECTOR " transparent = tproxy }\n");
	trip.r = route();
	ck_assert_msg(proxy_target_of(trip.r, conn_fd(far.c), &from, &t, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(ntohs(((struct sockaddr_in *)&t.to)->sin_port), far.port);
	(void)close(fd);
}
END_TEST

/* --- DANE --- */

#define DANE "tls = starttls verify = dane"

static void
answer_records(int status, int secure, size_t n)
{
	struct dns_tlsa v = {3, 1, 1, {(const uint8_t *)"01234567890123456789012345678901", 32}};
	struct dns_tlsa_rep rep = {
	    .status = (uint8_t)status, .secure = (uint8_t)secure, .text = "", .records = {&v, n}};

	world_answer(M_dns_tlsa_req, &rep);
}

START_TEST(dane_waits_for_records_and_for_the_connection)
{
	const struct dns_tlsa_req *q;
	char name[64];
	int first;

	for (first = 0; first < 2; first++) {
		trip_connect(&trip, peer_route("mail.test", far.port, DANE), NULL);
		answer_addresses(DNS_OK, 1, "", (const char *[]){"127.0.0.1", NULL});
		q = world_asked(M_dns_tlsa_req)->body;
		(void)snprintf(name, sizeof name, "_%u._tcp.mail.test", far.port);
		ck_assert_str_eq(q->name, name);
		if (first == 0)
			answer_records(DNS_OK, 1, 1);
		else
			world_run(50);
		ck_assert_uint_eq(trip.connected, 0);
		if (first == 1)
			answer_records(DNS_OK, 1, 1);
		trip_connected(&trip);
		ck_assert_ptr_nonnull(trip.c);
		ck_assert_int_eq((int)trip.u->dane, DANE_SECURE);
		ck_assert_uint_eq(trip.u->nrecords, 1);
		ck_assert_uint_eq(trip.u->records[0].usage, 3);
		ck_assert_int_eq(memcmp(trip.u->records[0].data, "0123", 4), 0);
		if (first == 0)
			trip_end(&trip);
	}
}
END_TEST

START_TEST(dane_without_records_that_dnssec_vouches_for_is_no_tls)
{
	static const struct {
		int addr_secure, status, secure; /* status -1: no answer */
		size_t n;
		int code;
	} t[] = {
	    {0, 0, 0, 0, ENOTSUP}, /* not even asked for */
	    {1, DNS_NOTFOUND, 1, 0, ENOTSUP},
	    {1, DNS_NOTFOUND, 0, 0, ENOTSUP},
	    {1, DNS_OK, 0, 0, ENOTSUP},
	    {1, DNS_OK, 0, 1, ENOTSUP},
	    {1, DNS_OK, 1, 0, ENOTSUP},
	    {1, DNS_TEMPFAIL, 0, 0, EAGAIN},
	    {1, DNS_BOGUS, 0, 0, EAGAIN},
	    {1, -1, 0, 0, EAGAIN},
	};
	struct err e = {0};
	size_t i;

	world_file("/etc/ssl/certs/ca-certificates.crt", NULL);
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		trip_connect(&trip, peer_route("mail.test", far.port, DANE), NULL);
		ck_assert_msg(upstream_prepare(proc_env()->conf, &e) == 0, "%s", e.text);
		upstream_commit();
		answer_addresses(DNS_OK, t[i].addr_secure, "", (const char *[]){"127.0.0.1", NULL});
		ck_assert_uint_eq(world_count(M_dns_tlsa_req), (unsigned)t[i].addr_secure);
		if (t[i].addr_secure && t[i].status == -1)
			world_fail(M_dns_tlsa_req, ETIMEDOUT);
		else if (t[i].addr_secure)
			answer_records(t[i].status, t[i].secure, t[i].n);
		trip_connected(&trip);
		ck_assert_ptr_nonnull(trip.c);
		ck_assert_int_eq(upstream_start_tls(trip.u, trip.c, NULL, &e), -1);
		ck_assert_msg(e.code == t[i].code, "%zu: %s", i, e.text);
		ck_assert_ptr_nonnull(strstr(e.text, "mail.test"));
		if (i + 1 < sizeof t / sizeof t[0])
			trip_end(&trip);
	}
}
END_TEST

START_TEST(dane_can_be_given_up_while_dnsd_is_asked)
{
	const struct proxy_route *r = peer_route("mail.test", far.port, DANE);

	trip_connect(&trip, r, NULL);
	answer_addresses(DNS_OK, 1, "", (const char *[]){"127.0.0.1", NULL});
	upstream_free(trip.u);
	ck_assert_uint_eq(world_count(M_dns_tlsa_req), 0);
	/* The connection fails meanwhile: that is told, and nothing after it. */
	trip_connect(&trip, r, NULL);
	answer_addresses(DNS_OK, 1, "", (const char *[]){"127.0.0.99", NULL});
	trip_connected(&trip);
	ck_assert_ptr_nonnull(strstr(trip.text, "refused"));
	answer_records(DNS_OK, 1, 1);
	world_run(20);
	ck_assert_uint_eq(trip.connected, 1);
	upstream_free(trip.u);
	/* It is there, nobody has taken it, and nobody will. */
	trip_connect(&trip, r, NULL);
	answer_addresses(DNS_OK, 1, "", (const char *[]){"127.0.0.1", NULL});
	world_until(&far.accepted, 1);
	world_run(20);
	ck_assert_int_ne(trip.u->fd, -1);
}
END_TEST

Suite *
connect_suite(void)
{
	return unit_suite_around("connect", begin, end,
	    (const TTest *const[]){the_first_address_that_answers_is_taken,
		why_there_is_no_connection_is_told, it_can_be_given_up_at_any_time,
		a_client_gets_where_it_wanted_to_go, our_own_listeners_are_a_loop,
		with_keep_source_the_socket_is_masters, what_came_to_us_directly_has_no_target,
		dane_waits_for_records_and_for_the_connection,
		dane_without_records_that_dnssec_vouches_for_is_no_tls,
		dane_can_be_given_up_while_dnsd_is_asked, NULL});
}

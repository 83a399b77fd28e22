#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/unit/conf/told.h"
#include "t/unit/unit.h"

Suite *queue_suite(void);

#define MX "connector mx { service = mx listen = {\"127.0.0.1:2525\"} tls = disabled }\n"
#define RELAY(rest)                                                                                \
	"connector out { service = relay listen = {\"127.0.0.1:2526\"} tls = disabled " rest "}\n"
#define SUBMIT(rest)                                                                               \
	"connector in { service = submission listen = {\"127.0.0.1:2527\"} tls = disabled " rest   \
	"}\n"
#define ROUTE(name, rest) "route " name " { " rest " }\n"

START_TEST(mistakes_of_the_queue_are_told)
{
	static const struct {
		const char *text, *told;
	} cases[] = {
	    {RELAY(""), "f:1: connector \"out\": nobody could send"},
	    {RELAY("relay_clients = {\"0.0.0.0/0\"}"), "f:1: relay_clients: everybody could relay"},
	    {RELAY("relay_clients = {\"::/0\"}"), "f:1: relay_clients: everybody could relay"},
	    {RELAY("relay_clients = {\"::ffff:0.0.0.0/96\"}"), "everybody could relay"},
	    {RELAY("relay_clients = {\"::/64\"}"), "everybody could relay"},
	    {RELAY("auth = peer"), "auth = peer needs peer = NAME"},
	    {RELAY("auth = sasl"), "auth = sasl and sasl_socket go together"},
	    {RELAY("auth = peer peer = p"), "peer = p: there is no such peer"},
	    {RELAY("relay_clients = {\"10.0.0.0/8\"} peer = p"), "for auth = peer only"},
	    {RELAY("relay_certificates = "
		   "{\"0011223344556677889900112233445566778899001122334455667788990011\"}"),
		"relay_certificates: no client is asked for one"},
	    {SUBMIT(""), "f:1: connector \"in\": nobody could log in"},
	    {SUBMIT("auth = sasl sasl_socket = /s relay_clients = {\"10.0.0.0/8\"}"),
		"relay_clients stands in connector \"in\" of service submission"},
	    {"peer in { service = smtp host = a.test tls = none }\n" SUBMIT(
		 "auth = sasl sasl_socket = /s"),
		"connector \"in\": a peer (line 1) has the same name"},
	    {MX GOOD CONN("d", "127.0.0.1:3", "inbound = decrypt"),
		"inbound stands in connector \"d\" of service smtp"},
	    {MX GOOD CONN("d", "127.0.0.1:3", "xclient = {\"10.0.0.1\"}"),
		"xclient stands in connector \"d\""},
	    {"connector mx { service = mx listen = {\"127.0.0.1:1\"} tls = disabled second_factor "
	     "= "
	     "password }\n",
		"second_factor stands in connector \"mx\" of service mx"},
	    {"connector mx { service = mx listen = {\"127.0.0.1:1\"} tls = disabled transparent = "
	     "tproxy }\n",
		"transparent stands in connector \"mx\" of service mx"},
	    {"connector mx { service = mx listen = {\"127.0.0.1:1\"} tls = disabled gate = g }\n",
		"gate = g: there is no such gate"},
	    {"connector mx { service = mx listen = {\"127.0.0.1:1\"} tls = disabled proxy_protocol "
	     "= {\"0.0.0.0/0\"} }\n",
		"proxy_protocol: everybody could be anybody"},
	    {MX "gate g { dnsbl = {\"a.example\", \"b.example=1.2.3\"} }\n",
		"f:2: dnsbl = b.example=1.2.3: write ZONE"},
	    {MX ROUTE("r", "servers = {\"a\"}"), "f:2: route \"r\" has no domains"},
	    {MX ROUTE("r", "domains = {\"a..b\"}"), "f:2: domains = a..b: write example.org"},
	    {MX ROUTE("r", "domains = {\"a.b\"}") ROUTE("s", "domains = {\"c\",\n\"A.b\"}"),
		"f:4: domains = A.b: route \"r\" in line 2 has it already"},
	    {MX ROUTE("r", "domains = {\"*\"} servers = {\"127.0.0.1:2525\"}"),
		"servers = 127.0.0.1:2525: that is a connector of our own"},
	    {MX ROUTE("r", "domains = {\"*\"} servers = {\"a:0\"}"), "servers = a:0: write HOST"},
	    {MX ROUTE("r", "domains = {\"*\"} fallback = {\"x/a\"}"), "fallback = x/a: write HOST"},
	    {MX ROUTE("r", "domains = {\"*\"} login = me"), "login and password_file go together"},
	    {MX ROUTE("r", "domains = {\"*\"} servers = {\"a\"} login = me password_file = /p"),
		"the password could go out in clear"},
	    {MX ROUTE("r", "domains = {\"*\"} login = me password_file = /p tls = verify"),
		"whatever server the MX name"},
	    {MX ROUTE("r", "domains = {\"*\"} implicit = yes tls = none"), "implicit is TLS"},
	    {MX ROUTE("r", "domains = {\"*\"} tls = dane dane = no"), "contradict each other"},
	    {MX ROUTE("r", "domains = {\"*\"} protocol = lmtp"), "MX are of SMTP"},
	    {MX ROUTE("r", "domains = {\"*\"} profile = x"), "there is no such TLS profile"},
	    {MX "queue { retry_min = 5000 }\n", "f:2: queue: retry_min is larger"},
	    {MX "queue { size = 64M\nsegment = 17M }\n", "f:3: queue: segment is more"},
	    {MX "queue { postmaster = me }\n", "f:2: postmaster = me: that is no address"},
	    {MX "queue { tls_reports = yes }\n", "f:2: queue: reports have a sender"},
	    {MX "log { metrics = \"0.0.0.0:9090\" }\n", "f:2: metrics = 0.0.0.0:9090: write"},
	    {MX "log { metrics = \"metrics\" }\n", "f:2: metrics = metrics: write"},
	};
	static struct told t;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(load(cases[i].text, &t) == NULL, "accepted: %s", cases[i].text);
		ck_assert_msg(strstr(t.all, cases[i].told) != NULL, "%s\nsaid %s\nnot %s",
		    cases[i].text, t.all, cases[i].told);
	}
}
END_TEST

START_TEST(a_gateway_of_the_queue_loads_and_dumps)
{
	static struct told t;
	struct conf *c = load(
	    MX RELAY("relay_clients = {\"10.0.0.0/8\", \"fd00::/8\"}")
		SUBMIT("auth = sasl sasl_socket = /run/auth login_domain = example.org")
		    ROUTE("all", "domains = {\"*\"} servers = {\"10/a*3\", \"mx:b.example\"}")
			ROUTE("local", "domains = {\"example.org\"} servers = {\"[::1]:24\"} "
				       "protocol = lmtp") "gate strict { greylist = yes dnsbl = "
							  "{\"z.example=127.0.0.[2..11]*3\"} }\n"
							  "log { metrics = \"127.0.0.1:9090\" }\n",
	    &t);

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_uint_eq(c->connectors[0].bound[0].addr.port, 2525);
	ck_assert_str_eq(c->connectors[0].gate->name, "default");
	ck_assert_ptr_null(c->connectors[1].gate);
	ck_assert_int_eq(c->connectors[0].starttls, CONF_STARTTLS_OPTIONAL);
	ck_assert(conf_has_queue(c));
	check_dump(c);
	conf_free(c);
}
END_TEST

START_TEST(an_address_alone_is_port_25_of_an_mx)
{
	static struct told t;
	struct conf *c = load("connector mx { service = mx listen = {\"192.0.2.1\"} certificates = "
			      "{\"/c.pem\"} }\n",
	    &t);

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_uint_eq(c->connectors[0].nbound, 1);
	ck_assert_uint_eq(c->connectors[0].bound[0].addr.port, 25);
	ck_assert_int_eq(c->connectors[0].bound[0].tls, CONF_TLS_STARTTLS);
	/* The world is not made to have TLS. */
	ck_assert_int_eq(c->connectors[0].starttls, CONF_STARTTLS_OPTIONAL);
	conf_free(c);
}
END_TEST

START_TEST(the_longest_domain_has_the_route)
{
	static const struct {
		const char *domain, *route;
	} cases[] = {
	    {"example.org", "exact"},
	    {"EXAMPLE.org", "exact"},
	    {"a.example.org", "below"},
	    {"x.a.example.org", "below"},
	    {"x.deep.example.org", "deep"},
	    {"deep.example.org", "below"},
	    {"notexample.org", "rest"},
	    {"org", "rest"},
	};
	static struct told t;
	struct conf *c = load(MX ROUTE("rest", "domains = {\"*\"}")
				  ROUTE("below", "domains = {\".example.org\"}")
				      ROUTE("exact", "domains = {\"example.org\"}")
					  ROUTE("deep", "domains = {\".deep.example.org\"}"),
	    &t);
	size_t i;

	ck_assert_msg(c != NULL, "%s", t.all);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_msg(strcmp(conf_route_of(c, cases[i].domain)->name, cases[i].route) == 0,
		    "%s: %s", cases[i].domain, conf_route_of(c, cases[i].domain)->name);
	conf_free(c);
}
END_TEST

START_TEST(servers_are_taken_apart)
{
	static const struct {
		const char *text, *host;
		unsigned port, priority, weight;
		int mx;
	} good[] = {
	    {"a", "a", 0, 0, 1, 0},
	    {"a.example:25", "a.example", 25, 0, 1, 0},
	    {"10/a*3", "a", 0, 10, 3, 0},
	    {"[::1]:24", "::1", 24, 0, 1, 0},
	    {"[::1]", "::1", 0, 0, 1, 0},
	    {"1/mx:b.example", "b.example", 0, 1, 1, 1},
	    {"192.0.2.1:65535*1000", "192.0.2.1", 65535, 0, 1000, 0},
	};
	static const char *const bad[] = {"", "a:", "a:0", "a:65536", "a*0", "a*1001", "-1/a", "/a",
	    "65536/a", "a b", "mx:", "mx:192.0.2.1:x", "[::1", "a*", "a:25:25", "*3", "10/"};
	struct conf_server s;
	size_t i;

	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		ck_assert_msg(conf_server_parse(good[i].text, &s) == 0, "%s", good[i].text);
		ck_assert_str_eq(s.host, good[i].host);
		ck_assert_uint_eq(s.port, good[i].port);
		ck_assert_uint_eq(s.priority, good[i].priority);
		ck_assert_uint_eq(s.weight, good[i].weight);
		ck_assert_int_eq(s.mx, good[i].mx);
	}
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(conf_server_parse(bad[i], &s) == -1, "accepted: %s", bad[i]);
}
END_TEST

START_TEST(lists_of_addresses_are_taken_apart)
{
	static const char *const bad[] = {"", "=127.0.0.1", "a=", "a=1.2.3", "a*", "a*1001",
	    "a=127.0.0.[5..2]", "a=127.0.0.[2..256]", "a=127.0.0.[2-3]", "a b"};
	struct conf_dnsbl d;
	size_t i;

	ck_assert_int_eq(conf_dnsbl_parse("z.example", &d), 0);
	ck_assert_int_eq(d.weight, 1);
	ck_assert_int_eq(d.low[0], 127);
	ck_assert_int_eq(d.high[3], 255);
	ck_assert_int_eq(conf_dnsbl_parse("z.example=127.0.0.[2..11]*-3", &d), 0);
	ck_assert_str_eq(d.zone, "z.example");
	ck_assert_int_eq(d.weight, -3);
	ck_assert_int_eq(d.low[3], 2);
	ck_assert_int_eq(d.high[3], 11);
	ck_assert_int_eq(conf_dnsbl_parse("z.example=127.0.1.4", &d), 0);
	ck_assert_int_eq(d.low[2], 1);
	ck_assert_int_eq(d.high[2], 1);
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(conf_dnsbl_parse(bad[i], &d) == -1, "accepted: %s", bad[i]);
}
END_TEST

Suite *
queue_suite(void)
{
	Suite *s = suite_create("queue");
	TCase *c = tcase_create("queue");

	tcase_add_test(c, mistakes_of_the_queue_are_told);
	tcase_add_test(c, a_gateway_of_the_queue_loads_and_dumps);
	tcase_add_test(c, an_address_alone_is_port_25_of_an_mx);
	tcase_add_test(c, the_longest_domain_has_the_route);
	tcase_add_test(c, servers_are_taken_apart);
	tcase_add_test(c, lists_of_addresses_are_taken_apart);
	suite_add_tcase(s, c);
	return s;
}

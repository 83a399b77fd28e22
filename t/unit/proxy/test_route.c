#include <stdio.h>
#include <string.h>

#include "proxy/route.h"
#include "t/unit/proxy/world.h"
#include "t/unit/unit.h"

static struct conf_profile profile = {.name = (char[]){"default"}};
static struct conf_peer peer = {.name = (char[]){"office"},
    .service = CONF_POP3,
    .host = (char[]){"mail.example.org"},
    .port = 995,
    .server_name = (char[]){"mail.example.org"},
    .ca_file = (char[]){"/ca.pem"},
    .profile = &profile,
    .login_domain = (char[]){"example.org"}};
static struct conf_connector connector = {
    .name = (char[]){"pop3"}, .tenant = (char[]){"default"}, .peer = &peer};

START_TEST(sessions_of_one_listener_share_a_route)
{
	struct conf c = {.node.hostname = (char[]){"gw.example.org"}};
	const struct proxy_route *a = proxy_route_get(&connector, CONF_TLS_STARTTLS, &c), *b,
				 *changed;

	ck_assert_ptr_nonnull(a);
	b = proxy_route_get(&connector, CONF_TLS_STARTTLS, &c);
	ck_assert_ptr_eq(a, b);
	ck_assert_str_eq(a->login_domain, "example.org");
	ck_assert_int_eq(a->tls_required, 0);
	/* The other kind of port has its own. */
	changed = proxy_route_get(&connector, CONF_TLS_IMPLICIT, &c);
	ck_assert_ptr_ne(a, changed);
	ck_assert_int_eq(changed->client_tls, CONF_TLS_IMPLICIT);
	ck_assert_int_eq(changed->tls_required, 1);
	proxy_route_drop(changed);
	/* After a reload the old one stays as it is. */
	c.limits.errors = 7;
	proxy_route_renew();
	changed = proxy_route_get(&connector, CONF_TLS_STARTTLS, &c);
	ck_assert_ptr_ne(a, changed);
	ck_assert_uint_eq(a->limits.errors, 0);
	ck_assert_uint_eq(changed->limits.errors, 7);
	proxy_route_drop(a);
	ck_assert_str_eq(b->connector, "pop3");
	proxy_route_drop(b);
	proxy_route_drop(changed);
	proxy_route_drop(NULL);
}
END_TEST

/* --- whose login it is --- */

#define PROFILES                                                                                   \
	"tls_profile x { ca_file = /ca.pem ocsp = lenient names = {\"alias.test=mail.test\"} }\n"  \
	"tls_profile off { ca_file = /ca.pem ocsp = off }\n"                                       \
	"tls_profile strict { ca_file = /ca.pem ocsp = strict }\n"                                 \
	"tls_profile pinned { verify = fingerprint\n fingerprints = {\"" PRINT                     \
	"\"} ca_file = /ca.pem "                                                                   \
	"}\n"
#define PRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

START_TEST(a_verified_name_is_a_peer_only_with_the_peers_own_proof)
{
	static const struct {
		const char *peer, *profile, *asked;
		bool is;
	} t[] = {
	    {"profile = x", "x", "mail.test", true},
	    {"profile = x", "x", "MAIL.test", true},
	    {"profile = off", "x", "mail.test", true}, /* more was asked than it takes */
	    {"profile = x", "x", "other.test", false},
	    {"profile = x", "x", "", false},
	    /* The certificate was another's. */
	    {"profile = x server_name = alias.test", "x", "alias.test", true},
	    {"profile = off server_name = alias.test", "x", "alias.test", false},
	    /* Other authorities, less of keyd, a name that nobody has looked at. */
	    {"profile = x ca_file = /own.pem", "x", "mail.test", false},
	    {"profile = strict", "x", "mail.test", false},
	    {"profile = x", "pinned", "mail.test", false},
	    {"profile = pinned", "pinned", "mail.test", false},
	    {"profile = x verify = dane", "x", "mail.test", false},
	    {"profile = x service = smtp", "x", "mail.test", false},
	};
	const struct proxy_route *r, *named;
	char config[1000];
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		(void)snprintf(config, sizeof config,
		    PROFILES "peer office { %s host = mail.test %s login_domain = acme.test }\n"
			     "action a { service = pop3 profile = %s }\n"
			     "connector c { service = pop3 listen_tls = {\"127.0.0.1:8995\"}\n"
			     " action = a tls = required transparent = tproxy }\n",
		    strstr(t[i].peer, "service") == NULL ? "service = pop3" : "", t[i].peer,
		    t[i].profile);
		world_conf(config);
		r = proxy_route_get(world_connector("c"), CONF_TLS_IMPLICIT, proc_env()->conf);
		ck_assert_str_eq(r->peer, "");
		named = proxy_route_named(r, t[i].asked);
		ck_assert_msg((named != r) == t[i].is, "%zu", i);
		ck_assert_str_eq(named->peer, t[i].is ? "office" : "");
		ck_assert_str_eq(named->login_domain, t[i].is ? "acme.test" : "");
		ck_assert_str_eq(named->host, "");
		ck_assert_str_eq(named->connector, "c");
		proxy_route_drop(r);
		ck_assert_str_eq(named->connector, "c");
		proxy_route_drop(named);
	}
}
END_TEST

START_TEST(after_a_reload_without_its_connector_a_name_is_nobodys)
{
	const struct proxy_route *r, *named;

	world_conf(PROFILES "peer office { service = pop3 host = mail.test profile = x }\n"
			    "action a { service = pop3 profile = x }\n"
			    "connector c { service = pop3 listen_tls = {\"127.0.0.1:8995\"}\n"
			    " action = a tls = required transparent = tproxy }\n");
	r = proxy_route_get(world_connector("c"), CONF_TLS_IMPLICIT, proc_env()->conf);
	world_conf("peer office { service = pop3 host = mail.test }\n"
		   "connector d { service = pop3 listen = {\"127.0.0.1:8110\"} peer = office\n"
		   " tls = disabled }\n");
	named = proxy_route_named(r, "mail.test");
	ck_assert_ptr_eq(named, r);
	proxy_route_drop(named);
	proxy_route_drop(r);
}
END_TEST

/* Else a password would do where a second factor is asked for. */
START_TEST(the_name_of_a_peer_behind_a_second_factor_is_nobodys)
{
	const struct proxy_route *r, *named;

	world_conf(
	    PROFILES "peer office { service = pop3 host = mail.test profile = x }\n"
		     "action a { service = pop3 profile = x }\n"
		     "connector c { service = pop3 listen_tls = {\"127.0.0.1:8995\"}\n"
		     " action = a tls = required transparent = tproxy }\n"
		     "connector d { service = pop3 listen = {\"127.0.0.1:8110\"} peer = office\n"
		     " tls = disabled second_factor = password }\n");
	r = proxy_route_get(world_connector("c"), CONF_TLS_IMPLICIT, proc_env()->conf);
	named = proxy_route_named(r, "mail.test");
	ck_assert_str_eq(named->peer, "");
	proxy_route_drop(named);
	proxy_route_drop(r);
}
END_TEST

/* Its operator can say yes to any login. */
START_TEST(the_name_of_another_tenants_peer_is_nobodys)
{
	static const struct {
		const char *tenants[2]; /* of the peer's connectors; "": there is none */
		const char *peer;
	} t[] = {
	    {{"", ""}, "office"},
	    {{"acme", ""}, "office"},
	    {{"other", ""}, ""},
	    {{"other", "acme"}, "office"},
	};
	const struct proxy_route *r, *named;
	char config[1500];
	unsigned i, j, n;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		n = (unsigned)snprintf(config, sizeof config,
		    PROFILES "peer office { service = pop3 host = mail.test profile = x }\n"
			     "action a { service = pop3 profile = x }\n"
			     "connector c { service = pop3 listen_tls = {\"127.0.0.1:8995\"}\n"
			     " action = a tls = required transparent = tproxy tenant = acme }\n");
		for (j = 0; j < 2; j++)
			if (*t[i].tenants[j] != '\0')
				n += (unsigned)snprintf(config + n, sizeof config - n,
				    "connector d%u { service = pop3 peer = office tls = disabled\n"
				    " listen = {\"127.0.0.1:811%u\"} tenant = %s }\n",
				    j, j, t[i].tenants[j]);
		world_conf(config);
		r = proxy_route_get(world_connector("c"), CONF_TLS_IMPLICIT, proc_env()->conf);
		named = proxy_route_named(r, "mail.test");
		ck_assert_str_eq(named->peer, t[i].peer);
		proxy_route_drop(named);
		proxy_route_drop(r);
	}
}
END_TEST

static void
begin(void)
{
	world_begin("peer p { service = pop3 host = 127.0.0.1 tls = none }\n"
		    "connector c { service = pop3 listen = {\"127.0.0.1:8110\"} peer = p\n"
		    " tls = disabled }\n");
}

Suite *route_suite(void);
Suite *named_suite(void);

Suite *
named_suite(void)
{
	return unit_suite_around("named routes", begin, world_end,
	    (const TTest *const[]){a_verified_name_is_a_peer_only_with_the_peers_own_proof,
		after_a_reload_without_its_connector_a_name_is_nobodys,
		the_name_of_a_peer_behind_a_second_factor_is_nobodys,
		the_name_of_another_tenants_peer_is_nobodys, NULL});
}

Suite *
route_suite(void)
{
	return unit_suite(
	    "route", (const TTest *const[]){sessions_of_one_listener_share_a_route, NULL});
}

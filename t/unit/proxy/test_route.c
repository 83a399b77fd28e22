#include <string.h>

#include "proxy/route.h"
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

Suite *route_suite(void);

Suite *
route_suite(void)
{
	return unit_suite(
	    "route", (const TTest *const[]){sessions_of_one_listener_share_a_route, NULL});
}

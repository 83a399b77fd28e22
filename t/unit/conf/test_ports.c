/* What connectors listen on. */
#include <stdio.h>
#include <string.h>

#include "t/unit/conf/told.h"
#include "t/unit/unit.h"

Suite *ports_suite(void);

#define NODE "node { hostname = gw.test certificates = {mail} }\n"
#define POP "peer p { service = pop3 host = 127.0.0.1 port = 2110 tls = none }\n"

/* "127.0.0.1:110 starttls, 127.0.0.1:995 implicit" */
static const char *
bound_text(const struct conf_connector *k)
{
	static const char *const kinds[] = {[CONF_TLS_NONE] = "none",
	    [CONF_TLS_STARTTLS] = "starttls",
	    [CONF_TLS_IMPLICIT] = "implicit"};
	static char out[512];
	char text[NETADDR_TEXT_MAX];
	size_t i, n = 0;

	out[0] = '\0';
	for (i = 0; i < k->nbound; i++)
		n += (size_t)snprintf(out + n, sizeof out - n, "%s%s %s", i > 0 ? ", " : "",
		    netaddr_format(text, sizeof text, ':', &k->bound[i].addr),
		    kinds[k->bound[i].tls]);
	return out;
}

START_TEST(tls_support_says_which_ports_are_bound)
{
	static const struct {
		const char *options, *bound;
	} cases[] = {
	    /* Text 003: 110; 110 and 995, the default; 995. */
	    {"listen = {127.0.0.1} tls = disabled", "127.0.0.1:110 none"},
	    {"listen = {127.0.0.1}", "127.0.0.1:110 starttls, 127.0.0.1:995 implicit"},
	    {"listen = {127.0.0.1} tls = enabled",
		"127.0.0.1:110 starttls, 127.0.0.1:995 implicit"},
	    {"listen = {127.0.0.1} tls = required", "127.0.0.1:995 implicit"},
	    {"listen = {\"127.0.0.1:1110\"}", "127.0.0.1:1110 starttls"},
	    {"listen = {\"[::1]\"} tls = required", "[::1]:995 implicit"},
	    {"listen_tls = {127.0.0.1}", "127.0.0.1:995 implicit"},
	    {"listen_tls = {\"127.0.0.1:1995\"}", "127.0.0.1:1995 implicit"},
	    {"listen = {\"127.0.0.1:1110\"} listen_tls = {\"127.0.0.1:1995\"}",
		"127.0.0.1:1110 starttls, 127.0.0.1:1995 implicit"},
	    {"listen = {\"127.0.0.1:1110\"} listen_tls = {\"127.0.0.1:1995\"} tls = disabled",
		"127.0.0.1:1110 none"},
	    {"listen = {\"127.0.0.1:1110\"} listen_tls = {\"127.0.0.1:1995\"} tls = required",
		"127.0.0.1:1995 implicit"},
	    {"listen = {127.0.0.1, \"127.0.0.1:111\"} listen_tls = {\"127.0.0.1:996\"}",
		"127.0.0.1:110 starttls, 127.0.0.1:995 implicit, 127.0.0.1:111 starttls, "
		"127.0.0.1:996 implicit"},
	};
	static struct told t;
	char text[512];
	struct conf *c;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		(void)snprintf(text, sizeof text,
		    NODE POP "connector c { service = pop3 peer = p %s }\n", cases[i].options);
		c = load(text, &t);
		ck_assert_msg(c != NULL, "%s\n%s", text, t.all);
		ck_assert_str_eq(bound_text(&c->connectors[0]), cases[i].bound);
		check_dump(c);
		conf_free(c);
	}
}
END_TEST

START_TEST(smtp_has_ports_of_its_own)
{
	static struct told t;
	struct conf *c =
	    load(NODE PEER("p", "") "connector c { service = smtp peer = p listen = {::1} }\n", &t);

	ck_assert_ptr_null(c); /* without brackets it does not tell where the address ends */
	c = load(
	    NODE PEER("p", "") "connector c { service = smtp peer = p listen = {\"[::1]\"} }\n",
	    &t);
	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_str_eq(bound_text(&c->connectors[0]), "[::1]:587 starttls, [::1]:465 implicit");
	check_dump(c);
	conf_free(c);
}
END_TEST

START_TEST(listeners_are_found_by_their_address)
{
	static struct told t;
	struct conf *c =
	    load(NODE POP "connector c { service = pop3 peer = p listen = {\"[::1]\"} }\n", &t);
	const struct conf_connector *k;

	ck_assert_msg(c != NULL, "%s", t.all);
	k = &c->connectors[0];
	ck_assert_ptr_eq(conf_listener_find(k, "[::1]:110"), &k->bound[0]);
	ck_assert_ptr_eq(conf_listener_find(k, "[::1]:995"), &k->bound[1]);
	ck_assert_ptr_null(conf_listener_find(k, "[::1]:996"));
	ck_assert_ptr_null(conf_listener_find(k, "[::1]"));
	conf_free(c);
}
END_TEST

START_TEST(ports_that_contradict_are_told_with_their_line)
{
	static const struct {
		const char *text, *told;
	} cases[] = {
	    {NODE POP "connector c { service = pop3 peer = p }\n",
		"f:3: connector \"c\" has no listen"},
	    {NODE POP "connector c { service = pop3 peer = p listen_tls = {127.0.0.1}\n tls = "
		      "disabled }\n",
		"f:4: connector \"c\" has listen_tls only"},
	    {NODE POP "connector c { service = pop3 peer = p listen = {\"127.0.0.1:1110\"}\n"
		      " tls = required }\n",
		"f:4: connector \"c\" has clear ports only"},
	    /* The TLS port that an address alone stands for is taken as well. */
	    {NODE POP "connector c { service = pop3 peer = p listen = {127.0.0.1} }\n"
		      "connector d { service = pop3 peer = p\n listen = {\"127.0.0.1:1110\"}\n"
		      " listen_tls = {0.0.0.0} }\n",
		"f:6: listener 0.0.0.0:995 of connector \"d\" is taken by 127.0.0.1:995 of "
		"connector "
		"\"c\" in line 3"},
	    {NODE POP "connector c { service = pop3 peer = p listen = {127.0.0.1}\n"
		      " listen_tls = {127.0.0.1} }\n",
		"f:4: listener 127.0.0.1:995 of connector \"c\" is taken by 127.0.0.1:995 of "
		"connector \"c\" in line 3"},
	    {NODE "peer p { service = pop3 host = ::1 tls = implicit\n port = 995 }\n"
		  "connector c { service = pop3 peer = p listen = {\"[::1]\"} }\n",
		"f:2: peer \"p\" is our own connector \"c\""},
	    {NODE POP
		"connector c { service = pop3 peer = p listen_tls = {\n\"[::ffff:1.2.3.4]\"} }\n",
		"f:4: listen_tls: an IPv4 address in IPv6 form"},
	    {NODE POP "connector c { service = pop3 peer = p listen_tls = {\"127.0.0.1:0\"} }\n",
		"f:3: listen_tls = 127.0.0.1:0: write ADDRESS"},
	};
	static struct told t;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(load(cases[i].text, &t) == NULL, "accepted: %s", cases[i].text);
		ck_assert_msg(strstr(t.all, cases[i].told) != NULL, "%s\nsaid %s\nnot %s",
		    cases[i].text, t.all, cases[i].told);
		ck_assert_msg(t.count == 1, "%s\nsaid %s", cases[i].text, t.all);
	}
}
END_TEST

START_TEST(ports_that_are_not_bound_are_not_taken)
{
	static struct told t;
	struct conf *c =
	    load(NODE POP "connector c { service = pop3 peer = p listen = {127.0.0.1}\n"
			  " tls = disabled }\n"
			  "connector d { service = pop3 peer = p listen = {127.0.0.1}\n"
			  " tls = required }\n",
		&t);

	ck_assert_msg(c != NULL, "%s", t.all);
	conf_free(c);
}
END_TEST

START_TEST(off_loopback_tls_comes_first_unless_it_is_not_wanted)
{
	static const struct {
		const char *options;
		enum conf_starttls starttls;
	} cases[] = {
	    {"listen = {127.0.0.1}", CONF_STARTTLS_OPTIONAL},
	    {"listen = {192.0.2.1}", CONF_STARTTLS_REQUIRED},
	    {"listen = {127.0.0.1, 192.0.2.1}", CONF_STARTTLS_REQUIRED},
	    {"listen = {192.0.2.1} starttls = optional", CONF_STARTTLS_OPTIONAL},
	    {"listen = {127.0.0.1} starttls = required", CONF_STARTTLS_REQUIRED},
	    {"listen = {192.0.2.1} tls = disabled", CONF_STARTTLS_OPTIONAL},
	    /* Who listens off loopback with TLS only has nothing in clear there. */
	    {"listen = {\"127.0.0.1:110\"} listen_tls = {192.0.2.1}", CONF_STARTTLS_OPTIONAL},
	    {"listen = {127.0.0.1} tls = required", CONF_STARTTLS_REQUIRED},
	};
	static struct told t;
	char text[512];
	struct conf *c;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		(void)snprintf(text, sizeof text,
		    NODE POP "connector c { service = pop3 peer = p %s }\n", cases[i].options);
		c = load(text, &t);
		ck_assert_msg(c != NULL, "%s\n%s", text, t.all);
		ck_assert_msg(c->connectors[0].starttls == cases[i].starttls, "%s", text);
		check_dump(c);
		conf_free(c);
	}
}
END_TEST

Suite *
ports_suite(void)
{
	return unit_suite(
	    "ports", (const TTest *const[]){tls_support_says_which_ports_are_bound,
			 smtp_has_ports_of_its_own, listeners_are_found_by_their_address,
			 ports_that_contradict_are_told_with_their_line,
			 ports_that_are_not_bound_are_not_taken,
			 off_loopback_tls_comes_first_unless_it_is_not_wanted, NULL});
}

/* setup and config. */
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "t/unit/gwctl/tool.h"

Suite *setup_suite(void);

START_TEST(writes_a_configuration_that_loads)
{
	struct err e = {0};
	struct conf *c;

	tool_begin();
	ck_assert_int_eq(tool("setup", "--placement", "internal", "--domain", "acme.test",
			     "--mail-host", "mail.acme.test", "--output", "a.conf", NULL),
	    0);
	ck_assert_ptr_nonnull(strstr(tool_out, "domain add acme.test"));
	ck_assert_ptr_nonnull(strstr(tool_out, "IMAP"));
	ck_assert_ptr_nonnull(c = conf_load("a.conf", NULL, &e));
	ck_assert_uint_eq(c->nconnectors, 2);
	ck_assert_uint_eq(c->npeers, 3);
	ck_assert_str_eq(conf_peer_find(c, "office-smtp")->notify->name, "office-mx");
	ck_assert_uint_eq(conf_peer_find(c, "office-smtp")->port, 587);
	ck_assert_int_eq(conf_peer_find(c, "office-smtp")->tls, CONF_TLS_STARTTLS);
	ck_assert_uint_eq(conf_peer_find(c, "office-pop3")->port, 995);
	ck_assert_int_eq(conf_peer_find(c, "office-pop3")->tls, CONF_TLS_IMPLICIT);
	ck_assert_str_eq(conf_peer_find(c, "office-pop3")->login_domain, "acme.test");
	ck_assert_uint_gt(conf_connector_find(c, "pop3")->clients.n, 0);
	/* Without a certificate there is no TLS, and the file says how to have it. */
	ck_assert_int_eq(conf_connector_find(c, "pop3")->tls, CONF_SUPPORT_DISABLED);
	ck_assert_uint_eq(conf_connector_find(c, "pop3")->nbound, 2);
	ck_assert_uint_eq(conf_connector_find(c, "submission")->bound[0].addr.port, 587);
	ck_assert_ptr_nonnull(strstr(tool_read("a.conf"), "gwctl tls install"));
	conf_free(c);
	tool_end();
}
END_TEST

START_TEST(every_option_reaches_the_file)
{
	struct err e = {0};
	struct conf *c;

	tool_begin();
	ck_assert_msg(
	    tool("setup", "--placement", "internal", "--domain", "acme.test", "--peer-smtp",
		"127.0.0.1:2525", "--peer-pop3", "[::1]:2110,starttls", "--peer-mx",
		"mx.acme.test:26", "--smtp-listen", "127.0.0.1:1587", "--smtp-listen", "[::1]:1587",
		"--pop-listen", "127.0.0.1:1110", "--clients", "any", "--hostname", "gw.acme.test",
		"--ca-file", "/ca.pem", "--key-file", "/ign.key", "--log-file", "/l.log",
		"--state-dir", "/s", "--spool-dir", "/sp", "--output", "a.conf", NULL) == 0,
	    "%s", tool_err);
	ck_assert_ptr_nonnull(c = conf_load("a.conf", NULL, &e));
	ck_assert_str_eq(c->node.hostname, "gw.acme.test");
	ck_assert_str_eq(c->node.state_dir, "/s");
	ck_assert_str_eq(c->node.spool_dir, "/sp");
	ck_assert_str_eq(c->log.file, "/l.log");
	ck_assert_int_eq(c->log.destination, CONF_LOG_FILE);
	ck_assert_str_eq(c->ignition.key_file, "/ign.key");
	ck_assert_int_eq(conf_peer_find(c, "office-smtp")->tls, CONF_TLS_NONE);
	ck_assert_str_eq(conf_peer_find(c, "office-pop3")->host, "::1");
	ck_assert_int_eq(conf_peer_find(c, "office-pop3")->tls, CONF_TLS_STARTTLS);
	ck_assert_str_eq(conf_peer_find(c, "office-pop3")->ca_file, "/ca.pem");
	ck_assert_uint_eq(conf_peer_find(c, "office-mx")->port, 26);
	ck_assert_uint_eq(conf_connector_find(c, "submission")->listen.n, 2);
	ck_assert_uint_eq(conf_connector_find(c, "submission")->clients.n, 0);
	conf_free(c);
	tool_end();
}
END_TEST

START_TEST(with_a_certificate_both_kinds_of_ports_are_there)
{
	const struct conf_connector *k;
	struct err e = {0};
	struct conf *c;

	tool_begin();
	ck_assert_msg(tool("setup", "--placement", "internal", "--domain", "acme.test",
			  "--mail-host", "mail.acme.test", "--certificate", "mail", "--certificate",
			  "/etc/rsa.pem", "--output", "a.conf", NULL) == 0,
	    "%s", tool_err);
	ck_assert_ptr_nonnull(c = conf_load("a.conf", NULL, &e));
	k = conf_connector_find(c, "submission");
	ck_assert_int_eq(k->tls, CONF_SUPPORT_ENABLED);
	ck_assert_uint_eq(k->nbound, 4);
	ck_assert_uint_eq(k->bound[1].addr.port, 465);
	ck_assert_int_eq(k->bound[1].tls, CONF_TLS_IMPLICIT);
	ck_assert_uint_eq(k->chains.n, 2);
	ck_assert_str_eq(k->chains.v[1], "/etc/rsa.pem");
	ck_assert_int_eq(k->starttls, CONF_STARTTLS_REQUIRED);
	conf_free(c);
	tool_end();
}
END_TEST

START_TEST(a_gateway_takes_mail_in_and_sends_it_on)
{
	const struct conf_connector *k;
	struct err e = {0};
	struct conf *c;

	tool_begin();
	ck_assert_msg(tool("setup", "--placement", "gateway", "--domain", "acme.test",
			  "--mail-host", "mail.acme.test", "--relay-client", "10.0.0.5",
			  "--relay-client", "10.0.0.6", "--output", "a.conf", NULL) == 0,
	    "%s", tool_err);
	ck_assert_ptr_null(strstr(tool_out, "POP3"));
	ck_assert_ptr_nonnull(strstr(tool_out, "MX records of acme.test"));
	ck_assert_ptr_nonnull(c = conf_load("a.conf", NULL, &e));
	ck_assert_uint_eq(c->nconnectors, 2);
	ck_assert_uint_eq(c->npeers, 0);
	k = conf_connector_find(c, "mx");
	ck_assert_int_eq(k->service, CONF_MX);
	ck_assert_uint_eq(k->bound[0].addr.port, 25);
	k = conf_connector_find(c, "relay");
	ck_assert_uint_eq(k->relay_clients.n, 2);
	ck_assert_uint_eq(k->bound[0].addr.port, 2525);
	ck_assert_str_eq(conf_route_of(c, "acme.test")->servers.v[0], "mail.acme.test:25");
	ck_assert_int_eq(conf_route_of(c, "sub.acme.test")->tls, CONF_ROUTE_TLS_VERIFY);
	ck_assert_ptr_null(conf_route_of(c, "elsewhere.test"));
	ck_assert_str_eq(c->queue.postmaster, "postmaster@acme.test");
	conf_free(c);
	tool_end();
}
END_TEST

START_TEST(both_placements_go_together)
{
	struct err e = {0};
	struct conf *c;

	tool_begin();
	ck_assert_msg(tool("setup", "--placement", "both", "--domain", "acme.test", "--mail-host",
			  "mail.acme.test", "--output", "a.conf", NULL) == 0,
	    "%s", tool_err);
	ck_assert_ptr_nonnull(c = conf_load("a.conf", NULL, &e));
	ck_assert_uint_eq(c->nconnectors, 3);
	ck_assert_uint_eq(c->npeers, 3);
	conf_free(c);
	ck_assert_int_eq(
	    tool("setup", "--placement", "gateway", "--domain", "acme.test", "--mail-host",
		"mail.acme.test", "--relay-listen", "127.0.0.1:26", "--output", "b.conf", NULL),
	    EX_USAGE);
	ck_assert_ptr_nonnull(strstr(tool_err, "--relay-client"));
	tool_end();
}
END_TEST

START_TEST(keeps_a_file_that_is_there)
{
	static const char *const words[] = {"setup", "--placement", "internal", "--domain",
	    "acme.test", "--mail-host", "mail.acme.test", "--output", "a.conf"};

	tool_begin();
	tool_write("a.conf", "mine");
#define SETUP                                                                                      \
	words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7], words[8]
	ck_assert_int_eq(tool(SETUP, NULL), EX_CANTCREAT);
	ck_assert_ptr_nonnull(strstr(tool_err, "--force"));
	ck_assert_str_eq(tool_read("a.conf"), "mine");
	ck_assert_int_eq(tool(SETUP, "--force", NULL), 0);
	ck_assert_ptr_nonnull(strstr(tool_read("a.conf"), "connector"));
	tool_end();
}
END_TEST

START_TEST(refuses_what_makes_no_gateway)
{
	static const struct {
		const char *option, *value;
		int code;
		const char *says;
	} cases[] = {
	    {"--mx-listen", "127.0.0.1:25", EX_USAGE, "--placement gateway"},
	    {"--relay-client", "10.0.0.1", EX_USAGE, "--placement gateway"},
	    {"--placement", "other", EX_USAGE, "internal"},
	    {"--domain", "not a domain", EX_USAGE, "--domain"},
	    {"--domain", "a\"b", EX_USAGE, "quotes"},
	    {"--state-dir", "/x${HOME}", EX_USAGE, "quotes"},
	    {"--hostname", "x\ny", EX_USAGE, "controls"},
	    {"--peer-smtp", "mail.acme.test", EX_USAGE, "HOST:PORT"},
	    {"--peer-smtp", "mail.acme.test:25,ssl", EX_USAGE, "implicit"},
	    {"--peer-smtp", "mail.acme.test:25,none", EX_CONFIG, "in clear"},
	    {"--smtp-listen", "nowhere", EX_CONFIG, "a.conf:"},
	    {"--pop-listen", "0.0.0.0:587", EX_CONFIG, "is taken by"},
	    {"--clients", "10.0.0.1/8", EX_CONFIG, "a.conf:"},
	    {"--state-dir", "relative", EX_CONFIG, "absolute"},
	    {"--peer-smtp", "127.0.0.1:587", EX_CONFIG, "loop"}, /* we are there ourselves */
	    {"--nonsense", "x", EX_USAGE, "usage"},
	};
	size_t i;
	int rc;

	tool_begin();
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		rc = tool("setup", "--placement", "internal", "--domain", "acme.test",
		    "--mail-host", "mail.acme.test", "--output", "a.conf", cases[i].option,
		    cases[i].value, NULL);
		ck_assert_msg(rc == cases[i].code && strstr(tool_err, cases[i].says) != NULL,
		    "case %zu: %d '%s'", i, rc, tool_err);
		ck_assert_int_eq(access("a.conf", F_OK), -1);
	}
	ck_assert_int_eq(
	    tool("setup", "--placement", "internal", "--domain", "a.test", NULL), EX_USAGE);
	ck_assert_ptr_nonnull(strstr(tool_err, "--mail-host"));
	tool_end();
}
END_TEST

START_TEST(config_check_tells_every_error_and_dump_reads_back)
{
	static char first[TOOL_TEXT];

	tool_begin();
	tool_write("bad.conf", "node {\n hostname = gw.test\n nonsense = 1\n}\n"
			       "peer p {\n service = smtp\n host = 127.0.0.1\n port = many\n}\n");
	ck_assert_int_eq(tool("-c", "bad.conf", "config", "check", NULL), EX_CONFIG);
	ck_assert_ptr_nonnull(strstr(tool_err, "bad.conf:3: "));
	ck_assert_ptr_nonnull(strstr(tool_err, "bad.conf:8: "));
	ck_assert_int_eq(tool("-c", "none.conf", "config", "check", NULL), EX_CONFIG);
	ck_assert_ptr_nonnull(strstr(tool_err, "gwctl setup"));
	ck_assert_int_eq(tool("-c", "bad.conf", "reload", NULL), EX_CONFIG);
	ck_assert_int_eq(tool("setup", "--placement", "internal", "--domain", "acme.test",
			     "--mail-host", "mail.acme.test", "--output", "a.conf", NULL),
	    0);
	ck_assert_int_eq(tool("-c", "a.conf", "config", "check", NULL), 0);
	ck_assert_int_eq(tool("-c", "a.conf", "config", "dump", NULL), 0);
	(void)strlcpy(first, tool_out, sizeof first);
	tool_write("b.conf", first);
	ck_assert_int_eq(tool("-c", "b.conf", "config", "dump", NULL), 0);
	ck_assert_str_eq(tool_out, first);
	tool_end();
}
END_TEST

START_TEST(config_check_tells_every_offender_and_warns)
{
	tool_begin();
	/* Reference text 003: an action that inspects, shared by connectors without TLS. */
	tool_write("bad.conf", "node { hostname = gw.test\n certificates = {mail} }\n"
			       "peer p { service = pop3\n host = 127.0.0.1\n tls = none }\n"
			       "action watch { service = pop3\n tls = inspect }\n"
			       "connector one { service = pop3\n peer = p\n action = watch\n"
			       " listen = {127.0.0.1}\n tls = disabled }\n"
			       "connector two { service = pop3\n peer = p\n action = watch\n"
			       " listen = {127.0.0.2} }\n"
			       "connector three { service = pop3\n peer = p\n action = watch\n"
			       " listen = {127.0.0.3}\n tls = disabled }\n");
	ck_assert_int_eq(tool("-c", "bad.conf", "config", "check", NULL), EX_CONFIG);
	ck_assert_ptr_nonnull(strstr(tool_err, "bad.conf:12: connector \"one\""));
	ck_assert_ptr_nonnull(strstr(tool_err, "bad.conf:21: connector \"three\""));
	ck_assert_ptr_null(strstr(tool_err, "\"two\""));
	tool_write("warn.conf",
	    "node { hostname = gw.test\n certificates = {/no/mail.pem} }\n"
	    "peer p { service = smtp\n host = 127.0.0.1\n tls = none }\n"
	    "action pass { service = smtp\n tls = allow }\n"
	    "connector out { service = smtp\n peer = p\n listen = {127.0.0.2}\n"
	    " action = pass }\n"
	    "connector in { service = smtp\n peer = p\n listen = {127.0.0.3} }\n");
	ck_assert_msg(tool("-c", "warn.conf", "config", "check", NULL) == 0, "%s", tool_err);
	ck_assert_ptr_nonnull(
	    strstr(tool_err, "warn.conf:11: warning: connector \"out\": action "));
	ck_assert_ptr_nonnull(
	    strstr(tool_err, "warning: connector in: certificates: /no/mail.pem: No such file"));
	/* Other verbs keep to what they were asked. */
	ck_assert_int_eq(tool("-c", "warn.conf", "config", "dump", NULL), 0);
	ck_assert_str_eq(tool_err, "");
	tool_write("list.conf", "node { hostname = gw.test }\n"
				"peer p { service = smtp\n host = 127.0.0.1\n tls = none }\n"
				"tls_profile odd {\n groups = \"X25519:P-257\" }\n"
				"tls_profile old {\n ciphers = \"ROT13\" }\n"
				"connector in { service = smtp\n peer = p\n listen = {127.0.0.3}\n"
				" tls = disabled }\n");
	ck_assert_int_eq(tool("-c", "list.conf", "config", "check", NULL), EX_CONFIG);
	ck_assert_ptr_nonnull(strstr(tool_err, "list.conf:5: tls_profile \"odd\": groups"));
	ck_assert_ptr_nonnull(strstr(tool_err, "list.conf:7: tls_profile \"old\": ciphers"));
	tool_end();
}
END_TEST

Suite *
setup_suite(void)
{
	const TTest *const tests[] = {writes_a_configuration_that_loads,
	    every_option_reaches_the_file, with_a_certificate_both_kinds_of_ports_are_there,
	    a_gateway_takes_mail_in_and_sends_it_on, both_placements_go_together,
	    keeps_a_file_that_is_there, refuses_what_makes_no_gateway,
	    config_check_tells_every_error_and_dump_reads_back,
	    config_check_tells_every_offender_and_warns, NULL};

	return unit_suite("setup", tests);
}

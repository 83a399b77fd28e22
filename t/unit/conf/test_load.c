#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "conf/table.h"
#include "t/unit/conf/told.h"
#include "t/unit/unit.h"

Suite *load_suite(void);

START_TEST(every_mistake_is_told_with_its_line)
{
	static const struct {
		const char *text, *told;
	} cases[] = {
	    {GOOD "node {\n hostnam = x\n}", "f:4: unknown option 'hostnam' in section node"},
	    {GOOD "# a\n/* b\n*/ foo { a = 1 }\n", "f:5: unknown section 'foo'"},
	    {GOOD "\nhostname = x\n", "f:4: option 'hostname' stands outside"},
	    {GOOD "limits {\n\n recipients = many }\n",
		"f:5: recipients = many: a number from 100"},
	    {GOOD "limits { recipients = 99 }\n",
		"f:3: recipients = 99: a number from 100 to 1000"},
	    {GOOD "limits { recipients = 1001 }\n", "a number from 100 to 1000"},
	    {GOOD "limits { message_size = 5G }\n", "f:3: message_size = 5G"},
	    {GOOD "limits { message_size = 18446744073709551617 }\n", "f:3: message_size = 1844"},
	    {GOOD "limits { recipients = -1 }\n", "f:3: recipients = -1"},
	    {GOOD "limits { recipients = 200K }\n", "f:3: recipients = 200K"},
	    {GOOD "dns { hosts = perhaps }\n", "f:3: hosts = perhaps: write yes or no"},
	    {GOOD "dns { servers = {\"::1@0\"} }\n", "f:3: servers = ::1@0: write ADDRESS"},
	    {GOOD "dns { servers = {\"name\"} }\n", "f:3: servers = name: write ADDRESS"},
	    {GOOD "node { state_dir = lib }\n", "f:3: state_dir = lib: an absolute path"},
	    {GOOD "node { hostname = \"a b\" }\n", "f:3: hostname = a b: a host or domain name"},
	    {GOOD "log { level = loud }\n",
		"f:3: level = loud: it can be err, warn, info or debug"},
	    {GOOD "node {\n}\nnode {\n}\n", "f:5: section node stands twice, first in line 3"},
	    {GOOD PEER("\"p\"", ""), "f:3: peer \"p\" stands twice, first in line 1"},
	    {GOOD CONN("c", "127.0.0.1:1", ""),
		"f:3: connector \"c\" stands twice, first in line 2"},
	    {GOOD PEER("\"a b\"", ""), "cannot name a peer"},
	    {GOOD "node { run_dir = /a\n run_dir = /b }",
		"f:4: run_dir is set twice, first in line 3"},
	    {GOOD CONN("d", "127.0.0.1:5870", ""),
		"f:3: listener 127.0.0.1:5870 of connector \"d\" is "
		"taken by 127.0.0.1:5870 of connector \"c\" in "
		"line 2"},
	    {GOOD CONN("d", "0.0.0.0:5870", ""), "f:3: listener 0.0.0.0:5870"},
	    {PEER("p", "") "connector c { service = smtp peer = p tls = disabled listen = "
			   "{\n\"[::1]:1\",\n\"[::]:1\"}}",
		"f:4: listener [::]:1 of connector \"c\" is taken by [::1]:1 of connector \"c\" in "
		"line "
		"3"},
	    {GOOD CONN("d", "127.0.0.1:0", ""), "f:3: listen = 127.0.0.1:0: write ADDRESS:PORT"},
	    {GOOD CONN("d", "127.0.0.1:", ""), "f:3: listen = 127.0.0.1:: write ADDRESS:PORT"},
	    {GOOD CONN("d", "::1:25", ""), "f:3: listen = ::1:25: write ADDRESS:PORT"},
	    {GOOD CONN("d", "mail:25", ""), "f:3: listen = mail:25: write ADDRESS:PORT"},
	    {GOOD CONN("d", "[::ffff:1.2.3.4]:25", ""),
		"f:3: listen: an IPv4 address in IPv6 form"},
	    {GOOD CONN("d", "127.0.0.1:1", "clients = {\"10.0.0.0/33\"}"),
		"f:3: clients = 10.0.0.0/33"},
	    {GOOD CONN("d", "127.0.0.1:1", "clients = {\"10.0.0.1/8\"}"), "bits are set behind"},
	    {PEER("q", "") CONN("c", "127.0.0.1:1", ""), "f:2: peer = p: there is no such peer"},
	    {"peer p { service = pop3 host = ::1 }\n" CONN("c", "127.0.0.1:1", ""),
		"f:2: peer = p: that peer (line 1) is of service pop3"},
	    {GOOD "peer q { service = smtp }\n", "f:3: peer \"q\" has no host: add one"},
	    {GOOD "connector q { service = smtp peer = p }\n",
		"f:3: connector \"q\" has no listen"},
	    {GOOD "connector q { service = smtp peer = p listen = {} }\n",
		"f:3: connector \"q\" has no listen"},
	    {GOOD "connector q { service = smtp tls = disabled listen = {::1} }\n",
		"f:3: connector \"q\" has no peer: add one"},
	    {GOOD PEER("q", "notify = none"), "f:3: notify = none: there is no such peer"},
	    {GOOD "peer q { service = pop3 host = ::1 notify = p }",
		"f:3: notify stands in a pop3 peer"},
	    {GOOD "peer q { service = pop3 host = ::1 }\n" PEER("r", "notify = q"),
		"f:4: notify = q"},
	    {GOOD "peer q { service = smtp host = a.example\n tls = none }",
		"f:4: peer \"q\" at a.ex"},
	    {GOOD "peer q { service = smtp host = a.example\n verify = none }",
		"f:4: peer \"q\" at a.ex"},
	    {GOOD "peer q { service = smtp host = 128.0.0.1 tls = none }",
		"f:3: peer \"q\" at 128.0"},
	    {GOOD PEER("q", "login_domain = \"@x\""), "f:3: login_domain = @x"},
	    {GOOD PEER("q", "master_separator = \"a\""), "f:3: master_separator = a"},
	    {PEER("p", ""), "f: no connector"},
	    {"", "f: no connector"},
	    {PEER("p", "") CONN("c", "0.0.0.0:2525", ""),
		"f:1: peer \"p\" is our own connector \"c\""},
	    {PEER("p", "") "connector c { service = smtp peer = p listen = {\"[::1]:1\"}}\n"
			   "connector d { service = pop3 peer = p listen = {\"[::1]:2\"} "
			   "sign_by_address = {\"::1\"}}",
		"f:3: sign_by_address stands in a pop3 connector"},
	    {GOOD CONN("d", "127.0.0.1:1", "sign_by_address = {\"0.0.0.0/0\"}"),
		"f:3: sign_by_address: everybody"},
	    {GOOD "workers { spare = 9 max = 8 }", "f:3: workers: spare is larger than max"},
	    {GOOD "limits { session_timeout = 10 }", "f:3: limits: session_timeout is shorter"},
	    {GOOD "limits { sessions = 10 }", "f:3: limits: sessions_per_client is larger"},
	    {GOOD "limits { message_size = 64K }", "limits: headers is larger than message_size"},
	    {GOOD "node { hostname \"x\" }", "f:3: syntax: "},
	    {GOOD "node { hostname = }", "f:3: syntax: "},
	    {GOOD "node {\n\n", "f:3: section node has no end"},
	    {GOOD "}", "f:3: syntax: "},
	    {GOOD "peer {\n}", "f:3: syntax: "},
	    {GOOD "\n\nnode { hostname = \"x\n }", "f:5: string without end"},
	    {GOOD "\n/* no end", "f:4: comment without end"},
	    {GOOD "node { hostname = \"${HOME}\" }", "f:3: environment variables are not replaced"},
	    {GOOD "node { hostname = \"a\\n\" }", "f:3: unknown escape '\\n'"},
	    {GOOD "node { hostname = a+b }", "f:3: unexpected character '+'"},
	    {GOOD "dns { servers += {\"::1\"} }", "f:3: unexpected character '+'"},
	    {GOOD "include(\"/etc/passwd\")", "f:3: unexpected character '('"},
	    {GOOD "\x01", "f:3: control character 0x01"},
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

START_TEST(several_mistakes_are_told_in_the_order_of_the_file)
{
	static struct told t;
	const char *a, *b, *c;

	ck_assert_ptr_null(load(
	    "node { run_dir = x\n foo = { a, b } }\nbar {}\n" GOOD "limits { errors = 0 }\n", &t));
	ck_assert_uint_eq(t.count, 4);
	a = strstr(t.all, "f:1: run_dir");
	b = strstr(t.all, "f:2: unknown option 'foo'");
	c = strstr(t.all, "f:6: errors = 0");
	ck_assert(a != NULL && b > a && c > b);
}
END_TEST

START_TEST(no_more_than_the_bound_is_told)
{
	static struct told t;
	char text[8192] = "";
	int i;

	for (i = 0; i < 200; i++)
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), "x%d { }\n", i);
	ck_assert_ptr_null(load(text, &t));
	ck_assert_uint_eq(t.count, CONF_ERRORS_MAX);
}
END_TEST

START_TEST(defaults_are_filled_in)
{
	static struct told t;
	struct conf *c =
	    load(GOOD "peer q { service = pop3 tls = implicit host = mail.example }\n", &t);
	const struct conf_peer *q;

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_str_eq(c->node.state_dir, LOCALSTATEDIR "/lib/postern");
	ck_assert_ptr_nonnull(c->node.hostname);
	ck_assert_int_eq(c->log.facility, LOG_MAIL);
	ck_assert_int_eq(c->log.level, LOG_L_INFO);
	ck_assert_uint_eq(c->limits.message_size, 100 * 1024 * 1024);
	ck_assert_uint_eq(c->limits.line_length, 12288);
	ck_assert_str_eq(c->ignition.key_file, "");
	ck_assert_int_eq(c->dns.hosts, 1);
	ck_assert_uint_eq(c->dns.servers.n, 0);
	q = conf_peer_find(c, "q");
	ck_assert_ptr_nonnull(q);
	ck_assert_uint_eq(q->port, 995);
	ck_assert_str_eq(q->server_name, "mail.example");
	ck_assert_str_eq(q->master_separator, "*");
	ck_assert_ptr_eq(c->connectors[0].peer, &c->peers[0]);
	ck_assert_ptr_eq(c->peers[0].notify, &c->peers[0]);
	ck_assert_str_eq(c->connectors[0].tenant, "default");
	ck_assert_ptr_eq(conf_connector_find(c, "c"), &c->connectors[0]);
	ck_assert_ptr_null(conf_connector_find(c, "p"));
	conf_free(c);
}
END_TEST

START_TEST(values_may_be_quoted_or_not)
{
	static struct told t;
	struct conf *c = load("node { hostname = 'gw.example' run_dir = /run/a//b\n}\n"
			      "# no \" end\r\nlog { file = \"/tmp/a \\\"b\\\\ \\$c\" } // x\n" GOOD
			      "dns { servers = {::1, \"1.2.3.4@5\" , '9.9.9.9'} hosts = \"no\" }\n"
			      "limits { message_size = \"1M\" }\n",
	    &t);

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_str_eq(c->node.hostname, "gw.example");
	ck_assert_str_eq(c->node.run_dir, "/run/a");
	ck_assert_str_eq(c->log.file, "/tmp/a \"b\\ $c");
	ck_assert_uint_eq(c->dns.servers.n, 3);
	ck_assert_uint_eq(c->dns.servers.v[0].port, 53);
	ck_assert_uint_eq(c->dns.servers.v[1].port, 5);
	ck_assert_int_eq(c->dns.hosts, 0);
	ck_assert_uint_eq(c->limits.message_size, 1024 * 1024);
	conf_free(c);
}
END_TEST

START_TEST(a_dump_loads_as_the_same)
{
	static struct told t;
	struct conf *c = load(GOOD "peer q { service = smtp host = \"::1\" notify = p }\n"
				   "log { file = \"/a\\$b\\\"c\\\\d\" destination = file }\n"
				   "dns { servers = {\"::1@5353\"} }\n",
	    &t);

	ck_assert_msg(c != NULL, "%s", t.all);
	check_dump(c);
	conf_free(c);
}
END_TEST

static char *
slurp(const char *path)
{
	char *text = calloc(1, 256 * 1024);
	FILE *fp = fopen(path, "r");

	ck_assert_msg(fp != NULL, "%s: run from the top of the source", path);
	ck_assert_uint_gt(fread(text, 1, 256 * 1024 - 1, fp), 0);
	(void)fclose(fp);
	return text;
}

START_TEST(the_example_loads_and_its_comments_are_the_defaults)
{
	static struct told t;
	struct err e = {0};
	struct conf *c = conf_load("etc/postern.conf", NULL, &e);
	char *text, *p;

	ck_assert_msg(c != NULL, "%s", e.text);
	ck_assert_uint_eq(c->nconnectors, 2);
	check_dump(c);
	conf_free(c);
	/* "# key = value   words" with the mark taken away must be known keys, too. */
	text = slurp("etc/postern.conf");
	for (p = text; (p = strstr(p, "\t# ")) != NULL; p++) {
		char *stop = p + strcspn(p, "\n"), *tab = strpbrk(p + 1, "\t\n");

		if (memmem(p, (size_t)(stop - p), " = ", 3) == NULL || p[-1] != '\n')
			continue;
		memcpy(p, "   ", 3);
		while (tab < stop)
			*tab++ = ' ', tab[-1] = '#';
	}
	c = load(text, &t);
	ck_assert_msg(c != NULL, "%s", t.all);
	conf_free(c);
	free(text);
}
END_TEST

START_TEST(every_option_stands_in_the_manual)
{
	char *page = slurp("man/postern.conf.5"), want[64];
	const char *part, *stop;
	unsigned i, k;

	for (i = 0; i < CONF_S_COUNT; i++) {
		ck_assert_uint_le(conf_sections[i].nkeys, CONF_KEYS_MAX);
		(void)snprintf(want, sizeof want, "\n.Ss %s%s", conf_sections[i].name,
		    conf_sections[i].titled ? " Ar name\n" : "\n");
		part = strstr(page, want);
		ck_assert_msg(part != NULL, "no section %s", conf_sections[i].name);
		stop = strstr(part + 1, "\n.S");
		for (k = 0; k < conf_sections[i].nkeys; k++) {
			(void)snprintf(
			    want, sizeof want, "\n.It Ic %s No = ", conf_sections[i].keys[k].name);
			ck_assert_msg(
			    memmem(part, (size_t)(stop - part), want, strlen(want)) != NULL,
			    "%s.%s is not in the manual", conf_sections[i].name,
			    conf_sections[i].keys[k].name);
		}
	}
	free(page);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_named)
{
	struct err e = {0};

	ck_assert_ptr_null(conf_load("/nonexistent/postern.conf", NULL, &e));
	ck_assert_int_eq(e.code, ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "/nonexistent/postern.conf"));
	ck_assert_ptr_null(conf_load("/tmp", NULL, &e));
	ck_assert_ptr_nonnull(strstr(e.text, "not a regular file"));
}
END_TEST

Suite *
load_suite(void)
{
	return unit_suite("load",
	    (const TTest *const[]){every_mistake_is_told_with_its_line,
		several_mistakes_are_told_in_the_order_of_the_file, no_more_than_the_bound_is_told,
		defaults_are_filled_in, values_may_be_quoted_or_not, a_dump_loads_as_the_same,
		the_example_loads_and_its_comments_are_the_defaults,
		every_option_stands_in_the_manual, a_file_that_cannot_be_read_is_named, NULL});
}

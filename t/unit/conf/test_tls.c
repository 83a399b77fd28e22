/* TLS: certificates, profiles, actions, verification of peers, transparent connectors. */
#include <stdio.h>
#include <string.h>

#include "t/unit/conf/told.h"
#include "t/unit/unit.h"

Suite *tls_suite(void);

#define POP "peer p { service = pop3 host = 127.0.0.1 port = 2110 tls = none }\n"
#define POPS "peer s { service = pop3 host = 127.0.0.1 port = 2995 tls = implicit }\n"
#define POPC(name, listen, rest)                                                                   \
	"connector " name " { service = pop3 listen = {\"" listen "\"} peer = p " rest "}\n"
#define CERT "certificates = {mail} "
#define PRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HOST "peer h { service = pop3 host = mail.test "

START_TEST(every_connector_of_an_inspecting_action_without_tls_is_named)
{
	static struct told t;

	ck_assert_ptr_null(load(POP "action watch { service = pop3 tls = inspect }\n"
				    "connector a { service = pop3 peer = p listen = {127.0.0.1}\n"
				    " action = watch\n"
				    " tls = disabled }\n"
				    "connector b { service = pop3 peer = p listen = {127.0.0.2}\n"
				    " action = watch " CERT "}\n"
				    "connector c { service = pop3 peer = p listen = {127.0.0.3}\n"
				    " tls = disabled\n"
				    " action = watch }\n",
	    &t));
	ck_assert_uint_eq(t.count, 2);
	ck_assert_ptr_nonnull(strstr(t.all,
	    "f:5: connector \"a\" has tls = disabled, and its action \"watch\" (line 2) inspects"));
	ck_assert_ptr_nonnull(strstr(t.all,
	    "f:9: connector \"c\" has tls = disabled, and its action \"watch\" (line 2) inspects"));
}
END_TEST

START_TEST(an_action_is_shared_where_tls_is_enabled_or_required)
{
	static struct told t;
	struct conf *c =
	    load(POP "tls_profile strict { min_version = 1.3 }\n"
		     "action watch { service = pop3 profile = strict }\n"
		     "connector a { service = pop3 peer = p listen = {127.0.0.1}\n"
		     " action = watch tls = required " CERT "}\n"
		     "connector b { service = pop3 peer = p listen = {127.0.0.2}\n"
		     " action = watch " CERT "}\n"
		     "connector c { service = pop3 peer = p listen = {127.0.0.3}\n" CERT "}\n"
		     "connector d { service = pop3 peer = p listen = {127.0.0.4}\n"
		     " tls = disabled }\n",
		&t);
	const struct conf_action *a;
	size_t i;

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_str_eq(t.warnings, "");
	a = conf_action_find(c, "watch");
	ck_assert_ptr_eq(a->profile, conf_profile_find(c, "strict"));
	ck_assert_int_eq(a->profile->min_version, CONF_TLS13);
	for (i = 0; i < 4; i++) {
		const struct conf_connector *k = &c->connectors[i];

		ck_assert_int_eq(k->inspect, CONF_TLS_INSPECT);
		ck_assert_ptr_eq(k->action, i < 2 ? a : NULL);
		ck_assert_ptr_eq(k->profile, i < 2 ? a->profile : conf_profile_find(c, "default"));
	}
	check_dump(c);
	conf_free(c);
}
END_TEST

START_TEST(the_default_profile_is_always_there)
{
	static struct told t;
	struct conf *c = load(GOOD, &t);
	const struct conf_profile *p;

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_uint_eq(c->nprofiles, 1);
	p = conf_profile_find(c, "default");
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p->line, 0);
	ck_assert_int_eq(p->min_version, CONF_TLS12);
	ck_assert_int_eq(p->pfs, 1);
	ck_assert_int_eq(p->tickets, 1);
	ck_assert_int_eq(p->stapling, 0);
	ck_assert_int_eq(p->verify, CONF_VERIFY_CA);
	ck_assert_int_eq(p->bad_certificate, CONF_BAD_CERT_UNTRUSTED);
	ck_assert_ptr_eq(c->peers[0].profile, p);
	conf_free(c);
	c = load(GOOD "tls_profile default { pfs = no }\n", &t);
	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_uint_eq(c->nprofiles, 1);
	ck_assert_uint_eq(c->profiles[0].line, 3);
	ck_assert_int_eq(c->peers[0].profile->pfs, 0);
	check_dump(c);
	conf_free(c);
}
END_TEST

START_TEST(certificates_come_from_the_connector_or_the_node)
{
	static struct told t;
	struct conf *c =
	    load("node { tls_dir = /tls certificates = {mail, \"/etc/ec.pem\"} }\n" POP POPC(
		     "a", "127.0.0.1", "") POPC("b", "127.0.0.2", "certificates = {/x/b.pem} ")
		     POPC("c", "127.0.0.3", "tls = disabled "),
		&t);

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_uint_eq(c->connectors[0].chains.n, 2);
	ck_assert_str_eq(c->connectors[0].chains.v[0], "/tls/mail.pem");
	ck_assert_str_eq(c->connectors[0].chains.v[1], "/etc/ec.pem");
	ck_assert_uint_eq(c->connectors[1].chains.n, 1);
	ck_assert_str_eq(c->connectors[1].chains.v[0], "/x/b.pem");
	ck_assert_uint_eq(c->connectors[2].chains.n, 0);
	check_dump(c);
	conf_free(c);
}
END_TEST

START_TEST(a_peer_takes_from_its_profile_what_it_does_not_say)
{
	static struct told t;
	struct conf *c =
	    load("tls_profile x { verify = fingerprint ca_file = /x.pem\n"
		 " fingerprints = {\"" PRINT "\", \"00:11" PRINT "\"} }\n" PEER("p", "profile = x"),
		&t);
	const struct conf_peer *p;

	ck_assert_ptr_null(c);
	ck_assert_ptr_nonnull(strstr(t.all, "f:2: fingerprints = 00:11"));
	c = load("tls_profile x { verify = fingerprint ca_file = /x.pem\n"
		 " fingerprints = {\"" PRINT "\"} names = {\"mail.test=mx.test\"} }\n" GOOD HOST
		 "profile = x }\n"
		 "peer own { service = pop3 host = mail.test profile = x verify = ca\n"
		 " ca_file = /y.pem }\n",
	    &t);
	ck_assert_msg(c != NULL, "%s", t.all);
	p = conf_peer_find(c, "h");
	ck_assert_int_eq(p->verify, CONF_VERIFY_FINGERPRINT);
	ck_assert_str_eq(p->ca_file, "/x.pem");
	ck_assert_uint_eq(p->fingerprints.n, 1);
	ck_assert_str_eq(p->fingerprints.v[0], PRINT);
	ck_assert_uint_eq(p->port, 110);
	ck_assert_uint_eq(p->tls_port, 995);
	ck_assert_str_eq(conf_profile_expects(p->profile, "MAIL.test"), "mx.test");
	ck_assert_str_eq(conf_profile_expects(p->profile, "mail.tes"), "mail.tes");
	p = conf_peer_find(c, "own");
	ck_assert_int_eq(p->verify, CONF_VERIFY_CA);
	ck_assert_str_eq(p->ca_file, "/y.pem");
	ck_assert_uint_eq(p->fingerprints.n, 0);
	check_dump(c);
	conf_free(c);
}
END_TEST

START_TEST(fingerprints_are_kept_in_one_spelling)
{
	static struct told t;
	struct conf *c = load(GOOD HOST "verify = fingerprint fingerprints = "
					"{\"AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:"
					"AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89\"} }\n",
	    &t);

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_str_eq(conf_peer_find(c, "h")->fingerprints.v[0],
	    "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789");
	check_dump(c);
	conf_free(c);
}
END_TEST

START_TEST(tls_that_contradicts_is_told_with_its_line)
{
	static const struct {
		const char *text, *told;
	} cases[] = {
	    /* certificates */
	    {POP POPC("c", "127.0.0.1", ""),
		"f:2: connector \"c\" offers TLS without a certificate"},
	    {POP POPC("c", "127.0.0.1", "tls = required "), "certificates = NAME or FILE"},
	    {POP POPC("c", "127.0.0.1", "tls = required "), "or tls = disabled"},
	    {POP POPC("c", "127.0.0.1", "certificates = {mail,\n mail}"),
		"f:3: certificates: /etc/postern/tls/mail.pem stands twice"},
	    {POP POPC("c", "127.0.0.1", "certificates = {\"a/b\"}"),
		"f:2: certificates = a/b: write the name of a certificate"},
	    {POP POPC("c", "127.0.0.1", "\n tls = disabled\n starttls = required "),
		"f:4: connector \"c\" requires TLS and offers none"},
	    /* profiles and actions */
	    {GOOD "action a { service = pop3 profile = x }\n",
		"f:3: profile = x: there is no such TLS"},
	    {GOOD HOST "profile = x }\n", "f:3: profile = x: there is no such TLS profile"},
	    {POP POPC("c", "127.0.0.1", CERT "\n action = a "),
		"f:3: action = a: there is no such action"},
	    {POP "action a { service = smtp }\n" POPC("c", "127.0.0.1", CERT "action = a "),
		"f:3: action = a: that action (line 2) is of service smtp"},
	    {GOOD "action a { tls = allow }\n", "f:3: action \"a\" has no service"},
	    {GOOD "tls_profile x { client_certificate = ask }\n",
		"f:3: client_certificate of tls_profile \"x\": set client_ca"},
	    {GOOD "tls_profile x { client_ca = /ca.pem }\n",
		"f:3: client_ca is for client_certificate"},
	    {GOOD "tls_profile x { names = {\"a=b\",\n \"A=c\"} }\n", "f:4: names: A stands twice"},
	    {GOOD "tls_profile x { names = {a} }\n", "f:3: names = a: write ASKED=EXPECTED"},
	    {GOOD "tls_profile x { names = {\"=b\"} }\n", "f:3: names = =b"},
	    {GOOD "tls_profile x { min_version = 1.1 }\n",
		"f:3: min_version = 1.1: it can be 1.2 or 1.3"},
	    {GOOD "tls_profile x { ciphers = \"a'b\" }\n", "f:3: ciphers = a'b: only printable"},
	    {GOOD "tls_profile x { alpn = {\"a b\"} }\n", "f:3: alpn = a b: 1 to 255"},
	    {GOOD "tls_profile x { fingerprints = {0123} }\n",
		"f:3: fingerprints = 0123: a SHA-256"},
	    /* second factor */
	    {POP POPC("c", "127.0.0.1", CERT "tls = required\n second_factor = certificate "),
		"f:3: second_factor = certificate: set action"},
	    {POP "tls_profile x { client_certificate = ask client_ca = /a }\n"
		 "action a { service = pop3 profile = x }\n" POPC("c", "127.0.0.1",
		     CERT "action = a tls = required\n second_factor = certificate "),
		"f:5: second_factor = certificate: set action"},
	    {POP "tls_profile x { client_certificate = require client_ca = /a }\n"
		 "action a { service = pop3 profile = x }\n" POPC(
		     "c", "127.0.0.1", CERT "action = a\n second_factor = certificate "),
		"f:5: second_factor = certificate: clients show one in TLS only"},
	    {POP "tls_profile x { client_certificate = require client_ca = /a }\n"
		 "action a { service = pop3 profile = x tls = allow }\n" POPC(
		     "c", "127.0.0.2", "action = a tls = required\n second_factor = certificate "),
		"f:5: second_factor = certificate: set action"},
	    /* peers */
	    {GOOD HOST "\n verify = fingerprint }\n",
		"f:4: peer \"h\": verify = fingerprint without"},
	    {GOOD HOST "\n fingerprints = {\"" PRINT "\"} }\n", "f:4: fingerprints are for verify"},
	    {"dns { trust_anchor = /root.key }\n" GOOD
	     "peer h { service = pop3 host = 192.0.2.1 verify = dane }\n",
		"f:4: peer \"h\" at 192.0.2.1: verify = dane looks the name"},
	    {GOOD HOST "verify = none }\n", "f:3: peer \"h\" at mail.test would not be verified"},
	    {"tls_profile x { verify = none }\n" GOOD HOST "\n profile = x }\n",
		"f:5: peer \"h\" at mail.test would not be verified"},
	    {GOOD HOST "verify = yes }\n",
		"f:3: verify = yes: it can be none, ca, fingerprint or dane"},
	    {GOOD HOST "tls_port = 0 }\n", "f:3: tls_port = 0"},
	    /* allow */
	    {POPS "action a { service = pop3 tls = allow }\n"
		  "connector c { service = pop3 peer = s listen = {127.0.0.2}\n action = a }\n",
		"f:4: connector \"c\": action \"a\" passes a request for TLS on, and peer \"s\" "
		"(line 1)"},
	    {"peer p { service = pop3 host = 127.0.0.1 port = 2110 tls = none\n tls_port = 995 }\n"
	     "action a { service = pop3 tls = allow }\n" POPC("c", "127.0.0.1", "action = a "),
		"f:2: peer \"p\" is our own connector \"c\""},
	    /* transparent */
	    {POP "connector c { service = pop3 listen = {127.0.0.1} transparent = redirect\n peer "
		 "= p }\n",
		"f:3: connector \"c\" is transparent"},
	    {"connector c { service = pop3 listen = {127.0.0.1} transparent = redirect\n"
	     " second_factor = password }\n",
		"f:2: connector \"c\" is transparent, and logins at foreign servers are nobody's"},
	    {"connector c { service = smtp listen = {127.0.0.1} transparent = redirect\n"
	     " sign_by_address = {10.0.0.1} }\n",
		"f:2: connector \"c\" is transparent, and nothing is signed"},
	    {"connector c { service = pop3 listen = {127.0.0.1} transparent = redirect\n"
	     " keep_source = yes }\n",
		"f:2: keep_source: a client's address"},
	    {POP POPC("c", "127.0.0.1", "tls = disabled\n keep_source = yes "), "f:3: keep_source"},
	    {"tls_profile x { verify = none }\n action a { service = pop3 profile = x }\n"
	     "connector c { service = pop3 listen = {127.0.0.1} transparent = tproxy\n action = a "
	     "}\n",
		"f:4: connector \"c\" would show good certificates for foreign servers"},
	    {"tls_profile default { verify = fingerprint }\n"
	     "connector c { service = pop3 listen = {127.0.0.1}\n transparent = tproxy }\n",
		"f:3: connector \"c\": verify = fingerprint without fingerprints"},
	    {"tls_profile default { verify = dane }\n"
	     "connector c { service = pop3 listen = {127.0.0.1}\n transparent = tproxy }\n",
		"f:3: connector \"c\": verify = dane wants the name of a host"},
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

START_TEST(what_is_allowed_and_should_be_known_is_a_warning)
{
	static const struct {
		const char *text, *told; /* "": nothing */
	} cases[] = {
	    {PEER("p",
		 "") "action a { service = smtp tls = allow }\n"
		     "connector c { service = smtp peer = p listen = {127.0.0.2}\n action = a }\n",
		"f:4: warning: connector \"c\": action \"a\" passes TLS on untouched: mail in it "
		"leaves "
		"as it came, also what policy wants encrypted"},
	    {PEER("p", "") "action a { service = smtp tls = allow }\n"
			   "connector c { service = smtp peer = p listen = {127.0.0.2} action = a\n"
			   " sign_by_address = {10.0.0.1} }\n",
		"f:4: warning: connector \"c\": mail within TLS is passed on untouched: it is not "
		"signed"},
	    {PEER("p", "") "action a { service = smtp tls = allow }\n"
			   "connector c { service = smtp peer = p listen = {127.0.0.2} action = a\n"
			   " tls = disabled }\n",
		""},
	    {POP "action a { service = pop3 tls = allow }\n" POPC("c", "127.0.0.2", "action = a "),
		""},
	    {POP "action a { service = pop3 tls = allow }\n" POPC(
		 "c", "127.0.0.2", "action = a\n second_factor = password "),
		"f:4: warning: connector \"c\": logins within TLS are passed on"},
	    {POP "action a { service = pop3 tls = allow }\n" POPC(
		 "c", "127.0.0.2", "action = a\n banner = yes "),
		"f:4: warning: connector \"c\": mail within TLS is passed on untouched: it gets no "
		"banner"},
	    {POP "action a { service = pop3 tls = allow }\n" POPC(
		 "c", "127.0.0.2", "action = a\n sizes = exact "),
		"f:4: warning: connector \"c\": mail within TLS is passed on untouched: its sizes"},
	    {POP "action a { service = pop3 tls = allow }\n" POPC(
		 "c", "127.0.0.2", "action = a\n" CERT),
		"f:4: warning: connector \"c\" does not show its certificates: its action"},
	    {POP POPC("c", "127.0.0.1", "tls = disabled\n" CERT),
		"f:3: warning: connector \"c\" does not show its certificates: tls = disabled"},
	    {"connector c { service = pop3 listen = {127.0.0.1} transparent = redirect\n" CERT
	     "}\n",
		"f:2: warning: connector \"c\" does not show its certificates: it is transparent"},
	    {"tls_profile x { }\n" POP
	     "action a { service = pop3 tls = allow\n profile = x }\n" POPC(
		 "c", "127.0.0.2", "action = a "),
		"f:4: warning: action \"a\" passes TLS on untouched: its profile does not count"},
	    {GOOD HOST "\n verify = dane }\n",
		"f:4: warning: peer \"h\": verify = dane needs DNSSEC"},
	    {"dns { trust_anchor = /root.key }\n" GOOD HOST "\n verify = dane }\n", ""},
	    {GOOD "tls_profile x { min_version = 1.3\n ciphers = ECDHE }\n",
		"f:4: warning: ciphers are of TLS 1.2"},
	    {POP "tls_profile default { client_certificate = require client_ca = /a }\n" POPC(
		 "c", "127.0.0.1", CERT),
		"f:3: warning: connector \"c\" asks for certificates in TLS, and clients may do "
		"without"},
	};
	static struct told t;
	struct conf *c;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		c = load(cases[i].text, &t);
		ck_assert_msg(c != NULL, "%s\n%s", cases[i].text, t.all);
		ck_assert_msg(strstr(t.warnings, cases[i].told) != NULL, "%s\nsaid %s\nnot %s",
		    cases[i].text, t.warnings, cases[i].told);
		if (cases[i].told[0] == '\0')
			ck_assert_str_eq(t.warnings, "");
		check_dump(c);
		conf_free(c);
	}
}
END_TEST

START_TEST(a_tunnel_needs_a_tls_port_only)
{
	static struct told t;
	struct conf *c = load(POPS "action a { service = pop3 tls = allow }\n"
				   "connector c { service = pop3 peer = s listen = {127.0.0.1} "
				   "action = a tls = required }\n",
	    &t);

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_int_eq(c->connectors[0].inspect, CONF_TLS_ALLOW);
	ck_assert_uint_eq(c->connectors[0].chains.n, 0);
	ck_assert_uint_eq(c->peers[0].tls_port, 2995);
	check_dump(c);
	conf_free(c);
}
END_TEST

START_TEST(a_transparent_connector_has_no_peer_and_needs_no_certificate)
{
	static struct told t;
	struct conf *c =
	    load("connector c { service = pop3 listen = {127.0.0.1} transparent = redirect }\n"
		 "connector d { service = smtp listen = {127.0.0.1} transparent = tproxy\n"
		 " keep_source = yes }\n",
		&t);

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_int_eq(c->connectors[0].transparent, CONF_TRANSPARENT_REDIRECT);
	ck_assert_ptr_null(c->connectors[0].peer);
	ck_assert_uint_eq(c->connectors[0].chains.n, 0);
	ck_assert_int_eq(c->connectors[1].keep_source, 1);
	check_dump(c);
	conf_free(c);
}
END_TEST

/* "WHAT PATH NEED", a line each. */
struct asked {
	char all[1024];
	int stop;
};

static int
note_file(void *arg, const char *path, const char *what, int need)
{
	struct asked *a = arg;
	size_t n = strlen(a->all);

	(void)snprintf(a->all + n, sizeof a->all - n, "%s %s %d\n", what, path, need);
	return a->stop ? -1 : 0;
}

START_TEST(the_files_that_daemons_need_are_told)
{
	static struct told t;
	struct asked a = {.stop = 0};
	struct conf *c =
	    load("node { certificates = {/n.pem} }\n"
		 "dns { trust_anchor = /root.key }\n"
		 "tls_profile x { client_certificate = ask client_ca = /people.pem }\n"
		 "tls_profile out { ca_file = /world.pem }\n"
		 "action a { service = pop3 profile = x }\n"
		 "action out { service = pop3 profile = out }\n" POP
		 "peer q { service = pop3 host = mail.test ca_file = /q.pem }\n"
		 "peer d { service = smtp host = mail.test ca_file = /d.pem verify = dane }\n"
		 "connector k { service = pop3 listen = {127.0.0.1} peer = p action = a }\n"
		 "connector off { service = pop3 listen = {127.0.0.2} peer = p\n"
		 " tls = disabled }\n"
		 "connector world { service = pop3 listen = {127.0.0.3}\n"
		 " transparent = redirect action = out }\n",
		&t);

	ck_assert_msg(c != NULL, "%s", t.all);
	ck_assert_int_eq(conf_files(c, note_file, &a), 0);
	ck_assert_str_eq(a.all, "connector k: certificates /n.pem 1\n"
				"tls_profile x: client_ca /people.pem 1\n"
				"tls_profile out: ca_file /world.pem 1\n"
				"peer q: ca_file /q.pem 1\n"
				"peer d: ca_file /d.pem 0\n"
				"dns: servers /etc/resolv.conf 0\n"
				"dns: hosts /etc/hosts 0\n"
				"dns: trust_anchor /root.key 1\n");
	a = (struct asked){.stop = 1};
	ck_assert_int_eq(conf_files(c, note_file, &a), -1);
	ck_assert_str_eq(a.all, "connector k: certificates /n.pem 1\n");
	conf_free(c);
}
END_TEST

Suite *
tls_suite(void)
{
	return unit_suite("tls",
	    (const TTest *const[]){every_connector_of_an_inspecting_action_without_tls_is_named,
		an_action_is_shared_where_tls_is_enabled_or_required,
		the_default_profile_is_always_there,
		certificates_come_from_the_connector_or_the_node,
		a_peer_takes_from_its_profile_what_it_does_not_say,
		fingerprints_are_kept_in_one_spelling, tls_that_contradicts_is_told_with_its_line,
		what_is_allowed_and_should_be_known_is_a_warning, a_tunnel_needs_a_tls_port_only,
		a_transparent_connector_has_no_peer_and_needs_no_certificate,
		the_files_that_daemons_need_are_told, NULL});
}

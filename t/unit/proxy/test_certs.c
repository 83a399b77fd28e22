/* Certificates, contexts, staples and profiles across reloads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "net/conn_int.h"
#include "net/tls_int.h"
#include "proxy/certs.h"
#include "proxy/profile.h"
#include "proxy/tls_server.h"
#include "t/unit/proxy/pki.h"
#include "t/unit/proxy/world.h"
#include "t/unit/unit.h"

Suite *certs_suite(void);

#define PEER "peer p { service = pop3 host = 127.0.0.1 tls = none }\n"
#define POP(name, port, more)                                                                      \
	"connector " name " { service = pop3 peer = p listen_tls = {\"127.0.0.1:" port "\"}\n"     \
	" tls = required " more " }\n"
#define TWO                                                                                        \
	PEER POP("a", "8995", "certificates = {/a.pem}")                                           \
	    POP("b", "8996", "certificates = {/b.pem, /a.pem}")

static struct card ca, a, b;

static void
show(const char *path, const struct card *c)
{
	char *pem = card_pem(c, &ca);

	world_file(path, pem);
	free(pem);
}

static void
begin(void)
{
	world_begin(TWO);
	card_make(&ca, "authority", NULL, 90L * 86400, NULL, NULL);
	card_make(&a, "a.test", "DNS:a.test", 90L * 86400, &ca, NULL);
	card_make(&b, "b.test", "DNS:b.test", 90L * 86400, &ca, NULL);
	show("/a.pem", &a);
	show("/b.pem", &b);
}

static void
end(void)
{
	card_free(&ca);
	card_free(&a);
	card_free(&b);
	world_end();
}

static void
start(const char *config)
{
	struct err e = {0};

	if (config != NULL)
		world_conf(config);
	ck_assert_msg(tls_server_start(proc_env()->conf, &e) == 0, "%s", e.text);
	world_run(10);
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	(void)c;
	(void)why;
	(void)text;
	(void)arg;
}

/* A connection that would be shown this connector's certificates. */
static struct conn *
client_of(const char *name, struct err *e)
{
	static const struct conn_limits limits = {.in_max = 4096, .out_max = 4096};
	static const struct conn_handlers handlers = {.closed = on_closed};
	const struct proxy_route *r =
	    proxy_route_get(world_connector(name), CONF_TLS_IMPLICIT, proc_env()->conf);
	struct conn *c;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	c = conn_new(proc_env()->base, fds[0], &limits, &handlers, NULL);
	(void)close(fds[1]);
	if (tls_server_accept(r, c, e) == -1) {
		conn_free(c);
		c = NULL;
	}
	proxy_route_drop(r);
	return c;
}

/* Only to be compared: it may be gone. */
static const void *
context_of(const char *name)
{
	struct err e = {0};
	struct conn *c = client_of(name, &e);
	const void *ctx;

	ck_assert_msg(c != NULL, "%s", e.text);
	ctx = SSL_get_SSL_CTX(c->tls->ssl);
	conn_free(c);
	return ctx;
}

START_TEST(a_reload_makes_only_what_is_new)
{
	struct tls_file *one, *two, *three;
	struct err e = {0};

	start(NULL); /* the provider of keys */
	ck_assert_int_eq(certs_make(&one, NULL, proc_env()->conf, CONF_POP3, &e), 0);
	ck_assert_ptr_nonnull(certs_find(one, "/a.pem"));
	ck_assert_ptr_nonnull(certs_find(one, "/b.pem"));
	ck_assert_ptr_null(certs_find(one, "/c.pem"));
	ck_assert_ptr_null(one->next->next); /* one that two connectors show is there once */
	ck_assert_ptr_eq(
	    certs_of_handle(one, certs_find(one, "/a.pem")->handle), certs_find(one, "/a.pem"));
	show("/a.pem", &b);
	ck_assert_int_eq(certs_make(&two, one, proc_env()->conf, CONF_POP3, &e), 0);
	ck_assert_ptr_eq(certs_find(two, "/b.pem")->cert, certs_find(one, "/b.pem")->cert);
	ck_assert_int_eq(memcmp(certs_find(two, "/b.pem")->handle,
			     certs_find(one, "/b.pem")->handle, KEYPROV_HANDLE),
	    0);
	ck_assert_ptr_ne(certs_find(two, "/a.pem")->cert, certs_find(one, "/a.pem")->cert);
	certs_free(&one);
	/* Of another service nothing is made; what is wrong is told with its connector. */
	ck_assert_int_eq(certs_make(&three, two, proc_env()->conf, CONF_SMTP, &e), 0);
	ck_assert_ptr_null(three);
	world_file("/b.pem", NULL);
	ck_assert_int_eq(certs_make(&three, two, proc_env()->conf, CONF_POP3, &e), -1);
	ck_assert_str_eq(e.text, "connector b: certificate /b.pem is not there");
	world_file("/b.pem", "nonsense");
	ck_assert_int_eq(certs_make(&three, two, proc_env()->conf, CONF_POP3, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "connector b: /b.pem"));
	ck_assert_ptr_null(three);
	certs_free(&two);
}
END_TEST

START_TEST(contexts_stay_where_nothing_has_changed)
{
	const void *of_a, *of_b;
	struct conn *under_way;
	struct err e = {0};

	start(NULL);
	of_a = context_of("a");
	of_b = context_of("b");
	ck_assert_ptr_ne(of_a, of_b);
	start(NULL);
	ck_assert_ptr_eq(context_of("a"), of_a);
	ck_assert_ptr_eq(context_of("b"), of_b);
	/* A connector's profile is its own matter, a certificate that of all that show it.  What
	 * is under way keeps the old context, which is why nothing new can have its address. */
	under_way = client_of("a", &e);
	start("tls_profile x { min_version = 1.3 }\n action n { service = pop3 profile = x }\n" PEER
		POP("a", "8995", "certificates = {/a.pem} action = n")
		    POP("b", "8996", "certificates = {/b.pem, /a.pem}"));
	ck_assert_ptr_ne(context_of("a"), of_a);
	ck_assert_ptr_eq(context_of("b"), of_b);
	conn_free(under_way);
	start(TWO);
	of_a = context_of("a");
	under_way = client_of("b", &e);
	show("/b.pem", &a);
	start(NULL);
	ck_assert_ptr_eq(context_of("a"), of_a);
	ck_assert_ptr_ne(context_of("b"), of_b);
	conn_free(under_way);
}
END_TEST

START_TEST(a_start_that_fails_leaves_all_as_it_was)
{
	const void *of_a;
	struct err e = {0};

	start(NULL);
	of_a = context_of("a");
	world_file("/b.pem", "nonsense");
	ck_assert_int_eq(tls_server_start(proc_env()->conf, &e), -1);
	ck_assert_ptr_eq(context_of("a"), of_a);
	world_conf("tls_profile x { client_certificate = require client_ca = /none.pem }\n"
		   " action n { service = pop3 profile = x }\n" PEER POP(
		       "a", "8995", "certificates = {/a.pem} action = n"));
	ck_assert_int_eq(tls_server_start(proc_env()->conf, &e), -1);
	ck_assert_str_eq(e.text, "connector a: client_ca /none.pem is not there");
	world_conf("tls_profile x { groups = nonsense }\n" PEER POP(
	    "a", "8995", "certificates = {/a.pem}"));
	ck_assert_int_eq(tls_server_start(proc_env()->conf, &e), -1);
	ck_assert_msg(strstr(e.text, "tls_profile x (line 1): groups") != NULL, "%s", e.text);
	ck_assert_ptr_eq(context_of("a"), of_a);
}
END_TEST

START_TEST(a_connector_that_came_or_went_is_told_apart)
{
	struct err e = {0};

	start(PEER POP("a", "8995", "certificates = {/a.pem}"));
	world_conf(TWO);
	ck_assert_ptr_null(client_of("b", &e));
	ck_assert_int_eq(e.code, ENOENT);
	start(NULL);
	ck_assert_ptr_nonnull(context_of("b"));
	world_cryptod_away = true;
	ck_assert_ptr_null(client_of("b", &e));
	ck_assert_int_eq(e.code, EAGAIN);
}
END_TEST

/* --- staples --- */

#define STAPLED                                                                                    \
	"tls_profile x { stapling = yes }\n action n { service = pop3 profile = x }\n" PEER POP(   \
	    "a", "8995", "certificates = {/a.pem} action = n")

static void
answer(int status, uint64_t next, const char *response)
{
	struct ocsp_rep rep = {.status = (uint8_t)status,
	    .text = "",
	    .this_update = 1,
	    .next_update = next,
	    .response = {(const uint8_t *)response, strlen(response)}};

	world_answer(M_ocsp_req, &rep);
}

/* What clients of connector a would get. */
static const char *
staple(void)
{
	static char text[64];
	const struct tls_cert *c;
	struct err e = {0};
	struct conn *k = client_of("a", &e);

	ck_assert_msg(k != NULL, "%s", e.text);
	c = tls_cert_of(SSL_get_certificate(k->tls->ssl));
	ck_assert_ptr_nonnull(c);
	(void)snprintf(text, sizeof text, "%.*s", (int)c->staple.n,
	    c->staple.n > 0 ? (const char *)c->staple.p : "");
	conn_free(k);
	return text;
}

START_TEST(keyd_is_asked_for_what_is_stapled_once)
{
	const struct ocsp_req *q;
	const uint64_t soon = (uint64_t)time(NULL) + 3600;

	start(TWO);
	ck_assert_uint_eq(world_count(M_ocsp_req), 0);
	start(STAPLED);
	ck_assert_uint_eq(world_count(M_ocsp_req), 1);
	q = world_asked(M_ocsp_req)->body;
	ck_assert_int_eq(memcmp(q->cert.p, a.der, a.n), 0);
	ck_assert_int_eq(memcmp(q->issuer.p, ca.der, ca.n), 0);
	/* A reload while keyd thinks, and one afterwards. */
	start(NULL);
	ck_assert_uint_eq(world_count(M_ocsp_req), 1);
	answer(OCSP_GOOD, soon, "response");
	ck_assert_str_eq(staple(), "response");
	start(NULL);
	ck_assert_uint_eq(world_count(M_ocsp_req), 0);
	ck_assert_str_eq(staple(), "response");
	/* Another certificate is another question, and has nothing until then. */
	show("/a.pem", &b);
	start(NULL);
	ck_assert_str_eq(staple(), "");
	answer(OCSP_REVOKED, soon, "revoked");
	ck_assert_str_eq(staple(), "");
}
END_TEST

START_TEST(what_nobody_wants_stapled_is_not)
{
	start(STAPLED);
	answer(OCSP_GOOD, (uint64_t)time(NULL) + 3600, "response");
	start(
	    "tls_profile x { stapling = no }\n action n { service = pop3 profile = x }\n" PEER POP(
		"a", "8995", "certificates = {/a.pem} action = n"));
	ck_assert_str_eq(staple(), "");
	ck_assert_uint_eq(world_count(M_ocsp_req), 0);
	/* The same octets under another name. */
	show("/moved.pem", &a);
	start(
	    "tls_profile x { stapling = yes }\n action n { service = pop3 profile = x }\n" PEER POP(
		"a", "8995", "certificates = {/moved.pem} action = n"));
	answer(OCSP_GOOD, (uint64_t)time(NULL) + 3600, "moved");
	ck_assert_str_eq(staple(), "moved");
}
END_TEST

/* --- ends, status, profiles --- */

START_TEST(the_status_tells_when_certificates_end)
{
	struct card old;
	char want[64];
	struct tm tm;
	time_t t = time(NULL) + 90L * 86400;

	start(PEER POP("a", "8995", "certificates = {/a.pem}"));
	tls_server_status();
	ck_assert_str_eq(world_fact("tls.signatures"), "0");
	(void)gmtime_r(&t, &tm);
	(void)strftime(want, sizeof want, "/a.pem: ends on %Y-%m-%d", &tm);
	ck_assert_str_eq(world_fact("tls.certificate"), want);
	world_facts_clear();
	card_make(&old, "old", "DNS:a.test", -60, &ca, NULL);
	show("/a.pem", &old);
	start(NULL);
	tls_server_status();
	ck_assert_ptr_nonnull(strstr(world_fact("tls.certificate"), "/a.pem: ENDED on "));
	card_free(&old);
	/* No TLS, nothing to tell. */
	world_facts_clear();
	start("connector c { service = pop3 listen = {\"127.0.0.1:8110\"} tls = disabled\n"
	      " transparent = redirect }\n");
	tls_server_status();
	ck_assert_ptr_null(world_fact("tls.signatures"));
}
END_TEST

START_TEST(a_profile_becomes_options)
{
	struct profile_options o;

	world_conf("tls_profile x { min_version = 1.3 ciphers = \"ECDHE+AESGCM\"\n"
		   " ciphersuites = TLS_AES_256_GCM_SHA384 groups = X25519 pfs = no\n"
		   " alpn = {pop3, imap} }\n" TWO);
	profile_options(&o, conf_profile_find(proc_env()->conf, "x"), "pop3");
	ck_assert_int_eq((int)o.o.min_version, TLS_V13);
	ck_assert_str_eq(o.o.ciphers, "ECDHE+AESGCM");
	ck_assert_str_eq(o.o.ciphersuites, "TLS_AES_256_GCM_SHA384");
	ck_assert_str_eq(o.o.groups, "X25519");
	ck_assert(o.o.any_kex);
	ck_assert_uint_eq(o.o.nalpn, 2);
	ck_assert_str_eq(o.o.alpn[1], "imap");
	profile_options(&o, conf_profile_find(proc_env()->conf, "default"), "pop3");
	ck_assert_int_eq((int)o.o.min_version, TLS_V12);
	ck_assert(!o.o.any_kex);
	ck_assert_uint_eq(o.o.nalpn, 1);
	ck_assert_str_eq(o.o.alpn[0], "pop3");
	profile_options(&o, conf_profile_find(proc_env()->conf, "default"), NULL);
	ck_assert_uint_eq(o.o.nalpn, 0);
}
END_TEST

Suite *
certs_suite(void)
{
	return unit_suite_around("certs", begin, end,
	    (const TTest *const[]){a_reload_makes_only_what_is_new,
		contexts_stay_where_nothing_has_changed, a_start_that_fails_leaves_all_as_it_was,
		a_connector_that_came_or_went_is_told_apart, keyd_is_asked_for_what_is_stapled_once,
		what_nobody_wants_stapled_is_not, the_status_tells_when_certificates_end,
		a_profile_becomes_options, NULL});
}

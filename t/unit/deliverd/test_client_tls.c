#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "deliverd/client_int.h"
#include "net/tls.h"
#include "t/unit/deliverd/fake.h"
#include "t/unit/unit.h"

Suite *client_tls_suite(void);

struct card {
	X509 *x;
	EVP_PKEY *key;
};

static void
extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	ck_assert_ptr_nonnull(ext);
	ck_assert_int_eq(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

/* issuer NULL: an authority. */
static struct card
make_card(const char *name, long days, const struct card *issuer)
{
	struct card c = {X509_new(), EVP_EC_gen("P-256")};
	X509_NAME *n = X509_get_subject_name(c.x);
	char alt[128];
	static int serial;

	X509_set_version(c.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c.x), ++serial);
	X509_time_adj_ex(X509_getm_notBefore(c.x), -10, 0, NULL);
	X509_time_adj_ex(X509_getm_notAfter(c.x), (int)days, 0, NULL);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(c.x, issuer != NULL ? X509_get_subject_name(issuer->x) : n);
	X509_set_pubkey(c.x, c.key);
	if (issuer == NULL) {
		extend(c.x, NID_basic_constraints, "critical,CA:TRUE");
	} else {
		(void)snprintf(alt, sizeof alt, "DNS:%s", name);
		extend(c.x, NID_subject_alt_name, alt);
	}
	ck_assert_int_gt(X509_sign(c.x, issuer != NULL ? issuer->key : c.key, EVP_sha256()), 0);
	return c;
}

static void
free_card(struct card *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
}

static char *
pem_of(const struct card *c)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p, *s;
	long n;

	ck_assert_int_eq(PEM_write_bio_X509(b, c->x), 1);
	n = BIO_get_mem_data(b, &p);
	s = strndup(p, (size_t)n);
	BIO_free(b);
	return s;
}

static EVP_PKEY *
key_of(X509 *cert, void *arg, struct err *e)
{
	const struct card *c = arg;

	(void)cert;
	(void)e;
	EVP_PKEY_up_ref(c->key);
	return c->key;
}

/* Authority and certificate of the fake server, and a world that knows the authority. */
struct secured {
	struct world w;
	struct card ca, own;
	struct tls_cert *cert;
};

static void
secured_start(struct secured *s, const char *name, long days, bool known, const char *const *first,
    const char *const *second)
{
	struct tls_options usual = {0};
	struct tls_server_options o = {.ncerts = 1, .context = "test"};
	struct card other = make_card("other", 10, NULL);
	char *pem;

	world_start(&s->w, first, second);
	s->ca = make_card("authority", 10, NULL);
	s->own = make_card(name, days, &s->ca);
	pem = pem_of(&s->own);
	s->cert = tls_cert_new(pem, strlen(pem), false, "own.pem", key_of, &s->own, NULL);
	ck_assert_ptr_nonnull(s->cert);
	free(pem);
	o.certs = &s->cert;
	s->w.fake.tls = tls_server_ctx(&o, NULL);
	ck_assert_ptr_nonnull(s->w.fake.tls);
	pem = pem_of(known ? &s->ca : &other);
	s->w.how.ctx = tls_client_ctx(&usual, pem, strlen(pem), "ca.pem", NULL);
	ck_assert_ptr_nonnull(s->w.how.ctx);
	free(pem);
	free_card(&other);
	s->w.how.tls = CLIENT_TLS_VERIFY;
	s->w.how.peer = (struct conn_peer){.name = "mx.example", .verify = CONN_VERIFY_CA};
}

static void
secured_stop(struct secured *s)
{
	world_stop(&s->w);
	tls_ctx_free(s->w.fake.tls);
	tls_ctx_free(s->w.how.ctx);
	tls_cert_free(s->cert);
	free_card(&s->ca);
	free_card(&s->own);
}

#define S(...)                                                                                     \
	(script)                                                                                   \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}
#define OFFER "S 220 a", "C EHLO", "S 250-a\r\n250-STARTTLS\r\n250-DSN\r\n250 SIZE 5"
#define START OFFER, "C STARTTLS", "S 220 go"
#define SECOND "C EHLO gw.example", "S 250-a\r\n250-PIPELINING\r\n250 REQUIRETLS"
#define SEND "C MAIL", "C RCPT", "C DATA", "S 250 ok", "S 250 ok", "S 354 go", "D", "S 250 ok"
#define CLEAR "S 220 a", "C EHLO", "S 250-a\r\n250 PIPELINING", SEND

static const struct {
	const char *name;
	const char *const *first, *const *second;
	const char *cert; /* the name in it */
	long days;
	bool known;
	enum client_tls level;
	const char *outcome, *result;
	bool tls, verified;
	const char *bad; /* in client_tls_bad; NULL: nothing is */
} cases[] = {
    {"verified", S(START, "T", SECOND, SEND), NULL, "mx.example", 5, true, CLIENT_TLS_VERIFY,
	"relayed 2.0.0, idle", "", true, true, NULL},
    {"unknown authority", S(START, "T", SECOND, SEND), NULL, "mx.example", 5, false,
	CLIENT_TLS_VERIFY, "no-tls", "certificate-not-trusted", false, false, NULL},
    {"another name", S(START, "T", SECOND, SEND), NULL, "b.example", 5, true, CLIENT_TLS_VERIFY,
	"no-tls", "certificate-host-mismatch", false, false, NULL},
    {"expired", S(START, "T", SECOND, SEND), NULL, "mx.example", -1, true, CLIENT_TLS_VERIFY,
	"no-tls", "certificate-expired", false, false, NULL},
    {"not offered, and wanted", S(CLEAR), NULL, "mx.example", 5, true, CLIENT_TLS_ENCRYPT, "no-tls",
	"starttls-not-supported", false, false, NULL},
    {"refused, and wanted", S(OFFER, "C STARTTLS", "S 454 no"), NULL, "mx.example", 5, true,
	CLIENT_TLS_ENCRYPT, "no-tls", "validation-failure", false, false, "said: 454 no"},
    {"broken, and wanted", S(START, "X"), NULL, "mx.example", 5, true, CLIENT_TLS_ENCRYPT, "no-tls",
	"validation-failure", false, false, NULL},
    {"any certificate", S(START, "T", SECOND, SEND), NULL, "b.example", -1, false,
	CLIENT_TLS_ENCRYPT, "relayed 2.0.0, idle", "certificate-not-trusted", true, false,
	"certificate of mx.example"},
    {"something put behind 220", S(OFFER, "C STARTTLS", "R 220 go\r\n250 more\r\n"), NULL,
	"mx.example", 5, true, CLIENT_TLS_ENCRYPT, "no-tls", "validation-failure", false, false,
	NULL},
    {"not offered", S(CLEAR), NULL, "mx.example", 5, true, CLIENT_TLS_MAY, "relayed 2.0.0, idle",
	"starttls-not-supported", false, false, NULL},
    {"refused",
	S(OFFER, "C STARTTLS", "S 454 no", "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C DATA",
	    "S 354 go", "D", "S 250 ok"),
	NULL, "mx.example", 5, true, CLIENT_TLS_MAY, "failed 5.3.4, idle", "validation-failure",
	false, false, "said: 454 no"},
    {"refused by good-bye", S(OFFER, "C STARTTLS", "S 421 no", "X"), S(CLEAR), "mx.example", 5,
	true, CLIENT_TLS_MAY, "relayed 2.0.0, idle", "validation-failure", false, false,
	"said: 421 no"},
    {"broken", S(START, "X"), S(CLEAR), "mx.example", 5, true, CLIENT_TLS_MAY,
	"relayed 2.0.0, idle", "validation-failure", false, false, "closed by the peer"},
    {"no TLS in there", S(START, "W", "S huh? huh? huh?"), S(CLEAR), "mx.example", 5, true,
	CLIENT_TLS_MAY, "relayed 2.0.0, idle", "validation-failure", false, false, "TLS handshake"},
    {"an endless handshake", S(START, "W", "W", "W", "W", "W", "W", "W", "W", "W"), S(CLEAR),
	"mx.example", 5, true, CLIENT_TLS_MAY, "relayed 2.0.0, idle", "validation-failure", false,
	false, "too long"},
    {"lost at STARTTLS", S(OFFER, "C STARTTLS", "X"), S(CLEAR), "mx.example", 5, true,
	CLIENT_TLS_MAY, "lost", NULL, false, false, NULL},
    {"a bad certificate is better than none", S(START, "T", SECOND, SEND), NULL, "b.example", 5,
	true, CLIENT_TLS_MAY, "relayed 2.0.0, idle", "certificate-host-mismatch", true, false,
	"name does not match"},
    {"EHLO is refused within TLS",
	S(START, "T", "C EHLO", "S 502 what", "C HELO", "S 250 a", "C MAIL", "S 250 ok", "C RCPT",
	    "S 250 ok", "C DATA", "S 354 go", "D", "S 250 ok"),
	NULL, "mx.example", 5, true, CLIENT_TLS_VERIFY, "relayed 2.0.0, idle", "", true, true,
	NULL},
    {"none, though it is offered", S(OFFER, "C MAIL"), NULL, "mx.example", 5, true, CLIENT_TLS_NONE,
	"failed 5.3.4, idle", NULL, false, false, NULL},
};

START_TEST(begins_tls_as_it_is_told)
{
	struct secured s;
	struct world *w = &s.w;
	const char *bad;

	secured_start(
	    &s, cases[_i].cert, cases[_i].days, cases[_i].known, cases[_i].first, cases[_i].second);
	w->how.tls = cases[_i].level;
	if (strcmp(cases[_i].name, "an endless handshake") == 0)
		w->how.reply_ms = 100;
	world_open(w);
	if (client_idle(w->client))
		world_send(w, MESSAGE, alice);
	ck_assert_msg(strcmp(world_outcome(w), cases[_i].outcome) == 0, "%s: %s, %s",
	    cases[_i].name, world_outcome(w), w->closed ? w->failure.text : w->texts[0]);
	if (cases[_i].result == NULL)
		ck_assert_uint_eq(w->tls, 0);
	else
		ck_assert_msg(w->tls == 1 && strcmp(w->tls_result, cases[_i].result) == 0,
		    "%s: %s %s", cases[_i].name, w->tls_result, w->tls_reason);
	ck_assert_int_eq(*client_tls_text(w->client) != '\0', cases[_i].tls);
	ck_assert_int_eq(client_verified(w->client), cases[_i].verified);
	bad = w->closed ? w->failure.text : client_tls_bad(w->client);
	if (cases[_i].bad != NULL)
		ck_assert_msg(bad != NULL && strstr(bad, cases[_i].bad) != NULL, "%s: %s",
		    cases[_i].name, bad != NULL ? bad : "nothing");
	else if (!w->closed)
		ck_assert_msg(bad == NULL, "%s: %s", cases[_i].name, bad);
	/* What was said in clear counts no more within TLS. */
	if (cases[_i].tls)
		ck_assert(!world_heard(w, "NOTIFY") && w->rcpts[0].status == JOB_RELAYED);
	secured_stop(&s);
}
END_TEST

START_TEST(tls_may_come_first)
{
	struct secured s;

	secured_start(&s, "mx.example", 5, true, S("T", "S 220 a", SECOND, SEND), NULL);
	s.w.how.implicit = true;
	world_open(&s.w);
	ck_assert_str_eq(world_outcome(&s.w), "idle");
	world_send(&s.w, MESSAGE, alice);
	ck_assert_str_eq(world_outcome(&s.w), "relayed 2.0.0, idle");
	ck_assert(client_verified(s.w.client));
	secured_stop(&s);
}
END_TEST

START_TEST(lmtp_begins_tls_too)
{
	struct secured s;

	secured_start(&s, "mx.example", 5, true,
	    S("S 220 a", "C LHLO", "S 250-a\r\n250 STARTTLS", "C STARTTLS", "S 220 go", "T",
		"C LHLO gw.example", "S 250 a"),
	    NULL);
	s.w.how.lmtp = true;
	world_open(&s.w);
	ck_assert_str_eq(world_outcome(&s.w), "idle");
	ck_assert_str_eq(s.w.fake.wrong, "");
	secured_stop(&s);
}
END_TEST

/* SHA-256 of the public key: TLSA 3 1 1. */
START_TEST(dane_counts)
{
	uint8_t hash[32], *der = NULL;
	struct conn_tlsa tlsa = {.usage = 3, .selector = 1, .matching = 1, .data = hash, .n = 32};
	static const char *const results[] = {"", "validation-failure", "tlsa-invalid"};
	struct secured s;
	int n;

	secured_start(&s, "whatever.example", -1, false, S(START, "T", SECOND, SEND), NULL);
	n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(s.own.x), &der);
	ck_assert_int_eq(EVP_Digest(der, (size_t)n, hash, NULL, EVP_sha256(), NULL), 1);
	OPENSSL_free(der);
	hash[0] ^= _i == 1;
	if (_i == 2)
		tlsa.usage = 1; /* says nothing to mail servers */
	s.w.how.peer.verify = CONN_VERIFY_DANE;
	s.w.how.peer.tlsa = &tlsa;
	s.w.how.peer.ntlsa = 1;
	world_open(&s.w);
	ck_assert_str_eq(world_outcome(&s.w), _i == 0 ? "idle" : "no-tls");
	ck_assert_str_eq(s.w.tls_result, results[_i]);
	ck_assert_int_eq(client_verified(s.w.client), _i == 0);
	secured_stop(&s);
}
END_TEST

START_TEST(REQUIRETLS_needs_a_verified_server_that_offers_it)
{
	struct secured s;
	static const char *const outcomes[] = {"relayed 2.0.0, idle", "failed 5.7.30, idle",
	    "failed 5.7.30, idle", "failed 5.7.30, idle"};

	secured_start(&s, "mx.example", 5, true,
	    _i == 3 ? S(START, "T", "C EHLO", "S 250-a\r\n250 PIPELINING", SEND)
		    : S(START, "T", SECOND, SEND),
	    NULL);
	s.w.how.authentic = _i != 1;
	if (_i == 2) {
		s.w.how.tls = CLIENT_TLS_ENCRYPT;
		s.w.how.peer.verify = CONN_VERIFY_NONE;
	}
	s.w.env.requiretls = 1;
	world_open(&s.w);
	world_send(&s.w, MESSAGE, alice);
	ck_assert_str_eq(world_outcome(&s.w), outcomes[_i]);
	ck_assert_int_eq(world_heard(&s.w, "MAIL FROM:<s@y.example> REQUIRETLS\r\n"), _i == 0);
	secured_stop(&s);
}
END_TEST

START_TEST(a_login_waits_for_tls)
{
	struct secured s;

	secured_start(&s, "mx.example", 5, true,
	    S("S 220 a", "C EHLO", "S 250-a\r\n250-AUTH PLAIN\r\n250 STARTTLS", "C STARTTLS",
		"S 220 go", "T", "C EHLO", "S 250-a\r\n250 AUTH PLAIN",
		"C AUTH PLAIN AGJvYgBzZWNyZXQ=", "S 235 in"),
	    NULL);
	s.w.how.login = "bob";
	s.w.how.password = "secret";
	world_open(&s.w);
	ck_assert_str_eq(world_outcome(&s.w), "idle");
	ck_assert_str_eq(s.w.fake.wrong, "");
	secured_stop(&s);
}
END_TEST

START_TEST(a_login_never_goes_in_clear_off_loopback)
{
	struct sockaddr_in *sin;
	unsigned never = 0;
	struct world w;

	world_start(&w, S("S 220 a", "C EHLO", "W", "W", "S 250-a\r\n250 AUTH PLAIN LOGIN"), NULL);
	w.how.login = "bob";
	w.how.password = "secret";
	world_dial(&w);
	while (!world_heard(&w, "EHLO"))
		(void)world_run(&w, &never, 1, 1);
	/* It seems to lead elsewhere. */
	sin = (struct sockaddr_in *)(void *)&w.client->addr;
	sin->sin_addr.s_addr = htonl(0xc0000201);
	ck_assert(world_run(&w, &w.closed, 1, 2000));
	ck_assert_str_eq(world_outcome(&w), "no-login");
	ck_assert(!world_heard(&w, "AUTH"));
	world_stop(&w);
}
END_TEST

Suite *
client_tls_suite(void)
{
	const TTest *const tests[] = {tls_may_come_first, lmtp_begins_tls_too,
	    a_login_waits_for_tls, a_login_never_goes_in_clear_off_loopback, NULL};
	Suite *s = unit_suite("client_tls", tests);
	TCase *c = tcase_create("tables");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, begins_tls_as_it_is_told, 0, sizeof cases / sizeof cases[0]);
	tcase_add_loop_test(c, dane_counts, 0, 3);
	tcase_add_loop_test(c, REQUIRETLS_needs_a_verified_server_that_offers_it, 0, 4);
	suite_add_tcase(s, c);
	return s;
}

#include "t/unit/deliverd/far.h"

#include <netinet/in.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "net/line.h"
#include "net/tls.h"
#include "proc/proc.h"
#include "t/unit/unit.h"

struct far_conn {
	TAILQ_ENTRY(far_conn) next;
	struct far *of;
	struct conn *c;
	struct line_reader in;
	bool text, tls;
};

uint16_t far_port;

static void
drop(struct far_conn *x)
{
	TAILQ_REMOVE(&x->of->conns, x, next);
	x->of->open--;
	line_free(&x->in);
	free(x);
}

static void
finish(struct far_conn *x)
{
	struct conn *c = x->c;

	drop(x);
	conn_finish(c);
}

static void
say(struct far_conn *x, const char *text)
{
	(void)conn_printf(x->c, "%s\r\n", text);
}

static void
say_features(struct far_conn *x)
{
	char *copy = strdup(x->of->features), *p = copy, *one;

	while ((one = strsep(&p, " ")) != NULL)
		if (*one != '\0')
			(void)conn_printf(x->c, "250-%s\r\n", one);
	if (x->of->tls != NULL && !x->tls)
		say(x, "250-STARTTLS");
	say(x, "250 HELP");
	free(copy);
}

/* false: the connection has ended, or its handshake begins. */
static bool
take_line(struct far_conn *x, const char *line)
{
	struct far *f = x->of;
	struct err e;

	if (x->text && strcmp(line, ".") != 0)
		return true;
	if (f->hang_up_at != NULL && strncmp(line, f->hang_up_at, strlen(f->hang_up_at)) == 0) {
		struct conn *c = x->c;

		drop(x);
		conn_free(c);
		return false;
	}
	if (x->text) {
		x->text = false;
		if (f->end_reply == NULL)
			f->messages++;
		say(x, f->end_reply != NULL ? f->end_reply : "250 2.0.0 Ok: queued as FAR");
	} else if (strncmp(line, "EHLO ", 5) == 0 || strncmp(line, "LHLO ", 5) == 0) {
		say(x, "250-far.test");
		say_features(x);
	} else if (strcmp(line, "STARTTLS") == 0) {
		f->starttls++;
		say(x, "220 2.0.0 Go");
		ck_assert_int_eq(conn_accept_tls(x->c, f->tls, true, &e), 0);
		return false;
	} else if (strncmp(line, "MAIL ", 5) == 0) {
		f->senders++;
		say(x, "250 2.1.0 Ok");
	} else if (strncmp(line, "RCPT ", 5) == 0) {
		bool bad = f->bad_rcpt != NULL && strstr(line, f->bad_rcpt) != NULL;

		f->recipients += !bad;
		say(x, bad ? f->bad_reply : "250 2.1.5 Ok");
	} else if (strcmp(line, "DATA") == 0) {
		x->text = true;
		say(x, "354 Go");
	} else if (strcmp(line, "QUIT") == 0) {
		say(x, "221 2.0.0 Bye");
		finish(x);
		return false;
	} else
		say(x, "250 2.0.0 Ok");
	return true;
}

static void
on_readable(struct conn *c, void *arg)
{
	struct far_conn *x = arg;

	while (line_read(&x->in, c) == LINE_OK)
		if (!take_line(x, x->in.text))
			return;
}

static void
on_secured(struct conn *c, void *arg)
{
	struct far_conn *x = arg;

	(void)c;
	x->tls = true;
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	(void)why;
	(void)text;
	drop(arg);
	conn_free(c);
}

static const struct conn_handlers handlers = {
    .readable = on_readable, .secured = on_secured, .closed = on_closed};

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	static const struct conn_limits limits = {
	    .in_max = 256 * 1024, .out_max = 64 * 1024, .out_low = 1024};
	struct far *f = arg;
	struct far_conn *x;
	int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (s == -1)
		return;
	x = calloc(1, sizeof *x);
	x->of = f;
	line_init(&x->in, 4096);
	x->c = conn_new(proc_env()->base, s, &limits, &handlers, x);
	ck_assert_ptr_nonnull(x->c);
	TAILQ_INSERT_TAIL(&f->conns, x, next);
	f->connections++;
	f->open++;
	if (f->greeting[0] != '\0')
		say(x, f->greeting);
	if (f->greeting[0] != '\0' && f->greeting[0] != '2')
		finish(x);
}

static int
bind_to(const char *ip, uint16_t port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	ck_assert_int_eq(inet_pton(AF_INET, ip, &sin.sin_addr), 1);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	ck_assert_msg(bind(fd, (const struct sockaddr *)&sin, sizeof sin) == 0, "%s:%u: %s", ip,
	    port, strerror(errno));
	ck_assert_int_eq(listen(fd, 128), 0);
	return fd;
}

void
far_start(struct far *f, const char *ip)
{
	struct sockaddr_in sin;
	socklen_t n = sizeof sin;

	memset(f, 0, sizeof *f);
	TAILQ_INIT(&f->conns);
	f->ip = ip;
	f->greeting = "220 far.test ESMTP";
	f->features = "PIPELINING 8BITMIME DSN";
	f->fd = bind_to(ip, far_port);
	ck_assert_int_eq(getsockname(f->fd, (struct sockaddr *)&sin, &n), 0);
	far_port = ntohs(sin.sin_port);
	f->accept = event_new(proc_env()->base, f->fd, EV_READ | EV_PERSIST, on_accept, f);
	(void)event_add(f->accept, NULL);
}

void
far_hang_up(struct far *f)
{
	struct far_conn *x, *next;

	TAILQ_FOREACH_SAFE (x, &f->conns, next, next)
		finish(x);
}

void
far_stop(struct far *f)
{
	struct far_conn *x, *next;

	if (f->ip == NULL)
		return;
	TAILQ_FOREACH_SAFE (x, &f->conns, next, next) {
		struct conn *c = x->c;

		drop(x);
		conn_free(c);
	}
	event_free(f->accept);
	close(f->fd);
	tls_ctx_free(f->tls);
	f->ip = NULL;
}

/* --- certificates --- */

struct card {
	X509 *x;
	EVP_PKEY *key;
};

static void
extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

struct card *
card_new(const char *cn, const char *names, const struct card *issuer)
{
	static long serial;
	struct card *c = calloc(1, sizeof *c);
	X509_NAME *n;

	c->x = X509_new();
	c->key = EVP_EC_gen("P-256");
	n = X509_get_subject_name(c->x);
	X509_set_version(c->x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(c->x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(c->x), -86400);
	X509_gmtime_adj(X509_getm_notAfter(c->x), 86400);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0);
	X509_set_issuer_name(c->x, issuer != NULL ? X509_get_subject_name(issuer->x) : n);
	X509_set_pubkey(c->x, c->key);
	if (names != NULL)
		extend(c->x, NID_subject_alt_name, names);
	if (issuer == NULL)
		extend(c->x, NID_basic_constraints, "critical,CA:TRUE");
	ck_assert_int_gt(X509_sign(c->x, issuer != NULL ? issuer->key : c->key, EVP_sha256()), 0);
	return c;
}

void
card_free(struct card *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	free(c);
}

static char *
pem_of(const struct card *first, const struct card *second)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p, *text;
	long n;

	ck_assert_int_eq(PEM_write_bio_X509(b, first->x), 1);
	if (second != NULL)
		ck_assert_int_eq(PEM_write_bio_X509(b, second->x), 1);
	n = BIO_get_mem_data(b, &p);
	text = strndup(p, (size_t)n);
	BIO_free(b);
	return text;
}

char *
card_pem(const struct card *c)
{
	return pem_of(c, NULL);
}

void
card_spki(const struct card *c, uint8_t out[32])
{
	uint8_t *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->x), &der);

	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(EVP_Digest(der, (size_t)n, out, NULL, EVP_sha256(), NULL), 1);
	OPENSSL_free(der);
}

static EVP_PKEY *
bind_card(X509 *x, void *arg, struct err *e)
{
	EVP_PKEY *key = ((const struct card *)arg)->key;

	(void)x;
	(void)e;
	EVP_PKEY_up_ref(key);
	return key;
}

void
far_show(struct far *f, const struct card *c, const struct card *issuer)
{
	char *pem = pem_of(c, issuer);
	struct tls_cert *cert;
	struct tls_server_options o = {.certs = &cert, .ncerts = 1, .context = "far"};
	struct err e = {0};

	cert =
	    tls_cert_new(pem, strlen(pem), false, "far.pem", bind_card, (void *)(uintptr_t)c, &e);
	ck_assert_msg(cert != NULL, "%s", e.text);
	tls_ctx_free(f->tls);
	f->tls = tls_server_ctx(&o, &e);
	ck_assert_msg(f->tls != NULL, "%s", e.text);
	tls_cert_free(cert);
	free(pem);
}

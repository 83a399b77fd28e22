#include "t/unit/net/client.h"

#include <signal.h>
#include <string.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "t/unit/unit.h"

static void
step(evutil_socket_t fd, short what, void *arg)
{
	struct client *t = arg;
	int ret;

	(void)fd;
	(void)what;
	ERR_clear_error();
	if (!t->up && (ret = SSL_do_handshake(t->ssl)) != 1) {
		if (SSL_get_error(t->ssl, ret) != SSL_ERROR_WANT_READ) {
			t->failed = ERR_peek_error();
			event_del(t->ev);
		}
		return;
	}
	t->up = true;
	while ((ret = SSL_read(t->ssl, t->got + t->n, (int)(sizeof t->got - t->n))) > 0)
		t->n += (size_t)ret;
	if (SSL_get_error(t->ssl, ret) != SSL_ERROR_WANT_READ)
		event_del(t->ev);
}

static void
on_info(const SSL *ssl, int where, int value)
{
	struct client *t = SSL_get_app_data(ssl);

	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
		t->alert = value & 0xff;
}

void
client_start(struct client *t, struct owner *o, const struct pair *ca, const struct pair *own)
{
	memset(t, 0, sizeof *t);
	signal(SIGPIPE, SIG_IGN);
	t->ctx = SSL_CTX_new(TLS_client_method());
	X509_STORE_add_cert(SSL_CTX_get_cert_store(t->ctx), ca->cert);
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	if (own != NULL) {
		ck_assert_int_eq(SSL_CTX_use_certificate(t->ctx, own->cert), 1);
		ck_assert_int_eq(SSL_CTX_use_PrivateKey(t->ctx, own->key), 1);
	}
	t->ssl = SSL_new(t->ctx);
	SSL_set_app_data(t->ssl, t);
	SSL_set_info_callback(t->ssl, on_info);
	SSL_set_fd(t->ssl, o->peer);
	SSL_set_connect_state(t->ssl);
	t->ev = event_new(o->base, o->peer, EV_READ | EV_PERSIST, step, t);
	event_add(t->ev, NULL);
}

void
client_stop(struct client *t)
{
	event_free(t->ev);
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	ERR_clear_error();
}

void
client_step(struct client *t)
{
	step(-1, 0, t);
}

bool
client_shake(struct client *t, struct owner *o)
{
	uint64_t end = clock_ms() + 20000;

	client_step(t);
	while (o->secured == 0 && o->closed == 0) {
		ck_assert_uint_lt(clock_ms(), end);
		owner_run(o, 2);
	}
	while (!t->up && t->failed == 0) {
		ck_assert_uint_lt(clock_ms(), end);
		owner_run(o, 2);
	}
	return o->secured == 1 && t->up;
}

char *
client_saw(const struct client *t)
{
	X509_NAME *n = X509_get_subject_name(SSL_get0_peer_certificate(t->ssl));
	char *text = calloc(1, 256);

	ck_assert_int_gt(X509_NAME_get_text_by_NID(n, NID_commonName, text, 256), 0);
	return text;
}

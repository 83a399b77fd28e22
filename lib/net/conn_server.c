/* TLS of a connection as the server: its beginning, and which certificate the client is shown. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "net/conn_int.h"
#include "net/tls_int.h"

#define DISCARD_MAX (64 * 1024) /* octets; who sends more in clear gets a failed handshake */

/* --- a client's hello --- */

/* On the small stack of the handshake: it is only noted here. */
int
conn_tls_on_hello(SSL *ssl, int *alert, void *arg)
{
	struct conn_tls *t = SSL_get_app_data(ssl);
	char name[SNI_NAME_MAX + 1];

	(void)arg;
	switch (t->hello) {
	case HELLO_NONE:
		tls_hello_name(ssl, name);
		if ((t->asked = strdup(name)) == NULL)
			break;
		t->hello = HELLO_CAME;
		return SSL_CLIENT_HELLO_RETRY;
	case HELLO_CAME:
	case HELLO_TOLD:
		return SSL_CLIENT_HELLO_RETRY;
	case HELLO_ANSWERED: /* there may be a second hello (RFC 8446, 4.1.4) */
		return SSL_CLIENT_HELLO_SUCCESS;
	case HELLO_REFUSED:
		*alert = SSL_AD_UNRECOGNIZED_NAME;
		return SSL_CLIENT_HELLO_ERROR;
	}
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_CLIENT_HELLO_ERROR;
}

void
conn_tls_tell_hello(struct conn *c)
{
	c->tls->hello = HELLO_TOLD;
	if (c->handlers->hello != NULL)
		c->handlers->hello(c, c->arg);
	else
		(void)conn_tls_use(c, NULL);
}

int
conn_tls_use(struct conn *c, struct tls_cert *cert)
{
	struct conn_tls *t = c->tls;

	if (t == NULL || t->hello != HELLO_TOLD || t->state != TLS_HANDSHAKE) {
		errno = EINVAL;
		return -1;
	}
	if (cert != NULL) {
		if (tls_cert_show(t->ssl, cert) == -1)
			return -1;
		t->cert = tls_cert_keep(cert);
		t->hello = HELLO_ANSWERED;
	} else {
		conn_tls_say(t, "TLS handshake with %s: no certificate for %s", t->name,
		    t->asked[0] != '\0' ? t->asked : "a client that asks for no name");
		t->hello = HELLO_REFUSED;
	}
	conn_tls_go_on(t);
	return 0;
}

/* "" where no memory is left, too: nobody is let in for having asked for a name. */
const char *
conn_tls_asked(const struct conn *c)
{
	struct conn_tls *t = c->tls;
	char name[SNI_NAME_MAX + 1];
	const char *sni;

	if (t == NULL || t->client != NULL)
		return "";
	if (t->asked == NULL && t->info[0] != '\0') {
		sni = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
		if (sni == NULL || sni_host_name(sni, strlen(sni), 0, name) == -1)
			name[0] = '\0';
		t->asked = strdup(name);
	}
	return t->asked != NULL ? t->asked : "";
}

bool
conn_tls_resumed(const struct conn *c)
{
	return c->tls != NULL && c->tls->info[0] != '\0' && SSL_session_reused(c->tls->ssl) == 1;
}

/* --- the beginning --- */

/*
 * What came in clear.  As long as our answer is still queued the client can have said nothing in
 * TLS, so that what waits in the socket is of the same kind.
 */
static void
discard_clear(struct conn *c)
{
	uint8_t scrap[4096];
	size_t sum = 0;
	ssize_t n;

	conn_in_free(c);
	c->offer = false;
	while (buf_len(&c->out) > 0 && sum < DISCARD_MAX &&
	       (n = recv(c->fd, scrap, sizeof scrap, MSG_DONTWAIT)) > 0)
		sum += (size_t)n;
	explicit_bzero(scrap, sizeof scrap);
}

int
conn_accept_tls(struct conn *c, SSL_CTX *ctx, bool discard, struct err *e)
{
	struct conn_tls *t;

	if (c->tls != NULL)
		return err_set(e, EALREADY, "TLS was started before");
	if (c->ended)
		return err_set(e, EPIPE, "connection closed before TLS began");
	if (buf_len(&c->in) > 0 && !discard)
		return err_set(e, EPROTO, "the client sent %zu octets in clear before TLS began",
		    buf_len(&c->in));
	if (conn_tls_jobs() == -1 || (t = conn_tls_new(c, ctx, "the client")) == NULL) {
		ERR_clear_error();
		return err_set(e, ENOMEM, "TLS with the client cannot be set up");
	}
	if ((SSL_get_verify_mode(t->ssl) & SSL_VERIFY_PEER) != 0)
		SSL_set_verify(t->ssl, SSL_get_verify_mode(t->ssl), conn_tls_verify);
	tls_tickets_check(t->ssl);
	SSL_set_accept_state(t->ssl);
	(void)SSL_set_mode(t->ssl, SSL_MODE_ASYNC);
	if (discard)
		discard_clear(c);
	conn_tls_begin(c, t);
	return 0;
}

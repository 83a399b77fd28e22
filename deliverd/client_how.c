/* How a connection is to be made, kept until it is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "deliverd/client_int.h"
#include "net/tls.h"

/* Octets of n items, copied; NULL for none, or with failed set. */
static void *
copy(const void *p, size_t n, size_t size, bool *failed)
{
	void *to;

	if (p == NULL || n == 0)
		return NULL;
	if ((to = reallocarray(NULL, n, size)) == NULL) {
		*failed = true;
		return NULL;
	}
	memcpy(to, p, n * size);
	return to;
}

static const char *
copy_text(const char *s, bool *failed)
{
	return copy(s, s != NULL ? strlen(s) + 1 : 0, 1, failed);
}

static void
copy_peer(struct conn_peer *to, const struct conn_peer *from, bool *failed)
{
	struct conn_tlsa *tlsa;
	size_t i;

	to->name = copy_text(from->name, failed);
	to->expected = copy_text(from->expected, failed);
	to->also = copy_text(from->also, failed);
	to->prints = copy(from->prints, from->nprints, sizeof *from->prints, failed);
	to->tlsa = tlsa = copy(from->tlsa, from->ntlsa, sizeof *from->tlsa, failed);
	to->ntlsa = tlsa != NULL ? from->ntlsa : 0;
	for (i = 0; i < to->ntlsa; i++)
		tlsa[i].data = copy(from->tlsa[i].data, from->tlsa[i].n, 1, failed);
}

static bool
is_sound(const struct client_how *h)
{
	size_t n = h->host != NULL ? strlen(h->host) : 0;

	if (n == 0 || n >= HOST_MAX + 2 || h->naddrs == 0 || h->naddrs > DIAL_ADDRS_MAX ||
	    h->helo == NULL || *h->helo == '\0' || h->reply_ms == 0 || h->connect_ms == 0)
		return false;
	if (strpbrk(h->helo, "\r\n") != NULL)
		return false;
	if (h->tls == CLIENT_TLS_NONE)
		return !h->implicit;
	return h->ctx != NULL && h->peer.name != NULL && !(h->implicit && h->tls == CLIENT_TLS_MAY);
}

int
how_copy(struct client_how *to, const struct client_how *from)
{
	bool failed = false;

	*to = *from;
	to->ctx = NULL;
	if (!is_sound(from)) {
		memset(to, 0, sizeof *to);
		errno = EINVAL;
		return -1;
	}
	to->host = copy_text(from->host, &failed);
	to->helo = copy_text(from->helo, &failed);
	to->login = copy_text(from->login, &failed);
	to->password = copy_text(from->password, &failed);
	to->addrs = copy(from->addrs, from->naddrs, sizeof *from->addrs, &failed);
	copy_peer(&to->peer, &from->peer, &failed);
	to->peer.report = from->tls < CLIENT_TLS_VERIFY;
	if (from->tls != CLIENT_TLS_NONE)
		to->ctx = tls_ctx_keep(from->ctx);
	if (!failed)
		return 0;
	how_free(to);
	errno = ENOMEM;
	return -1;
}

static void
drop(const void *p)
{
	free((void *)(uintptr_t)p);
}

static void
wipe(const char *s)
{
	if (s != NULL)
		freezero((void *)(uintptr_t)s, strlen(s));
}

void
how_free(struct client_how *h)
{
	size_t i;

	drop(h->host);
	drop(h->helo);
	drop(h->login);
	wipe(h->password);
	drop(h->addrs);
	drop(h->peer.name);
	drop(h->peer.expected);
	drop(h->peer.also);
	drop(h->peer.prints);
	for (i = 0; i < h->peer.ntlsa; i++)
		drop(h->peer.tlsa[i].data);
	drop(h->peer.tlsa);
	tls_ctx_free(h->ctx);
	h->host = h->helo = h->login = h->password = NULL;
	h->addrs = NULL;
	h->naddrs = 0;
	h->peer = (struct conn_peer){.verify = h->peer.verify};
	h->ctx = NULL;
}

#ifndef UNIT_NET_CLIENT_H
#define UNIT_NET_CLIENT_H

#include <openssl/ssl.h>

#include "t/unit/net/certs.h"
#include "t/unit/net/owner.h"

/* A client, OpenSSL alone, on the other end of an owner's connection. */
struct client {
	SSL_CTX *ctx;
	SSL *ssl; /* to be told more before client_shake */
	struct event *ev;
	bool up;
	unsigned long failed; /* OpenSSL's reason */
	int alert; /* that came; 0: none */
	char got[64];
	size_t n;
};

/* ca: whom it trusts; own: the certificate it shows, or NULL. */
void client_start(struct client *t, struct owner *o, const struct pair *ca, const struct pair *own);
void client_stop(struct client *t);

/* Go on as far as it goes: the first call begins. */
void client_step(struct client *t);

/* Shake hands with an owner who has begun: until he has seen the end of it, good or bad. */
bool client_shake(struct client *t, struct owner *o);

/* The name in the certificate that it was shown. The caller frees it. */
char *client_saw(const struct client *t);

#endif

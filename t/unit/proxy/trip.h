#ifndef UNIT_PROXY_TRIP_H
#define UNIT_PROXY_TRIP_H

#include "net/conn.h"
#include "proxy/upstream.h"
#include "t/unit/proxy/pki.h"
#include "t/unit/proxy/world.h"

/* A server on loopback: takes one connection, with TLS from the first octet on if it has ctx. */
struct far {
	int fd;
	uint16_t port;
	struct event *ev;
	struct ssl_ctx_st *ctx;
	struct conn *c;
	unsigned accepted, secured, closed;
	struct sockaddr_storage from;
	char got[64];
};

/* host: an address of loopback */
void far_start(struct far *f, const char *host, struct ssl_ctx_st *ctx);
void far_stop(struct far *f);
void far_target(struct proxy_target *t, const char *host, uint16_t port);

/* A way there by lib/proxy, and what it told. */
struct trip {
	const struct proxy_route *r;
	struct upstream *u;
	struct conn *c;
	unsigned connected, secured, closed, readable, judged, minted;
	char text[600]; /* the last one */
	enum upstream_verdict verdict;
	struct tls_cert *cert;
	bool judge_at_once; /* from within secured, as owners do */
	bool free_in_callback; /* upstream_free from within each of them */
};

/* u: connect; to: as upstream_connect.  Then to its end: a connection (t->c), or t->text. */
void trip_connect(struct trip *t, const struct proxy_route *r, const struct proxy_target *to);
void trip_connected(struct trip *t);

/* TLS to its end: t->secured or t->closed. */
void trip_secure(struct trip *t, const char *asked);
void trip_judge(struct trip *t); /* only begins */
void trip_mint(struct trip *t, const char *asked); /* the same, with t->verdict */
void trip_end(struct trip *t);

#endif

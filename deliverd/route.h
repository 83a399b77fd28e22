#ifndef DELIVERD_ROUTE_H
#define DELIVERD_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

struct ssl_ctx_st;

/*
 * A route of the configuration as deliveries need it: taken apart, with its TLS context, and
 * counted, so that connections and jobs that began under it go on when a reload has replaced it.
 */
struct route {
	unsigned refs;
	bool old; /* a reload has replaced it: nothing new begins, idle connections close */
	char name[65]; /* "": none is configured, the MX of the domain count */
	struct conf_server *servers; /* none: the MX of the domain */
	size_t nservers;
	struct conf_server *fallback;
	size_t nfallback;
	enum conf_protocol protocol;
	enum conf_route_tls tls;
	bool implicit, dane, mta_sts;
	struct ssl_ctx_st *ctx;
	uint8_t (*prints)[32]; /* of the profile, where its verify says fingerprint */
	size_t nprints;
	char **names; /* of the profile: "ASKED=EXPECTED" */
	size_t nnames;
	char login[256], password[256];
	uint32_t reuse_ms, timeout_ms;
};

/*
 * Make what a configuration has.  0, or -1 with e, which names the route: a file is missing or has
 * nothing of use in it.  What was there counts until route_commit.
 */
int route_prepare(const struct conf *c, struct err *e);
void route_commit(void);
void route_clear(void);

/* By name, "" for the MX of a domain; NULL: there is none.  Each get wants its drop. */
struct route *route_get(const char *name);
/* The one that conf_route_of finds for a domain, or that for MX. */
struct route *route_of(const char *domain);
struct route *route_keep(struct route *r);
void route_drop(struct route *r); /* NULL is allowed */

/* The i-th of all, that for MX first, while it is there. */
const struct route *route_at(size_t i);

/* The port that is meant where none is given. */
uint16_t route_port(const struct route *r);

/* The name that the certificate of a server must have; NULL: its own (profile.names). */
const char *route_expects(const struct route *r, const char *host);

#endif

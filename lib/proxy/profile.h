#ifndef PROXY_PROFILE_H
#define PROXY_PROFILE_H

#include "conf/conf.h"
#include "net/tls.h"

/* A TLS profile of the configuration as lib/net wants it. */
#define PROFILE_ALPN_MAX CONF_LIST_MAX

struct profile_options {
	struct tls_options o;
	const char *alpn[PROFILE_ALPN_MAX];
};

/*
 * out points into p.
 *
 * usual	the ALPN protocol of the service, for a profile that names none; NULL: none
 */
void profile_options(struct profile_options *out, const struct conf_profile *p, const char *usual);

/* Does OpenSSL take what the profiles say?  0, or -1 with e, which names the profile. */
int profile_check(const struct conf *conf, struct err *e);

#endif

#ifndef DELIVERD_POLICY_H
#define DELIVERD_POLICY_H

#include "deliverd/client.h"
#include "deliverd/dest.h"

/*
 * What TLS with a server must be like: the route's word, DANE (RFC 7672), MTA-STS (RFC 8461), and
 * REQUIRETLS (RFC 8689) of a message.  DANE goes before MTA-STS.
 */

enum policy_verdict {
	POLICY_GO,
	POLICY_WAIT, /* not this server now: what is wanted of it cannot be had, or nobody knows */
	POLICY_NEVER /* not this server for this message */
};

#define POLICY_TEXT_MAX 400

struct policy {
	enum policy_verdict verdict;
	char dsn[8], text[POLICY_TEXT_MAX]; /* of what is not POLICY_GO; printable */
	enum client_tls tls;
	enum conn_verify verify;
	const char *by; /* what vouches when it is verified: "dane", "sts", "ca", "fingerprint" */
	bool authentic; /* as in struct client_how */
	char name[HOST_MAX]; /* of the server: SNI, and what its certificate must have */
	char expected[HOST_MAX], also[HOST_MAX]; /* as in struct conn_peer; "": none */
	struct conn_tlsa *tlsa; /* with CONN_VERIFY_DANE */
	size_t ntlsa;

	/* For reports (RFC 8460); whose domain "" is, is not told of. */
	char domain[256];
	enum tls_policy kind;
	char *kind_text; /* the policy as it stands; NULL: "" */
	char result[64]; /* what is wrong with it whatever the server does (RFC 8460, 4.3); "" */
};

/* What a message wants of TLS. */
enum policy_need {
	NEED_USUAL,
	NEED_REQUIRETLS, /* RFC 8689, 4.2.1: a server that is verified, or none */
	NEED_NOTHING /* RFC 8689, 5, "TLS-Required: No": what its domain wants does not count */
};

struct policy_ask {
	struct route *route;
	const struct plan_host *host; /* must stay until fn is called */
	bool secure; /* its addresses: DNSSEC vouches for them */
	const char *canonical; /* as in dns_addr_rep; copied */
	enum policy_need need;
};

struct policing;
typedef void (*policy_fn)(void *arg, struct policy *p);

/*
 * Find out.  What is found is the caller's (policy_free), or fn's, which is called once from the
 * loop: as plan_make.
 */
struct policy *policy_make(
    const struct policy_ask *q, struct policing **later, policy_fn fn, void *arg);
void policing_cancel(struct policing *p); /* NULL is allowed */
void policy_free(struct policy *p); /* NULL is allowed */

/* RFC 8461, 4.1: is the server one of those that the policy names? */
bool policy_sts_match(const struct sts_rep *sts, const char *host);

/* Does the data of a TLSA record make sense for a mail server (RFC 7672, 3.1)? */
bool policy_tlsa_usable(const struct dns_tlsa *t);

/* Tell anvild of a session, if section queue wants reports. */
void policy_report(const struct policy *p, const char *host, const struct client_tls_try *t);

/* In a few words, for gwctl route test: "encrypted, verified by DANE". */
const char *policy_words(const struct policy *p);

#endif

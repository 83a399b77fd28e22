#ifndef PROXY_UPSTREAM_INT_H
#define PROXY_UPSTREAM_INT_H

/* Inside of the way to a mail server, for upstream*.c and leaf.c only. */

#include <event2/event.h>

#include "net/dial.h"
#include "proxy/upstream.h"

#define UPSTREAM_TEXT_MAX 400 /* octets of an explanation, with its NUL */

/* What DNSSEC says of TLSA records. */
enum dane_state {
	DANE_UNASKED,
	DANE_PENDING,
	DANE_SECURE, /* there are some */
	DANE_ABSENT, /* there are none, or nothing is signed */
	DANE_UNKNOWN /* no answer that counts: later */
};

struct upstream {
	const struct proxy_route *r;
	bool foreign; /* to target, not to the route's peer */
	struct proxy_target target;
	uint16_t port;
	char name[HOST_MAX + 8];

	/* the connection */
	upstream_done done;
	void *arg;
	struct proc_req *dns, *tlsa;
	struct dane_question *tlsa_question;
	struct proc_source *source;
	struct dial *dial;
	int fd; /* there, and waits for TLSA records */
	struct event *later; /* what is known at once is told from the loop */
	char text[UPSTREAM_TEXT_MAX];

	/* DANE */
	enum dane_state dane;
	char dane_text[UPSTREAM_TEXT_MAX];
	struct conn_tlsa *records;
	size_t nrecords;

	/* what is thought of the server */
	upstream_judged judged;
	void *judge_arg;
	struct conn *judge_conn; /* paused: its first words wait for the verdict */
	enum upstream_verdict verdict;
	struct proc_req *ocsp;

	struct leaf_wait *leaf; /* the certificate that is being minted */
};

/*
 * upstream_tls.c: contexts for what the configuration names are made, and count from
 * upstream_commit on.  0, or -1 with e, which names section and file.
 */
int upstream_prepare(const struct conf *conf, struct err *e);
void upstream_commit(void);
void upstream_judge_free(struct upstream *u);
void upstream_tell_verdict(struct upstream *u); /* from u->later */

/* The address of a foreign server, without its port: what is looked for where no name is. */
const char *upstream_address(const struct upstream *u, char out[NETADDR_TEXT_MAX]);

/* dane.c: ask for the TLSA records of the route's host, whose addresses DNSSEC has signed or not.
 */
void dane_ask(struct upstream *u, bool secure, void (*then)(struct upstream *u));
void dane_free(struct upstream *u);

/*
 * target.c: is this one of our listeners, in any connector?
 *
 * local	the address is known to be this machine's; else it is found out where that counts
 */
bool proxy_is_ours(const struct sockaddr_storage *to, bool local);

/* leaf.c */
void leaf_cancel(struct leaf_wait *w); /* NULL is allowed */

/* cryptod has lost the key of those that were minted. */
void leaf_forget(void);

#endif
